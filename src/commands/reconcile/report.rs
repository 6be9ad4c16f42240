//! The result of a reconciliation in words.

use std::fmt::Write;
use std::path::Path;

use indicatif::HumanCount;
use serde_json::Value;

use super::count;
use crate::commands::client::problem::advice;
use crate::commands::table::shown;
use crate::counted::counted;
use crate::settings::ReconcileOptions;

/// Replays that are named.
const SHOWN_REPLAYS: usize = 3;

/// Returns the result of a file in a few lines.
pub fn in_words(path: &Path, job: &Value) -> String {
    let mut lines =
        format!("{}: reconciliation {}\n", path.display(), job["id"].as_str().unwrap_or_default());
    if job["verdict"].is_string() {
        lines += &findings(job);
        lines += &invalid_rows(job);
    }
    if job["repair"].is_object() {
        push_repair(&mut lines, &job["repair"]);
        lines += &left_alone(job);
    }
    lines
}

/// Says that --repair had nothing to do, if so.
pub fn nothing_to_repair(options: &ReconcileOptions, job: &Value) -> &'static str {
    match (options.repair && job["verdict"] == "match" && job["repair"].is_null(), options.dry_run) {
        (false, _) => "",
        (true, false) => "  nothing to repair\n",
        (true, true) => "  dry run: the repair would change nothing\n",
    }
}

/// Returns the verdict and the counts. The counts of rows add up to the number of rows.
pub fn findings(job: &Value) -> String {
    let mut lines = String::new();
    let seconds = job["seconds"].as_f64().unwrap_or_default();
    let rows = count(job, "rows");
    let shown = |member: &str| HumanCount(count(job, member));
    // Writing to a String cannot fail; so below.
    let _ = write!(
        lines,
        "  verdict: {}{}\n  {}: {} matched, {} missing, {} different, {} twice in the file",
        job["verdict"].as_str().unwrap_or_default(),
        not_compared(count(job, "rejected")),
        counted(rows, "row"),
        shown("matched"),
        shown("missing"),
        shown("different"),
        shown("duplicate_in_file"),
    );
    for (member, words) in
        [("contradictory_in_file", "contradicting other rows of the file"), ("rejected", "invalid")]
    {
        if count(job, member) > 0 {
            let _ = write!(lines, ", {} {words}", shown(member));
        }
    }
    lines.push('\n');
    if count(job, "unexpected") > 0 {
        let word = if job["hours"].is_object() { "round" } else { "row" };
        let rounds = counted(count(job, "unexpected"), word);
        let _ = writeln!(lines, "  {rounds} stored by uploads of this file, but absent from it");
    }
    lines += &sums(job);
    let _ = writeln!(lines, "  {seconds:.2} s ({})", speed(rows, seconds));
    if job["verdict"] == "no_valid_rows" {
        lines += "  no row is valid, so nothing was compared\n";
    }
    if job["settled"] == false {
        lines += "  rows were still being loaded; what is missing or different may just not be loaded yet\n";
    }
    lines
}

/// Says how many rows the verdict is not about.
fn not_compared(invalid: u64) -> String {
    match invalid {
        0 => String::new(),
        1 => "; 1 invalid row was not compared".to_owned(),
        _ => format!("; {} were not compared", counted(invalid, "invalid row")),
    }
}

/// Says where the invalid rows of the file are, and what has become of them.
fn invalid_rows(job: &Value) -> String {
    let mut lines = String::new();
    let invalid = count(job, "rejected");
    if invalid == 0 {
        return lines;
    }
    let replays = job["replays"].as_array().map(Vec::as_slice).unwrap_or_default();
    for replay in replays.iter().take(SHOWN_REPLAYS) {
        let rows = counted(count(replay, "rows"), "rejected row");
        let [upload, by] =
            ["upload_id", "replay_id"].map(|member| replay[member].as_str().unwrap_or_default());
        let _ = writeln!(lines, "  replay {by} has sent {rows} of upload {upload} again");
    }
    if replays.len() > SHOWN_REPLAYS {
        let _ = writeln!(lines, "  … and {}", counted((replays.len() - SHOWN_REPLAYS) as u64, "more replay"));
    }
    if !replays.is_empty() {
        lines += "  the file itself still has its invalid rows; a reconciliation compares it as it is\n";
    }
    let replayed: u64 = replays.iter().map(|replay| count(replay, "rows")).sum();
    match job["uploads"][0].as_str() {
        Some(upload) if replayed < invalid => {
            let _ = writeln!(lines, "  to see and correct the invalid rows: roundhouse rejects {upload}");
        }
        Some(_) => {}
        None => lines += "  to see why rows are invalid: roundhouse upload --validate-only FILE\n",
    }
    lines
}

/// Returns a line about the hours of bets, or one about each aggregate table of another dataset.
fn sums(job: &Value) -> String {
    if job["hours"].is_object() {
        return compared(&job["hours"], "hour", "by player and game", "rounds");
    }
    let tables = job["aggregates"].as_array().into_iter().flatten();
    tables.map(|table| compared(table, "key", &format!("of {}", shown(&table["table"])), "rows")).collect()
}

fn compared(counts: &Value, one: &str, of: &str, rows: &str) -> String {
    let (checked, different) = (count(counts, "checked"), count(counts, "different"));
    let matched = checked.saturating_sub(different);
    let mut line = format!(
        "  {} ({of}) checked: {} matched, {} different",
        counted(checked, one),
        HumanCount(matched),
        HumanCount(different)
    );
    if count(counts, "shared") > 0 {
        let _ = write!(line, "; with {rows} of other files: {}", HumanCount(count(counts, "shared")));
    }
    line.push('\n');
    line
}

fn push_repair(lines: &mut String, repair: &Value) {
    let (row, rebuilt) = match repair["aggregates_rebuilt"].is_u64() {
        true => ("row", counted(count(repair, "aggregates_rebuilt"), "aggregate")),
        false => ("round", counted(count(repair, "hours_rebuilt"), "hour")),
    };
    let _ = write!(
        lines,
        "  repair {}: {} produced, {} overwritten, {} removed, {rebuilt} rebuilt",
        repair["state"].as_str().unwrap_or_default(),
        counted(count(repair, "produced"), row),
        HumanCount(count(repair, "overwritten")),
        HumanCount(count(repair, "removed")),
    );
    match repair["reason"].as_str() {
        Some(reason) => {
            let _ = writeln!(lines, ": {}", advice(reason));
        }
        None => lines.push('\n'),
    }
}

/// Says what a repair has left unchanged, and which option repairs that too.
fn left_alone(job: &Value) -> String {
    let repair = &job["repair"];
    let mut lines = String::new();
    if repair["state"] != "done" {
        return lines;
    }
    if count(job, "different") > 0 && repair["prefer"] == "stored" {
        lines +=
            "  rounds that differ were left unchanged; --prefer file gives them the values of the file\n";
    }
    if let Some(left_alone) = repair["left_alone"].as_str() {
        let _ = writeln!(lines, "  {}", advice(left_alone));
    }
    if count(job, "unexpected") > 0 && repair["removes_unexpected"] == false {
        lines += "  rounds that are not in the file were left; --remove-unexpected removes them\n";
    }
    lines
}

/// Returns the rows per second: `14,113 rows/s`.
pub fn speed(rows: u64, seconds: f64) -> String {
    let speed = if seconds > 0.0 { rows as f64 / seconds } else { 0.0 };
    format!("{}/s", counted(speed.round() as u64, "row"))
}
