//! The bench: what the design page measures Sightline by, as ratios taken in one run.
//!
//! `tests/bench/run` builds and calls it. `bench pure` prints the rows of the pure core alone.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

mod load;
mod pure;
mod site;

use sightline::sighting::Timestamp;

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time that pure stages work at.
const NOW: Timestamp = Timestamp(1_793_880_000_000);

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    match words.next().as_deref() {
        Some("pure") => {
            let shorter = words.next().map_or(1, |text| text.parse().expect("a number"));
            let site = site::Site::new("127.0.0.1:9");
            if let Some(mix) = words.next() {
                // One alone, to be looked at with a profiler.
                let mix = if mix == "new" { load::Mix::AllNew } else { load::Mix::Skewed };
                let stages = sightline::config::Stages::new(&site.load());
                println!("{:?}", pure::run(&stages, mix, 0, 600_000 / shorter));
                return;
            }
            for ((intake, assess), name) in pure::all(&site, shorter).iter().zip(["skewed", "all new"]) {
                println!("{name}: intake {:.0} /s, assess {:.0} /s", intake.rate(), assess.rate());
                println!("  intake {intake:?}\n  assess {assess:?}");
            }
        }
        _ => {
            eprintln!("bench pure");
            std::process::exit(64);
        }
    }
}
