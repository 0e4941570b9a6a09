//! What of a lead goes out: built from the fields that an agreement names.
//!
//! Nothing is ever deleted from a copy. A value gets out only through [`put`], which asks the agreement
//! first; an operation that a field does not know is an error, and denies. One walk over the lead gives
//! both the tree that is sent and the digests that tell whether there is anything to send. Paths and
//! order of the tree are those of the record `lead`; keys are in alphabetical order.

mod change;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::fields::{Fields, Op};
use super::url::{Scrub, scrub};
use crate::dossier::Lead;
use crate::enrich::NexusKind;
use crate::score::{Factor, Verdict};
use crate::sighting::time::{DAY, HOUR};
use crate::sighting::{IndicatorType, Marking, Protocol, Timestamp};

pub use change::{Digests, digests};

/// A lead as its recipient sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Redacted {
    /// The tree.
    pub fields: Value,
    /// The indicator's value, if it is shown in another form, and must show nowhere else.
    pub hidden: Option<String>,
}

/// An operation on a field that has none such, or on a value that it does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} can't be done to {path}", op.as_str())]
pub struct UnknownOp {
    /// The field.
    pub path: &'static str,
    /// The operation.
    pub op: Op,
}

/// Builds the tree. `marking` is the strictest of what was used, and `sources` are the names of the
/// enrichers that this audience may know of: every other name is hidden.
///
/// # Errors
/// When an operation does not fit its field. Then nothing may go out.
pub fn redact(
    lead: &Lead,
    marking: Marking,
    sources: &BTreeSet<&str>,
    fields: &Fields,
) -> Result<Redacted, UnknownOp> {
    let mut out = Tree { fields, tree: Map::new() };
    let hidden = walk(&mut out, lead, marking, sources)?;
    // What decay moves is not walked: no change of it alone is told.
    put(&mut out, "score.risk", |op| number(op, lead.score.risk))?;
    put(&mut out, "score.confidence", |op| number(op, lead.score.confidence))?;
    put(&mut out, "score.verdict", |op| keep(op, verdict_name(lead.score.verdict)))?;
    put(&mut out, "score.conflict", |op| keep(op, Shown::Truth(lead.score.conflict)))?;
    if fields.op("score.factors").is_some() {
        let factors = factors(lead, sources, fields)?;
        put(&mut out, "score.factors", |op| keep(op, Shown::Tree(factors)))?;
    }
    put(&mut out, "now", |op| time(op, lead.now))?;
    Ok(Redacted { fields: Value::Object(out.tree), hidden })
}

/// Shows all of a lead that time alone does not change. Returns the indicator's value if it is shown in
/// another form.
fn walk<O: Out>(
    out: &mut O,
    lead: &Lead,
    marking: Marking,
    sources: &BTreeSet<&str>,
) -> Result<Option<String>, UnknownOp> {
    put(out, "indicator.type", |op| keep(op, lead.indicator.kind.as_str()))?;
    let hidden = indicator(out, lead)?;
    put(out, "role", |op| keep(op, lead.role.as_str()))?;
    lists(out, lead)?;
    if let Some(gov) = &lead.gov {
        put(out, "gov.suffix", |op| keep(op, gov.suffix.as_str()))?;
        put(out, "gov.country", |op| keep(op, gov.country.as_str()))?;
        put(out, "gov.class", |op| keep(op, gov.class.as_str()))?;
    }
    put(out, "time.first_seen", |op| time(op, lead.time.first_seen))?;
    put(out, "time.last_seen", |op| time(op, lead.time.last_seen))?;
    put(out, "time.first_reported", |op| time(op, lead.time.first_reported))?;
    put(out, "sightings", |op| keep(op, lead.sightings))?;
    put(out, "reporters", |op| keep(op, lead.reporters))?;
    put(out, "tlp", |op| keep(op, marking.tlp.as_str()))?;
    put(out, "pap", |op| keep(op, marking.pap.as_str()))?;
    put(out, "built", |op| {
        let builds = lead.built.sources.iter().filter(|(name, _)| sources.contains(name.as_str()));
        let sources = builds.map(|(name, build)| (name.as_str(), build.as_str())).collect();
        keep(op, Shown::Built { model: &lead.built.model, sources })
    })?;
    Ok(hidden)
}

