//! Whether a TOML tree has the shape that a type's JSON Schema asks for, at every place at once.
//!
//! It knows the part of JSON Schema that schemars makes of our types: `$ref`, objects with required,
//! optional and free keys, lists, choices (an object of one key or a word), ranges, lengths, patterns
//! and null for what may be absent. It deliberately knows no untagged, tagged or flattened types: they
//! lose the place, and no file of ours uses them.
//!
//! A TOML date or time where the schema has a text of format `date-time`, `date` or `time` becomes that
//! text in the tree, so that types read one form only.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeString, DeTable, DeValue};

use super::{Finding, Findings, Place, Source, closest};

/// Checks and prepares the tree; false if anything stops reading it. Where it `is_part` of what was
/// written, as after syntax errors, missing keys are not reported.
pub(super) fn check(
    table: &mut Spanned<DeTable<'_>>,
    schema: &Value,
    is_part: bool,
    source: &Arc<Source>,
    findings: &mut Findings,
) -> bool {
    let mut walker = Walker { root: schema, source, is_part, findings, is_shapely: true };
    let span = table.span();
    // The root is a table by TOML's own rules; anything else is a fault of the caller's type.
    if let Some(choice) = walker.choices(schema).first().copied() {
        walker.table(table.get_mut(), span, choice.schema);
    }
    walker.is_shapely
}

/// One schema of those that a place may follow.
#[derive(Clone, Copy)]
struct Choice<'a> {
    schema: &'a Value,
    /// The only key of the table, when the choice is by name.
    variant: Option<&'a str>,
}

struct Walker<'a> {
    root: &'a Value,
    source: &'a Arc<Source>,
    is_part: bool,
    findings: &'a mut Findings,
    is_shapely: bool,
}

impl<'a> Walker<'a> {
    fn push(&mut self, finding: Finding, span: Range<usize>) {
        self.is_shapely &= finding.severity != super::Severity::Error;
        self.findings.push(finding.at(Some(Place { source: self.source.clone(), span })));
    }

