//! Paths into JSON: `data.events.0.ioc`, keys with dots in quotes: `"source.ip"`, from the record's
//! root: `$.feed.name`.

use super::tree::Json;

/// Where in an item, or in the whole record, a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// From the record and not from the item.
    from_root: bool,
    /// Keys; of a list, numbers from 0.
    steps: Vec<String>,
}

impl Path {
    /// The path of that text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        let mut steps = Vec::new();
        let mut from_root = false;
        loop {
            let quoted = rest.starts_with('"');
            let step = if quoted {
                let (step, after) = rest[1..].split_once('"').ok_or("a quote is not closed")?;
                rest = after;
                step
            } else {
                let (step, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                rest = after;
                step
            };
            if step.is_empty() {
                return Err("a step is empty".to_owned());
            }
            if !quoted && step.contains('"') {
                return Err("a quote stands inside a step; put the whole step in quotes".to_owned());
            }
            if !quoted && step == "$" && steps.is_empty() && !from_root {
                from_root = true;
            } else {
                steps.push(step.to_owned());
            }
            if rest.is_empty() {
                break;
            }
            rest = rest.strip_prefix('.').ok_or("a dot is missing after a quoted step")?;
        }
        Ok(Self { from_root, steps })
    }

    /// The value there; none when any step leads nowhere.
    pub(super) fn find<'t, 'a>(&self, root: &'t Json<'a>, item: &'t Json<'a>) -> Option<&'t Json<'a>> {
        let start = if self.from_root { root } else { item };
        self.steps.iter().try_fold(start, |json, step| match json {
            Json::Object(object) => object.iter().find(|(key, _)| key == step).map(|(_, value)| value),
            Json::List(list) => list.get(step.parse::<usize>().ok()?),
            Json::Null | Json::Scalar(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::formats::{Scalar, tree};

    #[track_caller]
    fn check(path: &str, want: Option<u64>) {
        let record = br#"{"n": 1, "item": {"a": {"b": 2}, "a.b": 3, "l": [4, {"x": 5}], "$": 6}}"#;
        let root = tree::parse(record).unwrap();
        let item = Path::parse("item").unwrap().find(&root, &root).unwrap().clone();
        let got = match Path::parse(path).unwrap().find(&root, &item) {
            Some(Json::Scalar(Scalar::Unsigned(number))) => Some(*number),
            _ => None,
        };
        assert_eq!(got, want, "{path}");
    }

    #[test]
    fn paths_lead_somewhere() {
        check("a.b", Some(2));
        check("\"a.b\"", Some(3));
        check("\"a\".b", Some(2));
        check("l.0", Some(4));
        check("l.1.x", Some(5));
        check("l.2", None);
        check("l.x", None);
        check("a.b.c", None);
        check("n", None);
        check("$.n", Some(1));
        check("$.item.a.b", Some(2));
        check("\"$\"", Some(6));
    }

    #[test]
    fn bad_paths() {
        for path in ["", ".", "a.", ".a", "a..b", "\"a", "a\"b", "\"a\"b", "\"\""] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
