//! The durable log of the registry: one append-only file of JSON lines, each with a checksum.
//!
//! A line is on disk before its change is answered. A line that a crash tore is cut off when the file is opened
//! again: nobody was told of it. Any other damage stops the start, since an id that was given would be given again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::compatibility::Level;
use super::{MAX_LOG_BYTES, RegistryError};
use crate::embedded::EmbeddedError;

const FILE_NAME: &str = "schemas.jsonl";

/// Raised when a line's meaning changes, so that an older binary does not misread the file.
const FORMAT: u32 = 1;

/// One change of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Entry {
    /// Opens the file.
    Format {
        format: u32,
    },
    /// A subject has a new version. `schema` is there when the id is new.
    Register {
        subject: String,
        version: u32,
        id: u32,
        schema: Option<String>,
    },
    DeleteVersion {
        subject: String,
        version: u32,
        permanent: bool,
    },
    /// All versions of a subject are gone, and its compatibility level with them.
    DeleteSubject {
        subject: String,
        permanent: bool,
    },
    /// No `subject` is the global level; no `level` goes back to the default.
    SetCompatibility {
        subject: Option<String>,
        level: Option<Level>,
    },
}

#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Bytes that are known to be on disk.
    length: u64,
    /// A failed write could not be taken back: nothing may be written behind it.
    broken: bool,
}

impl Log {
    /// Opens the log in `directory`, making it if there is none, and passes what it holds to `apply` in order.
    ///
    /// # Errors
    /// It cannot be read or written, is damaged, or `apply` says that an entry does not follow from those before.
    pub(super) fn open(
        directory: &Path,
        mut apply: impl FnMut(Entry) -> Result<(), &'static str>,
    ) -> Result<Self, EmbeddedError> {
        let path = directory.join(FILE_NAME);
        let failed = |error| EmbeddedError::directory(directory, error);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        let mut log = Self { file, length: 0, broken: false };
        let read = log.read(&path, &mut apply)?;
        log.cut(read).map_err(failed)?;
        if log.length == 0 {
            log.append(&Entry::Format { format: FORMAT }).map_err(|error| EmbeddedError::Failed {
                part: "registry",
                reason: format!("cannot write {}: {error}", path.display()),
            })?;
            sync_directories(directory).map_err(failed)?;
        }
        Ok(log)
    }

    /// Appends an entry and waits until it is on disk; a failure leaves the file as it was.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), RegistryError> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed and could not be taken back").into());
        }
        let line = to_line(entry)?;
        let length = self.length.saturating_add(line.len() as u64);
        if length > MAX_LOG_BYTES {
            return Err(RegistryError::StoreFull);
        }
        match self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.length = length;
                Ok(())
            }
            Err(error) => {
                if let Err(error) = self.cut(self.length) {
                    tracing::error!(%error, "cannot take back a failed write; the registry is read-only now");
                    self.broken = true;
                }
                Err(error.into())
            }
        }
    }

    /// Reads all entries; returns how many bytes of the file they take.
    fn read(
        &mut self,
        path: &Path,
        apply: &mut impl FnMut(Entry) -> Result<(), &'static str>,
    ) -> Result<u64, EmbeddedError> {
        let damaged = |number: usize, reason: &str| EmbeddedError::Failed {
            part: "registry",
            reason: format!(
                "{} is damaged at line {number} ({reason}): restore it from a copy",
                path.display()
            ),
        };
        let mut reader = BufReader::new(&self.file);
        let mut read = 0;
        let mut torn = None;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let size =
                reader.read_until(b'\n', &mut line).map_err(|error| EmbeddedError::directory(path, error))?;
            if size == 0 {
                break;
            }
            match from_line(&line) {
                Some(_) if torn.is_some() => {
                    return Err(damaged(torn.unwrap_or(number), "complete lines follow it"));
                }
                Some(entry) => {
                    check_format(&entry, number)
                        .and_then(|()| apply(entry))
                        .map_err(|reason| damaged(number, reason))?;
                    read += size as u64;
                }
                None if is_torn(&line) => torn = torn.or(Some(number)),
                None => return Err(damaged(number, "wrong checksum")),
            }
        }
        if let Some(line) = torn {
            tracing::warn!(file = %path.display(), line, "cut off a line that was not written to its end");
        }
        Ok(read)
    }

    /// Makes the file end at `length`, on disk too.
    fn cut(&mut self, length: u64) -> io::Result<()> {
        if self.file.metadata()?.len() != length {
            self.file.set_len(length)?;
            self.file.sync_all()?;
        }
        self.file.seek(SeekFrom::Start(length))?;
        self.length = length;
        Ok(())
    }
}

