//! One partition: its segments, who may append, and up to where its records are safe on the disk.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use nisshi_sans_io::ErrorCode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::producers::{Producers, Verdict};
use super::segment::{self, Segment, producers_path};

/// Bytes after which a new segment is begun: what a restart reads of each partition at most.
const SEGMENT_BYTES: u64 = 128 << 20;

/// Name of the file that holds the first offset, where records were deleted.
const START_FILE: &str = "start";

#[derive(Debug)]
pub(in super::super) struct Partition {
    directory: PathBuf,
    writer: Mutex<Writer>,
    segments: RwLock<Vec<Arc<Segment>>>,
    start: AtomicI64,
    /// The offset up to which records are safe, so acknowledged and shown to consumers; negative once the partition is deleted.
    safe: watch::Sender<i64>,
    syncing: AtomicBool,
    /// Cancelled when the disk failed a sync.
    failure: CancellationToken,
}

#[derive(Debug)]
struct Writer {
    next_offset: i64,
    producers: Producers,
    closed: bool,
}

/// What [`Partition::append`] did: the records are safe once [`Partition::wait_until_safe`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Appended {
    pub base_offset: i64,
    pub next_offset: i64,
}

impl Partition {
    /// Opens a partition's directory, making it if need be, and mends what a crash left behind.
    pub fn open(directory: &Path, failure: CancellationToken) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut bases = segment::base_offsets(directory)?;
        let last = bases.pop();
        let mut segments = Vec::with_capacity(bases.len() + 1);
        for base in bases {
            segments.push(Arc::new(Segment::open(directory, base)?));
        }
        let base = last.unwrap_or(0);
        let mut producers = Producers::load(&producers_path(directory, base))?;
        let (active, next_offset) = match last {
            Some(base) => Segment::recover(directory, base, |batch| producers.remember(batch))?,
            None => (Segment::create(directory, 0)?, 0),
        };
        active.sync()?;
        segments.push(Arc::new(active));
        sync_directory(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            writer: Mutex::new(Writer { next_offset, producers, closed: false }),
            segments: RwLock::new(segments),
            start: AtomicI64::new(load_start(directory)?),
            safe: watch::Sender::new(next_offset),
            syncing: AtomicBool::new(false),
            failure,
        })
    }

    /// The offset of the first record.
    pub fn start_offset(&self) -> i64 {
        self.start.load(Ordering::Acquire)
    }

    /// The offset after the last record that is safe: the high watermark.
    pub fn end_offset(&self) -> i64 {
        (*self.safe.borrow()).max(0)
    }

    /// Follows [`Partition::end_offset`].
    pub fn watch_end(&self) -> watch::Receiver<i64> {
        self.safe.subscribe()
    }

    /// Appends a batch, or finds that it was already. Blocks for as long as the page cache takes.
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

    /// Waits until what was appended is on the disk.
    ///
    /// # Errors
    /// The partition was deleted meanwhile.
    pub async fn wait_until_safe(&self, appended: Appended) -> Result<(), ErrorCode> {
        let mut safe = self.safe.subscribe();
        match safe.wait_for(|safe| *safe < 0 || *safe >= appended.next_offset).await {
            Ok(safe) if *safe >= 0 => Ok(()),
            _ => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// Reads whole batches from the one that holds `offset` on: about `max_bytes`, at least one if there is one.
    pub fn read(&self, offset: i64, max_bytes: usize) -> io::Result<Bytes> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let behind = segments.partition_point(|segment| segment.base_offset <= offset);
        let segment = behind.checked_sub(1).and_then(|holding| segments.get(holding)).cloned();
        drop(segments);
        segment.map_or(Ok(Bytes::new()), |segment| segment.read(offset, self.end_offset(), max_bytes))
    }

    /// The first batch with a record at least as new as `timestamp` (milliseconds), whole.
    pub fn first_since(&self, timestamp: i64) -> io::Result<Option<Bytes>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner).clone();
        for segment in segments {
            if let Some(batch) = segment.first_since(timestamp, self.start_offset(), self.end_offset())? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Deletes the records before `offset`; their space comes back by whole segments.
    ///
    /// # Errors
    /// There is no such offset, or the disk refused.
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
        let draft = self.directory.join("start.draft");
        fs::write(&draft, offset.to_string())?;
        File::open(&draft)?.sync_all()?;
        fs::rename(&draft, self.directory.join(START_FILE))?;
        sync_directory(&self.directory)?;
        self.start.store(offset, Ordering::Release);
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        while segments.get(1).is_some_and(|second| second.base_offset <= offset) {
            let first = segments.remove(0);
            first.delete(&self.directory)?;
        }
        Ok(())
    }

    /// Refuses further records, and lets those who wait for something know.
    pub fn close(&self) {
        self.writer().closed = true;
        self.safe.send_replace(-1);
    }

    /// Waits until everything appended is on the disk.
    pub fn sync_now(&self) -> io::Result<()> {
        let _writer = self.writer();
        self.active().map_or(Ok(()), |segment| segment.sync())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn active(&self) -> Option<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    fn write(&self, writer: &Writer, batch: &Batch) -> io::Result<()> {
        let mut segment = self.active().ok_or_else(|| io::Error::other("no segment"))?;
        if segment.len() > 0 && segment.len() + batch.header.bytes > SEGMENT_BYTES {
            segment = self.roll(writer, &segment)?;
        }
        segment.append(batch, writer.next_offset)
    }

    /// Begins a new segment. The one before it is on the disk from then on.
    fn roll(&self, writer: &Writer, full: &Segment) -> io::Result<Arc<Segment>> {
        full.sync()?;
        writer.producers.save(&producers_path(&self.directory, writer.next_offset))?;
        let segment = Arc::new(Segment::create(&self.directory, writer.next_offset)?);
        sync_directory(&self.directory)?;
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&segment));
        Ok(segment)
    }

    /// Syncs in the background: whatever is appended while one sync runs is covered by the next.
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
            if let Err(error) = segment.map_or(Ok(()), |segment| segment.sync()) {
                // What the disk holds is unknown now, and stays so: a restart reads it back.
                tracing::error!(directory = %self.directory.display(), %error, "cannot sync the log");
                self.writer().closed = true;
                self.failure.cancel();
                return;
            }
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

fn load_start(directory: &Path) -> io::Result<i64> {
    match fs::read_to_string(directory.join(START_FILE)) {
        Ok(text) => text.parse().map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Waits until the names in a directory are on the disk.
pub(in super::super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
