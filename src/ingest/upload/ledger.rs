//! The ledger of uploads. This server writes changes to ClickHouse in the background, so an upload neither waits for ClickHouse nor fails
//! without it. Changes that ClickHouse may not have yet are also on disk ([`super::journal`]), so a crash loses none of them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::journal::Journal;
use crate::metrics::Metrics;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::upload_counts;
use crate::warehouse::uploads::{self, Acknowledged, LedgerRow, LedgerState, Selection};
use roundhouse_part::lock::lock;

/// Pause between attempts to write to ClickHouse.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Interval at which progress is written to ClickHouse.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Number of uploads that may wait for ClickHouse; beyond it no more are accepted.
pub const MAX_WAITING: usize = 10_000;

/// Number of uploads written in one statement.
const MAX_BATCH: usize = 500;

/// Number of unfinished uploads of an earlier process that are marked as failed at once.
const MAX_LEFT_OVER: u64 = 10_000;

/// Number of the last acknowledged uploads that are checked for being visible.
const MAX_ACKNOWLEDGED: usize = 200;

/// Number of uploads with the same first bytes that are compared.
const MAX_CANDIDATES: u64 = 100;

/// The uploads of one server.
#[derive(Debug)]
pub struct Ledger {
    warehouse: Warehouse,
    owner: Uuid,
    metrics: Metrics,
    journal: Journal,
    /// Uploads with a smaller id belong to earlier processes.
    first: Uuid,
    /// Uploads that are running, and those of which ClickHouse may not have the last change.
    kept: Mutex<BTreeMap<Uuid, Kept>>,
    /// The uploads that this server acknowledged last, in this order. It differs from the order of their ids.
    acknowledged: Mutex<VecDeque<Acknowledged>>,
    changed: Notify,
    /// Grows with each write to ClickHouse.
    told: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept {
    row: LedgerRow,
    is_told: bool,
    /// It is in the journal.
    is_saved: bool,
}

impl Ledger {
    /// Opens the ledger with the uploads that an earlier process left in the journal. Nothing is written to ClickHouse before [`Ledger::run`].
    /// `owner`: identifies this server across restarts; `journal`: the file.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(warehouse: Warehouse, owner: Uuid, metrics: Metrics, journal: &Path) -> io::Result<Self> {
        let (journal, left_over) = Journal::open(journal)?;
        let ledger = Self {
            warehouse,
            owner,
            metrics,
            journal,
            first: Uuid::now_v7(),
            kept: Mutex::default(),
            acknowledged: Mutex::default(),
            changed: Notify::new(),
            told: watch::Sender::new(0),
        };
        for mut row in left_over {
            if row.state == LedgerState::Receiving {
                stop(&mut row);
                ledger.note(&mut row);
            } else {
                ledger.keep(&row, true);
            }
        }
        Ok(ledger)
    }

    /// Records the current state of an upload. Its begin and end are written to ClickHouse at once, its progress every second. Blocks
    /// until an acknowledged upload is on disk.
    pub fn note(&self, row: &mut LedgerRow) {
        row.version += 1;
        row.owner = self.owner;
        row.updated_at = chrono::Utc::now().timestamp_millis();
        // Progress may be lost. The begin is written without waiting for the disk: that survives this process.
        let is_saved = (row.version > 1 && row.state == LedgerState::Receiving) || self.save(row);
        let before = self.keep(row, is_saved);
        // Earlier processes have counted their uploads.
        if row.upload_id > self.first {
            self.metrics.see_upload(before.as_ref(), row);
        }
        if row.version == 1 || row.state != LedgerState::Receiving {
            self.changed.notify_one();
        }
    }

    /// Writes an upload to the journal. This comes before [`Ledger::keep`]: from then on it may be written to ClickHouse and forgotten.
    /// Returns whether it survives a crash.
    fn save(&self, row: &LedgerRow) -> bool {
        let saved = self.journal.note(row, row.state == LedgerState::Acknowledged);
        if let Err(error) = &saved {
            tracing::error!(upload = %row.upload_id, %error, "cannot write the journal of uploads");
        }
        saved.is_ok()
    }

