//! Field by field: what is shown, what is not, and that the digests see what the tree shows.

use proptest::prelude::*;

use super::*;
use crate::dossier::{Built, Listed, Malware, Service, Times};
use crate::enrich::{Gov, Network, Nexus, Status};
use crate::score::Score;
use crate::share::fields::FIELDS;
use crate::sighting::{Indicator, Pap, Role, Tlp};

const MARKING: Marking = Marking { tlp: Tlp::AmberStrict, pap: Pap::Amber };

/// A lead of which every field has a value that is nowhere else, with the paths it may show at.
fn marked() -> (Lead, Vec<(&'static str, &'static str)>) {
    let at = |day: i64| Timestamp(1_780_000_000_000 + day * DAY);
    let lead = Lead {
        now: at(0),
        indicator: Indicator { kind: IndicatorType::Ipv4, value: "198.51.100.77".to_owned() },
        role: Role::MalwareDistribution,
        malware: Listed { items: vec![Malware { name: "mal-name".to_owned(), reporters: 7001 }], more: 7002 },
        services: Listed {
            items: vec![Service {
                port: 7003,
                protocol: Some(Protocol::Udp),
                first_seen: at(1),
                last_seen: at(2),
            }],
            more: 7004,
        },
        network: vec![Network {
            ip: "203.0.113.88".to_owned(),
            asn: Some(7005),
            as_name: Some("as-name".to_owned()),
            country: Some("QA".to_owned()),
            city: Some("city-name".to_owned()),
        }],
        nexus: vec![Nexus {
            kind: NexusKind::Hosting,
            country: "QB".to_owned(),
            confidence: 71,
            source: "SECRET-nexus-source".to_owned(),
        }],
        gov: Some(Gov { suffix: "gov.qc".to_owned(), country: "QC".to_owned(), class: "police".to_owned() }),
        time: Times { first_seen: at(3), last_seen: at(4), first_reported: at(5) },
        sightings: 7006,
        reporters: 7007,
        score: Score {
            risk: 72,
            confidence: 73,
            verdict: Verdict::Suspicious,
            conflict: true,
            log_odds: 74_747,
            factors: vec![
                factor("claim", "SECRET-reporter"),
                factor("listed", "known"),
                factor("odd-code", "SECRET-source"),
            ],
        },
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        built: Built {
            model: "model-name".to_owned(),
            sources: ["known", "SECRET-build"]
                .map(|name| (name.to_owned(), format!("build-of-{name}")))
                .into(),
        },
        raw: Listed { items: Vec::new(), more: 7008 },
    };
    let canaries = vec![
        ("indicator.type", "\"ipv4\""),
        ("indicator.value", "198.51.100.77"),
        ("role", "malware-distribution"),
        ("malware.name", "mal-name"),
        ("malware.name", "7002"),
        ("malware.reporters", "7001"),
        ("services.port", "7003"),
        ("services.port", "7004"),
        ("services.protocol", "udp"),
        ("services.first_seen", "2026-05-29T"),
        ("services.last_seen", "2026-05-30T"),
        ("network.ip", "203.0.113.88"),
        ("network.asn", "7005"),
        ("network.as_name", "as-name"),
        ("network.country", "\"QA\""),
        ("network.city", "city-name"),
        ("nexus.kind", "hosting"),
        ("nexus.country", "\"QB\""),
        ("nexus.confidence", ":71"),
        ("gov.suffix", "gov.qc"),
        ("gov.country", "\"QC\""),
        ("gov.class", "police"),
        ("time.first_seen", "2026-05-31T"),
        ("time.last_seen", "2026-06-01T"),
        ("time.first_reported", "2026-06-02T"),
        ("sightings", "7006"),
        ("reporters", "7007"),
        ("score.risk", ":72"),
        ("score.confidence", ":73"),
        ("score.verdict", "\"suspicious\""),
        ("score.conflict", "\"conflict\""),
        ("score.factors", "\"factors\""),
        ("tlp", "AMBER+STRICT"),
        ("pap", "\"AMBER\""),
        ("built", "model-name"),
        ("built", "build-of-known"),
        ("now", "2026-05-28T"),
        ("", "SECRET"),
        ("", "7008"),
        ("", "74747"),
        ("", "odd-code"),
        ("", "CLEAR"),
    ];
    (lead, canaries)
}

