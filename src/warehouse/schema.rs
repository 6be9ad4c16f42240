//! Creates the tables, and checks that they exist as this version needs them: the user may not be allowed to create them, or another
//! version has created them.
//!
//! What must exist is taken from the statements in `queries/engine/schema` and in the folders `tables` of the datasets: the names of tables,
//! views and columns, the values of enums, and the words of projections and of a view's query.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use clickhouse::Row;
use serde::Deserialize;
use thiserror::Error;

use super::client::{Warehouse, WarehouseError};
use crate::dataset::Dataset;
use crate::dataset::fault::FileFault;
use crate::dataset::files::SqlFile;

/// The tables that all datasets share, ordered by their numbers. All can be run again.
const SHARED: [&str; 14] = [
    include_str!("../../queries/engine/schema/005_loader_topics.sql"),
    include_str!("../../queries/engine/schema/006_loader_chunks.sql"),
    include_str!("../../queries/engine/schema/007_rejects.sql"),
    include_str!("../../queries/engine/schema/009_reconcile_jobs.sql"),
    include_str!("../../queries/engine/schema/014_upload_counts.sql"),
    include_str!("../../queries/engine/schema/020_upload_ledger.sql"),
    include_str!("../../queries/engine/schema/021_reject_replays.sql"),
    include_str!("../../queries/engine/schema/032_reconcile_repairs.sql"),
    include_str!("../../queries/engine/schema/033_reconcile_repair_keys.sql"),
    include_str!("../../queries/engine/schema/034_consumed_blocks.sql"),
    include_str!("../../queries/engine/schema/035_settled_parts.sql"),
    include_str!("../../queries/engine/schema/040_loader_leases.sql"),
    include_str!("../../queries/engine/schema/041_loader_beats.sql"),
    include_str!("../../queries/engine/schema/042_loader_gaps.sql"),
];

/// Tables for each dataset with a key.
const CONFLICTS: &str = include_str!("../../queries/engine/dataset/conflicts.sql");
const DIFFERENCES: &str = include_str!("../../queries/engine/dataset/differences.sql");

/// Run in the database `default`, before all others.
const CREATE_DATABASE: &str = include_str!("../../queries/engine/schema/001_database.sql");

/// Why the tables cannot be used.
#[derive(Debug, Error)]
pub enum SchemaError {
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
    #[error(
        "this ClickHouse user may not create tables ({reason}), and the database {database} lacks {missing}; start \
                 the server once as a user who may create them"
    )]
    Missing { reason: String, database: String, missing: String },
    #[error("{fault}")]
    Dataset { fault: FileFault },
    #[error("the tables lack columns of the schema; run these statements first: {statements}")]
    Lacks { statements: String },
    #[error(
        "the table of differences of the dataset {dataset} would have two columns {name}; rename the column that leads to it, in the schema or in \
         an aggregate table"
    )]
    Column { dataset: String, name: String },
    #[error(
        "the tables in the database {database} are of another version of roundhouse and lack {missing}; use another database, or delete \
         this one (embedded: delete the data directory) and load its files again"
    )]
    OtherVersion { database: String, missing: String },
}

impl Warehouse {
    /// Creates the database, its tables and views, if they do not exist. A user who may not create them can still start the server if they
    /// exist and match this release.
    ///
    /// # Errors
    /// ClickHouse does not answer, or rejects a statement.
    pub async fn create_schema(&self, datasets: &[Dataset]) -> Result<(), SchemaError> {
        let statements = definitions(datasets, |dataset| dataset.sql(CONFLICTS));
        let created = match self.create_database().await {
            Ok(()) => self.run(&statements).await,
            Err(error) => Err(Failed { error, file: None }),
        };
        self.check_created(created, &required(datasets)).await
    }

