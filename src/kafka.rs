//! Access to the Kafka broker: topics, and the settings of producers and consumers.

pub mod health;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use roundhouse_part::lock::lock;
use thiserror::Error;

/// How long a request about topics may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the largest batch that is produced or fetched.
pub const MAX_MESSAGE_BYTES: u32 = 16 << 20;

/// A bootstrap list, from which clients are configured.
#[derive(Clone, Debug)]
pub struct Kafka {
    brokers: String,
}

/// Why a request to the broker failed.
#[derive(Debug, Error)]
pub enum BrokerError {
    #[error("the broker does not answer: {0}")]
    Unavailable(#[from] KafkaError),
    /// The same, with the reason why the connection failed.
    #[error("the broker does not answer: {0}")]
    Unreachable(String),
    #[error("cannot create topic {topic}: {reason}")]
    Topic { topic: String, reason: RDKafkaErrorCode },
    #[error(
        "cannot create topic {topic}: {reason}; create it yourself, or grant this client the permission to create it"
    )]
    MayNotCreate { topic: String, reason: RDKafkaErrorCode },
    #[error("cannot read topic {topic}: {reason}; grant this client the permissions to read and write it")]
    MayNotRead { topic: String, reason: RDKafkaErrorCode },
    #[error("topic {0} does not exist")]
    NoTopic(String),
}

impl BrokerError {
    /// Whether a retry is useless until someone has changed something.
    pub fn is_permanent(&self) -> bool {
        use RDKafkaErrorCode::{
            InvalidConfig, InvalidPartitions, InvalidRequest, InvalidTopic, PolicyViolation,
            UnsupportedVersion,
        };
        match self {
            Self::MayNotCreate { .. } | Self::MayNotRead { .. } => true,
            Self::Topic { reason, .. } => matches!(
                reason,
                InvalidConfig
                    | InvalidPartitions
                    | InvalidRequest
                    | InvalidTopic
                    | PolicyViolation
                    | UnsupportedVersion
            ),
            Self::Unavailable(_) | Self::Unreachable(_) | Self::NoTopic(_) => false,
        }
    }
}

/// Whether the broker refused because a permission is missing.
fn is_denied(reason: RDKafkaErrorCode) -> bool {
    matches!(
        reason,
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
}

/// Remembers why a connection failed. librdkafka only logs the reason, and then reports a timeout.
#[derive(Debug, Default)]
pub struct Diagnosis(Mutex<Option<String>>);

impl Diagnosis {
    /// Returns the error of a failed request, with the reason if it is known.
    fn of(&self, error: KafkaError) -> BrokerError {
        match lock(&self.0).take() {
            Some(reason) => BrokerError::Unreachable(reason),
            None => BrokerError::Unavailable(error),
        }
    }
}

impl ClientContext for Diagnosis {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            // `[thrd:…]: kafka:9092/bootstrap: Failed to resolve 'kafka:9092': Name or service not known`
            let reason = message.split_once("]: ").map_or(message, |(_, reason)| reason);
            *lock(&self.0) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Diagnosis {}

/// A client that reads the metadata of topics, but no messages.
pub type Observer = BaseConsumer<Diagnosis>;

/// First offset and end offset, by partition.
pub type Watermarks = BTreeMap<u16, (i64, i64)>;

impl Kafka {
    /// `brokers`: HOST:PORT,…
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into() }
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Returns the settings that all clients share.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "roundhouse")
            // Reconnect soon after a broker has come back.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true");
        config
    }

    /// Returns the settings of a consumer with assigned partitions. It never joins a group.
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            // A byte that was changed in transit or on disk must not become part of a value.
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "100")
            // `queued.max.messages.kbytes` bounds the memory; librdkafka uses about five times as much. The default limit on the number of
            // messages would leave the fetcher idle.
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", (4 << 10).to_string())
            .set("fetch.queue.backoff.ms", "10")
            .set("receive.message.max.bytes", (2 * MAX_MESSAGE_BYTES + 512).to_string());
        config
    }

    /// Returns the number of partitions of a topic. Creates the topic if it does not exist.
    ///
    /// # Errors
    /// The broker does not answer, or refuses the request.
    pub async fn ensure_topic(&self, topic: &str, partitions: u16) -> Result<u16, BrokerError> {
        let found = self.partitions(topic).await;
        if !matches!(found, Err(BrokerError::NoTopic(_))) {
            return found;
        }
        self.create_topic(topic, partitions).await?;
        self.partitions(topic).await
    }

    async fn create_topic(&self, topic: &str, partitions: u16) -> Result<(), BrokerError> {
        let admin = self.admin()?;
        let retention = [("retention.ms", "-1"), ("cleanup.policy", "delete")];
        let new = NewTopic::new(topic, i32::from(partitions), TopicReplication::Fixed(-1));
        let new = retention.iter().fold(new, |new, (key, value)| new.set(key, value));
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
        for result in admin.create_topics([&new], &options).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, reason)) if is_denied(reason) => {
                    return Err(BrokerError::MayNotCreate { topic, reason });
                }
                Err((topic, reason)) => return Err(BrokerError::Topic { topic, reason }),
            }
        }
        Ok(())
    }

    /// Returns the number of partitions of a topic.
    ///
    /// # Errors
    /// The broker does not answer, or the topic does not exist.
    pub async fn partitions(&self, topic: &str) -> Result<u16, BrokerError> {
        let (kafka, topic) = (self.clone(), topic.to_owned());
        blocking(move || partitions(&kafka.observer()?, &topic)).await
    }

    /// Creates a client that reads metadata.
    ///
    /// # Errors
    /// librdkafka cannot create it.
    pub fn observer(&self) -> Result<Observer, KafkaError> {
        self.client().create_with_context(Diagnosis::default())
    }

    /// Creates a client that creates topics and reads their settings.
    ///
    /// # Errors
    /// librdkafka cannot create it.
    pub fn admin(&self) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
        self.client().create()
    }

    /// Returns the first offset and the end offset of each partition of a topic.
    ///
    /// # Errors
    /// The broker does not answer, or the topic does not exist.
    pub async fn watermarks(&self, topic: &str) -> Result<Watermarks, BrokerError> {
        let (kafka, topic) = (self.clone(), topic.to_owned());
        blocking(move || watermarks(&kafka.observer()?, &topic)).await
    }
}

