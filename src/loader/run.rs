//! The loader at work: rounds of chunks, one after the other, until it is told to stop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use roaring::RoaringTreemap;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::chunks::{Chunk, ChunkBuilder, Content, Origin, fingerprint};
use super::gate::Gate;
use super::ledger::{ChunkState, LastChunk, Ledger};
use super::mending::{Repeated, Table};
use super::{LoaderError, kafka_engine, known_ids, recovery, repeats, restore};
use crate::domain::columns::Columns;
use crate::ingest::upload::under_way::UnderWay;
use crate::kafka::{BrokerError, Kafka};
use crate::registry::Registry;
use crate::warehouse::client::Warehouse;

/// How long a first message waits for others before its chunk is inserted.
const LINGER: Duration = Duration::from_millis(200);

/// Rows and bytes of all chunks of a round together: what the loader holds in memory.
const MAX_ROUND_MESSAGES: u64 = 262_144;
const MAX_ROUND_BYTES: usize = 24 << 20;

/// How long loading that was up to date leaves the machine to uploads that are under way. Their senders wait for it; who reads
/// the aggregates has not asked yet.
const GIVE_WAY: Duration = Duration::from_secs(8);

/// Pauses between attempts while a service does not answer.
const RETRY_PAUSE: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// The consumer group under which offsets are committed, for those who watch lag; the ledger is what counts.
const GROUP: &str = "roundhouse-loader";

pub(super) const INSERT_REJECTS: &str = "INSERT INTO rejects (upload_id, line, byte_offset, column, code, reason, raw, kafka_topic, \
     kafka_epoch, kafka_partition, kafka_offset) FORMAT RowBinary";

/// Which messages a topic has.
#[derive(Clone, Debug)]
pub enum TopicKind {
    Rounds(Arc<Columns>),
    Rejects,
}

/// What a loader needs.
#[derive(Clone, Debug)]
pub struct Loader {
    pub kafka: Kafka,
    pub registry: Registry,
    pub warehouse: Warehouse,
    pub topic: String,
    pub kind: TopicKind,
    pub uploads: UnderWay,
    pub gate: Gate,
}

/// How a loader is doing, for `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoaderState {
    Starting,
    Running,
    /// It tries again by itself.
    Waiting(String),
    /// It needs someone to do something.
    Stopped(String),
}

impl Loader {
    /// Loads until `stop`. What fails is tried again; only a topic that can no longer be told right ends it before.
    pub async fn run(self, state: watch::Sender<LoaderState>, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let started = Instant::now();
            match self.load(&state, &stop).await {
                Ok(()) => return,
                Err(error) if error.is_permanent() => {
                    tracing::error!(topic = self.topic, %error, "loading stopped");
                    state.send_replace(LoaderState::Stopped(error.to_string()));
                    return;
                }
                Err(error) => {
                    tracing::warn!(topic = self.topic, %error, "loading is interrupted");
                    state.send_replace(LoaderState::Waiting(error.to_string()));
                }
            }
            failures = if started.elapsed() > Duration::from_secs(30) { 0 } else { failures + 1 };
            pause(failures, &stop).await;
        }
    }

    /// Finishes what was begun, for another loader to go on: returns the offsets that come next.
    ///
    /// # Errors
    /// A service does not answer, or the topic can no longer be told right.
    pub(super) async fn settle(&self) -> Result<BTreeMap<u16, i64>, LoaderError> {
        let session = Session::begin(self).await?;
        Ok(session.partitions.iter().map(|(number, partition)| (*number, partition.next_offset)).collect())
    }

    async fn load(
        &self,
        state: &watch::Sender<LoaderState>,
        stop: &CancellationToken,
    ) -> Result<(), LoaderError> {
        kafka_engine::hand_back(self).await?;
        let beginning = self.gate.beginnings();
        restore::restore(self).await?;
        let mut session = Session::begin(self).await?;
        state.send_replace(LoaderState::Running);
        tracing::info!(topic = self.topic, epoch = session.epoch, "loading");
        let stop = stop.clone();
        tokio::task::spawn_blocking(move || session.work(beginning, &stop)).await?
    }
}

/// Waits before the next attempt.
pub(super) async fn pause(failures: usize, stop: &CancellationToken) {
    let pause = RETRY_PAUSE.get(failures).or(RETRY_PAUSE.last()).copied().unwrap_or_default();
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}

