//! What librdkafka calls back: rebalances, errors, statistics, delivery reports.
//!
//! The callbacks only take down what happened; whoever polls decides. Rebalances are served by
//! polling on the lane's thread, so their order against the records is that of the queue.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::stream::log::{Polled, Tp};

/// How far a partition is, as the lane's consumer last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The last stable offset: where a `read_committed` reader is at the end.
    pub stable_end: Option<i64>,
    /// The end, with open transactions.
    pub end: Option<i64>,
    /// What our own transactions committed. librdkafka's own figure is frozen at what it fetched
    /// on assignment, as it isn't the one that commits.
    pub committed: Option<i64>,
    /// The time stamp of the last record that was polled, in milliseconds since 1970.
    pub last_record_at: Option<i64>,
}

impl PartitionProgress {
    const UNKNOWN: Self = Self { stable_end: None, end: None, committed: None, last_record_at: None };

    /// How many offsets are not committed yet. On an input that is written in transactions it
    /// rests at 1, the marker of the last commit.
    pub fn lag(&self) -> Option<i64> {
        Some((self.stable_end? - self.committed?).max(0))
    }
}

/// What a lane's clients know of themselves, for metrics. Shared; reading it never waits for Kafka.
#[derive(Debug, Default)]
pub struct LaneStats {
    partitions: Mutex<BTreeMap<Tp, PartitionProgress>>,
    rtt_micros: AtomicI64,
    rebalances: AtomicU64,
    errors: AtomicU64,
}

impl LaneStats {
    /// Every assigned partition.
    pub fn partitions(&self) -> Vec<(Tp, PartitionProgress)> {
        lock(&self.partitions).iter().map(|(tp, progress)| (tp.clone(), *progress)).collect()
    }

    /// The slowest broker's mean round trip in microseconds; zero when not known.
    pub fn rtt_micros(&self) -> i64 {
        self.rtt_micros.load(Ordering::Relaxed)
    }

    /// How often partitions were given or taken.
    pub fn rebalances(&self) -> u64 {
        self.rebalances.load(Ordering::Relaxed)
    }

    /// How many errors the clients reported, those included that mended themselves.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(super) fn committed(&self, offsets: &[(Tp, i64)]) {
        let mut partitions = lock(&self.partitions);
        for (tp, offset) in offsets {
            partitions.entry(tp.clone()).or_insert(PartitionProgress::UNKNOWN).committed = Some(*offset);
        }
    }

    pub(super) fn polled(&self, tp: Tp, at: i64) {
        lock(&self.partitions).entry(tp).or_insert(PartitionProgress::UNKNOWN).last_record_at = Some(at);
    }

    pub(super) fn gone(&self, gone: &[Tp]) {
        lock(&self.partitions).retain(|tp, _| !gone.contains(tp));
    }

    fn reported(&self, statistics: &Statistics) {
        let slowest = statistics.brokers.values().filter_map(|broker| Some(broker.rtt.as_ref()?.avg)).max();
        self.rtt_micros.store(slowest.unwrap_or(0), Ordering::Relaxed);
        for (tp, progress) in lock(&self.partitions).iter_mut() {
            let reported =
                statistics.topics.get(&*tp.topic).and_then(|topic| topic.partitions.get(&tp.partition));
            if let Some(reported) = reported {
                progress.stable_end = Some(reported.ls_offset).filter(|offset| *offset >= 0);
                progress.end = Some(reported.hi_offset).filter(|offset| *offset >= 0);
            }
        }
    }
}

/// The last error that a client reported; it says why a look-up failed better than the look-up
/// does.
#[derive(Debug, Default)]
pub(super) struct LastError(Mutex<Option<(Option<RDKafkaErrorCode>, String)>>);

impl LastError {
    fn set(&self, error: &KafkaError, reason: &str) {
        let text = if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        *lock(&self.0) = Some((error.rdkafka_error_code(), text));
    }

    pub(super) fn take(&self) -> Option<(Option<RDKafkaErrorCode>, String)> {
        lock(&self.0).take()
    }
}

