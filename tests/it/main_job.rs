//! The main job on a real Kafka: the shipped pipeline, real processes of the binary, one killed and
//! one added on the way, and in the topics what the same stages give in memory.
//!
//! "In memory" is what `sightline enrich` does, for all raw topics at once: the stages of
//! `config::Stages` on `stream::local::Local`, at the same `now`. It is given the raw records as they
//! stand in Kafka, partition for partition, so that even their positions must come out alike.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;
use serde_json::Value;
use sightline::config::{self, Loaded, StageName, Stages};
use sightline::diag::Findings;
use sightline::dossier;
use sightline::share::{keyed, ledger};
use sightline::sighting::{Sighting, Timestamp};
use sightline::stage::{Record, assess};
use sightline::stream::embedded::Cluster;
use sightline::stream::kafka::admin::{self, TopicSpec};
use sightline::stream::kafka::{KafkaSettings, read_topic};
use sightline::stream::local::Local;
use sightline::stream::runner::Settings;
use sightline::stream::view::Views;

use crate::broker::{Broker, now};
use crate::instance::{LONG, Site};
use crate::load::{self, Raw};

/// The time that everything works at.
const NOW: &str = "2026-11-05T12:00:00Z";
const COUNT: usize = 20_000;
/// The raw topics, and how many partitions each has here.
const RAW: [(&str, i32); 4] = [("raw.native", 4), ("raw.sinkhole", 3), ("raw.mail", 2), ("raw.honeypot", 1)];

/// The records of all topics of the pipeline, by topic, in order of partition and offset.
type Topics = BTreeMap<String, Vec<Record>>;

fn loaded(path: &Path) -> Loaded {
    let mut findings = Findings::default();
    config::load(path, &|path| std::fs::read(path), &mut findings).unwrap()
}

fn make_raw_topics(broker: &Broker) {
    let specs = RAW.map(|(name, partitions)| TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        configs: BTreeMap::new(),
    });
    admin::create_topics(&broker.client(), &specs).unwrap();
}

/// Writes raw records as reporters do: acknowledged, in order, without transactions.
struct Reporter {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Reporter {
    fn new(broker: &Broker) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap())
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        Self { producer }
    }

    fn send(&self, records: &[Raw]) {
        for record in records {
            let partitions = RAW.iter().find(|(topic, _)| *topic == record.topic).unwrap().1;
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
            let mut sent = BaseRecord::<[u8], [u8]>::to(record.topic)
                .partition(i32::try_from(record.feed).unwrap() % partitions)
                .headers(headers);
            sent.key = record.key.as_deref().map(str::as_bytes);
            sent.payload = record.value.as_deref();
            self.producer.send(sent).map_err(|(error, _)| error).unwrap();
        }
        self.producer.flush(LONG).unwrap();
    }
}

