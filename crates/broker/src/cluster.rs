//! The requests by which a client finds its way: metadata, coordinators, the cluster. There is one node, which does everything.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::broker::{Broker, Call};
use crate::catalogue::TopicEntry;
use crate::error_code::ErrorCode;
use crate::topics::is_legal_name;
use crate::wire::{Parsed, Reader, Writer};
use crate::{CLUSTER_ID, NODE_ID};

/// Operations are reported as bits, by number: read 3, write 4, create 5, delete 6, alter 7, describe 8, cluster action 9, describe
/// configurations 10, alter configurations 11, idempotent write 12. Without access control, a client may do all that a kind of resource has.
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
pub(crate) const GROUP_OPERATIONS: i32 = 0b1_0100_1000;

/// What is answered if the client did not ask for the operations.
pub(crate) const NOT_REQUESTED: i32 = i32::MIN;

/// A topic that a metadata request names, or all.
enum Found {
    Topic(TopicEntry),
    Missing(String, ErrorCode),
}

/// Versions 0 to 8. Never creates a topic, because a mistyped name would create one.
pub(crate) fn metadata(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let version = call.version;
    let names = reader.nullable_array(Reader::text)?;
    if version >= 4 {
        let _may_create = reader.bool()?;
    }
    let (of_cluster, of_topics) =
        if version >= 8 { (reader.bool()?, reader.bool()?) } else { (false, false) };
    // In version 0, an empty list means all topics.
    let names = names.filter(|names| version > 0 || !names.is_empty());
    let topics = match names {
        // Each topic once: a request that repeats a name would get an answer many times its size.
        Some(names) => BTreeSet::from_iter(names).into_iter().map(|name| find(broker, name)).collect(),
        None => broker.catalogue.topics().into_iter().map(Found::Topic).collect::<Vec<_>>(),
    };
    let mut answer = call.answer_since(3);
    answer.array(1);
    write_node(&mut answer, call);
    if version >= 1 {
        answer.nullable_string(None);
    }
    if version >= 2 {
        answer.nullable_string(Some(CLUSTER_ID));
    }
    if version >= 1 {
        answer.i32(NODE_ID);
    }
    let operations = if of_topics { TOPIC_OPERATIONS } else { NOT_REQUESTED };
    answer.structs(&topics, |answer, topic| {
        write_topic(answer, version, topic);
        if version >= 8 {
            answer.i32(operations);
        }
    });
    if version >= 8 {
        answer.i32(if of_cluster { CLUSTER_OPERATIONS } else { NOT_REQUESTED });
    }
    Ok(answer.finish())
}

fn find(broker: &Broker, name: String) -> Found {
    match broker.catalogue.topic(&name) {
        Some(topic) => Found::Topic(topic),
        None if is_legal_name(&name) => Found::Missing(name, ErrorCode::UnknownTopicOrPartition),
        None => Found::Missing(name, ErrorCode::InvalidTopicException),
    }
}

fn write_topic(answer: &mut Writer, version: i16, topic: &Found) {
    let (name, error, partitions) = match topic {
        Found::Topic(topic) => (&topic.name, None, topic.partitions),
        Found::Missing(name, error) => (name, Some(*error), 0),
    };
    answer.error(error).string(name);
    if version >= 1 {
        let is_internal = false;
        answer.bool(is_internal);
    }
    let numbers: Vec<_> = (0..partitions).collect();
    answer.structs(&numbers, |answer, number| {
        answer.error(None).i32(number.cast_signed()).i32(NODE_ID);
        if version >= 7 {
            let leader_epoch = 0;
            answer.i32(leader_epoch);
        }
        // The replicas, those in sync, and those that are offline.
        answer.numbers(&[NODE_ID]).numbers(&[NODE_ID]);
        if version >= 5 {
            answer.numbers(&[]);
        }
    });
}

/// Writes the node's id and address.
fn write_node(answer: &mut Writer, call: &Call) {
    let address = call.ends.broker;
    answer.i32(NODE_ID).string(&address.ip().to_canonical().to_string()).i32(i32::from(address.port()));
}

/// Versions 0 to 2. The node coordinates every group and every transaction.
pub(crate) fn find_coordinator(call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let _key = reader.text()?;
    let mut answer = call.answer_since(1);
    answer.error(None);
    if call.version >= 1 {
        answer.nullable_string(None);
    }
    write_node(&mut answer, call);
    Ok(answer.finish())
}

/// Versions 0 and 1.
pub(crate) fn describe(call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    /// The addresses are those of brokers, not of controllers.
    const BROKERS: i8 = 1;
    let of_cluster = reader.bool()?;
    if call.version >= 1 && reader.i8()? != BROKERS {
        return Ok(refuse_endpoints(call));
    }
    let mut answer = call.answer_since(0);
    answer.error(None).nullable_string(None);
    if call.version >= 1 {
        answer.i8(BROKERS);
    }
    answer.string(CLUSTER_ID).i32(NODE_ID).array(1);
    write_node(&mut answer, call);
    answer.nullable_string(None).tags();
    answer.i32(if of_cluster { CLUSTER_OPERATIONS } else { NOT_REQUESTED });
    Ok(answer.finish())
}

/// There are no controllers that a client could ask for.
fn refuse_endpoints(call: &Call) -> Bytes {
    let mut answer = call.answer_since(0);
    answer.error(Some(ErrorCode::MismatchedEndpointType)).nullable_string(None).i8(0);
    answer.string("").i32(-1).array(0).i32(NOT_REQUESTED);
    answer.finish()
}
