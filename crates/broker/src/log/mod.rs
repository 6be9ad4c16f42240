//! The log of records: a directory per topic, a subdirectory per partition, and files of whole batches in Kafka's format.
//!
//! A batch is acknowledged and shown to consumers once `fdatasync` has written it to disk. One sync covers everything that was appended
//! while the previous one ran. A start reads the last file of each partition, checks every checksum, and cuts off an unfinished write
//! ([`recovery`]). Checksums are checked again whenever records are read: [`damage`]d records are reported and never served. Files are
//! opened when they are needed ([`files`]).
//!
//! Producers have epochs, sequence numbers and transactions ([`producers`], [`transactions`]). Old records are removed as the settings of
//! the topic say ([`cleaner`]).

mod batch;
mod checked_text;
mod cleaner;
mod codec;
mod compaction;
mod damage;
mod files;
mod partition;
mod producers;
mod records;
mod recovery;
mod retention;
mod segment;
mod settings;
mod snapshots;
mod transactions;
mod walk;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(super) use self::batch::{Batch, BatchError, Header};
use self::damage::PartitionName;
pub(super) use self::damage::{Damages, ReadError};
pub(super) use self::files::OpenFiles;
pub(super) use self::partition::{Appended, Fetched, Partition};
use self::settings::Settings;
pub(super) use self::settings::{SettingError, TopicSettings};
pub(super) use self::transactions::{Aborted, Isolation};
use crate::catalogue::TopicEntry;
use roundhouse_part::durable::{remove_if_exists, sync_directory};
use roundhouse_part::lock;

/// An empty file in the directory of a topic that is being deleted. A directory that the catalogue does not list is removed only with it:
/// the catalogue may be damaged or restored from an older backup.
const DELETION: &str = "deleted";

/// All stored records, by topic.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    shared: Arc<Shared>,
    topics: RwLock<HashMap<String, Arc<Topic>>>,
}

/// What all partitions share.
#[derive(Debug)]
struct Shared {
    files: Arc<OpenFiles>,
    damages: Damages,
    /// Cancelled when the disk fails. Only a restart can then find out what is on disk.
    failure: CancellationToken,
    /// Notified when the cleaner may have something to do.
    changed: Notify,
    /// Cancelled when the cleaner must end.
    stop: CancellationToken,
    /// Held while the cleaner works.
    cleaning: Mutex<()>,
}

/// A topic's partitions. The directory is named after the topic's id, so that a recreated topic starts empty.
#[derive(Debug)]
pub(super) struct Topic {
    pub id: Uuid,
    directory: PathBuf,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    partitions: Vec<Arc<Partition>>,
}