/// The bytes of a tree: JSON without spaces, keys in alphabetical order.
pub fn bytes(fields: &Value) -> Vec<u8> {
    serde_json::to_vec(fields).expect("a tree of texts and numbers is JSON")
}

/// A value as it is shown.
enum Shown<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Truth(bool),
    Time(Timestamp),
    Built { model: &'a str, sources: Vec<(&'a str, &'a str)> },
    Tree(Value),
}

impl<'a> From<&'a str> for Shown<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Shown<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl Shown<'_> {
    fn into_value(self) -> Value {
        match self {
            Self::Text(text) => text.into_owned().into(),
            Self::Number(number) => number.into(),
            Self::Truth(truth) => truth.into(),
            Self::Time(time) => time.to_string().into(),
            Self::Built { model, sources } => {
                let sources: Map<String, Value> =
                    sources.into_iter().map(|(name, build)| (name.to_owned(), build.into())).collect();
                json!({ "model": model, "sources": sources })
            }
            Self::Tree(value) => value,
        }
    }
}

/// Where a walk over a lead leaves what it shows.
trait Out: Sized {
    /// The agreement's fields.
    fn fields(&self) -> &Fields;

    /// Takes the value of a field. Only [`put`] may call it.
    fn set(&mut self, path: &'static str, value: Shown<'_>);

    /// Takes what stands beside the fields, at the top.
    fn beside(&mut self, name: &'static str, value: Shown<'_>);

    /// An empty row of a list.
    fn row(&self) -> Self;

    /// Takes a list. Rows that redaction made equal are one, so that their number does not tell what
    /// was taken out; rows without anything are none.
    fn list(&mut self, group: &'static str, rows: Vec<Self>);
}

/// The only way out: what `make` gives for the agreement's operation on `path`.
fn put<'a, O: Out>(
    out: &mut O,
    path: &'static str,
    make: impl FnOnce(Op) -> Option<Shown<'a>>,
) -> Result<(), UnknownOp> {
    let Some(op) = out.fields().op(path) else { return Ok(()) };
    let value = make(op).ok_or(UnknownOp { path, op })?;
    out.set(path, value);
    Ok(())
}

/// A list of rows below `group`.
fn rows<O: Out, T>(
    out: &mut O,
    group: &'static str,
    items: &[T],
    fill: impl Fn(&mut O, &T) -> Result<(), UnknownOp>,
) -> Result<(), UnknownOp> {
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        let mut row = out.row();
        fill(&mut row, item)?;
        list.push(row);
    }
    out.list(group, list);
    Ok(())
}

/// How many more there are beside a list, where the field that they would show is shared.
fn more<O: Out>(out: &mut O, name: &'static str, counted: &'static str, more: u64) {
    if more > 0 && out.fields().op(counted).is_some() {
        out.beside(name, Shown::Number(more));
    }
}

/// The tree that is sent.
struct Tree<'f> {
    fields: &'f Fields,
    tree: Map<String, Value>,
}

impl Out for Tree<'_> {
    fn fields(&self) -> &Fields {
        self.fields
    }

    fn set(&mut self, path: &'static str, value: Shown<'_>) {
        let value = value.into_value();
        match path.split_once('.') {
            None => {
                self.tree.insert(path.to_owned(), value);
            }
            Some((group, name)) => {
                let group = self.tree.entry(group).or_insert_with(|| Value::Object(Map::new()));
                if let Some(group) = group.as_object_mut() {
                    group.insert(name.to_owned(), value);
                }
            }
        }
    }

    fn beside(&mut self, name: &'static str, value: Shown<'_>) {
        self.tree.insert(name.to_owned(), value.into_value());
    }

    fn row(&self) -> Self {
        Self { fields: self.fields, tree: Map::new() }
    }

    fn list(&mut self, group: &'static str, rows: Vec<Self>) {
        let mut list: Vec<Value> = Vec::with_capacity(rows.len());
        for mut row in rows {
            if let Some(row) = row.tree.remove(group)
                && !list.contains(&row)
            {
                list.push(row);
            }
        }
        if !list.is_empty() {
            self.tree.insert(group.to_owned(), Value::Array(list));
        }
    }
}

