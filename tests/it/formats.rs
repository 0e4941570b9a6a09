//! Every record in `fixtures/formats`, by one check: what it becomes, or why it is a dead letter.
//!
//! `<format>/<case>.in` is the value of a record, byte for byte; `<case>.toml` says how to read it,
//! or the folder's `default.toml`; `<case>.expected.json` is the outcome. `UPDATE_EXPECT=1` writes
//! the expectations anew: read the difference as a user would.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::expect_file;
use serde::Deserialize;
use serde_json::{Value, json};
use sightline::diag::{Findings, Place, Source};
use sightline::sighting::formats::sightline::{Input, InputIndicator, InputRecord};
use sightline::sighting::formats::{
    Context, Decoder, FORMATS, FormatSettings, Reject, ReporterBinding, csv, json as any_json,
};
use sightline::sighting::normalise;
use sightline::sighting::{
    Digest, IndicatorType, Normaliser, Pap, Protocol, Reason, Role, Sighting, Timestamp, Tlp, Victim,
};

const NOW: &str = "2026-01-31T12:00:00Z";

/// How the records of a fixture are read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    reporter: Option<String>,
    reporters: Option<BTreeSet<String>>,
    max_sightings: usize,
    format: FormatSettings,
}

/// Fixtures are invented, so they live on addresses and names for documentation.
fn normaliser() -> Normaliser {
    let nets = ["198.51.100.0/24", "2001:db8::/32"];
    Normaliser::new(&normalise::Settings {
        allow: nets.iter().map(|net| net.parse().unwrap()).collect(),
        allow_suffixes: vec!["example".to_owned()],
    })
}

fn checked(format: &FormatSettings) -> Decoder {
    let mut findings = Findings::default();
    let decoder = format.check(&|| None, &mut findings);
    assert!(findings.is_empty(), "{}", findings.render());
    decoder.unwrap()
}

fn sightings<'a>(
    decoder: &'a Decoder,
    reporter: &'a ReporterBinding,
    max_sightings: usize,
    bytes: &'a [u8],
) -> Result<Vec<Sighting<'a>>, Reject> {
    let context = Context {
        normaliser: Box::leak(Box::new(normaliser())),
        reporter,
        topic: "raw",
        partition: 3,
        offset: 700,
        sha256: Digest::default(),
        now: NOW.parse().unwrap(),
        max_sightings,
    };
    decoder.sightings(bytes, &context)
}

/// Our own JSON of the reporter `acme`.
fn native(bytes: &[u8]) -> Result<Vec<Sighting<'_>>, Reject> {
    let reporter = ReporterBinding::Bound("acme".to_owned());
    sightings(Box::leak(Box::new(Decoder::Sightline)), Box::leak(Box::new(reporter)), 10, bytes)
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats")
}

/// The files of a folder with that ending, in order.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|own| own == ending))
        .collect();
    files.sort();
    files
}

/// Reads one fixture; the code where it is a dead letter.
#[track_caller]
fn check(path: &Path) -> Option<&'static str> {
    let own = path.with_extension("toml");
    let settings = if own.exists() { own } else { path.with_file_name("default.toml") };
    let case: Case = toml::from_str(&std::fs::read_to_string(settings).unwrap()).unwrap();
    let reporter = match (case.reporter, case.reporters) {
        (Some(bound), None) => ReporterBinding::Bound(bound),
        (None, Some(carried)) => ReporterBinding::Carried(carried),
        _ => panic!("{}: name a reporter, or several", path.display()),
    };
    let bytes = std::fs::read(path).unwrap();
    let decoder = checked(&case.format);
    let outcome = sightings(&decoder, &reporter, case.max_sightings, &bytes);
    let (json, code) = match &outcome {
        Ok(sightings) => (json!({ "sightings": sightings }), None),
        Err(reject) => {
            assert!(reject.text.len() <= 1024, "{}", path.display());
            (json!({ "reject": { "code": reject.code, "text": reject.text } }), Some(reject.code))
        }
    };
    let text = serde_json::to_string_pretty(&json).unwrap() + "\n";
    expect_file![path.with_extension("expected.json")].assert_eq(&text);
    code
}

