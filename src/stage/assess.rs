//! assess, what we make of it: keyed by indicator.
//!
//! Everything about one indicator passes through one partition. Folds sightings into the dossier,
//! looks up what is missing or stale, scores, and asks every agreement what its recipient may be
//! told. What it writes to an audience is fixed here to the byte.

mod hot;

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dead_letter::not_ours;
use super::disclosure::{Disclosure, Message, Sealed, to_json};
use super::knowledge::{Knowledge, Shared};
use super::{Made, Output, Record, State, Step, Stop, Work, partition_of};
use crate::dossier::{self, Disclosed, Dossier, Folded, Lead, Projection, Retry, StoredError, Written};
use crate::encode::{lead as lead_json, native};
use crate::enrich::{Answers, Enricher, Question, Status, gate};
use crate::share::decide::{self, Cache, Known, Outcome, Release, Review, Unchanged};
use crate::share::ledger::{self, Draft};
use crate::share::{Agreement, keyed};
use crate::sighting::{Role, Sighting, Timestamp};

use hot::Hot;

/// The topics of assess.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Read.
    pub sightings: Arc<str>,
    /// Every scored lead.
    pub leads: Arc<str>,
    /// State: compacted.
    pub dossiers: Arc<str>,
    /// What may go out.
    pub disclosures: Arc<str>,
    /// What could not be processed.
    pub dead_letters: Arc<str>,
}

/// The stage.
pub struct Assess {
    topics: Topics,
    knowledge: Shared,
    hot: Hot,
    /// Room for one lead after the other.
    encoded: lead_json::Encoded,
}

/// The records of a batch by key, and the keys that want to be looked at without any, in order: an
/// order of first mention would show an audience when others, of whom it may not know, spoke.
type Touched<'a> = IndexMap<&'a [u8], Vec<&'a Record>>;

/// The leads of a dossier by role.
type Leads = Vec<(Role, Option<Arc<Lead>>)>;

/// The key of the sweep's place in the state; no indicator's key begins with a zero byte.
pub const SWEEP: &[u8] = b"\0sweep";

/// Failed look-ups in a row after which only the next sighting asks again.
const ATTEMPTS: u8 = 3;
/// The first wait after a failed look-up, in milliseconds; each further one is four times as long.
const FIRST_RETRY: i64 = 30_000;

/// How far a sweep is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sweep {
    /// The rules that it sweeps for.
    rules: String,
    /// Where it goes on, in hex; none when it is done.
    cursor: Option<String>,
}

impl Assess {
    /// The stage on these topics.
    pub fn new(topics: Topics, knowledge: Shared) -> Self {
        Self { topics, knowledge, hot: Hot::default(), encoded: lead_json::Encoded::default() }
    }

    fn sweep_of(state: &dyn State) -> Option<Sweep> {
        serde_json::from_slice(&state.get(SWEEP)?).ok()
    }

