//! What a repair would do to aggregate tables: their views are run on the rows as the repair leaves them.

use clickhouse::Row;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::aggregates::Aggregate;
use super::plan::{Lines, Plan};
use super::row_texts;
use super::tables::in_time;
use crate::reconcile::differences;
use crate::reconcile::report::{Keyed, Sums};
use crate::reconcile::shape;
use crate::warehouse::client::WarehouseError;

/// Counts and amounts of what would change, for bets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RepairPreviewTotals)]
pub struct Totals {
    pub produced: Sums,
    pub removed: Sums,
    pub overwritten: Change,
    /// The hours of `hours_changed`.
    pub hours: Change,
}

/// Sums before and after a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RepairPreviewChange)]
pub struct Change {
    pub before: Sums,
    pub after: Sums,
}

/// What a repair would do to an aggregate table. Sums are by name: whole numbers, or decimals as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RepairPreviewAggregate)]
pub struct AggregatePreview {
    pub table: String,
    /// Rows of the table that differ and would then match.
    pub rebuilt: u64,
    /// Rows of the table whose sums would change.
    pub changed: u64,
    /// The sums of the rows that would be produced.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub produced: Keyed,
    /// Those of the rows that would be removed.
    #[schema(value_type = BTreeMap<String, Object>)]
    pub removed: Keyed,
    /// Those of the rows that would be overwritten.
    pub overwritten: ChangeByName,
    /// The sums of the rows of the table that would change.
    pub sums: ChangeByName,
}

/// Sums before and after a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RepairPreviewChangeByName)]
pub struct ChangeByName {
    #[schema(value_type = BTreeMap<String, Object>)]
    pub before: Keyed,
    #[schema(value_type = BTreeMap<String, Object>)]
    pub after: Keyed,
}

/// The rows of an aggregate table that would change.
#[derive(Clone, Debug, Row, Deserialize)]
pub(super) struct Changed {
    pub(super) changed: u64,
    before: Vec<String>,
    after: Vec<String>,
}

/// Sums of an aggregate table as texts, in the order of its columns.
pub(super) struct AggregateTexts {
    pub(super) rebuilt: u64,
    produced: Vec<String>,
    removed: Vec<String>,
    overwritten: [Vec<String>; 2],
    pub(super) changed: Changed,
}

/// Rows as the repair leaves them, and the rows that it would change.
pub(super) struct After {
    /// Rows that it removes, produces and overwrites: queries in the form of the row table.
    removed: String,
    produced: String,
    before: String,
    after: String,
    /// What follows FROM so that a view reads all rows as the repair leaves them.
    all: String,
    /// The same, with the file's values in place of those that still differ or are missing. None: no row does.
    expected: Option<String>,
}

impl After {
    /// `kept`: what follows FROM to read the stored rows without those that are removed. `is_any_left`: whether rows would still differ.
    pub(super) fn of(plan: &Plan, kept: &str, is_any_left: bool) -> Self {
        let dataset = &plan.tables.dataset;
        let text = |sql: &str| plan.text(&dataset.template(), sql, &[]);
        let overwritten = text("plan_rows AS changed WHERE is_overwritten");
        let missing = text("plan_missing AS added");
        let keys = dataset.sql("/* each key: `$name` */");
        let others = format!("{kept} AS kept WHERE ({keys}) NOT IN (SELECT {keys} FROM {overwritten})");
        let after = row_texts::found(dataset, "file", &overwritten);
        let produced = row_texts::found(dataset, "file", &missing);
        let all = [&row_texts::stored(dataset, &others), &after, &produced]
            .map(String::as_str)
            .join("\nUNION ALL\n");
        let left = text(
            "(SELECT * FROM plan_rows WHERE NOT is_overwritten AND NOT (found_kind = 'missing' AND kind_now = 'missing')) AS left_rows",
        );
        let all = format!("({all})");
        Self {
            expected: is_any_left.then(|| row_texts::with_file(dataset, &all, &left)),
            removed: text(
                "SELECT * REPLACE (false AS recounted) FROM /* table */ WHERE (_part, _part_offset) IN (SELECT part, part_offset FROM plan_removals)",
            ),
            produced,
            before: row_texts::found(dataset, "stored", &overwritten),
            after,
            all,
        }
    }
}