    /// The plain schemas that a schema offers: references followed, choices opened, null left out.
    fn choices(&self, schema: &'a Value) -> Vec<Choice<'a>> {
        let list_of = |key: &str| schema.get(key).and_then(Value::as_array);
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(reference.trim_start_matches('#'));
            target.map_or_else(Vec::new, |target| self.choices(target))
        } else if let Some(list) = list_of("oneOf") {
            // schemars writes the variants of an enum, and nothing else, directly below `oneOf`.
            let variant = |choice: &'a Value| {
                sole_key(choice).map(|name| vec![Choice { schema: choice, variant: Some(name) }])
            };
            list.iter().flat_map(|choice| variant(choice).unwrap_or_else(|| self.choices(choice))).collect()
        } else if let Some(list) = list_of("anyOf").or_else(|| list_of("allOf")) {
            list.iter().flat_map(|choice| self.choices(choice)).collect()
        } else if schema.get("type").is_some_and(|kind| kind == "null") {
            Vec::new()
        } else {
            vec![Choice { schema, variant: None }]
        }
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, schema: &'a Value) {
        let choices = self.choices(schema);
        let span = value.span();
        let value = value.get_mut();
        let fitting: Vec<Choice<'a>> =
            choices.iter().copied().filter(|choice| takes(choice.schema, value)).collect();
        let Some(&Choice { schema: first, variant }) = fitting.first() else {
            let finding = Finding::error(
                "wrong-type",
                format!("expected {}, found {}", wanted(&choices), named(value)),
            );
            let finding = match type_help(&choices, value) {
                Some(help) => finding.help(help),
                None => finding,
            };
            self.push(finding, span);
            return;
        };
        match value {
            DeValue::Table(table) if variant.is_some() => self.variant(table, span, &fitting),
            DeValue::Table(table) => self.table(table, span, first),
            DeValue::Array(list) => self.list(list, span, first),
            DeValue::String(text) => self.text(text, span, &fitting),
            DeValue::Integer(number) => self.integer(number, span, first),
            DeValue::Float(number) => {
                // What does not parse here was refused as syntax.
                let written: f64 = number.as_str().parse().unwrap_or(f64::NAN);
                self.range(written, number.as_str(), span, first);
            }
            DeValue::Datetime(time) => {
                let text = time.to_string();
                let has = (time.date.is_some(), time.time.is_some(), time.offset.is_some());
                let (is_whole, help) = match format_of(first) {
                    Some("date-time") => (has == (true, true, true), "2026-02-01T00:00:00Z"),
                    Some("date") => (has == (true, false, false), "2026-02-01"),
                    _ => (has == (false, true, false), "12:00:00"),
                };
                if !is_whole {
                    let expected = wanted(&choices);
                    let finding = Finding::error("bad-value", format!("expected {expected}, found `{text}`"));
                    self.push(finding.help(format!("write it in full, such as {help}")), span);
                    return;
                }
                *value = DeValue::String(DeString::Owned(text));
            }
            DeValue::Boolean(_) => {}
        }
    }

    fn table(&mut self, table: &mut DeTable<'_>, span: Range<usize>, schema: &'a Value) {
        let none = serde_json::Map::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        let known: Vec<&str> = properties.unwrap_or(&none).keys().map(String::as_str).collect();
        let free = schema.get("additionalProperties");
        let names: Option<Vec<&str>> = schema.get("propertyNames").map(|names| words(&self.choices(names)));
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        for (key, value) in table.iter_mut() {
            let name = key.get_ref().as_ref();
            let matching = patterns.and_then(|patterns| {
                patterns.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, schema)| schema)
            });
            if let Some(inner) = properties.and_then(|properties| properties.get(name)).or(matching) {
                self.value(value, inner);
                continue;
            }
            match (free, &names) {
                (_, Some(allowed)) if !allowed.contains(&name) => {
                    self.unknown_key(name, key.span(), allowed);
                }
                (Some(Value::Bool(false)), _) => self.unknown_key(name, key.span(), &known),
                (Some(inner @ Value::Object(_)), _) => self.value(value, inner),
                _ => {}
            }
        }
        if self.is_part {
            return;
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !table.contains_key(name) {
                let finding = Finding::error("missing-key", format!("missing key `{name}`"));
                let finding = match properties.and_then(|p| p.get(name)).and_then(description) {
                    Some(text) => finding.help(format!("`{name}`: {text}")),
                    None => finding,
                };
                self.push(finding, span.clone());
            }
        }
    }

    /// A choice by name: a table of exactly one key, `{ geoip = { ... } }`.
    fn variant(&mut self, table: &mut DeTable<'_>, span: Range<usize>, choices: &[Choice<'a>]) {
        let names: Vec<&str> = choices.iter().filter_map(|choice| choice.variant).collect();
        if table.len() != 1 {
            let found = if table.is_empty() { "none".to_owned() } else { table.len().to_string() };
            let finding = Finding::error("not-one-key", format!("expected exactly one key, found {found}"))
                .help(format!("the key says which it is: {}", names.join(", ")));
            self.push(finding, span);
            return;
        }
        for (key, value) in table.iter_mut() {
            let name = key.get_ref().as_ref();
            let inner = choices.iter().find(|choice| choice.variant == Some(name));
            match inner.and_then(|choice| choice.schema.get("properties")?.get(name)) {
                Some(schema) => self.value(value, schema),
                None => self.unknown_key(name, key.span(), &names),
            }
        }
    }

    fn unknown_key(&mut self, name: &str, span: Range<usize>, known: &[&str]) {
        let help = match closest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "this table has no keys".to_owned(),
            None => format!("known keys: {}", known.join(", ")),
        };
        self.push(Finding::error("unknown-key", format!("unknown key `{name}`")).help(help), span);
    }

    fn list(&mut self, list: &mut DeArray<'_>, span: Range<usize>, schema: &'a Value) {
        let count = list.len() as u64;
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(u64::MAX);
        if !(least..=most).contains(&count) {
            let limits = bounds(least, most, most == u64::MAX);
            let finding = Finding::error("out-of-range", format!("a list with {count} elements"));
            self.push(finding.help(format!("it must have {limits}")), span);
        }
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.repeats(list);
        }
        let each = schema.get("prefixItems").and_then(Value::as_array);
        for (index, element) in list.iter_mut().enumerate() {
            let inner = each.and_then(|each| each.get(index)).or_else(|| schema.get("items"));
            if let Some(inner) = inner {
                self.value(element, inner);
            }
        }
    }

    fn repeats(&mut self, list: &DeArray<'_>) {
        let mut seen: Vec<&str> = Vec::new();
        for element in list.iter() {
            let Some(text) = element.get_ref().as_str() else { continue };
            if seen.contains(&text) {
                let finding = Finding::warning("repeated-value", format!("`{text}` is repeated"));
                self.push(finding.help("take one of them out"), element.span());
            }
            seen.push(text);
        }
    }

    fn text(&mut self, text: &str, span: Range<usize>, choices: &[Choice<'a>]) {
        let allowed = words(choices);
        let free: Vec<&Value> =
            choices.iter().map(|choice| choice.schema).filter(|schema| fixed(schema).is_none()).collect();
        if allowed.contains(&text) {
            return;
        }
        if free.is_empty() {
            let mut help = format!("allowed: {}", allowed.join(", "));
            if let Some(near) = closest(text, allowed.iter().copied()) {
                help = format!("did you mean `{near}`? {help}");
            }
            let finding = Finding::error("unknown-value", format!("unknown value `{text}`")).help(help);
            self.push(finding, span);
            return;
        }
        for schema in free {
            let length = text.chars().count() as u64;
            let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
            let most = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
            if !(least..=most).contains(&length) {
                let limits = bounds(least, most, most == u64::MAX);
                let finding = Finding::error("out-of-range", format!("a text of {length} characters"));
                self.push(finding.help(format!("it must have {limits}")), span.clone());
            } else if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
                && !matches(pattern, text)
            {
                let finding = Finding::error("bad-value", format!("`{text}` has not the right form"));
                self.push(finding.help(format!("it must match `{pattern}`")), span.clone());
            }
        }
    }

    fn integer(&mut self, number: &DeInteger<'_>, span: Range<usize>, schema: &'a Value) {
        let Ok(written) = i128::from_str_radix(number.as_str(), number.radix()) else {
            self.push(Finding::error("out-of-range", "a number beyond any that is stored"), span);
            return;
        };
        if let Some((least, most)) = width(format_of(schema)) {
            let least = schema.get("minimum").and_then(Value::as_i64).map_or(least, i128::from);
            let most = schema.get("maximum").and_then(Value::as_u64).map_or(most, i128::from);
            if !(least..=most).contains(&written) {
                let finding = Finding::error("out-of-range", format!("{written} is out of range"));
                self.push(finding.help(format!("it must be {}", bounds(least, most, false))), span);
            }
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "bounds without a width are small numbers")]
        self.range(written as f64, &written.to_string(), span, schema);
    }

    fn range(&mut self, written: f64, shown: &str, span: Range<usize>, schema: &'a Value) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let checks = [
            ("minimum", "at least", bound("minimum").is_none_or(|bound| written >= bound)),
            ("maximum", "at most", bound("maximum").is_none_or(|bound| written <= bound)),
            ("exclusiveMinimum", "more than", bound("exclusiveMinimum").is_none_or(|b| written > b)),
            ("exclusiveMaximum", "less than", bound("exclusiveMaximum").is_none_or(|b| written < b)),
        ];
        if checks.iter().all(|&(_, _, holds)| holds) {
            return;
        }
        let limits: Vec<String> = checks
            .iter()
            .filter_map(|(key, words, _)| Some(format!("{words} {}", schema.get(key)?)))
            .collect();
        let finding = Finding::error("out-of-range", format!("{shown} is out of range"));
        self.push(finding.help(format!("it must be {}", limits.join(" and "))), span);
    }
}