    /// Creates the tables of differences, if they do not exist. `datasets`: with their aggregate tables.
    ///
    /// # Errors
    /// ClickHouse does not answer or rejects a statement, the names of two columns would be the same, or a table lacks a column.
    pub async fn create_differences(&self, datasets: &[Dataset]) -> Result<(), SchemaError> {
        let keyed = || datasets.iter().filter(|dataset| dataset.has_key());
        for dataset in keyed() {
            if let Some(name) = dataset.ambiguous_difference() {
                return Err(SchemaError::Column { dataset: dataset.name.clone(), name });
            }
        }
        let define = |fill: fn(&Dataset) -> String| -> Vec<Definition<'_>> {
            keyed().map(|dataset| Definition { text: fill(dataset).into(), file: None }).collect()
        };
        let created = self.run(&define(|dataset| dataset.sql(DIFFERENCES))).await;
        self.check_created(created, &define(required_differences)).await?;
        self.check_differences(datasets).await
    }

    /// Checks that what was created exists, also if this user may not create it: `required` has the same without what is checked elsewhere.
    async fn check_created(
        &self,
        created: Result<(), Failed<'_>>,
        required: &[Definition<'_>],
    ) -> Result<(), SchemaError> {
        let outcome = match created {
            Err(Failed { error, file: Some(file) }) if error.is_of_statement() => {
                return Err(SchemaError::Dataset { fault: refused(file, &error) });
            }
            Err(failed) => Err(failed.error),
            Ok(()) => Ok(()),
        };
        let outcome = match outcome {
            // A view over a table of another version names a column that the table lacks.
            Err(error) if !error.is_not_allowed() && !error.is_unknown_column() => return Err(error.into()),
            outcome => outcome,
        };
        let missing = missing(self, required).await?;
        let (is_complete, missing) = (missing.is_empty(), missing.join(", "));
        let database = self.database().to_owned();
        match (outcome, is_complete) {
            (Ok(()), true) => Ok(()),
            (Err(error), true) if error.is_not_allowed() => {
                tracing::info!("this ClickHouse user may not create tables; all required tables exist");
                Ok(())
            }
            (Err(error), true) => Err(error.into()),
            (Err(error), false) if error.is_not_allowed() => {
                Err(SchemaError::Missing { reason: error.at_start(), database, missing })
            }
            (_, false) => Err(SchemaError::OtherVersion { database, missing }),
        }
    }

    async fn create_database(&self) -> Result<(), WarehouseError> {
        let client = self.raw().clone().with_database("default");
        let statement = client.query_raw(CREATE_DATABASE).param("database", self.database());
        Ok(statement.execute().await?)
    }

    /// Runs statements, each after the one before.
    async fn run<'a>(&self, definitions: &[Definition<'a>]) -> Result<(), Failed<'a>> {
        for Definition { text, file } in definitions {
            let ran = self.query(text).execute().await;
            ran.map_err(|error| Failed { error: error.into(), file: *file })?;
        }
        Ok(())
    }
}

/// A statement that ClickHouse has not run.
struct Failed<'a> {
    error: WarehouseError,
    /// The file of a dataset that it is from.
    file: Option<&'a SqlFile>,
}

/// Returns the fault for which ClickHouse refused a statement, at the line that ClickHouse names.
fn refused(file: &SqlFile, error: &WarehouseError) -> FileFault {
    let message = error.at_start();
    let line = message.split_once("(line ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    FileFault::new(&file.path, line.unwrap_or(1), message)
}

/// A statement that creates a table or a view.
struct Definition<'a> {
    text: Cow<'a, str>,
    /// The file of a dataset that it is from.
    file: Option<&'a SqlFile>,
}

/// Returns the statements that create the tables of the engine and of the datasets, in the order in which they run. `conflicts` returns that
/// of the table of conflicts.
fn definitions(datasets: &[Dataset], conflicts: fn(&Dataset) -> String) -> Vec<Definition<'_>> {
    let shared = SHARED.into_iter().map(|text| Definition { text: text.into(), file: None });
    let own = datasets.iter().flat_map(|dataset| {
        let files = dataset.tables.iter().map(|statement| &statement.file);
        let tables = files.map(|file| Definition { text: file.text.as_str().into(), file: Some(file) });
        let conflicts = dataset.has_key().then(|| Definition { text: conflicts(dataset).into(), file: None });
        tables.chain(conflicts)
    });
    shared.chain(own).collect()
}

/// Returns the same without the columns of the schemas, which may be newer than the tables: those are checked with the statements that add
/// them.
fn required(datasets: &[Dataset]) -> Vec<Definition<'_>> {
    definitions(datasets, |dataset| dataset.template().list("field", []).list("other", []).fill(CONFLICTS))
}

/// Returns the statement of the table of differences without the columns of the schema and of the aggregate tables: likewise.
fn required_differences(dataset: &Dataset) -> String {
    let lists = ["key", "value", "all_group", "all_expected", "all_aggregated"];
    lists.iter().fold(dataset.template(), |template, list| template.list(list, [])).fill(DIFFERENCES)
}

/// Something that a statement creates.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Column(&'a str),
    /// A column whose type contains these words.
    ColumnType(&'a str, &'a str),
    /// A part with this name, and the words of it that the definition contains.
    Definition(&'a str, &'a str),
}

#[derive(Row, Deserialize)]
struct Table {
    name: String,
    definition: String,
}

/// A column of a table in the database.
#[derive(Row, Deserialize)]
pub(super) struct Column {
    pub table: String,
    pub name: String,
    pub r#type: String,
    pub is_in_sorting_key: u8,
    pub is_in_partition_key: u8,
}

/// Returns the columns of all tables of the database.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn columns(warehouse: &Warehouse) -> Result<Vec<Column>, WarehouseError> {
    Ok(warehouse.query(include_str!("../../queries/engine/start/columns.sql")).fetch_all().await?)
}

