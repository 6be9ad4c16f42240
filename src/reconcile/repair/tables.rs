//! The statements of one repair, and its tables in ClickHouse, which exist while it runs.

use std::sync::Arc;
use std::time::Duration;

use clickhouse::query::Query;
use serde::Deserialize;
use uuid::Uuid;

use crate::dataset::Dataset;
use crate::loader::lease::REPAIR_TAG;
use crate::reconcile::report::Report;
pub(super) use crate::reconcile::tables::in_time;
use crate::reconcile::tables::{DROP_TABLE, stop_queries};
use crate::warehouse::client::{Warehouse, WarehouseError};

/// How many times mutations are killed before this gives up.
const MAX_KILLS: u8 = 30;

/// Between two attempts.
const KILL_PAUSE: Duration = Duration::from_millis(500);

/// What the queries of one repair have in common.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) warehouse: Warehouse,
    pub(super) dataset: Arc<Dataset>,
    pub(super) job: Uuid,
    /// The attempt of the job whose differences are repaired.
    pub(super) attempt: Uuid,
    /// The `log_comment` of its queries in ClickHouse.
    tag: String,
    values: String,
    removals: String,
}

impl Tables {
    /// Names contain the job's UUID, and nothing that a client has sent.
    pub(super) fn new(warehouse: Warehouse, dataset: &Arc<Dataset>, job: Uuid, attempt: Uuid) -> Self {
        let name = |what| format!("repair_{what}_{}", job.simple());
        let (values, removals) = (name("values"), name("removals"));
        let tag = format!("{REPAIR_TAG}{job}");
        Self { warehouse, dataset: Arc::clone(dataset), job, attempt, tag, values, removals }
    }

    /// For queries that only preview a repair: what stops a repair's queries does not stop these.
    pub(super) fn for_preview(
        warehouse: Warehouse,
        dataset: &Arc<Dataset>,
        job: Uuid,
        attempt: Uuid,
    ) -> Self {
        let tag = format!("roundhouse preview of repair {job}");
        Self { tag, ..Self::new(warehouse, dataset, job, attempt) }
    }

    /// A query that may use the job, its attempt and the tables as parameters. [`Tables::clear`] stops it.
    pub(super) fn query(&self, sql: &str) -> Query {
        self.ready(&self.dataset.sql(sql))
    }

    /// The same for a statement whose placeholders are filled in.
    pub(super) fn ready(&self, sql: &str) -> Query {
        self.warehouse
            .query(sql)
            .with_setting("log_comment", &self.tag)
            .param("job", self.job.to_string())
            .param("attempt", self.attempt.to_string())
            .param("values", &self.values)
            .param("removals", &self.removals)
    }

    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn execute(&self, query: Query) -> Result<(), WarehouseError> {
        in_time(query.execute()).await
    }

    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn number(&self, sql: &str) -> Result<u64, WarehouseError> {
        in_time(self.query(sql).fetch_one()).await
    }

    /// Changes rows, if `generation` is still the latest, and waits until it is done.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn mutate(&self, query: Query, generation: u32) -> Result<(), WarehouseError> {
        // joinGet takes the table's name as a text, with the database.
        let qualified = format!("{}.{}", self.warehouse.database(), self.values);
        let query = query.param("qualified_values", qualified).param("generation", generation);
        self.execute(query.with_setting("mutations_sync", "1")).await
    }

    /// Stops the repair's queries, those of an earlier process too, and drops its tables.
    ///
    /// # Errors
    /// ClickHouse does not answer, or does not stop mutations that need the tables.
    pub(super) async fn clear(&self) -> Result<(), WarehouseError> {
        stop_queries(&self.warehouse, &self.tag).await?;
        self.drop().await
    }

    /// Kills mutations that need the tables, then drops the tables. What such a mutation has done so far is right, and the rest is done
    /// again.
    ///
    /// # Errors
    /// ClickHouse does not answer, or does not stop the mutations.
    pub(super) async fn drop(&self) -> Result<(), WarehouseError> {
        let mut kills = 0;
        while self.number(include_str!("../../../queries/engine/repair/running_mutations.sql")).await? > 0 {
            if kills == MAX_KILLS {
                return Err(WarehouseError::TimedOut);
            }
            self.execute(self.query(include_str!("../../../queries/engine/repair/kill_mutations.sql")))
                .await?;
            tokio::time::sleep(KILL_PAUSE).await;
            kills += 1;
        }
        for table in [&self.values, &self.removals] {
            self.execute(self.query(DROP_TABLE).param("table", table)).await?;
        }
        Ok(())
    }
}

/// How many differences of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub(super) struct Found {
    pub(super) different: u64,
    pub(super) missing: u64,
    pub(super) duplicate_in_file: u64,
    pub(super) contradictory_in_file: u64,
    pub(super) unexpected: u64,
    /// Rows of aggregate tables.
    pub(super) sums: u64,
}

/// How many rows of an aggregate table differ. The name is empty for the hours of bets.
#[derive(Clone, Debug, clickhouse::Row, Deserialize)]
pub(super) struct FoundSums {
    pub(super) aggregate: String,
    pub(super) differ: u64,
}

impl Tables {
    /// Whether all differences of a report are still kept.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn has_all_of(&self, report: &Report) -> Result<bool, WarehouseError> {
        let reported = Found {
            different: report.different,
            missing: report.missing,
            duplicate_in_file: report.duplicate_in_file,
            contradictory_in_file: report.contradictory_in_file,
            unexpected: report.unexpected,
            sums: report.different_sums(),
        };
        Ok(self.found(self.attempt).await? == reported)
    }

    /// Counts the differences of an attempt.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn found(&self, attempt: Uuid) -> Result<Found, WarehouseError> {
        let query = self.of(attempt, include_str!("../../../queries/engine/repair/found.sql"));
        in_time(query.fetch_one()).await
    }

    /// Counts the differing rows of each aggregate table that an attempt found.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn found_sums(&self, attempt: Uuid) -> Result<Vec<FoundSums>, WarehouseError> {
        let query = self.of(attempt, include_str!("../../../queries/engine/repair/found_sums.sql"));
        in_time(query.fetch_all()).await
    }

    fn of(&self, attempt: Uuid, sql: &str) -> Query {
        let query = self.warehouse.query(&self.dataset.sql(sql));
        query.param("job", self.job.to_string()).param("attempt", attempt.to_string())
    }
}
