//! The stored form of a dossier: a format byte and postcard.

use super::Dossier;

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

/// The stored form.
pub fn encode(dossier: &Dossier) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    bytes.extend(postcard::to_allocvec(dossier).unwrap_or_default());
    bytes
}

/// A dossier from its stored form.
///
/// # Errors
/// An unknown format, which must stop the process, or damage.
pub fn decode(bytes: &[u8]) -> Result<Dossier, StoredError> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => {
            postcard::from_bytes(rest).map_err(|err| StoredError::Damaged(err.to_string()))
        }
        Some((&other, _)) => Err(StoredError::UnknownFormat(other)),
        None => Err(StoredError::Damaged("empty".to_owned())),
    }
}
