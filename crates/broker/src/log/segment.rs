//! One file of a partition's log: whole batches in order, without gaps between their offsets.
//!
//! Every batch that is returned has the checksum in its header. Everything else is a [`Damage`]: it is never served, and a reader
//! continues after it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::UNIX_EPOCH;

use bytes::{Bytes, BytesMut};

use super::batch::{Batch, Header};
use super::damage::Damage;
use super::files::{FileId, Lent, OpenFiles};
use super::producers::Producers;
use super::transactions::{self, Aborted};
use super::walk::{End, Found, Walk, damage_at, read_at, whole};
use roundhouse_part::durable::remove_if_exists;
use roundhouse_part::lock::lock;

/// Aborted transactions whose list stays in memory. A longer list is read from its file again.
const CACHED_ABORTED: usize = 1_000;

/// Bytes of log between two index entries.
const INDEX_STEP: u64 = 64 << 10;

/// The file next to a segment with what producers had sent before it.
const PRODUCERS: &str = "producers";

/// The file next to a full segment with its aborted transactions.
const ABORTED: &str = "aborted";

#[derive(Debug)]
pub(super) struct Segment {
    pub base_offset: i64,
    pub path: PathBuf,
    files: Arc<OpenFiles>,
    id: FileId,
    contents: Mutex<Contents>,
    /// The aborted transactions that ended in this segment, if they are in memory.
    aborted: Mutex<Option<Arc<Vec<Aborted>>>>,
    /// Whether compaction has replaced the file. A reader that still uses this segment may find other bytes in the file.
    is_replaced: AtomicBool,
}

/// What is known about the contents of the file.
#[derive(Debug)]
pub(super) struct Contents {
    pub end: End,
    /// Positions of some batches, by offset. For a file that is no longer written, it is built at the first use.
    pub index: Option<Index>,
    pub damages: Vec<Damage>,
    /// The newest timestamps, in milliseconds since 1970. For a file that is no longer written, they are read at the first use.
    pub times: Option<Times>,
}

/// The timestamps of a segment that tell when it is full and when it has expired.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// The newest timestamp of its first batch, if it has one.
    pub first: Option<i64>,
    /// The newest timestamp of all batches.
    pub newest: Option<i64>,
}

impl Times {
    /// Adds a batch.
    pub fn note(&mut self, batch: &Header) {
        self.first = self.first.or(Some(batch.max_timestamp));
        self.newest = self.newest.max(Some(batch.max_timestamp));
    }
}

/// Offsets and positions of some batches.
#[derive(Clone, Debug, Default)]
pub(super) struct Index(Vec<(i64, u64)>);

/// What was read.
#[derive(Debug)]
pub(super) enum Batches {
    /// Whole batches. The first one has records.
    Whole(Bytes),
    /// There are no records. The last batch without records, or nothing.
    Bare(Bytes),
    /// The damage in place of the batches.
    Damaged(Damage),
}

impl Segment {
    /// Creates the file of a segment that starts at `base_offset`.
    pub fn create(files: &Arc<OpenFiles>, directory: &Path, base_offset: i64) -> io::Result<Self> {
        let end = End { bytes: 0, offset: base_offset };
        let contents = Contents {
            end,
            index: Some(Index::default()),
            damages: Vec::new(),
            times: Some(Times::default()),
        };
        let segment = Self::with(files, directory, base_offset, contents);
        files.create(segment.id, &segment.path)?;
        segment.set_aborted(Vec::new());
        Ok(segment)
    }

    /// Opens a segment that is followed by another one, which starts at `next_offset`.
    pub fn open(
        files: &Arc<OpenFiles>,
        directory: &Path,
        base_offset: i64,
        next_offset: i64,
    ) -> io::Result<Self> {
        let bytes = fs::metadata(path(directory, base_offset))?.len();
        let end = End { bytes, offset: next_offset };
        Ok(Self::with(
            files,
            directory,
            base_offset,
            Contents { end, index: None, damages: Vec::new(), times: None },
        ))
    }

