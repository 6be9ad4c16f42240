//! Makes files and directories accessible to their owner only. They hold all data, and other users of the machine must not read it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// The first file that Roundhouse creates in a directory.
pub const LOCK_FILE: &str = "lock";

const DIRECTORY_MODE: u32 = 0o700;

/// The permission bits of other users.
const OTHERS: u32 = 0o077;

/// The permission bit of a directory in which all users may write, such as /tmp.
const WRITTEN_BY_ALL: u32 = 0o002;

/// The permission bits with which other users may write.
const WRITTEN_BY_OTHERS: u32 = 0o022;

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

/// Creates a directory, or sets an existing one of ours to mode 0700, since earlier versions left it open.
///
/// A directory that has files of somebody else keeps its mode, and so does one to which everybody may write, such as /tmp. What
/// Roundhouse creates in it is private by itself.
///
/// # Errors
/// It cannot be created or read.
pub fn close_directory(directory: &Path) -> io::Result<()> {
    create_directory(directory)?;
    let mode = fs::metadata(directory)?.mode();
    if mode & OTHERS != 0 && mode & WRITTEN_BY_ALL == 0 && is_ours(directory)? {
        let closed = fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE));
        if let Err(error) = closed {
            tracing::warn!(directory = %directory.display(), %error, "cannot set the data directory to mode 0700");
        }
    }
    Ok(())
}

/// How long before the lock the other files of a part may be created.
const START_TIME: Duration = Duration::from_secs(60);

/// Whether a directory is empty, or no file in it is much older than the lock: a home directory in which Roundhouse ran once is not
/// ours.
fn is_ours(directory: &Path) -> io::Result<bool> {
    let lock = match fs::metadata(directory.join(LOCK_FILE)) {
        Ok(lock) => lock.modified()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(fs::read_dir(directory)?.next().is_none());
        }
        Err(error) => return Err(error),
    };
    let is_older = |entry: io::Result<fs::DirEntry>| {
        let modified = entry.and_then(|entry| entry.metadata()).and_then(|entry| entry.modified());
        modified.is_ok_and(|modified| lock.duration_since(modified).is_ok_and(|age| age > START_TIME))
    };
    Ok(!fs::read_dir(directory)?.any(is_older))
}

/// Warns in the log if other users of the machine can use a data directory.
pub fn warn_if_open(directory: &Path) {
    if let Some(warning) = open_to_others(directory) {
        tracing::warn!("{warning}");
    }
}

/// Says what other users of the machine can do with a directory, and how to prevent it. None if they can do nothing.
fn open_to_others(directory: &Path) -> Option<String> {
    let metadata = fs::metadata(directory).ok()?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS == 0 {
        return None;
    }
    let can = if mode & WRITTEN_BY_OTHERS == 0 { "read" } else { "change" };
    // SAFETY: it has no arguments and cannot fail.
    let is_owner = metadata.uid() == unsafe { libc::geteuid() };
    let path = directory.display();
    let remedy = match is_owner {
        true => format!("run chmod 700 {path}, or give --data-dir a directory of its own"),
        false => "give --data-dir a directory of its own".to_owned(),
    };
    Some(format!(
        "other users of this machine can {can} the data directory {path} (mode {mode:04o}); {remedy}"
    ))
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

    #[test]
    fn a_home_directory_keeps_its_mode_also_at_the_second_start() {
        let home = tempfile::tempdir().unwrap();
        let profile = fs::File::create(home.path().join(".profile")).unwrap();
        profile.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        for _ in 0..2 {
            close_directory(home.path()).unwrap();
            assert_eq!(mode(home.path()), 0o755);
            fs::write(home.path().join(LOCK_FILE), "").unwrap();
        }
        fs::remove_file(home.path().join(".profile")).unwrap();
        // A part may write its configuration before it takes the lock.
        let locked = fs::metadata(home.path().join(LOCK_FILE)).unwrap().modified().unwrap();
        let configuration = fs::File::create(home.path().join("config.xml")).unwrap();
        configuration.set_modified(locked - Duration::from_secs(1)).unwrap();
        close_directory(home.path()).unwrap();
        assert_eq!(mode(home.path()), 0o700);
    }

    #[test]
    fn a_directory_that_others_can_use_gives_a_warning() {
        let directory = tempfile::tempdir().unwrap();
        let warning = |mode| {
            fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
            open_to_others(directory.path())
        };
        assert_eq!(warning(0o700), None);
        let path = directory.path().display();
        for (mode, text) in [(0o755, "can read"), (0o770, "can change"), (0o777, "can change")] {
            let warning = warning(mode).unwrap();
            assert!(warning.contains(text) && warning.contains(&format!("chmod 700 {path}")), "{warning}");
            assert!(
                warning.contains(&format!("(mode {mode:04o})")) && warning.lines().count() == 1,
                "{warning}"
            );
        }
    }
}
