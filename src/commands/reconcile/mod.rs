//! `roundhouse reconcile`: has a running server compare a file with what is stored, and says what it found.

mod differences;
mod job;
pub(super) mod report;

use std::path::Path;
use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use self::job::{Job, Waited};
use super::CommandError;
use super::client::progress::Progress;
use super::client::{Api, EXIT_INTERRUPTED, Failure, INTERRUPT, failed, file, parsed};
use super::table;
use crate::settings::ReconcileOptions;

/// Exit code: the file and what is stored do not match.
const EXIT_MISMATCH: u8 = 1;

pub(super) async fn run(options: ReconcileOptions) -> Result<ExitCode, CommandError> {
    let api = Api::new(&options.server)?;
    let path = &options.file;
    let found = reconcile(&api, &options).await;
    let found = match found {
        Ok(found) => found,
        Err(Stopped::Failed(failure)) => {
            if let (true, Failure::Refused(problem)) = (options.json, &failure) {
                table::print(format_args!("{problem}\n"))?;
            }
            return Err(failed(format!("{}: {failure}", path.display())));
        }
        Err(Stopped::Told(error)) => return Err(error),
    };
    let job = &found.value;
    if options.json {
        table::print(format_args!("{}\n", found.text))?;
    } else {
        table::print(report::in_words(path, job))?;
        tokio::select! {
            printed = differences::print(&api, job, options.differences) => printed?,
            () = INTERRUPT.cancelled() => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
        }
    }
    match job["verdict"].as_str() {
        Some("match") => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::from(EXIT_MISMATCH)),
        None => {
            let reason = job["reason"].as_str().unwrap_or("the server does not say why");
            let state = job["state"].as_str().unwrap_or("not done");
            Err(failed(format!("{}: reconciling {state}: {reason}", path.display())))
        }
    }
}

/// Why there is no report.
enum Stopped {
    Failed(Failure),
    Told(CommandError),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Sends the file, waits for the job, and has what it found repaired if that is asked for.
async fn reconcile(api: &Api, options: &ReconcileOptions) -> Result<Job, Stopped> {
    let accepted = send(api, options).await?;
    let waited = job::until(api, &options.file, accepted, job::has_ended).await?;
    let done = match waited {
        Waited::Ended(done) => done,
        Waited::Interrupted(job) => return Err(Stopped::Told(cancel(api, &options.file, &job).await)),
    };
    if !options.repair || done.value["verdict"] != "mismatch" {
        return Ok(done);
    }
    let mut url = api.url(&format!("{}/repair", done.path()));
    if let Some(prefer) = options.prefer {
        url.query_pairs_mut().append_pair("prefer", prefer.parameter());
    }
    if options.remove_unexpected {
        url.query_pairs_mut().append_pair("remove", "unexpected");
    }
    let shown_at = api.url(&done.path());
    let interrupted = |what: &str| {
        let how = format!("; the repair {what}: {shown_at} shows how it is");
        Stopped::Told(interrupted(&options.file, &how))
    };
    let asked = tokio::select! {
        biased;
        () = INTERRUPT.cancelled() => return Err(interrupted("may have begun")),
        asked = api.text(api.request(Method::POST, url)) => asked?,
    };
    match job::until(api, &options.file, Job::of(parsed(asked)?), job::is_repaired).await? {
        Waited::Ended(done) => Ok(done),
        Waited::Interrupted(_) => Err(interrupted("goes on")),
    }
}

/// Sends the file; returns the job.
async fn send(api: &Api, options: &ReconcileOptions) -> Result<Job, Stopped> {
    let path = &options.file;
    let unreadable = |what: &str, reason: &dyn std::fmt::Display| {
        Stopped::Told(failed(format!("{}: cannot be {what}: {reason}", path.display())))
    };
    let (opened, bytes) = file::open(path).await.map_err(|error| unreadable("read", &error))?;
    let mut url = api.url("/reconcile");
    url.query_pairs_mut().append_pair("name", &file::name(path));
    for (name, value) in options.parameters() {
        url.query_pairs_mut().append_pair(name, &value);
    }
    let progress = Progress::new(path, bytes);
    let request =
        api.request(Method::POST, url).header("content-type", "text/csv").body(file::body(opened, &progress));
    let sent = tokio::select! {
        sent = api.text(request) => sent,
        () = INTERRUPT.cancelled() => {
            progress.clear();
            return Err(Stopped::Told(interrupted(path, &format!("after {} bytes: nothing is reconciled", progress.sent()))));
        }
    };
    progress.clear();
    match sent {
        Ok(text) => Ok(Job::of(parsed(text)?)),
        Err(failure) => Err(match progress.failure() {
            Some(reason) => unreadable("read on", &reason),
            None => failure.into(),
        }),
    }
}

/// Has the server give the job up; returns what to say of it.
async fn cancel(api: &Api, path: &Path, job: &Job) -> CommandError {
    let url = api.url(&job.path());
    match api.text(api.request(Method::DELETE, url.clone())).await {
        Ok(_) => interrupted(path, &format!(": reconciliation {} is cancelled", job.id())),
        Err(failure) => {
            interrupted(path, &format!(", but not cancelled ({failure}): curl -X DELETE {url} does it"))
        }
    }
}

fn interrupted(path: &Path, how: &str) -> CommandError {
    let space = if how.starts_with([':', ',', ';']) { "" } else { " " };
    CommandError {
        message: Some(format!("{}: interrupted{space}{how}", path.display())),
        exit_code: EXIT_INTERRUPTED,
    }
}

/// A member of an answer that is a count.
fn count(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_default()
}
