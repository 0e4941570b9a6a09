//! What the decision must hold to, whatever the input (`sharing.md` 6.6), by number.
//!
//! Worlds are mostly publishable, every property counts what was published and asserts a minimum, and
//! each denial has its control: the same world without the one thing must publish. `mutants` takes the
//! rules out one by one and holds that each is missed by a property, and that each property misses one.
//!
//! | invariant | properties | so that no other rule masks it | the control | published, of 1,000 |
//! | --- | --- | --- | --- | --- |
//! | I1 marking | `i1_markings_are_within_the_ceiling_and_the_strictest_of_what_was_used` | computed here anew from what may be known; the mutants take out either ceiling, and both | every case is a publication | 300 |
//! | I3 in force | `i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists` | one change of a world that publishes; the window is dated anew, not the world | the world itself, and both edges of the window | 300 |
//! | I4 fields | `i4_only_named_fields_go_out`, `i4_no_message_gets_by_the_leak_gate`, `i4_no_reporter_shows_in_a_real_lead` | the stand-in lead has a value in every field | a canary that is not in it leaves the bytes | 300, 300, 200 |
//! | I5 non-interference | `i5_what_a_recipient_may_not_know_of_changes_nothing`, `i5_taking_out_all_that_is_hidden_changes_nothing`, `i5_what_a_recipient_may_not_know_of_changes_nothing_in_a_real_lead`, `i5_taking_out_all_that_is_hidden_changes_nothing_in_a_real_lead`, `i5_a_hit_of_which_all_is_hidden_looks_like_a_miss` | the stand-in lead uses all that a projection holds, and refusals are compared too | `i5_and_what_it_may_know_of_does_change_what_it_gets`, by kind | 150, 300, 100, 200, 1; 150 |
//! | I6 monotony | `i6_tightening_never_publishes_more`, `i6_what_goes_out_is_within_every_bound` | one bound at a time | each of the 16 bounds also stops or takes out something | 200, 300 |
//! | I7 replay | `i7_the_same_input_gives_the_same_bytes` | also after other dossiers in one cache, and explained | every case is compared | 300 |
//! | I8 pseudonyms | not built: refused by name (`no_field_takes_a_pseudonym`); ids, `i8_ids_are_of_all_their_parts_and_look_like_nothing_else` | beside their code | the same field kept | none |
//! | I9 terms | `i9_whatever_is_used_was_given_to_this_recipient_for_all_purposes`, `i9_each_term_denies_alone`, `i9_no_world_gets_by_the_terms_of_its_reporters` | one term at a time, in a world that publishes | the same term, narrowed where it does not matter, leaves the bytes | 300, 1, 300 |
//! | I10 countries | `i10_limited_to_countries_means_a_link_to_one_of_them`, `i10_no_world_gets_by_its_countries` | without governments' names, and only the link moved | the world itself | 120, 120 |
//! | I12 echo | `i12_nothing_rests_on_the_recipients_own_contribution` | its own is CLEAR, open to all and alone | the same of nobody's organisation goes out, 100 times | 200 |
//! | I13 ledger | `share/ledger/tests.rs`; through the program `tests/it/ledger.rs` and `verify.rs` | every byte, removal and order | the sound ledger has no fault | none |
//! | I15 others | `i15_other_agreements_change_nothing` | in one cache, in any order | every case is compared | 300 |
//! | I16 one agreement | `i16_topic_headers_message_and_entry_name_one_agreement`; through the program `tests/it/verify.rs` | each place where it is named | every case is a publication | 300 |
//! | I17 malformed | `i17_malformed_is_as_missing`, `i17_no_world_gets_by_without_a_sound_record`, `i17_whatever_is_missing_or_malformed_denies`, `i17_a_lead_that_is_not_of_this_record_denies` | one thing spoilt in a world that publishes | the same without the spoilt part gives the same | 150, 300, 1, 1 |
//! | I18 never | `i18_no_world_gets_by_what_no_agreement_lifts`, `i18_no_foreign_government_gets_by`, `i18_what_no_agreement_lifts`, `i18_government_names` | the agreement asks for every verdict; the world has no other government's name | the same tag not excluded, another's embargo, its own government | 300, 200, 1, 1 |
//!
//! I2 and crashes are the simulation's; I11 (quota) and I14 (withdrawal) are not built, and refused.

mod denials;
mod keys;
pub(super) mod mutants;
mod properties;
mod real;
mod world;

use std::sync::Arc;

use serde_json::Value;

use super::*;
use crate::diag::{Findings, Source};
use crate::enrich::Evidence;
use crate::share::agreement::parse;
use crate::share::redact::bytes;

