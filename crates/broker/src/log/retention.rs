//! Deletes old segments: by the age of their newest record (`retention.ms`), and by the size of the partition (`retention.bytes`).
//!
//! Both delete whole segments from the start of the partition, by moving its start offset. Records at and after the last stable offset
//! are never deleted. By age, the last segment is deleted too, after a new one was begun. The size is checked whenever a new segment gets
//! its first record, so a partition may be larger by one segment.

use std::io;
use std::sync::Arc;

use super::partition::Partition;
use super::segment::Segment;
use super::settings::TopicSettings;

/// How long to wait before the next try while an open transaction prevents a deletion, in milliseconds.
pub(super) const RETRY_MS: i64 = 60_000;

/// What to do with the segments of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Plan {
    /// The new start offset.
    start: Option<i64>,
    /// When to look again, in milliseconds since 1970.
    next: Option<i64>,
}

impl Partition {
    /// Deletes the segments that are too old or exceed the size limit. Returns when there may be more to do, in milliseconds since 1970.
    pub(super) fn expire(&self, now: i64) -> io::Result<Option<i64>> {
        let settings = self.settings();
        if !settings.cleanup_policy.delete || (settings.retention_ms < 0 && settings.retention_bytes < 0) {
            return Ok(None);
        }
        let limit = self.last_stable_offset();
        let segments = self.segments();
        let plan = plan(&segments, &settings, now, limit)?;
        if let Some(start) = plan.start {
            self.roll_if_before(start)?;
            self.delete_before(start).map_err(io::Error::other)?;
            tracing::info!(partition = %self.name(), start, "deleted old records");
        }
        Ok(plan.next)
    }
}

/// Decides what to delete. `limit`: the offset up to which records may be deleted.
fn plan(segments: &[Arc<Segment>], settings: &TopicSettings, now: i64, limit: i64) -> io::Result<Plan> {
    let total: u64 = segments.iter().map(|segment| segment.end().bytes).sum();
    let most = u64::try_from(settings.retention_bytes).unwrap_or(u64::MAX);
    let mut excess = total.saturating_sub(most);
    let mut plan = Plan::default();
    for (number, segment) in segments.iter().enumerate() {
        let end = segment.end();
        if end.offset == segment.base_offset {
            break;
        }
        let is_last = number + 1 == segments.len();
        let expires = expiry(segment, settings)?;
        let is_too_much = !is_last && excess >= end.bytes && end.bytes > 0;
        if !is_too_much && expires.is_none_or(|expires| expires > now) {
            plan.next = expires;
            break;
        }
        if end.offset > limit {
            plan.next = Some(now.saturating_add(RETRY_MS));
            break;
        }
        excess = excess.saturating_sub(end.bytes);
        plan.start = Some(end.offset);
    }
    Ok(plan)
}

/// Returns when a segment is too old, if ever. Its newest timestamp may have to be read from the file.
fn expiry(segment: &Segment, settings: &TopicSettings) -> io::Result<Option<i64>> {
    if settings.retention_ms < 0 {
        return Ok(None);
    }
    let newest = segment.newest_timestamp()?;
    Ok(newest.map(|newest| newest.saturating_add(settings.retention_ms).saturating_add(1)))
}

#[cfg(test)]
mod tests;
