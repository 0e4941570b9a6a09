//! The mutants: for each rule of the runner that is removed, some seed must fail. It is the proof
//! that the simulation would find the fault, not only that it finds none.
//!
//! How a rule is removed is in `wrong`; what the books are, in `ledgerless` and `whole`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::play;
use crate::wrong::Mutant;

/// So many seeds a mutant may take, and no more.
const MOST: u64 = 1_000;

/// Each mutant with its name.
pub(crate) const MUTANTS: [(&str, Mutant); 9] = [
    ("offsets-outside", Mutant::OffsetsOutside),
    ("state-written-early", Mutant::StateWrittenEarly),
    ("state-applied-early", Mutant::StateAppliedEarly),
    ("no-rewind", Mutant::NoRewind),
    ("no-fence", Mutant::NoFence),
    ("timers-without-offsets", Mutant::TimersWithoutOffsets),
    ("end-is-last-stable", Mutant::EndIsLastStable),
    ("uncommitted-entry", Mutant::UncommittedEntry),
    ("overlay-forgotten", Mutant::OverlayForgotten),
];

/// The mutant of a name.
pub(crate) fn named(name: &str) -> Option<Mutant> {
    MUTANTS.iter().find(|(known, _)| *known == name).map(|(_, mutant)| *mutant)
}

/// Plays seeds from 0 on all cores until one fails, at most `most`; the first that fails, and how.
fn first_failure(mutant: Option<Mutant>, most: u64) -> Option<(u64, String)> {
    let next = AtomicU64::new(0);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let until = AtomicU64::new(most);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until.load(Ordering::Relaxed) {
                        return;
                    }
                    let failure = play(seed, false, mutant).err();
                    // A mutant must be caught by the books: that it comes to no end proves less.
                    let counts = |message: &String| mutant.is_none() || !message.starts_with(NOT_QUIET);
                    if let Some(message) = failure.filter(counts) {
                        // The lowest seed counts, whichever thread was quicker.
                        let mut found = found.lock().expect("nothing panics while it is held");
                        if found.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *found = Some((seed, message));
                            until.fetch_min(seed, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    found.into_inner().expect("nothing panics while it is held")
}

/// How the world says that it came to no end.
const NOT_QUIET: &str = "not quiet";

/// What a mutant may not fail with: then it is the mutant that is broken, and nothing is proved.
const OF_THE_LOG: &str = "log-failed";

/// Plays every mutant, and the same seeds unmutated. Passed and failed.
pub(crate) fn run() -> (u64, u64) {
    let (mut passed, mut failed, mut seeds) = (0, 0, 1);
    for (name, mutant) in MUTANTS {
        match first_failure(Some(mutant), MOST) {
            Some((seed, message)) if !message.contains(OF_THE_LOG) => {
                passed += 1;
                seeds = seeds.max(seed + 1);
                println!("{name}: caught by seed {seed} after {} seeds: {message}", seed + 1);
            }
            Some((seed, message)) => {
                failed += 1;
                println!("{name}: seed {seed} failed for another reason: {message}");
            }
            None => {
                failed += 1;
                println!("{name}: survived {MOST} seeds");
            }
        }
    }
    match first_failure(None, seeds) {
        None => {
            passed += 1;
            println!("unmutated: all {seeds} seeds pass");
        }
        Some((seed, message)) => {
            failed += 1;
            println!("unmutated: seed {seed} fails too: {message}");
        }
    }
    (passed, failed)
}

/// Of a panic's message the first lines, in one.
pub(crate) fn in_short(message: &str) -> String {
    let line = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ");
    if line.chars().count() > 200 { line.chars().take(200).chain(['…']).collect() } else { line }
}
