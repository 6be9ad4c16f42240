//! What the store keeps, as a state machine: no I/O and no clock.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::offset::{Committed, GroupOffsets, OVERHEAD_BYTES, PartitionId};
use super::transaction::{Phase, Transaction};
use crate::error_code::ErrorCode;

/// Maximum bytes of everything that is kept. A change that would need more is refused.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Maximum bytes of the committed offsets of one group, and of one transaction.
pub(super) const MAX_PART_BYTES: usize = 8 << 20;

/// For how many hours a group without members keeps its offsets, like Kafka's `offsets.retention.minutes`. Only hours in which the broker
/// runs count.
pub(crate) const RETENTION_HOURS: u32 = 7 * 24;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    Commit {
        group: String,
        offsets: Vec<(PartitionId, Committed)>,
        /// For how many hours the group had no members before. Only a compacted log has it.
        #[serde(default, skip_serializing_if = "is_zero")]
        idle_hours: u32,
    },
    /// Forgets the offsets of a group for some partitions.
    Forget {
        group: String,
        partitions: Vec<PartitionId>,
    },
    ForgetGroup {
        group: String,
    },
    ForgetTopic {
        topic: Uuid,
    },
    /// Another hour has passed. Forgets the offsets of groups that had no members for too long.
    HourPassed {
        /// The groups with members.
        in_use: Vec<String>,
    },
    /// The state of a transactional id.
    Transaction {
        id: String,
        state: Transaction,
    },
    /// A transaction has ended. With it, groups get the offsets that it committed.
    EndTransaction {
        id: String,
        state: Transaction,
        offsets: Vec<(String, Vec<(PartitionId, Committed)>)>,
    },
    ForgetTransactions {
        ids: Vec<String>,
    },
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a group has committed. It is never empty.
#[derive(Debug, Default, PartialEq, Eq)]
struct Group {
    offsets: GroupOffsets,
    /// What the offsets take in memory, roughly.
    bytes: usize,
    /// For how many hours it had neither members nor commits.
    idle_hours: u32,
}

impl Group {
    fn put(&mut self, partition: PartitionId, committed: Committed) {
        self.bytes += committed.bytes();
        if let Some(old) = self.offsets.insert(partition, committed) {
            self.bytes -= old.bytes();
        }
    }

    fn retain(&mut self, mut keep: impl FnMut(&PartitionId) -> bool) {
        self.offsets.retain(|partition, _| keep(partition));
        self.bytes = self.offsets.values().map(Committed::bytes).sum();
    }

    /// How much these offsets would add.
    fn growth(&self, offsets: &[(PartitionId, Committed)]) -> usize {
        let replaced = |partition| self.offsets.get(partition).map_or(0, Committed::bytes);
        offsets.iter().map(|(partition, new)| new.bytes().saturating_sub(replaced(partition))).sum()
    }
}

/// What the changes have led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    groups: BTreeMap<String, Group>,
    transactions: BTreeMap<String, Transaction>,
    /// What all of it takes in memory, roughly.
    bytes: usize,
}

impl State {
    /// Returns the offsets of a group.
    pub fn group(&self, group: &str) -> Option<&GroupOffsets> {
        self.groups.get(group).map(|group| &group.offsets)
    }

