//! What a domain name itself tells: the country of its top-level domain, and whether it stands under a
//! government's suffix.
//!
//! Both come from lists, of which the government's is ours to keep (`sharing.md` 3.4): a first label
//! says nothing (`go.it` is a province, `mi.us` a state), and suffixes are matched by whole labels at
//! the end. Nothing speaks for or against an indicator here.

mod tld;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::host::{Host, upwards};
use super::{
    Answers, Enricher, EnricherConfig, Finding, Form, Gov, LoadError, Loaded, Nexus, NexusKind, Status,
    country, list, take,
};
use crate::diag;
use crate::diag::{Findings, Source, Spanned};
use crate::sighting::time::DAY;
use crate::sighting::{Indicator, Terms, Timestamp};

/// The enricher's name.
pub const NAME: &str = "names";

/// How sure a suffix of the list makes us of the country, in percent.
const GOV: u8 = 95;

/// How long a finding holds. It changes with the lists only, and a new list is a new build.
const STALE_AFTER: i64 = 30 * DAY;

/// The classes of government suffix.
const CLASSES: [&str; 4] = ["central", "local", "military", "police"];

/// Countries of top-level domains, and governments' suffixes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NamesSettings")]
pub struct Settings {
    /// CSV file of governments' suffixes, `suffix,country,class,source,checked`: `go.th,TH,central,...`
    /// with the class `central`, `local`, `military` or `police`, where the suffix is documented, and
    /// the day on which somebody last looked. A suffix may be any name, such as that of one site.
    #[serde(default)]
    pub government: Option<Spanned<String>>,
    /// Whether the country of a top-level domain is given too. Default true.
    #[serde(default = "tld_default")]
    pub tld: bool,
    /// The terms under which the data came.
    pub terms: Terms,
    /// How much the data is relied on, 0 to 100. Default 90.
    #[serde(default = "reliability")]
    #[schemars(range(max = 100))]
    pub reliability: Spanned<u8>,
}

fn tld_default() -> bool {
    true
}

fn reliability() -> Spanned<u8> {
    Spanned::unplaced(90)
}

impl Settings {
    /// The enricher over the bytes of its file, by path as written.
    pub fn open(&self, mut bytes: BTreeMap<String, Vec<u8>>) -> Result<Names, LoadError> {
        let mut build = Vec::new();
        let mut loaded = Vec::new();
        let mut governments = BTreeMap::new();
        if let Some(path) = &self.government {
            let bytes = take(&mut bytes, &path.value)?;
            let newest;
            (governments, newest) = read(&bytes).map_err(|bad| LoadError {
                file: path.value.clone(),
                code: "names-list",
                text: format!("line {}: {}", bad.line, bad.text),
            })?;
            build.push(format!("government {} {}", super::digest(&bytes), list::day_of(newest)));
            loaded.push(Loaded {
                part: "government".to_owned(),
                file: path.value.clone(),
                form: Form::List,
                kind: "government".to_owned(),
                built: Some(newest),
                size: governments.len() as u64,
            });
        }
        if self.tld {
            build.push(format!("tld {}", tld::CHECKED));
        }
        Ok(Names { governments, tld: self.tld, build: build.join("; "), loaded })
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
        self.government.iter().collect()
    }

    fn check(&self, source: &Arc<Source>, out: &mut Findings) {
        if self.government.is_none() && !self.tld {
            out.push(
                diag::Finding::error("names-without-list", "names has nothing to look in")
                    .at(self.reliability.place(source))
                    .help("give `government`, or leave out `tld = false`"),
            );
        }
    }

    fn load(&self, bytes: BTreeMap<String, Vec<u8>>) -> Result<Arc<dyn Enricher>, LoadError> {
        Ok(Arc::new(self.open(bytes)?))
    }
}

/// Reads a list of suffixes; with them, the newest day on which one was checked.
fn read(bytes: &[u8]) -> Result<(BTreeMap<String, Gov>, Timestamp), list::Bad> {
    let mut governments = BTreeMap::new();
    let mut newest: Option<Timestamp> = None;
    list::read(bytes, &["suffix", "country", "class", "source", "checked"], &[], |row| {
        let suffix = suffix(row.required("suffix")?).map_err(|text| row.bad(text))?;
        let country = row.required("country")?;
        let country = country::code(country).filter(|code| *code == country).ok_or_else(|| {
            row.bad(format!("`{country}` is no country; write ISO 3166-1 alpha-2 such as TH"))
        })?;
        let class = row.required("class")?;
        if !CLASSES.contains(&class) {
            return Err(row.bad(format!("`{class}` is no class; write one of {}", CLASSES.join(", "))));
        }
        row.required("source")?;
        let checked = row.required("checked")?;
        let checked = list::day(checked)
            .ok_or_else(|| row.bad(format!("`{checked}` is no day; write it as 2026-11-02")))?;
        newest = newest.max(Some(checked));
        let gov = Gov { suffix: suffix.clone(), country: country.to_owned(), class: class.to_owned() };
        if governments.insert(suffix.clone(), gov).is_some() {
            return Err(row.bad(format!("`{suffix}` stands twice; keep one of the rows")));
        }
        Ok(())
    })?;
    match newest {
        Some(newest) => Ok((governments, newest)),
        None => Err(list::Bad {
            line: 1,
            text: "the list has no rows; add some or leave `government` out".into(),
        }),
    }
}

