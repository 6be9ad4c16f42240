//! Where loading begins: which topic this is, what of it is loaded, and the chunks that were noted and not done.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::LoaderError;
use super::chunks::{self, Chunk};
use super::ledger::{ChunkState, LastChunk, Ledger};
use crate::kafka::{BrokerError, Kafka, Watermarks};

/// How long the broker may take to send messages that are there.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A topic as the loader finds it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) epoch: u32,
    /// The last chunk of each partition that has any in this epoch.
    pub(super) chunks: Vec<LastChunk>,
    /// The epoch before, of which nothing more can be loaded: the topic was recreated just now.
    pub(super) ended: Option<u32>,
}

/// Finds out which epoch of a topic this is. Begins a new one where the topic was never loaded, or is not the one that was.
///
/// Without ids of topics, which not every broker gives, a topic is known by the last message that was loaded: it
/// must still be at its offset. Where it is gone because it was kept long enough, everything before it is gone too, and
/// no offset that comes was used before: the epoch may go on. So it may where partitions were added. A topic never has fewer.
///
/// # Errors
/// A service does not answer.
pub(super) async fn identify(
    kafka: &Kafka,
    ledger: &Ledger,
    topic: &str,
    watermarks: &Watermarks,
) -> Result<Found, LoaderError> {
    let partitions = u16::try_from(watermarks.len()).unwrap_or(u16::MAX);
    let Some(known) = ledger.topic().await? else {
        return begin_epoch(ledger, watermarks, None).await;
    };
    let chunks = ledger.last_chunks(known.epoch).await?;
    let mut is_same = partitions >= known.partitions;
    for chunk in &chunks {
        is_same = is_same && is_there(kafka, topic, watermarks, chunk).await?;
    }
    if !is_same {
        tracing::warn!(topic, "the topic was deleted and created again: a new epoch begins");
        return begin_epoch(ledger, watermarks, Some(known.epoch)).await;
    }
    if partitions > known.partitions {
        tracing::info!(topic, from = known.partitions, to = partitions, "partitions were added to the topic");
        ledger.add_partitions(known, partitions).await?;
    }
    Ok(Found { epoch: known.epoch, chunks, ended: None })
}

/// Begins an epoch. What the topic has deleted before that is none of the loader's business.
async fn begin_epoch(
    ledger: &Ledger,
    watermarks: &Watermarks,
    ended: Option<u32>,
) -> Result<Found, LoaderError> {
    let partitions = u16::try_from(watermarks.len()).unwrap_or(u16::MAX);
    let epoch = ledger.begin_epoch(partitions).await?.epoch;
    let begun: Vec<Chunk> = watermarks
        .iter()
        .filter(|(_, (low, _))| *low > 0)
        .map(|(partition, (low, _))| Chunk {
            partition: *partition,
            first_offset: low - 1,
            last_offset: low - 1,
            ..Chunk::default()
        })
        .collect();
    ledger.write_all(epoch, begun.iter(), &[ChunkState::Noted, ChunkState::Done]).await?;
    Ok(Found { epoch, chunks: ledger.last_chunks(epoch).await?, ended })
}

/// Whether the end of a chunk is still in the topic, or was there and is deleted by now.
async fn is_there(
    kafka: &Kafka,
    topic: &str,
    watermarks: &Watermarks,
    chunk: &LastChunk,
) -> Result<bool, LoaderError> {
    let Some(&(low, high)) = watermarks.get(&chunk.partition) else { return Ok(false) };
    let last = chunk.last_offset.cast_signed();
    if last >= high {
        return Ok(false);
    }
    if last < low || !chunk.is_done || chunk.fingerprint == 0 {
        return Ok(true);
    }
    match read(kafka, topic, chunk.partition, last..=last).await {
        Ok(messages) => {
            let found = messages.first().ok_or_else(|| BrokerError::NoTopic(topic.to_owned()))?;
            Ok(chunks::fingerprint(found) == chunk.fingerprint && found.offset() == last)
        }
        // Damaged since it was loaded: another topic would have another message there, or none.
        Err(LoaderError::Broker(BrokerError::Unavailable(error))) if is_unreadable(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Reads the messages of a partition at these offsets, as many as are still there.
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

/// Whether a consumer reports that messages are there and cannot be read.
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
