//! The upload ledger: the progress of each upload and of the loader.

use std::collections::BTreeMap;

use bytes::Bytes;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::client::{Warehouse, WarehouseError};
use super::later_headers::LaterHeaders;
use super::row_binary::write_text;

/// First and last offset, by partition.
pub type Offsets = BTreeMap<u16, (i64, i64)>;

const INSERT: &str = "INSERT INTO upload_ledger (upload_id, dataset, owner, replay_of, failure_code, reason, file_name, sha256, \
     head_sha256, encoding, delimiter, header, later_headers, decimal, columns, timezone, format, topic, offsets, dead_letter_offsets, rejects_by_code, state, version, bytes, \
     rows, accepted, rejected, acknowledged, started_at, updated_at, seconds, schema_id, has_delimited_rows) FORMAT RowBinary";

/// The state of an upload in the ledger. Whether it is visible is not stored but determined from its offsets: [`Loaded::has`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    #[default]
    Receiving,
    /// The broker has acknowledged every row.
    Acknowledged,
    Failed,
}

impl LedgerState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Acknowledged => "acknowledged",
            Self::Failed => "failed",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Receiving, Self::Acknowledged, Self::Failed].into_iter().find(|state| state.name() == name)
    }
}

/// An upload at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerRow {
    pub upload_id: Uuid,
    /// The name of the dataset of its rows.
    pub dataset: String,
    /// Increases with every change.
    pub version: u64,
    pub owner: Uuid,
    /// The upload whose rejected rows this one sends again.
    pub replay_of: Option<Uuid>,
    pub state: LedgerState,
    /// Error code of a failed upload, as in the API. Empty otherwise; so is `reason`.
    pub failure_code: String,
    pub reason: String,
    pub file_name: String,
    /// SHA-256 of the file as it was sent, in hexadecimal. Empty until all of it has arrived.
    pub sha256: String,
    /// SHA-256 of the file's first bytes.
    pub head_sha256: String,
    pub bytes: u64,
    pub encoding: String,
    /// How its rows are written, `csv` or `json`; empty until it is known.
    pub format: String,
    pub delimiter: String,
    /// The file's first line.
    pub header: String,
    pub later_headers: LaterHeaders,
    /// The decimal mark that the sender named. Empty if none was named.
    pub decimal: String,
    /// The columns that the file calls by other names, as the parameter `columns`; empty: none.
    pub columns: String,
    /// Rows end in a delimiter that the header does not have.
    pub has_delimited_rows: bool,
    /// The zone of its times without one, as its sender named it; empty: it did not, and they are UTC.
    pub timezone: String,
    pub rows: u64,
    pub accepted: u64,
    pub rejected: u64,
    /// Number of accepted rows that the broker has acknowledged.
    pub acknowledged: u64,
    pub rejects_by_code: BTreeMap<String, u64>,
    pub schema_id: u32,
    pub topic: String,
    pub offsets: Offsets,
    pub dead_letter_offsets: Offsets,
    /// Milliseconds since 1970.
    pub started_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
    pub seconds: f64,
}

#[derive(Row, Deserialize)]
struct StoredRow {
    upload_id: String,
    dataset: String,
    version: u64,
    owner: String,
    replay_of: String,
    state: String,
    failure_code: String,
    reason: String,
    file_name: String,
    sha256: String,
    head_sha256: String,
    bytes: u64,
    encoding: String,
    format: String,
    delimiter: String,
    header: String,
    later_headers: String,
    decimal: String,
    columns: String,
    has_delimited_rows: bool,
    timezone: String,
    rows: u64,
    accepted: u64,
    rejected: u64,
    acknowledged: u64,
    rejects_by_code: String,
    schema_id: u32,
    topic: String,
    offsets: String,
    dead_letter_offsets: String,
    started_at: i64,
    updated_at: i64,
    seconds: f64,
}

impl StoredRow {
    /// Returns the upload, or none if Roundhouse did not write the row.
    fn parse(self) -> Option<LedgerRow> {
        Some(LedgerRow {
            upload_id: Uuid::try_parse(&self.upload_id).ok()?,
            dataset: self.dataset,
            version: self.version,
            owner: Uuid::try_parse(&self.owner).unwrap_or_default(),
            replay_of: Uuid::try_parse(&self.replay_of).ok(),
            state: LedgerState::parse(&self.state)?,
            failure_code: self.failure_code,
            reason: self.reason,
            file_name: self.file_name,
            sha256: self.sha256,
            head_sha256: self.head_sha256,
            bytes: self.bytes,
            encoding: self.encoding,
            format: self.format,
            delimiter: self.delimiter,
            header: self.header,
            later_headers: serde_json::from_str(&self.later_headers).unwrap_or_default(),
            decimal: self.decimal,
            columns: self.columns,
            has_delimited_rows: self.has_delimited_rows,
            timezone: self.timezone,
            rows: self.rows,
            accepted: self.accepted,
            rejected: self.rejected,
            acknowledged: self.acknowledged,
            rejects_by_code: serde_json::from_str(&self.rejects_by_code).unwrap_or_default(),
            schema_id: self.schema_id,
            topic: self.topic,
            offsets: serde_json::from_str(&self.offsets).unwrap_or_default(),
            dead_letter_offsets: serde_json::from_str(&self.dead_letter_offsets).unwrap_or_default(),
            started_at: self.started_at,
            updated_at: self.updated_at,
            seconds: self.seconds,
        })
    }
}

