//! Findings as text: the line, a caret under the place, and what to do.
//!
//! Without colours and of fixed width, so that the text is the same in a terminal, a log and a test.

use std::cmp::Ordering;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{Finding, Place, Severity};

/// Renders in order of file and place; findings without a place come last.
pub(super) fn render(list: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = list.iter().collect();
    sorted.sort_by(|a, b| match (&a.place, &b.place) {
        (Some(a), Some(b)) => {
            (&a.source.name, a.span.start, a.span.end).cmp(&(&b.source.name, b.span.start, b.span.end))
        }
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    });
    let texts: Vec<String> = sorted.into_iter().map(one).collect();
    texts.join("\n")
}

fn one(finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group =
        annotate_snippets::Group::with_title(level.primary_title(finding.message.as_str()).id(finding.code));
    let mut others: Vec<&(Place, String)> = finding.also.iter().collect();
    if let Some(place) = &finding.place {
        let mut snippet = snippet(place).annotation(AnnotationKind::Primary.span(first_line(place)));
        let (same, other) = others.into_iter().partition(|(also, _)| also.source == place.source);
        others = other;
        let same: Vec<&(Place, String)> = same;
        for (also, label) in same {
            snippet =
                snippet.annotation(AnnotationKind::Context.span(first_line(also)).label(label.as_str()));
        }
        group = group.element(snippet);
    }
    for (also, label) in others {
        let annotation = AnnotationKind::Context.span(first_line(also)).label(label.as_str());
        group = group.element(snippet(also).annotation(annotation));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let mut text = Renderer::plain().term_width(WIDTH).render(&[group]);
    text.push('\n');
    text
}

/// Wide enough for any line that a person writes; longer ones are cut around the place.
const WIDTH: usize = 140;

fn snippet(place: &Place) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(place.source.text.as_str()).path(place.source.name.as_str())
}

/// The part of a place that is on its first line, on whole characters and inside of the text.
fn first_line(place: &Place) -> Range<usize> {
    let text = place.source.text.as_str();
    let start = text.floor_char_boundary(place.span.start);
    let end = text.floor_char_boundary(place.span.end.max(start));
    let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |length| start + length);
    start..end.min(line_end).max(start)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::{Findings, Source};
    use super::*;

    #[track_caller]
    fn check(findings: &[Finding], expected: Expect) {
        let mut all = Findings::default();
        findings.iter().for_each(|finding| all.push(finding.clone()));
        expected.assert_eq(&all.render());
    }

    fn place(name: &str, text: &str, span: Range<usize>) -> Option<Place> {
        Some(Place { source: Source::new(name, text), span })
    }

    #[test]
    fn line_column_caret_code_and_help() {
        check(
            &[Finding::error("unknown-key", "unknown key `colour`")
                .at(place("a.toml", "[serve]\ncolour = 1\n", 8..14))
                .help("known keys: listen")],
            expect![[r#"
                error[unknown-key]: unknown key `colour`
                 --> a.toml:2:1
                  |
                2 | colour = 1
                  | ^^^^^^
                  |
                  = help: known keys: listen
            "#]],
        );
    }

    #[test]
    fn sorted_by_file_and_place_with_placeless_last() {
        check(
            &[
                Finding::error("no-place", "nowhere in particular"),
                Finding::warning("b", "in the second file").at(place("b.toml", "x = 1\n", 0..1)),
                Finding::error("a2", "later").at(place("a.toml", "x = 1\ny = 2\n", 6..7)),
                Finding::error("a1", "earlier").at(place("a.toml", "x = 1\ny = 2\n", 0..1)),
            ],
            expect![[r#"
                error[a1]: earlier
                 --> a.toml:1:1
                  |
                1 | x = 1
                  | ^

                error[a2]: later
                 --> a.toml:2:1
                  |
                2 | y = 2
                  | ^

                warning[b]: in the second file
                 --> b.toml:1:1
                  |
                1 | x = 1
                  | ^

                error[no-place]: nowhere in particular
            "#]],
        );
    }

    #[test]
    fn a_second_place_in_the_same_file_and_in_another() {
        let text = "first = 1\n\n\n\n\nsecond = 1\n";
        check(
            &[Finding::error("twice", "said twice")
                .at(place("a.toml", text, 15..21))
                .also(place("a.toml", text, 0..5), "first here")
                .also(place("b.toml", "third = 1\n", 0..5), "and here")],
            expect![[r#"
                error[twice]: said twice
                 --> a.toml:6:2
                  |
                1 | first = 1
                  | ----- first here
                ...
                6 | second = 1
                  |  ^^^^^^
                  |
                 ::: b.toml:1:1
                  |
                1 | third = 1
                  | ----- and here
            "#]],
        );
    }

    #[test]
    fn any_span_is_rendered() {
        // Past the end, inside of a character, over several lines, in an empty text.
        check(
            &[
                Finding::error("a", "past the end").at(place("a.toml", "x", 5..9)),
                Finding::error("b", "inside of a character").at(place("b.toml", "ü = 1", 1..2)),
                Finding::error("c", "over lines").at(place("c.toml", "[\n1,\n]\n", 0..6)),
                Finding::error("d", "empty").at(place("d.toml", "", 0..0)),
            ],
            expect![[r#"
                error[a]: past the end
                 --> a.toml:1:2
                  |
                1 | x
                  |  ^

                error[b]: inside of a character
                 --> b.toml:1:1
                  |
                1 | ü = 1
                  | ^

                error[c]: over lines
                 --> c.toml:1:1
                  |
                1 | [
                  | ^

                error[d]: empty
                 --> d.toml:1:1
                  |
                1 |
                  | ^
            "#]],
        );
    }
}
