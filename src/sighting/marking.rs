//! TLP and PAP, and the terms under which a contributor gives something.
//!
//! Orders go from the least to the most restrictive, so that `max` combines markings.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Traffic Light Protocol 2.0 (FIRST). `WHITE` is read as `CLEAR`; any case, with or without `TLP:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Tlp {
    /// No limit.
    #[serde(rename = "CLEAR")]
    Clear,
    /// The community.
    #[serde(rename = "GREEN")]
    Green,
    /// The organisation and its clients.
    #[serde(rename = "AMBER")]
    Amber,
    /// The organisation only.
    #[serde(rename = "AMBER+STRICT")]
    AmberStrict,
    /// Named persons only.
    #[serde(rename = "RED")]
    Red,
}

/// Permissible Actions Protocol: what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Pap {
    /// No limit.
    #[serde(rename = "CLEAR")]
    Clear,
    /// Active actions allowed: block, notify, take down.
    #[serde(rename = "GREEN")]
    Green,
    /// Passive checks and look-ups at third parties.
    #[serde(rename = "AMBER")]
    Amber,
    /// Nothing that can be noticed.
    #[serde(rename = "RED")]
    Red,
}

impl Tlp {
    /// The label as written in records: `AMBER+STRICT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "CLEAR",
            Self::Green => "GREEN",
            Self::Amber => "AMBER",
            Self::AmberStrict => "AMBER+STRICT",
            Self::Red => "RED",
        }
    }

    /// From any common spelling; `None` for an unknown one, which must never be taken as open.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        Some(match text.strip_prefix("TLP:").unwrap_or(&text) {
            "CLEAR" | "WHITE" => Self::Clear,
            "GREEN" => Self::Green,
            "AMBER" => Self::Amber,
            "AMBER+STRICT" => Self::AmberStrict,
            "RED" => Self::Red,
            _ => return None,
        })
    }
}

impl Pap {
    /// The label as written in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "CLEAR",
            Self::Green => "GREEN",
            Self::Amber => "AMBER",
            Self::Red => "RED",
        }
    }

    /// From any common spelling; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        Some(match text.strip_prefix("PAP:").unwrap_or(&text) {
            "CLEAR" | "WHITE" => Self::Clear,
            "GREEN" => Self::Green,
            "AMBER" => Self::Amber,
            "RED" => Self::Red,
            _ => return None,
        })
    }
}

/// How one sighting is marked, after the record's markings narrowed the reporter's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Marking {
    /// Who may see it.
    pub tlp: Tlp,
    /// What may be done with it.
    pub pap: Pap,
}

/// What something is given, or asked, for. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Investigating an offence.
    CrimeInvestigation,
    /// Preventing one.
    CrimePrevention,
    /// Analysing threats and trends.
    ThreatAnalysis,
    /// Defending networks.
    NetworkSecurity,
    /// Telling those affected.
    VictimNotification,
    /// Cleaning up.
    Remediation,
}

/// Whether those affected may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    /// They may.
    May,
    /// They must not.
    #[default]
    MustNot,
}

/// Terms under which a reporter or a source of evidence gives what it gives. Default-deny: an empty
/// `release_to` or `purposes` releases to nobody. (`sharing.md` 6.1)
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The marking of what carries none itself; a record's own marking may only narrow it.
    pub tlp: Tlp,
    /// As `tlp`, for actions.
    pub pap: Pap,
    /// Organisation ids (`org:...`), audience kinds, or `*` for anybody. Empty means nobody.
    #[serde(default)]
    pub release_to: BTreeSet<String>,
    /// As `release_to`, and it wins over it.
    #[serde(default)]
    pub never_to: BTreeSet<String>,
    /// Purposes that it may be used for. Empty means none.
    #[serde(default)]
    pub purposes: BTreeSet<Purpose>,
    /// Whether those affected may be told. Default `must-not`.
    #[serde(default)]
    pub notify_affected: Notify,
}

impl Terms {
    /// The marking of an item under these terms that carries its own markings, or none.
    pub fn narrow(&self, tlp: Option<Tlp>, pap: Option<Pap>) -> Marking {
        Marking {
            tlp: tlp.map_or(self.tlp, |own| own.max(self.tlp)),
            pap: pap.map_or(self.pap, |own| own.max(self.pap)),
        }
    }
}
