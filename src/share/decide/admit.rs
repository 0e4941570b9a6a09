//! What of a dossier an agreement's recipient may know of: steps 4 and 5.
//!
//! A choice of folds and evidence by their terms alone, before anything is counted or scored. What is
//! unknown, without terms or malformed is not chosen. It never looks at what the choice would lead to.

use std::net::IpAddr;

use super::{Book, Dropped, judged};
use crate::dossier::{Dossier, Fold, Projection};
use crate::enrich::{Evidence, Finding, Status};
use crate::share::agreement::{Agreement, Echo};
use crate::sighting::{Marking, Notify, Role, Terms};

/// Which folds and evidence: the key under which agreements share a projection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Choice {
    folds: Bits,
    /// One bit a finding, followed by one for each of its evidence.
    findings: Bits,
}

/// A set of small numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn insert(&mut self, bit: usize) {
        let word = bit / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (bit % 64);
    }

    fn contains(&self, bit: usize) -> bool {
        self.0.get(bit / 64).is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }
}

/// What was chosen, and, for an explanation, what was not.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// What the recipient may know of, its own contributions left out.
    pub(super) choice: Choice,
    /// The first policy tag that forbids, among all folds that passed step 4.
    pub(super) forbidden: Option<Forbidden>,
    /// Folds that were its own.
    pub(super) echoes: usize,
    /// In words, only when asked.
    pub(super) admitted: Vec<String>,
    /// In words, only when asked.
    pub(super) dropped: Vec<Dropped>,
}

/// Why a tag forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// `no-export`, or more tags than are kept.
    Always(String),
    /// Matter that this agreement excludes.
    Matter(String),
}

/// The tags of a fold that govern sharing, and whether there were more than are kept.
fn matters(fold: &Fold) -> (impl Iterator<Item = &str>, bool) {
    (fold.matter.kept.iter().map(|(tag, _)| tag.as_str()), fold.matter.overflow > 0)
}

/// Chooses.
pub(super) fn admit(agreement: &Agreement, book: &Book, dossier: &Dossier, explain: bool) -> Admission {
    let mut admission = Admission::default();
    for (index, fold) in dossier.folds.iter().enumerate() {
        let name = || format!("{} of {} ({})", fold.role.as_str(), fold.reporter, marking_name(fold.marking));
        let result = fold_may(agreement, book, fold);
        if result.is_ok() {
            admission.forbid(fold, agreement);
        }
        match result.and_then(|()| not_own(agreement, book, fold)) {
            Ok(()) => {
                admission.choice.folds.insert(index);
                if explain {
                    admission.admitted.push(name());
                }
            }
            Err(why) => {
                admission.echoes += usize::from(why == "echo");
                if explain {
                    admission.dropped.push(Dropped { what: name(), why });
                }
            }
        }
    }
    let mut bit = 0;
    for finding in &dossier.findings {
        let at = bit;
        bit += 1 + finding.evidence.len();
        let terms = match finding_may(agreement, book, finding) {
            Ok(terms) => terms,
            Err(why) => {
                if explain {
                    admission.dropped.push(Dropped { what: format!("all of {}", finding.source), why });
                }
                continue;
            }
        };
        admission.choice.findings.insert(at);
        for (index, evidence) in finding.evidence.iter().enumerate() {
            let name = || format!("{} of {}", evidence.code, finding.source);
            if exceeds(agreement, terms.narrow(evidence.tlp, evidence.pap)) {
                if explain {
                    admission.dropped.push(Dropped { what: name(), why: "above-ceiling" });
                }
            } else {
                admission.choice.findings.insert(at + 1 + index);
                if explain {
                    admission.admitted.push(name());
                }
            }
        }
    }
    admission
}

impl Admission {
    /// Notes the first tag by which nothing of the whole dossier may go out.
    fn forbid(&mut self, fold: &Fold, agreement: &Agreement) {
        let (tags, is_over) = matters(fold);
        for tag in tags {
            match tag.strip_prefix("matter:") {
                Some(word) if agreement.excluded_matter.contains(word) => {
                    self.forbidden.get_or_insert_with(|| Forbidden::Matter(word.to_owned()));
                }
                // What no agreement can lift is the better reason.
                None if tag == "no-export" => self.forbidden = Some(Forbidden::Always(tag.to_owned())),
                _ => {}
            }
        }
        if is_over {
            self.forbidden = Some(Forbidden::Always("more tags than are kept".to_owned()));
        }
    }
}

impl Choice {
    /// Everything.
    pub(super) fn whole(dossier: &Dossier) -> Self {
        let mut choice = Self::default();
        (0..dossier.folds.len()).for_each(|bit| choice.folds.insert(bit));
        let bits = dossier.findings.iter().map(|finding| 1 + finding.evidence.len()).sum();
        (0..bits).for_each(|bit| choice.findings.insert(bit));
        choice
    }

