//! The settings of a lane's clients, and the librdkafka properties that they become.
//!
//! Properties that exactly-once rests on are ours: setting one is refused by name rather than
//! overruled in silence. Everything else passes through untouched and overrules our defaults.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;

use crate::config::REFUSED;
use crate::stream::log::LogError;

/// What a lane needs to know of its Kafka.
#[derive(Debug, Clone)]
pub struct KafkaSettings {
    /// librdkafka properties of every client, as the pipeline file gives them:
    /// `bootstrap.servers`, TLS, SASL and whatever else is to be overruled.
    pub client: BTreeMap<String, String>,
    /// Properties of the group consumer and the view reader alone.
    pub consumer: BTreeMap<String, String>,
    /// Properties of the producer alone.
    pub producer: BTreeMap<String, String>,
    /// The consumer group.
    pub group: String,
    /// Unique among live lanes, and the same after a restart: so the successor of a killed lane
    /// ends its transaction at once instead of waiting for the timeout.
    pub transactional_id: String,
    /// What the group reads.
    pub inputs: Vec<Arc<str>>,
    /// What the lane writes and restores from. These must exist before anything is read: a
    /// producer that names a missing topic would create it with a number of partitions that
    /// nobody chose.
    pub outputs: Vec<Arc<str>>,
    /// Static membership: a lane that is back within the session timeout causes no rebalance.
    pub instance_id: Option<String>,
    /// How long a transaction may be open. A reader of our topics waits at most this long for a
    /// lane that died.
    pub transaction_timeout: Duration,
    /// The largest record that is written, in bytes: the producer's `message.max.bytes`.
    pub largest_written: u32,
    /// How long a look-up (metadata, offsets, watermarks) may take before it is
    /// [`LogError::Retry`].
    pub call_timeout: Duration,
    /// How often librdkafka reports its statistics, from which lag is known; zero for never.
    pub statistics_interval: Duration,
}

impl KafkaSettings {
    /// Settings with the defaults: 20 s a transaction, 10 s a look-up, statistics every 5 s.
    pub fn new(
        client: BTreeMap<String, String>,
        group: impl Into<String>,
        transactional_id: impl Into<String>,
        inputs: Vec<Arc<str>>,
    ) -> Self {
        Self {
            client,
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
            group: group.into(),
            transactional_id: transactional_id.into(),
            inputs,
            outputs: Vec::new(),
            instance_id: None,
            transaction_timeout: Duration::from_secs(20),
            largest_written: 1_048_576,
            call_timeout: Duration::from_secs(10),
            statistics_interval: Duration::from_secs(5),
        }
    }

    /// `bootstrap.servers`, for messages.
    pub(super) fn servers(&self) -> &str {
        servers(&self.client)
    }

    /// Refuses what Sightline sets itself.
    pub(super) fn check(&self) -> Result<(), LogError> {
        let parts = [
            ("kafka.client", &self.client),
            ("kafka.consumer", &self.consumer),
            ("kafka.producer", &self.producer),
        ];
        for (part, properties) in parts {
            if let Some((key, why)) =
                REFUSED.iter().find(|(key, _)| properties.keys().any(|given| given == key))
            {
                return Err(LogError::Fatal(format!("{part} sets `{key}`: remove it, {why}")));
            }
        }
        if !self.client.contains_key("bootstrap.servers") {
            return Err(LogError::Fatal(
                "kafka.client has no `bootstrap.servers`: name at least one broker as host:port".to_owned(),
            ));
        }
        Ok(())
    }

    /// The group consumer's properties.
    pub fn group_consumer(&self) -> ClientConfig {
        let mut config = self.reader("");
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("statistics.interval.ms", millis(self.statistics_interval));
        if let Some(instance) = &self.instance_id {
            config.set("group.instance.id", instance);
        }
        config
    }

    /// The view reader's properties: it is assigned its partitions and never joins the group,
    /// whose name it bears so that it needs no permission of its own.
    pub(super) fn view_reader(&self) -> ClientConfig {
        let mut config = self.reader("-view");
        config
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.wait.max.ms", "20");
        config
    }

