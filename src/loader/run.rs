//! The loader at work: one batch after the other, until it is stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roaring::RoaringTreemap;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::{Batch, BatchBuilder};
use super::content::Content;
use super::gaps::{self, Cause, Gap};
use super::gate::Gate;
use super::gathering::Gatherer;
use super::inbox::{Inbox, create_missing};
use super::layout::{Change, Looks};
use super::lease::{Candidate, Lease};
use super::ledger::Ledger;
use super::loading::{Done, Target};
use super::reading::is_unreadable;
use super::unreadable::Probe;
use super::{LoaderError, kafka_engine, repeats, restore};
use crate::domain::columns::Columns;
use crate::ingest::upload::under_way::UnderWay;
use crate::kafka::{BrokerError, Kafka};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::warehouse::client::Warehouse;

/// Pauses between attempts while a service does not answer.
const RETRY_PAUSE: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

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
        tracing::info!(
            topic = self.topic,
            epoch = session.target.epoch,
            generation = lease.generation,
            "loading"
        );
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
pub(super) struct Session {
    pub(super) loader: Loader,
    pub(super) target: Arc<Target>,
    pub(super) content: Content,
    /// Ids of the rounds of all partitions that are stored or being loaded. A round may be in any partition if some were added.
    pub(super) known: RoaringTreemap,
    /// The next offset to read of each partition.
    pub(super) next: BTreeMap<u16, i64>,
}

/// The batch that is being loaded while the next one is gathered. One at a time: the ledger has one open batch.
struct Loading {
    runtime: Handle,
    task: Option<JoinHandle<Result<Done, LoaderError>>>,
    /// The next offset to load of each partition.
    next: BTreeMap<u16, i64>,
}

impl Session {
    /// Loads batch after batch, until `stop` or until the topic has changed. Blocks.
    fn work(&mut self, restarts: u64, stop: &CancellationToken) -> Result<(), LoaderError> {
        let mut loading = Loading { runtime: Handle::current(), task: None, next: self.next.clone() };
        let worked = self.load_batches(&mut loading, restarts, stop);
        // Nothing may be written after the session has ended.
        let loaded = loading.wait();
        worked.and(loaded)
    }

    fn load_batches(
        &mut self,
        loading: &mut Loading,
        restarts: u64,
        stop: &CancellationToken,
    ) -> Result<(), LoaderError> {
        let mut gatherer = Gatherer::new(&self.loader, &self.next, stop)?;
        let mut looks = Looks::new(&self.loader.kafka, &self.loader.topic)?;
        while !stop.is_cancelled() {
            if self.loader.gate.restarts() != restarts {
                return Err(LoaderError::RoundsLost);
            }
            match looks.changed(&self.next, gatherer.is_up_to_date(), &loading.runtime)? {
                None => {}
                Some(Change::Stalled) => {
                    tracing::warn!(
                        topic = self.loader.topic,
                        "the topic has messages that do not arrive; checking whether they can be read"
                    );
                    if self.pass_over_unreadable(loading)? {
                        return Ok(());
                    }
                }
                Some(Change::Partitions | Change::Recreated) => return Ok(()),
            }
            let builder = BatchBuilder::new(&self.content, self.target.origin());
            let batch = match gatherer.gather(builder, &mut self.content, &self.known) {
                Err(LoaderError::Broker(BrokerError::Unavailable(error))) if is_unreadable(&error) => {
                    tracing::warn!(topic = self.loader.topic, %error, "cannot read messages; looking for the next readable one");
                    return match self.pass_over_unreadable(loading)? {
                        true => Ok(()),
                        false => Err(BrokerError::from(error).into()),
                    };
                }
                batch => batch?,
            };
            if loading.is_under_way() {
                loading.wait()?;
                gatherer.commit(&loading.next);
            }
            if let Some(batch) = batch {
                self.advance(&batch);
                loading.begin(&self.target, batch);
            }
        }
        Ok(())
    }

    /// Checks in each partition whether the next messages can be read, and records those that cannot. Returns whether there were any.
    fn pass_over_unreadable(&self, loading: &mut Loading) -> Result<bool, LoaderError> {
        // A gap is the last chunk of its partition in the ledger: no earlier chunk may be open.
        loading.wait()?;
        loading.runtime.block_on(self.note_unreadable())
    }

    async fn note_unreadable(&self) -> Result<bool, LoaderError> {
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
        self.note_gaps(self.target.epoch, &gaps).await?;
        Ok(!gaps.is_empty())
    }

    /// Records gaps of an epoch, and marks their offsets as loaded.
    pub(super) async fn note_gaps(&self, epoch: u32, gaps: &[Gap]) -> Result<(), LoaderError> {
        gaps::note(&self.target.lease, &self.target.ledger, &self.loader.metrics, epoch, gaps).await
    }

    /// Takes a batch into account for the next one.
    pub(super) fn advance(&mut self, batch: &Batch) {
        self.next.extend(batch.next_offsets());
        self.known |= &batch.new_ids;
    }
}

impl Loading {
    fn begin(&mut self, target: &Arc<Target>, batch: Batch) {
        let target = Arc::clone(target);
        self.task = Some(self.runtime.spawn(async move { target.load(batch).await }));
    }

    fn is_under_way(&self) -> bool {
        self.task.is_some()
    }

    /// Waits until the batch is loaded.
    fn wait(&mut self) -> Result<(), LoaderError> {
        if let Some(task) = self.task.take() {
            self.next.extend(self.runtime.block_on(task)??.next);
        }
        Ok(())
    }
}

/// The inbox of `game_rounds`.
pub(super) fn rounds_inbox(columns: &Columns) -> Inbox {
    let others = columns.iter().filter(|column| !column.is_field());
    let names: Vec<&str> = columns.fields().chain(others).map(|column| column.name.as_str()).collect();
    let columns = format!("{}, kafka_epoch, kafka_partition, kafka_offset, recounted", names.join(", "));
    Inbox::new("game_rounds", columns)
}
