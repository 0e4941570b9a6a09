//! The fold in any order, and a dossier with every cap filled.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use sightline::dossier::{
    Disclosed, Dossier, FORMAT, Fold, Folded, Retry, SeenIds, Written, caps, decode, encode, fold,
};
use sightline::enrich::{Evidence, Finding, Gov, Network, Nexus, NexusKind, Status};
use sightline::sighting::{
    Digest, Indicator, IndicatorType, Marking, Pap, Protocol, RawRef, Role, Sighting, Timestamp, Tlp, Victim,
};

const TLPS: [Tlp; 5] = [Tlp::Clear, Tlp::Green, Tlp::Amber, Tlp::AmberStrict, Tlp::Red];
const PAPS: [Pap; 4] = [Pap::Clear, Pap::Green, Pap::Amber, Pap::Red];

fn indicator() -> Indicator {
    Indicator { kind: IndicatorType::Ipv4, value: "198.51.100.7".to_owned() }
}

fn marking(of: &Sighting<'_>) -> Marking {
    Marking { tlp: of.tlp.unwrap_or(Tlp::Green), pap: of.pap.unwrap_or(Pap::Green) }
}

fn folded(sightings: &[Sighting<'_>]) -> Dossier {
    let mut dossier = Dossier::new(indicator());
    for sighting in sightings {
        fold(&mut dossier, sighting, marking(sighting));
    }
    dossier
}

fn any_sighting() -> impl Strategy<Value = Sighting<'static>> {
    let claims = (
        select(vec!["a", "b", "c"]),
        select(Role::ALL.to_vec()),
        proptest::option::weighted(0.7, select(TLPS.to_vec())),
        proptest::option::weighted(0.5, select(PAPS.to_vec())),
        proptest::option::of(0u8..=100),
    );
    let content = (
        0i64..40,
        proptest::option::of((1u16..14, proptest::option::of(select(vec![Protocol::Tcp, Protocol::Udp])))),
        proptest::option::of((0usize..7).prop_map(|n| "é".repeat(28 + n))),
        proptest::option::of(select(vec!["BN", "ID", "KH", "LA", "MY", "PH", "TH"])),
        0i64..20,
    );
    (claims, content).prop_map(
        |((reporter, role, tlp, pap, claimed_confidence), (at, port, malware, country, offset))| Sighting {
            indicator: indicator(),
            original: None,
            role,
            reporter: reporter.into(),
            id: None,
            observed_at: Timestamp(at),
            reported_at: Timestamp(at + offset),
            malware: malware.map(Into::into),
            port: port.map(|(port, _)| port),
            protocol: port.and_then(|(_, protocol)| protocol),
            claimed_confidence,
            tlp,
            pap,
            tags: Vec::new(),
            comment: None,
            victim: country.map(|country| Victim { country: Some(country.to_owned()), sector: None }),
            raw: RawRef {
                topic: format!("raw.{reporter}").leak(),
                partition: 0,
                offset,
                index: 0,
                sha256: Digest([0x5a; 32]),
            },
        },
    )
}

/// Sightings with ids of their own, or none.
fn any_sightings(most: usize) -> impl Strategy<Value = Vec<Sighting<'static>>> {
    proptest::collection::vec((any_sighting(), any::<bool>()), 0..most).prop_map(|sightings| {
        let numbered = sightings.into_iter().enumerate();
        numbered
            .map(|(n, (sighting, has_id))| Sighting {
                id: has_id.then(|| format!("id-{n}").into()),
                ..sighting
            })
            .collect()
    })
}

/// Those that a reporter may repeat so that it is known: with an id, in one of the reporter's
/// smallest roles (others are not remembered), of at most as many ids as are.
fn repeatable<'a>(sightings: &[Sighting<'a>]) -> Vec<Sighting<'a>> {
    let mut groups: BTreeMap<&str, BTreeMap<Role, Vec<&Sighting<'a>>>> = BTreeMap::new();
    for sighting in sightings.iter().filter(|sighting| sighting.id.is_some()) {
        let roles = groups.entry(&sighting.reporter).or_default();
        roles.entry(sighting.role).or_default().push(sighting);
    }
    let remembered = groups.into_values().flat_map(|roles| roles.into_values().take(caps::ROLES_WITH_IDS));
    remembered.filter(|ids| ids.len() <= caps::IDS).flatten().cloned().collect()
}

