//! The fields of a lead that an agreement may name, and what may be done to each.
//!
//! The table [`FIELDS`] is the only place that knows them; schema, check and redaction read it. How a
//! field's value is taken from a lead is in [`super::redact`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done to a field on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// As it is.
    Keep,
    /// Midnight UTC of the day.
    TruncateDay,
    /// The full hour.
    TruncateHour,
    /// The network that an address is in: /24, or /48 for IPv6.
    TruncateNet,
    /// A URL without what gives access: values of credential parameters, e-mail addresses, tokens.
    ScrubCredentials,
    /// A URL without its query, and without what names a person or gives access in its path.
    ScrubStrict,
    /// A number as the band that it is in.
    Band,
    /// A keyed pseudonym. Refused until it is built.
    Pseudonym,
}

impl Op {
    /// All operations.
    pub const ALL: [Self; 8] = [
        Self::Keep,
        Self::TruncateDay,
        Self::TruncateHour,
        Self::TruncateNet,
        Self::ScrubCredentials,
        Self::ScrubStrict,
        Self::Band,
        Self::Pseudonym,
    ];

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::TruncateDay => "truncate-day",
            Self::TruncateHour => "truncate-hour",
            Self::TruncateNet => "truncate-net",
            Self::ScrubCredentials => "scrub-credentials",
            Self::ScrubStrict => "scrub-strict",
            Self::Band => "band",
            Self::Pseudonym => "pseudonym",
        }
    }
}

/// The fields of an agreement as written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Written(pub BTreeMap<String, Op>);

impl JsonSchema for Written {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fields".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let every: Vec<&str> = Op::ALL.iter().map(|op| op.as_str()).collect();
        let mut properties = serde_json::Map::new();
        for field in FIELDS {
            let ops: Vec<&str> = field.ops.iter().map(|op| op.as_str()).collect();
            let mut property = serde_json::json!({
                // The check says at which field an operation is out of place, and why.
                "type": "string", "enum": every, "description": field.text,
                "x-operations": ops, "x-standing": if ops.is_empty() { "refused" } else { "enforced" },
            });
            if let (Some(instead), Some(object)) = (field.instead, property.as_object_mut()) {
                object.insert("x-instead".to_owned(), instead.into());
            }
            properties.insert(field.path.to_owned(), property);
        }
        schemars::json_schema!({
            "type": "object", "properties": properties,
            // Other paths are let through to the check, which knows why each is refused.
            "additionalProperties": { "type": "string", "enum": every },
        })
    }
}

/// A field that can be named.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its path in a lead.
    pub path: &'static str,
    /// What it is.
    pub text: &'static str,
    /// What may be done to it; nothing for a field that is known and not built.
    pub ops: &'static [Op],
    /// What to do in place of a refused one.
    pub instead: Option<&'static str>,
}

const KEEP: &[Op] = &[Op::Keep];
const TIME: &[Op] = &[Op::Keep, Op::TruncateDay, Op::TruncateHour];
const ADDRESS: &[Op] = &[Op::Keep, Op::TruncateNet];
const NUMBER: &[Op] = &[Op::Keep, Op::Band];
const URL: &[Op] = &[Op::Keep, Op::ScrubCredentials, Op::ScrubStrict];

const fn field(path: &'static str, ops: &'static [Op], text: &'static str) -> Field {
    Field { path, text, ops, instead: None }
}

const fn refused(path: &'static str, text: &'static str, instead: Option<&'static str>) -> Field {
    Field { path, text, ops: &[], instead }
}

/// All of them, in order of path.
pub const FIELDS: &[Field] = &[
    refused("abuse.contact", "Whom to tell of abuse at the address.", None),
    field("built", KEEP, "The model and the data that it was made from."),
    field("gov.class", KEEP, "`central`, `local`, `military` or `police`."),
    field("gov.country", KEEP, "Whose government's name it is."),
    field("gov.suffix", KEEP, "The government suffix that the name stands under."),
    field("indicator.type", KEEP, "The type of indicator."),
    field("indicator.value", ADDRESS, "The indicator. For a URL, `url.full` says in which form."),
    refused("malware.family", "Family of malware.", Some("write `malware.name`")),
    field("malware.name", KEEP, "Names of malware, most reporters first."),
    field("malware.reporters", KEEP, "How many reporters give each name."),
    field("network.as_name", KEEP, "Name of the autonomous system."),
    field("network.asn", KEEP, "Number of the autonomous system."),
    field("network.city", KEEP, "City of the address."),
    field("network.country", KEEP, "Country of the address."),
    field("network.ip", ADDRESS, "The address."),
    refused("network.src_port", "A victim's source port.", Some("write `services.port` for the ports seen")),
    field("nexus.confidence", KEEP, "How sure the link is."),
    field("nexus.country", KEEP, "Countries that it has to do with."),
    field("nexus.kind", KEEP, "By what link."),
    field("now", TIME, "The time that decay was computed for."),
    field("pap", KEEP, "The strictest PAP of what was used."),
    refused("raw", "The raw records behind it.", None),
    field("reporters", KEEP, "How many reporters saw it."),
    field("role", KEEP, "What it was seen as."),
    field("score.confidence", NUMBER, "How sure the score is."),
    field("score.conflict", KEEP, "Whether there is strong evidence on both sides."),
    field("score.factors", KEEP, "What speaks for and against, without who said so."),
    field("score.risk", NUMBER, "How likely it is what its role says."),
    field("score.verdict", KEEP, "The band that a reader acts on."),
    field("services", KEEP, "Short for all of `services.*`."),
    field("services.first_seen", TIME, "When a port was seen first."),
    field("services.last_seen", TIME, "When a port was seen last."),
    field("services.port", KEEP, "Ports."),
    field("services.protocol", KEEP, "Their transport protocols."),
    field("sightings", KEEP, "How many sightings."),
    refused("source.alias", "Who saw it, under an alias.", None),
    field("time.first_reported", TIME, "When it was first reported."),
    field("time.first_seen", TIME, "When it was seen first."),
    field("time.last_seen", TIME, "When it was seen last."),
    field("tlp", KEEP, "The strictest TLP of what was used."),
    field("url.full", URL, "How a URL is shown; governs `indicator.value`."),
    refused("victim.country", "Country of a victim.", Some("write `nexus.country`")),
    refused("victim.ip", "Address of a victim.", None),
    refused("victim.sector", "Sector of a victim.", None),
];

