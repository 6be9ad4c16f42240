//! An answer of the server in words, for people.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use indicatif::{DecimalBytes, HumanCount};
use serde_json::Value;
use url::Url;

/// Rejects that are shown; the others are at the server.
const SHOWN_REJECTS: usize = 10;

/// Characters of a rejected value that are shown.
const SHOWN_CHARACTERS: usize = 60;

/// Returns what came of a file, in a few lines.
pub fn of_receipt(path: &Path, receipt: &Value, elapsed: Duration, server: &Url) -> String {
    let mut lines = String::new();
    let number = |member: &str| receipt[member].as_u64();
    let count = |member: &str| HumanCount(number(member).unwrap_or_default());
    let text = |member: &str| receipt[member].as_str().unwrap_or_default();
    // Writing to a String cannot fail; so below.
    let _ = writeln!(lines, "{}: {}", path.display(), state(receipt, elapsed));
    let _ = write!(
        lines,
        "  {} rows: {} accepted, {} rejected",
        count("rows"),
        count("accepted"),
        count("rejected")
    );
    if number("new").is_some() {
        let _ = write!(
            lines,
            "; {} new, {} here before, {} in conflict with what is stored",
            count("new"),
            count("duplicate"),
            count("conflict")
        );
    }
    let bytes = DecimalBytes(number("bytes").unwrap_or_default());
    let _ = writeln!(lines, "\n  {bytes} of {}", text("encoding"));
    if let Some(ignored) = receipt["ignored_columns"].as_array().filter(|names| !names.is_empty()) {
        let names: Vec<&str> = ignored.iter().filter_map(Value::as_str).collect();
        let _ = writeln!(lines, "  columns that are not ours: {}", names.join(", "));
    }
    if !text("upload_id").is_empty() {
        let _ = writeln!(lines, "  upload {}", text("upload_id"));
    }
    push_rejects(&mut lines, receipt, server);
    lines
}

fn state(receipt: &Value, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    match receipt["state"].as_str().unwrap_or("done") {
        "visible" => format!("visible in the aggregates after {seconds:.1} s"),
        "acknowledged" => format!("acknowledged after {seconds:.1} s; the aggregates follow"),
        "validated" => "checked only: nothing was sent".to_owned(),
        "duplicate" => "uploaded before: nothing was sent again (--force sends it)".to_owned(),
        state => format!("{state} after {seconds:.1} s"),
    }
}

fn push_rejects(lines: &mut String, receipt: &Value, server: &Url) {
    let rejects = receipt["rejects"].as_array().map(Vec::as_slice).unwrap_or_default();
    for reject in rejects.iter().take(SHOWN_REJECTS) {
        let text = |member: &str| reject[member].as_str().unwrap_or_default();
        let column = Some(text("column")).filter(|column| !column.is_empty()).unwrap_or("the whole line");
        let value: String = text("value").chars().take(SHOWN_CHARACTERS).collect();
        // `{:?}` keeps control characters off the terminal.
        let _ = writeln!(
            lines,
            "  line {}, {column}: {} ({}): {value:?}",
            reject["line"],
            text("reason"),
            text("code")
        );
    }
    let shown = rejects.len().min(SHOWN_REJECTS) as u64;
    let rejected = receipt["rejected"].as_u64().unwrap_or_default();
    if shown > 0 && rejected > shown {
        let _ = writeln!(lines, "  … and {} more", HumanCount(rejected - shown));
    }
    if let Some(link) = receipt["links"]["rejects"].as_str().filter(|_| rejected > 0)
        && let Ok(url) = server.join(link)
    {
        let _ = writeln!(lines, "  all of them: {url}");
    }
}

/// Returns what a problem says, and what to do about it, in one line.
pub fn of_problem(problem: &Value) -> String {
    let code = problem["code"].as_str().unwrap_or("no problem of ours");
    let detail = problem["detail"].as_str().unwrap_or_default().trim();
    let detail: String = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let status = &problem["status"];
    let remedy = match code {
        "unauthorized" => "; give a key with --api-key or ROUNDHOUSE_API_KEY",
        "file_too_large" => "; the server's --max-upload-bytes sets the limit",
        "not_decodable" => "; --encoding says it",
        "line_too_long" => "; the server's --max-line-bytes sets the limit",
        _ => "",
    };
    let progress = match (problem["rows"].as_u64(), problem["accepted"].as_u64()) {
        (Some(rows), Some(accepted)) if rows > 0 => {
            format!(
                ". {} rows were read and {} sent; uploading the file again counts none twice",
                HumanCount(rows),
                HumanCount(accepted)
            )
        }
        _ => String::new(),
    };
    format!("{status} {code}: {detail}{remedy}{progress}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(receipt: &Value) -> String {
        let server = Url::parse("http://127.0.0.1:8000").unwrap();
        of_receipt(Path::new("a.csv"), receipt, Duration::from_millis(1250), &server)
    }

    #[test]
    fn a_receipt_is_told_with_its_first_rejects() {
        let reject = json!({ "line": 3, "column": "", "code": "wrong_number_of_fields", "reason": "1 field", "value": "a\u{1b}[2J" });
        let receipt = json!({
            "upload_id": "u", "state": "visible", "bytes": 2048, "encoding": "UTF-8", "rows": 12_000, "accepted": 11_988, "rejected": 12,
            "rejects": vec![reject; 12], "ignored_columns": ["x"], "links": { "rejects": "/uploads/u/rejects" },
        });
        let told = of(&receipt);
        assert!(
            told.starts_with(
                "a.csv: visible in the aggregates after 1.2 s\n  12,000 rows: 11,988 accepted, 12 rejected\n"
            ),
            "{told}"
        );
        assert!(
            told.contains("  line 3, the whole line: 1 field (wrong_number_of_fields): \"a\\u{1b}[2J\"\n"),
            "{told}"
        );
        assert!(
            told.ends_with("  … and 2 more\n  all of them: http://127.0.0.1:8000/uploads/u/rejects\n"),
            "{told}"
        );
    }

    #[test]
    fn a_problem_is_told_with_what_to_do() {
        let told = of_problem(&json!({ "status": 401, "code": "unauthorized", "detail": "a key is needed" }));
        assert_eq!(
            told,
            "401 unauthorized: a key is needed; give a key with --api-key or ROUNDHOUSE_API_KEY"
        );
        let told = of_problem(
            &json!({ "status": 400, "code": "broken_off", "detail": "it broke off", "rows": 3, "accepted": 2 }),
        );
        assert!(told.contains("3 rows were read and 2 sent"), "{told}");
    }
}
