//! Is everything from a file really there?
//!
//! A file's way: [`spool`] (to disk, under a quota; [`opening`] looks at its header on the way) → [`queue`] → [`job`], which has [`load`] parse it, by the same code as
//! an upload, into a table of its own ([`tables`]), waits for rows that are still on their way ([`arrivals`]), and has [`compare`]
//! and [`hours`] compare rows and hours in ClickHouse → [`report`] and [`differences`]. Jobs are kept in ClickHouse
//! ([`store`]): after a restart, those that had not ended are run again from the beginning, from the file in the spool
//! directory. One that is cancelled leaves nothing but its record.

pub mod arrivals;
mod attempts;
mod compare;
pub mod differences;
mod hours;
mod job;
mod load;
mod opening;
mod queue;
pub mod repair;
pub mod report;
mod spool;
mod store;
mod tables;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use thiserror::Error;
use tokio::sync::RwLock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::arrivals::Arrivals;
use self::differences::Differences;
use self::job::{Context, JobError};
use self::opening::Opening;
use self::queue::{Job, Queue};
use self::report::{JobState, JobView};
use self::spool::{Spool, SpooledFile};
use self::store::{Record, Store};
use self::tables::Tables;
use crate::disk::{Disk, DiskFull};
use crate::domain::columns::Columns;
use crate::ingest::FileError;
use crate::ingest::body::{Body, BodyError, BodyLimits, Stop};
use crate::ingest::rows::ReadOptions;
use crate::metrics::Metrics;
use crate::settings::Limits;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// Between attempts to tell ClickHouse something that it must know.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Characters of a file's name that are kept.
const MAX_FILE_NAME: usize = 255;

/// Why a file is not taken.
#[derive(Debug, Error)]
pub enum SubmitError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{limit} bytes of files are waiting for their reconciliation: try again when one has ended")]
    SpoolFull { limit: u64 },
    #[error("{limit} reconciliations are waiting: try again when one has ended")]
    QueueFull { limit: usize },
    #[error(transparent)]
    DiskFull(#[from] DiskFull),
    #[error("the data directory cannot be used: {0}")]
    Spool(#[source] io::Error),
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error("the server is stopping: try again")]
    Stopping,
}

/// How long whoever cancels a job waits until that is stored, and then until everything of the job is gone: a query that is
/// told to stop may first finish the block that it is at.
const CANCEL_PATIENCE: Duration = Duration::from_secs(20);
const CLEAR_PATIENCE: Duration = Duration::from_millis(500);

/// Why a job is not cancelled.
#[derive(Debug, Error)]
pub enum CancelError {
    #[error("there is no reconciliation with this id: GET /reconcile lists them")]
    NoSuchJob,
    #[error("this reconciliation has ended: it is {}", .state.name())]
    Ended { state: JobState },
    #[error("this reconciliation is one of another server, which alone can cancel it")]
    Elsewhere,
    /// It is, but ClickHouse does not know yet.
    #[error("ClickHouse could not be told yet that this reconciliation is cancelled")]
    NotStored,
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

/// What is asked of a file.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    pub file_name: String,
    pub read: ReadOptions,
    /// The uploads whose rounds must all be in the file; none: those of the same bytes.
    pub uploads: Vec<Uuid>,
}

/// Takes files, and reconciles them in the background.
#[derive(Debug)]
pub struct Reconciler {
    context: Context,
    store: Store,
    spool: Spool,
    queue: Queue,
    limits: Limits,
    stop: Stop,
    metrics: Metrics,
    /// Read while a job is stored and queued, so that it is not taken for one of an earlier process meanwhile.
    noting: RwLock<()>,
    /// Cancelled when what an earlier process has left is sorted: repairs wait for it.
    recovered: CancellationToken,
}

