//! The comparison of the file's rows with the aggregate tables of the dataset: their views' own queries add up the rows.
//!
//! If a key of an aggregate table also has stored rows that are not in the file, the view adds those up, too.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::arrivals::Arrivals;
use super::queue::{Progress, ROWS_COMPARED};
use super::range::Range;
use super::report::Hours;
use super::tables::{Tables, in_time};
use crate::dataset::differences::ComparedTable;
use crate::dataset::template::{Item, Template, inside};
use crate::warehouse::client::WarehouseError;

/// How many times sums are compared while rows are being loaded.
const MAX_CHECKS: u8 = 5;

/// Between two comparisons.
const CHECK_PAUSE: Duration = Duration::from_secs(1);

/// A condition with more values than this takes too much memory; without it more is read.
const MAX_VALUES: u64 = 1_000_000;

/// Types whose values have an order that an index can use.
const ORDERED: [&str; 9] =
    ["Bool", "Date", "Decimal", "Enum", "FixedString", "Int", "String", "UInt", "UUID"];

/// A range that has been compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComparedRange {
    pub(super) range: Range,
    /// How many rows of the file it has. None: not all of them match.
    pub(super) rows: Option<u64>,
    pub(super) has_contradictory: bool,
}

impl ComparedRange {
    /// Whether the range may have stored rows that are not in the file. Counting rows is cheaper than looking for others.
    pub(super) async fn may_hold_others(self, tables: &Tables) -> Result<bool, WarehouseError> {
        let Some(rows) = self.rows else { return Ok(true) };
        let query = self.range.query(tables, include_str!("../../queries/engine/reconcile/stored_rows.sql"));
        Ok(in_time(query.fetch_one::<u64>()).await? != rows)
    }

    /// Adds up the rows of the file in this range. The outcomes are known by now, and decide which rows are in the sums.
    pub(super) async fn add_file(self, tables: &Tables) -> Result<(), WarehouseError> {
        for (number, table) in tables.compared() {
            let sums = OfTable::new(tables, number, &table);
            let rows = include_str!("../../queries/engine/reconcile/file_rows.sql");
            let add =
                sums.query(self.range, rows, include_str!("../../queries/engine/reconcile/file_groups.sql"));
            tables.execute(add).await?;
            if self.has_contradictory {
                let rows = include_str!("../../queries/engine/reconcile/contradictory_rows.sql");
                let sql = include_str!("../../queries/engine/reconcile/contradictory_groups.sql");
                tables.execute(sums.query(self.range, rows, sql)).await?;
            }
        }
        Ok(())
    }

    /// Adds up the stored rows of this range that the file's sums do not include.
    async fn add_others(self, tables: &Tables, sums: &OfTable<'_>, check: u8) -> Result<(), WarehouseError> {
        let add = async |source, rows| {
            let query =
                sums.query(self.range, rows, include_str!("../../queries/engine/reconcile/other_groups.sql"));
            tables.execute(query.param("source", source).param("check", check)).await
        };
        add("others", include_str!("../../queries/engine/reconcile/other_rows.sql")).await?;
        if self.has_contradictory {
            let rows = include_str!("../../queries/engine/reconcile/contradicted_rows.sql");
            add("contradictory", rows).await?;
        }
        Ok(())
    }
}

/// The sums of one aggregate table.
struct OfTable<'a> {
    tables: &'a Tables,
    number: usize,
    table: &'a ComparedTable<'a>,
    template: Template,
}

impl<'a> OfTable<'a> {
    fn new(tables: &'a Tables, number: usize, table: &'a ComparedTable<'a>) -> Self {
        let bounded: Vec<Item> =
            table.table.keys.iter().zip(&table.table.key_types).filter_map(bounded).collect();
        let first = table.table.keys.first().map_or("", String::as_str);
        let template = tables.dataset().template_of(table).with("first group", first);
        Self { tables, number, table, template: template.list("bounded", bounded) }
    }

    /// A query that reads what the view makes of some rows of a range.
    fn query(&self, range: Range, rows: &str, sql: &str) -> clickhouse::query::Query {
        let ranges = self.tables.name("ranges");
        let in_range = range.condition(self.tables.dataset(), &ranges);
        let template = self.template.clone().with("in range", in_range).with("in span", self.in_span());
        let view = self.table.table.query_from(&template.fill(rows));
        self.tables.query_of(self.number, &template.with("view of rows", view), sql)
    }

    fn query_of_all(&self, template: &Template, sql: &str) -> clickhouse::query::Query {
        self.tables.query_of(self.number, template, sql)
    }

    /// The condition that a key of the table is between the first and the last one of the file, in each of its columns.
    fn in_span(&self) -> String {
        let between = "/* each bounded and: `$name` BETWEEN (SELECT `first $name` FROM {spans:Identifier}) AND (SELECT `last $name` FROM {spans:Identifier}) */";
        self.template.fill(between)
    }

