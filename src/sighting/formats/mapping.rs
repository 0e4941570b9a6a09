//! From the fields of a feed to ours: which stands where, what its words mean, what is always so.
//!
//! Shared by the formats that are described and not known. Where a field stands (a path, a column)
//! is theirs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::draft::{self, Draft, Position};
use super::tree::{Json, Scalar};
use super::{Reject, Times};
use crate::diag::{Finding, Findings, Place};
use crate::sighting::reason::{Reason, quote};

/// A text for each field of a sighting: where it stands, or what it always is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// The indicator.
    pub indicator: Option<String>,
    /// Its type; without it the type is told from the text.
    pub r#type: Option<String>,
    /// The role.
    pub role: Option<String>,
    /// When it was seen.
    pub observed_at: Option<String>,
    /// The reporter, where a topic carries several.
    pub reporter: Option<String>,
    /// The reporter's id of the sighting.
    pub id: Option<String>,
    /// Family or tool.
    pub malware: Option<String>,
    /// The port.
    pub port: Option<String>,
    /// `tcp` or `udp`.
    pub protocol: Option<String>,
    /// 0 to 100.
    pub claimed_confidence: Option<String>,
    /// The TLP label.
    pub tlp: Option<String>,
    /// The PAP label.
    pub pap: Option<String>,
    /// Tags: a list, or a text with commas between them.
    pub tags: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// Who suffered.
    pub victim: VictimFields,
}

/// As [`Fields`], for the victim.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VictimFields {
    /// The country.
    pub country: Option<String>,
    /// The sector.
    pub sector: Option<String>,
}

/// The feed's words and ours, for each field. The word `*` stands for any that is not listed; an
/// empty text on our side means that nothing is said. A word that is not listed stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Values {
    /// To indicator types.
    pub r#type: BTreeMap<String, String>,
    /// To roles.
    pub role: BTreeMap<String, String>,
    /// To reporters.
    pub reporter: BTreeMap<String, String>,
    /// To malware.
    pub malware: BTreeMap<String, String>,
    /// To ports; useful to say that `0` is none.
    pub port: BTreeMap<String, String>,
    /// To `tcp` and `udp`.
    pub protocol: BTreeMap<String, String>,
    /// To 0 to 100.
    pub claimed_confidence: BTreeMap<String, String>,
    /// To TLP labels.
    pub tlp: BTreeMap<String, String>,
    /// To PAP labels.
    pub pap: BTreeMap<String, String>,
    /// To tags, each alone.
    pub tags: BTreeMap<String, String>,
    /// Of the victim.
    pub victim: VictimValues,
}

/// As [`Values`], for the victim.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VictimValues {
    /// To countries.
    pub country: BTreeMap<String, String>,
    /// To sectors.
    pub sector: BTreeMap<String, String>,
}

/// A field of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Indicator,
    Type,
    Role,
    ObservedAt,
    Reporter,
    Id,
    Malware,
    Port,
    Protocol,
    ClaimedConfidence,
    Tlp,
    Pap,
    Tags,
    Comment,
    VictimCountry,
    VictimSector,
}

