//! The runner on the real Kafka log, on librdkafka's mock, which can be told to answer with errors:
//! lost in the middle of a commit, fenced, queue full; what the runner does about each.
//!
//! The mock proves nothing about transactions: it shows aborted records, and forgets the offsets of
//! transactions. So what is looked at is which records are read again, and the runner's own actions.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use sightline::enrich::Answers;
use sightline::sighting::Timestamp;
use sightline::stage::{Made, Output, State, Step, Stop, Work};
use sightline::stream::kafka::{KafkaLog, KafkaSettings};
use sightline::stream::lane::{Lane, Stepped};
use sightline::stream::log::Tp;
use sightline::stream::runner::{Action, Note, Runner, Settings};
use sightline::stream::view::Views;

use crate::broker::now;

/// Longer than anything takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(90);
const NAME: &str = "mocked";
/// The broker that leads all partitions, and those that coordinate the transactions and the group.
const LEADER: i32 = 1;
const TRANSACTIONS: i32 = 2;
const GROUP: i32 = 3;

/// raw -> out, as it is.
struct Copy;

impl Step for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn inputs(&self) -> Vec<Arc<str>> {
        vec!["raw".into()]
    }

    fn run(&mut self, work: &Work<'_>, _: &mut dyn State, _: &Answers, _: Timestamp) -> Result<Made, Stop> {
        let copied = |record: &sightline::stage::Record| Output {
            topic: "out".into(),
            partition: Some(0),
            key: record.key.clone(),
            value: record.value.clone(),
            headers: Vec::new(),
        };
        Ok(Made { outputs: work.records.iter().map(copied).collect(), counts: Vec::new() })
    }
}

/// A lane on a mock of three brokers, and what it did.
struct Mocked {
    mock: MockCluster<'static, DefaultProducerContext>,
    lane: Lane<KafkaLog>,
    began: Instant,
    done: Vec<Action>,
    stopped: Option<Stop>,
}

impl Mocked {
    /// `count` records in `raw`, of which the group has committed the first `committed`; batches of
    /// `batch`.
    fn new(count: i64, committed: i64, batch: usize, producer: &[(&str, &str)]) -> Self {
        let mock = MockCluster::new(3).unwrap();
        for topic in ["raw", "out"] {
            mock.create_topic(topic, 1, 1).unwrap();
            mock.partition_leader(topic, 0, Some(LEADER)).unwrap();
        }
        mock.coordinator(MockCoordinator::Group(NAME.to_owned()), GROUP).unwrap();
        mock.coordinator(MockCoordinator::Transaction(NAME.to_owned()), TRANSACTIONS).unwrap();
        let servers = mock.bootstrap_servers();
        let reporter: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &servers).set("acks", "all").create().unwrap();
        for n in 0..count {
            reporter.send(BaseRecord::to("raw").partition(0).key("k").payload(&n.to_string())).unwrap();
        }
        reporter.flush(LONG).unwrap();
        // A plain commit is kept; and taken from anybody, as long as nobody has joined.
        let before: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", &servers).set("group.id", NAME).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("raw", 0, Offset::Offset(committed)).unwrap();
        before.commit(&list, CommitMode::Sync).unwrap();

