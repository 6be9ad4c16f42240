//! Why a file cannot be generated.

use std::io;

/// The largest id that fits a signed 64-bit integer, as used in Avro and ClickHouse.
pub(super) const MAX_ID: u64 = i64::MAX.unsigned_abs();

/// Why a file cannot be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(
        "--first-id {first_id} with --rows {rows} exceeds the largest id, {MAX_ID}; lower one of the two"
    )]
    IdsOverflow { first_id: u64, rows: u64 },
    #[error("--from {from} is above --to {to}; swap the two")]
    EmptyRange { from: u64, to: u64 },
    #[error(
        "the chain of {number} has a value of more than 38 digits at step {step}; choose smaller numbers"
    )]
    TooManyDigits { number: u64, step: u64 },
    #[error(
        "--late-percent, --tie-percent and --repeat-percent are more than 100 together; lower one of them"
    )]
    TooManyPercent,
    #[error("{0}")]
    Write(#[from] io::Error),
}
