//! A receipt in words, for people.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};
use serde_json::Value;

use crate::commands::client::problem::advice;
use crate::counted::counted;
use crate::ingest::upload::SHOWN_REJECTS as FIRST_REJECTS;

/// Rejected rows that are shown; the server has all of them.
const SHOWN_REJECTS: usize = 10;

/// Characters of a rejected value that are shown.
const SHOWN_CHARACTERS: usize = 60;

/// Returns the result of an upload in a few lines. The counts of a line add up to its first number.
pub fn of_receipt(path: &Path, receipt: &Value, elapsed: Duration) -> String {
    let mut lines = String::new();
    let number = |member: &str| receipt[member].as_u64();
    let count = |member: &str| HumanCount(number(member).unwrap_or_default());
    let text = |member: &str| receipt[member].as_str().unwrap_or_default();
    // Writing to a String cannot fail; so below.
    let _ = writeln!(lines, "{}: {}", path.display(), state(receipt, elapsed));
    let _ = writeln!(
        lines,
        "  {}: {} accepted, {} rejected",
        counted(number("rows").unwrap_or_default(), "row"),
        count("accepted"),
        count("rejected")
    );
    push_stored(&mut lines, receipt);
    let bytes = DecimalBytes(number("bytes").unwrap_or_default());
    let _ = writeln!(lines, "  {bytes} of {}", text("encoding"));
    if let Some(ignored) = receipt["ignored_columns"].as_array().filter(|names| !names.is_empty()) {
        let names: Vec<&str> = ignored.iter().filter_map(Value::as_str).collect();
        let _ = writeln!(lines, "  ignored columns: {}", names.join(", "));
    }
    push_later_headers(&mut lines, &receipt["later_headers"]);
    if !text("upload_id").is_empty() {
        let _ = writeln!(lines, "  upload {}", text("upload_id"));
    }
    lines += &rejects(receipt);
    if number("rejected").is_some_and(|rejected| rejected > 0)
        && let Some(upload) = upload_of_rejects(receipt)
    {
        let _ = match are_replayed(receipt) {
            true => writeln!(
                lines,
                "  the rejected rows were sent again by a replay; to see them: roundhouse rejects {upload} --replayed"
            ),
            false => writeln!(lines, "  all rejected rows: roundhouse rejects {upload}"),
        };
    }
    lines
}

/// Adds how the accepted rows are stored, once that is known.
pub fn push_stored(lines: &mut String, receipt: &Value) {
    let number = |member: &str| receipt[member].as_u64();
    let count = |member: &str| HumanCount(number(member).unwrap_or_default());
    if number("new").is_some() {
        let _ = writeln!(
            lines,
            "  {} accepted: {} new, {} already stored, {} stored with different values",
            count("accepted"),
            count("new"),
            count("duplicate"),
            count("conflict")
        );
    }
    if number("conflict").is_some_and(|conflicts| conflicts > 0) {
        let upload = receipt["upload_id"].as_str().unwrap_or_default();
        let _ = writeln!(lines, "  the stored values were kept; to see both: roundhouse conflicts {upload}");
    }
}

/// Whether the rows of a known file that were rejected are no longer, because a replay has sent them.
pub fn are_replayed(receipt: &Value) -> bool {
    receipt["state"] == "duplicate"
        && receipt["rejected"].as_u64().is_some_and(|rejected| rejected > 0)
        && receipt["rejects"].as_array().is_some_and(Vec::is_empty)
}

/// Returns the upload that has the rejected rows. Those of a replay belong to the upload that it replays.
fn upload_of_rejects(receipt: &Value) -> Option<&str> {
    receipt["links"]["rejects"].as_str()?.strip_prefix("/uploads/")?.strip_suffix("/rejects")
}

/// Names the lines of further headers, which a file has if several files were joined.
fn push_later_headers(lines: &mut String, later: &Value) {
    if let Some(repeated) = later["repeated"].as_u64().filter(|repeated| *repeated > 0) {
        let first = &later["repeated_lines"][0];
        let _ = writeln!(
            lines,
            "  the header is repeated {}, first in line {first}; skipped",
            counted(repeated, "time")
        );
    }
    for line in later["changes"].as_object().into_iter().flat_map(|changes| changes.keys()) {
        let _ = writeln!(lines, "  another header in line {line}: it applies to the rows after it");
    }
}

