//! The ledger's format for those who check it without this program: a JSON Schema of an entry, from its
//! type and the comments there, and an example that is made as entries are.
//!
//! It says nothing of what this program does with a ledger.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{
    AgreementRef, Chain, Draft, Entry, IndicatorType, Kind, Output, Pap, Purpose, Role, Timestamp, Tlp,
    Verdict, Versions, append, commitment,
};

/// The JSON Schema (draft 2020-12) of an entry. `x-example` beside it has two entries of a chain as texts,
/// byte for byte, and the message of the first, with the headers that the rules speak of.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Entry<'_>>().to_value();
    // It is put in when all else is written, and is never missing.
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("hash".into());
    }
    schema["x-example"] = example();
    schema
}

fn example() -> Value {
    let salt = "5a".repeat(32);
    let payload = r#"{"lead":{"indicator":{"type":"ipv4","value":"198.51.100.7"}},"terms":{"handling":{"onward":"community"}}}"#;
    let id = "0f".repeat(16);
    let draft = Draft {
        disclosure_id: id.clone(),
        disclosure_version: 1,
        decided_at: Timestamp(1_780_315_200_000),
        agreement: AgreementRef {
            id: "unit-01".to_owned(),
            version: 3,
            digest: format!("sha256:{}", "c4".repeat(32)),
        },
        provider: "org:house".to_owned(),
        recipient: "org:unit".to_owned(),
        purposes: vec![Purpose::CrimeInvestigation],
        legal_basis: vec!["agreement".to_owned()],
        role: Role::C2,
        indicator_type: IndicatorType::Ipv4,
        commitment: commitment(&salt, payload.as_bytes()).expect("a salt of digits"),
        output: Output {
            format: "json".to_owned(),
            bytes: payload.len() as u64,
            topic: "out.unit".to_owned(),
            key: id.clone(),
        },
        tlp: Tlp::Green,
        pap: Pap::Clear,
        risk: 84,
        confidence: 80,
        verdict: Verdict::Malicious,
        versions: Versions {
            model: "model@1".to_owned(),
            sources: [("geoip".to_owned(), "2026-05".to_owned())].into(),
        },
    };
    let mut chain = Chain::default();
    let stopped = Kind::Stopped { reason: "agreement-status".to_owned(), stops: None };
    let later = Draft { disclosure_version: 2, ..draft.clone() };
    let entries: Vec<String> = [(Kind::Disclosed, &draft), (stopped, &later)]
        .into_iter()
        .map(|(kind, draft)| append(&mut chain, &kind, draft, Timestamp(1_780_315_260_000)))
        .map(|bytes| String::from_utf8(bytes).expect("an entry is UTF-8"))
        .collect();
    let headers = [
        ("dx-disclosure-id", id.as_str()),
        ("dx-version", "1"),
        ("dx-agreement", "unit-01@3"),
        ("dx-agreement-digest", &draft.agreement.digest),
        ("dx-tlp", "GREEN"),
        ("dx-pap", "CLEAR"),
        ("dx-handling", r#"{"onward":"community"}"#),
        ("dx-salt", &salt),
    ];
    json!({
        "key": "unit-01",
        "values": entries,
        "head": { "seq": chain.seq, "hash": hex::encode(chain.hash) },
        "message": { "topic": "out.unit", "key": id, "headers": headers, "value": payload },
    })
}
