//! Why a text is no indicator and a record no sighting: a closed list with stable names.
//!
//! It does not say what happens to such a record; that is intake's.

use std::borrow::Cow;

/// Every reason for which a record becomes a dead letter at intake.
///
/// The names are written into dead letters and label metrics, so they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    // The record.
    /// The record has no value, or an empty one.
    Empty,
    /// The value is not UTF-8.
    NotUtf8,
    /// The value is not JSON.
    NotJson,
    /// The JSON is nested more deeply than any record of ours.
    TooDeep,
    /// The JSON has more values than any record of ours.
    TooComplex,
    /// A key stands twice in one object; which of the two is meant can't be known.
    DuplicateKey,
    /// The JSON is neither an object nor a list of objects where one is needed.
    WrongShape,
    /// The CSV breaks the rules of quoting.
    NotCsv,
    /// The header line is missing, repeats a column, or lacks one that the mapping names.
    BadHeader,
    /// A row has more or fewer columns than the header.
    ColumnCount,
    /// The record holds no sighting at all.
    NoSightings,
    /// The record holds more sightings than its topic may carry at once.
    TooManySightings,
    /// The program failed on this record; the record may be fine.
    Internal,

    // The fields.
    /// A key that the format does not have.
    UnknownField,
    /// A field that every sighting has is not there.
    MissingField,
    /// A field holds another JSON type than it should.
    WrongType,
    /// A text is empty where it must not be, or holds control characters.
    BadText,
    /// A text or a list is longer than allowed.
    TooLong,
    /// The type is none of the indicator types.
    BadIndicatorType,
    /// The role is none of the roles.
    BadRole,
    /// The time can't be read in the form that the format states.
    BadTime,
    /// The time lies before 1990.
    TimeTooOld,
    /// The time lies more than a day ahead of intake's clock.
    TimeInFuture,
    /// The port is not a number from 1 to 65535.
    BadPort,
    /// The indicator names one port and the field another.
    PortConflict,
    /// The protocol is neither `tcp` nor `udp`.
    BadProtocol,
    /// The confidence is not a whole number from 0 to 100.
    BadConfidence,
    /// The TLP label is unknown; it must never be taken as open.
    BadTlp,
    /// The PAP label is unknown; it must never be taken as open.
    BadPap,
    /// The country is not two letters.
    BadCountry,
    /// The topic carries several reporters and the record does not say which.
    ReporterMissing,
    /// The record names a reporter that its topic may not carry.
    ReporterNotAllowed,

    // The indicator.
    /// The indicator is empty.
    IndicatorEmpty,
    /// The indicator is longer than 8 KiB.
    IndicatorTooLong,
    /// The indicator holds control characters, so it may be two texts run together.
    IndicatorControl,
    /// The indicator's type can't be told from the text.
    IndicatorUnknown,
    /// The indicator is well formed, but of another type than the record says.
    TypeMismatch,
    /// The text is not an IP address.
    BadIp,
    /// The address lies in a block that IANA set aside; it identifies nobody.
    SpecialPurpose,
    /// The text is not a domain name.
    BadDomain,
    /// The name lies under a suffix that never resolves publicly, or is reserved for examples.
    SpecialUseName,
    /// The name is a public suffix: everybody under it would be meant.
    PublicSuffix,
    /// The text is not a URL with a host.
    BadUrl,
    /// The URL's scheme names no host on a network.
    UrlScheme,
    /// The text is not a hash of the stated kind.
    BadHash,
    /// The hash is that of the empty file, or all zeros: it identifies nothing.
    WellKnownHash,
    /// The text is not an AS number, or a reserved one.
    BadAsn,
}

impl Reason {
    /// All reasons in order.
    pub const ALL: [Self; 47] = [
        Self::Empty,
        Self::NotUtf8,
        Self::NotJson,
        Self::TooDeep,
        Self::TooComplex,
        Self::DuplicateKey,
        Self::WrongShape,
        Self::NotCsv,
        Self::BadHeader,
        Self::ColumnCount,
        Self::NoSightings,
        Self::TooManySightings,
        Self::Internal,
        Self::UnknownField,
        Self::MissingField,
        Self::WrongType,
        Self::BadText,
        Self::TooLong,
        Self::BadIndicatorType,
        Self::BadRole,
        Self::BadTime,
        Self::TimeTooOld,
        Self::TimeInFuture,
        Self::BadPort,
        Self::PortConflict,
        Self::BadProtocol,
        Self::BadConfidence,
        Self::BadTlp,
        Self::BadPap,
        Self::BadCountry,
        Self::ReporterMissing,
        Self::ReporterNotAllowed,
        Self::IndicatorEmpty,
        Self::IndicatorTooLong,
        Self::IndicatorControl,
        Self::IndicatorUnknown,
        Self::TypeMismatch,
        Self::BadIp,
        Self::SpecialPurpose,
        Self::BadDomain,
        Self::SpecialUseName,
        Self::PublicSuffix,
        Self::BadUrl,
        Self::UrlScheme,
        Self::BadHash,
        Self::WellKnownHash,
        Self::BadAsn,
    ];