impl Field {
    const ALL: [Self; 16] = [
        Self::Indicator,
        Self::Type,
        Self::Role,
        Self::ObservedAt,
        Self::Reporter,
        Self::Id,
        Self::Malware,
        Self::Port,
        Self::Protocol,
        Self::ClaimedConfidence,
        Self::Tlp,
        Self::Pap,
        Self::Tags,
        Self::Comment,
        Self::VictimCountry,
        Self::VictimSector,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Indicator => "indicator",
            Self::Type => "type",
            Self::Role => "role",
            Self::ObservedAt => "observed_at",
            Self::Reporter => "reporter",
            Self::Id => "id",
            Self::Malware => "malware",
            Self::Port => "port",
            Self::Protocol => "protocol",
            Self::ClaimedConfidence => "claimed_confidence",
            Self::Tlp => "tlp",
            Self::Pap => "pap",
            Self::Tags => "tags",
            Self::Comment => "comment",
            Self::VictimCountry => "victim.country",
            Self::VictimSector => "victim.sector",
        }
    }

    fn of(self, fields: &Fields) -> Option<&String> {
        match self {
            Self::Indicator => &fields.indicator,
            Self::Type => &fields.r#type,
            Self::Role => &fields.role,
            Self::ObservedAt => &fields.observed_at,
            Self::Reporter => &fields.reporter,
            Self::Id => &fields.id,
            Self::Malware => &fields.malware,
            Self::Port => &fields.port,
            Self::Protocol => &fields.protocol,
            Self::ClaimedConfidence => &fields.claimed_confidence,
            Self::Tlp => &fields.tlp,
            Self::Pap => &fields.pap,
            Self::Tags => &fields.tags,
            Self::Comment => &fields.comment,
            Self::VictimCountry => &fields.victim.country,
            Self::VictimSector => &fields.victim.sector,
        }
        .as_ref()
    }

    fn values(self, values: &Values) -> Option<&BTreeMap<String, String>> {
        Some(match self {
            Self::Indicator | Self::ObservedAt | Self::Id | Self::Comment => return None,
            Self::Type => &values.r#type,
            Self::Role => &values.role,
            Self::Reporter => &values.reporter,
            Self::Malware => &values.malware,
            Self::Port => &values.port,
            Self::Protocol => &values.protocol,
            Self::ClaimedConfidence => &values.claimed_confidence,
            Self::Tlp => &values.tlp,
            Self::Pap => &values.pap,
            Self::Tags => &values.tags,
            Self::VictimCountry => &values.victim.country,
            Self::VictimSector => &values.victim.sector,
        })
    }

    /// Where it goes in a draft; tags, of which there may be several, go elsewhere.
    fn slot<'d, 'a>(self, draft: &'d mut Draft<'a>) -> Option<&'d mut Option<Scalar<'a>>> {
        Some(match self {
            Self::Indicator => &mut draft.indicator,
            Self::Type => &mut draft.kind,
            Self::Role => &mut draft.role,
            Self::ObservedAt => &mut draft.observed_at,
            Self::Reporter => &mut draft.reporter,
            Self::Id => &mut draft.id,
            Self::Malware => &mut draft.malware,
            Self::Port => &mut draft.port,
            Self::Protocol => &mut draft.protocol,
            Self::ClaimedConfidence => &mut draft.claimed_confidence,
            Self::Tlp => &mut draft.tlp,
            Self::Pap => &mut draft.pap,
            Self::Tags => return None,
            Self::Comment => &mut draft.comment,
            Self::VictimCountry => &mut draft.victim_country,
            Self::VictimSector => &mut draft.victim_sector,
        })
    }

    /// What is wrong with one of our own words for this field.
    fn check_word(self, text: &str) -> Option<String> {
        let scalar = || Scalar::Text(text.into());
        match self {
            Self::Type => draft::kind(text).err(),
            Self::Role => draft::role(text).err(),
            Self::Port => draft::port(&scalar()).err(),
            Self::Protocol => draft::protocol(text).err(),
            Self::ClaimedConfidence => draft::confidence(&scalar()).err(),
            Self::Tlp => draft::tlp_label(text).err(),
            Self::Pap => draft::pap_label(text).err(),
            Self::VictimCountry => draft::country(text).err(),
            _ => None,
        }
        .map(|reject| reject.text)
    }
}

/// A mapping that has been checked. `S` says where a field stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping<S> {
    times: Times,
    rows: Vec<Row<S>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row<S> {
    field: Field,
    from: Option<S>,
    values: BTreeMap<String, String>,
    constant: Option<String>,
}

impl<S> Mapping<S> {
    /// Checks a mapping, `parse` reading what says where a field stands; none when an error was
    /// pushed.
    pub(super) fn check(
        (map, values, constant, times): (&Fields, &Values, &Fields, Times),
        parse: impl Fn(&str) -> Result<S, String>,
        at: &dyn Fn() -> Option<Place>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let mut rows = Vec::new();
        let mut sound = true;
        let mut error = |code, text: String, help: &str| {
            findings.push(Finding::error(code, text).at(at()).help(help));
            sound = false;
        };
        let mut unused = Vec::new();
        for field in Field::ALL {
            let name = field.name();
            let from = match field.of(map).map(|text| (text, parse(text))) {
                None => None,
                Some((_, Ok(from))) => Some(from),
                Some((text, Err(why))) => {
                    let text = format!("`map.{name}` is {}: {why}", quote(text));
                    error("format-path", text, "write where the field stands in a record");
                    None
                }
            };
            let constant = field.of(constant).cloned();
            if let Some(text) = &constant {
                if matches!(field, Field::Indicator | Field::ObservedAt | Field::Id) {
                    let text = format!("`constant.{name}` would be the same for every sighting");
                    error("format-constant", text, "map it to where it stands in a record");
                } else if let Some(why) = field.check_word(text) {
                    error("format-value", format!("`constant.{name}`: {why}"), "write one of our own words");
                }
            }
            let words = field.values(values).cloned().unwrap_or_default();
            for (theirs, ours) in words.iter().filter(|(_, ours)| !ours.is_empty()) {
                if let Some(why) = field.check_word(ours) {
                    let text = format!("`values.{name}` of {}: {why}", quote(theirs));
                    error("format-value", text, "write one of our own words, or an empty text for none");
                }
            }
            if !words.is_empty() && field.of(map).is_none() {
                unused.push(name);
            }
            let needed = matches!(field, Field::Indicator | Field::Role | Field::ObservedAt);
            if needed && field.of(map).is_none() && constant.is_none() {
                let text = format!("no `map.{name}` says where the field stands");
                error("format-field-missing", text, "every sighting has an indicator, a role and a time");
            }
            if from.is_some() || constant.is_some() {
                rows.push(Row { field, from, values: words, constant });
            }
        }
        for name in unused {
            let text = format!("`values.{name}` is never used, as nothing is mapped to the field");
            findings.push(Finding::warning("format-values-unused", text).at(at()));
        }
        sound.then_some(Self { times, rows })
    }

