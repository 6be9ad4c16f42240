//! The lease of a topic: one server at a time loads it, even if a server freezes and continues later.
//!
//! The lease is kept in ClickHouse, next to the data that it protects. Table `loader_leases` has the *generations* of each topic. Only
//! the holder of the highest generation may change data; ClickHouse itself refuses all others. So nothing depends on clocks, nor on what
//! a server believes about itself.
//!
//! **Claiming.** A server reads the next free number, inserts it with a token that names the number, and reads who got it. Of several
//! rows with the same token ClickHouse stores one, so one server wins. The others read again. A killed engine may have stored the
//! token without the row. Then nobody has that number, and the next one is used. After 10,000 claims a token leaves ClickHouse's
//! deduplication window, and its number could be stored twice. Such a number is not valid for anyone: see [`Candidate::claim`].
//!
//! **When.** A server claims a lease at once if the lease was released, or if this server held it before: the lock on the data directory
//! proves that the earlier process is dead. It claims another server's lease if that server's beat has not changed for
//! [`TAKE_OVER_AFTER`]. That time is the sum of the intervals between successful reads, and each counts at most [`MAX_INTERVAL`]. So no
//! time passes while ClickHouse or this server is stopped. A wrong decision costs a pause, but no rows.
//!
//! **Fencing.** Blocks go through an [`inbox`](super::inbox). Its view compares the generation with the highest one when the whole block
//! has arrived, right before it is written. Statements without data compare it in their `WHERE`. Deletions have it in their condition
//! and delete nothing if it is no longer the highest. A refused statement is [`LoaderError::TakenOver`].
//!
//! **Why that is enough.** A statement of an earlier holder makes its check either after the claim, and is refused, or before it, and
//! may then write a moment after it. [`Lease::stop_earlier`] stops the latter before the new holder reads the ledger:
//! - Notes of chunks, `noted` or `done`: the new holder waits until they have ended. So it reads every note that is valid.
//! - Blocks: their chunk was noted before they were sent. The new holder reads the note and loads the same offsets with the same token.
//!   ClickHouse keeps the block that it writes first and drops the other: it stores a token and makes its part visible under one lock of
//!   the table. (If the engine is killed between the two, the rows are lost: [`super::mending`].)
//! - Amounts added to hours, deletions and repairs: these are not idempotent. The new holder stops them and waits until none runs.
//!
//! If a sender freezes in the middle of a block, ClickHouse has not made its check yet, and refuses the block if the rest ever arrives.
//! Such an insert cannot be stopped while it waits for data. Therefore the new holder waits only [`BLOCKS_PATIENCE`] for inserts of
//! blocks, but waits for all other statements until they have ended.
//!
//! Each session of a loader claims a new generation, also after an error of its own. If a session gave up on a statement because the
//! answer was late, that statement then belongs to an earlier holder and can no longer write.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::LoaderError;
use super::retry::wait_before_retry;
use super::state::LoaderState;
use crate::warehouse::client::{Warehouse, WarehouseError, in_time};
use crate::warehouse::row_binary::write_text;
use crate::warehouse::statements;

/// How long a holder's beat must stay the same before another server takes the topic over.
const TAKE_OVER_AFTER: Duration = Duration::from_secs(9);

/// Time between two reads of the lease by a waiting server.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The most that one interval between two reads counts.
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two beats of the holder.
const BEAT_INTERVAL: Duration = Duration::from_secs(2);

/// How long a small statement may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for an earlier holder's inserts of blocks: see above.
const BLOCKS_PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait for an earlier holder's statements to end before the claim fails and is retried.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Time between two checks whether they have ended.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// How the `log_comment` of every repair's queries begins.
pub(crate) const REPAIR_TAG: &str = "roundhouse repair ";

/// The condition that lets only the holder of the lease run a statement.
pub(crate) const FENCE: &str = include_str!("../../queries/engine/loader/fence.sql");

const INSERT: &str = "INSERT INTO loader_leases (generation, topic, owner, process) FORMAT RowBinary";

/// Who holds the lease of a topic, as far as this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holder {
    #[default]
    Unknown,
    /// Not this process, which has no loader. Another server may hold it.
    Nobody,
    /// This process, with this generation.
    Us(u32),
    /// Another server, identified by the UUID in its data directory.
    Other(Uuid),
}

