//! What the embedded parts of Roundhouse share: the errors of a start, the lifecycle of a process, its sandbox, secrets, and files that
//! survive a crash. It knows no part and not the server.

pub mod counted;
pub mod durable;
pub mod lifecycle;
pub mod lock;
pub mod mark;
pub mod private;
pub mod record_log;
pub mod sandbox;
pub mod secret;
pub mod streams;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why an embedded part cannot run. Each message is one line and says what to do.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    #[error(
        "{address} is in use; stop the program that listens there, or give {option} another port (0 picks a free one)"
    )]
    PortInUse { address: SocketAddr, option: &'static str },
    #[error("cannot listen on {address} ({option}): {source}")]
    Listen { address: SocketAddr, option: &'static str, source: io::Error },
    #[error("{} is used by another roundhouse; stop it, or give --data-dir another directory", .directory.display())]
    DirectoryInUse { directory: PathBuf },
    #[error("cannot use the directory {}: {source}", .directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    /// An error that only one part knows. It has the form of the others.
    #[error("{0}")]
    OfPart(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The error that a part announced, as text.
    #[error("{reason}")]
    Announced { reason: String },
    #[error("the {part} failed: {reason}")]
    Failed { part: &'static str, reason: String },
}

impl EmbeddedError {
    /// Converts the error of `bind`.
    pub fn listen(address: SocketAddr, option: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { address, option },
            _ => Self::Listen { address, option, source },
        }
    }

    /// Wraps an error of a directory or of a file in it.
    pub fn directory(directory: &Path, source: io::Error) -> Self {
        Self::Directory { directory: directory.to_owned(), source }
    }
}
