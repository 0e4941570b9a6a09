//! Points in time, in milliseconds, and durations as people write them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z. Printed and read as RFC 3339 in UTC; the fraction is
/// printed only when it is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// Milliseconds in a second, an hour and a day.
pub const SECOND: i64 = 1_000;
/// Milliseconds in an hour.
pub const HOUR: i64 = 3_600 * SECOND;
/// Milliseconds in a day.
pub const DAY: i64 = 24 * HOUR;

impl Timestamp {
    /// Milliseconds from `earlier` to this; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// The last multiple of `millis` at or before this (midnight UTC for [`DAY`]).
    #[must_use]
    pub fn truncate(self, millis: i64) -> Self {
        Self(self.0.div_euclid(millis) * millis)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = plain::write(*self, &mut [0; plain::LONGEST]) {
            return f.write_str(text);
        }
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time}"),
            // Outside of years -9999 to 9999, which no parser of ours lets in.
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;

    /// RFC 3339, any offset.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(time) = plain::read(text) {
            return Ok(time);
        }
        text.parse::<jiff::Timestamp>()
            .map(|time| Self(time.as_millisecond()))
            .map_err(|err| format!("not an RFC 3339 time: {err}"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            match plain::write(*self, &mut [0; plain::LONGEST]) {
                Some(text) => serializer.serialize_str(text),
                None => serializer.collect_str(self),
            }
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl serde::de::Visitor<'_> for Text {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }
        }

        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Text)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date-time",
            "description": "RFC 3339, with an offset; written in UTC."
        })
    }
}

/// The one form that nearly all times have, `2026-11-20T12:00:00Z` with three decimals or none, in the
/// years 1970 to 9999: read and written ten times a sighting, so without the machinery that any other
/// form needs. Everything else goes through `jiff`, and a test compares the two.
mod plain {
    use super::{DAY, Timestamp};

    /// Bytes of the longest text.
    pub(super) const LONGEST: usize = 24;
    /// The first time after the year 9999.
    const END: i64 = 253_402_300_800_000;
    /// Days from 0000-03-01 to 1970-01-01, and in 400 years.
    const EPOCH: u32 = 719_468;
    const ERA: u32 = 146_097;

    /// The text of a time, in these bytes.
    pub(super) fn write(time: Timestamp, bytes: &mut [u8; LONGEST]) -> Option<&str> {
        if !(0..END).contains(&time.0) {
            return None;
        }
        let days = u32::try_from(time.0 / DAY).ok()?;
        let millis = u32::try_from(time.0 % DAY).ok()?;
        // Years begin in March, so that the day that not every year has is the last.
        let days = days + EPOCH;
        let (era, day_of_era) = (days / ERA, days % ERA);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u32::from(month <= 2);
        bytes.copy_from_slice(b"0000-00-00T00:00:00.000Z");
        put(&mut bytes[0..2], year / 100);
        put(&mut bytes[2..4], year % 100);
        put(&mut bytes[5..7], month);
        put(&mut bytes[8..10], day);
        let seconds = millis / 1_000;
        put(&mut bytes[11..13], seconds / 3_600);
        put(&mut bytes[14..16], seconds / 60 % 60);
        put(&mut bytes[17..19], seconds % 60);
        let fraction = millis % 1_000;
        let length = match fraction {
            0 => 20,
            // `jiff` leaves zeros at the end out.
            _ => {
                put(&mut bytes[20..22], fraction / 10);
                bytes[22] = digit(fraction % 10);
                20 + if fraction % 100 == 0 {
                    2
                } else if fraction % 10 == 0 {
                    3
                } else {
                    4
                }
            }
        };
        bytes[length - 1] = b'Z';
        std::str::from_utf8(&bytes[..length]).ok()
    }

    fn digit(n: u32) -> u8 {
        b'0' + u8::try_from(n % 10).unwrap_or(0)
    }

    fn put(bytes: &mut [u8], n: u32) {
        bytes[0] = digit(n / 10);
        bytes[1] = digit(n);
    }