/// Who holds the lease of one topic. The loader and the repair share it.
#[derive(Clone, Debug, Default)]
pub struct Tenure(watch::Sender<Holder>);

impl Tenure {
    pub fn holder(&self) -> Holder {
        *self.0.borrow()
    }

    /// For a process without a loader.
    pub fn none() -> Self {
        Self(watch::Sender::new(Holder::Nobody))
    }

    /// Returns the generation with which this process may change loaded data.
    pub fn generation(&self) -> Option<u32> {
        match self.holder() {
            Holder::Us(generation) => Some(generation),
            Holder::Unknown | Holder::Nobody | Holder::Other(_) => None,
        }
    }

    /// Waits up to `patience` until it is known who holds the lease.
    pub async fn wait_until_known(&self, patience: Duration) -> Holder {
        let mut holder = self.0.subscribe();
        let known = holder.wait_for(|holder| *holder != Holder::Unknown);
        match tokio::time::timeout(patience, known).await {
            Ok(Ok(holder)) => *holder,
            Ok(Err(_)) | Err(_) => Holder::Unknown,
        }
    }

    fn set(&self, holder: Holder) {
        self.0.send_replace(holder);
    }
}

/// The last lease of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
struct LastLease {
    /// The number for the next lease of any topic.
    next: u32,
    /// 0 if the topic never had a holder.
    generation: u32,
    owner: String,
    process: String,
    beat: u64,
    released: bool,
}

/// A server that wants to load a topic.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub warehouse: Warehouse,
    pub topic: String,
    /// The server's UUID, the same after a restart.
    pub owner: Uuid,
    /// The UUID of this run.
    pub process: Uuid,
    pub tenure: Tenure,
}

/// How long a holder's beat has not changed.
#[derive(Debug, Default)]
struct Silence {
    /// Generation and beat.
    last: Option<(u32, u64)>,
    looked_at: Option<Instant>,
    silent_for: Duration,
}

impl Silence {
    /// Adds an observation. Returns how long it has been the same.
    fn see(&mut self, seen: (u32, u64), now: Instant) -> Duration {
        let since = self.looked_at.replace(now).map_or(Duration::ZERO, |at| now.duration_since(at));
        if self.last.replace(seen) == Some(seen) {
            self.silent_for += since.min(MAX_INTERVAL);
        } else {
            self.silent_for = Duration::ZERO;
        }
        self.silent_for
    }
}

impl Candidate {
    /// Runs `work` while this server holds the lease, and waits while another server holds it, until `stop`. `work` gets the lease and a
    /// token that is cancelled when it must end. It may also end by itself; it then starts again under a new lease.
    pub(super) async fn run<W>(
        &self,
        state: &watch::Sender<LoaderState>,
        stop: &CancellationToken,
        mut work: impl FnMut(Lease, CancellationToken) -> W,
    ) where
        W: Future<Output = Result<(), LoaderError>>,
    {
        let mut failures = 0;
        while !stop.is_cancelled() {
            let started = Instant::now();
            let error = match self.term(state, stop, &mut work).await {
                Ok(()) => {
                    failures = 0;
                    continue;
                }
                Err(error) => error,
            };
            tracing::warn!(topic = self.topic, %error, "loading was interrupted; retrying");
            state.send_replace(LoaderState::Waiting(error.to_string()));
            if matches!(error, LoaderError::TakenOver) {
                continue;
            }
            failures = if started.elapsed() > Duration::from_secs(30) { 0 } else { failures + 1 };
            wait_before_retry(failures, stop).await;
        }
    }

    /// Waits for the lease, and runs `work` under it once.
    async fn term<W>(
        &self,
        state: &watch::Sender<LoaderState>,
        stop: &CancellationToken,
        work: &mut impl FnMut(Lease, CancellationToken) -> W,
    ) -> Result<(), LoaderError>
    where
        W: Future<Output = Result<(), LoaderError>>,
    {
        let Some(lease) = self.wait_for_lease(state, stop).await? else { return Ok(()) };
        // The lease is released only on `stop`. After an error this server keeps it and retries first.
        let end = stop.child_token();
        let beating = lease.clone().beat_until_lost(end.clone());
        let worked = work(lease.clone(), end.clone()).await;
        beating.abort();
        let is_lost = end.is_cancelled() && !stop.is_cancelled();
        if stop.is_cancelled() && !matches!(worked, Err(LoaderError::TakenOver)) {
            lease.release().await;
        }
        if stop.is_cancelled() || is_lost || matches!(worked, Err(LoaderError::TakenOver)) {
            self.tenure.set(Holder::Unknown);
        }
        match worked {
            Ok(()) if is_lost => Err(LoaderError::TakenOver),
            worked => worked,
        }
    }

