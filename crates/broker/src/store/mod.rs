//! What consumer groups have committed, and the states of transactions, in an append-only log on disk. Changes that arrive while one is
//! being written are written together with the next.
//!
//! Offsets belong to a topic by its id: those of a deleted topic do not apply to the next topic with its name. Limits: 64 MiB in all, 8 MiB
//! for each group and for each transaction. The offsets of a group without members expire after a week.
//!
//! If it is unknown what is in the log, because a failed write could not be undone, the broker ends: a start reads it again.

mod offset;
mod state;
mod transaction;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use roundhouse_part::EmbeddedError;
use roundhouse_part::lock;
use roundhouse_part::record_log::{LogFile, RecordLog};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::offset::{Committed, GroupOffsets, PartitionId};
use self::state::State;
pub(crate) use self::state::{Change, RETENTION_HOURS};
pub(crate) use self::transaction::{End, MAX_TIMEOUT_MS, Phase, Producer, TopicPartition, Transaction};
use self::writer::{Job, Writer};
use crate::PART;
use crate::error_code::ErrorCode;

/// The log's files and limits.
const FILE: LogFile = LogFile {
    part: PART,
    name: "offsets.jsonl",
    mark: "offsets.durable",
    format: 2,
    max_bytes: 256 << 20,
    without_backup: "consumer groups begin where their `auto.offset.reset` says",
};

/// Changes that wait for the disk.
const QUEUE: usize = 256;

/// The committed offsets and the transactions. A change is on disk before it is visible.
#[derive(Debug)]
pub(crate) struct Store {
    state: Arc<RwLock<State>>,
    jobs: mpsc::Sender<Job>,
    /// Number of changes that are in the queue or being written.
    in_flight: Arc<AtomicUsize>,
    /// Ends when `jobs` is dropped.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests wait for its end"))]
    writer: JoinHandle<()>,
}

/// A place in the queue of changes.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    place: mpsc::Permit<'a, Job>,
    in_flight: &'a AtomicUsize,
}

/// A change that was sent and may not be on disk yet.
#[derive(Debug)]
pub(crate) struct Sent(oneshot::Receiver<Result<(), ErrorCode>>);

impl Store {
    /// Opens the log in a directory. Forgets the offsets of topics that are not `known`: a crash came between the deletion of a topic and
    /// that of its offsets. Blocks. `failure` is cancelled when it is unknown what the log contains.
    ///
    /// # Errors
    /// The log cannot be read or written, or is damaged.
    pub fn open(
        directory: &Path,
        known: impl Fn(Uuid) -> bool,
        failure: CancellationToken,
    ) -> Result<Self, EmbeddedError> {
        let mut state = State::default();
        let log = RecordLog::open(directory, FILE, |change: Change| {
            state.apply(change);
            Ok(())
        })?;
        let gone = state.topics().into_iter().filter(|topic| !known(*topic));
        let forget: Vec<_> = gone.map(|topic| Change::ForgetTopic { topic }).collect();
        let (state, in_flight) = (Arc::new(RwLock::new(state)), Arc::default());
        let mut writer = Writer::new(log, Arc::clone(&state), Arc::clone(&in_flight), failure);
        writer.write(forget).map_err(|error| EmbeddedError::directory(directory, error))?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        Ok(Self { state, jobs, in_flight, writer: tokio::task::spawn_blocking(move || writer.run(queue)) })
    }

    /// Returns the offset that a group has committed for a partition.
    pub fn committed(&self, group: &str, partition: PartitionId) -> Option<Committed> {
        lock::read(&self.state).group(group)?.get(&partition).cloned()
    }

    /// Returns everything that a group has committed.
    pub fn group(&self, group: &str) -> GroupOffsets {
        lock::read(&self.state).group(group).cloned().unwrap_or_default()
    }

    /// Returns the groups that have committed something.
    pub fn groups(&self) -> Vec<String> {
        lock::read(&self.state).groups().cloned().collect()
    }

    /// Returns whether a group has committed something.
    pub fn has_offsets(&self, group: &str) -> bool {
        lock::read(&self.state).group(group).is_some()
    }

    /// Returns the partitions of which an open transaction has an offset for this group.
    pub fn pending(&self, group: &str) -> HashSet<PartitionId> {
        let state = lock::read(&self.state);
        let of_group = |transaction: &Transaction| transaction.groups.get(group).cloned().unwrap_or_default();
        state.transactions().values().flat_map(of_group).map(|(partition, _)| partition).collect()
    }

    /// Returns the states of all transactional ids.
    pub fn transactions(&self) -> Vec<(String, Transaction)> {
        let state = lock::read(&self.state);
        state.transactions().iter().map(|(id, state)| (id.clone(), state.clone())).collect()
    }

    /// Waits for a place in the queue. The order of changes is that in which they are sent, not that in which places were reserved: so a
    /// caller can check under a lock whether a change is allowed, and send it under the same lock.
    ///
    /// # Errors
    /// The broker stops.
    pub async fn reserve(&self) -> Result<Slot<'_>, ErrorCode> {
        let place = self.jobs.reserve().await.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        Ok(Slot { place, in_flight: &self.in_flight })
    }

    /// Makes a change, and waits until it is on disk.
    ///
    /// # Errors
    /// The disk failed or is full, a limit would be exceeded, or the broker stops.
    pub async fn change(&self, change: Change) -> Result<(), ErrorCode> {
        self.reserve().await?.send(change).wait().await
    }

    /// Waits until everything that was sent before has taken effect.
    ///
    /// # Errors
    /// The broker stops.
    pub async fn settle(&self) -> Result<(), ErrorCode> {
        if self.in_flight.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        self.reserve().await?.send_job(None).wait().await
    }

    /// Returns how many changes may wait.
    #[cfg(test)]
    pub fn queue_size(&self) -> usize {
        self.jobs.max_capacity()
    }

    /// Waits until the files are closed.
    #[cfg(test)]
    pub async fn close(self) {
        drop(self.jobs);
        let _ = self.writer.await;
    }
}

impl Slot<'_> {
    /// Sends a change.
    pub fn send(self, change: Change) -> Sent {
        self.send_job(Some(change))
    }

    fn send_job(self, change: Option<Change>) -> Sent {
        let (done, written) = oneshot::channel();
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.place.send(Job { change, done });
        Sent(written)
    }
}

impl Sent {
    /// Waits until the change is on disk and visible.
    ///
    /// # Errors
    /// See [`Store::change`].
    pub async fn wait(self) -> Result<(), ErrorCode> {
        self.0.await.map_err(|_| ErrorCode::CoordinatorNotAvailable)?
    }
}

#[cfg(test)]
pub(crate) mod tests;
