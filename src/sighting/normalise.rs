//! Text to indicator: refanging, detection, canonical forms, special-purpose ranges.

/// Turns texts into canonical indicators.
#[derive(Debug, Clone, Default)]
pub struct Normaliser {}
