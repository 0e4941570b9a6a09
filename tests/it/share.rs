//! Agreements as files: what is read, what is refused, and every lint at its place.
//!
//! What an agreement then lets through is tested beside the decision.

use serde_json::Value;
use sightline::diag::{Findings, Source, schema_of};
use sightline::share::agreement::{Agreement, Countries, File, check_all, parse};

const HUB: &str = include_str!("../fixtures/agreements/hub.toml");
const UNIT: &str = include_str!("../fixtures/agreements/unit.toml");
const PEER: &str = include_str!("../fixtures/agreements/peer.toml");
const DESK: &str = include_str!("../fixtures/agreements/desk.toml");
const OPEN: &str = include_str!("../fixtures/agreements/open.toml");
const REFUSED: &str = include_str!("../fixtures/agreements/refused.toml");

fn read(name: &str, text: &str) -> (Option<Agreement>, Findings) {
    let mut findings = Findings::default();
    let agreement = parse(&Source::new(name, text), &mut findings);
    (agreement, findings)
}

#[track_caller]
fn sound(text: &str) -> Agreement {
    let (agreement, findings) = read("test.toml", text);
    assert!(findings.is_empty(), "{}", findings.render());
    agreement.expect("no finding, and so an agreement")
}

#[test]
fn the_fixtures_are_sound() {
    let list = [HUB, UNIT, PEER, DESK, OPEN].map(sound);
    let mut findings = Findings::default();
    check_all(&list, &mut findings);
    assert!(findings.is_empty(), "{}", findings.render());
}

#[test]
fn an_agreement_is_what_its_file_says() {
    let unit = sound(UNIT);
    assert_eq!(unit.name(), "unit-01@3");
    assert_eq!(unit.recipient.country.as_deref(), Some("TH"));
    assert_eq!(unit.scope.countries, Countries::Only(["TH".to_owned()].into()));
    // A text and a TOML time are the same, and an offset is not lost.
    assert_eq!(unit.effective_from.to_string(), "2026-04-01T00:00:00Z");
    assert_eq!(unit.expires_at.to_string(), "2027-04-01T00:00:00Z");
    assert_eq!(sound(OPEN).scope.min_age, 86_400_000);
    assert_eq!(sound(HUB).recipient.country, None);
    // The digest is of the file's bytes.
    assert_eq!(unit.digest.len(), "sha256:".len() + 64);
    assert_ne!(sound(&format!("{UNIT}\n")).digest, unit.digest);
    assert!(unit.is_review_overdue(unit.review_by) && !unit.is_review_overdue(unit.effective_from));
}

/// Reads a fixture with one thing replaced, and expects exactly these findings: code, and the text that
/// stands at the place.
#[track_caller]
fn check(base: &str, replace: &str, with: &str, want: &[(&str, &str)]) {
    assert!(base.contains(replace), "the fixture has no {replace}");
    let text = base.replacen(replace, with, 1);
    let (agreement, findings) = read("test.toml", &text);
    let got: Vec<(&str, &str)> = findings
        .list()
        .iter()
        .map(|finding| (finding.code, finding.place.as_ref().map_or("", |place| &text[place.span.clone()])))
        .collect();
    assert_eq!(got, want, "{}", findings.render());
    assert_eq!(agreement.is_none(), findings.has_errors(), "an agreement, and yet an error");
    for finding in findings.list() {
        assert!(finding.help.is_some(), "{} says what is wrong, not what to do", finding.code);
        assert!(!finding.message.ends_with('.'), "{}", finding.message);
        assert!(finding.code.starts_with("agreement-"), "{}", finding.code);
    }
}

#[test]
fn names_and_parties() {
    check(UNIT, "\"unit-01\"", "\"Unit 01\"", &[("agreement-name", "\"Unit 01\"")]);
    check(UNIT, "\"unit-01\"", "\"-unit\"", &[("agreement-name", "\"-unit\"")]);
    check(UNIT, "\"out.unit\"", "\"out unit\"", &[("agreement-name", "\"out unit\"")]);
    check(UNIT, "\"out.unit\"", "\"\"", &[("agreement-name", "\"\"")]);
    check(UNIT, "\"org:unit\"", "\"unit\"", &[("agreement-parties", "\"unit\"")]);
    check(UNIT, "\"org:unit\"", "\"org:house\"", &[("agreement-parties", "\"org:house\"")]);
    check(UNIT, "\"org:house\"", "\"org:\"", &[("agreement-parties", "\"org:\"")]);
}

