//! Is everything from a file really stored?
//!
//! What happens to a file:
//!
//! 1. [`spool`] writes it to disk, within a quota. [`opening`] checks its header while it arrives.
//! 2. [`queue`] holds its job until a worker is free. [`job`] then runs these steps.
//! 3. [`load`] parses the file with the same code as an upload, into a table of the job ([`tables`]).
//! 4. [`arrivals`] waits for rows that are still being loaded from the topic.
//! 5. [`compare`] compares rows and [`sums`] aggregate tables in ClickHouse, in ranges of the key ([`range`]).
//! 6. [`report`] and [`differences`] hold the result, and [`shape`] shows it. [`repair`] repairs it.
//!
//! Each dataset with a key has its own reconciler. They share one queue, its workers, and the spool directory.
//!
//! ClickHouse stores the jobs ([`store`]). After a restart, jobs that had not ended start again from the beginning, with the file in the
//! spool directory. A cancelled job leaves only its record.

pub mod arrivals;
mod attempts;
mod compare;
mod context;
pub mod differences;
mod job;
mod load;
mod opening;
mod queue;
mod range;
pub mod repair;
pub mod report;
mod shape;
mod spool;
mod store;
mod sums;
mod tables;
mod workers;

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
use self::context::{Context, JobError};
use self::differences::Differences;
use self::opening::Opening;
use self::queue::{Job, Queue};
use self::report::{JobState, JobView};
use self::spool::{Spool, SpooledFile};
use self::store::{Record, Store};
pub use self::workers::run;
use crate::counted::counted;
use crate::dataset::Dataset;
use crate::disk::{Disk, DiskFull};
use crate::ingest::FileError;
use crate::ingest::body::{Body, BodyError, BodyLimits, Stop};
use crate::ingest::rows::ReadOptions;
use crate::metrics::Metrics;
use crate::settings::Limits;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// Between attempts to store something in ClickHouse.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Characters of a file's name that are kept.
const MAX_FILE_NAME: usize = 255;

/// Why a file is refused.
#[derive(Debug, Error)]
pub enum SubmitError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "the files that wait for reconciliation have {} together, which is the limit; try again when one has ended",
        counted(*limit, "byte")
    )]
    SpoolFull { limit: u64 },
    #[error("the limit of {} is reached; try again when one has ended", counted(*limit as u64, "waiting reconciliation"))]
    QueueFull { limit: usize },
    #[error(transparent)]
    DiskFull(#[from] DiskFull),
    #[error("cannot use the data directory: {0}")]
    Spool(#[source] io::Error),
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error("the server is stopping; try again later")]
    Stopping,
}

/// How long a request to cancel a job waits until that is stored, and then until everything of the job is removed. A query that is killed
/// may first finish its current block.
const CANCEL_PATIENCE: Duration = Duration::from_secs(20);
const CLEAR_PATIENCE: Duration = Duration::from_millis(500);

/// Why a job cannot be cancelled.
#[derive(Debug, Error)]
pub enum CancelError {
    #[error("no reconciliation has this id; GET /reconcile lists them")]
    NoSuchJob,
    #[error("this reconciliation has already ended; it is {}", .state.name())]
    Ended { state: JobState },
    #[error("this reconciliation belongs to another server; cancel it there")]
    Elsewhere,
    /// It is cancelled, but ClickHouse has not stored that yet.
    #[error("this reconciliation is cancelled, but ClickHouse has not stored that yet")]
    NotStored,
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

/// A request to reconcile a file.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    pub file_name: String,
    pub read: ReadOptions,
    /// The uploads whose rows must all be in the file. Empty: uploads of the same bytes.
    pub uploads: Vec<Uuid>,
}

/// What the reconcilers of a server share.
#[derive(Debug)]
struct Shared {
    spool: Spool,
    queue: Queue,
    limits: Limits,
    /// Held for reading while a job is stored and queued. So a recovery does not mistake it for a job of an earlier process.
    noting: RwLock<()>,
    /// Cancelled when the jobs of an earlier process are recovered. Repairs wait for that.
    recovered: CancellationToken,
}

