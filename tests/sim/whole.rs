//! All four stages on the simulated world, with the accounting of exactly once: each raw record has
//! one outcome, each sighting is folded once, each committed disclosure ends in one ledger entry,
//! each `disclosed` entry in one message, and nothing is on an audience topic that is not in the
//! ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use sightline::diag::{Findings, Source};
use sightline::dossier::{self, Dossier, ReporterView, Scorer};
use sightline::enrich::{Answer, Answers, Enricher, Evidence, Finding, Question, Status};
use sightline::score::Model;
use sightline::share::decide::Party;
use sightline::share::ledger::{self, Message};
use sightline::share::{Agreement, Book, agreement};
use sightline::sighting::formats::{FormatSettings, ReporterBinding};
use sightline::sighting::{
    Indicator, Normaliser, Notify, Pap, Purpose, Role, Terms, Timestamp, Tlp, normalise,
};
use sightline::stage::assess::{self, Assess};
use sightline::stage::deliver::{self, Deliver};
use sightline::stage::disclosure::Disclosure;
use sightline::stage::intake::{self, Intake};
use sightline::stage::knowledge::{Knowledge, Shared, shared};
use sightline::stage::release::{self, Release};
use sightline::stream::embedded::Cluster;

use crate::world::{Stage, Tally, Way, World};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const KEYED: i32 = 3;
const SHARED: i32 = 2;

/// A source that has to be asked, and so may be late.
struct Slow;

impl Enricher for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn build(&self) -> &str {
        "1"
    }

    fn independent(&self) -> bool {
        false
    }

    fn stale_after(&self) -> i64 {
        24 * 3_600_000
    }

    fn loaded(&self) -> Vec<sightline::enrich::Loaded> {
        Vec::new()
    }

    fn questions(&self, indicator: &Indicator, _: &Answers) -> Vec<Question> {
        vec![Question { source: "slow".to_owned(), text: indicator.key(), pap: Pap::Amber }]
    }

    fn finding(&self, indicator: &Indicator, answers: &Answers, now: Timestamp) -> Finding {
        let status =
            match self.questions(indicator, answers).first().and_then(|question| answers.get(question)) {
                Some(Answer::Found(_)) => Status::Hit,
                Some(Answer::Empty) => Status::Miss,
                Some(Answer::Refused(_)) => Status::Skipped,
                Some(Answer::Failed(_)) | None => Status::Unknown,
            };
        let mut finding = Finding::empty(self, status, now);
        if status == Status::Hit {
            finding.evidence.push(Evidence {
                code: "listed".to_owned(),
                text: "it is listed".to_owned(),
                weight: 100,
                roles: Vec::new(),
                observed_at: NOW,
                origin: "slow".to_owned(),
                reference: None,
                tlp: None,
                pap: None,
            });
        }
        finding
    }
}

const MODEL: &str = include_str!("../../pipelines/asean/model.toml");
const HUB: &str = include_str!("../../pipelines/asean/agreements/hub.toml");
const VENDOR: &str = include_str!("../../pipelines/asean/agreements/vendor.toml");
const REPORTERS: [&str; 3] = ["blackwater-labs", "meridian-dns", "northwind"];

fn source(name: &str, text: &str) -> Arc<Source> {
    Source::new(name, text)
}

fn agreements(suspended: bool) -> BTreeMap<String, Agreement> {
    let vendor = if suspended {
        VENDOR.replace("status = \"active\"", "status = \"suspended\"")
    } else {
        VENDOR.to_owned()
    };
    let mut findings = Findings::default();
    let list: Vec<Agreement> = [("hub", HUB), ("vendor", vendor.as_str())]
        .iter()
        .filter_map(|(name, text)| agreement::parse(&source(name, text), &mut findings))
        .collect();
    assert!(!findings.has_errors(), "{}", findings.render());
    list.into_iter().map(|one| (one.id.clone(), one)).collect()
}

fn terms() -> Terms {
    Terms {
        tlp: Tlp::Green,
        pap: Pap::Green,
        release_to: BTreeSet::from(["*".to_owned()]),
        never_to: BTreeSet::new(),
        purposes: BTreeSet::from([
            Purpose::CrimeInvestigation,
            Purpose::CrimePrevention,
            Purpose::ThreatAnalysis,
            Purpose::NetworkSecurity,
        ]),
        notify_affected: Notify::May,
    }
}

