//! The bytes of a lead, and that they are what the schema says.

use expect_test::expect;

use super::*;
use crate::dossier::sample;
use crate::dossier::{Listed, Projection};

#[test]
fn the_bytes_of_a_lead() {
    let bytes = lead("lead-1", 7, &sample::lead(Role::C2));
    let content = String::from_utf8(bytes.content().to_vec()).expect("JSON is UTF-8");
    let text = String::from_utf8(bytes.bytes).expect("JSON is UTF-8");
    assert_eq!(text, format!(r#"{{"lead":"lead-1","version":7,"now":"2026-11-20T12:00:00Z"{content}"#));
    expect![[r#"
        {"lead":"lead-1","version":7,"now":"2026-11-20T12:00:00Z","indicator":{"type":"domain","value":"portal.agency.gov.example"},"role":"c2","malware":[{"name":"emotet","reporters":1},
        {"name":"qakbot","reporters":1}],
        "services":[{"port":443,"protocol":"tcp","first_seen":"2026-11-18T10:00:00Z","last_seen":"2026-11-20T08:00:00Z"},
        {"port":8443,"protocol":"tcp","first_seen":"2026-11-20T09:00:00Z","last_seen":"2026-11-20T09:00:00Z"}],
        "network":[{"ip":"198.51.100.7","asn":64496,"as_name":"Example Hosting","country":"SG"}],
        "nexus":[{"kind":"hosting","country":"SG","confidence":90,"source":"geoip"},
        {"kind":"gov","country":"TH","confidence":95,"source":"names"}],
        "gov":{"suffix":"gov.example","country":"TH","class":"central"},"time":{"first_seen":"2026-11-18T10:00:00Z","last_seen":"2026-11-20T09:00:00Z","first_reported":"2026-11-18T10:30:00Z"},"sightings":4,"reporters":2,"score":{"risk":94,"confidence":89,"verdict":"malicious","conflict":false,"factors":[{"code":"prior","text":"how likely it is, before anything is known of this one, that what is reported as c2 is it","points":-2.5,"source":"asean","origin":"asean","status":"hit"},
        {"code":"claim","text":"reported as c2, with a confidence of 80","points":2.2,"source":"acme","origin":"acme","status":"hit","observed_at":"2026-11-20T09:00:00Z"},
        {"code":"claim","text":"reported as c2, with a confidence of 80","points":1.88,"source":"bolt","origin":"bolt","status":"hit","observed_at":"2026-11-18T10:00:00Z"},
        {"code":"listed","text":"the list has an entry listed","points":1.74,"source":"reputation","origin":"blocklist.example","status":"hit","observed_at":"2026-11-17T12:00:00Z"},
        {"code":"claim","text":"reported as c2, with a confidence of 80","points":0.0,"source":"acme","origin":"acme","status":"hit","observed_at":"2026-11-20T08:00:00Z"},
        {"code":"government-name","text":"the list has an entry government-name","points":-0.52,"source":"names","origin":"names","status":"hit","observed_at":"2026-11-17T12:00:00Z"},
        {"code":"no-entry","text":"was asked and has no entry","points":0.0,"source":"warninglist","origin":"warninglist","status":"miss"},
        {"code":"not-checked","text":"gave no answer: no answer in time","points":0.0,"source":"dns","origin":"dns","status":"unknown"}]},"tlp":"AMBER+STRICT","pap":"GREEN","built":{"model":"asean 1 sha256:0123456789abcdef","sources":{"dns":"dns 2026-11-01","geoip":"geoip 2026-11-01","names":"names 2026-11-01","reputation":"reputation 2026-11-01","warninglist":"warninglist 2026-11-01"}},"raw":[{"reporter":"acme","observed_at":"2026-11-20T09:00:00Z","port":8443,"topic":"raw.acme","partition":3,"offset":997,"sha256":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"},
        {"reporter":"acme","observed_at":"2026-11-20T08:00:00Z","port":443,"topic":"raw.acme","partition":3,"offset":996,"sha256":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"},
        {"reporter":"acme","observed_at":"2026-11-19T06:00:00Z","port":443,"topic":"raw.acme","partition":3,"offset":970,"sha256":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"},
        {"reporter":"bolt","observed_at":"2026-11-18T10:00:00Z","port":443,"topic":"raw.bolt","partition":3,"offset":950,"sha256":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"}]}"#]].assert_eq(&text.replace("},{", "},\n{").replace("],\"", "],\n\""));
}

#[test]
fn the_tree_is_what_the_bytes_say() {
    for role in [Role::C2, Role::CompromisedSite] {
        let sample = sample::lead(role);
        let read: Value = serde_json::from_slice(&lead("lead-1", 7, &sample).bytes).expect("it is JSON");
        assert_eq!(read, lead_value("lead-1", 7, &sample));
    }
}

#[test]
fn what_is_written_is_what_the_schema_says() {
    let validator = jsonschema::validator_for(&lead_schema()).expect("it is a schema");
    let mut sample = sample::lead(Role::C2);
    assert!(validator.is_valid(&lead_value("lead-1", 7, &sample)));
    sample.malware.more = 1;
    sample.services.more = 2;
    sample.raw = Listed { items: Vec::new(), more: 3 };
    sample.gov = None;
    sample.network.push(crate::enrich::Network { ip: "192.0.2.1".to_owned(), ..Default::default() });
    let mut value = lead_value("lead-1", 7, &sample);
    assert_eq!((&value["malware_more"], &value["raw_more"]), (&1.into(), &3.into()));
    validator.validate(&value).expect("it is valid");

    value["surprise"] = true.into();
    assert!(!validator.is_valid(&value), "nothing else is ever written");
}

#[test]
fn the_schema_misses_no_field() {
    let schema = lead_schema();
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let whole = lead_value("lead-1", 7, &sample::lead(Role::C2));
    let optional = ["gov", "malware_more", "services_more", "raw_more"];
    for key in whole.as_object().expect("it is an object").keys() {
        let mut without = whole.clone();
        without.as_object_mut().expect("it is an object").remove(key);
        assert_eq!(validator.is_valid(&without), optional.contains(&key.as_str()), "{key}");
    }
}

#[test]
fn points_are_the_shortest_decimals() {
    let mut sample = sample::lead(Role::C2);
    let hundredths = [230, 200, -7, 0, 1, -2_000, 333, 1_999, 29, -110];
    sample.score.factors.truncate(1);
    let first = sample.score.factors[0].clone();
    sample.score.factors = hundredths.map(|points| crate::score::Factor { points, ..first.clone() }).into();
    let value = lead_value("lead-1", 1, &sample);
    let written: Vec<String> = value["score"]["factors"]
        .as_array()
        .expect("it is a list")
        .iter()
        .map(|factor| factor["points"].to_string())
        .collect();
    assert_eq!(written, ["2.3", "2.0", "-0.07", "0.0", "0.01", "-20.0", "3.33", "19.99", "0.29", "-1.1"]);
}

#[test]
fn the_same_lead_has_the_same_bytes() {
    let (dossier, scorer) = (sample::dossier(), sample::scorer());
    let form =
        || Lead::form(&Projection::whole(&dossier), Role::C2, &scorer, sample::NOW).expect("it is there");
    assert_eq!(lead("lead-1", 1, &form()), lead("lead-1", 1, &form()));
}
