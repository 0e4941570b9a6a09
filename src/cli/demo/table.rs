//! What the topics say after the demonstration: the table, one lead in full and as two audiences
//! see it, and the ledger.
//!
//! It sees records, as any reader of the topics would, and never what was planned.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Value, json};

use super::grouped;
use super::operation::SHOWN;
use crate::config::{self, Loaded, Topics};
use crate::dossier::{self, Dossier, Lead, Projection};
use crate::share::ledger::{self, Message};
use crate::sighting::{Role, Timestamp};
use crate::stage::{Record, assess};

/// The verdicts in the order of the table.
const VERDICTS: [&str; 5] = ["malicious", "suspicious", "unscored", "benign", "suppressed"];

/// The agreements that are shown beside each other: the police hub's and the vendor's.
const BESIDE: [&str; 2] = ["dxa-hub-01", "dxa-northwind-01"];

/// What was read from the topics so far.
pub(super) struct ReadBack {
    topics: Topics,
    raw: usize,
    sightings: usize,
    dead: BTreeMap<String, usize>,
    /// Role and verdict of each lead's last version.
    leads: BTreeMap<Vec<u8>, (String, String)>,
    /// The last value of each.
    dossiers: BTreeMap<Vec<u8>, Vec<u8>>,
    ledger: Vec<Record>,
    /// By agreement.
    audiences: BTreeMap<String, Audience>,
}

struct Audience {
    topic: String,
    recipient: String,
    messages: Vec<Record>,
}

/// What of a lead the table counts.
#[derive(Deserialize)]
struct LeadHead {
    role: String,
    score: ScoreHead,
}

#[derive(Deserialize)]
struct ScoreHead {
    verdict: String,
}

/// What of a message finds the lead that is shown.
#[derive(Deserialize)]
struct Told {
    lead: ToldLead,
}

#[derive(Deserialize)]
struct ToldLead {
    indicator: ToldIndicator,
    role: String,
}

#[derive(Deserialize)]
struct ToldIndicator {
    value: String,
}

/// The table.
pub(super) struct Table {
    raw: usize,
    sightings: usize,
    dead: BTreeMap<String, usize>,
    /// By role and verdict.
    leads: BTreeMap<String, BTreeMap<String, usize>>,
    audiences: Vec<Row>,
}

struct Row {
    agreement: String,
    recipient: String,
    topic: String,
    received: usize,
    messages: usize,
    /// By clause.
    refused: BTreeMap<String, usize>,
}

/// What became of checking the ledger and an altered copy of it.
pub(super) struct Ledger {
    pub(super) text: String,
    pub(super) is_sound: bool,
    pub(super) is_found_out: bool,
}

impl ReadBack {
    pub(super) fn new(loaded: &Loaded) -> Self {
        let audiences = loaded.checked.agreements.iter().map(|agreement| {
            let audience = Audience {
                topic: agreement.topic.clone(),
                recipient: agreement.recipient.id.clone(),
                messages: Vec::new(),
            };
            (agreement.id.clone(), audience)
        });
        Self {
            topics: loaded.checked.topics.clone(),
            raw: 0,
            sightings: 0,
            dead: BTreeMap::new(),
            leads: BTreeMap::new(),
            dossiers: BTreeMap::new(),
            ledger: Vec::new(),
            audiences: audiences.collect(),
        }
    }

