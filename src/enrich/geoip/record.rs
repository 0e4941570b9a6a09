//! What one record of a GeoIP database says, whoever laid the record out.
//!
//! The layouts of MaxMind, DB-IP, IPinfo, IPLocate and the flat ones made from lists differ in keys,
//! in nesting and in the types of values, and decoding one as another gives no error but nothing. So
//! one reader takes them all, key by key: whatever is absent or of an unexpected type is absent.
//! Coordinates are not read: they say less than they seem to, and must not point at households.
//! Layouts: `domain.md` 1.1 to 1.3.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::enrich::country;

/// Longest name of a city or an autonomous system that is kept, in characters. What is longer is cut:
/// a database must not decide how large a dossier becomes.
const LONGEST_NAME: usize = 120;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// Where the address is; ISO 3166-1 alpha-2.
    pub(crate) country: Option<&'static str>,
    /// Where its network was registered, which is often elsewhere.
    pub(crate) registered_country: Option<&'static str>,
    /// City, in English.
    pub(crate) city: Option<String>,
    /// Autonomous system.
    pub(crate) asn: Option<u32>,
    /// Its name; only where there is a number.
    pub(crate) as_name: Option<String>,
    /// Whether many places answer under this address. Then it is nowhere in particular.
    pub(crate) anycast: bool,
}

/// A record as it is laid out: the union of the keys of all layouts.
///
/// Keys that mean the same in different layouts are kept apart, because a record may have both.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Record<'a> {
    /// MaxMind, DB-IP: a map. IPinfo: a code in legacy files, an English name in current ones.
    #[serde(borrow)]
    country: Value<'a, Place<'a>>,
    /// MaxMind.
    #[serde(borrow)]
    registered_country: Value<'a, Place<'a>>,
    /// MaxMind, DB-IP: a map. IPinfo and flat layouts: a name.
    #[serde(borrow)]
    city: Value<'a, Place<'a>>,
    /// MaxMind: the anycast flag of Country and City, and the system of Enterprise.
    #[serde(borrow)]
    traits: Value<'a, Traits<'a>>,
    /// IPinfo Lite and later, IPLocate, flat layouts.
    #[serde(borrow)]
    country_code: Value<'a>,
    /// IPinfo Core and later.
    #[serde(borrow)]
    is_anycast: Value<'a>,
    /// GeoLite2-ASN, GeoIP2-ISP.
    #[serde(borrow)]
    autonomous_system_number: Value<'a>,
    /// As the number; absent for many.
    #[serde(borrow)]
    autonomous_system_organization: Value<'a>,
    /// IPinfo, IPLocate: `"AS64496"` or a number.
    #[serde(borrow)]
    asn: Value<'a>,
    /// IPinfo Lite and later.
    #[serde(borrow)]
    as_name: Value<'a>,
    /// IPinfo ASN, IPLocate. It means the system only beside `asn`.
    #[serde(borrow)]
    name: Value<'a>,
}

/// A country or a city of MaxMind's layouts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place<'a> {
    #[serde(borrow)]
    iso_code: Value<'a>,
    #[serde(borrow)]
    names: Value<'a, Names<'a>>,
}

/// Names by locale.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    #[serde(borrow)]
    en: Value<'a>,
}

/// MaxMind's `traits`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Traits<'a> {
    #[serde(borrow)]
    is_anycast: Value<'a>,
    #[serde(borrow)]
    autonomous_system_number: Value<'a>,
    #[serde(borrow)]
    autonomous_system_organization: Value<'a>,
}

impl Record<'_> {
    /// What it says.
    pub(crate) fn facts(&self) -> Facts {
        let traits = self.traits.map();
        let asn = self
            .autonomous_system_number
            .number()
            .or_else(|| self.asn.number())
            .or_else(|| traits?.autonomous_system_number.number());
        let as_name = || {
            self.autonomous_system_organization
                .name()
                .or_else(|| self.as_name.name())
                .or_else(|| self.name.name())
                .or_else(|| traits?.autonomous_system_organization.name())
        };
        Facts {
            country: self.country_code.code().or_else(|| self.country.place_code()),
            registered_country: self.registered_country.place_code(),
            city: self.city.place_name(),
            asn,
            as_name: asn.and_then(|_| as_name()),
            anycast: self.is_anycast.flag() || traits.is_some_and(|traits| traits.is_anycast.flag()),
        }
    }
}

/// A value of any type, of which a text, a number, a boolean or a map of the expected kind is kept.
#[derive(Debug, Default)]
enum Value<'a, M = IgnoredAny> {
    /// Absent, or of a type that is of no use here.
    #[default]
    Nothing,
    Text(&'a str),
    Number(u64),
    Flag(bool),
    Map(M),
}

impl<'a, M> Value<'a, M> {
    fn text(&self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn map(&self) -> Option<&M> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// A name as it may leave us: no blanks around it, no control characters, not empty, not too long.
    fn name(&self) -> Option<String> {
        let shown = |char: &char| !char.is_control();
        let name: String = self.text()?.trim().chars().filter(shown).take(LONGEST_NAME).collect();
        // A dash is how some layouts write an unknown place.
        if name.is_empty() || name == "-" { None } else { Some(name) }
    }

    /// A country code. No country's English name has two letters, so that a name is never taken for one.
    fn code(&self) -> Option<&'static str> {
        self.text().and_then(country::code)
    }

