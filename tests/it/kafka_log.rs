//! The log on a real Kafka: what the runner relies on, one promise a test.
//!
//! Nothing here sleeps; what has to be waited for is polled until it is so.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::util::Timeout;
use sightline::stage::{Output, Record, partition_of};
use sightline::stream::kafka::admin::{self, TopicSpec};
use sightline::stream::kafka::{KafkaLog, KafkaSettings};
use sightline::stream::log::{Commit, Log, LogError, Polled, Tp};

use crate::broker::{Broker, now};

/// Longer than anything takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn settings(broker: &Broker, name: &str, inputs: &[&Arc<str>]) -> KafkaSettings {
    let inputs = inputs.iter().map(|topic| (*topic).clone()).collect();
    let mut settings = KafkaSettings::new(broker.client(), name, name, inputs);
    for (key, value) in [("heartbeat.interval.ms", "100"), ("session.timeout.ms", "6000")] {
        settings.consumer.insert(key.to_owned(), value.to_owned());
    }
    settings
}

fn open(settings: &KafkaSettings) -> KafkaLog {
    KafkaLog::open(settings).unwrap()
}

fn tp(topic: &Arc<str>, partition: i32) -> Tp {
    Tp { topic: topic.clone(), partition }
}

fn output(topic: &Arc<str>, value: &str) -> Output {
    Output {
        topic: topic.clone(),
        partition: None,
        key: Some(b"key".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: vec![("h".to_owned(), b"1".to_vec())],
    }
}

/// Polls until `enough` says so of everything that came.
#[track_caller]
fn poll_until(log: &mut KafkaLog, enough: impl Fn(&[Polled]) -> bool) -> Vec<Polled> {
    let until = now() + LONG;
    let mut all = Vec::new();
    while !enough(&all) {
        assert!(now() < until, "it didn't come: {all:?}");
        all.extend(log.poll(100, Duration::from_millis(50)).unwrap());
    }
    all
}

fn assigned(polled: &[Polled]) -> Vec<Tp> {
    let lists =
        polled.iter().filter_map(|polled| if let Polled::Assigned(tps) = polled { Some(tps) } else { None });
    lists.flatten().cloned().collect()
}

fn records(polled: &[Polled]) -> Vec<&Record> {
    polled
        .iter()
        .filter_map(|polled| if let Polled::Record(record) = polled { Some(record) } else { None })
        .collect()
}

/// Joins the group with `n` partitions and reads on from what is committed, as the runner does.
#[track_caller]
fn join(log: &mut KafkaLog, n: usize) -> Vec<(Tp, i64)> {
    let polled = poll_until(log, |polled| assigned(polled).len() >= n);
    assert!(records(&polled).is_empty(), "assigned partitions start paused");
    let partitions = assigned(&polled);
    let offsets = log.stable_committed(&partitions).unwrap();
    for (partition, offset) in &offsets {
        log.seek(partition, *offset).unwrap();
    }
    log.resume(&partitions).unwrap();
    offsets
}

#[track_caller]
fn values(log: &mut KafkaLog, n: usize) -> Vec<String> {
    let polled = poll_until(log, |polled| records(polled).len() >= n);
    records(&polled).iter().map(|record| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect()
}

/// Ends what is open, however the member stands.
fn is_abort(result: &Result<(), LogError>) -> bool {
    matches!(result, Err(LogError::Abort(_)))
}

#[test]
fn a_commit_is_there_whole_and_an_abort_not_at_all() {
    let broker = Broker::start();
    let (input, out) = (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("out", 2, &[]));
    let mut log = open(&settings(broker, &broker.fresh_name("commit"), &[&input]));
    join(&mut log, 1);

    log.begin().unwrap();
    log.write(&output(&out, "aborted"), 0).unwrap();
    log.write(&output(&out, "aborted"), 1).unwrap();
    log.abort().unwrap();
    log.abort().unwrap();

    log.begin().unwrap();
    log.write(&output(&out, "one"), 0).unwrap();
    log.write(&output(&out, "two"), 1).unwrap();
    log.write(&Output { value: None, ..output(&out, "") }, 1).unwrap();
    log.offsets(&[(tp(&input, 0), 0)]).unwrap();
    assert_eq!(log.commit().unwrap(), Commit::Committed);

    assert_eq!(broker.read_committed(&out, 0), ["one"]);
    assert_eq!(broker.read_committed(&out, 1), ["two", ""]);
}

#[test]
fn offsets_are_committed_with_the_transaction_and_only_with_it() {
    let broker = Broker::start();
    let input = broker.fresh_topic("raw", 1, &[]);
    broker.produce(&input, 0, &[("a", "1"), ("b", "2"), ("c", "3")]);
    let of = settings(broker, &broker.fresh_name("offsets"), &[&input]);
    let mut log = open(&of);
    assert_eq!(join(&mut log, 1), [(tp(&input, 0), 0)], "never committed: the start");
    assert_eq!(values(&mut log, 3), ["1", "2", "3"]);

    log.begin().unwrap();
    log.offsets(&[(tp(&input, 0), 3)]).unwrap();
    log.abort().unwrap();
    assert_eq!(log.stable_committed(&[tp(&input, 0)]).unwrap(), [(tp(&input, 0), 0)]);

    log.begin().unwrap();
    log.offsets(&[(tp(&input, 0), 2)]).unwrap();
    assert_eq!(log.commit().unwrap(), Commit::Committed);
    assert_eq!(log.stats().partitions()[0].1.committed, Some(2));
    drop(log);

    let mut successor = open(&of);
    assert_eq!(join(&mut successor, 1), [(tp(&input, 0), 2)]);
    assert_eq!(values(&mut successor, 1), ["3"]);
}

#[test]
fn committed_offsets_are_waited_for_while_a_transaction_has_some_pending() {
    let broker = Broker::start();
    let input = broker.fresh_topic("raw", 1, &[]);
    let mut of = settings(broker, &broker.fresh_name("stable"), &[&input]);
    of.call_timeout = Duration::from_secs(2);
    let mut log = open(&of);
    join(&mut log, 1);
    log.begin().unwrap();
    log.offsets(&[(tp(&input, 0), 0)]).unwrap();
    let pending = log.stable_committed(&[tp(&input, 0)]);
    assert!(matches!(pending, Err(LogError::Retry(_))), "{pending:?}");
    assert_eq!(log.commit().unwrap(), Commit::Committed);
    assert_eq!(log.stable_committed(&[tp(&input, 0)]).unwrap(), [(tp(&input, 0), 0)]);
}

#[test]
fn the_end_of_a_view_is_beyond_the_last_stable_offset_and_reading_stops_before_it() {
    let broker = Broker::start();
    let (input, state) =
        (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("state", 1, &[("cleanup.policy", "compact")]));
    let mut log = open(&settings(broker, &broker.fresh_name("view"), &[&input]));
    join(&mut log, 1);
    let state_tp = tp(&state, 0);
    assert_eq!(log.view_bounds(&state_tp).unwrap(), (0, 0));

    log.begin().unwrap();
    log.write(&output(&state, "v1"), 0).unwrap();
    let until = now() + LONG;
    while log.view_bounds(&state_tp).unwrap() != (0, 1) {
        assert!(now() < until);
    }
    let read = log.read_view(&state_tp, 0, 10).unwrap();
    assert_eq!((read.records.len(), read.position), (0, 0), "nothing that is not committed");

    log.offsets(&[(tp(&input, 0), 0)]).unwrap();
    assert_eq!(log.commit().unwrap(), Commit::Committed);
    // A second one that aborts: its record and its marker are passed in silence.
    log.begin().unwrap();
    log.write(&output(&state, "v2"), 0).unwrap();
    log.write(&output(&state, "v3"), 0).unwrap();
    while log.view_bounds(&state_tp).unwrap().1 < 4 {
        assert!(now() < until);
    }
    log.abort().unwrap();

    // Three records and two markers. The broker answers before it has written the marker.
    let end = 5;
    while log.view_bounds(&state_tp).unwrap() != (0, end) {
        assert!(now() < until);
    }
    let mut found = Vec::new();
    let mut position = 0;
    while position < end {
        assert!(now() < until, "position stays at {position}");
        let read = log.read_view(&state_tp, position, 10).unwrap();
        found.extend(read.records);
        position = read.position;
    }
    assert_eq!(found, [(b"key".to_vec(), Some(b"v1".to_vec()))]);
    assert_eq!(position, end);
}

#[test]
fn several_views_are_read_in_turns_and_each_whole() {
    let broker = Broker::start();
    let (input, state) = (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("state", 3, &[]));
    for partition in 0..3 {
        let values: Vec<String> = (0..500).map(|n| format!("{partition}:{n}")).collect();
        let pairs: Vec<(&str, &str)> = values.iter().map(|value| (&**value, &**value)).collect();
        broker.produce(&state, partition, &pairs);
    }
    let mut log = open(&settings(broker, &broker.fresh_name("views"), &[&input]));
    let mut parts: Vec<(Tp, i64, usize)> = (0..3).map(|partition| (tp(&state, partition), 0, 0)).collect();
    for (part, _, _) in &parts {
        assert_eq!(log.view_bounds(part).unwrap(), (0, 500));
    }
    let until = now() + LONG;
    while parts.iter().any(|(_, position, _)| *position < 500) {
        assert!(now() < until, "{parts:?}");
        for (part, position, n) in parts.iter_mut().filter(|(_, position, _)| *position < 500) {
            let read = log.read_view(part, *position, 70).unwrap();
            assert!(read.records.len() <= 70);
            for (_, value) in &read.records {
                assert_eq!(value.as_deref(), Some(format!("{}:{n}", part.partition).as_bytes()));
                *n += 1;
            }
            *position = read.position;
        }
    }
    // From the middle, once more.
    let read = log.read_view(&parts[1].0, 498, 70).unwrap();
    assert_eq!(read.records.len(), 2);
}

#[test]
fn a_producer_whose_id_was_taken_over_is_fenced() {
    let broker = Broker::start();
    let (input, out) = (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("out", 1, &[]));
    let of = settings(broker, &broker.fresh_name("fenced"), &[&input]);
    let mut old = open(&of);
    join(&mut old, 1);
    old.begin().unwrap();
    old.write(&output(&out, "old"), 0).unwrap();
    let mut new = open(&of);
    let ended = old.commit();
    assert!(matches!(ended, Err(LogError::Fenced(_))), "{ended:?}");
    let polled = old.poll(1, Duration::ZERO);
    assert!(matches!(polled, Err(LogError::Fenced(_))), "polling says so too: {polled:?}");
    drop(old);
    join(&mut new, 1);
    new.begin().unwrap();
    new.write(&output(&out, "new"), 0).unwrap();
    new.offsets(&[(tp(&input, 0), 0)]).unwrap();
    assert_eq!(new.commit().unwrap(), Commit::Committed);
    assert_eq!(broker.read_committed(&out, 0), ["new"]);
}

#[test]
fn what_a_predecessor_left_open_is_ended_before_the_successor_reads() {
    let broker = Broker::start();
    let (input, state) = (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("state", 1, &[]));
    let of = settings(broker, &broker.fresh_name("left"), &[&input]);
    let mut dead = open(&of);
    join(&mut dead, 1);
    let state_tp = tp(&state, 0);
    dead.begin().unwrap();
    dead.write(&output(&state, "half"), 0).unwrap();
    let until = now() + LONG;
    while dead.view_bounds(&state_tp).unwrap().1 < 1 {
        assert!(now() < until);
    }
    // Dropping neither commits nor aborts: to the broker it looks like a crash.
    drop(dead);
    let started = now();
    let mut log = open(&of);
    let (_, end) = log.view_bounds(&state_tp).unwrap();
    assert_eq!(end, 2, "the record and the marker of its abort");
    let mut position = 0;
    while position < end {
        assert!(now() < until, "the last stable offset is stuck");
        let read = log.read_view(&state_tp, position, 10).unwrap();
        assert!(read.records.is_empty());
        position = read.position;
    }
    assert!(started.elapsed() < of.transaction_timeout, "it didn't wait for the time-out");
}

#[test]
fn a_member_that_the_group_left_behind_commits_nothing() {
    let broker = Broker::start();
    let (input, out) = (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("out", 1, &[]));
    broker.produce(&input, 0, &[("a", "1")]);
    let group = broker.fresh_name("zombie");
    let mut of = settings(broker, &group, &[&input]);
    of.consumer.insert("session.timeout.ms".to_owned(), "1000".to_owned());
    of.consumer.insert("max.poll.interval.ms".to_owned(), "1000".to_owned());
    let mut zombie = open(&of);
    join(&mut zombie, 1);
    assert_eq!(values(&mut zombie, 1), ["1"]);
    zombie.begin().unwrap();
    zombie.write(&output(&out, "zombie"), 0).unwrap();
    // It polls no more. The group gives its partition away.
    let mut heir = open(&KafkaSettings {
        transactional_id: format!("{group}-heir"),
        ..settings(broker, &group, &[&input])
    });
    assert_eq!(join(&mut heir, 1), [(tp(&input, 0), 0)]);
    assert_eq!(values(&mut heir, 1), ["1"]);

    let refused = zombie.offsets(&[(tp(&input, 0), 1)]);
    assert!(is_abort(&refused), "{refused:?}");
    zombie.abort().unwrap();

    heir.begin().unwrap();
    heir.write(&output(&out, "heir"), 0).unwrap();
    heir.offsets(&[(tp(&input, 0), 1)]).unwrap();
    assert_eq!(heir.commit().unwrap(), Commit::Committed);
    assert_eq!(broker.read_committed(&out, 0), ["heir"]);

    let polled = poll_until(&mut zombie, |polled| !polled.is_empty());
    assert!(matches!(&polled[0], Polled::Lost(tps) if *tps == [tp(&input, 0)]), "{polled:?}");
}

#[test]
fn a_static_member_whose_name_was_taken_over_is_put_out() {
    let broker = Broker::start();
    let input = broker.fresh_topic("raw", 1, &[]);
    let group = broker.fresh_name("static");
    let mut of = settings(broker, &group, &[&input]);
    of.instance_id = Some("pod-0".to_owned());
    let mut old = open(&of);
    join(&mut old, 1);
    let mut new = open(&KafkaSettings { transactional_id: format!("{group}-new"), ..of });
    join(&mut new, 1);
    old.begin().unwrap();
    let refused = old.offsets(&[(tp(&input, 0), 0)]);
    assert!(is_abort(&refused), "{refused:?}");
    old.abort().unwrap();
    let until = now() + LONG;
    let error = loop {
        assert!(now() < until, "it was never told");
        if let Err(error) = old.poll(10, Duration::from_millis(50)) {
            break error;
        }
    };
    assert!(matches!(error, LogError::Fenced(_)), "{error:?}");
}

#[test]
fn a_rebalance_takes_only_what_moves_and_is_told_in_order() {
    let broker = Broker::start();
    let input = broker.fresh_topic("raw", 2, &[]);
    let group = broker.fresh_name("rebalance");
    let mut first = open(&settings(broker, &group, &[&input]));
    join(&mut first, 2);
    let mut second = open(&KafkaSettings {
        transactional_id: format!("{group}-2"),
        ..settings(broker, &group, &[&input])
    });

    // Both poll, as two lanes do.
    let until = now() + LONG;
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    while assigned(&of_second).is_empty() {
        assert!(now() < until, "{of_first:?} {of_second:?}");
        of_first.extend(first.poll(10, Duration::from_millis(20)).unwrap());
        of_second.extend(second.poll(10, Duration::from_millis(20)).unwrap());
    }
    let moved = assigned(&of_second);
    assert!(matches!(&*of_first, [Polled::Revoked(tps)] if *tps == moved && tps.len() == 1), "{of_first:?}");

    // What stayed is still usable, in the new generation; what left is not.
    let stayed = tp(&input, 1 - moved[0].partition);
    first.begin().unwrap();
    first.offsets(&[(stayed, 0)]).unwrap();
    assert_eq!(first.commit().unwrap(), Commit::Committed);
    first.begin().unwrap();
    assert!(is_abort(&first.offsets(&[(moved[0].clone(), 0)])));
    first.abort().unwrap();

    drop(second);
    let back = poll_until(&mut first, |polled| !polled.is_empty());
    assert!(matches!(&back[..], [Polled::Assigned(tps)] if *tps == moved), "{back:?}");
}

#[test]
fn seeking_rewinds_and_paused_partitions_are_silent() {
    let broker = Broker::start();
    let input = broker.fresh_topic("raw", 2, &[]);
    broker.produce(&input, 0, &[("a", "1"), ("b", "2"), ("c", "3")]);
    let mut log = open(&settings(broker, &broker.fresh_name("seek"), &[&input]));
    join(&mut log, 2);
    assert_eq!(values(&mut log, 3), ["1", "2", "3"]);
    let zero = tp(&input, 0);
    log.seek(&zero, 1).unwrap();
    assert_eq!(values(&mut log, 2), ["2", "3"]);

    // Rewound while paused, as a brake that stopped the topic meets an abort.
    log.pause(std::slice::from_ref(&zero)).unwrap();
    log.seek(&zero, 0).unwrap();
    broker.produce(&input, 1, &[("x", "other")]);
    assert_eq!(values(&mut log, 1), ["other"], "the paused one gives nothing");
    log.resume(std::slice::from_ref(&zero)).unwrap();
    assert_eq!(values(&mut log, 3), ["1", "2", "3"]);

    // Paused with records fetched that were not polled: none is lost.
    log.seek(&zero, 0).unwrap();
    let polled = poll_one(&mut log);
    log.pause(std::slice::from_ref(&zero)).unwrap();
    log.resume(&[zero]).unwrap();
    let rest = values(&mut log, 2);
    assert_eq!([vec![polled], rest].concat(), ["1", "2", "3"]);
}

#[track_caller]
fn poll_one(log: &mut KafkaLog) -> String {
    let until = now() + LONG;
    loop {
        assert!(now() < until);
        if let [Polled::Record(record)] = &log.poll(1, Duration::from_millis(50)).unwrap()[..] {
            return String::from_utf8(record.value.clone().unwrap()).unwrap();
        }
    }
}

#[test]
fn a_record_comes_as_it_was_written() {
    let broker = Broker::start();
    let input = broker.fresh_topic("raw", 1, &[]);
    let mut log = open(&settings(broker, &broker.fresh_name("whole"), &[&input]));
    join(&mut log, 1);
    let headers = vec![("a".to_owned(), b"1".to_vec()), ("a".to_owned(), vec![0xff, 0])];
    let written = Output {
        topic: input.clone(),
        partition: Some(0),
        key: Some(Vec::new()),
        value: Some(vec![0, 0xff]),
        headers: headers.clone(),
    };
    let without = Output { key: None, value: None, headers: Vec::new(), ..written.clone() };
    log.begin().unwrap();
    log.write(&written, 0).unwrap();
    log.write(&without, 0).unwrap();
    assert_eq!(log.commit().unwrap(), Commit::Committed);
    let polled = poll_until(&mut log, |polled| records(polled).len() == 2);
    let expected = Record {
        topic: input.clone(),
        partition: 0,
        offset: 0,
        key: Some(Vec::new()),
        value: Some(vec![0, 0xff]),
        headers,
    };
    assert_eq!(*records(&polled)[0], expected);
    assert_eq!(
        *records(&polled)[1],
        Record { offset: 1, key: None, value: None, headers: Vec::new(), ..expected }
    );
}

#[test]
fn a_record_too_large_aborts_its_transaction_and_says_why() {
    let broker = Broker::start();
    let (input, small) =
        (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("small", 1, &[("max.message.bytes", "1000")]));
    let mut log = open(&settings(broker, &broker.fresh_name("large"), &[&input]));
    join(&mut log, 1);
    // Refused here.
    log.begin().unwrap();
    let refused = log.write(&output(&small, &"x".repeat(2_000_000)), 0);
    assert!(
        matches!(&refused, Err(LogError::Abort(text)) if text.contains("max.message.bytes")),
        "{refused:?}"
    );
    log.abort().unwrap();
    // Refused by the broker, which is known at the end. It doesn't compress.
    log.begin().unwrap();
    let noise: String =
        (0..5_000_u32).map(|n| char::from(b'!' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 90)).collect();
    log.write(&output(&small, &noise), 0).unwrap();
    assert_eq!(log.commit().unwrap(), Commit::Aborted);
    // And the lane goes on.
    log.begin().unwrap();
    log.write(&output(&small, "fits"), 0).unwrap();
    assert_eq!(log.commit().unwrap(), Commit::Committed);
    assert_eq!(broker.read_committed(&small, 0), ["fits"]);
}

#[test]
fn a_new_producer_goes_on_where_the_old_one_was_dropped() {
    let broker = Broker::start();
    let (input, out) = (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("out", 1, &[]));
    let mut log = open(&settings(broker, &broker.fresh_name("rebuild"), &[&input]));
    join(&mut log, 1);
    log.begin().unwrap();
    log.write(&output(&out, "dropped"), 0).unwrap();
    log.rebuild_producer().unwrap();
    log.begin().unwrap();
    log.write(&output(&out, "kept"), 0).unwrap();
    log.offsets(&[(tp(&input, 0), 0)]).unwrap();
    assert_eq!(log.commit().unwrap(), Commit::Committed);
    assert_eq!(broker.read_committed(&out, 0), ["kept"]);
}

#[test]
fn a_commit_does_not_wait_in_steps_of_a_tenth_of_a_second() {
    let broker = Broker::start();
    let (input, out) = (broker.fresh_topic("raw", 1, &[]), broker.fresh_topic("out", 1, &[]));
    let name = broker.fresh_name("quick");
    let mut log = open(&settings(broker, &name, &[&input]));
    join(&mut log, 1);
    let batch = output(&out, &"x".repeat(300));
    let ours: Vec<Duration> = (0..30)
        .map(|_| {
            let started = now();
            log.begin().unwrap();
            (0..50).for_each(|_| log.write(&batch, 0).unwrap());
            assert_eq!(log.commit().unwrap(), Commit::Committed);
            started.elapsed()
        })
        .collect();

    let naive: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("transactional.id", format!("{name}-naive"))
        .set("linger.ms", "5")
        .create()
        .unwrap();
    naive.init_transactions(Timeout::Never).unwrap();
    let theirs: Vec<Duration> = (0..10)
        .map(|_| {
            let started = now();
            naive.begin_transaction().unwrap();
            for _ in 0..50 {
                naive.send(BaseRecord::to(&out).key("key").payload(batch.value.as_ref().unwrap())).unwrap();
            }
            naive.commit_transaction(Timeout::Never).unwrap();
            started.elapsed()
        })
        .collect();
    // The quickest of each: a busy machine makes any of them slow, and none of them quick.
    let (ours, theirs) = (ours.iter().min().unwrap(), theirs.iter().min().unwrap());
    assert!(*ours * 3 < *theirs, "{ours:?} drained, {theirs:?} not");
}

#[test]
fn a_missing_topic_is_said_with_what_to_do() {
    let broker = Broker::start();
    let input = broker.fresh_topic("raw", 3, &[]);
    let name = broker.fresh_name("missing");
    let expected = "topic `not-there` does not exist: run `sightline topics --pipeline FILE --create`";
    let of = settings(broker, &name, &[&input, &"not-there".into()]);
    assert_eq!(KafkaLog::open(&of).err(), Some(LogError::Fatal(expected.to_owned())));
    let mut of = settings(broker, &name, &[&input]);
    of.outputs = vec!["not-there".into()];
    assert_eq!(KafkaLog::open(&of).err(), Some(LogError::Fatal(expected.to_owned())));

    let mut log = open(&settings(broker, &name, &[&input]));
    assert_eq!(log.partitions(&input).unwrap(), 3);
    assert!(matches!(log.partitions("not-there"), Err(LogError::Fatal(_))));
    assert_eq!(log.cluster().unwrap(), "aW5kaWNhdG9yc2FyZWhlcg");
}

#[test]
fn topics_are_made_once_described_and_compared() {
    let broker = Broker::start();
    let configs = [("cleanup.policy", "compact"), ("max.message.bytes", "2000000")];
    let spec = TopicSpec {
        name: broker.fresh_name("dossiers"),
        partitions: 4,
        replication: -1,
        configs: configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    let client = broker.client();
    assert_eq!(
        admin::create_topics(&client, std::slice::from_ref(&spec)).unwrap(),
        std::slice::from_ref(&spec.name)
    );
    assert_eq!(
        admin::create_topics(&client, std::slice::from_ref(&spec)).unwrap(),
        Vec::<String>::new(),
        "it is there"
    );
    let described = admin::describe_topics(&client, &[&spec.name, "not-there"]).unwrap();
    assert_eq!(described.len(), 1);
    let found = &described[&spec.name];
    assert_eq!((found.partitions, found.replication), (4, 1));
    assert_eq!(found.configs["cleanup.policy"], "compact");
    assert_eq!(admin::compare(&spec, found), Vec::<String>::new());
    let wish = TopicSpec { partitions: 8, ..spec };
    assert_eq!(admin::compare(&wish, found).len(), 1);
    let wrong = TopicSpec { name: broker.fresh_name("wrong"), replication: 9, ..wish };
    let refused = admin::create_topics(&client, &[wrong]);
    assert!(matches!(&refused, Err(LogError::Fatal(text)) if text.contains("wrong-")), "{refused:?}");
}

#[test]
fn keys_go_where_javas_producers_put_them() {
    // What `org.apache.kafka.common.utils.Utils.murmur2` of Kafka 4.3.0 gives: the hash made
    // positive, modulo 12 and 7.
    let of_java: [(&[u8], i32, i32); 14] = [
        (b"", 9, 2),
        (b"a", 4, 5),
        (b"ab", 2, 0),
        (b"abc", 3, 4),
        (b"abcd", 8, 5),
        (b"abcde", 1, 4),
        (b"ipv4 192.0.2.1", 8, 2),
        (b"domain xn--bcher-kva.example", 5, 3),
        (b"url http://a.example/b?c=d", 11, 3),
        (b"21", 0, 3),
        (b"foobar", 6, 0),
        (b"a-little-bit-longer-string", 11, 0),
        ("\u{e9}\u{df}\u{6c34}".as_bytes(), 5, 4),
        (&[0xff, 0x80, 0, 0x7f, 0xfe], 11, 3),
    ];
    for (key, of_12, of_7) in of_java {
        assert_eq!((partition_of(key, 12), partition_of(key, 7)), (of_12, of_7), "{key:?}");
    }
}

/// A lane on librdkafka's mock, which can be told to answer with errors, and in a transaction that
/// holds a record. The mock proves nothing about transactions; only how errors are taken.
#[track_caller]
fn on_the_mock(check: impl FnOnce(&MockCluster<'static, DefaultProducerContext>, &mut KafkaLog, &Tp)) {
    let mock = MockCluster::new(1).unwrap();
    let topic: Arc<str> = "raw".into();
    mock.create_topic(&topic, 1, 1).unwrap();
    let client = [("bootstrap.servers".to_owned(), mock.bootstrap_servers())].into();
    let mut settings = KafkaSettings::new(client, "mocked", "mocked", vec![topic.clone()]);
    settings.call_timeout = Duration::from_secs(2);
    let mut log = open(&settings);
    poll_until(&mut log, |polled| !assigned(polled).is_empty());
    log.begin().unwrap();
    log.write(&output(&topic, "x"), 0).unwrap();
    check(&mock, &mut log, &tp(&topic, 0));
}

#[test]
fn offsets_of_an_old_generation_abort_and_the_lane_goes_on() {
    on_the_mock(|mock, log, input| {
        let old = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION];
        mock.request_errors(RDKafkaApiKey::TxnOffsetCommit, &old);
        let refused = log.offsets(&[(input.clone(), 1)]);
        assert!(is_abort(&refused), "{refused:?}");
        log.abort().unwrap();
        log.begin().unwrap();
        log.offsets(&[(input.clone(), 1)]).unwrap();
        assert_eq!(log.commit().unwrap(), Commit::Committed);
    });
}

#[test]
fn a_missing_permission_is_fatal_and_named() {
    on_the_mock(|mock, log, input| {
        let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED];
        mock.request_errors(RDKafkaApiKey::TxnOffsetCommit, &denied);
        let refused = log.offsets(&[(input.clone(), 1)]);
        assert!(
            matches!(&refused, Err(LogError::Fatal(text)) if text.contains("READ on Group `mocked`")),
            "{refused:?}"
        );
    });
}

#[test]
fn an_end_that_says_fenced_is_fenced() {
    on_the_mock(|mock, log, _| {
        let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH];
        mock.request_errors(RDKafkaApiKey::EndTxn, &fenced);
        let ended = log.commit();
        assert!(matches!(ended, Err(LogError::Fenced(_))), "{ended:?}");
    });
}

#[test]
fn an_end_without_answer_is_unknown_and_a_new_producer_goes_on() {
    let mock = MockCluster::new(1).unwrap();
    let topic: Arc<str> = "raw".into();
    mock.create_topic(&topic, 1, 1).unwrap();
    let client = [("bootstrap.servers".to_owned(), mock.bootstrap_servers())].into();
    let mut settings = KafkaSettings::new(client, "mocked", "mocked", vec![topic.clone()]);
    settings.transaction_timeout = Duration::from_secs(2);
    let mut log = open(&settings);
    log.begin().unwrap();
    log.write(&output(&topic, "x"), 0).unwrap();
    let lost = [RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT; 1_000];
    mock.request_errors(RDKafkaApiKey::EndTxn, &lost);
    assert_eq!(log.commit().unwrap(), Commit::Unknown);
    assert!(is_abort(&log.write(&output(&topic, "y"), 0)), "the old producer is not to be used");
    mock.clear_request_errors(RDKafkaApiKey::EndTxn);
    log.rebuild_producer().unwrap();
    log.begin().unwrap();
    log.write(&output(&topic, "x"), 0).unwrap();
    assert_eq!(log.commit().unwrap(), Commit::Committed);
}
