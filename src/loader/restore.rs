//! Restores rows that were lost with a part that ClickHouse could not read, by reading them from the topic again.
//!
//! The ledger says how many rows each chunk added. If fewer are stored, the chunk's messages are read again, and the missing rows are
//! inserted with their original offsets. Their sums may already include them. So the views leave them out (`recounted`), and the sums are set
//! to those of their rows. Without a key there is no such mark: the views add the rows, and right after that the sums are set. Nothing is
//! loaded in the meantime, and the known keys are read afterwards.
//!
//! A row that someone deleted on purpose looks the same as a lost one. If ClickHouse remembers such a deletion, nothing is restored.

use std::collections::HashSet;

use rdkafka::Message;

use super::batch::{BatchBuilder, rows_inbox};
use super::chunk::{Origin, fingerprint};
use super::content::{Content, Stored, TopicKind};
use super::key_set::KeySet;
use super::lease::Lease;
use super::mending::ChunkRows;
use super::needs::Loader;
use super::reading::read;
use super::{LoaderError, known_keys};
use crate::dataset::Dataset;
use crate::warehouse::client::WarehouseError;
use crate::warehouse::lost_parts::{self, ShortChunk};

const REMOVALS: &str = include_str!("../../queries/engine/lost_parts/removals.sql");
const CONFLICTS: &str = include_str!("../../queries/engine/lost_parts/conflicts.sql");
const STORED_OFFSETS: &str = include_str!("../../queries/engine/lost_parts/stored_offsets.sql");

/// Restores the lost rows of a topic that the topic still has. Returns how many were restored.
///
/// # Errors
/// A service does not answer.
pub(super) async fn restore(loader: &Loader, lease: &Lease) -> Result<u64, LoaderError> {
    let TopicKind::Rows(dataset) = &loader.kind else { return Ok(0) };
    let lost = lost_parts::lost_parts(&loader.warehouse).await?;
    if lost.iter().all(|part| part.table != dataset.table) {
        return Ok(0);
    }
    let _loading = loader.gate.wait_to_load().await;
    let chunks = lost_parts::short_chunks(&loader.warehouse, dataset).await?;
    let removals = loader.warehouse.query(REMOVALS).param("table", &dataset.table);
    let removals: u64 = removals.fetch_one().await.map_err(WarehouseError::from)?;
    if removals > 0 {
        tracing::warn!(
            topic = loader.topic,
            "lost rows are not restored: rows were also deleted on purpose, and the two cannot be distinguished"
        );
        return Ok(0);
    }
    let mut restoring = Restoring {
        loader,
        lease,
        dataset,
        insert: rows_inbox(dataset).insert_native(),
        content: Content::of(&loader.kind),
        stored: match dataset.has_key() {
            true => known_keys::all(&loader.warehouse, &Stored::new(dataset.clone())).await?,
            false => KeySet::default(),
        },
    };
    let mut restored = 0;
    for chunk in &chunks {
        restored += restoring.restore(chunk).await?;
    }
    if restored > 0 {
        tracing::warn!(topic = loader.topic, rows = restored, "restored lost rows from the topic");
    }
    Ok(restored)
}

struct Restoring<'a> {
    loader: &'a Loader,
    lease: &'a Lease,
    dataset: &'a Dataset,
    insert: String,
    content: Content,
    stored: KeySet,
}

impl Restoring<'_> {
    /// Restores the rows of a chunk that are not stored. Returns how many.
    async fn restore(&mut self, short: &ShortChunk) -> Result<u64, LoaderError> {
        let Loader { kafka, registry, topic, .. } = self.loader;
        let &ShortChunk { epoch, partition, .. } = short;
        let (first, last) = (short.first_offset.cast_signed(), short.last_offset.cast_signed());
        let messages = read(kafka, topic, partition, first..=last).await?;
        let found = messages.last().filter(|found| found.offset() == last);
        if found.is_none_or(|found| fingerprint(found) != short.fingerprint) {
            // The topic was recreated, or the messages are deleted.
            return Ok(0);
        }
        let skipped = self.skipped(short).await?;
        let origin = Origin { topic, epoch, generation: self.lease.generation };
        let mut builder = BatchBuilder::new(&self.content, origin).recounting();
        for message in messages.iter().filter(|message| !skipped.contains(&message.offset())) {
            self.content.learn_of(registry, message).await?;
            builder.push(message, &self.content, &self.stored);
        }
        builder.cover(partition, first..=last);
        let batch = builder.finish(|_| short.fingerprint);
        let token = format!("restored:{}", uuid::Uuid::now_v7());
        let Some(chunk) = batch.chunks.first().filter(|chunk| chunk.new > 0) else { return Ok(0) };
        self.lease.insert_block(&self.insert, &token, batch.rounds.into_pieces()).await?;
        ChunkRows { lease: self.lease, origin, chunk, dataset: Some(self.dataset) }.recount().await?;
        self.stored.merge(&batch.new_keys);
        Ok(chunk.new)
    }

    /// Returns the offsets of a chunk from which no row must be restored: at which a row came again with other values, or, without a key, whose
    /// rows are stored.
    async fn skipped(&self, short: &ShortChunk) -> Result<HashSet<i64>, LoaderError> {
        let sql = if self.dataset.has_key() { CONFLICTS } else { STORED_OFFSETS };
        let query = self.loader.warehouse.query(&self.dataset.sql(sql)).param("topic", &self.loader.topic);
        let query = query.param("epoch", short.epoch).param("partition", short.partition);
        let query = query.param("first", short.first_offset).param("last", short.last_offset);
        let offsets: Vec<u64> = query.fetch_all().await.map_err(WarehouseError::from)?;
        Ok(offsets.into_iter().map(u64::cast_signed).collect())
    }
}
