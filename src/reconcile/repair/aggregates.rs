//! Makes rows of aggregate tables what their views make of the rows, each at one moment.
//!
//! What a sum lacks, or has too much of, is added to it as one part of its table. So a reader sees the sum as it was or as it must be, and
//! nothing between. A row is in its table a moment before it is in the aggregate table, so nothing may be loaded while the two are compared.
//! The loader of this process waits at the [`Gate`](crate::loader::gate::Gate). If another process loads, two comparisons must return the
//! same before anything is added.
//!
//! Other columns tolerate repeated rows. The right value is added with the sums; one that is wrong all the same, such as a maximum that is
//! too high, is replaced by a mutation.

use clickhouse::Row;
use clickhouse::query::Query;
use serde::Deserialize;

use super::loading::{Loading, MAX_LOOKS, PAUSE};
use super::plan::{Plan, Source};
use super::tables::in_time;
use super::{RepairError, row_texts};
use crate::dataset::aggregates::AggregateTable;
use crate::dataset::differences::ComparedTable;
use crate::dataset::template::{Item, Template};
use crate::dataset::{BETS, Dataset};
use crate::loader::lease::FENCE;
use crate::loader::mending::one_part;
use crate::warehouse::client::WarehouseError;

/// Rows of an aggregate table that are compared together.
const BATCH: u64 = 50_000;

/// How many times ClickHouse is asked to merge rows that are to be removed.
const MAX_MERGES: u8 = 3;

/// How many sums differ, and by what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Deserialize)]
struct Differences {
    keys: u64,
    digest: u64,
}

/// Noted rows of an aggregate table, from after one key up to another. Keys are texts in hexadecimal.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    after: String,
    last: String,
}

impl Keys {
    pub(super) fn of(&self, query: Query) -> Query {
        query.param("after_key", &self.after).param("last_key", &self.last)
    }
}

/// One aggregate table in a repair.
#[derive(Debug)]
pub(super) struct Aggregate<'a> {
    plan: &'a Plan,
    pub(super) table: &'a AggregateTable,
    template: Template,
    /// Whether reconciliations compare it.
    pub(super) is_compared: bool,
}

impl<'a> Aggregate<'a> {
    /// Returns the aggregate tables of the plan's dataset.
    pub(super) fn all(plan: &'a Plan) -> Vec<Self> {
        let dataset = &plan.tables.dataset;
        dataset.aggregates.iter().map(|table| Self::new(plan, dataset, table)).collect()
    }

    fn new(plan: &'a Plan, dataset: &Dataset, table: &'a AggregateTable) -> Self {
        let compared = dataset.compared().find(|compared| compared.table.table == table.table);
        let template = match &compared {
            Some(compared) => dataset.template_of(compared).with("listed_group", listed_group(compared)),
            None => dataset.template(),
        };
        Self { plan, table, template: table.template(template), is_compared: compared.is_some() }
    }

    fn dataset(&self) -> &Dataset {
        &self.plan.tables.dataset
    }

    /// Returns how reports call this table: that of bets has no name.
    pub(super) fn reported_name(&self) -> &str {
        if self.dataset().name == BETS { "" } else { &self.table.table }
    }

    /// Fills in a statement.
    pub(super) fn text(&self, sql: &str, sources: &[Source]) -> String {
        self.plan.text(&self.template, sql, sources)
    }

    pub(super) fn query(&self, sql: &str, sources: &[Source]) -> Query {
        bounded(self.plan.query_of(&self.text(sql, sources)))
    }