/// What a group has committed of a topic, by partition; pending transactions are waited out.
fn committed(broker: &Broker, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
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
fn taken_in(broker: &Broker) -> i64 {
    RAW.iter()
        .map(|(topic, partitions)| {
            committed(broker, "sightline.intake", topic, *partitions).values().sum::<i64>()
        })
        .sum()
}

fn read(broker: &Broker, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let settings = KafkaSettings::new(broker.client(), "reader", "", Vec::new());
    read_topic(&settings, topic, |record| records.push(record)).unwrap();
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> Result<(), String>) {
    let until = now() + LONG;
    while let Err(found) = done() {
        assert!(now() < until, "it didn't come to: {what}: {found}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until a stage has committed all that is in its input, which no longer grows.
#[track_caller]
fn wait_for_stage(broker: &Broker, stage: &str, topic: &str, partitions: i32) {
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

/// All stages in memory, on the raw records as they stand in Kafka.
fn in_memory(loaded: &Loaded, raw: &[Record]) -> Topics {
    let mut partitions: BTreeMap<String, i32> = config::topics(&loaded.checked)
        .iter()
        .map(|spec| (spec.name.to_string(), spec.partitions.unwrap_or(1)))
        .collect();
    partitions.extend(RAW.map(|(topic, n)| (topic.to_owned(), n)));
    let cluster = Cluster::new(false);
    for (topic, n) in &partitions {
        cluster.create_topic(topic, *n);
    }
    for record in raw {
        let offset = cluster.append(
            &record.topic,
            record.partition,
            record.key.as_deref(),
            record.value.as_deref(),
            &record.headers,
        );
        assert_eq!(offset, record.offset, "a raw record would stand elsewhere in memory");
    }
    let stages = Stages::new(loaded);
    let steps = StageName::ALL.into_iter().map(|stage| stages.step(stage)).collect();
    // As `enrich` has it.
    let settings = Settings { every: 0, records: 5_000, due: 5_000, sweep: 5_000, ..Settings::default() };
    let mut local = Local::new(cluster, steps, &settings, &Views::InMemory, &partitions);
    local.settle(NOW.parse().unwrap(), |_, _| {}).unwrap();
    partitions.keys().map(|topic| (topic.clone(), local.cluster.committed(topic))).collect()
}

fn json(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()
}

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    let found = record.headers.iter().find(|(held, _)| held == name);
    std::str::from_utf8(&found.unwrap_or_else(|| panic!("no {name}: {record:?}")).1).unwrap()
}

/// The last record of each key.
fn last(records: &[Record]) -> BTreeMap<String, &Record> {
    records
        .iter()
        .map(|record| (String::from_utf8(record.key.clone().unwrap_or_default()).unwrap(), record))
        .collect()
}

/// Compares key by key, so that a difference shows as one key's and not as a page.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(
    what: &str,
    kafka: &BTreeMap<String, T>,
    memory: &BTreeMap<String, T>,
) {
    assert!(!memory.is_empty(), "{what}: nothing to compare");
    let differ: Vec<&String> = kafka
        .keys()
        .chain(memory.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|key| kafka.get(*key) != memory.get(*key))
        .collect();
    if let Some(first) = differ.first() {
        panic!(
            "{what}: {} of {} differ, the first: {first}\non Kafka:  {:?}\nin memory: {:?}",
            differ.len(),
            memory.len(),
            kafka.get(*first),
            memory.get(*first)
        );
    }
}

/// Records as a multiset of what `of` says of them.
fn bag<'a>(records: &'a [Record], of: impl Fn(&'a Record) -> String) -> BTreeMap<String, usize> {
    let mut bag = BTreeMap::new();
    for record in records {
        *bag.entry(of(record)).or_default() += 1;
    }
    bag
}

/// The value of each lead. What differs legitimately, and nothing else, is left out: how many versions
/// it went through (rule 8: what batching may change).
fn leads(topics: &Topics) -> BTreeMap<String, Value> {
    let unversioned = |record: &&Record| {
        let mut value = json(record);
        value.as_object_mut().unwrap().remove("version").unwrap();
        value
    };
    last(&topics["sightline.leads"]).iter().map(|(key, record)| (key.clone(), unversioned(record))).collect()
}

/// The dossiers, without the counts of versions, and without what was told before of that which is
/// refused in the end: whether an earlier step told it depends on the batches, and is kept to tell it
/// anew if need be. The cursor of a partition's sweep is no dossier.
fn dossiers(topics: &Topics) -> BTreeMap<String, dossier::Dossier> {
    let decoded = |record: &&Record| {
        let mut dossier = dossier::decode(record.value.as_deref().unwrap()).unwrap();
        for written in &mut dossier.leads {
            written.version = 0;
        }
        for disclosed in &mut dossier.disclosed {
            disclosed.version = disclosed.version.min(1);
            if disclosed.refused.is_some() {
                (disclosed.version, disclosed.digest, disclosed.major) = (0, [0; 16], [0; 16]);
            }
        }
        dossier
    };
    last(&topics["sightline.dossiers"])
        .iter()
        .filter(|(key, _)| key.as_bytes() != assess::SWEEP)
        .map(|(key, record)| (key.clone(), decoded(record)))
        .collect()
}

/// By agreement and id, what is released in the end, as the dossiers say.
fn released(loaded: &Loaded, dossiers: &BTreeMap<String, dossier::Dossier>) -> BTreeSet<String> {
    let key = loaded.checked.key.as_ref().unwrap().reveal();
    let of = |dossier: &dossier::Dossier| -> Vec<String> {
        let indicator = dossier.indicator.key();
        let told = dossier.disclosed.iter().filter(|disclosed| disclosed.refused.is_none());
        told.map(|one| {
            format!("{} {}", one.agreement, keyed::disclosure_id(key, &one.agreement, &indicator, one.role))
        })
        .collect()
    };
    dossiers.values().flat_map(of).collect()
}

/// The last message of each disclosure, by agreement and id, with its headers. Left out: its version,
/// the one that it supersedes, and the salt, which is derived from the version. A disclosure that is
/// refused in the end, because of a later sighting, is left out too: whether the recipient had been
/// told before depends on how many versions the lead went through.
fn disclosures(
    loaded: &Loaded,
    topics: &Topics,
    dossiers: &BTreeMap<String, dossier::Dossier>,
) -> BTreeMap<String, (Value, Vec<(String, Vec<u8>)>)> {
    let released = released(loaded, dossiers);
    let mut all = BTreeMap::new();
    for agreement in &loaded.checked.agreements {
        for (key, record) in last(&topics[&agreement.topic]) {
            assert_eq!(key, header(record, "dx-disclosure-id"));
            let mut value = json(record);
            let message = value.as_object_mut().unwrap();
            message.remove("version").unwrap();
            message.remove("supersedes");
            let headers = record.headers.iter();
            let headers = headers.filter(|(name, _)| name != "dx-version" && name != "dx-salt").cloned();
            all.insert(format!("{} {key}", agreement.id), (value, headers.collect()));
        }
    }
    eprintln!("{} disclosures, of which {} stand", all.len(), released.len());
    all.retain(|key, _| released.contains(key));
    assert!(all.keys().eq(&released), "what is released has its message");
    all
}

/// Nothing of the ledger is compared but what must be so whatever the batches were: that it is sound
/// and complete, and who was told what in the end.
fn check_ledger(loaded: &Loaded, topics: &Topics) -> u64 {
    let entries = &topics["sightline.ledger"];
    let position = |record: &Record| format!("{} {} {}", record.topic, record.partition, record.offset);
    let report =
        ledger::verify(entries.iter().map(|record| {
            (record.key.as_deref().unwrap(), record.value.as_deref().unwrap(), position(record))
        }));
    assert_eq!(report.faults, []);
    let messages: Vec<(&Record, String)> = loaded
        .checked
        .agreements
        .iter()
        .flat_map(|agreement| &topics[&agreement.topic])
        .map(|record| (record, position(record)))
        .collect();
    let messages: Vec<ledger::Message<'_>> = messages
        .iter()
        .map(|(record, position)| ledger::Message {
            topic: &record.topic,
            key: record.key.as_deref().unwrap(),
            headers: &record.headers,
            payload: record.value.as_deref().unwrap(),
            position,
        })
        .collect();
    let count = messages.len();
    assert_eq!(ledger::verify_messages(&report.told, messages), []);
    // Nothing was stopped, so there is one entry, one outbox record and one message for each
    // disclosure that was decided.
    assert_eq!(topics["sightline.disclosures"].len(), entries.len());
    assert_eq!(topics["sightline.outbox"].len(), entries.len());
    assert_eq!(count, entries.len());
    report.entries
}

/// Each raw record has exactly one outcome: all its sightings, or one dead letter.
fn check_outcomes(topics: &Topics, raw: &[Record]) {
    let mut outcomes: BTreeMap<(String, i32, i64), (BTreeSet<u32>, u32, u32)> = BTreeMap::new();
    for record in &topics["sightline.sightings"] {
        let sighting: Sighting<'_> = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let at = (sighting.raw.topic.to_owned(), sighting.raw.partition, sighting.raw.offset);
        let (indexes, sightings, _) = outcomes.entry(at).or_default();
        indexes.insert(sighting.raw.index);
        *sightings += 1;
    }
    for record in &topics["sightline.dead-letters"] {
        let number = |name| header(record, name).parse::<i64>().unwrap();
        let at = (
            header(record, "sightline.error.topic").to_owned(),
            i32::try_from(number("sightline.error.partition")).unwrap(),
            number("sightline.error.offset"),
        );
        outcomes.entry(at).or_default().2 += 1;
    }
    for record in raw {
        let at = (record.topic.to_string(), record.partition, record.offset);
        let (indexes, sightings, dead) = outcomes.remove(&at).unwrap_or_default();
        let n = u32::try_from(indexes.len()).unwrap();
        let whole = n > 0 && dead == 0 && sightings == n && indexes.iter().copied().eq(0..n);
        assert!(
            whole || (n == 0 && dead == 1),
            "{at:?} has {indexes:?}, {sightings} sightings, {dead} dead letters"
        );
    }
    assert!(outcomes.is_empty(), "outcomes of no record: {outcomes:?}");
}

#[test]
fn the_topics_hold_what_enrich_gives_though_one_instance_was_killed_and_one_added() {
    let broker = Broker::start();
    make_raw_topics(broker);
    let sites = [(); 3].map(|()| Site::new(broker.bootstrap(), &[]));
    let made = sites[0].sightline(&["topics"], &["--create"]);
    assert!(made.status.success(), "{made:?}");
    let loaded = loaded(&sites[0].pipeline());
    let records = load::records(20_261_105, COUNT, NOW.parse::<Timestamp>().unwrap());
    let reporter = Reporter::new(broker);

    let began = now();
    let mut a = sites[0].run("a", NOW);
    let mut b = sites[1].run("b", NOW);
    a.wait_ready();
    b.wait_ready();
    // A third is there, and some of it done, when the first is killed in the middle of it.
    let (first, rest) = records.split_at(COUNT / 3);
    let (second, third) = rest.split_at(COUNT / 3);
    reporter.send(first);
    wait_until("a tenth is taken in", || {
        let n = taken_in(broker);
        if n >= i64::try_from(COUNT / 10).unwrap() { Ok(()) } else { Err(format!("{n} records")) }
    });
    for instance in [&a, &b] {
        assert!(instance.metric("sightline_records_consumed_total", "stage=\"assess\"").is_some());
    }
    reporter.send(second);
    a.kill();
    let mut c = sites[2].run("c", NOW);
    c.wait_ready();
    // The rest comes once the new one has its share.
    c.wait_until("it has partitions of assess and intake", |c| {
        ["assess", "intake"].iter().all(|stage| {
            c.metric("sightline_partitions_assigned", &format!("stage=\"{stage}\"")).unwrap_or(0.0) > 0.0
        })
    });
    reporter.send(third);
    wait_until("all is taken in", || {
        let n = taken_in(broker);
        if n == i64::try_from(COUNT).unwrap() { Ok(()) } else { Err(format!("{n} records\n{}", b.said())) }
    });
    let kafka = &loaded.checked.kafka;
    wait_for_stage(broker, "assess", "sightline.sightings", kafka.sightings);
    wait_for_stage(broker, "release", "sightline.disclosures", kafka.disclosures);
    wait_for_stage(broker, "deliver", "sightline.outbox", kafka.disclosures);
    eprintln!("all through after {:?}", began.elapsed());

    for instance in [&b, &c] {
        for stage in ["intake", "assess", "release", "deliver"] {
            let consumed =
                instance.metric("sightline_records_consumed_total", &format!("stage=\"{stage}\"")).unwrap();
            eprintln!("{stage} consumed {consumed}");
        }
        assert!(instance.metric("sightline_records_consumed_total", "stage=\"assess\"").unwrap() > 0.0);
        assert_eq!(instance.metric("sightline_unknown_counts_total", ""), Some(0.0));
        assert_eq!(instance.get("/livez").0, 200);
    }
    assert!(b.stop().success(), "{}", b.said());
    assert!(c.stop().success(), "{}", c.said());

    let raw: Vec<Record> = RAW.iter().flat_map(|(topic, _)| read(broker, topic)).collect();
    assert_eq!(raw.len(), COUNT);
    let expected = in_memory(&loaded, &raw);
    let found: Topics = expected.keys().map(|topic| (topic.clone(), read(broker, topic))).collect();
    for (topic, records) in &found {
        eprintln!("{topic}: {} on Kafka, {} in memory", records.len(), expected[topic].len());
    }

    check_outcomes(&found, &raw);
    let whole = |record: &Record| {
        let text = |bytes: Option<&[u8]>| bytes.map(String::from_utf8_lossy).map(|text| text.into_owned());
        format!("{:?} {:?} {:?}", text(record.key.as_deref()), text(record.value.as_deref()), record.headers)
    };
    for topic in ["sightline.sightings", "sightline.dead-letters"] {
        same(topic, &bag(&found[topic], whole), &bag(&expected[topic], whole));
    }
    let (on_kafka, memory) = (dossiers(&found), dossiers(&expected));
    same("dossiers", &on_kafka, &memory);
    same("leads", &leads(&found), &leads(&expected));
    same("disclosures", &disclosures(&loaded, &found, &on_kafka), &disclosures(&loaded, &expected, &memory));
    for agreement in &loaded.checked.agreements {
        assert!(!found[&agreement.topic].is_empty(), "{} was told nothing", agreement.id);
    }
    let entries = check_ledger(&loaded, &found);
    check_ledger(&loaded, &expected);

    // What the commands say of it.
    let verified = sites[1].sightline(&["ledger", "verify"], &[]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success(), "{text}");
    assert!(text.contains(&format!("{entries} entries, {entries} messages: sound")), "{text}");
    crate::verify::over_topics(&sites[1]).check_sound(entries, entries);
    let explained =
        sites[1].sightline(&["explain", "--kafka", "--for", "dxa-hub-01", "--now", NOW], &["198.51.100[.]0"]);
    let text = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.status.success() && text.contains("for dxa-hub-01"), "{text}");
}

/// The change of a pipeline by which its own topics and groups have another prefix.
fn prefixed(prefix: &str) -> (&'static str, String) {
    let from = r#"prefix = { topics = "sightline.", groups = "sightline.", transactions = "sightline." }"#;
    (from, from.replace("sightline.", prefix))
}

/// Runs until it ends by itself, and says what it said.
#[track_caller]
fn check_refused(site: &Site, expected: &str) {
    let mut instance = site.run("refused", NOW);
    let status = instance.ended();
    let said = instance.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_topic_that_is_missing_or_will_not_do_is_said_and_ends_the_process() {
    let broker = Broker::start();
    make_raw_topics(broker);
    let (from, to) = prefixed("missing.");
    let site = Site::new(broker.bootstrap(), &[(from, &to)]);
    check_refused(&site, "topic `missing.");

    let (from, to) = prefixed("wrong.");
    let site = Site::new(broker.bootstrap(), &[(from, &to)]);
    let spec = TopicSpec {
        name: "wrong.sightings".to_owned(),
        partitions: 5,
        replication: 1,
        configs: BTreeMap::new(),
    };
    admin::create_topics(&broker.client(), &[spec]).unwrap();
    let made = site.sightline(&["topics"], &["--create"]);
    let said = String::from_utf8(made.stderr).unwrap();
    let listed = String::from_utf8(made.stdout).unwrap();
    assert_eq!(made.status.code(), Some(1), "{said}\n{listed}");
    assert!(said.contains("`wrong.sightings` has 5 partitions, the pipeline says 12"), "{said}");
    check_refused(&site, "`wrong.sightings` has 5 partitions, the pipeline says 12");
}

/// Passes a connection on to the broker: who asks it for metadata learns where the broker really is.
fn pass_on(from: TcpStream, to: &str) {
    let to = TcpStream::connect(to).unwrap();
    let pairs = [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)];
    for (mut from, mut to) in pairs {
        std::thread::spawn(move || {
            // A connection that ends in the middle is the client's to mend.
            drop(io::copy(&mut from, &mut to));
            drop(to.shutdown(std::net::Shutdown::Both));
        });
    }
}

#[test]
fn it_waits_for_brokers_that_are_away_and_keeps_its_state_for_itself() {
    let broker = Broker::start();
    make_raw_topics(broker);
    let (from, to) = prefixed("late.");
    assert!(
        Site::new(broker.bootstrap(), &[(from, &to)]).sightline(&["topics"], &["--create"]).status.success()
    );

    // A port that was free a moment ago, on which nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::new(&free.to_string(), &[(from, &to)]);
    let mut instance = site.run("late", NOW);
    instance.wait_for(&format!("cannot reach the brokers at {free}"));
    instance.wait_for("trying again in");
    assert_eq!(instance.get("/livez").0, 200, "a restart would mend nothing");
    assert_eq!(instance.get("/startupz").0, 503);
    assert_eq!(instance.get("/readyz").0, 503);
    check_refused(&site, "another process works in");

    let listener = TcpListener::bind(free).unwrap();
    let bootstrap = broker.bootstrap();
    // It ends with the test binary: there is no end of what may ask.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            pass_on(connection.unwrap(), bootstrap);
        }
    });
    instance.wait_ready();
    assert_eq!(instance.get("/startupz").0, 200);
    assert!(instance.stop().success(), "{}", instance.said());
    assert!(instance.said().contains("\"outcome\":\"clean\""), "{}", instance.said());
}
