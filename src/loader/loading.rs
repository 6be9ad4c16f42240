//! The stages of a batch: gathered, prepared, inserted, compared, done. Each consumes the one before, so none can be left out.

use bytes::Bytes;

use super::batch::{Batch, rounds_inbox};
use super::chunk::{Chunk, Origin, Table};
use super::content::{Content, Stored, TopicKind};
use super::gate::Gate;
use super::inbox::create_missing;
use super::lease::Lease;
use super::ledger::{ChunkState, Ledger};
use super::mending::ChunkRows;
use super::needs::Loader;
use super::{LoaderError, gaps, rejects, repeats};

/// What batches are loaded with, and under which lease.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) lease: Lease,
    pub(super) ledger: Ledger,
    pub(super) epoch: u32,
    gate: Gate,
    /// The columns of a round. None for a topic of rejects.
    stored: Option<Stored>,
    insert_rounds: String,
    insert_rejects: String,
}

/// A batch of which nothing is written yet.
#[derive(Debug)]
pub(super) struct Gathered(pub(super) Batch);

/// A batch whose chunks are noted in the ledger. A crash from here on makes the next session read the same offsets again.
#[derive(Debug)]
pub(super) struct Prepared {
    batch: Batch,
    /// The block for `game_rounds`, in pieces.
    rounds: Vec<Bytes>,
}

/// A batch whose rows are in their tables and in their hours.
#[derive(Debug)]
pub(super) struct Inserted(Batch);

/// A batch whose repeats are recognized as duplicates or conflicts, and counted.
#[derive(Debug)]
pub(super) struct Compared(Batch);

/// A batch whose chunks are done in the ledger: its offsets need not be read again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// The next offset of each partition.
    pub(super) next: Vec<(u16, i64)>,
}

/// Creates the inboxes that do not exist.
pub(super) async fn create_inboxes(loader: &Loader) -> Result<(), LoaderError> {
    let mut inboxes = vec![Ledger::inbox(), rejects::inbox(), gaps::inbox()];
    if let TopicKind::Rounds(columns) = &loader.kind {
        inboxes.extend([rounds_inbox(columns), repeats::conflicts_inbox(columns), repeats::counts_inbox()]);
    }
    create_missing(&loader.warehouse, &inboxes).await
}

impl Target {
    pub(super) fn new(lease: &Lease, epoch: u32, gate: &Gate, content: &Content) -> Self {
        let stored = content.stored().cloned();
        Self {
            ledger: Ledger::new(lease),
            lease: lease.clone(),
            epoch,
            gate: gate.clone(),
            insert_rounds: stored
                .as_ref()
                .map_or_else(String::new, |stored| rounds_inbox(&stored.columns).insert_native()),
            insert_rejects: rejects::inbox().insert(),
            stored,
        }
    }

    pub(super) fn origin(&self) -> Origin<'_> {
        Origin { topic: self.lease.topic(), epoch: self.epoch, generation: self.lease.generation }
    }

    /// Loads a batch: all stages, one after the other. Waits while a repair of hours runs.
    ///
    /// # Errors
    /// A service does not answer, or the lease was taken over.
    pub(super) async fn load(&self, batch: Batch) -> Result<Done, LoaderError> {
        let _loading = self.gate.wait_to_load().await;
        let prepared = Gathered(batch).prepare(self).await?;
        prepared.insert(self).await?.compare(self).await?.finish(self).await
    }

    pub(super) fn rows_of<'a>(&'a self, chunk: &'a Chunk) -> ChunkRows<'a> {
        ChunkRows { lease: &self.lease, origin: self.origin(), chunk }
    }
}

impl Gathered {
    /// Turns repeats of deleted rounds into new ones, and notes the chunks in the ledger.
    pub(super) async fn prepare(mut self, target: &Target) -> Result<Prepared, LoaderError> {
        if let Some(stored) = &target.stored {
            repeats::bring_back(&target.lease, stored, target.epoch, &mut self.0).await?;
        }
        target.ledger.write(target.epoch, self.0.chunks.iter(), ChunkState::Noted).await?;
        Ok(Prepared::of(self.0))
    }

