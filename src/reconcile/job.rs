//! One job, from its file to its report.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::arrivals::Arrivals;
use super::compare::Tables;
use super::load;
use super::queue::Job;
use super::report::{Report, Verdict};
use crate::domain::columns::Columns;
use crate::ingest::FileError;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// Between attempts, where ClickHouse fails: long enough for one that is started again.
const RETRY_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

/// What all jobs use.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) warehouse: Warehouse,
    pub(super) arrivals: Arrivals,
    pub(super) columns: Arc<Columns>,
    pub(super) max_line_bytes: usize,
}

/// Why a job failed, as its sender is told; causes are for the log.
#[derive(Debug, Error)]
pub(super) enum JobError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the file is no longer there, or not whole: send it again")]
    Gone,
    #[error("the file cannot be read from the disk: send it again")]
    Read(#[source] io::Error),
    #[error("ClickHouse does not answer, or refuses: send the file again once it is well")]
    Warehouse(#[from] WarehouseError),
    #[error("what was compared is not all of the file: send it again")]
    DoesNotAddUp,
    #[error("the reading was given up")]
    Abandoned,
}

impl JobError {
    /// Sorts why a file cannot be opened.
    pub(super) fn open(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Gone } else { Self::Read(error) }
    }

    /// Whether another attempt may end otherwise.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Warehouse(_) | Self::DoesNotAddUp)
    }
}

/// Reconciles the file at `path`. However it ends, the job's tables are dropped if ClickHouse answers.
pub(super) async fn run(context: &Context, path: &Path, job: &Arc<Job>) -> Result<Report, JobError> {
    let tables = Tables::new(context.warehouse.clone(), job.id);
    let mut pauses = RETRY_PAUSES.iter();
    let outcome = loop {
        match attempt(context, &tables, path, job).await {
            Err(error) if error.may_pass() => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(job = %job.id, %error, cause, "a reconciliation is interrupted");
                match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => break Err(error),
                }
            }
            outcome => break outcome,
        }
    };
    if let Err(error) = tables.drop().await {
        tracing::warn!(job = %job.id, %error, "its tables stay until the next start");
    }
    outcome
}

/// From the beginning, whatever an earlier attempt has done.
async fn attempt(
    context: &Context,
    tables: &Tables,
    path: &Path,
    job: &Arc<Job>,
) -> Result<Report, JobError> {
    let started = Instant::now();
    let so_far = context.arrivals.so_far().await;
    tables.create().await?;
    let loaded = load::load(context, tables, path, job).await?;
    let caught_up = context.arrivals.wait(&context.warehouse, so_far.as_ref()).await?;
    let compared =
        tables.compare(loaded.accepted, &context.columns, &context.arrivals, &job.progress).await?;
    let is_match = compared.missing == 0 && compared.different == 0 && compared.hours.different == 0;
    let report = Report {
        verdict: if is_match { Verdict::Match } else { Verdict::Mismatch },
        rows: loaded.accepted + loaded.rejected,
        rejected: loaded.rejected,
        matched: compared.matched,
        missing: compared.missing,
        different: compared.different,
        duplicate_in_file: compared.duplicate_in_file,
        hours: compared.hours,
        settled: caught_up && compared.settled,
        sample: compared.sample,
        seconds: started.elapsed().as_secs_f64(),
    };
    if report.adds_up() { Ok(report) } else { Err(JobError::DoesNotAddUp) }
}