/// See [`Kafka::partitions`]. Asks with a client that exists.
///
/// # Errors
/// The broker does not answer, or the topic does not exist.
pub async fn partitions_of(observer: &Arc<Observer>, topic: &str) -> Result<u16, BrokerError> {
    let (observer, topic) = (Arc::clone(observer), topic.to_owned());
    blocking(move || partitions(&observer, &topic)).await
}

/// See [`Kafka::partitions`]. Blocks.
fn partitions(observer: &Observer, topic: &str) -> Result<u16, BrokerError> {
    let metadata = observer.fetch_metadata(Some(topic), ADMIN_TIMEOUT);
    let metadata = metadata.map_err(|error| observer.context().of(error))?;
    let no_topic = || BrokerError::NoTopic(topic.to_owned());
    let found = metadata.topics().iter().find(|found| found.name() == topic).ok_or_else(no_topic)?;
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(reason) if is_denied(reason) => {
            return Err(BrokerError::MayNotRead { topic: topic.to_owned(), reason });
        }
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Err(no_topic()),
        Some(reason) => return Err(BrokerError::Unavailable(KafkaError::MetadataFetch(reason))),
    }
    u16::try_from(found.partitions().len()).ok().filter(|count| *count > 0).ok_or_else(no_topic)
}

/// See [`Kafka::watermarks`]. Blocks.
///
/// # Errors
/// The broker does not answer, or the topic does not exist.
pub fn watermarks(observer: &Observer, topic: &str) -> Result<Watermarks, BrokerError> {
    (0..partitions(observer, topic)?)
        .map(|partition| {
            let marks = observer.fetch_watermarks(topic, i32::from(partition), ADMIN_TIMEOUT)?;
            Ok((partition, marks))
        })
        .collect()
}

/// Returns a numeric setting of each topic, or none if the broker does not report it.
///
/// # Errors
/// The broker does not answer.
async fn topic_setting(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[&str],
    name: &str,
    timeout: Duration,
) -> Result<Vec<Option<usize>>, KafkaError> {
    let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let described = admin.describe_configs(&resources, &options).await?;
    let setting = |topic: &&str| {
        let of_topic = OwnedResourceSpecifier::Topic((*topic).to_owned());
        let found = described.iter().flatten().find(|resource| resource.specifier == of_topic)?;
        found.get(name)?.value.as_ref()?.parse().ok()
    };
    Ok(topics.iter().map(setting).collect())
}

/// Returns the maximum batch size of each topic in bytes, or none if the broker does not report it.
///
/// # Errors
/// The broker does not answer.
pub async fn max_message_bytes(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[&str],
) -> Result<Vec<Option<usize>>, KafkaError> {
    topic_setting(admin, topics, "max.message.bytes", ADMIN_TIMEOUT).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BrokerError> + Send + 'static,
) -> Result<T, BrokerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // This happens only when the runtime is shutting down.
        Err(_) => Err(BrokerError::Unavailable(KafkaError::Canceled)),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::RDKafkaRespErr;

    use super::*;

    #[tokio::test]
    async fn a_topic_that_exists_needs_no_permission_to_create_it() {
        // The mock cluster does not support CreateTopics at all.
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("there", 3, 1).unwrap();
        let kafka = Kafka::new(cluster.bootstrap_servers());
        assert_eq!(kafka.ensure_topic("there", 4).await.unwrap(), 3);
        cluster.topic_error("there", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
        let error = kafka.ensure_topic("there", 4).await.unwrap_err();
        assert!(error.is_permanent() && error.to_string().contains("cannot read topic there"), "{error}");
    }
}
