//! Taking what names a person or gives access out of a URL (`sharing.md` 2.4).
//!
//! Patterns miss things: a name in the host, an id in an unknown form. So the public gets no URLs at
//! all, whatever this does, and queries go to police only. What is replaced reads `scrubbed`.

use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;
use url::Url;

use super::gate;

/// What stands in place of what was taken out.
const SCRUBBED: &str = "scrubbed";

/// Names of parameters whose values give access. Matched as whole words of a name, in any case, and
/// at the end of a name that is one word, such as `accessToken`.
const CREDENTIALS: &[&str] = &[
    "pass",
    "passwd",
    "password",
    "pwd",
    "token",
    "auth",
    "authorization",
    "apikey",
    "key",
    "secret",
    "sig",
    "signature",
    "session",
    "sid",
    "jwt",
    "code",
    "otp",
    "state",
];
const ENDINGS: &[&str] = &[
    "token",
    "passwd",
    "password",
    "pwd",
    "secret",
    "apikey",
    "signature",
    "session",
    "sessionid",
    "sessid",
    "jwt",
    "otp",
];

/// Text of at least this many characters, mixed enough, is a secret until shown otherwise.
const LONG: usize = 20;

/// Singapore's NRIC and FIN.
static NATIONAL_ID: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)(?:^|[^a-z0-9])[STFGM]\d{7}[A-Z](?:$|[^a-z0-9])"));
static DIGITS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d{13,19}"));
static BASE64: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9+/_-]{8,}"));
static WORDS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9_-]{20,}"));
/// `user:password@` without a scheme before it.
static LOGIN: LazyLock<Regex> = LazyLock::new(|| pattern(r"[^/\s:@?&=]+:[^/\s@]*@"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of ours, compiled in a test")
}

/// How much is taken out. User information and fragment always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrub {
    /// Nothing else.
    Nothing,
    /// Values of credential parameters, and whatever holds an e-mail address, a token or an id.
    Credentials,
    /// The whole query; in the path also whatever looks like a secret.
    Strict,
}

/// The URL without what `scrub` takes out; none for what is not a URL.
pub fn scrub(text: &str, scrub: Scrub) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    if url.cannot_be_a_base() {
        return None;
    }
    url.set_fragment(None);
    // Refused only without a host; then there is no user information either.
    if !url.username().is_empty() {
        url.set_username("").ok()?;
    }
    if url.password().is_some() {
        url.set_password(None).ok()?;
    }
    if scrub == Scrub::Nothing {
        return Some(url.into());
    }
    let is_strict = scrub == Scrub::Strict;
    let path = path(url.path(), is_strict);
    if path != url.path() {
        url.set_path(&path);
    }
    match url.query().map(query) {
        Some(_) if is_strict => url.set_query(None),
        Some(query) if Some(query.as_str()) != url.query() => url.set_query(Some(&query)),
        _ => {}
    }
    Some(url.into())
}

fn path(path: &str, is_strict: bool) -> String {
    let segments: Vec<String> = path.split('/').map(|segment| pairs(segment, ';', is_strict)).collect();
    segments.join("/")
}

fn query(query: &str) -> String {
    pairs(query, '&', false)
}

/// `key=value` pairs, each kept byte for byte or scrubbed.
fn pairs(text: &str, separator: char, is_strict: bool) -> String {
    let pairs: Vec<String> = text.split(separator).map(|pair| one(pair, is_strict)).collect();
    pairs.join(&separator.to_string())
}

fn one(pair: &str, is_strict: bool) -> String {
    // `a=1;token=x` is two pairs to some servers, and one to others; and `&amp;token=x` leaves `amp;`.
    if pair.contains(';') {
        return pairs(pair, ';', is_strict);
    }
    match pair.split_once('=') {
        Some((key, _)) if is_sensitive(key, is_strict) => SCRUBBED.to_owned(),
        Some((key, "")) if is_credential(key) => pair.to_owned(),
        Some((key, value)) if is_credential(key) || is_sensitive(value, is_strict) => {
            format!("{key}={SCRUBBED}")
        }
        None if is_sensitive(pair, is_strict) => SCRUBBED.to_owned(),
        _ => pair.to_owned(),
    }
}