    /// What was chosen, as a projection.
    pub(super) fn project<'d>(&self, dossier: &'d Dossier) -> Projection<'d> {
        let folds = dossier.folds.iter().enumerate().filter(|(index, _)| self.folds.contains(*index));
        let mut bit = 0;
        let mut findings = Vec::new();
        for finding in &dossier.findings {
            let at = bit;
            bit += 1 + finding.evidence.len();
            if self.findings.contains(at) {
                let evidence = finding.evidence.iter().enumerate();
                let evidence = evidence.filter(|(index, _)| self.findings.contains(at + 1 + index));
                findings.push((finding, evidence.map(|(_, evidence)| evidence).collect()));
            }
        }
        Projection { dossier, folds: folds.map(|(_, fold)| fold).collect(), findings }
    }
}

fn fold_may(agreement: &Agreement, book: &Book, fold: &Fold) -> Result<(), &'static str> {
    rule("malformed", fold.count > 0 && fold.first_seen <= fold.last_seen)?;
    let party = book.reporters.get(&fold.reporter).ok_or("unknown-reporter")?;
    // The fold's marking already is at least that of the terms; a fold from before the terms were
    // narrowed is not.
    let marking = party.terms.narrow(Some(fold.marking.tlp), Some(fold.marking.pap));
    if exceeds(agreement, marking) {
        return Err("above-ceiling");
    }
    terms_may(agreement, &party.terms)
}

/// Step 5. Who is nobody's own, such as a sensor of ours, is never the recipient.
fn not_own(agreement: &Agreement, book: &Book, fold: &Fold) -> Result<(), &'static str> {
    let org = book.reporters.get(&fold.reporter).and_then(|party| party.org.as_deref());
    let is_own = org == Some(agreement.recipient.id.as_str());
    rule("echo", !(is_own && agreement.scope.echo == Echo::Suppress))
}

fn finding_may<'b>(
    agreement: &Agreement,
    book: &'b Book,
    finding: &Finding,
) -> Result<&'b Terms, &'static str> {
    let terms = book.sources.get(&finding.source).ok_or("unknown-source")?;
    // A look-up that a sighting triggered tells that there was one.
    rule("not-independent", finding.independent)?;
    rule("malformed", finding.network.iter().all(|network| network.ip.parse::<IpAddr>().is_ok()))?;
    if exceeds(agreement, terms.narrow(None, None)) {
        return Err("above-ceiling");
    }
    terms_may(agreement, terms).map(|()| terms)
}

fn exceeds(agreement: &Agreement, marking: Marking) -> bool {
    let is_within = marking.tlp <= agreement.ceiling.tlp && marking.pap <= agreement.ceiling.pap;
    rule("above-ceiling", is_within).is_err()
}

/// One rule of admission: `why` not, unless it is kept.
fn rule(why: &'static str, is_kept: bool) -> Result<(), &'static str> {
    if judged(why, "admission", is_kept) { Ok(()) } else { Err(why) }
}

/// Whether whoever gave it lets this recipient have it, for all that the agreement is for.
fn terms_may(agreement: &Agreement, terms: &Terms) -> Result<(), &'static str> {
    let recipient = &agreement.recipient;
    let names = |set: &std::collections::BTreeSet<String>| {
        [recipient.id.as_str(), recipient.kind.as_str(), "*"].iter().any(|name| set.contains(*name))
    };
    rule("not-released", !names(&terms.never_to) && names(&terms.release_to))?;
    rule("purpose", !agreement.purposes.is_empty() && agreement.purposes.is_subset(&terms.purposes))?;
    rule("notify", !agreement.scope.require_notify || terms.notify_affected == Notify::May)
}

/// The strictest marking and notification of what a lead of `role` uses of a projection: its folds, and
/// each finding that has something to say of it.
pub(super) fn strictest(projection: &Projection<'_>, role: Role, book: &Book) -> (Option<Marking>, Notify) {
    let mut strictest: Option<Marking> = None;
    let mut notify = Notify::May;
    let mut add = |marking: Marking, terms: Notify| {
        let so_far = strictest.unwrap_or(marking);
        strictest = Some(Marking { tlp: so_far.tlp.max(marking.tlp), pap: so_far.pap.max(marking.pap) });
        if terms == Notify::MustNot {
            notify = Notify::MustNot;
        }
    };
    for fold in projection.of_role(role) {
        if let Some(party) = book.reporters.get(&fold.reporter) {
            let own = (Some(fold.marking.tlp), Some(fold.marking.pap));
            add(party.terms.narrow(own.0, own.1), party.terms.notify_affected);
        }
    }
    for (finding, evidence) in &projection.findings {
        let Some(terms) = book.sources.get(&finding.source) else { continue };
        let speaks = |evidence: &&&Evidence| evidence.roles.is_empty() || evidence.roles.contains(&role);
        for evidence in evidence.iter().filter(speaks) {
            add(terms.narrow(evidence.tlp, evidence.pap), terms.notify_affected);
        }
        let has_facts = !finding.network.is_empty() || !finding.nexus.is_empty() || finding.gov.is_some();
        if has_facts && finding.status == Status::Hit {
            add(terms.narrow(None, None), terms.notify_affected);
        }
    }
    (strictest, notify)
}

fn marking_name(marking: Marking) -> String {
    format!("TLP:{} PAP:{}", marking.tlp.as_str(), marking.pap.as_str())
}
