//! What consumer groups have committed, and the states of transactions, in an append-only log on disk. Changes that arrive while one is being written are written together
//! with the next.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, RwLock};

use roundhouse_part::EmbeddedError;
use roundhouse_part::lock;
use roundhouse_part::record_log::{LogFile, RecordLog};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::PART;
use crate::error_code::ErrorCode;
use crate::transactions::Transaction;

/// The log's files and limits.
const FILE: LogFile = LogFile {
    part: PART,
    name: "offsets.jsonl",
    mark: "offsets.durable",
    format: 1,
    max_bytes: 256 << 20,
    without_backup: "consumer groups begin where their `auto.offset.reset` says",
};

/// Size of the log at which it is compacted for the first time.
const MIN_COMPACTION_BYTES: u64 = 1 << 20;

/// How many times its size after the last compaction the log reaches before the next one.
const COMPACTION_FACTOR: u64 = 4;

/// Changes that wait for the disk.
const QUEUE: usize = 256;

/// An offset that a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub offset: i64,
    /// The epoch of the partition's leader as the client knows it, or -1.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: String,
}

/// The name of a topic, and the number of one of its partitions.
pub(crate) type TopicPartition = (String, i32);

/// The offsets of one group.
pub(crate) type GroupOffsets = BTreeMap<TopicPartition, Committed>;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    Commit {
        group: String,
        offsets: Vec<(TopicPartition, Committed)>,
    },
    /// Forgets the offsets of a group for some partitions.
    Forget {
        group: String,
        partitions: Vec<TopicPartition>,
    },
    ForgetGroup {
        group: String,
    },
    ForgetTopic {
        topic: String,
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
        offsets: Vec<(String, Vec<(TopicPartition, Committed)>)>,
    },
    ForgetTransaction {
        id: String,
    },
}

/// What the changes have led to.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    groups: BTreeMap<String, GroupOffsets>,
    transactions: BTreeMap<String, Transaction>,
}

impl State {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Commit { group, offsets } => self.commit(group, offsets),
            Change::Forget { group, partitions } => {
                if let Some(offsets) = self.groups.get_mut(&group) {
                    partitions.iter().for_each(|partition| drop(offsets.remove(partition)));
                    if offsets.is_empty() {
                        self.groups.remove(&group);
                    }
                }
            }
            Change::ForgetGroup { group } => drop(self.groups.remove(&group)),
            Change::ForgetTopic { topic } => {
                self.groups.retain(|_, offsets| {
                    offsets.retain(|(name, _), _| *name != topic);
                    !offsets.is_empty()
                });
            }
            Change::Transaction { id, state } => drop(self.transactions.insert(id, state)),
            Change::EndTransaction { id, state, offsets } => {
                offsets.into_iter().for_each(|(group, offsets)| self.commit(group, offsets));
                self.transactions.insert(id, state);
            }
            Change::ForgetTransaction { id } => drop(self.transactions.remove(&id)),
        }
    }

    /// A group has at least one offset: a transaction may end without any.
    fn commit(&mut self, group: String, offsets: Vec<(TopicPartition, Committed)>) {
        if !offsets.is_empty() {
            self.groups.entry(group).or_default().extend(offsets);
        }
    }

    /// Returns the changes that lead to this state.
    fn changes(&self) -> Vec<Change> {
        let change = |(group, offsets): (&String, &GroupOffsets)| Change::Commit {
            group: group.clone(),
            offsets: offsets.iter().map(|(partition, offset)| (partition.clone(), offset.clone())).collect(),
        };
        let transaction = |(id, state): (&String, &Transaction)| Change::Transaction {
            id: id.clone(),
            state: state.clone(),
        };
        self.groups.iter().map(change).chain(self.transactions.iter().map(transaction)).collect()
    }
}

struct Job {
    change: Change,
    done: oneshot::Sender<Result<(), ErrorCode>>,
}

/// The committed offsets. A change is on disk before it is visible.
#[derive(Debug)]
pub(crate) struct Store {
    state: Arc<RwLock<State>>,
    jobs: mpsc::Sender<Job>,
    /// Ends when `jobs` is dropped.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests wait for its end"))]
    writer: JoinHandle<()>,
}

