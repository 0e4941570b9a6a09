//! What stops a disclosure (`sharing.md` 6.6, by number), each with its control: the same world without
//! the one thing publishes.
//!
//! Examples say which clause it is; the properties below them say that no world gets by.

use proptest::prelude::*;

use super::super::*;
use super::properties::fold_may;
use super::world::{CLEAR, NOW, PURPOSES, World, arb_world, fold, form, hold};
use super::*;
use crate::dossier::{Capped, Fold, Seen};
use crate::enrich::{Finding, Network, NexusKind};
use crate::sighting::{Notify, Pap, Purpose, Tlp};

/// The world publishes; changed like this, it is refused by this clause.
#[track_caller]
fn denied(fixture: &str, clause: &str, change: impl Fn(&mut World)) {
    let control = World::standard(fixture);
    assert!(released(&control.decide()).is_some(), "control: {}", seen(&control.decide().outcome));
    let mut world = control;
    change(&mut world);
    match world.decide().outcome {
        Outcome::Release(_) => panic!("published"),
        Outcome::Refused { clause: got, .. } => assert_eq!(got, clause),
    }
}

/// The world publishes both before and after this.
#[track_caller]
fn allowed(fixture: &str, change: impl Fn(&mut World)) {
    let mut world = World::standard(fixture);
    change(&mut world);
    assert!(released(&world.decide()).is_some(), "{}", seen(&world.decide().outcome));
}

#[test]
pub(super) fn i17_whatever_is_missing_or_malformed_denies() {
    let indicator = |kind, value: &str| {
        let value = value.to_owned();
        move |world: &mut World| world.dossier.indicator = Indicator { kind, value: value.clone() }
    };
    let invalid = |kind, value: &str| denied(HUB, "record-invalid", indicator(kind, value));
    invalid(IndicatorType::Ipv4, "");
    invalid(IndicatorType::Ipv4, "198.51.100");
    invalid(IndicatorType::Ipv4, "2001:db8::1");
    invalid(IndicatorType::Ipv4, "10.0.0.1");
    invalid(IndicatorType::Ipv4, "127.0.0.1");
    invalid(IndicatorType::Ipv4, "224.0.0.1");
    invalid(IndicatorType::Ipv6, "198.51.100.7");
    invalid(IndicatorType::Ipv6, "fe80::1");
    invalid(IndicatorType::Ipv6, "fd00::1");
    invalid(IndicatorType::Url, "a.example/x");
    invalid(IndicatorType::Url, "mailto:joe");
    invalid(IndicatorType::Domain, "a.exa\nmple");
    allowed(HUB, indicator(IndicatorType::Ipv6, "2001:db8::1"));
    allowed(HUB, indicator(IndicatorType::Domain, "a.example"));
    denied(HUB, "no-releasable-claim", |world| world.dossier.folds.clear());
    denied(HUB, "no-releasable-claim", |world| {
        world.dossier.folds.iter_mut().for_each(|fold| fold.count = 0)
    });
    denied(HUB, "no-releasable-claim", |world| {
        world.dossier.folds.iter_mut().for_each(|fold| fold.first_seen = fold.last_seen.plus(1));
    });
    denied(HUB, "no-releasable-claim", |world| world.book = Book::default());
    // Without a source's terms, nothing of it is known; here that is the country.
    denied(UNIT, "nexus", |world| world.book.sources.clear());
    denied(UNIT, "nexus", |world| world.dossier.findings[1].independent = false);
    denied(UNIT, "nexus", |world| world.dossier.findings[1].network[0].ip = "here".to_owned());
}

