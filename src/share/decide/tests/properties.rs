//! The invariants of `sharing.md` 6.6 on any world, by number: what goes out, and what makes no difference.
//!
//! What stops a disclosure is in `denials`.

use std::cell::{Cell, RefCell};

use proptest::prelude::*;

use super::super::*;
use super::world::{CLEAR, NOW, World, arb_finding, arb_fold, arb_terms, arb_world, evidence, form, hold};
use super::*;
use crate::dossier::Fold;
use crate::enrich::{Finding, NexusKind};
use crate::share::agreement::Echo;
use crate::sighting::{Marking, Notify, Pap, Tlp};

/// What the reference says of terms, written once more and plainly.
fn may(world: &World, terms: &Terms, marking: Marking) -> bool {
    let agreement = &world.agreement;
    let recipient = &agreement.recipient;
    let named = |set: &BTreeSet<String>| {
        set.contains("*") || set.contains(&recipient.id) || set.contains(recipient.kind.as_str())
    };
    marking.tlp.max(terms.tlp) <= agreement.ceiling.tlp
        && marking.pap.max(terms.pap) <= agreement.ceiling.pap
        && named(&terms.release_to)
        && !named(&terms.never_to)
        && agreement.purposes.iter().all(|purpose| terms.purposes.contains(purpose))
        && (!agreement.scope.require_notify || terms.notify_affected == Notify::May)
}

pub(super) fn fold_may(world: &World, fold: &Fold) -> bool {
    let Some(party) = world.book.reporters.get(&fold.reporter) else { return false };
    let is_own = party.org.as_deref() == Some(&world.agreement.recipient.id);
    may(world, &party.terms, fold.marking) && !(is_own && world.agreement.scope.echo == Echo::Suppress)
}

fn finding_may(world: &World, finding: &Finding) -> bool {
    finding.independent
        && world.book.sources.get(&finding.source).is_some_and(|terms| may(world, terms, CLEAR))
}

/// The same world with only what the recipient may know of.
pub(super) fn bare(world: &World) -> World {
    let mut bare = world.clone();
    bare.dossier.folds.retain(|fold| fold_may(world, fold));
    bare.dossier.findings.retain(|finding| finding_may(world, finding));
    for finding in &mut bare.dossier.findings {
        let terms = &world.book.sources[&finding.source];
        finding.evidence.retain(|evidence| {
            let own =
                Marking { tlp: evidence.tlp.unwrap_or(Tlp::Clear), pap: evidence.pap.unwrap_or(Pap::Clear) };
            may(world, terms, own)
        });
    }
    bare
}

#[test]
pub(super) fn i1_markings_are_within_the_ceiling_and_the_strictest_of_what_was_used() {
    hold(arb_world(), 300, |world| {
        let decision = world.decide();
        let Some(release) = released(&decision) else { return Ok(false) };
        let bare = bare(&world);
        let mut strictest = CLEAR;
        let mut add = |marking: Marking| {
            strictest.tlp = strictest.tlp.max(marking.tlp);
            strictest.pap = strictest.pap.max(marking.pap);
        };
        for fold in bare.dossier.folds.iter().filter(|fold| fold.role == world.role) {
            let terms = &world.book.reporters[&fold.reporter].terms;
            add(terms.narrow(Some(fold.marking.tlp), Some(fold.marking.pap)));
        }
        for finding in &bare.dossier.findings {
            let terms = &world.book.sources[&finding.source];
            for evidence in &finding.evidence {
                add(terms.narrow(evidence.tlp, evidence.pap));
            }
            if !finding.network.is_empty() || finding.gov.is_some() {
                add(terms.narrow(None, None));
            }
        }
        prop_assert_eq!(release.marking, strictest);
        prop_assert!(release.marking.tlp <= world.agreement.ceiling.tlp);
        prop_assert!(release.marking.pap <= world.agreement.ceiling.pap);
        if world.agreement.fields.op("tlp").is_some() {
            prop_assert_eq!(&release.fields["tlp"], strictest.tlp.as_str());
        }
        Ok(true)
    });
}

type Change = fn(&mut World);

