//! Country codes as sources write them, brought to ISO 3166-1 alpha-2.
//!
//! It holds no names of countries and no judgement about borders: a code that is not in the
//! standard is no country here, however often a source uses it.

/// The 249 officially assigned codes of ISO 3166-1 alpha-2, in order.
const ASSIGNED: [&str; 249] = [
    "AD", "AE", "AF", "AG", "AI", "AL", "AM", "AO", "AQ", "AR", "AS", "AT", "AU", "AW", "AX", "AZ", "BA",
    "BB", "BD", "BE", "BF", "BG", "BH", "BI", "BJ", "BL", "BM", "BN", "BO", "BQ", "BR", "BS", "BT", "BV",
    "BW", "BY", "BZ", "CA", "CC", "CD", "CF", "CG", "CH", "CI", "CK", "CL", "CM", "CN", "CO", "CR", "CU",
    "CV", "CW", "CX", "CY", "CZ", "DE", "DJ", "DK", "DM", "DO", "DZ", "EC", "EE", "EG", "EH", "ER", "ES",
    "ET", "FI", "FJ", "FK", "FM", "FO", "FR", "GA", "GB", "GD", "GE", "GF", "GG", "GH", "GI", "GL", "GM",
    "GN", "GP", "GQ", "GR", "GS", "GT", "GU", "GW", "GY", "HK", "HM", "HN", "HR", "HT", "HU", "ID", "IE",
    "IL", "IM", "IN", "IO", "IQ", "IR", "IS", "IT", "JE", "JM", "JO", "JP", "KE", "KG", "KH", "KI", "KM",
    "KN", "KP", "KR", "KW", "KY", "KZ", "LA", "LB", "LC", "LI", "LK", "LR", "LS", "LT", "LU", "LV", "LY",
    "MA", "MC", "MD", "ME", "MF", "MG", "MH", "MK", "ML", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MT",
    "MU", "MV", "MW", "MX", "MY", "MZ", "NA", "NC", "NE", "NF", "NG", "NI", "NL", "NO", "NP", "NR", "NU",
    "NZ", "OM", "PA", "PE", "PF", "PG", "PH", "PK", "PL", "PM", "PN", "PR", "PS", "PT", "PW", "PY", "QA",
    "RE", "RO", "RS", "RU", "RW", "SA", "SB", "SC", "SD", "SE", "SG", "SH", "SI", "SJ", "SK", "SL", "SM",
    "SN", "SO", "SR", "SS", "ST", "SV", "SX", "SY", "SZ", "TC", "TD", "TF", "TG", "TH", "TJ", "TK", "TL",
    "TM", "TN", "TO", "TR", "TT", "TV", "TW", "TZ", "UA", "UG", "UM", "US", "UY", "UZ", "VA", "VC", "VE",
    "VG", "VI", "VN", "VU", "WF", "WS", "YE", "YT", "ZA", "ZM", "ZW",
];

/// The upper-case code, when `text` is one, in any case and with blanks around it.
///
/// `XK` (Kosovo) is accepted beside the assigned codes: it is reserved for users of the standard,
/// and every GeoIP source uses it so. Refused are what sources write for want of a country (`EU`,
/// `AP`, `ZZ`, `A1`) and withdrawn codes (`AN`).
pub(crate) fn code(text: &str) -> Option<&'static str> {
    let text = text.trim().as_bytes();
    let &[first, second] = text else { return None };
    let upper = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
    if upper == *b"XK" {
        return Some("XK");
    }
    let found = ASSIGNED.binary_search_by(|known| known.as_bytes().cmp(&upper)).ok()?;
    Some(ASSIGNED[found])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(code(text), expected, "{text:?}");
    }

    #[test]
    fn codes_are_assigned_ones() {
        check("TH", Some("TH"));
        check(" th ", Some("TH"));
        // Hong Kong and Macau have their own codes and stay themselves (`sharing.md` 3.3).
        check("HK", Some("HK"));
        check("MO", Some("MO"));
        check("NO", Some("NO"));
        check("XK", Some("XK"));
        for not_a_country in ["", "-", "T", "THA", "EU", "AP", "ZZ", "XX", "A1", "AN", "UK", "Thailand", "ÄÖ"]
        {
            check(not_a_country, None);
        }
    }

    #[test]
    fn the_table_is_in_order_and_whole() {
        assert!(ASSIGNED.is_sorted_by(|before, after| before < after));
        assert!(ASSIGNED.iter().all(|known| code(known) == Some(known)));
    }
}
