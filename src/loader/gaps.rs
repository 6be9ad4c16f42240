//! Gaps: offsets whose messages were not loaded and never will be. They are recorded, counted and skipped.
//!
//! A gap is a row of `loader_gaps`, which shows that an upload lost rows, and a row of `rejects`. It advances its partition like a
//! chunk without messages. After a crash all of it can be written again.

use bytes::Bytes;

use super::LoaderError;
use super::chunk::{Chunk, Origin};
use super::inbox::Inbox;
use super::lease::Lease;
use super::ledger::{ChunkState, Ledger};
use super::rejects::{self, Reject};
use crate::metrics::Metrics;
use crate::warehouse::row_binary::write_text;

const COLUMNS: &str = "topic, epoch, partition, first_offset, last_offset, code, reason";

/// Why messages are not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The topic's retention deleted them.
    Deleted,
    /// The topic was deleted and created again.
    Recreated,
    /// The messages exist but cannot be read.
    Unreadable(String),
}

impl Cause {
    fn code(&self) -> &'static str {
        match self {
            Self::Deleted => "deleted_before_load",
            Self::Recreated => "topic_recreated",
            Self::Unreadable(_) => "unreadable_message",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Deleted => "the topic's retention deleted them before they were loaded".to_owned(),
            Self::Recreated => "the topic was deleted and created again before they were loaded".to_owned(),
            Self::Unreadable(reason) => format!("they cannot be read: {reason}"),
        }
    }
}

/// A range of offsets of one partition; both ends are included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) partition: u16,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) cause: Cause,
}

/// The inbox of `loader_gaps`.
pub(super) fn inbox() -> Inbox {
    Inbox::new("loader_gaps", COLUMNS)
}

impl Gap {
    fn messages(&self) -> u64 {
        (self.last + 1 - self.first).max(0).cast_unsigned()
    }

    fn reason(&self) -> String {
        format!("offsets {} to {} were not loaded: {}", self.first, self.last, self.cause.text())
    }

    /// Returns its row of `loader_gaps`.
    fn row(&self, lease: &Lease, epoch: u32) -> Vec<u8> {
        let mut row = Vec::new();
        write_text(lease.topic().as_bytes(), &mut row);
        row.extend(epoch.to_le_bytes());
        row.extend(self.partition.to_le_bytes());
        row.extend(self.first.to_le_bytes());
        row.extend(self.last.to_le_bytes());
        write_text(self.cause.code().as_bytes(), &mut row);
        write_text(self.reason().as_bytes(), &mut row);
        row.extend(lease.generation.to_le_bytes());
        row
    }

    /// Returns its row of `rejects`.
    fn reject(&self, lease: &Lease, epoch: u32) -> Vec<u8> {
        let mut row = Vec::new();
        let (code, reason) = (self.cause.code(), self.reason());
        let reject = Reject { code: code.as_bytes(), reason: reason.as_bytes(), ..Reject::default() };
        let origin = Origin { topic: lease.topic(), epoch, generation: lease.generation };
        reject.write(&origin, self.partition, self.first, &mut row);
        row
    }

    /// Returns a chunk without messages that covers the gap.
    fn chunk(&self) -> Chunk {
        let Self { partition, first, last, .. } = *self;
        Chunk { partition, first_offset: first, last_offset: last, ..Chunk::default() }
    }
}

/// Records gaps of an epoch, and marks their offsets as loaded.
///
/// # Errors
/// ClickHouse does not answer, or the lease was taken over.
pub(super) async fn note(
    lease: &Lease,
    ledger: &Ledger,
    metrics: &Metrics,
    epoch: u32,
    gaps: &[Gap],
) -> Result<(), LoaderError> {
    if gaps.is_empty() {
        return Ok(());
    }
    record(lease, metrics, epoch, gaps).await?;
    let chunks: Vec<Chunk> = gaps.iter().map(Gap::chunk).collect();
    ledger.write_all(epoch, chunks.iter(), &[ChunkState::Noted, ChunkState::Done]).await
}

/// Records gaps whose chunks are already in the ledger.
///
/// # Errors
/// See [`note`].
pub(super) async fn record(
    lease: &Lease,
    metrics: &Metrics,
    epoch: u32,
    gaps: &[Gap],
) -> Result<(), LoaderError> {
    for gap in gaps {
        let (topic, partition, code) = (lease.topic(), gap.partition, gap.cause.code());
        tracing::error!(topic, partition, code, messages = gap.messages(), "{}", gap.reason());
        // The token prevents a second reject if this runs again after a crash.
        let token = format!("gap:{topic}:{epoch}:{partition}:{}-{}", gap.first, gap.last);
        let reject = Bytes::from(gap.reject(lease, epoch));
        lease.insert_block(&rejects::inbox().insert(), &token, [reject]).await?;
        let row = Bytes::from(gap.row(lease, epoch));
        lease.insert_rows(&inbox().insert(), std::iter::once(row)).await?;
        // Counted last: after an error all of this runs again.
        metrics.see_lost_messages(code, gap.messages());
    }
    Ok(())
}
