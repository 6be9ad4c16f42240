//! Reads single messages of a partition by their offsets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::kafka::{BrokerError, Kafka};
use crate::loader::LoaderError;
use crate::loader::reading::is_transient;

/// How long to wait without receiving a message.
const TIMEOUT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(50);

/// Bytes of messages that are read at once.
const MAX_BYTES: usize = 24 << 20;

/// Reads messages of a partition, up to the size limit, and removes their offsets from `offsets`. Offsets that no longer hold a message
/// are removed too.
///
/// # Errors
/// The broker does not answer.
pub(super) async fn read(
    kafka: &Kafka,
    topic: &str,
    partition: u16,
    offsets: &mut BTreeSet<i64>,
) -> Result<Vec<OwnedMessage>, LoaderError> {
    let Some(first) = offsets.first() else { return Ok(Vec::new()) };
    let mut config = kafka.consumer("roundhouse-clickhouse-rejects");
    // Deleted offsets are skipped, and the end of the partition is reported, so that reading ends.
    config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true");
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, i32::from(partition), Offset::Offset(*first))
        .map_err(BrokerError::from)?;
    let mut wanted = std::mem::take(offsets);
    let reading = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create()?;
        consumer.assign(&assignment)?;
        let messages = poll(&consumer, &mut wanted)?;
        Ok::<_, BrokerError>((messages, wanted))
    });
    let (messages, rest) = reading.await??;
    *offsets = rest;
    Ok(messages)
}

/// Reads the messages with these offsets, in order, and removes the finished offsets from `wanted`.
fn poll(consumer: &BaseConsumer, wanted: &mut BTreeSet<i64>) -> Result<Vec<OwnedMessage>, KafkaError> {
    let mut heard = Instant::now();
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while !wanted.is_empty() && bytes < MAX_BYTES {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let offset = message.offset();
                if wanted.contains(&offset) {
                    bytes += message.payload().map_or(0, <[u8]>::len);
                    messages.push(message.detach());
                }
                while wanted.first().is_some_and(|first| *first <= offset) {
                    wanted.pop_first();
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => wanted.clear(),
            Some(Err(error)) if !is_transient(&error) => return Err(error),
            Some(Err(_)) | None => {}
        }
        if heard.elapsed() > TIMEOUT {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
    }
    Ok(messages)
}
