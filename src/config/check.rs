//! What the pipeline file says taken alone: names, references, ranges. Every problem at its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::file::{EXPIRE_DEFAULT, Pipeline, Reporter};
use super::topics::{DEAD_LETTER_HEADERS, Topics};
use super::{Expire, properties, rooms};
use crate::diag::{Finding, Findings, Place, Source, Spanned, closest};
use crate::dossier::caps;
use crate::share::agreement::AudienceKind;
use crate::sighting::time::{DAY, HOUR, SECOND};
use crate::sighting::{Indicator, Length, Role, Terms};

/// Checks all that needs no other file.
pub(super) fn check(file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) {
    properties::check(&file.kafka, source, findings);
    sizes(file, source, findings);
    lengths(file, source, findings);
    counts(file, source, findings);
    reporters(file, source, findings);
    intakes(file, source, findings);
    share(file, source, findings);
}

/// The dead letter of the largest raw record must fit into its topic.
fn sizes(file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) {
    let Some(limit) = &file.kafka.max_message_bytes else { return };
    let needed = largest_written(file);
    if limit.value < needed {
        let largest = &file.kafka.largest_record;
        findings.push(
            Finding::error(
                "message-too-large",
                format!("the dead letter of a record of {} bytes takes up to {needed}", largest.value),
            )
            .at(largest.place(source).or_else(|| limit.place(source)))
            .also(limit.place(source), "more than this")
            .help(format!(
                "set `largest_record` to at most {}, and the raw topics too",
                limit.value - DEAD_LETTER_HEADERS
            )),
        );
    }
}

/// Bytes of the largest record that we write.
pub(super) fn largest_written(file: &Pipeline) -> u32 {
    // What is not a dead letter is bounded by the caps of a dossier, far below Kafka's usual limit.
    (file.kafka.largest_record.value + DEAD_LETTER_HEADERS).max(super::topics::USUAL_MESSAGE_BYTES)
}

fn lengths(file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) {
    let mut check = |length: &Spanned<Length>, name: &str, least: i64, most: i64, range: &str| {
        if !(least..=most).contains(&length.value.0) {
            findings.push(
                Finding::error("length-range", format!("`{name}` is out of range"))
                    .at(length.place(source))
                    .help(format!("from {range}")),
            );
        }
    };
    check(&file.kafka.commit.every, "commit.every", 10, 10 * SECOND, "10ms to 10s");
    check(&file.kafka.transaction_timeout, "transaction_timeout", SECOND, HOUR / 4, "1s to 15m");
    for intake in &file.intake {
        check(&intake.brake.window, "brake.window", SECOND, HOUR, "1s to 1h");
    }
    for (name, length) in &file.dossier.expire {
        check(length, &format!("expire.{name}"), DAY, 3650 * DAY, "1d to 3650d");
    }
    check(&file.share.minor_updates, "minor_updates", 0, 7 * DAY, "0s to 7d");
}

/// What a dossier has room for, so that its size is bounded.
fn counts(file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) {
    let mut count = |code, what: &str, n: usize, most: usize, first: Option<Place>| {
        if n > most {
            findings.push(
                Finding::error(code, format!("{n} {what} are more than a dossier keeps apart"))
                    .at(first)
                    .help(format!("at most {most}: run a second pipeline for the others")),
            );
        }
    };
    let place = |spanned: Option<&Spanned<String>>| spanned.and_then(|spanned| spanned.place(source));
    let reporter = place(file.reporter.get(caps::REPORTERS).map(|reporter| &reporter.name));
    count("too-many-reporters", "reporters", file.reporter.len(), caps::REPORTERS, reporter);
    let enricher = file.enrich.get(caps::SOURCES).and_then(|enricher| enricher.place(source));
    count("too-many-sources", "sources of evidence", file.enrich.len(), caps::SOURCES, enricher);
    let agreement = place(file.share.agreements.get(caps::AGREEMENTS));
    count("too-many-agreements", "agreements", file.share.agreements.len(), caps::AGREEMENTS, agreement);
    for intake in file.intake.iter().filter(|intake| intake.topic.value.len() > caps::TOPIC) {
        findings.push(
            Finding::error("topic-name", format!("a raw topic's name has more than {} bytes", caps::TOPIC))
                .at(intake.topic.place(source))
                .help("leads refer to raw records by topic: give it a shorter name"),
        );
    }
}

