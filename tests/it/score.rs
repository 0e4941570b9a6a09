//! What a score promises, whatever the items: sums that add up, one origin counting once, and a
//! source that is down lowering no risk.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use sightline::enrich::Status;
use sightline::score::{Coverage, Item, Model, Score, Verdict, codes, model, score};
use sightline::sighting::time::{DAY, HOUR};
use sightline::sighting::{IndicatorType, Role, Timestamp};

const ASEAN: &str = include_str!("../../pipelines/asean/model.toml");
const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn asean() -> Model {
    let written: model::Written = toml::from_str(ASEAN).expect("it reads");
    Model::from_written(&written, model::digest_of(ASEAN.as_bytes()))
}

fn item(origin: &str, weight: i32) -> Item {
    Item {
        code: codes::CLAIM.to_owned(),
        text: "reported as c2".to_owned(),
        weight,
        source: origin.to_owned(),
        origin: origin.to_owned(),
        reliability: 80,
        observed_at: NOW,
        is_claim: true,
    }
}

fn covered(source: &str, status: Status) -> Coverage {
    Coverage { source: source.to_owned(), status, detail: None, applies: true }
}

fn scored(items: &[Item], coverage: &[Coverage]) -> Score {
    score(&asean(), IndicatorType::Ipv4, Role::C2, items.to_vec(), coverage.to_vec(), NOW)
}

/// Items on a c2 address, and the verdict, risk and points that they must give.
#[track_caller]
fn check(items: &[Item], verdict: Verdict, risk: u8, points: &[(&str, i32)]) {
    let score = scored(items, &[]);
    let found: Vec<_> = score.factors.iter().map(|factor| (factor.code.as_str(), factor.points)).collect();
    assert_eq!((score.verdict, score.risk, &found[..]), (verdict, risk, points));
}

#[test]
fn nothing_known_is_unscored() {
    check(&[], Verdict::Unscored, 8, &[("prior", -250)]);
}

#[test]
fn origins_add_up_and_one_alone_is_not_enough() {
    let (a, b) = (item("a", 220), item("b", 220));
    check(std::slice::from_ref(&a), Verdict::Suspicious, 43, &[("prior", -250), ("claim", 220)]);
    check(&[a, b], Verdict::Malicious, 87, &[("prior", -250), ("claim", 220), ("claim", 220)]);
}

#[test]
fn copies_of_one_origin_count_once() {
    let copies = ["b", "c", "d", "e"].map(|source| Item { source: source.to_owned(), ..item("a", 220) });
    let points = [("prior", -250), ("claim", 220), ("claim", 15), ("claim", 15), ("claim", 10), ("claim", 0)];
    let all = [&[item("a", 220)][..], &copies].concat();
    check(&all, Verdict::Suspicious, 52, &points);
}

#[test]
fn what_one_source_says_twice_counts_once() {
    let again = Item { observed_at: NOW.plus(-HOUR), text: "again".to_owned(), ..item("a", 220) };
    let points = [("prior", -250), ("claim", 220), ("claim", 0)];
    check(&[again, item("a", 220)], Verdict::Suspicious, 43, &points);
}

#[test]
fn an_origin_is_capped_where_all_can_see_it() {
    let points = [("prior", -250), ("claim", 800), ("cap", -470)];
    check(&[item("a", 800)], Verdict::Suspicious, 69, &points);
    let weak = Item { reliability: 49, ..item("a", 800) };
    check(&[weak], Verdict::Unscored, 27, &[("prior", -250), ("claim", 800), ("cap", -650)]);
}

#[test]
fn what_speaks_against_is_capped_too_and_makes_a_conflict() {
    let against = Item { code: "benign-service".to_owned(), is_claim: false, ..item("list", -900) };
    let items = [item("a", 220), item("b", 220), against];
    let score = scored(&items, &[]);
    assert!(score.conflict);
    assert_eq!(score.log_odds, -250 + 220 + 220 - 330);
    check(
        &items,
        Verdict::Unscored,
        20,
        &[("prior", -250), ("cap", 570), ("claim", 220), ("claim", 220), ("benign-service", -900)],
    );
}

