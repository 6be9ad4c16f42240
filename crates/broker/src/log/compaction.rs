//! Compaction: of each key, only the last record is kept (`cleanup.policy=compact`).
//!
//! Only full segments before the last stable offset are compacted. A pass collects the last offset of the keys in the part that was not
//! compacted yet, up to a limited number of keys, and then rewrites all segments up to there that have older records of these keys. The
//! rest is left for the next pass. Offsets and order stay. The offsets of removed records are covered by batches without records, so that
//! missing bytes can still be told from removed records.
//!
//! Records of aborted transactions are removed. Those of committed transactions become records without a transaction, so the control
//! batches are not needed any more. A record without a value (a tombstone) is kept for `delete.retention.ms` after the first pass over its
//! segment. Damaged records stop a pass: it leaves everything from their segment on unchanged.
//!
//! A segment is replaced by a rename, after the new file was synced. So after a crash there is either the old or the new file, and the
//! next pass does the same again.

mod filter;
mod keys;
mod progress;
mod records;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;

use self::filter::{Filter, Kept, empty_batch};
use self::keys::Keys;
use self::progress::Progress;
use self::records::Records;
use super::batch::Header;
use super::partition::Partition;
use super::retention::RETRY_MS;
use super::segment::Segment;
use super::settings::TopicSettings;
use super::transactions::{Aborted, Isolation};
use super::walk::{Found, Walk, whole};

/// The file that a segment is rewritten to, before it gets the segment's name.
const DRAFT: &str = "compact";

/// Keys whose last offsets are collected in one pass. This needs some 30 MiB of memory.
const MAX_KEYS: usize = 500_000;

/// What stops a pass.
#[derive(Debug)]
enum Stop {
    Failed(io::Error),
    /// A batch is damaged, its segment was deleted in the meantime, or the broker stops.
    GivenUp,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// The segments that may be compacted now.
struct Candidates {
    segments: Vec<Arc<Segment>>,
    /// When there may be more, in milliseconds since 1970.
    next: Option<i64>,
}

impl Partition {
    /// Compacts what is worth it. Returns when there may be more to do, in milliseconds since 1970.
    pub(super) fn compact(&self, now: i64) -> io::Result<Option<i64>> {
        self.compact_with(now, MAX_KEYS)
    }

    fn compact_with(&self, now: i64, max_keys: usize) -> io::Result<Option<i64>> {
        let settings = self.settings();
        if !settings.cleanup_policy.compact {
            return Ok(None);
        }
        let Candidates { segments, next } = self.candidates(&settings, now)?;
        if segments.is_empty() {
            return Ok(next);
        }
        let progress = Progress::load(self.directory())?;
        if !is_worth_it(&segments, progress.clean_until, settings.min_cleanable_dirty_ratio) {
            return Ok(next);
        }
        let pass = Pass { partition: self, settings, now, segments, progress };
        match pass.run(max_keys) {
            // The map of keys was full: continue at once.
            Ok(is_complete) => Ok(if is_complete { next } else { Some(now) }),
            Err(Stop::Failed(error)) if error.kind() == io::ErrorKind::InvalidData => {
                // Trying again would not help. Earlier versions accepted batches without checking their records.
                tracing::error!(partition = %self.name(), %error, "cannot compact the log");
                Ok(None)
            }
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::GivenUp) => Ok(None),
        }
    }

    /// Returns the full segments before the last stable offset whose records are old enough.
    fn candidates(&self, settings: &TopicSettings, now: i64) -> io::Result<Candidates> {
        let stable = self.last_stable_offset();
        let mut all = self.segments();
        all.pop();
        let mut segments = Vec::new();
        for segment in all {
            if segment.end().offset > stable {
                return Ok(Candidates { segments, next: Some(now.saturating_add(RETRY_MS)) });
            }
            if settings.min_compaction_lag_ms > 0 {
                let newest = segment.newest_timestamp()?.unwrap_or(now);
                let ready = newest.saturating_add(settings.min_compaction_lag_ms);
                if ready > now {
                    return Ok(Candidates { segments, next: Some(ready) });
                }
            }
            if !segment.damages().is_empty() {
                break;
            }
            segments.push(segment);
        }
        Ok(Candidates { segments, next: None })
    }
}

