//! `sightline demo`: the real stages and runner re-enact a regional operation on the embedded log.
//!
//! Everything that it says was read back from the topics, as a recipient would read them. It needs no
//! network and no Kafka, and writes the same for the same seed, on every machine.

mod geography;
mod operation;
mod records;
mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::enrich::{CHUNK, InMemory};
use super::{export, print};
use crate::diag::Findings;
use crate::stage::Record;
use operation::NOW;
use records::{Feed, Kept};
use table::ReadBack;

/// Re-enacts a regional operation with invented data, all in memory.
///
/// Seven reporters, about 8,800 C2 servers and 270 compromised websites in eight countries, through
/// the real stages; then what each audience received and was refused, one lead explained, the same
/// lead as two audiences see it, and the ledger verified.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leaves pipeline, raw input, outputs and ledger in this folder, which must be empty or new.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// What the data is invented from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// The pipeline file as it is called in the work folder.
const PIPELINE: &str = "asean.toml";

/// The pipeline and all that it names, but for the databases of addresses.
const FILES: [(&str, &str); 10] = [
    (PIPELINE, include_str!("../../../pipelines/asean.toml")),
    ("asean/agreements/hub.toml", include_str!("../../../pipelines/asean/agreements/hub.toml")),
    ("asean/agreements/my.toml", include_str!("../../../pipelines/asean/agreements/my.toml")),
    ("asean/agreements/th.toml", include_str!("../../../pipelines/asean/agreements/th.toml")),
    ("asean/agreements/vendor.toml", include_str!("../../../pipelines/asean/agreements/vendor.toml")),
    ("asean/agreements/vn.toml", include_str!("../../../pipelines/asean/agreements/vn.toml")),
    ("asean/demonstration.key", include_str!("../../../pipelines/asean/demonstration.key")),
    ("asean/government.csv", include_str!("../../../pipelines/asean/government.csv")),
    ("asean/model.toml", include_str!("../../../pipelines/asean/model.toml")),
    ("asean/watchlist.csv", include_str!("../../../pipelines/asean/watchlist.csv")),
];

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = Folder::new(args.keep.as_deref())?;
    for (name, text) in FILES {
        folder.write(name, text.as_bytes())?;
    }
    folder.write("asean/city.mmdb", &geography::city_mmdb())?;
    folder.write("asean/asn.mmdb", &geography::asn_mmdb())?;

    let pipeline = folder.path.join(PIPELINE);
    let mut findings = Findings::default();
    let loaded = super::load(&pipeline, &mut findings);
    super::print_findings(&pipeline, &findings)?;
    let loaded = loaded.context("the demonstration's own pipeline has errors, which is a fault of ours")?;

    let operation = operation::plan(args.seed);
    print(&format!(
        "Invented data: no company, server, site or agreement in this demonstration is real.\n\
         It is {NOW}, and an operation across eight countries begins (seed {}): {} C2 servers and {}\n\
         compromised websites, {} of them governments', reported by seven companies.\n\n",
        args.seed,
        grouped(operation.servers),
        operation.sites,
        operation.portals,
    ))?;
    let feeds = records::write(operation);
    let mut kept = Keeper::new(args.keep.is_some().then_some(folder.path.as_path()));
    kept.raw(&feeds)?;

    let mut work = InMemory::new(&loaded);
    let mut read = ReadBack::new(&loaded);
    let total: usize = feeds.iter().map(|feed| feed.records.len()).sum();
    let mut done = 0;
    for feed in &feeds {
        for some in feed.records.chunks(CHUNK) {
            for record in some {
                work.feed(feed.topic, record);
            }
            for record in work.settle("", NOW)? {
                kept.output(&record, &loaded.checked.topics.ledger)?;
                read.take(record)?;
            }
            done += some.len();
            print(&format!(
                "{:>7} of {} raw records: {} sightings, {} messages to audiences\n",
                grouped(done),
                grouped(total),
                grouped(read.sightings()),
                grouped(read.messages()),
            ))?;
        }
    }
    let table = read.table()?;
    print(&format!("\n{}", table.text()))?;
    print(&format!("\n{}", read.explained(&loaded, NOW)?))?;
    print(&format!("\n{}", read.side_by_side()?))?;
    let ledger = read.ledger();
    print(&format!("\n{}", ledger.text))?;
    if let Some(path) = &args.keep {
        folder.write("table.json", format!("{:#}\n", table.json(args.seed, NOW)).as_bytes())?;
        folder.write("README.txt", readme(&feeds, path).as_bytes())?;
        print(&format!("\nKept in {}: see README.txt there.\n", path.display()))?;
    }
    kept.finish()?;
    anyhow::ensure!(ledger.is_sound, "the ledger is not sound, which is a fault of ours");
    anyhow::ensure!(ledger.is_found_out, "the altered ledger looked sound, which is a fault of ours");
    Ok(ExitCode::SUCCESS)
}

