//! Which country a top-level domain is of.
//!
//! It says nothing of where a site is or who owns it: only whose registry the name came from. Names
//! without an IANA top-level domain have no country here.

use crate::enrich::country;

/// When these tables were last compared with IANA's root zone, by way of the Public Suffix List.
pub(super) const CHECKED: &str = "2026-08-19";

/// How sure a country's own top-level domain makes us that the country can act, in percent.
const OWN: u8 = 70;
/// The same where most of the names are sold to anybody as something else.
const SOLD: u8 = 30;

/// Country codes that are not those of ISO 3166-1. `eu` is no country, `su` is none any more.
const DIFFERENT: [(&str, &str); 2] = [
    // Ascension, which is a part of `SH`.
    ("ac", "SH"),
    ("uk", "GB"),
];

/// Country codes that are mostly sold for what else they mean, or were given away for nothing: the
/// larger part of their names has nothing to do with the country. Government suffixes under them
/// (`gov.la`) are named in the list of governments. The choice is ours; there is no register of it.
const MOSTLY_SOLD: [&str; 37] = [
    "ac", // academic
    "ad", // advertising
    "ag", // Aktiengesellschaft
    "ai", // artificial intelligence
    "am", // radio
    "as", "bz", // business
    "cc", "cd", // compact disc
    "cf", // was free
    "co", // company
    "dj", "fm", // radio
    "ga", // was free
    "gd", "gg", // games
    "gl", "gq", // was free
    "im", "io", // input and output
    "la", // Los Angeles
    "ly", "me", "ml", // was free
    "ms", "nu", // now
    "pw", // professional web
    "sc", "sh", // shell
    "so", "st", "tk", // was free
    "to", "tv", // television
    "vc", // venture capital
    "vg", "ws", // web site
];

/// Internationalised country codes in IDNA ASCII, in order.
const INTERNATIONAL: [(&str, &str); 68] = [
    ("xn--2scrj9c", "IN"),
    ("xn--3e0b707e", "KR"),
    ("xn--3hcrj9c", "IN"),
    ("xn--45br5cyl", "IN"),
    ("xn--45brj9c", "IN"),
    ("xn--4dbrk0ce", "IL"),
    ("xn--54b7fta0cc", "BD"),
    ("xn--80ao21a", "KZ"),
    ("xn--90a3ac", "RS"),
    ("xn--90ae", "BG"),
    ("xn--90ais", "BY"),
    ("xn--clchc0ea0b2g2a9gcd", "SG"),
    ("xn--d1alf", "MK"),
    ("xn--fiqs8s", "CN"),
    ("xn--fiqz9s", "CN"),
    ("xn--fpcrj9c3d", "IN"),
    ("xn--fzc2c9e2c", "LK"),
    ("xn--gecrj9c", "IN"),
    ("xn--h2breg3eve", "IN"),
    ("xn--h2brj9c", "IN"),
    ("xn--h2brj9c8c", "IN"),
    ("xn--j1amh", "UA"),
    ("xn--j6w193g", "HK"),
    ("xn--kprw13d", "TW"),
    ("xn--kpry57d", "TW"),
    ("xn--l1acc", "MN"),
    ("xn--lgbbat1ad8j", "DZ"),
    ("xn--mgb2ddes", "YE"),
    ("xn--mgb9awbf", "OM"),
    ("xn--mgba3a4f16a", "IR"),
    ("xn--mgba3a4fra", "IR"),
    ("xn--mgbaam7a8h", "AE"),
    ("xn--mgbah1a3hjkrd", "MR"),
    ("xn--mgbai9a5eva00b", "PK"),
    ("xn--mgbai9azgqp6j", "PK"),
    ("xn--mgbayh7gpa", "JO"),
    ("xn--mgbbh1a", "IN"),
    ("xn--mgbbh1a71e", "IN"),
    ("xn--mgbc0a9azcg", "MA"),
    ("xn--mgbcpq6gpa1a", "BH"),
    ("xn--mgberp4a5d4a87g", "SA"),
    ("xn--mgberp4a5d4ar", "SA"),
    ("xn--mgbgu82a", "IN"),
    ("xn--mgbpl2fh", "SD"),
    ("xn--mgbqly7c0a67fbc", "SA"),
    ("xn--mgbqly7cvafr", "SA"),
    ("xn--mgbtf8fl", "SY"),
    ("xn--mgbtx2b", "IQ"),
    ("xn--mgbx4cd0ab", "MY"),
    ("xn--mix082f", "MO"),
    ("xn--mix891f", "MO"),
    ("xn--nnx388a", "TW"),
    ("xn--node", "GE"),
    ("xn--o3cw4h", "TH"),
    ("xn--ogbpf8fl", "SY"),
    ("xn--p1ai", "RU"),
    ("xn--pgbs0dh", "TN"),
    ("xn--q7ce6a", "LA"),
    ("xn--qxam", "GR"),
    ("xn--rvc1e0am3e", "IN"),
    ("xn--s9brj9c", "IN"),
    ("xn--wgbh1c", "EG"),
    ("xn--wgbl6a", "QA"),
    ("xn--xkc2al3hye2a", "LK"),
    ("xn--xkc2dl3a5ee0h", "IN"),
    ("xn--y9a3aq", "AM"),
    ("xn--yfro4i67o", "SG"),
    ("xn--ygbi2ammx", "PS"),
];