#[test]
fn dates() {
    let expires = "expires_at = 2027-03-01T00:00:00Z";
    let at = |code, text| [(code, text)];
    check(PEER, expires, "expires_at = 2029-03-02T00:00:00Z", &at("agreement-dates", "2029-03-02T00:00:00Z"));
    check(PEER, expires, "expires_at = 2029-03-01T00:00:00Z", &[]);
    check(
        PEER,
        expires,
        "expires_at = 2026-03-01T00:00:00Z",
        &[("agreement-dates", "2026-03-01T00:00:00Z"), ("agreement-dates", "2026-09-01T00:00:00Z")],
    );
    check(
        PEER,
        "review_by = 2026-09-01T00:00:00Z",
        "review_by = 2027-03-02T00:00:00Z",
        &at("agreement-dates", "2027-03-02T00:00:00Z"),
    );
    check(
        PEER,
        "review_by = 2026-09-01T00:00:00Z",
        "review_by = 2026-02-28T00:00:00Z",
        &at("agreement-dates", "2026-02-28T00:00:00Z"),
    );
}

#[test]
fn ceilings() {
    let amber = "tlp = \"AMBER\"";
    check(OPEN, "tlp = \"CLEAR\"", "tlp = \"GREEN\"", &[("agreement-ceiling", "\"GREEN\"")]);
    check(OPEN, "pap = \"CLEAR\"", "pap = \"GREEN\"", &[("agreement-ceiling", "\"GREEN\"")]);
    check(DESK, "pap = \"GREEN\"", "pap = \"AMBER\"", &[("agreement-ceiling", "\"AMBER\"")]);
    check(HUB, amber, "tlp = \"AMBER+STRICT\"", &[("agreement-ceiling", "\"AMBER+STRICT\"")]);
    check(UNIT, "tlp = \"AMBER+STRICT\"", "tlp = \"RED\"", &[("agreement-ceiling", "\"RED\"")]);
    check(UNIT, "tlp = \"AMBER+STRICT\"", amber, &[("agreement-clients", "\"AMBER\"")]);
    check(HUB, "clients = \"The bureaus of its members\"\n", "", &[("agreement-clients", "\"AMBER\"")]);
}

#[test]
fn law() {
    check(PEER, "[\"network-security\"]", "[]", &[("agreement-purpose", "[]")]);
    check(PEER, "[\"legitimate-interest\"]", "[\"\"]", &[("agreement-basis", "[\"\"]")]);
    check(PEER, "legal_basis = [\"legitimate-interest\"]\n", "", &[("agreement-basis", "legal")]);
    check(UNIT, "[\"political\"]", "[\"Party Politics\"]", &[("agreement-matter", "\"Party Politics\"")]);
}

#[test]
fn scopes() {
    check(
        UNIT,
        "nexus_unknown = \"deny\"",
        "nexus_unknown = \"allow\"",
        &[("agreement-nexus-unknown", "\"allow\"")],
    );
    check(UNIT, "countries = [\"TH\"]", "countries = [\"TH\", \"th\"]", &[("agreement-countries", "\"th\"")]);
    check(
        UNIT,
        "countries = [\"TH\"]",
        "countries = [\"*\", \"TH\"]",
        &[("agreement-countries", "[\"*\", \"TH\"]")],
    );
    check(UNIT, "countries = [\"TH\"]", "countries = [\"ZZ\"]", &[("agreement-countries", "\"ZZ\"")]);
    check(UNIT, "country = \"TH\"", "country = \"Siam\"", &[("agreement-countries", "\"Siam\"")]);
    check(
        UNIT,
        "\"malicious\", \"suspicious\"",
        "\"malicious\", \"benign\"",
        &[("agreement-verdict", "\"benign\"")],
    );
    check(OPEN, "min_age = \"PT24H\"", "min_age = \"P7D\"", &[("agreement-age", "\"P7D\"")]);
    check(HUB, "echo = \"suppress\"", "echo = \"off\"", &[("agreement-echo", "\"off\"")]);
    check(OPEN, "gov_assets = \"exclude\"", "gov_assets = \"include\"", &[("agreement-gov", "\"include\"")]);
    check(PEER, "gov_assets = \"exclude\"", "gov_assets = \"own\"", &[("agreement-gov", "\"own\"")]);
    check(HUB, "gov_assets = \"include\"", "gov_assets = \"own\"", &[("agreement-gov", "\"own\"")]);
    check(
        UNIT,
        "verdicts = [\"malicious\", \"suspicious\"]",
        "verdicts = []",
        &[("agreement-scope-empty", "[]")],
    );
    check(
        UNIT,
        "nexus = [\"hosting\", \"tld\", \"victim\"]",
        "nexus = []",
        &[("agreement-scope-empty", "[]")],
    );
}

