//! What an agreement's recipient may be told of a dossier in one role, and why not (`sharing.md` 6.3).
//!
//! The steps are those of the reference, in its order, but for what costs: what depends on nothing
//! hidden (agreement, embargo, role, type) is looked at first, what depends on the projection next, and
//! only what is left is scored. The reason given is the first that fails in this order, so it is always
//! the same for the same input:
//!
//! 1. record, agreement's status and window, embargo, role, type;
//! 2. tags that forbid, a claim in this role, government names, countries;
//! 3. verdict that never passes, countries again on the lead, thresholds, age, fields, leak gate.
//!
//! Two choices where rules pull in different directions. Forbidding *tags* count on what the recipient
//! may know of only: a hidden sighting must not show by what is missing; what must stop everywhere goes
//! on the pipeline's embargo list. *Government names* count wherever an independent source says so,
//! released to this recipient or not: the name itself says it, and a list's terms must not let a
//! ministry's site out.

mod admit;
mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::dossier::{Dossier, Lead, Projection, Scorer};
use crate::enrich::{Gov, Nexus};
use crate::score::Verdict;
use crate::share::agreement::{Agreement, Countries, GovAssets, Scope, Status, Unknown};
use crate::share::redact::verdict_name;
use crate::sighting::{Indicator, IndicatorType, Marking, Pap, Role, Terms, Timestamp, Tlp};

use admit::{Admission, Choice, Forbidden, admit};
use release::Built;
pub use release::{Known, Release, Unchanged};

/// Under which terms everything came in, and what no agreement lifts.
#[derive(Debug, Clone, Default)]
pub struct Book {
    /// By reporter's name. One that is not here is not known, and what it says goes to nobody.
    pub reporters: BTreeMap<String, Party>,
    /// By enricher's name.
    pub sources: BTreeMap<String, Terms>,
    /// Keys of indicators of which nothing is told to anybody.
    pub embargo: BTreeSet<String>,
    /// Values planted in test records; a message that holds one is stopped.
    pub canaries: Vec<String>,
}

/// A reporter as a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// The organisation that it belongs to, `org:...`: as a recipient it is not told what it said.
    pub org: Option<String>,
    /// Under which terms it gives.
    pub terms: Terms,
}

/// What was decided for one agreement and role.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The agreement's id.
    pub agreement: String,
    /// The role.
    pub role: Role,
    /// Each step with its result, in the reference's order; empty unless asked for.
    pub steps: Vec<StepReport>,
    /// What the recipient may know of; empty unless asked for.
    pub admitted: Vec<String>,
    /// What it may not; empty unless asked for.
    pub dropped: Vec<Dropped>,
    /// What comes of it.
    pub outcome: Outcome,
}

/// What comes of a decision.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It may be told this.
    Release(Box<Release>),
    /// It may be told nothing.
    Refused {
        /// The reason code.
        clause: &'static str,
        /// The reference's number of the step.
        step: u8,
        /// When to decide again though nothing changes; none when time alone does not help.
        retry_at: Option<Timestamp>,
    },
}

/// One step of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// The reference's number, 1 to 10.
    pub n: u8,
    /// What was looked at.
    pub name: &'static str,
    /// Whether it passed.
    pub passed: bool,
    /// What was compared with what.
    pub detail: String,
}

/// Something that the recipient may not know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// A role of a reporter, evidence of a source, or all of one.
    pub what: String,
    /// `unknown-reporter`, `unknown-source`, `malformed`, `not-independent`, `above-ceiling`,
    /// `not-released`, `purpose`, `notify` or `echo`.
    pub why: &'static str,
}

/// Projections and leads of one dossier at one time, shared by all agreements that may know of the
/// same. Borrowing the dossier, it can't outlive a change of it; another dossier, scorer or time
/// empties it.
#[derive(Debug, Default)]
pub struct Cache<'d> {
    subject: Option<(&'d Dossier, Option<&'d Scorer>, Timestamp)>,
    /// Whether the dossier's indicator is one that can be shared.
    is_sane: bool,
    entries: Vec<Entry<'d>>,
}

#[derive(Debug)]
struct Entry<'d> {
    choice: Choice,
    projection: Projection<'d>,
    leads: Vec<(Role, Option<Arc<Lead>>)>,
}