    fn reader(&self, suffix: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Defaults, for anybody to overrule.
        config
            .set("client.id", format!("{}{suffix}", self.transactional_id))
            .set("max.poll.interval.ms", "120000")
            // A lane that died holds its partitions for this long; heartbeats do not wait for batches.
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "2000")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.min.messages", "50000")
            .set("queued.max.messages.kbytes", "65536")
            .set("check.crcs", "true")
            .set("socket.keepalive.enable", "true");
        apply(&mut config, &self.client);
        apply(&mut config, &self.consumer);
        config
            .set("group.id", &self.group)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// The properties of the client that asks for metadata and for ends. A `read_committed` client
    /// is told the last stable offset as the end of a partition, as `ListOffsets` carries the
    /// client's isolation level (librdkafka 2.12.1, `rd_kafka_ListOffsetsRequest`); so this one
    /// is `read_uncommitted`.
    pub(super) fn metadata(&self) -> ClientConfig {
        let mut config = metadata(&self.client);
        config.set("client.id", format!("{}-metadata", self.transactional_id));
        apply(&mut config, &self.client);
        config.set("isolation.level", "read_uncommitted").set("allow.auto.create.topics", "false");
        config
    }

    /// The producer's properties.
    pub fn transactional_producer(&self) -> ClientConfig {
        let transaction = self.transaction_timeout.max(Duration::from_secs(1));
        // A message must fail before its transaction does, or the outcome of both is unknown.
        let message = (transaction / 2).min(Duration::from_secs(10));
        let mut config = ClientConfig::new();
        config
            .set("client.id", &self.transactional_id)
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "262144")
            .set("message.timeout.ms", millis(message))
            .set("socket.keepalive.enable", "true");
        apply(&mut config, &self.client);
        apply(&mut config, &self.producer);
        config
            .set("transactional.id", &self.transactional_id)
            .set("message.max.bytes", self.largest_written.to_string())
            .set("transaction.timeout.ms", millis(transaction))
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random");
        config
    }
}

fn apply(config: &mut ClientConfig, properties: &BTreeMap<String, String>) {
    for (key, value) in properties {
        config.set(key, value);
    }
}

/// A client of `properties` that only asks.
pub(super) fn metadata(properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    apply(&mut config, properties);
    config
}

/// `bootstrap.servers` of `properties`, for messages.
pub(super) fn servers(properties: &BTreeMap<String, String>) -> &str {
    properties.get("bootstrap.servers").map_or("(no bootstrap.servers)", String::as_str)
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(client: &[(&str, &str)]) -> KafkaSettings {
        let client = client.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        KafkaSettings::new(client, "leads", "leads-assess-0", vec!["raw.a".into()])
    }

    #[track_caller]
    fn check(client: &[(&str, &str)], expected: Option<&str>) {
        let found = settings(client).check().err().map(|error| error.to_string());
        assert_eq!(found.as_deref(), expected);
    }

    #[test]
    fn what_is_ours_is_refused_by_name() {
        check(&[("bootstrap.servers", "a:1"), ("linger.ms", "20")], None);
        check(
            &[("bootstrap.servers", "a:1"), ("isolation.level", "read_uncommitted")],
            Some(
                "kafka.client sets `isolation.level`: remove it, records of aborted transactions must not be read",
            ),
        );
        check(
            &[("linger.ms", "20")],
            Some("kafka.client has no `bootstrap.servers`: name at least one broker as host:port"),
        );
        for (key, _) in REFUSED {
            assert!(settings(&[("bootstrap.servers", "a:1"), (key, "x")]).check().is_err(), "{key}");
        }
    }

    #[test]
    fn what_the_user_sets_overrules_the_defaults_and_nothing_else() {
        let settings = settings(&[("bootstrap.servers", "a:1"), ("linger.ms", "20")]);
        let producer = settings.transactional_producer();
        assert_eq!(producer.get("linger.ms"), Some("20"));
        assert_eq!(producer.get("compression.type"), Some("lz4"));
        assert_eq!(producer.get("transactional.id"), Some("leads-assess-0"));
        assert_eq!(settings.group_consumer().get("isolation.level"), Some("read_committed"));
        assert_eq!(settings.metadata().get("isolation.level"), Some("read_uncommitted"));
        assert_eq!(settings.metadata().get("group.id"), None);
    }

    #[test]
    fn a_message_times_out_before_its_transaction() {
        for seconds in [1, 2, 15, 60] {
            let mut settings = settings(&[("bootstrap.servers", "a:1")]);
            settings.transaction_timeout = Duration::from_secs(seconds);
            let producer = settings.transactional_producer();
            let of = |key| producer.get(key).unwrap().parse::<u64>().unwrap();
            assert!(of("message.timeout.ms") < of("transaction.timeout.ms"), "{seconds}");
        }
    }
}
