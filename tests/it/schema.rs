//! `sightline schema`: schemas that are schemas, and true of what is read and written.

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::program::{World, of_topic, sightings, written};

fn schema(of: &str) -> Value {
    let ran = World::shipped().run(&["schema", of], b"");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    serde_json::from_slice(&ran.stdout).expect("a schema is JSON")
}

fn validator(of: &str) -> Validator {
    jsonschema::draft202012::new(&schema(of)).expect("a schema of draft 2020-12")
}

#[track_caller]
fn check_valid(validator: &Validator, value: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|err| format!("{}: {err}", err.instance_path())).collect();
    assert!(errors.is_empty(), "{value}\n{}", errors.join("\n"));
}

#[test]
fn all_are_schemas_of_their_draft() {
    for of in ["sighting", "lead", "pipeline", "agreement", "ledger"] {
        let schema = schema(of);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{of}");
        assert!(jsonschema::draft202012::meta::is_valid(&schema), "{of}");
        assert!(!jsonschema::draft202012::new(&schema).unwrap().is_valid(&json!({"nonsense": 1})), "{of}");
    }
    let unknown = World::shipped().run(&["schema", "nonsense"], b"");
    assert_eq!(unknown.code, 64);
}

#[test]
fn every_lead_is_as_its_schema_says() {
    let validator = validator("lead");
    let lines = World::new().enrich("raw.native", &written(&sightings(80, 400, 40)));
    let leads = of_topic(&lines, "sightline.leads");
    assert!(leads.len() > 50);
    for line in &leads {
        check_valid(&validator, &line.json());
    }
    // And a lead that lacks something, or has something else, is not.
    let lead = leads[0].json();
    for key in ["lead", "version", "indicator", "role", "score", "tlp", "built"] {
        let mut less = lead.clone();
        less.as_object_mut().unwrap().remove(key).expect(key);
        assert!(!validator.is_valid(&less), "without {key}");
        let mut other = lead.clone();
        other[key] = json!([false]);
        assert!(!validator.is_valid(&other), "with another {key}");
    }
}

#[test]
fn every_entry_of_the_ledger_is_as_its_schema_says() {
    let validator = validator("ledger");
    let mut entries: Vec<Value> = schema("ledger")["x-example"]["values"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|text| serde_json::from_str(text.as_str().expect("a text")).expect("JSON"))
        .collect();
    assert_eq!((&entries[0]["kind"], &entries[1]["kind"]), (&json!("disclosed"), &json!("stopped")));
    let lines = World::new().enrich("raw.native", &written(&sightings(80, 400, 40)));
    entries.extend(of_topic(&lines, "sightline.ledger").iter().map(|line| line.json()));
    assert!(entries.len() > 50);
    for entry in &entries {
        check_valid(&validator, entry);
        for key in entry.as_object().unwrap().keys().filter(|key| *key != "reason") {
            let mut less = entry.clone();
            less.as_object_mut().unwrap().remove(key).expect(key);
            assert!(!validator.is_valid(&less), "without {key}");
            let mut other = entry.clone();
            other[key] = json!([false]);
            assert!(!validator.is_valid(&other), "with another {key}");
        }
        let mut more = entry.clone();
        more["more"] = json!(1);
        assert!(!validator.is_valid(&more));
    }
}

/// What a record becomes in a run of the program: whether it is taken.
fn is_taken(world: &World, record: &Value) -> bool {
    let lines = world.enrich("raw.native", &[record.to_string()]);
    let taken = !of_topic(&lines, "sightline.sightings").is_empty();
    assert_ne!(taken, !of_topic(&lines, "sightline.dead-letters").is_empty());
    taken
}

