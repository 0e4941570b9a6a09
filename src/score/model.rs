//! The scoring model: priors, weights, half-lives, caps and bands, as written and as used.
//!
//! A model is a file of its own, so that a score names what it was computed with. Weights are whole
//! hundredths of log-odds, in the file too: what is written is what is added. This file computes no
//! score.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::diag::{Finding, Findings, Place, Source, read};
use crate::sighting::time::SECOND;
use crate::sighting::{IndicatorType, Length, Role};

/// The largest weight of anything, in hundredths of log-odds: odds of about half a billion to one.
pub const MAX_WEIGHT: i32 = 2_000;

/// The shortest half-life.
const SHORTEST: i64 = 60 * SECOND;

/// A model as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Its name, shown in every lead: letters, digits and hyphens.
    pub name: String,
    /// Its version, shown in every lead. Change it with every change of a figure.
    pub version: String,
    /// What holds before anything is known of an indicator.
    pub prior: WrittenPrior,
    /// What a reporter's claim weighs.
    pub claim: WrittenClaim,
    /// How fast evidence grows old.
    pub half_life: WrittenHalfLife,
    /// How far one origin counts.
    pub origin: Origin,
    /// Which risk is called what.
    pub bands: Bands,
    /// From when on both sides are called strong.
    pub conflict: Conflict,
    /// How sure a number of origins makes.
    pub confidence: Confidence,
}

/// What holds before anything is known of an indicator, in hundredths of log-odds: `-220` is about
/// one in ten.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenPrior {
    /// For each role without its own.
    pub default: i32,
    /// By role.
    #[serde(default)]
    #[schemars(schema_with = "by_role::<i32>")]
    pub roles: BTreeMap<Role, i32>,
}

/// What a reporter's claim weighs, in hundredths of log-odds, when the reporter is fully reliable
/// and fully sure. It is scaled by both.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenClaim {
    /// For each role without its own.
    pub default: i32,
    /// By role.
    #[serde(default)]
    #[schemars(schema_with = "by_role::<i32>")]
    pub roles: BTreeMap<Role, i32>,
    /// The percentage of the weight that a claim has whose reporter states no confidence.
    pub unstated: u8,
    /// The percentage of the weight that a claimed confidence of 0 has; at 100 it is the whole
    /// weight, and between them it goes in a straight line.
    pub floor: u8,
}

/// How fast evidence grows old: after this time it counts half. The first that is given wins: of
/// the code, of role and type, of the type, the default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenHalfLife {
    /// For what nothing else is said of.
    pub default: Length,
    /// By type of indicator.
    #[serde(default)]
    #[schemars(schema_with = "by_type")]
    pub types: BTreeMap<IndicatorType, Length>,
    /// By role, then type of indicator.
    #[serde(default)]
    #[schemars(schema_with = "by_role_and_type")]
    pub roles: BTreeMap<Role, BTreeMap<IndicatorType, Length>>,
    /// By the evidence's code, for what ages unlike the indicator.
    #[serde(default)]
    pub codes: BTreeMap<String, Length>,
}

/// How far one origin counts, in hundredths of log-odds. The strongest of what is said counts whole;
/// lists copy each other, so further sources of the same origin add next to nothing, and what a
/// source says twice adds nothing. For and against are counted apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The most that one origin counts.
    pub cap: i32,
    /// Reliability, 0 to 100, below which an origin is weak. It is that of its best member.
    pub weak_below: u8,
    /// The most that a weak origin counts. It can't make any role malicious alone.
    pub weak_cap: i32,
    /// The most that a further source of an origin adds.
    pub bonus: i32,
    /// The most that all further sources of an origin add.
    pub bonus_cap: i32,
}

/// Which risk, 0 to 100, is called what. Between `benign` and `suspicious` too little is known.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// From this risk on it is malicious.
    pub malicious: u8,
    /// From this risk on it is suspicious.
    pub suspicious: u8,
    /// Up to this risk it is benign.
    pub benign: u8,
    /// Below this confidence it is unscored, whatever the risk.
    pub min_confidence: u8,
}

