//! The runner alone, with two small stages that use all of it: keyed state, timers, questions and
//! a sweep. What it checks is bookkeeping: each raw record is counted once, each key's timer rings as
//! often as it should, each key is swept once, and the state on the topic is the state that was
//! committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use sightline::enrich::{Answer, Answers, Question};
use sightline::sighting::{Pap, Timestamp};
use sightline::stage::{Count, Made, Output, State, Step, Stop, Work};
use sightline::stream::embedded::Cluster;

use crate::world::{Stage, Tally, Way, World};

const PARTITIONS: i32 = 3;
/// How often each key's timer rings, all in all: most batches of it have no input.
const RINGS: u64 = 6;

/// raw -> keyed.
struct Split;

impl Step for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn inputs(&self) -> Vec<Arc<str>> {
        vec!["raw".into()]
    }

    fn run(&mut self, work: &Work<'_>, _: &mut dyn State, _: &Answers, _: Timestamp) -> Result<Made, Stop> {
        let outputs = work
            .records
            .iter()
            .map(|record| {
                let value = record.value.clone().expect("the test writes values");
                Output {
                    topic: "keyed".into(),
                    partition: None,
                    key: Some(value[..1].to_vec()),
                    value: Some(value),
                    headers: Vec::new(),
                }
            })
            .collect();
        Ok(Made { outputs, counts: vec![Count { what: "records", label: String::new(), n: 1 }] })
    }
}

/// keyed -> out; its state is, a key: how many records, whether the timer rings at a time, whether
/// the question was answered, whether it was swept.
struct Tallying;

#[derive(Debug, Default, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Kept {
    n: u64,
    ring_at: Option<i64>,
    rung: u64,
    answered: bool,
    ask_at: Option<i64>,
    swept: u64,
}

const SWEEP: &[u8] = b"\0sweep";

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Sweep {
    cursor: Option<Vec<u8>>,
}

fn kept(state: &dyn State, key: &[u8]) -> Kept {
    state.get(key).map(|bytes| serde_json::from_slice(&bytes).expect("our own")).unwrap_or_default()
}

fn question(key: &[u8]) -> Question {
    Question { source: "toy".into(), text: String::from_utf8_lossy(key).into_owned(), pap: Pap::Green }
}

impl Step for Tallying {
    fn name(&self) -> &'static str {
        "tallying"
    }

    fn inputs(&self) -> Vec<Arc<str>> {
        vec!["keyed".into()]
    }

    fn state_topic(&self) -> Option<Arc<str>> {
        Some("state".into())
    }

    fn questions(&self, work: &Work<'_>, state: &dyn State, _: &Answers, _: Timestamp) -> Vec<Question> {
        let keys = work
            .records
            .iter()
            .filter_map(|record| record.key.as_deref())
            .chain(work.due.iter().map(Vec::as_slice));
        keys.filter(|key| *key != SWEEP && !kept(state, key).answered).map(question).collect()
    }

    fn run(
        &mut self,
        work: &Work<'_>,
        state: &mut dyn State,
        answers: &Answers,
        now: Timestamp,
    ) -> Result<Made, Stop> {
        let mut made = Made::default();
        let mut touched: BTreeMap<Vec<u8>, Kept> = BTreeMap::new();
        for record in work.records {
            let key = record.key.clone().expect("keyed");
            let entry = touched.entry(key.clone()).or_insert_with(|| kept(state, &key));
            entry.n += 1;
            if entry.n == 1 {
                entry.ring_at = Some(now.0 + 200);
            }
        }
        for key in work.due {
            let entry = touched.entry(key.clone()).or_insert_with(|| kept(state, key));
            if entry.ring_at.is_some_and(|at| at <= now.0) {
                entry.rung += 1;
                entry.ring_at = (entry.rung < RINGS).then_some(now.0 + 200);
                let out = Output {
                    topic: "rings".into(),
                    partition: Some(work.partition),
                    key: Some(key.clone()),
                    value: None,
                    headers: Vec::new(),
                };
                made.outputs.push(out);
            }
        }
        let sweep: Sweep = state
            .get(SWEEP)
            .map(|bytes| serde_json::from_slice(&bytes).expect("our own"))
            .unwrap_or(Sweep { cursor: Some(Vec::new()) });
        if let Some(cursor) = sweep.cursor {
            let (keys, next) = state.scan(&cursor, work.sweep);
            for key in keys.iter().filter(|key| *key != SWEEP) {
                touched.entry(key.clone()).or_insert_with(|| kept(state, key)).swept += 1;
            }
            // Not before everything is there: the test wants each key swept once.
            if touched.len() + keys.len() > 0 || next.is_none() {
                state.put(SWEEP, Some(serde_json::to_vec(&Sweep { cursor: next }).expect("plain")));
            }
        }
        for (key, mut entry) in touched {
            if !entry.answered {
                entry.answered = matches!(answers.get(&question(&key)), Some(Answer::Found(_)));
                entry.ask_at = (!entry.answered).then_some(now.0 + 100);
            }
            let value = serde_json::to_vec(&entry).expect("plain");
            made.outputs.push(Output {
                topic: "out".into(),
                partition: Some(work.partition),
                key: Some(key.clone()),
                value: Some(value.clone()),
                headers: Vec::new(),
            });
            state.put(&key, Some(value));
        }
        Ok(made)
    }

    fn wake_at(&self, key: &[u8], value: &[u8]) -> Option<Timestamp> {
        if key == SWEEP {
            return None;
        }
        let kept: Kept = serde_json::from_slice(value).expect("our own");
        kept.ring_at.into_iter().chain(kept.ask_at.filter(|_| !kept.answered)).min().map(Timestamp)
    }

    fn has_idle_work(&self, state: &dyn State) -> bool {
        match state.get(SWEEP) {
            Some(bytes) => serde_json::from_slice::<Sweep>(&bytes).expect("our own").cursor.is_some(),
            None => !state.scan(&[], 1).0.is_empty(),
        }
    }
}

