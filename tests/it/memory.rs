//! The whole job in memory, and how what stands on Kafka compares with it.
//!
//! "In memory" is what `sightline enrich` does, for all raw topics at once: the stages of
//! `config::Stages` on `stream::local::Local`, at the same `now`. It is given the raw records as they
//! stand in Kafka, partition for partition, so that even their positions must come out alike.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sightline::config::{self, Loaded, StageName, Stages};
use sightline::dossier;
use sightline::share::{keyed, ledger};
use sightline::sighting::Sighting;
use sightline::stage::{Record, assess};
use sightline::stream::embedded::Cluster;
use sightline::stream::local::Local;
use sightline::stream::runner::Settings;
use sightline::stream::view::Views;

use crate::job::{NOW, RAW, Topics};

/// All stages in memory, on the raw records as they stand in Kafka.
pub(crate) fn in_memory(loaded: &Loaded, raw: &[Record]) -> Topics {
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

pub(crate) fn json(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()
}

pub(crate) fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    let found = record.headers.iter().find(|(held, _)| held == name);
    std::str::from_utf8(&found.unwrap_or_else(|| panic!("no {name}: {record:?}")).1).unwrap()
}

/// The last record of each key.
pub(crate) fn last(records: &[Record]) -> BTreeMap<String, &Record> {
    records
        .iter()
        .map(|record| (String::from_utf8(record.key.clone().unwrap_or_default()).unwrap(), record))
        .collect()
}

/// Compares key by key, so that a difference shows as one key's and not as a page.
#[track_caller]
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(
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
pub(crate) fn bag<'a>(records: &'a [Record], of: impl Fn(&'a Record) -> String) -> BTreeMap<String, usize> {
    let mut bag = BTreeMap::new();
    for record in records {
        *bag.entry(of(record)).or_default() += 1;
    }
    bag
}

/// The value of each lead. What differs legitimately, and nothing else, is left out: how many versions
/// it went through (rule 8: what batching may change).
pub(crate) fn leads(topics: &Topics) -> BTreeMap<String, Value> {
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
pub(crate) fn dossiers(topics: &Topics) -> BTreeMap<String, dossier::Dossier> {
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
pub(crate) fn released(loaded: &Loaded, dossiers: &BTreeMap<String, dossier::Dossier>) -> BTreeSet<String> {
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
pub(crate) fn disclosures(
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
pub(crate) fn check_ledger(loaded: &Loaded, topics: &Topics) -> u64 {
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
pub(crate) fn check_outcomes(topics: &Topics, raw: &[Record]) {
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

/// Compares all that must be as in memory, and gives the number of the ledger's entries.
#[track_caller]
pub(crate) fn check_as_in_memory(loaded: &Loaded, found: &Topics, expected: &Topics, raw: &[Record]) -> u64 {
    for (topic, records) in found {
        eprintln!("{topic}: {} on Kafka, {} in memory", records.len(), expected[topic].len());
    }
    check_outcomes(found, raw);
    let whole = |record: &Record| {
        let text = |bytes: Option<&[u8]>| bytes.map(String::from_utf8_lossy).map(|text| text.into_owned());
        format!("{:?} {:?} {:?}", text(record.key.as_deref()), text(record.value.as_deref()), record.headers)
    };
    for topic in ["sightline.sightings", "sightline.dead-letters"] {
        same(topic, &bag(&found[topic], whole), &bag(&expected[topic], whole));
    }
    let (on_kafka, memory) = (dossiers(found), dossiers(expected));
    same("dossiers", &on_kafka, &memory);
    same("leads", &leads(found), &leads(expected));
    same("disclosures", &disclosures(loaded, found, &on_kafka), &disclosures(loaded, expected, &memory));
    for agreement in &loaded.checked.agreements {
        assert!(!found[&agreement.topic].is_empty(), "{} was told nothing", agreement.id);
    }
    let entries = check_ledger(loaded, found);
    check_ledger(loaded, expected);
    entries
}
