//! Changes stored rows: removes those that should not be there, and gives those that differ the values of the file.
//!
//! Each step can run again. A change that a crash interrupted is killed by [`Tables::drop`](super::tables::Tables::drop), and starts again from
//! what is stored then. The aggregate tables are made right afterwards.

use super::RepairError;
use super::aggregates::Aggregate;
use super::loading::Loading;
use super::plan::{Lines, Plan};
use crate::dataset::Dataset;
use crate::dataset::template::{Item, Template};
use crate::dataset::types::column_type;
use crate::domain::columns::Column;
use crate::reconcile::differences::Kinds;
use crate::reconcile::report::Kind;
use crate::warehouse::client::WarehouseError;

/// How many times to look for rows to remove. A removal fails for rows whose part was merged meanwhile.
const MAX_ATTEMPTS: u8 = 20;

/// Gives the rows that differ the values of the file.
pub(super) async fn overwrite(plan: &Plan, loading: &Loading) -> Result<(), RepairError> {
    let tables = &plan.tables;
    let template = template(&tables.dataset);
    let values = plan.text(&template, include_str!("../../../queries/engine/repair/add_values.sql"), &[]);
    let statements = match tables.dataset.is_ordered_by_values {
        false => &[include_str!("../../../queries/engine/repair/overwrite_rows.sql")][..],
        true => &[
            include_str!("../../../queries/engine/repair/insert_overwritten.sql"),
            include_str!("../../../queries/engine/repair/delete_overwritten.sql"),
        ],
    };
    let statements: Vec<String> = statements.iter().map(|sql| plan.text(&template, sql, &[])).collect();
    let mut after = 0;
    while let Some(lines) = Lines::next(tables, Kinds::only(Kind::Different), after).await? {
        tables.drop().await?;
        plan.execute(include_str!("../../../queries/engine/repair/create_values.sql")).await?;
        tables.execute(lines.of(plan.query_of(&values))).await?;
        for sql in &statements {
            tables.mutate(tables.ready(sql), loading.generation()?).await?;
        }
        tables.drop().await?;
        after = lines.last;
    }
    Ok(())
}

/// Returns the template of a dataset with what statements need to know to overwrite rows.
fn template(dataset: &Dataset) -> Template {
    let key = dataset.columns.key().unwrap_or_default();
    let is_key = |column: &Column| key.iter().any(|&at| dataset.columns.get(at) == Some(column));
    let values = |is_nullable: bool| {
        let values = dataset.columns.fields().filter(move |column| column.is_nullable() == is_nullable);
        let values = values.filter(|column| !is_key(column));
        values.map(|column| Item::new(&column.name, column_type(column))).collect::<Vec<_>>()
    };
    dataset
        .template()
        .with("row_key", dataset.sql("tuple(/* each key: `$name` */)"))
        .list("required", values(false))
        .list("optional", values(true))
}

/// Removes the rows that the plan says: rows that the file does not have, if so asked, and copies of rows. Notes the rows of aggregate tables
/// that they belong to. Returns how many rows were removed.
pub(super) async fn remove(plan: &Plan, loading: &Loading) -> Result<u64, RepairError> {
    let tables = &plan.tables;
    let mut removed = 0;
    for _ in 0..MAX_ATTEMPTS {
        if plan.list_removals().await? == 0 {
            tables.drop().await?;
            return Ok(removed);
        }
        for aggregate in Aggregate::all(plan) {
            let listed = "(_part, _part_offset) IN (SELECT part, part_offset FROM {removals:Identifier})";
            aggregate.note_stored(listed).await?;
        }
        let listed = listed_rows(plan).await?;
        let delete = tables.query(include_str!("../../../queries/engine/repair/remove_rows.sql"));
        tables.mutate(delete, loading.generation()?).await?;
        removed += listed.saturating_sub(listed_rows(plan).await?);
    }
    Err(RepairError::RowsStay)
}

async fn listed_rows(plan: &Plan) -> Result<u64, WarehouseError> {
    plan.tables.number(include_str!("../../../queries/engine/repair/count_listed.sql")).await
}
