//! Every enforced key of an agreement matters: changing it changes what comes of some dossier. The list
//! of keys is the schema's own, so a key without a case fails.

use serde_json::Value;

use super::super::*;
use super::world::{World, finding, fold};
use super::*;
use crate::diag::schema_of;
use crate::share::agreement::File;
use crate::share::fields::FIELDS;
use crate::sighting::{Notify, Pap, Tlp};

/// How a file's effect is seen: why it is not loaded, or what it decides and where it goes.
fn effect(text: &str, prepare: fn(&mut World)) -> String {
    let agreement = match read(text) {
        Ok(agreement) => agreement,
        Err(findings) => return findings,
    };
    // The same world for both files.
    let mut world = World::standard(UNIT);
    world.agreement = agreement;
    prepare(&mut world);
    format!("{} {} {}", world.agreement.name(), world.agreement.topic, seen(&world.decide().outcome))
}

/// A change of one key, and the world in which it shows.
struct Case {
    key: &'static str,
    base: &'static str,
    replace: &'static str,
    with: &'static str,
    prepare: fn(&mut World),
}

fn case(key: &'static str, base: &'static str, replace: &'static str, with: &'static str) -> Case {
    Case { key, base, replace, with, prepare: |_| () }
}

fn cases() -> Vec<Case> {
    let hub = |key, replace, with| case(key, HUB, replace, with);
    let unit = |key, replace, with| case(key, UNIT, replace, with);
    let prepared = |case: Case, prepare: fn(&mut World)| Case { prepare, ..case };
    vec![
        hub("schema", "dxa/1", "dxa/2"),
        hub("id", "\"hub-01\"", "\"hub-02\""),
        hub("version", "version = 1", "version = 2"),
        hub("status", "\"active\"", "\"suspended\""),
        hub("direction", "\"outbound\"", "\"mutual\""),
        // It travels, and can't be the recipient.
        hub("parties.provider.id", "org:house", "org:other"),
        prepared(hub("parties.recipient.id", "org:hub", "org:other"), |world| {
            let only = BTreeSet::from(["org:hub".to_owned()]);
            world.book.reporters.values_mut().for_each(|party| party.terms.release_to = only.clone());
        }),
        prepared(hub("parties.recipient.kind", "\"le-international\"", "\"cert-national\""), |world| {
            let only = BTreeSet::from(["le-international".to_owned()]);
            world.book.reporters.values_mut().for_each(|party| party.terms.release_to = only.clone());
        }),
        prepared(unit("parties.recipient.country", "country = \"TH\" }", "country = \"SG\" }"), |world| {
            let gov =
                Gov { suffix: "go.th".to_owned(), country: "TH".to_owned(), class: "central".to_owned() };
            world.dossier.findings[1].gov = Some(gov);
        }),
        hub("parties.recipient.key", "key = \"none\"", "key = \"key:x\""),
        prepared(hub("legal.purposes", "\"threat-analysis\"", "\"remediation\""), |world| {
            let terms = world.book.reporters.values_mut().map(|party| &mut party.terms);
            terms.for_each(|terms| {
                terms.purposes.remove(&crate::sighting::Purpose::Remediation);
            });
        }),
        prepared(hub("legal.excluded_matter", "\"political\", ", ""), |world| {
            let seen = crate::dossier::Seen { count: 1, first: world.now, last: world.now };
            world.dossier.folds[1].matter.kept = vec![("matter:political".to_owned(), seen)];
        }),
        hub("validity.effective_from", "effective_from = 2026-02-01", "effective_from = 2026-07-01"),
        prepared(hub("validity.expires_at", "2028-02-01", "2027-06-01"), |world| {
            let later = 400 * 86_400_000;
            world.now = world.now.plus(later);
            for fold in &mut world.dossier.folds {
                fold.last_seen = world.now;
            }
        }),
        hub("validity.review_by", "review_by = 2027-02-01", "review_by = 2029-02-01"),
        prepared(hub("ceiling.tlp", "tlp = \"AMBER\"", "tlp = \"GREEN\""), |world| {
            world.dossier.folds[1].marking.tlp = Tlp::Amber;
        }),
        prepared(hub("ceiling.pap", "pap = \"AMBER\"", "pap = \"GREEN\""), |world| {
            world.dossier.folds[1].marking.pap = Pap::Amber;
        }),
        hub("scope.roles", "roles = [\"c2\", ", "roles = ["),
        hub("scope.indicator_types", "\"ipv4\", ", ""),
        unit("scope.countries", "countries = [\"TH\"]", "countries = [\"SG\"]"),
        unit("scope.nexus", "nexus = [\"hosting\", ", "nexus = ["),
        prepared(
            hub("scope.nexus_unknown", "nexus_unknown = \"allow\"", "nexus_unknown = \"deny\""),
            |world| {
                world.dossier.findings.truncate(1);
            },
        ),
        unit("scope.nexus_min_confidence", "nexus_min_confidence = 50", "nexus_min_confidence = 95"),
        hub("scope.sectors", "sectors = [\"*\"]", "sectors = [\"energy\"]"),
        prepared(hub("scope.gov_assets", "\"include\"", "\"exclude\""), |world| {
            let gov =
                Gov { suffix: "go.th".to_owned(), country: "TH".to_owned(), class: "central".to_owned() };
            world.dossier.findings[1].gov = Some(gov);
        }),
        prepared(hub("scope.min_risk", "min_risk = 60", "min_risk = 100"), |world| {
            world.dossier.folds.truncate(2);
        }),
        prepared(hub("scope.min_confidence", "min_confidence = 50", "min_confidence = 100"), |world| {
            world.dossier.folds.truncate(2);
        }),
        prepared(hub("scope.verdicts", "\"malicious\"", "\"suspicious\""), |_| ()),
        hub("scope.max_age", "\"P30D\"", "\"PT1H\""),
        prepared(case("scope.min_age", OPEN, "min_age = \"PT24H\"\n", ""), |world| {
            let now = world.now;
            world.dossier.folds.iter_mut().for_each(|fold| fold.first_reported = now);
        }),
        prepared(case("scope.echo", OPEN, "echo = \"off\"", "echo = \"suppress\""), |world| {
            let org = Some("org:anybody".to_owned());
            world.book.reporters.values_mut().for_each(|party| party.org = org.clone());
        }),
        prepared(case("scope.require_notify", DESK, "require_notify = true\n", ""), |world| {
            world.dossier.findings[1].nexus[0].country = "SG".to_owned();
            let terms = world.book.reporters.values_mut().map(|party| &mut party.terms);
            terms.for_each(|terms| terms.notify_affected = Notify::MustNot);
        }),
        hub("delivery.topic", "out.hub", "out.other"),
        hub("delivery.format", "format = \"json\"", "format = \"csv\""),
        hub("delivery.cadence", "cadence = \"stream\"", "cadence = \"hourly\""),
        hub("delivery.sign", "sign = \"none\"", "sign = \"key:x\""),
        hub("delivery.encrypt", "encrypt = \"none\"", "encrypt = \"key:x\""),
        hub("reciprocity.mode", "mode = \"none\"", "mode = \"throttle\""),
    ]
}

