//! The begin of a session: loads the batch that was noted but not done, and records what can no longer be loaded.

use std::collections::BTreeMap;

use super::batch::{Batch, BatchBuilder};
use super::chunk::fingerprint;
use super::content::Content;
use super::epochs::identify;
use super::gaps::{self, Cause, Gap};
use super::key_set::KeySet;
use super::lease::Lease;
use super::ledger::{LastChunk, Ledger};
use super::loading::{Gathered, Target};
use super::needs::Loader;
use super::reading::read;
use super::session::Session;
use super::{LoaderError, known_keys};
use crate::kafka::Watermarks;
use crate::warehouse::uploads::{self, Loaded};

/// How many acknowledged uploads are checked for lost rows if the topic was recreated.
const MAX_UPLOADS: u64 = 10_000;

/// Finishes the noted chunks, so that another loader can continue. Returns the next offsets.
///
/// # Errors
/// A service does not answer.
pub(super) async fn settle(loader: &Loader, lease: &Lease) -> Result<BTreeMap<u16, i64>, LoaderError> {
    let session = Session::begin(loader, lease).await?;
    Ok(session.next)
}

impl Session {
    /// Finds out what is loaded, and loads the chunks that were noted but not done.
    ///
    /// # Errors
    /// A service does not answer, or the lease was taken over.
    pub(super) async fn begin(loader: &Loader, lease: &Lease) -> Result<Self, LoaderError> {
        let watermarks = loader.kafka.watermarks(&loader.topic).await?;
        let found = identify(&loader.kafka, &Ledger::new(lease), &loader.topic, &watermarks).await?;
        let content = Content::of(&loader.kind);
        let next = next_offsets(&watermarks, &found.chunks);
        let known = match content.stored() {
            Some(stored) if stored.key.is_some() => {
                known_keys::before(&loader.warehouse, stored, found.epoch, &next).await?
            }
            _ => KeySet::default(),
        };
        let target = Target::new(lease, found.epoch, &loader.gate, &content);
        let mut session = Self { loader: loader.clone(), target: target.into(), content, known, next };
        let _loading = loader.gate.wait_to_load().await;
        if let Some(ended) = found.ended {
            session.note_ended(ended).await?;
        }
        session.finish(&found.chunks, &watermarks).await?;
        session.pass_over_deleted(&watermarks).await?;
        Ok(session)
    }

    /// Records what was acknowledged but not loaded in an epoch that has ended.
    async fn note_ended(&self, ended: u32) -> Result<(), LoaderError> {
        let (warehouse, topic) = (&self.loader.warehouse, self.loader.topic.as_str());
        let loaded = Loaded::of_topic(warehouse, topic).await?;
        let uploads = uploads::last_acknowledged(warehouse, MAX_UPLOADS).await?;
        let mut gaps: BTreeMap<u16, Gap> = BTreeMap::new();
        for upload in uploads.iter().filter(|upload| upload.topic == topic) {
            for (partition, missing) in loaded.missing(&upload.offsets, upload.updated_at) {
                let Some((_, last)) = upload.offsets.get(&partition).copied() else { continue };
                let first = (last + 1).saturating_sub_unsigned(missing);
                let gap = Gap { partition, first, last, cause: Cause::Recreated };
                let noted = gaps.entry(partition).or_insert(gap);
                (noted.first, noted.last) = (noted.first.min(first), noted.last.max(last));
            }
        }
        self.note_gaps(ended, &gaps.into_values().collect::<Vec<_>>()).await
    }

    /// Loads the chunks that were noted but not done. They are one batch: its notes are written by one insert, and the next batch is noted
    /// only after it is done.
    async fn finish(
        &mut self,
        last_chunks: &[LastChunk],
        watermarks: &Watermarks,
    ) -> Result<(), LoaderError> {
        let mut noted: Vec<LastChunk> = last_chunks.iter().filter(|chunk| !chunk.is_done).copied().collect();
        if noted.is_empty() {
            return Ok(());
        }
        noted.sort_unstable_by_key(|chunk| chunk.partition);
        let batch = self.gather_again(&noted).await?;
        self.note_deleted_parts(&batch, watermarks).await?;
        self.advance(&batch);
        let prepared = Gathered(batch).noted_before();
        prepared.insert_again(&self.target).await?.compare(&self.target).await?.finish(&self.target).await?;
        Ok(())
    }

