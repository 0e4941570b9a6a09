//! The last pass of reading: what the types themselves refuse.
//!
//! serde stops at the first refusal. To see the others, the refused value is replaced by something
//! that its type takes, or left out, and the file is read again; so no knowledge of the types is
//! needed here, and the messages are their own.

use std::ops::Range;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{Finding, Findings, Place, Source, closest};

/// Values that one or the other type takes, tried in this order in place of a refused one.
const SAMPLES: [&str; 8] = [
    "2026-01-01T00:00:00Z",
    "2026-01-01",
    "1s",
    "192.0.2.1",
    "192.0.2.0/24",
    "192.0.2.1:1",
    "sample",
    "org:sample",
];

/// Reads the tree as a `T`; pushes `bad-value` for each value that a type refuses.
pub(super) fn deserialise<T: DeserializeOwned>(
    table: Spanned<DeTable<'_>>,
    source: &Arc<Source>,
    findings: &mut Findings,
) -> Option<T> {
    let mut error = match try_read::<T>(&table) {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    let mut table = table;
    loop {
        let next = match error.span().and_then(|span| culprits::<T>(&table, &span)) {
            Some((culprits, rest)) => {
                for (message, span) in culprits {
                    push(&message, Some(span), false, source, findings);
                }
                rest
            }
            None => {
                let is_key = error.span().is_some_and(|span| is_key(table.get_ref(), &span));
                push(error.message(), error.span(), is_key, source, findings);
                error.span().and_then(|span| without::<T>(&table, &span))
            }
        };
        // Every turn leaves one place fewer that can be refused, so this ends.
        let next = next?;
        match try_read::<T>(&next) {
            Ok(_) => return None,
            Err(further) => (table, error) = (next, further),
        }
    }
}

fn try_read<T: DeserializeOwned>(table: &Spanned<DeTable<'_>>) -> Result<T, toml::de::Error> {
    T::deserialize(toml::de::Deserializer::from(table.clone()))
}

fn push(
    message: &str,
    span: Option<Range<usize>>,
    is_key: bool,
    source: &Arc<Source>,
    findings: &mut Findings,
) {
    let place = span.map(|span| Place { source: source.clone(), span });
    // The schema of a map does not carry which keys its type knows, so serde is the first to tell.
    let mut words = message.split('`').skip(1).step_by(2);
    let finding = match words.next() {
        Some(name) if is_key && message.starts_with("unknown variant") => {
            let known: Vec<&str> = words.collect();
            let help = match closest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            Finding::error("unknown-key", format!("unknown key `{name}`")).help(help)
        }
        _ => Finding::error("bad-value", message),
    };
    findings.push(finding.at(place));
}

/// Whether a key stands at `span`.
fn is_key(table: &DeTable<'_>, span: &Range<usize>) -> bool {
    table.iter().any(|(key, value)| key.span() == *span || has_key(value.get_ref(), span))
}

fn has_key(value: &DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => is_key(table, span),
        DeValue::Array(list) => list.iter().any(|element| has_key(element.get_ref(), span)),
        _ => false,
    }
}

/// Messages with their places, and the tree without what they complain of.
type Culprits<'i> = (Vec<(String, Range<usize>)>, Option<Spanned<DeTable<'i>>>);

/// When the refused span is that of a list, serde knows no element: each is tried alone.
fn culprits<'i, T: DeserializeOwned>(
    table: &Spanned<DeTable<'i>>,
    span: &Range<usize>,
) -> Option<Culprits<'i>> {
    let list = list_at(table, span)?;
    let mut refused = Vec::new();
    let mut kept = toml::de::DeArray::new();
    for element in list.iter() {
        let mut alone = toml::de::DeArray::new();
        alone.push(element.clone());
        match try_read::<T>(&with(table, span, DeValue::Array(alone))) {
            Err(error) if error.span().as_ref() == Some(span) => {
                refused.push((error.message().to_owned(), element.span()));
            }
            _ => kept.push(element.clone()),
        }
    }
    if refused.is_empty() {
        return None;
    }
    let rest = with(table, span, DeValue::Array(kept));
    Some((refused, Some(rest)))
}

/// The tree with the value at `span` replaced by one that is taken, or left out; none when neither
/// helps.
fn without<'i, T: DeserializeOwned>(
    table: &Spanned<DeTable<'i>>,
    span: &Range<usize>,
) -> Option<Spanned<DeTable<'i>>> {
    let helps = |tree: &Spanned<DeTable<'i>>| match try_read::<T>(tree) {
        Ok(_) => true,
        Err(error) => error.span().as_ref() != Some(span) && !error.message().starts_with("missing field"),
    };
    let removed = std::iter::once_with(|| {
        let mut table = table.clone();
        remove(table.get_mut(), span);
        table
    });
    SAMPLES
        .iter()
        .map(|sample| with(table, span, DeValue::String(DeString::Borrowed(sample))))
        .chain(removed)
        .find(helps)
}

/// The tree with another value at `span`.
fn with<'i>(table: &Spanned<DeTable<'i>>, span: &Range<usize>, value: DeValue<'i>) -> Spanned<DeTable<'i>> {
    let mut table = table.clone();
    if let Some(slot) = table.get_mut().iter_mut().find_map(|(_, child)| slot_at(child, span)) {
        *slot = value;
    }
    table
}

/// The value at `span`: the innermost, as the list of `[[x]]` has the span of its first element.
fn slot_at<'t, 'i>(value: &'t mut Spanned<DeValue<'i>>, span: &Range<usize>) -> Option<&'t mut DeValue<'i>> {
    let is_here = value.span() == *span;
    let has_inner = match value.get_ref() {
        DeValue::Table(table) => table.iter().any(|(_, child)| holds(child, span)),
        DeValue::Array(list) => list.iter().any(|child| holds(child, span)),
        _ => false,
    };
    if !has_inner {
        return is_here.then(|| value.get_mut());
    }
    match value.get_mut() {
        DeValue::Table(table) => table.iter_mut().find_map(|(_, child)| slot_at(child, span)),
        DeValue::Array(list) => list.iter_mut().find_map(|child| slot_at(child, span)),
        _ => None,
    }
}

fn holds(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    value.span() == *span
        || match value.get_ref() {
            DeValue::Table(table) => table.iter().any(|(_, child)| holds(child, span)),
            DeValue::Array(list) => list.iter().any(|child| holds(child, span)),
            _ => false,
        }
}

fn list_at<'i>(table: &Spanned<DeTable<'i>>, span: &Range<usize>) -> Option<toml::de::DeArray<'i>> {
    let mut table = table.clone();
    let slot = table.get_mut().iter_mut().find_map(|(_, child)| slot_at(child, span))?;
    slot.as_array().cloned()
}

/// Takes out the entry whose key or value, or the element that, stands at `span`.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) {
    let key = table
        .iter()
        .find(|(key, value)| key.span() == *span || (value.span() == *span && !value.get_ref().is_array()))
        .map(|(key, _)| key.clone());
    if let Some(key) = key {
        table.remove(&key);
        return;
    }
    for (_, value) in table.iter_mut() {
        remove_below(value.get_mut(), span);
    }
}

fn remove_below(value: &mut DeValue<'_>, span: &Range<usize>) {
    match value {
        DeValue::Table(table) => remove(table, span),
        DeValue::Array(list) => {
            let mut kept = toml::de::DeArray::new();
            for element in list.iter().filter(|element| element.span() != *span) {
                kept.push(element.clone());
            }
            *list = kept;
            for element in list.iter_mut() {
                remove_below(element.get_mut(), span);
            }
        }
        _ => {}
    }
}
