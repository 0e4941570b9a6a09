//! Times as the formats write them.
//!
//! A form is stated, not guessed; [`Times::Auto`] guesses only what can't be taken for something
//! else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tree::Scalar;
use crate::sighting::Timestamp;

/// How a feed writes its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Times {
    /// RFC 3339 with an offset: `2026-01-31T12:00:00Z`, also `+0000` and a space for the `T`.
    #[default]
    Rfc3339,
    /// Seconds since 1970, with or without a fraction; a number, or a text that is one.
    Epoch,
    /// Milliseconds since 1970.
    EpochMs,
    /// `2026-01-31 12:00:00` without an offset, meant in UTC; a `T` for the space, a fraction, and
    /// `Z` or ` UTC` behind it are accepted.
    Utc,
    /// Any of these: a number is seconds up to 10^11 and milliseconds above (which is 1973 in
    /// milliseconds and the year 5138 in seconds); a time without an offset is in UTC.
    Auto,
}

/// From here on a number can't be seconds.
const FIRST_MILLIS: f64 = 1e11;

impl Times {
    /// The point in time; none when the value has not this form.
    pub(super) fn read(self, value: &Scalar<'_>) -> Option<Timestamp> {
        match (self, value) {
            (Self::Rfc3339, Scalar::Text(text)) => text.trim().parse().ok(),
            (Self::Utc, Scalar::Text(text)) => utc(text.trim()),
            (Self::Epoch, value) => scaled(number(value)?, 1000.0),
            (Self::EpochMs, value) => scaled(number(value)?, 1.0),
            (Self::Auto, value) => {
                if let Some(number) = number(value) {
                    return scaled(number, if number.abs() < FIRST_MILLIS { 1000.0 } else { 1.0 });
                }
                let Scalar::Text(text) = value else { return None };
                let text = text.trim();
                utc(text).or_else(|| text.parse().ok())
            }
            _ => None,
        }
    }

    /// An example, for messages.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Rfc3339 => "RFC 3339 with an offset, such as 2026-01-31T12:00:00Z",
            Self::Epoch => "seconds since 1970, such as 1769860800",
            Self::EpochMs => "milliseconds since 1970, such as 1769860800000",
            Self::Utc => "a time in UTC without an offset, such as 2026-01-31 12:00:00",
            Self::Auto => "RFC 3339, a time in UTC without an offset, or seconds or milliseconds since 1970",
        }
    }
}

/// `YYYY-MM-DD HH:MM:SS` in UTC. An offset is never skipped over: with one, this is no such time.
fn utc(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z').or_else(|| text.strip_suffix(" UTC")).unwrap_or(text);
    let (whole, fraction) =
        text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let whole_fits = whole.len() == 19
        && whole.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => matches!(byte, b' ' | b'T'),
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    let fraction_fits =
        fraction.is_none_or(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if !whole_fits || !fraction_fits {
        return None;
    }
    format!("{text}Z").parse().ok()
}

fn number(value: &Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Text(text) => {
            let text = text.trim();
            // `parse` would take `inf`, `nan` and exponents as well.
            let plain = text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
                && text.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b'.');
            plain.then(|| text.parse().ok()).flatten()
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact up to 2^53, which is past every time that is let in"
        )]
        Scalar::Unsigned(value) => Some(*value as f64),
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        Scalar::Negative(value) => Some(*value as f64),
        Scalar::Float(value) => Some(*value),
        Scalar::Bool(_) => None,
    }
}

fn scaled(number: f64, factor: f64) -> Option<Timestamp> {
    let millis = (number * factor).round();
    // The year 33658 is far enough: what lies ahead is refused anyway, with a better message.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (millis.abs() < 1e15).then_some(Timestamp(millis as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(times: Times, value: impl Into<Scalar<'static>>, want: Option<&str>) {
        let value = value.into();
        assert_eq!(times.read(&value).map(|time| time.to_string()).as_deref(), want, "{times:?} {value:?}");
    }

    impl From<&'static str> for Scalar<'static> {
        fn from(text: &'static str) -> Self {
            Self::Text(text.into())
        }
    }

    impl From<u64> for Scalar<'static> {
        fn from(value: u64) -> Self {
            Self::Unsigned(value)
        }
    }

    impl From<f64> for Scalar<'static> {
        fn from(value: f64) -> Self {
            Self::Float(value)
        }
    }

    const NOON: Option<&str> = Some("2026-01-31T12:00:00Z");

    #[test]
    fn every_form() {
        check(Times::Rfc3339, "2026-01-31T12:00:00Z", NOON);
        check(Times::Rfc3339, " 2026-01-31T13:00:00+01:00 ", NOON);
        check(Times::Rfc3339, "2026-01-31T12:00:00.000000+0000", NOON);
        check(Times::Rfc3339, "2026-01-31 12:00:00Z", NOON);
        check(Times::Rfc3339, "2026-01-31T12:00:00.1239Z", Some("2026-01-31T12:00:00.123Z"));
        check(Times::Rfc3339, "2026-01-31T12:00:00", None);
        check(Times::Rfc3339, "2026-01-31", None);
        check(Times::Rfc3339, "2026-02-30T12:00:00Z", None);
        check(Times::Rfc3339, "31.01.2026 12:00", None);
        check(Times::Rfc3339, 1_769_860_800, None);
        check(Times::Utc, "2026-01-31 12:00:00", NOON);
        check(Times::Utc, "2026-01-31T12:00:00", NOON);
        check(Times::Utc, "2026-01-31 12:00:00 UTC", NOON);
        check(Times::Utc, "2026-01-31T12:00:00Z", NOON);
        check(Times::Utc, "2026-01-31 12:00:00.5", Some("2026-01-31T12:00:00.5Z"));
        check(Times::Utc, "2026-01-31 12:00:00+02:00", None);
        check(Times::Utc, "2026-01-31", None);
        check(Times::Utc, "2026-13-31 12:00:00", None);
        check(Times::Epoch, 1_769_860_800, NOON);
        check(Times::Epoch, "1769860800", NOON);
        check(Times::Epoch, "1769860800.25", Some("2026-01-31T12:00:00.25Z"));
        check(Times::Epoch, 1_769_860_800.25, Some("2026-01-31T12:00:00.25Z"));
        check(Times::Epoch, f64::MAX, None);
        check(Times::Epoch, u64::MAX, None);
        check(Times::Epoch, "inf", None);
        check(Times::Epoch, "1e9", None);
        check(Times::Epoch, "", None);
        check(Times::EpochMs, 1_769_860_800_000, NOON);
        check(Times::EpochMs, "1769860800000", NOON);
        check(Times::Auto, "2026-01-31T12:00:00Z", NOON);
        check(Times::Auto, "2026-01-31T13:00:00+01:00", NOON);
        check(Times::Auto, "2026-01-31 12:00:00", NOON);
        check(Times::Auto, 1_769_860_800, NOON);
        check(Times::Auto, 1_769_860_800_000, NOON);
        check(Times::Auto, "1769860800000", NOON);
        check(Times::Auto, "20260131", Some("1970-08-23T11:48:51Z"));
        check(Times::Auto, "soon", None);
        check(Times::Auto, Scalar::Bool(true), None);
    }
}
