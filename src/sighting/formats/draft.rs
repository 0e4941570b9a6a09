//! A draft, a sighting as it stands in a record, and the one way from there to a [`Sighting`].
//!
//! Every format ends here, so that a value means the same whatever it came in.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{Reject, Scalar, Times};
use crate::sighting::reason::{Reason, quote};
use crate::sighting::time::DAY;
use crate::sighting::{
    Digest, IndicatorType, Normaliser, Pap, Protocol, RawRef, Role, Sighting, Timestamp, Tlp, Victim,
};

/// The most bytes of malware, id, reporter, sector and each tag.
pub const MAX_WORD: usize = 256;
/// The most bytes of a comment.
pub const MAX_COMMENT: usize = 4 * 1024;
/// The most tags.
pub const MAX_TAGS: usize = 64;
/// 1990-01-01T00:00:00Z: nothing that we know of was seen before.
const EARLIEST: Timestamp = Timestamp(631_152_000_000);
/// How far a reporter's clock may be ahead.
const MAX_AHEAD: i64 = DAY;

/// Where in a record a sighting stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// It is the record.
    Whole,
    /// In a list, from 0.
    Item(usize),
    /// In lines, from 1.
    Line(usize),
}

/// Who supplies what a topic carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReporterBinding {
    /// One reporter; a record that names another is refused.
    Bound(String),
    /// Several; each record names one of them.
    Carried(BTreeSet<String>),
}

/// What is known of a record beside its value.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Makes the indicators.
    pub normaliser: &'a Normaliser,
    /// Of the topic.
    pub reporter: &'a ReporterBinding,
    /// The raw topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// The record's offset.
    pub offset: i64,
    /// SHA-256 of the value.
    pub sha256: Digest,
    /// When intake took it in.
    pub now: Timestamp,
    /// The most sightings of one record.
    pub max_sightings: usize,
}

/// A sighting as it stands in a record: nothing is checked yet, and none means that it is not there.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft<'a> {
    /// Where it stands.
    pub position: Position,
    /// How `observed_at` is written.
    pub times: Times,
    /// The indicator's text.
    pub indicator: Option<Scalar<'a>>,
    /// The name of its type; none to tell it from the text.
    pub kind: Option<Scalar<'a>>,
    /// The name of the role.
    pub role: Option<Scalar<'a>>,
    /// When it was seen.
    pub observed_at: Option<Scalar<'a>>,
    /// Who supplied it.
    pub reporter: Option<Scalar<'a>>,
    /// The reporter's id of it.
    pub id: Option<Scalar<'a>>,
    /// Family or tool.
    pub malware: Option<Scalar<'a>>,
    /// A number, or a text that is one.
    pub port: Option<Scalar<'a>>,
    /// `tcp` or `udp`, in any case.
    pub protocol: Option<Scalar<'a>>,
    /// A number, or a text that is one.
    pub claimed_confidence: Option<Scalar<'a>>,
    /// In any common spelling.
    pub tlp: Option<Scalar<'a>>,
    /// In any common spelling.
    pub pap: Option<Scalar<'a>>,
    /// In any order.
    pub tags: Vec<Scalar<'a>>,
    /// Free text.
    pub comment: Option<Scalar<'a>>,
    /// Two letters.
    pub victim_country: Option<Scalar<'a>>,
    /// Free text.
    pub victim_sector: Option<Scalar<'a>>,
}

impl<'a> Draft<'a> {
    /// A draft in which nothing stands.
    pub fn new(position: Position, times: Times) -> Self {
        Self {
            position,
            times,
            indicator: None,
            kind: None,
            role: None,
            observed_at: None,
            reporter: None,
            id: None,
            malware: None,
            port: None,
            protocol: None,
            claimed_confidence: None,
            tlp: None,
            pap: None,
            tags: Vec::new(),
            comment: None,
            victim_country: None,
            victim_sector: None,
        }
    }

    /// The sighting, normalised and valid; `index` is which of the record it is, from 0.
    ///
    /// A tag such as `tlp:red` narrows the marking: a sender that marks by tags must not be read as
    /// one that does not mark.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn into_sighting(self, context: &Context<'a>, index: u32) -> Result<Sighting<'a>, Reject> {
        let kind = optional("type", self.kind)?.map(|text| kind(&text)).transpose()?;
        let text = optional("indicator", self.indicator)?.ok_or_else(|| missing("indicator"))?;
        let normalised = context.normaliser.indicator(kind, &text)?;
        let role = role(&optional("role", self.role)?.ok_or_else(|| missing("role"))?)?;
        let observed_at = self.observed_at.ok_or_else(|| missing("observed_at"))?;
        let observed_at = time(self.times, &observed_at, context.now)?;
        let reporter = reporter(context.reporter, optional("reporter", self.reporter)?)?;

