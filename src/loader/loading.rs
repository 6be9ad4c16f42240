//! The stages of a batch: gathered, prepared, inserted, compared, done. Each consumes the one before, so none can be left out.
//!
//! Each small insert costs ClickHouse as much time as thousands of rows. So the counts of an upload's rows are sent together with the
//! rows if they are known by then, and a batch that is compared is marked done together with the note of the next batch if that one has
//! been gathered.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::batch::{Batch, rows_inbox};
use super::chunk::{Chunk, Origin, Table};
use super::content::{Content, Stored, TopicKind};
use super::gate::{Gate, Passed};
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
    /// The block for the row table, in pieces.
    rounds: Vec<Bytes>,
}

/// A batch whose rows are in their tables and in their hours.
#[derive(Debug)]
pub(super) struct Inserted {
    batch: Batch,
    /// Whether the counts of each upload's rows are written.
    is_counted: bool,
}

/// A batch whose repeats are recognized as duplicates or conflicts, and counted.
#[derive(Debug)]
pub(super) struct Compared(Batch);

/// How far a batch has come.
#[derive(Debug)]
pub(super) enum Loaded {
    /// Its chunks are marked done together with the note of the next batch.
    Open(Box<Open>),
    Done(Done),
}

/// A compared batch that is left to the next one. Until it is done, no repair of hours may run.
#[derive(Debug)]
pub(super) struct Open {
    compared: Compared,
    passed: Passed,
}

/// A batch whose chunks are done in the ledger: its offsets need not be read again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    /// The next offset of each partition.
    pub(super) next: Vec<(u16, i64)>,
}

/// Creates the inboxes that do not exist.
pub(super) async fn create_inboxes(loader: &Loader) -> Result<(), LoaderError> {
    let mut inboxes = vec![Ledger::inbox(), rejects::inbox(), gaps::inbox()];
    if let TopicKind::Rows(dataset) = &loader.kind {
        inboxes.extend([rows_inbox(dataset), repeats::counts_inbox()]);
        inboxes.extend(dataset.has_key().then(|| repeats::conflicts_inbox(dataset)));
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
                .map_or_else(String::new, |stored| rows_inbox(&stored.dataset).insert_native()),
            insert_rejects: rejects::inbox().insert(),
            stored,
        }
    }

    pub(super) fn origin(&self) -> Origin<'_> {
        Origin { topic: self.lease.topic(), epoch: self.epoch, generation: self.lease.generation }
    }

    /// Loads a batch: all stages, one after the other. Waits while a repair of hours runs. `earlier`: the batch before it, if that one is not
    /// marked done yet. `is_next_ready`: whether the next batch has been gathered, so that this one may be left to it.
    ///
    /// # Errors
    /// A service does not answer, or the lease was taken over.
    pub(super) async fn load(
        &self,
        batch: Batch,
        earlier: Option<Box<Open>>,
        is_next_ready: &AtomicBool,
    ) -> Result<Loaded, LoaderError> {
        let (earlier, passed) = match earlier {
            Some(open) => (Some(open.compared), open.passed),
            None => (None, self.gate.wait_to_load().await),
        };
        let prepared = Gathered(batch).prepare(self, earlier).await?;
        let compared = prepared.insert(self).await?.compare(self).await?;
        if is_next_ready.load(Ordering::Acquire) && !self.gate.is_wanted() {
            return Ok(Loaded::Open(Box::new(Open { compared, passed })));
        }
        Ok(Loaded::Done(compared.finish(self).await?))
    }

    /// Returns the statement that inserts into a table.
    fn insert(&self, table: Table) -> &str {
        match table {
            Table::Rows => &self.insert_rounds,
            Table::Rejects => &self.insert_rejects,
        }
    }

    pub(super) fn rows_of<'a>(&'a self, chunk: &'a Chunk) -> ChunkRows<'a> {
        let dataset = self.stored.as_ref().map(|stored| &*stored.dataset);
        ChunkRows { lease: &self.lease, origin: self.origin(), chunk, dataset }
    }
}

