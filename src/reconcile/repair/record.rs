//! Repairs as they are stored in ClickHouse, where they survive a restart, and as `GET /reconcile/{id}` shows them.

use bytes::Bytes;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::counted::counted;
use crate::dataset::{BETS, Dataset};
use crate::reconcile::report::Report;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::row_binary::write_text;

const INSERT: &str = "INSERT INTO reconcile_repairs (job_id, owner, attempt, prefer, reason, version, state, removes, produced, \
     overwritten, removed, hours_rebuilt, seconds, upload_ids) FORMAT RowBinary";

/// The state of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepairState {
    Queued,
    Running,
    Done,
    Failed,
}

impl RepairState {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "queued" => Self::Queued,
            "running" => Self::Running,
            "done" => Self::Done,
            "failed" => Self::Failed,
            _ => return None,
        })
    }

    fn number(self) -> u8 {
        match self {
            Self::Queued => 1,
            Self::Running => 2,
            Self::Done => 3,
            Self::Failed => 4,
        }
    }

    /// Whether the repair is done or has failed.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// Which values win when a stored row differs from the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// Stored values stay, and the difference is reported.
    #[default]
    Stored,
    /// The stored row gets the values of the file.
    File,
}

impl Prefer {
    pub const ALL: [Self; 2] = [Self::Stored, Self::File];

    /// Returns the choice of this name.
    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|prefer| prefer.name() == name)
    }

    /// Its name in the API and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::File => "file",
        }
    }
}

/// What a repair is to do besides producing missing rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    pub prefer: Prefer,
    /// It removes rows of the file's upload that are not in the file.
    pub removes_unexpected: bool,
}

impl Wishes {
    /// Whether rows that differ get the values of the file.
    pub(super) fn prefers_file(self) -> bool {
        self.prefer == Prefer::File
    }
}

/// A repair as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Repair)]
pub struct RepairView {
    pub state: RepairState,
    pub prefer: Prefer,
    pub removes_unexpected: bool,
    /// Rows that were missing and are stored now.
    pub produced: u64,
    /// Rows that get the values of the file. They are counted before the first of them is changed.
    pub overwritten: u64,
    /// Copies of rows, and with `remove=unexpected` rows of the file's upload that are not in it, that were deleted.
    pub removed: u64,
    /// Hours of a player and a game that differed and now match their rounds. Only for bets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours_rebuilt: Option<u64>,
    /// Rows of aggregate tables that differed and now match their rows. For all other datasets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregates_rebuilt: Option<u64>,
    /// The uploads that brought the missing rows.
    pub upload_ids: Vec<Uuid>,
    pub seconds: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which rows it does not repair, and what to do about them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_alone: Option<String>,
}

impl RepairView {
    /// Adds which rows of such a report a repair leaves alone.
    #[must_use]
    pub fn leaving_alone(mut self, report: Option<&Report>, dataset: &Dataset) -> Self {
        let rows = report.map_or(0, |report| report.contradictory_in_file);
        let key = dataset.columns.key().unwrap_or_default().iter().filter_map(|&at| dataset.columns.get(at));
        let key: Vec<&str> = key.map(|column| column.name.as_str()).collect();
        let stored = if dataset.name == BETS { "their rounds" } else { "the stored rows" };
        self.left_alone = (rows > 0).then(|| {
            format!(
                "{} of the file contradict other rows with the same {}; {stored} are not changed; correct the file \
                 and reconcile it again",
                counted(rows, "row"),
                key.join(" and "),
            )
        });
        self
    }

    fn rebuilt(&self) -> u64 {
        self.hours_rebuilt.or(self.aggregates_rebuilt).unwrap_or_default()
    }

    /// Notes how many rows of aggregate tables were rebuilt.
    pub(super) fn set_rebuilt(&mut self, dataset: &str, rebuilt: u64) {
        let is_bets = dataset == BETS;
        self.hours_rebuilt = is_bets.then_some(rebuilt);
        self.aggregates_rebuilt = (!is_bets).then_some(rebuilt);
    }
}

/// A repair as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) job_id: Uuid,
    /// Grows with every change.
    pub(super) version: u64,
    /// The attempt of the job that the counts belong to. Once it is the attempt of the job itself, the repair is done.
    pub(super) attempt: Option<Uuid>,
    pub(super) view: RepairView,
}

impl Record {
    /// A repair that has not begun. `version` must be higher than that of an earlier repair of this job.
    pub(super) fn new(dataset: &str, job_id: Uuid, version: u64, wishes: Wishes) -> Self {
        let mut view = RepairView {
            state: RepairState::Queued,
            prefer: wishes.prefer,
            removes_unexpected: wishes.removes_unexpected,
            produced: 0,
            overwritten: 0,
            removed: 0,
            hours_rebuilt: None,
            aggregates_rebuilt: None,
            upload_ids: Vec::new(),
            seconds: 0.0,
            reason: None,
            left_alone: None,
        };
        view.set_rebuilt(dataset, 0);
        Self { job_id, version, attempt: None, view }
    }
}

