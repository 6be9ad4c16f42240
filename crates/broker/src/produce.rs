//! Produce requests: appends batches, and answers once they are on disk.

use std::sync::Arc;

use crate::error_code::ErrorCode;
use bytes::Bytes;

use crate::broker::{Answer, Broker, Call};
use crate::log::{Appended, Batch, BatchError, Partition};
use crate::store::Producer;
use crate::wire::{Malformed, Reader};

/// Maximum batches of a request.
const MAX_BATCHES: usize = 10_000;

struct TopicData {
    name: String,
    partitions: Vec<PartitionData>,
}

struct PartitionData {
    number: i32,
    records: Bytes,
}

struct Request {
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
pub(crate) fn produce(broker: &Broker, call: &Call, reader: Reader) -> Result<Answer<'static>, Malformed> {
    let request = parse(reader)?;
    let acks = request.acks;
    // On this thread: for a small request, another thread would cost more than writing to the page cache.
    let outcomes = tokio::task::block_in_place(|| append(broker, request));
    if acks == 0 {
        return Ok(Answer::None);
    }
    let call = call.clone();
    Ok(Answer::Later(Box::pin(async move { answer(&call, outcomes).await })))
}

fn parse(mut reader: Reader) -> Result<Request, Malformed> {
    let _transactional_id = reader.string()?;
    let acks = reader.i16()?;
    let _timeout = reader.i32()?;
    let topics = reader.array(|topic| {
        let name = topic.text()?;
        let partitions = topic.array(|partition| {
            Ok(PartitionData { number: partition.i32()?, records: partition.bytes()?.unwrap_or_default() })
        })?;
        Ok(TopicData { name, partitions })
    })?;
    Ok(Request { acks, topics })
}

fn append(broker: &Broker, request: Request) -> Vec<(String, Vec<Outcome>)> {
    let refusal = match request.acks {
        -1..=1 => None,
        _ => Some(ErrorCode::InvalidRequiredAcks),
    };
    let (mut batches, mut is_logged) = (0, false);
    let mut append_topic = |TopicData { name, partitions }| {
        let outcome = |PartitionData { number, records }| {
            batches += 1;
            let appended = match refusal {
                Some(code) => Err(code.into()),
                None if batches > MAX_BATCHES => Err(ErrorCode::PolicyViolation.into()),
                None => append_one(broker, &name, number, records),
            };
            if let Err(Refused { reason: Some(reason), .. }) = &appended
                && !is_logged
            {
                // One line per request: it may have thousands of batches.
                tracing::warn!(topic = name, partition = number, reason, "a batch was refused");
                is_logged = true;
            }
            Outcome { number, appended }
        };
        let outcomes: Vec<_> = partitions.into_iter().map(outcome).collect();
        (name, outcomes)
    };
    request.topics.into_iter().map(&mut append_topic).collect()
}

fn append_one(
    broker: &Broker,
    name: &str,
    number: i32,
    records: Bytes,
) -> Result<(Arc<Partition>, Appended), Refused> {
    let topic = broker.log.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = topic.partition(number).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let batch = Batch::from_producer(records, topic.settings().max_message_bytes)?;
    let appended = if batch.header.is_transactional() {
        let producer = Producer { id: batch.header.producer_id, epoch: batch.header.producer_epoch };
        broker.transactions.append(producer, name, number, || partition.append(&batch))?
    } else {
        partition.append(&batch)?
    };
    Ok((partition, appended))
}

async fn answer(call: &Call, topics: Vec<(String, Vec<Outcome>)>) -> Bytes {
    let version = call.version;
    let mut answer = call.answer(256);
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
            let refused = safe.err();
            let code = refused.as_ref().map_or(0, |refused| refused.code.number());
            answer.i32(outcome.number).i16(code).i64(base_offset).i64(-1);
            if version >= 5 {
                answer.i64(start);
            }
            if version >= 8 {
                let reason = refused.as_ref().and_then(|refused| refused.reason.as_deref());
                answer.array(0).nullable_string(reason);
            }
        }
    }
    answer.i32(0);
    answer.finish()
}
