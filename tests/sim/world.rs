//! The simulated world: instances of the real runner on the embedded log, and all that can happen
//! to them, in virtual time, from one seed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use sightline::enrich::{Answer, Answers, Question};
use sightline::sighting::Timestamp;
use sightline::stage::{Step, Stop};
use sightline::stream::embedded::{Cluster, CommitFault, EmbeddedLog};
use sightline::stream::lane::{Lane, Stepped};
use sightline::stream::log::Log as _;
use sightline::stream::runner::{Action, Note, Runner, Settings};
use sightline::stream::view::Views;

use crate::flaky::Flaky;
use crate::wrong::{HastyStep, Mutant, Written, WrongLog};

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
    lane: Lane<Flaky<WrongLog>>,
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
    /// The end of the transaction was asked for, and nobody was there to hear the answer.
    pub killed_in_commit: u64,
    /// A second process of the same name was started while the first still ran.
    pub replaced: u64,
    pub failed_calls: u64,
    pub zombies: u64,
    pub rebalanced: u64,
    pub late_answers: u64,
    pub clock_jumps: u64,
    pub disks_lost: u64,
}

impl Simulated {
    fn member(&self) -> (&'static str, u64) {
        (self.group, self.lane.log.inner.inner.member())
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.commits += other.commits;
        self.aborts += other.aborts;
        self.unknown += other.unknown;
        self.crashes += other.crashes;
        self.crashes_in_transaction += other.crashes_in_transaction;
        self.killed_in_commit += other.killed_in_commit;
        self.replaced += other.replaced;
        self.failed_calls += other.failed_calls;
        self.zombies += other.zombies;
        self.rebalanced += other.rebalanced;
        self.late_answers += other.late_answers;
        self.clock_jumps += other.clock_jumps;
        self.disks_lost += other.disks_lost;
    }
}

/// In which order the markers of commits arrive.
#[derive(Clone, Copy)]
enum MarkerOrder {
    Any,
    /// Of one commit the partitions first, the group last.
    Oldest,
    /// Of one commit the group first, the partitions last.
    Newest,
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
    /// Instances of which a newer process has the name, and so the transactional ids.
    ghosts: Vec<Instance>,
    /// Members whose process is gone, and when the group notices.
    dying: Vec<(u64, &'static str, u64)>,
    /// No marker arrives before this step.
    markers_stuck_until: u64,
    markers: MarkerOrder,
    /// A marker arrives at one in so many steps.
    marker_one_in: u32,
    mutant: Option<Mutant>,
    written: Written,
    answerer: Answerer,
    /// Where views lie, if this seed has disks.
    disk: Option<PathBuf>,
    steps: u64,
    trace: bool,
}

/// How a seed is played, beside its number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Way {
    /// Where views lie, if on disk.
    pub disk: Option<PathBuf>,
    /// Each action is printed.
    pub trace: bool,
    /// The rule that is removed.
    pub mutant: Option<Mutant>,
}

