//! The runner: one lane's state machine, from events to actions.
//!
//! It knows the order in which things must happen for every raw record to count exactly once: what
//! is restored before what, which offsets a transaction carries, what an abort takes back. It has
//! no thread, no sleep and no clock; the Kafka lane and the simulation turn it alike.

use std::collections::{BTreeMap, VecDeque};

use super::brake::{Brake, BrakeSettings};
use super::log::{Commit, LogError, Polled, Tp, ViewRead};
use super::view::{Delta, View, Views};
use crate::enrich::{Answer, Answers, Question};
use crate::sighting::Timestamp;
use crate::stage::{Count, Made, Output, Record, Step, Stop, Work, partition_of};
use crate::store::StoreError;

/// How a lane batches.
#[derive(Debug, Clone)]
pub struct Settings {
    /// A batch starts with this many records,
    pub records: usize,
    /// or this many milliseconds after its first record came.
    pub every: i64,
    /// The most due entries of state in one batch.
    pub due: usize,
    /// The most keys of a sweep in one batch.
    pub sweep: usize,
    /// How long a batch waits for answers, in milliseconds.
    pub ask: i64,
    /// Milliseconds between two hand-overs of changed state to the disk.
    pub write_behind: i64,
    /// More unwritten entries than this, and no batch starts until the disk has caught up.
    pub unwritten: usize,
    /// The brake on dead letters, by input topic.
    pub brakes: BTreeMap<String, BrakeSettings>,
    /// The time that steps work at, instead of the clock's. Batching goes by the clock all the same.
    pub fixed: Option<Timestamp>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            records: 5_000,
            every: 100,
            due: 500,
            sweep: 500,
            ask: 2_000,
            write_behind: 2_000,
            unwritten: 200_000,
            brakes: BTreeMap::new(),
            fixed: None,
        }
    }
}

/// What the runner is told.
#[derive(Debug)]
pub enum Event {
    /// Nothing else is to be told: the runner may go on by itself.
    Idle,
    /// What polling gave.
    Polled(Vec<Polled>),
    /// The answer to [`Action::StableCommitted`].
    StableCommitted(Vec<(Tp, i64)>),
    /// The answer to [`Action::ViewBounds`]: of which input partition, start and end.
    ViewBounds(Tp, i64, i64),
    /// The answer to [`Action::ReadView`]: of which input partition, from which offset.
    ViewRead(Tp, i64, ViewRead),
    /// Answers to questions, as they come; those of an earlier batch do no harm.
    Answers(Answers),
    /// The answer to [`Action::Commit`].
    Ended(Commit),
    /// [`Action::Abort`] or [`Action::RebuildProducer`] is done.
    Recovered,
    /// A call of the transaction under way failed, or [`Action::Abort`] or
    /// [`Action::RebuildProducer`] did.
    Failed(LogError),
}

/// What the runner wants done. One at a time, in order; after a failure inside a transaction the
/// rest of it is dropped.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Give no records of these.
    Pause(Vec<Tp>),
    /// Give records of these again.
    Resume(Vec<Tp>),
    /// Read on from there.
    Seek(Tp, i64),
    /// Ask what the group committed, stable.
    StableCommitted(Vec<Tp>),
    /// Ask where the state of this input partition starts and ends.
    ViewBounds {
        /// The input partition.
        input: Tp,
        /// The state partition.
        state: Tp,
    },
    /// Read committed state.
    ReadView {
        /// The input partition.
        input: Tp,
        /// The state partition.
        state: Tp,
        /// From this offset.
        from: i64,
    },
    /// Ask these outside; the answers come as [`Event::Answers`].
    Ask(Vec<Question>),
    /// Begin a transaction.
    Begin,
    /// Write in it.
    Write(Output, i32),
    /// Put offsets into it.
    Offsets(Vec<(Tp, i64)>),
    /// Commit it.
    Commit,
    /// Abort what is open.
    Abort,
    /// A new producer, which ends what the old one left.
    RebuildProducer,
    /// Something to count or to log; nothing to do.
    Note(Note),
    /// Leave the process.
    Stop(Stop),
}

