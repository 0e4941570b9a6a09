//! An indicator: a type and a canonical value.
//!
//! How a text becomes one is in [`super::normalise`]; a value of this type is canonical.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The types of indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IndicatorType {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address, RFC 5952.
    Ipv6,
    /// A domain name: IDNA ASCII, lower case, no trailing dot.
    Domain,
    /// A URL, WHATWG serialisation without fragment and user information.
    Url,
    /// 32 hexadecimal digits.
    Md5,
    /// 40 hexadecimal digits.
    Sha1,
    /// 56 hexadecimal digits.
    Sha224,
    /// 64 hexadecimal digits.
    Sha256,
    /// 96 hexadecimal digits.
    Sha384,
    /// 128 hexadecimal digits.
    Sha512,
    /// `blocksize:hash:hash`.
    Ssdeep,
    /// `T1` and 70 hexadecimal digits.
    Tlsh,
    /// An autonomous system, `AS64496`.
    Asn,
}

impl IndicatorType {
    /// All types in order.
    pub const ALL: [Self; 13] = [
        Self::Ipv4,
        Self::Ipv6,
        Self::Domain,
        Self::Url,
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Ssdeep,
        Self::Tlsh,
        Self::Asn,
    ];

    /// The name in records and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Domain => "domain",
            Self::Url => "url",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Ssdeep => "ssdeep",
            Self::Tlsh => "tlsh",
            Self::Asn => "asn",
        }
    }

    /// The type of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A canonical type and value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Indicator {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: IndicatorType,
    /// Its canonical form.
    pub value: String,
}

impl Indicator {
    /// The key on Kafka and in state: `ipv4:198.51.100.7`. Equal indicators have equal keys.
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind.as_str(), self.value)
    }

    /// Whether these bytes are its key.
    pub fn is_key(&self, key: &[u8]) -> bool {
        let value = key.strip_prefix(self.kind.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
        value == Some(self.value.as_bytes())
    }

    /// The indicator of a key that [`Indicator::key`] made.
    pub fn from_key(key: &str) -> Option<Self> {
        let (kind, value) = key.split_once(':')?;
        Some(Self { kind: IndicatorType::parse(kind)?, value: value.to_owned() })
    }
}

impl fmt::Display for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.value)
    }
}
