//! Free space on the data directory's file system, and the reserve that is kept free.
//!
//! The embedded broker and ClickHouse need space to load what was acknowledged and to merge parts. Therefore uploads and reconciliations
//! stop before the disk is full: as soon as less than the reserve is free.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::counted::counted;

/// The file system of a directory, and its reserve.
#[derive(Clone, Debug)]
pub struct Disk {
    directory: Arc<Path>,
    reserve: u64,
}

/// Less space is free than the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the disk is full: {} free, less than the reserve of {}; free some space, or lower --disk-reserve-bytes",
    counted(*free, "byte"),
    counted(*reserve, "byte")
)]
pub struct DiskFull {
    pub free: u64,
    pub reserve: u64,
}

impl Disk {
    /// `reserve`: bytes to keep free.
    pub fn new(directory: &Path, reserve: u64) -> Self {
        Self { directory: directory.into(), reserve }
    }

    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Returns the free bytes that a user without privileges may use.
    ///
    /// # Errors
    /// The file system cannot be queried, for example because the directory does not exist.
    pub fn free(&self) -> io::Result<u64> {
        let path = CString::new(self.directory.as_os_str().as_bytes())?;
        let mut statistics = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the path ends with a zero byte, and the structure is a local one of the right type.
        let outcome = unsafe { libc::statvfs(path.as_ptr(), statistics.as_mut_ptr()) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it has filled the structure.
        let statistics = unsafe { statistics.assume_init() };
        // The types differ between systems.
        #[allow(clippy::unnecessary_cast)]
        let (blocks, bytes) = (statistics.f_bavail as u64, statistics.f_frsize as u64);
        Ok(blocks.saturating_mul(bytes))
    }

    /// Checks that at least the reserve is free. If the free space cannot be read, the check passes; a write may still fail later.
    ///
    /// # Errors
    /// Less than the reserve is free.
    pub fn check(&self) -> Result<(), DiskFull> {
        match self.free() {
            Ok(free) if free < self.reserve => Err(DiskFull { free, reserve: self.reserve }),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "cannot read the free space of the data directory");
                Ok(())
            }
        }
    }
}

/// Whether a write failed because the disk, or the user's quota, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_when_less_than_the_reserve_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let free = Disk::new(directory.path(), 0).free().unwrap();
        assert!(free > 0);
        Disk::new(directory.path(), 0).check().unwrap();
        let full = Disk::new(directory.path(), u64::MAX).check().unwrap_err();
        assert_eq!(full.reserve, u64::MAX);
        assert!(full.to_string().contains("--disk-reserve-bytes"), "{full}");
        Disk::new(Path::new("/nonexistent"), u64::MAX).check().unwrap();
    }
}
