//! Waits for a job on the server, with a bar that shows its progress.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::commands::client::progress::JobProgress;
use crate::commands::client::{Api, Failure, INTERRUPT, file};

/// Time between two requests for the state of a job.
const INTERVAL: Duration = Duration::from_millis(200);

/// How long the server may be away. A job survives a restart of the server.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job as the server reported it last.
#[derive(Clone, Debug)]
pub struct Job {
    /// The answer unchanged.
    pub text: String,
    pub value: Value,
}

impl Job {
    pub fn of((text, value): (String, Value)) -> Self {
        Self { text, value }
    }

    pub fn id(&self) -> &str {
        self.value["id"].as_str().unwrap_or_default()
    }

    /// Returns its path on the server.
    pub fn path(&self) -> &str {
        self.value["links"]["self"].as_str().unwrap_or_default()
    }
}

/// What came first: the end of the job, or Ctrl-C.
pub enum Waited {
    Ended(Job),
    Interrupted(Job),
}

/// Whether a job has ended.
pub fn has_ended(job: &Value) -> bool {
    !matches!(job["state"].as_str(), Some("queued" | "running"))
}

/// Whether a job has ended, and its repair too.
pub fn is_repaired(job: &Value) -> bool {
    has_ended(job) && !matches!(job["repair"]["state"].as_str(), Some("queued" | "running"))
}

/// Waits until a job has ended, by `is_over`, or until Ctrl-C.
///
/// # Errors
/// The server refuses the request, or is away for too long.
pub async fn until(
    api: &Api,
    file: &Path,
    mut job: Job,
    is_over: impl Fn(&Value) -> bool,
) -> Result<Waited, Failure> {
    let progress = JobProgress::new(file::name(file));
    let url = api.url(job.path());
    let mut heard = Instant::now();
    while !is_over(&job.value) {
        progress.show(&job.value);
        let looked = tokio::select! {
            looked = look(api, &url) => looked,
            () = INTERRUPT.cancelled() => return Ok(Waited::Interrupted(job)),
        };
        match looked {
            Ok(now) => {
                job = now;
                heard = Instant::now();
            }
            Err(failure) if failure.is_passing() && heard.elapsed() < PATIENCE => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(Waited::Ended(job))
}

async fn look(api: &Api, url: &url::Url) -> Result<Job, Failure> {
    tokio::time::sleep(INTERVAL).await;
    api.get(url.clone(), "id").await.map(Job::of)
}
