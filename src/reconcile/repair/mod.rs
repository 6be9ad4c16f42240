//! Mends what a reconciliation has found.
//!
//! A repair works from `reconcile_differences` alone, since the file is gone. Its steps ([`work`]): the hours that it has to look at
//! are noted; what is missing is produced as an upload ([`produce`]); where the file is preferred, rounds that differ get its values;
//! copies of rounds are removed, and if so wished rounds that the file does not have ([`rounds`]); hours are made the sums of
//! their rounds ([`hours`]); all that differed is compared once more ([`check`]), and becomes the job's report. Rounds of which the
//! file has contradictory rows are left alone: nothing says which row is right.
//!
//! Each step can be done again without harm, and the whole is, from its beginning, after a crash of whoever: [`record`] keeps in
//! ClickHouse what is to be done. Repairs run one after the other.

mod check;
mod hours;
mod lost_parts;
mod produce;
pub mod record;
mod rounds;
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

pub use self::lost_parts::Watch;
use self::record::{Record, RepairState, RepairView, Store, Wishes};
use super::Reconciler;
use super::attempts::Failure;
use super::report::{JobState, JobView, Verdict};
use crate::ingest::upload::{UploadError, Uploader};
use crate::loader::gate::Gate;
use crate::loader::is_fenced;
use crate::loader::lease::{Holder, Tenure};
use crate::lock::lock;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// Repairs that may wait; one more is refused.
const MAX_WAITING: usize = 100;

/// Between attempts to tell ClickHouse something that it must know.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Why a repair is not taken.
#[derive(Debug, Error)]
pub enum RequestError {
    #[error("there is no reconciliation with this id: GET /reconcile lists them")]
    NoSuchJob,
    #[error("the reconciliation is {}: only what one that is done has found can be repaired", .state.name())]
    NotDone { state: JobState },
    #[error("this reconciliation is one of another server, which alone can repair what it has found")]
    Elsewhere,
    #[error("this server does not load the topic; send the file to the server that does, and repair there")]
    NotLoading { owner: Option<Uuid> },
    #[error("a repair of this reconciliation is under way: wait until it has ended")]
    UnderWay,
    #[error("{limit} repairs are waiting: try again when one has ended")]
    QueueFull { limit: usize },
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error("no row of the file is valid, so nothing was compared; correct the file and reconcile it again")]
    NoValidRows,
    #[error("the server is stopping: try again")]
    Stopping,
}

