//! JSON as a tree that borrows from the record, read strictly.
//!
//! Stricter than RFC 8259 in what a sender can hide in it: a key that stands twice is refused, and
//! depth and number of values are bounded before anything is built of them. It knows nothing of
//! sightings.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Reject;
use crate::sighting::reason::{Reason, quote};

/// The deepest nesting that is read. Less than the parser's own limit, and little enough that
/// dropping a tree needs no care.
const MAX_DEPTH: u32 = 64;
/// The most values in one record: so a record of commas does not become a hundred times its size.
const MAX_VALUES: u32 = 1 << 20;

/// A JSON value. Objects keep the order of the text; no key stands twice.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Scalar(Scalar<'a>),
    List(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// A value without parts.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// A text; of CSV, every value.
    Text(Cow<'a, str>),
    /// A whole number that is not negative.
    Unsigned(u64),
    /// A negative whole number.
    Negative(i64),
    /// Any other number.
    Float(f64),
    /// True or false.
    Bool(bool),
}

impl<'a> Json<'a> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Scalar(scalar) => scalar.kind(),
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl Scalar<'_> {
    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Unsigned(_) | Self::Negative(_) | Self::Float(_) => "a number",
            Self::Bool(_) => "true or false",
        }
    }
}

/// The value that `bytes` hold, with nothing behind it. A byte order mark before it is skipped.
pub(super) fn parse(bytes: &[u8]) -> Result<Json<'_>, Reject> {
    let text = super::utf8(bytes)?;
    let budget = Budget { fault: Cell::new(None), values: Cell::new(0) };
    let mut parser = serde_json::Deserializer::from_str(text);
    Seed { budget: &budget, depth: 0 }
        .deserialize(&mut parser)
        .and_then(|json| parser.end().map(|()| json))
        .map_err(|err| Reject::new(budget.fault.get().unwrap_or(Reason::NotJson), err.to_string()))
}

/// What is left to spend on one record, and what went wrong where the parser can't say it.
struct Budget {
    fault: Cell<Option<Reason>>,
    values: Cell<u32>,
}

impl Budget {
    fn fault<E: de::Error>(&self, reason: Reason, text: impl fmt::Display) -> E {
        self.fault.set(Some(reason));
        E::custom(text)
    }
}

#[derive(Clone, Copy)]
struct Seed<'b> {
    budget: &'b Budget,
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        let values = self.budget.values.get() + 1;
        self.budget.values.set(values);
        if values > MAX_VALUES {
            let text = format_args!("it has more than {MAX_VALUES} values; send fewer sightings a record");
            return Err(self.budget.fault(Reason::TooComplex, text));
        }
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            let text = format_args!("it is nested more than {MAX_DEPTH} deep");
            return Err(self.budget.fault(Reason::TooDeep, text));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Scalar(Scalar::Bool(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Scalar(Scalar::Unsigned(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Scalar(u64::try_from(value).map_or(Scalar::Negative(value), Scalar::Unsigned)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Scalar(Scalar::Float(value)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Scalar(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Scalar(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(seed)? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let seed = self.deeper()?;
        let mut object: Vec<(Cow<'de, str>, Json<'de>)> = Vec::new();
        while let Some(key) = map.next_key_seed(Key)? {
            if object.is_empty() {
                // A native sighting fits without growing.
                object.reserve(12);
            }
            object.push((key, map.next_value_seed(seed)?));
        }
        match twice(&object) {
            Some(key) => Err(self
                .budget
                .fault(Reason::DuplicateKey, format_args!("the key {} stands twice", quote(key)))),
            None => Ok(Json::Object(object)),
        }
    }
}

/// The first key that stands twice.
fn twice<'o>(object: &'o [(Cow<'_, str>, Json<'_>)]) -> Option<&'o str> {
    if object.len() <= 16 {
        // Comparing a few keys with each other is faster than sorting them.
        return object
            .iter()
            .enumerate()
            .find(|(at, (key, _))| object[..*at].iter().any(|(other, _)| other == key))
            .map(|(_, (key, _))| &**key);
    }
    let mut keys: Vec<&str> = object.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// A key, borrowed where it holds no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: impl AsRef<[u8]>, code: &str) {
        let got = parse(text.as_ref()).map_err(|reject| reject.code);
        assert_eq!(got.err().unwrap_or("ok"), code);
    }

    #[test]
    fn what_is_refused() {
        check(r#"{"a": [1, -1, 1.5, "x", true, null, {}]}"#, "ok");
        check("\u{feff}{}", "ok");
        check("", "not-json");
        check("{} {}", "not-json");
        check(r#"{"a": NaN}"#, "not-json");
        check(r#"{"a": 1e999}"#, "not-json");
        check(r#"{"a": 01}"#, "not-json");
        check(r#"{"a": 1,}"#, "not-json");
        check(r#"{'a': 1}"#, "not-json");
        check(r#"{"a": "\ud800"}"#, "not-json");
        check(r#"{"\udc00": 1}"#, "not-json");
        check("{\"a\": \"\n\"}", "not-json");
        check(b"{\"a\": \"\xff\"}", "not-utf8");
        check(b"\xff\xfe{\0}\0", "not-utf8");
        check(r#"{"a": 1, "a": 1}"#, "duplicate-key");
        check(r#"{"a": 1, "\u0061": 1}"#, "duplicate-key");
        check(r#"[{"x": {"a": 1, "b": 2, "a": 3}}]"#, "duplicate-key");
        let many: String = (0..40).map(|n| format!("\"k{n}\": 1, ")).collect();
        check(format!("{{{many}\"k40\": 1}}"), "ok");
        check(format!("{{{many}\"k7\": 1}}"), "duplicate-key");
    }

    #[test]
    fn what_would_break_a_careless_parser() {
        check("[".repeat(64) + &"]".repeat(64), "ok");
        check("[".repeat(65) + &"]".repeat(65), "too-deep");
        check("[".repeat(100_000), "too-deep");
        check("{\"a\":".repeat(100_000), "too-deep");
        check(format!("[{}0]", "0,".repeat(25_000_000)), "too-complex");
        check(format!("\"{}\"", "x".repeat(50_000_000)), "ok");
        check(format!("{{\"{}\"", "x".repeat(50_000_000)), "not-json");
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let Json::Object(object) = parse(br#"{"k": "v", "\u006b2": "\u0076"}"#).unwrap() else { panic!() };
        assert!(matches!(&object[0], (Cow::Borrowed("k"), Json::Scalar(Scalar::Text(Cow::Borrowed("v"))))));
        assert!(matches!(&object[1], (Cow::Owned(_), Json::Scalar(Scalar::Text(Cow::Owned(_))))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in any::<Vec<u8>>()) {
            if let Err(reject) = parse(&bytes) {
                prop_assert!(Reason::ALL.iter().any(|reason| reason.name() == reject.code));
            }
        }
    }
}