/// Families of fields of which every member is known and not built.
const REFUSED_BELOW: &[&str] = &["abuse", "raw", "source.alias", "victim"];

/// What no agreement can share: it would show a person, a sensor, or who reported (`sharing.md` 2.3).
const NEVER: &[&str] = &[
    "comment",
    "honeypot",
    "id",
    "indicator.original",
    "internal",
    "original",
    "origin",
    "payload",
    "raw.comment",
    "raw.payload",
    "raw.reporter",
    "reporter",
    "score.factors.origin",
    "sensor",
    "source.id",
    "source.name",
    "tags",
    "victim.account",
    "victim.email",
    "victim.hostname",
    "victim.name",
];

/// What naming a path comes to.
#[derive(Debug, Clone, Copy)]
pub enum Standing {
    /// It can be named, with the field's operations.
    Known(&'static Field),
    /// It is known and not built.
    Refused(Option<&'static str>),
    /// It can never be shared.
    Never,
    /// No field has this path.
    Unknown,
}

/// What naming `path` comes to.
pub fn standing(path: &str) -> Standing {
    let below = |list: &[&str]| {
        list.iter()
            .any(|head| path.strip_prefix(head).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    };
    if below(NEVER) {
        return Standing::Never;
    }
    match FIELDS.iter().find(|field| field.path == path) {
        Some(field) if field.ops.is_empty() => Standing::Refused(field.instead),
        Some(field) => Standing::Known(field),
        None if below(REFUSED_BELOW) => Standing::Refused(None),
        None => Standing::Unknown,
    }
}

/// The fields of a checked agreement: path to operation. What is not in it is not shared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(BTreeMap<&'static str, Op>);

impl Fields {
    /// Adds a path, or all paths of a short form.
    pub fn allow(&mut self, field: &'static Field, op: Op) {
        if field.path == "services" {
            for member in FIELDS.iter().filter(|member| member.path.starts_with("services.")) {
                self.0.insert(member.path, op);
            }
        } else {
            self.0.insert(field.path, op);
        }
    }

    /// The operation of a path; none when it is not shared.
    pub fn op(&self, path: &str) -> Option<Op> {
        self.0.get(path).copied()
    }

    /// Whether any path of this group, such as `score`, is shared.
    pub fn any_of(&self, group: &str) -> bool {
        self.iter().any(|(path, _)| {
            path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// All of them, in order of path.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Op)> + '_ {
        self.0.iter().map(|(&path, &op)| (path, op))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_has_no_repeats() {
        assert!(FIELDS.is_sorted_by(|a, b| a.path < b.path));
    }

    #[test]
    fn nothing_that_can_be_named_is_among_the_never() {
        for field in FIELDS {
            assert!(!matches!(standing(field.path), Standing::Never | Standing::Unknown), "{}", field.path);
        }
    }

    #[test]
    fn standings() {
        #[track_caller]
        fn check(path: &str, want: &str) {
            let got = match standing(path) {
                Standing::Known(_) => "known",
                Standing::Refused(_) => "refused",
                Standing::Never => "never",
                Standing::Unknown => "unknown",
            };
            assert_eq!(got, want, "{path}");
        }
        check("indicator.value", "known");
        check("reporters", "known");
        check("reporter", "never");
        check("reporter.name", "never");
        check("sensor.ip", "never");
        check("raw.payload", "never");
        check("raw.anything", "refused");
        check("raw", "refused");
        check("malware.family", "refused");
        check("victim.name", "never");
        check("victim.ip", "refused");
        check("indicator", "unknown");
        check("score.risky", "unknown");
        check("", "unknown");
    }
}
