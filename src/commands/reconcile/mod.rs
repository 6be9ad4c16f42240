//! `roundhouse reconcile`: checks on a running server that every valid row of a file is stored, and reports the result.

mod differences;
mod job;
mod preview;
pub(super) mod report;

use std::path::Path;
use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use self::job::{Job, Waited};
use super::CommandError;
use super::client::{Api, EXIT_INTERRUPTED, Failure, INTERRUPT, file, problem};
use super::table;
use crate::counted::counted;
use crate::dataset::api_path::api_path;
use crate::settings::ReconcileOptions;

/// Exit code: the file and the stored rows do not match, or no row of the file is valid.
const EXIT_MISMATCH: u8 = 1;

pub(super) async fn run(options: ReconcileOptions) -> Result<ExitCode, CommandError> {
    options.check().map_err(CommandError::usage)?;
    let api = Api::new(&options.server)?;
    let path = &file::label(&options.file);
    let found = reconcile(&api, &options).await;
    let found = match found {
        Ok(found) => found,
        Err(Stopped::Failed(failure)) => {
            if let (true, Failure::Refused(problem)) = (options.json, &failure) {
                table::print(format_args!("{problem}\n"))?;
            }
            return Err(CommandError::of_client(format!("{}: {}", path.display(), failure)));
        }
        Err(Stopped::Reported(error)) => return Err(error),
    };
    let job = &found.value;
    if options.json {
        table::print(format_args!("{}\n", found.text))?;
    } else {
        table::print(report::in_words(path, job))?;
        table::print(report::nothing_to_repair(&options, job))?;
        tokio::select! {
            printed = differences::print(&api, &options.dataset, job, options.differences) => printed?,
            () = INTERRUPT.cancelled() => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
        }
        preview::print(&job["preview"])?;
    }
    match job["verdict"].as_str() {
        Some("match") => Ok(ExitCode::SUCCESS),
        Some(_) => Ok(ExitCode::from(EXIT_MISMATCH)),
        None => {
            let reason = job["reason"].as_str().unwrap_or("the server gave no reason");
            let reason = problem::advice(reason);
            let state = job["state"].as_str().unwrap_or("not done");
            Err(CommandError::of_client(format!("{}: reconciliation {state}: {reason}", path.display())))
        }
    }
}

/// Why there is no report.
enum Stopped {
    Failed(Failure),
    /// With a message of its own.
    Reported(CommandError),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Sends the file, waits for the job, and repairs what it found if --repair is given. With --dry-run, previews the repair.
async fn reconcile(api: &Api, options: &ReconcileOptions) -> Result<Job, Stopped> {
    let accepted = send(api, options).await?;
    let path = &file::label(&options.file);
    let waited = job::until(api, path, accepted, job::has_ended).await?;
    let done = match waited {
        Waited::Ended(done) => done,
        Waited::Interrupted(job) => return Err(Stopped::Reported(cancel(api, path, &job).await)),
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
    if options.dry_run {
        url.query_pairs_mut().append_pair("preview", "true");
        let previewed = tokio::select! {
            previewed = api.json(api.request(Method::POST, url), "id") => previewed?,
            () = INTERRUPT.cancelled() => {
                return Err(Stopped::Reported(interrupted(path, ": nothing is repaired")));
            }
        };
        return Ok(Job::of(previewed));
    }
    let shown_at = api.shown(done.path());
    let interrupted = |what: &str| {
        let how = format!("; the repair {what}; its state is at {shown_at}");
        Stopped::Reported(interrupted(path, &how))
    };
    let asked = tokio::select! {
        biased;
        () = INTERRUPT.cancelled() => return Err(interrupted("may have started")),
        asked = api.json(api.request(Method::POST, url), "id") => asked?,
    };
    match job::until(api, path, Job::of(asked), job::is_repaired).await? {
        Waited::Ended(done) => Ok(done),
        Waited::Interrupted(_) => Err(interrupted("continues")),
    }
}

/// Sends the file. Returns the job.
async fn send(api: &Api, options: &ReconcileOptions) -> Result<Job, Stopped> {
    let path = &file::label(&options.file);
    let unreadable = |what: &str, reason: &dyn std::fmt::Display| {
        Stopped::Reported(CommandError::of_client(format!("{}: cannot be {what}: {reason}", path.display())))
    };
    let source = file::open(&options.file).await.map_err(|error| unreadable("read", &error))?;
    let mut url = api.url(&api_path(&options.dataset, "/reconcile"));
    let name = options.name.clone().unwrap_or_else(|| source.name(&options.file));
    url.query_pairs_mut().append_pair("name", &name);
    for (name, value) in options.parameters() {
        url.query_pairs_mut().append_pair(name, &value);
    }
    let progress = source.progress(path);
    let request = source.send(api.request(Method::POST, url), &progress);
    let sent = tokio::select! {
        sent = api.answer_to_file(request, "id") => sent,
        () = INTERRUPT.cancelled() => {
            progress.clear();
            let sent = counted(progress.sent(), "byte");
            return Err(Stopped::Reported(interrupted(path, &format!("after {sent}; nothing was reconciled"))));
        }
    };
    progress.clear();
    match sent {
        Ok(job) => Ok(Job::of(job)),
        Err(failure) => Err(match progress.failure() {
            Some(reason) => unreadable("read further", &reason),
            None => failure.into(),
        }),
    }
}

/// Cancels the job. Returns the message.
async fn cancel(api: &Api, path: &Path, job: &Job) -> CommandError {
    let url = api.url(job.path());
    match api.json(api.request(Method::DELETE, url), "id").await {
        Ok(_) => interrupted(path, &format!("; reconciliation {} is cancelled", job.id())),
        Err(failure) => {
            let url = api.shown(job.path());
            interrupted(path, &format!(", but not cancelled ({failure}); to cancel it: curl -X DELETE {url}"))
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

/// Returns a member of an answer that is a count.
fn count(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_default()
}
