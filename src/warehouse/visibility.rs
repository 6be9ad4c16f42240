//! Waits until acknowledged rows are in the tables. Offsets show it, not time ([`Loaded`]).

use std::time::{Duration, Instant};

use super::client::{Warehouse, WarehouseError};
use super::uploads::Loaded;

/// How often the tables are asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until `is_loaded`, for at most `patience`. Returns whether it is.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn wait_until_loaded(
    warehouse: &Warehouse,
    topic: &str,
    patience: Duration,
    is_loaded: impl Fn(&Loaded) -> bool,
) -> Result<bool, WarehouseError> {
    let look = || async {
        let loaded = Loaded::of_topic(warehouse, topic).await?;
        Ok::<_, WarehouseError>(is_loaded(&loaded).then_some(()))
    };
    Ok(wait_until_found(patience, look).await?.is_some())
}

/// Looks until something is found, for at most `patience`, but at least once.
///
/// # Errors
/// Those of `look`.
pub async fn wait_until_found<T, E, F>(patience: Duration, look: impl Fn() -> F) -> Result<Option<T>, E>
where
    F: Future<Output = Result<Option<T>, E>>,
{
    let started = Instant::now();
    loop {
        let found = look().await?;
        if found.is_some() || started.elapsed() >= patience {
            return Ok(found);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
