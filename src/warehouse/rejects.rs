//! Rejected lines, and which of them a replay has produced since.

use bytes::Bytes;
use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::client::{Warehouse, WarehouseError};
use super::row_binary::write_text;

const INSERT: &str = "INSERT INTO reject_replays (upload_id, line, replay_id) FORMAT RowBinary";

/// A rejected line, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct RejectRow {
    /// Line number in the file, starting at 1.
    pub line: u64,
    /// Byte offset of the line in the decompressed file, starting at 0.
    pub byte_offset: u64,
    /// Of its first fault, as are the code and the reason. Empty if the whole line is invalid.
    pub column: String,
    pub code: String,
    pub reason: String,
    /// All faults as JSON, if they are known.
    pub faults: String,
    /// The unchanged line, converted to UTF-8.
    pub raw: String,
}

impl RejectRow {
    /// Returns all faults that are known: at least the first one.
    pub fn faults(&self) -> Vec<StoredFault> {
        let first = || StoredFault {
            column: self.column.clone(),
            code: self.code.clone(),
            reason: self.reason.clone(),
            value: None,
            pointer: None,
        };
        // Anyone may write to the dead letter topic.
        let faults: Vec<StoredFault> = serde_json::from_str(&self.faults).unwrap_or_default();
        if faults.is_empty() { vec![first()] } else { faults }
    }
}

/// A fault of a rejected line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RejectedLineFault)]
pub struct StoredFault {
    /// Empty if the whole line is invalid.
    pub column: String,
    pub code: String,
    pub reason: String,
    /// The text of the field or of the line, cut after 200 characters; if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// JSON Pointer of the value in the row, if the row is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

/// Selects rejected lines.
#[derive(Clone, Debug)]
pub struct Rejected<'a> {
    pub upload_id: Uuid,
    /// Selects lines that have a fault with this code.
    pub code: Option<&'a str>,
    /// Selects lines that a replay has produced, instead of open ones.
    pub replayed: bool,
}

/// Starts to fetch rejected lines in order, at most `limit`.
///
/// # Errors
/// ClickHouse does not answer.
pub fn fetch(
    warehouse: &Warehouse,
    rejected: &Rejected<'_>,
    limit: u64,
) -> Result<RowCursor<RejectRow>, WarehouseError> {
    let query = warehouse
        .query(include_str!("../../queries/engine/uploads/rejects.sql"))
        .param("upload_id", rejected.upload_id.to_string())
        .param("code", rejected.code.unwrap_or_default())
        .param("replayed", u8::from(rejected.replayed))
        .param("limit", limit);
    Ok(query.fetch()?)
}

/// Returns the numbers of an upload's open rejected lines.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn open_lines(
    warehouse: &Warehouse,
    upload_id: Uuid,
    code: Option<&str>,
) -> Result<Vec<u64>, WarehouseError> {
    let query = warehouse.query(include_str!("../../queries/engine/uploads/reject_lines.sql"));
    let query = query.param("upload_id", upload_id.to_string()).param("code", code.unwrap_or_default());
    Ok(query.fetch_all().await?)
}

/// Records that lines of an upload were produced by a replay.
///
/// # Errors
/// ClickHouse does not answer. It may still have stored them; recording them again does no harm.
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