    /// Waits until this server has the lease. Returns none if it must stop before.
    async fn wait_for_lease(
        &self,
        state: &watch::Sender<LoaderState>,
        stop: &CancellationToken,
    ) -> Result<Option<Lease>, LoaderError> {
        let mut silence = Silence::default();
        while !stop.is_cancelled() {
            let last = self.last().await?;
            let silent_for = silence.see((last.generation, last.beat), Instant::now());
            let is_free = last.generation == 0 || last.released || last.owner == self.owner.to_string();
            if is_free || silent_for >= TAKE_OVER_AFTER {
                if let Some(lease) = self.claim(&last).await? {
                    if !is_free {
                        tracing::warn!(
                            topic = self.topic,
                            from = %last.owner,
                            "the loader of this topic gives no sign of life; taking the topic over"
                        );
                    }
                    let is_ours = last.process == self.process.to_string();
                    if is_ours {
                        // A repair of this process continues under the new generation.
                        self.tenure.set(Holder::Us(lease.generation));
                    }
                    lease.stop_earlier(is_ours).await?;
                    // Repairs may begin only now: an earlier one would be stopped with those of earlier processes.
                    self.tenure.set(Holder::Us(lease.generation));
                    return Ok(Some(lease));
                }
                continue;
            }
            let owner = Uuid::try_parse(&last.owner).unwrap_or_default();
            self.tenure.set(Holder::Other(owner));
            state.send_if_modified(|state| {
                let standby = LoaderState::Standby { owner };
                let changed = *state != standby;
                *state = standby;
                changed
            });
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(None)
    }

    async fn last(&self) -> Result<LastLease, LoaderError> {
        let query = self.warehouse.query(include_str!("../../queries/engine/loader/lease.sql"));
        Ok(in_time(TIMEOUT, query.param("topic", &self.topic).fetch_one()).await?)
    }

    /// Tries to claim the lease after `last`. Returns none if another server was faster.
    async fn claim(&self, last: &LastLease) -> Result<Option<Lease>, LoaderError> {
        #[derive(Row, Deserialize)]
        struct Taken {
            topic: String,
            process: String,
        }
        let mut generation = last.next;
        loop {
            let mut row = Vec::from(generation.to_le_bytes());
            write_text(self.topic.as_bytes(), &mut row);
            for id in [self.owner, self.process] {
                write_text(id.to_string().as_bytes(), &mut row);
            }
            let token = format!("lease:{generation}");
            let inserted = self.warehouse.insert_block(INSERT, &token, "", [Bytes::from(row)]);
            in_time(TIMEOUT, inserted).await?;
            let query =
                self.warehouse.query(include_str!("../../queries/engine/loader/lease_of_generation.sql"));
            let taken: Vec<Taken> =
                in_time(TIMEOUT, query.param("generation", generation).fetch_all()).await?;
            match taken.as_slice() {
                [taken] if taken.topic == self.topic && taken.process == self.process.to_string() => {
                    return Ok(Some(Lease { candidate: self.clone(), generation }));
                }
                [_] => return Ok(None),
                // The token is stored without its row, or the number is stored twice and valid for nobody.
                _ => generation += 1,
            }
        }
    }
}

/// The right to load a topic, valid until ClickHouse refuses it.
#[derive(Clone, Debug)]
pub struct Lease {
    candidate: Candidate,
    pub(super) generation: u32,
}

/// How a statement of the loader can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It inserts data that the client sends.
    Block,
    /// It changes stored data.
    Change,
}

impl Lease {
    pub(super) fn warehouse(&self) -> &Warehouse {
        &self.candidate.warehouse
    }

    pub(super) fn topic(&self) -> &str {
        &self.candidate.topic
    }

    /// Returns how the `log_comment` of this kind of statement begins, for all holders of the topic.
    fn tags(&self, kind: Kind) -> String {
        let kind = match kind {
            Kind::Block => "block",
            Kind::Change => "change",
        };
        format!("roundhouse loader {} {kind} ", self.topic())
    }

