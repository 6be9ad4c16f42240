//! The ledger of uploads: how far each has come, and how far the loader has.

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

const INSERT: &str = "INSERT INTO upload_ledger (upload_id, owner, replay_of, failure_code, reason, file_name, sha256, \
     head_sha256, encoding, delimiter, header, later_headers, decimal, topic, offsets, dead_letter_offsets, rejects_by_code, state, version, bytes, \
     rows, accepted, rejected, acknowledged, started_at, updated_at, seconds, schema_id) FORMAT RowBinary";

/// What the ledger says of an upload. That it is visible is told from its offsets: [`Loaded::has`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerState {
    #[default]
    Receiving,
    /// The broker has every row.
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

/// An upload, as it is or was at some moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerRow {
    pub upload_id: Uuid,
    /// Grows with every change.
    pub version: u64,
    pub owner: Uuid,
    /// The upload whose rejects these rows were.
    pub replay_of: Option<Uuid>,
    pub state: LedgerState,
    /// Why it failed, as the API says it; empty if it did not. So the next.
    pub failure_code: String,
    pub reason: String,
    pub file_name: String,
    /// Of the file as it was sent, in hexadecimal; empty until it is whole.
    pub sha256: String,
    /// Of its first bytes.
    pub head_sha256: String,
    pub bytes: u64,
    pub encoding: String,
    pub delimiter: String,
    /// The file's first line.
    pub header: String,
    pub later_headers: LaterHeaders,
    /// The decimal mark of its amounts, as its sender named it; empty: it did not.
    pub decimal: String,
    pub rows: u64,
    pub accepted: u64,
    pub rejected: u64,
    /// Of the accepted ones, those that the broker has.
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
    delimiter: String,
    header: String,
    later_headers: String,
    decimal: String,
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
    /// Returns the upload, unless the row is not one of ours.
    fn parse(self) -> Option<LedgerRow> {
        Some(LedgerRow {
            upload_id: Uuid::try_parse(&self.upload_id).ok()?,
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
            delimiter: self.delimiter,
            header: self.header,
            later_headers: serde_json::from_str(&self.later_headers).unwrap_or_default(),
            decimal: self.decimal,
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

/// Which uploads are asked for; what is none does not matter.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    pub upload_id: Option<Uuid>,
    /// Those that began before this one.
    pub before: Option<Uuid>,
    /// Those whose first bytes have this digest.
    pub head_sha256: Option<&'a str>,
    pub owner: Option<Uuid>,
    pub state: Option<LedgerState>,
}

/// Returns uploads, newest first, `limit` of them at most.
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
        .query(include_str!("../../queries/uploads/ledger.sql"))
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

/// Where the rows of an upload are that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub topic: String,
    pub offsets: Offsets,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

impl Acknowledged {
    /// None for an upload that is under way, or has failed.
    pub fn of(row: &LedgerRow) -> Option<Self> {
        (row.state == LedgerState::Acknowledged).then(|| Self {
            topic: row.topic.clone(),
            offsets: row.offsets.clone(),
            updated_at: row.updated_at,
        })
    }
}

/// Returns the acknowledged uploads that began last, newest first, `limit` of them at most.
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
    let query = warehouse.query(include_str!("../../queries/uploads/last_acknowledged.sql"));
    let rows: Vec<Stored> = query.param("limit", limit).fetch_all().await?;
    let parse = |row: Stored| Acknowledged {
        topic: row.topic,
        offsets: serde_json::from_str(&row.offsets).unwrap_or_default(),
        updated_at: row.updated_at,
    };
    Ok(rows.into_iter().map(parse).collect())
}

/// Notes uploads as they are now.
///
/// # Errors
/// ClickHouse does not answer. It may have taken them: noting them again does no harm.
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
        &row.topic,
        &json(&row.offsets),
        &json(&row.dead_letter_offsets),
    ] {
        write_text(text.as_bytes(), out);
    }
    // A map: how many pairs, in LEB128; there are fewer codes than 128.
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
}

#[derive(Debug, Row, Deserialize)]
struct LoadedPartition {
    epoch: u32,
    started_at: i64,
    /// The epoch goes on where the one before ended.
    continues: bool,
    partition: u16,
    next_offset: u64,
}

/// Offsets of a topic that were not loaded and never will be, the first and the last included.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Gap {
    epoch: u32,
    partition: u16,
    first_offset: u64,
    last_offset: u64,
    pub code: String,
    pub reason: String,
}

/// How far a topic is in the tables, in each of its epochs.
#[derive(Debug)]
pub struct Loaded {
    partitions: Vec<LoadedPartition>,
    gaps: Vec<Gap>,
}

impl Loaded {
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn of_topic(warehouse: &Warehouse, topic: &str) -> Result<Self, WarehouseError> {
        let query = |sql| warehouse.query(sql).param("topic", topic);
        // In this order: what is passed over is a gap before its offsets count as loaded.
        let partitions = query(include_str!("../../queries/uploads/loaded_offsets.sql")).fetch_all().await?;
        let gaps = query(include_str!("../../queries/uploads/gaps.sql")).fetch_all().await?;
        Ok(Self { partitions, gaps })
    }

