//! The gate before any question leaves the house: PAP decides whether it may be asked at all, TLP
//! whether a third party may learn of the indicator by being asked.

use super::Question;
use crate::sighting::{Marking, Tlp};

/// Whether a question may be asked for an indicator whose sightings are marked so. One sighting
/// that allows it is enough: what it allows does not become secret because somebody else also saw
/// the indicator. Without any sighting nothing is asked.
pub fn allows(question: &Question, markings: &[Marking]) -> bool {
    markings.iter().any(|marking| marking.pap <= question.pap && marking.tlp <= Tlp::Amber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::Pap;

    #[track_caller]
    fn check(asked_at: Pap, markings: &[(Tlp, Pap)], expected: bool) {
        let question = Question { source: "dnsbl".into(), text: "198.51.100.7".into(), pap: asked_at };
        let markings: Vec<Marking> = markings.iter().map(|&(tlp, pap)| Marking { tlp, pap }).collect();
        assert_eq!(allows(&question, &markings), expected, "{asked_at:?} {markings:?}");
    }

    #[test]
    fn the_loosest_sighting_decides() {
        check(Pap::Amber, &[(Tlp::Green, Pap::Amber)], true);
        check(Pap::Green, &[(Tlp::Green, Pap::Amber)], false);
        check(Pap::Amber, &[(Tlp::Green, Pap::Red)], false);
        check(Pap::Amber, &[(Tlp::Green, Pap::Red), (Tlp::Green, Pap::Clear)], true);
        check(Pap::Amber, &[(Tlp::Red, Pap::Clear)], false);
        check(Pap::Amber, &[(Tlp::AmberStrict, Pap::Clear)], false);
        check(Pap::Amber, &[], false);
    }
}
