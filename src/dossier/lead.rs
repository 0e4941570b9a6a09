//! A lead: what a dossier, or a projection of it, says about one role, scored.
//!
//! Everything in it is computed from the projection. How it is written as bytes is in `encode`, and
//! what of it a recipient may see in `share`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Capped, Fold, Projection, Seen, caps};
use crate::enrich::{Evidence, Finding, Gov, Network, Nexus, NexusKind, Status};
use crate::score::{Coverage, Item, Model, Score, codes, model, score};
use crate::sighting::{Digest, Indicator, Marking, Pap, Protocol, Role, Timestamp, Tlp};

/// How sure a country is that a reporter names as a victim's, 0 to 100.
const VICTIM_COUNTRY: u8 = 50;

/// What scoring needs beside the dossier.
#[derive(Debug, Clone)]
pub struct Scorer {
    /// The model.
    pub model: Model,
    /// By reporter's name: how reliable it is, its origin. One that is not here counts for nothing.
    pub reporters: BTreeMap<String, ReporterView>,
    /// By enricher's name: how reliable it is, 0 to 100. One that is not here counts for nothing.
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
    pub sha256: Digest,
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
    /// Ports, smallest first, then those without a protocol.
    pub services: Listed<Service>,
    /// Where it is, in order.
    pub network: Vec<Network>,
    /// Which countries it has to do with, in order of kind and country: one for each of both, the
    /// surest.
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
    /// The latest raw records, latest first. Internal.
    pub raw: Listed<Raw>,
}

impl Lead {
    /// The lead of `role` in this projection; none when no fold of that role is in it.
    ///
    /// Every value is computed from the projection: what is not in it leaves no trace. Evidence
    /// counts when it speaks of this role or of any; a fold is one claim of its reporter.
    pub fn form(projection: &Projection<'_>, role: Role, scorer: &Scorer, now: Timestamp) -> Option<Self> {
        let folds: Vec<&Fold> = projection.of_role(role).collect();
        let first = folds.first()?;
        let evidence: Vec<(&Finding, &Evidence)> = projection
            .findings
            .iter()
            .flat_map(|(finding, evidence)| evidence.iter().map(|evidence| (*finding, *evidence)))
            .filter(|(_, evidence)| evidence.roles.is_empty() || evidence.roles.contains(&role))
            .collect();

        let mut items: Vec<Item> = folds.iter().map(|fold| claim(fold, scorer)).collect();
        items.extend(evidence.iter().map(|(finding, evidence)| item(finding, evidence, scorer)));
        let coverage: Vec<Coverage> =
            projection.findings.iter().map(|(finding, evidence)| coverage(finding, evidence)).collect();
        let indicator = projection.dossier.indicator.clone();
        let score = score(&scorer.model, indicator.kind, role, items, coverage, now);

        let marking = strictest(first.marking, &folds, &evidence);
        let sightings = folds.iter().fold(0u64, |sum, fold| sum.saturating_add(fold.count));
        let findings = || projection.findings.iter().map(|(finding, _)| *finding);
        Some(Self {
            now,
            indicator,
            role,
            malware: malware(&folds),
            services: services(&folds),
            network: findings()
                .flat_map(|finding| &finding.network)
                .collect::<BTreeSet<_>>()
                .into_iter()
                .cloned()
                .collect(),
            nexus: nexus(findings(), &folds),
            gov: findings().find_map(|finding| finding.gov.clone()),
            time: Times {
                first_seen: folds.iter().map(|fold| fold.first_seen).min().unwrap_or(now),
                last_seen: folds.iter().map(|fold| fold.last_seen).max().unwrap_or(now),
                first_reported: folds.iter().map(|fold| fold.first_reported).min().unwrap_or(now),
            },
            sightings,
            reporters: folds.iter().map(|fold| &fold.reporter).collect::<BTreeSet<_>>().len() as u64,
            score,
            tlp: marking.tlp,
            pap: marking.pap,
            built: Built {
                model: scorer.model.identity(),
                sources: findings().map(|finding| (finding.source.clone(), finding.build.clone())).collect(),
            },
            raw: raw(&folds, sightings),
        })
    }
}

/// What one reporter says, as one item.
fn claim(fold: &Fold, scorer: &Scorer) -> Item {
    let view = scorer.reporters.get(&fold.reporter);
    let reliability = view.map_or(0, |view| view.reliability);
    let claimed = fold.confidence.map(|(_, _, claimed)| claimed);
    let mut text = format!("reported as {}", fold.role.as_str());
    if fold.role.is_victim() {
        text.push_str(", so as a victim");
    }
    match claimed {
        Some(claimed) => text.push_str(&format!(", with a confidence of {claimed}")),
        None => text.push_str(", without a confidence"),
    }
    Item {
        code: codes::CLAIM.to_owned(),
        text,
        weight: scorer.model.claim(fold.role, claimed, reliability),
        source: fold.reporter.clone(),
        origin: view.map_or_else(|| fold.reporter.clone(), |view| view.origin.clone()),
        reliability,
        observed_at: fold.last_seen,
        is_claim: true,
    }
}

/// One piece of evidence as an item. What speaks for a role by name claims it; what speaks of any
/// role is context.
fn item(finding: &Finding, evidence: &Evidence, scorer: &Scorer) -> Item {
    let reliability = scorer.sources.get(&finding.source).copied().unwrap_or(0);
    Item {
        code: evidence.code.clone(),
        text: evidence.text.clone(),
        weight: model::relied(evidence.weight, reliability),
        source: finding.source.clone(),
        origin: evidence.origin.clone(),
        reliability,
        observed_at: evidence.observed_at,
        is_claim: evidence.weight > 0 && !evidence.roles.is_empty(),
    }
}

