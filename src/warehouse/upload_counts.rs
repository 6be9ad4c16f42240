//! What became of the rows of an upload, as the loader counts them.

use clickhouse::Row;
use clickhouse::query::BytesCursor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::client::{Warehouse, WarehouseError};
use super::uploads::{LedgerRow, Loaded};

/// Rows of an upload that are loaded so far. Once all of it is visible they add up to the rows that were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct UploadCounts {
    /// Rounds that were not stored yet.
    pub new: u64,
    /// Of a round that was there already with the same values.
    pub duplicate: u64,
    /// Of a round that was there already with other values, which stay.
    pub conflict: u64,
}

impl UploadCounts {
    /// The rows that are loaded.
    pub fn sum(&self) -> u64 {
        self.new + self.duplicate + self.conflict
    }
}

/// Rows of an upload that the broker had, and that were not loaded and never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub rows: u64,
    /// Why.
    pub reason: String,
}

/// Returns the rows that an upload has lost, if `loaded` says that all of the rest is in the tables.
pub fn lost_rows(row: &LedgerRow, loaded: &Loaded, counts: &UploadCounts) -> Option<Lost> {
    let gap = loaded.gap(&row.offsets, row.updated_at)?;
    let rows = row.accepted.checked_sub(counts.sum()).filter(|rows| *rows > 0)?;
    loaded.has(&row.offsets, row.updated_at).then(|| Lost { rows, reason: gap.reason.clone() })
}

/// Whether an acknowledged upload has lost rows, so that its file has to be sent again.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn has_lost_rows(warehouse: &Warehouse, row: &LedgerRow) -> Result<bool, WarehouseError> {
    let loaded = Loaded::of_topic(warehouse, &row.topic).await?;
    if loaded.gap(&row.offsets, row.updated_at).is_none() {
        return Ok(false);
    }
    let counts = of_upload(warehouse, row.upload_id).await?;
    Ok(lost_rows(row, &loaded, &counts).is_some())
}

/// Returns what became of an upload's rows so far; of an unknown upload, nothing.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn of_upload(warehouse: &Warehouse, upload_id: Uuid) -> Result<UploadCounts, WarehouseError> {
    let query = warehouse.query(include_str!("../../queries/uploads/counts.sql"));
    Ok(query.param("upload_id", upload_id.to_string()).fetch_one().await?)
}

/// Begins to fetch the rounds of an upload that are stored with other values, in a format of ClickHouse's.
///
/// # Errors
/// ClickHouse does not answer.
pub fn conflicts(
    warehouse: &Warehouse,
    upload_id: Uuid,
    format: &str,
) -> Result<BytesCursor, WarehouseError> {
    let query = warehouse
        .query(include_str!("../../queries/uploads/conflicts.sql"))
        .param("upload_id", upload_id.to_string())
        .with_setting("date_time_output_format", "iso")
        .with_setting("output_format_json_quote_decimals", "1");
    Ok(query.fetch_bytes(format)?)
}
