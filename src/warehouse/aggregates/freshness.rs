//! Which aggregates are stored at this moment.

use clickhouse::Row;
use serde::Deserialize;

use super::{QueryLimits, limited, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};

const VERSION: &str = include_str!("../../../queries/aggregates/version.sql");

/// What is stored, as a number that changes whenever it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Version {
    pub version: u64,
    /// Whether all of it can be read in each order. It cannot where parts were attached that an earlier release wrote.
    is_ordered: u8,
}

impl Version {
    pub fn is_ordered(self) -> bool {
        self.is_ordered == 1
    }
}

/// Returns the version of what is stored now.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn version(warehouse: &Warehouse, limits: QueryLimits) -> Result<Version, WarehouseError> {
    limited(warehouse, VERSION, limits).fetch_one().await.map_err(|error| sort(error, limits))
}
