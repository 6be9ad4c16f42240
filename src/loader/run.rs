//! The loader at work: one batch of chunks after the other, until it is stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};
use roaring::RoaringTreemap;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::chunks::{Chunk, ChunkBuilder, Content, Origin, Pushed, fingerprint};
use super::gaps::{self, Cause, Gap};
use super::gate::Gate;
use super::inbox::{Inbox, create_missing};
use super::layout::{Change, Looks};
use super::lease::{Candidate, Lease};
use super::ledger::{ChunkState, LastChunk, Ledger};
use super::mending::{Repeated, Table};
use super::unreadable::Probe;
use super::{LoaderError, kafka_engine, known_ids, recovery, repeats, restore};
use crate::domain::columns::Columns;
use crate::ingest::upload::under_way::UnderWay;
use crate::kafka::{BrokerError, Kafka, Watermarks};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::warehouse::client::Warehouse;
use crate::warehouse::uploads::{self, Loaded};

/// How long a first message waits for more before its chunk is inserted.
const LINGER: Duration = Duration::from_millis(200);

/// Messages and bytes of all chunks of a batch together: the most that the loader holds in memory.
const MAX_BATCH_MESSAGES: u64 = 262_144;
const MAX_BATCH_BYTES: usize = 24 << 20;

/// How long loading that was up to date pauses for running uploads. Their senders wait for the acknowledgement, and loading would take
/// processor time from them.
const UPLOADS_PATIENCE: Duration = Duration::from_secs(8);

/// Pauses between attempts while a service does not answer.
const RETRY_PAUSE: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// How many acknowledged uploads are checked for lost rows if the topic was recreated.
const MAX_UPLOADS: u64 = 10_000;

/// The consumer group for committed offsets. They only show the lag to others; the loader itself relies on the ledger.
const GROUP: &str = "roundhouse-loader";

/// What kind of messages a topic has.
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
    pub candidate: Candidate,
    pub metrics: Metrics,
}

/// The state of a loader, for `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoaderState {
    Starting,
    Running,
    /// Another server loads the topic. This one takes over if the other dies.
    Standby {
        owner: Uuid,
    },
    /// An attempt failed; the loader retries by itself.
    Waiting(String),
}

impl Loader {
    /// Loads until `stop` while this server holds the lease of the topic. Retries after failures.
    pub async fn run(self, state: watch::Sender<LoaderState>, stop: CancellationToken) {
        let load = |lease, end| self.load(lease, &state, end);
        self.candidate.run(&state, &stop, load).await;
    }

    /// Finishes the noted chunks, so that another loader can continue. Returns the next offsets.
    ///
    /// # Errors
    /// A service does not answer.
    pub(super) async fn settle(&self, lease: &Lease) -> Result<BTreeMap<u16, i64>, LoaderError> {
        let session = Session::begin(self, lease).await?;
        Ok(session.next)
    }

    async fn load(
        &self,
        lease: Lease,
        state: &watch::Sender<LoaderState>,
        end: CancellationToken,
    ) -> Result<(), LoaderError> {
        self.create_inboxes().await?;
        kafka_engine::hand_back(self, &lease).await?;
        let restarts = self.gate.restarts();
        restore::restore(self, &lease).await?;
        let mut session = Session::begin(self, &lease).await?;
        state.send_replace(LoaderState::Running);
        tracing::info!(topic = self.topic, epoch = session.epoch, generation = lease.generation, "loading");
        tokio::task::spawn_blocking(move || session.work(restarts, &end)).await?
    }

    /// Creates the inboxes that do not exist.
    pub(super) async fn create_inboxes(&self) -> Result<(), LoaderError> {
        let mut inboxes = vec![Ledger::inbox(), gaps::rejects_inbox(), gaps::inbox()];
        if let TopicKind::Rounds(columns) = &self.kind {
            inboxes.extend([
                rounds_inbox(columns),
                repeats::conflicts_inbox(columns),
                repeats::counts_inbox(),
            ]);
        }
        create_missing(&self.warehouse, &inboxes).await
    }
}

/// Waits before the next attempt.
pub(super) async fn wait_before_retry(failures: usize, stop: &CancellationToken) {
    let pause = RETRY_PAUSE.get(failures).or(RETRY_PAUSE.last()).copied().unwrap_or_default();
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}

