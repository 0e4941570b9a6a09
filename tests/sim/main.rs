//! The simulation: the real runner and stages on the embedded log, thousands of interleavings of
//! crashes, zombies, rebalances, lost commits, late markers, failed calls, slow answers and clock
//! jumps.
//!
//! `cargo test --test sim -- --seeds N` plays N seeds from `--from` (0); `--seed K` replays one,
//! with `--trace` action by action. `--mutants` removes one rule of the runner at a time and demands
//! that a seed fails for each; `--mutant NAME` plays seeds with one.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program with its own harness")]

mod flaky;
mod ledgerless;
mod mutants;
mod whole;
mod world;
mod wrong;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use world::{Tally, Way};
use wrong::Mutant;

struct Args {
    from: u64,
    seeds: u64,
    trace: bool,
    mutant: Option<Mutant>,
    mutants: bool,
}

fn args() -> Result<Args, String> {
    let mut args = Args { from: 0, seeds: 1_000, trace: false, mutant: None, mutants: false };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        let mut text = || given.next().ok_or_else(|| format!("{flag} takes a value"));
        let number = |text: String| text.parse::<u64>().map_err(|err| format!("{flag} {text}: {err}"));
        match flag.as_str() {
            "--seeds" => args.seeds = number(text()?)?,
            "--from" => args.from = number(text()?)?,
            "--seed" => {
                args.from = number(text()?)?;
                args.seeds = 1;
            }
            "--trace" => args.trace = true,
            "--mutants" => args.mutants = true,
            "--mutant" => {
                let name = text()?;
                args.mutant = Some(mutants::named(&name).ok_or_else(|| format!("no mutant `{name}`"))?);
            }
            // What cargo's own harness would take is not ours to refuse.
            _ => {}
        }
    }
    Ok(args)
}

/// Plays one seed; what went wrong, if anything did.
fn play(seed: u64, trace: bool, mutant: Option<Mutant>) -> Result<Tally, String> {
    // Every fourth seed plays the runner alone, the others all stages; of each, every eighth has
    // disks: they are slower, and the same otherwise.
    let disk = (seed / 4 % 8 == 7).then(|| tempfile::tempdir().expect("a temporary folder"));
    let way = Way { disk: disk.as_ref().map(|disk| disk.path().to_owned()), trace, mutant };
    let played = std::panic::catch_unwind(AssertUnwindSafe(|| match seed % 4 {
        0 => ledgerless::run(seed, &way),
        _ => whole::run(seed, &way),
    }));
    played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        mutants::in_short(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without text"))
    })
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(err) => {
            eprintln!("sim: {err}");
            return ExitCode::from(64);
        }
    };
    let (passed, failed) = if args.mutants {
        // Failing is what they are for.
        std::panic::set_hook(Box::new(|_| {}));
        mutants::run()
    } else {
        seeds(&args)
    };
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seeds(args: &Args) -> (u64, u64) {
    let mut tally = Tally::default();
    let mut failed = 0_u64;
    for seed in args.from..args.from + args.seeds {
        match play(seed, args.trace, args.mutant) {
            Ok(one) => tally.add(&one),
            Err(_) => {
                failed += 1;
                eprintln!(
                    "seed {seed} failed; replay it with: cargo test --test sim -- --seed {seed} --trace"
                );
            }
        }
    }
    println!("simulation: {} seeds from {}: {tally:?}", args.seeds, args.from);
    (args.seeds - failed, failed)
}
