//! Addresses and names that identify nobody: the special-purpose and special-use registries.
//!
//! The tables are written out because the standard library's `is_private` and friends miss half of
//! them. Blocks inside a special one that are globally reachable stand in the tables too: the
//! longest prefix decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of the IANA IPv4 Special-Purpose Address Registry: address, prefix length, what for;
/// none where the block is globally reachable and so no different from others.
type Block4 = (Ipv4Addr, u8, Option<&'static str>);

/// As [`Block4`], for IPv6.
type Block6 = (Ipv6Addr, u8, Option<&'static str>);

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8, name: Option<&'static str>) -> Block4 {
    (Ipv4Addr::new(a, b, c, d), length, name)
}

const fn v6(text: [u16; 8], length: u8, name: Option<&'static str>) -> Block6 {
    let [a, b, c, d, e, f, g, h] = text;
    (Ipv6Addr::new(a, b, c, d, e, f, g, h), length, name)
}

/// The registry of October 2025, longer prefixes first, and multicast (RFC 5771), which has a
/// registry of its own.
pub(super) const BLOCKS_V4: [Block4; 22] = [
    v4(255, 255, 255, 255, 32, Some("limited broadcast")),
    v4(192, 0, 0, 9, 32, None),  // Port Control Protocol anycast (RFC 7723).
    v4(192, 0, 0, 10, 32, None), // TURN anycast (RFC 8155).
    v4(192, 0, 0, 0, 24, Some("IETF protocol assignments")),
    v4(192, 0, 2, 0, 24, Some("documentation")),
    v4(192, 31, 196, 0, 24, Some("AS112")),
    v4(192, 52, 193, 0, 24, Some("automatic multicast tunnelling")),
    v4(192, 88, 99, 0, 24, Some("6to4 relay anycast, deprecated")),
    v4(192, 175, 48, 0, 24, Some("AS112 direct delegation")),
    v4(198, 51, 100, 0, 24, Some("documentation")),
    v4(203, 0, 113, 0, 24, Some("documentation")),
    v4(169, 254, 0, 0, 16, Some("link local")),
    v4(192, 168, 0, 0, 16, Some("private use")),
    v4(198, 18, 0, 0, 15, Some("benchmarking")),
    v4(172, 16, 0, 0, 12, Some("private use")),
    v4(100, 64, 0, 0, 10, Some("shared address space")),
    v4(0, 0, 0, 0, 8, Some("this network")),
    v4(10, 0, 0, 0, 8, Some("private use")),
    v4(127, 0, 0, 0, 8, Some("loopback")),
    v4(224, 0, 0, 0, 4, Some("multicast")),
    v4(240, 0, 0, 0, 4, Some("reserved")),
    v4(0, 0, 0, 0, 0, None),
];

/// The registry of October 2025, longer prefixes first, multicast (RFC 4291), and what IANA has
/// not opened for global unicast at all (everything outside of `2000::/3`). IPv4-mapped addresses
/// are made IPv4 before they get here.
pub(super) const BLOCKS_V6: [Block6; 30] = [
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Some("unspecified")),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Some("loopback")),
    v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128, None), // Port Control Protocol anycast (RFC 7723).
    v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, None), // TURN anycast (RFC 8155).
    v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, None), // DNS-SD service registration anycast (RFC 9665).
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, Some("IPv4-compatible, deprecated")),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Some("IPv4-mapped")),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, Some("translated IPv4, NAT64")),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Some("discard only")),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Some("dummy prefix")),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Some("translated IPv4, local NAT64")),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, Some("benchmarking")),
    v6([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48, None), // AS112 (RFC 7535).
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, Some("AS112 direct delegation")),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Some("Teredo")),
    v6([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, None), // Automatic multicast tunnelling (RFC 7450).
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Some("documentation")),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, Some("ORCHID, deprecated")),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, None), // ORCHIDv2 (RFC 7343).
    v6([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28, None), // Drone remote identification (RFC 9374).
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Some("IETF protocol assignments")),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Some("documentation")),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Some("6to4")),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Some("segment routing")),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Some("link local")),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Some("site local, deprecated")),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Some("multicast")),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Some("unique local")),
    v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, None),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 0, Some("not open for global unicast")),
];

/// What the block is set aside for that the address lies in; none for an ordinary address.
pub fn special_purpose(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            BLOCKS_V4
                .iter()
                .find(|(net, length, _)| {
                    (bits ^ net.to_bits()).checked_shr(32 - u32::from(*length)).unwrap_or(0) == 0
                })
                .and_then(|block| block.2)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            BLOCKS_V6
                .iter()
                .find(|(net, length, _)| {
                    (bits ^ net.to_bits()).checked_shr(128 - u32::from(*length)).unwrap_or(0) == 0
                })
                .and_then(|block| block.2)
        }
    }
}

/// Names under which nothing is registered: the Special-Use Domain Names registry (RFC 6761 and
/// its successors), the suffixes of RFC 6762 appendix G, those that ICANN will not delegate
/// (`internal`, `corp`, `home`, `mail`), `localdomain` by custom, and all of `arpa`, which is
/// infrastructure. `onion` is in that registry too, and allowed: services under it exist.
pub(super) const NAMES: [&str; 18] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "example.com",
    "example.net",
    "example.org",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "private",
    "test",
];

/// The special-use name that `domain` (canonical) is, or stands under.
pub fn special_use(domain: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|name| is_under(domain, name))
}

