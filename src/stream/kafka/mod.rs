//! The log on Kafka: a group consumer, a transactional producer and a reader of state, all on the
//! lane's own thread.
//!
//! It knows how librdkafka does a thing and what it leaves undone; in which order things are done
//! is the runner's. It holds no tokio: calls block, for as long as the settings say.

pub mod admin;
mod class;
mod context;
mod read;
mod settings;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Header as KafkaHeader, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::util::Timeout;

use class::{Names, Refusal, Verdict};
use context::{GroupContext, LastError, ReaderContext, WriterContext, interned};
pub use context::{LaneStats, PartitionProgress};
pub use read::{read_partition, read_topic};
pub use settings::KafkaSettings;
use view::ViewReader;

use crate::stage::{Output, Record};
use crate::stream::log::{Commit, Log, LogError, Polled, Tp, ViewRead};

/// How long a call that can't go on yet sleeps before it looks again.
const PAUSE: Duration = Duration::from_millis(10);
/// The same while records are on their way to the broker: part of every commit's latency.
const DRAIN_PAUSE: Duration = Duration::from_micros(200);

/// How much longer than a transaction a call of it may take before nobody waits for it any more.
const GRACE: Duration = Duration::from_secs(1);

/// One lane's Kafka.
///
/// Dropping it leaves the group; it must be dropped on the thread that polls. Fields are dropped
/// in their order: the consumer before the producer.
pub struct KafkaLog {
    consumer: BaseConsumer<GroupContext>,
    view: BTreeMap<Arc<str>, ViewReader>,
    producer: Option<Arc<ThreadedProducer<WriterContext>>>,
    metadata: BaseConsumer<ReaderContext>,
    settings: KafkaSettings,
    names: Names,
    stats: Arc<LaneStats>,
    assigned: BTreeSet<Tp>,
    /// Ends of state partitions that were asked for: whoever has read so far needs no reader.
    ends: BTreeMap<Tp, i64>,
    /// An error that came after records which had to be handed over first.
    pending: Option<LogError>,
    /// Whether a transaction is open at the producer.
    open: bool,
    /// The offsets in the open transaction.
    offsets: Vec<(Tp, i64)>,
    /// The producer must not be used again: a call of it timed out, and what it sent may still
    /// arrive.
    spent: bool,
}

impl KafkaLog {
    /// Connects, checks that all topics are there, ends what a predecessor of this transactional
    /// id left, and joins the group.
    ///
    /// # Errors
    /// [`LogError::Retry`] when no broker can be reached, [`LogError::Fatal`] when a topic or a
    /// permission is missing or a setting is wrong. The text says what to do.
    pub fn open(settings: &KafkaSettings) -> Result<Self, LogError> {
        settings.check()?;
        let metadata: BaseConsumer<ReaderContext> = settings
            .metadata()
            .create_with_context(ReaderContext::default())
            .map_err(|error| setup(&error, "the metadata client"))?;
        for topic in settings.inputs.iter().chain(&settings.outputs) {
            partitions_of(&metadata, topic, settings.servers(), settings.call_timeout)?;
        }
        let stats = Arc::new(LaneStats::default());
        let context = GroupContext::new(settings.inputs.clone(), stats.clone());
        let consumer: BaseConsumer<GroupContext> = settings
            .group_consumer()
            .create_with_context(context)
            .map_err(|error| setup(&error, "the group consumer"))?;
        let mut log = Self {
            consumer,
            view: BTreeMap::new(),
            producer: None,
            metadata,
            names: Names {
                group: settings.group.clone(),
                transactional_id: settings.transactional_id.clone(),
            },
            settings: settings.clone(),
            stats,
            assigned: BTreeSet::new(),
            ends: BTreeMap::new(),
            pending: None,
            open: false,
            offsets: Vec::new(),
            spent: false,
        };
        // Before any offset is read: what the predecessor left open is decided by then.
        log.rebuild_producer()?;
        let topics: Vec<&str> = settings.inputs.iter().map(|topic| &**topic).collect();
        log.consumer
            .subscribe(&topics)
            .map_err(|error| LogError::Fatal(format!("cannot subscribe to {topics:?}: {error}")))?;
        Ok(log)
    }

