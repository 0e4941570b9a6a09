//! The assess stage alone: what it stops at, when dossiers wake and expire, what waits, and what a
//! change of the rules does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sightline::config::{self, Loaded, StageName, Stages};
use sightline::diag::Findings;
use sightline::dossier::{self, Dossier};
use sightline::enrich::Answers;
use sightline::sighting::time::DAY;
use sightline::sighting::{Digest, Indicator, IndicatorType, RawRef, Role, Sighting, Timestamp};
use sightline::stage::assess::SWEEP;
use sightline::stage::disclosure::Disclosure;
use sightline::stage::{Made, Record, State, Step, Stop, Work, partition_of};

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// State as a map.
#[derive(Default, Clone)]
struct Held(BTreeMap<Vec<u8>, Vec<u8>>);

impl State for Held {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        match value {
            Some(value) => drop(self.0.insert(key.to_vec(), value)),
            None => drop(self.0.remove(key)),
        }
    }

    fn scan(&self, cursor: &[u8], limit: usize) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let keys: Vec<Vec<u8>> =
            self.0.keys().filter(|key| key.as_slice() > cursor).take(limit).cloned().collect();
        let next = (keys.len() == limit).then(|| keys.last().cloned()).flatten();
        (keys, next)
    }
}

fn loaded(change: impl Fn(String) -> String) -> Loaded {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut findings = Findings::default();
    let read = |path: &Path| {
        let bytes = std::fs::read(path)?;
        let is_text = path.extension().is_some_and(|ending| ending == "toml");
        Ok(if is_text { change(String::from_utf8(bytes).unwrap()).into_bytes() } else { bytes })
    };
    let loaded = config::load(&root.join("pipelines/asean.toml"), &read, &mut findings);
    loaded.unwrap_or_else(|| panic!("{}", findings.render()))
}

struct Bench {
    stages: Stages,
    step: Box<dyn Step>,
    state: Held,
}

impl Bench {
    fn new(change: impl Fn(String) -> String) -> Self {
        let stages = Stages::new(&loaded(change));
        let step = stages.step(StageName::Assess);
        Self { stages, step, state: Held::default() }
    }

