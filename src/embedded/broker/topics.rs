//! Creates, deletes and describes topics, and deletes records. The catalogue stores the topics, the log their records.

use std::sync::Arc;

use nisshi_sans_io::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use nisshi_sans_io::create_topics_response::CreatableTopicResult;
use nisshi_sans_io::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use nisshi_sans_io::delete_topics_response::DeletableTopicResult;
use nisshi_sans_io::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use nisshi_sans_io::{
    ConfigResource, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse, ErrorCode,
};
use uuid::Uuid;

use super::MAX_BATCH_BYTES;
use super::api::Broker;
use super::log::{Log, TopicEntry, TopicSettings};

/// Number of partitions if the request does not give one.
const DEFAULT_PARTITIONS: i32 = 1;

const MAX_PARTITIONS: i32 = 256;

/// Maximum bytes of a topic name, as in Kafka.
const MAX_NAME_BYTES: usize = 249;

/// The fixed settings of every topic, besides [`MAX_MESSAGE_BYTES`].
const FIXED: [(&str, &str); 5] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("compression.type", "producer"),
    ("message.timestamp.type", "CreateTime"),
];

/// The only setting that a topic's creator may choose: maximum bytes of a batch as it is sent.
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// Why a topic was not created.
struct Refusal(ErrorCode, String);

pub(super) async fn create(broker: &Broker, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let validate_only = request.validate_only.unwrap_or_default();
    let mut results = Vec::new();
    for topic in request.topics.unwrap_or_default() {
        let result = CreatableTopicResult::default()
            .name(topic.name.clone())
            .topic_config_error_code(Some(0))
            .configs(Some(Vec::new()));
        results.push(match create_one(broker, topic, validate_only).await {
            Ok((id, partitions)) => result
                .topic_id(Some(id.into_bytes()))
                .error_code(ErrorCode::None.into())
                .error_message(None)
                .num_partitions(Some(partitions))
                .replication_factor(Some(1)),
            Err(Refusal(code, reason)) => result
                .topic_id(Some([0; 16]))
                .error_code(code.into())
                .error_message(Some(reason))
                .num_partitions(Some(-1))
                .replication_factor(Some(-1)),
        });
    }
    CreateTopicsResponse::default().throttle_time_ms(Some(0)).topics(Some(results))
}

async fn create_one(
    broker: &Broker,
    topic: CreatableTopic,
    validate_only: bool,
) -> Result<(Uuid, i32), Refusal> {
    let (partitions, settings) = check(&topic)?;
    let _one_at_a_time = broker.topic_changes.lock().await;
    if broker.log.topic(&topic.name).is_some() {
        return Err(Refusal(ErrorCode::TopicAlreadyExists, format!("topic {} already exists", topic.name)));
    }
    if validate_only {
        return Ok((Uuid::nil(), partitions));
    }
    let name = topic.name.clone();
    let topic = CreatableTopic::default()
        .name(topic.name)
        .num_partitions(partitions)
        .replication_factor(1)
        .assignments(Some(Vec::new()))
        .configs(Some(Vec::new()));
    let failed = |code: ErrorCode| Refusal(code, "cannot store the topic".to_owned());
    let id = broker.catalogue.create(topic).await.map_err(failed)?;
    let entry = TopicEntry { name, id, partitions: partitions.unsigned_abs() };
    let log = Arc::clone(&broker.log);
    let added = tokio::task::spawn_blocking(move || log.create(&entry, settings))
        .await
        .map_err(std::io::Error::other);
    added.flatten().map_err(|error| {
        tracing::error!(%error, "cannot create the files of a topic");
        failed(ErrorCode::KafkaStorageError)
    })?;
    Ok((id, partitions))
}

/// Checks a new topic. Returns its number of partitions and its settings.
fn check(topic: &CreatableTopic) -> Result<(i32, TopicSettings), Refusal> {
    let name = &topic.name;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty()
        || name.len() > MAX_NAME_BYTES
        || name == "."
        || name == ".."
        || !name.bytes().all(legal)
    {
        let reason = "invalid topic name; use 1 to 249 ASCII letters, digits, '.', '_' and '-'".to_owned();
        return Err(Refusal(ErrorCode::InvalidTopicException, reason));
    }
    let partitions = if topic.num_partitions == -1 { DEFAULT_PARTITIONS } else { topic.num_partitions };
    if !(1..=MAX_PARTITIONS).contains(&partitions) {
        return Err(Refusal(
            ErrorCode::InvalidPartitions,
            format!("invalid number of partitions; use 1 to {MAX_PARTITIONS}"),
        ));
    }
    if !matches!(topic.replication_factor, -1 | 1)
        || topic.assignments.as_ref().is_some_and(|all| !all.is_empty())
    {
        let reason = "the embedded broker is a single node; use replication factor 1".to_owned();
        return Err(Refusal(ErrorCode::InvalidReplicationFactor, reason));
    }
    let mut settings = TopicSettings::default();
    topic.configs.iter().flatten().try_for_each(|config| configure(&mut settings, config))?;
    Ok((partitions, settings))
}

/// Refuses a setting that would have no effect, instead of accepting it silently.
fn configure(settings: &mut TopicSettings, config: &CreatableTopicConfig) -> Result<(), Refusal> {
    let invalid = |reason: String| Err(Refusal(ErrorCode::InvalidConfig, reason));
    let given = config.value.as_deref().unwrap_or_default();
    if config.name == MAX_MESSAGE_BYTES {
        let Some(bytes) = given.parse().ok().filter(|bytes| (1..=MAX_BATCH_BYTES).contains(bytes)) else {
            return invalid(format!("{MAX_MESSAGE_BYTES} must be a number from 1 to {MAX_BATCH_BYTES}"));
        };
        settings.max_message_bytes = bytes;
        return Ok(());
    }
    match FIXED.into_iter().find(|(name, _)| *name == config.name) {
        Some((_, value)) if value == given => Ok(()),
        Some((name, value)) => invalid(format!("{name} is always {value} in the embedded broker")),
        None => invalid(format!("the embedded broker does not support the setting {}", config.name)),
    }
}

