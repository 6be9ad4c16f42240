//! Small files: replaced completely or not at all, whenever the machine stops; read and removed if they exist.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Replaces a file, or creates it. The new contents are on disk on return.
///
/// # Errors
/// The file cannot be written; the old contents stay.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_in_place(&write_draft(path, bytes)?, path)
}

/// Writes the new contents of a file next to it and waits until they are on disk. Returns the path of the draft.
///
/// # Errors
/// The draft cannot be written; a part of it may be left.
pub fn write_draft(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let draft = draft_of(path);
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(draft)
}

/// Returns the path of a file's draft.
pub fn draft_of(path: &Path) -> PathBuf {
    path.with_extension("draft")
}

/// Gives a draft the name of the file that it replaces, and waits until that is on disk.
///
/// # Errors
/// The file cannot be renamed, or it is not known whether the new name is on disk.
pub fn put_in_place(draft: &Path, path: &Path) -> io::Result<()> {
    fs::rename(draft, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Reads a file; none if it does not exist.
///
/// # Errors
/// It cannot be read.
pub fn read_if_exists(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Removes a file, if it exists.
///
/// # Errors
/// It cannot be removed.
pub fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Waits until the names in a directory are on disk.
///
/// # Errors
/// The directory cannot be opened or synced.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    // The parent of a bare file name is empty: the current directory.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}
