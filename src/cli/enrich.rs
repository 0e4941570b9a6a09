//! `sightline enrich`: all stages in memory over standard input.

use std::io::{BufRead, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

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
}

/// Records that are worked on together. What comes of it does not depend on this, but for how many
/// versions a lead goes through.
const CHUNK: usize = 5_000;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let loaded = super::load(&args.pipeline, &mut findings);
    super::print_findings(&args.pipeline, &findings)?;
    let Some(loaded) = loaded else { return Ok(ExitCode::from(super::USAGE)) };
    let first = loaded.checked.intakes.first().context("the pipeline has no [[intake]]")?;
    let topic = args.topic.clone().unwrap_or_else(|| first.topic.to_string());
    if !loaded.checked.intakes.iter().any(|intake| *intake.topic == *topic) {
        let known: Vec<&str> = loaded.checked.intakes.iter().map(|intake| &*intake.topic).collect();
        anyhow::bail!("--topic {topic}: the pipeline's raw topics are {}", known.join(", "));
    }
    let mut work = InMemory::new(&loaded);
    let now = args.now.unwrap_or_else(super::clock);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut input = std::io::stdin().lock();
    if args.whole {
        let mut record = Vec::new();
        input.read_to_end(&mut record).context("reading standard input")?;
        work.feed(&topic, &record);
        work.write(&topic, now, &mut out)?;
    } else {
        loop {
            let mut n = 0;
            while n < CHUNK {
                let mut line = Vec::new();
                if input.read_until(b'\n', &mut line).context("reading standard input")? == 0 {
                    break;
                }
                while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                    line.pop();
                }
                if !line.is_empty() {
                    work.feed(&topic, &line);
                    n += 1;
                }
            }
            if n == 0 {
                break;
            }
            work.write(&topic, now, &mut out)?;
        }
    }
    out.flush().context("writing standard output")?;
    Ok(ExitCode::SUCCESS)
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

    fn write(&mut self, input: &str, now: Timestamp, out: &mut impl Write) -> anyhow::Result<()> {
        for record in self.settle(input, now)? {
            export::write(&record, out).context("writing standard output")?;
        }
        Ok(())
    }
}