#[test]
pub(super) fn i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists() {
    use crate::share::agreement::Status;
    hold(arb_world(), 300, |world| {
        if released(&world.decide()).is_none() {
            return Ok(false);
        }
        let tries: [(&str, Change); 14] = [
            ("draft", |world| world.agreement.status = Status::Draft),
            ("suspended", |world| world.agreement.status = Status::Suspended),
            ("terminated", |world| world.agreement.status = Status::Terminated),
            // The world is dated anew in each, so that nothing but the window can stop it.
            ("before", |world| world.agreement.effective_from = NOW.plus(1)),
            ("at the end", |world| world.agreement.expires_at = NOW),
            ("after", |world| world.agreement.expires_at = NOW.plus(-1)),
            ("purposes", |world| world.agreement.purposes.clear()),
            ("roles", |world| world.agreement.scope.roles.clear()),
            ("types", |world| world.agreement.scope.indicator_types.clear()),
            ("countries", |world| world.agreement.scope.countries = Countries::Only(BTreeSet::new())),
            ("nexus", |world| world.agreement.scope.nexus.clear()),
            ("verdicts", |world| world.agreement.scope.verdicts.clear()),
            ("reporters", |world| world.book.reporters.clear()),
            ("release", |world| {
                world.book.reporters.values_mut().for_each(|party| party.terms.release_to.clear());
            }),
        ];
        for (name, change) in tries {
            let mut changed = world.clone();
            change(&mut changed);
            prop_assert!(released(&changed.decide()).is_none(), "{name} published");
        }
        // At the first moment, and at the last, it is in force.
        let mut edge = world.clone();
        edge.agreement.effective_from = NOW;
        edge.agreement.expires_at = NOW.plus(1);
        prop_assert!(released(&edge.decide()).is_some());
        Ok(true)
    });
}

#[test]
pub(super) fn i4_only_named_fields_go_out() {
    hold(arb_world(), 300, |world| {
        let decision = world.decide();
        let Some(release) = released(&decision) else { return Ok(false) };
        let mut shown = BTreeSet::new();
        paths(&release.fields, "", &mut shown);
        let fields = &world.agreement.fields;
        for path in &shown {
            let field = match path.as_str() {
                "url_scrubbed" => "url.full",
                "malware_more" => "malware.name",
                "services_more" => "services.port",
                path if path.starts_with("score.factors") => "score.factors",
                path if path.starts_with("built") => "built",
                path => path,
            };
            prop_assert!(fields.op(field).is_some(), "{path} goes out");
        }
        let text = String::from_utf8(bytes(&release.fields)).expect("JSON");
        prop_assert!(!text.contains("geheim"), "{text}");
        prop_assert!(
            !text.contains("ref.example") && !text.contains("origin-of") && !text.contains("says so")
        );
        Ok(true)
    });
}

/// Something that the recipient may not know of.
#[derive(Debug, Clone)]
pub(super) enum Hidden {
    Fold(Fold, Terms),
    Finding(Finding, Terms),
    Evidence(usize, Tlp),
}

pub(super) fn arb_hidden() -> impl Strategy<Value = Hidden> {
    prop_oneof![
        3 => (arb_fold(), arb_terms()).prop_map(|(fold, terms)| Hidden::Fold(fold, terms)),
        2 => (arb_finding(), arb_terms()).prop_map(|(finding, terms)| Hidden::Finding(finding, terms)),
        1 => (0..4_usize, prop::sample::select(vec![Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red]))
            .prop_map(|(index, tlp)| Hidden::Evidence(index, tlp)),
    ]
}

/// The world with it, by somebody new; and whether the recipient may know of it.
pub(super) fn with(world: &World, hidden: &Hidden) -> (World, bool) {
    let mut with = world.clone();
    match hidden {
        Hidden::Fold(fold, terms) => {
            let mut fold = fold.clone();
            fold.reporter = "newcomer".to_owned();
            fold.role = world.role;
            with.book.reporters.insert(fold.reporter.clone(), Party { org: None, terms: terms.clone() });
            let may = fold_may(&with, &fold);
            with.dossier.folds.push(fold);
            (with, may)
        }
        Hidden::Finding(finding, terms) => {
            let mut finding = finding.clone();
            finding.source = "new-source".to_owned();
            // A government's name counts whoever says it: the one exception, tested by itself.
            finding.gov = None;
            with.book.sources.insert(finding.source.clone(), terms.clone());
            let may = finding_may(&with, &finding);
            with.dossier.findings.push(finding);
            (with, may)
        }
        Hidden::Evidence(index, tlp) => {
            let count = with.dossier.findings.len();
            let Some(finding) = with.dossier.findings.get_mut(index % count.max(1)) else {
                return (with, true);
            };
            finding.evidence.insert(0, evidence("hidden", 300, Some(*tlp)));
            let is_source_known = finding_may(world, &world.dossier.findings[index % count]);
            let may = is_source_known && *tlp <= world.agreement.ceiling.tlp;
            (with, may)
        }
    }
}