/// A suffix in the form that indicators have: IDNA ASCII, lower case, no dots at the ends.
fn suffix(text: &str) -> Result<String, String> {
    if text.starts_with('.') || text.starts_with('*') || text.ends_with('.') {
        return Err(format!("`{text}` is not written as a suffix; write whole labels only, such as go.th"));
    }
    match idna::domain_to_ascii_strict(text) {
        Ok(ascii) if !ascii.is_empty() && ascii.parse::<std::net::IpAddr>().is_err() => Ok(ascii),
        _ => Err(format!("`{text}` is no domain name; write one such as go.th")),
    }
}

/// The loaded enricher.
pub struct Names {
    /// By suffix.
    governments: BTreeMap<String, Gov>,
    tld: bool,
    build: String,
    loaded: Vec<Loaded>,
}

impl Names {
    /// The government under whose suffix `name` stands, by the longest suffix that is the whole name or
    /// its last labels.
    fn government(&self, name: &str) -> Option<&Gov> {
        upwards(name).find_map(|suffix| self.governments.get(suffix))
    }
}

impl Enricher for Names {
    fn name(&self) -> &str {
        NAME
    }

    fn build(&self) -> &str {
        &self.build
    }

    fn stale_after(&self) -> i64 {
        STALE_AFTER
    }

    fn loaded(&self) -> Vec<Loaded> {
        self.loaded.clone()
    }

