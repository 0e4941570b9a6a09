//! One lane's end of the embedded log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Cluster, CommitFault, Entry};
use crate::stage::Output;
use crate::stream::log::{Commit, Log, LogError, Polled, Tp, ViewRead};

/// A group consumer and a transactional producer on a [`Cluster`]. Nothing waits: where Kafka would
/// wait, it answers [`LogError::Retry`].
pub struct EmbeddedLog {
    cluster: Cluster,
    group: String,
    inputs: BTreeSet<Arc<str>>,
    member: u64,
    transactional_id: String,
    epoch: u32,
    /// Where the consumer stands, for what it was assigned.
    positions: BTreeMap<Tp, i64>,
    paused: BTreeSet<Tp>,
    /// Which partition was read last, so that all get their turn.
    turn: usize,
}

impl EmbeddedLog {
    /// Joins `group` on `inputs` and starts the producer of `transactional_id`.
    pub fn open(cluster: &Cluster, group: &str, transactional_id: &str, inputs: &[Arc<str>]) -> Self {
        let inputs: BTreeSet<Arc<str>> = inputs.iter().cloned().collect();
        let mut inner = cluster.lock();
        let member = inner.groups.entry(group.to_owned()).or_default().join(inputs.clone());
        let epoch = inner.init_producer(transactional_id);
        drop(inner);
        Self {
            cluster: cluster.clone(),
            group: group.to_owned(),
            inputs,
            member,
            transactional_id: transactional_id.to_owned(),
            epoch,
            positions: BTreeMap::new(),
            paused: BTreeSet::new(),
            turn: 0,
        }
    }

    /// The member's number, for a simulation that expires it.
    pub fn member(&self) -> u64 {
        self.member
    }

    /// Puts offsets into the transaction without saying whose they are: the group then checks neither
    /// member nor generation, as Kafka's doesn't. [`Log::offsets`] is the fence; a simulation shows by
    /// this one what the fence is for.
    ///
    /// # Errors
    /// As [`Log::poll`].
    pub fn offsets_of_nobody(&mut self, offsets: &[(Tp, i64)]) -> Result<(), LogError> {
        let mut inner = self.cluster.lock();
        let txn = inner.open_txn(&self.transactional_id, self.epoch)?;
        inner.groups.entry(self.group.clone()).or_default().stage_offsets(txn, offsets);
        let state = inner.txns.get_mut(&txn).expect("an open transaction is known");
        state.groups.insert(self.group.clone());
        Ok(())
    }

    fn news(&mut self) -> Vec<Polled> {
        let mut inner = self.cluster.lock();
        let counts: BTreeMap<Arc<str>, i32> = inner
            .topics
            .iter()
            .map(|(name, list)| (name.clone(), i32::try_from(list.len()).unwrap_or(0)))
            .collect();
        let group = inner.groups.entry(self.group.clone()).or_default();
        let Some(news) = group.heartbeat(self.member, &counts) else {
            self.member = group.join(self.inputs.clone());
            let lost: Vec<Tp> = std::mem::take(&mut self.positions).into_keys().collect();
            self.paused.clear();
            return if lost.is_empty() { Vec::new() } else { vec![Polled::Lost(lost)] };
        };
        let mut polled = Vec::new();
        if !news.revoked.is_empty() {
            for tp in &news.revoked {
                self.positions.remove(tp);
                self.paused.remove(tp);
            }
            polled.push(Polled::Revoked(news.revoked));
        }
        if !news.assigned.is_empty() {
            for tp in &news.assigned {
                self.positions.insert(tp.clone(), 0);
                self.paused.insert(tp.clone());
            }
            polled.push(Polled::Assigned(news.assigned));
        }
        polled
    }
}

