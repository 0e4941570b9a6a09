//! The demonstration's operation: which servers and sites there are, and who reports what of them.
//!
//! Invented from a seed, the same for the same seed on every machine. Every server is one of a few
//! cases, each far from every threshold of the pipeline's model and agreements, so that who must be
//! told of it can be said without scoring it. How a report is written as a record is in `records`.

use std::collections::BTreeSet;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

use super::geography::{ADDRESSES, COUNTRIES, address, address6};
use crate::sighting::Timestamp;
use crate::sighting::time::SECOND;

/// The time at which the demonstration takes place: 2026-11-20T12:00:00Z.
pub(super) const NOW: Timestamp = Timestamp(1_795_176_000_000);

/// The server that is shown in full: many report it, and it is on the analysts' list.
pub(super) const SHOWN: &str = "198.51.100.7";

/// The reporters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reporter {
    Blackwater,
    Larkspur,
    Meridian,
    Northwind,
    Quarrystone,
    Saltmarsh,
    Tidewatch,
}

/// One reporter's report of one indicator.
#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) reporter: Reporter,
    /// An address, a name or a URL.
    pub(super) indicator: String,
    /// As in the records of the native form.
    pub(super) role: &'static str,
    pub(super) at: Timestamp,
    pub(super) confidence: Option<u8>,
    /// Marked TLP:AMBER in the record.
    pub(super) amber: bool,
    pub(super) malware: Option<&'static str>,
    pub(super) port: Option<u16>,
    /// Of a victim.
    pub(super) country: Option<&'static str>,
}

/// What was planned.
#[derive(Debug)]
pub(super) struct Operation {
    /// Distinct C2 servers.
    pub(super) servers: usize,
    /// Distinct compromised websites.
    pub(super) sites: usize,
    /// Those of them that are governments'.
    pub(super) portals: usize,
    /// In order of time.
    pub(super) reports: Vec<Report>,
    /// For what is drawn when the reports are written.
    pub(super) rng: Pcg64,
}

/// What is known of a C2 server, and so who must be told.
#[derive(Debug, Clone, Copy)]
enum Case {
    /// Two independent reporters, sure and fresh, whom everybody may know of: hub, national unit and vendor.
    Open,
    /// As sure, but from reporters that the vendor may not know of, or from the vendor itself.
    Closed,
    /// One sure reporter that is for the police only, and one of middling confidence for all.
    Half,
    /// One reporter alone, for the police only: enough for a national unit, too little for the hub.
    Alone,
    /// One report of little confidence: too little for anybody.
    Weak,
    /// Sure once, weeks ago.
    Old,
    /// Sure, but seen last longer ago than the national agreements allow.
    Aged,
}

/// In percent.
const CASES: [(Case, u32); 7] = [
    (Case::Open, 40),
    (Case::Closed, 20),
    (Case::Half, 8),
    (Case::Alone, 8),
    (Case::Weak, 14),
    (Case::Old, 6),
    (Case::Aged, 4),
];

/// How much of the operation is in each country, in percent, in the order of [`COUNTRIES`].
const SHARES: [u32; 8] = [20, 15, 17, 13, 12, 9, 8, 6];

const FAMILIES: [&str; 6] = ["durianbot", "jadelotus", "monsoonrat", "orchidloader", "pangolin", "sunbear"];
const PORTS: [u16; 6] = [443, 2222, 4444, 8080, 8443, 50050];
const AGENCIES: [&str; 12] = [
    "census",
    "courts",
    "customs",
    "fisheries",
    "health",
    "land",
    "parks",
    "ports",
    "roads",
    "schools",
    "tax",
    "water",
];

const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;
/// Minutes ago, from and to.
type Ago = (i64, i64);
const FRESH: Ago = (10, 36 * HOUR);
const TODAY: Ago = (10, 6 * HOUR);
const WEEKS: Ago = (16 * DAY, 17 * DAY);
const MONTHS: Ago = (40 * DAY, 60 * DAY);

/// Invents the operation.
pub(super) fn plan(seed: u64) -> Operation {
    let mut planner = Planner { rng: Pcg64::seed_from_u64(seed), used: BTreeSet::new(), reports: Vec::new() };
    let servers = planner.servers();
    let (sites, portals) = planner.sites();
    planner.campaigns();
    planner.clients();
    planner.noise();
    let Planner { rng, mut reports, .. } = planner;
    // Stable, so that reports of one time stay in the order in which they were invented.
    reports.sort_by_key(|report| report.at);
    Operation { servers, sites, portals, reports, rng }
}

struct Planner {
    rng: Pcg64,
    /// Addresses that are somebody's already.
    used: BTreeSet<String>,
    reports: Vec<Report>,
}

/// What several reports have in common.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    indicator: &'a str,
    role: &'static str,
    malware: Option<&'static str>,
    ports: [Option<u16>; 2],
    ago: Ago,
}

