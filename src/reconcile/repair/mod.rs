//! Repairs the differences that a reconciliation has found.
//!
//! The file is gone by then, so a repair works from the table of differences. [`plan`] says what it does: queries that return the rows to
//! produce, to remove and to overwrite. [`work`] carries the plan out:
//!
//! 1. It notes the rows of aggregate tables that the plan concerns.
//! 2. It produces missing rows as an upload ([`produce`]).
//! 3. It removes copies of rows and, if asked, rows that the file does not have. If the file is preferred, it gives rows that differ the
//!    file's values ([`rows`]).
//! 4. It makes the noted rows of aggregate tables what their views make of all rows ([`aggregates`]).
//! 5. It compares everything that differed once more ([`check`]). The result becomes the job's report.
//!
//! Rows that contradict each other in the file are never changed: nothing says which one is right. [`preview`] reads the same plan and
//! changes nothing.
//!
//! Each step can run again without harm. After a crash the whole repair starts again: [`record`] keeps in ClickHouse what is to be done.
//! Repairs run one after the other.

mod aggregates;
mod check;
mod loading;
mod lost_parts;
mod plan;
pub mod preview;
pub mod preview_sums;
mod produce;
pub mod record;
mod row_texts;
mod rows;
mod tables;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::lost_parts::{Watch, Watched};
use self::preview::{Preview, RepairPreview};
use self::record::{Record, RepairState, RepairView, Store, Wishes};
use self::tables::Tables;
use super::Reconciler;
use super::attempts::Failure;
use super::differences::DIFFERENCES_DAYS;
use super::report::{JobState, JobView, Report, Verdict};
use crate::counted::counted;
use crate::dataset::api_path::api_path;
use crate::ingest::upload::{UploadError, Uploader};
use crate::loader::gate::Gate;
use crate::loader::is_fenced;
use crate::loader::lease::{Holder, Tenure};
use crate::warehouse::client::{Warehouse, WarehouseError};
use roundhouse_part::lock::lock;

/// Repairs that may wait; one more is refused.
const MAX_WAITING: usize = 100;

/// Between attempts to store something in ClickHouse.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Why a repair, or its preview, is refused.
#[derive(Debug, Error)]
pub enum RequestError {
    #[error("no reconciliation has this id; GET /reconcile lists them")]
    NoSuchJob,
    #[error("the reconciliation is {}; only a finished one can be repaired", .state.name())]
    NotDone { state: JobState },
    #[error("this reconciliation belongs to another server; repair it there")]
    Elsewhere,
    #[error("another server loads the topic; send the file to that server, and repair there")]
    NotLoading { owner: Option<Uuid> },
    #[error("a repair of this reconciliation waits or runs; wait until it has ended")]
    UnderWay,
    #[error(
        "differences are kept for {DIFFERENCES_DAYS} days, and some of these are gone; reconcile the file again"
    )]
    DifferencesGone,
    #[error("{limit} repairs wait; try again when one has ended")]
    QueueFull { limit: usize },
    #[error(
        "the preview needs more memory than one query may use; list the differences with GET {path} instead"
    )]
    PreviewTooLarge { path: String },
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error("no row of the file is valid, so nothing was compared; correct the file and reconcile it again")]
    NoValidRows,
    #[error("the server is stopping; try again later")]
    Stopping,
}

