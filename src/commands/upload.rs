//! `roundhouse upload`: sends files to a running server, and says what came of each.

mod progress;
mod summary;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use reqwest::{Body, Client};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use url::Url;

use self::progress::Progress;
use super::CommandError;
use crate::settings::UploadOptions;

/// Bytes of a file that are read, and sent, at once.
const PIECE_BYTES: usize = 256 << 10;

/// How long the server may take to accept a connection. An answer may take as long as the file does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Exit codes: some rows were rejected; a file could not be uploaded; Ctrl-C, as shells have it.
const EXIT_REJECTS: u8 = 1;
const EXIT_FAILURE: u8 = 2;
const EXIT_INTERRUPTED: u8 = 130;

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
    let client = Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(|error| CommandError { message: Some(error.to_string()), exit_code: EXIT_FAILURE })?;
    let mut worst = 0;
    for path in &options.files {
        match upload(&client, &options, path).await? {
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
async fn upload(client: &Client, options: &UploadOptions, path: &Path) -> Result<Outcome, CommandError> {
    let (file, bytes) = match open(path).await {
        Ok(opened) => opened,
        Err(error) => return Ok(failed(path, &format!("cannot be read: {error}"), Outcome::Failed)),
    };
    let started = Instant::now();
    let progress = Progress::new(path, bytes);
    let sent = tokio::select! {
        sent = send(client, options, path, file, &progress) => sent,
        // The request is dropped, and its connection with it: the server sees that the file broke off.
        _ = tokio::signal::ctrl_c() => {
            progress.clear();
            return Err(interrupted(path, &progress));
        }
    };
    progress.clear();
    Ok(match sent {
        Ok((true, receipt)) => accepted(options, path, &receipt, started.elapsed()),
        Ok((false, problem)) => refused(options, path, &problem),
        Err(error) => no_answer(options, path, &error, &progress),
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

/// Sends a file while it is read. Returns whether the answer is a receipt, and its JSON.
async fn send(
    client: &Client,
    options: &UploadOptions,
    path: &Path,
    file: File,
    progress: &Progress,
) -> reqwest::Result<(bool, Value)> {
    let (adding, failing) = (progress.clone(), progress.clone());
    let body = ReaderStream::with_capacity(file, PIECE_BYTES)
        .inspect_ok(move |piece| adding.add(piece))
        .inspect_err(move |error| failing.fail(error.to_string()))
        .chain(progress.end_of_file());
    let mut request =
        client.post(address(options, path)).header("content-type", "text/csv").body(Body::wrap_stream(body));
    if let Some(key) = &options.api_key {
        request = request.bearer_auth(key.expose());
    }
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    // Something between us and the server may answer in another form.
    let body =
        serde_json::from_str(&text).unwrap_or_else(|_| json!({ "status": status.as_u16(), "detail": text }));
    Ok((status.is_success(), body))
}

/// Opens a file that has a length.
async fn open(path: &Path) -> std::io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if metadata.is_dir() {
        return Err(std::io::Error::from(std::io::ErrorKind::IsADirectory));
    }
    Ok((file, metadata.len()))
}

/// `POST /uploadcsv` with what the options say; a parameter that is not given is left to the server.
fn address(options: &UploadOptions, path: &Path) -> Url {
    let mut url = options.server.clone();
    url.set_path(&format!("{}/uploadcsv", options.server.path().trim_end_matches('/')));
    let mut query = url.query_pairs_mut();
    query.clear();
    query.append_pair("name", &path.file_name().unwrap_or_default().to_string_lossy());
    if !options.validate_only {
        query.append_pair("wait", options.wait.parameter());
    }
    let given = [
        ("encoding", options.encoding.as_deref()),
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

fn accepted(options: &UploadOptions, path: &Path, receipt: &Value, elapsed: Duration) -> Outcome {
    if options.json {
        println!("{receipt}");
    } else {
        print!("{}", summary::of_receipt(path, receipt, elapsed, &options.server));
    }
    if receipt["rejected"].as_u64() == Some(0) { Outcome::Accepted } else { Outcome::Rejects }
}

fn refused(options: &UploadOptions, path: &Path, problem: &Value) -> Outcome {
    if options.json {
        println!("{problem}");
    }
    failed(path, &summary::of_problem(problem), Outcome::Failed)
}

fn no_answer(options: &UploadOptions, path: &Path, error: &reqwest::Error, progress: &Progress) -> Outcome {
    if let Some(reason) = progress.failure() {
        return failed(path, &format!("cannot be read on: {reason}"), Outcome::Failed);
    }
    let server = options.server.as_str().trim_end_matches('/');
    if error.is_connect() || error.is_timeout() {
        let reason = format!(
            "no server answers at {server}: start it with `roundhouse serve`, or name it with --server"
        );
        return failed(path, &reason, Outcome::Away);
    }
    let reason = format!(
        "the connection to {server} broke after {} bytes ({}): upload the file again, no round is counted twice",
        progress.sent(),
        innermost(error),
    );
    failed(path, &reason, Outcome::Failed)
}

/// The cause that says most.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn failed(path: &Path, reason: &str, outcome: Outcome) -> Outcome {
    eprintln!("roundhouse: {}: {reason}", path.display());
    outcome
}
