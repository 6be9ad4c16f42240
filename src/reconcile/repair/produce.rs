//! Produces missing rows: they become a file, which is processed like any upload.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;

use super::plan::Plan;
use super::tables::Tables;
use super::{RepairError, Repairer};
use crate::domain::decimal_mark::DecimalMark;
use crate::ingest::rows::ReadOptions;
use crate::ingest::upload::{Outcome, UploadOptions};
use crate::warehouse::client::WarehouseError;
use crate::warehouse::uploads::{LedgerRow, Loaded};
use crate::warehouse::visibility::wait_until_loaded;

const MISSING_ROWS: &str = include_str!("../../../queries/engine/repair/missing_rows.sql");

/// How long acknowledged rows may take to become visible.
const VISIBLE_PATIENCE: Duration = Duration::from_secs(600);

impl Repairer {
    /// Produces the rows whose rounds are not stored. Returns the upload, if there were such rows, once the broker has acknowledged them.
    pub(super) async fn produce_missing(
        &self,
        plan: &Plan,
        file_name: &str,
    ) -> Result<Option<LedgerRow>, RepairError> {
        if plan.missing().await? == 0 {
            return Ok(None);
        }
        let options = UploadOptions {
            file_name: format!("repair of {file_name}"),
            // As ClickHouse writes it: decimal points, and times in UTC.
            read: ReadOptions {
                encoding: Some(encoding_rs::UTF_8),
                decimal: Some(DecimalMark::Point),
                ..ReadOptions::default()
            },
            force: true,
            is_repair: true,
            ..UploadOptions::default()
        };
        // Columns that a custom schema adds.
        let known = |name: &str| MISSING_ROWS.contains(&format!(" {name}"));
        let columns = self.uploader.columns();
        let more = columns.fields().filter(|column| !known(&column.name));
        let more: String = more.map(|column| format!(", `file_{0}` AS `{0}`", column.name)).collect();
        let query = plan.query(&MISSING_ROWS.replace("/* more columns */", &more));
        let rows = query.fetch_bytes("CSVWithNames").map_err(WarehouseError::from)?;
        let body = Box::pin(stream::try_unfold(rows, |mut rows| async {
            let piece: Option<Bytes> = rows.next().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(piece.map(|piece| (piece, rows)))
        }));
        let row = match self.uploader.run(options, body).await {
            Ok(Outcome::Acknowledged(finished)) => finished.row,
            Ok(Outcome::Duplicate(row)) => row,
            Ok(Outcome::Validated(finished)) => finished.row,
            Err(failure) => return Err(failure.error.into()),
        };
        if row.rejected > 0 {
            return Err(RepairError::Rejected { rows: row.rejected, upload_id: row.upload_id });
        }
        Ok(Some(row))
    }
}

/// Waits until the rows of an upload are visible.
pub(super) async fn until_visible(tables: &Tables, row: &LedgerRow) -> Result<(), RepairError> {
    let is_loaded = |loaded: &Loaded| loaded.has(&row.offsets, row.updated_at);
    match wait_until_loaded(&tables.warehouse, &row.topic, VISIBLE_PATIENCE, is_loaded).await? {
        true => Ok(()),
        false => Err(RepairError::NotVisible),
    }
}
