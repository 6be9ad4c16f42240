//! Finds `libchdb`, the ClickHouse engine as a library, and refuses other versions than the tested one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ffi::Api;
use roundhouse_part::EmbeddedError;
use thiserror::Error;

/// The version of the library that [`super::ffi`] and everything else was tested with.
const VERSION: &str = "26.7";

/// Why the engine library cannot be used. Each message is one line and says what to do.
#[derive(Debug, Error)]
pub enum LibraryError {
    #[error(
        "the ClickHouse engine library is missing (looked at {looked_at}); run `make build` in the source directory, or unpack the whole \
         archive again, or give the library's path with --clickhouse-library"
    )]
    Missing { looked_at: String },
    #[error(
        "the ClickHouse engine library {} does not exist; correct --clickhouse-library, or leave it out to use the library that was \
         installed with roundhouse",
        .path.display()
    )]
    NotThere { path: PathBuf },
    #[error(
        "{} is not a usable ClickHouse engine library ({reason}); run `make build` in the source directory, or unpack the archive again, \
         or give another path with --clickhouse-library",
        .path.display()
    )]
    Unusable { path: PathBuf, reason: String },
}

impl From<LibraryError> for EmbeddedError {
    fn from(error: LibraryError) -> Self {
        Self::OfPart(Box::new(error))
    }
}

/// Names of the library. npm calls it `.so` on every platform.
const NAMES: [&str; 2] = ["libchdb.so", "libchdb.dylib"];

/// Where an installation has the library, whose executable is `bin/roundhouse`.
const INSTALLED: &str = "lib/roundhouse";

/// Loads the library.
///
/// # Errors
/// See [`find`]. Or it is not a libchdb of the tested version.
pub(super) fn load(option: Option<&Path>) -> Result<Arc<Api>, LibraryError> {
    let path = find(option)?;
    let wrong = |reason: String| LibraryError::Unusable { path: path.clone(), reason };
    let api = Api::load(&path).map_err(|error| wrong(one_line(&error.to_string())))?;
    let version = api.version();
    if version == VERSION || version.starts_with(&format!("{VERSION}.")) {
        Ok(Arc::new(api))
    } else {
        Err(wrong(format!("it is version {version}; version {VERSION} is required")))
    }
}

/// Returns where the library is: the path given by the option, or a place relative to the executable, never to the current directory.
///
/// # Errors
/// There is none.
pub(super) fn find(option: Option<&Path>) -> Result<PathBuf, LibraryError> {
    if let Some(path) = option {
        let missing = || LibraryError::NotThere { path: path.to_owned() };
        return path.is_file().then(|| path.to_owned()).ok_or_else(missing);
    }
    let executable = std::env::current_exe().and_then(|path| path.canonicalize()).unwrap_or_default();
    let places = places(&executable);
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let looked_at: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
        LibraryError::Missing { looked_at: looked_at.join(", ") }
    })
}

fn places(executable: &Path) -> Vec<PathBuf> {
    let next_to_it = executable.parent();
    let installed = next_to_it.and_then(Path::parent).map(|prefix| prefix.join(INSTALLED));
    let directories = next_to_it.map(Path::to_owned).into_iter().chain(installed);
    directories.flat_map(|directory| NAMES.map(|name| directory.join(name))).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_looked_for_next_to_the_executable_and_in_the_lib_directory_of_an_installation() {
        let places = places(Path::new("/opt/roundhouse/bin/roundhouse"));
        assert_eq!(places.len(), 4);
        assert_eq!(places[0], Path::new("/opt/roundhouse/bin/libchdb.so"));
        assert_eq!(places[2], Path::new("/opt/roundhouse/lib/roundhouse/libchdb.so"));
    }
}
