//! One transactional id as a state machine: no I/O and no clock. Each step returns the next state, which takes effect once it is on disk.
//!
//! Source: Kafka's KIP-98 and KIP-360, and its `TransactionCoordinator`. A difference: a request waits until the one before it is complete,
//! so no client sees `CONCURRENT_TRANSACTIONS`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::offset::{Committed, OVERHEAD_BYTES, PartitionId};
use crate::error_code::ErrorCode;

/// The longest time for a transaction, like Kafka's `transaction.max.timeout.ms`.
pub(crate) const MAX_TIMEOUT_MS: i32 = 15 * 60 * 1000;

/// The name of a topic, and the number of one of its partitions.
pub(crate) type TopicPartition = (String, i32);

/// Maximum partitions and offsets of one transaction.
const MAX_PARTS: usize = 100_000;

/// From this epoch on, a producer gets a new id. Fencing needs one more epoch.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// The id and the epoch of a producer. Of two producers with the same transactional id, only the one with the later epoch may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producer {
    pub id: i64,
    pub epoch: i16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    Commit,
    Abort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// No transaction, and how the last one ended.
    Idle(Option<End>),
    Ongoing,
    /// It is decided how the transaction ends. The partitions may not have the marker yet.
    Ending(End),
}

/// A transactional id: its producer, and its transaction if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transaction {
    pub producer: Producer,
    pub timeout_ms: i32,
    pub phase: Phase,
    /// Partitions that the producer may write to.
    pub partitions: BTreeSet<TopicPartition>,
    /// The consumer groups whose offsets the transaction may commit, and the offsets.
    pub groups: BTreeMap<String, Vec<(PartitionId, Committed)>>,
    /// The producer as the client knew it when it asked for the present one, if it knew one. If it asks with that again, it has not
    /// received the answer (KIP-360).
    pub before: Option<Producer>,
    /// When this changed last, in seconds since 1970.
    pub changed_at: u64,
}

impl Transaction {
    /// A transactional id that is used for the first time.
    pub fn new(id: i64, timeout_ms: i32) -> Self {
        Self {
            producer: Producer { id, epoch: 0 },
            timeout_ms,
            phase: Phase::Idle(None),
            partitions: BTreeSet::new(),
            groups: BTreeMap::new(),
            before: None,
            changed_at: 0,
        }
    }

    /// Gives the id to a producer that starts, and fences the one before it. There must be no transaction any more. `known`: the producer
    /// that the client was before, if it was one. `new_id`: for when the epochs of the present id are used up.
    pub fn started(&self, known: Option<Producer>, timeout_ms: i32, new_id: i64) -> Self {
        let producer = match self.producer {
            Producer { epoch: LAST_EPOCH.., .. } => Producer { id: new_id, epoch: 0 },
            Producer { id, epoch } => Producer { id, epoch: epoch + 1 },
        };
        Self { producer, timeout_ms, phase: Phase::Idle(None), before: known, ..self.clone() }
    }

    /// Checks that a client that was this producer before may start again. Returns whether it has already done so and did not receive the
    /// answer. The rules are Kafka's.
    ///
    /// # Errors
    /// Another producer has taken over.
    pub fn check_start(&self, known: Producer) -> Result<bool, ErrorCode> {
        if known == self.producer {
            Ok(false)
        } else if self.before == Some(known) {
            Ok(true)
        } else {
            Err(ErrorCode::ProducerFenced)
        }
    }

