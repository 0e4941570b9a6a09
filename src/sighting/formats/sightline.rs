//! Our own JSON: one sighting, a list of them, or `{"sightings": [...]}`.
//!
//! Strict where the mapped formats are tolerant: a key that we do not know is refused by name,
//! because a sender that misspells `tlp` must not be read as one that did not mark.

use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::draft::{Draft, Position};
use super::tree::{self, Json, Scalar};
use super::{Reject, Times, check_count};
use crate::sighting::reason::{Reason, quote};
use crate::sighting::{IndicatorType, Pap, Protocol, Role, Timestamp, Tlp, Victim};

/// Nothing to set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

/// One sighting as a reporter writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What was seen.
    pub indicator: InputIndicator,
    /// What it was seen as.
    pub role: Role,
    /// When it was seen.
    pub observed_at: Timestamp,
    /// The reporter, on a topic that carries several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub reporter: Option<String>,
    /// The reporter's own id of it: a second sighting with it counts as the same one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub id: Option<String>,
    /// Family or tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub malware: Option<String>,
    /// 1 to 65535; a text that is such a number is taken as well.
    // Without the default it would be a required one: a schema of our own hides that it may lack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "port_schema")]
    pub port: Option<u16>,
    /// Of the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub claimed_confidence: Option<u8>,
    /// Who may see it; narrows the terms of the reporter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tlp: Option<Tlp>,
    /// What may be done with it; narrows the terms of the reporter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pap: Option<Pap>,
    /// Free tags. One such as `tlp:red` narrows like the field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<String>>", length(max = 64))]
    pub tags: Vec<String>,
    /// Free text, for the house only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub comment: Option<String>,
    /// Who suffered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub victim: Option<Victim>,
}

/// An indicator as a reporter writes it, possibly defanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputIndicator {
    /// A text, whose type shows.
    Text(String),
    /// A text of a stated type.
    Typed(IndicatorType, String),
}

impl Serialize for InputIndicator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Typed(kind, value) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("type", kind)?;
                map.serialize_entry("value", value)?;
                map.end()
            }
        }
    }
}

