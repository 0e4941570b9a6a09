//! Generated raw records for the shipped pipeline: what its seven reporters would send, from a seed.
//!
//! Life-like in what is hard about it: a tenth of the indicators is in four fifths of the sightings,
//! reporters repeat themselves with and without ids, several speak of one indicator, and a few
//! records are broken. It knows no Kafka, and says nothing of what should come of a record. Times
//! are counted back from the `now` that it is given, so that nothing of it depends on a clock.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
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
}

/// What is seen in the world, hottest first.
struct Indicator {
    text: String,
    is_address: bool,
    /// What most reporters see it as, and what some do.
    roles: [&'static str; 2],
}

struct Generator {
    rng: Pcg64,
    now: Timestamp,
    world: Vec<Indicator>,
    next_id: u32,
    /// Ids given by reporter, indicator and role.
    given: BTreeMap<(&'static str, usize, &'static str), u32>,
}

/// `count` records; the same for the same seed, count and `now`.
pub(crate) fn records(seed: u64, count: usize, now: Timestamp) -> Vec<Raw> {
    let mut generator = Generator {
        rng: Pcg64::seed_from_u64(seed),
        now,
        world: world(),
        next_id: 0,
        given: BTreeMap::new(),
    };
    let mut records: Vec<Raw> = Vec::with_capacity(count);
    while records.len() < count {
        let record = if !records.is_empty() && generator.one_in(REPEATED) {
            let first = generator.rng.random_range(0..records.len());
            records[first].clone()
        } else {
            generator.fresh()
        };
        records.push(record);
    }
    records
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
            let (text, is_address) = match n % 7 {
                0 => (format!("198.51.100.{host}"), true),
                1 => (format!("203.0.113.{host}"), true),
                2 => (format!("2001:db8::{host:x}"), true),
                3 => (format!("panel-{host}.example"), false),
                4 => (format!("http://mirror-{host}.example/load/{n}.bin"), false),
                5 => {
                    let under = ["co.th", "com.my", "com.vn", "go.th", "gov.my"][n % 5];
                    (format!("n{host}.sightline-load.{under}"), false)
                }
                _ => (format!("{n:064x}"), false),
            };
            Indicator { text, is_address, roles: ROLES[n % ROLES.len()] }
        })
        .collect()
}

impl Generator {
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

    fn raw(&mut self, topic: &'static str, value: Vec<u8>) -> Raw {
        let key = self.one_in(3).then(|| format!("batch-{}", self.next_id));
        let headers = if self.one_in(5) {
            vec![("trace".to_owned(), vec![0, 255, 7]), ("trace".to_owned(), b"again".to_vec())]
        } else {
            Vec::new()
        };
        Raw { topic, feed: self.rng.random_range(0..64), key, value: Some(value), headers }
    }

    /// One sighting of the pipeline's own format, a list of them, or an object with a list.
    fn native(&mut self) -> Raw {
        let reporter = self.one_of(&["blackwater-labs", "larkspur", "meridian-dns", "northwind"]);
        let value = match self.rng.random_range(0..10) {
            0..6 => self.native_sighting(reporter),
            6..8 => {
                let n = self.rng.random_range(1..6);
                (0..n).map(|_| self.native_sighting(reporter)).collect()
            }
            _ => {
                let n = self.rng.random_range(2..4);
                json!({ "sightings": (0..n).map(|_| self.native_sighting(reporter)).collect::<Vec<_>>() })
            }
        };
        self.raw("raw.native", value.to_string().into_bytes())
    }

    fn native_sighting(&mut self, reporter: &'static str) -> Value {
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
        if self.one_in(2)
            && let Some(id) = self.id(reporter, indicator, role)
        {
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
                if let Some(uid) = self.id("quarrystone", indicator, "infected-client") {
                    hit["uid"] = uid.into();
                }
                hit
            })
            .collect();
        self.raw("raw.sinkhole", json!({ "hits": hits }).to_string().into_bytes())
    }

    fn mail(&mut self) -> Raw {
        let indicator = self.pick(|indicator| !indicator.is_address && indicator.text.contains('.'));
        let role = self.world[indicator].roles[0];
        let verdict = if role == "phishing" { "credential-page" } else { "dropper" };
        let mut message = json!({
            "link": defanged(&self.world[indicator].text),
            "seen": self.seen().to_string(),
            "score": self.rng.random_range(0..=100),
            "verdict": verdict,
            "labels": ["bulk", self.one_of(&["invoice", "parcel", "payroll"])],
        });
        if let Some(id) = self.id("saltmarsh", indicator, verdict) {
            message["message"] = json!({ "ref": id });
        }
        self.raw("raw.mail", message.to_string().into_bytes())
    }

    /// A file with a header line and a row a sighting; the honeypots give no ids.
    fn honeypot(&mut self) -> Raw {
        let mut file = "# tidewatch\nlast_seen,source,dport,proto,activity,sample\n".to_owned();
        for _ in 0..self.rng.random_range(1..8) {
            let indicator = self.pick(|indicator| indicator.is_address);
            let seen = self.seen().to_string().replace('T', " ").replace('Z', "");
            let activity = self.one_of(&["login", "probe", "probe", "payload", "c2-beacon"]);
            let port = self.one_of(&[22, 23, 80, 445, 2323]);
            let sample = self.one_of(&["", "", "mirai", "gafgyt"]);
            file += &format!("{seen},{},{port},tcp,{activity},{sample}\n", self.world[indicator].text);
        }
        self.raw("raw.honeypot", file.into_bytes())
    }

    /// What goes wrong: cut off in the middle, no text at all, nothing, an unknown key, an indicator
    /// that is none.
    fn broken(&mut self, mut record: Raw) -> Raw {
        let value = record.value.take().unwrap_or_default();
        record.value = match self.rng.random_range(0..6) {
            0 => Some(value[..value.len() / 3].to_vec()),
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
}
