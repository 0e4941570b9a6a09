//! What is derived under the pipeline's key: disclosure ids and salts.
//!
//! Nobody without the key can tell from an id which indicator it is about, however few there are to
//! try (`sharing.md` 0.11); and nothing here is random, so that a step replayed gives the same bytes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::sighting::Role;

/// The id of whatever `agreement` says of an indicator in a role: 32 hexadecimal digits. It stays the
/// same over versions of the agreement and of the disclosure.
pub fn disclosure_id(key: &[u8], agreement: &str, indicator_key: &str, role: Role) -> String {
    let parts = ["sightline-disclosure-v1", agreement, indicator_key, role.as_str()];
    hex::encode(&keyed(key, &parts)[..16])
}

/// The salt of one version of a disclosure: 64 hexadecimal digits. The recipient gets it with the
/// message; the ledger holds only the digest of salt and message.
pub fn salt(key: &[u8], disclosure_id: &str, version: u64) -> String {
    hex::encode(keyed(key, &["sightline-salt-v1", disclosure_id, &version.to_string()]))
}

/// HMAC-SHA-256 over the parts, each after its length in four bytes, big-endian, so that no two lists
/// of parts are the same bytes; the first names what it is for (`sharing.md` 2.5).
fn keyed(key: &[u8], parts: &[&str]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        let length = u32::try_from(part.len()).expect("names and indicators are short");
        mac.update(&length.to_be_bytes());
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    const KEY: &[u8] = &[0x11; 32];

    /// The vectors of `sharing.md` 2.5, which use the same framing.
    #[test]
    fn the_framing_is_that_of_the_vectors() {
        #[track_caller]
        fn check(agreement: &str, epoch: &str, field: &str, want: &str) {
            let parts = ["dxa-pseudonym-v1", agreement, epoch, field, "198.51.100.7"];
            assert_eq!(hex::encode(&keyed(KEY, &parts)[..16]), want);
        }
        check("dxa-peer-01", "2026Q4", "victim.ip", "d1044f977317b33463f1a2466631830a");
        check("dxa-interpol-01", "2026Q4", "victim.ip", "d426562ace8329f9e561099d9600c20f");
        check("dxa-peer-01", "2027Q1", "victim.ip", "438377defc908f6d5f82611f4765edae");
        check("dxa-peer-01", "2026Q4", "sensor.ip", "c5191c82d011b5832d8efd99e232d8bc");
    }

    #[test]
    fn ids_differ_in_every_part_and_in_nothing_else() {
        let id = |key: &[u8], agreement: &str, indicator: &str, role| {
            disclosure_id(key, agreement, indicator, role)
        };
        let base = id(KEY, "a", "ipv4:198.51.100.7", Role::C2);
        assert_eq!(base.len(), 32);
        assert_eq!(base, id(KEY, "a", "ipv4:198.51.100.7", Role::C2));
        let others = [
            id(&[0x12; 32], "a", "ipv4:198.51.100.7", Role::C2),
            id(KEY, "b", "ipv4:198.51.100.7", Role::C2),
            id(KEY, "a", "ipv4:198.51.100.8", Role::C2),
            id(KEY, "a", "ipv4:198.51.100.7", Role::Phishing),
            // The same letters, cut elsewhere.
            id(KEY, "ai", "pv4:198.51.100.7", Role::C2),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(&base, other);
            assert!(!others[..index].contains(other));
        }
    }

    #[test]
    fn salts_differ_by_version_and_are_no_ids() {
        let first = salt(KEY, "d", 1);
        assert_eq!(first.len(), 64);
        assert_eq!(first, salt(KEY, "d", 1));
        assert_ne!(first, salt(KEY, "d", 2));
        assert_ne!(salt(KEY, "d1", 1), salt(KEY, "d", 11));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// I8, for the one thing that is derived under a key: the same of the same, another of any other, and
        /// never what somebody could take for an address.
        #[test]
        fn i8_ids_are_of_all_their_parts_and_look_like_nothing_else(
            key in prop::collection::vec(any::<u8>(), 1..40),
            (agreement, other) in ("[a-z0-9-]{1,12}", "[a-z0-9-]{1,12}"),
            (indicator, another) in ("[a-z0-9:.]{1,20}", "[a-z0-9:.]{1,20}"),
            version in 1..9_u64,
        ) {
            let id = disclosure_id(&key, &agreement, &indicator, Role::C2);
            prop_assert_eq!(&id, &disclosure_id(&key, &agreement, &indicator, Role::C2));
            prop_assert_eq!(agreement == other, id == disclosure_id(&key, &other, &indicator, Role::C2));
            prop_assert_eq!(indicator == another, id == disclosure_id(&key, &agreement, &another, Role::C2));
            prop_assert_ne!(&id, &disclosure_id(&key, &agreement, &indicator, Role::Phishing));
            let mut another_key = key.clone();
            another_key[0] ^= 1;
            prop_assert_ne!(&id, &disclosure_id(&another_key, &agreement, &indicator, Role::C2));
            let salt = salt(&key, &id, version);
            prop_assert!(!salt.contains(&id) && salt != super::salt(&key, &id, version + 1));
            for text in [&id, &salt] {
                prop_assert!(text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')));
                prop_assert!(text.parse::<IpAddr>().is_err());
            }
        }
    }
}
