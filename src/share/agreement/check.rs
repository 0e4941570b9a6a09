//! What an agreement file means, and whether it makes sense (`sharing.md` 6.5).
//!
//! Each lint pushes and goes on. A value that is known and not built is refused under the same code as
//! a key. Nothing here looks at the clock or at other files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::file::{AudienceKind, Direction, Echo, File, Format, GovAssets, Link, Unknown};
use super::places::{Places, refused_key};
use super::{Agreement, Countries, Recipient, Scope, Written};
use crate::diag::{Finding, Findings, Place};
use crate::enrich::NexusKind;
use crate::score::Verdict;
use crate::share::fields::{FIELDS, Fields, Op, Standing, standing};
use crate::sighting::time::DAY;
use crate::sighting::{IndicatorType, Marking, Pap, Tlp};

/// The longest that an agreement may run: three years, a leap day included.
const LONGEST: i64 = (3 * 365 + 1) * DAY;

/// Checks `file`; none when it can't be an agreement at all.
pub(super) fn check(file: File, places: &Places, digest: String, out: &mut Findings) -> Option<Agreement> {
    let mut lint = Lint { places, out };
    lint.names(&file);
    lint.unbuilt_values(&file);
    lint.parties(&file);
    lint.legal(&file);
    lint.dates(&file);
    lint.ceiling(&file);
    let countries = lint.countries(&file);
    lint.scope(&file);
    let fields = lint.fields(&file);
    lint.values_shown(&file, &fields);
    lint.derivable(&fields);
    let scope = &file.scope;
    Some(Agreement {
        digest,
        recipient: Recipient {
            id: file.parties.recipient.id.clone(),
            kind: file.parties.recipient.kind,
            country: Some(file.parties.recipient.country.clone()).filter(|country| country != "ZZ"),
        },
        provider: file.parties.provider.id.clone(),
        carried: carried(&file),
        scope: Scope {
            roles: scope.roles.clone(),
            indicator_types: scope.indicator_types.clone(),
            countries,
            nexus: scope.nexus.iter().filter_map(|link| kind_of(*link)).collect(),
            nexus_unknown: scope.nexus_unknown,
            nexus_min_confidence: scope.nexus_min_confidence.0,
            gov_assets: scope.gov_assets,
            min_risk: scope.min_risk.0,
            min_confidence: scope.min_confidence.0,
            verdicts: scope.verdicts.clone(),
            max_age: scope.max_age.0,
            min_age: scope.min_age.map_or(0, |length| length.0),
            echo: scope.echo,
            require_notify: scope.require_notify,
        },
        written: Written { id: places.value("id"), topic: places.value("delivery.topic") },
        id: file.id,
        version: file.version.get(),
        status: file.status,
        purposes: file.legal.purposes,
        legal_basis: file.legal.legal_basis,
        excluded_matter: file.legal.excluded_matter,
        effective_from: file.validity.effective_from,
        expires_at: file.validity.expires_at,
        review_by: file.validity.review_by,
        ceiling: Marking { tlp: file.ceiling.tlp, pap: file.ceiling.pap },
        fields,
        topic: file.delivery.topic,
        format: file.delivery.format,
        handling: file.handling,
    })
}

/// What travels with each message.
fn carried(file: &File) -> BTreeMap<&'static str, serde_json::Value> {
    let legal = &file.legal;
    let parties = &file.parties;
    let party = |id: &str, role: &Option<String>| match role {
        Some(role) => json!({ "id": id, "role": role }),
        None => json!({ "id": id }),
    };
    BTreeMap::from([
        ("definitions", json!(file.definitions)),
        (
            "legal",
            json!({
                "instrument": legal.instrument,
                "purposes": legal.purposes,
                "legal_basis": legal.legal_basis,
                "regimes": legal.regimes,
                "prohibited_uses": legal.prohibited_uses,
            }),
        ),
        ("obligations", json!(file.obligations)),
        (
            "parties",
            json!({
                "provider": party(&parties.provider.id, &parties.provider.role),
                "recipient": party(&parties.recipient.id, &parties.recipient.role),
            }),
        ),
        ("retention", json!(file.retention)),
    ])
}

