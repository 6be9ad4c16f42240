//! A dry run of a repair: what it would change, and how much money that is. Nothing is changed.

use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::aggregates::Aggregate;
use super::plan::{Lines, Plan};
use super::preview_sums::{After, AggregatePreview, AggregateTexts, Totals};
use super::record::{Prefer, Wishes};
use super::tables::{Tables, in_time};
use crate::dataset::BETS;
use crate::dataset::api_path::api_path;
use crate::reconcile::differences::{self, DifferenceRow, Kinds, Shape};
use crate::reconcile::report::{Difference, Report, SAMPLE};
use crate::warehouse::client::WarehouseError;

/// What a repair would do, if it ran now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RepairPreview {
    pub prefer: Prefer,
    pub removes_unexpected: bool,
    /// Rows that are missing and would be produced.
    pub produced: u64,
    /// Rows that would get the values of the file.
    pub overwritten: u64,
    /// Copies of rows, and with `remove=unexpected` rows of the file's upload that are not in it, that would be deleted.
    pub removed: u64,
    /// Hours of a player and a game that differ and would then match their rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours_rebuilt: Option<u64>,
    /// Hours of a player and a game whose aggregates would change, also because their rounds do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours_changed: Option<u64>,
    pub unchanged: Unchanged,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// What would happen to the aggregate tables of a dataset other than bets, if they have sums.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregates: Option<Vec<AggregatePreview>>,
    /// The first rows that would be overwritten, by line: the fields that differ, as the file has them and as they are stored now.
    pub sample: Vec<Difference>,
    /// Rows were loaded after the reconciliation, or a row is not stored any more as it was found.
    pub data_may_have_changed: bool,
    /// What a repair does about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub links: PreviewLinks,
}

/// Rows that do not match and would stay as they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RepairPreviewUnchanged)]
pub struct Unchanged {
    /// Keys whose rows in the file contradict each other.
    pub contradictory: u64,
    /// Rows that differ from the file.
    pub different: u64,
    /// Rows of the file's upload that are not in the file.
    pub unexpected: u64,
}

/// Lists of all differences, as the reconciliation found them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RepairPreviewLinks)]
pub struct PreviewLinks {
    pub missing: String,
    pub different: String,
    pub unexpected: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregates: Option<String>,
}

#[derive(Clone, Debug, Row, Deserialize)]
struct Rows {
    missing: u64,
    different: u64,
    left_different: u64,
    left_rows: u64,
    overwritten: u64,
}

/// Works out what a repair would do.
#[derive(Debug)]
pub(super) struct Preview<'a> {
    pub(super) tables: &'a Tables,
    pub(super) wishes: Wishes,
    pub(super) report: &'a Report,
    pub(super) topic: &'a str,
    /// How long each query may take.
    pub(super) patience: Duration,
}

