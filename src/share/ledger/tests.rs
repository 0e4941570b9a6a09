//! The chain, and what a change of it looks like.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::share::keyed;

const SALT_KEY: &[u8] = &[7; 32];

fn message(agreement: &str, n: u64) -> Vec<u8> {
    format!(r#"{{"to":"{agreement}","n":{n},"terms":{{"handling":{{"b":2,"a":1}}}}}}"#).into_bytes()
}

fn draft(agreement: &str, n: u64) -> Draft {
    let disclosure_id = keyed::disclosure_id(SALT_KEY, agreement, &format!("ipv4:198.51.100.{n}"), Role::C2);
    let salt = keyed::salt(SALT_KEY, &disclosure_id, 1);
    let message = message(agreement, n);
    Draft {
        commitment: commitment(&salt, &message).unwrap(),
        output: Output {
            format: "json".to_owned(),
            bytes: message.len() as u64,
            topic: format!("out.{agreement}"),
            key: disclosure_id.clone(),
        },
        disclosure_id,
        disclosure_version: 1,
        decided_at: Timestamp(1_780_315_200_000),
        agreement: AgreementRef { id: agreement.to_owned(), version: 1, digest: "sha256:00".to_owned() },
        provider: "org:house".to_owned(),
        recipient: "org:unit".to_owned(),
        purposes: vec![Purpose::CrimeInvestigation],
        legal_basis: vec!["agreement".to_owned()],
        role: Role::C2,
        indicator_type: IndicatorType::Ipv4,
        tlp: Tlp::AmberStrict,
        pap: Pap::Green,
        risk: 84,
        confidence: 80,
        verdict: Verdict::Malicious,
        versions: Versions {
            model: "m@1".to_owned(),
            sources: [("geoip".to_owned(), "2026-05".to_owned())].into(),
        },
    }
}

type Log = Vec<(String, Vec<u8>)>;

/// `count` entries of each of two agreements, in turn.
fn log(count: u64) -> Log {
    let mut chains = [("a-01", Chain::default()), ("b-01", Chain::default())];
    let mut log = Vec::new();
    for n in 1..=count {
        for (agreement, chain) in &mut chains {
            let bytes = append(chain, &Kind::Disclosed, &draft(agreement, n), Timestamp(1_780_315_260_000));
            log.push(((*agreement).to_owned(), bytes));
        }
    }
    log
}

fn check(log: &Log) -> Report {
    verify(
        log.iter()
            .enumerate()
            .map(|(index, (key, value))| (key.as_bytes(), value.as_slice(), format!("offset {index}"))),
    )
}

fn named(report: &Report) -> Vec<(FaultKind, String, Option<u64>)> {
    report.faults.iter().map(|fault| (fault.kind, fault.agreement.clone(), fault.seq)).collect()
}

fn at(kind: FaultKind, agreement: &str, seq: u64) -> (FaultKind, String, Option<u64>) {
    (kind, agreement.to_owned(), Some(seq))
}

/// Where entry `seq` of an agreement stands.
fn place(log: &Log, agreement: &str, seq: u64) -> usize {
    let number = format!("\"seq\":{seq},");
    log.iter()
        .position(|(key, value)| key == agreement && String::from_utf8_lossy(value).contains(&number))
        .expect("an entry")
}

/// Changes text in an entry, and makes it whole again: its digest is of the new bytes.
fn rewrite(entry: &mut Vec<u8>, from: &str, to: &str) {
    let (body, _) = split(entry).unwrap();
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(from));
    let body = body.replacen(from, to, 1);
    let hash = hex::encode(Sha256::digest(&body));
    *entry = format!("{},\"hash\":\"{hash}\"}}", &body[..body.len() - 1]).into_bytes();
}