    fn finding(&self, indicator: &Indicator, _: &Answers, now: Timestamp) -> Finding {
        let mut finding = Finding::empty(self, Status::Skipped, now);
        let Some(Host::Name(name)) = Host::of(indicator) else {
            finding.detail = Some("no domain name".to_owned());
            return finding;
        };
        let nexus = |kind, country: &str, confidence| Nexus {
            kind,
            country: country.to_owned(),
            confidence,
            source: NAME.to_owned(),
        };
        if self.tld
            && let Some((country, confidence)) = tld::country_of(&name)
        {
            finding.nexus.push(nexus(NexusKind::Tld, country, confidence));
        }
        if let Some(gov) = self.government(&name) {
            finding.nexus.push(nexus(NexusKind::Gov, &gov.country, GOV));
            finding.gov = Some(gov.clone());
        }
        finding.status = if finding.nexus.is_empty() { Status::Miss } else { Status::Hit };
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sighting::IndicatorType;

    const LIST: &str = "\
# Ours.
suffix,country,class,source,checked
go.th,TH,central,registry,2026-08-19
police.go.th,TH,police,registry,2026-10-02
gov.sg,SG,central,registry,2026-08-19
desa.id,ID,local,registry,2026-08-19
gov.mm,MM,central,seen,2026-09-01
gov.th.example,TH,central,invented,2026-08-19
mil,US,military,registry,2026-08-19
รัฐบาล.ไทย,TH,central,registry,2026-08-19
";

    fn names(list: Option<&str>, tld: bool) -> Result<Names, LoadError> {
        let path = "gov.csv".to_owned();
        let settings = Settings {
            government: list.map(|_| Spanned::unplaced(path.clone())),
            tld,
            terms: super::super::test_terms(),
            reliability: reliability(),
        };
        settings.open(list.into_iter().map(|list| (path.clone(), list.as_bytes().to_vec())).collect())
    }

    #[track_caller]
    fn check(kind: IndicatorType, value: &str, expected: &str) {
        let names = names(Some(LIST), true).unwrap();
        let indicator = Indicator { kind, value: value.to_owned() };
        let finding = names.finding(&indicator, &Answers::new(), Timestamp(7));
        let mut shown = vec![format!("{:?}", finding.status)];
        shown.extend(finding.detail);
        shown.extend(finding.nexus.iter().map(|n| format!("{:?} {} {}", n.kind, n.country, n.confidence)));
        shown.extend(finding.gov.map(|gov| format!("{} {} {}", gov.suffix, gov.country, gov.class)));
        assert_eq!(shown.join("; "), expected, "{value}");
        assert!(finding.evidence.is_empty() && finding.network.is_empty());
    }

    #[test]
    fn suffixes_match_whole_labels_at_the_end() {
        use IndicatorType::{Domain, Ipv4, Sha256, Url};
        check(Domain, "www.moe.go.th", "Hit; Tld TH 70; Gov TH 95; go.th TH central");
        check(Domain, "go.th", "Hit; Tld TH 70; Gov TH 95; go.th TH central");
        check(Domain, "a.police.go.th", "Hit; Tld TH 70; Gov TH 95; police.go.th TH police");
        check(Domain, "notpolice.go.th", "Hit; Tld TH 70; Gov TH 95; go.th TH central");
        check(Domain, "xgo.th", "Hit; Tld TH 70");
        check(Domain, "go.th.evil.example", "Miss");
        check(Domain, "gov.sg.evil.com", "Miss");
        check(Domain, "www.gov-sg.com", "Miss");
        check(Domain, "go.it", "Hit; Tld IT 70");
        check(Domain, "moe.gov.mm", "Hit; Tld MM 70; Gov MM 95; gov.mm MM central");
        check(Domain, "kelurahan.desa.id", "Hit; Tld ID 70; Gov ID 95; desa.id ID local");
        check(Domain, "moe.gov.th.example", "Hit; Gov TH 95; gov.th.example TH central");
        check(Domain, "army.mil", "Hit; Gov US 95; mil US military");
        check(Domain, "a.xn--12cf5a5ao7f.xn--o3cw4h", "Hit; Tld TH 70");
        check(Url, "http://www.gov.sg:8080/x?y", "Hit; Tld SG 70; Gov SG 95; gov.sg SG central");
        check(Url, "tcp://WWW.gov.sg.:8080", "Hit; Tld SG 70; Gov SG 95; gov.sg SG central");
        check(Url, "http://192.0.2.7/gov.sg", "Skipped; no domain name");
        check(Ipv4, "192.0.2.7", "Skipped; no domain name");
        check(Sha256, &"0".repeat(64), "Skipped; no domain name");
    }

    #[test]
    fn international_suffixes_match_their_ascii_form() {
        let ascii = idna::domain_to_ascii("ก.รัฐบาล.ไทย").unwrap();
        check(
            IndicatorType::Domain,
            &ascii,
            &format!("Hit; Tld TH 70; Gov TH 95; {} TH central", idna::domain_to_ascii("รัฐบาล.ไทย").unwrap()),
        );
    }

    #[test]
    fn the_build_names_the_list_and_its_newest_day() {
        let both = names(Some(LIST), true).unwrap();
        assert_eq!(
            both.build(),
            format!("government {} 2026-10-02; tld {}", super::super::digest(LIST.as_bytes()), tld::CHECKED)
        );
        assert_ne!(
            both.build(),
            names(Some(&LIST.replace("moe", "moi").replace("seen", "told")), true).unwrap().build()
        );
        assert_eq!(names(None, true).unwrap().build(), format!("tld {}", tld::CHECKED));
        let list_only = names(Some(LIST), false).unwrap();
        let plain = Indicator { kind: IndicatorType::Domain, value: "x.th".to_owned() };
        assert_eq!(list_only.finding(&plain, &Answers::new(), Timestamp(7)).status, Status::Miss);
        assert_eq!(
            (both.loaded()[0].size, both.loaded()[0].built.unwrap().to_string().as_str()),
            (8, "2026-10-02T00:00:00Z")
        );
    }

    #[track_caller]
    fn check_bad(row: &str, expected: &str) {
        let list = format!("suffix,country,class,source,checked\ngo.th,TH,central,x,2026-08-19\n{row}\n");
        let error = names(Some(&list), true).err().expect("a list to be refused");
        assert_eq!((error.code, error.file.as_str()), ("names-list", "gov.csv"));
        assert_eq!(error.text, expected);
    }

    #[test]
    fn bad_lists_are_refused_at_their_line() {
        check_bad(
            "gov.sg,sg,central,x,2026-08-19",
            "line 3: `sg` is no country; write ISO 3166-1 alpha-2 such as TH",
        );
        check_bad(
            "gov.sg,EU,central,x,2026-08-19",
            "line 3: `EU` is no country; write ISO 3166-1 alpha-2 such as TH",
        );
        check_bad(
            "gov.sg,SG,state,x,2026-08-19",
            "line 3: `state` is no class; write one of central, local, military, police",
        );
        check_bad("gov.sg,SG,central,,2026-08-19", "line 3: no `source`; every row needs one");
        check_bad("gov.sg,SG,central,x,19.8.2026", "line 3: `19.8.2026` is no day; write it as 2026-11-02");
        check_bad("GO.TH,TH,central,x,2026-08-19", "line 3: `go.th` stands twice; keep one of the rows");
        check_bad(
            ".gov.sg,SG,central,x,2026-08-19",
            "line 3: `.gov.sg` is not written as a suffix; write whole labels only, such as go.th",
        );
        check_bad(
            "*.mm,MM,central,x,2026-08-19",
            "line 3: `*.mm` is not written as a suffix; write whole labels only, such as go.th",
        );
        check_bad(
            "gov..sg,SG,central,x,2026-08-19",
            "line 3: `gov..sg` is no domain name; write one such as go.th",
        );
        check_bad(
            "192.0.2.7,SG,central,x,2026-08-19",
            "line 3: `192.0.2.7` is no domain name; write one such as go.th",
        );
        check_bad(
            "gov.sg,SG,central",
            "line 3: 3 values where the header has 5; quote values that hold a comma",
        );
        let empty = names(Some("suffix,country,class,source,checked\n"), true).err().unwrap();
        assert_eq!(empty.text, "line 1: the list has no rows; add some or leave `government` out");
    }
}