/// What a shell may count or log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A transaction begins.
    Began,
    /// The state of a partition is restored.
    Restored {
        /// Milliseconds since it was assigned.
        took: i64,
    },
    /// A batch was committed.
    Committed {
        /// Records taken in.
        records: usize,
        /// Records written, state included.
        outputs: usize,
        /// What the step counted.
        counts: Vec<Count>,
        /// The `now` of the batch.
        now: Timestamp,
    },
    /// A batch was aborted and will be done again.
    Aborted(String),
    /// Nobody could say whether a batch was committed; the log is asked.
    Unknown,
    /// These are ours and restored.
    Active(Vec<Tp>),
    /// These are no longer ours.
    Gone(Vec<Tp>),
    /// The brake stopped a topic, or let it go on.
    Braked {
        /// Which.
        topic: String,
        /// Whether it stands still now.
        stopped: bool,
    },
}

/// How far a partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// The stable committed offset was asked for.
    Offset,
    /// The bounds of its state were asked for.
    Bounds,
    /// Its state is read up to this end.
    Reading(i64),
    /// It takes part.
    Active,
}

struct Part {
    phase: Phase,
    assigned_at: Timestamp,
    /// The first offset that is not committed.
    next: i64,
    buffer: VecDeque<Record>,
}

/// The work of one partition in a batch.
struct Share {
    records: Vec<Record>,
    due: Vec<Vec<u8>>,
}

enum Doing {
    Nothing,
    /// Waiting for answers.
    Asking {
        shares: BTreeMap<Tp, Share>,
        asked: Vec<Question>,
        answers: Answers,
        since: Timestamp,
        rounds: u32,
    },
    /// A transaction is under way; what it changes once it is committed.
    Committing {
        changes: BTreeMap<Tp, Vec<Change>>,
        next: BTreeMap<Tp, i64>,
        note: Note,
        seen: Vec<(String, u64, u64)>,
    },
    /// The abort, or the new producer, was asked for.
    Recovering {
        parts: Vec<Tp>,
    },
    Stopped,
}

type Change = (Vec<u8>, Option<Vec<u8>>, Option<Timestamp>);

/// One lane.
pub struct Runner {
    step: Box<dyn Step>,
    settings: Settings,
    views: Views,
    /// How many partitions each topic has that is read or written.
    partitions: BTreeMap<String, i32>,
    parts: BTreeMap<Tp, Part>,
    state: BTreeMap<i32, View>,
    doing: Doing,
    first_buffered_at: Option<Timestamp>,
    /// Batches in a row that did not commit; each halves the next, and makes it wait longer.
    aborts: u32,
    /// When the last of them was taken back.
    aborted_at: Timestamp,
    full: bool,
    brakes: BTreeMap<String, Brake>,
    last_write_behind: Timestamp,
    last_catch_up: Timestamp,
    /// The ends of state partitions, confirmed as ours by the next commit.
    ends: BTreeMap<Tp, i64>,
}

/// After this many aborts in a row the fault is not going to pass by itself.
const ABORTS: u32 = 20;
/// Milliseconds before the first batch after an abort, twice as long after each further one, up to
/// 64 times.
const FIRST_REST: i64 = 50;
/// Rounds of questions in one batch.
const ROUNDS: u32 = 3;

impl Runner {
    /// A lane that owns nothing yet. `partitions` says how many partitions each topic has that is
    /// read or written by key.
    pub fn new(
        step: Box<dyn Step>,
        settings: Settings,
        views: Views,
        partitions: BTreeMap<String, i32>,
    ) -> Self {
        let brakes =
            settings.brakes.iter().map(|(topic, brake)| (topic.clone(), Brake::new(brake.clone()))).collect();
        Self {
            step,
            settings,
            views,
            partitions,
            parts: BTreeMap::new(),
            state: BTreeMap::new(),
            doing: Doing::Nothing,
            first_buffered_at: None,
            aborts: 0,
            aborted_at: Timestamp(i64::MIN),
            full: false,
            brakes,
            last_write_behind: Timestamp(i64::MIN),
            last_catch_up: Timestamp(i64::MIN),
            ends: BTreeMap::new(),
        }
    }

