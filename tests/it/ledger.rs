//! `sightline ledger verify` over an export: what was changed, removed, moved or swapped is named, down
//! to the byte; and what no check can see is said.

use sha2::{Digest as _, Sha256};

use crate::program::{HUB, Line, VENDOR, World, sightings, written};

pub(crate) const LEDGER: &str = "sightline.ledger";
pub(crate) const AGREEMENT: &str = "dxa-northwind-01";

/// An export of `enrich`, to be tampered with.
pub(crate) struct Export {
    pub(crate) world: World,
    pub(crate) lines: Vec<Line>,
}

/// What a verifier said.
pub(crate) struct Verdict {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Verdict {
    /// The lines that name a fault.
    pub(crate) fn faults(&self) -> Vec<&str> {
        let is_fault = |line: &&str| !line.contains(" entries, ") && !line.starts_with("not seen by");
        self.text.lines().filter(is_fault).filter(|line| !line.starts_with("compared with ")).collect()
    }

    /// The lines that say the head of a chain.
    pub(crate) fn heads(&self) -> Vec<&str> {
        self.text.lines().filter(|line| line.contains(" entries, head ")).collect()
    }
}

impl Export {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let lines = world.enrich("raw.native", &written(&sightings(60, 300, 30)));
        let export = Self { world, lines };
        assert!(export.chain(AGREEMENT).len() >= 10 && export.chain("dxa-hub-01").len() >= 10);
        export
    }

    /// Where the entries of an agreement stand.
    pub(crate) fn chain(&self, agreement: &str) -> Vec<usize> {
        let is_entry = |line: &Line| line.topic == LEDGER && line.key.as_deref() == Some(agreement);
        (0..self.lines.len()).filter(|at| is_entry(&self.lines[*at])).collect()
    }

    /// Where the messages on a topic stand.
    pub(crate) fn messages(&self, topic: &str) -> Vec<usize> {
        (0..self.lines.len()).filter(|at| self.lines[*at].topic == topic).collect()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.text.clone()).collect()
    }

    pub(crate) fn verify(&self, texts: &[String], args: &[&str]) -> Verdict {
        let ran = self.world.run(&[&["ledger", "verify", "-"], args].concat(), texts.join("\n").as_bytes());
        assert_eq!(ran.stderr, "");
        Verdict { code: ran.code, text: ran.text().to_owned() }
    }

    /// Checks that what `tamper` does is named so, and nothing else is.
    #[track_caller]
    fn check(&self, tamper: impl FnOnce(&mut Vec<String>), named: &[String]) {
        let mut texts = self.texts();
        tamper(&mut texts);
        assert_ne!(texts, self.texts());
        let verdict = self.verify(&texts, &[]);
        let faults = verdict.faults();
        assert_eq!(faults.len(), named.len(), "{}", verdict.text);
        for (fault, start) in faults.iter().zip(named) {
            assert!(fault.starts_with(start.as_str()), "{fault}\nis not {start}");
        }
        assert_eq!(verdict.code, 1);
    }
}

#[track_caller]
fn replace(texts: &mut [String], at: usize, old: &str, new: &str) {
    assert_eq!(texts[at].matches(old).count(), 1, "{old} in {}", texts[at]);
    texts[at] = texts[at].replace(old, new);
}

#[test]
fn a_sound_export_is_sound() {
    let export = Export::new();
    let verdict = export.verify(&export.texts(), &[]);
    assert_eq!(verdict.code, 0, "{}", verdict.text);
    let chain = export.chain(AGREEMENT);
    let last = export.lines[*chain.last().unwrap()].json();
    let head = format!("{AGREEMENT}: {} entries, head {}\n", chain.len(), last["hash"].as_str().unwrap());
    assert!(verdict.text.contains(&head), "{}", verdict.text);
    assert!(verdict.text.contains(": sound\nnot seen by this check: "), "{}", verdict.text);
    // With the pipeline's names for the topics, and from a file, the same is said.
    std::fs::write(export.world.path("export.jsonl"), export.texts().join("\n")).unwrap();
    let args = ["ledger", "verify", "export.jsonl", "--pipeline", "asean.toml"];
    let ran = export.world.run(&args, b"");
    assert_eq!((ran.code, ran.text()), (0, verdict.text.as_str()));
    // Entries alone, as they stand on the topic.
    let entries: Vec<String> = export
        .chain(AGREEMENT)
        .into_iter()
        .map(|at| String::from_utf8(export.lines[at].value.clone().unwrap()).unwrap())
        .collect();
    let alone = export.verify(&entries, &[]);
    assert_eq!(alone.code, 0);
    assert!(alone.text.starts_with(&head), "{}", alone.text);
}