#[test]
pub(super) fn i17_a_lead_that_is_not_of_this_record_denies() {
    let world = World::standard(HUB);
    let try_with = |change: &dyn Fn(&mut Lead)| {
        let decision = world.decide_by(&|projection, role| {
            let mut lead = form(projection, role, world.now)?;
            change(&mut lead);
            Some(lead)
        });
        seen(&decision.outcome)
    };
    let invalid = "1 record-invalid None";
    assert!(try_with(&|_| ()).starts_with('{'), "the control");
    assert_eq!(try_with(&|lead| lead.role = Role::Phishing), invalid);
    assert_eq!(try_with(&|lead| lead.indicator.value.push('1')), invalid);
    assert_eq!(try_with(&|lead| lead.score.risk = 101), invalid);
    assert_eq!(try_with(&|lead| lead.score.confidence = 101), invalid);
    assert_eq!(try_with(&|lead| lead.reporters = 0), invalid);
    assert_eq!(try_with(&|lead| lead.sightings = 0), invalid);
    assert_eq!(try_with(&|lead| lead.time.last_seen = lead.time.first_seen.plus(-1)), invalid);
    // A lead that knows of something stricter than was chosen.
    assert_eq!(try_with(&|lead| lead.tlp = Tlp::Red), "4 record-invalid None");
    let none = world.decide_by(&|_, _| None);
    assert_eq!(seen(&none.outcome), invalid);
}

fn tagged(world: &mut World, reporter: &str, tags: &[&str], overflow: u64) {
    let seen = Seen { count: 1, first: NOW, last: NOW };
    let kept = tags.iter().map(|tag| ((*tag).to_owned(), seen)).collect();
    let fold = world.dossier.folds.iter_mut().find(|fold| fold.reporter == reporter).expect("a fold");
    fold.matter = Capped { kept, overflow };
}

#[test]
pub(super) fn i18_what_no_agreement_lifts() {
    denied(HUB, "excluded-matter", |world| tagged(world, "sensor-b", &["matter:political"], 0));
    denied(HUB, "global-forbid", |world| tagged(world, "sensor-b", &["no-export"], 0));
    denied(HUB, "global-forbid", |world| tagged(world, "sensor-b", &["matter:other"], 1));
    denied(HUB, "global-forbid", |world| tagged(world, "sensor-b", &["matter:political", "no-export"], 0));
    // Tags of another role, and of the recipient's own, forbid as well.
    denied(HUB, "excluded-matter", |world| {
        let mut other = fold("sensor-b", Role::Spam, CLEAR);
        other.matter.kept = vec![("matter:religious".to_owned(), Seen { count: 1, first: NOW, last: NOW })];
        world.dossier.folds.push(other);
    });
    denied(HUB, "excluded-matter", |world| {
        tagged(world, "sensor-b", &["matter:political"], 0);
        world.book.reporters.get_mut("sensor-b").expect("there").org = Some("org:hub".to_owned());
    });
    allowed(HUB, |world| tagged(world, "sensor-b", &["matter:military"], 0));
    // A hidden one does not show, not even by what is missing.
    allowed(HUB, |world| tagged(world, "quiet", &["matter:political", "no-export"], 3));
    denied(HUB, "global-forbid", |world| {
        world.book.embargo.insert("ipv4:198.51.100.7".to_owned());
    });
    allowed(HUB, |world| {
        world.book.embargo.insert("ipv4:198.51.100.8".to_owned());
    });
    let world = World::standard(HUB);
    for verdict in [Verdict::Benign, Verdict::Suppressed, Verdict::Unscored] {
        let mut all = world.clone();
        // Even if an agreement asks for it.
        all.agreement.scope.verdicts.insert(verdict);
        let decision = all.decide_by(&|projection, role| {
            let mut lead = form(projection, role, all.now)?;
            lead.score.verdict = verdict;
            Some(lead)
        });
        assert_eq!(seen(&decision.outcome), "3 global-forbid None");
    }
}

