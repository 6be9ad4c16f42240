//! The second check. Everything that differed is compared again, from the differences that were kept, because the file is gone.

use std::sync::Arc;

use uuid::Uuid;

use super::RepairError;
use super::aggregates::Aggregate;
use super::loading::Loading;
use super::plan::{Lines, Plan};
use super::row_texts;
use crate::reconcile::differences::{Differences, Kinds};
use crate::reconcile::report::{Report, SAMPLE};
use crate::warehouse::client::WarehouseError;

/// Keeps what still differs as another attempt of the job, and returns the report on it.
pub(super) async fn check(
    plan: &Plan,
    loading: &Loading,
    before: &Report,
    is_settled: bool,
) -> Result<(Uuid, Report), RepairError> {
    let tables = &plan.tables;
    let next_attempt = Uuid::now_v7();
    let query = |sql| plan.query(sql).param("next_attempt", next_attempt.to_string());
    check_rows(plan, next_attempt).await?;
    tables.execute(query(include_str!("../../../queries/engine/repair/check_duplicates.sql"))).await?;
    tables.execute(query(include_str!("../../../queries/engine/repair/keep_unexpected.sql"))).await?;
    let mut is_settled = is_settled;
    for aggregate in Aggregate::all(plan).iter().filter(|aggregate| aggregate.is_compared) {
        is_settled &= check_sums(aggregate, plan, loading, next_attempt).await?;
    }
    let found = tables.found(next_attempt).await?;
    let mut report = Report {
        missing: found.missing,
        different: found.different,
        unexpected: found.unexpected,
        // If other processes load, rows may have been loaded while sums were compared.
        settled: is_settled && (loading.is_alone || found.sums == 0),
        sample: Differences::new(&tables.warehouse, Arc::clone(&tables.dataset), tables.job, next_attempt)
            .sample(SAMPLE)
            .await?,
        ..before.clone()
    };
    let found_sums = tables.found_sums(next_attempt).await?;
    for aggregate in Aggregate::all(plan).iter().filter(|aggregate| aggregate.is_compared) {
        let table = aggregate.reported_name();
        let found = found_sums.iter().find(|sums| sums.aggregate == table);
        report.set_different_sums(table, found.map_or(0, |sums| sums.differ));
    }
    // What differed and no longer differs, matches.
    report.matched = (before.matched + before.missing + before.different)
        .checked_sub(found.missing + found.different)
        .ok_or(RepairError::DoesNotAddUp)?;
    report.verdict = report.verdict_of_counts();
    let is_file_unchanged = found.duplicate_in_file == before.duplicate_in_file
        && found.contradictory_in_file == before.contradictory_in_file;
    if report.adds_up() && is_file_unchanged {
        Ok((next_attempt, report))
    } else {
        Err(RepairError::DoesNotAddUp)
    }
}

async fn check_rows(plan: &Plan, next_attempt: Uuid) -> Result<(), WarehouseError> {
    let mut after = 0;
    while let Some(lines) = Lines::next(&plan.tables, Kinds::DIFFERENT_OR_MISSING, after).await? {
        let query = plan.query(include_str!("../../../queries/engine/repair/keep_rows.sql"));
        let query = query.param("next_attempt", next_attempt.to_string());
        plan.tables.execute(lines.of(query)).await?;
        after = lines.last;
    }
    Ok(())
}

/// Compares the noted rows of an aggregate table that the file has rows of. What they should hold: the stored rows, with the file's values in
/// place of the stored ones where rows are still different or missing. Returns whether nothing was being loaded.
async fn check_sums(
    aggregate: &Aggregate<'_>,
    plan: &Plan,
    loading: &Loading,
    next_attempt: Uuid,
) -> Result<bool, WarehouseError> {
    let dataset = &plan.tables.dataset;
    let left = dataset.sql(
        "/* differences */ WHERE job_id = {job:UUID} AND attempt = {next_attempt:UUID} AND kind IN ('different', 'missing')",
    );
    let rows = row_texts::with_file(dataset, &dataset.table, &left);
    let keys = aggregate.text(include_str!("../../../queries/engine/repair/noted_keys_of_file.sql"), &[]);
    let comparison = aggregate.comparison(&rows, &aggregate.table.table, &keys);
    let mut is_settled = true;
    for keys in aggregate.noted().await? {
        let (_nothing_is_loaded, is_quiet) = loading.hold(&plan.tables).await?;
        is_settled &= is_quiet;
        let sql = include_str!("../../../queries/engine/repair/keep_sums.sql");
        let query = aggregate.query(sql, std::slice::from_ref(&comparison));
        plan.tables.execute(keys.of(query).param("next_attempt", next_attempt.to_string())).await?;
    }
    Ok(is_settled)
}