    /// What the clients know of themselves, for metrics; shared with the caller.
    pub fn stats(&self) -> Arc<LaneStats> {
        self.stats.clone()
    }

    fn producer(&self) -> Result<&Arc<ThreadedProducer<WriterContext>>, LogError> {
        self.producer
            .as_ref()
            .filter(|_| !self.spent)
            .ok_or_else(|| LogError::Abort("the producer must be rebuilt first".to_owned()))
    }

    /// Classifies what a transactional call said, and takes down what it means for the producer.
    fn refused(&mut self, call: &str, error: &KafkaError) -> LogError {
        let mut refusal = match error {
            KafkaError::Transaction(error) => Refusal::from(error),
            // The flush inside a commit: the same call may be made again.
            KafkaError::Flush(code) => Refusal {
                code: *code,
                fatal: false,
                abortable: false,
                retriable: true,
                text: error.to_string(),
            },
            _ => return LogError::Fatal(format!("{call}: {error}")),
        };
        if let Some((_, why)) =
            self.producer.as_ref().and_then(|producer| producer.client().context().last_error.take())
        {
            refusal.text = format!("{} ({why})", refusal.text);
        }
        let Verdict { error, rebuild } = class::transaction(call, &refusal, &self.names);
        self.spent |= rebuild;
        error
    }

    /// What made the producer unusable, if anything did. A producer that was fenced isn't told
    /// until it asks.
    fn producer_failure(&mut self) -> Option<LogError> {
        let (code, text) = self.producer.as_ref()?.client().fatal_error()?;
        let refusal = Refusal { code, fatal: true, abortable: false, retriable: false, text };
        let Verdict { error, rebuild } =
            class::transaction("the producer can't go on", &refusal, &self.names);
        self.spent |= rebuild;
        Some(error)
    }

    /// Waits until the broker has answered for every record.
    ///
    /// The commit would wait too, but in steps of 100 ms, as its flush does: forty times as long
    /// for a batch of fifty records. Flushing with no time to wait only says that lingering is
    /// over; the producer's own thread serves the reports.
    fn drain(&self, producer: &ThreadedProducer<WriterContext>) -> bool {
        let until = now() + self.settings.transaction_timeout;
        while producer.in_flight_count() > 0 {
            if producer.client().fatal_error().is_some() || now() >= until {
                return false;
            }
            match producer.flush(Duration::ZERO) {
                // It timed out, as it must: nothing was waited for.
                Ok(()) | Err(_) => std::thread::sleep(DRAIN_PAUSE),
            }
        }
        true
    }

    /// Puts offsets into the transaction, and waits no longer than it may last.
    ///
    /// librdkafka's call ignores its time-out while the group's coordinator is away (its issue 5456),
    /// and can wait for ever for one that was taken out of the cluster (5511): the lane would neither
    /// poll nor leave. So the call is made on a thread of its own. One that doesn't come back keeps its
    /// producer, which a new one of the same id puts out: what it may still send, the group refuses.
    fn send_offsets(
        &mut self,
        list: TopicPartitionList,
        metadata: ConsumerGroupMetadata,
    ) -> Result<Result<(), KafkaError>, LogError> {
        let producer = self.producer()?.clone();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name(format!("{}-offsets", self.names.transactional_id))
            .spawn(move || {
                let sent = producer.send_offsets_to_transaction(&list, &metadata, Timeout::Never);
                // Before it is told, so that the lane's is the last.
                drop(producer);
                // Nobody listens any more after the time-out.
                drop(tell.send(sent));
            })
            .map_err(|error| LogError::Fatal(format!("no thread to send offsets from: {error}")))?;
        told.recv_timeout(self.settings.transaction_timeout + GRACE).map_err(|_timeout| {
            self.spent = true;
            LogError::Abort(format!(
                "the coordinator of group `{}` did not take the offsets in time",
                self.names.group
            ))
        })
    }

