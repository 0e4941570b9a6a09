//! The entries of a list, held small and sorted, and which of them speak of an indicator.
//!
//! The most specific entries count: the indicator itself, else the nearest name above it or the
//! smallest network around it. A list of ten million fits in some hundred megabytes: texts lie in one
//! string, and what rows have in common is kept once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;

use super::{LARGEST_WEIGHT, Settings, is_kebab_case};
use crate::enrich::host::{Host, upwards};
use crate::enrich::list;
use crate::enrich::list::{Bad, Row};
use crate::sighting::{Indicator, IndicatorType, Role, Timestamp, Tlp};

/// The longest reference, in bytes: a dossier keeps it.
const LONGEST_REFERENCE: usize = 512;

/// The largest networks that may be listed, as prefix lengths: more is a slip of the pen.
const SHORTEST_PREFIX: (u8, u8) = (8, 16);

/// What many rows have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) code: String,
    pub(super) weight: i32,
    pub(super) roles: Vec<Role>,
    pub(super) origin: String,
    pub(super) tlp: Option<Tlp>,
}

/// How an entry has to do with the indicator that it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// It is the indicator.
    Itself,
    /// It is a network around it.
    Network,
    /// It is the host of the URL, or a name above it.
    Parent,
}

/// An entry that speaks of an indicator.
#[derive(Debug)]
pub(super) struct Match<'a> {
    pub(super) relation: Relation,
    /// What is listed, as shown to people.
    pub(super) listed: String,
    pub(super) kind: &'a Kind,
    pub(super) as_of: Timestamp,
    pub(super) reference: Option<&'a str>,
}

/// All entries of a list.
#[derive(Debug, Default)]
pub(super) struct Entries {
    kinds: Vec<Kind>,
    claims: Vec<Claim>,
    references: Texts,
    /// Keys of indicators, with their claims at the same place of `exact_claims`.
    keys: Texts,
    exact_claims: Vec<u32>,
    /// Places in `keys`, by key and then by row.
    by_key: Vec<u32>,
    /// By prefix length: network and claim, in order.
    ipv4: BTreeMap<u8, Vec<(u32, u32)>>,
    ipv6: BTreeMap<u8, Vec<(u128, u32)>>,
}

/// One row without its indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    kind: u32,
    /// One more than the place of the reference; 0 is none.
    reference: u32,
    as_of: Timestamp,
}

/// Texts one behind the other.
#[derive(Debug, Default)]
struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    fn push(&mut self, text: &str) -> Result<u32, String> {
        let end = self.text.len() + text.len();
        let (Ok(place), Ok(end)) = (u32::try_from(self.ends.len()), u32::try_from(end)) else {
            return Err("the list is larger than 4 GiB; split it".to_owned());
        };
        self.text.push_str(text);
        self.ends.push(end);
        Ok(place)
    }

    fn get(&self, place: u32) -> &str {
        let place = place as usize;
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[place] as usize]
    }
}

/// What a row lists.
#[derive(Debug, PartialEq, Eq)]
enum Listed {
    /// An address is a network of one.
    Network(IpNet),
    Other(Indicator),
}

impl Entries {
    /// Reads a list; `settings` have what rows leave out.
    pub(super) fn read(bytes: &[u8], settings: &Settings) -> Result<Self, Bad> {
        let mut entries = Self::default();
        let mut kinds: BTreeMap<Kind, u32> = BTreeMap::new();
        let optional = ["type", "weight", "origin", "as_of", "tlp", "reference", "roles"];
        list::read(bytes, &["indicator", "code"], &optional, |row| {
            let listed =
                canonical(row.required("indicator")?, row.value("type")).map_err(|text| row.bad(text))?;
            let Ok(next) = u32::try_from(kinds.len()) else {
                return Err(row.bad("too many kinds of rows; split the list"));
            };
            let kind = *kinds.entry(kind_of(row, settings)?).or_insert(next);
            let reference = match row.value("reference") {
                Some(text) if text.len() > LONGEST_REFERENCE => {
                    return Err(
                        row.bad(format!("a reference of {} bytes; {LONGEST_REFERENCE} fit", text.len()))
                    );
                }
                Some(text) => 1 + entries.references.push(text).map_err(|text| row.bad(text))?,
                None => 0,
            };
            let as_of = match row.value("as_of") {
                Some(text) => time(text).map_err(|text| row.bad(text))?,
                None => settings.as_of.ok_or_else(|| {
                    row.bad("no `as_of`; give when the claim was true, here or for the whole list")
                })?,
            };
            entries.add(&listed, Claim { kind, reference, as_of }).map_err(|text| row.bad(text))
        })?;
        if entries.claims.is_empty() {
            return Err(Bad {
                line: 1,
                text: "the list has no rows; an empty one is not taken for a new one".into(),
            });
        }
        entries.kinds = vec_by_place(kinds);
        entries.sort();
        Ok(entries)
    }

