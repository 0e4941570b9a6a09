//! A real Kafka for tests: one broker process for the whole test binary, on loopback, and others for
//! tests that want one of their own.
//!
//! Its jars come from `tests/fetch-kafka`. It ends with the test binary, however that ends: a shell
//! beside it waits for the end of a pipe that only the test binary holds.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sightline::stream::kafka::admin::{self, TopicSpec};

/// A broker.
#[derive(Debug)]
pub(crate) struct Broker {
    bootstrap: String,
    /// Where it listens for each of those who are between it and its clients.
    behind: Vec<SocketAddr>,
    /// The shell that ends the broker; its standard input is the pipe.
    _keeper: Child,
}

/// How long a broker may take until it takes transactions; a busy machine is slow.
const READY: Duration = Duration::from_secs(120);

static BROKER: OnceLock<Broker> = OnceLock::new();
static NAMES: AtomicU32 = AtomicU32::new(0);

impl Broker {
    /// The broker of this test binary, started if this is the first call; it takes connections and transactions.
    pub(crate) fn start() -> &'static Self {
        BROKER.get_or_init(|| Self::behind(&[], ""))
    }

    /// A broker of its own, which ends with the value. Clients that come to the port that
    /// [`Self::port_for`] gives for the n-th of `between` are sent to that address from then on.
    /// `properties` are lines of its configuration.
    pub(crate) fn behind(between: &[SocketAddr], properties: &str) -> Self {
        let libs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache/kafka");
        assert!(
            libs.join("ready").exists(),
            "there is no Kafka in {}: run tests/fetch-kafka",
            libs.display()
        );
        // Between choosing ports and binding them somebody else may take them.
        (0..3)
            .find_map(|_| launch(&libs, between, properties))
            .expect("Kafka didn't start three times; see above")
    }

    /// Where it listens for the n-th of those between.
    pub(crate) fn port_for(&self, n: usize) -> SocketAddr {
        self.behind[n]
    }

    /// `host:port`.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The properties of a client.
    pub(crate) fn client(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("bootstrap.servers".to_owned(), self.bootstrap.clone())])
    }

    /// A name that no other test has.
    pub(crate) fn fresh_name(&self, stem: &str) -> String {
        format!("{stem}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
    }

    /// A new topic with a name that no other test has.
    pub(crate) fn fresh_topic(&self, stem: &str, partitions: i32, configs: &[(&str, &str)]) -> Arc<str> {
        let name = self.fresh_name(stem);
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let spec = TopicSpec { name: name.clone(), partitions, replication: 1, configs };
        admin::create_topics(&self.client(), &[spec]).unwrap();
        name.into()
    }

    /// Writes records without a transaction, and waits until they are there.
    pub(crate) fn produce(&self, topic: &str, partition: i32, records: &[(&str, &str)]) {
        let producer: BaseProducer = self.config().set("acks", "all").create().unwrap();
        for (key, value) in records {
            producer.send(BaseRecord::to(topic).partition(partition).key(*key).payload(*value)).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// The values of a partition that a `read_committed` reader is given. A commit is answered before
    /// its markers are written, so this waits until no transaction is open there.
    pub(crate) fn read_committed(&self, topic: &str, partition: i32) -> Vec<String> {
        let reader = |isolation| -> BaseConsumer {
            self.config()
                .set("group.id", "reader")
                .set("isolation.level", isolation)
                .set("enable.auto.commit", "false")
                .set("enable.partition.eof", "true")
                .create()
                .unwrap()
        };
        let (consumer, uncommitted) = (reader("read_committed"), reader("read_uncommitted"));
        let end = |consumer: &BaseConsumer| {
            consumer.fetch_watermarks(topic, partition, Duration::from_secs(30)).unwrap().1
        };
        let until = now() + Duration::from_secs(30);
        while end(&consumer) < end(&uncommitted) {
            assert!(now() < until, "a transaction stays open in {topic}/{partition}");
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut values = Vec::new();
        loop {
            match consumer.poll(Duration::from_secs(30)).expect("the end is reached within 30 s") {
                Ok(record) => {
                    values.push(String::from_utf8(record.payload().unwrap_or_default().to_vec()).unwrap());
                }
                Err(KafkaError::PartitionEOF(_)) => return values,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn java() -> PathBuf {
    std::env::var_os("JAVA_HOME").map_or_else(|| "java".into(), |home| Path::new(&home).join("bin/java"))
}

fn launch(libs: &Path, between: &[SocketAddr], properties: &str) -> Option<Broker> {
    // The shell removes it when the broker is gone.
    let home = tempfile::Builder::new().prefix("sightline-kafka-").tempdir().unwrap().keep();
    let (port, controller) = (free_port(), free_port());
    let behind: Vec<SocketAddr> =
        between.iter().map(|_| SocketAddr::from(([127, 0, 0, 1], free_port()))).collect();
    let each = |of: &dyn Fn(usize) -> String| (0..between.len()).map(of).collect::<String>();
    let (listeners, advertised, protocols) = (
        each(&|n| format!(",BEHIND{n}://{}", behind[n])),
        each(&|n| format!(",BEHIND{n}://{}", between[n])),
        each(&|n| format!(",BEHIND{n}:PLAINTEXT")),
    );
    let mut file = fs::File::create(home.join("server.properties")).unwrap();
    file.write_all(
        format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             default.replication.factor=1\n\
             min.insync.replicas=1\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=4\n\
             group.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=500\n\
             num.network.threads=2\n\
             num.io.threads=4\n\
             {properties}\n",
            home.join("log").display()
        )
        .as_bytes(),
    )
    .unwrap();
    let log = fs::File::create(home.join("out.txt")).unwrap();
    // $1 the folder, $2 java, $3 the class path. KILL, for nothing in it is worth a slow farewell.
    let script = r#"
        # An interrupt at the terminal reaches us too; the pipe tells soon enough.
        trap '' INT TERM HUP
        home=$1 java=$2 cp=$3
        jvm="-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        "$java" $jvm -cp "$cp" kafka.tools.StorageTool format -t aW5kaWNhdG9yc2FyZWhlcg \
            -c "$home/server.properties" || exit 1
        "$java" $jvm -cp "$cp" kafka.Kafka "$home/server.properties" &
        broker=$!
        read -r _
        kill -9 $broker
        wait $broker
        rm -rf "$home"
    "#;
    let mut keeper = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&home)
        .arg(java())
        .arg(libs.join("*"))
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let broker = format!("127.0.0.1:{port}");
    if is_ready(&broker, &mut keeper) {
        return Some(Broker { bootstrap: broker, behind, _keeper: keeper });
    }
    let said = fs::read_to_string(home.join("out.txt")).unwrap_or_default();
    say(&format!("Kafka didn't start on {broker}:\n{said}"));
    drop(keeper.stdin.take());
    keeper.wait().unwrap();
    if home.exists() {
        fs::remove_dir_all(&home).unwrap();
    }
    None
}

#[expect(clippy::print_stderr, reason = "without it nobody learns why the broker didn't start")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// The clock of waits in tests.
#[expect(clippy::disallowed_methods, reason = "waiting for another process takes a real clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Whether the broker takes transactions in time: that comes last, after connections and groups.
fn is_ready(bootstrap: &str, keeper: &mut Child) -> bool {
    let until = now() + READY;
    while now() < until {
        if keeper.try_wait().unwrap().is_some() {
            return false;
        }
        // A refused connection is quick; asking librdkafka meanwhile would only make it back off.
        if std::net::TcpStream::connect(bootstrap).is_err() {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("transactional.id", "is-the-broker-ready")
            .create()
            .unwrap();
        if producer.init_transactions(Duration::from_secs(10)).is_ok() {
            return true;
        }
    }
    false
}
