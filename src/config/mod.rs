//! The pipeline file: what people write, what it means, and what it says of Kafka's topics.
//!
//! This room composes; each room owns its own settings and their check, and the codes of its findings. It opens no file: the shell
//! passes a reader in. What was written ([`file::Pipeline`]) and what was checked ([`Checked`]) are
//! two types, and only the second is run.

mod check;
pub mod file;
mod load;
mod properties;
mod rooms;
mod stages;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::diag::Place;
use crate::enrich::{Enricher, EnricherSettings};
use crate::score::Model;
use crate::share::Agreement;
use crate::sighting::formats::Decoder;
use crate::sighting::{Indicator, Role, Terms, normalise};

pub use load::{Read, load};
pub use properties::REFUSED;
pub use stages::{StageName, Stages, audiences, knowledge, one_partition_each};
pub use topics::{DEAD_LETTER_HEADERS, TopicSpec, Topics, topics};

/// Every code of this room's findings, with what it means. Codes never change their meaning.
pub const CODES: &[(&str, &str)] = &[
    ("agreement-twice", "an agreement's file is listed twice"),
    ("bad-embargo", "an embargoed indicator is not written as type:value in canonical form"),
    ("bad-key", "the key of disclosures is not 32 bytes in hex"),
    ("key-missing", "there are agreements, but no key for their disclosures"),
    ("length-range", "a length of time is out of range"),
    ("message-too-large", "the dead letter of the largest raw record would not fit into its topic"),
    ("no-brokers", "no broker is named"),
    ("no-purpose", "terms release to somebody, but for no purpose (warning)"),
    ("not-utf8", "a file is not UTF-8"),
    ("property-range", "a librdkafka property is out of a range that transactions need"),
    ("property-refused", "a librdkafka property that exactly-once rests on is set"),
    ("reporter-twice", "two reporters have one name, or a topic names one twice"),
    ("secret-in-file", "a secret stands in the pipeline file (warning; for the key an error)"),
    ("too-many-agreements", "more agreements than a dossier keeps apart"),
    ("too-many-reporters", "more reporters than a dossier keeps apart"),
    ("too-many-sources", "more sources of evidence than a dossier keeps apart"),
    ("topic-name", "Kafka takes no topic of this name"),
    ("topic-twice", "two topics have one name, or names that Kafka does not keep apart"),
    ("unknown-audience", "terms name something that is no audience"),
    ("unknown-org", "terms name an organisation that nothing else names (warning)"),
    ("unknown-reporter", "a topic names a reporter that is not declared"),
    ("unreadable-file", "a file cannot be read"),
    ("unused-reporter", "a reporter is carried by no topic (warning)"),
];

/// A pipeline that was checked, and with everything that its file names.
pub struct Loaded {
    /// What it says.
    pub checked: Checked,
    /// Its sources of evidence, loaded, in the order of the file.
    pub enrichers: Vec<Arc<dyn Enricher>>,
    /// All librdkafka properties with their places: only librdkafka knows its own names and values.
    pub properties: Vec<PlacedProperty>,
    /// Every file that was read, to be watched for changes.
    pub files: BTreeSet<PathBuf>,
}

/// What a pipeline file means.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The pipeline's name.
    pub name: String,
    /// The cluster.
    pub kafka: Kafka,
    /// The names of our own topics.
    pub topics: Topics,
    /// Where state lies on disk.
    pub state_directory: PathBuf,
    /// The raw topics, in the order of the file.
    pub intakes: Vec<Intake>,
    /// What counts as an indicator.
    pub indicators: normalise::Settings,
    /// By name.
    pub reporters: BTreeMap<String, Reporter>,
    /// The settings of the enrichers, in the order of the file.
    pub enrich: Vec<EnricherSettings>,
    /// How scores are made.
    pub model: Model,
    /// When a dossier is forgotten.
    pub expire: Expire,
    /// In the order of the file.
    pub agreements: Vec<Agreement>,
    /// Of disclosure ids and salts; there if there are agreements.
    pub key: Option<Key>,
    /// How long an update that changes only times and counts may wait, in milliseconds.
    pub minor_updates: i64,
    /// Released to nobody.
    pub embargo: BTreeSet<Indicator>,
    /// Where metrics and health are served.
    pub listen: SocketAddr,
}

/// The cluster and how it is used.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// librdkafka properties of every client, secrets read.
    pub client: BTreeMap<String, Secret>,
    /// Of consumers alone.
    pub consumer: BTreeMap<String, Secret>,
    /// Of producers alone.
    pub producer: BTreeMap<String, Secret>,
    /// What the names of consumer groups start with.
    pub group_prefix: String,
    /// What transactional ids start with.
    pub transaction_prefix: String,
    /// Partitions of `sightings`, `dossiers` and `leads`.
    pub sightings: i32,
    /// Partitions of `disclosures`, `ledger`, `outbox` and `releases`.
    pub disclosures: i32,
    /// Partitions of `dead-letters`.
    pub dead_letters: i32,
    /// Partitions of each audience topic.
    pub audiences: i32,
    /// On how many brokers each partition is.
    pub replication: i16,
    /// Records after which a transaction ends.
    pub commit_records: u32,
    /// Milliseconds after which a transaction ends.
    pub commit_every: i64,
    /// Milliseconds that a transaction may be open.
    pub transaction_timeout: i64,
    /// Bytes of the largest raw record, with key and headers.
    pub largest_record: u32,
    /// Bytes of the largest record that we write: the producer's `message.max.bytes`.
    pub largest_written: u32,
}

/// A librdkafka property with its place, for checks that only librdkafka can make.
#[derive(Debug, Clone)]
pub struct PlacedProperty {
    /// Its name.
    pub name: String,
    /// Its value, secrets read.
    pub value: Secret,
    /// Where it was written.
    pub place: Option<Place>,
}

/// A raw topic.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Its name in full.
    pub topic: Arc<str>,
    /// Reads its records.
    pub decoder: Decoder,
    /// Whom it carries; bound to the one if there is one.
    pub reporters: Vec<String>,
    /// A record of more sightings is a dead letter.
    pub max_sightings: u32,
    /// When it is paused.
    pub brake: Brake,
}

/// When too many dead letters pause a topic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Brake {
    /// The share of dead letters, more than 0 and at most 1.
    pub share: f64,
    /// Milliseconds over which it is taken.
    pub window: i64,
    /// Fewer records than this pause nothing.
    pub minimum: u64,
}

/// Who supplies sightings.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// `org:...`.
    pub org: String,
    /// 0 to 100.
    pub reliability: u8,
    /// Claims of one origin count once.
    pub origin: String,
    /// Under which it gives what it gives.
    pub terms: Terms,
}

/// When a dossier is forgotten: milliseconds after the last sighting in a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expire {
    default: i64,
    by_role: BTreeMap<Role, i64>,
}

impl Expire {
    /// For a role.
    pub fn of(&self, role: Role) -> i64 {
        self.by_role.get(&role).copied().unwrap_or(self.default)
    }

    /// The longest for any role.
    pub fn longest(&self) -> i64 {
        Role::ALL.into_iter().map(|role| self.of(role)).max().unwrap_or(self.default)
    }
}

/// A text that may be secret, and so is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text. To be given to the client that needs it, and to nothing that prints.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// The key of disclosure ids and salts.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Its bytes.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}
