//! What the stages know beside their state: sources, model, agreements, terms. Loaded and checked
//! as a whole, and swapped as a whole while running; a batch works with one generation of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use crate::dossier::Scorer;
use crate::enrich::Enricher;
use crate::share::{Agreement, Book};
use crate::sighting::Role;

/// One generation of knowledge.
pub struct Knowledge {
    /// In the order of the pipeline file.
    pub enrichers: Vec<Arc<dyn Enricher>>,
    /// The model, and how far each reporter and source is relied on.
    pub scorer: Scorer,
    /// By id.
    pub agreements: BTreeMap<String, Agreement>,
    /// Terms of reporters and sources, and what no agreement lifts.
    pub book: Book,
    /// The pipeline's key: ids and salts are HMACs under it.
    pub key: Vec<u8>,
    /// Milliseconds after its last sighting that a fold of a role is kept.
    pub expire: BTreeMap<Role, i64>,
    /// Milliseconds that a change of times and counts alone may wait; 0 for not at all.
    pub minor_updates: i64,
    /// Digest of what decides about sharing: when it changes, every dossier is looked at again.
    pub rules: String,
}

impl Knowledge {
    /// The digest of the rules: agreements and terms as they were written.
    pub fn rules_of<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text);
        }
        hex::encode(&hash.finalize()[..8])
    }

    /// How long a fold of a role is kept after its last sighting, in milliseconds.
    pub fn expires_after(&self, role: Role) -> i64 {
        self.expire.get(&role).copied().unwrap_or(i64::MAX)
    }
}

/// The knowledge of a process, for all its lanes.
pub type Shared = Arc<ArcSwap<Knowledge>>;

/// A process' knowledge, to be swapped later.
pub fn shared(knowledge: Knowledge) -> Shared {
    Arc::new(ArcSwap::from_pointee(knowledge))
}
