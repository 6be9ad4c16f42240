//! Tables on the terminal.

use std::fmt::Display;
use std::io::Write;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::Value;

use super::CommandError;
use super::client::failed;

/// Exit code of a program whose reader has gone, as shells have it.
const EXIT_BROKEN_PIPE: u8 = 141;

/// Columns of aggregates, with the members of the answer.
const AGGREGATES: [(&str, &str); 7] = [
    ("hour", "created_hour"),
    ("player", "player_id"),
    ("game", "game_name"),
    ("rounds", "rounds_played"),
    ("real bet", "real_amount_bet"),
    ("real win", "real_amount_win"),
    ("net", "net"),
];

/// Makes a table of the items of `GET /aggregates`.
pub fn of_aggregates(items: &Value) -> Table {
    of_items(items, &AGGREGATES, 3)
}

/// Makes a table with a row for each item and a column for each member; those from `numbers` on are numbers.
pub fn of_items(items: &Value, columns: &[(&str, &str)], numbers: usize) -> Table {
    let mut table = new(columns.iter().map(|(name, _)| *name));
    for item in items.as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|(_, member)| shown(&item[member])));
    }
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Begins a table.
pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(names);
    table
}

/// A value as a person reads it; control characters would not stay in their cell.
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
/// It is closed: whoever reads has seen enough.
pub fn print(text: impl Display) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => CommandError { message: None, exit_code: EXIT_BROKEN_PIPE },
        _ => failed(error),
    })
}
