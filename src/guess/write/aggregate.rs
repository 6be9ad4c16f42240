//! The aggregate table: how many rows there are in each hour or day, and the sums of their decimals. With its view, endpoint and check.

use super::added;
use crate::guess::kind::Guessed;
use crate::guess::names::{free_name, quoted};
use crate::guess::{Guess, GuessedColumn};

/// Milliseconds of a file from which days are shown instead of hours.
const MILLIS_OF_DAYS: i64 = 14 * 86_400_000;

/// Most columns that are summed.
const MAX_SUMS: usize = 20;

/// A column that is summed.
struct Sum {
    /// In SQL.
    name: String,
    plain: String,
    scale: u32,
    is_nullable: bool,
}

/// The aggregate table.
pub(super) struct Aggregate {
    pub(super) table: String,
    /// `hour` or `day`.
    pub(super) unit: &'static str,
    rows_table: String,
    dataset: String,
    /// The names of its columns.
    time: String,
    count: String,
    /// The time of a row, as hour or day.
    expression: String,
    time_type: &'static str,
    /// A column with few values, in SQL, by which rows are counted, too.
    dimension: Option<String>,
    sums: Vec<Sum>,
    has_key: bool,
}

impl Guess {
    /// Returns a column with few values.
    pub(super) fn dimension(&self) -> Option<&GuessedColumn> {
        self.columns.iter().find(|column| matches!(column.kind, Guessed::Enum(_)) && !column.is_nullable)
    }
}

impl Aggregate {
    pub(super) fn of(guess: &Guess) -> Self {
        let column = guess.time.and_then(|at| guess.columns.get(at));
        let source = guess.time_column();
        let span = column.and_then(|column| column.times).map_or(0, |(first, last)| last - first);
        let is_date = column.is_some_and(|column| column.kind == Guessed::Date);
        let (unit, expression, time_type) = match () {
            () if is_date => ("day", source, "Date32"),
            () if span > MILLIS_OF_DAYS => ("day", format!("toDate({source})"), "Date"),
            () => ("hour", format!("toStartOfHour({source})"), "DateTime('UTC')"),
        };
        let time = added(guess, unit);
        let sums = guess.columns.iter().filter_map(|column| match column.kind {
            Guessed::Decimal { scale, .. } => Some(Sum {
                name: column.quoted(),
                plain: column.name.clone(),
                scale,
                is_nullable: column.is_nullable,
            }),
            _ => None,
        });
        Self {
            table: format!("{}_by_{unit}", guess.table()),
            unit,
            rows_table: guess.table(),
            dataset: guess.name.clone(),
            count: free_name(&added(guess, "rows"), &[&time]),
            time,
            expression,
            time_type,
            dimension: guess.dimension().map(GuessedColumn::quoted),
            sums: sums.take(MAX_SUMS).collect(),
            has_key: guess.key.is_some(),
        }
    }

    /// The columns that identify a row of it.
    fn keys(&self) -> String {
        match &self.dimension {
            Some(dimension) => format!("{}, {dimension}", self.time),
            None => self.time.clone(),
        }
    }

    pub(super) fn create(&self) -> String {
        let Self { table, unit, time, time_type, count, .. } = self;
        let mut columns = vec![format!("{time} {time_type}")];
        columns.extend(self.dimension.as_ref().map(|name| format!("{name} LowCardinality(String)")));
        columns.push(format!("{count} SimpleAggregateFunction(sum, UInt64)"));
        columns.extend(
            self.sums
                .iter()
                .map(|sum| format!("{} SimpleAggregateFunction(sum, Decimal(38, {}))", sum.name, sum.scale)),
        );
        format!(
            "-- How many rows there are in each {unit}, and the sums of their decimals. ClickHouse merges rows with the same values in ORDER BY later, so\n\
             -- queries use sum(). docs/DATASETS.md says which columns an aggregate table may have.\n\
             CREATE TABLE IF NOT EXISTS {table}\n(\n    {}\n)\n\
             ENGINE = AggregatingMergeTree\nORDER BY ({})\nSETTINGS non_replicated_deduplication_window = 1000\n",
            columns.join(",\n    "),
            self.keys(),
        )
    }

