//! The settings of topics: describes and changes them.

use bytes::Bytes;

use crate::broker::{Broker, Call};
use crate::connection::MAX_IDLE;
use crate::error_code::ErrorCode;
use crate::log::{SettingError, TopicSettings};
use crate::offsets::MAX_METADATA_BYTES;
use crate::store::{MAX_TIMEOUT_MS, RETENTION_HOURS};
use crate::wire::{Parsed, Reader, Writer};
use crate::{DEFAULT_PARTITIONS, MAX_BATCH_BYTES};

/// Kafka's numbers for kinds of resources.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What clients may want to know about the broker, by the names of Kafka. None of it can be changed.
fn of_broker() -> Vec<(&'static str, String, bool)> {
    let settings = [
        ("auto.create.topics.enable", "false".to_owned()),
        ("connections.max.idle.ms", MAX_IDLE.as_millis().to_string()),
        ("default.replication.factor", "1".to_owned()),
        ("delete.topic.enable", "true".to_owned()),
        ("message.max.bytes", MAX_BATCH_BYTES.to_string()),
        ("num.partitions", DEFAULT_PARTITIONS.to_string()),
        ("offset.metadata.max.bytes", MAX_METADATA_BYTES.to_string()),
        ("offsets.retention.minutes", (60 * RETENTION_HOURS).to_string()),
        ("transaction.max.timeout.ms", MAX_TIMEOUT_MS.to_string()),
    ];
    settings.into_iter().map(|(name, value)| (name, value, true)).collect()
}

/// Why a change was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub code: ErrorCode,
    pub reason: String,
}

