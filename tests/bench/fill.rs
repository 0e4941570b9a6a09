//! What the topics of a row hold before it is measured, made by the pure stages.
//!
//! Nothing here is measured, but for how fast the broker takes what is made already.

use std::collections::BTreeMap;

use serde_json::Value;
use sightline::config::{StageName, Stages};
use sightline::stage::{Output, partition_of};

use crate::NOW;
use crate::broker::{Broker, now};
use crate::bus::{self, Filler};
use crate::load::{self, Load, Mix, PASSING};
use crate::pure::{Bench, Measured};
use crate::site::{DISCLOSURE_PARTITIONS, PARTITIONS, Pipeline};

/// Records of a batch.
const BATCH: usize = 30_000;

/// What a topic was filled with.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filled {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl Filled {
    fn count(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
    }

    /// How large a record is.
    pub(crate) fn mean(&self) -> u64 {
        self.bytes / self.records.max(1)
    }
}

/// The last lead of each key, without its version.
pub(crate) type Leads = BTreeMap<Vec<u8>, Value>;

/// Records a second that the broker takes from one producer, made before.
#[expect(clippy::cast_precision_loss, reason = "for people to read")]
pub(crate) fn plain_rate(broker: &Broker, topic: &str, records: usize) -> f64 {
    let made: Vec<Vec<u8>> = Load::new(1, Mix::Skewed, NOW).take(records.min(100_000)).collect();
    bus::make(broker, topic, PARTITIONS);
    let filler = Filler::new(broker);
    let began = now();
    for (number, value) in made.iter().cycle().take(records).enumerate() {
        filler.put(topic, bus::partition_of_raw(number), None, Some(value));
    }
    filler.end();
    records as f64 / (now() - began).as_secs_f64()
}

/// Raw records, as reporters send them.
pub(crate) fn raw(broker: &Broker, topic: &str, records: usize) -> Filled {
    bus::make(broker, topic, PARTITIONS);
    let filler = Filler::new(broker);
    let mut filled = Filled::default();
    for (number, value) in Load::new(1, Mix::Skewed, NOW).take(records).enumerate() {
        filler.put(topic, bus::partition_of_raw(number), None, Some(&value));
        filled.count(value.len());
    }
    filler.end();
    filled
}

/// Batches of sightings with their keys, as intake makes them of the load.
struct Sightings {
    intake: Bench,
    load: std::iter::Take<Load>,
}

impl Sightings {
    fn new(stages: &Stages, load: Load, records: usize) -> Self {
        let mut intake = Bench::new(stages, StageName::Intake);
        // A lead names where its raw records lie, so they must lie where `raw` puts them.
        (intake.every, intake.spread) = (0, PARTITIONS);
        Self { intake, load: load.take(records) }
    }
}

impl Iterator for Sightings {
    type Item = Vec<(Option<Vec<u8>>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw: Vec<_> = self.load.by_ref().take(BATCH).map(|value| (None, value)).collect();
        if raw.is_empty() {
            return None;
        }
        let made = self.intake.batch(raw, &mut Measured::default());
        let sighting = |output: Output| (output.key, output.value.expect("no dead letter has none"));
        Some(made.outputs.into_iter().map(sighting).collect())
    }
}

/// Fills a pipeline's topic of sightings; with the final leads of the pure step over them where wanted.
pub(crate) fn sightings(
    broker: &Broker,
    stages: &Stages,
    pipeline: &Pipeline,
    mix: Mix,
    records: usize,
    leads: bool,
) -> (Filled, Leads) {
    let topic = pipeline.named("sightings");
    let filler = Filler::new(broker);
    let mut assess = leads.then(|| Bench::new(stages, StageName::Assess));
    let (mut filled, mut last) = (Filled::default(), BTreeMap::new());
    for batch in Sightings::new(stages, Load::new(1, mix, NOW), records) {
        for (key, value) in &batch {
            let partition = partition_of(key.as_deref().unwrap_or_default(), PARTITIONS);
            filler.put(&topic, partition, key.as_deref(), Some(value));
            filled.count(value.len() + key.as_ref().map_or(0, Vec::len));
        }
        let Some(assess) = &mut assess else { continue };
        assess.every = 0;
        for output in assess.batch(batch, &mut Measured::default()).outputs {
            if output.topic.ends_with(".leads") {
                last.insert(output.key.unwrap_or_default(), output.value);
            }
        }
    }
    filler.end();
    (filled, last.into_iter().filter_map(|(key, value)| Some((key, without_version(&value?)))).collect())
}

/// A lead without its version, which says how it was batched.
pub(crate) fn without_version(lead: &[u8]) -> Value {
    let mut lead: Value = serde_json::from_slice(lead).expect("a lead is JSON");
    lead.as_object_mut().expect("an object").remove("version").expect("a lead has a version");
    lead
}

