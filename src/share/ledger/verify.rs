//! Checking the ledger: every entry that was changed, removed, moved or put in, by agreement and number.
//!
//! It goes on after each fault, so that several are all named. It can't see what a whole rewritten chain
//! or a tail that was cut off looked like before: for that, somebody else must hold a later digest, and
//! [`Report::heads`] gives what to compare it with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{commitment, split};

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// It is no entry.
    NotAnEntry,
    /// Its bytes are not those that its digest is of.
    Changed,
    /// Its digest is not the one that the next entry names: it was replaced whole.
    Replaced,
    /// It is missing.
    Removed,
    /// It stands at another place than its number says.
    Moved,
    /// Its number is there twice.
    Twice,
    /// It is another agreement's.
    Foreign,
    /// It stops something that was not disclosed before it.
    StopsNothing,
    /// A message without an entry.
    Unlogged,
    /// A message that is not the one of its entry.
    OtherMessage,
    /// A second message for one entry.
    Resent,
    /// An entry without its message.
    Undelivered,
}

impl FaultKind {
    /// Kebab-case; never changes its meaning.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAnEntry => "not-an-entry",
            Self::Changed => "changed",
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Twice => "twice",
            Self::Foreign => "foreign",
            Self::StopsNothing => "stops-nothing",
            Self::Unlogged => "unlogged",
            Self::OtherMessage => "other-message",
            Self::Resent => "resent",
            Self::Undelivered => "undelivered",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// In which agreement's chain; empty where it can't be told.
    pub agreement: String,
    /// The entry's number, where it can be told.
    pub seq: Option<u64>,
    /// Where it stands; empty for what is missing.
    pub position: String,
    /// One sentence.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.agreement)?;
        if let Some(seq) = self.seq {
            write!(f, " entry {seq}")?;
        }
        if !self.position.is_empty() {
            write!(f, " at {}", self.position)?;
        }
        write!(f, ": {}", self.text)
    }
}

/// A message that an entry says went out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Under which agreement.
    pub agreement: String,
    /// The entry's number.
    pub seq: u64,
    /// The disclosure.
    pub disclosure_id: String,
    /// Its version.
    pub version: u64,
    /// Of salt and message.
    pub commitment: String,
    /// Where it went.
    pub topic: String,
    /// Whether a later entry says that it was stopped before delivery.
    pub stopped: bool,
}

/// What became of checking a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many entries were read.
    pub entries: u64,
    /// By agreement: the last entry's number and its digest in hex. Compare them with those that
    /// somebody else holds.
    pub heads: BTreeMap<String, (u64, String)>,
    /// All that is wrong, by agreement and number.
    pub faults: Vec<Fault>,
    /// What went out, for [`verify_messages`].
    pub told: Vec<Told>,
    /// What this check can't see.
    pub note: &'static str,
}

const NOTE: &str = "a chain whose last entries were all cut off, or that was rewritten whole from some \
                    entry on, looks sound: compare the heads with digests that somebody else holds";

/// What of an entry is needed here.
#[derive(Deserialize)]
struct Read {
    kind: String,
    disclosure_id: String,
    disclosure_version: u64,
    seq: u64,
    prev: String,
    agreement: ReadAgreement,
    commitment: String,
    output: ReadOutput,
    #[serde(default)]
    stops: Option<u64>,
}

#[derive(Deserialize)]
struct ReadAgreement {
    id: String,
}

#[derive(Deserialize)]
struct ReadOutput {
    topic: String,
}

/// An entry in its chain.
struct Link {
    entry: Read,
    position: String,
    /// As stated.
    hash: String,
    /// Whether the bytes have that digest.
    is_whole: bool,
}