/// Why a repair failed, as the API shows it. Causes are for the log.
#[derive(Debug, Error)]
enum RepairError {
    #[error("the disk of ClickHouse is full; free some space there, then repair again")]
    ClickHouseDiskFull,
    #[error("{}; repair again when ClickHouse works", .0.summary())]
    Warehouse(#[source] WarehouseError),
    #[error("another server loads the topic now; send the file to that server, and repair there")]
    NotLoading,
    #[error("cannot produce the missing rows: {0}")]
    Upload(#[from] UploadError),
    #[error("{} rejected now; see {path}", counted(*rows, "missing row"))]
    Rejected { rows: u64, path: String },
    #[error("the produced rows are not loaded yet; repair again when they are")]
    NotVisible,
    #[error("the reconciliation or its report no longer exists; reconcile the file again")]
    JobGone,
    #[error("some of the differences are no longer kept; reconcile the file again")]
    DifferencesGone,
    #[error("cannot remove rows because ClickHouse keeps merging their parts; repair again")]
    RowsStay,
    #[error("cannot rebuild aggregates because rows are loaded all the time; repair again")]
    SumsDiffer,
    #[error("the second check covered fewer rows than were found; repair again")]
    DoesNotAddUp,
}

impl From<WarehouseError> for RepairError {
    fn from(error: WarehouseError) -> Self {
        match error {
            error if is_fenced(&error) => Self::NotLoading,
            error if error.is_disk_full() => Self::ClickHouseDiskFull,
            error => Self::Warehouse(error),
        }
    }
}

impl Failure for RepairError {
    fn may_pass(&self) -> bool {
        match self {
            // The loader of this process may just have received a new generation of the lease.
            Self::NotLoading
            | Self::Warehouse(_)
            | Self::RowsStay
            | Self::SumsDiffer
            | Self::DoesNotAddUp => true,
            Self::Upload(error) => matches!(
                error,
                UploadError::TooMany { .. }
                    | UploadError::Broker { .. }
                    | UploadError::LimitLowered
                    | UploadError::Registry { .. }
                    | UploadError::Warehouse(_)
                    | UploadError::BrokenOff { .. }
                    | UploadError::LedgerFull { .. }
                    | UploadError::NotSaved
                    | UploadError::Stopping
            ),
            Self::Rejected { .. }
            | Self::NotVisible
            | Self::JobGone
            | Self::DifferencesGone
            | Self::ClickHouseDiskFull => false,
        }
    }
}

/// What repairs need to know about loading the topic.
#[derive(Clone, Debug)]
pub struct Loads {
    pub topic: String,
    /// Which server loads it. Only that server may repair.
    pub tenure: Tenure,
    /// Where the loader of this process waits.
    pub gate: Gate,
    /// Whether it waits there. ClickHouse's own consumer does not.
    pub is_gated: bool,
}

impl Loads {
    /// Returns the other server that loads the topic, or `Some(None)` if no server does. None: this one does, or it is not known yet.
    fn elsewhere(&self) -> Option<Option<Uuid>> {
        match self.tenure.holder() {
            Holder::Us(_) | Holder::Unknown => None,
            Holder::Other(owner) => Some(Some(owner)),
            Holder::Nobody => Some(None),
        }
    }
}

/// A job that is done.
struct Finished {
    view: JobView,
    /// The attempt whose differences count.
    attempt: Uuid,
    report: Report,
}

/// A repair that waits or runs.
#[derive(Debug)]
struct Active {
    job: Uuid,
    record: Mutex<Record>,
}

impl Active {
    fn new(record: Record) -> Arc<Self> {
        Arc::new(Self { job: record.job_id, record: Mutex::new(record) })
    }

    fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Returns a new version of the record. [`Active::show`] shows it.
    fn changed(&self, change: impl FnOnce(&mut Record)) -> Record {
        let mut record = self.record();
        change(&mut record);
        record.version += 1;
        record
    }

    fn show(&self, record: Record) {
        *lock(&self.record) = record;
    }

    /// Changes the record, and returns it as a new version. Only the worker of the repair may call this.
    fn change(&self, change: impl FnOnce(&mut Record)) -> Record {
        let record = self.changed(change);
        self.show(record.clone());
        record
    }
}

/// Accepts repairs and works on them in the background, one after the other.
#[derive(Debug)]
pub struct Repairer {
    reconciler: Arc<Reconciler>,
    uploader: Arc<Uploader>,
    store: Store,
    loads: Loads,
    active: Mutex<HashMap<Uuid, Arc<Active>>>,
    /// Held from looking for a repair to storing a new one, so that a job has one repair at a time.
    asking: tokio::sync::Mutex<()>,
    queue: mpsc::Sender<Arc<Active>>,
    /// Cancelled when the repairs that an earlier process did not end are active.
    resumed: CancellationToken,
    /// Until [`Repairer::run`].
    queued: Mutex<Option<mpsc::Receiver<Arc<Active>>>>,
}

impl Repairer {
    pub fn new(
        warehouse: Warehouse,
        reconciler: Arc<Reconciler>,
        uploader: Arc<Uploader>,
        loads: Loads,
    ) -> Self {
        let (queue, queued) = mpsc::channel(MAX_WAITING);
        Self {
            store: Store::new(
                warehouse.for_requests(),
                reconciler.store.owner(),
                &reconciler.context.dataset.name,
            ),
            reconciler,
            uploader,
            loads,
            active: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            queue,
            resumed: CancellationToken::new(),
            queued: Mutex::new(Some(queued)),
        }
    }

    /// Accepts the repair of a job's differences. Returns it when it is stored and survives a restart. If there is nothing to repair, it is
    /// done.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(
        self: &Arc<Self>,
        job: Uuid,
        wishes: Wishes,
    ) -> Result<(JobView, RepairView), RequestError> {
        let repairer = Arc::clone(self);
        // A task of its own: a client that disconnects now must not leave a repair that is stored but not queued.
        let noting = tokio::spawn(async move { repairer.enqueue(job, wishes).await });
        noting.await.unwrap_or(Err(RequestError::Stopping))
    }

    async fn enqueue(&self, id: Uuid, wishes: Wishes) -> Result<(JobView, RepairView), RequestError> {
        let _asking = self.asking.lock().await;
        let job = self.finished(id).await?;
        if let Some(owner) = self.loads.elsewhere() {
            return Err(RequestError::NotLoading { owner });
        }
        let earlier = self.earlier(id).await?;
        let mut record = Record::new(
            &self.reconciler.context.dataset.name,
            id,
            earlier.map_or(1, |earlier| earlier.version + 1),
            wishes,
        );
        if job.report.mismatches() == 0 {
            record.view.state = RepairState::Done;
            self.store.write(&record).await?;
            return Ok((job.view, record.view));
        }
        self.check_differences(&job).await?;
        let place = self.queue.try_reserve().map_err(|_| RequestError::QueueFull { limit: MAX_WAITING })?;
        self.store.write(&record).await?;
        let view = record.view.clone();
        place.send(self.activate(record));
        Ok((job.view, view))
    }

    /// Returns what a repair of a job's differences would do, and changes nothing. `patience`: how long each query may take.
    ///
    /// # Errors
    /// See [`RequestError`]. It does not matter which server loads the topic.
    pub async fn preview(
        &self,
        id: Uuid,
        wishes: Wishes,
        patience: Duration,
    ) -> Result<(JobView, RepairPreview), RequestError> {
        let job = self.finished(id).await?;
        self.earlier(id).await?;
        self.check_differences(&job).await?;
        let context = &self.reconciler.context;
        let tables = Tables::for_preview(context.warehouse.for_requests(), &context.dataset, id, job.attempt);
        let preview =
            Preview { tables: &tables, wishes, report: &job.report, topic: &self.loads.topic, patience };
        match preview.make().await {
            Ok(preview) => Ok((job.view, preview)),
            Err(WarehouseError::Exception(exception)) if exception.is_query_limit() => {
                let path = api_path(&context.dataset.name, &format!("/reconcile/{id}/differences"));
                Err(RequestError::PreviewTooLarge { path })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a job of this server that is done.
    async fn finished(&self, id: Uuid) -> Result<Finished, RequestError> {
        let shown = self.reconciler.find(id).map(|job| job.view().state);
        if let Some(state) = shown.filter(|state| *state != JobState::Done) {
            return Err(RequestError::NotDone { state });
        }
        // Not the record in the queue: a repair may have changed the stored one since.
        let record = self.reconciler.store.get(id).await?.ok_or(RequestError::NoSuchJob)?;
        if record.state != JobState::Done {
            return Err(RequestError::NotDone { state: record.state });
        }
        // With `remove=unexpected`, a repair would delete every round of the uploads.
        if record.report.as_ref().is_some_and(|report| report.verdict == Verdict::NoValidRows) {
            return Err(RequestError::NoValidRows);
        }
        if !self.store.has_job(id).await? {
            return Err(RequestError::Elsewhere);
        }
        let view = record.view(1.0, None);
        match (record.attempt, record.report) {
            (Some(attempt), Some(report)) => Ok(Finished { view, attempt, report }),
            _ => Err(RequestError::DifferencesGone),
        }
    }

    /// Returns the last repair of a job, which must have ended.
    async fn earlier(&self, id: Uuid) -> Result<Option<Record>, RequestError> {
        let earlier = self.store.get(id).await?;
        // If storing it seemed to fail but did not, only its record says that a repair is under way.
        let is_known = !self.resumed.is_cancelled() || lock(&self.active).contains_key(&id);
        if is_known && earlier.as_ref().is_some_and(|earlier| !earlier.view.state.has_ended()) {
            return Err(RequestError::UnderWay);
        }
        Ok(earlier)
    }

    async fn check_differences(&self, job: &Finished) -> Result<(), RequestError> {
        let context = &self.reconciler.context;
        let warehouse = context.warehouse.for_requests();
        match Tables::for_preview(warehouse, &context.dataset, job.view.id, job.attempt)
            .has_all_of(&job.report)
            .await?
        {
            true => Ok(()),
            false => Err(RequestError::DifferencesGone),
        }
    }

    fn activate(&self, record: Record) -> Arc<Active> {
        let active = Active::new(record);
        lock(&self.active).insert(active.job, Arc::clone(&active));
        active
    }

    /// Returns the last repair of a job, if there was one.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn get(&self, job: Uuid) -> Result<Option<RepairView>, WarehouseError> {
        let active = lock(&self.active).get(&job).cloned();
        if let Some(active) = active {
            return Ok(Some(active.record().view));
        }
        Ok(self.store.get(job).await?.map(|record| record.view))
    }

    /// Works on the repairs until `stop`. Repairs that have not ended by then start again at the next start of the server.
    pub fn run(self: Arc<Self>, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            stop.run_until_cancelled(self.work()).await;
        })
    }

    async fn work(&self) {
        let Some(mut queued) = lock(&self.queued).take() else { return };
        // Until then it removes differences that do not count yet.
        self.reconciler.recovered().await;
        let unfinished = loop {
            match self.unfinished().await {
                Ok(unfinished) => break unfinished,
                Err(error) => {
                    tracing::warn!(%error, "repairs wait for ClickHouse");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        };
        self.resumed.cancel();
        for repair in &unfinished {
            tracing::info!(job = %repair.job, "an interrupted repair starts again");
            self.work_on(repair, true).await;
            self.end(repair);
        }
        while let Some(repair) = queued.recv().await {
            self.work_on(&repair, false).await;
            self.end(&repair);
        }
    }

    /// Returns the repairs that had not ended when the last process ended.
    async fn unfinished(&self) -> Result<Vec<Arc<Active>>, WarehouseError> {
        let _asking = self.asking.lock().await;
        let mut unfinished = self.recover().await?;
        // Repairs that were requested since the start are queued already.
        unfinished.retain(|record| !lock(&self.active).contains_key(&record.job_id));
        Ok(unfinished.into_iter().map(|record| self.activate(record)).collect())
    }

    fn end(&self, repair: &Arc<Active>) {
        let mut active = lock(&self.active);
        // It may be the next repair of the job already.
        if active.get(&repair.job).is_some_and(|other| Arc::ptr_eq(other, repair)) {
            active.remove(&repair.job);
        }
    }
}
