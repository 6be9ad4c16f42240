//! The counts of an upload's loaded rows: new, duplicate and conflicting.

use clickhouse::Row;
use clickhouse::query::BytesCursor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::client::{Warehouse, WarehouseError};
use super::uploads::{LedgerRow, Loaded, LoadedWithGaps};
use crate::dataset::Dataset;
use crate::domain::columns::{Column, Kind, Source};

/// Rows of an upload that are loaded so far. When the upload is visible, they add up to the accepted rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct UploadCounts {
    /// Rows whose round was not stored before.
    pub new: u64,
    /// Rows whose round was already stored with the same values.
    pub duplicate: u64,
    /// Rows whose round was already stored with other values. The stored values are kept.
    pub conflict: u64,
}

impl UploadCounts {
    /// Returns the number of loaded rows.
    pub fn sum(&self) -> u64 {
        self.new + self.duplicate + self.conflict
    }
}

/// Acknowledged rows of an upload that were not loaded and never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub rows: u64,
    /// Why they were not loaded.
    pub reason: String,
}

/// Returns the lost rows of an upload, if `found` shows that all its other rows are in the tables.
pub fn lost_rows(row: &LedgerRow, found: &LoadedWithGaps, counts: &UploadCounts) -> Option<Lost> {
    let gap = found.gap(&row.offsets, row.updated_at)?;
    let rows = row.accepted.checked_sub(counts.sum()).filter(|rows| *rows > 0)?;
    found.loaded.has(&row.offsets, row.updated_at).then(|| Lost { rows, reason: gap.reason.clone() })
}

/// Whether an acknowledged upload has lost rows, and its file must be sent again.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn has_lost_rows(warehouse: &Warehouse, row: &LedgerRow) -> Result<bool, WarehouseError> {
    let found = Loaded::of_topic(warehouse, &row.topic).await?.with_gaps(warehouse, &row.topic).await?;
    if found.gap(&row.offsets, row.updated_at).is_none() {
        return Ok(false);
    }
    let counts = of_upload(warehouse, row.upload_id).await?;
    Ok(lost_rows(row, &found, &counts).is_some())
}

/// Returns the counts of an upload so far. All are zero for an unknown upload.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn of_upload(warehouse: &Warehouse, upload_id: Uuid) -> Result<UploadCounts, WarehouseError> {
    let query = warehouse.query(include_str!("../../queries/engine/uploads/counts.sql"));
    Ok(query.param("upload_id", upload_id.to_string()).fetch_one().await?)
}

/// Starts to fetch the rows of an upload that are stored with other values, in one of ClickHouse's formats. Text that begins with one of
/// the characters in `formula_starts` gets an apostrophe. The dataset must have a key.
///
/// # Errors
/// ClickHouse does not answer.
pub fn conflicts(
    warehouse: &Warehouse,
    dataset: &Dataset,
    upload_id: Uuid,
    format: &str,
    formula_starts: &str,
) -> Result<BytesCursor, WarehouseError> {
    let query = warehouse
        .query(&conflicts_statement(dataset))
        .param("upload_id", upload_id.to_string())
        .param("formula_starts", formula_starts)
        .with_setting("date_time_output_format", "iso")
        .with_setting("output_format_json_quote_decimals", "1");
    Ok(query.fetch_bytes(format)?)
}

fn conflicts_statement(dataset: &Dataset) -> String {
    let columns = &dataset.columns;
    let key = columns.key().unwrap_or_default();
    let of_key = key.iter().filter_map(|&at| columns.get(at));
    // Both sides have the same key.
    let keys = of_key.map(|column| shown("sent", column, ""));
    let is_value = |column: &&Column| !key.iter().any(|&at| columns.get(at) == Some(*column));
    let values = columns.fields().filter(is_value);
    let values = values.flat_map(|column| [shown("sent", column, ""), shown("stored", column, "stored_")]);
    let fields: Vec<String> = keys.chain(values).collect();
    let from = |source: Source| match columns.iter().find(|column| column.source == source) {
        Some(column) => format!("stored.`{}`", column.name),
        None => "NULL".to_owned(),
    };
    let template = dataset.template().with("fields", fields.join(", "));
    let template =
        template.with("stored_upload", from(Source::UploadId)).with("stored_line", from(Source::Line));
    template.fill(include_str!("../../queries/engine/uploads/conflicts.sql"))
}

/// Returns the expression that shows a column of one side.
fn shown(side: &str, column: &Column, prefix: &str) -> String {
    let name = &column.name;
    match column.kind {
        Kind::Text { .. } | Kind::Enum => {
            format!("escaped(toValidUTF8({side}.`{name}`)) AS `{prefix}{name}`")
        }
        _ => format!("{side}.`{name}` AS `{prefix}{name}`"),
    }
}
