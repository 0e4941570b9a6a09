//! The bench's own hands on the broker: topics, filling them, and watching what a group has committed.
//!
//! What is measured is measured the same way for everyone: by the offsets that its group has committed, from
//! the first commit that is seen to the last. It knows no row of the table.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sightline::config::{Loaded, topics};
use sightline::stream::kafka::KafkaSettings;
use sightline::stream::kafka::admin::{self, TopicSpec};

use crate::broker::{Broker, now};
use crate::site::PARTITIONS;

/// How long a row may take before it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at a group: what a rate may be wrong by at each end.
const LOOK: Duration = Duration::from_millis(10);
const CALL: Duration = Duration::from_secs(30);

/// A stretch of work, as its group's commits show it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// Records between the first commit that was seen and the last.
    pub(crate) records: i64,
    /// The time between the two.
    pub(crate) took: Duration,
}

impl Stretch {
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 / self.took.as_secs_f64().max(1e-3)
    }
}

/// Makes a topic that has nothing special.
pub(crate) fn make(broker: &Broker, name: &str, partitions: i32) {
    let spec = TopicSpec { name: name.to_owned(), partitions, replication: 1, configs: BTreeMap::new() };
    admin::create_topics(&broker.client(), &[spec]).expect("a topic");
}

/// Makes the topics that a pipeline calls its own, as `sightline topics --create` does, but with this prefix.
pub(crate) fn make_ours(broker: &Broker, loaded: &Loaded, prefix: &str) {
    let old = &loaded.checked.name;
    let named = |name: &str| {
        let word = name.strip_prefix(old.as_str()).and_then(|rest| rest.strip_prefix('.'));
        format!("{prefix}{}", word.expect("a topic of ours begins with the pipeline's name"))
    };
    let specs: Vec<TopicSpec> = topics(&loaded.checked)
        .iter()
        .filter(|spec| spec.is_ours)
        .map(|spec| TopicSpec {
            name: named(&spec.name),
            partitions: spec.partitions.expect("ours have a number"),
            replication: 1,
            configs: spec.settings().into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        })
        .collect();
    admin::create_topics(&broker.client(), &specs).expect("our topics");
}

/// The settings of a lane, as `sightline run` has them but for names.
pub(crate) fn settings(broker: &Broker, group: &str, id: &str, input: &str) -> KafkaSettings {
    KafkaSettings::new(broker.client(), group, id, vec![input.into()])
}

/// Writes to topics as fast as it is given records, without transactions.
pub(crate) struct Filler {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Filler {
    pub(crate) fn new(broker: &Broker) -> Self {
        // A lane's properties but for the transaction, so that what is read looks as if a lane had written it.
        let mut config = settings(broker, "filler", "filler", "none").transactional_producer();
        config.remove("transactional.id");
        config.remove("transaction.timeout.ms");
        Self { producer: config.create().expect("a producer") }
    }

    /// One record; waits where the queue is full.
    pub(crate) fn put(&self, topic: &str, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) {
        send(&self.producer, topic, partition, key, value);
    }

    /// Waits until all are there.
    pub(crate) fn end(&self) {
        self.producer.flush(PATIENCE).expect("the broker takes what it is sent");
    }
}

/// Sends one record; waits where the queue is full.
pub(crate) fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    partition: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) {
    let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
    record.key = key;
    record.payload = value;
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_micros(200));
            }
            Err((error, _)) => panic!("{topic}: {error}"),
        }
    }
}

/// A look at a group on one topic.
pub(crate) struct Group {
    reader: BaseConsumer,
    topic: String,
    partitions: i32,
    /// Offsets behind the last record of a partition that nobody commits.
    markers: i64,
}

impl Group {
    /// On a topic that is written in transactions: behind the last record lies the marker of its end.
    pub(crate) fn behind_transactions(broker: &Broker, group: &str, topic: &str) -> Self {
        Self { markers: 1, ..Self::new(broker, group, topic) }
    }

    /// On a topic that is written without transactions.
    pub(crate) fn new(broker: &Broker, group: &str, topic: &str) -> Self {
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap())
            .set("group.id", group)
            // What is pending is not waited for: it is not committed.
            .set("isolation.level", "read_uncommitted")
            .create()
            .expect("a consumer");
        let metadata = reader.fetch_metadata(Some(topic), CALL).expect("the topic");
        let partitions = metadata.topics().first().expect("it was asked for").partitions().len();
        Self {
            reader,
            topic: topic.to_owned(),
            partitions: i32::try_from(partitions).expect("few"),
            markers: 0,
        }
    }

    /// What is committed, by partition.
    pub(crate) fn committed(&self) -> Vec<i64> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition(&self.topic, partition);
        }
        let found = loop {
            match self.reader.committed_offsets(list.clone(), CALL) {
                Ok(found) => break found,
                // Nobody has joined yet, and the coordinator is still being chosen.
                Err(_) => std::thread::sleep(LOOK),
            }
        };
        let offset =
            |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
        found.elements().iter().map(offset).collect()
    }

    /// The ends of its partitions.
    pub(crate) fn ends(&self) -> Vec<i64> {
        let end = |partition| self.reader.fetch_watermarks(&self.topic, partition, CALL).expect("an end").1;
        (0..self.partitions).map(end).collect()
    }

    /// Whether all is committed that is there.
    pub(crate) fn is_done(&self) -> bool {
        self.committed().iter().zip(self.ends()).all(|(committed, end)| *committed >= end - self.markers)
    }

    /// Waits for the first commit, then until all is committed by this group and by `others`; gives what lay
    /// between, in records of this one; or where all stood when patience ended. `alive` is called between looks
    /// with what is committed, and may panic.
    pub(crate) fn measure(&self, others: &[Self], mut alive: impl FnMut(i64)) -> Result<Stretch, String> {
        let started = now();
        let mut first: Option<(Instant, i64)> = None;
        loop {
            let committed = self.committed().iter().sum::<i64>();
            let at = now();
            if committed > 0 && first.is_none() {
                first = Some((at, committed));
            }
            if let Some((from, before)) = first
                && self.is_done()
                && others.iter().all(Self::is_done)
            {
                let total = self.committed().iter().sum::<i64>();
                return Ok(Stretch { records: total - before, took: now() - from });
            }
            alive(committed);
            if at - started > PATIENCE {
                let shown: Vec<String> =
                    [self].into_iter().chain(others).map(|group| format!("{group}")).collect();
                return Err(format!("not done after {PATIENCE:?}: {}", shown.join("; ")));
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} committed {:?} of {:?}", self.topic, self.committed(), self.ends())
    }
}

/// Bytes of the topics on the broker's disk whose names `wanted` accepts: compressed, without indexes.
pub(crate) fn stored(broker: &Broker, wanted: impl Fn(&str) -> bool) -> u64 {
    let mut sum = 0;
    for folder in std::fs::read_dir(broker.log()).expect("the broker's folder").flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        let Some((topic, _)) = name.rsplit_once('-') else { continue };
        if wanted(topic) {
            sum += segments(&folder.path());
        }
    }
    sum
}

fn segments(folder: &Path) -> u64 {
    let Ok(files) = std::fs::read_dir(folder) else { return 0 };
    let logs = files.flatten().filter(|file| file.path().extension().is_some_and(|end| end == "log"));
    logs.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
}

/// Where records of the raw topic lie: in turn.
pub(crate) fn partition_of_raw(number: usize) -> i32 {
    i32::try_from(number % usize::try_from(PARTITIONS).expect("some")).expect("few")
}
