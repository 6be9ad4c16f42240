//! A file that is sent while it is read. A compressed file is sent as it is; the server decompresses it.

use std::ffi::OsStr;
use std::io::{self, Cursor};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::CONTENT_ENCODING;
use reqwest::{Body, RequestBuilder};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::progress::Progress;

/// Bytes of a file that are read, and sent, at once.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes by which a compression is recognised.
const MAGIC_BYTES: usize = 4;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// Recognises a compression by the first bytes of a file. No text begins with them.
    fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Its name in the header `Content-Encoding`.
    fn content_encoding(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The ending of a compressed file's name.
    fn extension(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Zstd => "zst",
        }
    }
}

/// A file that is open to be sent.
#[derive(Debug)]
pub struct Source {
    /// The first bytes, which are read already. A pipe cannot be read twice.
    head: Vec<u8>,
    rest: File,
    /// Its length on disk. A pipe has none.
    pub bytes: Option<u64>,
    pub compression: Option<Compression>,
}

/// Stands for standard input.
const STANDARD_INPUT: &str = "-";

fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// Returns what messages call a file.
pub fn label(path: &Path) -> PathBuf {
    if is_standard_input(path) { PathBuf::from("standard input") } else { path.to_owned() }
}

/// Opens a file, or standard input for `-`, and recognises its compression.
///
/// # Errors
/// It is a directory, or cannot be read.
pub async fn open(path: &Path) -> io::Result<Source> {
    let mut rest = if is_standard_input(path) {
        File::from_std(std::fs::File::from(io::stdin().as_fd().try_clone_to_owned()?))
    } else {
        File::open(path).await?
    };
    let metadata = rest.metadata().await?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let mut head = Vec::new();
    (&mut rest).take(MAGIC_BYTES as u64).read_to_end(&mut head).await?;
    let compression = Compression::of(&head);
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok(Source { head, rest, bytes, compression })
}

impl Source {
    /// The file's name for the server: without its folders, and without `.gz` or `.zst` if it is compressed so. Standard input is `stdin`.
    pub fn name(&self, path: &Path) -> String {
        if is_standard_input(path) {
            return "stdin".to_owned();
        }
        let is_suffixed = |compression: &Compression| {
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(compression.extension()))
        };
        let compressed = self.compression.as_ref().filter(|compression| is_suffixed(compression));
        name(compressed.map_or(path, |_| path.file_stem().map(Path::new).unwrap_or(path)))
    }

    /// Begins to show how much of it is sent. `path`: what messages call it.
    pub fn progress(&self, path: &Path) -> Progress {
        Progress::new(name(path), self.bytes, self.compression.is_none())
    }

    /// Makes the file the body of a request. `progress` counts the bytes that were sent.
    pub fn send(self, request: RequestBuilder, progress: &Progress) -> RequestBuilder {
        let request = request.header("content-type", "text/csv");
        let request = match self.compression {
            Some(compression) => request.header(CONTENT_ENCODING, compression.content_encoding()),
            None => request,
        };
        let (adding, failing) = (progress.clone(), progress.clone());
        let whole = Cursor::new(self.head).chain(self.rest);
        let pieces = ReaderStream::with_capacity(whole, PIECE_BYTES)
            .inspect_ok(move |piece| adding.add(piece))
            .inspect_err(move |error| failing.fail(error.to_string()))
            .chain(progress.end_of_file());
        request.body(Body::wrap_stream(pieces))
    }
}

/// Returns the name of a file without its folders.
pub fn name(path: &Path) -> String {
    path.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_compression_is_recognised_by_content_and_its_ending_left_out_of_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let gzip = b"\x1f\x8b\x08\x00rest".as_slice();
        let zstd = b"\x28\xb5\x2f\xfdrest".as_slice();
        for (file, content, compression, sent) in [
            ("rounds.csv.gz", gzip, Some(Compression::Gzip), "rounds.csv"),
            ("rounds.csv.GZ", gzip, Some(Compression::Gzip), "rounds.csv"),
            ("rounds.csv", gzip, Some(Compression::Gzip), "rounds.csv"),
            ("rounds.csv.zst", zstd, Some(Compression::Zstd), "rounds.csv"),
            ("rounds.csv.gz", zstd, Some(Compression::Zstd), "rounds.csv.gz"),
            ("rounds.csv.gz", b"a,b\n1,2\n", None, "rounds.csv.gz"),
            ("short.csv", b"\x1f", None, "short.csv"),
            ("empty.csv", b"", None, "empty.csv"),
        ] {
            let path = directory.path().join(file);
            std::fs::write(&path, content).unwrap();
            let source = open(&path).await.unwrap();
            assert_eq!((source.compression, source.name(&path).as_str()), (compression, sent), "{file}");
            assert_eq!(source.bytes, Some(content.len() as u64));
        }
    }
}
