//! Committed offsets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What an entry takes in memory in addition to its texts, roughly.
pub(crate) const OVERHEAD_BYTES: usize = 128;

/// A partition, by the id of its topic. A topic that is created again has another id, so nothing that is stored for the earlier one applies
/// to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct PartitionId {
    pub topic: Uuid,
    pub number: i32,
}

/// An offset that a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    pub offset: i64,
    /// The epoch of the partition's leader as the client knows it, or -1.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: String,
}

impl Committed {
    /// What it takes in memory, roughly.
    pub fn bytes(&self) -> usize {
        OVERHEAD_BYTES + self.metadata.len()
    }
}

/// The offsets of one group.
pub(crate) type GroupOffsets = BTreeMap<PartitionId, Committed>;
