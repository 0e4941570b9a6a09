//! What of a dossier an audience may know: a choice of folds and evidence, nothing copied.

use super::{Dossier, Fold};
use crate::enrich::{Evidence, Finding};
use crate::sighting::Role;

/// A dossier as seen by one audience. Every value of a lead is computed from this, so what was
/// dropped can show nowhere: not in a count, a time, a score or a build.
#[derive(Debug, Clone)]
pub struct Projection<'a> {
    /// The dossier that it is a choice of.
    pub dossier: &'a Dossier,
    /// The folds that may be known, in the dossier's order.
    pub folds: Vec<&'a Fold>,
    /// The findings that may be known, each with the evidence that may be.
    pub findings: Vec<(&'a Finding, Vec<&'a Evidence>)>,
}

impl<'a> Projection<'a> {
    /// Everything: what our own consumers see.
    pub fn whole(dossier: &'a Dossier) -> Self {
        Self {
            dossier,
            folds: dossier.folds.iter().collect(),
            findings: dossier
                .findings
                .iter()
                .map(|finding| (finding, finding.evidence.iter().collect()))
                .collect(),
        }
    }

    /// The folds of one role.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &'a Fold> + '_ {
        self.folds.iter().copied().filter(move |fold| fold.role == role)
    }
}
