//! The arithmetic against figures worked out elsewhere (`domain.md` 5.5).

use super::{freshness, noisy_or, risk, rounded};
use crate::sighting::time::DAY;

#[track_caller]
fn close(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-12, "{left} is not {right}");
}

#[test]
fn noisy_or_of_three_and_with_a_leak() {
    close(noisy_or(0.0, [0.8, 0.6, 0.5].into_iter()), 0.96);
    close(noisy_or(0.02, [0.8, 0.6, 0.5].into_iter()), 0.9608);
    close(noisy_or(0.0, [].into_iter()), 0.0);
}

#[test]
fn risk_of_log_odds() {
    // The prior 0.30 is a log-odds of -0.85; with +2.3, +1.1 and -3.0 it gives 0.39.
    assert_eq!(risk(-85), 30);
    assert_eq!(risk(-85 + 230 + 110 - 300), 39);
    assert_eq!(risk(0), 50);
    assert_eq!((risk(139), risk(-139)), (80, 20));
    assert_eq!((risk(i32::MAX), risk(i32::MIN)), (100, 0));
}

#[test]
fn evidence_halves_in_its_half_life() {
    let points = |days: i64| rounded(320.0 * freshness(days * DAY, 14 * DAY));
    assert_eq!([0, 7, 14, 28, 42, 365].map(points), [320, 226, 160, 80, 40, 0]);
    // Half away from zero, on both sides of it.
    assert_eq!((rounded(0.5), rounded(-0.5), rounded(2.5)), (1, -1, 3));
}
