//! Totals of aggregates, overall and per hour.

use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::Deserialize;

use super::plan::{Extent, Selection, Source, selective};
use super::{Filter, Order, QueryLimits, SortKey, sort};
use crate::warehouse::client::{Warehouse, WarehouseError};

const SUMMARY: &str = include_str!("../../../queries/bets/aggregates/summary.sql");

/// Overall totals, or the totals of one hour. Amounts are decimal strings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Totals {
    is_total: u8,
    /// Seconds since 1970. Not used in the overall totals.
    pub created_hour: u32,
    pub rounds_played: u64,
    /// Number of different players.
    pub players: u64,
    /// Number of different games.
    pub games: u64,
    pub real_amount_bet: String,
    pub bonus_amount_bet: String,
    pub real_amount_win: String,
    pub bonus_amount_win: String,
    /// Bets minus wins, real and bonus together.
    pub net: String,
}

/// The totals of the hours, in order. Dropping it stops the query.
pub struct Hours {
    cursor: RowCursor<Totals>,
    limits: QueryLimits,
}

impl std::fmt::Debug for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hours").finish_non_exhaustive()
    }
}

impl Hours {
    /// Returns the next hour, or none at the end.
    ///
    /// # Errors
    /// ClickHouse fails, or the query was stopped.
    pub async fn next(&mut self) -> Result<Option<Totals>, WarehouseError> {
        self.cursor.next().await.map_err(|error| sort(error, self.limits))
    }
}

/// Computes the totals of what passes the filters, overall and per hour. Without `is_ordered` only the table itself is used.
///
/// # Errors
/// ClickHouse does not answer, or the query would exceed its limits.
pub async fn fetch_summary(
    warehouse: &Warehouse,
    filter: &Filter,
    is_ordered: bool,
    limits: QueryLimits,
) -> Result<(Totals, Hours), WarehouseError> {
    let order = Order { key: SortKey::CreatedHour, descending: false };
    let selection = Selection { filter, order, extent: Extent::All };
    let source = selective(filter).filter(|_| is_ordered).unwrap_or(Source::Hours);
    let query = selection.stored_query(warehouse, SUMMARY, source, limits);
    let cursor = query.fetch().map_err(|error| sort(error, limits))?;
    let mut hours = Hours { cursor, limits };
    let zero = || "0".to_owned();
    let nothing = Totals {
        real_amount_bet: zero(),
        bonus_amount_bet: zero(),
        real_amount_win: zero(),
        bonus_amount_win: zero(),
        net: zero(),
        ..Totals::default()
    };
    // The overall totals come first. If nothing passes the filters, no row comes.
    let totals = hours.next().await?.unwrap_or(nothing);
    Ok((totals, hours))
}
