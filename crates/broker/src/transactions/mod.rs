//! The transaction coordinator: which producer has a transactional id, what its transaction may write to, and how it ended.
//!
//! Every step is on disk, in the [`Store`], before it takes effect. A commit first stores its decision, then writes a marker to every
//! partition, then stores that it is complete, together with the offsets that consumer groups get by it. A start completes what a crash
//! interrupted. A transaction that takes longer than its timeout is aborted, and its producer is fenced.
//!
//! Limits: [`MAX_IDS`] transactional ids; beyond that, those that were idle the longest are forgotten.

pub(crate) mod requests;
mod transaction;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roundhouse_part::lock::{self, lock};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use self::transaction::{End, MAX_TIMEOUT_MS, Phase, Producer, Transaction};
use crate::error_code::ErrorCode;
use crate::log::{Log, Partition};
use crate::store::{Change, Committed, Store, TopicPartition};

/// Maximum number of transactional ids.
const MAX_IDS: usize = 10_000;

/// Maximum bytes of a transactional id.
const MAX_ID_BYTES: usize = 1_024;

/// The pause after an attempt to end a transaction has failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The epoch of this coordinator in the markers. There is only one.
const COORDINATOR_EPOCH: i32 = 0;

/// The coordinator of all transactions of the broker.
#[derive(Debug)]
pub(crate) struct Transactions {
    log: Arc<Log>,
    store: Arc<Store>,
    ids: Mutex<HashMap<String, Arc<Entry>>>,
    /// What the producers of ongoing transactions may write to. Locked for reading while they write.
    writers: RwLock<HashMap<i64, Writer>>,
    /// Wakes [`Transactions::keep_time`] when a transaction begins.
    begun: Notify,
}

/// A transactional id. Its requests are handled one after the other.
type Entry = tokio::sync::Mutex<Timed>;

#[derive(Debug)]
struct Timed {
    /// None until a producer has started.
    state: Option<Transaction>,
    /// When the transaction must have ended.
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Writer {
    epoch: i16,
    partitions: BTreeSet<TopicPartition>,
}

impl Timed {
    fn entry(state: Option<Transaction>) -> Arc<Entry> {
        Arc::new(Entry::new(Self { state, deadline: None }))
    }
}

impl Transactions {
    /// Continues where the stored transactions are. [`Transactions::recover`] must be called before clients are served.
    pub fn new(log: Arc<Log>, store: Arc<Store>) -> Self {
        let entry = |(id, state)| (id, Timed::entry(Some(state)));
        let ids = store.transactions().into_iter().map(entry).collect();
        Self { log, store, ids: Mutex::new(ids), writers: RwLock::default(), begun: Notify::new() }
    }

    /// Completes transactions that were ending, gives ongoing ones their time again, and aborts what no transactional id has. What
    /// fails is tried again later, so that it affects no other client.
    pub async fn recover(&self) {
        for entry in self.entries() {
            let mut timed = entry.1.lock().await;
            let Some(state) = timed.state.clone() else { continue };
            match state.phase {
                Phase::Idle(_) => {}
                Phase::Ending(_) => {
                    self.take_effect(&mut timed, state);
                    if let Err(error) = self.complete(&entry.0, &mut timed).await {
                        tracing::error!(id = entry.0, %error, "cannot end a transaction; trying again");
                    }
                }
                Phase::Ongoing => self.take_effect(&mut timed, state),
            }
        }
        let partitions = self.log.partitions();
        let all =
            partitions.iter().flat_map(|(topic, numbers)| numbers.iter().map(move |number| (topic, *number)));
        for (topic, number) in all {
            let Some(partition) = self.log.partition(topic, number) else { continue };
            for open in partition.open_transactions() {
                if self.may_write(open.producer_id, open.producer_epoch, topic, number).is_err() {
                    tracing::warn!(
                        topic,
                        number,
                        producer = open.producer_id,
                        "aborting a transaction that nobody has"
                    );
                    let producer = Producer { id: open.producer_id, epoch: open.producer_epoch };
                    if let Err(error) = mark(vec![partition.clone()], producer, End::Abort).await {
                        tracing::error!(topic, number, %error, "cannot abort a transaction");
                    }
                }
            }
        }
    }

    /// Aborts transactions whose time is up, and completes those whose end has failed. It sleeps until then, and for ever while there is none.
    pub async fn keep_time(&self) {
        loop {
            let mut next: Option<Instant> = None;
            for (id, entry) in self.entries() {
                let mut timed = entry.lock().await;
                let Some(deadline) = timed.deadline else { continue };
                if deadline > Instant::now() {
                    next = Some(next.map_or(deadline, |next| next.min(deadline)));
                } else if let Err(error) = self.abort(&id, &mut timed).await {
                    tracing::error!(id, %error, "cannot end a transaction; trying again");
                    let retry = Instant::now() + RETRY_INTERVAL;
                    timed.deadline = Some(retry);
                    next = Some(next.map_or(retry, |next| next.min(retry)));
                }
            }
            let over = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                () = self.begun.notified() => {}
            }
        }
    }

