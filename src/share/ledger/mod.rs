//! The ledger: one entry for each disclosure, and for each that was stopped, in a chain per agreement.
//!
//! An entry holds no value that was disclosed, only a salted commitment to it, so the ledger is no
//! second database of what it protects (`sharing.md` 4.4). Entries are JSON in a fixed order of keys; the
//! last key is the digest of all bytes before it, and each entry names the digest of the one before. A
//! change, a removal or a reordering shows; a tail that was cut off does not, unless somebody else holds
//! a later digest ([`verify`]). What anybody needs to check it without this program is what
//! `sightline schema ledger` prints ([`schema`]), from the comments here: keep them true to the byte.

mod schema;
mod verify;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::score::Verdict;
use crate::share::{Agreement, Release};
use crate::sighting::{IndicatorType, Pap, Purpose, Role, Timestamp, Tlp};

pub use schema::schema;
pub use verify::{Fault, FaultKind, Heads, Message, Report, Told, verify, verify_against, verify_messages};

/// What an entry is about, before it has a place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// As [`super::keyed::disclosure_id`].
    pub disclosure_id: String,
    /// Which version of it; counts from 1.
    pub disclosure_version: u64,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Under which agreement.
    pub agreement: AgreementRef,
    /// Who tells.
    pub provider: String,
    /// Who is told.
    pub recipient: String,
    /// What for.
    pub purposes: Vec<Purpose>,
    /// On which grounds.
    pub legal_basis: Vec<String>,
    /// As what it was seen.
    pub role: Role,
    /// What type of indicator.
    pub indicator_type: IndicatorType,
    /// As [`commitment`].
    pub commitment: String,
    /// What the message is.
    pub output: Output,
    /// Its marking.
    pub tlp: Tlp,
    /// As `tlp`, for actions.
    pub pap: Pap,
    /// Of the projection.
    pub risk: u8,
    /// Of the projection.
    pub confidence: u8,
    /// Of the projection.
    pub verdict: Verdict,
    /// What it was made from.
    pub versions: Versions,
}

impl Draft {
    /// The draft of a disclosure: whatever the agreement and the release say, from them.
    pub fn of(agreement: &Agreement, release: &Release, disclosure: Disclosure<'_>) -> Self {
        let lead = &release.lead;
        Self {
            disclosure_id: disclosure.id.to_owned(),
            disclosure_version: disclosure.version,
            decided_at: disclosure.decided_at,
            agreement: AgreementRef {
                id: agreement.id.clone(),
                version: agreement.version,
                digest: agreement.digest.clone(),
            },
            provider: agreement.provider.clone(),
            recipient: agreement.recipient.id.clone(),
            purposes: agreement.purposes.iter().copied().collect(),
            legal_basis: agreement.legal_basis.clone(),
            role: lead.role,
            indicator_type: lead.indicator.kind,
            commitment: disclosure.commitment.to_owned(),
            output: Output {
                format: agreement.format.as_str().to_owned(),
                bytes: disclosure.bytes,
                topic: agreement.topic.clone(),
                key: disclosure.id.to_owned(),
            },
            tlp: release.marking.tlp,
            pap: release.marking.pap,
            risk: lead.score.risk,
            confidence: lead.score.confidence,
            verdict: lead.score.verdict,
            versions: Versions { model: lead.built.model.clone(), sources: lead.built.sources.clone() },
        }
    }
}

/// What a draft needs beside the agreement and the release.
#[derive(Debug, Clone, Copy)]
pub struct Disclosure<'a> {
    /// As [`super::keyed::disclosure_id`]; also the key of the message, as it tells nothing.
    pub id: &'a str,
    /// Which version of it; counts from 1.
    pub version: u64,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// As [`commitment`].
    pub commitment: &'a str,
    /// The length of the message.
    pub bytes: u64,
}

/// An agreement as an entry names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementRef {
    /// Its name, which is also the key of the record.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// `sha256:` and the SHA-256 of its file, in lower-case hexadecimal digits.
    pub digest: String,
}

/// The message of a disclosure: rule 5.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its form: `json`.
    pub format: String,
    /// The length of its value, in bytes.
    pub bytes: u64,
    /// The audience topic that it stands on.
    pub topic: String,
    /// Its key there.
    pub key: String,
}

/// The model and the data that a disclosure was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// Name, version and digest of the model.
    pub model: String,
    /// By enricher: its build.
    pub sources: BTreeMap<String, String>,
}

/// What became of a disclosure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It was disclosed.
    Disclosed,
    /// It was stopped.
    Stopped {
        /// Why: a stable code.
        reason: String,
        /// The `disclosed` entry of this chain that it takes back before delivery, if there is one.
        stops: Option<u64>,
    },
}