/// Whether enough of the segments was not compacted yet.
fn is_worth_it(segments: &[Arc<Segment>], clean_until: i64, ratio: f64) -> bool {
    let bytes = |segment: &Arc<Segment>| segment.end().bytes;
    let all: u64 = segments.iter().map(bytes).sum();
    let dirty: u64 = segments.iter().filter(|segment| segment.end().offset > clean_until).map(bytes).sum();
    dirty > 0 && dirty as f64 >= ratio * all as f64
}

/// One pass over the segments of a partition.
struct Pass<'a> {
    partition: &'a Partition,
    settings: TopicSettings,
    now: i64,
    segments: Vec<Arc<Segment>>,
    progress: Progress,
}

impl Pass<'_> {
    /// Returns whether all segments were compacted.
    fn run(mut self, max_keys: usize) -> Result<bool, Stop> {
        let mut keys = Keys::new(max_keys);
        let until = self.collect(&mut keys)?;
        let bases: Vec<i64> = self.segments.iter().map(|segment| segment.base_offset).collect();
        self.progress.forget_deleted(&bases);
        for segment in std::mem::take(&mut self.segments) {
            if segment.base_offset >= until {
                break;
            }
            self.rewrite(&segment, &keys, until)?;
            if segment.end().offset <= until {
                self.progress.note(segment.base_offset, self.now);
            }
        }
        let is_complete = keys.has_room();
        self.progress.clean_until = until;
        self.progress.save(self.partition.directory())?;
        tracing::debug!(partition = %self.partition.name(), until, "compacted the log");
        Ok(is_complete)
    }

    /// Collects the last offset of each key that is not compacted yet. Returns the offset up to which this is complete: where a batch
    /// begins.
    fn collect(&self, keys: &mut Keys) -> Result<i64, Stop> {
        let mut until = self.progress.clean_until;
        for segment in self.segments.iter().filter(|segment| segment.end().offset > self.progress.clean_until)
        {
            let aborted = self.aborted(segment)?;
            self.each_batch(segment, |header, batch| {
                if header.base_offset >= self.progress.clean_until
                    && !header.is_control()
                    && !aborted.has(header)
                {
                    let records = Records::of(header, batch)?;
                    // Always takes one batch, or there would be no progress.
                    if !keys.add(header.base_offset, &records)? {
                        return Ok(false);
                    }
                }
                until = header.next_offset();
                Ok(true)
            })?;
            if !keys.has_room() {
                break;
            }
        }
        Ok(until)
    }

    /// Calls `seen` for each batch of a segment, until it returns false.
    fn each_batch(
        &self,
        segment: &Segment,
        mut seen: impl FnMut(&Header, &[u8]) -> Result<bool, Stop>,
    ) -> Result<(), Stop> {
        let file = segment.lend()?;
        let end = segment.end();
        let mut walk = Walk::new(&file, 0, segment.base_offset, end, &[]);
        while let Some(found) = walk.next()? {
            if self.partition.is_stopping() {
                return Err(Stop::GivenUp);
            }
            let (position, header) = match found {
                Found::Batch(position, header) => (position, header),
                Found::Damage(damage) => return Err(self.report(damage.first)),
            };
            let batch = whole(&file, position, &header)?;
            if !header.matches(&batch) {
                return Err(self.report(header.base_offset));
            }
            if !seen(&header, &batch)? {
                break;
            }
        }
        Ok(())
    }

    /// Reports the damage at this offset, as a reader does. The segment's file may be lent: the same file is lent again.
    fn report(&self, offset: i64) -> Stop {
        let _ = self.partition.read(offset, 1, Isolation::ReadUncommitted);
        Stop::GivenUp
    }

    /// Returns the aborted transactions with records in a segment.
    fn aborted(&self, segment: &Segment) -> io::Result<AbortedRanges> {
        let list = self.partition.aborted_between(segment.base_offset, segment.end().offset)?;
        Ok(AbortedRanges::of(&list))
    }

    /// Rewrites a segment without the records that are not needed. Leaves it unchanged if all are needed.
    fn rewrite(&self, segment: &Arc<Segment>, keys: &Keys, until: i64) -> Result<(), Stop> {
        let path = segment.path.with_extension(DRAFT);
        let first_pass = self.progress.first_pass(segment.base_offset);
        let retention = self.settings.delete_retention_ms;
        let keep_tombstones = first_pass.is_none_or(|first| self.now <= first.saturating_add(retention));
        let filter = Filter { keys, keep_tombstones };
        let end = segment.end().offset;
        let mut list = self.partition.aborted_between(segment.base_offset, end)?;
        let aborted = AbortedRanges::of(&list);
        let mut draft = Draft::create(&path)?;
        self.each_batch(segment, |header, batch| {
            if header.base_offset >= until {
                draft.keep(header, batch)?;
            } else if header.is_control() || aborted.has(header) {
                draft.drop(header);
            } else {
                match filter.apply(header, batch)? {
                    Kept::All => draft.keep(header, batch)?,
                    Kept::Some(rewritten) => draft.replace(&rewritten)?,
                    Kept::None => draft.drop(header),
                }
            }
            Ok(true)
        })?;
        let Some(bytes) = draft.finish()? else { return Ok(fs::remove_file(&path)?) };
        // Those that are still in the segment and end in it. Readers need them in the order of their ends.
        list.retain(|aborted| (until..end).contains(&aborted.last_offset));
        list.sort_unstable_by_key(|aborted| aborted.last_offset);
        if self.partition.replace_segment(segment, &path, bytes, &list)? {
            Ok(())
        } else {
            Err(Stop::GivenUp)
        }
    }
}

