//! Wrong decisions, each with one rule taken out or turned round, and which property notices.
//!
//! A property that holds of a wrong decision too is worth nothing there: it is masked by another rule, or
//! its worlds never come to that one (`sharing.md` 6.6, "Lessons"). So every mutant must make a property
//! fail, and every property must fail for a mutant. The decision asks [`judged`], [`formed`] and
//! [`allowed`] in test builds only, and they answer for this thread only.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::share::fields::{FIELDS, Fields, Op};

/// A decision that is wrong in one way.
struct Mutant {
    name: &'static str,
    how: How,
    /// The properties that notice.
    by: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// Rules that never stop anything: clause, and name where the clause has several.
    Without(&'static [(&'static str, &'static str)]),
    /// A rule that stops what it should let pass, and the other way round.
    TurnedRound(&'static str, &'static str),
    /// Whatever the agreement's fields say, all go out.
    AllFields,
    /// The lead is formed from the projection, and scored on everything.
    ScoredOnAll,
}

const fn without(
    name: &'static str,
    rules: &'static [(&'static str, &'static str)],
    by: &'static [&'static str],
) -> Mutant {
    Mutant { name, how: How::Without(rules), by }
}

/// The ten of the reference first; where two rules stop the same, the second is a mutant of its own.
const MUTANTS: &[Mutant] = &[
    without(
        "release",
        &[("not-released", "")],
        &[
            "i9_whatever_is_used_was_given_to_this_recipient_for_all_purposes",
            "i9_each_term_denies_alone",
            "i9_no_world_gets_by_the_terms_of_its_reporters",
            "i5_taking_out_all_that_is_hidden_changes_nothing",
        ],
    ),
    without(
        "ceiling",
        &[("above-ceiling", ""), ("record-invalid", "marking")],
        &[
            "i1_markings_are_within_the_ceiling_and_the_strictest_of_what_was_used",
            "i9_each_term_denies_alone",
            "i9_no_world_gets_by_the_terms_of_its_reporters",
        ],
    ),
    without(
        "expiry",
        &[("agreement-window", "")],
        &["i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists"],
    ),
    without("echo", &[("echo", "")], &["i12_nothing_rests_on_the_recipients_own_contribution"]),
    without(
        "nexus",
        &[("nexus", "")],
        &[
            "i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists",
            "i10_limited_to_countries_means_a_link_to_one_of_them",
            "i10_no_world_gets_by_its_countries",
        ],
    ),
    without(
        "purpose",
        &[("purpose", "")],
        &[
            "i9_whatever_is_used_was_given_to_this_recipient_for_all_purposes",
            "i9_each_term_denies_alone",
            "i9_no_world_gets_by_the_terms_of_its_reporters",
        ],
    ),
    // What a look-up that a sighting triggered found inherits the sighting's terms, here by going to nobody.
    without(
        "trigger inheritance",
        &[("not-independent", "")],
        &[
            "i5_what_a_recipient_may_not_know_of_changes_nothing",
            "i5_taking_out_all_that_is_hidden_changes_nothing",
            "i9_whatever_is_used_was_given_to_this_recipient_for_all_purposes",
            "i17_whatever_is_missing_or_malformed_denies",
        ],
    ),
    Mutant { name: "allow-list of fields", how: How::AllFields, by: &["i4_only_named_fields_go_out"] },
    Mutant {
        name: "scoring on all evidence",
        how: How::ScoredOnAll,
        by: &[
            "i5_what_a_recipient_may_not_know_of_changes_nothing",
            "i5_taking_out_all_that_is_hidden_changes_nothing",
            "i5_what_a_recipient_may_not_know_of_changes_nothing_in_a_real_lead",
            "i5_taking_out_all_that_is_hidden_changes_nothing_in_a_real_lead",
        ],
    },
    without(
        "foreign government",
        &[("gov", "")],
        &["i18_government_names", "i18_no_foreign_government_gets_by"],
    ),
    // And more.
    without(
        "ceiling of what is admitted",
        &[("above-ceiling", "")],
        &[
            "i5_what_a_recipient_may_not_know_of_changes_nothing",
            "i5_taking_out_all_that_is_hidden_changes_nothing",
            "i5_a_hit_of_which_all_is_hidden_looks_like_a_miss",
        ],
    ),
    without(
        "ceiling of the marking",
        &[("record-invalid", "marking")],
        &["i17_a_lead_that_is_not_of_this_record_denies"],
    ),
    without(
        "status",
        &[("agreement-status", "")],
        &["i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists"],
    ),
    without(
        "embargo",
        &[("global-forbid", "embargo")],
        &["i18_what_no_agreement_lifts", "i18_no_world_gets_by_what_no_agreement_lifts"],
    ),
    without(
        "tags that forbid",
        &[("global-forbid", "export")],
        &["i18_what_no_agreement_lifts", "i18_no_world_gets_by_what_no_agreement_lifts"],
    ),
    without(
        "excluded matter",
        &[("excluded-matter", "")],
        &["i18_what_no_agreement_lifts", "i18_no_world_gets_by_what_no_agreement_lifts"],
    ),
    without(
        "verdicts that never pass",
        &[("global-forbid", "verdict")],
        &["i18_what_no_agreement_lifts", "i18_no_world_gets_by_what_no_agreement_lifts"],
    ),
    without(
        "a claim",
        &[("no-releasable-claim", ""), ("record-invalid", "lead")],
        &["i17_whatever_is_missing_or_malformed_denies"],
    ),
    without(
        "a sound record",
        &[("record-invalid", "record")],
        &["i17_whatever_is_missing_or_malformed_denies", "i17_no_world_gets_by_without_a_sound_record"],
    ),
    without(
        "a sound lead",
        &[("record-invalid", "lead")],
        &["i17_a_lead_that_is_not_of_this_record_denies", "i17_no_world_gets_by_without_a_sound_record"],
    ),
    without(
        "what is malformed",
        &[("malformed", "")],
        &["i17_whatever_is_missing_or_malformed_denies", "i17_malformed_is_as_missing"],
    ),
    without(
        "notification",
        &[("notify", "")],
        &["i9_each_term_denies_alone", "i9_no_world_gets_by_the_terms_of_its_reporters"],
    ),
    without(
        "role",
        &[("role", "")],
        &[
            "i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists",
            "i6_what_goes_out_is_within_every_bound",
        ],
    ),
    without(
        "type",
        &[("type", "")],
        &[
            "i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists",
            "i6_what_goes_out_is_within_every_bound",
        ],
    ),
    without(
        "risk",
        &[("threshold", "risk")],
        &["i6_tightening_never_publishes_more", "i6_what_goes_out_is_within_every_bound"],
    ),
    without("confidence", &[("threshold", "confidence")], &["i6_tightening_never_publishes_more"]),
    without(
        "verdict",
        &[("verdict", "")],
        &[
            "i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists",
            "i6_what_goes_out_is_within_every_bound",
        ],
    ),
    without("age", &[("age", "")], &["i6_tightening_never_publishes_more"]),
    without("embargo by age", &[("embargo-age", "")], &["i6_tightening_never_publishes_more"]),
    without("leak gate", &[("leak-gate", "")], &["i4_no_message_gets_by_the_leak_gate"]),
    Mutant {
        name: "risk turned round",
        how: How::TurnedRound("threshold", "risk"),
        by: &["i6_what_goes_out_is_within_every_bound"],
    },
    // Not rules, but what agreements have between them.
    without("one projection for all", &[("cache", "choice")], &["i15_other_agreements_change_nothing"]),
    without(
        "a cache that never forgets",
        &[("cache", "subject")],
        &["i7_the_same_input_gives_the_same_bytes"],
    ),
];

