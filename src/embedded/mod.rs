//! The three services as parts of this binary: each a child process that speaks its own protocol on loopback.
//!
//! A part is run by `roundhouse embedded NAME`, by hand or by the [`supervisor`]. Everything else in the crate
//! knows them by their URLs only.

pub mod broker;
pub mod clickhouse;
mod mark;
pub mod part;
pub mod private;
pub mod registry;
pub mod sandbox;
pub mod supervisor;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why an embedded part cannot run: one line each, with the remedy.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    #[error(
        "{address} is in use: stop what listens there, or give {option} another port (0 takes a free one)"
    )]
    PortInUse { address: SocketAddr, option: &'static str },
    #[error("cannot listen on {address} ({option}): {source}")]
    Listen { address: SocketAddr, option: &'static str, source: io::Error },
    #[error("{} is used by another roundhouse: stop it, or give --data-dir another directory", .directory.display())]
    DirectoryInUse { directory: PathBuf },
    #[error("cannot use the directory {}: {source}", .directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    #[error(
        "the ClickHouse engine library is not there (looked at {looked_at}): run `npm ci --prefix engine`, or name it with --clickhouse-library"
    )]
    LibraryMissing { looked_at: String },
    #[error("{} is not a usable ClickHouse engine library ({reason}): run `npm ci --prefix engine`, or name another with --clickhouse-library", .path.display())]
    LibraryWrong { path: PathBuf, reason: String },
    /// What a part announced about itself: one of these, as text.
    #[error("{reason}")]
    Announced { reason: String },
    #[error("the {part} failed: {reason}")]
    Failed { part: &'static str, reason: String },
}

impl EmbeddedError {
    /// Sorts what `bind` returned.
    pub fn listen(address: SocketAddr, option: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { address, option },
            _ => Self::Listen { address, option, source },
        }
    }

    /// Wraps what went wrong with a directory or a file in it.
    pub fn directory(directory: &Path, source: io::Error) -> Self {
        Self::Directory { directory: directory.to_owned(), source }
    }
}
