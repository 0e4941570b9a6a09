//! Reads a TOML file into a type, strictly, reporting every problem at its place.
//!
//! Three passes: syntax; shape, by walking the tree against the type's own JSON Schema
//! ([`super::shape`]); and what the types themselves refuse ([`super::values`]). serde alone would
//! stop at the first problem.

use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::de::DeTable;

use super::{Finding, Findings, Place, Source, shape, values};

/// Reads `source` as a `T`, pushing every problem; none when there was an error.
///
/// Codes: `syntax`, `unknown-key`, `missing-key`, `wrong-type`, `unknown-value`, `out-of-range`,
/// `not-one-key`, `bad-value`, and the warning `repeated-value`.
pub fn read<T: DeserializeOwned + JsonSchema>(source: &Arc<Source>, findings: &mut Findings) -> Option<T> {
    let (mut table, errors) = DeTable::parse_recoverable(&source.text);
    let broken: Vec<Range<usize>> =
        errors.iter().map(|error| error.span().unwrap_or(source.text.len()..source.text.len())).collect();
    for (error, span) in errors.iter().zip(&broken) {
        let finding = Finding::error("syntax", error.message())
            .at(Some(Place { source: source.clone(), span: span.clone() }));
        // One fault may be met by several rules of the grammar.
        if !findings.list.contains(&finding) {
            findings.push(finding);
        }
    }
    let schema = schema_of::<T>();
    let is_shapely = shape::check(&mut table, &schema, &broken, source, findings);
    if !broken.is_empty() || !is_shapely {
        return None;
    }
    values::deserialise(table, source, findings)
}

/// The JSON Schema (draft 2020-12) of what is written for a `T`.
pub fn schema_of<T: JsonSchema>() -> serde_json::Value {
    schemars::schema_for!(T).to_value()
}

#[cfg(test)]
mod tests;
