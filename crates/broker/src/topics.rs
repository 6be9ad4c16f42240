//! Creates, changes and deletes topics. The catalogue stores the topics, the log their records.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use roundhouse_part::counted::counted;
use uuid::Uuid;

use crate::DEFAULT_PARTITIONS;
use crate::broker::{Broker, Call};
use crate::catalogue::{Catalogue, TopicEntry};
use crate::configs::{self, Refusal};
use crate::error_code::ErrorCode;
use crate::log::{Log, TopicSettings};
use crate::store::Change;
use crate::wire::{Parsed, Reader};

/// Maximum number of partitions of a topic.
pub(crate) const MAX_PARTITIONS: u32 = 256;

/// Maximum number of topics.
const MAX_TOPICS: usize = 1_000;

/// Maximum bytes of a topic name, as in Kafka.
const MAX_NAME_BYTES: usize = 249;

/// A topic to be created.
struct NewTopic {
    name: String,
    partitions: i32,
    replication_factor: i16,
    has_assignments: bool,
    /// Names and values of settings.
    settings: Vec<(String, Option<String>)>,
}

/// Versions 0 to 4.
pub(crate) async fn create(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let topics = reader.structs(|topic| {
        Ok(NewTopic {
            name: topic.text()?,
            partitions: topic.i32()?,
            replication_factor: topic.i16()?,
            has_assignments: !topic
                .structs(|assignment| Ok((assignment.i32()?, assignment.array(Reader::i32)?)))?
                .is_empty(),
            settings: topic.structs(|setting| Ok((setting.text()?, setting.string()?)))?,
        })
    })?;
    let _timeout = reader.i32()?;
    let validate_only = call.version >= 1 && reader.bool()?;
    let mut results = Vec::new();
    for topic in topics {
        results.push((topic.name.clone(), create_one(broker, topic, validate_only).await));
    }
    let mut answer = call.answer_since(2);
    answer.structs(&results, |answer, (name, result)| {
        let refusal = result.as_ref().err();
        answer.string(name).error(refusal.map(|refusal| refusal.code));
        if call.version >= 1 {
            answer.nullable_string(refusal.map(|refusal| refusal.reason.as_str()));
        }
    });
    Ok(answer.finish())
}

async fn create_one(broker: &Broker, topic: NewTopic, validate_only: bool) -> Result<(), Refusal> {
    let (partitions, settings) = check(&topic)?;
    let _one_at_a_time = broker.topic_changes.lock().await;
    if broker.log.topic(&topic.name).is_some() {
        let reason = format!("topic {} already exists", topic.name);
        return Err(Refusal::new(ErrorCode::TopicAlreadyExists, reason));
    }
    if broker.catalogue.topics().len() >= MAX_TOPICS {
        let reason = format!("there are {MAX_TOPICS} topics, which is the maximum; delete one first");
        return Err(Refusal::new(ErrorCode::PolicyViolation, reason));
    }
    if validate_only {
        return Ok(());
    }
    let entry = TopicEntry { name: topic.name, id: Uuid::new_v4(), partitions };
    let store = move |catalogue: &Catalogue, log: &Log| {
        let created = log.create(&entry, settings).and_then(|()| catalogue.put(entry.clone()));
        if let Err(error) = created {
            if let Err(error) = log.remove(&entry.name) {
                tracing::warn!(%error, "cannot delete the files of a topic that was not created; the next start deletes them");
            }
            return Err(error);
        }
        log.undo_deletion(&entry.name)
    };
    change(broker, store).await.map_err(|error| {
        tracing::error!(%error, "cannot store a topic");
        Refusal::new(ErrorCode::KafkaStorageError, "cannot store the topic")
    })
}

/// Checks a new topic. Returns its number of partitions and its settings.
fn check(topic: &NewTopic) -> Result<(u32, TopicSettings), Refusal> {
    if !is_legal_name(&topic.name) {
        let reason = "invalid topic name; use 1 to 249 ASCII letters, digits, '.', '_' and '-'";
        return Err(Refusal::new(ErrorCode::InvalidTopicException, reason));
    }
    let partitions = match topic.partitions {
        -1 => Ok(DEFAULT_PARTITIONS),
        given => u32::try_from(given),
    };
    let Some(partitions) = partitions.ok().filter(|count| (1..=MAX_PARTITIONS).contains(count)) else {
        let reason = format!("invalid number of partitions; use 1 to {MAX_PARTITIONS}");
        return Err(Refusal::new(ErrorCode::InvalidPartitions, reason));
    };
    if !matches!(topic.replication_factor, -1 | 1) || topic.has_assignments {
        let reason = "the embedded broker is a single node; use replication factor 1";
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, reason));
    }
    let mut settings = TopicSettings::default();
    for (name, value) in &topic.settings {
        settings.set(name, value.as_deref())?;
    }
    Ok((partitions, settings))
}

