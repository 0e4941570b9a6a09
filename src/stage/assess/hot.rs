//! Dossiers kept decoded from one batch to the next: what is busy is decoded once.
//!
//! Nothing here is state. A dossier is given back only for the very bytes that it was encoded to, so
//! an abort, a rebalance or another writer can at worst make it useless.

use indexmap::IndexMap;

use crate::dossier::Dossier;

/// Bytes of stored dossiers in each of two generations; decoded they take about three times as much.
const ROOM: usize = 16 << 20;

/// The dossiers that were used last.
#[derive(Default)]
pub(super) struct Hot {
    young: IndexMap<Vec<u8>, Box<Held>>,
    old: IndexMap<Vec<u8>, Box<Held>>,
    /// Of what is young.
    bytes: usize,
}

struct Held {
    stored: Vec<u8>,
    dossier: Dossier,
}

impl Hot {
    /// Gives back the dossier of a key, if `stored` is what it was encoded to.
    pub(super) fn take(&mut self, key: &[u8], stored: &[u8]) -> Option<Dossier> {
        let held = match self.young.swap_remove(key) {
            Some(held) => {
                self.bytes -= held.stored.len();
                held
            }
            None => self.old.swap_remove(key)?,
        };
        (held.stored == stored).then_some(held.dossier)
    }

    /// Keeps a dossier and what it was encoded to.
    pub(super) fn keep(&mut self, key: &[u8], dossier: Dossier, stored: Vec<u8>) {
        if self.bytes + stored.len() > ROOM {
            // What was not used since the last time goes.
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += stored.len();
        self.young.insert(key.to_vec(), Box::new(Held { stored, dossier }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::{Indicator, IndicatorType};

    fn dossier() -> Dossier {
        Dossier::new(Indicator { kind: IndicatorType::Domain, value: "bad.example".to_owned() })
    }

    #[test]
    fn only_what_is_stored_is_given_back_and_once() {
        let mut hot = Hot::default();
        hot.keep(b"a", dossier(), vec![1, 2]);
        assert_eq!(hot.take(b"a", &[1, 3]), None, "another state");
        hot.keep(b"a", dossier(), vec![1, 2]);
        assert_eq!(hot.take(b"b", &[1, 2]), None);
        assert_eq!(hot.take(b"a", &[1, 2]), Some(dossier()));
        assert_eq!(hot.take(b"a", &[1, 2]), None);
        assert_eq!(hot.bytes, 0);
    }

    #[test]
    fn what_was_not_used_for_long_goes_and_memory_is_bounded() {
        let mut hot = Hot::default();
        let size = ROOM / 4;
        for n in 0..40u8 {
            if n > 0 {
                assert!(hot.take(b"busy", &[7]).is_some(), "{n}");
            }
            hot.keep(b"busy", dossier(), vec![7]);
            hot.keep(&[n], dossier(), vec![0; size]);
            assert!(hot.young.len() + hot.old.len() <= 10);
        }
        assert_eq!(hot.take(&[0], &vec![0; size]), None);
        assert!(hot.take(&[39], &vec![0; size]).is_some());
    }
}