    /// Whether everything up to these offsets is in the tables, or passed over, which were written at `written_at` (milliseconds since
    /// 1970): a topic that was recreated begins at offset 0 again, so that it matters which of the two they are of.
    pub fn has(&self, offsets: &Offsets, written_at: i64) -> bool {
        self.missing(offsets, written_at).is_empty()
    }

    /// Returns, for each partition that is not loaded up to these offsets, by how many it is behind.
    pub fn missing(&self, offsets: &Offsets, written_at: i64) -> BTreeMap<u16, u64> {
        let epochs = self.epochs(written_at);
        let next = |partition| {
            let here =
                |found: &&LoadedPartition| epochs.contains(&found.epoch) && found.partition == partition;
            self.partitions.iter().filter(here).map(|found| found.next_offset).max().unwrap_or(0)
        };
        offsets
            .iter()
            .map(|(partition, (_, last))| {
                (*partition, (last + 1).cast_unsigned().saturating_sub(next(*partition)))
            })
            .filter(|(_, missing)| *missing > 0)
            .collect()
    }

    /// Returns the first gap among these offsets, which were written at `written_at`. Whose rows are missing is for their counts to say:
    /// between the first and the last offset of an upload are messages of others, too.
    pub fn gap(&self, offsets: &Offsets, written_at: i64) -> Option<&Gap> {
        let epochs = self.epochs(written_at);
        self.gaps.iter().find(|gap| {
            let overlaps = |(first, last): &(i64, i64)| {
                gap.first_offset <= last.cast_unsigned() && first.cast_unsigned() <= gap.last_offset
            };
            epochs.contains(&gap.epoch) && offsets.get(&gap.partition).is_some_and(overlaps)
        })
    }

    /// The epoch in which something was written, and those that go on where it ended.
    fn epochs(&self, written_at: i64) -> Vec<u32> {
        let mut starts: Vec<(u32, i64, bool)> =
            self.partitions.iter().map(|found| (found.epoch, found.started_at, found.continues)).collect();
        starts.sort_unstable();
        starts.dedup();
        // The first epoch begins when the loader meets the topic, which may have been long there.
        let written_in = starts.iter().rposition(|(_, started, _)| *started <= written_at).unwrap_or(0);
        let after = starts.iter().skip(written_in + 1).take_while(|(_, _, continues)| *continues);
        starts.iter().skip(written_in).take(1).chain(after).map(|(epoch, ..)| *epoch).collect()
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
        };
        Loaded { partitions: partitions.iter().map(of).collect(), gaps: Vec::new() }
    }

    #[test]
    fn what_was_written_before_another_loader_took_over_is_loaded_by_that_one() {
        let mut loaded = loaded(&[(1, 100, 0, 50), (2, 200, 0, 80), (3, 300, 0, 5)]);
        let offsets = Offsets::from([(0, (40, 79))]);
        assert_eq!(loaded.missing(&offsets, 150), BTreeMap::from([(0, 30)]));
        loaded.partitions[1].continues = true;
        assert!(loaded.has(&offsets, 150) && loaded.has(&offsets, 250));
        assert!(!loaded.has(&offsets, 350));
    }

    #[test]
    fn a_gap_is_found_in_the_epoch_in_which_it_was_written() {
        let mut loaded = loaded(&[(1, 100, 0, 50), (2, 200, 0, 5)]);
        let (reason, code) = (String::new(), "deleted_before_load".to_owned());
        loaded.gaps.push(Gap { epoch: 1, partition: 0, first_offset: 10, last_offset: 19, code, reason });
        let gap = |first, last, at| loaded.gap(&Offsets::from([(0, (first, last))]), at).is_some();
        assert!(gap(0, 10, 150) && gap(19, 30, 150) && gap(0, 30, 150));
        assert!(!gap(0, 9, 150) && !gap(20, 30, 150) && !gap(0, 30, 250));
    }

    #[test]
    fn what_is_loaded_is_told_by_the_epoch_in_which_it_was_written() {
        let loaded = loaded(&[(1, 100, 0, 50), (1, 100, 1, 10), (2, 200, 0, 5), (3, 300, 0, 0)]);
        let offsets = |offsets: &[(u16, i64)]| -> Offsets {
            offsets.iter().map(|&(partition, last)| (partition, (0, last))).collect()
        };
        assert!(loaded.has(&offsets(&[]), 150));
        assert!(loaded.has(&offsets(&[(0, 49), (1, 9)]), 150));
        assert!(!loaded.has(&offsets(&[(0, 50)]), 150));
        // Before the loader met the topic for the first time.
        assert!(loaded.has(&offsets(&[(0, 49)]), 1));
        // The topic was made anew.
        assert!(loaded.has(&offsets(&[(0, 4)]), 250));
        assert!(!loaded.has(&offsets(&[(0, 5)]), 250) && !loaded.has(&offsets(&[(1, 0)]), 250));
        // And again, and nothing is loaded yet.
        assert!(!loaded.has(&offsets(&[(0, 0)]), 350));
    }
}