/// Whether a topic may have this name, as in Kafka.
pub(crate) fn is_legal_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_NAME_BYTES).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(legal)
}

/// Versions 0 to 3.
pub(crate) async fn delete(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let mut results = Vec::new();
    for name in reader.array(Reader::text)? {
        let result = delete_one(broker, &name).await;
        results.push((name, result));
    }
    let mut answer = call.answer_since(1);
    answer.structs(&results, |answer, (name, result)| {
        answer.string(name).outcome(result);
    });
    Ok(answer.finish())
}

async fn delete_one(broker: &Broker, name: &str) -> Result<(), ErrorCode> {
    let _one_at_a_time = broker.topic_changes.lock().await;
    let id = broker.catalogue.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?.id;
    let topic = name.to_owned();
    let remove = move |catalogue: &Catalogue, log: &Log| {
        log.begin_deletion(&topic)?;
        if let Err(error) = catalogue.remove(&topic) {
            if let Err(error) = log.undo_deletion(&topic) {
                tracing::warn!(%error, "cannot remove the sign that a topic is being deleted; the next start removes it");
            }
            return Err(error);
        }
        if let Err(error) = log.remove(&topic) {
            tracing::warn!(%error, "cannot delete the files of a deleted topic; the next start deletes them");
        }
        Ok(())
    };
    change(broker, remove).await.map_err(|error| {
        tracing::error!(topic = name, %error, "cannot delete a topic");
        ErrorCode::KafkaStorageError
    })?;
    if let Err(error) = broker.store.change(Change::ForgetTopic { topic: id }).await {
        tracing::warn!(topic = name, %error, "cannot forget what groups have committed for a deleted topic; the next start does");
    }
    Ok(())
}

/// Versions 0 and 1.
pub(crate) async fn add_partitions(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let topics = reader.structs(|topic| {
        let (name, count) = (topic.text()?, topic.i32()?);
        let assignments = topic.nullable_structs(|assignment| assignment.array(Reader::i32))?;
        Ok((name, count, assignments.is_some_and(|assignments| !assignments.is_empty())))
    })?;
    let _timeout = reader.i32()?;
    let validate_only = reader.bool()?;
    let mut results = Vec::new();
    for (name, count, has_assignments) in topics {
        let result = add_to_one(broker, &name, count, has_assignments, validate_only).await;
        results.push((name, result));
    }
    let mut answer = call.answer_since(0);
    answer.structs(&results, |answer, (name, result)| {
        answer.string(name);
        configs::write_outcome(answer, result);
    });
    Ok(answer.finish())
}

async fn add_to_one(
    broker: &Broker,
    name: &str,
    count: i32,
    has_assignments: bool,
    validate_only: bool,
) -> Result<(), Refusal> {
    let _one_at_a_time = broker.topic_changes.lock().await;
    let topic = broker.catalogue.topic(name).ok_or_else(|| configs::no_topic(name))?;
    let has = topic.partitions;
    let Some(count) = u32::try_from(count).ok().filter(|count| (has + 1..=MAX_PARTITIONS).contains(count))
    else {
        let reason = format!(
            "the topic has {}; use {} to {MAX_PARTITIONS}",
            counted(has.into(), "partition"),
            has + 1
        );
        return Err(Refusal::new(ErrorCode::InvalidPartitions, reason));
    };
    if has_assignments {
        let reason = "the embedded broker is a single node; leave out the assignment of replicas";
        return Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, reason));
    }
    if validate_only {
        return Ok(());
    }
    let entry = TopicEntry { partitions: count, ..topic };
    // The files first: a start creates partitions only of topics that it does not know yet.
    let store = move |catalogue: &Catalogue, log: &Log| {
        log.add_partitions(&entry)?;
        catalogue.put(entry)
    };
    change(broker, store).await.map_err(|error| {
        tracing::error!(topic = name, %error, "cannot add partitions");
        Refusal::new(ErrorCode::KafkaStorageError, "cannot store the partitions")
    })
}

/// Changes the catalogue and the log on a thread that may block.
async fn change(
    broker: &Broker,
    change: impl FnOnce(&Catalogue, &Log) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let (catalogue, log) = (Arc::clone(&broker.catalogue), Arc::clone(&broker.log));
    tokio::task::spawn_blocking(move || change(&catalogue, &log)).await.map_err(io::Error::other).flatten()
}