#[derive(Row, Deserialize)]
struct StoredRecord {
    job_id: String,
    version: u64,
    attempt: String,
    state: String,
    prefer: String,
    removes: bool,
    produced: u64,
    overwritten: u64,
    removed: u64,
    hours_rebuilt: u64,
    upload_ids: Vec<String>,
    reason: String,
    seconds: f64,
}

impl StoredRecord {
    /// Returns the repair, or none if another program wrote the row.
    fn parse(self, dataset: &str) -> Option<Record> {
        let mut view = RepairView {
            state: RepairState::parse(&self.state)?,
            prefer: Prefer::parse(&self.prefer)?,
            removes_unexpected: self.removes,
            produced: self.produced,
            overwritten: self.overwritten,
            removed: self.removed,
            hours_rebuilt: None,
            aggregates_rebuilt: None,
            upload_ids: self.upload_ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect(),
            seconds: self.seconds,
            reason: Some(self.reason).filter(|reason| !reason.is_empty()),
            left_alone: None,
        };
        view.set_rebuilt(dataset, self.hours_rebuilt);
        Some(Record {
            job_id: Uuid::try_parse(&self.job_id).ok()?,
            version: self.version,
            attempt: Uuid::try_parse(&self.attempt).ok(),
            view,
        })
    }
}

/// The repairs of a dataset by one server. Repairs by other servers can be read.
#[derive(Clone, Debug)]
pub(super) struct Store {
    warehouse: Warehouse,
    owner: Uuid,
    dataset: String,
}

impl Store {
    pub(super) fn new(warehouse: Warehouse, owner: Uuid, dataset: &str) -> Self {
        Self { warehouse, owner, dataset: dataset.to_owned() }
    }

    /// Returns the last repair of a job of any server.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn get(&self, job: Uuid) -> Result<Option<Record>, WarehouseError> {
        let query = self.warehouse.query(include_str!("../../../queries/engine/repair/repair.sql"));
        let record: Option<StoredRecord> = query.param("job", job.to_string()).fetch_optional().await?;
        Ok(record.and_then(|record| record.parse(&self.dataset)))
    }

    /// Whether a job belongs to this server.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn has_job(&self, job: Uuid) -> Result<bool, WarehouseError> {
        let query = self.warehouse.query(include_str!("../../../queries/engine/repair/owner.sql"));
        let owner: Option<String> = query.param("id", job.to_string()).fetch_optional().await?;
        Ok(owner.is_some_and(|owner| owner == self.owner.to_string()))
    }

    /// Returns this server's repairs that have not ended, in the order of their requests.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn unfinished(&self) -> Result<Vec<Record>, WarehouseError> {
        let query =
            self.warehouse.query(include_str!("../../../queries/engine/repair/unfinished_repairs.sql"));
        let query = query.param("owner", self.owner.to_string()).param("dataset", &self.dataset);
        let records: Vec<StoredRecord> = query.fetch_all().await?;
        Ok(records.into_iter().filter_map(|record| record.parse(&self.dataset)).collect())
    }

    /// Returns the jobs whose repairs by this server have left tables behind.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn with_tables(&self) -> Result<Vec<Uuid>, WarehouseError> {
        let query = self.warehouse.query(include_str!("../../../queries/engine/repair/left_over_tables.sql"));
        let query = query.param("owner", self.owner.to_string()).param("dataset", &self.dataset);
        let ids: Vec<String> = query.fetch_all().await?;
        Ok(ids.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect())
    }

    /// Stores a repair as it is now.
    ///
    /// # Errors
    /// ClickHouse does not answer. It may have stored the repair; storing it again does no harm.
    pub(super) async fn write(&self, record: &Record) -> Result<(), WarehouseError> {
        let view = &record.view;
        let mut row = Vec::new();
        for text in [
            record.job_id.to_string().as_str(),
            self.owner.to_string().as_str(),
            &record.attempt.map(|id| id.to_string()).unwrap_or_default(),
            view.prefer.name(),
            view.reason.as_deref().unwrap_or_default(),
        ] {
            write_text(text.as_bytes(), &mut row);
        }
        row.extend(record.version.to_le_bytes());
        row.push(view.state.number());
        row.push(u8::from(view.removes_unexpected));
        for count in [view.produced, view.overwritten, view.removed, view.rebuilt()] {
            row.extend(count.to_le_bytes());
        }
        row.extend(view.seconds.to_le_bytes());
        // One byte of LEB128: a repair that began more often than this is stored without its last uploads.
        let uploads = view.upload_ids.iter().take(MAX_UPLOADS);
        row.push(uploads.len() as u8);
        for id in uploads {
            write_text(id.to_string().as_bytes(), &mut row);
        }
        self.warehouse.insert_rows(INSERT, Bytes::from(row)).await
    }
}

/// Uploads of a repair that are stored: one for each time that it began.
const MAX_UPLOADS: usize = 100;