/// The command that makes the same again out of what was kept, and what lies where.
fn readme(feeds: &[Feed], path: &Path) -> String {
    let path = path.display();
    let inputs: String = feeds
        .iter()
        .map(|feed| format!(" \\\n    --input {}={path}/{}", feed.topic, kept_name(feed)))
        .collect();
    format!(
        "What `sightline demo` left. All of it is invented.\n\
         \n\
         {PIPELINE}, asean/    the pipeline and all that it names\n\
         raw/                 the raw records: a file a topic, a record a line; of CSV, a file a record\n\
         out/                 what the stages wrote: a file a topic, a line a record, as `enrich` writes them\n\
         ledger.ndjson        the ledger, in the same form\n\
         table.json           the table that was printed\n\
         \n\
         The same records again, byte for byte:\n\
         \n  sightline enrich --pipeline {path}/{PIPELINE} --now {NOW}{inputs}\n"
    )
}

/// Where a topic's raw records are kept, below the folder.
fn kept_name(feed: &Feed) -> String {
    match feed.kept {
        Kept::Lines => format!("raw/{}.ndjson", feed.topic),
        Kept::Files => format!("raw/{}", feed.topic),
    }
}

/// The folder that the demonstration works in. One that nobody asked to keep goes with this.
struct Folder {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = keep {
            std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
            let mut held = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
            anyhow::ensure!(
                held.next().is_none(),
                "--keep {}: it is not empty; name a new folder",
                path.display()
            );
            return Ok(Self { path: path.to_owned(), is_kept: true });
        }
        let path = std::env::temp_dir().join(format!("sightline-demo-{}", std::process::id()));
        // Not one that is there already: somebody else's could be a link to elsewhere.
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path, is_kept: false })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        std::fs::write(&path, bytes).with_context(|| path.display().to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_kept {
            // A folder that cannot be removed is left to the system, which empties this place.
            std::fs::remove_dir_all(&self.path).unwrap_or_default();
        }
    }
}

/// What `--keep` leaves; nothing without it.
struct Keeper<'a> {
    folder: Option<&'a Path>,
    files: BTreeMap<String, BufWriter<File>>,
}

impl<'a> Keeper<'a> {
    fn new(folder: Option<&'a Path>) -> Self {
        Self { folder, files: BTreeMap::new() }
    }

    fn raw(&self, feeds: &[Feed]) -> anyhow::Result<()> {
        let Some(folder) = self.folder else { return Ok(()) };
        for feed in feeds {
            let path = folder.join(kept_name(feed));
            let context = || path.display().to_string();
            match feed.kept {
                Kept::Lines => {
                    std::fs::create_dir_all(folder.join("raw")).with_context(context)?;
                    let mut file = BufWriter::new(File::create(&path).with_context(context)?);
                    for record in &feed.records {
                        file.write_all(record).and_then(|()| file.write_all(b"\n")).with_context(context)?;
                    }
                    file.flush().with_context(context)?;
                }
                Kept::Files => {
                    std::fs::create_dir_all(&path).with_context(context)?;
                    for (n, record) in (1..).zip(&feed.records) {
                        std::fs::write(path.join(format!("{n:04}.csv")), record).with_context(context)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A record of any topic but the raw ones, which are kept as they came.
    fn output(&mut self, record: &Record, ledger: &str) -> anyhow::Result<()> {
        let Some(folder) = self.folder else { return Ok(()) };
        if record.topic.starts_with("raw.") {
            return Ok(());
        }
        let name = if *record.topic == *ledger {
            "ledger.ndjson".to_owned()
        } else {
            format!("out/{}.ndjson", record.topic)
        };
        if !self.files.contains_key(&name) {
            let path = folder.join(&name);
            std::fs::create_dir_all(folder.join("out")).with_context(|| path.display().to_string())?;
            let file = File::create(&path).with_context(|| path.display().to_string())?;
            self.files.insert(name.clone(), BufWriter::new(file));
        }
        let file = self.files.get_mut(&name).expect("it was put in");
        export::write(record, file).with_context(|| name)
    }

    fn finish(self) -> anyhow::Result<()> {
        for (name, mut file) in self.files {
            file.flush().with_context(|| name)?;
        }
        Ok(())
    }
}

/// A number as people read it: `8,812`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
