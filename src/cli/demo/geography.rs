//! The demonstration's geography: which countries, networks and governments there are, and the
//! databases of it.
//!
//! All of it is set aside for examples: addresses for documentation (RFC 5737, RFC 3849) and
//! benchmarks (RFC 2544), AS numbers for documentation (RFC 5398). Who operates them is invented.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::enrich::geoip::{asn_record, city_record, write_mmdb};

/// When the databases say that they were built: 2026-11-01T00:00:00Z, in seconds.
const BUILT: u64 = 1_793_491_200;

/// A country of the operation.
#[derive(Debug)]
pub(super) struct Country {
    /// ISO 3166-1 alpha-2.
    pub(super) code: &'static str,
    city: &'static str,
    /// A suffix of its government, as `government.csv` of the pipeline has it.
    pub(super) government: &'static str,
    /// Who operates its networks.
    operators: [&'static str; 4],
}

/// The eight countries. The first has the first eighth of the benchmark range, and so on.
pub(super) const COUNTRIES: [Country; 8] = [
    Country {
        code: "TH",
        city: "Bangkok",
        government: "go.th.example",
        operators: ["Mango Cloud", "Chao Net", "Lotus Hosting", "Andaman Mobile"],
    },
    Country {
        code: "MY",
        city: "Kuala Lumpur",
        government: "gov.my.example",
        operators: ["Rambutan Cloud", "Straits Transit", "Hornbill Hosting", "Penang Fibre"],
    },
    Country {
        code: "VN",
        city: "Hanoi",
        government: "gov.vn.example",
        operators: ["Red River Cloud", "Delta Telecom", "Bamboo Hosting", "Halong Mobile"],
    },
    Country {
        code: "SG",
        city: "Singapore",
        government: "gov.sg.example",
        operators: ["Orchid Cloud", "Merlion Transit", "Harbour Hosting", "Causeway Servers"],
    },
    Country {
        code: "ID",
        city: "Jakarta",
        government: "go.id.example",
        operators: ["Garuda Cloud", "Sunda Telecom", "Batik Hosting", "Krakatau Mobile"],
    },
    Country {
        code: "PH",
        city: "Manila",
        government: "gov.ph.example",
        operators: ["Tamaraw Cloud", "Luzon Telecom", "Jeepney Hosting", "Mayon Mobile"],
    },
    Country {
        code: "MM",
        city: "Yangon",
        government: "gov.mm.example",
        operators: ["Irrawaddy Cloud", "Inle Telecom", "Teak Hosting", "Bagan Mobile"],
    },
    Country {
        code: "LA",
        city: "Vientiane",
        government: "gov.la.example",
        operators: ["Mekong Cloud", "Plain Telecom", "Frangipani Hosting", "Luang Mobile"],
    },
];

/// How many IPv4 addresses of the benchmark range each country has: a /18.
pub(super) const ADDRESSES: u32 = 1 << 14;
/// How many of them each operator has: a /20.
const OPERATED: u32 = ADDRESSES / 4;

/// The address at `at`, below [`ADDRESSES`], in a country's part of 198.18.0.0/15.
pub(super) fn address(country: usize, at: u32) -> Ipv4Addr {
    let country = u32::try_from(country).expect("there are eight countries");
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + country * ADDRESSES + at)
}

/// The address at `at` in a country's /48 of 2001:db8::/32.
pub(super) fn address6(country: usize, at: u32) -> Ipv6Addr {
    let country = u16::try_from(country).expect("there are eight countries");
    let [high, low] = [(at >> 16) as u16, (at & 0xffff) as u16];
    Ipv6Addr::new(0x2001, 0xdb8, country + 1, 0, 0, 0, high, low)
}

/// The AS number of a country's operator: the sixteen of the 16-bit range for documentation, then
/// the sixteen of the 32-bit one.
fn as_number(country: usize, operator: usize) -> u32 {
    let n = u32::try_from(4 * country + operator).expect("there are 32 operators");
    if n < 16 { 64_496 + n } else { 65_536 + n - 16 }
}

/// A network, whose it is, and where it was registered if that is another country.
struct Held {
    net: IpNet,
    country: usize,
    operator: usize,
    registered: Option<&'static str>,
}

fn networks() -> Vec<Held> {
    let v4 = |address, length| IpNet::from(Ipv4Net::new_assert(address, length));
    let mut networks = Vec::new();
    for (country, held) in COUNTRIES.iter().enumerate() {
        for operator in 0..4u8 {
            let net = v4(address(country, u32::from(operator) * OPERATED), 20);
            // A hoster of Singapore that registered its addresses in Thailand: both countries have to
            // do with it, and the second little.
            let registered = (held.code == "SG" && operator == 3).then_some("TH");
            networks.push(Held { net, country, operator: operator.into(), registered });
        }
        let net = IpNet::from(Ipv6Net::new_assert(address6(country, 0), 48));
        networks.push(Held { net, country, operator: 1, registered: None });
    }
    // The ranges of documentation: where the analysts' list and the examples are.
    for (address, country) in [([198, 51, 100, 0], 0), ([192, 0, 2, 0], 1), ([203, 0, 113, 0], 2)] {
        networks.push(Held { net: v4(address.into(), 24), country, operator: 0, registered: None });
    }
    networks
}

/// The database of countries and cities.
pub(super) fn city_mmdb() -> Vec<u8> {
    let entries = networks().into_iter().map(|held| {
        let country = &COUNTRIES[held.country];
        (held.net, city_record(country.code, held.registered, Some(country.city)))
    });
    write_mmdb("GeoLite2-City", BUILT, entries)
}

/// The database of autonomous systems.
pub(super) fn asn_mmdb() -> Vec<u8> {
    let entries = networks().into_iter().map(|held| {
        let name = COUNTRIES[held.country].operators[held.operator];
        (held.net, asn_record(as_number(held.country, held.operator), &format!("{name} (invented)")))
    });
    write_mmdb("GeoLite2-ASN", BUILT, entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pipeline file is checked and used without the demonstration too, so its databases are
    /// committed. After a change here: `sightline demo --keep DIR`, and copy `DIR/asean/*.mmdb`.
    #[test]
    fn the_committed_databases_are_these() {
        assert!(city_mmdb() == include_bytes!("../../../pipelines/asean/city.mmdb"));
        assert!(asn_mmdb() == include_bytes!("../../../pipelines/asean/asn.mmdb"));
    }

    #[test]
    fn addresses_and_numbers_are_those_for_examples() {
        let last = COUNTRIES.len() - 1;
        assert_eq!(address(0, 0), Ipv4Addr::new(198, 18, 0, 0));
        assert_eq!(address(last, ADDRESSES - 1), Ipv4Addr::new(198, 19, 255, 255));
        assert_eq!(address6(last, 7).to_string(), "2001:db8:8::7");
        assert_eq!([as_number(0, 0), as_number(3, 3)], [64_496, 64_511]);
        assert_eq!([as_number(4, 0), as_number(last, 3)], [65_536, 65_551]);
    }
}
