//! What a lead takes from a projection, and what its digests see.

use super::*;
use crate::dossier::sample::{AMBER, GREEN, NOW, dossier, evidence, finding, lead, scorer, sighting};
use crate::dossier::{Dossier, fold};
use crate::sighting::Sighting;
use crate::sighting::time::HOUR;

fn formed(dossier: &Dossier, role: Role) -> Lead {
    Lead::form(&Projection::whole(dossier), role, &scorer(), NOW).expect("it was seen in this role")
}

fn points(lead: &Lead) -> Vec<(&str, &str, i32)> {
    lead.score.factors.iter().map(|f| (f.code.as_str(), f.source.as_str(), f.points)).collect()
}

#[test]
fn a_role_that_was_not_seen_has_no_lead() {
    assert_eq!(Lead::form(&Projection::whole(&dossier()), Role::Ddos, &scorer(), NOW), None);
}

#[test]
fn counts_times_and_markings_are_of_the_roles_folds() {
    let lead = lead(Role::C2);
    assert_eq!((lead.sightings, lead.reporters), (4, 2));
    assert_eq!(lead.time.first_seen, NOW.plus(-50 * HOUR));
    assert_eq!(lead.time.last_seen, NOW.plus(-3 * HOUR));
    assert_eq!(lead.time.first_reported, NOW.plus(-50 * HOUR + HOUR / 2));
    assert_eq!(lead.tlp, Tlp::AmberStrict, "of the list's entry, stricter than any sighting");
    assert_eq!(lead.pap, Pap::Green, "the entry of PAP:RED speaks of another role");
}

#[test]
fn claims_evidence_and_sources_make_the_score() {
    let lead = lead(Role::C2);
    assert_eq!(
        points(&lead),
        [
            ("prior", "asean", -250),
            ("claim", "acme", 220),
            ("claim", "bolt", 188),
            ("listed", "reputation", 174),
            ("claim", "acme", 0),
            ("government-name", "names", -52),
            ("no-entry", "warninglist", 0),
            ("not-checked", "dns", 0),
        ]
    );
    assert_eq!(lead.score.log_odds, 280);
}

#[test]
fn a_victims_lead_takes_nothing_from_the_attackers() {
    let lead = lead(Role::CompromisedSite);
    assert_eq!((lead.sightings, lead.reporters), (1, 1));
    assert!(lead.malware.items.is_empty() && lead.services.items.is_empty());
    assert!(points(&lead).iter().all(|(code, _, _)| *code != "listed"), "that speaks of c2 only");
    assert!(lead.score.factors.iter().any(|factor| factor.text.contains("as a victim")));
    assert_eq!(lead.tlp, Tlp::Green);
}

#[test]
fn malware_is_named_by_reporters() {
    let names = |lead: &Lead| -> Vec<(String, u64)> {
        lead.malware.items.iter().map(|malware| (malware.name.clone(), malware.reporters)).collect()
    };
    let mut dossier = dossier();
    let named = |reporter: &str, name: String| Sighting {
        malware: Some(name.into()),
        ..sighting(reporter, Role::C2, 1)
    };
    assert_eq!(names(&formed(&dossier, Role::C2)), [("emotet".to_owned(), 1), ("qakbot".to_owned(), 1)]);
    fold(&mut dossier, &named("bolt", "qakbot".to_owned()), GREEN);
    assert_eq!(names(&formed(&dossier, Role::C2)), [("qakbot".to_owned(), 2), ("emotet".to_owned(), 1)]);

    // Nine more names of four reporters: eleven in all, of which eight are shown.
    for n in 0..9 {
        fold(&mut dossier, &named(["d", "e", "f", "g"][n / 3], format!("z{n}")), GREEN);
        fold(&mut dossier, &named(["d", "e", "f", "g"][n / 3], format!("z{n}")), GREEN);
    }
    // And one more of a reporter that has as many as it may.
    fold(&mut dossier, &named("d", "zz".to_owned()), GREEN);
    let lead = formed(&dossier, Role::C2);
    assert_eq!(lead.malware.items.len(), caps::LEAD_MALWARE);
    assert_eq!(lead.malware.more, 3 * 2 + 1, "sightings that named what is not shown");
}

#[test]
fn services_are_merged_over_folds() {
    let lead = lead(Role::C2);
    let services: Vec<_> = lead.services.items.iter().map(|s| (s.port, s.first_seen, s.last_seen)).collect();
    assert_eq!(
        services,
        [(443, NOW.plus(-50 * HOUR), NOW.plus(-4 * HOUR)), (8443, NOW.plus(-3 * HOUR), NOW.plus(-3 * HOUR)),]
    );
    let mut dossier = dossier();
    for reporter in ["d", "e", "f"] {
        for port in 0..10 {
            let port = port + 100 * u16::from(reporter.as_bytes()[0]);
            fold(&mut dossier, &Sighting { port: Some(port), ..sighting(reporter, Role::C2, 1) }, GREEN);
        }
    }
    let lead = formed(&dossier, Role::C2);
    assert_eq!(lead.services.items.len(), caps::LEAD_SERVICES);
    // Two of e, eight of f, and of each reporter the two that its fold has no room for.
    assert_eq!(lead.services.more, 2 + 8 + 3 * 2);
}

