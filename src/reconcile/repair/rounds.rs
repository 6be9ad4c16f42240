//! Changes stored rounds: removes those that should not be there, and gives those that differ the values of the file.
//!
//! Each step can run again. A change that a crash interrupted is killed by [`Tables::drop`], and starts again from what is stored then.
//! The hours are made right afterwards.

use super::RepairError;
use super::hours::{self, Hours, Loading};
use super::plan::{Lines, Plan};
use super::tables::{Tables, in_time};
use crate::warehouse::client::WarehouseError;

/// Rounds that are changed at a time. Their values are kept in memory.
const BATCH: u64 = 100_000;

/// How many times to look for rounds to remove. A removal fails for rows whose part was merged meanwhile.
pub(super) const MAX_ATTEMPTS: u8 = 20;

/// Gives the rounds that differ the values of the file.
pub(super) async fn overwrite(plan: &Plan, loading: &Loading) -> Result<(), RepairError> {
    let tables = &plan.tables;
    let mut after = 0;
    loop {
        let query = tables.query(include_str!("../../../queries/repair/next_lines.sql"));
        let last: u64 = in_time(query.param("after", after).param("size", BATCH).fetch_one()).await?;
        if last == 0 {
            return Ok(());
        }
        tables.drop().await?;
        tables.execute(tables.query(include_str!("../../../queries/repair/create_values.sql"))).await?;
        let query = plan.query(include_str!("../../../queries/repair/add_values.sql"));
        tables.execute(Lines { after, last }.of(query)).await?;
        let sql = include_str!("../../../queries/repair/overwrite_rounds.sql");
        tables.mutate(sql, loading.generation()?).await?;
        tables.drop().await?;
        after = last;
    }
}

/// Removes the rounds that the plan says: rounds that the file does not have, if so asked, and copies of rounds in the noted hours. Notes
/// the hours that they were in. Returns how many rounds were removed.
pub(super) async fn remove(plan: &Plan, loading: &Loading) -> Result<u64, RepairError> {
    let tables = &plan.tables;
    let mut removed = 0;
    for _ in 0..MAX_ATTEMPTS {
        if list(plan).await? == 0 {
            tables.drop().await?;
            return Ok(removed);
        }
        tables.execute(tables.query(include_str!("../../../queries/repair/note_removal_hours.sql"))).await?;
        let listed = listed_rounds(tables).await?;
        let sql = include_str!("../../../queries/repair/remove_rounds.sql");
        tables.mutate(sql, loading.generation()?).await?;
        removed += listed.saturating_sub(listed_rounds(tables).await?);
    }
    Err(RepairError::RoundsStay)
}

/// Lists the rounds that are to be removed, and returns how many there are.
async fn list(plan: &Plan) -> Result<u64, WarehouseError> {
    let ranges = hours::ranges(&plan.tables).await?;
    let (first, last) = (ranges.first(), ranges.last());
    let hours =
        Hours { first: first.map_or(0, |range| range.first), last: last.map_or(0, |range| range.last) };
    plan.list_removals(hours).await
}

async fn listed_rounds(tables: &Tables) -> Result<u64, WarehouseError> {
    tables.number(include_str!("../../../queries/repair/count_listed_rounds.sql")).await
}
