//! The load of the bench: raw records in our own format, from a seed, with the skew of the design page.
//!
//! Seven reporters; a tenth of the indicators in four fifths of the sightings, or each indicator new.
//! Three records in twenty are in a role that some agreement takes, so that about one decision in ten
//! passes: the others are what sensors mostly see. It knows no Kafka and no clock.

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use sightline::sighting::Timestamp;

/// Those who send.
pub(crate) const REPORTERS: [&str; 7] =
    ["blackwater-labs", "larkspur", "meridian-dns", "northwind", "quarrystone", "saltmarsh", "tidewatch"];

/// How many indicators the skewed load is about.
pub(crate) const INDICATORS: u32 = 10_000;
/// The number of its first.
pub(crate) const SKEWED_FROM: u32 = 0x0400_0000;

/// Which indicators are spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// A tenth of [`INDICATORS`] in four fifths of the sightings.
    Skewed,
    /// Each sighting is of another indicator.
    AllNew,
    /// The same, and each is one that agreements let out; there are [`PASSING`] of them.
    Passing,
}

/// How many indicators there are that the list knows as what agreements ask for.
pub(crate) const PASSING: u32 = NEW / 10;
/// Of the indicators that are each new, so many are known to the list where they matter.
pub(crate) const NEW: u32 = 400_000;

/// The number of one of [`PASSING`].
pub(crate) fn passing(which: u32) -> u32 {
    which % PASSING * 10
}

/// Raw records without end; the same for the same seed, mix and `now`.
pub(crate) struct Load {
    rng: Pcg64,
    mix: Mix,
    now: Timestamp,
    made: u32,
}

impl Load {
    pub(crate) fn new(seed: u64, mix: Mix, now: Timestamp) -> Self {
        Self { rng: Pcg64::seed_from_u64(seed), mix, now, made: 0 }
    }

    /// Goes on as if so many had been made.
    pub(crate) fn after(self, made: u32) -> Self {
        Self { made, ..self }
    }

    fn indicator(&mut self) -> u32 {
        match self.mix {
            Mix::AllNew => self.made,
            Mix::Passing => passing(self.made),
            Mix::Skewed => {
                let hot = self.rng.random_range(0..5) != 0;
                let n = if hot {
                    self.rng.random_range(0..INDICATORS / 10)
                } else {
                    self.rng.random_range(INDICATORS / 10..INDICATORS)
                };
                // Beside those that are each new, so that the two mixes can share a pipeline.
                SKEWED_FROM + n
            }
        }
    }
}

/// An address or a name, another for each number below 2^28: scattered over public address space.
pub(crate) fn text_of(n: u32) -> String {
    if n % 5 == 4 {
        return format!("host-{n:x}.load-{:x}.com", n % 977);
    }
    /// Public networks of 2^24 addresses each.
    const FIRST: [u8; 16] = [5, 23, 31, 41, 45, 62, 77, 80, 91, 103, 118, 139, 171, 185, 202, 213];
    // An odd factor permutes the numbers below 2^28.
    let [a, b, c, d] = n.wrapping_mul(0x9e37_79b1).to_be_bytes();
    format!("{}.{b}.{c}.{d}", FIRST[usize::from(a % 16)])
}

/// What an indicator is seen as; of three in twenty, something that agreements ask for.
pub(crate) fn role_of(n: u32) -> &'static str {
    match n % 20 {
        0 | 10 => "c2",
        1 => "phishing",
        2..=8 => "scanner",
        9 | 11..=14 => "brute-force",
        _ => "spam",
    }
}

impl Iterator for Load {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let n = self.indicator();
        self.made += 1;
        let role = role_of(n);
        let reporter = REPORTERS[self.rng.random_range(0..REPORTERS.len())];
        let seen = Timestamp(self.now.0 - 1000 * self.rng.random_range(1..86_400));
        let port = [22, 80, 443, 4443, 8080][self.rng.random_range(0..5)];
        let confidence = self.rng.random_range(70..=100);
        let family = ["emotet", "mirai", "asyncrat", "remcos"][self.rng.random_range(0..4)];
        let text = text_of(n);
        let record = format!(
            r#"{{"indicator":"{text}","role":"{role}","observed_at":"{seen}","reporter":"{reporter}","malware":"{family}","port":{port},"protocol":"tcp","claimed_confidence":{confidence}}}"#
        );
        Some(record.into_bytes())
    }
}