/// Whether `domain` is `suffix` or stands under it.
pub(super) fn is_under(domain: &str, suffix: &str) -> bool {
    domain.strip_suffix(suffix).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, name: Option<&str>) {
        assert_eq!(special_purpose(address.parse().unwrap()), name, "{address}");
    }

    #[test]
    fn every_edge_of_ipv4() {
        check("1.0.0.0", None);
        check("0.255.255.255", Some("this network"));
        check("9.255.255.255", None);
        check("10.0.0.0", Some("private use"));
        check("11.0.0.0", None);
        check("100.63.255.255", None);
        check("100.64.0.0", Some("shared address space"));
        check("100.127.255.255", Some("shared address space"));
        check("100.128.0.0", None);
        check("126.255.255.255", None);
        check("127.0.0.1", Some("loopback"));
        check("169.253.255.255", None);
        check("169.254.169.254", Some("link local"));
        check("172.15.255.255", None);
        check("172.16.0.0", Some("private use"));
        check("172.31.255.255", Some("private use"));
        check("172.32.0.0", None);
        check("192.0.0.8", Some("IETF protocol assignments"));
        check("192.0.0.9", None);
        check("192.0.0.10", None);
        check("192.0.0.11", Some("IETF protocol assignments"));
        check("192.0.1.0", None);
        check("192.0.2.1", Some("documentation"));
        check("192.31.196.1", Some("AS112"));
        check("192.52.193.1", Some("automatic multicast tunnelling"));
        check("192.88.99.1", Some("6to4 relay anycast, deprecated"));
        check("192.167.255.255", None);
        check("192.168.1.1", Some("private use"));
        check("192.175.48.1", Some("AS112 direct delegation"));
        check("198.17.255.255", None);
        check("198.18.0.0", Some("benchmarking"));
        check("198.19.255.255", Some("benchmarking"));
        check("198.20.0.0", None);
        check("198.51.100.7", Some("documentation"));
        check("203.0.113.7", Some("documentation"));
        check("223.255.255.255", None);
        check("224.0.0.0", Some("multicast"));
        check("239.255.255.255", Some("multicast"));
        check("240.0.0.0", Some("reserved"));
        check("255.255.255.254", Some("reserved"));
        check("255.255.255.255", Some("limited broadcast"));
        check("8.8.8.8", None);
    }

    #[test]
    fn every_edge_of_ipv6() {
        check("::", Some("unspecified"));
        check("::1", Some("loopback"));
        check("::1.2.3.4", Some("IPv4-compatible, deprecated"));
        check("::ffff:1.2.3.4", Some("IPv4-mapped"));
        check("64:ff9b::1.2.3.4", Some("translated IPv4, NAT64"));
        check("64:ff9b:1::1", Some("translated IPv4, local NAT64"));
        check("100::1", Some("discard only"));
        check("100:0:0:1::1", Some("dummy prefix"));
        check("2001::1", Some("Teredo"));
        check("2001:1::", Some("IETF protocol assignments"));
        check("2001:1::1", None);
        check("2001:1::2", None);
        check("2001:1::3", None);
        check("2001:1::4", Some("IETF protocol assignments"));
        check("2001:2::1", Some("benchmarking"));
        check("2001:2:1::1", Some("IETF protocol assignments"));
        check("2001:3::1", None);
        check("2001:4:112::1", None);
        check("2001:4:113::1", Some("IETF protocol assignments"));
        check("2001:10::1", Some("ORCHID, deprecated"));
        check("2001:20::1", None);
        check("2001:30::1", None);
        check("2001:40::1", Some("IETF protocol assignments"));
        check("2001:1ff::1", Some("IETF protocol assignments"));
        check("2001:200::1", None);
        check("2001:db8::1", Some("documentation"));
        check("2001:db9::1", None);
        check("2002:102:304::1", Some("6to4"));
        check("2003::1", None);
        check("2620:4f:8000::1", Some("AS112 direct delegation"));
        check("2a00:1450::1", None);
        check("3ffe::1", None);
        check("3fff::1", Some("documentation"));
        check("3fff:fff::1", Some("documentation"));
        check("3fff:1000::1", None);
        check("4000::1", Some("not open for global unicast"));
        check("5f00::1", Some("segment routing"));
        check("fc00::1", Some("unique local"));
        check("fdff::1", Some("unique local"));
        check("fe80::1", Some("link local"));
        check("fec0::1", Some("site local, deprecated"));
        check("ff02::1", Some("multicast"));
    }

    #[test]
    fn the_tables_are_ordered_and_have_no_host_bits() {
        assert!(BLOCKS_V4.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        assert!(BLOCKS_V6.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        for (net, length, _) in BLOCKS_V4 {
            assert_eq!(ipnet::Ipv4Net::new(net, length).unwrap().trunc().addr(), net);
        }
        for (net, length, _) in BLOCKS_V6 {
            assert_eq!(ipnet::Ipv6Net::new(net, length).unwrap().trunc().addr(), net);
        }
    }

    #[test]
    fn names() {
        assert_eq!(special_use("example"), Some("example"));
        assert_eq!(special_use("a.b.example"), Some("example"));
        assert_eq!(special_use("www.example.com"), Some("example.com"));
        assert_eq!(special_use("notexample.com"), None);
        assert_eq!(special_use("example.co"), None);
        assert_eq!(special_use("printer.local"), Some("local"));
        assert_eq!(special_use("1.0.0.127.in-addr.arpa"), Some("arpa"));
        assert_eq!(special_use("router.home.arpa"), Some("arpa"));
        assert_eq!(special_use("abc.onion"), None);
    }
}