#[test]
fn the_surest_nexus_of_each_country_is_kept() {
    let nexus = |role| -> Vec<(NexusKind, String, u8, String)> {
        let nexus = lead(role).nexus.into_iter();
        nexus.map(|n| (n.kind, n.country, n.confidence, n.source)).collect()
    };
    let hosting = (NexusKind::Hosting, "SG".to_owned(), 90, "geoip".to_owned());
    let gov = (NexusKind::Gov, "TH".to_owned(), 95, "names".to_owned());
    let victim = (NexusKind::Victim, "TH".to_owned(), 50, "cert".to_owned());
    assert_eq!(nexus(Role::C2), [hosting.clone(), gov.clone()]);
    assert_eq!(nexus(Role::CompromisedSite), [hosting, gov, victim]);
}

#[test]
fn the_latest_raw_records_are_shown() {
    let mut dossier = dossier();
    for reporter in ["d", "e", "f"] {
        for hours in [7, 8, 9] {
            fold(&mut dossier, &sighting(reporter, Role::C2, hours), GREEN);
        }
    }
    let lead = formed(&dossier, Role::C2);
    let hours: Vec<i64> = lead.raw.items.iter().map(|raw| NOW.since(raw.observed_at) / HOUR).collect();
    assert_eq!(hours, [3, 4, 7, 7, 7, 8, 8, 8]);
    assert_eq!(lead.raw.more, 13 - 8);
}

#[test]
fn whoever_is_not_known_counts_for_nothing() {
    let mut dossier = dossier();
    fold(
        &mut dossier,
        &Sighting { claimed_confidence: Some(100), ..sighting("stranger", Role::C2, 0) },
        GREEN,
    );
    let mut unlisted = finding("unlisted", Status::Hit);
    unlisted.evidence.push(evidence("suppress", -1_000, &[]));
    dossier.set_finding(unlisted);
    let (with, without) = (formed(&dossier, Role::C2), lead(Role::C2));
    assert_eq!((with.score.risk, with.score.verdict), (without.score.risk, without.score.verdict));
    assert_eq!(with.reporters, 3, "it is still one that reported");
}

#[test]
fn a_source_that_has_nothing_to_say_of_this_type_is_not_missed() {
    let skipped = |detail: Option<&str>, independent| Finding {
        detail: detail.map(str::to_owned),
        independent,
        ..finding("x", Status::Skipped)
    };
    for (finding, applies) in [
        (skipped(None, true), false),
        (skipped(Some("no address"), true), false),
        (skipped(Some("the databases have no IPv6 addresses"), true), false),
        (skipped(Some("no domain name"), false), false),
        (skipped(Some("PAP:RED forbids to ask"), false), true),
        (skipped(Some("the quota is used up"), false), true),
        (Finding { status: Status::Unknown, ..skipped(Some("no answer in time"), false) }, true),
    ] {
        assert_eq!(coverage(&finding, &[]).applies, applies, "{finding:?}");
    }
}

/// What is dropped from a projection leaves the very bytes of a lead that it was never in.
#[test]
fn what_is_not_in_the_projection_leaves_no_trace() {
    let whole = dossier();
    let mut projection = Projection::whole(&whole);
    projection.folds.retain(|fold| fold.reporter != "bolt" && fold.marking != AMBER);
    projection.findings.retain(|(finding, _)| finding.source != "reputation");
    let projected = Lead::form(&projection, Role::C2, &scorer(), NOW);

    let mut never = whole.clone();
    never.folds.retain(|fold| fold.reporter != "bolt" && fold.marking != AMBER);
    never.findings.retain(|finding| finding.source != "reputation");
    assert_eq!(projected, Some(formed(&never, Role::C2)));
    assert_ne!(projected, Some(formed(&whole, Role::C2)));
}

#[test]
fn evidence_that_is_dropped_leaves_no_trace_though_its_finding_stays() {
    let whole = dossier();
    let mut projection = Projection::whole(&whole);
    for (_, evidence) in &mut projection.findings {
        evidence.retain(|evidence| evidence.code != "listed");
    }
    let projected = Lead::form(&projection, Role::C2, &scorer(), NOW).expect("it is there");
    assert!(points(&projected).iter().all(|(code, _, _)| *code != "listed"));
    assert_eq!(projected.tlp, Tlp::Amber);
}
