//! `sightline run`: the stages on a Kafka cluster, until told to stop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use anyhow::Context;
use prometheus::Registry;
use tracing::{error, info, warn};

use super::watch;
use crate::ask::Asker;
use crate::config::{Checked, Loaded, StageName, Stages};
use crate::diag::Findings;
use crate::serve::{Health, Metrics, Serve};
use crate::sighting::Timestamp;
use crate::sighting::time::HOUR;
use crate::stage::Stop;
use crate::stream::BrakeSettings;
use crate::stream::kafka::{KafkaLog, KafkaSettings};
use crate::stream::lane::Lane;
use crate::stream::log::{Log, LogError};
use crate::stream::runner::{Note, Runner, Settings};
use crate::stream::thread::{self, Surroundings};
use crate::stream::view::Views;

/// Runs the stages on a Kafka cluster until SIGINT or SIGTERM.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file.
    #[arg(long, value_name = "FILE")]
    pipeline: PathBuf,
    /// Runs this stage alone; may be given more than once. Default: all four.
    #[arg(long, value_enum)]
    stage: Vec<StageName>,
    /// Lanes a stage: each is a thread with a consumer and a producer of its own. More lanes than
    /// partitions stand idle.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    lanes: u16,
    /// The name of this instance: unique among those that run, and the same after a restart, so that
    /// a successor ends at once what its predecessor left open. Default: the host's name.
    #[arg(long, value_name = "NAME", env = "SIGHTLINE_INSTANCE")]
    instance: Option<String>,
    /// Works at this time instead of the clock's, RFC 3339: for replay and comparison.
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
}

/// How long a lane may go without a turn before the process counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(300);
/// Bound of one partition's state on disk.
const VIEW_BYTES: usize = 64 << 30;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    super::start_logging();
    let mut findings = Findings::default();
    let loaded = super::load(&args.pipeline, &mut findings);
    super::print_findings(&args.pipeline, &findings)?;
    let Some(loaded) = loaded else { return Ok(ExitCode::from(super::USAGE)) };
    let instance = match &args.instance {
        Some(name) => name.clone(),
        None => hostname()?,
    };
    let chosen = if args.stage.is_empty() { StageName::ALL.to_vec() } else { args.stage.clone() };
    info!(pipeline = loaded.checked.name, instance, version = env!("CARGO_PKG_VERSION"), "starting");

    let registry = Registry::new();
    let metrics = Arc::new(Metrics::register(&registry, &labels(&loaded))?);
    let health = Arc::new(Health::new(STUCK_AFTER));
    let serve = Serve::start(loaded.checked.listen, health.clone(), registry)
        .with_context(|| format!("serve.listen {}", loaded.checked.listen))?;
    info!(address = %serve.addr(), "metrics and health are served");

    let stages = Stages::new(&loaded);
    metrics.reference(&loaded.enrichers, super::clock());
    let process = Arc::new(Process {
        draining: AtomicBool::new(false),
        released: serve.released(),
        fixed: args.now,
        metrics: metrics.clone(),
        health: health.clone(),
    });
    let (ended, endings) = mpsc::channel();
    let mut threads = Vec::new();
    for stage in chosen {
        for number in 0..args.lanes {
            let plan = Plan {
                stage,
                name: format!("{}-{number}", stage.as_str()),
                transactional_id: format!(
                    "{}{}-{instance}-{number}",
                    loaded.checked.kafka.transaction_prefix,
                    stage.as_str()
                ),
                state: loaded.checked.state_directory.join(stage.as_str()).join(number.to_string()),
            };
            let (stages, checked, process, ended) =
                (stages.clone(), loaded.checked.clone(), process.clone(), ended.clone());
            let thread = std::thread::Builder::new().name(plan.name.clone()).spawn(move || {
                let result = lane(&plan, &stages, &checked, &process);
                // The main thread listens until all lanes have ended.
                drop(ended.send((plan.name, result)));
            });
            threads.push(thread.context("starting a lane thread")?);
        }
    }
    drop(ended);
    let watcher = watch::start(args.pipeline.clone(), &loaded, stages.knowledge.clone(), metrics)?;
    let outcome = wait(&process, &health, &endings)?;
    watcher.stop();
    for thread in threads {
        if thread.join().is_err() {
            error!("a lane thread panicked");
        }
    }
    info!(outcome = if outcome == ExitCode::SUCCESS { "clean" } else { "failed" }, "stopped");
    Ok(outcome)
}

