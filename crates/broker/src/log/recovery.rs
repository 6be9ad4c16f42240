//! Recovery of a partition's last file at the start: an unfinished write is cut off, damage is kept and reported.
//!
//! The two look alike. The partition's mark (`roundhouse_part::mark`) distinguishes them. It is the offset up to which records are known to
//! be on disk. It is written after every sync and before any record is acknowledged. So when a process ends, the mark covers everything
//! that was acknowledged. The mark itself is synced at most once a second, since syncing it would cost a small write as much again as its
//! data. After a power cut it may therefore lag by one second of writing; it is never ahead.
//!
//! - Missing or invalid bytes before the mark were acknowledged: this is damage. The file stays unchanged, the lost offsets are never
//!   assigned again, and later records are still served.
//! - Invalid bytes after the mark were never acknowledged: they are cut off, whatever they look like. After a power cut a later batch may be
//!   whole although an earlier one is not, because the kernel writes pages in any order. A complete record with a wrong checksum is
//!   copied first, since it might be damage to the last second before a power cut.
//! - Without a mark (a log of an earlier version), the following count as damage: whole batches after the invalid place, and a complete
//!   record with a wrong checksum. Everything else counts as an unfinished write.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::batch::Header;
use super::damage::Damage;
use super::files::OpenFiles;
use super::segment::{self, Contents, Index, Segment, Times};
use super::walk::{End, header_at, next_batch, read_at};

/// The last segment of a partition, after recovery.
#[derive(Debug)]
pub(super) struct Recovered {
    pub segment: Segment,
    /// Its end is missing. New records go into a new file that starts at [`Recovered::next_offset`].
    pub is_closed: bool,
    pub next_offset: i64,
    /// Whether bytes were cut off.
    pub is_cut: bool,
}

/// Opens the last segment and calls `seen` with each whole batch and its header.
///
/// `durable`: the offset up to which records are known to be on disk, if there is a mark.
pub(super) fn recover(
    files: &Arc<OpenFiles>,
    directory: &Path,
    base_offset: i64,
    durable: Option<i64>,
    seen: impl FnMut(&Header, &[u8]),
) -> io::Result<Recovered> {
    let bytes = fs::metadata(segment::path(directory, base_offset))?.len();
    let contents =
        Contents { end: End { bytes, offset: base_offset }, index: None, damages: Vec::new(), times: None };
    let segment = Segment::with(files, directory, base_offset, contents);
    let file = files.lend(segment.id(), &segment.path)?;
    let mut recovery = Recovery {
        file: &file,
        position: 0,
        offset: base_offset,
        bytes,
        durable,
        index: Index::default(),
        damages: Vec::new(),
        times: Times::default(),
    };
    let is_closed = recovery.run(seen)?;
    let is_cut = !is_closed && recovery.position < bytes;
    if is_cut {
        recovery.cut(&segment.path)?;
    }
    let Recovery { position, offset, index, damages, times, .. } = recovery;
    drop(file);
    let end = End { bytes: if is_closed { bytes } else { position }, offset };
    segment.set_contents(Contents { end, index: Some(index), damages, times: Some(times) });
    Ok(Recovered { segment, is_closed, next_offset: offset, is_cut })
}

struct Recovery<'a> {
    file: &'a fs::File,
    position: u64,
    offset: i64,
    /// Size of the file in bytes.
    bytes: u64,
    durable: Option<i64>,
    index: Index,
    damages: Vec<Damage>,
    times: Times,
}

impl Recovery<'_> {
    /// Reads to the end of the whole batches. Returns whether acknowledged records after it are missing.
    fn run(&mut self, mut seen: impl FnMut(&Header, &[u8])) -> io::Result<bool> {
        let mut batch = Vec::new();
        loop {
            if let Some(header) = self.whole_batch(&mut batch)? {
                seen(&header, &batch);
                self.times.note(&header);
                self.index.note(header.base_offset, self.position);
                (self.position, self.offset) = (self.position + header.bytes, header.next_offset());
                continue;
            }
            let Some(damage) = self.damage()? else { return Ok(false) };
            self.damages.push(damage);
            (self.position, self.offset) = (damage.end, damage.next);
            if damage.end >= self.bytes {
                return Ok(true);
            }
        }
    }

    /// Cuts off everything after this position. Keeps a copy if it may be more than an unfinished write.
    fn cut(&self, path: &Path) -> io::Result<()> {
        let cut = self.bytes - self.position;
        tracing::warn!(
            file = %path.display(), cut, offset = self.offset, "removed an unfinished write from the end of the log"
        );
        if self.header()?.is_some() {
            let copy = path.with_extension("cut");
            let mut bytes = vec![0; usize::try_from(cut).map_err(io::Error::other)?];
            read_at(self.file, &mut bytes, self.position)?;
            fs::write(&copy, bytes)?;
            tracing::warn!(copy = %copy.display(), "the removed bytes contain a complete record with a wrong checksum; a copy of them is kept");
        }
        self.file.set_len(self.position)?;
        self.file.sync_all()
    }

    /// Returns the header of the batch at this position, if the batch is whole and has the expected offset.
    fn whole_batch(&self, batch: &mut Vec<u8>) -> io::Result<Option<Header>> {
        let Some(header) = self.header()? else { return Ok(None) };
        batch.resize(usize::try_from(header.bytes).map_err(io::Error::other)?, 0);
        read_at(self.file, batch, self.position)?;
        Ok(header.matches(batch).then_some(header))
    }

    /// Returns the header at this position, if it has the expected offset and its batch fits into the file.
    fn header(&self) -> io::Result<Option<Header>> {
        Ok(header_at(self.file, self.position)?.filter(|header| {
            header.base_offset == self.offset && header.bytes <= self.bytes.saturating_sub(self.position)
        }))
    }

    /// Returns the damage at this position, where there is no whole batch. None if it is only an unfinished write.
    fn damage(&self) -> io::Result<Option<Damage>> {
        let is_unfinished = match self.durable {
            Some(durable) => self.offset >= durable,
            None => self.position >= self.bytes,
        };
        if is_unfinished {
            return Ok(None);
        }
        let everything = End { bytes: self.bytes, offset: i64::MAX };
        let after = next_batch(self.file, self.position, self.offset, everything)?;
        // If no batch follows, the damage reaches to the end of the file: up to what was durable, or the end of a complete batch.
        let lost = match self.durable {
            Some(durable) => Some(durable),
            None => self.header()?.map(|header| header.next_offset()),
        };
        let found = after.or(lost.map(|next| (self.bytes, next)));
        Ok(found.map(|(end, next)| Damage { first: self.offset, next, position: self.position, end }))
    }
}