/// The bytes of the whole lines that a span touches; from a header on, those up to the next header,
/// as what follows a lost header stands in the wrong table.
pub(super) fn lines_of(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.floor_char_boundary(span.end.max(start));
    let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let end_of_part = if text[from..].starts_with('[') { "\n[" } else { "\n" };
    let to = text[end..].find(end_of_part).map_or(text.len() + 1, |at| end + at + 1);
    from..to
}

/// The JSON types of a schema; none if it does not say.
fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ if fixed(schema).is_some() => vec!["string"],
        _ if schema.get("properties").is_some() => vec!["object"],
        _ => Vec::new(),
    }
}

fn takes(schema: &Value, value: &DeValue<'_>) -> bool {
    let types = types(schema);
    types.is_empty()
        || match value {
            DeValue::String(_) => types.contains(&"string"),
            DeValue::Integer(_) => types.contains(&"integer") || types.contains(&"number"),
            DeValue::Float(_) => types.contains(&"number"),
            DeValue::Boolean(_) => types.contains(&"boolean"),
            DeValue::Array(_) => types.contains(&"array"),
            DeValue::Table(_) => types.contains(&"object"),
            DeValue::Datetime(_) => {
                matches!(format_of(schema), Some("date-time" | "date" | "time"))
            }
        }
}

