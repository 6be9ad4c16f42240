//! Files whose rows were all acknowledged, by the digests of their bytes.

use bytes::Bytes;
use clickhouse::Row;
use serde::Deserialize;

use super::client::{Warehouse, WarehouseError};
use super::row_binary::write_text;
use crate::ingest::upload::Receipt;

const INSERT: &str = "INSERT INTO uploads (upload_id, file_name, sha256, head_sha256, encoding, offsets, bytes, rows, \
     accepted, rejected) FORMAT RowBinary";

/// An earlier upload.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct FinishedUpload {
    pub upload_id: String,
    pub sha256: String,
    pub bytes: u64,
    pub encoding: String,
    pub rows: u64,
    pub accepted: u64,
    pub rejected: u64,
    /// First and last offset by partition, as JSON.
    pub offsets: String,
}

/// Returns the uploads whose first bytes have this digest.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn with_head(
    warehouse: &Warehouse,
    head_sha256: &str,
) -> Result<Vec<FinishedUpload>, WarehouseError> {
    let query = warehouse.query(include_str!("../../queries/uploads/with_head.sql"));
    Ok(query.param("head_sha256", head_sha256).fetch_all().await?)
}

/// Notes an upload whose rows are all acknowledged.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn add(warehouse: &Warehouse, receipt: &Receipt, head_sha256: &str) -> Result<(), WarehouseError> {
    let offsets = serde_json::to_string(&receipt.offsets).unwrap_or_default();
    let mut row = Vec::new();
    let texts =
        [&receipt.upload_id, &receipt.file_name, &receipt.sha256, head_sha256, &receipt.encoding, &offsets];
    for text in texts {
        write_text(text.as_bytes(), &mut row);
    }
    for number in [receipt.bytes, receipt.rows, receipt.accepted, receipt.rejected] {
        row.extend(number.to_le_bytes());
    }
    warehouse.insert_rows(INSERT, Bytes::from(row)).await
}
