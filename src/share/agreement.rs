//! agreement

use std::sync::Arc;

use crate::diag::{Finding, Findings, Place, Source};

/// An agreement. Stand-in.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// Its id.
    pub id: String,
    /// The recipient's organisation.
    pub recipient: String,
    /// The recipient's kind.
    pub kind: String,
    /// The audience topic.
    pub topic: String,
    /// Where the topic is written.
    pub topic_place: Option<Place>,
}

/// The kinds of audience (`sharing.md` 6.1). Stand-in.
pub const KINDS: [&str; 7] =
    ["le-international", "le-national", "cert-national", "isp-abuse", "vendor-peer", "sector-isac", "public"];

/// Reads and checks one file. Stand-in.
pub fn parse(source: &Arc<Source>, findings: &mut Findings) -> Option<Agreement> {
    let read = || {
        let table: toml::Table = source.text.parse().ok()?;
        let recipient = table.get("parties")?.get("recipient")?;
        let text = |value: Option<&toml::Value>| Some(value?.as_str()?.to_owned());
        let topic = text(table.get("delivery")?.get("topic"))?;
        let at = source.text.find(&format!("\"{topic}\""))?;
        Some(Agreement {
            id: text(table.get("id"))?,
            recipient: text(recipient.get("id"))?,
            kind: text(recipient.get("kind"))?,
            topic_place: Some(Place { source: source.clone(), span: at..at + topic.len() + 2 }),
            topic,
        })
    };
    let agreement = read();
    if agreement.is_none() {
        findings.push(Finding::error("stand-in", format!("{} is no agreement", source.name)));
    }
    agreement
}

/// Checks agreements against each other. Stand-in.
pub fn check_all(agreements: &[Agreement], findings: &mut Findings) {
    let _ = (agreements, findings);
}

/// The schema of an agreement's file. Stand-in.
pub fn schema() -> serde_json::Value {
    crate::diag::schema_of::<serde_json::Value>()
}