/// Each sighting once, some of them again, and the same in another order.
fn with_repeats_in_two_orders()
-> impl Strategy<Value = (Vec<Sighting<'static>>, Vec<Sighting<'static>>, Vec<Sighting<'static>>)> {
    (any_sightings(150), proptest::collection::vec(any::<Index>(), 0..40))
        .prop_map(|(once, choice)| {
            let repeatable = repeatable(&once);
            let choice = if repeatable.is_empty() { Vec::new() } else { choice };
            let repeats = choice.into_iter().map(|index| index.get(&repeatable).clone());
            let all: Vec<Sighting<'static>> = once.iter().cloned().chain(repeats).collect();
            (once, all)
        })
        .prop_flat_map(|(once, all)| (Just(once), Just(all.clone()), Just(all).prop_shuffle()))
}

/// A fold's numbers, counted another way: what is kept and what is not make up all sightings.
fn assert_nothing_is_lost(dossier: &Dossier, once: &[Sighting<'_>]) {
    let unkept: u64 = dossier.unkept.iter().map(|(_, n)| n).sum();
    let kept: u64 = dossier.folds.iter().map(|fold| fold.count).sum();
    assert_eq!(kept + unkept, once.len() as u64);
    for fold in &dossier.folds {
        let own: Vec<&Sighting<'_>> = once
            .iter()
            .filter(|sighting| (&*sighting.reporter, sighting.role) == (&*fold.reporter, fold.role))
            .filter(|sighting| marking(sighting) == fold.marking)
            .collect();
        let with =
            |has: fn(&Sighting<'_>) -> bool| own.iter().filter(|sighting| has(sighting)).count() as u64;
        let counted = |kept: u64, overflow: u64| kept + overflow;
        assert_eq!(fold.count, own.len() as u64);
        assert_eq!(
            counted(fold.services.kept.iter().map(|(_, seen)| seen.count).sum(), fold.services.overflow),
            with(|sighting| sighting.port.is_some())
        );
        assert_eq!(
            counted(fold.malware.kept.iter().map(|(_, seen)| seen.count).sum(), fold.malware.overflow),
            with(|sighting| sighting.malware.is_some())
        );
        let mut ports: Vec<_> = own.iter().filter_map(|s| s.port.map(|port| (port, s.protocol))).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.truncate(caps::SERVICES);
        assert_eq!(fold.services.kept.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ports);
    }
}

proptest! {
    #[test]
    fn any_order_of_the_same_sightings_gives_the_same_bytes(
        (once, one, other) in with_repeats_in_two_orders()
    ) {
        let dossier = folded(&one);
        prop_assert_eq!(&dossier, &folded(&once), "repeats change nothing");
        prop_assert_eq!(encode(&dossier), encode(&folded(&other)));
        assert_nothing_is_lost(&dossier, &once);
    }

    #[test]
    fn more_ids_than_are_remembered_do_not_depend_on_order_either(
        (one, other) in any_sightings(300)
            .prop_map(|all| -> Vec<Sighting<'static>> {
                // Of one reporter in one role, with an id each: without repeats none is needed.
                let numbered = all.into_iter().enumerate();
                numbered.map(|(n, sighting)| Sighting {
                    role: Role::C2, reporter: "a".into(), id: Some(n.to_string().into()), ..sighting
                }).collect()
            })
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        prop_assert_eq!(encode(&folded(&one)), encode(&folded(&other)));
    }

    #[test]
    fn what_is_stored_comes_back(sightings in any_sightings(60)) {
        let dossier = folded(&sightings);
        prop_assert_eq!(decode(&encode(&dossier)), Ok(dossier));
    }

    #[test]
    fn damage_is_an_error_or_another_dossier_and_never_a_panic(
        sightings in any_sightings(8),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        end in any::<Index>(),
    ) {
        let mut bytes = encode(&folded(&sightings));
        for (index, byte) in changes {
            let at = index.index(bytes.len() - 1) + 1;
            bytes[at] = byte;
        }
        bytes.truncate(end.index(bytes.len()) + 1);
        if let Ok(dossier) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&dossier)), Ok(dossier));
        }
    }

    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 1..400)) {
        bytes[0] = FORMAT;
        prop_assert!(decode(&bytes).is_ok() || decode(&bytes).is_err());
    }
}

