//! A job's tables in ClickHouse, which exist while it runs, and its queries, which can be stopped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::query::Query;
use uuid::Uuid;

use crate::dataset::Dataset;
use crate::dataset::differences::ComparedTable;
use crate::dataset::template::Template;
use crate::warehouse::client::{self, Warehouse, WarehouseError};
use crate::warehouse::statements;

/// Drops a table of a job or of a repair, if it exists.
pub(super) const DROP_TABLE: &str = include_str!("../../queries/engine/reconcile/drop_table.sql");

/// How long one query may take: a little more than the `max_execution_time` in the queries. A mutation of rows may take as long.
const QUERY_TIMEOUT: Duration = Duration::from_secs(660);

/// How long queries are killed repeatedly, and the pause in between. A query may still be on its way to ClickHouse.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// The tables of one attempt at a job.
#[derive(Debug)]
pub(super) struct Tables {
    warehouse: Warehouse,
    dataset: Arc<Dataset>,
    template: Template,
    job: Uuid,
    attempt: Uuid,
}

impl Tables {
    /// Names the tables of a job. A name contains the job's UUID, and nothing that a client has sent.
    pub(super) fn new(warehouse: Warehouse, dataset: Arc<Dataset>, job: Uuid) -> Self {
        let template = dataset.template();
        Self { warehouse, dataset, template, job, attempt: Uuid::now_v7() }
    }

    pub(super) fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    pub(super) fn job(&self) -> Uuid {
        self.job
    }

    /// Marks the differences that are found now. Attempts that were given up have other marks.
    pub(super) fn attempt(&self) -> Uuid {
        self.attempt
    }

    pub(super) fn warehouse(&self) -> &Warehouse {
        &self.warehouse
    }

    /// The `log_comment` of the job's queries in ClickHouse.
    pub(super) fn tag(&self) -> String {
        format!("roundhouse reconciliation {}", self.job)
    }

    pub(super) fn name(&self, what: &str) -> String {
        format!("reconcile_{what}_{}", self.job.simple())
    }

    /// Creates the tables, without rows that an earlier attempt has left.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn create(&self) -> Result<(), WarehouseError> {
        self.drop().await?;
        for statement in [
            include_str!("../../queries/engine/reconcile/create_rows.sql"),
            include_str!("../../queries/engine/reconcile/create_outcomes.sql"),
            include_str!("../../queries/engine/reconcile/create_ranges.sql"),
        ] {
            self.execute(self.query(statement)).await?;
        }
        for (number, table) in self.dataset.compared().enumerate() {
            let statement = include_str!("../../queries/engine/reconcile/create_groups.sql");
            self.execute(self.query_of(number, &self.dataset.template_of(&table), statement)).await?;
        }
        Ok(())
    }

    /// Drops the tables that exist.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    async fn drop(&self) -> Result<(), WarehouseError> {
        let query = self.query(include_str!("../../queries/engine/reconcile/tables_of_job.sql"));
        let query = query.param("job_name", self.job.simple().to_string());
        for table in in_time(query.fetch_all::<String>()).await? {
            self.drop_table(&table).await?;
        }
        Ok(())
    }

    pub(super) async fn drop_table(&self, table: &str) -> Result<(), WarehouseError> {
        self.execute(self.query(DROP_TABLE).param("table", table)).await
    }

    /// Stops the job's queries, those of an earlier process too, and removes everything that ClickHouse has of it except
    /// the differences of the attempt `kept`.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn clear(&self, kept: Option<Uuid>) -> Result<(), WarehouseError> {
        stop_queries(&self.warehouse, &self.tag()).await?;
        self.drop().await?;
        self.remove_differences(kept).await
    }

    /// Removes the differences of attempts other than `kept`.
    async fn remove_differences(&self, kept: Option<Uuid>) -> Result<(), WarehouseError> {
        let query = |sql| {
            let query = self.warehouse.query(&self.template.fill(sql)).param("job", self.job.to_string());
            query.param("attempt", kept.unwrap_or_default().to_string())
        };
        let left_over = query(include_str!("../../queries/engine/reconcile/left_over_differences.sql"));
        if in_time(left_over.fetch_one::<u64>()).await? > 0 {
            // Rare and expensive: a mutation of the table. Nothing has to wait for it.
            let delete =
                query(include_str!("../../queries/engine/reconcile/delete_left_over_differences.sql"));
            in_time(delete.execute()).await?;
        }
        Ok(())
    }

    /// Returns the statement that inserts rows. The line number is the last column.
    pub(super) fn insert_statement(&self) -> String {
        let columns = self.template.fill("(/* each field: `$name`, */ `file line`)");
        format!("INSERT INTO {} {columns} FORMAT RowBinary", self.name("rows"))
    }

    /// A query that may use the job, the attempt and the tables as parameters, and the placeholders of the dataset. [`Tables::clear`] stops
    /// it.
    pub(super) fn query(&self, sql: &str) -> Query {
        self.filled(&self.template.fill(sql))
    }

    /// The same about the tables of an aggregate table, by its number in [`Dataset::compared`].
    pub(super) fn query_of(&self, number: usize, template: &Template, sql: &str) -> Query {
        self.filled(&template.fill(sql))
            .param("groups", format!("{}_{number}", self.name("groups")))
            .param("spans", format!("{}_{number}", self.name("spans")))
    }

    pub(super) fn filled(&self, sql: &str) -> Query {
        self.warehouse
            .query(sql)
            .with_setting("log_comment", self.tag())
            .param("rows", self.name("rows"))
            .param("outcomes", self.name("outcomes"))
            .param("ranges", self.name("ranges"))
            .param("job", self.job.to_string())
            .param("attempt", self.attempt.to_string())
    }

    pub(super) fn compared(&self) -> impl Iterator<Item = (usize, ComparedTable<'_>)> {
        self.dataset.compared().enumerate()
    }

    pub(super) async fn execute(&self, query: Query) -> Result<(), WarehouseError> {
        in_time(query.execute()).await
    }
}

/// Stops the queries with a tag (their `log_comment`), also those of an earlier process, and waits a limited time until there are none.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn stop_queries(warehouse: &Warehouse, tag: &str) -> Result<(), WarehouseError> {
    let started = Instant::now();
    while statements::stop(warehouse, tag, "", QUERY_TIMEOUT).await? > 0 {
        if started.elapsed() > STOP_PATIENCE {
            tracing::warn!(tag, "queries still run after KILL QUERY");
            break;
        }
        tokio::time::sleep(STOP_INTERVAL).await;
    }
    Ok(())
}

/// Waits for an answer, for a limited time.
pub(super) async fn in_time<T>(
    answer: impl Future<Output = Result<T, clickhouse::error::Error>>,
) -> Result<T, WarehouseError> {
    client::in_time(QUERY_TIMEOUT, answer).await
}
