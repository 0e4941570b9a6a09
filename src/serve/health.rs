//! Whether the process is alive, ready, started: from its own progress, and nothing else.
//!
//! No check asks a broker, a name server or a group. A restart mends none of them, and a rollout
//! that would mend an outage must not be held up by it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// Milliseconds of the clock whose values the lanes' heartbeats are.
pub type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// What the process knows of its own state.
pub struct Health {
    is_started: AtomicBool,
    is_draining: AtomicBool,
    fatal: Mutex<Option<String>>,
    lanes: Mutex<Vec<Lane>>,
    stall_after: Duration,
    clock: Clock,
}

struct Lane {
    name: String,
    /// When it last turned; it counts as having turned when it was added.
    beat: Arc<AtomicI64>,
    added_at: i64,
}

impl Health {
    /// A process that is not started yet. A lane that did not turn for `stall_after` is stuck: at
    /// least the consumer's `max.poll.interval.ms`, and twice the longest batch.
    pub fn new(stall_after: Duration, clock: Clock) -> Self {
        Self {
            is_started: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            fatal: Mutex::new(None),
            lanes: Mutex::new(Vec::new()),
            stall_after,
            clock,
        }
    }

    /// Watches a lane, which stores the clock's milliseconds in `beat` each time it turns.
    pub fn add_lane(&self, name: impl Into<String>, beat: Arc<AtomicI64>) {
        let added_at = (self.clock)();
        lock(&self.lanes).push(Lane { name: name.into(), beat, added_at });
    }

    /// The settings are valid, the data is loaded, each group was joined once. A latch: a
    /// rebalance doesn't undo it, and no partition at all is as good as many.
    pub fn start(&self) {
        self.is_started.store(true, Ordering::Release);
    }

    /// The process was asked to leave.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// The process can't go on; the first reason is kept.
    pub fn fail(&self, reason: impl Into<String>) {
        lock(&self.fatal).get_or_insert_with(|| reason.into());
    }

    /// Whether the group was joined once.
    pub fn startup(&self) -> Report {
        Report { checks: vec![self.started()] }
    }

    /// Whether each lane turned lately.
    pub fn live(&self) -> Report {
        let now = (self.clock)();
        let limit = i64::try_from(self.stall_after.as_millis()).unwrap_or(i64::MAX);
        let checks = lock(&self.lanes)
            .iter()
            .map(|lane| {
                // A clock that was set back must not make a lane look stuck.
                let age = now.saturating_sub(lane.beat.load(Ordering::Relaxed).max(lane.added_at)).max(0);
                let detail = format!("turned {} s ago, stuck after {} s", age / 1000, limit / 1000);
                Check::new(format!("lane {}", lane.name), age <= limit, detail)
            })
            .collect();
        Report { checks }
    }

    /// Whether it is started, stays, and can go on.
    pub fn ready(&self) -> Report {
        let draining = self.is_draining.load(Ordering::Acquire);
        let fatal = lock(&self.fatal).clone();
        Report {
            checks: vec![
                self.started(),
                Check::new("staying", !draining, if draining { "it was asked to leave" } else { "" }),
                Check::new("able", fatal.is_none(), fatal.unwrap_or_default()),
            ],
        }
    }

    fn started(&self) -> Check {
        let started = self.is_started.load(Ordering::Acquire);
        Check::new("started", started, if started { "" } else { "the group was not joined yet" })
    }
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was looked at, in a fixed order.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether every check passes. None is as good as all: a process without lanes is not stuck.
    pub fn passes(&self) -> bool {
        self.checks.iter().all(|check| check.passes)
    }

    /// `{"status": "ok" | "fail", "checks": [{"name", "status", "detail"}]}`.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            status: &'static str,
            checks: Vec<ShownCheck<'a>>,
        }
        #[derive(Serialize)]
        struct ShownCheck<'a> {
            name: &'a str,
            status: &'static str,
            #[serde(skip_serializing_if = "str::is_empty")]
            detail: &'a str,
        }
        let status = |passes| if passes { "ok" } else { "fail" };
        let checks = self
            .checks
            .iter()
            .map(|check| ShownCheck {
                name: &check.name,
                status: status(check.passes),
                detail: &check.detail,
            })
            .collect();
        serde_json::to_string(&Shown { status: status(self.passes()), checks })
            .expect("texts in a list can always be written as JSON")
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it is as it should be.
    pub passes: bool,
    /// Why not, or a figure; may be empty.
    pub detail: String,
}

impl Check {
    fn new(name: impl Into<String>, passes: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), passes, detail: detail.into() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Watched {
        health: Health,
        clock: Arc<AtomicI64>,
        beat: Arc<AtomicI64>,
    }

    fn watched() -> Watched {
        let clock = Arc::new(AtomicI64::new(100_000));
        let beat = Arc::new(AtomicI64::new(0));
        let reading = clock.clone();
        let health = Health::new(Duration::from_secs(10), Box::new(move || reading.load(Ordering::Relaxed)));
        health.add_lane("a", beat.clone());
        Watched { health, clock, beat }
    }

    #[track_caller]
    fn check(report: &Report, failing: &[&str]) {
        let found: Vec<&str> =
            report.checks.iter().filter(|check| !check.passes).map(|check| &*check.name).collect();
        assert_eq!(found, failing);
        assert_eq!(report.passes(), failing.is_empty());
    }

    #[test]
    fn a_lane_that_does_not_turn_is_stuck_and_the_others_are_not() {
        let Watched { health, clock, beat } = watched();
        let other = Arc::new(AtomicI64::new(0));
        health.add_lane("b", other.clone());
        clock.store(110_000, Ordering::Relaxed);
        check(&health.live(), &[]);
        clock.store(110_001, Ordering::Relaxed);
        check(&health.live(), &["lane a", "lane b"]);
        beat.store(110_000, Ordering::Relaxed);
        check(&health.live(), &["lane b"]);
        other.store(500_000, Ordering::Relaxed);
        check(&health.live(), &[]);
    }

    #[test]
    fn readiness_is_a_latch_that_only_leaving_and_a_fault_undo() {
        let Watched { health, clock, .. } = watched();
        check(&health.ready(), &["started"]);
        check(&health.startup(), &["started"]);
        health.start();
        check(&health.startup(), &[]);
        // However long nothing happens: no partition, no broker.
        clock.store(10_000_000, Ordering::Relaxed);
        check(&health.ready(), &[]);
        health.fail("fenced");
        health.fail("and then this");
        check(&health.ready(), &["able"]);
        assert!(health.ready().to_json().contains(r#""detail":"fenced""#));
        health.drain();
        check(&health.ready(), &["staying", "able"]);
    }
}
