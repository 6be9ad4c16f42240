//! A durable log of records: one append-only file of JSON lines, each with a checksum. It does not know what a record means.
//!
//! Before a record is acknowledged, its line is on disk, and so is the mark: a second file that says up to where lines were acknowledged. If
//! a crash interrupted the write of a line after the mark, that line is cut off at the next start, because it was never acknowledged. Any
//! other damage is an error, because acknowledged records may be lost. That includes a file that is empty, shorter than before, or missing.
//!
//! A log can be replaced by a shorter one with the same meaning. The new file names the log that it replaces, so the mark of either is valid
//! for it: a crash leaves the old file or the new one, never a mixture.

mod lines;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use uuid::Uuid;

use self::lines::{Contents, Header, to_line};
use crate::EmbeddedError;
use crate::counted::counted;
use crate::durable::{draft_of, put_in_place, remove_if_exists, sync_directory, write_draft};
use crate::mark::{Known, Mark};

/// Maximum bytes of a new log's first line. A shorter file may be what a crash left while the file was created.
const MAX_FIRST_LINE: u64 = 128;

/// What distinguishes one log from others: its files, its limits, and what to say about it.
#[derive(Clone, Copy, Debug)]
pub struct LogFile {
    /// The part that owns the log, as errors name it.
    pub part: &'static str,
    /// Name of the file.
    pub name: &'static str,
    /// Name of the file that says up to where the log was acknowledged.
    pub mark: &'static str,
    /// Raised when the meaning of a record changes, so that an older binary does not misread the file.
    pub format: u32,
    /// Maximum bytes of the file.
    pub max_bytes: u64,
    /// What to do if the file is damaged and there is no backup, after both files were deleted.
    pub without_backup: &'static str,
}

/// Why records could not be written. The log is as before, unless its file is in doubt: then every later write fails too.
#[derive(Debug, Error)]
pub enum WriteError {
    #[error("the file would grow beyond {}", counted(*max_bytes, "byte"))]
    Full { max_bytes: u64 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A log of records `R`, open for appending. Its functions block.
#[derive(Debug)]
pub struct RecordLog<R> {
    kind: LogFile,
    directory: PathBuf,
    file: File,
    /// Number of bytes that are known to be on disk.
    length: u64,
    mark: Mark,
    /// Whether it is unknown what the file contains, because a failed write could not be undone. Then nothing more may be written.
    broken: bool,
    records: PhantomData<fn(R)>,
}

impl<R: Serialize + DeserializeOwned> RecordLog<R> {
    /// Opens the log in `directory` and passes its records to `apply` in order. Creates the log if there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, is damaged, or `apply` finds that a record contradicts the earlier ones.
    pub fn open(
        directory: &Path,
        kind: LogFile,
        apply: impl FnMut(R) -> Result<(), &'static str>,
    ) -> Result<Self, EmbeddedError> {
        let (path, mark_path) = (directory.join(kind.name), directory.join(kind.mark));
        let failed = |error| EmbeddedError::directory(directory, error);
        let damaged = |reason: String| kind.damaged(&path, &reason);
        let known = Mark::load(&mark_path, None).map_err(failed)?;
        let may_be_new = matches!(known, Known::Nothing);
        let opened = OpenOptions::new().create(may_be_new).truncate(false).read(true).write(true).open(&path);
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if !may_be_new => damaged("it is missing".to_owned()),
            _ => failed(error),
        })?;
        let contents = lines::read(&file, kind.format, &known, apply).map_err(|error| match error {
            lines::ReadError::Io(error) => EmbeddedError::directory(&path, error),
            lines::ReadError::Damaged(reason) => damaged(reason),
        })?;
        kind.check_end(&contents, &known).map_err(damaged)?;
        if let Some(line) = contents.torn {
            tracing::warn!(file = %path.display(), line, "cut off an incomplete line at the end");
        }
        cut(&mut file, contents.whole).map_err(failed)?;
        let (length, owner) = match contents.header {
            Some(header) => (contents.whole, header.id()),
            None => begin(&mut file, kind).map_err(|error| EmbeddedError::directory(&path, error))?,
        };
        sync_directories(directory).map_err(failed)?;
        let mark = known.reaching(&mark_path, owner, length).map_err(failed)?;
        let directory = directory.to_owned();
        Ok(Self { kind, directory, file, length, mark, broken: false, records: PhantomData })
    }

    /// Appends a record and waits until it is on disk.
    ///
    /// # Errors
    /// The file is full or cannot be written. The record is not in the log.
    pub fn append(&mut self, record: &R) -> Result<(), WriteError> {
        self.append_all(std::slice::from_ref(record))
    }