#[test]
fn every_fixture_and_every_reason() {
    let mut seen = BTreeSet::new();
    for format in FORMATS {
        let files = files(&fixtures().join(format.name), "in");
        assert!(!files.is_empty(), "{} has no fixture", format.name);
        let codes: Vec<_> = files.iter().map(|path| check(path)).collect();
        assert!(codes.contains(&None), "{} has no fixture of a good record", format.name);
        seen.extend(codes.into_iter().flatten());
    }
    // Too large for a file.
    let commas = format!("[{}0]", "0,".repeat(2_000_000));
    seen.insert(native(commas.as_bytes()).unwrap_err().code);
    // These two are intake's own, and tested there: no bytes lead to them.
    seen.extend([Reason::Empty.name(), Reason::Internal.name()]);
    let all: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(seen, all, "every reason has a fixture, and nothing else is given as one");
}

#[test]
fn no_file_lies_about() {
    for format in FORMATS {
        let folder = fixtures().join(format.name);
        for path in files(&folder, "json") {
            let case = path.with_extension("").with_extension("in");
            assert!(case.exists(), "{} expects what no record gives", path.display());
        }
        for path in files(&folder, "toml") {
            let case = path.with_extension("in");
            assert!(case.exists() || path.ends_with("default.toml"), "{} is not used", path.display());
        }
    }
}

fn full() -> Input {
    Input {
        indicator: InputIndicator::Typed(IndicatorType::Domain, "bad[.]example".to_owned()),
        role: Role::C2,
        observed_at: "2026-01-31T11:00:00Z".parse().unwrap(),
        reporter: Some("acme".to_owned()),
        id: Some("1".to_owned()),
        malware: Some("AsyncRAT".to_owned()),
        port: Some(8443),
        protocol: Some(Protocol::Tcp),
        claimed_confidence: Some(70),
        tlp: Some(Tlp::AmberStrict),
        pap: Some(Pap::Green),
        tags: vec!["b".to_owned(), "a".to_owned()],
        comment: Some("why".to_owned()),
        victim: Some(Victim { country: Some("BJ".to_owned()), sector: Some("government".to_owned()) }),
    }
}

#[test]
fn what_the_input_type_writes_is_read_back() {
    let input = full();
    let record = InputRecord::Many(vec![input.clone(), input]);
    let bytes = serde_json::to_vec(&record).unwrap();
    let sightings = native(&bytes).unwrap();
    let [_, sighting] = &sightings[..] else { panic!() };
    assert_eq!(sighting.indicator.key(), "domain:bad.example");
    assert_eq!(sighting.original.as_deref(), Some("bad[.]example"));
    assert_eq!((sighting.role, sighting.observed_at), (Role::C2, Timestamp(1_769_857_200_000)));
    assert_eq!((&*sighting.reporter, sighting.id.as_deref()), ("acme", Some("1")));
    assert_eq!(sighting.malware.as_deref(), Some("asyncrat"));
    assert_eq!((sighting.port, sighting.protocol), (Some(8443), Some(Protocol::Tcp)));
    assert_eq!(sighting.claimed_confidence, Some(70));
    assert_eq!((sighting.tlp, sighting.pap), (Some(Tlp::AmberStrict), Some(Pap::Green)));
    assert_eq!(sighting.tags, ["a", "b"]);
    assert_eq!(sighting.comment.as_deref(), Some("why"));
    assert_eq!(sighting.victim, full().victim);
    assert_eq!(sighting.raw.index, 1);
}

