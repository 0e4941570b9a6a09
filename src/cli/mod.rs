//! The command line: one file a subcommand, each with its `Args` and `run`. No logic of its own.
//!
//! Exit codes: 0 for success, 64 for a wrong command line or a file with errors, 1 for the rest.

mod check;
mod demo;
mod enrich;
mod explain;
mod export;
mod ledger;
mod run;
mod schema;
mod signals;
mod topics;
mod watch;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::config::{self, Checked, Loaded, Secret};
use crate::diag::{Finding, Findings, Severity};
use crate::sighting::Timestamp;

/// What a wrong command line or file exits with: `EX_USAGE` of sysexits.
const USAGE: u8 = 64;

/// Raw sightings in, leads out, each only to those who may have it.
#[derive(Debug, Parser)]
#[command(name = "sightline", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Args),
    Demo(demo::Args),
    Run(run::Args),
    Enrich(enrich::Args),
    Explain(explain::Args),
    Ledger(ledger::Args),
    Topics(topics::Args),
    Schema(schema::Args),
}

/// Runs the program with these arguments, its own name first.
///
/// # Errors
/// Whatever stops a subcommand that is neither usage nor a finding.
pub fn run(args: impl IntoIterator<Item = OsString>) -> anyhow::Result<ExitCode> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(err) => {
            let is_usage = err.use_stderr();
            err.print()?;
            return Ok(if is_usage { ExitCode::from(USAGE) } else { ExitCode::SUCCESS });
        }
    };
    match cli.command {
        Command::Check(args) => check::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Enrich(args) => enrich::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Schema(args) => schema::run(&args),
    }
}

/// Reads and checks a pipeline and all that it names. Also asks librdkafka about its properties.
fn load(path: &Path, findings: &mut Findings) -> Option<Loaded> {
    let loaded = config::load(path, &|path| std::fs::read(path), findings)?;
    for property in &loaded.properties {
        let mut config = rdkafka::ClientConfig::new();
        config.set(&property.name, property.value.reveal());
        if let Err(rdkafka::error::KafkaError::ClientConfig(_, text, ..)) = config.create_native_config() {
            findings.push(
                Finding::error("bad-property", format!("librdkafka refuses `{}`", property.name))
                    .at(property.place.clone())
                    .help(text),
            );
        }
    }
    (!findings.has_errors()).then_some(loaded)
}

/// How many errors and warnings, in words: `2 errors, 1 warning`.
fn summary(findings: &Findings) -> String {
    let count = |severity, word: &str| {
        let n = findings.list().iter().filter(|finding| finding.severity == severity).count();
        (n > 0).then(|| format!("{n} {word}{}", if n == 1 { "" } else { "s" }))
    };
    let counts: Vec<String> = [count(Severity::Error, "error"), count(Severity::Warning, "warning")]
        .into_iter()
        .flatten()
        .collect();
    if counts.is_empty() { "no findings".to_owned() } else { counts.join(", ") }
}

/// librdkafka's properties of every client, secrets revealed.
fn client(checked: &Checked) -> BTreeMap<String, String> {
    revealed(&checked.kafka.client)
}

fn revealed(properties: &BTreeMap<String, Secret>) -> BTreeMap<String, String> {
    properties.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect()
}

/// Logs to standard error, as JSON where nobody looks at it; `RUST_LOG` says how much.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,librdkafka=warn,rdkafka=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        builder.init();
    } else {
        builder.json().init();
    }
}

/// The time, as the computer's clock has it.
#[expect(clippy::disallowed_methods, reason = "the shell reads the clock, here and nowhere else")]
fn clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Writes to standard output. A reader that went away, such as `head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(err) if err.kind() != std::io::ErrorKind::BrokenPipe => Err(err.into()),
        _ => Ok(()),
    }
}

/// Writes findings to standard error, for subcommands whose output is something else.
fn print_findings(path: &Path, findings: &Findings) -> anyhow::Result<()> {
    if !findings.is_empty() {
        let text = format!("{}\n{}: {}\n", findings.render(), path.display(), summary(findings));
        std::io::stderr().lock().write_all(text.as_bytes())?;
    }
    Ok(())
}