fn format_of(schema: &Value) -> Option<&str> {
    schema.get("format").and_then(Value::as_str)
}

/// The words that a schema is limited to.
fn fixed(schema: &Value) -> Option<Vec<&str>> {
    match (schema.get("const"), schema.get("enum").and_then(Value::as_array)) {
        (Some(word), _) => Some(word.as_str().into_iter().collect()),
        (None, Some(words)) => Some(words.iter().filter_map(Value::as_str).collect()),
        (None, None) => None,
    }
}

fn words<'a>(choices: &[Choice<'a>]) -> Vec<&'a str> {
    choices.iter().filter_map(|choice| fixed(choice.schema)).flatten().collect()
}

/// The key of an object that has exactly one, which is required.
fn sole_key(schema: &Value) -> Option<&str> {
    let properties = schema.get("properties")?.as_object()?;
    match schema.get("required")?.as_array()?.as_slice() {
        [name] if properties.len() == 1 => name.as_str(),
        _ => None,
    }
}

fn width(format: Option<&str>) -> Option<(i128, i128)> {
    Some(match format? {
        "int8" => (i8::MIN.into(), i8::MAX.into()),
        "int16" => (i16::MIN.into(), i16::MAX.into()),
        "int32" => (i32::MIN.into(), i32::MAX.into()),
        // TOML promises 64 bits with a sign; unsigned ones are held to the same.
        "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
        "uint8" => (0, u8::MAX.into()),
        "uint16" => (0, u16::MAX.into()),
        "uint32" => (0, u32::MAX.into()),
        "uint64" | "uint" => (0, i64::MAX.into()),
        _ => return None,
    })
}

fn bounds<N: ToString + PartialEq>(least: N, most: N, is_open: bool) -> String {
    match (is_open, least == most) {
        (true, _) => format!("at least {}", least.to_string()),
        (false, true) => format!("exactly {}", least.to_string()),
        (false, false) => format!("from {} to {}", least.to_string(), most.to_string()),
    }
}

/// An invalid pattern is a fault of ours, and lets everything pass rather than stop a user.
fn matches(pattern: &str, text: &str) -> bool {
    regex::Regex::new(pattern).map_or(true, |pattern| pattern.is_match(text))
}

/// The first sentence of a schema's description.
fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    let line = text.split("\n\n").next()?.replace('\n', " ");
    let sentence = line.split_once(". ").map_or(line.as_str(), |(first, _)| first);
    Some(sentence.trim_end_matches('.').to_owned())
}

fn named(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What is wanted in words: `a text or a list`.
fn wanted(choices: &[Choice<'_>]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for schema in choices.iter().map(|choice| choice.schema) {
        for kind in types(schema) {
            let name = match (kind, format_of(schema)) {
                ("string", Some("date-time")) => "a time",
                ("string", Some("date")) => "a date",
                ("string", Some("length-of-time")) => "a length of time in quotes",
                ("string", _) => "a text",
                ("integer", _) => "a whole number",
                ("number", _) => "a number",
                ("boolean", _) => "true or false",
                ("array", _) => "a list",
                ("object", _) => "a table",
                _ => continue,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names.join(" or ")
}

fn type_help(choices: &[Choice<'_>], value: &DeValue<'_>) -> Option<String> {
    let wants = |kind: &str| choices.iter().any(|choice| types(choice.schema).contains(&kind));
    let variants: Vec<&str> = choices.iter().filter_map(|choice| choice.variant).collect();
    match value {
        DeValue::String(text) if variants.contains(&text.as_ref()) => {
            Some(format!("write {{ {text} = {{}} }}"))
        }
        DeValue::Table(_) if wants("array") => Some("a list of tables is written [[name]]".to_owned()),
        DeValue::Array(_) if wants("object") => Some("a single table is written [name]".to_owned()),
        DeValue::String(_) | DeValue::Table(_) if !variants.is_empty() => {
            Some(format!("the key says which it is: {}", variants.join(", ")))
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) if wants("string") => {
            Some("put it in quotes".to_owned())
        }
        _ if wants("array") => Some("put it in brackets".to_owned()),
        _ => None,
    }
}
