//! A problem (RFC 9457) in words, for people at a terminal. It names options and commands instead of parameters and requests.

use serde_json::Value;

use crate::counted::counted;
use crate::dataset::endpoint::path::RESERVED;

/// Parameters of the API, with the options that set them.
const OPTIONS: [(&str, &str); 23] = [
    ("name", "--name"),
    ("encoding", "--encoding"),
    ("decimal", "--decimal"),
    ("columns", "--columns"),
    ("timezone", "--timezone"),
    ("on_error", "--on-error"),
    ("max_rejects", "--max-rejects"),
    ("force", "--force"),
    ("validate_only", "--validate-only"),
    ("wait", "--wait"),
    ("upload_id", "--upload-id"),
    ("prefer", "--prefer"),
    ("remove", "--remove-unexpected"),
    ("preview", "--dry-run"),
    ("code", "--code"),
    ("replayed", "--replayed"),
    ("player_id", "--player"),
    ("game_id", "--game"),
    ("date_from", "--from"),
    ("date_to", "--to"),
    ("sort", "--sort"),
    ("limit", "--limit"),
    ("format", "--format"),
];

/// Texts of the server, with what helps at a terminal.
const COMMANDS: [(&str, &str); 3] = [
    ("GET /uploads", "`roundhouse uploads`"),
    ("GET /reconcile", "the server's page /reconcile"),
    // How to write an offset in a query.
    (" (in a URL: %2B02:00)", ""),
];

/// Lists of the rows of an upload, by the last part of their path.
const ROWS_OF_UPLOAD: [&str; 2] = ["rejects", "conflicts"];

/// Returns the cause of a problem, and what to do about it, in one line.
pub fn in_words(problem: &Value) -> String {
    let code = problem["code"].as_str().unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or_default().trim();
    let detail: String = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Only these name parameters in plain text. Others name columns, which are called alike.
    let names_parameters =
        matches!(code, "invalid_parameter" | "query_too_large") && problem["parameter"] != "columns";
    let detail = match endpoint_parameter(problem) {
        Some(name) => detail.replacen(&format!("parameter {name}"), &format!("--{name}"), 1),
        None => translated(&detail, names_parameters),
    };
    let status = &problem["status"];
    let remedy = match code {
        "unauthorized" => "; give a key with --api-key or ROUNDHOUSE_API_KEY",
        "file_too_large" => "; the server's --max-upload-bytes sets the limit",
        "line_too_long" => "; the server's --max-line-bytes sets the limit",
        "no_such_path" => {
            "; check the path of --server, and whether the server has the version of this command"
        }
        _ => "",
    };
    let progress = match (problem["rows"].as_u64(), problem["accepted"].as_u64()) {
        (Some(rows), Some(accepted)) if rows > 0 => {
            let (read, sent) = (counted(rows, "row"), counted(accepted, "row"));
            format!(". {read} read, {sent} sent; if you upload the file again, no row is counted twice")
        }
        _ => String::new(),
    };
    format!("{status} {code}: {detail}{remedy}{progress}")
}

/// Returns the parameter that a problem of an endpoint names: every parameter of an endpoint is an option of `query`.
fn endpoint_parameter(problem: &Value) -> Option<&str> {
    let path = problem["instance"].as_str()?.strip_prefix("/datasets/")?;
    let (_, endpoint) = path.split_once('/')?;
    let is_endpoint = !endpoint.contains('/') && !RESERVED.contains(&endpoint);
    problem["parameter"].as_str().filter(|_| is_endpoint)
}

/// Returns a text of the server with options instead of parameters, and commands instead of requests.
pub fn advice(text: &str) -> String {
    translated(text, false)
}

