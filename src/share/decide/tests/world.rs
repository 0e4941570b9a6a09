//! Worlds to decide in: terms, a dossier, an agreement; and a stand-in for how leads are formed, which
//! uses all that a projection holds, so that whatever was not dropped would show.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::*;
use super::mutants::TOO_FEW;
use super::*;
use crate::dossier::{Capped, Fold, Seen};
use crate::enrich::{Evidence, Finding, Network, NexusKind, Status as Found};
use crate::score::{Factor, Score};
use crate::sighting::{Digest, Marking, Notify, Pap, Protocol, Purpose, RawRef, Tlp};

pub(super) const NOW: Timestamp = Timestamp(1_780_315_200_000); // 2026-06-01T12:00:00Z
const HOUR: i64 = 3_600_000;

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) book: Book,
    pub(super) dossier: Dossier,
    pub(super) agreement: Agreement,
    pub(super) role: Role,
    pub(super) now: Timestamp,
}

impl World {
    pub(super) fn subject<'a>(&'a self, agreement: &'a Agreement) -> Subject<'a, 'a> {
        Subject { agreement, book: &self.book, dossier: &self.dossier, role: self.role, now: self.now }
    }

    pub(super) fn decide(&self) -> Decision {
        self.decide_by(&|projection, role| form(projection, role, self.now))
    }

    pub(super) fn decide_by(&self, form: Form<'_>) -> Decision {
        self.subject(&self.agreement).decide(form, None, &mut Cache::default(), false)
    }

    pub(super) fn explain(&self) -> Decision {
        let form = |projection: &Projection<'_>, role: Role| form(projection, role, self.now);
        self.subject(&self.agreement).decide(&form, None, &mut Cache::default(), true)
    }

    /// When it was first reported.
    pub(super) fn reported(&self) -> Timestamp {
        self.dossier.folds.iter().map(|fold| fold.first_reported).min().expect("a fold")
    }

    /// A world in which every fixture publishes: three reporters and two sources that everybody may
    /// know of, a reporter whom nobody may know of, a server in the agreement's country.
    pub(super) fn standard(agreement: &str) -> Self {
        let agreement = sound(agreement);
        let home = agreement.recipient.country.clone().unwrap_or_else(|| "TH".to_owned());
        let mut reporters = BTreeMap::new();
        for name in ["sensor-a", "sensor-b", "sensor-c"] {
            reporters.insert(name.to_owned(), Party { org: None, terms: open_terms() });
        }
        let hidden = Terms { release_to: BTreeSet::new(), ..open_terms() };
        reporters.insert("quiet".to_owned(), Party { org: None, terms: hidden });
        let sources = ["lists", "places"].map(|name| (name.to_owned(), open_terms())).into();
        let indicator = Indicator { kind: IndicatorType::Ipv4, value: "198.51.100.7".to_owned() };
        let mut dossier = Dossier::new(indicator);
        let reporters_of_folds = ["quiet", "sensor-a", "sensor-b", "sensor-c"];
        dossier.folds = reporters_of_folds.map(|name| fold(name, Role::C2, CLEAR)).into();
        let mut lists = finding("lists");
        lists.evidence = vec![evidence("listed", 200, None)];
        let mut places = finding("places");
        places.network = vec![Network {
            ip: "198.51.100.7".to_owned(),
            asn: Some(64_496),
            as_name: Some("EXAMPLE-NET".to_owned()),
            country: Some(home.clone()),
            city: Some("Exampletown".to_owned()),
        }];
        places.nexus = vec![Nexus {
            kind: NexusKind::Hosting,
            country: home,
            confidence: 90,
            source: "places".to_owned(),
        }];
        dossier.findings = vec![lists, places];
        Self {
            book: Book { reporters, sources, ..Book::default() },
            dossier,
            agreement,
            role: Role::C2,
            now: NOW,
        }
    }
}

pub(super) const CLEAR: Marking = Marking { tlp: Tlp::Clear, pap: Pap::Clear };

