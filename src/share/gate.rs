//! The leak gate: a last look at the bytes of a message before it may exist.
//!
//! It knows what must never be in a message, whatever the fields say: e-mail addresses, tokens, login
//! data in URLs, and canary values planted in test records. A hit denies; it never edits, since what
//! slipped past redaction once is not understood.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// How often text is decoded before it is looked at: `%2540` is an `@`, and so is `%252540`.
const DECODINGS: usize = 3;

static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[A-Za-z0-9._%+'-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z][A-Za-z0-9-]+"));

/// A JSON Web Token: base64url of `{"`, then a payload, then perhaps a signature.
static TOKEN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)?"));

static LOGIN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)[a-z][a-z0-9+.-]*:/{0,2}[^/\s"@:]*:[^/\s"@]*@"#));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of ours, compiled in a test")
}

/// What was found in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leak {
    /// An e-mail address.
    Email,
    /// A JSON Web Token.
    Token,
    /// `user:password@`.
    Login,
    /// A value that was planted, or that was hidden by redaction.
    Canary,
}

impl Leak {
    /// In words, without what was found.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::Token => "a token",
            Self::Login => "a user's password",
            Self::Canary => "a value that must not show",
        }
    }
}

/// Looks through the bytes of a message, as they are and percent-decoded. `hidden` are values that
/// must not occur; empty ones are left out of account.
pub fn look<'a>(bytes: &[u8], hidden: impl IntoIterator<Item = &'a str>) -> Option<Leak> {
    let text = String::from_utf8_lossy(bytes);
    let forms = forms(&text);
    let find = |has: &dyn Fn(&str) -> bool| forms.iter().any(|form| has(form));
    if find(&has_email) {
        return Some(Leak::Email);
    }
    if find(&has_token) {
        return Some(Leak::Token);
    }
    if find(&has_login) {
        return Some(Leak::Login);
    }
    for value in hidden.into_iter().filter(|value| !value.is_empty()) {
        // As it stands within a JSON text, without the quotes around it.
        let escaped = serde_json::Value::from(value).to_string();
        let escaped = &escaped[1..escaped.len() - 1];
        if find(&|form| form.contains(value) || form.contains(escaped)) {
            return Some(Leak::Canary);
        }
    }
    None
}

/// Whether there is an e-mail address in it.
pub(super) fn has_email(text: &str) -> bool {
    text.contains('@') && EMAIL.is_match(text)
}

/// Whether there is a JSON Web Token in it.
pub(super) fn has_token(text: &str) -> bool {
    text.contains("eyJ") && TOKEN.is_match(text)
}

/// Whether there is a URL with a user's password in it.
pub(super) fn has_login(text: &str) -> bool {
    text.contains('@') && LOGIN.is_match(text)
}

/// The text, and what percent-decoding makes of it, again and again.
pub(super) fn forms(text: &str) -> Vec<Cow<'_, str>> {
    let mut forms = vec![Cow::Borrowed(text)];
    for _ in 0..DECODINGS {
        let last = forms.last().map_or(text, |form| form.as_ref());
        match decode(last) {
            Some(next) => forms.push(Cow::Owned(next)),
            None => break,
        }
    }
    forms
}

/// Percent-decodes once; none when there is nothing to decode. Bytes that are no UTF-8 are replaced.
fn decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut is_changed = false;
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits
            .filter(|digits| byte == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match decoded {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
                is_changed = true;
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    is_changed.then(|| String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<Leak>) {
        assert_eq!(look(text.as_bytes(), ["CANARY-1", "with \"quotes\"", ""]), want, "{text}");
    }

    #[test]
    fn finds_what_must_not_be_there() {
        check(r#"{"text":"write to joe.bloggs+x@mail.corp.example now"}"#, Some(Leak::Email));
        check(r#"{"value":"http://a.example/%6a%6f%65%40corp.example"}"#, Some(Leak::Email));
        check(r#"{"value":"http://a.example/joe%2540corp.example"}"#, Some(Leak::Email));
        check(r#"{"value":"http://a.example/joe%252540corp.example"}"#, Some(Leak::Email));
        check(r#"{"v":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"}"#, Some(Leak::Token));
        check(r#"{"v":"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."}"#, Some(Leak::Token));
        check(r#"{"v":"ftp://anna:geheim@198.51.100.7/x"}"#, Some(Leak::Login));
        check(r#"{"v":"ftp://:geheim@host/x"}"#, Some(Leak::Login));
        check(r#"{"v":"CANARY-1"}"#, Some(Leak::Canary));
        check(r#"{"v":"with \"quotes\""}"#, Some(Leak::Canary));
    }

    #[test]
    fn lets_plain_messages_through() {
        check(r#"{"indicator":{"type":"ipv4","value":"198.51.100.7"},"role":"c2"}"#, None);
        check(r#"{"indicator":{"type":"ipv6","value":"2001:db8::1"}}"#, None);
        check(r#"{"value":"http://a.example:8080/x%20y?z=1"}"#, None);
        check(r#"{"value":"http://a.example/@/x@y"}"#, None);
        check(r#"{"time":"2026-06-01T12:00:00Z"}"#, None);
        check("", None);
    }
}
