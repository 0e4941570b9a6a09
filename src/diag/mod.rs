//! A place in a file, findings with stable codes, and their rendering with carets.
//!
//! Every room that reads something that people write reports through [`Findings`]: it pushes what
//! it found and goes on, so that all problems of a file are shown at once. This room knows nothing
//! of what the files mean.

mod closest;
mod read;
mod render;
mod shape;
mod values;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

pub use closest::closest;
pub use read::{read, schema_of};

/// A text that was read from somewhere, with the name to show for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Shown before line and column; usually a path as the user wrote it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// A source from its name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }
}

/// A range of bytes in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where the bytes are.
    pub source: Arc<Source>,
    /// Which bytes.
    pub span: Range<usize>,
}

/// A value together with where it was written; no place when it comes from a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its bytes in the file that was read.
    pub span: Option<Range<usize>>,
}

impl<T> Spanned<T> {
    /// A value that no file holds.
    pub fn unplaced(value: T) -> Self {
        Self { value, span: None }
    }

    /// The place of this value in `source`.
    pub fn place(&self, source: &Arc<Source>) -> Option<Place> {
        self.span.clone().map(|span| Place { source: source.clone(), span })
    }
}

/// Only the TOML reader knows places; from anything else this fails.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(Self { value: spanned.into_inner(), span: Some(span) })
    }
}

/// The schema of `T`: a place is no part of what is written.
impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: Default> Default for Spanned<T> {
    fn default() -> Self {
        Self::unplaced(T::default())
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs with it.
    Error,
    /// Legal, but probably not meant.
    Warning,
}

/// One problem, with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Kebab-case; never changes its meaning.
    pub code: &'static str,
    /// Whether it stops a start.
    pub severity: Severity,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// A second place, with a label, for problems between two places.
    pub also: Vec<(Place, String)>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Finding {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: None,
            also: Vec::new(),
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same at a place.
    #[must_use]
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// The same with a second place.
    #[must_use]
    pub fn also(mut self, place: Option<Place>, label: impl Into<String>) -> Self {
        self.also.extend(place.map(|place| (place, label.into())));
        self
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Collects findings; pushing one never stops the check.
#[derive(Debug, Default, Clone)]
pub struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// All of them, in the order in which they were found.
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether any of them stops a start.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Shows another text of the same length in place of a source, such as one without its secrets.
    pub fn show_instead(&mut self, source: &Arc<Source>, shown: &Arc<Source>) {
        let places = self.list.iter_mut().flat_map(|finding| {
            finding.place.iter_mut().chain(finding.also.iter_mut().map(|(place, _)| place))
        });
        for place in places.filter(|place| Arc::ptr_eq(&place.source, source)) {
            place.source = shown.clone();
        }
    }

    /// All of them as text for a terminal, by file and place, without colours.
    pub fn render(&self) -> String {
        render::render(&self.list)
    }
}