const HUB: &str = include_str!("../../../../tests/fixtures/agreements/hub.toml");
const UNIT: &str = include_str!("../../../../tests/fixtures/agreements/unit.toml");
const PEER: &str = include_str!("../../../../tests/fixtures/agreements/peer.toml");
const DESK: &str = include_str!("../../../../tests/fixtures/agreements/desk.toml");
const OPEN: &str = include_str!("../../../../tests/fixtures/agreements/open.toml");

fn read(text: &str) -> Result<Agreement, String> {
    let mut findings = Findings::default();
    parse(&Source::new("test.toml", text), &mut findings).ok_or_else(|| findings.render())
}

#[track_caller]
fn sound(text: &str) -> Agreement {
    read(text).unwrap_or_else(|findings| panic!("{findings}"))
}

/// All that a recipient could notice of a decision, as one text.
fn seen(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Release(release) => format!(
            "{} {:?} {} {} {}",
            String::from_utf8(bytes(&release.fields)).unwrap(),
            release.marking,
            release.carried,
            hex::encode(release.facts),
            hex::encode(release.major),
        ),
        // Refusals are not seen, but a retry that hidden things moved would be.
        Outcome::Refused { clause, step, retry_at } => format!("{step} {clause} {retry_at:?}"),
    }
}

fn released(decision: &Decision) -> Option<&Release> {
    match &decision.outcome {
        Outcome::Release(release) => Some(release),
        Outcome::Refused { .. } => None,
    }
}

/// The paths of a tree, lists seen through.
fn paths(value: &Value, path: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                paths(value, &path, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| paths(value, path, out)),
        _ => {
            out.insert(path.to_owned());
        }
    }
}

#[test]
fn an_explanation_changes_nothing_and_shows_every_step() {
    let world = world::World::standard(HUB);
    let plain = world.decide();
    assert!(plain.steps.is_empty() && plain.admitted.is_empty() && plain.dropped.is_empty());
    let explained = world.explain();
    assert_eq!(seen(&plain.outcome), seen(&explained.outcome));
    let numbers: BTreeSet<u8> = explained.steps.iter().map(|step| step.n).collect();
    assert_eq!(numbers, (1..=10).collect());
    assert!(explained.steps.iter().all(|step| step.passed));
    assert!(explained.steps.is_sorted_by_key(|step| step.n));
    assert!(!explained.admitted.is_empty());
    assert!(explained.dropped.iter().any(|dropped| dropped.why == "not-released"));
}

#[test]
fn the_reason_is_the_first_that_fails_also_when_all_are_shown() {
    let mut world = world::World::standard(HUB);
    world.dossier.folds.truncate(2);
    world.agreement.scope.min_risk = 100;
    world.agreement.scope.min_confidence = 100;
    world.agreement.scope.max_age = 0;
    let explained = world.explain();
    let failed: Vec<&str> =
        explained.steps.iter().filter(|step| !step.passed).map(|step| step.name).collect();
    assert_eq!(failed, ["risk", "confidence", "age"]);
    assert_eq!(seen(&world.decide().outcome), seen(&explained.outcome));
    assert_eq!(seen(&explained.outcome), "8 threshold None");
}

#[test]
fn what_waits_says_until_when() {
    let mut world = world::World::standard(OPEN);
    world.now = world.reported().plus(1);
    let Outcome::Refused { clause, retry_at, .. } = world.decide().outcome else { panic!("published") };
    assert_eq!(clause, "embargo-age");
    world.now = retry_at.expect("it only waits");
    assert!(released(&world.decide()).is_some(), "{}", seen(&world.decide().outcome));
    world.now = world.agreement.effective_from.plus(-1);
    let Outcome::Refused { clause, retry_at, .. } = world.decide().outcome else { panic!("published") };
    assert_eq!((clause, retry_at), ("agreement-window", Some(world.agreement.effective_from)));
    world.now = world.agreement.expires_at;
    assert_eq!(seen(&world.decide().outcome), "2 agreement-window None");
}

#[test]
fn agreements_that_may_know_of_the_same_share_one_lead() {
    let world = world::World::standard(HUB);
    let count = std::cell::Cell::new(0);
    let form = |projection: &Projection<'_>, role: Role| {
        count.set(count.get() + 1);
        world::form(projection, role, world.now)
    };
    let mut cache = Cache::default();
    let mut other = world.agreement.clone();
    other.id = "hub-02".to_owned();
    for agreement in [&world.agreement, &other, &world.agreement] {
        let decision = world.subject(agreement).decide(&form, None, &mut cache, false);
        assert!(released(&decision).is_some());
    }
    assert_eq!(count.get(), 1);
    // Another time is another lead.
    let later = Subject { now: world.now.plus(1), ..world.subject(&world.agreement) };
    later.decide(&form, None, &mut cache, false);
    assert_eq!(count.get(), 2);
}

