//! Reading compacted state: committed records of assigned partitions, without a group.
//!
//! One client reads all partitions of a topic that are being restored, so that turning from one to
//! the other throws nothing away. It goes when the last one is done: an idle reader would fetch
//! everything that the lane itself writes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;

use super::class::{self, Names};
use super::context::ReaderContext;
use super::now;
use crate::stream::log::{LogError, ViewRead};

/// How long a call waits for records: the lane polls in between.
const WAIT: Duration = Duration::from_millis(50);
/// Records held back for one partition while another is read; more, and it is paused.
const HELD: usize = 50_000;

type Pair = (Vec<u8>, Option<Vec<u8>>);

/// One partition that is being read.
struct Reading {
    held: VecDeque<(i64, Pair)>,
    /// What was last said to the caller.
    position: i64,
    /// The last stable offset when reading began: the end was reached means at least this.
    stable_end: i64,
    /// The end was reached, and nothing came since. Compaction and aborted transactions can leave
    /// an end that no record ever takes the client's own position to.
    at_end: bool,
    paused: bool,
}

/// Reads the partitions of one topic.
pub(super) struct ViewReader {
    consumer: BaseConsumer<ReaderContext>,
    topic: String,
    parts: BTreeMap<i32, Reading>,
    names: Names,
    timeout: Duration,
}

impl ViewReader {
    pub(super) fn new(
        config: &ClientConfig,
        topic: &str,
        names: Names,
        timeout: Duration,
    ) -> Result<Self, LogError> {
        let consumer = config
            .create_with_context(ReaderContext::default())
            .map_err(|error| super::setup(&error, "the view reader"))?;
        Ok(Self { consumer, topic: topic.to_owned(), parts: BTreeMap::new(), names, timeout })
    }

    /// Reads on. The position is past control records and compacted gaps once the end was reached.
    pub(super) fn read(&mut self, partition: i32, from: i64, max: usize) -> Result<ViewRead, LogError> {
        if self.parts.get(&partition).is_none_or(|part| part.position != from) {
            self.forget(partition)?;
            self.start(partition, from)?;
        }
        self.fill(partition, max.max(1))?;
        let reached = self.reached(partition)?;
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(ViewRead::default()) };
        let taken = part.held.len().min(max.max(1));
        let records = part.held.drain(..taken).map(|(_, pair)| pair).collect();
        part.position = match part.held.front() {
            Some((offset, _)) => *offset,
            None => reached.unwrap_or(part.position).max(part.position),
        };
        Ok(ViewRead { records, position: part.position })
    }

    /// Stops reading a partition; true when none is left.
    pub(super) fn forget(&mut self, partition: i32) -> Result<bool, LogError> {
        if self.parts.remove(&partition).is_some() {
            let list = self.list(partition, Offset::Invalid)?;
            self.consumer.incremental_unassign(&list).map_err(|error| self.failed(&error))?;
        }
        Ok(self.parts.is_empty())
    }

    fn start(&mut self, partition: i32, from: i64) -> Result<(), LogError> {
        // Asked before anything is read: whoever then reaches the end has passed it.
        let (_, stable_end) = self
            .consumer
            .fetch_watermarks(&self.topic, partition, self.timeout)
            .map_err(|error| self.failed(&error))?;
        let list = self.list(partition, Offset::Offset(from))?;
        self.consumer.incremental_assign(&list).map_err(|error| self.failed(&error))?;
        let held = VecDeque::new();
        self.parts
            .insert(partition, Reading { held, position: from, stable_end, at_end: false, paused: false });
        Ok(())
    }

    /// Polls until `partition` has `max` records, is at its end, or the time is over.
    fn fill(&mut self, partition: i32, max: usize) -> Result<(), LogError> {
        let until = now() + WAIT;
        self.unpause(partition)?;
        // The end may have been reached while another partition was read: that is news already.
        if self.parts.get(&partition).is_some_and(|part| part.at_end && part.position < part.stable_end) {
            return Ok(());
        }
        loop {
            if self.parts.get(&partition).is_none_or(|part| part.held.len() >= max) {
                return Ok(());
            }
            let left = until.saturating_duration_since(now());
            match self.consumer.poll(left) {
                None if left.is_zero() => return Ok(()),
                None => {}
                Some(Ok(record)) => {
                    let pair =
                        (record.key().unwrap_or_default().to_vec(), record.payload().map(<[u8]>::to_vec));
                    let (of, offset) = (record.partition(), record.offset());
                    if let Some(part) = self.parts.get_mut(&of) {
                        part.held.push_back((offset, pair));
                        part.at_end = false;
                        if of != partition && part.held.len() >= HELD {
                            part.paused = true;
                            let list = self.list(of, Offset::Invalid)?;
                            self.consumer.pause(&list).map_err(|error| self.failed(&error))?;
                        }
                    }
                }
                Some(Err(KafkaError::PartitionEOF(of))) => {
                    if let Some(part) = self.parts.get_mut(&of) {
                        part.at_end = true;
                    }
                    if of == partition {
                        return Ok(());
                    }
                }
                Some(Err(error)) => {
                    if let Some(error) = class::consumption(&error, &self.names) {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn unpause(&mut self, partition: i32) -> Result<(), LogError> {
        let due = self.parts.get(&partition).is_some_and(|part| part.paused && part.held.len() < HELD / 2);
        if due {
            let list = self.list(partition, Offset::Invalid)?;
            self.consumer.resume(&list).map_err(|error| self.failed(&error))?;
            if let Some(part) = self.parts.get_mut(&partition) {
                part.paused = false;
            }
        }
        Ok(())
    }

    /// How far the client is; none while it has read nothing.
    fn reached(&self, partition: i32) -> Result<Option<i64>, LogError> {
        let list = self.consumer.position().map_err(|error| self.failed(&error))?;
        let position =
            list.find_partition(&self.topic, partition).and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
        match self.parts.get(&partition) {
            Some(part) if part.at_end => Ok(Some(position.unwrap_or(part.position).max(part.stable_end))),
            _ => Ok(position),
        }
    }

    fn list(&self, partition: i32, offset: Offset) -> Result<TopicPartitionList, LogError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, offset).map_err(|error| self.failed(&error))?;
        Ok(list)
    }

    fn failed(&self, error: &KafkaError) -> LogError {
        let what = format!("cannot read the state in topic `{}`", self.topic);
        class::lookup(&what, error.rdkafka_error_code(), error, &self.names)
    }
}
