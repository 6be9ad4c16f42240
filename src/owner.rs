//! The identity of a server: a UUID in its data directory, which stays the same across restarts. The server recognizes its own work by it.

use std::fs;
use std::io;
use std::path::Path;

use uuid::Uuid;

use roundhouse_part::durable::replace_file;

/// Returns the UUID in a file. Creates the file with a new UUID if it does not exist.
///
/// # Errors
/// The file cannot be read or written, or does not contain a UUID.
pub fn owner(path: &Path) -> io::Result<Uuid> {
    match fs::read_to_string(path) {
        Ok(text) => Uuid::try_parse(text.trim()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} does not contain a UUID; remove the file", path.display()),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let owner = Uuid::new_v4();
            replace_file(path, owner.to_string().as_bytes())?;
            Ok(owner)
        }
        Err(error) => Err(error),
    }
}
