//! What tests of the whole job share: the raw topics, who writes them, how far each stage is, and
//! what the topics hold.
//!
//! What the topics should hold is in `memory` and in the tests.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::path::Path;

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use sightline::config::{self, Loaded};
use sightline::diag::Findings;
use sightline::stage::Record;
use sightline::stream::kafka::admin::{self, TopicSpec};
use sightline::stream::kafka::{KafkaSettings, read_topic};

use crate::broker::{Broker, now};
use crate::instance::LONG;
use crate::load::Raw;

/// The time that everything works at.
pub(crate) const NOW: &str = "2026-11-05T12:00:00Z";
/// The raw topics, and how many partitions each has here.
pub(crate) const RAW: [(&str, i32); 4] =
    [("raw.native", 4), ("raw.sinkhole", 3), ("raw.mail", 2), ("raw.honeypot", 1)];

/// The records of all topics of the pipeline, by topic, in order of partition and offset.
pub(crate) type Topics = BTreeMap<String, Vec<Record>>;

pub(crate) fn loaded(path: &Path) -> Loaded {
    let mut findings = Findings::default();
    config::load(path, &|path| std::fs::read(path), &mut findings).unwrap()
}

pub(crate) fn make_raw_topics(broker: &Broker) {
    let specs = RAW.map(|(name, partitions)| TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        configs: BTreeMap::new(),
    });
    admin::create_topics(&broker.client(), &specs).unwrap();
}

/// Writes raw records as reporters do: acknowledged, in order, without transactions.
pub(crate) struct Reporter {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Reporter {
    pub(crate) fn new(broker: &Broker) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap())
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        Self { producer }
    }

    /// Where a record goes.
    pub(crate) fn partition(record: &Raw) -> i32 {
        let partitions = RAW.iter().find(|(topic, _)| *topic == record.topic).unwrap().1;
        i32::try_from(record.feed).unwrap() % partitions
    }

    pub(crate) fn send(&self, records: &[Raw]) {
        for record in records {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
            let mut sent = BaseRecord::<[u8], [u8]>::to(record.topic)
                .partition(Self::partition(record))
                .headers(headers);
            sent.key = record.key.as_deref().map(str::as_bytes);
            sent.payload = record.value.as_deref();
            self.producer.send(sent).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(LONG).unwrap();
    }
}

/// What a group has committed of a topic, by partition; pending transactions are waited out.
pub(crate) fn committed(broker: &Broker, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", group)
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let found = consumer.committed_offsets(list, LONG).unwrap();
    let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset()
    {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    found.elements().iter().map(|element| (element.partition(), offset(element))).collect()
}

/// How many raw records intake has committed.
pub(crate) fn taken_in(broker: &Broker) -> i64 {
    RAW.iter()
        .map(|(topic, partitions)| {
            committed(broker, "sightline.intake", topic, *partitions).values().sum::<i64>()
        })
        .sum()
}

pub(crate) fn read(broker: &Broker, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let settings = KafkaSettings::new(broker.client(), "reader", "", Vec::new());
    read_topic(&settings, topic, |record| records.push(record)).unwrap();
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> Result<(), String>) {
    let until = now() + LONG;
    while let Err(found) = done() {
        assert!(now() < until, "it didn't come to: {what}: {found}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Waits until a stage has committed all that is in its input, which no longer grows.
#[track_caller]
pub(crate) fn wait_for_stage(broker: &Broker, stage: &str, topic: &str, partitions: i32) {
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    for record in read(broker, topic) {
        ends.insert(record.partition, record.offset + 1);
    }
    wait_until(&format!("{stage} has committed all of {topic}"), || {
        let found = committed(broker, &format!("sightline.{stage}"), topic, partitions);
        let behind = ends.iter().find(|(partition, end)| found[partition] < **end);
        behind.map_or(Ok(()), |(partition, end)| {
            Err(format!("partition {partition} is at {} of {end}", found[partition]))
        })
    });
}
