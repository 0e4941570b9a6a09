//! Lists, what they say of indicators, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::sighting::IndicatorType::{Asn, Domain, Ipv4, Ipv6, Md5, Sha256, Url};
use crate::sighting::{IndicatorType, Tlp};

const LIST: &str = "\
# What we watch.
indicator,type,code,weight,origin,as_of,tlp,reference,roles
Evil.Example,,listed,,,2026-11-01,,case-7,c2;malware-distribution
evil.example.,domain,seen,-31,org:other,2026-11-02T08:00:00+07:00,amber+strict,,
evil.example,,listed,,,2026-11-01,,case-7,malware-distribution;c2
www.deep.bad.example,,listed,,,2026-11-01,,,
bad.example,,listed,,,2026-11-01,,,
co.uk,,listed,,,2026-11-01,,,
blogspot.com,,hoster,,,2026-11-01,,,
192.0.2.0/24,,scanner-net,,,2026-11-01,,,scanner
192.0.2.128/25,network,scanner-half,,,2026-11-01,,,
192.0.2.200,ipv4,scanner-one,,,2026-11-01,,,
2001:DB8::/32,,net-six,,,2026-11-01,,,
2001:db8::7,,six,,,2026-11-01,,,
http://evil.example:80/a/../b#x,,payload,300,,2026-11-01,,,
D41D8CD98F00B204E9800998ECF8427E,,empty-file,-200,,2026-11-01,,,
AS64496,,asn,,,2026-11-01,,,
xn--12c1fe0br.xn--o3cw4h,,idn,,,2026-11-01,,,
";

fn settings() -> Settings {
    Settings {
        name: Spanned::unplaced("watchlist".to_owned()),
        file: Spanned::unplaced("w.csv".to_owned()),
        origin: Spanned::unplaced("org:us".to_owned()),
        weight: Spanned::unplaced(151),
        as_of: None,
        terms: super::super::test_terms(),
        reliability: reliability(),
        stale_after: stale_after(),
    }
}

fn open(settings: &Settings, list: &str) -> Result<Reputation, LoadError> {
    settings.open([("w.csv".to_owned(), list.as_bytes().to_vec())].into())
}

fn finding(reputation: &Reputation, kind: IndicatorType, value: &str) -> Finding {
    reputation.finding(&Indicator { kind, value: value.to_owned() }, &Answers::new(), Timestamp(7))
}

#[track_caller]
fn check(kind: IndicatorType, value: &str, expected: &[&str]) {
    let found = finding(&open(&settings(), LIST).unwrap(), kind, value);
    let shown: Vec<_> = found.evidence.iter().map(|e| format!("{} {}", e.code, e.weight)).collect();
    assert_eq!(shown, expected, "{value}");
    assert_eq!(found.status, if expected.is_empty() { Status::Miss } else { Status::Hit });
    assert!(found.network.is_empty() && found.nexus.is_empty() && found.gov.is_none());
}

#[test]
fn the_most_specific_entries_speak() {
    check(Domain, "evil.example", &["listed 151", "seen -31"]);
    check(Domain, "a.b.evil.example", &["listed-parent 75", "seen-parent -15"]);
    check(Domain, "notevil.example", &[]);
    check(Domain, "example", &[]);
    check(Domain, "evil.example.net", &[]);
    check(Domain, "x.www.deep.bad.example", &["listed-parent 75"]);
    check(Domain, "deep.bad.example", &["listed-parent 75"]);
    check(Url, "http://evil.example/b", &["payload 300"]);
    check(Url, "http://evil.example/c", &["listed-parent 75", "seen-parent -15"]);
    check(Url, "https://a.evil.example/", &["listed-parent 75", "seen-parent -15"]);
    check(Url, "http://192.0.2.200/x", &["scanner-one-parent 75"]);
    check(Url, "http://192.0.2.7/x", &["scanner-net-parent 75"]);
    check(Ipv4, "192.0.2.7", &["scanner-net 151"]);
    check(Ipv4, "192.0.2.129", &["scanner-half 151"]);
    check(Ipv4, "192.0.2.200", &["scanner-one 151"]);
    check(Ipv4, "192.0.3.1", &[]);
    check(Ipv6, "2001:db8::7", &["six 151"]);
    check(Ipv6, "2001:db8::8", &["net-six 151"]);
    check(Ipv6, "2001:db9::", &[]);
    check(Md5, "d41d8cd98f00b204e9800998ecf8427e", &["empty-file -200"]);
    check(Sha256, &"0".repeat(64), &[]);
    check(Asn, "AS64496", &["asn 151"]);
    check(Asn, "AS64497", &[]);
}

