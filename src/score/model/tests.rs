//! Reading and checking models; what they resolve to.

use expect_test::{Expect, expect};

use super::*;
use crate::sighting::time::DAY;

const ASEAN: &str = include_str!("../../../pipelines/asean/model.toml");

/// The shipped model with each of these texts replaced by the one beside it.
fn edited(edits: &[(&str, &str)]) -> Arc<Source> {
    let mut text = ASEAN.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from:?} is not in the model");
        text = text.replace(from, to);
    }
    Source::new("model.toml", text)
}

/// The findings, each with the text that it stands at.
#[track_caller]
fn check(edits: &[(&str, &str)], expected: Expect) {
    let source = edited(edits);
    let written: Written = toml::from_str(&source.text).expect("the shape is right");
    let mut findings = Findings::default();
    written.check(&source, &mut findings);
    let shown: String = findings
        .list()
        .iter()
        .map(|finding| {
            let place = finding.place.as_ref().expect("each has a place");
            let text = source.text[place.span.clone()].lines().next().unwrap_or_default();
            format!("{}: {} [at {text}]\n", finding.code, finding.message)
        })
        .collect();
    expected.assert_eq(&shown);
}

fn asean() -> Model {
    Model::from_written(&toml::from_str(ASEAN).expect("it reads"), digest_of(ASEAN.as_bytes()))
}

#[test]
fn the_shipped_model_is_sound() {
    check(&[], expect![""]);
}

#[test]
fn each_problem_is_found_at_its_place() {
    check(
        &[("name = \"asean\"", "name = \"asean hub\"")],
        expect![[r#"
        model-name: "asean hub" can't be shown as the model's name [at "asean hub"]
    "#]],
    );
    check(
        &[("version = \"1\"", "version = \"\"")],
        expect![[r#"
        model-name: "" can't be shown as the model's version [at ""]
    "#]],
    );
    check(
        &[("c2 = -250", "c2 = -25000")],
        expect![[r#"
        model-weight: -25000 is not between -2000 and 2000 [at -25000]
    "#]],
    );
    check(
        &[("c2 = 320", "c2 = -320")],
        expect![[r#"
        model-weight: -320 is not between 0 and 2000 [at -320]
    "#]],
    );
    check(
        &[("unstated = 60", "unstated = 101")],
        expect![[r#"
        model-percentage: 101 is more than 100 [at 101]
    "#]],
    );
    check(
        &[("[half_life]\ndefault = \"30d\"", "[half_life]\ndefault = \"0s\"")],
        expect![[r#"
        model-half-life: a half-life is shorter than a minute [at "0s"]
    "#]],
    );
    check(
        &[("url = \"2d\"", "url = \"2s\"")],
        expect![[r#"
        model-half-life: a half-life is shorter than a minute [at "2s"]
    "#]],
    );
    check(
        &[("suspicious = 40", "suspicious = 90")],
        expect![[r#"
        model-bands: the bands overlap: benign 8, suspicious 90, malicious 80 [at [bands]]
    "#]],
    );
    check(
        &[("bonus = 15", "bonus = 50"), ("cap = 330", "cap = 140")],
        expect![[r#"
        model-origin: weak_cap 150 is above cap 140 [at 150]
        model-origin: bonus 50 is above bonus_cap 40 [at 50]
    "#]],
    );
    check(
        &[("scanner = -60", "scanner = 0")],
        expect![[r#"
        model-weak-origin: one weak origin alone makes scanner malicious: it reaches 82 [at 150]
    "#]],
    );
    check(
        &[("supporting = 150", "supporting = 0")],
        expect![[r#"
        model-weight: 0 is not between 1 and 2000 [at 0]
    "#]],
    );
}

const UNKNOWN_KEYS: [(&str, &str); 5] = [
    ("bonus = 15", "bonuses = 15"),
    ("c2 = -250", "c3 = -250"),
    ("c2 = 320", "c3 = 320"),
    ("ipv4 = \"5d\"", "ip = \"5d\""),
    ("[half_life.roles.scanner]", "[half_life.roles.scan]"),
];

#[test]
fn unknown_keys_are_refused() {
    for (from, to) in UNKNOWN_KEYS {
        let source = edited(&[(from, to)]);
        assert!(toml::from_str::<Written>(&source.text).is_err(), "{to}");
    }
}

#[test]
fn half_life_is_the_nearest_that_is_given() {
    let source = edited(&[(
        "[half_life.roles.scanner]",
        "[half_life.codes]\nold-list = \"90d\"\n\n[half_life.roles.scanner]",
    )]);
    let model = Model::from_written(&toml::from_str(&source.text).expect("it reads"), String::new());
    let days = |code, role, kind| model.half_life(code, role, kind) / DAY;
    assert_eq!(days("claim", Role::C2, IndicatorType::Ipv4), 14, "of the type");
    assert_eq!(days("claim", Role::C2, IndicatorType::Domain), 60, "of the type");
    assert_eq!(days("claim", Role::Phishing, IndicatorType::Url), 2, "of role and type");
    assert_eq!(days("claim", Role::Phishing, IndicatorType::Sha256), 365, "of the type");
    assert_eq!(days("old-list", Role::Phishing, IndicatorType::Url), 90, "of the code");
}

#[test]
fn a_claim_is_scaled_by_confidence_and_reliability() {
    let claim = |claimed, reliability| asean().claim(Role::C2, claimed, reliability);
    assert_eq!(claim(Some(100), 100), 320);
    assert_eq!(claim(Some(0), 100), 96, "the floor, three tenths");
    assert_eq!(claim(Some(50), 100), 208, "half way between");
    assert_eq!(claim(None, 100), 192, "six tenths");
    assert_eq!(claim(Some(100), 50), 160);
    assert_eq!(claim(Some(100), 0), 0);
    assert_eq!(claim(Some(255), 255), 320, "more than all is all");
}

#[test]
fn reliability_scales_and_rounds_half_away_from_zero() {
    assert_eq!((relied(250, 90), relied(-250, 90)), (225, -225));
    assert_eq!((relied(1, 50), relied(-1, 50)), (1, -1));
    assert_eq!(relied(i32::MIN, 100), -MAX_WEIGHT);
}

#[test]
fn a_model_names_its_file() {
    let identity = asean().identity();
    let (head, digest) = identity.split_at("asean 1 sha256:".len());
    assert_eq!(head, "asean 1 sha256:");
    assert_eq!(digest.len(), 16);
    assert_eq!(digest_of(b""), "sha256:e3b0c44298fc1c14");
}

#[test]
fn the_schema_knows_the_keys_that_are_read() {
    let schema = schemars::schema_for!(Written).to_value();
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let value = |text: &str| -> serde_json::Value {
        serde_json::to_value(text.parse::<toml::Table>().expect("it is TOML")).expect("it is JSON too")
    };
    assert!(validator.is_valid(&value(ASEAN)));
    for (from, to) in UNKNOWN_KEYS {
        assert!(!validator.is_valid(&value(&edited(&[(from, to)]).text)), "{to}");
    }
}