    /// Stores the span of the file's keys.
    async fn find_span(&self) -> Result<(), WarehouseError> {
        let tables = self.tables;
        tables.drop_table(&format!("{}_{}", tables.name("spans"), self.number)).await?;
        let create = include_str!("../../queries/engine/reconcile/create_spans.sql");
        tables.execute(self.query_of_all(&self.template, create)).await
    }

    /// Copies the sums of the table.
    async fn add_aggregates(&self, check: u8) -> Result<(), WarehouseError> {
        let span = include_str!("../../queries/engine/reconcile/span.sql");
        let values: u64 = in_time(self.query_of_all(&self.template, span).fetch_one()).await?;
        let mut within = self.in_span();
        if values <= MAX_VALUES {
            let among = " AND `/* first group */` IN (SELECT `/* first group */` FROM {groups:Identifier} WHERE `the source` = 'file')";
            within += &self.template.fill(among);
        }
        let template = self.template.clone().with("in span", within);
        let add = include_str!("../../queries/engine/reconcile/aggregate_groups.sql");
        self.tables.execute(self.query_of_all(&template, add).param("check", check)).await
    }

    async fn compare(&self, check: u8) -> Result<Hours, WarehouseError> {
        #[derive(Row, Deserialize)]
        struct Counts {
            checked: u64,
            different: u64,
            shared: u64,
        }
        let compare = include_str!("../../queries/engine/reconcile/compare_groups.sql");
        let query = self.query_of_all(&self.template, compare).param("check", check);
        let Counts { checked, different, shared } = in_time(query.fetch_one()).await?;
        Ok(Hours { checked, different, shared })
    }

    /// Stores the keys whose sums differ, as they were at this check.
    async fn keep(&self, check: u8) -> Result<(), WarehouseError> {
        let keep = include_str!("../../queries/engine/reconcile/group_differences.sql");
        let query = self.query_of_all(&self.template, keep).param("check", check);
        self.tables.execute(query.param("aggregate_table", &self.table.table.table)).await
    }
}

/// Returns a column of a key if its values have an order.
fn bounded((name, kind): (&String, &String)) -> Option<Item> {
    let plain = inside(kind, "LowCardinality");
    ORDERED.iter().any(|ordered| plain.starts_with(ordered)).then(|| Item::new(name, kind))
}

/// The aggregate tables of an attempt. All of the file's rows have been added up.
pub(super) struct Comparison<'a> {
    pub(super) tables: &'a Tables,
    pub(super) ranges: &'a [ComparedRange],
    pub(super) arrivals: &'a Arrivals,
    pub(super) progress: &'a Progress,
}

impl Comparison<'_> {
    /// Compares the sums, and again if they differ while rows are being loaded: a row is in the aggregate tables a moment later than in
    /// its own. Stores the differences. Returns the counts by table, and whether nothing was loaded during the comparison.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn settled(&self) -> Result<(Vec<Hours>, bool), WarehouseError> {
        let compared: Vec<_> = self.tables.compared().collect();
        let sums: Vec<OfTable<'_>> =
            compared.iter().map(|(number, table)| OfTable::new(self.tables, *number, table)).collect();
        let mut check = 1;
        loop {
            let before = self.arrivals.ledger_state(self.tables.warehouse()).await?;
            let found = self.look(&sums, check).await?;
            let after = self.arrivals.ledger_state(self.tables.warehouse()).await?;
            let settled = found.iter().all(|hours| hours.different == 0) || after.is_quiet_since(before);
            if settled || check == MAX_CHECKS {
                for (sums, _) in sums.iter().zip(&found).filter(|(_, hours)| hours.different > 0) {
                    sums.keep(check).await?;
                }
                return Ok((found, settled));
            }
            tokio::time::sleep(CHECK_PAUSE).await;
            check += 1;
        }
    }

    async fn look(&self, sums: &[OfTable<'_>], check: u8) -> Result<Vec<Hours>, WarehouseError> {
        for sums in sums {
            sums.find_span().await?;
        }
        for (range, done) in self.ranges.iter().zip(1..) {
            if range.may_hold_others(self.tables).await? {
                for sums in sums {
                    range.add_others(self.tables, sums, check).await?;
                }
            }
            let share = f64::from(done) / (self.ranges.len() + 1) as f64;
            self.progress.reach(ROWS_COMPARED + (1.0 - ROWS_COMPARED) * share);
        }
        let mut found = Vec::with_capacity(sums.len());
        for sums in sums {
            sums.add_aggregates(check).await?;
            found.push(sums.compare(check).await?);
        }
        Ok(found)
    }
}
