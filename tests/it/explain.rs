//! `sightline explain`: why a score is what it is, and why a recipient is told what it is told; from
//! records on standard input, and from the state that a run left behind.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::program::{NOW, World};
use crate::state::Run;

/// A C2 that three reporters saw, one of which gives to police only, and a name of which nobody else
/// speaks.
fn records() -> Vec<String> {
    let seen = |reporter: &str, at: &str, port: u16, malware: &str| {
        json!({
            "indicator": "198.51.100[.]40", "role": "c2", "observed_at": at, "reporter": reporter,
            "id": format!("{reporter}-1"), "port": port, "protocol": "tcp", "malware": malware,
            "claimed_confidence": 90
        })
    };
    let all: [Value; 4] = [
        seen("blackwater-labs", "2026-11-19T08:00:00Z", 443, "orchid"),
        seen("larkspur", "2026-11-20T02:15:00Z", 8443, "orchid"),
        seen("meridian-dns", "2026-11-18T21:30:00Z", 443, "marten"),
        seen("northwind", "2026-11-17T10:00:00Z", 443, "orchid"),
    ];
    all.iter().map(Value::to_string).collect()
}

#[track_caller]
fn check(agreement: &str, expected: Expect) {
    let ran = World::new().run(
        &["explain", "--pipeline", "asean.toml", "--now", NOW, "--for", agreement, "-"],
        records().join("\n").as_bytes(),
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    expected.assert_eq(ran.text());
}

#[test]
fn the_hub_is_told_of_all_three() {
    check("dxa-hub-01", expect![[""]]);
}

#[test]
fn the_vendor_is_told_of_two() {
    check("dxa-northwind-01", expect![[""]]);
}

#[test]
fn dead_letters_and_nothing_are_said() {
    let world = World::new();
    let args = ["explain", "--pipeline", "asean.toml", "--now", NOW, "-"];
    let ran = world.run(&args, b"{}\n");
    assert_eq!(ran.code, 0);
    expect![[""]].assert_eq(ran.text());
}

#[test]
fn state_explains_as_its_records_do() {
    let world = World::new();
    let records = records();
    let mut run = Run::new(&world, Some(world.path("state/assess/0")), "here");
    run.feed(&records);
    run.settle(NOW);
    // What was committed last is behind on disk.
    run.feed(&[json!({
        "indicator": "other.hedge.example", "role": "c2", "observed_at": NOW, "reporter": "larkspur"
    })
    .to_string()]);
    run.settle(NOW);
    drop(run);
    let explain = |indicator: &str, rest: &[&str], input: &str| {
        let args = [
            &["explain", "--pipeline", "asean.toml", "--now", NOW, "--for", "dxa-northwind-01"],
            rest,
            &[indicator],
        ];
        world.run(&args.concat(), input.as_bytes())
    };
    let from_records = explain("-", &[], &records.join("\n"));
    for spelling in ["198.51.100.40", "198[.]51[.]100[.]40"] {
        let from_state = explain(spelling, &["--state", "state"], "");
        assert_eq!((from_state.code, from_state.stderr.as_str()), (0, ""));
        assert_eq!(from_state.text(), from_records.text());
    }
    // The pipeline's own directory is `state` beside it.
    assert_eq!(explain("198.51.100.40", &[], "").text(), from_records.text());

    let refused = |indicator: &str, rest: &[&str], expected: Expect| {
        let ran = explain(indicator, rest, "");
        assert_eq!((ran.code, ran.text()), (1, ""));
        expected.assert_eq(&ran.stderr);
    };
    refused("198.51.100.41", &[], expect![[""]]);
    refused("198.51.100.40", &["--state", "elsewhere"], expect![[""]]);
    refused("10.0.0.1", &[], expect![[""]]);
}
