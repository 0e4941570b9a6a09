//! Folding sightings into a dossier.

use super::Dossier;
use crate::sighting::{Marking, Sighting};

/// What folding a sighting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// It counted.
    Counted,
    /// The reporter's own repeat.
    Repeat,
}

/// Folds one sighting, marked as the reporter's terms and its own markings say.
pub fn fold(dossier: &mut Dossier, sighting: &Sighting, marking: Marking) -> Folded {
    let _ = (dossier, sighting, marking);
    Folded::Counted
}
