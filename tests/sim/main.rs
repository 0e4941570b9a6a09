//! The simulation: the real runner and stages on the embedded log, thousands of interleavings of
//! crashes, zombies, rebalances, lost commits, late markers, slow answers and clock jumps.
//!
//! `cargo test --test sim -- --seeds N` plays N seeds from `--from` (0); `--seed K` replays one,
//! with `--trace` action by action.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program with its own harness")]

mod ledgerless;
mod whole;
mod world;

use std::process::ExitCode;

use world::Tally;

struct Args {
    from: u64,
    seeds: u64,
    trace: bool,
}

fn args() -> Result<Args, String> {
    let mut args = Args { from: 0, seeds: 1_000, trace: false };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        let mut number = || {
            let text = given.next().ok_or_else(|| format!("{flag} takes a number"))?;
            text.parse::<u64>().map_err(|err| format!("{flag} {text}: {err}"))
        };
        match flag.as_str() {
            "--seeds" => args.seeds = number()?,
            "--from" => args.from = number()?,
            "--seed" => {
                args.from = number()?;
                args.seeds = 1;
            }
            "--trace" => args.trace = true,
            // What cargo's own harness would take is not ours to refuse.
            _ => {}
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(args) => args,
        Err(err) => {
            eprintln!("sim: {err}");
            return ExitCode::from(64);
        }
    };
    let mut tally = Tally::default();
    let mut failed = 0_u64;
    for seed in args.from..args.from + args.seeds {
        // Every eighth seed has disks: they are slower, and the same otherwise.
        let disk = (seed % 8 == 7).then(|| tempfile::tempdir().expect("a temporary folder"));
        let folder = disk.as_ref().map(|disk| disk.path().to_owned());
        let trace = args.trace;
        // Every fourth seed plays the runner alone, the others all stages.
        let played = std::panic::catch_unwind(move || match seed % 4 {
            0 => ledgerless::run(seed, folder, trace),
            _ => whole::run(seed, folder, trace),
        });
        match played {
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
    println!("{} passed, {failed} failed", args.seeds - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
