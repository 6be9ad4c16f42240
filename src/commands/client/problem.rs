//! A problem (RFC 9457) in words, for people.

use indicatif::HumanCount;
use serde_json::Value;

/// Parameters of an uploaded or reconciled file, with the options that set them.
pub const FILE_OPTIONS: [(&str, &str); 5] = [
    ("encoding", "--encoding"),
    ("decimal", "--decimal"),
    ("max_rejects", "--max-rejects"),
    ("on_error", "--on-error"),
    ("upload_id", "--upload-id"),
];

/// Makes a problem with a parameter name the option that was given. `options`: parameters with their options.
pub fn in_options(mut problem: Value, options: &[(&str, &str)]) -> Value {
    if let (Some(parameter), Some(detail)) = (problem["parameter"].as_str(), problem["detail"].as_str())
        && let Some((_, option)) = options.iter().find(|(name, _)| *name == parameter)
    {
        let detail = detail.replacen(&format!("parameter {parameter}"), option, 1);
        // Another parameter may be named too, as in "it must be later than date_from".
        let others = options.iter().filter(|(name, _)| name.contains('_'));
        let detail = others.fold(detail, |detail, (name, option)| detail.replace(name, option));
        problem["detail"] = Value::from(detail);
    }
    problem
}

/// Returns the cause of a problem, and what to do about it, in one line.
pub fn in_words(problem: &Value) -> String {
    let code = problem["code"].as_str().unwrap_or("unexpected answer");
    let detail = problem["detail"].as_str().unwrap_or_default().trim();
    let detail: String = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let status = &problem["status"];
    let remedy = match code {
        "unauthorized" => "; give a key with --api-key or ROUNDHOUSE_API_KEY",
        "file_too_large" => "; the server's --max-upload-bytes sets the limit",
        "not_decodable" => "; name the encoding with --encoding",
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
    fn a_problem_is_shown_with_what_to_do() {
        let shown = in_words(&json!({ "status": 401, "code": "unauthorized", "detail": "a key is needed" }));
        assert_eq!(
            shown,
            "401 unauthorized: a key is needed; give a key with --api-key or ROUNDHOUSE_API_KEY"
        );
        let shown = in_words(
            &json!({ "status": 400, "code": "broken_off", "detail": "it broke off", "rows": 3, "accepted": 2 }),
        );
        assert!(shown.contains("3 rows were read and 2 sent"), "{shown}");
    }

    #[test]
    fn a_problem_with_a_parameter_names_the_option() {
        const OPTIONS: [(&str, &str); 3] =
            [("date_from", "--from"), ("date_to", "--to"), ("encoding", "--encoding")];
        let problem = |parameter: &str, detail: &str| json!({ "parameter": parameter, "detail": detail });
        for (parameter, detail, shown) in [
            (
                "date_to",
                "parameter date_to: it must be later than date_from",
                "--to: it must be later than --from",
            ),
            ("encoding", "parameter encoding: no such encoding", "--encoding: no such encoding"),
            ("cursor", "parameter cursor: x", "parameter cursor: x"),
        ] {
            assert_eq!(in_options(problem(parameter, detail), &OPTIONS), problem(parameter, shown));
        }
    }
}
