//! Whether a recipient would be told anything new: digests over what it is shown.
//!
//! They are taken from the same walk as the tree that is sent, and cost a tenth of it; so what need not
//! be told is never built.

use std::collections::BTreeSet;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::super::fields::Fields;
use super::{CAP, Out, Shown, UnknownOp, walk};
use crate::dossier::Lead;
use crate::score::Factor;
use crate::sighting::Marking;

/// What tells two states of a lead apart for a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// Over all that it is shown but what decay alone changes: numbers of the score, points, the time
    /// of computing.
    pub facts: [u8; 16],
    /// The same without times, counts of sightings, builds and sentences.
    pub major: [u8; 16],
}

/// The digests of what `redact` would show, and of `beside`, which is shown with it. Which factors count
/// is in both, wherever any of the score is shared, as it moves the score.
///
/// # Errors
/// As `redact`, but for operations on what decay changes.
pub fn digests(
    lead: &Lead,
    marking: Marking,
    sources: &BTreeSet<&str>,
    fields: &Fields,
    beside: &impl Serialize,
) -> Result<Digests, UnknownOp> {
    let mut change = Change { fields, facts: Bytes::with_room(1024), major: Bytes::with_room(512) };
    walk(&mut change, lead, marking, sources)?;
    if fields.any_of("score") {
        change.factors(&lead.score.factors);
    }
    let beside = postcard::to_allocvec(beside).expect("memory takes any bytes");
    change.facts.add(&beside);
    change.major.add(&beside);
    Ok(Digests { facts: change.facts.digest(), major: change.major.digest() })
}

/// What is shown, as bytes: each part behind its length, so that no two ways of cutting are alike.
struct Bytes(Vec<u8>);

impl Bytes {
    fn with_room(room: usize) -> Self {
        Self(Vec::with_capacity(room))
    }

    fn add(&mut self, part: &[u8]) {
        self.0.extend(part.len().to_be_bytes());
        self.0.extend_from_slice(part);
    }

    fn digest(&self) -> [u8; 16] {
        let whole: [u8; 32] = Sha256::digest(&self.0).into();
        *whole.first_chunk().expect("32 bytes begin with sixteen")
    }
}

struct Change<'f> {
    fields: &'f Fields,
    facts: Bytes,
    major: Bytes,
}

/// Whether a sighting more, or a new build of a database, changes what is at this path. How many
/// reporters there are is not among these: it makes surer.
fn moves(path: &str) -> bool {
    matches!(
        path,
        "time.first_seen"
            | "time.last_seen"
            | "time.first_reported"
            | "sightings"
            | "malware_more"
            | "services_more"
            | "services.first_seen"
            | "services.last_seen"
    )
}

impl Change<'_> {
    fn factors(&mut self, factors: &[Factor]) {
        let kind = |factor: &Factor, out: &mut Bytes| {
            for text in [&factor.code, &factor.source, &factor.origin] {
                out.add(text.as_bytes());
            }
            out.0.push(factor.status as u8);
        };
        let mut counting: Vec<&Factor> = factors.iter().filter(|factor| factor.code != CAP).collect();
        // They are listed by points, which decay reorders.
        counting.sort_unstable_by_key(|factor| {
            (&factor.code, &factor.source, &factor.origin, factor.status, factor.observed_at, &factor.text)
        });
        for factor in &counting {
            kind(factor, &mut self.facts);
            self.facts.0.extend(factor.observed_at.map_or(i64::MIN, |time| time.0).to_be_bytes());
            self.facts.add(factor.text.as_bytes());
        }
        // More of the same is a count.
        let alike = |a: &Factor, b: &Factor| {
            (&a.code, &a.source, &a.origin, a.status) == (&b.code, &b.source, &b.origin, b.status)
        };
        counting.dedup_by(|a, b| alike(a, b));
        for factor in &counting {
            kind(factor, &mut self.major);
        }
    }

    fn both(&mut self, part: &[u8]) {
        self.facts.add(part);
        self.major.add(part);
    }
}

impl Out for Change<'_> {
    fn fields(&self) -> &Fields {
        self.fields
    }

    fn set(&mut self, path: &'static str, value: Shown<'_>) {
        self.beside(path, value);
    }

    fn beside(&mut self, name: &'static str, value: Shown<'_>) {
        let is_major = !moves(name);
        let mut add = |part: &[u8]| {
            self.facts.add(part);
            if is_major {
                self.major.add(part);
            }
        };
        add(name.as_bytes());
        match value {
            Shown::Text(text) => add(text.as_bytes()),
            Shown::Number(number) => add(&number.to_be_bytes()),
            Shown::Truth(truth) => add(&[truth.into()]),
            Shown::Time(time) => add(&time.0.to_be_bytes()),
            Shown::Built { model, sources } => {
                add(model.as_bytes());
                for text in sources.iter().flat_map(|(name, build)| [name, build]) {
                    self.facts.add(text.as_bytes());
                }
            }
            Shown::Tree(tree) => add(&super::bytes(&tree)),
        }
    }

    fn row(&self) -> Self {
        Self { fields: self.fields, facts: Bytes::with_room(64), major: Bytes::with_room(64) }
    }

    fn list(&mut self, group: &'static str, rows: Vec<Self>) {
        self.both(group.as_bytes());
        for (at, row) in rows.iter().enumerate() {
            let is_seen = rows[..at].iter().any(|earlier| earlier.facts.0 == row.facts.0);
            if !row.facts.0.is_empty() && !is_seen {
                self.facts.add(&row.facts.0);
                self.major.add(&row.major.0);
            }
        }
    }
}