impl Refusal {
    pub fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// Writes the error and its reason.
pub(crate) fn write_outcome(answer: &mut Writer, result: &Result<(), Refusal>) {
    let refusal = result.as_ref().err();
    answer.error(refusal.map(|refusal| refusal.code));
    answer.nullable_string(refusal.map(|refusal| refusal.reason.as_str()));
}

impl From<SettingError> for Refusal {
    fn from(error: SettingError) -> Self {
        Self::new(ErrorCode::InvalidConfig, error.to_string())
    }
}

/// A resource whose settings are requested.
struct Wanted {
    kind: i8,
    name: String,
    /// None for all.
    settings: Option<Vec<String>>,
}

/// Versions 0 to 3.
pub(crate) fn describe(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let resources = reader.structs(|resource| {
        let (kind, name) = (resource.i8()?, resource.text()?);
        Ok(Wanted { kind, name, settings: resource.nullable_array(Reader::text)? })
    })?;
    let mut answer = call.answer_since(0);
    answer.structs(&resources, |answer, wanted| {
        let topic = broker.log.topic(&wanted.name).filter(|_| wanted.kind == TOPIC);
        let result = match &topic {
            None if wanted.kind == TOPIC => Err(no_topic(&wanted.name)),
            _ => Ok(()),
        };
        write_outcome(answer, &result);
        answer.i8(wanted.kind).string(&wanted.name);
        let all = match topic {
            Some(topic) => topic.settings().describe(),
            None if wanted.kind == BROKER => of_broker(),
            None => Vec::new(),
        };
        let asked =
            |name: &str| wanted.settings.as_ref().is_none_or(|names| names.iter().any(|one| one == name));
        let settings: Vec<_> = all.into_iter().filter(|(name, ..)| asked(name)).collect();
        let is_read_only = wanted.kind != TOPIC;
        answer
            .structs(&settings, |answer, setting| write_setting(answer, call.version, is_read_only, setting));
    });
    Ok(answer.finish())
}

/// A resource whose settings are changed.
struct Altered {
    kind: i8,
    name: String,
    changes: Vec<Alteration>,
}

/// A setting's name, how it changes, and the value.
struct Alteration {
    name: String,
    operation: i8,
    value: Option<String>,
}

/// Kafka's numbers of operations. The others, append and subtract, are for lists.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Versions 0 and 1. Settings that are not given get their default values.
pub(crate) async fn alter(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let resources = altered(&mut reader, false)?;
    let validate_only = reader.bool()?;
    let start = |_| TopicSettings::default();
    Ok(alter_all(broker, call, resources, validate_only, start).await)
}

/// Version 0. Settings that are not given keep their values.
pub(crate) async fn alter_incrementally(broker: &Broker, call: &Call, mut reader: Reader) -> Parsed<Bytes> {
    let resources = altered(&mut reader, true)?;
    let validate_only = reader.bool()?;
    Ok(alter_all(broker, call, resources, validate_only, |settings| settings).await)
}

fn altered(reader: &mut Reader, has_operations: bool) -> Parsed<Vec<Altered>> {
    reader.structs(|resource| {
        let (kind, name) = (resource.i8()?, resource.text()?);
        let changes = resource.structs(|setting| {
            let name = setting.text()?;
            let operation = if has_operations { setting.i8()? } else { SET };
            Ok(Alteration { name, operation, value: setting.string()? })
        })?;
        Ok(Altered { kind, name, changes })
    })
}

/// Changes the settings of each resource. `start`: what the changes apply to, given the present settings.
async fn alter_all(
    broker: &Broker,
    call: &Call,
    resources: Vec<Altered>,
    validate_only: bool,
    start: impl Fn(TopicSettings) -> TopicSettings,
) -> Bytes {
    let mut results = Vec::new();
    for resource in resources {
        let result = alter_one(broker, &resource, validate_only, &start).await;
        results.push((resource, result));
    }
    let mut answer = call.answer_since(0);
    answer.structs(&results, |answer, (resource, result)| {
        write_outcome(answer, result);
        answer.i8(resource.kind).string(&resource.name);
    });
    answer.finish()
}

async fn alter_one(
    broker: &Broker,
    resource: &Altered,
    validate_only: bool,
    start: impl Fn(TopicSettings) -> TopicSettings,
) -> Result<(), Refusal> {
    if resource.kind != TOPIC {
        let reason = "the embedded broker has settings of topics only; use the options of `roundhouse`";
        return Err(Refusal::new(ErrorCode::InvalidRequest, reason));
    }
    let _one_at_a_time = broker.topic_changes.lock().await;
    let topic = broker.log.topic(&resource.name).ok_or_else(|| no_topic(&resource.name))?;
    let mut settings = start(topic.settings());
    for change in &resource.changes {
        match change.operation {
            SET => settings.set(&change.name, change.value.as_deref())?,
            DELETE => settings.set(&change.name, None)?,
            _ => {
                let reason = format!("values cannot be added to {}; set it as a whole", change.name);
                return Err(Refusal::new(ErrorCode::InvalidConfig, reason));
            }
        }
    }
    if validate_only {
        return Ok(());
    }
    let changed = tokio::task::spawn_blocking(move || topic.change(settings)).await;
    changed.map_err(std::io::Error::other).flatten().map_err(|error| {
        tracing::error!(topic = resource.name, %error, "cannot store the settings of a topic");
        Refusal::new(ErrorCode::KafkaStorageError, "cannot store the settings")
    })
}

pub(crate) fn no_topic(name: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownTopicOrPartition, format!("topic {name} does not exist"))
}

/// Writes the name and the value of a setting, and whether the value is the default.
fn write_setting(
    answer: &mut Writer,
    version: i16,
    is_read_only: bool,
    (name, value, is_default): &(&'static str, String, bool),
) {
    /// Kafka's DEFAULT_CONFIG.
    const DEFAULT: i8 = 5;
    /// Kafka's DYNAMIC_TOPIC_CONFIG.
    const OF_TOPIC: i8 = 1;
    /// Kafka's STRING.
    const TEXT: i8 = 2;
    let is_sensitive = false;
    answer.string(name).nullable_string(Some(value)).bool(is_read_only);
    if version == 0 {
        answer.bool(*is_default);
    } else {
        answer.i8(if *is_default { DEFAULT } else { OF_TOPIC });
    }
    answer.bool(is_sensitive);
    if version >= 1 {
        // No synonyms.
        answer.array(0);
    }
    if version >= 3 {
        answer.i8(TEXT).nullable_string(None);
    }
}