    /// The stage that it runs.
    pub fn stage(&self) -> &'static str {
        self.step.name()
    }

    /// Whether nothing is under way and nothing waits: all that came in is committed, no partition
    /// is being restored, and no state wants to be looked at by `now`.
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        matches!(self.doing, Doing::Nothing)
            && self.parts.values().all(|part| part.phase == Phase::Active && part.buffer.is_empty())
            && !self.has_own_work(now)
    }

    /// The partitions that take part.
    pub fn active(&self) -> Vec<Tp> {
        self.parts.iter().filter(|(_, part)| part.phase == Phase::Active).map(|(tp, _)| tp.clone()).collect()
    }

    /// How many entries of state wait for the disk.
    pub fn unwritten(&self) -> usize {
        self.state.values().map(View::unwritten).sum()
    }

    /// How many milliseconds may pass before it wants [`Event::Idle`] again though nothing comes.
    pub fn patience(&self, now: Timestamp) -> i64 {
        let batch = self.first_buffered_at.map(|at| at.plus(self.settings.every).0 - now.0);
        let asked = if let Doing::Asking { since, .. } = &self.doing {
            Some(since.plus(self.settings.ask).0 - now.0)
        } else {
            None
        };
        let restoring = self.parts.values().any(|part| part.phase != Phase::Active).then_some(5);
        batch.into_iter().chain(asked).chain(restoring).min().unwrap_or(100).clamp(0, 100)
    }

    /// Lets the topics go on that a brake stopped.
    pub fn release_brakes(&mut self) -> Vec<Action> {
        let stopped: Vec<String> = self
            .brakes
            .iter_mut()
            .filter_map(|(topic, brake)| brake.release().then(|| topic.clone()))
            .collect();
        stopped.iter().flat_map(|topic| self.brake_actions(topic, false)).collect()
    }

    /// One turn.
    pub fn turn(&mut self, event: Event, now: Timestamp) -> Vec<Action> {
        if matches!(self.doing, Doing::Stopped) {
            return Vec::new();
        }
        match event {
            Event::Idle => self.go_on(now),
            Event::Polled(polled) => self.polled(polled, now),
            Event::StableCommitted(offsets) => self.offsets_known(offsets, now),
            Event::ViewBounds(input, start, end) => self.bounds_known(&input, start, end, now),
            Event::ViewRead(input, from, read) => self.view_read(&input, from, read, now),
            Event::Answers(new) => {
                if let Doing::Asking { asked, answers, .. } = &mut self.doing {
                    answers.extend(new.into_iter().filter(|(question, _)| asked.contains(question)));
                }
                Vec::new()
            }
            Event::Ended(outcome) => self.ended(outcome, now),
            Event::Recovered => {
                if matches!(self.doing, Doing::Recovering { .. }) {
                    self.doing = Doing::Nothing;
                }
                Vec::new()
            }
            Event::Failed(error) => self.failed(error, now),
        }
    }

    fn stop(&mut self, code: &'static str, text: impl Into<String>) -> Vec<Action> {
        self.doing = Doing::Stopped;
        vec![Action::Stop(Stop { code, text: text.into() })]
    }

    fn polled(&mut self, polled: Vec<Polled>, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        for news in polled {
            match news {
                Polled::Record(record) => {
                    let tp = Tp { topic: record.topic.clone(), partition: record.partition };
                    // A record of a partition that is not ours, or that was rewound, is not due.
                    if let Some(part) = self.parts.get_mut(&tp) {
                        let expected = part.buffer.back().map_or(part.next, |last| last.offset + 1);
                        if part.phase == Phase::Active && record.offset >= expected {
                            part.buffer.push_back(record);
                            self.first_buffered_at.get_or_insert(now);
                        }
                    }
                }
                Polled::Assigned(tps) => {
                    for tp in &tps {
                        self.parts.insert(
                            tp.clone(),
                            Part { phase: Phase::Offset, assigned_at: now, next: 0, buffer: VecDeque::new() },
                        );
                    }
                    actions.push(Action::StableCommitted(tps));
                }
                Polled::Revoked(tps) | Polled::Lost(tps) => {
                    for tp in &tps {
                        self.forget(tp);
                    }
                    actions.push(Action::Note(Note::Gone(tps)));
                }
            }
        }
        let buffered: usize = self.parts.values().map(|part| part.buffer.len()).sum();
        if !self.full && buffered >= self.settings.records * 4 {
            self.full = true;
            actions.push(Action::Pause(self.parts.keys().cloned().collect()));
        }
        actions
    }

    /// Drops everything of a partition that is no longer ours, out of a waiting batch too. A
    /// transaction can't be under way here: nothing is polled while one is.
    fn forget(&mut self, tp: &Tp) {
        self.parts.remove(tp);
        self.ends.remove(tp);
        if self.step.state_topic().is_some() {
            self.state.remove(&tp.partition);
        }
        if let Doing::Asking { shares, .. } = &mut self.doing {
            shares.remove(tp);
        }
        if self.parts.values().all(|part| part.buffer.is_empty()) {
            self.first_buffered_at = None;
        }
    }

    fn offsets_known(&mut self, offsets: Vec<(Tp, i64)>, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        for (tp, offset) in offsets {
            let Some(part) = self.parts.get_mut(&tp) else { continue };
            if part.phase != Phase::Offset {
                continue;
            }
            part.next = offset;
            part.buffer.clear();
            if let Some(topic) = self.step.state_topic() {
                part.phase = Phase::Bounds;
                let state = Tp { topic, partition: tp.partition };
                actions.push(Action::ViewBounds { input: tp, state });
            } else {
                actions.extend(self.activate(&tp, now));
            }
        }
        actions
    }

    fn bounds_known(&mut self, input: &Tp, start: i64, end: i64, now: Timestamp) -> Vec<Action> {
        let Some(part) = self.parts.get_mut(input) else { return Vec::new() };
        let Some(topic) = self.step.state_topic() else { return Vec::new() };
        match part.phase {
            Phase::Active => {
                // Asked for the disk's sake. That everything before this end is ours is certain
                // only once a transaction of ours commits after it: until then we might be a member
                // that the group has left behind.
                self.ends.insert(input.clone(), end);
                Vec::new()
            }
            Phase::Bounds => {
                let view = match self.state.entry(input.partition) {
                    std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::btree_map::Entry::Vacant(entry) => {
                        match self.views.open(&topic, input.partition, now) {
                            Ok(view) => entry.insert(view),
                            Err(err) => return self.stop("state-unusable", err.to_string()),
                        }
                    }
                };
                // Outside of the log, or with its beginning cut off: what is on disk is not of it.
                if (view.offset() > end || (view.offset() > 0 && view.offset() < start))
                    && let Err(err) = view.reset()
                {
                    return self.stop("state-unusable", err.to_string());
                }
                view.reached(start);
                part.phase = Phase::Reading(end);
                let reached = view.offset();
                if reached >= end {
                    self.activate(input, now)
                } else {
                    vec![self.read_on(input, topic, reached)]
                }
            }
            Phase::Offset | Phase::Reading(_) => Vec::new(),
        }
    }

    fn read_on(&self, input: &Tp, topic: std::sync::Arc<str>, from: i64) -> Action {
        Action::ReadView { input: input.clone(), state: Tp { topic, partition: input.partition }, from }
    }

    fn view_read(&mut self, input: &Tp, from: i64, read: ViewRead, now: Timestamp) -> Vec<Action> {
        let Some(Part { phase: Phase::Reading(end), .. }) = self.parts.get(input) else { return Vec::new() };
        let end = *end;
        let Some(view) = self.state.get_mut(&input.partition) else { return Vec::new() };
        if view.offset() != from {
            // Asked for before the partition went and came back: it is not what the view lacks.
            return Vec::new();
        }
        for (key, value) in read.records {
            let wake = value.as_ref().and_then(|value| self.step.wake_at(&key, value));
            view.apply(&key, value, wake);
        }
        view.reached(read.position);
        // The rest is read in a later turn, so that polling goes on in between.
        if read.position >= end { self.activate(input, now) } else { Vec::new() }
    }

    fn activate(&mut self, tp: &Tp, now: Timestamp) -> Vec<Action> {
        let Some(part) = self.parts.get_mut(tp) else { return Vec::new() };
        part.phase = Phase::Active;
        let took = now.since(part.assigned_at);
        let mut actions = vec![Action::Seek(tp.clone(), part.next)];
        let stopped = self.brakes.get(&*tp.topic).is_some_and(Brake::is_stopped);
        if !stopped && !self.full {
            actions.push(Action::Resume(vec![tp.clone()]));
        }
        if self.step.state_topic().is_some() {
            actions.push(Action::Note(Note::Restored { took }));
        }
        actions.push(Action::Note(Note::Active(vec![tp.clone()])));
        actions
    }

    /// Lets the disk catch up though nothing is committed: after the last batch for a while, and while a
    /// large state is restored. What a view holds is committed; the offset that it is written with may
    /// be older than that, and then a little of it is read again.
    fn catch_up(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let passed = now.since(self.last_catch_up) >= self.settings.write_behind || now < self.last_catch_up;
        if passed || self.is_behind() {
            self.last_catch_up = now;
            for view in self.state.values_mut() {
                let offset = view.offset();
                view.write_behind(offset, now)?;
            }
        }
        Ok(())
    }

    /// Whether more waits for the disk than should.
    fn is_behind(&self) -> bool {
        self.unwritten() > self.settings.unwritten
    }

    /// What to do when nothing is to be told.
    fn go_on(&mut self, now: Timestamp) -> Vec<Action> {
        if let Err(err) = self.catch_up(now) {
            return self.stop("state-unusable", err.to_string());
        }
        let mut actions = self.restoring();
        match &self.doing {
            Doing::Nothing => {
                actions.extend(self.let_go_on(now));
                // An abort or a revocation may have emptied the buffers that were full.
                actions.extend(self.unfill());
                if self.batch_is_due(now) {
                    let shares = self.cut(now);
                    actions.extend(self.consider(shares, Answers::new(), 0, now));
                }
            }
            Doing::Asking { asked, answers, since, shares, .. } => {
                let all_here = asked.iter().all(|question| answers.contains_key(question));
                // A clock that was set back must not keep a batch waiting.
                let late = now.since(*since) >= self.settings.ask || now < *since;
                if all_here || late || shares.is_empty() {
                    let Doing::Asking { shares, asked, mut answers, rounds, .. } =
                        std::mem::replace(&mut self.doing, Doing::Nothing)
                    else {
                        unreachable!("it was asking a line ago")
                    };
                    for question in asked {
                        answers
                            .entry(question)
                            .or_insert_with(|| Answer::Failed("no answer in time".to_owned()));
                    }
                    actions.extend(self.consider(shares, answers, rounds, now));
                }
            }
            Doing::Committing { .. } | Doing::Recovering { .. } | Doing::Stopped => {}
        }
        actions
    }

    fn restoring(&self) -> Vec<Action> {
        let Some(topic) = self.step.state_topic() else { return Vec::new() };
        if self.is_behind() {
            return Vec::new();
        }
        let reading = self.parts.iter().filter(|(_, part)| matches!(part.phase, Phase::Reading(_)));
        reading
            .filter_map(|(tp, _)| {
                Some(self.read_on(tp, topic.clone(), self.state.get(&tp.partition)?.offset()))
            })
            .collect()
    }

    fn let_go_on(&mut self, now: Timestamp) -> Vec<Action> {
        let ready: Vec<String> = self
            .brakes
            .iter_mut()
            .filter_map(|(topic, brake)| brake.may_try(now).then(|| topic.clone()))
            .collect();
        ready.iter().flat_map(|topic| self.brake_actions(topic, false)).collect()
    }

    fn brake_actions(&self, topic: &str, stopped: bool) -> Vec<Action> {
        let tps: Vec<Tp> = self
            .parts
            .iter()
            .filter(|(tp, part)| &*tp.topic == topic && part.phase == Phase::Active)
            .map(|(tp, _)| tp.clone())
            .collect();
        let change = if stopped { Action::Pause(tps) } else { Action::Resume(tps) };
        vec![change, Action::Note(Note::Braked { topic: topic.to_owned(), stopped })]
    }

    /// The time that steps work at.
    fn at(&self, now: Timestamp) -> Timestamp {
        self.settings.fixed.unwrap_or(now)
    }

    fn has_own_work(&self, now: Timestamp) -> bool {
        let now = self.at(now);
        self.parts.iter().filter(|(_, part)| part.phase == Phase::Active).any(|(tp, _)| {
            self.state.get(&tp.partition).is_some_and(|view| {
                !view.due(now, 1).is_empty() || self.step.has_idle_work(&Delta::over(view))
            })
        })
    }

    fn batch_is_due(&self, now: Timestamp) -> bool {
        if self.is_behind() {
            return false;
        }
        // What made the last batch fail gets time to pass; a clock that was set back is not waited for.
        let rest = FIRST_REST << self.aborts.min(6);
        if self.aborts > 0 && now >= self.aborted_at && now.since(self.aborted_at) < rest {
            return false;
        }
        let buffered: usize = self.parts.values().map(|part| part.buffer.len()).sum();
        buffered >= self.settings.records
            || self.first_buffered_at.is_some_and(|at| now.since(at) >= self.settings.every || now < at)
            || self.has_own_work(now)
    }

    /// Takes a batch out of the buffers: input first, then what is due; neither starves the other.
    fn cut(&mut self, now: Timestamp) -> BTreeMap<Tp, Share> {
        let mut left = (self.settings.records >> self.aborts.min(30)).max(1);
        let mut due_left = (self.settings.due >> self.aborts.min(30)).max(1);
        let mut shares = BTreeMap::new();
        let mut tps: Vec<&Tp> =
            self.parts.iter().filter(|(_, part)| part.phase == Phase::Active).map(|(tp, _)| tp).collect();
        // Whoever has the oldest record first; a busy partition must not keep others waiting.
        tps.sort_by_key(|tp| (self.parts[*tp].buffer.is_empty(), *tp));
        let tps: Vec<Tp> = tps.into_iter().cloned().collect();
        let busy = tps.iter().filter(|tp| !self.parts[*tp].buffer.is_empty()).count().max(1);
        let fair = (left / busy).max(1);
        for pass in 0..2 {
            for tp in &tps {
                let part = self.parts.get_mut(tp).expect("it was listed a line ago");
                let n = part.buffer.len().min(left).min(if pass == 0 { fair } else { left });
                if n > 0 {
                    left -= n;
                    let share = shares
                        .entry(tp.clone())
                        .or_insert_with(|| Share { records: Vec::new(), due: Vec::new() });
                    share.records.extend(part.buffer.drain(..n));
                }
            }
        }
        for tp in &tps {
            let Some(view) = self.state.get(&tp.partition) else { continue };
            let due = view.due(self.at(now), due_left);
            due_left -= due.len();
            if !due.is_empty() || self.step.has_idle_work(&Delta::over(view)) {
                shares
                    .entry(tp.clone())
                    .or_insert_with(|| Share { records: Vec::new(), due: Vec::new() })
                    .due = due;
            }
            if due_left == 0 {
                break;
            }
        }
        if self.parts.values().all(|part| part.buffer.is_empty()) {
            self.first_buffered_at = None;
        }
        shares
    }

    fn partitions_of(&self, topic: &str) -> i32 {
        self.partitions.get(topic).copied().unwrap_or(1)
    }

    /// Asks what has to be asked, or does the batch.
    fn consider(
        &mut self,
        shares: BTreeMap<Tp, Share>,
        answers: Answers,
        rounds: u32,
        now: Timestamp,
    ) -> Vec<Action> {
        if shares.is_empty() {
            return self.unfill();
        }
        if rounds < ROUNDS {
            let mut questions = Vec::new();
            for (tp, share) in &shares {
                let work = work(tp, share, self.partitions_of(&tp.topic), self.settings.sweep);
                let none = View::in_memory();
                let view = self.state.get(&tp.partition).unwrap_or(&none);
                let asked = self.step.questions(&work, &Delta::over(view), &answers, self.at(now));
                questions.extend(asked.into_iter().filter(|question| !answers.contains_key(question)));
            }
            questions.sort_unstable();
            questions.dedup();
            if !questions.is_empty() {
                self.doing = Doing::Asking {
                    shares,
                    asked: questions.clone(),
                    answers,
                    since: now,
                    rounds: rounds + 1,
                };
                return vec![Action::Ask(questions)];
            }
        }
        self.execute(shares, &answers, now)
    }

    /// Runs the step on each share, and makes one transaction of it.
    fn execute(&mut self, shares: BTreeMap<Tp, Share>, answers: &Answers, now: Timestamp) -> Vec<Action> {
        let now = self.at(now);
        let state_topic = self.step.state_topic();
        let mut writes = Vec::new();
        let mut changes: BTreeMap<Tp, Vec<Change>> = BTreeMap::new();
        let mut next = BTreeMap::new();
        let mut counts = Vec::new();
        let mut records = 0;
        let mut seen = Vec::new();
        for (tp, share) in &shares {
            let partitions = self.partitions_of(&tp.topic);
            let none = View::in_memory();
            let view = self.state.get(&tp.partition).unwrap_or(&none);
            let mut delta = Delta::over(view);
            let made =
                self.step.run(&work(tp, share, partitions, self.settings.sweep), &mut delta, answers, now);
            let made: Made = match made {
                Ok(made) => made,
                Err(stop) => return self.stop(stop.code, stop.text),
            };
            let dead =
                made.counts.iter().filter(|count| count.what == "dead-letters").map(|count| count.n).sum();
            seen.push((tp.topic.to_string(), u64::try_from(share.records.len()).unwrap_or(u64::MAX), dead));
            counts.extend(made.counts);
            for output in made.outputs {
                let partition = output.partition.unwrap_or_else(|| {
                    partition_of(output.key.as_deref().unwrap_or_default(), self.partitions_of(&output.topic))
                });
                writes.push(Action::Write(output, partition));
            }
            let changed: Vec<Change> = delta
                .into_changes()
                .into_iter()
                .map(|(key, value)| {
                    let wake = value.as_ref().and_then(|value| self.step.wake_at(&key, value));
                    (key, value, wake)
                })
                .collect();
            if let Some(topic) = &state_topic {
                writes.extend(changed.iter().map(|(key, value, _)| {
                    let output = Output {
                        topic: topic.clone(),
                        partition: Some(tp.partition),
                        key: Some(key.clone()),
                        value: value.clone(),
                        headers: Vec::new(),
                    };
                    Action::Write(output, tp.partition)
                }));
            }
            changes.insert(tp.clone(), changed);
            records += share.records.len();
            // A batch of timers carries the offset unchanged: it is the fence.
            let after = share.records.last().map_or(self.parts[tp].next, |last| last.offset + 1);
            next.insert(tp.clone(), after);
        }
        if records == 0 && writes.is_empty() {
            return self.unfill();
        }
        counts.extend(counted(&shares, &writes));
        let note = Note::Committed { records, outputs: writes.len(), counts, now };
        let mut actions = vec![Action::Note(Note::Began), Action::Begin];
        actions.extend(writes);
        actions.push(Action::Offsets(next.iter().map(|(tp, offset)| (tp.clone(), *offset)).collect()));
        actions.push(Action::Commit);
        self.doing = Doing::Committing { changes, next, note, seen };
        actions
    }

    fn ended(&mut self, outcome: Commit, now: Timestamp) -> Vec<Action> {
        let Doing::Committing { changes, next, note, seen } =
            std::mem::replace(&mut self.doing, Doing::Nothing)
        else {
            return Vec::new();
        };
        match outcome {
            Commit::Committed => {
                self.aborts = 0;
                let mut actions = vec![Action::Note(note)];
                for (tp, changes) in changes {
                    if let Some(view) = self.state.get_mut(&tp.partition) {
                        for (key, value, wake) in changes {
                            view.apply(&key, value, wake);
                        }
                    }
                }
                for (tp, offset) in &next {
                    if let Some(part) = self.parts.get_mut(tp) {
                        part.next = *offset;
                    }
                    if let (Some(end), Some(view)) = (self.ends.remove(tp), self.state.get_mut(&tp.partition))
                        && let Err(err) = view.write_behind(end, now)
                    {
                        return self.stop("state-unusable", err.to_string());
                    }
                }
                actions.extend(self.ask_for_ends(now));
                for (topic, records, dead) in seen {
                    let stops =
                        self.brakes.get_mut(&topic).is_some_and(|brake| brake.saw(records, dead, now));
                    if stops {
                        actions.extend(self.brake_actions(&topic, true));
                    }
                }
                actions.extend(self.unfill());
                actions
            }
            Commit::Aborted => self.recover(false, next.into_keys().collect(), "the commit was refused", now),
            Commit::Unknown => self.recover(true, next.into_keys().collect(), "", now),
        }
    }

    /// Now and then asks where the state ends, so that the next commit lets the disk catch up.
    fn ask_for_ends(&mut self, now: Timestamp) -> Vec<Action> {
        let Some(topic) = self.step.state_topic() else { return Vec::new() };
        let passed =
            now.since(self.last_write_behind) >= self.settings.write_behind || now < self.last_write_behind;
        if !passed {
            return Vec::new();
        }
        self.last_write_behind = now;
        let active = self.parts.iter().filter(|(_, part)| part.phase == Phase::Active);
        active
            .map(|(tp, _)| Action::ViewBounds {
                input: tp.clone(),
                state: Tp { topic: topic.clone(), partition: tp.partition },
            })
            .collect()
    }

    fn unfill(&mut self) -> Vec<Action> {
        let buffered: usize = self.parts.values().map(|part| part.buffer.len()).sum();
        if !self.full || buffered >= self.settings.records {
            return Vec::new();
        }
        self.full = false;
        let going = self.parts.iter().filter(|(tp, part)| {
            part.phase == Phase::Active && !self.brakes.get(&*tp.topic).is_some_and(Brake::is_stopped)
        });
        vec![Action::Resume(going.map(|(tp, _)| tp.clone()).collect())]
    }

    fn failed(&mut self, error: LogError, now: Timestamp) -> Vec<Action> {
        match error {
            LogError::Fenced(text) => self.stop("fenced", text),
            LogError::Fatal(text) => self.stop("log-failed", text),
            LogError::Abort(text) | LogError::Retry(text) => {
                match std::mem::replace(&mut self.doing, Doing::Nothing) {
                    Doing::Committing { next, .. } => {
                        self.recover(false, next.into_keys().collect(), &text, now)
                    }
                    // The abort itself failed: a new producer ends what is open.
                    Doing::Recovering { parts, .. } => self.recover(true, parts, &text, now),
                    other => {
                        self.doing = other;
                        Vec::new()
                    }
                }
            }
        }
    }

    /// Takes a batch back. Where the outcome is known, the input is rewound to the batch's start;
    /// where it is not, the log is asked, state and all, as after an assignment.
    fn recover(&mut self, unknown: bool, parts: Vec<Tp>, why: &str, now: Timestamp) -> Vec<Action> {
        self.aborts += 1;
        self.aborted_at = now;
        if self.aborts > ABORTS {
            return self
                .stop("no-commit", format!("{ABORTS} batches in a row could not be committed: {why}"));
        }
        let mut actions = Vec::new();
        if unknown {
            actions.push(Action::Note(Note::Unknown));
            actions.push(Action::RebuildProducer);
            actions.push(Action::Pause(parts.clone()));
        } else {
            actions.push(Action::Note(Note::Aborted(why.to_owned())));
            actions.push(Action::Abort);
        }
        let ours: Vec<Tp> = parts.iter().filter(|tp| self.parts.contains_key(tp)).cloned().collect();
        for tp in &ours {
            let part = self.parts.get_mut(tp).expect("only what is ours is listed");
            part.buffer.clear();
            self.ends.remove(tp);
            if unknown {
                part.phase = Phase::Offset;
            } else {
                actions.push(Action::Seek(tp.clone(), part.next));
            }
        }
        if unknown && !ours.is_empty() {
            actions.push(Action::StableCommitted(ours));
        }
        if self.parts.values().all(|part| part.buffer.is_empty()) {
            self.first_buffered_at = None;
        }
        self.doing = Doing::Recovering { parts };
        actions
    }
}

/// Records in and out by topic.
fn counted(shares: &BTreeMap<Tp, Share>, writes: &[Action]) -> Vec<Count> {
    let mut totals: BTreeMap<(&'static str, &str), u64> = BTreeMap::new();
    for (tp, share) in shares.iter().filter(|(_, share)| !share.records.is_empty()) {
        *totals.entry(("records", &*tp.topic)).or_default() +=
            u64::try_from(share.records.len()).unwrap_or(u64::MAX);
    }
    for write in writes {
        if let Action::Write(output, _) = write {
            *totals.entry(("outputs", &*output.topic)).or_default() += 1;
        }
    }
    totals.into_iter().map(|((what, topic), n)| Count { what, label: topic.to_owned(), n }).collect()
}

fn work<'a>(tp: &'a Tp, share: &'a Share, partitions: i32, sweep: usize) -> Work<'a> {
    Work {
        topic: &tp.topic,
        partition: tp.partition,
        partitions,
        records: &share.records,
        due: &share.due,
        sweep,
    }
}