/// The schema that we print and the decoder must not differ: what is read fits the schema, and what
/// breaks a rule of shape fits neither.
#[test]
fn schema_and_decoder_agree() {
    let schema = serde_json::to_value(schemars::schema_for!(InputRecord)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::to_value(full()).unwrap()));
    let of_shape = [
        "unknown-field",
        "missing-field",
        "wrong-type",
        "wrong-shape",
        "no-sightings",
        "too-long",
        "bad-indicator-type",
    ];
    let mut n_refused = 0;
    for path in files(&fixtures().join("sightline"), "in") {
        let Ok(value) = serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()) else { continue };
        let name = path.display();
        match check(&path) {
            // The decoder is more tolerant in spelling than what we ask for.
            None if path.ends_with("every-field.in") => {}
            None => assert!(validator.is_valid(&value), "{name} is read and is not valid"),
            Some(code) if of_shape.contains(&code) => {
                n_refused += 1;
                assert!(!validator.is_valid(&value), "{name} is refused for {code} and is valid");
            }
            Some(_) => {}
        }
    }
    assert!(n_refused > 10);
}

/// The codes of what a format's settings are refused or warned for.
#[track_caller]
fn check_settings(text: &str, codes: &[&str]) {
    let source = Source::new("pipeline.toml", text);
    let place = Place { source: source.clone(), span: 0..text.len() };
    let format: FormatSettings = toml::from_str(text).unwrap();
    let mut findings = Findings::default();
    let decoder = format.check(&|| Some(place.clone()), &mut findings);
    let got: Vec<_> = findings.list().iter().map(|finding| finding.code).collect();
    assert_eq!(got, codes, "{}", findings.render());
    assert_eq!(decoder.is_none(), findings.has_errors());
    assert!(
        findings
            .list()
            .iter()
            .all(|finding| finding.place.as_ref().is_some_and(|at| Arc::ptr_eq(&at.source, &source)))
    );
}

#[test]
fn settings_are_checked() {
    check_settings("sightline = {}", &[]);
    let json = |rest: &str| {
        format!("[json]\nmap = {{ indicator = \"i\", role = \"r\", observed_at = \"t\" }}\n{rest}")
    };
    check_settings(&json(""), &[]);
    check_settings(&json("items = 'a..b'"), &["format-path"]);
    check_settings("json = { map = { indicator = 'a.', role = 'r', observed_at = 't' } }", &["format-path"]);
    check_settings("json = {}", &["format-field-missing", "format-field-missing", "format-field-missing"]);
    check_settings(
        "json = { map = { indicator = 'i', observed_at = 't' }, constant = { role = 'c2' } }",
        &[],
    );
    check_settings(
        &json("constant = { indicator = '198.51.100.7', observed_at = 'now' }"),
        &["format-constant"; 2],
    );
    check_settings(&json("constant = { tlp = 'YELLOW', protocol = 'icmp' }"), &["format-value"; 2]);
    check_settings(&json("values = { role = { x = 'boss', y = '', z = 'c2' } }"), &["format-value"]);
    check_settings(&json("values = { tlp = { x = 'RED' } }"), &["format-values-unused"]);
    let csv = |rest: &str| {
        format!("[csv]\nmap = {{ indicator = \"i\", role = \"r\", observed_at = \"t\" }}\n{rest}")
    };
    check_settings(&csv(""), &[]);
    check_settings(&csv("delimiter = \"\\t\""), &[]);
    check_settings(&csv("delimiter = 'a'"), &["format-delimiter"]);
    check_settings(&csv("delimiter = '\"'"), &["format-delimiter"]);
    check_settings(&csv("delimiter = ';'\ncomment = ';'"), &["format-comment"]);
    check_settings("csv = { map = { indicator = ' ', role = 'r', observed_at = 't' } }", &["format-path"]);
}

#[test]
fn settings_of_unknown_keys_are_refused() {
    for text in [
        "xml = {}",
        "sightline = { strict = true }",
        "json = { path = 'a' }",
        "json = { map = { confidence = 'c' } }",
        "json = { map = { victim = { name = 'c' } } }",
        "json = { values = { indicator = { a = 'b' } } }",
        "json = { times = 'iso' }",
        "csv = { delimiter = ', ' }",
        "csv = {}\njson = {}",
    ] {
        assert!(toml::from_str::<FormatSettings>(text).is_err(), "{text}");
    }
    // What is left out is what the documentation says.
    assert_eq!(csv::Settings::default().delimiter, ',');
    assert_eq!(any_json::Settings::default().items, None);
}