/// What became of a disclosure, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum KindName {
    /// It went out: there is one message of it, unless a later entry stops it (rules 4 and 5).
    Disclosed,
    /// It did not go out, or the entry that `stops` names is taken back.
    Stopped,
}

/// One entry of the ledger: the value of a record on the ledger topic, whose key is the agreement's id.
/// By these rules anybody can check a ledger, with the messages or without:
///
/// 1. *Digest.* The value is JSON in UTF-8, one object without spaces between its parts, and ends with
///    `,"hash":"`, 64 lower-case hexadecimal digits, and `"}`. The digits are the SHA-256 of the bytes
///    before that end, followed by one `}`: of the entry as it was before its hash was put in. Take the
///    bytes as they stand; JSON that was read and written again may be other bytes.
///
/// 2. *Chain.* All entries with one key are the chain of that agreement; they stand on one partition, in
///    the order in which they were written. `seq` counts them from 1, without a gap, a repeat or a step
///    back, and `prev` is the `hash` of the entry before, 64 zeros in the first. The order of entries of
///    different agreements means nothing.
///
/// 3. *Head.* `seq` and `hash` of a chain's last entry are its head. A chain whose end was cut off, or
///    that was written anew from some entry on, keeps rules 1 and 2. It shows only against a head that
///    somebody else kept: the entry with that `seq` must be there, and its `hash` must be that one.
///
/// 4. *Stop.* A `stopped` entry with `stops` takes back, before it was delivered, the `disclosed` entry
///    with that `seq`: one earlier in the same chain, of the same `disclosure_id`, and not taken back
///    before. One without `stops` was never entered as `disclosed`. Neither has a message.
///
/// 5. *Messages.* Each `disclosed` entry that is not taken back has exactly one message, and each record
///    on an audience topic is the message of exactly one entry. What of the record must be as the entry
///    says: its topic `output.topic`, its key `output.key`, the length of its value `output.bytes`, and
///    these headers, each there once, as text: `dx-disclosure-id` is `disclosure_id`, `dx-version` is
///    `disclosure_version`, `dx-agreement` is `agreement.id`, `@` and `agreement.version`,
///    `dx-agreement-digest` is `agreement.digest`, `dx-tlp` is `tlp`, `dx-pap` is `pap`. And
///    `dx-handling` is `terms.handling` of the message, as JSON without spaces and with the keys of every
///    object in alphabetical order. The order of a topic's messages means nothing. When all that was
///    known of an indicator is over and it is seen again, its disclosure counts from version 1 again:
///    then several entries have the same `disclosure_id` and `disclosure_version`, each with a message
///    and a commitment of its own. A message that retention removed is missing, which says nothing of
///    its entry.
///
/// 6. *Commitment.* The header `dx-salt` is 64 lower-case hexadecimal digits, which are 32 bytes.
///    `commitment` is `sha256:` and the SHA-256 of those 32 bytes followed by the bytes of the message's
///    value, in lower-case hexadecimal digits. Whoever holds a message with its headers can so show what
///    it was told; from the entry alone nobody can guess it.
// The order of fields is the order of keys.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, title = "Sightline ledger entry")]
struct Entry<'a> {
    /// What became of the disclosure.
    kind: KindName,
    /// Of whatever this agreement says of one indicator in one role; it stays the same over versions.
    disclosure_id: &'a str,
    /// Which version of it: counts from 1, and again from 1 when all that was known was over.
    #[schemars(range(min = 1))]
    disclosure_version: u64,
    /// The entry's number in its agreement's chain: rule 2.
    #[schemars(range(min = 1))]
    seq: u64,
    /// The `hash` of the entry before: rule 2.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    prev: String,
    /// When the disclosure was decided.
    decided_at: Timestamp,
    /// When this entry was written.
    logged_at: Timestamp,
    /// Under which agreement.
    agreement: &'a AgreementRef,
    /// Who tells.
    provider: &'a str,
    /// Who is told.
    recipient: &'a str,
    /// What for.
    purposes: &'a [Purpose],
    /// On which grounds.
    legal_basis: &'a [String],
    /// As what the indicator was seen.
    role: Role,
    /// What type of indicator.
    indicator_type: IndicatorType,
    /// What binds the message without telling it: rule 6.
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    commitment: &'a str,
    /// What and where the message is: rule 5.
    output: &'a Output,
    /// The message's marking.
    tlp: Tlp,
    /// As `tlp`, for actions.
    pap: Pap,
    /// The risk, 0 to 100, as computed from what the recipient may know of.
    risk: u8,
    /// How sure that is, 0 to 100.
    confidence: u8,
    /// The verdict that follows.
    verdict: Verdict,
    /// What the disclosure was made from.
    versions: &'a Versions,
    /// Of a `stopped` entry: why, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Of a `stopped` entry: the `seq` of the `disclosed` one that it takes back, if there is one: rule 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops: Option<u64>,
    /// The digest of this entry: rule 1. It is put in when all else is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    hash: Option<&'a str>,
}

