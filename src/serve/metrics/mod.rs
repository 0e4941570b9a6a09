//! What is counted: names, labels, and the one place where the steps' counts become metrics.
//!
//! Labels come from the configuration and from closed lists, never from data: what is not in the
//! lists counts as `other`. Every label set that can be known is there with 0 from the start, as a
//! rate misses the first increase of a series that appears with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use crate::stage::Count;
use crate::stream::kafka::PartitionProgress;
use crate::stream::log::Tp;

/// The names that a [`Count`] may bear, with the form of its label.
///
/// Several labels stand in one, separated by a blank each; those at the end may be missing.
pub const COUNTS: [(&str, &str); 8] = [
    ("dead-letters", "reason"),
    ("disclosures", "agreement outcome clause"),
    ("enrich", "enricher result"),
    ("ledger-entries", "agreement"),
    ("outputs", "topic"),
    ("records", "topic"),
    ("repeats", "reporter"),
    ("sightings", "topic"),
];

/// How a lookup of an enricher may end.
pub const ENRICH_RESULTS: [&str; 4] = ["hit", "miss", "unknown", "skipped"];

/// What stands for a label that nobody configured.
const OTHER: &str = "other";

/// Everything that a label may be, from the configuration and from closed lists.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The stages that run here.
    pub stages: Vec<KnownStage>,
    /// Codes of dead letters.
    pub reasons: Vec<String>,
    /// Names of enrichers.
    pub enrichers: Vec<String>,
    /// Names of agreements.
    pub agreements: Vec<String>,
    /// What a decision may come to.
    pub outcomes: Vec<String>,
    /// Clauses that a refusal may name.
    pub clauses: Vec<String>,
    /// Names of reporters.
    pub reporters: Vec<String>,
    /// Names of reference data.
    pub sources: Vec<String>,
}

/// A stage and its topics.
#[derive(Debug, Clone, Default)]
pub struct KnownStage {
    /// Its name.
    pub name: String,
    /// What it reads.
    pub inputs: Vec<String>,
    /// What it writes, its state included.
    pub outputs: Vec<String>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// It was committed.
    Committed,
    /// It was aborted, and its batch is done again.
    Aborted,
    /// Nobody could say; the log was asked.
    Unknown,
    /// Another process took our place.
    Fenced,
}

impl Transaction {
    const ALL: [Self; 4] = [Self::Committed, Self::Aborted, Self::Unknown, Self::Fenced];

    const fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Unknown => "unknown",
            Self::Fenced => "fenced",
        }
    }
}

/// The metrics of the process. Counters are for whoever knows; gauges are set by the shell.
#[derive(Debug)]
pub struct Metrics {
    known: Sets,
    lanes: Mutex<BTreeMap<String, LaneShown>>,
    records_consumed: IntCounterVec,
    records_produced: IntCounterVec,
    sightings: IntCounterVec,
    dead_letters: IntCounterVec,
    transactions: IntCounterVec,
    transaction_duration: HistogramVec,
    batch_records: HistogramVec,
    rebalances: IntCounterVec,
    partitions_assigned: IntGaugeVec,
    consumer_lag_records: IntGaugeVec,
    consumer_lag_seconds: GaugeVec,
    last_commit: GaugeVec,
    enrich_requests: IntCounterVec,
    disclosures: IntCounterVec,
    ledger_entries: IntCounterVec,
    reporter_repeats: IntCounterVec,
    reference_build: GaugeVec,
    reference_loaded: GaugeVec,
    reference_reloads: IntCounterVec,
    brake_paused: IntGaugeVec,
    view_entries: IntGaugeVec,
    view_restore: HistogramVec,
    broker_rtt: GaugeVec,
    client_errors: IntCounterVec,
    uncounted: IntCounter,
}