#[test]
fn fields() {
    let kept = "\"role\" = \"keep\"\n";
    let with = |more: &str| format!("{kept}{more}\n");
    check(UNIT, kept, &with("\"sensor.ip\" = \"keep\""), &[("agreement-field-never", "\"sensor.ip\"")]);
    check(
        UNIT,
        kept,
        &with("\"reporter.name\" = \"keep\""),
        &[("agreement-field-never", "\"reporter.name\"")],
    );
    check(UNIT, kept, &with("\"victim.email\" = \"keep\""), &[("agreement-field-never", "\"victim.email\"")]);
    check(UNIT, kept, &with("\"score.risky\" = \"keep\""), &[("agreement-field-unknown", "\"score.risky\"")]);
    check(UNIT, kept, &with("\"raw.topic\" = \"keep\""), &[("agreement-key-refused", "\"raw.topic\"")]);
    check(
        UNIT,
        kept,
        &with("\"services.port\" = \"keep\""),
        &[("agreement-field-twice", "\"services.port\"")],
    );
    check(UNIT, kept, "\"role\" = \"band\"\n", &[("agreement-field-op", "\"band\"")]);
    check(UNIT, kept, "\"role\" = \"pseudonym\"\n", &[("agreement-key-refused", "\"pseudonym\"")]);
    check(
        UNIT,
        "\"indicator.value\" = \"keep\"",
        "\"indicator.value\" = \"truncate-net\"",
        &[("agreement-field-op", "\"truncate-net\"")],
    );
    check(OPEN, "\"indicator.value\" = \"keep\"\n", "", &[("agreement-fields-empty", "fields")]);
    check(
        UNIT,
        "\"score.risk\" = \"keep\"",
        "\"score.risk\" = \"band\"",
        &[("agreement-derivable", "\"keep\"")],
    );
    let nets = OPEN.replace("\"domain\", \"sha256\"", "").replace(
        "\"indicator.value\" = \"keep\"",
        "\"indicator.value\" = \"truncate-net\"\n\"network.ip\" = \"truncate-net\"",
    );
    check(&nets, "\"ipv6\", ", "\"ipv6\"", &[]);
    check(
        &nets,
        "\"network.ip\" = \"truncate-net\"",
        "\"network.ip\" = \"keep\"",
        &[("agreement-derivable", "\"keep\"")],
    );
}