#[test]
fn what_has_no_link_to_the_countries_is_never_scored() {
    let mut world = world::World::standard(UNIT);
    world.dossier.findings[1].nexus[0].country = "SG".to_owned();
    let decision = world.decide_by(&|_, _| panic!("scored"));
    assert_eq!(seen(&decision.outcome), "7 nexus None");
}

#[test]
fn decay_alone_and_what_is_not_shared_tell_nobody_anything() {
    let world = world::World::standard(UNIT);
    let digests = |world: &world::World| {
        let decision = world.decide();
        let release = released(&decision).expect("published");
        (release.facts, release.major)
    };
    let base = digests(&world);
    let mut later = world.clone();
    later.now = world.now.plus(3_600_000);
    assert_ne!(seen(&later.decide().outcome), String::new());
    assert_eq!(digests(&later), base, "decay");
    // A further sighting changes counts, not the kind of thing that is known.
    let mut busier = world.clone();
    busier.dossier.folds[1].count += 1;
    assert_ne!(digests(&busier).0, base.0);
    assert_eq!(digests(&busier).1, base.1);
    // A new name is something new.
    let mut named = world.clone();
    let seen = named.dossier.folds[1].malware.kept[0].1;
    named.dossier.folds[1].malware.kept.push(("zeta".to_owned(), seen));
    assert_ne!(digests(&named).1, base.1);
    // And nothing to whom is not told names.
    let mut quiet = world.clone();
    quiet.agreement = sound(&UNIT.replace("\"malware.name\" = \"keep\"\n", ""));
    let before = digests(&quiet);
    quiet.dossier = named.dossier.clone();
    assert_eq!(digests(&quiet), before);
    // Evidence that moves the score counts wherever a score is shared, and only there.
    let mut more = world.clone();
    let evidence = more.dossier.findings[0].evidence[0].clone();
    let mut again = world.clone();
    again.dossier.findings[0].evidence.push(evidence.clone());
    assert_eq!(digests(&again).1, base.1, "more of the same");
    assert_ne!(digests(&again).0, base.0);
    more.dossier.findings[0].evidence.push(Evidence { code: "listed-too".to_owned(), ..evidence });
    assert_ne!(digests(&more).1, base.1);
    let no_score: String =
        UNIT.lines().filter(|line| !line.starts_with("\"score.")).map(|line| format!("{line}\n")).collect();
    let mut unscored = world.clone();
    unscored.agreement = sound(&no_score);
    let before = digests(&unscored);
    unscored.dossier = more.dossier.clone();
    assert_eq!(digests(&unscored), before);
}

/// A recipient who knows something is told what it does not know, and only then is anything built.
#[test]
fn what_is_known_is_not_told_again() {
    let world = world::World::standard(UNIT);
    let review = |world: &world::World, known| {
        let form = |projection: &Projection<'_>, role: Role| world::form(projection, role, world.now);
        let (mut trial, mut admission) = (Trial::default(), Admission::default());
        let subject = world.subject(&world.agreement);
        match subject.walk(&mut trial, &mut admission, &form, None, &mut Cache::default(), known) {
            Some(Built::Unchanged(unchanged)) => format!("{unchanged:?}"),
            Some(Built::Release(release)) => seen(&trial.outcome(Some(release))),
            None => seen(&trial.outcome(None)),
        }
    };
    let told = seen(&world.decide().outcome);
    assert_eq!(review(&world, None), told);
    let decision = world.decide();
    let release = released(&decision).expect("published");
    let known = |waits: bool| Some(Known { facts: release.facts, major: waits.then_some(release.major) });
    assert_eq!(review(&world, known(true)), "Same");
    assert_eq!(review(&world, known(false)), "Same");
    let mut busier = world.clone();
    busier.dossier.folds[1].count += 1;
    assert_eq!(review(&busier, known(true)), "Minor");
    assert_eq!(review(&busier, known(false)), seen(&busier.decide().outcome));
    let mut named = world.clone();
    let at = named.dossier.folds[1].malware.kept[0].1;
    named.dossier.folds[1].malware.kept.push(("zeta".to_owned(), at));
    assert_eq!(review(&named, known(true)), seen(&named.decide().outcome));
    // What is refused is refused, whatever is known.
    let mut refused = world.clone();
    refused.agreement.scope.max_age = 0;
    assert_eq!(review(&refused, known(true)), "8 age None");
}

