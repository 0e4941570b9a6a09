//! `sightline ledger`: whether a ledger is as it was written, and what others need to see that.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::export;
use crate::config::Loaded;
use crate::diag::Findings;
use crate::share::ledger::{self, Heads, Message};
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
    Export(Export),
}

/// Names every entry that was changed, removed, reordered or swapped, and every message that is not the
/// one of its entry. Exits with 1 if there is one. `sightline schema ledger` prints the rules by which
/// anybody else can check the same.
#[derive(Debug, clap::Args)]
struct Verify {
    /// An export: lines as `sightline enrich` and `sightline ledger export` write them, or entries alone,
    /// a line each; - for standard input. Audience topics in it are compared with the entries. Default:
    /// the ledger topic and the audience topics of --pipeline.
    #[arg(value_name = "FILE|-")]
    export: Option<PathBuf>,
    /// Reads the topics of this pipeline's cluster, or knows by it which lines of an export are the
    /// ledger's. Default for an export: every topic whose name ends with `ledger`.
    #[arg(long, value_name = "FILE", required_unless_present = "export")]
    pipeline: Option<PathBuf>,
    /// Does not compare messages with entries: for a ledger whose messages retention has removed.
    #[arg(long)]
    entries_only: bool,
    /// What this command printed earlier, kept where nobody who can write the ledger can: names what was
    /// cut off or written anew since.
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
}

/// Writes the ledger and the messages on the audience topics to standard output, a line a record: for
/// whoever checks them elsewhere. A line is {"topic", "key", "headers", "value"}, in this order and
/// without spaces: the bytes of the value are what stands between the first `],"value":` and the last
/// brace of the line. A value that is no JSON of one line stands there in base64, as "value_base64".
#[derive(Debug, clap::Args)]
struct Export {
    /// Reads the topics of this pipeline's cluster.
    #[arg(long, value_name = "FILE")]
    pipeline: PathBuf,
}

/// Where a record stood, in words.
struct Placed {
    record: Record,
    position: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Verify(args) => run_verify(args),
        Command::Export(args) => run_export(args),
    }
}

/// The pipeline, but for findings that stop it, which are shown.
fn load(path: &Path) -> anyhow::Result<Option<Loaded>> {
    let mut findings = Findings::default();
    let loaded = super::load(path, &mut findings);
    super::print_findings(path, &findings)?;
    Ok(loaded)
}

/// Every record of the ledger, and of every audience topic that the pipeline or the ledger names.
fn read_cluster(loaded: &Loaded, messages: bool, mut each: impl FnMut(Record)) -> anyhow::Result<()> {
    let group = format!("{}ledger", loaded.checked.kafka.group_prefix);
    let settings = KafkaSettings::new(super::client(&loaded.checked), group, "", Vec::new());
    let mut topics: BTreeSet<String> =
        loaded.checked.agreements.iter().map(|one| one.topic.clone()).collect();
    kafka::read_topic(&settings, &loaded.checked.topics.ledger, |record| {
        topics.extend(topic_of(&record));
        each(record);
    })?;
    for topic in topics.iter().filter(|_| messages) {
        kafka::read_topic(&settings, topic, &mut each)?;
    }
    Ok(())
}

/// The audience topic that an entry names: its agreement may be gone since.
fn topic_of(entry: &Record) -> Option<String> {
    let entry: serde_json::Value = serde_json::from_slice(entry.value.as_deref()?).ok()?;
    Some(entry["output"]["topic"].as_str()?.to_owned())
}