/// I8: a pseudonym that is not built is not in any message, whatever field an agreement asks it for.
#[test]
fn no_field_takes_a_pseudonym() {
    use sightline::share::fields::FIELDS;
    for field in FIELDS.iter().filter(|field| !field.ops.is_empty()) {
        let others: String = UNIT
            .lines()
            .filter(|line| {
                let is_short = field.path.starts_with("services") && line.starts_with("\"services");
                !line.starts_with(&format!("\"{}\"", field.path)) && !is_short
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let with =
            |op: &str| others.replace("[fields]\n", &format!("[fields]\n\"{}\" = \"{op}\"\n", field.path));
        let (agreement, findings) = read("test.toml", &with("pseudonym"));
        let refused = |finding: &&sightline::diag::Finding| finding.code == "agreement-key-refused";
        assert!(agreement.is_none() && findings.list().iter().any(|one| refused(&one)), "{}", field.path);
        // The control: the same field as it is.
        let (agreement, findings) = read("test.toml", &with("keep"));
        let is_strict =
            field.path == "url.full" || findings.list().iter().any(|one| one.code == "agreement-derivable");
        assert!(agreement.is_some() || is_strict, "{}: {}", field.path, findings.render());
    }
}

#[test]
fn urls_and_victims() {
    check(UNIT, "\"url.full\" = \"scrub-credentials\"\n", "", &[("agreement-url", "\"url\"")]);
    check(PEER, "\"scrub-strict\"", "\"scrub-credentials\"", &[("agreement-url", "\"scrub-credentials\"")]);
    check(DESK, "\"scrub-strict\"", "\"keep\"", &[("agreement-url", "\"keep\"")]);
    check(OPEN, "\"domain\", ", "\"domain\", \"url\", ", &[("agreement-url", "\"url\"")]);
    check(
        PEER,
        "\"phishing\"]",
        "\"infected-client\"]",
        &[("agreement-victim-clear", "\"infected-client\"")],
    );
    check(
        OPEN,
        "\"malware-distribution\"]",
        "\"compromised-site\"]",
        &[("agreement-victim-clear", "\"compromised-site\"")],
    );
}

#[test]
fn values_that_are_not_built() {
    let refused = |text| [("agreement-key-refused", text)];
    check(HUB, "direction = \"outbound\"", "direction = \"mutual\"", &refused("\"mutual\""));
    check(HUB, "key = \"none\"", "key = \"key:hub/1\"", &refused("\"key:hub/1\""));
    check(HUB, "sectors = [\"*\"]", "sectors = [\"energy\"]", &refused("[\"energy\"]"));
    check(HUB, "sectors = [\"*\"]", "sectors = []", &refused("[]"));
    check(HUB, "format = \"json\"", "format = \"stix-2.1\"", &refused("\"stix-2.1\""));
    check(HUB, "cadence = \"stream\"", "cadence = \"hourly\"", &refused("\"hourly\""));
    check(HUB, "sign = \"none\"", "sign = \"key:house/1\"", &refused("\"key:house/1\""));
    check(HUB, "encrypt = \"none\"", "encrypt = \"key:hub/1\"", &refused("\"key:hub/1\""));
    check(HUB, "mode = \"none\"", "mode = \"throttle\"", &refused("\"throttle\""));
    check(HUB, "\"tld\", \"victim\"]", "\"registrant\"]", &refused("\"registrant\""));
}

#[test]
fn what_is_no_agreement_is_none() {
    for (replace, with) in [
        ("schema = \"dxa/1\"", "schema = \"dxa/2\""),
        ("schema = \"dxa/1\"\n", ""),
        ("status = \"active\"", "status = \"activ\""),
        ("echo = \"suppress\"", "ecco = \"suppress\""),
        ("\"AMBER\"", "\"PINK\""),
        ("max_age = \"P30D\"", "max_age = \"soon\""),
        ("max_age = \"P30D\"", "max_age = \"P1M\""),
        ("signed_on = 2026-01-10", "signed_on = \"yesterday\""),
        ("recipient_max = \"P5Y\"", "recipient_max = \"-P5Y\""),
        ("recipient_max = \"P5Y\"", "recipient_max = \"long\""),
        ("\"role\" = \"keep\"", "\"role\" = \"kep\""),
        ("version = 1", "version = 0"),
        ("version = 1", "version = -1"),
        ("min_risk = 60", "min_risk = 101"),
        ("min_confidence = 50", "min_confidence = 200"),
        ("nexus_unknown = ", "nexus_min_confidence = 101\nnexus_unknown = "),
        ("[scope]", "[scope"),
    ] {
        let (agreement, findings) = read("test.toml", &HUB.replacen(replace, with, 1));
        assert!(agreement.is_none() && findings.has_errors(), "{with} was taken");
    }
}

#[test]
fn ids_and_topics_are_used_once() {
    let read = |name: &str, text: &str| {
        let mut findings = Findings::default();
        parse(&Source::new(name, text), &mut findings).expect("a sound fixture")
    };
    let list = [
        read("a.toml", UNIT),
        read("b.toml", &UNIT.replace("\"out.unit\"", "\"out.other\"")),
        read("c.toml", &UNIT.replace("\"unit-01\"", "\"unit-02\"")),
    ];
    let mut findings = Findings::default();
    check_all(&list, &mut findings);
    let got: Vec<String> = findings
        .list()
        .iter()
        .map(|finding| {
            let place = finding.place.as_ref().expect("a place");
            let (other, _) = &finding.also[0];
            format!("{} {} {}", finding.code, place.source.name, other.source.name)
        })
        .collect();
    assert_eq!(got, ["agreement-id-twice b.toml a.toml", "agreement-topic-twice c.toml a.toml"]);
}

/// Every key of the schema with its standing: `scope.roles enforced`.
fn standings() -> Vec<(String, String)> {
    fn walk(root: &Value, here: &Value, path: &str, out: &mut Vec<(String, String)>) {
        if let Some(standing) = here.get("x-standing") {
            out.push((path.to_owned(), standing.as_str().expect("a text").to_owned()));
            return;
        }
        if let Some(reference) = here.get("$ref").and_then(Value::as_str) {
            let target = root.pointer(reference.trim_start_matches('#')).expect("a definition");
            return walk(root, target, path, out);
        }
        let properties = here.get("properties").and_then(Value::as_object);
        let properties = properties.unwrap_or_else(|| panic!("{path} has no x-standing"));
        for (name, inner) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            walk(root, inner, &path, out);
        }
    }
    let schema = schema_of::<File>();
    let mut out = Vec::new();
    walk(&schema, &schema, "", &mut out);
    out
}

#[test]
fn every_key_has_a_standing() {
    let list = standings();
    assert!(list.len() > 100, "{}", list.len());
    for (path, standing) in &list {
        assert!(["enforced", "carried", "refused"].contains(&standing.as_str()), "{path}: {standing}");
    }
}

#[test]
fn every_refused_key_is_refused_by_name_and_nothing_else_is() {
    let (agreement, findings) = read("refused.toml", REFUSED);
    assert!(agreement.is_none());
    let mut got: Vec<String> = findings
        .list()
        .iter()
        .map(|finding| {
            assert_eq!(finding.code, "agreement-key-refused", "{}", finding.message);
            let place = finding.place.as_ref().expect("a place");
            let name = REFUSED[place.span.clone()].trim_matches('"').to_owned();
            assert!(finding.message.contains(&name), "{} at {name}", finding.message);
            finding.message.split('`').nth(1).expect("a name").to_owned()
        })
        .collect();
    got.sort();
    let want: Vec<String> =
        standings().into_iter().filter(|(_, standing)| standing == "refused").map(|(path, _)| path).collect();
    assert_eq!(got, want);
}

#[test]
fn every_carried_key_travels() {
    let hub = sound(HUB);
    let mut whole = hub.carried.clone();
    whole.insert("handling", serde_json::to_value(&hub.handling).expect("texts are JSON"));
    for (path, _) in standings().into_iter().filter(|(_, standing)| standing == "carried") {
        let (section, rest) = path.split_once('.').expect("sections only");
        let found = whole[section].pointer(&format!("/{}", rest.replace('.', "/")));
        assert!(found.is_some_and(|value| !value.is_null()), "{path} does not travel");
    }
}

#[test]
fn the_fields_of_the_schema_say_what_may_be_done_to_them() {
    let schema = schema_of::<File>();
    let fields = schema.pointer("/properties/fields/properties").expect("fields");
    assert_eq!(
        fields["time.last_seen"]["x-operations"],
        serde_json::json!(["keep", "truncate-day", "truncate-hour"])
    );
    assert_eq!(fields["malware.family"]["x-instead"], "write `malware.name`");
}

#[test]
fn a_refused_key_says_what_to_do_instead() {
    let (_, findings) = read("test.toml", REFUSED);
    assert!(findings.list().iter().any(|finding| finding.help.as_deref() == Some("write `malware.name`")));
}
