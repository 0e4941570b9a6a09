//! A lead as JSON: the value on the `leads` topic, and the tree whose paths agreements name.
//!
//! One type is both what is written and its schema, so the two cannot differ. Choices that readers
//! rely on: fields in the order of [`LeadRecord`]; a field without a value is left out, never null; a
//! bounded list is an array, and beside it stands `<name>_more` when something was left out of it;
//! points are in log-odds, with at most two decimals; times are RFC 3339 in UTC. What of it a
//! recipient may see is decided in `share`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::dossier;
use crate::dossier::Lead;
use crate::enrich::{NexusKind, Status};
use crate::score::Verdict;
use crate::sighting::{Digest, IndicatorType, Pap, Protocol, Role, Timestamp, Tlp};

/// A lead: an indicator in a role, enriched and scored.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Sightline lead")]
pub struct LeadRecord<'a> {
    /// The lead's id. It stays the same over all versions.
    lead: &'a str,
    /// Counts from 1.
    version: u64,
    /// The time that age was counted to.
    now: Timestamp,
    /// What it is about.
    indicator: IndicatorRecord<'a>,
    /// What the indicator was seen as.
    role: Role,
    /// Names of malware, most reporters first.
    malware: Vec<MalwareRecord<'a>>,
    /// Sightings that named malware that is not listed.
    #[serde(skip_serializing_if = "is_zero")]
    malware_more: u64,
    /// Ports that were seen, smallest first.
    services: Vec<ServiceRecord>,
    /// Sightings of ports that are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    services_more: u64,
    /// Where it is.
    network: Vec<NetworkRecord<'a>>,
    /// Which countries it has to do with, and how.
    nexus: Vec<NexusRecord<'a>>,
    /// Present when the name is a government's.
    #[serde(skip_serializing_if = "Option::is_none")]
    gov: Option<GovRecord<'a>>,
    /// When it was seen and reported.
    time: TimeRecord,
    /// Sightings, without reporters' own repeats.
    sightings: u64,
    /// Different reporters.
    reporters: u64,
    /// How bad, how sure, and why.
    score: ScoreRecord<'a>,
    /// Traffic Light Protocol 2.0: the strictest of what was used.
    tlp: Tlp,
    /// Permissible Actions Protocol: the strictest of what was used.
    pap: Pap,
    /// What it was made from.
    built: BuiltRecord<'a>,
    /// The latest raw records behind it. Internal unless an agreement names it.
    raw: Vec<RawRecord<'a>>,
    /// Sightings whose raw records are not listed.
    #[serde(skip_serializing_if = "is_zero")]
    raw_more: u64,
}

/// A canonical type and value.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct IndicatorRecord<'a> {
    /// What it is.
    #[serde(rename = "type")]
    kind: IndicatorType,
    /// Its canonical form.
    value: &'a str,
}

/// A name of malware.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct MalwareRecord<'a> {
    /// Lower case.
    name: &'a str,
    /// How many reporters name it.
    reporters: u64,
}

/// A port that was seen.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ServiceRecord {
    /// 1 to 65535.
    port: u16,
    /// Of the port, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    /// The earliest observed.
    first_seen: Timestamp,
    /// The latest observed.
    last_seen: Timestamp,
}

/// Where an address is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct NetworkRecord<'a> {
    /// The address.
    ip: &'a str,
    /// Number of its autonomous system.
    #[serde(skip_serializing_if = "Option::is_none")]
    asn: Option<u32>,
    /// Name of its autonomous system.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_name: Option<&'a str>,
    /// ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'a str>,
    /// In English.
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<&'a str>,
}

/// A country that has to do with the indicator.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct NexusRecord<'a> {
    /// By what link.
    kind: NexusKind,
    /// ISO 3166-1 alpha-2.
    country: &'a str,
    /// 0 to 100.
    #[schemars(range(max = 100))]
    confidence: u8,
    /// Who says so.
    source: &'a str,
}

/// A government's name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct GovRecord<'a> {
    /// The suffix that it stands under.
    suffix: &'a str,
    /// Whose, ISO 3166-1 alpha-2.
    country: &'a str,
    /// `central`, `local`, `military` or `police`.
    class: &'a str,
}

/// When it was seen and reported.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct TimeRecord {
    /// The earliest observed.
    first_seen: Timestamp,
    /// The latest observed.
    last_seen: Timestamp,
    /// The earliest taken in.
    first_reported: Timestamp,
}

/// Risk, confidence and verdict are three answers.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ScoreRecord<'a> {
    /// How likely it is what the role says, 0 to 100: `round(100 / (1 + e^-x))`, x being the sum of
    /// the factors' points. In the role of a victim, how likely it is a victim.
    #[schemars(range(max = 100))]
    risk: u8,
    /// How sure, 0 to 100.
    #[schemars(range(max = 100))]
    confidence: u8,
    /// The band.
    verdict: Verdict,
    /// Strong evidence on both sides.
    conflict: bool,
    /// What adds up to the risk, and what was not checked.
    factors: Vec<FactorRecord<'a>>,
}

/// One signed contribution.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct FactorRecord<'a> {
    /// Stable: `prior`, `claim`, `cap`, `no-entry`, `not-checked`, or the evidence's.
    code: &'a str,
    /// One sentence.
    text: &'a str,
    /// Log-odds, after decay. At most two decimals.
    points: f64,
    /// Who says so.
    source: &'a str,
    /// Where it first came from; claims of one origin count once.
    origin: &'a str,
    /// What became of the look-up.
    status: Status,
    /// When it was true.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_at: Option<Timestamp>,
}

