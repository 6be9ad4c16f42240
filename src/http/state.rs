//! The state that the handlers share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::freshness::Freshness;
use super::readiness::Readiness;
use crate::disk::Disk;
use crate::ingest::upload::Uploader;
use crate::metrics::Metrics;
use crate::reconcile::Reconciler;
use crate::reconcile::repair::Repairer;
use crate::warehouse::aggregates::QueryLimits;
use crate::warehouse::client::Warehouse;

/// Everything a handler may use. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct AppState {
    pub uploader: Arc<Uploader>,
    pub reconciler: Arc<Reconciler>,
    pub repairer: Arc<Repairer>,
    pub warehouse: Warehouse,
    /// The disk of the data directory.
    pub disk: Disk,
    pub dead_letter_topic: Arc<str>,
    pub readiness: Arc<Readiness>,
    pub freshness: Arc<Freshness>,
    /// A permit for each aggregates query that may run at the same time.
    pub queries: Arc<Semaphore>,
    pub query_limits: QueryLimits,
    pub visible_timeout: Duration,
    /// Cancelled when the server begins to stop. Nothing is loaded after that.
    pub stopping: CancellationToken,
    /// Most files of one form.
    pub max_form_files: u64,
    /// How long a file may pause while it is sent.
    pub upload_idle: Duration,
    /// Most bytes of one file, decompressed.
    pub max_upload_bytes: u64,
}

impl AppState {
    /// The server's metrics.
    pub fn metrics(&self) -> &Metrics {
        self.uploader.ledger.metrics()
    }
}
