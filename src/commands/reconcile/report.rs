//! The result of a reconciliation in words.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::count;

/// Returns the result of a file in a few lines.
pub fn in_words(path: &Path, job: &Value) -> String {
    let mut lines =
        format!("{}: reconciliation {}\n", path.display(), job["id"].as_str().unwrap_or_default());
    if job["verdict"].is_string() {
        lines += &findings(job);
    }
    if job["repair"].is_object() {
        push_repair(&mut lines, &job["repair"]);
        lines += &left_alone(job);
    }
    lines
}

/// Returns the verdict and the counts. The counts of rows add up to the number of rows.
pub fn findings(job: &Value) -> String {
    let mut lines = String::new();
    let seconds = job["seconds"].as_f64().unwrap_or_default();
    let rows = count(job, "rows");
    // Writing to a String cannot fail; so below.
    let _ = write!(
        lines,
        "  verdict: {}\n  {rows} rows: {} matched, {} missing, {} different, {} twice in the file",
        job["verdict"].as_str().unwrap_or_default(),
        count(job, "matched"),
        count(job, "missing"),
        count(job, "different"),
        count(job, "duplicate_in_file"),
    );
    for (member, words) in
        [("contradictory_in_file", "contradicting other rows of the file"), ("rejected", "not valid")]
    {
        if count(job, member) > 0 {
            let _ = write!(lines, ", {} {words}", count(job, member));
        }
    }
    lines.push('\n');
    if count(job, "unexpected") > 0 {
        let unexpected = count(job, "unexpected");
        let _ = writeln!(lines, "  {unexpected} rounds stored by uploads of this file, but absent from it");
    }
    lines += &hours(&job["hours"]);
    let _ = writeln!(lines, "  {seconds:.2} s ({:.0} rows/s)", per_second(rows, seconds));
    if job["verdict"] == "no_valid_rows" {
        lines +=
            "  no row is valid, so nothing was compared; `roundhouse upload --validate-only` shows why\n";
    }
    if job["settled"] == false {
        lines += "  rows were still being loaded; what is missing or different may just not be loaded yet\n";
    }
    lines
}

fn hours(hours: &Value) -> String {
    let (checked, different) = (count(hours, "checked"), count(hours, "different"));
    let matched = checked.saturating_sub(different);
    let mut line =
        format!("  {checked} hours (by player and game) checked: {matched} matched, {different} different");
    if count(hours, "shared") > 0 {
        let _ = write!(line, "; {} of them also hold rounds of other files", count(hours, "shared"));
    }
    line.push('\n');
    line
}

fn push_repair(lines: &mut String, repair: &Value) {
    let _ = write!(
        lines,
        "  repair {}: {} rounds produced, {} overwritten, {} removed, {} hours rebuilt",
        repair["state"].as_str().unwrap_or_default(),
        count(repair, "produced"),
        count(repair, "overwritten"),
        count(repair, "removed"),
        count(repair, "hours_rebuilt"),
    );
    match repair["reason"].as_str() {
        Some(reason) => {
            let _ = writeln!(lines, ": {reason}");
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
        let _ = writeln!(lines, "  {left_alone}");
    }
    if count(job, "unexpected") > 0 && repair["removes_unexpected"] == false {
        lines += "  rounds that are not in the file were left; --remove-unexpected removes them\n";
    }
    lines
}

pub fn per_second(rows: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { rows as f64 / seconds } else { 0.0 }
}