    /// Aborts with the producer that began; false when only a new one can.
    fn try_abort(&mut self) -> Result<bool, LogError> {
        let Ok(producer) = self.producer() else { return Ok(false) };
        let Err(error) = producer.abort_transaction(self.settings.transaction_timeout) else {
            // What the broker refused left a gap in the sequence numbers of its partition, and
            // librdkafka 2.12.1 goes on behind it: the next transaction would fail as out of order.
            self.spent = producer.client().context().has_refused();
            self.open = false;
            self.offsets.clear();
            return Ok(true);
        };
        match self.refused("cannot abort the transaction", &error) {
            error @ LogError::Fenced(_) => Err(error),
            error => {
                tracing::warn!(event = "kafka-abort-failed", %error);
                self.spent = true;
                Ok(false)
            }
        }
    }

    fn lookup(&self, what: &str, error: &KafkaError) -> LogError {
        self.lookup_code(what, error.rdkafka_error_code(), error)
    }

    fn lookup_code(&self, what: &str, code: Option<Code>, error: &KafkaError) -> LogError {
        class::lookup(what, code, error, &self.names)
    }

    fn bounds(&self, partition: &Tp) -> Result<(i64, i64), LogError> {
        self.metadata
            .fetch_watermarks(&partition.topic, partition.partition, self.settings.call_timeout)
            .map_err(|error| {
                let what = format!("cannot ask where {}/{} ends", partition.topic, partition.partition);
                self.lookup(&what, &error)
            })
    }

    /// Those of `partitions` that are still ours, as librdkafka's list.
    fn ours<'a>(
        &self,
        partitions: impl IntoIterator<Item = (&'a Tp, Offset)>,
    ) -> Result<TopicPartitionList, LogError> {
        listed(partitions.into_iter().filter(|(tp, _)| self.assigned.contains(tp)))
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Record {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                .collect()
        });
        Record {
            topic: interned(&self.settings.inputs, message.topic()),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }

    /// Takes over what the group did, in order.
    fn moved(&mut self, out: &mut Vec<Polled>) {
        for polled in self.consumer.context().moved() {
            match &polled {
                Polled::Assigned(tps) => self.assigned.extend(tps.iter().cloned()),
                Polled::Revoked(tps) | Polled::Lost(tps) => {
                    for tp in tps {
                        self.assigned.remove(tp);
                    }
                }
                Polled::Record(_) => {}
            }
            out.push(polled);
        }
    }

    /// The group's metadata, if the group still counts on us.
    ///
    /// The broker checks member and generation only when they are given. A member that the group
    /// threw out may have neither, and its offsets would be taken without a question. librdkafka
    /// reads the metadata and marks an assignment as lost on one thread, so whoever reads the
    /// metadata first and then sees no loss has metadata of a member. What is left is a member
    /// whose rejoin was refused, which is not marked as a loss; its generation tells.
    fn group_metadata(&self) -> Result<ConsumerGroupMetadata, LogError> {
        let gone = || LogError::Abort("the group no longer counts on this member".to_owned());
        let metadata = self.consumer.group_metadata().ok_or_else(gone)?;
        if self.consumer.assignment_lost() || generation(&self.consumer) < 0 {
            return Err(gone());
        }
        Ok(metadata)
    }
}

impl Log for KafkaLog {
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Polled>, LogError> {
        if let Some(error) = self.pending.take() {
            return Err(error);
        }
        if let Some(error @ (LogError::Fenced(_) | LogError::Fatal(_))) = self.producer_failure() {
            return Err(error);
        }
        let mut out = Vec::new();
        let mut latest: Option<(Tp, i64)> = None;
        let mut left = max.max(1);
        let mut wait = wait;
        loop {
            let polled = self
                .consumer
                .poll(wait)
                .map(|result| result.map(|message| (self.record(&message), message.timestamp().to_millis())));
            // Never waits again: what there is, is there by now.
            wait = Duration::ZERO;
            self.moved(&mut out);
            match polled {
                None => break,
                Some(Ok((record, at))) => {
                    let same = latest
                        .as_ref()
                        .is_some_and(|(tp, _)| tp.partition == record.partition && tp.topic == record.topic);
                    match (&mut latest, at) {
                        (Some((_, latest)), Some(at)) if same => *latest = at,
                        (latest, Some(at)) => {
                            if let Some((tp, at)) = latest.take() {
                                self.stats.polled(tp, at);
                            }
                            *latest =
                                Some((Tp { topic: record.topic.clone(), partition: record.partition }, at));
                        }
                        (_, None) => {}
                    }
                    out.push(Polled::Record(record));
                    left -= 1;
                    if left == 0 {
                        break;
                    }
                }
                Some(Err(error)) => {
                    if let Some(error) = class::consumption(&error, &self.names) {
                        if out.is_empty() {
                            return Err(error);
                        }
                        self.pending = Some(error);
                        break;
                    }
                }
            }
        }
        if let Some((tp, at)) = latest
            && self.assigned.contains(&tp)
        {
            self.stats.polled(tp, at);
        }
        Ok(out)
    }