/// One run of the loader, from its start to the next failure.
struct Session {
    loader: Loader,
    lease: Lease,
    ledger: Ledger,
    epoch: u32,
    content: Content,
    /// Ids of the stored rounds of all partitions: a round may be in any partition if some were added.
    known: RoaringTreemap,
    /// The next offset of each partition.
    next: BTreeMap<u16, i64>,
    /// The message that ended the last batch. It was read already and comes first in the next one.
    held: Option<OwnedMessage>,
    /// The error that ended the last batch.
    failure: Option<BrokerError>,
    insert_rounds: String,
    insert_rejects: String,
    /// Whether the last batch took all messages there were. The next one may then pause for uploads.
    is_up_to_date: bool,
}

impl Session {
    /// Finds out what is loaded, and loads the chunks that were noted but not done.
    async fn begin(loader: &Loader, lease: &Lease) -> Result<Self, LoaderError> {
        let ledger = Ledger::new(lease);
        let watermarks = loader.kafka.watermarks(&loader.topic).await?;
        let found = recovery::identify(&loader.kafka, &ledger, &loader.topic, &watermarks).await?;
        let content = Content::of(&loader.kind)?;
        let insert_rounds = match &loader.kind {
            TopicKind::Rejects => String::new(),
            TopicKind::Rounds(columns) => rounds_inbox(columns).insert(),
        };
        let next = next_offsets(&watermarks, &found.chunks);
        let known = match content {
            Content::Rejects => RoaringTreemap::new(),
            Content::Rounds { .. } => known_ids::before(&loader.warehouse, found.epoch, &next).await?,
        };
        let mut session = Self {
            loader: loader.clone(),
            lease: lease.clone(),
            ledger,
            epoch: found.epoch,
            content,
            known,
            next,
            held: None,
            failure: None,
            insert_rounds,
            insert_rejects: gaps::rejects_inbox().insert(),
            is_up_to_date: true,
        };
        let _loading = loader.gate.wait_to_load().await;
        if let Some(ended) = found.ended {
            session.note_ended(ended).await?;
        }
        session.finish(&found.chunks, &watermarks).await?;
        session.pass_over_deleted(&watermarks).await?;
        Ok(session)
    }

    /// Records what was acknowledged but not loaded in an epoch that has ended.
    async fn note_ended(&self, ended: u32) -> Result<(), LoaderError> {
        let (warehouse, topic) = (&self.loader.warehouse, self.loader.topic.as_str());
        let loaded = Loaded::of_topic(warehouse, topic).await?;
        let uploads = uploads::last_acknowledged(warehouse, MAX_UPLOADS).await?;
        let mut gaps: BTreeMap<u16, Gap> = BTreeMap::new();
        for upload in uploads.iter().filter(|upload| upload.topic == topic) {
            for (partition, missing) in loaded.missing(&upload.offsets, upload.updated_at) {
                let Some((_, last)) = upload.offsets.get(&partition).copied() else { continue };
                let first = (last + 1).saturating_sub_unsigned(missing);
                let gap = Gap { partition, first, last, cause: Cause::Recreated };
                let noted = gaps.entry(partition).or_insert(gap);
                (noted.first, noted.last) = (noted.first.min(first), noted.last.max(last));
            }
        }
        let gaps: Vec<Gap> = gaps.into_values().collect();
        gaps::note(&self.lease, &self.ledger, &self.loader.metrics, ended, &gaps).await
    }

    /// Loads the chunks that were noted but not done.
    async fn finish(
        &mut self,
        last_chunks: &[LastChunk],
        watermarks: &Watermarks,
    ) -> Result<(), LoaderError> {
        let mut repeated = Vec::new();
        for noted in last_chunks.iter().filter(|chunk| !chunk.is_done) {
            repeated.push(self.repeat(*noted).await?);
        }
        self.note_deleted_parts(&repeated, watermarks).await?;
        self.insert_again(repeated).await
    }

    /// Records messages of noted chunks that were deleted before they were inserted. A block is inserted completely or not at all.
    async fn note_deleted_parts(
        &self,
        repeated: &[Chunk],
        watermarks: &Watermarks,
    ) -> Result<(), LoaderError> {
        let mut gaps = Vec::new();
        for chunk in repeated {
            let low = watermarks.get(&chunk.partition).map_or(0, |(low, _)| *low);
            let last = chunk.last_offset.min(low - 1);
            if last >= chunk.first_offset && self.repeated(chunk).is_missing().await? {
                let (partition, first) = (chunk.partition, chunk.first_offset);
                gaps.push(Gap { partition, first, last, cause: Cause::Deleted });
            }
        }
        gaps::record(&self.lease, &self.loader.metrics, self.epoch, &gaps).await
    }

