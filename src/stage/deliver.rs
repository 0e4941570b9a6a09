//! deliver: copies committed outbox records to audience topics, after the last stop checks.
//!
//! It is the only stage that may write there, and it holds no policy: what it copies is in the
//! ledger already, so that nothing is published that is not, even for a reader that ignores
//! transactions. What it must not let out any more goes back to release, which owns the chain.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dead_letter::not_ours;
use super::disclosure::{Disclosure, Outbox, Stopped, to_json};
use super::knowledge::Shared;
use super::{Count, Made, Output, State, Step, Stop, Work};
use crate::enrich::Answers;
use crate::sighting::Timestamp;

/// The topics of deliver, beside the audiences'.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Read.
    pub outbox: Arc<str>,
    /// Where stops go back to.
    pub disclosures: Arc<str>,
    /// What could not be processed.
    pub dead_letters: Arc<str>,
}

/// The stage.
pub struct Deliver {
    topics: Topics,
    knowledge: Shared,
}

impl Deliver {
    /// The stage on these topics.
    pub fn new(topics: Topics, knowledge: Shared) -> Self {
        Self { topics, knowledge }
    }

    fn deliver(&self, outbox: Outbox, audiences: &BTreeSet<&str>, now: Timestamp) -> (Output, Option<Count>) {
        let knowledge = self.knowledge.load();
        let reason = match knowledge.agreements.get(&outbox.agreement) {
            None => Some("agreement-unknown"),
            Some(held) => held.refuses_at(now),
        };
        // A topic that no agreement names any more has no audience that we know of.
        let reason =
            reason.or((!audiences.contains(outbox.message.topic.as_str())).then_some("topic-unknown"));
        let Some(reason) = reason else {
            return (outbox.message.into_output(), None);
        };
        let stop = Disclosure::Stop(Box::new(Stopped {
            seq: outbox.seq,
            entry: outbox.entry,
            reason: reason.to_owned(),
        }));
        let output = Output {
            topic: self.topics.disclosures.clone(),
            partition: None,
            key: Some(outbox.agreement.as_bytes().to_vec()),
            value: Some(to_json(&stop)),
            headers: Vec::new(),
        };
        let label = format!("{} stopped {reason}", outbox.agreement);
        (output, Some(Count { what: "disclosures", label, n: 1 }))
    }
}

impl Step for Deliver {
    fn name(&self) -> &'static str {
        "deliver"
    }

    fn inputs(&self) -> Vec<Arc<str>> {
        vec![self.topics.outbox.clone()]
    }

    fn run(&mut self, work: &Work<'_>, _: &mut dyn State, _: &Answers, now: Timestamp) -> Result<Made, Stop> {
        let mut made = Made::default();
        let knowledge = self.knowledge.load();
        let audiences: BTreeSet<&str> =
            knowledge.agreements.values().map(|agreement| agreement.topic.as_str()).collect();
        for record in work.records {
            match serde_json::from_slice(record.value.as_deref().unwrap_or_default()) {
                Ok(outbox) => {
                    let (output, count) = self.deliver(outbox, &audiences, now);
                    made.outputs.push(output);
                    made.counts.extend(count);
                }
                Err(err) => {
                    let text = format!("not an outbox record of ours: {err}");
                    not_ours(&mut made, &self.topics.dead_letters, self.name(), record, &text, now);
                }
            }
        }
        Ok(made)
    }
}