impl JsonSchema for InputIndicator {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Indicator".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let kind = generator.subschema_for::<IndicatorType>();
        schemars::json_schema!({
            "description": "A text, possibly defanged, with its type or without.",
            "oneOf": [
                { "type": "string", "minLength": 1, "maxLength": 8192 },
                {
                    "type": "object",
                    "properties": {
                        "type": kind,
                        "value": { "type": "string", "minLength": 1, "maxLength": 8192 }
                    },
                    "required": ["type", "value"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// The value of a record: what `sightline schema sighting` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputRecord {
    /// One sighting.
    One(Box<Input>),
    /// Several.
    Many(Vec<Input>),
}

impl Serialize for InputRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(input) => input.serialize(serializer),
            Self::Many(inputs) => inputs.serialize(serializer),
        }
    }
}

impl JsonSchema for InputRecord {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sightings".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<Input>();
        schemars::json_schema!({
            "description": "One sighting, a list of them, or an object that holds a list.",
            "oneOf": [
                one.clone(),
                { "type": "array", "items": one.clone(), "minItems": 1 },
                {
                    "type": "object",
                    "properties": { "sightings": { "type": "array", "items": one, "minItems": 1 } },
                    "required": ["sightings"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

fn port_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65535 },
            { "type": "string", "pattern": "^[0-9]{1,5}$" },
            { "type": "null" }
        ]
    })
}

pub(super) fn decode(bytes: &[u8], max_sightings: usize) -> Result<Vec<Draft<'_>>, Reject> {
    let list = match tree::parse(bytes)? {
        Json::List(list) => list,
        Json::Object(mut object) if object.iter().any(|(key, _)| key == "sightings") => {
            if let Some((key, _)) = object.iter().find(|(key, _)| key != "sightings") {
                return Err(unknown(key, "beside sightings"));
            }
            match object.pop() {
                Some((_, Json::List(list))) => list,
                other => {
                    let kind = other.map_or("not there", |(_, json)| json.kind());
                    return Err(Reject::new(
                        Reason::WrongShape,
                        format!("sightings is {kind}; write a list"),
                    ));
                }
            }
        }
        one => return Ok(vec![draft(one, Position::Whole)?]),
    };
    check_count(list.len(), max_sightings)?;
    list.into_iter()
        .enumerate()
        .map(|(index, item)| {
            draft(item, Position::Item(index)).map_err(|reject| reject.at(Position::Item(index)))
        })
        .collect()
}

fn draft(item: Json<'_>, position: Position) -> Result<Draft<'_>, Reject> {
    let Json::Object(object) = item else {
        let text = format!("it is {}; a sighting is an object", item.kind());
        return Err(Reject::new(Reason::WrongShape, text));
    };
    let mut draft = Draft::new(position, Times::Rfc3339);
    for (key, value) in object {
        match &*key {
            "indicator" => match value {
                Json::Object(object) => {
                    for (key, value) in object {
                        match &*key {
                            "type" => draft.kind = text("indicator.type", value)?,
                            "value" => draft.indicator = text("indicator.value", value)?,
                            key => return Err(unknown(key, "in indicator")),
                        }
                    }
                    if draft.kind.is_none() {
                        return Err(Reject::new(Reason::MissingField, "it has no indicator.type"));
                    }
                }
                value => draft.indicator = text("indicator", value)?,
            },
            "role" => draft.role = text("role", value)?,
            "observed_at" => draft.observed_at = text("observed_at", value)?,
            "reporter" => draft.reporter = text("reporter", value)?,
            "id" => draft.id = text("id", value)?,
            "malware" => draft.malware = text("malware", value)?,
            "port" => draft.port = scalar("port", value)?,
            "protocol" => draft.protocol = text("protocol", value)?,
            "claimed_confidence" => draft.claimed_confidence = scalar("claimed_confidence", value)?,
            "tlp" => draft.tlp = text("tlp", value)?,
            "pap" => draft.pap = text("pap", value)?,
            "tags" => match value {
                Json::Null => {}
                Json::List(list) => {
                    for tag in list {
                        let kind = tag.kind();
                        draft.tags.push(text("tags", tag)?.ok_or_else(|| wrong_type("tags", kind))?);
                    }
                }
                other => return Err(wrong_type("tags", other.kind())),
            },
            "comment" => draft.comment = text("comment", value)?,
            "victim" => match value {
                Json::Null => {}
                Json::Object(object) => {
                    for (key, value) in object {
                        match &*key {
                            "country" => draft.victim_country = text("victim.country", value)?,
                            "sector" => draft.victim_sector = text("victim.sector", value)?,
                            key => return Err(unknown(key, "in victim")),
                        }
                    }
                }
                other => return Err(wrong_type("victim", other.kind())),
            },
            key => return Err(unknown(key, "in a sighting")),
        }
    }
    Ok(draft)
}

/// A text, or none for null.
fn text<'a>(field: &str, value: Json<'a>) -> Result<Option<Scalar<'a>>, Reject> {
    match value {
        Json::Null => Ok(None),
        Json::Scalar(scalar @ Scalar::Text(_)) => Ok(Some(scalar)),
        other => Err(wrong_type(field, other.kind())),
    }
}

/// A value without parts, or none for null.
fn scalar<'a>(field: &str, value: Json<'a>) -> Result<Option<Scalar<'a>>, Reject> {
    match value {
        Json::Null => Ok(None),
        Json::Scalar(scalar) => Ok(Some(scalar)),
        other => Err(wrong_type(field, other.kind())),
    }
}

fn wrong_type(field: &str, kind: &str) -> Reject {
    Reject::new(Reason::WrongType, format!("{field} is {kind}"))
}

fn unknown(key: &str, place: &str) -> Reject {
    Reject::new(Reason::UnknownField, format!("the key {} is not known {place}", quote(key)))
}
