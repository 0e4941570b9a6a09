//! Formats, damage, and the shorter forms.

use super::*;
use crate::dossier::SeenIds;
use crate::sighting::{Digest, Indicator, IndicatorType, RawRef, Role, Timestamp};

fn dossier() -> Dossier {
    Dossier::new(Indicator { kind: IndicatorType::Domain, value: "bad.example".to_owned() })
}

#[test]
fn another_format_and_damage_are_told_apart() {
    let bytes = encode(&dossier());
    assert_eq!(bytes[0], FORMAT);
    assert_eq!(decode(&bytes), Ok(dossier()));
    let mut other = bytes.clone();
    other[0] = 9;
    assert_eq!(decode(&other), Err(StoredError::UnknownFormat(9)));
    assert!(matches!(decode(&[]), Err(StoredError::Damaged(_))));
    assert!(matches!(decode(&bytes[..bytes.len() - 1]), Err(StoredError::Damaged(_))));
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(decode(&longer), Err(StoredError::Damaged("1 bytes after its end".to_owned())));
}

#[test]
fn ids_keep_any_time() {
    let mut dossier = dossier();
    let times = [i64::MIN, -1, 0, 1_700_000_000_000, i64::MAX];
    let ids: Vec<_> = times.map(|time| (Timestamp(time), u64::MAX - time.unsigned_abs())).into();
    dossier.ids.push(SeenIds { reporter: "a".to_owned(), role: Role::C2, ids });
    assert_eq!(decode(&encode(&dossier)), Ok(dossier));
}

#[test]
fn a_digest_is_stored_as_bytes() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder(#[serde(with = "raw")] Vec<(Timestamp, Option<u16>, RawRef)>);
    let raw = RawRef { topic: "t".to_owned(), partition: 1, offset: 2, index: 3, sha256: Digest([9; 32]) };
    let holder = Holder(vec![(Timestamp(1), Some(443), raw)]);
    let bytes = postcard::to_allocvec(&holder).expect("it is written");
    assert_eq!(bytes.iter().filter(|byte| **byte == 9).count(), 32);
    assert!(bytes.len() < 32 + 14, "{}", bytes.len());
    assert_eq!(postcard::from_bytes(&bytes), Ok(holder));
}

#[test]
fn json_shows_it_plainly() {
    let mut dossier = dossier();
    let ids = vec![(Timestamp(0), 7), (Timestamp(1_000), 8)];
    dossier.ids.push(SeenIds { reporter: "a".to_owned(), role: Role::C2, ids });
    let json = serde_json::to_value(&dossier).expect("it is written");
    assert_eq!(
        json["ids"][0]["ids"],
        serde_json::json!([["1970-01-01T00:00:00Z", 7], ["1970-01-01T00:00:01Z", 8]])
    );
    assert_eq!(serde_json::from_value::<Dossier>(json).expect("it is read"), dossier);
}
