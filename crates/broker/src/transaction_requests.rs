//! The requests of transactional producers.

use bytes::Bytes;

use crate::broker::{Broker, Call};
use crate::coordinator::Identity;
use crate::error_code::ErrorCode;
use crate::offsets::{self, Outcome};
use crate::store::{Committed, End, Producer, Slot, TopicPartition};
use crate::transactions::new_producer_id;
use crate::wire::{Parsed, Reader};

/// InitProducerId, versions 0 to 4. Without a transactional id, gives an id to an idempotent producer.
pub(crate) async fn start(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let id = reader.string()?;
    let timeout_ms = reader.i32()?;
    let known =
        if call.version >= 3 { Some(producer(&mut reader)?).filter(|known| known.id >= 0) } else { None };
    let started = match id {
        Some(id) => broker.transactions.start(&id, timeout_ms, known).await,
        None => Ok(Producer { id: new_producer_id(), epoch: 0 }),
    };
    let mut answer = call.answer_since(0);
    let Producer { id, epoch } = started.unwrap_or(Producer { id: -1, epoch: -1 });
    answer.error(started.err().map(|error| since(call, 4, error))).i64(id).i16(epoch);
    Ok(answer.finish())
}

/// AddPartitionsToTxn, versions 0 to 2. Adds all partitions or none.
pub(crate) async fn add_partitions(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let id = reader.text()?;
    let producer = producer(&mut reader)?;
    let topics = reader.numbered_topics()?;
    let exists = |topic: &str, number: i32| broker.log.partition(topic, number).is_some();
    let all: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|(topic, numbers)| numbers.iter().map(|number| (topic.clone(), *number)))
        .collect();
    let result = if all.iter().all(|(topic, number)| exists(topic, *number)) {
        broker.transactions.add_partitions(&id, producer, all).await
    } else {
        Err(ErrorCode::OperationNotAttempted)
    };
    let error = result.err().map(|error| since(call, 2, error));
    let mut answer = call.answer_since(0);
    answer.structs(&topics, |answer, (topic, numbers)| {
        answer.string(topic).structs(numbers, |answer, number| {
            let missing = !exists(topic, *number);
            answer.i32(*number).error(if missing { Some(ErrorCode::UnknownTopicOrPartition) } else { error });
        });
    });
    Ok(answer.finish())
}

/// AddOffsetsToTxn, versions 0 to 2.
pub(crate) async fn add_group(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let id = reader.text()?;
    let producer = producer(&mut reader)?;
    let group = reader.text()?;
    let result = broker.transactions.add_group(&id, producer, &group).await;
    let mut answer = call.answer_since(0);
    answer.error(result.err().map(|error| since(call, 2, error)));
    Ok(answer.finish())
}

/// TxnOffsetCommit, versions 0 to 3.
pub(crate) async fn add_offsets(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let version = call.version;
    let id = reader.text()?;
    let group = reader.text()?;
    let producer = producer(&mut reader)?;
    let (generation, member, instance) = if version >= 3 {
        (reader.i32()?, reader.text()?, reader.string()?)
    } else {
        (-1, String::new(), None)
    };
    let topics = reader.topics(|partition| {
        let (number, offset) = (partition.i32()?, partition.i64()?);
        let leader_epoch = if version >= 2 { partition.i32()? } else { -1 };
        Ok((number, Committed { offset, leader_epoch, metadata: partition.string()?.unwrap_or_default() }))
    })?;
    let identity = Identity { generation, member_id: &member, instance_id: instance.as_deref() };
    let checked = offsets::check(broker, topics);
    let accepted = offsets::accepted(&checked);
    // In one step: a member that the group has replaced must not commit after the next one has read what was committed.
    let mut allowed = Ok(());
    let send = |slot: Slot<'_>, change| {
        let sent = broker.groups.transactional_commit(&group, identity, || slot.send(change));
        allowed = sent.as_ref().map(drop).map_err(|error| *error);
        sent
    };
    let stored = broker.transactions.add_offsets(&id, producer, &group, accepted, send).await;
    let mut answer = call.answer_since(0);
    offsets::write_outcomes(&mut answer, &checked, Outcome { allowed, stored });
    Ok(answer.finish())
}

/// EndTxn, versions 0 to 2.
pub(crate) async fn end(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let id = reader.text()?;
    let producer = producer(&mut reader)?;
    let end = if reader.bool()? { End::Commit } else { End::Abort };
    let result = broker.transactions.end(&id, producer, end).await;
    let mut answer = call.answer_since(0);
    answer.error(result.err().map(|error| since(call, 2, error)));
    Ok(answer.finish())
}

fn producer(reader: &mut Reader) -> Parsed<Producer> {
    Ok(Producer { id: reader.i64()?, epoch: reader.i16()? })
}

/// Clients know the error of a fenced producer from this version of the request on. Before, it was that of an old epoch.
fn since(call: &Call, first: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if call.version < first => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}
