//! Strict reading of the lists that people keep as CSV: every row has its line, nothing is guessed.
//!
//! Files of others, with their own quoting and headers in comments, are not read here.

use crate::sighting::Timestamp;

/// One row of a list, as wide as the header.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    /// Where it starts, from 1.
    pub(crate) line: u64,
    columns: &'a [String],
    values: &'a csv::StringRecord,
}

/// Something that makes a list unusable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    /// Where, from 1.
    pub(crate) line: u64,
    /// What is wrong and what to do.
    pub(crate) text: String,
}

/// Gives every row of `bytes` to `take`, in the order of the file, and stops at the first bad one.
///
/// A list is UTF-8 with commas, the header in the first line that is no comment, comments in lines
/// that start with `#`, and blanks around values dropped. Every column must be one of `required` or
/// `optional`, and all of `required` must be there.
pub(crate) fn read(
    bytes: &[u8],
    required: &[&str],
    optional: &[&str],
    mut take: impl FnMut(&Row<'_>) -> Result<(), Bad>,
) -> Result<(), Bad> {
    let text = std::str::from_utf8(bytes).map_err(|err| Bad {
        line: 1 + bytes[..err.valid_up_to()].iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>(),
        text: "not UTF-8; save the list as UTF-8".to_owned(),
    })?;
    // Spreadsheets write a byte order mark, which would become part of the first column's name.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader =
        csv::ReaderBuilder::new().comment(Some(b'#')).trim(csv::Trim::All).from_reader(text.as_bytes());
    let bad = |err: csv::Error| bad(text, &err);
    let header = reader.headers().map_err(bad)?;
    let header_line = line_of(text, header.position());
    let columns: Vec<String> = header.iter().map(ToOwned::to_owned).collect();
    check_header(&columns, required, optional).map_err(|text| Bad { line: header_line, text })?;
    let mut values = csv::StringRecord::new();
    while reader.read_record(&mut values).map_err(bad)? {
        let line = line_of(text, values.position());
        // The CSV reader takes a quote after a blank for a part of the value, and then a comma inside
        // the quotes shifts every later column.
        if values.iter().any(|value| value.starts_with('"')) {
            return Err(Bad {
                line,
                text: "a quote after a blank; write `,\"` with no blank between".into(),
            });
        }
        take(&Row { line, columns: &columns, values: &values })?;
    }
    Ok(())
}

impl<'a> Row<'a> {
    /// The value under `column`; `None` when the list has no such column or the value is empty.
    pub(crate) fn value(&self, column: &str) -> Option<&'a str> {
        let at = self.columns.iter().position(|known| known == column)?;
        self.values.get(at).filter(|value| !value.is_empty())
    }

    /// As [`Row::value`], for what must be there.
    pub(crate) fn required(&self, column: &str) -> Result<&'a str, Bad> {
        self.value(column).ok_or_else(|| self.bad(format!("no `{column}`; every row needs one")))
    }

    /// Something wrong with this row.
    pub(crate) fn bad(&self, text: impl Into<String>) -> Bad {
        Bad { line: self.line, text: text.into() }
    }
}

/// The midnight in UTC at which the day `text`, written `2026-11-02`, begins.
pub(crate) fn day(text: &str) -> Option<Timestamp> {
    if text.len() != 10 {
        return None;
    }
    // What is wrong with it, the caller says: there is one form only.
    format!("{text}T00:00:00Z").parse().ok()
}

/// The day of a time in UTC, `2026-11-02`.
pub(crate) fn day_of(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

fn check_header(columns: &[String], required: &[&str], optional: &[&str]) -> Result<(), String> {
    let known = || required.iter().chain(optional).copied().collect::<Vec<_>>().join(",");
    for (at, column) in columns.iter().enumerate() {
        if !required.contains(&column.as_str()) && !optional.contains(&column.as_str()) {
            return Err(format!(
                "no column is called `{column}`; the first line names columns out of {}",
                known()
            ));
        }
        if columns[..at].contains(column) {
            return Err(format!("the column `{column}` stands twice; keep one"));
        }
    }
    match required.iter().find(|name| !columns.iter().any(|column| column == *name)) {
        Some(missing) => {
            Err(format!("the column `{missing}` is missing; the first line names columns out of {}", known()))
        }
        None => Ok(()),
    }
}

/// The line of a record. The CSV reader says where it began to look for it, which is before the comments
/// and blank lines that it skips.
fn line_of(text: &str, position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else { return 1 };
    let behind =
        usize::try_from(position.byte()).ok().and_then(|start| text.get(start..)).unwrap_or_default();
    let skipped =
        behind.split_inclusive('\n').take_while(|line| line.starts_with('#') || line.trim_end().is_empty());
    position.line() + skipped.count() as u64
}

fn bad(text: &str, err: &csv::Error) -> Bad {
    let line = line_of(text, err.position());
    match err.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Bad {
            line,
            text: format!("{len} values where the header has {expected_len}; quote values that hold a comma"),
        },
        _ => Bad { line, text: format!("not readable as CSV: {err}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        let mut rows = Vec::new();
        let read = read(bytes, &["a"], &["b"], |row| {
            rows.push(format!("{}:{:?}/{:?}", row.line, row.value("a"), row.value("b")));
            Ok(())
        });
        match read {
            Ok(()) => rows.join(" "),
            Err(bad) => format!("line {}: {}", bad.line, bad.text),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(shown(text.as_bytes()), expected, "{text:?}");
    }

    #[test]
    fn rows_have_their_lines() {
        check("a,b\n1,2\n", "2:Some(\"1\")/Some(\"2\")");
        check("\u{feff}a,b\r\n1,2\r\n", "2:Some(\"1\")/Some(\"2\")");
        check("# ours\na,b\n# why\n 1 , \n\n3,\"x,y\"", "4:Some(\"1\")/None 6:Some(\"3\")/Some(\"x,y\")");
        check("b,a\n1,2", "2:Some(\"2\")/Some(\"1\")");
        check("a\n1", "2:Some(\"1\")/None");
        check("a,b\n", "");
    }

    #[test]
    fn days_are_written_in_one_way() {
        assert_eq!(day("2026-11-02").map(day_of).as_deref(), Some("2026-11-02"));
        for other in ["", "2026-11-2", "2026-13-01", "02.11.2026", "2026-11-02T00:00:00Z", "20261102T00"] {
            assert_eq!(day(other), None, "{other}");
        }
    }

    #[test]
    fn bad_lists_say_what_to_do() {
        check("", "line 1: the column `a` is missing; the first line names columns out of a,b");
        check("b\n1", "line 1: the column `a` is missing; the first line names columns out of a,b");
        check("a,c\n1,2", "line 1: no column is called `c`; the first line names columns out of a,b");
        check("#x\na,a\n1,2", "line 2: the column `a` stands twice; keep one");
        check("a,b\n1,2\n1,2,3", "line 3: 3 values where the header has 2; quote values that hold a comma");
        check("a,b\n1, \"2\"", "line 2: a quote after a blank; write `,\"` with no blank between");
        assert_eq!(shown(b"a,b\n1,2\n\xff,2"), "line 3: not UTF-8; save the list as UTF-8");
    }
}