fn factor(code: &str, source: &str) -> Factor {
    Factor {
        code: code.to_owned(),
        text: format!("{source} says {code}"),
        points: 10,
        source: source.to_owned(),
        origin: "SECRET-origin".to_owned(),
        status: Status::Hit,
        observed_at: Some(Timestamp(1_780_000_000_000 + 9 * DAY)),
    }
}

fn text(lead: &Lead, fields: &Fields) -> String {
    let redacted = redact(lead, MARKING, &["known"].into(), fields).unwrap();
    String::from_utf8(bytes(&redacted.fields)).unwrap()
}

fn only(paths: &[&str], op: Op) -> Fields {
    let mut fields = Fields::default();
    for field in FIELDS.iter().filter(|field| paths.contains(&field.path)) {
        fields.allow(field, op);
    }
    fields
}

/// The lead, changed in one place.
fn changes() -> Vec<(&'static str, Lead)> {
    let changed = |name, change: &dyn Fn(&mut Lead)| {
        let (mut lead, _) = marked();
        change(&mut lead);
        (name, lead)
    };
    let later = |time: &mut Timestamp| *time = time.plus(3 * DAY);
    vec![
        changed("nothing", &|_| ()),
        changed("now", &|lead| later(&mut lead.now)),
        changed("risk", &|lead| lead.score.risk = 1),
        changed("points", &|lead| lead.score.factors[0].points = 77),
        changed("first seen", &|lead| later(&mut lead.time.first_seen)),
        changed("last seen", &|lead| later(&mut lead.time.last_seen)),
        changed("reported", &|lead| later(&mut lead.time.first_reported)),
        changed("sightings", &|lead| lead.sightings += 1),
        changed("reporters", &|lead| lead.reporters += 1),
        changed("role", &|lead| lead.role = Role::C2),
        changed("value", &|lead| lead.indicator.value = "198.51.100.78".to_owned()),
        changed("malware", &|lead| lead.malware.items[0].name = "other".to_owned()),
        changed("naming", &|lead| lead.malware.items[0].reporters += 1),
        changed("more malware", &|lead| lead.malware.more += 1),
        changed("more services", &|lead| lead.services.more += 1),
        changed("port", &|lead| lead.services.items[0].port += 1),
        changed("protocol", &|lead| lead.services.items[0].protocol = None),
        changed("port seen", &|lead| later(&mut lead.services.items[0].last_seen)),
        changed("address", &|lead| lead.network[0].ip = "203.0.113.89".to_owned()),
        changed("system", &|lead| lead.network[0].asn = None),
        changed("city", &|lead| lead.network[0].city = Some("elsewhere".to_owned())),
        changed("twice", &|lead| lead.network.push(lead.network[0].clone())),
        changed("link", &|lead| lead.nexus[0].kind = NexusKind::Tld),
        changed("country", &|lead| lead.nexus[0].country = "QX".to_owned()),
        changed("sure", &|lead| lead.nexus[0].confidence += 1),
        changed("teller", &|lead| lead.nexus[0].source = "SECRET-other".to_owned()),
        changed("government", &|lead| lead.gov = None),
        changed("model", &|lead| lead.built.model = "another".to_owned()),
        changed("build", &|lead| {
            lead.built.sources.insert("known".to_owned(), "newer".to_owned());
        }),
        changed("hidden build", &|lead| {
            lead.built.sources.insert("SECRET-build".to_owned(), "newer".to_owned());
        }),
        changed("raw", &|lead| lead.raw.more += 1),
    ]
}

/// What of a tree decay alone changes, taken out.
fn lasting(mut fields: Value) -> Value {
    let map = fields.as_object_mut().unwrap();
    map.remove("now");
    map.remove("score");
    fields
}

proptest! {
    /// The digests are of the tree that would be sent, though it is not built for them: whatever
    /// fields are shared, and whatever changes, both see it or neither.
    #[test]
    fn the_digests_see_what_the_tree_shows(choice in prop::collection::vec(any::<bool>(), FIELDS.len())) {
        let paths: Vec<&str> =
            FIELDS.iter().zip(&choice).filter(|(_, chosen)| **chosen).map(|(field, _)| field.path).collect();
        let fields = only(&paths, Op::Keep);
        let known = ["known"].into();
        let of = |lead: &Lead| {
            let tree = redact(lead, MARKING, &known, &fields).unwrap().fields;
            (lasting(tree), digests(lead, MARKING, &known, &fields, &0u8).unwrap())
        };
        let (tree, before) = of(&marked().0);
        for (name, lead) in changes() {
            let (other, after) = of(&lead);
            prop_assert_eq!(tree == other, before.facts == after.facts, "{}", name);
            let is_minor = ["seen", "reported", "sightings", "more", "build"].iter().any(|word| name.contains(word));
            prop_assert_eq!(tree == other || is_minor, before.major == after.major, "{}", name);
        }
        prop_assert_ne!(before, digests(&marked().0, MARKING, &known, &fields, &1u8).unwrap());
    }
}

