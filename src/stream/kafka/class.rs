//! What must be done about an error of librdkafka.
//!
//! The order of the tests is librdkafka's contract for transactional calls: fatal, then abortable,
//! then retriable; an error with none of the three flags is fatal. On top of it stands what a
//! person has to do: a missing permission is said by its name, whatever flag it bears.

use rdkafka::error::{KafkaError, RDKafkaError, RDKafkaErrorCode as Code};

use crate::stream::log::LogError;

/// What a transactional call said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) fatal: bool,
    pub(super) abortable: bool,
    pub(super) retriable: bool,
    pub(super) text: String,
}

impl From<&RDKafkaError> for Refusal {
    fn from(error: &RDKafkaError) -> Self {
        Self {
            code: error.code(),
            fatal: error.is_fatal(),
            abortable: error.txn_requires_abort(),
            retriable: error.is_retriable(),
            text: error.string(),
        }
    }
}

/// What to do, and whether the producer can still be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) error: LogError,
    /// The producer must be thrown away: librdkafka knows no KIP-890, so what it sent before a
    /// time-out may still arrive, and would be taken for a part of the next transaction.
    pub(super) rebuild: bool,
}

/// Whom messages about permissions name.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) group: String,
    pub(super) transactional_id: String,
}

/// Classifies the error of the transactional call `call`.
pub(super) fn transaction(call: &str, refusal: &Refusal, names: &Names) -> Verdict {
    let text = format!("{call}: {}", refusal.text);
    if let Some(error) = permission(refusal.code, &text, names) {
        return Verdict { error, rebuild: false };
    }
    if refusal.fatal {
        return match refusal.code {
            code if is_fenced(code) => {
                Verdict { error: LogError::Fenced(fenced(&text, names)), rebuild: false }
            }
            // The broker no longer knows this producer: it expired, or lost what it had written.
            // A new producer of the same id is all it takes.
            Code::InvalidProducerIdMapping
            | Code::UnknownProducerId
            | Code::InvalidTransactionalState
            | Code::OutOfOrderSequenceNumber => Verdict { error: LogError::Abort(text), rebuild: true },
            _ => Verdict { error: LogError::Fatal(text), rebuild: true },
        };
    }
    if refusal.abortable {
        return Verdict { error: LogError::Abort(text), rebuild: false };
    }
    if refusal.retriable {
        return Verdict { error: LogError::Retry(text), rebuild: true };
    }
    // INTRODUCTION.md of librdkafka: what has no flag is to be treated as fatal.
    Verdict { error: LogError::Fatal(text), rebuild: true }
}

/// Classifies a failure to hand a record of `bytes` for `topic` to the producer.
pub(super) fn production(code: Code, topic: &str, partition: i32, bytes: usize) -> LogError {
    match code {
        Code::MessageSizeTooLarge => LogError::Abort(format!(
            "a record of {bytes} bytes for topic `{topic}` is larger than the producer's `message.max.bytes`: raise it \
             in kafka.client and `max.message.bytes` of the topic, `sightline check` says to what"
        )),
        Code::UnknownPartition => LogError::Fatal(format!(
            "topic `{topic}` has no partition {partition}: its number of partitions isn't what it was at the start"
        )),
        Code::UnknownTopic | Code::UnknownTopicOrPartition => LogError::Fatal(missing(topic)),
        Code::TopicAuthorizationFailed => LogError::Fatal(topic_permission("WRITE", topic)),
        code => LogError::Abort(format!("cannot write to topic `{topic}`: {code}")),
    }
}

/// Classifies an error that polling gave; none for what librdkafka mends by itself.
pub(super) fn consumption(error: &KafkaError, names: &Names) -> Option<LogError> {
    let code = error.rdkafka_error_code();
    if let Some(error) = code.and_then(|code| permission(code, &error.to_string(), names)) {
        return Some(error);
    }
    match (error, code) {
        (KafkaError::MessageConsumptionFatal(_), Some(code)) if is_fenced(code) => {
            Some(LogError::Fenced(fenced(&error.to_string(), names)))
        }
        (KafkaError::MessageConsumptionFatal(_), _) => Some(LogError::Fatal(error.to_string())),
        (
            _,
            Some(
                // The connection is made again without us.
                Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::TimedOutQueue
                | Code::SSL
                | Code::Authentication
                | Code::BrokerNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::NetworkException
                // The group is joined again, and the loss is told as such.
                | Code::PollExceeded
                | Code::RebalanceInProgress
                | Code::UnknownMemberId
                | Code::IllegalGeneration
                | Code::PartitionEOF,
            ),
        ) => None,
        _ => Some(LogError::Retry(error.to_string())),
    }
}

/// Classifies the failure of a look-up: metadata, offsets, watermarks, seeks.
pub(super) fn lookup(what: &str, code: Option<Code>, error: &KafkaError, names: &Names) -> LogError {
    let text = format!("{what}: {error}");
    match code {
        Some(code) => permission(code, &text, names).unwrap_or(LogError::Retry(text)),
        None => LogError::Retry(text),
    }
}

