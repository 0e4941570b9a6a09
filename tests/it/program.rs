//! The program itself, run in a folder of its own with the shipped pipelines in it, and sightings of
//! invented reporters to feed it with. What the program should do with them is for the tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use sightline::sighting::Timestamp;
use tempfile::TempDir;

/// The time that everything works at, unless a test says otherwise.
pub(crate) const NOW: &str = "2026-11-20T12:00:00Z";

/// The topic of the police hub, which may know of every reporter.
pub(crate) const HUB: &str = "out.hub.v1";
/// The topic of the vendor, which may know of some reporters only.
pub(crate) const VENDOR: &str = "out.northwind.v1";

/// A folder with the shipped pipelines in it.
pub(crate) struct World {
    folder: TempDir,
}

/// How a run of the program ended.
pub(crate) struct Ran {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

/// One line of `enrich`'s output.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    /// As it stands, without its end.
    pub(crate) text: String,
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    /// None for a tombstone.
    pub(crate) value: Option<Vec<u8>>,
}

impl World {
    /// The shipped pipeline, but for one thing: what `blackwater-labs` gives is GREEN, so that there are
    /// two origins that the vendor may know of and is not told its own words.
    pub(crate) fn new() -> Self {
        let world = Self::shipped();
        world.edit(|pipeline| {
            let terms = terms_of(pipeline, "blackwater-labs");
            terms.insert("tlp".to_owned(), "GREEN".into());
            terms.insert("pap".to_owned(), "GREEN".into());
        });
        world
    }

    /// The shipped pipeline as it is.
    pub(crate) fn shipped() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines"), world.folder.path());
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the pipeline file.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut toml::Table)) {
        let path = self.path("asean.toml");
        let mut table: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut table);
        std::fs::write(path, toml::to_string(&table).unwrap()).unwrap();
    }

    /// Runs the program in the folder.
    pub(crate) fn run(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sightline"))
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("it was asked for");
        let output = std::thread::scope(|scope| {
            // A program that does not read all of it closes its end; what it said then is the result.
            scope.spawn(move || drop(stdin.write_all(input)));
            child.wait_with_output().expect("the program ends")
        });
        Ran {
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).expect("errors are UTF-8"),
            code: output.status.code().expect("no signal ended it"),
        }
    }

    /// Runs `enrich` over these records, a record a line, and reads what it wrote.
    #[track_caller]
    pub(crate) fn enrich(&self, topic: &str, records: &[String]) -> Vec<Line> {
        let mut input = records.join("\n");
        input.push('\n');
        self.enrich_bytes(&["--topic", topic], input.as_bytes())
    }

    /// Runs `enrich` with these arguments over these bytes.
    #[track_caller]
    pub(crate) fn enrich_bytes(&self, args: &[&str], input: &[u8]) -> Vec<Line> {
        let args = [&["enrich", "--pipeline", "asean.toml", "--now", NOW], args].concat();
        let ran = self.run(&args, input);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        lines(&ran.stdout)
    }
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("what is printed is UTF-8")
    }
}

impl Line {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// The value as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.value.as_deref().expect("no tombstone")).expect("JSON")
    }
}

/// Reads what `enrich` wrote. The value's bytes are those between the quotes of the line itself, so
/// that no reader of JSON stands between.
pub(crate) fn lines(bytes: &[u8]) -> Vec<Line> {
    std::str::from_utf8(bytes).expect("lines are UTF-8").lines().map(line).collect()
}

fn line(text: &str) -> Line {
    let parsed: Value = serde_json::from_str(text).expect("a line is JSON");
    let value = match &parsed["value_base64"] {
        Value::String(encoded) => Some(STANDARD.decode(encoded).expect("base64")),
        _ => {
            let (_, value) = text.split_once("],\"value\":").expect("a line has a value");
            let value = value.strip_suffix('}').expect("a line is an object");
            (value != "null").then(|| value.as_bytes().to_vec())
        }
    };
    let headers = parsed["headers"].as_array().expect("a list").iter();
    Line {
        text: text.to_owned(),
        topic: parsed["topic"].as_str().expect("a text").to_owned(),
        key: parsed["key"].as_str().map(str::to_owned),
        headers: headers
            .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned()))
            .collect(),
        value,
    }
}

/// The lines of one topic.
pub(crate) fn of_topic<'l>(lines: &'l [Line], topic: &str) -> Vec<&'l Line> {
    lines.iter().filter(|line| line.topic == topic).collect()
}

/// The terms of a reporter in a pipeline file.
pub(crate) fn terms_of<'t>(pipeline: &'t mut toml::Table, reporter: &str) -> &'t mut toml::Table {
    let reporters = pipeline["reporter"].as_array_mut().unwrap().iter_mut();
    let named = |one: &&mut toml::Value| one["name"].as_str() == Some(reporter);
    let reporter = { reporters }.find(named).expect("the reporter is there");
    reporter.get_mut("terms").unwrap().as_table_mut().unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The four reporters of `raw.native`.
pub(crate) const REPORTERS: [&str; 4] = ["blackwater-labs", "larkspur", "meridian-dns", "northwind"];

/// So many sightings in our own format, from a seed: four reporters about the same few indicators, in
/// several roles, with ports, malware and times of the last week.
pub(crate) fn sightings(seed: u64, n: usize, indicators: usize) -> Vec<Value> {
    let mut random = Pcg64::seed_from_u64(seed);
    let now: Timestamp = NOW.parse().unwrap();
    let mut pick = |most: usize| random.random_range(0..most);
    (0..n)
        .map(|number| {
            let reporter = REPORTERS[pick(REPORTERS.len())];
            let of = pick(indicators);
            let indicator = match of % 3 {
                0 => format!("198.51.100.{}", 30 + of % 200),
                1 => format!("host{of}.orchard.example"),
                _ => format!("hxxp://host{of}[.]orchard[.]example:8080/gate?id={of}"),
            };
            let ago = 3_600_000 + i64::try_from(pick(3 * 86_400_000)).unwrap();
            let mut sighting = json!({
                "indicator": indicator,
                "role": if pick(4) == 0 { "malware-distribution" } else { "c2" },
                "observed_at": now.plus(-ago).to_string(),
                "reporter": reporter,
                "id": format!("{reporter}-{number}"),
                "claimed_confidence": 85 + pick(16),
            });
            if pick(3) > 0 {
                sighting["malware"] = ["orchid", "marten", "basalt"][pick(3)].into();
            }
            // A port that the URL does not name would be refused.
            if of % 3 != 2 && pick(3) > 0 {
                sighting["port"] = [443, 4443, 8443, 9001][pick(4)].into();
                sighting["protocol"] = "tcp".into();
            }
            sighting
        })
        .collect()
}

/// As records.
pub(crate) fn written(sightings: &[Value]) -> Vec<String> {
    sightings.iter().map(Value::to_string).collect()
}

/// Mixes a list, the same for the same seed.
pub(crate) fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut random = Pcg64::seed_from_u64(seed);
    for place in (1..list.len()).rev() {
        list.swap(place, random.random_range(0..=place));
    }
}
