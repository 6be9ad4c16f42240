//! A receipt in words, for people.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};
use serde_json::Value;

/// Rejected rows that are shown; the server has all of them.
const SHOWN_REJECTS: usize = 10;

/// Characters of a rejected value that are shown.
const SHOWN_CHARACTERS: usize = 60;

/// Returns the result of an upload in a few lines. The counts of a line add up to its first number. `rejects`: where all rejected
/// rows are.
pub fn of_receipt(path: &Path, receipt: &Value, elapsed: Duration, rejects: Option<&str>) -> String {
    let mut lines = String::new();
    let number = |member: &str| receipt[member].as_u64();
    let count = |member: &str| HumanCount(number(member).unwrap_or_default());
    let text = |member: &str| receipt[member].as_str().unwrap_or_default();
    // Writing to a String cannot fail; so below.
    let _ = writeln!(lines, "{}: {}", path.display(), state(receipt, elapsed));
    let _ = writeln!(
        lines,
        "  {} rows: {} accepted, {} rejected",
        count("rows"),
        count("accepted"),
        count("rejected")
    );
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
        let _ = writeln!(
            lines,
            "  the stored values were kept; to see both: roundhouse conflicts {}",
            text("upload_id")
        );
    }
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
    push_rejects(&mut lines, receipt, rejects);
    lines
}

/// Names the lines of further headers, which a file has if several files were joined.
fn push_later_headers(lines: &mut String, later: &Value) {
    if let Some(repeated) = later["repeated"].as_u64().filter(|repeated| *repeated > 0) {
        let first = &later["repeated_lines"][0];
        let _ = writeln!(
            lines,
            "  the header is repeated {} times, first in line {first}; skipped",
            HumanCount(repeated)
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

fn push_rejects(lines: &mut String, receipt: &Value, all: Option<&str>) {
    let rejects = receipt["rejects"].as_array().map(Vec::as_slice).unwrap_or_default();
    for reject in rejects.iter().take(SHOWN_REJECTS) {
        push_reject(lines, reject);
    }
    let shown = rejects.len().min(SHOWN_REJECTS) as u64;
    let rejected = receipt["rejected"].as_u64().unwrap_or_default();
    if shown > 0 && rejected > shown {
        let _ = writeln!(lines, "  … and {} more rejected rows", HumanCount(rejected - shown));
    }
    if let Some(url) = all.filter(|_| rejected > 0) {
        let _ = writeln!(lines, "  all rejected rows: {url}");
    }
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
        let _ = writeln!(lines, "  {line}{column}: {} ({}): {value:?}", text("reason"), text("code"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(receipt: &Value) -> String {
        let rejects = Some("http://127.0.0.1:8000/uploads/u/rejects");
        of_receipt(Path::new("a.csv"), receipt, Duration::from_millis(1250), rejects)
    }

    #[test]
    fn a_receipt_lists_its_first_rejected_rows() {
        let fault = |column: &str, code: &str, reason: &str, value: &str| json!({ "column": column, "code": code, "reason": reason, "value": value });
        let mut reject = fault("", "wrong_number_of_fields", "1 field", "a\u{1b}[2J");
        reject["line"] = json!(3);
        reject["faults"] = json!([reject, fault("id", "missing_value", "a value is required", "")]);
        let receipt = json!({
            "upload_id": "u", "state": "visible", "bytes": 2048, "encoding": "UTF-8", "rows": 12_000, "accepted": 11_988, "rejected": 12,
            "rejects": vec![reject; 12], "ignored_columns": ["x"],
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
        let end =
            "  … and 2 more rejected rows\n  all rejected rows: http://127.0.0.1:8000/uploads/u/rejects\n";
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
