//! A file that is sent while it is read.

use std::path::Path;

use futures_util::{StreamExt, TryStreamExt};
use reqwest::Body;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::progress::Progress;

/// Bytes of a file that are read, and sent, at once.
const PIECE_BYTES: usize = 256 << 10;

/// Opens a file; says how long it is.
///
/// # Errors
/// It is a directory, or not to be read.
pub async fn open(path: &Path) -> std::io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if metadata.is_dir() {
        return Err(std::io::Error::from(std::io::ErrorKind::IsADirectory));
    }
    Ok((file, metadata.len()))
}

/// Makes a file the body of a request, which shows how far it is.
pub fn body(file: File, progress: &Progress) -> Body {
    let (adding, failing) = (progress.clone(), progress.clone());
    let pieces = ReaderStream::with_capacity(file, PIECE_BYTES)
        .inspect_ok(move |piece| adding.add(piece))
        .inspect_err(move |error| failing.fail(error.to_string()))
        .chain(progress.end_of_file());
    Body::wrap_stream(pieces)
}

/// The name of a file without its folders, as the server is told it.
pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
