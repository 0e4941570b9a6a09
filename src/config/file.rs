//! The pipeline file as people write it.
//!
//! Shape only: what the values mean together is checked in [`super::check`], and what a room's own
//! settings mean is checked in that room. Paths are relative to the pipeline file.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use crate::diag::Spanned;
use crate::enrich::EnricherSettings;
use crate::sighting::formats::FormatSettings;
use crate::sighting::{Length, Role, Terms, normalise};

/// A pipeline: what comes in, what is made of it, and to whom it goes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Sightline pipeline")]
pub struct Pipeline {
    /// The pipeline itself.
    pub pipeline: Head,
    /// The Kafka cluster and what is ours on it.
    pub kafka: Kafka,
    /// State on disk.
    #[serde(default)]
    pub state: State,
    /// Raw topics, one `[[intake]]` each.
    #[schemars(length(min = 1))]
    pub intake: Vec<Intake>,
    /// What counts as an indicator. Default: nothing of special purpose does.
    #[serde(default)]
    pub indicators: normalise::Settings,
    /// Who supplies sightings, one `[[reporter]]` each.
    #[schemars(length(min = 1))]
    pub reporter: Vec<Reporter>,
    /// Sources of evidence, one `[[enrich]]` each; the key says which: `geoip = { ... }`. Default: none.
    #[serde(default)]
    pub enrich: Vec<Spanned<EnricherSettings>>,
    /// Scoring.
    pub score: Score,
    /// What is kept of each indicator.
    #[serde(default)]
    pub dossier: Dossier,
    /// Who is told. Default: nobody.
    #[serde(default)]
    pub share: Share,
    /// Metrics and health over HTTP.
    #[serde(default)]
    pub serve: Serve,
}

/// The pipeline itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its name, in metrics and logs: lower case, digits and hyphens.
    #[schemars(regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"), length(max = 48))]
    pub name: Spanned<String>,
}

/// The Kafka cluster and what is ours on it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// librdkafka properties of every client: `bootstrap.servers`, TLS, SASL. A value `file:PATH` is
    /// read from that file. Those that exactly-once rests on are refused.
    pub client: BTreeMap<String, Spanned<Property>>,
    /// Properties of consumers alone. Default: none.
    #[serde(default)]
    pub consumer: BTreeMap<String, Spanned<Property>>,
    /// Properties of producers alone. Default: none.
    #[serde(default)]
    pub producer: BTreeMap<String, Spanned<Property>>,
    /// What the names of our own topics, groups and transactions start with. Default `sightline.`.
    #[serde(default)]
    pub prefix: Prefix,
    /// How many partitions our own topics have. Fixed for the life of the state.
    #[serde(default)]
    pub partitions: Partitions,
    /// On how many brokers each partition of ours is. Default 3.
    #[serde(default = "default_replication")]
    #[schemars(range(min = 1, max = 9))]
    pub replication: Spanned<i16>,
    /// When a transaction ends.
    #[serde(default)]
    pub commit: Commit,
    /// How long a transaction may be open before the broker aborts it; a reader waits at most this
    /// long for a lane that died. 1s to 15m. Default `20s`.
    #[serde(default = "default_transaction_timeout")]
    pub transaction_timeout: Spanned<Length>,
    /// Bytes of the largest raw record: key, value and headers. Raw topics must not take larger ones.
    /// At most 64 MiB. Default 1048576.
    #[serde(default = "default_largest_record")]
    #[schemars(range(min = 1024, max = 67108864))]
    pub largest_record: Spanned<u32>,
    /// The largest `max.message.bytes` that the cluster lets a topic have. Default: as much as
    /// `largest_record` needs.
    #[serde(default)]
    #[schemars(range(min = 1048576))]
    pub max_message_bytes: Option<Spanned<u32>>,
}

/// The value of a librdkafka property: a text, a whole number, or true or false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property(pub String);