thread_local! {
    static MUTANT: Cell<Option<&'static Mutant>> = const { Cell::new(None) };
}

/// How a property begins that saw too few publications.
pub(super) const TOO_FEW: &str = "too few publications: ";

/// Whether decisions on this thread are wrong.
pub(super) fn is_mutated() -> bool {
    MUTANT.get().is_some()
}

/// In place of the product's: what a rule found, unless the mutant knows better.
pub(in super::super) fn judged(clause: &str, name: &str, passed: bool) -> bool {
    match MUTANT.get().map(|mutant| mutant.how) {
        Some(How::Without(rules)) => {
            let is_it = |rule: &&(&str, &str)| rule.0 == clause && (rule.1.is_empty() || rule.1 == name);
            passed || rules.iter().any(|rule| is_it(&rule))
        }
        Some(How::TurnedRound(of, named)) => passed != (of == clause && named == name),
        _ => passed,
    }
}

/// In place of the product's: the lead of a projection.
pub(in super::super) fn formed(form: Form<'_>, projection: &Projection<'_>, role: Role) -> Option<Lead> {
    let mut lead = form(projection, role)?;
    if let Some(Mutant { how: How::ScoredOnAll, .. }) = MUTANT.get() {
        lead.score = form(&Projection::whole(projection.dossier), role)?.score;
    }
    Some(lead)
}

/// In place of the product's: the fields that an agreement lets out.
pub(in super::super) fn allowed(agreement: &Agreement) -> &Fields {
    static ALL: std::sync::LazyLock<Fields> = std::sync::LazyLock::new(|| {
        let mut all = Fields::default();
        FIELDS.iter().filter(|field| !field.ops.is_empty()).for_each(|field| all.allow(field, Op::Keep));
        all
    });
    match MUTANT.get() {
        Some(Mutant { how: How::AllFields, .. }) => &ALL,
        _ => &agreement.fields,
    }
}

