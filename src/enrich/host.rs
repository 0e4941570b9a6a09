//! Which host an indicator is, or is on: what local sources look up.
//!
//! Values are canonical here, so this takes apart and does not normalise. Nothing is resolved.

use std::net::IpAddr;

use url::Url;

use crate::sighting::{Indicator, IndicatorType};

/// The host of an indicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// An address, never an IPv4-mapped one.
    Address(IpAddr),
    /// A domain name in lower case, without a dot at the end.
    Name(String),
}

impl Host {
    /// The host that `indicator` is, or that the URL `indicator` is on; `None` for what has none, such
    /// as a hash.
    pub(crate) fn of(indicator: &Indicator) -> Option<Self> {
        match indicator.kind {
            IndicatorType::Ipv4 | IndicatorType::Ipv6 => address(&indicator.value),
            IndicatorType::Domain => Some(Self::Name(indicator.value.clone())),
            IndicatorType::Url => Self::of_url(&indicator.value),
            _ => None,
        }
    }

    fn of_url(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        match url.host()? {
            url::Host::Ipv4(ip) => Some(Self::Address(IpAddr::V4(ip))),
            url::Host::Ipv6(ip) => Some(Self::Address(IpAddr::V6(ip).to_canonical())),
            // Only the special schemes of the WHATWG standard have their hosts parsed: of
            // `tcp://192.0.2.7:8080` the address arrives as a domain, in the case it was written in.
            url::Host::Domain(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                if name.is_empty() { None } else { address(&name).or(Some(Self::Name(name))) }
            }
        }
    }
}

fn address(text: &str) -> Option<Host> {
    text.parse::<IpAddr>().ok().map(|ip| Host::Address(ip.to_canonical()))
}

/// `name` and every name above it, from the longest: `a.b.example`, `b.example`, `example`.
pub(crate) fn upwards(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, above)| above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: IndicatorType, value: &str, expected: &str) {
        let shown = match Host::of(&Indicator { kind, value: value.to_owned() }) {
            Some(Host::Address(ip)) => format!("address {ip}"),
            Some(Host::Name(name)) => format!("name {name}"),
            None => "none".to_owned(),
        };
        assert_eq!(shown, expected, "{value}");
    }

    #[test]
    fn hosts_are_found() {
        use IndicatorType::{Asn, Domain, Ipv4, Ipv6, Sha256, Url};
        check(Ipv4, "192.0.2.7", "address 192.0.2.7");
        check(Ipv6, "2001:db8::1", "address 2001:db8::1");
        check(Ipv6, "::ffff:192.0.2.7", "address 192.0.2.7");
        check(Domain, "www.bad.example", "name www.bad.example");
        check(Url, "http://www.bad.example:8080/x", "name www.bad.example");
        check(Url, "https://192.0.2.7/x", "address 192.0.2.7");
        check(Url, "http://[2001:db8::1]/x", "address 2001:db8::1");
        check(Url, "http://[::ffff:192.0.2.7]/", "address 192.0.2.7");
        check(Url, "tcp://192.0.2.7:8080", "address 192.0.2.7");
        check(Url, "tcp://C2.Bad.Example.:8080", "name c2.bad.example");
        check(Url, "mailto:a@bad.example", "none");
        check(Url, "not a url", "none");
        check(Sha256, &"0".repeat(64), "none");
        check(Asn, "AS64496", "none");
    }

    #[test]
    fn names_go_upwards_by_whole_labels() {
        assert_eq!(upwards("a.b.example").collect::<Vec<_>>(), ["a.b.example", "b.example", "example"]);
        assert_eq!(upwards("example").collect::<Vec<_>>(), ["example"]);
    }
}