    /// The same with another way to say where the fields stand, such as a number for a name.
    pub(super) fn resolve<'s, T>(
        &'s self,
        resolve: impl Fn(&'s S) -> Result<T, Reject>,
    ) -> Result<Vec<Option<T>>, Reject> {
        self.rows.iter().map(|row| row.from.as_ref().map(&resolve).transpose()).collect()
    }

    /// What says where the fields stand.
    pub(super) fn places(&self) -> impl Iterator<Item = &S> {
        self.rows.iter().filter_map(|row| row.from.as_ref())
    }

    /// A sighting, `find` giving what stands where the n-th of the rows with this place says.
    pub(super) fn draft<'a>(
        &'a self,
        position: Position,
        find: impl Fn(usize, &S) -> Option<Json<'a>>,
    ) -> Result<Draft<'a>, Reject> {
        let mut draft = Draft::new(position, self.times);
        for (n, row) in self.rows.iter().enumerate() {
            row.fill(row.from.as_ref().and_then(|from| find(n, from)), &mut draft)
                .map_err(|reject| reject.at(position))?;
        }
        Ok(draft)
    }
}

impl<S> Row<S> {
    fn fill<'a>(&'a self, found: Option<Json<'a>>, draft: &mut Draft<'a>) -> Result<(), Reject> {
        let Some(slot) = self.field.slot(draft) else {
            draft.tags = self.tags(found)?;
            return Ok(());
        };
        let said = match found {
            None | Some(Json::Null) => None,
            Some(Json::Scalar(scalar)) => self.ours(scalar),
            Some(json) => return Err(self.wrong_type(&json)),
        };
        *slot = said.or_else(|| self.constant.as_deref().map(|text| Scalar::Text(text.into())));
        Ok(())
    }

    fn tags<'a>(&'a self, found: Option<Json<'a>>) -> Result<Vec<Scalar<'a>>, Reject> {
        let mut tags = Vec::new();
        match found {
            None | Some(Json::Null) => {}
            Some(Json::Scalar(scalar)) => tags.extend(commas(scalar)),
            Some(Json::List(list)) => {
                for json in list {
                    match json {
                        Json::Null => {}
                        Json::Scalar(scalar) => tags.push(scalar),
                        json => return Err(self.wrong_type(&json)),
                    }
                }
            }
            Some(json) => return Err(self.wrong_type(&json)),
        }
        let mut tags: Vec<_> = tags.into_iter().filter_map(|tag| self.ours(tag)).collect();
        if tags.is_empty() {
            tags.extend(self.constant.iter().flat_map(|text| commas(Scalar::Text(text.into()))));
        }
        Ok(tags)
    }

    /// Our word for theirs; none for nothing said.
    fn ours<'a>(&'a self, theirs: Scalar<'a>) -> Option<Scalar<'a>> {
        if let Scalar::Text(text) = &theirs
            && text.trim().is_empty()
        {
            return None;
        }
        if self.values.is_empty() {
            return Some(theirs);
        }
        let word = match &theirs {
            Scalar::Text(text) => Cow::Borrowed(text.trim()),
            Scalar::Unsigned(number) => Cow::Owned(number.to_string()),
            Scalar::Negative(number) => Cow::Owned(number.to_string()),
            Scalar::Float(number) => Cow::Owned(number.to_string()),
            Scalar::Bool(value) => Cow::Owned(value.to_string()),
        };
        match self.values.get(&*word).or_else(|| self.values.get("*")) {
            Some(ours) if ours.is_empty() => None,
            Some(ours) => Some(Scalar::Text(ours.into())),
            None => Some(theirs),
        }
    }

    fn wrong_type(&self, json: &Json<'_>) -> Reject {
        Reject::new(Reason::WrongType, format!("{} is {}", self.field.name(), json.kind()))
    }
}

/// The parts of a text between commas, without those that are empty.
fn commas(scalar: Scalar<'_>) -> Vec<Scalar<'_>> {
    let parts = |text: &str| -> Vec<String> {
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    match scalar {
        Scalar::Text(text) => parts(&text).into_iter().map(|part| Scalar::Text(part.into())).collect(),
        other => vec![other],
    }
}
