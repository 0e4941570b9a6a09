//! What was said: sightings, indicators, roles, markings, and the formats that they come in.
//!
//! Everything here is pure. What a record means is decided once, here: nothing behind this room
//! parses an indicator or a time again.

mod digest;
pub mod formats;
pub mod indicator;
pub mod marking;
pub mod normalise;
pub mod reason;
mod text;
pub mod time;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use digest::Digest;
pub use indicator::{Indicator, IndicatorType};
pub use marking::{Marking, Notify, Pap, Purpose, Terms, Tlp};
pub use normalise::Normaliser;
pub use reason::Reason;
pub use time::{Length, Timestamp};

/// What an indicator is in a sighting. A victim is never scored as an attacker.
///
/// The order is by how much it matters to keep, most first; caps rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Controls infected machines.
    C2,
    /// Serves malware.
    MalwareDistribution,
    /// Collects credentials.
    Phishing,
    /// A victim: a site that somebody else took over.
    CompromisedSite,
    /// A victim: a machine that malware runs on.
    InfectedClient,
    /// A victim: something that could be taken over.
    VulnerableService,
    /// Guesses credentials.
    BruteForce,
    /// Looks for services.
    Scanner,
    /// Sends unwanted mail.
    Spam,
    /// Takes part in denial of service.
    Ddos,
    /// Hides its users: VPN, proxy, Tor.
    Anonymiser,
    /// Run by defenders.
    Sinkhole,
    /// Not known.
    Undetermined,
}

impl Role {
    /// All roles in order.
    pub const ALL: [Self; 13] = [
        Self::C2,
        Self::MalwareDistribution,
        Self::Phishing,
        Self::CompromisedSite,
        Self::InfectedClient,
        Self::VulnerableService,
        Self::BruteForce,
        Self::Scanner,
        Self::Spam,
        Self::Ddos,
        Self::Anonymiser,
        Self::Sinkhole,
        Self::Undetermined,
    ];

    /// The name in records and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::C2 => "c2",
            Self::MalwareDistribution => "malware-distribution",
            Self::Phishing => "phishing",
            Self::CompromisedSite => "compromised-site",
            Self::InfectedClient => "infected-client",
            Self::VulnerableService => "vulnerable-service",
            Self::BruteForce => "brute-force",
            Self::Scanner => "scanner",
            Self::Spam => "spam",
            Self::Ddos => "ddos",
            Self::Anonymiser => "anonymiser",
            Self::Sinkhole => "sinkhole",
            Self::Undetermined => "undetermined",
        }
    }

    /// The role of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether the indicator belongs to a victim.
    pub fn is_victim(self) -> bool {
        matches!(self, Self::CompromisedSite | Self::InfectedClient | Self::VulnerableService)
    }
}

/// Transport protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a sighting says of the party that suffered. Never anything that names a person.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Victim {
    /// ISO 3166-1 alpha-2, upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// A sector in the reporter's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector: Option<String>,
}

/// Where a raw record stood, and what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RawRef<S = String> {
    /// Topic that it was read from.
    pub topic: S,
    /// Partition of that topic.
    pub partition: i32,
    /// Offset in that partition.
    pub offset: i64,
    /// Which sighting of the record this is, from 0.
    pub index: u32,
    /// SHA-256 of the whole value.
    pub sha256: Digest,
}

impl RawRef {
    /// The same, borrowed.
    pub fn borrowed(&self) -> RawRef<&str> {
        let Self { topic, partition, offset, index, sha256 } = self;
        RawRef { topic, partition: *partition, offset: *offset, index: *index, sha256: *sha256 }
    }
}

impl RawRef<&str> {
    /// The same, owned.
    pub fn owned(self) -> RawRef {
        let Self { topic, partition, offset, index, sha256 } = self;
        RawRef { topic: topic.to_owned(), partition, offset, index, sha256 }
    }
}

/// One report that an indicator was seen in a role, by a reporter, at a time: normalised and valid.
/// This is also, as JSON, the value on the `sightings` topic. Texts are borrowed from the record that they
/// stand in, where that is possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting<'a> {
    /// In canonical form.
    pub indicator: Indicator,
    /// As the reporter wrote it, where that differs from the canonical value.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "text::optional")]
    pub original: Option<Cow<'a, str>>,
    /// What it was seen as.
    pub role: Role,
    /// Who supplied it: bound to the topic, or one of those that the topic is declared to carry.
    #[serde(borrow)]
    pub reporter: Cow<'a, str>,
    /// The reporter's own id of it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "text::optional")]
    pub id: Option<Cow<'a, str>>,
    /// When it was seen.
    pub observed_at: Timestamp,
    /// When intake took it in.
    pub reported_at: Timestamp,
    /// Family or tool, lower case.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "text::optional")]
    pub malware: Option<Cow<'a, str>>,
    /// 1 to 65535.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Of the port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// 0 to 100, as claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_confidence: Option<u8>,
    /// The record's own marking; may only narrow the reporter's terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tlp: Option<Tlp>,
    /// As `tlp`, for actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pap: Option<Pap>,
    /// Free tags, sorted, without repeats.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty", deserialize_with = "text::list")]
    pub tags: Vec<Cow<'a, str>>,
    /// Free text; never leaves the house.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "text::optional")]
    pub comment: Option<Cow<'a, str>>,
    /// Who suffered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub victim: Option<Victim>,
    /// The raw record that it came from. The name of a topic needs no escapes.
    #[serde(borrow)]
    pub raw: RawRef<&'a str>,
}