    /// The sighting of a record, or why it is none.
    fn sighting(record: &Record) -> Result<Sighting<'_>, String> {
        let value = record.value.as_deref().ok_or("no value")?;
        // Checked whole, so that the parser need not check each text.
        let text = std::str::from_utf8(value).map_err(|err| err.to_string())?;
        let sighting: Sighting<'_> = serde_json::from_str(text).map_err(|err| err.to_string())?;
        if record.key.as_deref().is_some_and(|key| sighting.indicator.is_key(key)) {
            Ok(sighting)
        } else {
            Err("its key is not that of its indicator".to_owned())
        }
    }

    /// The sightings among records.
    fn sightings<'a>(records: &[&'a Record], mut not_ours: impl FnMut(&Record, String)) -> Vec<Sighting<'a>> {
        let mut sightings = Vec::with_capacity(records.len());
        for record in records {
            match Self::sighting(record) {
                Ok(sighting) => sightings.push(sighting),
                Err(text) => not_ours(record, text),
            }
        }
        sightings
    }

    fn touched<'a>(work: &Work<'a>, more: &'a [Vec<u8>]) -> Touched<'a> {
        let mut touched = Touched::with_capacity(work.records.len() + work.due.len() + more.len());
        for record in work.records {
            touched.entry(record.key.as_deref().unwrap_or_default()).or_default().push(record);
        }
        for key in work.due.iter().chain(more) {
            touched.entry(key).or_default();
        }
        touched.sort_unstable_keys();
        touched
    }

    /// Stops at a key that Java's partitioner would not have put here: one indicator would get two
    /// dossiers.
    fn check_partition(work: &Work<'_>, touched: &Touched<'_>) -> Result<(), Stop> {
        for (key, records) in touched {
            let Some(record) = records.first() else { continue };
            let belongs = partition_of(key, work.partitions);
            if belongs != work.partition {
                return Err(Stop {
                    code: "wrong-partition",
                    text: format!(
                        "{} {} offset {} belongs to partition {belongs} of {}: was the topic's partition count \
                         changed, or written by another producer? a keyed topic's count is fixed for the life of \
                         its state",
                        work.topic, work.partition, record.offset, work.partitions
                    ),
                });
            }
        }
        Ok(())
    }

    /// The next keys of the sweep that the rules want, if any; its place goes on in the state.
    fn swept(work: &Work<'_>, state: &mut dyn State, knowledge: &Knowledge) -> Vec<Vec<u8>> {
        let sweep = Self::sweep_of(state);
        let cursor = match &sweep {
            // What can't be read begins anew: a sweep twice does no harm.
            Some(sweep) if sweep.rules == knowledge.rules => {
                sweep.cursor.as_ref().map(|cursor| hex::decode(cursor).unwrap_or_default())
            }
            _ => Some(Vec::new()),
        };
        let Some(cursor) = cursor else { return Vec::new() };
        let (mut keys, next) = state.scan(&cursor, work.sweep);
        keys.retain(|key| key != SWEEP);
        let done = Sweep { rules: knowledge.rules.clone(), cursor: next.map(hex::encode) };
        if sweep.as_ref() != Some(&done) {
            state.put(SWEEP, Some(to_json(&done)));
        }
        keys
    }

    fn decoded(key: &[u8], stored: &[u8]) -> Result<Dossier, Stop> {
        let name = String::from_utf8_lossy(key);
        dossier::decode(stored).map_err(|err| match err {
            StoredError::UnknownFormat(_) => Stop {
                code: "state-format",
                text: format!("the dossier of {name} is {err}: run the binary that wrote it, or a newer one"),
            },
            StoredError::Damaged(_) => Stop {
                code: "state-damaged",
                text: format!("the dossier of {name}: {err}; remove the state directory, so that it is rebuilt from its topic"),
            },
        })
    }

    /// Which enrichers a dossier should be looked up in now.
    fn stale<'k>(
        knowledge: &'k Knowledge,
        dossier: &Dossier,
        sighted: bool,
        now: Timestamp,
    ) -> Vec<&'k Arc<dyn Enricher>> {
        knowledge
            .enrichers
            .iter()
            .filter(|enricher| {
                let Some(held) = dossier.finding_of(enricher.name(), enricher.build()) else { return true };
                if now.since(held.looked_up_at) >= enricher.stale_after() {
                    return true;
                }
                let retry = dossier.retries.iter().find(|retry| retry.source == enricher.name());
                held.status == Status::Unknown
                    && (sighted || retry.is_some_and(|retry| retry.at.is_some_and(|at| at <= now)))
            })
            .collect()
    }

    fn enrich(
        knowledge: &Knowledge,
        dossier: &mut Dossier,
        sighted: bool,
        answers: &Answers,
        now: Timestamp,
        made: &mut Made,
    ) {
        let stale: Vec<Arc<dyn Enricher>> =
            Self::stale(knowledge, dossier, sighted, now).into_iter().cloned().collect();
        for enricher in stale {
            let finding = enricher.finding(&dossier.indicator, answers, now);
            made.count("enrich", &[enricher.name(), status_name(finding.status)], 1);
            let before = dossier.retries.iter().position(|retry| retry.source == enricher.name());
            let attempts = before.map_or(0, |at| dossier.retries.remove(at).attempts);
            if finding.status == Status::Unknown {
                // A sighting starts the count anew; else it goes on until it gives up.
                let attempts = if sighted { 1 } else { attempts.saturating_add(1) };
                let wait = FIRST_RETRY << (2 * u32::from(attempts.saturating_sub(1)).min(8));
                let jitter = jitter(&dossier.indicator.key(), enricher.name(), attempts, wait);
                let at = (attempts <= ATTEMPTS).then(|| now.plus(wait + jitter));
                dossier.retries.push(Retry { source: enricher.name().to_owned(), attempts, at });
                dossier.retries.sort_by(|a, b| a.source.cmp(&b.source));
            }
            dossier.set_finding(finding);
        }
        // A source that the pipeline no longer has is not known of any more.
        dossier
            .findings
            .retain(|finding| knowledge.enrichers.iter().any(|enricher| enricher.name() == finding.source));
        dossier
            .retries
            .retain(|retry| knowledge.enrichers.iter().any(|enricher| enricher.name() == retry.source));
    }

    /// Writes the leads that say something new, and gives all of them.
    fn write_leads(
        &mut self,
        knowledge: &Knowledge,
        dossier: &mut Dossier,
        partition: i32,
        now: Timestamp,
        made: &mut Made,
    ) -> Leads {
        let roles = dossier.roles();
        let key = dossier.indicator.key();
        let mut written = std::mem::take(&mut dossier.leads);
        for gone in written.extract_if(.., |written| !roles.contains(&written.role)) {
            made.outputs.push(self.lead_output(&key, gone.role, partition, None));
        }
        let projection = Projection::whole(dossier);
        let mut leads = Leads::with_capacity(roles.len());
        for role in roles {
            let Some(lead) = Lead::form(&projection, role, &knowledge.scorer, now) else { continue };
            let held = written.iter().position(|written| written.role == role);
            let version = held.map_or(1, |held| written[held].version + 1);
            self.encoded.set(&lead_id(&key, role), version, &lead);
            let mut digest = [0; 16];
            digest.copy_from_slice(&Sha256::digest(self.encoded.content())[..16]);
            leads.push((role, Some(Arc::new(lead))));
            match held {
                Some(held) if written[held].digest == digest => continue,
                Some(held) => written[held] = Written { role, version, digest },
                None => written.push(Written { role, version, digest }),
            }
            made.outputs.push(self.lead_output(&key, role, partition, Some(self.encoded.bytes.clone())));
        }
        written.sort_unstable_by_key(|written| written.role);
        dossier.leads = written;
        leads
    }

    fn lead_output(&self, key: &str, role: Role, partition: i32, value: Option<Vec<u8>>) -> Output {
        Output {
            topic: self.topics.leads.clone(),
            partition: Some(partition),
            key: Some(format!("{key} {}", role.as_str()).into_bytes()),
            value,
            headers: Vec::new(),
        }
    }

    /// Asks every agreement about every role; the earliest time at which one wants to be asked again.
    fn share(
        &self,
        knowledge: &Knowledge,
        dossier: &mut Dossier,
        leads: Leads,
        now: Timestamp,
        made: &mut Made,
    ) -> Option<Timestamp> {
        let mut disclosed = std::mem::take(&mut dossier.disclosed);
        let mut wake: Option<Timestamp> = None;
        let roles: Vec<Role> = leads.iter().map(|(role, _)| *role).collect();
        let mut cache = Cache::default();
        cache.seed(dossier, &knowledge.scorer, now, leads);
        for agreement in knowledge.agreements.values() {
            for &role in &roles {
                let place = disclosed.binary_search_by(|held| {
                    (held.agreement.as_str(), held.role).cmp(&(agreement.id.as_str(), role))
                });
                let place = place.unwrap_or_else(|place| {
                    let nothing = Disclosed {
                        agreement: agreement.id.clone(),
                        role,
                        version: 0,
                        digest: [0; 16],
                        major: [0; 16],
                        at: now,
                        refused: None,
                    };
                    disclosed.insert(place, nothing);
                    place
                });
                let held = &mut disclosed[place];
                let at = self.settle(knowledge, dossier, agreement, held, now, &mut cache, made);
                wake = wake.into_iter().chain(at).min();
            }
        }
        drop(cache);
        dossier.disclosed = disclosed;
        wake
    }

    /// Compares what may be told with what the recipient knows, and writes a disclosure if it matters.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing that the comparison needs")]
    fn settle<'d>(
        &self,
        knowledge: &'d Knowledge,
        dossier: &'d Dossier,
        agreement: &Agreement,
        held: &mut Disclosed,
        now: Timestamp,
        cache: &mut Cache<'d>,
        made: &mut Made,
    ) -> Option<Timestamp> {
        let ripe = held.at.plus(knowledge.minor_updates);
        let waits = now < ripe && held.digest != [0; 16];
        let known =
            (held.version > 0).then(|| Known { facts: held.digest, major: waits.then_some(held.major) });
        let Knowledge { book, scorer, .. } = knowledge;
        match decide::review(agreement, book, dossier, held.role, scorer, now, known, cache) {
            Review::Unchanged(unchanged) => {
                held.refused = None;
                (unchanged == Unchanged::Minor).then_some(ripe)
            }
            Review::Decided(Outcome::Refused { clause, step, retry_at }) => {
                if held.refused.as_deref() != Some(clause) {
                    made.count("disclosures", &[&agreement.id, "refused", clause], 1);
                    held.refused = Some(clause.to_owned());
                }
                // While an agreement is not in force its recipient may lose what it had; when it is
                // again, everything is told anew.
                if step == decide::STEP_IN_FORCE {
                    held.digest = [0; 16];
                }
                retry_at
            }
            Review::Decided(Outcome::Release(release)) => {
                held.version += 1;
                held.digest = release.facts;
                held.major = release.major;
                held.at = now;
                held.refused = None;
                made.outputs.push(self.disclosure(
                    knowledge,
                    dossier,
                    agreement,
                    held.version,
                    &release,
                    now,
                ));
                made.count("disclosures", &[&agreement.id, "disclosed"], 1);
                None
            }
        }
    }

    /// The record for release: the message's bytes, and what the ledger is to say of it.
    fn disclosure(
        &self,
        knowledge: &Knowledge,
        dossier: &Dossier,
        agreement: &Agreement,
        version: u64,
        release: &Release,
        now: Timestamp,
    ) -> Output {
        let role = release.lead.role;
        let id = keyed::disclosure_id(&knowledge.key, &agreement.id, &dossier.indicator.key(), role);
        let salt = keyed::salt(&knowledge.key, &id, version);
        let supersedes = (version > 1).then(|| version - 1);
        let head = native::MessageHead::of(agreement, release, &id, version, supersedes, now);
        let payload = native::disclosure(&release.fields, &head);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("we write UTF-8");
        let headers =
            native::headers(&head, &salt).into_iter().map(|(name, value)| (name, text(value))).collect();
        let commitment = ledger::commitment(&salt, &payload).expect("a salt of ours is hexadecimal");
        let decided = ledger::Disclosure {
            id: &id,
            version,
            decided_at: now,
            commitment: &commitment,
            bytes: u64::try_from(payload.len()).unwrap_or(u64::MAX),
        };
        let entry = Draft::of(agreement, release, decided);
        let message = Message { topic: agreement.topic.clone(), key: id, headers, payload: text(payload) };
        let sealed = Disclosure::Disclose(Box::new(Sealed { entry, message }));
        Output {
            topic: self.topics.disclosures.clone(),
            partition: None,
            key: Some(agreement.id.as_bytes().to_vec()),
            value: Some(to_json(&sealed)),
            headers: Vec::new(),
        }
    }

    /// Drops the folds whose time is over, and what was told of them alone.
    fn expire(knowledge: &Knowledge, dossier: &mut Dossier, now: Timestamp) {
        let over: Vec<Role> = dossier
            .folds
            .iter()
            .filter(|fold| now.since(fold.last_seen) >= knowledge.expires_after(fold.role))
            .map(|fold| fold.role)
            .collect();
        if over.is_empty() {
            return;
        }
        dossier.folds.retain(|fold| now.since(fold.last_seen) < knowledge.expires_after(fold.role));
        // A recipient for whom nothing of a role is left is as one who was never told: whether other
        // folds, of which it may not know, are still there must not show in its versions.
        let left = |held: &Disclosed| {
            knowledge
                .agreements
                .get(&held.agreement)
                .is_some_and(|agreement| decide::admits_any(agreement, &knowledge.book, dossier, held.role))
        };
        let keep: Vec<bool> =
            dossier.disclosed.iter().map(|held| !over.contains(&held.role) || left(held)).collect();
        let mut keep = keep.into_iter();
        dossier.disclosed.retain(|_| keep.next().unwrap_or(true));
        let folds = std::mem::take(&mut dossier.folds);
        dossier
            .ids
            .retain(|ids| folds.iter().any(|fold| fold.reporter == ids.reporter && fold.role == ids.role));
        dossier.folds = folds;
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different thing that a dossier's step needs")]
    fn one(
        &mut self,
        knowledge: &Knowledge,
        work: &Work<'_>,
        state: &mut dyn State,
        key: &[u8],
        records: &[&Record],
        answers: &Answers,
        now: Timestamp,
        made: &mut Made,
    ) -> Result<(), Stop> {
        let sightings = Self::sightings(records, |record, text| {
            let text = format!("not a sighting of ours: {text}");
            not_ours(made, &self.topics.dead_letters, "assess", record, &text, now);
        });
        let stored = state.get(key);
        let mut dossier = match (&stored, sightings.first()) {
            (Some(stored), _) => match self.hot.take(key, stored) {
                Some(dossier) => dossier,
                None => Self::decoded(key, stored)?,
            },
            (None, Some(first)) => Dossier::new(first.indicator.clone()),
            (None, None) => return Ok(()),
        };
        Self::expire(knowledge, &mut dossier, now);
        let mut counted = false;
        for sighting in &sightings {
            let terms = knowledge.book.reporters.get(&*sighting.reporter).map(|party| &party.terms);
            // Whose terms are not known: the strictest there is; it is released to nobody.
            let marking = terms.map_or(decide::STRICTEST, |terms| terms.narrow(sighting.tlp, sighting.pap));
            match dossier::fold(&mut dossier, sighting, marking) {
                Folded::Counted => counted = true,
                Folded::Repeat => made.count("repeats", &[&sighting.reporter], 1),
            }
        }
        if dossier.folds.is_empty() {
            if stored.is_some() {
                self.write_leads(knowledge, &mut dossier, work.partition, now, made);
                state.put(key, None);
            }
            return Ok(());
        }
        Self::enrich(knowledge, &mut dossier, counted, answers, now, made);
        let leads = self.write_leads(knowledge, &mut dossier, work.partition, now, made);
        let asked_again = self.share(knowledge, &mut dossier, leads, now, made);
        dossier.wake_at = wake(knowledge, &dossier, now).into_iter().chain(asked_again).min();
        let encoded = dossier::encode(&dossier);
        if stored.as_ref() == Some(&encoded) {
            self.hot.keep(key, dossier, encoded);
        } else if stored.is_some() {
            state.put(key, Some(encoded.clone()));
            self.hot.keep(key, dossier, encoded);
        } else {
            // Most of what is new is not seen again soon, and would drive out what is busy.
            state.put(key, Some(encoded));
        }
        Ok(())
    }
}

