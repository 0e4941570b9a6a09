//! Records as lines of JSON, and back: what `enrich` and the demo write and `ledger verify` reads.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::stage::Record;

/// A record as a line.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    key: Option<Cow<'a, str>>,
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Byte for byte, where it is JSON on one line.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// JSON that any reader reads: no deep nesting, no lone surrogates, no number out of range. [`RawValue`]
/// lets all of these through, and a dead letter may hold them.
struct Plain;

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Looking;

        impl<'de> Visitor<'de> for Looking {
            type Value = Plain;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Plain, E> {
                Ok(Plain)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Plain, E> {
                Ok(Plain)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Plain, E> {
                Ok(Plain)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Plain, E> {
                Ok(Plain)
            }

            fn visit_str<E>(self, _: &str) -> Result<Plain, E> {
                Ok(Plain)
            }

            fn visit_unit<E>(self) -> Result<Plain, E> {
                Ok(Plain)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Plain, A::Error> {
                while list.next_element::<Plain>()?.is_some() {}
                Ok(Plain)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Plain, A::Error> {
                while object.next_entry::<Plain, Plain>()?.is_some() {}
                Ok(Plain)
            }
        }

        deserializer.deserialize_any(Looking)
    }
}

/// Levels of nesting in the value, of the 127 that common readers go down: the line itself is one.
const DEPTH: usize = 100;

fn is_shallow(text: &str) -> bool {
    // Brackets in texts count too: what is so wrongly taken as deep is only written in base64.
    let mut depth = 0_usize;
    text.bytes().all(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth <= DEPTH
    })
}

/// Writes one record as one line. A value that is JSON on one line, such as any reader reads, stands
/// there byte for byte; any other as `value_base64`; a tombstone is `"value":null`.
pub(super) fn write(record: &Record, out: &mut impl Write) -> std::io::Result<()> {
    let value = record.value.as_deref();
    let json = match value {
        None => Some("null"),
        Some(bytes) => std::str::from_utf8(bytes).ok().filter(|text| {
            !text.contains('\n') && is_shallow(text) && serde_json::from_str::<Plain>(text).is_ok()
        }),
    };
    let raw: Option<&RawValue> = json.and_then(|text| serde_json::from_str(text).ok());
    // RawValue trims space around the value, which then is not byte for byte.
    // And a value that is the word null must not be read as a tombstone.
    let raw = raw.filter(|raw| value.is_none_or(|bytes| raw.get().len() == bytes.len() && bytes != b"null"));
    let line = Line {
        topic: Cow::Borrowed(&record.topic),
        key: record.key.as_deref().map(String::from_utf8_lossy),
        headers: record
            .headers
            .iter()
            .map(|(name, value)| (Cow::Borrowed(name.as_str()), String::from_utf8_lossy(value)))
            .collect(),
        value: raw,
        value_base64: if raw.is_some() { None } else { value.map(|bytes| STANDARD.encode(bytes)) },
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

/// A line that [`write`] wrote: topic, key, headers, value.
pub(super) fn read(line: &str) -> Result<Record, String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|err| err.to_string())?;
    let value = match (line.value, line.value_base64) {
        // A tombstone: `null` reads as nothing.
        (None, None) => None,
        (Some(raw), None) => Some(raw.get().as_bytes().to_vec()),
        (None, Some(text)) => Some(STANDARD.decode(text).map_err(|err| format!("value_base64: {err}"))?),
        (Some(_), Some(_)) => return Err("both value and value_base64".to_owned()),
    };
    Ok(Record {
        topic: line.topic.as_ref().into(),
        partition: 0,
        offset: 0,
        key: line.key.map(|key| key.into_owned().into_bytes()),
        value,
        headers: line
            .headers
            .into_iter()
            .map(|(n, v)| (n.into_owned(), v.into_owned().into_bytes()))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Option<&[u8]>, expected: &str) {
        let record = Record {
            topic: "leads".into(),
            partition: 0,
            offset: 0,
            key: Some(b"ipv4:198.51.100.7 c2".to_vec()),
            value: value.map(<[u8]>::to_vec),
            headers: vec![("dx-tlp".to_owned(), b"AMBER".to_vec())],
        };
        let mut line = Vec::new();
        write(&record, &mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert!(line.contains(expected), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(read(line.trim_end()).unwrap(), record);
    }

    #[test]
    fn values_come_back_byte_for_byte() {
        check(Some(br#"{"b":1.0,  "a":[]}"#), r#""value":{"b":1.0,  "a":[]}"#);
        check(Some(b" {}"), "value_base64");
        check(Some(b"{\n}"), "value_base64");
        check(Some(b"{"), "value_base64");
        check(Some(&[0xff, 0xfe]), "value_base64");
        check(Some(b"null"), "value_base64");
        check(Some(br#""\ud800""#), "value_base64");
        check(Some(br#"{"\udc00":1}"#), "value_base64");
        check(Some(b"1e999"), "value_base64");
        check(Some("[".repeat(126).as_bytes()), "value_base64");
        check(Some(format!("{}{}", "[".repeat(101), "]".repeat(101)).as_bytes()), "value_base64");
        check(Some(format!("{}{}", "[".repeat(100), "]".repeat(100)).as_bytes()), "\"value\":[[");
        check(Some(br#"[true,-1,1,0.5,"\ud83d\ude00",null,{"a":1}]"#), "\"value\":[true");
        check(None, r#""value":null"#);
    }
}
