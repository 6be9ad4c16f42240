//! A mark: a second file next to a log that says how far the log is known to be on disk.
//!
//! Without it, a log whose end is missing looks like one whose last write was interrupted by a crash, and the loss goes unnoticed. A mark
//! names the log that it belongs to, so that the mark of another log is not used by mistake.
//!
//! The file has two slots, written alternately. If a crash interrupts the write of one, the other one is still valid, only a little
//! older. Each slot fits into one disk sector.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crc_fast::CrcAlgorithm;
use uuid::Uuid;

use crate::durable::{read_if_exists, replace_file};

const MAGIC: &[u8; 8] = b"RHMARK\x00\x01";

/// Where the second slot starts, in its own sector.
const SLOT_STEP: u64 = 512;

/// Magic bytes, owner, sequence number, end, checksum.
const SLOT_BYTES: usize = 8 + 16 + 8 + 8 + 4;

/// The mark of one log.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
    owner: Uuid,
    /// Number of earlier marks, which determines the slot to write next.
    number: u64,
    end: u64,
}

/// What is known about a log's end.
#[derive(Debug)]
pub enum Known {
    /// The mark does not exist.
    Nothing,
    /// The file exists, but has no valid mark of this log.
    Damaged,
    Marked(Mark),
}

impl Known {
    /// Returns the mark of a log that ends at `end`, and makes sure that it is on disk. An existing mark is written in place, which works
    /// even if the disk is full.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn reaching(self, path: &Path, owner: Uuid, end: u64) -> io::Result<Mark> {
        match self {
            Self::Marked(mut mark) if mark.owner == owner => {
                if mark.end != end {
                    mark.set(end, true)?;
                }
                Ok(mark)
            }
            _ => Mark::create(path, owner, end),
        }
    }
}

impl Mark {
    /// Reads the mark of the log with this id, which is also in the log's own files. Without an id, reads the mark of any log.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn load(path: &Path, owner: Option<Uuid>) -> io::Result<Known> {
        let Some(bytes) = read_if_exists(path)? else { return Ok(Known::Nothing) };
        let second = bytes.get(SLOT_STEP as usize..).unwrap_or_default();
        let slots = [bytes.as_slice(), second].into_iter().filter_map(|slot| read_slot(slot, owner));
        Ok(match slots.max() {
            Some((number, end, owner)) => Known::Marked(Self { path: path.to_owned(), owner, number, end }),
            None => Known::Damaged,
        })
    }

    /// Creates the mark of a log, and replaces any other. It is on disk on return.
    ///
    /// # Errors
    /// The file cannot be written.
    fn create(path: &Path, owner: Uuid, end: u64) -> io::Result<Self> {
        let mark = Self { path: path.to_owned(), owner, number: 0, end };
        replace_file(path, &mark.slot())?;
        Ok(mark)
    }

    /// Returns the id of the log that it belongs to.
    pub fn owner(&self) -> Uuid {
        self.owner
    }

    /// Returns how far the log is on disk.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Records that the log is on disk up to `end`. Without `sync`, this survives the end of the process, but not a power cut.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&mut self, end: u64, sync: bool) -> io::Result<()> {
        (self.number, self.end) = (self.number + 1, end);
        let file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all_at(&self.slot(), self.number % 2 * SLOT_STEP)?;
        if sync { file.sync_data() } else { Ok(()) }
    }

    fn slot(&self) -> Vec<u8> {
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.extend(MAGIC);
        slot.extend(self.owner.as_bytes());
        slot.extend(self.number.to_be_bytes());
        slot.extend(self.end.to_be_bytes());
        slot.extend(checksum(&slot));
        slot
    }
}

/// Reads number, end and owner from a slot, if it has a valid mark of this owner.
fn read_slot(slot: &[u8], wanted: Option<Uuid>) -> Option<(u64, u64, Uuid)> {
    let (slot, sum) = slot.get(..SLOT_BYTES)?.split_at_checked(SLOT_BYTES - 4)?;
    let (owner, rest) = slot.strip_prefix(MAGIC)?.split_at_checked(16)?;
    let (number, end) = rest.split_at_checked(8)?;
    let owner = Uuid::from_slice(owner).ok()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    let end = u64::from_be_bytes(end.try_into().ok()?);
    let is_valid = sum == checksum(slot) && wanted.is_none_or(|wanted| wanted == owner);
    is_valid.then_some((number, end, owner))
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    (crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const OWNER: Uuid = Uuid::from_u128(7);

    fn written(sets: u64) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("mark");
        let mut mark = Mark::create(&path, OWNER, 0).expect("created");
        for end in 1..=sets {
            mark.set(end * 100, end % 2 == 0).expect("set");
        }
        (directory, path)
    }

    fn end(path: &Path) -> Option<u64> {
        match Mark::load(path, Some(OWNER)).expect("read") {
            Known::Marked(mark) => Some(mark.end()),
            _ => None,
        }
    }

    #[test]
    fn the_last_mark_is_read_and_can_be_moved() {
        for sets in 0..5 {
            let (_directory, path) = written(sets);
            assert_eq!(end(&path), Some(sets * 100));
            let Known::Marked(mut mark) = Mark::load(&path, Some(OWNER)).expect("read") else {
                panic!("no mark")
            };
            mark.set(7_000, true).expect("set");
            assert_eq!(end(&path), Some(7_000));
        }
    }

    #[test]
    fn a_damaged_file_never_yields_a_mark_that_was_not_written() {
        let (_directory, path) = written(5);
        let whole = fs::read(&path).expect("read");
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&path, &damaged).expect("write");
            assert!([Some(400), Some(500)].contains(&end(&path)), "byte {place}");
            fs::write(&path, &whole[..place]).expect("write");
            assert!([None, Some(400), Some(500)].contains(&end(&path)), "cut at {place}");
        }
        fs::write(&path, vec![0; whole.len()]).expect("write");
        assert!(matches!(Mark::load(&path, Some(OWNER)), Ok(Known::Damaged)));
        fs::write(&path, &whole).expect("write");
        assert!(matches!(Mark::load(&path, Some(Uuid::from_u128(8))), Ok(Known::Damaged)), "of another log");
        fs::remove_file(&path).expect("removed");
        assert!(matches!(Mark::load(&path, Some(OWNER)), Ok(Known::Nothing)));
    }
}
