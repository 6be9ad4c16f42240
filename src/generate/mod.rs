//! Generates files of invented rows, for each dataset of the program.
//!
//! [`bets`] writes game rounds, [`steps`] chains of the Collatz conjecture, and [`prices`] price events. [`dice`] rolls random numbers,
//! [`rows`] writes rows at a fixed rate, [`text`] has numbers and times as text. Memory does not grow with the number of rows.

pub mod bets;
mod dice;
mod error;
mod pace;
pub mod prices;
mod rows;
pub mod steps;
mod text;

use std::io::Write;

pub use self::error::GenerateError;
use crate::settings::GenerateCommand;

/// Checks options that depend on each other.
///
/// # Errors
/// They contradict each other.
pub fn check(command: &GenerateCommand) -> Result<(), GenerateError> {
    match command {
        GenerateCommand::Bets(options) => bets::check(options),
        GenerateCommand::Steps(options) => steps::check(options),
        GenerateCommand::Prices(options) => prices::check(options),
    }
}

/// Writes all rows to `out`, and flushes it. Returns their number.
///
/// # Errors
/// The options contradict each other, a value is too large, or `out` cannot be written.
pub fn write(command: &GenerateCommand, out: impl Write) -> Result<u64, GenerateError> {
    match command {
        GenerateCommand::Bets(options) => bets::write_file(options, out).map(|()| options.rows),
        GenerateCommand::Steps(options) => steps::write(options, out),
        GenerateCommand::Prices(options) => prices::write(options, out),
    }
}
