//! Finds messages that exist but cannot be read: a batch with a wrong checksum, with damaged compressed data, or with records whose
//! length is wrong.
//!
//! A Kafka client reads whole batches, so no offset within a damaged batch can be read. The next readable message is found by trying
//! offsets: first with growing steps, then by halving the last step. If a readable batch lies within one step between two damaged
//! ones, it is skipped with them and is part of the reported range.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::reading::is_transient;
use crate::kafka::{BrokerError, Kafka};

/// How often reading the next message is tried before it counts as unreadable.
const ATTEMPTS: u32 = 3;

/// Time between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a message may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(100);

/// The largest step.
const MAX_STEP: i64 = 1 << 12;

/// The result of reading at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Read {
    /// A message, or the end of the partition.
    Something,
    /// Nothing; the text says why.
    Nothing(String),
}

/// Tries to read a partition at given offsets.
pub(super) struct Probe {
    consumer: BaseConsumer,
    topic: String,
    partition: u16,
}

impl Probe {
    /// # Errors
    /// librdkafka cannot create a client.
    pub(super) fn new(kafka: &Kafka, topic: &str, partition: u16) -> Result<Self, BrokerError> {
        let consumer = kafka
            .consumer("roundhouse-probe")
            .set("enable.partition.eof", "true")
            // Messages of an aborted transaction count as readable, although the loader does not load them.
            .set("isolation.level", "read_uncommitted")
            .create()?;
        Ok(Self { consumer, topic: topic.to_owned(), partition })
    }

    /// Checks whether the message at `next` can be read. If not, returns the last unreadable offset and the reason. `high`: the end of the
    /// partition. Blocks.
    ///
    /// # Errors
    /// The broker does not answer.
    pub(super) fn unreadable(&self, next: i64, high: i64) -> Result<Option<(i64, String)>, BrokerError> {
        let mut reason = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            match self.read(next)? {
                Read::Something => return Ok(None),
                Read::Nothing(why) => reason = why,
            }
        }
        let is_readable = |offset| Ok::<_, BrokerError>(self.read(offset)? == Read::Something);
        let first_readable = first_readable(next, high, is_readable)?;
        Ok(Some((first_readable - 1, reason)))
    }

    fn read(&self, offset: i64) -> Result<Read, BrokerError> {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, i32::from(self.partition), Offset::Offset(offset))?;
        self.consumer.assign(&assignment)?;
        let read = self.poll(offset);
        self.consumer.unassign()?;
        read
    }

    fn poll(&self, offset: i64) -> Result<Read, BrokerError> {
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            match self.consumer.poll(POLL) {
                None => {}
                // Messages that librdkafka fetched for an earlier offset do not count.
                Some(Ok(message)) if message.offset() < offset => {}
                Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Read::Something),
                Some(Err(error)) if is_transient(&error) => {}
                Some(Err(error)) => return Ok(Read::Nothing(error.to_string())),
            }
        }
        // If the broker is unreachable, this fails, and the message does not count as unreadable.
        self.consumer.fetch_watermarks(&self.topic, i32::from(self.partition), TIMEOUT)?;
        Ok(Read::Nothing("the broker reports messages there but delivers none".to_owned()))
    }
}

/// Returns the first readable offset after `unreadable`, as far as the steps find it, or `high` if none is found before.
fn first_readable<E>(
    unreadable: i64,
    high: i64,
    mut is_readable: impl FnMut(i64) -> Result<bool, E>,
) -> Result<i64, E> {
    let (mut low, mut step) = (unreadable, 1);
    let mut found = loop {
        let offset = low + step;
        if offset >= high {
            break high;
        }
        if is_readable(offset)? {
            break offset;
        }
        low = offset;
        step = (step * 2).min(MAX_STEP);
    };
    while found - low > 1 {
        let middle = low + (found - low) / 2;
        if is_readable(middle)? {
            found = middle;
        } else {
            low = middle;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_unreadable_range_is_found_in_few_steps() {
        for (last, high) in
            [(10, 11), (10, 100), (16, 100), (73, 100), (99, 100), (5_000, 20_000), (19_999, 20_000)]
        {
            let mut tries = 0;
            let found = first_readable(10, high, |offset| {
                tries += 1;
                Ok::<_, ()>(offset > last)
            });
            assert_eq!(found, Ok(last + 1));
            assert!(tries <= 40, "{tries} tries for {last}");
        }
        assert_eq!(first_readable(10, 100, |_| Err("away")), Err("away"));
    }
}
