//! How long it takes from a reporter's sending to an audience's receiving, at half of what all stages take.
//!
//! One record in a hundred is of an indicator that nobody spoke of before and that passes: its one message tells
//! exactly when it was sent. The rest is the skewed load.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use serde_json::Value;
use sightline::config::Stages;

use crate::NOW;
use crate::broker::{Broker, now};
use crate::bus::{self, Filler};
use crate::fill;
use crate::instance::Instance;
use crate::load::{Load, Mix};
use crate::site::Pipeline;
use crate::table::{Goal, Table, Unit, grouped};

/// Sent at first and not counted.
const WARM: Duration = Duration::from_secs(5);
/// Between two bunches of records.
const TICK: Duration = Duration::from_millis(5);
/// One record in so many tells the time.
const TELLS: u64 = 100;

/// Measures at this rate for so long, adds the row, and says how many messages never came.
pub(crate) fn row(
    broker: &Broker,
    mut instance: Instance,
    pipeline: &Pipeline,
    stages: &Stages,
    (rate, lasts): (f64, Duration),
    table: &mut Table,
) -> usize {
    let told = fill::told(stages, u32::MAX);
    instance.wait_ready();
    let (sent, over) = (Mutex::new(BTreeMap::new()), AtomicBool::new(false));
    let mut waits = std::thread::scope(|scope| {
        let reader = scope.spawn(|| receive(broker, &pipeline.named("out.hub.v1"), &sent, &over));
        send(broker, &pipeline.raw, &told, (rate, WARM + lasts), &sent);
        let group = bus::Group::new(broker, &pipeline.named("intake"), &pipeline.raw);
        let until = now() + Duration::from_secs(60);
        while !group.is_done() && now() < until {
            std::thread::sleep(TICK);
        }
        // What was taken in has time to come out.
        while !sent.lock().expect("nobody panicked").is_empty() && now() < until {
            std::thread::sleep(TICK);
        }
        over.store(true, Ordering::Relaxed);
        reader.join().expect("it reads")
    });
    let status = instance.stop();
    assert!(status.success(), "{status}:\n{}", instance.said());
    let missing = sent.into_inner().expect("nobody panicked").len();
    waits.sort_unstable();
    let at =
        |share: usize| waits.get(waits.len() * share / 1000).copied().unwrap_or(Duration::MAX).as_secs_f64();
    let notes = [format!(
        "at {} /s; p50 {:.2} s, p99.9 {:.2} s; {} messages told, {missing} never came",
        grouped(rate),
        at(500),
        at(999),
        grouped(f64::from(u32::try_from(waits.len()).expect("few")))
    )];
    // What never came took for ever.
    let p99 = if missing > 0 { f64::INFINITY } else { at(990) };
    let goals = (Some(Goal::Most(1.0)), Some(Goal::Most(2.0)));
    table.row("raw to audience at half load, p99", (Unit::Seconds, p99), goals, &notes);
    missing
}

type Sent = Mutex<BTreeMap<String, Option<Instant>>>;

/// Sends at a steady pace; `sent` has the time of each that counts, and none for one that was sent too early.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of records, positive and far below 2^52"
)]
fn send(
    broker: &Broker,
    topic: &str,
    told: &[(String, Vec<u8>)],
    (rate, lasts): (f64, Duration),
    sent: &Sent,
) {
    let (filler, mut load) = (Filler::new(broker), Load::new(7, Mix::Skewed, NOW));
    let (began, mut number, mut fresh) = (now(), 0_u64, told.iter());
    while now() - began < lasts {
        let due = ((now() - began).as_secs_f64() * rate) as u64;
        while number < due {
            let teller = if number.is_multiple_of(TELLS) { fresh.next() } else { None };
            let other;
            let value = if let Some((indicator, record)) = teller {
                let at = now();
                let counts = at - began >= WARM;
                sent.lock().expect("nobody panicked").insert(indicator.clone(), counts.then_some(at));
                record
            } else {
                other = load.next().expect("it has no end");
                &other
            };
            filler.put(
                topic,
                bus::partition_of_raw(usize::try_from(number).expect("a count")),
                None,
                Some(value),
            );
            number += 1;
        }
        std::thread::sleep(TICK);
    }
    filler.end();
}

/// Reads as an audience does, and gives how long each that counts took.
fn receive(broker: &Broker, topic: &str, sent: &Sent, over: &AtomicBool) -> Vec<Duration> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "audience")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    let mut waits = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("a message");
        let at = now();
        let value: Value = serde_json::from_slice(message.payload().expect("a value")).expect("JSON");
        let indicator = value["lead"]["indicator"]["value"].as_str().expect("an indicator");
        if let Some(Some(began)) = sent.lock().expect("nobody panicked").remove(indicator) {
            waits.push(at - began);
        }
    }
    waits
}
