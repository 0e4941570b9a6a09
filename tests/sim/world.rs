//! The simulated world: instances of the real runner on the embedded log, and all that can happen
//! to them, in virtual time, from one seed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand_pcg::Pcg64;
use sightline::enrich::{Answer, Answers, Question};
use sightline::sighting::Timestamp;
use sightline::stage::Step;
use sightline::stream::embedded::{Cluster, CommitFault, EmbeddedLog};
use sightline::stream::lane::{Lane, Stepped};
use sightline::stream::runner::{Action, Note, Runner, Settings};
use sightline::stream::view::Views;

/// A stage as the world starts it.
pub(crate) struct Stage {
    pub group: &'static str,
    pub make: Box<dyn Fn() -> Box<dyn Step>>,
}

/// How the world answers a question.
pub(crate) type Answerer = Box<dyn Fn(&Question) -> Answer>;

struct Instance {
    lanes: Vec<Simulated>,
    /// Its processes stand still until then: a zombie, if the group expires it meanwhile.
    asleep_until: Option<u64>,
}

struct Simulated {
    lane: Lane<EmbeddedLog>,
    group: &'static str,
    /// Answers on their way, with the step at which they arrive.
    coming: Vec<(u64, Answers)>,
}

/// What happened, for the summary that shows that a run was not idle.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub commits: u64,
    pub aborts: u64,
    pub unknown: u64,
    pub crashes: u64,
    pub crashes_in_transaction: u64,
    pub zombies: u64,
    pub rebalanced: u64,
    pub late_answers: u64,
    pub clock_jumps: u64,
    pub disks_lost: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.aborts += other.aborts;
        self.unknown += other.unknown;
        self.crashes += other.crashes;
        self.crashes_in_transaction += other.crashes_in_transaction;
        self.zombies += other.zombies;
        self.rebalanced += other.rebalanced;
        self.late_answers += other.late_answers;
        self.clock_jumps += other.clock_jumps;
        self.disks_lost += other.disks_lost;
    }
}

pub(crate) struct World {
    pub cluster: Cluster,
    pub rng: Pcg64,
    pub tally: Tally,
    pub now: Timestamp,
    /// The latest that the clock ever showed: what waits for a time may wait for one after that.
    latest: Timestamp,
    stages: Vec<Stage>,
    partitions: BTreeMap<String, i32>,
    instances: Vec<Option<Instance>>,
    answerer: Answerer,
    /// Where views lie, if this seed has disks.
    disk: Option<PathBuf>,
    steps: u64,
    pub trace: bool,
}

impl World {
    pub(crate) fn new(
        cluster: Cluster,
        rng: Pcg64,
        now: Timestamp,
        stages: Vec<Stage>,
        partitions: BTreeMap<String, i32>,
        answerer: Answerer,
        disk: Option<PathBuf>,
    ) -> Self {
        Self {
            cluster,
            rng,
            tally: Tally::default(),
            now,
            latest: now,
            stages,
            partitions,
            instances: (0..3).map(|_| None).collect(),
            answerer,
            disk,
            steps: 0,
            trace: false,
        }
    }

    fn chance(&mut self, one_in: u32) -> bool {
        self.rng.random_range(0..one_in) == 0
    }

    fn start(&mut self, number: usize) {
        let settings = Settings {
            records: self.rng.random_range(1..8),
            every: self.rng.random_range(0..200),
            due: self.rng.random_range(1..4),
            sweep: self.rng.random_range(1..4),
            ask: self.rng.random_range(1..500),
            write_behind: self.rng.random_range(0..300),
            unwritten: 1_000,
            brakes: BTreeMap::new(),
            fixed: None,
        };
        let mut lanes = Vec::new();
        for stage in &self.stages {
            let step = (stage.make)();
            let inputs: Vec<Arc<str>> = step.inputs();
            let views = match &self.disk {
                Some(folder) => Views::OnDisk {
                    folder: folder.join(number.to_string()),
                    cluster: "embedded".to_owned(),
                    max_age: i64::MAX / 4,
                    max_bytes: 16 << 20,
                },
                None => Views::InMemory,
            };
            let runner = Runner::new(step, settings.clone(), views, self.partitions.clone());
            let id = format!("{}-{number}", stage.group);
            let log = EmbeddedLog::open(&self.cluster, stage.group, &id, &inputs);
            lanes.push(Simulated { lane: Lane::new(runner, log), group: stage.group, coming: Vec::new() });
        }
        self.instances[number] = Some(Instance { lanes, asleep_until: None });
    }

