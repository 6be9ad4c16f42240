//! A dry run of a repair: what it would change, and how much money that is. Nothing is changed.

use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::Query;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::plan::{Lines, Plan, Source, Span, place};
use super::record::{Prefer, Wishes};
use super::tables::{Hours, Tables, in_time};
use crate::dataset::Dataset;
use crate::reconcile::differences::{self, DifferenceRow, Kinds, Shape};
use crate::reconcile::report::{Difference, Report, SAMPLE, Sums};
use crate::warehouse::client::WarehouseError;

/// How often hours of removed rounds may lead to more rounds to remove: as often as a repair looks for them.
const MAX_LOOKS: u8 = super::rounds::MAX_ATTEMPTS;

/// What a repair would do, if it ran now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RepairPreview {
    pub prefer: Prefer,
    pub removes_unexpected: bool,
    /// Rounds that are missing and would be produced.
    pub produced: u64,
    /// Rounds that would get the values of the file.
    pub overwritten: u64,
    /// Copies of rounds, and with `remove=unexpected` rounds of the file's upload that are not in it, that would be deleted.
    pub removed: u64,
    /// Hours of a player and a game that differ and would then match their rounds.
    pub hours_rebuilt: u64,
    /// Hours of a player and a game whose aggregates would change, also because their rounds do.
    pub hours_changed: u64,
    pub unchanged: Unchanged,
    pub totals: Totals,
    /// The first rounds that would be overwritten, by line: the fields that differ, as the file has them and as they are stored now.
    pub sample: Vec<Difference>,
    /// Rows were loaded after the reconciliation, or a round is not stored any more as it was found.
    pub data_may_have_changed: bool,
    /// What a repair does about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub links: PreviewLinks,
}

/// Rounds that do not match and would stay as they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RepairPreviewUnchanged)]
pub struct Unchanged {
    /// Rounds whose rows in the file contradict each other.
    pub contradictory: u64,
    /// Rounds that differ from the file.
    pub different: u64,
    /// Rounds of the file's upload that are not in the file.
    pub unexpected: u64,
}

/// Counts and amounts of what would change.
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

/// Lists of all differences, as the reconciliation found them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RepairPreviewLinks)]
pub struct PreviewLinks {
    pub missing: String,
    pub different: String,
    pub unexpected: String,
    pub hours: String,
}

#[derive(Clone, Debug, Row, Deserialize)]
struct Rows {
    missing: u64,
    different: u64,
    left_different: u64,
    left_rows: u64,
    before: Vec<String>,
    after: Vec<String>,
}

#[derive(Clone, Debug, Row, Deserialize)]
struct ChangedHours {
    changed: u64,
    before: Vec<String>,
    after: Vec<String>,
}

/// The plan whose removals are known, what it reads as the noted hours, and these from the first to the last.
struct Removals {
    plan: Plan,
    noted: Source,
    hours: Hours,
}

/// What would happen to rounds.
struct Rounds {
    produced: Sums,
    removed: Sums,
    rows: Rows,
    data_may_have_changed: bool,
}