/// The context of the group consumer.
pub(super) struct GroupContext {
    topics: Vec<Arc<str>>,
    moved: Mutex<VecDeque<Polled>>,
    pub(super) stats: Arc<LaneStats>,
    pub(super) last_error: LastError,
}

impl GroupContext {
    pub(super) fn new(topics: Vec<Arc<str>>, stats: Arc<LaneStats>) -> Self {
        Self { topics, moved: Mutex::new(VecDeque::new()), stats, last_error: LastError::default() }
    }

    /// What the last poll served, in order.
    pub(super) fn moved(&self) -> VecDeque<Polled> {
        std::mem::take(&mut *lock(&self.moved))
    }

    fn push(&self, polled: Polled) {
        self.stats.rebalances.fetch_add(1, Ordering::Relaxed);
        lock(&self.moved).push_back(polled);
    }

    fn named(&self, list: &TopicPartitionList) -> Vec<Tp> {
        list.elements()
            .iter()
            .map(|element| Tp {
                topic: interned(&self.topics, element.topic()),
                partition: element.partition(),
            })
            .collect()
    }
}

impl ClientContext for GroupContext {
    fn error(&self, error: KafkaError, reason: &str) {
        self.stats.errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(event = "kafka-consumer-error", %error, reason);
        self.last_error.set(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.stats.reported(&statistics);
    }
}

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(list) if list.count() > 0 => {
                let partitions = self.named(list);
                self.stats.gone(&partitions);
                // Before the unassignment, which resets it.
                self.push(if consumer.assignment_lost() {
                    Polled::Lost(partitions)
                } else {
                    Polled::Revoked(partitions)
                });
            }
            Rebalance::Error(error) => tracing::warn!(event = "kafka-rebalance-error", %error),
            // A cooperative rebalance that changes nothing for us comes with an empty list.
            Rebalance::Revoke(_) | Rebalance::Assign(_) => {}
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance
            && list.count() > 0
        {
            // On the thread that polls, so no record comes in between; what was fetched by then is
            // dropped, and fetched again on resuming.
            if let Err(error) = consumer.pause(list) {
                tracing::error!(event = "kafka-pause-failed", %error);
            }
            self.push(Polled::Assigned(self.named(list)));
        }
    }
}

/// The context of clients that only read or ask.
#[derive(Default)]
pub(super) struct ReaderContext {
    pub(super) last_error: LastError,
}

impl ClientContext for ReaderContext {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(event = "kafka-reader-error", %error, reason);
        self.last_error.set(&error, reason);
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for ReaderContext {}

/// The context of the producer.
pub(super) struct WriterContext {
    stats: Arc<LaneStats>,
    /// Why the last record was refused; the transaction only says that one was.
    pub(super) last_error: LastError,
    has_refused: AtomicBool,
}

impl WriterContext {
    pub(super) fn new(stats: Arc<LaneStats>) -> Self {
        Self { stats, last_error: LastError::default(), has_refused: AtomicBool::new(false) }
    }

    /// Whether the broker ever refused a record of this producer, other than by our own purging.
    pub(super) fn has_refused(&self) -> bool {
        self.has_refused.load(Ordering::Acquire)
    }
}

impl ClientContext for WriterContext {
    fn error(&self, error: KafkaError, reason: &str) {
        self.stats.errors.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(event = "kafka-producer-error", %error, reason);
    }

    fn stats(&self, _: Statistics) {}
}

impl ProducerContext for WriterContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        use rdkafka::message::Message;
        if let Err((error, record)) = result {
            let purged = matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
            );
            // An abort purges what waits; that is no reason for anything.
            if !purged {
                let text = format!("a record for topic `{}` was refused: {error}", record.topic());
                self.last_error.set(error, &text);
                self.has_refused.store(true, Ordering::Release);
            }
        }
    }
}

/// The shared name of a topic that is known, or a new one.
pub(super) fn interned(topics: &[Arc<str>], topic: &str) -> Arc<str> {
    topics.iter().find(|known| &***known == topic).cloned().unwrap_or_else(|| topic.into())
}

/// A panic elsewhere leaves these maps whole: each change is one statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