impl Log {
    /// Opens the log of these topics, and completes interrupted deletions of others.
    ///
    /// At most `open_files` are open at a time. `failure` is cancelled when the disk fails; only a restart can then find out what is on
    /// disk.
    ///
    /// # Errors
    /// The files cannot be read or written, or there are records of a topic that is neither one of these nor deleted.
    pub fn open(
        directory: &Path,
        topics: &[TopicEntry],
        open_files: usize,
        failure: CancellationToken,
    ) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        for entry in directory.read_dir()? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                let known = |topic: &TopicEntry| entry.file_name().to_str() == Some(&topic.id.to_string());
                complete_deletion(&entry.path(), topics.iter().any(known))?;
            }
        }
        let files = Arc::new(OpenFiles::new(open_files, failure.clone()));
        let shared = Arc::new(Shared {
            files,
            damages: Damages::default(),
            failure,
            changed: Notify::new(),
            stop: CancellationToken::new(),
            cleaning: Mutex::default(),
        });
        let log = Self { directory: directory.to_owned(), shared, topics: RwLock::default() };
        for topic in topics {
            log.open_topic(topic)?;
        }
        Ok(log)
    }

    /// Returns the topic with this name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        lock::read(&self.topics).get(name).cloned()
    }

    /// Returns the partition with this topic and number.
    pub fn partition(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.topic(topic)?.partition(partition)
    }

    /// Returns the known damages.
    pub fn damages(&self) -> &Damages {
        &self.shared.damages
    }

    /// Returns the open files.
    pub fn files(&self) -> &OpenFiles {
        &self.shared.files
    }

    /// Creates a topic.
    ///
    /// Until [`Log::undo_deletion`], the topic counts as being deleted, so that a crash before the catalogue lists it leaves nothing behind.
    pub fn create(&self, topic: &TopicEntry, settings: TopicSettings) -> io::Result<()> {
        let directory = self.directory_of(topic.id);
        fs::create_dir_all(&directory)?;
        File::create(directory.join(DELETION))?;
        self.open_partitions(topic, Arc::new(Settings::new(settings)), &[], true)?;
        settings.store(&directory)
    }

    /// Adds partitions to a topic, up to the number in its entry.
    pub fn add_partitions(&self, topic: &TopicEntry) -> io::Result<()> {
        let Some(known) = self.topic(&topic.name) else { return Ok(()) };
        self.open_partitions(topic, Arc::clone(&known.settings), &known.partitions, true)
    }

    /// Returns all topics, each with the numbers of its partitions.
    pub fn partitions(&self) -> Vec<(String, Vec<i32>)> {
        let numbers = |topic: &Topic| (0..topic.partitions.len() as i32).collect();
        lock::read(&self.topics).iter().map(|(name, topic)| (name.clone(), numbers(topic))).collect()
    }

    /// Returns the names of all topics by their ids.
    pub fn names(&self) -> HashMap<Uuid, String> {
        lock::read(&self.topics).iter().map(|(name, topic)| (topic.id, name.clone())).collect()
    }

    /// Returns the directory of the files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Opens a topic. If it has no settings, it comes from an earlier version, or a crash interrupted its creation; then no records can be
    /// missing.
    fn open_topic(&self, topic: &TopicEntry) -> io::Result<()> {
        let directory = self.directory_of(topic.id);
        let stored = TopicSettings::load(&directory)?;
        let settings = stored.unwrap_or_default();
        self.open_partitions(topic, Arc::new(Settings::new(settings)), &[], stored.is_none())?;
        if stored.is_none() { settings.store(&directory) } else { Ok(()) }
    }

    /// Opens the partitions of a topic that are not `open` yet.
    fn open_partitions(
        &self,
        topic: &TopicEntry,
        settings: Arc<Settings>,
        open: &[Arc<Partition>],
        is_new: bool,
    ) -> io::Result<()> {
        let directory = self.directory_of(topic.id);
        let known = open.iter().cloned().map(Ok);
        let missing = (open.len() as u32..topic.partitions).map(|number| {
            let name = PartitionName { topic: topic.name.clone(), topic_id: topic.id, number };
            let directory = directory.join(number.to_string());
            Partition::open(name, &directory, &self.shared, &settings, is_new).map(Arc::new)
        });
        let partitions = known.chain(missing).collect::<io::Result<_>>()?;
        sync_directory(&directory)?;
        sync_directory(&self.directory)?;
        let shared = Arc::clone(&self.shared);
        let opened = Arc::new(Topic { id: topic.id, directory, settings, shared, partitions });
        lock::write(&self.topics).insert(topic.name.clone(), opened);
        Ok(())
    }

    /// Records on disk that a topic is being deleted. To be called before the catalogue deletes the topic.
    pub fn begin_deletion(&self, name: &str) -> io::Result<()> {
        let Some(topic) = self.topic(name) else { return Ok(()) };
        File::create(topic.directory.join(DELETION))?;
        sync_directory(&topic.directory)
    }

    /// Undoes [`Log::begin_deletion`], if the catalogue could not delete the topic.
    pub fn undo_deletion(&self, name: &str) -> io::Result<()> {
        let Some(topic) = self.topic(name) else { return Ok(()) };
        remove_if_exists(&topic.directory.join(DELETION))
    }

    /// Removes a topic and its records.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let removed = lock::write(&self.topics).remove(name);
        let Some(topic) = removed else { return Ok(()) };
        topic.partitions.iter().for_each(|partition| partition.close());
        remove_directory(&topic.directory)
    }

    /// Ends the cleaner, and waits until everything is on disk.
    pub fn sync_all(&self) -> io::Result<()> {
        self.stop_cleaning();
        let topics: Vec<_> = lock::read(&self.topics).values().cloned().collect();
        topics.iter().flat_map(|topic| &topic.partitions).try_for_each(|partition| partition.sync_now())
    }

    fn directory_of(&self, topic: Uuid) -> PathBuf {
        self.directory.join(topic.to_string())
    }
}

impl Topic {
    /// Returns the settings in force.
    pub fn settings(&self) -> TopicSettings {
        self.settings.get()
    }

    /// Stores other settings, which are then in force. Callers must not change the same topic at the same time.
    ///
    /// # Errors
    /// They cannot be stored; the old ones stay in force.
    pub fn change(&self, settings: TopicSettings) -> io::Result<()> {
        settings.store(&self.directory)?;
        self.settings.set(settings);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Returns the partition with this number.
    pub fn partition(&self, number: i32) -> Option<Arc<Partition>> {
        self.partitions.get(usize::try_from(number).ok()?).cloned()
    }
}

/// Removes a topic's directory. The file [`DELETION`] is removed last, so that the next start completes an interrupted removal.
fn remove_directory(directory: &Path) -> io::Result<()> {
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else if path.file_name() != Some(DELETION.as_ref()) {
            fs::remove_file(path)?;
        }
    }
    remove_if_exists(&directory.join(DELETION))?;
    fs::remove_dir(directory)
}

/// Removes the directory of a deleted topic. A topic that the catalogue still lists was not deleted.
fn complete_deletion(directory: &Path, is_listed: bool) -> io::Result<()> {
    let deletion = directory.join(DELETION);
    if is_listed {
        remove_if_exists(&deletion)
    } else if deletion.try_exists()? || directory.read_dir()?.next().is_none() {
        remove_directory(directory)
    } else {
        let reason = format!(
            "log/{} has records of a topic that the catalogue does not list; restore the whole data directory from one backup, or move \
             that directory away to continue without its records",
            directory.file_name().unwrap_or_default().to_string_lossy()
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, reason))
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
