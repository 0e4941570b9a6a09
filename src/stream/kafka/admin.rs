//! Topics: making them, describing them, and whether those that exist will do.
//!
//! What topics a pipeline needs is the configuration's to say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::class;
use super::context::ReaderContext;
use super::settings;
use crate::stream::log::LogError;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A topic as it should be, or as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has; -1 in a wish for the broker's default.
    pub replication: i32,
    /// Its configuration: in a wish what is to be set, in a description all of it.
    pub configs: BTreeMap<String, String>,
}

/// Makes the topics that are not there yet, waits until they can be used, and returns the names of
/// those that were made. Those that are there are left as they are: see [`compare`].
///
/// # Errors
/// [`LogError::Retry`] when no broker can be reached, else [`LogError::Fatal`]; topics that could
/// be made are made all the same.
pub fn create_topics(
    client: &BTreeMap<String, String>,
    specs: &[TopicSpec],
) -> Result<Vec<String>, LogError> {
    // Says what is wrong with the connection better than a request that times out.
    let names: Vec<&str> = specs.iter().map(|spec| &*spec.name).collect();
    let present = describe_topics(client, &names)?;
    let wanted: Vec<&TopicSpec> = specs.iter().filter(|spec| !present.contains_key(&spec.name)).collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let topics: Vec<NewTopic<'_>> = wanted
        .iter()
        .map(|spec| {
            let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(spec.replication));
            spec.configs.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        })
        .collect();
    let admin = admin(client)?;
    let results = wait(admin.create_topics(&topics, &options()))?
        .map_err(|error| LogError::Retry(format!("cannot make topics: {error}")))?;
    let mut created = Vec::new();
    let mut refused = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            // Somebody else was quicker.
            Err((_, Code::TopicAlreadyExists)) => {}
            Err((name, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
                refused.push(class::topic_permission("CREATE", &name));
            }
            Err((name, code)) => refused.push(format!("cannot make topic `{name}`: {code}")),
        }
    }
    if !refused.is_empty() {
        return Err(LogError::Fatal(refused.join("; ")));
    }
    // A broker learns a little later of what its controller made, and until then says that it isn't there.
    let until = super::now() + TIMEOUT;
    loop {
        let found = describe_topics(client, &names)?;
        let Some(missing) = names.iter().find(|name| !found.contains_key(**name)) else { return Ok(created) };
        if super::now() >= until {
            return Err(LogError::Retry(format!("topic `{missing}` was made, but no broker knows it yet")));
        }
        std::thread::sleep(super::PAUSE);
    }
}

/// The topics of these names as they are; those that don't exist are left out.
///
/// # Errors
/// [`LogError::Retry`] when no broker can be reached, [`LogError::Fatal`] without permission.
pub fn describe_topics(
    client: &BTreeMap<String, String>,
    names: &[&str],
) -> Result<BTreeMap<String, TopicSpec>, LogError> {
    let mut config = settings::metadata(client);
    config.set("allow.auto.create.topics", "false");
    let reader: BaseConsumer<ReaderContext> = config
        .create_with_context(ReaderContext::default())
        .map_err(|error| super::setup(&error, "the metadata client"))?;
    let servers = settings::servers(client);
    let mut found = BTreeMap::new();
    for name in names {
        let metadata = reader
            .fetch_metadata(Some(name), TIMEOUT)
            .map_err(|error| super::unreachable_brokers(servers, super::reason(&reader, &error)))?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == *name) else { continue };
        match topic.error().map(Code::from) {
            None => {}
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => continue,
            Some(Code::TopicAuthorizationFailed) => {
                return Err(LogError::Fatal(class::topic_permission("DESCRIBE", name)));
            }
            Some(code) => return Err(LogError::Retry(format!("topic `{name}`: {code}"))),
        }
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let spec = TopicSpec {
            name: (*name).to_owned(),
            partitions: count(topic.partitions().len()),
            replication: topic
                .partitions()
                .iter()
                .map(|part| count(part.replicas().len()))
                .min()
                .unwrap_or(0),
            configs: BTreeMap::new(),
        };
        found.insert((*name).to_owned(), spec);
    }
    if found.is_empty() {
        return Ok(found);
    }
    let wanted: Vec<ResourceSpecifier<'_>> =
        found.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
    let described = wait(admin(client)?.describe_configs(&wanted, &options()))?
        .map_err(|error| LogError::Retry(format!("cannot describe topics: {error}")))?;
    drop(wanted);
    for result in described {
        let resource = result.map_err(|code| match code {
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => LogError::Fatal(
                "no permission: grant DESCRIBE_CONFIGS on our topics to our principal".to_owned(),
            ),
            code => LogError::Retry(format!("cannot describe topics: {code}")),
        })?;
        if let OwnedResourceSpecifier::Topic(name) = &resource.specifier
            && let Some(spec) = found.get_mut(name)
        {
            spec.configs =
                resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
        }
    }
    Ok(found)
}

