//! `sightline run`: the stages on a Kafka cluster, until told to stop.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context;
use prometheus::Registry;
use tracing::{error, info, warn};

use super::watch;
use crate::ask::Asker;
use crate::config::{Checked, Loaded, StageName, Stages, topics};
use crate::diag::Findings;
use crate::serve::metrics::KnownStage;
use crate::serve::metrics::{LaneReport, Transaction};
use crate::serve::{Health, Known, Metrics, Serve};
use crate::share::decide::CLAUSES;
use crate::sighting::time::{HOUR, SECOND};
use crate::sighting::{Reason, Timestamp};
use crate::stage::Stop;
use crate::stream::BrakeSettings;
use crate::stream::kafka::{KafkaLog, KafkaSettings, admin};
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
    #[arg(long, value_name = "STAGE", value_parser = stage_name)]
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

fn stage_name(text: &str) -> Result<StageName, String> {
    let known = StageName::ALL.map(StageName::as_str).join(", ");
    StageName::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or(format!("the stages are {known}"))
}

/// How long a lane may go without a turn before the process counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(300);
/// How often lag and the like are shown, in milliseconds.
const SHOWN_EVERY: i64 = SECOND;
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
    let stages = Stages::new(&loaded);
    let metrics = Arc::new(Metrics::register(&registry, &known(&loaded, &stages, &chosen))?);
    let health = Arc::new(Health::new(STUCK_AFTER, Box::new(|| super::clock().0)));
    let serve = Serve::start(loaded.checked.listen, health.clone(), registry)?;
    info!(address = %serve.addr, "metrics and health are served");
    let claims = claim(&loaded.checked, &chosen)?;
    compare_topics(&loaded.checked)?;
    watch::show_builds(&loaded, &metrics);
    let process = Arc::new(Process {
        draining: AtomicBool::new(false),
        releases: AtomicUsize::new(0),
        connecting: AtomicUsize::new(chosen.len() * usize::from(args.lanes)),
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
    let outcome = wait(&process, &endings, &watcher)?;
    watcher.stop();
    for thread in threads {
        if thread.join().is_err() {
            error!("a lane thread panicked");
        }
    }
    drop(claims);
    info!(outcome = if outcome == ExitCode::SUCCESS { "clean" } else { "failed" }, "stopped");
    Ok(outcome)
}

/// What all lanes of the process share.
struct Process {
    draining: AtomicBool,
    /// How often somebody commanded to let braked topics go on.
    releases: AtomicUsize,
    /// Lanes that are not connected yet.
    connecting: AtomicUsize,
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
    endings: &mpsc::Receiver<(String, Result<(), Stop>)>,
    watcher: &watch::Watch,
) -> anyhow::Result<ExitCode> {
    let signals = super::signals::listen()?;
    let mut outcome = ExitCode::SUCCESS;
    loop {
        if signals.stop() && !process.draining.swap(true, Ordering::Relaxed) {
            info!("asked to stop: ending what is under way");
            process.health.drain();
        }
        if signals.reload() {
            info!("asked to look at all files, and to let braked topics go on");
            watcher.look_now();
            process.releases.fetch_add(1, Ordering::Relaxed);
        }
        match endings.recv_timeout(Duration::from_millis(100)) {
            Ok((_, Ok(()))) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok((lane, Err(stop))) => {
                error!(lane, code = stop.code, "{}", stop.text);
                outcome = ExitCode::FAILURE;
                process.health.fail(stop.code);
                process.draining.store(true, Ordering::Relaxed);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(outcome),
        }
    }
}

/// Holds the state directory of each stage until dropped. Two processes on one would write behind each
/// other's back: what one restored, the other could overwrite with what it had a moment before.
fn claim(checked: &Checked, chosen: &[StageName]) -> anyhow::Result<Vec<File>> {
    let one = |stage: &StageName| {
        let folder = checked.state_directory.join(stage.as_str());
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let path = folder.join("in-use");
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "another process works in {}: give each instance a state directory of its own",
                folder.display()
            ),
            Err(TryLockError::Error(err)) => Err(err).with_context(|| format!("locking {}", path.display())),
        }
    };
    chosen.iter().filter(|stage| matches!(stage, StageName::Assess | StageName::Release)).map(one).collect()
}

