//! The seam between the runner and a log: what the runner needs of Kafka, and nothing more.
//!
//! Two implementations: `kafka` (librdkafka) and `embedded` (in process). What differs between them
//! is how things happen, never what they mean.

use std::sync::Arc;
use std::time::Duration;

use crate::stage::{Output, Record};

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tp {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
}

/// What polling gives, in the order in which it happened.
#[derive(Debug)]
pub enum Polled {
    /// A committed record of an input.
    Record(Record),
    /// The group gave us these. They start paused.
    Assigned(Vec<Tp>),
    /// The group took these back, and waited until we heard of it.
    Revoked(Vec<Tp>),
    /// The group gave these to others without waiting for us.
    Lost(Vec<Tp>),
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Everything in it is there.
    Committed,
    /// Nothing of it is there.
    Aborted,
    /// One of the two; only the log can tell, later.
    Unknown,
}

/// Why a call failed, by what must be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The transaction can't commit: abort, rewind, go on.
    #[error("{0}")]
    Abort(String),
    /// A newer producer holds our transactional id: leave the process.
    #[error("{0}")]
    Fenced(String),
    /// The same call may succeed later: broker away, coordinator moving, offsets not stable yet.
    #[error("{0}")]
    Retry(String),
    /// Nothing helps: a topic is missing, a permission, a setting. Says what to do.
    #[error("{0}")]
    Fatal(String),
}

/// Committed records of a state partition, and how far reading got.
#[derive(Debug, Default)]
pub struct ViewRead {
    /// Key and value in order; no value is a tombstone.
    pub records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Where reading goes on: past control records and compacted gaps.
    pub position: i64,
}

/// One lane's log: a group consumer, a transactional producer, a reader of state.
pub trait Log {
    /// What happened since the last call, at most `max` records, waiting at most `wait` for the
    /// first. Paused partitions give nothing; assigned ones start paused.
    ///
    /// # Errors
    /// See [`LogError`], here and below.
    fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Polled>, LogError>;

    /// Gives no more records of these until resumed.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn pause(&mut self, partitions: &[Tp]) -> Result<(), LogError>;

    /// Gives records of these again.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn resume(&mut self, partitions: &[Tp]) -> Result<(), LogError>;

    /// Reads on from `offset`: the rewind after an abort.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn seek(&mut self, partition: &Tp, offset: i64) -> Result<(), LogError>;

    /// The offsets that the group committed, pending transactions waited out (or
    /// [`LogError::Retry`]). Where nothing was ever committed: the resolved start.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn stable_committed(&mut self, partitions: &[Tp]) -> Result<Vec<(Tp, i64)>, LogError>;

    /// The first offset of a state partition and its end as a `read_uncommitted` reader sees it:
    /// the last stable offset would stop a transaction short.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn view_bounds(&mut self, partition: &Tp) -> Result<(i64, i64), LogError>;

    /// Committed records of a state partition from `from` on, as many as are there, at most `max`.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn read_view(&mut self, partition: &Tp, from: i64, max: usize) -> Result<ViewRead, LogError>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn begin(&mut self) -> Result<(), LogError>;

    /// Writes in the transaction.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn write(&mut self, output: &Output, partition: i32) -> Result<(), LogError>;

    /// Puts the group's offsets into the transaction, with the group's current generation.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn offsets(&mut self, offsets: &[(Tp, i64)]) -> Result<(), LogError>;

    /// Commits.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn commit(&mut self) -> Result<Commit, LogError>;

    /// Aborts; without an open transaction it does nothing.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn abort(&mut self) -> Result<(), LogError>;

    /// A new producer of the same transactional id: ends what the old one left, and fences it.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn rebuild_producer(&mut self) -> Result<(), LogError>;

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn partitions(&mut self, topic: &str) -> Result<i32, LogError>;

    /// The cluster's id.
    ///
    /// # Errors
    /// As [`Log::poll`].
    fn cluster(&mut self) -> Result<String, LogError>;
}
