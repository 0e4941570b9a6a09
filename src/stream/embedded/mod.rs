//! A log in process with Kafka's real transaction semantics: for the demo, `enrich`, and the
//! simulation.
//!
//! Transactions are atomic over partitions and group offsets, commit markers reach each partition
//! separately and (where a simulation asks) late, readers of committed records stop at the last
//! stable offset, a newer producer fences an older one, and a group's generation fences members
//! that a rebalance left behind. There is no thread, no clock and no file: a caller turns it.
//!
//! It deliberately does not model replication, retention, compaction (all records stay) and
//! partial writes.

mod group;
mod lane;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::stage::{Output, Record};

use super::log::{LogError, Tp};
use group::Group;

pub use lane::EmbeddedLog;

/// A transaction's number.
type TxnId = u64;

/// A whole cluster. Clones are the same cluster.
#[derive(Clone, Default)]
pub struct Cluster {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    topics: BTreeMap<Arc<str>, Vec<Partition>>,
    producers: BTreeMap<String, Producer>,
    txns: BTreeMap<TxnId, Txn>,
    next_txn: TxnId,
    next_seq: u64,
    groups: BTreeMap<String, Group>,
    /// Decided outcomes that a partition or a group has not heard of yet.
    markers: VecDeque<Marker>,
    markers_are_late: bool,
    faults: VecDeque<CommitFault>,
}

/// One entry of a partition's log.
enum Entry {
    Record {
        txn: TxnId,
        record: Stored,
    },
    /// A commit or abort marker: takes an offset, is given to nobody.
    Control,
}

#[derive(Clone)]
struct Stored {
    /// The place among all records of the cluster, in the order in which they were written.
    seq: u64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

#[derive(Default)]
struct Partition {
    /// The offset of the first entry; what was before it is gone.
    base: i64,
    entries: Vec<Entry>,
    /// First offset of each transaction that has no marker here yet.
    open: BTreeMap<TxnId, i64>,
    /// Transactions whose abort marker arrived here.
    aborted: BTreeSet<TxnId>,
}

#[derive(Default)]
struct Producer {
    epoch: u32,
    open: Option<TxnId>,
    /// The transaction before: its markers must have arrived before the next may begin.
    last: Option<TxnId>,
}

struct Txn {
    partitions: BTreeSet<Tp>,
    groups: BTreeSet<String>,
    decided: Option<bool>,
}

/// Where a decided outcome has still to arrive.
struct Marker {
    txn: TxnId,
    to: MarkerTarget,
}

enum MarkerTarget {
    Partition(Tp),
    Group(String),
}

/// What a simulation lets happen to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// It is refused: the caller is told so.
    Aborted,
    /// It is committed, but the caller never hears.
    UnknownCommitted,
    /// It never arrives, and the caller never hears; the transaction stays open.
    UnknownLost,
}

impl Partition {
    fn end(&self) -> i64 {
        self.base + i64::try_from(self.entries.len()).expect("a log in memory is shorter than 2^63")
    }

    fn last_stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or_else(|| self.end())
    }

    fn at(&self, offset: i64) -> Option<&Entry> {
        self.entries.get(usize::try_from(offset - self.base).ok()?)
    }
}

impl Cluster {
    /// An empty cluster. With `markers_are_late` a decided transaction becomes visible in each of
    /// its partitions only when [`Cluster::deliver_marker`] says so.
    pub fn new(markers_are_late: bool) -> Self {
        let cluster = Self::default();
        cluster.lock().markers_are_late = markers_are_late;
        cluster
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes a topic; one that is there stays as it is.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let n = usize::try_from(partitions.max(1)).expect("a positive i32 fits");
        self.lock()
            .topics
            .entry(name.into())
            .or_insert_with(|| std::iter::repeat_with(Partition::default).take(n).collect());
    }

