//! The pipeline file: bad files and what is said of them, shipped pipelines, topics, the command line.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use expect_test::{expect, expect_file};
use sightline::config::{self, CODES, Loaded};
use sightline::diag::{Findings, schema_of};
use sightline::dossier::caps;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    root().join("tests/fixtures/config")
}

/// Loads a pipeline as if the fixtures' folder were the working directory, so that what is shown
/// does not depend on where this runs.
fn load(name: &str) -> (Option<Loaded>, Findings) {
    let mut findings = Findings::default();
    let read = |path: &Path| std::fs::read(fixtures().join(path));
    let loaded = config::load(Path::new(name), &read, &mut findings);
    assert_eq!(
        loaded.is_none(),
        findings.has_errors(),
        "{name}: nothing runs if and only if there are errors"
    );
    (loaded, findings)
}

/// Loads a text with the files of the fixtures around it.
fn load_text(text: &str) -> (Option<Loaded>, Findings) {
    let mut findings = Findings::default();
    let read = |path: &Path| match path.to_str() {
        Some("text.toml") => Ok(text.as_bytes().to_vec()),
        _ => std::fs::read(fixtures().join(path)),
    };
    let loaded = config::load(Path::new("text.toml"), &read, &mut findings);
    (loaded, findings)
}

/// The bad files, each with what is said of it beside it.
const CASES: [&str; 9] =
    ["files", "kafka", "key", "no-brokers", "references", "refused-values", "shape", "syntax", "values"];

#[test]
fn bad_files_are_reported_whole_and_at_their_places() {
    for case in CASES {
        let (_, findings) = load(&format!("{case}.toml"));
        assert!(findings.has_errors(), "{case}");
        expect_file![fixtures().join(format!("{case}.expected"))].assert_eq(&findings.render());
    }
}

#[test]
fn every_fixture_is_a_case() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            found.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    found.remove("good");
    assert_eq!(found, CASES.map(str::to_owned).into());
}

fn many_reporters() -> String {
    let mut text = std::fs::read_to_string(fixtures().join("good.toml")).expect("the fixture is there");
    for n in 0..caps::REPORTERS {
        text += &format!(
            "[[reporter]]\nname = \"r{n}\"\norg = \"org:r{n}\"\nreliability = \"f\"\n\
             terms = {{ tlp = \"RED\", pap = \"RED\" }}\n"
        );
    }
    text
}

/// A good file with too many agreements and sources.
fn too_many() -> String {
    let text = std::fs::read_to_string(fixtures().join("good.toml")).expect("the fixture is there");
    let agreements: Vec<String> = (0..=caps::AGREEMENTS).map(|n| format!("\"a{n}.toml\"")).collect();
    let mut text =
        text.replace("[score]", &format!("[share]\nagreements = [{}]\n[score]", agreements.join(", ")));
    for _ in 0..=caps::SOURCES {
        text += "[[enrich]]\nnames = { terms = { tlp = \"RED\", pap = \"RED\" } }\n";
    }
    text
}

#[test]
fn more_agreements_and_sources_than_a_dossier_keeps_apart() {
    let (loaded, findings) = load_text(&too_many());
    assert!(loaded.is_none());
    for (code, shown) in [
        ("too-many-agreements", format!("\"a{}.toml\"", caps::AGREEMENTS)),
        ("too-many-sources", "[[enrich]]".to_owned()),
    ] {
        let found = findings.list().iter().find(|finding| finding.code == code).unwrap();
        let place = found.place.as_ref().unwrap();
        let text = &place.source.text[place.span.clone()];
        assert!(text.contains(&shown), "{code}: {text}");
    }
}

#[test]
fn more_reporters_than_a_dossier_keeps_apart() {
    let (loaded, findings) = load_text(&many_reporters());
    assert!(loaded.is_none());
    let found = findings.list().iter().find(|finding| finding.code == "too-many-reporters").unwrap();
    let place = found.place.as_ref().unwrap();
    assert_eq!(&place.source.text[place.span.clone()], format!("\"r{}\"", caps::REPORTERS - 1));
}

/// The codes of the reader, which has no table of its own: each is the same for every file.
const SHAPE_CODES: [&str; 9] = [
    "bad-value",
    "missing-key",
    "not-one-key",
    "out-of-range",
    "repeated-value",
    "syntax",
    "unknown-key",
    "unknown-value",
    "wrong-type",
];

