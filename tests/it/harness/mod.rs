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

use rand::RngExt as _;

/// The binary under test.
pub const ROUNDHOUSE: &str = env!("CARGO_BIN_EXE_roundhouse");

/// The variable with the seed of all random tests, here and in the library. It is the one that proptest reads by itself.
const SEED: &str = "PROPTEST_RNG_SEED";

/// Returns the seed of a random test: the given one, or any. Prints it, so that a failed test can be repeated.
pub fn seed() -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().unwrap_or_else(|_| panic!("{SEED} is not a number: {seed}")),
        Err(_) => rand::rng().random_range(0..1_000_000),
    };
    eprintln!("repeat with {SEED}={seed}");
    seed
}

/// Returns the repository's directory. Programs that the tests start run in another directory, as they do for a user.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns a file below `tests/clients`: a client's program, or what `make client-tools` installs.
pub fn installed(path: &str) -> PathBuf {
    let path = repository().join("tests/clients").join(path);
    assert!(path.exists(), "{} is missing: run `make client-tools`", path.display());
    path
}
