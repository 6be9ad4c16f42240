//! What all jobs share, and why a job fails.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::arrivals::Arrivals;
use super::attempts::Failure;
use crate::dataset::Dataset;
use crate::disk::{Disk, DiskFull};
use crate::ingest::FileError;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// What all jobs of a dataset share.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) warehouse: Warehouse,
    pub(super) arrivals: Arrivals,
    pub(super) dataset: Arc<Dataset>,
    pub(super) max_line_bytes: usize,
    /// The disk on which an embedded ClickHouse keeps the job's tables.
    pub(super) disk: Disk,
}

/// Why a job failed, as the API shows it. Causes are for the log.
#[derive(Debug, Error)]
pub(super) enum JobError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the spooled file is gone or incomplete; send the file again")]
    Gone,
    #[error("cannot read the spooled file from the disk; send the file again")]
    Read(#[source] io::Error),
    #[error("{0}, then send the file again")]
    DiskFull(#[from] DiskFull),
    #[error("the disk of ClickHouse is full; free some space there, then send the file again")]
    ClickHouseDiskFull,
    #[error("{}; send the file again when ClickHouse works", .0.summary())]
    Warehouse(#[source] WarehouseError),
    #[error("the comparison is incomplete; send the file again")]
    DoesNotAddUp,
    #[error("reading the file was given up")]
    Abandoned,
}

impl From<WarehouseError> for JobError {
    fn from(error: WarehouseError) -> Self {
        if error.is_disk_full() { Self::ClickHouseDiskFull } else { Self::Warehouse(error) }
    }
}

impl JobError {
    /// Says why a file cannot be opened.
    pub(super) fn open(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Gone } else { Self::Read(error) }
    }
}

impl Failure for JobError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Warehouse(_) | Self::DoesNotAddUp)
    }
}