    /// Gives a transactional id to a producer that starts. Aborts the transaction of the one before it.
    ///
    /// # Errors
    /// The client is not the producer that it says to be, the timeout is out of range, or the disk failed.
    pub async fn start(
        &self,
        id: &str,
        timeout_ms: i32,
        known: Option<Producer>,
    ) -> Result<Producer, ErrorCode> {
        if !(1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let entry = self.entry_or_new(id).await?;
        let mut timed = entry.lock().await;
        if let (Some(known), Some(state)) = (known, &timed.state) {
            // Before the abort, which raises the epoch.
            state.check(known)?;
        }
        self.abort(id, &mut timed).await?;
        let next = match &timed.state {
            Some(state) => state.started(timeout_ms, new_producer_id()),
            None if known.is_some() => return Err(ErrorCode::InvalidProducerIdMapping),
            None => Transaction::new(new_producer_id(), timeout_ms),
        };
        let producer = next.producer;
        self.put(id, &mut timed, next).await?;
        Ok(producer)
    }

    /// Adds partitions to the transaction of a producer, which begins with the first ones.
    ///
    /// # Errors
    /// Another producer has taken over, or the disk failed.
    pub async fn add_partitions(
        &self,
        id: &str,
        producer: Producer,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), ErrorCode> {
        self.step(id, |state| state.with_partitions(producer, partitions)).await
    }

    /// Adds a consumer group to the transaction of a producer.
    ///
    /// # Errors
    /// See [`Transactions::add_partitions`].
    pub async fn add_group(&self, id: &str, producer: Producer, group: &str) -> Result<(), ErrorCode> {
        self.step(id, |state| state.with_group(producer, group)).await
    }

    /// Adds offsets of a group to the transaction.
    ///
    /// # Errors
    /// See [`Transactions::add_partitions`]. Or the group was not added.
    pub async fn add_offsets(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
        offsets: Vec<(TopicPartition, Committed)>,
    ) -> Result<(), ErrorCode> {
        self.step(id, |state| state.with_offsets(producer, group, offsets)).await
    }

    /// Commits or aborts the transaction. On return, consumers see that.
    ///
    /// # Errors
    /// Another producer has taken over, there is no transaction, or the disk failed. Then it is undecided: the client may try again.
    pub async fn end(&self, id: &str, producer: Producer, end: End) -> Result<(), ErrorCode> {
        let entry = self.entry(id)?;
        let mut timed = entry.lock().await;
        let state = timed.state.as_ref().ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let Some(next) = state.ending(producer, end)? else { return Ok(()) };
        self.put(id, &mut timed, next).await?;
        self.complete(id, &mut timed).await
    }

    /// Lets a producer append to a partition within its transaction.
    ///
    /// # Errors
    /// The partition is not part of an ongoing transaction of this producer, or `append` fails.
    pub fn append<T>(
        &self,
        producer: Producer,
        topic: &str,
        number: i32,
        append: impl FnOnce() -> Result<T, ErrorCode>,
    ) -> Result<T, ErrorCode> {
        let writers = lock::read(&self.writers);
        check_writer(&writers, producer, topic, number)?;
        // While the writers are locked, the transaction cannot end.
        append()
    }

    fn may_write(&self, id: i64, epoch: i16, topic: &str, number: i32) -> Result<(), ErrorCode> {
        check_writer(&lock::read(&self.writers), Producer { id, epoch }, topic, number)
    }

    async fn step(
        &self,
        id: &str,
        step: impl FnOnce(&Transaction) -> Result<Transaction, ErrorCode>,
    ) -> Result<(), ErrorCode> {
        let entry = self.entry(id)?;
        let mut timed = entry.lock().await;
        let state = timed.state.as_ref().ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let next = step(state)?;
        if next == *state { Ok(()) } else { self.put(id, &mut timed, next).await }
    }

    /// Aborts an ongoing transaction and completes one that is ending.
    async fn abort(&self, id: &str, timed: &mut Timed) -> Result<(), ErrorCode> {
        if let Some(fenced) = timed.state.as_ref().and_then(Transaction::fenced) {
            self.put(id, timed, fenced).await?;
        }
        match timed.state.as_ref().map(|state| state.phase) {
            Some(Phase::Ending(_)) => self.complete(id, timed).await,
            _ => Ok(()),
        }
    }

    /// Writes the markers of a transaction that is ending, and stores that it has ended.
    async fn complete(&self, id: &str, timed: &mut Timed) -> Result<(), ErrorCode> {
        let Some(state) = timed.state.clone() else { return Ok(()) };
        let Phase::Ending(end) = state.phase else { return Ok(()) };
        // A topic may have been deleted in the meantime.
        let partitions =
            state.partitions.iter().filter_map(|(topic, number)| self.log.partition(topic, *number));
        mark(partitions.collect(), state.producer, end).await?;
        let (next, mut offsets) = state.ended();
        for offsets in offsets.values_mut() {
            offsets.retain(|((topic, number), _)| self.log.partition(topic, *number).is_some());
        }
        let offsets = offsets.into_iter().collect();
        let next = Transaction { changed_at: seconds_since_1970(), ..next };
        let change = Change::EndTransaction { id: id.to_owned(), state: next.clone(), offsets };
        self.store.change(change).await?;
        self.take_effect(timed, next);
        Ok(())
    }

    /// Stores a state, and lets it take effect.
    async fn put(&self, id: &str, timed: &mut Timed, next: Transaction) -> Result<(), ErrorCode> {
        let next = Transaction { changed_at: seconds_since_1970(), ..next };
        self.store.change(Change::Transaction { id: id.to_owned(), state: next.clone() }).await?;
        self.take_effect(timed, next);
        Ok(())
    }

    fn take_effect(&self, timed: &mut Timed, next: Transaction) {
        let producer = next.producer;
        let mut writers = lock::write(&self.writers);
        if let Some(before) = &timed.state {
            writers.remove(&before.producer.id);
        }
        if next.phase == Phase::Ongoing {
            let writer = Writer { epoch: producer.epoch, partitions: next.partitions.clone() };
            writers.insert(producer.id, writer);
            if timed.deadline.is_none() {
                let timeout = Duration::from_millis(u64::from(next.timeout_ms.unsigned_abs()));
                timed.deadline = Some(Instant::now() + timeout);
                self.begun.notify_one();
            }
        } else if matches!(next.phase, Phase::Ending(_)) {
            timed.deadline = Some(Instant::now() + RETRY_INTERVAL);
            self.begun.notify_one();
        } else {
            timed.deadline = None;
        }
        timed.state = Some(next);
    }

    fn entries(&self) -> Vec<(String, Arc<Entry>)> {
        lock(&self.ids).iter().map(|(id, entry)| (id.clone(), Arc::clone(entry))).collect()
    }

    fn entry(&self, id: &str) -> Result<Arc<Entry>, ErrorCode> {
        lock(&self.ids).get(id).cloned().ok_or(ErrorCode::InvalidProducerIdMapping)
    }

    async fn entry_or_new(&self, id: &str) -> Result<Arc<Entry>, ErrorCode> {
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(ErrorCode::InvalidRequest);
        }
        if let Ok(entry) = self.entry(id) {
            return Ok(entry);
        }
        if lock(&self.ids).len() >= MAX_IDS {
            self.forget_the_quietest().await?;
        }
        Ok(Arc::clone(lock(&self.ids).entry(id.to_owned()).or_insert_with(|| Timed::entry(None))))
    }