    /// The name in dead letters and metrics.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// What it means, for the manual: one sentence, lower case, no full stop.
    pub fn sentence(self) -> &'static str {
        self.entry().1
    }

    /// Whether it is a fault of ours and not of the record.
    pub fn is_unexpected(self) -> bool {
        self == Self::Internal
    }

    fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::Empty => ("empty", "the record has no value, or an empty one"),
            Self::NotUtf8 => ("not-utf8", "the value is not UTF-8"),
            Self::NotJson => ("not-json", "the value is not JSON"),
            Self::TooDeep => ("too-deep", "the JSON is nested more deeply than any record of ours"),
            Self::TooComplex => ("too-complex", "the JSON has more values than any record of ours"),
            Self::DuplicateKey => ("duplicate-key", "a key stands twice in one object"),
            Self::WrongShape => {
                ("wrong-shape", "the JSON is not an object, or a list of objects, where one is needed")
            }
            Self::NotCsv => ("not-csv", "the CSV breaks the rules of quoting"),
            Self::BadHeader => {
                ("bad-header", "the header line is missing, repeats a column or lacks a mapped one")
            }
            Self::ColumnCount => ("column-count", "a row has more or fewer columns than the header"),
            Self::NoSightings => ("no-sightings", "the record holds no sighting"),
            Self::TooManySightings => {
                ("too-many-sightings", "the record holds more sightings than its topic may carry at once")
            }
            Self::Internal => ("internal", "the program failed on this record; report it"),
            Self::UnknownField => ("unknown-field", "a key that the format does not have"),
            Self::MissingField => ("missing-field", "a field that every sighting has is not there"),
            Self::WrongType => ("wrong-type", "a field holds another JSON type than it should"),
            Self::BadText => {
                ("bad-text", "a text is empty where it must not be, or holds control characters")
            }
            Self::TooLong => ("too-long", "a text or a list is longer than allowed"),
            Self::BadIndicatorType => ("bad-indicator-type", "the type is none of the indicator types"),
            Self::BadRole => ("bad-role", "the role is none of the roles"),
            Self::BadTime => ("bad-time", "the time can't be read in the form that the format states"),
            Self::TimeTooOld => ("time-too-old", "the time lies before 1990"),
            Self::TimeInFuture => ("time-in-future", "the time lies more than a day ahead of intake's clock"),
            Self::BadPort => ("bad-port", "the port is not a number from 1 to 65535"),
            Self::PortConflict => ("port-conflict", "the indicator names one port and the field another"),
            Self::BadProtocol => ("bad-protocol", "the protocol is neither tcp nor udp"),
            Self::BadConfidence => ("bad-confidence", "the confidence is not a whole number from 0 to 100"),
            Self::BadTlp => ("bad-tlp", "the TLP label is unknown"),
            Self::BadPap => ("bad-pap", "the PAP label is unknown"),
            Self::BadCountry => ("bad-country", "the country is not two letters"),
            Self::ReporterMissing => {
                ("reporter-missing", "the topic carries several reporters and the record names none")
            }
            Self::ReporterNotAllowed => {
                ("reporter-not-allowed", "the record names a reporter that its topic may not carry")
            }
            Self::IndicatorEmpty => ("indicator-empty", "the indicator is empty"),
            Self::IndicatorTooLong => ("indicator-too-long", "the indicator is longer than 8 KiB"),
            Self::IndicatorControl => ("indicator-control", "the indicator holds control characters"),
            Self::IndicatorUnknown => {
                ("indicator-unknown", "the indicator's type can't be told from the text")
            }
            Self::TypeMismatch => ("type-mismatch", "the indicator is of another type than the record says"),
            Self::BadIp => ("bad-ip", "the text is not an IP address"),
            Self::SpecialPurpose => {
                ("special-purpose", "the address lies in a block set aside by IANA, and identifies nobody")
            }
            Self::BadDomain => ("bad-domain", "the text is not a domain name"),
            Self::SpecialUseName => {
                ("special-use-name", "the name lies under a suffix that never resolves publicly")
            }
            Self::PublicSuffix => {
                ("public-suffix", "the name is a public suffix, which would mean everybody under it")
            }
            Self::BadUrl => ("bad-url", "the text is not a URL with a host"),
            Self::UrlScheme => ("url-scheme", "the URL's scheme names no host on a network"),
            Self::BadHash => ("bad-hash", "the text is not a hash of the stated kind"),
            Self::WellKnownHash => ("well-known-hash", "the hash is that of the empty file, or all zeros"),
            Self::BadAsn => ("bad-asn", "the text is not an AS number, or a reserved one"),
        }
    }
}

/// The most bytes of a reject's text.
pub const MAX_TEXT: usize = 1024;

/// `text` cut at a character to at most `max` bytes, with an ellipsis where something is missing.
pub(super) fn cut(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let ellipsis = "…";
    let mut end = max.saturating_sub(ellipsis.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{ellipsis}", &text[..end]))
}

/// A text of a record as it may stand in a message: short, in quotes, control characters escaped.
pub(super) fn quote(text: &str) -> String {
    format!("{:?}", cut(text, 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_kebab() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for name in names {
            assert!(name.split('-').all(|word| !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())));
        }
    }

    #[test]
    fn all_lists_every_reason_in_order() {
        assert!(Reason::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        // The last variant's number is one less than how many there are.
        assert_eq!(Reason::BadAsn as usize + 1, Reason::ALL.len());
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!(cut("short", 80), "short");
        assert_eq!(cut("ééééé", 8), "éé…");
        assert!(cut(&"é".repeat(4000), MAX_TEXT).len() <= MAX_TEXT);
        assert_eq!(quote("a\u{0}\n"), "\"a\\0\\n\"");
    }
}