impl Store {
    /// Opens the log in a directory. Forgets the offsets of topics that are not `known`: a crash came between the deletion of a topic and
    /// that of its offsets. Blocks.
    ///
    /// # Errors
    /// The log cannot be read or written, or is damaged.
    pub fn open(directory: &Path, known: impl Fn(&str) -> bool) -> Result<Self, EmbeddedError> {
        let mut state = State::default();
        let log = RecordLog::open(directory, FILE, |change: Change| {
            state.apply(change);
            Ok(())
        })?;
        let mut writer = Writer { log, compacted_bytes: 0, state: Arc::new(RwLock::new(state)) };
        let gone = writer.topics().into_iter().filter(|topic| !known(topic));
        let forget: Vec<_> = gone.map(|topic| Change::ForgetTopic { topic }).collect();
        writer.write(forget).map_err(|error| EmbeddedError::directory(directory, error))?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let state = Arc::clone(&writer.state);
        Ok(Self { state, jobs, writer: tokio::task::spawn_blocking(move || writer.run(queue)) })
    }

    /// Returns the offset that a group has committed for a partition.
    pub fn committed(&self, group: &str, partition: &TopicPartition) -> Option<Committed> {
        lock::read(&self.state).groups.get(group)?.get(partition).cloned()
    }

    /// Returns everything that a group has committed.
    pub fn group(&self, group: &str) -> GroupOffsets {
        lock::read(&self.state).groups.get(group).cloned().unwrap_or_default()
    }

    /// Returns the groups that have committed something.
    pub fn groups(&self) -> Vec<String> {
        lock::read(&self.state).groups.keys().cloned().collect()
    }

    /// Returns whether a group has committed something.
    pub fn has_offsets(&self, group: &str) -> bool {
        lock::read(&self.state).groups.contains_key(group)
    }

    /// Returns the partitions of which an open transaction has an offset for this group.
    pub fn pending(&self, group: &str) -> HashSet<TopicPartition> {
        let state = lock::read(&self.state);
        let of_group = |transaction: &Transaction| transaction.groups.get(group).cloned().unwrap_or_default();
        state.transactions.values().flat_map(of_group).map(|(partition, _)| partition).collect()
    }

    /// Returns the states of all transactional ids.
    pub fn transactions(&self) -> Vec<(String, Transaction)> {
        let state = lock::read(&self.state);
        state.transactions.iter().map(|(id, state)| (id.clone(), state.clone())).collect()
    }

    /// Makes a change, and waits until it is on disk.
    ///
    /// # Errors
    /// The disk failed or is full, or the broker stops.
    pub async fn change(&self, change: Change) -> Result<(), ErrorCode> {
        let (done, written) = oneshot::channel();
        let stopped = ErrorCode::CoordinatorNotAvailable;
        self.jobs.send(Job { change, done }).await.map_err(|_| stopped)?;
        written.await.map_err(|_| stopped)?
    }

    /// Forgets what was committed for a topic.
    ///
    /// # Errors
    /// See [`Store::change`].
    pub async fn forget_topic(&self, topic: &str) -> Result<(), ErrorCode> {
        self.change(Change::ForgetTopic { topic: topic.to_owned() }).await
    }

    /// Waits until the files are closed.
    #[cfg(test)]
    pub async fn close(self) {
        drop(self.jobs);
        let _ = self.writer.await;
    }
}

