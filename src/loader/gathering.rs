//! Gathers the messages that arrive into batches.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::LoaderError;
use super::batch::{Batch, BatchBuilder, Pushed};
use super::chunk::{fingerprint, partition_of};
use super::content::Content;
use super::key_set::KeySet;
use super::needs::Loader;
use super::reading::is_transient;
use crate::kafka::BrokerError;

/// How long a first message waits for more before its batch is loaded.
const LINGER: Duration = Duration::from_millis(200);

/// Messages and bytes of a batch. One batch is in memory while it is gathered; the one before it is being inserted, and its rows are freed
/// as they are sent.
const MAX_BATCH_MESSAGES: u64 = 262_144;
const MAX_BATCH_BYTES: usize = 32 << 20;

/// Messages of a batch that is gathered while uploads run: enough that ClickHouse has work when they end and the next batch is gathered.
const MAX_WAITING_MESSAGES: u64 = MAX_BATCH_MESSAGES / 2;

/// How long loading that was up to date pauses for running uploads. Their senders wait for the acknowledgement, and loading would take
/// processor time from them.
const UPLOADS_PATIENCE: Duration = Duration::from_secs(8);

/// The consumer group for committed offsets. They only show the lag to others; the loader itself relies on the ledger.
const GROUP: &str = "roundhouse-loader";

/// Reads a topic from given offsets on. Its functions block.
pub(super) struct Gatherer {
    loader: Loader,
    runtime: Handle,
    stop: CancellationToken,
    consumer: BaseConsumer,
    left: Left,
}

/// What an earlier batch has left to the next one.
struct Left {
    /// The message that ended the last batch. It was read already and comes first in the next one.
    held: Option<OwnedMessage>,
    /// The error that ended the last batch.
    failure: Option<BrokerError>,
    /// Whether the last batch took all messages there were. The next one may then pause for uploads.
    is_up_to_date: bool,
}

impl Gatherer {
    /// # Errors
    /// librdkafka cannot create a consumer.
    pub(super) fn new(
        loader: &Loader,
        next: &BTreeMap<u16, i64>,
        stop: &CancellationToken,
    ) -> Result<Self, BrokerError> {
        let consumer: BaseConsumer = loader.kafka.consumer(GROUP).create()?;
        consumer.assign(&offsets(&loader.topic, next)?)?;
        Ok(Self {
            loader: loader.clone(),
            runtime: Handle::current(),
            stop: stop.clone(),
            consumer,
            left: Left { held: None, failure: None, is_up_to_date: true },
        })
    }

    pub(super) fn is_up_to_date(&self) -> bool {
        self.left.is_up_to_date
    }

    /// Commits the offsets up to which the topic is loaded.
    pub(super) fn commit(&self, next: &BTreeMap<u16, i64>) {
        let offsets = offsets(&self.loader.topic, next);
        if let Err(error) = offsets.and_then(|offsets| self.consumer.commit(&offsets, CommitMode::Async)) {
            tracing::warn!(%error, "could not commit offsets; loading is not affected, since the ledger has them");
        }
    }

