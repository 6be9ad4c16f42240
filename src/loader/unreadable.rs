//! Messages that are in the topic and cannot be read: a batch whose checksum is wrong, whose compressed data is damaged, or whose
//! records lie about their length.
//!
//! A client of Kafka reads batches, so an offset within a damaged batch cannot be read either. Where the next readable message is, is
//! found by trying: with growing steps, then by halving the last one. Readable batches that lie wholly within a step between two
//! damaged ones are passed over with them, and are among the offsets that are reported.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::recovery::is_transient;
use crate::kafka::{BrokerError, Kafka};

/// How often reading the next message is tried before it is called unreadable.
const ATTEMPTS: u32 = 3;

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a message may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(100);

/// The largest step.
const MAX_STEP: i64 = 1 << 12;

/// What came of reading at an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Read {
    /// A message, or the end of the partition.
    Something,
    /// Nothing, and why.
    Nothing(String),
}

/// A partition that is tried.
pub(super) struct Probe {
    consumer: BaseConsumer,
    topic: String,
    partition: u16,
}

impl Probe {
    /// # Errors
    /// librdkafka cannot make a client.
    pub(super) fn new(kafka: &Kafka, topic: &str, partition: u16) -> Result<Self, BrokerError> {
        let consumer = kafka
            .consumer("roundhouse-probe")
            .set("enable.partition.eof", "true")
            // Messages of a transaction that was aborted can be read, though the loader does not load them.
            .set("isolation.level", "read_uncommitted")
            .create()?;
        Ok(Self { consumer, topic: topic.to_owned(), partition })
    }

    /// Looks whether the message at `next` can be read. Returns the last offset that cannot, and why, if it cannot. `high`: the end of the
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
                // What librdkafka had from an earlier offset does not count.
                Some(Ok(message)) if message.offset() < offset => {}
                Some(Ok(_)) | Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Read::Something),
                Some(Err(error)) if is_transient(&error) => {}
                Some(Err(error)) => return Ok(Read::Nothing(error.to_string())),
            }
        }
        // A broker that is away is another matter.
        self.consumer.fetch_watermarks(&self.topic, i32::from(self.partition), TIMEOUT)?;
        Ok(Read::Nothing("the broker has them, and none arrives".to_owned()))
    }
}

/// Returns the first offset after `unreadable` at which something can be read, as far as it is found; `high` if there is none before.
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
    fn the_end_of_what_cannot_be_read_is_found_in_few_steps() {
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
