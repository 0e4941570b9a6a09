//! An agreement as it is written: every key by name, and what stands behind each.
//!
//! The standing of a key is said once, here, as `x-standing`, and so stands in the JSON Schema:
//! *enforced* by the decision or when the file is loaded, *carried* to the recipient with each
//! message, or *refused* until it is built. This file does not judge values: [`super::check`] does.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::score::Verdict;
use crate::share::fields::Written;
use crate::sighting::{IndicatorType, Length, Notify, Pap, Purpose, Role, Timestamp, Tlp};

/// A data exchange agreement: what one recipient may be told, in which form, and for what.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Agreement")]
pub struct File {
    /// The format of this file: `dxa/1`.
    #[schemars(extend("x-standing" = "enforced"))]
    pub schema: Schema,
    /// The agreement's name: lower-case letters, digits and hyphens. Never used for another.
    #[schemars(extend("x-standing" = "enforced"), length(min = 1, max = 64))]
    pub id: String,
    /// Counts from 1; any change of the file is a new version.
    #[schemars(extend("x-standing" = "enforced"))]
    pub version: NonZeroU32,
    /// Only `active` discloses anything.
    #[schemars(extend("x-standing" = "enforced"))]
    pub status: Status,
    /// Only `outbound` is built.
    #[schemars(extend("x-standing" = "enforced"))]
    pub direction: Direction,
    /// Between whom.
    pub parties: Parties,
    /// Why it may be done.
    pub legal: Legal,
    /// From when to when.
    pub validity: Validity,
    /// The most restrictive marking that may pass.
    pub ceiling: Ceiling,
    /// Which leads.
    pub scope: Scope,
    /// What of a lead, and in which form. What is not named is dropped.
    pub fields: Written,
    /// Where to.
    pub delivery: Delivery,
    /// What TLP's words mean between these parties.
    #[serde(default)]
    pub definitions: Definitions,
    /// How the recipient may use it. What is not said is as strict as can be.
    #[serde(default)]
    pub handling: Handling,
    /// How long it is kept.
    #[serde(default)]
    pub retention: Retention,
    /// What the provider promises.
    #[serde(default)]
    pub obligations: Obligations,
    /// What comes back.
    #[serde(default)]
    pub reciprocity: Reciprocity,
    /// Pseudonymised fields.
    #[schemars(extend("x-standing" = "refused"))]
    pub pseudonym: Option<Unbuilt>,
    /// How much may go out in a time.
    #[schemars(extend("x-standing" = "refused"))]
    pub quota: Option<Unbuilt>,
    /// Who must have signed the file.
    #[schemars(extend(
        "x-standing" = "refused",
        "x-instead" = "signatures are not verified yet; hold approvals where changes to this file are reviewed"
    ))]
    pub approval: Option<Unbuilt>,
    /// The same partner's terms as a contributor.
    #[schemars(extend("x-standing" = "refused", "x-instead" = "write the terms at the reporter in the pipeline file"))]
    pub inbound: Option<Unbuilt>,
}

/// A key that is known and not built: any value, and never looked at.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct Unbuilt(serde::de::IgnoredAny);

impl JsonSchema for Unbuilt {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Unbuilt".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({})
    }
}

/// Formats of agreement files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Schema {
    /// The first.
    #[serde(rename = "dxa/1")]
    Dxa1,
}

/// Where an agreement stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Being written.
    Draft,
    /// In force within its window.
    Active,
    /// Stopped for now.
    Suspended,
    /// Over.
    Terminated,
}

/// Who tells whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The provider tells the recipient.
    Outbound,
    /// Both ways. Refused.
    Mutual,
}

/// Between whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parties {
    /// Who tells.
    pub provider: Provider,
    /// Who is told.
    pub recipient: Recipient,
}

/// The party that discloses.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// `org:` and a name.
    #[schemars(extend("x-standing" = "enforced"))]
    pub id: String,
    /// Its part under data protection law: `independent-controller`.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub role: Option<String>,
}

/// The party that is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// `org:` and a name. Contributors' terms name it.
    #[schemars(extend("x-standing" = "enforced"))]
    pub id: String,
    /// What kind of audience it is. Contributors' terms name it too.
    #[schemars(extend("x-standing" = "enforced"))]
    pub kind: AudienceKind,
    /// ISO 3166-1 alpha-2; `ZZ` for none. Whose government names are its own.
    #[schemars(extend("x-standing" = "enforced"))]
    pub country: String,
    /// Its part under data protection law.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub role: Option<String>,
    /// The key that messages are encrypted for. Only `none` is built.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub key: Option<String>,
}