/// A text of the most bytes, unlike any other of another `n`.
fn longest(bytes: usize, n: usize) -> String {
    format!("{}{n:06}", "x".repeat(bytes - 6))
}

fn n64(n: usize) -> i64 {
    i64::try_from(n).expect("it is small")
}

/// Sightings of twenty years, so that times are far apart, with everything that can be said.
fn everything_said(reporter: usize, role: Role, marking: Marking) -> impl Iterator<Item = Sighting<'static>> {
    (0..caps::IDS).map(move |n| Sighting {
        indicator: indicator(),
        original: None,
        role,
        reporter: longest(caps::NAME, reporter).into(),
        id: Some(format!("{reporter} {role:?} {n}").into()),
        observed_at: Timestamp(1_200_000_000_000 + 9_999_999_999 * n64(n)),
        reported_at: Timestamp(1_900_000_000_000),
        malware: Some(longest(caps::TEXT, n).into()),
        port: Some(u16::MAX - u16::try_from(n).expect("it is small")),
        protocol: Some(Protocol::Udp),
        claimed_confidence: Some(100),
        tlp: Some(marking.tlp),
        pap: Some(marking.pap),
        tags: (0..6).map(|i| format!("matter:{}", longest(caps::TEXT - 7, i)).into()).collect(),
        comment: None,
        victim: Some(Victim {
            country: Some(format!("{}{}", char::from(b'A' + u8::try_from(n % 26).expect("it is")), 'X')),
            sector: None,
        }),
        raw: RawRef {
            topic: longest(caps::TOPIC, reporter).leak(),
            partition: 999,
            offset: 900_000_000_000 + n64(n),
            index: 999,
            sha256: Digest::of(&n.to_be_bytes()),
        },
    })
}

fn fullest_finding(source: usize) -> Finding {
    let evidence = (0..caps::EVIDENCE + 4).map(|n| Evidence {
        code: longest(caps::TEXT, n),
        text: longest(caps::SENTENCE, n),
        weight: -2_000,
        roles: Role::ALL.to_vec(),
        observed_at: Timestamp(1_900_000_000_000),
        origin: longest(caps::TEXT, n),
        reference: Some(longest(caps::SENTENCE, n)),
        tlp: Some(Tlp::Red),
        pap: Some(Pap::Red),
    });
    let network = (0..caps::NETWORKS + 4).map(|n| Network {
        ip: format!("2001:db8:ffff:ffff:ffff:ffff:ffff:{n:04}"),
        asn: Some(u32::MAX),
        as_name: Some(longest(caps::TEXT, n)),
        country: Some("TH".to_owned()),
        city: Some(longest(caps::TEXT, n)),
    });
    let nexus = (0..caps::NETWORKS + 4).map(|n| Nexus {
        kind: NexusKind::Hosting,
        country: format!("{n:02}"),
        confidence: 100,
        source: longest(caps::NAME, source),
    });
    Finding {
        source: longest(caps::NAME, source),
        status: Status::Hit,
        detail: Some(longest(caps::SENTENCE, source)),
        build: longest(caps::BUILD, source),
        looked_up_at: Timestamp(1_900_000_000_000),
        independent: true,
        evidence: evidence.collect(),
        network: network.collect(),
        nexus: nexus.collect(),
        gov: Some(Gov {
            suffix: longest(caps::TEXT, source),
            country: "TH".to_owned(),
            class: "military".to_owned(),
        }),
    }
}

