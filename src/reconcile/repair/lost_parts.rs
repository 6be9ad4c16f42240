//! Watches for parts of tables that ClickHouse has set aside as broken, and makes the hours right that went with them.
//!
//! ClickHouse looks at its parts when it starts. The rows of one that it cannot read are in no answer any more, and no answer says
//! so. So broken parts are looked for here; until their rows are there again the server is not ready, and serves no
//! aggregates. Lost rounds are restored by the loader when it begins (`src/loader/restore.rs`). The hours are made the sums of their
//! rounds here, whichever of the two tables lost a part: then they count nothing twice either when lost rounds are uploaded again.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::hours::{self, Loading};
use super::tables::Tables;
use super::{Loads, RepairError};
use crate::loader::run::LoaderState;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::lost_parts::{HOURS, LostParts, ROUNDS, lost_parts, short_chunks};

const NOTE_ALL_HOURS: &str = include_str!("../../../queries/lost_parts/note_all_hours.sql");
const FORGET_HOURS: &str = include_str!("../../../queries/repair/forget_hours.sql");

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(15);

/// Between two looks while rows are brought back.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);

/// Id of a table, and name of a part.
type Key = (String, String);

/// Watches, from [`Watch::start`] on.
#[derive(Debug)]
pub struct Watch {
    warehouse: Warehouse,
    loading: Loading,
    /// Of the loader of rounds of this process. None: another server loads, and brings back.
    loader: Option<watch::Receiver<LoaderState>>,
    lost: watch::Sender<LostParts>,
    /// Parts that the loader has seen when it began.
    restored: BTreeSet<Key>,
    /// Parts since whose loss the hours were made right.
    rebuilt: BTreeSet<Key>,
}

impl Watch {
    pub fn new(warehouse: Warehouse, loads: Loads, loader: Option<watch::Receiver<LoaderState>>) -> Self {
        // Hours are made right under the lease, by the loader's own server.
        let is_alone = loads.is_gated;
        let loading = Loading { loads, is_alone };
        let (lost, _) = watch::channel(LostParts::default());
        Self { warehouse, loading, loader, lost, restored: BTreeSet::new(), rebuilt: BTreeSet::new() }
    }

    /// What is lost, as of the last look.
    pub fn lost(&self) -> watch::Receiver<LostParts> {
        self.lost.subscribe()
    }

    /// Looks for the first time, after the loader has begun; then, until `stop`, again and again.
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
                tracing::warn!(cause = ?error, "the rows of broken parts are not all brought back yet");
                true
            });
            tokio::time::sleep(if is_soon { SHORT_INTERVAL } else { INTERVAL }).await;
            self.look().await;
        }
    }

    /// Looks what is lost, and tells it. What was known stays while ClickHouse does not answer.
    async fn look(&self) {
        let found = match self.find().await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "cannot ask ClickHouse for broken parts");
                return;
            }
        };
        self.lost.send_if_modified(|lost| {
            let is_new = *lost != found;
            if is_new && !found.parts.is_empty() {
                tracing::error!("{}", found.reason());
            } else if is_new && lost.is_known {
                tracing::warn!("the rows of all broken parts are there again");
            }
            *lost = found;
            is_new
        });
    }

    async fn find(&self) -> Result<LostParts, WarehouseError> {
        let parts = lost_parts(&self.warehouse).await?;
        let mut missing_rounds = Some(0);
        if parts.iter().any(|part| part.table == ROUNDS) {
            // That parts are lost is told whether or not it is known what was in them.
            let chunks = short_chunks(&self.warehouse).await;
            let chunks = chunks.inspect_err(|error| tracing::warn!(%error, "cannot count the lost rounds"));
            missing_rounds = chunks.ok().map(|chunks| chunks.iter().map(|chunk| chunk.missing).sum());
        }
        Ok(LostParts { is_known: true, parts, missing_rounds })
    }

    /// Has rounds restored and hours made right, and notes which parts nobody needs any more. Returns whether to look again soon.
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
            // The loader restores what it can before it goes on.
            self.loading.loads.gate.begin_again();
            return Ok(true);
        }
        if !lost.has_all_rounds() && all.is_subset(&self.rebuilt) {
            // What is still missing is for someone to bring.
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
        tracing::warn!("comparing all hourly aggregates with their rounds, to add what is missing");
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
