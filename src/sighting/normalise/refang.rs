//! Undoes what people do to indicators so that nobody clicks on them: `hxxp://bad[.]example/`.
//!
//! A closed list of substitutions (`domain.md` 4.2). Scheme rules apply to the start of the text
//! only, dot rules to the authority only, so that a path such as `/a(1).php` or `/[.]/` stays as
//! it is. It never removes brackets, spaces or commas that are not part of a listed form.

use std::borrow::Cow;

/// More layers than this are no way of writing that anybody has; such a text is left alone.
const LAYERS: usize = 4;

/// The text without its defanging. Applying it twice changes nothing more; clean texts are
/// returned as they are.
pub(super) fn refang(text: &str) -> Cow<'_, str> {
    let Some(mut clean) = pass(text) else { return Cow::Borrowed(text) };
    for _ in 1..LAYERS {
        match pass(&clean) {
            Some(cleaner) => clean = cleaner,
            None => return Cow::Owned(clean),
        }
    }
    if pass(&clean).is_none() { Cow::Owned(clean) } else { Cow::Borrowed(text) }
}

/// One layer; none when there is nothing to undo.
fn pass(text: &str) -> Option<String> {
    let (scheme, rest) = prefix(text);
    let authority = authority(rest);
    if scheme.is_none() && authority.is_none() {
        return None;
    }
    let mut clean = String::with_capacity(text.len() + 3);
    match scheme {
        Some(scheme) => {
            clean.push_str(scheme);
            clean.push_str("://");
        }
        None => clean.push_str(&text[..text.len() - rest.len()]),
    }
    match authority {
        Some((authority, tail)) => {
            clean.push_str(&authority);
            clean.push_str(tail);
        }
        None => clean.push_str(rest),
    }
    Some(clean)
}

/// Schemes as people write them, and what they mean.
const SCHEMES: [(&str, &str); 14] = [
    ("hxxps", "https"),
    ("hxxp", "http"),
    ("https", "https"),
    ("http", "http"),
    ("meows", "https"),
    ("meow", "http"),
    ("fxps", "ftps"),
    ("fxp", "ftp"),
    ("ftxs", "ftps"),
    ("ftx", "ftp"),
    ("ftps", "ftps"),
    ("ftp", "ftp"),
    ("tcp", "tcp"),
    ("udp", "udp"),
];

const COLONS: [&str; 4] = ["[:]", "(:)", "{:}", ":"];
const SLASHES: [&str; 4] = ["[/]", "(/)", "{/}", "/"];

/// The scheme to write instead of the one that stands there, if another, and what follows it.
fn prefix(text: &str) -> (Option<&'static str>, &str) {
    for (written, meant) in SCHEMES {
        let Some(head) = text.get(..written.len()).filter(|head| head.eq_ignore_ascii_case(written)) else {
            continue;
        };
        // `http__` needs no colon; `ftp__x.example` is a name that there may be.
        let web = written.starts_with('h');
        let Some(rest) = separator(&text[written.len()..], web) else { continue };
        let as_it_is = head.eq_ignore_ascii_case(meant) && text[written.len()..].starts_with("://");
        return (if as_it_is { None } else { Some(meant) }, rest);
    }
    // Any other scheme is left alone, but its authority may be defanged.
    match text.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (None, rest),
        _ => (None, text),
    }
}

/// Whether it is a URL's scheme (RFC 3986 section 3.1).
pub(super) fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// What follows `://` in any of its forms; none when this is no separator.
fn separator(text: &str, colon_may_lack: bool) -> Option<&str> {
    let text = text.trim_start_matches(' ');
    if let Some(rest) = text.strip_prefix("[://]").or_else(|| text.strip_prefix("(://)")) {
        return Some(rest);
    }
    let after_colon = one_of(text, &COLONS);
    let slashes = after_colon.unwrap_or(text);
    if after_colon.is_none() && !colon_may_lack {
        return None;
    }
    if let Some(rest) = slashes.strip_prefix("__") {
        return Some(rest);
    }
    after_colon?;
    if let Some(rest) = slashes.strip_prefix("\\\\") {
        return Some(rest);
    }
    one_of(one_of(slashes.trim_start_matches(' '), &SLASHES)?, &SLASHES)
}

fn one_of<'a>(text: &'a str, forms: &[&str]) -> Option<&'a str> {
    forms.iter().find_map(|form| text.strip_prefix(form))
}