/// The lists of [`Known`], to look in.
#[derive(Debug, Default)]
struct Sets {
    inputs: BTreeSet<String>,
    outputs: BTreeSet<String>,
    reasons: BTreeSet<String>,
    enrichers: BTreeSet<String>,
    agreements: BTreeSet<String>,
    outcomes: BTreeSet<String>,
    clauses: BTreeSet<String>,
    reporters: BTreeSet<String>,
}

/// What a lane last showed, to take back what is gone.
#[derive(Debug, Default)]
struct LaneShown {
    stage: String,
    partitions: BTreeSet<Tp>,
    lag_seconds: f64,
    rtt_seconds: f64,
    rebalances: u64,
    errors: u64,
}

impl Metrics {
    /// Registers all of them, and the process's own (`process_*`), each with 0 for every label
    /// that `known` tells.
    ///
    /// # Errors
    /// When the registry has metrics of these names already.
    pub fn register(registry: &Registry, known: &Known) -> Result<Self, prometheus::Error> {
        let r = registry;
        let build = Gauge::with_opts(
            Opts::new("sightline_build_info", "Always 1; says which build runs")
                .const_label("version", env!("CARGO_PKG_VERSION"))
                .const_label("revision", option_env!("SIGHTLINE_REVISION").unwrap_or("unknown")),
        )?;
        build.set(1.0);
        r.register(Box::new(build))?;
        r.register(Box::new(ProcessCollector::for_self()))?;
        // Seconds from a transaction on a quiet broker up to its time-out.
        let seconds = &[0.002, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];
        let records = &[1.0, 10.0, 100.0, 1_000.0, 5_000.0, 20_000.0];
        let restore = &[0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];
        let metrics = Self {
            known: Sets::of(known),
            lanes: Mutex::default(),
            records_consumed: counter(
                r,
                "sightline_records_consumed_total",
                "Records taken in, committed",
                &["stage", "topic"],
            )?,
            records_produced: counter(
                r,
                "sightline_records_produced_total",
                "Records written, committed",
                &["stage", "topic"],
            )?,
            sightings: counter(
                r,
                "sightline_sightings_total",
                "Sightings made of raw records, by raw topic",
                &["stage", "topic"],
            )?,
            dead_letters: counter(
                r,
                "sightline_dead_letters_total",
                "Records that could not be processed, by reason",
                &["stage", "reason"],
            )?,
            transactions: counter(
                r,
                "sightline_transactions_total",
                "Transactions, by how they ended",
                &["stage", "result"],
            )?,
            transaction_duration: histogram(
                r,
                "sightline_transaction_duration_seconds",
                "From the begin of a transaction to its end",
                &["stage"],
                seconds,
            )?,
            batch_records: histogram(
                r,
                "sightline_batch_records",
                "Records taken in by one transaction",
                &["stage"],
                records,
            )?,
            rebalances: counter(
                r,
                "sightline_rebalances_total",
                "Times that partitions were given to or taken from a lane",
                &["stage"],
            )?,
            partitions_assigned: gauge(
                r,
                "sightline_partitions_assigned",
                "Input partitions that are ours",
                &["stage"],
            )?,
            consumer_lag_records: gauge(
                r,
                "sightline_consumer_lag_records",
                "Offsets between what our transactions committed and the last stable one; rests at 1 on a topic written in transactions",
                &["topic", "partition"],
            )?,
            consumer_lag_seconds: gauge_f64(
                r,
                "sightline_consumer_lag_seconds",
                "Age of the last record read on the partition furthest behind; 0 when nothing waits",
                &["stage"],
            )?,
            last_commit: gauge_f64(
                r,
                "sightline_last_commit_timestamp_seconds",
                "When a transaction was last committed, since 1970; 0 for never",
                &["stage"],
            )?,
            enrich_requests: counter(
                r,
                "sightline_enrich_requests_total",
                "Lookups, by what came of them",
                &["enricher", "result"],
            )?,
            disclosures: counter(
                r,
                "sightline_disclosures_total",
                "Decisions on what a recipient may be told, by outcome and the clause that refused",
                &["agreement", "outcome", "clause"],
            )?,
            ledger_entries: counter(
                r,
                "sightline_ledger_entries_total",
                "Entries of the ledger",
                &["agreement"],
            )?,
            reporter_repeats: counter(
                r,
                "sightline_reporter_repeats_total",
                "Sightings that their reporter had sent before, and that count nowhere else",
                &["reporter"],
            )?,
            reference_build: gauge_f64(
                r,
                "sightline_reference_build_timestamp_seconds",
                "When the loaded reference data was built, since 1970; 0 when not known",
                &["source"],
            )?,
            reference_loaded: gauge_f64(
                r,
                "sightline_reference_loaded_timestamp_seconds",
                "When the reference data was loaded, since 1970; 0 for never",
                &["source"],
            )?,
            reference_reloads: counter(
                r,
                "sightline_reference_reloads_total",
                "Loads of reference data; after a failed one the old data stays",
                &["source", "result"],
            )?,
            brake_paused: gauge(
                r,
                "sightline_brake_paused",
                "1 while the dead-letter brake holds the topic",
                &["topic"],
            )?,
            view_entries: gauge(
                r,
                "sightline_view_entries",
                "Entries of state in memory that wait for the disk",
                &["stage"],
            )?,
            view_restore: histogram(
                r,
                "sightline_view_restore_seconds",
                "How long restoring the state of a partition took",
                &["stage"],
                restore,
            )?,
            broker_rtt: gauge_f64(
                r,
                "sightline_broker_rtt_seconds",
                "Mean round trip to the slowest broker",
                &["stage"],
            )?,
            client_errors: counter(
                r,
                "sightline_client_errors_total",
                "Errors that the Kafka clients reported, those that mended themselves included",
                &["stage"],
            )?,
            uncounted: IntCounter::new(
                "sightline_unknown_counts_total",
                "Counts of a name that has no metric: a fault of ours",
            )?,
        };
        r.register(Box::new(metrics.uncounted.clone()))?;
        metrics.initialise(known);
        Ok(metrics)
    }

