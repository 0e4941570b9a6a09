//! agreement

/// An agreement.
#[derive(Debug, Clone)]
pub struct Agreement {}