/// The lead of the whole dossier stands in for a projection of all of it, and for no other.
#[test]
fn the_lead_of_the_whole_serves_those_who_may_know_of_all() {
    let mut world = world::World::standard(UNIT);
    let seeded = |world: &world::World| {
        let scorer = crate::dossier::sample::scorer();
        let whole = Projection::whole(&world.dossier);
        let mut lead = Lead::form(&whole, world.role, &scorer, world.now).expect("a lead");
        // No other way of forming it would give this.
        lead.sightings = 4_711;
        let mut cache = Cache::default();
        cache.seed(&world.dossier, &scorer, world.now, vec![(world.role, Some(Arc::new(lead)))]);
        let admission = admit(&world.agreement, &world.book, &world.dossier, false);
        let entry = cache.entry(&world.dossier, &admission.choice);
        let lead =
            entry.lead(world.role, &|projection, role| Lead::form(projection, role, &scorer, world.now));
        lead.expect("a lead").sightings == 4_711
    };
    assert!(!seeded(&world), "something of it is hidden");
    // Only what it may know of is left.
    let projection =
        admit(&world.agreement, &world.book, &world.dossier, false).choice.project(&world.dossier);
    let folds: Vec<_> = projection.folds.iter().map(|fold| (*fold).clone()).collect();
    let findings: Vec<_> = projection
        .findings
        .iter()
        .map(|(finding, evidence)| crate::enrich::Finding {
            evidence: evidence.iter().map(|evidence| (*evidence).clone()).collect(),
            ..(*finding).clone()
        })
        .collect();
    (world.dossier.folds, world.dossier.findings) = (folds, findings);
    assert!(seeded(&world));
}

#[test]
fn a_url_goes_out_scrubbed_and_its_whole_form_stops_the_message() {
    let mut world = world::World::standard(UNIT);
    world.dossier.indicator =
        Indicator { kind: IndicatorType::Url, value: "http://a.example/x?id=1&amp;token=geheim".to_owned() };
    let decision = world.decide();
    let release = released(&decision).expect("published");
    assert_eq!(release.fields["indicator"]["value"], "http://a.example/x?id=1&amp;token=scrubbed");
    assert_eq!(release.fields["url_scrubbed"], true);
    // The same text in a factor would undo it.
    world.dossier.findings[0].evidence[0].text = format!("listed as {}", world.dossier.indicator.value);
    assert_eq!(seen(&world.decide().outcome), "10 leak-gate None");
    world.dossier.findings[0].evidence[0].text = "listed".to_owned();
    assert!(released(&world.decide()).is_some());
}

#[test]
fn the_gate_stops_and_does_not_edit() {
    let control = world::World::standard(UNIT);
    assert!(released(&control.decide()).is_some());
    for text in ["ask joe@corp.example", "see http://u:p@b.example/", "CANARY-77"] {
        let mut world = control.clone();
        world.book.canaries = vec!["CANARY-77".to_owned()];
        world.dossier.findings[0].evidence[0].text = text.to_owned();
        assert_eq!(seen(&world.decide().outcome), "10 leak-gate None", "{text}");
    }
}

#[test]
fn a_factor_of_a_reporter_says_nothing_of_it() {
    let world = world::World::standard(HUB);
    let decision = world.decide();
    let release = released(&decision).expect("published");
    let text = String::from_utf8(bytes(&release.fields)).unwrap();
    let whole = format!("{:?}", Arc::as_ref(&release.lead));
    for reporter in world.book.reporters.keys() {
        assert!(!text.contains(reporter.as_str()), "{reporter} shows in {text}");
    }
    assert!(whole.contains("sensor-a"), "the lead itself names reporters, or this test is empty");
    let factors = release.fields["score"]["factors"].as_array().expect("a list");
    assert!(factors.iter().any(|factor| factor["source"] == "reporter" && factor["code"] == "claim"));
    assert!(factors.iter().any(|factor| factor["source"] == "lists" && factor["code"] == "listed"));
    assert!(factors.iter().all(|factor| factor.get("origin").is_none()));
}

#[test]
fn a_draft_says_what_agreement_and_release_say() {
    use crate::share::ledger::{Disclosure, Draft};
    let world = world::World::standard(UNIT);
    let decision = world.decide();
    let release = released(&decision).expect("published");
    let disclosure = Disclosure { id: "d", version: 2, decided_at: world.now, commitment: "c", bytes: 9 };
    let draft = Draft::of(&world.agreement, release, disclosure);
    // I16: topic, agreement and recipient are the same file's.
    assert_eq!((draft.output.topic.as_str(), draft.agreement.id.as_str()), ("out.unit", "unit-01"));
    assert_eq!((draft.recipient.as_str(), draft.provider.as_str()), ("org:unit", "org:house"));
    assert_eq!(draft.agreement.digest, world.agreement.digest);
    assert_eq!((draft.output.format.as_str(), draft.output.key.as_str()), ("json", "d"));
    assert_eq!(draft.risk, release.lead.score.risk);
    assert_eq!(draft.versions.sources, release.lead.built.sources);
}
