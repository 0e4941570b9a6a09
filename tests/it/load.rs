//! Generated raw records for the shipped pipeline: what its seven reporters would send, from a seed.
//!
//! Life-like in what is hard about it: a tenth of the indicators is in four fifths of the sightings,
//! reporters repeat themselves with and without ids, several speak of one indicator, and a few
//! records are broken. Each record says what it was made to say, which no stage has had a part in. It
//! knows no Kafka. Times are counted back from the `now` that it is given, so that nothing of it
//! depends on a clock.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sightline::sighting::Timestamp;

/// Ids of one reporter in one role that a dossier is sure to remember all of.
const IDS: u32 = 60;
/// How far back the oldest sighting lies, in seconds.
const AGE: i64 = 20 * 86_400;
/// One record in so many is broken.
const BROKEN: u32 = 40;
/// One record in so many was sent before, byte for byte.
const REPEATED: u32 = 12;

/// A record for a raw topic.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    /// Its topic, as the pipeline names it.
    pub(crate) topic: &'static str,
    /// Records of one feed keep their order, so they must go to one partition: this, modulo how many
    /// there are. A repeat is of the feed of the first: which of two records with one id counts is
    /// otherwise chance.
    pub(crate) feed: u32,
    /// The key, if any.
    pub(crate) key: Option<String>,
    /// The value; none is a tombstone, which no reporter should send.
    pub(crate) value: Option<Vec<u8>>,
    /// In order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// What it must give: these sightings, in order; none for a record that is broken, which must
    /// become a dead letter.
    pub(crate) claims: Vec<Claim>,
}

/// A sighting as it was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Type and canonical value, with a colon between.
    pub(crate) indicator: String,
    /// As Sightline calls it.
    pub(crate) role: String,
    /// Who says it.
    pub(crate) reporter: String,
    /// By which a reporter's own repeat is known, if any.
    pub(crate) id: Option<String>,
}

/// What is seen in the world, hottest first.
struct Indicator {
    text: String,
    /// Type and canonical value, with a colon between.
    key: String,
    is_address: bool,
    /// What most reporters see it as, and what some do.
    roles: [&'static str; 2],
}

/// Records without an end; the same for the same seed and `now`.
pub(crate) struct Generator {
    rng: Pcg64,
    now: Timestamp,
    world: Vec<Indicator>,
    next_id: u32,
    /// Ids given by reporter, indicator and role.
    given: BTreeMap<(&'static str, usize, &'static str), u32>,
    /// All so far, some of which come again.
    sent: Vec<Raw>,
}

/// The first `count` records; the same for the same seed and `now`.
pub(crate) fn records(seed: u64, count: usize, now: Timestamp) -> Vec<Raw> {
    Generator::new(seed, now).take(count).collect()
}

impl Iterator for Generator {
    type Item = Raw;

    fn next(&mut self) -> Option<Raw> {
        let record = if !self.sent.is_empty() && self.one_in(REPEATED) {
            let first = self.rng.random_range(0..self.sent.len());
            self.sent[first].clone()
        } else {
            self.fresh()
        };
        self.sent.push(record.clone());
        Some(record)
    }
}

/// From the ranges and names that are set aside for examples, and names under the domains of the
/// countries that have an agreement.
fn world() -> Vec<Indicator> {
    const ROLES: [[&str; 2]; 5] = [
        ["c2", "scanner"],
        ["malware-distribution", "c2"],
        ["phishing", "spam"],
        ["compromised-site", "phishing"],
        ["c2", "malware-distribution"],
    ];
    (0..700_usize)
        .map(|n| {
            let host = n / 7;
            let (text, kind) = match n % 7 {
                0 => (format!("198.51.100.{host}"), "ipv4"),
                1 => (format!("203.0.113.{host}"), "ipv4"),
                2 => (format!("2001:db8::{host:x}"), "ipv6"),
                3 => (format!("panel-{host}.example"), "domain"),
                4 => (format!("http://mirror-{host}.example/load/{n}.bin"), "url"),
                5 => {
                    let under = ["co.th", "com.my", "com.vn", "go.th", "gov.my"][n % 5];
                    (format!("n{host}.sightline-load.{under}"), "domain")
                }
                _ => (format!("{n:064x}"), "sha256"),
            };
            // One of them has a zero too many.
            let canonical = text.parse().map_or_else(|_| text.clone(), |ip: Ipv6Addr| ip.to_string());
            Indicator {
                key: format!("{kind}:{canonical}"),
                text,
                is_address: kind.starts_with("ip"),
                roles: ROLES[n % ROLES.len()],
            }
        })
        .collect()
}

impl Generator {
    pub(crate) fn new(seed: u64, now: Timestamp) -> Self {
        Self {
            rng: Pcg64::seed_from_u64(seed),
            now,
            world: world(),
            next_id: 0,
            given: BTreeMap::new(),
            sent: Vec::new(),
        }
    }

