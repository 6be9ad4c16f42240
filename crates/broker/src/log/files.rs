//! The open files of the log: the most recently used ones, never more than a given number.
//!
//! A log of thousands of partitions has more files than a process may open. A file is opened when it is needed and lent to one or more
//! users. It is closed when another file needs its place, or when it has not been used for a while. If all open files are lent, a user
//! waits until one is returned. No user holds two files at once, so one is always returned.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use roundhouse_part::lock::lock;
use tokio_util::sync::CancellationToken;

/// Identifies a file, even before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId(u64);

#[derive(Debug)]
pub(crate) struct OpenFiles {
    capacity: usize,
    state: Mutex<State>,
    returned: Condvar,
    ids: AtomicU64,
    /// Cancelled when a sync of the disk has failed.
    failure: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<FileId, Entry>,
    /// Number of files that are being opened or closed.
    pending: usize,
}

#[derive(Debug)]
struct Entry {
    file: Arc<OpenFile>,
    lent: usize,
    last_use: Instant,
}

/// An open file, and whether some of its bytes may not be on disk yet.
#[derive(Debug)]
struct OpenFile {
    file: File,
    unsynced: AtomicBool,
    /// Held during a sync, until its failure is known to all: the kernel reports a failed write to one sync of an open file only.
    syncing: Mutex<()>,
}

/// A lent file. It stays open until this is dropped.
#[derive(Debug)]
pub(super) struct Lent<'a> {
    files: &'a OpenFiles,
    id: FileId,
    file: Arc<OpenFile>,
}

impl OpenFiles {
    /// `failure` is cancelled when a sync of the disk has failed.
    pub fn new(capacity: usize, failure: CancellationToken) -> Self {
        Self {
            capacity: capacity.max(1),
            state: Mutex::default(),
            returned: Condvar::new(),
            ids: AtomicU64::new(0),
            failure,
        }
    }

    /// Returns an unused file id.
    pub(super) fn new_id(&self) -> FileId {
        FileId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// Lends a file for reading and writing, and opens it if necessary. Blocks while all open files are lent.
    pub(super) fn lend(&self, id: FileId, path: &Path) -> io::Result<Lent<'_>> {
        self.lend_with(id, || OpenOptions::new().read(true).write(true).open(path))
    }

