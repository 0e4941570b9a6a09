//! `tests/verify.py`, which knows only what is published, over real ledgers: what was altered, removed,
//! reordered, swapped or added is named where it is, and `ledger verify` says the same.
//!
//! Everybody else who has a ledger and its messages at hand can have them looked at by [`over`].

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::instance::Site;
use crate::ledger::{AGREEMENT, Export, LEDGER, Verdict};
use crate::program::{HUB, Line, VENDOR};

/// What the verifier says of these exports together: lines as `ledger export` and `enrich` write them,
/// of the ledger and of the audience topics.
pub(crate) fn over(exports: &[&Path], args: &[&str]) -> Verdict {
    let ran = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify.py"))
        .args(args)
        .args(exports)
        .stdin(Stdio::null())
        .output()
        .expect("python3 is there: tests/install sees to it");
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    Verdict { code: ran.status.code().expect("no signal"), text: String::from_utf8(ran.stdout).unwrap() }
}

/// What the verifier says of the topics of a pipeline on a cluster, through `ledger export`.
pub(crate) fn over_topics(site: &Site) -> Verdict {
    let exported = site.sightline(&["ledger", "export"], &[]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    over_texts(&[String::from_utf8(exported.stdout).unwrap()], &[])
}

fn over_texts(texts: &[String], args: &[&str]) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().join("export.ndjson");
    std::fs::write(&export, texts.join("\n")).unwrap();
    over(&[&export], args)
}

impl Verdict {
    /// Checks that nothing was found in so many entries and messages.
    #[track_caller]
    pub(crate) fn check_sound(&self, entries: u64, messages: u64) {
        let end = format!("{entries} entries, {messages} messages: sound");
        assert!(self.code == 0 && self.text.lines().any(|line| line == end), "not {end}:\n{}", self.text);
        assert_eq!(self.faults(), [""; 0]);
    }
}

/// What of an export the verifiers look at: the ledger and the audience topics.
fn relevant(export: &Export) -> Vec<Line> {
    let is_told = |line: &&Line| line.topic == LEDGER || line.header("dx-disclosure-id").is_some();
    export.lines.iter().filter(is_told).cloned().collect()
}

fn texts(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| line.text.clone()).collect()
}

/// A line as an export has it.
fn line(topic: &str, key: &str, headers: &Value, value: &str) -> String {
    format!(r#"{{"topic":"{topic}","key":"{key}","headers":{headers},"value":{value}}}"#)
}

#[test]
fn what_is_sound_is_sound() {
    let export = Export::new();
    let lines = relevant(&export);
    let (entries, messages): (Vec<Line>, Vec<Line>) =
        lines.iter().cloned().partition(|line| line.topic == LEDGER);
    assert!(messages.len() >= 40, "{}", messages.len());
    let counts = (entries.len() as u64, messages.len() as u64);
    let whole = over_texts(&texts(&lines), &[]);
    whole.check_sound(counts.0, counts.1);
    // All that `enrich` wrote, leads and dead letters too, makes no difference.
    assert_eq!(over_texts(&export.texts(), &[]).text, whole.text);
    // Nor in several files, as the demonstration leaves them.
    let folder = tempfile::tempdir().unwrap();
    let paths = ["ledger.ndjson", "messages.ndjson"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], texts(&entries).join("\n")).unwrap();
    std::fs::write(&paths[1], texts(&messages).join("\n") + "\n").unwrap();
    assert_eq!(over(&[&paths[1], &paths[0]], &[]).text, whole.text);
    // Heads are the same, to the letter.
    let ours = export.verify(&texts(&lines), &[]);
    assert_eq!(ours.heads(), whole.heads());
    let chains: BTreeSet<&str> = entries.iter().filter_map(|line| line.key.as_deref()).collect();
    assert!(chains.len() >= 3 && whole.heads().len() == chains.len(), "{}", whole.text);
    // Without messages they are missing, unless nobody looks for them.
    assert_eq!(over(&[&paths[0]], &[]).faults().len(), messages.len());
    assert_eq!(over(&[&paths[0]], &["--entries-only"]).code, 0);
}