/// The kind of nexus of a link; none for the one that no enricher knows.
fn kind_of(link: Link) -> Option<NexusKind> {
    match link {
        Link::Hosting => Some(NexusKind::Hosting),
        Link::Tld => Some(NexusKind::Tld),
        Link::Gov => Some(NexusKind::Gov),
        Link::Victim => Some(NexusKind::Victim),
        Link::Registrant => None,
    }
}

/// The most restrictive marking that an audience of this kind may be sent. RED is for named persons,
/// so never for a topic; the public sees no marking; who acts visibly gets nothing beyond PAP:GREEN;
/// an international hub must be able to pass on.
fn most(kind: AudienceKind) -> Marking {
    let (tlp, pap) = match kind {
        AudienceKind::Public => (Tlp::Clear, Pap::Clear),
        AudienceKind::IspAbuse => (Tlp::Green, Pap::Green),
        AudienceKind::LeInternational => (Tlp::Amber, Pap::Amber),
        AudienceKind::LeNational | AudienceKind::CertNational => (Tlp::AmberStrict, Pap::Red),
        AudienceKind::VendorPeer | AudienceKind::SectorIsac => (Tlp::AmberStrict, Pap::Amber),
    };
    Marking { tlp, pap }
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

struct Lint<'a> {
    places: &'a Places,
    out: &'a mut Findings,
}

