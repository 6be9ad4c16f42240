//! Producers: one for each running upload, kept for the next one.
//!
//! Each upload has its own, so that its queue, its timeouts and its fatal errors do not affect others. They are kept because a broker
//! remembers every idempotent producer.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use tokio::sync::OnceCell;

use super::deliveries::DeliveryContext;
use crate::dataset::Dataset;
use crate::kafka::{Kafka, MAX_MESSAGE_BYTES, max_message_bytes};
use crate::settings::Limits;
use roundhouse_part::lock::lock;

/// Time for the broker to answer the first producer.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// Size of a batch unless the topic demands less: below the mebibyte that Kafka and Redpanda accept by default.
const BATCH_BYTES: usize = 1_000_000;

/// Time after which the limits of the topics are read again.
const LIMITS_MEMORY: Duration = Duration::from_secs(30);

/// Largest size of a batch of each topic: its `max.message.bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicLimits {
    pub rounds: usize,
    pub dead_letters: usize,
}

impl Default for TopicLimits {
    /// The limits if the broker does not tell them.
    fn default() -> Self {
        Self { rounds: MAX_MESSAGE_BYTES as usize, dead_letters: MAX_MESSAGE_BYTES as usize }
    }
}

/// A producer whose batches the topics accept.
pub struct Producer {
    inner: ThreadedProducer<DeliveryContext>,
    pub limits: TopicLimits,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Deref for Producer {
    type Target = ThreadedProducer<DeliveryContext>;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

/// The producers of a server.
pub struct Producers {
    config: ClientConfig,
    kafka: Kafka,
    topic: String,
    dead_letter_topic: String,
    admin: OnceCell<AdminClient<DefaultClientContext>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Producer>,
    limits: TopicLimits,
    /// When they were read.
    limits_of: Option<Instant>,
}

impl std::fmt::Debug for Producers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producers")
    }
}

/// Settings of a producer that neither loses nor duplicates records.
pub fn config(kafka: &Kafka, limits: &Limits) -> ClientConfig {
    let mut config = kafka.client();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // As in Java clients: other producers put the same id into the same partition.
        .set("partitioner", "murmur2")
        .set("message.timeout.ms", (limits.delivery_timeout_seconds * 1000).to_string())
        .set("queue.buffering.max.kbytes", (u64::from(limits.producer_queue_mib) << 10).to_string())
        .set("queue.buffering.max.messages", "1000000")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .set("batch.num.messages", "100000")
        .set("linger.ms", "5");
    config
}

impl Producers {
    pub fn new(kafka: &Kafka, dataset: &Dataset, limits: &Limits) -> Self {
        Self {
            config: config(kafka, limits),
            kafka: kafka.clone(),
            topic: dataset.topic.clone(),
            dead_letter_topic: dataset.dead_letter_topic.clone(),
            admin: OnceCell::new(),
            state: Mutex::default(),
        }
    }

    /// Creates the first producer and connects it, which would otherwise cost the first upload a second.
    ///
    /// # Errors
    /// librdkafka cannot create one, or the broker does not answer.
    pub async fn warm_up(&self) -> Result<(), KafkaError> {
        self.learn_limits().await;
        let producer = self.take()?;
        tokio::task::block_in_place(|| producer.client().fetch_metadata(Some(&self.topic), WARM_UP_TIMEOUT))?;
        self.give_back(producer);
        Ok(())
    }

    /// Reads the largest batch size of each topic, unless it was read a moment ago.
    ///
    /// A failure does not refuse an upload: the earlier limits stay, or Kafka's default.
    pub async fn learn_limits(&self) {
        if self.state().limits_of.is_some_and(|at| at.elapsed() < LIMITS_MEMORY) {
            return;
        }
        let asked = async {
            let admin = self.admin.get_or_try_init(async || self.kafka.admin()).await?;
            max_message_bytes(admin, &[&self.topic, &self.dead_letter_topic]).await
        };
        match asked.await {
            Ok(found) => self.set_limits(&found),
            Err(error) => tracing::warn!(%error, "cannot read max.message.bytes of the topics"),
        }
    }

    fn set_limits(&self, found: &[Option<usize>]) {
        let mut state = self.state();
        let default = TopicLimits::default();
        let limit = |at: usize, default: usize| {
            found.get(at).copied().flatten().map_or(default, |limit| limit.min(default))
        };
        let limits =
            TopicLimits { rounds: limit(0, default.rounds), dead_letters: limit(1, default.dead_letters) };
        state.limits_of = Some(Instant::now());
        if limits != state.limits {
            tracing::info!(limits.rounds, limits.dead_letters, "limits of the topics have changed");
            state.limits = limits;
            // Their batches may be too large now.
            state.idle.clear();
        }
    }

    /// Makes the next upload read the limits again.
    pub fn forget_limits(&self) {
        self.state().limits_of = None;
    }

    /// Returns a producer with an empty queue.
    ///
    /// # Errors
    /// librdkafka cannot create one.
    pub fn take(&self) -> Result<Producer, KafkaError> {
        let limits = {
            let mut state = self.state();
            if let Some(producer) = state.idle.pop() {
                return Ok(producer);
            }
            state.limits
        };
        let batch = BATCH_BYTES.min(limits.rounds).min(limits.dead_letters);
        let mut config = self.config.clone();
        let inner = config.set("batch.size", batch.to_string()).create_with_context(DeliveryContext)?;
        Ok(Producer { inner, limits })
    }

    /// Keeps a producer for the next upload if it can still be used.
    pub fn give_back(&self, producer: Producer) {
        let mut state = self.state();
        if producer.client().fatal_error().is_none()
            && producer.in_flight_count() == 0
            && producer.limits == state.limits
        {
            state.idle.push(producer);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