/// Selects uploads. A field that is none does not restrict the result.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    pub dataset: Option<&'a str>,
    pub upload_id: Option<Uuid>,
    /// Uploads that began before this one.
    pub before: Option<Uuid>,
    /// Uploads whose first bytes have this digest.
    pub head_sha256: Option<&'a str>,
    pub owner: Option<Uuid>,
    pub state: Option<LedgerState>,
}

/// Returns at most `limit` uploads, newest first.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn select(
    warehouse: &Warehouse,
    selection: &Selection<'_>,
    limit: u64,
) -> Result<Vec<LedgerRow>, WarehouseError> {
    let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let rows: Vec<StoredRow> = warehouse
        .query(include_str!("../../queries/engine/uploads/ledger.sql"))
        .param("dataset", selection.dataset.unwrap_or_default())
        .param("upload_id", text(selection.upload_id))
        .param("before", text(selection.before))
        .param("head_sha256", selection.head_sha256.unwrap_or_default())
        .param("owner", text(selection.owner))
        .param("state", selection.state.map(LedgerState::name).unwrap_or_default())
        .param("limit", limit)
        .fetch_all()
        .await?;
    Ok(rows.into_iter().filter_map(StoredRow::parse).collect())
}

/// The offsets of an acknowledged upload.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub topic: String,
    pub offsets: Offsets,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

impl Acknowledged {
    /// Returns none for an upload that is still being received or has failed.
    pub fn of(row: &LedgerRow) -> Option<Self> {
        (row.state == LedgerState::Acknowledged).then(|| Self {
            topic: row.topic.clone(),
            offsets: row.offsets.clone(),
            updated_at: row.updated_at,
        })
    }
}

/// Returns at most `limit` acknowledged uploads, newest first.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn last_acknowledged(
    warehouse: &Warehouse,
    limit: u64,
) -> Result<Vec<Acknowledged>, WarehouseError> {
    #[derive(Row, Deserialize)]
    struct Stored {
        topic: String,
        offsets: String,
        updated_at: i64,
    }
    let query = warehouse.query(include_str!("../../queries/engine/uploads/last_acknowledged.sql"));
    let rows: Vec<Stored> = query.param("limit", limit).fetch_all().await?;
    let parse = |row: Stored| Acknowledged {
        topic: row.topic,
        offsets: serde_json::from_str(&row.offsets).unwrap_or_default(),
        updated_at: row.updated_at,
    };
    Ok(rows.into_iter().map(parse).collect())
}

/// Writes the current state of uploads.
///
/// # Errors
/// ClickHouse does not answer. It may still have stored them; writing them again does no harm.
pub async fn write(warehouse: &Warehouse, rows: &[LedgerRow]) -> Result<(), WarehouseError> {
    let mut block = Vec::new();
    for row in rows {
        append(row, &mut block);
    }
    warehouse.insert_rows(INSERT, Bytes::from(block)).await
}

fn append(row: &LedgerRow, out: &mut Vec<u8>) {
    let json = |offsets: &Offsets| serde_json::to_string(offsets).unwrap_or_default();
    let later_headers = match row.later_headers.is_empty() {
        true => String::new(),
        false => serde_json::to_string(&row.later_headers).unwrap_or_default(),
    };
    for text in [
        &row.upload_id.to_string(),
        &row.dataset,
        &row.owner.to_string(),
        &row.replay_of.map(|id| id.to_string()).unwrap_or_default(),
        &row.failure_code,
        &row.reason,
        &row.file_name,
        &row.sha256,
        &row.head_sha256,
        &row.encoding,
        &row.delimiter,
        &row.header,
        &later_headers,
        &row.decimal,
        &row.columns,
        &row.timezone,
        &row.format,
        &row.topic,
        &json(&row.offsets),
        &json(&row.dead_letter_offsets),
    ] {
        write_text(text.as_bytes(), out);
    }
    // A map: the number of pairs in LEB128, which is one byte, since there are fewer than 128 codes.
    let codes = row.rejects_by_code.iter().take(127);
    out.push(codes.len() as u8);
    for (code, count) in codes {
        write_text(code.as_bytes(), out);
        out.extend(count.to_le_bytes());
    }
    out.push(match row.state {
        LedgerState::Receiving => 1,
        LedgerState::Acknowledged => 2,
        LedgerState::Failed => 3,
    });
    for number in [row.version, row.bytes, row.rows, row.accepted, row.rejected, row.acknowledged] {
        out.extend(number.to_le_bytes());
    }
    out.extend(row.started_at.to_le_bytes());
    out.extend(row.updated_at.to_le_bytes());
    out.extend(row.seconds.to_le_bytes());
    out.extend(row.schema_id.to_le_bytes());
    out.push(u8::from(row.has_delimited_rows));
}

