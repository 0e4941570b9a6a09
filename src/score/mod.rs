//! Evidence to risk, confidence, verdict and the explanation. Sees evidence, never an enricher.
//!
//! All arithmetic is in whole hundredths of log-odds, in a fixed order, with `libm`: the same
//! inputs give the same bytes on every machine.

pub mod model;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::enrich::Status;
use crate::sighting::{IndicatorType, Role, Timestamp};

pub use model::Model;

/// One thing that speaks for or against: a reporter's claim, or evidence of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Stable code: `claim` for a reporter's, else the evidence's.
    pub code: String,
    /// One sentence.
    pub text: String,
    /// Log-odds in hundredths at age zero, reliability of a source already in it.
    pub weight: i32,
    /// The reporter's alias or the enricher's name.
    pub source: String,
    /// Claims of one origin count once.
    pub origin: String,
    /// 0 to 100: how far the source can be relied on.
    pub reliability: u8,
    /// Decays from here.
    pub observed_at: Timestamp,
    /// A claim of an indicator's badness can justify a disclosure; context can't.
    pub is_claim: bool,
}

/// What became of a source that was or should have been looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The enricher's name.
    pub source: String,
    /// What became of it.
    pub status: Status,
    /// Why, where it was not checked.
    pub detail: Option<String>,
}

/// The bands that a reader acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Act on it.
    Malicious,
    /// Look at it.
    Suspicious,
    /// Too little is known to say.
    Unscored,
    /// Speaks for being harmless.
    Benign,
    /// A list says that it must not be reported.
    Suppressed,
}

/// One signed contribution to a score. The points of all factors add up to [`Score::log_odds`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// `prior`, `claim`, or the evidence's code; `not-checked` for a source without an answer.
    pub code: String,
    /// One sentence.
    pub text: String,
    /// Log-odds in hundredths, after decay.
    pub points: i32,
    /// Who says so.
    pub source: String,
    /// Where it first came from.
    pub origin: String,
    /// What became of the look-up.
    pub status: Status,
    /// When it was true; none for the prior and what was not checked.
    pub observed_at: Option<Timestamp>,
}

/// Risk, confidence and verdict are three answers, never merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// 0 to 100: how likely it is what the role says. `round(100 / (1 + e^-x))`, x being the sum of
    /// the factors' points divided by 100.
    pub risk: u8,
    /// 0 to 100: how sure, from number and reliability of origins, freshness and coverage.
    pub confidence: u8,
    /// The band.
    pub verdict: Verdict,
    /// Strong evidence on both sides.
    pub conflict: bool,
    /// The sum of all points, hundredths.
    pub log_odds: i32,
    /// In a fixed order: the prior, then by points from high to low, then what was not checked.
    pub factors: Vec<Factor>,
}

/// Scores one indicator in one role.
pub fn score(
    model: &Model,
    kind: IndicatorType,
    role: Role,
    items: &[Item],
    coverage: &[Coverage],
    now: Timestamp,
) -> Score {
    model::score(model, kind, role, items, coverage, now)
}
