//! One job, from its file to its report.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::attempts;
use super::compare;
use super::context::{Context, JobError};
use super::load;
use super::queue::Job;
use super::report::{AggregateCompared, Hours, Phase, ReplayedRows, Report, Verdict};
use super::tables::{Tables, in_time};
use crate::dataset::BETS;
use crate::warehouse::client::WarehouseError;

/// How many uploads of the same bytes are considered. The newest count. Only `?force=true` makes more than one.
const MAX_UPLOADS: u16 = 500;

/// How many replays a report names. The newest count.
const MAX_REPLAYS: u16 = 100;

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
    if let Err(error) =
        Tables::new(context.warehouse.clone(), Arc::clone(&context.dataset), job).clear(kept).await
    {
        tracing::warn!(%job, %error, "temporary tables of a reconciliation will be dropped at the next start");
    }
}

/// Works on the job from the beginning, whatever an earlier attempt has done.
async fn attempt(context: &Context, path: &Path, job: &Arc<Job>) -> Result<Found, JobError> {
    let started = Instant::now();
    let tables = Tables::new(context.warehouse.clone(), Arc::clone(&context.dataset), job.id);
    let so_far = context.arrivals.so_far().await;
    tables.clear(None).await?;
    tables.create().await?;
    let loaded = load::load(context, &tables, path, job).await?;
    job.progress.enter(Phase::Waiting);
    let caught_up = context.arrivals.wait(&context.warehouse, so_far.as_ref()).await?;
    let uploads = uploads_of(context, job).await?;
    let compared =
        compare::compare(&tables, loaded.accepted, &uploads, &context.arrivals, &job.progress).await?;
    let (hours, aggregates) = sums_of(context, compared.sums);
    let replays = replays_of(context, &uploads, loaded.rejected).await?;
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
        replays,
        hours,
        aggregates,
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

/// Says which sums were compared: the hours of bets, or the aggregate tables of another dataset.
fn sums_of(context: &Context, sums: Vec<Hours>) -> (Option<Hours>, Vec<AggregateCompared>) {
    if context.dataset.name == BETS {
        return (Some(sums.first().copied().unwrap_or_default()), Vec::new());
    }
    let tables = context.dataset.compared().map(|compared| compared.table.table.clone());
    let compared = tables.zip(sums).map(|(table, compared)| AggregateCompared { table, compared });
    (None, compared.collect())
}

/// Returns the uploads whose rows must all be in the file: those that the client named, or those of the same bytes.
async fn uploads_of(context: &Context, job: &Job) -> Result<Vec<Uuid>, WarehouseError> {
    let record = job.record();
    if !record.uploads.is_empty() {
        return Ok(record.uploads);
    }
    let query = context.warehouse.query(include_str!("../../queries/engine/reconcile/uploads.sql"));
    let query =
        query.param("dataset", &record.dataset).param("sha256", &record.sha256).param("limit", MAX_UPLOADS);
    let ids: Vec<String> = in_time(query.fetch_all()).await?;
    Ok(ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect())
}

/// A row of `replays.sql`.
#[derive(Row, Deserialize)]
struct Replay {
    upload_id: String,
    replay_id: String,
    rows: u64,
}

/// Returns the replays of rejected rows of these uploads, if the file has invalid rows.
async fn replays_of(
    context: &Context,
    uploads: &[Uuid],
    rejected: u64,
) -> Result<Vec<ReplayedRows>, WarehouseError> {
    if rejected == 0 || uploads.is_empty() {
        return Ok(Vec::new());
    }
    let uploads: Vec<String> = uploads.iter().map(Uuid::to_string).collect();
    let query = context.warehouse.query(include_str!("../../queries/engine/reconcile/replays.sql"));
    let query = query.param("uploads", uploads).param("limit", MAX_REPLAYS);
    let found: Vec<Replay> = in_time(query.fetch_all()).await?;
    let replayed = |Replay { upload_id, replay_id, rows }| {
        let ids = (Uuid::try_parse(&upload_id).ok()?, Uuid::try_parse(&replay_id).ok()?);
        Some(ReplayedRows { upload_id: ids.0, replay_id: ids.1, rows })
    };
    Ok(found.into_iter().filter_map(replayed).collect())
}
