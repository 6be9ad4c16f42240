//! ListOffsets requests: the first and last offset of a partition, and the first offset since a time.

use std::collections::HashSet;
use std::io;

use bytes::Bytes;

use crate::broker::{Broker, Call, MAX_PARTITIONS_IN_TURN};
use crate::error_code::ErrorCode;
use crate::log::{Header, Isolation, Log, Partition};
use crate::wire::{Parsed, Reader};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// The record with the newest timestamp. Since version 7.
const NEWEST: i64 = -3;

struct Wanted {
    partition: i32,
    timestamp: i64,
}

impl Wanted {
    /// Whether the files must be searched.
    fn is_search(&self) -> bool {
        !matches!(self.timestamp, LATEST | EARLIEST)
    }
}

/// An offset and the timestamp of its record (milliseconds). Each is -1 if there is none.
#[derive(Clone, Copy)]
struct Found {
    offset: i64,
    timestamp: i64,
}

const NOTHING: Found = Found { offset: -1, timestamp: -1 };

/// Versions 1 to 7. Searches the log if an offset is requested by time.
pub(crate) async fn list(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let version = call.version;
    let _replica = reader.i32()?;
    let isolation = if version >= 2 { Isolation::of(reader.i8()?) } else { Isolation::ReadUncommitted };
    let topics = reader.topics(|partition| {
        let number = partition.i32()?;
        if version >= 4 {
            let _leader_epoch = partition.i32()?;
        }
        Ok(Wanted { partition: number, timestamp: partition.i64()? })
    })?;
    let topics = look_up(broker, topics, isolation).await;
    let mut answer = call.answer_since(2);
    answer.topics(&topics, |answer, (number, found)| {
        let Found { offset, timestamp } = found.unwrap_or(NOTHING);
        answer.i32(*number).outcome(found).i64(timestamp).i64(offset);
        if version >= 4 {
            let leader_epoch = 0;
            answer.i32(leader_epoch);
        }
    });
    Ok(answer.finish())
}

type Looked = (String, Vec<(i32, Result<Found, ErrorCode>)>);

/// Looks up each partition once: a request that repeats one, or that has too many to search, gets an error for those, as in Kafka.
async fn look_up(broker: &Broker, topics: Vec<(String, Vec<Wanted>)>, isolation: Isolation) -> Vec<Looked> {
    let mut seen = HashSet::new();
    let mut searches = 0;
    let judge = |topic: &str, wanted: Wanted| {
        searches += usize::from(wanted.is_search());
        let judged = if !seen.insert((topic.to_owned(), wanted.partition)) {
            Err(ErrorCode::InvalidRequest)
        } else if searches > MAX_PARTITIONS_IN_TURN {
            Err(ErrorCode::PolicyViolation)
        } else {
            Ok(wanted.timestamp)
        };
        (wanted.partition, judged)
    };
    let topics = each_partition(topics, judge);
    if searches == 0 {
        return each_partition(topics, |topic, (number, wanted)| {
            (number, wanted.and_then(|wanted| find_in(&broker.log, topic, number, wanted, isolation)))
        });
    }
    let search = move |log: &Log| {
        each_partition(topics, |topic, (number, wanted)| {
            (number, wanted.and_then(|wanted| find_in(log, topic, number, wanted, isolation)))
        })
    };
    broker.in_turn(search).await.unwrap_or_default()
}

/// Calls `change` with each partition and the name of its topic.
fn each_partition<T, U>(
    topics: Vec<(String, Vec<T>)>,
    mut change: impl FnMut(&str, T) -> U,
) -> Vec<(String, Vec<U>)> {
    let of_topic = |(topic, partitions): (String, Vec<T>)| {
        let changed = partitions.into_iter().map(|partition| change(&topic, partition)).collect();
        (topic, changed)
    };
    topics.into_iter().map(of_topic).collect()
}

fn find_in(
    log: &Log,
    topic: &str,
    number: i32,
    timestamp: i64,
    isolation: Isolation,
) -> Result<Found, ErrorCode> {
    let partition = log.partition(topic, number).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    match timestamp {
        LATEST => Ok(Found { offset: partition.visible_end(isolation), timestamp: -1 }),
        EARLIEST => Ok(Found { offset: partition.start_offset(), timestamp: -1 }),
        NEWEST => match partition.newest_timestamp(isolation).map_err(unreadable)? {
            Some(newest) => find_by_time(&partition, newest, isolation),
            None => Ok(NOTHING),
        },
        timestamp if timestamp >= 0 => find_by_time(&partition, timestamp, isolation),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn find_by_time(partition: &Partition, wanted: i64, isolation: Isolation) -> Result<Found, ErrorCode> {
    let batch = partition.first_since(wanted, isolation).map_err(unreadable)?;
    let Some(batch) = batch else { return Ok(NOTHING) };
    let start = partition.start_offset();
    let header = Header::parse(&batch).ok_or(ErrorCode::CorruptMessage)?;
    let mut found = None;
    let walked = header.records(&batch, |record| {
        let offset = header.base_offset + i64::from(record.offset_delta);
        if found.is_none() && offset >= start && record.timestamp >= wanted {
            found = Some(Found { offset, timestamp: record.timestamp });
        }
    });
    if let Err(error) = walked {
        // Earlier versions accepted batches without checking their records.
        tracing::warn!(%error, offset = header.base_offset, "cannot read the records of a batch");
    }
    // If no record was found, the start of the batch is a safe answer, because it is early enough.
    let start_of_batch = Found { offset: header.base_offset.max(start), timestamp: header.max_timestamp };
    Ok(found.unwrap_or(start_of_batch))
}

fn unreadable(error: io::Error) -> ErrorCode {
    tracing::error!(%error, "cannot read the log");
    ErrorCode::KafkaStorageError
}