impl<'d> Cache<'d> {
    /// Turns to this dossier, scorer and time, and forgets any other.
    fn turn_to(&mut self, dossier: &'d Dossier, scorer: Option<&'d Scorer>, now: Timestamp) {
        let is_same = self.subject.is_some_and(|(known, by, at)| {
            let is_it = std::ptr::eq(known, dossier)
                && by.map(std::ptr::from_ref) == scorer.map(std::ptr::from_ref)
                && at == now;
            judged("cache", "subject", is_it)
        });
        if !is_same {
            self.subject = Some((dossier, scorer, now));
            self.is_sane = is_sane(&dossier.indicator);
            self.entries.clear();
        }
    }

    /// Puts in the leads of the whole dossier, for agreements that may know of all of it.
    pub fn seed(
        &mut self,
        dossier: &'d Dossier,
        scorer: &'d Scorer,
        now: Timestamp,
        leads: Vec<(Role, Option<Arc<Lead>>)>,
    ) {
        self.turn_to(dossier, Some(scorer), now);
        let projection = Projection::whole(dossier);
        self.entries.push(Entry { choice: Choice::whole(dossier), projection, leads });
    }

    /// The entry of this choice, made if there is none.
    fn entry(&mut self, dossier: &'d Dossier, choice: &Choice) -> &mut Entry<'d> {
        let is_it = |entry: &Entry<'_>| judged("cache", "choice", entry.choice == *choice);
        let index = self.entries.iter().position(is_it).unwrap_or_else(|| {
            let projection = choice.project(dossier);
            self.entries.push(Entry { choice: choice.clone(), projection, leads: Vec::new() });
            self.entries.len() - 1
        });
        &mut self.entries[index]
    }
}

impl Entry<'_> {
    fn lead(&mut self, role: Role, form: Form<'_>) -> Option<Arc<Lead>> {
        if let Some((_, lead)) = self.leads.iter().find(|(known, _)| *known == role) {
            return lead.clone();
        }
        let lead = formed(form, &self.projection, role).map(Arc::new);
        self.leads.push((role, lead.clone()));
        lead
    }
}

/// How a lead is made of a projection.
type Form<'a> = &'a dyn Fn(&Projection<'_>, Role) -> Option<Lead>;

/// Decides what the recipient of `agreement` may be told of `dossier` in `role` at `now`.
///
/// Pure: the same input gives the same bytes. `explain` fills the steps, and what was admitted and
/// dropped; it changes nothing else. Denies on whatever is missing, malformed or unknown.
#[expect(clippy::too_many_arguments, reason = "each is an input of its own; a bundle would only rename them")]
pub fn decide<'d>(
    agreement: &Agreement,
    book: &Book,
    dossier: &'d Dossier,
    role: Role,
    scorer: &'d Scorer,
    now: Timestamp,
    cache: &mut Cache<'d>,
    explain: bool,
) -> Decision {
    let form = |projection: &Projection<'_>, role: Role| Lead::form(projection, role, scorer, now);
    let subject = Subject { agreement, book, dossier, role, now };
    subject.decide(&form, Some(scorer), cache, explain)
}

/// What a recipient who knows something should be told.
#[derive(Debug)]
pub enum Review {
    /// As decided.
    Decided(Outcome),
    /// It may be told, and this of it need not be.
    Unchanged(Unchanged),
}

/// As [`decide`], for a recipient who was told something before. What it knows already is not made
/// again, so that a sighting more of what everybody knows costs little.
#[expect(clippy::too_many_arguments, reason = "as for `decide`")]
pub fn review<'d>(
    agreement: &Agreement,
    book: &Book,
    dossier: &'d Dossier,
    role: Role,
    scorer: &'d Scorer,
    now: Timestamp,
    known: Option<Known>,
    cache: &mut Cache<'d>,
) -> Review {
    let form = |projection: &Projection<'_>, role: Role| Lead::form(projection, role, scorer, now);
    let subject = Subject { agreement, book, dossier, role, now };
    let mut trial = Trial::default();
    let walked = subject.walk(&mut trial, &mut Admission::default(), &form, Some(scorer), cache, known);
    match walked {
        Some(Built::Unchanged(unchanged)) => Review::Unchanged(unchanged),
        Some(Built::Release(release)) => Review::Decided(trial.outcome(Some(release))),
        None => Review::Decided(trial.outcome(None)),
    }
}

/// Every clause by which something is refused or stopped.
pub const CLAUSES: &[&str] = &[
    "age",
    "agreement-status",
    "agreement-unknown",
    "agreement-window",
    "embargo-age",
    "excluded-matter",
    "global-forbid",
    "gov",
    "leak-gate",
    "nexus",
    "no-releasable-claim",
    "record-invalid",
    "role",
    "threshold",
    "topic-unknown",
    "type",
    "unknown-op",
    "verdict",
];