    fn add(&mut self, listed: &Listed, claim: Claim) -> Result<(), String> {
        let Ok(place) = u32::try_from(self.claims.len()) else {
            return Err("too many rows; split the list".to_owned());
        };
        self.claims.push(claim);
        match listed {
            Listed::Network(IpNet::V4(net)) => {
                self.ipv4.entry(net.prefix_len()).or_default().push((net.network().to_bits(), place));
            }
            Listed::Network(IpNet::V6(net)) => {
                self.ipv6.entry(net.prefix_len()).or_default().push((net.network().to_bits(), place));
            }
            Listed::Other(indicator) => {
                self.keys.push(&indicator.key())?;
                self.exact_claims.push(place);
            }
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.by_key = (0..).take(self.keys.ends.len()).collect();
        // Stable, so that entries of one indicator stay in the order of the file.
        self.by_key.sort_by(|a, b| self.keys.get(*a).cmp(self.keys.get(*b)));
        self.ipv4.values_mut().for_each(|networks| networks.sort_unstable());
        self.ipv6.values_mut().for_each(|networks| networks.sort_unstable());
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> u64 {
        self.claims.len() as u64
    }

    /// When the newest claim was true.
    pub(super) fn newest(&self) -> Timestamp {
        self.claims.iter().map(|claim| claim.as_of).max().unwrap_or_default()
    }

    /// The entries that speak of `indicator`, in the order of the file; repeated rows once.
    pub(super) fn of(&self, indicator: &Indicator) -> Vec<Match<'_>> {
        let host = Host::of(indicator);
        if let (IndicatorType::Ipv4 | IndicatorType::Ipv6, Some(Host::Address(ip))) = (indicator.kind, &host)
        {
            return self.around(*ip, Relation::Itself, Relation::Network);
        }
        let itself = self.exact(indicator, Relation::Itself);
        if !itself.is_empty() {
            return itself;
        }
        match host {
            Some(Host::Address(ip)) => self.around(ip, Relation::Parent, Relation::Parent),
            Some(Host::Name(name)) => self.above(&name, indicator.kind),
            None => Vec::new(),
        }
    }

    fn exact(&self, indicator: &Indicator, relation: Relation) -> Vec<Match<'_>> {
        let key = indicator.key();
        let first = self.by_key.partition_point(|place| self.keys.get(*place) < key.as_str());
        let places = self.by_key[first..].iter().take_while(|place| self.keys.get(**place) == key);
        let claims = places.map(|place| self.exact_claims[*place as usize]);
        self.matches(claims, relation, &indicator.value)
    }

