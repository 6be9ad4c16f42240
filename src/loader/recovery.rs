//! Where loading begins: which topic this is, what of it is loaded, and the chunks that were noted and not done.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::LoaderError;
use super::chunks;
use super::ledger::{LastChunk, Ledger, TopicEpoch};
use crate::kafka::{BrokerError, Kafka};

/// How long the broker may take to send messages that are there.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the epoch of the topic and the last chunk of each partition, or begins a new epoch where the topic was never
/// loaded, or is not the one that was. `watermarks`: first and next offset, by partition.
///
/// Without ids of topics, which not every broker gives, a topic is known by the last message that was loaded: it
/// must still be at its offset. Where it is gone because it was kept long enough, everything before it is gone too, and
/// no offset that comes was used before: the epoch may go on.
///
/// # Errors
/// A service does not answer, or the number of partitions has changed.
pub async fn identify(
    kafka: &Kafka,
    ledger: &Ledger,
    topic: &str,
    watermarks: &BTreeMap<u16, (i64, i64)>,
) -> Result<(TopicEpoch, Vec<LastChunk>), LoaderError> {
    let partitions = u16::try_from(watermarks.len()).unwrap_or(u16::MAX);
    let Some(known) = ledger.topic().await? else {
        return Ok((ledger.begin_epoch(partitions).await?, Vec::new()));
    };
    let chunks = ledger.last_chunks(known.epoch).await?;
    for chunk in &chunks {
        let (low, high) = watermarks.get(&chunk.partition).copied().unwrap_or_default();
        let is_same = match chunk.last_offset.cast_signed() {
            last if last >= high => false,
            last if last < low || !chunk.is_done => true,
            last => {
                let message = read_one(kafka, topic, chunk.partition, last).await?;
                chunks::fingerprint(&message) == chunk.fingerprint && message.offset() == last
            }
        };
        if !is_same {
            tracing::warn!(topic, partition = chunk.partition, "the topic was made anew: a new epoch begins");
            return Ok((ledger.begin_epoch(partitions).await?, Vec::new()));
        }
    }
    if partitions != known.partitions {
        return Err(LoaderError::PartitionsChanged {
            topic: topic.to_owned(),
            known: known.partitions,
            found: partitions,
        });
    }
    Ok((known, chunks))
}

/// Reads the messages of one partition from offset `first` to `last`, as many as are still there. Blocks.
///
/// # Errors
/// The broker does not answer.
pub fn read_range(
    kafka: &Kafka,
    topic: &str,
    partition: u16,
    first: i64,
    last: i64,
    mut take: impl FnMut(&rdkafka::message::BorrowedMessage<'_>),
) -> Result<(), BrokerError> {
    let consumer: BaseConsumer = kafka
        .consumer("roundhouse-recovery")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, i32::from(partition), Offset::Offset(first))?;
    consumer.assign(&assignment)?;
    let started = Instant::now();
    while started.elapsed() < READ_TIMEOUT {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) if message.offset() > last => return Ok(()),
            Some(Ok(message)) => {
                take(&message);
                if message.offset() == last {
                    return Ok(());
                }
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return Ok(()),
            Some(Err(error)) if is_transient(&error) => tracing::debug!(%error, "reading a chunk again"),
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Err(BrokerError::Unavailable(rdkafka::error::KafkaError::MessageConsumption(
        rdkafka::error::RDKafkaErrorCode::OperationTimedOut,
    )))
}

/// Whether librdkafka goes on by itself after an error that a consumer reports.
pub fn is_transient(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::Resolve)
    )
}

async fn read_one(
    kafka: &Kafka,
    topic: &str,
    partition: u16,
    offset: i64,
) -> Result<OwnedMessage, LoaderError> {
    let (kafka, topic) = (kafka.clone(), topic.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        let mut found = None;
        read_range(&kafka, &topic, partition, offset, offset, |message| found = Some(message.detach()))?;
        found.ok_or(BrokerError::NoTopic(topic))
    });
    let canceled = |_| BrokerError::Unavailable(rdkafka::error::KafkaError::Canceled);
    Ok(read.await.map_err(canceled)??)
}