/// Works out what a repair would do.
#[derive(Debug)]
pub(super) struct Preview<'a> {
    pub(super) tables: &'a Tables,
    pub(super) wishes: Wishes,
    pub(super) report: &'a Report,
    pub(super) dataset: &'a Dataset,
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
        let Removals { plan, noted, hours } = self.removals(Plan::new(self.tables, self.wishes)).await?;
        let of_hours = |plan: &Plan, sql| Lines::ALL.of(hours.of(self.query(plan, sql)));
        let removed = of_hours(&plan, include_str!("../../../queries/engine/repair/preview_removed.sql"));
        let removed = self.sums(removed).await?;
        let rows_sql = include_str!("../../../queries/engine/repair/preview_overwritten.sql");
        let found: Rows = in_time(of_hours(&plan, rows_sql).fetch_one()).await?;
        let kept = kept_rounds(&plan, count(&removed) > 0);
        let plan = plan.reading("plan_rows", &kept);
        let produced = of_hours(&plan, include_str!("../../../queries/engine/repair/preview_produced.sql"));
        let produced = self.sums(produced).await?;
        let rows: Rows = match kept.is_empty() {
            true => found.clone(),
            // The copy that differs may be one that is removed.
            false => in_time(of_hours(&plan, rows_sql).fetch_one()).await?,
        };
        let data_may_have_changed = self.has_changed(found.missing, found.different).await?;
        let rounds = Rounds { produced, removed, rows, data_may_have_changed };
        self.with_hours(&after_repair(plan, &noted, &kept), hours, rounds).await
    }

    /// Adds what would happen to the hours. `plan` reads the rounds as the repair leaves them.
    async fn with_hours(
        &self,
        plan: &Plan,
        hours: Hours,
        rounds: Rounds,
    ) -> Result<RepairPreview, WarehouseError> {
        let Rounds { produced, removed, rows, data_may_have_changed } = rounds;
        let changed = self.query(plan, include_str!("../../../queries/engine/repair/preview_hours.sql"));
        let changed: ChangedHours = in_time(Lines::ALL.of(hours.of(changed)).fetch_one()).await?;
        let overwritten = Change { before: sums(rows.before)?, after: sums(rows.after)? };
        Ok(RepairPreview {
            prefer: self.wishes.prefer,
            removes_unexpected: self.wishes.removes_unexpected,
            produced: count(&produced),
            overwritten: count(&overwritten.after),
            removed: count(&removed),
            hours_rebuilt: self.rebuilt(plan, hours, rows.left_rows).await?,
            hours_changed: changed.changed,
            unchanged: self.unchanged(plan, rows.left_different).await?,
            sample: if count(&overwritten.after) > 0 { self.sample(plan, hours).await? } else { Vec::new() },
            totals: Totals {
                produced,
                removed,
                overwritten,
                hours: Change { before: sums(changed.before)?, after: sums(changed.after)? },
            },
            data_may_have_changed,
            note: data_may_have_changed.then(|| NOTE.to_owned()),
            links: PreviewLinks::of(self.tables.job),
        })
    }

    /// Has the plan of removals read the hours that the repair would have noted. The hours of removed rounds are noted too, and those may
    /// have more copies in them.
    async fn removals(&self, plan: Plan) -> Result<Removals, WarehouseError> {
        let mut noted =
            plan.text(include_str!("../../../queries/engine/repair/preview_noted_hours.sql"), &[]);
        let mut span = self.span(&plan, &noted, Hours { first: 0, last: 0 }).await?;
        for _ in 0..MAX_LOOKS {
            let hours = span.hours();
            let source = ("reconcile_repair_hours", noted);
            let planned = plan.clone().reading("plan_removals", std::slice::from_ref(&source));
            let more = include_str!("../../../queries/engine/repair/preview_removal_hours.sql");
            noted = planned.text(more, std::slice::from_ref(&source));
            let next = self.span(&plan, &noted, hours).await?;
            if next.keys == span.keys {
                return Ok(Removals { plan: planned, noted: source, hours });
            }
            span = next;
        }
        // A repair gives up here, too.
        Err(WarehouseError::TimedOut)
    }

    async fn span(&self, plan: &Plan, noted: &str, hours: Hours) -> Result<Span, WarehouseError> {
        let sources = [("reconcile_repair_hours", noted.to_owned())];
        in_time(hours.of(self.bounded(plan.span(&sources))).fetch_one()).await
    }

    /// Counts the hours that differed and would then not.
    async fn rebuilt(&self, plan: &Plan, hours: Hours, left_rows: u64) -> Result<u64, WarehouseError> {
        let left = match left_rows {
            0 => 0,
            _ => {
                let sql = include_str!("../../../queries/engine/repair/preview_left_hours.sql");
                let query = hours.of(self.query(plan, sql)).param("next_attempt", Uuid::nil().to_string());
                in_time(Lines::ALL.of(query).fetch_one::<u64>()).await?
            }
        };
        Ok(self.report.different_sums().saturating_sub(left))
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

    async fn sample(&self, plan: &Plan, hours: Hours) -> Result<Vec<Difference>, WarehouseError> {
        let overwritten = plan.text(include_str!("../../../queries/engine/repair/preview_sample.sql"), &[]);
        let text = place(&self.dataset.sql(&differences::first()), &[("reconcile_differences", overwritten)]);
        let query = Kinds::ALL.of(self.bounded(plan.query_of(&text))).param("limit", SAMPLE);
        let rows: Vec<DifferenceRow> = in_time(Lines::ALL.of(hours.of(query)).fetch_all()).await?;
        let shape = Shape::new(self.dataset);
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

    async fn sums(&self, query: Query) -> Result<Sums, WarehouseError> {
        sums(in_time(query.fetch_one()).await?)
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

const NOTE: &str = "data may have changed since the reconciliation; a repair compares again when it runs: it produces only rounds that are \
                    still missing, and overwrites only rounds that still differ";

impl PreviewLinks {
    fn of(job: Uuid) -> Self {
        let of = |kind| format!("/reconcile/{job}/differences?kind={kind}");
        Self {
            missing: of("missing"),
            different: of("different"),
            unexpected: of("unexpected"),
            hours: of("hour"),
        }
    }
}

/// Has hours compared with the rounds as the repair leaves them.
fn after_repair(plan: Plan, noted: &Source, kept: &[Source]) -> Plan {
    let rounds = plan.text(include_str!("../../../queries/engine/repair/preview_rounds.sql"), kept);
    let rounds = ("game_rounds", rounds);
    let aggregates = include_str!("../../../queries/engine/repair/preview_aggregates.sql");
    let aggregates = ("hourly_aggregates", place(aggregates, std::slice::from_ref(&rounds)));
    let left = plan.text(include_str!("../../../queries/engine/repair/preview_left_rows.sql"), &[]);
    let before = [noted.clone(), rounds];
    let after = [&before[..], &[aggregates, ("reconcile_differences", left)]].concat();
    plan.reading("plan_hour_sums", &before).reading("plan_left_hours", &after)
}

/// What stands for the stored rounds when rounds have been removed.
fn kept_rounds(plan: &Plan, has_removals: bool) -> Vec<Source> {
    let kept = || plan.text(include_str!("../../../queries/engine/repair/preview_kept_rounds.sql"), &[]);
    has_removals.then(|| ("game_rounds", kept())).into_iter().collect()
}

fn count(sums: &Sums) -> u64 {
    u64::try_from(sums.rounds_played).unwrap_or_default()
}

fn sums(texts: Vec<String>) -> Result<Sums, WarehouseError> {
    let error = || clickhouse::error::Error::Custom("sums of a preview are incomplete".to_owned());
    differences::sums(texts.into_iter().map(Some).collect()).ok_or_else(|| WarehouseError::Query(error()))
}