/// Whether a property fails while decisions are wrong so. That it published too little is no failure here:
/// it did not look at what went out.
fn notices(mutant: &'static Mutant, property: fn()) -> bool {
    MUTANT.set(Some(mutant));
    let result = catch_unwind(AssertUnwindSafe(property));
    MUTANT.set(None);
    result.is_err_and(|cause| cause.downcast_ref::<String>().is_none_or(|text| !text.starts_with(TOO_FEW)))
}

macro_rules! properties {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$((stringify!($name), super::$module::$name as fn())),*]
    };
}

/// All properties of the decision.
const PROPERTIES: &[(&str, fn())] = properties![
    properties::i1_markings_are_within_the_ceiling_and_the_strictest_of_what_was_used,
    properties::i3_nothing_without_an_agreement_in_force_and_nothing_from_empty_lists,
    properties::i4_only_named_fields_go_out,
    denials::i4_no_message_gets_by_the_leak_gate,
    real::i4_no_reporter_shows_in_a_real_lead,
    properties::i5_what_a_recipient_may_not_know_of_changes_nothing,
    properties::i5_and_what_it_may_know_of_does_change_what_it_gets,
    properties::i5_taking_out_all_that_is_hidden_changes_nothing,
    real::i5_what_a_recipient_may_not_know_of_changes_nothing_in_a_real_lead,
    real::i5_taking_out_all_that_is_hidden_changes_nothing_in_a_real_lead,
    real::i5_a_hit_of_which_all_is_hidden_looks_like_a_miss,
    properties::i6_tightening_never_publishes_more,
    properties::i6_what_goes_out_is_within_every_bound,
    properties::i7_the_same_input_gives_the_same_bytes,
    properties::i9_whatever_is_used_was_given_to_this_recipient_for_all_purposes,
    denials::i9_each_term_denies_alone,
    denials::i9_no_world_gets_by_the_terms_of_its_reporters,
    properties::i10_limited_to_countries_means_a_link_to_one_of_them,
    denials::i10_no_world_gets_by_its_countries,
    properties::i12_nothing_rests_on_the_recipients_own_contribution,
    properties::i15_other_agreements_change_nothing,
    properties::i16_topic_headers_message_and_entry_name_one_agreement,
    denials::i17_whatever_is_missing_or_malformed_denies,
    denials::i17_a_lead_that_is_not_of_this_record_denies,
    denials::i17_malformed_is_as_missing,
    denials::i17_no_world_gets_by_without_a_sound_record,
    denials::i18_what_no_agreement_lifts,
    denials::i18_government_names,
    denials::i18_no_world_gets_by_what_no_agreement_lifts,
    denials::i18_no_foreign_government_gets_by,
];

/// Properties that no rule of the decision can break, and why.
const EXCUSED: &[&str] = &[
    // A control: it is there to fail when the others could not.
    "i5_and_what_it_may_know_of_does_change_what_it_gets",
    // What is made of a release, not whether there is one.
    "i16_topic_headers_message_and_entry_name_one_agreement",
    // Redaction's own, which has tests of its own.
    "i4_no_reporter_shows_in_a_real_lead",
];

#[test]
fn every_mutant_is_caught_and_every_property_catches() {
    let mut idle: BTreeSet<&str> = PROPERTIES.iter().map(|(name, _)| *name).collect();
    for excused in EXCUSED {
        assert!(idle.remove(excused), "{excused} is no property");
    }
    for mutant in MUTANTS {
        assert!(!mutant.by.is_empty(), "nothing notices `{}`", mutant.name);
        for by in mutant.by {
            let (_, property) = PROPERTIES.iter().find(|(name, _)| name == by).expect("a property");
            assert!(notices(mutant, *property), "{by} does not notice `{}`: masked or vacuous", mutant.name);
            idle.remove(by);
        }
    }
    assert!(idle.is_empty(), "these notice no mutant: {idle:?}");
}

/// The table says of each property of which invariant it is.
#[test]
fn the_table_has_every_property() {
    let table = include_str!("mod.rs");
    for (name, _) in PROPERTIES {
        let number = name.split('_').next().expect("a number").to_uppercase();
        let row = table.lines().find(|line| line.starts_with(&format!("//! | {number} ")));
        assert!(
            row.is_some_and(|row| row.contains(&format!("`{name}`"))),
            "{name} is not in the row of {number}"
        );
    }
    let named = table.lines().filter(|line| line.starts_with("//! | I")).count();
    assert_eq!(named, 15, "I1, I3 to I10, I12, I13, I15 to I18");
}
