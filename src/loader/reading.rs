//! Reads messages by their offsets, and tells the errors of a consumer apart.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::LoaderError;
use crate::kafka::{BrokerError, Kafka};

/// How long the broker may take to send messages that exist.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the messages of a partition at these offsets, except those that were deleted.
///
/// # Errors
/// The broker does not answer.
pub(super) async fn read(
    kafka: &Kafka,
    topic: &str,
    partition: u16,
    offsets: RangeInclusive<i64>,
) -> Result<Vec<OwnedMessage>, LoaderError> {
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    let read = tokio::task::spawn_blocking(move || read_blocking(&kafka, &topic, partition, offsets));
    Ok(read.await??)
}

fn read_blocking(
    kafka: &Kafka,
    topic: &str,
    partition: u16,
    offsets: RangeInclusive<i64>,
) -> Result<Vec<OwnedMessage>, BrokerError> {
    let (first, last) = offsets.into_inner();
    let consumer: BaseConsumer = kafka
        .consumer("roundhouse-recovery")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, i32::from(partition), Offset::Offset(first))?;
    consumer.assign(&assignment)?;
    let started = Instant::now();
    let mut messages = Vec::new();
    while started.elapsed() < READ_TIMEOUT {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) if message.offset() > last => return Ok(messages),
            Some(Ok(message)) => {
                messages.push(message.detach());
                if message.offset() == last {
                    return Ok(messages);
                }
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(messages),
            Some(Err(error)) if is_transient(&error) => tracing::debug!(%error, "retrying to read a chunk"),
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Err(BrokerError::Unavailable(rdkafka::error::KafkaError::MessageConsumption(
        rdkafka::error::RDKafkaErrorCode::OperationTimedOut,
    )))
}

/// Whether librdkafka retries by itself after this consumer error.
pub fn is_transient(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::Resolve)
    )
}

/// Whether a consumer error says that messages exist but cannot be read.
pub(super) fn is_unreadable(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BadMessage
                | Code::BadCompression
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::NotImplemented
                | Code::UnsupportedCompressionType
        )
    )
}
