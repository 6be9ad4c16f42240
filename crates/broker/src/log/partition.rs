//! One partition: its segments, the state for appending, and the offset up to which records are on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error_code::ErrorCode;
use bytes::Bytes;
use tokio::sync::watch;

use super::Shared;
use super::batch::{Batch, Header, Marker, Outcome, end_of};
use super::damage::{Damage, PartitionName, Place, ReadError};
use super::producers::{Producers, Verdict};
use super::recovery::{Recovered, recover};
use super::segment::{self, Batches, Segment, producers_path};
use super::settings::{Settings, TopicSettings};
use super::snapshots::producers_before;
use super::transactions::{self, Aborted, Ending, Ends, Isolation, OpenTransaction};
use roundhouse_part::durable::{replace_file, sync_directory};
use roundhouse_part::lock::{self, lock};
use roundhouse_part::mark::{Known, Mark};

/// Aborted transactions after which a new segment begins. Those of the last segment are in memory.
const MAX_ABORTED: usize = 1 << 14;

/// Name of the file with the first offset, if records were deleted.
const START_FILE: &str = "start";

/// Name of the file with the offset up to which records are on disk.
const MARK_FILE: &str = "durable";

/// How often the mark itself is synced. In between, it survives only the end of the process.
const MARK_SYNC_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Partition {
    name: PartitionName,
    directory: PathBuf,
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    writer: Mutex<Writer>,
    segments: RwLock<Vec<Arc<Segment>>>,
    start: AtomicI64,
    /// Which records are on disk, and so acknowledged and visible to consumers.
    safe: watch::Sender<Ends>,
    syncing: AtomicBool,
    mark: Mutex<MarkState>,
}

#[derive(Debug)]
struct Writer {
    next_offset: i64,
    producers: Producers,
    ending: Ending,
    /// Why nothing more is accepted: the topic was deleted, or the disk failed.
    closed: Option<ErrorCode>,
}

#[derive(Debug)]
struct MarkState {
    mark: Mark,
    synced_at: Instant,
    is_synced: bool,
}

/// The result of [`Partition::append`]. The records are on disk once [`Partition::wait_until_safe`] has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub base_offset: i64,
    pub next_offset: i64,
}

/// What a reader gets.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Whole batches.
    pub records: Bytes,
    /// The aborted transactions among them.
    pub aborted: Vec<Aborted>,
}

impl Writer {
    /// Returns how far readers can read, if the records before `end` are on disk.
    fn ends(&mut self, end: i64) -> Ends {
        let firsts = [self.producers.first_open(), self.ending.first_after(end)];
        Ends { end, stable: firsts.into_iter().flatten().fold(end, i64::min) }
    }

    /// Returns the result for everything that was appended.
    fn everything(&self) -> Appended {
        Appended { base_offset: self.next_offset, next_offset: self.next_offset }
    }
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
        settings: &Arc<Settings>,
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
        let mut writer = Writer { next_offset, producers, ending: Ending::default(), closed: None };
        let partition = Self {
            directory: directory.to_owned(),
            shared: Arc::clone(shared),
            settings: Arc::clone(settings),
            start: AtomicI64::new(start),
            safe: watch::Sender::new(writer.ends(next_offset)),
            writer: Mutex::new(writer),
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
        let segments = self.segments();
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
        if !self.is_deleted() && damage.next > self.start_offset() {
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
        self.visible_end(Isolation::ReadUncommitted)
    }

    /// Returns the bytes of its files.
    pub fn bytes(&self) -> u64 {
        lock::read(&self.segments).iter().map(|segment| segment.end().bytes).sum()
    }

    /// Returns the last stable offset: that of the first record of an open transaction, or the end offset.
    pub fn last_stable_offset(&self) -> i64 {
        self.visible_end(Isolation::ReadCommitted)
    }

    /// Returns the offset up to which a reader can read.
    pub fn visible_end(&self, isolation: Isolation) -> i64 {
        // Kafka does the same if records of an open transaction are deleted.
        let ends = *self.safe.borrow();
        ends.of(isolation).max(self.start_offset().min(ends.end))
    }

    /// Returns its name for users.
    pub(super) fn name(&self) -> &PartitionName {
        &self.name
    }

    pub(super) fn settings(&self) -> TopicSettings {
        self.settings.get()
    }

    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        lock::read(&self.segments).clone()
    }

    /// Removes old records, as the settings say. Returns when there may be more to do, in milliseconds since 1970.
    pub(super) fn clean(&self, now: i64) -> io::Result<Option<i64>> {
        if self.is_deleted() {
            return Ok(None);
        }
        let next = [self.expire(now)?, self.compact(now)?];
        Ok(next.into_iter().flatten().min())
    }

