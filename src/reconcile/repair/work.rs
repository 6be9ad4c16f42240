//! One repair, from the differences that were found to the second check.

use std::time::{Duration, Instant};

use super::aggregates::Aggregate;
use super::loading::Loading;
use super::plan::Plan;
use super::produce::until_visible;
use super::record::{RepairState, Wishes};
use super::tables::Tables;
use super::{Active, RepairError, Repairer, check, rows};
use crate::loader::lease::Holder;
use crate::reconcile::attempts;
use crate::reconcile::report::Report;
use crate::reconcile::store;
use crate::warehouse::client::WarehouseError;

/// How long it may take after the start until this server knows which server loads the topic.
const LEASE_PATIENCE: Duration = Duration::from_secs(90);

impl Repairer {
    /// Works on a repair until it is done or has failed for good. `is_resumed`: an earlier process began it.
    pub(super) async fn work_on(&self, repair: &Active, is_resumed: bool) {
        let started = Instant::now();
        self.note(&repair.change(|record| record.view.state = RepairState::Running)).await;
        // Interrupted work of that process may still be running.
        let is_alone = self.loads.is_gated && !is_resumed;
        let warehouse = &self.reconciler.context.warehouse;
        let attempt = |before| self.attempt(repair, is_alone && before == 0);
        let outcome = attempts::repeat(warehouse, repair.job, attempt).await;
        if let Err(error) = &outcome {
            tracing::error!(job = %repair.job, ?error, "a repair failed");
            // A mutation that has begun and never ends would block later ones.
            if let Err(error) = self.tables(repair.job, uuid::Uuid::nil()).clear().await {
                tracing::warn!(job = %repair.job, %error, "temporary tables of a repair will be dropped at the next start");
            }
        }
        let ended = repair.changed(|record| {
            record.view.seconds += started.elapsed().as_secs_f64();
            record.view.state = if outcome.is_ok() { RepairState::Done } else { RepairState::Failed };
            record.view.reason = outcome.err().map(|error| error.to_string());
        });
        // The end is shown after it is stored: a client that has seen it may request the next repair at once.
        self.note(&ended).await;
        repair.show(ended);
    }

    /// Repairs from the beginning, whatever an earlier attempt has done.
    async fn attempt(&self, repair: &Active, is_alone: bool) -> Result<(), RepairError> {
        if self.loads.tenure.wait_until_known(LEASE_PATIENCE).await == Holder::Unknown {
            return Err(RepairError::NotLoading);
        }
        let (context, record) = (&self.reconciler.context, repair.record());
        let job = self.reconciler.store.get(repair.job).await?.ok_or(RepairError::JobGone)?;
        let store::Record { attempt: Some(attempt), report: Some(before), .. } = &job else {
            return Err(RepairError::JobGone);
        };
        let tables = self.tables(repair.job, *attempt);
        tables.clear().await?;
        if record.attempt == Some(*attempt) {
            // Only its end was not stored.
            return self.tidy(&tables).await;
        }
        if !tables.has_all_of(before).await? {
            return Err(RepairError::DifferencesGone);
        }
        let so_far = context.arrivals.so_far().await;
        let is_caught_up = context.arrivals.wait(&context.warehouse, so_far.as_ref()).await?;
        let loading = self.loading(is_alone);
        let view = record.view;
        let wishes = Wishes { prefer: view.prefer, removes_unexpected: view.removes_unexpected };
        let plan = Plan::new(&tables, wishes);
        self.change(&plan, &loading, repair, &job.file_name).await?;
        for aggregate in Aggregate::all(&plan) {
            aggregate.rebuild(&loading).await?;
            aggregate.set_states(&loading).await?;
            if let Err(error) = aggregate.remove_empty(&loading).await {
                tracing::warn!(job = %tables.job, %error, "aggregates without rows stay in their table as zeros");
                tables.clear().await?;
            }
        }
        let (next_attempt, report) = check::check(&plan, &loading, before, is_caught_up).await?;
        let produced = before.missing.saturating_sub(plan.missing().await?);
        self.note(&repair.change(|record| {
            record.attempt = Some(next_attempt);
            record.view.produced = produced;
            record.view.set_rebuilt(&context.dataset.name, rebuilt(before, &report));
        }))
        .await;
        self.finish(&tables, next_attempt, &report).await?;
        self.tidy(&self.tables(repair.job, next_attempt)).await
    }

