//! Reads the hourly aggregates: pages of them, and their totals.
//!
//! The rows are stored in three orders ([`Source`]), so that a page is read along the order that is asked for, or from the few rows
//! that the filters leave, whichever is less ([`plan`]); never the whole table, unless that is what is asked for.

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

/// Which aggregates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these; all if empty.
    pub players: Vec<String>,
    /// Any of these; all if empty.
    pub games: Vec<u64>,
    /// Hours that begin at or after this, in seconds since 1970.
    pub from: Option<u32>,
    /// Hours that begin before this, in seconds since 1970.
    pub before: Option<u32>,
}

/// By what the aggregates are sorted first; the rest of their key follows.
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

/// What one query may use.
#[derive(Clone, Copy, Debug)]
pub struct QueryLimits {
    /// ClickHouse stops it then.
    pub timeout: Duration,
    /// Rows that may be read: a query that would read more is refused.
    pub rows: u64,
}

/// Bytes of ClickHouse's memory that one query may use.
const MAX_MEMORY: u64 = 1 << 30;

/// A query within limits, which ClickHouse stops when nobody waits for its answer any more.
fn limited(warehouse: &Warehouse, sql: &str, limits: QueryLimits) -> Query {
    warehouse
        .query(sql)
        .with_setting("max_execution_time", limits.timeout.as_secs().max(1).to_string())
        .with_setting("max_rows_to_read", limits.rows.to_string())
        .with_setting("max_memory_usage", MAX_MEMORY.to_string())
        // Which order is read is decided here.
        .with_setting("optimize_use_projections", "0")
        // Of parts that lie one behind the other in the order, only those are opened that a page needs.
        .with_setting("read_in_order_use_virtual_row", "1")
        // Threads for formatting cost more than they save where an answer is a page.
        .with_setting("output_format_parallel_formatting", "0")
        .with_setting("cancel_http_readonly_queries_on_client_close", "1")
        .with_setting("readonly", "2")
}

/// Tells a query that asks for too much from a ClickHouse that fails.
fn sort(error: clickhouse::error::Error, limits: QueryLimits) -> WarehouseError {
    match error.into() {
        WarehouseError::Exception(exception) if exception.is_query_limit() => {
            WarehouseError::TooMuch { rows: limits.rows }
        }
        error => error,
    }
}