    /// The number of an autonomous system, from a number or from a text with or without `AS`. 0 is
    /// reserved (RFC 7607) and means none.
    fn number(&self) -> Option<u32> {
        let number = match self {
            Self::Number(number) => u32::try_from(*number).ok()?,
            Self::Text(text) => {
                let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
                digits.trim().parse().ok()?
            }
            _ => return None,
        };
        (number != 0).then_some(number)
    }

    /// A boolean, or the text `true` of the layouts that have texts only.
    fn flag(&self) -> bool {
        matches!(self, Self::Flag(true) | Self::Text("true"))
    }
}

impl Value<'_, Place<'_>> {
    fn place_code(&self) -> Option<&'static str> {
        self.map().map_or_else(|| self.code(), |place| place.iso_code.code())
    }

    fn place_name(&self) -> Option<String> {
        self.map().map_or_else(|| self.name(), |place| place.names.map()?.en.name())
    }
}

impl<'de: 'a, 'a, M: Deserialize<'de>> Deserialize<'de> for Value<'a, M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue(PhantomData))
    }
}

/// Takes every type, so that one unexpected value loses itself and not the record.
struct AnyValue<'a, M>(PhantomData<(&'a (), M)>);

impl<'de: 'a, 'a, M: Deserialize<'de>> Visitor<'de> for AnyValue<'a, M> {
    type Value = Value<'a, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(number).map_or(Value::Nothing, Value::Number))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        M::deserialize(MapAccessDeserializer::new(map)).map(Value::Map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layouts as JSON; the same through real files is in `tests/it/geoip.rs`.
    #[track_caller]
    fn check(record: &str, expected: &str) {
        let facts = serde_json::from_str::<Record<'_>>(record).expect("a record").facts();
        let shown = format!(
            "{} {} {} {} {}{}",
            facts.country.unwrap_or("-"),
            facts.registered_country.unwrap_or("-"),
            facts.city.as_deref().unwrap_or("-"),
            facts.asn.map_or("-".to_owned(), |asn| asn.to_string()),
            facts.as_name.as_deref().unwrap_or("-"),
            if facts.anycast { " anycast" } else { "" },
        );
        assert_eq!(shown, expected, "{record}");
    }

    #[test]
    fn every_layout_is_understood() {
        // MaxMind City, Enterprise, ASN.
        check(
            r#"{"city":{"names":{"en":"London","de":"London"}},"country":{"iso_code":"GB"},
                "registered_country":{"iso_code":"US"},"location":{"latitude":51.5},
                "subdivisions":[{"iso_code":"ENG"}]}"#,
            "GB US London - -",
        );
        check(
            r#"{"country":{"iso_code":"SE"},"traits":{"autonomous_system_number":64496,
                "autonomous_system_organization":"Example AB"}}"#,
            "SE - - 64496 Example AB",
        );
        check(r#"{"traits":{"is_anycast":true}}"#, "- - - - - anycast");
        check(r#"{"autonomous_system_number":209}"#, "- - - 209 -");
        // City names in other languages only.
        check(r#"{"city":{"names":{"ja":"ロンドン"}},"country":{"iso_code":"GB"}}"#, "GB - - - -");
        // IPinfo Lite, legacy, new ASN; flags as texts.
        check(
            r#"{"country":"Thailand","country_code":"TH","continent":"Asia","asn":"AS64496","as_name":"Example"}"#,
            "TH - - 64496 Example",
        );
        check(r#"{"country":"Thailand","continent":"Asia"}"#, "- - - - -");
        check(r#"{"country":"TH","city":"Bangkok","lat":"13.75","lng":"100.5"}"#, "TH - Bangkok - -");
        check(r#"{"asn":"AS64496","name":"Example","domain":"isp.example"}"#, "- - - 64496 Example");
        check(r#"{"country_code":"TH","is_anycast":"true"}"#, "TH - - - - anycast");
        check(r#"{"country_code":"TH","is_anycast":"false"}"#, "TH - - - -");
        // IPLocate and flat layouts.
        check(
            r#"{"asn":64496,"country_code":"TH","name":"EXAMPLE","org":"Example Co."}"#,
            "TH - - 64496 EXAMPLE",
        );
        check(
            r#"{"city":"South Brisbane","country_code":"AU","state1":"Queensland"}"#,
            "AU - South Brisbane - -",
        );
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        check("{}", "- - - - -");
        check(r#"{"city":"","country_code":"","postcode":"","asn":"","as_name":"Nobody"}"#, "- - - - -");
        check(r#"{"city":"-","country_code":"-"}"#, "- - - - -");
        check(r#"{"country":{"iso_code":"EU"},"country_code":"ZZ"}"#, "- - - - -");
        check(r#"{"asn":0,"autonomous_system_number":"AS0"}"#, "- - - - -");
        check(r#"{"asn":4294967296}"#, "- - - - -");
        check(
            r#"{"country":["TH"],"city":7,"asn":{"a":{"b":[1]}},"traits":"x","is_anycast":1.5}"#,
            "- - - - -",
        );
    }

    #[test]
    fn names_are_bounded_and_clean() {
        check("{\"city\":\"  Bang\u{7f}kok \"}", "- - Bangkok - -");
        let long = format!(r#"{{"city":"{}"}}"#, "ก".repeat(500));
        let facts = serde_json::from_str::<Record<'_>>(&long).unwrap().facts();
        assert_eq!(facts.city.unwrap().chars().count(), LONGEST_NAME);
    }
}
