//! Game rounds that look like an operator's export. The same options always give the same bytes.
//!
//! [`schedule`] decides how many rounds each minute has, [`tables`] plays them, [`catalogue`] names the games, [`money`] writes amounts,
//! and [`encoding`] converts the UTF-8 of the `csv` crate into the file's encoding. All arithmetic uses integers, so every platform writes
//! the same file. Memory does not grow with the number of rows.

mod catalogue;
mod encoding;
mod money;
mod schedule;
mod tables;

use std::io::{self, Write};

use super::error::{GenerateError, MAX_ID};
use crate::settings::GenerateOptions;
use encoding::Encoded;
use schedule::{Clock, Schedule};
use tables::{Round, Tables};

/// The columns, in the order of the reference file.
pub const COLUMNS: [&str; 10] = [
    "created_timestamp",
    "game_instance_id",
    "user_id",
    "game_id",
    "real_amount_bet",
    "bonus_amount_bet",
    "real_amount_win",
    "bonus_amount_win",
    "game_name",
    "provider",
];

/// Checks options that depend on each other.
///
/// # Errors
/// The ids of the last rows would be invalid.
pub fn check(options: &GenerateOptions) -> Result<(), GenerateError> {
    let GenerateOptions { first_id, rows, .. } = *options;
    match first_id.checked_add(rows.saturating_sub(1)) {
        Some(last) if last <= MAX_ID => Ok(()),
        _ => Err(GenerateError::IdsOverflow { first_id, rows }),
    }
}

/// Writes the header and all rows to `out`, and flushes it.
///
/// # Errors
/// The options contradict each other, or `out` cannot be written.
pub fn write_file(options: &GenerateOptions, out: impl Write) -> Result<(), GenerateError> {
    check(options)?;
    let encoded = Encoded::new(out, options.encoding)?;
    // Database tools on Windows write a byte order mark and CRLF.
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(encoded);
    csv.write_record(COLUMNS).map_err(io_error)?;
    write_rows(options, &mut csv)?;
    let encoded = csv.into_inner().map_err(|error| error.into_error())?;
    encoded.finish()?;
    Ok(())
}

fn write_rows<W: Write>(options: &GenerateOptions, csv: &mut csv::Writer<W>) -> io::Result<()> {
    let schedule = Schedule::new(options);
    let mut tables = Tables::new(options);
    let mut row = Row::default();
    let mut id = options.first_id;
    for minute in schedule.minutes() {
        for second in minute.seconds() {
            row.write(csv, second, id, tables.play())?;
            id = id.wrapping_add(1);
        }
    }
    Ok(())
}

/// The buffers of one row's fields. Reused for each row.
#[derive(Default)]
struct Row {
    clock: Clock,
    id: String,
    game: String,
    amount: String,
}

impl Row {
    fn write<W: Write>(
        &mut self,
        csv: &mut csv::Writer<W>,
        second: u64,
        id: u64,
        round: Round<'_>,
    ) -> io::Result<()> {
        let created = self.clock.text(second.saturating_sub(round.duration));
        csv.write_field(created).map_err(io_error)?;
        csv.write_field(decimal(&mut self.id, id)).map_err(io_error)?;
        csv.write_field(round.player).map_err(io_error)?;
        csv.write_field(decimal(&mut self.game, round.game.id)).map_err(io_error)?;
        for amount in round.amounts {
            csv.write_field(amount.text(&mut self.amount)).map_err(io_error)?;
        }
        csv.write_record([&round.game.name, &round.game.provider]).map_err(io_error)
    }
}

fn decimal(text: &mut String, number: u64) -> &str {
    use std::fmt::Write as _;
    text.clear();
    // Writing to a string cannot fail.
    let _ = write!(text, "{number}");
    text
}

fn io_error(error: csv::Error) -> io::Error {
    // Keep the operating system's error, such as "no space left" or "broken pipe".
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}
