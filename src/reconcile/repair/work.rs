//! One repair, from what was found to what is found then.

use std::time::{Duration, Instant};

use super::hours::{self, Loading};
use super::produce::{missing, until_visible};
use super::record::{Prefer, RepairState};
use super::tables::{Found, Tables};
use super::{Active, RepairError, Repairer, check, rounds};
use crate::loader::lease::Holder;
use crate::reconcile::attempts;
use crate::reconcile::report::Report;
use crate::reconcile::store;
use crate::warehouse::client::WarehouseError;

/// How long it may take, after the start, until it is known who loads the topic.
const LEASE_PATIENCE: Duration = Duration::from_secs(90);

impl Repairer {
    /// Repairs until it is done or fails for good. `is_resumed`: an earlier process had begun it.
    pub(super) async fn work_on(&self, repair: &Active, is_resumed: bool) {
        let started = Instant::now();
        self.note(&repair.change(|record| record.view.state = RepairState::Running)).await;
        // What was broken off may still be going on.
        let is_alone = self.loads.is_gated && !is_resumed;
        let warehouse = &self.reconciler.context.warehouse;
        let attempt = |before| self.attempt(repair, is_alone && before == 0);
        let outcome = attempts::repeat(warehouse, repair.job, attempt).await;
        if let Err(error) = &outcome {
            tracing::error!(job = %repair.job, ?error, "a repair failed");
            // A change that was begun and not waited for would keep others from the rounds.
            if let Err(error) = Tables::new(warehouse.clone(), repair.job, uuid::Uuid::nil()).clear().await {
                tracing::warn!(job = %repair.job, %error, "its tables stay until the next start");
            }
        }
        let ended = repair.changed(|record| {
            record.view.seconds += started.elapsed().as_secs_f64();
            record.view.state = if outcome.is_ok() { RepairState::Done } else { RepairState::Failed };
            record.view.reason = outcome.err().map(|error| error.to_string());
        });
        // Its end is shown once it is stored: who has seen it may ask for the next repair at once.
        self.note(&ended).await;
        repair.show(ended);
    }

    /// From the beginning, whatever an earlier attempt has done.
    async fn attempt(&self, repair: &Active, is_alone: bool) -> Result<(), RepairError> {
        if self.loads.tenure.wait_until_known(LEASE_PATIENCE).await == Holder::Unknown {
            return Err(RepairError::NotLoading);
        }
        let (context, record) = (&self.reconciler.context, repair.record());
        let job = self.reconciler.store.get(repair.job).await?.ok_or(RepairError::JobGone)?;
        let store::Record { attempt: Some(attempt), report: Some(before), .. } = &job else {
            return Err(RepairError::JobGone);
        };
        let tables = Tables::new(context.warehouse.clone(), repair.job, *attempt);
        tables.clear().await?;
        if record.attempt == Some(*attempt) {
            // All was done but to say so.
            return self.tidy(&tables).await;
        }
        if tables.found(*attempt).await? != noted(before) {
            return Err(RepairError::DifferencesGone);
        }
        let so_far = context.arrivals.so_far().await;
        let is_caught_up = context.arrivals.wait(&context.warehouse, so_far.as_ref()).await?;
        let loading = self.loading(is_alone);
        self.change(&tables, &loading, repair, &job.file_name).await?;
        hours::rebuild(&tables, &loading).await?;
        hours::rename(&tables, &loading).await?;
        if let Err(error) = hours::remove_empty(&tables, &loading).await {
            tracing::warn!(job = %tables.job, %error, "hours without rounds stay in their table, as zeros");
            tables.clear().await?;
        }
        let (next_attempt, report) =
            check::check(&tables, &context.columns, &loading, before, is_caught_up).await?;
        let produced = before.missing.saturating_sub(missing(&tables).await?);
        self.note(&repair.change(|record| {
            let view = &mut record.view;
            record.attempt = Some(next_attempt);
            view.produced = produced;
            view.hours_rebuilt = before.hours.different.saturating_sub(report.hours.different);
            if view.prefer == Prefer::File {
                view.overwritten = before.different.saturating_sub(report.different);
            }
        }))
        .await;
        self.finish(&tables, next_attempt, &report).await?;
        self.tidy(&Tables::new(context.warehouse.clone(), repair.job, next_attempt)).await
    }

    /// Makes the rounds what they should be.
    async fn change(
        &self,
        tables: &Tables,
        loading: &Loading,
        repair: &Active,
        file_name: &str,
    ) -> Result<(), RepairError> {
        let view = repair.record().view;
        let query = tables.query(include_str!("../../../queries/repair/note_hours.sql"));
        let query = query.param("prefers_file", view.prefer == Prefer::File);
        tables.execute(query.param("removes_unexpected", view.removes_unexpected)).await?;
        if let Some(upload) = self.produce_missing(tables, file_name).await? {
            self.note(&repair.change(|record| record.view.upload_ids.push(upload.upload_id))).await;
            until_visible(tables, &upload).await?;
        }
        if view.prefer == Prefer::File {
            rounds::overwrite(tables, loading).await?;
        }
        let removed = rounds::remove(tables, loading, view.removes_unexpected).await?;
        if removed > 0 {
            self.note(&repair.change(|record| record.view.removed += removed)).await;
        }
        Ok(())
    }

    fn loading(&self, is_alone: bool) -> Loading {
        Loading { loads: self.loads.clone(), is_alone }
    }

    /// Gives the job what the second check found.
    async fn finish(
        &self,
        tables: &Tables,
        next_attempt: uuid::Uuid,
        report: &Report,
    ) -> Result<(), RepairError> {
        let report = serde_json::to_string(report).map_err(|_| RepairError::DoesNotAddUp)?;
        let query = tables.query(include_str!("../../../queries/repair/finish_job.sql"));
        let query = query.param("id", tables.job.to_string()).param("report", report);
        Ok(tables.execute(query.param("next_attempt", next_attempt.to_string())).await?)
    }

    /// Removes what the repair has left; `tables`: with the attempt that counts.
    async fn tidy(&self, tables: &Tables) -> Result<(), RepairError> {
        for statement in [
            include_str!("../../../queries/repair/forget_hours.sql"),
            include_str!("../../../queries/repair/delete_attempts.sql"),
        ] {
            tables.execute(tables.query(statement)).await?;
        }
        Ok(tables.drop().await?)
    }

    /// Stores a repair, however long it takes.
    async fn note(&self, record: &super::record::Record) {
        while let Err(error) = self.store.write(record).await {
            tracing::warn!(job = %record.job_id, %error, "the state of a repair cannot be stored yet");
            tokio::time::sleep(super::RETRY_PAUSE).await;
        }
    }

    /// Drops what repairs that have not ended have left, and returns these.
    pub(super) async fn recover(&self) -> Result<Vec<super::record::Record>, WarehouseError> {
        for job in self.store.with_tables().await? {
            Tables::new(self.reconciler.context.warehouse.clone(), job, uuid::Uuid::nil()).clear().await?;
        }
        self.store.unfinished().await
    }
}

/// What a report says was noted.
fn noted(report: &Report) -> Found {
    Found {
        different: report.different,
        missing: report.missing,
        duplicate_in_file: report.duplicate_in_file,
        contradictory_in_file: report.contradictory_in_file,
        unexpected: report.unexpected,
        hours: report.hours.different,
    }
}
