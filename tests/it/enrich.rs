//! `sightline enrich`: who learns what of whom, the same bytes for the same input, and what becomes of
//! records that no reporter should ever have sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use expect_test::expect;
use proptest::prelude::*;
use serde_json::{Value, json};
use sightline::config::{self, Loaded, StageName, Stages, one_partition_each};
use sightline::diag::Findings;
use sightline::dossier::{self, Dossier};
use sightline::sighting::Timestamp;
use sightline::stream::embedded::Cluster;
use sightline::stream::local::Local;
use sightline::stream::runner::Settings;
use sightline::stream::view::Views;

use crate::program::{HUB, Line, NOW, VENDOR, World, of_topic, shuffle, sightings, terms_of, written};

const DEAD_LETTERS: &str = "sightline.dead-letters";
const SIGHTINGS: &str = "sightline.sightings";

fn is_of(sighting: &Value, reporter: &str) -> bool {
    sighting["reporter"] == reporter
}

/// What an audience gets, byte for byte and in order.
fn bytes_of<'l>(lines: &'l [Line], topic: &str) -> Vec<&'l str> {
    of_topic(lines, topic).into_iter().map(|line| line.text.as_str()).collect()
}

/// As intake writes an indicator that the generator wrote.
fn refanged(sighting: &Value) -> String {
    sighting["indicator"].as_str().unwrap().replace("[.]", ".").replace("hxxp", "http")
}

/// How many messages are about an indicator that this reporter spoke of too.
fn about(messages: &[&Line], sightings: &[Value], reporter: &str) -> usize {
    let own: BTreeSet<String> =
        sightings.iter().filter(|sighting| is_of(sighting, reporter)).map(refanged).collect();
    messages
        .iter()
        .filter(|line| own.contains(line.json()["lead"]["indicator"]["value"].as_str().unwrap_or_default()))
        .count()
}

/// Lets the vendor know of what `larkspur` says.
fn release_larkspur(world: &World) {
    world.edit(|pipeline| {
        let open = terms_of(pipeline, "meridian-dns").clone();
        *terms_of(pipeline, "larkspur") = open;
    });
}

#[test]
fn a_reporter_that_an_audience_may_not_know_of_changes_none_of_its_bytes() {
    for seed in 0..4 {
        let all = sightings(seed, 500, 40);
        let without: Vec<Value> =
            all.iter().filter(|sighting| !is_of(sighting, "larkspur")).cloned().collect();
        assert!(all.len() - without.len() > 60);

        let world = World::new();
        let with_it = world.enrich("raw.native", &written(&all));
        let without_it = world.enrich("raw.native", &written(&without));
        assert_eq!(bytes_of(&with_it, VENDOR), bytes_of(&without_it, VENDOR), "seed {seed}");
        // Those who may know of it do learn.
        assert_ne!(bytes_of(&with_it, HUB), bytes_of(&without_it, HUB));
        // And it did speak of what the vendor is told about,
        let told = of_topic(&with_it, VENDOR);
        assert!(about(&told, &all, "larkspur") >= 15, "{} of {}", about(&told, &all, "larkspur"), told.len());
        // which would be told otherwise if what it says counted.
        release_larkspur(&world);
        let released = world.enrich("raw.native", &written(&all));
        let before: BTreeSet<&str> = bytes_of(&with_it, VENDOR).into_iter().collect();
        let changed = bytes_of(&released, VENDOR).iter().filter(|text| !before.contains(**text)).count();
        assert!(changed >= 15, "{changed}");
        // A party that is told nothing of a reporter is not told that there is one either.
        for line in bytes_of(&with_it, VENDOR) {
            assert!(!line.contains("larkspur"), "{line}");
        }
    }
}