#[derive(Debug, Row, Deserialize)]
struct LoadedPartition {
    epoch: u32,
    started_at: i64,
    /// The epoch continues where the previous one ended.
    continues: bool,
    partition: u16,
    next_offset: u64,
    /// Whether chunks cover more offsets than they have messages. Then some may be gaps.
    has_holes: bool,
}

/// A range of offsets that were not loaded and never will be, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Gap {
    epoch: u32,
    partition: u16,
    first_offset: u64,
    last_offset: u64,
    pub code: String,
    pub reason: String,
}

/// How far each epoch of a topic is loaded.
#[derive(Debug)]
pub struct Loaded {
    partitions: Vec<LoadedPartition>,
}

/// The same, and the offsets that were skipped.
#[derive(Debug)]
pub struct LoadedWithGaps {
    pub loaded: Loaded,
    gaps: Vec<Gap>,
}

impl Loaded {
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn of_topic(warehouse: &Warehouse, topic: &str) -> Result<Self, WarehouseError> {
        let query = warehouse.query(include_str!("../../queries/engine/uploads/loaded_offsets.sql"));
        Ok(Self { partitions: query.param("topic", topic).fetch_all().await? })
    }

    /// Adds the gaps of the same topic. They are read last, because a gap is recorded before its offsets count as loaded. And only if there
    /// may be any: most topics have none, and every request for the state of an upload comes here.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn with_gaps(
        self,
        warehouse: &Warehouse,
        topic: &str,
    ) -> Result<LoadedWithGaps, WarehouseError> {
        if !self.partitions.iter().any(|found| found.has_holes) {
            return Ok(LoadedWithGaps { loaded: self, gaps: Vec::new() });
        }
        let query = warehouse.query(include_str!("../../queries/engine/uploads/gaps.sql"));
        Ok(LoadedWithGaps { loaded: self, gaps: query.param("topic", topic).fetch_all().await? })
    }

    /// Whether everything up to these offsets, which were written at `written_at` (milliseconds since 1970), is in the tables or skipped as
    /// a gap. The time determines the epoch: after a topic was recreated, its offsets begin at 0 again.
    pub fn has(&self, offsets: &Offsets, written_at: i64) -> bool {
        self.missing(offsets, written_at).is_empty()
    }

    /// Returns how many offsets are not loaded yet, for each partition that lags.
    pub fn missing(&self, offsets: &Offsets, written_at: i64) -> BTreeMap<u16, u64> {
        let epochs = self.epochs(written_at);
        offsets
            .iter()
            .map(|(partition, (_, last))| {
                (*partition, (last + 1).cast_unsigned().saturating_sub(self.next(*partition, &epochs)))
            })
            .filter(|(_, missing)| *missing > 0)
            .collect()
    }

    /// Whether the topic as it is now is loaded up to these next offsets of its partitions.
    pub fn reaches(&self, next_offsets: &BTreeMap<u16, i64>) -> bool {
        let epochs = self.current_epochs();
        next_offsets.iter().all(|(partition, next)| self.next(*partition, &epochs) >= next.cast_unsigned())
    }

    /// Returns the next offset to load of a partition, in one of these epochs.
    pub(super) fn next(&self, partition: u16, epochs: &[u32]) -> u64 {
        let here = |found: &&LoadedPartition| epochs.contains(&found.epoch) && found.partition == partition;
        self.partitions.iter().filter(here).map(|found| found.next_offset).max().unwrap_or(0)
    }

    /// Returns the newest epoch, and the epochs that it continues.
    pub(super) fn current_epochs(&self) -> Vec<u32> {
        let starts = self.starts();
        let first = starts.iter().rposition(|(_, _, continues)| !continues).unwrap_or(0);
        starts.iter().skip(first).map(|(epoch, ..)| *epoch).collect()
    }

    /// Returns the epoch in which something was written, and the epochs that continue it.
    fn epochs(&self, written_at: i64) -> Vec<u32> {
        let starts = self.starts();
        // The first epoch begins when the loader first sees the topic, which may be older.
        let written_in = starts.iter().rposition(|(_, started, _)| *started <= written_at).unwrap_or(0);
        let after = starts.iter().skip(written_in + 1).take_while(|(_, _, continues)| *continues);
        starts.iter().skip(written_in).take(1).chain(after).map(|(epoch, ..)| *epoch).collect()
    }

    /// Returns the epochs in their order: when each began, and whether it continues the one before it.
    fn starts(&self) -> Vec<(u32, i64, bool)> {
        let mut starts: Vec<(u32, i64, bool)> =
            self.partitions.iter().map(|found| (found.epoch, found.started_at, found.continues)).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }
}

