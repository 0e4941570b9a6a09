//! Which librdkafka properties a pipeline file may set, and which exactly-once rests on.
//!
//! Names that librdkafka does not know are not looked for here: the shell asks librdkafka itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::file::{Kafka, Property};
use crate::diag::{Finding, Findings, Place, Source, Spanned};

/// Properties that nobody may set, with the reason. In alphabetical order.
pub const REFUSED: &[(&str, &str)] = &[
    ("acks", "a transaction needs every replica in sync to have a record (`all`)"),
    ("allow.auto.create.topics", "a topic that Kafka makes by itself has the wrong number of partitions"),
    ("auto.commit.enable", "offsets are committed in the transaction, and nowhere else"),
    ("auto.commit.interval.ms", "offsets are committed in the transaction, and nowhere else"),
    (
        "auto.offset.reset",
        "where a group without offsets starts is part of the fence; it is the earliest record",
    ),
    ("delivery.report.only.error", "a commit waits for the report of every record"),
    ("enable.auto.commit", "offsets are committed in the transaction, and nowhere else"),
    ("enable.auto.offset.store", "offsets are committed in the transaction, and nowhere else"),
    ("enable.idempotence", "transactions rest on it"),
    ("enable.partition.eof", "each client needs its own"),
    ("group.id", "a stage is a group; set `kafka.prefix.groups`"),
    ("group.instance.id", "each lane has its own, the same after a restart"),
    ("group.protocol", "with the protocol of KIP-848 a member that lost its coordinator goes on reading"),
    ("group.remote.assignor", "all members must share partitions out in the same way"),
    ("isolation.level", "records of aborted transactions must not be read"),
    ("max.in.flight", "order without gaps rests on it"),
    ("max.in.flight.requests.per.connection", "order without gaps rests on it"),
    ("message.max.bytes", "it follows from `kafka.largest_record`"),
    ("message.send.max.retries", "a record that is given up aborts its transaction"),
    ("offset.store.method", "offsets are committed in the transaction, and nowhere else"),
    ("partition.assignment.strategy", "all members must share partitions out in the same way"),
    ("partitioner", "keys go where Java's producers put them; anything else gives an indicator two dossiers"),
    ("queuing.strategy", "order rests on it"),
    ("request.required.acks", "a transaction needs every replica in sync to have a record (`all`)"),
    ("retries", "a record that is given up aborts its transaction"),
    ("test.mock.num.brokers", "librdkafka's mock cluster shows records of aborted transactions"),
    ("transaction.timeout.ms", "set `kafka.transaction_timeout`"),
    ("transactional.id", "each lane has its own, the same after a restart; set `kafka.prefix.transactions`"),
];

/// Properties whose value is a secret.
const SECRETS: [&str; 5] = [
    "sasl.oauthbearer.client.secret",
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
];

/// What librdkafka puts into one batch by default, and what every topic of ours takes.
const BATCH_SIZE: i64 = 1_000_000;

/// The text of a pipeline file with stars in place of the secrets that stand in it, byte for byte, so
/// that places hold.
pub(super) fn hide_secrets(text: &str) -> String {
    let names = SECRETS.map(regex::escape).join("|");
    let secret = format!(
        r#"(?x) (?: {names} ) ["']? \s* = \s* (?: "(?<a>(?:[^"\\\n]|\\.)*) | '(?<b>[^'\n]*) ) | (?<c>[0-9a-fA-F]{{64}})"#
    );
    let secret = regex::Regex::new(&secret).expect("the pattern is ours, and a test uses it");
    let mut hidden = text.to_owned();
    for found in secret.captures_iter(text) {
        let value = ["a", "b", "c"].iter().find_map(|name| found.name(name));
        if let Some(value) = value.filter(|value| !value.as_str().starts_with("file:")) {
            hidden.replace_range(value.range(), &"*".repeat(value.len()));
        }
    }
    hidden
}

