//! Where addresses are and whose network they are in, from MMDB files: MaxMind, DB-IP, IPinfo and
//! others of their layouts.
//!
//! Nothing leaves the house, and nothing speaks for or against an indicator: the finding is context
//! (`network` and `nexus`), never evidence. Names are not resolved: only addresses, and URLs whose
//! host is one, are looked up.

mod database;
mod record;
mod write;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use self::database::Database;
use self::record::Facts;
use super::host::Host;
use super::{
    Answers, Enricher, EnricherConfig, Finding, Form, LoadError, Loaded, Network, Nexus, NexusKind, Status,
    list, take,
};
use crate::diag;
use crate::diag::{Findings, Source, Spanned};
use crate::sighting::time::DAY;
use crate::sighting::{Indicator, Length, Terms, Timestamp};

pub use write::{Value, asn_record, city_record, write_mmdb};

/// How sure we are of a country of which all sources agree, in percent.
const AGREED: u8 = 80;
/// The same where another claim names another country.
const DISPUTED: u8 = 60;
/// Of the other claim: the country of registration, or that of the second file.
const OTHER: u8 = 30;

/// Where addresses are and whose network they are in, from MMDB files. One of `city`, `country` and
/// `asn` at least.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GeoipSettings")]
pub struct Settings {
    /// MMDB file with countries and cities, such as GeoLite2-City.
    #[serde(default)]
    pub city: Option<Spanned<String>>,
    /// MMDB file with countries. Beside `city` it fills the gaps, and where it differs both countries
    /// are kept with a lower confidence.
    #[serde(default)]
    pub country: Option<Spanned<String>>,
    /// MMDB file with autonomous systems, such as GeoLite2-ASN.
    #[serde(default)]
    pub asn: Option<Spanned<String>>,
    /// The terms under which the data came.
    pub terms: Terms,
    /// How much the data is relied on, 0 to 100. Default 75 (Admiralty code b, "usually reliable").
    #[serde(default = "reliability")]
    #[schemars(range(max = 100))]
    pub reliability: Spanned<u8>,
    /// How long a finding holds. Default 7 days: addresses move, and the files with them.
    #[serde(default = "stale_after")]
    pub stale_after: Length,
}

fn reliability() -> Spanned<u8> {
    Spanned::unplaced(75)
}

fn stale_after() -> Length {
    Length(7 * DAY)
}

impl Settings {
    fn parts(&self) -> impl Iterator<Item = (Part, &Spanned<String>)> {
        [(Part::City, &self.city), (Part::Country, &self.country), (Part::Asn, &self.asn)]
            .into_iter()
            .filter_map(|(part, file)| Some((part, file.as_ref()?)))
    }

    /// The enricher over the bytes of its files, by path as written.
    pub fn open(&self, mut bytes: BTreeMap<String, Vec<u8>>) -> Result<Geoip, LoadError> {
        let mut files: Vec<File> = Vec::new();
        let mut loaded = Vec::new();
        for (part, path) in self.parts() {
            let path = &path.value;
            // One file may be for several parts, as those of IPinfo are; it is held once.
            let known = files.iter().position(|file| file.path == *path);
            let at = match known {
                Some(at) => at,
                None => {
                    let database = Database::open(path, take(&mut bytes, path)?)?;
                    files.push(File { path: path.clone(), parts: Vec::new(), database });
                    files.len() - 1
                }
            };
            let file = &mut files[at];
            file.database.check_says(part, path)?;
            file.parts.push(part);
            loaded.push(Loaded {
                part: part.as_str().to_owned(),
                file: path.clone(),
                form: Form::Mmdb,
                kind: file.database.database_type().to_owned(),
                built: Some(file.database.built()),
                size: file.database.node_count(),
            });
        }
        let build = loaded
            .iter()
            .map(|loaded| {
                format!("{} {} {}", loaded.part, loaded.kind, list::day_of(loaded.built.unwrap_or_default()))
            })
            .collect::<Vec<_>>()
            .join("; ");
        Ok(Geoip { files, loaded, build, stale_after: self.stale_after.0 })
    }
}

impl EnricherConfig for Settings {
    fn name(&self) -> &str {
        NAME
    }

    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn reliability(&self) -> &Spanned<u8> {
        &self.reliability
    }

    fn files(&self) -> Vec<&Spanned<String>> {
        self.parts().map(|(_, file)| file).collect()
    }

    fn check(&self, source: &Arc<Source>, out: &mut Findings) {
        if self.parts().next().is_none() {
            out.push(
                diag::Finding::error("geoip-without-file", "geoip has no database to look in")
                    .at(self.reliability.place(source))
                    .help("give one of `city`, `country` and `asn` at least"),
            );
        }
        super::check_stale_after(NAME, self.stale_after, out);
    }

    fn load(&self, bytes: BTreeMap<String, Vec<u8>>) -> Result<Arc<dyn Enricher>, LoadError> {
        Ok(Arc::new(self.open(bytes)?))
    }
}

