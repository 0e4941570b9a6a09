//! A real Kafka for tests, on loopback: one broker process for the whole test binary, and others for
//! tests that want one of their own: secured, with somebody between it and its clients, or three.
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
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sightline::stream::kafka::admin::{self, TopicSpec};

/// A broker, or a cluster of them.
#[derive(Debug)]
pub(crate) struct Broker {
    bootstrap: String,
    nodes: Vec<Node>,
    /// Where it listens for each of those who are between it and its clients.
    behind: Vec<SocketAddr>,
}

/// One process.
#[derive(Debug)]
struct Node {
    /// `host:port`.
    address: String,
    /// `host:port` for TLS and SCRAM.
    secured: String,
    home: PathBuf,
    /// The shell that ends the broker; its standard input is the pipe.
    keeper: Mutex<Child>,
}

/// What is launched.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    /// How many, each with a copy of everything.
    nodes: usize,
    /// With a listener for TLS and SCRAM.
    secured: bool,
    /// Clients that come to the n-th further listener are sent to this address from then on.
    between: &'a [SocketAddr],
    /// Lines of its configuration.
    properties: &'a str,
    /// Options of its machine.
    jvm: &'a str,
}

/// Small, and soon there: what tests want.
const SMALL: &str = "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1";

const ONE: Wanted<'_> = Wanted { nodes: 1, secured: false, between: &[], properties: "", jvm: SMALL };

/// Who may use the secured listener.
pub(crate) const USER: &str = "sightline";
/// By which password.
pub(crate) const PASSWORD: &str = "correct horse";
/// Of the broker's own key.
const STORE_PASSWORD: &str = "of-the-store";

/// How long a broker may take until it takes transactions; a busy machine is slow.
const READY: Duration = Duration::from_secs(120);

static BROKER: OnceLock<Broker> = OnceLock::new();
static NAMES: AtomicU32 = AtomicU32::new(0);

