//! The table of input formats.

use schemars::JsonSchema;
use serde::Deserialize;

/// How records are read. Stand-in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FormatSettings {
    /// Our own JSON.
    Sightline(serde_json::Map<String, serde_json::Value>),
    /// Somebody's JSON, mapped.
    Json(serde_json::Map<String, serde_json::Value>),
    /// CSV, mapped by header.
    Csv(serde_json::Map<String, serde_json::Value>),
}

/// The schema of a sighting as it comes in. Stand-in.
pub fn schema() -> serde_json::Value {
    crate::diag::schema_of::<serde_json::Value>()
}
