//! What a repair would change, in words and as tables.

use std::fmt::Write;

use indicatif::HumanCount;
use serde_json::Value;

use super::count;
use super::differences::or_null;
use crate::commands::CommandError;
use crate::commands::table::{self, shown};
use crate::counted::counted;

/// Rows of the table of totals, with the members of the answer.
const SUMS: [(&str, &str); 5] = [
    ("rounds", "rounds_played"),
    ("real_amount_bet", "real_amount_bet"),
    ("bonus_amount_bet", "bonus_amount_bet"),
    ("real_amount_win", "real_amount_win"),
    ("bonus_amount_win", "bonus_amount_win"),
];

/// Prints the preview of a repair, if there is one.
pub fn print(preview: &Value) -> Result<(), CommandError> {
    if !preview.is_object() {
        return Ok(());
    }
    table::print(in_words(preview))?;
    if count(preview, "overwritten") > 0 {
        table::print(format_args!("{}\n", overwritten(preview)))?;
        if count(preview, "overwritten") > sample(preview).len() as u64 {
            table::print("More rounds would be overwritten: use --differences all\n")?;
        }
    }
    match preview["aggregates"].as_array() {
        None => table::print(format_args!("{}\n", totals(&preview["totals"]))),
        Some(aggregates) if aggregates.is_empty() => Ok(()),
        Some(aggregates) => table::print(format_args!("{}\n", sums(aggregates))),
    }
}

/// Whether it is of a dataset other than bets, whose rows are rounds.
fn is_of_rounds(preview: &Value) -> bool {
    !preview["aggregates"].is_array()
}

/// Returns the counts, and what would stay.
fn in_words(preview: &Value) -> String {
    let aggregates = preview["aggregates"].as_array().map_or(&[][..], Vec::as_slice);
    let all = |member: &str| aggregates.iter().map(|table| count(table, member)).sum::<u64>();
    let (row, aggregate, rebuilt, changed) = match is_of_rounds(preview) {
        true => ("round", "hour", count(preview, "hours_rebuilt"), count(preview, "hours_changed")),
        false => ("row", "aggregate", all("rebuilt"), all("changed")),
    };
    let mut lines = format!(
        "  dry run, nothing was changed; the repair would change this:\n  {} produced, {} overwritten, {} removed, {} rebuilt, {} \
         with changed sums\n",
        counted(count(preview, "produced"), row),
        HumanCount(count(preview, "overwritten")),
        HumanCount(count(preview, "removed")),
        counted(rebuilt, aggregate),
        counted(changed, aggregate),
    );
    let unchanged = &preview["unchanged"];
    for (member, words) in [
        ("contradictory", "with contradictory rows in the file would stay unchanged; correct the file"),
        ("different", "with different values would stay unchanged; to overwrite: --prefer file"),
        ("unexpected", "absent from the file would stay; to remove: --remove-unexpected"),
    ] {
        if count(unchanged, member) > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "  {} {words}", counted(count(unchanged, member), row));
        }
    }
    if preview["note"].is_string() {
        let _ = writeln!(lines, "  {}", shown(&preview["note"]));
    }
    lines
}

fn sample(preview: &Value) -> &[Value] {
    preview["sample"].as_array().map_or(&[], Vec::as_slice)
}

/// A row for each field of a round that would be overwritten.
fn overwritten(preview: &Value) -> comfy_table::Table {
    let row = if is_of_rounds(preview) { "round" } else { "key" };
    let mut table = table::new(["line", row, "field", "stored now", "after the repair"].into_iter());
    for found in sample(preview) {
        for (name, sides) in found["fields"].as_object().into_iter().flatten() {
            let (line, id) = (shown(&found["line"]), key(found));
            table.add_row([line, id, name.clone(), or_null(&sides["stored"]), or_null(&sides["file"])]);
        }
    }
    table
}

/// The id of a round, or the columns of another key.
fn key(row: &Value) -> String {
    match row["key"].as_object() {
        None => shown(&row["game_instance_id"]),
        Some(key) => {
            key.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect::<Vec<_>>().join("\n")
        }
    }
}

/// A row for each sum of each aggregate table.
fn sums(aggregates: &[Value]) -> comfy_table::Table {
    let names = [
        "table",
        "sum of",
        "produced",
        "removed",
        "overwritten, before",
        "overwritten, after",
        "aggregates, before",
        "aggregates, after",
    ];
    let mut table = table::new(names.into_iter());
    for aggregate in aggregates {
        let overwritten = &aggregate["overwritten"];
        let parts = [
            &aggregate["produced"],
            &aggregate["removed"],
            &overwritten["before"],
            &overwritten["after"],
            &aggregate["sums"]["before"],
            &aggregate["sums"]["after"],
        ];
        for name in aggregate["produced"].as_object().into_iter().flatten().map(|(name, _)| name) {
            let cells = parts.map(|sums| shown(&sums[name]));
            table.add_row([shown(&aggregate["table"]), name.clone()].into_iter().chain(cells));
        }
    }
    table::align_numbers(&mut table, 2);
    table
}

/// A row for each sum of bets.
fn totals(totals: &Value) -> comfy_table::Table {
    let names = [
        "sum of",
        "produced",
        "removed",
        "overwritten, before",
        "overwritten, after",
        "hours, before",
        "hours, after",
    ];
    let mut table = table::new(names.into_iter());
    for (name, member) in SUMS {
        let cells = [
            &totals["produced"],
            &totals["removed"],
            &totals["overwritten"]["before"],
            &totals["overwritten"]["after"],
            &totals["hours"]["before"],
            &totals["hours"]["after"],
        ];
        table.add_row(std::iter::once(name.to_owned()).chain(cells.map(|sums| shown(&sums[member]))));
    }
    table::align_numbers(&mut table, 1);
    table
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_says_how_much_would_change_and_what_would_stay() {
        let preview = json!({ "produced": 3, "overwritten": 1, "removed": 2, "hours_rebuilt": 4, "hours_changed": 1,
            "unchanged": { "contradictory": 0, "different": 7, "unexpected": 0 }, "note": "data may have changed" });
        assert_eq!(
            in_words(&preview),
            "  dry run, nothing was changed; the repair would change this:\n  \
             3 rounds produced, 1 overwritten, 2 removed, 4 hours rebuilt, 1 hour with changed sums\n  \
             7 rounds with different values would stay unchanged; to overwrite: --prefer file\n  data may have changed\n"
        );
    }

    #[test]
    fn the_rows_of_other_datasets_have_the_sums_of_each_aggregate_table() {
        let sums = |number: u64| json!({ "payments": number });
        let change = json!({ "before": sums(3), "after": sums(4) });
        let days = json!({ "table": "days", "rebuilt": 2, "changed": 1, "produced": sums(1), "removed": sums(2), "overwritten": change,
            "sums": { "before": sums(5), "after": sums(6) } });
        let preview = json!({ "produced": 1, "overwritten": 0, "removed": 2, "aggregates": [days], "unchanged": { "different": 1 } });
        let words = in_words(&preview);
        assert!(
            words
                .contains("1 row produced, 0 overwritten, 2 removed, 2 aggregates rebuilt, 1 aggregate with"),
            "{words}"
        );
        assert!(words.contains("1 row with different values"), "{words}");
        let table = super::sums(preview["aggregates"].as_array().unwrap()).to_string();
        let row = table.lines().find(|line| line.contains("payments")).unwrap();
        let numbers: String = row.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(numbers, "123456", "{table}");
    }
}