impl Lint<'_> {
    fn error(&mut self, code: &'static str, text: impl Into<String>, place: Option<Place>, help: &str) {
        self.out.push(Finding::error(code, text).at(place).help(help));
    }

    fn warn(&mut self, code: &'static str, text: impl Into<String>, place: Option<Place>, help: &str) {
        self.out.push(Finding::warning(code, text).at(place).help(help));
    }

    fn names(&mut self, file: &File) {
        let id = &file.id;
        let is_id = id.len() <= 64
            && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && id.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !is_id {
            let place = self.places.value("id");
            self.error(
                "agreement-name",
                format!("`{id}` can't be an agreement's id"),
                place,
                "use up to 64 lower-case letters, digits and hyphens",
            );
        }
        let topic = &file.delivery.topic;
        let is_topic = (1..=249).contains(&topic.len())
            && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
            && topic != "."
            && topic != "..";
        if !is_topic {
            let place = self.places.value("delivery.topic");
            self.error(
                "agreement-name",
                format!("`{topic}` can't be a topic"),
                place,
                "Kafka takes up to 249 letters, digits, dots, hyphens and underscores",
            );
        }
    }

    /// Values that are known and not built.
    fn unbuilt_values(&mut self, file: &File) {
        let only = |value: &Option<String>, built: &str| value.as_deref().is_some_and(|value| value != built);
        let delivery = &file.delivery;
        for (path, is_refused, help) in [
            (
                "direction",
                file.direction == Direction::Mutual,
                "write \"outbound\"; what the partner gives is a reporter of the pipeline",
            ),
            (
                "parties.recipient.key",
                only(&file.parties.recipient.key, "none"),
                "write \"none\"; protect the topic with TLS and ACLs",
            ),
            ("scope.sectors", file.scope.sectors != ["*"], "write [\"*\"]: leads do not know sectors yet"),
            ("delivery.format", delivery.format != Format::Json, "write \"json\""),
            ("delivery.cadence", only(&delivery.cadence, "stream"), "write \"stream\""),
            ("delivery.sign", only(&delivery.sign, "none"), "write \"none\""),
            (
                "delivery.encrypt",
                only(&delivery.encrypt, "none"),
                "write \"none\"; protect the topic with TLS and ACLs",
            ),
            ("reciprocity.mode", only(&file.reciprocity.mode, "none"), "write \"none\""),
        ] {
            if is_refused {
                let finding = refused_key(path, Some(help)).at(self.places.value(path));
                self.out.push(Finding { message: format!("this `{path}` is not supported yet"), ..finding });
            }
        }
        if file.scope.nexus.contains(&Link::Registrant) {
            let place = self.places.element("scope.nexus", "registrant");
            let help = "remove it: registrants' data is false or hidden too often to rest on";
            let finding = refused_key("scope.nexus", Some(help)).at(place);
            self.out
                .push(Finding { message: "nexus `registrant` is not supported yet".to_owned(), ..finding });
        }
    }

    fn parties(&mut self, file: &File) {
        let (provider, recipient) = (&file.parties.provider.id, &file.parties.recipient.id);
        for (path, id) in [("parties.provider.id", provider), ("parties.recipient.id", recipient)] {
            if id.strip_prefix("org:").is_none_or(str::is_empty) {
                let place = self.places.value(path);
                self.error(
                    "agreement-parties",
                    format!("`{id}` names no party"),
                    place,
                    "write `org:` and a name",
                );
            }
        }
        if provider == recipient {
            let place = self.places.value("parties.recipient.id");
            self.error(
                "agreement-parties",
                "provider and recipient are the same",
                place,
                "name the party that is told as the recipient",
            );
        }
        let country = &file.parties.recipient.country;
        if !is_country(country) {
            let place = self.places.value("parties.recipient.country");
            self.error(
                "agreement-countries",
                format!("`{country}` is no country code"),
                place,
                "write two capital letters (ISO 3166-1 alpha-2), or ZZ for none",
            );
        }
    }

    fn legal(&mut self, file: &File) {
        let legal = &file.legal;
        if legal.purposes.is_empty() {
            let place = self.places.value("legal.purposes");
            self.error(
                "agreement-purpose",
                "an agreement without a purpose",
                place,
                "name what the recipient may use it for",
            );
        }
        if legal.legal_basis.iter().all(|basis| basis.trim().is_empty()) {
            let place = self.places.value("legal.legal_basis").or_else(|| self.places.key("legal"));
            self.error(
                "agreement-basis",
                "an agreement without a legal basis",
                place,
                "write `legal_basis`, such as [\"legitimate-interest\"]",
            );
        }
        for matter in &legal.excluded_matter {
            let is_word = !matter.is_empty()
                && matter
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            if !is_word {
                let place = self.places.element("legal.excluded_matter", matter);
                self.error(
                    "agreement-matter",
                    format!("no sighting can be tagged `matter:{matter}`"),
                    place,
                    "write one lower-case word; hyphens and digits are allowed",
                );
            }
        }
        if file.ceiling.tlp == Tlp::Amber && file.definitions.clients.as_deref().is_none_or(str::is_empty) {
            let place = self.places.value("ceiling.tlp");
            self.error(
                "agreement-clients",
                "TLP:AMBER lets the recipient tell its clients, and nothing says who they are",
                place,
                "write `clients` in [definitions]",
            );
        }
    }

    fn dates(&mut self, file: &File) {
        let validity = &file.validity;
        if validity.effective_from >= validity.expires_at {
            let place = self.places.value("validity.expires_at");
            self.error(
                "agreement-dates",
                "it expires before it takes effect",
                place,
                "the end is exclusive: write a later time",
            );
        } else if validity.expires_at.since(validity.effective_from) > LONGEST {
            let place = self.places.value("validity.expires_at");
            self.error(
                "agreement-dates",
                "it runs for more than three years",
                place,
                "write an earlier end, and renew it with a new version",
            );
        }
        if validity.review_by < validity.effective_from || validity.review_by > validity.expires_at {
            let place = self.places.value("validity.review_by");
            self.error(
                "agreement-dates",
                "the review is outside of the agreement's time",
                place,
                "write a time between `effective_from` and `expires_at`",
            );
        }
    }

    fn ceiling(&mut self, file: &File) {
        let kind = file.parties.recipient.kind;
        let most = most(kind);
        let name = kind.as_str();
        if file.ceiling.tlp > most.tlp {
            let place = self.places.value("ceiling.tlp");
            let text = format!("TLP:{} is too much for {name}", file.ceiling.tlp.as_str());
            self.error("agreement-ceiling", text, place, &format!("write at most {}", most.tlp.as_str()));
        }
        if file.ceiling.pap > most.pap {
            let place = self.places.value("ceiling.pap");
            let text = format!("PAP:{} is too much for {name}", file.ceiling.pap.as_str());
            self.error("agreement-ceiling", text, place, &format!("write at most {}", most.pap.as_str()));
        }
    }

    fn countries(&mut self, file: &File) -> Countries {
        let scope = &file.scope;
        if scope.countries.contains("*") {
            if scope.countries.len() > 1 {
                let place = self.places.value("scope.countries");
                self.error(
                    "agreement-countries",
                    "any country, and some by name",
                    place,
                    "write [\"*\"] or the countries",
                );
            }
            return Countries::Any;
        }
        for country in scope.countries.iter().filter(|country| !is_country(country) || *country == "ZZ") {
            let place = self.places.element("scope.countries", country);
            self.error(
                "agreement-countries",
                format!("`{country}` is no country code"),
                place,
                "write two capital letters (ISO 3166-1 alpha-2)",
            );
        }
        if scope.nexus_unknown == Unknown::Allow {
            let place = self.places.value("scope.nexus_unknown");
            self.error(
                "agreement-nexus-unknown",
                "it is limited to countries, and lets pass what has no known country",
                place,
                "write nexus_unknown = \"deny\"",
            );
        }
        Countries::Only(scope.countries.clone())
    }

    fn scope(&mut self, file: &File) {
        let scope = &file.scope;
        let kind = file.parties.recipient.kind;
        for (name, is_empty) in [
            ("roles", scope.roles.is_empty()),
            ("indicator_types", scope.indicator_types.is_empty()),
            ("countries", scope.countries.is_empty()),
            ("nexus", scope.nexus.is_empty()),
            ("verdicts", scope.verdicts.is_empty()),
        ] {
            if is_empty {
                let place = self.places.value(&format!("scope.{name}"));
                let help = "an empty list lets nothing pass; write what may";
                self.warn("agreement-scope-empty", format!("nothing is in `scope.{name}`"), place, help);
            }
        }
        for verdict in &scope.verdicts {
            let name = match verdict {
                Verdict::Malicious | Verdict::Suspicious => continue,
                Verdict::Unscored => "unscored",
                Verdict::Benign => "benign",
                Verdict::Suppressed => "suppressed",
            };
            let place = self.places.element("scope.verdicts", name);
            let help = "write \"malicious\" or \"suspicious\"";
            self.error("agreement-verdict", format!("no agreement lets `{name}` pass"), place, help);
        }
        let min_age = scope.min_age.map_or(0, |length| length.0);
        if min_age >= scope.max_age.0 {
            let place = self.places.value("scope.min_age").or_else(|| self.places.value("scope.max_age"));
            self.error(
                "agreement-age",
                "nothing is old enough and young enough at once",
                place,
                "write a `min_age` below `max_age`",
            );
        }
        if scope.echo == Echo::Off && kind != AudienceKind::Public {
            let place = self.places.value("scope.echo");
            let help = "write \"suppress\"; `off` is for the public, who contributes nothing";
            self.error("agreement-echo", "a recipient would be told what it said itself", place, help);
        }
        let is_wide = matches!(kind, AudienceKind::Public | AudienceKind::VendorPeer);
        if is_wide && scope.gov_assets != GovAssets::Exclude {
            let place = self.places.value("scope.gov_assets");
            let text = format!("government names would go to {}", kind.as_str());
            self.error("agreement-gov", text, place, "write gov_assets = \"exclude\"");
        }
        if scope.gov_assets == GovAssets::Own && file.parties.recipient.country == "ZZ" {
            let place = self.places.value("scope.gov_assets");
            self.error(
                "agreement-gov",
                "a recipient without a country has no government names of its own",
                place,
                "write the recipient's country, or \"include\" or \"exclude\"",
            );
        }
    }

    fn fields(&mut self, file: &File) -> Fields {
        let mut fields = Fields::default();
        for (path, &op) in &file.fields.0 {
            let place = format!("fields.{path}");
            let field = match standing(path) {
                Standing::Known(field) => field,
                // Those of the table were reported with the refused keys.
                Standing::Refused(_) if FIELDS.iter().any(|f| f.path == path) => {
                    continue;
                }
                Standing::Refused(instead) => {
                    self.out.push(refused_key(&place, instead).at(self.places.key(&place)));
                    continue;
                }
                Standing::Never => {
                    let place = self.places.key(&place);
                    let help = "remove it: it would show a person, a sensor, or who reported";
                    self.error("agreement-field-never", format!("`{path}` is never shared"), place, help);
                    continue;
                }
                Standing::Unknown => {
                    let place = self.places.key(&place);
                    let help = "`sightline schema agreement` lists the fields";
                    self.error(
                        "agreement-field-unknown",
                        format!("no field is called `{path}`"),
                        place,
                        help,
                    );
                    continue;
                }
            };
            if op == Op::Pseudonym {
                let help = "drop the field, or wait for a version that has pseudonyms";
                let finding = refused_key(&place, Some(help)).at(self.places.value(&place));
                self.out.push(Finding { message: "`pseudonym` is not supported yet".to_owned(), ..finding });
            } else if !field.ops.contains(&op) {
                let names: Vec<&str> = field.ops.iter().map(|op| op.as_str()).collect();
                let place = self.places.value(&place);
                let text = format!("`{}` does nothing to `{path}`", op.as_str());
                self.error("agreement-field-op", text, place, &format!("it takes: {}", names.join(", ")));
            } else if path.starts_with("services.") && file.fields.0.contains_key("services") {
                let place = self.places.key(&place);
                let help = "take one of them out";
                self.error("agreement-field-twice", format!("`{path}` is part of `services`"), place, help);
            } else {
                fields.allow(field, op);
            }
        }
        fields
    }

    /// How the indicator itself is shown.
    fn values_shown(&mut self, file: &File, fields: &Fields) {
        let kind = file.parties.recipient.kind;
        let types = &file.scope.indicator_types;
        let has_urls = types.contains(&IndicatorType::Url);
        let url = fields.op("url.full");
        if fields.op("indicator.value").is_none() {
            let place = self.places.key("fields");
            let help = "write \"indicator.value\", or the recipient learns of nothing it could act on";
            self.warn("agreement-fields-empty", "the indicator itself is not shared", place, help);
        }
        if has_urls && kind == AudienceKind::Public {
            let place = self.places.element("scope.indicator_types", "url");
            let help = "take `url` out: no pattern finds all that a URL says of a person";
            self.error("agreement-url", "URLs would go to the public", place, help);
        } else if has_urls && url.is_none() {
            let place = self.places.element("scope.indicator_types", "url");
            let help = "write \"url.full\" in [fields] with an operation, or take `url` out";
            self.error(
                "agreement-url",
                "URLs are in scope, and nothing says how they are shown",
                place,
                help,
            );
        } else if has_urls && url != Some(Op::ScrubStrict) && !kind.is_police() {
            let place = self.places.value("fields.url.full");
            let help = "write \"scrub-strict\"; only police get queries of URLs";
            self.error(
                "agreement-url",
                format!("queries of URLs would go to {}", kind.as_str()),
                place,
                help,
            );
        }
        let is_address = |kind: &IndicatorType| matches!(kind, IndicatorType::Ipv4 | IndicatorType::Ipv6);
        let value = fields.op("indicator.value");
        if value == Some(Op::TruncateNet) && !types.iter().all(is_address) {
            let place = self.places.value("fields.indicator.value");
            let help = "write \"keep\", or only ipv4 and ipv6 in `indicator_types`";
            self.error("agreement-field-op", "only addresses are in a network", place, help);
        }
        let is_wide = matches!(kind, AudienceKind::Public | AudienceKind::VendorPeer);
        let victims: BTreeSet<&str> =
            file.scope.roles.iter().filter(|role| role.is_victim()).map(|role| role.as_str()).collect();
        if is_wide
            && value == Some(Op::Keep)
            && let Some(role) = victims.first()
        {
            let place = self.places.element("scope.roles", role);
            let text = format!("victims ({role}) would be shown to {}", kind.as_str());
            self.error("agreement-victim-clear", text, place, "take the role out of `roles`");
        }
    }

    /// Fields from which another one, that is withheld or made coarser, could be told.
    fn derivable(&mut self, fields: &Fields) {
        if fields.op("indicator.value") == Some(Op::TruncateNet) && fields.op("network.ip") == Some(Op::Keep)
        {
            let place = self.places.value("fields.network.ip");
            let help = "write \"truncate-net\" for both";
            self.error("agreement-derivable", "the address that `indicator.value` hides", place, help);
        }
        if fields.op("score.factors").is_some() && fields.op("score.risk") != Some(Op::Keep) {
            let place = self.places.value("fields.score.factors");
            let help = "the points of all factors add up to the risk: keep `score.risk`, or drop the factors";
            self.warn("agreement-derivable", "the risk can be told from the factors", place, help);
        }
    }
}
