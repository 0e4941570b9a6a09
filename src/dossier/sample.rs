//! A dossier, a scorer and a lead for the tests of this room and of those below it.

use super::{Dossier, Lead, Projection, ReporterView, Scorer, fold};
use crate::enrich::{Evidence, Finding, Gov, Network, Nexus, NexusKind, Status};
use crate::score::{Model, model};
use crate::sighting::time::{DAY, HOUR};
use crate::sighting::{
    Digest, Indicator, IndicatorType, Marking, Pap, Protocol, RawRef, Role, Sighting, Timestamp, Tlp, Victim,
};

/// 2026-11-20T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_795_176_000_000);

pub(crate) fn indicator() -> Indicator {
    Indicator { kind: IndicatorType::Domain, value: "portal.agency.gov.example".to_owned() }
}

/// A sighting so many hours ago, which says nothing more.
pub(crate) fn sighting(reporter: &str, role: Role, hours: i64) -> Sighting<'static> {
    let observed_at = NOW.plus(-hours * HOUR);
    Sighting {
        indicator: indicator(),
        original: None,
        role,
        reporter: reporter.to_owned().into(),
        id: None,
        observed_at,
        reported_at: observed_at.plus(HOUR / 2),
        malware: None,
        port: None,
        protocol: None,
        claimed_confidence: None,
        tlp: None,
        pap: None,
        tags: Vec::new(),
        comment: None,
        victim: None,
        raw: RawRef {
            topic: format!("raw.{reporter}").leak(),
            partition: 3,
            offset: 1_000 - hours,
            index: 0,
            sha256: Digest([0x5a; 32]),
        },
    }
}

pub(crate) const GREEN: Marking = Marking { tlp: Tlp::Green, pap: Pap::Green };
pub(crate) const AMBER: Marking = Marking { tlp: Tlp::Amber, pap: Pap::Green };

pub(crate) fn finding(source: &str, status: Status) -> Finding {
    Finding {
        source: source.to_owned(),
        status,
        detail: None,
        build: format!("{source} 2026-11-01"),
        looked_up_at: NOW,
        independent: true,
        evidence: Vec::new(),
        network: Vec::new(),
        nexus: Vec::new(),
        gov: None,
    }
}

pub(crate) fn evidence(code: &str, weight: i32, roles: &[Role]) -> Evidence {
    Evidence {
        code: code.to_owned(),
        text: format!("the list has an entry {code}"),
        weight,
        roles: roles.to_vec(),
        observed_at: NOW.plus(-3 * DAY),
        origin: "blocklist.example".to_owned(),
        reference: None,
        tlp: None,
        pap: None,
    }
}

/// A government's site: two reporters saw it as a C2, one of them under two markings; a third saw it
/// as compromised. Four sources were to be asked: one has evidence, one knows where it is, one knows
/// nothing of it, one did not answer.
pub(crate) fn dossier() -> Dossier {
    let mut dossier = Dossier::new(indicator());
    let c2 = |reporter, hours, port| Sighting {
        port: Some(port),
        protocol: Some(Protocol::Tcp),
        malware: Some("qakbot".into()),
        claimed_confidence: Some(80),
        ..sighting(reporter, Role::C2, hours)
    };
    fold(&mut dossier, &c2("acme", 30, 443), GREEN);
    fold(&mut dossier, &c2("acme", 3, 8443), GREEN);
    fold(&mut dossier, &c2("acme", 4, 443), AMBER);
    fold(&mut dossier, &Sighting { malware: Some("emotet".into()), ..c2("bolt", 50, 443) }, GREEN);
    let victim = Some(Victim { country: Some("TH".to_owned()), sector: None });
    fold(&mut dossier, &Sighting { victim, ..sighting("cert", Role::CompromisedSite, 20) }, GREEN);

    let network = Network {
        ip: "198.51.100.7".to_owned(),
        asn: Some(64_496),
        as_name: Some("Example Hosting".to_owned()),
        country: Some("SG".to_owned()),
        city: None,
    };
    let nexus = |kind, country: &str, confidence, source: &str| Nexus {
        kind,
        country: country.to_owned(),
        confidence,
        source: source.to_owned(),
    };
    dossier.set_finding(Finding {
        network: vec![network],
        nexus: vec![nexus(NexusKind::Hosting, "SG", 90, "geoip")],
        ..finding("geoip", Status::Hit)
    });
    dossier.set_finding(Finding {
        nexus: vec![nexus(NexusKind::Gov, "TH", 95, "names"), nexus(NexusKind::Hosting, "SG", 60, "names")],
        gov: Some(Gov {
            suffix: "gov.example".to_owned(),
            country: "TH".to_owned(),
            class: "central".to_owned(),
        }),
        evidence: vec![Evidence { origin: "names".to_owned(), ..evidence("government-name", -60, &[]) }],
        ..finding("names", Status::Hit)
    });
    dossier.set_finding(Finding {
        evidence: vec![
            Evidence { tlp: Some(Tlp::AmberStrict), ..evidence("listed", 200, &[Role::C2]) },
            Evidence { pap: Some(Pap::Red), ..evidence("spams", 100, &[Role::Spam]) },
        ],
        ..finding("reputation", Status::Hit)
    });
    dossier.set_finding(finding("warninglist", Status::Miss));
    dossier.set_finding(Finding {
        detail: Some("no answer in time".to_owned()),
        independent: false,
        ..finding("dns", Status::Unknown)
    });
    dossier
}

pub(crate) fn scorer() -> Scorer {
    let text = include_str!("../../pipelines/asean/model.toml");
    let written: model::Written = toml::from_str(text).expect("the shipped model reads");
    let view = |reliability, origin: &str| ReporterView { reliability, origin: origin.to_owned() };
    Scorer {
        // Not the file's digest, so that no snapshot changes with a comment in it.
        model: Model::from_written(&written, "sha256:0123456789abcdef".to_owned()),
        reporters: [("acme", view(80, "acme")), ("bolt", view(70, "bolt")), ("cert", view(90, "cert"))]
            .map(|(name, view)| (name.to_owned(), view))
            .into(),
        sources: ["geoip", "names", "reputation", "warninglist", "dns"]
            .map(|name| (name.to_owned(), 90))
            .into(),
    }
}

pub(crate) fn lead(role: Role) -> Lead {
    Lead::form(&Projection::whole(&dossier()), role, &scorer(), NOW).expect("it was seen in this role")
}
