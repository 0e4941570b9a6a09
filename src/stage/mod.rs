//! The four stages as pure steps: (state, work, answers, `now`) to (new state, records out).
//!
//! A step knows no thread, no clock and no Kafka. One runner, in the room `stream`, drives all four; the
//! same steps serve files, tests, replay and `explain`.

pub mod assess;
pub mod dead_letter;
pub mod deliver;
pub mod disclosure;
pub mod intake;
pub mod knowledge;
pub mod release;

use std::sync::Arc;

use crate::enrich::{Answers, Question};
use crate::sighting::Timestamp;

/// A header of a record.
pub type Header = (String, Vec<u8>);

/// A record that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stood.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// The key, if any.
    pub key: Option<Vec<u8>>,
    /// The value, if any.
    pub value: Option<Vec<u8>>,
    /// In order; names may repeat.
    pub headers: Vec<Header>,
}

/// A record to go out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where to.
    pub topic: Arc<str>,
    /// The partition, or none for the one that murmur2 of the key gives.
    pub partition: Option<i32>,
    /// The key, if any.
    pub key: Option<Vec<u8>>,
    /// The value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// In order.
    pub headers: Vec<Header>,
}

/// What one step is given for one input partition.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// The input topic.
    pub topic: &'a str,
    /// The input partition; state, leads and timers go to the same number.
    pub partition: i32,
    /// How many partitions the input topic has.
    pub partitions: i32,
    /// In order of offset; may be empty.
    pub records: &'a [Record],
    /// Keys of state that want to be looked at, at most so many a batch.
    pub due: &'a [Vec<u8>],
    /// How many keys of a sweep this batch may take.
    pub sweep: usize,
}

/// The state of one partition: what was committed, and over it what this batch changed so far.
pub trait State {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Sets a key, or removes it. It also writes the state topic, in the same transaction.
    fn put(&mut self, key: &[u8], value: Option<Vec<u8>>);

    /// At most `limit` keys in the state's own fixed order, after `cursor` (as the last call gave
    /// it; empty for the start), and the cursor to go on from; none when there is no more.
    fn scan(&self, cursor: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<Vec<u8>>);
}

/// Why the process must stop: a fault that is ours, which no dead letter would mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} [{code}]")]
pub struct Stop {
    /// Kebab-case, stable.
    pub code: &'static str,
    /// What to do.
    pub text: String,
}

/// What happened, for the shell to count: a name from a closed list, labels, how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// The metric.
    pub what: &'static str,
    /// Its label's value, from a closed list or the configuration; empty for none.
    pub label: String,
    /// How often.
    pub n: u64,
}

/// What a step made of its work.
#[derive(Debug, Default)]
pub struct Made {
    /// To be written, in order.
    pub outputs: Vec<Output>,
    /// To be counted once committed.
    pub counts: Vec<Count>,
}

impl Made {
    /// Counts `n` of something whose label is these words.
    pub fn count(&mut self, what: &'static str, words: &[&str], n: u64) {
        // There are few labels, and what was counted last is counted again.
        let known =
            self.counts.iter_mut().rev().find(|count| count.what == what && is_of(&count.label, words));
        match known {
            Some(count) => count.n += n,
            None => self.counts.push(Count { what, label: words.join(" "), n }),
        }
    }
}

fn is_of(label: &str, words: &[&str]) -> bool {
    let mut rest = label;
    for (at, word) in words.iter().enumerate() {
        let next = if at == 0 { Some(rest) } else { rest.strip_prefix(' ') };
        let Some(after) = next.and_then(|next| next.strip_prefix(word)) else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// A stage.
pub trait Step: Send {
    /// `intake`, `assess`, `release` or `deliver`.
    fn name(&self) -> &'static str;

    /// The topics it reads.
    fn inputs(&self) -> Vec<Arc<str>>;

    /// The compacted topic that holds its state, if it has any.
    fn state_topic(&self) -> Option<Arc<str>> {
        None
    }

    /// What it would ask before it can do this work. Called again with the answers until it asks
    /// nothing new; at most three rounds.
    fn questions(
        &self,
        work: &Work<'_>,
        state: &dyn State,
        answers: &Answers,
        now: Timestamp,
    ) -> Vec<Question> {
        let _ = (work, state, answers, now);
        Vec::new()
    }

    /// Does the work. A record that can't be processed is a dead letter among the outputs; an error
    /// stops the process.
    ///
    /// # Errors
    /// When the fault is ours: state of an unknown format, a record in the wrong partition.
    fn run(
        &mut self,
        work: &Work<'_>,
        state: &mut dyn State,
        answers: &Answers,
        now: Timestamp,
    ) -> Result<Made, Stop>;

    /// When this entry of the state wants to be looked at.
    fn wake_at(&self, key: &[u8], value: &[u8]) -> Option<Timestamp> {
        let _ = (key, value);
        None
    }

    /// Whether this partition has work of its own left, such as a sweep, though nothing came in.
    fn has_idle_work(&self, state: &dyn State) -> bool {
        let _ = state;
        false
    }
}

/// The partition of a key among `partitions`, as Java's producers choose it.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let positive = murmur2::murmur2(key, murmur2::KAFKA_SEED) & 0x7fff_ffff;
    i32::try_from(i64::from(positive) % i64::from(partitions.max(1))).unwrap_or(0)
}