    /// The nearest listed name above `name`, from `name` itself when that is a URL's host. Only names
    /// that somebody registered have others under them: what stands under a public suffix (`co.uk`, a
    /// hoster's own) is not of the suffix' kind.
    fn above(&self, name: &str, kind: IndicatorType) -> Vec<Match<'_>> {
        let registrable = psl::domain_str(name).map_or(usize::MAX, str::len);
        upwards(name)
            .enumerate()
            .filter(
                |(at, above)| if *at == 0 { kind == IndicatorType::Url } else { above.len() >= registrable },
            )
            .map(|(_, above)| {
                let above = Indicator { kind: IndicatorType::Domain, value: above.to_owned() };
                self.exact(&above, Relation::Parent)
            })
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    /// The smallest listed network around `ip`, or `ip` itself.
    fn around(&self, ip: IpAddr, itself: Relation, network: Relation) -> Vec<Match<'_>> {
        let found = match ip {
            IpAddr::V4(ip) => longest(&self.ipv4, |prefix| {
                ip.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
            }),
            IpAddr::V6(ip) => longest(&self.ipv6, |prefix| {
                ip.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
            }),
        };
        let Some((prefix, claims)) = found else { return Vec::new() };
        let is_itself = prefix == if ip.is_ipv4() { 32 } else { 128 };
        let relation = if is_itself { itself } else { network };
        let listed = match IpNet::new(ip, prefix) {
            Ok(net) if !is_itself => net.trunc().to_string(),
            _ => ip.to_string(),
        };
        self.matches(claims.into_iter(), relation, &listed)
    }

    fn matches(&self, places: impl Iterator<Item = u32>, relation: Relation, listed: &str) -> Vec<Match<'_>> {
        let mut claims: Vec<Claim> = Vec::new();
        for claim in places.map(|place| self.claims[place as usize]) {
            if !claims.iter().any(|known| self.is_same(*known, claim)) {
                claims.push(claim);
            }
        }
        let found = claims.into_iter().map(|claim| Match {
            relation,
            listed: listed.to_owned(),
            kind: &self.kinds[claim.kind as usize],
            as_of: claim.as_of,
            reference: self.reference(claim),
        });
        found.collect()
    }

    fn is_same(&self, a: Claim, b: Claim) -> bool {
        a.kind == b.kind && a.as_of == b.as_of && self.reference(a) == self.reference(b)
    }

    fn reference(&self, claim: Claim) -> Option<&str> {
        Some(self.references.get(claim.reference.checked_sub(1)?))
    }
}

/// The entries of the longest prefix under which `network_of` finds the address' network, by row.
fn longest<K: Ord + Copy>(
    networks: &BTreeMap<u8, Vec<(K, u32)>>,
    network_of: impl Fn(u8) -> K,
) -> Option<(u8, Vec<u32>)> {
    networks.iter().rev().find_map(|(prefix, networks)| {
        let network = network_of(*prefix);
        let first = networks.partition_point(|(known, _)| *known < network);
        let found = networks[first..].iter().take_while(|(known, _)| *known == network);
        let claims: Vec<_> = found.map(|(_, claim)| *claim).collect();
        (!claims.is_empty()).then_some((*prefix, claims))
    })
}

fn vec_by_place(kinds: BTreeMap<Kind, u32>) -> Vec<Kind> {
    let mut kinds: Vec<_> = kinds.into_iter().map(|(kind, place)| (place, kind)).collect();
    kinds.sort_unstable_by_key(|(place, _)| *place);
    kinds.into_iter().map(|(_, kind)| kind).collect()
}

fn kind_of(row: &Row<'_>, settings: &Settings) -> Result<Kind, Bad> {
    let code = row.required("code")?;
    if !is_kebab_case(code) {
        return Err(row.bad(format!("the code `{code}` is not kebab-case; write one such as `listed`")));
    }
    if code == "suppress" {
        return Err(row.bad("the code `suppress` is not built; leave the row out"));
    }
    let weight = match row.value("weight") {
        Some(text) => text
            .parse::<i32>()
            .ok()
            .filter(|weight| (-LARGEST_WEIGHT..=LARGEST_WEIGHT).contains(weight))
            .ok_or_else(|| row.bad(format!("the weight `{text}` is no whole number from -1000 to 1000")))?,
        None => settings.weight.value,
    };
    let tlp = match row.value("tlp") {
        // An unknown marking must never be taken as open.
        Some(text) => Some(
            Tlp::parse(text)
                .ok_or_else(|| row.bad(format!("`{text}` is no TLP marking; write one such as AMBER")))?,
        ),
        None => None,
    };
    let mut roles = row
        .value("roles")
        .unwrap_or_default()
        .split(';')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| {
            Role::parse(text)
                .ok_or_else(|| row.bad(format!("`{text}` is no role; write those such as c2;scanner")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    roles.sort_unstable();
    roles.dedup();
    Ok(Kind {
        code: code.to_owned(),
        weight,
        roles,
        origin: row.value("origin").unwrap_or(&settings.origin.value).to_owned(),
        tlp,
    })
}

/// RFC 3339, or a day, which is its midnight in UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    list::day(text).or_else(|| text.parse().ok()).ok_or_else(|| {
        // There are two forms, so that what is wrong is best said by showing them.
        format!("`{text}` is no time; write it as 2026-11-02 or 2026-11-02T08:00:00Z")
    })
}