/// From when on both sides are called strong, in hundredths of log-odds. Then a score says that
/// there is a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// What speaks for it, together.
    pub supporting: i32,
    /// What speaks against it, together, as a positive number.
    pub opposing: i32,
}

/// How sure a number of origins makes: the chance that not all of them are wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Confidence {
    /// The percentage of confidence that one fresh and fully reliable origin gives alone.
    pub origin: u8,
    /// The percentage of confidence that is lost when no source could be asked; when some could,
    /// their share of it.
    pub unchecked: u8,
}

/// The scoring model, looked up in constant time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Which file it was: as [`digest_of`].
    pub digest: String,
    prior: [i32; Role::ALL.len()],
    claim: [i32; Role::ALL.len()],
    unstated: u8,
    floor: u8,
    half_life: [[i64; IndicatorType::ALL.len()]; Role::ALL.len()],
    half_life_of_code: BTreeMap<String, i64>,
    pub(super) origin: Origin,
    pub(super) bands: Bands,
    pub(super) conflict: Conflict,
    pub(super) confidence: Confidence,
}

/// Which file a model was read from: `sha256:` and the first 16 hexadecimal digits of the SHA-256
/// of its bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(&Sha256::digest(bytes)[..8]))
}

impl Model {
    /// Reads, checks and resolves a model's file; none when anything in it is an error.
    pub fn read(source: &Arc<Source>, findings: &mut Findings) -> Option<Self> {
        let written: Written = read(source, findings)?;
        let mut own = Findings::default();
        written.check(source, &mut own);
        let is_sound = !own.has_errors();
        own.list().iter().for_each(|finding| findings.push(finding.clone()));
        is_sound.then(|| Self::from_written(&written, digest_of(source.text.as_bytes())))
    }

    /// The model that was written, which [`Written::check`] found sound. `digest` is as
    /// [`digest_of`] its file.
    pub fn from_written(written: &Written, digest: String) -> Self {
        let by_role = |default: i32, roles: &BTreeMap<Role, i32>| {
            Role::ALL.map(|role| clamp(roles.get(&role).copied().unwrap_or(default)))
        };
        let half_life = &written.half_life;
        let of = |role: Role, kind: IndicatorType| {
            let own = half_life.roles.get(&role).and_then(|types| types.get(&kind));
            own.or_else(|| half_life.types.get(&kind)).unwrap_or(&half_life.default).0.max(SHORTEST)
        };
        Self {
            name: written.name.clone(),
            version: written.version.clone(),
            digest,
            prior: by_role(written.prior.default, &written.prior.roles),
            claim: by_role(written.claim.default, &written.claim.roles),
            unstated: written.claim.unstated.min(100),
            floor: written.claim.floor.min(100),
            half_life: Role::ALL.map(|role| IndicatorType::ALL.map(|kind| of(role, kind))),
            half_life_of_code: half_life
                .codes
                .iter()
                .map(|(code, length)| (code.clone(), length.0.max(SHORTEST)))
                .collect(),
            origin: written.origin.clone(),
            bands: written.bands.clone(),
            conflict: written.conflict.clone(),
            confidence: written.confidence.clone(),
        }
    }

    /// Name, version and digest, as every lead shows them.
    pub fn identity(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.digest)
    }

    /// What holds before anything is known, in hundredths of log-odds.
    pub fn prior(&self, role: Role) -> i32 {
        self.prior[role as usize]
    }

    /// What a claim weighs at age zero, in hundredths of log-odds: the role's weight, scaled by the
    /// confidence that the reporter claims and by how reliable (0 to 100) the reporter is.
    pub fn claim(&self, role: Role, claimed: Option<u8>, reliability: u8) -> i32 {
        let percent = match claimed {
            // In hundredths of a percent, so that the straight line keeps its exact values.
            Some(claimed) => 100 * i64::from(self.floor) + line(100 - self.floor, claimed.min(100)),
            None => 100 * i64::from(self.unstated),
        };
        scale(self.claim[role as usize], percent * i64::from(reliability.min(100)), 1_000_000)
    }

    /// After how many milliseconds evidence of this code counts half.
    pub fn half_life(&self, code: &str, role: Role, kind: IndicatorType) -> i64 {
        match self.half_life_of_code.get(code) {
            Some(&own) => own,
            None => self.half_life[role as usize][kind as usize],
        }
    }
}

