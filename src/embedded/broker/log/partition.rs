//! One partition: its segments, the state for appending, and the offset up to which records are on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nisshi_sans_io::ErrorCode;
use tokio::sync::watch;

use super::Shared;
use super::batch::Batch;
use super::damage::{Damage, PartitionName, Place, ReadError};
use super::producers::{Producers, Verdict};
use super::recovery::{Recovered, recover};
use super::segment::{self, Batches, Segment, producers_path};
use crate::durable::{replace_file, sync_directory};
use crate::embedded::mark::{Known, Mark};
use crate::lock::{self, lock};

/// Bytes after which a new segment begins. A start reads at most this much per partition.
const SEGMENT_BYTES: u64 = 128 << 20;

/// Name of the file with the first offset, if records were deleted.
const START_FILE: &str = "start";

/// Name of the file with the offset up to which records are on disk.
const MARK_FILE: &str = "durable";

/// How often the mark itself is synced. In between, it survives only the end of the process.
const MARK_SYNC_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in super::super) struct Partition {
    name: PartitionName,
    directory: PathBuf,
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    segments: RwLock<Vec<Arc<Segment>>>,
    start: AtomicI64,
    /// The offset up to which records are on disk, and so acknowledged and visible to consumers. Negative once the partition is deleted.
    safe: watch::Sender<i64>,
    syncing: AtomicBool,
    mark: Mutex<MarkState>,
}

#[derive(Debug)]
struct Writer {
    next_offset: i64,
    producers: Producers,
    closed: bool,
}

#[derive(Debug)]
struct MarkState {
    mark: Mark,
    synced_at: Instant,
    is_synced: bool,
}

/// The result of [`Partition::append`]. The records are on disk once [`Partition::wait_until_safe`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Appended {
    pub base_offset: i64,
    pub next_offset: i64,
}

impl MarkState {
    /// Moves the mark. If it cannot be written, records are still accepted; damage at the end could then go unnoticed.
    fn set(&mut self, end: u64, sync: bool) {
        let set = self.mark.set(end, sync);
        self.is_synced = sync && set.is_ok();
        if sync {
            self.synced_at = Instant::now();
        }
        if let Err(error) = set {
            tracing::warn!(%error, "cannot write the mark of the log's end");
        }
    }
}

