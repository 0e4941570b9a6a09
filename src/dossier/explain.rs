//! A lead's score as text for a person: the factors as they add up, with age, status and builds, and
//! what was not checked. Nothing is computed here that the lead does not say.

use super::Lead;
use crate::enrich::Status;
use crate::score::codes;
use crate::sighting::Timestamp;
use crate::sighting::time::{DAY, HOUR, SECOND};

/// The explanation of a lead, for a terminal, as `sightline explain` prints it.
pub fn explain(lead: &Lead) -> String {
    let mut lines = heading(lead);
    lines.push(String::new());
    lines.extend(factors(lead));
    lines.push(String::new());
    lines.extend(unchecked(lead));
    lines.push(String::new());
    lines.extend(built(lead));
    lines.push(String::new());
    lines.join("\n")
}

fn heading(lead: &Lead) -> Vec<String> {
    let score = &lead.score;
    let role = lead.role.as_str();
    let conflict = if score.conflict { ", in conflict: there is strong evidence on both sides" } else { "" };
    let mut lines = vec![
        format!("{} as {role}, at {}", lead.indicator, lead.now),
        format!("{}: risk {}, confidence {}{conflict}", score.verdict.as_str(), score.risk, score.confidence),
        format!(
            "{}, {}, first seen {}, last seen {}",
            counted(lead.sightings, "sighting"),
            counted(lead.reporters, "reporter"),
            lead.time.first_seen,
            lead.time.last_seen
        ),
    ];
    if lead.role.is_victim() {
        lines.push(format!("{role} is the role of a victim: the risk is that it is one, not what it does"));
    }
    lines
}

fn factors(lead: &Lead) -> Vec<String> {
    let factors = lead.score.factors.iter().filter(|factor| factor.code != codes::NOT_CHECKED);
    let mut rows =
        vec![["points", "age", "status", "code", "source", "origin", "what it says"].map(str::to_owned)];
    rows.extend(factors.map(|factor| {
        [
            points(factor.points),
            factor.observed_at.map(|at| age(lead.now, at)).unwrap_or_default(),
            status(factor.status).to_owned(),
            factor.code.clone(),
            factor.source.clone(),
            factor.origin.clone(),
            factor.text.clone(),
        ]
    }));
    let mut lines = table(&rows, 2);
    let sum = points(lead.score.log_odds);
    let width = rows.iter().map(|row| row[0].len()).max().unwrap_or(0).max(sum.len());
    lines.push(format!("  {}", "-".repeat(width)));
    let risk = lead.score.risk;
    let exponent = points(-lead.score.log_odds);
    let exponent = exponent.trim_start_matches('+');
    lines.push(format!("  {sum:>width$}  log-odds, which is a risk of 100 / (1 + e^{exponent}) = {risk}"));
    lines
}

fn unchecked(lead: &Lead) -> Vec<String> {
    let factors = lead.score.factors.iter().filter(|factor| factor.code == codes::NOT_CHECKED);
    let rows: Vec<[String; 3]> = factors
        .map(|factor| [factor.source.clone(), status(factor.status).to_owned(), factor.text.clone()])
        .collect();
    if rows.is_empty() {
        return vec!["not checked: nothing".to_owned()];
    }
    let mut lines = vec!["not checked".to_owned()];
    lines.extend(table(&rows, 0));
    lines
}

fn built(lead: &Lead) -> Vec<String> {
    let mut rows = vec![["model".to_owned(), lead.built.model.clone()]];
    rows.extend(lead.built.sources.iter().map(|(source, build)| [source.clone(), build.clone()]));
    let mut lines = vec!["made from".to_owned()];
    lines.extend(table(&rows, 0));
    lines
}

/// Rows in columns, indented; the first `right` columns to the right, none padded at the end.
fn table<const N: usize>(rows: &[[String; N]], right: usize) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            line.push_str("  ");
            if column < right {
                line.push_str(&format!("{cell:>width$}"));
            } else {
                line.push_str(&format!("{cell:<width$}"));
            }
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("{n} {what}") } else { format!("{n} {what}s") }
}

/// Hundredths with their sign and two decimals.
fn points(hundredths: i32) -> String {
    let sign = if hundredths < 0 { '-' } else { '+' };
    let whole = hundredths.unsigned_abs();
    format!("{sign}{}.{:02}", whole / 100, whole % 100)
}

/// How long ago, in the largest unit that it has two of.
fn age(now: Timestamp, at: Timestamp) -> String {
    let millis = now.since(at);
    let units = [(DAY, "d"), (HOUR, "h"), (60 * SECOND, "min")];
    let fitting = units.into_iter().find(|(unit, _)| millis >= 2 * unit);
    let (unit, name) = fitting.unwrap_or((SECOND, "s"));
    format!("{}{name}", millis / unit)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Hit => "hit",
        Status::Miss => "miss",
        Status::Unknown => "unknown",
        Status::Skipped => "skipped",
    }
}

#[cfg(test)]
mod tests;
