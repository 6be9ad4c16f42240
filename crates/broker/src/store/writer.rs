//! Writes the changes of the store to its log, on a thread of its own.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use roundhouse_part::lock;
use roundhouse_part::record_log::RecordLog;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::state::{Change, State};
use super::{FILE, QUEUE};
use crate::error_code::ErrorCode;

/// Size of the log at which it is compacted for the first time.
pub(super) const MIN_COMPACTION_BYTES: u64 = 1 << 20;

/// How many times its size after the last compaction the log reaches before the next one.
const COMPACTION_FACTOR: u64 = 4;

/// A change that waits. Without one, the sender only waits for those before it.
#[derive(Debug)]
pub(super) struct Job {
    pub change: Option<Change>,
    pub done: oneshot::Sender<Result<(), ErrorCode>>,
}

pub(super) struct Writer {
    log: RecordLog<Change>,
    /// The size of the log after the last compaction.
    compacted_bytes: u64,
    state: Arc<RwLock<State>>,
    in_flight: Arc<AtomicUsize>,
    failure: CancellationToken,
}

impl Writer {
    pub fn new(
        log: RecordLog<Change>,
        state: Arc<RwLock<State>>,
        in_flight: Arc<AtomicUsize>,
        failure: CancellationToken,
    ) -> Self {
        Self { log, compacted_bytes: 0, state, in_flight, failure }
    }

    /// Writes what comes, until nothing can come any more.
    pub fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        // Without this thread nothing can be committed. So if it ends in any way, the broker must.
        let _ends_the_broker = self.failure.clone().drop_guard();
        let mut waiting = Vec::with_capacity(QUEUE);
        while queue.blocking_recv_many(&mut waiting, QUEUE) > 0 {
            let jobs = waiting.len();
            self.write_all(&mut waiting);
            self.in_flight.fetch_sub(jobs, Ordering::AcqRel);
            if let Err(error) = self.compact() {
                tracing::warn!(%error, "cannot compact the log of committed offsets");
            }
            if self.log.is_broken() {
                return;
            }
        }
    }

    /// Writes the changes that the limits allow, and answers all.
    fn write_all(&mut self, jobs: &mut Vec<Job>) {
        let (mut changes, mut answers) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
        let mut more = 0;
        for Job { change, done } in jobs.drain(..) {
            let admitted =
                change.as_ref().map_or(Ok(0), |change| lock::read(&self.state).admit(change, more));
            match admitted {
                Ok(growth) => {
                    more += growth;
                    changes.extend(change);
                    answers.push((done, Ok(())));
                }
                Err(error) => answers.push((done, Err(error))),
            }
        }
        let written = self.write(changes).map_err(|error| {
            tracing::error!(%error, "cannot write the log of committed offsets");
            ErrorCode::KafkaStorageError
        });
        for (done, admitted) in answers {
            // A client that is gone does not wait.
            let _ = done.send(admitted.and(written));
        }
    }

    /// Writes changes. They take effect once they are on disk.
    pub fn write(&mut self, changes: Vec<Change>) -> io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
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
}