/// The step that looks whether an agreement is in force.
pub const STEP_IN_FORCE: u8 = 2;

/// The marking of what came under terms that are not known.
pub const STRICTEST: Marking = Marking { tlp: Tlp::Red, pap: Pap::Red };

/// Whether the recipient may know of any sighting of `dossier` in `role`.
pub fn admits_any(agreement: &Agreement, book: &Book, dossier: &Dossier, role: Role) -> bool {
    admit(agreement, book, dossier, false).choice.project(dossier).of_role(role).next().is_some()
}

/// What is decided about.
#[derive(Clone, Copy)]
struct Subject<'a, 'd> {
    agreement: &'a Agreement,
    book: &'a Book,
    dossier: &'d Dossier,
    role: Role,
    now: Timestamp,
}

/// The steps of a decision so far, and the first that failed.
#[derive(Default)]
struct Trial {
    explain: bool,
    steps: Vec<StepReport>,
    refused: Option<(&'static str, u8, Option<Timestamp>)>,
}

impl Trial {
    /// Takes a step. None when it failed and nobody wants to see the others.
    fn step(
        &mut self,
        (n, name, clause): (u8, &'static str, &'static str),
        passed: bool,
        detail: impl FnOnce() -> String,
    ) -> Option<()> {
        self.step_until((n, name, clause), passed, None, detail)
    }

    fn step_until(
        &mut self,
        (n, name, clause): (u8, &'static str, &'static str),
        passed: bool,
        retry_at: Option<Timestamp>,
        detail: impl FnOnce() -> String,
    ) -> Option<()> {
        let passed = judged(clause, name, passed);
        if self.explain {
            self.steps.push(StepReport { n, name, passed, detail: detail() });
        }
        if !passed && self.refused.is_none() {
            self.refused = Some((clause, n, retry_at));
        }
        (passed || self.explain).then_some(())
    }
}

impl Trial {
    /// What comes of it when all steps gave this.
    fn outcome(&self, released: Option<Box<Release>>) -> Outcome {
        match (self.refused, released) {
            (None, Some(release)) => Outcome::Release(release),
            (Some((clause, step, retry_at)), _) => Outcome::Refused { clause, step, retry_at },
            // No step failed, and yet there is nothing: a fault of ours, which denies.
            (None, None) => Outcome::Refused { clause: "record-invalid", step: 1, retry_at: None },
        }
    }
}

impl<'d> Subject<'_, 'd> {
    fn decide(
        self,
        form: Form<'_>,
        scorer: Option<&'d Scorer>,
        cache: &mut Cache<'d>,
        explain: bool,
    ) -> Decision {
        let mut trial = Trial { explain, ..Trial::default() };
        let mut admission = Admission::default();
        let outcome = match self.walk(&mut trial, &mut admission, form, scorer, cache, None) {
            Some(Built::Release(release)) => trial.outcome(Some(release)),
            // Nothing is known to be unchanged.
            Some(Built::Unchanged(_)) | None => trial.outcome(None),
        };
        // Shown in the reference's order, whatever order they were taken in.
        trial.steps.sort_by_key(|step| step.n);
        Decision {
            agreement: self.agreement.id.clone(),
            role: self.role,
            steps: trial.steps,
            admitted: admission.admitted,
            dropped: admission.dropped,
            outcome,
        }
    }

    fn walk(
        self,
        trial: &mut Trial,
        admission: &mut Admission,
        form: Form<'_>,
        scorer: Option<&'d Scorer>,
        cache: &mut Cache<'d>,
        known: Option<Known>,
    ) -> Option<Built> {
        let Self { agreement, book, dossier, role, now } = self;
        cache.turn_to(dossier, scorer, now);
        self.cheap(trial, cache.is_sane)?;
        *admission = admit(agreement, book, dossier, trial.explain);
        let entry = cache.entry(dossier, &admission.choice);
        self.projected(trial, admission, &entry.projection)?;
        let lead = entry.lead(role, form);
        let lead = lead.filter(|lead| judged("record-invalid", "lead", is_sane_lead(lead, dossier, role)));
        trial.step((1, "lead", "record-invalid"), lead.is_some(), || "a lead can be formed".to_owned())?;
        let lead = lead?;
        self.scored(trial, &lead)?;
        release::build(self, trial, &entry.projection, lead, known)
    }

