//! Who loads a topic: one server at a time, also when one is frozen and goes on later.
//!
//! The lease is kept in ClickHouse, where what it protects is. Table `loader_leases` has the *generations* of each topic. The
//! highest one may change something; all others are refused by ClickHouse itself. So nothing depends on clocks, nor on what a server
//! believes of itself.
//!
//! **Claiming.** A server reads the number that comes next, inserts it with a token that names it, and reads who has it. ClickHouse
//! stores one of several rows with the same token, so one server wins. Who loses looks again. A killed engine can have the token and
//! not the row: then nobody has that number, and the next one is taken. An older token can be evicted from the window (10,000
//! claims later) and its number be stored twice: then it counts for nobody, see [`Candidate::claim`].
//!
//! **When.** A lease that was released, or that this server held before, is claimed at once: the lock on the data directory proves that
//! the earlier process is dead. Another server's lease is claimed when its beat has not changed for [`TAKE_OVER_AFTER`]. That time is
//! the sum of intervals between successful reads, each counted with at most [`MAX_INTERVAL`]: while ClickHouse or this server
//! stands still, no time passes. A wrong guess costs a pause, not rows.
//!
//! **Fencing.** Blocks go through an [`inbox`](super::inbox), whose view compares the generation with the highest one when the
//! whole block has arrived, right before it is written. Statements without data compare it in their `WHERE`. Deletions have it in their
//! condition and delete nothing if it is not the highest any more. What fails so is [`LoaderError::TakenOver`].
//!
//! **Why that is enough.** A statement of an earlier holder either looks after the claim, and is refused, or has looked before it and
//! may write a moment after it. [`Lease::stop_earlier`] ends those before the new holder reads the ledger:
//! - notes of chunks, `noted` or `done`: the new holder waits until they have ended, so it reads every note that counts.
//! - blocks: they belong to a chunk that was noted before they were sent. The new holder sees the note and loads the same offsets with
//!   the same token. Whichever of the two ClickHouse writes first, it drops the other: a token is noted and its part made visible
//!   under one lock of the table. (An engine that is killed between the two loses the rows: [`super::mending`].)
//! - sums added to hours, deletions and repairs: these are not idempotent. The new holder stops them and waits until none runs.
//!
//! Of a block whose sender froze half-way, the rest has not arrived, so that ClickHouse has not looked yet: it is refused if the rest ever
//! comes. Such an insert cannot be stopped while it waits. Therefore inserts of blocks are waited for [`BLOCKS_PATIENCE`] only; all
//! others until they have ended.
//!
//! Each session of a loader claims a new generation, also after an error of its own: what was given up, because its answer was
//! late, is then an earlier holder's statement, and cannot arrive after all.

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
use super::run::LoaderState;
use crate::warehouse::client::{Warehouse, WarehouseError, in_time};
use crate::warehouse::row_binary::write_text;

/// How long a holder's beat must be the same before another server takes the topic over.
const TAKE_OVER_AFTER: Duration = Duration::from_secs(9);

/// Between two looks of a server that waits.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The longest time that may pass between two looks and be counted.
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// Between two beats of the holder.
const BEAT_INTERVAL: Duration = Duration::from_secs(2);

/// How long a small statement may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long inserts of blocks of an earlier holder are waited for: see above.
const BLOCKS_PATIENCE: Duration = Duration::from_secs(2);

/// How long statements of an earlier holder may take to end before the whole is tried again.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at them.
const STOP_INTERVAL: Duration = Duration::from_millis(100);

/// What the queries of all repairs are known by in ClickHouse.
pub(crate) const REPAIR_TAG: &str = "roundhouse repair ";

const INSERT: &str = "INSERT INTO loader_leases (generation, topic, owner, process) FORMAT RowBinary";

/// Who holds the lease of a topic, as far as this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holder {
    #[default]
    Unknown,
    /// Not this process, which has no loader. Others may.
    Nobody,
    /// This process, with this generation.
    Us(u32),
    /// Another server, by the UUID in its data directory.
    Other(Uuid),
}

/// Who holds the lease of one topic: shared between the loader and the repair.
#[derive(Clone, Debug, Default)]
pub struct Tenure(watch::Sender<Holder>);

impl Tenure {
    pub fn holder(&self) -> Holder {
        *self.0.borrow()
    }