/// Returns what the statements would create but does not exist yet, such as `game_rounds.recounted`.
///
/// # Errors
/// ClickHouse does not answer, or rejects a query.
async fn missing(
    warehouse: &Warehouse,
    definitions: &[Definition<'_>],
) -> Result<Vec<String>, WarehouseError> {
    let tables =
        warehouse.query(include_str!("../../queries/engine/start/tables.sql")).fetch_all::<Table>().await?;
    let columns = columns(warehouse).await?;
    let tables: HashMap<&str, &str> =
        tables.iter().map(|table| (table.name.as_str(), table.definition.as_str())).collect();
    let columns: HashMap<(&str, &str), &str> = columns
        .iter()
        .map(|column| ((column.table.as_str(), column.name.as_str()), column.r#type.as_str()))
        .collect();
    let mut missing = Vec::new();
    for Definition { text, .. } in definitions {
        let Some((table, pieces)) = parse(text) else { continue };
        let Some(definition) = tables.get(table) else {
            missing.push(table.to_owned());
            continue;
        };
        missing.extend(pieces.iter().filter_map(|piece| match *piece {
            Piece::Column(name) => (!columns.contains_key(&(table, name))).then(|| format!("{table}.{name}")),
            Piece::ColumnType(name, kind) => {
                let is_there = columns.get(&(table, name)).is_some_and(|found| has_words(found, kind));
                (!is_there).then(|| format!("the type of {table}.{name}"))
            }
            Piece::Definition(name, text) => {
                (!has_words(definition, text)).then(|| format!("{name} of {table}"))
            }
        }));
    }
    Ok(missing)
}

/// Returns the table or view of a statement, and what the statement creates.
fn parse(statement: &str) -> Option<(&str, Vec<Piece<'_>>)> {
    let start = statement.lines().take_while(|line| line.starts_with("--")).map(|line| line.len() + 1).sum();
    let statement = statement.get(start..)?;
    if let Some(view) = statement.strip_prefix("CREATE MATERIALIZED VIEW IF NOT EXISTS ") {
        let (_, query) = view.split_once(" AS\n")?;
        return Some((first_word(view)?, vec![Piece::Definition("the query", query)]));
    }
    let table = statement.strip_prefix("CREATE TABLE IF NOT EXISTS ")?;
    Some((first_word(table)?, pieces(table).collect()))
}

/// Returns what stands between the brackets of a CREATE TABLE. Each column is on its own line.
fn pieces(statement: &str) -> impl Iterator<Item = Piece<'_>> {
    let lines =
        statement.lines().skip_while(|line| *line != "(").skip(1).take_while(|line| !line.starts_with(')'));
    let lines = lines.filter(|line| line.starts_with("    ") && !line.starts_with("     "));
    lines.filter_map(|line| {
        let (name, rest) = line.trim_start().split_once(' ')?;
        Some(match name {
            "INDEX" | "CONSTRAINT" => return None,
            "PROJECTION" => Piece::Definition(first_word(rest)?, rest),
            quoted => match rest.trim_start().strip_prefix("Enum8(").and_then(|rest| rest.split_once(')')) {
                Some((values, _)) => Piece::ColumnType(quoted.trim_matches('`'), values),
                None => Piece::Column(quoted.trim_matches('`')),
            },
        })
    })
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

/// Whether a text contains all words of `wanted`. ClickHouse may have formatted the text differently.
fn has_words(found: &str, wanted: &str) -> bool {
    let found: HashSet<&str> = words(found).collect();
    words(wanted).all(|word| found.contains(word))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::files::Origin;

    #[test]
    fn every_statement_of_the_schema_can_be_parsed() {
        let datasets: Vec<Dataset> =
            Origin::Shipped.names().unwrap().iter().map(|name| Dataset::read(name, &[]).unwrap()).collect();
        let differences =
            datasets.iter().flat_map(|dataset| [dataset.sql(DIFFERENCES), required_differences(dataset)]);
        let differences = differences.map(|text| Definition { text: text.into(), file: None });
        let all = definitions(&datasets, |dataset| dataset.sql(CONFLICTS)).into_iter().chain(differences);
        for Definition { text: statement, .. } in all {
            let (table, pieces) = parse(&statement).unwrap_or_else(|| panic!("{statement}"));
            assert!(!table.is_empty());
            let is_view = matches!(pieces[..], [Piece::Definition("the query", _)]);
            assert!(is_view || pieces.len() > 1, "{statement}");
        }
    }

    #[test]
    fn the_required_names_are_taken_from_the_statements() {
        let table = "-- Why.\nCREATE TABLE IF NOT EXISTS t\n(\n    `a`  UInt8,\n    b  String\n        CODEC(ZSTD),\n    \
                     s  Enum8('x' = 1) COMMENT 'c',\n    INDEX i a TYPE minmax,\n    PROJECTION p (SELECT * ORDER BY b)\n)\n\
                     ENGINE = MergeTree\n";
        let pieces = vec![
            Piece::Column("a"),
            Piece::Column("b"),
            Piece::ColumnType("s", "'x' = 1"),
            Piece::Definition("p", "p (SELECT * ORDER BY b)"),
        ];
        assert_eq!(parse(table), Some(("t", pieces)));
        let view = "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO t AS\nSELECT 1\n";
        assert_eq!(parse(view), Some(("v", vec![Piece::Definition("the query", "SELECT 1\n")])));
        assert!(has_words("SELECT a FROM db.t WHERE NOT b", "\nSELECT a\nFROM t\nWHERE NOT b"));
        assert!(!has_words("SELECT a FROM db.t", "SELECT a FROM t WHERE NOT b"));
    }
}