fn reporters(file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) {
    let mut seen: BTreeMap<&str, &Reporter> = BTreeMap::new();
    for reporter in &file.reporter {
        match seen.get(reporter.name.value.as_str()) {
            Some(first) => findings.push(
                Finding::error("reporter-twice", format!("two reporters are `{}`", reporter.name.value))
                    .at(reporter.name.place(source))
                    .also(first.name.place(source), "the first"),
            ),
            None => {
                seen.insert(&reporter.name.value, reporter);
            }
        }
    }
    let carried: BTreeSet<&str> =
        file.intake.iter().flat_map(|intake| &intake.reporters).map(|name| name.value.as_str()).collect();
    for reporter in seen.values().filter(|reporter| !carried.contains(reporter.name.value.as_str())) {
        let name = &reporter.name.value;
        findings.push(
            Finding::warning("unused-reporter", format!("no topic carries the reporter `{name}`"))
                .at(reporter.name.place(source))
                .help("name it in the `reporters` of an intake, or take it out"),
        );
    }
}

fn intakes(file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) {
    let known: Vec<&str> = file.reporter.iter().map(|reporter| reporter.name.value.as_str()).collect();
    for intake in &file.intake {
        let mut seen: BTreeMap<&str, &Spanned<String>> = BTreeMap::new();
        for name in &intake.reporters {
            let text = name.value.as_str();
            if !known.contains(&text) {
                let help = match closest(text, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "declare it with [[reporter]]".to_owned(),
                };
                findings.push(
                    Finding::error("unknown-reporter", format!("no reporter is called `{text}`"))
                        .at(name.place(source))
                        .help(help),
                );
            }
            if let Some(first) = seen.insert(text, name) {
                findings.push(
                    Finding::error("reporter-twice", format!("the topic names `{text}` twice"))
                        .at(name.place(source))
                        .also(first.place(source), "the first"),
                );
            }
        }
    }
}

fn share(file: &Pipeline, source: &Arc<Source>, findings: &mut Findings) {
    let mut seen: BTreeMap<&str, Option<Place>> = BTreeMap::new();
    for path in &file.share.agreements {
        if let Some(first) = seen.insert(&path.value, path.place(source)) {
            findings.push(
                Finding::error("agreement-twice", format!("`{}` is listed twice", path.value))
                    .at(path.place(source))
                    .also(first, "the first"),
            );
        }
    }
    if let (Some(first), None) = (file.share.agreements.first(), &file.share.key) {
        findings.push(
            Finding::error("key-missing", "disclosures need a key, which `share` does not name")
                .at(first.place(source))
                .help("write key = \"file:PATH\" with 32 random bytes in hex in that file"),
        );
    }
    for entry in &file.share.embargo {
        if embargoed(entry).is_none() {
            findings.push(
                Finding::error("bad-embargo", format!("`{}` is no indicator", entry.value))
                    .at(entry.place(source))
                    .help("write type and canonical value: domain:www.example, ipv4:198.51.100.7"),
            );
        }
    }
}

/// The indicator of an entry of `share.embargo`.
pub(super) fn embargoed(entry: &Spanned<String>) -> Option<Indicator> {
    let indicator = Indicator::from_key(&entry.value)?;
    let is_plain = indicator.value.chars().all(|c| !c.is_whitespace()) && !indicator.value.is_empty();
    is_plain.then_some(indicator)
}

/// Whether terms name audiences that there are. `orgs` are those of reporters and recipients; `place` is
/// that of the table with the terms in it.
pub(super) fn terms(terms: &Terms, place: Option<&Place>, orgs: &BTreeSet<&str>, findings: &mut Findings) {
    let kinds = rooms::AUDIENCES.map(AudienceKind::as_str);
    for name in terms.release_to.iter().chain(&terms.never_to) {
        let here = || place.map(|place| place_of_text(place, name));
        if name == "*" || kinds.contains(&name.as_str()) || orgs.contains(name.as_str()) {
            continue;
        }
        if name.strip_prefix("org:").is_some_and(|rest| !rest.is_empty()) {
            let help = match closest(name, orgs.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "no reporter and no agreement is of that organisation".to_owned(),
            };
            findings.push(
                Finding::warning("unknown-org", format!("nothing else names `{name}`")).at(here()).help(help),
            );
        } else {
            let help = match closest(name, kinds.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("an organisation `org:...`, `*`, or one of {}", kinds.join(", ")),
            };
            findings.push(
                Finding::error("unknown-audience", format!("`{name}` is no audience")).at(here()).help(help),
            );
        }
    }
    if !terms.release_to.is_empty() && terms.purposes.is_empty() {
        findings.push(
            Finding::warning("no-purpose", "released to somebody, but for no purpose, so to nobody")
                .at(place.cloned())
                .help("name the `purposes` that it may be used for"),
        );
    }
}