    /// Returns what stands for `plan_keys`: the rows of this table that the plan concerns. These are the ones that differ, those of rows that are
    /// produced, and those of rows that are changed, both as they were found and as they are stored now.
    ///
    /// `removed`: a query of rows that the repair removes, whose keys belong to it too.
    pub(super) fn planned_keys(&self, removed: Option<&str>) -> Source {
        let dataset = self.dataset();
        let text = |sql: &str| self.text(sql, &[]);
        let changes = |kinds: &str| text(&format!("plan_changes AS changes WHERE kind IN ({kinds})"));
        let now = "SELECT * REPLACE (false AS recounted) FROM /* table */ \
                   WHERE (/* each key: `$name` */) IN (SELECT /* each key: `$name` */ FROM plan_changes)";
        let mut keys = vec![self.keys_of(&text(now), false)];
        // Where the view reads columns that no file has, only a stored row says what it belongs to.
        if self.table.is_of_fields {
            let file = row_texts::found(dataset, "file", &changes("'missing', 'different'"));
            let stored = row_texts::found(dataset, "stored", &changes("'different', 'unexpected'"));
            keys.extend([self.keys_of(&file, true), self.keys_of(&stored, false)]);
        }
        if self.is_compared {
            keys.push(text(include_str!("../../../queries/engine/repair/listed_keys.sql")));
        }
        keys.extend(removed.map(|rows| self.keys_of(rows, false)));
        let all = keys.join("\nUNION ALL\n");
        ("plan_keys", format!("SELECT key, max(in_file) AS in_file FROM ({all}) GROUP BY key"))
    }

    /// Returns the query of the keys of what the view makes of some rows.
    fn keys_of(&self, rows: &str, is_in_file: bool) -> String {
        let keys = self.table.keys_of(&format!("({rows})"));
        let key = self.text("CAST(/* group_key */ AS /* group_type */)", &[]);
        format!("SELECT {key} AS key, {is_in_file} AS in_file FROM ({keys})")
    }