    /// Of a process without a loader.
    pub fn none() -> Self {
        Self(watch::Sender::new(Holder::Nobody))
    }

    /// The generation with which this process may change what is loaded.
    pub fn generation(&self) -> Option<u32> {
        match self.holder() {
            Holder::Us(generation) => Some(generation),
            Holder::Unknown | Holder::Nobody | Holder::Other(_) => None,
        }
    }

    /// Waits, within bounds, until it is known who holds the lease.
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
    /// The number that the next lease of any topic gets.
    next: u32,
    /// 0: the topic never had a holder.
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
    /// The server, from one start to the next.
    pub owner: Uuid,
    /// This run of it.
    pub process: Uuid,
    pub tenure: Tenure,
}

/// For how long a holder has given no sign of life.
#[derive(Debug, Default)]
struct Silence {
    /// Generation and beat.
    last: Option<(u32, u64)>,
    looked_at: Option<Instant>,
    silent_for: Duration,
}

impl Silence {
    /// Takes what was seen at a moment; returns for how long it has been the same.
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
    /// Works while this server holds the lease, and waits while another one does, until `stop`. `work` gets the lease and a token that is
    /// cancelled when it must end; it may end by itself, and is then begun again under a new lease.
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
            tracing::warn!(topic = self.topic, %error, "loading is interrupted");
            state.send_replace(LoaderState::Waiting(error.to_string()));
            if matches!(error, LoaderError::TakenOver) {
                continue;
            }
            failures = if started.elapsed() > Duration::from_secs(30) { 0 } else { failures + 1 };
            super::run::pause(failures, stop).await;
        }
    }

    /// Waits for the lease, and works under it once.
    async fn term<W>(
        &self,
        state: &watch::Sender<LoaderState>,
        stop: &CancellationToken,
        work: &mut impl FnMut(Lease, CancellationToken) -> W,
    ) -> Result<(), LoaderError>
    where
        W: Future<Output = Result<(), LoaderError>>,
    {
        let Some(lease) = self.wait(state, stop).await? else { return Ok(()) };
        // Only what is cancelled with `stop` releases the lease: after an error this server is the first to try again.
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

    /// Waits until this server has the lease; none if it must stop before.
    async fn wait(
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
                        tracing::warn!(topic = self.topic, from = %last.owner, "the loader of this topic is silent: taking it over");
                    }
                    let is_ours = last.process == self.process.to_string();
                    if is_ours {
                        // A repair of this process goes on, under the new generation.
                        self.tenure.set(Holder::Us(lease.generation));
                    }
                    lease.stop_earlier(is_ours).await?;
                    // Only now may a repair begin: it would be stopped with those of earlier processes.
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
        let query = self.warehouse.query(include_str!("../../queries/loader/lease.sql"));
        Ok(in_time(TIMEOUT, query.param("topic", &self.topic).fetch_one()).await?)
    }

    /// Tries to follow the last lease; none if another server was faster.
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
            let inserted = self.warehouse.insert_block(INSERT, &token, "", Bytes::from(row));
            in_time(TIMEOUT, inserted).await?;
            let query = self.warehouse.query(include_str!("../../queries/loader/lease_of_generation.sql"));
            let taken: Vec<Taken> =
                in_time(TIMEOUT, query.param("generation", generation).fetch_all()).await?;
            match taken.as_slice() {
                [taken] if taken.topic == self.topic && taken.process == self.process.to_string() => {
                    return Ok(Some(Lease { candidate: self.clone(), generation }));
                }
                [_] => return Ok(None),
                // The token is there and the row is not; or the number is there twice, and counts for nobody.
                _ => generation += 1,
            }
        }
    }
}

/// The right to load a topic, until ClickHouse says otherwise.
#[derive(Clone, Debug)]
pub struct Lease {
    candidate: Candidate,
    pub(super) generation: u32,
}

/// What a statement does, as far as stopping it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It inserts what is sent with it.
    Block,
    /// It works on what is stored.
    Change,
}

impl Lease {
    pub(super) fn warehouse(&self) -> &Warehouse {
        &self.candidate.warehouse
    }

    pub(super) fn topic(&self) -> &str {
        &self.candidate.topic
    }

    /// What the statements of a kind are known by in ClickHouse, those of all holders.
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

    /// A statement that changes something: it has `{generation:UInt32}` in it.
    pub(super) fn change(&self, sql: &str) -> Query {
        let query = self.warehouse().query(sql).with_setting("log_comment", self.tag(Kind::Change));
        query.param("generation", self.generation)
    }

