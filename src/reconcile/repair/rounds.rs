//! Rounds changed in place: those that differ get the file's values, and those that should not be there are removed.
//!
//! All of it can be done again: a change that was broken off, by a crash of whoever, is given up with [`Tables::drop`] and begun
//! anew from what is stored then. The hours are another matter, and come after.

use super::RepairError;
use super::hours::{self, Hours, Loading};
use super::tables::{Tables, in_time};
use crate::warehouse::client::WarehouseError;

/// Rounds that are changed at a time: their values are in memory.
const BATCH: u64 = 100_000;

/// How often it is tried to remove rounds, which fails where parts are merged meanwhile.
const MAX_ATTEMPTS: u8 = 20;

/// Gives the rounds that differ the values of the file.
pub(super) async fn overwrite(tables: &Tables, loading: &Loading) -> Result<(), RepairError> {
    let mut after = 0;
    loop {
        let query = tables.query(include_str!("../../../queries/repair/next_lines.sql"));
        let last: u64 = in_time(query.param("after", after).param("size", BATCH).fetch_one()).await?;
        if last == 0 {
            return Ok(());
        }
        tables.drop().await?;
        tables.execute(tables.query(include_str!("../../../queries/repair/create_values.sql"))).await?;
        let query = tables.query(include_str!("../../../queries/repair/add_values.sql"));
        tables.execute(query.param("after", after).param("last", last)).await?;
        let sql = include_str!("../../../queries/repair/overwrite_rounds.sql");
        tables.mutate(sql, loading.generation()?).await?;
        tables.drop().await?;
        after = last;
    }
}

/// Removes copies of rounds from the noted hours, and if so wished what the file does not have. Notes the hours that
/// these were in. Returns how many there were: what fails is tried again, and counted once.
pub(super) async fn remove(
    tables: &Tables,
    loading: &Loading,
    removes_unexpected: bool,
) -> Result<u64, RepairError> {
    let mut removed = 0;
    for _ in 0..MAX_ATTEMPTS {
        let found = choose(tables, removes_unexpected).await?;
        if found == 0 {
            tables.drop().await?;
            return Ok(removed);
        }
        tables.execute(tables.query(include_str!("../../../queries/repair/note_removal_hours.sql"))).await?;
        let sql = include_str!("../../../queries/repair/remove_rounds.sql");
        tables.mutate(sql, loading.generation()?).await?;
        removed = removed.max(found);
    }
    Err(RepairError::RoundsStay)
}

/// Lists the rounds that are to be removed, and returns how many there are.
async fn choose(tables: &Tables, removes_unexpected: bool) -> Result<u64, WarehouseError> {
    tables.drop().await?;
    tables.execute(tables.query(include_str!("../../../queries/repair/create_removals.sql"))).await?;
    if removes_unexpected {
        tables.execute(tables.query(include_str!("../../../queries/repair/add_unexpected.sql"))).await?;
        let unexpected = count(tables).await?;
        if unexpected > 0 {
            // Copies are looked for when these are gone: one of them may be the copy that would be kept.
            return Ok(unexpected);
        }
    }
    let ranges = hours::ranges(tables).await?;
    if let (Some(first), Some(last)) = (ranges.first(), ranges.last()) {
        let all = Hours { first: first.first, last: last.last };
        let query = tables.query(include_str!("../../../queries/repair/add_copies.sql"));
        tables.execute(all.of(query)).await?;
    }
    count(tables).await
}

async fn count(tables: &Tables) -> Result<u64, WarehouseError> {
    tables.number(include_str!("../../../queries/repair/count_removals.sql")).await
}
