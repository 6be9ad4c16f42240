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
use super::client::{Api, EXIT_FAILURE, EXIT_INTERRUPTED, Failure, INTERRUPT, parsed, problem};
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
/// Ctrl-C was pressed.
async fn upload(api: &Api, options: &UploadOptions, path: &Path) -> Result<Outcome, CommandError> {
    let source = match file::open(path).await {
        Ok(source) => source,
        Err(error) => return Ok(failed(path, &format!("cannot be read: {error}"), Outcome::Failed)),
    };
    let started = Instant::now();
    let progress = Progress::new(path, &source);
    let sent = tokio::select! {
        sent = send(api, options, path, source, &progress) => sent,
        // This drops the request and its connection, so the server sees that the file broke off.
        () = INTERRUPT.cancelled() => {
            progress.clear();
            return Err(interrupted(path, &progress));
        }
    };
    progress.clear();
    Ok(match sent {
        Ok((text, receipt)) => accepted(api, options, path, &text, &receipt, started.elapsed()),
        Err(Failure::Refused(problem)) => refused(options, path, &problem),
        Err(failure) => no_answer(path, &failure, &progress),
    })
}

fn interrupted(file: &Path, progress: &Progress) -> CommandError {
    let message = format!(
        "{}: interrupted after {} bytes. Rows already sent stay; upload the file again to add the others, no round is \
         counted twice",
        file.display(),
        progress.sent(),
    );
    CommandError { message: Some(message), exit_code: EXIT_INTERRUPTED }
}

/// Sends a file while it is read. Returns the text of the receipt, and the parsed value.
async fn send(
    api: &Api,
    options: &UploadOptions,
    path: &Path,
    source: Source,
    progress: &Progress,
) -> Result<(String, Value), Failure> {
    let request = api.request(Method::POST, address(api, options, &source.name(path)));
    parsed(api.text(source.send(request, progress)).await?)
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
    api: &Api,
    options: &UploadOptions,
    path: &Path,
    text: &str,
    receipt: &Value,
    elapsed: Duration,
) -> Outcome {
    if options.json {
        println!("{text}");
    } else {
        let rejects = receipt["links"]["rejects"].as_str().map(|link| api.shown(link));
        print!("{}", summary::of_receipt(path, receipt, elapsed, rejects.as_deref()));
    }
    if receipt["state"] == "failed" {
        let reason = receipt["failure"]["reason"].as_str().unwrap_or("the server gave no reason");
        return failed(path, reason, Outcome::Failed);
    }
    let is_zero = |member: &str| receipt[member].as_u64().unwrap_or_default() == 0;
    if is_zero("rejected") && is_zero("conflict") { Outcome::Stored } else { Outcome::NotStored }
}

fn refused(options: &UploadOptions, path: &Path, answer: &Value) -> Outcome {
    if options.json {
        println!("{answer}");
    }
    let answer = problem::in_options(answer.clone(), &problem::FILE_OPTIONS);
    failed(path, &problem::in_words(&answer), Outcome::Failed)
}

fn no_answer(path: &Path, failure: &Failure, progress: &Progress) -> Outcome {
    if let Some(reason) = progress.failure() {
        return failed(path, &format!("cannot be read further: {reason}"), Outcome::Failed);
    }
    match failure {
        Failure::Broken(cause) => {
            let reason = format!(
                "the connection broke after {} bytes ({cause}); upload the file again, no round is counted twice",
                progress.sent(),
            );
            failed(path, &reason, Outcome::Failed)
        }
        failure => failed(path, &failure.to_string(), Outcome::Away),
    }
}

fn failed(path: &Path, reason: &str, outcome: Outcome) -> Outcome {
    eprintln!("roundhouse: {}: {reason}", path.display());
    outcome
}