#[test]
fn nothing_shows_across_batches_either() {
    let all = sightings(11, 6_000, 60);
    // Other sightings of the same reporter stand in its place, so that batches end where they ended.
    let mut elsewhere = all.clone();
    for (number, sighting) in elsewhere.iter_mut().enumerate().filter(|(_, one)| is_of(one, "larkspur")) {
        sighting["indicator"] = format!("elsewhere{number}.hedge.example").into();
        sighting.as_object_mut().unwrap().remove("port");
    }
    let world = World::new();
    let with_it = world.enrich("raw.native", &written(&all));
    let without_it = world.enrich("raw.native", &written(&elsewhere));
    assert_eq!(bytes_of(&with_it, VENDOR), bytes_of(&without_it, VENDOR));
    assert_ne!(bytes_of(&with_it, HUB), bytes_of(&without_it, HUB));
    let again = of_topic(&with_it, VENDOR);
    let again = again.iter().filter(|line| line.header("dx-version") == Some("2")).count();
    assert!(again > 5, "the second batch told the vendor more: {again}");
}

#[test]
fn a_record_that_an_audience_may_not_know_of_changes_none_of_its_bytes() {
    for seed in 20..24 {
        let base = sightings(seed, 300, 30);
        let mut more = sightings(seed + 100, 120, 30);
        for (number, sighting) in more.iter_mut().enumerate() {
            sighting["id"] = format!("more-{number}").into();
        }
        let mixed = |tlp: &str| {
            let more: Vec<Value> = more
                .iter()
                .cloned()
                .map(|mut sighting| {
                    sighting["tlp"] = tlp.into();
                    sighting
                })
                .collect();
            let mut all = [base.clone(), more].concat();
            shuffle(&mut all, seed);
            all
        };
        // The others in the order that they have among those.
        let red = mixed("RED");
        let none: Vec<Value> = red.iter().filter(|one| one.get("tlp").is_none()).cloned().collect();
        assert_eq!(none.len(), base.len());
        let world = World::new();
        let without = world.enrich("raw.native", &written(&none));
        let with_red = world.enrich("raw.native", &written(&red));
        let with_green = world.enrich("raw.native", &written(&mixed("GREEN")));
        let audiences: BTreeSet<&str> = without
            .iter()
            .filter(|line| line.topic.starts_with("out."))
            .map(|line| line.topic.as_str())
            .collect();
        assert!(audiences.len() >= 2, "{audiences:?}");
        for topic in audiences {
            assert_eq!(bytes_of(&with_red, topic), bytes_of(&without, topic), "seed {seed}, {topic}");
        }
        assert_ne!(bytes_of(&with_red, "sightline.leads"), bytes_of(&without, "sightline.leads"));
        for topic in [HUB, VENDOR] {
            assert_ne!(bytes_of(&with_green, topic), bytes_of(&without, topic), "seed {seed}, {topic}");
        }
    }
}

/// A reporter may mark one of its own sightings anew, under the same id: who may not know of the one
/// sees the other as if it stood alone, whichever came first.
#[test]
fn an_id_that_was_hidden_hides_nothing() {
    let world = World::new();
    let base = sightings(30, 200, 20);
    let twins: Vec<Value> = base
        .iter()
        .map(|sighting| {
            let mut twin = sighting.clone();
            twin["tlp"] = "RED".into();
            twin
        })
        .collect();
    let without = world.enrich("raw.native", &written(&base));
    assert!(of_topic(&without, VENDOR).len() >= 10);
    for all in [[base.clone(), twins.clone()].concat(), [twins, base].concat()] {
        let with_twins = world.enrich("raw.native", &written(&all));
        for topic in [HUB, VENDOR] {
            let told = |lines| -> BTreeSet<String> {
                of_topic(lines, topic).into_iter().map(|line| line.text.clone()).collect()
            };
            assert_eq!(told(&with_twins), told(&without), "{topic}");
        }
    }
}

