//! The reasons why an upload ends without a receipt.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;
use uuid::Uuid;

use crate::counted::counted;
use crate::disk::DiskFull;
use crate::ingest::FileError;
use crate::ingest::body::BodyError;
use crate::ingest::rows::{Fault, Reject};
use crate::warehouse::client::WarehouseError;
use crate::warehouse::uploads::LedgerRow;

/// Why an upload failed.
#[derive(Debug, Error)]
pub enum UploadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("line {}: {}", .0.line, faults(.0))]
    Rejected(Box<Reject>),
    #[error("too many rows are rejected: more than {limit}")]
    TooManyRejects { limit: String },
    #[error("the file has more than {}", counted(*limit, "row"))]
    TooManyRows { limit: u64 },
    #[error("{reason}")]
    BrokenOff { reason: String },
    #[error("upload too slow: {found} bytes/s, the minimum is {least}")]
    TooSlow { found: u64, least: u64 },
    #[error("upload stopped because others were waiting: {found} bytes/s, the minimum is then {least}")]
    GaveWay { found: u64, least: u64 },
    #[error("the server is stopping")]
    Stopping,
    #[error("the file is larger than {}", counted(*limit, "byte"))]
    TooLarge { limit: u64 },
    #[error("the limit of {} at a time is reached; try again when one has ended", counted(*limit as u64, "upload"))]
    TooMany { limit: usize },
    #[error("the broker does not accept the rows")]
    Broker { reason: String },
    #[error(
        "line {line}: as a message the row has {}, topic {topic} accepts {limit}; raise max.message.bytes of the topic, or shorten the row",
        counted(*bytes as u64, "byte")
    )]
    RowTooLarge { line: u64, topic: String, bytes: usize, limit: usize },
    #[error(
        "the topic accepts smaller batches than when the upload began (max.message.bytes); send the file again, nothing is counted twice"
    )]
    LimitLowered,
    #[error(transparent)]
    DiskFull(#[from] DiskFull),
    /// The service reports it.
    #[error("the disk of {service} is full, or has failed; free some space there")]
    ServiceDiskFull { service: &'static str },
    #[error("the schema registry does not answer")]
    Registry { reason: String },
    #[error("{}", .0.summary())]
    Warehouse(#[from] WarehouseError),
    #[error(
        "ClickHouse does not answer, and {limit} uploads wait to be recorded; send the file again when ClickHouse is back"
    )]
    LedgerFull { limit: usize },
    #[error("the upload cannot be recorded on disk; send the file again, no row counts twice")]
    NotSaved,
    #[error("the upload failed because of an internal error; send the file again")]
    Internal(String),
}

impl UploadError {
    /// Returns the code of the API and the ledger. It is stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Rejected(_) => "row_rejected",
            Self::TooManyRejects { .. } => "too_many_rejects",
            Self::TooManyRows { .. } => "too_many_rows",
            Self::BrokenOff { .. } => "broken_off",
            Self::TooSlow { .. } | Self::GaveWay { .. } => "too_slow",
            Self::Stopping => "stopping",
            Self::TooLarge { .. } => "file_too_large",
            Self::TooMany { .. } => "too_many_uploads",
            Self::Broker { .. } => "broker_unavailable",
            Self::RowTooLarge { .. } => "row_too_large",
            Self::LimitLowered => "limit_lowered",
            Self::Registry { .. } => "registry_unavailable",
            Self::DiskFull(_) | Self::ServiceDiskFull { .. } => "disk_full",
            Self::Warehouse(error) => error.code(),
            Self::LedgerFull { .. } => "clickhouse_unavailable",
            Self::Internal(_) | Self::NotSaved => "internal",
        }
    }
}

/// All faults of a row in words.
fn faults(reject: &Reject) -> String {
    let in_words = |Fault { column, reason, .. }: &Fault| match column.as_str() {
        "" => reason.clone(),
        column => format!("column {column}: {reason}"),
    };
    reject.faults.iter().map(in_words).collect::<Vec<_>>().join("; ")
}

impl From<BodyError> for UploadError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::TooLarge { limit },
            BodyError::BrokenOff { reason, .. } => Self::BrokenOff { reason },
            BodyError::TooSlow { found, least } => Self::TooSlow { found, least },
            BodyError::GaveWay { found, least } => Self::GaveWay { found, least },
            BodyError::Stopping { .. } => Self::Stopping,
        }
    }
}

/// The progress of an upload when it stopped.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Empty if the upload had not begun.
    pub dataset: String,
    pub bytes: u64,
    pub rows: u64,
    pub accepted: u64,
    pub rejected: u64,
    /// Accepted rows that the broker has acknowledged.
    pub acknowledged: u64,
    pub rejects_by_code: BTreeMap<String, u64>,
    /// The first rejects.
    pub rejects: Vec<Reject>,
}

impl Progress {
    /// Returns the progress of an upload in the ledger; `rejects`: the first ones.
    pub fn of(row: LedgerRow, rejects: Vec<Reject>) -> Self {
        Self {
            dataset: row.dataset,
            bytes: row.bytes,
            rows: row.rows,
            accepted: row.accepted,
            rejected: row.rejected,
            acknowledged: row.acknowledged,
            rejects_by_code: row.rejects_by_code,
            rejects,
        }
    }
}

/// An upload that ended without a receipt. Rows that were produced stay; sending the file again is always safe.
#[derive(Debug)]
pub struct UploadFailure {
    /// None: it had not begun.
    pub upload_id: Option<Uuid>,
    pub error: UploadError,
    pub progress: Box<Progress>,
}

impl UploadFailure {
    /// An upload that had not begun.
    pub fn early(error: impl Into<UploadError>, bytes: u64) -> Self {
        Self {
            upload_id: None,
            error: error.into(),
            progress: Box::new(Progress { bytes, ..Progress::default() }),
        }
    }

    /// An upload that stopped, as the ledger has it; `rejects`: the first ones.
    pub(super) fn ended(error: UploadError, row: LedgerRow, rejects: Vec<Reject>) -> Self {
        let upload_id = Some(row.upload_id);
        Self { upload_id, error, progress: Box::new(Progress::of(row, rejects)) }
    }
}

impl fmt::Display for UploadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { bytes, rows, .. } = *self.progress;
        match &self.error {
            UploadError::BrokenOff { reason } => {
                let read = (counted(bytes, "byte"), counted(rows, "row"));
                write!(f, "the file broke off after {} and {}: {reason}", read.0, read.1)
            }
            UploadError::TooManyRejects { .. } => {
                write!(f, "{}, after {}", self.error, counted(rows, "row"))
            }
            error => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for UploadFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_in_every_message_and_thousands_are_separated() {
        let early = |error| UploadFailure {
            upload_id: None,
            error,
            progress: Box::new(Progress { bytes: 1, rows: 1, ..Progress::default() }),
        };
        for (failure, text) in [
            (early(UploadError::TooManyRows { limit: 1 }), "the file has more than 1 row"),
            (early(UploadError::TooLarge { limit: 20_000_000 }), "the file is larger than 20,000,000 bytes"),
            (
                early(UploadError::TooManyRejects { limit: "1".to_owned() }),
                "too many rows are rejected: more than 1, after 1 row",
            ),
            (
                early(UploadError::TooMany { limit: 1 }),
                "the limit of 1 upload at a time is reached; try again when one has ended",
            ),
            (
                early(UploadError::BrokenOff { reason: "x".to_owned() }),
                "the file broke off after 1 byte and 1 row: x",
            ),
        ] {
            assert_eq!(failure.to_string(), text);
        }
    }
}