/// `weight` times the reliability (0 to 100) of who says so, rounded half away from zero.
pub fn relied(weight: i32, reliability: u8) -> i32 {
    scale(clamp(weight), i64::from(reliability.min(100)), 100)
}

pub(super) fn clamp(weight: i32) -> i32 {
    weight.clamp(-MAX_WEIGHT, MAX_WEIGHT)
}

fn line(slope: u8, at: u8) -> i64 {
    i64::from(slope) * i64::from(at)
}

/// `weight * numerator / denominator`, rounded half away from zero, for a fraction up to one.
fn scale(weight: i32, numerator: i64, denominator: i64) -> i32 {
    let doubled = 2 * i64::from(weight) * numerator;
    let rounded = (doubled.abs() + denominator) / (2 * denominator) * doubled.signum();
    i32::try_from(rounded).expect("a fraction up to one of an i32 is an i32")
}

impl Written {
    /// Checks what the types do not: ranges, the order of bands, and that a weak origin can't make
    /// any role malicious. Each finding stands at its place in `source`, which this was read from.
    pub fn check(&self, source: &Arc<Source>, findings: &mut Findings) {
        let mut check = Check { source, findings };
        check.names(self);
        check.weights(self);
        check.percentages(self);
        check.half_lives(&self.half_life);
        check.origin(&self.origin);
        check.bands(self);
    }
}

struct Check<'a> {
    source: &'a Arc<Source>,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn error(&mut self, code: &'static str, path: &[&str], message: String, help: &str) {
        let finding = Finding::error(code, message).at(place(self.source, path)).help(help);
        self.findings.push(finding);
    }

    fn names(&mut self, written: &Written) {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= 32
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        };
        for (key, text) in [("name", &written.name), ("version", &written.version)] {
            if !is_name(text) {
                self.error(
                    "model-name",
                    &[key],
                    format!("{text:?} can't be shown as the model's {key}"),
                    "write 1 to 32 letters, digits, hyphens and dots",
                );
            }
        }
    }

    fn weights(&mut self, written: &Written) {
        let origin = &written.origin;
        let conflict = &written.conflict;
        self.weight(&["prior", "default"], written.prior.default, -MAX_WEIGHT);
        for (role, weight) in &written.prior.roles {
            self.weight(&["prior", "roles", role.as_str()], *weight, -MAX_WEIGHT);
        }
        self.weight(&["claim", "default"], written.claim.default, 0);
        for (role, weight) in &written.claim.roles {
            self.weight(&["claim", "roles", role.as_str()], *weight, 0);
        }
        self.weight(&["origin", "cap"], origin.cap, 0);
        self.weight(&["origin", "weak_cap"], origin.weak_cap, 0);
        self.weight(&["origin", "bonus"], origin.bonus, 0);
        self.weight(&["origin", "bonus_cap"], origin.bonus_cap, 0);
        self.weight(&["conflict", "supporting"], conflict.supporting, 1);
        self.weight(&["conflict", "opposing"], conflict.opposing, 1);
    }

    fn weight(&mut self, path: &[&str], weight: i32, least: i32) {
        if !(least..=MAX_WEIGHT).contains(&weight) {
            self.error(
                "model-weight",
                path,
                format!("{weight} is not between {least} and {MAX_WEIGHT}"),
                "weights are hundredths of log-odds: 220 multiplies the odds by nine",
            );
        }
    }

    fn percentages(&mut self, written: &Written) {
        for (path, percent) in [
            (["claim", "unstated"], written.claim.unstated),
            (["claim", "floor"], written.claim.floor),
            (["origin", "weak_below"], written.origin.weak_below),
            (["bands", "malicious"], written.bands.malicious),
            (["bands", "suspicious"], written.bands.suspicious),
            (["bands", "benign"], written.bands.benign),
            (["bands", "min_confidence"], written.bands.min_confidence),
            (["confidence", "origin"], written.confidence.origin),
            (["confidence", "unchecked"], written.confidence.unchecked),
        ] {
            if percent > 100 {
                self.error(
                    "model-percentage",
                    &path,
                    format!("{percent} is more than 100"),
                    "write a number from 0 to 100",
                );
            }
        }
    }

    fn half_lives(&mut self, half_life: &WrittenHalfLife) {
        self.half_life(&["half_life", "default"], half_life.default);
        for (kind, length) in &half_life.types {
            self.half_life(&["half_life", "types", kind.as_str()], *length);
        }
        for (role, types) in &half_life.roles {
            for (kind, length) in types {
                self.half_life(&["half_life", "roles", role.as_str(), kind.as_str()], *length);
            }
        }
        for (code, length) in &half_life.codes {
            self.half_life(&["half_life", "codes", code], *length);
        }
    }

    fn half_life(&mut self, path: &[&str], length: Length) {
        if length.0 < SHORTEST {
            self.error(
                "model-half-life",
                path,
                "a half-life is shorter than a minute".to_owned(),
                "write a length of time such as 12h or 14d",
            );
        }
    }

    fn origin(&mut self, origin: &Origin) {
        let help = "a weak origin counts at most as much as any, and one bonus at most as much as all";
        if origin.weak_cap > origin.cap {
            let message = format!("weak_cap {} is above cap {}", origin.weak_cap, origin.cap);
            self.error("model-origin", &["origin", "weak_cap"], message, help);
        }
        if origin.bonus > origin.bonus_cap {
            let message = format!("bonus {} is above bonus_cap {}", origin.bonus, origin.bonus_cap);
            self.error("model-origin", &["origin", "bonus"], message, help);
        }
    }

    fn bands(&mut self, written: &Written) {
        let bands = &written.bands;
        if !(bands.benign < bands.suspicious && bands.suspicious < bands.malicious) {
            self.error(
                "model-bands",
                &["bands"],
                format!(
                    "the bands overlap: benign {}, suspicious {}, malicious {}",
                    bands.benign, bands.suspicious, bands.malicious
                ),
                "write benign below suspicious below malicious",
            );
        }
        let model = Model::from_written(written, String::new());
        for role in Role::ALL {
            let reached = super::weigh::risk(model.prior(role) + clamp(written.origin.weak_cap));
            if reached >= bands.malicious {
                self.error(
                    "model-weak-origin",
                    &["origin", "weak_cap"],
                    format!("one weak origin alone makes {} malicious: it reaches {reached}", role.as_str()),
                    "lower weak_cap or the prior of that role, or raise bands.malicious",
                );
            }
        }
    }
}

