//! What loads rows during a repair, and how to keep it from loading while tables are compared.

use std::time::Duration;

use super::tables::{Tables, in_time};
use super::{Loads, RepairError};
use crate::loader::gate::Held;
use crate::warehouse::client::WarehouseError;

/// How many times to look until nothing is half loaded, or sums are right.
pub(super) const MAX_LOOKS: u32 = 120;

/// Between two looks, while something may be loading.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What loads rows during a repair.
#[derive(Clone, Debug)]
pub(super) struct Loading {
    pub(super) loads: Loads,
    /// No other process loads this topic, and no interrupted work of an earlier one can still be running.
    pub(super) is_alone: bool,
}

impl Loading {
    /// The generation with which this server may change what is stored.
    ///
    /// # Errors
    /// Another server loads the topic.
    pub(super) fn generation(&self) -> Result<u32, RepairError> {
        self.loads.tenure.generation().ok_or(RepairError::NotLoading)
    }

    /// Waits, but not forever, until no chunk is half loaded. Returns a guard that keeps the loader of this process waiting, and whether
    /// no chunk is half loaded.
    pub(super) async fn hold(&self, tables: &Tables) -> Result<(Held, bool), WarehouseError> {
        for _ in 0..MAX_LOOKS {
            let held = self.loads.gate.hold().await;
            if self.is_quiet(tables).await? {
                return Ok((held, true));
            }
            drop(held);
            tokio::time::sleep(PAUSE).await;
        }
        Ok((self.loads.gate.hold().await, false))
    }

    /// Whether no chunk of the topic is half loaded.
    pub(super) async fn is_quiet(&self, tables: &Tables) -> Result<bool, WarehouseError> {
        let query = tables.query(include_str!("../../../queries/engine/repair/loader_state.sql"));
        let unfinished: u64 = in_time(query.param("topic", &self.loads.topic).fetch_one()).await?;
        Ok(unfinished == 0)
    }
}
