//! `roundhouse upload`: sends files to a running server, and reports the result of each.

pub(super) mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::CommandError;
use super::client::file::{self, Source};
use super::client::progress::Progress;
use super::client::{Api, EXIT_FAILURE, EXIT_INTERRUPTED, Failure, INTERRUPT, problem};
use super::table;
use crate::counted::counted;
use crate::settings::UploadOptions;

/// Exit code: some rows were rejected, or are stored with other values than the file has.
const EXIT_NOT_STORED: u8 = 1;

/// The result of one file.
enum Outcome {
    /// Every row was accepted, and none conflicts with a stored round.
    Stored,
    /// Some rows were rejected, or conflict with stored rounds.
    NotStored,
    /// The file could not be uploaded. Another file may succeed.
    Failed,
    /// The server does not answer. No other file can be uploaded either.
    Away,
}

/// Uploads the files one after the other.
pub(super) async fn run(options: UploadOptions) -> Result<ExitCode, CommandError> {
    if options.name.is_some() && options.files.len() > 1 {
        return Err(CommandError::usage("--name is the name of one file; upload the files one by one"));
    }
    let api = Api::new(&options.server)?;
    let mut worst = 0;
    for path in &options.files {
        match upload(&api, &options, path).await? {
            Outcome::Stored => {}
            Outcome::NotStored => worst = worst.max(EXIT_NOT_STORED),
            Outcome::Failed => worst = worst.max(EXIT_FAILURE),
            Outcome::Away => return Ok(ExitCode::from(EXIT_FAILURE)),
        }
    }
    Ok(ExitCode::from(worst))
}

/// Uploads one file, and prints the result.
///
/// # Errors
/// Ctrl-C was pressed, or nobody reads standard output any more.
async fn upload(api: &Api, options: &UploadOptions, path: &Path) -> Result<Outcome, CommandError> {
    let opened = file::open(path).await;
    let given = path;
    let path = &file::label(given);
    let source = match opened {
        Ok(source) => source,
        Err(error) => return Ok(failed(path, &format!("cannot be read: {error}"), Outcome::Failed)),
    };
    let started = Instant::now();
    let progress = source.progress(path);
    let name = options.name.clone().unwrap_or_else(|| source.name(given));
    let sent = tokio::select! {
        sent = send(api, options, &name, source, &progress) => sent,
        // This drops the request and its connection, so the server sees that the file broke off.
        () = INTERRUPT.cancelled() => {
            progress.clear();
            return Err(interrupted(path, &progress));
        }
    };
    progress.clear();
    match sent {
        Ok((text, receipt)) => accepted(options, path, &text, &receipt, started.elapsed()),
        Err(Failure::Refused(problem)) => refused(options, path, &problem),
        Err(failure) => Ok(no_answer(path, &failure, &progress)),
    }
}

fn interrupted(file: &Path, progress: &Progress) -> CommandError {
    let message = format!(
        "{}: interrupted after {}. Rows already sent stay; upload the file again to add the others, no round is \
         counted twice",
        file.display(),
        counted(progress.sent(), "byte"),
    );
    CommandError { message: Some(message), exit_code: EXIT_INTERRUPTED }
}

/// Sends a file while it is read. Returns the text of the receipt, and the parsed value.
async fn send(
    api: &Api,
    options: &UploadOptions,
    name: &str,
    source: Source,
    progress: &Progress,
) -> Result<(String, Value), Failure> {
    let request = api.request(Method::POST, address(api, options, name));
    api.answer_to_file(source.send(request, progress), "state").await
}

/// Returns the URL of the upload. A parameter whose option is not given is left to the server.
fn address(api: &Api, options: &UploadOptions, name: &str) -> Url {
    let mut url = api.url("/uploadcsv");
    let mut query = url.query_pairs_mut();
    query.append_pair("name", name);
    if !options.validate_only {
        query.append_pair("wait", options.wait.parameter());
    }
    let given = [
        ("encoding", options.encoding.as_deref()),
        ("decimal", options.decimal.map(|decimal| decimal.parameter())),
        ("columns", options.columns.as_deref()),
        ("timezone", options.timezone.as_deref()),
        ("force", options.force.then_some("true")),
        ("validate_only", options.validate_only.then_some("true")),
        ("max_rejects", options.max_rejects.as_deref()),
        ("on_error", options.on_error.map(|on_error| on_error.parameter())),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    drop(query);
    url
}

fn accepted(
    options: &UploadOptions,
    path: &Path,
    text: &str,
    receipt: &Value,
    elapsed: Duration,
) -> Result<Outcome, CommandError> {
    if options.json {
        table::print(format_args!("{text}\n"))?;
    } else {
        table::print(summary::of_receipt(path, receipt, elapsed))?;
    }
    if receipt["state"] == "failed" {
        let reason = receipt["failure"]["reason"].as_str().unwrap_or("the server gave no reason");
        return Ok(failed(path, &problem::advice(reason), Outcome::Failed));
    }
    let is_zero = |member: &str| receipt[member].as_u64().unwrap_or_default() == 0;
    let is_accepted = is_zero("rejected") || summary::are_replayed(receipt);
    Ok(if is_accepted && is_zero("conflict") { Outcome::Stored } else { Outcome::NotStored })
}

fn refused(options: &UploadOptions, path: &Path, answer: &Value) -> Result<Outcome, CommandError> {
    if options.json {
        table::print(format_args!("{answer}\n"))?;
    } else if answer["code"] == "too_many_rejects" {
        table::print(summary::rejects(answer))?;
    }
    Ok(failed(path, &problem::in_words(answer), Outcome::Failed))
}

fn no_answer(path: &Path, failure: &Failure, progress: &Progress) -> Outcome {
    if let Some(reason) = progress.failure() {
        return failed(path, &format!("cannot be read further: {reason}"), Outcome::Failed);
    }
    match failure {
        Failure::Broken(cause) => {
            let reason = format!(
                "the connection broke after {} ({cause}); upload the file again, no round is counted twice",
                counted(progress.sent(), "byte"),
            );
            failed(path, &reason, Outcome::Failed)
        }
        failure => failed(path, &failure.to_string(), Outcome::Away),
    }
}

fn failed(path: &Path, reason: &str, outcome: Outcome) -> Outcome {
    table::print_error(format_args!("{}: {reason}", path.display()));
    outcome
}