    /// Forgets the tenth of the transactional ids that have been idle the longest.
    async fn forget_the_quietest(&self) -> Result<(), ErrorCode> {
        let mut idle = Vec::new();
        for (id, entry) in self.entries() {
            // One that is locked is in use.
            let Ok(timed) = entry.try_lock() else { continue };
            match &timed.state {
                None => idle.push((0, id)),
                Some(state) if matches!(state.phase, Phase::Idle(_)) => idle.push((state.changed_at, id)),
                Some(_) => {}
            }
        }
        idle.sort();
        for (_, id) in idle.into_iter().take(MAX_IDS / 10) {
            self.store.change(Change::ForgetTransaction { id: id.clone() }).await?;
            lock(&self.ids).remove(&id);
        }
        Ok(())
    }
}

fn check_writer(
    writers: &HashMap<i64, Writer>,
    producer: Producer,
    topic: &str,
    number: i32,
) -> Result<(), ErrorCode> {
    let writer = writers.get(&producer.id).ok_or(ErrorCode::InvalidTxnState)?;
    if writer.epoch != producer.epoch {
        return Err(ErrorCode::InvalidProducerEpoch);
    }
    let has = writer.partitions.contains(&(topic.to_owned(), number));
    if has { Ok(()) } else { Err(ErrorCode::InvalidTxnState) }
}

/// Appends the marker of a transaction's end to partitions, and waits until it is on disk. An error in one does not keep the others from
/// getting it.
async fn mark(partitions: Vec<Arc<Partition>>, producer: Producer, end: End) -> Result<(), ErrorCode> {
    let append = move || {
        let append = |partition: Arc<Partition>| {
            let commit = end == End::Commit;
            let marked = partition.end_transaction(producer.id, producer.epoch, commit, COORDINATOR_EPOCH);
            marked.map(|appended| (partition, appended))
        };
        partitions.into_iter().map(append).collect::<Vec<_>>()
    };
    let failed = |_| ErrorCode::UnknownServerError;
    let mut outcome = Ok(());
    for marked in tokio::task::spawn_blocking(append).await.map_err(failed)? {
        let safe = match marked {
            Ok((partition, appended)) => partition.wait_until_safe(appended).await,
            Err(error) => Err(error),
        };
        match safe {
            // The topic was deleted in the meantime, or a later epoch has already ended the transaction there.
            Ok(()) | Err(ErrorCode::UnknownTopicOrPartition | ErrorCode::InvalidProducerEpoch) => {}
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

/// A random id. There are so many that none occurs twice.
pub(crate) fn new_producer_id() -> i64 {
    rand::random::<i64>() & i64::MAX
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
