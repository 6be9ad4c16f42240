//! Makes the hours the sums of their rounds, each at one moment.
//!
//! What an hour lacks, or has too much of, is added to it as one part of its table. So a reader sees the hour as it was or as it must be,
//! and nothing between. A round is in `game_rounds` a moment before it is in its hour, so nothing may be loaded while the two are
//! compared. The loader of this process waits at the [`Gate`](crate::loader::gate::Gate). If another process loads, two comparisons must
//! return the same before anything is added.

use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::plan::Plan;
use super::record::Wishes;
use super::tables::{Hours, Tables, in_time};
use super::{Loads, RepairError};
use crate::loader::gate::Held;
use crate::loader::lease::FENCE;
use crate::loader::mending::one_part;
use crate::warehouse::client::WarehouseError;

const HOUR_DIFFERENCES: &str = include_str!("../../../queries/engine/repair/hour_differences.sql");

/// Players and games of the hours that are compared together. An hour is never divided.
const MAX_KEYS: u64 = 50_000;

/// How many times hours are compared until they are right.
const MAX_LOOKS: u32 = 120;

/// How many times ClickHouse is asked to merge hours that are to be removed.
const MAX_MERGES: u8 = 3;

/// Between two comparisons, while something may be loading.
const PAUSE: Duration = Duration::from_secs(1);

/// An hour, and how many of its players and games are noted.
#[derive(Clone, Copy, Debug, Row, Deserialize)]
struct Noted {
    hour: u32,
    keys: u64,
}

/// How many hours differ, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
struct Differences {
    hours: u64,
    digest: u64,
}

/// What loads rows during a repair.
#[derive(Clone, Debug)]
pub(super) struct Loading {
    pub(super) loads: Loads,
    /// No other process loads this topic, and no interrupted work of an earlier one can still be running.
    pub(super) is_alone: bool,
}

/// Returns the noted hours, in ranges that can each be compared in one query.
pub(super) async fn ranges(tables: &Tables) -> Result<Vec<Hours>, WarehouseError> {
    let query = tables.query(include_str!("../../../queries/engine/repair/hour_ranges.sql"));
    Ok(in_ranges(&in_time(query.fetch_all()).await?))
}

fn in_ranges(noted: &[Noted]) -> Vec<Hours> {
    let mut ranges: Vec<Hours> = Vec::new();
    let mut keys = 0;
    for Noted { hour, keys: more } in noted {
        keys += more;
        match ranges.last_mut() {
            Some(range) if keys <= MAX_KEYS => range.last = *hour,
            _ => {
                ranges.push(Hours { first: *hour, last: *hour });
                keys = *more;
            }
        }
    }
    ranges
}

/// Makes the noted hours the sums of their rounds.
pub(super) async fn rebuild(tables: &Tables, loading: &Loading) -> Result<(), RepairError> {
    for range in ranges(tables).await? {
        rebuild_range(tables, loading, range).await?;
    }
    Ok(())
}

async fn rebuild_range(tables: &Tables, loading: &Loading, range: Hours) -> Result<(), RepairError> {
    // What the hours must hold depends on no wish.
    let plan = Plan::new(tables, Wishes::default());
    let mut before = Differences::default();
    for _ in 0..MAX_LOOKS {
        let nothing_is_loaded = loading.loads.gate.hold().await;
        if loading.is_quiet(tables).await? {
            let differences = look(&plan, range).await?;
            if differences.hours == 0 {
                return Ok(());
            }
            if loading.is_alone || differences == before {
                add(&plan, loading, range).await?;
                continue;
            }
            before = differences;
        }
        drop(nothing_is_loaded);
        tokio::time::sleep(PAUSE).await;
    }
    Err(RepairError::HoursDiffer)
}

/// Gives the noted hours the names of their rounds, if they have others. Until ClickHouse has rewritten a part, a reader sees the
/// earlier name.
pub(super) async fn rename(tables: &Tables, loading: &Loading) -> Result<(), RepairError> {
    for range in ranges(tables).await? {
        tables.drop().await?;
        tables.execute(tables.query(include_str!("../../../queries/engine/repair/create_names.sql"))).await?;
        let query = range.of(tables.query(include_str!("../../../queries/engine/repair/add_names.sql")));
        tables.execute(bounded(query)).await?;
        if tables.number(include_str!("../../../queries/engine/repair/count_names.sql")).await? > 0 {
            let sql = include_str!("../../../queries/engine/repair/rename_hours.sql");
            tables.mutate(sql, loading.generation()?).await?;
        }
    }
    Ok(tables.drop().await?)
}

