//! Walks over the batches of a segment in order, and skips damage.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::batch::{HEADER_BYTES, Header};
use super::damage::Damage;

/// Bytes read at once while walking over small batches.
const WALK_BYTES: usize = 32 << 10;

/// Bytes read at once while searching for the next batch after damage.
const SEARCH_BYTES: usize = 1 << 20;

/// Where the log in a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub bytes: u64,
    /// The offset after it.
    pub offset: i64,
}

/// What a walk finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The position and the header of a batch. Its records are not checked.
    Batch(u64, Header),
    Damage(Damage),
}

/// Walks over headers. It reads small batches in blocks and skips over large ones.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    file: &'a File,
    position: u64,
    offset: i64,
    end: End,
    /// Damages found earlier.
    known: &'a [Damage],
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> Walk<'a> {
    /// Starts at a batch whose offset is known.
    pub fn new(file: &'a File, position: u64, offset: i64, end: End, known: &'a [Damage]) -> Self {
        Self { file, position, offset, end, known, window: Vec::new(), window_start: position }
    }

    pub fn next(&mut self) -> io::Result<Option<Found>> {
        if self.offset >= self.end.offset {
            return Ok(None);
        }
        if let Some(damage) = self.known.iter().find(|damage| damage.position == self.position) {
            return Ok(Some(self.pass(*damage)));
        }
        let header = self.header()?.filter(|header| {
            header.base_offset == self.offset
                && header.next_offset() <= self.end.offset
                && header.bytes <= self.end.bytes.saturating_sub(self.position)
        });
        let Some(header) = header else {
            let damage = damage_at(self.file, self.position, self.offset, self.end)?;
            return Ok(Some(self.pass(damage)));
        };
        let position = self.position;
        self.position += header.bytes;
        self.offset = header.next_offset();
        Ok(Some(Found::Batch(position, header)))
    }

    fn pass(&mut self, damage: Damage) -> Found {
        (self.position, self.offset) = (damage.end, damage.next);
        Found::Damage(damage)
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        if self.in_window().is_none_or(|bytes| bytes.len() < HEADER_BYTES) {
            let left = self.end.bytes.saturating_sub(self.position);
            self.window.resize(usize::try_from(left).map_or(WALK_BYTES, |left| left.min(WALK_BYTES)), 0);
            read_at(self.file, &mut self.window, self.position)?;
            self.window_start = self.position;
        }
        Ok(self.in_window().and_then(Header::parse))
    }

    fn in_window(&self) -> Option<&[u8]> {
        let skip = usize::try_from(self.position.checked_sub(self.window_start)?).ok()?;
        self.window.get(skip..)
    }
}

/// Returns the damage that starts at `position`, where the record at `offset` is expected. It extends to the next whole batch or to the
/// end.
pub(super) fn damage_at(file: &File, position: u64, offset: i64, end: End) -> io::Result<Damage> {
    let found = next_batch(file, position, offset, end)?;
    let (stop, next) = found.unwrap_or((end.bytes.max(position), end.offset));
    Ok(Damage { first: offset, next, position, end: stop })
}

/// Returns the position and the offset of the first whole batch after `position` that has a later offset.
pub(super) fn next_batch(
    file: &File,
    position: u64,
    offset: i64,
    end: End,
) -> io::Result<Option<(u64, i64)>> {
    // Usually the header is correct and gives the position of the next batch. A search might find a batch inside a record.
    if let Some(header) = header_at(file, position)?.filter(|header| header.base_offset == offset) {
        let after = position + header.bytes;
        let next = header_at(file, after)?.filter(|next| next.base_offset == header.next_offset());
        if let Some(next) = next
            && is_whole(file, after, &next, end)?
        {
            return Ok(Some((after, next.base_offset)));
        }
    }
    let mut bytes = vec![0; SEARCH_BYTES];
    let mut start = position;
    while start + HEADER_BYTES as u64 <= end.bytes {
        let length = usize::try_from(end.bytes - start).map_or(SEARCH_BYTES, |left| left.min(SEARCH_BYTES));
        bytes.truncate(length);
        bytes.resize(length, 0);
        read_at(file, &mut bytes, start)?;
        for at in 0..=length - HEADER_BYTES {
            let header = bytes.get(at..).and_then(Header::parse);
            let Some(header) = header.filter(|header| (offset + 1..end.offset).contains(&header.base_offset))
            else {
                continue;
            };
            let found = start + at as u64;
            if found > position && is_whole(file, found, &header, end)? {
                return Ok(Some((found, header.base_offset)));
            }
        }
        // A header may cross the boundary of the block.
        start += (length - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}

/// Returns the header at this position, if there is one.
pub(super) fn header_at(file: &File, position: u64) -> io::Result<Option<Header>> {
    let mut bytes = [0; HEADER_BYTES];
    read_at(file, &mut bytes, position)?;
    Ok(Header::parse(&bytes))
}

fn is_whole(file: &File, position: u64, header: &Header, end: End) -> io::Result<bool> {
    if header.bytes > end.bytes.saturating_sub(position) || header.next_offset() > end.offset {
        return Ok(false);
    }
    Ok(header.matches(&whole(file, position, header)?))
}

/// Reads a whole batch.
pub(super) fn whole(file: &File, position: u64, header: &Header) -> io::Result<Vec<u8>> {
    let mut batch = vec![0; usize::try_from(header.bytes).map_err(io::Error::other)?];
    read_at(file, &mut batch, position)?;
    Ok(batch)
}

/// Fills `bytes` from a file. Bytes after its end become zeros, which are not a valid batch.
pub(super) fn read_at(file: &File, mut bytes: &mut [u8], mut position: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.read_at(bytes, position) {
            Ok(0) => {
                bytes.fill(0);
                return Ok(());
            }
            Ok(read) => {
                bytes = bytes.get_mut(read..).unwrap_or_default();
                position += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