    /// For a batch that an earlier session has prepared.
    pub(super) fn noted_before(self) -> Prepared {
        Prepared::of(self.0)
    }
}

impl Prepared {
    fn of(mut batch: Batch) -> Self {
        let rounds = std::mem::take(&mut batch.rounds).into_pieces();
        Self { batch, rounds }
    }

    /// Inserts the rows. The hours of recounted rounds become the sums of their rounds.
    pub(super) async fn insert(self, target: &Target) -> Result<Inserted, LoaderError> {
        let token = self.batch.token(&target.origin());
        for table in self.tables() {
            self.insert_into(table, target, &token).await?;
        }
        for chunk in self.batch.chunks.iter().filter(|chunk| chunk.recounted > 0) {
            target.rows_of(chunk).recount_hours().await?;
        }
        Ok(Inserted(self.batch))
    }

    /// Inserts the rows of a batch that an earlier session may have inserted, completely or in part: see [`super::mending`].
    pub(super) async fn insert_again(self, target: &Target) -> Result<Inserted, LoaderError> {
        let token = self.batch.token(&target.origin());
        for table in self.tables() {
            self.insert_into(table, target, &token).await?;
            self.complete(table, target, &token).await?;
        }
        if target.stored.is_some() {
            // Only after all inserts, because chunks share hours.
            for chunk in &self.batch.chunks {
                target.rows_of(chunk).mend_hours().await?;
            }
        }
        Ok(Inserted(self.batch))
    }

    /// Returns the tables that get rows.
    fn tables(&self) -> impl Iterator<Item = Table> + use<> {
        let rounds = (!self.rounds.is_empty()).then_some(Table::Rounds);
        rounds.into_iter().chain((!self.batch.rejects.is_empty()).then_some(Table::Rejects))
    }

    async fn insert_into(&self, table: Table, target: &Target, token: &str) -> Result<(), LoaderError> {
        match table {
            Table::Rounds => {
                target.lease.insert_block(&target.insert_rounds, token, self.rounds.iter().cloned()).await
            }
            Table::Rejects => {
                target.lease.insert_block(&target.insert_rejects, token, [self.batch.rejects.clone()]).await
            }
        }
    }

    /// Makes sure that a table has each row of the batch once. If not, deletes the batch's rows and inserts them under another token. Rows
    /// are missing if only the token survived, and stored twice if an earlier release used another token.
    async fn complete(&self, table: Table, target: &Target, token: &str) -> Result<(), LoaderError> {
        let mut is_whole = true;
        for chunk in &self.batch.chunks {
            let rows = chunk.rows(table, target.stored.is_none());
            let is_there = target.rows_of(chunk).is_whole(table, rows).await?;
            if !is_there {
                target.rows_of(chunk).log_lost(table, rows);
            }
            is_whole &= is_there;
        }
        if is_whole {
            return Ok(());
        }
        for chunk in &self.batch.chunks {
            target.rows_of(chunk).delete(table).await?;
        }
        self.insert_into(table, target, &format!("{token}:{}", uuid::Uuid::now_v7())).await
    }
}

impl Inserted {
    /// Separates conflicts from duplicates, and writes the counts of each upload's rows.
    pub(super) async fn compare(mut self, target: &Target) -> Result<Compared, LoaderError> {
        if let Some(stored) = &target.stored {
            repeats::judge(target.lease.warehouse(), stored, &mut self.0.chunks).await?;
            repeats::write(&target.lease, stored, target.epoch, &self.0.chunks).await?;
        }
        Ok(Compared(self.0))
    }
}

impl Compared {
    /// Marks the chunks as done in the ledger.
    pub(super) async fn finish(self, target: &Target) -> Result<Done, LoaderError> {
        let chunks = &self.0.chunks;
        target.ledger.write(target.epoch, chunks.iter(), ChunkState::Done).await?;
        let rows: u64 = chunks.iter().map(|chunk| chunk.new).sum();
        tracing::debug!(topic = target.lease.topic(), rows, chunks = chunks.len(), "loaded");
        Ok(Done { next: self.0.next_offsets().collect() })
    }
}
