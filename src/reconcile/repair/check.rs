//! The second check. Everything that differed is compared again, from the differences that were kept, because the file is gone.

use std::sync::Arc;

use uuid::Uuid;

use super::RepairError;
use super::hours::{self, Loading};
use super::plan::{Lines, Plan};
use crate::dataset::Dataset;
use crate::reconcile::differences::{Differences, Kinds};
use crate::reconcile::report::{Report, SAMPLE};
use crate::warehouse::client::WarehouseError;

/// Keeps what still differs as another attempt of the job, and returns the report on it.
pub(super) async fn check(
    plan: &Plan,
    dataset: &Arc<Dataset>,
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
    for range in hours::ranges(tables).await? {
        let (_nothing_is_loaded, is_quiet) = loading.hold(tables).await?;
        is_settled &= is_quiet;
        tables
            .execute(range.of(query(include_str!("../../../queries/engine/repair/keep_hours.sql"))))
            .await?;
    }
    let found = tables.found(next_attempt).await?;
    let mut report = Report {
        missing: found.missing,
        different: found.different,
        unexpected: found.unexpected,
        // If other processes load, rows may have been loaded while an hour was compared.
        settled: is_settled && (loading.is_alone || found.hours == 0),
        sample: Differences::new(&tables.warehouse, Arc::clone(dataset), tables.job, next_attempt)
            .sample(SAMPLE)
            .await?,
        ..before.clone()
    };
    report.set_different_sums("", found.hours);
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
