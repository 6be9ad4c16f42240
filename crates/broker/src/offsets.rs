//! Offsets that consumer groups commit: stores, returns and forgets them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytes::Bytes;

use crate::api::{Broker, Call};
use crate::coordinator::Identity;
use crate::error_code::ErrorCode;
use crate::store::{Change, Committed, TopicPartition};
use crate::wire::{Parsed, Reader, Writer};

/// Maximum bytes of the note with an offset, like Kafka's `offset.metadata.max.bytes`.
pub(crate) const MAX_METADATA_BYTES: usize = 4096;

/// Versions 0 to 7.
pub(crate) async fn commit(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let version = call.version;
    let group = reader.text()?;
    let (generation, member) =
        if version >= 1 { (reader.i32()?, reader.text()?) } else { (-1, String::new()) };
    let instance = if version >= 7 { reader.string()? } else { None };
    if (2..=4).contains(&version) {
        let _retention = reader.i64()?;
    }
    let topics = reader.topics(|partition| {
        let (number, offset) = (partition.i32()?, partition.i64()?);
        let leader_epoch = if version >= 6 { partition.i32()? } else { -1 };
        if version == 1 {
            let _timestamp = partition.i64()?;
        }
        let metadata = partition.string()?.unwrap_or_default();
        Ok((number, Committed { offset, leader_epoch, metadata }))
    })?;
    let identity = Identity { generation, member_id: &member, instance_id: instance.as_deref() };
    let checked = check(broker, topics, broker.groups.check_commit(&group, identity));
    let stored = match accepted(&checked) {
        offsets if offsets.is_empty() => Ok(()),
        offsets => broker.store.change(Change::Commit { group, offsets }).await,
    };
    let mut answer = call.answer_since(3);
    write_outcomes(&mut answer, &checked, stored);
    Ok(answer.finish())
}

/// Writes the error of each offset. `stored`: whether those that were not refused are stored.
pub(crate) fn write_outcomes(answer: &mut Writer, checked: &[Checked], stored: Result<(), ErrorCode>) {
    answer.topics(checked, |answer, (number, checked)| {
        let refused = checked.as_ref().err().copied();
        answer.i32(*number).error(refused.or(stored.err()));
    });
}

/// A topic with its partitions, each with the offset or why it is refused.
pub(crate) type Checked = (String, Vec<(i32, Result<Committed, ErrorCode>)>);

