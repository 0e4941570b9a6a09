//! Any JSON, mapped by paths: `format = { json = { map = { indicator = "ioc.value", ... } } }`.
//!
//! What is not mapped is not looked at, except that no key may stand twice anywhere.

use schemars::JsonSchema;
use serde::Deserialize;

use super::draft::{Draft, Position};
use super::mapping::{Fields, Mapping, Values};
use super::path::Path;
use super::tree::{self, Json};
use super::{Reject, Times, check_count};
use crate::diag::{Finding, Findings, Place};
use crate::sighting::reason::{Reason, quote};

/// How the sightings stand in the JSON of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The path of the list whose items are sightings. Without it the record is one sighting, or a
    /// list of them.
    pub items: Option<String>,
    /// The path of each field in an item: keys with dots between them, a number for an item of a
    /// list, a key that has dots itself in quotes (`"source.ip"`), `$.` in front to start at the
    /// record instead of the item.
    pub map: Fields,
    /// What the feed's words mean.
    pub values: Values,
    /// What a field is where the record says nothing of it.
    pub constant: Fields,
    /// How the times are written. Default `rfc3339`.
    pub times: Times,
}

/// Settings that have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    items: Option<(String, Path)>,
    mapping: Mapping<Path>,
}

impl Settings {
    pub(super) fn check(&self, at: &dyn Fn() -> Option<Place>, findings: &mut Findings) -> Option<Checked> {
        let parsed = self.items.as_ref().map(|text| (text.clone(), Path::parse(text)));
        let items = match parsed {
            None => Some(None),
            Some((text, Ok(path))) => Some(Some((text, path))),
            Some((text, Err(why))) => {
                let text = format!("`items` is {}: {why}", quote(&text));
                findings.push(Finding::error("format-path", text).at(at()));
                None
            }
        };
        let written = (&self.map, &self.values, &self.constant, self.times);
        let mapping = Mapping::check(written, Path::parse, at, findings);
        Some(Checked { items: items?, mapping: mapping? })
    }
}

impl Checked {
    pub(super) fn decode<'a>(
        &'a self,
        bytes: &'a [u8],
        max_sightings: usize,
    ) -> Result<Vec<Draft<'a>>, Reject> {
        let root = tree::parse(bytes)?;
        let list = match (&self.items, &root) {
            (None, Json::List(list)) => list,
            (None, Json::Object(_)) => return Ok(vec![self.draft(&root, &root, Position::Whole)?]),
            (None, other) => {
                let text = format!("it is {}; an object or a list of objects is needed", other.kind());
                return Err(Reject::new(Reason::WrongShape, text));
            }
            (Some((text, path)), root) => match path.find(root, root) {
                Some(Json::List(list)) => list,
                other => {
                    let found = other.map_or("not there", Json::kind);
                    let text = format!("{text} is {found}; a list is needed");
                    return Err(Reject::new(Reason::WrongShape, text));
                }
            },
        };
        check_count(list.len(), max_sightings)?;
        list.iter().enumerate().map(|(index, item)| self.draft(&root, item, Position::Item(index))).collect()
    }

    fn draft<'a>(
        &'a self,
        root: &Json<'a>,
        item: &Json<'a>,
        position: Position,
    ) -> Result<Draft<'a>, Reject> {
        if !matches!(item, Json::Object(_)) {
            let reject =
                Reject::new(Reason::WrongShape, format!("it is {}; an object is needed", item.kind()));
            return Err(reject.at(position));
        }
        self.mapping.draft(position, |_, path| path.find(root, item).cloned())
    }
}
