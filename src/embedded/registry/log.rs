//! The registry's durable log: one append-only file of JSON lines, each with a checksum.
//!
//! Before a change is acknowledged, its line is on disk, and so is the mark: a second file that says up to where lines were acknowledged. If
//! a crash interrupted the write of a line after the mark, that line is cut off at the next start, because it was never acknowledged. With
//! any other damage, the registry does not start, because it could assign an id twice. That includes a file that is empty, shorter than
//! before, or missing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::compatibility::Level;
use super::{MAX_LOG_BYTES, RegistryError};
use crate::embedded::EmbeddedError;
use crate::embedded::mark::{Known, Mark};

const FILE_NAME: &str = "schemas.jsonl";

/// Name of the file that says up to where the log was acknowledged.
const MARK_NAME: &str = "schemas.durable";

/// Raised when the meaning of a line changes, so that an older binary does not misread the file.
const FORMAT: u32 = 2;

/// The earlier format, without an id and without a mark.
const FORMAT_WITHOUT_MARK: u32 = 1;

/// Maximum bytes of the first line. A shorter file may be what a crash left while the file was created.
const MAX_FIRST_LINE: u64 = 128;

/// One change of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Entry {
    /// The first line of the file.
    Format {
        format: u32,
        /// The registry's own id, which is also in its mark.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<Uuid>,
    },
    /// A new version of a subject. `schema` is set if the id is new.
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
    /// Deletes all versions of a subject and its compatibility level.
    DeleteSubject {
        subject: String,
        permanent: bool,
    },
    /// Without a `subject`, sets the global level. Without a `level`, resets it to the default.
    SetCompatibility {
        subject: Option<String>,
        level: Option<Level>,
    },
}

#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Number of bytes that are known to be on disk.
    length: u64,
    mark: Mark,
    /// Whether a failed write could not be undone. Then nothing more may be written.
    broken: bool,
}

/// The contents of the file.
#[derive(Debug, Default)]
struct Contents {
    /// Bytes of the file, and how many of them are in complete lines.
    bytes: u64,
    whole: u64,
    /// Format and id from the first line.
    format: Option<(u32, Uuid)>,
    /// The number of the first incomplete line.
    torn: Option<usize>,
}

impl Log {
    /// Opens the log in `directory` and passes its entries to `apply` in order. Creates the log if there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, is damaged, or `apply` finds that an entry contradicts the earlier ones.
    pub(super) fn open(
        directory: &Path,
        mut apply: impl FnMut(Entry) -> Result<(), &'static str>,
    ) -> Result<Self, EmbeddedError> {
        let (path, mark_path) = (directory.join(FILE_NAME), directory.join(MARK_NAME));
        let failed = |error| EmbeddedError::directory(directory, error);
        let known = Mark::load(&mark_path, None).map_err(failed)?;
        let may_be_new = matches!(known, Known::Nothing);
        let opened = OpenOptions::new().create(may_be_new).truncate(false).read(true).write(true).open(&path);
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if !may_be_new => damaged(&path, "it is missing"),
            _ => failed(error),
        })?;
        let durable = match &known {
            Known::Marked(mark) => mark.end(),
            Known::Nothing | Known::Damaged => 0,
        };
        let contents = read(&file, &path, durable, &mut apply)?;
        check_end(&contents, &known).map_err(|reason| damaged(&path, &reason))?;
        if let Some(line) = contents.torn {
            tracing::warn!(file = %path.display(), line, "cut off an incomplete line at the end");
        }
        cut(&mut file, contents.whole).map_err(failed)?;
        let (length, owner) = match contents.format {
            Some((_, owner)) => (contents.whole, owner),
            None => begin(&mut file, &path)?,
        };
        sync_directories(directory).map_err(failed)?;
        let mark = known.reaching(&mark_path, owner, length).map_err(failed)?;
        Ok(Self { file, length, mark, broken: false })
    }

    /// Appends an entry and waits until it is on disk. If that fails, the file stays unchanged.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), RegistryError> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed and could not be undone").into());
        }
        let line = to_line(entry)?;
        let length = self.length.saturating_add(line.len() as u64);
        if length > MAX_LOG_BYTES {
            return Err(RegistryError::StoreFull);
        }
        if let Err(error) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()) {
            if let Err(error) = cut(&mut self.file, self.length) {
                tracing::error!(%error, "cannot undo a failed write; the registry is read-only now");
                self.broken = true;
            }
            return Err(error.into());
        }
        if let Err(error) = self.mark.set(length, true) {
            // The line is on disk, and the mark may already include it. Undoing the line could contradict the mark.
            tracing::error!(%error, "cannot write the mark of the log's end; the registry is read-only now");
            self.broken = true;
            return Err(error.into());
        }
        self.length = length;
        Ok(())
    }
}