    /// Keeps an upload until ClickHouse has it. Returns its earlier state.
    fn keep(&self, row: &LedgerRow, is_saved: bool) -> Option<LedgerRow> {
        let before = self.kept().insert(row.upload_id, Kept { row: row.clone(), is_told: false, is_saved });
        if let Some(upload) = Acknowledged::of(row) {
            let mut acknowledged = self.acknowledged();
            acknowledged.push_back(upload);
            if acknowledged.len() > MAX_ACKNOWLEDGED {
                acknowledged.pop_front();
            }
        }
        before.map(|kept| kept.row)
    }

    /// Says whether too many uploads wait for ClickHouse.
    pub fn is_full(&self) -> bool {
        self.kept().len() >= MAX_WAITING
    }

    /// Waits for ClickHouse to have the last change of an upload. Returns whether it has it, or the change survives a crash anyway.
    pub async fn is_safe(&self, id: Uuid, patience: Duration) -> bool {
        self.is_told(id, patience).await || self.kept().get(&id).is_none_or(|kept| kept.is_saved)
    }

    /// Waits for ClickHouse to have the last change of an upload. Returns whether it has it.
    async fn is_told(&self, id: Uuid, patience: Duration) -> bool {
        let mut told = self.told.subscribe();
        let all = async {
            while self.kept().get(&id).is_some_and(|kept| !kept.is_told) {
                if told.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(patience, all).await.is_ok()
    }

    /// Returns an upload of a dataset, of any server.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn get(&self, dataset: &str, id: Uuid) -> Result<Option<LedgerRow>, WarehouseError> {
        if let Some(kept) = self.kept().get(&id).filter(|kept| kept.row.dataset == dataset) {
            return Ok(Some(kept.row.clone()));
        }
        let selection = Selection { dataset: Some(dataset), upload_id: Some(id), ..Selection::default() };
        Ok(uploads::select(&self.warehouse, &selection, 1).await?.pop())
    }

    /// Returns the uploads of a dataset before another one, or the last ones, newest first.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn page(
        &self,
        dataset: &str,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<LedgerRow>, WarehouseError> {
        let kept = self
            .kept_rows(|row| row.dataset == dataset && before.is_none_or(|before| row.upload_id < before));
        let selection = Selection { dataset: Some(dataset), before, ..Selection::default() };
        let stored = uploads::select(&self.warehouse, &selection, limit as u64).await?;
        Ok(merged(kept, stored).into_values().rev().take(limit).collect())
    }

    /// Returns the uploads that this server acknowledged last, and of all acknowledged uploads those that began last. An upload may be
    /// returned twice.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn last_acknowledged(&self) -> Result<Vec<Acknowledged>, WarehouseError> {
        let mut found: Vec<Acknowledged> = self.acknowledged().iter().cloned().collect();
        found.extend(uploads::last_acknowledged(&self.warehouse, MAX_ACKNOWLEDGED as u64).await?);
        Ok(found)
    }

