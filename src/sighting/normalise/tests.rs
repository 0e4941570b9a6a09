//! What becomes of texts: every type, every refusal, and the properties of the whole.

use proptest::prelude::*;

use super::*;

fn strict() -> Normaliser {
    Normaliser::default()
}

/// What a text becomes: `type value`, with ` port n` and ` !` where the original is kept, or a code.
fn outcome(normaliser: &Normaliser, kind: Option<IndicatorType>, text: &str) -> String {
    match normaliser.indicator(kind, text) {
        Ok(Normalised { indicator, original, port }) => {
            let port = port.map(|port| format!(" port {port}")).unwrap_or_default();
            assert_eq!(original.is_none(), indicator.value == text, "{text:?}");
            assert!(original.is_none_or(|original| original == text));
            format!("{indicator}{port}")
        }
        Err(refusal) => {
            assert!(refusal.text.len() <= MAX_TEXT);
            assert!(Reason::ALL.iter().any(|reason| reason.name() == refusal.code));
            refusal.code.to_owned()
        }
    }
}

#[track_caller]
fn check(text: &str, want: &str) {
    assert_eq!(outcome(&strict(), None, text), want, "{text:?}");
}

#[track_caller]
fn check_as(kind: &str, text: &str, want: &str) {
    let kind = IndicatorType::parse(kind).unwrap();
    assert_eq!(outcome(&strict(), Some(kind), text), want, "{kind:?} {text:?}");
}

#[test]
fn addresses() {
    check("8.8.8.8", "ipv4 8.8.8.8");
    check(" 8.8.8.8\t", "ipv4 8.8.8.8");
    check("\u{feff}8.8.8.8\u{200b}", "ipv4 8.8.8.8");
    check("8.8.8[.]8", "ipv4 8.8.8.8");
    check("8[.]8[.]8[.]8[:]53", "ipv4 8.8.8.8 port 53");
    check("8.8.8.8:53", "ipv4 8.8.8.8 port 53");
    check("8.8.8.8:0", "bad-port");
    check("8.8.8.8:65536", "bad-port");
    check("8.8.8.8:", "bad-port");
    check("2A00:1450:4001:0:0::200e", "ipv6 2a00:1450:4001::200e");
    check("[2a00:1450:4001::200e]", "ipv6 2a00:1450:4001::200e");
    check("[2a00:1450:4001::200e]:443", "ipv6 2a00:1450:4001::200e port 443");
    check("::ffff:8.8.8.8", "ipv4 8.8.8.8");
    check_as("ipv6", "::ffff:8.8.8.8", "ipv4 8.8.8.8");
    check_as("ipv4", "::ffff:8.8.8.8", "ipv4 8.8.8.8");
    check_as("ipv4", "2a00:1450::1", "type-mismatch");
    check_as("ipv6", "8.8.8.8", "type-mismatch");
    check_as("domain", "8.8.8.8", "type-mismatch");
    check_as("ipv4", "evil.com", "bad-ip");
    check_as("ipv4", "8.8.8", "bad-ip");
    check_as("ipv4", "010.0.0.1", "bad-ip");
    check_as("ipv6", "fe80::1%eth0", "bad-ip");
    check("010.0.0.1", "indicator-unknown");
    check("8.8.8", "indicator-unknown");
    check("8.8.8.0/24", "indicator-unknown");
    check("2130706433", "indicator-unknown");
}

#[test]
fn special_purpose_addresses() {
    for address in [
        "10.0.0.1",
        "100.64.0.1",
        "198.18.0.1",
        "240.0.0.1",
        "192.0.0.1",
        "198.51.100.7",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2001:db8::1",
        "3fff::1",
        "::ffff:10.0.0.1",
        "::1",
        "fe80::1",
    ] {
        check(address, "special-purpose");
    }
    check("192.0.0.9", "ipv4 192.0.0.9");
    check("2001:4:112::1", "ipv6 2001:4:112::1");
}

#[test]
fn domains() {
    check("WWW.Evil.CO.UK", "domain www.evil.co.uk");
    check("evil[.]com.", "domain evil.com");
    check("evil(dot)com", "domain evil.com");
    check("evil.com:8080", "domain evil.com port 8080");
    check("faß.de", "domain xn--fa-hia.de");
    check("аррӏе.com", "domain xn--80ak6aa92e.com");
    check("_dmarc.evil.com", "domain _dmarc.evil.com");
    check("CO.UK", "public-suffix");
    check("github.io", "public-suffix");
    check("evil.github.io", "domain evil.github.io");
    check("com", "indicator-unknown");
    check("invoice.exe", "indicator-unknown");
    check_as("domain", "invoice.exe", "domain invoice.exe");
    check_as("domain", "bitcoin.bit", "domain bitcoin.bit");
    check_as("domain", "notatld", "bad-domain");
    check_as("domain", "evil.123", "bad-domain");
    check_as("domain", "a..b.com", "bad-domain");
    check_as("domain", "http://evil.com/", "type-mismatch");
    check_as("domain", "user@evil.com", "bad-domain");
    check_as("domain", "xn--a.com", "bad-domain");
    check("user@evil.com", "indicator-unknown");
    check("user[at]evil[.]com", "indicator-unknown");
    check("expyuzz4wqqyqhjn.onion", "domain expyuzz4wqqyqhjn.onion");
    for name in [
        "www.example.com",
        "evil.example",
        "evil.test",
        "evil.invalid",
        "printer.local",
        "a.localhost",
        "router.home.arpa",
        "db.internal",
        "a.alt",
        "4.3.2.1.in-addr.arpa",
    ] {
        check(name, "special-use-name");
    }
}