pub(super) fn check(kafka: &Kafka, source: &Arc<Source>, findings: &mut Findings) {
    let tables = [&kafka.client, &kafka.consumer, &kafka.producer];
    for (name, value) in tables.into_iter().flatten() {
        let place = value.place(source);
        if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            findings.push(
                Finding::error("property-refused", format!("`{name}` is set by sightline"))
                    .at(place)
                    .help(format!("take it out: {reason}")),
            );
        } else if SECRETS.contains(&name.as_str()) && !value.value.0.starts_with("file:") {
            findings.push(
                Finding::warning("secret-in-file", format!("`{name}` stands in the pipeline file"))
                    .at(place)
                    .help("put it into a file of its own and write `file:PATH`"),
            );
        }
    }
    if !["bootstrap.servers", "metadata.broker.list"].iter().any(|name| kafka.client.contains_key(*name)) {
        findings.push(
            Finding::error("no-brokers", "`kafka.client` has no `bootstrap.servers`")
                .at(first_place(&kafka.client, source))
                .help("name at least one broker: \"bootstrap.servers\" = \"localhost:9092\""),
        );
    }
    relations(kafka, source, findings);
}

/// Durations and sizes that must stand in an order, or a lane hangs or loses its transaction.
fn relations(kafka: &Kafka, source: &Arc<Source>, findings: &mut Findings) {
    let consumer = |name: &str| number(&[&kafka.consumer, &kafka.client], name, source);
    let producer = |name: &str| number(&[&kafka.producer, &kafka.client], name, source);
    let transaction = kafka.transaction_timeout.value.0;
    let mut refuse = |(value, place): (i64, Option<Place>), name: &str, help: String| {
        findings.push(
            Finding::error("property-range", format!("`{name}` of {value} is out of range"))
                .at(place)
                .help(help),
        );
    };
    for name in ["message.timeout.ms", "delivery.timeout.ms"] {
        if let Some(found) = producer(name)
            && !(1..transaction).contains(&found.0)
        {
            refuse(
                found,
                name,
                format!("a record must fail before its transaction does: less than {transaction}, not 0"),
            );
        }
    }
    if let Some(found) = consumer("max.poll.interval.ms")
        && found.0 <= transaction
    {
        let help = format!("a commit may take as long as a transaction: more than {transaction}");
        refuse(found, "max.poll.interval.ms", help);
    }
    for name in ["linger.ms", "queue.buffering.max.ms"] {
        let every = kafka.commit.every.value.0;
        if let Some(found) = producer(name)
            && found.0 >= every
        {
            refuse(found, name, format!("records would wait longer than a transaction: less than {every}"));
        }
    }
    if let Some(found) = producer("batch.size")
        && found.0 > BATCH_SIZE
    {
        let help = format!("our topics take batches of 1 MiB with what is around them: at most {BATCH_SIZE}");
        refuse(found, "batch.size", help);
    }
}

/// A property that is a number, from the first table that has it.
fn number(
    tables: &[&BTreeMap<String, Spanned<Property>>],
    name: &str,
    source: &Arc<Source>,
) -> Option<(i64, Option<Place>)> {
    let written = tables.iter().find_map(|table| table.get(name))?;
    // librdkafka itself refuses what is no number, at the same place.
    Some((written.value.0.parse().ok()?, written.place(source)))
}

fn first_place(table: &BTreeMap<String, Spanned<Property>>, source: &Arc<Source>) -> Option<Place> {
    table.values().filter_map(|value| value.place(source)).min_by_key(|place| place.span.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refused_are_sorted_and_named_once() {
        assert!(REFUSED.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[track_caller]
    fn check_hidden(text: &str, expected: &str) {
        let hidden = hide_secrets(text);
        assert_eq!(hidden, expected);
        assert_eq!(hidden.len(), text.len());
    }

    #[test]
    fn secrets_are_hidden_byte_for_byte() {
        check_hidden(r#""sasl.password" = "gehe\"im ü", x = 1"#, r#""sasl.password" = "***********", x = 1"#);
        check_hidden("'sasl.password'='s' # s", "'sasl.password'='*' # s");
        check_hidden(r#""sasl.password" = "file:secret""#, r#""sasl.password" = "file:secret""#);
        check_hidden("\"ssl.key.password\" = \"open", "\"ssl.key.password\" = \"****");
        check_hidden(&format!("key = \"{}\"", "0a".repeat(32)), &format!("key = \"{}\"", "*".repeat(64)));
        check_hidden(r#""sasl.username" = "me""#, r#""sasl.username" = "me""#);
    }
}