        let port = self.port.map(|scalar| port(&scalar)).transpose()?;
        let port = match (port, normalised.port) {
            (Some(field), Some(written)) if field != written => {
                let text = format!("the port is {field}, and the indicator says {written}");
                return Err(Reject::new(Reason::PortConflict, text));
            }
            (field, written) => field.or(written),
        };
        let protocol = optional("protocol", self.protocol)?.map(|text| protocol(&text)).transpose()?;
        let confidence = self.claimed_confidence.map(|scalar| confidence(&scalar)).transpose()?;

        let mut tlp = optional("tlp", self.tlp)?.map(|text| tlp_label(&text)).transpose()?;
        let mut pap = optional("pap", self.pap)?.map(|text| pap_label(&text)).transpose()?;
        let tags = tags(self.tags)?;
        for tag in &tags {
            match tag.get(..4) {
                Some(prefix) if prefix.eq_ignore_ascii_case("tlp:") => tlp = tlp.max(Some(tlp_label(tag)?)),
                Some(prefix) if prefix.eq_ignore_ascii_case("pap:") => pap = pap.max(Some(pap_label(tag)?)),
                _ => {}
            }
        }

        let country =
            optional("victim.country", self.victim_country)?.map(|text| country(&text)).transpose()?;
        let sector = optional("victim.sector", self.victim_sector)?;
        let sector = sector.map(|text| word("victim.sector", &text).map(str::to_owned)).transpose()?;
        let victim = (country.is_some() || sector.is_some()).then_some(Victim { country, sector });

        let malware = optional("malware", self.malware)?;
        let malware = malware.map(|text| trimmed("malware", text)).transpose()?.map(lower_case);
        let id = optional("id", self.id)?.map(|text| trimmed("id", text)).transpose()?;
        let comment = optional("comment", self.comment)?.map(comment).transpose()?;

        Ok(Sighting {
            indicator: normalised.indicator,
            original: normalised.original.map(Cow::Owned),
            role,
            reporter,
            id,
            observed_at,
            reported_at: context.now,
            malware,
            port,
            protocol,
            claimed_confidence: confidence,
            tlp,
            pap,
            tags,
            comment,
            victim,
            raw: RawRef {
                topic: context.topic,
                partition: context.partition,
                offset: context.offset,
                index,
                sha256: context.sha256,
            },
        })
    }
}

fn missing(field: &str) -> Reject {
    Reject::new(Reason::MissingField, format!("it has no {field}"))
}

/// A field as text; whole numbers are taken as they are written.
fn optional<'a>(field: &str, scalar: Option<Scalar<'a>>) -> Result<Option<Cow<'a, str>>, Reject> {
    Ok(Some(match scalar {
        None => return Ok(None),
        Some(Scalar::Text(text)) => text,
        Some(Scalar::Unsigned(number)) => Cow::Owned(number.to_string()),
        Some(Scalar::Negative(number)) => Cow::Owned(number.to_string()),
        Some(scalar @ (Scalar::Float(_) | Scalar::Bool(_))) => {
            let text = format!("{field} is {}; write a text", scalar.kind());
            return Err(Reject::new(Reason::WrongType, text));
        }
    }))
}

/// A short text: trimmed, not empty, without control characters.
fn word<'t>(field: &str, text: &'t str) -> Result<&'t str, Reject> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Reject::new(Reason::BadText, format!("{field} is empty; leave it out")));
    }
    if text.len() > MAX_WORD {
        let text = format!("{field} is {} bytes long; at most {MAX_WORD} are taken", text.len());
        return Err(Reject::new(Reason::TooLong, text));
    }
    if text.contains(char::is_control) {
        return Err(Reject::new(
            Reason::BadText,
            format!("{field} {} holds control characters", quote(text)),
        ));
    }
    Ok(text)
}

/// The same, borrowed where it was.
fn trimmed<'t>(field: &str, text: Cow<'t, str>) -> Result<Cow<'t, str>, Reject> {
    Ok(match text {
        Cow::Borrowed(text) => word(field, text)?.into(),
        Cow::Owned(text) => word(field, &text)?.to_owned().into(),
    })
}

fn lower_case(text: Cow<'_, str>) -> Cow<'_, str> {
    // What has capitals, or letters of which only Unicode knows whether they are.
    if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        text.to_lowercase().into()
    } else {
        text
    }
}

fn comment(text: Cow<'_, str>) -> Result<Cow<'_, str>, Reject> {
    if text.len() > MAX_COMMENT {
        let text = format!("comment is {} bytes long; at most {MAX_COMMENT} are taken", text.len());
        return Err(Reject::new(Reason::TooLong, text));
    }
    if text.trim().is_empty() {
        return Err(Reject::new(Reason::BadText, "comment is empty; leave it out"));
    }
    if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(Reject::new(Reason::BadText, "comment holds control characters"));
    }
    Ok(text)
}