/// The country of the top-level domain of `name` (lower case, IDNA ASCII), and how sure that makes us
/// that the country can act on it, in percent.
pub(super) fn country_of(name: &str) -> Option<(&'static str, u8)> {
    let tld = name.rsplit('.').next()?;
    let country = if let Ok(at) = INTERNATIONAL.binary_search_by_key(&tld, |(known, _)| known) {
        INTERNATIONAL[at].1
    } else if let Some((_, country)) = DIFFERENT.iter().find(|(known, _)| *known == tld) {
        country
    } else {
        // IANA delegates the codes of ISO 3166-1 and, `ac`, `eu`, `su` and `uk` apart, no other two letters.
        country::code(tld).filter(|_| is_delegated(tld))?
    };
    Some((country, if MOSTLY_SOLD.contains(&tld) { SOLD } else { OWN }))
}

/// Whether names can be registered under a top-level domain of two letters.
fn is_delegated(tld: &str) -> bool {
    let &[first, second] = tld.as_bytes() else { return false };
    // With a label before it, because of some the list has the wildcard rule only: `*.mm`.
    psl::suffix(&[b'x', b'.', first, second]).is_some_and(|suffix| suffix.typ() == Some(psl::Type::Icann))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<(&str, u8)>) {
        assert_eq!(country_of(name), expected, "{name}");
    }

    #[test]
    fn countries_of_names() {
        check("www.shop.th", Some(("TH", 70)));
        check("th", Some(("TH", 70)));
        check("x.co.uk", Some(("GB", 70)));
        check("x.hk", Some(("HK", 70)));
        check("x.xn--o3cw4h", Some(("TH", 70)));
        check("x.xn--p1ai", Some(("RU", 70)));
        check("x.io", Some(("IO", 30)));
        check("x.la", Some(("LA", 30)));
        check("x.ac", Some(("SH", 30)));
        for without in
            ["x.eu", "x.su", "x.com", "x.example", "x.zz", "x.xk", "x.mq1", "x.xn--fiq64b", "", "x."]
        {
            check(without, None);
        }
    }

    /// Wildcard rules such as `*.mm` leave the top-level domain itself unnamed in the list.
    #[test]
    fn countries_with_wildcard_rules_only_are_known() {
        for tld in ["mm", "kh", "np", "bd", "ck", "er", "fk", "jm", "pg"] {
            assert!(country_of(&format!("x.{tld}")).is_some(), "{tld}");
        }
    }

    #[test]
    fn the_tables_are_in_order_and_true() {
        assert!(INTERNATIONAL.is_sorted_by_key(|(tld, _)| tld));
        assert!(MOSTLY_SOLD.is_sorted());
        for (tld, country) in INTERNATIONAL.into_iter().chain(DIFFERENT) {
            assert_eq!(country::code(country), Some(country));
            let suffix = psl::suffix(tld.as_bytes()).expect("a suffix");
            assert_eq!(suffix.typ(), Some(psl::Type::Icann), "{tld} is no top-level domain");
        }
        for tld in MOSTLY_SOLD {
            assert!(country_of(tld).is_some_and(|(_, confidence)| confidence == SOLD), "{tld}");
        }
    }
}