    /// Reads one record of any topic.
    pub(super) fn take(&mut self, record: Record) -> anyhow::Result<()> {
        let topics = &self.topics;
        let is = |topic: &str| *record.topic == *topic;
        if let Some(audience) = self.audiences.values_mut().find(|audience| is(&audience.topic)) {
            audience.messages.push(record);
        } else if is(&topics.sightings) {
            self.sightings += 1;
        } else if is(&topics.dead_letters) {
            let code = header(&record, "sightline.error.code").to_owned();
            *self.dead.entry(code).or_default() += 1;
        } else if is(&topics.leads) {
            let key = record.key.unwrap_or_default();
            match record.value {
                Some(value) => {
                    let lead: LeadHead = serde_json::from_slice(&value).context("a lead")?;
                    self.leads.insert(key, (lead.role, lead.score.verdict))
                }
                None => self.leads.remove(&key),
            };
        } else if is(&topics.dossiers) {
            let key = record.key.unwrap_or_default();
            match record.value {
                Some(value) if key != assess::SWEEP => self.dossiers.insert(key, value),
                _ => self.dossiers.remove(&key),
            };
        } else if is(&topics.ledger) {
            self.ledger.push(record);
        } else if !(is(&topics.disclosures) || is(&topics.outbox) || is(&topics.releases)) {
            self.raw += 1;
        }
        Ok(())
    }

    pub(super) fn sightings(&self) -> usize {
        self.sightings
    }

    pub(super) fn messages(&self) -> usize {
        self.audiences.values().map(|audience| audience.messages.len()).sum()
    }

    pub(super) fn table(&self) -> anyhow::Result<Table> {
        let mut leads: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for (role, verdict) in self.leads.values() {
            *leads.entry(role.clone()).or_default().entry(verdict.clone()).or_default() += 1;
        }
        let mut refused: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for bytes in self.dossiers.values() {
            for disclosed in dossier::decode(bytes)?.disclosed {
                if let Some(clause) = disclosed.refused {
                    *refused.entry(disclosed.agreement).or_default().entry(clause).or_default() += 1;
                }
            }
        }
        let rows = self.audiences.iter().map(|(agreement, audience)| {
            let ids: BTreeSet<&str> =
                audience.messages.iter().map(|record| header(record, "dx-disclosure-id")).collect();
            Row {
                agreement: agreement.clone(),
                recipient: audience.recipient.clone(),
                topic: audience.topic.clone(),
                received: ids.len(),
                messages: audience.messages.len(),
                refused: refused.remove(agreement).unwrap_or_default(),
            }
        });
        Ok(Table {
            raw: self.raw,
            sightings: self.sightings,
            dead: self.dead.clone(),
            audiences: rows.collect(),
            leads,
        })
    }

    /// The lead that is shown, as `sightline explain` shows it.
    pub(super) fn explained(&self, loaded: &Loaded, now: Timestamp) -> anyhow::Result<String> {
        let key = format!("ipv4:{SHOWN}");
        let bytes = self.dossiers.get(key.as_bytes()).context("the lead that is shown is not there")?;
        let dossier: Dossier = dossier::decode(bytes)?;
        let knowledge = config::knowledge(loaded);
        let lead = Lead::form(&Projection::whole(&dossier), Role::C2, &knowledge.scorer, now);
        let lead = lead.context("the server that is shown is no c2")?;
        let reporters: BTreeSet<&str> = dossier.folds.iter().map(|fold| fold.reporter.as_str()).collect();
        let reporters: Vec<&str> = reporters.into_iter().collect();
        Ok(format!(
            "One lead in full, with all that we know ourselves. Reported by {}.\n\n{}",
            reporters.join(", "),
            dossier::explain(&lead)
        ))
    }