        let client = BTreeMap::from([("bootstrap.servers".to_owned(), servers)]);
        let mut of = KafkaSettings::new(client, NAME, NAME, vec!["raw".into()]);
        of.transaction_timeout = Duration::from_secs(2);
        of.call_timeout = Duration::from_secs(2);
        of.producer = producer.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let partitions = BTreeMap::from([("raw".to_owned(), 1), ("out".to_owned(), 1)]);
        let settings = Settings { records: batch, every: 1_000, ..Settings::default() };
        let runner = Runner::new(Box::new(Copy), settings, Views::InMemory, partitions);
        let lane = Lane::new(runner, KafkaLog::open(&of).unwrap());
        Self { mock, lane, began: now(), done: Vec::new(), stopped: None }
    }

    /// Turns the lane until `enough` says so of it, before its next action.
    #[track_caller]
    fn turn_until(&mut self, what: &str, enough: impl Fn(&Self) -> bool) {
        let until = now() + LONG;
        while !enough(self) {
            assert!(now() < until, "it didn't come to: {what}: {:?} {:?}", self.shown(), self.stopped);
            self.done.extend(self.lane.next_action().cloned());
            let at = Timestamp(i64::try_from(self.began.elapsed().as_millis()).unwrap());
            match self.lane.step(at, 1_000, Duration::from_millis(20)) {
                Stepped::Stop(stop) => self.stopped = Some(stop),
                Stepped::Did | Stepped::Polled(_) | Stepped::Note(_) | Stepped::Ask(_) => {}
            }
        }
    }

    /// Until this commit is next, counted from 0.
    #[track_caller]
    fn turn_to_commit(&mut self, number: usize) {
        self.turn_until("a commit is next", |mocked| {
            mocked.count(|action| *action == Action::Commit) == number
                && mocked.lane.next_action() == Some(&Action::Commit)
        });
    }

    /// Until so many records were committed, all in all.
    #[track_caller]
    fn turn_to_the_end(&mut self, expected: usize) {
        self.turn_until("all is committed", |mocked| mocked.committed() >= expected);
    }

    fn count(&self, which: impl Fn(&Action) -> bool) -> usize {
        self.done.iter().filter(|action| which(action)).count()
    }

    fn committed(&self) -> usize {
        let records = |action: &Action| match action {
            Action::Note(Note::Committed { records, .. }) => *records,
            _ => 0,
        };
        self.done.iter().map(records).sum()
    }

    /// The kinds of what it did, without its writes.
    fn shown(&self) -> Vec<String> {
        let kind = |action: &Action| match action {
            Action::Write(..) => None,
            Action::Seek(_, offset) => Some(format!("Seek({offset})")),
            Action::Note(Note::Committed { .. }) => Some("Committed".to_owned()),
            Action::Note(note) => Some(format!("{note:?}").split(['(', ' ']).next().unwrap().to_owned()),
            action => Some(format!("{action:?}").split(['(', ' ']).next().unwrap().to_owned()),
        };
        self.done.iter().filter_map(kind).collect()
    }

    /// Values of `out`, aborted ones too: the mock knows no difference.
    fn out(&self) -> Vec<i64> {
        let reader: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.mock.bootstrap_servers())
            .set("group.id", "reader")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("out", 0, Offset::Beginning).unwrap();
        reader.assign(&list).unwrap();
        let mut values = Vec::new();
        loop {
            match reader.poll(LONG).expect("the end is reached") {
                Ok(record) => {
                    values.push(std::str::from_utf8(record.payload().unwrap()).unwrap().parse().unwrap());
                }
                Err(KafkaError::PartitionEOF(_)) => return values,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn raw() -> Tp {
    Tp { topic: "raw".into(), partition: 0 }
}

/// Six records, the first two done before; batches of two, of which the second commit is lost as
/// `lose` has it, until `mend`. What the runner remembers is 4, what the log says is 2: it must ask.
#[track_caller]
fn check_lost(lose: impl FnOnce(&Mocked), mend: impl FnOnce(&Mocked)) -> Mocked {
    let mut mocked = Mocked::new(6, 2, 2, &[]);
    mocked.turn_to_commit(1);
    assert_eq!(mocked.committed(), 2);
    lose(&mocked);
    let before = mocked.done.len();
    mocked.turn_until("the outcome is unknown", |mocked| {
        mocked.count(|action| *action == Action::Note(Note::Unknown)) > 0
    });
    assert_eq!(mocked.count(|action| matches!(action, Action::Note(Note::Aborted(_)))), 0);
    mend(&mocked);
    // Two before, and the four that the log says are not done.
    mocked.turn_to_the_end(2 + 4);
    assert_eq!(mocked.stopped, None);
    let after = &mocked.done[before..];
    let place = |which: &Action| {
        after.iter().position(|action| action == which).unwrap_or_else(|| panic!("no {which:?}: {after:?}"))
    };
    let order = [
        place(&Action::Commit),
        place(&Action::Note(Note::Unknown)),
        place(&Action::RebuildProducer),
        place(&Action::StableCommitted(vec![raw()])),
        place(&Action::Seek(raw(), 2)),
        place(&Action::Begin),
    ];
    assert!(order.is_sorted(), "{order:?}: {after:?}");
    let out = mocked.out();
    assert_eq!(out[..2], [2, 3], "{out:?}");
    assert_eq!(out[out.len() - 4..], [2, 3, 4, 5], "nothing is left out, whatever was lost: {out:?}");
    mocked
}

#[test]
fn a_commit_whose_answer_is_lost_is_unknown_and_the_log_is_asked() {
    let lost = [RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT; 1_000];
    let mocked = check_lost(
        |mocked| mocked.mock.request_errors(RDKafkaApiKey::EndTxn, &lost),
        |mocked| mocked.mock.clear_request_errors(RDKafkaApiKey::EndTxn),
    );
    // The lost batch was written once, and only the runner knows that it doesn't count.
    assert_eq!(mocked.out(), [2, 3, 4, 5, 2, 3, 4, 5]);
}

#[test]
fn a_coordinator_that_goes_away_in_the_middle_of_a_commit_is_waited_for() {
    check_lost(
        |mocked| mocked.mock.broker_down(TRANSACTIONS).unwrap(),
        |mocked| mocked.mock.broker_up(TRANSACTIONS).unwrap(),
    );
}

#[test]
fn a_groups_coordinator_that_is_away_takes_the_batch_back_in_time() {
    let mut mocked = Mocked::new(4, 0, 2, &[]);
    mocked.turn_until("the offsets are next", |mocked| {
        matches!(mocked.lane.next_action(), Some(Action::Offsets(_)))
    });
    mocked.mock.broker_down(GROUP).unwrap();
    mocked.turn_until("the batch is taken back", |mocked| {
        mocked.count(|action| matches!(action, Action::Note(Note::Aborted(_)))) > 0
    });
    mocked.mock.broker_up(GROUP).unwrap();
    mocked.turn_to_the_end(4);
    assert_eq!(mocked.stopped, None);
    let out = mocked.out();
    assert_eq!(out[out.len() - 4..], [0, 1, 2, 3], "{out:?}");
}

/// The first commit is refused as that of a producer whose place was taken.
#[track_caller]
fn check_fenced(call: RDKafkaApiKey, code: RDKafkaRespErr) {
    let mut mocked = Mocked::new(4, 0, 2, &[]);
    mocked.mock.request_errors(call, &[code; 100]);
    mocked.turn_until("it stops", |mocked| mocked.stopped.is_some());
    let stop = mocked.stopped.clone().unwrap();
    assert_eq!(stop.code, "fenced", "{stop} {:?}", mocked.shown());
    assert!(stop.text.contains("took our place as `mocked`"), "{stop}");
    assert_eq!(mocked.committed(), 0);
    // Two processes of one name would put each other out for ever.
    assert_eq!(mocked.count(|action| *action == Action::RebuildProducer), 0, "{:?}", mocked.shown());
    mocked.mock.clear_request_errors(call);
    let stopped_after = mocked.done.len();
    let until = now() + Duration::from_secs(1);
    mocked.turn_until("a second has passed", |_| now() >= until);
    assert_eq!(mocked.done.len(), stopped_after, "who was put out does nothing more: {:?}", mocked.shown());
}

#[test]
fn who_is_fenced_at_the_end_of_its_transaction_stops() {
    check_fenced(RDKafkaApiKey::EndTxn, RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    check_fenced(RDKafkaApiKey::EndTxn, RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
}

#[test]
fn who_is_fenced_while_writing_stops() {
    check_fenced(RDKafkaApiKey::AddPartitionsToTxn, RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
    check_fenced(RDKafkaApiKey::AddPartitionsToTxn, RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED);
}

#[test]
fn a_full_queue_is_waited_out() {
    let mut mocked = Mocked::new(400, 0, 200, &[("queue.buffering.max.messages", "7")]);
    mocked.turn_to_the_end(400);
    assert_eq!(mocked.out(), (0..400).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(mocked.count(|action| matches!(action, Action::Note(Note::Aborted(_) | Note::Unknown))), 0);
}

#[test]
fn a_queue_that_stays_full_takes_the_batch_back_and_loses_nothing() {
    let mut mocked = Mocked::new(40, 0, 40, &[("queue.buffering.max.messages", "7")]);
    mocked.turn_until("it is about to write", |mocked| mocked.lane.next_action() == Some(&Action::Begin));
    mocked.mock.broker_down(LEADER).unwrap();
    mocked.turn_until("the batch is taken back", |mocked| {
        mocked.count(|action| matches!(action, Action::Note(Note::Aborted(_)))) > 0
    });
    mocked.mock.broker_up(LEADER).unwrap();
    mocked.turn_to_the_end(40);
    assert_eq!(mocked.stopped, None);
    let out = mocked.out();
    // Those before are of what was taken back.
    let rest: Vec<i64> = out.iter().rev().take(40).rev().copied().collect();
    assert_eq!(rest, (0..40).collect::<Vec<_>>(), "{out:?}");
}