    fn try_run(&mut self, sightings: &[Sighting<'_>], due: &[Vec<u8>], now: Timestamp) -> Result<Made, Stop> {
        let records: Vec<Record> = sightings.iter().map(record).collect();
        let work =
            Work { topic: "sightings", partition: 0, partitions: 1, records: &records, due, sweep: 10 };
        self.step.run(&work, &mut self.state, &Answers::new(), now)
    }

    fn run(&mut self, sightings: &[Sighting<'_>], due: &[Vec<u8>], now: Timestamp) -> Made {
        self.try_run(sightings, due, now).unwrap()
    }

    fn dossier(&self, key: &str) -> Option<Dossier> {
        self.state.get(key.as_bytes()).map(|bytes| dossier::decode(&bytes).unwrap())
    }

    fn wake_of(&self, key: &str) -> Option<Timestamp> {
        self.step.wake_at(key.as_bytes(), &self.state.get(key.as_bytes())?)
    }
}

fn record(sighting: &Sighting<'_>) -> Record {
    Record {
        topic: "sightings".into(),
        partition: 0,
        offset: 0,
        key: Some(sighting.indicator.key().into_bytes()),
        value: Some(serde_json::to_vec(sighting).unwrap()),
        headers: Vec::new(),
    }
}

fn sighting(reporter: &str, role: Role, at: Timestamp) -> Sighting<'static> {
    Sighting {
        indicator: Indicator { kind: IndicatorType::Ipv4, value: "198.51.100.9".to_owned() },
        original: None,
        role,
        reporter: reporter.to_owned().into(),
        id: None,
        observed_at: at,
        reported_at: at,
        malware: None,
        port: Some(443),
        protocol: None,
        claimed_confidence: Some(95),
        tlp: None,
        pap: None,
        tags: Vec::new(),
        comment: None,
        victim: None,
        raw: RawRef { topic: "raw", partition: 0, offset: 0, index: 0, sha256: Digest::default() },
    }
}

const KEY: &str = "ipv4:198.51.100.9";

fn disclosed(made: &Made) -> Vec<(String, u64)> {
    let sealed = made.outputs.iter().filter(|output| output.topic.ends_with("disclosures")).map(|output| {
        match serde_json::from_slice(output.value.as_deref().unwrap()).unwrap() {
            Disclosure::Disclose(sealed) => (sealed.entry.agreement.id, sealed.entry.disclosure_version),
            Disclosure::Stop(_) => panic!("assess stops nothing"),
        }
    });
    sealed.collect()
}

fn both(at: Timestamp) -> [Sighting<'static>; 2] {
    [sighting("blackwater-labs", Role::C2, at), sighting("meridian-dns", Role::C2, at)]
}

#[test]
fn a_record_in_the_wrong_partition_stops_the_process() {
    let mut bench = Bench::new(|text| text);
    let records = [record(&sighting("northwind", Role::C2, NOW))];
    let belongs = partition_of(KEY.as_bytes(), 12);
    let work = |partition| Work {
        topic: "sightings",
        partition,
        partitions: 12,
        records: &records,
        due: &[],
        sweep: 0,
    };
    let stop =
        bench.step.run(&work((belongs + 1) % 12), &mut Held::default(), &Answers::new(), NOW).unwrap_err();
    assert_eq!(stop.code, "wrong-partition");
    assert!(bench.step.run(&work(belongs), &mut Held::default(), &Answers::new(), NOW).is_ok());
}

#[test]
fn a_dossier_of_an_unknown_format_stops_the_process_and_is_no_dead_letter() {
    let mut bench = Bench::new(|text| text);
    bench.state.put(KEY.as_bytes(), Some(vec![99, 1, 2, 3]));
    let stop = bench.try_run(&both(NOW), &[], NOW).unwrap_err();
    assert_eq!(stop.code, "state-format");
    bench.state.put(KEY.as_bytes(), Some(vec![dossier::FORMAT, 0xff]));
    assert_eq!(bench.try_run(&both(NOW), &[], NOW).unwrap_err().code, "state-damaged");
}

#[test]
fn what_is_not_ours_is_a_dead_letter() {
    let mut bench = Bench::new(|text| text);
    let mut bad = record(&sighting("northwind", Role::C2, NOW));
    bad.value = Some(b"{}".to_vec());
    let work = Work { topic: "sightings", partition: 0, partitions: 1, records: &[bad], due: &[], sweep: 0 };
    let made = bench.step.run(&work, &mut bench.state, &Answers::new(), NOW).unwrap();
    assert_eq!(made.outputs.len(), 1);
    assert!(made.outputs[0].topic.ends_with("dead-letters"));
    assert_eq!(made.outputs[0].value.as_deref(), Some(&b"{}"[..]), "kept whole");
}

#[test]
fn a_dossier_wakes_to_expire_and_leaves_a_tombstone() {
    let mut bench = Bench::new(|text| text);
    bench.run(&both(NOW), &[], NOW);
    // c2 is kept for 90 days; before that it wakes to look its sources up again.
    let mut now = NOW;
    for _ in 0..1_000 {
        let Some(wake) = bench.wake_of(KEY) else { break };
        assert!(wake > now, "it wakes later than now, or it would for ever");
        now = wake;
        bench.run(&[], &[KEY.as_bytes().to_vec()], now);
    }
    assert_eq!(bench.dossier(KEY), None, "a tombstone");
    assert_eq!(now, NOW.plus(90 * DAY));
    let made = {
        let mut bench = Bench::new(|text| text);
        bench.run(&both(NOW), &[], NOW);
        bench.run(&[], &[KEY.as_bytes().to_vec()], NOW.plus(90 * DAY))
    };
    let lead = made.outputs.iter().find(|output| output.topic.ends_with("leads")).unwrap();
    assert_eq!(lead.value, None, "its lead is removed too");
}

#[test]
fn a_repeat_changes_nothing() {
    let mut bench = Bench::new(|text| text);
    let known = Sighting { id: Some("7".into()), ..sighting("northwind", Role::C2, NOW) };
    bench.run(std::slice::from_ref(&known), &[], NOW);
    let before = bench.state.clone();
    let made = bench.run(&[known], &[], NOW);
    assert_eq!(bench.state.0, before.0);
    assert!(made.outputs.is_empty());
    let repeats: u64 = made.counts.iter().filter(|count| count.what == "repeats").map(|count| count.n).sum();
    assert_eq!(repeats, 1, "but it is counted");
}

#[test]
fn a_change_of_times_alone_waits_where_the_pipeline_says_so() {
    let hour = |text: String| text.replace("minor_updates = \"0s\"", "minor_updates = \"1h\"");
    let mut bench = Bench::new(hour);
    let first = disclosed(&bench.run(&both(NOW), &[], NOW));
    assert!(first.contains(&("dxa-hub-01".to_owned(), 1)), "{first:?}");
    let later = NOW.plus(60_000);
    let again = [sighting("blackwater-labs", Role::C2, later)];
    assert_eq!(disclosed(&bench.run(&again, &[], later)), [], "a minute later: only times and counts");
    let wake = bench.wake_of(KEY).unwrap();
    assert_eq!(wake, NOW.plus(3_600_000), "it wakes when the hour is over");
    let told = disclosed(&bench.run(&[], &[KEY.as_bytes().to_vec()], wake));
    assert!(told.contains(&("dxa-hub-01".to_owned(), 2)), "{told:?}");
    // Something that matters does not wait.
    let at = wake.plus(60_000);
    let port = Sighting { port: Some(8443), ..sighting("meridian-dns", Role::C2, at) };
    assert!(disclosed(&bench.run(&[port], &[], at)).contains(&("dxa-hub-01".to_owned(), 3)));
}

#[test]
fn new_rules_are_asked_about_every_dossier_once() {
    let mut bench = Bench::new(|text| text.replace("status = \"active\"", "status = \"suspended\""));
    let made = bench.run(&both(NOW), &[], NOW);
    assert_eq!(disclosed(&made), [], "no agreement is in force");
    assert!(!bench.step.has_idle_work(&bench.state), "the sweep of these rules is done");
    bench.stages.knowledge.store(Arc::new(config::knowledge(&loaded(|text| text))));
    assert!(bench.step.has_idle_work(&bench.state), "the rules changed");
    let mut told = BTreeSet::new();
    for _ in 0..5 {
        told.extend(disclosed(&bench.run(&[], &[], NOW)));
    }
    assert!(told.contains(&("dxa-hub-01".to_owned(), 1)), "{told:?}");
    assert!(!told.iter().any(|(_, version)| *version > 1), "once: {told:?}");
    assert!(!bench.step.has_idle_work(&bench.state));
    assert!(bench.state.get(SWEEP).is_some());
}

#[test]
fn who_is_not_in_the_pipeline_is_told_to_nobody() {
    let mut bench = Bench::new(|text| text);
    let strangers = [sighting("stranger", Role::C2, NOW), sighting("nobody", Role::C2, NOW)];
    assert_eq!(disclosed(&bench.run(&strangers, &[], NOW)), []);
    assert!(bench.dossier(KEY).unwrap().disclosed.iter().all(|held| held.refused.is_some()));
}
