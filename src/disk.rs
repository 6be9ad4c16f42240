//! Free space of the file system on which the data directory is, and the part of it that is kept in reserve.
//!
//! The embedded broker and ClickHouse need space to finish what was acknowledged: to load it, and to merge parts. Uploads and
//! reconciliations therefore stop before the disk is full, as soon as less than the reserve is free.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

/// The file system of a directory.
#[derive(Clone, Debug)]
pub struct Disk {
    directory: Arc<Path>,
    reserve: u64,
}

/// Less is free than is kept in reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the disk is full: {free} bytes are free, and {reserve} are kept in reserve; free some space, or lower --disk-reserve-bytes"
)]
pub struct DiskFull {
    pub free: u64,
    pub reserve: u64,
}

impl Disk {
    /// `reserve`: bytes that are kept free.
    pub fn new(directory: &Path, reserve: u64) -> Self {
        Self { directory: directory.into(), reserve }
    }

    pub fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Returns the bytes that a user without privileges may still write.
    ///
    /// # Errors
    /// The directory does not exist.
    pub fn free(&self) -> io::Result<u64> {
        let path = CString::new(self.directory.as_os_str().as_bytes())?;
        let mut statistics = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the path is a string that ends with a zero, and the structure is one of ours, large enough for the call.
        let outcome = unsafe { libc::statvfs(path.as_ptr(), statistics.as_mut_ptr()) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, and so has filled it in.
        let statistics = unsafe { statistics.assume_init() };
        // Their types differ between systems.
        #[allow(clippy::unnecessary_cast)]
        let (blocks, bytes) = (statistics.f_bavail as u64, statistics.f_frsize as u64);
        Ok(blocks.saturating_mul(bytes))
    }

    /// Checks that more is free than the reserve. A file system that cannot be asked is left to those who write to it.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self) -> Result<(), DiskFull> {
        match self.free() {
            Ok(free) if free < self.reserve => Err(DiskFull { free, reserve: self.reserve }),
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "the free space of the data directory is not known");
                Ok(())
            }
        }
    }
}

/// Whether a write failed because the disk is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_when_less_is_free_than_the_reserve() {
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
