//! The lane thread: turns a lane on a real log until it is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::lane::{Lane, Stepped};
use super::log::Log;
use super::runner::Note;
use crate::ask::Asker;
use crate::sighting::Timestamp;
use crate::stage::Stop;

/// What a lane thread is given by its process.
pub struct Surroundings<'a> {
    /// The time.
    pub clock: &'a dyn Fn() -> Timestamp,
    /// True when the process drains: the open transaction is ended, nothing new begins.
    pub draining: &'a AtomicBool,
    /// Who answers questions.
    pub asker: &'a Asker,
    /// Hears what happens.
    pub noted: &'a mut dyn FnMut(Note),
    /// Called once a turn: the lane is alive.
    pub alive: &'a dyn Fn(Timestamp),
    /// Called once a turn with the number of entries that wait for the disk; true when somebody
    /// commanded that braked topics go on.
    pub each_turn: &'a mut dyn FnMut(usize) -> bool,
}

/// Turns a lane until the process drains.
///
/// # Errors
/// When the lane wants to leave the process.
pub fn turn<L: Log>(lane: &mut Lane<L>, max: usize, surroundings: &mut Surroundings<'_>) -> Result<(), Stop> {
    loop {
        let now = (surroundings.clock)();
        (surroundings.alive)(now);
        if surroundings.draining.load(Ordering::Relaxed) && lane.next_action().is_none() {
            return Ok(());
        }
        if (surroundings.each_turn)(lane.runner.unwritten()) {
            lane.release_brakes();
        }
        let patience = u64::try_from(lane.runner.patience(now)).unwrap_or(0);
        match lane.step(now, max, Duration::from_millis(patience)) {
            Stepped::Did | Stepped::Polled(_) => {}
            Stepped::Note(note) => (surroundings.noted)(note),
            Stepped::Ask(questions) => {
                let answers = surroundings.asker.ask(questions);
                lane.answer(answers, now);
            }
            Stepped::Stop(stop) => return Err(stop),
        }
    }
}