/// Why a repair failed, as its sender is told; causes are for the log.
#[derive(Debug, Error)]
enum RepairError {
    #[error("the disk of ClickHouse is full; free some space there, then repair again")]
    ClickHouseDiskFull,
    #[error("{}; repair again once ClickHouse is well", .0.summary())]
    Warehouse(#[source] WarehouseError),
    #[error("another server loads the topic now; send the file to that one, and repair there")]
    NotLoading,
    #[error("what is missing cannot be produced: {0}")]
    Upload(#[from] UploadError),
    #[error("{rows} of the rows that are missing are rejected by now: see /uploads/{upload_id}/rejects")]
    Rejected { rows: u64, upload_id: Uuid },
    #[error("what was produced is not loaded yet: repair again once it is")]
    NotVisible,
    #[error("the reconciliation, or what it found, is no longer there: send the file again")]
    JobGone,
    #[error("not all of what was found is still kept: send the file again")]
    DifferencesGone,
    #[error("parts of the table change all the time, so that rounds cannot be removed: repair again")]
    RoundsStay,
    #[error("rows are loaded all the time, so that hours cannot be made right: repair again")]
    HoursDiffer,
    #[error("what was compared is not all that was found: repair again")]
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
            // The loader of this process may have got another generation just now.
            Self::NotLoading
            | Self::Warehouse(_)
            | Self::RoundsStay
            | Self::HoursDiffer
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

/// How the topic is loaded, as far as repairs go.
#[derive(Clone, Debug)]
pub struct Loads {
    pub topic: String,
    /// Who loads it. Only the server that does may repair.
    pub tenure: Tenure,
    /// Where the loader of this process waits.
    pub gate: Gate,
    /// It does wait there: ClickHouse's own consumer does not.
    pub is_gated: bool,
}

impl Loads {
    /// Returns the other server that loads the topic, or none if nobody is known to.
    fn elsewhere(&self) -> Option<Option<Uuid>> {
        match self.tenure.holder() {
            Holder::Us(_) | Holder::Unknown => None,
            Holder::Other(owner) => Some(Some(owner)),
            Holder::Nobody => Some(None),
        }
    }
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

    /// Returns a new version of the record, which is not yet shown: see [`Active::show`].
    fn changed(&self, change: impl FnOnce(&mut Record)) -> Record {
        let mut record = self.record();
        change(&mut record);
        record.version += 1;
        record
    }

    fn show(&self, record: Record) {
        *lock(&self.record) = record;
    }

    /// Changes the record, and returns it as a new version. Only who works on a repair changes it.
    fn change(&self, change: impl FnOnce(&mut Record)) -> Record {
        let record = self.changed(change);
        self.show(record.clone());
        record
    }
}

/// Takes repairs, and works on them in the background, one after the other.
#[derive(Debug)]
pub struct Repairer {
    reconciler: Arc<Reconciler>,
    uploader: Arc<Uploader>,
    store: Store,
    loads: Loads,
    active: Mutex<HashMap<Uuid, Arc<Active>>>,
    /// Held while a repair is looked for and stored, so that a job has one at a time.
    asking: tokio::sync::Mutex<()>,
    queue: mpsc::Sender<Arc<Active>>,
    /// Cancelled when those are active that an earlier process had not ended.
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
            store: Store::new(warehouse.for_requests(), reconciler.spool.owner()),
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

    /// Takes the repair of what a job has found, and returns it once it is where it survives a restart. Where there is nothing to
    /// repair, it is done.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(
        self: &Arc<Self>,
        job: Uuid,
        wishes: Wishes,
    ) -> Result<(JobView, RepairView), RequestError> {
        let repairer = Arc::clone(self);
        // A task of its own: a sender that goes away now must not leave a repair that is stored and not queued.
        let noting = tokio::spawn(async move { repairer.enqueue(job, wishes).await });
        noting.await.unwrap_or(Err(RequestError::Stopping))
    }

    async fn enqueue(&self, id: Uuid, wishes: Wishes) -> Result<(JobView, RepairView), RequestError> {
        let _asking = self.asking.lock().await;
        let job = self.reconciler.get(id).await?.ok_or(RequestError::NoSuchJob)?;
        let Some(report) = job.report.as_ref().filter(|_| job.state == JobState::Done) else {
            return Err(RequestError::NotDone { state: job.state });
        };
        // With `remove=unexpected`, a repair would delete every round of the uploads.
        if report.verdict == Verdict::NoValidRows {
            return Err(RequestError::NoValidRows);
        }
        if !self.store.has_job(id).await? {
            return Err(RequestError::Elsewhere);
        }
        if let Some(owner) = self.loads.elsewhere() {
            return Err(RequestError::NotLoading { owner });
        }
        let earlier = self.store.get(id).await?;
        // One that was stored though ClickHouse did not say so is under way only by its record.
        let is_known = !self.resumed.is_cancelled() || lock(&self.active).contains_key(&id);
        if is_known && earlier.as_ref().is_some_and(|earlier| !earlier.view.state.has_ended()) {
            return Err(RequestError::UnderWay);
        }
        let mut record = Record::new(id, earlier.map_or(1, |earlier| earlier.version + 1), wishes);
        if report.mismatches() == 0 {
            record.view.state = RepairState::Done;
            self.store.write(&record).await?;
            return Ok((job, record.view));
        }
        let place = self.queue.try_reserve().map_err(|_| RequestError::QueueFull { limit: MAX_WAITING })?;
        self.store.write(&record).await?;
        let view = record.view.clone();
        place.send(self.activate(record));
        Ok((job, view))
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

    /// Works on the repairs until `stop`; those that have not ended by then are run again at the next start.
    pub fn run(self: Arc<Self>, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            stop.run_until_cancelled(self.work()).await;
        })
    }

    async fn work(&self) {
        let Some(mut queued) = lock(&self.queued).take() else { return };
        // It removes differences that do not count yet.
        self.reconciler.recovered.cancelled().await;
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
            tracing::info!(job = %repair.job, "a repair is run again");
            self.work_on(repair, true).await;
            self.end(repair);
        }
        while let Some(repair) = queued.recv().await {
            self.work_on(&repair, false).await;
            self.end(&repair);
        }
    }

    /// Returns the repairs that had not ended when the last process did.
    async fn unfinished(&self) -> Result<Vec<Arc<Active>>, WarehouseError> {
        let _asking = self.asking.lock().await;
        let mut unfinished = self.recover().await?;
        // Those that were asked for since the start are queued already.
        unfinished.retain(|record| !lock(&self.active).contains_key(&record.job_id));
        Ok(unfinished.into_iter().map(|record| self.activate(record)).collect())
    }

    fn end(&self, repair: &Arc<Active>) {
        let mut active = lock(&self.active);
        // The next one may be here already.
        if active.get(&repair.job).is_some_and(|other| Arc::ptr_eq(other, repair)) {
            active.remove(&repair.job);
        }
    }
}