    /// Collects the messages that arrive within the linger time, up to the limits. A message whose row is new in the chunk of another
    /// partition is kept for the next batch. `known`: the keys of all rows of earlier batches. Returns none if no message arrived.
    ///
    /// # Errors
    /// The broker or the registry does not answer, or the next messages cannot be read.
    pub(super) fn gather(
        &mut self,
        mut builder: BatchBuilder<'_>,
        content: &mut Content,
        known: &KeySet,
    ) -> Result<Option<Batch>, LoaderError> {
        let Self { loader, runtime, stop, consumer, left } = self;
        let mut last_messages: BTreeMap<u16, Taken<'_>> = BTreeMap::new();
        let mut first_at: Option<Instant> = None;
        let was_up_to_date = std::mem::replace(&mut left.is_up_to_date, false);
        let mut max_messages = MAX_BATCH_MESSAGES;
        while builder.messages() < max_messages && builder.bytes() < MAX_BATCH_BYTES && !stop.is_cancelled() {
            let message = match left.take(consumer, first_at) {
                Ok(Some(message)) => message,
                Ok(None) => break,
                // Load the messages before the error first. The failing offset is then the next one.
                Err(error) if builder.messages() > 0 => {
                    left.failure = Some(error);
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            if first_at.is_none() {
                first_at = Some(Instant::now());
                if was_up_to_date && loader.uploads.are_running() {
                    max_messages = MAX_WAITING_MESSAGES;
                }
            }
            if let Some(schema) = message.unknown_schema(content) {
                runtime.block_on(content.learn(&loader.registry, schema))?;
            }
            if message.push(&mut builder, content, known) == Pushed::IsNewElsewhere {
                left.held = Some(message.detach());
                break;
            }
            last_messages.insert(message.partition(), message);
        }
        if was_up_to_date && builder.messages() > 0 {
            wait_for_uploads(loader, runtime, stop);
        }
        let fingerprint = |partition| last_messages.get(&partition).map_or(0, Taken::fingerprint);
        Ok((builder.messages() > 0).then(|| builder.finish(fingerprint)))
    }
}

impl Left {
    /// Returns the next message: the kept one, or one that arrives. None if none arrives in time.
    fn take<'a>(
        &mut self,
        consumer: &'a BaseConsumer,
        first_at: Option<Instant>,
    ) -> Result<Option<Taken<'a>>, BrokerError> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        if let Some(held) = self.held.take() {
            return Ok(Some(Taken::Held(held)));
        }
        loop {
            // Take all messages that have arrived: a few large blocks cost the engine less than many small ones.
            let wait = || first_at.map_or(LINGER, |first_at| LINGER.saturating_sub(first_at.elapsed()));
            // Most of the time there is one. Only waiting needs the time.
            match consumer.poll(Duration::ZERO).or_else(|| consumer.poll(wait())) {
                Some(Ok(message)) => return Ok(Some(Taken::Polled(message))),
                // Do not loop forever: the topic is checked between batches.
                Some(Err(error)) if is_transient(&error) && first_at.is_some() => {}
                Some(Err(error)) if is_transient(&error) => return Ok(None),
                Some(Err(error)) => return Err(error.into()),
                None => {
                    self.is_up_to_date = true;
                    return Ok(None);
                }
            }
        }
    }
}

fn wait_for_uploads(loader: &Loader, runtime: &Handle, stop: &CancellationToken) {
    runtime.block_on(async {
        tokio::select! {
            () = loader.uploads.wait_until_none(UPLOADS_PATIENCE) => {}
            () = stop.cancelled() => {}
        }
    });
}

fn offsets(topic: &str, next: &BTreeMap<u16, i64>) -> Result<TopicPartitionList, KafkaError> {
    let mut offsets = TopicPartitionList::new();
    for (number, next) in next {
        offsets.add_partition_offset(topic, i32::from(*number), Offset::Offset(*next))?;
    }
    Ok(offsets)
}

/// A message that was read from the broker.
enum Taken<'a> {
    Polled(BorrowedMessage<'a>),
    Held(OwnedMessage),
}

impl Taken<'_> {
    fn partition(&self) -> u16 {
        match self {
            Self::Polled(message) => partition_of(message),
            Self::Held(message) => partition_of(message),
        }
    }

    fn unknown_schema(&self, content: &Content) -> Option<u32> {
        content.unknown_schema(match self {
            Self::Polled(message) => message.payload(),
            Self::Held(message) => message.payload(),
        })
    }

    fn push(&self, builder: &mut BatchBuilder<'_>, content: &Content, known: &KeySet) -> Pushed {
        match self {
            Self::Polled(message) => builder.push(message, content, known),
            Self::Held(message) => builder.push(message, content, known),
        }
    }

    fn fingerprint(&self) -> u64 {
        match self {
            Self::Polled(message) => fingerprint(message),
            Self::Held(message) => fingerprint(message),
        }
    }

    fn detach(self) -> OwnedMessage {
        match self {
            Self::Polled(message) => message.detach(),
            Self::Held(message) => message,
        }
    }
}