#[test]
fn every_code_has_a_case() {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for case in CASES {
        found.extend(load(&format!("{case}.toml")).1.list().iter().map(|finding| finding.code));
    }
    for text in [many_reporters(), too_many()] {
        found.extend(load_text(&text).1.list().iter().map(|finding| finding.code));
    }
    let known: BTreeSet<&str> = CODES.iter().map(|(code, _)| *code).chain(SHAPE_CODES).collect();
    assert_eq!(known.difference(&found).collect::<Vec<_>>(), Vec::<&&str>::new(), "no case shows these");
}

#[test]
fn codes_are_stable() {
    assert!(CODES.is_sorted_by(|a, b| a.0 < b.0), "sorted, and no code twice");
    let codes: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    expect![[r#"
        agreement-twice
        bad-embargo
        bad-key
        key-missing
        length-range
        message-too-large
        no-brokers
        no-purpose
        not-utf8
        property-range
        property-refused
        reporter-twice
        secret-in-file
        too-many-agreements
        too-many-reporters
        too-many-sources
        topic-name
        topic-twice
        unknown-audience
        unknown-org
        unknown-reporter
        unreadable-file
        unused-reporter"#]]
    .assert_eq(&codes.join("\n"));
}

#[test]
fn secrets_are_shown_nowhere() {
    let (_, findings) = load("kafka.toml");
    assert!(!findings.render().contains("never shown"));
    let (_, findings) = load("key.toml");
    assert!(!findings.render().contains("00112233"));
    let text = std::fs::read_to_string(fixtures().join("good.toml")).unwrap();
    let text = text.replace("client = { ", "client = { \"sasl.password\" = \"geheim\", ");
    let (loaded, findings) = load_text(&text);
    assert!(!findings.render().contains("geheim"));
    let checked = loaded.unwrap().checked;
    assert_eq!(checked.kafka.client["sasl.password"].reveal(), "geheim");
    assert!(!format!("{checked:?}").contains("geheim"));
}

#[test]
fn defaults_are_what_the_manual_says() {
    let checked = load("good.toml").0.unwrap().checked;
    let kafka = &checked.kafka;
    assert_eq!((kafka.sightings, kafka.disclosures, kafka.dead_letters, kafka.audiences), (24, 8, 4, 2));
    assert_eq!((kafka.replication, kafka.commit_records, kafka.commit_every), (3, 5000, 100));
    assert_eq!((kafka.transaction_timeout, kafka.largest_record), (20_000, 1024 * 1024));
    assert_eq!(&*checked.topics.dead_letters, "sightline.dead-letters");
    assert_eq!(checked.state_directory, Path::new("state"));
    assert_eq!(checked.intakes[0].max_sightings, 10_000);
    assert_eq!((checked.intakes[0].brake.window, checked.intakes[0].brake.minimum), (60_000, 200));
    assert_eq!(checked.reporters["northwind"].origin, "northwind");
    assert_eq!(checked.reporters["northwind"].reliability, 75);
    assert_eq!(checked.expire.longest(), 180 * 24 * 3_600_000);
    assert_eq!(checked.minor_updates, 3_600_000);
    assert_eq!(checked.listen.to_string(), "127.0.0.1:9600");
}

/// Rule 11 of the design: the dead letter of the largest raw record fits, whatever is written.
#[test]
fn the_largest_dead_letter_fits() {
    let good = std::fs::read_to_string(fixtures().join("good.toml")).unwrap();
    for largest in [1024, 1_000_000, 1_048_576, 5_000_000, 67_108_864] {
        let text = good.replace("[kafka]\n", &format!("[kafka]\nlargest_record = {largest}\n"));
        let checked = load_text(&text).0.unwrap().checked;
        let specs = config::topics(&checked);
        let spec = specs.iter().find(|spec| spec.name == checked.topics.dead_letters).unwrap();
        assert!(spec.max_message_bytes >= largest + config::DEAD_LETTER_HEADERS, "{largest}");
        assert!(checked.kafka.largest_written >= spec.max_message_bytes, "{largest}");
    }
}

/// Rule 10: state and leads go to the input's partition by number.
#[test]
fn state_topics_have_the_partitions_of_their_input() {
    let checked = load("good.toml").0.unwrap().checked;
    let specs = config::topics(&checked);
    let partitions = |name: &str| specs.iter().find(|spec| &*spec.name == name).unwrap().partitions;
    for name in ["sightline.dossiers", "sightline.leads"] {
        assert_eq!(partitions(name), partitions("sightline.sightings"), "{name}");
    }
    for name in ["sightline.releases", "sightline.ledger", "sightline.outbox"] {
        assert_eq!(partitions(name), partitions("sightline.disclosures"), "{name}");
    }
}

#[test]
fn shipped_pipelines_check_clean() {
    let mut n_pipelines = 0;
    for entry in std::fs::read_dir(root().join("pipelines")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        n_pipelines += 1;
        let mut findings = Findings::default();
        let loaded = config::load(&path, &|path: &Path| std::fs::read(path), &mut findings);
        assert_eq!(findings.render(), "", "{}", path.display());
        assert!(loaded.is_some());
    }
    assert!(n_pipelines > 0);
}

/// The demonstration promises these: seven reporters, three formats, somebody who gives to no peer.
#[test]
fn the_demonstration_is_what_it_says() {
    let mut findings = Findings::default();
    let path = root().join("pipelines/asean.toml");
    let checked = config::load(&path, &|path: &Path| std::fs::read(path), &mut findings).unwrap().checked;
    assert_eq!(checked.reporters.len(), 7);
    let carried: BTreeSet<&str> =
        checked.intakes.iter().flat_map(|intake| &intake.reporters).map(String::as_str).collect();
    assert_eq!(carried.len(), 7);
    assert!(checked.reporters.values().any(|reporter| reporter.terms.never_to.contains("vendor-peer")));
    assert_eq!(checked.agreements.len(), 5);
    assert!(checked.key.is_some());
}

#[test]
fn a_file_that_is_not_there() {
    let mut findings = Findings::default();
    let read = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    assert!(config::load(Path::new("nowhere.toml"), &read, &mut findings).is_none());
    expect![[r#"
        error[unreadable-file]: cannot read nowhere.toml: entity not found
    "#]]
    .assert_eq(&findings.render());
}

/// What the schema says of a pipeline file holds for those that we ship.
#[test]
fn the_schema_admits_what_is_shipped() {
    let schema = schema_of::<config::file::Pipeline>();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = std::fs::read_to_string(root().join("pipelines/asean.toml")).unwrap();
    let file: serde_json::Value = toml::from_str(&text).unwrap();
    let errors: Vec<String> = validator.iter_errors(&file).map(|err| err.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    let bad = serde_json::json!({ "pipeline": { "name": "x" } });
    assert!(!validator.is_valid(&bad));
}

fn sightline(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sightline"));
    command.args(args).current_dir(fixtures()).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("what is printed is UTF-8")
}

#[test]
fn check_exits_with_64_on_errors_only() {
    let good = sightline(&["check", "good.toml"]);
    assert_eq!((good.status.code(), text(&good.stdout)), (Some(0), "good.toml: no findings\n"));
    let bad = sightline(&["check", "no-brokers.toml"]);
    assert_eq!(bad.status.code(), Some(64));
    assert!(text(&bad.stdout).contains("error[no-brokers]"));
    assert!(text(&bad.stdout).ends_with("no-brokers.toml: 2 errors\n"), "{}", text(&bad.stdout));
    let usage = sightline(&["chek"]);
    assert_eq!(usage.status.code(), Some(64));
    let help = sightline(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
}

#[test]
fn names_that_librdkafka_does_not_know_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.toml");
    let good = std::fs::read_to_string(fixtures().join("good.toml")).unwrap();
    let model = root().join("pipelines/asean/model.toml");
    let good = good.replace("../../../pipelines/asean/model.toml", model.to_str().unwrap());
    std::fs::write(&path, good.replace("client = { ", "client = { \"linger\" = 5, ")).unwrap();
    let bad = sightline(&["check", path.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(64));
    assert!(
        text(&bad.stdout).contains("error[bad-property]: librdkafka refuses `linger`"),
        "{}",
        text(&bad.stdout)
    );
}

#[test]
fn topics_as_commands_and_as_resources() {
    let pipeline = root().join("pipelines/asean.toml");
    for format in ["kafka", "strimzi"] {
        let args = ["topics", "--pipeline", pipeline.to_str().unwrap(), "--format", format];
        let out = sightline(&args);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        expect_file![fixtures().join(format!("topics.{format}.expected"))].assert_eq(text(&out.stdout));
    }
}

#[test]
fn every_schema_is_json() {
    for of in ["sighting", "lead", "pipeline", "agreement"] {
        let out = sightline(&["schema", of]);
        assert_eq!(out.status.code(), Some(0));
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap();
    }
}
