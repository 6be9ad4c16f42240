//! One job, from its file to its report.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use uuid::Uuid;

use super::arrivals::Arrivals;
use super::attempts::{self, Failure};
use super::compare;
use super::load;
use super::queue::Job;
use super::report::{Phase, Report, Verdict};
use super::tables::{Tables, in_time};
use crate::disk::{Disk, DiskFull};
use crate::domain::columns::Columns;
use crate::ingest::FileError;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// How many uploads of the same bytes are considered. The newest count. Only `?force=true` makes more than one.
const MAX_UPLOADS: u16 = 500;

/// What all jobs share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) warehouse: Warehouse,
    pub(super) arrivals: Arrivals,
    pub(super) columns: Arc<Columns>,
    pub(super) max_line_bytes: usize,
    /// The disk on which an embedded ClickHouse keeps the job's tables.
    pub(super) disk: Disk,
}

/// Why a job failed, as the API shows it. Causes are for the log.
#[derive(Debug, Error)]
pub(super) enum JobError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the spooled file is gone or incomplete; send the file again")]
    Gone,
    #[error("cannot read the spooled file from the disk; send the file again")]
    Read(#[source] io::Error),
    #[error("{0}, then send the file again")]
    DiskFull(#[from] DiskFull),
    #[error("the disk of ClickHouse is full; free some space there, then send the file again")]
    ClickHouseDiskFull,
    #[error("{}; send the file again when ClickHouse works", .0.summary())]
    Warehouse(#[source] WarehouseError),
    #[error("the comparison is incomplete; send the file again")]
    DoesNotAddUp,
    #[error("reading the file was given up")]
    Abandoned,
}

impl From<WarehouseError> for JobError {
    fn from(error: WarehouseError) -> Self {
        if error.is_disk_full() { Self::ClickHouseDiskFull } else { Self::Warehouse(error) }
    }
}

impl JobError {
    /// Says why a file cannot be opened.
    pub(super) fn open(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Gone } else { Self::Read(error) }
    }
}

impl Failure for JobError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Warehouse(_) | Self::DoesNotAddUp)
    }
}

/// The report of a job, and the attempt whose differences count.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) report: Report,
    pub(super) attempt: Uuid,
}

/// Reconciles the file at `path`. The job's tables are dropped afterwards in every case, if ClickHouse answers.
pub(super) async fn run(context: &Context, path: &Path, job: &Arc<Job>) -> Result<Found, JobError> {
    let outcome = attempts::repeat(&context.warehouse, job.id, |_| attempt(context, path, job)).await;
    clear(context, job.id, outcome.as_ref().ok().map(|found| found.attempt)).await;
    outcome
}

/// Removes everything that ClickHouse has of a job, except the differences of one attempt.
pub(super) async fn clear(context: &Context, job: Uuid, kept: Option<Uuid>) {
    if let Err(error) = Tables::new(context.warehouse.clone(), job).clear(kept).await {
        tracing::warn!(%job, %error, "temporary tables of a reconciliation will be dropped at the next start");
    }
}

/// Works on the job from the beginning, whatever an earlier attempt has done.
async fn attempt(context: &Context, path: &Path, job: &Arc<Job>) -> Result<Found, JobError> {
    let started = Instant::now();
    let tables = Tables::new(context.warehouse.clone(), job.id);
    let so_far = context.arrivals.so_far().await;
    tables.clear(None).await?;
    tables.create().await?;
    let loaded = load::load(context, &tables, path, job).await?;
    job.progress.enter(Phase::Waiting);
    let caught_up = context.arrivals.wait(&context.warehouse, so_far.as_ref()).await?;
    let uploads = uploads_of(context, job).await?;
    let compared = compare::compare(
        &tables,
        loaded.accepted,
        &uploads,
        &context.columns,
        &context.arrivals,
        &job.progress,
    )
    .await?;
    let mut report = Report {
        verdict: Verdict::Mismatch,
        rows: loaded.accepted + loaded.rejected,
        rejected: loaded.rejected,
        matched: compared.matched,
        missing: compared.missing,
        different: compared.different,
        duplicate_in_file: compared.duplicate_in_file,
        contradictory_in_file: compared.contradictory_in_file,
        unexpected: compared.unexpected,
        uploads,
        hours: compared.hours,
        settled: caught_up && compared.settled,
        sample: compared.sample,
        seconds: started.elapsed().as_secs_f64(),
    };
    report.verdict = report.verdict_of_counts();
    if !report.adds_up() || compared.listed != report.differences() {
        return Err(JobError::DoesNotAddUp);
    }
    Ok(Found { report, attempt: tables.attempt() })
}

/// Returns the uploads whose rounds must all be in the file: those that the client named, or those of the same bytes.
async fn uploads_of(context: &Context, job: &Job) -> Result<Vec<Uuid>, WarehouseError> {
    let record = job.record();
    if !record.uploads.is_empty() {
        return Ok(record.uploads);
    }
    let query = context.warehouse.query(include_str!("../../queries/reconcile/uploads.sql"));
    let query = query.param("sha256", &record.sha256).param("limit", MAX_UPLOADS);
    let ids: Vec<String> = in_time(query.fetch_all()).await?;
    Ok(ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect())
}
