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
    let end = source.text.len();
    let lines: Vec<Range<usize>> =
        errors.iter().map(|error| shape::lines_of(&source.text, &error.span().unwrap_or(end..end))).collect();
    for error in &errors {
        let place = error.span().map(|span| Place { source: source.clone(), span });
        let finding = Finding::error("syntax", error.message()).at(place);
        // One fault may be met by several rules of the grammar.
        if !findings.list.contains(&finding) {
            findings.push(finding);
        }
    }
    let schema = schema_of::<T>();
    if !errors.is_empty() {
        // The parser loses more than the broken lines; without them it sees the rest. What it finds
        // now may be a fault of the gap, and is not reported.
        let rest = without(&source.text, &lines);
        let (mut table, _) = DeTable::parse_recoverable(&rest);
        shape::check(&mut table, &schema, true, source, findings);
        return None;
    }
    if !shape::check(&mut table, &schema, false, source, findings) {
        return None;
    }
    values::deserialise(table, source, findings)
}

/// The text with spaces in place of these lines, byte for byte, so that places hold.
fn without(text: &str, lines: &[Range<usize>]) -> String {
    text.char_indices()
        .flat_map(|(at, c)| {
            let is_lost = c != '\n' && lines.iter().any(|lines| lines.contains(&at));
            let n = if is_lost { c.len_utf8() } else { 1 };
            std::iter::repeat_n(if is_lost { ' ' } else { c }, n)
        })
        .collect()
}

/// The JSON Schema (draft 2020-12) of what is written for a `T`.
pub fn schema_of<T: JsonSchema>() -> serde_json::Value {
    schemars::schema_for!(T).to_value()
}

#[cfg(test)]
mod tests;