    /// What depends on nothing hidden.
    fn cheap(self, trial: &mut Trial, is_sane: bool) -> Option<()> {
        let Self { agreement, book, dossier, role, now } = self;
        let indicator = &dossier.indicator;
        trial.step((1, "record", "record-invalid"), is_sane, || indicator.to_string())?;
        let is_active = agreement.status == Status::Active && !agreement.purposes.is_empty();
        trial.step((2, "status", "agreement-status"), is_active, || {
            format!("{:?}", agreement.status).to_ascii_lowercase()
        })?;
        let (from, until) = (agreement.effective_from, agreement.expires_at);
        let is_early = now < from;
        let retry_at = is_early.then_some(from);
        trial.step_until((2, "window", "agreement-window"), !is_early && now < until, retry_at, || {
            format!("{now} in {from} to {until}")
        })?;
        let is_embargoed = !book.embargo.is_empty() && book.embargo.contains(&indicator.key());
        trial.step((3, "embargo", "global-forbid"), !is_embargoed, || indicator.key())?;
        let scope = &agreement.scope;
        trial.step((7, "role", "role"), scope.roles.contains(&role), || role.as_str().to_owned())?;
        trial.step((7, "type", "type"), scope.indicator_types.contains(&indicator.kind), || {
            indicator.kind.as_str().to_owned()
        })
    }

