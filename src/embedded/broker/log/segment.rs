//! One file of a partition's log: whole batches, one after the other, their offsets without a gap.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use super::batch::{Batch, HEADER_BYTES, Header};

/// Bytes of log between two entries of the index.
const INDEX_STEP: u64 = 64 << 10;

/// Bytes read at once while walking over small batches.
const WALK_BYTES: usize = 32 << 10;

#[derive(Debug)]
pub(super) struct Segment {
    pub base_offset: i64,
    path: PathBuf,
    file: File,
    /// Bytes of whole batches; what lies behind them is not part of the log.
    bytes: AtomicU64,
    /// Where some batches start, by offset; made on first use for a file that is not written any more.
    index: Mutex<Option<Vec<(i64, u64)>>>,
}

impl Segment {
    /// Makes the file of a segment that starts at `base_offset`.
    pub fn create(directory: &Path, base_offset: i64) -> io::Result<Self> {
        let path = path(directory, base_offset);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let index = Mutex::new(Some(Vec::new()));
        Ok(Self { base_offset, path, file, bytes: AtomicU64::new(0), index })
    }

    /// Opens a segment that another follows: all of it is valid.
    pub fn open(directory: &Path, base_offset: i64) -> io::Result<Self> {
        let path = path(directory, base_offset);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let bytes = AtomicU64::new(file.metadata()?.len());
        Ok(Self { base_offset, path, file, bytes, index: Mutex::new(None) })
    }

    /// Opens the last segment, hands each of its batches to `seen`, and cuts off what a crash left half written.
    ///
    /// Returns it with the offset after its last record.
    pub fn recover(
        directory: &Path,
        base_offset: i64,
        mut seen: impl FnMut(&Header),
    ) -> io::Result<(Self, i64)> {
        let segment = Self::open(directory, base_offset)?;
        let end = segment.len();
        let mut index = Vec::new();
        let mut next_offset = base_offset;
        let mut position = 0;
        let mut batch = Vec::new();
        while let Some(header) = segment.header_at(position, end)? {
            batch.resize(usize::try_from(header.bytes).map_err(io::Error::other)?, 0);
            segment.file.read_exact_at(&mut batch, position)?;
            if header.base_offset != next_offset || !header.matches(&batch) {
                break;
            }
            seen(&header);
            note(&mut index, header.base_offset, position);
            next_offset = header.next_offset();
            position += header.bytes;
        }
        if position < end {
            let (file, cut) = (segment.path.display(), end - position);
            tracing::warn!(%file, cut, next_offset, "bytes of an unfinished write removed from the end of the log");
            segment.file.set_len(position)?;
            segment.file.sync_all()?;
        }
        segment.bytes.store(position, Ordering::Release);
        *segment.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(index);
        Ok((segment, next_offset))
    }

    /// Bytes of whole batches.
    pub fn len(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Appends a batch at the end. One caller at a time.
    pub fn append(&self, batch: &Batch, base_offset: i64) -> io::Result<()> {
        let position = self.len();
        let prefix = batch.stored_prefix(base_offset);
        let rest = batch.bytes.get(prefix.len()..).unwrap_or_default();
        let written = self
            .file
            .write_all_at(rest, position + prefix.len() as u64)
            .and_then(|()| self.file.write_all_at(&prefix, position));
        if let Err(error) = written {
            // A full disk: give back what was taken, so that the next append finds a clean end.
            self.file.set_len(position)?;
            return Err(error);
        }
        if let Some(index) = self.index.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            note(index, base_offset, position);
        }
        self.bytes.store(position + batch.header.bytes, Ordering::Release);
        Ok(())
    }