/// Checks entries in the order in which they stand: each with its key (the agreement's id), its bytes,
/// and where it stands in words.
pub fn verify<'a>(entries: impl IntoIterator<Item = (&'a [u8], &'a [u8], String)>) -> Report {
    let mut faults = Vec::new();
    let mut chains: BTreeMap<String, Vec<Link>> = BTreeMap::new();
    let mut count = 0;
    for (key, value, position) in entries {
        count += 1;
        let agreement = String::from_utf8_lossy(key).into_owned();
        match link(value, position) {
            Ok(link) if link.entry.agreement.id == agreement => {
                chains.entry(agreement).or_default().push(link);
            }
            Ok(link) => {
                let text = format!("it is entry {} of {}", link.entry.seq, link.entry.agreement.id);
                faults.push(Fault {
                    kind: FaultKind::Foreign,
                    agreement,
                    seq: Some(link.entry.seq),
                    position: link.position,
                    text,
                });
            }
            Err((position, text)) => {
                let kind = FaultKind::NotAnEntry;
                faults.push(Fault { kind, agreement, seq: None, position, text });
            }
        }
    }
    let mut report = Report { entries: count, heads: BTreeMap::new(), faults, told: Vec::new(), note: NOTE };
    for (agreement, links) in chains {
        chain(&agreement, links, &mut report);
    }
    report.faults.sort_by(|a, b| (&a.agreement, a.seq, a.kind).cmp(&(&b.agreement, b.seq, b.kind)));
    report
}

fn link(value: &[u8], position: String) -> Result<Link, (String, String)> {
    let entry: Read = match serde_json::from_slice(value) {
        Ok(entry) => entry,
        Err(err) => return Err((position, format!("it can't be read: {err}"))),
    };
    // An entry whose end was changed has no digest; its number still says which it is.
    let (is_whole, hash) = match split(value) {
        Some((body, hash)) => (Sha256::digest(&body).as_slice() == hash, hex::encode(hash)),
        None => (false, String::new()),
    };
    Ok(Link { entry, position, hash, is_whole })
}