/// One partition while it is loaded.
#[derive(Debug)]
struct Partition {
    next_offset: i64,
    /// Ids that came from this partition.
    known: RoaringTreemap,
}

/// Loading from one start to the next failure.
struct Session {
    loader: Loader,
    ledger: Ledger,
    epoch: u32,
    content: Content,
    /// Ids that came from elsewhere: an earlier topic.
    known_elsewhere: RoaringTreemap,
    partitions: BTreeMap<u16, Partition>,
    insert_rounds: String,
    /// The last round took all that was there: the next may give way to uploads.
    is_up_to_date: bool,
}

impl Session {
    /// Finds out what is loaded, and loads the chunks that were noted and not done.
    async fn begin(loader: &Loader) -> Result<Self, LoaderError> {
        let ledger = Ledger::new(loader.warehouse.clone(), &loader.topic);
        let watermarks = loader.kafka.watermarks(&loader.topic).await?;
        let (topic, last_chunks) =
            recovery::identify(&loader.kafka, &ledger, &loader.topic, &watermarks).await?;
        let insert_rounds = match &loader.kind {
            TopicKind::Rejects => String::new(),
            TopicKind::Rounds(columns) => insert_statement(columns),
        };
        let mut session = Self {
            loader: loader.clone(),
            ledger,
            epoch: topic.epoch,
            content: Content::of(&loader.kind)?,
            known_elsewhere: known_ids::elsewhere(&loader.warehouse, topic.epoch).await?,
            partitions: BTreeMap::new(),
            insert_rounds,
            is_up_to_date: true,
        };
        let _loading = loader.gate.load().await;
        let mut repeated = Vec::new();
        for (partition, (low, _)) in watermarks {
            let last = last_chunks.iter().find(|chunk| chunk.partition == partition);
            repeated.extend(session.begin_partition(partition, low, last).await?);
        }
        session.finish(repeated).await?;
        Ok(session)
    }

