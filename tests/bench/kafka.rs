//! The rows that take a real broker: the copy, `sightline run` as processes of the release binary, and Kafka
//! Streams, all on one broker and one after the other.
//!
//! What is in the topics before a row begins comes from `fill`; how a rate is taken, from `bus`.

use std::path::PathBuf;
use std::time::Duration;

use sightline::config::{Loaded, Stages};
use sightline::stream::kafka::read_topic;

use crate::NOW;
use crate::broker::{Broker, now};
use crate::bus::{self, Group, Stretch};
use crate::fill::{self, Filled, Leads};
use crate::instance::Instance;
use crate::load::Mix;
use crate::site::{Pipeline, RAW, Site};
use crate::table::{Goal, Table, Unit, grouped};
use crate::{copy, latency, streams};

/// What an ordinary small broker runs with. That of the tests compiles in a hurry and has half the memory.
const JVM: &str = "-Xms1g -Xmx1g";
/// Two copies of one run that differ by more than this share, and the machine had something else to do.
const STEADY: f64 = 1.0 / 3.0;
/// A copy reads and writes; less than this share of what writing alone reaches, and something is wrong.
const FLOOR: f64 = 0.25;

/// Records of the keyed and of the raw topic, with the skew.
const RECORDS: usize = 1_500_000;
/// Records of the keyed topic in which each indicator is new.
const NEW_RECORDS: usize = 400_000;
/// Disclosures under one agreement; in a short run no fewer than some commits take.
const DISCLOSURES: usize = 250_000;
const FEWEST_DISCLOSURES: usize = 100_000;
/// Dossiers to restore.
const DOSSIERS: usize = 1_000_000;

/// How long a sighting may wait after a restore before the lane counts as stuck.
const STUCK: Duration = Duration::from_secs(30);

/// What is measured, and with how much.
pub(crate) struct Bench<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) site: &'a Site,
    /// All numbers of records are divided by this.
    pub(crate) shorter: usize,
    plain: f64,
    /// Copies of the keyed topic, in the order of the run.
    copies: Vec<f64>,
    copy_of_raw: f64,
    /// What all stages took in a second.
    all_stages: f64,
    raw: Filled,
    /// One pipeline, loaded: another's differs in names alone.
    loaded: Option<Loaded>,
    /// What Sightline did wrong.
    failures: Vec<String>,
}

/// What came of the run beside its table.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Why its figures mean nothing.
    pub(crate) void: Option<String>,
    /// What Sightline did wrong, whatever the figures.
    pub(crate) failures: Vec<String>,
}

