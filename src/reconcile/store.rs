//! Jobs and their reports in ClickHouse, where they survive a restart.

use std::sync::Arc;

use bytes::Bytes;
use clickhouse::Row;
use clickhouse::query::Query;
use encoding_rs::Encoding;
use serde::Deserialize;
use uuid::Uuid;

use super::report::{JobState, JobView, Links, Phase, Report};
use crate::dataset::api_path::api_path;
use crate::dataset::{BETS, Dataset};
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::TimeZone;
use crate::domain::timestamp;
use crate::ingest::column_names::ColumnNames;
use crate::ingest::format::FileFormat;
use crate::ingest::rows::ReadOptions;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::row_binary::write_text;

const INSERT: &str = "INSERT INTO reconcile_jobs (id, dataset, owner, file_name, encoding, decimal, columns, timezone, reason, report, attempt, sha256, \
     upload_ids, version, bytes, state) FORMAT RowBinary";

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) id: Uuid,
    /// The name of the dataset of its rows.
    pub(super) dataset: String,
    /// Grows with each change.
    pub(super) version: u64,
    pub(super) state: JobState,
    pub(super) file_name: String,
    /// As the request said.
    pub(super) read: ReadOptions,
    pub(super) bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub(super) sha256: String,
    /// The uploads that the request named.
    pub(super) uploads: Vec<Uuid>,
    /// The attempt whose differences count, once the job is done.
    pub(super) attempt: Option<Uuid>,
    pub(super) reason: Option<String>,
    pub(super) report: Option<Report>,
}

impl Record {
    /// Returns the job as the API shows it.
    pub(super) fn view(&self, progress: f64, phase: Option<Phase>) -> JobView {
        let this = api_path(&self.dataset, &format!("/reconcile/{}", self.id));
        let is_done = self.state == JobState::Done;
        JobView {
            id: self.id,
            state: self.state,
            phase: phase.filter(|_| self.state == JobState::Running).map(|phase| self.phase(phase)),
            submitted_at: timestamp::format(self.submitted_at()),
            file_name: self.file_name.clone(),
            bytes: self.bytes,
            sha256: self.sha256.clone(),
            timezone: self.read.time_zone.as_ref().map(|zone| zone.name().to_owned()),
            progress: match self.state {
                JobState::Done => 1.0,
                JobState::Failed | JobState::Cancelled => 0.0,
                JobState::Queued | JobState::Running => progress,
            },
            reason: self.reason.clone(),
            report: self.report.clone(),
            links: Links { differences: is_done.then(|| format!("{this}/differences")), this },
        }
    }

    /// The comparison of sums has a name of its own for bets.
    fn phase(&self, phase: Phase) -> Phase {
        let is_of_bets = phase == Phase::ComparingAggregates && self.dataset == BETS;
        if is_of_bets { Phase::ComparingHours } else { phase }
    }

    /// Milliseconds since 1970. A UUID of version 7 contains them.
    fn submitted_at(&self) -> i64 {
        let (seconds, nanos) = self.id.get_timestamp().map(|time| time.to_unix()).unwrap_or_default();
        seconds.cast_signed() * 1000 + i64::from(nanos / 1_000_000)
    }
}

#[derive(Row, Deserialize)]
struct StoredRecord {
    id: String,
    dataset: String,
    version: u64,
    state: String,
    attempt: String,
    file_name: String,
    encoding: String,
    decimal: String,
    columns: String,
    timezone: String,
    bytes: u64,
    sha256: String,
    upload_ids: Vec<String>,
    reason: String,
    report: String,
}

impl StoredRecord {
    /// Returns the job, or none if another program wrote the row.
    fn parse(self) -> Option<Record> {
        Some(Record {
            id: Uuid::try_parse(&self.id).ok()?,
            dataset: self.dataset,
            version: self.version,
            state: match self.state.as_str() {
                "queued" => JobState::Queued,
                "running" => JobState::Running,
                "done" => JobState::Done,
                "failed" => JobState::Failed,
                "cancelled" => JobState::Cancelled,
                _ => return None,
            },
            file_name: self.file_name,
            read: ReadOptions {
                // The file was accepted: its first character shows what it is.
                format: FileFormat::Any,
                encoding: Encoding::for_label(self.encoding.as_bytes()),
                decimal: DecimalMark::of_name(&self.decimal),
                columns: ColumnNames::stored(&self.columns),
                time_zone: TimeZone::of_name(&self.timezone),
            },
            bytes: self.bytes,
            sha256: self.sha256,
            uploads: self.upload_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect(),
            attempt: Uuid::try_parse(&self.attempt).ok(),
            reason: Some(self.reason).filter(|reason| !reason.is_empty()),
            report: serde_json::from_str(&self.report).ok(),
        })
    }
}

