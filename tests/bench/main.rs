//! The bench: what the design page measures Sightline by, as ratios taken in one run.
//!
//! `tests/bench/run` builds and calls it. `bench all` prints the whole table, `bench all NAME...` the rows of
//! `pure`, `list`, `assess`, `all`, `streams`, `release`, `latency` and `restore` alone; with `--short` all is a
//! tenth as long.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

// The tests use more of these two.
#[path = "../it/broker.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod broker;
mod bus;
mod copy;
mod fill;
#[path = "../it/instance.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod instance;
mod kafka;
mod latency;
mod load;
mod pure;
mod site;
mod streams;
mod table;

use std::process::{Command, ExitCode};

use sightline::sighting::Timestamp;

use crate::pure::Measured;
use crate::site::{ENTRIES, RAW, Site};
use crate::table::{Goal, Table, Unit, grouped};

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time that pure stages work at.
const NOW: Timestamp = Timestamp(1_793_880_000_000);
/// The list of the design page's row of memory.
const LONG_LIST: u32 = 10_000_000;
/// Where no broker is.
const NOWHERE: &str = "127.0.0.1:9";
/// What a run exits with whose figures mean nothing.
const VOID: u8 = 2;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let shorter = if let Some(at) = words.iter().position(|word| word == "--short") {
        words.remove(at);
        10
    } else {
        1
    };
    match words.split_first() {
        Some((first, wanted)) if first == "all" => all(wanted, shorter),
        Some((first, [entries])) if first == "loaded" => loaded(entries.parse().expect("a number")),
        _ => {
            eprintln!("bench all [--short] [NAME...]");
            ExitCode::from(64)
        }
    }
}

fn all(wanted: &[String], shorter: usize) -> ExitCode {
    const OF_BROKER: [&str; 6] = ["assess", "all", "streams", "release", "latency", "restore"];
    let wants = |row: &str| wanted.is_empty() || wanted.iter().any(|name| name == row);
    let began = broker::now();
    let mut table = Table::default();
    if wants("pure") {
        pure_rows(&Site::new(NOWHERE, ENTRIES), shorter, &mut table);
    }
    let mut verdict = kafka::Verdict::default();
    if OF_BROKER.into_iter().any(wants) {
        let broker = kafka::Bench::broker();
        let site = Site::new(broker.bootstrap(), ENTRIES);
        verdict = kafka::Bench::new(broker, &site, shorter).run(wanted, &mut table);
    }
    if wants("list") {
        list_row(LONG_LIST / u32::try_from(shorter).expect("small"), &mut table);
    }
    print!("{}", table.shown());
    println!("measured in {} s", (broker::now() - began).as_secs());
    if shorter > 1 {
        println!("A SHORT RUN: a tenth of the records, so the figures are a hint and no more.");
    }
    for failure in &verdict.failures {
        println!("FAILED: {failure}.");
    }
    if let Some(why) = &verdict.void {
        println!("VOID, none of these figures means anything: {why}.");
    }
    match verdict {
        kafka::Verdict { failures, .. } if !failures.is_empty() => ExitCode::FAILURE,
        kafka::Verdict { void: Some(_), .. } => ExitCode::from(VOID),
        _ => ExitCode::SUCCESS,
    }
}

/// The pure core, on one core.
fn pure_rows(site: &Site, shorter: usize, table: &mut Table) {
    let [(intake, skewed), (_, new)] = pure::all(site, shorter);
    let least = |aim: f64, reach: Option<f64>| (Some(Goal::Least(aim)), reach.map(Goal::Least));
    let mut row = |what: &str, measured: &Measured, goals| {
        let share = |n: u64| 100 * n / (n + measured.refusals).max(1);
        let sizes = format!(
            "in: {} records, {} bytes; out: {} records, {} bytes",
            grouped(float(measured.records)),
            grouped(float(measured.bytes_in)),
            grouped(float(measured.written)),
            grouped(float(measured.bytes_out))
        );
        let made = format!(
            "{} dossiers, {} leads, {} disclosures",
            grouped(float(measured.dossiers)),
            grouped(float(measured.leads)),
            grouped(float(measured.disclosures))
        );
        // Where each is new, each decision is one that changes, and is counted.
        let decisions = format!("of 100 decisions {} let something out", share(measured.disclosures));
        let notes: Vec<String> = [
            Some(sizes),
            (measured.dossiers > 0).then_some(made),
            (measured.dossiers == measured.records).then_some(decisions),
        ]
        .into_iter()
        .flatten()
        .collect();
        table.row(what, (Unit::PerSecond, measured.rate()), goals, &notes);
    };
    row("assess, pure, one core, each indicator new", &new, least(100_000.0, Some(60_000.0)));
    row("assess, pure, one core, skew", &skewed, least(400_000.0, Some(300_000.0)));
    row("intake, pure, one core, native JSON", &intake, least(700_000.0, None));
}

/// Memory with a long list, in a process of its own.
fn list_row(entries: u32, table: &mut Table) {
    let bench = std::env::current_exe().expect("this program");
    let said =
        Command::new(bench).args(["loaded", &entries.to_string()]).output().expect("this program runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let (mebibytes, seconds) = said.trim().split_once(' ').expect("two numbers");
    let notes = [format!(
        "the pipeline loaded, in {seconds} s, and no dossier; the aim is 1,024 MiB with 10 M of each, beside mapped files"
    )];
    let what = format!("memory with {} reputation entries", grouped(f64::from(entries)));
    let mebibytes = mebibytes.parse().expect("a number");
    table.row(&what, (Unit::Mebibytes, mebibytes), (Some(Goal::Most(1024.0)), None), &notes);
}

/// Loads a pipeline with so many entries on its list; prints MiB and seconds.
fn loaded(entries: u32) -> ExitCode {
    let site = Site::new(NOWHERE, entries);
    let pipeline = site.pipeline("list", RAW);
    let before = kafka::resident(std::process::id());
    let began = broker::now();
    let loaded = pipeline.load();
    let took = broker::now() - began;
    println!("{:.0} {:.1}", kafka::resident(std::process::id()) - before, took.as_secs_f64());
    drop(loaded);
    ExitCode::SUCCESS
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn float(number: u64) -> f64 {
    number as f64
}