    /// Whether the cleaner must end.
    pub(super) fn is_stopping(&self) -> bool {
        self.shared.stop.is_cancelled()
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Replaces the file of a segment by a compacted one. Returns false, and removes the new file, if the segment was deleted.
    pub(super) fn replace_segment(
        &self,
        old: &Arc<Segment>,
        file: &Path,
        bytes: u64,
        aborted: &[Aborted],
    ) -> io::Result<bool> {
        let mut segments = lock::write(&self.segments);
        let place = segments.iter_mut().find(|segment| Arc::ptr_eq(segment, old));
        let Some(place) = place.filter(|_| !self.is_deleted()) else {
            fs::remove_file(file)?;
            return Ok(false);
        };
        let new = Arc::new(old.replace(&self.directory, file, bytes)?);
        *place = Arc::clone(&new);
        sync_directory(&self.directory)?;
        // In this order, a crash leaves transactions in the list whose records are gone. That is harmless.
        new.keep_aborted(aborted)?;
        Ok(true)
    }

    /// Begins a new segment if all records are before `offset`.
    pub(super) fn roll_if_before(&self, offset: i64) -> io::Result<()> {
        let writer = self.writer();
        match self.active() {
            Some(active)
                if writer.closed.is_none() && writer.next_offset <= offset && active.base_offset < offset =>
            {
                self.roll(&writer, &active).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Returns a receiver for changes of [`Partition::end_offset`] and [`Partition::last_stable_offset`].
    pub fn watch_end(&self) -> watch::Receiver<Ends> {
        self.safe.subscribe()
    }

    /// Whether its topic was deleted.
    pub fn is_deleted(&self) -> bool {
        self.safe.borrow().end < 0
    }

    /// Appends a batch, unless it was appended before. Blocks until it is in the page cache.
    ///
    /// # Errors
    /// The Kafka error for the producer.
    pub fn append(self: &Arc<Self>, batch: &Batch) -> Result<Appended, ErrorCode> {
        if !batch.has_keys && self.settings.get().cleanup_policy.compact {
            return Err(ErrorCode::InvalidRecord);
        }
        let mut writer = self.open_writer()?;
        if let Verdict::Stored(base_offset) = writer.producers.judge(&batch.header)? {
            return Ok(Appended { base_offset, next_offset: batch.header.at(base_offset).next_offset() });
        }
        self.store(&mut writer, batch)
    }

    /// Ends the open transaction of a producer, and refuses batches with an older epoch from now on. Blocks until that is in the page
    /// cache.
    ///
    /// Appends a control batch, unless the producer has no open transaction and has used this epoch already. So it can be called again,
    /// after a crash for example.
    ///
    /// # Errors
    /// The epoch is old, or the control batch cannot be written.
    pub fn end_transaction(
        self: &Arc<Self>,
        producer_id: i64,
        producer_epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
    ) -> Result<Appended, ErrorCode> {
        let mut writer = self.open_writer()?;
        if !writer.producers.needs_marker(producer_id, producer_epoch)? {
            return Ok(writer.everything());
        }
        let outcome = if commit { Outcome::Commit } else { Outcome::Abort };
        let timestamp = now();
        let marker = Marker { producer_id, producer_epoch, outcome, coordinator_epoch, timestamp };
        let batch = Batch::marker(marker).ok_or(ErrorCode::UnknownServerError)?;
        self.store(&mut writer, &batch)
    }

    /// Returns the open transactions, in the order of their first offsets.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.writer().producers.open_transactions()
    }

    fn open_writer(&self) -> Result<MutexGuard<'_, Writer>, ErrorCode> {
        let writer = self.writer();
        writer.closed.map_or(Ok(writer), Err)
    }

    /// Writes a batch, and remembers what it changes.
    fn store(self: &Arc<Self>, writer: &mut Writer, batch: &Batch) -> Result<Appended, ErrorCode> {
        let stored = batch.header.at(writer.next_offset);
        let segment = self.write(writer, batch).map_err(|error| {
            let directory = self.directory.display();
            tracing::error!(%directory, %error, "cannot append to the log");
            ErrorCode::KafkaStorageError
        })?;
        if let Some(ended) = writer.producers.remember(&stored, batch.outcome()) {
            writer.ending.add(ended.transaction);
            if ended.is_aborted {
                segment.add_aborted(ended.transaction);
            }
        }
        writer.next_offset = stored.next_offset();
        self.sync_soon();
        Ok(Appended { base_offset: stored.base_offset, next_offset: writer.next_offset })
    }

    /// Waits until the appended records are on disk.
    ///
    /// # Errors
    /// The partition was deleted in the meantime.
    pub async fn wait_until_safe(&self, appended: Appended) -> Result<(), ErrorCode> {
        let mut safe = self.safe.subscribe();
        match safe.wait_for(|safe| safe.end < 0 || safe.end >= appended.next_offset).await {
            Ok(safe) if safe.end >= 0 => Ok(()),
            _ => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// Reads whole batches, starting with the one that contains `offset`: about `max_bytes`, but at least one batch if there is one.
    ///
    /// With [`Isolation::ReadCommitted`], the records can include some of aborted transactions, which the reader must skip. Their list is
    /// that of the same files: compaction removes both the records and the entries of the list.
    ///
    /// # Errors
    /// The record at `offset` is damaged. Reading can continue at the next whole batch. Or it was deleted in the meantime.
    pub fn fetch(&self, offset: i64, max_bytes: usize, isolation: Isolation) -> Result<Fetched, ReadError> {
        self.fetch_with(offset, max_bytes, isolation, || ())
    }

    /// `between`: called between the two steps of an attempt. Tests change the files there.
    pub(super) fn fetch_with(
        &self,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
        mut between: impl FnMut(),
    ) -> Result<Fetched, ReadError> {
        loop {
            let segments = self.segments_from(offset);
            let fetched = self.fetch_from(&segments, offset, max_bytes, isolation, &mut between);
            if segments.iter().any(|segment| segment.is_replaced()) {
                // Another file was read, or another list.
                continue;
            }
            if self.is_deleted() || self.start_offset() > offset {
                // Some files were not there any more.
                return Err(ReadError::Deleted);
            }
            return fetched;
        }
    }

    fn fetch_from(
        &self,
        segments: &[Arc<Segment>],
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
        between: impl FnOnce(),
    ) -> Result<Fetched, ReadError> {
        let records = self.read_from(segments, offset, max_bytes, isolation)?;
        between();
        let aborted = match (isolation, end_of(&records)) {
            (Isolation::ReadCommitted, Some(end)) => self.aborted_in(segments, offset, end)?,
            _ => Vec::new(),
        };
        Ok(Fetched { records, aborted })
    }

    /// Reads whole batches like [`Partition::fetch`], without the list of aborted transactions.
    ///
    /// # Errors
    /// See [`Partition::fetch`].
    pub fn read(&self, offset: i64, max_bytes: usize, isolation: Isolation) -> Result<Bytes, ReadError> {
        let segments = self.segments_from(offset);
        let read = self.read_from(&segments, offset, max_bytes, isolation);
        match read {
            Err(_) if segments.iter().any(|segment| segment.is_replaced()) => {
                self.read(offset, max_bytes, isolation)
            }
            read => read,
        }
    }

    /// Returns the segment with this offset and all after it. If the offset is before the first segment, returns all.
    fn segments_from(&self, offset: i64) -> Vec<Arc<Segment>> {
        let segments = lock::read(&self.segments);
        let after = segments.partition_point(|segment| segment.base_offset <= offset);
        segments.get(after.saturating_sub(1)..).unwrap_or_default().to_vec()
    }

    fn read_from(
        &self,
        segments: &[Arc<Segment>],
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Bytes, ReadError> {
        if let Some(first) = segments.first().filter(|first| first.base_offset > offset) {
            // The file before it is missing.
            self.report_missing(first);
            return Err(ReadError::Damaged);
        }
        let end = self.visible_end(isolation);
        let (mut from, mut bare) = (offset, Bytes::new());
        for segment in segments {
            match segment.read(from, end, max_bytes)? {
                Batches::Whole(batches) => return Ok(batches),
                Batches::Bare(last) => {
                    let next = end_of(&last);
                    bare = if last.is_empty() { bare } else { last };
                    match next.filter(|next| *next == segment.end().offset && *next < end) {
                        Some(next) => from = next,
                        None => break,
                    }
                }
                Batches::Damaged(_) if !bare.is_empty() => break,
                Batches::Damaged(damage) => {
                    if !segment.is_replaced() {
                        self.report(segment, damage);
                    }
                    return Err(ReadError::Damaged);
                }
            }
        }
        Ok(bare)
    }

    /// Returns the aborted transactions that have records from `from` to before `to`, in the order of their first offsets. `segments`: those
    /// from `from` on.
    fn aborted_in(&self, segments: &[Arc<Segment>], from: i64, to: i64) -> io::Result<Vec<Aborted>> {
        let mut found = Vec::new();
        for segment in segments {
            let before = || {
                let mut earlier = self.segments();
                earlier.retain(|earlier| earlier.base_offset < segment.base_offset);
                producers_before(&self.directory, &earlier, segment.base_offset)
            };
            if !transactions::overlapping(&segment.aborted(before)?, from, to, &mut found) {
                break;
            }
        }
        found.sort_unstable_by_key(|aborted| aborted.first_offset);
        Ok(found)
    }

    /// Returns the aborted transactions that have records from `from` to before `to`, in the order of their first offsets.
    pub(super) fn aborted_between(&self, from: i64, to: i64) -> io::Result<Vec<Aborted>> {
        self.aborted_in(&self.segments_from(from), from, to)
    }

    /// Returns the whole first batch that has a record at least as new as `timestamp` (milliseconds).
    pub fn first_since(&self, timestamp: i64, isolation: Isolation) -> io::Result<Option<Bytes>> {
        let segments = self.segments();
        for segment in segments {
            let found = segment.first_since(timestamp, self.start_offset(), self.visible_end(isolation));
            if segment.is_replaced() {
                return self.first_since(timestamp, isolation);
            }
            segment.damages().into_iter().for_each(|damage| self.report(&segment, damage));
            if let Some(batch) = found? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// Returns the newest timestamp (milliseconds) of a record that a reader can read.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn newest_timestamp(&self, isolation: Isolation) -> io::Result<Option<i64>> {
        if self.start_offset() >= self.visible_end(isolation) {
            return Ok(None);
        }
        let segments = self.segments();
        // A segment without records would answer with the time of its file.
        let segments = segments.iter().filter(|segment| segment.end().bytes > 0);
        let newest = segments.map(|segment| segment.newest_timestamp());
        Ok(newest.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().max())
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

    /// Refuses further records, because it is unknown what is on disk.
    pub(super) fn fail(&self) {
        self.writer().closed = Some(ErrorCode::KafkaStorageError);
    }

    /// Refuses further records, and wakes everyone who waits for records.
    pub fn close(&self) {
        self.writer().closed = Some(ErrorCode::UnknownTopicOrPartition);
        self.safe.send_replace(Ends { end: -1, stable: -1 });
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

    /// Returns the segment that the batch was written to.
    fn write(&self, writer: &Writer, batch: &Batch) -> io::Result<Arc<Segment>> {
        let mut segment = self.active().ok_or_else(|| io::Error::other("no segment"))?;
        if self.is_full(&segment, &batch.header) {
            segment = self.roll(writer, &segment)?;
        }
        if segment.first_timestamp().is_none() {
            // The cleaner must find out when it expires.
            self.shared.changed.notify_one();
        }
        segment.append(batch, writer.next_offset)?;
        Ok(segment)
    }

    /// Whether a batch must begin a new segment.
    fn is_full(&self, segment: &Segment, batch: &Header) -> bool {
        let settings = self.settings.get();
        let Some(first) = segment.first_timestamp() else { return false };
        segment.end().bytes + batch.bytes > settings.segment_bytes
            || batch.max_timestamp.saturating_sub(first) > settings.segment_ms
            || segment.aborted_in_memory() >= MAX_ABORTED
    }

    /// Begins a new segment, after syncing the full one.
    fn roll(&self, writer: &Writer, full: &Segment) -> io::Result<Arc<Segment>> {
        full.sync()?;
        full.save_aborted()?;
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
                if self.is_deleted() {
                    // Its files were deleted in the meantime.
                    return;
                }
                // It is now unknown what is on disk, and stays so until a restart reads it.
                tracing::error!(directory = %self.directory.display(), %error, "cannot sync the log");
                self.fail();
                self.shared.failure.cancel();
                return;
            }
            // Before the acknowledgement: the mark must cover everything that is acknowledged.
            self.mark_durable(next_offset);
            let ends = self.writer().ends(next_offset);
            self.safe.send_if_modified(|safe| {
                let is_ahead = safe.end >= 0 && *safe != ends;
                if is_ahead {
                    *safe = ends;
                }
                is_ahead
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
        let Some(base) = bases.last() else {
            // If its files are missing, a partition continues after the records that it had.
            let next_offset = durable.unwrap_or(0);
            segments.push(Arc::new(Segment::create(files, self.directory, next_offset)?));
            return Ok(Opened { segments, next_offset, producers: Producers::default(), is_changed: true });
        };
        let mut producers = producers_before(self.directory, &segments, *base);
        let mut aborted = Vec::new();
        let seen = |header: &Header, batch: &[u8]| {
            let ended = producers.remember(header, header.outcome(batch)).filter(|ended| ended.is_aborted);
            aborted.extend(ended.map(|ended| ended.transaction));
        };
        let recovered = recover(files, self.directory, *base, durable, seen)?;
        let Recovered { segment, is_closed, next_offset, is_cut } = recovered;
        segment.set_aborted(aborted);
        if durable != Some(next_offset) {
            segment.sync()?;
        }
        segments.push(Arc::new(segment));
        if is_closed {
            producers.after_loss();
            producers.save(&producers_path(self.directory, next_offset))?;
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

/// Returns the time in milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