    /// The process is gone, its open transactions with it; its sessions expire now or later.
    fn crash(&mut self, number: usize) {
        let Some(instance) = self.instances[number].take() else { return };
        self.tally.crashes += 1;
        if instance.lanes.iter().any(|simulated| simulated.lane.is_in_transaction()) {
            self.tally.crashes_in_transaction += 1;
        }
        for simulated in &instance.lanes {
            self.cluster.expire_member(simulated.group, simulated.lane.log.member());
        }
        drop(instance);
        if self.disk.is_some() && self.chance(3) {
            self.tally.disks_lost += 1;
            if let Some(folder) = &self.disk {
                // A folder that was never made is as lost as one that was.
                drop(std::fs::remove_dir_all(folder.join(number.to_string())));
            }
        }
    }

    /// One thing happens. `faults` lets things go wrong.
    pub(crate) fn step(&mut self, faults: bool) {
        self.steps += 1;
        self.now = self.now.plus(self.rng.random_range(0..20));
        self.latest = self.latest.max(self.now);
        if faults {
            self.misfortune();
        }
        let waiting = self.cluster.markers_waiting();
        if waiting > 0 && (!faults || self.chance(3)) {
            let which = self.rng.random_range(0..waiting);
            self.cluster.deliver_marker(which);
        }
        let number = self.rng.random_range(0..self.instances.len());
        if self.instances[number].is_none() {
            if !faults || self.chance(20) || self.instances.iter().all(Option::is_none) {
                self.start(number);
            }
            return;
        }
        let which = self.rng.random_range(0..self.stages.len());
        self.step_lane(number, which, faults);
    }

    fn misfortune(&mut self) {
        if self.chance(400) {
            let number = self.rng.random_range(0..self.instances.len());
            self.crash(number);
        }
        if self.chance(600) {
            let number = self.rng.random_range(0..self.instances.len());
            let until = self.steps + self.rng.random_range(50..2_000);
            if let Some(instance) = &mut self.instances[number] {
                self.tally.zombies += 1;
                instance.asleep_until = Some(until);
                for simulated in &instance.lanes {
                    self.cluster.expire_member(simulated.group, simulated.lane.log.member());
                }
            }
        }
        if self.chance(500) {
            // Sessions expire although the process is well.
            let number = self.rng.random_range(0..self.instances.len());
            if let Some(instance) = &self.instances[number] {
                self.tally.rebalanced += 1;
                let which = self.rng.random_range(0..instance.lanes.len());
                let simulated = &instance.lanes[which];
                self.cluster.expire_member(simulated.group, simulated.lane.log.member());
            }
        }
        if self.chance(150) {
            let fault = match self.rng.random_range(0..3) {
                0 => CommitFault::Aborted,
                1 => CommitFault::UnknownCommitted,
                _ => CommitFault::UnknownLost,
            };
            self.cluster.plan_commit(fault);
        }
        if self.chance(300) {
            self.cluster.expire_transactions();
        }
        if self.chance(1_000) {
            self.tally.clock_jumps += 1;
            self.now = self.now.plus(self.rng.random_range(-3_600_000..3_600_000));
        }
    }

