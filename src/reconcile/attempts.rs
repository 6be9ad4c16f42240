//! Work that is begun anew where a service fails in its middle.

use std::error::Error;
use std::time::Duration;

use uuid::Uuid;

use super::RETRY_PAUSE;
use crate::warehouse::client::Warehouse;

/// Between attempts.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

/// Why an attempt failed.
pub(super) trait Failure: Error {
    /// Whether another attempt may end otherwise.
    fn may_pass(&self) -> bool;
}

/// Attempts until it is done, or fails for good, or too often. Before another attempt ClickHouse must answer, however long that takes.
/// `attempt` is told how many there were before it.
pub(super) async fn repeat<T, E: Failure, A: Future<Output = Result<T, E>>>(
    warehouse: &Warehouse,
    job: Uuid,
    mut attempt: impl FnMut(usize) -> A,
) -> Result<T, E> {
    for (before, pause) in PAUSES.into_iter().enumerate() {
        match attempt(before).await {
            Err(error) if error.may_pass() => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(%job, %error, cause, "interrupted: it begins again");
                tokio::time::sleep(pause).await;
                while warehouse.ping().await.is_err() {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
            outcome => return outcome,
        }
    }
    attempt(PAUSES.len()).await
}
