//! The differences that a job found. ClickHouse stores them; here they are counted and listed.

use std::sync::Arc;

use clickhouse::query::{Query, RowCursor};
use uuid::Uuid;

use super::report::{Difference, Kind};
pub(super) use super::shape::sums;
pub use super::shape::{DifferenceRow, Shape};
use super::tables::in_time;
use crate::dataset::Dataset;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// Days that differences are kept. The TTL in `queries/engine/dataset/differences.sql` must be the same.
pub const DIFFERENCES_DAYS: u32 = 30;

/// The order of the table itself, so little has to be sorted.
const IN_ORDER: &str = "ORDER BY d.kind, d.line, /* each key: d.`$name`, */ /* each label: d.`$name`, */ /* each all_group: d.`$name`, */ d.attempt";

/// First rows, by line; then stored rows that are not in the file; then sums.
const FIRST: &str = "ORDER BY multiIf(d.kind = 'unexpected', 1, d.kind = '/* kind of sums */', 2, 0), d.line, /* each key: d.`$name`, */ \
     /* each label: d.`$name`, */ /* each all_group: d.`$name`, */ d.attempt LIMIT {limit:UInt64}";

/// One kind of difference, or all kinds.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    first: i8,
    last: i8,
}

impl Kinds {
    pub const ALL: Self = Self { first: 1, last: 6 };

    /// Rows that differ or are missing.
    pub(super) const DIFFERENT_OR_MISSING: Self = Self { first: 1, last: 2 };

    const NONE: Self = Self { first: 1, last: 0 };

    pub fn only(kind: Kind) -> Self {
        Self { first: kind.number(), last: kind.number() }
    }

    /// Differences of this kind; none if the dataset has no such kind. Without a kind, all.
    pub fn chosen(kind: Option<Kind>, dataset: &str) -> Self {
        match kind {
            None => Self::ALL,
            Some(kind) if kind.is_of(dataset) => Self::only(kind),
            Some(_) => Self::NONE,
        }
    }

    pub(super) fn of(self, query: Query) -> Query {
        query.param("first_kind", self.first).param("last_kind", self.last)
    }
}

/// The differences that one attempt of a job found.
#[derive(Clone, Debug)]
pub struct Differences {
    warehouse: Warehouse,
    dataset: Arc<Dataset>,
    job: Uuid,
    attempt: Uuid,
}

impl Differences {
    pub(super) fn new(warehouse: &Warehouse, dataset: Arc<Dataset>, job: Uuid, attempt: Uuid) -> Self {
        Self { warehouse: warehouse.clone(), dataset, job, attempt }
    }

    /// Returns the number of differences.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn count(&self, kinds: Kinds) -> Result<u64, WarehouseError> {
        let query = self.query(include_str!("../../queries/engine/reconcile/count_differences.sql"), kinds);
        in_time(query.fetch_one()).await
    }

    /// Starts to fetch the differences, kind by kind, each in the order of the file's lines.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub fn fetch(&self, kinds: Kinds) -> Result<RowCursor<DifferenceRow>, WarehouseError> {
        Ok(self.query(&in_order(IN_ORDER), kinds).fetch()?)
    }

    /// Returns the first differences.
    pub(super) async fn sample(&self, limit: usize) -> Result<Vec<Difference>, WarehouseError> {
        let query = self.query(&first(), Kinds::ALL).param("limit", limit);
        let rows: Vec<DifferenceRow> = in_time(query.fetch_all()).await?;
        let shape = Shape::new(&self.dataset);
        Ok(rows.into_iter().filter_map(|row| shape.difference(row)).collect())
    }

    fn query(&self, sql: &str, kinds: Kinds) -> Query {
        let query = self.warehouse.query(&self.dataset.sql(sql)).param("job", self.job.to_string());
        kinds.of(query.param("attempt", self.attempt.to_string()))
    }
}

/// The template of the query of the first differences; it takes the parameters of [`Differences`] and `limit`.
pub(super) fn first() -> String {
    in_order(FIRST)
}

fn in_order(order: &str) -> String {
    format!("{}\n{order}", include_str!("../../queries/engine/reconcile/differences.sql"))
}