fn chain(agreement: &str, links: Vec<Link>, report: &mut Report) {
    let mut fault = |kind, link: &Link, text: String| {
        report.faults.push(Fault {
            kind,
            agreement: agreement.to_owned(),
            seq: Some(link.entry.seq),
            position: link.position.clone(),
            text,
        });
    };
    for link in links.iter().filter(|link| !link.is_whole) {
        fault(FaultKind::Changed, link, "its bytes are not those that its digest is of".to_owned());
    }
    // Among entries of one number, one that the next entry names counts, or else the first.
    let named: BTreeSet<(u64, &str)> =
        links.iter().map(|link| (link.entry.seq.saturating_sub(1), link.entry.prev.as_str())).collect();
    let mut by_seq: BTreeMap<u64, usize> = BTreeMap::new();
    for (index, link) in links.iter().enumerate() {
        let seq = link.entry.seq;
        let is_named = |index: usize| named.contains(&(seq, links[index].hash.as_str()));
        let loser = match by_seq.get(&seq).copied() {
            None => {
                by_seq.insert(seq, index);
                continue;
            }
            Some(first) if is_named(index) && !is_named(first) => {
                by_seq.insert(seq, index);
                first
            }
            Some(_) => index,
        };
        let other = &links[by_seq[&seq]];
        let text = format!("entry {seq} also stands at {}", other.position);
        fault(FaultKind::Twice, &links[loser], text);
    }
    let kept: BTreeSet<usize> = by_seq.values().copied().collect();
    let in_order: Vec<usize> = (0..links.len()).filter(|index| kept.contains(index)).collect();
    for place in displaced(&in_order.iter().map(|&index| links[index].entry.seq).collect::<Vec<_>>()) {
        let near = |place: Option<&usize>, word: &str| {
            place.map(|&index| format!("{word} entry {}", links[index].entry.seq))
        };
        let neighbours: Vec<String> = [
            near(place.checked_sub(1).and_then(|before| in_order.get(before)), "after"),
            near(in_order.get(place + 1), "before"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let text = format!("it stands {}", neighbours.join(" and "));
        fault(FaultKind::Moved, &links[in_order[place]], text);
    }
    let sorted: Vec<&Link> = by_seq.values().map(|&index| &links[index]).collect();
    missing(agreement, &sorted, &mut report.faults);
    replaced(agreement, &sorted, &mut report.faults);
    told(agreement, &sorted, report);
    if let Some(last) = sorted.last() {
        report.heads.insert(agreement.to_owned(), (last.entry.seq, last.hash.clone()));
    }
}

/// Which places hold a number that is not where it belongs: those that are not in every longest
/// increasing run through the list. Of two neighbours that changed places, that is both; of one that
/// moved far, only that one.
fn displaced(numbers: &[u64]) -> Vec<usize> {
    let ends = run_lengths(numbers.iter().copied());
    // From the end, with the order turned round.
    let mut starts = run_lengths(numbers.iter().rev().map(|number| u64::MAX - number));
    starts.reverse();
    let longest = ends.iter().copied().max().unwrap_or(0);
    let is_in_one = |place: usize| ends[place] + starts[place] == longest + 1;
    let mut with_end: BTreeMap<usize, usize> = BTreeMap::new();
    for place in (0..numbers.len()).filter(|&place| is_in_one(place)) {
        *with_end.entry(ends[place]).or_default() += 1;
    }
    (0..numbers.len()).filter(|&place| !is_in_one(place) || with_end[&ends[place]] > 1).collect()
}

/// The length of the longest increasing run that ends at each place.
fn run_lengths(numbers: impl Iterator<Item = u64>) -> Vec<usize> {
    let mut least_end: Vec<u64> = Vec::new();
    numbers
        .map(|number| {
            let length = least_end.partition_point(|&end| end < number);
            if length == least_end.len() {
                least_end.push(number);
            } else {
                least_end[length] = number;
            }
            length + 1
        })
        .collect()
}

/// Numbers that are not there, each run of them as one fault at its first.
fn missing(agreement: &str, sorted: &[&Link], faults: &mut Vec<Fault>) {
    let mut expected = 1;
    for link in sorted {
        let seq = link.entry.seq;
        if seq > expected {
            let text = match seq - expected {
                1 => "it is missing".to_owned(),
                n => format!("it and the next {} are missing, to entry {}", n - 1, seq - 1),
            };
            faults.push(Fault {
                kind: FaultKind::Removed,
                agreement: agreement.to_owned(),
                seq: Some(expected),
                position: String::new(),
                text,
            });
        }
        expected = seq.saturating_add(1);
    }
}

/// Entries that are whole, but not the ones that their neighbours know.
fn replaced(agreement: &str, sorted: &[&Link], faults: &mut Vec<Fault>) {
    let mut found: BTreeMap<u64, (&Link, String)> = BTreeMap::new();
    let is_named_by = |link: &Link, next: Option<&&Link>| {
        next.is_some_and(|next| next.entry.seq == link.entry.seq + 1 && next.entry.prev == link.hash)
    };
    if let Some(first) = sorted.first()
        && first.entry.seq == 1
        && first.is_whole
        && first.entry.prev != "0".repeat(64)
    {
        found.insert(1, (first, "the first entry names one before it".to_owned()));
    }
    for (index, pair) in sorted.windows(2).enumerate() {
        let [link, next] = pair else { continue };
        let is_adjacent = next.entry.seq == link.entry.seq.saturating_add(1);
        // A changed entry is named already, and what it says of its neighbour is worth nothing.
        if !is_adjacent || !next.is_whole || is_named_by(link, Some(next)) {
            continue;
        }
        let text = format!("entry {} names another digest than it has", next.entry.seq);
        let after = sorted.get(index + 2);
        let is_last = after.is_none_or(|after| after.entry.seq != next.entry.seq + 1);
        if is_named_by(next, after) {
            found.entry(link.entry.seq).or_insert((link, text));
        } else if is_last {
            // Nobody vouches for either.
            found.entry(link.entry.seq).or_insert((link, format!("{text}, or that one was replaced")));
            let text = format!(
                "it names another digest than entry {} has, or that one was replaced",
                link.entry.seq
            );
            found.entry(next.entry.seq).or_insert((next, text));
        } else {
            let text = format!("it does not fit entry {}, nor what follows it", link.entry.seq);
            found.entry(next.entry.seq).or_insert((next, text));
        }
    }
    for (link, text) in found.into_values().filter(|(link, _)| link.is_whole) {
        faults.push(Fault {
            kind: FaultKind::Replaced,
            agreement: agreement.to_owned(),
            seq: Some(link.entry.seq),
            position: link.position.clone(),
            text,
        });
    }
}

/// What went out, less what was stopped.
fn told(agreement: &str, sorted: &[&Link], report: &mut Report) {
    let start = report.told.len();
    for link in sorted {
        let entry = &link.entry;
        if entry.kind == "disclosed" {
            report.told.push(Told {
                agreement: agreement.to_owned(),
                seq: entry.seq,
                disclosure_id: entry.disclosure_id.clone(),
                version: entry.disclosure_version,
                commitment: entry.commitment.clone(),
                topic: entry.output.topic.clone(),
                stopped: false,
            });
            continue;
        }
        let Some(stops) = entry.stops else { continue };
        let stopped = report.told[start..]
            .iter_mut()
            .find(|told| told.seq == stops && !told.stopped && told.disclosure_id == entry.disclosure_id);
        match stopped {
            Some(told) => told.stopped = true,
            // What it stops may be missing, which is a fault of its own.
            None if sorted.iter().all(|link| link.entry.seq != stops) && stops < entry.seq => {}
            None => report.faults.push(Fault {
                kind: FaultKind::StopsNothing,
                agreement: agreement.to_owned(),
                seq: Some(entry.seq),
                position: link.position.clone(),
                text: format!("it stops entry {stops}, which is no disclosure of the same, or is stopped"),
            }),
        }
    }
}

/// A message on an audience topic.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The topic that it stands on.
    pub topic: &'a str,
    /// Header `dx-disclosure-id`.
    pub disclosure_id: &'a str,
    /// Header `dx-version`.
    pub version: u64,
    /// Header `dx-salt`.
    pub salt: &'a str,
    /// The value.
    pub payload: &'a [u8],
    /// Where it stands, in words.
    pub position: &'a str,
}

/// Checks messages against what the ledger says went out: each message has one entry, each entry that
/// was not stopped one message. Messages that retention has removed look undelivered.
pub fn verify_messages<'a>(told: &[Told], messages: impl IntoIterator<Item = Message<'a>>) -> Vec<Fault> {
    let mut by_id: BTreeMap<(&str, u64), &Told> = BTreeMap::new();
    for told in told {
        by_id.insert((&told.disclosure_id, told.version), told);
    }
    let mut faults = Vec::new();
    let mut seen: BTreeMap<(&str, u64), &str> = BTreeMap::new();
    for message in messages {
        let key = (message.disclosure_id, message.version);
        let mut fault = |kind, told: Option<&Told>, text: String| {
            faults.push(Fault {
                kind,
                agreement: told.map(|told| told.agreement.clone()).unwrap_or_default(),
                seq: told.map(|told| told.seq),
                position: message.position.to_owned(),
                text,
            });
        };
        let Some(told) = by_id.get(&key).copied() else {
            let text =
                format!("no entry of version {} of disclosure {}", message.version, message.disclosure_id);
            fault(FaultKind::Unlogged, None, text);
            continue;
        };
        if told.stopped {
            fault(FaultKind::Unlogged, Some(told), "its entry was stopped before delivery".to_owned());
        } else if commitment(message.salt, message.payload).as_deref() != Some(&told.commitment) {
            fault(FaultKind::OtherMessage, Some(told), "it is not the message of its entry".to_owned());
        } else if told.topic != message.topic {
            let text = format!("its entry says the topic {}", told.topic);
            fault(FaultKind::OtherMessage, Some(told), text);
        } else if let Some(first) = seen.get(&key) {
            fault(FaultKind::Resent, Some(told), format!("it is there already, at {first}"));
        }
        seen.entry(key).or_insert(message.position);
    }
    for told in told.iter().filter(|told| !told.stopped) {
        if !seen.contains_key(&(told.disclosure_id.as_str(), told.version)) {
            faults.push(Fault {
                kind: FaultKind::Undelivered,
                agreement: told.agreement.clone(),
                seq: Some(told.seq),
                position: String::new(),
                text: "no message of it is there".to_owned(),
            });
        }
    }
    faults
}