#[test]
pub(super) fn i18_government_names() {
    let gov = |country: &str, finding: usize| {
        let country = country.to_owned();
        move |world: &mut World| {
            world.dossier.findings[finding].gov = Some(Gov {
                suffix: "gov.example".to_owned(),
                country: country.clone(),
                class: "central".to_owned(),
            });
        }
    };
    allowed(UNIT, gov("TH", 1));
    denied(UNIT, "gov", gov("SG", 1));
    // A list that may not be shown still says whose name it is.
    denied(UNIT, "gov", |world| {
        gov("SG", 0)(world);
        world.book.sources.remove("lists");
    });
    // But not one that was asked because of somebody's sighting.
    allowed(UNIT, |world| {
        gov("SG", 0)(world);
        world.book.sources.remove("lists");
        world.dossier.findings[0].independent = false;
        world.agreement.scope.min_risk = 0;
    });
    denied(UNIT, "gov", |world| {
        gov("TH", 1)(world);
        gov("SG", 0)(world);
    });
    denied(UNIT, "gov", |world| world.agreement.scope.gov_assets = GovAssets::Only);
    allowed(UNIT, |world| {
        gov("TH", 1)(world);
        world.agreement.scope.gov_assets = GovAssets::Only;
    });
    denied(UNIT, "gov", |world| {
        gov("SG", 1)(world);
        world.agreement.scope.gov_assets = GovAssets::Only;
    });
    denied(PEER, "gov", gov("SG", 1));
    denied(OPEN, "gov", gov("TH", 1));
    allowed(HUB, gov("TH", 1));
    denied(UNIT, "gov", |world| {
        gov("TH", 1)(world);
        world.agreement.recipient.country = None;
    });
}

#[test]
pub(super) fn i9_each_term_denies_alone() {
    let terms = |change: fn(&mut Terms)| {
        move |world: &mut World| world.book.reporters.values_mut().for_each(|party| change(&mut party.terms))
    };
    let no_claim = |change: fn(&mut Terms)| denied(DESK, "no-releasable-claim", terms(change));
    no_claim(|terms| terms.tlp = Tlp::Amber);
    no_claim(|terms| terms.pap = Pap::Amber);
    no_claim(|terms| terms.release_to = ["le-national".to_owned()].into());
    no_claim(|terms| {
        terms.never_to.insert("isp-abuse".to_owned());
    });
    no_claim(|terms| {
        terms.never_to.insert("org:desk".to_owned());
    });
    no_claim(|terms| {
        terms.never_to.insert("*".to_owned());
    });
    no_claim(|terms| {
        terms.purposes.remove(&Purpose::Remediation);
    });
    no_claim(|terms| terms.notify_affected = Notify::MustNot);
    let still = |change: fn(&mut Terms)| {
        allowed(DESK, |world| {
            // The hidden reporter stays hidden.
            let hidden = world.book.reporters.remove("quiet");
            terms(change)(world);
            world.book.reporters.extend(hidden.map(|hidden| ("quiet".to_owned(), hidden)));
        })
    };
    still(|terms| terms.tlp = Tlp::Green);
    still(|terms| terms.pap = Pap::Green);
    still(|terms| terms.release_to = ["org:desk".to_owned()].into());
    still(|terms| terms.release_to = ["isp-abuse".to_owned()].into());
    still(|terms| {
        terms.never_to.insert("public".to_owned());
    });
    still(|terms| {
        terms.purposes.remove(&Purpose::CrimePrevention);
    });
}

/// The world publishes; a change of it does not, and no other change is needed.
fn stops(world: &World, what: &str, change: impl Fn(&mut World)) -> Result<(), TestCaseError> {
    let mut changed = world.clone();
    change(&mut changed);
    prop_assert!(released(&changed.decide()).is_none(), "{} published", what);
    Ok(())
}

/// The world publishes, and after this change the very same.
fn leaves(world: &World, what: &str, change: impl Fn(&mut World)) -> Result<(), TestCaseError> {
    let mut changed = world.clone();
    change(&mut changed);
    let (before, after) = (world.decide().outcome, changed.decide().outcome);
    prop_assert_eq!(seen(&before), seen(&after), "{}", what);
    Ok(())
}

