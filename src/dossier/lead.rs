//! A lead: what a dossier, or a projection of it, says about one role, scored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Projection;
use crate::enrich::{Gov, Network, Nexus};
use crate::score::{Model, Score};
use crate::sighting::{Indicator, Pap, Protocol, Role, Timestamp, Tlp};

/// What scoring needs beside the dossier.
#[derive(Debug, Clone)]
pub struct Scorer {
    /// The model.
    pub model: Model,
    /// By reporter's name: how it is shown (its alias), how reliable it is, its origin.
    pub reporters: BTreeMap<String, ReporterView>,
    /// By enricher's name: how reliable it is, 0 to 100.
    pub sources: BTreeMap<String, u8>,
}

/// How a reporter counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReporterView {
    /// 0 to 100 (`domain.md` 5.4).
    pub reliability: u8,
    /// Claims of one origin count once; by default the reporter's own name.
    pub origin: String,
}

/// One or more reporters' name for malware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malware {
    /// Lower case.
    pub name: String,
    /// How many reporters name it.
    pub reporters: u64,
}

/// A port that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// 1 to 65535.
    pub port: u16,
    /// Of the port, where known.
    pub protocol: Option<Protocol>,
    /// The earliest observed.
    pub first_seen: Timestamp,
    /// The latest observed.
    pub last_seen: Timestamp,
}

/// When it was seen and first reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The earliest observed.
    pub first_seen: Timestamp,
    /// The latest observed.
    pub last_seen: Timestamp,
    /// The earliest taken in.
    pub first_reported: Timestamp,
}

/// The model and the data that a lead was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Name, version and digest of the model.
    pub model: String,
    /// By enricher: its build.
    pub sources: BTreeMap<String, String>,
}

/// A raw record behind a lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raw {
    /// Who supplied it.
    pub reporter: String,
    /// When it was seen.
    pub observed_at: Timestamp,
    /// Where, if said.
    pub port: Option<u16>,
    /// Where the raw record stood.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// SHA-256 of its value.
    pub sha256: String,
}

/// A list that is bounded, and how many more there were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<T> {
    /// What is shown.
    pub items: Vec<T>,
    /// Sightings that named what is not shown.
    pub more: u64,
}

/// An indicator in a role, scored. `id` and `version` belong to whoever writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// The time that decay was computed for.
    pub now: Timestamp,
    /// What it is about.
    pub indicator: Indicator,
    /// As what it was seen.
    pub role: Role,
    /// Names of malware, most reporters first.
    pub malware: Listed<Malware>,
    /// Ports, smallest first.
    pub services: Listed<Service>,
    /// Where it is.
    pub network: Vec<Network>,
    /// Which countries it has to do with.
    pub nexus: Vec<Nexus>,
    /// Whether it is a government's.
    pub gov: Option<Gov>,
    /// When it was seen.
    pub time: Times,
    /// How many sightings, repeats not counted.
    pub sightings: u64,
    /// How many reporters. This, not sightings, raises confidence.
    pub reporters: u64,
    /// Risk, confidence, verdict, factors.
    pub score: Score,
    /// The strictest marking of what was used.
    pub tlp: Tlp,
    /// As `tlp`, for actions.
    pub pap: Pap,
    /// What it was made from.
    pub built: Built,
    /// The latest raw records. Internal.
    pub raw: Listed<Raw>,
}

impl Lead {
    /// The lead of `role` in this projection; none when no fold of that role is in it.
    pub fn form(projection: &Projection<'_>, role: Role, scorer: &Scorer, now: Timestamp) -> Option<Self> {
        let _ = (projection, role, scorer, now);
        None
    }
}
