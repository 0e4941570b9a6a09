//! Text to indicator: refanging, detection, canonical forms, special-purpose ranges.
//!
//! Canonical means that equal things have equal texts, so that everything about one indicator
//! meets in one place. It looks nothing up: whether a name resolves is none of its business.

mod hash;
mod names;
mod refang;
mod special;
mod urls;

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

pub use names::{registrable, registrable_icann};
pub use special::{special_purpose, special_use};

use super::reason::{MAX_TEXT, Reason, cut, quote};
use super::{Indicator, IndicatorType};

/// The most bytes of an indicator, as written and in its canonical form.
pub const MAX_INDICATOR: usize = 8 * 1024;

/// Which set-aside addresses and names are indicators all the same: for exercises, examples and
/// networks that are not the Internet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Special-purpose networks whose addresses are indicators here, such as `198.51.100.0/24`.
    /// Default: none.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<IpNet>,
    /// Special-use names that are indicators here, with everything under them, such as `example`.
    /// Default: none.
    #[serde(default)]
    pub allow_suffixes: Vec<String>,
}

/// Turns texts into canonical indicators.
#[derive(Debug, Clone, Default)]
pub struct Normaliser {
    allow: Vec<IpNet>,
    /// Canonical, without dots at either end.
    allow_suffixes: Vec<String>,
}

/// An indicator in canonical form, and what else the text said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    /// The indicator.
    pub indicator: Indicator,
    /// The text as it was, where that is not the canonical value.
    pub original: Option<String>,
    /// The port of `address:port`, `[address]:port` or `name:port`; a URL keeps its own.
    pub port: Option<u16>,
}

/// Why a text is no indicator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text} [{code}]")]
pub struct Refusal {
    /// The name of a [`Reason`].
    pub code: &'static str,
    /// What is wrong, lower case, no full stop, at most 1 KiB.
    pub text: String,
}

impl Refusal {
    /// A refusal; a text that is too long is cut.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        let text = text.into();
        let text = match cut(&text, MAX_TEXT) {
            Cow::Borrowed(_) => text,
            Cow::Owned(cut) => cut,
        };
        Self { code: reason.name(), text }
    }
}

impl Normaliser {
    /// With these exceptions.
    pub fn new(settings: &Settings) -> Self {
        let suffix = |suffix: &String| {
            let suffix = suffix.trim_matches(['.', ' ']).to_lowercase();
            idna::domain_to_ascii(&suffix).unwrap_or(suffix)
        };
        Self {
            allow: settings.allow.iter().map(IpNet::trunc).collect(),
            allow_suffixes: settings
                .allow_suffixes
                .iter()
                .map(suffix)
                .filter(|suffix| !suffix.is_empty())
                .collect(),
        }
    }

    /// The indicator that `text` is: of type `kind` if that is known, else of the type that the
    /// text has by its shape.
    ///
    /// Texts may be defanged. A type that does not fit is refused and never replaced by another,
    /// but for IPv4-mapped IPv6 addresses, which are IPv4.
    ///
    /// # Errors
    /// When it is no indicator, with the reason.
    pub fn indicator(&self, kind: Option<IndicatorType>, text: &str) -> Result<Normalised, Refusal> {
        if text.len() > MAX_INDICATOR {
            return Err(Refusal::new(
                Reason::IndicatorTooLong,
                format!("the indicator is {} bytes long; at most {MAX_INDICATOR} are read", text.len()),
            ));
        }
        let shown = without_invisible(text);
        let shown = shown.trim();
        if shown.is_empty() {
            return Err(Refusal::new(Reason::IndicatorEmpty, "the indicator is empty"));
        }
        if shown.contains(char::is_control) {
            return Err(Refusal::new(
                Reason::IndicatorControl,
                format!(
                    "the indicator {} holds control characters; send one indicator a sighting",
                    quote(shown)
                ),
            ));
        }
        let (kind, value, port) = self.canonical(kind, shown)?;
        let original = (value != text).then(|| text.to_owned());
        Ok(Normalised { indicator: Indicator { kind, value }, original, port })
    }

    fn canonical(
        &self,
        kind: Option<IndicatorType>,
        shown: &str,
    ) -> Result<(IndicatorType, String, Option<u16>), Refusal> {
        match kind {
            Some(IndicatorType::Asn) => Ok((IndicatorType::Asn, hash::asn(shown)?, None)),
            Some(IndicatorType::Url) => {
                Ok((IndicatorType::Url, self.url(refang::refang(shown).trim())?, None))
            }
            Some(kind @ (IndicatorType::Ipv4 | IndicatorType::Ipv6 | IndicatorType::Domain)) => {
                let refanged = refang::refang(shown);
                let clean = refanged.trim();
                self.host_and_port(Some(kind), clean)?.ok_or_else(|| match kind {
                    IndicatorType::Domain => self.not_a_domain(clean),
                    _ => Refusal::new(
                        Reason::BadIp,
                        format!("{} is no {} address", quote(clean), kind.as_str()),
                    ),
                })
            }
            Some(kind) => Ok((kind, hash::canonical(kind, shown)?, None)),
            None => self.detected(shown),
        }
    }