/// What became of asking a source. A hit of which nothing may be known is a miss: the other would tell
/// that there is something.
fn coverage(finding: &Finding, evidence: &[&Evidence]) -> Coverage {
    let has_facts = !finding.network.is_empty() || !finding.nexus.is_empty() || finding.gov.is_some();
    let is_hollow = finding.status == Status::Hit && evidence.is_empty() && !has_facts;
    Coverage {
        source: finding.source.clone(),
        status: if is_hollow { Status::Miss } else { finding.status },
        detail: finding.detail.clone(),
        applies: !is_beside_the_point(finding),
    }
}

/// Whether a source was skipped because it has nothing to say of this type of indicator, rather
/// than because it must not or could not be asked.
///
/// A source that asks nobody can only be skipped for that. One that asks says so in its detail,
/// which names what the indicator lacks: `no address`, `no domain name`.
fn is_beside_the_point(finding: &Finding) -> bool {
    let lacks_something = || finding.detail.as_deref().is_none_or(|detail| detail.starts_with("no "));
    finding.status == Status::Skipped && (finding.independent || lacks_something())
}

fn strictest(first: Marking, folds: &[&Fold], evidence: &[(&Finding, &Evidence)]) -> Marking {
    let mut marking = first;
    for fold in folds {
        marking.tlp = marking.tlp.max(fold.marking.tlp);
        marking.pap = marking.pap.max(fold.marking.pap);
    }
    for (_, evidence) in evidence {
        marking.tlp = evidence.tlp.map_or(marking.tlp, |tlp| marking.tlp.max(tlp));
        marking.pap = evidence.pap.map_or(marking.pap, |pap| marking.pap.max(pap));
    }
    marking
}

/// All sightings that named a key in a capped collection that is not shown.
fn unshown<'a, K: 'a>(capped: impl Iterator<Item = &'a Capped<K>>, is_shown: impl Fn(&K) -> bool) -> u64 {
    capped.fold(0u64, |sum, capped| {
        let unshown = capped.kept.iter().filter(|(key, _)| !is_shown(key));
        unshown.fold(sum.saturating_add(capped.overflow), |sum, (_, seen)| sum.saturating_add(seen.count))
    })
}

fn malware(folds: &[&Fold]) -> Listed<Malware> {
    let mut reporters: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for fold in folds {
        for (name, _) in &fold.malware.kept {
            reporters.entry(name).or_default().insert(&fold.reporter);
        }
    }
    let mut items: Vec<Malware> = reporters
        .into_iter()
        .map(|(name, reporters)| Malware { name: name.to_owned(), reporters: reporters.len() as u64 })
        .collect();
    // Stable, so those that as many name stay in order of name.
    items.sort_by_key(|malware| std::cmp::Reverse(malware.reporters));
    items.truncate(caps::LEAD_MALWARE);
    let more = unshown(folds.iter().map(|fold| &fold.malware), |name| {
        items.iter().any(|malware| malware.name == *name)
    });
    Listed { items, more }
}

fn services(folds: &[&Fold]) -> Listed<Service> {
    let mut merged: BTreeMap<(u16, Option<Protocol>), Seen> = BTreeMap::new();
    for (key, seen) in folds.iter().flat_map(|fold| &fold.services.kept) {
        let all = merged.entry(*key).or_insert(*seen);
        all.first = all.first.min(seen.first);
        all.last = all.last.max(seen.last);
    }
    let shown: Vec<_> = merged.into_iter().take(caps::LEAD_SERVICES).collect();
    let more = unshown(folds.iter().map(|fold| &fold.services), |key| {
        shown.binary_search_by_key(key, |(shown, _)| *shown).is_ok()
    });
    let items = shown
        .into_iter()
        .map(|((port, protocol), seen)| Service {
            port,
            protocol,
            first_seen: seen.first,
            last_seen: seen.last,
        })
        .collect();
    Listed { items, more }
}

/// One nexus for each kind and country: the surest, of those the first source by name.
fn nexus<'a>(findings: impl Iterator<Item = &'a Finding>, folds: &[&Fold]) -> Vec<Nexus> {
    let mut all: Vec<Nexus> = findings.flat_map(|finding| finding.nexus.iter().cloned()).collect();
    for fold in folds {
        all.extend(fold.victim_countries.kept.iter().map(|(country, _)| Nexus {
            kind: NexusKind::Victim,
            country: country.clone(),
            confidence: VICTIM_COUNTRY,
            source: fold.reporter.clone(),
        }));
    }
    all.sort_by(|a, b| {
        let by_country = (a.kind, &a.country).cmp(&(b.kind, &b.country));
        by_country.then(b.confidence.cmp(&a.confidence)).then_with(|| a.source.cmp(&b.source))
    });
    all.dedup_by(|later, first| (later.kind, &later.country) == (first.kind, &first.country));
    all
}

/// The latest raw records; `more` counts the sightings that are not referred to.
fn raw(folds: &[&Fold], sightings: u64) -> Listed<Raw> {
    let mut all: Vec<_> = folds
        .iter()
        .flat_map(|fold| fold.raw.iter().map(|(at, port, raw)| (*at, raw, *port, fold.reporter.as_str())))
        .collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.truncate(caps::LEAD_RAW);
    let more = sightings.saturating_sub(all.len() as u64);
    let items = all
        .into_iter()
        .map(|(observed_at, raw, port, reporter)| Raw {
            reporter: reporter.to_owned(),
            observed_at,
            port,
            topic: raw.topic.clone(),
            partition: raw.partition,
            offset: raw.offset,
            sha256: raw.sha256,
        })
        .collect();
    Listed { items, more }
}

#[cfg(test)]
mod tests;
