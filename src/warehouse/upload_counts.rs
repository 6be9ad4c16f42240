//! What became of the rows of an upload, as the loader counts them.

use clickhouse::Row;
use clickhouse::query::BytesCursor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::client::{Warehouse, WarehouseError};

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