    fn initialise(&self, known: &Known) {
        for stage in &known.stages {
            let name = &*stage.name;
            for topic in &stage.inputs {
                self.records_consumed.with_label_values(&[name, topic]);
                self.sightings.with_label_values(&[name, topic]);
                self.brake_paused.with_label_values(&[&**topic]);
            }
            for topic in &stage.outputs {
                self.records_produced.with_label_values(&[name, topic]);
            }
            for reason in &known.reasons {
                self.dead_letters.with_label_values(&[name, reason]);
            }
            for result in Transaction::ALL {
                self.transactions.with_label_values(&[name, result.name()]);
            }
            self.transaction_duration.with_label_values(&[name]);
            self.batch_records.with_label_values(&[name]);
            self.rebalances.with_label_values(&[name]);
            self.partitions_assigned.with_label_values(&[name]);
            self.consumer_lag_seconds.with_label_values(&[name]);
            self.last_commit.with_label_values(&[name]);
            self.view_entries.with_label_values(&[name]);
            self.view_restore.with_label_values(&[name]);
            self.broker_rtt.with_label_values(&[name]);
            self.client_errors.with_label_values(&[name]);
        }
        for enricher in &known.enrichers {
            for result in ENRICH_RESULTS {
                self.enrich_requests.with_label_values(&[&**enricher, result]);
            }
        }
        for agreement in &known.agreements {
            for outcome in &known.outcomes {
                self.disclosures.with_label_values(&[&**agreement, outcome, ""]);
            }
            self.ledger_entries.with_label_values(&[&**agreement]);
        }
        for reporter in &known.reporters {
            self.reporter_repeats.with_label_values(&[&**reporter]);
        }
        for source in &known.sources {
            self.reference_build.with_label_values(&[&**source]);
            self.reference_loaded.with_label_values(&[&**source]);
            for result in ["ok", "failed"] {
                self.reference_reloads.with_label_values(&[&**source, result]);
            }
        }
    }