impl<'a> Bench<'a> {
    /// Starts the broker.
    pub(crate) fn broker() -> &'static Broker {
        Broker::start_with(JVM)
    }

    pub(crate) fn new(broker: &'a Broker, site: &'a Site, shorter: usize) -> Self {
        Self {
            broker,
            site,
            shorter,
            plain: 0.0,
            copies: Vec::new(),
            copy_of_raw: 0.0,
            all_stages: 0.0,
            raw: Filled::default(),
            loaded: None,
            failures: Vec::new(),
        }
    }

    /// All rows that `wanted` names; none for every row.
    pub(crate) fn run(&mut self, wanted: &[String], table: &mut Table) -> Verdict {
        let wants = |row: &str| wanted.is_empty() || wanted.iter().any(|name| name == row);
        let keyed = self.site.pipeline("skew", RAW);
        self.loaded = Some(keyed.load());
        let stages = Stages::new(self.loaded.as_ref().expect("it was set a line ago"));
        if ["assess", "all", "streams", "latency"].into_iter().any(wants) {
            self.against_the_copy(&keyed, &stages, wants, table);
        }
        if wants("release") {
            self.release(&stages, table);
        }
        if wants("latency") {
            let pipeline = self.site.pipeline("lat", "raw.lat");
            self.fresh(&pipeline);
            bus::make(self.broker, "raw.lat", crate::site::PARTITIONS);
            let instance = self.start(&pipeline, &["--lanes", "2"]);
            let lasts = Duration::from_secs(if self.shorter == 1 { 25 } else { 10 });
            let rate = self.all_stages / 2.0;
            let lost = latency::row(self.broker, instance, &pipeline, &stages, (rate, lasts), table);
            if lost > 0 {
                self.failures.push(format!("{lost} messages never came to their audience"));
            }
        }
        if wants("restore") {
            self.restore(&stages, table);
        }
        if !self.copies.is_empty() {
            self.copy_keyed(&keyed, "last-copy");
            self.about_copies(table);
        }
        Verdict { void: self.void(), failures: std::mem::take(&mut self.failures) }
    }

    /// The rows that are shares of the copy.
    fn against_the_copy(
        &mut self,
        keyed: &Pipeline,
        stages: &Stages,
        wants: impl Fn(&str) -> bool,
        table: &mut Table,
    ) {
        // The broker compiles what it does often only once it has.
        let warm = 1_000_000 / self.shorter;
        fill::plain_rate(self.broker, "warm", warm);
        copy::run(self.broker, "warm-copy", "warm");
        self.plain = fill::plain_rate(self.broker, "plain", warm);
        let records = RECORDS / self.shorter;
        self.fresh(keyed);
        let (filled, leads) = fill::sightings(self.broker, stages, keyed, Mix::Skewed, records, true);
        self.copy_keyed(keyed, "first-copy");
        self.raw = fill::raw(self.broker, RAW, records);
        self.copy_of_raw = copy::run(self.broker, "raw-copy", RAW).rate();
        if wants("assess") {
            self.assess(keyed, filled, Some(&leads), table);
            let new = self.site.pipeline("new", RAW);
            self.fresh(&new);
            let records = NEW_RECORDS / self.shorter;
            let (filled, _) = fill::sightings(self.broker, stages, &new, Mix::AllNew, records, false);
            self.assess(&new, filled, None, table);
        }
        if wants("all") || wants("latency") {
            self.all(&leads, table);
        }
        if wants("streams") {
            self.streams(table);
        }
    }

    /// Makes a pipeline's own topics.
    fn fresh(&self, pipeline: &Pipeline) {
        bus::make_ours(self.broker, self.loaded.as_ref().expect("a row runs after it"), &pipeline.prefix);
    }

    fn start(&self, pipeline: &Pipeline, more: &[&str]) -> Instance {
        let said: PathBuf = pipeline.file.with_extension("log");
        let at = NOW.to_string();
        let words: Vec<&str> = ["--now", &at].into_iter().chain(more.iter().copied()).collect();
        Instance::start(&pipeline.file, "bench", said, &words)
    }

    fn copy_keyed(&mut self, pipeline: &Pipeline, name: &str) {
        self.copies.push(copy::run(self.broker, name, &pipeline.named("sightings")).rate());
    }

    /// A row from a keyed topic to leads.
    fn assess(&mut self, pipeline: &Pipeline, filled: Filled, leads: Option<&Leads>, table: &mut Table) {
        let copied = self.copies[0];
        let mut instance = self.start(pipeline, &["--stage", "assess", "--lanes", "2"]);
        let group = Group::new(self.broker, &pipeline.named("assess"), &pipeline.named("sightings"));
        let stretch = group
            .measure(&[], |_| is_alive(&mut instance))
            .unwrap_or_else(|state| gave_up(&instance, &state));
        wait_counted(&mut instance, &[&pipeline.named("sightings")], filled.records);
        let out = wrote(&instance, pipeline, &["dossiers", "leads", "disclosures"]);
        leave(instance);
        let mut notes = vec![
            in_and_out(stretch, filled, &out),
            format!(
                "on disk, compressed: {} MiB in, {} MiB out",
                mebibytes(bus::stored(self.broker, |topic| topic == pipeline.named("sightings"))),
                mebibytes(bus::stored(self.broker, |topic| {
                    topic.starts_with(&pipeline.prefix) && !topic.ends_with(".sightings")
                })),
            ),
        ];
        let ratio = (Unit::OfCopy, stretch.rate() / copied);
        if let Some(leads) = leads {
            notes.push(self.compare(pipeline, leads));
            let goals = (Some(Goal::Least(0.5)), Some(Goal::Least(0.35)));
            table.row("keyed topic to leads, skew", ratio, goals, &notes);
        } else {
            table.row("keyed topic to leads, each indicator new", ratio, (None, None), &notes);
        }
    }

    /// The final leads of a run beside those of the pure step.
    fn compare(&mut self, pipeline: &Pipeline, expected: &Leads) -> String {
        let settings = bus::settings(self.broker, "looker", "looker", "none");
        let mut found = std::collections::BTreeMap::new();
        let each = |record: sightline::stage::Record| {
            found.insert(record.key.unwrap_or_default(), record.value);
        };
        read_topic(&settings, &pipeline.named("leads"), each).expect("the leads can be read");
        let found: Leads = found
            .into_iter()
            .filter_map(|(key, value)| Some((key, fill::without_version(&value?))))
            .collect();
        let keys: std::collections::BTreeSet<&Vec<u8>> = found.keys().chain(expected.keys()).collect();
        let differ: Vec<&Vec<u8>> =
            keys.iter().filter(|key| found.get(**key) != expected.get(**key)).copied().collect();
        if let Some(key) = differ.first() {
            let prefix = &pipeline.prefix;
            self.failures.push(format!("{} of {prefix}leads are not those of the pure step", differ.len()));
            eprintln!(
                "{}: {} differs\n  run:  {}\n  pure: {}",
                pipeline.prefix,
                String::from_utf8_lossy(key),
                found.get(*key).map_or_else(String::new, ToString::to_string),
                expected.get(*key).map_or_else(String::new, ToString::to_string)
            );
        }
        format!("final leads compared with the pure step's: {}, differing: {}", keys.len(), differ.len())
    }

    /// The row of all stages, and that of memory over time.
    fn all(&mut self, leads: &Leads, table: &mut Table) {
        let pipeline = self.site.pipeline("all", RAW);
        self.fresh(&pipeline);
        let mut instance = self.start(&pipeline, &["--lanes", "2"]);
        let groups = [("assess", "sightings"), ("release", "disclosures"), ("deliver", "outbox")].map(
            |(group, topic)| {
                Group::behind_transactions(self.broker, &pipeline.named(group), &pipeline.named(topic))
            },
        );
        let intake = Group::new(self.broker, &pipeline.named("intake"), RAW);
        let quarter = i64::try_from(self.raw.records / 4).expect("a count");
        let mut at_quarter = None;
        let process = instance.child.id();
        let stretch = intake.measure(&groups, |committed| {
            is_alive(&mut instance);
            if committed >= quarter && at_quarter.is_none() {
                at_quarter = Some(resident(process));
            }
        });
        let stretch = stretch.unwrap_or_else(|state| gave_up(&instance, &state));
        let (before, after) = (at_quarter.unwrap_or_else(|| resident(process)), resident(process));
        self.all_stages = stretch.rate();
        let between = ["sightings", "disclosures", "outbox"].map(|topic| pipeline.named(topic));
        let topics: Vec<&str> = [RAW].into_iter().chain(between.iter().map(String::as_str)).collect();
        wait_counted(&mut instance, &topics, self.raw.records);
        let out = wrote(&instance, &pipeline, &["sightings", "dossiers", "leads", "disclosures", "ledger"]);
        let messages = wrote(&instance, &pipeline, &["out.hub.v1", "out.th.v1", "out.northwind.v1"]);
        leave(instance);
        let stored = bus::stored(self.broker, |topic| topic.starts_with(&pipeline.prefix));
        let notes = [
            in_and_out(stretch, self.raw, &out),
            format!("to audiences: {messages}"),
            format!(
                "on disk, compressed: {} MiB in, {} MiB out",
                mebibytes(bus::stored(self.broker, |topic| topic == RAW)),
                mebibytes(stored)
            ),
            self.compare(&pipeline, leads),
        ];
        table.row(
            "raw topic through all stages, skew",
            (Unit::OfCopy, stretch.rate() / self.copy_of_raw),
            (Some(Goal::Least(0.3)), Some(Goal::Least(0.2))),
            &notes,
        );
        let growth = 100.0 * (after - before) / before.max(1.0);
        let notes = [format!(
            "anonymous memory of the process, {} MiB after a quarter of {} records, {} MiB at the end",
            grouped(before),
            grouped(float(self.raw.records)),
            grouped(after)
        )];
        table.row("memory over that run", (Unit::Percent, growth), (None, Some(Goal::Most(10.0))), &notes);
    }

    /// What a user would choose instead, doing less.
    fn streams(&self, table: &mut Table) {
        let stretch = streams::run(self.broker, self.site, RAW);
        let less = "one MMDB and one hash look-up a record: no state, no score, no agreement, no ledger";
        let beside = format!("all stages of Sightline: {:.2} of it", self.all_stages / stretch.rate());
        let mut notes = vec![in_and_out(stretch, self.raw, less)];
        notes.extend((self.all_stages > 0.0).then_some(beside));
        table.row(
            "Kafka Streams, exactly-once v2, same topic",
            (Unit::OfCopy, stretch.rate() / self.copy_of_raw),
            (None, None),
            &notes,
        );
    }

    fn release(&self, stages: &Stages, table: &mut Table) {
        let pipeline = self.site.pipeline("rel", RAW);
        self.fresh(&pipeline);
        let filled = fill::disclosures(
            self.broker,
            stages,
            &pipeline,
            (DISCLOSURES / self.shorter).max(FEWEST_DISCLOSURES),
        );
        let mut instance = self.start(&pipeline, &["--stage", "release"]);
        let group = Group::new(self.broker, &pipeline.named("release"), &pipeline.named("disclosures"));
        let stretch = group
            .measure(&[], |_| is_alive(&mut instance))
            .unwrap_or_else(|state| gave_up(&instance, &state));
        wait_counted(&mut instance, &[&pipeline.named("disclosures")], filled.records);
        let out = wrote(&instance, &pipeline, &["ledger", "outbox"]);
        leave(instance);
        table.row(
            "disclosures under one agreement",
            (Unit::PerSecond, stretch.rate()),
            (Some(Goal::Least(50_000.0)), None),
            &[in_and_out(stretch, filled, &out)],
        );
    }

    /// The state directory is not there; the dossiers are.
    fn restore(&mut self, stages: &Stages, table: &mut Table) {
        let pipeline = self.site.pipeline("res", RAW);
        self.fresh(&pipeline);
        // Without state first, for what the program itself takes.
        let mut instance = self.start(&pipeline, &["--stage", "assess", "--lanes", "2"]);
        instance.wait_until("both lanes are active", |instance| active(instance) == 2);
        let empty = resident(instance.child.id());
        leave(instance);
        std::fs::remove_dir_all(&pipeline.state).expect("the state goes");
        let records = u32::try_from(DOSSIERS / self.shorter).expect("a count");
        let filled = fill::dossiers(self.broker, stages, &pipeline, records);
        let mut instance = self.start(&pipeline, &["--stage", "assess", "--lanes", "2"]);
        instance.wait_for("metrics and health are served");
        let served = now();
        instance.wait_until("both lanes are active", |instance| active(instance) == 2);
        let took = (now() - served).as_secs_f64();
        let of_partitions = instance.metric("sightline_view_restore_seconds_sum", "assess").unwrap_or(0.0);
        let full = resident(instance.child.id());
        // Restored is what takes the next sighting.
        let one = fill::sightings(self.broker, stages, &pipeline, Mix::Skewed, 1, false).0;
        let group = Group::new(self.broker, &pipeline.named("assess"), &pipeline.named("sightings"));
        let asked = now();
        let works = loop {
            if group.is_done() {
                break true;
            }
            if now() - asked > STUCK {
                break false;
            }
            is_alive(&mut instance);
            std::thread::sleep(Duration::from_millis(10));
        };
        let next = (now() - asked).as_secs_f64();
        let waiting = instance.metric("sightline_view_entries", "assess").unwrap_or(0.0);
        if works {
            leave(instance);
        } else {
            self.failures.push("after a restore nothing was taken any more".to_owned());
            instance.kill();
        }
        let notes = [
            format!(
                "{} dossiers of {} bytes, from serving to both partitions restored; {of_partitions:.1} s in all by the \
                 partitions' own count",
                grouped(float(filled.records)),
                filled.mean()
            ),
            if works {
                format!("the next sighting ({} bytes) was committed {next:.2} s later", one.bytes)
            } else {
                format!(
                    "FAULT: the next sighting was not taken within {} s; {} entries of state wait for the disk",
                    STUCK.as_secs(),
                    grouped(waiting)
                )
            },
        ];
        table.row(
            &format!("restore of {} dossiers, the disk lost", grouped(f64::from(records))),
            (Unit::Seconds, if works { took } else { f64::INFINITY }),
            (Some(Goal::Most(15.0)), Some(Goal::Most(20.0))),
            &notes,
        );
        let notes = [format!(
            "{} MiB without dossiers, with the list of {} entries; the aim is 1,024 MiB with 10 M of each",
            grouped(empty),
            grouped(f64::from(crate::site::ENTRIES))
        )];
        table.row("memory with them just restored", (Unit::Mebibytes, full), (None, None), &notes);
    }

    fn about_copies(&self, table: &mut Table) {
        let notes = [
            format!(
                "at the end of the run: {} /s; of the raw topic: {} /s; written without transactions: {} /s",
                grouped(self.copies.last().copied().unwrap_or(0.0)),
                grouped(self.copy_of_raw),
                grouped(self.plain)
            ),
            "the rows above are shares of the first copy, or of that of the raw topic".to_owned(),
        ];
        table.row(
            "transactional copy of the keyed topic",
            (Unit::PerSecond, self.copies[0]),
            (None, None),
            &notes,
        );
    }

    fn void(&self) -> Option<String> {
        let (first, last) = (*self.copies.first()?, *self.copies.last()?);
        let apart = (first - last).abs() / first.max(last);
        if apart > STEADY {
            return Some(format!(
                "the copy took {} /s at first and {} /s at the end: something else used the machine",
                grouped(first),
                grouped(last)
            ));
        }
        (self.copy_of_raw < FLOOR * self.plain).then(|| {
            format!(
                "the copy of the raw topic took {} /s, less than a quarter of the {} /s that are written without \
                 transactions",
                grouped(self.copy_of_raw),
                grouped(self.plain)
            )
        })
    }
}