#[test]
pub(super) fn i9_no_world_gets_by_the_terms_of_its_reporters() {
    fn all(world: &mut World, change: impl Fn(&mut Terms)) {
        world.book.reporters.values_mut().for_each(|party| change(&mut party.terms));
    }
    hold(arb_world(), 300, |mut world| {
        // A claim is what goes out; what its sources' terms are must not decide here.
        world.dossier.findings.iter_mut().for_each(|finding| finding.gov = None);
        if released(&world.decide()).is_none() {
            return Ok(false);
        }
        let purpose = *world.agreement.purposes.first().expect("a purpose");
        let other = PURPOSES.into_iter().find(|other| !world.agreement.purposes.contains(other));
        let (id, kind) = (world.agreement.recipient.id.clone(), world.agreement.recipient.kind.as_str());
        stops(&world, "to others", |world| {
            all(world, |terms| terms.release_to = ["org:else".to_owned(), "nobody".to_owned()].into());
        })?;
        stops(&world, "never to it", |world| {
            all(world, |terms| terms.never_to = [id.clone()].into());
        })?;
        stops(&world, "never to its kind", |world| {
            all(world, |terms| terms.never_to = [kind.to_owned()].into());
        })?;
        stops(&world, "without one of its purposes", |world| {
            all(world, |terms| {
                terms.purposes.remove(&purpose);
            });
        })?;
        stops(&world, "without leave to notify", |world| {
            world.agreement.scope.require_notify = true;
            all(world, |terms| terms.notify_affected = Notify::MustNot);
        })?;
        stops(&world, "above its TLP", |world| all(world, |terms| terms.tlp = Tlp::Red))?;
        stops(&world, "above its PAP", |world| all(world, |terms| terms.pap = Pap::Red))?;
        leaves(&world, "also to others", |world| {
            all(world, |terms| {
                terms.release_to.insert("org:else".to_owned());
            });
        })?;
        leaves(&world, "never to others", |world| {
            all(world, |terms| {
                terms.never_to.insert("org:else".to_owned());
            });
        })?;
        leaves(&world, "without a purpose that is not asked for", |world| {
            all(world, |terms| terms.purposes.retain(|purpose| Some(*purpose) != other));
        })?;
        Ok(true)
    });
}

#[test]
pub(super) fn i10_no_world_gets_by_its_countries() {
    hold(arb_world(), 120, |mut world| {
        world.agreement.scope.countries = Countries::Only(["TH".to_owned()].into());
        world.agreement.scope.nexus_unknown = Unknown::Deny;
        // A government's name elsewhere would stop it too.
        world.dossier.findings.iter_mut().for_each(|finding| finding.gov = None);
        if released(&world.decide()).is_none() {
            return Ok(false);
        }
        let refused = |what: &str, change: &dyn Fn(&mut World)| {
            let mut changed = world.clone();
            change(&mut changed);
            prop_assert_eq!(seen(&changed.decide().outcome), "7 nexus None", "{}", what);
            Ok(())
        };
        refused("elsewhere", &|world| {
            let findings = world.dossier.findings.iter_mut();
            findings.flat_map(|finding| &mut finding.nexus).for_each(|nexus| nexus.country = "FR".to_owned());
            for fold in &mut world.dossier.folds {
                fold.victim_countries.kept.iter_mut().for_each(|(country, _)| *country = "FR".to_owned());
            }
        })?;
        refused("nowhere", &|world| {
            world.dossier.findings.iter_mut().for_each(|finding| finding.nexus.clear());
            world.dossier.folds.iter_mut().for_each(|fold| fold.victim_countries.kept.clear());
        })?;
        refused("too unsure", &|world| world.agreement.scope.nexus_min_confidence = 101)?;
        refused("by another link", &|world| world.agreement.scope.nexus = [NexusKind::Tld].into())?;
        Ok(true)
    });
}

