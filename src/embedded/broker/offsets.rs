//! ListOffsets requests: the first and last offset of a partition, and the first offset since a time.

use std::sync::Arc;

use nisshi_sans_io::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use nisshi_sans_io::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use nisshi_sans_io::{ErrorCode, ListOffsetsRequest, ListOffsetsResponse};

use super::log::{Header, Log, Partition};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// An offset and the timestamp of its record (milliseconds). Each is -1 if there is none.
type Answer = (i64, i64);

/// Answers for every requested partition. Searches the log if an offset is requested by time.
pub(super) async fn list(log: &Arc<Log>, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let log = Arc::clone(log);
    let look = move || {
        let topics = request.topics.unwrap_or_default();
        topics.into_iter().map(|topic| list_topic(&log, topic)).collect::<Vec<_>>()
    };
    let topics = tokio::task::spawn_blocking(look).await.unwrap_or_default();
    ListOffsetsResponse::default().throttle_time_ms(Some(0)).topics(Some(topics))
}

fn list_topic(log: &Log, topic: ListOffsetsTopic) -> ListOffsetsTopicResponse {
    let answer = |wanted: ListOffsetsPartition| {
        let found = log
            .partition(&topic.name, wanted.partition_index)
            .ok_or(ErrorCode::UnknownTopicOrPartition)
            .and_then(|partition| find(&partition, wanted.timestamp));
        let (offset, timestamp) = found.unwrap_or((-1, -1));
        ListOffsetsPartitionResponse::default()
            .partition_index(wanted.partition_index)
            .error_code(found.err().unwrap_or(ErrorCode::None).into())
            .old_style_offsets(Some(Vec::new()))
            .timestamp(Some(timestamp))
            .offset(Some(offset))
            .leader_epoch(Some(0))
    };
    let partitions = topic.partitions.unwrap_or_default().into_iter().map(answer).collect();
    ListOffsetsTopicResponse::default().name(topic.name.clone()).partitions(Some(partitions))
}

fn find(partition: &Partition, wanted: i64) -> Result<Answer, ErrorCode> {
    match wanted {
        LATEST => Ok((partition.end_offset(), -1)),
        EARLIEST => Ok((partition.start_offset(), -1)),
        timestamp if timestamp >= 0 => find_by_time(partition, timestamp),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn find_by_time(partition: &Partition, timestamp: i64) -> Result<Answer, ErrorCode> {
    let batch = partition.first_since(timestamp).map_err(|error| {
        tracing::error!(%error, "cannot read the log");
        ErrorCode::KafkaStorageError
    })?;
    let Some(batch) = batch else { return Ok((-1, -1)) };
    let start = partition.start_offset();
    let header = Header::parse(&batch).ok_or(ErrorCode::CorruptMessage)?;
    let mut found = None;
    let walked = header.records(&batch, |record| {
        let offset = header.base_offset + i64::from(record.offset_delta);
        if found.is_none() && offset >= start && record.timestamp >= timestamp {
            found = Some((offset, record.timestamp));
        }
    });
    if let Err(error) = walked {
        // Earlier versions accepted batches without checking their records.
        tracing::warn!(%error, offset = header.base_offset, "cannot read the records of a batch");
    }
    // If no record was found, the start of the batch is a safe answer, because it is early enough.
    Ok(found.unwrap_or((header.base_offset.max(start), header.max_timestamp)))
}
