//! The transactional copy, the limit that Sightline is measured against: plain librdkafka, a thread a partition
//! with a consumer and a producer of its own, the client settings of Sightline's lanes, 100 ms transactions.
//!
//! It looks at nothing that it copies, and allocates nothing for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::util::Timeout;

use crate::broker::{Broker, now};
use crate::bus::{self, Group, Stretch};
use crate::site::PARTITIONS;

/// How long a transaction gathers.
const EVERY: Duration = Duration::from_millis(100);

/// Copies a topic of [`PARTITIONS`] partitions to a new one, as the group `name`.
pub(crate) fn run(broker: &Broker, name: &str, from: &str) -> Stretch {
    let to = format!("{name}.copied");
    bus::make(broker, &to, PARTITIONS);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            let (done, to) = (&done, &to);
            scope.spawn(move || lane(broker, name, from, to, partition, done));
        }
        // However the watch ends, the lanes end too.
        let guard = Ended(&done);
        let stretch =
            Group::new(broker, name, from).measure(&[], |_| {}).unwrap_or_else(|state| panic!("{state}"));
        drop(guard);
        stretch
    })
}

struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn lane(broker: &Broker, group: &str, from: &str, to: &str, partition: i32, done: &AtomicBool) {
    let settings = bus::settings(broker, group, &format!("{group}-{partition}"), from);
    let consumer: BaseConsumer = settings.group_consumer().create().expect("a consumer");
    let producer: ThreadedProducer<DefaultProducerContext> =
        settings.transactional_producer().create().expect("a producer");
    producer.init_transactions(Timeout::Never).expect("transactions");
    // By hand: which thread gets which partition is not what is measured.
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(from, partition, Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("an assignment");
    while !done.load(Ordering::Relaxed) {
        let Some(first) = consumer.poll(EVERY) else { continue };
        let mut message = first.expect("a record");
        let until = now() + EVERY;
        producer.begin_transaction().expect("a transaction");
        let mut next;
        loop {
            bus::send(&producer, to, partition, message.key(), message.payload());
            next = message.offset() + 1;
            match consumer.poll(until.saturating_duration_since(now())) {
                Some(another) => message = another.expect("a record"),
                None => break,
            }
            if now() >= until {
                // It is in hand, so it belongs to this transaction.
                bus::send(&producer, to, partition, message.key(), message.payload());
                next = message.offset() + 1;
                break;
            }
        }
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(from, partition, Offset::Offset(next)).expect("an offset");
        let member = consumer.group_metadata().expect("a group");
        producer.send_offsets_to_transaction(&offsets, &member, Timeout::Never).expect("offsets");
        // As Sightline does, or each commit would take a tenth of a second.
        while producer.in_flight_count() > 0 {
            match producer.flush(Duration::ZERO) {
                Ok(()) | Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
        producer.commit_transaction(Timeout::Never).expect("a commit");
    }
}
