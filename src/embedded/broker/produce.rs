//! Produce requests: appends batches, and answers once they are on disk.

use std::sync::Arc;

use bytes::Bytes;
use nisshi_sans_io::ErrorCode;

use super::api::{Answer, Call};
use super::log::{Appended, Batch, BatchError, Log, Partition};
use super::wire::{Malformed, Reader, Writer};

struct TopicData {
    name: String,
    partitions: Vec<PartitionData>,
}

struct PartitionData {
    number: i32,
    records: Bytes,
}

struct Request {
    transactional: bool,
    acks: i16,
    topics: Vec<TopicData>,
}

/// Why a batch was refused.
struct Refused {
    code: ErrorCode,
    /// Details that the code does not express.
    reason: Option<String>,
}

impl From<ErrorCode> for Refused {
    fn from(code: ErrorCode) -> Self {
        Self { code, reason: None }
    }
}

impl From<BatchError> for Refused {
    fn from(error: BatchError) -> Self {
        Self { code: error.code(), reason: Some(error.to_string()) }
    }
}

/// The result for one partition's batch, before it is on disk.
struct Outcome {
    number: i32,
    appended: Result<(Arc<Partition>, Appended), Refused>,
}

/// Appends the batches. The answer waits for the disk while the connection's next request is handled.
pub(super) fn produce(log: &Log, call: &Call, body: Bytes) -> Result<Answer, Malformed> {
    let request = parse(Reader(body))?;
    let acks = request.acks;
    // On this thread: for a small request, another thread would cost more than writing to the page cache.
    let outcomes = tokio::task::block_in_place(|| append(log, request));
    if acks == 0 {
        return Ok(Answer::None);
    }
    let (version, correlation_id) = (call.version, call.correlation_id);
    Ok(Answer::Later(Box::pin(async move { answer(version, correlation_id, outcomes).await })))
}

fn parse(mut reader: Reader) -> Result<Request, Malformed> {
    let transactional = reader.string()?.is_some();
    let acks = reader.i16()?;
    let _timeout = reader.i32()?;
    let topics = reader.array(|topic| {
        let name = topic.text()?;
        let partitions = topic.array(|partition| {
            Ok(PartitionData { number: partition.i32()?, records: partition.bytes()?.unwrap_or_default() })
        })?;
        Ok(TopicData { name, partitions })
    })?;
    Ok(Request { transactional, acks, topics })
}

fn append(log: &Log, request: Request) -> Vec<(String, Vec<Outcome>)> {
    let refusal = match (request.transactional, request.acks) {
        (true, _) => Some(ErrorCode::InvalidTxnState),
        (false, -1..=1) => None,
        (false, _) => Some(ErrorCode::InvalidRequiredAcks),
    };
    let append_topic = |TopicData { name, partitions }| {
        let outcome = |PartitionData { number, records }| {
            let appended = match refusal {
                Some(code) => Err(code.into()),
                None => append_one(log, &name, number, records),
            };
            if let Err(Refused { reason: Some(reason), .. }) = &appended {
                tracing::warn!(topic = name, partition = number, reason, "a batch was refused");
            }
            Outcome { number, appended }
        };
        let outcomes: Vec<_> = partitions.into_iter().map(outcome).collect();
        (name, outcomes)
    };
    request.topics.into_iter().map(append_topic).collect()
}

fn append_one(
    log: &Log,
    topic: &str,
    number: i32,
    records: Bytes,
) -> Result<(Arc<Partition>, Appended), Refused> {
    let topic = log.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = topic.partition(number).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let batch = Batch::from_producer(records, topic.settings.max_message_bytes)?;
    let appended = partition.append(&batch)?;
    Ok((partition, appended))
}

async fn answer(version: i16, correlation_id: i32, topics: Vec<(String, Vec<Outcome>)>) -> Bytes {
    let mut answer = Writer::answer(correlation_id, 256);
    answer.array(topics.len());
    for (name, outcomes) in topics {
        answer.string(&name).array(outcomes.len());
        for outcome in outcomes {
            let safe = match outcome.appended {
                Ok((partition, appended)) => match partition.wait_until_safe(appended).await {
                    Ok(()) => Ok((appended.base_offset, partition.start_offset())),
                    Err(code) => Err(code.into()),
                },
                Err(refused) => Err(refused),
            };
            let (base_offset, start) = safe.as_ref().copied().unwrap_or((-1, -1));
            let refused = safe.err().unwrap_or(ErrorCode::None.into());
            answer.i32(outcome.number).i16(refused.code.into()).i64(base_offset).i64(-1);
            if version >= 5 {
                answer.i64(start);
            }
            if version >= 8 {
                answer.array(0).nullable_string(refused.reason.as_deref());
            }
        }
    }
    answer.i32(0);
    answer.finish()
}