    /// Returns a segment whose file exists.
    pub(super) fn with(
        files: &Arc<OpenFiles>,
        directory: &Path,
        base_offset: i64,
        contents: Contents,
    ) -> Self {
        let contents = Mutex::new(contents);
        let path = path(directory, base_offset);
        Self {
            base_offset,
            path,
            files: Arc::clone(files),
            id: files.new_id(),
            contents,
            aborted: Mutex::default(),
            is_replaced: AtomicBool::new(false),
        }
    }

    /// Returns the id of its file.
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Sets the contents that recovery found in the file.
    pub fn set_contents(&self, contents: Contents) {
        *self.contents() = contents;
    }

    /// Lends its file.
    pub fn lend(&self) -> io::Result<Lent<'_>> {
        self.files.lend(self.id, &self.path)
    }

    /// Gives a file the name of this segment, and returns the segment with that file, which must have the same offsets. Readers of this
    /// segment must use the new one from then on.
    pub fn replace(&self, directory: &Path, file: &Path, bytes: u64) -> io::Result<Self> {
        let end = End { bytes, offset: self.end().offset };
        let contents = Contents { end, index: None, damages: Vec::new(), times: None };
        let new = Self::with(&self.files, directory, self.base_offset, contents);
        // Before the rename: a reader may open the file by its name at any time.
        self.is_replaced.store(true, Ordering::Release);
        let renamed = fs::rename(file, &self.path);
        self.is_replaced.store(renamed.is_ok(), Ordering::Release);
        renamed.map(|()| new)
    }

    /// Stores that these are the aborted transactions that are still needed.
    pub fn keep_aborted(&self, list: &[Aborted]) -> io::Result<()> {
        transactions::save(list, &self.aborted_path())
    }

    /// Whether compaction has replaced the file.
    pub fn is_replaced(&self) -> bool {
        self.is_replaced.load(Ordering::Acquire)
    }

    /// Returns where its log ends.
    pub fn end(&self) -> End {
        self.contents().end
    }

    /// Appends a batch. Only one caller at a time.
    pub fn append(&self, batch: &Batch, base_offset: i64) -> io::Result<()> {
        let position = self.end().bytes;
        let prefix = batch.stored_prefix(base_offset);
        let rest = batch.bytes.get(prefix.len()..).unwrap_or_default();
        let file = self.lend()?;
        // Write the prefix last: without it there is no batch.
        let written = file.write(|file| {
            file.write_all_at(rest, position + prefix.len() as u64)?;
            file.write_all_at(&prefix, position)
        });
        if let Err(error) = written {
            // If the disk is full, free what was written, so that the next append finds a clean end.
            file.set_len(position)?;
            return Err(error);
        }
        let mut contents = self.contents();
        if let Some(index) = &mut contents.index {
            index.note(base_offset, position);
        }
        if let Some(times) = &mut contents.times {
            times.note(&batch.header);
        }
        let offset = batch.header.at(base_offset).next_offset();
        contents.end = End { bytes: position + batch.header.bytes, offset };
        Ok(())
    }

    /// Deletes its files.
    pub fn delete(&self, directory: &Path) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        remove_if_exists(&self.aborted_path())?;
        remove_if_exists(&producers_path(directory, self.base_offset))
    }

    /// Returns the newest timestamp of its first batch, if it has one. Only for the active segment.
    pub fn first_timestamp(&self) -> Option<i64> {
        self.contents().times.and_then(|times| times.first)
    }

    /// Returns the newest timestamp of its records, in milliseconds since 1970. If no record can be read, this is when the file was
    /// written. None if the file is missing.
    pub fn newest_timestamp(&self) -> io::Result<Option<i64>> {
        let times = match self.times() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            times => times?,
        };
        Ok(times.newest.or_else(|| self.written_at()))
    }

    /// Returns its timestamps. They may have to be read from the file.
    fn times(&self) -> io::Result<Times> {
        let known = self.contents().times;
        if let Some(times) = known {
            return Ok(times);
        }
        let times = self.read_times()?;
        self.contents().times = Some(times);
        Ok(times)
    }

    fn written_at(&self) -> Option<i64> {
        let modified = fs::metadata(&self.path).and_then(|file| file.modified()).ok()?;
        i64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    }

    fn read_times(&self) -> io::Result<Times> {
        let mut times = Times::default();
        let file = self.lend()?;
        self.each_batch(&file, |_, header| {
            times.note(&header);
            true
        })?;
        Ok(times)
    }

    /// Calls `seen` with the position and the header of each batch, until it returns false.
    fn each_batch(&self, file: &File, mut seen: impl FnMut(u64, Header) -> bool) -> io::Result<()> {
        let (end, damages) = self.end_and_damages();
        let mut walk = Walk::new(file, 0, self.base_offset, end, &damages);
        while let Some(found) = walk.next()? {
            match found {
                Found::Batch(position, header) if !seen(position, header) => break,
                Found::Batch(..) => {}
                Found::Damage(damage) => self.note(damage),
            }
        }
        Ok(())
    }

    /// Sets the aborted transactions of the active segment.
    pub fn set_aborted(&self, list: Vec<Aborted>) {
        *lock(&self.aborted) = Some(Arc::new(list));
    }

    /// Adds an aborted transaction to those of the active segment. Returns how many there are.
    pub fn add_aborted(&self, aborted: Aborted) -> usize {
        let mut list = lock(&self.aborted);
        let list = Arc::make_mut(list.get_or_insert_default());
        list.push(aborted);
        list.len()
    }

    /// Returns how many aborted transactions are in memory.
    pub fn aborted_in_memory(&self) -> usize {
        lock(&self.aborted).as_ref().map_or(0, |list| list.len())
    }

    /// Stores the aborted transactions of the active segment, before the next segment begins.
    pub fn save_aborted(&self) -> io::Result<()> {
        let mut cached = lock(&self.aborted);
        if let Some(list) = cached.take() {
            self.store_aborted(&list)?;
            *cached = Self::if_short(list);
        }
        Ok(())
    }

    /// Returns the aborted transactions that ended in this segment, in the order of their ends. If they are not stored, finds them in the
    /// log.
    ///
    /// `before`: returns what producers had sent before this segment.
    pub fn aborted(&self, before: impl FnOnce() -> Producers) -> io::Result<Arc<Vec<Aborted>>> {
        let mut cached = lock(&self.aborted);
        if let Some(list) = cached.as_ref() {
            return Ok(Arc::clone(list));
        }
        let stored = transactions::load(&self.aborted_path()).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the list of aborted transactions; reading the log instead");
            None
        });
        let list = match stored.map_or_else(|| self.find_aborted(before()), Ok) {
            // Its records cannot be read either. The file may be restored later.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Arc::default()),
            list => Arc::new(list?),
        };
        *cached = Self::if_short(Arc::clone(&list));
        Ok(list)
    }

    fn if_short(list: Arc<Vec<Aborted>>) -> Option<Arc<Vec<Aborted>>> {
        (list.len() <= CACHED_ABORTED).then_some(list)
    }

    /// Writes the list to its file. Not if there is damage: if the segment is repaired, the list must be rebuilt.
    fn store_aborted(&self, list: &[Aborted]) -> io::Result<()> {
        if self.damages().is_empty() { transactions::save(list, &self.aborted_path()) } else { Ok(()) }
    }

    fn find_aborted(&self, mut producers: Producers) -> io::Result<Vec<Aborted>> {
        let found = self.replay(&mut producers)?;
        self.store_aborted(&found)?;
        Ok(found)
    }

    /// Reads all headers and remembers what producers sent. Returns the aborted transactions.
    pub fn replay(&self, producers: &mut Producers) -> io::Result<Vec<Aborted>> {
        let file = self.lend()?;
        let (end, damages) = self.end_and_damages();
        let mut walk = Walk::new(&file, 0, self.base_offset, end, &damages);
        let mut aborted = Vec::new();
        while let Some(found) = walk.next()? {
            let (position, header) = match found {
                Found::Batch(position, header) => (position, header),
                Found::Damage(damage) => {
                    self.note(damage);
                    producers.after_loss();
                    continue;
                }
            };
            let outcome =
                if header.is_control() { header.outcome(&whole(&file, position, &header)?) } else { None };
            let ended = producers.remember(&header, outcome).filter(|ended| ended.is_aborted);
            aborted.extend(ended.map(|ended| ended.transaction));
        }
        Ok(aborted)
    }

    fn aborted_path(&self) -> PathBuf {
        self.path.with_extension(ABORTED)
    }

    /// Waits until everything appended is on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.lend()?.sync()
    }

    /// Reads whole batches, starting with the one that contains `offset` and not beyond `end_offset`: as many as fit into `max_bytes`, but
    /// at least one if there is one. Skips batches without records at the start: to librdkafka an answer with nothing else looks like a
    /// record that does not fit.
    pub fn read(&self, offset: i64, end_offset: i64, max_bytes: usize) -> io::Result<Batches> {
        let file = match self.lend() {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.missing()),
            Err(error) => return Err(error),
        };
        let (end, damages) = self.end_and_damages();
        let (start, position) = self.position_before(&file, offset)?;
        let mut walk = Walk::new(&file, position, start, end, &damages);
        let mut bare = None;
        while let Some(found) = walk.next()? {
            match found {
                Found::Batch(_, header) if header.next_offset() <= offset => {}
                Found::Batch(_, header) if header.next_offset() > end_offset => break,
                Found::Batch(position, header) if header.is_empty() => bare = Some((position, header)),
                Found::Batch(position, first) => {
                    return self.read_from(&file, position, &first, end_offset, max_bytes);
                }
                Found::Damage(damage) => {
                    self.note(damage);
                    if damage.next > offset && bare.is_none() {
                        return Ok(Batches::Damaged(damage));
                    } else if damage.next > offset {
                        break;
                    }
                }
            }
        }
        let Some((position, last)) = bare else { return Ok(Batches::Bare(Bytes::new())) };
        Ok(match self.read_from(&file, position, &last, last.next_offset(), 0)? {
            Batches::Whole(batch) => Batches::Bare(batch),
            other => other,
        })
    }

    /// Reads whole batches, starting with `first` at this position.
    fn read_from(
        &self,
        file: &File,
        position: u64,
        first: &Header,
        end_offset: i64,
        max_bytes: usize,
    ) -> io::Result<Batches> {
        let end = self.end();
        let wanted = (max_bytes as u64).max(first.bytes).min(end.bytes - position);
        let mut bytes = BytesMut::zeroed(usize::try_from(wanted).map_err(io::Error::other)?);
        read_at(file, &mut bytes, position)?;
        bytes.truncate(whole_batches(&bytes, first.base_offset, end_offset));
        if !bytes.is_empty() {
            return Ok(Batches::Whole(bytes.freeze()));
        }
        let damage = damage_at(file, position, first.base_offset, end)?;
        self.note(damage);
        Ok(Batches::Damaged(damage))
    }

    /// Returns the whole first batch whose newest record is at least as new as `timestamp` (milliseconds). Skips damaged batches, because
    /// their timestamps are unknown. Reads all headers only once, and then only if there is such a batch.
    pub fn first_since(
        &self,
        timestamp: i64,
        from_offset: i64,
        end_offset: i64,
    ) -> io::Result<Option<Bytes>> {
        if self.times()?.newest < Some(timestamp) {
            return Ok(None);
        }
        let mut from = from_offset.max(self.base_offset);
        while let Some(header) = self.header_since(timestamp, from, end_offset)? {
            match self.read(header.base_offset, end_offset, 0)? {
                Batches::Whole(batch) | Batches::Bare(batch) => {
                    return Ok((!batch.is_empty()).then_some(batch));
                }
                Batches::Damaged(damage) => from = damage.next,
            }
        }
        Ok(None)
    }

    fn header_since(&self, timestamp: i64, from: i64, end_offset: i64) -> io::Result<Option<Header>> {
        let mut first = None;
        let file = self.lend()?;
        self.each_batch(&file, |_, header| {
            let is_visible = header.next_offset() <= end_offset;
            if is_visible && header.next_offset() > from && header.max_timestamp >= timestamp {
                first = Some(header);
            }
            is_visible && first.is_none()
        })?;
        Ok(first)
    }

    /// Returns the damages found so far.
    pub fn damages(&self) -> Vec<Damage> {
        self.contents().damages.clone()
    }

    fn note(&self, damage: Damage) {
        let mut contents = self.contents();
        if !contents.damages.contains(&damage) {
            contents.damages.push(damage);
        }
    }

    /// Returns the damage for a missing file.
    fn missing(&self) -> Batches {
        let end = self.end();
        Batches::Damaged(Damage { first: self.base_offset, next: end.offset, position: 0, end: 0 })
    }

    fn end_and_damages(&self) -> (End, Vec<Damage>) {
        let contents = self.contents();
        (contents.end, contents.damages.clone())
    }

    /// Returns the offset and the position of a batch, from which to search for the batch that contains `offset`.
    fn position_before(&self, file: &File, offset: i64) -> io::Result<(i64, u64)> {
        if let Some(index) = &self.contents().index {
            return Ok(index.before(offset, self.base_offset));
        }
        let mut index = Index::default();
        self.each_batch(file, |position, header| {
            index.note(header.base_offset, position);
            true
        })?;
        let found = index.before(offset, self.base_offset);
        self.contents().index = Some(index);
        Ok(found)
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        lock(&self.contents)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.files.forget(self.id);
    }
}

