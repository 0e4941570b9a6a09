//! `sightline enrich`: all stages in memory over standard input, or over files of several raw topics.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context;

use super::export;
use crate::config::{Loaded, StageName, Stages, one_partition_each};
use crate::diag::Findings;
use crate::sighting::Timestamp;
use crate::stream::embedded::Cluster;
use crate::stream::local::Local;
use crate::stream::runner::Settings;
use crate::stream::view::Views;

/// Runs all stages in memory over standard input, a record a line, and writes every record that they
/// would produce as a JSON object a line: {"topic", "key", "headers", "value"}.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file.
    #[arg(long, value_name = "FILE")]
    pipeline: PathBuf,
    /// The time to work at, RFC 3339. The same input and time give the same bytes. Default: now.
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// The raw topic that the records are of. Default: the first [[intake]].
    #[arg(long, value_name = "RAW_TOPIC")]
    topic: Option<String>,
    /// Takes all of standard input as one record.
    #[arg(long)]
    whole: bool,
    /// Takes the records of a raw topic from a file, a record a line, and nothing from standard
    /// input. A file whose name ends with .csv is one record; of a folder each file is, in order of
    /// name. May be repeated: for several topics, in the order given.
    #[arg(long, value_name = "RAW_TOPIC=PATH", conflicts_with_all = ["topic", "whole"])]
    input: Vec<Input>,
}

/// Records that are worked on together. What comes of it does not depend on this, but for how many
/// versions a lead goes through.
pub(super) const CHUNK: usize = 2_000;

/// Where the records of a raw topic are.
#[derive(Debug, Clone)]
struct Input {
    topic: String,
    path: PathBuf,
}

impl FromStr for Input {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (topic, path) = text.split_once('=').ok_or("write RAW_TOPIC=PATH")?;
        Ok(Self { topic: topic.to_owned(), path: path.into() })
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let loaded = super::load(&args.pipeline, &mut findings);
    super::print_findings(&args.pipeline, &findings)?;
    let Some(loaded) = loaded else { return Ok(ExitCode::from(super::USAGE)) };
    let mut work = InMemory::new(&loaded);
    let now = args.now.unwrap_or_else(super::clock);
    let mut out = BufWriter::new(std::io::stdout().lock());
    for input in &args.input {
        check_topic(&loaded, "--input", &input.topic)?;
    }
    for input in &args.input {
        let records = records_at(&input.path).with_context(|| input.path.display().to_string())?;
        work.run(&input.topic, records, now, &mut out).with_context(|| input.path.display().to_string())?;
    }
    if args.input.is_empty() {
        let first = loaded.checked.intakes.first().context("the pipeline has no [[intake]]")?;
        let topic = args.topic.clone().unwrap_or_else(|| first.topic.to_string());
        check_topic(&loaded, "--topic", &topic)?;
        let mut input = std::io::stdin().lock();
        let records: Records<'_> = if args.whole {
            let mut record = Vec::new();
            input.read_to_end(&mut record).context("reading standard input")?;
            Box::new(std::iter::once(Ok(record)))
        } else {
            Box::new(lines(input))
        };
        work.run(&topic, records, now, &mut out).context("standard input")?;
    }
    out.flush().context("writing standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn check_topic(loaded: &Loaded, option: &str, topic: &str) -> anyhow::Result<()> {
    let known: Vec<&str> = loaded.checked.intakes.iter().map(|intake| &*intake.topic).collect();
    anyhow::ensure!(
        known.contains(&topic),
        "{option} {topic}: the pipeline's raw topics are {}",
        known.join(", ")
    );
    Ok(())
}

/// Raw records, one after the other.
type Records<'a> = Box<dyn Iterator<Item = std::io::Result<Vec<u8>>> + 'a>;

/// The records of a file or folder, as `--input` says.
fn records_at(path: &Path) -> std::io::Result<Records<'static>> {
    if path.is_dir() {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path)? {
            files.push(entry?.path());
        }
        files.sort();
        return Ok(Box::new(files.into_iter().map(std::fs::read)));
    }
    if path.extension().is_some_and(|ending| ending == "csv") {
        return Ok(Box::new(std::iter::once(std::fs::read(path))));
    }
    Ok(Box::new(lines(BufReader::new(std::fs::File::open(path)?))))
}

/// The lines of an input without their ends. Empty ones are no records.
fn lines<R: BufRead>(input: R) -> impl Iterator<Item = std::io::Result<Vec<u8>>> {
    let without_end = |mut line: Vec<u8>| {
        while line.last().is_some_and(|byte| *byte == b'\r') {
            line.pop();
        }
        line
    };
    let lines = input.split(b'\n').map(move |line| line.map(without_end));
    lines.filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()))
}

/// All stages of a pipeline in memory, one partition each.
pub(super) struct InMemory {
    local: Local,
}

impl InMemory {
    pub(super) fn new(loaded: &Loaded) -> Self {
        let partitions = one_partition_each(&loaded.checked);
        let cluster = Cluster::new(false);
        for (topic, n) in &partitions {
            cluster.create_topic(topic, *n);
        }
        let stages = Stages::new(loaded);
        let steps = StageName::ALL.into_iter().map(|stage| stages.step(stage)).collect();
        let settings = Settings { every: 0, records: CHUNK, due: CHUNK, sweep: CHUNK, ..Settings::default() };
        Self { local: Local::new(cluster, steps, &settings, &Views::InMemory, &partitions) }
    }

    pub(super) fn feed(&self, topic: &str, record: &[u8]) {
        self.local.cluster.append(topic, 0, None, Some(record), &[]);
    }

    /// Works until nothing is left, and takes what was written, in order, without the input.
    pub(super) fn settle(
        &mut self,
        input: &str,
        now: Timestamp,
    ) -> anyhow::Result<Vec<crate::stage::Record>> {
        self.local.settle(now, |_, _| {})?;
        let mut records = self.local.cluster.drain();
        records.retain(|record| &*record.topic != input);
        Ok(records)
    }

    /// Works on the records of one raw topic, and writes what comes of them.
    fn run(
        &mut self,
        topic: &str,
        mut records: Records<'_>,
        now: Timestamp,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        loop {
            let mut n = 0;
            for record in records.by_ref().take(CHUNK) {
                self.feed(topic, &record.context("reading")?);
                n += 1;
            }
            if n == 0 {
                return Ok(());
            }
            for record in self.settle(topic, now)? {
                export::write(&record, out).context("writing standard output")?;
            }
        }
    }
}
