//! Folding sightings into a dossier.
//!
//! The order of sightings changes nothing. What has a cap keeps what is smallest (of raw references
//! and ids, what is latest): a key that is kept in the end was kept from its first sighting on, and
//! what is not kept is only counted, so the counts are exact in any order too. Two things are less
//! than that, and both are about a reporter that repeats itself far apart: a repeat is known by the
//! last [`caps::IDS`] ids, and in the [`caps::ROLES_WITH_IDS`] smallest of its roles. A repeat that is
//! not known so counts again.

use sha2::{Digest, Sha256};

use super::{Capped, Dossier, Fold, Seen, SeenIds, caps};
use crate::sighting::{Marking, Protocol, RawRef, Sighting, Timestamp};

/// What folding a sighting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// It counted.
    Counted,
    /// The reporter's own repeat: nothing changed.
    Repeat,
}

/// Folds one sighting, marked as the reporter's terms and its own markings say.
///
/// The sighting must be of the dossier's indicator. Names of malware are cut to [`caps::TEXT`]
/// bytes at the end of a character; names that are equal up to there become one.
pub fn fold(dossier: &mut Dossier, sighting: &Sighting<'_>, marking: Marking) -> Folded {
    debug_assert_eq!(dossier.indicator, sighting.indicator, "a sighting of another indicator");
    let id = sighting.id.as_deref().map(|id| digest(id, marking));
    if id.is_some_and(|id| !remember(&mut dossier.ids, sighting, id)) {
        return Folded::Repeat;
    }
    match place_for(&mut dossier.folds, &mut dossier.unkept, sighting, marking) {
        Some(place) => add(&mut dossier.folds[place], sighting, id.unwrap_or(0)),
        None => count_unkept(&mut dossier.unkept, &sighting.reporter, 1),
    }
    Folded::Counted
}

/// The first eight bytes of the SHA-256 of an id under a marking. One id under two markings is two: who
/// may know of one of them must not see, by what is missing, that there was another.
fn digest(id: &str, marking: Marking) -> u64 {
    let marked = Sha256::new().chain_update(marking.tlp.as_str()).chain_update(" ");
    let marked = marked.chain_update(marking.pap.as_str()).chain_update(" ");
    let digest: [u8; 32] = marked.chain_update(id).finalize().into();
    let (first, _) = digest.split_first_chunk().expect("32 bytes begin with eight");
    u64::from_be_bytes(*first)
}

/// Remembers an id; false when it was remembered already.
fn remember(groups: &mut Vec<SeenIds>, sighting: &Sighting<'_>, id: u64) -> bool {
    let first = groups.partition_point(|group| *group.reporter < *sighting.reporter);
    let own = groups[first..].iter().take_while(|group| *group.reporter == *sighting.reporter).count();
    let place = first + groups[first..first + own].partition_point(|group| group.role < sighting.role);
    let is_there = place < first + own && groups[place].role == sighting.role;
    if !is_there {
        if own == caps::ROLES_WITH_IDS {
            if place == first + own {
                return true;
            }
            groups.remove(first + own - 1);
        }
        let (reporter, role) = (sighting.reporter.clone().into_owned(), sighting.role);
        groups.insert(place, SeenIds { reporter, role, ids: Vec::new() });
    }
    let ids = &mut groups[place].ids;
    if ids.iter().any(|(_, seen)| *seen == id) {
        return false;
    }
    let at = ids.partition_point(|seen| *seen < (sighting.observed_at, id));
    ids.insert(at, (sighting.observed_at, id));
    if ids.len() > caps::IDS {
        ids.remove(0);
    }
    true
}

/// Where the fold of this sighting stands, made if it belongs among those kept.
fn place_for(
    folds: &mut Vec<Fold>,
    unkept: &mut Vec<(String, u64)>,
    sighting: &Sighting<'_>,
    marking: Marking,
) -> Option<usize> {
    let first = folds.partition_point(|fold| *fold.reporter < *sighting.reporter);
    let own = folds[first..].iter().take_while(|fold| *fold.reporter == *sighting.reporter).count();
    let key = (sighting.role, marking);
    let place = first + folds[first..first + own].partition_point(|fold| (fold.role, fold.marking) < key);
    if place < first + own && (folds[place].role, folds[place].marking) == key {
        return Some(place);
    }
    let mut place = place;
    if own == caps::FOLDS_A_REPORTER {
        // The strictest gives way: what an audience may not know of must not crowd out what it may.
        let strictness = |fold: &Fold| (fold.marking, fold.role);
        let last = (first..first + own).max_by_key(|at| strictness(&folds[*at]))?;
        if strictness(&folds[last]) < (marking, sighting.role) {
            return None;
        }
        let evicted = folds.remove(last);
        count_unkept(unkept, &evicted.reporter, evicted.count);
        place -= usize::from(last < place);
    }
    folds.insert(place, empty(sighting, marking));
    Some(place)
}