    fn step_lane(&mut self, number: usize, which: usize, faults: bool) {
        let Some(instance) = &mut self.instances[number] else { return };
        if instance.asleep_until.is_some_and(|until| self.steps < until) && faults {
            return;
        }
        instance.asleep_until = None;
        let simulated = &mut instance.lanes[which];
        let steps = self.steps;
        let (arrived, coming) =
            std::mem::take(&mut simulated.coming).into_iter().partition(|(at, _)| *at <= steps);
        simulated.coming = coming;
        for (_, answers) in Vec::from_iter::<Vec<(u64, Answers)>>(arrived) {
            simulated.lane.answer(answers, self.now);
        }
        if self.trace
            && let Some(action) = simulated.lane.next_action()
        {
            eprintln!("{} {number}.{which} {:?}", self.now, shorten(action));
        }
        match simulated.lane.step(self.now, 5, Duration::ZERO) {
            Stepped::Did | Stepped::Polled(_) => {}
            Stepped::Note(Note::Committed { .. }) => self.tally.commits += 1,
            Stepped::Note(Note::Aborted(_)) => self.tally.aborts += 1,
            Stepped::Note(Note::Unknown) => self.tally.unknown += 1,
            Stepped::Note(_) => {}
            Stepped::Ask(questions) => {
                for question in questions {
                    let answer = (self.answerer)(&question);
                    let delay = self.rng.random_range(0..200);
                    if delay > 50 {
                        self.tally.late_answers += 1;
                    }
                    if self.rng.random_range(0..5) > 0 || !faults {
                        simulated.coming.push((steps + delay, Answers::from([(question, answer)])));
                    }
                }
            }
            Stepped::Stop(stop) => match stop.code {
                // A newer producer of the same id: this instance was replaced, or its transaction
                // ran out of time. The process leaves, and is started again.
                "fenced" | "no-commit" => self.crash(number),
                _ => panic!("instance {number} stopped: {stop}"),
            },
        }
    }

    /// Nothing goes wrong any more: runs until all is quiet, at most so many steps.
    /// Then lets time pass beyond all that the clock ever showed, so that whatever waits for a time gets it, and does so again.
    pub(crate) fn settle(&mut self, most: u64) {
        for _ in 0..2 {
            self.settle_now(most);
            self.now = self.latest.plus(2 * 3_600_000);
        }
        self.settle_now(most);
    }

    fn settle_now(&mut self, most: u64) {
        self.cluster.expire_transactions();
        for instance in self.instances.iter_mut().flatten() {
            instance.asleep_until = None;
        }
        for _ in 0..most {
            for _ in 0..30 {
                self.step(false);
            }
            if self.is_quiet() {
                return;
            }
        }
        panic!("not quiet after {most} rounds: {}", self.state());
    }

    fn is_quiet(&self) -> bool {
        let lanes = || self.instances.iter().flatten().flat_map(|instance| &instance.lanes);
        self.cluster.markers_waiting() == 0
            && self.instances.iter().all(Option::is_some)
            && lanes().all(|simulated| {
                simulated.lane.next_action().is_none() && simulated.lane.runner.is_quiet(self.now)
            })
            && self.stages.iter().all(|stage| {
                let committed = self.cluster.group_offsets(stage.group);
                (stage.make)().inputs().iter().all(|topic| {
                    let n = self.partitions.get(&**topic).copied().unwrap_or(1);
                    (0..n).all(|partition| {
                        let last = self.cluster.last_committed_offset(topic, partition);
                        let tp = sightline::stream::log::Tp { topic: topic.clone(), partition };
                        last.is_none_or(|last| committed.get(&tp).is_some_and(|offset| *offset > last))
                    })
                })
            })
    }

    fn state(&self) -> String {
        let mut text = format!("{} markers wait", self.cluster.markers_waiting());
        for stage in &self.stages {
            let committed = self.cluster.group_offsets(stage.group);
            for topic in (stage.make)().inputs() {
                let n = self.partitions.get(&*topic).copied().unwrap_or(1);
                let last: Vec<Option<i64>> =
                    (0..n).map(|partition| self.cluster.last_committed_offset(&topic, partition)).collect();
                text += &format!("\n{topic}: last {last:?} committed {committed:?}");
            }
        }
        for (number, instance) in self.instances.iter().enumerate() {
            let Some(instance) = instance else { continue };
            for simulated in &instance.lanes {
                text += &format!(
                    "\n{number} {} quiet {} active {:?} next {:?}",
                    simulated.lane.runner.stage(),
                    simulated.lane.runner.is_quiet(self.now),
                    simulated.lane.runner.active().len(),
                    simulated.lane.next_action().map(shorten),
                );
            }
        }
        text
    }
}

fn shorten(action: &Action) -> String {
    format!("{action:?}").chars().take(160).collect()
}
