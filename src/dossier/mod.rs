//! All that is known of one indicator: the fold of its sightings, its findings, what of it was
//! disclosed; what an audience may know of it (the projection); and the leads made of it.
//!
//! The fold is commutative: minimum, maximum, counts, and last writer by observed time, reporter
//! and id. Whatever order sightings arrive in, the folded dossier is the same. Who may know what,
//! when to look something up again and what was said to whom is decided elsewhere; here it is kept.

mod explain;
mod fold;
mod keep;
mod lead;
mod project;
#[cfg(test)]
pub(crate) mod sample;
mod stored;

use serde::{Deserialize, Serialize};

use crate::enrich::Finding;
use crate::sighting::{Indicator, Marking, Protocol, RawRef, Role, Timestamp};

pub use explain::explain;
pub use fold::{Folded, fold};
pub use lead::{Built, Lead, Listed, Malware, Raw, ReporterView, Scorer, Service, Times};
pub use project::Projection;
pub use stored::{FORMAT, StoredError, decode, encode, wake_of};

/// The most of each collection that a dossier holds; what is over is counted, not kept.
pub mod caps {
    /// Reporters that a pipeline may name; `check` refuses more.
    pub const REPORTERS: usize = 26;
    /// Sources of evidence that a pipeline may name; `check` refuses more.
    pub const SOURCES: usize = 8;
    /// Agreements that a pipeline may name; `check` refuses more.
    pub const AGREEMENTS: usize = 16;
    /// Folds (role and marking) of one reporter, smallest first, so by how much the role matters.
    pub const FOLDS_A_REPORTER: usize = 4;
    /// Roles of one reporter in which its own repeats are known, smallest first.
    pub const ROLES_WITH_IDS: usize = 2;
    /// Services of a fold.
    pub const SERVICES: usize = 8;
    /// Malware names of a fold.
    pub const MALWARE: usize = 3;
    /// Victim countries of a fold.
    pub const VICTIM_COUNTRIES: usize = 4;
    /// Tags of a fold that govern sharing.
    pub const MATTER: usize = 2;
    /// Raw references of a fold.
    pub const RAW: usize = 2;
    /// Ids of one reporter in one role by which its own repeats are known.
    pub const IDS: usize = 64;
    /// Evidence of one finding.
    pub const EVIDENCE: usize = 16;
    /// Networks of one finding, and as many nexus.
    pub const NETWORKS: usize = 4;
    /// Bytes of the name of a reporter, source or agreement; `check` refuses longer ones.
    pub const NAME: usize = 64;
    /// Bytes of a build kept.
    pub const BUILD: usize = 192;
    /// Bytes of any other name kept: of malware, a code, an origin.
    pub const TEXT: usize = 48;
    /// Bytes of any one sentence or reference kept.
    pub const SENTENCE: usize = 128;
    /// Bytes of the name of a topic; a raw record of a longer one is not referred to.
    pub const TOPIC: usize = 96;
    /// Malware names of a lead.
    pub const LEAD_MALWARE: usize = 8;
    /// Services of a lead.
    pub const LEAD_SERVICES: usize = 16;
    /// Raw references of a lead.
    pub const LEAD_RAW: usize = 8;
}

/// All that is known of one indicator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dossier {
    /// When it wants to be looked at though nothing comes in; none when nothing is waited for. The
    /// first field, so that [`wake_of`] reads nothing else.
    pub wake_at: Option<Timestamp>,
    /// Whose.
    pub indicator: Indicator,
    /// Sightings folded, in order of reporter, role and marking.
    pub folds: Vec<Fold>,
    /// Of each reporter with folds that are not kept: how many sightings fell into those. In order
    /// of reporter.
    pub unkept: Vec<(String, u64)>,
    /// The ids by which repeats are known, in order of reporter and role.
    pub ids: Vec<SeenIds>,
    /// What the sources said, in order of source.
    pub findings: Vec<Finding>,
    /// How often each source, by name, went without an answer in a row, and when to ask again.
    pub retries: Vec<Retry>,
    /// The lead of each role as last written to `leads`.
    pub leads: Vec<Written>,
    /// What each agreement's recipient was last told, or refused.
    pub disclosed: Vec<Disclosed>,
}

/// The sightings of one reporter in one role under one marking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// Who supplied them.
    pub reporter: String,
    /// What the indicator was seen as.
    pub role: Role,
    /// How they are marked.
    pub marking: Marking,
    /// How many.
    pub count: u64,
    /// The earliest observed.
    pub first_seen: Timestamp,
    /// The latest observed.
    pub last_seen: Timestamp,
    /// The earliest taken in.
    pub first_reported: Timestamp,
    /// Ports, smallest first.
    pub services: Capped<(u16, Option<Protocol>)>,
    /// Malware names, smallest first.
    pub malware: Capped<String>,
    /// Victims' countries, smallest first.
    pub victim_countries: Capped<String>,
    /// Tags that govern sharing, `no-export` and `matter:<word>`, smallest first. What is over the cap
    /// is not known, and so nothing of the fold may go out.
    pub matter: Capped<String>,
    /// The confidence claimed last: its observed time, a digest of the sighting's id (0 for none),
    /// and the confidence. The greatest of these wins.
    pub confidence: Option<(Timestamp, u64, u8)>,
    /// The latest raw records by observed time, topic, partition, offset and index, latest first,
    /// with the port that was seen.
    #[serde(with = "stored::raw")]
    pub raw: Vec<(Timestamp, Option<u16>, RawRef)>,
}

/// A collection with a cap. It keeps the smallest keys, so what it holds does not depend on order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capped<K> {
    /// In order of key.
    pub kept: Vec<(K, Seen)>,
    /// Sightings that named a key that is not kept.
    pub overflow: u64,
}

impl<K> Default for Capped<K> {
    fn default() -> Self {
        Self { kept: Vec::new(), overflow: 0 }
    }
}

/// How often and when something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Sightings.
    pub count: u64,
    /// The earliest observed.
    pub first: Timestamp,
    /// The latest observed.
    pub last: Timestamp,
}

/// The ids of one reporter's sightings in one role: the last by observed time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenIds {
    /// Whose.
    pub reporter: String,
    /// In which role.
    pub role: Role,
    /// Observed time and the first eight bytes of the id's SHA-256, latest last.
    #[serde(with = "stored::ids")]
    pub ids: Vec<(Timestamp, u64)>,
}

/// A source that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The enricher's name.
    pub source: String,
    /// Times in a row.
    pub attempts: u8,
    /// When to ask again; none when only the next sighting does.
    pub at: Option<Timestamp>,
}

/// A lead as last written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Of which role.
    pub role: Role,
    /// Counts from 1.
    pub version: u64,
    /// First sixteen bytes of SHA-256 of what it was made from.
    pub digest: [u8; 16],
}

/// What one agreement's recipient knows of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclosed {
    /// The agreement's id.
    pub agreement: String,
    /// Of which role.
    pub role: Role,
    /// Counts from 1; 0 when nothing was disclosed yet.
    pub version: u64,
    /// First sixteen bytes of SHA-256 of what it was told; zero when that was to be told anew.
    pub digest: [u8; 16],
    /// The same without times and counts.
    pub major: [u8; 16],
    /// When.
    pub at: Timestamp,
    /// The clause by which it is refused now, if it is.
    pub refused: Option<String>,
}
