//! A log with one topic of one partition, for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Appended, Batch, Log, Partition, TopicEntry, TopicSettings};

/// The log, its directory, and a runtime that syncs it.
pub(super) struct TestLog {
    pub runtime: Runtime,
    pub directory: TempDir,
    log: Option<Arc<Log>>,
}

pub(super) fn topic() -> TopicEntry {
    TopicEntry { name: "topic".to_owned(), id: Uuid::from_u128(7), partitions: 1 }
}

/// Opens the log of these topics.
pub(super) fn try_open(directory: &Path, topics: &[TopicEntry]) -> std::io::Result<Log> {
    Log::open(directory, topics, 4, CancellationToken::new())
}

/// Appends a batch, and waits until it is on disk.
pub(super) async fn append_to(partition: &Arc<Partition>, bytes: Bytes) -> Appended {
    let batch = Batch::from_producer(bytes, 1 << 20).expect("a batch");
    let appended = partition.append(&batch).expect("appended");
    partition.wait_until_safe(appended).await.expect("safe");
    appended
}

impl TestLog {
    /// Creates the topic.
    pub fn new(settings: TopicSettings) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = try_open(directory.path(), &[]).expect("opened");
        log.create(&topic(), settings).expect("created");
        log.undo_deletion(&topic().name).expect("listed by the catalogue");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self { runtime: runtime.expect("a runtime"), directory, log: Some(Arc::new(log)) }
    }

    pub fn log(&self) -> &Arc<Log> {
        self.log.as_ref().expect("open")
    }

    pub fn partition(&self) -> Arc<Partition> {
        self.log().partition("topic", 0).expect("a partition")
    }

    /// Returns the directory of the partition.
    pub fn partition_directory(&self) -> PathBuf {
        self.directory.path().join(topic().id.to_string()).join("0")
    }

    /// Appends a batch, and waits until it is on disk.
    pub fn append(&self, bytes: impl Into<Bytes>) -> Appended {
        self.runtime.block_on(append_to(&self.partition(), bytes.into()))
    }

    pub fn close(&mut self) {
        self.log = None;
    }

    pub fn open_again(&mut self) {
        self.close();
        self.log = Some(Arc::new(try_open(self.directory.path(), &[topic()]).expect("opened")));
    }
}
