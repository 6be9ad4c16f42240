//! Checks broker and registry before an upload begins, so that an upload that cannot succeed fails at once.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::producer::Producer as _;

use super::UploadError;
use super::producers::Producers;
use crate::registry::Registry;
use roundhouse_part::lock::lock;

/// Time for each to answer. A broker that is just restarting is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time for which an answer of the registry is valid: rows do not need it.
const REGISTRY_MEMORY: Duration = Duration::from_secs(5);

/// Time for which an answer of the broker is valid for events, which are sent many times a second. Their own records show earlier than a
/// question whether it takes them.
const BROKER_MEMORY: Duration = Duration::from_secs(1);

/// Checks broker and registry.
#[derive(Debug)]
pub struct Probe {
    producers: Arc<Producers>,
    registry: Registry,
    topic: String,
    broker_answered: Mutex<Option<Instant>>,
    registry_answered: Mutex<Option<Instant>>,
}

impl Probe {
    pub fn new(producers: Arc<Producers>, registry: Registry, topic: String) -> Self {
        Self {
            producers,
            registry,
            topic,
            broker_answered: Mutex::default(),
            registry_answered: Mutex::default(),
        }
    }

    /// Checks both at once.
    ///
    /// # Errors
    /// One of the two does not answer.
    pub async fn check(&self) -> Result<(), UploadError> {
        let limits = tokio::time::timeout(PATIENCE, self.producers.learn_limits());
        let (broker, registry, _) = tokio::join!(self.check_broker(), self.check_registry(), limits);
        broker.and(registry)
    }

    /// Checks both, unless they answered a moment ago.
    ///
    /// # Errors
    /// One of the two does not answer.
    pub async fn check_often(&self) -> Result<(), UploadError> {
        match is_recent(&self.broker_answered, BROKER_MEMORY) {
            true => self.check_registry().await,
            false => self.check().await,
        }
    }

    async fn check_broker(&self) -> Result<(), UploadError> {
        let (producers, topic) = (self.producers.clone(), self.topic.clone());
        let asking = tokio::task::spawn_blocking(move || {
            let producer = producers.take()?;
            let answer = producer.client().fetch_metadata(Some(&topic), PATIENCE).map(drop);
            producers.give_back(producer);
            answer
        });
        let answer = asking.await.map_err(|error| UploadError::Internal(error.to_string()))?;
        answer.map_err(|error| UploadError::Broker { reason: error.to_string() })?;
        *lock(&self.broker_answered) = Some(Instant::now());
        Ok(())
    }

    async fn check_registry(&self) -> Result<(), UploadError> {
        if is_recent(&self.registry_answered, REGISTRY_MEMORY) {
            return Ok(());
        }
        match tokio::time::timeout(PATIENCE, self.registry.ping()).await {
            Ok(Ok(())) => {
                *lock(&self.registry_answered) = Some(Instant::now());
                Ok(())
            }
            Ok(Err(error)) => Err(UploadError::Registry { reason: error.to_string() }),
            Err(_) => Err(UploadError::Registry { reason: "no answer in time".to_owned() }),
        }
    }
}

fn is_recent(answered: &Mutex<Option<Instant>>, memory: Duration) -> bool {
    lock(answered).is_some_and(|at| at.elapsed() < memory)
}
