//! `roundhouse check`: runs the checks of a dataset on a running server.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::{Api, EXIT_INTERRUPTED, Failure, INTERRUPT, answered};
use super::table::{self, shown};
use super::{CommandError, client};
use crate::counted::counted;
use crate::settings::CheckOptions;

/// Exit code: a check has failed.
const EXIT_FAILED: u8 = 1;

/// Rows that are shown of a check that fails, where no other rows are shown.
const FEW_ROWS: u64 = 5;

/// What is printed of each check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// The server's answer.
    Json,
    /// A sentence, and at most as many rows.
    AtMost(u64),
    /// A sentence, and some rows if it has failed.
    OfFailed,
}

/// How many checks ended in which way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) shown: u64,
    pub(super) not_run: u64,
}

pub(super) async fn run(options: CheckOptions) -> Result<ExitCode, CommandError> {
    let api = Api::new(&options.server)?;
    let path = format!("/datasets/{}", percent_encoded(&options.dataset));
    let (_, dataset) = answered(api.get(api.url(&path), "checks").await, options.json)?;
    let checks = selected(&dataset, &options.checks)?;
    let rows = if options.json { Rows::Json } else { Rows::AtMost(options.limit.most()) };
    let tally = tokio::select! {
        tally = run_all(&api, &checks, rows) => tally?,
        () = INTERRUPT.cancelled() => {
            return Err(CommandError { message: Some("interrupted".to_owned()), exit_code: EXIT_INTERRUPTED });
        }
    };
    if !options.json {
        table::print(format_args!("{}\n", in_words(tally)))?;
    }
    Ok(match tally {
        Tally { not_run: 1.., .. } => ExitCode::from(client::EXIT_FAILURE),
        Tally { failed: 1.., .. } => ExitCode::from(EXIT_FAILED),
        _ => ExitCode::SUCCESS,
    })
}

fn percent_encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Returns the checks with these names, or all.
fn selected<'a>(dataset: &'a Value, names: &[String]) -> Result<Vec<&'a Value>, CommandError> {
    let all: Vec<&Value> = dataset["checks"].as_array().into_iter().flatten().collect();
    let known = || all.iter().map(|check| shown(&check["name"])).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|check| check["name"] == name.as_str())) {
        let message = match all.is_empty() {
            true => format!("--check {unknown}: the dataset has no checks"),
            false => format!("--check {unknown}: the dataset has no such check; it has {}", known()),
        };
        return Err(CommandError::usage(message));
    }
    let is_named = |check: &Value| names.iter().any(|name| check["name"] == name.as_str());
    Ok(all.into_iter().filter(|check| names.is_empty() || is_named(check)).collect())
}

/// Runs checks of `GET /datasets/{name}`, and prints what each has found.
pub(super) async fn run_all(api: &Api, checks: &[&Value], rows: Rows) -> Result<Tally, CommandError> {
    let mut tally = Tally::default();
    for check in checks {
        let answer = api.get(api.url(&format!("{}?format=json", shown(&check["path"]))), "check").await;
        let (text, answer) = match answer {
            Ok(answer) => answer,
            Err(Failure::Refused(problem)) if rows == Rows::Json => {
                tally.not_run += 1;
                table::print(format_args!("{problem}\n"))?;
                continue;
            }
            Err(failure @ Failure::Refused(_)) => {
                tally.not_run += 1;
                table::print(format_args!("not run  {}: {failure}\n", shown(&check["name"])))?;
                continue;
            }
            Err(failure) => return Err(failure.into()),
        };
        match answer["check"]["passed"].as_bool() {
            Some(true) => tally.passed += 1,
            Some(false) => tally.failed += 1,
            None => tally.shown += 1,
        }
        match rows {
            Rows::Json => table::print(format_args!("{text}\n"))?,
            Rows::AtMost(most) => print(&answer, most)?,
            Rows::OfFailed if answer["check"]["passed"] == false => print(&answer, FEW_ROWS)?,
            Rows::OfFailed => print(&json!({ "check": answer["check"] }), 0)?,
        }
    }
    Ok(tally)
}

/// Prints one sentence, and the rows of a check that did not pass.
fn print(answer: &Value, most: u64) -> Result<(), CommandError> {
    let check = &answer["check"];
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let state = match check["passed"].as_bool() {
        Some(true) => "passed ",
        Some(false) => "failed ",
        None => "shown  ",
    };
    let expected = match check["expect"].as_str() {
        Some(expected) if check["passed"] == false => {
            format!("; expected: {expected}, found: {}", counted(items.len() as u64, "row"))
        }
        _ => String::new(),
    };
    table::print(format_args!("{state}  {}: {}{expected}\n", shown(&check["name"]), shown(&check["title"])))?;
    if items.is_empty() {
        let is_shown = check["passed"].is_null() && answer["items"].is_array();
        return if is_shown { table::print("no rows\n") } else { Ok(()) };
    }
    let columns: Vec<String> = check["columns"].as_array().into_iter().flatten().map(shown).collect();
    let mut rows = table::new(columns.iter().map(String::as_str));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    for item in items.iter().take(most) {
        rows.add_row(columns.iter().map(|column| shown(&item[column])));
    }
    table::print(format_args!("{rows}\n"))?;
    match items.len() > most {
        true => table::print("More rows exist: use --limit all\n"),
        false => Ok(()),
    }
}

fn in_words(tally: Tally) -> String {
    let Tally { passed, failed, shown, not_run } = tally;
    let mut parts = vec![format!("{} passed", counted(passed, "check")), format!("{failed} failed")];
    parts.extend((shown > 0).then(|| format!("{shown} only show rows")));
    parts.extend((not_run > 0).then(|| format!("{not_run} could not be run")));
    parts.join(", ")
}
