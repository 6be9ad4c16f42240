//! `roundhouse upload`: sends files to a running server, and says what came of each.

mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tokio::fs::File;
use url::Url;

use super::CommandError;
use super::client::progress::Progress;
use super::client::{Api, EXIT_FAILURE, EXIT_INTERRUPTED, Failure, INTERRUPT, file, parsed, problem};
use crate::settings::UploadOptions;

/// Exit code: some rows were rejected.
const EXIT_REJECTS: u8 = 1;

/// What came of one file.
enum Outcome {
    /// Every row was accepted.
    Accepted,
    /// Some rows were rejected.
    Rejects,
    /// It could not be uploaded; another one perhaps can.
    Failed,
    /// The server does not answer: no other file can be uploaded either.
    Away,
}

/// Uploads the files one after the other.
pub(super) async fn run(options: UploadOptions) -> Result<ExitCode, CommandError> {
    let api = Api::new(&options.server)?;
    let mut worst = 0;
    for path in &options.files {
        match upload(&api, &options, path).await? {
            Outcome::Accepted => {}
            Outcome::Rejects => worst = worst.max(EXIT_REJECTS),
            Outcome::Failed => worst = worst.max(EXIT_FAILURE),
            Outcome::Away => return Ok(ExitCode::from(EXIT_FAILURE)),
        }
    }
    Ok(ExitCode::from(worst))
}

/// Uploads one file, and prints what came of it.
///
/// # Errors
/// Ctrl-C was pressed.
async fn upload(api: &Api, options: &UploadOptions, path: &Path) -> Result<Outcome, CommandError> {
    let (opened, bytes) = match file::open(path).await {
        Ok(opened) => opened,
        Err(error) => return Ok(failed(path, &format!("cannot be read: {error}"), Outcome::Failed)),
    };
    let started = Instant::now();
    let progress = Progress::new(path, bytes);
    let sent = tokio::select! {
        sent = send(api, options, path, opened, &progress) => sent,
        // The request is dropped, and its connection with it: the server sees that the file broke off.
        () = INTERRUPT.cancelled() => {
            progress.clear();
            return Err(interrupted(path, &progress));
        }
    };
    progress.clear();
    Ok(match sent {
        Ok((text, receipt)) => accepted(options, path, &text, &receipt, started.elapsed()),
        Err(Failure::Refused(problem)) => refused(options, path, &problem),
        Err(failure) => no_answer(path, &failure, &progress),
    })
}

fn interrupted(file: &Path, progress: &Progress) -> CommandError {
    let message = format!(
        "{}: interrupted after {} bytes. Rows that were sent stay; upload the file again to add the others: \
         no round is counted twice",
        file.display(),
        progress.sent(),
    );
    CommandError { message: Some(message), exit_code: EXIT_INTERRUPTED }
}

/// Sends a file while it is read. Returns the receipt: as it is, and parsed.
async fn send(
    api: &Api,
    options: &UploadOptions,
    path: &Path,
    opened: File,
    progress: &Progress,
) -> Result<(String, Value), Failure> {
    let request = api.request(Method::POST, address(api, options, path));
    let request = request.header("content-type", "text/csv").body(file::body(opened, progress));
    parsed(api.text(request).await?)
}

/// `POST /uploadcsv` with what the options say; a parameter that is not given is left to the server.
fn address(api: &Api, options: &UploadOptions, path: &Path) -> Url {
    let mut url = api.url("/uploadcsv");
    let mut query = url.query_pairs_mut();
    query.append_pair("name", &file::name(path));
    if !options.validate_only {
        query.append_pair("wait", options.wait.parameter());
    }
    let given = [
        ("encoding", options.encoding.as_deref()),
        ("decimal", options.decimal.map(|decimal| decimal.parameter())),
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

fn accepted(options: &UploadOptions, path: &Path, text: &str, receipt: &Value, elapsed: Duration) -> Outcome {
    if options.json {
        println!("{text}");
    } else {
        print!("{}", summary::of_receipt(path, receipt, elapsed, &options.server.server));
    }
    if receipt["rejected"].as_u64() == Some(0) { Outcome::Accepted } else { Outcome::Rejects }
}

fn refused(options: &UploadOptions, path: &Path, answer: &Value) -> Outcome {
    if options.json {
        println!("{answer}");
    }
    failed(path, &problem::in_words(answer), Outcome::Failed)
}

fn no_answer(path: &Path, failure: &Failure, progress: &Progress) -> Outcome {
    if let Some(reason) = progress.failure() {
        return failed(path, &format!("cannot be read on: {reason}"), Outcome::Failed);
    }
    match failure {
        Failure::Broken(cause) => {
            let reason = format!(
                "the connection broke after {} bytes ({cause}): upload the file again, no round is counted twice",
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
