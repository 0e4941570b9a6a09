//! The topics that a pipeline uses, and how each has to be set up.
//!
//! A raw topic is made by those who write to it, and only described here.

use std::sync::Arc;

use super::{Checked, rooms};
use crate::sighting::time::{DAY, HOUR};

/// Bytes that a dead letter may be larger than its raw record: the headers that say why.
pub const DEAD_LETTER_HEADERS: u32 = 16 * 1024;

/// The `max.message.bytes` of topics of ours; a dossier, the largest record there, stays below a
/// quarter of it, but a batch of librdkafka comes near.
pub(super) const USUAL_MESSAGE_BYTES: u32 = 1024 * 1024;

/// The names of our own topics, with the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Normalised sightings, keyed by indicator.
    pub sightings: Arc<str>,
    /// Records that could not be processed.
    pub dead_letters: Arc<str>,
    /// Every scored lead, keyed by indicator.
    pub leads: Arc<str>,
    /// The state of assess.
    pub dossiers: Arc<str>,
    /// What may go out, keyed by agreement.
    pub disclosures: Arc<str>,
    /// Who was given what, chained, keyed by agreement.
    pub ledger: Arc<str>,
    /// What deliver copies to audience topics.
    pub outbox: Arc<str>,
    /// The state of release.
    pub releases: Arc<str>,
}

impl Topics {
    /// The names with this prefix.
    pub fn new(prefix: &str) -> Self {
        let name = |word: &str| Arc::from(format!("{prefix}{word}"));
        Self {
            sightings: name("sightings"),
            dead_letters: name("dead-letters"),
            leads: name("leads"),
            dossiers: name("dossiers"),
            disclosures: name("disclosures"),
            ledger: name("ledger"),
            outbox: name("outbox"),
            releases: name("releases"),
        }
    }

    /// All of them, in the order of the stream.
    pub fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        [
            &self.sightings,
            &self.dead_letters,
            &self.leads,
            &self.dossiers,
            &self.disclosures,
            &self.ledger,
            &self.outbox,
            &self.releases,
        ]
        .into_iter()
    }
}

/// What becomes of old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Deleted after a time.
    Delete,
    /// The last of each key is kept.
    Compact,
    /// The last of each key is kept, for a time.
    CompactDelete,
}

/// How a topic has to be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name in full.
    pub name: Arc<str>,
    /// Whether we make it; a raw topic is made by those who write to it.
    pub is_ours: bool,
    /// How many partitions; none where it is not ours to say.
    pub partitions: Option<i32>,
    /// On how many brokers each is.
    pub replication: i16,
    /// What becomes of old records.
    pub cleanup: Cleanup,
    /// Milliseconds that a record is kept; -1 for ever.
    pub retention_ms: i64,
    /// The largest batch that it takes.
    pub max_message_bytes: u32,
    /// More topic settings by Kafka's names.
    pub more: Vec<(&'static str, String)>,
    /// What it is, in one sentence.
    pub note: &'static str,
}

impl TopicSpec {
    /// All topic settings by Kafka's names, in a fixed order.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let cleanup = match self.cleanup {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
            Cleanup::CompactDelete => "compact,delete",
        };
        let in_sync = (self.replication - 1).clamp(1, 2);
        let mut settings = vec![
            ("cleanup.policy", cleanup.to_owned()),
            ("retention.ms", self.retention_ms.to_string()),
            ("max.message.bytes", self.max_message_bytes.to_string()),
            ("min.insync.replicas", in_sync.to_string()),
            // A replica that lacks committed records must never lead: exactly-once ends there.
            ("unclean.leader.election.enable", "false".to_owned()),
        ];
        settings.extend(self.more.iter().cloned());
        settings
    }
}

/// Every topic of a pipeline, in the order of the stream.
///
/// `dossiers` and `leads` have as many partitions as `sightings`; `ledger`, `outbox` and `releases` as
/// many as `disclosures`, because state and leads go to the input's partition by number.
pub fn topics(checked: &Checked) -> Vec<TopicSpec> {
    let kafka = &checked.kafka;
    let names = &checked.topics;
    let spec = |name: &Arc<str>, partitions, cleanup, retention_ms, note| TopicSpec {
        name: name.clone(),
        is_ours: true,
        partitions: Some(partitions),
        replication: kafka.replication,
        cleanup,
        retention_ms,
        max_message_bytes: USUAL_MESSAGE_BYTES,
        more: Vec::new(),
        note,
    };
    let state = |name, partitions, note| TopicSpec {
        more: vec![
            // Only closed segments are compacted, and a restore reads what is not.
            ("segment.ms", (4 * HOUR).to_string()),
            ("min.cleanable.dirty.ratio", "0.2".to_owned()),
            // A view on disk older than half of this is rebuilt, as it may have missed a tombstone.
            ("delete.retention.ms", (7 * DAY).to_string()),
        ],
        ..spec(name, partitions, Cleanup::Compact, -1, note)
    };
    let mut topics: Vec<TopicSpec> = checked
        .intakes
        .iter()
        .map(|intake| TopicSpec {
            is_ours: false,
            partitions: None,
            max_message_bytes: kafka.largest_record,
            ..spec(
                &intake.topic,
                1,
                Cleanup::Delete,
                7 * DAY,
                "raw records: made by those who write to it; it must take none larger than `largest_record`",
            )
        })
        .collect();
    let dead = "records that could not be processed, whole, with the reason";
    topics.extend([
        TopicSpec {
            max_message_bytes: kafka.largest_written,
            ..spec(
                &names.sightings,
                kafka.sightings,
                Cleanup::Delete,
                7 * DAY,
                "normalised sightings, keyed by indicator",
            )
        },
        TopicSpec {
            max_message_bytes: kafka.largest_written,
            ..spec(&names.dead_letters, kafka.dead_letters, Cleanup::Delete, 30 * DAY, dead)
        },
        TopicSpec {
            // Every version can be read for a day, the last of each lead as long as its dossier can
            // live, and longer by a margin: a lead is written again with each sighting that counts.
            more: vec![("min.compaction.lag.ms", DAY.to_string()), ("segment.ms", DAY.to_string())],
            ..spec(
                &names.leads,
                kafka.sightings,
                Cleanup::CompactDelete,
                checked.expire.longest() + 30 * DAY,
                "every scored lead, keyed by indicator and role",
            )
        },
        state(&names.dossiers, kafka.sightings, "the state of assess: never set it to delete"),
        spec(
            &names.disclosures,
            kafka.disclosures,
            Cleanup::Delete,
            7 * DAY,
            "what may go out, keyed by agreement",
        ),
        TopicSpec {
            more: vec![("retention.bytes", "-1".to_owned())],
            ..spec(
                &names.ledger,
                kafka.disclosures,
                Cleanup::Delete,
                -1,
                "who was given what, chained: kept for ever and never compacted",
            )
        },
        spec(
            &names.outbox,
            kafka.disclosures,
            Cleanup::Delete,
            72 * HOUR,
            "what deliver copies: keep it for longer than deliver may be down",
        ),
        state(&names.releases, kafka.disclosures, "the state of release: never set it to delete"),
    ]);
    topics.extend(checked.agreements.iter().map(|agreement| {
        let topic: Arc<str> = rooms::audience(agreement).topic.into();
        spec(
            &topic,
            kafka.audiences,
            Cleanup::Delete,
            14 * DAY,
            "an audience's: one agreement writes it, one party reads it",
        )
    }));
    topics
}