    /// Returns the acknowledged uploads of a dataset whose first bytes have this digest, oldest first.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn with_head(
        &self,
        dataset: &str,
        head_sha256: &str,
    ) -> Result<Vec<LedgerRow>, WarehouseError> {
        let selection = Selection {
            dataset: Some(dataset),
            head_sha256: Some(head_sha256),
            state: Some(LedgerState::Acknowledged),
            ..Selection::default()
        };
        let kept = self.kept_with_head(dataset, head_sha256);
        let stored = uploads::select(&self.warehouse, &selection, MAX_CANDIDATES).await?;
        let found = merged(kept, stored).into_values();
        Ok(found.filter(|row| row.replay_of.is_none()).collect())
    }

    /// Says whether an acknowledged upload has lost rows. If ClickHouse does not answer in time, it has not.
    pub async fn has_lost_rows(&self, row: &LedgerRow, patience: Duration) -> bool {
        match tokio::time::timeout(patience, upload_counts::has_lost_rows(&self.warehouse, row)).await {
            Ok(Ok(has_lost)) => has_lost,
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(upload = %row.upload_id, "cannot find out whether an earlier upload has lost rows");
                false
            }
        }
    }

    /// Returns the uploads of [`Ledger::with_head`] that ClickHouse may not have yet.
    pub fn kept_with_head(&self, dataset: &str, head_sha256: &str) -> Vec<LedgerRow> {
        self.kept_rows(|row| {
            row.dataset == dataset && row.head_sha256 == head_sha256 && row.state == LedgerState::Acknowledged
        })
    }

    /// Returns kept uploads. Call it before the query to ClickHouse: what is written in between is forgotten here, and may not be in the
    /// answer yet.
    fn kept_rows(&self, is_wanted: impl Fn(&LedgerRow) -> bool) -> Vec<LedgerRow> {
        let kept = self.kept();
        kept.values().map(|kept| &kept.row).filter(|row| is_wanted(row)).cloned().collect()
    }

    /// Returns the metrics of uploads.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Writes changes to ClickHouse until `stop`, and then the remaining ones, once.
    pub fn run(self: Arc<Self>, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            stop.run_until_cancelled(self.keep_telling()).await;
            if let Err(error) = self.tell().await {
                tracing::warn!(%error, "cannot write the last uploads to the ledger in ClickHouse");
            }
        })
    }

    async fn keep_telling(&self) {
        let mut is_recovered = false;
        loop {
            let attempt = async {
                if !is_recovered {
                    self.fail_left_over().await?;
                    is_recovered = true;
                }
                self.tell().await
            };
            match attempt.await {
                // After that time there may be progress.
                Ok(()) => drop(tokio::time::timeout(PROGRESS_INTERVAL, self.changed.notified()).await),
                Err(error) => {
                    tracing::warn!(%error, "cannot write the ledger of uploads to ClickHouse; trying again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Marks the uploads as failed that were running when an earlier process of this server ended.
    async fn fail_left_over(&self) -> Result<(), WarehouseError> {
        let selection = Selection {
            before: Some(self.first),
            owner: Some(self.owner),
            state: Some(LedgerState::Receiving),
            ..Selection::default()
        };
        for mut row in uploads::select(&self.warehouse, &selection, MAX_LEFT_OVER).await? {
            // The journal may be newer, and have the end.
            let is_newer = |kept: &Kept| kept.row.version > row.version;
            if !self.kept().get(&row.upload_id).is_some_and(is_newer) {
                stop(&mut row);
                self.note(&mut row);
            }
        }
        Ok(())
    }

    /// Writes each changed upload to ClickHouse, once. Running ones change again meanwhile, and wait for the next time.
    async fn tell(&self) -> Result<(), WarehouseError> {
        let mut told = Uuid::nil();
        loop {
            let news: Vec<LedgerRow> = self
                .kept()
                .range((Bound::Excluded(told), Bound::Unbounded))
                .filter(|(_, kept)| !kept.is_told)
                .take(MAX_BATCH)
                .map(|(_, kept)| kept.row.clone())
                .collect();
            let Some(last) = news.last() else { return Ok(()) };
            told = last.upload_id;
            uploads::write(&self.warehouse, &news).await?;
            self.journal.have_told(&news);
            self.have_told(&news);
        }
    }

    fn have_told(&self, news: &[LedgerRow]) {
        let mut kept = self.kept();
        for told in news {
            if let Some(entry) = kept.get_mut(&told.upload_id).filter(|kept| kept.row.version == told.version)
            {
                entry.is_told = true;
                if told.state != LedgerState::Receiving {
                    kept.remove(&told.upload_id);
                }
            }
        }
        drop(kept);
        self.told.send_modify(|times| *times += 1);
    }

    fn acknowledged(&self) -> MutexGuard<'_, VecDeque<Acknowledged>> {
        lock(&self.acknowledged)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Uuid, Kept>> {
        lock(&self.kept)
    }
}

/// Marks an upload as failed because its server stopped.
fn stop(row: &mut LedgerRow) {
    row.state = LedgerState::Failed;
    "server_stopped".clone_into(&mut row.failure_code);
    "the server was stopped".clone_into(&mut row.reason);
}

/// Returns the rows of both by id, and of two with the same id the newer one.
fn merged(kept: Vec<LedgerRow>, stored: Vec<LedgerRow>) -> BTreeMap<Uuid, LedgerRow> {
    let mut rows: BTreeMap<Uuid, LedgerRow> = BTreeMap::new();
    for row in kept.into_iter().chain(stored) {
        if rows.get(&row.upload_id).is_none_or(|other| other.version < row.version) {
            rows.insert(row.upload_id, row);
        }
    }
    rows
}
