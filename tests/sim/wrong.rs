//! What the runner would do with one of its rules removed, made from outside: a log between the
//! runner and the embedded log that does one thing otherwise, and a step that remembers too early.
//!
//! Nothing in the product knows of it. Without a mutant both pass everything on as it is.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sightline::enrich::{Answers, Question};
use sightline::sighting::Timestamp;
use sightline::stage::{Made, Output, Record, State, Step, Stop, Work};
use sightline::stream::embedded::EmbeddedLog;
use sightline::stream::log::{Commit, Log, LogError, Polled, Tp, ViewRead};

/// A rule that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The offsets are committed by themselves, before the records.
    OffsetsOutside,
    /// The records of the state topic are committed by themselves, before the rest. They carry the
    /// offsets unchanged, so that it is not the fence that is missing.
    StateWrittenEarly,
    /// The view holds the batch's state before the batch is committed, and keeps it when it is not.
    StateAppliedEarly,
    /// After an abort reading goes on where it was.
    NoRewind,
    /// The group does not look at who commits.
    NoFence,
    /// A partition without input in the batch has no offset in the transaction.
    TimersWithoutOffsets,
    /// A restore ends at the last stable offset.
    EndIsLastStable,
    /// `deliver` reads outbox records that are not committed.
    UncommittedEntry,
    /// A partition that comes back is read on from where it was read to before, though what was not
    /// on disk by then went with it.
    OverlayForgotten,
}

/// What outbox records were ever written, committed or not; of the whole world.
pub(crate) type Written = Rc<RefCell<BTreeMap<Tp, BTreeMap<i64, Record>>>>;

/// What a step put, by partition, since the partition was restored.
type Puts = Arc<Mutex<BTreeMap<i32, BTreeMap<Vec<u8>, Option<Vec<u8>>>>>>;

/// The embedded log, with a rule removed.
pub(crate) struct WrongLog {
    pub inner: EmbeddedLog,
    mutant: Option<Mutant>,
    group: &'static str,
    state: Option<Arc<str>>,
    written: Written,
    puts: Puts,
    /// Writes that wait for the transaction in which they will be.
    held: Vec<(Output, i32)>,
    /// What is committed of each partition that was assigned.
    committed: BTreeMap<Tp, i64>,
    /// The offsets of the transaction under way.
    offered: Vec<(Tp, i64)>,
    /// Partitions that were sought since they were restored: the next seek of one is a rewind.
    placed: BTreeSet<Tp>,
    /// How far each state partition was read.
    read: BTreeMap<Tp, i64>,
    /// Where a reader of uncommitted records stands, and what is paused of it.
    positions: BTreeMap<Tp, (i64, bool)>,
}