    /// Adds what a step counted. The names are those of [`COUNTS`]; another is a fault of ours.
    pub fn count(&self, count: &Count, stage: &str) {
        let Count { what, label, n } = count;
        let mut labels = label.splitn(3, ' ');
        let mut next = || labels.next().unwrap_or("");
        let counter = match *what {
            "records" => self.records_consumed.with_label_values(&[stage, of(&self.known.inputs, label)]),
            "outputs" => self.records_produced.with_label_values(&[stage, of(&self.known.outputs, label)]),
            "sightings" => self.sightings.with_label_values(&[stage, of(&self.known.inputs, label)]),
            "dead-letters" => self.dead_letters.with_label_values(&[stage, of(&self.known.reasons, label)]),
            "repeats" => self.reporter_repeats.with_label_values(&[of(&self.known.reporters, label)]),
            "ledger-entries" => self.ledger_entries.with_label_values(&[of(&self.known.agreements, label)]),
            "enrich" => {
                let enricher = of(&self.known.enrichers, next());
                let result = next();
                let result = ENRICH_RESULTS.into_iter().find(|known| *known == result).unwrap_or(OTHER);
                self.enrich_requests.with_label_values(&[enricher, result])
            }
            "disclosures" => {
                let agreement = of(&self.known.agreements, next());
                let outcome = of(&self.known.outcomes, next());
                let clause = next();
                let clause = if clause.is_empty() { "" } else { of(&self.known.clauses, clause) };
                self.disclosures.with_label_values(&[agreement, outcome, clause])
            }
            unknown => {
                debug_assert!(false, "there is no metric for the count `{unknown}`");
                self.uncounted.clone()
            }
        };
        counter.inc_by(*n);
    }

    /// A transaction of `records` records ended at `at`, milliseconds since 1970.
    pub fn transaction(&self, stage: &str, result: Transaction, records: usize, took: Duration, at: i64) {
        self.transactions.with_label_values(&[stage, result.name()]).inc();
        self.transaction_duration.with_label_values(&[stage]).observe(took.as_secs_f64());
        if result == Transaction::Committed {
            #[expect(clippy::cast_precision_loss, reason = "a batch has far fewer records than 2^52")]
            self.batch_records.with_label_values(&[stage]).observe(records as f64);
            self.last_commit.with_label_values(&[stage]).set(seconds(at));
        }
    }