pub(super) const PURPOSES: [Purpose; 6] = [
    Purpose::CrimeInvestigation,
    Purpose::CrimePrevention,
    Purpose::ThreatAnalysis,
    Purpose::NetworkSecurity,
    Purpose::VictimNotification,
    Purpose::Remediation,
];

/// To anybody, for anything.
pub(super) fn open_terms() -> Terms {
    Terms {
        tlp: Tlp::Clear,
        pap: Pap::Clear,
        release_to: ["*".to_owned()].into(),
        never_to: BTreeSet::new(),
        purposes: PURPOSES.into(),
        notify_affected: Notify::May,
    }
}

pub(super) fn fold(reporter: &str, role: Role, marking: Marking) -> Fold {
    let (first, last) = (NOW.plus(-40 * HOUR - 90_000), NOW.plus(-2 * HOUR - 90_000));
    let seen = Seen { count: 2, first, last };
    let raw =
        RawRef { topic: "raw.x".to_owned(), partition: 0, offset: 7, index: 0, sha256: Digest::default() };
    Fold {
        reporter: reporter.to_owned(),
        role,
        marking,
        count: 2,
        first_seen: first,
        last_seen: last,
        first_reported: first.plus(HOUR),
        services: Capped { kept: vec![((443, Some(Protocol::Tcp)), seen)], overflow: 1 },
        malware: Capped { kept: vec![("alpha".to_owned(), seen)], overflow: 1 },
        victim_countries: Capped::default(),
        matter: Capped::default(),
        confidence: None,
        raw: vec![(last, Some(443), raw)],
    }
}

pub(super) fn finding(source: &str) -> Finding {
    Finding {
        source: source.to_owned(),
        status: Found::Hit,
        detail: None,
        build: format!("{source}-2026-05"),
        looked_up_at: NOW,
        independent: true,
        evidence: Vec::new(),
        network: Vec::new(),
        nexus: Vec::new(),
        gov: None,
    }
}

pub(super) fn evidence(code: &str, weight: i32, tlp: Option<Tlp>) -> Evidence {
    Evidence {
        code: code.to_owned(),
        text: format!("{code} there"),
        weight,
        roles: Vec::new(),
        observed_at: NOW.plus(-HOUR),
        origin: format!("origin-of-{code}"),
        reference: Some("https://ref.example/1".to_owned()),
        tlp,
        pap: None,
    }
}