/// The kinds of audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AudienceKind {
    /// Police across countries.
    LeInternational,
    /// Police of one country.
    LeNational,
    /// The computer emergency response team of one country.
    CertNational,
    /// Those who run networks and must be told of abuse in them.
    IspAbuse,
    /// A company of the trade.
    VendorPeer,
    /// A sharing centre of one sector.
    SectorIsac,
    /// Anybody.
    Public,
}

impl AudienceKind {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeInternational => "le-international",
            Self::LeNational => "le-national",
            Self::CertNational => "cert-national",
            Self::IspAbuse => "isp-abuse",
            Self::VendorPeer => "vendor-peer",
            Self::SectorIsac => "sector-isac",
            Self::Public => "public",
        }
    }

    /// Whether it enforces law.
    pub fn is_police(self) -> bool {
        matches!(self, Self::LeInternational | Self::LeNational)
    }
}

/// Why it may be done.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Legal {
    /// The document behind this file.
    #[serde(default)]
    pub instrument: Instrument,
    /// What the recipient may use it for. Whatever is told must have been given for all of them.
    #[schemars(extend("x-standing" = "enforced"))]
    pub purposes: BTreeSet<Purpose>,
    /// On which grounds.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub legal_basis: Vec<String>,
    /// Under which laws and rules.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub regimes: Vec<String>,
    /// Matter that never passes: what a sighting tagged `matter:<word>` is about.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub excluded_matter: BTreeSet<String>,
    /// What the recipient must not do with it.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub prohibited_uses: Vec<String>,
}

/// The document behind an agreement.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    /// Its title.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its number.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// When it was signed.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_on: Option<Day>,
}

/// A date, `2026-01-15`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day(String);

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse::<jiff::civil::Date>() {
            Ok(day) => Ok(Self(day.to_string())),
            Err(err) => Err(serde::de::Error::custom(format!("not a date such as 2026-01-15: {err}"))),
        }
    }
}

impl JsonSchema for Day {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Day".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date", "description": "A date." })
    }
}

/// From when to when. No agreement is open-ended.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// The first moment at which something may be told.
    #[schemars(extend("x-standing" = "enforced"))]
    pub effective_from: Timestamp,
    /// The first moment at which nothing may be told any more.
    #[schemars(extend("x-standing" = "enforced"))]
    pub expires_at: Timestamp,
    /// When somebody must look at it again: within the window. Passing it stops nothing; it is for the
    /// operator's alarm.
    #[schemars(extend("x-standing" = "enforced"))]
    pub review_by: Timestamp,
}

/// The most restrictive marking that may pass.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ceiling {
    /// Of who may see it.
    #[schemars(extend("x-standing" = "enforced"))]
    pub tlp: Tlp,
    /// Of what may be done with it.
    #[schemars(extend("x-standing" = "enforced"))]
    pub pap: Pap,
}

/// Which leads. Lists are allow-lists: an empty one lets nothing pass.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Roles.
    #[schemars(extend("x-standing" = "enforced"))]
    pub roles: BTreeSet<Role>,
    /// Types of indicator.
    #[schemars(extend("x-standing" = "enforced"))]
    pub indicator_types: BTreeSet<IndicatorType>,
    /// Countries by their ISO 3166-1 alpha-2 codes, or `"*"` for any.
    #[schemars(extend("x-standing" = "enforced"))]
    pub countries: BTreeSet<String>,
    /// By which links a country counts.
    #[schemars(extend("x-standing" = "enforced"))]
    pub nexus: BTreeSet<Link>,
    /// What becomes of a lead without any such link. Default `deny`.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub nexus_unknown: Unknown,
    /// Links below this confidence do not count. Default 0.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub nexus_min_confidence: Percent,
    /// Victims' sectors. Only `["*"]` is built.
    #[schemars(extend("x-standing" = "enforced"))]
    pub sectors: Vec<String>,
    /// Government names: `include` all, the recipient's `own` beside what is no government's, `only`
    /// the recipient's own (any, if it has no country), or `exclude`. Default `exclude`.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub gov_assets: GovAssets,
    /// The least risk.
    #[schemars(extend("x-standing" = "enforced"))]
    pub min_risk: Percent,
    /// The least confidence.
    #[schemars(extend("x-standing" = "enforced"))]
    pub min_confidence: Percent,
    /// Verdicts. `benign`, `suppressed` and `unscored` never pass.
    #[schemars(extend("x-standing" = "enforced"))]
    pub verdicts: BTreeSet<Verdict>,
    /// How long ago it may have been seen last.
    #[schemars(extend("x-standing" = "enforced"))]
    pub max_age: Length,
    /// How long it must have been known, so that others may act first. Default none.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub min_age: Option<Length>,
    /// Whether the recipient's own contributions are left out. `off` is for the public only.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub echo: Echo,
    /// Whether whatever is used must allow telling those affected. Default false.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub require_notify: bool,
    /// The recipient's own networks and names.
    #[schemars(extend("x-standing" = "refused"))]
    pub constituency: Option<Unbuilt>,
    /// Choosing among desks by whom an address belongs to.
    #[schemars(extend("x-standing" = "refused"))]
    pub recipient_match: Option<Unbuilt>,
    /// Tags of which one must be there.
    #[schemars(extend("x-standing" = "refused"))]
    pub tags_any: Option<Unbuilt>,
    /// Tags of which none may be there.
    #[schemars(extend(
        "x-standing" = "refused",
        "x-instead" = "use `legal.excluded_matter` with sightings tagged `matter:<word>`"
    ))]
    pub tags_none: Option<Unbuilt>,
}

