//! Stops statements that run in ClickHouse, also those of an earlier process.

use std::time::Duration;

use super::client::{Warehouse, WarehouseError, in_time};

/// Tells ClickHouse to stop the statements whose `log_comment` begins with `kind` and is not `own`. Returns how many were running: they may
/// run a little longer. `patience`: how long each answer may take.
///
/// # Errors
/// ClickHouse does not answer in time, or refuses.
pub async fn stop(
    warehouse: &Warehouse,
    kind: &str,
    own: &str,
    patience: Duration,
) -> Result<u64, WarehouseError> {
    let query = |sql| warehouse.query(sql).param("kind", kind).param("own", own);
    let running = query(include_str!("../../queries/engine/statements/running.sql"));
    let running = in_time(patience, running.fetch_one()).await?;
    if running > 0 {
        let kill = query(include_str!("../../queries/engine/statements/kill.sql"));
        in_time(patience, kill.execute()).await?;
    }
    Ok(running)
}
