//! CSV, mapped by the header line: `format = { csv = { map = { indicator = "ip", ... } } }`.
//!
//! A record is a whole file: its header line, then one sighting a row. Columns are found by name
//! only, because feeds insert new ones.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;

use super::draft::{Draft, Position};
use super::mapping::{Fields, Mapping, Values};
use super::rows::{Line, Rows};
use super::tree::{Json, Scalar};
use super::{Reject, Times, check_count, utf8};
use crate::diag::{Finding, Findings, Place};
use crate::sighting::reason::{Reason, quote};

/// How the sightings stand in the CSV of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What stands between two columns, one ASCII character. Default `,`. Spaces around it and
    /// before a quote do not count.
    pub delimiter: char,
    /// What begins a line of comment, one ASCII character. Default: there are no comments. The last
    /// comment before the first row may be the header line, as in abuse.ch's files.
    pub comment: Option<char>,
    /// The column of each field, by its name in the header line.
    pub map: Fields,
    /// What the feed's words mean.
    pub values: Values,
    /// What a field is where the row says nothing of it.
    pub constant: Fields,
    /// How the times are written. Default `rfc3339`.
    pub times: Times,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delimiter: ',',
            comment: None,
            map: Fields::default(),
            values: Values::default(),
            constant: Fields::default(),
            times: Times::default(),
        }
    }
}

/// Settings that have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    delimiter: char,
    comment: Option<char>,
    mapping: Mapping<String>,
}

impl Settings {
    pub(super) fn check(&self, at: &dyn Fn() -> Option<Place>, findings: &mut Findings) -> Option<Checked> {
        let mut sound = true;
        let mut error = |code, text: String, help: &str| {
            findings.push(Finding::error(code, text).at(at()).help(help));
            sound = false;
        };
        let delimiter = self.delimiter;
        if !(delimiter == '\t' || delimiter.is_ascii_punctuation()) || matches!(delimiter, '"' | '.' | '-') {
            let text = format!("`delimiter` is {delimiter:?}");
            error("format-delimiter", text, "write a comma, a semicolon, a tabulator, a bar or the like");
        }
        if let Some(comment) = self.comment
            && (!comment.is_ascii_punctuation() || comment == '"' || comment == delimiter)
        {
            let text = format!("`comment` is {comment:?}");
            error("format-comment", text, "write a mark such as `#` that no row begins with");
        }
        let column = |text: &str| match text.trim() {
            "" => Err("it names no column".to_owned()),
            name => Ok(name.to_owned()),
        };
        let written = (&self.map, &self.values, &self.constant, self.times);
        let mapping = Mapping::check(written, column, at, findings)?;
        sound.then_some(Checked { delimiter, comment: self.comment, mapping })
    }
}

impl Checked {
    pub(super) fn decode<'a>(
        &'a self,
        bytes: &'a [u8],
        max_sightings: usize,
    ) -> Result<Vec<Draft<'a>>, Reject> {
        let mut rows = Rows::new(utf8(bytes)?, self.delimiter, self.comment);
        let mut comments = Vec::new();
        let first = loop {
            match rows.next()? {
                Some(Line::Comment(comment)) => comments.push(comment),
                Some(Line::Row(line, cells)) => break Some((line, cells)),
                None => break None,
            }
        };
        let Some((line, cells)) = first else {
            // A header without rows, in a comment or not, says that there is nothing.
            return match self.header_in(&comments) {
                Some(_) => Ok(Vec::new()),
                None => Err(Reject::new(Reason::BadHeader, "it has no header line")),
            };
        };
        // The first row is the header where it can be; only then is it looked for in comments.
        let (header, mut next) = match self.missing_column(&cells) {
            None => (cells, rows.next()?),
            Some(name) => match self.header_in(&comments) {
                Some(header) => (header, Some(Line::Row(line, cells))),
                None => {
                    let text = format!("line {line}: the header has no column {}", quote(name));
                    return Err(Reject::new(Reason::BadHeader, text));
                }
            },
        };
        if let Some(name) = repeated(&header) {
            let text = format!("the header has the column {} twice", quote(name));
            return Err(Reject::new(Reason::BadHeader, text));
        }
        let columns = self.mapping.resolve(|name| {
            header.iter().position(|cell| cell == name).ok_or_else(|| {
                Reject::new(Reason::BadHeader, format!("the header has no column {}", quote(name)))
            })
        })?;
        let mut drafts = Vec::new();
        while let Some(line) = next {
            if let Line::Row(line, cells) = line {
                check_count(drafts.len() + 1, max_sightings)?;
                drafts.push(self.draft(line, &cells, header.len(), &columns)?);
            }
            next = rows.next()?;
        }
        Ok(drafts)
    }

    fn draft<'a>(
        &'a self,
        line: usize,
        cells: &[Cow<'a, str>],
        n_columns: usize,
        columns: &[Option<usize>],
    ) -> Result<Draft<'a>, Reject> {
        if cells.len() != n_columns {
            let text = format!("line {line}: it has {} columns, and the header has {n_columns}", cells.len());
            return Err(Reject::new(Reason::ColumnCount, text));
        }
        self.mapping.draft(Position::Line(line), |n, _| {
            let cell = cells.get((*columns.get(n)?)?)?;
            Some(Json::Scalar(Scalar::Text(cell.clone())))
        })
    }

    /// The first mapped column that is not among these.
    fn missing_column(&self, header: &[Cow<'_, str>]) -> Option<&str> {
        self.mapping.places().find(|name| !header.iter().any(|cell| cell == *name)).map(String::as_str)
    }

    /// The last comment that is a header with every mapped column.
    fn header_in<'a>(&self, comments: &[&'a str]) -> Option<Vec<Cow<'a, str>>> {
        comments.iter().rev().find_map(|comment| match Rows::new(comment, self.delimiter, None).next() {
            Ok(Some(Line::Row(_, cells))) if self.missing_column(&cells).is_none() => Some(cells),
            // Prose, with quotes that no CSV has.
            _ => None,
        })
    }
}

/// The first name that stands twice.
fn repeated<'h>(header: &'h [Cow<'_, str>]) -> Option<&'h str> {
    let mut names: Vec<&str> = header.iter().map(|cell| &**cell).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