/// A whole number from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "u8")]
pub struct Percent(pub u8);

impl TryFrom<u8> for Percent {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        if number <= 100 { Ok(Self(number)) } else { Err(format!("{number} is more than 100")) }
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": 0, "maximum": 100 })
    }
}

/// The links by which a country has to do with an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// It is hosted there.
    Hosting,
    /// Its name is under that top-level domain.
    Tld,
    /// Its name is that government's.
    Gov,
    /// A victim is there.
    Victim,
    /// Its registrant is there. Refused: weak, and no enricher knows it.
    Registrant,
}

/// What becomes of what is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// It passes.
    Allow,
    /// It does not.
    #[default]
    Deny,
}

/// What becomes of government names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GovAssets {
    /// They pass.
    Include,
    /// The recipient's own pass, foreign ones do not.
    Own,
    /// Nothing else passes.
    Only,
    /// They do not pass.
    #[default]
    Exclude,
}

/// Whether the recipient's own contributions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Echo {
    /// They are left out.
    #[default]
    Suppress,
    /// They count.
    Off,
}

/// Where to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The audience topic; one agreement only.
    #[schemars(extend("x-standing" = "enforced"))]
    pub topic: String,
    /// The form of a message. Only `json` is built.
    #[schemars(extend("x-standing" = "enforced"))]
    pub format: Format,
    /// When messages go. Only `stream` is built, which is the default.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub cadence: Option<String>,
    /// The key that messages are signed with. Only `none` is built.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub sign: Option<String>,
    /// The key that messages are encrypted for. Only `none` is built.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub encrypt: Option<String>,
    /// Files beside the stream.
    #[schemars(extend("x-standing" = "refused"))]
    pub digest: Option<Unbuilt>,
    /// How often they are made.
    #[schemars(extend("x-standing" = "refused"))]
    pub interval: Option<Unbuilt>,
    /// What they are grouped by.
    #[schemars(extend("x-standing" = "refused"))]
    pub group_by: Option<Unbuilt>,
}

/// Forms of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Format {
    /// Sightline's own JSON.
    #[serde(rename = "json")]
    Json,
    /// STIX 2.1. Refused.
    #[serde(rename = "stix-2.1")]
    Stix21,
    /// MISP. Refused.
    #[serde(rename = "misp")]
    Misp,
    /// XARF 4. Refused.
    #[serde(rename = "xarf-4")]
    Xarf4,
    /// CSV. Refused.
    #[serde(rename = "csv")]
    Csv,
}

impl Format {
    /// The name in files and ledger entries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Stix21 => "stix-2.1",
            Self::Misp => "misp",
            Self::Xarf4 => "xarf-4",
            Self::Csv => "csv",
        }
    }
}

/// What TLP's words mean between these parties; TLP itself does not say.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    /// TLP:AMBER+STRICT's "organisation".
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// TLP:AMBER's "clients".
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<String>,
    /// TLP:GREEN's "community".
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub community: Option<String>,
}