/// Removes the noted hours that have no rounds any more. Their sums are zero once all parts of such an hour are merged. Until then, or if
/// that does not happen, pages of hours leave them out.
pub(super) async fn remove_empty(tables: &Tables, loading: &Loading) -> Result<(), RepairError> {
    for _ in 0..MAX_MERGES {
        let mut empty = 0_u64;
        for range in ranges(tables).await? {
            let query =
                range.of(tables.query(include_str!("../../../queries/engine/repair/count_empty_hours.sql")));
            empty += in_time(bounded(query).fetch_one::<u64>()).await?;
        }
        if empty == 0 {
            return Ok(());
        }
        tables.execute(tables.query(include_str!("../../../queries/engine/repair/merge_hours.sql"))).await?;
        let sql = include_str!("../../../queries/engine/repair/remove_empty_hours.sql");
        tables.mutate(sql, loading.generation()?).await?;
    }
    tracing::warn!(job = %tables.job, "hours without rounds stay in their table as zeros");
    Ok(())
}

impl Loading {
    /// The generation with which this server may change what is stored.
    ///
    /// # Errors
    /// Another server loads the topic.
    pub(super) fn generation(&self) -> Result<u32, RepairError> {
        self.loads.tenure.generation().ok_or(RepairError::NotLoading)
    }

    /// Waits, but not forever, until no chunk is half loaded. Returns a guard that keeps the loader of this process waiting, and whether
    /// no chunk is half loaded.
    pub(super) async fn hold(&self, tables: &Tables) -> Result<(Held, bool), WarehouseError> {
        for _ in 0..MAX_LOOKS {
            let held = self.loads.gate.hold().await;
            if self.is_quiet(tables).await? {
                return Ok((held, true));
            }
            drop(held);
            tokio::time::sleep(PAUSE).await;
        }
        Ok((self.loads.gate.hold().await, false))
    }

    /// Whether no chunk of the topic is half loaded.
    pub(super) async fn is_quiet(&self, tables: &Tables) -> Result<bool, WarehouseError> {
        let query = tables.query(include_str!("../../../queries/engine/repair/loader_state.sql"));
        let unfinished: u64 = in_time(query.param("topic", &self.loads.topic).fetch_one()).await?;
        Ok(unfinished == 0)
    }
}

async fn look(plan: &Plan, range: Hours) -> Result<Differences, WarehouseError> {
    let query = plan.query(include_str!("../../../queries/engine/repair/count_hour_sums.sql"));
    in_time(bounded(range.of(query)).fetch_one()).await
}

async fn add(plan: &Plan, loading: &Loading, range: Hours) -> Result<(), RepairError> {
    let sql = format!("INSERT INTO hourly_aggregates SELECT * FROM ({HOUR_DIFFERENCES}) WHERE {FENCE}");
    let query = plan.query(&sql).param("generation", loading.generation()?);
    Ok(plan.tables.execute(one_part(bounded(range.of(query)))).await?)
}

/// Limits a query that loading waits for.
fn bounded(query: Query) -> Query {
    query
        .with_setting("max_bytes_before_external_group_by", "67108864")
        .with_setting("max_memory_usage", "1073741824")
        .with_setting("max_execution_time", "600")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_hours_up_to_a_limit_and_never_part_of_an_hour() {
        let noted = |hour, keys| Noted { hour, keys };
        let ranges = in_ranges(&[
            noted(0, MAX_KEYS / 2),
            noted(3_600, MAX_KEYS / 2),
            noted(7_200, 1),
            noted(10_800, 2 * MAX_KEYS),
            noted(14_400, 1),
        ]);
        let hours = |first, last| Hours { first, last };
        assert_eq!(
            ranges,
            [hours(0, 3_600), hours(7_200, 7_200), hours(10_800, 10_800), hours(14_400, 14_400)]
        );
        assert!(in_ranges(&[]).is_empty());
    }
}
