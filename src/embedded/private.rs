//! Files and directories for their owner alone: they hold all data, and no other user of the machine has a key to show.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// A directory with this file in it is one of ours.
pub const LOCK_FILE: &str = "lock";

const DIRECTORY_MODE: u32 = 0o700;

/// What others may have of a file or a directory.
const OTHERS: u32 = 0o077;

/// The mode of a directory like /tmp.
const WRITTEN_BY_ALL: u32 = 0o002;

/// Has the process create files with mode 0600 and directories with 0700, those of the libraries included.
pub fn set_umask() {
    // SAFETY: takes a number, cannot fail, and changes nothing but the mask.
    unsafe { libc::umask(OTHERS as libc::mode_t) };
}

/// Makes a directory, with its parents, if it does not exist.
///
/// # Errors
/// It cannot be made.
pub fn create_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)
}

/// Makes a directory, or closes an existing one to others if it is ours: earlier versions left it open.
///
/// One with files of somebody else in it stays as it is, and so does one in which everybody writes: what we create in
/// there is private by itself.
///
/// # Errors
/// It cannot be made or read.
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
    fn a_new_directory_and_one_of_ours_are_closed_and_that_of_somebody_else_is_not() {
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