#[test]
fn every_tampering_with_entries_is_named() {
    let export = Export::new();
    let chain = export.chain(AGREEMENT);
    let last = chain.len() - 1;
    let line = |at: usize| at + 1;
    for n in [0, 4, last] {
        let at = chain[n];
        let named = |kind: &str| format!("{kind}: {AGREEMENT} entry {}, line {}:", n + 1, line(at));
        let alter = |texts: &mut Vec<String>| {
            replace(texts, at, r#""recipient":"org:northwind""#, r#""recipient":"org:southwind""#);
        };
        export.check(alter, &[named("changed")]);
        // Given to another agreement's chain.
        let hub = format!("foreign: dxa-hub-01 entry {}, line {}:", n + 1, line(at));
        let missing = format!("removed: {AGREEMENT} entry {}, :", n + 1);
        let rekey = |texts: &mut Vec<String>| {
            replace(texts, at, r#""key":"dxa-northwind-01""#, r#""key":"dxa-hub-01""#);
        };
        let mut texts = export.texts();
        rekey(&mut texts);
        let verdict = export.verify(&texts, &[]);
        assert_eq!(verdict.code, 1);
        assert!(verdict.text.starts_with(&hub), "{}", verdict.text);
        assert_eq!(verdict.text.contains(&missing), n != last, "{}", verdict.text);
    }
    let message = export.messages(VENDOR)[4];
    // An entry that is gone leaves a message that nobody wrote down.
    export.check(
        |texts| drop(texts.remove(chain[4])),
        &[format!("removed: {AGREEMENT} entry 5, :"), format!("unlogged: , line {}:", line(message) - 1)],
    );
    export.check(
        |texts| texts.swap(chain[4], chain[5]),
        &[
            format!("moved: {AGREEMENT} entry 5, line {}:", line(chain[5])),
            format!("moved: {AGREEMENT} entry 6, line {}:", line(chain[4])),
        ],
    );
    export.check(
        |texts| texts.insert(chain[4], texts[chain[4]].clone()),
        &[format!("twice: {AGREEMENT} entry 5, line {}:", line(chain[4]) + 1)],
    );
    // Whoever changes an entry and its digest too is betrayed by the next one.
    let forge = |texts: &mut Vec<String>| {
        let value = String::from_utf8(export.lines[chain[4]].value.clone().unwrap()).unwrap();
        let (body, _) = value.split_once(r#","hash":""#).unwrap();
        let body = body.replace(r#""recipient":"org:northwind""#, r#""recipient":"org:southwind""#) + "}";
        let digest = hex::encode(Sha256::digest(&body));
        let forged = format!(r#"{},"hash":"{digest}"}}"#, body.strip_suffix('}').unwrap());
        replace(texts, chain[4], &value, &forged);
    };
    export.check(forge, &[format!("replaced: {AGREEMENT} entry 5, line {}:", line(chain[4]))]);
}

#[test]
fn every_byte_of_an_entry_counts() {
    let export = Export::new();
    let texts: Vec<String> =
        export.chain(AGREEMENT).iter().take(3).map(|at| export.lines[*at].text.clone()).collect();
    assert_eq!(export.verify(&texts, &[]).code, 0);
    let (from, length) = (texts[1].find(r#""value":"#).unwrap() + 8, texts[1].len() - 1);
    for at in (from..length).step_by(9).chain(length - 70..length - 60) {
        let mut bytes = texts[1].clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let verdict = export.verify(&[texts[0].clone(), changed, texts[2].clone()], &[]);
        assert_eq!(verdict.code, 1, "byte {at} of {}: {}", texts[1], verdict.text);
    }
}

#[test]
fn every_tampering_with_messages_is_named() {
    let export = Export::new();
    let messages = export.messages(VENDOR);
    let at = messages[4];
    let entry = |kind: &str, line: &str| format!("{kind}: {AGREEMENT} entry 5, {line}:");
    let here = format!("line {}", at + 1);
    let alter =
        |texts: &mut Vec<String>| replace(texts, at, r#""verdict":"malicious""#, r#""verdict":"benign""#);
    export.check(alter, &[entry("other-message", &here)]);
    export.check(|texts| drop(texts.remove(at)), &[entry("undelivered", "")]);
    let again = format!("line {}", at + 2);
    export.check(|texts| texts.insert(at, texts[at].clone()), &[entry("resent", &again)]);
    // On another audience's topic.
    export.check(
        |texts| replace(texts, at, r#""topic":"out.northwind.v1""#, &format!(r#""topic":"{HUB}""#)),
        &[entry("other-message", &here)],
    );
    // The order of a topic's messages is not the ledger's to say.
    let mut texts = export.texts();
    texts.swap(messages[4], messages[5]);
    assert_eq!(export.verify(&texts, &[]).code, 0);
    // And where retention has removed them, only entries are looked at.
    let mut texts = export.texts();
    texts.remove(at);
    assert_eq!(export.verify(&texts, &["--entries-only"]).code, 0);
}

#[test]
fn a_tail_that_was_cut_off_is_not_seen_and_that_is_said() {
    let export = Export::new();
    let (chain, messages) = (export.chain(AGREEMENT), export.messages(VENDOR));
    let gone = [&chain[chain.len() - 3..], &messages[messages.len() - 3..]].concat();
    let left = |(at, line): (usize, &Line)| (!gone.contains(&at)).then(|| line.text.clone());
    let texts: Vec<String> = export.lines.iter().enumerate().filter_map(left).collect();
    let verdict = export.verify(&texts, &[]);
    assert_eq!(verdict.code, 0, "{}", verdict.text);
    assert!(
        verdict.text.contains("not seen by this check: a chain whose last entries were all cut off"),
        "{}",
        verdict.text
    );
    // The head is what would tell.
    let head = |text: &str| text.lines().find(|line| line.starts_with(AGREEMENT)).unwrap().to_owned();
    assert_ne!(head(&verdict.text), head(&export.verify(&export.texts(), &[]).text));
}