    fn pause(&mut self, partitions: &[Tp]) -> Result<(), LogError> {
        let list = self.ours(partitions.iter().map(|tp| (tp, Offset::Invalid)))?;
        self.consumer.pause(&list).map_err(|error| self.lookup("cannot pause", &error))
    }

    fn resume(&mut self, partitions: &[Tp]) -> Result<(), LogError> {
        let list = self.ours(partitions.iter().map(|tp| (tp, Offset::Invalid)))?;
        self.consumer.resume(&list).map_err(|error| self.lookup("cannot resume", &error))
    }

    fn seek(&mut self, partition: &Tp, offset: i64) -> Result<(), LogError> {
        let until = now() + self.settings.call_timeout;
        loop {
            let list = self.ours([(partition, Offset::Offset(offset))])?;
            if list.count() == 0 {
                return Ok(());
            }
            let what = format!("cannot seek {}/{} to {offset}", partition.topic, partition.partition);
            let sought = self
                .consumer
                .seek_partitions(list, self.settings.call_timeout)
                .map_err(|error| self.lookup(&what, &error))?;
            // Each element has its own error; the call itself says nothing of them.
            let refused = sought.elements().iter().find_map(|element| element.error().err());
            match refused {
                None => return Ok(()),
                Some(error) => match error.rdkafka_error_code() {
                    // Just assigned, and not yet fetched from.
                    Some(Code::State | Code::PreviousInProgress) if now() < until => {
                        std::thread::sleep(PAUSE);
                    }
                    code => return Err(self.lookup_code(&what, code, &error)),
                },
            }
        }
    }

    fn stable_committed(&mut self, partitions: &[Tp]) -> Result<Vec<(Tp, i64)>, LogError> {
        let what = "cannot ask for the group's offsets";
        let list = listed(partitions.iter().map(|tp| (tp, Offset::Invalid)))?;
        // As the consumer reads committed records, librdkafka asks for stable offsets and waits
        // while a transaction has some pending.
        let committed = self
            .consumer
            .committed_offsets(list, self.settings.call_timeout)
            .map_err(|error| self.lookup(what, &error))?;
        let mut offsets = Vec::with_capacity(partitions.len());
        for tp in partitions {
            let element = committed
                .find_partition(&tp.topic, tp.partition)
                .ok_or_else(|| LogError::Retry(format!("{what}: none for {}/{}", tp.topic, tp.partition)))?;
            element.error().map_err(|error| self.lookup(what, &error))?;
            let (start, end) = self.bounds(tp)?;
            let offset = match element.offset() {
                Offset::Offset(offset) if offset > end => {
                    return Err(LogError::Fatal(format!(
                        "group `{}` committed offset {offset} of {}/{}, which ends at {end}: the topic was made \
                         anew or lost records; reset the group's offsets, and the state with them",
                        self.names.group, tp.topic, tp.partition
                    )));
                }
                Offset::Offset(offset) => {
                    if offset < start {
                        tracing::error!(
                            event = "kafka-records-lost",
                            topic = &*tp.topic,
                            partition = tp.partition,
                            committed = offset,
                            start,
                            "retention removed records before they were read"
                        );
                    }
                    offset
                }
                _ => start,
            };
            offsets.push((tp.clone(), offset));
        }
        self.stats.committed(&offsets);
        Ok(offsets)
    }