/// Fills a pipeline's topic of dossiers, one of each indicator, and says how many and how large.
pub(crate) fn dossiers(broker: &Broker, stages: &Stages, pipeline: &Pipeline, records: u32) -> Filled {
    /// Threads, each with its share of the indicators.
    const THREADS: u32 = 2;
    let topic = pipeline.named("dossiers");
    let share = records / THREADS;
    let each = |first: u32| {
        let (filler, mut filled) = (Filler::new(broker), Filled::default());
        let mut assess = Bench::new(stages, StageName::Assess);
        assess.forgets = true;
        let load = Load::new(u64::from(first), Mix::AllNew, NOW).after(first);
        for batch in Sightings::new(stages, load, usize::try_from(share).expect("a count")) {
            drop(assess.batch(batch, &mut Measured::default()));
            for (key, value) in assess.forgotten.drain(..) {
                // What is said of the sweep is not of an indicator, and goes to each partition, below.
                if key != sightline::stage::assess::SWEEP {
                    let partition = partition_of(&key, PARTITIONS);
                    filler.put(&topic, partition, Some(&key), value.as_deref());
                    filled.count(key.len() + value.as_ref().map_or(0, Vec::len));
                }
            }
        }
        filler.end();
        filled
    };
    let made: Vec<Filled> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || each(n * share))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it fills")).collect()
    });
    // Without it the first batches after the restore would look at every dossier anew.
    let mut assess = Bench::new(stages, StageName::Assess);
    assess.forgets = true;
    drop(assess.batch(Vec::new(), &mut Measured::default()));
    let filler = Filler::new(broker);
    for (key, value) in &assess.forgotten {
        for partition in 0..PARTITIONS {
            filler.put(&topic, partition, Some(key), value.as_deref());
        }
    }
    filler.end();
    made.iter().fold(Filled::default(), |sum, one| Filled {
        records: sum.records + one.records,
        bytes: sum.bytes + one.bytes,
    })
}

/// The agreement whose audience is looked at.
const AGREEMENT: &str = "dxa-hub-01";

/// The disclosures under one agreement that come of these raw records, each with its record's number.
fn disclosed(stages: &Stages, raw: &[Vec<u8>]) -> Vec<(usize, Vec<u8>)> {
    let (mut intake, mut assess) =
        (Bench::new(stages, StageName::Intake), Bench::new(stages, StageName::Assess));
    assess.forgets = true;
    let mut made = Vec::new();
    for (number, value) in raw.iter().enumerate() {
        let sightings = intake.batch(vec![(None, value.clone())], &mut Measured::default()).outputs;
        let sightings = sightings.into_iter().filter_map(|output| Some((output.key, output.value?)));
        let outputs = assess.batch(sightings.collect(), &mut Measured::default()).outputs;
        assess.forgotten.clear();
        let ours = |output: &Output| {
            output.topic.ends_with(".disclosures") && output.key.as_deref() == Some(AGREEMENT.as_bytes())
        };
        made.extend(outputs.into_iter().filter(ours).filter_map(|output| Some((number, output.value?))));
    }
    made
}

/// At most so many raw records, each of an indicator of its own that one audience is told of: its text and
/// the record.
pub(crate) fn told(stages: &Stages, most: u32) -> Vec<(String, Vec<u8>)> {
    let mut load = Load::new(7, Mix::Passing, NOW);
    let raw: Vec<Vec<u8>> =
        load.by_ref().take(usize::try_from(most.min(PASSING)).expect("a count")).collect();
    let text =
        |number: usize| load::text_of(load::passing(u32::try_from(number).expect("fewer than PASSING")));
    disclosed(stages, &raw).iter().map(|(number, _)| (text(*number), raw[*number].clone())).collect()
}

/// Fills a pipeline's topic of disclosures with those of one agreement.
pub(crate) fn disclosures(broker: &Broker, stages: &Stages, pipeline: &Pipeline, records: usize) -> Filled {
    let most = usize::try_from(PASSING).expect("a count").min(records);
    let raw: Vec<Vec<u8>> = Load::new(1, Mix::Passing, NOW).take(most).collect();
    let made = disclosed(stages, &raw);
    assert!(!made.is_empty(), "nothing passes");
    let (topic, filler, mut filled) = (pipeline.named("disclosures"), Filler::new(broker), Filled::default());
    let key = AGREEMENT.as_bytes();
    // The same again and again costs release the same.
    for (_, value) in made.iter().cycle().take(records) {
        filler.put(&topic, partition_of(key, DISCLOSURE_PARTITIONS), Some(key), Some(value));
        filled.count(value.len() + key.len());
    }
    filler.end();
    filled
}
