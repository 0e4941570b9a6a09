//! agreement

use std::sync::Arc;

use crate::diag::{Finding, Findings, Place, Source};

/// An agreement. Stand-in.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// Its id.
    pub id: String,
    /// Who is told.
    pub recipient: Recipient,
    /// The audience topic.
    pub topic: String,
    topic_place: Option<Place>,
}

/// Who is told. Stand-in.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// `org:...`.
    pub id: String,
}

impl Agreement {
    /// Where the topic is written.
    pub fn topic_place(&self) -> Option<Place> {
        self.topic_place.clone()
    }
}

/// The kinds of audience (`sharing.md` 6.1). Stand-in.
#[derive(Debug, Clone, Copy)]
pub enum AudienceKind {
    /// Police across countries.
    LeInternational,
    /// Police of one country.
    LeNational,
    /// CERT.
    CertNational,
    /// Those who run networks.
    IspAbuse,
    /// A company of the trade.
    VendorPeer,
    /// A sharing centre.
    SectorIsac,
    /// Anybody.
    Public,
}

impl AudienceKind {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeInternational => "le-international",
            Self::LeNational => "le-national",
            Self::CertNational => "cert-national",
            Self::IspAbuse => "isp-abuse",
            Self::VendorPeer => "vendor-peer",
            Self::SectorIsac => "sector-isac",
            Self::Public => "public",
        }
    }
}

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
            recipient: Recipient { id: text(recipient.get("id"))? },
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
