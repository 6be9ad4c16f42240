//! Aggregate tables: what the views of a dataset make of its rows.
//!
//! ClickHouse says which type each column has, and the type says what happens if the same rows are added twice. A sum counts them twice; a
//! maximum does not change. So after a crash sums are compared with the sums of the rows, and what is missing is added; everything
//! else is simply added again.

use thiserror::Error;

use super::statement::View;

/// Aggregate functions whose result is the same if rows are added again.
const TOLERANT: [&str; 24] = [
    "min",
    "max",
    "any",
    "anyLast",
    "any_respect_nulls",
    "anyLast_respect_nulls",
    "argMin",
    "argMax",
    "uniq",
    "uniqExact",
    "uniqCombined",
    "uniqCombined64",
    "uniqHLL12",
    "uniqTheta",
    "groupBitmap",
    "groupUniqArray",
    "groupUniqArrayArray",
    "groupBitAnd",
    "groupBitOr",
    "boundingRatio",
    "minMap",
    "maxMap",
    "groupBitmapOr",
    "groupBitmapAnd",
];

/// A column of a table in ClickHouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    pub name: String,
    pub kind: String,
    /// Whether it is in the order of the table.
    pub is_in_order: bool,
}

/// A table that a view writes to, and how its columns are made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateTable {
    pub view: String,
    pub table: String,
    query: View,
    /// The columns that identify a row of the table.
    pub keys: Vec<String>,
    /// Their types.
    pub key_types: Vec<String>,
    /// Additive columns, and the types of their values.
    pub sums: Vec<(String, String)>,
    /// Columns that tolerate repeated rows, and their types in the table.
    pub others: Vec<(String, String)>,
    /// Whether rows that it was made of may have expired, so that it may hold more than they say.
    pub is_of_expiring_rows: bool,
    /// Whether its rows replace each other, instead of being combined.
    pub is_replacing: bool,
    /// Whether the view reads only what a file has: then the sums of a file are known before its rows are stored.
    pub is_of_fields: bool,
}

/// Why a table cannot be kept exact.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AggregateError {
    #[error(
        "the table {table} of the view {view} has the engine {engine}; use AggregatingMergeTree, or ReplacingMergeTree if its rows replace each other"
    )]
    Engine { view: String, table: String, engine: String },
    #[error(
        "the view {view} returns {column}, which the table {table} does not have; add the column, or remove it from the view"
    )]
    NoColumn { view: String, table: String, column: String },
    #[error(
        "the column {column} of the table {table} has the type {kind}: rows that are added again after a crash would change it, and it cannot be \
         compared with the rows; {remedy}"
    )]
    Column { table: String, column: String, kind: String, remedy: &'static str },
    #[error("the table {table} has no columns in its order; add ORDER BY with those that the view groups by")]
    NoKeys { table: String },
    #[error(
        "the column {column} of the table {table} is a sum of rows that expire (TTL of {rows}): it cannot be compared with them; use a function that \
         tolerates repeated rows, such as max or uniqExact, or remove the TTL"
    )]
    Expires { table: String, column: String, rows: String },
}

/// What the type of a column says about it.
enum Role {
    Sum(String),
    Tolerant,
    Unusable(&'static str),
}

impl AggregateTable {
    /// `engine` and `columns`: of the table, as ClickHouse reports them. `returned`: the names of the columns that the view returns.
    ///
    /// # Errors
    /// The table cannot be kept exact.
    pub fn new(
        view: &str,
        query: &View,
        engine: &str,
        columns: &[TableColumn],
        returned: &[String],
    ) -> Result<Self, AggregateError> {
        let table = query.target.clone();
        let is_replacing = engine.ends_with("ReplacingMergeTree");
        if !is_replacing && !engine.ends_with("AggregatingMergeTree") {
            let (view, engine) = (view.to_owned(), engine.to_owned());
            return Err(AggregateError::Engine { view, table, engine });
        }
        let mut made = Self {
            view: view.to_owned(),
            table: table.clone(),
            query: query.clone(),
            keys: Vec::new(),
            key_types: Vec::new(),
            sums: Vec::new(),
            others: Vec::new(),
            is_of_expiring_rows: false,
            is_replacing,
            is_of_fields: false,
        };
        for name in returned {
            let column = columns.iter().find(|column| column.name == *name).ok_or_else(|| {
                AggregateError::NoColumn { view: view.to_owned(), table: table.clone(), column: name.clone() }
            })?;
            let role = if is_replacing { Role::Tolerant } else { role(&column.kind) };
            match role {
                _ if column.is_in_order => {
                    made.keys.push(name.clone());
                    made.key_types.push(column.kind.clone());
                }
                Role::Sum(kind) => made.sums.push((name.clone(), kind)),
                Role::Tolerant => made.others.push((name.clone(), column.kind.clone())),
                Role::Unusable(remedy) => {
                    let (column, kind) = (name.clone(), column.kind.clone());
                    return Err(AggregateError::Column { table, column, kind, remedy });
                }
            }
        }
        match made.keys.is_empty() {
            true => Err(AggregateError::NoKeys { table }),
            false => Ok(made),
        }
    }