/// Whether a parameter of this name, percent-encoded or not, holds what gives access.
fn is_credential(key: &str) -> bool {
    gate::forms(key).iter().any(|form| {
        let lower = form.to_ascii_lowercase();
        let plain: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
        lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| CREDENTIALS.contains(&word))
            || CREDENTIALS.contains(&plain.as_str())
            || ENDINGS.iter().any(|ending| plain.ends_with(ending))
    })
}

/// Whether a value holds what names a person or gives access, however often it is encoded.
fn is_sensitive(text: &str, is_strict: bool) -> bool {
    gate::forms(text).iter().any(|form| {
        gate::has_email(form)
            || gate::has_token(form)
            || gate::has_login(form)
            || LOGIN.is_match(form)
            || NATIONAL_ID.is_match(form)
            || has_card(form)
            || has_hidden_email(form)
            || has_nested(form)
            || (is_strict && has_secret(form))
    })
}

/// A parameter within a parameter: `u=https%3A%2F%2Fa.example%2F%3Fpwd%3Dx`.
fn has_nested(text: &str) -> bool {
    text.split(['?', '&', ';', '#'])
        .skip(1)
        .filter_map(|pair| pair.split_once('='))
        .any(|(key, value)| !value.is_empty() && is_credential(key))
}

/// A payment card's number, by its check digit.
fn has_card(text: &str) -> bool {
    DIGITS.find_iter(text).any(|found| {
        let sum: u32 = found
            .as_str()
            .bytes()
            .rev()
            .enumerate()
            .map(|(index, byte)| match (u32::from(byte - b'0'), index % 2) {
                (digit, 0) => digit,
                (digit, _) if digit > 4 => digit * 2 - 9,
                (digit, _) => digit * 2,
            })
            .sum();
        sum.is_multiple_of(10) && found.as_str().starts_with(['3', '4', '5', '6'])
    })
}

/// An e-mail address in base64, either alphabet, or in hexadecimal digits.
fn has_hidden_email(text: &str) -> bool {
    let is_email = |bytes: Vec<u8>| String::from_utf8(bytes).is_ok_and(|text| gate::has_email(&text));
    BASE64.find_iter(text).any(|found| {
        let standard: String = found
            .as_str()
            .chars()
            .map(|c| match c {
                '-' => '+',
                '_' => '/',
                c => c,
            })
            .collect();
        hex::decode(found.as_str()).is_ok_and(is_email)
            || base64::engine::general_purpose::STANDARD_NO_PAD.decode(standard).is_ok_and(is_email)
    })
}

