//! The comparison, done by ClickHouse: rows and hours of a job's tables against what is stored.
//!
//! It goes through the file's ids range by range, in their order and not the file's, so that no query holds more than a
//! range in memory. What a range adds to an hour is kept in a table, which is added up at the end.

use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;
use uuid::Uuid;

use super::arrivals::Arrivals;
use super::load;
use super::queue::Progress;
use super::report::{Difference, FieldDifference, Hours, Kind, SAMPLE};
use crate::domain::columns::{self, Columns};
use crate::domain::timestamp;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// Rows of a range. Rows of one id are never divided.
const RANGE_ROWS: u64 = 250_000;

/// How long one query may take: a little more than the `max_execution_time` in the queries.
const QUERY_TIMEOUT: Duration = Duration::from_secs(660);

/// How often hours are looked at while rows arrive.
const MAX_CHECKS: u8 = 5;

/// Between two looks.
const CHECK_PAUSE: Duration = Duration::from_secs(1);

/// The share of a job's progress after which all rows are compared.
const ROWS_SHARE: f64 = 0.9;

/// A job's tables in ClickHouse, which are there while it runs.
#[derive(Debug)]
pub(super) struct Tables {
    warehouse: Warehouse,
    rows: String,
    hours: String,
}

/// Ids from the first to the last.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u64,
    last: u64,
}

/// Number of a line, kind of the difference and id, as the queries give them.
type Found = (u64, u8, u64);

/// What `compare_rows.sql` returns.
#[derive(Debug, Default, Row, Deserialize)]
struct RowsOfRange {
    matched: u64,
    different: u64,
    missing: u64,
    duplicate_in_file: u64,
    sample: Vec<Found>,
}

/// What the comparison found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) matched: u64,
    pub(super) different: u64,
    pub(super) missing: u64,
    pub(super) duplicate_in_file: u64,
    pub(super) sample: Vec<Difference>,
    pub(super) hours: Hours,
    /// Whether no rows arrived while the hours were looked at, or they made no difference.
    pub(super) settled: bool,
}

impl Tables {
    /// Names the tables of a job. A name is made of its UUID, and of nothing that anyone has sent.
    pub(super) fn new(warehouse: Warehouse, job: Uuid) -> Self {
        let (rows, hours) =
            (format!("reconcile_rows_{}", job.simple()), format!("reconcile_hours_{}", job.simple()));
        Self { warehouse, rows, hours }
    }

