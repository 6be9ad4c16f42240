//! What became of the rows of an upload, as the loader counts them.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::client::{Warehouse, WarehouseError};

/// Rows of an upload that are loaded so far. Once all of it is visible they add up to the rows that were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
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