impl Planner {
    fn percent(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    fn weighed<T: Copy>(&mut self, of: &[(T, u32)]) -> T {
        let mut at = self.rng.random_range(0..of.iter().map(|(_, weight)| weight).sum::<u32>());
        for &(one, weight) in of {
            if at < weight {
                return one;
            }
            at -= weight;
        }
        unreachable!("it is less than the sum of all weights")
    }

    fn country(&mut self) -> usize {
        let of: Vec<(usize, u32)> = SHARES.into_iter().enumerate().collect();
        self.weighed(&of)
    }

    /// An address of a country that is nobody's yet.
    fn address(&mut self, country: usize) -> String {
        loop {
            let at = self.rng.random_range(1..ADDRESSES);
            let address = if self.percent(4) {
                address6(country, at).to_string()
            } else {
                address(country, at).to_string()
            };
            if self.used.insert(address.clone()) {
                return address;
            }
        }
    }

    fn address4(&mut self, country: usize) -> String {
        loop {
            let address = address(country, self.rng.random_range(1..ADDRESSES)).to_string();
            if self.used.insert(address.clone()) {
                return address;
            }
        }
    }

    fn ago(&mut self, (from, to): Ago) -> Timestamp {
        let minutes = self.rng.random_range(from..to);
        NOW.plus(-(minutes * 60 + self.rng.random_range(0..60)) * SECOND)
    }

    fn sure(&mut self) -> Option<u8> {
        Some(self.rng.random_range(90..=100))
    }

    /// A reporter sees it, and sometimes again.
    fn report(&mut self, reporter: Reporter, of: Subject<'_>, confidence: Option<u8>, amber: bool) {
        let times = if self.percent(15) { 2 } else { 1 };
        for _ in 0..times {
            let report = Report {
                reporter,
                indicator: of.indicator.to_owned(),
                role: of.role,
                at: self.ago(of.ago),
                confidence,
                amber,
                malware: of.malware,
                port: self.one(&of.ports),
                country: None,
            };
            self.reports.push(report);
        }
    }

    fn servers(&mut self) -> usize {
        let n = 8_700 + self.rng.random_range(0..200);
        for n in 0..n {
            let case = self.weighed(&CASES);
            // A name has no country of its own, so only a clear case says who must learn of it.
            let indicator = if matches!(case, Case::Open) && self.percent(4) {
                format!("node-{n:04}.{}.example", self.one(&FAMILIES))
            } else {
                let country = self.country();
                self.address(country)
            };
            self.server(&indicator, case);
        }
        // Those that the analysts' list knows too.
        for known in ["198.51.100.23", "203.0.113.66", "panel.orchid.example"] {
            self.server(known, Case::Open);
        }
        let of = self.subject("198.51.100.7", "c2", FRESH);
        debug_assert_eq!(of.indicator, SHOWN);
        for reporter in [
            Reporter::Blackwater,
            Reporter::Larkspur,
            Reporter::Meridian,
            Reporter::Northwind,
            Reporter::Tidewatch,
        ] {
            let confidence = (reporter != Reporter::Tidewatch).then_some(95);
            self.report(reporter, of, confidence, false);
            self.report(reporter, of, confidence, false);
        }
        // A mistake: a public resolver, which the analysts' list knows to be harmless.
        let of = self.subject("192.0.2.53", "c2", FRESH);
        self.report(Reporter::Meridian, of, Some(70), false);
        self.report(Reporter::Tidewatch, of, None, false);
        n + 5
    }

    fn subject<'a>(&mut self, indicator: &'a str, role: &'static str, ago: Ago) -> Subject<'a> {
        let malware = Some(self.one(&FAMILIES));
        let ports = [Some(self.one(&PORTS)), Some(self.one(&PORTS))];
        Subject { indicator, role, malware, ports, ago }
    }

    fn server(&mut self, indicator: &str, case: Case) {
        use Reporter::{Blackwater, Larkspur, Meridian, Northwind, Tidewatch};
        let ago = match case {
            Case::Old => MONTHS,
            Case::Aged => WEEKS,
            _ => FRESH,
        };
        let of = self.subject(indicator, "c2", ago);
        match case {
            Case::Open => {
                for reporter in [Blackwater, Meridian] {
                    let sure = self.sure();
                    self.report(reporter, of, sure, false);
                }
                for (reporter, percent) in [(Larkspur, 30), (Northwind, 25)] {
                    if self.percent(percent) {
                        let sure = self.sure();
                        self.report(reporter, of, sure, false);
                    }
                }
                if self.percent(40) {
                    self.report(Tidewatch, of, None, false);
                }
            }
            Case::Closed => {
                let sure = self.sure();
                self.report(Larkspur, of, sure, false);
                let others: &[Reporter] = match self.rng.random_range(0..3) {
                    0 => &[Blackwater],
                    1 => &[Northwind],
                    _ => &[Blackwater, Northwind],
                };
                for &other in others {
                    let sure = self.sure();
                    self.report(other, of, sure, other == Blackwater);
                }
            }
            Case::Half => {
                let sure = self.sure();
                self.report(Larkspur, of, sure, false);
                let other = self.one(&[Blackwater, Meridian]);
                self.report(other, of, Some(60), false);
            }
            Case::Alone => self.report(Larkspur, of, Some(70), false),
            Case::Weak => match self.rng.random_range(0..3) {
                0 => self.report(Tidewatch, of, None, false),
                1 => self.report(Meridian, of, Some(10), false),
                _ => self.report(Northwind, of, Some(10), false),
            },
            Case::Old => {
                for reporter in [Larkspur, Blackwater, Northwind] {
                    self.report(reporter, of, Some(95), reporter == Blackwater);
                }
            }
            Case::Aged => {
                for reporter in [Larkspur, Blackwater, Meridian, Northwind] {
                    self.report(reporter, of, Some(95), reporter == Blackwater);
                }
            }
        }
    }

    /// Reports of a site or file by the mail filter, and by others when it is `sure`.
    fn seen_in_mail(&mut self, of: Subject<'_>, others: [Reporter; 2], sure: bool) {
        let of = Subject { ports: [None; 2], ..of };
        if !sure {
            self.report(Reporter::Saltmarsh, of, Some(20), false);
            return;
        }
        for reporter in [Reporter::Saltmarsh, others[0], others[1]] {
            let confidence = self.sure();
            self.report(reporter, of, confidence, false);
        }
    }

    /// Compromised websites: how many, and how many of governments.
    fn sites(&mut self) -> (usize, usize) {
        let n = 262 + self.rng.random_range(0..16);
        let mut portals = 0;
        for n in 0..n {
            let is_portal = n % 3 == 0;
            let country = self.country();
            let weeks_old = is_portal && self.percent(15);
            let indicator = match n % 3 {
                0 => {
                    portals += 1;
                    let agency = self.one(&AGENCIES);
                    let name = format!("{agency}-{n:03}.{}", COUNTRIES[country].government);
                    if weeks_old || self.percent(40) {
                        name
                    } else {
                        format!("https://{name}/wp-content/plugins/form/upload.php")
                    }
                }
                1 => format!("http://{}/shop/login.php?session={n}", self.address4(country)),
                _ => format!("https://shop-{n:03}.example/images/gate.php"),
            };
            let of = self.subject(&indicator, "compromised-site", if weeks_old { WEEKS } else { FRESH });
            let of = Subject { malware: None, ..of };
            let sure = weeks_old || self.percent(85);
            self.seen_in_mail(of, [Reporter::Larkspur, Reporter::Meridian], sure);
        }
        (n, portals)
    }

    /// Phishing and files with malware, on names that belong to no country.
    fn campaigns(&mut self) {
        let others = [Reporter::Blackwater, Reporter::Meridian];
        let mut pages: Vec<String> =
            (0..180).map(|n| format!("https://signin-{n:03}.bank.example/verify?customer={n}")).collect();
        pages.push("https://login.bank-of-coral.example/verify".to_owned());
        for (n, page) in pages.iter().enumerate() {
            let of = self.subject(page, "phishing", TODAY);
            self.seen_in_mail(Subject { malware: None, ..of }, others, n % 4 != 0);
        }
        let mut files: Vec<String> =
            (0..60).map(|n| format!("http://files-{n:02}.example/invoice-{n}.iso")).collect();
        files.push("http://update-cdn.example/setup.exe".to_owned());
        files.push("http://192.0.2.200/setup.exe".to_owned());
        for file in &files {
            let of = self.subject(file, "malware-distribution", FRESH);
            self.seen_in_mail(of, others, true);
        }
        // Another mistake: a mirror that the analysts' list knows.
        let of = self.subject("mirror.distribution.example", "malware-distribution", FRESH);
        self.report(Reporter::Saltmarsh, Subject { ports: [None; 2], ..of }, Some(90), false);
    }

    /// Infected computers that called a sinkhole.
    fn clients(&mut self) {
        for _ in 0..1_400 {
            let country = self.country();
            let client = self.address4(country);
            let of = self.subject(&client, "infected-client", (10, 12 * HOUR));
            let first = self.reports.len();
            self.report(Reporter::Quarrystone, of, None, false);
            for report in &mut self.reports[first..] {
                report.country = Some(COUNTRIES[country].code);
                report.port = Some(self.rng.random_range(1_024..=65_535));
            }
        }
    }

    /// What honeypots see all day, part of it from servers of the operation.
    fn noise(&mut self) {
        for n in 0..700 {
            let source = if n % 10 == 0 {
                let at = self.rng.random_range(0..self.reports.len());
                let seen = &self.reports[at];
                if seen.role == "c2" && seen.indicator.parse::<std::net::IpAddr>().is_ok() {
                    seen.indicator.clone()
                } else {
                    continue;
                }
            } else {
                let country = self.country();
                self.address4(country)
            };
            let (role, port) = self.one(&[("scanner", 23), ("scanner", 8291), ("brute-force", 22)]);
            let of = self.subject(&source, role, FRESH);
            let of = Subject { malware: None, ports: [Some(port); 2], ..of };
            self.report(Reporter::Tidewatch, of, None, false);
        }
    }
}
