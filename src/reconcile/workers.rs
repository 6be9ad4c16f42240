//! The workers of a server: they recover what an earlier process has left, then take jobs of all datasets from the queue.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::queue::Job;
use super::store::Record;
use super::tables::Tables;
use super::{RETRY_PAUSE, Reconciler};
use crate::warehouse::client::WarehouseError;

/// Works on the jobs of reconcilers that share a queue, until `stop`. Jobs that have not ended by then start again at the next start of the
/// server.
pub fn run(reconcilers: Vec<Arc<Reconciler>>, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Some(workers) = Workers::new(&reconcilers) {
            stop.run_until_cancelled(workers.work()).await;
        }
    })
}

struct Workers<'a> {
    reconcilers: &'a [Arc<Reconciler>],
    first: &'a Reconciler,
}

impl<'a> Workers<'a> {
    fn new(reconcilers: &'a [Arc<Reconciler>]) -> Option<Self> {
        Some(Self { reconcilers, first: reconcilers.first()? })
    }

    /// Returns the reconciler of a job. None: this server does not serve its dataset any more.
    fn of(&self, record: &Record) -> Option<&Reconciler> {
        let mut found = self.reconcilers.iter().filter(|one| one.context.dataset.name == record.dataset);
        found.next().map(Arc::as_ref)
    }

    async fn work(&self) {
        while let Err(error) = self.recover().await {
            tracing::warn!(%error, "reconciliations wait for ClickHouse");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        let shared = &self.first.shared;
        shared.recovered.cancel();
        let workers = (0..shared.limits.max_running_reconciliations.max(1)).map(|_| self.work_on_queue());
        futures_util::future::join_all(workers).await;
    }

    /// Queues the jobs that had not ended when the last process ended, and removes files and tables that belong to no such job. Jobs of
    /// a dataset that is not served wait with their files until it is served again.
    async fn recover(&self) -> Result<(), WarehouseError> {
        let shared = &self.first.shared;
        let _nothing_is_noted = shared.noting.write().await;
        for reconciler in self.reconcilers {
            let context = &reconciler.context;
            for (id, kept) in reconciler.store.left_over().await? {
                let tables = Tables::new(context.warehouse.clone(), Arc::clone(&context.dataset), id);
                tables.clear(kept).await?;
            }
        }
        let mut unfinished = self.first.store.unfinished().await?;
        // Jobs that were submitted since the start are queued already.
        unfinished.retain(|record| shared.queue.find(record.id).is_none());
        let wanted: HashSet<Uuid> = unfinished.iter().map(|record| record.id).collect();
        for (id, bytes) in shared.spool.found() {
            if !wanted.contains(id) {
                shared.spool.remove(*id, *bytes);
            }
        }
        let (served, waiting): (Vec<Record>, Vec<Record>) =
            unfinished.into_iter().partition(|record| self.of(record).is_some());
        for record in &served {
            tracing::info!(job = %record.id, "an interrupted reconciliation starts again");
        }
        for record in &waiting {
            tracing::warn!(job = %record.id, dataset = record.dataset, "an interrupted reconciliation waits until its dataset is served again");
        }
        shared.queue.put_first(served.into_iter().map(|record| Job::new(record, None)).collect());
        Ok(())
    }

    async fn work_on_queue(&self) {
        while let Some(job) = self.first.shared.queue.next().await {
            if let Some(reconciler) = self.of(&job.record()) {
                reconciler.work_on(&job).await;
            }
        }
    }
}
