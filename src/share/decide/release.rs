//! What goes out: the redacted lead, how it may be used, and what tells it from the last one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::admit::strictest;
use super::{Subject, Trial, allowed};
use crate::dossier::{Lead, Projection};
use crate::share::agreement::{Handling, Onward};
use crate::share::gate;
use crate::share::redact::{Digests, Redacted, bytes, digests, redact};
use crate::sighting::{Marking, Notify, Tlp};

/// What a recipient may be told.
#[derive(Debug, Clone)]
pub struct Release {
    /// The lead of the projection, whole. Never to be sent.
    pub lead: Arc<Lead>,
    /// What of it is sent.
    pub fields: Value,
    /// The strictest marking of what was used.
    pub marking: Marking,
    /// What travels with it: `definitions`, `handling` (the strictest of the agreement and of the terms
    /// of what was used), `legal`, `obligations`, `parties`, `retention`.
    pub carried: Value,
    /// Changes when what the recipient is told changes by anything but decay.
    pub facts: [u8; 16],
    /// Changes when something other than times, counts and builds does.
    pub major: [u8; 16],
}

/// What the recipient was told last, and is sure to know.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// [`Release::facts`] of it.
    pub facts: [u8; 16],
    /// [`Release::major`] of it; none where a change of times and counts is told at once.
    pub major: Option<[u8; 16]>,
}

/// What of it need not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// Nothing is new.
    Same,
    /// Only times, counts and builds are.
    Minor,
}

/// What steps 9 and 10 come to.
pub(super) enum Built {
    Release(Box<Release>),
    Unchanged(Unchanged),
}

/// Steps 9 and 10. What the recipient knows already is not built.
pub(super) fn build(
    subject: Subject<'_, '_>,
    trial: &mut Trial,
    projection: &Projection<'_>,
    lead: Arc<Lead>,
    known: Option<Known>,
) -> Option<Built> {
    let Subject { agreement, book, role, .. } = subject;
    let (used, notify) = strictest(projection, role, book);
    // The lead may know of something stricter; never of something looser.
    let marking = used.map(|used| Marking { tlp: used.tlp.max(lead.tlp), pap: used.pap.max(lead.pap) });
    let ceiling = agreement.ceiling;
    let passes = marking.is_some_and(|marking| marking.tlp <= ceiling.tlp && marking.pap <= ceiling.pap);
    trial.step((4, "marking", "record-invalid"), passes, || match marking {
        Some(marking) => format!("TLP:{} PAP:{}", marking.tlp.as_str(), marking.pap.as_str()),
        None => "nothing is marked".to_owned(),
    })?;
    let marking = marking?;
    let sources: BTreeSet<&str> =
        projection.findings.iter().map(|(finding, _)| finding.source.as_str()).collect();
    let fields = allowed(agreement);
    let handling = effective(&agreement.handling, marking, notify);
    let digests = digests(&lead, marking, &sources, fields, &(marking, &handling));
    if let (Some(known), Ok(digests)) = (known, &digests) {
        if known.facts == digests.facts {
            return Some(Built::Unchanged(Unchanged::Same));
        }
        if known.major == Some(digests.major) {
            return Some(Built::Unchanged(Unchanged::Minor));
        }
    }
    let redacted = digests
        .and_then(|digests| redact(&lead, marking, &sources, fields).map(|redacted| (digests, redacted)));
    trial.step((9, "fields", "unknown-op"), redacted.is_ok(), || match &redacted {
        Ok(_) => format!("{} fields are shared", agreement.fields.iter().count()),
        Err(err) => err.to_string(),
    })?;
    let (Digests { facts, major }, Redacted { fields, hidden }) = redacted.ok()?;
    let hidden = hidden.iter().map(String::as_str);
    let leak = gate::look(&bytes(&fields), book.canaries.iter().map(String::as_str).chain(hidden));
    trial.step((10, "leak gate", "leak-gate"), leak.is_none(), || {
        leak.map_or("nothing that must not show", gate::Leak::as_str).to_owned()
    })?;
    let mut carried: Map<String, Value> =
        agreement.carried.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    carried.insert("handling".to_owned(), json!(handling));
    Some(Built::Release(Box::new(Release { lead, fields, marking, carried: carried.into(), facts, major })))
}

/// How a record may be used: the agreement's handling, narrowed by its marking and the terms of what it
/// was made from.
fn effective(handling: &Handling, marking: Marking, notify: Notify) -> Handling {
    let mut effective = handling.clone();
    if marking.tlp > widest_for(handling.onward) {
        effective.onward = match marking.tlp {
            Tlp::Clear => Onward::Unlimited,
            Tlp::Green => Onward::Community,
            Tlp::Amber => Onward::OwnOrganisationAndClients,
            Tlp::AmberStrict => Onward::OwnOrganisation,
            Tlp::Red => Onward::NamedPersons,
        };
    }
    if notify == Notify::MustNot {
        effective.affected_party_notification = Notify::MustNot;
    }
    effective
}

/// The strictest TLP under which something may still be passed on this far.
fn widest_for(onward: Onward) -> Tlp {
    match onward {
        Onward::Unlimited => Tlp::Clear,
        Onward::Community => Tlp::Green,
        Onward::OwnOrganisationAndClients | Onward::MemberAuthorities | Onward::CustomerOfNetwork => {
            Tlp::Amber
        }
        Onward::OwnOrganisation => Tlp::AmberStrict,
        Onward::NamedPersons => Tlp::Red,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::Pap;

    #[test]
    fn the_marking_narrows_onward_and_never_widens_it() {
        #[track_caller]
        fn check(onward: Onward, tlp: Tlp, want: Onward) {
            let handling = Handling { onward, ..Handling::default() };
            let marking = Marking { tlp, pap: Pap::Clear };
            assert_eq!(effective(&handling, marking, Notify::May).onward, want);
        }
        check(Onward::Unlimited, Tlp::Clear, Onward::Unlimited);
        check(Onward::Unlimited, Tlp::Green, Onward::Community);
        check(Onward::Unlimited, Tlp::Red, Onward::NamedPersons);
        check(Onward::MemberAuthorities, Tlp::Amber, Onward::MemberAuthorities);
        check(Onward::MemberAuthorities, Tlp::AmberStrict, Onward::OwnOrganisation);
        check(Onward::OwnOrganisation, Tlp::Clear, Onward::OwnOrganisation);
        check(Onward::Community, Tlp::Amber, Onward::OwnOrganisationAndClients);
    }

    #[test]
    fn must_not_wins() {
        let marking = Marking { tlp: Tlp::Clear, pap: Pap::Clear };
        let may = Handling { affected_party_notification: Notify::May, ..Handling::default() };
        assert_eq!(effective(&may, marking, Notify::May).affected_party_notification, Notify::May);
        assert_eq!(effective(&may, marking, Notify::MustNot).affected_party_notification, Notify::MustNot);
        let not = Handling::default();
        assert_eq!(effective(&not, marking, Notify::May).affected_party_notification, Notify::MustNot);
    }
}