/// Where a text stands in a table: terms carry no places of their own, as they are no setting of this
/// room. The table itself, if the text is written in some other way than in plain quotes.
fn place_of_text(table: &Place, text: &str) -> Place {
    let source = &table.source.text;
    let start = table.span.start;
    // The span of `[table]` is its header, and what is in it goes on to the next one.
    let end = if source[start..].starts_with('[') {
        source[start..].find("\n[").map_or(source.len(), |at| start + at)
    } else {
        table.span.end
    };
    let quoted = format!("\"{text}\"");
    match source[start..end].find(&quoted) {
        Some(at) => {
            let span = start + at..start + at + quoted.len();
            Place { source: table.source.clone(), span }
        }
        None => table.clone(),
    }
}

/// Whether every topic has a name that Kafka takes, and keeps apart from the others. `audiences` are
/// checked against each other in their own room.
pub(super) fn topic_names(
    file: &Pipeline,
    topics: &Topics,
    audiences: &[(&str, Option<Place>)],
    source: &Arc<Source>,
    findings: &mut Findings,
) {
    let prefix = file.kafka.prefix.topics.place(source);
    let ours = topics.all().map(|topic| (topic.as_ref(), prefix.clone(), "ours"));
    let raw = file
        .intake
        .iter()
        .map(|intake| (intake.topic.value.as_str(), intake.topic.place(source), "read by an intake"));
    let audiences = audiences.iter().map(|(topic, place)| (*topic, place.clone(), "an audience's"));
    let mut has_bad_prefix = false;
    // Kafka uses names in metrics, where a dot becomes an underscore, and so refuses a second topic
    // that differs in no more than that.
    let mut seen: BTreeMap<String, (&str, Option<Place>, &str)> = BTreeMap::new();
    for (name, place, whose) in ours.chain(raw).chain(audiences) {
        if let Some(fault) = name_fault(name) {
            // A prefix spoils all names at once; one finding says it.
            if whose != "ours" || !std::mem::replace(&mut has_bad_prefix, true) {
                findings.push(
                    Finding::error("topic-name", format!("`{name}` is no name for a topic: {fault}"))
                        .at(place.clone()),
                );
            }
        }
        let key = name.replace('.', "_");
        let Some((first, first_place, first_whose)) = seen.get(&key) else {
            seen.insert(key, (name, place, whose));
            continue;
        };
        if whose == "an audience's" && *first_whose == whose {
            continue;
        }
        let text = if *first == name {
            format!("the topic `{name}` is already {first_whose}")
        } else {
            format!("Kafka does not keep `{name}` and `{first}` apart")
        };
        findings.push(
            Finding::error("topic-twice", text)
                .at(place)
                .also(first_place.clone(), *first_whose)
                .help("give it another name"),
        );
    }
}

fn name_fault(name: &str) -> Option<&'static str> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == "." || name == ".." {
        Some("it is empty or only dots")
    } else if name.len() > 249 {
        Some("it is longer than 249 characters")
    } else if !name.chars().all(is_legal) {
        Some("only letters, digits, dot, underscore and hyphen are allowed")
    } else {
        None
    }
}

/// When a dossier is forgotten.
pub(super) fn expire(file: &Pipeline) -> Expire {
    let of = |name: &str| file.dossier.expire.get(name).map(|length| length.value.0);
    Expire {
        default: of(EXPIRE_DEFAULT).unwrap_or(180 * DAY),
        by_role: Role::ALL.into_iter().filter_map(|role| Some((role, of(role.as_str())?))).collect(),
    }
}