/// The indicator's value; for a URL in the form that `url.full` says.
fn indicator<O: Out>(out: &mut O, lead: &Lead) -> Result<Option<String>, UnknownOp> {
    let value = &lead.indicator.value;
    let mut hidden = None;
    if lead.indicator.kind == IndicatorType::Url {
        // Without `url.full`, nothing of a URL is shared.
        let Some(op) = out.fields().op("url.full") else { return Ok(None) };
        let how = match op {
            Op::Keep => Scrub::Nothing,
            Op::ScrubCredentials => Scrub::Credentials,
            Op::ScrubStrict => Scrub::Strict,
            _ => return Err(UnknownOp { path: "url.full", op }),
        };
        let scrubbed = scrub(value, how).ok_or(UnknownOp { path: "url.full", op })?;
        let is_other = scrubbed != *value;
        if out.fields().op("indicator.value").is_some() {
            hidden = (!scrubbed.contains(value.as_str())).then(|| value.clone());
        }
        let is_shown = out.fields().op("indicator.value").is_some();
        put(out, "indicator.value", |op| keep(op, Shown::Text(scrubbed.into())))?;
        if is_shown && is_other {
            // It no longer matches a log; whoever looks for it must know.
            out.beside("url_scrubbed", Shown::Truth(true));
        }
    } else {
        put(out, "indicator.value", |op| {
            let shown = address(op, value)?;
            // The network of an address that ends in zeros names it, and hides nothing.
            if let Shown::Text(shown) = &shown
                && !shown.contains(value.as_str())
            {
                hidden = Some(value.clone());
            }
            Some(shown)
        })?;
    }
    Ok(hidden)
}

fn lists<O: Out>(out: &mut O, lead: &Lead) -> Result<(), UnknownOp> {
    rows(out, "malware", &lead.malware.items, |row, malware| {
        put(row, "malware.name", |op| keep(op, malware.name.as_str()))?;
        put(row, "malware.reporters", |op| keep(op, malware.reporters))
    })?;
    more(out, "malware_more", "malware.name", lead.malware.more);
    rows(out, "services", &lead.services.items, |row, service| {
        put(row, "services.port", |op| keep(op, u64::from(service.port)))?;
        if let Some(protocol) = service.protocol {
            put(row, "services.protocol", |op| keep(op, protocol_name(protocol)))?;
        }
        put(row, "services.first_seen", |op| time(op, service.first_seen))?;
        put(row, "services.last_seen", |op| time(op, service.last_seen))
    })?;
    more(out, "services_more", "services.port", lead.services.more);
    rows(out, "network", &lead.network, |row, network| {
        put(row, "network.ip", |op| address(op, &network.ip))?;
        if let Some(asn) = network.asn {
            put(row, "network.asn", |op| keep(op, u64::from(asn)))?;
        }
        for (path, text) in [
            ("network.as_name", &network.as_name),
            ("network.country", &network.country),
            ("network.city", &network.city),
        ] {
            if let Some(text) = text {
                put(row, path, |op| keep(op, text.as_str()))?;
            }
        }
        Ok(())
    })?;
    // Who says so stays here: for a victim's country it is a reporter.
    rows(out, "nexus", &lead.nexus, |row, nexus| {
        put(row, "nexus.kind", |op| keep(op, nexus_name(nexus.kind)))?;
        put(row, "nexus.country", |op| keep(op, nexus.country.as_str()))?;
        put(row, "nexus.confidence", |op| keep(op, u64::from(nexus.confidence)))
    })
}

