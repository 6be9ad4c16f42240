//! Offsets that consumer groups commit: stores, returns and forgets them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use bytes::Bytes;

use crate::broker::{Broker, Call};
use crate::coordinator::Identity;
use crate::error_code::ErrorCode;
use crate::store::{Change, Committed, PartitionId};
use crate::wire::{Parsed, Reader, Writer};

/// Maximum bytes of the note with an offset, like Kafka's `offset.metadata.max.bytes`.
pub(crate) const MAX_METADATA_BYTES: usize = 4096;

const HOUR: Duration = Duration::from_secs(60 * 60);

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
    let checked = check(broker, topics);
    let identity = Identity { generation, member_id: &member, instance_id: instance.as_deref() };
    let outcome = commit_accepted(broker, &group, identity, accepted(&checked)).await;
    let mut answer = call.answer_since(3);
    write_outcomes(&mut answer, &checked, outcome);
    Ok(answer.finish())
}

/// The member is checked and the offsets are sent to the store in one step. So of two members that own a partition one after the other, the
/// offsets of the first are never stored after those of the second.
async fn commit_accepted(
    broker: &Broker,
    group: &str,
    identity: Identity<'_>,
    offsets: Vec<(PartitionId, Committed)>,
) -> Outcome {
    let slot = broker.store.reserve().await;
    let send = || {
        let change = Change::Commit { group: group.to_owned(), offsets, idle_hours: 0 };
        slot.map(|slot| slot.send(change))
    };
    match broker.groups.commit(group, identity, send) {
        Err(error) => Outcome { allowed: Err(error), stored: Ok(()) },
        Ok(Err(error)) => Outcome { allowed: Ok(()), stored: Err(error) },
        Ok(Ok(sent)) => Outcome { allowed: Ok(()), stored: sent.wait().await },
    }
}

/// The result of a commit of offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Whether the client may commit at all.
    pub allowed: Result<(), ErrorCode>,
    /// Whether the accepted offsets are stored.
    pub stored: Result<(), ErrorCode>,
}

/// Writes the error of each offset.
pub(crate) fn write_outcomes(answer: &mut Writer, checked: &[Checked], outcome: Outcome) {
    let (allowed, stored) = (outcome.allowed.err(), outcome.stored.err());
    answer.topics(checked, |answer, (number, checked)| {
        let refused = checked.as_ref().err().copied();
        answer.i32(*number).error(allowed.or(refused).or(stored));
    });
}

/// A topic with its partitions, each with the offset or why it is refused.
pub(crate) type Checked = (String, Vec<(i32, Result<(PartitionId, Committed), ErrorCode>)>);

/// Checks each offset.
pub(crate) fn check(broker: &Broker, topics: Vec<(String, Vec<(i32, Committed)>)>) -> Vec<Checked> {
    let check = |topic: &str, number: i32, committed: Committed| {
        let partition = partition_id(broker, topic, number).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if committed.metadata.len() > MAX_METADATA_BYTES {
            return Err(ErrorCode::OffsetMetadataTooLarge);
        }
        Ok((partition, committed))
    };
    let of_topic = |(topic, offsets): (String, Vec<(i32, Committed)>)| {
        let checked =
            offsets.into_iter().map(|(number, committed)| (number, check(&topic, number, committed)));
        let checked = checked.collect();
        (topic, checked)
    };
    topics.into_iter().map(of_topic).collect()
}

/// Returns the id of a partition, if it exists.
fn partition_id(broker: &Broker, topic: &str, number: i32) -> Option<PartitionId> {
    let topic = broker.log.topic(topic)?;
    topic.partition(number).map(|_| PartitionId { topic: topic.id, number })
}

/// Returns the offsets that were not refused.
pub(crate) fn accepted(checked: &[Checked]) -> Vec<(PartitionId, Committed)> {
    let offsets = checked.iter().flat_map(|(_, offsets)| offsets);
    offsets.filter_map(|(_, checked)| checked.as_ref().ok().cloned()).collect()
}