/// Accepts files of a dataset and reconciles them in the background.
#[derive(Debug)]
pub struct Reconciler {
    context: Context,
    store: Store,
    shared: Arc<Shared>,
    stop: Stop,
    metrics: Metrics,
}

impl Reconciler {
    /// Opens `spool_directory`, which must hold nothing else. Nothing runs until [`run`]. `owner` is this server; it works on its own jobs
    /// only. `dataset` must have a key, and know its aggregate tables. `disk` is the disk on which an embedded ClickHouse keeps its tables.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn new(
        owner: Uuid,
        warehouse: Warehouse,
        arrivals: Arrivals,
        dataset: Arc<Dataset>,
        limits: &Limits,
        spool_directory: &Path,
        disk: Disk,
    ) -> io::Result<Self> {
        let spool_disk = Disk::new(spool_directory, limits.disk_reserve_bytes);
        let spool = Spool::open(spool_directory, limits.reconcile_spool_bytes, spool_disk)?;
        Ok(Self {
            store: Store::new(warehouse.for_requests(), owner, Arc::clone(&dataset)),
            context: Context { warehouse, arrivals, dataset, max_line_bytes: limits.max_line_bytes, disk },
            shared: Arc::new(Shared {
                spool,
                queue: Queue::new(limits.max_waiting_reconciliations),
                limits: limits.clone(),
                noting: RwLock::new(()),
                recovered: CancellationToken::new(),
            }),
            stop: Stop::default(),
            metrics: Metrics::default(),
        })
    }

    /// A reconciler of another dataset of the same server. It shares the queue, the spool directory and the limits.
    #[must_use]
    pub fn beside(&self, dataset: Arc<Dataset>, arrivals: Arrivals) -> Self {
        let Context { warehouse, max_line_bytes, disk, .. } = &self.context;
        Self {
            store: Store::new(warehouse.for_requests(), self.store.owner(), Arc::clone(&dataset)),
            context: Context {
                warehouse: warehouse.clone(),
                arrivals,
                dataset,
                max_line_bytes: *max_line_bytes,
                disk: disk.clone(),
            },
            shared: Arc::clone(&self.shared),
            stop: self.stop.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Counts its jobs in these metrics.
    #[must_use]
    pub fn counted_in(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Accepts no more files once the server stops.
    #[must_use]
    pub fn ending_with(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Accepts a file. Returns its job once both survive a restart.
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
        let mut body = Body::new(body, BodyLimits::of(&self.shared.limits), self.stop.clone());
        // A client that sends nothing takes no place in the queue.
        body.begin().await?;
        let place = self.shared.queue.reserve()?;
        let id = Uuid::now_v7();
        let mut opening = Opening::new(
            Arc::clone(&self.context.dataset.columns),
            submission.read.clone(),
            self.context.max_line_bytes,
        );
        let file = self.shared.spool.take(id, &mut body, |bytes, last| opening.see(bytes, last)).await?;
        let record = Record {
            id,
            dataset: self.context.dataset.name.clone(),
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
        // A task of its own: a client that disconnects now must not leave a job without a file, or a file without a job.
        let noting = tokio::spawn(Arc::clone(self).enqueue(job, file));
        noting.await.unwrap_or(Err(SubmitError::Stopping))
    }

    async fn enqueue(self: Arc<Self>, job: Job, file: SpooledFile) -> Result<JobView, SubmitError> {
        let _noting = self.shared.noting.read().await;
        self.store.write(&job.record()).await?;
        file.keep();
        let view = job.view();
        self.shared.queue.push(job);
        Ok(view)
    }

    /// Returns the job with this id, if there is one.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn get(&self, id: Uuid) -> Result<Option<JobView>, WarehouseError> {
        if let Some(job) = self.find(id) {
            return Ok(Some(job.view()));
        }
        Ok(self.store.get(id).await?.map(|record| record.view(0.0, None)))
    }

    /// Returns at most `limit` jobs that were submitted before `before`, newest first.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn page(&self, before: Option<Uuid>, limit: u64) -> Result<Vec<JobView>, WarehouseError> {
        let records = self.store.page(before, limit).await?;
        let view = |record: &Record| match self.find(record.id) {
            Some(job) => job.view(),
            None => record.view(0.0, None),
        };
        Ok(records.iter().map(view).collect())
    }

    /// Returns the differences of a job, or none if the job is not done.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn differences(&self, id: Uuid) -> Result<Option<Differences>, WarehouseError> {
        let record = match self.find(id) {
            Some(job) => Some(job.record()),
            None => self.store.get(id).await?,
        };
        let attempt = record.filter(|record| record.state == JobState::Done).and_then(|done| done.attempt);
        let (warehouse, dataset) = (self.context.warehouse.for_requests(), &self.context.dataset);
        Ok(attempt.map(|attempt| Differences::new(&warehouse, Arc::clone(dataset), id, attempt)))
    }

    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.context.dataset
    }

    /// Cancels a job that waits or runs. When this returns, its end is stored, and everything else of it is removed or will be soon.
    ///
    /// # Errors
    /// See [`CancelError`].
    pub async fn cancel(self: &Arc<Self>, id: Uuid) -> Result<JobView, CancelError> {
        let Some(job) = self.find(id) else {
            return Err(match self.store.get(id).await?.map(|record| record.state) {
                None => CancelError::NoSuchJob,
                Some(state) if state.is_end() => CancelError::Ended { state },
                Some(_) => CancelError::Elsewhere,
            });
        };
        if !job.cancel() {
            return Err(CancelError::Ended { state: job.record().state });
        }
        if let Some(job) = self.shared.queue.withdraw(id) {
            let reconciler = Arc::clone(self);
            // A task of its own: the client may disconnect.
            tokio::spawn(async move { reconciler.conclude(&job).await });
        }
        let stored = tokio::time::timeout(CANCEL_PATIENCE, job.stored.cancelled()).await;
        stored.map_err(|_| CancelError::NotStored)?;
        let _ = tokio::time::timeout(CLEAR_PATIENCE, job.ended.cancelled()).await;
        Ok(job.view())
    }

    /// Returns a job of this dataset that waits or runs.
    fn find(&self, id: Uuid) -> Option<Arc<Job>> {
        self.shared.queue.find(id).filter(|job| job.record().dataset == self.context.dataset.name)
    }

    /// Waits until the jobs of an earlier process are recovered.
    async fn recovered(&self) {
        self.shared.recovered.cancelled().await;
    }

    /// Works on the jobs until `stop`, alone: see [`run`].
    pub fn run(self: Arc<Self>, stop: CancellationToken) -> JoinHandle<()> {
        run(vec![self], stop)
    }

    async fn work_on(&self, job: &Arc<Job>) {
        let started = Instant::now();
        let work = async {
            if let Some(record) = job.begin() {
                self.note(&record).await;
            }
            job::run(&self.context, &self.shared.spool.path(job.id), job).await
        };
        // None: the job is cancelled, and its state says so.
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

    /// Stores how a job ended, and removes it from the queue.
    async fn conclude(&self, job: &Job) {
        let record = job.record();
        self.note(&record).await;
        job.stored.cancel();
        self.shared.spool.remove(job.id, record.bytes);
        if record.state == JobState::Cancelled {
            job::clear(&self.context, job.id, None).await;
        }
        self.shared.queue.end(job.id);
        job.ended.cancel();
    }

    /// Stores a job. Tries until it is stored.
    async fn note(&self, record: &Record) {
        while let Err(error) = self.store.write(record).await {
            tracing::warn!(job = %record.id, %error, "cannot store the state of a reconciliation yet; trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
