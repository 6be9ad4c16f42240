//! The data directory of a server. If the start fails, what the start created in it is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parts;
use roundhouse_part::EmbeddedError;
use roundhouse_part::lifecycle::DirectoryLock;
use roundhouse_part::private::{self, LOCK_FILE};

/// How long to wait for another server that is stopping and still holds the data directory.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// The server's own files and directories in the data directory.
pub(super) const OWNER: &str = "owner";
pub(super) const SPOOL: &str = "spool";
pub(super) const RECONCILE: &str = "reconcile";
pub(super) const JOURNAL: &str = "uploads.journal";

/// Everything that a server keeps in its data directory, besides the lock.
const CONTENTS: [&str; 7] =
    [parts::BROKER, parts::REGISTRY, parts::CLICKHOUSE, OWNER, SPOOL, RECONCILE, JOURNAL];

/// A data directory that this process has locked.
#[derive(Debug)]
pub(super) struct DataDirectory {
    path: PathBuf,
    /// The directories that did not exist, the innermost first.
    created: Vec<PathBuf>,
    /// Which of [`CONTENTS`] did not exist when the directory was locked.
    absent: Vec<&'static str>,
    /// Held until the end, so that nobody else uses what is being removed.
    _lock: DirectoryLock,
}

impl DataDirectory {
    /// Creates the directory if necessary, and locks it.
    ///
    /// # Errors
    /// The directory cannot be used, or another server uses it.
    pub(super) async fn lock(path: &Path) -> Result<Self, EmbeddedError> {
        let named = path.ancestors().take_while(|directory| !directory.as_os_str().is_empty());
        let created = named.take_while(|directory| !exists(directory)).map(Path::to_owned).collect();
        private::close_directory(path).map_err(|error| EmbeddedError::directory(path, error))?;
        private::warn_if_open(path);
        let lock = DirectoryLock::take_within(path, LOCK_PATIENCE).await?;
        let absent = CONTENTS.into_iter().filter(|name| !exists(&path.join(name))).collect();
        Ok(Self { path: path.to_owned(), created, absent, _lock: lock })
    }

    /// Removes what did not exist before: the start has failed, so nothing was acknowledged. All parts must have stopped.
    pub(super) fn remove_new(self) {
        for name in &self.absent {
            self.remove(&self.path.join(name));
        }
        if self.absent.len() == CONTENTS.len() {
            self.remove(&self.path.join(LOCK_FILE));
        }
        for directory in &self.created {
            // It is kept if somebody else has put a file in it.
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
    }

    fn remove(&self, path: &Path) {
        let removed = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(path = %path.display(), %error, "cannot remove what the failed start left behind");
        }
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_start_removes_new_directories_and_keeps_everything_that_was_there() {
        let parent = tempfile::tempdir().unwrap();
        let new = parent.path().join("a/b");
        let directory = DataDirectory::lock(&new).await.unwrap();
        fs::create_dir_all(new.join("broker/log")).unwrap();
        fs::write(new.join(OWNER), "").unwrap();
        directory.remove_new();
        assert!(!exists(&parent.path().join("a")));

        let used = parent.path().join("used");
        fs::create_dir_all(used.join("registry")).unwrap();
        fs::write(used.join("registry/schemas.jsonl"), "").unwrap();
        fs::write(used.join("notes.txt"), "").unwrap();
        let directory = DataDirectory::lock(&used).await.unwrap();
        fs::create_dir(used.join("broker")).unwrap();
        directory.remove_new();
        let mut left: Vec<_> = fs::read_dir(&used).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [LOCK_FILE, "notes.txt", "registry"]);
        assert!(exists(&used.join("registry/schemas.jsonl")));
    }

    #[tokio::test]
    async fn who_waits_for_a_lock_whose_directory_is_removed_gets_a_new_directory() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataDirectory::lock(&path).await.unwrap();
        let second = DirectoryLock::take_within(&path, Duration::from_secs(60));
        let (second, ()) = tokio::join!(second, async {
            tokio::task::yield_now().await;
            first.remove_new();
        });
        let _second = second.expect("once the first has released it");
        assert!(exists(&path.join(LOCK_FILE)));
        let third = DirectoryLock::take_within(&path, Duration::ZERO).await;
        assert!(matches!(third, Err(EmbeddedError::DirectoryInUse { .. })));
    }
}