/// Writes the first line of a new registry. Returns its length and the id in it.
fn begin(file: &mut File, path: &Path) -> Result<(u64, Uuid), EmbeddedError> {
    let id = Uuid::new_v4();
    let written = to_line(&Entry::Format { format: FORMAT, id: Some(id) }).and_then(|line| {
        file.write_all(line.as_bytes())?;
        file.sync_data()?;
        Ok(line.len() as u64)
    });
    let length = written.map_err(|error| EmbeddedError::Failed {
        part: "registry",
        reason: format!("cannot write {}: {error}", path.display()),
    })?;
    Ok((length, id))
}

/// Reads all entries and passes them to `apply`. `durable`: the number of acknowledged bytes.
fn read(
    file: &File,
    path: &Path,
    durable: u64,
    apply: &mut impl FnMut(Entry) -> Result<(), &'static str>,
) -> Result<Contents, EmbeddedError> {
    let at_line = |number: usize, reason: &str| damaged(path, &format!("line {number}: {reason}"));
    let mut reader = BufReader::new(file);
    let mut contents = Contents::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let size =
            reader.read_until(b'\n', &mut line).map_err(|error| EmbeddedError::directory(path, error))?;
        if size == 0 {
            break;
        }
        let start = contents.bytes;
        contents.bytes += size as u64;
        match from_line(&line) {
            Some(_) if contents.torn.is_some() => {
                return Err(at_line(contents.torn.unwrap_or(number), "complete lines follow it"));
            }
            Some(entry) => {
                let format = check_format(&entry, number).map_err(|reason| at_line(number, reason))?;
                contents.format = contents.format.or(format);
                apply(entry).map_err(|reason| at_line(number, reason))?;
                contents.whole = contents.bytes;
            }
            None if start >= durable && is_torn(&line) => contents.torn = contents.torn.or(Some(number)),
            None => return Err(at_line(number, "wrong checksum")),
        }
    }
    Ok(contents)
}

/// Returns why the file is incomplete, if it is.
fn check_end(contents: &Contents, known: &Known) -> Result<(), String> {
    let is_new = contents.format.is_none() && contents.bytes <= MAX_FIRST_LINE;
    match (known, contents.format) {
        (Known::Marked(mark), _) if contents.whole < mark.end() => {
            Err(format!("it had {} bytes, and {} are left", mark.end(), contents.whole))
        }
        (Known::Marked(mark), Some((_, id))) if mark.owner() != id => {
            Err(format!("{MARK_NAME} next to it belongs to another registry"))
        }
        (Known::Marked(_), _) => Ok(()),
        (Known::Nothing, None) if is_new => Ok(()),
        (_, None) => Err("its beginning is missing".to_owned()),
        (Known::Nothing, Some((FORMAT_WITHOUT_MARK, _))) => Ok(()),
        (_, Some(_)) if contents.torn.is_some() => Err(format!(
            "its end is incomplete, and {MARK_NAME}, which would show whether that part was acknowledged, is missing"
        )),
        (_, Some(_)) => {
            tracing::warn!(
                "{MARK_NAME} is missing or damaged; {FILE_NAME} looks complete and is used unchanged"
            );
            Ok(())
        }
    }
}