/// The example of the documentation, as whoever writes a verifier would try it.
#[test]
fn the_example_of_the_schema_is_sound_and_altered_it_is_not() {
    let export = Export::new();
    let ran = export.world.run(&["schema", "ledger"], b"");
    let schema: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let example = &schema["x-example"];
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut lines: Vec<String> = example["values"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|value| line("ledger", &text(&example["key"]), &json!([]), &text(value)))
        .collect();
    let message = &example["message"];
    lines.push(line(
        &text(&message["topic"]),
        &text(&message["key"]),
        &message["headers"],
        &text(&message["value"]),
    ));
    let sound = over_texts(&lines, &[]);
    sound.check_sound(2, 1);
    let head = format!("unit-01: 2 entries, head {}", text(&example["head"]["hash"]));
    assert_eq!(sound.heads(), [head.as_str()]);
    assert_eq!(export.verify(&lines, &[]).heads(), [head.as_str()]);
    assert_eq!(export.verify(&lines, &[]).code, 0);
    // Every header of a message counts, and is one that the rules speak of.
    let rules = text(&schema["description"]);
    for (name, value) in &lines_of(&lines[2]).headers {
        assert!(rules.contains(&format!("`{name}`")), "nobody is told of {name}");
        let mut altered = lines.clone();
        altered[2] = altered[2].replace(&json!([name, value]).to_string(), &json!([name, "x"]).to_string());
        assert_ne!(altered, lines);
        assert_eq!((over_texts(&altered, &[]).code, export.verify(&altered, &[]).code), (1, 1), "{name}");
    }
    // And those of the example are those that messages have.
    let names = |line: &Line| line.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let real = export.lines.iter().find(|line| line.topic == HUB).expect("a message");
    assert_eq!(names(&lines_of(&lines[2])), names(real));
}

fn lines_of(text: &str) -> Line {
    crate::program::lines(text.as_bytes()).remove(0)
}

/// Tampers with an export, and sees what both verifiers say.
struct Bench {
    export: Export,
    lines: Vec<Line>,
}

impl Bench {
    fn new() -> Self {
        let export = Export::new();
        let lines = relevant(&export);
        Self { export, lines }
    }

    /// Where entry `seq` of an agreement stands.
    fn entry(&self, agreement: &str, seq: u64) -> usize {
        let is_it = |line: &Line| {
            line.topic == LEDGER && line.key.as_deref() == Some(agreement) && line.json()["seq"] == seq
        };
        self.lines.iter().position(is_it).expect("an entry")
    }

    /// Where the message of entry `seq` of the agreement stands.
    fn message(&self, seq: u64) -> usize {
        let entry = self.lines[self.entry(AGREEMENT, seq)].json();
        let is_it = |line: &Line| {
            line.header("dx-disclosure-id") == entry["disclosure_id"].as_str()
                && line.header("dx-version") == Some(&entry["disclosure_version"].to_string())
        };
        self.lines.iter().position(is_it).expect("a message")
    }

    /// Checks that both find something, and this one exactly what is named: the beginnings of lines.
    #[track_caller]
    fn check(&self, tamper: impl FnOnce(&mut Vec<String>), named: &[String]) {
        let mut texts = texts(&self.lines);
        tamper(&mut texts);
        let verdict = over_texts(&texts, &[]);
        let faults = verdict.faults();
        assert_eq!(faults.len(), named.len(), "{}", verdict.text);
        for (fault, start) in faults.iter().zip(named) {
            assert!(fault.starts_with(start.as_str()), "{fault}\nis not {start}");
        }
        assert_eq!((verdict.code, self.export.verify(&texts, &[]).code), (1, 1));
    }
}

