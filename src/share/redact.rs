//! What of a lead goes out: a new tree, built from the fields that an agreement names.
//!
//! Nothing is ever deleted from a copy. A value gets into the tree only through [`Tree::put`], which
//! asks the agreement first; an operation that a field does not know is an error, and denies. Paths
//! and order of the tree are those of the record `lead`; keys are in alphabetical order.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::fields::{Fields, Op};
use super::url::{Scrub, scrub};
use crate::dossier::Lead;
use crate::enrich::NexusKind;
use crate::score::{Factor, Verdict};
use crate::sighting::time::{DAY, HOUR};
use crate::sighting::{IndicatorType, Marking, Protocol, Timestamp};

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
    let mut out = Tree::new(fields);
    out.put("indicator.type", |op| keep(op, lead.indicator.kind.as_str()))?;
    let hidden = indicator(&mut out, lead)?;
    out.put("role", |op| keep(op, lead.role.as_str()))?;
    lists(&mut out, lead)?;
    if let Some(gov) = &lead.gov {
        out.put("gov.suffix", |op| keep(op, gov.suffix.as_str()))?;
        out.put("gov.country", |op| keep(op, gov.country.as_str()))?;
        out.put("gov.class", |op| keep(op, gov.class.as_str()))?;
    }
    out.put("time.first_seen", |op| time(op, lead.time.first_seen))?;
    out.put("time.last_seen", |op| time(op, lead.time.last_seen))?;
    out.put("time.first_reported", |op| time(op, lead.time.first_reported))?;
    out.put("sightings", |op| keep(op, lead.sightings))?;
    out.put("reporters", |op| keep(op, lead.reporters))?;
    out.put("score.risk", |op| number(op, lead.score.risk))?;
    out.put("score.confidence", |op| number(op, lead.score.confidence))?;
    out.put("score.verdict", |op| keep(op, verdict_name(lead.score.verdict)))?;
    out.put("score.conflict", |op| keep(op, lead.score.conflict))?;
    if fields.op("score.factors").is_some() {
        let factors = factors(lead, sources, fields)?;
        out.put("score.factors", |op| keep(op, factors))?;
    }
    out.put("tlp", |op| keep(op, marking.tlp.as_str()))?;
    out.put("pap", |op| keep(op, marking.pap.as_str()))?;
    out.put("built", |op| {
        let builds: Map<String, Value> = lead
            .built
            .sources
            .iter()
            .filter(|(name, _)| sources.contains(name.as_str()))
            .map(|(name, build)| (name.clone(), json!(build)))
            .collect();
        keep(op, json!({ "model": lead.built.model, "sources": builds }))
    })?;
    out.put("now", |op| time(op, lead.now))?;
    Ok(Redacted { fields: Value::Object(out.tree), hidden })
}

/// The bytes of a tree: JSON without spaces, keys in alphabetical order.
pub fn bytes(fields: &Value) -> Vec<u8> {
    serde_json::to_vec(fields).expect("a tree of texts and numbers is JSON")
}

/// The tree under construction.
struct Tree<'a> {
    fields: &'a Fields,
    tree: Map<String, Value>,
}

impl<'a> Tree<'a> {
    fn new(fields: &'a Fields) -> Self {
        Self { fields, tree: Map::new() }
    }

    /// The only way into the tree: what `make` gives for the agreement's operation on `path`.
    fn put(&mut self, path: &'static str, make: impl FnOnce(Op) -> Option<Value>) -> Result<(), UnknownOp> {
        let Some(op) = self.fields.op(path) else { return Ok(()) };
        let value = make(op).ok_or(UnknownOp { path, op })?;
        match path.split_once('.') {
            None => self.tree.insert(path.to_owned(), value),
            Some((group, name)) => {
                let group = self.tree.entry(group).or_insert_with(|| Value::Object(Map::new()));
                group.as_object_mut().and_then(|group| group.insert(name.to_owned(), value))
            }
        };
        Ok(())
    }

