//! Waits until acknowledged rows are in the tables. This is determined from offsets, not from time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ledger::loaded_offsets;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// How often the ledger is read.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until every partition is loaded up to its offset in `next_offsets`, for at most `patience`. Returns whether it is.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn wait_until_loaded(
    warehouse: &Warehouse,
    topic: &str,
    next_offsets: &BTreeMap<u16, i64>,
    patience: Duration,
) -> Result<bool, WarehouseError> {
    let started = Instant::now();
    loop {
        let loaded = loaded_offsets(warehouse, topic).await?;
        let is_loaded =
            |(partition, next): (&u16, &i64)| loaded.get(partition).copied().unwrap_or(0) >= *next;
        if next_offsets.iter().all(is_loaded) {
            return Ok(true);
        }
        if started.elapsed() >= patience {
            return Ok(false);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