    /// Returns the groups that have committed something.
    pub fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.keys()
    }

    pub fn transactions(&self) -> &BTreeMap<String, Transaction> {
        &self.transactions
    }

    /// Returns the ids of all topics with committed offsets.
    pub fn topics(&self) -> HashSet<Uuid> {
        let partitions = self.groups.values().flat_map(|group| group.offsets.keys());
        partitions.map(|partition| partition.topic).collect()
    }

    /// Returns how much memory a change would add, roughly. `more`: what changes before it will add. A change that an earlier one made
    /// necessary is never refused.
    ///
    /// # Errors
    /// A limit would be exceeded.
    pub fn admit(&self, change: &Change, more: usize) -> Result<usize, ErrorCode> {
        let (before, growth, refusal) = match change {
            Change::Commit { group, offsets, .. } => {
                let known = self.groups.get(group);
                let new = if known.is_none() { OVERHEAD_BYTES + group.len() } else { 0 };
                let growth = known.unwrap_or(&Group::default()).growth(offsets);
                (known.map_or(0, |known| known.bytes), new + growth, ErrorCode::InvalidCommitOffsetSize)
            }
            Change::Transaction { id, state } if state.phase == Phase::Ongoing => {
                let before = self.transactions.get(id).map_or(0, |known| known.bytes(id));
                (before, state.bytes(id).saturating_sub(before), ErrorCode::PolicyViolation)
            }
            _ => return Ok(0),
        };
        let fits =
            growth == 0 || (before + growth <= MAX_PART_BYTES && self.bytes + more + growth <= MAX_BYTES);
        if fits { Ok(growth) } else { Err(refusal) }
    }

    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Commit { group, offsets, idle_hours } => self.commit(group, offsets, idle_hours),
            Change::Forget { group, partitions } => {
                let partitions = HashSet::<_>::from_iter(partitions);
                self.change_group(group, |group| group.retain(|partition| !partitions.contains(partition)));
            }
            Change::ForgetGroup { group } => self.change_group(group, |group| *group = Group::default()),
            Change::ForgetTopic { topic } => {
                self.change_groups(|_, group| group.retain(|partition| partition.topic != topic));
            }
            Change::HourPassed { in_use } => self.pass_hour(&HashSet::from_iter(in_use)),
            Change::Transaction { id, state } => self.put(id, state),
            Change::EndTransaction { id, state, offsets } => {
                offsets.into_iter().for_each(|(group, offsets)| self.commit(group, offsets, 0));
                self.put(id, state);
            }
            Change::ForgetTransactions { ids } => {
                for id in ids {
                    let forgotten = self.transactions.remove(&id);
                    self.bytes -= forgotten.map_or(0, |state| state.bytes(&id));
                }
            }
        }
    }

    /// A group has at least one offset: a transaction may end without any.
    fn commit(&mut self, group: String, offsets: Vec<(PartitionId, Committed)>, idle_hours: u32) {
        self.change_group(group, |group| {
            offsets.into_iter().for_each(|(partition, committed)| group.put(partition, committed));
            group.idle_hours = idle_hours;
        });
    }

    fn pass_hour(&mut self, in_use: &HashSet<String>) {
        self.change_groups(|name, group| {
            group.idle_hours = if in_use.contains(name) { 0 } else { group.idle_hours + 1 };
            if group.idle_hours >= RETENTION_HOURS {
                tracing::info!(
                    group = name,
                    "forgetting the offsets of a group that has had no members for a week"
                );
                *group = Group::default();
            }
        });
    }

    fn put(&mut self, id: String, state: Transaction) {
        self.bytes += state.bytes(&id);
        let before = self.transactions.remove(&id);
        self.bytes -= before.map_or(0, |before| before.bytes(&id));
        self.transactions.insert(id, state);
    }

    fn change_groups(&mut self, mut change: impl FnMut(&str, &mut Group)) {
        for (name, mut group) in std::mem::take(&mut self.groups) {
            self.bytes -= bytes_of(&name, &group);
            change(&name, &mut group);
            self.put_group(name, group);
        }
    }

    fn change_group(&mut self, name: String, change: impl FnOnce(&mut Group)) {
        let mut group = self.groups.remove(&name).unwrap_or_default();
        self.bytes -= bytes_of(&name, &group);
        change(&mut group);
        self.put_group(name, group);
    }

    fn put_group(&mut self, name: String, group: Group) {
        self.bytes += bytes_of(&name, &group);
        if !group.offsets.is_empty() {
            self.groups.insert(name, group);
        }
    }

    /// Returns the changes that lead to this state.
    pub fn changes(&self) -> Vec<Change> {
        let change = |(name, group): (&String, &Group)| Change::Commit {
            group: name.clone(),
            offsets: group.offsets.iter().map(|(partition, offset)| (*partition, offset.clone())).collect(),
            idle_hours: group.idle_hours,
        };
        let transaction = |(id, state): (&String, &Transaction)| Change::Transaction {
            id: id.clone(),
            state: state.clone(),
        };
        self.groups.iter().map(change).chain(self.transactions.iter().map(transaction)).collect()
    }
}