#[test]
fn an_entry_is_its_bytes() {
    let mut chain = Chain::default();
    let bytes = append(&mut chain, &Kind::Disclosed, &draft("a-01", 1), Timestamp(1_780_315_260_000));
    expect_test::expect![[r#"{"kind":"disclosed","disclosure_id":"2a3438f7fd5f136486bbbce248bc3741","disclosure_version":1,"seq":1,"prev":"0000000000000000000000000000000000000000000000000000000000000000","decided_at":"2026-06-01T12:00:00Z","logged_at":"2026-06-01T12:01:00Z","agreement":{"id":"a-01","version":1,"digest":"sha256:00"},"provider":"org:house","recipient":"org:unit","purposes":["crime-investigation"],"legal_basis":["agreement"],"role":"c2","indicator_type":"ipv4","commitment":"sha256:1691a2fe5eabc90f8b0968e1a9c90f82a1e512e824ef5e76f9c0bacde2563081","output":{"format":"json","bytes":54,"topic":"out.a-01","key":"2a3438f7fd5f136486bbbce248bc3741"},"tlp":"AMBER+STRICT","pap":"GREEN","risk":84,"confidence":80,"verdict":"malicious","versions":{"model":"m@1","sources":{"geoip":"2026-05"}},"hash":"b351b5d38d8016e2b1641ea8039ab42c08ef9721965ba24281f634f8bbede463"}"#]].assert_eq(&String::from_utf8(bytes).unwrap());
    assert_eq!(chain.seq, 1);
    let stopped = Kind::Stopped { reason: "withdrawn".to_owned(), stops: Some(1) };
    let bytes = append(&mut chain, &stopped, &draft("a-01", 1), Timestamp(1_780_315_260_000));
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("{\"kind\":\"stopped\""), "{text}");
    assert!(text.contains(",\"reason\":\"withdrawn\",\"stops\":1,\"hash\":\""), "{text}");
}

#[test]
fn an_entry_holds_no_value_that_was_disclosed() {
    for (_, value) in log(3) {
        assert!(!String::from_utf8(value).unwrap().contains("198.51.100."));
    }
}

#[test]
fn a_chain_is_stored_and_read() {
    let mut chain = Chain::default();
    append(&mut chain, &Kind::Disclosed, &draft("a-01", 1), Timestamp(0));
    assert_eq!(Chain::decode(&chain.encode()), Ok(chain.clone()));
    let mut other = chain.encode();
    other[0] = 9;
    assert_eq!(Chain::decode(&other), Err(ChainError::UnknownFormat(9)));
    assert_eq!(Chain::decode(&chain.encode()[..20]), Err(ChainError::Damaged));
    let mut long = chain.encode();
    long.push(0);
    assert_eq!(Chain::decode(&long), Err(ChainError::Damaged));
    assert_eq!(Chain::decode(&[]), Err(ChainError::Damaged));
}

#[test]
fn a_draft_travels_as_json() {
    let draft = draft("a-01", 1);
    let text = serde_json::to_string(&draft).unwrap();
    assert_eq!(serde_json::from_str::<Draft>(&text).unwrap(), draft);
}

#[test]
fn a_sound_ledger_has_no_fault_and_says_what_it_cant_see() {
    let report = check(&log(5));
    assert_eq!(named(&report), []);
    assert_eq!(report.entries, 10);
    assert_eq!(report.heads["a-01"].0, 5);
    assert_eq!(report.told.len(), 10);
    assert!(report.note.contains("cut off"));
    assert_eq!(check(&Vec::new()).entries, 0);
}

#[test]
fn a_tail_that_was_cut_off_shows_in_the_heads_only() {
    let whole = check(&log(5));
    let mut short = log(5);
    short.truncate(6);
    let short = check(&short);
    assert_eq!(named(&short), []);
    assert_ne!(short.heads, whole.heads);
}

#[test]
fn each_alteration_is_named() {
    use FaultKind::{Changed, Foreign, Moved, NotAnEntry, Removed, Replaced, Twice};
    #[track_caller]
    fn after(alter: impl Fn(&mut Log), want: &[(FaultKind, String, Option<u64>)]) {
        let mut log = log(6);
        alter(&mut log);
        let report = check(&log);
        assert_eq!(named(&report), want, "{:#?}", report.faults);
    }
    let edit = |log: &mut Log, agreement: &str, seq: u64, from: &str, to: &str| {
        let place = place(log, agreement, seq);
        let text = String::from_utf8(log[place].1.clone()).unwrap();
        assert!(text.contains(from));
        log[place].1 = text.replacen(from, to, 1).into_bytes();
    };
    after(|log| edit(log, "a-01", 3, "org:unit", "org:else"), &[at(Changed, "a-01", 3)]);
    after(|log| edit(log, "a-01", 3, ",\"provider\"", ", \"provider\""), &[at(Changed, "a-01", 3)]);
    after(|log| edit(log, "a-01", 6, "\"risk\":84", "\"risk\":85"), &[at(Changed, "a-01", 6)]);
    // The digest alone: the next entry names the true one.
    after(
        |log| {
            let place = place(log, "a-01", 3);
            let length = log[place].1.len();
            let digit = &mut log[place].1[length - 5];
            *digit = if *digit == b'0' { b'1' } else { b'0' };
        },
        &[at(Changed, "a-01", 3)],
    );
    // A change made whole again.
    after(
        |log| {
            let p = place(log, "a-01", 3);
            rewrite(&mut log[p].1, "org:unit", "org:else")
        },
        &[at(Replaced, "a-01", 3)],
    );
    after(
        |log| {
            let p = place(log, "a-01", 1);
            rewrite(&mut log[p].1, "org:unit", "org:else")
        },
        &[at(Replaced, "a-01", 1)],
    );
    // Of the last two, nobody vouches for either.
    after(
        |log| {
            let p = place(log, "a-01", 5);
            rewrite(&mut log[p].1, "org:unit", "org:else")
        },
        &[at(Replaced, "a-01", 5), at(Replaced, "a-01", 6)],
    );
    after(
        |log| {
            let p = place(log, "a-01", 6);
            rewrite(&mut log[p].1, "\"prev\":\"", "\"prev\":\"00");
        },
        &[at(Replaced, "a-01", 5), at(Replaced, "a-01", 6)],
    );
    after(|log| drop(log.remove(place(log, "b-01", 4))), &[at(Removed, "b-01", 4)]);
    after(|log| drop(log.remove(place(log, "a-01", 1))), &[at(Removed, "a-01", 1)]);
    after(
        |log| {
            log.remove(place(log, "b-01", 3));
            log.remove(place(log, "b-01", 4));
        },
        &[at(Removed, "b-01", 3)],
    );
    // Neighbours that changed places, others that did, and one that moved far.
    let swap = |log: &mut Log, a: u64, b: u64| {
        let (a, b) = (place(log, "a-01", a), place(log, "a-01", b));
        log.swap(a, b);
    };
    after(|log| swap(log, 3, 4), &[at(Moved, "a-01", 3), at(Moved, "a-01", 4)]);
    after(|log| swap(log, 2, 5), &[at(Moved, "a-01", 2), at(Moved, "a-01", 5)]);
    after(
        |log| {
            let entry = log.remove(place(log, "a-01", 2));
            log.push(entry);
        },
        &[at(Moved, "a-01", 2)],
    );
    // Between two agreements.
    after(
        |log| {
            let (a, b) = (place(log, "a-01", 2), place(log, "b-01", 4));
            let text = std::mem::take(&mut log[a].1);
            log[a].1 = std::mem::replace(&mut log[b].1, text);
        },
        &[at(Removed, "a-01", 2), at(Foreign, "a-01", 4), at(Foreign, "b-01", 2), at(Removed, "b-01", 4)],
    );
    after(
        |log| {
            let entry = log[place(log, "a-01", 2)].clone();
            log.push(entry);
        },
        &[at(Twice, "a-01", 2)],
    );
    // A forged second entry of a number: the one that the next names is the true one.
    after(
        |log| {
            let mut entry = log[place(log, "a-01", 2)].clone();
            rewrite(&mut entry.1, "org:unit", "org:else");
            log.insert(0, entry);
        },
        &[at(Twice, "a-01", 2)],
    );
    after(
        |log| {
            let p = place(log, "a-01", 2);
            log[p].1 = b"{}".to_vec();
        },
        &[(NotAnEntry, "a-01".to_owned(), None), at(Removed, "a-01", 2)],
    );
    // An entry put in at the end, naming the last.
    after(
        |log| {
            let mut entry = log[place(log, "a-01", 6)].clone();
            rewrite(&mut entry.1, "\"seq\":6,", "\"seq\":7,");
            log.push(entry);
        },
        &[at(Replaced, "a-01", 6), at(Replaced, "a-01", 7)],
    );
    // Several at once.
    after(
        |log| {
            edit(log, "a-01", 2, "org:unit", "org:else");
            log.remove(place(log, "a-01", 4));
            let (a, b) = (place(log, "b-01", 2), place(log, "b-01", 5));
            log.swap(a, b);
            let p = place(log, "b-01", 3);
            rewrite(&mut log[p].1, "\"risk\":84", "\"risk\":10");
        },
        &[
            at(Changed, "a-01", 2),
            at(Removed, "a-01", 4),
            at(Moved, "b-01", 2),
            at(Replaced, "b-01", 3),
            at(Moved, "b-01", 5),
        ],
    );
}

#[test]
fn a_stop_takes_back_one_disclosure() {
    let mut chain = Chain::default();
    let mut entries = Vec::new();
    let mut add = |kind: &Kind, n| entries.push(append(&mut chain, kind, &draft("a-01", n), Timestamp(0)));
    let stop = |stops| Kind::Stopped { reason: "withdrawn".to_owned(), stops };
    add(&Kind::Disclosed, 1);
    add(&Kind::Disclosed, 2);
    add(&stop(Some(2)), 2);
    // Stopped before it was disclosed at all.
    add(&stop(None), 3);
    // Stops another's, itself, and one that is stopped.
    add(&stop(Some(1)), 4);
    add(&stop(Some(6)), 4);
    add(&stop(Some(2)), 2);
    let entries = entries.iter().map(|bytes| ("a-01".as_bytes(), bytes.as_slice(), String::new()));
    let report = verify(entries);
    let stops_nothing = FaultKind::StopsNothing;
    assert_eq!(
        named(&report),
        [at(stops_nothing, "a-01", 5), at(stops_nothing, "a-01", 6), at(stops_nothing, "a-01", 7)]
    );
    let stopped: Vec<bool> = report.told.iter().map(|told| told.stopped).collect();
    assert_eq!(stopped, [false, true]);
}

/// A message as it stands on its topic.
#[derive(Clone)]
struct Sent {
    topic: String,
    key: String,
    headers: Vec<(String, Vec<u8>)>,
    payload: Vec<u8>,
}

impl Sent {
    fn header(&mut self, name: &str) -> &mut Vec<u8> {
        let held = self.headers.iter_mut().find(|(held, _)| held == name);
        &mut held.expect("a header").1
    }
}

fn sent(agreement: &str, n: u64) -> Sent {
    let id = draft(agreement, n).disclosure_id;
    let headers = [
        ("dx-disclosure-id", id.as_str()),
        ("dx-version", "1"),
        ("dx-agreement", &format!("{agreement}@1")),
        ("dx-agreement-digest", "sha256:00"),
        ("dx-tlp", "AMBER+STRICT"),
        ("dx-pap", "GREEN"),
        ("dx-handling", r#"{"a":1,"b":2}"#),
        ("dx-salt", &keyed::salt(SALT_KEY, &id, 1)),
    ];
    Sent {
        topic: format!("out.{agreement}"),
        headers: headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into(),
        key: id,
        payload: message(agreement, n),
    }
}

/// What is wrong with messages.
fn faults(told: &[Told], sent: &[Sent]) -> Vec<(FaultKind, Option<u64>)> {
    let messages = sent.iter().map(|sent| Message {
        topic: &sent.topic,
        key: sent.key.as_bytes(),
        headers: &sent.headers,
        payload: &sent.payload,
        position: "somewhere",
    });
    verify_messages(told, messages).iter().map(|fault| (fault.kind, fault.seq)).collect()
}

#[test]
fn messages_are_those_of_their_entries() {
    use FaultKind::{OtherMessage, Resent, Undelivered, Unlogged};
    #[track_caller]
    fn after(alter: impl Fn(&mut Vec<Sent>), want: &[(FaultKind, Option<u64>)]) {
        let told: Vec<Told> =
            check(&log(3)).told.into_iter().filter(|told| told.agreement == "a-01").collect();
        let mut messages: Vec<Sent> = (1..=3).map(|n| sent("a-01", n)).collect();
        alter(&mut messages);
        assert_eq!(faults(&told, &messages), want);
    }
    let set = |name: &'static str, value: &'static str| {
        move |all: &mut Vec<Sent>| *all[1].header(name) = value.as_bytes().to_vec()
    };
    let other = &[(OtherMessage, Some(2))];
    let lost = &[(Unlogged, None), (Undelivered, Some(2))];
    after(|_| (), &[]);
    after(|all| all[1].payload.push(b' '), other);
    after(|all| *all[1].header("dx-salt") = b"00".repeat(32), other);
    after(set("dx-salt", "no salt"), other);
    after(|all| all[1].header("dx-salt").make_ascii_uppercase(), other);
    after(|all| all[1].topic = "out.b-01".to_owned(), other);
    after(|all| all[1].key = all[2].key.clone(), other);
    after(set("dx-tlp", "CLEAR"), other);
    after(set("dx-pap", "CLEAR"), other);
    after(set("dx-agreement", "a-01@2"), other);
    after(set("dx-agreement-digest", "sha256:01"), other);
    after(set("dx-handling", r#"{"b":2,"a":1}"#), other);
    after(set("dx-version", "01"), other);
    after(set("dx-version", "2"), lost);
    after(set("dx-disclosure-id", "else"), lost);
    for place in 2..8 {
        after(|all| drop(all[1].headers.remove(place)), other);
        // Which of two counts is each reader's own choice.
        after(
            |all| {
                let again = all[1].headers[place].clone();
                all[1].headers.push(again);
            },
            other,
        );
    }
    after(|all| all[1].headers.clear(), lost);
    // What others put beside ours is theirs.
    after(|all| all[1].headers.push(("trace".to_owned(), Vec::new())), &[]);
    after(|all| drop(all.remove(0)), &[(Undelivered, Some(1))]);
    after(|all| all.push(all[0].clone()), &[(Resent, Some(1))]);
    after(|all| all.push(sent("a-01", 9)), &[(Unlogged, None)]);
    after(
        |all| {
            let (first, rest) = all.split_at_mut(1);
            std::mem::swap(&mut first[0].payload, &mut rest[0].payload);
        },
        &[(OtherMessage, Some(1)), (OtherMessage, Some(2))],
    );
}

/// When all that was known of an indicator is over, its versions count from 1 again.
#[test]
fn a_disclosure_that_began_anew_has_several_messages_of_one_version() {
    use FaultKind::{OtherMessage, Resent, Undelivered};
    let mut messages: Vec<Sent> = (0..3).map(|_| sent("a-01", 1)).collect();
    let mut chain = Chain::default();
    let mut entries = Vec::new();
    for (n, message) in messages.iter_mut().enumerate() {
        message.payload.splice(1..1, format!("\"at\":{n},").bytes());
        let salt = String::from_utf8(message.header("dx-salt").clone()).unwrap();
        let mut draft = draft("a-01", 1);
        draft.commitment = commitment(&salt, &message.payload).unwrap();
        draft.output.bytes = message.payload.len() as u64;
        entries.push(append(&mut chain, &Kind::Disclosed, &draft, Timestamp(0)));
    }
    let entries = entries.iter().map(|bytes| ("a-01".as_bytes(), bytes.as_slice(), String::new()));
    let told = verify(entries).told;
    assert_eq!(faults(&told, &messages), []);
    let all = |places: &[usize]| places.iter().map(|&place| messages[place].clone()).collect::<Vec<_>>();
    assert_eq!(faults(&told, &all(&[2, 0, 1])), []);
    assert_eq!(faults(&told, &all(&[0, 2])), [(Undelivered, Some(2))]);
    assert_eq!(faults(&told, &all(&[0, 1, 1, 2])), [(Resent, Some(2))]);
    let mut altered = all(&[0, 1, 2]);
    altered[1].payload.push(b' ');
    assert_eq!(faults(&told, &altered), [(OtherMessage, Some(2))]);
}

#[test]
fn a_head_that_was_kept_shows_what_was_cut_off_or_written_anew() {
    use FaultKind::{Removed, Replaced};
    let against = |kept: &Heads, log: &Log| {
        let entries = log.iter().map(|(key, value)| (key.as_bytes(), value.as_slice(), String::new()));
        named(&verify_against(kept, entries))
    };
    let whole = log(5);
    let kept = check(&whole).heads;
    assert_eq!(against(&kept, &whole), []);
    assert_eq!(against(&kept, &log(9)), [], "what came later");
    let mut short = whole.clone();
    short.truncate(6);
    assert_eq!(against(&kept, &short), [at(Removed, "a-01", 4), at(Removed, "b-01", 4)]);
    short.retain(|(key, _)| key == "a-01");
    assert_eq!(against(&kept, &short), [at(Removed, "a-01", 4), at(Removed, "b-01", 1)]);
    // Both what is missing in between and at the end.
    let mut gaps = whole.clone();
    gaps.remove(place(&gaps, "a-01", 2));
    gaps.remove(place(&gaps, "a-01", 5));
    assert_eq!(against(&kept, &gaps), [at(Removed, "a-01", 2), at(Removed, "a-01", 5)]);
    // Another chain altogether, sound in itself.
    let mut other = log(5);
    let mut chain = Chain::default();
    for n in 1..=5 {
        let mut draft = draft("a-01", n);
        draft.risk = 10;
        let p = place(&other, "a-01", n);
        other[p].1 = append(&mut chain, &Kind::Disclosed, &draft, Timestamp(0));
    }
    assert_eq!(named(&check(&other)), []);
    assert_eq!(against(&kept, &other), [at(Replaced, "a-01", 5)]);
}

#[test]
fn a_commitment_needs_a_salt() {
    assert_eq!(commitment("", b"x"), None);
    assert_eq!(commitment("xyz", b"x"), None);
    let salt = "00".repeat(32);
    assert_ne!(commitment(&salt, b"x"), commitment(&salt, b"y"));
    assert_ne!(commitment(&salt, b"x"), commitment(&"11".repeat(32), b"x"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// I13: any changed byte of any entry is found, and named with its agreement.
    #[test]
    fn any_changed_byte_shows(entry in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), mask in 1..=255_u8) {
        let mut log = log(4);
        let entry = entry.index(log.len());
        let value = &mut log[entry].1;
        let byte = byte.index(value.len());
        value[byte] ^= mask;
        let report = check(&log);
        prop_assert!(!report.faults.is_empty());
        prop_assert!(report.faults.iter().all(|fault| fault.agreement == log[entry].0), "{:?}", report.faults);
    }

    /// I13: any removal is named, but for those at the end.
    #[test]
    fn any_removal_shows(gone in prop::collection::btree_set(1..9_u64, 1..5)) {
        let mut log = log(10);
        for &seq in &gone {
            log.remove(place(&log, "a-01", seq));
        }
        let runs: BTreeSet<u64> = gone.iter().copied().filter(|seq| !gone.contains(&(seq - 1))).collect();
        let report = check(&log);
        let named: BTreeSet<u64> = report.faults.iter().filter_map(|fault| fault.seq).collect();
        prop_assert_eq!(named, runs);
        prop_assert!(report.faults.iter().all(|fault| fault.kind == FaultKind::Removed));
    }

    /// I13: any other order shows.
    #[test]
    fn any_reordering_shows(order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let log = log(6);
        let own: Vec<_> = log.iter().filter(|(key, _)| key == "a-01").cloned().collect();
        let shuffled: Log = order.iter().map(|&index| own[index].clone()).collect();
        let report = check(&shuffled);
        let is_sorted = order.is_sorted();
        prop_assert_eq!(report.faults.is_empty(), is_sorted);
        prop_assert!(report.faults.iter().all(|fault| fault.kind == FaultKind::Moved));
    }

    #[test]
    fn nothing_panics(values in prop::collection::vec((".{0,4}", prop::collection::vec(any::<u8>(), 0..80)), 0..6)) {
        let report = verify(values.iter().map(|(key, value)| (key.as_bytes(), value.as_slice(), String::new())));
        prop_assert_eq!(report.entries, values.len() as u64);
    }
}
