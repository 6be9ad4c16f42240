//! Repeats: rows that come again. They are compared, value by value, with the stored rows.
//!
//! Of all messages with one key the first is stored, in its chunk or in an earlier one. The others are compared with one query after their
//! chunks are inserted. The result is a function of the messages and of what was stored before them. A chunk that is loaded again writes
//! the same rows into `conflicts` and `upload_counts`, whose engines merge rows with the same offsets into one.

use std::time::Duration;

use bytes::Bytes;

use super::LoaderError;
use super::batch::Batch;
use super::chunk::{Chunk, Origin, Repeat};
use super::content::Stored;
use super::inbox::Inbox;
use super::known_keys::{self, GivenKeys, columns_length, for_each_row};
use super::lease::Lease;
use crate::dataset::Dataset;
use crate::domain::columns::Column;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::row_binary::{write_text, write_uuid};

const STORED_ROWS: &str = include_str!("../../queries/engine/loader/stored_rows.sql");

const COUNT_COLUMNS: &str =
    "upload_id, topic, epoch, partition, first_offset, last_offset, new, duplicate, conflict";

/// Bytes of rows that are sent at once.
const PIECE_BYTES: usize = 1 << 20;

/// How long the comparison of a batch's repeats may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The result for one repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing is stored under its key.
    Gone,
    Duplicate,
    Conflict,
}

/// Repeats of several chunks, by key.
struct Comparison<'a> {
    chunks: &'a [Chunk],
    /// The key (its last column and what comes before it), chunk index and repeat index, sorted.
    order: Vec<(u64, &'a [u8], usize, usize)>,
    /// The verdicts of the repeats in `order`.
    verdicts: Vec<Verdict>,
}

/// Turns repeats whose known row is no longer stored, because someone deleted it, back into new rows. This must happen before the
/// batch is noted: after a crash the known keys are read from the stored rows again, and the blocks must be the same.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn bring_back(
    lease: &Lease,
    stored: &Stored,
    epoch: u32,
    batch: &mut Batch,
) -> Result<(), LoaderError> {
    let mut known = batch.known_keys().peekable();
    if known.peek().is_none() {
        return Ok(());
    }
    let known = GivenKeys::of(stored, known)?;
    let found = known_keys::stored(lease.warehouse(), stored, &known);
    let found = tokio::time::timeout(TIMEOUT, found).await.map_err(|_| WarehouseError::TimedOut)??;
    let topic = lease.topic();
    let rows = batch.bring_back(&found, stored, &Origin { topic, epoch, generation: lease.generation });
    if rows > 0 {
        tracing::info!(topic, rows, "deleted rows came again and are loaded as new");
    }
    Ok(())
}

/// Compares the repeats of inserted chunks with the stored rounds, and counts duplicates and conflicts.
///
/// # Errors
/// ClickHouse does not answer, or has lost a round.
pub(super) async fn judge(
    warehouse: &Warehouse,
    stored: &Stored,
    chunks: &mut [Chunk],
) -> Result<(), LoaderError> {
    if chunks.iter().all(|chunk| chunk.repeats.is_empty()) {
        return Ok(());
    }
    let mut comparison = Comparison::of(chunks);
    let compared = fetch(warehouse, stored, &mut comparison);
    tokio::time::timeout(TIMEOUT, compared).await.map_err(|_| WarehouseError::TimedOut)??;
    for (chunk, repeat, verdict) in comparison.verdicts()? {
        if let Some(chunk) = chunks.get_mut(chunk) {
            settle(chunk, repeat, verdict);
        }
    }
    Ok(())
}

/// Writes the conflicts of compared chunks, and the counts of each upload's rows.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn write(
    lease: &Lease,
    stored: &Stored,
    epoch: u32,
    chunks: &[Chunk],
) -> Result<(), LoaderError> {
    if chunks.iter().any(|chunk| chunk.conflict > 0) {
        let rows = conflict_rows(lease, epoch, chunks);
        lease.insert_rows(&conflicts_inbox(&stored.dataset).insert(), rows).await?;
    }
    let counts = count_rows(lease, epoch, chunks);
    if !counts.is_empty() {
        lease.insert_rows(&counts_inbox().insert(), std::iter::once(Bytes::from(counts))).await?;
    }
    Ok(())
}

