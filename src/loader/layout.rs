//! Checks every few seconds whether the topic has changed since the session began.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::kafka::{BrokerError, Kafka, Observer, Watermarks, watermarks};

/// Time between two checks.
const INTERVAL: Duration = Duration::from_secs(3);

/// How long a partition may have messages without delivering any before they are examined.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// There are more partitions, or fewer.
    Partitions,
    /// The topic ends before the next offset.
    Recreated,
    /// The topic has messages that do not arrive.
    Stalled,
}

type Look = JoinHandle<Result<Watermarks, BrokerError>>;

/// Checks a topic in the background.
pub(super) struct Looks {
    observer: Arc<Observer>,
    topic: String,
    looked_at: Instant,
    /// The running check, and the next offsets when it began.
    under_way: Option<(Look, BTreeMap<u16, i64>)>,
    /// Partitions with messages that do not arrive, and since when.
    behind: BTreeMap<u16, Instant>,
}

impl Looks {
    /// # Errors
    /// librdkafka cannot create a client.
    pub(super) fn new(kafka: &Kafka, topic: &str) -> Result<Self, BrokerError> {
        Ok(Self {
            observer: Arc::new(kafka.observer()?),
            topic: topic.to_owned(),
            looked_at: Instant::now(),
            under_way: None,
            behind: BTreeMap::new(),
        })
    }

    /// Returns what has changed, if a check found a change. `next`: the next offsets. `is_idle`: no message arrived just now.
    ///
    /// # Errors
    /// The topic does not exist any more.
    pub(super) fn changed(
        &mut self,
        next: &BTreeMap<u16, i64>,
        is_idle: bool,
        runtime: &Handle,
    ) -> Result<Option<Change>, BrokerError> {
        match self.under_way.take() {
            Some((look, before)) if look.is_finished() => match runtime.block_on(look) {
                Ok(Ok(marks)) => return Ok(self.compare(&marks, &before, next, is_idle, Instant::now())),
                Ok(Err(error @ BrokerError::NoTopic(_))) => return Err(error),
                Ok(Err(error)) => tracing::debug!(topic = self.topic, %error, "cannot check the topic"),
                Err(error) => tracing::debug!(topic = self.topic, %error, "cannot check the topic"),
            },
            Some(under_way) => self.under_way = Some(under_way),
            None if self.looked_at.elapsed() >= INTERVAL => {
                self.looked_at = Instant::now();
                let (observer, topic) = (Arc::clone(&self.observer), self.topic.clone());
                let look = runtime.spawn_blocking(move || watermarks(&observer, &topic));
                self.under_way = Some((look, next.clone()));
            }
            None => {}
        }
        Ok(None)
    }

    /// `before`: the next offsets when the check began.
    fn compare(
        &mut self,
        marks: &Watermarks,
        before: &BTreeMap<u16, i64>,
        next: &BTreeMap<u16, i64>,
        is_idle: bool,
        now: Instant,
    ) -> Option<Change> {
        if marks.len() != before.len() {
            return Some(Change::Partitions);
        }
        for (partition, offset) in before {
            let Some((_, high)) = marks.get(partition) else { return Some(Change::Partitions) };
            if high < offset {
                return Some(Change::Recreated);
            }
            if is_idle && high > offset && next.get(partition) == Some(offset) {
                let since = *self.behind.entry(*partition).or_insert(now);
                if now.duration_since(since) >= STALLED_AFTER {
                    self.behind.clear();
                    return Some(Change::Stalled);
                }
            } else {
                self.behind.remove(partition);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks() -> Looks {
        Looks::new(&Kafka::new("127.0.0.1:1"), "topic").unwrap()
    }

    #[test]
    fn added_and_missing_partitions_and_lower_offsets_are_detected() {
        let (mut looks, now) = (looks(), Instant::now());
        let next = BTreeMap::from([(0, 5), (1, 7)]);
        let mut see = |marks: &[(u16, (i64, i64))]| {
            looks.compare(&marks.iter().copied().collect(), &next, &next, false, now)
        };
        assert_eq!(see(&[(0, (0, 5)), (1, (0, 9))]), None);
        assert_eq!(see(&[(0, (0, 5)), (1, (0, 7)), (2, (0, 0))]), Some(Change::Partitions));
        assert_eq!(see(&[(0, (0, 5))]), Some(Change::Partitions));
        assert_eq!(see(&[(0, (0, 5)), (1, (0, 6))]), Some(Change::Recreated));
    }

    #[test]
    fn messages_that_do_not_arrive_for_ten_seconds_are_a_stall() {
        let (mut looks, start) = (looks(), Instant::now());
        let marks = Watermarks::from([(0, (0, 9))]);
        let next = BTreeMap::from([(0, 5)]);
        let mut see = |seconds, next: &BTreeMap<u16, i64>, is_idle| {
            let before = BTreeMap::from([(0, 5)]);
            looks.compare(&marks, &before, next, is_idle, start + Duration::from_secs(seconds))
        };
        assert_eq!(see(0, &next, true), None);
        assert_eq!(see(9, &next, true), None);
        // A message has arrived in between, or is being loaded.
        assert_eq!(see(10, &BTreeMap::from([(0, 6)]), true), None);
        assert_eq!(see(11, &next, true), None);
        assert_eq!(see(20, &next, false), None);
        assert_eq!(see(21, &next, true), None);
        assert_eq!(see(31, &next, true), Some(Change::Stalled));
    }
}