/// What the names of our own topics, groups and transactions start with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prefix {
    /// Of topics, except raw and audience topics, whose names are written in full. Default
    /// `sightline.`.
    pub topics: Spanned<String>,
    /// Of consumer groups. Default `sightline.`.
    pub groups: Spanned<String>,
    /// Of transactional ids. Default `sightline.`. Two pipelines on one cluster must not share it.
    pub transactions: Spanned<String>,
}

/// How many partitions our own topics have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Partitions {
    /// Of `sightings`, and so of `dossiers` and `leads`: the most lanes that assess can have. Default 24.
    #[schemars(range(min = 1, max = 1024))]
    pub sightings: i32,
    /// Of `disclosures`, and so of `ledger`, `outbox` and `releases`: the most lanes that release and
    /// deliver can have; more than there are agreements stay empty. Default 8.
    #[schemars(range(min = 1, max = 1024))]
    pub disclosures: i32,
    /// Of `dead-letters`. Default 4.
    #[schemars(range(min = 1, max = 1024))]
    pub dead_letters: i32,
    /// Of each audience topic. Default 2.
    #[schemars(range(min = 1, max = 1024))]
    pub audiences: i32,
}

/// When a transaction ends: at whichever comes first.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Commit {
    /// After so many records. Default 5000.
    #[schemars(range(min = 1, max = 1000000))]
    pub records: u32,
    /// After so long, 10ms to 10s. Default `100ms`.
    pub every: Spanned<Length>,
}

/// State on disk: a view of compacted topics, which can be lost.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Where it lies. A local disk, never a network file system. Default `state`.
    pub directory: Spanned<String>,
}

/// A raw topic.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// The topic's name in full.
    pub topic: Spanned<String>,
    /// How its records are read; the key says which: `{ sightline = {} }`.
    pub format: Spanned<FormatSettings>,
    /// Whom it carries, by name. A topic of one reporter is bound to it; in a topic of several each
    /// record says which of them it is from.
    #[schemars(length(min = 1))]
    pub reporters: Vec<Spanned<String>>,
    /// A record of more sightings than this is a dead letter. Default 10000.
    #[serde(default = "default_max_sightings")]
    #[schemars(range(min = 1, max = 1000000))]
    pub max_sightings: u32,
    /// When too many dead letters pause this topic, and this one only.
    #[serde(default)]
    pub brake: Brake,
}

/// When too many dead letters pause a topic.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Brake {
    /// The share of records that are dead letters, 0.01 to 1. Default 0.5.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub share: f64,
    /// Over which time, 1s to 1h. Default `1m`.
    pub window: Spanned<Length>,
    /// With fewer records than this in the window, nothing is paused. Default 200.
    #[schemars(range(min = 1))]
    pub minimum: u64,
}

/// Who supplies sightings.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reporter {
    /// The name in sightings and metrics: lower case, digits and hyphens.
    #[schemars(regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"), length(max = 64))]
    pub name: Spanned<String>,
    /// The organisation, as agreements name it: `org:...`. What it supplied is not sent back to it.
    #[schemars(regex(pattern = r"^org:[a-z0-9]+(-[a-z0-9]+)*$"), length(max = 64))]
    pub org: Spanned<String>,
    /// How far it can be relied on (Admiralty code).
    pub reliability: Reliability,
    /// Where its claims first come from, if it copies; claims of one origin count once. Default: its
    /// own name.
    #[serde(default)]
    #[schemars(regex(pattern = r"^[a-z0-9]+(-[a-z0-9]+)*$"), length(max = 64))]
    pub origin: Option<Spanned<String>>,
    /// Under which terms it gives what it gives.
    pub terms: Spanned<Terms>,
}

/// How far a reporter can be relied on: the Admiralty code. (`domain.md` 5.4)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reliability {
    /// Completely: 100.
    A,
    /// Usually: 75.
    B,
    /// Fairly: 50.
    C,
    /// Not usually: 25.
    D,
    /// Not at all: 0.
    E,
    /// Cannot be judged: 50.
    F,
}

/// Scoring.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// The model's file.
    pub model: Spanned<String>,
}

