//! What must hold after the kills, against the generator's own file and between the topics.
//!
//! Nothing here asks Sightline what it did: only what stands in the topics counts.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use serde_json::value::RawValue;
use sightline::config::Loaded;
use sightline::dossier;
use sightline::sighting::Sighting;
use sightline::stage::{Record, assess};

use crate::job::Topics;
use crate::kill_load::{Line, digest};
use crate::load::Claim;
use crate::memory::{header, json, last};
use crate::wire::Place;

/// What the generator's file says of each raw record.
pub(crate) type Truth = BTreeMap<(Place, i64), Line>;

/// Reads the generator's file.
pub(crate) fn truth(path: &Path) -> Truth {
    let lines = BufReader::new(File::open(path).unwrap()).lines();
    lines
        .map(|line| {
            let line: Line = serde_json::from_str(&line.unwrap()).unwrap();
            (((line.topic.clone(), line.partition), line.offset), line)
        })
        .collect()
}

/// The raw topics hold what the generator wrote, where it says, and among it what is hard: records that
/// are alike to the byte without an id, and ids that come again.
pub(crate) fn check_raw(truth: &Truth, raw: &[Record]) {
    assert_eq!(raw.len(), truth.len(), "raw records");
    for record in raw {
        let line = &truth[&((record.topic.to_string(), record.partition), record.offset)];
        assert_eq!(digest(record.value.as_deref()), line.sha256, "{line:?}");
    }
    let mut alike: BTreeMap<&str, u64> = BTreeMap::new();
    let mut ids: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for line in truth.values().filter(|line| !line.claims.is_empty()) {
        if line.claims.iter().all(|claim| claim.id.is_none()) {
            *alike.entry(line.sha256.as_deref().unwrap()).or_default() += 1;
        }
        for claim in &line.claims {
            if let Some(id) = &claim.id {
                *ids.entry((&claim.reporter, id)).or_default() += 1;
            }
        }
    }
    let alike: u64 = alike.values().map(|n| n - 1).sum();
    let again: u64 = ids.values().map(|n| n - 1).sum();
    let broken = truth.values().filter(|line| line.claims.is_empty()).count();
    eprintln!(
        "{} raw records: {alike} like one before without ids, {again} ids again, {broken} broken",
        raw.len()
    );
    assert!(alike > 20 && again > 20 && broken > 20, "the load has too little of what is hard");
}

/// Each raw record has exactly one outcome, and it is the one that it was made to have: all its
/// sightings once, or one dead letter. The number of outcomes that are too many; each is a fault.
pub(crate) fn check_outcomes(truth: &Truth, topics: &Topics) {
    let mut sightings: BTreeMap<(Place, i64), BTreeMap<u32, Vec<Claim>>> = BTreeMap::new();
    for record in &topics["sightline.sightings"] {
        let sighting: Sighting<'_> = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let claim = Claim {
            indicator: sighting.indicator.key(),
            role: sighting.role.as_str().to_owned(),
            reporter: sighting.reporter.into_owned(),
            id: sighting.id.map(Cow::into_owned),
        };
        let at = ((sighting.raw.topic.to_owned(), sighting.raw.partition), sighting.raw.offset);
        sightings.entry(at).or_default().entry(sighting.raw.index).or_default().push(claim);
    }
    let mut dead: BTreeMap<(Place, i64), u32> = BTreeMap::new();
    for record in &topics["sightline.dead-letters"] {
        assert_eq!(
            header(record, "sightline.error.stage"),
            "intake",
            "a record of ours was refused: {record:?}"
        );
        let number = |name| header(record, name).parse::<i64>().unwrap();
        let partition = i32::try_from(number("sightline.error.partition")).unwrap();
        let place = (header(record, "sightline.error.topic").to_owned(), partition);
        *dead.entry((place, number("sightline.error.offset"))).or_default() += 1;
    }
    let (mut wrong, mut twice, mut lost) = (Vec::new(), 0, 0);
    for (at, line) in truth {
        let found = sightings.remove(at).unwrap_or_default();
        let letters = dead.remove(at).unwrap_or_default();
        twice += usize::from(letters > 1) + found.values().filter(|claims| claims.len() > 1).count();
        lost += usize::from(letters == 0 && found.is_empty());
        let claims: Vec<&Claim> = found.values().flatten().collect();
        let in_order = found.keys().copied().eq(0..u32::try_from(found.len()).unwrap());
        let expected = u32::from(line.claims.is_empty());
        if !in_order || letters != expected || claims != line.claims.iter().collect::<Vec<_>>() {
            wrong.push(format!("{line:?}: {letters} dead letters, {found:?}"));
        }
    }
    let strangers = sightings.len() + dead.len();
    assert!(
        wrong.is_empty() && strangers == 0,
        "outcomes: {} of {} raw records have another than they should, {twice} one too many, {lost} none; {strangers} \
         outcomes of no record; the first:\n{:?}",
        wrong.len(),
        truth.len(),
        wrong.first()
    );
}