/// Forms a lead from all that the projection holds. Risk grows with what speaks for the role, and with
/// nothing else.
pub(super) fn form(projection: &Projection<'_>, role: Role, now: Timestamp) -> Option<Lead> {
    let folds: Vec<&Fold> = projection.of_role(role).collect();
    let first = folds.first()?;
    let listed = |items: Vec<(String, u64)>| {
        let items = items.into_iter();
        items.fold(BTreeMap::<String, u64>::new(), |mut all, (name, n)| {
            *all.entry(name).or_default() += n;
            all
        })
    };
    let names = listed(
        folds.iter().flat_map(|fold| fold.malware.kept.iter().map(|(name, _)| (name.clone(), 1))).collect(),
    );
    let mut services: BTreeMap<u16, (Option<Protocol>, Seen)> = BTreeMap::new();
    for ((port, protocol), seen) in folds.iter().flat_map(|fold| &fold.services.kept) {
        let entry = services.entry(*port).or_insert((*protocol, *seen));
        entry.1.first = entry.1.first.min(seen.first);
        entry.1.last = entry.1.last.max(seen.last);
    }
    let mut factors = vec![factor("prior", "what is usual", -50, "model", "model", None)];
    let mut reporters: BTreeSet<&str> = BTreeSet::new();
    for fold in &folds {
        reporters.insert(&fold.reporter);
        let text = format!("{} says so", fold.reporter);
        factors.push(factor("claim", &text, 150, &fold.reporter, &fold.reporter, Some(fold.last_seen)));
    }
    let mut nexus: BTreeSet<Nexus> = BTreeSet::new();
    let mut network: BTreeSet<Network> = BTreeSet::new();
    let mut sources = BTreeMap::new();
    let mut gov = None;
    for (finding, evidence) in &projection.findings {
        sources.insert(finding.source.clone(), finding.build.clone());
        nexus.extend(finding.nexus.iter().cloned());
        network.extend(finding.network.iter().cloned());
        gov = gov.or_else(|| finding.gov.clone());
        for evidence in evidence {
            let age = now.since(evidence.observed_at) / HOUR;
            let points = evidence.weight - i32::try_from(age.min(50)).unwrap_or(50);
            let at = Some(evidence.observed_at);
            factors.push(factor(
                &evidence.code,
                &evidence.text,
                points,
                &finding.source,
                &evidence.origin,
                at,
            ));
        }
    }
    for fold in &folds {
        nexus.extend(fold.victim_countries.kept.iter().map(|(country, _)| Nexus {
            kind: NexusKind::Victim,
            country: country.clone(),
            confidence: 70,
            source: fold.reporter.clone(),
        }));
    }
    let log_odds: i32 = factors.iter().map(|factor| factor.points).sum();
    let risk = u8::try_from((50 + log_odds / 10).clamp(0, 100)).unwrap_or(0);
    let confidence = u8::try_from((40 + 20 * reporters.len() + 5 * factors.len()).min(100)).unwrap_or(0);
    let verdict = match risk {
        70.. => Verdict::Malicious,
        50..70 => Verdict::Suspicious,
        20..50 => Verdict::Unscored,
        _ => Verdict::Benign,
    };
    Some(Lead {
        now,
        indicator: projection.dossier.indicator.clone(),
        role,
        malware: crate::dossier::Listed {
            items: names
                .into_iter()
                .map(|(name, reporters)| crate::dossier::Malware { name, reporters })
                .collect(),
            more: folds.iter().map(|fold| fold.malware.overflow).sum(),
        },
        services: crate::dossier::Listed {
            items: services
                .into_iter()
                .map(|(port, (protocol, seen))| crate::dossier::Service {
                    port,
                    protocol,
                    first_seen: seen.first,
                    last_seen: seen.last,
                })
                .collect(),
            more: folds.iter().map(|fold| fold.services.overflow).sum(),
        },
        network: network.into_iter().collect(),
        nexus: nexus.into_iter().collect(),
        gov,
        time: crate::dossier::Times {
            first_seen: folds.iter().map(|fold| fold.first_seen).min().unwrap_or(first.first_seen),
            last_seen: folds.iter().map(|fold| fold.last_seen).max().unwrap_or(first.last_seen),
            first_reported: folds
                .iter()
                .map(|fold| fold.first_reported)
                .min()
                .unwrap_or(first.first_reported),
        },
        sightings: folds.iter().map(|fold| fold.count).sum(),
        reporters: reporters.len() as u64,
        score: Score { risk, confidence, verdict, conflict: log_odds > 400, log_odds, factors },
        tlp: folds.iter().map(|fold| fold.marking.tlp).max().unwrap_or(Tlp::Red),
        pap: folds.iter().map(|fold| fold.marking.pap).max().unwrap_or(Pap::Red),
        built: crate::dossier::Built { model: "model@1".to_owned(), sources },
        raw: crate::dossier::Listed { items: Vec::new(), more: 0 },
    })
}

fn factor(code: &str, text: &str, points: i32, source: &str, origin: &str, at: Option<Timestamp>) -> Factor {
    Factor {
        code: code.to_owned(),
        text: text.to_owned(),
        points,
        source: source.to_owned(),
        origin: origin.to_owned(),
        status: Found::Hit,
        observed_at: at,
    }
}

fn arb_tlp() -> impl Strategy<Value = Tlp> {
    prop_oneof![
        40 => Just(Tlp::Clear), 4 => Just(Tlp::Green), 2 => Just(Tlp::Amber),
        1 => Just(Tlp::AmberStrict), 1 => Just(Tlp::Red),
    ]
}

fn arb_pap() -> impl Strategy<Value = Pap> {
    prop_oneof![40 => Just(Pap::Clear), 3 => Just(Pap::Green), 1 => Just(Pap::Amber), 1 => Just(Pap::Red)]
}