    /// Finds out where loading a partition begins, and repeats the chunk that was noted and not done, if there is one.
    async fn begin_partition(
        &mut self,
        number: u16,
        low: i64,
        last: Option<&LastChunk>,
    ) -> Result<Option<Chunk>, LoaderError> {
        let next_offset = match last {
            None => low,
            Some(chunk) if chunk.is_done => low.max(chunk.last_offset.cast_signed() + 1),
            Some(chunk) => chunk.first_offset.cast_signed(),
        };
        let known = match self.content {
            Content::Rejects => RoaringTreemap::new(),
            Content::Rounds { .. } => {
                known_ids::of_partition(&self.loader.warehouse, self.epoch, number, next_offset).await?
            }
        };
        self.partitions.insert(number, Partition { next_offset, known });
        match last {
            Some(chunk) if !chunk.is_done => self.repeat(number, *chunk).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Inserts a chunk that was noted and not done: the same messages, the same block, the same token.
    async fn repeat(&mut self, number: u16, noted: LastChunk) -> Result<Chunk, LoaderError> {
        let (first, last) = (noted.first_offset.cast_signed(), noted.last_offset.cast_signed());
        tracing::info!(
            topic = self.loader.topic,
            partition = number,
            first,
            last,
            "loading a noted chunk again"
        );
        let (kafka, topic) = (self.loader.kafka.clone(), self.loader.topic.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut messages = Vec::new();
            recovery::read_range(&kafka, &topic, number, first, last, |message| {
                messages.push(message.detach())
            })?;
            Ok::<_, BrokerError>(messages)
        });
        let messages =
            read.await.map_err(|_| BrokerError::Unavailable(rdkafka::error::KafkaError::Canceled))??;
        let mut builder = ChunkBuilder::new(number);
        for message in &messages {
            self.content.learn(&self.loader.registry, message.payload()).await?;
            self.push(&mut builder, message);
        }
        let mut chunk = builder.finish(messages.last().map_or(0, fingerprint));
        // The token names the offsets that were noted, also where some of their messages are gone by now.
        (chunk.first_offset, chunk.last_offset) = (first, last);
        self.insert(&chunk).await?;
        Ok(chunk)
    }

    /// Makes sure that chunks that were inserted again are there, and notes them done.
    async fn finish(&mut self, mut repeated: Vec<Chunk>) -> Result<(), LoaderError> {
        if repeated.is_empty() {
            return Ok(());
        }
        for chunk in &repeated {
            self.complete(chunk).await?;
        }
        if matches!(self.content, Content::Rounds { .. }) {
            // Only now: chunks share hours.
            for chunk in &repeated {
                self.repeated(chunk).mend_hours().await?;
            }
        }
        self.judge(&mut repeated).await?;
        self.ledger.write(self.epoch, repeated.iter(), ChunkState::Done).await?;
        for chunk in repeated {
            self.advance(chunk);
        }
        Ok(())
    }

    /// Inserts blocks of a chunk anew, under another token, that the tables do not have though they have the token.
    async fn complete(&self, chunk: &Chunk) -> Result<(), LoaderError> {
        for (table, statement, block, rows) in self.blocks(chunk) {
            let repeated = self.repeated(chunk);
            if !repeated.is_whole(table, rows).await? {
                repeated.delete(table).await?;
                let token = format!("{}:{}", self.token(chunk), uuid::Uuid::now_v7());
                self.loader.warehouse.insert_block(statement, &token, block.clone()).await?;
            }
        }
        Ok(())
    }

    fn repeated<'a>(&'a self, chunk: &'a Chunk) -> Repeated<'a> {
        let origin = Origin { topic: &self.loader.topic, epoch: self.epoch, partition: chunk.partition };
        Repeated { warehouse: &self.loader.warehouse, origin, chunk }
    }

    /// Loads round after round. Blocks.
    fn work(&mut self, beginning: u64, stop: &CancellationToken) -> Result<(), LoaderError> {
        let runtime = Handle::current();
        let consumer = self.assign().map_err(BrokerError::from)?;
        while !stop.is_cancelled() {
            if self.loader.gate.beginnings() != beginning {
                return Err(LoaderError::RoundsLost);
            }
            let mut chunks = self.gather(&consumer, &runtime, stop)?;
            if chunks.is_empty() {
                continue;
            }
            runtime.block_on(self.load_round(&mut chunks))?;
            for chunk in chunks {
                self.advance(chunk);
            }
            if let Err(error) = self.commit(&consumer) {
                tracing::warn!(%error, "offsets could not be committed; the ledger has them");
            }
        }
        Ok(())
    }

    fn assign(&self) -> Result<BaseConsumer, rdkafka::error::KafkaError> {
        let consumer: BaseConsumer = self.loader.kafka.consumer(GROUP).create()?;
        consumer.assign(&self.offsets()?)?;
        Ok(consumer)
    }

    fn commit(&self, consumer: &BaseConsumer) -> Result<(), rdkafka::error::KafkaError> {
        consumer.commit(&self.offsets()?, CommitMode::Async)
    }

    fn offsets(&self) -> Result<TopicPartitionList, rdkafka::error::KafkaError> {
        let mut offsets = TopicPartitionList::new();
        for (number, partition) in &self.partitions {
            let offset = Offset::Offset(partition.next_offset);
            offsets.add_partition_offset(&self.loader.topic, i32::from(*number), offset)?;
        }
        Ok(offsets)
    }

    /// Gathers the messages that arrive within the linger time, up to the limits, into a chunk per partition.
    fn gather(
        &mut self,
        consumer: &BaseConsumer,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<Vec<Chunk>, LoaderError> {
        let mut gathered: BTreeMap<u16, (ChunkBuilder, BorrowedMessage<'_>)> = BTreeMap::new();
        let mut first_at: Option<Instant> = None;
        let was_up_to_date = std::mem::replace(&mut self.is_up_to_date, false);
        let (mut messages, mut bytes) = (0, 0);
        while messages < MAX_ROUND_MESSAGES && bytes < MAX_ROUND_BYTES && !stop.is_cancelled() {
            let wait = match first_at {
                None => LINGER,
                // What is there already is taken along: a few large blocks cost the engine less than many small ones.
                Some(first_at) => LINGER.saturating_sub(first_at.elapsed()),
            };
            let message = match consumer.poll(wait) {
                Some(Ok(message)) => message,
                Some(Err(error)) if recovery::is_transient(&error) => continue,
                Some(Err(error)) => return Err(BrokerError::from(error).into()),
                None => {
                    self.is_up_to_date = true;
                    break;
                }
            };
            if first_at.is_none() {
                if was_up_to_date {
                    self.give_way(runtime, stop);
                }
                first_at = Some(Instant::now());
            }
            runtime.block_on(self.content.learn(&self.loader.registry, message.payload()))?;
            let number = u16::try_from(message.partition()).unwrap_or(u16::MAX);
            let mut builder =
                gathered.remove(&number).map_or_else(|| ChunkBuilder::new(number), |(builder, _)| builder);
            let before = builder.bytes();
            self.push(&mut builder, &message);
            messages += 1;
            bytes += builder.bytes() - before;
            gathered.insert(number, (builder, message));
        }
        Ok(gathered.into_values().map(|(builder, last)| builder.finish(fingerprint(&last))).collect())
    }

    fn give_way(&self, runtime: &Handle, stop: &CancellationToken) {
        runtime.block_on(async {
            tokio::select! {
                () = self.loader.uploads.wait_until_none(GIVE_WAY) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    fn push(&self, builder: &mut ChunkBuilder, message: &impl Message) {
        let Ok(number) = u16::try_from(message.partition()) else { return };
        let Some(partition) = self.partitions.get(&number) else { return };
        let origin = Origin { topic: &self.loader.topic, epoch: self.epoch, partition: number };
        builder.push(message, &self.content, &origin, [&partition.known, &self.known_elsewhere]);
    }

    async fn load_round(&self, chunks: &mut [Chunk]) -> Result<(), LoaderError> {
        let _loading = self.loader.gate.load().await;
        if let Content::Rounds { stored, .. } = &self.content {
            let (warehouse, topic) = (&self.loader.warehouse, self.loader.topic.as_str());
            repeats::bring_back(warehouse, stored, topic, self.epoch, chunks).await?;
        }
        self.ledger.write(self.epoch, chunks.iter(), ChunkState::Noted).await?;
        futures_util::future::try_join_all(chunks.iter().map(|chunk| self.insert(chunk))).await?;
        for chunk in chunks.iter().filter(|chunk| chunk.recounted > 0) {
            self.repeated(chunk).recount_hours().await?;
        }
        self.judge(chunks).await?;
        self.ledger.write(self.epoch, chunks.iter(), ChunkState::Done).await?;
        let rows: u64 = chunks.iter().map(|chunk| chunk.new).sum();
        tracing::debug!(topic = self.loader.topic, rows, chunks = chunks.len(), "loaded");
        Ok(())
    }

    /// Tells the duplicates of chunks that are inserted from conflicts, and writes down what became of each upload's rows.
    async fn judge(&self, chunks: &mut [Chunk]) -> Result<(), LoaderError> {
        let Content::Rounds { stored, .. } = &self.content else { return Ok(()) };
        let (warehouse, topic) = (&self.loader.warehouse, self.loader.topic.as_str());
        repeats::judge(warehouse, stored, chunks).await?;
        repeats::write(warehouse, stored, topic, self.epoch, chunks).await
    }

    async fn insert(&self, chunk: &Chunk) -> Result<(), LoaderError> {
        for (_, statement, block, _) in self.blocks(chunk) {
            self.loader.warehouse.insert_block(statement, &self.token(chunk), block.clone()).await?;
        }
        Ok(())
    }

    /// The blocks of a chunk that hold anything: their table, the statement that inserts them, and how many rows they have.
    fn blocks<'a>(&'a self, chunk: &'a Chunk) -> impl Iterator<Item = (Table, &'a str, &'a Bytes, u64)> {
        let (rounds, rejects) = match self.content {
            Content::Rounds { .. } => (chunk.new, chunk.undecodable),
            Content::Rejects => (0, chunk.new),
        };
        let blocks = [
            (Table::Rounds, self.insert_rounds.as_str(), &chunk.rounds, rounds),
            (Table::Rejects, INSERT_REJECTS, &chunk.rejects, rejects),
        ];
        blocks.into_iter().filter(|(_, _, block, _)| !block.is_empty())
    }

    fn token(&self, chunk: &Chunk) -> String {
        let Chunk { partition, first_offset, last_offset, .. } = chunk;
        format!("{}:{}:{partition}:{first_offset}-{last_offset}", self.loader.topic, self.epoch)
    }

    fn advance(&mut self, chunk: Chunk) {
        if let Some(partition) = self.partitions.get_mut(&chunk.partition) {
            partition.next_offset = chunk.last_offset + 1;
            partition.known |= chunk.new_ids;
        }
    }
}

pub(super) fn insert_statement(columns: &Columns) -> String {
    let others = columns.iter().filter(|column| !column.is_field());
    let names: Vec<&str> = columns.fields().chain(others).map(|column| column.name.as_str()).collect();
    format!(
        "INSERT INTO game_rounds ({}, kafka_epoch, kafka_partition, kafka_offset, recounted) FORMAT RowBinary",
        names.join(", ")
    )
}
