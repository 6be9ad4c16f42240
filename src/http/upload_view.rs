//! An upload as the API shows it: in the receipt and in `/uploads`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::dataset::api_path::api_path;
use crate::domain::columns::Columns;
use crate::domain::timestamp;
use crate::ingest::column_names::ColumnNames;
use crate::ingest::column_names::plain_name;
use crate::ingest::format::FileFormat;
use crate::ingest::rows::Reject;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::later_headers::LaterHeaders;
use crate::warehouse::rejects::{RejectRow, StoredFault};
use crate::warehouse::upload_counts::{self, Lost, UploadCounts, lost_rows};
use crate::warehouse::uploads::{LedgerRow, LedgerState, LoadedWithGaps, Offsets};

/// The state of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    Receiving,
    /// Kafka has acknowledged every row.
    Acknowledged,
    /// The rows are in the aggregates.
    Visible,
    Failed,
    /// The same bytes were uploaded before. Nothing was produced.
    Duplicate,
    /// Only checked. Nothing was produced.
    Validated,
}

/// The name and position of a column in the file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadColumn)]
struct Field {
    /// The name in the file.
    name: String,
    /// From 1.
    position: usize,
}

/// The progress of a running upload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadProgress)]
struct Progress {
    bytes: u64,
    rows: u64,
    seconds: f64,
    bytes_per_second: u64,
    rows_per_second: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadLinks)]
pub struct Links {
    #[serde(rename = "self")]
    this: String,
    rejects: String,
    conflicts: String,
}

impl Links {
    /// `replay_of`: the upload that has the rejects.
    pub fn of(dataset: &str, id: Uuid, replay_of: Option<Uuid>) -> Self {
        Self {
            this: api_path(dataset, &format!("/uploads/{id}")),
            rejects: api_path(dataset, &format!("/uploads/{}/rejects", replay_of.unwrap_or(id))),
            conflicts: api_path(dataset, &format!("/uploads/{id}/conflicts")),
        }
    }
}

/// An upload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upload)]
pub struct UploadView {
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_id: Option<Uuid>,
    /// The upload whose rejects these rows were.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_of: Option<Uuid>,
    file_name: String,
    pub state: UploadState,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    /// The digest of the file as it was sent, in hexadecimal. Empty until the file is complete.
    sha256: String,
    bytes: u64,
    encoding: String,
    /// `json` if the file is JSON; left out for CSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    /// Empty if the file is JSON.
    delimiter: String,
    /// The position of each column, and its name in the file.
    columns: BTreeMap<String, Field>,
    /// Columns of the file that are ignored.
    ignored_columns: Vec<String>,
    /// Headers after the first one, as in joined files. Left out if there are none.
    #[serde(skip_serializing_if = "LaterHeaders::is_empty")]
    #[schema(required = false)]
    later_headers: LaterHeaders,
    /// The decimal mark of the amounts, if the request named it: `point` or `comma`.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    decimal: String,
    /// The zone of times without one, if the sender named it; else they are UTC.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    timezone: String,
    rows: u64,
    accepted: u64,
    rejected: u64,
    /// The accepted rows that Kafka has acknowledged.
    acknowledged: u64,
    rejects_by_code: BTreeMap<String, u64>,
    /// New, duplicate and conflict, once the rows are visible. Their sum is `accepted`.
    #[serde(flatten)]
    pub counts: Option<UploadCounts>,
    schema_id: u32,
    topic: String,
    /// First and last offset of the rows, by partition.
    #[schema(value_type = BTreeMap<String, [i64; 2]>)]
    offsets: Offsets,
    /// The first twenty rejected rows. If the same bytes were uploaded before: those that are still rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Reject>>)]
    rejects: Option<Vec<RejectView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    /// Rows that a replay has produced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replayed: Option<u64>,
    /// Rows of a replay that are still rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub still_rejected: Option<u64>,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<Links>,
}

/// A rejected row: found now, or stored by an earlier upload of the same bytes. Both have the shape of [`Reject`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum RejectView {
    Found(Reject),
    Stored(StoredReject),
}

impl RejectView {
    fn stored(row: RejectRow) -> Self {
        let faults = row.faults();
        let RejectRow { line, byte_offset, .. } = row;
        // A row has at least one fault.
        let first = faults.first().cloned();
        Self::Stored(StoredReject { line, byte_offset, first, faults })
    }
}

#[derive(Debug, Serialize)]
struct StoredReject {
    line: u64,
    byte_offset: u64,
    #[serde(flatten)]
    first: Option<StoredFault>,
    faults: Vec<StoredFault>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadFailure)]
struct Failure {
    code: String,
    reason: String,
}