/// The factors as a recipient may see them. A reporter's claim says neither who nor from where, and
/// its words are ours; its time is shown no finer than `time.last_seen` is. Points are in log-odds, as
/// everywhere outside.
fn factors(lead: &Lead, sources: &BTreeSet<&str>, fields: &Fields) -> Result<Value, UnknownOp> {
    let mut list: Vec<(&str, i32, Value)> = Vec::new();
    for factor in &lead.score.factors {
        let mut row = Map::new();
        let (code, text, source) = shown(factor, sources);
        row.insert("code".to_owned(), json!(code));
        row.insert("text".to_owned(), json!(text));
        row.insert("points".to_owned(), json!(f64::from(factor.points) / 100.0));
        row.insert("source".to_owned(), json!(source));
        row.insert("status".to_owned(), json!(factor.status));
        if let Some(observed_at) = factor.observed_at
            && let Some(op) = fields.op("time.last_seen")
        {
            let observed_at = time(op, observed_at).ok_or(UnknownOp { path: "time.last_seen", op })?;
            row.insert("observed_at".to_owned(), observed_at.into_value());
        }
        list.push((code, factor.points, row.into()));
    }
    // Equals stand in the order of their sources' names, which would tell something of those.
    for equals in list.chunk_by_mut(|a, b| (a.0, a.1) == (b.0, b.1)) {
        equals.sort_by_cached_key(|(_, _, row)| row.to_string());
    }
    Ok(list.into_iter().map(|(_, _, row)| row).collect())
}

/// Code, text and source of a factor. What is neither the model's nor of an enricher that this
/// audience may know of is a reporter's, and says nothing of its own.
fn shown<'a>(factor: &'a Factor, sources: &BTreeSet<&str>) -> (&'a str, &'a str, &'a str) {
    match factor.code.as_str() {
        // Whose origin counts no further is not said.
        "prior" | CAP => (&factor.code, &factor.text, "model"),
        code if code != "claim" && sources.contains(factor.source.as_str()) => {
            (code, &factor.text, &factor.source)
        }
        _ => ("claim", "a reporter saw it in this role", "reporter"),
    }
}

/// The code of a factor that takes back what one origin counts beyond its cap. Decay makes it come and
/// go.
const CAP: &str = "cap";

fn keep<'a>(op: Op, value: impl Into<Shown<'a>>) -> Option<Shown<'a>> {
    (op == Op::Keep).then(|| value.into())
}

fn time<'a>(op: Op, time: Timestamp) -> Option<Shown<'a>> {
    Some(Shown::Time(match op {
        Op::Keep => time,
        Op::TruncateDay => time.truncate(DAY),
        Op::TruncateHour => time.truncate(HOUR),
        _ => return None,
    }))
}

/// The network of an address as text; none for what is not an address.
fn address(op: Op, text: &str) -> Option<Shown<'_>> {
    match op {
        Op::Keep => Some(text.into()),
        Op::TruncateNet => {
            let address: IpAddr = text.parse().ok()?;
            let length = if address.is_ipv4() { 24 } else { 48 };
            let network = ipnet::IpNet::new(address, length).ok()?.trunc();
            Some(Shown::Text(network.to_string().into()))
        }
        _ => None,
    }
}

/// A number from 0 to 100, or the band that it is in.
fn number<'a>(op: Op, number: u8) -> Option<Shown<'a>> {
    match op {
        Op::Keep => Some(Shown::Number(number.into())),
        Op::Band => Some(
            match number {
                0..25 => "0-24",
                25..50 => "25-49",
                50..75 => "50-74",
                75..90 => "75-89",
                _ => "90-100",
            }
            .into(),
        ),
        _ => None,
    }
}

/// The name of a verdict in records.
pub fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Malicious => "malicious",
        Verdict::Suspicious => "suspicious",
        Verdict::Unscored => "unscored",
        Verdict::Benign => "benign",
        Verdict::Suppressed => "suppressed",
    }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn nexus_name(kind: NexusKind) -> &'static str {
    match kind {
        NexusKind::Hosting => "hosting",
        NexusKind::Tld => "tld",
        NexusKind::Gov => "gov",
        NexusKind::Victim => "victim",
    }
}

#[cfg(test)]
mod tests;
