//! The real binary on a real Kafka where it is hard: over TLS with SCRAM, through restarts of the
//! broker under load, with records of 900 kB, and with a dossier that is as large as any can be.
//!
//! What is compared is the books: each raw record has one outcome, each sighting is folded once, and
//! the ledger, the outbox and the messages agree. Whether the values are right is for `main_job`.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use sightline::dossier::{self, Dossier};
use sightline::sighting::{Indicator, IndicatorType, Pap, Sighting};
use sightline::stage::{Record, assess, partition_of};
use sightline::stream::kafka::admin::{self, TopicSpec};
use sightline::stream::kafka::{KafkaSettings, read_topic};

use crate::broker::{Broker, PASSWORD, USER, now};
use crate::instance::{Instance, LONG, Site};

/// The time that everything works at.
const NOW: &str = "2026-11-05T12:00:00Z";
/// Partitions of each raw topic.
const RAW: i32 = 3;
const REPORTERS: [&str; 4] = ["blackwater-labs", "larkspur", "meridian-dns", "northwind"];

/// A pipeline of a test's own on a broker: its topics and groups have this prefix, its raw topics and
/// audiences are its own because the broker is.
struct Bench<'a> {
    broker: &'a Broker,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl<'a> Bench<'a> {
    /// Raw topics on so many brokers.
    fn new(broker: &'a Broker, replication: i32) -> Self {
        let specs = ["raw.native", "raw.sinkhole", "raw.mail", "raw.honeypot"].map(|name| TopicSpec {
            name: name.to_owned(),
            partitions: RAW,
            replication,
            configs: BTreeMap::from([("max.message.bytes".to_owned(), "1048576".to_owned())]),
        });
        admin::create_topics(&broker.client(), &specs).unwrap();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", broker.bootstrap())
            .set("enable.idempotence", "true")
            .set("message.max.bytes", "1048576")
            .create()
            .unwrap();
        Self { broker, producer }
    }

    fn send(&self, topic: &str, partition: i32, key: &[u8], value: &[u8], headers: OwnedHeaders) {
        let record = BaseRecord::to(topic).partition(partition).key(key).payload(value).headers(headers);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    fn flush(&self) {
        self.producer.flush(LONG).unwrap();
    }

    fn read(&self, topic: &str) -> Vec<Record> {
        let settings = KafkaSettings::new(self.broker.client(), "reader", "", Vec::new());
        let until = now() + LONG * 2;
        let mut records = Vec::new();
        // A broker that is coming back may not answer, or have a transaction of before to end.
        while let Err(error) = read_topic(&settings, topic, |record| records.push(record)) {
            assert!(now() < until, "{error}");
            records.clear();
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Partition and offset of the raw record of each sighting.
    fn sighted(&self) -> Vec<(i32, i64)> {
        let place = |record: &Record| {
            let sighting: Sighting<'_> = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
            (sighting.raw.partition, sighting.raw.offset)
        };
        self.read("sightline.sightings").iter().map(place).collect()
    }

    /// The last of each key.
    fn dossiers(&self) -> BTreeMap<String, Dossier> {
        let mut last = BTreeMap::new();
        for record in self.read("sightline.dossiers") {
            let key = String::from_utf8(record.key.unwrap()).unwrap();
            if key.as_bytes() != assess::SWEEP {
                last.insert(key, dossier::decode(&record.value.unwrap()).unwrap());
            }
        }
        last
    }

    /// How many sightings of each indicator and reporter are folded.
    fn folded(&self) -> BTreeMap<(String, String), u64> {
        let mut folded = BTreeMap::new();
        for (key, dossier) in self.dossiers() {
            for fold in dossier.folds {
                *folded.entry((key.clone(), fold.reporter)).or_default() += fold.count;
            }
        }
        folded
    }

    /// Whether what was decided is entered, and what is entered is told.
    fn told(&self) -> Result<usize, String> {
        let decided = self.read("sightline.disclosures").len();
        let entered = self.read("sightline.ledger").len();
        let written = self.read("sightline.outbox").len();
        let audiences = ["out.hub.v1", "out.th.v1", "out.my.v1", "out.vn.v1", "out.northwind.v1"];
        let told: usize = audiences.iter().map(|topic| self.read(topic).len()).sum();
        let counts = format!("{decided} decided, {entered} entered, {written} written, {told} told");
        let all = [entered, written, told].iter().all(|n| *n == decided);
        if all && decided > 0 { Ok(decided) } else { Err(counts) }
    }
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> Result<(), String>) {
    let until = now() + LONG * 2;
    while let Err(found) = done() {
        assert!(now() < until, "it didn't come to: {what}: {found}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn make_topics(site: &Site) {
    let made = site.sightline(&["topics"], &["--create"]);
    assert!(made.status.success(), "{made:?}");
}

#[track_caller]
fn verify_ledger(site: &Site, entries: usize) {
    let verified = site.sightline(&["ledger", "verify"], &[]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(verified.status.success(), "{text}");
    assert!(text.contains(&format!("{entries} entries, {entries} messages: sound")), "{text}");
}

/// The `n`th raw record, a sighting of one of 300 addresses, whose it is.
fn raw(n: usize) -> (String, (String, String)) {
    let address = format!("198.18.{}.{}", n % 300 / 100, n % 100);
    let reporter = REPORTERS[n / 300 % 4];
    let text = format!(
        r#"{{"indicator":"{address}","role":"c2","observed_at":"2026-11-0{}T0{}:00:00Z","reporter":"{reporter}","claimed_confidence":95,"port":{}}}"#,
        1 + n % 4,
        n % 10,
        443 + n % 5
    );
    (text, (format!("ipv4:{address}"), reporter.to_owned()))
}

/// Sends records `from..to`; the sightings that they are, by indicator and reporter.
fn send(bench: &Bench<'_>, from: usize, to: usize) -> BTreeMap<(String, String), u64> {
    let mut expected = BTreeMap::new();
    for n in from..to {
        let (text, whose) = raw(n);
        *expected.entry(whose).or_default() += 1;
        let partition = i32::try_from(n).unwrap() % RAW;
        bench.send("raw.native", partition, b"k", text.as_bytes(), OwnedHeaders::new());
    }
    bench.flush();
    expected
}

/// Waits until all is through, and compares the books; `meanwhile` is called while it waits.
#[track_caller]
fn wait_for_books(
    bench: &Bench<'_>,
    sent: usize,
    expected: &BTreeMap<(String, String), u64>,
    meanwhile: &mut dyn FnMut(),
) -> usize {
    wait_until("all is folded", || {
        meanwhile();
        let folded: u64 = bench.folded().values().sum();
        if folded >= u64::try_from(sent).unwrap() { Ok(()) } else { Err(format!("{folded} of {sent}")) }
    });
    wait_until("all is told", || {
        meanwhile();
        bench.told().map(|_| ())
    });
    assert_eq!(bench.folded(), *expected, "each sighting is folded once");
    let mut places: Vec<(i32, i64)> = bench.sighted();
    let taken = places.len();
    places.sort_unstable();
    places.dedup();
    assert_eq!((places.len(), taken), (sent, sent), "each raw record has one outcome");
    assert_eq!(bench.read("sightline.dead-letters").len(), 0);
    bench.told().unwrap()
}

/// A site whose clients come over TLS with SCRAM, by the password in its folder.
fn secured_site(broker: &Broker, certificate: &str, password: &str) -> Site {
    let plain = format!(r#"client = {{ "bootstrap.servers" = "{}" }}"#, broker.secured_bootstrap());
    let secured = format!(
        r#"client = {{ "bootstrap.servers" = "{}", "security.protocol" = "SASL_SSL", "sasl.mechanism" = "SCRAM-SHA-512", "sasl.username" = "{USER}", "sasl.password" = "file:password", "ssl.ca.location" = "{certificate}" }}"#,
        broker.secured_bootstrap()
    );
    let site = Site::new(broker.secured_bootstrap(), &[(&plain, &secured)]);
    std::fs::write(site.folder().join("password"), format!("{password}\n")).unwrap();
    site
}

#[test]
fn it_works_over_tls_with_scram_and_says_what_is_wrong_with_a_password_or_a_certificate() {
    let broker = Broker::secured();
    let bench = Bench::new(&broker, 1);
    let certificate = broker.certificate();
    let site = secured_site(&broker, certificate.to_str().unwrap(), PASSWORD);
    make_topics(&site);
    let mut instance = site.run("secured", NOW);
    instance.wait_ready();
    let expected = send(&bench, 0, 600);
    let entries = wait_for_books(&bench, 600, &expected, &mut || ());
    assert!(instance.stop().success(), "{}", instance.said());
    verify_ledger(&site, entries);
    assert!(!instance.said().contains(PASSWORD));

    let wrong = secured_site(&broker, certificate.to_str().unwrap(), "incorrect horse");
    let refused = wrong.sightline(&["topics"], &["--create"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("refuse our credentials"), "{said}");
    let mut instance = wrong.run("wrong-password", NOW);
    let status = instance.ended();
    let said = instance.said();
    assert_eq!(status.code(), Some(1), "{said}");
    let servers = broker.secured_bootstrap();
    assert!(said.contains(&format!("the brokers at {servers} refuse our credentials")), "{said}");
    assert!(said.contains("check the sasl.* properties of kafka.client"), "{said}");
    assert!(!said.contains("incorrect horse"), "{said}");

    // A certificate of somebody else: the broker's would have to be signed by it.
    let other = Broker::secured();
    let stranger = secured_site(&broker, other.certificate().to_str().unwrap(), PASSWORD);
    let refused = stranger.sightline(&["topics"], &["--create"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("no TLS with the brokers"), "{said}");
}

/// An instance as a supervisor keeps it: one whose transaction the brokers ended, because none of them
/// was there before its time was over, leaves, and is started again by the same name.
struct Kept {
    name: &'static str,
    site: Site,
    instance: Instance,
    /// How often it was started again.
    again: u32,
}

impl Kept {
    fn start(name: &'static str, site: Site) -> Self {
        let instance = site.run(name, NOW);
        Self { name, site, instance, again: 0 }
    }

    #[track_caller]
    fn keep(&mut self) {
        if self.instance.has_ended() {
            let said = self.instance.said();
            assert!(said.contains(r#""code":"fenced""#), "it left for another reason: {said}");
            self.again += 1;
            self.instance = self.site.run(self.name, NOW);
        }
    }

    /// Whether it lost a broker. Not each time costs it a transaction: the others take over.
    fn lost_a_broker(&self) -> bool {
        self.again > 0 || self.instance.said().contains("BrokerTransportFailure")
    }
}

#[test]
fn brokers_that_are_killed_under_load_and_come_back_lose_and_double_nothing() {
    const COUNT: usize = 24_000;
    let broker = Broker::three();
    let bench = Bench::new(&broker, 3);
    let copies = [("replication = 1", "replication = 3")];
    let sites = [(); 2].map(|()| Site::new(broker.bootstrap(), &copies));
    make_topics(&sites[0]);
    let [a, b] = sites;
    let mut kept = [Kept::start("a", a), Kept::start("b", b)];
    for one in &mut kept {
        one.instance.wait_ready();
    }
    let mut expected = BTreeMap::new();
    let mut add = |more: BTreeMap<(String, String), u64>| {
        for (whose, n) in more {
            *expected.entry(whose).or_default() += n;
        }
    };
    let folded = || bench.folded().values().sum::<u64>();
    add(send(&bench, 0, COUNT / 3));
    for third in 1..3 {
        let before = folded();
        std::thread::scope(|scope| {
            // Reporters write on, and wait where they must.
            let sent = scope.spawn(|| send(&bench, COUNT / 3 * third, COUNT / 3 * (third + 1)));
            // In the middle of it: some is through, and more is there to be done.
            wait_until("it is at work", || {
                if folded() > before { Ok(()) } else { Err("nothing is assessed".to_owned()) }
            });
            broker.restart(third);
            add(sent.join().unwrap());
        });
        kept.iter_mut().for_each(Kept::keep);
    }
    wait_until("all is folded", || {
        kept.iter_mut().for_each(Kept::keep);
        let folded = folded();
        let said = || kept.iter().map(|one| one.instance.said()).collect::<String>();
        if folded >= u64::try_from(COUNT).unwrap() {
            Ok(())
        } else {
            Err(format!("{folded} of {COUNT}\n{}", said()))
        }
    });
    let entries = wait_for_books(&bench, COUNT, &expected, &mut || kept.iter_mut().for_each(Kept::keep));
    assert!(kept.iter().all(Kept::lost_a_broker), "the restarts were not felt, so nothing was tested");
    for one in &mut kept {
        one.instance.wait_ready();
        assert!(one.instance.stop().success(), "{}", one.instance.said());
    }
    verify_ledger(&kept[0].site, entries);
}

/// Text that doesn't compress, so that it is large on the wire too.
fn noise(bytes: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[usize::try_from(state % 36).unwrap()])
    };
    (0..bytes).map(letter).collect()
}

#[test]
fn records_of_900_kb_go_through_whole() {
    const LARGE: usize = 900_000;
    let broker = Broker::behind(&[], "");
    let bench = Bench::new(&broker, 1);
    let site = Site::new(broker.bootstrap(), &[]);
    make_topics(&site);
    let mut instance = site.run("large", NOW);
    instance.wait_ready();

    // Refused, each for a reason of its own, and kept byte for byte with its key and headers.
    let long_comment = format!(
        r#"{{"indicator":"198.18.4.7","role":"c2","observed_at":"2026-11-01T00:00:00Z","reporter":"northwind","comment":"{}"}}"#,
        noise(LARGE - 120)
    );
    let refused = [noise(LARGE), long_comment];
    let key = noise(1_000);
    for value in &refused {
        let headers = OwnedHeaders::new().insert(Header { key: "seen-by", value: Some(&[0_u8, 0xff]) });
        bench.send("raw.native", 0, key.as_bytes(), value.as_bytes(), headers);
    }
    // Taken: sightings that are long each, and a file of many short ones.
    let one = |n: usize| {
        format!(
            r#"{{"indicator":"198.18.5.{}","role":"c2","observed_at":"2026-11-01T00:00:00Z","reporter":"{}","claimed_confidence":95,"comment":"{}"}}"#,
            n % 109,
            REPORTERS[n / 109],
            noise(4_000)
        )
    };
    let long: Vec<String> = (0..218).map(one).collect();
    let long = format!("[{}]", long.join(","));
    let mut rows = "last_seen,source,activity,dport,proto,sample\n".to_owned();
    let mut n = 0;
    while rows.len() < LARGE {
        rows += &format!(
            "2026-11-01 00:00:00,198.18.{}.{},c2-beacon,443,tcp,{}\n",
            6 + n % 3,
            n % 250,
            noise(20)
        );
        n += 1;
    }
    for value in [&long, &rows] {
        assert!((890_000..960_000).contains(&value.len()), "{}", value.len());
    }
    bench.send("raw.native", 1, b"k", long.as_bytes(), OwnedHeaders::new());
    bench.send("raw.honeypot", 0, b"k", rows.as_bytes(), OwnedHeaders::new());
    bench.flush();

    let sightings = 218 + n;
    wait_until("all has its outcome", || {
        let (dead, taken) = (bench.read("sightline.dead-letters").len(), bench.sighted().len());
        if (dead, taken) == (2, sightings) {
            Ok(())
        } else {
            Err(format!("{dead} dead letters, {taken} of {sightings} sightings\n{}", instance.said()))
        }
    });
    for record in bench.read("sightline.dead-letters") {
        assert!(refused.iter().any(|value| Some(value.as_bytes()) == record.value.as_deref()));
        assert_eq!(record.key.as_deref(), Some(key.as_bytes()));
        assert!(record.headers.contains(&("seen-by".to_owned(), vec![0, 0xff])), "{:?}", record.headers);
    }
    wait_until("all is folded", || {
        let folded: u64 = bench.folded().values().sum();
        let expected = u64::try_from(sightings).unwrap();
        if folded == expected { Ok(()) } else { Err(format!("{folded} of {expected}")) }
    });
    wait_until("all is told", || bench.told().map(|_| ()));
    assert!(instance.stop().success(), "{}", instance.said());
    verify_ledger(&site, bench.told().unwrap());
}

/// The dossier with every cap filled, of an address that a reporter can report, told by the reporters
/// of the pipeline and as many more as there may be.
fn fullest() -> (Dossier, Vec<String>) {
    let mut full = crate::dossier::fullest();
    full.indicator =
        Indicator { kind: IndicatorType::Url, value: format!("http://panel.example/{}", "x".repeat(4_000)) };
    let ours =
        ["blackwater-labs", "larkspur", "meridian-dns", "northwind", "quarrystone", "saltmarsh", "tidewatch"];
    let mut names: Vec<String> = full.folds.iter().map(|fold| fold.reporter.clone()).collect();
    names.dedup();
    let renamed: BTreeMap<String, String> =
        names.iter().cloned().zip(ours.iter().map(|name| (*name).to_owned())).collect();
    let rename = |name: &mut String| {
        if let Some(new) = renamed.get(name) {
            new.clone_into(name);
        }
    };
    for fold in &mut full.folds {
        rename(&mut fold.reporter);
        fold.marking.pap = Pap::Green;
        // A fold with more matters than are kept is nobody's to read.
        fold.matter.overflow = 0;
    }
    full.unkept.iter_mut().for_each(|(name, _)| rename(name));
    full.ids.iter_mut().for_each(|ids| rename(&mut ids.reporter));
    full.folds.sort_by(|a, b| (&a.reporter, a.role, a.marking).cmp(&(&b.reporter, b.role, b.marking)));
    full.unkept.sort();
    full.ids.sort_by(|a, b| (&a.reporter, a.role).cmp(&(&b.reporter, b.role)));
    full.wake_at = None;
    (full, names.split_off(ours.len()))
}

/// What nobody's sighting of `but` may change.
fn of_others(dossier: &Dossier, but: &str) -> (Vec<dossier::Fold>, Vec<dossier::SeenIds>) {
    let folds = dossier.folds.iter().filter(|fold| fold.reporter != but).cloned().collect();
    (folds, dossier.ids.iter().filter(|ids| ids.reporter != but).cloned().collect())
}

fn count(dossier: &Dossier) -> u64 {
    dossier.folds.iter().map(|fold| fold.count).chain(dossier.unkept.iter().map(|(_, n)| *n)).sum()
}

#[test]
fn a_dossier_with_every_cap_full_goes_through_and_comes_back_without_its_disk() {
    // The last of its sightings is of December 2027.
    const NOW: &str = "2027-12-30T00:00:00Z";
    let broker = Broker::behind(&[], "");
    let bench = Bench::new(&broker, 1);
    let (full, more) = fullest();
    let native = r#"reporters = ["blackwater-labs", "larkspur", "meridian-dns", "northwind"]"#;
    let all = format!(
        r#"reporters = ["blackwater-labs", "larkspur", "meridian-dns", "northwind", "{}"]"#,
        more.join("\", \"")
    );
    let anchor = "# --- What is known of it elsewhere";
    let named: String = more
        .iter()
        .enumerate()
        .map(|(n, name)| {
            format!(
                "[[reporter]]\nname = \"{name}\"\norg = \"org:r{n}\"\nreliability = \"b\"\n[reporter.terms]\ntlp = \"GREEN\"\n\
                 pap = \"GREEN\"\nrelease_to = [\"*\"]\npurposes = [\"crime-investigation\", \"crime-prevention\", \
                 \"network-security\", \"threat-analysis\"]\nnotify_affected = \"may\"\n\n"
            )
        })
        .collect();
    let site = Site::new(broker.bootstrap(), &[(native, &all), (anchor, &format!("{named}{anchor}"))]);
    make_topics(&site);
    let key = full.indicator.key();
    let bytes = dossier::encode(&full);
    assert!(bytes.len() > 150_000, "{}", bytes.len());
    bench.send(
        "sightline.dossiers",
        partition_of(key.as_bytes(), 12),
        key.as_bytes(),
        &bytes,
        OwnedHeaders::new(),
    );
    bench.flush();

    let sighting = |day: u32| {
        format!(
            r#"{{"indicator":"{}","role":"c2","observed_at":"2027-12-{day}T00:00:00Z","reporter":"northwind","claimed_confidence":95}}"#,
            full.indicator.value
        )
    };
    let mut told = 0;
    for (n, day) in [(1, 28), (2, 29)] {
        let mut instance = site.run(&format!("full-{n}"), NOW);
        instance.wait_ready();
        bench.send("raw.native", 0, b"k", sighting(day).as_bytes(), OwnedHeaders::new());
        bench.flush();
        wait_until("it is folded", || {
            let now_counted = count(&bench.dossiers()[&key]);
            if now_counted == count(&full) + n {
                Ok(())
            } else {
                Err(format!("{now_counted} of {}\n{}", count(&full) + n, instance.said()))
            }
        });
        wait_until("it is told", || bench.told().map(|_| ()));
        let kept = &bench.dossiers()[&key];
        assert_eq!(of_others(kept, "northwind"), of_others(&full, "northwind"), "nothing else changed");
        let lead: Arc<[u8]> = bench.read("sightline.leads").pop().unwrap().value.unwrap().into();
        let lead: serde_json::Value = serde_json::from_slice(&lead).unwrap();
        assert_eq!(lead["reporters"], 26, "{lead}");
        let now_told = bench.told().unwrap();
        assert!(now_told >= told.max(1), "{now_told}");
        told = now_told;
        assert!(instance.stop().success(), "{}", instance.said());
        assert_eq!(bench.read("sightline.dead-letters").len(), 0);
        // Nothing is lost with the disk.
        std::fs::remove_dir_all(site.folder().join("state")).unwrap();
    }
    verify_ledger(&site, told);
}