/// The enforced keys of the schema, without those of `fields`.
fn enforced(root: &Value, here: &Value, path: &str, out: &mut BTreeSet<String>) {
    if let Some(standing) = here.get("x-standing") {
        if standing == "enforced" {
            out.insert(path.to_owned());
        }
        return;
    }
    if let Some(reference) = here.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#')).expect("a definition");
        return enforced(root, target, path, out);
    }
    for (name, inner) in here["properties"].as_object().expect("a section") {
        if name != "fields" {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            enforced(root, inner, &path, out);
        }
    }
}

#[test]
fn changing_an_enforced_key_changes_some_decision() {
    let schema = schema_of::<File>();
    let mut keys = BTreeSet::new();
    enforced(&schema, &schema, "", &mut keys);
    let cases = cases();
    let covered: BTreeSet<String> = cases.iter().map(|case| case.key.to_owned()).collect();
    assert_eq!(covered, keys);
    for case in cases {
        assert!(case.base.contains(case.replace), "{}: the fixture has no {}", case.key, case.replace);
        let changed = case.base.replacen(case.replace, case.with, 1);
        assert_ne!(
            effect(case.base, case.prepare),
            effect(&changed, case.prepare),
            "{} does nothing",
            case.key
        );
    }
}

#[test]
fn naming_a_field_changes_what_goes_out() {
    fn everything(world: &mut World) {
        let gov = Gov { suffix: "go.th".to_owned(), country: "TH".to_owned(), class: "central".to_owned() };
        world.dossier.findings[1].gov = Some(gov);
        world.dossier.folds.push(fold("sensor-a", Role::Spam, super::world::CLEAR));
        world.dossier.findings.push(finding("empty"));
    }
    fn url(world: &mut World) {
        everything(world);
        world.dossier.indicator =
            Indicator { kind: IndicatorType::Url, value: "http://a.example/?pwd=x".to_owned() };
    }
    for field in FIELDS.iter().filter(|field| !field.ops.is_empty()) {
        let line = format!("\"{}\" = \"keep\"\n", field.path);
        let mut without: String = HUB
            .lines()
            .filter(|line| !line.starts_with(&format!("\"{}\"", field.path)))
            .filter(|line| !(field.path.starts_with("services.") && line.starts_with("\"services\"")))
            .map(|line| format!("{line}\n"))
            .collect();
        if field.path == "score.risk" {
            // Factors without the risk are warned of, which is not what is tested here.
            without = without.replace("\"score.factors\" = \"keep\"\n", "");
        }
        let with = without.replace("[fields]\n", &format!("[fields]\n{line}"));
        let prepare = if field.path == "url.full" { url } else { everything };
        assert_ne!(effect(&without, prepare), effect(&with, prepare), "{} does nothing", field.path);
    }
}

#[test]
fn every_operation_does_something_of_its_own() {
    for field in FIELDS.iter().filter(|field| field.path != "url.full" && field.path != "indicator.value") {
        let mut effects = BTreeSet::new();
        for op in field.ops {
            let line = format!("\"{}\" = \"{}\"\n", field.path, op.as_str());
            let text: String = HUB
                .lines()
                .filter(|line| !line.starts_with(&format!("\"{}\"", field.path)))
                .filter(|line| !line.starts_with("\"services\"") && !line.starts_with("\"score.factors\""))
                .map(|line| format!("{line}\n"))
                .collect();
            let text = text.replace("[fields]\n", &format!("[fields]\n{line}"));
            effects.insert(effect(&text, |world| world.now = world.now.plus(61_000)));
        }
        assert_eq!(effects.len(), field.ops.len(), "{}", field.path);
    }
}
