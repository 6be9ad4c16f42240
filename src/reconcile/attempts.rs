//! Work that starts again from the beginning if a service fails while it runs.

use std::error::Error;
use std::time::Duration;

use uuid::Uuid;

use super::RETRY_PAUSE;
use crate::warehouse::client::Warehouse;

/// The pauses between attempts.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)];

/// Why an attempt failed.
pub(super) trait Failure: Error {
    /// Whether another attempt may succeed.
    fn may_pass(&self) -> bool;
}

/// Makes attempts until one succeeds, fails for good, or is the last one allowed. Before another attempt, waits until ClickHouse answers,
/// however long that takes. `attempt` receives the number of attempts before it.
pub(super) async fn repeat<T, E: Failure, A: Future<Output = Result<T, E>>>(
    warehouse: &Warehouse,
    job: Uuid,
    mut attempt: impl FnMut(usize) -> A,
) -> Result<T, E> {
    for (before, pause) in PAUSES.into_iter().enumerate() {
        match attempt(before).await {
            Err(error) if error.may_pass() => {
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(%job, %error, cause, "interrupted; starting again");
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
