//! Agreements: the file that people write, and what is checked of it.
//!
//! [`parse`] reports every problem of a file at its place, and gives an agreement only when nothing is
//! wrong with it. It does not know the time, other files or the pipeline: [`check_all`] compares
//! agreements with each other, and the decision looks at the clock.

mod check;
mod file;
mod places;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::diag::{self, Finding, Findings, Place, Source};
use crate::enrich::NexusKind;
use crate::score::Verdict;
use crate::share::fields::Fields;
use crate::sighting::{IndicatorType, Marking, Purpose, Role, Timestamp};

pub use file::{
    Attribution, AudienceKind, Echo, EvidenceUse, File, Format, GovAssets, Handling, Onward,
    PermittedActions, Status, Unknown,
};
use places::Places;

/// A checked agreement.
#[derive(Debug, Clone)]
pub struct Agreement {
    /// Its name.
    pub id: String,
    /// Counts from 1.
    pub version: u32,
    /// `sha256:` and the hex digest of the file's bytes.
    pub digest: String,
    /// Only an active one discloses.
    pub status: Status,
    /// Who tells, `org:...`.
    pub provider: String,
    /// Who is told.
    pub recipient: Recipient,
    /// What for. Never empty.
    pub purposes: BTreeSet<Purpose>,
    /// On which grounds. Never empty.
    pub legal_basis: Vec<String>,
    /// Words of `matter:<word>` tags that never pass.
    pub excluded_matter: BTreeSet<String>,
    /// The first moment at which something may be told.
    pub effective_from: Timestamp,
    /// The first moment at which nothing may be told any more.
    pub expires_at: Timestamp,
    /// When somebody must look at it again.
    pub review_by: Timestamp,
    /// The most restrictive marking that may pass.
    pub ceiling: Marking,
    /// Which leads.
    pub scope: Scope,
    /// What of a lead.
    pub fields: Fields,
    /// The audience topic.
    pub topic: String,
    /// The form of a message.
    pub format: Format,
    /// How the recipient may use it, before the terms of what was used narrow it.
    pub handling: Handling,
    /// What travels with each message beside `handling`: `definitions`, `legal`, `obligations`,
    /// `parties`, `retention`.
    pub carried: BTreeMap<&'static str, serde_json::Value>,
    /// The file, and where in it the id and the topic stand, for findings across files.
    written: Written,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// `org:...`.
    pub id: String,
    /// What kind of audience.
    pub kind: AudienceKind,
    /// ISO 3166-1 alpha-2; none where the file says `ZZ`.
    pub country: Option<String>,
}

/// Which leads. Every list is an allow-list.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Roles.
    pub roles: BTreeSet<Role>,
    /// Types of indicator.
    pub indicator_types: BTreeSet<IndicatorType>,
    /// Countries, or any.
    pub countries: Countries,
    /// By which links a country counts.
    pub nexus: BTreeSet<NexusKind>,
    /// What becomes of a lead without any such link.
    pub nexus_unknown: Unknown,
    /// Links below this do not count.
    pub nexus_min_confidence: u8,
    /// What becomes of government names.
    pub gov_assets: GovAssets,
    /// The least risk.
    pub min_risk: u8,
    /// The least confidence.
    pub min_confidence: u8,
    /// Verdicts: `malicious`, `suspicious`.
    pub verdicts: BTreeSet<Verdict>,
    /// How long ago it may have been seen last, in milliseconds.
    pub max_age: i64,
    /// How long it must have been known, in milliseconds.
    pub min_age: i64,
    /// Whether the recipient's own contributions are left out.
    pub echo: Echo,
    /// Whether whatever is used must allow telling those affected.
    pub require_notify: bool,
}

/// The countries of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Countries {
    /// `"*"`.
    Any,
    /// Only these.
    Only(BTreeSet<String>),
}

#[derive(Debug, Clone)]
struct Written {
    id: Option<Place>,
    topic: Option<Place>,
}

impl Agreement {
    /// Name and version as headers have them: `dxa-le-th-01@1`.
    pub fn name(&self) -> String {
        format!("{}@{}", self.id, self.version)
    }

    /// Where its topic is written.
    pub fn topic_place(&self) -> Option<Place> {
        self.written.topic.clone()
    }

    /// The clause by which nothing goes out under it at `now`, if it is not in force.
    pub fn refuses_at(&self, now: Timestamp) -> Option<&'static str> {
        if self.status != Status::Active {
            Some("agreement-status")
        } else if now < self.effective_from || now >= self.expires_at {
            Some("agreement-window")
        } else {
            None
        }
    }

    /// Whether somebody should have looked at it again by now.
    pub fn is_review_overdue(&self, now: Timestamp) -> bool {
        now >= self.review_by
    }
}

/// Reads an agreement, pushing all that is wrong with it; none when anything is.
///
/// Codes: those of [`diag::read`], and `agreement-*` (`sharing.md` 6.5).
pub fn parse(source: &Arc<Source>, out: &mut Findings) -> Option<Agreement> {
    let mut found = Findings::default();
    let places = Places::of(source, &diag::schema_of::<File>(), &mut found);
    let agreement = diag::read::<File>(source, &mut found)
        .map(|file| check::check(file, &places, digest_of(source.text.as_bytes()), &mut found));
    let has_errors = found.has_errors();
    for finding in found.list() {
        out.push(finding.clone());
    }
    agreement.flatten().filter(|_| !has_errors)
}

/// What is wrong between agreements: an id or a topic used twice.
pub fn check_all(list: &[Agreement], out: &mut Findings) {
    let mut ids: BTreeMap<&str, &Agreement> = BTreeMap::new();
    let mut topics: BTreeMap<&str, &Agreement> = BTreeMap::new();
    for agreement in list {
        if let Some(first) = ids.insert(&agreement.id, agreement) {
            out.push(
                Finding::error("agreement-id-twice", format!("two agreements are called `{}`", agreement.id))
                    .at(agreement.written.id.clone())
                    .also(first.written.id.clone(), "the other")
                    .help("give one of them another id, or remove the older version"),
            );
        }
        if let Some(first) = topics.insert(&agreement.topic, agreement) {
            out.push(
                Finding::error(
                    "agreement-topic-twice",
                    format!("two agreements write to the topic `{}`", agreement.topic),
                )
                .at(agreement.written.topic.clone())
                .also(first.written.topic.clone(), "the other")
                .help("whoever reads a topic reads all of it: give each agreement a topic of its own"),
            );
        }
    }
}

/// `sha256:` and the hex digest.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
