//! Bad files and what is said of them.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::{Expect, expect};
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::diag::Spanned;
use crate::sighting::{Length, Role, Timestamp};

/// One of everything that a file of ours may hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the reading is tested")]
struct File {
    /// What it is called. More words that the help leaves out.
    name: Spanned<String>,
    #[serde(default)]
    count: Option<u16>,
    #[serde(default)]
    share: Option<f64>,
    #[serde(default)]
    whole: i64,
    #[serde(default)]
    ratio: Option<Ratio>,
    #[serde(default)]
    from: Option<Spanned<Timestamp>>,
    #[serde(default)]
    wait: Option<Length>,
    #[serde(default)]
    roles: BTreeSet<Role>,
    #[serde(default)]
    waits: Vec<Length>,
    #[serde(default)]
    source: Vec<Spanned<Kind>>,
    #[serde(default)]
    expire: BTreeMap<String, Spanned<Length>>,
    #[serde(default)]
    by_role: BTreeMap<Role, u8>,
    #[serde(default)]
    listen: Option<std::net::SocketAddr>,
    #[serde(default)]
    pair: Option<(u8, String)>,
    #[serde(default)]
    inner: Option<Inner>,
}

/// A number with limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[expect(dead_code, reason = "only the reading is tested")]
struct Ratio(#[schemars(range(min = 0, max = 1))] f64);

/// A choice by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "only the reading is tested")]
enum Kind {
    /// A file.
    File(Inner),
    /// A network.
    Network {
        /// Where.
        at: String,
    },
    /// Nothing.
    Nothing,
}

/// A table with one required key, which is no choice by name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the reading is tested")]
struct Inner {
    /// Where it lies.
    path: String,
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    let mut findings = Findings::default();
    let file = read::<File>(&Source::new("a.toml", text), &mut findings);
    assert_eq!(file.is_none(), findings.has_errors(), "a file is read if and only if it has no errors");
    expected.assert_eq(&findings.render());
}

#[test]
fn a_good_file_is_read_with_its_places() {
    let text = r#"
name = "x"
count = 65535
share = 1
ratio = 0.5
from = 2026-02-01T00:00:00+01:00
wait = "30d"
roles = ["c2", "phishing"]
waits = ["1s", "PT2H"]
expire = { default = "180d", c2 = "90d" }
by_role = { c2 = 1 }
listen = "127.0.0.1:9600"
pair = [1, "b"]
[inner]
path = "p"
[[source]]
file = { path = "p" }
[[source]]
network = { at = "p" }
"#;
    let mut findings = Findings::default();
    let source = Source::new("a.toml", text);
    let file = read::<File>(&source, &mut findings);
    assert_eq!(findings.render(), "");
    let file = file.unwrap();
    let place = file.name.place(&source).unwrap();
    assert_eq!(&text[place.span], "\"x\"");
    let from = file.from.unwrap();
    assert_eq!(from.value.to_string(), "2026-01-31T23:00:00Z");
    assert_eq!(&text[from.span.unwrap()], "2026-02-01T00:00:00+01:00");
    assert_eq!(&text[file.source[1].span.clone().unwrap()], "[[source]]");
}

#[test]
fn a_time_may_be_written_as_text() {
    check("name = \"x\"\nfrom = \"2026-02-01T00:00:00Z\"\n", expect![""]);
}

#[test]
fn unknown_key() {
    check(
        "name = \"x\"\ncuont = 1\n[inner]\npath = \"p\"\ncolour = 1\n",
        expect![[r#"
            error[unknown-key]: unknown key `cuont`
             --> a.toml:2:1
              |
            2 | cuont = 1
              | ^^^^^
              |
              = help: did you mean `count`?

            error[unknown-key]: unknown key `colour`
             --> a.toml:5:1
              |
            5 | colour = 1
              | ^^^^^^
              |
              = help: known keys: path
        "#]],
    );
}

#[test]
fn missing_key_at_the_header() {
    check(
        "count = 1\n[inner]\n\n[[source]]\nfile = {}\n",
        expect![[r#"
            error[missing-key]: missing key `name`
             --> a.toml:1:1
              |
            1 | count = 1
              | ^
              |
              = help: `name`: What it is called

            error[missing-key]: missing key `path`
             --> a.toml:2:1
              |
            2 | [inner]
              | ^^^^^^^
              |
              = help: `path`: Where it lies

            error[missing-key]: missing key `path`
             --> a.toml:5:8
              |
            5 | file = {}
              |        ^^
              |
              = help: `path`: Where it lies
        "#]],
    );
}

#[test]
fn wrong_type() {
    check(
        "name = 1\ncount = \"1\"\nshare = true\nroles = \"c2\"\nfrom = 5\nwait = 2026-01-01\ninner = []\n\
         [source]\nfile = { path = \"p\" }\n",
        expect![[r#"
            error[wrong-type]: expected a text, found a whole number
             --> a.toml:1:8
              |
            1 | name = 1
              |        ^
              |
              = help: put it in quotes

            error[wrong-type]: expected a whole number, found a text
             --> a.toml:2:9
              |
            2 | count = "1"
              |         ^^^

            error[wrong-type]: expected a number, found true or false
             --> a.toml:3:9
              |
            3 | share = true
              |         ^^^^

            error[wrong-type]: expected a list, found a text
             --> a.toml:4:9
              |
            4 | roles = "c2"
              |         ^^^^
              |
              = help: put it in brackets

            error[wrong-type]: expected a time, found a whole number
             --> a.toml:5:8
              |
            5 | from = 5
              |        ^
              |
              = help: put it in quotes

            error[wrong-type]: expected a length of time in quotes, found a date or time
             --> a.toml:6:8
              |
            6 | wait = 2026-01-01
              |        ^^^^^^^^^^
              |
              = help: put it in quotes

            error[wrong-type]: expected a table, found a list
             --> a.toml:7:9
              |
            7 | inner = []
              |         ^^
              |
              = help: a single table is written [name]

            error[wrong-type]: expected a list, found a table
             --> a.toml:8:1
              |
            8 | [source]
              | ^^^^^^^^
              |
              = help: a list of tables is written [[name]]
        "#]],
    );
}

#[test]
fn unknown_value() {
    check(
        "name = \"x\"\nroles = [\"c2\", \"phising\", \"x\"]\n",
        expect![[r#"
        error[unknown-value]: unknown value `phising`
         --> a.toml:2:16
          |
        2 | roles = ["c2", "phising", "x"]
          |                ^^^^^^^^^
          |
          = help: did you mean `phishing`? allowed: c2, malware-distribution, phishing, compromised-site, infected-client, vulnerable-service, brute-force, scanner, spam, ddos, anonymiser, sinkhole, undetermined

        error[unknown-value]: unknown value `x`
         --> a.toml:2:27
          |
        2 | roles = ["c2", "phising", "x"]
          |                           ^^^
          |
          = help: allowed: c2, malware-distribution, phishing, compromised-site, infected-client, vulnerable-service, brute-force, scanner, spam, ddos, anonymiser, sinkhole, undetermined
    "#]],
    );
}

#[test]
fn out_of_range() {
    check(
        "name = \"x\"\ncount = 65536\nwhole = 99999999999999999999\nratio = 1.5\npair = [256]\nby_role = { c2 = -1 }\n",
        expect![[r#"
            error[out-of-range]: 65536 is out of range
             --> a.toml:2:9
              |
            2 | count = 65536
              |         ^^^^^
              |
              = help: it must be from 0 to 65535

            error[out-of-range]: 99999999999999999999 is out of range
             --> a.toml:3:9
              |
            3 | whole = 99999999999999999999
              |         ^^^^^^^^^^^^^^^^^^^^
              |
              = help: it must be from -9223372036854775808 to 9223372036854775807

            error[out-of-range]: 1.5 is out of range
             --> a.toml:4:9
              |
            4 | ratio = 1.5
              |         ^^^
              |
              = help: it must be at least 0 and at most 1

            error[out-of-range]: a list with 1 elements
             --> a.toml:5:8
              |
            5 | pair = [256]
              |        ^^^^^
              |
              = help: it must have exactly 2

            error[out-of-range]: 256 is out of range
             --> a.toml:5:9
              |
            5 | pair = [256]
              |         ^^^
              |
              = help: it must be from 0 to 255

            error[out-of-range]: -1 is out of range
             --> a.toml:6:18
              |
            6 | by_role = { c2 = -1 }
              |                  ^^
              |
              = help: it must be from 0 to 255
        "#]],
    );
}

#[test]
fn a_choice_by_name() {
    check(
        r#"name = "x"
[[source]]
[[source]]
file = { path = "p" }
network = { at = "p" }
[[source]]
netwrk = { at = "p" }
[[source]]
network = { att = "p" }
"#,
        expect![[r#"
            error[not-one-key]: expected exactly one key, found none
             --> a.toml:2:1
              |
            2 | [[source]]
              | ^^^^^^^^^^
              |
              = help: the key says which it is: file, network

            error[not-one-key]: expected exactly one key, found 2
             --> a.toml:3:1
              |
            3 | [[source]]
              | ^^^^^^^^^^
              |
              = help: the key says which it is: file, network

            error[unknown-key]: unknown key `netwrk`
             --> a.toml:7:1
              |
            7 | netwrk = { at = "p" }
              | ^^^^^^
              |
              = help: did you mean `network`?

            error[missing-key]: missing key `at`
             --> a.toml:9:11
              |
            9 | network = { att = "p" }
              |           ^^^^^^^^^^^^^
              |
              = help: `at`: Where

            error[unknown-key]: unknown key `att`
             --> a.toml:9:13
              |
            9 | network = { att = "p" }
              |             ^^^
              |
              = help: did you mean `at`?
        "#]],
    );
    check(
        "name = \"x\"\nsource = [\"nothing\", \"file\", \"something\"]\n",
        expect![[r#"
        error[unknown-value]: unknown value `file`
         --> a.toml:2:22
          |
        2 | source = ["nothing", "file", "something"]
          |                      ^^^^^^
          |
          = help: allowed: nothing

        error[unknown-value]: unknown value `something`
         --> a.toml:2:30
          |
        2 | source = ["nothing", "file", "something"]
          |                              ^^^^^^^^^^^
          |
          = help: did you mean `nothing`? allowed: nothing
    "#]],
    );
}

#[test]
fn what_types_refuse_is_shown_all_at_once() {
    check(
        r#"name = "x"
from = "yesterday"
wait = "1 month"
waits = ["1s", "2 parsecs", "3s", "-4s"]
listen = "localhost"
[expire]
c2 = "soon"
phishing = "1d"
scanner = "later"
"#,
        expect![[r#"
            error[bad-value]: not an RFC 3339 time: failed to parse four digit integer as year: invalid digit, expected 0-9 but got y
             --> a.toml:2:8
              |
            2 | from = "yesterday"
              |        ^^^^^^^^^^^

            error[bad-value]: months and years have no fixed length; write days
             --> a.toml:3:8
              |
            3 | wait = "1 month"
              |        ^^^^^^^^^

            error[bad-value]: not a length of time such as 30s, 12h or P30D: failed to parse input in the "friendly" duration format: expected to find unit designator suffix (e.g., `years` or `secs`) after parsing integer
             --> a.toml:4:16
              |
            4 | waits = ["1s", "2 parsecs", "3s", "-4s"]
              |                ^^^^^^^^^^^

            error[bad-value]: a length of time is not negative
             --> a.toml:4:35
              |
            4 | waits = ["1s", "2 parsecs", "3s", "-4s"]
              |                                   ^^^^^

            error[bad-value]: invalid socket address syntax
             --> a.toml:5:10
              |
            5 | listen = "localhost"
              |          ^^^^^^^^^^^

            error[bad-value]: not a length of time such as 30s, 12h or P30D: failed to parse input in the "friendly" duration format: expected duration to start with a unit value (a decimal integer) after an optional sign, but no integer was found
             --> a.toml:7:6
              |
            7 | c2 = "soon"
              |      ^^^^^^

            error[bad-value]: not a length of time such as 30s, 12h or P30D: failed to parse input in the "friendly" duration format: expected duration to start with a unit value (a decimal integer) after an optional sign, but no integer was found
             --> a.toml:9:11
              |
            9 | scanner = "later"
              |           ^^^^^^^
        "#]],
    );
}

#[test]
fn dates_that_are_not_whole() {
    check(
        "name = \"x\"\nfrom = 2026-02-01\n",
        expect![[r#"
            error[bad-value]: expected a time, found `2026-02-01`
             --> a.toml:2:8
              |
            2 | from = 2026-02-01
              |        ^^^^^^^^^^
              |
              = help: write it in full, such as 2026-02-01T00:00:00Z
        "#]],
    );
    check(
        "name = \"x\"\nfrom = 2026-02-01T00:00:00\n",
        expect![[r#"
            error[bad-value]: expected a time, found `2026-02-01T00:00:00`
             --> a.toml:2:8
              |
            2 | from = 2026-02-01T00:00:00
              |        ^^^^^^^^^^^^^^^^^^^
              |
              = help: write it in full, such as 2026-02-01T00:00:00Z
        "#]],
    );
}

#[test]
fn a_map_with_known_keys() {
    check(
        "name = \"x\"\nby_role = { c3 = 1 }\n",
        expect![[r#"
            error[unknown-key]: unknown key `c3`
             --> a.toml:2:13
              |
            2 | by_role = { c3 = 1 }
              |             ^^
              |
              = help: did you mean `c2`?
        "#]],
    );
}

#[test]
fn repeats_are_a_warning_and_stop_nothing() {
    check(
        "name = \"x\"\nroles = [\"c2\", \"spam\", \"c2\"]\n",
        expect![[r#"
        warning[repeated-value]: `c2` is repeated
         --> a.toml:2:24
          |
        2 | roles = ["c2", "spam", "c2"]
          |                        ^^^^
          |
          = help: take one of them out
    "#]],
    );
}

#[test]
fn all_syntax_errors_and_the_shape_of_the_rest() {
    check(
        "name = \ncount = 1__0\nshare = 1 2\nwhole = \"x\"\nwhole = 2\n[inner\npath = 'p\ncolour = 1\n",
        expect![[r#"
            error[syntax]: string values must be quoted, expected literal string
             --> a.toml:1:8
              |
            1 | name = 
              |        ^

            error[syntax]: `_` may only go between digits, expected nothing
             --> a.toml:2:10
              |
            2 | count = 1__0
              |          ^

            error[syntax]: string values must be quoted, expected literal string
             --> a.toml:3:9
              |
            3 | share = 1 2
              |         ^^^

            error[wrong-type]: expected a whole number, found a text
             --> a.toml:4:9
              |
            4 | whole = "x"
              |         ^^^

            error[syntax]: duplicate key
             --> a.toml:5:1
              |
            5 | whole = 2
              | ^^^^^

            error[syntax]: unclosed table, expected `]`
             --> a.toml:6:7
              |
            6 | [inner
              |       ^
        "#]],
    );
}

/// A file in which every value is good, to be spoilt.
const GOOD: &str = "name = \"x\"\nfrom = 2026-02-01T00:00:00Z\nwaits = [\"1s\", \"2s\"]\nroles = [\"c2\"]\n\
                    [expire]\nc2 = \"1d\"\n[[source]]\nfile = { path = \"ü\" }\n[inner]\npath = 'a'\n";

proptest::proptest! {
    /// Whatever is written: nothing panics, and a file is read if and only if it has no errors.
    #[test]
    fn any_text(text in "[ -~\n\tü]{0,120}") {
        one(&text);
    }

    /// A good file with a piece taken out and another put in.
    #[test]
    fn any_slip_of_the_pen(at in 0..GOOD.len(), length in 0..12usize, put in "[\\[\\]{}=\"'a-f0-9.,\n -]{0,6}") {
        let from = GOOD.floor_char_boundary(at);
        let to = GOOD.floor_char_boundary((at + length).min(GOOD.len())).max(from);
        one(&format!("{}{put}{}", &GOOD[..from], &GOOD[to..]));
    }
}

fn one(text: &str) {
    let mut findings = Findings::default();
    let file = read::<File>(&Source::new("a.toml", text), &mut findings);
    assert_eq!(file.is_none(), findings.has_errors(), "{text}");
    for finding in findings.list() {
        let place = finding.place.as_ref().expect("every finding of the reader has a place");
        assert!(place.span.start <= place.span.end && place.span.end <= text.len(), "{text}");
    }
    findings.render();
}
