//! Rejected lines, and which of them a replay has produced after all.

use bytes::Bytes;
use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::client::{Warehouse, WarehouseError};
use super::row_binary::write_text;

const INSERT: &str = "INSERT INTO reject_replays (upload_id, line, replay_id) FORMAT RowBinary";

/// A rejected line.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
#[schema(as = RejectedLine)]
pub struct RejectRow {
    /// Number of its line in the file, from 1.
    pub line: u64,
    /// Where its line begins in the file (decompressed), in bytes from 0.
    pub byte_offset: u64,
    /// Empty: the whole line.
    pub column: String,
    pub code: String,
    pub reason: String,
    /// The line as it stood in the file, in UTF-8.
    pub raw: String,
}

/// Which rejected lines are asked for.
#[derive(Clone, Debug)]
pub struct Rejected<'a> {
    pub upload_id: Uuid,
    pub code: Option<&'a str>,
    /// Those that a replay has produced, instead of those that are open.
    pub replayed: bool,
}

/// Begins to fetch rejected lines in their order, `limit` at most.
///
/// # Errors
/// ClickHouse does not answer.
pub fn fetch(
    warehouse: &Warehouse,
    rejected: &Rejected<'_>,
    limit: u64,
) -> Result<RowCursor<RejectRow>, WarehouseError> {
    let query = warehouse
        .query(include_str!("../../queries/uploads/rejects.sql"))
        .param("upload_id", rejected.upload_id.to_string())
        .param("code", rejected.code.unwrap_or_default())
        .param("replayed", u8::from(rejected.replayed))
        .param("limit", limit);
    Ok(query.fetch()?)
}

/// Returns the numbers of an upload's rejected lines that are open.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn open_lines(
    warehouse: &Warehouse,
    upload_id: Uuid,
    code: Option<&str>,
) -> Result<Vec<u64>, WarehouseError> {
    let query = warehouse.query(include_str!("../../queries/uploads/reject_lines.sql"));
    let query = query.param("upload_id", upload_id.to_string()).param("code", code.unwrap_or_default());
    Ok(query.fetch_all().await?)
}

/// Notes that lines of an upload were produced by a replay.
///
/// # Errors
/// ClickHouse does not answer. It may have taken them: noting them again does no harm.
pub async fn mark_replayed(
    warehouse: &Warehouse,
    upload_id: Uuid,
    replay_id: Uuid,
    lines: &[u64],
) -> Result<(), WarehouseError> {
    let (upload_id, replay_id) = (upload_id.to_string(), replay_id.to_string());
    let mut block = Vec::with_capacity(lines.len() * 82);
    for line in lines {
        write_text(upload_id.as_bytes(), &mut block);
        block.extend(line.to_le_bytes());
        write_text(replay_id.as_bytes(), &mut block);
    }
    if block.is_empty() {
        return Ok(());
    }
    warehouse.insert_rows(INSERT, Bytes::from(block)).await
}