pub(super) async fn delete(broker: &Broker, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let mut results = Vec::new();
    for name in request.topic_names.unwrap_or_default() {
        let code = delete_one(broker, &name).await.err().unwrap_or(ErrorCode::None);
        results.push(DeletableTopicResult::default().name(Some(name)).error_code(code.into()));
    }
    DeleteTopicsResponse::default().throttle_time_ms(Some(0)).responses(Some(results))
}

async fn delete_one(broker: &Broker, name: &str) -> Result<(), ErrorCode> {
    let _one_at_a_time = broker.topic_changes.lock().await;
    change_log(broker, name, Log::begin_deletion).await.map_err(|error| {
        tracing::error!(%error, "cannot begin to delete the files of a topic");
        ErrorCode::KafkaStorageError
    })?;
    if let Err(refused) = broker.catalogue.delete(name).await {
        if let Err(error) = change_log(broker, name, Log::undo_deletion).await {
            tracing::warn!(%error, "cannot remove the sign that a topic is being deleted; the next start removes it");
        }
        return Err(refused);
    }
    if let Err(error) = change_log(broker, name, Log::remove).await {
        tracing::warn!(%error, "could not delete the files of a deleted topic; the next start deletes them");
    }
    Ok(())
}

/// Changes the files of a topic, on a thread that may block.
async fn change_log(
    broker: &Broker,
    name: &str,
    change: fn(&Log, &str) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let (log, name) = (Arc::clone(&broker.log), name.to_owned());
    tokio::task::spawn_blocking(move || change(&log, &name)).await.map_err(std::io::Error::other).flatten()
}

pub(super) async fn delete_records(broker: &Broker, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let log = Arc::clone(&broker.log);
    let shorten = move || {
        let shorten_topic = |topic: nisshi_sans_io::delete_records_request::DeleteRecordsTopic| {
            let shorten_partition =
                |wanted: &nisshi_sans_io::delete_records_request::DeleteRecordsPartition| {
                    let outcome = log
                        .partition(&topic.name, wanted.partition_index)
                        .ok_or(ErrorCode::UnknownTopicOrPartition)
                        .and_then(|partition| {
                            // -1 means the high watermark.
                            let offset =
                                if wanted.offset == -1 { partition.end_offset() } else { wanted.offset };
                            partition.delete_before(offset).map(|()| partition.start_offset())
                        });
                    DeleteRecordsPartitionResult::default()
                        .partition_index(wanted.partition_index)
                        .low_watermark(outcome.unwrap_or(-1))
                        .error_code(outcome.err().unwrap_or(ErrorCode::None).into())
                };
            let results = topic.partitions.iter().flatten().map(shorten_partition).collect();
            DeleteRecordsTopicResult::default().name(topic.name.clone()).partitions(Some(results))
        };
        request.topics.unwrap_or_default().into_iter().map(shorten_topic).collect::<Vec<_>>()
    };
    let topics = tokio::task::spawn_blocking(shorten).await.unwrap_or_default();
    DeleteRecordsResponse::default().throttle_time_ms(0).topics(Some(topics))
}

pub(super) fn describe(broker: &Broker, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let describe_one = |resource: nisshi_sans_io::describe_configs_request::DescribeConfigsResource| {
        let wanted = |name: &str| {
            resource.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key == name))
        };
        let is_topic = ConfigResource::from(resource.resource_type) == ConfigResource::Topic;
        let topic = broker.log.topic(&resource.resource_name).filter(|_| is_topic);
        let known = !is_topic || topic.is_some();
        let code = if known { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
        let configs = topic
            .into_iter()
            .flat_map(|topic| configuration(topic.settings))
            .filter(|(name, ..)| wanted(name))
            .map(|(name, value, is_default)| describe_value(name, value, is_default))
            .collect();
        DescribeConfigsResult::default()
            .error_code(code.into())
            .error_message((!known).then(|| code.to_string()))
            .resource_type(resource.resource_type)
            .resource_name(resource.resource_name)
            .configs(Some(configs))
    };
    let results = request.resources.unwrap_or_default().into_iter().map(describe_one).collect();
    DescribeConfigsResponse::default().throttle_time_ms(0).results(Some(results))
}

/// Returns the settings of a topic, and whether each one has its default value.
fn configuration(settings: TopicSettings) -> impl Iterator<Item = (&'static str, String, bool)> {
    let bytes = settings.max_message_bytes;
    let chosen = (MAX_MESSAGE_BYTES, bytes.to_string(), settings == TopicSettings::default());
    FIXED.into_iter().map(|(name, value)| (name, value.to_owned(), true)).chain([chosen])
}

fn describe_value(name: &str, value: String, is_default: bool) -> DescribeConfigsResourceResult {
    /// Kafka's DEFAULT_CONFIG.
    const DEFAULT: i8 = 5;
    /// Kafka's DYNAMIC_TOPIC_CONFIG.
    const OF_TOPIC: i8 = 1;
    /// Kafka's STRING.
    const TEXT: i8 = 2;
    DescribeConfigsResourceResult::default()
        .name(name.to_owned())
        .value(Some(value))
        .read_only(true)
        .is_default(Some(is_default))
        .config_source(Some(if is_default { DEFAULT } else { OF_TOPIC }))
        .is_sensitive(false)
        .synonyms(Some(Vec::new()))
        .config_type(Some(TEXT))
        .documentation(None)
}
