//! The main job on a real Kafka: the shipped pipeline, real processes of the binary, one killed and
//! one added on the way, and in the topics what the same stages give in memory.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};

use sightline::sighting::Timestamp;
use sightline::stage::Record;
use sightline::stream::kafka::admin::{self, TopicSpec};

use crate::broker::{Broker, now};
use crate::instance::Site;
use crate::job::{
    NOW, RAW, Reporter, Topics, loaded, make_raw_topics, read, taken_in, wait_for_stage, wait_until,
};
use crate::load;
use crate::memory::{check_as_in_memory, in_memory};

const COUNT: usize = 20_000;

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
    let entries = check_as_in_memory(&loaded, &found, &expected, &raw);

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
