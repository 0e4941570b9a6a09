//! Checking the ledger: every entry that was changed, removed, moved or put in, by agreement and number.
//!
//! It goes on after each fault, so that several are all named. It can't see that a tail was cut off, or
//! that a chain was written anew from some entry on, but against a head that somebody else kept
//! ([`verify_against`]); [`Report::heads`] is what to keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{AgreementRef, Output, commitment, split};
use crate::sighting::{Pap, Tlp};

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// It is no entry.
    NotAnEntry,
    /// Its bytes are not those that its digest is of.
    Changed,
    /// Its digest is not the one that the next entry names, or that a head kept elsewhere has: it was
    /// replaced whole.
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
    /// Its key there.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// The headers that repeat what the entry says, by name.
    pub headers: BTreeMap<&'static str, String>,
    /// Whether a later entry says that it was stopped before delivery.
    pub stopped: bool,
}

/// By agreement: an entry's number and its digest in lower-case hex.
pub type Heads = BTreeMap<String, (u64, String)>;

/// What became of checking a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many entries were read.
    pub entries: u64,
    /// By agreement: the last entry's number and its digest in hex. What to keep elsewhere, for
    /// [`verify_against`].
    pub heads: Heads,
    /// All that is wrong, by agreement and number.
    pub faults: Vec<Fault>,
    /// What went out, for [`verify_messages`].
    pub told: Vec<Told>,
    /// What this check can't see.
    pub note: &'static str,
}

const NOTE: &str = "a chain whose last entries were all cut off, or that was rewritten whole from some \
                    entry on, looks sound but to one who kept a head of it elsewhere (--heads)";

/// What of an entry is needed here.
#[derive(Deserialize)]
struct Read {
    kind: String,
    disclosure_id: String,
    disclosure_version: u64,
    seq: u64,
    prev: String,
    agreement: AgreementRef,
    commitment: String,
    output: Output,
    tlp: Tlp,
    pap: Pap,
    #[serde(default)]
    stops: Option<u64>,
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
    verify_against(&Heads::new(), entries)
}

