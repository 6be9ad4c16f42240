//! Who a server is, from one start to the next: a UUID in its data directory, by which it knows its own work again.

use std::fs;
use std::io;
use std::path::Path;

use uuid::Uuid;

/// Returns the UUID that a file holds; makes one, and the file, where there is none.
///
/// # Errors
/// The file cannot be read or written, or holds something else.
pub fn owner(path: &Path) -> io::Result<Uuid> {
    match fs::read_to_string(path) {
        Ok(text) => Uuid::try_parse(text.trim()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} does not hold a UUID: remove it", path.display()),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let owner = Uuid::new_v4();
            let unfinished = path.with_extension("new");
            fs::write(&unfinished, owner.to_string())?;
            fs::rename(&unfinished, path)?;
            Ok(owner)
        }
        Err(error) => Err(error),
    }
}