fn damaged(path: &Path, reason: &str) -> EmbeddedError {
    EmbeddedError::Failed {
        part: "registry",
        reason: format!(
            "{} is damaged ({reason}); restore it and {MARK_NAME} from a backup. Without a backup, delete both and register the schemas \
             again in the order of their ids",
            path.display()
        ),
    }
}

/// Cuts the file to `length`, also on disk, and moves to its end.
fn cut(file: &mut File, length: u64) -> io::Result<()> {
    if file.metadata()?.len() != length {
        file.set_len(length)?;
        file.sync_all()?;
    }
    file.seek(SeekFrom::Start(length))?;
    Ok(())
}

/// Makes the names of a new file and its new directory survive a power cut.
fn sync_directories(directory: &Path) -> io::Result<()> {
    let directory = fs::canonicalize(directory)?;
    for directory in directory.ancestors().take(3).map(PathBuf::from) {
        // A directory that cannot be opened was not created by this process.
        if let Ok(file) = File::open(directory) {
            file.sync_all()?;
        }
    }
    Ok(())
}

/// Checks that the file begins with a format line and has no other one. Returns the contents of that line.
fn check_format(entry: &Entry, line: usize) -> Result<Option<(u32, Uuid)>, &'static str> {
    match (entry, line) {
        (Entry::Format { format: FORMAT, id: Some(id) }, 1) => Ok(Some((FORMAT, *id))),
        (Entry::Format { format: FORMAT_WITHOUT_MARK, id: None }, 1) => {
            Ok(Some((FORMAT_WITHOUT_MARK, Uuid::nil())))
        }
        (Entry::Format { .. }, 1) => Err("it was written by another version of roundhouse"),
        (Entry::Format { .. }, _) => Err("there is a second format line"),
        (_, 1) => Err("its beginning is missing"),
        _ => Ok(None),
    }
}

/// Returns a line: `{"sum":"<16 hex digits>","entry":<entry>}`. The checksum covers the bytes of the entry.
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