impl UploadView {
    /// Shows an upload from its row in the ledger.
    pub fn of(row: &LedgerRow, columns: &Columns) -> Self {
        let state = match row.state {
            LedgerState::Receiving => UploadState::Receiving,
            LedgerState::Acknowledged => UploadState::Acknowledged,
            LedgerState::Failed => UploadState::Failed,
        };
        let (fields, ignored_columns) = mapping(row, columns);
        Self {
            upload_id: Some(row.upload_id),
            replay_of: row.replay_of,
            file_name: row.file_name.clone(),
            state,
            failure: (state == UploadState::Failed)
                .then(|| Failure { code: row.failure_code.clone(), reason: row.reason.clone() }),
            sha256: row.sha256.clone(),
            bytes: row.bytes,
            encoding: row.encoding.clone(),
            format: (row.format == FileFormat::Json.name()).then(|| FileFormat::Json.name()),
            delimiter: row.delimiter.clone(),
            columns: fields,
            ignored_columns,
            later_headers: row.later_headers.clone(),
            decimal: row.decimal.clone(),
            timezone: row.timezone.clone(),
            rows: row.rows,
            accepted: row.accepted,
            rejected: row.rejected,
            acknowledged: row.acknowledged,
            rejects_by_code: row.rejects_by_code.clone(),
            counts: None,
            schema_id: row.schema_id,
            topic: row.topic.clone(),
            offsets: row.offsets.clone(),
            rejects: None,
            progress: (state == UploadState::Receiving).then(|| progress(row)),
            replayed: None,
            still_rejected: None,
            started_at: timestamp::format(row.started_at),
            updated_at: timestamp::format(row.updated_at),
            seconds: row.seconds,
            links: Some(Links::of(&row.dataset, row.upload_id, row.replay_of)),
        }
    }

    /// Shows the first rejects.
    pub fn with_rejects(mut self, rejects: Vec<Reject>) -> Self {
        self.rejects = Some(rejects.into_iter().map(RejectView::Found).collect());
        self
    }

    /// Shows the first rejects of a known file, if they are known.
    pub fn with_stored_rejects(mut self, rejects: Option<Vec<RejectRow>>) -> Self {
        self.rejects = rejects.map(|rejects| rejects.into_iter().map(RejectView::stored).collect());
        self
    }

    /// Shows a file that was only checked: it has no id and no links.
    pub fn validated(mut self) -> Self {
        self.state = UploadState::Validated;
        self.upload_id = None;
        self.links = None;
        self
    }

    pub fn duplicate(mut self, seconds: f64) -> Self {
        self.state = UploadState::Duplicate;
        self.rejects = Some(Vec::new());
        self.seconds = seconds;
        self
    }

    /// Shows the counts of its rows, if all of them are in the tables.
    pub fn seen(mut self, seen: Option<Seen>) -> Self {
        let Some(seen) = seen else { return self };
        self.counts = seen.counts;
        if self.state == UploadState::Acknowledged {
            self.state = if seen.lost.is_some() { UploadState::Failed } else { UploadState::Visible };
            self.failure = seen.lost.map(failure);
        }
        self
    }
}

fn progress(row: &LedgerRow) -> Progress {
    let per_second = |count: u64| if row.seconds > 0.0 { (count as f64 / row.seconds) as u64 } else { 0 };
    Progress {
        bytes: row.bytes,
        rows: row.rows,
        seconds: row.seconds,
        bytes_per_second: per_second(row.bytes),
        rows_per_second: per_second(row.rows),
    }
}

/// Returns which field of a file is which column, and which fields are ignored.
fn mapping(row: &LedgerRow, columns: &Columns) -> (BTreeMap<String, Field>, Vec<String>) {
    let Some(delimiter) = row.delimiter.bytes().next() else { return (BTreeMap::new(), Vec::new()) };
    let mut fields = BTreeMap::new();
    let mut ignored = Vec::new();
    let column_names = ColumnNames::stored(&row.columns);
    for (at, name) in names(&row.header, delimiter).into_iter().enumerate() {
        let plain = plain_name(&name);
        match column_names.column_of(&plain, columns) {
            Some(column) => drop(fields.insert(column.name.clone(), Field { name, position: at + 1 })),
            None if plain.is_empty() => {}
            None => ignored.push(plain),
        }
    }
    (fields, ignored)
}

/// The names in a header line, unchanged.
pub fn names(header: &str, delimiter: u8) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(header.as_bytes());
    let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
    record.iter().map(str::to_owned).collect()
}

/// The counts of an upload whose rows are all in the tables.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// None if the loader does not count them.
    counts: Option<UploadCounts>,
    /// Rows that were not loaded and never will be.
    lost: Option<Lost>,
}

impl Seen {
    /// A list of uploads does not show the counts.
    pub fn without_counts(self) -> Self {
        Self { counts: None, ..self }
    }
}

fn failure(lost: Lost) -> Failure {
    let Lost { rows, reason } = lost;
    let reason = format!("{rows} acknowledged rows are not stored: {reason}; send the file again");
    Failure { code: "rows_lost".to_owned(), reason }
}

/// Returns the counts of an upload's rows if all acknowledged ones are in the tables.
///
/// # Errors
/// ClickHouse does not respond.
pub async fn look(
    warehouse: &Warehouse,
    row: &LedgerRow,
    found: &LoadedWithGaps,
) -> Result<Option<Seen>, WarehouseError> {
    if row.state != LedgerState::Acknowledged || !found.loaded.has(&row.offsets, row.updated_at) {
        return Ok(None);
    }
    let counts = upload_counts::of_upload(warehouse, row.upload_id).await?;
    let lost = lost_rows(row, found, &counts);
    match counts.sum() {
        _ if lost.is_some() => Ok(Some(Seen { counts: Some(counts), lost })),
        sum if sum == row.accepted => Ok(Some(Seen { counts: Some(counts), lost: None })),
        0 => Ok(Some(Seen { counts: None, lost: None })),
        // A batch that Kafka stored before it acknowledged it late has no offset in the receipt.
        _ => Ok(None),
    }
}