impl Log for EmbeddedLog {
    fn poll(&mut self, max: usize, _wait: Duration) -> Result<Vec<Polled>, LogError> {
        let mut polled = self.news();
        let inner = self.cluster.lock();
        let readable: Vec<Tp> =
            self.positions.keys().filter(|tp| !self.paused.contains(tp)).cloned().collect();
        let mut left = max;
        for step in 0..readable.len() {
            let tp = &readable[(self.turn + step) % readable.len()];
            let Some(log) = inner.partition(&tp.topic, tp.partition) else { continue };
            let position = self.positions.get_mut(tp).expect("what is readable has a position");
            while left > 0 && *position < log.last_stable() {
                if let Some(record) = log.record(&tp.topic, tp.partition, *position) {
                    polled.push(Polled::Record(record));
                    left -= 1;
                }
                *position += 1;
            }
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(polled)
    }

    fn pause(&mut self, partitions: &[Tp]) -> Result<(), LogError> {
        self.paused.extend(partitions.iter().filter(|tp| self.positions.contains_key(tp)).cloned());
        Ok(())
    }

    fn resume(&mut self, partitions: &[Tp]) -> Result<(), LogError> {
        for tp in partitions {
            self.paused.remove(tp);
        }
        Ok(())
    }

    fn seek(&mut self, partition: &Tp, offset: i64) -> Result<(), LogError> {
        if let Some(position) = self.positions.get_mut(partition) {
            *position = offset;
        }
        Ok(())
    }

    fn stable_committed(&mut self, partitions: &[Tp]) -> Result<Vec<(Tp, i64)>, LogError> {
        let mut inner = self.cluster.lock();
        let group = inner.groups.entry(self.group.clone()).or_default();
        group
            .stable(partitions)
            .ok_or_else(|| LogError::Retry("a transaction over these offsets is not settled".to_owned()))
    }

    fn view_bounds(&mut self, partition: &Tp) -> Result<(i64, i64), LogError> {
        let inner = self.cluster.lock();
        let log = inner.partition(&partition.topic, partition.partition).ok_or_else(|| {
            LogError::Fatal(format!("there is no {} {}", partition.topic, partition.partition))
        })?;
        Ok((log.base, log.end()))
    }

    fn read_view(&mut self, partition: &Tp, from: i64, max: usize) -> Result<ViewRead, LogError> {
        let inner = self.cluster.lock();
        let log = inner.partition(&partition.topic, partition.partition).ok_or_else(|| {
            LogError::Fatal(format!("there is no {} {}", partition.topic, partition.partition))
        })?;
        let mut read = ViewRead { records: Vec::new(), position: from.max(log.base) };
        while read.records.len() < max && read.position < log.last_stable() {
            if let Some(Entry::Record { txn, record }) = log.at(read.position)
                && !log.aborted.contains(txn)
            {
                read.records.push((record.key.clone().unwrap_or_default(), record.value.clone()));
            }
            read.position += 1;
        }
        Ok(read)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.cluster.lock().begin(&self.transactional_id, self.epoch).map(|_| ())
    }

    fn write(&mut self, output: &Output, partition: i32) -> Result<(), LogError> {
        self.cluster.lock().write(&self.transactional_id, self.epoch, output, partition)
    }

    fn offsets(&mut self, offsets: &[(Tp, i64)]) -> Result<(), LogError> {
        let mut inner = self.cluster.lock();
        inner.open_txn(&self.transactional_id, self.epoch)?;
        inner.groups.entry(self.group.clone()).or_default().check(self.member)?;
        drop(inner);
        self.offsets_of_nobody(offsets)
    }

    fn commit(&mut self) -> Result<Commit, LogError> {
        let mut inner = self.cluster.lock();
        let txn = inner.open_txn(&self.transactional_id, self.epoch)?;
        let outcome = match inner.faults.pop_front() {
            None => {
                inner.decide(txn, true);
                Commit::Committed
            }
            Some(CommitFault::Aborted) => {
                inner.decide(txn, false);
                Commit::Aborted
            }
            Some(CommitFault::UnknownCommitted) => {
                inner.decide(txn, true);
                Commit::Unknown
            }
            Some(CommitFault::UnknownLost) => return Ok(Commit::Unknown),
        };
        inner.producer(&self.transactional_id, self.epoch)?.open = None;
        Ok(outcome)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        let mut inner = self.cluster.lock();
        let open = inner.producer(&self.transactional_id, self.epoch)?.open.take();
        if let Some(txn) = open {
            inner.decide(txn, false);
        }
        Ok(())
    }

    fn rebuild_producer(&mut self) -> Result<(), LogError> {
        let mut inner = self.cluster.lock();
        self.epoch = inner.init_producer(&self.transactional_id);
        Ok(())
    }

    fn partitions(&mut self, topic: &str) -> Result<i32, LogError> {
        let inner = self.cluster.lock();
        let list =
            inner.topics.get(topic).ok_or_else(|| LogError::Fatal(format!("there is no topic {topic}")))?;
        Ok(i32::try_from(list.len()).unwrap_or(i32::MAX))
    }

    fn cluster(&mut self) -> Result<String, LogError> {
        Ok("embedded".to_owned())
    }
}
