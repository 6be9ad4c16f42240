//! The version of the stored aggregates.

use clickhouse::Row;
use serde::Deserialize;

use super::{QueryLimits, limited, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};

const VERSION: &str = include_str!("../../../queries/bets/aggregates/version.sql");

/// A number that changes whenever the stored aggregates change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Version {
    pub version: u64,
    /// Whether all rows can be read in each order. Not the case if parts were attached that an earlier release wrote.
    is_ordered: u8,
}

impl Version {
    pub fn is_ordered(self) -> bool {
        self.is_ordered == 1
    }
}

/// Returns the current version of the stored aggregates.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn version(warehouse: &Warehouse, limits: QueryLimits) -> Result<Version, WarehouseError> {
    limited(warehouse, VERSION, limits).fetch_one().await.map_err(|error| sort(error, limits))
}