/// Whether a line was written incompletely: its end is missing, or it has zeros where blocks were not written.
fn is_torn(line: &[u8]) -> bool {
    line.last() != Some(&b'\n') || line.contains(&0)
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    /// Reads a damaged registry. None if it does not start.
    fn entries_after(directory: &Path, path: &Path, bytes: &[u8]) -> Option<Vec<Entry>> {
        fs::write(path, bytes).expect("write");
        entries(directory).ok().map(|mut entries| entries.split_off(1))
    }

    #[test]
    fn appended_entries_are_read_back() {
        let (directory, _) = written(2);
        let entries = entries(directory.path()).expect("open");
        assert!(matches!(entries[0], Entry::Format { format: FORMAT, id: Some(_) }), "{entries:?}");
        assert_eq!(entries[1..], [register(1), register(2)]);
    }

    #[test]
    fn an_incomplete_last_line_is_cut_off_and_writing_continues() {
        let (directory, path) = written(1);
        let whole = fs::read(&path).expect("read");
        let mark = fs::read(directory.path().join(MARK_NAME)).expect("read");
        let line = to_line(&register(2)).expect("a line");
        for length in 0..line.len() {
            for zeros in [0, 5000] {
                let torn = [&whole, &line.as_bytes()[..length], &vec![0; zeros]].concat();
                fs::write(&path, torn).expect("write");
                fs::write(directory.path().join(MARK_NAME), &mark).expect("write");
                let mut log = Log::open(directory.path(), |_| Ok(())).expect("open");
                log.append(&register(3)).expect("append");
                assert_eq!(entries(directory.path()).expect("open")[1..], [register(1), register(3)]);
            }
        }
    }

    #[test]
    fn a_start_fails_and_keeps_the_file_unchanged_if_acknowledged_lines_are_missing() {
        let (directory, path) = written(2);
        let whole = fs::read(&path).expect("read");
        for length in 0..whole.len() {
            assert_eq!(entries_after(directory.path(), &path, &whole[..length]), None, "{length} bytes left");
            assert_eq!(fs::read(&path).expect("read"), &whole[..length]);
            let zeroed = [&whole[..length], &vec![0; whole.len() - length]].concat();
            assert_eq!(entries_after(directory.path(), &path, &zeroed), None, "zeros from {length}");
            assert_eq!(fs::read(&path).expect("read"), zeroed);
        }
        fs::remove_file(&path).expect("removed");
        let refused = entries(directory.path()).expect_err("a refusal").to_string();
        assert!(refused.contains("schemas.jsonl is damaged (it is missing)"), "{refused}");
        assert!(refused.contains("restore"), "{refused}");
    }

    #[test]
    fn the_registry_does_not_start_if_any_byte_was_changed() {
        let (directory, path) = written(2);
        let whole = fs::read(&path).expect("read");
        for position in 0..whole.len() {
            let mut changed = whole.clone();
            changed[position] ^= 1;
            assert_eq!(entries_after(directory.path(), &path, &changed), None, "byte {position}");
        }
    }

    #[test]
    fn without_its_mark_a_complete_file_is_used_but_an_incomplete_one_is_not() {
        for damage in ["missing", "zeroed", "of another registry"] {
            let (directory, path) = written(2);
            let mark = directory.path().join(MARK_NAME);
            let damage_mark = || match damage {
                "missing" => drop(fs::remove_file(&mark)),
                "zeroed" => fs::write(&mark, [0; 600]).expect("write"),
                _ => drop(Known::Nothing.reaching(&mark, Uuid::from_u128(7), 10).expect("a mark")),
            };
            let whole = fs::read(&path).expect("read");
            damage_mark();
            assert_eq!(entries_after(directory.path(), &path, &whole[..whole.len() - 3]), None, "{damage}");
            damage_mark();
            let found = entries_after(directory.path(), &path, &whole);
            let expected = (damage != "of another registry").then(|| vec![register(1), register(2)]);
            assert_eq!(found, expected, "{damage}");
        }
    }

    #[test]
    fn a_file_in_the_earlier_format_is_read_and_gets_a_mark() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join(FILE_NAME);
        let first = to_line(&Entry::Format { format: FORMAT_WITHOUT_MARK, id: None }).expect("a line");
        let whole = [first, to_line(&register(1)).expect("a line")].concat();
        fs::write(&path, &whole).expect("write");
        for _ in 0..2 {
            assert_eq!(entries(directory.path()).expect("open")[1..], [register(1)]);
        }
        assert_eq!(entries_after(directory.path(), &path, &[]), None, "emptied");
    }

    #[test]
    fn a_newer_format_is_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let line = to_line(&Entry::Format { format: FORMAT + 1, id: None }).expect("line");
        fs::write(directory.path().join(FILE_NAME), line).expect("write");
        assert!(entries(directory.path()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_damage_to_one_of_the_files_loses_an_entry_unnoticed(
            of_mark in any::<bool>(),
            place in any::<prop::sample::Index>(),
            change in prop_oneof![Just(None), (1_u8..).prop_map(Some)],
        ) {
            let (directory, path) = written(3);
            let damaged = if of_mark { directory.path().join(MARK_NAME) } else { path };
            let mut bytes = fs::read(&damaged).expect("read");
            let place = place.index(bytes.len());
            match change {
                Some(flip) => bytes[place] ^= flip,
                None => bytes.truncate(place),
            }
            fs::write(&damaged, bytes).expect("write");
            if let Ok(entries) = entries(directory.path()) {
                prop_assert_eq!(&entries[1..], [register(1), register(2), register(3)]);
            }
        }
    }
}
