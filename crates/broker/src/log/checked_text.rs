//! Small text files with a checksum in their first line.

use std::io;
use std::path::Path;

use super::batch::checksum;
use roundhouse_part::durable::read_if_exists;

/// How the first line begins. Files of earlier versions have no such line, and so no checksum.
const PREFIX: &str = "checksum ";

/// Returns the text with its checksum before it.
pub(super) fn seal(text: &str) -> String {
    format!("{PREFIX}{:08x}\n{text}", checksum(text.as_bytes()))
}

/// Reads a file and checks it. None if it does not exist.
///
/// # Errors
/// It cannot be read, or it is damaged.
pub(super) fn load(path: &Path) -> io::Result<Option<String>> {
    let Some(bytes) = read_if_exists(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| damaged(path))?;
    let Some(rest) = text.strip_prefix(PREFIX) else { return Ok(Some(text)) };
    let (sum, text) = rest.split_once('\n').ok_or_else(|| damaged(path))?;
    if u32::from_str_radix(sum, 16).ok() == Some(checksum(text.as_bytes())) {
        Ok(Some(text.to_owned()))
    } else {
        Err(damaged(path))
    }
}

/// Returns the error for a damaged file.
pub(super) fn damaged(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display()))
}
