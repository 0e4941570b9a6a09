//! The operation's reports as raw records, each in its reporter's own form, and records that are
//! wrong in all the ways in which feeds are.
//!
//! What is wrong stands in records of its own: a record is all or nothing, and a good report in a bad
//! record would be lost.

use rand::RngExt as _;
use rand_pcg::Pcg64;
use serde_json::{Value, json};

use super::operation::{NOW, Operation, Report, Reporter};
use crate::sighting::Timestamp;
use crate::sighting::time::{HOUR, SECOND};

/// The records of one raw topic, in order.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) topic: &'static str,
    /// How `--keep` keeps it.
    pub(super) kept: Kept,
    pub(super) records: Vec<Vec<u8>>,
}

/// How raw records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// A record a line.
    Lines,
    /// A record a file.
    Files,
}

/// All raw records, topic by topic.
pub(super) fn write(operation: Operation) -> Vec<Feed> {
    let Operation { reports, mut rng, .. } = operation;
    let of = |reporters: &[Reporter]| -> Vec<&Report> {
        reports.iter().filter(|report| reporters.contains(&report.reporter)).collect()
    };
    let mut native = Vec::new();
    for (reporter, name, size) in [
        (Reporter::Blackwater, "blackwater-labs", 8),
        (Reporter::Larkspur, "larkspur", 1),
        (Reporter::Meridian, "meridian-dns", 5),
        (Reporter::Northwind, "northwind", 1),
    ] {
        for (n, reports) in of(&[reporter]).chunks(size).enumerate() {
            let items: Vec<Value> =
                reports.iter().zip(1..).map(|(report, at)| sighting(report, name, n * size + at)).collect();
            native.push((reports[0].at, bundle(reporter, items)));
        }
    }
    // A feed that was interrupted sends again what it sent: the same bytes, the same ids.
    for _ in 0..60 {
        let again = native[rng.random_range(0..native.len())].clone();
        native.push(again);
    }
    native.extend(bad_native(&mut rng));
    let sinkhole = sinkhole(&of(&[Reporter::Quarrystone]), &mut rng);
    let mail = mail(&of(&[Reporter::Saltmarsh]), &mut rng);
    vec![
        Feed { topic: "raw.native", kept: Kept::Lines, records: in_order(native) },
        Feed { topic: "raw.sinkhole", kept: Kept::Lines, records: in_order(sinkhole) },
        Feed { topic: "raw.mail", kept: Kept::Lines, records: in_order(mail) },
        Feed { topic: "raw.honeypot", kept: Kept::Files, records: honeypot(&of(&[Reporter::Tidewatch])) },
    ]
}

type Timed = (Timestamp, Vec<u8>);