    /// Creates a file, which must not exist yet, and lends it.
    pub(super) fn create(&self, id: FileId, path: &Path) -> io::Result<Lent<'_>> {
        self.lend_with(id, || OpenOptions::new().read(true).write(true).create_new(true).open(path))
    }

    /// Closes a file that is no longer used.
    pub(super) fn forget(&self, id: FileId) {
        self.state().open.remove(&id);
        self.returned.notify_all();
    }

    /// Closes the files that have not been used for this long.
    pub fn close_idle(&self, unused_for: Duration) {
        self.state().open.retain(|_, entry| {
            entry.lent > 0
                || entry.file.unsynced.load(Ordering::Acquire)
                || entry.last_use.elapsed() < unused_for
        });
        self.returned.notify_all();
    }

    fn lend_with(&self, id: FileId, open: impl FnOnce() -> io::Result<File>) -> io::Result<Lent<'_>> {
        let mut state = self.state();
        loop {
            if let Some(entry) = state.open.get_mut(&id) {
                entry.lent += 1;
                entry.last_use = Instant::now();
                return Ok(Lent { files: self, id, file: Arc::clone(&entry.file) });
            }
            if state.open.len() + state.pending < self.capacity {
                break;
            }
            state = self.make_room(state)?;
        }
        state.pending += 1;
        drop(state);
        let opened = open();
        let mut state = self.state();
        state.pending -= 1;
        let opened = match opened {
            Ok(file) => file,
            Err(error) => {
                self.returned.notify_all();
                return Err(error);
            }
        };
        // Another user may have opened it in the meantime. Then this one is closed again.
        let entry = state.open.entry(id).or_insert_with(|| Entry {
            file: Arc::new(OpenFile {
                file: opened,
                unsynced: AtomicBool::new(false),
                syncing: Mutex::default(),
            }),
            lent: 0,
            last_use: Instant::now(),
        });
        entry.lent += 1;
        Ok(Lent { files: self, id, file: Arc::clone(&entry.file) })
    }

    /// Closes the least recently used file, or waits until one is returned.
    fn make_room<'a>(&'a self, mut state: MutexGuard<'a, State>) -> io::Result<MutexGuard<'a, State>> {
        let unused = state.open.iter().filter(|(_, entry)| entry.lent == 0);
        let Some(id) = unused.min_by_key(|(_, entry)| entry.last_use).map(|(id, _)| *id) else {
            return Ok(self.returned.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let Some(Entry { file, .. }) = state.open.remove(&id) else { return Ok(state) };
        state.pending += 1;
        drop(state);
        // The kernel reports a failed write only to those who had the file open at that time. So sync before closing.
        let synced = if file.unsynced.load(Ordering::Acquire) { self.sync(&file) } else { Ok(()) };
        drop(file);
        let mut state = self.state();
        state.pending -= 1;
        self.returned.notify_all();
        synced.map(|()| state)
    }

    /// Waits until all earlier writes to a file are on disk. After one failure every sync fails: the kernel may have dropped the bytes
    /// that it could not write, and reports it only once.
    fn sync(&self, file: &OpenFile) -> io::Result<()> {
        let _syncing = lock(&file.syncing);
        if self.failure.is_cancelled() {
            return Err(io::Error::other("an earlier sync of the disk failed"));
        }
        file.unsynced.store(false, Ordering::Release);
        file.file.sync_data().inspect_err(|error| {
            tracing::error!(%error, "cannot sync the log");
            self.failure.cancel();
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Lent<'_> {
    /// Runs a write and marks the file as not yet on disk.
    pub fn write(&self, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let written = write(&self.file.file);
        self.file.unsynced.store(true, Ordering::Release);
        written
    }

    /// Waits until all earlier writes are on disk.
    pub fn sync(&self) -> io::Result<()> {
        self.files.sync(&self.file)
    }
}

impl Deref for Lent<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file.file
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.files.state();
        if let Some(entry) = state.open.get_mut(&self.id) {
            entry.lent -= 1;
            entry.last_use = Instant::now();
        }
        drop(state);
        self.files.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::path::PathBuf;

    use super::*;

    fn files(capacity: usize) -> (OpenFiles, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("temporary directory");
        (OpenFiles::new(capacity, CancellationToken::new()), directory)
    }

    fn created(files: &OpenFiles, directory: &Path, count: usize) -> Vec<(FileId, PathBuf)> {
        let create = |number: usize| {
            let (id, path) = (files.new_id(), directory.join(number.to_string()));
            let file = files.create(id, &path).expect("created");
            file.write(|file| file.write_all_at(&[number as u8], 0)).expect("written");
            drop(file);
            (id, path)
        };
        (0..count).map(create).collect()
    }

    #[test]
    fn never_more_files_are_open_than_the_limit_allows() {
        let (files, directory) = files(3);
        let all = created(&files, directory.path(), 10);
        for (number, (id, path)) in all.iter().enumerate() {
            let file = files.lend(*id, path).expect("opened");
            let mut byte = [0];
            file.read_exact_at(&mut byte, 0).expect("read");
            assert_eq!(usize::from(byte[0]), number);
            assert!(files.state().open.len() <= 3);
        }
        assert!(files.state().open.contains_key(&all[9].0), "the last one is still open");
        assert!(!files.state().open.contains_key(&all[0].0), "the first one is closed");
        files.close_idle(Duration::ZERO);
        assert_eq!(files.state().open.len(), 0);
    }

    #[test]
    fn many_users_share_one_open_file_slot() {
        let (files, directory) = files(1);
        let all = created(&files, directory.path(), 4);
        std::thread::scope(|scope| {
            for (number, (id, path)) in all.iter().enumerate() {
                let files = &files;
                scope.spawn(move || {
                    for step in 0..200_u64 {
                        let file = files.lend(*id, path).expect("opened");
                        file.write(|file| file.write_all_at(&[number as u8], step)).expect("written");
                    }
                });
            }
        });
        for (number, (_, path)) in all.iter().enumerate() {
            assert_eq!(std::fs::read(path).expect("read"), vec![number as u8; 200]);
        }
    }

    #[test]
    fn after_a_failed_sync_no_sync_of_any_file_succeeds() {
        let (files, directory) = files(2);
        let all = created(&files, directory.path(), 1);
        let pipe = directory.path().join("pipe");
        // A pipe can be opened like a file, and cannot be synced.
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("started").success());
        let (id, path) = &all[0];
        files.lend(*id, path).expect("opened").sync().expect("synced");
        files.lend(files.new_id(), &pipe).expect("opened").sync().expect_err("cannot be synced");
        assert!(files.failure.is_cancelled());
        files.lend(*id, path).expect("opened").sync().expect_err("an earlier sync failed");
    }

    #[test]
    fn a_file_that_cannot_be_opened_uses_no_slot() {
        let (files, directory) = files(1);
        for _ in 0..3 {
            let failed = files.lend(files.new_id(), &directory.path().join("missing"));
            assert_eq!(failed.map(drop).expect_err("missing").kind(), io::ErrorKind::NotFound);
        }
        created(&files, directory.path(), 2);
    }
}