    /// Skips messages that were deleted before they were loaded.
    async fn pass_over_deleted(&mut self, watermarks: &Watermarks) -> Result<(), LoaderError> {
        let mut gaps = Vec::new();
        for (partition, (low, _)) in watermarks {
            let Some(next) = self.next.get_mut(partition).filter(|next| **next < *low) else { continue };
            gaps.push(Gap { partition: *partition, first: *next, last: low - 1, cause: Cause::Deleted });
            *next = *low;
        }
        gaps::note(&self.lease, &self.ledger, &self.loader.metrics, self.epoch, &gaps).await
    }

    /// Reads a chunk that was noted but not done: the same messages give the same block. Chunks of one batch have no new round in common.
    /// If a deleted round came back in several chunks, the lowest partition gets it.
    async fn repeat(&mut self, noted: LastChunk) -> Result<Chunk, LoaderError> {
        let number = noted.partition;
        let (first, last) = (noted.first_offset.cast_signed(), noted.last_offset.cast_signed());
        tracing::info!(
            topic = self.loader.topic,
            partition = number,
            first,
            last,
            "loading a noted chunk again"
        );
        let Loader { kafka, topic, .. } = &self.loader;
        let messages = recovery::read(kafka, topic, number, first..=last).await?;
        let mut builder = ChunkBuilder::new(number);
        for message in &messages {
            self.content.learn(&self.loader.registry, message.payload()).await?;
            self.push(&mut builder, message, &mut RoaringTreemap::new());
        }
        let mut chunk = builder.finish(messages.last().map_or(0, fingerprint));
        // The token must name the noted offsets, even if some of their messages are deleted by now.
        (chunk.first_offset, chunk.last_offset) = (first, last);
        self.known |= &chunk.new_ids;
        Ok(chunk)
    }