/// The enricher's name.
pub const NAME: &str = "geoip";

/// What a file is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    City,
    Country,
    Asn,
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::City => "city",
            Self::Country => "country",
            Self::Asn => "asn",
        }
    }

    /// Whether a record says what this part needs.
    fn is_said(self, facts: &Facts) -> bool {
        match self {
            Self::City => facts.city.is_some(),
            Self::Country => facts.country.is_some(),
            Self::Asn => facts.asn.is_some(),
        }
    }

    /// The same in words.
    fn wanted(self) -> &'static str {
        match self {
            Self::City => "a city (`city`)",
            Self::Country => "a country (`country.iso_code`, `country_code` or `country`)",
            Self::Asn => "an autonomous system (`autonomous_system_number` or `asn`)",
        }
    }
}

/// The loaded enricher.
pub struct Geoip {
    files: Vec<File>,
    loaded: Vec<Loaded>,
    build: String,
    stale_after: i64,
}

struct File {
    path: String,
    parts: Vec<Part>,
    database: Database,
}

impl Enricher for Geoip {
    fn name(&self) -> &str {
        NAME
    }

    fn build(&self) -> &str {
        &self.build
    }

    fn stale_after(&self) -> i64 {
        self.stale_after
    }

    fn loaded(&self) -> Vec<Loaded> {
        self.loaded.clone()
    }

    fn finding(&self, indicator: &Indicator, _: &Answers, now: Timestamp) -> Finding {
        let mut finding = Finding::empty(self, Status::Skipped, now);
        let Some(Host::Address(ip)) = Host::of(indicator) else {
            finding.detail = Some("no address".to_owned());
            return finding;
        };
        let said = self.said(ip);
        if said.covered == 0 {
            finding.detail = Some("the databases have no IPv6 addresses".to_owned());
            return finding;
        }
        finding.status = match said.failed {
            _ if !said.is_empty() => Status::Hit,
            Some(_) => Status::Unknown,
            None => Status::Miss,
        };
        finding.detail = said.failed.clone();
        if finding.status == Status::Hit {
            finding.nexus = said.nexus();
            finding.network = vec![said.into_network(ip)];
        }
        finding
    }
}

/// What all files say of one address.
#[derive(Default)]
struct Said {
    /// How many files could have anything.
    covered: usize,
    /// Why a file could not be read here, if so.
    failed: Option<String>,
    city: Option<String>,
    /// Of each file in turn.
    countries: Vec<&'static str>,
    registered: Vec<&'static str>,
    asn: Option<u32>,
    as_name: Option<String>,
    anycast: bool,
}

impl Geoip {
    fn said(&self, ip: IpAddr) -> Said {
        let mut said = Said::default();
        for file in self.files.iter().filter(|file| file.database.covers(ip)) {
            said.covered += 1;
            let facts = match file.database.facts(ip) {
                Ok(facts) => facts,
                Err(err) => {
                    said.failed = Some(format!("{}: {err}", file.path));
                    continue;
                }
            };
            said.anycast |= facts.anycast;
            if file.parts.contains(&Part::City) {
                said.city = said.city.or(facts.city);
            }
            // The country in a file of autonomous systems is that of the system, not of the address.
            if file.parts.iter().any(|part| *part != Part::Asn) {
                said.countries.extend(facts.country);
                said.registered.extend(facts.registered_country);
            }
            if file.parts.contains(&Part::Asn) && said.asn.is_none() {
                said.asn = facts.asn;
                said.as_name = facts.as_name;
            }
        }
        said
    }
}

impl Said {
    fn is_empty(&self) -> bool {
        self.city.is_none()
            && self.countries.is_empty()
            && self.registered.is_empty()
            && self.asn.is_none()
            && !self.anycast
    }

    /// The countries that have to do with the address, the likeliest first. Claims that disagree are
    /// all kept, with less confidence; what is everywhere is nowhere. (`sharing.md` 3.3)
    fn nexus(&self) -> Vec<Nexus> {
        if self.anycast {
            return Vec::new();
        }
        let located = self.countries.first().copied();
        let mut others: Vec<&'static str> = Vec::new();
        for country in self.countries.iter().chain(&self.registered).copied() {
            if Some(country) != located && !others.contains(&country) {
                others.push(country);
            }
        }
        let sure = if others.is_empty() { AGREED } else { DISPUTED };
        let claims = located.map(|country| (country, sure)).into_iter();
        claims
            .chain(others.into_iter().map(|country| (country, OTHER)))
            .map(|(country, confidence)| Nexus {
                kind: NexusKind::Hosting,
                country: country.to_owned(),
                confidence,
                source: NAME.to_owned(),
            })
            .collect()
    }

    fn into_network(self, ip: IpAddr) -> Network {
        Network {
            ip: ip.to_string(),
            asn: self.asn,
            as_name: self.as_name,
            country: self.countries.first().map(|&country| country.to_owned()),
            city: self.city,
        }
    }
}
