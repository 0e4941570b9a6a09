//! decide

/// Terms by name.
#[derive(Debug, Clone, Default)]
pub struct Book {}
/// A decision.
#[derive(Debug, Clone)]
pub struct Decision {}
/// Its outcome.
#[derive(Debug, Clone)]
pub enum Outcome {}
