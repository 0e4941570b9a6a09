//! Where everything in an agreement file stands, and which of its keys are not built.
//!
//! It walks the file beside the schema, so that a key's standing is looked up and not listed twice. It
//! reports refused keys only; shape is the reader's business and meaning the check's.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use crate::diag::{Finding, Findings, Place, Source};

/// The bytes of every key and value, by path: `scope.nexus`, `scope.nexus.0`, `fields.score.risk`.
pub(super) struct Places {
    source: Arc<Source>,
    spans: BTreeMap<String, (Range<usize>, Range<usize>)>,
}

impl Places {
    /// Walks the file. A file that is no TOML has no places; the reader says why.
    pub(super) fn of(source: &Arc<Source>, schema: &Value, out: &mut Findings) -> Self {
        let mut places = Self { source: source.clone(), spans: BTreeMap::new() };
        if let Ok(table) = DeTable::parse(&source.text) {
            let root = Schema { root: schema, here: schema };
            places.table(table.get_ref(), "", Some(root), out);
        }
        places
    }

    /// Where the key stands.
    pub(super) fn key(&self, path: &str) -> Option<Place> {
        self.spans.get(path).map(|(key, _)| self.place(key))
    }

    /// Where the value stands; the key where the file has no such value.
    pub(super) fn value(&self, path: &str) -> Option<Place> {
        self.spans.get(path).map(|(_, value)| self.place(value))
    }

    /// Where the element of a list stands.
    pub(super) fn element(&self, path: &str, text: &str) -> Option<Place> {
        let is_it = |place: &Place| {
            self.source
                .text
                .get(place.span.clone())
                .is_some_and(|written| written.trim_matches(['"', '\'']) == text)
        };
        (0..)
            .map_while(|index| self.value(&format!("{path}.{index}")))
            .find(is_it)
            .or_else(|| self.value(path))
    }

    fn place(&self, span: &Range<usize>) -> Place {
        Place { source: self.source.clone(), span: span.clone() }
    }

    fn table(&mut self, table: &DeTable<'_>, path: &str, schema: Option<Schema<'_>>, out: &mut Findings) {
        for (key, value) in table {
            let name: &str = key.get_ref().as_ref();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            self.spans.insert(path.clone(), (key.span(), value.span()));
            let property = schema.and_then(|schema| schema.property(name));
            if let Some(property) = property
                && property.text("x-standing") == Some("refused")
            {
                out.push(refused_key(&path, property.text("x-instead")).at(self.key(&path)));
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) => self.table(inner, &path, property, out),
                DeValue::Array(list) => {
                    for (index, element) in list.iter().enumerate() {
                        let span = element.span();
                        self.spans.insert(format!("{path}.{index}"), (span.clone(), span));
                    }
                }
                _ => {}
            }
        }
    }
}

/// The finding for a key that is known and not built.
pub(super) fn refused_key(path: &str, instead: Option<&str>) -> Finding {
    let help = instead.unwrap_or("remove it, or wait for a version that has it");
    Finding::error("agreement-key-refused", format!("`{path}` is not supported yet")).help(help)
}

/// A place in a JSON Schema.
#[derive(Clone, Copy)]
struct Schema<'a> {
    root: &'a Value,
    here: &'a Value,
}

impl<'a> Schema<'a> {
    /// An addition of ours at this place.
    fn text(&self, key: &str) -> Option<&'a str> {
        self.here.get(key)?.as_str()
    }

    /// The schema of a key, seen through references and `null` for what may be absent.
    fn property(&self, name: &str) -> Option<Self> {
        self.properties()?.get(name).map(|here| Self { root: self.root, here })
    }

    /// All keys below this place.
    fn properties(&self) -> Option<&'a serde_json::Map<String, Value>> {
        if let Some(properties) = self.here.get("properties") {
            return properties.as_object();
        }
        if let Some(reference) = self.here.get("$ref").and_then(Value::as_str) {
            let here = self.root.pointer(reference.strip_prefix('#')?)?;
            return Self { root: self.root, here }.properties();
        }
        let choices = self.here.get("anyOf")?.as_array()?;
        choices.iter().find_map(|here| Self { root: self.root, here }.properties())
    }
}