    /// Says that rows expire. Sums of such rows are refused.
    ///
    /// # Errors
    /// It has one.
    pub fn of_expiring_rows(self, rows: &str) -> Result<Self, AggregateError> {
        match self.sums.first() {
            Some((column, _)) => {
                let (table, column, rows) = (self.table.clone(), column.clone(), rows.to_owned());
                Err(AggregateError::Expires { table, column, rows })
            }
            None => Ok(Self { is_of_expiring_rows: true, ..self }),
        }
    }

    /// Returns the query of the view, reading from `rows` instead of the row table.
    pub fn query_from(&self, rows: &str) -> String {
        self.query.query_from(rows)
    }

    /// Returns the query of what must be added to the sums so that they equal those of all rows, for each key that `some` rows have. `all` and
    /// `some`: what follows FROM. The columns are those of [`AggregateTable::columns`].
    pub fn differences(&self, all: &str, some: &str) -> String {
        let keys = self.keys.join(", ");
        let joined = |make: &dyn Fn(&str) -> String, glue: &str| {
            self.keys.iter().map(|key| make(key)).collect::<Vec<_>>().join(glue)
        };
        let sums = self.sums.iter().map(|(name, kind)| {
            // ClickHouse wraps around: adding the complement of a negative difference to an unsigned sum subtracts the same amount.
            format!("CAST(made.{name} - ifNull(stored.{name}, 0) AS {kind}) AS {name}")
        });
        let others = self.others.iter().map(|(name, _)| format!("made.{name} AS {name}"));
        let values: Vec<String> = sums.chain(others).collect();
        let stored =
            self.sums.iter().map(|(name, _)| format!("sum({name}) AS {name}")).collect::<Vec<_>>().join(", ");
        let differs = self.sums.iter().map(|(name, _)| format!("made.{name} != ifNull(stored.{name}, 0)"));
        format!(
            "WITH touched AS (SELECT DISTINCT {keys} FROM ({some}))\nSELECT {made_keys}, {values}\nFROM (SELECT * FROM ({all}) WHERE ({keys}) IN touched) AS made\n\
             LEFT JOIN (SELECT {keys}, {stored} FROM {table} WHERE ({keys}) IN touched GROUP BY {keys}) AS stored ON {on}\n\
             WHERE {differs}",
            some = self.query.query_from(some),
            all = self.query.query_from(all),
            made_keys = joined(&|key| format!("made.{key} AS {key}"), ", "),
            on = joined(&|key| format!("made.{key} = stored.{key}"), " AND "),
            values = values.join(", "),
            table = self.table,
            differs = differs.collect::<Vec<_>>().join(" OR "),
        )
    }

    /// Returns the query of what the view makes of `some` rows and may be added again: the rows whose sums are all zero. The columns are those
    /// of [`AggregateTable::columns`].
    pub fn repeatable(&self, some: &str) -> String {
        let zero: Vec<String> = self.sums.iter().map(|(name, _)| format!("{name} = 0")).collect();
        let filter = if zero.is_empty() { String::new() } else { format!("\nWHERE {}", zero.join(" AND ")) };
        format!("SELECT {} FROM ({}){filter}", self.columns(), self.query.query_from(some))
    }

