//! Keeps the rows of a dataset up to date, from the start of a server to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::LatestError;
use super::begin::{Clients, begin};
use super::follow::Follower;
use super::table;
use super::values::LastValues;
use super::watch::watch;

/// Pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads the table and follows the topic until `stop`. Tries again after failures. The rows stay meanwhile.
pub async fn run(values: Arc<LastValues>, clients: Clients, stop: CancellationToken) {
    let mut epoch = None;
    while !stop.is_cancelled() {
        if let Err(error) = session(&values, &clients, &mut epoch, &stop).await {
            if values.status.fail(error.to_string()) {
                let dataset = &values.dataset.name;
                tracing::info!(dataset, %error, "the last values are not followed; trying again");
            }
            let _ = tokio::time::timeout(PAUSE, stop.cancelled()).await;
        }
    }
}

/// Follows the topic until it has changed, or until `stop`.
async fn session(
    values: &Arc<LastValues>,
    clients: &Clients,
    epoch: &mut Option<u32>,
    stop: &CancellationToken,
) -> Result<(), LatestError> {
    let topic = &values.dataset.topic;
    let beginning = begin(clients, topic).await?;
    let is_new = *epoch != Some(beginning.epoch);
    values.status.begin(is_new);
    if is_new {
        // Rows of a recreated topic that were never loaded are in no other server's memory.
        values.clear();
        *epoch = Some(beginning.epoch);
    }
    // After the offsets were read: the table has all rows before them, and may have more.
    table::read(&clients.warehouse, values).await?;
    let follower = Follower::new(clients, values, &beginning)?;
    let progress = Arc::clone(&follower.progress);
    let end = stop.child_token();
    let following = {
        let end = end.clone();
        tokio::task::spawn_blocking(move || follower.follow(&end))
    };
    let watching = watch(clients, topic, &beginning, &progress, &values.status);
    tokio::pin!(following);
    tokio::select! {
        followed = &mut following => followed?,
        watched = watching => {
            end.cancel();
            following.await??;
            watched
        }
    }
}