/// What a group takes in memory, roughly. An empty one is not kept.
fn bytes_of(name: &str, group: &Group) -> usize {
    if group.offsets.is_empty() { 0 } else { OVERHEAD_BYTES + name.len() + group.bytes }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{commit, offset, topic};
    use super::*;

    fn changes() -> impl Strategy<Value = Change> {
        let name = || prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
        let number = || 0..3_u128;
        prop_oneof![
            (name(), number(), 0..3, 0_i64..100)
                .prop_map(|(group, topic, partition, offset)| commit(&group, topic, partition, offset)),
            (name(), number(), 0..3).prop_map(|(group, topic_number, number)| Change::Forget {
                group,
                partitions: vec![PartitionId { topic: topic(topic_number), number }],
            }),
            name().prop_map(|group| Change::ForgetGroup { group }),
            number().prop_map(|number| Change::ForgetTopic { topic: topic(number) }),
            prop::collection::vec(name(), 0..2).prop_map(|in_use| Change::HourPassed { in_use }),
            (name(), name(), any::<bool>()).prop_map(|(id, group, has_offsets)| Change::EndTransaction {
                id,
                state: Transaction::new(7, 1_000),
                offsets: vec![(group, if has_offsets { vec![offset(0, 0, 5)] } else { Vec::new() })],
            }),
            name().prop_map(|id| Change::ForgetTransactions { ids: vec![id] }),
        ]
    }

    proptest! {
        #[test]
        fn a_compacted_log_means_the_same(changes in proptest::collection::vec(changes(), 0..60)) {
            let mut state = State::default();
            changes.into_iter().for_each(|change| state.apply(change));
            prop_assert!(state.groups.values().all(|group| !group.offsets.is_empty()));
            let mut again = State::default();
            state.changes().into_iter().for_each(|change| again.apply(change));
            prop_assert_eq!(again, state);
        }

        #[test]
        fn a_change_adds_no_more_than_is_admitted(changes in proptest::collection::vec(changes(), 0..60)) {
            let mut state = State::default();
            for change in changes {
                if matches!(change, Change::Commit { .. }) {
                    let admitted = state.admit(&change, 0).expect("far below the limits");
                    let before = state.bytes;
                    state.apply(change);
                    prop_assert_eq!(state.bytes, before + admitted);
                } else {
                    state.apply(change);
                }
            }
        }
    }

    fn hours(state: &mut State, hours: u32, in_use: &[&str]) {
        for _ in 0..hours {
            state
                .apply(Change::HourPassed { in_use: in_use.iter().map(|name| (*name).to_owned()).collect() });
        }
    }

    #[test]
    fn offsets_of_a_group_without_members_expire_after_a_week_without_commits() {
        let mut state = State::default();
        for group in ["quiet", "committing", "with members"] {
            state.apply(commit(group, 0, 0, 5));
        }
        hours(&mut state, RETENTION_HOURS - 1, &["with members"]);
        state.apply(commit("committing", 0, 0, 6));
        // Also across a restart with a compacted log.
        let mut again = State::default();
        state.changes().into_iter().for_each(|change| again.apply(change));
        assert_eq!(again.groups().count(), 3);
        hours(&mut again, 1, &["with members"]);
        assert_eq!(again.groups().collect::<Vec<_>>(), ["committing", "with members"]);
        hours(&mut again, RETENTION_HOURS, &[]);
        assert_eq!(again, State::default(), "nothing is left, and nothing is counted");
    }

    #[test]
    fn commits_beyond_the_limits_are_refused_and_a_known_offset_can_still_be_committed() {
        let note = "x".repeat(4_096);
        let large = |group: &str, topic_number: u128| Change::Commit {
            group: group.to_owned(),
            offsets: (0..1_800)
                .map(|number| {
                    let committed = Committed { offset: 1, leader_epoch: -1, metadata: note.clone() };
                    (PartitionId { topic: topic(topic_number), number }, committed)
                })
                .collect(),
            idle_hours: 0,
        };
        let mut state = State::default();
        state.apply(commit("small", 0, 0, 1));
        state.apply(large("large", 1));
        assert_eq!(state.admit(&large("large", 2), 0), Err(ErrorCode::InvalidCommitOffsetSize), "of a group");
        let mut groups = 0;
        while state.admit(&large(&groups.to_string(), 1), 0).is_ok() {
            state.apply(large(&groups.to_string(), 1));
            groups += 1;
        }
        assert!((5..10).contains(&groups), "{groups}");
        assert!(state.bytes <= MAX_BYTES);
        assert_eq!(state.admit(&commit("small", 0, 0, 2), MAX_BYTES), Ok(0), "it is already there");
        assert_eq!(state.admit(&large("large", 1), MAX_BYTES), Ok(0), "so are all of these");
        let more = commit("small", 0, 1, 2);
        assert_eq!(state.admit(&more, MAX_BYTES - state.bytes), Err(ErrorCode::InvalidCommitOffsetSize));
    }
}
