//! The model: weights, half-lives, bands.

use super::{Coverage, Item, Score, Verdict};
use crate::sighting::{IndicatorType, Role, Timestamp};

/// The scoring model.
#[derive(Debug, Clone, Default)]
pub struct Model {}

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