/// Writes the log, on a thread of its own.
struct Writer {
    log: RecordLog<Change>,
    /// The size of the log after the last compaction.
    compacted_bytes: u64,
    state: Arc<RwLock<State>>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut waiting = Vec::with_capacity(QUEUE);
        while queue.blocking_recv_many(&mut waiting, QUEUE) > 0 {
            let (changes, done): (Vec<_>, Vec<_>) =
                waiting.drain(..).map(|job| (job.change, job.done)).unzip();
            let written = self.write(changes).map_err(|error| {
                tracing::error!(%error, "cannot write the log of committed offsets");
                ErrorCode::KafkaStorageError
            });
            // A client that is gone does not wait.
            for done in done {
                let _ = done.send(written);
            }
            if let Err(error) = self.compact() {
                tracing::warn!(%error, "cannot compact the log of committed offsets");
            }
        }
    }

    fn write(&mut self, changes: Vec<Change>) -> io::Result<()> {
        self.log.append_all(&changes).map_err(io::Error::other)?;
        let mut state = lock::write(&self.state);
        changes.into_iter().for_each(|change| state.apply(change));
        Ok(())
    }

    /// Compacts the log if it has grown enough: only the present state is written.
    fn compact(&mut self) -> io::Result<()> {
        let grown = MIN_COMPACTION_BYTES.max(self.compacted_bytes.saturating_mul(COMPACTION_FACTOR));
        // Long before the file is full, but not again and again.
        let limit = grown.min((FILE.max_bytes / 2).max(self.compacted_bytes + MIN_COMPACTION_BYTES));
        if self.log.bytes() < limit {
            return Ok(());
        }
        let changes = lock::read(&self.state).changes();
        self.log.replace_all(&changes).map_err(io::Error::other)?;
        self.compacted_bytes = self.log.bytes();
        Ok(())
    }

    fn topics(&self) -> Vec<String> {
        let state = lock::read(&self.state);
        let mut topics: Vec<_> =
            state.groups.values().flat_map(BTreeMap::keys).map(|(topic, _)| topic.clone()).collect();
        topics.sort();
        topics.dedup();
        topics
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offset(topic: &str, partition: i32, offset: i64) -> (TopicPartition, Committed) {
        let committed = Committed { offset, leader_epoch: -1, metadata: "note".to_owned() };
        ((topic.to_owned(), partition), committed)
    }

    fn commit(group: &str, topic: &str, partition: i32, at: i64) -> Change {
        Change::Commit { group: group.to_owned(), offsets: vec![offset(topic, partition, at)] }
    }

    #[tokio::test]
    async fn committed_offsets_are_there_after_a_restart() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(directory.path(), |_| true).expect("opened");
        for offset in 0..5 {
            store.change(commit("group", "bets", 0, offset)).await.expect("committed");
        }
        store.change(commit("group", "steps", 1, 9)).await.expect("committed");
        store.change(commit("other", "bets", 0, 7)).await.expect("committed");
        store.forget_topic("steps").await.expect("forgotten");
        store.change(Change::ForgetGroup { group: "other".to_owned() }).await.expect("forgotten");
        store.close().await;
        let store = Store::open(directory.path(), |_| true).expect("opened again");
        assert_eq!(
            store.committed("group", &("bets".to_owned(), 0)).map(|committed| committed.offset),
            Some(4)
        );
        assert_eq!(store.group("group").len(), 1);
        assert_eq!(store.groups(), ["group"]);
        store.close().await;
        let store = Store::open(directory.path(), |_| false).expect("without topics");
        assert_eq!(store.groups(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_log_does_not_grow_with_the_number_of_commits() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(directory.path(), |_| true).expect("opened");
        let metadata = "x".repeat(100_000);
        for offset in 0..60 {
            let committed = Committed { offset, leader_epoch: -1, metadata: metadata.clone() };
            let offsets = vec![(("bets".to_owned(), 0), committed)];
            store.change(Change::Commit { group: "group".to_owned(), offsets }).await.expect("committed");
        }
        store.close().await;
        let bytes = std::fs::metadata(directory.path().join(FILE.name)).expect("the log").len();
        assert!(bytes < 2 * MIN_COMPACTION_BYTES, "{bytes}");
        let store = Store::open(directory.path(), |_| true).expect("opened again");
        assert_eq!(
            store.committed("group", &("bets".to_owned(), 0)).map(|committed| committed.offset),
            Some(59)
        );
    }

    fn changes() -> impl Strategy<Value = Change> {
        let name = || prop::sample::select(vec!["a", "b", "c"]);
        prop_oneof![
            (name(), name(), 0..3, 0_i64..100)
                .prop_map(|(group, topic, partition, offset)| commit(group, topic, partition, offset)),
            (name(), name(), 0..3).prop_map(|(group, topic, partition)| Change::Forget {
                group: group.to_owned(),
                partitions: vec![(topic.to_owned(), partition)],
            }),
            name().prop_map(|group| Change::ForgetGroup { group: group.to_owned() }),
            name().prop_map(|topic| Change::ForgetTopic { topic: topic.to_owned() }),
            (name(), name(), any::<bool>()).prop_map(|(id, group, has_offsets)| Change::EndTransaction {
                id: id.to_owned(),
                state: Transaction::new(7, 1_000),
                offsets: vec![(
                    group.to_owned(),
                    if has_offsets { vec![offset("a", 0, 5)] } else { Vec::new() }
                )],
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_compacted_log_means_the_same(changes in proptest::collection::vec(changes(), 0..60)) {
            let mut state = State::default();
            changes.into_iter().for_each(|change| state.apply(change));
            prop_assert!(state.groups.values().all(|offsets| !offsets.is_empty()));
            let mut again = State::default();
            state.changes().into_iter().for_each(|change| again.apply(change));
            prop_assert_eq!(again, state);
        }
    }
}
