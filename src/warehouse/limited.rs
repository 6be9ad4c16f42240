//! Queries that requests run, with limits of rows, time and memory.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::query::{BytesCursor, Query};

use super::client::{Warehouse, WarehouseError};
use super::format::TableFormat;

/// The limits of one query.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// ClickHouse stops the query after this time.
    pub timeout: Duration,
    /// Maximum number of rows to read. ClickHouse refuses a query that would read more.
    pub rows: u64,
}

/// Maximum memory of one query in ClickHouse, in bytes.
const MAX_MEMORY: u64 = 1 << 30;

/// A query with limits. It cannot write. ClickHouse also stops it if the client closes the connection.
pub fn limited(warehouse: &Warehouse, sql: &str, limits: QueryLimits) -> Query {
    warehouse
        .query(sql)
        .with_setting("max_execution_time", limits.timeout.as_secs().max(1).to_string())
        .with_setting("max_rows_to_read", limits.rows.to_string())
        .with_setting("max_memory_usage", MAX_MEMORY.to_string())
        // For a page, threads for formatting cost more than they save.
        .with_setting("output_format_parallel_formatting", "0")
        .with_setting("cancel_http_readonly_queries_on_client_close", "1")
        .with_setting("readonly", "2")
}

/// Separates queries that exceed their limits from other failures of ClickHouse.
pub fn sort(error: clickhouse::error::Error, limits: QueryLimits) -> WarehouseError {
    match error.into() {
        WarehouseError::Exception(exception) if exception.is_query_limit() => {
            WarehouseError::TooMuch { rows: limits.rows }
        }
        error => error,
    }
}

/// The rows of an answer, as ClickHouse writes them. Dropping it stops the query.
pub struct Rows {
    cursor: BytesCursor,
    limits: QueryLimits,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl Rows {
    /// Starts to read an answer in a format of ClickHouse.
    ///
    /// # Errors
    /// The request cannot be written.
    pub fn of(mut query: Query, format: TableFormat, limits: QueryLimits) -> Result<Self, WarehouseError> {
        for (name, value) in format.settings() {
            query = query.with_setting(*name, *value);
        }
        let cursor = query.fetch_bytes(format.name()).map_err(|error| sort(error, limits))?;
        Ok(Self { cursor, limits })
    }

    /// Returns the next piece, or none at the end.
    ///
    /// # Errors
    /// ClickHouse fails, or the query was stopped.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WarehouseError> {
        self.cursor.next().await.map_err(|error| sort(error, self.limits))
    }
}
