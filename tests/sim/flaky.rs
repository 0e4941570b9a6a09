//! A log whose calls fail now and then, as those of a client do whose broker is away for a moment:
//! the runner must take every such failure.
//!
//! What a failed commit means is the embedded log's own (`CommitFault`); here a commit never fails.

use std::time::Duration;

use rand::RngExt as _;
use rand_pcg::Pcg64;
use sightline::stage::Output;
use sightline::stream::log::{Commit, Log, LogError, Polled, Tp, ViewRead};

/// A log with a seed of its own for what fails.
pub(crate) struct Flaky<L> {
    pub inner: L,
    rng: Pcg64,
    /// Whether anything fails.
    pub faults: bool,
    /// How many calls failed.
    pub failed: u64,
}

impl<L: Log> Flaky<L> {
    pub(crate) fn new(inner: L, rng: Pcg64) -> Self {
        Self { inner, rng, faults: false, failed: 0 }
    }

    fn fails(&mut self, one_in: u32) -> bool {
        let fails = self.faults && self.rng.random_range(0..one_in) == 0;
        self.failed += u64::from(fails);
        fails
    }

    fn may_later(&mut self, call: &str, one_in: u32) -> Result<(), LogError> {
        if self.fails(one_in) { Err(LogError::Retry(format!("{call}: the broker is away"))) } else { Ok(()) }
    }

    fn may_abort(&mut self, call: &str, one_in: u32) -> Result<(), LogError> {
        if self.fails(one_in) { Err(LogError::Abort(format!("{call} was refused"))) } else { Ok(()) }
    }
}

impl<L: Log> Log for Flaky<L> {
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Polled>, LogError> {
        self.may_later("poll", 100)?;
        self.inner.poll(max, wait)
    }

    fn pause(&mut self, partitions: &[Tp]) -> Result<(), LogError> {
        self.may_later("pause", 20)?;
        self.inner.pause(partitions)
    }

    fn resume(&mut self, partitions: &[Tp]) -> Result<(), LogError> {
        self.may_later("resume", 20)?;
        self.inner.resume(partitions)
    }

    fn seek(&mut self, partition: &Tp, offset: i64) -> Result<(), LogError> {
        self.may_later("seek", 10)?;
        self.inner.seek(partition, offset)
    }

    fn stable_committed(&mut self, partitions: &[Tp]) -> Result<Vec<(Tp, i64)>, LogError> {
        self.may_later("committed", 10)?;
        self.inner.stable_committed(partitions)
    }

    fn view_bounds(&mut self, partition: &Tp) -> Result<(i64, i64), LogError> {
        self.may_later("bounds", 20)?;
        self.inner.view_bounds(partition)
    }

    fn read_view(&mut self, partition: &Tp, from: i64, max: usize) -> Result<ViewRead, LogError> {
        self.may_later("read", 20)?;
        // A view comes in as many pieces as the broker likes.
        let max = if self.faults { max.min(self.rng.random_range(1..20)) } else { max };
        self.inner.read_view(partition, from, max)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.may_later("begin", 200)?;
        self.inner.begin()
    }

    fn write(&mut self, output: &Output, partition: i32) -> Result<(), LogError> {
        self.may_abort("write", 400)?;
        self.inner.write(output, partition)
    }

    fn offsets(&mut self, offsets: &[(Tp, i64)]) -> Result<(), LogError> {
        self.may_abort("offsets", 100)?;
        self.inner.offsets(offsets)
    }

    fn commit(&mut self) -> Result<Commit, LogError> {
        self.inner.commit()
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.may_later("abort", 10)?;
        self.inner.abort()
    }

    fn rebuild_producer(&mut self) -> Result<(), LogError> {
        self.may_later("init", 10)?;
        self.inner.rebuild_producer()
    }

    fn partitions(&mut self, topic: &str) -> Result<i32, LogError> {
        self.inner.partitions(topic)
    }

    fn cluster(&mut self) -> Result<String, LogError> {
        self.inner.cluster()
    }
}