#[test]
fn urls() {
    check("hxxp://Evil[.]COM:80/A%7e?b=2&a=1#frag", "url http://evil.com/A%7e?b=2&a=1");
    check("https://user:pw@evil.com/", "url https://evil.com/");
    check("http://evil.com./x", "url http://evil.com/x");
    check("http://evil.com", "url http://evil.com/");
    check("http://evil.com/a/../b", "url http://evil.com/b");
    check("http://evil.com\\x", "url http://evil.com/x");
    check("http://аррӏе.com/", "url http://xn--80ak6aa92e.com/");
    check("http://evil.com/a(1).php", "url http://evil.com/a(1).php");
    check("ftp://evil.com:2121/x", "url ftp://evil.com:2121/x");
    check("wss://evil.com/x", "url wss://evil.com/x");
    check("http://8.8.8.8:8080/x", "url http://8.8.8.8:8080/x");
    check("http://[2a00:1450::1]:8080/x", "url http://[2a00:1450::1]:8080/x");
    check("http://134744072/", "url http://8.8.8.8/");
    check("http://010.0.0.1/", "url http://8.0.0.1/");
    check("http://0x7f.1/", "special-purpose");
    check("http://2130706433/", "special-purpose");
    check("http://127.1/", "special-purpose");
    check("http://%31%32%37.0.0.1/", "special-purpose");
    check("http://[::ffff:10.0.0.1]/", "special-purpose");
    check("http://[::ffff:8.8.8.8]/", "url http://8.8.8.8/");
    check("http://[::1]/", "special-purpose");
    check("http://localhost/", "bad-url");
    check("http://intranet/x", "bad-url");
    check("http://www.example.com/", "special-use-name");
    check("http://github.io/x", "url http://github.io/x");
    check("http://evil.com:99999/", "bad-url");
    check("http://evil.com:0/", "bad-url");
    check("http://xn--a/", "bad-url");
    check("http://", "bad-url");
    check("http://a b.com/", "bad-url");
    check("file:///etc/passwd", "url-scheme");
    check("file://evil.com/share", "url-scheme");
    check("about://", "url-scheme");
    check("javascript:alert(1)", "indicator-unknown");
    check("evil.com/x", "indicator-unknown");
    check("http://evil.com/a\nb", "indicator-control");
    check_as("url", "evil.com/x", "url http://evil.com/x");
    check_as("url", "evil[.]com:8080/x[.]y", "url http://evil.com:8080/x[.]y");
    check_as("url", "mailto:user@evil.com", "url http://evil.com/");
    check_as("url", "javascript:alert(1)", "bad-url");
    check_as("url", "evil", "bad-url");
}

#[test]
fn schemes_of_which_the_standard_knows_nothing() {
    check("tcp://8.8.8.8:8080", "url tcp://8.8.8.8:8080");
    check("tcp://8.8.8.8:80", "url tcp://8.8.8.8:80");
    check("tcp://1.2.3.04:8080", "url tcp://1.2.3.4:8080");
    check("tcp://127.0.0.1:8080", "special-purpose");
    check("tcp://0x7f.1:8080", "special-purpose");
    check("tcp://%31%32%37.0.0.1:8080", "special-purpose");
    check("udp://[::1]:53", "special-purpose");
    check("udp://[2a00:1450::1]:53", "url udp://[2a00:1450::1]:53");
    check("tcp://EVIL.com.:8080", "url tcp://evil.com:8080");
    check("ssh://user@evil.com/", "url ssh://evil.com/");
    check("tcp://www.example.com", "special-use-name");
    check("tcp://[::ffff:8.8.8.8]:80", "url tcp://8.8.8.8:80");
}

