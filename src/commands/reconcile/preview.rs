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
    table::print(format_args!("{}\n", totals(&preview["totals"])))
}

/// Returns the counts, and what would stay.
fn in_words(preview: &Value) -> String {
    let mut lines = format!(
        "  dry run, nothing was changed; the repair would change this:\n  {} produced, {} overwritten, {} removed, {} rebuilt, {} \
         with changed sums\n",
        counted(count(preview, "produced"), "round"),
        HumanCount(count(preview, "overwritten")),
        HumanCount(count(preview, "removed")),
        counted(count(preview, "hours_rebuilt"), "hour"),
        counted(count(preview, "hours_changed"), "hour"),
    );
    let unchanged = &preview["unchanged"];
    for (member, words) in [
        ("contradictory", "with contradictory rows in the file would stay unchanged; correct the file"),
        ("different", "with different values would stay unchanged; to overwrite: --prefer file"),
        ("unexpected", "absent from the file would stay; to remove: --remove-unexpected"),
    ] {
        if count(unchanged, member) > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "  {} {words}", counted(count(unchanged, member), "round"));
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
    let mut table = table::new(["line", "round", "field", "stored now", "after the repair"].into_iter());
    for round in sample(preview) {
        for (name, sides) in round["fields"].as_object().into_iter().flatten() {
            let (line, id) = (shown(&round["line"]), shown(&round["game_instance_id"]));
            table.add_row([line, id, name.clone(), or_null(&sides["stored"]), or_null(&sides["file"])]);
        }
    }
    table
}

/// A row for each sum.
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
}