impl Broker {
    /// The broker of this test binary, started if this is the first call; it takes connections and
    /// transactions.
    pub(crate) fn start() -> &'static Self {
        Self::start_with(SMALL)
    }

    /// The same with these options of the JVM, which count in the first call.
    pub(crate) fn start_with(jvm: &str) -> &'static Self {
        BROKER.get_or_init(|| Self::launch(&Wanted { jvm, ..ONE }))
    }

    /// A broker that only the caller has, and that ends with the value. Clients that come to the port
    /// that [`Self::port_for`] gives for the n-th of `between` are sent to that address from then on.
    /// `properties` are lines of its configuration.
    pub(crate) fn behind(between: &[SocketAddr], properties: &str) -> Self {
        Self::launch(&Wanted { between, properties, ..ONE })
    }

    /// Where it listens for the n-th of those between.
    pub(crate) fn port_for(&self, n: usize) -> SocketAddr {
        self.behind[n]
    }

    /// A cluster of three, each of whose topics should be on all of them.
    ///
    /// One broker alone will not do for a restart: Kafka 4.3.0 that is killed between the decision of a
    /// transaction and its last marker, and is alone, takes the transaction for complete when it is
    /// back, and the partitions without a marker stay closed to readers for ever.
    pub(crate) fn three() -> Self {
        Self::launch(&Wanted { nodes: 3, ..ONE })
    }

    /// A broker with a second listener that wants TLS and SCRAM-SHA-512 of [`USER`].
    pub(crate) fn secured() -> Self {
        Self::launch(&Wanted { secured: true, ..ONE })
    }

    fn launch(wanted: &Wanted<'_>) -> Self {
        let libs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.cache/kafka");
        assert!(
            libs.join("ready").exists(),
            "there is no Kafka in {}: run tests/fetch-kafka",
            libs.display()
        );
        // Between choosing ports and binding them somebody else may take them.
        (0..3).find_map(|_| launch(&libs, wanted)).expect("Kafka didn't start three times; see above")
    }

    /// Kills one of the brokers as a power cut would, and starts it again on what it had written;
    /// returns once it takes connections and the cluster transactions.
    pub(crate) fn restart(&self, node: usize) {
        let node = &self.nodes[node];
        let mut keeper = node.keeper.lock().unwrap();
        keeper.stdin.as_mut().unwrap().write_all(b"again\n").unwrap();
        let until = now() + READY;
        while std::net::TcpStream::connect(&node.address).is_ok() {
            assert!(now() < until, "the broker wasn't killed");
        }
        assert!(
            is_ready(&node.address, &self.bootstrap, &mut keeper),
            "it didn't come back:\n{}",
            node.said()
        );
    }

    /// `host:port` of the secured listener.
    pub(crate) fn secured_bootstrap(&self) -> &str {
        &self.nodes[0].secured
    }

    /// The certificate that the secured listener shows, for clients to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.nodes[0].home.join("certificate.pem")
    }

    /// Where its topics lie.
    #[allow(dead_code, reason = "the bench looks how large they are")]
    pub(crate) fn log(&self) -> PathBuf {
        self.nodes[0].home.join("log")
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

/// Makes a key and its certificate for a listener with TLS and SCRAM; the listener's properties, and
/// the user that it knows.
fn secure(home: &Path) -> (String, String) {
    let keytool = |words: &[&str]| {
        let tool = java().with_file_name("keytool");
        let done = Command::new(tool).args(words).current_dir(home).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    };
    let store =
        ["-alias", "broker", "-keystore", "broker.p12", "-storetype", "PKCS12", "-storepass", STORE_PASSWORD];
    let made = ["-genkeypair", "-keyalg", "RSA", "-dname", "CN=broker", "-ext", "SAN=ip:127.0.0.1"];
    keytool(&[&made[..], &store].concat());
    keytool(&[&["-exportcert", "-rfc", "-file", "certificate.pem"][..], &store].concat());
    let properties = format!(
        "sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         ssl.keystore.type=PKCS12\n\
         ssl.keystore.location={}\n\
         ssl.keystore.password={STORE_PASSWORD}\n",
        home.join("broker.p12").display()
    );
    (properties, format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]"))
}

fn launch(libs: &Path, wanted: &Wanted<'_>) -> Option<Broker> {
    let count = wanted.nodes;
    let ports: Vec<(u16, u16)> = (0..count).map(|_| (free_port(), free_port())).collect();
    let behind: Vec<SocketAddr> =
        wanted.between.iter().map(|_| SocketAddr::from(([127, 0, 0, 1], free_port()))).collect();
    let nodes: Vec<Node> = (0..count).map(|number| start(libs, wanted, number, &ports, &behind)).collect();
    let addresses: Vec<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
    let bootstrap = addresses.join(",");
    let is_up = |node: &Node| is_ready(&node.address, &bootstrap, &mut node.keeper.lock().unwrap());
    if nodes.iter().all(is_up) {
        return Some(Broker { bootstrap, nodes, behind });
    }
    for node in nodes {
        say(&format!("Kafka didn't start on {}:\n{}", node.address, node.said()));
        let mut keeper = node.keeper.lock().unwrap();
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
        if node.home.exists() {
            fs::remove_dir_all(&node.home).unwrap();
        }
    }
    None
}

/// Starts the node of this number; `ports` are those of all nodes, for clients and for each other, and
/// `behind` where it listens for those between.
fn start(
    libs: &Path,
    wanted: &Wanted<'_>,
    number: usize,
    ports: &[(u16, u16)],
    behind: &[SocketAddr],
) -> Node {
    // The shell removes it when the broker is gone.
    let home = tempfile::Builder::new().prefix("sightline-kafka-").tempdir().unwrap().keep();
    let (port, controller) = ports[number];
    let secure_port = free_port();
    let mut listeners = format!("PLAINTEXT://127.0.0.1:{port}");
    let (mut more, mut scram) = (String::new(), String::new());
    if wanted.secured {
        listeners += &format!(",SASL_SSL://127.0.0.1:{secure_port}");
        (more, scram) = secure(&home);
    }
    more += wanted.properties;
    let (mut advertised, mut protocols) = (listeners.clone(), String::new());
    for (n, (own, other)) in behind.iter().zip(wanted.between).enumerate() {
        listeners += &format!(",BEHIND{n}://{own}");
        advertised += &format!(",BEHIND{n}://{other}");
        protocols += &format!(",BEHIND{n}:PLAINTEXT");
    }
    let voters: Vec<String> =
        ports.iter().enumerate().map(|(n, (_, port))| format!("{}@127.0.0.1:{port}", n + 1)).collect();
    let (copies, in_sync) = (ports.len(), ports.len().div_ceil(2));
    let properties = home.join("server.properties");
    let mut file = fs::File::create(&properties).unwrap();
    file.write_all(
        format!(
            "process.roles=broker,controller\n\
             node.id={}\n\
             controller.quorum.voters={}\n\
             listeners={listeners},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={advertised}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL{protocols}\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             auto.create.topics.enable=false\n\
             default.replication.factor={copies}\n\
             min.insync.replicas={in_sync}\n\
             offsets.topic.replication.factor={copies}\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor={copies}\n\
             transaction.state.log.min.isr={in_sync}\n\
             transaction.state.log.num.partitions=4\n\
             group.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=500\n\
             num.network.threads=2\n\
             num.io.threads=4\n\
             {more}",
            number + 1,
            voters.join(","),
            home.join("log").display()
        )
        .as_bytes(),
    )
    .unwrap();
    let log = fs::File::create(home.join("out.txt")).unwrap();
    // $1 the folder, $2 java, $3 the class path, $4 who may use the secured listener, $5 options of the
    // machine. KILL, for nothing in it is worth a slow farewell. A line on the pipe kills it and starts it
    // again.
    let script = r#"
        # An interrupt at the terminal reaches us too; the pipe tells soon enough.
        trap '' INT TERM HUP
        home=$1 java=$2 cp=$3
        jvm="$5 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        "$java" $jvm -cp "$cp" kafka.tools.StorageTool format -t aW5kaWNhdG9yc2FyZWhlcg \
            -c "$home/server.properties" ${4:+--add-scram "$4"} || exit 1
        while :; do
            "$java" $jvm -cp "$cp" kafka.Kafka "$home/server.properties" &
            broker=$!
            read -r _ && again=yes || again=no
            kill -9 $broker
            wait $broker
            [ $again = yes ] || break
        done
        rm -rf "$home"
    "#;
    let keeper = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(&home)
        .arg(java())
        .arg(libs.join("*"))
        .arg(scram)
        .arg(wanted.jvm)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    Node {
        address: format!("127.0.0.1:{port}"),
        secured: format!("127.0.0.1:{secure_port}"),
        home,
        keeper: Mutex::new(keeper),
    }
}

impl Node {
    /// What it printed.
    fn said(&self) -> String {
        fs::read_to_string(self.home.join("out.txt")).unwrap_or_default()
    }
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

/// Whether the node is there in time, and its cluster takes transactions: that comes last, after
/// connections and groups.
fn is_ready(address: &str, bootstrap: &str, keeper: &mut Child) -> bool {
    let until = now() + READY;
    while now() < until {
        if keeper.try_wait().unwrap().is_some() {
            return false;
        }
        // A refused connection is quick; asking librdkafka meanwhile would only make it back off.
        if std::net::TcpStream::connect(address).is_err() {
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