#[test]
pub(super) fn i5_what_a_recipient_may_not_know_of_changes_nothing() {
    hold((arb_world(), arb_hidden()), 150, |(world, hidden)| {
        let (with, may) = with(&world, &hidden);
        if may {
            return Ok(false);
        }
        let (before, after) = (world.decide(), with.decide());
        prop_assert_eq!(seen(&before.outcome), seen(&after.outcome));
        Ok(released(&before).is_some())
    });
}

#[test]
pub(super) fn i5_and_what_it_may_know_of_does_change_what_it_gets() {
    // The teeth of the property above: otherwise a decision that looks at nothing would pass it.
    let changed = RefCell::new([0_u32; 3]);
    hold((arb_world(), arb_hidden()), 150, |(world, hidden)| {
        let (with, may) = with(&world, &hidden);
        if !may {
            return Ok(false);
        }
        let (before, after) = (world.decide(), with.decide());
        let kind = match hidden {
            Hidden::Fold(..) => 0,
            Hidden::Finding(..) => 1,
            Hidden::Evidence(..) => 2,
        };
        changed.borrow_mut()[kind] += u32::from(seen(&before.outcome) != seen(&after.outcome));
        Ok(released(&before).is_some())
    });
    assert!(changed.borrow().iter().all(|&n| n >= 5), "{changed:?}");
}

#[test]
pub(super) fn i5_taking_out_all_that_is_hidden_changes_nothing() {
    hold(arb_world(), 300, |mut world| {
        world.dossier.findings.iter_mut().for_each(|finding| finding.gov = None);
        let before = world.decide();
        prop_assert_eq!(seen(&before.outcome), seen(&bare(&world).decide().outcome));
        Ok(released(&before).is_some())
    });
}

#[test]
pub(super) fn i6_tightening_never_publishes_more() {
    // By bound: how often it stopped what was published before, or took something out of it.
    let tells = RefCell::new([0_u32; 16]);
    // Where hidden evidence may speak against a role, a lower ceiling hides that too; so it may where a
    // hidden tag forbids. Neither is in these worlds: non-interference wins over monotony there.
    hold((arb_world(), 0..16_u8, any::<prop::sample::Index>()), 200, |(world, which, index)| {
        let mut tight = world.clone();
        let loose = world.decide();
        // Of a score or a time, by a hair's breadth or by more.
        let hair = released(&loose).filter(|_| index.index(2) == 0).map(|release| &release.lead);
        let scope = &mut tight.agreement.scope;
        match which {
            0 => scope.min_risk = hair.map_or(scope.min_risk.saturating_add(10), |lead| lead.score.risk + 1),
            1 => {
                scope.min_confidence =
                    hair.map_or(scope.min_confidence.saturating_add(10), |lead| lead.score.confidence + 1);
            }
            2 => {
                scope.max_age =
                    hair.map_or(scope.max_age / 4, |lead| world.now.since(lead.time.last_seen) - 1)
            }
            3 => {
                let more = scope.min_age + 20 * 3_600_000;
                scope.min_age = hair.map_or(more, |lead| world.now.since(lead.time.first_reported) + 1);
            }
            4 => {
                scope.roles.remove(&Role::C2);
            }
            5 => {
                scope.indicator_types.remove(&IndicatorType::Ipv4);
            }
            6 => {
                scope.verdicts.remove(&Verdict::Suspicious);
            }
            7 if scope.countries == Countries::Any => {
                scope.countries = Countries::Only(["TH".to_owned()].into())
            }
            7 => scope.countries = Countries::Only(BTreeSet::new()),
            8 => scope.nexus_min_confidence = scope.nexus_min_confidence.max(70),
            9 => scope.nexus_unknown = Unknown::Deny,
            10 => scope.require_notify = true,
            11 => scope.gov_assets = GovAssets::Exclude,
            12 => {
                scope.nexus.remove(&NexusKind::Hosting);
            }
            13 => tight.agreement.ceiling = CLEAR,
            14 => tight.agreement.ceiling.tlp = Tlp::Green,
            _ => {
                let all: Vec<&str> = world.agreement.fields.iter().map(|(path, _)| path).collect();
                let out = all[index.index(all.len())];
                tight.agreement.fields = Default::default();
                for field in crate::share::fields::FIELDS {
                    if let Some(op) = world.agreement.fields.op(field.path).filter(|_| field.path != out) {
                        tight.agreement.fields.allow(field, op);
                    }
                }
            }
        }
        let tight = tight.decide();
        let did = released(&loose).is_some() && seen(&loose.outcome) != seen(&tight.outcome);
        tells.borrow_mut()[usize::from(which)] += u32::from(did);
        let Some(less) = released(&tight) else { return Ok(false) };
        let Some(more) = released(&loose) else {
            return Err(TestCaseError::fail(format!(
                "{which} published what {} stopped",
                seen(&loose.outcome)
            )));
        };
        let (mut of_less, mut of_more) = (BTreeSet::new(), BTreeSet::new());
        paths(&less.fields, "", &mut of_less);
        paths(&more.fields, "", &mut of_more);
        prop_assert!(of_less.is_subset(&of_more), "{which}: {of_less:?}");
        Ok(true)
    });
    // A bound that bounds nothing would pass the above.
    assert!(tells.borrow().iter().all(|&n| n > 0), "{tells:?}");
}