#[test]
fn public_suffixes_speak_of_themselves_only() {
    check(Domain, "co.uk", &["listed 151"]);
    check(Domain, "innocent.co.uk", &[]);
    check(Domain, "blogspot.com", &["hoster 151"]);
    check(Domain, "innocent.blogspot.com", &[]);
    check(Url, "https://blogspot.com/x", &["hoster-parent 75"]);
    check(Url, "https://innocent.blogspot.com/x", &[]);
}

#[test]
fn evidence_is_whole() {
    let reputation = open(&settings(), LIST).unwrap();
    let found = finding(&reputation, Domain, "a.evil.example");
    assert_eq!(
        found.evidence[0],
        Evidence {
            code: "listed-parent".to_owned(),
            text: "The list watchlist has evil.example, which it is under.".to_owned(),
            weight: 75,
            roles: vec![crate::sighting::Role::C2, crate::sighting::Role::MalwareDistribution],
            observed_at: "2026-11-01T00:00:00Z".parse().unwrap(),
            origin: "org:us".to_owned(),
            reference: Some("case-7".to_owned()),
            tlp: None,
            pap: None,
        }
    );
    let seen = &found.evidence[1];
    assert_eq!(
        (seen.origin.as_str(), seen.tlp, seen.reference.as_deref()),
        ("org:other", Some(Tlp::AmberStrict), None)
    );
    assert_eq!(seen.observed_at.to_string(), "2026-11-02T01:00:00Z");
    let network = finding(&reputation, Ipv4, "192.0.2.7");
    assert_eq!(network.evidence[0].text, "The list watchlist has 192.0.2.0/24, which it is in.");
    assert_eq!(finding(&reputation, Ipv4, "192.0.2.200").evidence[0].text, "The list watchlist has it.");
    assert_eq!(
        (found.source.as_str(), found.looked_up_at, found.independent),
        ("watchlist", Timestamp(7), true)
    );
    assert_eq!(found.build, format!("{} 2026-11-02", super::super::digest(LIST.as_bytes())));
    let loaded = &reputation.loaded()[0];
    assert_eq!((loaded.size, loaded.form, loaded.file.as_str()), (16, Form::List, "w.csv"));
}

#[test]
fn rows_without_a_time_take_that_of_the_list() {
    let list = "indicator,code\nevil.example,listed\n";
    let error = open(&settings(), list).err().unwrap();
    assert_eq!(error.text, "line 2: no `as_of`; give when the claim was true, here or for the whole list");
    let dated = Settings { as_of: Some(Timestamp(5)), ..settings() };
    let reputation = open(&dated, list).unwrap();
    assert_eq!(finding(&reputation, Domain, "evil.example").evidence[0].observed_at, Timestamp(5));
}

#[track_caller]
fn check_bad(row: &str, expected: &str) {
    let list = format!("indicator,type,code,weight,as_of,tlp,reference,roles\n# why\n{row}\n");
    let error = open(&settings(), &list).err().expect("a list to be refused");
    assert_eq!((error.code, error.text), ("reputation-list", format!("line 3: {expected}")), "{row}");
}

