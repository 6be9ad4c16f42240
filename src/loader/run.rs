//! The loader at work: one batch after the other, until it is stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, BatchBuilder};
use super::gaps::{Cause, Gap};
use super::gathering::Gatherer;
use super::layout::{Change, Looks};
use super::lease::Lease;
use super::loading::{Loaded, Open, Target, create_inboxes};
use super::needs::Loader;
use super::reading::is_unreadable;
use super::session::Session;
use super::state::LoaderState;
use super::unreadable::Probe;
use super::{LoaderError, kafka_engine, restore};
use crate::kafka::BrokerError;

impl Loader {
    /// Loads until `stop` while this server holds the lease of the topic. Retries after failures.
    pub async fn run(self, state: watch::Sender<LoaderState>, stop: CancellationToken) {
        let load = |lease, end| self.load(lease, &state, end);
        self.candidate.run(&state, &stop, load).await;
    }

    async fn load(
        &self,
        lease: Lease,
        state: &watch::Sender<LoaderState>,
        end: CancellationToken,
    ) -> Result<(), LoaderError> {
        create_inboxes(self).await?;
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
}

/// The batch that is being loaded while the next one is gathered. One at a time: the ledger has one open batch.
struct Loading {
    runtime: Handle,
    target: Arc<Target>,
    task: Option<JoinHandle<Result<Loaded, LoaderError>>>,
    /// Whether the next batch has been gathered.
    is_next_ready: Arc<AtomicBool>,
    /// The next offset to load of each partition.
    next: BTreeMap<u16, i64>,
    /// The same after the batch that is marked done together with the note of the next one.
    next_when_done: Vec<(u16, i64)>,
}

impl Session {
    /// Loads batch after batch, until `stop` or until the topic has changed. Blocks.
    fn work(&mut self, restarts: u64, stop: &CancellationToken) -> Result<(), LoaderError> {
        let mut loading = Loading {
            runtime: Handle::current(),
            target: Arc::clone(&self.target),
            task: None,
            is_next_ready: Arc::default(),
            next: self.next.clone(),
            next_when_done: Vec::new(),
        };
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
            let is_under_way = loading.is_under_way();
            match batch {
                Some(batch) => {
                    self.advance(&batch);
                    loading.begin_after_earlier(batch)?;
                }
                None => loading.wait()?,
            }
            if is_under_way {
                gatherer.commit(&loading.next);
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
}

impl Loading {
    fn is_under_way(&self) -> bool {
        self.task.is_some()
    }

    /// Waits until the earlier batch is loaded, and begins to load this one.
    fn begin_after_earlier(&mut self, batch: Batch) -> Result<(), LoaderError> {
        self.is_next_ready.store(true, Ordering::Release);
        let earlier = self.wait_for_earlier()?;
        self.is_next_ready.store(false, Ordering::Release);
        let (target, is_next_ready) = (Arc::clone(&self.target), Arc::clone(&self.is_next_ready));
        self.task =
            Some(self.runtime.spawn(async move { target.load(batch, earlier, &is_next_ready).await }));
        Ok(())
    }

    /// Waits until the batch is loaded and marked done.
    fn wait(&mut self) -> Result<(), LoaderError> {
        if let Some(open) = self.wait_for_earlier()? {
            let done = self.runtime.block_on(open.finish(&self.target))?;
            self.next.extend(done.next);
        }
        Ok(())
    }

    /// Waits until the batch is loaded. Returns it if it is not marked done yet.
    fn wait_for_earlier(&mut self) -> Result<Option<Box<Open>>, LoaderError> {
        let Some(task) = self.task.take() else { return Ok(None) };
        let loaded = self.runtime.block_on(task)??;
        // Its note marked the batch before it done.
        self.next.extend(self.next_when_done.drain(..));
        match loaded {
            Loaded::Open(open) => {
                self.next_when_done.extend(open.next_offsets());
                Ok(Some(open))
            }
            Loaded::Done(done) => {
                self.next.extend(done.next);
                Ok(None)
            }
        }
    }
}