/// How the recipient may use it, in the words of FIRST IEP 2.0 where it has them. In a message this
/// is the strictest of the agreement and of the terms of what was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Handling {
    /// Use as evidence. Default `not-permitted`.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub evidence_use: EvidenceUse,
    /// To whom it may be passed on. TLP narrows it. Default `own-organisation`.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub onward: Onward,
    /// Whether passing on needs the originator's consent. Default true.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default = "yes")]
    pub onward_needs_originator_consent: bool,
    /// Whether those affected may be told. Default `must-not`.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub affected_party_notification: Notify,
    /// What may be done with it. Default `none`.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub permitted_actions: PermittedActions,
    /// Whether the provider may be named. Default `must-not`.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub attribution: Attribution,
    /// Whether it may be sold unchanged. Default `must-not`.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default)]
    pub unmodified_resale: Notify,
}

fn yes() -> bool {
    true
}

impl Default for Handling {
    fn default() -> Self {
        Self {
            evidence_use: EvidenceUse::default(),
            onward: Onward::default(),
            onward_needs_originator_consent: yes(),
            affected_party_notification: Notify::default(),
            permitted_actions: PermittedActions::default(),
            attribution: Attribution::default(),
            unmodified_resale: Notify::default(),
        }
    }
}

/// Use as evidence in court.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceUse {
    /// It may be used.
    Permitted,
    /// The provider must be asked.
    PermissionRequired,
    /// It must not be used.
    #[default]
    NotPermitted,
}

/// To whom something may be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Onward {
    /// Nobody but those named.
    NamedPersons,
    /// The recipient's organisation.
    #[default]
    OwnOrganisation,
    /// And its clients.
    OwnOrganisationAndClients,
    /// The authorities of its members.
    MemberAuthorities,
    /// Whose network it is in.
    CustomerOfNetwork,
    /// The community.
    Community,
    /// Anybody.
    Unlimited,
}

/// What may be done with it (IEP 2.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PermittedActions {
    /// Nothing.
    #[default]
    None,
    /// Ask first.
    ContactForInstruction,
    /// What only the recipient sees.
    InternallyVisibleActions,
    /// What others see without knowing why.
    ExternallyVisibleIndirectActions,
    /// What others see.
    ExternallyVisibleDirectActions,
}

/// Whether the provider is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attribution {
    /// It may be.
    May,
    /// It must be.
    Must,
    /// It must not be.
    #[default]
    MustNot,
}

/// How long it is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// How long the recipient may keep it: an ISO 8601 duration such as `P5Y`, or `none` for no limit.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_max: Option<Period>,
    /// What the recipient must do then.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_expiry: Option<OnExpiry>,
    /// How long the provider keeps messages.
    #[schemars(extend("x-standing" = "refused", "x-instead" = "set the retention of the outbox topic"))]
    #[serde(default, skip_serializing)]
    pub payload_archive: Option<Unbuilt>,
    /// How long the provider keeps the ledger.
    #[schemars(extend("x-standing" = "refused", "x-instead" = "set the retention of the ledger topic"))]
    #[serde(default, skip_serializing)]
    pub disclosure_log: Option<Unbuilt>,
}

/// What the recipient must do at the end of retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnExpiry {
    /// Delete it.
    Delete,
    /// Nothing.
    None,
}

/// An ISO 8601 duration as parties write it, years and months included, or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period(String);

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            return Ok(Self(text));
        }
        match text.parse::<jiff::Span>() {
            Ok(span) if !span.is_negative() => Ok(Self(text)),
            Ok(_) => Err(serde::de::Error::custom("a period is not negative")),
            Err(err) => Err(serde::de::Error::custom(format!("not a period such as P5Y: {err}"))),
        }
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "An ISO 8601 duration such as `P5Y`, or `none`."
        })
    }
}

/// What the provider promises.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Obligations {
    /// How soon an error is corrected.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction_within: Option<Period>,
    /// How soon a wrong disclosure is told.
    #[schemars(extend("x-standing" = "carried"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breach_notice_within: Option<Period>,
}

/// What comes back.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reciprocity {
    /// Only `none` is built, which is the default.
    #[schemars(extend("x-standing" = "enforced"))]
    #[serde(default)]
    pub mode: Option<String>,
    /// How much is expected.
    #[schemars(extend("x-standing" = "refused"))]
    pub expect: Option<Unbuilt>,
    /// What answers are expected.
    #[schemars(extend("x-standing" = "refused"))]
    pub feedback: Option<Unbuilt>,
}