    fn claim(&self, indicator: usize, role: &str, reporter: &str, id: Option<String>) -> Claim {
        let indicator = self.world[indicator].key.clone();
        Claim { indicator, role: role.to_owned(), reporter: reporter.to_owned(), id }
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_range(0..n) == 0
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.rng.random_range(0..list.len())]
    }

    /// Four of five from the hottest tenth.
    fn pick(&mut self, fits: impl Fn(&Indicator) -> bool) -> usize {
        loop {
            let hot = self.rng.random_range(0..5) != 0;
            let most = if hot { self.world.len() / 10 } else { self.world.len() };
            let n = self.rng.random_range(0..most);
            if fits(&self.world[n]) {
                return n;
            }
        }
    }

    /// When it was seen: mostly lately, and to the second, as every format can say that.
    fn seen(&mut self) -> Timestamp {
        let most = if self.one_in(4) { AGE } else { 2 * 86_400 };
        let seconds = self.now.0 / 1000 - self.rng.random_range(1..most);
        Timestamp(seconds * 1000)
    }

    /// An id that was not given before; none where a dossier could not be sure to remember it.
    fn id(&mut self, reporter: &'static str, indicator: usize, role: &'static str) -> Option<String> {
        let given = self.given.entry((reporter, indicator, role)).or_default();
        if *given == IDS {
            return None;
        }
        *given += 1;
        self.next_id += 1;
        Some(format!("{reporter}-{}", self.next_id))
    }

    fn fresh(&mut self) -> Raw {
        let record = match self.rng.random_range(0..20) {
            0..11 => self.native(),
            11..14 => self.sinkhole(),
            14..18 => self.mail(),
            _ => self.honeypot(),
        };
        if self.one_in(BROKEN) { self.broken(record) } else { record }
    }

    fn raw(&mut self, topic: &'static str, value: Vec<u8>, claims: Vec<Claim>) -> Raw {
        let key = self.one_in(3).then(|| format!("batch-{}", self.next_id));
        let headers = if self.one_in(5) {
            vec![("trace".to_owned(), vec![0, 255, 7]), ("trace".to_owned(), b"again".to_vec())]
        } else {
            Vec::new()
        };
        Raw { topic, feed: self.rng.random_range(0..64), key, value: Some(value), headers, claims }
    }

    /// One sighting of the pipeline's own format, a list of them, or an object with a list.
    fn native(&mut self) -> Raw {
        let reporter = self.one_of(&["blackwater-labs", "larkspur", "meridian-dns", "northwind"]);
        let mut claims = Vec::new();
        let value = match self.rng.random_range(0..10) {
            0..6 => self.native_sighting(reporter, &mut claims),
            6..8 => {
                let n = self.rng.random_range(1..6);
                (0..n).map(|_| self.native_sighting(reporter, &mut claims)).collect()
            }
            _ => {
                let n = self.rng.random_range(2..4);
                let list: Vec<Value> = (0..n).map(|_| self.native_sighting(reporter, &mut claims)).collect();
                json!({ "sightings": list })
            }
        };
        self.raw("raw.native", value.to_string().into_bytes(), claims)
    }

    fn native_sighting(&mut self, reporter: &'static str, claims: &mut Vec<Claim>) -> Value {
        let indicator = self.pick(|_| true);
        let second = usize::from(self.one_in(6));
        let role = self.world[indicator].roles[second];
        let text = self.world[indicator].text.clone();
        let mut sighting = json!({
            "reporter": reporter,
            "indicator": if self.one_in(4) { defanged(&text) } else { text },
            "role": role,
            "observed_at": self.seen().to_string(),
        });
        let mut set = |name: &str, value: Value| sighting[name] = value;
        let id = if self.one_in(2) { self.id(reporter, indicator, role) } else { None };
        claims.push(self.claim(indicator, role, reporter, id.clone()));
        if let Some(id) = id {
            set("id", id.into());
        }
        if self.one_in(2) {
            set("malware", self.one_of(&["Emotet", "Mirai", "AsyncRAT", "Remcos", "Quakbot"]).into());
        }
        if self.one_in(2) {
            set("port", self.one_of(&[80, 443, 4443, 8080, 8443, 9001]).into());
            set("protocol", self.one_of(&["tcp", "tcp", "udp"]).into());
        }
        if self.one_in(2) {
            set("claimed_confidence", self.rng.random_range(30..=100).into());
        }
        if self.one_in(40) {
            set("tlp", self.one_of(&["GREEN", "AMBER", "AMBER+STRICT", "RED"]).into());
        }
        if self.one_in(20) {
            // One that forbids sharing is rare, as it forbids all of an indicator.
            let governs = self.one_in(40);
            set("tags", json!(["botnet", if governs { "no-export" } else { "campaign-x" }]));
        }
        if self.one_in(10) {
            set("victim", json!({ "country": self.one_of(&["TH", "MY", "VN", "SG"]) }));
        }
        sighting
    }