/// A dossier with every cap filled.
pub(crate) fn fullest() -> Dossier {
    // A URL as long as browsers take.
    let mut dossier = Dossier::new(Indicator { kind: IndicatorType::Url, value: "x".repeat(8_192) });
    let all: Vec<(Role, Marking)> = Role::ALL
        .into_iter()
        .flat_map(|role| TLPS.map(|tlp| (role, Marking { tlp, pap: Pap::Red })))
        .collect();
    // A fold each of as many roles, so that each has ids; then all others, which are not kept.
    let kept = || all.iter().filter(|(_, marking)| marking.tlp == Tlp::Clear).take(caps::FOLDS_A_REPORTER);
    for reporter in 0..caps::REPORTERS {
        for (role, marking) in kept() {
            for sighting in everything_said(reporter, *role, *marking) {
                let sighting = Sighting { indicator: dossier.indicator.clone(), ..sighting };
                assert_eq!(fold(&mut dossier, &sighting, *marking), Folded::Counted);
            }
        }
        let (role, marking) = all[all.len() - 1];
        let sighting = everything_said(reporter, role, marking).next().expect("there are some");
        let sighting = Sighting { indicator: dossier.indicator.clone(), ..sighting };
        fold(&mut dossier, &sighting, marking);
    }
    for fold in &mut dossier.folds {
        fold.count = u64::from(u32::MAX);
        for (_, seen) in &mut fold.services.kept {
            seen.count = u64::from(u32::MAX);
        }
        for (_, seen) in fold.malware.kept.iter_mut().chain(&mut fold.victim_countries.kept) {
            seen.count = u64::from(u32::MAX);
        }
    }
    for source in 0..caps::SOURCES {
        assert_eq!(dossier.set_finding(fullest_finding(source)), 12, "what is over");
        dossier.set_retry(Retry {
            source: longest(caps::NAME, source),
            attempts: 3,
            at: Some(Timestamp(1_900_000_000_000)),
        });
    }
    for role in Role::ALL {
        dossier.set_written(Written { role, version: u64::from(u32::MAX), digest: [255; 16] });
        for agreement in 0..caps::AGREEMENTS {
            dossier.set_disclosed(Disclosed {
                agreement: longest(caps::NAME, agreement),
                role,
                version: u64::from(u32::MAX),
                digest: [255; 16],
                major: [255; 16],
                at: Timestamp(1_900_000_000_000),
                refused: Some(longest(caps::TEXT, agreement)),
            });
        }
    }
    dossier.wake_at = Some(Timestamp(1_900_000_000_000));
    dossier
}

#[test]
fn with_every_cap_filled_it_stays_under_256_kib() {
    let dossier = fullest();
    let is_full = |fold: &Fold| {
        fold.services.kept.len() == caps::SERVICES
            && fold.malware.kept.len() == caps::MALWARE
            && fold.victim_countries.kept.len() == caps::VICTIM_COUNTRIES
            && fold.raw.len() == caps::RAW
            && fold.confidence.is_some()
    };
    assert_eq!(dossier.folds.len(), caps::REPORTERS * caps::FOLDS_A_REPORTER);
    assert!(dossier.folds.iter().all(is_full));
    assert_eq!(dossier.ids.len(), caps::REPORTERS * caps::ROLES_WITH_IDS);
    assert!(dossier.ids.iter().all(|group: &SeenIds| group.ids.len() == caps::IDS));
    assert_eq!(dossier.unkept.len(), caps::REPORTERS);
    assert_eq!(dossier.disclosed.len(), caps::AGREEMENTS * Role::ALL.len());

    let bytes = encode(&dossier);
    assert!(bytes.len() < 256 * 1024, "{} bytes", bytes.len());
    assert_eq!(decode(&bytes), Ok(dossier));
}