/// The end of one agreement's chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// The last entry's number; 0 before the first.
    pub seq: u64,
    /// The last entry's digest; zero before the first.
    pub hash: [u8; 32],
}

/// Why stored bytes are not a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Another binary wrote it.
    #[error("a chain of format {0}, which this binary does not know")]
    UnknownFormat(u8),
    /// Damaged.
    #[error("a damaged chain")]
    Damaged,
}

impl Chain {
    const FORMAT: u8 = 1;

    /// The stored form: a format byte, the number in eight bytes, big-endian, the digest.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![Self::FORMAT];
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.hash);
        bytes
    }

    /// A chain from its stored form.
    ///
    /// # Errors
    /// An unknown format, or damage. Both must stop the process: a chain begun anew would fork.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChainError> {
        let Some((&format, rest)) = bytes.split_first() else { return Err(ChainError::Damaged) };
        if format != Self::FORMAT {
            return Err(ChainError::UnknownFormat(format));
        }
        let Some((seq, hash)) = rest.split_first_chunk::<8>() else { return Err(ChainError::Damaged) };
        let Ok(hash) = <[u8; 32]>::try_from(hash) else { return Err(ChainError::Damaged) };
        Ok(Self { seq: u64::from_be_bytes(*seq), hash })
    }
}

/// Appends an entry to the chain and gives its bytes. `now` is when it is written.
pub fn append(chain: &mut Chain, kind: &Kind, draft: &Draft, now: Timestamp) -> Vec<u8> {
    let (name, reason, stops) = match kind {
        Kind::Disclosed => (KindName::Disclosed, None, None),
        Kind::Stopped { reason, stops } => (KindName::Stopped, Some(reason.as_str()), *stops),
    };
    let entry = Entry {
        kind: name,
        disclosure_id: &draft.disclosure_id,
        disclosure_version: draft.disclosure_version,
        seq: chain.seq + 1,
        prev: hex::encode(chain.hash),
        decided_at: draft.decided_at,
        logged_at: now,
        agreement: &draft.agreement,
        provider: &draft.provider,
        recipient: &draft.recipient,
        purposes: &draft.purposes,
        legal_basis: &draft.legal_basis,
        role: draft.role,
        indicator_type: draft.indicator_type,
        commitment: &draft.commitment,
        output: &draft.output,
        tlp: draft.tlp,
        pap: draft.pap,
        risk: draft.risk,
        confidence: draft.confidence,
        verdict: draft.verdict,
        versions: &draft.versions,
        reason,
        stops,
        hash: None,
    };
    let mut bytes = serde_json::to_vec(&entry).expect("texts and numbers are JSON");
    *chain = Chain { seq: entry.seq, hash: Sha256::digest(&bytes).into() };
    // The digest is of the entry without it: the last brace gives way to one more key.
    bytes.pop();
    bytes.extend_from_slice(HASH_KEY.as_bytes());
    bytes.extend_from_slice(hex::encode(chain.hash).as_bytes());
    bytes.extend_from_slice(b"\"}");
    bytes
}

/// What stands between an entry and its digest.
const HASH_KEY: &str = ",\"hash\":\"";

/// The bytes of an entry without its digest, and the digest that it states; none when it has none.
fn split(bytes: &[u8]) -> Option<(Vec<u8>, [u8; 32])> {
    let rest = bytes.strip_suffix(b"\"}")?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    let body = rest.strip_suffix(HASH_KEY.as_bytes())?;
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    // Digits in capitals would be the same number in other bytes.
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut body = body.to_vec();
    body.push(b'}');
    Some((body, hash))
}

/// What an entry holds in place of its message: `sha256:` and the digest of salt and message. None for
/// a salt that is not 64 lower-case hexadecimal digits.
pub fn commitment(salt: &str, message: &[u8]) -> Option<String> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(salt, &mut bytes).ok()?;
    // Digits in capitals would be the same number in other bytes.
    if salt.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    let digest = Sha256::new().chain_update(bytes).chain_update(message).finalize();
    Some(format!("sha256:{}", hex::encode(digest)))
}

#[cfg(test)]
mod tests;