impl LoadedWithGaps {
    /// Returns the first gap within these offsets, which were written at `written_at`. Only the counts show whether this upload lost rows:
    /// between its first and last offset there are also messages of other uploads.
    pub fn gap(&self, offsets: &Offsets, written_at: i64) -> Option<&Gap> {
        let epochs = self.loaded.epochs(written_at);
        self.gaps.iter().find(|gap| {
            let overlaps = |(first, last): &(i64, i64)| {
                gap.first_offset <= last.cast_unsigned() && first.cast_unsigned() <= gap.last_offset
            };
            epochs.contains(&gap.epoch) && offsets.get(&gap.partition).is_some_and(overlaps)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(partitions: &[(u32, i64, u16, u64)]) -> Loaded {
        let of = |&(epoch, started_at, partition, next_offset): &_| LoadedPartition {
            epoch,
            started_at,
            continues: false,
            partition,
            next_offset,
            has_holes: false,
        };
        Loaded { partitions: partitions.iter().map(of).collect() }
    }

    #[test]
    fn rows_written_before_another_loader_took_over_are_loaded_by_that_loader() {
        let mut loaded = loaded(&[(1, 100, 0, 50), (2, 200, 0, 80), (3, 300, 0, 5)]);
        let offsets = Offsets::from([(0, (40, 79))]);
        assert_eq!(loaded.missing(&offsets, 150), BTreeMap::from([(0, 30)]));
        loaded.partitions[1].continues = true;
        assert!(loaded.has(&offsets, 150) && loaded.has(&offsets, 250));
        assert!(!loaded.has(&offsets, 350));
    }

    #[test]
    fn what_was_loaded_before_another_loader_took_over_counts_for_the_topic_as_it_is_now() {
        let mut loaded = loaded(&[(1, 100, 0, 90), (2, 200, 0, 50), (3, 300, 0, 0)]);
        let next_offsets = |next| BTreeMap::from([(0, next)]);
        assert!(loaded.reaches(&next_offsets(0)) && !loaded.reaches(&next_offsets(1)));
        loaded.partitions[2].continues = true;
        assert!(loaded.reaches(&next_offsets(50)) && !loaded.reaches(&next_offsets(51)));
    }

    #[test]
    fn a_gap_is_found_in_the_epoch_in_which_it_was_written() {
        let loaded = loaded(&[(1, 100, 0, 50), (2, 200, 0, 5)]);
        let (reason, code) = (String::new(), "deleted_before_load".to_owned());
        let gap = Gap { epoch: 1, partition: 0, first_offset: 10, last_offset: 19, code, reason };
        let loaded = LoadedWithGaps { loaded, gaps: vec![gap] };
        let gap = |first, last, at| loaded.gap(&Offsets::from([(0, (first, last))]), at).is_some();
        assert!(gap(0, 10, 150) && gap(19, 30, 150) && gap(0, 30, 150));
        assert!(!gap(0, 9, 150) && !gap(20, 30, 150) && !gap(0, 30, 250));
    }

    #[test]
    fn whether_rows_are_loaded_depends_on_the_epoch_in_which_they_were_written() {
        let loaded = loaded(&[(1, 100, 0, 50), (1, 100, 1, 10), (2, 200, 0, 5), (3, 300, 0, 0)]);
        let offsets = |offsets: &[(u16, i64)]| -> Offsets {
            offsets.iter().map(|&(partition, last)| (partition, (0, last))).collect()
        };
        assert!(loaded.has(&offsets(&[]), 150));
        assert!(loaded.has(&offsets(&[(0, 49), (1, 9)]), 150));
        assert!(!loaded.has(&offsets(&[(0, 50)]), 150));
        // Written before the loader saw the topic for the first time.
        assert!(loaded.has(&offsets(&[(0, 49)]), 1));
        // The topic was recreated.
        assert!(loaded.has(&offsets(&[(0, 4)]), 250));
        assert!(!loaded.has(&offsets(&[(0, 5)]), 250) && !loaded.has(&offsets(&[(1, 0)]), 250));
        // The topic was recreated again, and nothing is loaded yet.
        assert!(!loaded.has(&offsets(&[(0, 0)]), 350));
    }
}