/// Refuses topics that would break keyed state, or stall on a large record. Where the brokers do not
/// answer yet the lanes wait for them, and look at what matters most themselves.
fn compare_topics(checked: &Checked) -> anyhow::Result<()> {
    let wanted = super::topics::ours(&topics(checked));
    let names: Vec<&str> = wanted.iter().map(|spec| spec.name.as_str()).collect();
    match admin::describe_topics(&super::client(checked), &names) {
        Ok(present) => {
            let wrong: Vec<String> = wanted
                .iter()
                .filter_map(|spec| Some(admin::compare(spec, present.get(&spec.name)?)))
                .flatten()
                .collect();
            anyhow::ensure!(wrong.is_empty(), "the topics will not do:\n  {}", wrong.join("\n  "));
        }
        Err(err) => warn!("the topics' settings cannot be compared with what the pipeline needs: {err}"),
    }
    Ok(())
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
        transaction_timeout: Duration::from_millis(
            u64::try_from(checked.kafka.transaction_timeout).unwrap_or(20_000),
        ),
        largest_written: checked.kafka.largest_written,
        ..KafkaSettings::new(
            super::client(checked),
            format!("{}{}", checked.kafka.group_prefix, plan.stage.as_str()),
            plan.transactional_id.clone(),
            inputs.clone(),
        )
    };
    let beat = Arc::new(AtomicI64::new(super::clock().0));
    process.health.add_lane(&plan.name, beat.clone());
    let Some(mut log) = connect(&settings, plan, process, &beat)? else { return Ok(()) };
    if process.connecting.fetch_sub(1, Ordering::Relaxed) == 1 {
        process.health.start();
    }
    let stats = log.stats();
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
    let mut shown = began;
    let mut noted = |note: Note| {
        note_to_log(stage, &plan.name, &note);
        began = note_to_metrics(stage, &note, &process.metrics, began);
    };
    let alive = |_: Timestamp| beat.store(super::clock().0, Ordering::Relaxed);
    let mut heard = 0;
    let mut each_turn = |unwritten: usize| {
        let now = super::clock();
        if now.since(shown) >= SHOWN_EVERY {
            shown = now;
            process.metrics.lane(&plan.name, stage, &LaneReport::from(&*stats), now.0);
            process.metrics.view_entries(stage, unwritten);
        }
        let releases = process.releases.load(Ordering::Relaxed);
        std::mem::replace(&mut heard, releases) != releases
    };
    thread::turn(
        &mut lane,
        records,
        &mut Surroundings {
            clock: &super::clock,
            draining: &process.draining,
            asker: &Asker::Silent,
            noted: &mut noted,
            alive: &alive,
            each_turn: &mut each_turn,
        },
    )
}

/// Counts what happened; the time from which the next transaction is measured.
fn note_to_metrics(stage: &str, note: &Note, metrics: &Metrics, began: Timestamp) -> Timestamp {
    let at = super::clock();
    let took = Duration::from_millis(u64::try_from(at.since(began)).unwrap_or(0));
    match note {
        Note::Began => {}
        Note::Committed { records, counts, .. } => {
            for count in counts {
                metrics.count(count, stage);
            }
            metrics.transaction(stage, Transaction::Committed, *records, took, at.0);
        }
        Note::Aborted(_) => metrics.transaction(stage, Transaction::Aborted, 0, took, at.0),
        Note::Unknown => metrics.transaction(stage, Transaction::Unknown, 0, took, at.0),
        Note::Braked { topic, stopped } => metrics.brake(topic, *stopped),
        Note::Restored { took } => {
            metrics.restored(stage, Duration::from_millis(u64::try_from(*took).unwrap_or(0)))
        }
        Note::Active(_) | Note::Gone(_) => {}
    }
    at
}

/// Connects, and goes on trying while the brokers are away. None when asked to stop meanwhile.
fn connect(
    settings: &KafkaSettings,
    plan: &Plan,
    process: &Process,
    beat: &AtomicI64,
) -> Result<Option<KafkaLog>, Stop> {
    let mut wait = Duration::from_millis(500);
    loop {
        beat.store(super::clock().0, Ordering::Relaxed);
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
            Err(LogError::Fatal(text) | LogError::Abort(text)) => {
                return Err(Stop { code: "log-failed", text });
            }
        }
    }
}

fn note_to_log(stage: &str, lane: &str, note: &Note) {
    match note {
        Note::Committed { .. } | Note::Began | Note::Restored { .. } => {}
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

/// What labels may be, so that every series is there from the start.
fn known(loaded: &Loaded, stages: &Stages, chosen: &[StageName]) -> Known {
    let checked = &loaded.checked;
    let text = |topic: &Arc<str>| topic.to_string();
    let outputs: Vec<String> = checked
        .topics
        .all()
        .map(text)
        .chain(checked.agreements.iter().map(|agreement| agreement.topic.clone()))
        .collect();
    let stage = |name: &StageName| KnownStage {
        name: name.as_str().to_owned(),
        inputs: stages.step(*name).inputs().iter().map(text).collect(),
        outputs: outputs.clone(),
    };
    let enrichers: Vec<String> = loaded.enrichers.iter().map(|one| one.name().to_owned()).collect();
    Known {
        stages: chosen.iter().map(stage).collect(),
        reasons: Reason::ALL
            .iter()
            .map(|reason| reason.name().to_owned())
            .chain(["not-ours".to_owned()])
            .collect(),
        sources: enrichers.iter().cloned().chain(["pipeline".to_owned()]).collect(),
        enrichers,
        agreements: checked.agreements.iter().map(|one| one.id.clone()).collect(),
        outcomes: ["disclosed", "refused", "stopped"].map(str::to_owned).to_vec(),
        clauses: CLAUSES.iter().map(|clause| (*clause).to_owned()).collect(),
        reporters: checked.reporters.keys().cloned().collect(),
    }
}
