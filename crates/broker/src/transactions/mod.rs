//! The transaction coordinator: which producer has a transactional id, what its transaction may write to, and how it ended.
//!
//! Every step is on disk, in the [`Store`], before it takes effect. A commit first stores its decision, then writes a marker to every
//! partition, then stores that it is complete, together with the offsets that consumer groups get by it. A start completes what a crash
//! interrupted. A transaction that takes longer than its timeout is aborted, and its producer is fenced.
//!
//! Limits: [`MAX_IDS`] transactional ids; beyond that, those that were idle the longest are forgotten. If too few are idle, a new one is
//! refused.

mod deadlines;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roundhouse_part::lock::{self, lock};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use uuid::Uuid;

use self::deadlines::Deadlines;
use crate::error_code::ErrorCode;
use crate::log::{Log, Partition};
use crate::store::{
    Change, Committed, End, MAX_TIMEOUT_MS, PartitionId, Phase, Producer, Sent, Slot, Store, TopicPartition,
    Transaction,
};

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
    /// [`MAX_IDS`], except in tests.
    max_ids: usize,
    /// What the producers of ongoing transactions may write to. Locked for reading while they write.
    writers: RwLock<HashMap<i64, Writer>>,
    deadlines: Deadlines,
}

/// A transactional id. Its requests are handled one after the other.
type Entry = tokio::sync::Mutex<Timed>;

#[derive(Debug)]
struct Timed {
    /// None until a producer has started.
    state: Option<Transaction>,
    /// When the transaction must have ended. It is also in [`Transactions::deadlines`].
    deadline: Option<Instant>,
    /// Whether the id was forgotten. Who has waited for this lock must look for the id again.
    is_forgotten: bool,
}

#[derive(Debug)]
struct Writer {
    epoch: i16,
    partitions: BTreeSet<TopicPartition>,
}

impl Timed {
    fn entry(state: Option<Transaction>) -> Arc<Entry> {
        Arc::new(Entry::new(Self { state, deadline: None, is_forgotten: false }))
    }

    /// Since when there has been no transaction, in seconds since 1970. None if there is one.
    fn idle_since(&self) -> Option<u64> {
        match &self.state {
            None => Some(0),
            Some(state) => matches!(state.phase, Phase::Idle(_)).then_some(state.changed_at),
        }
    }
}

impl Transactions {
    /// Continues where the stored transactions are. [`Transactions::recover`] must be called before clients are served.
    pub fn new(log: Arc<Log>, store: Arc<Store>) -> Self {
        let entry = |(id, state)| (id, Timed::entry(Some(state)));
        let ids = store.transactions().into_iter().map(entry).collect();
        Self {
            log,
            store,
            ids: Mutex::new(ids),
            max_ids: MAX_IDS,
            writers: RwLock::default(),
            deadlines: Deadlines::default(),
        }
    }

