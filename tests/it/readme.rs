//! The README's commands, run as they stand there, and their output.
//!
//! In a ```console block a line after `$ ` is a command, and what follows is what it prints: `…` in a
//! line stands for any text, a line of `…` alone for any lines.

use std::path::Path;
use std::process::Command;

struct Example {
    line: usize,
    command: String,
    expected: Vec<String>,
}

fn examples(text: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut inside = false;
    for (n, line) in text.lines().enumerate() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, _) => match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => {
                    found.push(Example { line: n + 1, command: command.to_owned(), expected: Vec::new() });
                }
                (None, Some(example)) => example.expected.push(line.to_owned()),
                (None, None) => panic!("README.md:{}: output without a command", n + 1),
            },
            (false, _) => {}
        }
    }
    found
}

/// Whether a line is as expected, `…` standing for any text.
fn is_like(line: &str, expected: &str) -> bool {
    let parts: Vec<&str> = expected.split('…').collect();
    let [first, .., last] = parts.as_slice() else { return line == expected };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in &parts[1..parts.len() - 1] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Where the lines stop being as expected, or nothing.
fn differs(lines: &[&str], expected: &[String]) -> Option<String> {
    let Some((first, more)) = expected.split_first() else {
        return lines.first().map(|line| format!("more is printed than expected: {line}"));
    };
    if first == "…" {
        return (0..=lines.len())
            .all(|skipped| differs(&lines[skipped..], more).is_some())
            .then(|| format!("nowhere after this: {}", more.first().map_or("", String::as_str)));
    }
    match lines.split_first() {
        Some((line, rest)) if is_like(line, first) => differs(rest, more),
        Some((line, _)) => Some(format!("expected {first}\n     got {line}")),
        None => Some(format!("expected {first}\n     got nothing")),
    }
}

#[test]
fn commands_print_what_the_readme_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let examples = examples(&readme);
    assert!(examples.len() >= 4, "the README has examples");
    let program = Path::new(env!("CARGO_BIN_EXE_sightline")).parent().unwrap();
    let path = std::env::join_paths(
        std::iter::once(program.to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    for example in examples {
        let output = Command::new("bash")
            .args(["-c", &example.command])
            .current_dir(root)
            .env("PATH", &path)
            .output()
            .unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "README.md:{}: {}\n{complaint}", example.line, example.command);
        let lines: Vec<&str> = shown.lines().collect();
        if let Some(difference) = differs(&lines, &example.expected) {
            panic!("README.md:{}: {}\n{difference}\n\nall of it:\n{shown}", example.line, example.command);
        }
    }
}

#[test]
fn the_comparison_can_fail() {
    let expected = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert_eq!(differs(&["a", "b", "c"], &expected(&["a", "…", "c"])), None);
    assert_eq!(differs(&["a", "c"], &expected(&["a", "…", "c"])), None);
    assert!(differs(&["a", "b"], &expected(&["a", "…", "c"])).is_some());
    assert!(differs(&["a", "b"], &expected(&["a"])).is_some());
    assert!(is_like("x 17 y", "x … y") && !is_like("x 17 z", "x … y") && !is_like("x", "x … x"));
}
