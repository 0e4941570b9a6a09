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
    // Which build of the data it was is not what this is about.
    let digests = regex::Regex::new("sha256:[0-9a-f]+|\\b[0-9a-f]{12}\\b").unwrap();
    expected.assert_eq(&digests.replace_all(ran.text(), "*"));
}

#[test]
fn the_hub_is_told_of_all_three() {
    check(
        "dxa-hub-01",
        expect![[r#"
            ipv4 198.51.100.40 as c2, at 2026-11-20T12:00:00Z
            malicious: risk 100, confidence 96
            4 sightings, 4 reporters, first seen 2026-11-17T10:00:00Z, last seen 2026-11-20T02:15:00Z

              points  age  status  code      source           origin           what it says
               -2.50       hit     prior     asean            asean            how likely it is, before anything is known of this one, that what is reported as c2 is it
               +2.92   9h  hit     claim     larkspur         larkspur         reported as c2, with a confidence of 90
               +2.10  28h  hit     claim     blackwater-labs  blackwater-labs  reported as c2, with a confidence of 90
               +2.06  38h  hit     claim     meridian-dns     meridian-dns     reported as c2, with a confidence of 90
               +1.91   3d  hit     claim     northwind        northwind        reported as c2, with a confidence of 90
               +0.00       miss    no-entry  watchlist        watchlist        was asked and has no entry
              ------
               +6.49  log-odds, which is a risk of 100 / (1 + e^-6.49) = 100

            not checked: nothing

            made from
              model      asean 1 *
              geoip      city GeoLite2-City 2026-11-01; asn GeoLite2-ASN 2026-11-01
              names      government * 2026-11-01; tld 2026-08-19
              watchlist  * 2026-11-02

            for dxa-hub-01@1, to org:hub:
               1 record       pass  ipv4 198.51.100.40
               1 lead         pass  a lead can be formed
               2 status       pass  active
               2 window       pass  2026-11-20T12:00:00Z in 2026-01-01T00:00:00Z to 2028-06-01T00:00:00Z
               3 embargo      pass  ipv4:198.51.100.40
               3 export       pass  no tag forbids it
               3 matter       pass  no excluded matter
               3 verdict      pass  malicious
               4 projection   pass  4 of 4 folds may be known
               4 marking      pass  TLP:AMBER PAP:AMBER
               5 echo         pass  0 folds are its own
               6 claim        pass  4 folds say c2
               7 role         pass  c2
               7 type         pass  ipv4
               7 government   pass  no government's name
               7 nexus        pass  hosting th (80)
               8 risk         pass  100 of at least 60
               8 confidence   pass  96 of at least 50
               8 verdict      pass  malicious
               8 age          pass  last seen 2026-11-20T02:15:00Z
               8 embargo      pass  others are told first, until 2026-11-20T12:00:00Z
               9 fields       pass  29 fields are shared
              10 leak gate    pass  nothing that must not show
              may know of    c2 of blackwater-labs (TLP:GREEN PAP:GREEN)
              may know of    c2 of larkspur (TLP:AMBER PAP:AMBER)
              may know of    c2 of meridian-dns (TLP:GREEN PAP:GREEN)
              may know of    c2 of northwind (TLP:GREEN PAP:GREEN)
              released, as scored for this recipient:
                ipv4 198.51.100.40 as c2, at 2026-11-20T12:00:00Z
                malicious: risk 100, confidence 96
                4 sightings, 4 reporters, first seen 2026-11-17T10:00:00Z, last seen 2026-11-20T02:15:00Z

                  points  age  status  code      source           origin           what it says
                   -2.50       hit     prior     asean            asean            how likely it is, before anything is known of this one, that what is reported as c2 is it
                   +2.92   9h  hit     claim     larkspur         larkspur         reported as c2, with a confidence of 90
                   +2.10  28h  hit     claim     blackwater-labs  blackwater-labs  reported as c2, with a confidence of 90
                   +2.06  38h  hit     claim     meridian-dns     meridian-dns     reported as c2, with a confidence of 90
                   +1.91   3d  hit     claim     northwind        northwind        reported as c2, with a confidence of 90
                   +0.00       miss    no-entry  watchlist        watchlist        was asked and has no entry
                  ------
                   +6.49  log-odds, which is a risk of 100 / (1 + e^-6.49) = 100

                not checked: nothing

                made from
                  model      asean 1 *
                  geoip      city GeoLite2-City 2026-11-01; asn GeoLite2-ASN 2026-11-01
                  names      government * 2026-11-01; tld 2026-08-19
                  watchlist  * 2026-11-02
              sent: {"built":{"model":"asean 1 *","sources":{"geoip":"city GeoLite2-City 2026-11-01; asn GeoLite2-ASN 2026-11-01","names":"government * 2026-11-01; tld 2026-08-19","watchlist":"* 2026-11-02"}},"indicator":{"type":"ipv4","value":"198.51.100.40"},"malware":[{"name":"orchid"},{"name":"marten"}],"network":[{"as_name":"Mango Cloud (invented)","asn":64496,"country":"TH","ip":"198.51.100.40"}],"nexus":[{"country":"TH","kind":"hosting"}],"pap":"AMBER","reporters":4,"role":"c2","score":{"confidence":96,"conflict":false,"factors":[{"code":"prior","points":-2.5,"source":"model","status":"hit","text":"how likely it is, before anything is known of this one, that what is reported as c2 is it"},{"code":"claim","observed_at":"2026-11-20T02:15:00Z","points":2.92,"source":"reporter","status":"hit","text":"a reporter saw it in this role"},{"code":"claim","observed_at":"2026-11-19T08:00:00Z","points":2.1,"source":"reporter","status":"hit","text":"a reporter saw it in this role"},{"code":"claim","observed_at":"2026-11-18T21:30:00Z","points":2.06,"source":"reporter","status":"hit","text":"a reporter saw it in this role"},{"code":"claim","observed_at":"2026-11-17T10:00:00Z","points":1.91,"source":"reporter","status":"hit","text":"a reporter saw it in this role"},{"code":"no-entry","points":0.0,"source":"watchlist","status":"miss","text":"was asked and has no entry"}],"risk":100,"verdict":"malicious"},"services":[{"first_seen":"2026-11-17T10:00:00Z","last_seen":"2026-11-19T08:00:00Z","port":443,"protocol":"tcp"},{"first_seen":"2026-11-20T02:15:00Z","last_seen":"2026-11-20T02:15:00Z","port":8443,"protocol":"tcp"}],"sightings":4,"time":{"first_seen":"2026-11-17T10:00:00Z","last_seen":"2026-11-20T02:15:00Z"},"tlp":"AMBER"}

        "#]],
    );
}

#[test]
fn the_vendor_is_told_of_two() {
    check(
        "dxa-northwind-01",
        expect![[r#"
            ipv4 198.51.100.40 as c2, at 2026-11-20T12:00:00Z
            malicious: risk 100, confidence 96
            4 sightings, 4 reporters, first seen 2026-11-17T10:00:00Z, last seen 2026-11-20T02:15:00Z

              points  age  status  code      source           origin           what it says
               -2.50       hit     prior     asean            asean            how likely it is, before anything is known of this one, that what is reported as c2 is it
               +2.92   9h  hit     claim     larkspur         larkspur         reported as c2, with a confidence of 90
               +2.10  28h  hit     claim     blackwater-labs  blackwater-labs  reported as c2, with a confidence of 90
               +2.06  38h  hit     claim     meridian-dns     meridian-dns     reported as c2, with a confidence of 90
               +1.91   3d  hit     claim     northwind        northwind        reported as c2, with a confidence of 90
               +0.00       miss    no-entry  watchlist        watchlist        was asked and has no entry
              ------
               +6.49  log-odds, which is a risk of 100 / (1 + e^-6.49) = 100

            not checked: nothing

            made from
              model      asean 1 *
              geoip      city GeoLite2-City 2026-11-01; asn GeoLite2-ASN 2026-11-01
              names      government * 2026-11-01; tld 2026-08-19
              watchlist  * 2026-11-02

            for dxa-northwind-01@1, to org:northwind:
               1 record       pass  ipv4 198.51.100.40
               1 lead         pass  a lead can be formed
               2 status       pass  active
               2 window       pass  2026-11-20T12:00:00Z in 2026-01-01T00:00:00Z to 2028-06-01T00:00:00Z
               3 embargo      pass  ipv4:198.51.100.40
               3 export       pass  no tag forbids it
               3 matter       pass  no excluded matter
               3 verdict      pass  malicious
               4 projection   pass  3 of 4 folds may be known
               4 marking      pass  TLP:GREEN PAP:GREEN
               5 echo         pass  1 folds are its own
               6 claim        pass  2 folds say c2
               7 role         pass  c2
               7 type         pass  ipv4
               7 government   pass  no government's name
               7 nexus        pass  hosting th (80)
               8 risk         pass  84 of at least 70
               8 confidence   pass  74 of at least 60
               8 verdict      pass  malicious
               8 age          pass  last seen 2026-11-19T08:00:00Z
               8 embargo      pass  others are told first, until 2026-11-20T12:00:00Z
               9 fields       pass  16 fields are shared
              10 leak gate    pass  nothing that must not show
              may know of    c2 of blackwater-labs (TLP:GREEN PAP:GREEN)
              may know of    c2 of meridian-dns (TLP:GREEN PAP:GREEN)
              dropped        c2 of larkspur (TLP:AMBER PAP:AMBER): above-ceiling
              dropped        c2 of northwind (TLP:GREEN PAP:GREEN): echo
              released, as scored for this recipient:
                ipv4 198.51.100.40 as c2, at 2026-11-20T12:00:00Z
                malicious: risk 84, confidence 74
                2 sightings, 2 reporters, first seen 2026-11-18T21:30:00Z, last seen 2026-11-19T08:00:00Z

                  points  age  status  code      source           origin           what it says
                   -2.50       hit     prior     asean            asean            how likely it is, before anything is known of this one, that what is reported as c2 is it
                   +2.10  28h  hit     claim     blackwater-labs  blackwater-labs  reported as c2, with a confidence of 90
                   +2.06  38h  hit     claim     meridian-dns     meridian-dns     reported as c2, with a confidence of 90
                   +0.00       miss    no-entry  watchlist        watchlist        was asked and has no entry
                  ------
                   +1.66  log-odds, which is a risk of 100 / (1 + e^-1.66) = 84

                not checked: nothing

                made from
                  model      asean 1 *
                  geoip      city GeoLite2-City 2026-11-01; asn GeoLite2-ASN 2026-11-01
                  names      government * 2026-11-01; tld 2026-08-19
                  watchlist  * 2026-11-02
              sent: {"indicator":{"type":"ipv4","value":"198.51.100.40"},"malware":[{"name":"marten"},{"name":"orchid"}],"network":[{"asn":64496,"country":"TH"}],"pap":"GREEN","role":"c2","score":{"confidence":"50-74","risk":"75-89","verdict":"malicious"},"services":[{"port":443,"protocol":"tcp"}],"time":{"first_seen":"2026-11-18T00:00:00Z","last_seen":"2026-11-19T08:00:00Z"},"tlp":"GREEN"}

        "#]],
    );
}

#[test]
fn dead_letters_and_nothing_are_said() {
    let world = World::new();
    let args = ["explain", "--pipeline", "asean.toml", "--now", NOW, "-"];
    let ran = world.run(&args, b"{}\n");
    assert_eq!(ran.code, 0);
    expect![[r#"
        record 0 is a dead letter: it has no indicator [missing-field]
        no sighting among the records
    "#]]
    .assert_eq(ran.text());
}

#[test]
fn state_explains_as_its_records_do() {
    let world = World::new();
    let records = records();
    let mut run = Run::new(&world, Some(world.path("state/assess/0")), "here");
    run.feed(&records);
    run.settle(NOW);
    // The disk is a commit behind in each partition. Repeats change nothing and commit.
    run.feed(&records);
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
    refused(
        "198.51.100.41",
        &[],
        expect![[r#"
            sightline: nothing is known of ipv4 198.51.100.41
        "#]],
    );
    refused(
        "198.51.100.40",
        &["--state", "elsewhere"],
        expect![[r#"
            sightline: there is no state of assess in elsewhere: name it with --state, or ask the topic with --kafka: No such file or directory (os error 2)
        "#]],
    );
    refused(
        "10.0.0.1",
        &[],
        expect![[r#"
            sightline: 10.0.0.1: 10.0.0.1 is set aside (private use), and identifies nobody [special-purpose]
        "#]],
    );
}
