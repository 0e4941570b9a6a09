//! Reads a TOML file into a type, strictly, reporting every problem of shape at its place.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Findings, Source};

/// Reads `source` as a `T`, pushing every problem of shape; none when there was any.
///
/// TEMPORARY: the room's own reader replaces this file when branches are merged.
pub fn read<T: DeserializeOwned + JsonSchema>(source: &Arc<Source>, findings: &mut Findings) -> Option<T> {
    let result = toml::de::DeTable::parse(&source.text).and_then(|mut table| {
        for (_, value) in table.get_mut().iter_mut() {
            times_as_text(value.get_mut());
        }
        T::deserialize(toml::de::Deserializer::from(table))
    });
    match result {
        Ok(value) => Some(value),
        Err(err) => {
            let place = err.span().map(|span| super::Place { source: source.clone(), span });
            findings.push(super::Finding::error("bad-value", err.message()).at(place));
            None
        }
    }
}

fn times_as_text(value: &mut toml::de::DeValue<'_>) {
    match value {
        toml::de::DeValue::Datetime(time) => {
            *value = toml::de::DeValue::String(toml::de::DeString::Owned(time.to_string()));
        }
        toml::de::DeValue::Table(table) => {
            table.iter_mut().for_each(|(_, value)| times_as_text(value.get_mut()));
        }
        toml::de::DeValue::Array(list) => {
            list.iter_mut().for_each(|value| times_as_text(value.get_mut()));
        }
        _ => {}
    }
}

/// The JSON Schema of a type, with our additions.
pub fn schema_of<T: JsonSchema>() -> serde_json::Value {
    schemars::schema_for!(T).to_value()
}
