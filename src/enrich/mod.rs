//! Sources of evidence about indicators: the trait, what they find, and one file an enricher.
//!
//! An enricher computes; it opens no socket and looks at no clock. See [`Enricher`]. Which enrichers
//! there are, and how they come from a pipeline file, is in [`settings`].

mod country;
pub mod gate;
pub mod geoip;
mod host;
mod list;
pub mod names;
pub mod replace;
pub mod reputation;
pub mod settings;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sighting::{Indicator, Pap, Role, Timestamp, Tlp};

pub use replace::{Form, Loaded, replace_check};
use settings::{EnricherConfig, check_stale_after, digest, take};
pub use settings::{EnricherSettings, LoadError, check_all};

/// A source of evidence about indicators, in two pure steps.
///
/// [`Enricher::questions`] says what it would ask, the shell asks (behind the PAP gate, which so
/// has one place), and [`Enricher::finding`] says what the answers and the loaded data mean.
pub trait Enricher: Send + Sync {
    /// Name in the pipeline file, in metrics, in findings. Unique in a pipeline; never changes.
    fn name(&self) -> &str;

    /// Which data is loaded: names and dates of builds. It stands in every lead that used it, and a
    /// finding of another build is looked up again.
    fn build(&self) -> &str;

    /// Whether the finding is there without anybody having asked: a local file is, an answer to a
    /// question that a sighting triggered is not, and then inherits the terms of that sighting.
    fn independent(&self) -> bool {
        true
    }

    /// How long a finding holds before it is looked up again, in milliseconds.
    fn stale_after(&self) -> i64;

    /// The files that it was made from, to be compared with those that replace them and shown to
    /// whoever runs this. Empty where there are none.
    fn loaded(&self) -> Vec<Loaded> {
        Vec::new()
    }

    /// What to ask. Local sources ask nothing. It sees the indicator alone, never the sightings:
    /// whatever hidden sightings could change here would leak.
    fn questions(&self, indicator: &Indicator, answers: &Answers) -> Vec<Question> {
        let _ = (indicator, answers);
        Vec::new()
    }

    /// What data and answers say. A question without an answer is [`Status::Unknown`], never a miss.
    fn finding(&self, indicator: &Indicator, answers: &Answers, now: Timestamp) -> Finding;
}

/// A question that leaves the house.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Whom: the enricher's name.
    pub source: String,
    /// What, in the source's own form.
    pub text: String,
    /// How openly it asks: the sightings' PAP must be at most this.
    pub pap: Pap,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The source said this.
    Found(Vec<u8>),
    /// The source said that it has nothing.
    Empty,
    /// No answer in time, or not one that can be understood.
    Failed(String),
    /// Not asked: by PAP, TLP or quota.
    Refused(String),
}

/// Answers by question.
pub type Answers = std::collections::BTreeMap<Question, Answer>;

/// What became of looking something up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The source knows it.
    Hit,
    /// The source knows that it does not have it.
    Miss,
    /// No usable answer. Never lowers a score and never counts as clean.
    Unknown,
    /// Not asked, by PAP, TLP or quota, or because the source has nothing to say of this type.
    Skipped,
}

/// All that one source says of one indicator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The enricher's name.
    pub source: String,
    /// What became of it.
    pub status: Status,
    /// Why, where the status is unknown or skipped.
    pub detail: Option<String>,
    /// The data that it was made from.
    pub build: String,
    /// When it was looked up: decides staleness, and is shown to nobody outside.
    pub looked_up_at: Timestamp,
    /// As [`Enricher::independent`].
    pub independent: bool,
    /// What counts for or against.
    pub evidence: Vec<Evidence>,
    /// Where it is.
    pub network: Vec<Network>,
    /// Which countries it has to do with, and how.
    pub nexus: Vec<Nexus>,
    /// Whether it is a government's.
    pub gov: Option<Gov>,
}

impl Finding {
    /// A finding without content.
    pub fn empty(enricher: &(impl Enricher + ?Sized), status: Status, now: Timestamp) -> Self {
        Self {
            source: enricher.name().to_owned(),
            status,
            detail: None,
            build: enricher.build().to_owned(),
            looked_up_at: now,
            independent: enricher.independent(),
            evidence: Vec::new(),
            network: Vec::new(),
            nexus: Vec::new(),
            gov: None,
        }
    }
}

/// One claim of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Kebab-case, stable: `listed`, `shared-hosting`.
    pub code: String,
    /// One sentence for an analyst.
    pub text: String,
    /// Log-odds in hundredths at age zero: positive speaks for the role, negative against it.
    pub weight: i32,
    /// The roles that it speaks of; empty means any.
    pub roles: Vec<Role>,
    /// When it was true. Evidence decays from here.
    pub observed_at: Timestamp,
    /// Where the claim first came from: claims of one origin count once.
    pub origin: String,
    /// The entry at the origin, for a reader to look up.
    pub reference: Option<String>,
    /// The entry's own marking; may only narrow the source's terms.
    pub tlp: Option<Tlp>,
    /// As `tlp`, for actions.
    pub pap: Option<Pap>,
}

/// Where an address is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Network {
    /// The address.
    pub ip: String,
    /// Autonomous system number.
    pub asn: Option<u32>,
    /// Its name.
    pub as_name: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: Option<String>,
    /// City, in English.
    pub city: Option<String>,
}

/// By which kind of link a country has to do with an indicator (`sharing.md` 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NexusKind {
    /// The address is hosted there.
    Hosting,
    /// The name is under its top-level domain.
    Tld,
    /// The name is under its government's suffix.
    Gov,
    /// A victim is there, as a reporter said.
    Victim,
}

/// A country that has to do with an indicator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Nexus {
    /// By what link.
    pub kind: NexusKind,
    /// ISO 3166-1 alpha-2, upper case.
    pub country: String,
    /// 0 to 100.
    pub confidence: u8,
    /// The enricher or reporter that says so.
    pub source: String,
}

/// A government name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gov {
    /// The suffix that it stands under.
    pub suffix: String,
    /// Whose.
    pub country: String,
    /// `central`, `local`, `military` or `police`.
    pub class: String,
}

/// Terms for tests that are about something else.
#[cfg(test)]
fn test_terms() -> crate::sighting::Terms {
    crate::sighting::Terms {
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        release_to: std::collections::BTreeSet::new(),
        never_to: std::collections::BTreeSet::new(),
        purposes: std::collections::BTreeSet::new(),
        notify_affected: crate::sighting::Notify::default(),
    }
}
