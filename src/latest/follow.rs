//! Reads the messages of the topic as they arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::LatestError;
use super::begin::{Beginning, Clients};
use super::layout::{Origin, RowBytes};
use super::values::LastValues;
use crate::kafka::BrokerError;
use crate::loader::content::{Content, RowValues, TopicKind};
use crate::loader::reading::is_transient;

/// How long one wait for a message takes.
const POLL: Duration = Duration::from_millis(100);

/// The group of the consumer. It never joins it, and commits nothing.
const GROUP: &str = "roundhouse-latest";

/// How far each partition was read.
#[derive(Debug, Default)]
pub(super) struct Progress(BTreeMap<u16, PartitionProgress>);

#[derive(Debug)]
struct PartitionProgress {
    next: AtomicI64,
    /// Whether nothing was read since the end was reached.
    is_at_end: AtomicBool,
}

impl Progress {
    fn new(next: &BTreeMap<u16, i64>) -> Self {
        let begun =
            |next: &i64| PartitionProgress { next: AtomicI64::new(*next), is_at_end: AtomicBool::new(false) };
        Self(next.iter().map(|(partition, next)| (*partition, begun(next))).collect())
    }

    pub(super) fn next(&self) -> impl Iterator<Item = (u16, i64)> {
        self.0.iter().map(|(partition, progress)| (*partition, progress.next.load(Ordering::Acquire)))
    }

    /// Whether nothing of a partition was read since its end was reached. The next offset may be lower than the end: aborted and deleted
    /// messages have offsets, too.
    pub(super) fn is_at_end(&self, partition: u16) -> bool {
        self.0.get(&partition).is_some_and(|progress| progress.is_at_end.load(Ordering::Acquire))
    }

    fn read(&self, partition: u16, next: i64) {
        if let Some(progress) = self.0.get(&partition) {
            progress.next.store(next, Ordering::Release);
            progress.is_at_end.store(false, Ordering::Release);
        }
    }

    fn reach_end(&self, partition: u16) {
        if let Some(progress) = self.0.get(&partition) {
            progress.is_at_end.store(true, Ordering::Release);
        }
    }
}

/// Does not log that the end of a partition was reached, which librdkafka calls an error.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::error!(%error, reason, "librdkafka reports an error");
        }
    }
}

impl ConsumerContext for Quiet {}

/// Reads a topic from given offsets on. Its functions block.
pub(super) struct Follower {
    values: Arc<LastValues>,
    clients: Clients,
    runtime: Handle,
    consumer: BaseConsumer<Quiet>,
    epoch: u32,
    pub(super) progress: Arc<Progress>,
    /// The ends of the partitions that were not reached yet since reading began.
    behind: BTreeMap<u16, i64>,
    content: Content,
    message: RowValues,
    row: RowBytes,
}

impl Follower {
    /// # Errors
    /// librdkafka cannot create a consumer.
    pub(super) fn new(
        clients: &Clients,
        values: &Arc<LastValues>,
        beginning: &Beginning,
    ) -> Result<Self, LatestError> {
        let topic = &values.dataset.topic;
        let consumer: BaseConsumer<Quiet> = clients
            .kafka
            .consumer(GROUP)
            .set("enable.partition.eof", "true")
            // A message is visible as soon as it is read.
            .set("fetch.wait.max.ms", "50")
            .set("queued.max.messages.kbytes", (2 << 10).to_string())
            .create_with_context(Quiet)
            .map_err(BrokerError::from)?;
        let mut assignment = TopicPartitionList::new();
        for (partition, next) in &beginning.next {
            let offset = Offset::Offset(*next);
            assignment
                .add_partition_offset(topic, i32::from(*partition), offset)
                .map_err(BrokerError::from)?;
        }
        consumer.assign(&assignment).map_err(BrokerError::from)?;
        let is_behind = |(partition, (_, high)): (&u16, &(i64, i64))| {
            let next = beginning.next.get(partition).copied().unwrap_or_default();
            (next < *high).then_some((*partition, *high))
        };
        Ok(Self {
            values: Arc::clone(values),
            clients: clients.clone(),
            runtime: Handle::current(),
            consumer,
            epoch: beginning.epoch,
            progress: Arc::new(Progress::new(&beginning.next)),
            behind: beginning.marks.iter().filter_map(is_behind).collect(),
            content: Content::of(&TopicKind::Rows(Arc::clone(&values.dataset))),
            message: RowValues::default(),
            row: RowBytes::default(),
        })
    }

    /// Reads until `stop`.
    ///
    /// # Errors
    /// A message cannot be read, or its schema cannot be fetched.
    pub(super) fn follow(mut self, stop: &CancellationToken) -> Result<(), LatestError> {
        self.see_whether_caught_up();
        while !stop.is_cancelled() {
            // Taken apart: the message borrows the consumer.
            let Self { values, clients, runtime, consumer, epoch, progress, content, message, row, .. } =
                &mut self;
            match consumer.poll(POLL) {
                None => {}
                Some(Ok(polled)) => {
                    if let Some(schema) = content.unknown_schema(polled.payload()) {
                        runtime.block_on(content.learn(&clients.registry, schema))?;
                    }
                    let origin = origin(&polled, *epoch);
                    // The loader rejects what is not a row.
                    if let Ok(payload) = content.read(polled.payload(), message) {
                        values.put(&message.values, payload, origin, row);
                    }
                    let next = polled.offset() + 1;
                    drop(polled);
                    progress.read(origin.partition, next);
                    self.reach(origin.partition, next);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let partition = u16::try_from(partition).unwrap_or(u16::MAX);
                    progress.reach_end(partition);
                    self.reach(partition, i64::MAX);
                }
                Some(Err(error)) if is_transient(&error) => {}
                Some(Err(error)) => return Err(BrokerError::from(error).into()),
            }
        }
        Ok(())
    }

    /// Notes that a partition was read up to an offset.
    fn reach(&mut self, partition: u16, next: i64) {
        if self.behind.get(&partition).is_some_and(|end| next >= *end) {
            self.behind.remove(&partition);
            self.see_whether_caught_up();
        }
    }

    fn see_whether_caught_up(&self) {
        if self.behind.is_empty() {
            self.values.status.catch_up(Instant::now());
            let size = self.values.report().size;
            tracing::info!(
                dataset = self.values.dataset.name,
                rows = size.rows,
                bytes = size.bytes,
                "the last values are up to date"
            );
        }
    }
}

fn origin(message: &BorrowedMessage<'_>, epoch: u32) -> Origin {
    Origin {
        epoch,
        offset: message.offset().cast_unsigned(),
        partition: u16::try_from(message.partition()).unwrap_or(u16::MAX),
    }
}
