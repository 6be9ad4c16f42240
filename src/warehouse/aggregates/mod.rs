//! Reads the hourly aggregates: pages of them, and their totals.
//!
//! The rows are stored in three orders ([`Source`]). A page is read along the requested order, or from the rows that pass the filters,
//! whichever is less ([`plan`]). The whole table is read only if the whole table is requested.

mod freshness;
mod items;
mod page;
mod plan;
mod summary;

use clickhouse::query::Query;

pub use self::freshness::{Version, version};
pub use self::items::{AMOUNT_SCALE, Aggregate, fetch_items};
pub use self::page::{Bounds, Page, fetch};
pub use self::plan::Source;
pub use self::summary::{Hours, Totals, fetch_summary};

use super::client::Warehouse;
use super::limited::sort;
pub use super::limited::{QueryLimits, Rows};
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

/// A query of aggregates with limits.
fn limited(warehouse: &Warehouse, sql: &str, limits: QueryLimits) -> Query {
    super::limited::limited(warehouse, sql, limits)
        // This code chooses the projection itself.
        .with_setting("optimize_use_projections", "0")
        // If parts follow one another in the order, ClickHouse opens only those that the page needs.
        .with_setting("read_in_order_use_virtual_row", "1")
}
