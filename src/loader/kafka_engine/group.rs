//! Reads and sets the offsets of the consumer group that ClickHouse's consumer uses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::kafka::{BrokerError, Kafka};
use crate::loader::reading::is_transient;

/// How long the broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(50);

/// A client that reads a group's offsets without joining the group.
pub(super) struct Group {
    name: String,
    topic: String,
    consumer: Arc<BaseConsumer>,
}

impl Group {
    /// # Errors
    /// librdkafka cannot create a client.
    pub(super) fn new(kafka: &Kafka, name: &str, topic: &str) -> Result<Self, BrokerError> {
        let consumer = Arc::new(kafka.consumer(name).create()?);
        Ok(Self { name: name.to_owned(), topic: topic.to_owned(), consumer })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the committed offsets of the group, for the partitions that have one.
    ///
    /// # Errors
    /// The broker does not answer.
    pub(super) async fn committed(
        &self,
        partitions: impl Iterator<Item = u16>,
    ) -> Result<BTreeMap<u16, i64>, BrokerError> {
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(&self.topic, i32::from(partition));
        }
        let committed = self.blocking(move |consumer| consumer.committed_offsets(asked, TIMEOUT)).await?;
        let offsets = committed.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((u16::try_from(element.partition()).ok()?, offset)),
            _ => None,
        });
        Ok(offsets.collect())
    }

    /// Sets the group's offsets. The group must have no members.
    ///
    /// # Errors
    /// The broker does not answer, or the group has members.
    pub(super) async fn begin_at(&self, next: &BTreeMap<u16, i64>) -> Result<(), BrokerError> {
        if self.committed(next.keys().copied()).await? == *next {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, offset) in next {
            list.add_partition_offset(&self.topic, i32::from(*partition), Offset::Offset(*offset))?;
        }
        self.blocking(move |consumer| consumer.commit(&list, CommitMode::Sync)).await
    }

    /// Reads the message at one offset of each partition.
    ///
    /// # Errors
    /// The broker does not answer, or has no such messages.
    pub(super) async fn messages_at(
        &self,
        offsets: BTreeMap<u16, i64>,
    ) -> Result<Vec<(u16, OwnedMessage)>, BrokerError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &offsets {
            list.add_partition_offset(&self.topic, i32::from(*partition), Offset::Offset(*offset))?;
        }
        self.blocking(move |consumer| {
            consumer.assign(&list)?;
            let found = poll_for(consumer, offsets);
            consumer.unassign()?;
            found
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let consumer = Arc::clone(&self.consumer);
        match tokio::task::spawn_blocking(move || ask(&consumer)).await {
            Ok(result) => Ok(result?),
            // This happens only when the runtime is shutting down.
            Err(_) => Err(BrokerError::Unavailable(KafkaError::Canceled)),
        }
    }
}

fn poll_for(
    consumer: &BaseConsumer,
    mut wanted: BTreeMap<u16, i64>,
) -> Result<Vec<(u16, OwnedMessage)>, KafkaError> {
    let started = Instant::now();
    let mut found = Vec::new();
    while !wanted.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                let partition = u16::try_from(message.partition()).unwrap_or(u16::MAX);
                if wanted.get(&partition) == Some(&message.offset()) {
                    wanted.remove(&partition);
                    found.push((partition, message.detach()));
                }
            }
            Some(Err(error)) if !is_transient(&error) => return Err(error),
            Some(Err(_)) | None => {}
        }
        if started.elapsed() > TIMEOUT {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
    }
    Ok(found)
}