impl World {
    pub(crate) fn new(
        cluster: Cluster,
        rng: Pcg64,
        now: Timestamp,
        stages: Vec<Stage>,
        partitions: BTreeMap<String, i32>,
        answerer: Answerer,
        way: &Way,
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
            ghosts: Vec::new(),
            dying: Vec::new(),
            markers_stuck_until: 0,
            markers: MarkerOrder::Any,
            marker_one_in: 3,
            mutant: way.mutant,
            written: Written::default(),
            answerer,
            disk: way.disk.clone(),
            steps: 0,
            trace: way.trace,
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
            let (step, puts) = HastyStep::wrap((stage.make)(), self.mutant);
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
            let id = format!("{}-{number}", stage.group);
            let log = EmbeddedLog::open(&self.cluster, stage.group, &id, &inputs);
            let log = WrongLog::new(log, self.mutant, stage.group, &*step, self.written.clone(), puts);
            let log = Flaky::new(log, Pcg64::seed_from_u64(self.rng.random()));
            let runner = Runner::new(step, settings.clone(), views, self.partitions.clone());
            lanes.push(Simulated { lane: Lane::new(runner, log), group: stage.group, coming: Vec::new() });
        }
        self.instances[number] = Some(Instance { lanes, asleep_until: None });
    }

    /// The process is gone, and does nothing more; its sessions expire now or later.
    fn crash(&mut self, number: usize) {
        let Some(instance) = self.instances[number].take() else { return };
        self.tally.crashes += 1;
        if instance.lanes.iter().any(|simulated| simulated.lane.is_in_transaction()) {
            self.tally.crashes_in_transaction += 1;
        }
        self.bury(instance);
        if self.disk.is_some() && self.chance(3) {
            self.tally.disks_lost += 1;
            if let Some(folder) = &self.disk {
                // A folder that was never made is as lost as one that was.
                drop(std::fs::remove_dir_all(folder.join(number.to_string())));
            }
        }
    }

    fn bury(&mut self, instance: Instance) {
        let noticed = if self.chance(2) { 0 } else { self.rng.random_range(0..400) };
        for simulated in &instance.lanes {
            self.tally.failed_calls += simulated.lane.log.failed;
            let (group, member) = simulated.member();
            self.dying.push((self.steps + noticed, group, member));
        }
        self.notice(false);
    }

    /// The groups notice members whose process is gone: those that are due, or all.
    fn notice(&mut self, all: bool) {
        let steps = self.steps;
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.dying).into_iter().partition(|(at, _, _)| all || *at <= steps);
        self.dying = later;
        for (_, group, member) in due {
            self.cluster.expire_member(group, member);
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
        self.notice(false);
        let waiting = self.cluster.markers_waiting();
        let stuck = faults && self.steps < self.markers_stuck_until;
        if waiting > 0 && !stuck && (!faults || self.chance(self.marker_one_in)) {
            let which = match self.markers {
                MarkerOrder::Any => self.rng.random_range(0..waiting),
                MarkerOrder::Oldest => 0,
                MarkerOrder::Newest => waiting - 1,
            };
            self.cluster.deliver_marker(which);
        }
        if !self.ghosts.is_empty() && self.chance(4) {
            self.step_ghost();
            return;
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
            if let Some(instance) = self.instances[number].take() {
                self.instances[number] = Some(self.stand_still(instance, until));
            }
        }
        // Two processes may not share a folder, on one machine or on two.
        if self.chance(1_200) && self.disk.is_none() {
            let number = self.rng.random_range(0..self.instances.len());
            if let Some(instance) = self.instances[number].take() {
                self.tally.replaced += 1;
                self.ghosts.push(instance);
                self.start(number);
            }
        }
        if self.chance(300) {
            self.markers_stuck_until = self.steps + self.rng.random_range(20..400);
        }
        if self.chance(200) {
            self.markers = match self.rng.random_range(0..3) {
                0 => MarkerOrder::Any,
                1 => MarkerOrder::Oldest,
                _ => MarkerOrder::Newest,
            };
            self.marker_one_in = [1, 3, 15][self.rng.random_range(0..3)];
        }
        if self.chance(500) {
            // Sessions expire although the process is well.
            let number = self.rng.random_range(0..self.instances.len());
            if let Some(instance) = &self.instances[number] {
                self.tally.rebalanced += 1;
                let which = self.rng.random_range(0..instance.lanes.len());
                let (group, member) = instance.lanes[which].member();
                self.cluster.expire_member(group, member);
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

    /// A process goes on whose name a newer one has, until it is told so.
    fn step_ghost(&mut self) {
        let which = self.rng.random_range(0..self.ghosts.len());
        let lane = self.rng.random_range(0..self.stages.len());
        let mut ghost = self.ghosts.swap_remove(which);
        match self.turn(&mut ghost.lanes[lane], "ghost", true) {
            None => self.ghosts.push(ghost),
            Some(stop) => {
                assert!(matches!(stop.code, "fenced" | "no-commit"), "a ghost stopped: {stop}");
                self.bury(ghost);
            }
        }
    }

    /// A process stands still for so long that its groups go on without it.
    fn stand_still(&mut self, mut instance: Instance, until: u64) -> Instance {
        self.tally.zombies += 1;
        instance.asleep_until = Some(until);
        for simulated in &instance.lanes {
            let (group, member) = simulated.member();
            self.cluster.expire_member(group, member);
        }
        instance
    }

    fn step_lane(&mut self, number: usize, which: usize, faults: bool) {
        let Some(mut instance) = self.instances[number].take() else { return };
        if instance.asleep_until.is_some_and(|until| self.steps < until) && faults {
            self.instances[number] = Some(instance);
            return;
        }
        instance.asleep_until = None;
        let simulated = &mut instance.lanes[which];
        if faults && simulated.lane.next_action() == Some(&Action::Commit) && self.chance(60) {
            // Whatever comes of it, nobody hears; and the group may know of it long before the partitions.
            drop(simulated.lane.log.commit());
            self.tally.killed_in_commit += 1;
            if self.chance(2) {
                self.markers = MarkerOrder::Newest;
                self.marker_one_in = 15;
            } else {
                self.markers_stuck_until = self.steps + self.rng.random_range(0..200);
            }
            self.instances[number] = Some(instance);
            self.crash(number);
            return;
        }
        if faults && simulated.lane.next_action() == Some(&Action::Begin) && self.chance(60) {
            // The worst moment: all is computed, and nothing of it shows in the log, so that nobody
            // waits for it.
            let until = self.steps + self.rng.random_range(200..1_500);
            self.instances[number] = Some(self.stand_still(instance, until));
            return;
        }
        let stopped = self.turn(simulated, &number.to_string(), faults);
        self.instances[number] = Some(instance);
        match stopped {
            None => {}
            // A newer producer of the same id: this instance was replaced, or its transaction
            // ran out of time. The process leaves, and is started again.
            Some(stop) if matches!(stop.code, "fenced" | "no-commit") => self.crash(number),
            Some(stop) => panic!("instance {number} stopped: {stop}"),
        }
    }

    /// One step of one lane.
    fn turn(&mut self, simulated: &mut Simulated, name: &str, faults: bool) -> Option<Stop> {
        let steps = self.steps;
        simulated.lane.log.faults = faults;
        let (arrived, coming) =
            std::mem::take(&mut simulated.coming).into_iter().partition(|(at, _)| *at <= steps);
        simulated.coming = coming;
        for (_, answers) in Vec::from_iter::<Vec<(u64, Answers)>>(arrived) {
            simulated.lane.answer(answers, self.now);
        }
        if self.trace
            && let Some(action) = simulated.lane.next_action()
        {
            eprintln!("{} {name} {} {}", self.now, simulated.group, shorten(action));
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
            Stepped::Stop(stop) => return Some(stop),
        }
        None
    }

    /// Nothing goes wrong any more: runs until all is quiet, at most so many steps. Then lets time pass
    /// beyond all that the clock ever showed, so that whatever waits for a time gets it, and does so
    /// again.
    pub(crate) fn settle(&mut self, most: u64) {
        for _ in 0..2 {
            self.settle_now(most);
            self.now = self.latest.plus(2 * 3_600_000);
        }
        self.settle_now(most);
    }

    fn settle_now(&mut self, most: u64) {
        for ghost in std::mem::take(&mut self.ghosts) {
            self.bury(ghost);
        }
        self.notice(true);
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