#[test]
fn a_suppressing_list_wins_and_says_so_against_strong_evidence() {
    let suppress = Item { code: codes::SUPPRESS.to_owned(), is_claim: false, ..item("list", 0) };
    let score = scored(&[item("a", 220), item("b", 220), suppress.clone()], &[]);
    assert_eq!((score.verdict, score.risk, score.conflict), (Verdict::Suppressed, 87, true));
    let nobodys = Item { reliability: 0, ..suppress };
    assert_eq!(scored(&[item("a", 220), item("b", 220), nobodys], &[]).verdict, Verdict::Malicious);
}

#[test]
fn evidence_grows_old_and_the_future_does_not_count_more() {
    let aged = |days: i64| Item { observed_at: NOW.plus(-days * DAY), ..item("a", 220) };
    let points = |item: Item| scored(&[item], &[]).factors[1].points;
    assert_eq!([aged(0), aged(14), aged(28), aged(-3)].map(points), [220, 110, 55, 220]);
}

#[test]
fn confidence_counts_origins_not_claims() {
    let confidence = |items: &[Item]| scored(items, &[]).confidence;
    assert_eq!(confidence(&[item("a", 220)]), 56, "0.7 of 80");
    assert_eq!(confidence(&[item("a", 220), item("a", 200)]), 56);
    assert_eq!(confidence(&[item("a", 220), item("b", 1)]), 81, "1 - 0.44 * 0.44");
    let context = Item { is_claim: false, ..item("b", 100) };
    assert_eq!(confidence(&[item("a", 220), context]), 56, "context makes nobody surer");
    let old = Item { observed_at: NOW.plus(-14 * DAY), ..item("a", 220) };
    assert_eq!(confidence(&[old]), 28);
}

#[test]
fn what_was_not_checked_is_shown_and_lowers_confidence_alone() {
    let items = [item("a", 220), item("b", 220)];
    let statuses = |coverage: &[Coverage]| scored(&items, coverage);
    let whole = statuses(&[covered("dns", Status::Miss), covered("geo", Status::Hit)]);
    let half = statuses(&[
        Coverage { detail: Some("no answer in time".to_owned()), ..covered("dns", Status::Unknown) },
        covered("geo", Status::Hit),
    ]);
    assert_eq!((whole.confidence, half.confidence), (81, 65), "a half of four tenths less");
    assert_eq!((whole.risk, half.risk), (87, 87));
    let last = half.factors.last().expect("there are some");
    assert_eq!((last.code.as_str(), last.source.as_str(), last.points), ("not-checked", "dns", 0));
    assert_eq!(last.text, "gave no answer: no answer in time");
    assert_eq!(whole.factors.last().map(|factor| factor.code.as_str()), Some("no-entry"));

    let beside = Coverage { applies: false, ..covered("dns", Status::Skipped) };
    let score = statuses(&[beside, covered("geo", Status::Hit)]);
    assert_eq!((score.confidence, score.factors.len()), (81, 3), "nothing was missed");
}

#[test]
fn a_victim_is_scored_as_a_victim() {
    for role in Role::ALL {
        let score = score(&asean(), IndicatorType::Ipv4, role, Vec::new(), Vec::new(), NOW);
        let says_victim = score.factors[0].text.contains("is a victim; it is not scored as an attacker");
        assert_eq!(says_victim, role.is_victim(), "{}", role.as_str());
    }
}

fn any_item() -> impl Strategy<Value = Item> {
    let who = (
        select(vec!["claim", "listed", "cap", "suppress"]),
        select(vec!["a", "b", "c"]),
        select(vec!["o", "p", "q"]),
    );
    let what =
        (prop_oneof![-3_000..3_000, Just(0), any::<i32>()], 0u8..=100, -5 * DAY..400 * DAY, any::<bool>());
    (who, what).prop_map(|((code, source, origin), (weight, reliability, age, is_claim))| Item {
        code: code.to_owned(),
        text: format!("{code} {}", weight % 3),
        weight,
        source: source.to_owned(),
        origin: origin.to_owned(),
        reliability,
        observed_at: NOW.plus(-age),
        is_claim,
    })
}

