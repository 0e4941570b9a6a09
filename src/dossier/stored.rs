//! The stored form of a dossier: a format byte and postcard.
//!
//! What fills most of a large dossier (digests, times close to each other) has a shorter form here
//! than postcard's own. Shown to people, as JSON, it is written plainly. Nothing stored may leave out
//! a field when it is empty: postcard has no names to find the next one by.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Dossier;
use crate::sighting::Timestamp;

/// The format that is written.
pub const FORMAT: u8 = 1;

/// Why stored bytes are not a dossier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Another binary wrote it.
    #[error("a dossier of format {0}, which this binary does not know")]
    UnknownFormat(u8),
    /// Damaged.
    #[error("a damaged dossier: {0}")]
    Damaged(String),
}

/// The stored form. Equal dossiers have equal bytes.
pub fn encode(dossier: &Dossier) -> Vec<u8> {
    // Most dossiers fit without growing.
    let mut bytes = Vec::with_capacity(1024);
    bytes.push(FORMAT);
    postcard::to_extend(dossier, bytes)
        .expect("a vector takes any bytes, and every list in a dossier knows its length")
}

/// A dossier from its stored form.
///
/// # Errors
/// An unknown format, which must stop the process, or damage: bytes that end early, go on after the
/// end, or hold what can't be.
pub fn decode(bytes: &[u8]) -> Result<Dossier, StoredError> {
    match bytes.split_first() {
        Some((&FORMAT, stored)) => match postcard::take_from_bytes(stored) {
            Ok((dossier, [])) => Ok(dossier),
            Ok((_, rest)) => Err(StoredError::Damaged(format!("{} bytes after its end", rest.len()))),
            Err(err) => Err(StoredError::Damaged(err.to_string())),
        },
        Some((&other, _)) => Err(StoredError::UnknownFormat(other)),
        None => Err(StoredError::Damaged("empty".to_owned())),
    }
}

/// When a dossier in its stored form wants to be looked at; none for bytes that are no dossier, which
/// whoever decodes them will say.
pub fn wake_of(bytes: &[u8]) -> Option<Timestamp> {
    let stored = bytes.strip_prefix(&[FORMAT])?;
    postcard::take_from_bytes::<Option<Timestamp>>(stored).ok()?.0
}

/// Ids: each time as what was added to the one before, each digest as eight bytes.
pub(super) mod ids {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Timestamp};

    pub(in crate::dossier) fn serialize<S: Serializer>(
        ids: &[(Timestamp, u64)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return ids.serialize(serializer);
        }
        let mut before = 0i64;
        serializer.collect_seq(ids.iter().map(|(time, id)| {
            let added = time.0.wrapping_sub(before);
            before = time.0;
            (added, id.to_be_bytes())
        }))
    }

    pub(in crate::dossier) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(Timestamp, u64)>, D::Error> {
        if deserializer.is_human_readable() {
            return Vec::deserialize(deserializer);
        }
        let stored: Vec<(i64, [u8; 8])> = Vec::deserialize(deserializer)?;
        let mut time = 0i64;
        Ok(stored
            .into_iter()
            .map(|(added, id)| {
                time = time.wrapping_add(added);
                (Timestamp(time), u64::from_be_bytes(id))
            })
            .collect())
    }
}

/// References to raw records, without the names of their fields.
pub(super) mod raw {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Timestamp};
    use crate::sighting::{Digest, RawRef};

    type Plain = (Timestamp, Option<u16>, RawRef);
    type Place<'a> = (std::borrow::Cow<'a, str>, i32, i64, u32);
    type Stored<'a> = (Timestamp, Option<u16>, Place<'a>, Kind);

    /// Which digest it is. There is one so far; another can be told from it.
    #[derive(Serialize, Deserialize)]
    enum Kind {
        Sha256(Digest),
    }

    pub(in crate::dossier) fn serialize<S: Serializer>(
        refs: &[Plain],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return refs.serialize(serializer);
        }
        serializer.collect_seq(refs.iter().map(|(time, port, raw)| -> Stored<'_> {
            let place = (raw.topic.as_str().into(), raw.partition, raw.offset, raw.index);
            (*time, *port, place, Kind::Sha256(raw.sha256))
        }))
    }

    pub(in crate::dossier) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Plain>, D::Error> {
        if deserializer.is_human_readable() {
            return Vec::deserialize(deserializer);
        }
        let stored: Vec<Stored<'_>> = Vec::deserialize(deserializer)?;
        let plain = stored.into_iter().map(
            |(time, port, (topic, partition, offset, index), Kind::Sha256(sha256))| {
                (time, port, RawRef { topic: topic.into_owned(), partition, offset, index, sha256 })
            },
        );
        Ok(plain.collect())
    }
}

#[cfg(test)]
mod tests;
