//! What goes from assess to release and from release to deliver: records of ours between stages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Header, Output};
use crate::share::ledger::Draft;

/// A record on `disclosures`, keyed by agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disclosure {
    /// Assess decided that this may go out.
    Disclose(Box<Sealed>),
    /// Deliver did not let an outbox record go out.
    Stop(Box<Stopped>),
}

/// A decided disclosure: what the ledger is to say, and the message, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// For the ledger.
    pub entry: Draft,
    /// For the audience.
    pub message: Message,
}

/// A message to an audience. Nothing behind assess changes a byte of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The audience topic.
    pub topic: String,
    /// The disclosure's id.
    pub key: String,
    /// `dx-*`, in order.
    pub headers: Vec<(String, String)>,
    /// UTF-8.
    pub payload: String,
}

/// An outbox record that was not let out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// The ledger's entry of it.
    pub seq: u64,
    /// As that entry says.
    pub entry: Draft,
    /// The clause.
    pub reason: String,
}

/// A record on `outbox`, keyed by agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// The agreement's id.
    pub agreement: String,
    /// The ledger's entry of it.
    pub seq: u64,
    /// As that entry says, in case it must be stopped.
    pub entry: Draft,
    /// What goes out.
    pub message: Message,
}

impl Message {
    /// The record on the audience topic.
    pub fn into_output(self) -> Output {
        let headers: Vec<Header> =
            self.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        Output {
            topic: Arc::from(self.topic),
            partition: None,
            key: Some(self.key.into_bytes()),
            value: Some(self.payload.into_bytes()),
            headers,
        }
    }
}

/// A record of ours as JSON.
pub(super) fn to_json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records of ours are plain data")
}