/// The same, and against heads that were kept elsewhere: what a chain lacks up to its head, or has
/// instead of it, is named too.
pub fn verify_against<'a>(
    kept: &Heads,
    entries: impl IntoIterator<Item = (&'a [u8], &'a [u8], String)>,
) -> Report {
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
    for agreement in kept.keys() {
        chains.entry(agreement.clone()).or_default();
    }
    for (agreement, links) in chains {
        chain(&agreement, links, kept.get(&agreement), &mut report);
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

fn chain(agreement: &str, links: Vec<Link>, head: Option<&(u64, String)>, report: &mut Report) {
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
    missing(agreement, &sorted, head.map_or(0, |(seq, _)| *seq), &mut report.faults);
    replaced(agreement, &sorted, head, &mut report.faults);
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

/// Numbers that are not there, up to `least` at least, each run of them as one fault at its first.
fn missing(agreement: &str, sorted: &[&Link], least: u64, faults: &mut Vec<Fault>) {
    let mut expected = 1;
    // Behind the last one there would be the next, or what the head that was kept says.
    let end = sorted.last().map_or(0, |link| link.entry.seq).max(least).saturating_add(1);
    for seq in sorted.iter().map(|link| link.entry.seq).chain([end]) {
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
fn replaced(agreement: &str, sorted: &[&Link], head: Option<&(u64, String)>, faults: &mut Vec<Fault>) {
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
    if let Some((seq, hash)) = head
        && let Some(link) = sorted.iter().find(|link| link.entry.seq == *seq)
        && link.hash != *hash
    {
        let text = "its digest is not that of the head that was kept: it, or one before it, was replaced";
        found.insert(*seq, (link, text.to_owned()));
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
            let headers = [
                ("dx-agreement", format!("{}@{}", entry.agreement.id, entry.agreement.version)),
                ("dx-agreement-digest", entry.agreement.digest.clone()),
                ("dx-tlp", entry.tlp.as_str().to_owned()),
                ("dx-pap", entry.pap.as_str().to_owned()),
            ];
            report.told.push(Told {
                agreement: agreement.to_owned(),
                seq: entry.seq,
                disclosure_id: entry.disclosure_id.clone(),
                version: entry.disclosure_version,
                commitment: entry.commitment.clone(),
                topic: entry.output.topic.clone(),
                key: entry.output.key.clone(),
                bytes: entry.output.bytes,
                headers: headers.into(),
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

/// A record on an audience topic.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The topic that it stands on.
    pub topic: &'a str,
    /// Its key.
    pub key: &'a [u8],
    /// Its headers, in order.
    pub headers: &'a [(String, Vec<u8>)],
    /// The value.
    pub payload: &'a [u8],
    /// Where it stands, in words.
    pub position: &'a str,
}

impl<'a> Message<'a> {
    /// The text of a header that is there exactly once.
    fn header(&self, name: &str) -> Option<&'a str> {
        let mut values = self.headers.iter().filter(|(held, _)| held == name);
        let (_, value) = values.next()?;
        if values.next().is_some() { None } else { std::str::from_utf8(value).ok() }
    }

    /// Which disclosure it says that it is of.
    fn disclosure(&self) -> Option<(&'a str, u64)> {
        Some((self.header("dx-disclosure-id")?, self.header("dx-version")?.parse().ok()?))
    }

    fn commitment(&self) -> Option<String> {
        commitment(self.header("dx-salt")?, self.payload)
    }

    /// What of it is not as its entry says; none if all is.
    fn differs(&self, told: &Told) -> Option<String> {
        if self.commitment().as_deref() != Some(&told.commitment) {
            return Some("it is not the message of its entry".to_owned());
        }
        if told.topic != self.topic {
            return Some(format!("its entry says the topic {}", told.topic));
        }
        if told.key.as_bytes() != self.key {
            return Some(format!("its entry says the key {}", told.key));
        }
        if usize::try_from(told.bytes) != Ok(self.payload.len()) {
            return Some(format!("its entry says {} bytes", told.bytes));
        }
        if self.header("dx-version") != Some(&told.version.to_string()) {
            return Some(format!("its entry says dx-version {}", told.version));
        }
        let wrong = told.headers.iter().find(|(name, value)| self.header(name) != Some(value));
        if let Some((name, value)) = wrong {
            return Some(format!("its entry says {name} {value}"));
        }
        let message: Option<Value> = serde_json::from_slice(self.payload).ok();
        let handling = message.as_ref().and_then(|message| message.pointer("/terms/handling"));
        if handling.map(Value::to_string).as_deref() != self.header("dx-handling") {
            return Some("its dx-handling is not what it says itself".to_owned());
        }
        None
    }
}

/// Checks messages against what the ledger says went out: each message has one entry, each entry that
/// was not stopped one message. Messages that retention has removed look undelivered.
pub fn verify_messages<'a>(told: &[Told], messages: impl IntoIterator<Item = Message<'a>>) -> Vec<Fault> {
    let mut by_id: BTreeMap<(&str, u64), Vec<usize>> = BTreeMap::new();
    for (index, told) in told.iter().enumerate() {
        by_id.entry((&told.disclosure_id, told.version)).or_default().push(index);
    }
    let mut faults = Vec::new();
    // By entry: where its message is.
    let mut seen: Vec<Option<&str>> = vec![None; told.len()];
    let mut others = Vec::new();
    let mut fault = |kind, message: &Message<'_>, told: Option<&Told>, text: String| {
        faults.push(Fault {
            kind,
            agreement: told.map(|told| told.agreement.clone()).unwrap_or_default(),
            seq: told.map(|told| told.seq),
            position: message.position.to_owned(),
            text,
        });
    };
    for message in messages {
        let Some(candidates) = message.disclosure().and_then(|(id, version)| by_id.get(&(id, version)))
        else {
            let text = match message.disclosure() {
                Some((id, version)) => format!("no entry of version {version} of disclosure {id}"),
                None => "it does not say of which disclosure it is".to_owned(),
            };
            fault(FaultKind::Unlogged, &message, None, text);
            continue;
        };
        // A disclosure that began anew has several entries of one version: the message is of the one
        // that it was committed to in.
        let commitment = message.commitment();
        let is_of = |index: &&usize| Some(&told[**index].commitment) == commitment.as_ref();
        let place = candidates.iter().filter(is_of).min_by_key(|index| seen[**index].is_some());
        let Some(&place) = place else {
            others.push((message, candidates));
            continue;
        };
        let entry = &told[place];
        if entry.stopped {
            fault(
                FaultKind::Unlogged,
                &message,
                Some(entry),
                "its entry was stopped before delivery".to_owned(),
            );
        } else if let Some(text) = message.differs(entry) {
            fault(FaultKind::OtherMessage, &message, Some(entry), text);
        } else if let Some(first) = seen[place] {
            fault(FaultKind::Resent, &message, Some(entry), format!("it is there already, at {first}"));
        }
        seen[place] = seen[place].or(Some(message.position));
    }
    // What was committed to nowhere stands in for one whose own message is not there.
    for (message, candidates) in others {
        let free = candidates.iter().find(|index| seen[**index].is_none() && !told[**index].stopped);
        let Some(&place) = free.or(candidates.first()) else { continue };
        let text = "it is not the message of its entry".to_owned();
        fault(FaultKind::OtherMessage, &message, Some(&told[place]), text);
        seen[place] = seen[place].or(Some(message.position));
    }
    for (told, _) in told.iter().zip(&seen).filter(|(told, seen)| !told.stopped && seen.is_none()) {
        faults.push(Fault {
            kind: FaultKind::Undelivered,
            agreement: told.agreement.clone(),
            seq: Some(told.seq),
            position: String::new(),
            text: "no message of it is there".to_owned(),
        });
    }
    faults
}
