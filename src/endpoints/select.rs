//! The SQL around the statement of an endpoint: columns in the types that are sent, and one page of the rows.

use std::fmt::Write;

use super::keys::KeyColumn;
use super::{Column, Prepared};
use crate::dataset::endpoint::types::{Type, push_name};

/// The additional column with the key of a row, in JSON.
pub(super) const KEY: &str = "__page_key";

/// Names of the parameters of the server.
pub(super) const ROWS: &str = "__rows";
const AFTER: &str = "__after_";
const UNTIL: &str = "__until_";

/// Which rows to select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub is_after: bool,
    /// Up to a key. Otherwise as many rows as the parameter [`ROWS`] says.
    pub is_until: bool,
    /// With all rows that have the key of the last one.
    pub with_ties: bool,
}

/// Returns the statement with the columns as they are sent.
///
/// `formula_starts`: text that begins with one of these letters gets an apostrophe, for spreadsheets.
pub(super) fn shown(prepared: &Prepared, inner: &str, formula_starts: bool, with_key: bool) -> String {
    let mut columns: Vec<String> =
        prepared.columns.iter().map(|column| shown_column(column, formula_starts)).collect();
    if with_key {
        columns.push(format!("{} AS {KEY}", key(&KeyColumn::all(prepared))));
    }
    format!("SELECT {}\nFROM\n(\n{inner}\n) AS __rows_of", columns.join(", "))
}

fn shown_column(column: &Column, formula_starts: bool) -> String {
    let name = quoted(&column.name);
    let mut value = format!("__rows_of.{name}");
    if let Some(kind) = column.kind.sent_as() {
        value = format!("CAST({value}, '{}')", kind.replace('\\', "\\\\").replace('\'', "\\'"));
    }
    if matches!(column.kind.bare().0, Type::String) {
        value = format!("toValidUTF8({value})");
        if formula_starts {
            value = format!(
                "if({value} != '' AND position({{__formula_starts:String}}, substringUTF8({value}, 1, 1)) > 0, concat('\\'', {value}), {value})"
            );
        }
    }
    format!("{value} AS {name}")
}

/// Returns the statement with the keys of the rows only.
pub(super) fn keys_only(prepared: &Prepared, inner: &str) -> String {
    format!("SELECT {} AS {KEY}\nFROM\n(\n{inner}\n) AS __rows_of", key(&KeyColumn::all(prepared)))
}

fn key(columns: &[KeyColumn<'_>]) -> String {
    let values: Vec<String> = columns
        .iter()
        .map(|column| column.expression(&format!("__rows_of.{}", quoted(column.name))))
        .collect();
    format!("[{}]", values.join(", "))
}

/// Returns the statement with some of its rows, in the order of its pages.
pub(super) fn page(prepared: &Prepared, extent: Extent) -> String {
    let columns = KeyColumn::all(prepared);
    let mut sql = format!("SELECT *\nFROM\n(\n{}\n)", prepared.endpoint.statement);
    let mut conditions = Vec::new();
    if extent.is_after {
        conditions.push(compared(&columns, AFTER, false));
    }
    if extent.is_until {
        conditions.push(compared(&columns, UNTIL, true));
    }
    // Writing to memory cannot fail.
    if !conditions.is_empty() {
        let _ = write!(sql, "\nWHERE {}", conditions.join(" AND "));
    }
    let order: Vec<String> = columns
        .iter()
        .map(|column| format!("{}{}", quoted(column.name), if column.is_descending { " DESC" } else { "" }))
        .collect();
    let _ = write!(sql, "\nORDER BY {}", order.join(", "));
    if !extent.is_until {
        let ties = if extent.with_ties { " WITH TIES" } else { "" };
        let _ = write!(sql, "\nLIMIT {{{ROWS}:UInt64}}{ties}");
    }
    sql
}

/// Returns the condition of the rows after a key, or of those up to it. The first column is compared alone too, since only that can use an
/// index.
fn compared(columns: &[KeyColumn<'_>], prefix: &str, is_until: bool) -> String {
    let mut condition = String::new();
    for (at, column) in columns.iter().enumerate().rev() {
        let name = quoted(column.name);
        let value = format!("{{{prefix}{at}:{}}}", column.parameter_type());
        let sign = if column.is_descending == is_until { ">" } else { "<" };
        condition = match (condition.is_empty(), is_until) {
            (true, true) => format!("{name} {sign}= {value}"),
            (true, false) => format!("{name} {sign} {value}"),
            (false, _) => format!("({name} {sign} {value} OR ({name} = {value} AND {condition}))"),
        };
        if at == 0 && columns.len() > 1 {
            condition = format!("{name} {sign}= {value} AND {condition}");
        }
    }
    condition
}

/// Returns the parameters with a key.
pub(super) fn key_parameters(prepared: &Prepared, key: &[String], is_until: bool) -> Vec<(String, String)> {
    let prefix = if is_until { UNTIL } else { AFTER };
    let columns = KeyColumn::all(prepared);
    let values = columns.iter().zip(key).enumerate();
    values
        .filter_map(|(at, (column, text))| Some((format!("param_{prefix}{at}"), column.parameter(text)?)))
        .collect()
}

fn quoted(name: &str) -> String {
    let mut out = String::new();
    push_name(&mut out, name);
    out
}
