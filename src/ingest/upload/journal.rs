//! Uploads on disk that ClickHouse may not have yet. So every acknowledged upload is known after any crash.
//!
//! The file has one line for each state of an upload, with a checksum. A line is on disk before its upload is acknowledged. When ClickHouse
//! has all of them, the file is emptied. The log of the embedded registry looks similar but cannot be used here: it never forgets, refuses
//! to start when it is damaged, and belongs to the embedded parts, which this module does not know.
//!
//! A crash may leave an incomplete last line. It has no line end, and its upload was not acknowledged. Any other line that cannot be
//! read is damage. The server then starts with the other lines, logs the damage, and keeps a copy of the file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::warehouse::uploads::LedgerRow;
use roundhouse_part::durable::{read_if_exists, replace_file};
use roundhouse_part::lock::lock;

/// Hexadecimal digits of a line's checksum.
const CHECKSUM_DIGITS: usize = 16;

/// Size in bytes from which the file is rewritten if less than half of it is still needed.
const COMPACTED_BYTES: u64 = 1 << 20;

/// The uploads that ClickHouse may not have yet.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: Arc<File>,
    /// Bytes of complete lines. The file has more only if a write failed and could not be undone.
    bytes: u64,
    waiting: BTreeMap<Uuid, Waiting>,
}

/// An upload of which ClickHouse may not have the last change.
#[derive(Debug)]
struct Waiting {
    version: u64,
    line: Vec<u8>,
}

impl Journal {
    /// Opens the file, or creates it. Also returns the uploads that ClickHouse may not have, each in its last state. ClickHouse may have
    /// some of them; writing them again does no harm.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<LedgerRow>)> {
        let content = read_if_exists(path)?.unwrap_or_default();
        let Found { rows, damaged, is_torn } = Found::of(&content);
        if is_torn {
            tracing::warn!(file = %path.display(), "the last line is incomplete; it is ignored");
        }
        if damaged > 0 {
            let kept = path.with_extension("damaged");
            fs::copy(path, &kept)?;
            tracing::error!(
                file = %path.display(), lines = damaged, copy = %kept.display(),
                "the file is damaged, and uploads in these lines may be unknown; a copy of the file is kept"
            );
        }
        let waiting =
            rows.iter().map(|row| Ok((row.upload_id, Waiting::of(row)?))).collect::<io::Result<_>>()?;
        let (file, bytes) = rewrite(path, &waiting)?;
        let inner = Inner { file: Arc::new(file), bytes, waiting };
        Ok((Self { path: path.to_owned(), inner: Mutex::new(inner) }, rows.into_iter().collect()))
    }

    /// Writes the state of an upload. With `is_final` it is on disk when this returns: blocks.
    ///
    /// # Errors
    /// It cannot be written; the file is unchanged.
    pub fn note(&self, row: &LedgerRow, is_final: bool) -> io::Result<()> {
        let waiting = Waiting::of(row)?;
        let file = {
            let mut inner = self.inner();
            inner.append(&waiting.line)?;
            inner.waiting.insert(row.upload_id, waiting);
            Arc::clone(&inner.file)
        };
        // Without the lock, so that others can write. If the file was rewritten since, all of it is on disk.
        if is_final { file.sync_data() } else { Ok(()) }
    }

    /// Forgets uploads that ClickHouse has.
    pub fn have_told(&self, rows: &[LedgerRow]) {
        let mut inner = self.inner();
        for told in rows {
            if inner.waiting.get(&told.upload_id).is_some_and(|waiting| waiting.version <= told.version) {
                inner.waiting.remove(&told.upload_id);
            }
        }
        if let Err(error) = inner.shrink(&self.path) {
            tracing::warn!(%error, file = %self.path.display(), "cannot shorten the file; trying again later");
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        // The rest of a failed write must not run into the next line.
        self.cut()?;
        let written = (&*self.file).write_all(line);
        match &written {
            Ok(()) => self.bytes += line.len() as u64,
            Err(_) => drop(self.cut()),
        }
        written
    }

    /// Removes everything after the last complete line.
    fn cut(&self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.bytes { self.file.set_len(self.bytes) } else { Ok(()) }
    }

    /// Empties the file, or rewrites it, if most of it is no longer needed.
    fn shrink(&mut self, path: &Path) -> io::Result<()> {
        if self.waiting.is_empty() {
            if self.bytes > 0 {
                self.file.set_len(0)?;
                self.bytes = 0;
            }
            return Ok(());
        }
        let needed: u64 = self.waiting.values().map(|waiting| waiting.line.len() as u64).sum();
        if self.bytes > COMPACTED_BYTES && needed < self.bytes / 2 {
            let (file, bytes) = rewrite(path, &self.waiting)?;
            (self.file, self.bytes) = (Arc::new(file), bytes);
        }
        Ok(())
    }
}

impl Waiting {
    fn of(row: &LedgerRow) -> io::Result<Self> {
        let json = serde_json::to_string(row)?;
        Ok(Self {
            version: row.version,
            line: format!("{} {json}\n", checksum(json.as_bytes())).into_bytes(),
        })
    }
}

/// Replaces the file by a new one, which is on disk under its name when this returns.
fn rewrite(path: &Path, waiting: &BTreeMap<Uuid, Waiting>) -> io::Result<(File, u64)> {
    let content: Vec<u8> = waiting.values().flat_map(|waiting| &waiting.line).copied().collect();
    replace_file(path, &content)?;
    Ok((OpenOptions::new().append(true).open(path)?, content.len() as u64))
}

