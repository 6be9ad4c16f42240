//! A job's tables in ClickHouse, which exist while it runs, and its queries, which can be stopped.

use std::time::{Duration, Instant};

use clickhouse::query::Query;
use uuid::Uuid;

use crate::domain::columns::Columns;
use crate::warehouse::client::{self, Warehouse, WarehouseError};
use crate::warehouse::statements;

/// Drops a table of a job or of a repair, if it exists.
pub(super) const DROP_TABLE: &str = include_str!("../../queries/engine/reconcile/drop_table.sql");

/// How long one query may take: a little more than the `max_execution_time` in the queries. A mutation of rounds may take as long.
const QUERY_TIMEOUT: Duration = Duration::from_secs(660);

/// How long queries are killed repeatedly, and the pause in between. A query may still be on its way to ClickHouse.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
const STOP_INTERVAL: Duration = Duration::from_millis(20);

/// Ids from the first to the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Range {
    pub(super) fn of(self, query: Query) -> Query {
        query.param("first", self.first).param("last", self.last)
    }
}

/// A range that has been compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComparedRange {
    pub(super) range: Range,
    /// How many rounds of the file it has. None: not all of its rows match.
    pub(super) rounds: Option<u64>,
}

impl ComparedRange {
    /// Whether the range may have stored rounds that are not in the file. Counting rounds is cheaper than looking for others.
    pub(super) async fn may_hold_others(self, tables: &Tables) -> Result<bool, WarehouseError> {
        let Some(rounds) = self.rounds else { return Ok(true) };
        let query = tables.query(include_str!("../../queries/engine/reconcile/stored_rounds.sql"));
        let stored: u64 = in_time(self.range.of(query).fetch_one()).await?;
        Ok(stored != rounds)
    }
}

/// The tables of one attempt at a job.
#[derive(Debug)]
pub(super) struct Tables {
    warehouse: Warehouse,
    job: Uuid,
    attempt: Uuid,
    rows: String,
    outcomes: String,
    hours: String,
}

impl Tables {
    /// Names the tables of a job. A name contains the job's UUID, and nothing that a client has sent.
    pub(super) fn new(warehouse: Warehouse, job: Uuid) -> Self {
        let name = |what| format!("reconcile_{what}_{}", job.simple());
        let (rows, outcomes, hours) = (name("rows"), name("outcomes"), name("hours"));
        Self { warehouse, job, attempt: Uuid::now_v7(), rows, outcomes, hours }
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

    /// Creates the tables, without rows that an earlier attempt has left.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn create(&self) -> Result<(), WarehouseError> {
        self.drop().await?;
        for statement in [
            include_str!("../../queries/engine/reconcile/create_rows.sql"),
            include_str!("../../queries/engine/reconcile/create_outcomes.sql"),
            include_str!("../../queries/engine/reconcile/create_hours.sql"),
        ] {
            self.execute(self.query(statement)).await?;
        }
        Ok(())
    }

    /// Drops the tables that exist.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn drop(&self) -> Result<(), WarehouseError> {
        for table in [&self.rows, &self.outcomes, &self.hours] {
            self.execute(self.query(DROP_TABLE).param("table", table)).await?;
        }
        Ok(())
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
            let query = self.warehouse.query(sql).param("job", self.job.to_string());
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

    /// Returns the statement that inserts rows. The line number is the first column.
    pub(super) fn insert_statement(&self, columns: &Columns) -> String {
        let names: Vec<&str> = columns.fields().map(|column| column.name.as_str()).collect();
        format!("INSERT INTO {} (line, {}) FORMAT RowBinary", self.rows, names.join(", "))
    }

    /// A query that may use the job, the attempt and the tables as parameters. [`Tables::clear`] stops it.
    pub(super) fn query(&self, sql: &str) -> Query {
        self.warehouse
            .query(sql)
            .with_setting("log_comment", self.tag())
            .param("rows", &self.rows)
            .param("outcomes", &self.outcomes)
            .param("hours", &self.hours)
            .param("job", self.job.to_string())
            .param("attempt", self.attempt.to_string())
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