    /// Makes sure that noted chunks are inserted, and marks them done.
    async fn insert_again(&mut self, mut repeated: Vec<Chunk>) -> Result<(), LoaderError> {
        if repeated.is_empty() {
            return Ok(());
        }
        for chunk in &repeated {
            self.insert(chunk).await?;
            self.complete(chunk).await?;
        }
        if matches!(self.content, Content::Rounds { .. }) {
            // Only after all inserts, because chunks share hours.
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

    /// Checks that each table has each block of a chunk once. If not, deletes the chunk's rows and inserts them under another token. Rows
    /// are missing if only the token survived, and stored twice if an earlier release used another token.
    async fn complete(&self, chunk: &Chunk) -> Result<(), LoaderError> {
        for (table, statement, block, rows) in self.blocks(chunk) {
            let repeated = self.repeated(chunk);
            if !repeated.is_whole(table, rows).await? {
                repeated.log_lost(table, rows);
                repeated.delete(table).await?;
                let token = format!("{}:{}", self.token(chunk), uuid::Uuid::now_v7());
                self.lease.insert_block(statement, &token, block.clone()).await?;
            }
        }
        Ok(())
    }

    fn repeated<'a>(&'a self, chunk: &'a Chunk) -> Repeated<'a> {
        Repeated { lease: &self.lease, origin: self.origin(chunk.partition), chunk }
    }

    fn origin(&self, partition: u16) -> Origin<'_> {
        let (topic, generation) = (self.loader.topic.as_str(), self.lease.generation);
        Origin { topic, epoch: self.epoch, partition, generation }
    }

    /// Loads batch after batch, until `stop` or until the topic has changed. Blocks.
    fn work(&mut self, restarts: u64, stop: &CancellationToken) -> Result<(), LoaderError> {
        let runtime = Handle::current();
        let consumer = self.assign().map_err(BrokerError::from)?;
        let mut looks = Looks::new(&self.loader.kafka, &self.loader.topic)?;
        while !stop.is_cancelled() {
            if self.loader.gate.restarts() != restarts {
                return Err(LoaderError::RoundsLost);
            }
            match looks.changed(&self.next, self.is_up_to_date, &runtime)? {
                None => {}
                Some(Change::Stalled) => {
                    tracing::warn!(
                        topic = self.loader.topic,
                        "the topic has messages that do not arrive; checking whether they can be read"
                    );
                    if runtime.block_on(self.pass_over_unreadable())? {
                        return Ok(());
                    }
                }
                Some(Change::Partitions | Change::Recreated) => return Ok(()),
            }
            let mut chunks = match self.gather(&consumer, &runtime, stop) {
                Err(LoaderError::Broker(BrokerError::Unavailable(error)))
                    if recovery::is_unreadable(&error) =>
                {
                    tracing::warn!(topic = self.loader.topic, %error, "cannot read messages; looking for the next readable one");
                    return match runtime.block_on(self.pass_over_unreadable())? {
                        true => Ok(()),
                        false => Err(BrokerError::from(error).into()),
                    };
                }
                chunks => chunks?,
            };
            if chunks.is_empty() {
                continue;
            }
            runtime.block_on(self.load_batch(&mut chunks))?;
            for chunk in chunks {
                self.advance(chunk);
            }
            if let Err(error) = self.commit(&consumer) {
                tracing::warn!(%error, "could not commit offsets; loading is not affected, since the ledger has them");
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
        for (number, next) in &self.next {
            offsets.add_partition_offset(&self.loader.topic, i32::from(*number), Offset::Offset(*next))?;
        }
        Ok(offsets)
    }

    /// Checks in each partition whether the next messages can be read, and records those that cannot. Returns whether there were any.
    async fn pass_over_unreadable(&self) -> Result<bool, LoaderError> {
        let watermarks = self.loader.kafka.watermarks(&self.loader.topic).await?;
        let mut gaps = Vec::new();
        for (partition, first) in &self.next {
            let high = watermarks.get(partition).map_or(0, |(_, high)| *high);
            if high <= *first {
                continue;
            }
            let (kafka, topic) = (self.loader.kafka.clone(), self.loader.topic.clone());
            let (partition, first) = (*partition, *first);
            let probing = tokio::task::spawn_blocking(move || {
                Probe::new(&kafka, &topic, partition)?.unreadable(first, high)
            });
            if let Some((last, reason)) = probing.await?? {
                gaps.push(Gap { partition, first, last, cause: Cause::Unreadable(reason) });
            }
        }
        gaps::note(&self.lease, &self.ledger, &self.loader.metrics, self.epoch, &gaps).await?;
        Ok(!gaps.is_empty())
    }

    /// Collects the messages that arrive within the linger time, up to the limits, into one chunk per partition. A message whose round is
    /// new in the chunk of another partition is kept for the next batch.
    fn gather(
        &mut self,
        consumer: &BaseConsumer,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<Vec<Chunk>, LoaderError> {
        let mut gathered: BTreeMap<u16, (ChunkBuilder, Taken<'_>)> = BTreeMap::new();
        let mut new_ids = RoaringTreemap::new();
        let mut first_at: Option<Instant> = None;
        let was_up_to_date = std::mem::replace(&mut self.is_up_to_date, false);
        let (mut messages, mut bytes) = (0, 0);
        while messages < MAX_BATCH_MESSAGES && bytes < MAX_BATCH_BYTES && !stop.is_cancelled() {
            let message = match self.take(consumer, first_at) {
                Ok(Some(message)) => message,
                Ok(None) => break,
                // Load the messages before the error first. The failing offset is then the next one.
                Err(error) if !gathered.is_empty() => {
                    self.failure = Some(error);
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            if first_at.is_none() {
                if was_up_to_date {
                    self.wait_for_uploads(runtime, stop);
                }
                first_at = Some(Instant::now());
            }
            runtime.block_on(self.content.learn(&self.loader.registry, message.payload()))?;
            let number = u16::try_from(message.partition()).unwrap_or(u16::MAX);
            let earlier = gathered.remove(&number);
            let (mut builder, last) = match earlier {
                Some((builder, last)) => (builder, Some(last)),
                None => (ChunkBuilder::new(number), None),
            };
            let before = builder.bytes();
            let pushed = match &message {
                Taken::Polled(message) => self.push(&mut builder, message, &mut new_ids),
                Taken::Held(message) => self.push(&mut builder, message, &mut new_ids),
            };
            if pushed == Pushed::IsNewElsewhere {
                gathered.extend(last.map(|last| (number, (builder, last))));
                self.held = Some(message.detach());
                break;
            }
            messages += 1;
            bytes += builder.bytes() - before;
            gathered.insert(number, (builder, message));
        }
        let gathered = gathered.into_values().filter(|(builder, _)| !builder.is_empty());
        Ok(gathered.map(|(builder, last)| builder.finish(last.fingerprint())).collect())
    }

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
            let wait = match first_at {
                None => LINGER,
                // Take all messages that have arrived: a few large blocks cost the engine less than many small ones.
                Some(first_at) => LINGER.saturating_sub(first_at.elapsed()),
            };
            match consumer.poll(wait) {
                Some(Ok(message)) => return Ok(Some(Taken::Polled(message))),
                // Do not loop forever: the topic is checked between batches.
                Some(Err(error)) if recovery::is_transient(&error) && first_at.is_some() => {}
                Some(Err(error)) if recovery::is_transient(&error) => return Ok(None),
                Some(Err(error)) => return Err(error.into()),
                None => {
                    self.is_up_to_date = true;
                    return Ok(None);
                }
            }
        }
    }

    fn wait_for_uploads(&self, runtime: &Handle, stop: &CancellationToken) {
        runtime.block_on(async {
            tokio::select! {
                () = self.loader.uploads.wait_until_none(UPLOADS_PATIENCE) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    fn push(&self, builder: &mut ChunkBuilder, message: &impl Message, batch: &mut RoaringTreemap) -> Pushed {
        let number = u16::try_from(message.partition()).unwrap_or(u16::MAX);
        builder.push(message, &self.content, &self.origin(number), &self.known, batch)
    }

    async fn load_batch(&self, chunks: &mut [Chunk]) -> Result<(), LoaderError> {
        let _loading = self.loader.gate.wait_to_load().await;
        if let Content::Rounds { stored, .. } = &self.content {
            repeats::bring_back(&self.lease, stored, self.epoch, chunks).await?;
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

    /// Separates conflicts from duplicates in inserted chunks, and writes the counts of each upload's rows.
    async fn judge(&self, chunks: &mut [Chunk]) -> Result<(), LoaderError> {
        let Content::Rounds { stored, .. } = &self.content else { return Ok(()) };
        repeats::judge(self.lease.warehouse(), stored, chunks).await?;
        repeats::write(&self.lease, stored, self.epoch, chunks).await
    }

    async fn insert(&self, chunk: &Chunk) -> Result<(), LoaderError> {
        for (_, statement, block, _) in self.blocks(chunk) {
            self.lease.insert_block(statement, &self.token(chunk), block.clone()).await?;
        }
        Ok(())
    }

    /// Returns the blocks of a chunk that are not empty: table, insert statement, block, and number of rows.
    fn blocks<'a>(&'a self, chunk: &'a Chunk) -> impl Iterator<Item = (Table, &'a str, &'a Bytes, u64)> {
        let (rounds, rejects) = match self.content {
            Content::Rounds { .. } => (chunk.new, chunk.undecodable),
            Content::Rejects => (0, chunk.new),
        };
        let blocks = [
            (Table::Rounds, self.insert_rounds.as_str(), &chunk.rounds, rounds),
            (Table::Rejects, self.insert_rejects.as_str(), &chunk.rejects, rejects),
        ];
        blocks.into_iter().filter(|(_, _, block, _)| !block.is_empty())
    }

    fn token(&self, chunk: &Chunk) -> String {
        let Chunk { partition, first_offset, last_offset, .. } = chunk;
        format!("{}:{}:{partition}:{first_offset}-{last_offset}", self.loader.topic, self.epoch)
    }

    fn advance(&mut self, chunk: Chunk) {
        self.next.insert(chunk.partition, chunk.last_offset + 1);
        self.known |= chunk.new_ids;
    }
}

/// A message that was read from the broker.
enum Taken<'a> {
    Polled(BorrowedMessage<'a>),
    Held(OwnedMessage),
}

impl Taken<'_> {
    fn partition(&self) -> i32 {
        match self {
            Self::Polled(message) => message.partition(),
            Self::Held(message) => message.partition(),
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Polled(message) => message.payload(),
            Self::Held(message) => message.payload(),
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

/// Returns where loading begins in each partition: after the last chunk, or at its start if it was noted but not done. A partition
/// without a chunk begins at 0: if its first messages are missing, they were deleted before they were loaded ([`recovery::identify`]).
fn next_offsets(watermarks: &Watermarks, last_chunks: &[LastChunk]) -> BTreeMap<u16, i64> {
    let next = |partition: &u16| {
        let last = last_chunks.iter().find(|chunk| chunk.partition == *partition);
        last.map_or(0, |chunk| match chunk.is_done {
            true => chunk.last_offset.cast_signed() + 1,
            false => chunk.first_offset.cast_signed(),
        })
    };
    watermarks.keys().map(|partition| (*partition, next(partition))).collect()
}

/// The inbox of `game_rounds`.
pub(super) fn rounds_inbox(columns: &Columns) -> Inbox {
    let others = columns.iter().filter(|column| !column.is_field());
    let names: Vec<&str> = columns.fields().chain(others).map(|column| column.name.as_str()).collect();
    let columns = format!("{}, kafka_epoch, kafka_partition, kafka_offset, recounted", names.join(", "));
    Inbox::new("game_rounds", columns)
}