/// What is malformed counts as not there.
#[test]
pub(super) fn i17_malformed_is_as_missing() {
    let parts = (arb_world(), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    hold(parts, 150, |(world, fold, finding)| {
        let place = fold.index(world.dossier.folds.len());
        let mut without = world.clone();
        without.dossier.folds.remove(place);
        for change in [
            (|fold| fold.count = 0) as fn(&mut Fold),
            |fold| fold.first_seen = fold.last_seen.plus(1),
            |fold| fold.reporter = "not-in-the-book".to_owned(),
        ] {
            let mut with = world.clone();
            change(&mut with.dossier.folds[place]);
            prop_assert_eq!(seen(&without.decide().outcome), seen(&with.decide().outcome));
        }
        let did = released(&without.decide()).is_some();
        let place = finding.index(world.dossier.findings.len());
        let mut without = world.clone();
        let gov = without.dossier.findings.remove(place).gov;
        // A government's name counts whoever says it.
        if gov.is_none() {
            for change in [
                (|finding| {
                    finding.network = vec![Network { ip: "here".to_owned(), ..Network::default() }];
                }) as fn(&mut Finding),
                |finding| finding.source = "not-in-the-book".to_owned(),
            ] {
                let mut with = world.clone();
                change(&mut with.dossier.findings[place]);
                prop_assert_eq!(seen(&without.decide().outcome), seen(&with.decide().outcome));
            }
        }
        Ok(did)
    });
}

#[test]
pub(super) fn i17_no_world_gets_by_without_a_sound_record() {
    hold(arb_world(), 300, |world| {
        if released(&world.decide()).is_none() {
            return Ok(false);
        }
        for value in ["", "a\u{7}b"] {
            stops(&world, value, |world| world.dossier.indicator.value = value.to_owned())?;
        }
        for address in ["10.0.0.1", "127.0.0.1", "2001:db8::1", "here"] {
            stops(&world, address, |world| {
                world.agreement.scope.indicator_types.insert(IndicatorType::Ipv4);
                world.dossier.indicator = Indicator { kind: IndicatorType::Ipv4, value: address.to_owned() };
            })?;
        }
        stops(&world, "nobody's claim", |world| world.dossier.folds.clear())?;
        stops(&world, "no reporter known", |world| world.book.reporters.clear())?;
        let spoil: [fn(&mut Lead); 6] = [
            |lead| lead.role = if lead.role == Role::Spam { Role::Scanner } else { Role::Spam },
            |lead| lead.indicator.value.push('1'),
            |lead| lead.score.risk = 101,
            |lead| lead.score.confidence = 101,
            |lead| lead.sightings = 0,
            |lead| lead.time.first_seen = lead.time.last_seen.plus(1),
        ];
        for spoil in spoil {
            let decision = world.decide_by(&|projection, role| {
                let mut lead = form(projection, role, world.now)?;
                spoil(&mut lead);
                Some(lead)
            });
            prop_assert!(released(&decision).is_none());
        }
        Ok(true)
    });
}

#[test]
pub(super) fn i18_no_world_gets_by_what_no_agreement_lifts() {
    let tag = |world: &mut World, place: usize, tag: &str, overflow| {
        let seen = Seen { count: 1, first: NOW, last: NOW };
        world.dossier.folds[place].matter = Capped { kept: vec![(tag.to_owned(), seen)], overflow };
    };
    hold((arb_world(), any::<prop::sample::Index>()), 300, |(mut world, index)| {
        world.agreement.excluded_matter = ["political".to_owned()].into();
        if released(&world.decide()).is_none() {
            return Ok(false);
        }
        let refused = |by: &str, change: &dyn Fn(&mut World)| {
            let mut changed = world.clone();
            change(&mut changed);
            prop_assert_eq!(seen(&changed.decide().outcome), format!("3 {by} None"));
            Ok(())
        };
        let key = world.dossier.indicator.key();
        refused("global-forbid", &|world| world.book.embargo = [key.clone()].into())?;
        leaves(&world, "another's embargo", |world| world.book.embargo = [format!("{key}0")].into())?;
        let known: Vec<usize> =
            (0..world.dossier.folds.len()).filter(|&at| fold_may(&world, &world.dossier.folds[at])).collect();
        let place = known[index.index(known.len())];
        refused("global-forbid", &|world| tag(world, place, "no-export", 0))?;
        refused("global-forbid", &|world| tag(world, place, "matter:other", 1))?;
        refused("excluded-matter", &|world| tag(world, place, "matter:political", 0))?;
        leaves(&world, "matter that is not excluded", |world| tag(world, place, "matter:other", 0))?;
        // And one that may not be known of stops nothing.
        if let Some(hidden) = (0..world.dossier.folds.len()).find(|at| !known.contains(at))
            && world
                .book
                .reporters
                .get(&world.dossier.folds[hidden].reporter)
                .is_none_or(|party| party.org.is_none())
        {
            leaves(&world, "a hidden tag", |world| tag(world, hidden, "no-export", 3))?;
        }
        for verdict in [Verdict::Benign, Verdict::Suppressed, Verdict::Unscored] {
            let mut all = world.clone();
            all.agreement.scope.verdicts.insert(verdict);
            let decision = all.decide_by(&|projection, role| {
                let mut lead = form(projection, role, all.now)?;
                lead.score.verdict = verdict;
                Some(lead)
            });
            prop_assert_eq!(seen(&decision.outcome), "3 global-forbid None");
        }
        Ok(true)
    });
}

#[test]
pub(super) fn i18_no_foreign_government_gets_by() {
    let gov = |country: &str| {
        Some(Gov {
            suffix: "gov.example".to_owned(),
            country: country.to_owned(),
            class: "central".to_owned(),
        })
    };
    hold((arb_world(), any::<prop::sample::Index>()), 200, |(mut world, index)| {
        world.agreement.scope.gov_assets = GovAssets::Own;
        world.agreement.recipient.country = Some("TH".to_owned());
        let independent: Vec<usize> =
            (0..world.dossier.findings.len()).filter(|&at| world.dossier.findings[at].independent).collect();
        world.dossier.findings.iter_mut().for_each(|finding| finding.gov = None);
        if independent.is_empty() || released(&world.decide()).is_none() {
            return Ok(false);
        }
        // Whether the recipient may know of that source or not.
        let place = independent[index.index(independent.len())];
        let named = |country: &str, assets| {
            let mut named = world.clone();
            named.dossier.findings[place].gov = gov(country);
            named.agreement.scope.gov_assets = assets;
            named.decide()
        };
        prop_assert!(released(&named("TH", GovAssets::Own)).is_some(), "its own");
        prop_assert!(released(&named("SG", GovAssets::Include)).is_some(), "any");
        prop_assert!(released(&named("TH", GovAssets::Only)).is_some(), "only its own");
        for (country, assets) in [
            ("SG", GovAssets::Own),
            ("SG", GovAssets::Only),
            ("TH", GovAssets::Exclude),
            ("SG", GovAssets::Exclude),
        ] {
            prop_assert_eq!(seen(&named(country, assets).outcome), "7 gov None");
        }
        Ok(true)
    });
}

#[test]
pub(super) fn i4_no_message_gets_by_the_leak_gate() {
    hold(arb_world(), 300, |world| {
        let decision = world.decide();
        let Some(release) = released(&decision) else { return Ok(false) };
        // Whatever text of it somebody had planted.
        let text = release.fields["indicator"]["value"].as_str().expect("a value").to_owned();
        let mut planted = world.clone();
        planted.book.canaries = vec![text];
        prop_assert_eq!(seen(&planted.decide().outcome), "10 leak-gate None");
        leaves(&world, "planted elsewhere", |world| world.book.canaries = vec!["CANARY-77".to_owned()])?;
        Ok(true)
    });
}
