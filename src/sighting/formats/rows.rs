//! CSV as rows of cells, by RFC 4180 and what feeds make of it.
//!
//! Our own, because feeds separate by comma *and space* before a quote, which the `csv` crate takes
//! for part of the cell: a comma inside the quotes then shifts every later column. Cells borrow
//! from the text where they can. It knows nothing of headers.

use std::borrow::Cow;

use super::Reject;
use crate::sighting::reason::Reason;

/// What one or more lines of the text are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// What stands behind the mark of a comment.
    Comment(&'a str),
    /// A row and the number of its first line, from 1.
    Row(usize, Vec<Cow<'a, str>>),
}

/// Reads a text line by line; blank lines are passed over.
pub(super) struct Rows<'a> {
    rest: &'a str,
    line: usize,
    delimiter: char,
    comment: Option<char>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(text: &'a str, delimiter: char, comment: Option<char>) -> Self {
        Self { rest: text, line: 1, delimiter, comment }
    }

    /// The next row or comment; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'a>>, Reject> {
        loop {
            if self.rest.is_empty() {
                return Ok(None);
            }
            let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
            let line = &self.rest[..end];
            if let Some(comment) = self.comment.and_then(|mark| line.strip_prefix(mark)) {
                self.rest = &self.rest[end..];
                self.end_of_line();
                return Ok(Some(Line::Comment(comment)));
            }
            if line.trim_matches(' ').is_empty() {
                self.rest = &self.rest[end..];
                self.end_of_line();
                continue;
            }
            return self.row().map(Some);
        }
    }

    fn row(&mut self) -> Result<Line<'a>, Reject> {
        let first = self.line;
        let mut cells = Vec::new();
        loop {
            cells.push(self.cell(first)?);
            match self.rest.strip_prefix(self.delimiter) {
                Some(rest) => self.rest = rest,
                None => {
                    self.end_of_line();
                    return Ok(Line::Row(first, cells));
                }
            }
        }
    }

    /// Leaves `rest` at a delimiter, an end of line or the end.
    fn cell(&mut self, first: usize) -> Result<Cow<'a, str>, Reject> {
        self.skip_blanks();
        let ends = [self.delimiter, '\n', '\r'];
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let (cell, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
            self.rest = rest;
            return Ok(Cow::Borrowed(cell.trim_matches([' ', '\t'])));
        };
        let mut text = Cow::Borrowed("");
        let mut rest = quoted;
        loop {
            let Some((part, behind)) = rest.split_once('"') else {
                let text = format!("line {first}: a quote is not closed");
                return Err(Reject::new(Reason::NotCsv, text));
            };
            text += part;
            self.line += part.matches('\n').count();
            rest = behind;
            // Two quotes stand for one.
            match rest.strip_prefix('"') {
                Some(behind) => {
                    text += "\"";
                    rest = behind;
                }
                None => break,
            }
        }
        self.rest = rest;
        self.skip_blanks();
        if self.rest.is_empty() || self.rest.starts_with(ends) {
            return Ok(text);
        }
        Err(Reject::new(Reason::NotCsv, format!("line {first}: something stands behind a closing quote")))
    }

    fn skip_blanks(&mut self) {
        let delimiter = self.delimiter;
        self.rest = self.rest.trim_start_matches(|c| matches!(c, ' ' | '\t') && c != delimiter);
    }

    /// Steps over `\n`, `\r\n` or `\r`.
    fn end_of_line(&mut self) {
        let rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
        let rest = rest.strip_prefix('\n').unwrap_or(rest);
        if rest.len() < self.rest.len() {
            self.line += 1;
        }
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, delimiter: char) -> Result<String, String> {
        let mut rows = Rows::new(text, delimiter, Some('#'));
        let mut got = String::new();
        while let Some(line) = rows.next().map_err(|reject| reject.text)? {
            match line {
                Line::Comment(comment) => got += &format!("#{comment}\n"),
                Line::Row(line, cells) => got += &format!("{line}: {}\n", cells.join("|")),
            }
        }
        Ok(got)
    }

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(read(text, ',').as_deref(), Ok(want), "{text:?}");
    }

    #[test]
    fn rows_and_cells() {
        check("", "");
        check("a,b", "1: a|b\n");
        check("a,b\r\nc,d\r\n", "1: a|b\n2: c|d\n");
        check("a,b\rc,d", "1: a|b\n2: c|d\n");
        check("a,\n,b\n,\n", "1: a|\n2: |b\n3: |\n");
        check("\n\n a , b \n  \nc", "3: a|b\n5: c\n");
        check("\"a\", \"b, c\" , \"d\"", "1: a|b, c|d\n");
        check("\"a \"\"b\"\" c\",\"\"", "1: a \"b\" c|\n");
        check("\"a\nb\r\nc\",d\ne", "1: a\nb\r\nc|d\n4: e\n");
        check("a\"b,c", "1: a\"b|c\n");
        check("# x\n#y\na#b\n\"#c\"", "# x\n#y\n3: a#b\n4: #c\n");
        assert_eq!(read("a\t \tb", '\t').as_deref(), Ok("1: a||b\n"));
        assert_eq!(read("\"a;b\"; c", ';').as_deref(), Ok("1: a;b|c\n"));
    }

    #[test]
    fn broken_quotes() {
        assert_eq!(read("a\n\"b", ','), Err("line 2: a quote is not closed".to_owned()));
        assert_eq!(read("\"a\"b", ','), Err("line 1: something stands behind a closing quote".to_owned()));
    }

    #[test]
    fn cells_are_borrowed_unless_a_quote_stands_inside() {
        let mut rows = Rows::new("a,\"b\",\"c\"\"d\"", ',', None);
        let Some(Line::Row(_, cells)) = rows.next().unwrap() else { panic!() };
        assert!(matches!(cells[..], [Cow::Borrowed("a"), Cow::Borrowed("b"), Cow::Owned(_)]));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_back(rows in proptest::collection::vec(
            proptest::collection::vec("[a,\"\n\r #é]{0,6}", 1..4), 0..4,
        )) {
            let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
            let text: String = rows.iter()
                .map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(", ") + "\r\n")
                .collect();
            let mut reader = Rows::new(&text, ',', Some('#'));
            let mut got = Vec::new();
            while let Some(Line::Row(_, cells)) = reader.next().unwrap() {
                got.push(cells.into_iter().map(Cow::into_owned).collect::<Vec<_>>());
            }
            prop_assert_eq!(got, rows);
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            drop(read(&text, ','));
        }
    }
}