    fn view_bounds(&mut self, partition: &Tp) -> Result<(i64, i64), LogError> {
        let (start, end) = self.bounds(partition)?;
        self.ends.insert(partition.clone(), end);
        Ok((start, end))
    }

    fn read_view(&mut self, partition: &Tp, from: i64, max: usize) -> Result<ViewRead, LogError> {
        if !self.view.contains_key(&partition.topic) {
            let reader = ViewReader::new(
                &self.settings.view_reader(),
                &partition.topic,
                self.names.clone(),
                self.settings.call_timeout,
            )?;
            self.view.insert(partition.topic.clone(), reader);
        }
        let Some(reader) = self.view.get_mut(&partition.topic) else {
            return Ok(ViewRead { records: Vec::new(), position: from });
        };
        let read = reader.read(partition.partition, from, max)?;
        let done = self.ends.get(partition).is_some_and(|end| read.position >= *end);
        if done && reader.forget(partition.partition)? {
            self.view.remove(&partition.topic);
        }
        Ok(read)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        if self.spent || self.producer.is_none() {
            self.rebuild_producer()?;
        }
        let begun = self.producer()?.begin_transaction();
        begun.map_err(|error| self.refused("cannot begin a transaction", &error))?;
        self.open = true;
        self.offsets.clear();
        Ok(())
    }

    fn write(&mut self, output: &Output, partition: i32) -> Result<(), LogError> {
        let producer = self.producer()?;
        let headers = (!output.headers.is_empty()).then(|| {
            output
                .headers
                .iter()
                .fold(OwnedHeaders::new_with_capacity(output.headers.len()), |headers, (key, value)| {
                    headers.insert(KafkaHeader { key, value: Some(value) })
                })
        });
        let mut record = BaseRecord::<[u8], [u8]>::to(&output.topic).partition(partition);
        record.key = output.key.as_deref();
        record.payload = output.value.as_deref();
        record.headers = headers;
        let mut until: Option<Instant> = None;
        let code = loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back))
                    if now() < *until.get_or_insert_with(|| now() + self.settings.transaction_timeout) =>
                {
                    // The producer's thread makes room as the broker answers.
                    record = back;
                    std::thread::sleep(DRAIN_PAUSE);
                }
                Err((KafkaError::MessageProduction(code), _)) => break code,
                Err((error, _)) => {
                    return Err(LogError::Fatal(format!(
                        "cannot write to topic `{}`: {error}",
                        output.topic
                    )));
                }
            }
        };
        if let Some(error) = self.producer_failure() {
            return Err(error);
        }
        let bytes = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        Err(class::production(code, &output.topic, partition, bytes(&output.key) + bytes(&output.value)))
    }

    fn offsets(&mut self, offsets: &[(Tp, i64)]) -> Result<(), LogError> {
        if let Some((tp, _)) = offsets.iter().find(|(tp, _)| !self.assigned.contains(tp)) {
            return Err(LogError::Abort(format!("{}/{} is no longer ours", tp.topic, tp.partition)));
        }
        let list = listed(offsets.iter().map(|(tp, offset)| (tp, Offset::Offset(*offset))))?;
        let metadata = self.group_metadata()?;
        let sent = self.send_offsets(list, metadata)?;
        match sent.map_err(|error| self.refused("cannot commit the offsets", &error)) {
            Ok(()) => {
                self.offsets.extend(offsets.iter().cloned());
                Ok(())
            }
            // It has waited as long as the transaction may last: there is nothing left to retry.
            Err(LogError::Retry(text)) => Err(LogError::Abort(text)),
            Err(error) => Err(error),
        }
    }

    fn commit(&mut self) -> Result<Commit, LogError> {
        let producer = self.producer()?;
        if !self.drain(producer) {
            if let Some(error @ (LogError::Fenced(_) | LogError::Fatal(_))) = self.producer_failure() {
                return Err(error);
            }
            // The end of the transaction was not asked for, so it can only be an abort.
            if !self.try_abort()? {
                self.spent = true;
            }
            return Ok(Commit::Aborted);
        }
        // librdkafka's own `Never` waits as long as the coordinator is away, and the lane with it.
        // Its warning about other time-outs concerns producers that are used again.
        let ended = producer.commit_transaction(self.settings.transaction_timeout);
        let Err(error) = ended else {
            self.open = false;
            self.stats.committed(&self.offsets);
            return Ok(Commit::Committed);
        };
        let abortable = matches!(&error, KafkaError::Transaction(error) if error.txn_requires_abort() && !error.is_fatal());
        match self.refused("cannot commit the transaction", &error) {
            // Most often a record or the offsets were refused before the end was asked for, but not
            // always. That the coordinator takes an abort proves it: of a transaction that it has
            // begun to commit, it takes none.
            LogError::Abort(text) if abortable && self.try_abort()? => {
                tracing::warn!(event = "kafka-transaction-aborted", text);
                Ok(Commit::Aborted)
            }
            // The end was asked for, and the answer is not known.
            LogError::Retry(text) | LogError::Abort(text) => {
                tracing::warn!(event = "kafka-commit-unknown", text);
                self.spent = true;
                Ok(Commit::Unknown)
            }
            error => Err(error),
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        // A new producer of the same id aborts what the old one left.
        if self.open && !self.try_abort()? { self.rebuild_producer() } else { Ok(()) }
    }

    fn rebuild_producer(&mut self) -> Result<(), LogError> {
        // Gone first: nothing of the old one may be sent after the new one has begun.
        self.producer = None;
        self.spent = false;
        let config = self.settings.transactional_producer();
        let producer: ThreadedProducer<WriterContext> = config
            .create_with_context(WriterContext::new(self.stats.clone()))
            .map_err(|error| setup(&error, "the producer"))?;
        // Bounded by librdkafka to twice the transaction's time-out.
        let ready = producer.init_transactions(Timeout::Never);
        self.producer = Some(Arc::new(producer));
        if let Err(error) = ready {
            let what = format!("cannot begin as transactional id `{}`", self.names.transactional_id);
            let error = self.refused(&what, &error);
            self.producer = None;
            return Err(match error {
                LogError::Abort(text) => LogError::Retry(text),
                error => error,
            });
        }
        self.open = false;
        self.offsets.clear();
        Ok(())
    }

    fn partitions(&mut self, topic: &str) -> Result<i32, LogError> {
        partitions_of(&self.metadata, topic, self.settings.servers(), self.settings.call_timeout)
    }

    fn cluster(&mut self) -> Result<String, LogError> {
        self.metadata
            .client()
            .fetch_cluster_id(self.settings.call_timeout)
            .ok_or_else(|| unreachable_brokers(self.settings.servers(), (None, "no answer".to_owned())))
    }
}