    /// Begins a transaction, unless there is one, and adds partitions to it.
    ///
    /// # Errors
    /// Another producer has taken over, or the transaction is ending.
    pub fn with_partitions(
        &self,
        producer: Producer,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<Self, ErrorCode> {
        let mut next = self.ongoing(producer)?;
        next.partitions.extend(partitions);
        next.within_limits()
    }

    /// Begins a transaction, unless there is one, and adds a consumer group to it.
    ///
    /// # Errors
    /// See [`Transaction::with_partitions`].
    pub fn with_group(&self, producer: Producer, group: &str) -> Result<Self, ErrorCode> {
        let mut next = self.ongoing(producer)?;
        next.groups.entry(group.to_owned()).or_default();
        next.within_limits()
    }

    /// Adds offsets of a group. The group has them when the transaction is committed.
    ///
    /// # Errors
    /// Another producer has taken over, or the group is not part of a transaction.
    pub fn with_offsets(
        &self,
        producer: Producer,
        group: &str,
        offsets: Vec<(PartitionId, Committed)>,
    ) -> Result<Self, ErrorCode> {
        self.check(producer)?;
        let mut next = self.clone();
        let known = next.groups.get_mut(group).filter(|_| self.phase == Phase::Ongoing);
        let known = known.ok_or(ErrorCode::InvalidTxnState)?;
        let replaced: HashSet<_> = offsets.iter().map(|(partition, _)| partition).collect();
        known.retain(|(partition, _)| !replaced.contains(partition));
        known.extend(offsets);
        next.within_limits()
    }

    /// Decides how the transaction ends. Returns nothing if it has already ended so: the client did not receive the first answer.
    ///
    /// # Errors
    /// Another producer has taken over, there is no transaction, or it ends in the other way.
    pub fn ending(&self, producer: Producer, end: End) -> Result<Option<Self>, ErrorCode> {
        self.check(producer)?;
        match self.phase {
            Phase::Ongoing => Ok(Some(Self { phase: Phase::Ending(end), ..self.clone() })),
            Phase::Ending(decided) if decided == end => Ok(Some(self.clone())),
            Phase::Idle(Some(ended)) if ended == end => Ok(None),
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Aborts an ongoing transaction whose producer is gone or late, and fences that producer.
    pub fn fenced(&self) -> Option<Self> {
        if self.phase != Phase::Ongoing {
            return None;
        }
        let Producer { id, epoch } = self.producer;
        let producer = Producer { id, epoch: epoch.saturating_add(1) };
        Some(Self { producer, phase: Phase::Ending(End::Abort), before: None, ..self.clone() })
    }

    /// The transaction has ended: all partitions have its marker. Returns the next state, and the offsets that the groups now have.
    pub fn ended(&self) -> (Self, BTreeMap<String, Vec<(PartitionId, Committed)>>) {
        let end = match self.phase {
            Phase::Ending(end) => Some(end),
            Phase::Idle(end) => end,
            Phase::Ongoing => None,
        };
        let next = Self {
            phase: Phase::Idle(end),
            partitions: BTreeSet::new(),
            groups: BTreeMap::new(),
            ..self.clone()
        };
        let groups = if end == Some(End::Commit) { self.groups.clone() } else { BTreeMap::new() };
        (next, groups)
    }

    /// Checks that this producer has the transactional id.
    pub fn check(&self, producer: Producer) -> Result<(), ErrorCode> {
        if producer.id != self.producer.id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        if producer.epoch != self.producer.epoch {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(())
    }

    /// What it takes in memory, roughly. `id`: the transactional id.
    pub fn bytes(&self, id: &str) -> usize {
        let partitions = self.partitions.iter().map(|(topic, _)| OVERHEAD_BYTES + topic.len());
        let offsets = self.groups.values().flatten().map(|(_, committed)| committed.bytes());
        let groups = self.groups.keys().map(|group| OVERHEAD_BYTES + group.len());
        OVERHEAD_BYTES + id.len() + partitions.chain(offsets).chain(groups).sum::<usize>()
    }

    fn ongoing(&self, producer: Producer) -> Result<Self, ErrorCode> {
        self.check(producer)?;
        match self.phase {
            Phase::Idle(_) | Phase::Ongoing => Ok(Self { phase: Phase::Ongoing, ..self.clone() }),
            Phase::Ending(_) => Err(ErrorCode::ConcurrentTransactions),
        }
    }

    fn within_limits(self) -> Result<Self, ErrorCode> {
        let parts =
            self.partitions.len() + self.groups.values().map(|offsets| 1 + offsets.len()).sum::<usize>();
        if parts > MAX_PARTS { Err(ErrorCode::InvalidRequest) } else { Ok(self) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn bets(partition: i32) -> TopicPartition {
        ("bets".to_owned(), partition)
    }

    fn place(number: i32) -> PartitionId {
        PartitionId { topic: Uuid::from_u128(1), number }
    }

    fn committed(offset: i64) -> Committed {
        Committed { offset, leader_epoch: -1, metadata: String::new() }
    }

    fn idle() -> Transaction {
        Transaction::new(7, 60_000)
    }

    #[test]
    fn a_commit_gives_the_groups_their_last_offsets_and_an_abort_gives_none() {
        for end in [End::Commit, End::Abort] {
            let producer = idle().producer;
            let ongoing = idle()
                .with_partitions(producer, [bets(0)])
                .and_then(|state| state.with_group(producer, "group"));
            let ongoing = ongoing
                .and_then(|state| state.with_offsets(producer, "group", vec![(place(1), committed(3))]));
            let ongoing = ongoing
                .and_then(|state| state.with_offsets(producer, "group", vec![(place(1), committed(5))]));
            let ending =
                ongoing.and_then(|state| state.ending(producer, end)).expect("ending").expect("a new state");
            let (ended, offsets) = ending.ended();
            assert_eq!(ended.phase, Phase::Idle(Some(end)));
            assert!(ended.partitions.is_empty() && ended.groups.is_empty());
            let expected = BTreeMap::from([("group".to_owned(), vec![(place(1), committed(5))])]);
            assert_eq!(offsets, if end == End::Commit { expected } else { BTreeMap::new() });
            assert_eq!(ended.ending(producer, end), Ok(None), "sent again");
            let other = if end == End::Commit { End::Abort } else { End::Commit };
            assert_eq!(ended.ending(producer, other), Err(ErrorCode::InvalidTxnState));
        }
    }

    #[test]
    fn a_decided_end_cannot_be_changed() {
        let producer = idle().producer;
        let ongoing = idle().with_partitions(producer, [bets(0)]).expect("ongoing");
        let ending = ongoing.ending(producer, End::Commit).expect("ending").expect("a new state");
        assert_eq!(ending.ending(producer, End::Abort), Err(ErrorCode::InvalidTxnState));
        assert_eq!(ending.ending(producer, End::Commit), Ok(Some(ending.clone())), "after a failed attempt");
        assert_eq!(ending.with_partitions(producer, [bets(1)]), Err(ErrorCode::ConcurrentTransactions));
        assert_eq!(ending.fenced(), None);
    }

    #[test]
    fn a_producer_that_starts_fences_the_one_before_it() {
        let first = idle();
        let second = first.started(None, 1_000, 99);
        assert_eq!(second.producer, Producer { id: 7, epoch: 1 });
        assert_eq!(second.with_group(first.producer, "group"), Err(ErrorCode::ProducerFenced));
        assert_eq!(second.check(first.producer), Err(ErrorCode::ProducerFenced));
        assert_eq!(second.check(second.producer), Ok(()));
        let other = Producer { id: 8, epoch: 1 };
        assert_eq!(second.with_group(other, "group"), Err(ErrorCode::InvalidProducerIdMapping));
        let last = Transaction { producer: Producer { id: 7, epoch: LAST_EPOCH }, ..first };
        assert_eq!(last.started(None, 1_000, 99).producer, Producer { id: 99, epoch: 0 });
    }

    #[test]
    fn a_client_that_did_not_receive_its_new_epoch_may_ask_again() {
        let first = idle();
        let known = first.producer;
        assert_eq!(first.check_start(known), Ok(false));
        let second = first.started(Some(known), 1_000, 99);
        assert_eq!(second.check_start(known), Ok(true), "the answer was lost");
        assert_eq!(second.check_start(second.producer), Ok(false));
        let third = second.started(Some(second.producer), 1_000, 99);
        assert_eq!(third.check_start(known), Err(ErrorCode::ProducerFenced), "it is two epochs behind");
        let other = second.started(None, 1_000, 99);
        assert_eq!(other.check_start(known), Err(ErrorCode::ProducerFenced), "another client has taken over");
        let late =
            second.with_partitions(second.producer, [bets(0)]).expect("ongoing").fenced().expect("late");
        assert_eq!(late.check_start(known), Err(ErrorCode::ProducerFenced), "its transaction was aborted");
        let last = Transaction { producer: Producer { id: 7, epoch: LAST_EPOCH }, ..first };
        let renewed = last.started(Some(last.producer), 1_000, 99);
        assert_eq!(renewed.producer, Producer { id: 99, epoch: 0 });
        assert_eq!(renewed.check_start(last.producer), Ok(true), "it did not receive its new id");
    }

    #[test]
    fn offsets_need_their_group_in_the_transaction() {
        let producer = idle().producer;
        let offsets = || vec![(place(0), committed(1))];
        assert_eq!(idle().with_offsets(producer, "group", offsets()), Err(ErrorCode::InvalidTxnState));
        let ongoing = idle().with_group(producer, "other").expect("ongoing");
        assert_eq!(ongoing.with_offsets(producer, "group", offsets()), Err(ErrorCode::InvalidTxnState));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Start,
        Partition(i32),
        Offset(i64),
        End(End),
        Fence,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Start),
            (0..3).prop_map(Step::Partition),
            (0_i64..100).prop_map(Step::Offset),
            prop_oneof![Just(End::Commit), Just(End::Abort)].prop_map(Step::End),
            Just(Step::Fence),
        ]
    }

    proptest! {
        /// The offsets of a group are those of the last committed transaction that had some, whatever else happens.
        #[test]
        fn only_committed_offsets_count(steps in proptest::collection::vec(step(), 0..40)) {
            let mut state = idle();
            let mut producer = state.producer;
            let (mut pending, mut expected, mut stored) = (None, None, None);
            for step in steps {
                let epoch = state.producer.epoch;
                let next = match step {
                    Step::Start => {
                        pending = None;
                        let (quiet, _) = state.fenced().unwrap_or_else(|| state.clone()).ended();
                        let started = quiet.started(None, 1, 1);
                        producer = started.producer;
                        Ok(started)
                    }
                    Step::Partition(number) => state.with_partitions(producer, [bets(number)]),
                    Step::Offset(offset) => {
                        let ongoing = state.with_group(producer, "group");
                        let next = ongoing.and_then(|state| state.with_offsets(producer, "group", vec![(place(0), committed(offset))]));
                        if next.is_ok() {
                            pending = Some(offset);
                        }
                        next
                    }
                    Step::End(end) => match state.ending(producer, end) {
                        Ok(Some(ending)) => {
                            let (next, groups) = ending.ended();
                            for (_, committed) in groups.into_values().flatten() {
                                stored = Some(committed.offset);
                            }
                            if end == End::Commit {
                                expected = pending.or(expected);
                            }
                            pending = None;
                            Ok(next)
                        }
                        Ok(None) => Ok(state.clone()),
                        Err(error) => Err(error),
                    },
                    Step::Fence => {
                        pending = None;
                        let next = state.fenced().map_or_else(|| state.clone(), |fenced| fenced.ended().0);
                        Ok(next)
                    }
                };
                if let Ok(next) = next {
                    prop_assert!(next.producer.epoch >= epoch);
                    state = next;
                }
                prop_assert_eq!(stored, expected);
            }
        }
    }
}
