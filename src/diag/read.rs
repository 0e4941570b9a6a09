//! Reads a TOML file into a type, strictly, reporting every problem of shape at its place.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Findings, Source};

/// Reads `source` as a `T`, pushing every problem of shape; none when there was any.
pub fn read<T: DeserializeOwned + JsonSchema>(source: &Arc<Source>, findings: &mut Findings) -> Option<T> {
    let _ = (source, findings);
    None
}

/// The JSON Schema of a type, with our additions.
pub fn schema_of<T: JsonSchema>() -> serde_json::Value {
    serde_json::Value::Null
}