/// I4, field by field: each alone shows its own values, and nothing of any other.
#[test]
fn each_field_shows_itself_and_nothing_else() {
    let (lead, canaries) = marked();
    for field in FIELDS.iter().filter(|field| field.ops.contains(&Op::Keep)) {
        let text = text(&lead, &only(&[field.path], Op::Keep));
        for (path, canary) in &canaries {
            let is_member = field.path == "services" && path.starts_with("services.");
            assert_eq!(
                text.contains(canary),
                *path == field.path || is_member,
                "{canary} with {}: {text}",
                field.path
            );
        }
    }
}

#[test]
fn no_field_shows_nothing() {
    assert_eq!(text(&marked().0, &Fields::default()), "{}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// I4 for any choice of fields.
    #[test]
    fn any_choice_shows_what_was_chosen(choice in prop::collection::vec(any::<bool>(), FIELDS.len())) {
        let (lead, canaries) = marked();
        let mut fields = Fields::default();
        for (field, _) in FIELDS.iter().zip(choice).filter(|(field, chosen)| *chosen && !field.ops.is_empty()) {
            fields.allow(field, Op::Keep);
        }
        let text = text(&lead, &fields);
        // `observed_at` of a factor follows `time.last_seen`, on another day than any canary.
        for (path, canary) in canaries {
            prop_assert_eq!(text.contains(canary), fields.op(path).is_some(), "{} in {}", canary, text);
        }
    }
}

#[test]
fn operations() {
    #[track_caller]
    fn check(path: &'static str, op: Op, want: &str) {
        assert_eq!(text(&marked().0, &only(&[path], op)), want);
    }
    check("time.last_seen", Op::Keep, r#"{"time":{"last_seen":"2026-06-01T20:26:40Z"}}"#);
    check("time.last_seen", Op::TruncateHour, r#"{"time":{"last_seen":"2026-06-01T20:00:00Z"}}"#);
    check("time.last_seen", Op::TruncateDay, r#"{"time":{"last_seen":"2026-06-01T00:00:00Z"}}"#);
    check("indicator.value", Op::TruncateNet, r#"{"indicator":{"value":"198.51.100.0/24"}}"#);
    check("network.ip", Op::TruncateNet, r#"{"network":[{"ip":"203.0.113.0/24"}]}"#);
    check("score.risk", Op::Band, r#"{"score":{"risk":"50-74"}}"#);
}

#[test]
fn an_ipv6_address_is_in_a_48() {
    let shown = address(Op::TruncateNet, "2001:db8:1:2::3").unwrap();
    assert_eq!(shown.into_value(), "2001:db8:1::/48");
}

#[test]
fn bands_leave_no_number_out() {
    let bands: Vec<Value> = (0..=100).filter_map(|n| number(Op::Band, n)).map(Shown::into_value).collect();
    assert_eq!(bands.len(), 101);
    assert_eq!(
        (&bands[24], &bands[25], &bands[89], &bands[90]),
        (&json!("0-24"), &json!("25-49"), &json!("75-89"), &json!("90-100"))
    );
}

#[test]
fn an_operation_that_does_not_fit_denies() {
    let (lead, _) = marked();
    for field in FIELDS.iter().filter(|field| !field.ops.is_empty() && !field.path.starts_with("url")) {
        for op in Op::ALL.into_iter().filter(|op| !field.ops.contains(op)) {
            let result = redact(&lead, MARKING, &BTreeSet::new(), &only(&[field.path], op));
            assert!(result.is_err(), "{} did {}", field.path, op.as_str());
        }
    }
    let mut domain = lead;
    domain.indicator = Indicator { kind: IndicatorType::Domain, value: "a.example".to_owned() };
    let fields = only(&["indicator.value"], Op::TruncateNet);
    assert!(redact(&domain, MARKING, &BTreeSet::new(), &fields).is_err());
}

#[test]
fn a_url_needs_both_fields_and_hides_its_whole_form() {
    let (mut lead, _) = marked();
    let whole = "http://a.example/x?pwd=geheim";
    lead.indicator = Indicator { kind: IndicatorType::Url, value: whole.to_owned() };
    let with = |ops: &[(&str, Op)]| {
        let mut fields = Fields::default();
        for (path, op) in ops {
            fields.allow(FIELDS.iter().find(|field| field.path == *path).unwrap(), *op);
        }
        redact(&lead, MARKING, &BTreeSet::new(), &fields).unwrap()
    };
    assert_eq!(with(&[("indicator.value", Op::Keep)]).fields, json!({}));
    assert_eq!(with(&[("url.full", Op::Keep)]).fields, json!({}));
    let kept = with(&[("indicator.value", Op::Keep), ("url.full", Op::Keep)]);
    assert_eq!(kept.fields, json!({ "indicator": { "value": whole } }));
    assert_eq!(kept.hidden, None);
    let strict = with(&[("indicator.value", Op::Keep), ("url.full", Op::ScrubStrict)]);
    assert_eq!(
        strict.fields,
        json!({ "indicator": { "value": "http://a.example/x" }, "url_scrubbed": true })
    );
    assert_eq!(strict.hidden.as_deref(), Some(whole));
}

#[test]
fn factors_say_what_is_known_of_them_and_no_name() {
    let (mut lead, _) = marked();
    lead.score.factors = vec![
        Factor { points: -250, observed_at: None, ..factor("prior", "SECRET-model") },
        factor("claim", "SECRET-b"),
        factor("claim", "SECRET-a"),
        factor("listed", "known"),
        Factor { points: -5, observed_at: None, text: "counts no further".to_owned(), ..factor("cap", "m") },
    ];
    lead.score.factors[1].observed_at = Some(Timestamp(1_780_000_000_000));
    let redacted = redact(&lead, MARKING, &["known"].into(), &only(&["score.factors"], Op::Keep)).unwrap();
    let rows = redacted.fields["score"]["factors"].as_array().unwrap().clone();
    let shown: Vec<String> =
        rows.iter().map(|row| format!("{} {} {}", row["code"], row["points"], row["source"])).collect();
    let want = [
        r#""prior" -2.5 "model""#,
        r#""claim" 0.1 "reporter""#,
        r#""claim" 0.1 "reporter""#,
        r#""listed" 0.1 "known""#,
        r#""cap" -0.05 "model""#,
    ];
    assert_eq!(shown, want);
    // Equal claims can't be told apart, whatever order they came in.
    lead.score.factors.swap(1, 2);
    let again = redact(&lead, MARKING, &["known"].into(), &only(&["score.factors"], Op::Keep)).unwrap();
    assert_eq!(again, redacted);
    // Times of claims are as coarse as the lead's.
    let mut fields = only(&["score.factors"], Op::Keep);
    fields.allow(FIELDS.iter().find(|field| field.path == "time.last_seen").unwrap(), Op::TruncateDay);
    let coarse = redact(&lead, MARKING, &["known"].into(), &fields).unwrap();
    assert_eq!(coarse.fields["score"]["factors"][3]["observed_at"], "2026-06-06T00:00:00Z");
}

#[test]
fn a_network_hides_the_address_unless_it_names_it() {
    let (mut lead, _) = marked();
    let fields = only(&["indicator.value"], Op::TruncateNet);
    let hidden = |lead: &Lead| redact(lead, MARKING, &BTreeSet::new(), &fields).unwrap().hidden;
    assert_eq!(hidden(&lead).as_deref(), Some("198.51.100.77"));
    lead.indicator.value = "198.51.100.0".to_owned();
    assert_eq!(hidden(&lead), None);
}

#[test]
fn rows_that_became_equal_are_one() {
    let (mut lead, _) = marked();
    let mut second = lead.network[0].clone();
    second.ip = "203.0.113.99".to_owned();
    lead.network.push(second);
    assert_eq!(text(&lead, &only(&["network.country"], Op::Keep)), r#"{"network":[{"country":"QA"}]}"#);
}

#[test]
fn keys_are_in_order_whatever_was_put_first() {
    assert_eq!(bytes(&json!({ "b": 1, "a": { "d": 2, "c": 3 } })), br#"{"a":{"c":3,"d":2},"b":1}"#);
}