/// The authority at the start of `text` without its defanging, and what follows it; none when the
/// authority is clean.
fn authority(text: &str) -> Option<(String, &str)> {
    // The common case is decided without looking at forms: none of these begins one.
    let end = text.find(['/', '?', '#']).unwrap_or(text.len());
    let plain = |byte: u8| byte < 0x80 && !matches!(byte, b'[' | b'(' | b'{' | b'<' | b'\\' | b' ');
    if text[..end].bytes().all(plain) {
        return None;
    }
    let mut clean = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(['/', '?', '#']) {
            break;
        }
        match form(rest) {
            Some((instead, length)) => {
                clean.push_str(&text[copied..at]);
                clean.push_str(instead);
                at += length;
                copied = at;
                if instead == "/" {
                    break;
                }
            }
            None if rest.starts_with('\\') => break,
            None => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    if copied == 0 {
        return None;
    }
    clean.push_str(&text[copied..at]);
    Some((clean, &text[at..]))
}

/// What the form at the start of `text` stands for and how long it is; none when there is none.
fn form(text: &str) -> Option<(&'static str, usize)> {
    let spaced = text.trim_start_matches(' ');
    let bracketed = [('[', ']'), ('(', ')'), ('{', '}'), ('<', '>')].into_iter().find_map(|(open, close)| {
        let inside = spaced.strip_prefix(open)?;
        // Nothing inside a form is longer than `dot` with some space around it.
        let end = inside.bytes().take(12).position(|byte| byte == close as u8)?;
        let instead = match inside[..end].trim_matches(' ') {
            "." | ". ." => ".",
            word if open != '<' && word.eq_ignore_ascii_case("dot") => ".",
            ":" if open != '<' => ":",
            "/" if open != '<' => "/",
            "@" if open != '<' => "@",
            word if open != '<' && word.eq_ignore_ascii_case("at") => "@",
            _ => return None,
        };
        let rest = inside[end + 1..].trim_start_matches(' ');
        Some((instead, text.len() - rest.len()))
    });
    if bracketed.is_some() {
        return bracketed;
    }
    if text.starts_with("\\.") {
        return Some((".", 2));
    }
    // Ideographic, full-width and half-width full stop (the dots of UTS 46), and the katakana dot.
    ['。', '．', '｡', '・'].iter().find(|dot| text.starts_with(**dot)).map(|dot| (".", dot.len_utf8()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, clean: &str) {
        assert_eq!(refang(text), clean, "{text:?}");
        assert_eq!(refang(clean), clean, "{clean:?} again");
    }

    #[test]
    fn schemes() {
        check("hxxp://a.b/", "http://a.b/");
        check("hXXps://a.b/", "https://a.b/");
        check("fxp://a.b/", "ftp://a.b/");
        check("ftx://a.b/", "ftp://a.b/");
        check("meow://a.b/", "http://a.b/");
        check("http__a.b/", "http://a.b/");
        check("http:__a.b/", "http://a.b/");
        check("hxxp:\\\\a.b/", "http://a.b/");
        check("http[:]//a.b/", "http://a.b/");
        check("http[://]a.b/", "http://a.b/");
        check("hxxp(:)//a.b/", "http://a.b/");
        check("http:[/][/]a.b/", "http://a.b/");
        check("http:(/)(/)a.b/", "http://a.b/");
        check("hxxp ://a.b/", "http://a.b/");
        check("HXXP[:]//a[.]b/", "http://a.b/");
        check("tcp[:]//1[.]2[.]3[.]4:80", "tcp://1.2.3.4:80");
    }

    #[test]
    fn dots_in_the_authority() {
        for dot in [
            "[.]", "(.)", "{.}", "[dot]", "(dot)", "{DOT}", "[. .]", "\\.", "<.>", "。", "．", "・", " [.] ",
            " (dot) ", "[ . ]",
        ] {
            check(&format!("http://a{dot}b/x"), "http://a.b/x");
            check(&format!("a{dot}b{dot}c"), "a.b.c");
            check(&format!("a{dot}b?x{dot}y"), &format!("a.b?x{dot}y"));
        }
        check("1[.]2[.]3[.]4[:]8080", "1.2.3.4:8080");
        check("user[@]a[.]b", "user@a.b");
        check("user[at]a(dot)b", "user@a.b");
        check("2001[:]db8[:][:]1", "2001:db8::1");
        check("a[.]b[/]x[.]y", "a.b/x[.]y");
        check("a[[.]]b", "a.b");
    }

    #[test]
    fn clean_texts_stay() {
        for text in [
            "http://a.b/",
            "HTTP://a.b/",
            "http://[2001:db8::1]:80/x",
            "[2001:db8::1]:80",
            "http://a.b/a(1).php",
            "http://a.b/x[.]y?z=(dot)#[.]",
            "http://a.b\\x[.]y",
            "custom://a.b/(.)",
            "meow.example",
            "meow__x.example",
            "ftx.com",
            "ftp__x.example",
            "http.example",
            "d41d8cd98f00b204e9800998ecf8427e",
            "a b c",
            "",
            "(",
            "[",
            "<.",
            "a,b",
            // Five layers are nobody's way of writing.
            "a[[[[[.]]]]]b",
        ] {
            check(text, text);
        }
    }

    proptest! {
        #[test]
        fn refanging_twice_is_refanging_once(text in r"(hxxp|http|meow|ftx|a)?(:|\[:\]|__)?(/|\[/\]|\\){0,3}([a-z.:/\[\](){}<>\\ _。-]|\[\.\]|\(dot\)|\[@\]){0,30}") {
            let once = refang(&text).into_owned();
            prop_assert_eq!(refang(&once), once.as_str());
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let once = refang(&text).into_owned();
            prop_assert_eq!(refang(&once), once.as_str());
        }
    }
}