    pub(super) fn view(&self) -> String {
        let Self { table, rows_table, time, count, .. } = self;
        let mut columns = vec![format!("{} AS {time}", self.expression)];
        columns.extend(self.dimension.clone());
        columns.push(format!("count() AS {count}"));
        columns.extend(self.sums.iter().map(|sum| format!("sum({}) AS {}", sum.value(), sum.name)));
        let (why, filter) = match self.has_key {
            true => (
                "-- Rows that were deleted and came back are left out: the loader counts them.\n",
                "WHERE NOT recounted\n",
            ),
            false => ("", ""),
        };
        format!(
            "-- Adds every block of new rows to {table}.\n{why}CREATE MATERIALIZED VIEW IF NOT EXISTS {table}_view TO {table} AS\n\
             SELECT\n    {}\nFROM {rows_table}\n{filter}GROUP BY {}\n",
            columns.join(",\n    "),
            self.keys(),
        )
    }

    pub(super) fn endpoint(&self) -> String {
        let Self { table, unit, time, count, time_type, .. } = self;
        let mut columns = vec![time.clone(), format!("sum({table}.{count}) AS {count}")];
        columns.extend(self.sums.iter().map(|sum| format!("sum({table}.{0}) AS {0}", sum.name)));
        let (mut parameter, mut filter) = (String::new(), String::new());
        // A column may have a name that every endpoint uses for something else.
        if let Some(name) = &self.dimension {
            parameter = format!("-- param only Only rows with this {}\n", name.trim_matches('`'));
            filter = format!(
                "\n    AND ({{only:Nullable(String)}} IS NULL OR {name} = {{only:Nullable(String)}})"
            );
        }
        let when = format!("Nullable({time_type})");
        format!(
            "-- How many rows there are in each {unit}, and the sums of their decimals\n\
             {parameter}-- param from First {unit} (inclusive)\n-- param to Last {unit} (exclusive)\n\
             -- page: {time}\n-- plot: bars x={time} y={count}\n\
             SELECT {}\nFROM {table}\n\
             WHERE ({{from:{when}}} IS NULL OR {time} >= {{from:{when}}})\n    AND ({{to:{when}}} IS NULL OR {time} < {{to:{when}}}){filter}\n\
             GROUP BY {time}\n",
            columns.join(", "),
        )
    }

    pub(super) fn check(&self) -> String {
        let Self { table, rows_table, unit, count, .. } = self;
        let keys = self.keys();
        let dimension = self.dimension.as_ref().map_or_else(String::new, |name| format!(", {name}"));
        let values = || std::iter::once(count.as_str()).chain(self.sums.iter().map(|sum| sum.plain.as_str()));
        let sums: Vec<String> = values()
            .map(|name| {
                let value = quoted(name);
                format!(
                    "    sumIf({value}, is_aggregated) AS {name}_aggregated,\n    sumIf({value}, NOT is_aggregated) AS {name}_stored"
                )
            })
            .collect();
        let different: Vec<String> =
            values().map(|name| format!("{name}_aggregated != {name}_stored")).collect();
        let aggregated: String = self.sums.iter().map(|sum| format!(", {}", sum.name)).collect();
        let stored: String =
            self.sums.iter().map(|sum| format!(", toDecimal128({}, {})", sum.value(), sum.scale)).collect();
        format!(
            "-- Each {unit} whose numbers differ between {table} and the rows of {}\n-- expect: no rows\n\
             SELECT\n    {keys},\n{}\nFROM\n(\n\
             \x20   SELECT true AS is_aggregated, {keys}, {count}{aggregated} FROM {table}\n\
             \x20   UNION ALL\n\
             \x20   SELECT false, {}{dimension}, 1{stored} FROM {rows_table}\n\
             )\nGROUP BY {keys}\nHAVING {}\nORDER BY {keys}\nLIMIT 100\n",
            self.dataset,
            sums.join(",\n"),
            self.expression,
            different.join("\n    OR "),
        )
    }
}

impl Sum {
    /// A null counts as 0.
    fn value(&self) -> String {
        if self.is_nullable { format!("ifNull({}, 0)", self.name) } else { self.name.clone() }
    }
}