fn state(receipt: &Value, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    match receipt["state"].as_str().unwrap_or("done") {
        "visible" => format!("visible in the aggregates after {seconds:.1} s"),
        "acknowledged" => format!("acknowledged by Kafka after {seconds:.1} s; the aggregates follow"),
        "validated" => "checked only: nothing was sent".to_owned(),
        "duplicate" => "already uploaded; nothing was sent again (--force sends it again)".to_owned(),
        state => format!("{state} after {seconds:.1} s"),
    }
}

/// Returns the first rejected rows of a receipt, or of a problem, and how many more there are.
pub fn rejects(receipt: &Value) -> String {
    let mut lines = String::new();
    let rejects = receipt["rejects"].as_array().map(Vec::as_slice).unwrap_or_default();
    for reject in rejects.iter().take(SHOWN_REJECTS) {
        push_reject(&mut lines, reject);
    }
    let shown = rejects.len().min(SHOWN_REJECTS) as u64;
    // The rejects of a known file are those that no replay has sent, and may be fewer than were rejected.
    let rejected = match rejects.len() {
        FIRST_REJECTS => receipt["rejected"].as_u64().unwrap_or_default(),
        all => all as u64,
    };
    if shown > 0 && rejected > shown {
        let _ = writeln!(lines, "  … and {}", counted(rejected - shown, "more rejected row"));
    }
    lines
}

/// Adds a line for each fault of a row; an older server names only the first one.
pub fn push_reject(lines: &mut String, reject: &Value) {
    let faults = reject["faults"].as_array().map_or(std::slice::from_ref(reject), Vec::as_slice);
    for (at, fault) in faults.iter().enumerate() {
        let text = |member: &str| fault[member].as_str().unwrap_or_default();
        let column = Some(text("column")).filter(|column| !column.is_empty()).unwrap_or("the whole row");
        let value: String = text("value").chars().take(SHOWN_CHARACTERS).collect();
        let line = if at == 0 { format!("line {}, ", reject["line"]) } else { "  ".to_owned() };
        // `{:?}` keeps control characters off the terminal.
        let _ = writeln!(lines, "  {line}{column}: {} ({}): {value:?}", advice(text("reason")), text("code"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(receipt: &Value) -> String {
        of_receipt(Path::new("a.csv"), receipt, Duration::from_millis(1250))
    }

    #[test]
    fn a_receipt_lists_its_first_rejected_rows() {
        let fault = |column: &str, code: &str, reason: &str, value: &str| json!({ "column": column, "code": code, "reason": reason, "value": value });
        let mut reject = fault("", "wrong_number_of_fields", "1 field", "a\u{1b}[2J");
        reject["line"] = json!(3);
        reject["faults"] = json!([reject, fault("id", "missing_value", "a value is required", "")]);
        let receipt = json!({
            "upload_id": "u", "state": "visible", "bytes": 2048, "encoding": "UTF-8", "rows": 12_000, "accepted": 11_988, "rejected": 12,
            "rejects": vec![reject; 12], "ignored_columns": ["x"], "links": { "rejects": "/uploads/u/rejects" },
            "later_headers": { "repeated": 2, "repeated_lines": [9, 17], "changes": { "30": "b,a" } },
        });
        let shown = of(&receipt);
        assert!(
            shown.starts_with(
                "a.csv: visible in the aggregates after 1.2 s\n  12,000 rows: 11,988 accepted, 12 rejected\n"
            ),
            "{shown}"
        );
        for line in [
            "  line 3, the whole row: 1 field (wrong_number_of_fields): \"a\\u{1b}[2J\"\n    id: a value is required (missing_value): \"\"\n",
            "  the header is repeated 2 times, first in line 9; skipped\n",
            "  another header in line 30: it applies to the rows after it\n",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        let end = "  … and 2 more rejected rows\n  all rejected rows: roundhouse rejects u\n";
        assert!(shown.ends_with(end), "{shown}");
    }

    #[test]
    fn accepted_rows_add_up_to_new_duplicate_and_conflicting_ones() {
        let receipt = json!({
            "upload_id": "u", "state": "visible", "rows": 12, "accepted": 11, "rejected": 1, "new": 8, "duplicate": 2, "conflict": 1,
        });
        let shown = of(&receipt);
        for line in [
            "  12 rows: 11 accepted, 1 rejected\n",
            "  11 accepted: 8 new, 2 already stored, 1 stored with different values\n",
            "  the stored values were kept; to see both: roundhouse conflicts u\n",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
    }
}
