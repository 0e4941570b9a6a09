//! Text to indicator: refanging, detection, canonical forms, special-purpose ranges.

use schemars::JsonSchema;
use serde::Deserialize;

/// Turns texts into canonical indicators.
#[derive(Debug, Clone, Default)]
pub struct Normaliser {}

/// What counts as an indicator here though it does not elsewhere. Stand-in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Networks of special purpose that are let through all the same.
    pub allow: Vec<String>,
    /// Suffixes that are let through all the same.
    pub allow_suffixes: Vec<String>,
}