    /// Completes transactions that were ending, gives ongoing ones their time again, and aborts what no transactional id has. What
    /// fails is tried again later, so that it affects no other client.
    pub async fn recover(&self) {
        for (id, entry) in self.entries() {
            let mut timed = entry.lock().await;
            let Some(state) = timed.state.clone() else { continue };
            match state.phase {
                Phase::Idle(_) => {}
                Phase::Ending(_) => {
                    self.take_effect(&id, &mut timed, state);
                    if let Err(error) = self.complete(&id, &mut timed).await {
                        tracing::error!(id, %error, "cannot end a transaction; trying again");
                    }
                }
                Phase::Ongoing => self.take_effect(&id, &mut timed, state),
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
            for id in self.deadlines.wait().await {
                self.end_late(&id).await;
            }
        }
    }

    /// Ends the transaction of an id if its time is up.
    async fn end_late(&self, id: &str) {
        let Ok(mut timed) = self.lock(id).await else { return };
        if timed.deadline.is_none_or(|deadline| deadline > Instant::now()) {
            return;
        }
        let retry = match self.abort(id, &mut timed).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(id, %error, "cannot end a transaction; trying again");
                Some(Instant::now() + RETRY_INTERVAL)
            }
        };
        self.set_deadline(id, &mut timed, retry);
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
        let mut timed = self.lock_or_new(id).await?;
        // Kafka does the same for an id that it does not know any more: no other producer can have it.
        let known = known.filter(|_| timed.state.is_some());
        if let (Some(known), Some(state)) = (known, &timed.state) {
            // Before the abort, which raises the epoch.
            if state.check_start(known)? {
                return Ok(state.producer);
            }
        }
        self.abort(id, &mut timed).await?;
        let next = match &timed.state {
            Some(state) => state.started(known, timeout_ms, new_producer_id()),
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

    /// Adds offsets of a group to the transaction. `send` sends the change to the store, if the client may commit for the group.
    ///
    /// # Errors
    /// See [`Transactions::add_partitions`]. Or the group was not added, or the client may not commit.
    pub async fn add_offsets(
        &self,
        id: &str,
        producer: Producer,
        group: &str,
        offsets: Vec<(PartitionId, Committed)>,
        send: impl FnOnce(Slot<'_>, Change) -> Result<Sent, ErrorCode>,
    ) -> Result<(), ErrorCode> {
        let mut timed = self.lock(id).await?;
        let state = timed.state.as_ref().ok_or(ErrorCode::InvalidProducerIdMapping)?;
        let next = state.with_offsets(producer, group, offsets)?;
        self.put_with(id, &mut timed, next, send).await
    }

    /// Commits or aborts the transaction. On return, consumers see that.
    ///
    /// # Errors
    /// Another producer has taken over, there is no transaction, or the disk failed. Then it is undecided: the client may try again.
    pub async fn end(&self, id: &str, producer: Producer, end: End) -> Result<(), ErrorCode> {
        let mut timed = self.lock(id).await?;
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
        let mut timed = self.lock(id).await?;
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
        let topics: HashSet<Uuid> = self.log.names().into_keys().collect();
        for offsets in offsets.values_mut() {
            offsets.retain(|(partition, _)| topics.contains(&partition.topic));
        }
        let offsets = offsets.into_iter().collect();
        let next = Transaction { changed_at: seconds_since_1970(), ..next };
        let change = Change::EndTransaction { id: id.to_owned(), state: next.clone(), offsets };
        self.store.change(change).await?;
        self.take_effect(id, timed, next);
        Ok(())
    }

    /// Stores a state, and lets it take effect.
    async fn put(&self, id: &str, timed: &mut Timed, next: Transaction) -> Result<(), ErrorCode> {
        self.put_with(id, timed, next, |slot, change| Ok(slot.send(change))).await
    }

    /// Stores a state if `send` sends it, and lets it take effect.
    async fn put_with(
        &self,
        id: &str,
        timed: &mut Timed,
        next: Transaction,
        send: impl FnOnce(Slot<'_>, Change) -> Result<Sent, ErrorCode>,
    ) -> Result<(), ErrorCode> {
        let next = Transaction { changed_at: seconds_since_1970(), ..next };
        let change = Change::Transaction { id: id.to_owned(), state: next.clone() };
        send(self.store.reserve().await?, change)?.wait().await?;
        self.take_effect(id, timed, next);
        Ok(())
    }

    fn take_effect(&self, id: &str, timed: &mut Timed, next: Transaction) {
        let producer = next.producer;
        let mut writers = lock::write(&self.writers);
        if let Some(before) = &timed.state {
            writers.remove(&before.producer.id);
        }
        let deadline = match next.phase {
            Phase::Ongoing => {
                let writer = Writer { epoch: producer.epoch, partitions: next.partitions.clone() };
                writers.insert(producer.id, writer);
                let timeout = Duration::from_millis(u64::from(next.timeout_ms.unsigned_abs()));
                Some(timed.deadline.unwrap_or_else(|| Instant::now() + timeout))
            }
            Phase::Ending(_) => Some(Instant::now() + RETRY_INTERVAL),
            Phase::Idle(_) => None,
        };
        drop(writers);
        self.set_deadline(id, timed, deadline);
        timed.state = Some(next);
    }

    fn set_deadline(&self, id: &str, timed: &mut Timed, deadline: Option<Instant>) {
        self.deadlines.replace(id, timed.deadline, deadline);
        timed.deadline = deadline;
    }

    fn entries(&self) -> Vec<(String, Arc<Entry>)> {
        lock(&self.ids).iter().map(|(id, entry)| (id.clone(), Arc::clone(entry))).collect()
    }

    /// Locks a transactional id, once the request before this one is complete.
    async fn lock(&self, id: &str) -> Result<OwnedMutexGuard<Timed>, ErrorCode> {
        loop {
            let entry = lock(&self.ids).get(id).cloned().ok_or(ErrorCode::InvalidProducerIdMapping)?;
            let timed = entry.lock_owned().await;
            if !timed.is_forgotten {
                return Ok(timed);
            }
        }
    }

    /// Locks a transactional id, which need not exist yet.
    async fn lock_or_new(&self, id: &str) -> Result<OwnedMutexGuard<Timed>, ErrorCode> {
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(ErrorCode::InvalidRequest);
        }
        loop {
            if !self.make_entry(id) {
                self.forget_the_quietest().await?;
                if !self.make_entry(id) {
                    // Clients try again after this error.
                    return Err(ErrorCode::CoordinatorNotAvailable);
                }
            }
            if let Ok(timed) = self.lock(id).await {
                return Ok(timed);
            }
        }
    }

    /// Makes sure that a transactional id has an entry. Returns false if there are too many.
    fn make_entry(&self, id: &str) -> bool {
        let mut ids = lock(&self.ids);
        let has_room = ids.len() < self.max_ids || ids.contains_key(id);
        if has_room {
            ids.entry(id.to_owned()).or_insert_with(|| Timed::entry(None));
        }
        has_room
    }

    /// Forgets the tenth of the transactional ids that have been idle the longest. They stay locked until that is on disk, and who waits for
    /// one of them then finds that it does not exist.
    async fn forget_the_quietest(&self) -> Result<(), ErrorCode> {
        let mut idle = Vec::new();
        for (id, entry) in self.entries() {
            // One that is locked is in use.
            let Ok(timed) = entry.try_lock() else { continue };
            idle.extend(timed.idle_since().map(|since| (since, id, Arc::clone(&entry))));
        }
        idle.sort_unstable_by(|(one, id, _), (other, other_id, _)| (one, id).cmp(&(other, other_id)));
        idle.truncate((self.max_ids / 10).max(1));
        let lock_again = |(since, id, entry): (u64, String, Arc<Entry>)| {
            let timed = entry.try_lock_owned().ok()?;
            (!timed.is_forgotten && timed.idle_since() == Some(since)).then_some((id, timed))
        };
        let (ids, mut locked): (Vec<_>, Vec<_>) = idle.into_iter().filter_map(lock_again).unzip();
        if ids.is_empty() {
            return Ok(());
        }
        self.store.change(Change::ForgetTransactions { ids: ids.clone() }).await?;
        let mut known = lock(&self.ids);
        for (id, timed) in ids.iter().zip(&mut locked) {
            timed.is_forgotten = true;
            known.remove(id);
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

#[cfg(test)]
mod tests;
