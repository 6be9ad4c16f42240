//! Restores rounds that were lost with a part that ClickHouse could not read, by reading them from the topic again.
//!
//! The ledger says how many rounds each chunk added. If fewer are stored, the chunk's messages are read again, and the missing rounds
//! are inserted with their original offsets. Their hours may already include them. So the view leaves them out (`recounted`), and their
//! hours are set to the sums of their rounds. Nothing is loaded in the meantime, and the known ids are read afterwards.
//!
//! A round that someone deleted on purpose looks the same as a lost one. If ClickHouse remembers such a deletion, nothing is restored.

use std::collections::HashSet;

use rdkafka::Message;
use roaring::RoaringTreemap;

use super::chunks::{Chunk, ChunkBuilder, Content, Origin, fingerprint};
use super::lease::Lease;
use super::mending::Repeated;
use super::run::{Loader, TopicKind, rounds_inbox};
use super::{LoaderError, known_ids, recovery};
use crate::warehouse::client::WarehouseError;
use crate::warehouse::lost_parts::{self, ROUNDS, ShortChunk};

const REMOVALS: &str = include_str!("../../queries/lost_parts/removals.sql");
const CONFLICTS: &str = include_str!("../../queries/lost_parts/conflicts.sql");

/// Restores the lost rounds of a topic that the topic still has. Returns how many were restored.
///
/// # Errors
/// A service does not answer.
pub(super) async fn restore(loader: &Loader, lease: &Lease) -> Result<u64, LoaderError> {
    let TopicKind::Rounds(columns) = &loader.kind else { return Ok(0) };
    let lost = lost_parts::lost_parts(&loader.warehouse).await?;
    if lost.iter().all(|part| part.table != ROUNDS) {
        return Ok(0);
    }
    let _loading = loader.gate.wait_to_load().await;
    let chunks = lost_parts::short_chunks(&loader.warehouse).await?;
    let removals: u64 = loader.warehouse.query(REMOVALS).fetch_one().await.map_err(WarehouseError::from)?;
    if removals > 0 {
        tracing::warn!(
            topic = loader.topic,
            "lost rounds are not restored: rounds were also deleted on purpose, and the two cannot be distinguished"
        );
        return Ok(0);
    }
    let mut restoring = Restoring {
        loader,
        lease,
        insert: rounds_inbox(columns).insert(),
        content: Content::of(&loader.kind)?,
        stored: known_ids::all(&loader.warehouse).await?,
    };
    let mut restored = 0;
    for chunk in chunks.iter().filter(|chunk| chunk.topic == loader.topic) {
        restored += restoring.restore(chunk).await?;
    }
    if restored > 0 {
        tracing::warn!(topic = loader.topic, rounds = restored, "restored lost rounds from the topic");
    }
    Ok(restored)
}

struct Restoring<'a> {
    loader: &'a Loader,
    lease: &'a Lease,
    insert: String,
    content: Content,
    stored: RoaringTreemap,
}

impl Restoring<'_> {
    /// Restores the rounds of a chunk that are not stored. Returns how many.
    async fn restore(&mut self, short: &ShortChunk) -> Result<u64, LoaderError> {
        let Loader { kafka, registry, topic, .. } = self.loader;
        let &ShortChunk { epoch, partition, .. } = short;
        let (first, last) = (short.first_offset.cast_signed(), short.last_offset.cast_signed());
        let messages = recovery::read(kafka, topic, partition, first..=last).await?;
        let found = messages.last().filter(|found| found.offset() == last);
        if found.is_none_or(|found| fingerprint(found) != short.fingerprint) {
            // The topic was recreated, or the messages are deleted.
            return Ok(0);
        }
        let conflicts = self.conflicts(short).await?;
        let origin = Origin { topic, epoch, partition, generation: self.lease.generation };
        let mut builder = ChunkBuilder::new(partition).recounting();
        for message in messages.iter().filter(|message| !conflicts.contains(&message.offset())) {
            self.content.learn(registry, message.payload()).await?;
            builder.push(message, &self.content, &origin, &self.stored, &mut RoaringTreemap::new());
        }
        let mut chunk = builder.finish(short.fingerprint);
        if chunk.new == 0 {
            return Ok(0);
        }
        (chunk.first_offset, chunk.last_offset) = (first, last);
        let token = format!("restored:{}", uuid::Uuid::now_v7());
        self.lease.insert_block(&self.insert, &token, chunk.rounds.clone()).await?;
        Repeated { lease: self.lease, origin, chunk: &chunk }.recount_hours().await?;
        let Chunk { new, new_ids, .. } = chunk;
        self.stored |= new_ids;
        Ok(new)
    }

    /// Returns the offsets of a chunk at which a round came again with other values.
    async fn conflicts(&self, short: &ShortChunk) -> Result<HashSet<i64>, LoaderError> {
        let query = self.loader.warehouse.query(CONFLICTS).param("topic", &self.loader.topic);
        let query = query.param("epoch", short.epoch).param("partition", short.partition);
        let query = query.param("first", short.first_offset).param("last", short.last_offset);
        let offsets: Vec<u64> = query.fetch_all().await.map_err(WarehouseError::from)?;
        Ok(offsets.into_iter().map(u64::cast_signed).collect())
    }
}