/// How many partitions a topic has.
fn partitions_of(
    client: &BaseConsumer<ReaderContext>,
    topic: &str,
    servers: &str,
    timeout: Duration,
) -> Result<i32, LogError> {
    let metadata =
        client.fetch_metadata(Some(topic), timeout).map_err(|error| match error.rdkafka_error_code() {
            Some(Code::TopicAuthorizationFailed) => {
                LogError::Fatal(class::topic_permission("DESCRIBE", topic))
            }
            _ => unreachable_brokers(servers, reason(client, &error)),
        })?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else { return Err(LogError::Fatal(class::missing(topic))) };
    match found.error().map(Code::from) {
        None => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
            return Err(LogError::Fatal(class::missing(topic)));
        }
        Some(Code::TopicAuthorizationFailed) => {
            return Err(LogError::Fatal(class::topic_permission("DESCRIBE", topic)));
        }
        Some(code) => return Err(LogError::Retry(format!("topic `{topic}`: {code}"))),
    }
    Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX))
}

/// Why a client without a group can't connect: its errors wait to be polled, and say it better than
/// the look-up that failed.
fn reason(client: &BaseConsumer<ReaderContext>, failed: &KafkaError) -> (Option<Code>, String) {
    let error: &LastError = &client.context().last_error;
    let mut found = error.take();
    for _ in 0..20 {
        // What it gives is what the context has taken down already.
        drop(client.poll(Duration::ZERO));
        let next = error.take();
        // That all are down says nothing that the first one's reason does not say better.
        if next.as_ref().is_some_and(|(code, _)| *code != Some(Code::AllBrokersDown)) || found.is_none() {
            found = next.or(found);
        }
    }
    found.unwrap_or_else(|| (failed.rdkafka_error_code(), failed.to_string()))
}