    /// Removes its files.
    pub fn delete(&self, directory: &Path) -> io::Result<()> {
        std::fs::remove_file(&self.path)?;
        match std::fs::remove_file(producers_path(directory, self.base_offset)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until all that was appended is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Reads whole batches from the one that holds `offset` on, none of them reaching beyond `end_offset`: as many as
    /// fit into `max_bytes`, at least one if there is one.
    pub fn read(&self, offset: i64, end_offset: i64, max_bytes: usize) -> io::Result<Bytes> {
        let end = self.len();
        let mut position = self.position_before(offset)?;
        let mut walk = Walk::new(self, position, end);
        let first = loop {
            match walk.next()? {
                Some((at, header)) if header.next_offset() > offset => {
                    position = at;
                    break header;
                }
                Some(_) => {}
                None => return Ok(Bytes::new()),
            }
        };
        if first.next_offset() > end_offset {
            return Ok(Bytes::new());
        }
        let wanted = (max_bytes as u64).max(first.bytes).min(end - position);
        let mut bytes = BytesMut::zeroed(usize::try_from(wanted).map_err(io::Error::other)?);
        self.file.read_exact_at(&mut bytes, position)?;
        bytes.truncate(whole_batches(&bytes, end_offset));
        Ok(bytes.freeze())
    }

    /// The first batch whose newest record is at least as new as `timestamp` (milliseconds), whole.
    pub fn first_since(
        &self,
        timestamp: i64,
        from_offset: i64,
        end_offset: i64,
    ) -> io::Result<Option<Bytes>> {
        let mut walk = Walk::new(self, 0, self.len());
        while let Some((_, header)) = walk.next()? {
            if header.next_offset() > end_offset {
                break;
            }
            if header.next_offset() > from_offset && header.max_timestamp >= timestamp {
                return self.read(header.base_offset, end_offset, 0).map(Some);
            }
        }
        Ok(None)
    }

    /// Where to start walking to find the batch that holds `offset`.
    fn position_before(&self, offset: i64) -> io::Result<u64> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = match &mut *index {
            Some(entries) => entries,
            none => none.insert(self.build_index()?),
        };
        let behind = entries.partition_point(|(start, _)| *start <= offset);
        Ok(behind.checked_sub(1).and_then(|before| entries.get(before)).map_or(0, |(_, position)| *position))
    }

    fn build_index(&self) -> io::Result<Vec<(i64, u64)>> {
        let mut index = Vec::new();
        let mut walk = Walk::new(self, 0, self.len());
        while let Some((position, header)) = walk.next()? {
            note(&mut index, header.base_offset, position);
        }
        Ok(index)
    }

    /// The header at `position`, if a whole batch lies between it and `end`.
    fn header_at(&self, position: u64, end: u64) -> io::Result<Option<Header>> {
        let mut bytes = [0; HEADER_BYTES];
        if end - position < HEADER_BYTES as u64 {
            return Ok(None);
        }
        self.file.read_exact_at(&mut bytes, position)?;
        Ok(Header::parse(&bytes).filter(|header| header.bytes <= end - position))
    }
}

/// Walks over the headers of a segment: small batches through a window, large ones by jumping.
struct Walk<'a> {
    segment: &'a Segment,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> Walk<'a> {
    fn new(segment: &'a Segment, position: u64, end: u64) -> Self {
        Self { segment, position, end, window: Vec::new(), window_start: position }
    }

    fn next(&mut self) -> io::Result<Option<(u64, Header)>> {
        if self.end - self.position < HEADER_BYTES as u64 {
            return Ok(None);
        }
        if self.in_window().is_none_or(|bytes| bytes.len() < HEADER_BYTES) {
            let bytes =
                usize::try_from(self.end - self.position).map_or(WALK_BYTES, |left| left.min(WALK_BYTES));
            self.window.resize(bytes, 0);
            self.segment.file.read_exact_at(&mut self.window, self.position)?;
            self.window_start = self.position;
        }
        let header = self
            .in_window()
            .and_then(Header::parse)
            .filter(|header| header.bytes <= self.end - self.position);
        Ok(header.map(|header| {
            let position = self.position;
            self.position += header.bytes;
            (position, header)
        }))
    }

    fn in_window(&self) -> Option<&[u8]> {
        let skip = usize::try_from(self.position.checked_sub(self.window_start)?).ok()?;
        self.window.get(skip..)
    }
}

/// Bytes of those batches at the start of `bytes` that are whole and end at or before `end_offset`.
fn whole_batches(bytes: &[u8], end_offset: i64) -> usize {
    let mut whole = 0;
    while let Some(header) = bytes.get(whole..).and_then(Header::parse) {
        let Some(end) = usize::try_from(header.bytes).ok().and_then(|batch| whole.checked_add(batch)) else {
            break;
        };
        if end > bytes.len() || header.next_offset() > end_offset {
            break;
        }
        whole = end;
    }
    whole
}

fn note(index: &mut Vec<(i64, u64)>, offset: i64, position: u64) {
    if index.last().is_none_or(|(_, last)| position - last >= INDEX_STEP) {
        index.push((offset, position));
    }
}

/// The file of a segment: its first offset in twenty digits, as Kafka names it.
fn path(directory: &Path, base_offset: i64) -> PathBuf {
    directory.join(format!("{base_offset:020}.log"))
}

/// The file beside it that holds what producers had sent before it.
pub(super) fn producers_path(directory: &Path, base_offset: i64) -> PathBuf {
    directory.join(format!("{base_offset:020}.producers"))
}

/// The first offsets of the segments in a directory, in order.
pub(super) fn base_offsets(directory: &Path) -> io::Result<Vec<i64>> {
    let mut offsets = Vec::new();
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        if let Some(offset) = name.to_str().and_then(|name| name.strip_suffix(".log")) {
            offsets.push(offset.parse().map_err(io::Error::other)?);
        }
    }
    offsets.sort_unstable();
    Ok(offsets)
}
