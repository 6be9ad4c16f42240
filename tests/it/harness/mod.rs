//! Starts the processes that the tests talk to.

pub mod aggregates;
pub mod browser;
pub mod command;
pub mod dead_letters;
pub mod expected;
pub mod files;
pub mod part;
pub mod process;
pub mod proxy;
pub mod server;
pub mod services;
pub mod topic;

use std::path::PathBuf;

/// The binary under test.
pub const ROUNDHOUSE: &str = env!("CARGO_BIN_EXE_roundhouse");

/// Returns the repository's directory, which has the engine library and the sample file.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