    /// Returns the names of the columns that the view returns, separated by commas: keys, sums, others.
    pub fn columns(&self) -> String {
        let values = self.sums.iter().chain(&self.others).map(|(name, _)| name.as_str());
        let names = self.keys.iter().map(String::as_str).chain(values);
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Says what the type of a column makes of repeated rows.
fn role(kind: &str) -> Role {
    let arguments =
        |name: &str| kind.strip_prefix(name).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'));
    if let Some(arguments) = arguments("SimpleAggregateFunction") {
        let (function, value) = arguments.split_once(", ").unwrap_or((arguments, ""));
        return match function {
            "sum" | "sumWithOverflow" if value.contains("Float") => {
                Role::Unusable("use Decimal: sums of binary floating point numbers depend on the order")
            }
            "sum" | "sumWithOverflow" if value.starts_with("Nullable") => {
                Role::Unusable("use a type that is not Nullable, and ifNull(…, 0) in the view")
            }
            "sum" | "sumWithOverflow" => Role::Sum(value.to_owned()),
            function if TOLERANT.contains(&function) => Role::Tolerant,
            _ => Role::Unusable("use sum, min, max, any or anyLast"),
        };
    }
    if let Some(arguments) = arguments("AggregateFunction") {
        let function = arguments.split([',', '(']).next().unwrap_or_default();
        return match function {
            "sum" => Role::Unusable("use SimpleAggregateFunction(sum, …), whose values can be compared"),
            "count" => Role::Unusable("use SimpleAggregateFunction(sum, UInt64) and count() in the view"),
            function if TOLERANT.contains(&function) => Role::Tolerant,
            _ => Role::Unusable(
                "use a function such as min, max, argMin, argMax, any or uniq, or SimpleAggregateFunction(sum, …)",
            ),
        };
    }
    Role::Unusable("add it to ORDER BY, or make it an aggregate such as SimpleAggregateFunction(max, …)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Dataset;

    fn column(name: &str, kind: &str, is_in_order: bool) -> TableColumn {
        TableColumn { name: name.to_owned(), kind: kind.to_owned(), is_in_order }
    }

    fn table(engine: &str, kinds: &[(&str, &str)]) -> Result<AggregateTable, AggregateError> {
        let bets = Dataset::read("bets", &[]).unwrap();
        let view = bets.tables.iter().find_map(|statement| statement.view()).unwrap();
        let kinds = kinds.iter().map(|(name, kind)| column(name, kind, false));
        let columns: Vec<_> = std::iter::once(column("hour", "DateTime", true)).chain(kinds).collect();
        let returned: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        AggregateTable::new("v", view, engine, &columns, &returned)
    }

    #[test]
    fn types_say_which_columns_are_sums_and_which_tolerate_repeated_rows() {
        let made = table(
            "AggregatingMergeTree",
            &[
                ("rounds", "SimpleAggregateFunction(sum, UInt64)"),
                ("bets", "SimpleAggregateFunction(sum, Decimal(38, 8))"),
                ("name", "SimpleAggregateFunction(max, String)"),
                ("last", "AggregateFunction(argMax, Decimal(18, 8), Tuple(DateTime64(3, 'UTC'), UInt64))"),
                ("players", "AggregateFunction(uniqCombined(12), String)"),
            ],
        );
        let made = made.unwrap();
        assert_eq!(made.keys, ["hour"]);
        let sums = [("rounds", "UInt64"), ("bets", "Decimal(38, 8)")]
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        assert_eq!(made.sums, sums);
        let others: Vec<&str> = made.others.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(others, ["name", "last", "players"]);
        assert_eq!(made.columns(), "hour, rounds, bets, name, last, players");
        assert!(made.of_expiring_rows("game_rounds").is_err());
        let replacing = table("ReplacingMergeTree", &[("price", "Float64")]).unwrap();
        assert_eq!(replacing.others, [("price".to_owned(), "Float64".to_owned())]);
        assert!(replacing.of_expiring_rows("game_rounds").is_ok());
    }

    #[test]
    fn columns_that_cannot_be_kept_exact_are_refused_with_a_remedy() {
        let error = |engine, kind| table(engine, &[("x", kind)]).unwrap_err().to_string();
        assert!(error("MergeTree", "UInt64").contains("has the engine MergeTree; use AggregatingMergeTree"));
        for (kind, remedy) in [
            ("UInt64", "add it to ORDER BY"),
            ("SimpleAggregateFunction(sum, Float64)", "use Decimal"),
            ("SimpleAggregateFunction(sum, Nullable(UInt64))", "not Nullable"),
            ("SimpleAggregateFunction(groupArrayArray, Array(UInt8))", "use sum, min"),
            ("AggregateFunction(count)", "SimpleAggregateFunction(sum, UInt64)"),
            ("AggregateFunction(avg, UInt64)", "use a function such as min"),
        ] {
            assert!(error("AggregatingMergeTree", kind).contains(remedy), "{kind}");
        }
    }
}