impl AggregateTexts {
    /// Works out what would happen to an aggregate table. `reported`: how many of its rows the reconciliation found to differ. `bounded` limits
    /// queries.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or a query needs too much memory.
    pub(super) async fn of(
        aggregate: &Aggregate<'_>,
        after: &After,
        reported: u64,
        bounded: impl Fn(Query) -> Query,
    ) -> Result<Self, WarehouseError> {
        let sums = async |rows: &str| {
            let made = ("plan_made", aggregate.table.query_from(&format!("({rows})")));
            let sql = include_str!("../../../queries/engine/repair/preview_sums.sql");
            let query = bounded(aggregate.query(sql, &[made]));
            in_time(Lines::ALL.of(query).fetch_one::<Vec<String>>()).await
        };
        let (name, keys) = aggregate.planned_keys(Some(&after.removed));
        let all_keys = format!("SELECT key FROM ({keys}) AS {name}");
        let comparison = aggregate.comparison(&after.all, &aggregate.table.table, &all_keys);
        let sql = include_str!("../../../queries/engine/repair/preview_aggregates.sql");
        let query = bounded(aggregate.query(sql, &[comparison]));
        let changed = in_time(Lines::ALL.of(query).fetch_one()).await?;
        let left = match &after.expected {
            None => 0,
            Some(expected) => {
                let keys = format!("SELECT key FROM ({keys}) AS {name} WHERE in_file");
                let held = format!("({})", aggregate.table.query_from(&after.all));
                let comparison = aggregate.comparison(expected, &held, &keys);
                let sql = include_str!("../../../queries/engine/repair/preview_left_aggregates.sql");
                let query = bounded(aggregate.query(sql, &[comparison]));
                in_time(Lines::ALL.of(query).fetch_one::<u64>()).await?
            }
        };
        Ok(Self {
            rebuilt: reported.saturating_sub(left),
            produced: sums(&after.produced).await?,
            removed: sums(&after.removed).await?,
            overwritten: [sums(&after.before).await?, sums(&after.after).await?],
            changed,
        })
    }

    /// The amounts of the hours of bets.
    ///
    /// # Errors
    /// A sum is missing.
    pub(super) fn totals(&self) -> Result<Totals, WarehouseError> {
        let [before, after] = &self.overwritten;
        Ok(Totals {
            produced: sums(&self.produced)?,
            removed: sums(&self.removed)?,
            overwritten: Change { before: sums(before)?, after: sums(after)? },
            hours: Change { before: sums(&self.changed.before)?, after: sums(&self.changed.after)? },
        })
    }

    /// The sums of another dataset.
    pub(super) fn by_name(&self, aggregate: &Aggregate<'_>) -> AggregatePreview {
        let named = |texts: &[String]| -> Keyed {
            let sums = aggregate.table.sums.iter().zip(texts);
            sums.map(|((name, kind), text)| (name.clone(), shape::number_or_text(kind, Some(text.clone()))))
                .collect()
        };
        let change =
            |before: &[String], after: &[String]| ChangeByName { before: named(before), after: named(after) };
        let [before, after] = &self.overwritten;
        AggregatePreview {
            table: aggregate.table.table.clone(),
            rebuilt: self.rebuilt,
            changed: self.changed.changed,
            produced: named(&self.produced),
            removed: named(&self.removed),
            overwritten: change(before, after),
            sums: change(&self.changed.before, &self.changed.after),
        }
    }
}

fn sums(texts: &[String]) -> Result<Sums, WarehouseError> {
    let error = || clickhouse::error::Error::Custom("sums of a preview are incomplete".to_owned());
    differences::sums(texts.iter().cloned().map(Some).collect()).ok_or_else(|| WarehouseError::Query(error()))
}
