//! What a start makes of the last file of a partition: a write that a crash broke off is cut off, damage is kept and told.
//!
//! The two look alike. What tells them apart is the partition's mark (`crate::embedded::mark`): the offset up to which records
//! are known to be on the disk. It is written after every sync and before any record is acknowledged, so after the end of a
//! process it covers all that was acknowledged. The mark itself is synced once a second at most, since its own sync would cost
//! every small write as much as its data: after a power cut it may be behind by one second of writing, never ahead.
//!
//! - What is missing or wrong before the mark was acknowledged: it is damage. The file stays as it is, the offsets that are lost are
//!   never given again, and records that follow go on to be served.
//! - What is wrong after the mark was never acknowledged: it is cut off, whatever it looks like. After a power cut, a later batch
//!   may be whole where an earlier one is not: the kernel writes pages in any order. Of a record that is complete and has the wrong
//!   checksum a copy is kept, since it might be damage to the last second before a power cut.
//! - Without a mark (a log of an earlier version), whole batches after the wrong place or a record that is complete and has the
//!   wrong checksum are taken for damage, and the rest for a write that was broken off.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::batch::Header;
use super::damage::Damage;
use super::files::OpenFiles;
use super::segment::{self, Contents, Index, Segment};
use super::walk::{End, header_at, next_batch, read_at};

/// The last segment of a partition after a start.
#[derive(Debug)]
pub(super) struct Recovered {
    pub segment: Segment,
    /// Its end is missing: what comes next belongs into a new file, that starts at [`Recovered::next_offset`].
    pub is_closed: bool,
    pub next_offset: i64,
    /// Bytes were cut off.
    pub is_cut: bool,
}

/// Opens the last segment and hands the header of each whole batch to `seen`.
///
/// `durable`: the offset up to which records are known to be on the disk, if it is known.
pub(super) fn recover(
    files: &Arc<OpenFiles>,
    directory: &Path,
    base_offset: i64,
    durable: Option<i64>,
    seen: impl FnMut(&Header),
) -> io::Result<Recovered> {
    let bytes = fs::metadata(segment::path(directory, base_offset))?.len();
    let contents = Contents { end: End { bytes, offset: base_offset }, index: None, damages: Vec::new() };
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
    };
    let is_closed = recovery.run(seen)?;
    let is_cut = !is_closed && recovery.position < bytes;
    if is_cut {
        recovery.cut(&segment.path)?;
    }
    let Recovery { position, offset, index, damages, .. } = recovery;
    drop(file);
    let end = End { bytes: if is_closed { bytes } else { position }, offset };
    segment.set_contents(Contents { end, index: Some(index), damages });
    Ok(Recovered { segment, is_closed, next_offset: offset, is_cut })
}

struct Recovery<'a> {
    file: &'a fs::File,
    position: u64,
    offset: i64,
    /// Bytes of the file.
    bytes: u64,
    durable: Option<i64>,
    index: Index,
    damages: Vec<Damage>,
}

impl Recovery<'_> {
    /// Walks to the end of what is whole. Returns whether what is missing after it was acknowledged.
    fn run(&mut self, mut seen: impl FnMut(&Header)) -> io::Result<bool> {
        let mut batch = Vec::new();
        loop {
            if let Some(header) = self.whole_batch(&mut batch)? {
                seen(&header);
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

    /// Cuts off what is after this place, and keeps a copy of it if it looks like more than an unfinished write.
    fn cut(&self, path: &Path) -> io::Result<()> {
        let cut = self.bytes - self.position;
        tracing::warn!(
            file = %path.display(), cut, offset = self.offset, "bytes of an unfinished write removed from the end of the log"
        );
        if self.header()?.is_some() {
            let copy = path.with_extension("cut");
            let mut bytes = vec![0; usize::try_from(cut).map_err(io::Error::other)?];
            read_at(self.file, &mut bytes, self.position)?;
            fs::write(&copy, bytes)?;
            tracing::warn!(copy = %copy.display(), "a record among them is complete and has a wrong checksum; they are kept");
        }
        self.file.set_len(self.position)?;
        self.file.sync_all()
    }

    /// The header of the batch at this place, if it is whole and the one that must follow.
    fn whole_batch(&self, batch: &mut Vec<u8>) -> io::Result<Option<Header>> {
        let Some(header) = self.header()? else { return Ok(None) };
        batch.resize(usize::try_from(header.bytes).map_err(io::Error::other)?, 0);
        read_at(self.file, batch, self.position)?;
        Ok(header.matches(batch).then_some(header))
    }

    /// A header that states the right offset and a length that fits into the file.
    fn header(&self) -> io::Result<Option<Header>> {
        Ok(header_at(self.file, self.position)?.filter(|header| {
            header.base_offset == self.offset && header.bytes <= self.bytes.saturating_sub(self.position)
        }))
    }

    /// The damage at this place, where no whole batch is; none if it is nothing but a write that was broken off.
    fn damage(&self) -> io::Result<Option<Damage>> {
        let damage = |next, end| Some(Damage { first: self.offset, next, position: self.position, end });
        let everything = End { bytes: self.bytes, offset: i64::MAX };
        match self.durable {
            Some(durable) if self.offset >= durable => Ok(None),
            Some(durable) => {
                let after = next_batch(self.file, self.position, self.offset, everything)?;
                Ok(after.map_or_else(|| damage(durable, self.bytes), |(end, next)| damage(next, end)))
            }
            None if self.position >= self.bytes => Ok(None),
            None => {
                let after = next_batch(self.file, self.position, self.offset, everything)?;
                let complete = self.header()?.map(|header| header.next_offset());
                Ok(match (after, complete) {
                    (Some((end, next)), _) => damage(next, end),
                    (None, Some(next)) => damage(next, self.bytes),
                    (None, None) => None,
                })
            }
        }
    }
}
