//! Replacing an enricher's data while it is in use: what may replace what.
//!
//! Nothing is read or watched here. A file that may not replace the one in use is reported and the old
//! one stays; restarting takes it as it is.

use super::LoadError;
use crate::sighting::Timestamp;
use crate::sighting::time::DAY;

/// What a file is, which decides what may replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An MMDB file; its size is in nodes.
    Mmdb,
    /// A list; its size is in entries.
    List,
}

/// A file that an enricher was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it is there for: `city`. Unique within an enricher.
    pub part: String,
    /// Its path as written in the pipeline file.
    pub file: String,
    /// What it is.
    pub form: Form,
    /// What kind of it, in the file's own words: an MMDB's `database_type`.
    pub kind: String,
    /// When it was made or last checked, as it says itself.
    pub built: Option<Timestamp>,
    /// How much is in it.
    pub size: u64,
}

/// How far ahead of our clock a file's may be.
const CLOCKS_DIFFER: i64 = DAY;

/// Whether `new` looks like a later version of `old`, part by part. Parts that are on one side only are
/// not compared: then somebody changed the settings.
///
/// An MMDB keeps its `database_type` (another one has other keys or another meaning), is not older, not
/// from the future (all later ones would be older) and has between half and twice as many nodes. A list
/// keeps half of its entries at least. (`domain.md` 1.4)
pub fn replace_check(old: &[Loaded], new: &[Loaded], now: Timestamp) -> Result<(), LoadError> {
    for new in new {
        let Some(old) = old.iter().find(|old| old.part == new.part && old.form == new.form) else { continue };
        let refused =
            |code: &'static str, text: String| Err(LoadError { file: new.file.clone(), code, text });
        if new.form == Form::Mmdb && new.kind != old.kind {
            return refused(
                "replace-other-type",
                format!(
                    "the database is a `{}` and replaces a `{}`; restart if that is meant",
                    new.kind, old.kind
                ),
            );
        }
        if let (Form::Mmdb, Some(new_built), Some(old_built)) = (new.form, new.built, old.built) {
            if new_built < old_built {
                return refused(
                    "replace-older",
                    format!(
                        "built at {new_built}, before the one in use ({old_built}); restart if that is meant"
                    ),
                );
            }
            if new_built > now.plus(CLOCKS_DIFFER) {
                return refused(
                    "replace-from-future",
                    format!(
                        "built at {new_built}, which is yet to come; compare the clocks and fetch it again"
                    ),
                );
            }
        }
        let (least, most) = match new.form {
            Form::Mmdb => (old.size.div_ceil(2), old.size.saturating_mul(2)),
            Form::List => (old.size.div_ceil(2), u64::MAX),
        };
        if new.size < least || new.size > most {
            let unit = if new.form == Form::Mmdb { "nodes" } else { "entries" };
            return refused(
                if new.size < least { "replace-shrunk" } else { "replace-grown" },
                format!(
                    "{} {unit} replace {}; look whether the file is whole, and restart if it is",
                    new.size, old.size
                ),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(form: Form, kind: &str, built: i64, size: u64) -> Loaded {
        Loaded {
            part: "city".to_owned(),
            file: "c.mmdb".to_owned(),
            form,
            kind: kind.to_owned(),
            built: Some(Timestamp(built)),
            size,
        }
    }

    #[track_caller]
    fn check(new: &Loaded, expected: &str) {
        let old = loaded(new.form, "GeoLite2-City", 10 * DAY, 101);
        let result = replace_check(&[old], std::slice::from_ref(new), Timestamp(20 * DAY));
        assert_eq!(result.map_or_else(|err| err.code, |()| "may"), expected, "{new:?}");
    }

    #[test]
    fn only_later_versions_replace() {
        use Form::{List, Mmdb};
        check(&loaded(Mmdb, "GeoLite2-City", 11 * DAY, 101), "may");
        check(&loaded(Mmdb, "GeoLite2-City", 10 * DAY, 51), "may");
        check(&loaded(Mmdb, "GeoLite2-City", 21 * DAY, 202), "may");
        check(&loaded(Mmdb, "GeoIP2-City", 11 * DAY, 101), "replace-other-type");
        check(&loaded(Mmdb, "GeoLite2-City", 10 * DAY - 1, 101), "replace-older");
        check(&loaded(Mmdb, "GeoLite2-City", 21 * DAY + 1, 101), "replace-from-future");
        check(&loaded(Mmdb, "GeoLite2-City", 11 * DAY, 50), "replace-shrunk");
        check(&loaded(Mmdb, "GeoLite2-City", 11 * DAY, 203), "replace-grown");
        // A list says nothing of its kind, may grow, and may be put back to an older one.
        check(&loaded(List, "another", 1, 51), "may");
        check(&loaded(List, "list", 99 * DAY, 1_000_000), "may");
        check(&loaded(List, "list", 11 * DAY, 50), "replace-shrunk");
    }

    #[test]
    fn parts_of_changed_settings_are_not_compared() {
        let old = loaded(Form::Mmdb, "GeoLite2-City", 10, 100);
        let new = Loaded { part: "asn".to_owned(), ..loaded(Form::Mmdb, "GeoLite2-ASN", 1, 1) };
        assert_eq!(replace_check(&[old], &[new], Timestamp(DAY)), Ok(()));
    }
}