/// What all lanes of the process share.
struct Process {
    draining: AtomicBool,
    /// Topics whose brake somebody commanded to release, by stage thread.
    released: Arc<Mutex<Vec<String>>>,
    fixed: Option<Timestamp>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

/// What one lane is.
struct Plan {
    stage: StageName,
    name: String,
    transactional_id: String,
    state: PathBuf,
}

/// Waits for a signal or for a lane that ends by itself, then lets all lanes end.
fn wait(
    process: &Process,
    health: &Health,
    endings: &mpsc::Receiver<(String, Result<(), Stop>)>,
) -> anyhow::Result<ExitCode> {
    let signalled = super::signals()?;
    let mut outcome = ExitCode::SUCCESS;
    loop {
        if signalled.load(Ordering::Relaxed) && !process.draining.swap(true, Ordering::Relaxed) {
            info!("asked to stop: ending what is under way");
            health.drain();
        }
        match endings.recv_timeout(Duration::from_millis(100)) {
            Ok((_, Ok(()))) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok((lane, Err(stop))) => {
                error!(lane, code = stop.code, "{}", stop.text);
                outcome = ExitCode::FAILURE;
                health.fail(stop.code);
                process.draining.store(true, Ordering::Relaxed);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(outcome),
        }
    }
}

/// One lane, from its connection to its end.
fn lane(plan: &Plan, stages: &Stages, checked: &Checked, process: &Process) -> Result<(), Stop> {
    let step = stages.step(plan.stage);
    let inputs = step.inputs();
    let mut outputs: Vec<Arc<str>> = checked.topics.all().cloned().collect();
    outputs.extend(crate::config::audiences(checked).into_values());
    let settings = KafkaSettings {
        consumer: super::revealed(&checked.kafka.consumer),
        producer: super::revealed(&checked.kafka.producer),
        outputs: outputs.clone(),
        transaction_timeout: Duration::from_millis(u64::try_from(checked.kafka.transaction_timeout).unwrap_or(20_000)),
        ..KafkaSettings::new(
            super::client(checked),
            format!("{}{}", checked.kafka.group_prefix, plan.stage.as_str()),
            plan.transactional_id.clone(),
            inputs.clone(),
        )
    };
    let Some(mut log) = connect(&settings, plan, process)? else { return Ok(()) };
    let fatal = |error: LogError| Stop { code: "log-failed", text: error.to_string() };
    let mut partitions = BTreeMap::new();
    for topic in inputs.iter().chain(&outputs) {
        partitions.insert(topic.to_string(), log.partitions(topic).map_err(fatal)?);
    }
    if let Some(state) = step.state_topic() {
        for input in &inputs {
            let (ours, theirs) = (partitions[&*state], partitions[&**input]);
            if ours != theirs {
                return Err(Stop {
                    code: "state-partitions",
                    text: format!(
                        "{state} has {ours} partitions and {input} has {theirs}: the state of a partition lies in the \
                         partition of the same number, so the counts must be equal"
                    ),
                });
            }
        }
    }
    let views = Views::OnDisk {
        folder: plan.state.clone(),
        cluster: log.cluster().map_err(fatal)?,
        // Half of the delete.retention.ms that `sightline topics` gives state topics.
        max_age: 12 * HOUR,
        max_bytes: VIEW_BYTES,
    };
    let brakes = checked.intakes.iter().map(|intake| {
        let brake = &intake.brake;
        let settings = BrakeSettings { share: brake.share, window: brake.window, minimum: brake.minimum };
        (intake.topic.to_string(), settings)
    });
    let records = usize::try_from(checked.kafka.commit_records).unwrap_or(usize::MAX);
    let settings = Settings {
        records,
        every: checked.kafka.commit_every,
        fixed: process.fixed,
        brakes: if plan.stage == StageName::Intake { brakes.collect() } else { BTreeMap::new() },
        ..Settings::default()
    };
    let mut lane = Lane::new(Runner::new(step, settings, views, partitions), log);
    let stage = plan.stage.as_str();
    let mut began = super::clock();
    let mut noted = |note: Note| {
        let at = super::clock();
        note_to_log(stage, &plan.name, &note);
        process.metrics.note(stage, &note, at.since(began));
        if let Note::Active(_) = note {
            process.health.started(&plan.name);
        }
        began = at;
    };
    let clock = super::clock;
    let alive = |_: Timestamp| process.health.beat(&plan.name, super::clock());
    let released = || std::mem::take(&mut *process.released.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let result = thread::turn(
        &mut lane,
        records,
        &mut Surroundings {
            clock: &clock,
            draining: &process.draining,
            asker: &Asker::Silent,
            noted: &mut noted,
            alive: &alive,
            released: &released,
        },
    );
    process.health.gone(&plan.name);
    result
}

/// Connects, and goes on trying while the brokers are away. None when asked to stop meanwhile.
fn connect(settings: &KafkaSettings, plan: &Plan, process: &Process) -> Result<Option<KafkaLog>, Stop> {
    let mut wait = Duration::from_millis(500);
    loop {
        process.health.beat(&plan.name, super::clock());
        if process.draining.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match KafkaLog::open(settings) {
            Ok(log) => return Ok(Some(log)),
            Err(LogError::Retry(text)) => {
                warn!(lane = plan.name, "{text}; trying again in {} ms", wait.as_millis());
                std::thread::sleep(wait);
                wait = (wait * 2).min(Duration::from_secs(10));
            }
            Err(LogError::Fenced(text)) => return Err(Stop { code: "fenced", text }),
            Err(LogError::Fatal(text) | LogError::Abort(text)) => return Err(Stop { code: "log-failed", text }),
        }
    }
}

fn note_to_log(stage: &str, lane: &str, note: &Note) {
    match note {
        Note::Committed { .. } => {}
        Note::Aborted(why) => warn!(stage, lane, why, "a batch was aborted and is done again"),
        Note::Unknown => warn!(stage, lane, "nobody knows whether a batch was committed: asking the log"),
        Note::Active(list) => info!(stage, lane, partitions = %shown(list), "restored and active"),
        Note::Gone(list) => info!(stage, lane, partitions = %shown(list), "given back"),
        Note::Braked { topic, stopped: true } => {
            error!(stage, lane, topic, "too many dead letters: this topic stands still");
        }
        Note::Braked { topic, stopped: false } => info!(stage, lane, topic, "goes on"),
    }
}

fn shown(list: &[crate::stream::log::Tp]) -> String {
    list.iter().map(|tp| format!("{}/{}", tp.topic, tp.partition)).collect::<Vec<_>>().join(" ")
}

fn hostname() -> anyhow::Result<String> {
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname"))
        .context("the host's name is not known: name this instance with --instance")?;
    Ok(name.trim().to_owned())
}

/// The label values that metrics start with, so that no first error is missed.
fn labels(loaded: &Loaded) -> crate::serve::Labels {
    crate::serve::Labels {
        stages: StageName::ALL.iter().map(|stage| stage.as_str().to_owned()).collect(),
        raw_topics: loaded.checked.intakes.iter().map(|intake| intake.topic.to_string()).collect(),
        reporters: loaded.checked.reporters.keys().cloned().collect(),
        enrichers: loaded.enrichers.iter().map(|one| one.name().to_owned()).collect(),
        agreements: loaded.checked.agreements.iter().map(|one| one.id.clone()).collect(),
    }
}
