//! The comparison of the file's rounds, by hour, player and game, with the hourly aggregates.
//!
//! If an hour also has rounds that are not in the file, their sums are read from `game_rounds` and added.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::arrivals::Arrivals;
use super::queue::{Progress, ROWS_COMPARED};
use super::report::Hours;
use super::tables::{ComparedRange, Tables, in_time};
use crate::warehouse::client::WarehouseError;

/// How many times hours are compared while rows are being loaded.
const MAX_CHECKS: u8 = 5;

/// Between two comparisons.
const CHECK_PAUSE: Duration = Duration::from_secs(1);

/// The hours of an attempt. All of its rows have been added up.
pub(super) struct Comparison<'a> {
    pub(super) tables: &'a Tables,
    pub(super) ranges: &'a [ComparedRange],
    pub(super) arrivals: &'a Arrivals,
    pub(super) progress: &'a Progress,
}

impl Comparison<'_> {
    /// Compares the hours, and again if they differ while rows are being loaded: a round is in the aggregates a moment later than in
    /// `game_rounds`. Stores the differences. Returns the counts, and whether nothing was loaded during the comparison.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn settled(&self) -> Result<(Hours, bool), WarehouseError> {
        let mut check = 1;
        loop {
            let before = self.arrivals.ledger_state(self.tables.warehouse()).await?;
            let hours = self.look(check).await?;
            let after = self.arrivals.ledger_state(self.tables.warehouse()).await?;
            let settled = hours.different == 0 || after.is_quiet_since(before);
            if settled || check == MAX_CHECKS {
                if hours.different > 0 {
                    self.keep(check).await?;
                }
                return Ok((hours, settled));
            }
            tokio::time::sleep(CHECK_PAUSE).await;
            check += 1;
        }
    }

    async fn look(&self, check: u8) -> Result<Hours, WarehouseError> {
        #[derive(Row, Deserialize)]
        struct TimeSpan {
            first_hour: u32,
            last_hour: u32,
        }
        #[derive(Row, Deserialize)]
        struct HoursRow {
            checked: u64,
            different: u64,
            shared: u64,
        }
        let query = self.tables.query(include_str!("../../queries/engine/reconcile/time_span.sql"));
        let TimeSpan { first_hour, last_hour } = in_time(query.fetch_one()).await?;
        for (range, done) in self.ranges.iter().zip(1..) {
            if range.may_hold_others(self.tables).await? {
                let query = self
                    .tables
                    .query(include_str!("../../queries/engine/reconcile/other_hours.sql"))
                    .param("check", check)
                    .param("first_hour", first_hour)
                    .param("last_hour", last_hour);
                self.tables.execute(range.range.of(query)).await?;
            }
            let share = f64::from(done) / (self.ranges.len() + 1) as f64;
            self.progress.reach(ROWS_COMPARED + (1.0 - ROWS_COMPARED) * share);
        }
        let query = self.tables.query(include_str!("../../queries/engine/reconcile/aggregate_hours.sql"));
        self.tables.execute(query.param("check", check)).await?;
        let query = self.tables.query(include_str!("../../queries/engine/reconcile/compare_hours.sql"));
        let HoursRow { checked, different, shared } =
            in_time(query.param("check", check).fetch_one()).await?;
        Ok(Hours { checked, different, shared })
    }

    /// Stores the hours that differ, as they were at this check.
    async fn keep(&self, check: u8) -> Result<(), WarehouseError> {
        let query = self.tables.query(include_str!("../../queries/engine/reconcile/hour_differences.sql"));
        self.tables.execute(query.param("check", check)).await
    }
}
