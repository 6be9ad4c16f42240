//! The records: a directory per topic, in it one per partition, in it files of whole batches as Kafka keeps them.
//!
//! A batch is acknowledged, and shown to consumers, once `fdatasync` has put it on the disk; one sync covers all
//! that was appended while the one before it ran. A restart walks over the last file of each partition, checks
//! every checksum, and cuts off what was half written: nothing of it was acknowledged.

mod batch;
mod partition;
mod producers;
mod segment;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(super) use self::batch::{Batch, Header};
pub(super) use self::partition::{Appended, Partition, sync_directory};

/// Everything that is stored, by topic.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    failure: CancellationToken,
    topics: RwLock<HashMap<String, Arc<Topic>>>,
}

/// A topic's partitions. Its directory carries its id: a topic made anew under the same name starts empty.
#[derive(Debug)]
pub(super) struct Topic {
    pub id: Uuid,
    partitions: Vec<Arc<Partition>>,
}

/// A topic as the catalogue knows it.
#[derive(Clone, Debug)]
pub(super) struct TopicEntry {
    pub name: String,
    pub id: Uuid,
    pub partitions: u32,
}

impl Log {
    /// Opens the log of these topics, and removes what is left of any other.
    ///
    /// `failure` is cancelled when the disk fails: only a restart tells what it holds then.
    pub fn open(directory: &Path, topics: &[TopicEntry], failure: CancellationToken) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        for entry in directory.read_dir()? {
            let entry = entry?;
            let known = |topic: &TopicEntry| entry.file_name().to_str() == Some(&topic.id.to_string());
            if !topics.iter().any(known) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let log = Self { directory: directory.to_owned(), failure, topics: RwLock::default() };
        for topic in topics {
            log.add(topic)?;
        }
        Ok(log)
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The partition of that topic and number.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.topic(topic)?.partition(partition)
    }

    /// Makes the partitions of a topic.
    pub fn add(&self, topic: &TopicEntry) -> io::Result<()> {
        let directory = self.directory_of(topic.id);
        let partitions = (0..topic.partitions)
            .map(|number| {
                let directory = directory.join(number.to_string());
                Partition::open(&directory, self.failure.clone()).map(Arc::new)
            })
            .collect::<io::Result<_>>()?;
        sync_directory(&directory)?;
        sync_directory(&self.directory)?;
        let opened = Arc::new(Topic { id: topic.id, partitions });
        self.topics.write().unwrap_or_else(PoisonError::into_inner).insert(topic.name.clone(), opened);
        Ok(())
    }

    /// Forgets a topic and removes its records.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let removed = self.topics.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        let Some(topic) = removed else { return Ok(()) };
        topic.partitions.iter().for_each(|partition| partition.close());
        fs::remove_dir_all(self.directory_of(topic.id))
    }

    /// Waits until everything is on the disk.
    pub fn sync_all(&self) -> io::Result<()> {
        let topics: Vec<_> =
            self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        topics.iter().flat_map(|topic| &topic.partitions).try_for_each(|partition| partition.sync_now())
    }

    fn directory_of(&self, topic: Uuid) -> PathBuf {
        self.directory.join(topic.to_string())
    }
}

impl Topic {
    /// The partition of that number.
    pub fn partition(&self, number: i32) -> Option<Arc<Partition>> {
        self.partitions.get(usize::try_from(number).ok()?).cloned()
    }
}
