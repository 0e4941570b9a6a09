//! What is replaced, what order it is in, and what the caps cut.

use super::*;
use crate::enrich::{Network, Status};
use crate::sighting::IndicatorType;

fn dossier() -> Dossier {
    Dossier::new(Indicator { kind: IndicatorType::Domain, value: "bad.example".to_owned() })
}

fn finding(source: &str) -> Finding {
    Finding {
        source: source.to_owned(),
        status: Status::Hit,
        detail: None,
        build: "1".to_owned(),
        looked_up_at: Timestamp(1),
        independent: true,
        evidence: Vec::new(),
        network: Vec::new(),
        nexus: Vec::new(),
        gov: None,
    }
}

fn evidence(code: &str, at: i64) -> Evidence {
    Evidence {
        code: code.to_owned(),
        text: "it is listed".to_owned(),
        weight: 100,
        roles: Vec::new(),
        observed_at: Timestamp(at),
        origin: "list".to_owned(),
        reference: None,
        tlp: None,
        pap: None,
    }
}

#[test]
fn a_finding_takes_the_place_of_its_sources_last() {
    let mut dossier = dossier();
    for source in ["b", "c", "a"] {
        assert_eq!(dossier.set_finding(finding(source)), 0);
    }
    dossier.set_finding(Finding { build: "2".to_owned(), ..finding("b") });
    let builds: Vec<_> = dossier.findings.iter().map(|f| (f.source.as_str(), f.build.as_str())).collect();
    assert_eq!(builds, [("a", "1"), ("b", "2"), ("c", "1")]);
    assert_eq!(dossier.finding("b").map(|f| f.build.as_str()), Some("2"));
    assert_eq!(dossier.finding("d"), None);
    dossier.remove_finding("b");
    assert_eq!(dossier.finding("b"), None);
}

#[test]
fn the_smallest_evidence_is_kept_whatever_its_order() {
    let evidence: Vec<Evidence> =
        (0..20).map(|at| evidence(if at % 2 == 0 { "b" } else { "a" }, at)).collect();
    let mut reversed = evidence.clone();
    reversed.reverse();
    let (mut one, mut other) = (dossier(), dossier());
    assert_eq!(one.set_finding(Finding { evidence, ..finding("s") }), 4);
    assert_eq!(other.set_finding(Finding { evidence: reversed, ..finding("s") }), 4);
    assert_eq!(one, other);
    let kept: Vec<_> = one.findings[0].evidence.iter().map(|e| (e.code.as_str(), e.observed_at.0)).collect();
    assert_eq!(kept.len(), caps::EVIDENCE);
    assert_eq!((kept[0], kept[9], kept[10], kept[15]), (("a", 1), ("a", 19), ("b", 0), ("b", 10)));
}

#[test]
fn texts_are_cut_and_half_a_reference_is_none() {
    let long = "é".repeat(200);
    let mut dossier = dossier();
    let evidence = vec![
        Evidence { text: long.clone(), reference: Some(long.clone()), ..evidence("a", 1) },
        Evidence { reference: Some("https://list.example/1".to_owned()), ..evidence("b", 1) },
    ];
    let network =
        vec![Network { ip: "192.0.2.1".to_owned(), as_name: Some(long.clone()), ..Network::default() }];
    dossier.set_finding(Finding { detail: Some(long.clone()), evidence, network, ..finding("s") });
    let kept = &dossier.findings[0];
    let fitting = |bytes: usize| "é".repeat(bytes / 2);
    assert_eq!(kept.detail, Some(fitting(caps::SENTENCE)));
    assert_eq!(kept.evidence[0].text, fitting(caps::SENTENCE));
    assert_eq!(kept.evidence[0].reference, None);
    assert_eq!(kept.evidence[1].reference.as_deref(), Some("https://list.example/1"));
    assert_eq!(kept.network[0].as_name, Some(fitting(caps::TEXT)));
}

#[test]
fn leads_disclosures_and_retries_stay_in_order() {
    let mut dossier = dossier();
    for (role, version) in [(Role::Spam, 1), (Role::C2, 1), (Role::Spam, 2)] {
        dossier.set_written(Written { role, version, digest: [0; 16] });
        for agreement in ["z", "a"] {
            dossier.set_disclosed(Disclosed {
                agreement: agreement.to_owned(),
                role,
                version,
                digest: [0; 16],
                major: [0; 16],
                at: Timestamp(1),
                refused: None,
            });
        }
        dossier.set_retry(Retry { source: "dns".to_owned(), attempts: 1, at: None });
    }
    assert_eq!(
        dossier.leads.iter().map(|w| (w.role, w.version)).collect::<Vec<_>>(),
        [(Role::C2, 1), (Role::Spam, 2)]
    );
    assert_eq!(dossier.written(Role::Spam).map(|w| w.version), Some(2));
    assert_eq!(dossier.disclosed.len(), 4);
    assert!(dossier.disclosed.is_sorted_by_key(|d| (d.agreement.clone(), d.role)));
    assert_eq!(dossier.disclosed_under("z", Role::Spam).map(|d| d.version), Some(2));
    assert_eq!(dossier.disclosed_under("z", Role::Ddos), None);
    assert_eq!(dossier.retries.len(), 1);
    dossier.clear_retry("dns");
    assert_eq!(dossier.retry("dns"), None);
}

#[test]
fn a_long_build_is_still_told_from_another() {
    let mut dossier = dossier();
    let (one, other) = (format!("{}-one", "é".repeat(200)), format!("{}-two", "é".repeat(200)));
    dossier.set_finding(Finding { build: one.clone(), ..finding("s") });
    assert!(dossier.findings[0].build.len() <= caps::BUILD);
    assert!(dossier.finding_of("s", &one).is_some());
    assert_eq!(dossier.finding_of("s", &other), None);
    assert_eq!(dossier.finding_of("t", &one), None);
}