    /// The time of a text without decimals or with three.
    pub(super) fn read(text: &str) -> Option<Timestamp> {
        let bytes = text.as_bytes();
        let millis = match bytes {
            [.., b'Z'] if bytes.len() == 20 => 0,
            [.., b'Z'] if bytes.len() == 24 && bytes[19] == b'.' => number(&bytes[20..23])?,
            _ => return None,
        };
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
            return None;
        }
        let of = |from, to| number(&bytes[from..to]);
        let (year, month, day) = (of(0, 4)?, of(5, 7)?, of(8, 10)?);
        let (hour, minute, second) = (of(11, 13)?, of(14, 16)?, of(17, 19)?);
        // What is less common, or may not be a day at all, is for `jiff`.
        if !(1970..=9999).contains(&year)
            || !(1..=12).contains(&month)
            || !(1..=28).contains(&day)
            || hour > 23
            || minute > 59
            || second > 59
        {
            return None;
        }
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year / 400, year % 400);
        let shifted = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = i64::from(era * ERA + day_of_era) - i64::from(EPOCH);
        let seconds = i64::from(hour * 3_600 + minute * 60 + second);
        Some(Timestamp(days * DAY + seconds * 1_000 + i64::from(millis)))
    }

    fn number(digits: &[u8]) -> Option<u32> {
        digits
            .iter()
            .try_fold(0u32, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    }

    #[cfg(test)]
    mod tests {
        use proptest::prelude::*;

        use super::*;

        #[track_caller]
        fn check(millis: i64) {
            let long = jiff::Timestamp::from_millisecond(millis).unwrap().to_string();
            let mut bytes = [0; LONGEST];
            let text = write(Timestamp(millis), &mut bytes);
            if (0..END).contains(&millis) {
                assert_eq!(text, Some(long.as_str()));
            } else {
                assert_eq!(text, None);
            }
            let read = read(&long);
            assert!(read.is_none_or(|time| time.0 == millis), "{long}");
        }

        #[test]
        fn edges() {
            for at in
                [0, -1, 1, 999, 1_000, 951_782_400_000, 951_868_799_999, 4_107_542_400_000, END - 1, END]
            {
                check(at.min(253_402_207_200_000));
                check(-at.abs());
            }
            // Every day of four hundred years and some, and its last millisecond.
            for day in 0..150_000 {
                check(day * DAY);
                check(day * DAY + DAY - 1);
            }
            assert_eq!(read("2026-11-20T12:00:00Z").map(|time| time.0), Some(1_795_176_000_000));
            for other in
                ["2026-11-20T12:00:00+00:00", "2026-02-30T12:00:00Z", "2026-11-20t12:00:00Z", "", "Z"]
            {
                assert_eq!(read(other), None, "{other}");
            }
        }

        proptest! {
            #[test]
            fn it_agrees_with_jiff(millis in -1_000_000_000_000i64..253_000_000_000_000) {
                check(millis);
            }

            #[test]
            fn it_reads_nothing_that_jiff_does_not(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{3})?Z") {
                if let Some(time) = read(&text) {
                    prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_millisecond(), time.0);
                }
            }
        }
    }
}

/// A length of time in milliseconds, never negative. Written `30s`, `12h`, `30d` or ISO 8601
/// (`PT12H`, `P30D`); a day is 24 hours, and weeks, months and years are refused as ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub i64);

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: jiff::Span =
            text.parse().map_err(|err| format!("not a length of time such as 30s, 12h or P30D: {err}"))?;
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err("months and years have no fixed length; write days".to_owned());
        }
        let millis = span
            .total((jiff::Unit::Millisecond, jiff::SpanRelativeTo::days_are_24_hours()))
            .map_err(|err| err.to_string())?;
        if millis < 0.0 {
            return Err("a length of time is not negative".to_owned());
        }
        #[expect(clippy::cast_possible_truncation, reason = "a jiff span is at most 2^63 milliseconds")]
        Ok(Self(millis as i64))
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Length {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Length".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "length-of-time",
            "description": "A length of time: `30s`, `12h`, `30d`, or ISO 8601 such as `P30D`."
        })
    }
}