    /// Notes the rows of this table that the plan concerns.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn note(&self) -> Result<(), WarehouseError> {
        self.note_keys(self.planned_keys(None)).await
    }

    /// Notes the rows that some rows of the row table belong to. `condition`: which ones.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn note_stored(&self, condition: &str) -> Result<(), WarehouseError> {
        let from = format!("{} WHERE {condition}", self.dataset().table);
        let rows = format!("SELECT * REPLACE (false AS recounted) FROM {from}");
        self.note_keys(("plan_keys", self.keys_of(&rows, false))).await
    }

    /// Notes all rows of this table, and those that it should have.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn note_all(&self) -> Result<(), WarehouseError> {
        let made = self.keys_of(&format!("SELECT * FROM {}", self.dataset().all_rows()), false);
        let held =
            "SELECT CAST(/* group_key */ AS /* group_type */) AS key, false AS in_file FROM /* aggregate */";
        let all = format!("{made}\nUNION ALL\n{}", self.text(held, &[]));
        self.note_keys(("plan_keys", format!("SELECT DISTINCT key, in_file FROM ({all})"))).await
    }

    async fn note_keys(&self, keys: Source) -> Result<(), WarehouseError> {
        let sql = include_str!("../../../queries/engine/repair/note_keys.sql");
        self.plan.tables.execute(self.query(sql, &[keys])).await
    }

    /// Returns the noted rows, in batches that can each be compared in one query.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or refuses.
    pub(super) async fn noted(&self) -> Result<Vec<Keys>, WarehouseError> {
        let mut batches: Vec<Keys> = Vec::new();
        loop {
            let after = batches.last().map(|keys| keys.last.clone()).unwrap_or_default();
            let query = self.query(include_str!("../../../queries/engine/repair/next_keys.sql"), &[]);
            let query = query.param("after_key", &after).param("size", BATCH);
            let last: String = in_time(query.fetch_one()).await?;
            if last.is_empty() {
                return Ok(batches);
            }
            batches.push(Keys { after, last });
        }
    }

    /// Returns what stands for `plan_comparison`: what the table holds, next to what the view makes of `rows`, for keys of a query. `rows` and
    /// `held`: what follows FROM.
    pub(super) fn comparison(&self, rows: &str, held: &str, keys: &str) -> Source {
        ("plan_comparison", self.table.comparison(rows, held, keys))
    }

    /// The same for the stored rows, the table, and the noted keys of a batch.
    fn comparison_now(&self) -> Source {
        let keys = self.text(include_str!("../../../queries/engine/repair/noted_keys.sql"), &[]);
        self.comparison(&self.dataset().all_rows(), &self.table.table, &keys)
    }

    /// Makes the sums of the noted keys those of their rows, and adds keys that are missing.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, another server loads, or the sums keep changing.
    pub(super) async fn rebuild(&self, loading: &Loading) -> Result<(), RepairError> {
        for keys in self.noted().await? {
            match self.table.sums.is_empty() {
                true => self.add_rows(loading, &keys).await?,
                false => self.rebuild_sums(loading, &keys).await?,
            }
        }
        Ok(())
    }

    /// Makes all rows of the table what the view makes of all rows. What tolerates repeated rows is added again.
    ///
    /// # Errors
    /// As [`Aggregate::rebuild`].
    pub(super) async fn rebuild_all(&self, loading: &Loading) -> Result<(), RepairError> {
        if self.table.sums.is_empty() {
            let made = ("plan_made", self.table.query_from(&self.dataset().all_rows()));
            let sql =
                include_str!("../../../queries/engine/repair/add_all.sql").replace("/* fence */", FENCE);
            let query = self.query(&sql, &[made]).param("generation", loading.generation()?);
            return Ok(self.plan.tables.execute(one_part(query)).await?);
        }
        self.note_all().await?;
        self.rebuild(loading).await
    }

    async fn rebuild_sums(&self, loading: &Loading, keys: &Keys) -> Result<(), RepairError> {
        let tables = &self.plan.tables;
        let mut before = Differences::default();
        for _ in 0..MAX_LOOKS {
            let nothing_is_loaded = loading.loads.gate.hold().await;
            if loading.is_quiet(tables).await? {
                let differences = self.look(keys).await?;
                if differences.keys == 0 {
                    return Ok(());
                }
                if loading.is_alone || differences == before {
                    self.add(include_str!("../../../queries/engine/repair/add_sums.sql"), loading, keys)
                        .await?;
                    continue;
                }
                before = differences;
            }
            drop(nothing_is_loaded);
            tokio::time::sleep(PAUSE).await;
        }
        Err(RepairError::SumsDiffer)
    }

    async fn look(&self, keys: &Keys) -> Result<Differences, WarehouseError> {
        let sql = include_str!("../../../queries/engine/repair/count_sums.sql");
        in_time(keys.of(self.query(sql, &[self.comparison_now()])).fetch_one()).await
    }

    /// Adds again what the view makes of the noted keys.
    async fn add_rows(&self, loading: &Loading, keys: &Keys) -> Result<(), RepairError> {
        self.add(include_str!("../../../queries/engine/repair/add_rows.sql"), loading, keys).await
    }

    async fn add(&self, sql: &str, loading: &Loading, keys: &Keys) -> Result<(), RepairError> {
        let noted = self.text(include_str!("../../../queries/engine/repair/noted_keys.sql"), &[]);
        let made = self.table.query_from(&self.dataset().all_rows());
        let sources = [self.comparison_now(), ("noted_keys", noted), ("plan_made", made)];
        let sql = sql.replace("/* fence */", FENCE);
        let query = keys.of(self.query(&sql, &sources)).param("generation", loading.generation()?);
        Ok(self.plan.tables.execute(one_part(query)).await?)
    }

    /// Makes columns that are no sums those of the rows, for the noted keys. Until ClickHouse has rewritten a part, a reader sees the earlier
    /// values. Nothing is loaded meanwhile: a later value must not be lost.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or another server loads.
    pub(super) async fn set_states(&self, loading: &Loading) -> Result<(), RepairError> {
        if self.table.others.is_empty() || self.table.is_of_expiring_rows {
            return Ok(());
        }
        for keys in self.noted().await? {
            let (_nothing_is_loaded, _) = loading.hold(&self.plan.tables).await?;
            match self.table.is_replacing {
                true => self.replace_rows(loading, &keys).await?,
                false => self.update_states(loading, &keys).await?,
            }
        }
        Ok(self.plan.tables.drop().await?)
    }

    async fn update_states(&self, loading: &Loading, keys: &Keys) -> Result<(), RepairError> {
        let tables = &self.plan.tables;
        tables.drop().await?;
        self.execute(include_str!("../../../queries/engine/repair/create_states.sql")).await?;
        let sql = include_str!("../../../queries/engine/repair/add_states.sql");
        tables.execute(keys.of(self.query(sql, &[self.comparison_now()]))).await?;
        if tables.number(include_str!("../../../queries/engine/repair/count_values.sql")).await? > 0 {
            self.mutate(include_str!("../../../queries/engine/repair/update_states.sql"), loading).await?;
        }
        Ok(())
    }

    /// Deletes the noted rows of a table whose rows replace each other, and adds what the view makes.
    async fn replace_rows(&self, loading: &Loading, keys: &Keys) -> Result<(), RepairError> {
        let tables = &self.plan.tables;
        tables.drop().await?;
        self.execute(include_str!("../../../queries/engine/repair/create_empty.sql")).await?;
        let noted = self.text(include_str!("../../../queries/engine/repair/noted_keys.sql"), &[]);
        let sql = include_str!("../../../queries/engine/repair/add_noted.sql");
        tables.execute(keys.of(self.query(sql, &[("noted_keys", noted)]))).await?;
        self.mutate(include_str!("../../../queries/engine/repair/remove_empty.sql"), loading).await?;
        self.add_rows(loading, keys).await
    }

    /// Removes the noted rows of which the view makes nothing any more. Their sums are zero once all parts of such a row are merged. Until
    /// then, or if that does not happen, readers leave out rows whose sums are zero.
    ///
    /// # Errors
    /// ClickHouse does not answer in time, or another server loads.
    pub(super) async fn remove_empty(&self, loading: &Loading) -> Result<(), RepairError> {
        if self.table.is_replacing || self.table.is_of_expiring_rows {
            return Ok(());
        }
        let tables = &self.plan.tables;
        for _ in 0..MAX_MERGES {
            // A row that gets new values meanwhile must stay. With sums, they are not zero then.
            let _nothing_is_loaded = match self.table.sums.is_empty() {
                true => Some(loading.hold(tables).await?),
                false => None,
            };
            if self.list_empty().await? == 0 {
                return Ok(tables.drop().await?);
            }
            if !self.table.sums.is_empty() {
                self.execute(include_str!("../../../queries/engine/repair/merge_rows.sql")).await?;
            }
            self.mutate(include_str!("../../../queries/engine/repair/remove_empty.sql"), loading).await?;
        }
        tables.drop().await?;
        tracing::warn!(job = %tables.job, table = self.table.table, "aggregates without rows stay in their table as zeros");
        Ok(())
    }

    async fn list_empty(&self) -> Result<u64, WarehouseError> {
        let tables = &self.plan.tables;
        tables.drop().await?;
        self.execute(include_str!("../../../queries/engine/repair/create_empty.sql")).await?;
        for keys in self.noted().await? {
            let sql = include_str!("../../../queries/engine/repair/add_empty.sql");
            tables.execute(keys.of(self.query(sql, &[self.comparison_now()]))).await?;
        }
        tables.number(include_str!("../../../queries/engine/repair/count_removals.sql")).await
    }

    async fn execute(&self, sql: &str) -> Result<(), WarehouseError> {
        self.plan.tables.execute(self.query(sql, &[])).await
    }

    async fn mutate(&self, sql: &str, loading: &Loading) -> Result<(), RepairError> {
        let query = self.plan.tables.ready(&self.text(sql, &[]));
        Ok(self.plan.tables.mutate(query, loading.generation()?).await?)
    }
}

/// Returns the key of an aggregate table as the table of differences has it: null in rows that are about something else, for which ClickHouse may
/// evaluate it all the same.
fn listed_group(compared: &ComparedTable<'_>) -> String {
    let columns = compared.groups().into_iter().zip(&compared.table.key_types);
    let columns = columns.map(|(Item { name, .. }, kind)| match kind.contains("Nullable(") {
        true => format!("`{name}`"),
        false => format!("assumeNotNull(`{name}`)"),
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// Limits a query that loading waits for.
fn bounded(query: Query) -> Query {
    query
        .with_setting("max_bytes_before_external_group_by", "67108864")
        .with_setting("max_memory_usage", "1073741824")
        .with_setting("max_execution_time", "600")
}
