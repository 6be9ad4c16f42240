//! Produces missing rows: they become a file, which is processed like any upload.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;

use super::plan::Plan;
use super::tables::Tables;
use super::{RepairError, Repairer};
use crate::dataset::api_path::api_path;
use crate::domain::columns::Columns;
use crate::ingest::column_names::ColumnNames;
use crate::ingest::format::FileFormat;
use crate::ingest::rows::ReadOptions;
use crate::ingest::upload::{Outcome, UploadOptions};
use crate::warehouse::client::WarehouseError;
use crate::warehouse::uploads::{LedgerRow, Loaded};
use crate::warehouse::visibility::wait_until_loaded;

/// How long acknowledged rows may take to become visible.
const VISIBLE_PATIENCE: Duration = Duration::from_secs(600);

impl Repairer {
    /// Produces the rows that are not stored. Returns the upload, if there were such rows, once the broker has acknowledged them.
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
            read: ReadOptions {
                format: FileFormat::NdJson,
                encoding: Some(encoding_rs::UTF_8),
                columns: own_names(self.uploader.columns()),
                ..ReadOptions::default()
            },
            force: true,
            is_repair: true,
            ..UploadOptions::default()
        };
        let query = plan
            .query(include_str!("../../../queries/engine/repair/missing_rows.sql"))
            .with_setting("date_time_output_format", "iso")
            .with_setting("output_format_json_quote_decimals", "1")
            .with_setting("output_format_json_quote_64bit_integers", "0");
        let rows = query.fetch_bytes("JSONEachRow").map_err(WarehouseError::from)?;
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
            let path = format!("/uploads/{}/rejects", row.upload_id);
            let path = api_path(&plan.tables.dataset.name, &path);
            return Err(RepairError::Rejected { rows: row.rejected, path });
        }
        Ok(Some(row))
    }
}

/// Has each member of a JSON object called like its column, also where files have it somewhere else.
fn own_names(columns: &Columns) -> ColumnNames {
    let elsewhere = columns.fields().filter(|column| column.path.is_some());
    let pairs: Vec<String> = elsewhere.map(|column| format!("{0}:{0}", column.name)).collect();
    ColumnNames::stored(&pairs.join(","))
}

/// Waits until the rows of an upload are visible.
pub(super) async fn until_visible(tables: &Tables, row: &LedgerRow) -> Result<(), RepairError> {
    let is_loaded = |loaded: &Loaded| loaded.has(&row.offsets, row.updated_at);
    match wait_until_loaded(&tables.warehouse, &row.topic, VISIBLE_PATIENCE, is_loaded).await? {
        true => Ok(()),
        false => Err(RepairError::NotVisible),
    }
}