fn count_unkept(unkept: &mut Vec<(String, u64)>, reporter: &str, n: u64) {
    match unkept.binary_search_by(|(name, _)| name.as_str().cmp(reporter)) {
        Ok(place) => unkept[place].1 = unkept[place].1.saturating_add(n),
        Err(place) => unkept.insert(place, (reporter.to_owned(), n)),
    }
}

fn empty(sighting: &Sighting<'_>, marking: Marking) -> Fold {
    Fold {
        reporter: sighting.reporter.clone().into_owned(),
        role: sighting.role,
        marking,
        count: 0,
        first_seen: sighting.observed_at,
        last_seen: sighting.observed_at,
        first_reported: sighting.reported_at,
        services: Capped::default(),
        malware: Capped::default(),
        victim_countries: Capped::default(),
        matter: Capped::default(),
        confidence: None,
        raw: Vec::new(),
    }
}

fn add(fold: &mut Fold, sighting: &Sighting<'_>, id: u64) {
    let at = sighting.observed_at;
    fold.count = fold.count.saturating_add(1);
    fold.first_seen = fold.first_seen.min(at);
    fold.last_seen = fold.last_seen.max(at);
    fold.first_reported = fold.first_reported.min(sighting.reported_at);
    if let Some(port) = sighting.port {
        let service: (u16, Option<Protocol>) = (port, sighting.protocol);
        fold.services.see(&service, |kept, new| kept.cmp(new), |new| *new, at, caps::SERVICES);
    }
    if let Some(name) = &sighting.malware {
        let name = &name[..name.floor_char_boundary(caps::TEXT)];
        fold.malware.see(name, |kept, new| kept.as_str().cmp(new), str::to_owned, at, caps::MALWARE);
    }
    let country = sighting.victim.as_ref().and_then(|victim| victim.country.as_deref());
    if let Some(country) = country.filter(|country| is_country(country)) {
        let most = caps::VICTIM_COUNTRIES;
        fold.victim_countries.see(country, |kept, new| kept.as_str().cmp(new), str::to_owned, at, most);
    }
    let tags = sighting.tags.iter().map(|tag| tag.to_ascii_lowercase());
    for tag in tags.filter(|tag| governs_sharing(tag)) {
        if tag.len() > caps::TEXT {
            // Not known is what forbids most.
            fold.matter.overflow = fold.matter.overflow.saturating_add(1);
        } else {
            fold.matter.see(
                tag.as_str(),
                |kept, new| kept.as_str().cmp(new),
                str::to_owned,
                at,
                caps::MATTER,
            );
        }
    }
    if let Some(claimed) = sighting.claimed_confidence {
        fold.confidence = fold.confidence.max(Some((at, id, claimed)));
    }
    refer(&mut fold.raw, at, sighting.port, sighting.raw);
}

/// Whether a tag says something about who may be told: `no-export`, `matter:<word>`.
fn governs_sharing(tag: &str) -> bool {
    tag == "no-export" || tag.starts_with("matter:")
}

/// Intake lets nothing else in; a longer text would only break the bound.
fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// Keeps a reference to a raw record if it is among the latest.
fn refer(
    kept: &mut Vec<(Timestamp, Option<u16>, RawRef)>,
    at: Timestamp,
    port: Option<u16>,
    raw: RawRef<&str>,
) {
    if raw.topic.len() > caps::TOPIC {
        return;
    }
    let place = kept.partition_point(|(time, p, r)| (*time, r.borrowed(), *p) > (at, raw, port));
    if place < caps::RAW {
        kept.insert(place, (at, port, raw.owned()));
        kept.truncate(caps::RAW);
    }
}

impl<K> Capped<K> {
    /// Counts a key, which is kept if it is among the `most` smallest seen so far.
    fn see<Q: ?Sized>(
        &mut self,
        key: &Q,
        compare: impl Fn(&K, &Q) -> std::cmp::Ordering,
        own: impl FnOnce(&Q) -> K,
        at: Timestamp,
        most: usize,
    ) {
        match self.kept.binary_search_by(|(kept, _)| compare(kept, key)) {
            Ok(place) => {
                let seen = &mut self.kept[place].1;
                seen.count = seen.count.saturating_add(1);
                seen.first = seen.first.min(at);
                seen.last = seen.last.max(at);
            }
            Err(place) if place < most => {
                self.kept.insert(place, (own(key), Seen { count: 1, first: at, last: at }));
                if self.kept.len() > most {
                    let evicted = self.kept.pop().map_or(0, |(_, seen)| seen.count);
                    self.overflow = self.overflow.saturating_add(evicted);
                }
            }
            Err(_) => self.overflow = self.overflow.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests;