/// The jobs of one dataset and spool directory. Jobs of other servers can be read.
#[derive(Clone, Debug)]
pub(super) struct Store {
    warehouse: Warehouse,
    owner: Uuid,
    dataset: Arc<Dataset>,
}

impl Store {
    pub(super) fn new(warehouse: Warehouse, owner: Uuid, dataset: Arc<Dataset>) -> Self {
        Self { warehouse, owner, dataset }
    }

    /// Returns the server whose jobs are changed here.
    pub(super) fn owner(&self) -> Uuid {
        self.owner
    }

    /// Returns a job of any server.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Record>, WarehouseError> {
        let query = self.warehouse.query(include_str!("../../queries/engine/reconcile/job.sql"));
        let record: Option<StoredRecord> =
            self.of_dataset(query).param("id", id.to_string()).fetch_optional().await?;
        Ok(record.and_then(StoredRecord::parse))
    }

    /// Returns at most `limit` jobs of all servers that were submitted before `before`, newest first.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn page(&self, before: Option<Uuid>, limit: u64) -> Result<Vec<Record>, WarehouseError> {
        let query = self.warehouse.query(include_str!("../../queries/engine/reconcile/jobs.sql"));
        let before = before.map(|id| id.to_string()).unwrap_or_default();
        let records: Vec<StoredRecord> =
            self.of_dataset(query).param("before", before).param("limit", limit).fetch_all().await?;
        Ok(records.into_iter().filter_map(StoredRecord::parse).collect())
    }

    fn of_dataset(&self, query: Query) -> Query {
        query.param("dataset", &self.dataset.name)
    }

    /// Returns this server's jobs of all datasets that have not ended, in the order of their submission.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn unfinished(&self) -> Result<Vec<Record>, WarehouseError> {
        let query = self.warehouse.query(include_str!("../../queries/engine/reconcile/unfinished_jobs.sql"));
        let records: Vec<StoredRecord> = query.param("owner", self.owner.to_string()).fetch_all().await?;
        Ok(records.into_iter().filter_map(StoredRecord::parse).collect())
    }

    /// Returns this server's jobs that have left tables, or differences of attempts that do not count. With each job comes the attempt that
    /// counts.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn left_over(&self) -> Result<Vec<(Uuid, Option<Uuid>)>, WarehouseError> {
        let sql = self.dataset.sql(include_str!("../../queries/engine/reconcile/left_over.sql"));
        let query = self.of_dataset(self.warehouse.query(&sql));
        let found: Vec<(String, String)> = query.param("owner", self.owner.to_string()).fetch_all().await?;
        let parse = |(id, attempt): &(String, String)| {
            Some((Uuid::try_parse(id).ok()?, Uuid::try_parse(attempt).ok()))
        };
        Ok(found.iter().filter_map(parse).collect())
    }

    /// Stores a job as it is now.
    ///
    /// # Errors
    /// ClickHouse does not answer. It may have stored the job; storing it again does no harm.
    pub(super) async fn write(&self, record: &Record) -> Result<(), WarehouseError> {
        let report = record.report.as_ref().and_then(|report| serde_json::to_string(report).ok());
        let mut row = Vec::new();
        for text in [
            record.id.to_string().as_str(),
            &record.dataset,
            self.owner.to_string().as_str(),
            &record.file_name,
            record.read.encoding.map_or("", Encoding::name),
            record.read.decimal_name(),
            &record.read.columns.to_string(),
            record.read.time_zone_name(),
            record.reason.as_deref().unwrap_or_default(),
            report.as_deref().unwrap_or_default(),
            &record.attempt.map(|id| id.to_string()).unwrap_or_default(),
            &record.sha256,
        ] {
            write_text(text.as_bytes(), &mut row);
        }
        // An array starts with its length in LEB128. Fewer than 128 uploads can be named, so that is one byte.
        let uploads = record.uploads.iter().take(127);
        row.push(uploads.len() as u8);
        for upload in uploads {
            write_text(upload.to_string().as_bytes(), &mut row);
        }
        row.extend(record.version.to_le_bytes());
        row.extend(record.bytes.to_le_bytes());
        row.push(match record.state {
            JobState::Queued => 1,
            JobState::Running => 2,
            JobState::Done => 3,
            JobState::Failed => 4,
            JobState::Cancelled => 5,
        });
        self.warehouse.insert_rows(INSERT, Bytes::from(row)).await
    }
}