    fn detected(&self, shown: &str) -> Result<(IndicatorType, String, Option<u16>), Refusal> {
        if let Some(kind) = hash::detect(shown) {
            return Ok((kind, hash::canonical(kind, shown)?, None));
        }
        if hash::is_asn(shown) {
            return Ok((IndicatorType::Asn, hash::asn(shown)?, None));
        }
        let refanged = refang::refang(shown);
        let clean = refanged.trim();
        if clean.split_once("://").is_some_and(|(scheme, _)| refang::is_scheme(scheme)) {
            return Ok((IndicatorType::Url, self.url(clean)?, None));
        }
        self.host_and_port(None, clean)?.ok_or_else(|| {
            let advice = if clean.contains('@') {
                "an address of mail is no indicator"
            } else if clean.parse::<IpNet>().is_ok() {
                "a network is no indicator"
            } else if clean.contains('/') {
                "write the scheme of a URL, or state the type"
            } else {
                "state the type"
            };
            Refusal::new(Reason::IndicatorUnknown, format!("can't tell what {} is; {advice}", quote(clean)))
        })
    }

    /// An address or a name, with a port or without; none when it is neither.
    fn host_and_port(
        &self,
        kind: Option<IndicatorType>,
        clean: &str,
    ) -> Result<Option<(IndicatorType, String, Option<u16>)>, Refusal> {
        let (host, port) = split_port(clean)?;
        if let Some(address) = parse_address(host) {
            let written = if address.is_ipv4() { IndicatorType::Ipv4 } else { IndicatorType::Ipv6 };
            let address = address.to_canonical();
            let found = if address.is_ipv4() { IndicatorType::Ipv4 } else { IndicatorType::Ipv6 };
            if kind.is_some_and(|kind| kind != written && kind != found) {
                return Err(mismatch(kind, found, clean));
            }
            self.address(address)?;
            return Ok(Some((found, address.to_string(), port)));
        }
        if host.starts_with('[') || !matches!(kind, None | Some(IndicatorType::Domain)) {
            return Ok(None);
        }
        let Ok(name) = names::canonical(host) else { return Ok(None) };
        self.special_use(&name)?;
        let allowed = self.is_allowed(&name);
        let is_onion = special::is_under(&name, "onion");
        if !allowed && !is_onion {
            if names::is_public_suffix(&name) {
                return Err(Refusal::new(
                    Reason::PublicSuffix,
                    format!("{name} is a public suffix, which would mean everybody under it"),
                ));
            }
            // `invoice.exe` is not a name; but who says that it is one may know a root that we don't.
            if kind.is_none() && !names::is_known_suffix(&name) {
                return Ok(None);
            }
        }
        Ok(Some((IndicatorType::Domain, name.into_owned(), port)))
    }

    /// Says why a text that should be a domain is none.
    fn not_a_domain(&self, clean: &str) -> Refusal {
        if clean.contains("://") {
            return mismatch(Some(IndicatorType::Domain), IndicatorType::Url, clean);
        }
        let host = split_port(clean).map_or(clean, |(host, _)| host);
        let why = names::canonical(host).err().unwrap_or_default();
        Refusal::new(Reason::BadDomain, format!("{} is no domain name: {why}", quote(clean)))
    }

    /// The address, IPv4 where it is one in disguise, if it may be an indicator.
    fn address(&self, address: IpAddr) -> Result<IpAddr, Refusal> {
        let address = address.to_canonical();
        match special_purpose(address) {
            Some(name) if !self.allow.iter().any(|net| net.contains(&address)) => Err(Refusal::new(
                Reason::SpecialPurpose,
                format!("{address} is set aside ({name}), and identifies nobody"),
            )),
            _ => Ok(address),
        }
    }

    /// Refuses special-use names, `name` being canonical.
    fn special_use(&self, name: &str) -> Result<(), Refusal> {
        match special_use(name) {
            Some(suffix) if !self.is_allowed(name) => Err(Refusal::new(
                Reason::SpecialUseName,
                format!("{name} stands under {suffix}, which is nobody's on the Internet"),
            )),
            _ => Ok(()),
        }
    }

    fn is_allowed(&self, name: &str) -> bool {
        self.allow_suffixes.iter().any(|suffix| special::is_under(name, suffix))
    }
}

fn mismatch(said: Option<IndicatorType>, found: IndicatorType, text: &str) -> Refusal {
    let said = said.map_or("unknown", IndicatorType::as_str);
    Refusal::new(Reason::TypeMismatch, format!("{} is of type {}, not {said}", quote(text), found.as_str()))
}

fn parse_address(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None if host.contains(':') => host.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Host and port of `host:port` and `[address]:port`. An IPv6 address without brackets has none.
fn split_port(text: &str) -> Result<(&str, Option<u16>), Refusal> {
    let Some((host, port)) = text.rsplit_once(':') else { return Ok((text, None)) };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if !bracketed && host.contains(':') || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((text, None));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok((host, Some(port))),
        _ => Err(Refusal::new(Reason::BadPort, format!("{} names no port from 1 to 65535", quote(text)))),
    }
}

/// The text without the characters that nobody sees and that copying brings along. The joiners are
/// kept inside, where some scripts need them; IDNA says where.
fn without_invisible(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    const INVISIBLE: [char; 4] = ['\u{ad}', '\u{200b}', '\u{2060}', '\u{feff}'];
    let joiner =
        |c: char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{200e}' | '\u{200f}') || c.is_whitespace();
    if text.contains(INVISIBLE) {
        let shown: String = text.chars().filter(|c| !INVISIBLE.contains(c)).collect();
        Cow::Owned(shown.trim_matches(joiner).to_owned())
    } else {
        Cow::Borrowed(text.trim_matches(joiner))
    }
}

#[cfg(test)]
mod tests;