impl Index {
    /// Adds a batch, if it is far enough from the last entry.
    pub fn note(&mut self, offset: i64, position: u64) {
        if self.0.last().is_none_or(|(_, last)| position - last >= INDEX_STEP) {
            self.0.push((offset, position));
        }
    }

    /// Returns the last known batch that starts at or before `offset`, or the start of the file.
    fn before(&self, offset: i64, base_offset: i64) -> (i64, u64) {
        let after = self.0.partition_point(|(start, _)| *start <= offset);
        after.checked_sub(1).and_then(|before| self.0.get(before)).copied().unwrap_or((base_offset, 0))
    }
}

/// Returns the number of bytes at the start of `bytes` that are valid whole batches, follow one another from `offset`, and end at or before
/// `end_offset`.
fn whole_batches(bytes: &[u8], mut offset: i64, end_offset: i64) -> usize {
    let mut whole = 0;
    while let Some(header) = bytes.get(whole..).and_then(Header::parse) {
        let Some(end) = usize::try_from(header.bytes).ok().and_then(|batch| whole.checked_add(batch)) else {
            break;
        };
        if header.base_offset != offset
            || header.next_offset() > end_offset
            || !bytes.get(whole..end).is_some_and(|batch| header.matches(batch))
        {
            break;
        }
        whole = end;
        offset = header.next_offset();
    }
    whole
}

/// Returns the file of a segment. As in Kafka, its name is the first offset in twenty digits.
pub(super) fn path(directory: &Path, base_offset: i64) -> PathBuf {
    directory.join(format!("{base_offset:020}.log"))
}

/// Returns the file with what producers had sent before the segment.
pub(super) fn producers_path(directory: &Path, base_offset: i64) -> PathBuf {
    path(directory, base_offset).with_extension(PRODUCERS)
}

/// Returns the first offsets of the segments in a directory, in order.
pub(super) fn base_offsets(directory: &Path) -> io::Result<Vec<i64>> {
    let mut offsets = Vec::new();
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        if let Some(offset) = name.to_str().and_then(|name| name.strip_suffix(".log")) {
            offsets.push(offset.parse().map_err(io::Error::other)?);
        } else if name.to_str().is_some_and(|name| name.ends_with(".compact")) {
            // A crash interrupted a compaction.
            remove_if_exists(&directory.join(&name))?;
        }
    }
    offsets.sort_unstable();
    Ok(offsets)
}
