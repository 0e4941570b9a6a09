//! Intake: what was said. Raw records of any format become sightings, or dead letters.
//!
//! Stateless: it knows no record but the one before it, and looks nothing up. Each record has one
//! outcome, all its sightings or one dead letter, so that a mended record can be sent again.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::enrich::Answers;
use crate::sighting::formats::{Context, Decoder, Reject, ReporterBinding};
use crate::sighting::{Digest, Normaliser, Reason, Sighting, Timestamp};

use super::dead_letter::dead_letter;
use super::{Count, Made, Output, Record, State, Step, Stop, Work};

/// What intake needs to know; checked before it gets here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The raw topics.
    pub topics: BTreeMap<Arc<str>, Topic>,
    /// Makes the indicators.
    pub normaliser: Normaliser,
    /// Where sightings go, keyed by indicator.
    pub sightings: Arc<str>,
    /// Where records go that could not be processed.
    pub dead_letters: Arc<str>,
}

/// A raw topic.
#[derive(Debug, Clone)]
pub struct Topic {
    /// What its records look like.
    pub format: Decoder,
    /// Who supplies them.
    pub reporter: ReporterBinding,
    /// The most sightings that one record may hold.
    pub max_sightings: usize,
}

/// The stage. Clones share their settings, so that a lane may have its own.
#[derive(Debug, Clone)]
pub struct Intake {
    settings: Arc<Settings>,
}

impl Intake {
    /// The stage with these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings: Arc::new(settings) }
    }

    /// What becomes of one record: its sightings, at least one, or why it is a dead letter. This is
    /// the one place where a panic is caught: a record that we fail on must not stop its partition.
    fn outcome(&self, topic: &Topic, record: &Record, now: Timestamp) -> Result<Vec<Output>, Reject> {
        caught(|| self.sightings(topic, record, now))
    }

    fn sightings(&self, topic: &Topic, record: &Record, now: Timestamp) -> Result<Vec<Output>, Reject> {
        let value = record.value.as_deref().unwrap_or_default();
        if value.is_empty() {
            return Err(Reject::new(Reason::Empty, "it has no value"));
        }
        let context = Context {
            normaliser: &self.settings.normaliser,
            reporter: &topic.reporter,
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            sha256: Digest::of(value),
            now,
            max_sightings: topic.max_sightings,
        };
        let sightings = topic.format.sightings(value, &context)?;
        sightings.iter().map(|sighting| self.output(sighting)).collect()
    }

    fn output(&self, sighting: &Sighting<'_>) -> Result<Output, Reject> {
        // Most sightings fit without growing.
        let mut value = Vec::with_capacity(640);
        serde_json::to_writer(&mut value, sighting)
            .map_err(|err| Reject::new(Reason::Internal, format!("it could not be written: {err}")))?;
        Ok(Output {
            topic: self.settings.sightings.clone(),
            partition: None,
            key: Some(sighting.indicator.key().into_bytes()),
            value: Some(value),
            headers: Vec::new(),
        })
    }
}

/// What `work` gives, or that it panicked.
fn caught<T>(work: impl FnOnce() -> Result<T, Reject>) -> Result<T, Reject> {
    // Nothing that `work` may leave half done is used again: it changes only what it returns.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Reject::new(Reason::Internal, format!("the program failed on it: {text}")))
    })
}

