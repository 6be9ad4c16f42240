//! The plan of a repair: queries that say which rows it produces, overwrites and removes, and which rows of aggregate tables it looks at.
//!
//! A statement reads a plan by its name (`FROM plan_rows`), as if it were a table. A repair carries the plans out. A preview only counts
//! what they return; where a plan depends on an earlier step, the preview puts a query in place of the table that the step would have
//! changed. So the two cannot disagree on what a repair does.

use clickhouse::query::Query;

use super::record::Wishes;
use super::tables::{Tables, in_time};
use crate::dataset::template::Template;
use crate::reconcile::differences::Kinds;
use crate::warehouse::client::WarehouseError;

/// The plans, by the name that statements read them by.
const PLANS: [(&str, &str); 5] = [
    ("plan_changes", include_str!("../../../queries/engine/repair/plan_changes.sql")),
    ("plan_missing", include_str!("../../../queries/engine/repair/plan_missing.sql")),
    ("plan_rows", include_str!("../../../queries/engine/repair/plan_rows.sql")),
    ("plan_removals", include_str!("../../../queries/engine/repair/plan_removals.sql")),
    ("plan_unexpected", include_str!("../../../queries/engine/repair/plan_unexpected.sql")),
];

/// Rows that are compared or overwritten at a time. Values that are written are kept in memory.
const BATCH: u64 = 100_000;

/// Lines of a file, from after the first number to the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) after: u64,
    pub(super) last: u64,
}

impl Lines {
    pub(super) const ALL: Self = Self { after: 0, last: u64::MAX };

    /// Returns the lines up to the one with the last of the next [`BATCH`] differences of these kinds. None if there are none after `after`.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn next(
        tables: &Tables,
        kinds: Kinds,
        after: u64,
    ) -> Result<Option<Self>, WarehouseError> {
        let query = kinds.of(tables.query(include_str!("../../../queries/engine/repair/next_lines.sql")));
        let last: u64 = in_time(query.param("after", after).param("size", BATCH).fetch_one()).await?;
        Ok((last > 0).then_some(Self { after, last }))
    }

    pub(super) fn of(self, query: Query) -> Query {
        query.param("after", self.after).param("last", self.last)
    }
}

/// A name in a statement, and the query that is read in its place.
pub(super) type Source = (&'static str, String);

/// The plan of one repair.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) tables: Tables,
    pub(super) wishes: Wishes,
    plans: Vec<Source>,
}

impl Plan {
    /// A plan that reads all tables as they are.
    pub(super) fn new(tables: &Tables, wishes: Wishes) -> Self {
        let template = tables.dataset.template();
        let plans = PLANS.iter().map(|(name, sql)| (*name, filled(&template, sql))).collect();
        Self { tables: tables.clone(), wishes, plans }
    }

    /// Has a plan read rows from a query in brackets in place of the row table.
    pub(super) fn reading(mut self, plan: &str, rows: &str) -> Self {
        let template = self.tables.dataset.template().with("table", rows);
        for ((name, sql), (_, text)) in PLANS.iter().zip(&mut self.plans) {
            if *name == plan {
                *text = filled(&template, sql);
            }
        }
        self
    }

    /// Fills in a statement, and puts the plans, and `sources`, in place of their names.
    pub(super) fn text(&self, template: &Template, sql: &str, sources: &[Source]) -> String {
        place(&template.fill(&without_comments(sql)), &[&self.plans[..], sources].concat())
    }

    /// A query that may read plans by their names. `text`: as [`Plan::text`] returns it.
    pub(super) fn query_of(&self, text: &str) -> Query {
        self.tables
            .ready(text)
            .param("prefers_file", self.wishes.prefers_file())
            .param("removes_unexpected", self.wishes.removes_unexpected)
            // Rows of a join that have no other half have default values; keys may be null.
            .with_setting("join_use_nulls", "0")
            .with_setting("transform_null_in", "1")
            .with_setting("join_algorithm", "full_sorting_merge")
            .with_setting("optimize_aggregation_in_order", "1")
            .with_setting("max_bytes_before_external_group_by", "67108864")
            .with_setting("max_bytes_before_external_sort", "67108864")
            .with_setting("max_memory_usage", "1073741824")
            .with_setting("max_execution_time", "600")
    }

    /// A query that may read plans by their names.
    pub(super) fn query(&self, sql: &str) -> Query {
        self.query_of(&self.text(&self.tables.dataset.template(), sql, &[]))
    }

    /// Runs a statement that may read plans by their names.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn execute(&self, sql: &str) -> Result<(), WarehouseError> {
        self.tables.execute(self.query(sql)).await
    }

    /// Counts the rows that were missing and still are.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn missing(&self) -> Result<u64, WarehouseError> {
        in_time(self.query(include_str!("../../../queries/engine/repair/count_missing.sql")).fetch_one())
            .await
    }

    /// Counts the rows that are to be overwritten.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn overwrites(&self) -> Result<u64, WarehouseError> {
        let query = self.query(include_str!("../../../queries/engine/repair/count_overwrites.sql"));
        in_time(Lines::ALL.of(query).fetch_one()).await
    }

    /// Lists the rows that are to be removed, and returns how many there are.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn list_removals(&self) -> Result<u64, WarehouseError> {
        self.tables.drop().await?;
        self.execute(include_str!("../../../queries/engine/repair/create_removals.sql")).await?;
        self.execute(include_str!("../../../queries/engine/repair/add_removals.sql")).await?;
        self.tables.number(include_str!("../../../queries/engine/repair/count_removals.sql")).await
    }
}

/// Fills in the placeholders of a plan.
fn filled(template: &Template, sql: &str) -> String {
    template.fill(&without_comments(sql))
}

/// Leaves out lines that are comments.
fn without_comments(sql: &str) -> String {
    sql.lines().map(str::trim).filter(|line| !line.starts_with("--")).flat_map(|line| [line, "\n"]).collect()
}

/// Puts queries in place of names in a statement, each in brackets.
fn place(sql: &str, sources: &[Source]) -> String {
    let mut placed = String::with_capacity(sql.len());
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    for part in sql.split_inclusive(|letter| !is_name(letter)) {
        let name = part.trim_end_matches(|letter| !is_name(letter));
        match sources.iter().find(|(source, _)| *source == name) {
            Some((_, text)) => {
                placed.push('(');
                placed.push_str(text);
                placed.push(')');
                placed.push_str(part.strip_prefix(name).unwrap_or_default());
            }
            None => placed.push_str(part),
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;

    #[test]
    fn queries_stand_in_brackets_where_names_were_and_comments_are_left_out() {
        let sources = [("rounds", "SELECT 1".to_owned()), ("hours", "x".to_owned())];
        let sql = "-- Of rounds.\nSELECT * FROM rounds AS r,\n    -- rounds\n    (SELECT rounds_played FROM hours)\nWHERE a.rounds > 1";
        assert_eq!(
            place(&without_comments(sql), &sources),
            "SELECT * FROM (SELECT 1) AS r,\n(SELECT rounds_played FROM (x))\nWHERE a.(SELECT 1) > 1\n"
        );
    }

    #[test]
    fn every_plan_is_a_query_that_changes_nothing() {
        let template = Dataset::read("bets", &[]).unwrap().template();
        for (name, sql) in PLANS {
            let text = filled(&template, sql);
            assert!(text.starts_with("SELECT") || text.starts_with("WITH"), "{name}");
            for word in ["INSERT", "ALTER", "DELETE", "SETTINGS", "?", "/*", "$"] {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }
}