impl Reconciler {
    /// Opens `spool_directory`, in which nothing else may be kept. Nothing runs until [`Reconciler::run`]. `disk`: where ClickHouse, if
    /// it is embedded, keeps its tables.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn new(
        warehouse: Warehouse,
        arrivals: Arrivals,
        columns: Arc<Columns>,
        limits: &Limits,
        spool_directory: &Path,
        disk: Disk,
    ) -> io::Result<Self> {
        let spool_disk = Disk::new(spool_directory, limits.disk_reserve_bytes);
        let spool = Spool::open(spool_directory, limits.reconcile_spool_bytes, spool_disk)?;
        Ok(Self {
            store: Store::new(warehouse.for_requests(), spool.owner()),
            context: Context { warehouse, arrivals, columns, max_line_bytes: limits.max_line_bytes, disk },
            spool,
            queue: Queue::new(limits.max_waiting_reconciliations),
            limits: limits.clone(),
            stop: Stop::default(),
            metrics: Metrics::default(),
            noting: RwLock::new(()),
            recovered: CancellationToken::new(),
        })
    }

    /// Counts its jobs in these metrics.
    #[must_use]
    pub fn counted_in(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Takes no more files once the server stops.
    #[must_use]
    pub fn ending_with(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Takes a file, and returns its job once both are where they survive a restart.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit<S, E>(
        self: &Arc<Self>,
        submission: Submission,
        body: S,
    ) -> Result<JobView, SubmitError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        let mut body = Body::new(body, BodyLimits::of(&self.limits), self.stop.clone());
        // Who sends nothing holds no place.
        body.begin().await?;
        let place = self.queue.reserve()?;
        let id = Uuid::now_v7();
        let mut opening = Opening::new(
            Arc::clone(&self.context.columns),
            submission.read.clone(),
            self.context.max_line_bytes,
        );
        let file = self.spool.take(id, &mut body, |bytes, last| opening.see(bytes, last)).await?;
        let record = Record {
            id,
            version: 1,
            state: JobState::Queued,
            file_name: submission.file_name.chars().take(MAX_FILE_NAME).collect(),
            read: submission.read,
            bytes: file.bytes(),
            sha256: file.sha256().to_owned(),
            uploads: submission.uploads,
            attempt: None,
            reason: None,
            report: None,
        };
        let job = Job::new(record, Some(place));
        // A task of its own: a sender that goes away now must not leave a job without a file, or a file without a job.
        let noting = tokio::spawn(Arc::clone(self).enqueue(job, file));
        noting.await.unwrap_or(Err(SubmitError::Stopping))
    }

    async fn enqueue(self: Arc<Self>, job: Job, file: SpooledFile) -> Result<JobView, SubmitError> {
        let _noting = self.noting.read().await;
        self.store.write(&job.record()).await?;
        file.keep();
        let view = job.view();
        self.queue.push(job);
        Ok(view)
    }

    /// Returns a job; none if there is none with this id.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn get(&self, id: Uuid) -> Result<Option<JobView>, WarehouseError> {
        if let Some(job) = self.queue.find(id) {
            return Ok(Some(job.view()));
        }
        Ok(self.store.get(id).await?.map(|record| record.view(0.0, None)))
    }

    /// Returns jobs, newest first: `limit` at most, submitted before `before`.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn page(&self, before: Option<Uuid>, limit: u64) -> Result<Vec<JobView>, WarehouseError> {
        let records = self.store.page(before, limit).await?;
        let view = |record: &Record| match self.queue.find(record.id) {
            Some(job) => job.view(),
            None => record.view(0.0, None),
        };
        Ok(records.iter().map(view).collect())
    }

    /// Returns what a job that is done has found, row by row; none if it is not done.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn differences(&self, id: Uuid) -> Result<Option<Differences>, WarehouseError> {
        let record = match self.queue.find(id) {
            Some(job) => Some(job.record()),
            None => self.store.get(id).await?,
        };
        let attempt = record.filter(|record| record.state == JobState::Done).and_then(|done| done.attempt);
        Ok(attempt.map(|attempt| Differences::new(&self.context.warehouse.for_requests(), id, attempt)))
    }

    pub fn columns(&self) -> &Columns {
        &self.context.columns
    }

    /// Cancels a job that waits or runs. When this returns, its end is stored, and nothing else of it is left, or will be in a
    /// moment.
    ///
    /// # Errors
    /// See [`CancelError`].
    pub async fn cancel(self: &Arc<Self>, id: Uuid) -> Result<JobView, CancelError> {
        let Some(job) = self.queue.find(id) else {
            return Err(match self.store.get(id).await?.map(|record| record.state) {
                None => CancelError::NoSuchJob,
                Some(state) if state.is_end() => CancelError::Ended { state },
                Some(_) => CancelError::Elsewhere,
            });
        };
        if !job.cancel() {
            return Err(CancelError::Ended { state: job.record().state });
        }
        if let Some(job) = self.queue.withdraw(id) {
            let reconciler = Arc::clone(self);
            // A task of its own: whoever asked may go away.
            tokio::spawn(async move { reconciler.conclude(&job).await });
        }
        let stored = tokio::time::timeout(CANCEL_PATIENCE, job.stored.cancelled()).await;
        stored.map_err(|_| CancelError::NotStored)?;
        let _ = tokio::time::timeout(CLEAR_PATIENCE, job.ended.cancelled()).await;
        Ok(job.view())
    }

    /// Works on the jobs until `stop`; those that have not ended by then are run again at the next start.
    pub fn run(self: Arc<Self>, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            stop.run_until_cancelled(self.work()).await;
        })
    }

    async fn work(&self) {
        while let Err(error) = self.recover().await {
            tracing::warn!(%error, "reconciliations wait for ClickHouse");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        self.recovered.cancel();
        let workers = (0..self.limits.max_running_reconciliations.max(1)).map(|_| self.work_on_queue());
        futures_util::future::join_all(workers).await;
    }

    /// Queues the jobs that had not ended when the last process did, and removes what belongs to no such job.
    async fn recover(&self) -> Result<(), WarehouseError> {
        let _nothing_is_noted = self.noting.write().await;
        for (id, kept) in self.store.left_over().await? {
            Tables::new(self.context.warehouse.clone(), id).clear(kept).await?;
        }
        let mut unfinished = self.store.unfinished().await?;
        // Jobs that were submitted since the start are queued already.
        unfinished.retain(|record| self.queue.find(record.id).is_none());
        let wanted: HashSet<Uuid> = unfinished.iter().map(|record| record.id).collect();
        for (id, bytes) in self.spool.found() {
            if !wanted.contains(id) {
                self.spool.remove(*id, *bytes);
            }
        }
        for record in &unfinished {
            tracing::info!(job = %record.id, "a reconciliation is run again");
        }
        self.queue.put_first(unfinished.into_iter().map(|record| Job::new(record, None)).collect());
        Ok(())
    }

    async fn work_on_queue(&self) {
        while let Some(job) = self.queue.next().await {
            self.work_on(&job).await;
        }
    }

    async fn work_on(&self, job: &Arc<Job>) {
        let started = Instant::now();
        let work = async {
            if let Some(record) = job.begin() {
                self.note(&record).await;
            }
            job::run(&self.context, &self.spool.path(job.id), job).await
        };
        // None: it is cancelled, and its state says so.
        if let Some(outcome) = job.cancelled.run_until_cancelled(work).await {
            if let Err(error @ (JobError::Read(_) | JobError::Gone | JobError::Abandoned)) = &outcome {
                tracing::error!(job = %job.id, ?error, "a reconciliation failed");
            }
            job.end(|record| match outcome {
                Ok(found) => {
                    record.state = JobState::Done;
                    record.report = Some(found.report);
                    record.attempt = Some(found.attempt);
                }
                Err(error) => {
                    record.state = JobState::Failed;
                    record.reason = Some(error.to_string());
                }
            });
        }
        self.metrics.see_reconciliation(job.record().state.name(), started.elapsed());
        self.conclude(job).await;
    }

    /// Stores how a job has ended, and forgets it.
    async fn conclude(&self, job: &Job) {
        let record = job.record();
        self.note(&record).await;
        job.stored.cancel();
        self.spool.remove(job.id, record.bytes);
        if record.state == JobState::Cancelled {
            job::clear(&self.context, job.id, None).await;
        }
        self.queue.end(job.id);
        job.ended.cancel();
    }

    /// Stores a job, however long it takes.
    async fn note(&self, record: &Record) {
        while let Err(error) = self.store.write(record).await {
            tracing::warn!(job = %record.id, %error, "the state of a reconciliation cannot be stored yet");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