fn in_order(mut records: Vec<Timed>) -> Vec<Vec<u8>> {
    records.sort_by_key(|(at, _)| *at);
    records.into_iter().map(|(_, record)| record).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// As people write what must not be clicked: the path of a URL stays as it is.
fn defanged(indicator: &str) -> String {
    let (scheme, rest) = indicator.split_once("://").map_or(("", indicator), |(scheme, rest)| (scheme, rest));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = scheme.replace("http", "hxxp");
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{}{path}", host.replace('.', "[.]"))
}

/// One sighting in the native form.
fn sighting(report: &Report, reporter: &str, n: usize) -> Value {
    let is_v6 = report.indicator.contains(':') && !report.indicator.contains('/');
    let indicator = match report.reporter {
        Reporter::Blackwater if !is_v6 => json!(defanged(&report.indicator)),
        Reporter::Larkspur => {
            let kind = match () {
                () if report.indicator.contains('/') => "url",
                () if is_v6 => "ipv6",
                () if report.indicator.parse::<std::net::Ipv4Addr>().is_ok() => "ipv4",
                () => "domain",
            };
            json!({ "type": kind, "value": report.indicator })
        }
        _ => json!(report.indicator),
    };
    let mut value = json!({
        "reporter": reporter,
        "id": format!("{reporter}-{n:06}"),
        "indicator": indicator,
        "role": report.role,
        "observed_at": report.at,
    });
    let mut set = |key: &str, field: Option<Value>| {
        if let Some(field) = field {
            value[key] = field;
        }
    };
    set("claimed_confidence", report.confidence.map(|confidence| json!(confidence)));
    set("malware", report.malware.map(|malware| json!(malware)));
    set("port", report.port.map(|port| json!(port)));
    set("protocol", report.port.map(|_| json!("tcp")));
    set("tlp", report.amber.then(|| json!("AMBER")));
    value
}

fn bundle(reporter: Reporter, items: Vec<Value>) -> Vec<u8> {
    match (reporter, <[Value; 1]>::try_from(items)) {
        (_, Ok([one])) => bytes(&one),
        (Reporter::Blackwater, Err(items)) => bytes(&json!({ "sightings": items })),
        (_, Err(items)) => bytes(&Value::Array(items)),
    }
}

/// A record that is wrong in one way, for each way. What intake calls it stands beside it.
fn bad_native(rng: &mut Pcg64) -> Vec<Timed> {
    let mut records = Vec::new();
    for _ in 0..rng.random_range(6..10) {
        let faults: [fn(&mut Value, &mut Pcg64); 13] = [
            // special-purpose: the reporter's own network.
            |sighting, rng| sighting["indicator"] = json!(private(rng)),
            |sighting, rng| sighting["indicator"] = json!(private(rng)),
            // special-use-name
            |sighting, _| sighting["indicator"] = json!("printer.local"),
            // missing-field
            |sighting, _| drop(sighting.as_object_mut().and_then(|fields| fields.remove("role"))),
            // bad-role
            |sighting, _| sighting["role"] = json!("evil"),
            // bad-time
            |sighting, _| sighting["observed_at"] = json!("yesterday"),
            // time-in-future
            |sighting, _| sighting["observed_at"] = json!(NOW.plus(72 * HOUR)),
            // unknown-field: a misspelt marking must not be read as none.
            |sighting, _| sighting["tlpp"] = json!("RED"),
            // bad-tlp
            |sighting, _| sighting["tlp"] = json!("PINK"),
            // bad-port
            |sighting, _| sighting["port"] = json!(70_000),
            // bad-confidence
            |sighting, _| sighting["claimed_confidence"] = json!(140),
            // reporter-not-allowed
            |sighting, _| sighting["reporter"] = json!("nightjar"),
            // reporter-missing
            |sighting, _| drop(sighting.as_object_mut().and_then(|fields| fields.remove("reporter"))),
        ];
        for fault in faults {
            let at = NOW.plus(-rng.random_range(1..36) * HOUR);
            let mut value = json!({
                "reporter": "larkspur",
                "id": format!("larkspur-x{:08x}", rng.random_range(0..u32::MAX)),
                "indicator": format!("198.18.{}.{}", rng.random_range(0..64), rng.random_range(0..256)),
                "role": "c2",
                "observed_at": at,
                "claimed_confidence": 90,
            });
            fault(&mut value, rng);
            records.push((at, bytes(&value)));
        }
        // not-json: a connection that broke.
        let at = NOW.plus(-rng.random_range(1..36) * HOUR);
        records.push((at, br#"{"reporter":"northwind","indicator":"198.18.7"#.to_vec()));
    }
    records
}

/// An address of a network that is nobody's on the internet.
fn private(rng: &mut Pcg64) -> String {
    let [a, b] = [rng.random_range(0..256), rng.random_range(1..255)];
    match rng.random_range(0..4) {
        0 => format!("10.0.{a}.{b}"),
        1 => format!("192.168.{a}.{b}"),
        2 => format!("172.16.{a}.{b}"),
        _ => format!("100.64.{a}.{b}"),
    }
}

/// The sinkhole's: an object with a list of hits.
fn sinkhole(reports: &[&Report], rng: &mut Pcg64) -> Vec<Timed> {
    let hit = |uid: usize, address: &str, report: &Report| {
        json!({
            "uid": format!("q-{uid:06}"),
            "ts": report.at.0 / SECOND,
            "family": report.malware,
            "src": { "ip": address, "port": report.port, "cc": report.country },
        })
    };
    let mut records = Vec::new();
    let mut rest = reports;
    let mut uid = 0;
    while !rest.is_empty() {
        let (some, others) = rest.split_at(rng.random_range(4..17).min(rest.len()));
        rest = others;
        let hits: Vec<Value> = some
            .iter()
            .map(|report| {
                uid += 1;
                hit(uid, &report.indicator, report)
            })
            .collect();
        records.push((some[0].at, bytes(&json!({ "sinkhole": "quarry-3", "hits": hits }))));
    }
    for n in 0..rng.random_range(5..9) {
        let like = reports[rng.random_range(0..reports.len())];
        // special-purpose: a hit through a tunnel, with the address that it had inside.
        let inside = hit(900_000 + n, &private(rng), like);
        records.push((like.at, bytes(&json!({ "sinkhole": "quarry-3", "hits": [inside] }))));
        // no-sightings: a quiet minute.
        records.push((like.at, bytes(&json!({ "sinkhole": "quarry-4", "hits": [] }))));
    }
    records
}

/// The mail filter's: one object a record, with words of its own.
fn mail(reports: &[&Report], rng: &mut Pcg64) -> Vec<Timed> {
    let message = |n: usize, report: &Report, verdict: &str| {
        json!({
            "message": { "ref": format!("sm-{n:05}") },
            "link": defanged(&report.indicator),
            "verdict": verdict,
            "score": report.confidence,
            "seen": report.at,
            "labels": ["mail", "inbound"],
        })
    };
    let verdict = |role: &str| match role {
        "phishing" => "credential-page",
        "malware-distribution" => "dropper",
        _ => "hijacked-page",
    };
    let mut records: Vec<Timed> = (1..)
        .zip(reports)
        .map(|(n, report)| (report.at, bytes(&message(n, report, verdict(report.role)))))
        .collect();
    for n in 0..rng.random_range(4..8) {
        let like = reports[rng.random_range(0..reports.len())];
        // bad-role: a word that the mapping does not know.
        records.push((like.at, bytes(&message(90_000 + n, like, "newsletter"))));
    }
    records
}

/// The honeypots': a file for each stretch of time, with a header line, and one sighting a row.
fn honeypot(reports: &[&Report]) -> Vec<Vec<u8>> {
    const HEADER: &str = "source,dport,proto,last_seen,activity,sample";
    let row = |report: &Report| {
        let activity = match report.role {
            "c2" => "c2-beacon",
            "brute-force" => "login",
            _ => "probe",
        };
        let at = report.at.to_string().replace('T', " ").replace('Z', "");
        let port = report.port.map(|port| port.to_string()).unwrap_or_default();
        format!("{},{port},tcp,{at},{activity},{}\n", report.indicator, report.malware.unwrap_or_default())
    };
    let mut files: Vec<Vec<u8>> = reports
        .chunks(80)
        .map(|some| {
            let rows: String = some.iter().map(|report| row(report)).collect();
            format!("# tidewatch, times in UTC\n{HEADER}\n{rows}").into_bytes()
        })
        .collect();
    let some: String = reports.iter().take(3).map(|report| row(report)).collect();
    // column-count: a row that was cut off.
    files.insert(7, format!("{HEADER}\n{some}198.18.0.9,22,tcp\n").into_bytes());
    // bad-header: a column that was renamed.
    files.insert(12, format!("{}\n{some}", HEADER.replace("source", "src_ip")).into_bytes());
    files
}