#[test]
fn each_tampering_is_named_where_it_is() {
    let bench = Bench::new();
    let entry = |kind: &str, seq: u64| format!("{kind}: {AGREEMENT} entry {seq}, ");
    let (fifth, sixth) = (bench.entry(AGREEMENT, 5), bench.entry(AGREEMENT, 6));
    let (hub, message) = (bench.entry("dxa-hub-01", 7), bench.message(5));
    let value = |at: usize| String::from_utf8(bench.lines[at].value.clone().unwrap()).unwrap();
    let put = |texts: &mut Vec<String>, at: usize, old: &str, new: &str| {
        assert_eq!(texts[at].matches(old).count(), 1, "{old} in {}", texts[at]);
        texts[at] = texts[at].replace(old, new);
    };
    // Altered.
    bench.check(|texts| put(texts, fifth, r#""risk":"#, r#""risk":1"#), &[entry("changed", 5)]);
    bench.check(
        |texts| put(texts, message, r#""verdict":"malicious""#, r#""verdict":"maliciouz""#),
        &[entry("other-message", 5), entry("undelivered", 5)],
    );
    bench.check(
        |texts| put(texts, message, r#"["dx-tlp","GREEN"]"#, r#"["dx-tlp","CLEAR"]"#),
        &[entry("other-message", 5)],
    );
    // Altered, and made whole again: the next one betrays it.
    let forge = |texts: &mut Vec<String>| {
        let value = value(fifth);
        let (body, _) = value.split_once(r#","hash":""#).unwrap();
        let body = body.replace(r#""recipient":"org:northwind""#, r#""recipient":"org:southwind""#);
        let digest = hex::encode(Sha256::digest(format!("{body}}}")));
        put(texts, fifth, &value, &format!(r#"{body},"hash":"{digest}"}}"#));
    };
    bench.check(forge, &[entry("replaced", 5)]);
    // Removed.
    bench.check(|texts| drop(texts.remove(fifth)), &[entry("removed", 5), "unlogged: , ".to_owned()]);
    bench.check(|texts| drop(texts.remove(message)), &[entry("undelivered", 5)]);
    // Reordered.
    bench.check(|texts| texts.swap(fifth, sixth), &[entry("moved", 5)]);
    // Swapped: two agreements' entries, two messages' contents, their keys.
    bench.check(
        |texts| {
            let (ours, theirs) = (value(fifth), value(hub));
            put(texts, fifth, &ours, &theirs);
            put(texts, hub, &theirs, &ours);
        },
        &[
            "foreign: ".to_owned(),
            "foreign: ".to_owned(),
            "removed: dxa-hub-01 entry 7, ".to_owned(),
            entry("removed", 5),
            "unlogged: , ".to_owned(),
            "unlogged: , ".to_owned(),
        ],
    );
    let other = bench.message(6);
    let both = |kind: &str| {
        let mut both = [(message, entry(kind, 5)), (other, entry(kind, 6))];
        both.sort();
        both.map(|(_, named)| named)
    };
    bench.check(
        |texts| {
            let (five, six) = (value(message), value(other));
            put(texts, message, &five, &six);
            put(texts, other, &six, &five);
        },
        &[both("other-message"), [entry("undelivered", 5), entry("undelivered", 6)]].concat(),
    );
    bench.check(
        |texts| {
            let key = |at: usize| format!(r#""key":"{}","#, bench.lines[at].key.as_deref().unwrap());
            assert_ne!(key(message), key(other), "two disclosures");
            put(texts, message, &key(message), &key(other));
            put(texts, other, &key(other), &key(message));
        },
        &both("other-message"),
    );
    // On another audience's topic.
    bench.check(
        |texts| put(texts, message, &format!(r#""topic":"{VENDOR}""#), &format!(r#""topic":"{HUB}""#)),
        &[entry("other-message", 5)],
    );
    // Added: an entry again, a message again, one of a disclosure that is nobody's, one of none.
    bench.check(|texts| texts.push(texts[fifth].clone()), &[entry("twice", 5)]);
    bench.check(|texts| texts.push(texts[message].clone()), &[entry("resent", 5)]);
    let id = bench.lines[message].header("dx-disclosure-id").unwrap();
    bench
        .check(|texts| texts.push(texts[message].replace(id, &"0".repeat(32))), &["unlogged: , ".to_owned()]);
    bench.check(|texts| texts.push(line(VENDOR, "k", &json!([]), "{}")), &["unlogged: , ".to_owned()]);
}

/// A dead letter keeps the headers that it came with, whoever wrote them; it is on no audience's topic.
#[test]
fn what_a_reporter_writes_in_headers_is_no_message() {
    let bench = Bench::new();
    let headers = json!([["dx-disclosure-id", "0"], ["sightline.error.code", "not-json"]]);
    let mut texts = texts(&bench.lines);
    texts.push(line("sightline.dead-letters", "k", &headers, "{}"));
    assert_eq!(over_texts(&texts, &[]).code, 0);
    assert_eq!(bench.export.verify(&texts, &[]).code, 0);
    // On an audience's topic it is one that nobody wrote down, whatever it says.
    texts.push(line(VENDOR, "k", &headers, "{}"));
    assert_eq!(over_texts(&texts, &[]).faults().len(), 1);
    assert_eq!(bench.export.verify(&texts, &[]).faults().len(), 1);
}

#[test]
fn tampering_at_random_is_found_by_both() {
    const TRIES: usize = 75;
    let bench = Bench::new();
    let mut random = Pcg64::seed_from_u64(0x5eed);
    let mut found = [0; 5];
    for number in 0..TRIES {
        let mut texts = texts(&bench.lines);
        let how = number % found.len();
        let at = random.random_range(0..texts.len());
        let is_entry = bench.lines[at].topic == LEDGER;
        let mut places = vec![at];
        match how {
            // A byte of a key, of headers or of a value.
            0 | 1 => {
                let from = texts[at].find(r#""key":"#).expect("a key");
                let place = random.random_range(from..texts[at].len());
                let mut bytes = texts[at].clone().into_bytes();
                let old = bytes[place];
                while bytes[place] == old {
                    bytes[place] = random.random_range(b' '..=b'~');
                }
                texts[at] = String::from_utf8(bytes).expect("ASCII in ASCII");
            }
            2 => {
                // One that is no chain's last, which is another test.
                let heads = bench.export.verify(&texts, &[]).text;
                let is_last = is_entry && heads.contains(bench.lines[at].json()["hash"].as_str().unwrap());
                if is_last {
                    continue;
                }
                texts.remove(at);
            }
            // Two values, of whatever topics.
            3 => {
                let other = random.random_range(0..texts.len());
                let value = |at: usize| String::from_utf8(bench.lines[at].value.clone().unwrap()).unwrap();
                if value(at) == value(other) {
                    continue;
                }
                texts[at] = texts[at].replace(&value(at), &value(other));
                texts[other] = texts[other].replace(&value(other), &value(at));
                places.push(other);
            }
            _ => texts.insert(random.random_range(0..=texts.len()), texts[at].clone()),
        }
        let (theirs, ours) = (over_texts(&texts, &[]), export_verdict(&bench, &texts));
        assert_eq!(
            (theirs.code, ours.code),
            (1, 1),
            "try {number}: {how} at {at}\n{}\n{}",
            theirs.text,
            ours.text
        );
        // Named: by the entry that it is or belongs to, or by the line where it stands.
        for place in places {
            let names = names_of(&bench.lines[place], place);
            let is_named = |text: &str| names.iter().any(|name| text.contains(name.as_str()));
            assert!(is_named(&theirs.text), "try {number}: {names:?} not in\n{}", theirs.text);
            assert!(is_named(&ours.text), "try {number}: {names:?} not in\n{}", ours.text);
        }
        found[how] += 1;
    }
    assert!(found.iter().all(|&n| n >= 10), "{found:?}");
}

fn export_verdict(bench: &Bench, texts: &[String]) -> Verdict {
    bench.export.verify(texts, &[])
}

/// By what a line may be named.
fn names_of(line: &Line, place: usize) -> Vec<String> {
    let mut names = vec![format!("line {}:", place + 1)];
    if line.topic == LEDGER {
        let entry = line.json();
        names.push(format!("{} entry {},", line.key.as_deref().unwrap(), entry["seq"]));
        names.push(entry["disclosure_id"].as_str().unwrap().to_owned());
    } else {
        let (agreement, _) = line.header("dx-agreement").unwrap().split_once('@').unwrap();
        names.push(format!(": {agreement} entry "));
    }
    names
}

/// Neither can see by itself that the end is gone, or that all is new; both see it by a head.
#[test]
fn what_only_a_head_that_was_kept_shows() {
    let bench = Bench::new();
    let whole = texts(&bench.lines);
    let kept = bench.export.verify(&whole, &[]);
    let heads = bench.export.world.path("heads.txt");
    let path = heads.to_str().unwrap();
    // Each takes what the other printed.
    std::fs::write(&heads, &over_texts(&whole, &[]).text).unwrap();
    assert_eq!(bench.export.verify(&whole, &["--heads", path]).code, 0);
    std::fs::write(&heads, &kept.text).unwrap();
    assert_eq!(over_texts(&whole, &["--heads", path]).code, 0);

    let chain: Vec<usize> = (0..whole.len())
        .filter(|&at| bench.lines[at].topic == LEDGER && bench.lines[at].key.as_deref() == Some(AGREEMENT))
        .collect();
    let n = chain.len() as u64;
    let check = |texts: &[String], named: &str| {
        for args in [&[][..], &["--heads", path]] {
            let (ours, theirs) = (bench.export.verify(texts, args), over_texts(texts, args));
            let named: &[&str] = if args.is_empty() { &[] } else { &[named] };
            for verdict in [&ours, &theirs] {
                assert_eq!(verdict.faults().len(), named.len(), "{}", verdict.text);
                let faults = verdict.faults();
                assert!(
                    faults.iter().zip(named).all(|(fault, start)| fault.starts_with(start)),
                    "{faults:?}"
                );
                assert_eq!(verdict.code, i32::from(!named.is_empty()));
            }
            assert_eq!(ours.text.contains("not seen by this check: "), args.is_empty(), "{}", ours.text);
        }
    };
    // The last three, and their messages.
    let gone: Vec<usize> =
        (n - 2..=n).flat_map(|seq| [bench.entry(AGREEMENT, seq), bench.message(seq)]).collect();
    let left = |gone: &dyn Fn(usize) -> bool| {
        whole
            .iter()
            .enumerate()
            .filter(|(at, _)| !gone(*at))
            .map(|(_, text)| text.clone())
            .collect::<Vec<_>>()
    };
    check(&left(&|at| gone.contains(&at)), &format!("removed: {AGREEMENT} entry {}, ", n - 2));
    // All of one agreement.
    let is_its = |at: usize| chain.contains(&at) || bench.lines[at].topic == VENDOR;
    check(&left(&is_its), &format!("removed: {AGREEMENT} entry 1, "));
    // Written anew from the fourth on, with another risk in it.
    let mut anew = whole.clone();
    let mut before = String::new();
    for (&at, seq) in chain.iter().zip(1..) {
        let value = String::from_utf8(bench.lines[at].value.clone().unwrap()).unwrap();
        let entry: Value = serde_json::from_str(&value).unwrap();
        let (body, _) = value.split_once(r#","hash":""#).unwrap();
        let mut body = body.to_owned();
        if seq == 4 {
            body = body.replace(r#""provider":""#, r#""provider":"not-"#);
        }
        if seq > 4 {
            body = body.replace(entry["prev"].as_str().unwrap(), &before);
        }
        before = hex::encode(Sha256::digest(format!("{body}}}")));
        anew[at] = anew[at].replace(&value, &format!(r#"{body},"hash":"{before}"}}"#));
    }
    check(&anew, &format!("replaced: {AGREEMENT} entry {n}, "));
    // A file in which there is no head, or a broken one, is refused, not passed over.
    for text in ["nothing\n", "dxa-hub-01: 12 entries, head 5f\n", "dxa-hub-01: x entries, head 00\n"] {
        std::fs::write(&heads, text).unwrap();
        let ran =
            bench.export.world.run(&["ledger", "verify", "-", "--heads", path], whole.join("\n").as_bytes());
        assert!(ran.code != 0 && ran.stderr.contains("head"), "{text}: {}", ran.stderr);
    }
}