#[test]
pub(super) fn i6_what_goes_out_is_within_every_bound() {
    hold(arb_world(), 300, |world| {
        let decision = world.decide();
        let Some(release) = released(&decision) else { return Ok(false) };
        let (scope, lead) = (&world.agreement.scope, &release.lead);
        prop_assert!(
            scope.roles.contains(&lead.role) && scope.indicator_types.contains(&lead.indicator.kind)
        );
        prop_assert!(scope.verdicts.contains(&lead.score.verdict));
        prop_assert!(lead.score.risk >= scope.min_risk && lead.score.confidence >= scope.min_confidence);
        prop_assert!(world.now.since(lead.time.last_seen) <= scope.max_age);
        prop_assert!(world.now.since(lead.time.first_reported) >= scope.min_age);
        Ok(true)
    });
}

#[test]
pub(super) fn i7_the_same_input_gives_the_same_bytes() {
    hold(arb_world(), 300, |world| {
        let (first, second) = (world.decide(), world.clone().decide());
        prop_assert_eq!(seen(&first.outcome), seen(&second.outcome));
        prop_assert_eq!(seen(&first.outcome), seen(&world.explain().outcome));
        // Whatever was decided before: here of a dossier of which the very same may be known.
        let mut other = world.clone();
        other.dossier.folds.iter_mut().for_each(|fold| fold.count += 7);
        let form = |projection: &Projection<'_>, role: Role| form(projection, role, world.now);
        let mut cache = Cache::default();
        let agreement = &world.agreement;
        for subject in [other.subject(agreement), world.subject(agreement), other.subject(agreement)] {
            let again = subject.decide(&form, None, &mut cache, false);
            let alone = subject.decide(&form, None, &mut Cache::default(), false);
            prop_assert_eq!(seen(&alone.outcome), seen(&again.outcome));
        }
        Ok(released(&first).is_some())
    });
}

#[test]
pub(super) fn i9_whatever_is_used_was_given_to_this_recipient_for_all_purposes() {
    hold(arb_world(), 300, |world| {
        let used = RefCell::new(Vec::new());
        let decision = world.decide_by(&|projection, role| {
            let mut used = used.borrow_mut();
            for fold in &projection.folds {
                used.push(fold_may(&world, fold));
            }
            for (finding, evidence) in &projection.findings {
                used.push(finding_may(&world, finding));
                let terms = &world.book.sources[&finding.source];
                used.extend(
                    evidence
                        .iter()
                        .map(|evidence| may(&world, terms, terms.narrow(evidence.tlp, evidence.pap))),
                );
            }
            form(projection, role, world.now)
        });
        prop_assert!(used.borrow().iter().all(|&may| may));
        Ok(released(&decision).is_some())
    });
}

#[test]
pub(super) fn i10_limited_to_countries_means_a_link_to_one_of_them() {
    let only = prop_oneof![Just("TH"), Just("SG"), Just("DE")];
    hold((arb_world(), only), 120, |(mut world, country)| {
        world.agreement.scope.countries = Countries::Only([country.to_owned()].into());
        world.agreement.scope.nexus_unknown = Unknown::Deny;
        let decision = world.decide();
        let Some(release) = released(&decision) else { return Ok(false) };
        let scope = &world.agreement.scope;
        let is_linked = release.lead.nexus.iter().any(|nexus| {
            nexus.country == country
                && scope.nexus.contains(&nexus.kind)
                && nexus.confidence >= scope.nexus_min_confidence
        });
        prop_assert!(is_linked, "{:?}", release.lead.nexus);
        Ok(true)
    });
}