/// Makes the names of a new file and its new directory survive a power cut.
fn sync_directories(directory: &Path) -> io::Result<()> {
    let directory = fs::canonicalize(directory)?;
    for directory in directory.ancestors().take(3).map(PathBuf::from) {
        // One that is not ours to open was not made by us.
        if let Ok(file) = File::open(directory) {
            file.sync_all()?;
        }
    }
    Ok(())
}

fn check_format(entry: &Entry, line: usize) -> Result<(), &'static str> {
    match (entry, line) {
        (Entry::Format { format: FORMAT }, 1) => Ok(()),
        (Entry::Format { .. }, 1) => Err("another version of roundhouse wrote it"),
        (Entry::Format { .. }, _) => Err("a second beginning"),
        (_, 1) => Err("its beginning is missing"),
        _ => Ok(()),
    }
}

/// A line is `{"sum":"<16 hex digits>","entry":<entry>}`; the sum is over the bytes of the entry.
fn to_line(entry: &Entry) -> io::Result<String> {
    let entry = serde_json::to_string(entry)?;
    Ok(format!("{{\"sum\":\"{}\",\"entry\":{entry}}}\n", checksum(entry.as_bytes())))
}

fn from_line(line: &[u8]) -> Option<Entry> {
    let line = line.strip_prefix(b"{\"sum\":\"")?.strip_suffix(b"}\n")?;
    let (sum, line) = line.split_at_checked(16)?;
    let entry = line.strip_prefix(b"\",\"entry\":")?;
    if checksum(entry).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(entry).ok()
}

/// A torn line lacks its end, or has holes of zeros where blocks were not written.
fn is_torn(line: &[u8]) -> bool {
    line.last() != Some(&b'\n') || line.contains(&0)
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(version: u32) -> Entry {
        Entry::Register { subject: "s".into(), version, id: version, schema: Some("\"long\"".into()) }
    }

    fn entries(directory: &Path) -> Result<Vec<Entry>, EmbeddedError> {
        let mut entries = Vec::new();
        Log::open(directory, |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(entries)
    }

    fn written(count: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut log = Log::open(directory.path(), |_| Ok(())).expect("open");
        for version in 1..=count {
            log.append(&register(version)).expect("append");
        }
        let path = directory.path().join(FILE_NAME);
        (directory, path)
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let (directory, _) = written(2);
        assert_eq!(
            entries(directory.path()).expect("open"),
            [Entry::Format { format: FORMAT }, register(1), register(2)]
        );
    }

    #[test]
    fn a_last_line_torn_at_any_byte_is_cut_off_and_the_file_goes_on() {
        let (directory, path) = written(2);
        let whole = fs::read(&path).expect("read");
        let last = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').expect("lines") + 1;
        for length in last..whole.len() {
            for zeros in [0, 5000] {
                let mut torn = whole[..length].to_vec();
                torn.extend(std::iter::repeat_n(0, zeros));
                fs::write(&path, torn).expect("write");
                let mut log = Log::open(directory.path(), |_| Ok(())).expect("open");
                log.append(&register(3)).expect("append");
                assert_eq!(entries(directory.path()).expect("open")[1..], [register(1), register(3)]);
            }
        }
    }

    #[test]
    fn a_changed_byte_anywhere_before_the_end_stops_the_start() {
        let (directory, path) = written(2);
        let whole = fs::read(&path).expect("read");
        for position in 0..whole.len() - 1 {
            let mut changed = whole.clone();
            changed[position] ^= 1;
            fs::write(&path, changed).expect("write");
            assert!(entries(directory.path()).is_err(), "byte {position}");
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let line = to_line(&Entry::Format { format: FORMAT + 1 }).expect("line");
        fs::write(directory.path().join(FILE_NAME), line).expect("write");
        assert!(entries(directory.path()).is_err());
    }
}
