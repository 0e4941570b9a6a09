//! Sightline's own JSON.

/// The schema of a lead. Stand-in.
pub fn schema() -> serde_json::Value {
    crate::diag::schema_of::<serde_json::Value>()
}