impl Partition {
    /// Opens a partition's directory, creates it if necessary, and recovers it after a crash.
    ///
    /// `is_new`: the partition may not have been created yet.
    pub(super) fn open(
        name: PartitionName,
        directory: &Path,
        shared: &Arc<Shared>,
        is_new: bool,
    ) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mark_path = directory.join(MARK_FILE);
        let known = Mark::load(&mark_path, Some(name.owner()))?;
        let bases = segment::base_offsets(directory)?;
        let opening = Opening { name: &name, directory, shared, known: &known, is_new };
        let Opened { segments, next_offset, producers, is_changed } = opening.run(&bases)?;
        // Creating a mark also syncs all names in its directory.
        if is_changed && matches!(known, Known::Marked(_)) {
            sync_directory(directory)?;
        }
        let mark = known.reaching(&mark_path, name.owner(), next_offset.cast_unsigned())?;
        let first = segments.first().map_or(0, |segment| segment.base_offset);
        let start = load_start(directory, first)?;
        let partition = Self {
            directory: directory.to_owned(),
            shared: Arc::clone(shared),
            writer: Mutex::new(Writer { next_offset, producers, closed: false }),
            start: AtomicI64::new(start),
            safe: watch::Sender::new(next_offset),
            syncing: AtomicBool::new(false),
            mark: Mutex::new(MarkState { mark, synced_at: Instant::now(), is_synced: true }),
            segments: RwLock::new(segments),
            name,
        };
        partition.report_damages();
        Ok(partition)
    }

    /// Reports the damages found at the start.
    fn report_damages(&self) {
        let segments = lock::read(&self.segments).clone();
        if let Some(first) = segments.first().filter(|first| first.base_offset > self.start_offset()) {
            self.report_missing(first);
        }
        for segment in &segments {
            segment.damages().into_iter().for_each(|damage| self.report(segment, damage));
        }
    }

    /// Reports that the file with the records before the first segment is missing.
    fn report_missing(&self, first: &Segment) {
        let damage = Damage { first: self.start_offset(), next: first.base_offset, position: 0, end: 0 };
        self.report(first, damage);
    }

    fn report(&self, segment: &Segment, damage: Damage) {
        let is_deleted = *self.safe.borrow() < 0;
        if !is_deleted && damage.next > self.start_offset() {
            let place = Place { partition: self.name.clone(), file: segment.path.clone(), damage };
            self.shared.damages.note(place);
        }
    }

    /// Returns the offset of the first record.
    pub fn start_offset(&self) -> i64 {
        self.start.load(Ordering::Acquire)
    }

    /// Returns the offset after the last record that is on disk: the high watermark.
    pub fn end_offset(&self) -> i64 {
        (*self.safe.borrow()).max(0)
    }

    /// Returns a receiver for changes of [`Partition::end_offset`].
    pub fn watch_end(&self) -> watch::Receiver<i64> {
        self.safe.subscribe()
    }

    /// Appends a batch, unless it was appended before. Blocks until it is in the page cache.
    ///
    /// # Errors
    /// The Kafka error for the producer.
    pub fn append(self: &Arc<Self>, batch: &Batch) -> Result<Appended, ErrorCode> {
        let mut writer = self.writer();
        if writer.closed {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        if let Verdict::Stored(base_offset) = writer.producers.judge(&batch.header)? {
            return Ok(Appended { base_offset, next_offset: batch.header.at(base_offset).next_offset() });
        }
        let stored = batch.header.at(writer.next_offset);
        self.write(&writer, batch).map_err(|error| {
            let directory = self.directory.display();
            tracing::error!(%directory, %error, "cannot append to the log");
            ErrorCode::KafkaStorageError
        })?;
        writer.producers.remember(&stored);
        writer.next_offset = stored.next_offset();
        let appended = Appended { base_offset: stored.base_offset, next_offset: writer.next_offset };
        drop(writer);
        self.sync_soon();
        Ok(appended)
    }

    /// Waits until the appended records are on disk.
    ///
    /// # Errors
    /// The partition was deleted in the meantime.
    pub async fn wait_until_safe(&self, appended: Appended) -> Result<(), ErrorCode> {
        let mut safe = self.safe.subscribe();
        match safe.wait_for(|safe| *safe < 0 || *safe >= appended.next_offset).await {
            Ok(safe) if *safe >= 0 => Ok(()),
            _ => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// Reads whole batches, starting with the one that contains `offset`: about `max_bytes`, but at least one batch if there is one.
    ///
    /// # Errors
    /// The record at `offset` is damaged. Reading can continue at the next whole batch.
    pub fn read(&self, offset: i64, max_bytes: usize) -> Result<Bytes, ReadError> {
        let segments = lock::read(&self.segments);
        let after = segments.partition_point(|segment| segment.base_offset <= offset);
        // If the offset is before the first segment, its file is missing.
        let segment = segments.get(after.saturating_sub(1)).cloned();
        drop(segments);
        let Some(segment) = segment else { return Ok(Bytes::new()) };
        if segment.base_offset > offset {
            self.report_missing(&segment);
            return Err(ReadError::Damaged);
        }
        match segment.read(offset, self.end_offset(), max_bytes)? {
            Batches::Whole(batches) => Ok(batches),
            Batches::Damaged(damage) => {
                self.report(&segment, damage);
                Err(ReadError::Damaged)
            }
        }
    }

    /// Returns the whole first batch that has a record at least as new as `timestamp` (milliseconds).
    pub fn first_since(&self, timestamp: i64) -> io::Result<Option<Bytes>> {
        let segments = lock::read(&self.segments).clone();
        for segment in segments {
            let found = segment.first_since(timestamp, self.start_offset(), self.end_offset());
            segment.damages().into_iter().for_each(|damage| self.report(&segment, damage));
            if let Some(batch) = found? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Deletes the records before `offset`. Disk space is freed by whole segments.
    ///
    /// # Errors
    /// The offset does not exist, or the files cannot be changed.
    pub fn delete_before(&self, offset: i64) -> Result<(), ErrorCode> {
        let _writer = self.writer();
        if offset > self.end_offset() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if offset <= self.start_offset() {
            return Ok(());
        }
        self.move_start(offset).map_err(|error| {
            tracing::error!(directory = %self.directory.display(), %error, "cannot delete records");
            ErrorCode::KafkaStorageError
        })
    }

    fn move_start(&self, offset: i64) -> io::Result<()> {
        replace_file(&self.directory.join(START_FILE), offset.to_string().as_bytes())?;
        self.start.store(offset, Ordering::Release);
        self.shared.damages.forget(&self.name, offset);
        let mut segments = lock::write(&self.segments);
        while segments.get(1).is_some_and(|second| second.base_offset <= offset) {
            let first = segments.remove(0);
            first.delete(&self.directory)?;
        }
        Ok(())
    }

    /// Refuses further records, and wakes everyone who waits for records.
    pub fn close(&self) {
        self.writer().closed = true;
        self.safe.send_replace(-1);
        self.shared.damages.forget(&self.name, i64::MAX);
    }

    /// Waits until all appended records, and the mark, are on disk.
    pub fn sync_now(&self) -> io::Result<()> {
        let writer = self.writer();
        let mut state = lock(&self.mark);
        let end = writer.next_offset.cast_unsigned();
        if state.is_synced && state.mark.end() == end {
            return Ok(());
        }
        self.active().map_or(Ok(()), |segment| segment.sync())?;
        state.set(end, true);
        Ok(())
    }

    /// Moves the mark: everything before this offset is on disk.
    fn mark_durable(&self, next_offset: i64) {
        let mut state = lock(&self.mark);
        let end = next_offset.cast_unsigned();
        if end > state.mark.end() {
            let sync = state.synced_at.elapsed() >= MARK_SYNC_INTERVAL;
            state.set(end, sync);
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        lock(&self.writer)
    }

    fn active(&self) -> Option<Arc<Segment>> {
        lock::read(&self.segments).last().cloned()
    }

    fn write(&self, writer: &Writer, batch: &Batch) -> io::Result<()> {
        let mut segment = self.active().ok_or_else(|| io::Error::other("no segment"))?;
        let bytes = segment.end().bytes;
        if bytes > 0 && bytes + batch.header.bytes > SEGMENT_BYTES {
            segment = self.roll(writer, &segment)?;
        }
        segment.append(batch, writer.next_offset)
    }

    /// Begins a new segment, after syncing the full one.
    fn roll(&self, writer: &Writer, full: &Segment) -> io::Result<Arc<Segment>> {
        full.sync()?;
        writer.producers.save(&producers_path(&self.directory, writer.next_offset))?;
        let segment = Segment::create(&self.shared.files, &self.directory, writer.next_offset)?;
        let segment = Arc::new(segment);
        sync_directory(&self.directory)?;
        lock::write(&self.segments).push(Arc::clone(&segment));
        Ok(segment)
    }

    /// Syncs in the background. What is appended during one sync is covered by the next.
    fn sync_soon(self: &Arc<Self>) {
        if !self.syncing.swap(true, Ordering::AcqRel) {
            let partition = Arc::clone(self);
            tokio::task::spawn_blocking(move || partition.sync_until_quiet());
        }
    }

    fn sync_until_quiet(&self) {
        loop {
            let (segment, next_offset) = {
                let writer = self.writer();
                (self.active(), writer.next_offset)
            };
            let synced = segment.map_or(Ok(()), |segment| segment.sync());
            if let Err(error) = synced {
                if *self.safe.borrow() < 0 {
                    // Its files were deleted in the meantime.
                    return;
                }
                // It is now unknown what is on disk, and stays so until a restart reads it.
                tracing::error!(directory = %self.directory.display(), %error, "cannot sync the log");
                self.writer().closed = true;
                self.shared.failure.cancel();
                return;
            }
            // Before the acknowledgement: the mark must cover everything that is acknowledged.
            self.mark_durable(next_offset);
            self.safe.send_modify(|safe| {
                if *safe >= 0 {
                    *safe = next_offset.max(*safe);
                }
            });
            self.syncing.store(false, Ordering::Release);
            let more = self.writer().next_offset > next_offset;
            if !more || self.syncing.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}

/// Parameters for opening a partition.
struct Opening<'a> {
    name: &'a PartitionName,
    directory: &'a Path,
    shared: &'a Arc<Shared>,
    known: &'a Known,
    is_new: bool,
}

/// The contents of a partition's directory.
struct Opened {
    segments: Vec<Arc<Segment>>,
    next_offset: i64,
    producers: Producers,
    /// Whether the directory has new names.
    is_changed: bool,
}

impl Opening<'_> {
    fn run(&self, bases: &[i64]) -> io::Result<Opened> {
        let files = &self.shared.files;
        let durable = self.durable(bases);
        let mut segments = Vec::with_capacity(bases.len() + 1);
        for (base, next) in bases.iter().zip(bases.iter().skip(1)) {
            segments.push(Arc::new(Segment::open(files, self.directory, *base, *next)?));
        }
        let base = bases.last().copied().unwrap_or(0);
        let mut producers = self.producers(base);
        let Some(base) = bases.last() else {
            // If its files are missing, a partition continues after the records that it had.
            let next_offset = durable.unwrap_or(0);
            segments.push(Arc::new(Segment::create(files, self.directory, next_offset)?));
            return Ok(Opened { segments, next_offset, producers, is_changed: true });
        };
        let recovered = recover(files, self.directory, *base, durable, |batch| producers.remember(batch))?;
        let Recovered { segment, is_closed, next_offset, is_cut } = recovered;
        if durable != Some(next_offset) {
            segment.sync()?;
        }
        segments.push(Arc::new(segment));
        if is_closed {
            // If batches are lost, the remaining ones do not show what producers sent last.
            producers = Producers::default();
            segments.push(Arc::new(Segment::create(files, self.directory, next_offset)?));
        }
        Ok(Opened { segments, next_offset, producers, is_changed: is_closed || is_cut })
    }

    /// Returns the offset up to which records are known to be on disk.
    fn durable(&self, bases: &[i64]) -> Option<i64> {
        let lost = match self.known {
            Known::Marked(mark) => return i64::try_from(mark.end()).ok(),
            Known::Damaged => true,
            Known::Nothing => !self.is_new && !bases.is_empty(),
        };
        if lost {
            let file = self.directory.join(MARK_FILE);
            tracing::error!(
                file = %file.display(),
                                "{}: the file that says how far the log was written is missing or damaged; records at the end of the log \
                                 may be lost without being noticed",
                self.name
            );
        }
        None
    }

    /// Returns what producers had sent before the last segment.
    fn producers(&self, base: i64) -> Producers {
        let path = producers_path(self.directory, base);
        Producers::load(&path).unwrap_or_else(|error| {
            tracing::error!(
                file = %path.display(),
                %error,
                "{}: cannot read what producers sent last; a batch that is sent again will be stored twice",
                self.name
            );
            Producers::default()
        })
    }
}

/// Returns the first offset that was not deleted. `first`: the start of the first segment.
fn load_start(directory: &Path, first: i64) -> io::Result<i64> {
    let path = directory.join(START_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(error),
    };
    Ok(text.parse().unwrap_or_else(|_| {
        tracing::error!(
            file = %path.display(),
            first,
            "the file that says which records were deleted is damaged; deleted records of the first segment are visible again"
        );
        first
    }))
}
