//! `sightline check`: everything that is wrong with a pipeline file and the files that it names.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{USAGE, load, print, summary};
use crate::diag::Findings;

/// Check a pipeline file and all files that it names, without connecting to anything.
///
/// Every problem is shown at its line and column. Exits with 64 if there are errors; warnings alone
/// exit with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file.
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    load(&args.file, &mut findings);
    let mut text = findings.render();
    if !text.is_empty() {
        text.push('\n');
    }
    print(&format!("{text}{}: {}\n", args.file.display(), summary(&findings)))?;
    Ok(if findings.has_errors() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS })
}