/// A permission that is missing, with what to grant.
fn permission(code: Code, text: &str, names: &Names) -> Option<LogError> {
    let group = &names.group;
    let id = &names.transactional_id;
    let grant = match code {
        Code::TopicAuthorizationFailed => {
            "grant READ on the topics that are read and WRITE on those that are written".to_owned()
        }
        Code::GroupAuthorizationFailed => format!("grant READ on Group `{group}`"),
        Code::TransactionalIdAuthorizationFailed => {
            format!("grant WRITE and DESCRIBE on TransactionalId `{id}`")
        }
        Code::ClusterAuthorizationFailed => "grant IDEMPOTENT_WRITE on Cluster `kafka-cluster`".to_owned(),
        _ => return None,
    };
    Some(LogError::Fatal(format!("{text}: {grant} to our principal")))
}

/// What to do about a topic that isn't there.
pub(super) fn missing(topic: &str) -> String {
    format!("topic `{topic}` does not exist: run `sightline topics --pipeline FILE --create`")
}

/// What to do about a topic that we may not touch.
pub(super) fn topic_permission(operation: &str, topic: &str) -> String {
    format!("no permission on topic `{topic}`: grant {operation} on Topic `{topic}` to our principal")
}

fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::InvalidProducerEpoch
            | Code::ProducerFenced
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
    )
}

fn fenced(text: &str, names: &Names) -> String {
    format!(
        "{text}: a newer producer or member took our place as `{}`, or the broker ended our transaction after its \
         time-out; two processes of one name would put each other out for ever",
        names.transactional_id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { group: "leads".to_owned(), transactional_id: "leads-0".to_owned() }
    }

    #[track_caller]
    fn check(flags: &str, code: Code, expected: &str) {
        let refusal = Refusal {
            code,
            fatal: flags.contains('f'),
            abortable: flags.contains('a'),
            retriable: flags.contains('r'),
            text: "said".to_owned(),
        };
        let verdict = transaction("call", &refusal, &names());
        let kind = match verdict.error {
            LogError::Abort(_) => "abort",
            LogError::Fenced(_) => "fenced",
            LogError::Retry(_) => "retry",
            LogError::Fatal(_) => "fatal",
        };
        let rebuild = if verdict.rebuild { ", rebuild" } else { "" };
        assert_eq!(format!("{kind}{rebuild}"), expected, "{flags} {code:?}");
    }

    #[test]
    fn flags_are_tested_in_their_order() {
        check("f", Code::Fenced, "fenced");
        check("f", Code::InvalidProducerEpoch, "fenced");
        check("fa", Code::ProducerFenced, "fenced");
        check("f", Code::UnsupportedForMessageFormat, "fatal, rebuild");
        check("f", Code::InvalidTransactionalState, "abort, rebuild");
        check("f", Code::InvalidProducerIdMapping, "abort, rebuild");
        check("a", Code::IllegalGeneration, "abort");
        check("ar", Code::UnknownMemberId, "abort");
        check("a", Code::FencedInstanceId, "abort");
        check("a", Code::MessageSizeTooLarge, "abort");
        check("r", Code::OperationTimedOut, "retry, rebuild");
        check("", Code::State, "fatal, rebuild");
    }

    #[test]
    fn a_missing_permission_says_what_to_grant() {
        check("f", Code::TransactionalIdAuthorizationFailed, "fatal");
        check("a", Code::GroupAuthorizationFailed, "fatal");
        check("a", Code::TopicAuthorizationFailed, "fatal");
        let refusal = Refusal {
            code: Code::GroupAuthorizationFailed,
            fatal: false,
            abortable: true,
            retriable: false,
            text: "refused".to_owned(),
        };
        assert_eq!(
            transaction("cannot commit offsets", &refusal, &names()).error.to_string(),
            "cannot commit offsets: refused: grant READ on Group `leads` to our principal"
        );
    }

    #[test]
    fn a_record_that_is_too_large_aborts_and_says_what_to_raise() {
        let error = production(Code::MessageSizeTooLarge, "leads", 3, 2_000_000);
        assert!(matches!(&error, LogError::Abort(text) if text.contains("2000000 bytes")), "{error}");
        assert!(matches!(production(Code::UnknownPartition, "leads", 3, 1), LogError::Fatal(_)));
        assert!(matches!(production(Code::QueueFull, "leads", 3, 1), LogError::Abort(_)));
    }

    #[test]
    fn polling_tells_only_what_does_not_mend_itself() {
        let of = |error| consumption(&error, &names());
        assert_eq!(of(KafkaError::MessageConsumption(Code::AllBrokersDown)), None);
        assert_eq!(of(KafkaError::MessageConsumption(Code::PollExceeded)), None);
        assert!(matches!(
            of(KafkaError::MessageConsumptionFatal(Code::FencedInstanceId)),
            Some(LogError::Fenced(_))
        ));
        assert!(matches!(
            of(KafkaError::MessageConsumptionFatal(Code::BadMessage)),
            Some(LogError::Fatal(_))
        ));
        assert!(matches!(
            of(KafkaError::MessageConsumption(Code::TopicAuthorizationFailed)),
            Some(LogError::Fatal(_))
        ));
        assert!(matches!(of(KafkaError::MessageConsumption(Code::BadMessage)), Some(LogError::Retry(_))));
    }
}