/// What is kept of each indicator.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dossier {
    /// How long after the last sighting in a role it is forgotten, by role, 1d to 3650d; `default` is
    /// for all others. Default `180d`.
    #[schemars(schema_with = "expire_schema")]
    pub expire: BTreeMap<String, Spanned<Length>>,
}

/// Who is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Share {
    /// The agreements' files. Default: none, so nothing goes out.
    pub agreements: Vec<Spanned<String>>,
    /// The key of disclosure ids and salts: `file:PATH` of 32 bytes in hex. Needed with agreements; a
    /// new one gives every disclosure a new id.
    pub key: Option<Spanned<String>>,
    /// How long an update that changes only times and counts may wait for a more important one, at
    /// most 7d. Default `1h`.
    pub minor_updates: Spanned<Length>,
    /// Indicators that are released to nobody: `domain:www.example`. Default: none.
    pub embargo: Vec<Spanned<String>>,
}

/// Metrics and health over HTTP.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// Address and port. Default `127.0.0.1:9600`.
    pub listen: Spanned<SocketAddr>,
}

/// The words that `dossier.expire` knows beside the roles.
pub(super) const EXPIRE_DEFAULT: &str = "default";

fn expire_schema(generator: &mut SchemaGenerator) -> Schema {
    let length = generator.subschema_for::<Length>();
    let names = std::iter::once(EXPIRE_DEFAULT).chain(Role::ALL.into_iter().map(Role::as_str));
    let properties: serde_json::Map<String, serde_json::Value> =
        names.map(|name| (name.to_owned(), length.clone().to_value())).collect();
    schemars::json_schema!({
        "type": "object", "properties": properties, "additionalProperties": false
    })
}

fn default_replication() -> Spanned<i16> {
    Spanned::unplaced(3)
}

fn default_transaction_timeout() -> Spanned<Length> {
    Spanned::unplaced(Length(20_000))
}

fn default_largest_record() -> Spanned<u32> {
    Spanned::unplaced(1024 * 1024)
}

fn default_max_sightings() -> u32 {
    10_000
}

impl Default for Prefix {
    fn default() -> Self {
        let ours = || Spanned::unplaced("sightline.".to_owned());
        Self { topics: ours(), groups: ours(), transactions: ours() }
    }
}

impl Default for Partitions {
    fn default() -> Self {
        Self { sightings: 24, disclosures: 8, dead_letters: 4, audiences: 2 }
    }
}

impl Default for Commit {
    fn default() -> Self {
        Self { records: 5_000, every: Spanned::unplaced(Length(100)) }
    }
}

impl Default for State {
    fn default() -> Self {
        Self { directory: Spanned::unplaced("state".to_owned()) }
    }
}

impl Default for Brake {
    fn default() -> Self {
        Self { share: 0.5, window: Spanned::unplaced(Length(60_000)), minimum: 200 }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self {
            agreements: Vec::new(),
            key: None,
            minor_updates: Spanned::unplaced(Length(3_600_000)),
            embargo: Vec::new(),
        }
    }
}

impl Default for Serve {
    fn default() -> Self {
        Self { listen: Spanned::unplaced(SocketAddr::from(([127, 0, 0, 1], 9600))) }
    }
}

impl Reliability {
    /// From 0 to 100.
    pub fn percent(self) -> u8 {
        match self {
            Self::A => 100,
            Self::B => 75,
            Self::C | Self::F => 50,
            Self::D => 25,
            Self::E => 0,
        }
    }
}

impl<'de> Deserialize<'de> for Property {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Property;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, a whole number, or true or false")
            }

            fn visit_str<E>(self, text: &str) -> Result<Property, E> {
                Ok(Property(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Property, E> {
                Ok(Property(number.to_string()))
            }

            fn visit_bool<E>(self, is: bool) -> Result<Property, E> {
                Ok(Property(is.to_string()))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Property {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Property".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": ["string", "integer", "boolean"],
            "description": "The value of a librdkafka property."
        })
    }
}
