//! `sightline explain`: a score's factors and, for an agreement, each step of its decision.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::enrich::InMemory;
use crate::config::{Loaded, StageName, knowledge};
use crate::diag::Findings;
use crate::dossier::{self, Dossier, Lead, Projection};
use crate::share::decide::{self, Cache, Outcome};
use crate::sighting::{Indicator, Normaliser, Timestamp};
use crate::stage::knowledge::Knowledge;
use crate::stage::{assess, partition_of};
use crate::stream::kafka::{self, KafkaSettings};
use crate::stream::view;

/// Shows a score's factors and, for an agreement, each step of its decision with what was dropped
/// and why.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file.
    #[arg(long, value_name = "FILE")]
    pipeline: PathBuf,
    /// Explains the decision of this agreement too.
    #[arg(long = "for", value_name = "AGREEMENT")]
    agreement: Option<String>,
    /// The time to explain for, RFC 3339. Default: now.
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// With `-`: the raw topic that standard input's records are of. Default: the first [[intake]].
    #[arg(long, value_name = "RAW_TOPIC")]
    topic: Option<String>,
    /// Reads the dossier from the topic `dossiers`, one partition of it, committed records only.
    #[arg(long, conflicts_with = "state")]
    kafka: bool,
    /// Reads the dossier from this state directory. Default: the pipeline's.
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    /// The indicator, in any spelling; or - for all indicators of the records on standard input.
    #[arg(value_name = "INDICATOR|-")]
    indicator: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let loaded = super::load(&args.pipeline, &mut findings);
    super::print_findings(&args.pipeline, &findings)?;
    let Some(loaded) = loaded else { return Ok(ExitCode::from(super::USAGE)) };
    let knowledge = knowledge(&loaded);
    if let Some(id) = &args.agreement {
        let known: Vec<&str> = knowledge.agreements.keys().map(String::as_str).collect();
        anyhow::ensure!(
            knowledge.agreements.contains_key(id),
            "--for {id}: the agreements are {}",
            known.join(", ")
        );
    }
    let now = args.now.unwrap_or_else(super::clock);
    let dossiers = if args.indicator == "-" {
        from_input(&loaded, args.topic.as_deref(), now)?
    } else {
        let normalised = Normaliser::new(&loaded.checked.indicators)
            .indicator(None, &args.indicator)
            .map_err(|refusal| anyhow::anyhow!("{}: {} [{}]", args.indicator, refusal.text, refusal.code))?;
        let bytes = if args.kafka {
            from_kafka(&loaded, &normalised.indicator)?
        } else {
            let folder = args.state.as_ref().unwrap_or(&loaded.checked.state_directory);
            from_state(folder, &loaded, &normalised.indicator)?
        };
        let bytes = bytes.with_context(|| format!("nothing is known of {}", normalised.indicator))?;
        vec![dossier::decode(&bytes)?]
    };
    for dossier in &dossiers {
        super::print(&explain(dossier, &knowledge, args.agreement.as_deref(), now))?;
    }
    if dossiers.is_empty() {
        super::print("no sighting among the records\n")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The dossiers of all sightings on standard input, by key.
fn from_input(loaded: &Loaded, topic: Option<&str>, now: Timestamp) -> anyhow::Result<Vec<Dossier>> {
    let first = loaded.checked.intakes.first().context("the pipeline has no [[intake]]")?;
    let topic = topic.unwrap_or(&first.topic);
    let mut work = InMemory::new(loaded);
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.context("reading standard input")?;
        if !line.is_empty() {
            work.feed(topic, &line);
        }
    }
    let mut last: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
    for record in work.settle(topic, now)? {
        if record.topic == loaded.checked.topics.dead_letters {
            let text = |name: &str| {
                let header = record.headers.iter().find(|(held, _)| held == name);
                header.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
            };
            super::print(&format!(
                "record {} is a dead letter: {} [{}]\n",
                text("sightline.error.offset"),
                text("sightline.error.text"),
                text("sightline.error.code"),
            ))?;
        }
        if record.topic == loaded.checked.topics.dossiers {
            last.insert(record.key.unwrap_or_default(), record.value);
        }
    }
    let values = last.into_iter().filter(|(key, _)| key != assess::SWEEP).filter_map(|(_, value)| value);
    values.map(|bytes| Ok(dossier::decode(&bytes)?)).collect()
}

fn from_state(folder: &Path, loaded: &Loaded, indicator: &Indicator) -> anyhow::Result<Option<Vec<u8>>> {
    let key = indicator.key();
    let topic = &loaded.checked.topics.dossiers;
    let partition = partition_of(key.as_bytes(), loaded.checked.kafka.sightings);
    let stage = folder.join(StageName::Assess.as_str());
    // One folder a lane: whichever of them holds the partition.
    let lanes = std::fs::read_dir(&stage).with_context(|| {
        format!(
            "there is no state of assess in {}: name it with --state, or ask the topic with --kafka",
            folder.display()
        )
    })?;
    let mut found = None;
    for lane in lanes {
        let view_folder = view::Views::folder_of(&lane?.path(), topic, partition);
        if view_folder.exists() {
            found = view::read_only(&view_folder, key.as_bytes())?.or(found);
        }
    }
    Ok(found)
}

fn from_kafka(loaded: &Loaded, indicator: &Indicator) -> anyhow::Result<Option<Vec<u8>>> {
    let key = indicator.key();
    let client = super::client(&loaded.checked);
    let settings =
        KafkaSettings::new(client, format!("{}explain", loaded.checked.kafka.group_prefix), "", Vec::new());
    let topic = &loaded.checked.topics.dossiers;
    let mut found = None;
    let choose = |partitions| partition_of(key.as_bytes(), partitions);
    kafka::read_partition(&settings, topic, choose, |record| {
        if record.key.as_deref() == Some(key.as_bytes()) {
            found = record.value;
        }
    })?;
    Ok(found)
}

/// Everything about one dossier.
fn explain(dossier: &Dossier, knowledge: &Knowledge, agreement: Option<&str>, now: Timestamp) -> String {
    let mut text = String::new();
    let whole = Projection::whole(dossier);
    for role in dossier.roles() {
        if let Some(lead) = Lead::form(&whole, role, &knowledge.scorer, now) {
            text += &dossier::explain(&lead);
            text.push('\n');
        }
        let Some(agreement) = agreement.and_then(|id| knowledge.agreements.get(id)) else { continue };
        let mut cache = Cache::default();
        let decision = decide::decide(
            agreement,
            &knowledge.book,
            dossier,
            role,
            &knowledge.scorer,
            now,
            &mut cache,
            true,
        );
        text += &format!("for {}, to {}:\n", agreement.name(), agreement.recipient.id);
        for step in &decision.steps {
            let mark = if step.passed { "pass" } else { "FAIL" };
            text += &format!("  {:>2} {:<12} {mark}  {}\n", step.n, step.name, step.detail);
        }
        for admitted in &decision.admitted {
            text += &format!("  may know of    {admitted}\n");
        }
        for dropped in &decision.dropped {
            text += &format!("  dropped        {}: {}\n", dropped.what, dropped.why);
        }
        match &decision.outcome {
            Outcome::Release(release) => {
                text += "  released, as scored for this recipient:\n";
                text += &indent(&dossier::explain(&release.lead));
                text += &format!("  sent: {}\n", release.fields);
            }
            Outcome::Refused { clause, step, retry_at } => {
                text += &format!("  refused by step {step}: {clause}");
                if let Some(at) = retry_at {
                    text += &format!(", asked again at {at}");
                }
                text.push('\n');
            }
        }
        text.push('\n');
    }
    text
}

fn indent(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect()
}
