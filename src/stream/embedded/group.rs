//! A consumer group with the cooperative protocol: members, generations, assignment, offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::TxnId;
use crate::stream::log::{LogError, Tp};

/// One group.
#[derive(Default)]
pub(super) struct Group {
    generation: u64,
    next_member: u64,
    members: BTreeMap<u64, Member>,
    owners: BTreeMap<Tp, u64>,
    /// While a rebalance runs: who has joined it. Commits of the old generation are still good.
    joining: Option<BTreeSet<u64>>,
    pub(super) committed: BTreeMap<Tp, i64>,
    /// Offsets of transactions that the group has not heard the outcome of.
    pending: BTreeMap<TxnId, BTreeMap<Tp, i64>>,
}

struct Member {
    topics: BTreeSet<Arc<str>>,
    /// The generation that it last heard of.
    generation: u64,
    to_revoke: Vec<Tp>,
    to_assign: Vec<Tp>,
}

/// What a member hears when it polls.
#[derive(Default)]
pub(super) struct News {
    pub(super) revoked: Vec<Tp>,
    pub(super) assigned: Vec<Tp>,
}

impl Group {
    pub(super) fn join(&mut self, topics: BTreeSet<Arc<str>>) -> u64 {
        self.next_member += 1;
        let member = Member { topics, generation: 0, to_revoke: Vec::new(), to_assign: Vec::new() };
        self.members.insert(self.next_member, member);
        self.joining = Some(BTreeSet::new());
        self.next_member
    }

    pub(super) fn expire(&mut self, member: u64) {
        if self.members.remove(&member).is_some() {
            self.owners.retain(|_, owner| *owner != member);
            self.joining = Some(BTreeSet::new());
        }
    }

    /// Hears what is new; none when the group no longer knows the member.
    pub(super) fn heartbeat(&mut self, id: u64, counts: &BTreeMap<Arc<str>, i32>) -> Option<News> {
        self.members.get(&id)?;
        if let Some(joined) = &mut self.joining {
            joined.insert(id);
            if joined.len() == self.members.len() {
                self.complete(counts);
            }
        }
        let member = self.members.get_mut(&id)?;
        if self.joining.is_none() {
            member.generation = self.generation;
        }
        let news = News {
            revoked: std::mem::take(&mut member.to_revoke),
            assigned: std::mem::take(&mut member.to_assign),
        };
        if !news.revoked.is_empty() {
            for tp in &news.revoked {
                self.owners.remove(tp);
            }
            self.joining = Some(BTreeSet::new());
        }
        Some(news)
    }

    /// Ends a rebalance: a new generation; partitions that move are taken first, and given only in
    /// the rebalance after that.
    fn complete(&mut self, counts: &BTreeMap<Arc<str>, i32>) {
        self.joining = None;
        self.generation += 1;
        let topics: BTreeSet<Arc<str>> =
            self.members.values().flat_map(|member| member.topics.iter().cloned()).collect();
        for topic in topics {
            let able: Vec<u64> =
                self.members.iter().filter(|(_, m)| m.topics.contains(&topic)).map(|(id, _)| *id).collect();
            for partition in 0..counts.get(&topic).copied().unwrap_or(0) {
                let tp = Tp { topic: topic.clone(), partition };
                // The rotation by generation makes partitions move, as real assignors may.
                let turn = usize::try_from(partition).unwrap_or(0)
                    + usize::try_from(self.generation).unwrap_or(0) / 4;
                let target = able[turn % able.len()];
                match self.owners.get(&tp) {
                    Some(owner) if *owner == target => {}
                    Some(owner) => {
                        let owner = *owner;
                        let Some(member) = self.members.get_mut(&owner) else { continue };
                        if let Some(unheard) = member.to_assign.iter().position(|held| *held == tp) {
                            // It never heard that it had it: nothing to take back.
                            member.to_assign.remove(unheard);
                            self.give(tp, target);
                        } else if !member.to_revoke.contains(&tp) {
                            member.to_revoke.push(tp);
                        }
                    }
                    None => self.give(tp, target),
                }
            }
        }
    }

    fn give(&mut self, tp: Tp, to: u64) {
        if let Some(member) = self.members.get_mut(&to) {
            member.to_assign.push(tp.clone());
            self.owners.insert(tp, to);
        }
    }

    /// Whether a member may still put offsets into a transaction: it is known, and of the group's
    /// generation.
    pub(super) fn check(&self, member: u64) -> Result<(), LogError> {
        match self.members.get(&member) {
            None => Err(LogError::Abort("the group no longer knows this member".to_owned())),
            Some(m) if m.generation != self.generation => {
                Err(LogError::Abort("the member is of an older generation".to_owned()))
            }
            Some(_) => Ok(()),
        }
    }

    pub(super) fn stage_offsets(&mut self, txn: TxnId, offsets: &[(Tp, i64)]) {
        self.pending.entry(txn).or_default().extend(offsets.iter().cloned());
    }

    pub(super) fn settle(&mut self, txn: TxnId, committed: bool) {
        if let Some(offsets) = self.pending.remove(&txn)
            && committed
        {
            self.committed.extend(offsets);
        }
    }

    /// The stable committed offsets, or none while a transaction over one of them is not settled.
    pub(super) fn stable(&self, partitions: &[Tp]) -> Option<Vec<(Tp, i64)>> {
        if self.pending.values().any(|offsets| partitions.iter().any(|tp| offsets.contains_key(tp))) {
            return None;
        }
        Some(partitions.iter().map(|tp| (tp.clone(), self.committed.get(tp).copied().unwrap_or(0))).collect())
    }
}
