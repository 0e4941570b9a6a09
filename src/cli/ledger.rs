//! `sightline ledger verify`: whether a ledger is as it was written.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::export;
use crate::diag::Findings;
use crate::share::ledger::{self, Message};
use crate::stage::Record;
use crate::stream::kafka::{self, KafkaSettings};

/// Looks at the ledger.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Verify(Verify),
}

/// Names every entry that was changed, removed, reordered or swapped. Exits with 1 if there is one.
#[derive(Debug, clap::Args)]
struct Verify {
    /// An export: lines as `sightline enrich` writes them, or entries alone, a line each; - for
    /// standard input. Lines of audience topics in it are compared with the entries. Default: the
    /// ledger topic and the audience topics of --pipeline.
    #[arg(value_name = "FILE|-")]
    export: Option<PathBuf>,
    /// Reads the topics of this pipeline's cluster, or knows by it which lines of an export are the
    /// ledger's. Default for an export: every topic whose name ends with `ledger`.
    #[arg(long, value_name = "FILE", required_unless_present = "export")]
    pipeline: Option<PathBuf>,
    /// Does not compare messages with entries: for a ledger whose messages retention has removed.
    #[arg(long)]
    entries_only: bool,
}

/// Where a record stood, in words.
struct Placed {
    record: Record,
    position: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::Verify(args) = &args.command;
    let mut names = Names { ledger: None, audiences: BTreeSet::new() };
    let mut records = Vec::new();
    if let Some(path) = &args.pipeline {
        let mut findings = Findings::default();
        let loaded = super::load(path, &mut findings);
        super::print_findings(path, &findings)?;
        let Some(loaded) = loaded else { return Ok(ExitCode::from(super::USAGE)) };
        names.ledger = Some(loaded.checked.topics.ledger.to_string());
        names.audiences = loaded.checked.agreements.iter().map(|one| one.topic.clone()).collect();
        if args.export.is_none() {
            let group = format!("{}ledger", loaded.checked.kafka.group_prefix);
            let settings = KafkaSettings::new(super::client(&loaded.checked), group, "", Vec::new());
            let mut topics = vec![loaded.checked.topics.ledger.to_string()];
            if !args.entries_only {
                topics.extend(names.audiences.iter().cloned());
            }
            for topic in topics {
                kafka::read_topic(&settings, &topic, |record| {
                    let position = format!("{} {} offset {}", record.topic, record.partition, record.offset);
                    records.push(Placed { record, position });
                })?;
            }
        }
    }
    if let Some(path) = &args.export {
        let text = if path.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin().lock()).context("reading standard input")?
        } else {
            std::fs::read_to_string(path).with_context(|| path.display().to_string())?
        };
        for (n, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            records.push(Placed { record: line_of(line), position: format!("line {n}") });
        }
    }
    let report = verify(&records, &names, !args.entries_only);
    super::print(&report.text)?;
    Ok(if report.faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An export's line: a record with its topic, or an entry alone.
fn line_of(line: &str) -> Record {
    export::read(line).unwrap_or_else(|_| {
        let entry: Option<serde_json::Value> = serde_json::from_str(line).ok();
        let key = entry.and_then(|entry| Some(entry["agreement"]["id"].as_str()?.as_bytes().to_vec()));
        Record {
            topic: "ledger".into(),
            partition: 0,
            offset: 0,
            key,
            value: Some(line.as_bytes().to_vec()),
            headers: Vec::new(),
        }
    })
}

struct Names {
    ledger: Option<String>,
    audiences: BTreeSet<String>,
}

impl Names {
    fn is_ledger(&self, topic: &str) -> bool {
        topic == "ledger"
            || self.ledger.as_deref().map_or_else(|| topic.ends_with(".ledger"), |name| name == topic)
    }

    fn is_audience(&self, record: &Record) -> bool {
        let disclosed = record.headers.iter().any(|(name, _)| name == "dx-disclosure-id");
        disclosed && (self.audiences.is_empty() || self.audiences.contains(&*record.topic))
    }
}

/// What was found, in words.
struct Verified {
    text: String,
    faults: usize,
}

fn verify(records: &[Placed], names: &Names, messages: bool) -> Verified {
    let entries = records.iter().filter(|placed| names.is_ledger(&placed.record.topic)).map(|placed| {
        let key = placed.record.key.as_deref().unwrap_or_default();
        (key, placed.record.value.as_deref().unwrap_or_default(), placed.position.clone())
    });
    let mut report = ledger::verify(entries);
    let sent: Vec<&Placed> = records.iter().filter(|placed| names.is_audience(&placed.record)).collect();
    // An export of the ledger alone has no messages to compare.
    if messages && !sent.is_empty() {
        report
            .faults
            .extend(ledger::verify_messages(&report.told, sent.iter().map(|placed| message(placed))));
    }
    let mut text = String::new();
    for fault in &report.faults {
        let seq = fault.seq.map(|seq| format!(" entry {seq}")).unwrap_or_default();
        text += &format!(
            "{}: {}{seq}, {}: {}\n",
            fault.kind.as_str(),
            fault.agreement,
            fault.position,
            fault.text
        );
    }
    for (agreement, (seq, hash)) in &report.heads {
        text += &format!("{agreement}: {seq} entries, head {hash}\n");
    }
    let verdict = match report.faults.len() {
        0 => "sound".to_owned(),
        1 => "1 fault".to_owned(),
        n => format!("{n} faults"),
    };
    text += &format!("{} entries, {} messages: {verdict}\n", report.entries, sent.len());
    text += &format!("not seen by this check: {}\n", report.note);
    Verified { text, faults: report.faults.len() }
}

fn message(placed: &Placed) -> Message<'_> {
    let header = |name: &str| {
        let value =
            placed.record.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_slice());
        std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default()
    };
    Message {
        topic: &placed.record.topic,
        disclosure_id: header("dx-disclosure-id"),
        version: header("dx-version").parse().unwrap_or(0),
        salt: header("dx-salt"),
        payload: placed.record.value.as_deref().unwrap_or_default(),
        position: &placed.position,
    }
}
