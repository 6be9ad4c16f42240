//! Finds `libchdb`, the ClickHouse engine as a library, and refuses other versions than the tested one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ffi::Api;
use crate::embedded::EmbeddedError;

/// The version of the library that [`super::ffi`] and everything else was tested with.
const VERSION: &str = "26.7";

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const PACKAGE: &str = "lib-linux-x64-gnu";
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const PACKAGE: &str = "lib-linux-arm64-gnu";
#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
const PACKAGE: &str = "lib-darwin-arm64";
#[cfg(all(target_os = "macos", target_arch = "x86_64"))]
const PACKAGE: &str = "lib-darwin-x64";

/// Loads the library: the one given by the option, or the one that npm installs, or one next to the executable.
///
/// # Errors
/// There is none, or it is not a libchdb of the tested version.
pub(super) fn load(option: Option<&Path>) -> Result<Arc<Api>, EmbeddedError> {
    let path = find(option).ok_or_else(|| {
        let looked_at: Vec<String> =
            candidates(option).iter().map(|path| path.display().to_string()).collect();
        EmbeddedError::LibraryMissing { looked_at: looked_at.join(", ") }
    })?;
    let wrong = |reason: String| EmbeddedError::LibraryWrong { path: path.clone(), reason };
    let api = Api::load(&path).map_err(|error| wrong(one_line(&error.to_string())))?;
    let version = api.version();
    if version == VERSION || version.starts_with(&format!("{VERSION}.")) {
        Ok(Arc::new(api))
    } else {
        Err(wrong(format!("it is version {version}; version {VERSION} is required")))
    }
}

/// Returns where the library is.
pub(super) fn find(option: Option<&Path>) -> Option<PathBuf> {
    candidates(option).into_iter().find(|path| path.is_file())
}

fn candidates(option: Option<&Path>) -> Vec<PathBuf> {
    option.map_or_else(default_places, |path| vec![path.to_owned()])
}

fn default_places() -> Vec<PathBuf> {
    let mut places = vec![Path::new("engine/node_modules/@chdb").join(PACKAGE).join("libchdb.so")];
    if let Ok(executable) = std::env::current_exe() {
        places.extend(["libchdb.so", "libchdb.dylib"].map(|name| executable.with_file_name(name)));
    }
    places
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