#[test]
fn bad_rows_are_refused_at_their_line() {
    check_bad(",,listed,,2026-11-01,,,", "no `indicator`; every row needs one");
    check_bad("a.example,,,,2026-11-01,,,", "no `code`; every row needs one");
    check_bad(
        "a.example,,Listed,,2026-11-01,,,",
        "the code `Listed` is not kebab-case; write one such as `listed`",
    );
    check_bad("a.example,,suppress,,2026-11-01,,,", "the code `suppress` is not built; leave the row out");
    check_bad("a.example,,l,1.5,2026-11-01,,,", "the weight `1.5` is no whole number from -1000 to 1000");
    check_bad("a.example,,l,1001,2026-11-01,,,", "the weight `1001` is no whole number from -1000 to 1000");
    check_bad(
        "a.example,,l,,2026-13-01,,,",
        "`2026-13-01` is no time; write it as 2026-11-02 or 2026-11-02T08:00:00Z",
    );
    check_bad("a.example,,l,,2026-11-01,PURPLE,,", "`PURPLE` is no TLP marking; write one such as AMBER");
    check_bad("a.example,,l,,2026-11-01,,,c2;bad", "`bad` is no role; write those such as c2;scanner");
    check_bad(
        &format!("a.example,,l,,2026-11-01,,{},", "x".repeat(513)),
        "a reference of 513 bytes; 512 fit",
    );
    check_bad(
        "what is this,,l,,2026-11-01,,,",
        "`what is this` is no indicator that is recognised; give its `type`",
    );
    check_bad("a.example,name,l,,2026-11-01,,,", "`name` is no type; write one such as domain, or network");
    check_bad("a.example,ipv4,l,,2026-11-01,,,", "`a.example` is not of the type ipv4; correct one of them");
    check_bad("192.0.2.7,ipv6,l,,2026-11-01,,,", "`192.0.2.7` is not of the type ipv6; correct one of them");
    check_bad(
        "192.0.2.7,domain,l,,2026-11-01,,,",
        "`192.0.2.7` is not of the type domain; correct one of them",
    );
    check_bad("abcd,md5,l,,2026-11-01,,,", "`abcd` is not of the type md5; correct one of them");
    check_bad(
        "mailto:a@b.example,url,l,,2026-11-01,,,",
        "`mailto:a@b.example` is not of the type url; correct one of them",
    );
    check_bad(
        "192.0.2.7/24,,l,,2026-11-01,,,",
        "`192.0.2.7/24` has bits behind its prefix; write 192.0.2.0/24, or the address alone",
    );
    check_bad(
        "0.0.0.0/0,,l,,2026-11-01,,,",
        "`0.0.0.0/0` holds too much of the Internet; list networks of /8 and smaller",
    );
    check_bad(
        "192.0.2.7/33,network,l,,2026-11-01,,,",
        "`192.0.2.7/33` is no network; write one such as 192.0.2.0/24",
    );
    let empty = open(&settings(), "indicator,code\n").err().unwrap();
    assert_eq!(empty.text, "line 1: the list has no rows; an empty one is not taken for a new one");
}

proptest! {
    /// The sorted structures answer as a search through all rows does.
    #[test]
    fn networks_answer_as_a_search_does(
        networks in prop::collection::vec((any::<u16>(), 8_u8..=32), 1..40),
        probe in any::<u16>(),
    ) {
        // Close together, so that they lie within each other.
        let network = |bits: u16, prefix| {
            let ip = std::net::Ipv4Addr::from_bits(10 << 24 | u32::from(bits));
            ipnet::Ipv4Net::new(ip, prefix).expect("a prefix").trunc()
        };
        let networks: Vec<_> = networks.into_iter().map(|(bits, prefix)| network(bits, prefix)).collect();
        let mut list = "indicator,type,code,as_of\n".to_owned();
        for (at, net) in networks.iter().enumerate() {
            list.push_str(&format!("{net},network,row-{at},2026-11-01\n"));
        }
        let ip = network(probe, 32).addr();
        let longest = networks.iter().filter(|net| net.contains(&ip)).map(ipnet::Ipv4Net::prefix_len).max();
        let expected: Vec<_> = (0..)
            .zip(&networks)
            .filter(|(_, net)| net.contains(&ip) && Some(net.prefix_len()) == longest)
            .map(|(at, _): (usize, _)| format!("row-{at}"))
            .collect();
        let found = finding(&open(&settings(), &list).unwrap(), Ipv4, &ip.to_string());
        prop_assert_eq!(found.evidence.into_iter().map(|e| e.code).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_list_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut list = b"indicator,type,code,as_of\n".to_vec();
        list.extend(bytes);
        let read = settings().open([("w.csv".to_owned(), list)].into());
        prop_assert!(read.map_or_else(|err| err.text.starts_with("line "), |list| list.entries.count() > 0));
    }
}