/// Each dossier has counted each sighting once, and each id of a reporter once.
pub(crate) fn check_dossiers(truth: &Truth, topics: &Topics) {
    // By indicator and reporter, the roles; an id counts once, whatever it is repeated with.
    let mut expected: BTreeMap<(String, String), BTreeMap<String, u64>> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for claim in truth.values().flat_map(|line| &line.claims) {
        let is_new = claim.id.as_ref().is_none_or(|id| {
            ids.insert((claim.indicator.clone(), claim.reporter.clone(), claim.role.clone(), id.clone()))
        });
        let roles = expected.entry((claim.indicator.clone(), claim.reporter.clone())).or_default();
        *roles.entry(claim.role.clone()).or_default() += u64::from(is_new);
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for (key, record) in last(&topics["sightline.dossiers"]) {
        if key.as_bytes() == assess::SWEEP {
            continue;
        }
        count += 1;
        let dossier = dossier::decode(record.value.as_deref().unwrap()).unwrap();
        let mut found: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for fold in &dossier.folds {
            let roles = found.entry(fold.reporter.clone()).or_default();
            *roles.entry(fold.role.as_str().to_owned()).or_default() += fold.count;
        }
        for (reporter, unkept) in dossier.unkept {
            // Of which roles they were is not kept, only how many.
            *found.entry(reporter).or_default().entry(String::new()).or_default() += unkept;
        }
        for (reporter, roles) in found {
            let of = expected.remove(&(dossier.indicator.key(), reporter.clone())).unwrap_or_default();
            let (kept, all): (u64, u64) = (roles.values().sum(), of.values().sum());
            let whole = roles.contains_key("") || roles == of;
            if kept != all || !whole {
                wrong.push(format!("{key} {reporter}: {roles:?} instead of {of:?}"));
            }
        }
    }
    let missing: Vec<_> = expected.keys().take(3).collect();
    assert!(
        wrong.is_empty() && missing.is_empty(),
        "dossiers: {} counts of {count} dossiers are wrong, {} are missing: {:?} {missing:?}",
        wrong.len(),
        expected.len(),
        wrong.first()
    );
    eprintln!("{count} dossiers");
}

/// Each committed disclosure has exactly one ledger entry, and each `disclosed` entry exactly one
/// message, by agreement, id and version. That chains are whole is for `ledger::verify` to say.
pub(crate) fn check_disclosures(loaded: &Loaded, topics: &Topics) {
    let draft = |value: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let version = value["disclosure_version"].as_u64().unwrap();
        (text(&value["agreement"]["id"]), text(&value["disclosure_id"]), version)
    };
    let mut expected: BTreeMap<(String, String, u64), [u32; 4]> = BTreeMap::new();
    for record in &topics["sightline.disclosures"] {
        expected.entry(draft(&json(record)["disclose"]["entry"])).or_default()[0] += 1;
    }
    for record in &topics["sightline.ledger"] {
        let entry = json(record);
        assert_eq!(entry["kind"], "disclosed", "nothing was stopped: {entry}");
        expected.entry(draft(&entry)).or_default()[1] += 1;
    }
    for record in &topics["sightline.outbox"] {
        expected.entry(draft(&json(record)["entry"])).or_default()[2] += 1;
    }
    for agreement in &loaded.checked.agreements {
        for record in &topics[&agreement.topic] {
            let version = header(record, "dx-version").parse().unwrap();
            let id = header(record, "dx-disclosure-id").to_owned();
            expected.entry((agreement.id.clone(), id, version)).or_default()[3] += 1;
        }
    }
    assert!(!expected.is_empty());
    let wrong: Vec<_> = expected.iter().filter(|(_, counts)| **counts != [1; 4]).collect();
    assert!(
        wrong.is_empty(),
        "disclosures: {} of {} do not have one decision, one ledger entry, one outbox record and one message: {:?}",
        wrong.len(),
        expected.len(),
        wrong.first()
    );
}

/// Writes ledger and messages as lines, as `sightline ledger verify` reads them, for whoever verifies them
/// without any code of ours: the ledger's file, and one an audience topic.
pub(crate) fn export(loaded: &Loaded, topics: &Topics, folder: &Path) -> (PathBuf, Vec<PathBuf>) {
    let one = |topic: &str| {
        let path = folder.join(format!("{topic}.jsonl"));
        let mut file = BufWriter::new(File::create(&path).unwrap());
        for record in &topics[topic] {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers: Vec<_> = record.headers.iter().map(|(name, value)| (name, text(value))).collect();
            let value: &RawValue = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
            let [topic, key] = [&*record.topic, &text(record.key.as_deref().unwrap())].map(Value::from);
            let headers = serde_json::to_string(&headers).unwrap();
            writeln!(file, r#"{{"topic":{topic},"key":{key},"headers":{headers},"value":{value}}}"#).unwrap();
        }
        file.flush().unwrap();
        path
    };
    let audiences: BTreeSet<&str> = loaded.checked.agreements.iter().map(|one| &*one.topic).collect();
    (one("sightline.ledger"), audiences.into_iter().map(one).collect())
}