fn any_coverage() -> impl Strategy<Value = Vec<Coverage>> {
    let status = select(vec![Status::Hit, Status::Miss, Status::Unknown, Status::Skipped]);
    proptest::collection::vec((status, any::<bool>()), 0..8).prop_map(|statuses| {
        let numbered = statuses.into_iter().enumerate();
        numbered
            .map(|(n, (status, applies))| Coverage { applies, ..covered(&format!("source-{n}"), status) })
            .collect()
    })
}

fn any_case() -> impl Strategy<Value = (IndicatorType, Role, Vec<Item>, Vec<Coverage>)> {
    (
        select(IndicatorType::ALL.to_vec()),
        select(Role::ALL.to_vec()),
        proptest::collection::vec(any_item(), 0..20),
        any_coverage(),
    )
}

proptest! {
    #[test]
    fn the_factors_add_up_to_the_risk((kind, role, items, coverage) in any_case()) {
        let score = score(&asean(), kind, role, items.clone(), coverage.clone(), NOW);
        let sum: i32 = score.factors.iter().map(|factor| factor.points).sum();
        prop_assert_eq!(sum, score.log_odds);
        let odds = libm::exp(-f64::from(score.log_odds) / 100.0);
        let risk = libm::round(100.0 / (1.0 + odds));
        prop_assert!((f64::from(score.risk) - risk).abs() < 1e-9);
        prop_assert!(score.confidence <= 100);
    }

    #[test]
    fn the_order_of_items_changes_nothing(
        ((kind, role, coverage), one, other) in any_case().prop_flat_map(|(kind, role, items, coverage)| {
            (Just((kind, role, coverage)), Just(items.clone()), Just(items).prop_shuffle())
        })
    ) {
        let score = |items: &[Item]| score(&asean(), kind, role, items.to_vec(), coverage.clone(), NOW);
        prop_assert_eq!(score(&one), score(&other));
    }

    #[test]
    fn a_source_that_is_down_lowers_no_risk((kind, role, items, coverage) in any_case(), which in any::<Index>()) {
        prop_assume!(!coverage.is_empty());
        let which = which.index(coverage.len());
        let with = |status| {
            let mut coverage = coverage.clone();
            coverage[which].status = status;
            score(&asean(), kind, role, items.clone(), coverage.clone(), NOW)
        };
        let (miss, unknown, skipped) = (with(Status::Miss), with(Status::Unknown), with(Status::Skipped));
        prop_assert_eq!((miss.risk, miss.log_odds), (unknown.risk, unknown.log_odds));
        prop_assert_eq!((miss.risk, miss.log_odds), (skipped.risk, skipped.log_odds));
        prop_assert!(unknown.confidence <= miss.confidence && skipped.confidence <= miss.confidence);
    }

    #[test]
    fn less_evidence_for_it_never_raises_the_risk((kind, role, items, coverage) in any_case(), which in any::<Index>()) {
        let for_it: Vec<usize> = (0..items.len()).filter(|n| items[*n].weight > 0).collect();
        prop_assume!(!for_it.is_empty());
        let mut fewer = items.clone();
        fewer.remove(*which.get(&for_it));
        let log_odds = |items: &[Item]| score(&asean(), kind, role, items.to_vec(), coverage.clone(), NOW).log_odds;
        prop_assert!(log_odds(&fewer) <= log_odds(&items));
    }

    #[test]
    fn time_alone_makes_nobody_surer((kind, role, items, coverage) in any_case(), later in 0..900 * DAY) {
        let at = |now| score(&asean(), kind, role, items.clone(), coverage.clone(), now).confidence;
        prop_assert!(at(NOW.plus(later)) <= at(NOW));
    }

    #[test]
    fn one_weak_origin_never_makes_malicious(
        role in select(Role::ALL.to_vec()),
        items in proptest::collection::vec(any_item(), 1..12),
    ) {
        let weak: Vec<Item> = items
            .into_iter()
            .filter(|item| item.code != codes::SUPPRESS)
            .map(|item| Item {
                origin: "o".to_owned(),
                reliability: item.reliability % 50,
                weight: item.weight.saturating_abs(),
                ..item
            })
            .collect();
        let score = score(&asean(), IndicatorType::Ipv4, role, weak, Vec::new(), NOW.plus(HOUR));
        prop_assert!(score.risk < 80, "{} has {}", role.as_str(), score.risk);
    }
}
