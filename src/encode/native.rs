//! Sightline's own JSON: the message of a disclosure, and the headers that travel with it.
//!
//! Deterministic: keys in alphabetical order, no spaces, nothing from clock or chance. What may be in it
//! was decided before ([`crate::share::redact`]); nothing is chosen here.

use serde::Serialize;
use serde_json::Value;

use crate::share::redact;
use crate::share::{Agreement, Release};
use crate::sighting::{Marking, Pap, Timestamp, Tlp};

/// What a message says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MessageHead<'a> {
    /// As [`crate::share::keyed::disclosure_id`].
    pub disclosure_id: &'a str,
    /// Counts from 1.
    pub version: u64,
    /// The version that this one replaces at the recipient, if there was one.
    pub supersedes: Option<u64>,
    /// The agreement's name.
    pub agreement: &'a str,
    /// Its version.
    pub agreement_version: u32,
    /// `sha256:` and the hex digest of its file.
    pub agreement_digest: &'a str,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// The strictest marking of what was used.
    pub marking: Marking,
    /// What travels with it, as [`crate::share::Release::carried`]: `handling`, `legal` and so on.
    pub carried: &'a Value,
}

impl<'a> MessageHead<'a> {
    /// The head of a release: whatever the agreement and the release say, from them.
    pub fn of(
        agreement: &'a Agreement,
        release: &'a Release,
        disclosure_id: &'a str,
        version: u64,
        supersedes: Option<u64>,
        decided_at: Timestamp,
    ) -> Self {
        Self {
            disclosure_id,
            version,
            supersedes,
            agreement: &agreement.id,
            agreement_version: agreement.version,
            agreement_digest: &agreement.digest,
            decided_at,
            marking: release.marking,
            carried: &release.carried,
        }
    }
}

/// A message as it is written: its fields stand in alphabetical order.
#[derive(Serialize)]
struct Message<'a> {
    agreement: MessageAgreement<'a>,
    decided_at: Timestamp,
    disclosure_id: &'a str,
    lead: &'a Value,
    marking: MessageMarking,
    #[serde(skip_serializing_if = "Option::is_none")]
    supersedes: Option<u64>,
    terms: &'a Value,
    version: u64,
}

#[derive(Serialize)]
struct MessageAgreement<'a> {
    digest: &'a str,
    id: &'a str,
    version: u32,
}

#[derive(Serialize)]
struct MessageMarking {
    pap: Pap,
    tlp: Tlp,
}

/// The bytes of a message: `agreement`, `decided_at`, `disclosure_id`, `lead` (the redacted fields),
/// `marking`, `supersedes` where there was an earlier version, `terms` (what is carried), `version`.
pub fn disclosure(fields: &Value, head: &MessageHead<'_>) -> Vec<u8> {
    let message = Message {
        agreement: MessageAgreement {
            digest: head.agreement_digest,
            id: head.agreement,
            version: head.agreement_version,
        },
        decided_at: head.decided_at,
        disclosure_id: head.disclosure_id,
        lead: fields,
        marking: MessageMarking { pap: head.marking.pap, tlp: head.marking.tlp },
        supersedes: head.supersedes,
        terms: head.carried,
        version: head.version,
    };
    // Most messages fit without growing.
    let mut bytes = Vec::with_capacity(2 * 1024);
    serde_json::to_writer(&mut bytes, &message).expect("texts, numbers and trees of them are JSON");
    bytes
}

/// The headers of a message, in a fixed order. `dx-handling` is the compact JSON of how it may be used;
/// `dx-salt` is [`crate::share::keyed::salt`], by which the recipient can show what it was told.
pub fn headers(head: &MessageHead<'_>, salt: &str) -> Vec<(String, Vec<u8>)> {
    let handling = head.carried.get("handling").map_or_else(|| b"{}".to_vec(), redact::bytes);
    let text = |text: &str| text.as_bytes().to_vec();
    [
        ("dx-disclosure-id", text(head.disclosure_id)),
        ("dx-version", text(&head.version.to_string())),
        ("dx-agreement", text(&format!("{}@{}", head.agreement, head.agreement_version))),
        ("dx-agreement-digest", text(head.agreement_digest)),
        ("dx-tlp", text(head.marking.tlp.as_str())),
        ("dx-pap", text(head.marking.pap.as_str())),
        ("dx-handling", handling),
        ("dx-salt", text(salt)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn head(carried: &Value) -> MessageHead<'_> {
        MessageHead {
            disclosure_id: "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
            version: 2,
            supersedes: Some(1),
            agreement: "unit-01",
            agreement_version: 3,
            agreement_digest: "sha256:00",
            decided_at: Timestamp(1_780_315_200_000),
            marking: Marking { tlp: Tlp::AmberStrict, pap: Pap::Green },
            carried,
        }
    }

    fn carried() -> Value {
        json!({ "handling": { "onward": "own-organisation" }, "legal": {} })
    }

    #[test]
    fn a_message_is_its_bytes() {
        let bytes = disclosure(
            &json!({ "role": "c2", "indicator": { "value": "v", "type": "t" } }),
            &head(&carried()),
        );
        expect_test::expect![[r#"{"agreement":{"digest":"sha256:00","id":"unit-01","version":3},"decided_at":"2026-06-01T12:00:00Z","disclosure_id":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f","lead":{"indicator":{"type":"t","value":"v"},"role":"c2"},"marking":{"pap":"GREEN","tlp":"AMBER+STRICT"},"supersedes":1,"terms":{"handling":{"onward":"own-organisation"},"legal":{}},"version":2}"#]]
        .assert_eq(&String::from_utf8(bytes).unwrap());
    }

    #[test]
    fn the_headers_are_those_of_the_design() {
        let carried = carried();
        let headers = headers(&head(&carried), "ab");
        let shown: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect();
        expect_test::expect![[r#"
            dx-disclosure-id: 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
            dx-version: 2
            dx-agreement: unit-01@3
            dx-agreement-digest: sha256:00
            dx-tlp: AMBER+STRICT
            dx-pap: GREEN
            dx-handling: {"onward":"own-organisation"}
            dx-salt: ab"#]]
        .assert_eq(&shown.join("\n"));
    }
}