/// The model and the data that it was made from.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct BuiltRecord<'a> {
    /// Name, version and digest of the model.
    model: &'a str,
    /// Builds by source.
    sources: &'a BTreeMap<String, String>,
}

/// A raw record.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct RawRecord<'a> {
    /// Who supplied it.
    reporter: &'a str,
    /// When it was seen.
    observed_at: Timestamp,
    /// On which port, where said.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// Where the record stood.
    topic: &'a str,
    /// Its partition.
    partition: i32,
    /// Its offset.
    offset: i64,
    /// SHA-256 of its value, in hexadecimal.
    #[schemars(with = "String")]
    sha256: Digest,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A lead as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// All of it.
    pub bytes: Vec<u8>,
    content: usize,
}

impl Encoded {
    /// Puts a lead in place of what was here; equal arguments give equal bytes.
    pub fn set(&mut self, lead_id: &str, version: u64, lead: &Lead) {
        self.bytes.clear();
        serde_json::to_writer(&mut self.bytes, &LeadRecord::new(lead_id, version, lead))
            .expect("memory takes any bytes, every key is a string and every number is finite");
        // The fields before it hold a number and two texts, none of which can hold this.
        const FIRST: &[u8] = b",\"indicator\":";
        self.content = self.bytes.windows(FIRST.len()).position(|window| window == FIRST).unwrap_or(0);
    }

    /// What it says, without its id, its version and the time that it was said.
    pub fn content(&self) -> &[u8] {
        &self.bytes[self.content..]
    }
}

/// The bytes of a lead.
pub fn lead(lead_id: &str, version: u64, lead: &Lead) -> Encoded {
    let mut encoded = Encoded::default();
    encoded.set(lead_id, version, lead);
    encoded
}

/// The same as a tree: what redaction chooses from, and what [`lead_schema`] describes.
pub fn lead_value(lead_id: &str, version: u64, lead: &Lead) -> Value {
    serde_json::to_value(LeadRecord::new(lead_id, version, lead))
        .expect("every key is a string and every number is finite")
}

/// The JSON Schema (draft 2020-12) of what [`lead()`] writes.
pub fn lead_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    generator.into_root_schema_for::<LeadRecord<'_>>().to_value()
}

impl<'a> LeadRecord<'a> {
    /// What is written of a lead.
    pub fn new(lead_id: &'a str, version: u64, lead: &'a Lead) -> Self {
        Self {
            lead: lead_id,
            version,
            now: lead.now,
            indicator: IndicatorRecord { kind: lead.indicator.kind, value: &lead.indicator.value },
            role: lead.role,
            malware: lead.malware.items.iter().map(malware).collect(),
            malware_more: lead.malware.more,
            services: lead.services.items.iter().map(service).collect(),
            services_more: lead.services.more,
            network: lead.network.iter().map(network).collect(),
            nexus: lead.nexus.iter().map(nexus).collect(),
            gov: lead.gov.as_ref().map(|gov| GovRecord {
                suffix: &gov.suffix,
                country: &gov.country,
                class: &gov.class,
            }),
            time: TimeRecord {
                first_seen: lead.time.first_seen,
                last_seen: lead.time.last_seen,
                first_reported: lead.time.first_reported,
            },
            sightings: lead.sightings,
            reporters: lead.reporters,
            score: ScoreRecord {
                risk: lead.score.risk,
                confidence: lead.score.confidence,
                verdict: lead.score.verdict,
                conflict: lead.score.conflict,
                factors: lead.score.factors.iter().map(factor).collect(),
            },
            tlp: lead.tlp,
            pap: lead.pap,
            built: BuiltRecord { model: &lead.built.model, sources: &lead.built.sources },
            raw: lead.raw.items.iter().map(raw).collect(),
            raw_more: lead.raw.more,
        }
    }
}

fn malware(malware: &dossier::Malware) -> MalwareRecord<'_> {
    MalwareRecord { name: &malware.name, reporters: malware.reporters }
}

fn service(service: &dossier::Service) -> ServiceRecord {
    ServiceRecord {
        port: service.port,
        protocol: service.protocol,
        first_seen: service.first_seen,
        last_seen: service.last_seen,
    }
}

fn network(network: &crate::enrich::Network) -> NetworkRecord<'_> {
    NetworkRecord {
        ip: &network.ip,
        asn: network.asn,
        as_name: network.as_name.as_deref(),
        country: network.country.as_deref(),
        city: network.city.as_deref(),
    }
}

fn nexus(nexus: &crate::enrich::Nexus) -> NexusRecord<'_> {
    NexusRecord {
        kind: nexus.kind,
        country: &nexus.country,
        confidence: nexus.confidence,
        source: &nexus.source,
    }
}

fn factor(factor: &crate::score::Factor) -> FactorRecord<'_> {
    FactorRecord {
        code: &factor.code,
        text: &factor.text,
        // The division is rounded correctly, so the shortest decimal that reads back as the result
        // is the one with at most two decimals, the same on every machine.
        points: f64::from(factor.points) / 100.0,
        source: &factor.source,
        origin: &factor.origin,
        status: factor.status,
        observed_at: factor.observed_at,
    }
}

fn raw(raw: &dossier::Raw) -> RawRecord<'_> {
    RawRecord {
        reporter: &raw.reporter,
        observed_at: raw.observed_at,
        port: raw.port,
        topic: &raw.topic,
        partition: raw.partition,
        offset: raw.offset,
        sha256: raw.sha256,
    }
}

#[cfg(test)]
mod tests;