impl Step for Intake {
    fn name(&self) -> &'static str {
        "intake"
    }

    fn inputs(&self) -> Vec<Arc<str>> {
        self.settings.topics.keys().cloned().collect()
    }

    fn run(&mut self, work: &Work<'_>, _: &mut dyn State, _: &Answers, now: Timestamp) -> Result<Made, Stop> {
        let topic = self.settings.topics.get(work.topic).ok_or_else(|| Stop {
            code: "intake-topic-unknown",
            text: format!(
                "intake has no settings for the topic {}; start it with the pipeline that does",
                work.topic
            ),
        })?;
        let mut made = Made { outputs: Vec::with_capacity(work.records.len()), counts: Vec::new() };
        let mut n_sightings = 0;
        let mut dead: BTreeMap<&'static str, u64> = BTreeMap::new();
        for record in work.records {
            match self.outcome(topic, record, now) {
                Ok(outputs) => {
                    n_sightings += outputs.len() as u64;
                    made.outputs.extend(outputs);
                }
                Err(Reject { code, text }) => {
                    *dead.entry(code).or_default() += 1;
                    made.outputs.push(dead_letter(
                        &self.settings.dead_letters,
                        self.name(),
                        record,
                        code,
                        &text,
                        now,
                    ));
                }
            }
        }
        let mut count = |what, label: &str, n| {
            if n > 0 {
                made.counts.push(Count { what, label: label.to_owned(), n });
            }
        };
        count("sightings", work.topic, n_sightings);
        for (code, n) in dead {
            count("dead-letters", code, n);
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sighting::normalise;

    const NOW: Timestamp = Timestamp(1_769_860_800_000);

    /// Intake has no state; to touch it is a fault.
    struct NoState;

    impl State for NoState {
        fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
            panic!("intake reads no state")
        }

        fn put(&mut self, _: &[u8], _: Option<Vec<u8>>) {
            panic!("intake writes no state")
        }

        fn scan(&self, _: &[u8], _: usize) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
            panic!("intake reads no state")
        }
    }

    fn intake(reporter: ReporterBinding) -> Intake {
        let settings = normalise::Settings {
            allow: vec!["198.51.100.0/24".parse().unwrap()],
            allow_suffixes: vec!["example".to_owned()],
        };
        let topic = Topic { format: Decoder::Sightline, reporter, max_sightings: 3 };
        Intake::new(Settings {
            topics: BTreeMap::from([("raw.acme".into(), topic)]),
            normaliser: Normaliser::new(&settings),
            sightings: "sightings".into(),
            dead_letters: "dead-letters".into(),
        })
    }

    fn bound() -> ReporterBinding {
        ReporterBinding::Bound("acme".to_owned())
    }

    fn record(value: Option<&str>) -> Record {
        Record {
            topic: "raw.acme".into(),
            partition: 3,
            offset: 700,
            key: Some(b"their key".to_vec()),
            value: value.map(|value| value.as_bytes().to_vec()),
            headers: vec![("trace".to_owned(), b"1".to_vec())],
        }
    }

    fn run(intake: &mut Intake, records: &[Record]) -> Made {
        let work = Work { topic: "raw.acme", partition: 3, partitions: 12, records, due: &[], sweep: 0 };
        intake.run(&work, &mut NoState, &Answers::new(), NOW).unwrap()
    }

    fn header<'o>(output: &'o Output, name: &str) -> Option<&'o str> {
        let (_, value) = output.headers.iter().find(|(own, _)| own == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The code of the one dead letter that a record becomes.
    #[track_caller]
    fn check_dead(reporter: ReporterBinding, value: Option<&str>, code: &str) {
        let record = record(value);
        let made = run(&mut intake(reporter), std::slice::from_ref(&record));
        let [letter] = &made.outputs[..] else { panic!("{:?}", made.outputs) };
        assert_eq!(&*letter.topic, "dead-letters");
        assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
        assert_eq!(header(letter, "trace"), Some("1"));
        assert_eq!(header(letter, "sightline.error.code"), Some(code));
        assert_eq!(header(letter, "sightline.error.stage"), Some("intake"));
        assert_eq!(header(letter, "sightline.error.topic"), Some("raw.acme"));
        assert_eq!(header(letter, "sightline.error.partition"), Some("3"));
        assert_eq!(header(letter, "sightline.error.offset"), Some("700"));
        assert_eq!(header(letter, "sightline.error.at"), Some("2026-01-31T12:00:00Z"));
        assert!(header(letter, "sightline.error.text").is_some_and(|text| !text.is_empty()));
        assert_eq!(made.counts, [Count { what: "dead-letters", label: code.to_owned(), n: 1 }]);
    }

    const GOOD: &str =
        r#"{"indicator": "hxxp://bad[.]example/x", "role": "c2", "observed_at": "2026-01-31T11:00:00Z"}"#;

    #[test]
    fn a_sighting_is_keyed_by_its_indicator() {
        let made = run(&mut intake(bound()), &[record(Some(GOOD))]);
        let [output] = &made.outputs[..] else { panic!("{:?}", made.outputs) };
        assert_eq!(&*output.topic, "sightings");
        assert_eq!(output.partition, None);
        assert_eq!(output.key.as_deref(), Some(&b"url:http://bad.example/x"[..]));
        assert!(output.headers.is_empty());
        let value = std::str::from_utf8(output.value.as_deref().unwrap()).unwrap();
        let sha256 = Digest::of(GOOD.as_bytes());
        assert_eq!(
            value,
            format!(
                concat!(
                    r#"{{"indicator":{{"type":"url","value":"http://bad.example/x"}},"original":"hxxp://bad[.]example/x","#,
                    r#""role":"c2","reporter":"acme","observed_at":"2026-01-31T11:00:00Z","#,
                    r#""reported_at":"2026-01-31T12:00:00Z","raw":{{"topic":"raw.acme","partition":3,"#,
                    r#""offset":700,"index":0,"sha256":"{}"}}}}"#
                ),
                sha256
            )
        );
        let back: Sighting<'_> = serde_json::from_str(value).unwrap();
        assert_eq!(back.indicator.key().as_bytes(), output.key.as_deref().unwrap());
    }

    #[test]
    fn a_record_is_all_or_nothing() {
        let bad = GOOD.replace("c2", "boss");
        check_dead(bound(), Some(&format!("[{GOOD}, {bad}]")), "bad-role");
        check_dead(bound(), Some(&format!("[{GOOD}, {GOOD}, {GOOD}, {GOOD}]")), "too-many-sightings");
        let record = record(Some(&format!("[{GOOD}, {GOOD}, {GOOD}]")));
        let made = run(&mut intake(bound()), &[record]);
        let indexes: Vec<_> = made
            .outputs
            .iter()
            .map(|output| {
                serde_json::from_slice::<Sighting<'_>>(output.value.as_deref().unwrap()).unwrap().raw.index
            })
            .collect();
        assert_eq!(indexes, [0, 1, 2]);
        assert_eq!(made.counts[0], Count { what: "sightings", label: "raw.acme".to_owned(), n: 3 });
    }

    #[test]
    fn records_without_a_value() {
        check_dead(bound(), None, "empty");
        check_dead(bound(), Some(""), "empty");
    }

    #[test]
    fn reporters_are_those_of_the_topic() {
        let carried = || ReporterBinding::Carried(BTreeSet::from(["bolt".to_owned(), "acme".to_owned()]));
        let named = |name: &str| GOOD.replace('{', &format!("{{\"reporter\": \"{name}\", "));
        check_dead(bound(), Some(&named("bolt")), "reporter-not-allowed");
        check_dead(carried(), Some(&named("Bolt")), "reporter-not-allowed");
        check_dead(carried(), Some(GOOD), "reporter-missing");
        for (reporter, name) in [(bound(), "acme"), (carried(), "bolt")] {
            let made = run(&mut intake(reporter), &[record(Some(&named(name)))]);
            let sighting: Sighting<'_> =
                serde_json::from_slice(made.outputs[0].value.as_deref().unwrap()).unwrap();
            assert_eq!(sighting.reporter, name);
        }
    }

    #[test]
    fn every_record_of_a_batch_has_its_outcome_in_order() {
        let records = [record(Some(GOOD)), record(None), record(Some("x")), record(None), record(Some(GOOD))];
        let made = run(&mut intake(bound()), &records);
        let topics: Vec<_> = made.outputs.iter().map(|output| &*output.topic).collect();
        assert_eq!(topics, ["sightings", "dead-letters", "dead-letters", "dead-letters", "sightings"]);
        let counts: Vec<_> =
            made.counts.iter().map(|count| (count.what, count.label.as_str(), count.n)).collect();
        assert_eq!(
            counts,
            [("sightings", "raw.acme", 2), ("dead-letters", "empty", 2), ("dead-letters", "not-json", 1)]
        );
        assert!(run(&mut intake(bound()), &[]).counts.is_empty());
    }

    #[test]
    fn a_panic_is_a_dead_letter() {
        let reject = caught(|| -> Result<(), Reject> { panic!("no {}", "way") }).unwrap_err();
        assert_eq!(reject.code, "internal");
        assert_eq!(reject.text, "the program failed on it: no way");
    }

    #[test]
    fn an_unknown_topic_stops() {
        let work = Work { topic: "raw.bolt", partition: 0, partitions: 12, records: &[], due: &[], sweep: 0 };
        let stop = intake(bound()).run(&work, &mut NoState, &Answers::new(), NOW).unwrap_err();
        assert_eq!(stop.code, "intake-topic-unknown");
    }
}