    /// Appends a record outside any transaction, as a reporter would.
    ///
    /// # Panics
    /// When the topic or partition is not there.
    pub fn append(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(String, Vec<u8>)],
    ) -> i64 {
        let mut inner = self.lock();
        let seq = inner.next_seq();
        let log = inner.partition_mut(topic, partition).expect("the topic was made");
        let offset = log.end();
        let record = Stored {
            seq,
            key: key.map(<[u8]>::to_vec),
            value: value.map(<[u8]>::to_vec),
            headers: headers.to_vec(),
        };
        log.entries.push(Entry::Record { txn: 0, record });
        offset
    }

    /// All committed records of a topic, by partition and offset, with their offsets.
    pub fn committed(&self, topic: &str) -> Vec<Record> {
        let inner = self.lock();
        let Some((name, partitions)) = inner.topics.get_key_value(topic) else { return Vec::new() };
        let mut records = Vec::new();
        for (number, log) in (0..).zip(partitions) {
            for offset in log.base..log.last_stable() {
                records.extend(log.record(name, number, offset));
            }
        }
        records
    }

    /// Takes all committed records out, in the order in which they were written, and frees their
    /// memory. Only for a cluster at rest: whoever reads goes on behind what was taken.
    pub fn drain(&self) -> Vec<Record> {
        let mut inner = self.lock();
        let mut taken = Vec::new();
        for (name, partitions) in &mut inner.topics {
            for (number, log) in (0..).zip(partitions) {
                for offset in log.base..log.last_stable() {
                    if let (Some(record), Some(Entry::Record { record: stored, .. })) =
                        (log.record(name, number, offset), log.at(offset))
                    {
                        taken.push((stored.seq, record));
                    }
                }
                let gone = usize::try_from(log.last_stable() - log.base).expect("it fitted in memory");
                log.base = log.last_stable();
                log.entries.drain(..gone);
                if log.open.is_empty() {
                    log.aborted.clear();
                }
            }
        }
        taken.sort_by_key(|(seq, _)| *seq);
        taken.into_iter().map(|(_, record)| record).collect()
    }

    /// The offset of the last committed record of a partition.
    pub fn last_committed_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        let inner = self.lock();
        let log = inner.partition(topic, partition)?;
        let topic: Arc<str> = topic.into();
        (log.base..log.last_stable()).rev().find(|offset| log.record(&topic, partition, *offset).is_some())
    }

    /// The offsets that a group has committed.
    pub fn group_offsets(&self, group: &str) -> BTreeMap<Tp, i64> {
        self.lock().groups.get(group).map(|group| group.committed.clone()).unwrap_or_default()
    }

    /// How many markers are on their way.
    pub fn markers_waiting(&self) -> usize {
        self.lock().markers.len()
    }

    /// Lets one marker arrive, by its place in the queue of those on their way.
    pub fn deliver_marker(&self, index: usize) {
        let mut inner = self.lock();
        if let Some(marker) = inner.markers.remove(index) {
            inner.apply_marker(marker);
        }
    }

    /// Lets something happen to the next commit that nothing was planned for yet.
    pub fn plan_commit(&self, fault: CommitFault) {
        self.lock().faults.push_back(fault);
    }

    /// Aborts every transaction that is still open, as its time-out would.
    pub fn expire_transactions(&self) {
        let mut inner = self.lock();
        let open: Vec<TxnId> =
            inner.txns.iter().filter(|(_, txn)| txn.decided.is_none()).map(|(id, _)| *id).collect();
        for id in open {
            inner.decide(id, false);
        }
        for producer in inner.producers.values_mut() {
            if producer.open.take().is_some() {
                producer.epoch += 1;
            }
        }
    }

    /// Drops a member from its group without telling it, as an expired session does.
    pub fn expire_member(&self, group: &str, member: u64) {
        if let Some(group) = self.lock().groups.get_mut(group) {
            group.expire(member);
        }
    }
}

impl Partition {
    fn record(&self, topic: &Arc<str>, partition: i32, offset: i64) -> Option<Record> {
        match self.at(offset)? {
            Entry::Record { txn, record } if !self.aborted.contains(txn) => Some(Record {
                topic: topic.clone(),
                partition,
                offset,
                key: record.key.clone(),
                value: record.value.clone(),
                headers: record.headers.clone(),
            }),
            _ => None,
        }
    }
}