/// `names_parameters`: a word that is the name of a parameter is that parameter.
fn translated(text: &str, names_parameters: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let found = command(rest).or_else(|| match out.ends_with(is_of_word) {
            true => None,
            false => option(rest, names_parameters),
        });
        let (length, shown) = found.unwrap_or_else(|| (first.len_utf8(), first.to_string()));
        out += &shown;
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

/// Returns the length of a request at the start of a text, and the command that does the same.
fn command(text: &str) -> Option<(usize, String)> {
    let path = text.strip_prefix("GET ").unwrap_or(text);
    let before = text.len() - path.len();
    let ids = path.strip_prefix("/uploads/").and_then(|path| path.split_once('/'));
    if let Some((id, list)) = ids
        && let Some(list) = ROWS_OF_UPLOAD.iter().find(|name| word(list) == **name)
    {
        let length = before + "/uploads/".len() + id.len() + 1 + list.len();
        return Some((length, format!("`roundhouse {list} {id}`")));
    }
    let job = path.strip_prefix("/reconcile/").and_then(|path| path.split_once('/'));
    if let Some((id, list)) = job
        && word(list) == "differences"
    {
        let length = before + "/reconcile/".len() + id.len() + 1 + "differences".len();
        return Some((length, "--differences all".to_owned()));
    }
    let (request, shown) = COMMANDS.iter().find(|(request, _)| text.starts_with(request))?;
    Some((request.len(), (*shown).to_owned()))
}

/// Returns the length of a parameter at the start of a text, and its option: of `parameter decimal`, `decimal=comma`, or, if
/// `names_parameters`, `date_from`.
fn option(text: &str, names_parameters: bool) -> Option<(usize, String)> {
    let name_of = |name: &str| OPTIONS.iter().find(|(known, _)| *known == name);
    if let Some((name, option)) = text.strip_prefix("parameter ").and_then(|text| name_of(word(text))) {
        return Some(("parameter ".len() + name.len(), (*option).to_owned()));
    }
    let (name, option) = name_of(word(text))?;
    let Some(value) = text.get(name.len()..)?.strip_prefix('=') else {
        let is_parameter = names_parameters && name.contains('_');
        return is_parameter.then(|| (name.len(), (*option).to_owned()));
    };
    let value = value.split([' ', ';', ')', '`', '&']).next().unwrap_or_default();
    let whole = name.len() + 1;
    Some(match value {
        "" => (whole, (*option).to_owned()),
        // The option of these has no value.
        "true" | "unexpected" => (whole + value.len(), (*option).to_owned()),
        _ => (whole, format!("{option} ")),
    })
}

/// Returns the word at the start of a text.
fn word(text: &str) -> &str {
    text.split(|c| !is_of_word(c)).next().unwrap_or_default()
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::CommandFactory;
    use serde_json::json;
    use utoipa::IntoParams;

    use super::*;
    use crate::http::aggregates::request::{AggregatesQuery, Filters};
    use crate::http::download::ListQuery;
    use crate::http::newest::Newest;
    use crate::http::reconcile::ReconcileQuery;
    use crate::http::rejects::{RejectsQuery, ReplayQuery};
    use crate::http::repair::RepairQuery;
    use crate::http::upload::UploadQuery;
    use crate::settings::Cli;

    #[test]
    fn a_parameter_of_an_endpoint_is_an_option_of_the_same_name() {
        let problem = |instance: &str| {
            json!({
                "status": 400, "code": "invalid_parameter", "parameter": "game_id", "instance": instance,
                "detail": "parameter game_id: it must be text",
            })
        };
        let shown = "400 invalid_parameter: --game_id: it must be text";
        assert_eq!(in_words(&problem("/datasets/prices/ohlc")), shown);
        assert_eq!(in_words(&problem("/aggregates")), shown.replace("game_id", "game"));
        assert_eq!(in_words(&problem("/datasets/prices/uploads")), shown.replace("game_id", "game"));
    }

    #[test]
    fn a_problem_is_shown_with_what_to_do() {
        let shown = in_words(&json!({ "status": 401, "code": "unauthorized", "detail": "a key is needed" }));
        assert_eq!(
            shown,
            "401 unauthorized: a key is needed; give a key with --api-key or ROUNDHOUSE_API_KEY"
        );
        let shown = in_words(
            &json!({ "status": 400, "code": "broken_off", "detail": "it broke off", "rows": 3, "accepted": 1 }),
        );
        assert!(shown.contains("3 rows read, 1 row sent"), "{shown}");
    }

    #[test]
    fn options_and_commands_are_named_instead_of_parameters_and_requests() {
        for (code, parameter, detail, shown) in [
            (
                "invalid_parameter",
                "date_to",
                "parameter date_to: it must be later than date_from",
                "--to: it must be later than --from",
            ),
            ("invalid_parameter", "cursor", "parameter cursor: x", "parameter cursor: x"),
            (
                "invalid_parameter",
                "columns",
                "parameter columns: the columns are game_id, x",
                "--columns: the columns are game_id, x",
            ),
            (
                "invalid_parameter",
                "timezone",
                "parameter timezone: +02:00 (in a URL: %2B02:00)",
                "--timezone: +02:00",
            ),
            (
                "query_too_large",
                "",
                "narrow it by player_id, date_from or date_to",
                "narrow it by --player, --from or --to",
            ),
            (
                "missing_column",
                "",
                "the header lacks game_id; map it with columns=COLUMN:NAME,…",
                "the header lacks game_id; map it with --columns COLUMN:NAME,…",
            ),
            (
                "decimal_comma",
                "",
                "send it with decimal=comma, or (force=true) again",
                "send it with --decimal comma, or (--force) again",
            ),
            ("not_decodable", "", "name its encoding with encoding=", "name its encoding with --encoding"),
            (
                "no_such_upload",
                "",
                "no upload; GET /uploads lists them",
                "no upload; `roundhouse uploads` lists them",
            ),
            ("x", "", "see /uploads/0-1/rejects", "see `roundhouse rejects 0-1`"),
            ("x", "", "with GET /reconcile/0-1/differences instead", "with --differences all instead"),
            ("x", "", "my_decimal=comma é=force", "my_decimal=comma é=force"),
        ] {
            let problem = json!({ "status": 400, "code": code, "parameter": parameter, "detail": detail });
            assert_eq!(in_words(&problem), format!("400 {code}: {shown}"));
        }
    }

    /// Parameters that no option sets.
    const WITHOUT_OPTION: [&str; 3] = ["cursor", "skip", "escape_formulas"];

    #[test]
    fn every_parameter_of_a_request_that_a_command_sends_has_an_option_of_that_command() {
        fn names<Q: IntoParams>() -> Vec<String> {
            Q::into_params(|| None).into_iter().map(|parameter| parameter.name).collect()
        }
        let requests = [
            ("upload", names::<UploadQuery>()),
            ("uploads", names::<Newest>()),
            ("rejects", names::<RejectsQuery>()),
            ("conflicts", names::<ListQuery>()),
            ("dlq replay", names::<ReplayQuery>()),
            ("aggregates", names::<AggregatesQuery>()),
            ("aggregates", names::<Filters>()),
            ("reconcile", names::<ReconcileQuery>()),
            ("reconcile", names::<RepairQuery>()),
        ];
        let root = Cli::command();
        let mut seen = BTreeSet::new();
        for (command, parameters) in requests {
            let found = command.split(' ').try_fold(&root, |root, name| root.find_subcommand(name)).unwrap();
            for parameter in parameters {
                if WITHOUT_OPTION.contains(&parameter.as_str()) {
                    continue;
                }
                let (name, option) = OPTIONS
                    .iter()
                    .find(|(name, _)| *name == parameter)
                    .unwrap_or_else(|| panic!("{command}: parameter {parameter} has no option here"));
                let long = option.strip_prefix("--");
                assert!(found.get_arguments().any(|arg| arg.get_long() == long), "{command} has no {option}");
                seen.insert(*name);
            }
        }
        let known: BTreeSet<_> = OPTIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(seen, known);
    }

    #[test]
    fn no_request_that_a_text_of_the_server_advises_is_left_for_a_person_at_a_terminal() {
        let mut found = 0;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for folder in ["http", "ingest", "reconcile", "warehouse"] {
            found += advised(&source.join(folder), &mut |request| {
                let shown = advice(request);
                assert!(!shown.contains("GET /"), "{request}: {shown}");
            });
        }
        assert!(found >= 4, "{found}");
    }

    /// Calls `check` with each request in the texts of a folder's source. Returns their number.
    fn advised(folder: &Path, check: &mut impl FnMut(&str)) -> usize {
        let mut found = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found += advised(&path, check);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for (at, _) in line.match_indices("GET /") {
                    check(line.get(at..).unwrap().split(['"', '`']).next().unwrap());
                    found += 1;
                }
            }
        }
        found
    }
}