    /// Appends records with one write and waits until all are on disk. After a crash before that, the first ones may be there without the
    /// others.
    ///
    /// # Errors
    /// The file is full or cannot be written. None of the records is in the log.
    pub fn append_all(&mut self, records: &[R]) -> Result<(), WriteError> {
        self.check_usable()?;
        let lines = lines::join(records)?;
        let length = self.kind.check_length(self.length.saturating_add(lines.len() as u64))?;
        if let Err(error) = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data()) {
            if let Err(error) = cut(&mut self.file, self.length) {
                self.give_up("cannot undo a failed write", &error);
            }
            return Err(error.into());
        }
        if let Err(error) = self.mark.set(length, true) {
            // The lines are on disk, and the mark may already include them. Undoing them could contradict the mark.
            self.give_up("cannot write the mark of the log's end", &error);
            return Err(error.into());
        }
        self.length = length;
        Ok(())
    }

    /// Replaces all records by others that mean the same, and waits until they are on disk. After a crash, the log has the old records or the
    /// new ones. The new file is built in memory.
    ///
    /// # Errors
    /// The file would be too large or cannot be written. The old records stay.
    pub fn replace_all<'a>(&mut self, records: impl IntoIterator<Item = &'a R>) -> Result<(), WriteError>
    where
        R: 'a,
    {
        self.check_usable()?;
        let records = lines::join(records)?;
        let header = Header::replacing(self.kind.format, self.mark.owner(), records.len() as u64);
        let bytes = [to_line(&header)?, records].concat();
        let length = self.kind.check_length(bytes.len() as u64)?;
        let path = self.directory.join(self.kind.name);
        let draft = write_draft(&path, bytes.as_bytes()).inspect_err(|_| {
            // What is left of it only takes space.
            let _ = remove_if_exists(&draft_of(&path));
        })?;
        self.switch_to(&draft, &path, header.id(), length)
            .inspect_err(|error| self.give_up("cannot replace the log", error))?;
        Ok(())
    }

    /// Returns the size of the file.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// Whether it is unknown what the file contains, because a failed write could not be undone. Every later write fails. Only opening the
    /// log again helps, so its part should end and be started again.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Gives a complete new file the log's name and continues in it.
    fn switch_to(&mut self, draft: &Path, path: &Path, id: Uuid, length: u64) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(draft)?;
        file.seek(SeekFrom::End(0))?;
        put_in_place(draft, path)?;
        self.mark = Known::Nothing.reaching(&self.directory.join(self.kind.mark), id, length)?;
        (self.file, self.length) = (file, length);
        Ok(())
    }

    fn check_usable(&self) -> io::Result<()> {
        match self.broken {
            true => {
                Err(io::Error::other("an earlier write failed and could not be undone; restart the part"))
            }
            false => Ok(()),
        }
    }

    fn give_up(&mut self, problem: &str, error: &io::Error) {
        let LogFile { part, name, .. } = self.kind;
        tracing::error!(%error, "{problem}; the {part} writes nothing more to {name} until it is restarted");
        self.broken = true;
    }
}

impl LogFile {
    fn check_length(&self, length: u64) -> Result<u64, WriteError> {
        match length > self.max_bytes {
            true => Err(WriteError::Full { max_bytes: self.max_bytes }),
            false => Ok(length),
        }
    }

    /// Returns why the file is incomplete, if it is.
    fn check_end(&self, contents: &Contents, known: &Known) -> Result<(), String> {
        let Self { name, mark, .. } = self;
        let is_new = contents.header.is_none() && contents.bytes <= MAX_FIRST_LINE;
        match (known, &contents.header) {
            (Known::Nothing, None) if is_new => Ok(()),
            (Known::Nothing | Known::Damaged, None) => Err("its beginning is missing".to_owned()),
            _ if contents.whole < contents.durable => Err(format!(
                "it had {}, and {} of them are left",
                counted(contents.durable, "byte"),
                contents.whole
            )),
            (Known::Marked(_), _) => Ok(()),
            (_, Some(_)) if contents.torn.is_some() => Err(format!(
                "its end is incomplete, and {mark}, which would show whether that part was acknowledged, is missing"
            )),
            (_, Some(_)) => {
                tracing::warn!("{mark} is missing or damaged; {name} looks complete and is used unchanged");
                Ok(())
            }
        }
    }

    fn damaged(&self, path: &Path, reason: &str) -> EmbeddedError {
        let Self { part, mark, without_backup, .. } = *self;
        let path = path.display();
        EmbeddedError::Failed {
            part,
            reason: format!(
                "{path} is damaged ({reason}); restore it and {mark} from a backup. Without a backup, delete both and {without_backup}"
            ),
        }
    }
}

/// Writes the first line of a new log. Returns its length and the id in it.
fn begin(file: &mut File, kind: LogFile) -> io::Result<(u64, Uuid)> {
    let header = Header::new(kind.format);
    let line = to_line(&header)?;
    file.write_all(line.as_bytes())?;
    file.sync_data()?;
    Ok((line.len() as u64, header.id()))
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
    for directory in directory.ancestors().take(3) {
        match sync_directory(directory) {
            // A directory that cannot be opened was not created by this process.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}
