//! What goes on during the kill test: a load that never ends by itself, and a watch on how long
//! readers are held up.
//!
//! The load writes down what each record must give before it is sent. Neither knows of kills.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sightline::sighting::Timestamp;

use crate::broker::{Broker, now};
use crate::job::{NOW, RAW, Reporter};
use crate::load::{Claim, Generator};
use crate::wire::{Place, Wire};

/// Records in one go, and how long until the next: a hundred a second, in every transaction a few.
const AT_ONCE: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);
/// Nothing is sent while so many records wait: a machine that can't follow must not be left behind.
const MOST_WAITING: i64 = 3_000;
/// Between two looks at the ends of all partitions.
const LOOK: Duration = Duration::from_millis(100);

/// A line of the generator's file: where a raw record stands, and what it must give.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Of the value, in hex; none of a tombstone.
    pub(crate) sha256: Option<String>,
    /// None: a dead letter.
    pub(crate) claims: Vec<Claim>,
}

/// The digest of a raw value.
pub(crate) fn digest(value: Option<&[u8]>) -> Option<String> {
    value.map(|value| hex::encode(Sha256::digest(value)))
}

/// Something that goes on until it is told to stop, or is dropped.
pub(crate) struct Going<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Going<T> {
    /// Calls `each` until it is stopped, then `end`.
    fn start<S: Send + 'static>(
        mut state: S,
        each: impl Fn(&mut S) + Send + 'static,
        end: impl FnOnce(S) -> T + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = stop.clone();
        let thread = std::thread::spawn(move || {
            while !theirs.load(Ordering::Relaxed) {
                each(&mut state);
            }
            end(state)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops it, and gives what it has.
    pub(crate) fn stop(mut self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl<T> Drop for Going<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Load {
    generator: Generator,
    reporter: Reporter,
    wire: Wire,
    truth: BufWriter<File>,
    sent: BTreeMap<Place, i64>,
}

/// Sends records without an end, and writes to `truth` what each must give; when stopped, how many
/// there were.
pub(crate) fn send(broker: &Broker, seed: u64, truth: &Path) -> Going<i64> {
    let load = Load {
        generator: Generator::new(seed, NOW.parse::<Timestamp>().unwrap()),
        reporter: Reporter::new(broker),
        wire: Wire::new(broker.bootstrap()),
        truth: BufWriter::new(File::create(truth).unwrap()),
        sent: BTreeMap::new(),
    };
    Going::start(load, Load::go_on, |mut load| {
        load.truth.flush().unwrap();
        load.sent.values().sum()
    })
}

impl Load {
    fn go_on(&mut self) {
        std::thread::sleep(PAUSE);
        let taken = |(topic, partitions): (&str, i32)| -> i64 {
            self.wire.committed("sightline.intake", topic, partitions).values().sum()
        };
        let taken: i64 = RAW.into_iter().map(taken).sum();
        if self.sent.values().sum::<i64>() - taken > MOST_WAITING {
            return;
        }
        let records: Vec<_> = self.generator.by_ref().take(AT_ONCE).collect();
        for record in &records {
            let partition = Reporter::partition(record);
            let offset = self.sent.entry((record.topic.to_owned(), partition)).or_default();
            let line = Line {
                topic: record.topic.to_owned(),
                partition,
                offset: *offset,
                sha256: digest(record.value.as_deref()),
                claims: record.claims.clone(),
            };
            *offset += 1;
            serde_json::to_writer(&mut self.truth, &line).unwrap();
            self.truth.write_all(b"\n").unwrap();
        }
        self.reporter.send(&records);
    }
}

struct Standing {
    wire: Wire,
    topics: Vec<(String, i32)>,
    /// Where readers of committed records stand, and since when, though there is more.
    since: BTreeMap<Place, (i64, Instant)>,
    longest: BTreeMap<String, Duration>,
}

/// Watches where readers of committed records stand still though there is more; when stopped, for how
/// long at most, by topic.
pub(crate) fn watch(broker: &Broker, topics: Vec<(String, i32)>) -> Going<BTreeMap<String, Duration>> {
    let wire = Wire::new(broker.bootstrap());
    let standing = Standing { wire, topics, since: BTreeMap::new(), longest: BTreeMap::new() };
    Going::start(standing, Standing::look, |standing| standing.longest)
}

impl Standing {
    fn look(&mut self) {
        std::thread::sleep(LOOK);
        let topics: Vec<(&str, i32)> = self.topics.iter().map(|(topic, n)| (&**topic, *n)).collect();
        let stable = self.wire.ends(&topics, true);
        let all = self.wire.ends(&topics, false);
        let at = now();
        for (place, end) in stable {
            if all.get(&place).is_none_or(|all| *all <= end) {
                self.since.remove(&place);
                continue;
            }
            let (stood, since) = self.since.entry(place.clone()).or_insert((end, at));
            if *stood != end {
                (*stood, *since) = (end, at);
            }
            let longest = self.longest.entry(place.0).or_default();
            *longest = (*longest).max(at.duration_since(*since));
        }
    }
}