#[test]
pub(super) fn i12_nothing_rests_on_the_recipients_own_contribution() {
    // The same contribution, alone and of nobody's organisation: so often it does go out.
    let controls = Cell::new(0_u32);
    hold((arb_world(), arb_fold()), 200, |(mut world, mut own)| {
        world.agreement.scope.echo = Echo::Suppress;
        let before = world.decide();
        let mut with = world.clone();
        own.reporter = "its-own".to_owned();
        own.role = world.role;
        own.marking = CLEAR;
        let org = Some(world.agreement.recipient.id.clone());
        let party = Party { org, terms: super::world::open_terms() };
        with.book.reporters.insert(own.reporter.clone(), party);
        with.dossier.folds.push(own);
        prop_assert_eq!(seen(&before.outcome), seen(&with.decide().outcome));
        // Alone, it justifies nothing; somebody else's does.
        let mut alone = with.clone();
        alone.dossier.folds.retain(|fold| fold.reporter == "its-own");
        prop_assert!(released(&alone.decide()).is_none());
        alone.book.reporters.get_mut("its-own").expect("there").org = None;
        controls.set(controls.get() + u32::from(released(&alone.decide()).is_some()));
        Ok(released(&before).is_some())
    });
    assert!(controls.get() >= 100, "{controls:?}");
}

#[test]
pub(super) fn i15_other_agreements_change_nothing() {
    let others: Vec<Agreement> = [HUB, UNIT, PEER, DESK, OPEN].map(sound).into();
    hold((arb_world(), Just(others).prop_shuffle(), 0..6_usize), 300, |(world, others, count)| {
        let alone = world.decide();
        let form = |projection: &Projection<'_>, role: Role| form(projection, role, world.now);
        let mut cache = Cache::default();
        for other in others.iter().take(count) {
            world.subject(other).decide(&form, None, &mut cache, false);
        }
        let among = world.subject(&world.agreement).decide(&form, None, &mut cache, false);
        prop_assert_eq!(seen(&alone.outcome), seen(&among.outcome));
        Ok(released(&alone).is_some())
    });
}

#[test]
pub(super) fn i16_topic_headers_message_and_entry_name_one_agreement() {
    use crate::encode::native::{MessageHead, disclosure, headers};
    use crate::share::ledger::{Disclosure, Draft};
    hold(arb_world(), 300, |world| {
        let decision = world.decide();
        let Some(release) = released(&decision) else { return Ok(false) };
        let agreement = &world.agreement;
        let head = MessageHead::of(agreement, release, "d", 2, Some(1), world.now);
        let message: Value = serde_json::from_slice(&disclosure(&release.fields, &head)).expect("JSON");
        let about = Disclosure { id: "d", version: 2, decided_at: world.now, commitment: "c", bytes: 9 };
        let draft = Draft::of(agreement, release, about);
        let header = |name: &str| {
            let found = headers(&head, "00").into_iter().find(|(held, _)| held == name);
            String::from_utf8(found.expect("a header").1).expect("text")
        };
        prop_assert_eq!(&draft.output.topic, &agreement.topic);
        prop_assert_eq!(&draft.recipient, &agreement.recipient.id);
        prop_assert_eq!(header("dx-agreement"), agreement.name());
        prop_assert_eq!(format!("{}@{}", draft.agreement.id, draft.agreement.version), agreement.name());
        prop_assert_eq!(&message["agreement"]["id"], &draft.agreement.id);
        prop_assert_eq!(&message["agreement"]["version"], draft.agreement.version);
        for digest in [&header("dx-agreement-digest"), &draft.agreement.digest] {
            prop_assert_eq!(digest, &agreement.digest);
        }
        prop_assert_eq!(&message["agreement"]["digest"], &agreement.digest);
        for (name, said) in [("tlp", draft.tlp.as_str()), ("pap", draft.pap.as_str())] {
            prop_assert_eq!(&header(&format!("dx-{name}")), said);
            prop_assert_eq!(&message["marking"][name], said);
        }
        prop_assert_eq!(header("dx-handling"), message["terms"]["handling"].to_string());
        Ok(true)
    });
}
