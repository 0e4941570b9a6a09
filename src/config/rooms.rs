//! What this room asks of the rooms above it: one function a question, so that their interfaces are
//! met in one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{Findings, Place, Source, Spanned};
use crate::enrich;
use crate::enrich::{Enricher, EnricherSettings, LoadError};
use crate::score::Model;
use crate::share::agreement::AudienceKind;
use crate::share::{Agreement, agreement};
use crate::sighting::Terms;
use crate::sighting::formats::{Decoder, FormatSettings};

/// The kinds of audience that terms may name.
pub(super) const AUDIENCES: [AudienceKind; 7] = [
    AudienceKind::LeInternational,
    AudienceKind::LeNational,
    AudienceKind::CertNational,
    AudienceKind::IspAbuse,
    AudienceKind::VendorPeer,
    AudienceKind::SectorIsac,
    AudienceKind::Public,
];

/// The party of an agreement and the topic that it reads.
pub(super) struct Audience<'a> {
    /// `org:...`.
    pub(super) org: &'a str,
    /// The topic.
    pub(super) topic: &'a str,
    /// Where the topic is written.
    pub(super) place: Option<Place>,
}

/// The audience of an agreement.
pub(super) fn audience(agreement: &Agreement) -> Audience<'_> {
    Audience { org: &agreement.recipient.id, topic: &agreement.topic, place: agreement.topic_place() }
}

/// Checks the format of a topic, written at this place.
pub(super) fn format(
    settings: &FormatSettings,
    place: Option<&Place>,
    findings: &mut Findings,
) -> Option<Decoder> {
    settings.check(&|| place.cloned(), findings)
}

/// Reads and checks one agreement.
pub(super) fn agreement(source: &Arc<Source>, findings: &mut Findings) -> Option<Agreement> {
    agreement::parse(source, findings)
}

/// Checks agreements against each other.
pub(super) fn agreements(all: &[Agreement], findings: &mut Findings) {
    agreement::check_all(all, findings);
}

/// Reads and checks the scoring model.
pub(super) fn model(source: &Arc<Source>, findings: &mut Findings) -> Option<Model> {
    Model::read(source, findings)
}

/// Checks all enrichers, each and against each other.
pub(super) fn enrichers(all: &[EnricherSettings], source: &Arc<Source>, findings: &mut Findings) {
    enrich::check_all(all, source, findings);
}

/// The terms of what an enricher says.
pub(super) fn terms(settings: &EnricherSettings) -> &Terms {
    settings.terms()
}

/// The files of an enricher.
pub(super) fn files(settings: &EnricherSettings) -> Vec<&Spanned<String>> {
    settings.files()
}

/// The enricher of these files' bytes, by path as written.
pub(super) fn load(
    settings: &EnricherSettings,
    files: BTreeMap<String, Vec<u8>>,
) -> Result<Arc<dyn Enricher>, LoadError> {
    settings.load(files)
}