    fn sinkhole(&mut self) -> Raw {
        let mut claims = Vec::new();
        let n = self.rng.random_range(1..4);
        let hits: Vec<Value> = (0..n)
            .map(|_| {
                let indicator = self.pick(|indicator| indicator.is_address);
                let mut hit = json!({
                    "src": { "ip": self.world[indicator].text, "port": self.rng.random_range(1024..65536) },
                    "family": self.one_of(&["andromeda", "conficker", "mirai"]),
                    "ts": self.seen().0 / 1000,
                });
                if self.one_in(2) {
                    hit["src"]["cc"] = self.one_of(&["TH", "MY", "VN"]).into();
                }
                let (reporter, role) = ("quarrystone", "infected-client");
                let uid = self.id(reporter, indicator, role);
                claims.push(self.claim(indicator, role, reporter, uid.clone()));
                if let Some(uid) = uid {
                    hit["uid"] = uid.into();
                }
                hit
            })
            .collect();
        self.raw("raw.sinkhole", json!({ "hits": hits }).to_string().into_bytes(), claims)
    }

    fn mail(&mut self) -> Raw {
        let indicator = self.pick(|indicator| !indicator.is_address && indicator.text.contains('.'));
        let is_page = self.world[indicator].roles[0] == "phishing";
        let (verdict, role) =
            if is_page { ("credential-page", "phishing") } else { ("dropper", "malware-distribution") };
        let mut message = json!({
            "link": defanged(&self.world[indicator].text),
            "seen": self.seen().to_string(),
            "score": self.rng.random_range(0..=100),
            "verdict": verdict,
            "labels": ["bulk", self.one_of(&["invoice", "parcel", "payroll"])],
        });
        let id = self.id("saltmarsh", indicator, verdict);
        let claim = self.claim(indicator, role, "saltmarsh", id.clone());
        if let Some(id) = id {
            message["message"] = json!({ "ref": id });
        }
        self.raw("raw.mail", message.to_string().into_bytes(), vec![claim])
    }

    /// A file with a header line and a row a sighting; the honeypots give no ids.
    fn honeypot(&mut self) -> Raw {
        let mut file = "# tidewatch\nlast_seen,source,dport,proto,activity,sample\n".to_owned();
        let mut claims = Vec::new();
        for _ in 0..self.rng.random_range(1..8) {
            let indicator = self.pick(|indicator| indicator.is_address);
            let seen = self.seen().to_string().replace('T', " ").replace('Z', "");
            let (activity, role) = self.one_of(&[
                ("login", "brute-force"),
                ("probe", "scanner"),
                ("probe", "scanner"),
                ("payload", "malware-distribution"),
                ("c2-beacon", "c2"),
            ]);
            claims.push(self.claim(indicator, role, "tidewatch", None));
            let port = self.one_of(&[22, 23, 80, 445, 2323]);
            let sample = self.one_of(&["", "", "mirai", "gafgyt"]);
            file += &format!("{seen},{},{port},tcp,{activity},{sample}\n", self.world[indicator].text);
        }
        self.raw("raw.honeypot", file.into_bytes(), claims)
    }

    /// What goes wrong: cut off in the middle, no text at all, nothing, an unknown key, an indicator
    /// that is none.
    fn broken(&mut self, mut record: Raw) -> Raw {
        let value = record.value.take().unwrap_or_default();
        record.claims.clear();
        // A file is cut off in its header: further down it might be cut at the end of a row.
        let cut = if record.topic == "raw.honeypot" { 30 } else { value.len() / 3 };
        record.value = match self.rng.random_range(0..6) {
            0 => Some(value[..cut].to_vec()),
            1 => Some([&value[..], &[0xff, 0xfe]].concat()),
            2 => Some(Vec::new()),
            3 => None,
            4 => Some(br#"{"hits": 7, "link": [], "surprise": true}"#.to_vec()),
            _ => Some(
                json!({ "indicator": "not an indicator", "role": "c2", "link": "not a link", "verdict": "dropper" })
                    .to_string()
                    .into_bytes(),
            ),
        };
        record
    }
}

/// As people write it, so that nobody follows it by mistake.
fn defanged(text: &str) -> String {
    text.replace("http://", "hxxp://").replacen('.', "[.]", 1)
}

#[test]
fn the_same_seed_gives_the_same_records_of_every_kind() {
    let now = Timestamp(1_793_880_000_000);
    let (one, two) = (records(7, 2_000, now), records(7, 2_000, now));
    assert_eq!(format!("{one:?}"), format!("{two:?}"));
    assert_ne!(format!("{one:?}"), format!("{:?}", records(8, 2_000, now)));
    for topic in ["raw.native", "raw.sinkhole", "raw.mail", "raw.honeypot"] {
        assert!(one.iter().filter(|record| record.topic == topic).count() > 100, "{topic}");
    }
    assert!(one.iter().any(|record| record.value.is_none()));
    assert!(one.iter().any(|record| record.claims.is_empty()));
}