    fn tag(&self, kind: Kind) -> String {
        format!("{}{}", self.tags(kind), self.generation)
    }

    /// Builds a statement that changes data. Its SQL must contain `/* fence */`, which is replaced by [`FENCE`], or compare `{generation:UInt32}`
    /// itself.
    pub(super) fn change(&self, sql: &str) -> Query {
        let sql = sql.replace("/* fence */", FENCE);
        let query = self.warehouse().query(&sql).with_setting("log_comment", self.tag(Kind::Change));
        query.param("generation", self.generation)
    }

    /// Inserts a block through an inbox with a deduplication token: see [`Warehouse::insert_block`].
    pub(super) async fn insert_block(
        &self,
        sql: &str,
        token: &str,
        block: impl IntoIterator<Item = Bytes>,
    ) -> Result<(), LoaderError> {
        Ok(self.warehouse().insert_block(sql, token, &self.tag(Kind::Block), block).await?)
    }

    /// Inserts rows that need no token through an inbox.
    pub(super) async fn insert_rows(
        &self,
        sql: &str,
        pieces: impl Iterator<Item = Bytes>,
    ) -> Result<(), LoaderError> {
        Ok(self.warehouse().insert_tagged(sql, &self.tag(Kind::Block), pieces).await?)
    }

    /// Stops the statements of earlier holders: see the module. `is_ours`: the earlier holder was this process, whose repairs continue.
    async fn stop_earlier(&self, is_ours: bool) -> Result<(), LoaderError> {
        let (blocks, changes) = (self.tags(Kind::Block), self.tags(Kind::Change));
        let started = Instant::now();
        let stop = async |kind: &str, own: &str| statements::stop(self.warehouse(), kind, own, TIMEOUT).await;
        loop {
            let mut running = stop(&changes, &self.tag(Kind::Change)).await?;
            if !is_ours {
                running += stop(REPAIR_TAG, "").await?;
            }
            running += self.running_mutations().await?;
            let blocks = stop(&blocks, &self.tag(Kind::Block)).await?;
            if running == 0 && (blocks == 0 || started.elapsed() > BLOCKS_PATIENCE) {
                return Ok(());
            }
            if started.elapsed() > STOP_PATIENCE {
                return Err(WarehouseError::TimedOut.into());
            }
            tokio::time::sleep(STOP_INTERVAL).await;
        }
    }

    async fn running_mutations(&self) -> Result<u64, LoaderError> {
        let running =
            self.warehouse().query(include_str!("../../queries/engine/loader/running_mutations.sql"));
        Ok(in_time(TIMEOUT, running.fetch_one()).await?)
    }

    /// Sends beats until the task is aborted. Cancels `end` if another server took the lease over.
    fn beat_until_lost(self, end: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            for beat in 1.. {
                match self.beat(beat, false).await {
                    Err(LoaderError::TakenOver) => return end.cancel(),
                    Err(error) => {
                        tracing::debug!(topic = self.topic(), %error, "could not store the beat of the lease")
                    }
                    Ok(()) => {}
                }
                tokio::time::sleep(BEAT_INTERVAL).await;
            }
        })
    }

    async fn beat(&self, beat: u64, released: bool) -> Result<(), LoaderError> {
        let query = self.change(include_str!("../../queries/engine/loader/beat.sql"));
        Ok(in_time(TIMEOUT, query.param("beat", beat).param("released", released).execute()).await?)
    }

    /// Releases the lease, so that another server can claim it at once.
    async fn release(&self) {
        if let Err(error) = self.beat(u64::MAX, true).await {
            tracing::debug!(topic = self.topic(), %error, "could not release the lease");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_silent_for_the_time_in_which_its_beat_was_seen_unchanged() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(silence.see((1, 5), at(0)), Duration::ZERO);
        assert_eq!(silence.see((1, 5), at(600)), Duration::from_millis(600));
        // A long gap between two reads means that this server or ClickHouse was stopped, not that the holder is silent.
        assert_eq!(silence.see((1, 5), at(60_600)), Duration::from_millis(600) + MAX_INTERVAL);
        assert_eq!(silence.see((1, 6), at(60_700)), Duration::ZERO);
        assert_eq!(silence.see((1, 6), at(61_000)), Duration::from_millis(300));
        assert_eq!(silence.see((2, 6), at(61_100)), Duration::ZERO);
    }
}