    /// Takes over what a lane's clients know of themselves. `now` in milliseconds since 1970.
    pub fn lane(&self, lane: &str, stage: &str, stats: &LaneReport, now: i64) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = lanes.entry(lane.to_owned()).or_default();
        stage.clone_into(&mut shown.stage);
        let partitions: BTreeSet<Tp> = stats.partitions.iter().map(|(tp, _)| tp.clone()).collect();
        for gone in shown.partitions.difference(&partitions) {
            let labels = [&*gone.topic, &*gone.partition.to_string()];
            // It never had a value, if its lag was never known.
            drop(self.consumer_lag_records.remove_label_values(&labels));
        }
        shown.partitions = partitions;
        shown.lag_seconds = 0.0;
        for (tp, progress) in &stats.partitions {
            let Some(lag) = progress.lag() else { continue };
            let topic = of(&self.known.inputs, &tp.topic);
            self.consumer_lag_records.with_label_values(&[topic, &*tp.partition.to_string()]).set(lag);
            // The one offset is the marker of the transaction that wrote the last record.
            if let Some(at) = progress.last_record_at.filter(|_| lag > 1) {
                shown.lag_seconds = shown.lag_seconds.max(seconds(now.saturating_sub(at).max(0)));
            }
        }
        shown.rtt_seconds = seconds(stats.rtt_micros) / 1_000.0;
        self.rebalances.with_label_values(&[stage]).inc_by(stats.rebalances.saturating_sub(shown.rebalances));
        self.client_errors.with_label_values(&[stage]).inc_by(stats.errors.saturating_sub(shown.errors));
        (shown.rebalances, shown.errors) = (stats.rebalances, stats.errors);
        let of_stage = || lanes.values().filter(|shown| shown.stage == stage);
        let worst = |part: fn(&LaneShown) -> f64| of_stage().map(part).fold(0.0, f64::max);
        self.consumer_lag_seconds.with_label_values(&[stage]).set(worst(|shown| shown.lag_seconds));
        self.broker_rtt.with_label_values(&[stage]).set(worst(|shown| shown.rtt_seconds));
        let assigned: usize = of_stage().map(|shown| shown.partitions.len()).sum();
        self.partitions_assigned.with_label_values(&[stage]).set(i64::try_from(assigned).unwrap_or(i64::MAX));
    }

    /// Whether the dead-letter brake holds a topic.
    pub fn brake(&self, topic: &str, paused: bool) {
        self.brake_paused.with_label_values(&[of(&self.known.inputs, topic)]).set(i64::from(paused));
    }

    /// How many entries of state wait for the disk in a stage.
    pub fn view_entries(&self, stage: &str, entries: usize) {
        self.view_entries.with_label_values(&[stage]).set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// Restoring the state of one partition took so long.
    pub fn restored(&self, stage: &str, took: Duration) {
        self.view_restore.with_label_values(&[stage]).observe(took.as_secs_f64());
    }

    /// Reference data was loaded at `now`, built at `built` where that is known; or loading failed
    /// and the old data stays. Times are milliseconds since 1970.
    pub fn reference(&self, source: &str, loaded: Result<Option<i64>, ()>, now: i64) {
        let result = if loaded.is_ok() { "ok" } else { "failed" };
        self.reference_reloads.with_label_values(&[source, result]).inc();
        if let Ok(built) = loaded {
            self.reference_build.with_label_values(&[source]).set(built.map_or(0.0, seconds));
            self.reference_loaded.with_label_values(&[source]).set(seconds(now));
        }
    }
}

/// What a lane's clients know of themselves; see [`crate::stream::kafka::LaneStats`].
#[derive(Debug, Clone, Default)]
pub struct LaneReport {
    /// Every assigned partition.
    pub partitions: Vec<(Tp, PartitionProgress)>,
    /// The slowest broker's mean round trip, in microseconds.
    pub rtt_micros: i64,
    /// How often partitions were given or taken since the lane began.
    pub rebalances: u64,
    /// How many errors the clients reported since the lane began.
    pub errors: u64,
}

impl From<&crate::stream::kafka::LaneStats> for LaneReport {
    fn from(stats: &crate::stream::kafka::LaneStats) -> Self {
        Self {
            partitions: stats.partitions(),
            rtt_micros: stats.rtt_micros(),
            rebalances: stats.rebalances(),
            errors: stats.errors(),
        }
    }
}

impl Sets {
    fn of(known: &Known) -> Self {
        let set = |list: &[String]| list.iter().cloned().collect();
        Self {
            inputs: known.stages.iter().flat_map(|stage| stage.inputs.clone()).collect(),
            outputs: known.stages.iter().flat_map(|stage| stage.outputs.clone()).collect(),
            reasons: set(&known.reasons),
            enrichers: set(&known.enrichers),
            agreements: set(&known.agreements),
            outcomes: set(&known.outcomes),
            clauses: set(&known.clauses),
            reporters: set(&known.reporters),
        }
    }
}

fn of<'a>(known: &BTreeSet<String>, label: &'a str) -> &'a str {
    if known.contains(label) { label } else { OTHER }
}

fn seconds(millis: i64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 stay below 2^52 for 140,000 years"
    )]
    let millis = millis as f64;
    millis / 1_000.0
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counter(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    registered(r, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(r: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    registered(r, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn gauge_f64(r: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
    registered(r, GaugeVec::new(Opts::new(name, help), labels)?)
}

fn histogram(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    registered(r, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
}

#[cfg(test)]
mod tests;
