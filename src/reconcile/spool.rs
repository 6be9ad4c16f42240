//! The files that wait for reconciliation, in a directory with a quota.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::SubmitError;
use crate::disk::Disk;
use crate::ingest::FileError;
use crate::ingest::body::Body;

/// The directory. Only one process may use it.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    limit: u64,
    disk: Disk,
    used: Arc<AtomicU64>,
    /// Files that existed when it was opened.
    found: Vec<(Uuid, u64)>,
}

impl Spool {
    /// Opens the directory, and creates it if it does not exist. `limit` is for the bytes of all files. `disk` is the disk that it is on.
    ///
    /// # Errors
    /// The directory cannot be read or written.
    pub(super) fn open(directory: &Path, limit: u64, disk: Disk) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let id =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| Uuid::try_parse(stem).ok());
            match (id, path.extension().and_then(|extension| extension.to_str())) {
                (Some(id), Some("csv")) => found.push((id, fs::metadata(&path)?.len())),
                // It was still arriving when the process ended.
                (Some(_), Some("part")) => fs::remove_file(&path)?,
                _ => {}
            }
        }
        let used = Arc::new(AtomicU64::new(found.iter().map(|(_, bytes)| bytes).sum()));
        Ok(Self { directory: directory.to_owned(), limit, disk, used, found })
    }

    /// Files that existed when the directory was opened, with their sizes.
    pub(super) fn found(&self) -> &[(Uuid, u64)] {
        &self.found
    }

    /// The path of a job's file.
    pub(super) fn path(&self, id: Uuid) -> PathBuf {
        self.directory.join(format!("{}.csv", id.simple()))
    }

    /// Writes a file to disk, and flushes it before this returns. `see` receives it piece by piece, and then its end.
    ///
    /// # Errors
    /// The body is truncated or too large, `see` refuses it, the quota is used up, or the disk fails.
    pub(super) async fn take<S, E>(
        &self,
        id: Uuid,
        body: &mut Body<S>,
        mut see: impl FnMut(&[u8], bool) -> Result<(), FileError>,
    ) -> Result<SpooledFile, SubmitError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        self.disk.check()?;
        let path = self.directory.join(format!("{}.part", id.simple()));
        let used = Arc::clone(&self.used);
        let mut spooled = SpooledFile { path, bytes: 0, sha256: String::new(), used, is_kept: false };
        let mut hash = Sha256::new();
        let mut file = File::create(&spooled.path).await.map_err(SubmitError::Spool)?;
        while let Some(piece) = body.next().await? {
            spooled.bytes += piece.len() as u64;
            let used = self.used.fetch_add(piece.len() as u64, Ordering::Relaxed) + piece.len() as u64;
            if used > self.limit {
                return Err(SubmitError::SpoolFull { limit: self.limit });
            }
            self.disk.check()?;
            see(&piece, false)?;
            hash.update(&piece);
            file.write_all(&piece).await.map_err(SubmitError::Spool)?;
        }
        see(&[], true)?;
        spooled.sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        file.flush().await.map_err(SubmitError::Spool)?;
        file.sync_data().await.map_err(SubmitError::Spool)?;
        let path = self.path(id);
        // No await from here on: a client that disconnects now leaves no file behind.
        fs::rename(&spooled.path, &path).map_err(SubmitError::Spool)?;
        spooled.path = path;
        Ok(spooled)
    }

    /// Removes a job's file if it exists. `bytes` is its size.
    pub(super) fn remove(&self, id: Uuid, bytes: u64) {
        match fs::remove_file(self.path(id)) {
            Ok(()) => {
                self.used.fetch_sub(bytes, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(job = %id, %error, "cannot remove a reconciled file"),
        }
    }
}

/// A file on disk. It is removed when this is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct SpooledFile {
    path: PathBuf,
    bytes: u64,
    sha256: String,
    used: Arc<AtomicU64>,
    is_kept: bool,
}

impl SpooledFile {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of its bytes, in hexadecimal.
    pub(super) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Keeps the file.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for SpooledFile {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
            self.used.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::*;
    use crate::ingest::body::{BodyLimits, Stop};

    fn body(pieces: &[&'static [u8]]) -> Body<impl Stream<Item = Result<Bytes, Infallible>> + Unpin + use<>> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let limits = BodyLimits { bytes: 100, idle: Duration::from_secs(1), rate: None, crowded: 0 };
        Body::new(futures_util::stream::iter(pieces), limits, Stop::default())
    }

    fn open(directory: &Path, limit: u64) -> io::Result<Spool> {
        Spool::open(directory, limit, Disk::new(directory, 0))
    }

    async fn take(spool: &Spool, id: Uuid, pieces: &[&'static [u8]]) -> Result<SpooledFile, SubmitError> {
        spool.take(id, &mut body(pieces), |_, _| Ok(())).await
    }

    #[tokio::test]
    async fn the_quota_counts_all_files_and_is_freed_when_they_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let spool = open(directory.path(), 10).unwrap();
        let first = Uuid::now_v7();
        take(&spool, first, &[b"12345", b"6"]).await.unwrap().keep();
        let full = take(&spool, Uuid::now_v7(), &[b"12345"]).await;
        assert!(matches!(full, Err(SubmitError::SpoolFull { limit: 10 })));
        drop(take(&spool, Uuid::now_v7(), &[b"1234"]).await.unwrap());
        spool.remove(first, 6);
        take(&spool, Uuid::now_v7(), &[b"1234567890"]).await.unwrap();
    }

    #[tokio::test]
    async fn complete_files_are_found_again_and_incomplete_ones_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let spool = open(directory.path(), 100).unwrap();
        let id = Uuid::now_v7();
        take(&spool, id, &[b"a,b\n"]).await.unwrap().keep();
        let part = directory.path().join(format!("{}.part", Uuid::now_v7().simple()));
        fs::write(&part, "a").unwrap();
        let again = open(directory.path(), 100).unwrap();
        assert_eq!(again.found(), [(id, 4)]);
        assert!(!part.exists());
    }

    #[tokio::test]
    async fn an_unreadable_file_is_refused_at_once_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let spool = open(directory.path(), 100).unwrap();
        let mut seen = Vec::new();
        let mut refuse_second = |bytes: &[u8], last| {
            seen.push((bytes.to_vec(), last));
            if seen.len() == 2 { Err(FileError::LineTooLong { line: 1, limit: 1 }) } else { Ok(()) }
        };
        let taken = spool.take(Uuid::now_v7(), &mut body(&[b"a", b"b", b"c"]), &mut refuse_second).await;
        assert!(matches!(taken, Err(SubmitError::File(_))));
        assert_eq!(seen, [(b"a".to_vec(), false), (b"b".to_vec(), false)]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        take(&spool, Uuid::now_v7(), &[&[0; 100]]).await.unwrap();
    }

    #[tokio::test]
    async fn files_are_refused_while_the_disk_is_full() {
        let directory = tempfile::tempdir().unwrap();
        let full = Disk::new(directory.path(), u64::MAX);
        let spool = Spool::open(directory.path(), 100, full).unwrap();
        let refused = take(&spool, Uuid::now_v7(), &[b"12345"]).await;
        assert!(matches!(refused, Err(SubmitError::DiskFull(_))), "{refused:?}");
        assert!(!directory.path().read_dir().unwrap().any(|entry| entry.unwrap().path().ends_with("part")));
    }
}
