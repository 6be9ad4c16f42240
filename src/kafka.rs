//! The broker behind its bootstrap list: topics, and the settings of producers and consumers.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

/// How long a request about topics may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the largest batch that is produced, and the largest that is fetched.
pub const MAX_MESSAGE_BYTES: u32 = 16 << 20;

/// A bootstrap list, from which clients are configured.
#[derive(Clone, Debug)]
pub struct Kafka {
    brokers: String,
}

/// Why the broker does not do what is asked of it.
#[derive(Debug, Error)]
pub enum BrokerError {
    #[error("the broker does not answer: {0}")]
    Unavailable(#[from] KafkaError),
    #[error("topic {topic} cannot be made: {reason}")]
    Topic { topic: String, reason: RDKafkaErrorCode },
    #[error("topic {0} is not there")]
    NoTopic(String),
}

impl Kafka {
    /// `brokers`: HOST:PORT,…
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into() }
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Settings that every client of ours has.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "roundhouse")
            // A broker that comes back is found again at once.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true");
        config
    }

    /// Settings of a consumer that is told its partitions and never joins a group.
    pub fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            // A byte that changed on its way, or on a disk, must not become a value.
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "100")
            // Memory is bounded by the kilobytes, of which each becomes five in librdkafka; the default bound on messages leaves
            // the fetcher idle.
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", (4 << 10).to_string())
            .set("fetch.queue.backoff.ms", "10")
            .set("receive.message.max.bytes", (2 * MAX_MESSAGE_BYTES + 512).to_string());
        config
    }

    /// Makes a topic unless it is there, and returns how many partitions it has.
    ///
    /// # Errors
    /// The broker does not answer, or refuses.
    pub async fn ensure_topic(&self, topic: &str, partitions: u16) -> Result<u16, BrokerError> {
        let admin = self.admin()?;
        let retention = [("retention.ms", "-1"), ("cleanup.policy", "delete")];
        let new = NewTopic::new(topic, i32::from(partitions), TopicReplication::Fixed(-1));
        let new = retention.iter().fold(new, |new, (key, value)| new.set(key, value));
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
        for result in admin.create_topics([&new], &options).await? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, reason)) => return Err(BrokerError::Topic { topic, reason }),
            }
        }
        let kafka = self.clone();
        let topic = topic.to_owned();
        blocking(move || kafka.partitions(&topic)).await
    }

    /// Returns how many partitions a topic has. Blocks.
    ///
    /// # Errors
    /// The broker does not answer, or has no such topic.
    pub fn partitions(&self, topic: &str) -> Result<u16, BrokerError> {
        let consumer: BaseConsumer = self.client().create()?;
        let metadata = consumer.fetch_metadata(Some(topic), ADMIN_TIMEOUT)?;
        metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic && found.error().is_none())
            .and_then(|found| u16::try_from(found.partitions().len()).ok())
            .filter(|partitions| *partitions > 0)
            .ok_or_else(|| BrokerError::NoTopic(topic.to_owned()))
    }

    /// Makes a client for [`max_message_bytes`].
    ///
    /// # Errors
    /// librdkafka cannot make one.
    pub fn admin(&self) -> Result<AdminClient<DefaultClientContext>, KafkaError> {
        self.client().create()
    }

    /// Returns, for each partition of a topic, the first offset there and the one that comes next.
    ///
    /// # Errors
    /// The broker does not answer, or has no such topic.
    pub async fn watermarks(&self, topic: &str) -> Result<BTreeMap<u16, (i64, i64)>, BrokerError> {
        let kafka = self.clone();
        let topic = topic.to_owned();
        blocking(move || {
            let consumer: BaseConsumer = kafka.client().create()?;
            (0..kafka.partitions(&topic)?)
                .map(|partition| {
                    let marks = consumer.fetch_watermarks(&topic, i32::from(partition), ADMIN_TIMEOUT)?;
                    Ok((partition, marks))
                })
                .collect()
        })
        .await
    }
}

/// Returns how many bytes a batch of each topic may have (`max.message.bytes`): none where the broker does not say.
///
/// # Errors
/// The broker does not answer.
pub async fn max_message_bytes(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[&str],
) -> Result<Vec<Option<usize>>, KafkaError> {
    let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
    let described = admin.describe_configs(&resources, &options).await?;
    let limit = |topic: &&str| {
        let of_topic = OwnedResourceSpecifier::Topic((*topic).to_owned());
        let found = described.iter().flatten().find(|resource| resource.specifier == of_topic)?;
        found.get("max.message.bytes")?.value.as_ref()?.parse().ok()
    };
    Ok(topics.iter().map(limit).collect())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BrokerError> + Send + 'static,
) -> Result<T, BrokerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // Only when the runtime is being shut down.
        Err(_) => Err(BrokerError::Unavailable(KafkaError::Canceled)),
    }
}
