//! Makes files and directories accessible to their owner only. They hold all data, and other users of the machine must not read it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// A directory with this file in it belongs to Roundhouse.
pub const LOCK_FILE: &str = "lock";

const DIRECTORY_MODE: u32 = 0o700;

/// The permission bits of other users.
const OTHERS: u32 = 0o077;

/// The permission bit of a directory in which all users may write, such as /tmp.
const WRITTEN_BY_ALL: u32 = 0o002;

/// Makes the process, including its libraries, create files with mode 0600 and directories with mode 0700.
pub fn set_umask() {
    // SAFETY: the call takes a number, cannot fail, and changes only the mask.
    unsafe { libc::umask(OTHERS as libc::mode_t) };
}

/// Creates a directory and its parents, if they do not exist.
///
/// # Errors
/// The directory cannot be created.
pub fn create_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)
}

/// Creates a directory. Removes other users' access to an existing one if it belongs to Roundhouse; earlier versions allowed access.
///
/// A directory with other files in it stays unchanged. So does one in which all users may write: what Roundhouse creates there has
/// private modes of its own.
///
/// # Errors
/// The directory cannot be created or read.
pub fn close_directory(directory: &Path) -> io::Result<()> {
    create_directory(directory)?;
    let mode = fs::metadata(directory)?.mode();
    if mode & OTHERS != 0 && mode & WRITTEN_BY_ALL == 0 && is_ours(directory)? {
        let closed = fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE));
        if let Err(error) = closed {
            tracing::warn!(directory = %directory.display(), %error, "other users can enter the data directory");
        }
    }
    Ok(())
}

fn is_ours(directory: &Path) -> io::Result<bool> {
    Ok(directory.join(LOCK_FILE).exists() || fs::read_dir(directory)?.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_directory_and_one_of_roundhouse_become_private_but_others_do_not() {
        let parent = tempfile::tempdir().unwrap();
        let new = parent.path().join("a/b");
        close_directory(&new).unwrap();
        assert_eq!((mode(&new), mode(&parent.path().join("a"))), (0o700, 0o700));

        let cases = [
            ("empty", None, 0o755, 0o700),
            ("ours", Some(LOCK_FILE), 0o775, 0o700),
            ("other", Some("x"), 0o755, 0o755),
            ("shared", Some(LOCK_FILE), 0o777, 0o777),
        ];
        for (name, file, before, after) in cases {
            let directory = parent.path().join(name);
            fs::create_dir(&directory).unwrap();
            if let Some(file) = file {
                fs::write(directory.join(file), "").unwrap();
            }
            fs::set_permissions(&directory, Permissions::from_mode(before)).unwrap();
            close_directory(&directory).unwrap();
            assert_eq!(mode(&directory), after, "{name}");
        }
    }
}