impl Gathered {
    /// Turns repeats of deleted rounds into new ones, and notes the chunks in the ledger. Marks those of the batch before it done.
    async fn prepare(mut self, target: &Target, earlier: Option<Compared>) -> Result<Prepared, LoaderError> {
        if let Some(stored) = &target.stored {
            repeats::bring_back(&target.lease, stored, target.epoch, &mut self.0).await?;
        }
        let mut notes = earlier.as_ref().map_or_else(Vec::new, Compared::done_chunks);
        notes.extend(self.0.chunks.iter().map(|chunk| (chunk, ChunkState::Noted)));
        target.ledger.write(target.epoch, notes).await?;
        if let Some(earlier) = &earlier {
            earlier.log(target);
        }
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

    /// Inserts the rows, and meanwhile the counts if no repeat must be compared with them. The hours of recounted rounds become the sums of
    /// their rounds.
    async fn insert(mut self, target: &Target) -> Result<Inserted, LoaderError> {
        let token = self.batch.token(&target.origin());
        let tables: Vec<_> = self.tables().map(|table| (table, self.take(table))).collect();
        let rows = async {
            for (table, block) in tables {
                target.lease.insert_block(target.insert(table), &token, block).await?;
            }
            Ok(())
        };
        let is_counted = self.batch.chunks.iter().all(|chunk| chunk.repeats.is_empty());
        let counts = async {
            match &target.stored {
                Some(stored) if is_counted => {
                    repeats::write(&target.lease, stored, target.epoch, &self.batch.chunks).await
                }
                _ => Ok(()),
            }
        };
        tokio::try_join!(rows, counts)?;
        for chunk in self.batch.chunks.iter().filter(|chunk| chunk.recounted > 0) {
            target.rows_of(chunk).recount().await?;
        }
        Ok(Inserted { batch: self.batch, is_counted })
    }

    /// Inserts the rows of a batch that an earlier session may have inserted, completely or in part: see [`super::mending`].
    pub(super) async fn insert_again(self, target: &Target) -> Result<Inserted, LoaderError> {
        let token = self.batch.token(&target.origin());
        for table in self.tables() {
            target.lease.insert_block(target.insert(table), &token, self.block(table)).await?;
            self.complete(table, target, &token).await?;
        }
        // Only after all inserts, because chunks share rows of aggregate tables.
        for chunk in &self.batch.chunks {
            target.rows_of(chunk).mend().await?;
        }
        Ok(Inserted { batch: self.batch, is_counted: false })
    }

    /// Returns the tables that get rows.
    fn tables(&self) -> impl Iterator<Item = Table> + use<> {
        let rounds = (!self.rounds.is_empty()).then_some(Table::Rows);
        rounds.into_iter().chain((!self.batch.rejects.is_empty()).then_some(Table::Rejects))
    }

    /// Returns the rows of a table, in pieces.
    fn block(&self, table: Table) -> Vec<Bytes> {
        match table {
            Table::Rows => self.rounds.clone(),
            Table::Rejects => vec![self.batch.rejects.clone()],
        }
    }

    /// Returns the rows of a table, and keeps none of them: the memory of each piece is freed when it is sent.
    fn take(&mut self, table: Table) -> Vec<Bytes> {
        match table {
            Table::Rows => std::mem::take(&mut self.rounds),
            Table::Rejects => vec![std::mem::take(&mut self.batch.rejects)],
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
        let token = format!("{token}:{}", uuid::Uuid::now_v7());
        target.lease.insert_block(target.insert(table), &token, self.block(table)).await
    }
}

impl Inserted {
    /// Separates conflicts from duplicates, and writes the counts of each upload's rows.
    pub(super) async fn compare(mut self, target: &Target) -> Result<Compared, LoaderError> {
        if let Some(stored) = target.stored.as_ref().filter(|_| !self.is_counted) {
            repeats::judge(target.lease.warehouse(), stored, &mut self.batch.chunks).await?;
            repeats::write(&target.lease, stored, target.epoch, &self.batch.chunks).await?;
        }
        Ok(Compared(self.batch))
    }
}

impl Open {
    /// Marks the chunks as done in the ledger.
    pub(super) async fn finish(self, target: &Target) -> Result<Done, LoaderError> {
        self.compared.finish(target).await
    }

    /// Returns the next offset of each partition.
    pub(super) fn next_offsets(&self) -> Vec<(u16, i64)> {
        self.compared.next_offsets()
    }
}

impl Compared {
    /// Marks the chunks as done in the ledger.
    pub(super) async fn finish(self, target: &Target) -> Result<Done, LoaderError> {
        target.ledger.write(target.epoch, self.done_chunks()).await?;
        self.log(target);
        Ok(Done { next: self.next_offsets() })
    }

    /// Returns the next offset of each partition.
    fn next_offsets(&self) -> Vec<(u16, i64)> {
        self.0.next_offsets().collect()
    }

    fn done_chunks(&self) -> Vec<(&Chunk, ChunkState)> {
        self.0.chunks.iter().map(|chunk| (chunk, ChunkState::Done)).collect()
    }

    fn log(&self, target: &Target) {
        let chunks = &self.0.chunks;
        let rows: u64 = chunks.iter().map(|chunk| chunk.new).sum();
        tracing::debug!(topic = target.lease.topic(), rows, chunks = chunks.len(), "loaded");
    }
}
