//! Producers, one for each upload under way, kept for the next.
//!
//! One for each, so that an upload's queue, its timeouts and its fatal errors are its own; kept, because a broker remembers
//! every idempotent producer that it ever met.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::deliveries::DeliveryContext;
use crate::kafka::{Kafka, MAX_MESSAGE_BYTES};
use crate::settings::Limits;

/// How long the broker may take to answer the first producer.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(10);

pub type Producer = ThreadedProducer<DeliveryContext>;

/// Producers that wait for the next upload.
pub struct Producers {
    config: ClientConfig,
    idle: Mutex<Vec<Producer>>,
}

impl std::fmt::Debug for Producers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producers")
    }
}

/// Settings of a producer that loses nothing and sends nothing twice.
pub fn config(kafka: &Kafka, limits: &Limits) -> ClientConfig {
    let mut config = kafka.client();
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // As Java's: whoever else produces rounds puts a round's id into the same partition.
        .set("partitioner", "murmur2")
        .set("message.timeout.ms", (limits.delivery_timeout_seconds * 1000).to_string())
        .set("queue.buffering.max.kbytes", (u64::from(limits.producer_queue_mib) << 10).to_string())
        .set("queue.buffering.max.messages", "1000000")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        // Below the mebibyte that Kafka and Redpanda take by default.
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("linger.ms", "5");
    config
}

impl Producers {
    pub fn new(kafka: &Kafka, limits: &Limits) -> Self {
        Self { config: config(kafka, limits), idle: Mutex::default() }
    }

    /// Makes the first producer, and has it connect and ask for its id, which would take the first upload a second.
    ///
    /// # Errors
    /// librdkafka cannot make one, or the broker does not answer. Blocks.
    pub fn warm_up(&self, topic: &str) -> Result<(), KafkaError> {
        let producer = self.take()?;
        producer.client().fetch_metadata(Some(topic), WARM_UP_TIMEOUT)?;
        self.give_back(producer);
        Ok(())
    }

    /// Returns a producer with an empty queue.
    ///
    /// # Errors
    /// librdkafka cannot make one.
    pub fn take(&self) -> Result<Producer, KafkaError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.config.create_with_context(DeliveryContext), Ok)
    }

    /// Keeps a producer for the next upload, if it can still be used.
    pub fn give_back(&self, producer: Producer) {
        if producer.client().fatal_error().is_none() && producer.in_flight_count() == 0 {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(producer);
        }
    }
}