/// Checks each offset. `allowed`: whether the client may commit at all.
pub(crate) fn check(
    broker: &Broker,
    topics: Vec<(String, Vec<(i32, Committed)>)>,
    allowed: Result<(), ErrorCode>,
) -> Vec<Checked> {
    let check = |topic: &str, number: i32, committed: Committed| {
        allowed?;
        if broker.log.partition(topic, number).is_none() {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        if committed.metadata.len() > MAX_METADATA_BYTES {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        Ok(committed)
    };
    let of_topic = |(topic, offsets): (String, Vec<(i32, Committed)>)| {
        let checked =
            offsets.into_iter().map(|(number, committed)| (number, check(&topic, number, committed)));
        let checked = checked.collect();
        (topic, checked)
    };
    topics.into_iter().map(of_topic).collect()
}

/// Returns the offsets that were not refused.
pub(crate) fn accepted(checked: &[Checked]) -> Vec<(TopicPartition, Committed)> {
    let of_topic = |(topic, offsets): &Checked| {
        let accept = |(number, checked): &(i32, Result<Committed, ErrorCode>)| {
            Some(((topic.clone(), *number), checked.as_ref().ok()?.clone()))
        };
        offsets.iter().filter_map(accept).collect::<Vec<_>>()
    };
    checked.iter().flat_map(of_topic).collect()
}

/// Versions 0 to 7. Without topics (from version 2 on), returns everything that the group has committed.
pub(crate) fn fetch(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let version = call.version;
    let group = reader.text()?;
    let wanted = reader.nullable_structs(|topic| Ok((topic.text()?, topic.array(Reader::i32)?)))?;
    let require_stable = version >= 7 && reader.bool()?;
    let pending = if require_stable { broker.store.pending(&group) } else { HashSet::new() };
    let topics = match wanted {
        Some(wanted) => once(wanted)
            .into_iter()
            .map(|(topic, numbers)| of_topic(broker, &group, topic, numbers))
            .collect(),
        None => all_of(broker, &group),
    };
    let mut answer = call.answer_since(3);
    answer.structs(&topics, |answer, (topic, partitions)| {
        answer.string(topic).structs(partitions, |answer, (number, committed)| {
            let is_pending = pending.contains(&(topic.clone(), *number));
            let committed =
                if is_pending { Err(ErrorCode::UnstableOffsetCommit) } else { Ok(committed.as_ref()) };
            write_committed(answer, version, *number, committed);
        });
    });
    if version >= 2 {
        answer.error(None);
    }
    Ok(answer.finish())
}

/// Writes what a group has committed for a partition, if anything.
fn write_committed(
    answer: &mut Writer,
    version: i16,
    number: i32,
    committed: Result<Option<&Committed>, ErrorCode>,
) {
    let none = Committed { offset: -1, leader_epoch: -1, metadata: String::new() };
    let Committed { offset, leader_epoch, metadata } = committed.ok().flatten().unwrap_or(&none);
    answer.i32(number).i64(*offset);
    if version >= 5 {
        answer.i32(*leader_epoch);
    }
    answer.nullable_string(Some(metadata)).outcome(&committed);
}

/// Each partition once: a request that repeats one would get an answer many times its size.
fn once(topics: Vec<(String, Vec<i32>)>) -> BTreeMap<String, BTreeSet<i32>> {
    let mut once: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    topics.into_iter().for_each(|(topic, numbers)| once.entry(topic).or_default().extend(numbers));
    once
}

type Fetched = (String, Vec<(i32, Option<Committed>)>);

fn of_topic(broker: &Broker, group: &str, topic: String, numbers: BTreeSet<i32>) -> Fetched {
    let committed = |number| (number, broker.store.committed(group, &(topic.clone(), number)));
    let partitions = numbers.into_iter().map(committed).collect();
    (topic, partitions)
}

fn all_of(broker: &Broker, group: &str) -> Vec<Fetched> {
    let mut topics: Vec<Fetched> = Vec::new();
    for ((topic, number), committed) in broker.store.group(group) {
        match topics.last_mut() {
            Some((last, partitions)) if *last == topic => partitions.push((number, Some(committed))),
            _ => topics.push((topic, vec![(number, Some(committed))])),
        }
    }
    topics
}

/// Version 0. Offsets of topics that a member of the group consumes are kept.
pub(crate) async fn delete(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let group = reader.text()?;
    let topics = reader.topics(Reader::i32)?;
    let refuse = |topic: &str, number: i32, consumed: bool| match broker.log.partition(topic, number) {
        None => Some(ErrorCode::UnknownTopicOrPartition),
        Some(_) if consumed => Some(ErrorCode::GroupSubscribedToTopic),
        Some(_) => None,
    };
    let checked = broker.groups.subscription(&group).map(|subscription| {
        let of_topic = |(topic, numbers): (String, Vec<i32>)| {
            let consumed = subscription.contains(&topic);
            let checked = numbers.into_iter().map(|number| (number, refuse(&topic, number, consumed)));
            let checked: Vec<_> = checked.collect();
            (topic, checked)
        };
        topics.into_iter().map(of_topic).collect::<Vec<_>>()
    });
    let forgotten = match &checked {
        Ok(checked) => broker.store.change(Change::Forget { group, partitions: not_refused(checked) }).await,
        Err(error) => Err(*error),
    };
    let mut answer = call.answer(256);
    answer.outcome(&forgotten).i32(0);
    let topics = if forgotten.is_ok() { checked.unwrap_or_default() } else { Vec::new() };
    answer.topics(&topics, |answer, (number, refused)| {
        answer.i32(*number).error(*refused);
    });
    Ok(answer.finish())
}

/// A topic with its partitions, each with why its offset is kept, if it is.
type Forgettable = (String, Vec<(i32, Option<ErrorCode>)>);

fn not_refused(topics: &[Forgettable]) -> Vec<TopicPartition> {
    let all = topics.iter().flat_map(|(topic, checked)| checked.iter().map(move |checked| (topic, checked)));
    let keep = |(topic, (number, refused)): (&String, &(i32, Option<ErrorCode>))| {
        refused.is_none().then(|| (topic.clone(), *number))
    };
    all.filter_map(keep).collect()
}
