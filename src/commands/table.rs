//! Tables on the terminal.

use std::fmt::Display;
use std::io::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;

use super::CommandError;

/// Exit code of a program whose output nobody reads any more, as in a shell (128 + SIGPIPE).
const EXIT_BROKEN_PIPE: u8 = 141;

/// Columns of aggregates, with the members of the answer. The net is all bets minus all wins, so all four amounts are shown.
const AGGREGATES: [(&str, &str); 9] = [
    ("hour", "created_hour"),
    ("player", "player_id"),
    ("game", "game_name"),
    ("rounds", "rounds_played"),
    ("real bet", "real_amount_bet"),
    ("bonus bet", "bonus_amount_bet"),
    ("real win", "real_amount_win"),
    ("bonus win", "bonus_amount_win"),
    ("net", "net"),
];

/// Makes a table of the items of `GET /aggregates`.
pub fn of_aggregates(items: &Value) -> Table {
    of_items(items, &AGGREGATES, 3)
}

/// Makes a table with a row for each item and a column for each member. Columns from `numbers` on are aligned to the right.
pub fn of_items(items: &Value, columns: &[(&str, &str)], numbers: usize) -> Table {
    let mut table = new(columns.iter().map(|(name, _)| *name));
    for item in items.as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|(_, member)| shown(&item[member])));
    }
    align_numbers(&mut table, numbers);
    table
}

/// Aligns the columns from `numbers` on to the right.
pub fn align_numbers(table: &mut Table, numbers: usize) {
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// Begins a table.
pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(names);
    table
}

/// Returns a value as a person reads it. Control characters are replaced, since they would break the table.
pub fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Prints to standard output.
///
/// # Errors
/// It is closed, for example by `head`.
pub fn print(text: impl Display) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(not_printed)
}

/// Writes bytes to standard output.
///
/// # Errors
/// As [`print()`].
pub fn write(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(not_printed)
}

/// Prints what a command has done to standard error, if standard output may be the file that it has written.
pub fn print_note(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a line to standard error. If that is closed, nobody reads it, and it is lost.
pub fn print_error(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "roundhouse: {line}");
}

fn not_printed(error: std::io::Error) -> CommandError {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => broken_pipe(),
        _ => CommandError::of_client(error),
    }
}

/// The command ends because nobody reads its output any more.
pub fn broken_pipe() -> CommandError {
    CommandError { message: None, exit_code: EXIT_BROKEN_PIPE }
}

/// Returns a value that is cut after some characters, `NULL` for none.
pub fn or_null(value: &Value, characters: usize) -> String {
    if value.is_null() { "NULL".to_owned() } else { shortened(&shown(value), characters) }
}

/// Returns a text that is cut after some characters.
pub fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
