//! Hashes and AS numbers: the forms that need no network knowledge.
//!
//! A hash of 32 hexadecimal digits may be JA3, an import hash or a UUID as well; only the record
//! can say, so without a stated type it is taken for MD5.

use crate::sighting::IndicatorType;
use crate::sighting::reason::Reason;

use super::Refusal;

/// The digests of the empty input: a file that could not be read, not malware.
const EMPTY_FILE: [&str; 6] = [
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
    "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
];

/// How many hexadecimal digits a hash of this type has; none for other types.
fn digits(kind: IndicatorType) -> Option<usize> {
    Some(match kind {
        IndicatorType::Md5 => 32,
        IndicatorType::Sha1 => 40,
        IndicatorType::Sha224 => 56,
        IndicatorType::Sha256 => 64,
        IndicatorType::Sha384 => 96,
        IndicatorType::Sha512 => 128,
        _ => return None,
    })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The type that a text has if it is a hash.
pub(super) fn detect(text: &str) -> Option<IndicatorType> {
    if is_tlsh(text) {
        return Some(IndicatorType::Tlsh);
    }
    if is_ssdeep(text) {
        return Some(IndicatorType::Ssdeep);
    }
    let kind = IndicatorType::ALL.into_iter().find(|kind| digits(*kind) == Some(text.len()))?;
    is_hex(text).then_some(kind)
}

/// The canonical form: hexadecimal in lower case; TLSH as its tools print it, `T1` and upper case;
/// ssdeep as it is, because its letters are base64.
pub(super) fn canonical(kind: IndicatorType, text: &str) -> Result<String, Refusal> {
    let canonical = match kind {
        IndicatorType::Tlsh => {
            if !is_tlsh(text) {
                return Err(Refusal::new(Reason::BadHash, "a TLSH is `T1` and 70 hexadecimal digits"));
            }
            let digits = &text[text.len() - 70..];
            format!("T1{}", digits.to_ascii_uppercase())
        }
        IndicatorType::Ssdeep => {
            if !is_ssdeep(text) {
                return Err(Refusal::new(
                    Reason::BadHash,
                    "an ssdeep hash is `blocksize:hash:hash`, its block size 3 times a power of two",
                ));
            }
            text.to_owned()
        }
        _ => {
            let digits = digits(kind).unwrap_or_default();
            if text.len() != digits || !is_hex(text) {
                return Err(Refusal::new(
                    Reason::BadHash,
                    format!("a {} hash is {digits} hexadecimal digits", kind.as_str()),
                ));
            }
            text.to_ascii_lowercase()
        }
    };
    let zeros = match kind {
        IndicatorType::Ssdeep => canonical.ends_with("::"),
        IndicatorType::Tlsh => canonical.bytes().skip(2).all(|byte| byte == b'0'),
        _ => canonical.bytes().all(|byte| byte == b'0'),
    };
    if zeros || EMPTY_FILE.contains(&canonical.as_str()) {
        return Err(Refusal::new(
            Reason::WellKnownHash,
            "the hash is that of an empty file, or all zeros, and identifies nothing",
        ));
    }
    Ok(canonical)
}

/// `T1` and 70 hexadecimal digits, or the 70 digits of the form before TLSH 4.
fn is_tlsh(text: &str) -> bool {
    let digits = text.strip_prefix("T1").or_else(|| text.strip_prefix("t1")).unwrap_or(text);
    digits.len() == 70 && is_hex(digits)
}

fn is_ssdeep(text: &str) -> bool {
    let mut parts = text.split(':');
    let (Some(block), Some(first), Some(second), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_base64 = |part: &str| {
        part.len() <= 64
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
    };
    let is_block = !block.starts_with('0')
        && block.bytes().all(|byte| byte.is_ascii_digit())
        && block.parse::<u32>().is_ok_and(|size| size % 3 == 0 && (size / 3).is_power_of_two());
    is_block && is_base64(first) && is_base64(second)
}

/// The type that a text has if it is an AS number; bare digits are not taken for one.
pub(super) fn is_asn(text: &str) -> bool {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
    digits.is_some_and(|digits| {
        digits.starts_with(|first: char| first.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// `AS64496`, from `AS64496`, `as64496`, `64496` or asdot `0.64496` (RFC 5396).
pub(super) fn asn(text: &str) -> Result<String, Refusal> {
    let prefix = text.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("as"));
    let digits = &text[prefix.map_or(0, str::len)..];
    let number = |part: &str| {
        // `parse` would take a sign.
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten()
    };
    let value = match digits.split_once('.') {
        None => number(digits),
        Some((high, low)) => match (number(high), number(low)) {
            (Some(high @ ..=0xffff), Some(low @ ..=0xffff)) => Some(high << 16 | low),
            _ => None,
        },
    };
    match value {
        None => Err(Refusal::new(Reason::BadAsn, "write an AS number as AS64496, 64496 or 0.64496")),
        Some(value @ (0 | 0xffff | u32::MAX)) => {
            Err(Refusal::new(Reason::BadAsn, format!("AS{value} is reserved (RFC 7607, RFC 7300)")))
        }
        Some(value) => Ok(format!("AS{value}")),
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest as _;

    use super::*;

    #[test]
    fn the_empty_file_has_these_digests() {
        // MD5 is in none of our crates; the others are computed.
        assert_eq!(EMPTY_FILE[2], hex::encode(sha2::Sha224::digest(b"")));
        assert_eq!(EMPTY_FILE[3], hex::encode(sha2::Sha256::digest(b"")));
        assert_eq!(EMPTY_FILE[4], hex::encode(sha2::Sha384::digest(b"")));
        assert_eq!(EMPTY_FILE[5], hex::encode(sha2::Sha512::digest(b"")));
    }

    #[track_caller]
    fn check(kind: IndicatorType, text: &str, want: Result<&str, &str>) {
        let got = canonical(kind, text);
        assert_eq!(got.as_deref().map_err(|refusal| refusal.code), want, "{text}");
    }

    #[test]
    fn canonical_hashes() {
        use IndicatorType::{Md5, Sha1, Sha256, Ssdeep, Tlsh};
        check(Md5, &"aB".repeat(16), Ok(&"ab".repeat(16)));
        check(Md5, &"aB".repeat(20), Err("bad-hash"));
        check(Md5, &"g".repeat(32), Err("bad-hash"));
        check(Sha1, &"aB".repeat(20), Ok(&"ab".repeat(20)));
        check(Sha256, &"0".repeat(64), Err("well-known-hash"));
        check(Sha256, &EMPTY_FILE[3].to_uppercase(), Err("well-known-hash"));
        check(Md5, EMPTY_FILE[0], Err("well-known-hash"));
        check(Sha1, EMPTY_FILE[1], Err("well-known-hash"));
        check(Tlsh, &format!("t1{}", "aB".repeat(35)), Ok(&format!("T1{}", "AB".repeat(35))));
        check(Tlsh, &"aB".repeat(35), Ok(&format!("T1{}", "AB".repeat(35))));
        check(Tlsh, &"aB".repeat(36), Err("bad-hash"));
        check(Ssdeep, "96:aBc+/:Xy", Ok("96:aBc+/:Xy"));
        check(Ssdeep, "97:aBc+/:Xy", Err("bad-hash"));
        check(Ssdeep, "3::", Err("well-known-hash"));
        check(Ssdeep, "3:a:b:c", Err("bad-hash"));
    }

    #[test]
    fn as_numbers() {
        for text in ["AS3320", "as3320", "aS3320", "3320", "0.3320"] {
            assert_eq!(asn(text).unwrap(), "AS3320", "{text}");
        }
        assert_eq!(asn("1.10").unwrap(), "AS65546");
        assert_eq!(asn("4294967294").unwrap(), "AS4294967294");
        for text in
            ["", "AS", "0", "65535", "4294967295", "4294967296", "1.65536", "65536.1", "+5", "1.2.3", "ASé"]
        {
            assert_eq!(asn(text).unwrap_err().code, "bad-asn", "{text}");
        }
    }
}
