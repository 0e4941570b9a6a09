//! Evidence to risk, confidence, verdict and the explanation. Sees evidence, never an enricher.
//!
//! All arithmetic is in whole hundredths of log-odds, in a fixed order, with `libm`: the same
//! inputs give the same bytes on every machine. Nothing here learns, calibrates or looks at a clock.

pub mod model;
mod weigh;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::enrich::Status;
use crate::sighting::{IndicatorType, Role, Timestamp};

pub use model::Model;

/// The codes of factors that are not an item's own, and those of items that mean something here.
pub mod codes {
    /// What holds before anything is known of this indicator.
    pub const PRIOR: &str = "prior";
    /// A reporter's claim.
    pub const CLAIM: &str = "claim";
    /// Takes back what one origin would count for beyond its cap.
    pub const CAP: &str = "cap";
    /// A source was asked and has nothing.
    pub const NO_ENTRY: &str = "no-entry";
    /// A source gave no answer, or was not asked.
    pub const NOT_CHECKED: &str = "not-checked";
    /// An item of this code says that the indicator must not be reported, whatever its risk.
    pub const SUPPRESS: &str = "suppress";
}

/// One thing that speaks for or against: a reporter's claim, or evidence of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Stable code: [`codes::CLAIM`] for a reporter's, else the evidence's.
    pub code: String,
    /// One sentence. It must not depend on `now`.
    pub text: String,
    /// Log-odds in hundredths at age zero, reliability of a source already in it. Counted as if
    /// within [`model::MAX_WEIGHT`] of zero.
    pub weight: i32,
    /// The reporter's or the enricher's name.
    pub source: String,
    /// Claims of one origin count once.
    pub origin: String,
    /// 0 to 100: how far the source can be relied on. Above 100 counts as 100.
    pub reliability: u8,
    /// Decays from here.
    pub observed_at: Timestamp,
    /// A claim of an indicator's badness can justify a disclosure and makes sure; context can't.
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
    /// Whether the source could have said something. One that has nothing to say of this type of
    /// indicator is not missed: it lowers no confidence and is not shown.
    pub applies: bool,
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

impl Verdict {
    /// The name in records and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malicious => "malicious",
            Self::Suspicious => "suspicious",
            Self::Unscored => "unscored",
            Self::Benign => "benign",
            Self::Suppressed => "suppressed",
        }
    }
}

/// One signed contribution to a score. The points of all factors add up to [`Score::log_odds`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// One of [`codes`], or the evidence's.
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
    /// When it was true; none for what no item says: prior, cap, no entry, not checked.
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
    /// Strong evidence on both sides, or a suppressing list against strong evidence.
    pub conflict: bool,
    /// The sum of all points, hundredths.
    pub log_odds: i32,
    /// In a fixed order: the prior; then by points from high to low, code, source, origin and time;
    /// then the sources that have no entry; then what was not checked.
    pub factors: Vec<Factor>,
}

/// Scores one indicator in one role.
///
/// The order of `items` and of `coverage` changes nothing. A role of a victim is scored as how
/// likely it is that this *is* a victim. A source that could not be asked lowers the confidence and
/// never the risk. An item of a later time than `now` counts as if of `now`.
pub fn score(
    model: &Model,
    kind: IndicatorType,
    role: Role,
    items: Vec<Item>,
    coverage: Vec<Coverage>,
    now: Timestamp,
) -> Score {
    weigh::score(model, kind, role, items, coverage, now)
}
