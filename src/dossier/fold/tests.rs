//! Each rule of the fold by example; that order changes nothing is shown in `tests/it/dossier.rs`.

use super::*;
use crate::sighting::{Digest, Indicator, IndicatorType, Pap, Role, Tlp, Victim};

const GREEN: Marking = Marking { tlp: Tlp::Green, pap: Pap::Green };
const AMBER: Marking = Marking { tlp: Tlp::Amber, pap: Pap::Green };

fn indicator() -> Indicator {
    Indicator { kind: IndicatorType::Ipv4, value: "198.51.100.7".to_owned() }
}

fn sighting(reporter: &str, role: Role, at: i64) -> Sighting<'static> {
    Sighting {
        indicator: indicator(),
        original: None,
        role,
        reporter: reporter.to_owned().into(),
        id: None,
        observed_at: Timestamp(at),
        reported_at: Timestamp(at + 5),
        malware: None,
        port: None,
        protocol: None,
        claimed_confidence: None,
        tlp: None,
        pap: None,
        tags: Vec::new(),
        comment: None,
        victim: None,
        raw: RawRef { topic: "raw.a", partition: 0, offset: at, index: 0, sha256: Digest::default() },
    }
}

fn folded(sightings: &[Sighting<'_>]) -> Dossier {
    let mut dossier = Dossier::new(indicator());
    for sighting in sightings {
        fold(&mut dossier, sighting, GREEN);
    }
    dossier
}

#[test]
fn times_are_the_outermost_and_sightings_are_counted() {
    let dossier = folded(&[5, 3, 9, 4].map(|at| sighting("a", Role::C2, at)));
    let [fold] = &dossier.folds[..] else { panic!("one fold") };
    assert_eq!((fold.count, fold.first_seen, fold.last_seen), (4, Timestamp(3), Timestamp(9)));
    assert_eq!(fold.first_reported, Timestamp(8));
}

#[test]
fn reporters_roles_and_markings_are_kept_apart_in_order() {
    let mut dossier = Dossier::new(indicator());
    for (reporter, role, marking) in [
        ("b", Role::C2, GREEN),
        ("a", Role::Scanner, GREEN),
        ("a", Role::C2, AMBER),
        ("a", Role::C2, GREEN),
        ("b", Role::C2, GREEN),
    ] {
        fold(&mut dossier, &sighting(reporter, role, 1), marking);
    }
    let keys: Vec<_> =
        dossier.folds.iter().map(|f| (f.reporter.as_str(), f.role, f.marking, f.count)).collect();
    assert_eq!(
        keys,
        [
            ("a", Role::C2, GREEN, 1),
            ("a", Role::C2, AMBER, 1),
            ("a", Role::Scanner, GREEN, 1),
            ("b", Role::C2, GREEN, 2),
        ]
    );
}

#[test]
fn the_reporters_own_repeat_changes_nothing() {
    let first = Sighting { id: Some("x".into()), ..sighting("a", Role::C2, 1) };
    let later = Sighting { observed_at: Timestamp(9), port: Some(443), ..first.clone() };
    let other = Sighting { reporter: "b".into(), ..first.clone() };
    let mut dossier = Dossier::new(indicator());
    assert_eq!(fold(&mut dossier, &first, GREEN), Folded::Counted);
    let before = dossier.clone();
    assert_eq!(fold(&mut dossier, &later, GREEN), Folded::Repeat);
    assert_eq!(dossier, before);
    assert_eq!(fold(&mut dossier, &later, AMBER), Folded::Counted, "who may not know of it sees no gap");
    assert_eq!(fold(&mut dossier, &first, AMBER), Folded::Repeat);
    assert_eq!(dossier.folds[0], before.folds[0]);
    assert_eq!(fold(&mut dossier, &other, GREEN), Folded::Counted, "another reporter's id is its own");
}

#[test]
fn the_strictest_fold_gives_way_first() {
    let under = |role: Role, pap: Pap| (role, Marking { tlp: Tlp::Red, pap });
    let hidden = [
        under(Role::C2, Pap::Clear),
        under(Role::C2, Pap::Green),
        under(Role::C2, Pap::Amber),
        under(Role::C2, Pap::Red),
        under(Role::Scanner, Pap::Clear),
    ];
    let open = (Role::Undetermined, GREEN);
    let kept = |all: &[(Role, Marking)]| {
        let mut dossier = Dossier::new(indicator());
        for (role, marking) in all {
            fold(&mut dossier, &sighting("a", *role, 1), *marking);
        }
        dossier
    };
    let first = kept(&[[open].as_slice(), &hidden].concat());
    let last = kept(&[hidden.as_slice(), &[open]].concat());
    assert_eq!(first, last);
    let keys: Vec<_> = last.folds.iter().map(|fold| (fold.role, fold.marking)).collect();
    assert_eq!(keys, [hidden[0], hidden[1], under(Role::Scanner, Pap::Clear), open]);
    assert_eq!(last.unkept, [("a".to_owned(), 2)]);
}

#[test]
fn the_latest_ids_are_remembered() {
    let with_id = |at: i64| Sighting { id: Some(format!("id-{at}").into()), ..sighting("a", Role::C2, at) };
    let n_ids = i64::try_from(caps::IDS).expect("it is small");
    let mut dossier = folded(&(0..=n_ids).map(with_id).collect::<Vec<_>>());
    assert_eq!(dossier.ids[0].ids.len(), caps::IDS);
    assert_eq!(fold(&mut dossier, &with_id(1), GREEN), Folded::Repeat);
    assert_eq!(fold(&mut dossier, &with_id(0), GREEN), Folded::Counted, "the oldest was forgotten");
    assert_eq!(fold(&mut dossier, &with_id(0), GREEN), Folded::Counted, "and is too old to be remembered");
}

#[test]
fn a_fold_beyond_the_cap_gives_way_to_what_matters_more() {
    let dossier = folded(
        &[
            Role::Undetermined,
            Role::Spam,
            Role::Scanner,
            Role::BruteForce,
            Role::Undetermined,
            Role::C2,
            Role::Ddos,
        ]
        .map(|role| sighting("a", role, 1)),
    );
    assert_eq!(dossier.roles(), [Role::C2, Role::BruteForce, Role::Scanner, Role::Spam]);
    assert_eq!(dossier.unkept, [("a".to_owned(), 3)], "two undetermined and one ddos");
}

#[test]
fn ids_of_the_roles_that_matter_most_are_remembered() {
    let with_id = |role| Sighting { id: Some("x".into()), ..sighting("a", role, 1) };
    let mut dossier =
        folded(&[Role::Undetermined, Role::Spam, Role::Scanner, Role::BruteForce, Role::C2].map(with_id));
    let roles: Vec<Role> = dossier.ids.iter().map(|group| group.role).collect();
    assert_eq!(roles, [Role::C2, Role::BruteForce]);
    assert_eq!(fold(&mut dossier, &with_id(Role::BruteForce), GREEN), Folded::Repeat);
    assert_eq!(fold(&mut dossier, &with_id(Role::Undetermined), GREEN), Folded::Counted);
    assert_eq!(dossier.unkept, [("a".to_owned(), 2)], "its repeat counts, as the module says");
}

#[test]
fn the_smallest_keys_are_kept_and_the_others_counted() {
    let ports = [9, 1, 8, 2, 7, 3, 6, 4, 5, 9, 10, 1];
    let dossier =
        folded(&ports.map(|port| Sighting { port: Some(port), ..sighting("a", Role::C2, i64::from(port)) }));
    let services = &dossier.folds[0].services;
    let kept: Vec<u16> = services.kept.iter().map(|((port, _), _)| *port).collect();
    assert_eq!(kept, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(services.overflow, 3, "9 twice and 10 once");
    assert_eq!(services.kept[0].1, Seen { count: 2, first: Timestamp(1), last: Timestamp(1) });
}

#[test]
fn a_long_name_is_cut_at_the_end_of_a_character() {
    // The cap falls into the middle of the two bytes of é.
    let before = "x".repeat(caps::TEXT - 1);
    let name =
        |end: &str| Sighting { malware: Some(format!("{before}{end}").into()), ..sighting("a", Role::C2, 1) };
    let dossier = folded(&[name("é-one"), name("é-two")]);
    let kept = &dossier.folds[0].malware.kept;
    assert_eq!(kept.len(), 1, "they are equal up to there");
    assert_eq!((&kept[0].0, kept[0].1.count), (&before, 2));
}

#[test]
fn the_confidence_claimed_last_wins() {
    let claim = |at, claimed| Sighting { claimed_confidence: claimed, ..sighting("a", Role::C2, at) };
    let of =
        |sightings: &[Sighting<'_>]| folded(sightings).folds[0].confidence.map(|(_, _, claimed)| claimed);
    assert_eq!(of(&[claim(2, Some(30)), claim(1, Some(90)), claim(3, None)]), Some(30));
    assert_eq!(of(&[claim(2, Some(30)), claim(2, Some(90))]), Some(90), "of one time and no id, the greater");
    assert_eq!(of(&[claim(1, None)]), None);
}

#[test]
fn the_latest_raw_records_are_referred_to() {
    let mut far = sighting("a", Role::C2, 100);
    far.raw.topic = "t".repeat(caps::TOPIC + 1).leak();
    let dossier =
        folded(&[sighting("a", Role::C2, 1), sighting("a", Role::C2, 3), sighting("a", Role::C2, 2), far]);
    let offsets: Vec<i64> = dossier.folds[0].raw.iter().map(|(_, _, raw)| raw.offset).collect();
    assert_eq!(offsets, [3, 2], "and not the one whose topic is too long to name");
}

#[test]
fn what_is_not_a_country_is_not_kept() {
    let victim = |country: &str| Sighting {
        victim: Some(Victim { country: Some(country.to_owned()), sector: None }),
        ..sighting("a", Role::InfectedClient, 1)
    };
    let dossier = folded(&[victim("TH"), victim("Thailand"), victim("th"), victim("ID")]);
    let kept: Vec<&str> = dossier.folds[0].victim_countries.kept.iter().map(|(c, _)| c.as_str()).collect();
    assert_eq!(kept, ["ID", "TH"]);
}