/// The schema of a table whose keys are these names. The one that is derived for a map lets any key
/// through where the names have descriptions of their own.
fn table(names: impl Iterator<Item = &'static str>, value: &Schema) -> Schema {
    let properties: serde_json::Map<String, serde_json::Value> =
        names.map(|name| (name.to_owned(), value.clone().to_value())).collect();
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn by_role<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    table(Role::ALL.into_iter().map(Role::as_str), &generator.subschema_for::<T>())
}

fn by_type(generator: &mut SchemaGenerator) -> Schema {
    table(IndicatorType::ALL.into_iter().map(IndicatorType::as_str), &generator.subschema_for::<Length>())
}

fn by_role_and_type(generator: &mut SchemaGenerator) -> Schema {
    table(Role::ALL.into_iter().map(Role::as_str), &by_type(generator))
}

/// Where the value at `path` stands, or the nearest table around it.
///
/// The file is parsed once more for each finding, which is nothing beside being able to derive
/// schema and parser from plain types.
fn place(source: &Arc<Source>, path: &[&str]) -> Option<Place> {
    let root = toml::de::DeTable::parse(&source.text).ok()?;
    let mut table = root.get_ref();
    let mut span = None;
    for key in path {
        let Some((_, value)) = table.iter().find(|(name, _)| name.get_ref().as_ref() == *key) else { break };
        span = Some(value.span());
        let Some(inner) = value.get_ref().as_table() else { break };
        table = inner;
    }
    span.map(|span| Place { source: source.clone(), span })
}

#[cfg(test)]
mod tests;
