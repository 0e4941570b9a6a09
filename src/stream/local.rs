//! All stages in one thread on the embedded log: for `enrich`, `explain` and the demo.

use std::collections::BTreeMap;
use std::time::Duration;

use super::embedded::{Cluster, EmbeddedLog};
use super::lane::{Lane, Stepped};
use super::runner::{Note, Runner, Settings};
use super::view::Views;
use crate::ask::Asker;
use crate::sighting::Timestamp;
use crate::stage::{Step, Stop};

/// The stages of a pipeline, turned by whoever owns this.
pub struct Local {
    /// The log that they work on.
    pub cluster: Cluster,
    lanes: Vec<Lane<EmbeddedLog>>,
    asker: Asker,
}

impl Local {
    /// The steps on a cluster whose topics are there, with so many partitions each.
    pub fn new(
        cluster: Cluster,
        steps: Vec<Box<dyn Step>>,
        settings: &Settings,
        views: &Views,
        partitions: &BTreeMap<String, i32>,
    ) -> Self {
        let lanes = steps
            .into_iter()
            .map(|step| {
                let name = step.name();
                let log = EmbeddedLog::open(&cluster, name, name, &step.inputs());
                Lane::new(Runner::new(step, settings.clone(), views.clone(), partitions.clone()), log)
            })
            .collect();
        Self { cluster, lanes, asker: Asker::Silent }
    }

    /// Works at `now` until nothing is left to do. `noted` hears what happens.
    ///
    /// # Errors
    /// When a stage wants to stop.
    pub fn settle(&mut self, now: Timestamp, mut noted: impl FnMut(&'static str, Note)) -> Result<(), Stop> {
        let mut quiet = 0;
        // Twice around without anything to do: what one stage wrote, the next has seen.
        while quiet < 2 * self.lanes.len() {
            for lane in &mut self.lanes {
                let stage = lane.runner.stage();
                loop {
                    match lane.step(now, 10_000, Duration::ZERO) {
                        Stepped::Did => quiet = 0,
                        Stepped::Note(note) => {
                            quiet = 0;
                            noted(stage, note);
                        }
                        Stepped::Ask(questions) => {
                            let answers = self.asker.ask(questions);
                            lane.answer(answers, now);
                        }
                        Stepped::Stop(stop) => return Err(stop),
                        Stepped::Polled(n) if n > 0 || lane.next_action().is_some() => quiet = 0,
                        Stepped::Polled(_) => {
                            quiet += 1;
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