/// What an entry lists, in canonical form, so that it is found by canonical indicators.
///
/// FIXME: this is where [`crate::sighting::Normaliser`] belongs, which does the same for sightings and
/// knows more ways of writing. Networks stay here: they are no indicators.
fn canonical(text: &str, kind: Option<&str>) -> Result<Listed, String> {
    let kind = match kind {
        None => detect(text)
            .ok_or_else(|| format!("`{text}` is no indicator that is recognised; give its `type`"))?,
        Some("network") => "network",
        Some(kind) => IndicatorType::parse(kind)
            .map(IndicatorType::as_str)
            .ok_or_else(|| format!("`{kind}` is no type; write one such as domain, or network"))?,
    };
    let wrong = || format!("`{text}` is not of the type {kind}; correct one of them");
    let other = |kind, value: String| Ok(Listed::Other(Indicator { kind, value }));
    match kind {
        "network" => network(text),
        "ipv4" | "ipv6" => {
            let Ok(ip) = text.parse::<IpAddr>() else { return Err(wrong()) };
            if ip.is_ipv4() != (kind == "ipv4") {
                return Err(wrong());
            }
            Ok(Listed::Network(IpNet::from(ip.to_canonical())))
        }
        "domain" => {
            let Ok(name) = idna::domain_to_ascii_strict(text.trim_end_matches('.')) else {
                return Err(wrong());
            };
            if name.is_empty() || name.parse::<IpAddr>().is_ok() {
                return Err(wrong());
            }
            other(IndicatorType::Domain, name)
        }
        "url" => {
            let mut url = Url::parse(text).ok().filter(Url::has_host).ok_or_else(wrong)?;
            url.set_fragment(None);
            // Only URLs without a host refuse these two.
            let is_plain = url.set_username("").is_ok() && url.set_password(None).is_ok();
            if is_plain { other(IndicatorType::Url, url.into()) } else { Err(wrong()) }
        }
        "asn" => {
            let digits = text.trim_start_matches(['A', 'S', 'a', 's']);
            let Ok(number) = digits.parse::<u32>() else { return Err(wrong()) };
            other(IndicatorType::Asn, format!("AS{number}"))
        }
        "ssdeep" => other(IndicatorType::Ssdeep, text.to_owned()),
        "tlsh" => other(IndicatorType::Tlsh, text.to_ascii_uppercase()),
        _ => {
            let kind = IndicatorType::parse(kind).ok_or_else(wrong)?;
            let is_hash =
                text.bytes().all(|byte| byte.is_ascii_hexdigit()) && hash_of_length(text.len()) == Some(kind);
            if is_hash { other(kind, text.to_ascii_lowercase()) } else { Err(wrong()) }
        }
    }
}

fn network(text: &str) -> Result<Listed, String> {
    let Ok(net) = text.parse::<IpNet>() else {
        return Err(format!("`{text}` is no network; write one such as 192.0.2.0/24"));
    };
    if net != net.trunc() {
        return Err(format!(
            "`{text}` has bits behind its prefix; write {}, or the address alone",
            net.trunc()
        ));
    }
    let shortest = if matches!(net, IpNet::V4(_)) { SHORTEST_PREFIX.0 } else { SHORTEST_PREFIX.1 };
    if net.prefix_len() < shortest {
        return Err(format!(
            "`{text}` holds too much of the Internet; list networks of /{shortest} and smaller"
        ));
    }
    Ok(Listed::Network(net))
}

fn detect(text: &str) -> Option<&'static str> {
    if text.parse::<IpNet>().is_ok() {
        return Some("network");
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(if ip.is_ipv4() { "ipv4" } else { "ipv6" });
    }
    if text.contains("://") {
        return Some("url");
    }
    if text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && let Some(kind) = hash_of_length(text.len())
    {
        return Some(kind.as_str());
    }
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as"));
    if digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return Some("asn");
    }
    (text.contains('.') && !text.contains(['/', ':', '@', ' '])).then_some("domain")
}

fn hash_of_length(length: usize) -> Option<IndicatorType> {
    Some(match length {
        32 => IndicatorType::Md5,
        40 => IndicatorType::Sha1,
        56 => IndicatorType::Sha224,
        64 => IndicatorType::Sha256,
        96 => IndicatorType::Sha384,
        128 => IndicatorType::Sha512,
        _ => return None,
    })
}