/// Versions 0 to 7. Without topics (from version 2 on), returns everything that the group has committed.
pub(crate) async fn fetch(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let version = call.version;
    let group = reader.text()?;
    let wanted = reader.nullable_structs(|topic| Ok((topic.text()?, topic.array(Reader::i32)?)))?;
    let require_stable = version >= 7 && reader.bool()?;
    // A new member must see what the one before it has committed, also if that is not on disk yet.
    let settled = broker.store.settle().await;
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
        answer.string(topic).structs(partitions, |answer, (number, partition, committed)| {
            let is_pending = partition.is_some_and(|partition| pending.contains(&partition));
            let committed =
                if is_pending { Err(ErrorCode::UnstableOffsetCommit) } else { Ok(committed.as_ref()) };
            write_committed(answer, version, *number, settled.and(committed));
        });
    });
    if version >= 2 {
        answer.outcome(&settled);
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

/// A topic with its partitions, each with its number, its id if it exists, and what the group has committed.
type Fetched = (String, Vec<(i32, Option<PartitionId>, Option<Committed>)>);

fn of_topic(broker: &Broker, group: &str, topic: String, numbers: BTreeSet<i32>) -> Fetched {
    let committed = |number| {
        let partition = partition_id(broker, &topic, number);
        (number, partition, partition.and_then(|partition| broker.store.committed(group, partition)))
    };
    let partitions = numbers.into_iter().map(committed).collect();
    (topic, partitions)
}

/// Offsets of topics that were deleted are left out.
fn all_of(broker: &Broker, group: &str) -> Vec<Fetched> {
    let names = broker.log.names();
    let mut topics: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (partition, committed) in broker.store.group(group) {
        if let Some(name) = names.get(&partition.topic) {
            let of_topic = topics.entry(name.clone()).or_default();
            of_topic.push((partition.number, Some(partition), Some(committed)));
        }
    }
    topics.into_iter().collect()
}

/// Version 0. Offsets of topics that a member of the group consumes are kept.
pub(crate) async fn delete(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let group = reader.text()?;
    let topics = reader.topics(Reader::i32)?;
    let slot = broker.store.reserve().await;
    let sent = broker.groups.with_subscription(&group, |subscription| {
        let judge = |topic: &str, number: i32| {
            let partition = partition_id(broker, topic, number).ok_or(ErrorCode::UnknownTopicOrPartition)?;
            if subscription.contains(topic) { Err(ErrorCode::GroupSubscribedToTopic) } else { Ok(partition) }
        };
        let of_topic = |(topic, numbers): &(String, Vec<i32>)| {
            let judged: Vec<_> = numbers.iter().map(|number| (*number, judge(topic, *number))).collect();
            (topic.clone(), judged)
        };
        let judged: Vec<Forgettable> = topics.iter().map(of_topic).collect();
        let judgements = judged.iter().flat_map(|(_, partitions)| partitions);
        let partitions = judgements.filter_map(|(_, judged)| judged.ok()).collect();
        let change = Change::Forget { group: group.clone(), partitions };
        slot.map(|slot| (slot.send(change), judged))
    });
    let forgotten = match sent.flatten() {
        Ok((sent, judged)) => sent.wait().await.map(|()| judged),
        Err(error) => Err(error),
    };
    let mut answer = call.answer(256);
    answer.outcome(&forgotten).i32(0);
    answer.topics(&forgotten.unwrap_or_default(), |answer, (number, judged)| {
        answer.i32(*number).outcome(judged);
    });
    Ok(answer.finish())
}

/// A topic with its partitions, each with its id, or why its offset is kept.
type Forgettable = (String, Vec<(i32, Result<PartitionId, ErrorCode>)>);

/// Forgets the offsets of groups that have had no members for a week, as long as the broker runs.
pub(crate) async fn keep_fresh(broker: &Broker) {
    loop {
        tokio::time::sleep(HOUR).await;
        if let Err(error) = pass_hour(broker).await {
            tracing::warn!(%error, "cannot note that committed offsets are an hour older");
        }
    }
}

/// Notes that another hour has passed.
pub(crate) async fn pass_hour(broker: &Broker) -> Result<(), ErrorCode> {
    let slot = broker.store.reserve().await?;
    let sent = broker.groups.with_used(|in_use| slot.send(Change::HourPassed { in_use }));
    sent.wait().await
}