fn knowledge(suspended: bool) -> Knowledge {
    let mut findings = Findings::default();
    let model = Model::read(&source("model", MODEL), &mut findings).expect("the shipped model is good");
    let parties = REPORTERS
        .iter()
        .map(|name| ((*name).to_owned(), Party { org: Some(format!("org:{name}")), terms: terms() }));
    let views = REPORTERS
        .iter()
        .map(|name| ((*name).to_owned(), ReporterView { reliability: 100, origin: (*name).to_owned() }));
    Knowledge {
        enrichers: vec![Arc::new(Slow)],
        scorer: Scorer {
            model,
            reporters: views.collect(),
            sources: BTreeMap::from([("slow".to_owned(), 75)]),
        },
        agreements: agreements(suspended),
        book: Book {
            reporters: parties.collect(),
            sources: BTreeMap::from([("slow".to_owned(), terms())]),
            ..Book::default()
        },
        key: vec![7; 32],
        expire: Role::ALL.into_iter().map(|role| (role, 180 * 24 * 3_600_000)).collect(),
        minor_updates: 0,
        rules: format!("rules {suspended}"),
    }
}

fn stages(shared: &Shared) -> Vec<Stage> {
    let name = |text: &str| -> Arc<str> { text.into() };
    let format: FormatSettings = toml::from_str("sightline = {}").expect("a format");
    let decoder = format.check(&|| None, &mut Findings::default()).expect("nothing is wrong with it");
    let topic = intake::Topic {
        format: decoder,
        reporter: ReporterBinding::Carried(REPORTERS.iter().map(|name| (*name).to_owned()).collect()),
        max_sightings: 10,
    };
    let allowed = normalise::Settings {
        allow: vec!["198.51.100.0/24".parse().expect("a network")],
        allow_suffixes: vec![],
    };
    let intake = Intake::new(intake::Settings {
        topics: BTreeMap::from([(name("raw"), topic)]),
        normaliser: Normaliser::new(&allowed),
        sightings: name("sightings"),
        dead_letters: name("dead-letters"),
    });
    let assess = assess::Topics {
        sightings: name("sightings"),
        leads: name("leads"),
        dossiers: name("dossiers"),
        disclosures: name("disclosures"),
        dead_letters: name("dead-letters"),
    };
    let release = release::Topics {
        disclosures: name("disclosures"),
        ledger: name("ledger"),
        outbox: name("outbox"),
        releases: name("releases"),
        dead_letters: name("dead-letters"),
    };
    let deliver = deliver::Topics {
        outbox: name("outbox"),
        disclosures: name("disclosures"),
        dead_letters: name("dead-letters"),
    };
    let (a, r, d) = (shared.clone(), shared.clone(), shared.clone());
    vec![
        Stage { group: "intake", make: Box::new(move || Box::new(intake.clone())) },
        Stage { group: "assess", make: Box::new(move || Box::new(Assess::new(assess.clone(), a.clone()))) },
        Stage {
            group: "release",
            make: Box::new(move || Box::new(Release::new(release.clone(), r.clone()))),
        },
        Stage {
            group: "deliver",
            make: Box::new(move || Box::new(Deliver::new(deliver.clone(), d.clone()))),
        },
    ]
}

/// What a plan expects of one indicator and reporter.
type Expected = BTreeMap<(String, String), u64>;

struct Plan {
    records: Vec<(i32, String)>,
    /// Sightings of each record; 0 for a dead letter.
    sizes: Vec<usize>,
    folded: Expected,
}