/// Fails when the process has ended.
fn is_alive(instance: &mut Instance) {
    let ended = instance.child.try_wait().expect("a process can be asked");
    assert!(ended.is_none(), "it ended ({ended:?}):\n{}", instance.said());
}

/// It does not come to an end: where all stands, and what it said.
fn gave_up(instance: &Instance, state: &str) -> ! {
    let lag = instance.get("/metrics").1;
    let shown: Vec<&str> = lag
        .lines()
        .filter(|line| ["lag", "view_entries", "transactions"].iter().any(|word| line.contains(word)))
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket"))
        .collect();
    panic!("{state}\n{}\n{}", shown.join("\n"), instance.said());
}

/// Asks it to leave, which it does cleanly.
fn leave(mut instance: Instance) {
    let status = instance.stop();
    assert!(status.success(), "{status}:\n{}", instance.said());
}

/// How many lanes have restored what is theirs.
fn active(instance: &Instance) -> usize {
    instance.said().matches("restored and active").count()
}

/// Waits until it has counted what it has committed: `records` of the first topic, and of each other as many
/// as were written there.
fn wait_counted(instance: &mut Instance, topics: &[&str], records: u64) {
    instance.wait_until("all that is committed is counted", |instance| {
        topics.iter().enumerate().all(|(place, topic)| {
            let label = format!("topic=\"{topic}\"");
            let taken = instance.metric("sightline_records_consumed_total", &label);
            let written = instance.metric("sightline_records_produced_total", &label);
            taken == if place == 0 { Some(float(records)) } else { written }
        })
    });
}

/// What it has written to these topics of the pipeline.
fn wrote(instance: &Instance, pipeline: &Pipeline, topics: &[&str]) -> String {
    let one = |topic: &&str| {
        let label = format!("topic=\"{}\"", pipeline.named(topic));
        let n = instance.metric("sightline_records_produced_total", &label).unwrap_or(0.0);
        format!("{} {topic}", grouped(n))
    };
    topics.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn in_and_out(stretch: Stretch, filled: Filled, out: &str) -> String {
    format!(
        "{} /s; in: {} records of {} bytes, {} MiB; out: {out}",
        grouped(stretch.rate()),
        grouped(float(filled.records)),
        filled.mean(),
        mebibytes(filled.bytes)
    )
}

/// Memory of a process beside mapped files, in MiB.
pub(crate) fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it is counted");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes / 1024.0
}

fn mebibytes(bytes: u64) -> String {
    grouped(float(bytes) / 1_048_576.0)
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn float(number: u64) -> f64 {
    number as f64
}
