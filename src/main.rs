//! Sightline: raw sightings in, leads out, each only to those who may have it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match sightline::cli::run(std::env::args_os()) {
        Ok(code) => code,
        Err(err) => {
            #[expect(clippy::print_stderr, reason = "the last word of a program that failed")]
            {
                // The alternate form prints the whole chain of causes on one line.
                eprintln!("sightline: {err:#}");
            }
            ExitCode::FAILURE
        }
    }
}
