//! Which epoch a topic is in, and what is loaded of it.

use rdkafka::Message;

use super::LoaderError;
use super::chunk::{Chunk, fingerprint};
use super::ledger::{ChunkState, LastChunk, Ledger, TopicEpoch};
use super::reading::{is_unreadable, read};
use crate::kafka::{BrokerError, Kafka, Watermarks};

/// What is found of a topic.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) epoch: u32,
    /// The last chunk of each partition that has any in this epoch.
    pub(super) chunks: Vec<LastChunk>,
    /// The previous epoch, if the topic was just found to be recreated. No more of it can be loaded.
    pub(super) ended: Option<u32>,
}

/// Determines the epoch of a topic. Begins a new one if the topic was never loaded, or was recreated.
///
/// Not every broker gives topics an id. So a topic is recognized by the last loaded message, which must still be at its offset. If
/// retention has deleted that message, everything before it is deleted too, and no later offset was used before: the epoch
/// continues. It also continues if partitions were added. A topic never gets fewer.
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
    if !is_same(kafka, topic, watermarks, known, &chunks).await? {
        tracing::warn!(topic, "the topic was deleted and created again; beginning a new epoch");
        return begin_epoch(ledger, watermarks, Some(known.epoch)).await;
    }
    if partitions > known.partitions {
        tracing::info!(topic, from = known.partitions, to = partitions, "partitions were added to the topic");
        ledger.add_partitions(known, partitions).await?;
    }
    Ok(Found { epoch: known.epoch, chunks, ended: None })
}

/// Whether a topic is the one that was loaded in an epoch.
///
/// # Errors
/// A service does not answer.
pub async fn is_same(
    kafka: &Kafka,
    topic: &str,
    watermarks: &Watermarks,
    known: TopicEpoch,
    chunks: &[LastChunk],
) -> Result<bool, LoaderError> {
    let mut is_same = watermarks.len() >= usize::from(known.partitions);
    for chunk in chunks {
        is_same = is_same && is_there(kafka, topic, watermarks, chunk).await?;
    }
    Ok(is_same)
}

/// Begins an epoch. Messages that the topic deleted earlier are not counted as lost.
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

/// Whether the topic still has the end of a chunk, or has deleted it through retention.
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
            Ok(fingerprint(found) == chunk.fingerprint && found.offset() == last)
        }
        // The message was damaged after it was loaded. A recreated topic would have another message at this offset, or none.
        Err(LoaderError::Broker(BrokerError::Unavailable(error))) if is_unreadable(&error) => Ok(true),
        Err(error) => Err(error),
    }
}
