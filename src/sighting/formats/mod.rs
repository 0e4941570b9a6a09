//! The table of input formats: bytes to drafts, and drafts to sightings in one place for all.
//!
//! A format says only where in a record the parts of a sighting stand. What they mean, and whether
//! they hold, is decided in [`draft`] alone. It does not find out a record's format by looking at
//! it: the topic states it.

pub mod csv;
pub mod draft;
pub mod json;
pub mod mapping;
mod path;
mod rows;
pub mod sightline;
pub mod times;
mod tree;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

pub use draft::{Context, Draft, Position, ReporterBinding};
pub use times::Times;
pub use tree::Scalar;

use super::Sighting;
use super::normalise::Refusal;
use super::reason::{MAX_TEXT, Reason, cut};
use crate::diag::{Findings, Place};

/// A row of the table of formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The key in the pipeline file.
    pub name: &'static str,
    /// One sentence for the manual.
    pub summary: &'static str,
}

/// All formats, by name.
pub static FORMATS: &[Format] = &[
    Format { name: "csv", summary: "CSV with a header line, its columns mapped to the fields of a sighting" },
    Format { name: "json", summary: "any JSON, its paths mapped to the fields of a sighting" },
    Format {
        name: "sightline",
        summary: "our own JSON: one sighting, a list of them, or an object that holds a list",
    },
];

/// The format of a topic, as written in the pipeline file: the name is the key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FormatSettings {
    /// Our own JSON.
    Sightline(sightline::Settings),
    /// Any JSON, mapped by paths.
    Json(json::Settings),
    /// CSV with a header line, mapped by columns.
    Csv(csv::Settings),
}

impl FormatSettings {
    /// The name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sightline(_) => "sightline",
            Self::Json(_) => "json",
            Self::Csv(_) => "csv",
        }
    }

    /// What can be decoded with; none when an error was pushed. `at` is where the format is written.
    pub fn check(&self, at: &dyn Fn() -> Option<Place>, findings: &mut Findings) -> Option<Decoder> {
        match self {
            Self::Sightline(sightline::Settings {}) => Some(Decoder::Sightline),
            Self::Json(settings) => settings.check(at, findings).map(Decoder::Json),
            Self::Csv(settings) => settings.check(at, findings).map(Decoder::Csv),
        }
    }
}

/// A format that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoder {
    /// Our own JSON.
    Sightline,
    /// Any JSON.
    Json(json::Checked),
    /// CSV.
    Csv(csv::Checked),
}

impl Decoder {
    /// The name in the table.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sightline => "sightline",
            Self::Json(_) => "json",
            Self::Csv(_) => "csv",
        }
    }

    /// The sightings that a record holds, as they stand there. It stops once there are more than
    /// `max_sightings`, so a reject of that kind is cheap.
    ///
    /// # Errors
    /// When the record breaks the rules of its format.
    pub fn decode<'a>(&'a self, bytes: &'a [u8], max_sightings: usize) -> Result<Vec<Draft<'a>>, Reject> {
        match self {
            Self::Sightline => sightline::decode(bytes, max_sightings),
            Self::Json(checked) => checked.decode(bytes, max_sightings),
            Self::Csv(checked) => checked.decode(bytes, max_sightings),
        }
    }

    /// The sightings of a record, normalised and valid: all of them or none, so that a record that
    /// was mended can be sent again without anything counting twice. Never empty.
    ///
    /// # Errors
    /// When the record breaks the rules of its format or any sighting in it is invalid; the text
    /// says which.
    pub fn sightings<'a>(
        &'a self,
        bytes: &'a [u8],
        context: &Context<'a>,
    ) -> Result<Vec<Sighting<'a>>, Reject> {
        let drafts = self.decode(bytes, context.max_sightings)?;
        if drafts.is_empty() {
            return Err(Reject::new(Reason::NoSightings, "it holds no sighting"));
        }
        check_count(drafts.len(), context.max_sightings)?;
        let mut sightings = Vec::with_capacity(drafts.len());
        for (index, draft) in (0..).zip(drafts) {
            let position = draft.position;
            sightings.push(draft.into_sighting(context, index).map_err(|reject| reject.at(position))?);
        }
        Ok(sightings)
    }
}

/// Why a record is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} [{code}]")]
pub struct Reject {
    /// The name of a [`Reason`].
    pub code: &'static str,
    /// What is wrong and where, lower case, no full stop, at most 1 KiB.
    pub text: String,
}

impl Reject {
    /// A reject; a text that is too long is cut.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { code: reason.name(), text: short(text.into()) }
    }

    /// The same, saying where in the record.
    fn at(self, position: Position) -> Self {
        let text = match position {
            Position::Whole => return self,
            Position::Item(index) => format!("sighting {index}: {}", self.text),
            Position::Line(line) => format!("line {line}: {}", self.text),
        };
        Self { text: short(text), ..self }
    }
}

impl From<Refusal> for Reject {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code, text: refusal.text }
    }
}

fn short(text: String) -> String {
    match cut(&text, MAX_TEXT) {
        Cow::Borrowed(_) => text,
        Cow::Owned(cut) => cut,
    }
}

/// The bytes as text, without a byte order mark.
fn utf8(bytes: &[u8]) -> Result<&str, Reject> {
    let text = std::str::from_utf8(bytes).map_err(|err| {
        Reject::new(Reason::NotUtf8, format!("it is not UTF-8 from byte {}", err.valid_up_to()))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn check_count(n: usize, max_sightings: usize) -> Result<(), Reject> {
    if n > max_sightings {
        let text = format!("it holds more than {max_sightings} sightings; send fewer a record");
        return Err(Reject::new(Reason::TooManySightings, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(FORMATS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for format in FORMATS {
            assert!(!format.summary.is_empty());
            assert!(format.name.split('-').all(|word| !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())));
            // The name is the key, and its settings say the same name.
            let settings = format!(r#"{{"{}": {{}}}}"#, format.name);
            let settings: FormatSettings = serde_json::from_str(&settings).unwrap();
            assert_eq!(settings.name(), format.name);
        }
        let schema = serde_json::to_value(schemars::schema_for!(FormatSettings)).unwrap();
        assert_eq!(schema["oneOf"].as_array().unwrap().len(), FORMATS.len());
    }
}