    /// Reads noted chunks again: the same messages give the same batch.
    async fn gather_again(&mut self, noted: &[LastChunk]) -> Result<Batch, LoaderError> {
        let Loader { kafka, registry, topic, .. } = &self.loader;
        let mut builder = BatchBuilder::new(&self.content, self.target.origin()).retrying();
        let mut fingerprints = BTreeMap::new();
        for chunk in noted {
            let partition = chunk.partition;
            let (first, last) = (chunk.first_offset.cast_signed(), chunk.last_offset.cast_signed());
            tracing::info!(topic, partition, first, last, "loading a noted chunk again");
            let messages = read(kafka, topic, partition, first..=last).await?;
            for message in &messages {
                self.content.learn_of(registry, message).await?;
                builder.push(message, &self.content, &self.known);
            }
            builder.cover(partition, first..=last);
            fingerprints.insert(partition, messages.last().map_or(0, fingerprint));
        }
        Ok(builder.finish(|partition| fingerprints.get(&partition).copied().unwrap_or(0)))
    }

    /// Records messages of noted chunks that were deleted before they were inserted. A batch is inserted completely or not at all.
    async fn note_deleted_parts(&self, batch: &Batch, watermarks: &Watermarks) -> Result<(), LoaderError> {
        let mut gaps = Vec::new();
        for chunk in &batch.chunks {
            let low = watermarks.get(&chunk.partition).map_or(0, |(low, _)| *low);
            let last = chunk.last_offset.min(low - 1);
            if last >= chunk.first_offset && self.target.rows_of(chunk).is_missing().await? {
                let (partition, first) = (chunk.partition, chunk.first_offset);
                gaps.push(Gap { partition, first, last, cause: Cause::Deleted });
            }
        }
        gaps::record(&self.target.lease, &self.loader.metrics, self.target.epoch, &gaps).await
    }

    /// Skips messages that were deleted before they were loaded.
    async fn pass_over_deleted(&mut self, watermarks: &Watermarks) -> Result<(), LoaderError> {
        let mut gaps = Vec::new();
        for (partition, (low, _)) in watermarks {
            let Some(next) = self.next.get_mut(partition).filter(|next| **next < *low) else { continue };
            gaps.push(Gap { partition: *partition, first: *next, last: low - 1, cause: Cause::Deleted });
            *next = *low;
        }
        self.note_gaps(self.target.epoch, &gaps).await
    }
}

/// Returns where loading begins in each partition: after the last chunk, or at its start if it was noted but not done. A partition
/// without a chunk begins at 0: if its first messages are missing, they were deleted before they were loaded ([`super::epochs`]).
pub fn next_offsets(watermarks: &Watermarks, last_chunks: &[LastChunk]) -> BTreeMap<u16, i64> {
    let next = |partition: &u16| {
        let last = last_chunks.iter().find(|chunk| chunk.partition == *partition);
        last.map_or(0, |chunk| match chunk.is_done {
            true => chunk.last_offset.cast_signed() + 1,
            false => chunk.first_offset.cast_signed(),
        })
    };
    watermarks.keys().map(|partition| (*partition, next(partition))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_begins_after_a_done_chunk_and_at_the_start_of_an_open_one() {
        let chunk = |partition, is_done| LastChunk {
            partition,
            first_offset: 5,
            last_offset: 9,
            is_done,
            fingerprint: 0,
        };
        let watermarks = Watermarks::from([(0, (0, 20)), (1, (0, 20)), (2, (7, 20))]);
        let next = next_offsets(&watermarks, &[chunk(0, true), chunk(1, false)]);
        assert_eq!(next, BTreeMap::from([(0, 10), (1, 5), (2, 0)]));
    }
}
