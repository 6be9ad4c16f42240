//! A mistake in a file of a dataset.

use thiserror::Error;

/// What is wrong in which line of a file, and what to do about it. Shown as `queries/prices/dataset.toml:3: …`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}:{line}: {message}")]
pub struct FileFault {
    /// The file as the user knows it: `queries/prices/dataset.toml`, below the directory of `--datasets` if it is from there.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// The cause, and after a semicolon what to do.
    pub message: String,
}

impl FileFault {
    pub fn new(file: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, message: message.into() }
    }

    /// A fault at a byte of the file's text.
    pub fn at(file: impl Into<String>, text: &str, byte: usize, message: impl Into<String>) -> Self {
        Self::new(file, line_of(text, byte), message)
    }
}

/// Returns the number of the line, from 1, that has this byte of a text.
pub fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}