impl WrongLog {
    pub(crate) fn new(
        inner: EmbeddedLog,
        mutant: Option<Mutant>,
        group: &'static str,
        step: &dyn Step,
        written: Written,
        puts: Puts,
    ) -> Self {
        Self {
            inner,
            mutant,
            group,
            state: step.state_topic(),
            written,
            puts,
            held: Vec::new(),
            committed: BTreeMap::new(),
            offered: Vec::new(),
            placed: BTreeSet::new(),
            read: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn reads_uncommitted(&self) -> bool {
        self.is(Mutant::UncommittedEntry) && self.group == "deliver"
    }

    /// A partition is restored anew.
    fn anew(&mut self, tps: &[Tp]) {
        let mut puts = self.puts.lock().unwrap_or_else(PoisonError::into_inner);
        for tp in tps {
            self.placed.remove(tp);
            puts.remove(&tp.partition);
        }
    }

    fn heard(&mut self, polled: &[Polled]) {
        for news in polled {
            match news {
                Polled::Assigned(tps) => {
                    self.anew(tps);
                    self.positions.extend(tps.iter().map(|tp| (tp.clone(), (0, true))));
                }
                Polled::Revoked(tps) | Polled::Lost(tps) => {
                    self.anew(tps);
                    self.positions.retain(|tp, _| !tps.contains(tp));
                }
                Polled::Record(_) => {}
            }
        }
    }

    fn uncommitted(&mut self, max: usize) -> Vec<Polled> {
        let written = self.written.borrow();
        let mut polled = Vec::new();
        for (tp, (position, paused)) in &mut self.positions {
            let Some(records) = written.get(tp).filter(|_| !*paused) else { continue };
            for (offset, record) in records.range(*position..).take(max - polled.len()) {
                *position = offset + 1;
                polled.push(Polled::Record(record.clone()));
            }
        }
        polled
    }

    /// A transaction of its own over these, refused unless it is committed.
    fn alone(&mut self, writes: &[(Output, i32)], offsets: &[(Tp, i64)]) -> Result<(), LogError> {
        self.inner.begin()?;
        let put = writes.iter().try_for_each(|(output, partition)| self.inner.write(output, *partition));
        put.and_then(|()| self.inner.offsets(offsets))?;
        if self.inner.commit()? != Commit::Committed {
            self.inner.rebuild_producer()?;
            return Err(LogError::Abort("the first of two transactions failed".to_owned()));
        }
        Ok(())
    }
}

impl Log for WrongLog {
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Polled>, LogError> {
        let own = if self.reads_uncommitted() { 0 } else { max };
        let mut polled = self.inner.poll(own, wait)?;
        self.heard(&polled);
        if self.reads_uncommitted() {
            polled.extend(self.uncommitted(max));
        }
        Ok(polled)
    }

    fn pause(&mut self, partitions: &[Tp]) -> Result<(), LogError> {
        for (_, (_, paused)) in self.positions.iter_mut().filter(|(tp, _)| partitions.contains(tp)) {
            *paused = true;
        }
        self.inner.pause(partitions)
    }

    fn resume(&mut self, partitions: &[Tp]) -> Result<(), LogError> {
        for (_, (_, paused)) in self.positions.iter_mut().filter(|(tp, _)| partitions.contains(tp)) {
            *paused = false;
        }
        self.inner.resume(partitions)
    }

    fn seek(&mut self, partition: &Tp, offset: i64) -> Result<(), LogError> {
        if !self.placed.insert(partition.clone()) && self.is(Mutant::NoRewind) {
            return Ok(());
        }
        if let Some((position, _)) = self.positions.get_mut(partition) {
            *position = offset;
        }
        self.inner.seek(partition, offset)
    }

    fn stable_committed(&mut self, partitions: &[Tp]) -> Result<Vec<(Tp, i64)>, LogError> {
        let offsets = self.inner.stable_committed(partitions)?;
        self.anew(partitions);
        self.committed.extend(offsets.iter().cloned());
        Ok(offsets)
    }

    fn view_bounds(&mut self, partition: &Tp) -> Result<(i64, i64), LogError> {
        let (start, end) = self.inner.view_bounds(partition)?;
        if self.is(Mutant::EndIsLastStable) {
            return Ok((start, self.inner.read_view(partition, start, usize::MAX)?.position));
        }
        Ok((start, end))
    }

    fn read_view(&mut self, partition: &Tp, from: i64, max: usize) -> Result<ViewRead, LogError> {
        let before = self.read.get(partition).copied().unwrap_or(0);
        if self.is(Mutant::OverlayForgotten) && before > from {
            return Ok(ViewRead { records: Vec::new(), position: before });
        }
        let read = self.inner.read_view(partition, from, max)?;
        self.read.insert(partition.clone(), before.max(read.position));
        Ok(read)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.held.clear();
        self.offered.clear();
        match self.mutant {
            Some(Mutant::OffsetsOutside | Mutant::StateWrittenEarly) => Ok(()),
            _ => self.inner.begin(),
        }
    }

    fn write(&mut self, output: &Output, partition: i32) -> Result<(), LogError> {
        if let Some(Mutant::OffsetsOutside | Mutant::StateWrittenEarly) = self.mutant {
            self.held.push((output.clone(), partition));
            return Ok(());
        }
        self.inner.write(output, partition)?;
        if self.is(Mutant::UncommittedEntry) && &*output.topic == "outbox" {
            let tp = Tp { topic: output.topic.clone(), partition };
            // It stands at the end, this moment.
            let offset = self.inner.view_bounds(&tp)?.1 - 1;
            let record = Record {
                topic: output.topic.clone(),
                partition,
                offset,
                key: output.key.clone(),
                value: output.value.clone(),
                headers: output.headers.clone(),
            };
            self.written.borrow_mut().entry(tp).or_default().insert(offset, record);
        }
        Ok(())
    }

    fn offsets(&mut self, offsets: &[(Tp, i64)]) -> Result<(), LogError> {
        self.offered = offsets.to_vec();
        match self.mutant {
            Some(Mutant::OffsetsOutside) => {
                self.alone(&[], offsets)?;
                self.committed.extend(offsets.iter().cloned());
                Ok(())
            }
            Some(Mutant::StateWrittenEarly) => {
                let held = std::mem::take(&mut self.held);
                let (state, rest): (Vec<_>, Vec<_>) =
                    held.into_iter().partition(|(output, _)| Some(&output.topic) == self.state.as_ref());
                if !state.is_empty() {
                    let unchanged: Vec<(Tp, i64)> = offsets
                        .iter()
                        .map(|(tp, _)| (tp.clone(), self.committed.get(tp).copied().unwrap_or(0)))
                        .collect();
                    self.alone(&state, &unchanged)?;
                }
                self.inner.begin()?;
                rest.iter().try_for_each(|(output, partition)| self.inner.write(output, *partition))?;
                self.inner.offsets(offsets)
            }
            Some(Mutant::NoFence) => self.inner.offsets_of_nobody(offsets),
            Some(Mutant::TimersWithoutOffsets) => {
                let with_input: Vec<(Tp, i64)> = offsets
                    .iter()
                    .filter(|(tp, offset)| self.committed.get(tp) != Some(offset))
                    .cloned()
                    .collect();
                if with_input.is_empty() { Ok(()) } else { self.inner.offsets(&with_input) }
            }
            _ => self.inner.offsets(offsets),
        }
    }

    fn commit(&mut self) -> Result<Commit, LogError> {
        if self.is(Mutant::OffsetsOutside) {
            self.inner.begin()?;
            let held = std::mem::take(&mut self.held);
            held.iter().try_for_each(|(output, partition)| self.inner.write(output, *partition))?;
        }
        let outcome = self.inner.commit()?;
        if outcome == Commit::Committed {
            self.committed.extend(self.offered.drain(..));
        }
        Ok(outcome)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.inner.abort()
    }

    fn rebuild_producer(&mut self) -> Result<(), LogError> {
        self.inner.rebuild_producer()
    }

    fn partitions(&mut self, topic: &str) -> Result<i32, LogError> {
        self.inner.partitions(topic)
    }

    fn cluster(&mut self) -> Result<String, LogError> {
        self.inner.cluster()
    }
}

/// A step whose state is there before it is committed.
pub(crate) struct HastyStep {
    inner: Box<dyn Step>,
    puts: Puts,
}

impl HastyStep {
    /// The step as `mutant` has it, and what its log must forget for it when a partition is restored.
    pub(crate) fn wrap(step: Box<dyn Step>, mutant: Option<Mutant>) -> (Box<dyn Step>, Puts) {
        let puts = Puts::default();
        if mutant == Some(Mutant::StateAppliedEarly) {
            (Box::new(Self { inner: step, puts: puts.clone() }), puts)
        } else {
            (step, puts)
        }
    }
}

struct HastyState<'a> {
    inner: &'a mut dyn State,
    puts: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl State for HastyState<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.puts.get(key).cloned().unwrap_or_else(|| self.inner.get(key))
    }

    fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        self.puts.insert(key.to_vec(), value.clone());
        self.inner.put(key, value);
    }

    fn scan(&self, cursor: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        self.inner.scan(cursor, limit)
    }
}

impl Step for HastyStep {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn inputs(&self) -> Vec<Arc<str>> {
        self.inner.inputs()
    }

    fn state_topic(&self) -> Option<Arc<str>> {
        self.inner.state_topic()
    }

    fn questions(
        &self,
        work: &Work<'_>,
        state: &dyn State,
        answers: &Answers,
        now: Timestamp,
    ) -> Vec<Question> {
        self.inner.questions(work, state, answers, now)
    }

    fn run(
        &mut self,
        work: &Work<'_>,
        state: &mut dyn State,
        answers: &Answers,
        now: Timestamp,
    ) -> Result<Made, Stop> {
        let mut all = self.puts.lock().unwrap_or_else(PoisonError::into_inner);
        let puts = all.remove(&work.partition).unwrap_or_default();
        let mut hasty = HastyState { inner: state, puts };
        let made = self.inner.run(work, &mut hasty, answers, now);
        all.insert(work.partition, hasty.puts);
        made
    }

    fn wake_at(&self, key: &[u8], value: &[u8]) -> Option<Timestamp> {
        self.inner.wake_at(key, value)
    }

    fn has_idle_work(&self, state: &dyn State) -> bool {
        self.inner.has_idle_work(state)
    }
}
