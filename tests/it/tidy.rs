//! The house: what each room may use, and the rules that no compiler holds.
//!
//! It reads text, not syntax: `crate::` in a string or a comment counts too.

use std::path::{Path, PathBuf};

/// The rooms, lowest floor first. A room may use itself and those above it in this list.
const HOUSE: [&str; 14] = [
    "diag", "sighting", "store", "enrich", "score", "dossier", "share", "encode", "stage", "config", "ask",
    "stream", "serve", "cli",
];

/// Up to and with this room everything is pure.
const LAST_PURE: &str = "config";

/// What the pure rooms may not mention, with what to do instead.
const IMPURE: [(&str, &str); 12] = [
    ("std::fs", "data arrives as bytes: let the shell read the file"),
    ("std::net::Tcp", "only the shell talks to a network"),
    ("std::net::Udp", "only the shell talks to a network"),
    ("std::env::", "settings arrive as values: let the shell look at the environment"),
    ("std::thread", "only the shell has threads"),
    ("std::process", "only the shell has processes"),
    ("SystemTime", "now is an argument"),
    ("Instant::now", "now is an argument"),
    ("tokio::", "only the shell has tasks"),
    ("rdkafka::", "only stream/kafka knows Kafka's client"),
    ("axum", "only serve talks HTTP"),
    ("prometheus", "a step returns counts; the shell counts them"),
];

/// `store` is the one pure room that touches a disk: it is LMDB's.
const MAY_TOUCH_DISK: &str = "store";

/// Who may print: the command line alone.
const MAY_PRINT: &str = "cli";

/// Files over 800 lines, each with why.
const LONG: [(&str, &str); 1] =
    [("src/stream/runner.rs", "one state machine; its parts make sense only together")];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Path from the root, and text, of every Rust file below these folders.
fn files(folders: &[&str]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in folders {
        rust_files(&root().join(folder), &mut paths);
    }
    paths.sort();
    let shown = |path: &Path| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (shown(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The room of a file under `src/`, none for `main.rs` and `lib.rs`.
fn room_of(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    let room = inner.split('/').next()?;
    (!matches!(room, "main.rs" | "lib.rs")).then(|| room.trim_end_matches(".rs"))
}

fn floor(room: &str) -> Option<usize> {
    HOUSE.iter().position(|name| *name == room)
}

/// Tests beside the code, which may use what they like.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.ends_with("/sample.rs")
}

/// The lines of a file without those of its tests, which may use what they like.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(n, line)| (n + 1, line))
}

#[test]
fn every_room_is_in_the_house() {
    for (path, _) in files(&["src"]) {
        if let Some(room) = room_of(&path) {
            assert!(
                floor(room).is_some(),
                "{path}: there is no room `{room}`; put the file into one of {}, or add the room to HOUSE here and \
                 to the design",
                HOUSE.join(", ")
            );
        }
    }
}

#[test]
fn rooms_use_only_what_is_above_them() {
    let mut wrong = Vec::new();
    for (path, text) in files(&["src"]) {
        let Some(room) = room_of(&path).filter(|_| !is_test(&path)) else { continue };
        for (n, line) in code_lines(&text) {
            if line.trim_start().starts_with("use crate::{") {
                wrong
                    .push(format!("{path}:{}: write one `use` a room, so that this test can read it", n + 1));
            }
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = floor(&used) else { continue };
                if Some(other) > floor(room) {
                    wrong.push(format!(
                        "{path}:{n}: `{room}` uses `{used}`, which is below it in the house; move what both need up, \
                         or pass it in"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_are_pure() {
    let mut wrong = Vec::new();
    for (path, text) in files(&["src"]) {
        let Some(room) = room_of(&path).filter(|_| !is_test(&path)) else { continue };
        if floor(room) > floor(LAST_PURE) {
            continue;
        }
        for (n, line) in code_lines(&text) {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for (word, instead) in IMPURE {
                let excused = room == MAY_TOUCH_DISK && word == "std::fs";
                // librdkafka is a word of the domain; its crate is not.
                let said = line.replace("librdkafka", "").contains(word);
                if said && !excused {
                    wrong.push(format!("{path}:{n}: `{room}` is pure and mentions `{word}`: {instead}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_prints() {
    for (path, text) in files(&["src"]) {
        if room_of(&path) == Some(MAY_PRINT) || path == "src/main.rs" {
            continue;
        }
        for (n, line) in code_lines(&text) {
            let prints = ["println!", "print!(", "eprintln!", "dbg!("].iter().any(|word| line.contains(word));
            assert!(!prints, "{path}:{n}: only cli/ prints; return what is to be said");
        }
    }
}

#[test]
fn files_say_what_they_hold() {
    for (path, text) in files(&["src", "tests"]) {
        assert!(text.starts_with("//!"), "{path}: begin with `//!` and one sentence on what the file holds");
    }
}

#[test]
fn files_are_not_too_long() {
    for (path, text) in files(&["src", "tests"]) {
        let lines = text.lines().count();
        let excused = LONG.iter().any(|(long, _)| *long == path);
        assert!(
            lines <= 800 || excused,
            "{path} has {lines} lines: split it by noun, or say in LONG why not"
        );
        assert!(lines > 800 || !excused, "{path} is no longer long: take it out of LONG");
    }
}

#[test]
fn tests_are_not_switched_off() {
    let ignored = concat!("#[ign", "ore");
    let should_panic = concat!("#[should_", "panic");
    for (path, text) in files(&["src", "tests"]) {
        for word in [ignored, should_panic] {
            assert!(
                !text.contains(word),
                "{path}: no `{word}`: assert today's answer, with FIXME and the issue"
            );
        }
    }
}

#[test]
fn configuration_keeps_its_places() {
    // Serde buffers what is below these, and the place of every value is lost.
    for (path, text) in files(&["src"]) {
        for (n, line) in text.lines().enumerate() {
            let line = line.trim_start();
            let is_attribute = line.starts_with("#[serde(");
            let bad = ["untagged", "flatten", "tag ="].iter().find(|word| line.contains(**word));
            assert!(
                !is_attribute || bad.is_none(),
                "{path}:{}: no `{}` in settings: write the name as the key, so that findings keep their line",
                n + 1,
                bad.unwrap_or(&"")
            );
        }
    }
}

#[test]
fn dependencies_say_why() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut table = "";
    let mut before = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            table = line;
        } else if table.contains("dependencies") && line.contains('=') {
            let companion = before.contains('=');
            assert!(
                before.starts_with('#') || companion,
                "Cargo.toml: say in a line above `{line}` why it is there"
            );
        }
        before = line;
    }
}

#[test]
fn nothing_names_this_machine_or_a_registry() {
    let forbidden = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("npmjs", ".org"),
        concat!("maven", ".org"),
        concat!("/wo", "rk/"),
    ];
    let mut texts = files(&["src", "tests"]);
    for name in ["README.md", "CHANGELOG.md", "tests/run", "tests/fetch", ".ci/run", "Cargo.toml"] {
        texts.push((name.to_owned(), std::fs::read_to_string(root().join(name)).unwrap_or_default()));
    }
    for (path, text) in texts {
        for word in forbidden {
            assert!(!text.contains(word), "{path} mentions `{word}`");
        }
    }
}