fn arb_marking() -> impl Strategy<Value = Marking> {
    (arb_tlp(), arb_pap()).prop_map(|(tlp, pap)| Marking { tlp, pap })
}

fn arb_names() -> impl Strategy<Value = BTreeSet<String>> {
    let names = [
        "org:hub",
        "org:unit",
        "org:peer",
        "le-international",
        "le-national",
        "vendor-peer",
        "public",
        "isp-abuse",
    ];
    prop::collection::btree_set(prop::sample::select(names.map(str::to_owned).to_vec()), 0..4)
}

pub(super) fn arb_terms() -> impl Strategy<Value = Terms> {
    let release = prop_oneof![8 => Just(BTreeSet::from(["*".to_owned()])), 2 => arb_names()];
    let never = prop_oneof![9 => Just(BTreeSet::new()), 1 => arb_names()];
    let purposes = prop_oneof![
        9 => Just(PURPOSES.into()),
        1 => prop::sample::subsequence(PURPOSES.to_vec(), 0..6).prop_map(BTreeSet::from_iter),
    ];
    let notify = prop_oneof![4 => Just(Notify::May), 1 => Just(Notify::MustNot)];
    (arb_marking(), release, never, purposes, notify).prop_map(
        |(marking, release_to, never_to, purposes, notify_affected)| Terms {
            tlp: marking.tlp,
            pap: marking.pap,
            release_to,
            never_to,
            purposes,
            notify_affected,
        },
    )
}

fn arb_role() -> impl Strategy<Value = Role> {
    prop_oneof![18 => Just(Role::C2), 1 => Just(Role::Phishing), 1 => Just(Role::InfectedClient)]
}

pub(super) fn arb_fold() -> impl Strategy<Value = Fold> {
    let reporter = prop::sample::select(vec!["r0", "r1", "r2", "r3", "r4", "nobody"]);
    let victims = prop::option::weighted(0.2, prop::sample::select(vec!["TH", "SG", "DE"]));
    (reporter, arb_role(), arb_marking(), 1..5_u64, 0..60_i64, 0..30_i64, 0..4_u16, victims).prop_map(
        |(reporter, role, marking, count, age, length, port, victim)| {
            let mut fold = fold(reporter, role, marking);
            fold.count = count;
            fold.last_seen = NOW.plus(-age * HOUR / 2);
            fold.first_seen = fold.last_seen.plus(-length * HOUR);
            fold.first_reported = fold.first_seen.plus(HOUR / 2);
            let seen = Seen { count, first: fold.first_seen, last: fold.last_seen };
            fold.services.kept = vec![((8000 + port, Some(Protocol::Tcp)), seen)];
            fold.malware.kept = vec![(format!("m-{reporter}-{port}"), seen)];
            fold.victim_countries.kept = victim.iter().map(|country| ((*country).to_owned(), seen)).collect();
            fold
        },
    )
}

fn arb_evidence() -> impl Strategy<Value = Evidence> {
    let tlp = prop::option::weighted(0.3, arb_tlp());
    let code = prop::sample::select(vec!["listed", "shared", "fresh"]);
    (code, 0..300_i32, tlp, prop::option::weighted(0.2, arb_pap()), 0..40_i64).prop_map(
        |(code, weight, tlp, pap, age)| {
            let mut evidence = evidence(code, weight, tlp);
            evidence.text = format!("{code} with {weight}");
            evidence.pap = pap;
            evidence.observed_at = NOW.plus(-age * HOUR);
            evidence
        },
    )
}

