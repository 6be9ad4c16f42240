//! A problem (RFC 9457) in words, for people.

use indicatif::HumanCount;
use serde_json::Value;

/// Returns what a problem says, and what to do about it, in one line.
pub fn in_words(problem: &Value) -> String {
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

    #[test]
    fn a_problem_is_told_with_what_to_do() {
        let told = in_words(&json!({ "status": 401, "code": "unauthorized", "detail": "a key is needed" }));
        assert_eq!(
            told,
            "401 unauthorized: a key is needed; give a key with --api-key or ROUNDHOUSE_API_KEY"
        );
        let told = in_words(
            &json!({ "status": 400, "code": "broken_off", "detail": "it broke off", "rows": 3, "accepted": 2 }),
        );
        assert!(told.contains("3 rows were read and 2 sent"), "{told}");
    }
}