/// Why `existing` will not do for `spec`, a sentence each; empty when it will. Only what would
/// break keyed state, lose records or stall on large ones counts; retention and the rest are for
/// whoever runs the cluster.
pub fn compare(spec: &TopicSpec, existing: &TopicSpec) -> Vec<String> {
    let name = &spec.name;
    let mut wrong = Vec::new();
    if existing.partitions != spec.partitions {
        wrong.push(format!(
            "topic `{name}` has {} partitions, the pipeline says {}: keys would go elsewhere than their state is, so \
             the number is fixed for the life of the state; correct the pipeline, or start with new topics",
            existing.partitions, spec.partitions
        ));
    }
    let bytes =
        |topic: &TopicSpec| topic.configs.get("max.message.bytes").and_then(|n| n.parse::<u64>().ok());
    if let (Some(wanted), Some(allowed)) = (bytes(spec), bytes(existing))
        && allowed < wanted
    {
        wrong.push(format!(
            "topic `{name}` takes messages of {allowed} bytes, {wanted} are needed: one large record would stall the \
             pipeline; raise its `max.message.bytes`"
        ));
    }
    let policy = |topic: &TopicSpec| -> Option<BTreeSet<String>> {
        let policy = topic.configs.get("cleanup.policy")?;
        Some(policy.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
    };
    if let (Some(wanted), Some(found)) = (policy(spec), policy(existing))
        && wanted != found
    {
        let shown = |policy: BTreeSet<String>| policy.into_iter().collect::<Vec<_>>().join(",");
        let harm = if wanted.contains("compact") && !found.contains("compact") {
            "it would grow without end or lose state by age"
        } else if found.contains("compact") && !wanted.contains("compact") {
            "records of one key would replace each other"
        } else {
            "it would lose records by age, or keep them too long"
        };
        wrong.push(format!(
            "topic `{name}` has cleanup.policy `{}`, `{}` is needed: {harm}; change its `cleanup.policy`",
            shown(found),
            shown(wanted)
        ));
    }
    wrong
}

fn admin(client: &BTreeMap<String, String>) -> Result<AdminClient<DefaultClientContext>, LogError> {
    settings::metadata(client).create().map_err(|error| super::setup(&error, "the admin client"))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}

/// librdkafka answers on a thread of its own; this one waits for it.
fn wait<T>(answer: impl Future<Output = Result<T, KafkaError>>) -> Result<Result<T, KafkaError>, LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| LogError::Fatal(format!("cannot wait for an answer: {error}")))?;
    Ok(runtime.block_on(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(partitions: i32, configs: &[(&str, &str)]) -> TopicSpec {
        TopicSpec {
            name: "dossiers".to_owned(),
            partitions,
            replication: 1,
            configs: configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[track_caller]
    fn check(spec: &TopicSpec, existing: &TopicSpec, expected: &[&str]) {
        let found = compare(spec, existing);
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}");
        }
    }

    #[test]
    fn what_would_break_state_or_stall_is_refused() {
        let spec = topic(12, &[("cleanup.policy", "compact"), ("max.message.bytes", "2000000")]);
        let good = [("cleanup.policy", "compact"), ("max.message.bytes", "2000000"), ("retention.ms", "1")];
        check(&spec, &topic(12, &good), &[]);
        check(&spec, &topic(6, &good), &["has 6 partitions, the pipeline says 12"]);
        check(&spec, &topic(12, &[("max.message.bytes", "1048588")]), &["takes messages of 1048588 bytes"]);
        check(&spec, &topic(12, &[("max.message.bytes", "3000000")]), &[]);
        check(&spec, &topic(12, &[("cleanup.policy", "delete")]), &["`delete`, `compact` is needed"]);
        check(&spec, &topic(12, &[("cleanup.policy", "compact,delete")]), &["lose records by age"]);
        check(&spec, &topic(1, &[("cleanup.policy", "delete")]), &["partitions", "cleanup.policy"]);
    }

    #[test]
    fn the_order_of_policies_means_nothing() {
        let spec = topic(1, &[("cleanup.policy", "compact,delete")]);
        check(&spec, &topic(1, &[("cleanup.policy", "delete, compact")]), &[]);
        let ledger = topic(1, &[("cleanup.policy", "delete")]);
        check(&ledger, &topic(1, &[("cleanup.policy", "compact")]), &["replace each other"]);
    }
}