    /// Makes the tables, without any rows that an earlier attempt has left.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn create(&self) -> Result<(), WarehouseError> {
        self.drop().await?;
        self.execute(self.query(include_str!("../../queries/reconcile/create_rows.sql"))).await?;
        self.execute(self.query(include_str!("../../queries/reconcile/create_hours.sql"))).await
    }

    /// Drops the tables that are there.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn drop(&self) -> Result<(), WarehouseError> {
        self.execute(self.query(include_str!("../../queries/reconcile/drop_rows.sql"))).await?;
        self.execute(self.query(include_str!("../../queries/reconcile/drop_hours.sql"))).await
    }

    /// Returns the statement that inserts rows, the number of their line first.
    pub(super) fn insert_statement(&self, columns: &Columns) -> String {
        let names: Vec<&str> = columns.fields().map(|column| column.name.as_str()).collect();
        format!("INSERT INTO {} (line, {}) FORMAT RowBinary", self.rows, names.join(", "))
    }

    /// Compares `rows` rows that were loaded.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn compare(
        &self,
        rows: u64,
        columns: &Columns,
        arrivals: &Arrivals,
        progress: &Progress,
    ) -> Result<Compared, WarehouseError> {
        let mut compared = Compared { settled: true, ..Compared::default() };
        if rows == 0 {
            return Ok(compared);
        }
        let mut found = Vec::new();
        let mut ranges = Vec::new();
        let mut first = 0;
        loop {
            let (range, is_last) = self.next_range(first).await?;
            let part = self.compare_rows(range).await?;
            compared.matched += part.matched;
            compared.different += part.different;
            compared.missing += part.missing;
            compared.duplicate_in_file += part.duplicate_in_file;
            found.extend(part.sample);
            found.sort_unstable();
            found.truncate(SAMPLE);
            self.execute(in_range(self.query(include_str!("../../queries/reconcile/file_hours.sql")), range))
                .await?;
            ranges.push(range);
            let done = compared.matched + compared.different + compared.missing + compared.duplicate_in_file;
            progress.reach(load::SHARE + (ROWS_SHARE - load::SHARE) * done as f64 / rows as f64);
            if is_last {
                break;
            }
            first = range.last + 1;
        }
        compared.sample = self.describe(&found, columns).await?;
        (compared.hours, compared.settled) = self.settled_hours(&ranges, arrivals, progress).await?;
        Ok(compared)
    }

    /// Returns the range that begins with an id, and whether it is the last one.
    async fn next_range(&self, first: u64) -> Result<(Range, bool), WarehouseError> {
        #[derive(Row, Deserialize)]
        struct NextRange {
            last_id: u64,
            rows: u64,
        }
        let query = self.query(include_str!("../../queries/reconcile/next_range.sql"));
        let next: NextRange =
            in_time(query.param("first", first).param("size", RANGE_ROWS).fetch_one()).await?;
        if next.rows < RANGE_ROWS || next.last_id == u64::MAX {
            // The last one goes on behind the file's ids: rounds of others may be there.
            return Ok((Range { first, last: u64::MAX }, true));
        }
        Ok((Range { first, last: next.last_id }, false))
    }

    async fn compare_rows(&self, range: Range) -> Result<RowsOfRange, WarehouseError> {
        let query = self.query(include_str!("../../queries/reconcile/compare_rows.sql"));
        in_time(in_range(query, range).fetch_one()).await
    }

    /// Says of the rows in the sample which fields differ.
    async fn describe(&self, found: &[Found], columns: &Columns) -> Result<Vec<Difference>, WarehouseError> {
        let mut sample: Vec<Difference> = found.iter().map(|found| difference(*found)).collect();
        let different = || sample.iter().filter(|row| row.kind == Kind::Different);
        let ids: Vec<u64> = different().map(|row| row.game_instance_id).collect();
        let lines: Vec<u64> = different().map(|row| row.line).collect();
        if ids.is_empty() {
            return Ok(sample);
        }
        let query = self.query(include_str!("../../queries/reconcile/details.sql"));
        let details: Vec<Details> =
            in_time(query.param("ids", ids).param("lines", lines).fetch_all()).await?;
        for Details { line, fields } in details {
            if let Some(row) = sample.iter_mut().find(|row| row.line == line) {
                // Of a round that is stored twice, whatever differs in one of them.
                row.fields.extend(fields.into_iter().filter_map(|field| field_difference(field, columns)));
            }
        }
        Ok(sample)
    }

    /// Compares the hours; again, where they differ while rows arrive: a round is in the aggregates a moment later than in
    /// `game_rounds`. Returns what was found, and whether it was found in a quiet moment.
    async fn settled_hours(
        &self,
        ranges: &[Range],
        arrivals: &Arrivals,
        progress: &Progress,
    ) -> Result<(Hours, bool), WarehouseError> {
        let mut check = 1;
        loop {
            let before = arrivals.ledger_state(&self.warehouse).await?;
            let hours = self.hours(ranges, check, progress).await?;
            let after = arrivals.ledger_state(&self.warehouse).await?;
            let settled = hours.different == 0 || after.is_quiet_since(before);
            if settled || check == MAX_CHECKS {
                return Ok((hours, settled));
            }
            tokio::time::sleep(CHECK_PAUSE).await;
            check += 1;
        }
    }

    async fn hours(&self, ranges: &[Range], check: u8, progress: &Progress) -> Result<Hours, WarehouseError> {
        #[derive(Row, Deserialize)]
        struct TimeSpan {
            first_hour: u32,
            last_hour: u32,
        }
        #[derive(Row, Deserialize)]
        struct HoursRow {
            checked: u64,
            different: u64,
            shared: u64,
        }
        let query = self.query(include_str!("../../queries/reconcile/time_span.sql"));
        let TimeSpan { first_hour, last_hour } = in_time(query.fetch_one()).await?;
        for (range, done) in ranges.iter().zip(1..) {
            let query = self
                .query(include_str!("../../queries/reconcile/other_hours.sql"))
                .param("check", check)
                .param("first_hour", first_hour)
                .param("last_hour", last_hour);
            self.execute(in_range(query, *range)).await?;
            progress.reach(ROWS_SHARE + (1.0 - ROWS_SHARE) * f64::from(done) / (ranges.len() + 1) as f64);
        }
        let query = self.query(include_str!("../../queries/reconcile/aggregate_hours.sql"));
        self.execute(query.param("check", check)).await?;
        let query = self.query(include_str!("../../queries/reconcile/compare_hours.sql"));
        let HoursRow { checked, different, shared } =
            in_time(query.param("check", check).fetch_one()).await?;
        Ok(Hours { checked, different, shared })
    }

    /// A query that may name the job's tables.
    fn query(&self, sql: &str) -> Query {
        self.warehouse.query(sql).param("rows", &self.rows).param("hours", &self.hours)
    }

    async fn execute(&self, query: Query) -> Result<(), WarehouseError> {
        in_time(query.execute()).await
    }
}

fn in_range(query: Query, range: Range) -> Query {
    query.param("first", range.first).param("last", range.last)
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, clickhouse::error::Error>>,
) -> Result<T, WarehouseError> {
    Ok(tokio::time::timeout(QUERY_TIMEOUT, answer).await.map_err(|_| WarehouseError::TimedOut)??)
}

/// What `details.sql` returns.
#[derive(Debug, Row, Deserialize)]
struct Details {
    line: u64,
    /// Name, value in the file, value that is stored.
    fields: Vec<(String, Option<String>, Option<String>)>,
}

fn difference((line, kind, game_instance_id): Found) -> Difference {
    let kind = match kind {
        2 => Kind::Different,
        3 => Kind::Missing,
        _ => Kind::DuplicateInFile,
    };
    Difference { kind, line, game_instance_id, fields: Default::default() }
}

fn field_difference(
    (name, file, stored): (String, Option<String>, Option<String>),
    columns: &Columns,
) -> Option<(String, FieldDifference)> {
    if file == stored {
        return None;
    }
    let is_time = columns.iter().any(|column| column.name == name && column.kind == columns::Kind::Timestamp);
    let shown = |value: Option<String>| match value {
        Some(text) if is_time => Some(text.parse().map_or(text, timestamp::format)),
        value => value,
    };
    Some((name, FieldDifference { file: shown(file), stored: shown(stored) }))
}
