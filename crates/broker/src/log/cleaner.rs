//! Removes old records in the background, as the settings of each topic say.
//!
//! The cleaner sleeps until the next segment expires, or until something changes: a segment gets its first record, or the settings of a
//! topic change. While nothing happens it uses no CPU.

use std::sync::Arc;
use std::time::Duration;

use super::Log;
use super::partition::now;
use super::retention::RETRY_MS;
use roundhouse_part::lock;

/// The shortest time between two passes.
const PAUSE: Duration = Duration::from_secs(1);

impl Log {
    /// Removes old records, until it is aborted. Its last step goes on after that, until [`Log::sync_all`].
    pub async fn keep_clean(self: Arc<Self>) {
        loop {
            let log = Arc::clone(&self);
            let next = tokio::task::spawn_blocking(move || log.clean(now())).await.unwrap_or_default();
            tokio::time::sleep(PAUSE).await;
            let changed = self.shared.changed.notified();
            match next {
                Some(next) => _ = tokio::time::timeout(until(next), changed).await,
                None => changed.await,
            }
        }
    }

    /// Removes the records that are old at this time (milliseconds since 1970). Returns when there may be more to do.
    pub(super) fn clean(&self, now: i64) -> Option<i64> {
        let _at_work = lock::lock(&self.shared.cleaning);
        let topics: Vec<_> = lock::read(&self.topics).values().cloned().collect();
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        let clean = |partition: &Arc<super::Partition>| {
            if self.shared.stop.is_cancelled() {
                return None;
            }
            partition.clean(now).unwrap_or_else(|error| {
                tracing::error!(partition = %partition.name(), %error, "cannot remove old records");
                Some(now.saturating_add(RETRY_MS))
            })
        };
        partitions.filter_map(clean).min()
    }

    /// Waits until the cleaner has ended. Otherwise it could still change files that the next start reads.
    pub(super) fn stop_cleaning(&self) {
        self.shared.stop.cancel();
        drop(lock::lock(&self.shared.cleaning));
    }
}

/// Returns the time from now until `time` (milliseconds since 1970).
fn until(time: i64) -> Duration {
    Duration::from_millis(u64::try_from(time.saturating_sub(now())).unwrap_or_default())
}
