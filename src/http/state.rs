//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::freshness::Freshness;
use super::health::Readiness;
use crate::disk::Disk;
use crate::ingest::upload::Uploader;
use crate::metrics::Metrics;
use crate::reconcile::Reconciler;
use crate::reconcile::repair::Repairer;
use crate::warehouse::aggregates::QueryLimits;
use crate::warehouse::client::Warehouse;

/// Everything a handler may use; a clone is cheap.
#[derive(Clone, Debug)]
pub struct AppState {
    pub uploader: Arc<Uploader>,
    pub reconciler: Arc<Reconciler>,
    pub repairer: Arc<Repairer>,
    pub warehouse: Warehouse,
    /// That of the data directory.
    pub disk: Disk,
    pub dead_letter_topic: Arc<str>,
    pub readiness: Arc<Readiness>,
    pub freshness: Arc<Freshness>,
    /// As many permits as queries of aggregates may run at the same time.
    pub queries: Arc<Semaphore>,
    pub query_limits: QueryLimits,
    pub visible_timeout: Duration,
    /// Cancelled when the server is told to stop: nothing is loaded any more then.
    pub stopping: CancellationToken,
    /// Files of one form.
    pub max_form_files: u64,
    /// How long nothing may come of a file that is being sent.
    pub upload_idle: Duration,
    /// Bytes of one file, decompressed.
    pub max_upload_bytes: u64,
}

impl AppState {
    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        self.uploader.ledger.metrics()
    }
}
