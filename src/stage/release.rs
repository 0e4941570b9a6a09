//! release, who learns it and when: keyed by agreement, one owner for each, so order and chain are
//! simple.
//!
//! For each decided disclosure one ledger entry, and for each that still may go out one outbox
//! record, in one transaction with the chain's new head. It makes no message and changes none.

use std::sync::Arc;

use super::dead_letter::not_ours;
use super::disclosure::{Disclosure, Outbox, Sealed, Stopped, to_json};
use super::knowledge::Shared;
use super::{Count, Made, Output, Record, State, Step, Stop, Work};
use crate::enrich::Answers;
use crate::share::ledger::{self, Chain, Draft, Kind};
use crate::sighting::Timestamp;

/// The topics of release.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Read.
    pub disclosures: Arc<str>,
    /// The ledger.
    pub ledger: Arc<str>,
    /// What deliver copies.
    pub outbox: Arc<str>,
    /// The chains' heads: compacted.
    pub releases: Arc<str>,
    /// What could not be processed.
    pub dead_letters: Arc<str>,
}

/// The stage.
pub struct Release {
    topics: Topics,
    knowledge: Shared,
}

impl Release {
    /// The stage on these topics.
    pub fn new(topics: Topics, knowledge: Shared) -> Self {
        Self { topics, knowledge }
    }

    /// Writes one ledger entry and moves the chain on; the entry's number.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing that an entry needs")]
    fn enter(
        &self,
        made: &mut Made,
        state: &mut dyn State,
        partition: i32,
        agreement: &str,
        draft: &Draft,
        kind: &Kind,
        now: Timestamp,
    ) -> Result<u64, Stop> {
        let mut chain = match state.get(agreement.as_bytes()) {
            Some(bytes) => Chain::decode(&bytes).map_err(|err| Stop {
                code: "state-unreadable",
                text: format!("the chain of {agreement}: {err}"),
            })?,
            None => Chain::default(),
        };
        let entry = ledger::append(&mut chain, kind, draft, now);
        state.put(agreement.as_bytes(), Some(chain.encode()));
        made.outputs.push(Output {
            topic: self.topics.ledger.clone(),
            partition: Some(partition),
            key: Some(agreement.as_bytes().to_vec()),
            value: Some(entry),
            headers: Vec::new(),
        });
        made.counts.push(Count { what: "ledger-entries", label: agreement.to_owned(), n: 1 });
        Ok(chain.seq)
    }

    fn release(
        &self,
        made: &mut Made,
        state: &mut dyn State,
        record: &Record,
        disclosure: Disclosure,
        now: Timestamp,
    ) -> Result<(), Stop> {
        let partition = record.partition;
        match disclosure {
            Disclosure::Disclose(sealed) => {
                let Sealed { entry, message } = *sealed;
                let agreement = entry.agreement.id.clone();
                let knowledge = self.knowledge.load();
                let held = knowledge.agreements.get(&agreement);
                let reason = match held {
                    None => Some("agreement-unknown"),
                    Some(held) => held.refuses_at(now),
                };
                if let Some(reason) = reason {
                    let kind = Kind::Stopped { reason: reason.to_owned(), stops: None };
                    self.enter(made, state, partition, &agreement, &entry, &kind, now)?;
                    return Ok(());
                }
                let seq = self.enter(made, state, partition, &agreement, &entry, &Kind::Disclosed, now)?;
                let outbox = Outbox { agreement: agreement.clone(), seq, entry, message };
                made.outputs.push(Output {
                    topic: self.topics.outbox.clone(),
                    partition: Some(partition),
                    key: Some(agreement.into_bytes()),
                    value: Some(to_json(&outbox)),
                    headers: Vec::new(),
                });
            }
            Disclosure::Stop(stopped) => {
                let Stopped { seq, entry, reason } = *stopped;
                let agreement = entry.agreement.id.clone();
                let kind = Kind::Stopped { reason, stops: Some(seq) };
                self.enter(made, state, partition, &agreement, &entry, &kind, now)?;
            }
        }
        Ok(())
    }
}

impl Step for Release {
    fn name(&self) -> &'static str {
        "release"
    }

    fn inputs(&self) -> Vec<Arc<str>> {
        vec![self.topics.disclosures.clone()]
    }

    fn state_topic(&self) -> Option<Arc<str>> {
        Some(self.topics.releases.clone())
    }

    fn run(
        &mut self,
        work: &Work<'_>,
        state: &mut dyn State,
        _: &Answers,
        now: Timestamp,
    ) -> Result<Made, Stop> {
        let mut made = Made::default();
        for record in work.records {
            match serde_json::from_slice(record.value.as_deref().unwrap_or_default()) {
                Ok(disclosure) => self.release(&mut made, state, record, disclosure, now)?,
                Err(err) => {
                    let text = format!("not a disclosure of ours: {err}");
                    not_ours(&mut made, &self.topics.dead_letters, self.name(), record, &text, now);
                }
            }
        }
        Ok(made)
    }
}