/// Long text of letters and digits without much repetition.
fn has_secret(text: &str) -> bool {
    WORDS.find_iter(text).any(|found| {
        let word = found.as_str().as_bytes();
        let mut counts = [0_u32; 256];
        word.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
        let distinct = counts.iter().filter(|&&count| count > 0).count();
        word.len() >= LONG
            && word.iter().any(u8::is_ascii_digit)
            && word.iter().any(u8::is_ascii_alphabetic)
            && distinct >= 9
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(url: &str, credentials: &str, strict: &str) {
        assert_eq!(scrub(url, Scrub::Credentials).as_deref(), Some(credentials), "credentials");
        assert_eq!(scrub(url, Scrub::Strict).as_deref(), Some(strict), "strict");
    }

    #[test]
    fn plain_urls_stay_as_they_are() {
        let url = "http://a.example:8080/gate/x.php";
        check(url, url, url);
        check("http://a.example/x?id=7&lang=en", "http://a.example/x?id=7&lang=en", "http://a.example/x");
        check("ftp://a.example/pub/f.zip", "ftp://a.example/pub/f.zip", "ftp://a.example/pub/f.zip");
        // A time in milliseconds is no card, and a short path no secret.
        check(
            "http://a.example/1780000000000",
            "http://a.example/1780000000000",
            "http://a.example/1780000000000",
        );
    }

    #[test]
    fn user_information_and_fragment_go_always() {
        assert_eq!(
            scrub("http://u:p@a.example/x?token=1#part", Scrub::Nothing).as_deref(),
            Some("http://a.example/x?token=1")
        );
        check("http://u:p@a.example/x#token=1", "http://a.example/x", "http://a.example/x");
    }

    #[test]
    fn credentials_go_in_every_spelling() {
        #[track_caller]
        fn gone(query: &str, want: &str) {
            let url = format!("https://a.example/x?{query}");
            assert_eq!(
                scrub(&url, Scrub::Credentials),
                Some(format!("https://a.example/x?{want}")),
                "{query}"
            );
        }
        gone("token=abc", "token=scrubbed");
        gone("Token=abc", "Token=scrubbed");
        gone("PASSWORD=abc&x=1", "PASSWORD=scrubbed&x=1");
        gone("x=1&amp;token=abc", "x=1&amp;token=scrubbed");
        gone("x=1&amp%3Btoken=abc", "x=1&amp%3Btoken=scrubbed");
        gone("x=1;pwd=abc", "x=1;pwd=scrubbed");
        gone("%74oken=abc", "%74oken=scrubbed");
        gone("%2574oken=abc", "%2574oken=scrubbed");
        gone("user[password]=abc", "user[password]=scrubbed");
        gone("client_secret=abc", "client_secret=scrubbed");
        gone("accessToken=abc", "accessToken=scrubbed");
        gone("X-Amz-Signature=abc", "X-Amz-Signature=scrubbed");
        gone("api_key=abc&api-key=def", "api_key=scrubbed&api-key=scrubbed");
        gone("e=joe@corp.example&E=JOE@CORP.EXAMPLE", "e=scrubbed&E=scrubbed");
        gone("e=joe%2540corp.example", "e=scrubbed");
        gone("joe@corp.example", "scrubbed");
        gone("joe@corp.example=1", "scrubbed");
        gone("q=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "q=scrubbed");
        gone("u=https%3A%2F%2Fb.example%2F%3Fpwd%3Dx", "u=scrubbed");
        gone("u=https%3A%2F%2Fann:pw@b.example", "u=scrubbed");
        gone("m=am9lQGNvcnAuZXhhbXBsZQ==", "m=scrubbed");
        gone("m=6a6f6540636f72702e6578616d706c65", "m=scrubbed");
        gone("nric=S1234567D", "nric=scrubbed");
        gone("pan=4111111111111111", "pan=scrubbed");
        gone("token=&x=1", "token=&x=1");
        gone("monkey=1&passage=2", "monkey=1&passage=2");
    }

    #[test]
    fn paths_are_scrubbed_too() {
        let both = |path: &str, want: &str| {
            let want = format!("https://a.example{want}");
            check(&format!("https://a.example{path}"), &want, &want);
        };
        both("/%6a%6f%65%40corp.example/x", "/scrubbed/x");
        both("/joe@corp.example", "/scrubbed");
        both("/login;jsessionid=abc123/x", "/login;jsessionid=scrubbed/x");
        both("/go/https:/ann:pw@b.example/", "/go/https:/scrubbed/");
        check(
            "https://a.example/reset/Ab1Cd2Ef3Gh4Ij5Kl6Mn7",
            "https://a.example/reset/Ab1Cd2Ef3Gh4Ij5Kl6Mn7",
            "https://a.example/reset/scrubbed",
        );
    }

    #[test]
    fn what_is_no_url_is_none() {
        assert_eq!(scrub("a.example/x", Scrub::Strict), None);
        assert_eq!(scrub("mailto:joe@corp.example", Scrub::Strict), None);
        assert_eq!(scrub("data:text/plain,x", Scrub::Strict), None);
    }

    proptest! {
        #[test]
        fn scrubbing_twice_changes_nothing_more(path in "[a-z@%/;=.0-9]{0,20}", query in "[a-zA-Z@%&;=.0-9]{0,30}") {
            let url = format!("http://a.example/{path}?{query}");
            for how in [Scrub::Credentials, Scrub::Strict] {
                if let Some(once) = scrub(&url, how) {
                    prop_assert_eq!(scrub(&once, how), Some(once.clone()));
                }
            }
        }

        #[test]
        fn a_secret_never_survives(
            key in prop::sample::select(vec!["token", "PWD", "Access_Token", "amp;sid", "%6bey"]),
            before in "[a-z]{0,5}",
            secret in "[a-zA-Z0-9]{6,40}",
        ) {
            let secret = format!("Zq{secret}");
            let url = format!("http://a.example/{before}?{before}=1&{key}={secret}");
            for how in [Scrub::Credentials, Scrub::Strict] {
                let scrubbed = scrub(&url, how);
                prop_assert!(scrubbed.is_some_and(|text| !text.contains(&secret)));
            }
        }
    }
}
