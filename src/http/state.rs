//! The state that the handlers of a dataset share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::freshness::Freshness;
use super::readiness::Readiness;
use crate::dataset::Dataset;
use crate::dataset::api_path::api_path;
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
    pub warehouse: Warehouse,
    /// The disk of the data directory.
    pub disk: Disk,
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

/// A dataset that the API serves.
#[derive(Clone, Debug)]
pub struct Served {
    pub app: AppState,
    pub reconciling: Option<ReconcileState>,
}

/// What handlers of reconciliations and repairs use. A dataset without a key has none.
#[derive(Clone, Debug)]
pub struct ReconcileState {
    pub app: AppState,
    pub reconciler: Arc<Reconciler>,
    pub repairer: Arc<Repairer>,
}

impl AppState {
    pub fn dataset(&self) -> &Dataset {
        self.uploader.dataset()
    }

    /// Returns the path of the dataset's part of the API that ends in `rest`. That of bets has no prefix.
    pub fn path(&self, rest: &str) -> String {
        api_path(&self.dataset().name, rest)
    }

    /// The server's metrics.
    pub fn metrics(&self) -> &Metrics {
        self.uploader.ledger.metrics()
    }
}