/// When a dossier wants to be looked at next, beside what sharing waits for.
fn wake(knowledge: &Knowledge, dossier: &Dossier, now: Timestamp) -> Option<Timestamp> {
    let expiry = dossier
        .folds
        .iter()
        .map(|fold| fold.last_seen.plus(knowledge.expires_after(fold.role)))
        .filter(|at| at.0 < i64::MAX);
    let retries = dossier.retries.iter().filter_map(|retry| retry.at);
    let stale = dossier.findings.iter().filter_map(|finding| {
        let enricher = knowledge.enrichers.iter().find(|enricher| enricher.name() == finding.source)?;
        let after = enricher.stale_after();
        (after > 0).then(|| finding.looked_up_at.plus(after)).filter(|at| at.0 < i64::MAX)
    });
    // Never now: what is due now was just done.
    expiry.chain(retries).chain(stale).min().map(|at| at.max(now.plus(1)))
}

/// The id of a lead for our own consumers: of the indicator and the role.
pub fn lead_id(key: &str, role: Role) -> String {
    let digest = Sha256::digest(format!("{key} {}", role.as_str()));
    hex::encode(&digest[..16])
}

/// Up to a quarter of the wait, the same for the same dossier, source and attempt.
fn jitter(key: &str, source: &str, attempts: u8, wait: i64) -> i64 {
    let digest = Sha256::digest(format!("{key}\0{source}\0{attempts}"));
    i64::from(u16::from_be_bytes([digest[0], digest[1]])) * (wait / 4) / i64::from(u16::MAX)
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Hit => "hit",
        Status::Miss => "miss",
        Status::Unknown => "unknown",
        Status::Skipped => "skipped",
    }
}

