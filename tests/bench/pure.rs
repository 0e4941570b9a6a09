//! The stages as pure steps on one core: no Kafka, no thread, state in an ordered map.
//!
//! Time is that of the processor, so that others on the machine do not count.

use std::collections::BTreeMap;
use std::sync::Arc;

use sightline::config::{StageName, Stages};
use sightline::enrich::Answers;
use sightline::sighting::Timestamp;
use sightline::stage::{Made, Record, State, Step, Work};

use crate::NOW;
use crate::load::{Load, Mix};
use crate::site::{RAW, Site};

/// Records of a batch: what a tenth of a second brings at the rate that is to be reached.
fn batch_of(mix: Mix) -> usize {
    match mix {
        Mix::Skewed => 30_000,
        Mix::AllNew | Mix::Passing => 6_000,
    }
}

/// Milliseconds between two batches.
const EVERY: i64 = 100;

/// What one row gave.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    /// Sightings (or raw records) in.
    pub(crate) records: u64,
    /// Their bytes.
    pub(crate) bytes_in: u64,
    /// Records out, state among them.
    pub(crate) written: u64,
    /// Their bytes.
    pub(crate) bytes_out: u64,
    /// Dossiers written.
    pub(crate) dossiers: u64,
    /// Leads written.
    pub(crate) leads: u64,
    /// Disclosures written.
    pub(crate) disclosures: u64,
    /// Of the decisions (a dossier, a role, an agreement), those that changed from refusal.
    pub(crate) refusals: u64,
    /// Nanoseconds of the processor.
    pub(crate) nanoseconds: u64,
}

impl Measured {
    /// Records a second.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(crate) fn rate(&self) -> f64 {
        self.records as f64 * 1e9 / self.nanoseconds.max(1) as f64
    }
}

/// Nanoseconds that this thread had a processor.
pub(crate) fn on_processor() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts a thread's time");
    text.split_whitespace().next().and_then(|first| first.parse().ok()).expect("it begins with nanoseconds")
}

/// The state of one partition in memory.
#[derive(Default)]
pub(crate) struct Memory {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    changed: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl State for Memory {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.entries.get(key).cloned()
    }

    fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        self.changed.push((key.to_vec(), value));
    }

    fn scan(&self, _: &[u8], _: usize) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        // A sweep finds nothing: what is measured is what sightings cost.
        (Vec::new(), None)
    }
}

/// A stage with its state.
pub(crate) struct Bench {
    /// Milliseconds between two batches.
    pub(crate) every: i64,
    /// Over how many partitions the records that it is given are spread, in turn.
    pub(crate) spread: i32,
    /// Whether the state that it changes goes to [`Bench::forgotten`], for keys that come once.
    pub(crate) forgets: bool,
    /// Changed state that it does not hold.
    pub(crate) forgotten: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    step: Box<dyn Step>,
    topic: Arc<str>,
    memory: Memory,
    now: Timestamp,
    taken: i64,
}

impl Bench {
    pub(crate) fn new(stages: &Stages, stage: StageName) -> Self {
        let step = stages.step(stage);
        let topic = step.inputs().first().expect("a stage reads something").clone();
        Self {
            every: EVERY,
            spread: 1,
            forgets: false,
            forgotten: Vec::new(),
            step,
            topic,
            memory: Memory::default(),
            now: NOW,
            taken: 0,
        }
    }

    /// One batch of keys and values. What is committed is in the state when the next begins.
    pub(crate) fn batch(&mut self, input: Vec<(Option<Vec<u8>>, Vec<u8>)>, sum: &mut Measured) -> Made {
        let records: Vec<Record> = input
            .into_iter()
            .map(|(key, value)| {
                let (topic, spread, taken) = (self.topic.clone(), i64::from(self.spread), self.taken);
                self.taken += 1;
                let partition = i32::try_from(taken % spread).expect("fewer than the partitions");
                Record {
                    topic,
                    partition,
                    offset: taken / spread,
                    key,
                    value: Some(value),
                    headers: Vec::new(),
                }
            })
            .collect();
        let work =
            Work { topic: &self.topic, partition: 0, partitions: 1, records: &records, due: &[], sweep: 0 };
        let began = on_processor();
        let made = self.step.run(&work, &mut self.memory, &Answers::new(), self.now);
        sum.nanoseconds += on_processor() - began;
        let made = made.unwrap_or_else(|stop| panic!("{stop}"));
        self.now = self.now.plus(self.every);
        sum.records += records.len() as u64;
        sum.bytes_in += records.iter().map(|record| size(&record.key, &record.value)).sum::<u64>();
        sum.written += (made.outputs.len() + self.memory.changed.len()) as u64;
        let refused = made.counts.iter().filter(|count| count.label.contains(" refused "));
        sum.refusals += refused.map(|count| count.n).sum::<u64>();
        for output in &made.outputs {
            sum.bytes_out += size(&output.key, &output.value);
            match &*output.topic {
                topic if topic.ends_with(".leads") => sum.leads += 1,
                topic if topic.ends_with(".disclosures") => sum.disclosures += 1,
                _ => {}
            }
        }
        for (key, value) in self.memory.changed.drain(..) {
            sum.bytes_out += (key.len() + value.as_ref().map_or(0, Vec::len)) as u64;
            if key != sightline::stage::assess::SWEEP {
                sum.dossiers += 1;
            }
            if self.forgets {
                self.forgotten.push((key, value));
                continue;
            }
            match value {
                Some(value) => self.memory.entries.insert(key, value),
                None => self.memory.entries.remove(&key),
            };
        }
        made
    }
}

fn size(key: &Option<Vec<u8>>, value: &Option<Vec<u8>>) -> u64 {
    (key.as_ref().map_or(0, Vec::len) + value.as_ref().map_or(0, Vec::len)) as u64
}

/// Intake and assess over `records` records of one mix, after `warm` that are not counted.
pub(crate) fn run(stages: &Stages, mix: Mix, warm: usize, records: usize) -> (Measured, Measured) {
    let mut load = Load::new(1, mix, NOW);
    let mut intake = Bench::new(stages, StageName::Intake);
    let mut assess = Bench::new(stages, StageName::Assess);
    assert_eq!(&*intake.topic, RAW);
    let (mut of_intake, mut of_assess) = (Measured::default(), Measured::default());
    let mut left = warm + records;
    let mut is_warm = warm == 0;
    while left > 0 {
        if !is_warm && left <= records {
            is_warm = true;
            (of_intake, of_assess) = (Measured::default(), Measured::default());
        }
        let n = batch_of(mix).min(left);
        left -= n;
        let raw = load.by_ref().take(n).map(|value| (None, value)).collect();
        let made = intake.batch(raw, &mut of_intake);
        let sightings = made.outputs.into_iter().map(|output| {
            assert!(output.topic.ends_with(".sightings"), "a dead letter: {:?}", output.headers);
            (output.key, output.value.expect("a sighting"))
        });
        let made = assess.batch(sightings.collect(), &mut of_assess);
        drop(made);
    }
    (of_intake, of_assess)
}

/// The pure rows: skewed, then all new. `shorter` divides how many records are taken.
pub(crate) fn all(site: &Site, shorter: usize) -> [(Measured, Measured); 2] {
    let stages = Stages::new(&site.pipeline("pure", RAW).load());
    let skewed = run(&stages, Mix::Skewed, 300_000 / shorter, 600_000 / shorter);
    let all_new = run(&stages, Mix::AllNew, 0, 240_000 / shorter);
    [skewed, all_new]
}