impl<'a> Comparison<'a> {
    fn of(chunks: &'a [Chunk]) -> Self {
        let repeats = chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let keys = chunk.repeats.iter().map(move |repeat| (repeat.id, chunk.row(repeat).prefix));
            keys.enumerate().map(move |(at, (id, prefix))| (id, prefix, number, at))
        });
        let mut order: Vec<_> = repeats.collect();
        order.sort_unstable();
        let verdicts = vec![Verdict::Gone; order.len()];
        Self { chunks, order, verdicts }
    }

    /// Returns each key once.
    fn keys(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut keys = self.order.iter().map(|(id, prefix, ..)| (*prefix, *id)).peekable();
        std::iter::from_fn(move || {
            let key = keys.next()?;
            while keys.next_if_eq(&key).is_some() {}
            Some(key)
        })
    }

    /// Compares a stored row with all its repeats. If a row is stored more than once, which ClickHouse's own consumer can cause,
    /// a repeat is a duplicate if it equals one of the copies.
    fn compare(&mut self, prefix: &[u8], id: u64, fields: &[u8]) {
        let key = (id, prefix);
        let first = self.order.partition_point(|(id, prefix, ..)| (*id, *prefix) < key);
        for (&(id, prefix, chunk, at), verdict) in self.order.iter().zip(&mut self.verdicts).skip(first) {
            if (id, prefix) != key {
                break;
            }
            let chunk = self.chunks.get(chunk);
            let sent = chunk.and_then(|chunk| Some(chunk.row(chunk.repeats.get(at)?).fields));
            if sent == Some(fields) {
                *verdict = Verdict::Duplicate;
            } else if *verdict == Verdict::Gone {
                *verdict = Verdict::Conflict;
            }
        }
    }

    /// Returns chunk index, repeat index and verdict, ordered by offset.
    fn verdicts(self) -> Result<Vec<(usize, usize, Verdict)>, LoaderError> {
        let judged = self.order.iter().zip(&self.verdicts);
        let mut verdicts = judged
            .map(|(&(id, _, chunk, at), verdict)| match verdict {
                Verdict::Gone => Err(LoaderError::RowGone { id }),
                verdict => Ok((chunk, at, *verdict)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        verdicts.sort_unstable_by_key(|(chunk, at, _)| (*chunk, *at));
        Ok(verdicts)
    }
}

/// Reads the stored rows and compares them as they arrive.
async fn fetch(
    warehouse: &Warehouse,
    stored: &Stored,
    comparison: &mut Comparison<'_>,
) -> Result<(), LoaderError> {
    let prefix: Vec<&Column> = stored.prefix().collect();
    let fields: Vec<&Column> = stored.columns().fields().collect();
    for given in GivenKeys::of(stored, comparison.keys())? {
        let compare = |bytes: &[u8]| Ok(compare_first(&prefix, &fields, bytes, comparison));
        for_each_row(given.query(warehouse, stored, STORED_ROWS), compare).await?;
    }
    Ok(())
}

/// Compares the stored row at the start of `bytes`. Returns its length, or none if it has not arrived completely.
fn compare_first(
    prefix: &[&Column],
    fields: &[&Column],
    bytes: &[u8],
    comparison: &mut Comparison<'_>,
) -> Option<usize> {
    let (prefix, rest) = bytes.split_at_checked(columns_length(prefix, bytes)?)?;
    let (id, rest) = rest.split_first_chunk()?;
    let fields = rest.get(..columns_length(fields, rest)?)?;
    comparison.compare(prefix, u64::from_le_bytes(*id), fields);
    Some(prefix.len() + id.len() + fields.len())
}

/// Counts a repeat.
fn settle(chunk: &mut Chunk, repeat: usize, verdict: Verdict) {
    let Some(repeat) = chunk.repeats.get_mut(repeat) else { return };
    repeat.is_conflict = verdict == Verdict::Conflict;
    if repeat.is_conflict {
        chunk.duplicate -= 1;
        chunk.conflict += 1;
    }
    if let Some(upload_id) = repeat.upload_id {
        let counts = chunk.uploads.entry(upload_id).or_default();
        counts.duplicate += u64::from(!repeat.is_conflict);
        counts.conflict += u64::from(repeat.is_conflict);
    }
}

/// Returns the rows of the conflicts in pieces. All at once would need as much memory again as the chunks.
fn conflict_rows(lease: &Lease, epoch: u32, chunks: &[Chunk]) -> impl Iterator<Item = Bytes> {
    let mut conflicts = chunks.iter().flat_map(|chunk| {
        chunk.repeats.iter().filter(|repeat| repeat.is_conflict).map(move |repeat| (chunk, repeat))
    });
    std::iter::from_fn(move || {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES
            && let Some((chunk, repeat)) = conflicts.next()
        {
            write_conflict(lease, epoch, chunk, repeat, &mut piece);
        }
        (!piece.is_empty()).then(|| Bytes::from(piece))
    })
}

fn write_conflict(lease: &Lease, epoch: u32, chunk: &Chunk, repeat: &Repeat, out: &mut Vec<u8>) {
    let row = chunk.row(repeat);
    out.extend_from_slice(row.fields);
    out.extend_from_slice(row.others);
    write_uuid(repeat.upload_id.unwrap_or_default(), out);
    out.push(u8::from(repeat.line.is_none()));
    out.extend(repeat.line.iter().flat_map(|line| line.to_le_bytes()));
    write_text(lease.topic().as_bytes(), out);
    out.extend(epoch.to_le_bytes());
    out.extend(chunk.partition.to_le_bytes());
    out.extend(repeat.offset.to_le_bytes());
    out.extend(lease.generation.to_le_bytes());
}

fn count_rows(lease: &Lease, epoch: u32, chunks: &[Chunk]) -> Vec<u8> {
    let mut rows = Vec::new();
    for chunk in chunks {
        for (upload_id, counts) in &chunk.uploads {
            write_uuid(*upload_id, &mut rows);
            write_text(lease.topic().as_bytes(), &mut rows);
            rows.extend(epoch.to_le_bytes());
            rows.extend(chunk.partition.to_le_bytes());
            rows.extend(chunk.first_offset.to_le_bytes());
            rows.extend(chunk.last_offset.to_le_bytes());
            for count in [counts.new, counts.duplicate, counts.conflict] {
                rows.extend(count.to_le_bytes());
            }
            rows.extend(lease.generation.to_le_bytes());
        }
    }
    rows
}

/// The inbox of the conflicts of a dataset.
pub(super) fn conflicts_inbox(dataset: &Dataset) -> Inbox {
    let columns = dataset.columns.fields().chain(dataset.columns.others());
    let names: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let names = names.join(", ");
    let columns =
        format!("{names}, upload_id, line, kafka_topic, kafka_epoch, kafka_partition, kafka_offset");
    Inbox::new(&dataset.conflicts, &columns)
}

/// The inbox of `upload_counts`.
pub(super) fn counts_inbox() -> Inbox {
    Inbox::new("upload_counts", COUNT_COLUMNS)
}