pub(super) fn arb_finding() -> impl Strategy<Value = Finding> {
    let source = prop::sample::select(vec!["s0", "s1", "s2", "s-unknown"]);
    let country = prop::option::weighted(0.8, prop_oneof![3 => Just("TH"), 2 => Just("SG"), 1 => Just("DE")]);
    let gov = prop::option::weighted(0.04, prop::sample::select(vec!["TH", "SG", "DE"]));
    let parts = (source, prop::collection::vec(arb_evidence(), 0..3), country, gov, 30..=100_u8);
    (parts, prop::bool::weighted(0.9)).prop_map(
        |((source, evidence, country, gov, confidence), independent)| {
            let mut finding = finding(source);
            finding.evidence = evidence;
            finding.independent = independent;
            if let Some(country) = country {
                finding.network = vec![Network {
                    ip: "198.51.100.7".to_owned(),
                    country: Some(country.to_owned()),
                    ..Network::default()
                }];
                finding.nexus = vec![Nexus {
                    kind: NexusKind::Hosting,
                    country: country.to_owned(),
                    confidence,
                    source: source.to_owned(),
                }];
            }
            finding.gov = gov.map(|country| Gov {
                suffix: format!("gov.{}", country.to_ascii_lowercase()),
                country: country.to_owned(),
                class: "central".to_owned(),
            });
            finding
        },
    )
}

static AGREEMENTS: LazyLock<[Agreement; 5]> = LazyLock::new(|| [HUB, UNIT, PEER, DESK, OPEN].map(sound));

/// A world that mostly publishes.
pub(super) fn arb_world() -> impl Strategy<Value = World> {
    let agreement = prop_oneof![
        4 => Just(0_usize), 3 => Just(1), 3 => Just(2), 1 => Just(3), 1 => Just(4),
    ];
    let terms = prop::collection::vec(arb_terms(), 5);
    let source_terms = prop::collection::vec(arb_terms(), 3);
    let orgs = prop::collection::vec(
        prop::option::weighted(
            0.15,
            prop::sample::select(vec!["org:hub", "org:unit", "org:peer", "org:desk"]),
        ),
        5,
    );
    let indicator = prop_oneof![
        5 => Just((IndicatorType::Ipv4, "198.51.100.7")),
        1 => Just((IndicatorType::Domain, "a.example")),
        1 => Just((IndicatorType::Url, "http://a.example/x?token=geheim&y=1")),
        1 => Just((IndicatorType::Tlsh, "T1ABC")),
    ];
    let folds = prop::collection::vec(arb_fold(), 2..7);
    let findings = prop::collection::vec(arb_finding(), 1..4);
    (agreement, terms, source_terms, orgs, indicator, folds, findings, arb_role()).prop_map(
        |(agreement, terms, source_terms, orgs, (kind, value), folds, findings, role)| {
            let mut dossier = Dossier::new(Indicator { kind, value: value.to_owned() });
            dossier.folds = folds;
            dossier.findings = findings;
            let parties = terms.into_iter().zip(orgs).enumerate();
            World {
                book: Book {
                    reporters: parties
                        .map(|(n, (terms, org))| {
                            (format!("r{n}"), Party { org: org.map(str::to_owned), terms })
                        })
                        .collect(),
                    sources: source_terms
                        .into_iter()
                        .enumerate()
                        .map(|(n, terms)| (format!("s{n}"), terms))
                        .collect(),
                    ..Book::default()
                },
                dossier,
                agreement: AGREEMENTS[agreement].clone(),
                role,
                now: NOW,
            }
        },
    )
}

/// Runs `property` on many cases, each saying whether it tested a publication, and demands at least
/// `least` such: a property that never publishes holds of anything.
#[track_caller]
pub(super) fn hold<S: Strategy>(
    strategy: S,
    least: u32,
    property: impl Fn(S::Value) -> Result<bool, TestCaseError>,
) {
    let mut config = Config { cases: 1000, failure_persistence: None, ..Config::default() };
    if super::mutants::is_mutated() {
        // That it fails is enough there; nobody reads of which smallest world.
        config.max_shrink_iters = 0;
    }
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let published = Cell::new(0);
    let result = runner.run(&strategy, |case| {
        let did = property(case)?;
        published.set(published.get() + u32::from(did));
        Ok(())
    });
    if let Err(err) = result {
        panic!("{err}");
    }
    assert!(published.get() >= least, "{TOO_FEW}{} of {least}", published.get());
}