fn plan(rng: &mut Pcg64) -> Plan {
    let mut plan = Plan { records: Vec::new(), sizes: Vec::new(), folded: Expected::new() };
    let mut ids: BTreeSet<(String, String, u32)> = BTreeSet::new();
    for _ in 0..rng.random_range(8..40) {
        let partition = rng.random_range(0..KEYED);
        if rng.random_range(0..6) == 0 {
            plan.records.push((partition, "{\"indicator\": \"no such thing\"".to_owned()));
            plan.sizes.push(0);
            continue;
        }
        let n = rng.random_range(1..4);
        let mut items = Vec::new();
        for _ in 0..n {
            let address = format!("198.51.100.{}", rng.random_range(1..9));
            let reporter = REPORTERS[rng.random_range(0..REPORTERS.len())];
            let at = Timestamp(NOW.0 - i64::from(rng.random_range(0..5_u32)) * 3_600_000);
            // Without an id each counts, byte for byte the same or not; with one, only the first does.
            let id: Option<u32> = (rng.random_range(0..3) == 0).then(|| rng.random_range(0..3));
            let key = (format!("ipv4:{address}"), reporter.to_owned());
            let counts = id.is_none_or(|id| ids.insert((key.0.clone(), key.1.clone(), id)));
            *plan.folded.entry(key).or_default() += u64::from(counts);
            let id = id.map(|id| format!(r#","id":"{id}""#)).unwrap_or_default();
            items.push(format!(
                r#"{{"indicator":"{address}","role":"c2","observed_at":"{at}","reporter":"{reporter}","claimed_confidence":90{id}}}"#
            ));
        }
        plan.records.push((partition, format!("[{}]", items.join(","))));
        plan.sizes.push(n);
    }
    plan
}

/// Runs one seed; panics when the books don't balance.
pub(crate) fn run(seed: u64, way: &Way) -> Tally {
    let mut rng = Pcg64::seed_from_u64(seed ^ 0x5169_6874);
    let cluster = Cluster::new(true);
    let mut partitions = BTreeMap::new();
    let sizes = [
        ("raw", KEYED),
        ("sightings", KEYED),
        ("leads", KEYED),
        ("dossiers", KEYED),
        ("dead-letters", 1),
        ("disclosures", SHARED),
        ("ledger", SHARED),
        ("outbox", SHARED),
        ("releases", SHARED),
    ];
    let audiences: Vec<String> = agreements(false).values().map(|one| one.topic.clone()).collect();
    for (topic, n) in sizes.into_iter().chain(audiences.iter().map(|topic| (topic.as_str(), SHARED))) {
        cluster.create_topic(topic, n);
        partitions.insert(topic.to_owned(), n);
    }
    let shared = shared(knowledge(false));
    let plan = plan(&mut rng);
    let suspend_at = rng.random_range(0..plan.records.len() * 2);
    let answerer =
        Box::new(
            |question: &Question| {
                if question.text.ends_with('3') { Answer::Empty } else { Answer::Found(Vec::new()) }
            },
        );
    let mut world = World::new(cluster.clone(), rng, NOW, stages(&shared), partitions, answerer, way);
    let mut offsets = Vec::new();
    for (n, (partition, value)) in plan.records.iter().enumerate() {
        offsets.push((*partition, cluster.append("raw", *partition, None, Some(value.as_bytes()), &[])));
        if n == suspend_at {
            shared.store(Arc::new(knowledge(true)));
        }
        if n == suspend_at + 3 {
            shared.store(Arc::new(knowledge(false)));
        }
        for _ in 0..60 {
            world.step(true);
        }
    }
    for _ in 0..1_500 {
        world.step(true);
    }
    shared.store(Arc::new(knowledge(false)));
    world.settle(4_000);

    raw_records_have_one_outcome(&cluster, &plan, &offsets);
    let dossiers = sightings_are_folded_once(&cluster, &plan);
    disclosures_are_entered_once(&cluster);
    messages_match_the_ledger(&cluster, &audiences);
    recipients_know_what_dossiers_say(&cluster, &dossiers);
    world.tally
}

fn text(bytes: Option<&Vec<u8>>) -> String {
    String::from_utf8(bytes.cloned().unwrap_or_default()).expect("text")
}

fn raw_records_have_one_outcome(cluster: &Cluster, plan: &Plan, offsets: &[(i32, i64)]) {
    let mut outcomes: BTreeMap<(i32, i64), (usize, usize)> = BTreeMap::new();
    for record in cluster.committed("sightings") {
        let sighting: serde_json::Value =
            serde_json::from_slice(&record.value.expect("a value")).expect("JSON");
        let partition =
            i32::try_from(sighting["raw"]["partition"].as_i64().expect("a number")).expect("small");
        outcomes.entry((partition, sighting["raw"]["offset"].as_i64().expect("a number"))).or_default().0 +=
            1;
    }
    for record in cluster.committed("dead-letters") {
        let header = |name: &str| {
            let found = record.headers.iter().find(|(held, _)| held == name).expect("the header");
            text(Some(&found.1))
        };
        assert_eq!(header("sightline.error.stage"), "intake", "only intake has bad input here");
        let place = (
            header("sightline.error.partition").parse().expect("a number"),
            header("sightline.error.offset").parse().expect("a number"),
        );
        outcomes.entry(place).or_default().1 += 1;
    }
    for (place, size) in offsets.iter().zip(&plan.sizes) {
        let outcome = outcomes.remove(place).unwrap_or_default();
        let expected = if *size == 0 { (0, 1) } else { (*size, 0) };
        assert_eq!(outcome, expected, "raw record {place:?}: sightings and dead letters");
    }
    assert!(outcomes.is_empty(), "outcomes of records that never were: {outcomes:?}");
}

fn sightings_are_folded_once(cluster: &Cluster, plan: &Plan) -> BTreeMap<String, Dossier> {
    let mut dossiers = BTreeMap::new();
    for record in cluster.committed("dossiers") {
        let key = text(record.key.as_ref());
        if key.as_bytes() == assess::SWEEP {
            continue;
        }
        match record.value {
            Some(value) => drop(dossiers.insert(key, dossier::decode(&value).expect("our own"))),
            None => drop(dossiers.remove(&key)),
        }
    }
    let mut folded = Expected::new();
    for (key, dossier) in &dossiers {
        for fold in &dossier.folds {
            *folded.entry((key.clone(), fold.reporter.clone())).or_default() += fold.count;
        }
    }
    assert_eq!(folded, plan.folded, "each sighting is folded once, repeats not at all");
    dossiers
}

fn disclosures_are_entered_once(cluster: &Cluster) {
    let mut decided: Vec<String> = Vec::new();
    for record in cluster.committed("disclosures") {
        if let Disclosure::Disclose(sealed) =
            serde_json::from_slice(&record.value.expect("a value")).expect("our own")
        {
            decided.push(format!("{} {}", sealed.entry.disclosure_id, sealed.entry.disclosure_version));
        }
    }
    let mut entered: Vec<String> = Vec::new();
    for record in cluster.committed("ledger") {
        let entry: serde_json::Value = serde_json::from_slice(&record.value.expect("a value")).expect("JSON");
        if entry.get("stops").is_none() {
            let id = entry["disclosure_id"].as_str().expect("an id");
            entered.push(format!("{id} {}", entry["disclosure_version"]));
        }
    }
    decided.sort_unstable();
    entered.sort_unstable();
    assert_eq!(decided, entered, "each committed disclosure ends in one ledger entry");
}

fn messages_match_the_ledger(cluster: &Cluster, audiences: &[String]) {
    let entries = cluster.committed("ledger");
    let entries = entries.iter().map(|record| {
        let key = record.key.as_deref().expect("keyed");
        (key, record.value.as_deref().expect("a value"), format!("{} {}", record.partition, record.offset))
    });
    let report = ledger::verify(entries);
    assert!(report.faults.is_empty(), "{:?}", report.faults);
    let mut messages = Vec::new();
    for topic in audiences {
        messages.extend(cluster.committed(topic));
    }
    let faults = ledger::verify_messages(
        &report.told,
        messages.iter().map(|record| Message {
            topic: &record.topic,
            key: record.key.as_deref().expect("keyed"),
            headers: &record.headers,
            payload: record.value.as_deref().expect("a value"),
            position: "",
        }),
    );
    assert!(faults.is_empty(), "{faults:?}");
}

/// What each dossier holds as told is what the last message says.
fn recipients_know_what_dossiers_say(cluster: &Cluster, dossiers: &BTreeMap<String, Dossier>) {
    let mut decided: BTreeMap<(String, String), u64> = BTreeMap::new();
    for record in cluster.committed("disclosures") {
        if let Disclosure::Disclose(sealed) =
            serde_json::from_slice(&record.value.expect("a value")).expect("our own")
        {
            let last = decided
                .entry((sealed.entry.agreement.id.clone(), sealed.entry.disclosure_id.clone()))
                .or_default();
            assert_eq!(*last + 1, sealed.entry.disclosure_version, "versions count without gaps");
            *last += 1;
        }
    }
    let mut held: BTreeMap<(String, String), u64> = BTreeMap::new();
    for (key, dossier) in dossiers {
        for disclosed in dossier.disclosed.iter().filter(|disclosed| disclosed.version > 0) {
            let id =
                sightline::share::keyed::disclosure_id(&[7; 32], &disclosed.agreement, key, disclosed.role);
            held.insert((disclosed.agreement.clone(), id), disclosed.version);
        }
    }
    assert_eq!(held, decided, "dossiers remember what was told");
}
