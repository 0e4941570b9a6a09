//! The dead-letter brake: one broken reporter must not pour its topic into dead letters.
//!
//! It counts one input topic over a window. Above its share it stops that topic alone; after a
//! window's rest, or by command, it lets the topic go on and looks again.

use crate::sighting::Timestamp;

/// When a topic is stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct BrakeSettings {
    /// Dead letters among records, above 0, at most 1.
    pub share: f64,
    /// Milliseconds that are looked at together.
    pub window: i64,
    /// Fewer records than this in a window say nothing.
    pub minimum: u64,
}

/// The brake of one topic.
#[derive(Debug, Clone)]
pub struct Brake {
    settings: BrakeSettings,
    window_start: Option<Timestamp>,
    records: u64,
    dead: u64,
    stopped_at: Option<Timestamp>,
}

impl Brake {
    /// A brake that is open.
    pub fn new(settings: BrakeSettings) -> Self {
        Self { settings, window_start: None, records: 0, dead: 0, stopped_at: None }
    }

    /// Whether the topic stands still.
    pub fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// Counts a committed batch. True when the topic must be stopped now.
    pub fn saw(&mut self, records: u64, dead: u64, now: Timestamp) -> bool {
        let start = *self.window_start.get_or_insert(now);
        if now.since(start) > self.settings.window || now < start {
            self.window_start = Some(now);
            self.records = 0;
            self.dead = 0;
        }
        self.records += records;
        self.dead += dead;
        #[expect(clippy::cast_precision_loss, reason = "counts of a window are far below 2^52")]
        let above = self.dead as f64 > self.settings.share * self.records as f64;
        if self.is_stopped() || self.records < self.settings.minimum || !above {
            return false;
        }
        self.stopped_at = Some(now);
        true
    }

    /// True once a window has passed since the stop: the topic is let go on, and counted anew.
    pub fn may_try(&mut self, now: Timestamp) -> bool {
        let rested = self.stopped_at.is_some_and(|at| now.since(at) >= self.settings.window || now < at);
        rested && self.release()
    }

    /// Lets the topic go on. True when it stood still.
    pub fn release(&mut self) -> bool {
        self.window_start = None;
        self.records = 0;
        self.dead = 0;
        self.stopped_at.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brake() -> Brake {
        Brake::new(BrakeSettings { share: 0.5, window: 1_000, minimum: 10 })
    }

    #[test]
    fn stops_above_the_share_and_not_below_the_minimum() {
        let mut brake = brake();
        assert!(!brake.saw(9, 9, Timestamp(0)), "nine records say nothing");
        assert!(brake.saw(1, 1, Timestamp(10)));
        assert!(brake.is_stopped());
        assert!(!brake.saw(5, 5, Timestamp(20)), "it is stopped only once");
    }

    #[test]
    fn half_is_not_above_half() {
        assert!(!brake().saw(20, 10, Timestamp(0)));
    }

    #[test]
    fn an_old_window_is_forgotten() {
        let mut brake = brake();
        assert!(!brake.saw(9, 9, Timestamp(0)));
        assert!(!brake.saw(9, 9, Timestamp(2_000)));
    }

    #[test]
    fn goes_on_after_a_windows_rest() {
        let mut brake = brake();
        assert!(brake.saw(10, 10, Timestamp(0)));
        assert!(!brake.may_try(Timestamp(999)));
        assert!(brake.may_try(Timestamp(1_000)));
        assert!(!brake.is_stopped());
        assert!(brake.saw(10, 10, Timestamp(1_001)), "and stops again when it is still bad");
        assert!(brake.release() && !brake.release());
    }
}