    fn tables(&self, job: uuid::Uuid, attempt: uuid::Uuid) -> Tables {
        let context = &self.reconciler.context;
        Tables::new(context.warehouse.clone(), &context.dataset, job, attempt)
    }

    /// Carries out what the plan says of rows. Rows are removed before others are overwritten, so that the preview of a repair can read
    /// the same plan before any of it is done.
    async fn change(
        &self,
        plan: &Plan,
        loading: &Loading,
        repair: &Active,
        file_name: &str,
    ) -> Result<(), RepairError> {
        let aggregates = Aggregate::all(plan);
        for aggregate in &aggregates {
            aggregate.note().await?;
        }
        if let Some(upload) = self.produce_missing(plan, file_name).await? {
            self.note(&repair.change(|record| record.view.upload_ids.push(upload.upload_id))).await;
            until_visible(&plan.tables, &upload).await?;
        }
        let removed = rows::remove(plan, loading).await?;
        if removed > 0 {
            self.note(&repair.change(|record| record.view.removed += removed)).await;
        }
        if plan.wishes.prefers_file() {
            // An attempt after a crash finds fewer.
            let planned = plan.overwrites().await?;
            let note = repair.change(|record| record.view.overwritten = record.view.overwritten.max(planned));
            self.note(&note).await;
            rows::overwrite(plan, loading).await?;
        }
        // Now the rows are stored that say what they belong to.
        for aggregate in aggregates.iter().filter(|aggregate| !aggregate.table.is_of_fields) {
            aggregate.note().await?;
        }
        Ok(())
    }

    fn loading(&self, is_alone: bool) -> Loading {
        Loading { loads: self.loads.clone(), is_alone }
    }

    /// Stores what the second check found as the job's report.
    async fn finish(
        &self,
        tables: &Tables,
        next_attempt: uuid::Uuid,
        report: &Report,
    ) -> Result<(), RepairError> {
        let report = serde_json::to_string(report).map_err(|_| RepairError::DoesNotAddUp)?;
        let query = tables.query(include_str!("../../../queries/engine/repair/finish_job.sql"));
        let query = query.param("id", tables.job.to_string()).param("report", report);
        Ok(tables.execute(query.param("next_attempt", next_attempt.to_string())).await?)
    }

    /// Removes what the repair has left. `tables` must be those of the attempt that counts.
    async fn tidy(&self, tables: &Tables) -> Result<(), RepairError> {
        for statement in [
            include_str!("../../../queries/engine/repair/forget_keys.sql"),
            include_str!("../../../queries/engine/repair/delete_attempts.sql"),
        ] {
            tables.execute(tables.query(statement)).await?;
        }
        Ok(tables.drop().await?)
    }

    /// Stores a repair. Tries until it is stored.
    async fn note(&self, record: &super::record::Record) {
        while let Err(error) = self.store.write(record).await {
            tracing::warn!(job = %record.job_id, %error, "cannot store the state of a repair yet; trying again");
            tokio::time::sleep(super::RETRY_PAUSE).await;
        }
    }

    /// Drops the tables that repairs have left, and returns the repairs that have not ended.
    pub(super) async fn recover(&self) -> Result<Vec<super::record::Record>, WarehouseError> {
        for job in self.store.with_tables().await? {
            self.tables(job, uuid::Uuid::nil()).clear().await?;
        }
        self.store.unfinished().await
    }
}

/// Counts the rows of aggregate tables that differed and no longer differ. A repair may also find rows that differ only now.
fn rebuilt(before: &Report, after: &Report) -> u64 {
    let differed = |report: &Report| -> Vec<u64> {
        let hours = report.hours.iter().map(|hours| hours.different);
        hours.chain(report.aggregates.iter().map(|table| table.compared.different)).collect()
    };
    let tables = differed(before).into_iter().zip(differed(after));
    tables.map(|(before, after)| before.saturating_sub(after)).sum()
}