impl Step for Assess {
    fn name(&self) -> &'static str {
        "assess"
    }

    fn inputs(&self) -> Vec<Arc<str>> {
        vec![self.topics.sightings.clone()]
    }

    fn state_topic(&self) -> Option<Arc<str>> {
        Some(self.topics.dossiers.clone())
    }

    fn questions(
        &self,
        work: &Work<'_>,
        state: &dyn State,
        answers: &Answers,
        now: Timestamp,
    ) -> Vec<Question> {
        let knowledge = self.knowledge.load();
        if knowledge.enrichers.iter().all(|enricher| enricher.independent()) {
            return Vec::new();
        }
        let mut questions = Vec::new();
        for (key, records) in Self::touched(work, &[]) {
            // What is no sighting of ours, the batch itself makes a dead letter of.
            let sightings = Self::sightings(&records, |_, _| {});
            // An unreadable dossier stops the batch itself, a moment later.
            let held = state.get(key).and_then(|stored| dossier::decode(&stored).ok());
            let Some(dossier) = held.or_else(|| sightings.first().map(|s| Dossier::new(s.indicator.clone())))
            else {
                continue;
            };
            let markings =
                dossier.folds.iter().map(|fold| fold.marking).chain(sightings.iter().map(|sighting| {
                    let terms = knowledge.book.reporters.get(&*sighting.reporter).map(|party| &party.terms);
                    terms.map_or(decide::STRICTEST, |terms| terms.narrow(sighting.tlp, sighting.pap))
                }));
            let markings: Vec<_> = markings.collect();
            for enricher in Self::stale(&knowledge, &dossier, !sightings.is_empty(), now) {
                let asked = enricher.questions(&dossier.indicator, answers);
                questions.extend(asked.into_iter().filter(|question| gate::allows(question, &markings)));
            }
        }
        questions
    }

    fn run(
        &mut self,
        work: &Work<'_>,
        state: &mut dyn State,
        answers: &Answers,
        now: Timestamp,
    ) -> Result<Made, Stop> {
        let knowledge = self.knowledge.load_full();
        let more = Self::swept(work, state, &knowledge);
        let touched = Self::touched(work, &more);
        Self::check_partition(work, &touched)?;
        let mut made = Made::default();
        for (key, records) in &touched {
            self.one(&knowledge, work, state, key, records, answers, now, &mut made)?;
        }
        Ok(made)
    }

    fn wake_at(&self, key: &[u8], value: &[u8]) -> Option<Timestamp> {
        if key == SWEEP { None } else { dossier::wake_of(value) }
    }

    fn has_idle_work(&self, state: &dyn State) -> bool {
        match Self::sweep_of(state) {
            Some(sweep) => sweep.cursor.is_some() || sweep.rules != self.knowledge.load().rules,
            None => !state.scan(&[], 1).0.is_empty(),
        }
    }
}
