//! Changes stored rounds: removes those that should not be there, and gives those that differ the values of the file.
//!
//! Each step can run again. A change that a crash interrupted is killed by [`Tables::drop`], and starts again from what is stored then.
//! The hours are made right afterwards.

use super::RepairError;
use super::hours::Loading;
use super::plan::{Lines, Plan};
use super::tables::Tables;
use crate::reconcile::differences::Kinds;
use crate::reconcile::report::Kind;
use crate::warehouse::client::WarehouseError;

/// How many times to look for rounds to remove. A removal fails for rows whose part was merged meanwhile.
pub(super) const MAX_ATTEMPTS: u8 = 20;

/// Gives the rounds that differ the values of the file.
pub(super) async fn overwrite(plan: &Plan, loading: &Loading) -> Result<(), RepairError> {
    let tables = &plan.tables;
    let mut after = 0;
    while let Some(lines) = Lines::next(tables, Kinds::only(Kind::Different), after).await? {
        tables.drop().await?;
        tables
            .execute(tables.query(include_str!("../../../queries/engine/repair/create_values.sql")))
            .await?;
        let query = plan.query(include_str!("../../../queries/engine/repair/add_values.sql"));
        tables.execute(lines.of(query)).await?;
        let sql = include_str!("../../../queries/engine/repair/overwrite_rounds.sql");
        tables.mutate(sql, loading.generation()?).await?;
        tables.drop().await?;
        after = lines.last;
    }
    Ok(())
}

/// Removes the rounds that the plan says: rounds that the file does not have, if so asked, and copies of rounds in the noted hours. Notes
/// the hours that they were in. Returns how many rounds were removed.
pub(super) async fn remove(plan: &Plan, loading: &Loading) -> Result<u64, RepairError> {
    let tables = &plan.tables;
    let mut removed = 0;
    for _ in 0..MAX_ATTEMPTS {
        if plan.list_removals().await? == 0 {
            tables.drop().await?;
            return Ok(removed);
        }
        tables
            .execute(tables.query(include_str!("../../../queries/engine/repair/note_removal_hours.sql")))
            .await?;
        let listed = listed_rounds(tables).await?;
        let sql = include_str!("../../../queries/engine/repair/remove_rounds.sql");
        tables.mutate(sql, loading.generation()?).await?;
        removed += listed.saturating_sub(listed_rounds(tables).await?);
    }
    Err(RepairError::RoundsStay)
}

async fn listed_rounds(tables: &Tables) -> Result<u64, WarehouseError> {
    tables.number(include_str!("../../../queries/engine/repair/count_listed_rounds.sql")).await
}