#[test]
fn hashes_and_as_numbers() {
    check(&"aB".repeat(16), &format!("md5 {}", "ab".repeat(16)));
    check(&"aB".repeat(20), &format!("sha1 {}", "ab".repeat(20)));
    check(&"aB".repeat(28), &format!("sha224 {}", "ab".repeat(28)));
    check(&"aB".repeat(32), &format!("sha256 {}", "ab".repeat(32)));
    check(&"aB".repeat(48), &format!("sha384 {}", "ab".repeat(48)));
    check(&"aB".repeat(64), &format!("sha512 {}", "ab".repeat(64)));
    check(&"aB".repeat(17), "indicator-unknown");
    check("96:aBc+/:Xy", "ssdeep 96:aBc+/:Xy");
    check(&format!("t1{}", "ab".repeat(35)), &format!("tlsh T1{}", "AB".repeat(35)));
    check("d41d8cd98f00b204e9800998ecf8427e", "well-known-hash");
    check(&"0".repeat(40), "well-known-hash");
    check_as("sha256", &"aB".repeat(16), "bad-hash");
    check("as3320", "asn AS3320");
    check("AS1.10", "asn AS65546");
    check("AS0", "bad-asn");
    check_as("asn", "3320", "asn AS3320");
    check("asd.com", "domain asd.com");
}

#[test]
fn texts_that_are_nothing() {
    check("", "indicator-empty");
    check(" \u{200b}\u{feff} ", "indicator-empty");
    check("a\u{0}b.com", "indicator-control");
    check("hello", "indicator-unknown");
    check("evil.com evil.org", "indicator-unknown");
    check(&"a".repeat(MAX_INDICATOR + 1), "indicator-too-long");
    // Percent-encoding makes three bytes of one.
    let long = format!("http://evil.com/{}", "é".repeat(3000));
    check(&long, "indicator-too-long");
}

#[test]
fn exceptions_are_allowed() {
    let settings = Settings {
        allow: vec!["198.51.100.7/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        allow_suffixes: vec![".Example".to_owned(), "internal".to_owned()],
    };
    let normaliser = Normaliser::new(&settings);
    for (text, want) in [
        ("198.51.100.200", "ipv4 198.51.100.200"),
        ("::ffff:198.51.100.200", "ipv4 198.51.100.200"),
        ("203.0.113.1", "special-purpose"),
        ("http://198.51.100.200/x", "url http://198.51.100.200/x"),
        ("tcp://[2001:db8::1]:80", "url tcp://[2001:db8::1]:80"),
        ("evil.example", "domain evil.example"),
        ("http://evil.example/", "url http://evil.example/"),
        ("www.example.com", "special-use-name"),
        ("db.internal", "domain db.internal"),
        ("db.local", "special-use-name"),
    ] {
        assert_eq!(outcome(&normaliser, None, text), want, "{text}");
    }
}

#[test]
fn settings_are_strict() {
    let read = |text: &str| serde_json::from_str::<Settings>(text);
    assert_eq!(read("{}").unwrap(), Settings::default());
    assert!(read(r#"{"allow": ["198.51.100.0/24"], "allow_suffixes": ["example"]}"#).is_ok());
    assert!(read(r#"{"allow": ["198.51.100.0/33"]}"#).is_err());
    assert!(read(r#"{"deny": []}"#).is_err());
}

fn kinds() -> impl Strategy<Value = Option<IndicatorType>> {
    proptest::option::of(proptest::sample::select(&IndicatorType::ALL[..]))
}

/// Texts that are likely to be an indicator, or nearly.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        r"(hxxps?|https?|ftp|tcp|meow|x-y)(://|\[:\]//|:\\\\|__)([a-z@:%-]{0,5}@)?(([a-zA-Z0-9_é\[\](){}.-]{0,8}(\.|\[\.\]|。)){1,3}(com|de|co\.uk|1|onion|example)|[0-9]{1,3}(\.[0-9]{1,4}){0,3}|\[[0-9a-f:.]{2,20}\])\.?(:[0-9]{0,5})?([/?#\\][a-zA-Z0-9%./()\[\]é #?&=_-]{0,12})?",
        r"([0-9]{1,3}(\.|\[\.\])){3}[0-9]{1,3}(:[0-9]{1,5})?",
        r"\[?[0-9a-f]{0,4}(:[0-9a-f]{0,4}){1,8}\]?(:[0-9]{1,5})?",
        r"([a-zA-Z0-9_-]{1,6}(\.|\[\.\]| \[dot\] |。)){1,3}(com|net|co\.uk|bit|exe|onion)\.?(:[0-9]{1,5})?",
        r"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}|(T1)?[0-9a-f]{70}|(3|96|192):[a-zA-Z0-9+/]{0,10}:[a-z]{0,5}|AS[0-9]{1,10}(\.[0-9]{1,5})?",
    ]
}

#[track_caller]
fn idempotent(kind: Option<IndicatorType>, text: &str) -> Result<(), TestCaseError> {
    let normaliser = strict();
    if let Ok(once) = normaliser.indicator(kind, text) {
        let Indicator { kind, value } = once.indicator;
        let twice = normaliser.indicator(Some(kind), &value);
        let want = Normalised { indicator: Indicator { kind, value }, original: None, port: None };
        prop_assert_eq!(twice, Ok(want));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn normalising_twice_is_normalising_once(kind in kinds(), text in texts()) {
        idempotent(kind, &text)?;
        idempotent(None, &text)?;
    }

    #[test]
    fn any_text_is_survived(kind in kinds(), text in any::<String>()) {
        idempotent(kind, &text)?;
    }
}
