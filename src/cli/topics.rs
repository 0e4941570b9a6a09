//! `sightline topics`: the topics that a pipeline needs, as commands, as Kubernetes resources, or made.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{USAGE, load, print, print_findings};
use crate::config::{Checked, Kafka, TopicSpec, topics};
use crate::diag::Findings;
use crate::stream::kafka::admin;

/// Print the topics that a pipeline needs, or create those that are ours.
///
/// Raw topics are made by those who write to them; they are shown as comments. The number of
/// partitions is fixed for the life of the state: choose it with room to grow.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pipeline file.
    #[arg(long)]
    pipeline: PathBuf,
    /// How to print them.
    #[arg(long, value_enum, default_value_t = Format::Kafka)]
    format: Format,
    /// The name of the Kafka resource that Strimzi's topics belong to.
    #[arg(long, default_value = "kafka")]
    cluster: String,
    /// Create the topics that are ours and not there yet, instead of printing them.
    #[arg(long, conflicts_with_all = ["format", "cluster"])]
    create: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Commands for `kafka-topics.sh`.
    Kafka,
    /// `KafkaTopic` resources of the Strimzi operator.
    Strimzi,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    let loaded = load(&args.pipeline, &mut findings);
    print_findings(&args.pipeline, &findings)?;
    let Some(loaded) = loaded else { return Ok(ExitCode::from(USAGE)) };
    let specs = topics(&loaded.checked);
    if args.create {
        return create(&loaded.checked, &specs);
    }
    print(&match args.format {
        Format::Kafka => kafka(&loaded.checked.kafka, &specs),
        Format::Strimzi => strimzi(&args.cluster, &specs),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The topics that are ours, as Kafka's client has them.
pub(super) fn ours(specs: &[TopicSpec]) -> Vec<admin::TopicSpec> {
    let one = |spec: &TopicSpec| {
        Some(admin::TopicSpec {
            name: spec.name.to_string(),
            partitions: spec.partitions?,
            replication: i32::from(spec.replication),
            configs: spec.settings().into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        })
    };
    specs.iter().filter(|spec| spec.is_ours).filter_map(one).collect()
}

/// Creates the topics that are ours and not there yet, and compares those that are.
fn create(checked: &Checked, specs: &[TopicSpec]) -> anyhow::Result<ExitCode> {
    let client = super::client(checked);
    let wanted = ours(specs);
    let made = admin::create_topics(&client, &wanted)?;
    let names: Vec<&str> = wanted.iter().map(|spec| spec.name.as_str()).collect();
    let present = admin::describe_topics(&client, &names)?;
    let mut wrong = Vec::new();
    for spec in &wanted {
        let is_new = made.contains(&spec.name);
        print(&format!("{} {}\n", if is_new { "made   " } else { "present" }, spec.name))?;
        match present.get(&spec.name) {
            Some(existing) => wrong.extend(admin::compare(spec, existing)),
            // Not to be looked at is not to be right.
            None => wrong.push(format!("topic `{}` is not there any more; try again", spec.name)),
        }
    }
    if wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::bail!("what is there will not do:\n  {}", wrong.join("\n  "))
}

/// One shell command a topic.
fn kafka(kafka: &Kafka, specs: &[TopicSpec]) -> String {
    let servers = ["bootstrap.servers", "metadata.broker.list"]
        .iter()
        .find_map(|name| kafka.client.get(*name))
        .map_or("localhost:9092", |servers| servers.reveal());
    let one = |spec: &TopicSpec| {
        let (note, name, replication) = (spec.note, quoted(&spec.name), spec.replication);
        let Some(partitions) = spec.partitions else {
            return format!("# {note}\n#   {name}: max.message.bytes at most {}\n", spec.max_message_bytes);
        };
        let settings: Vec<String> = spec
            .settings()
            .into_iter()
            .map(|(name, value)| format!(" \\\n  --config {}", quoted(&format!("{name}={value}"))))
            .collect();
        format!(
            "# {note}\nkafka-topics.sh --bootstrap-server {} --create --if-not-exists --topic {name} \
             --partitions {partitions} --replication-factor {replication}{}\n",
            quoted(servers),
            settings.concat()
        )
    };
    specs.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// One YAML document a topic.
fn strimzi(cluster: &str, specs: &[TopicSpec]) -> String {
    let one = |spec: &TopicSpec| {
        let Some(partitions) = spec.partitions else {
            return format!(
                "# {}\n#   {}: max.message.bytes at most {}\n",
                spec.note, spec.name, spec.max_message_bytes
            );
        };
        let settings: Vec<String> = spec
            .settings()
            .into_iter()
            .map(|(name, value)| format!("    {name}: {}\n", json(&value)))
            .collect();
        format!(
            "---\n# {}\napiVersion: kafka.strimzi.io/v1\nkind: KafkaTopic\nmetadata:\n  name: {}\n  labels:\n    \
             strimzi.io/cluster: {}\nspec:\n  topicName: {}\n  partitions: {partitions}\n  replicas: {}\n  \
             config:\n{}",
            spec.note,
            json(&resource_name(&spec.name)),
            json(cluster),
            json(&spec.name),
            spec.replication,
            settings.concat()
        )
    };
    specs.iter().map(one).collect()
}

/// As one word of a POSIX shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:,=/+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A JSON text is a YAML text, and never mistaken for a number or a truth.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name that Kubernetes takes: RFC 1123, so lower case, digits, dots and hyphens, at most 253.
fn resource_name(topic: &str) -> String {
    let name: String = topic
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}
