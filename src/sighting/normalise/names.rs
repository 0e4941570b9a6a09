//! Domain names: the canonical form, and where the registrable part begins.
//!
//! It decides nothing about special-use names and public suffixes; it only finds them.

use std::borrow::Cow;

use psl::Type;

/// The longest name in text without the trailing dot (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;
/// The longest label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// The canonical form of a domain name: IDNA ASCII (UTS 46, non-transitional), lower case, no
/// trailing dot; at least two labels, and a last label that begins with a letter.
///
/// Underscores and leading or trailing hyphens are let through, except in the last label: the DNS
/// carries them, and malware uses them.
///
/// # Errors
/// What is wrong with it, without the name itself.
pub(super) fn canonical(text: &str) -> Result<Cow<'_, str>, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let ascii = if is_plain(text) {
        Cow::Borrowed(text)
    } else {
        let ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL)
            .map_err(|err| format!("it holds characters that no domain name has (UTS 46): {err}"))?;
        // The dots of other scripts are dots too, so a trailing one may only show now.
        match ascii {
            Cow::Borrowed(ascii) => Cow::Borrowed(ascii.strip_suffix('.').unwrap_or(ascii)),
            Cow::Owned(mut ascii) => {
                if ascii.ends_with('.') {
                    ascii.pop();
                }
                Cow::Owned(ascii)
            }
        }
    };
    shape(&ascii)?;
    Ok(ascii)
}

/// Whether IDNA would return it as it is: most names, and the look-up is not free.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_'))
        && !text.split('.').any(|label| label.starts_with("xn--"))
}

fn shape(name: &str) -> Result<(), String> {
    if name.len() > MAX_NAME {
        return Err(format!("it is {} characters long; a name has at most {MAX_NAME}", name.len()));
    }
    let mut last = "";
    let mut n_labels = 0;
    for label in name.split('.') {
        if label.is_empty() {
            return Err("it has an empty label".to_owned());
        }
        if label.len() > MAX_LABEL {
            return Err(format!("a label is {} characters long; it has at most {MAX_LABEL}", label.len()));
        }
        if !label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
        {
            return Err(
                "a label holds something other than letters, digits, hyphen and underscore".to_owned()
            );
        }
        last = label;
        n_labels += 1;
    }
    if n_labels < 2 {
        return Err("it has a single label; write the whole name".to_owned());
    }
    if !last.starts_with(|first: char| first.is_ascii_lowercase())
        || last.contains('_')
        || last.ends_with('-')
    {
        return Err("its top-level domain is none that there can be (RFC 3696 section 2)".to_owned());
    }
    Ok(())
}

/// Whether a canonical name is a public suffix itself, of the ICANN or the private section.
pub(super) fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.as_bytes() == name.as_bytes())
}

/// Whether the list knows the name's top-level domain.
pub(super) fn is_known_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known())
}

/// The registrable part of a canonical name by the whole Public Suffix List, private section
/// included: `evil.github.io` of `www.evil.github.io`. It is what one tenant has; none for a public
/// suffix itself. Names under an unknown top-level domain are taken to be registered directly under
/// it; `.onion` is none of the list's business, so that an onion service is its own name's last two
/// labels.
pub fn registrable(domain: &str) -> Option<&str> {
    psl::domain_str(domain)
}

/// As [`registrable`] by the ICANN section alone: `github.io` of `www.evil.github.io`. It is what
/// somebody bought from a registry.
pub fn registrable_icann(domain: &str) -> Option<&str> {
    let mut suffix = psl::suffix(domain.as_bytes())?;
    let mut start = domain.len() - suffix.as_bytes().len();
    while suffix.typ() == Some(Type::Private) {
        // A private suffix stands under another: one label fewer leads to it.
        start += domain[start..].find('.')? + 1;
        suffix = psl::suffix(&domain.as_bytes()[start..])?;
        start = domain.len() - suffix.as_bytes().len();
    }
    let before = domain[..start].strip_suffix('.')?;
    Some(&domain[before.rfind('.').map_or(0, |dot| dot + 1)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: Option<&str>) {
        assert_eq!(canonical(text).ok().as_deref(), name, "{text:?}");
        if let Some(name) = name {
            assert_eq!(canonical(name).as_deref(), Ok(name), "{name:?} again");
        }
    }

    #[test]
    fn canonical_forms() {
        check("WWW.Example.CO.UK", Some("www.example.co.uk"));
        check("example.com.", Some("example.com"));
        check("example.com..", None);
        check("faß.de", Some("xn--fa-hia.de"));
        check("аррӏе.com", Some("xn--80ak6aa92e.com"));
        check("例え。テスト。", Some("xn--r8jz45g.xn--zckzah"));
        check("_dmarc.example.com", Some("_dmarc.example.com"));
        check("a_b.example.com", Some("a_b.example.com"));
        check("-bad-.com", Some("-bad-.com"));
        check("a.b_c", None);
        check("a..b.com", None);
        check(".a.com", None);
        check("xn--a.com", None);
        check("localhost", None);
        check("", None);
        check(".", None);
        check("1.2.3.4", None);
        check("1.2.3.400", None);
        check("a.1", None);
        check("a.0x1", None);
        check("a b.com", None);
        check("*.a.com", None);
        check("a@b.com", None);
        check("a/b.com", None);
        check("a%41.com", None);
        check(&format!("{}.com", "a".repeat(63)), Some(&format!("{}.com", "a".repeat(63))));
        check(&format!("{}.com", "a".repeat(64)), None);
        check(&format!("{}com", "a.".repeat(125)), Some(&format!("{}com", "a.".repeat(125))));
        check(&format!("{}com", "a.".repeat(126)), None);
    }

    #[track_caller]
    fn check_registrable(domain: &str, whole: Option<&str>, icann: Option<&str>) {
        assert_eq!(registrable(domain), whole, "{domain}");
        assert_eq!(registrable_icann(domain), icann, "{domain} by ICANN");
    }

    #[test]
    fn registrable_parts() {
        check_registrable("www.example.co.uk", Some("example.co.uk"), Some("example.co.uk"));
        check_registrable("www.evil.github.io", Some("evil.github.io"), Some("github.io"));
        check_registrable("github.io", None, Some("github.io"));
        check_registrable("evil.github.io", Some("evil.github.io"), Some("github.io"));
        check_registrable("co.uk", None, None);
        check_registrable("uk", None, None);
        check_registrable("bucket.s3.amazonaws.com", Some("bucket.s3.amazonaws.com"), Some("amazonaws.com"));
        check_registrable("a.b.notatld", Some("b.notatld"), Some("b.notatld"));
        check_registrable("a.www.ck", Some("www.ck"), Some("www.ck"));
        check_registrable("", None, None);
    }
}