fn run_export(args: &Export) -> anyhow::Result<ExitCode> {
    let Some(loaded) = load(&args.pipeline)? else { return Ok(ExitCode::from(super::USAGE)) };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut failed = None;
    read_cluster(&loaded, true, |record| {
        if failed.is_none() {
            failed = export::write(&record, &mut out).err();
        }
    })?;
    match failed.map_or_else(|| out.flush(), Err) {
        Err(err) if err.kind() != std::io::ErrorKind::BrokenPipe => Err(err.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn run_verify(args: &Verify) -> anyhow::Result<ExitCode> {
    let mut names = Names { ledger: None, audiences: BTreeSet::new() };
    let mut records = Vec::new();
    if let Some(path) = &args.pipeline {
        let Some(loaded) = load(path)? else { return Ok(ExitCode::from(super::USAGE)) };
        names.ledger = Some(loaded.checked.topics.ledger.to_string());
        names.audiences = loaded.checked.agreements.iter().map(|one| one.topic.clone()).collect();
        if args.export.is_none() {
            read_cluster(&loaded, !args.entries_only, |record| {
                let position = format!("{} {} offset {}", record.topic, record.partition, record.offset);
                records.push(Placed { record, position });
            })?;
        }
    }
    if let Some(path) = &args.export {
        let text = if path.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin().lock()).context("reading standard input")?
        } else {
            read(path)?
        };
        for (n, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            records.push(Placed { record: line_of(line), position: format!("line {n}") });
        }
    }
    let kept = match &args.heads {
        Some(path) => heads(&read(path)?).with_context(|| path.display().to_string())?,
        None => Heads::new(),
    };
    // An export of the ledger alone has no messages to compare; a cluster has, or should have.
    let messages = match (args.entries_only, args.export.is_some()) {
        (true, _) => Messages::None,
        (false, true) => Messages::IfAny,
        (false, false) => Messages::All,
    };
    let report = verify(&records, names, &kept, messages);
    super::print(&report.text)?;
    Ok(if report.faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The heads in what was printed earlier: lines as [`head_line`] writes them.
fn heads(text: &str) -> anyhow::Result<Heads> {
    let mut heads = Heads::new();
    for line in text.lines().filter(|line| line.contains(HEAD)) {
        let head = line.split_once(": ").and_then(|(agreement, rest)| {
            let (seq, hash) = rest.split_once(HEAD)?;
            let is_digest = hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
            Some((agreement.to_owned(), (seq.parse().ok()?, is_digest.then(|| hash.to_owned())?)))
        });
        let (agreement, head) = head.with_context(|| format!("this is no head of a chain: {line}"))?;
        anyhow::ensure!(heads.insert(agreement, head).is_none(), "two heads of one chain: {line}");
    }
    anyhow::ensure!(!heads.is_empty(), "no line in it is a head, such as `dxa-hub-01: 12 entries, head 5f…`");
    Ok(heads)
}

/// What stands between a chain's number of entries and its last digest.
const HEAD: &str = " entries, head ";

fn head_line(agreement: &str, seq: u64, hash: &str) -> String {
    format!("{agreement}: {seq}{HEAD}{hash}\n")
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

/// Which messages are compared with entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Messages {
    /// None.
    None,
    /// All, but where there is not one.
    IfAny,
    /// All; where there is none, each is missing.
    All,
}

impl Names {
    fn is_ledger(&self, topic: &str) -> bool {
        topic == "ledger"
            || self.ledger.as_deref().map_or_else(|| topic.ends_with(".ledger"), |name| name == topic)
    }

    /// Whatever stands on a topic that is an audience's, and what looks like a message elsewhere; but a
    /// dead letter keeps the headers that it came with.
    fn is_audience(&self, record: &Record) -> bool {
        let has = |name: &str| record.headers.iter().any(|(held, _)| held == name);
        self.audiences.contains(&*record.topic)
            || (has("dx-disclosure-id") && !has("sightline.error.code") && !self.is_ledger(&record.topic))
    }
}

/// What was found, in words.
struct Verified {
    text: String,
    faults: usize,
}

fn verify(records: &[Placed], mut names: Names, kept: &Heads, messages: Messages) -> Verified {
    let entries = records.iter().filter(|placed| names.is_ledger(&placed.record.topic)).map(|placed| {
        let key = placed.record.key.as_deref().unwrap_or_default();
        (key, placed.record.value.as_deref().unwrap_or_default(), placed.position.clone())
    });
    let mut report = ledger::verify_against(kept, entries);
    names.audiences.extend(report.told.iter().map(|told| told.topic.clone()));
    let sent: Vec<&Placed> = records.iter().filter(|placed| names.is_audience(&placed.record)).collect();
    let compares = messages == Messages::All || (messages == Messages::IfAny && !sent.is_empty());
    if compares {
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
        text += &head_line(agreement, *seq, hash);
    }
    let verdict = match report.faults.len() {
        0 => "sound".to_owned(),
        1 => "1 fault".to_owned(),
        n => format!("{n} faults"),
    };
    let compared =
        if compares { format!("{} messages", sent.len()) } else { "messages not compared".to_owned() };
    text += &format!("{} entries, {compared}: {verdict}\n", report.entries);
    if kept.is_empty() {
        text += &format!("not seen by this check: {}\n", report.note);
    } else {
        text += &format!("compared with {} heads that were kept\n", kept.len());
    }
    Verified { text, faults: report.faults.len() }
}

fn message(placed: &Placed) -> Message<'_> {
    Message {
        topic: &placed.record.topic,
        key: placed.record.key.as_deref().unwrap_or_default(),
        headers: &placed.record.headers,
        payload: placed.record.value.as_deref().unwrap_or_default(),
        position: &placed.position,
    }
}
