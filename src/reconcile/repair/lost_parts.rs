//! Watches for parts of tables that ClickHouse has set aside as broken, and repairs the hours that were in them or whose rounds were.
//!
//! ClickHouse checks its parts when it starts. Rows of a part that it cannot read are missing from every answer, and no answer says so.
//! This module looks for broken parts. Until their rows are back the server is not ready and serves no aggregates. When the loader starts,
//! it restores lost rounds (`src/loader/restore.rs`). This module makes the hours the sums of their rounds, whichever of the two tables
//! lost a part. Nothing is then counted twice, even if lost rounds are uploaded again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hours::{self, Loading};
use super::tables::Tables;
use super::{Loads, RepairError};
use crate::dataset::Dataset;
use crate::loader::state::LoaderState;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::lost_parts::{HOURS, LostParts, ROUNDS, lost_parts, short_chunks};

const NOTE_ALL_HOURS: &str = include_str!("../../../queries/engine/lost_parts/note_all_hours.sql");
const FORGET_HOURS: &str = include_str!("../../../queries/engine/repair/forget_hours.sql");

/// Between two checks.
const INTERVAL: Duration = Duration::from_secs(15);

/// Between two checks while rows are restored.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);

/// The id of a table and the name of a part.
type Key = (String, String);

/// Watches from [`Watch::start`] on.
#[derive(Debug)]
pub struct Watch {
    warehouse: Warehouse,
    /// The dataset whose parts are restored; none if the server does not serve it.
    bets: Option<Arc<Dataset>>,
    loading: Loading,
    /// The state of this process's loader. None: another server loads and restores.
    loader: Option<watch::Receiver<LoaderState>>,
    lost: watch::Sender<LostParts>,
    /// Parts that were already broken when the loader started.
    restored: BTreeSet<Key>,
    /// Parts after whose loss the hours were rebuilt.
    rebuilt: BTreeSet<Key>,
}

impl Watch {
    pub fn new(
        warehouse: Warehouse,
        bets: Option<Arc<Dataset>>,
        loads: Loads,
        loader: Option<watch::Receiver<LoaderState>>,
    ) -> Self {
        // Only the server that holds the loader's lease rebuilds hours.
        let is_alone = loads.is_gated;
        let loading = Loading { loads, is_alone };
        let (lost, _) = watch::channel(LostParts::default());
        Self { warehouse, bets, loading, loader, lost, restored: BTreeSet::new(), rebuilt: BTreeSet::new() }
    }

    /// What was lost at the last check.
    pub fn lost(&self) -> watch::Receiver<LostParts> {
        self.lost.subscribe()
    }

    /// Checks once, after the loader has started, and then repeatedly until `stop`.
    pub async fn start(mut self, stop: CancellationToken) -> JoinHandle<()> {
        self.look().await;
        self.restored = keys(&self.lost.borrow(), |table| table == ROUNDS);
        tokio::spawn(async move {
            stop.run_until_cancelled(self.work()).await;
        })
    }

    async fn work(&mut self) {
        loop {
            let is_soon = self.bring_back().await.unwrap_or_else(|error| {
                tracing::warn!(cause = ?error, "not all rows of broken parts are restored yet; trying again");
                true
            });
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
        let mut missing_rounds = Some(0);
        if let Some(bets) = &self.bets
            && parts.iter().any(|part| part.table == ROUNDS)
        {
            // Lost parts are reported even if it is not known what was in them.
            let chunks = short_chunks(&self.warehouse, bets).await;
            let chunks = chunks.inspect_err(|error| tracing::warn!(%error, "cannot count the lost rounds"));
            missing_rounds = chunks.ok().map(|chunks| chunks.iter().map(|chunk| chunk.missing).sum());
        }
        Ok(LostParts { is_known: true, parts, missing_rounds })
    }

    /// Has rounds restored and hours rebuilt, and notes which parts are no longer needed. Returns whether to check again soon.
    async fn bring_back(&mut self) -> Result<bool, RepairError> {
        let lost = self.lost.borrow().clone();
        if !lost.affects_hours() {
            return Ok(!lost.is_known);
        }
        let Some(loader) = &self.loader else { return Ok(false) };
        if *loader.borrow() != LoaderState::Running {
            return Ok(true);
        }
        let (rounds, all) = (keys(&lost, |table| table == ROUNDS), keys(&lost, |_| true));
        if !rounds.is_subset(&self.restored) {
            self.restored.extend(rounds);
            // The loader restores what it can before it continues.
            self.loading.loads.gate.begin_again();
            return Ok(true);
        }
        if !lost.has_all_rounds() && all.is_subset(&self.rebuilt) {
            // Somebody must upload what is still missing.
            return Ok(false);
        }
        self.rebuild_hours().await?;
        self.rebuilt.extend(all);
        for part in &lost.parts {
            if part.table == HOURS || part.table == ROUNDS && lost.has_all_rounds() {
                part.settle(&self.warehouse).await?;
            }
        }
        Ok(true)
    }

    /// Makes every hour the sum of its rounds.
    async fn rebuild_hours(&self) -> Result<(), RepairError> {
        tracing::warn!("comparing all hourly aggregates with their rounds; missing amounts will be added");
        let tables = Tables::new(self.warehouse.clone(), Uuid::now_v7(), Uuid::nil());
        tables.execute(tables.query(NOTE_ALL_HOURS)).await?;
        let rebuilt = hours::rebuild(&tables, &self.loading).await;
        tables.execute(tables.query(FORGET_HOURS)).await?;
        rebuilt
    }
}

fn keys(lost: &LostParts, of: impl Fn(&str) -> bool) -> BTreeSet<Key> {
    let parts = lost.parts.iter().filter(|part| of(&part.table));
    parts.map(|part| (part.table_uuid.clone(), part.name.clone())).collect()
}