    /// What depends on the projection, but on no score.
    fn projected(self, trial: &mut Trial, admission: &Admission, projection: &Projection<'_>) -> Option<()> {
        let (kept, all) = (projection.folds.len() + admission.echoes, self.dossier.folds.len());
        trial.step((4, "projection", ""), true, || format!("{kept} of {all} folds may be known"))?;
        trial.step((5, "echo", ""), true, || format!("{} folds are its own", admission.echoes))?;
        let always = match &admission.forbidden {
            Some(Forbidden::Always(tag)) => Some(tag),
            _ => None,
        };
        trial.step((3, "export", "global-forbid"), always.is_none(), || {
            always.map_or_else(|| "no tag forbids it".to_owned(), Clone::clone)
        })?;
        let matter = match &admission.forbidden {
            Some(Forbidden::Matter(word)) => Some(word),
            _ => None,
        };
        trial.step((3, "matter", "excluded-matter"), matter.is_none(), || {
            matter.map_or_else(|| "no excluded matter".to_owned(), Clone::clone)
        })?;
        let claims = projection.of_role(self.role).count();
        trial.step((6, "claim", "no-releasable-claim"), claims > 0, || {
            format!("{claims} folds say {}", self.role.as_str())
        })?;
        let govs = self.governments(projection);
        let is_right = government_passes(&govs, self.agreement);
        trial.step((7, "government", "gov"), is_right, || match govs.as_slice() {
            [] => "no government's name".to_owned(),
            govs => govs.iter().map(|gov| gov.country.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        // All that a lead's nexus can come from: without a country here, there is none in the lead.
        if !self.may_have_country(projection) {
            trial
                .step((7, "country", "nexus"), false, || "no link to the agreement's countries".to_owned())?;
        }
        Some(())
    }

    /// What the score says.
    fn scored(self, trial: &mut Trial, lead: &Lead) -> Option<()> {
        let Self { agreement, now, .. } = self;
        let scope = &agreement.scope;
        let score = &lead.score;
        let name = verdict_name(score.verdict);
        let passes_somewhere = matches!(score.verdict, Verdict::Malicious | Verdict::Suspicious);
        trial.step((3, "verdict", "global-forbid"), passes_somewhere, || name.to_owned())?;
        trial.step((7, "nexus", "nexus"), nexus_passes(&lead.nexus, scope), || nexus_detail(&lead.nexus))?;
        trial.step((8, "risk", "threshold"), score.risk >= scope.min_risk, || {
            format!("{} of at least {}", score.risk, scope.min_risk)
        })?;
        trial.step((8, "confidence", "threshold"), score.confidence >= scope.min_confidence, || {
            format!("{} of at least {}", score.confidence, scope.min_confidence)
        })?;
        trial.step((8, "verdict", "verdict"), scope.verdicts.contains(&score.verdict), || name.to_owned())?;
        let last_seen = lead.time.last_seen;
        trial.step((8, "age", "age"), now.since(last_seen) <= scope.max_age, || {
            format!("last seen {last_seen}")
        })?;
        let ripe_at = lead.time.first_reported.plus(scope.min_age);
        let is_ripe = scope.min_age == 0 || now >= ripe_at;
        trial.step_until((8, "embargo", "embargo-age"), is_ripe, Some(ripe_at), || {
            format!("others are told first, until {ripe_at}")
        })
    }

    /// The governments whose name it is: as the projection has it, or any independent source.
    fn governments(self, projection: &Projection<'_>) -> Vec<&'d Gov> {
        let is_projected =
            |source: &str| projection.findings.iter().any(|(finding, _)| finding.source == source);
        let findings = self.dossier.findings.iter();
        findings
            .filter(|finding| finding.independent || is_projected(&finding.source))
            .filter_map(|finding| finding.gov.as_ref())
            .collect()
    }

    fn may_have_country(self, projection: &Projection<'_>) -> bool {
        let Countries::Only(countries) = &self.agreement.scope.countries else { return true };
        let found = projection.findings.iter().flat_map(|(finding, _)| &finding.nexus);
        let said = projection.folds.iter().flat_map(|fold| &fold.victim_countries.kept);
        found
            .map(|nexus| &nexus.country)
            .chain(said.map(|(country, _)| country))
            .any(|country| countries.contains(country))
    }
}

fn government_passes(govs: &[&Gov], agreement: &Agreement) -> bool {
    let home = agreement.recipient.country.as_deref();
    let are_own = home.is_some() && govs.iter().all(|gov| Some(gov.country.as_str()) == home);
    match agreement.scope.gov_assets {
        GovAssets::Include => true,
        GovAssets::Own => govs.is_empty() || are_own,
        GovAssets::Only => !govs.is_empty() && (home.is_none() || are_own),
        GovAssets::Exclude => govs.is_empty(),
    }
}

fn nexus_passes(nexus: &[Nexus], scope: &Scope) -> bool {
    // An empty list is none, also where any country would do.
    if scope.nexus.is_empty() {
        return false;
    }
    let counts =
        |nexus: &&Nexus| scope.nexus.contains(&nexus.kind) && nexus.confidence >= scope.nexus_min_confidence;
    let mut counting = nexus.iter().filter(counts);
    match &scope.countries {
        Countries::Any => scope.nexus_unknown == Unknown::Allow || counting.next().is_some(),
        Countries::Only(countries) => counting.any(|nexus| countries.contains(&nexus.country)),
    }
}

fn nexus_detail(nexus: &[Nexus]) -> String {
    if nexus.is_empty() {
        return "no country is known".to_owned();
    }
    let one = |nexus: &Nexus| format!("{:?} {} ({})", nexus.kind, nexus.country, nexus.confidence);
    nexus.iter().map(one).collect::<Vec<_>>().join(", ").to_ascii_lowercase()
}

/// Whether an indicator is one that can be shared at all. Intake sees to it; a state written by
/// something else does not.
fn is_sane(indicator: &Indicator) -> bool {
    let value = &indicator.value;
    if value.is_empty() || value.chars().any(char::is_control) {
        return false;
    }
    match indicator.kind {
        IndicatorType::Ipv4 | IndicatorType::Ipv6 => value.parse::<IpAddr>().is_ok_and(|address| {
            address.is_ipv4() == (indicator.kind == IndicatorType::Ipv4) && is_public(address)
        }),
        IndicatorType::Url => url::Url::parse(value).is_ok_and(|url| url.has_host()),
        _ => true,
    }
}

/// Whether an address can be somebody's on the internet. Ranges for documentation can: examples and
/// tests are made of them, and they are nobody's.
fn is_public(address: IpAddr) -> bool {
    let is_special = match address {
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    };
    !is_special
}

/// Whether a lead is of this dossier and role, and within its own ranges.
fn is_sane_lead(lead: &Lead, dossier: &Dossier, role: Role) -> bool {
    lead.indicator == dossier.indicator
        && lead.role == role
        && lead.score.risk <= 100
        && lead.score.confidence <= 100
        && lead.time.first_seen <= lead.time.last_seen
        && lead.sightings > 0
        && lead.reporters > 0
}

/// What came of a rule, as it is. Here and in the two below, tests take one rule at a time out of a
/// decision, to see that a property notices (`tests/mutants.rs`).
#[cfg(not(test))]
const fn judged(_clause: &str, _name: &str, passed: bool) -> bool {
    passed
}

/// The lead of a projection.
#[cfg(not(test))]
fn formed(form: Form<'_>, projection: &Projection<'_>, role: Role) -> Option<Lead> {
    form(projection, role)
}

/// The fields that an agreement lets out.
#[cfg(not(test))]
const fn allowed(agreement: &Agreement) -> &crate::share::fields::Fields {
    &agreement.fields
}

#[cfg(test)]
mod tests;
#[cfg(test)]
use tests::mutants::{allowed, formed, judged};
