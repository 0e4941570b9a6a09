//! The same invariants with leads as they really are formed and scored.

use proptest::prelude::*;

use super::properties::{arb_hidden, bare, with};
use super::world::{World, arb_world, evidence, hold};
use super::*;
use crate::dossier::{ReporterView, sample};
use crate::sighting::Tlp;

/// Everybody of the worlds is relied on.
fn scorer() -> Scorer {
    let mut scorer = sample::scorer();
    for name in ["r0", "r1", "r2", "r3", "r4", "nobody", "newcomer", "sensor-a", "sensor-b", "sensor-c"] {
        let view = ReporterView { reliability: 90, origin: name.to_owned() };
        scorer.reporters.insert(name.to_owned(), view);
    }
    for name in ["s0", "s1", "s2", "new-source", "lists", "places"] {
        scorer.sources.insert(name.to_owned(), 90);
    }
    scorer
}

fn decide_really(world: &World, scorer: &Scorer) -> Decision {
    let mut world = world.clone();
    // What is tested here is what shows, not how much is enough.
    let scope = &mut world.agreement.scope;
    (scope.min_risk, scope.min_confidence) = (0, 0);
    scope.verdicts = [Verdict::Malicious, Verdict::Suspicious].into();
    world.decide_by(&|projection, role| Lead::form(projection, role, scorer, world.now))
}

#[test]
pub(super) fn i5_what_a_recipient_may_not_know_of_changes_nothing_in_a_real_lead() {
    let scorer = scorer();
    hold((arb_world(), arb_hidden()), 100, |(world, hidden)| {
        let (with, may) = with(&world, &hidden);
        if may {
            return Ok(false);
        }
        let (before, after) = (decide_really(&world, &scorer), decide_really(&with, &scorer));
        prop_assert_eq!(seen(&before.outcome), seen(&after.outcome));
        Ok(released(&before).is_some())
    });
}

#[test]
pub(super) fn i5_taking_out_all_that_is_hidden_changes_nothing_in_a_real_lead() {
    let scorer = scorer();
    hold(arb_world(), 200, |mut world| {
        world.dossier.findings.iter_mut().for_each(|finding| finding.gov = None);
        let before = decide_really(&world, &scorer);
        prop_assert_eq!(seen(&before.outcome), seen(&decide_really(&bare(&world), &scorer).outcome));
        Ok(released(&before).is_some())
    });
}

/// A source that has nothing says so; one that has only what is hidden must say the same.
#[test]
pub(super) fn i5_a_hit_of_which_all_is_hidden_looks_like_a_miss() {
    let scorer = scorer();
    let mut world = World::standard(HUB);
    let hit = &mut world.dossier.findings[0];
    hit.evidence = vec![evidence("hidden", 300, Some(Tlp::Red))];
    let mut miss = world.clone();
    miss.dossier.findings[0].evidence.clear();
    miss.dossier.findings[0].status = crate::enrich::Status::Miss;
    let (hit, miss) = (decide_really(&world, &scorer), decide_really(&miss, &scorer));
    assert!(released(&hit).is_some(), "{}", seen(&hit.outcome));
    assert_eq!(seen(&hit.outcome), seen(&miss.outcome));
}

#[test]
pub(super) fn i4_no_reporter_shows_in_a_real_lead() {
    let scorer = scorer();
    hold(arb_world(), 200, |world| {
        let decision = decide_really(&world, &scorer);
        let Some(release) = released(&decision) else { return Ok(false) };
        let text = String::from_utf8(bytes(&release.fields)).expect("JSON");
        for name in ["\"r0\"", "\"r1\"", "\"r2\"", "\"r3\"", "\"r4\"", "origin-of", "raw.x"] {
            prop_assert!(!text.contains(name), "{name} in {text}");
        }
        Ok(true)
    });
}