    /// The same lead as two recipients have it.
    pub(super) fn side_by_side(&self) -> anyhow::Result<String> {
        let mut seen = Vec::new();
        for id in BESIDE {
            let audience = self.audiences.get(id).with_context(|| format!("there is no agreement {id}"))?;
            let last = audience.messages.iter().rev().find(|record| is_shown(record));
            let last = last.with_context(|| format!("{} was not told of {SHOWN}", audience.recipient))?;
            let message: Value = serde_json::from_slice(last.value.as_deref().unwrap_or_default())?;
            let mut fields = BTreeMap::new();
            for part in ["lead", "marking", "terms"] {
                let shown = if part == "terms" { &message[part]["handling"] } else { &message[part] };
                let path = if part == "lead" { "" } else { part };
                flatten(path, shown, &mut fields);
            }
            seen.push((audience.recipient.clone(), fields));
        }
        let [(police, theirs), (vendor, others)] = &seen[..] else { anyhow::bail!("two are compared") };
        let paths: BTreeSet<&String> = theirs.keys().chain(others.keys()).collect();
        let mut text = format!(
            "The same lead as {police} and {vendor} received it. \"~\": another value, \"-\": withheld.\n\n"
        );
        text += &format!("  {:<39}  {:<46}  {vendor}\n", "field", police);
        for path in paths {
            let cell = |fields: &BTreeMap<String, String>| fields.get(path).cloned().unwrap_or_default();
            let (police, vendor) = (cell(theirs), cell(others));
            let mark = match () {
                () if vendor.is_empty() => '-',
                () if vendor == police => ' ',
                () => '~',
            };
            text += format!("{mark} {path:<39}  {:<46}  {}", cut(&police, 46), cut(&vendor, 44)).trim_end();
            text.push('\n');
        }
        Ok(text)
    }

    /// Verifies the ledger against the messages, and then a copy of which one byte is altered.
    pub(super) fn ledger(&self) -> Ledger {
        let values: Vec<&[u8]> =
            self.ledger.iter().map(|record| record.value.as_deref().unwrap_or_default()).collect();
        let messages: Vec<(&Record, String)> = self
            .audiences
            .values()
            .flat_map(|audience| &audience.messages)
            .map(|record| (record, format!("{} offset {}", record.topic, record.offset)))
            .collect();
        let mut report = ledger::verify(self.entries(&values));
        let told = messages.iter().map(|(record, position)| Message {
            topic: &record.topic,
            key: record.key.as_deref().unwrap_or_default(),
            headers: &record.headers,
            payload: record.value.as_deref().unwrap_or_default(),
            position,
        });
        report.faults.extend(ledger::verify_messages(&report.told, told));
        let mut text = format!(
            "The ledger: {} entries in {} chains, {} messages.\n",
            grouped(values.len()),
            report.heads.len(),
            grouped(messages.len()),
        );
        for (agreement, (seq, hash)) in &report.heads {
            text += &format!(
                "  {agreement:<18} {:>6} entries, head {hash}\n",
                grouped(usize::try_from(*seq).unwrap_or(0))
            );
        }
        for fault in &report.faults {
            text += &format!("  {fault}\n");
        }
        let is_sound = report.faults.is_empty();
        text += if is_sound {
            "  sound: each entry is as it was written, and each message is the one of its entry\n"
        } else {
            ""
        };

        // Somebody makes a risk in the middle of it smaller.
        let at = values.len() / 2;
        let altered = values.get(at).and_then(|value| altered(value));
        let mut found = 0;
        if let Some((bytes, position, digit)) = &altered {
            let mut copy = values.clone();
            copy[at] = bytes;
            let report = ledger::verify(self.entries(&copy));
            found = report.faults.len();
            text += &format!("A copy of which byte {position} of entry {at} was made a {digit}:\n");
            for fault in &report.faults {
                text += &format!("  {fault}\n");
            }
        }
        Ledger { text, is_sound, is_found_out: found > 0 }
    }

    fn entries<'a>(&'a self, values: &'a [&[u8]]) -> impl Iterator<Item = (&'a [u8], &'a [u8], String)> {
        self.ledger.iter().zip(values).map(|(record, value)| {
            let position = format!("offset {}", record.offset);
            (record.key.as_deref().unwrap_or_default(), *value, position)
        })
    }
}

/// An entry with another digit in its risk, where that is, and the digit.
fn altered(entry: &[u8]) -> Option<(Vec<u8>, usize, char)> {
    const KEY: &[u8] = b"\"risk\":";
    let at = entry.windows(KEY.len()).position(|bytes| bytes == KEY)? + KEY.len();
    let mut bytes = entry.to_vec();
    let digit = if bytes[at] == b'1' { b'2' } else { b'1' };
    bytes[at] = digit;
    Some((bytes, at, char::from(digit)))
}

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    let value = record.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_slice());
    std::str::from_utf8(value.unwrap_or_default()).unwrap_or_default()
}

