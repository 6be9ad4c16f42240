//! One run of the loader, and what it knows of its topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LoaderError;
use super::batch::Batch;
use super::content::Content;
use super::gaps::{self, Gap};
use super::key_set::KeySet;
use super::loading::Target;
use super::needs::Loader;

/// One run of the loader, from its start to the next failure.
pub(super) struct Session {
    pub(super) loader: Loader,
    pub(super) target: Arc<Target>,
    pub(super) content: Content,
    /// Keys of the rows of all partitions that are stored or being loaded. A row may be in any partition if some were added.
    pub(super) known: KeySet,
    /// The next offset to read of each partition.
    pub(super) next: BTreeMap<u16, i64>,
}

impl Session {
    /// Records gaps of an epoch, and marks their offsets as loaded.
    pub(super) async fn note_gaps(&self, epoch: u32, gaps: &[Gap]) -> Result<(), LoaderError> {
        gaps::note(&self.target.lease, &self.target.ledger, &self.loader.metrics, epoch, gaps).await
    }

    /// Takes a batch into account for the next one.
    pub(super) fn advance(&mut self, batch: &Batch) {
        self.next.extend(batch.next_offsets());
        self.known.merge(&batch.new_keys);
    }
}
