//! Reading and replacing what a dossier keeps beside its folds: findings, retries, the leads as last
//! written, and what was disclosed. Each stays in order, so that equal dossiers have equal bytes.
//! When to replace something is for the stages.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::{Disclosed, Dossier, Retry, Written, caps};
use crate::enrich::{Evidence, Finding};
use crate::sighting::{Indicator, Role, Timestamp};

impl Dossier {
    /// Nothing known yet.
    pub fn new(indicator: Indicator) -> Self {
        Self {
            indicator,
            folds: Vec::new(),
            unkept: Vec::new(),
            ids: Vec::new(),
            findings: Vec::new(),
            retries: Vec::new(),
            leads: Vec::new(),
            disclosed: Vec::new(),
            wake_at: None,
        }
    }

    /// The roles that it was seen in, in order.
    pub fn roles(&self) -> Vec<Role> {
        let mut roles: Vec<Role> = self.folds.iter().map(|fold| fold.role).collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    /// The latest observation in any role.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.folds.iter().map(|fold| fold.last_seen).max()
    }

    /// What this source said last.
    pub fn finding(&self, source: &str) -> Option<&Finding> {
        let place = self.findings.binary_search_by(|finding| finding.source.as_str().cmp(source)).ok()?;
        Some(&self.findings[place])
    }

    /// What this source said last, if it was made from this build of its data. An empty answer means
    /// that it is to be looked up again.
    pub fn finding_of(&self, source: &str, build: &str) -> Option<&Finding> {
        self.finding(source).filter(|finding| finding.build == kept_build(build))
    }

    /// Puts a finding in place of what its source said before, cut to the [`caps`]: of evidence the
    /// smallest by code, origin and observed time are kept, of networks and nexus the smallest, of
    /// texts what fits up to a character's end. Ask [`Dossier::finding_of`] for its build, since a
    /// long one is not kept whole. Returns how many of its evidence, networks and nexus were not
    /// kept.
    pub fn set_finding(&mut self, finding: Finding) -> usize {
        let (finding, n_dropped) = trimmed(finding);
        replace(&mut self.findings, finding, |finding| finding.source.clone());
        n_dropped
    }

    /// Forgets what this source said, and that it is to be asked again.
    pub fn remove_finding(&mut self, source: &str) {
        self.findings.retain(|finding| finding.source != source);
        self.clear_retry(source);
    }

    /// How often this source went without an answer in a row; none when it answered.
    pub fn retry(&self, source: &str) -> Option<&Retry> {
        self.retries.iter().find(|retry| retry.source == source)
    }

    /// Notes that a source went without an answer.
    pub fn set_retry(&mut self, retry: Retry) {
        replace(&mut self.retries, retry, |retry| retry.source.clone());
    }

    /// Notes that a source answered.
    pub fn clear_retry(&mut self, source: &str) {
        self.retries.retain(|retry| retry.source != source);
    }

    /// The lead of this role as last written.
    pub fn written(&self, role: Role) -> Option<&Written> {
        self.leads.iter().find(|written| written.role == role)
    }

    /// Notes that a lead was written.
    pub fn set_written(&mut self, written: Written) {
        replace(&mut self.leads, written, |written| written.role);
    }

    /// What this agreement's recipient knows of this role.
    pub fn disclosed_under(&self, agreement: &str, role: Role) -> Option<&Disclosed> {
        self.disclosed.iter().find(|disclosed| disclosed.role == role && disclosed.agreement == agreement)
    }

    /// Notes what an agreement's recipient was told, or refused.
    pub fn set_disclosed(&mut self, disclosed: Disclosed) {
        replace(&mut self.disclosed, disclosed, |disclosed| (disclosed.agreement.clone(), disclosed.role));
    }
}

/// Puts `value` in place of that with the same key, or where its key belongs.
fn replace<T, K: Ord>(list: &mut Vec<T>, value: T, key: impl Fn(&T) -> K) {
    match list.binary_search_by_key(&key(&value), key) {
        Ok(place) => list[place] = value,
        Err(place) => list.insert(place, value),
    }
}

/// A build as it is kept: where it is too long, its beginning and a digest of the whole, so that
/// unlike builds stay unlike.
fn kept_build(build: &str) -> Cow<'_, str> {
    if build.len() <= caps::BUILD {
        return Cow::Borrowed(build);
    }
    let digest = hex::encode(&Sha256::digest(build.as_bytes())[..8]);
    let beginning = &build[..build.floor_char_boundary(caps::BUILD - digest.len() - 1)];
    Cow::Owned(format!("{beginning} {digest}"))
}

/// Cuts a text to at most `bytes`, at the end of a character.
pub(super) fn cut(text: &mut String, bytes: usize) {
    text.truncate(text.floor_char_boundary(bytes));
}

fn cut_optional(text: &mut Option<String>, bytes: usize) {
    if let Some(text) = text {
        cut(text, bytes);
    }
}

fn trimmed(mut finding: Finding) -> (Finding, usize) {
    if let Cow::Owned(shorter) = kept_build(&finding.build) {
        finding.build = shorter;
    }
    cut_optional(&mut finding.detail, caps::SENTENCE);
    for evidence in &mut finding.evidence {
        trim(evidence);
    }
    finding.evidence.sort_by(|a, b| order(a).cmp(&order(b)));
    for network in &mut finding.network {
        cut(&mut network.ip, caps::TEXT);
        cut_optional(&mut network.as_name, caps::TEXT);
        cut_optional(&mut network.city, caps::TEXT);
    }
    finding.network.sort();
    finding.network.dedup();
    finding.nexus.sort();
    finding.nexus.dedup();
    let n_dropped = bound(&mut finding.evidence, caps::EVIDENCE)
        + bound(&mut finding.network, caps::NETWORKS)
        + bound(&mut finding.nexus, caps::NETWORKS);
    (finding, n_dropped)
}

/// By code, origin and observed time; the rest, so that no two unlike pieces are equal.
fn order(evidence: &Evidence) -> impl Ord + '_ {
    (
        (&evidence.code, &evidence.origin, evidence.observed_at, evidence.weight),
        (&evidence.reference, &evidence.text, &evidence.roles, evidence.tlp, evidence.pap),
    )
}

fn trim(evidence: &mut Evidence) {
    cut(&mut evidence.code, caps::TEXT);
    cut(&mut evidence.origin, caps::TEXT);
    cut(&mut evidence.text, caps::SENTENCE);
    evidence.roles.sort_unstable();
    evidence.roles.dedup();
    // Half a reference leads nowhere.
    evidence.reference.take_if(|reference| reference.len() > caps::SENTENCE);
}

fn bound<T>(list: &mut Vec<T>, most: usize) -> usize {
    let n_dropped = list.len().saturating_sub(most);
    list.truncate(most);
    n_dropped
}

#[cfg(test)]
mod tests;