/// What a reporter says in many roles that an audience may not know of does not crowd out what it may.
#[test]
fn what_is_hidden_crowds_nothing_out() {
    let world = World::new();
    let base = sightings(31, 200, 20);
    let mut hidden = Vec::new();
    for (number, sighting) in base.iter().enumerate() {
        for (role, pap) in [("c2", "GREEN"), ("c2", "AMBER"), ("c2", "RED"), ("brute-force", "RED")] {
            let mut one = sighting.clone();
            one["role"] = role.into();
            one["tlp"] = "RED".into();
            one["pap"] = pap.into();
            one["id"] = format!("hidden-{role}-{pap}-{number}").into();
            hidden.push(one);
        }
    }
    let without = world.enrich("raw.native", &written(&base));
    let with_hidden = world.enrich("raw.native", &written(&[hidden, base].concat()));
    assert!(of_topic(&without, VENDOR).len() >= 10);
    for topic in [HUB, VENDOR] {
        assert_eq!(bytes_of(&with_hidden, topic), bytes_of(&without, topic), "{topic}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let world = World::new();
    let records = written(&sightings(40, 300, 30));
    let first = world.enrich("raw.native", &records);
    assert!(first.len() > 600);
    assert_eq!(world.enrich("raw.native", &records), first);
    // The time is an input.
    let args = ["enrich", "--pipeline", "asean.toml", "--now", "2026-11-21T12:00:00Z"];
    let later = world.run(&args, records.join("\n").as_bytes());
    let later = crate::program::lines(&later.stdout);
    assert_ne!(bytes_of(&later, VENDOR), bytes_of(&first, VENDOR));
}

/// The dossiers by key, as last written, without the places of raw records: those are the order.
fn dossiers(lines: &[Line]) -> BTreeMap<String, Dossier> {
    of_topic(lines, "sightline.dossiers")
        .into_iter()
        .filter(|line| line.key.as_deref() != Some("\0sweep"))
        .filter_map(|line| Some((line.key.clone()?, dossier::decode(line.value.as_deref()?).unwrap())))
        .map(|(key, mut dossier)| {
            for fold in &mut dossier.folds {
                for (_, _, raw) in &mut fold.raw {
                    raw.offset = 0;
                }
            }
            (key, dossier)
        })
        .collect()
}

/// The leads as last written, without their versions and the places of raw records.
fn leads(lines: &[Line]) -> BTreeMap<String, Value> {
    of_topic(lines, "sightline.leads")
        .into_iter()
        .map(|line| {
            let mut lead = line.json();
            lead.as_object_mut().unwrap().remove("version").expect("a lead has a version");
            let raw = lead["raw"].as_array_mut().expect("a lead names raw records");
            for one in raw {
                one["offset"] = 0.into();
            }
            (line.key.clone().unwrap(), lead)
        })
        .collect()
}

#[test]
fn the_order_of_records_changes_no_fold_and_no_lead() {
    let world = World::new();
    let mut records = written(&sightings(50, 600, 25));
    let first = world.enrich("raw.native", &records);
    let (folds, scored) = (dossiers(&first), leads(&first));
    assert!(folds.len() >= 20 && scored.len() > folds.len());
    for seed in 0..3 {
        shuffle(&mut records, seed);
        let mixed = world.enrich("raw.native", &records);
        let again = dossiers(&mixed);
        assert_eq!(again.keys().collect::<Vec<_>>(), folds.keys().collect::<Vec<_>>());
        for (key, dossier) in &folds {
            let other = &again[key];
            assert_eq!(other.folds, dossier.folds, "{key}");
            assert_eq!(other.ids, dossier.ids, "{key}");
            assert_eq!(other.unkept, dossier.unkept, "{key}");
            assert_eq!(other.findings, dossier.findings, "{key}");
        }
        assert_eq!(leads(&mixed), scored);
    }
}

/// What one record on a raw topic comes to: `sighting`, or the code of its one dead letter, which
/// holds it whole.
#[track_caller]
fn outcome(world: &World, topic: &str, bytes: &[u8]) -> String {
    let lines = world.enrich_bytes(&["--topic", topic, "--whole"], bytes);
    let letters = of_topic(&lines, DEAD_LETTERS);
    let sightings = of_topic(&lines, SIGHTINGS);
    match letters.as_slice() {
        [] => {
            assert!(!sightings.is_empty(), "neither sightings nor a dead letter");
            "sighting".to_owned()
        }
        [letter] => {
            assert!(sightings.is_empty(), "a dead letter and sightings");
            let value = letter.value.as_deref();
            assert!(
                value.unwrap_or_default() == bytes,
                "a dead letter is its record, byte for byte: {} bytes of {}",
                value.map_or(0, <[u8]>::len),
                bytes.len()
            );
            assert_eq!(letter.header("sightline.error.topic"), Some(topic));
            assert_eq!(letter.header("sightline.error.at"), Some(NOW));
            letter.header("sightline.error.code").expect("a dead letter says why").to_owned()
        }
        several => panic!("{} dead letters", several.len()),
    }
}

/// Records that are bad in their bytes, and what becomes of them in our own JSON, a mapped JSON and CSV.
const BAD: &[(&str, &[u8], [&str; 3])] = &[
    ("nothing", b"", ["empty", "empty", "empty"]),
    ("an end of line", b"\n", ["not-json", "not-json", "bad-header"]),
    ("a NUL", b"\0", ["not-json", "not-json", "bad-header"]),
    ("not UTF-8", b"{\"indicator\": \"\xff\xfe\"}", ["not-utf8", "not-utf8", "not-utf8"]),
    ("an overlong form", b"\xc0\xaf", ["not-utf8", "not-utf8", "not-utf8"]),
    ("a surrogate as UTF-8", b"\"\xed\xa0\x80\"", ["not-utf8", "not-utf8", "not-utf8"]),
    ("a lone surrogate", br#"{"indicator": "\ud800"}"#, ["not-json", "not-json", "bad-header"]),
    ("no number", br#"{"claimed_confidence": NaN}"#, ["not-json", "not-json", "bad-header"]),
    ("infinity", br#"{"claimed_confidence": Infinity}"#, ["not-json", "not-json", "bad-header"]),
    ("a key twice", br#"{"a": 1, "a": 2}"#, ["duplicate-key", "duplicate-key", "not-csv"]),
    ("half of it", br#"{"indicator": "198.51.100.7", "role""#, ["not-json", "not-json", "bad-header"]),
    ("a word", b"null", ["wrong-shape", "wrong-shape", "bad-header"]),
    ("garbage in columns", b"a,b\n1,2,3\n\"", ["not-json", "not-json", "bad-header"]),
];

const TOPICS: [&str; 3] = ["raw.native", "raw.sinkhole", "raw.honeypot"];

#[test]
fn bad_bytes_are_dead_letters_in_every_format() {
    let world = World::shipped();
    for (name, bytes, codes) in BAD {
        for (topic, code) in TOPICS.iter().zip(codes) {
            assert_eq!(outcome(&world, topic, bytes), *code, "{name} on {topic}");
        }
    }
}

#[test]
fn what_is_too_deep_or_too_large_is_a_dead_letter() {
    let world = World::shipped();
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let deep_objects = "{\"a\":".repeat(100_000);
    let large = |inner: &str| format!("[{}]", vec![inner; 50_000_000 / (inner.len() + 1)].join(","));
    let text = format!(r#"{{"indicator": "{}"}}"#, "a".repeat(50_000_000));
    assert_eq!(outcome(&world, "raw.native", deep.as_bytes()), "too-deep");
    assert_eq!(outcome(&world, "raw.sinkhole", deep.as_bytes()), "too-deep");
    assert_eq!(outcome(&world, "raw.sinkhole", deep_objects.as_bytes()), "too-deep");
    assert_eq!(outcome(&world, "raw.honeypot", deep.as_bytes()), "bad-header");
    assert_eq!(outcome(&world, "raw.native", large("{}").as_bytes()), "too-complex");
    assert_eq!(outcome(&world, "raw.native", text.as_bytes()), "indicator-too-long");
    assert_eq!(outcome(&world, "raw.sinkhole", text.as_bytes()), "wrong-shape");
    let rows = format!("source,sample,last_seen,dport,proto,activity\n{}", ",,,,,\n".repeat(8_000_000));
    assert_eq!(outcome(&world, "raw.honeypot", rows.as_bytes()), "too-many-sightings");
}

/// A good record of each topic, with its time and its address to be put in.
fn good(topic: &str, time: &str, address: &str) -> String {
    match topic {
        "raw.native" => json!({
            "indicator": address, "role": "c2", "observed_at": time, "reporter": "larkspur"
        })
        .to_string(),
        "raw.sinkhole" => {
            let at: Timestamp = time.parse().unwrap();
            json!({"hits": [{"uid": "1", "ts": at.0 / 1000, "src": {"ip": address, "port": 4711}}]})
                .to_string()
        }
        _ => format!(
            "source,sample,last_seen,dport,proto,activity\n{address},,{},22,tcp,login\n",
            time.trim_end_matches('Z').replace('T', " ")
        ),
    }
}

#[test]
fn times_out_of_range_are_dead_letters_in_every_format() {
    let world = World::shipped();
    let cases = [
        ("2026-11-20T11:00:00Z", "198.51.100.7", "sighting"),
        ("1900-01-01T00:00:00Z", "198.51.100.7", "time-too-old"),
        ("2300-01-01T00:00:00Z", "198.51.100.7", "time-in-future"),
        ("2026-11-20T11:00:00Z", "127.0.0.1", "special-purpose"),
        ("2026-11-20T11:00:00Z", "198.51.100.7.8", "bad-ip"),
    ];
    for topic in TOPICS {
        for (time, address, code) in cases {
            let got = outcome(&world, topic, good(topic, time, address).as_bytes());
            // Our own format tells the type from the text, the others are told it nowhere either.
            let code =
                if code == "bad-ip" { ["bad-ip", "bad-domain", "indicator-unknown"] } else { [code; 3] };
            assert!(code.contains(&got.as_str()), "{time} {address} on {topic}: {got}");
        }
    }
}

/// Bad lines among good ones: each line is a record, and those around it are none the worse.
#[test]
fn every_line_has_its_own_outcome() {
    let world = World::shipped();
    let one = good("raw.native", "2026-11-20T11:00:00Z", "198.51.100.7");
    let mut input: Vec<u8> = Vec::new();
    let mut expected = Vec::new();
    for (_, bytes, [code, ..]) in BAD {
        if bytes.contains(&b'\n') || bytes.is_empty() {
            continue;
        }
        for (line, code) in [(one.as_bytes(), "sighting"), (bytes, code), (one.as_bytes(), "sighting")] {
            input.extend_from_slice(line);
            // Lines without anything are no records.
            input.extend_from_slice(b"\n\n\r\n");
            expected.push((line.to_vec(), code.to_owned()));
        }
    }
    // The last line need not end.
    input.extend_from_slice(b"last");
    expected.push((b"last".to_vec(), "not-json".to_owned()));
    let lines = world.enrich_bytes(&[], &input);
    let mut got: BTreeMap<usize, (Option<Vec<u8>>, String)> = BTreeMap::new();
    for letter in of_topic(&lines, DEAD_LETTERS) {
        let at = letter.header("sightline.error.offset").unwrap().parse().unwrap();
        let code = letter.header("sightline.error.code").unwrap().to_owned();
        assert!(got.insert(at, (letter.value.clone(), code)).is_none());
    }
    for sighting in of_topic(&lines, SIGHTINGS) {
        let at = usize::try_from(sighting.json()["raw"]["offset"].as_u64().unwrap()).unwrap();
        assert!(got.insert(at, (None, "sighting".to_owned())).is_none());
    }
    assert_eq!(got.len(), expected.len());
    for (at, (bytes, code)) in expected.into_iter().enumerate() {
        let (value, got) = &got[&at];
        assert_eq!(*got, code, "line {at}");
        assert!(value.as_ref().is_none_or(|value| *value == bytes), "line {at}");
    }
}

fn loaded() -> Loaded {
    let mut findings = Findings::default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/asean.toml");
    let loaded = config::load(&path, &|path| std::fs::read(path), &mut findings);
    loaded.unwrap_or_else(|| panic!("{}", findings.render()))
}

/// Every raw record that all stages worked on in memory has one outcome.
fn check_outcomes(loaded: &Loaded, topic: &str, records: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let partitions = one_partition_each(&loaded.checked);
    let cluster = Cluster::new(false);
    for (topic, n) in &partitions {
        cluster.create_topic(topic, *n);
    }
    let stages = Stages::new(loaded);
    let steps = StageName::ALL.into_iter().map(|stage| stages.step(stage)).collect();
    let settings = Settings { every: 0, ..Settings::default() };
    let mut local = Local::new(cluster.clone(), steps, &settings, &Views::InMemory, &partitions);
    for record in records {
        cluster.append(topic, 0, None, Some(record), &[]);
    }
    let settled = local.settle(NOW.parse().unwrap(), |_, _| {});
    prop_assert_eq!(settled, Ok(()));
    let mut outcomes: BTreeMap<i64, &str> = BTreeMap::new();
    for letter in cluster.committed(DEAD_LETTERS) {
        let header = |name: &str| {
            let (_, value) = letter.headers.iter().find(|(held, _)| held == name).unwrap();
            String::from_utf8(value.clone()).unwrap()
        };
        let offset: i64 = header("sightline.error.offset").parse().unwrap();
        prop_assert_eq!(header("sightline.error.stage"), "intake");
        prop_assert_ne!(header("sightline.error.code"), "internal", "{}", header("sightline.error.text"));
        let original = &records[usize::try_from(offset).unwrap()];
        prop_assert_eq!(letter.value.as_ref(), Some(original));
        prop_assert!(outcomes.insert(offset, "dead letter").is_none());
    }
    for sighting in cluster.committed(SIGHTINGS) {
        let value: Value = serde_json::from_slice(sighting.value.as_deref().unwrap()).unwrap();
        let offset = value["raw"]["offset"].as_i64().unwrap();
        let before = outcomes.insert(offset, "sightings");
        prop_assert!(before.is_none_or(|before| before == "sightings"), "{offset}");
    }
    prop_assert_eq!(outcomes.len(), records.len());
    Ok(())
}

/// A good record with some of its bytes changed, or bytes that nobody meant.
fn any_record() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let random = proptest::collection::vec(any::<u8>(), 0..200);
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let changed = (0..TOPICS.len(), changes).prop_map(|(topic, changes)| {
        let mut bytes = good(TOPICS[topic], "2026-11-20T11:00:00Z", "198.51.100.7").into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        (topic, bytes)
    });
    prop_oneof![3 => changed, 1 => (0..TOPICS.len(), random)]
}

#[test]
fn any_bytes_have_exactly_one_outcome() {
    let loaded = loaded();
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(records in proptest::collection::vec(any_record(), 1..40))| {
        for (number, topic) in TOPICS.iter().enumerate() {
            let own: Vec<Vec<u8>> =
                records.iter().filter(|(of, _)| *of == number).map(|(_, bytes)| bytes.clone()).collect();
            check_outcomes(&loaded, topic, &own)?;
        }
    });
}

/// What is said to whoever calls it wrongly.
#[track_caller]
fn check_refusal(world: &World, args: &[&str], code: i32, expected: expect_test::Expect) {
    let ran = world.run(&[&["enrich"], args].concat(), b"{}\n");
    assert_eq!(ran.text(), "");
    assert_eq!(ran.code, code, "{}", ran.stderr);
    expected.assert_eq(&ran.stderr);
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let world = World::shipped();
    check_refusal(
        &world,
        &["--pipeline", "nowhere.toml"],
        64,
        expect![[r#"
        error[unreadable-file]: cannot read nowhere.toml: No such file or directory (os error 2)

        nowhere.toml: 1 error
    "#]],
    );
    check_refusal(
        &world,
        &["--pipeline", "asean.toml", "--topic", "raw.nothing"],
        1,
        expect![[r#"
        sightline: --topic raw.nothing: the pipeline's raw topics are raw.native, raw.sinkhole, raw.mail, raw.honeypot
    "#]],
    );
    check_refusal(
        &world,
        &["--pipeline", "asean.toml", "--now", "yesterday"],
        64,
        expect![[r#"
        error: invalid value 'yesterday' for '--now <TIME>': not an RFC 3339 time: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y

        For more information, try '--help'.
    "#]],
    );
    check_refusal(
        &world,
        &[],
        64,
        expect![[r#"
        error: the following required arguments were not provided:
          --pipeline <FILE>

        Usage: sightline enrich --pipeline <FILE>

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn missing_and_wrong_files_are_named() {
    // Without the places, which `config` tests: this holds whatever else the shipped pipeline says.
    let check = |world: &World, expected: expect_test::Expect| {
        let ran = world.run(&["enrich", "--pipeline", "asean.toml"], b"{}\n");
        assert_eq!((ran.code, ran.text()), (64, ""));
        let is_place = |line: &&str| line.is_empty() || line.contains(" |") || line.contains("-->");
        let said: Vec<&str> = ran.stderr.lines().filter(|line| !is_place(line)).collect();
        expected.assert_eq(&said.join("\n"));
    };
    let world = World::shipped();
    std::fs::remove_file(world.path("asean/watchlist.csv")).unwrap();
    check(
        &world,
        expect![[r#"
        error[unreadable-file]: cannot read asean/watchlist.csv: No such file or directory (os error 2)
        asean.toml: 1 error"#]],
    );

    let world = World::shipped();
    world.edit(|pipeline| {
        let enrich = pipeline["enrich"].as_array_mut().unwrap();
        enrich.retain(|one| one.get("geoip").is_none());
        let terms =
            "tlp = \"GREEN\"\npap = \"CLEAR\"\nrelease_to = [\"*\"]\npurposes = [\"threat-analysis\"]";
        let geoip: toml::Value =
            toml::from_str(&format!("[geoip]\ncity = \"asean/cities.mmdb\"\n[geoip.terms]\n{terms}"))
                .unwrap();
        enrich.push(geoip);
    });
    check(
        &world,
        expect![[r#"
        error[unreadable-file]: cannot read asean/cities.mmdb: No such file or directory (os error 2)
        asean.toml: 1 error"#]],
    );
    std::fs::write(world.path("asean/cities.mmdb"), b"not a database").unwrap();
    check(
        &world,
        expect![[r#"
        error[geoip-corrupt]: asean/cities.mmdb: not a sound MaxMind DB file (invalid database: could not find MaxMind DB metadata in file); fetch it again, unpacked, and replace it whole
        asean.toml: 1 error"#]],
    );

    std::fs::write(world.path("asean.toml"), "[pipeline]\nname = \"x\"\nnmae = 1\n").unwrap();
    check(
        &world,
        expect![[r#"
        error[missing-key]: missing key `kafka`
          = help: `kafka`: The Kafka cluster and what is ours on it
        error[missing-key]: missing key `intake`
          = help: `intake`: Raw topics, one `[[intake]]` each
        error[missing-key]: missing key `reporter`
          = help: `reporter`: Who supplies sightings, one `[[reporter]]` each
        error[missing-key]: missing key `score`
          = help: `score`: Scoring
        error[unknown-key]: unknown key `nmae`
          = help: did you mean `name`?
        asean.toml: 5 errors"#]],
    );
}
