//! Reads the hourly aggregates: pages of them, and their totals.
//!
//! The rows are stored in three orders ([`Source`]). A page is read along the requested order, or from the rows that pass the filters,
//! whichever is less ([`plan`]). The whole table is read only if the whole table is requested.

mod freshness;
mod items;
mod page;
mod plan;
mod summary;

use std::time::Duration;

use clickhouse::query::Query;

pub use self::freshness::{Version, version};
pub use self::items::{AMOUNT_SCALE, Aggregate, fetch_items};
pub use self::page::{Bounds, Page, PageFormat, Rows, fetch};
pub use self::plan::Source;
pub use self::summary::{Hours, Totals, fetch_summary};

use super::client::{Warehouse, WarehouseError};
use super::text::Text;

/// Selects aggregates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these; all if empty.
    pub players: Vec<String>,
    /// Any of these; all if empty.
    pub games: Vec<u64>,
    /// Hours that start at or after this time, in seconds since 1970.
    pub from: Option<u32>,
    /// Hours that start before this time, in seconds since 1970.
    pub before: Option<u32>,
}

/// The first sort column; the other columns of the key follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    CreatedHour,
    Player,
    Game,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub key: SortKey,
    pub descending: bool,
}

/// The key of one aggregate: an hour (seconds since 1970), a player, a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub hour: u32,
    pub player: Text,
    pub game: u64,
}

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

/// A query with limits. ClickHouse also stops it if the client closes the connection.
fn limited(warehouse: &Warehouse, sql: &str, limits: QueryLimits) -> Query {
    warehouse
        .query(sql)
        .with_setting("max_execution_time", limits.timeout.as_secs().max(1).to_string())
        .with_setting("max_rows_to_read", limits.rows.to_string())
        .with_setting("max_memory_usage", MAX_MEMORY.to_string())
        // This code chooses the projection itself.
        .with_setting("optimize_use_projections", "0")
        // If parts follow one another in the order, ClickHouse opens only those that the page needs.
        .with_setting("read_in_order_use_virtual_row", "1")
        // For a page, threads for formatting cost more than they save.
        .with_setting("output_format_parallel_formatting", "0")
        .with_setting("cancel_http_readonly_queries_on_client_close", "1")
        .with_setting("readonly", "2")
}

/// Separates queries that exceed their limits from other failures of ClickHouse.
fn sort(error: clickhouse::error::Error, limits: QueryLimits) -> WarehouseError {
    match error.into() {
        WarehouseError::Exception(exception) if exception.is_query_limit() => {
            WarehouseError::TooMuch { rows: limits.rows }
        }
        error => error,
    }
}