/// Runs one seed; panics when the books don't balance.
pub(crate) fn run(seed: u64, way: &Way) -> Tally {
    let mut rng = Pcg64::seed_from_u64(seed);
    let cluster = Cluster::new(true);
    let mut partitions = BTreeMap::new();
    for topic in ["raw", "keyed", "state", "out", "rings"] {
        cluster.create_topic(topic, PARTITIONS);
        partitions.insert(topic.to_owned(), PARTITIONS);
    }
    let stages = vec![
        Stage { group: "split", make: Box::new(|| Box::new(Split)) },
        Stage { group: "tallying", make: Box::new(|| Box::new(Tallying)) },
    ];
    let n = rng.random_range(10..60);
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let plan: Vec<(i32, String)> = (0..n)
        .map(|i| {
            let key = char::from(b'a' + rng.random_range(0..12));
            *expected.entry(key.to_string()).or_default() += 1;
            (rng.random_range(0..PARTITIONS), format!("{key}{i}"))
        })
        .collect();
    let answerer = Box::new(|question: &Question| Answer::Found(question.text.clone().into_bytes()));
    let mut world =
        World::new(cluster.clone(), rng, Timestamp(1_700_000_000_000), stages, partitions, answerer, way);
    for (partition, value) in plan {
        cluster.append("raw", partition, None, Some(value.as_bytes()), &[]);
        for _ in 0..40 {
            world.step(true);
        }
    }
    for _ in 0..1_500 {
        world.step(true);
    }
    world.settle(3_000);

    let mut last: BTreeMap<Vec<u8>, Kept> = BTreeMap::new();
    for record in cluster.committed("out") {
        let entry = serde_json::from_slice(&record.value.expect("written with a value")).expect("our own");
        last.insert(record.key.expect("keyed"), entry);
    }
    let mut state: BTreeMap<Vec<u8>, Kept> = BTreeMap::new();
    for record in cluster.committed("state").into_iter().filter(|record| record.key.as_deref() != Some(SWEEP))
    {
        let entry = serde_json::from_slice(&record.value.expect("written with a value")).expect("our own");
        state.insert(record.key.expect("keyed"), entry);
    }
    assert_eq!(state, last, "the state on its topic is what was last written");
    let name = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    let counted: BTreeMap<String, u64> = last.iter().map(|(key, kept)| (name(key), kept.n)).collect();
    assert_eq!(counted, expected, "each record is counted once");
    for (key, kept) in &last {
        let name = name(key);
        assert_eq!(kept.rung, RINGS, "the timer of {name} rang {} times", kept.rung);
        assert!(kept.answered, "{name} never got its answer");
        assert!(kept.swept <= 1, "{name} was swept {} times", kept.swept);
    }
    let mut rings: BTreeMap<String, u64> = BTreeMap::new();
    for record in cluster.committed("rings") {
        *rings.entry(name(&record.key.expect("keyed"))).or_default() += 1;
    }
    assert!(rings.values().all(|n| *n == RINGS), "each ring is written once: {rings:?}");
    world.tally
}
