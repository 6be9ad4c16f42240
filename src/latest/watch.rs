//! Compares the topic once a second with what was read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LatestError;
use super::begin::{Beginning, Clients};
use super::follow::Progress;
use super::status::Status;
use crate::kafka::{BrokerError, Observer, Watermarks, watermarks};
use crate::loader::ledger;

/// Time between two looks at the topic.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks between two questions to ClickHouse for the epoch.
const LOOKS_PER_EPOCH: u32 = 3;

/// Returns once the topic must be followed anew: it has another number of partitions, or was recreated.
///
/// # Errors
/// The topic does not exist any more.
pub(super) async fn watch(
    clients: &Clients,
    topic: &str,
    beginning: &Beginning,
    progress: &Progress,
    status: &Status,
) -> Result<(), LatestError> {
    let observer = Arc::new(clients.kafka.observer().map_err(BrokerError::from)?);
    // The ends that were not reached yet, and when they were looked at.
    let mut pending: Option<(Instant, Watermarks)> = None;
    for look in 1_u32.. {
        tokio::time::sleep(INTERVAL).await;
        let now = Instant::now();
        let before: Vec<(u16, i64)> = progress.next().collect();
        match marks(&observer, topic).await {
            Ok(marks) => {
                let is_shorter = |(partition, next): &(u16, i64)| {
                    marks.get(partition).is_some_and(|(_, high)| high < next)
                };
                if marks.len() != beginning.marks.len() || before.iter().any(is_shorter) {
                    return Ok(());
                }
                let is_reached = |partition: u16, high: i64| {
                    progress.next().any(|(known, next)| known == partition && next >= high)
                };
                let (waited_since, waited_for) = pending.get_or_insert_with(|| (now, marks.clone()));
                waited_for.retain(|partition, (_, high)| {
                    // Its end has not moved for an interval, and was reached.
                    let is_unchanged = *waited_since < now
                        && marks.get(partition).is_some_and(|(_, mark)| mark == high)
                        && progress.is_at_end(*partition);
                    !is_reached(*partition, *high) && !is_unchanged
                });
                let up_to_date_at = waited_for.is_empty().then_some(*waited_since);
                if up_to_date_at.is_some() {
                    pending = None;
                }
                status.look(now, lag(&marks, progress), up_to_date_at);
            }
            Err(error @ BrokerError::NoTopic(_)) => return Err(error.into()),
            Err(error) => tracing::debug!(topic, %error, "cannot check the topic"),
        }
        if look % LOOKS_PER_EPOCH == 0 {
            match ledger::topic(&clients.warehouse, topic).await {
                Ok(known) if known.is_none_or(|known| known.epoch != beginning.epoch) => return Ok(()),
                Ok(_) => {}
                // Without ClickHouse no epoch begins.
                Err(error) => tracing::debug!(topic, %error, "cannot read the epoch of the topic"),
            }
        }
    }
    Ok(())
}

async fn marks(observer: &Arc<Observer>, topic: &str) -> Result<Watermarks, BrokerError> {
    let (observer, topic) = (Arc::clone(observer), topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || watermarks(&observer, &topic)).await;
    asked.unwrap_or(Err(BrokerError::Unavailable(rdkafka::error::KafkaError::Canceled)))
}

/// Messages that were not read yet.
fn lag(marks: &Watermarks, progress: &Progress) -> u64 {
    let missing = progress.next().map(|(partition, next)| {
        let high = marks.get(&partition).map_or(next, |(_, high)| *high);
        u64::try_from(high - next).unwrap_or(0)
    });
    missing.sum()
}
