//! The model: weights, half-lives, bands.

use super::{Coverage, Item, Score, Verdict};
use crate::sighting::{IndicatorType, Role, Timestamp};

/// The scoring model.
#[derive(Debug, Clone, Default)]
pub struct Model {}

/// A model as written. Stand-in.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
pub struct Written {
    /// Its name.
    pub name: String,
}

impl Model {
    /// Reads a model's file. Stand-in.
    pub fn read(
        source: &std::sync::Arc<crate::diag::Source>,
        findings: &mut crate::diag::Findings,
    ) -> Option<Self> {
        crate::diag::read::<Written>(source, findings).map(|_| Self {})
    }
}

pub(super) fn score(
    _model: &Model,
    _kind: IndicatorType,
    _role: Role,
    _items: &[Item],
    _coverage: &[Coverage],
    _now: Timestamp,
) -> Score {
    Score {
        risk: 0,
        confidence: 0,
        verdict: Verdict::Unscored,
        conflict: false,
        log_odds: 0,
        factors: Vec::new(),
    }
}