/// The offsets of aborted transactions, by producer.
struct AbortedRanges(HashMap<i64, Vec<(i64, i64)>>);

impl AbortedRanges {
    fn of(list: &[Aborted]) -> Self {
        let mut ranges = HashMap::<i64, Vec<(i64, i64)>>::new();
        for aborted in list {
            ranges.entry(aborted.producer_id).or_default().push((aborted.first_offset, aborted.last_offset));
        }
        Self(ranges)
    }

    /// Whether a batch belongs to an aborted transaction.
    fn has(&self, header: &Header) -> bool {
        let ranges = self.0.get(&header.producer_id).filter(|_| header.is_transactional());
        let Some(ranges) = ranges else { return false };
        // A producer's transactions follow one another, and so do the ranges.
        let after = ranges.partition_point(|(first, _)| *first <= header.base_offset);
        after
            .checked_sub(1)
            .and_then(|before| ranges.get(before))
            .is_some_and(|(_, last)| header.base_offset < *last)
    }
}

/// The new file of a segment.
struct Draft {
    file: BufWriter<File>,
    bytes: u64,
    /// The offsets of removed records that no batch covers yet.
    gap: Option<(i64, i64)>,
    is_changed: bool,
}

impl Draft {
    fn create(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create(path)?), bytes: 0, gap: None, is_changed: false })
    }

    /// Keeps a batch as it is. A batch without records joins those around it.
    fn keep(&mut self, header: &Header, batch: &[u8]) -> io::Result<()> {
        if header.is_empty() {
            self.is_changed |= self.gap.is_some();
            self.extend_gap(header);
            return Ok(());
        }
        self.write(batch)
    }

    fn replace(&mut self, batch: &[u8]) -> io::Result<()> {
        self.is_changed = true;
        self.write(batch)
    }

    /// Removes a batch.
    fn drop(&mut self, header: &Header) {
        self.is_changed |= !header.is_empty() || self.gap.is_some();
        self.extend_gap(header);
    }

    fn extend_gap(&mut self, header: &Header) {
        let first = self.gap.map_or(header.base_offset, |(first, _)| first);
        self.gap = Some((first, header.next_offset()));
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        self.close_gap()?;
        self.file.write_all(batch)?;
        self.bytes += batch.len() as u64;
        Ok(())
    }

    fn close_gap(&mut self) -> io::Result<()> {
        let Some((mut first, next)) = self.gap.take() else { return Ok(()) };
        while first < next {
            let end = next.min(first.saturating_add(i64::from(i32::MAX)));
            let batch = empty_batch(first, end);
            self.file.write_all(&batch)?;
            self.bytes += batch.len() as u64;
            first = end;
        }
        Ok(())
    }

    /// Returns the bytes of the file, which is on disk then. None if it would be the same as the old one.
    fn finish(mut self) -> io::Result<Option<u64>> {
        if !self.is_changed {
            return Ok(None);
        }
        self.close_gap()?;
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(Some(self.bytes))
    }
}

#[cfg(test)]
mod tests;
