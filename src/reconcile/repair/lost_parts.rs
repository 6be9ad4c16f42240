//! Watches for parts of tables that ClickHouse has set aside as broken, and repairs what was in them.
//!
//! ClickHouse checks its parts when it starts. Rows of a part that it cannot read are missing from every answer, and no answer says so.
//! This module looks for broken parts. Until their rows are back the server is not ready and serves no aggregates. When the loader starts,
//! it restores lost rows (`src/loader/restore.rs`). This module makes the aggregate tables what their views make of the rows, whichever table
//! lost a part. Nothing is then counted twice, even if lost rows are uploaded again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::aggregates::Aggregate;
use super::loading::Loading;
use super::plan::Plan;
use super::record::Wishes;
use super::tables::Tables;
use super::{Loads, RepairError};
use crate::dataset::{BETS, Dataset};
use crate::loader::state::LoaderState;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::lost_parts::{LostParts, MissingRows, lost_parts, short_chunks};

const FORGET_KEYS: &str = include_str!("../../../queries/engine/repair/forget_keys.sql");

/// Between two checks.
const INTERVAL: Duration = Duration::from_secs(15);

/// Between two checks while rows are restored.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);

/// The id of a table and the name of a part.
type Key = (String, String);

/// A dataset whose tables are watched.
#[derive(Debug)]
pub struct Watched {
    dataset: Arc<Dataset>,
    loading: Loading,
    /// The state of this process's loader. None: another server loads and restores.
    loader: Option<watch::Receiver<LoaderState>>,
}

impl Watched {
    pub fn new(dataset: Arc<Dataset>, loads: Loads, loader: Option<watch::Receiver<LoaderState>>) -> Self {
        // Only the server that holds the loader's lease rebuilds aggregates.
        let is_alone = loads.is_gated;
        Self { dataset, loading: Loading { loads, is_alone }, loader }
    }
}

/// Watches from [`Watch::start`] on.
#[derive(Debug)]
pub struct Watch {
    warehouse: Warehouse,
    datasets: Vec<Watched>,
    lost: watch::Sender<LostParts>,
    /// Parts that were already broken when their loader started.
    restored: BTreeSet<Key>,
    /// Parts after whose loss the aggregates were rebuilt.
    rebuilt: BTreeSet<Key>,
}

impl Watch {
    pub fn new(warehouse: Warehouse, datasets: Vec<Watched>) -> Self {
        let (lost, _) = watch::channel(LostParts::default());
        Self { warehouse, datasets, lost, restored: BTreeSet::new(), rebuilt: BTreeSet::new() }
    }

    /// What was lost at the last check.
    pub fn lost(&self) -> watch::Receiver<LostParts> {
        self.lost.subscribe()
    }

    /// Checks once, after the loaders have started, and then repeatedly until `stop`.
    pub async fn start(mut self, stop: CancellationToken) -> JoinHandle<()> {
        self.look().await;
        let is_row_table = |table: &str| self.datasets.iter().any(|watched| watched.dataset.table == table);
        self.restored = keys(&self.lost.borrow(), is_row_table);
        tokio::spawn(async move {
            stop.run_until_cancelled(self.work()).await;
        })
    }

    async fn work(&mut self) {
        loop {
            let mut is_soon = !self.lost.borrow().is_known;
            for at in 0..self.datasets.len() {
                is_soon |= self.bring_back(at).await.unwrap_or_else(|error| {
                    tracing::warn!(cause = ?error, "not all rows of broken parts are restored yet; trying again");
                    true
                });
            }
            tokio::time::sleep(if is_soon { SHORT_INTERVAL } else { INTERVAL }).await;
            self.look().await;
        }
    }

    /// Checks what is lost, and publishes it. While ClickHouse does not answer, the last result stays.
    async fn look(&self) {
        let found = match self.find().await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "cannot read the broken parts from ClickHouse");
                return;
            }
        };
        self.lost.send_if_modified(|lost| {
            let is_new = *lost != found;
            if is_new && !found.parts.is_empty() {
                tracing::error!("{}", found.reason());
            } else if is_new && lost.is_known {
                tracing::warn!("the rows of all broken parts are restored");
            }
            *lost = found;
            is_new
        });
    }

    async fn find(&self) -> Result<LostParts, WarehouseError> {
        let parts = lost_parts(&self.warehouse).await?;
        let mut missing = Vec::new();
        for Watched { dataset, .. } in &self.datasets {
            if parts.iter().all(|part| part.table != dataset.table) {
                continue;
            }
            // Lost parts are reported even if it is not known what was in them.
            let chunks = short_chunks(&self.warehouse, dataset).await;
            let chunks = chunks.inspect_err(
                |error| tracing::warn!(%error, table = dataset.table, "cannot count the lost rows"),
            );
            missing.push(MissingRows {
                table: dataset.table.clone(),
                word: if dataset.name == BETS { "round" } else { "row" },
                rows: chunks.ok().map(|chunks| chunks.iter().map(|chunk| chunk.missing).sum()),
            });
        }
        Ok(LostParts { is_known: true, parts, missing })
    }

    /// Has rows of a dataset restored and its aggregates rebuilt, and notes which parts are no longer needed. Returns whether to check again
    /// soon.
    async fn bring_back(&mut self, at: usize) -> Result<bool, RepairError> {
        let Some(Watched { dataset, loading, loader }) = self.datasets.get(at) else { return Ok(false) };
        let lost = self.lost.borrow().clone();
        if !lost.affects(dataset) {
            return Ok(false);
        }
        let Some(loader) = loader else { return Ok(false) };
        if *loader.borrow() != LoaderState::Running {
            return Ok(true);
        }
        let rows = keys(&lost, |table| table == dataset.table);
        let all = keys(&lost, |table| dataset.has_table(table));
        if !rows.is_subset(&self.restored) {
            self.restored.extend(rows);
            // The loader restores what it can before it continues.
            loading.loads.gate.begin_again();
            return Ok(true);
        }
        // Of rows that expire, it is not known which ones should be there.
        let has_all_rows = lost.has_all_rows(&dataset.table) || dataset.rows_expire;
        if !has_all_rows && all.is_subset(&self.rebuilt) {
            // Somebody must upload what is still missing.
            return Ok(false);
        }
        self.rebuild(dataset, loading).await?;
        self.rebuilt.extend(all);
        for part in lost.parts.iter().filter(|part| dataset.has_table(&part.table)) {
            if part.table != dataset.table || has_all_rows {
                part.settle(&self.warehouse).await?;
            }
        }
        Ok(true)
    }

    /// Makes every row of the aggregate tables what the views make of the rows.
    async fn rebuild(&self, dataset: &Arc<Dataset>, loading: &Loading) -> Result<(), RepairError> {
        tracing::warn!(
            dataset = dataset.name,
            "comparing all aggregates with their rows; what is missing will be added"
        );
        let tables = Tables::new(self.warehouse.clone(), dataset, Uuid::now_v7(), Uuid::nil());
        let plan = Plan::new(&tables, Wishes::default());
        let mut rebuilt = Ok(());
        for aggregate in Aggregate::all(&plan) {
            rebuilt = aggregate.rebuild_all(loading).await;
            if rebuilt.is_err() {
                break;
            }
        }
        tables.execute(tables.query(FORGET_KEYS)).await?;
        rebuilt
    }
}

fn keys(lost: &LostParts, of: impl Fn(&str) -> bool) -> BTreeSet<Key> {
    let parts = lost.parts.iter().filter(|part| of(&part.table));
    parts.map(|part| (part.table_uuid.clone(), part.name.clone())).collect()
}