    /// A list of rows, each a tree of its own below `group`. Rows that redaction made equal are one, so
    /// that their number does not tell what was taken out; rows without anything are none.
    fn rows<T>(
        &mut self,
        group: &'static str,
        items: &[T],
        fill: impl Fn(&mut Tree<'_>, &T) -> Result<(), UnknownOp>,
    ) -> Result<(), UnknownOp> {
        let mut rows: Vec<Value> = Vec::new();
        for item in items {
            let mut row = Tree::new(self.fields);
            fill(&mut row, item)?;
            if let Some(row) = row.tree.remove(group)
                && !rows.contains(&row)
            {
                rows.push(row);
            }
        }
        if !rows.is_empty() {
            self.tree.insert(group.to_owned(), Value::Array(rows));
        }
        Ok(())
    }

    /// How many more there are beside a list, where the field that they would show is shared.
    fn more(&mut self, name: &'static str, counted: &'static str, more: u64) {
        if more > 0 && self.fields.op(counted).is_some() {
            self.tree.insert(name.to_owned(), json!(more));
        }
    }
}

/// The indicator's value; for a URL in the form that `url.full` says.
fn indicator(out: &mut Tree<'_>, lead: &Lead) -> Result<Option<String>, UnknownOp> {
    let value = &lead.indicator.value;
    let mut shown = None;
    if lead.indicator.kind == IndicatorType::Url {
        // Without `url.full`, nothing of a URL is shared.
        let Some(op) = out.fields.op("url.full") else { return Ok(None) };
        let how = match op {
            Op::Keep => Scrub::Nothing,
            Op::ScrubCredentials => Scrub::Credentials,
            Op::ScrubStrict => Scrub::Strict,
            _ => return Err(UnknownOp { path: "url.full", op }),
        };
        let scrubbed = scrub(value, how).ok_or(UnknownOp { path: "url.full", op })?;
        out.put("indicator.value", |op| {
            shown = Some(scrubbed.clone());
            keep(op, scrubbed)
        })?;
        if shown.as_ref().is_some_and(|shown| shown != value) {
            // It no longer matches a log; whoever looks for it must know.
            out.tree.insert("url_scrubbed".to_owned(), Value::Bool(true));
        }
    } else {
        out.put("indicator.value", |op| {
            let value = address(op, value)?;
            shown = value.as_str().map(str::to_owned);
            Some(value)
        })?;
    }
    // The network of an address that ends in zeros names it, and hides nothing.
    Ok(shown.filter(|shown| !shown.contains(value.as_str())).map(|_| value.clone()))
}

fn lists(out: &mut Tree<'_>, lead: &Lead) -> Result<(), UnknownOp> {
    out.rows("malware", &lead.malware.items, |row, malware| {
        row.put("malware.name", |op| keep(op, malware.name.as_str()))?;
        row.put("malware.reporters", |op| keep(op, malware.reporters))
    })?;
    out.more("malware_more", "malware.name", lead.malware.more);
    out.rows("services", &lead.services.items, |row, service| {
        row.put("services.port", |op| keep(op, service.port))?;
        if let Some(protocol) = service.protocol {
            row.put("services.protocol", |op| keep(op, protocol_name(protocol)))?;
        }
        row.put("services.first_seen", |op| time(op, service.first_seen))?;
        row.put("services.last_seen", |op| time(op, service.last_seen))
    })?;
    out.more("services_more", "services.port", lead.services.more);
    out.rows("network", &lead.network, |row, network| {
        row.put("network.ip", |op| address(op, &network.ip))?;
        if let Some(asn) = network.asn {
            row.put("network.asn", |op| keep(op, asn))?;
        }
        for (path, text) in [
            ("network.as_name", &network.as_name),
            ("network.country", &network.country),
            ("network.city", &network.city),
        ] {
            if let Some(text) = text {
                row.put(path, |op| keep(op, text.as_str()))?;
            }
        }
        Ok(())
    })?;
    // Who says so stays here: for a victim's country it is a reporter.
    out.rows("nexus", &lead.nexus, |row, nexus| {
        row.put("nexus.kind", |op| keep(op, nexus_name(nexus.kind)))?;
        row.put("nexus.country", |op| keep(op, nexus.country.as_str()))?;
        row.put("nexus.confidence", |op| keep(op, nexus.confidence))
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
            row.insert("observed_at".to_owned(), observed_at);
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

/// What tells two states of a lead apart for a recipient: digests over what it is shown, first of all
/// of it, then without times, counts of sightings, builds and sentences. What decay alone changes is in
/// neither: numbers of the score, points, the time of computing. Which factors count is in both,
/// wherever any of the score is shared, as it moves the score.
pub fn digests(lead: &Lead, fields: &Fields, redacted: &Value, beside: &Value) -> ([u8; 16], [u8; 16]) {
    let factors = || lead.score.factors.iter().filter(|factor| factor.code != CAP);
    let (mut all, mut kinds) = (Vec::new(), BTreeSet::new());
    if fields.any_of("score") {
        let kind = |f: &Factor| json!([f.code, f.status, f.source, f.origin]);
        all = factors().map(|f| json!([kind(f), f.observed_at, f.text]).to_string()).collect();
        // They are listed by points, which decay reorders.
        all.sort_unstable();
        // More of the same is a count.
        kinds = factors().map(|factor| kind(factor).to_string()).collect();
    }
    let facts = json!([without(redacted, "", &decays), all, beside]);
    let major = json!([without(redacted, "", &|path| decays(path) || moves(path)), kinds, beside]);
    (digest(&facts), digest(&major))
}

fn digest(of: &Value) -> [u8; 16] {
    let whole: [u8; 32] = Sha256::digest(bytes(of)).into();
    *whole.first_chunk().expect("32 bytes begin with sixteen")
}

/// Whether decay alone changes what is at this path.
fn decays(path: &str) -> bool {
    matches!(path, "now" | "score")
}

/// Whether a sighting more, or a new build of a database, changes what is at this path. How many
/// reporters there are is not among these: it makes surer.
fn moves(path: &str) -> bool {
    matches!(
        path,
        "time"
            | "sightings"
            | "malware_more"
            | "services_more"
            | "built.sources"
            | "services.first_seen"
            | "services.last_seen"
    )
}

fn without(value: &Value, path: &str, is_left_out: &dyn Fn(&str) -> bool) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter_map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                (!is_left_out(&path)).then(|| (key.clone(), without(value, &path, is_left_out)))
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(|value| without(value, path, is_left_out)).collect(),
        other => other.clone(),
    }
}

fn keep(op: Op, value: impl Into<Value>) -> Option<Value> {
    (op == Op::Keep).then(|| value.into())
}

fn time(op: Op, time: Timestamp) -> Option<Value> {
    let time = match op {
        Op::Keep => time,
        Op::TruncateDay => time.truncate(DAY),
        Op::TruncateHour => time.truncate(HOUR),
        _ => return None,
    };
    Some(time.to_string().into())
}

/// The network of an address as text; none for what is not an address.
fn address(op: Op, text: &str) -> Option<Value> {
    match op {
        Op::Keep => Some(text.into()),
        Op::TruncateNet => {
            let address: IpAddr = text.parse().ok()?;
            let length = if address.is_ipv4() { 24 } else { 48 };
            Some(ipnet::IpNet::new(address, length).ok()?.trunc().to_string().into())
        }
        _ => None,
    }
}

/// A number from 0 to 100, or the band that it is in.
fn number(op: Op, number: u8) -> Option<Value> {
    match op {
        Op::Keep => Some(number.into()),
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dossier::{Built, Listed, Malware, Service, Times};
    use crate::enrich::{Gov, Network, Nexus, Status};
    use crate::score::Score;
    use crate::share::fields::FIELDS;
    use crate::sighting::{Indicator, Pap, Role, Tlp};

    const MARKING: Marking = Marking { tlp: Tlp::AmberStrict, pap: Pap::Amber };

    /// A lead of which every field has a value that is nowhere else, with the paths it may show at.
    fn marked() -> (Lead, Vec<(&'static str, &'static str)>) {
        let at = |day: i64| Timestamp(1_780_000_000_000 + day * DAY);
        let lead = Lead {
            now: at(0),
            indicator: Indicator { kind: IndicatorType::Ipv4, value: "198.51.100.77".to_owned() },
            role: Role::MalwareDistribution,
            malware: Listed {
                items: vec![Malware { name: "mal-name".to_owned(), reporters: 7001 }],
                more: 7002,
            },
            services: Listed {
                items: vec![Service {
                    port: 7003,
                    protocol: Some(Protocol::Udp),
                    first_seen: at(1),
                    last_seen: at(2),
                }],
                more: 7004,
            },
            network: vec![Network {
                ip: "203.0.113.88".to_owned(),
                asn: Some(7005),
                as_name: Some("as-name".to_owned()),
                country: Some("QA".to_owned()),
                city: Some("city-name".to_owned()),
            }],
            nexus: vec![Nexus {
                kind: NexusKind::Hosting,
                country: "QB".to_owned(),
                confidence: 71,
                source: "SECRET-nexus-source".to_owned(),
            }],
            gov: Some(Gov {
                suffix: "gov.qc".to_owned(),
                country: "QC".to_owned(),
                class: "police".to_owned(),
            }),
            time: Times { first_seen: at(3), last_seen: at(4), first_reported: at(5) },
            sightings: 7006,
            reporters: 7007,
            score: Score {
                risk: 72,
                confidence: 73,
                verdict: Verdict::Suspicious,
                conflict: true,
                log_odds: 74_747,
                factors: vec![
                    factor("claim", "SECRET-reporter"),
                    factor("listed", "known"),
                    factor("odd-code", "SECRET-source"),
                ],
            },
            tlp: Tlp::Clear,
            pap: Pap::Clear,
            built: Built {
                model: "model-name".to_owned(),
                sources: ["known", "SECRET-build"]
                    .map(|name| (name.to_owned(), format!("build-of-{name}")))
                    .into(),
            },
            raw: Listed { items: Vec::new(), more: 7008 },
        };
        let canaries = vec![
            ("indicator.type", "\"ipv4\""),
            ("indicator.value", "198.51.100.77"),
            ("role", "malware-distribution"),
            ("malware.name", "mal-name"),
            ("malware.name", "7002"),
            ("malware.reporters", "7001"),
            ("services.port", "7003"),
            ("services.port", "7004"),
            ("services.protocol", "udp"),
            ("services.first_seen", "2026-05-29T"),
            ("services.last_seen", "2026-05-30T"),
            ("network.ip", "203.0.113.88"),
            ("network.asn", "7005"),
            ("network.as_name", "as-name"),
            ("network.country", "\"QA\""),
            ("network.city", "city-name"),
            ("nexus.kind", "hosting"),
            ("nexus.country", "\"QB\""),
            ("nexus.confidence", ":71"),
            ("gov.suffix", "gov.qc"),
            ("gov.country", "\"QC\""),
            ("gov.class", "police"),
            ("time.first_seen", "2026-05-31T"),
            ("time.last_seen", "2026-06-01T"),
            ("time.first_reported", "2026-06-02T"),
            ("sightings", "7006"),
            ("reporters", "7007"),
            ("score.risk", ":72"),
            ("score.confidence", ":73"),
            ("score.verdict", "\"suspicious\""),
            ("score.conflict", "\"conflict\""),
            ("score.factors", "\"factors\""),
            ("tlp", "AMBER+STRICT"),
            ("pap", "\"AMBER\""),
            ("built", "model-name"),
            ("built", "build-of-known"),
            ("now", "2026-05-28T"),
            ("", "SECRET"),
            ("", "7008"),
            ("", "74747"),
            ("", "odd-code"),
            ("", "CLEAR"),
        ];
        (lead, canaries)
    }

    fn factor(code: &str, source: &str) -> Factor {
        Factor {
            code: code.to_owned(),
            text: format!("{source} says {code}"),
            points: 10,
            source: source.to_owned(),
            origin: "SECRET-origin".to_owned(),
            status: Status::Hit,
            observed_at: Some(Timestamp(1_780_000_000_000 + 9 * DAY)),
        }
    }

    fn text(lead: &Lead, fields: &Fields) -> String {
        let redacted = redact(lead, MARKING, &["known"].into(), fields).unwrap();
        String::from_utf8(bytes(&redacted.fields)).unwrap()
    }

    fn only(paths: &[&str], op: Op) -> Fields {
        let mut fields = Fields::default();
        for field in FIELDS.iter().filter(|field| paths.contains(&field.path)) {
            fields.allow(field, op);
        }
        fields
    }

    /// I4, field by field: each alone shows its own values, and nothing of any other.
    #[test]
    fn each_field_shows_itself_and_nothing_else() {
        let (lead, canaries) = marked();
        for field in FIELDS.iter().filter(|field| field.ops.contains(&Op::Keep)) {
            let text = text(&lead, &only(&[field.path], Op::Keep));
            for (path, canary) in &canaries {
                let is_member = field.path == "services" && path.starts_with("services.");
                assert_eq!(
                    text.contains(canary),
                    *path == field.path || is_member,
                    "{canary} with {}: {text}",
                    field.path
                );
            }
        }
    }

    #[test]
    fn no_field_shows_nothing() {
        assert_eq!(text(&marked().0, &Fields::default()), "{}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// I4 for any choice of fields.
        #[test]
        fn any_choice_shows_what_was_chosen(choice in prop::collection::vec(any::<bool>(), FIELDS.len())) {
            let (lead, canaries) = marked();
            let mut fields = Fields::default();
            for (field, _) in FIELDS.iter().zip(choice).filter(|(field, chosen)| *chosen && !field.ops.is_empty()) {
                fields.allow(field, Op::Keep);
            }
            let text = text(&lead, &fields);
            // `observed_at` of a factor follows `time.last_seen`, on another day than any canary.
            for (path, canary) in canaries {
                prop_assert_eq!(text.contains(canary), fields.op(path).is_some(), "{} in {}", canary, text);
            }
        }
    }

    #[test]
    fn operations() {
        #[track_caller]
        fn check(path: &'static str, op: Op, want: &str) {
            assert_eq!(text(&marked().0, &only(&[path], op)), want);
        }
        check("time.last_seen", Op::Keep, r#"{"time":{"last_seen":"2026-06-01T20:26:40Z"}}"#);
        check("time.last_seen", Op::TruncateHour, r#"{"time":{"last_seen":"2026-06-01T20:00:00Z"}}"#);
        check("time.last_seen", Op::TruncateDay, r#"{"time":{"last_seen":"2026-06-01T00:00:00Z"}}"#);
        check("indicator.value", Op::TruncateNet, r#"{"indicator":{"value":"198.51.100.0/24"}}"#);
        check("network.ip", Op::TruncateNet, r#"{"network":[{"ip":"203.0.113.0/24"}]}"#);
        check("score.risk", Op::Band, r#"{"score":{"risk":"50-74"}}"#);
    }

    #[test]
    fn an_ipv6_address_is_in_a_48() {
        assert_eq!(address(Op::TruncateNet, "2001:db8:1:2::3").unwrap(), "2001:db8:1::/48");
    }

    #[test]
    fn bands_leave_no_number_out() {
        let bands: Vec<Value> = (0..=100).filter_map(|n| number(Op::Band, n)).collect();
        assert_eq!(bands.len(), 101);
        assert_eq!(
            (&bands[24], &bands[25], &bands[89], &bands[90]),
            (&json!("0-24"), &json!("25-49"), &json!("75-89"), &json!("90-100"))
        );
    }

    #[test]
    fn an_operation_that_does_not_fit_denies() {
        let (lead, _) = marked();
        for field in FIELDS.iter().filter(|field| !field.ops.is_empty() && !field.path.starts_with("url")) {
            for op in Op::ALL.into_iter().filter(|op| !field.ops.contains(op)) {
                let result = redact(&lead, MARKING, &BTreeSet::new(), &only(&[field.path], op));
                assert!(result.is_err(), "{} did {}", field.path, op.as_str());
            }
        }
        let mut domain = lead;
        domain.indicator = Indicator { kind: IndicatorType::Domain, value: "a.example".to_owned() };
        let fields = only(&["indicator.value"], Op::TruncateNet);
        assert!(redact(&domain, MARKING, &BTreeSet::new(), &fields).is_err());
    }

    #[test]
    fn a_url_needs_both_fields_and_hides_its_whole_form() {
        let (mut lead, _) = marked();
        let whole = "http://a.example/x?pwd=geheim";
        lead.indicator = Indicator { kind: IndicatorType::Url, value: whole.to_owned() };
        let with = |ops: &[(&str, Op)]| {
            let mut fields = Fields::default();
            for (path, op) in ops {
                fields.allow(FIELDS.iter().find(|field| field.path == *path).unwrap(), *op);
            }
            redact(&lead, MARKING, &BTreeSet::new(), &fields).unwrap()
        };
        assert_eq!(with(&[("indicator.value", Op::Keep)]).fields, json!({}));
        assert_eq!(with(&[("url.full", Op::Keep)]).fields, json!({}));
        let kept = with(&[("indicator.value", Op::Keep), ("url.full", Op::Keep)]);
        assert_eq!(kept.fields, json!({ "indicator": { "value": whole } }));
        assert_eq!(kept.hidden, None);
        let strict = with(&[("indicator.value", Op::Keep), ("url.full", Op::ScrubStrict)]);
        assert_eq!(
            strict.fields,
            json!({ "indicator": { "value": "http://a.example/x" }, "url_scrubbed": true })
        );
        assert_eq!(strict.hidden.as_deref(), Some(whole));
    }

    #[test]
    fn factors_say_what_is_known_of_them_and_no_name() {
        let (mut lead, _) = marked();
        lead.score.factors = vec![
            Factor { points: -250, observed_at: None, ..factor("prior", "SECRET-model") },
            factor("claim", "SECRET-b"),
            factor("claim", "SECRET-a"),
            factor("listed", "known"),
            Factor {
                points: -5,
                observed_at: None,
                text: "counts no further".to_owned(),
                ..factor("cap", "m")
            },
        ];
        lead.score.factors[1].observed_at = Some(Timestamp(1_780_000_000_000));
        let redacted =
            redact(&lead, MARKING, &["known"].into(), &only(&["score.factors"], Op::Keep)).unwrap();
        let rows = redacted.fields["score"]["factors"].as_array().unwrap().clone();
        let shown: Vec<String> =
            rows.iter().map(|row| format!("{} {} {}", row["code"], row["points"], row["source"])).collect();
        let want = [
            r#""prior" -2.5 "model""#,
            r#""claim" 0.1 "reporter""#,
            r#""claim" 0.1 "reporter""#,
            r#""listed" 0.1 "known""#,
            r#""cap" -0.05 "model""#,
        ];
        assert_eq!(shown, want);
        // Equal claims can't be told apart, whatever order they came in.
        lead.score.factors.swap(1, 2);
        let again = redact(&lead, MARKING, &["known"].into(), &only(&["score.factors"], Op::Keep)).unwrap();
        assert_eq!(again, redacted);
        // Times of claims are as coarse as the lead's.
        let mut fields = only(&["score.factors"], Op::Keep);
        fields.allow(FIELDS.iter().find(|field| field.path == "time.last_seen").unwrap(), Op::TruncateDay);
        let coarse = redact(&lead, MARKING, &["known"].into(), &fields).unwrap();
        assert_eq!(coarse.fields["score"]["factors"][3]["observed_at"], "2026-06-06T00:00:00Z");
    }

    #[test]
    fn a_network_hides_the_address_unless_it_names_it() {
        let (mut lead, _) = marked();
        let fields = only(&["indicator.value"], Op::TruncateNet);
        let hidden = |lead: &Lead| redact(lead, MARKING, &BTreeSet::new(), &fields).unwrap().hidden;
        assert_eq!(hidden(&lead).as_deref(), Some("198.51.100.77"));
        lead.indicator.value = "198.51.100.0".to_owned();
        assert_eq!(hidden(&lead), None);
    }

    #[test]
    fn rows_that_became_equal_are_one() {
        let (mut lead, _) = marked();
        let mut second = lead.network[0].clone();
        second.ip = "203.0.113.99".to_owned();
        lead.network.push(second);
        assert_eq!(text(&lead, &only(&["network.country"], Op::Keep)), r#"{"network":[{"country":"QA"}]}"#);
    }

    #[test]
    fn keys_are_in_order_whatever_was_put_first() {
        assert_eq!(bytes(&json!({ "b": 1, "a": { "d": 2, "c": 3 } })), br#"{"a":{"c":3,"d":2},"b":1}"#);
    }
}
