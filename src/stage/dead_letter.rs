//! Dead letters: a record that could not be processed, kept whole, with the reason in its headers.
//!
//! Shared by the stages. Sending one again is the console's work, and needs nothing but taking the
//! headers off.

use std::sync::Arc;

use crate::sighting::Timestamp;

use super::{Count, Header, Made, Output, Record};

/// What every header of ours on a dead letter begins with.
pub const PREFIX: &str = "sightline.error.";

/// The dead letter of a record that stood where it says: key, value and headers as they were, and
/// behind them `sightline.error.` with `code`, `text`, `stage`, `topic`, `partition`, `offset` and
/// `at`. Numbers are decimal, times RFC 3339.
///
/// Headers of that name that the record already had, because it was sent again, are taken off: the
/// letter says why it failed now.
pub fn dead_letter(
    topic: &Arc<str>,
    stage: &str,
    record: &Record,
    code: &str,
    text: &str,
    now: Timestamp,
) -> Output {
    let ours: [(&str, String); 7] = [
        ("code", code.to_owned()),
        ("text", text.to_owned()),
        ("stage", stage.to_owned()),
        ("topic", record.topic.to_string()),
        ("partition", record.partition.to_string()),
        ("offset", record.offset.to_string()),
        ("at", now.to_string()),
    ];
    let theirs = record.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX)).cloned();
    let ours =
        ours.into_iter().map(|(name, value)| -> Header { (format!("{PREFIX}{name}"), value.into_bytes()) });
    Output {
        topic: topic.clone(),
        partition: None,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: theirs.chain(ours).collect(),
    }
}

/// Adds the dead letter of a record between our stages that is none of ours, and counts it.
pub(super) fn not_ours(
    made: &mut Made,
    topic: &Arc<str>,
    stage: &str,
    record: &Record,
    text: &str,
    now: Timestamp,
) {
    const CODE: &str = "not-ours";
    made.outputs.push(dead_letter(topic, stage, record, CODE, text, now));
    made.counts.push(Count { what: "dead-letters", label: CODE.to_owned(), n: 1 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_has_its_name_and_value() {
        let record = Record {
            topic: "raw.acme".into(),
            partition: 3,
            offset: 700,
            key: Some(b"k".to_vec()),
            value: Some(b"\xffv".to_vec()),
            headers: vec![
                ("trace".to_owned(), b"\x00\xff".to_vec()),
                ("sightline.error.code".to_owned(), b"old".to_vec()),
                ("trace".to_owned(), b"again".to_vec()),
                ("sightline.error.unheard-of".to_owned(), b"old".to_vec()),
            ],
        };
        let now = Timestamp(1_769_860_800_123);
        let letter = dead_letter(&"dead-letters".into(), "intake", &record, "not-json", "it is no JSON", now);
        assert_eq!(&*letter.topic, "dead-letters");
        assert_eq!(letter.partition, None);
        assert_eq!(letter.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(letter.value.as_deref(), Some(&b"\xffv"[..]));
        let headers: Vec<(&str, &[u8])> =
            letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        assert_eq!(
            headers,
            [
                ("trace", &b"\x00\xff"[..]),
                ("trace", b"again"),
                ("sightline.error.code", b"not-json"),
                ("sightline.error.text", b"it is no JSON"),
                ("sightline.error.stage", b"intake"),
                ("sightline.error.topic", b"raw.acme"),
                ("sightline.error.partition", b"3"),
                ("sightline.error.offset", b"700"),
                ("sightline.error.at", b"2026-01-31T12:00:00.123Z"),
            ]
        );
    }
}
