//! Reading a topic from its beginning to its end, once, committed records only: for `explain`,
//! `ledger verify` and whoever looks at what was written. It joins no group and commits nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::Offset;

use super::context::ReaderContext;
use super::{KafkaSettings, LogError};
use crate::stage::Record;

/// How often to look whether the end is reached while nothing comes.
const WAIT: Duration = Duration::from_millis(200);
/// So many looks in a row at nothing, and no broker answers.
const LOOKS: u32 = 150;

/// Gives every committed record of a topic to `each`, partition by partition in order of offset.
///
/// # Errors
/// When the topic can't be read: says what to do.
pub fn read_topic(
    settings: &KafkaSettings,
    topic: &str,
    mut each: impl FnMut(Record),
) -> Result<(), LogError> {
    read(settings, topic, |count| (0..count).collect(), &mut each)
}

/// The same of one partition, which `choose` chooses by how many there are.
///
/// # Errors
/// As [`read_topic`].
pub fn read_partition(
    settings: &KafkaSettings,
    topic: &str,
    choose: impl Fn(i32) -> i32,
    mut each: impl FnMut(Record),
) -> Result<(), LogError> {
    read(settings, topic, |count| BTreeSet::from([choose(count)]), &mut each)
}

/// Waits until nothing that is in these partitions now is of an open transaction: a reader of committed
/// records stops there, and would take it for the end. What a killed lane left open is aborted when its
/// time is over.
fn wait_out_transactions(
    settings: &KafkaSettings,
    committed: &BaseConsumer<ReaderContext>,
    topic: &str,
    partitions: &BTreeSet<i32>,
) -> Result<(), LogError> {
    let failed = |error: KafkaError| LogError::Retry(format!("asking for the end of {topic}: {error}"));
    let uncommitted: BaseConsumer<ReaderContext> = settings
        .metadata()
        .create_with_context(ReaderContext::default())
        .map_err(|error| super::setup(&error, "the reader of ends"))?;
    let until = super::now() + settings.transaction_timeout * 2 + settings.call_timeout;
    for partition in partitions {
        let (_, end) =
            uncommitted.fetch_watermarks(topic, *partition, settings.call_timeout).map_err(failed)?;
        loop {
            let (_, stable) =
                committed.fetch_watermarks(topic, *partition, settings.call_timeout).map_err(failed)?;
            if stable >= end {
                break;
            }
            if super::now() > until {
                return Err(LogError::Retry(format!(
                    "a transaction on partition {partition} of {topic} stays open at offset {stable}, and what is behind it \
                     can't be read: `kafka-transactions.sh find-hanging` shows whose it is"
                )));
            }
            std::thread::sleep(WAIT);
        }
    }
    Ok(())
}

fn read(
    settings: &KafkaSettings,
    topic: &str,
    choose: impl Fn(i32) -> BTreeSet<i32>,
    each: &mut dyn FnMut(Record),
) -> Result<(), LogError> {
    settings.check()?;
    let consumer: BaseConsumer<ReaderContext> = settings
        .view_reader()
        .create_with_context(ReaderContext::default())
        .map_err(|error| super::setup(&error, "the reader"))?;
    let count = super::partitions_of(&consumer, topic, settings.servers(), settings.call_timeout)?;
    let mut open = choose(count);
    let mut list = TopicPartitionList::new();
    let failed = |error: KafkaError| LogError::Fatal(format!("reading {topic}: {error}"));
    wait_out_transactions(settings, &consumer, topic, &open)?;
    for partition in &open {
        list.add_partition_offset(topic, *partition, Offset::Beginning).map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    let name: std::sync::Arc<str> = topic.into();
    let mut idle = 0;
    while !open.is_empty() {
        match consumer.poll(WAIT) {
            None => {
                idle += 1;
                if idle > LOOKS {
                    return Err(LogError::Retry(format!(
                        "{topic}: the brokers stopped answering; try again"
                    )));
                }
            }
            Some(Ok(record)) => {
                idle = 0;
                let headers = record.headers().map(|headers| {
                    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
                        (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
                    };
                    headers.iter().map(header).collect()
                });
                each(Record {
                    topic: name.clone(),
                    partition: record.partition(),
                    offset: record.offset(),
                    key: record.key().map(<[u8]>::to_vec),
                    value: record.payload().map(<[u8]>::to_vec),
                    headers: headers.unwrap_or_default(),
                });
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(failed(error)),
        }
    }
    Ok(())
}