/// Sorted, without repeats.
fn tags(scalars: Vec<Scalar<'_>>) -> Result<Vec<Cow<'_, str>>, Reject> {
    if scalars.len() > MAX_TAGS {
        let text = format!("it has {} tags; at most {MAX_TAGS} are taken", scalars.len());
        return Err(Reject::new(Reason::TooLong, text));
    }
    let mut tags = Vec::with_capacity(scalars.len());
    for scalar in scalars {
        if let Some(text) = optional("tags", Some(scalar))? {
            tags.push(trimmed("tags", text)?);
        }
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

fn time(times: Times, scalar: &Scalar<'_>, now: Timestamp) -> Result<Timestamp, Reject> {
    let time = times.read(scalar).ok_or_else(|| {
        let written = match scalar {
            Scalar::Text(text) => quote(text),
            other => other.kind().to_owned(),
        };
        Reject::new(Reason::BadTime, format!("observed_at is {written}; write {}", times.example()))
    })?;
    if time < EARLIEST {
        let text = format!("observed_at is {time}; times before 1990 are not taken");
        return Err(Reject::new(Reason::TimeTooOld, text));
    }
    if time > now.plus(MAX_AHEAD) {
        let text = format!("observed_at is {time}, more than a day ahead of {now}");
        return Err(Reject::new(Reason::TimeInFuture, text));
    }
    Ok(time)
}

fn reporter<'a>(binding: &'a ReporterBinding, named: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, Reject> {
    let not_allowed = |named: &str| {
        Reject::new(
            Reason::ReporterNotAllowed,
            format!("its topic may not carry the reporter {}", quote(named)),
        )
    };
    match (binding, named) {
        (ReporterBinding::Bound(bound), None) => Ok(bound.into()),
        (ReporterBinding::Bound(bound), Some(named)) if *bound == named => Ok(named),
        (ReporterBinding::Carried(carried), Some(named)) if carried.contains(&*named) => Ok(named),
        (_, Some(named)) => Err(not_allowed(&named)),
        (ReporterBinding::Carried(_), None) => Err(Reject::new(
            Reason::ReporterMissing,
            "its topic carries several reporters, and it does not name one",
        )),
    }
}

/// The indicator type of that name.
pub(super) fn kind(text: &str) -> Result<IndicatorType, Reject> {
    IndicatorType::parse(text.trim()).ok_or_else(|| {
        Reject::new(
            Reason::BadIndicatorType,
            format!("the type {} is none of the indicator types", quote(text)),
        )
    })
}

/// The role of that name.
pub(super) fn role(text: &str) -> Result<Role, Reject> {
    Role::parse(text.trim())
        .ok_or_else(|| Reject::new(Reason::BadRole, format!("the role {} is none of the roles", quote(text))))
}

/// The protocol of that name.
pub(super) fn protocol(text: &str) -> Result<Protocol, Reject> {
    match text.trim() {
        text if text.eq_ignore_ascii_case("tcp") => Ok(Protocol::Tcp),
        text if text.eq_ignore_ascii_case("udp") => Ok(Protocol::Udp),
        text => Err(Reject::new(
            Reason::BadProtocol,
            format!("the protocol is {}; write tcp or udp", quote(text)),
        )),
    }
}

/// A port of 1 to 65535.
pub(super) fn port(scalar: &Scalar<'_>) -> Result<u16, Reject> {
    whole(scalar).and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0).ok_or_else(|| {
        Reject::new(
            Reason::BadPort,
            format!("the port is {}; write a number from 1 to 65535", written(scalar)),
        )
    })
}

/// A confidence of 0 to 100.
pub(super) fn confidence(scalar: &Scalar<'_>) -> Result<u8, Reject> {
    whole(scalar).and_then(|number| u8::try_from(number).ok()).filter(|value| *value <= 100).ok_or_else(
        || {
            let text = format!("the confidence is {}; write a whole number from 0 to 100", written(scalar));
            Reject::new(Reason::BadConfidence, text)
        },
    )
}

/// A TLP label.
pub(super) fn tlp_label(text: &str) -> Result<Tlp, Reject> {
    Tlp::parse(text)
        .ok_or_else(|| Reject::new(Reason::BadTlp, format!("the TLP label {} is unknown", quote(text))))
}

/// A PAP label.
pub(super) fn pap_label(text: &str) -> Result<Pap, Reject> {
    Pap::parse(text)
        .ok_or_else(|| Reject::new(Reason::BadPap, format!("the PAP label {} is unknown", quote(text))))
}

/// ISO 3166-1 alpha-2 in upper case.
pub(super) fn country(text: &str) -> Result<String, Reject> {
    let code = text.trim();
    if code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Ok(code.to_ascii_uppercase());
    }
    let text = format!("the country is {}; write the two letters of ISO 3166-1", quote(text));
    Err(Reject::new(Reason::BadCountry, text))
}

/// A whole number that is not negative, written as one or as a text.
fn whole(scalar: &Scalar<'_>) -> Option<u64> {
    match scalar {
        Scalar::Unsigned(number) => Some(*number),
        Scalar::Text(text) => {
            let text = text.trim();
            // `parse` would take a sign.
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
        }
        _ => None,
    }
}

fn written(scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Text(text) => quote(text),
        Scalar::Unsigned(number) => number.to_string(),
        Scalar::Negative(number) => number.to_string(),
        Scalar::Float(number) => number.to_string(),
        Scalar::Bool(value) => value.to_string(),
    }
}