    /// Inserts a block through an inbox, under a token: see [`Warehouse::insert_block`].
    pub(super) async fn insert_block(&self, sql: &str, token: &str, block: Bytes) -> Result<(), LoaderError> {
        Ok(self.warehouse().insert_block(sql, token, &self.tag(Kind::Block), block).await?)
    }

    /// Inserts rows through an inbox that need no token.
    pub(super) async fn insert_rows(
        &self,
        sql: &str,
        pieces: impl Iterator<Item = Bytes>,
    ) -> Result<(), LoaderError> {
        Ok(self.warehouse().insert_tagged(sql, &self.tag(Kind::Block), pieces).await?)
    }

    /// Ends what earlier holders have begun: see the module. `is_ours`: the earlier one was this process, whose repairs go on.
    async fn stop_earlier(&self, is_ours: bool) -> Result<(), LoaderError> {
        let (blocks, changes) = (self.tags(Kind::Block), self.tags(Kind::Change));
        let started = Instant::now();
        loop {
            let mut running = self.stop(&changes, &self.tag(Kind::Change)).await?;
            if !is_ours {
                running += self.stop(REPAIR_TAG, "").await?;
            }
            running += self.running_mutations().await?;
            let blocks = self.stop(&blocks, &self.tag(Kind::Block)).await?;
            if running == 0 && (blocks == 0 || started.elapsed() > BLOCKS_PATIENCE) {
                return Ok(());
            }
            if started.elapsed() > STOP_PATIENCE {
                return Err(WarehouseError::TimedOut.into());
            }
            tokio::time::sleep(STOP_INTERVAL).await;
        }
    }

    /// Tells statements to stop; returns how many still run.
    async fn stop(&self, kind: &str, own: &str) -> Result<u64, LoaderError> {
        let query = |sql| self.warehouse().query(sql).param("kind", kind).param("own", own);
        let running = query(include_str!("../../queries/loader/running_statements.sql"));
        let running = in_time(TIMEOUT, running.fetch_one()).await?;
        if running > 0 {
            let kill = query(include_str!("../../queries/loader/kill_statements.sql"));
            in_time(TIMEOUT, kill.execute()).await?;
        }
        Ok(running)
    }

    async fn running_mutations(&self) -> Result<u64, LoaderError> {
        let running = self.warehouse().query(include_str!("../../queries/loader/running_mutations.sql"));
        Ok(in_time(TIMEOUT, running.fetch_one()).await?)
    }

    /// Gives signs of life until the task is aborted; cancels `end` when the lease was taken over.
    fn beat_until_lost(self, end: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(async move {
            for beat in 1.. {
                match self.beat(beat, false).await {
                    Err(LoaderError::TakenOver) => return end.cancel(),
                    Err(error) => {
                        tracing::debug!(topic = self.topic(), %error, "a sign of life was not stored")
                    }
                    Ok(()) => {}
                }
                tokio::time::sleep(BEAT_INTERVAL).await;
            }
        })
    }

    async fn beat(&self, beat: u64, released: bool) -> Result<(), LoaderError> {
        let query = self.change(include_str!("../../queries/loader/beat.sql"));
        Ok(in_time(TIMEOUT, query.param("beat", beat).param("released", released).execute()).await?)
    }

    /// Lets another server have the topic at once.
    async fn release(&self) {
        if let Err(error) = self.beat(u64::MAX, true).await {
            tracing::debug!(topic = self.topic(), %error, "the lease was not released");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_silent_for_as_long_as_its_beat_was_seen_to_be_the_same() {
        let (mut silence, start) = (Silence::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(silence.see((1, 5), at(0)), Duration::ZERO);
        assert_eq!(silence.see((1, 5), at(600)), Duration::from_millis(600));
        // Whoever stood still meanwhile, this server or ClickHouse: it is not the holder's silence.
        assert_eq!(silence.see((1, 5), at(60_600)), Duration::from_millis(600) + MAX_INTERVAL);
        assert_eq!(silence.see((1, 6), at(60_700)), Duration::ZERO);
        assert_eq!(silence.see((1, 6), at(61_000)), Duration::from_millis(300));
        assert_eq!(silence.see((2, 6), at(61_100)), Duration::ZERO);
    }
}