fn is_shown(record: &Record) -> bool {
    serde_json::from_slice(record.value.as_deref().unwrap_or_default())
        .is_ok_and(|told: Told| told.lead.indicator.value == SHOWN && told.lead.role == "c2")
}

/// The fields of a message by path, each with its value in a line.
fn flatten(path: &str, value: &Value, fields: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (name, value) in object {
                flatten(&below(name), value, fields);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (n, value) in list.iter().enumerate() {
                fields.insert(format!("{path}[{n}]"), line(value));
            }
        }
        value => {
            fields.insert(path.to_owned(), line(value));
        }
    }
}

/// A value in a line.
fn line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // A factor: what it adds, and who says so.
        Value::Object(object) if object.contains_key("points") => {
            let text = |name: &str| object.get(name).map(line).unwrap_or_default();
            format!("{} {} {}", text("points"), text("code"), text("source")).trim_end().to_owned()
        }
        Value::Object(object) => object.values().map(line).collect::<Vec<_>>().join(" "),
        Value::Array(list) => list.iter().map(line).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

impl Table {
    /// For a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = "Read back from the topics:\n\n".to_owned();
        let dead: usize = self.dead.values().sum();
        for (what, n) in [("raw records", self.raw), ("sightings", self.sightings), ("dead letters", dead)] {
            text += &format!("  {what:<22} {:>7}\n", grouped(n));
        }
        for (reason, n) in &self.dead {
            text += &format!("    {reason:<20} {:>7}\n", grouped(*n));
        }
        text += &format!("\n  {:<24}", "leads");
        let verdicts: Vec<&str> = VERDICTS
            .into_iter()
            .filter(|verdict| self.leads.values().any(|of_role| of_role.contains_key(*verdict)))
            .collect();
        text += &columns(verdicts.iter().map(|verdict| (*verdict).to_owned()));
        for (role, of_role) in &self.leads {
            text += &format!("    {role:<22}");
            text += &columns(verdicts.iter().map(|verdict| number(of_role.get(*verdict))));
        }
        text += &format!("\n  {:<24}", "audience");
        text += &columns(self.audiences.iter().map(|row| row.recipient.clone()));
        let mut line = |name: &str, of: &dyn Fn(&Row) -> Option<usize>| {
            text += &format!(
                "    {name:<22}{}",
                columns(self.audiences.iter().map(|row| number(of(row).as_ref())))
            );
        };
        line("leads received", &|row| Some(row.received));
        line("messages", &|row| Some(row.messages));
        line("leads refused", &|row| Some(row.refused.values().sum()));
        let clauses: BTreeSet<&String> = self.audiences.iter().flat_map(|row| row.refused.keys()).collect();
        for clause in clauses {
            line(&format!("  {clause}"), &|row| row.refused.get(clause).copied());
        }
        text
    }

    /// The same, for a program.
    pub(super) fn json(&self, seed: u64, now: Timestamp) -> Value {
        let audiences: BTreeMap<&str, Value> = self
            .audiences
            .iter()
            .map(|row| {
                let value = json!({
                    "recipient": row.recipient,
                    "topic": row.topic,
                    "received": row.received,
                    "messages": row.messages,
                    "refused": row.refused,
                });
                (row.agreement.as_str(), value)
            })
            .collect();
        json!({
            "seed": seed,
            "now": now,
            "raw": self.raw,
            "sightings": self.sightings,
            "dead_letters": self.dead,
            "leads": self.leads,
            "audiences": audiences,
        })
    }
}

fn number(n: Option<&usize>) -> String {
    n.map(|n| grouped(*n)).unwrap_or_default()
}

/// Cells to the right, each as wide as the longest recipient, and the end of the line.
fn columns(cells: impl Iterator<Item = String>) -> String {
    let line: String = cells.map(|cell| format!(" {cell:>13}")).collect();
    format!("{}\n", line.trim_end())
}