fn unreachable_brokers(servers: &str, (code, reason): (Option<Code>, String)) -> LogError {
    match code {
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => LogError::Fatal(format!(
            "the brokers at {servers} refuse our credentials ({reason}): check the sasl.* properties of kafka.client"
        )),
        Some(Code::SSL) => LogError::Fatal(format!(
            "no TLS with the brokers at {servers} ({reason}): check `security.protocol` and the ssl.* properties of \
             kafka.client"
        )),
        _ => LogError::Retry(format!(
            "cannot reach the brokers at {servers} ({reason}): check `bootstrap.servers` of kafka.client, that the \
             brokers run, and that `security.protocol` is theirs"
        )),
    }
}

/// Why a client can't be made. The value is left out where it may be a secret.
fn setup(error: &KafkaError, client: &str) -> LogError {
    LogError::Fatal(match error {
        KafkaError::ClientConfig(_, why, key, value) => {
            let secret = ["password", "secret", "key", "jaas", "token"].iter().any(|word| key.contains(word));
            let why = if secret && !value.is_empty() { &why.replace(value.as_str(), "...") } else { why };
            format!("kafka property `{key}` isn't accepted: {why}")
        }
        error => format!("cannot make {client}: {error}"),
    })
}

fn listed<'a>(
    partitions: impl IntoIterator<Item = (&'a Tp, Offset)>,
) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::new();
    for (tp, offset) in partitions {
        list.add_partition_offset(&tp.topic, tp.partition, offset)
            .map_err(|error| LogError::Fatal(format!("{}/{}: {error}", tp.topic, tp.partition)))?;
    }
    Ok(list)
}

/// The generation of which the consumer is a member, or less than zero.
#[expect(unsafe_code, reason = "the wrapper hides the generation, and without it the fence has a hole")]
fn generation(consumer: &BaseConsumer<GroupContext>) -> i32 {
    use rdkafka::bindings::{
        rd_kafka_consumer_group_metadata, rd_kafka_consumer_group_metadata_destroy,
        rd_kafka_consumer_group_metadata_generation_id,
    };
    // SAFETY: the client lives as long as `consumer` is borrowed; the metadata is ours, used only
    // when not null, and destroyed once.
    unsafe {
        let metadata = rd_kafka_consumer_group_metadata(consumer.client().native_ptr());
        if metadata.is_null() {
            return -1;
        }
        let generation = rd_kafka_consumer_group_metadata_generation_id(metadata);
        rd_kafka_consumer_group_metadata_destroy(metadata);
        generation
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the shell: time-outs of calls are measured here")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(servers: &str) -> KafkaSettings {
        let client = BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
        let mut settings = KafkaSettings::new(client, "leads", "leads-0", vec!["raw.a".into()]);
        settings.call_timeout = Duration::from_secs(2);
        settings
    }

    #[track_caller]
    fn check(settings: &KafkaSettings, expected: &str) {
        let error = KafkaLog::open(settings).err().expect("it can't open");
        assert!(error.to_string().contains(expected), "{error:?}");
    }

    #[test]
    fn a_broker_that_is_away_is_said_with_its_address_and_is_worth_a_retry() {
        // A port that was free a moment ago, on which nobody listens.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = settings(&free.to_string());
        check(&settings, &format!("cannot reach the brokers at {free} ("));
        check(&settings, "Connection refused");
        assert!(matches!(KafkaLog::open(&settings), Err(LogError::Retry(_))));
    }

    #[test]
    fn a_property_that_does_not_exist_is_said_by_name_and_a_secret_is_not_shown() {
        let mut wrong = settings("127.0.0.1:1");
        wrong.client.insert("linger".to_owned(), "5".to_owned());
        check(&wrong, "kafka property `linger` isn't accepted");
        let mut secret = settings("127.0.0.1:1");
        secret.client.insert("ssl.key.pem".to_owned(), "hunter2".to_owned());
        let error = KafkaLog::open(&secret).err().expect("it can't open").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
