//! Requests of administrators: deletes records, describes the files, and says that there are no access control lists.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::broker::{Broker, Call, MAX_PARTITIONS_IN_TURN};
use crate::error_code::ErrorCode;
use crate::log::Log;
use crate::wire::{Parsed, Reader};

/// Versions 0 and 1. Of several offsets for a partition, the last one counts, as in Kafka.
pub(crate) async fn delete_records(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let topics = reader.topics(|partition| Ok((partition.i32()?, partition.i64()?)))?;
    let all = topics.into_iter().flat_map(|(topic, offsets)| {
        offsets.into_iter().map(move |(number, offset)| ((topic.clone(), number), offset))
    });
    let all: BTreeMap<(String, i32), i64> = all.collect();
    let shorten = move |log: &Log| {
        let mut results: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (place, ((topic, number), offset)) in all.into_iter().enumerate() {
            let is_too_much = place >= MAX_PARTITIONS_IN_TURN;
            let shortened = if is_too_much {
                Err(ErrorCode::PolicyViolation)
            } else {
                shorten(log, &topic, number, offset)
            };
            results.entry(topic).or_default().push((number, shortened));
        }
        Vec::from_iter(results)
    };
    let topics = broker.in_turn(shorten).await.unwrap_or_default();
    let mut answer = call.answer_since(0);
    answer.topics(&topics, |answer, (number, start)| {
        answer.i32(*number).i64(start.unwrap_or(-1)).outcome(start);
    });
    Ok(answer.finish())
}

/// Deletes the records of a partition before an offset. Returns the first offset that is left.
fn shorten(log: &Log, topic: &str, number: i32, offset: i64) -> Result<i64, ErrorCode> {
    /// Deletes everything that is visible.
    const HIGH_WATERMARK: i64 = -1;
    let partition = log.partition(topic, number).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    partition.delete_before(if offset == HIGH_WATERMARK { partition.end_offset() } else { offset })?;
    Ok(partition.start_offset())
}

/// Versions 0 and 1. There is one directory.
pub(crate) async fn describe_log_dirs(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let wanted = reader.nullable_structs(|topic| Ok((topic.text()?, topic.array(Reader::i32)?)))?;
    let measure = move |log: &Log| {
        let topics = wanted.unwrap_or_else(|| log.partitions());
        let of_topic = |(topic, numbers): (String, Vec<i32>)| {
            let size = |number| Some((number, log.partition(&topic, number)?.bytes()));
            let sizes = numbers.into_iter().filter_map(size).collect::<Vec<_>>();
            (topic, sizes)
        };
        let topics: Vec<(_, Vec<_>)> = topics.into_iter().map(of_topic).collect();
        (log.directory().display().to_string(), topics)
    };
    let (directory, topics) = broker.in_turn(measure).await.unwrap_or_default();
    let mut answer = call.answer_since(0);
    answer.array(1).error(None).string(&directory);
    answer.topics(&topics, |answer, (number, bytes)| {
        let (offset_lag, is_future) = (0, false);
        answer.i32(*number).i64(bytes.cast_signed()).i64(offset_lag).bool(is_future);
    });
    answer.tags();
    Ok(answer.finish())
}

/// Versions 0 and 1. Kafka without an authorizer gives the same answer.
pub(crate) fn describe_acls(call: &Call) -> Bytes {
    let mut answer = call.answer_since(0);
    answer.error(Some(ErrorCode::SecurityDisabled));
    answer.nullable_string(Some("the embedded broker has no access control lists")).array(0);
    answer.finish()
}