impl Preview<'_> {
    /// Asks ClickHouse what the plans of the repair return now.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or a query needs too much memory.
    pub(super) async fn make(&self) -> Result<RepairPreview, WarehouseError> {
        let plan = Plan::new(self.tables, self.wishes);
        let number =
            async |plan: &Plan, sql| in_time(Lines::ALL.of(self.query(plan, sql)).fetch_one::<u64>()).await;
        let removed =
            number(&plan, include_str!("../../../queries/engine/repair/preview_removals.sql")).await?;
        let rows_sql = include_str!("../../../queries/engine/repair/preview_overwritten.sql");
        let found: Rows = in_time(Lines::ALL.of(self.query(&plan, rows_sql)).fetch_one()).await?;
        let kept = kept_rows(&plan, removed > 0);
        let plan = plan.reading("plan_rows", &kept);
        let rows: Rows = match removed {
            0 => found.clone(),
            // The copy that differs may be one that is removed.
            _ => in_time(Lines::ALL.of(self.query(&plan, rows_sql)).fetch_one()).await?,
        };
        let data_may_have_changed = self.has_changed(found.missing, found.different).await?;
        let after = After::of(&plan, &kept, rows.left_rows > 0);
        let of_bets = self.tables.dataset.name == BETS;
        let mut preview = RepairPreview {
            prefer: self.wishes.prefer,
            removes_unexpected: self.wishes.removes_unexpected,
            produced: plan_missing(&plan, self).await?,
            overwritten: rows.overwritten,
            removed,
            hours_rebuilt: None,
            hours_changed: None,
            unchanged: self.unchanged(&plan, rows.left_different).await?,
            totals: None,
            aggregates: None,
            sample: if rows.overwritten > 0 { self.sample(&plan).await? } else { Vec::new() },
            data_may_have_changed,
            note: data_may_have_changed.then(|| NOTE.to_owned()),
            links: PreviewLinks::of(&self.tables.dataset.name, self.tables.job),
        };
        let mut aggregates = Vec::new();
        for aggregate in Aggregate::all(&plan).iter().filter(|aggregate| aggregate.is_compared) {
            let reported = self.reported(aggregate);
            let texts = AggregateTexts::of(aggregate, &after, reported, |query| self.bounded(query)).await?;
            if of_bets {
                preview.hours_rebuilt = Some(texts.rebuilt);
                preview.hours_changed = Some(texts.changed.changed);
                preview.totals = Some(texts.totals()?);
            } else {
                aggregates.push(texts.by_name(aggregate));
            }
        }
        preview.aggregates = (!of_bets).then_some(aggregates);
        Ok(preview)
    }

    /// Returns how many rows of an aggregate table the reconciliation found to differ.
    fn reported(&self, aggregate: &Aggregate<'_>) -> u64 {
        if let Some(hours) = &self.report.hours {
            return hours.different;
        }
        let of_table = self.report.aggregates.iter().find(|found| found.table == aggregate.table.table);
        of_table.map_or(0, |found| found.compared.different)
    }

    async fn unchanged(&self, plan: &Plan, different: u64) -> Result<Unchanged, WarehouseError> {
        let number = async |sql| in_time(self.query(plan, sql).fetch_one::<u64>()).await;
        Ok(Unchanged {
            contradictory: number(include_str!("../../../queries/engine/repair/preview_contradictory.sql"))
                .await?,
            different,
            unexpected: match self.wishes.removes_unexpected {
                true => 0,
                false => {
                    number(include_str!("../../../queries/engine/repair/preview_unexpected.sql")).await?
                }
            },
        })
    }

    async fn sample(&self, plan: &Plan) -> Result<Vec<Difference>, WarehouseError> {
        let dataset = &self.tables.dataset;
        let sample = include_str!("../../../queries/engine/repair/preview_sample.sql");
        let overwritten = plan.text(&dataset.template(), sample, &[]);
        let template = dataset.template().with("differences", format!("({overwritten})"));
        let text = template.fill(&differences::first());
        let query = Kinds::ALL.of(self.bounded(plan.query_of(&text))).param("limit", SAMPLE);
        let rows: Vec<DifferenceRow> = in_time(Lines::ALL.of(query).fetch_all()).await?;
        let shape = Shape::new(dataset);
        Ok(rows.into_iter().filter_map(|row| shape.difference(row)).collect())
    }

    /// Whether data has changed since the reconciliation, as far as is known.
    async fn has_changed(&self, missing: u64, different: u64) -> Result<bool, WarehouseError> {
        if !self.report.settled || (missing, different) != (self.report.missing, self.report.different) {
            return Ok(true);
        }
        let query = self.tables.query(include_str!("../../../queries/engine/repair/loaded_since.sql"));
        let query = query.param("topic", self.topic).param("id", self.tables.job.to_string());
        Ok(in_time(self.bounded(query).fetch_one::<u64>()).await? > 0)
    }

    fn query(&self, plan: &Plan, sql: &str) -> Query {
        self.bounded(plan.query(sql))
    }

    /// A query that changes nothing, and that ClickHouse stops when nobody waits for its answer any more.
    fn bounded(&self, query: Query) -> Query {
        query
            .with_setting("max_execution_time", self.patience.as_secs().max(1).to_string())
            .with_setting("cancel_http_readonly_queries_on_client_close", "1")
            .with_setting("readonly", "2")
    }
}

async fn plan_missing(plan: &Plan, preview: &Preview<'_>) -> Result<u64, WarehouseError> {
    let sql = include_str!("../../../queries/engine/repair/count_missing.sql");
    in_time(preview.query(plan, sql).fetch_one::<u64>()).await
}

const NOTE: &str = "data may have changed since the reconciliation; a repair compares again when it runs: it produces only rounds that are \
                    still missing, and overwrites only rounds that still differ";

impl PreviewLinks {
    fn of(dataset: &str, job: Uuid) -> Self {
        let of = |kind| api_path(dataset, &format!("/reconcile/{job}/differences?kind={kind}"));
        let is_bets = dataset == BETS;
        Self {
            missing: of("missing"),
            different: of("different"),
            unexpected: of("unexpected"),
            hours: is_bets.then(|| of("hour")),
            aggregates: (!is_bets).then(|| of("aggregate")),
        }
    }
}

/// Returns what follows FROM to read the stored rows without those that are removed.
fn kept_rows(plan: &Plan, has_removals: bool) -> String {
    let dataset = &plan.tables.dataset;
    let kept = "(SELECT * FROM /* table */ WHERE (_part, _part_offset) NOT IN (SELECT part, part_offset FROM plan_removals))";
    if has_removals { plan.text(&dataset.template(), kept, &[]) } else { dataset.table.clone() }
}