#[test]
fn what_is_taken_is_as_the_schema_of_sightings_says() {
    let (world, validator) = (World::new(), validator("sighting"));
    let good = sightings(81, 100, 40);
    let lines = world.enrich("raw.native", &written(&good));
    assert_eq!(of_topic(&lines, "sightline.sightings").len(), good.len());
    for record in &good {
        check_valid(&validator, record);
    }
    let one = json!({
        "indicator": {"type": "ipv4", "value": "198.51.100.7"}, "role": "infected-client", "reporter": "larkspur",
        "observed_at": "2026-11-19T12:00:00.250Z", "id": "1", "malware": "orchid", "port": "443", "protocol": "tcp",
        "claimed_confidence": 0, "tlp": "AMBER+STRICT", "pap": "GREEN", "tags": ["a"], "comment": "b",
        "victim": {"country": "TH", "sector": "health"}
    });
    for record in [one.clone(), json!([one, one]), json!({"sightings": [one]})] {
        assert!(is_taken(&world, &record), "{record}");
        check_valid(&validator, &record);
    }
    let mut n_refused = 0;
    let mut refused = |record: Value| {
        n_refused += 1;
        assert!(!is_taken(&world, &record), "{record}");
        assert!(!validator.is_valid(&record), "{record}");
    };
    for key in ["indicator", "role", "observed_at"] {
        let mut less = one.clone();
        less.as_object_mut().unwrap().remove(key).expect(key);
        refused(less);
    }
    for key in one.as_object().unwrap().keys() {
        let mut other = one.clone();
        other[key] = json!(true);
        refused(other);
    }
    for (key, value) in [
        ("unheard-of", json!("x")),
        ("indicator", json!("")),
        ("indicator", json!({"type": "ipv4"})),
        ("indicator", json!({"type": "ipv5", "value": "198.51.100.7"})),
        ("role", json!("boss")),
        ("port", json!(0)),
        ("port", json!(65_536)),
        ("claimed_confidence", json!(101)),
        ("tlp", json!("PUBLIC")),
        ("tags", json!([1])),
        ("victim", json!({"city": "Bangkok"})),
    ] {
        let mut other = one.clone();
        other[key] = value;
        refused(other);
    }
    refused(json!([]));
    refused(json!({"sightings": []}));
    refused(json!({"sightings": [one], "more": 1}));
    assert_eq!(n_refused, 3 + 14 + 11 + 3);
}

/// A TOML file as JSON, times as texts.
fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(at) => at.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(json_of).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json_of(value))).collect())
        }
        plain => serde_json::to_value(plain).expect("texts, numbers and truths are JSON"),
    }
}

fn file(world: &World, name: &str) -> Value {
    let text = std::fs::read_to_string(world.path(name)).unwrap();
    json_of(toml::Value::Table(toml::from_str(&text).unwrap()))
}

#[test]
fn what_is_shipped_is_as_its_schema_says() {
    let world = World::shipped();
    let pipeline = file(&world, "asean.toml");
    let (of_pipeline, of_agreement) = (validator("pipeline"), validator("agreement"));
    check_valid(&of_pipeline, &pipeline);
    let agreements = pipeline["share"]["agreements"].as_array().unwrap();
    assert!(agreements.len() >= 5);
    for name in agreements {
        let agreement = file(&world, name.as_str().unwrap());
        check_valid(&of_agreement, &agreement);
        assert!(!of_pipeline.is_valid(&agreement) && !of_agreement.is_valid(&pipeline));
        for key in agreement.as_object().unwrap().keys() {
            let mut other = agreement.clone();
            other[format!("{key}s")] = other[key].clone();
            assert!(!of_agreement.is_valid(&other), "with {key}s");
        }
    }
}

/// Every key of an agreement says what becomes of it: nothing is read and ignored.
#[test]
fn every_key_of_an_agreement_has_a_standing() {
    let root = schema("agreement");
    let mut found = Vec::new();
    leaves(&root, &root, "", &mut found);
    assert!(found.len() > 60, "{}", found.len());
    let without: Vec<&String> = found
        .iter()
        .filter(|(_, standing)| !matches!(standing.as_deref(), Some("enforced" | "carried" | "refused")))
        .map(|(path, _)| path)
        .collect();
    assert!(without.is_empty(), "{without:?}");
    for standing in ["enforced", "carried", "refused"] {
        assert!(found.iter().any(|(_, held)| held.as_deref() == Some(standing)), "{standing}");
    }
}

/// The keys that hold no further named keys, each with its standing.
fn leaves(root: &Value, here: &Value, path: &str, found: &mut Vec<(String, Option<String>)>) {
    let here = resolved(root, here);
    for (name, property) in here["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let standing = property["x-standing"].as_str().map(str::to_owned);
        let inner = resolved(root, property);
        if standing.is_none() && inner["properties"].is_object() {
            leaves(root, inner, &path, found);
        } else {
            found.push((path, standing));
        }
    }
}

/// What a reference leads to; of a choice between something and nothing, the something.
fn resolved<'v>(root: &'v Value, here: &'v Value) -> &'v Value {
    if let Some(reference) = here["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("references are within the schema");
        return resolved(root, root.pointer(pointer).expect("references lead somewhere"));
    }
    match here["anyOf"].as_array().map(Vec::as_slice) {
        Some([some, none]) if none["type"] == "null" => resolved(root, some),
        _ => here,
    }
}
