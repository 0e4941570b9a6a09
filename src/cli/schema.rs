//! `sightline schema`: the JSON Schemas of what is read and written, made from the types.

use std::process::ExitCode;

use super::print;
use crate::config::file::Pipeline;
use crate::diag::schema_of;
use crate::encode::lead;
use crate::share::agreement::File;
use crate::share::ledger;
use crate::sighting::formats::sightline::InputRecord;

/// Print a JSON Schema (draft 2020-12) for editors, and for those who write or check records.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Of what.
    of: Of,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Of {
    /// A sighting as it comes in, in our own format.
    Sighting,
    /// A lead as it is written to `leads`.
    Lead,
    /// A pipeline file.
    Pipeline,
    /// The file of a data exchange agreement.
    Agreement,
    /// An entry of the ledger, with the rules by which anybody can check a ledger and its messages.
    Ledger,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let schema = match args.of {
        Of::Sighting => schema_of::<InputRecord>(),
        Of::Lead => lead::lead_schema(),
        Of::Pipeline => schema_of::<Pipeline>(),
        Of::Agreement => schema_of::<File>(),
        Of::Ledger => ledger::schema(),
    };
    print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))?;
    Ok(ExitCode::SUCCESS)
}