impl Inner {
    fn next_seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.get(usize::try_from(partition).ok()?)
    }

    fn partition_mut(&mut self, topic: &str, partition: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.get_mut(usize::try_from(partition).ok()?)
    }

    /// Starts a producer: ends what its predecessor left, and fences it.
    fn init_producer(&mut self, id: &str) -> u32 {
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.epoch += 1;
        let epoch = producer.epoch;
        let open = producer.open.take();
        let last = producer.last.take();
        for txn in last.into_iter().chain(open) {
            self.decide(txn, false);
            self.finish_markers(txn);
        }
        epoch
    }

    /// Delivers what is still on its way of a decided transaction: Kafka makes its producer wait for
    /// that before anything new.
    fn finish_markers(&mut self, txn: TxnId) {
        let (now, later) =
            std::mem::take(&mut self.markers).into_iter().partition(|marker| marker.txn == txn);
        self.markers = later;
        for marker in Vec::from_iter::<VecDeque<Marker>>(now) {
            self.apply_marker(marker);
        }
    }

    fn producer(&mut self, id: &str, epoch: u32) -> Result<&mut Producer, LogError> {
        match self.producers.get_mut(id) {
            Some(producer) if producer.epoch == epoch => Ok(producer),
            _ => Err(LogError::Fenced(format!("a newer producer holds the transactional id {id}"))),
        }
    }

    fn begin(&mut self, id: &str, epoch: u32) -> Result<TxnId, LogError> {
        self.next_txn += 1;
        let txn = self.next_txn;
        let producer = self.producer(id, epoch)?;
        if producer.open.is_some() {
            return Err(LogError::Fatal(format!("{id} began a transaction inside another")));
        }
        producer.open = Some(txn);
        if let Some(last) = producer.last.replace(txn) {
            self.finish_markers(last);
        }
        self.txns.insert(txn, Txn { partitions: BTreeSet::new(), groups: BTreeSet::new(), decided: None });
        Ok(txn)
    }

    fn write(&mut self, id: &str, epoch: u32, output: &Output, partition: i32) -> Result<(), LogError> {
        let txn = self.open_txn(id, epoch)?;
        let Some((name, _)) = self.topics.get_key_value(&output.topic) else {
            return Err(LogError::Fatal(format!("there is no topic {}", output.topic)));
        };
        let tp = Tp { topic: name.clone(), partition };
        let seq = self.next_seq();
        let Some(log) = self.partition_mut(&output.topic, partition) else {
            return Err(LogError::Fatal(format!("{} has no partition {partition}", output.topic)));
        };
        let offset = log.end();
        log.open.entry(txn).or_insert(offset);
        let record = Stored {
            seq,
            key: output.key.clone(),
            value: output.value.clone(),
            headers: output.headers.clone(),
        };
        log.entries.push(Entry::Record { txn, record });
        self.txns.get_mut(&txn).expect("an open transaction is known").partitions.insert(tp);
        Ok(())
    }

    fn open_txn(&mut self, id: &str, epoch: u32) -> Result<TxnId, LogError> {
        self.producer(id, epoch)?
            .open
            .ok_or_else(|| LogError::Abort(format!("{id} has no open transaction: its time ran out")))
    }

    fn decide(&mut self, txn: TxnId, commit: bool) {
        let state = self.txns.get_mut(&txn).expect("a transaction that was begun is known");
        if state.decided.is_some() {
            return;
        }
        state.decided = Some(commit);
        let targets = state
            .partitions
            .iter()
            .cloned()
            .map(MarkerTarget::Partition)
            .chain(state.groups.iter().cloned().map(MarkerTarget::Group));
        let markers: Vec<Marker> = targets.map(|to| Marker { txn, to }).collect();
        if self.markers_are_late {
            self.markers.extend(markers);
        } else {
            for marker in markers {
                self.apply_marker(marker);
            }
        }
    }

    fn apply_marker(&mut self, marker: Marker) {
        let committed = self.txns.get(&marker.txn).and_then(|txn| txn.decided).unwrap_or(false);
        match marker.to {
            MarkerTarget::Partition(tp) => {
                if let Some(log) = self.partition_mut(&tp.topic, tp.partition) {
                    log.open.remove(&marker.txn);
                    if !committed {
                        log.aborted.insert(marker.txn);
                    }
                    log.entries.push(Entry::Control);
                }
            }
            MarkerTarget::Group(name) => {
                if let Some(group) = self.groups.get_mut(&name) {
                    group.settle(marker.txn, committed);
                }
            }
        }
    }
}