fn checksum(json: &[u8]) -> String {
    let digest = Sha256::digest(json);
    digest.iter().take(CHECKSUM_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// The content of a file.
#[derive(Debug, Default)]
struct Found {
    /// The newest version of each upload.
    rows: Vec<LedgerRow>,
    /// Number of lines that cannot be read.
    damaged: u64,
    is_torn: bool,
}

impl Found {
    fn of(content: &[u8]) -> Self {
        let mut newest: BTreeMap<Uuid, LedgerRow> = BTreeMap::new();
        let (mut damaged, mut is_torn) = (0, false);
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            match (line.strip_suffix(b"\n"), parse(line.trim_ascii_end())) {
                (None, _) => is_torn = true,
                (Some(_), None) => damaged += 1,
                (Some(_), Some(row)) => {
                    if newest.get(&row.upload_id).is_none_or(|other| other.version <= row.version) {
                        newest.insert(row.upload_id, row);
                    }
                }
            }
        }
        Self { rows: newest.into_values().collect(), damaged, is_torn }
    }
}

fn parse(line: &[u8]) -> Option<LedgerRow> {
    let (sum, json) = line.split_at_checked(CHECKSUM_DIGITS)?;
    let json = json.strip_prefix(b" ")?;
    (checksum(json).as_bytes() == sum).then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::uploads::LedgerState;

    fn row(id: u128, version: u64, state: LedgerState) -> LedgerRow {
        LedgerRow {
            upload_id: Uuid::from_u128(id),
            version,
            state,
            file_name: "a\nb \"c\" é.csv".to_owned(),
            offsets: BTreeMap::from([(3, (0, 17))]),
            rejects_by_code: BTreeMap::from([("not_a_decimal".to_owned(), 2)]),
            ..LedgerRow::default()
        }
    }

    fn open(path: &Path) -> (Journal, Vec<LedgerRow>) {
        Journal::open(path).unwrap()
    }

    #[test]
    fn uploads_that_clickhouse_does_not_have_are_found_in_their_last_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("uploads.journal");
        let (journal, found) = open(&path);
        assert!(found.is_empty());
        journal.note(&row(1, 1, LedgerState::Receiving), false).unwrap();
        journal.note(&row(2, 1, LedgerState::Receiving), false).unwrap();
        journal.note(&row(1, 7, LedgerState::Acknowledged), true).unwrap();
        journal.have_told(&[row(1, 6, LedgerState::Receiving)]);
        drop(journal);
        let (journal, found) = open(&path);
        assert_eq!(found, [row(1, 7, LedgerState::Acknowledged), row(2, 1, LedgerState::Receiving)]);
        journal.have_told(&[row(1, 7, LedgerState::Acknowledged), row(2, 5, LedgerState::Receiving)]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        journal.note(&row(3, 2, LedgerState::Failed), true).unwrap();
        assert_eq!(open(&path).1, [row(3, 2, LedgerState::Failed)]);
    }

    #[test]
    fn an_incomplete_last_line_is_ignored_and_a_damaged_file_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("uploads.journal");
        let copy = path.with_extension("damaged");
        let (journal, _) = open(&path);
        for id in 1..=3 {
            journal.note(&row(id, 1, LedgerState::Acknowledged), true).unwrap();
        }
        let whole = fs::read(&path).unwrap();
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        let ids = |rows: &[LedgerRow]| rows.iter().map(|row| row.upload_id.as_u128()).collect::<Vec<_>>();
        for length in whole.len() - lines[2].len() + 1..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!((ids(&open(&path).1), copy.exists()), (vec![1, 2], false), "{length}");
        }
        for place in [3, lines[0].len() / 2, lines[0].len() + 20] {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&path, &flipped).unwrap();
            let expected = if place < lines[0].len() { [2, 3] } else { [1, 3] };
            assert_eq!(ids(&open(&path).1), expected, "{place}");
            assert_eq!(fs::read(&copy).unwrap(), flipped);
            fs::remove_file(&copy).unwrap();
            // The file is undamaged again.
            assert_eq!((ids(&open(&path).1), copy.exists()), (expected.to_vec(), false), "{place}");
        }
    }

    #[test]
    fn the_file_stays_small_while_one_upload_is_never_written_to_clickhouse() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("uploads.journal");
        let (journal, _) = open(&path);
        journal.note(&row(1, 1, LedgerState::Acknowledged), true).unwrap();
        for id in 2..5000 {
            let other = row(id, 1, LedgerState::Acknowledged);
            journal.note(&other, false).unwrap();
            journal.have_told(&[other]);
        }
        assert!(fs::metadata(&path).unwrap().len() < 2 * COMPACTED_BYTES);
        journal.note(&row(9000, 1, LedgerState::Acknowledged), true).unwrap();
        let found: Vec<u128> = open(&path).1.iter().map(|row| row.upload_id.as_u128()).collect();
        assert!(found.contains(&1) && found.contains(&9000), "{found:?}");
    }

    #[test]
    fn the_rest_of_a_failed_write_does_not_run_into_the_next_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("uploads.journal");
        let (journal, _) = open(&path);
        journal.note(&row(1, 1, LedgerState::Acknowledged), true).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"half a li").unwrap();
        journal.note(&row(2, 1, LedgerState::Acknowledged), true).unwrap();
        assert_eq!(open(&path).1.len(), 2);
    }
}
