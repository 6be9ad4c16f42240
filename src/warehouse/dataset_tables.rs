//! The tables of datasets as ClickHouse has created them: whether the loader can write them, and keep them exact.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use super::client::{Warehouse, WarehouseError};
use super::native::Other;
use super::origin::origin_columns;
use super::schema::{self, Column, SchemaError};
use crate::dataset::Dataset;
use crate::dataset::aggregates::{AggregateError, AggregateTable, TableColumn};
use crate::dataset::fault::FileFault;
use crate::dataset::latest::Latest;
use crate::dataset::statement::{Statement, View};
use crate::dataset::template::Item;
use crate::dataset::types::{column_type, is_same_type};
use crate::domain::columns;

#[derive(Row, Deserialize)]
struct Engine {
    name: String,
    engine: String,
    expires: u8,
    deduplicates: u8,
}

impl Warehouse {
    /// Returns the datasets with what ClickHouse says about the types of their aggregate tables.
    ///
    /// # Errors
    /// ClickHouse does not answer, a row table lacks a column, or an aggregate table cannot be kept exact.
    pub async fn learn_aggregates(&self, datasets: &[Dataset]) -> Result<Vec<Dataset>, SchemaError> {
        let columns = schema::columns(self).await?;
        let engines =
            self.query(include_str!("../../queries/engine/start/engines.sql")).fetch_all::<Engine>();
        let engines = engines.await.map_err(WarehouseError::from)?;
        let database = self.database();
        let learn = |dataset| Tables { columns: &columns, engines: &engines, dataset, database }.learn();
        let mut learned: Vec<Dataset> = datasets.iter().map(learn).collect::<Result<_, _>>()?;
        for dataset in learned.iter_mut().filter(|dataset| dataset.has_key()) {
            let fields =
                dataset.sql("(SELECT /* each field: `$name`, */ false AS recounted FROM /* table */)");
            for table in &mut dataset.aggregates {
                table.is_of_fields = self.can_run(&table.query_from(&fields)).await?;
            }
        }
        Ok(learned)
    }

    /// Whether a query names only what exists.
    async fn can_run(&self, query: &str) -> Result<bool, WarehouseError> {
        match self.query(&format!("DESCRIBE TABLE ({query})")).execute().await.map_err(WarehouseError::from) {
            Ok(()) => Ok(true),
            Err(error) if error.is_unknown_column() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Checks that the tables of differences have all columns. `datasets`: with their aggregate tables.
    ///
    /// # Errors
    /// ClickHouse does not answer, or one lacks a column.
    pub(super) async fn check_differences(&self, datasets: &[Dataset]) -> Result<(), SchemaError> {
        let (columns, database) = (schema::columns(self).await?, self.database());
        let missing =
            |dataset| Tables { columns: &columns, engines: &[], dataset, database }.missing_differences();
        lacking(&datasets.iter().flat_map(missing).collect::<Vec<_>>())
    }
}

/// Says which statements must be run before the tables can be used.
fn lacking(statements: &[String]) -> Result<(), SchemaError> {
    match statements {
        [] => Ok(()),
        _ => Err(SchemaError::Lacks { statements: statements.join("; ") }),
    }
}

/// What ClickHouse knows about the tables of a dataset.
struct Tables<'a> {
    columns: &'a [Column],
    engines: &'a [Engine],
    dataset: &'a Dataset,
    database: &'a str,
}

impl Tables<'_> {
    fn learn(&self) -> Result<Dataset, SchemaError> {
        self.check_columns()?;
        self.check_origin()?;
        self.check_latest()?;
        self.check_deduplication(&self.dataset.table)?;
        let views = self.dataset.tables.iter().filter_map(|statement| Some((statement, statement.view()?)));
        let aggregates =
            views.map(|(statement, view)| self.aggregate(statement, view)).collect::<Result<_, _>>()?;
        let (rows_expire, is_ordered_by_values) = (self.rows_expire(), self.is_ordered_by_values());
        Ok(Dataset { aggregates, rows_expire, is_ordered_by_values, ..self.dataset.clone() })
    }

    fn of(&self, table: &str) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(move |column| column.table == table)
    }

    fn engine(&self, table: &str) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.name == table)
    }

    /// Checks that the tables have the columns of the schema.
    fn check_columns(&self) -> Result<(), SchemaError> {
        let mut statements = Vec::new();
        let conflicts = self.dataset.has_key().then_some(&self.dataset.conflicts);
        for table in std::iter::once(&self.dataset.table).chain(conflicts) {
            let found: HashMap<&str, &str> =
                self.of(table).map(|column| (column.name.as_str(), column.r#type.as_str())).collect();
            let alter = format!("ALTER TABLE {}.{table}", self.database);
            // A row in conflict has the values that were sent. The columns for its upload and line are always called the same.
            let is_wanted = |column: &&columns::Column| {
                *table == self.dataset.table || column.is_field() || column.is_other()
            };
            for column in self.dataset.columns.iter().filter(is_wanted) {
                let (name, kind) = (&column.name, column_type(column));
                match found.get(name.as_str()) {
                    None => statements.push(format!("{alter} ADD COLUMN {name} {kind}")),
                    Some(there) if *table == self.dataset.table && !is_same_type(there, &kind) => {
                        statements.push(format!("{alter} MODIFY COLUMN {name} {kind} (it is {there})"));
                    }
                    Some(_) => {}
                }
            }
        }
        statements.extend(self.missing_differences());
        lacking(&statements)
    }

    /// Returns the statements that add the columns that the table of differences lacks. If it does not exist yet, it will be created with all.
    fn missing_differences(&self) -> Vec<String> {
        let table = &self.dataset.differences;
        let found: Vec<&str> = self.of(table).map(|column| column.name.as_str()).collect();
        if found.is_empty() || !self.dataset.has_key() {
            return Vec::new();
        }
        let missing = self.dataset.optional_differences().filter(|item| !found.contains(&item.name.as_str()));
        let add =
            |Item { name, kind }| format!("ALTER TABLE {}.{table} ADD COLUMN {name} {kind}", self.database);
        missing.map(add).collect()
    }

    fn rows_expire(&self) -> bool {
        self.engine(&self.dataset.table).is_some_and(|engine| engine.expires != 0)
    }

    fn is_ordered_by_values(&self) -> bool {
        let columns = &self.dataset.columns;
        let key = columns.key().unwrap_or_default();
        let is_key =
            |name: &str| key.iter().any(|&at| columns.get(at).is_some_and(|column| column.name == name));
        let is_fixed = |column: &&Column| column.is_in_sorting_key != 0 || column.is_in_partition_key != 0;
        self.of(&self.dataset.table).filter(is_fixed).any(|column| !is_key(&column.name))
    }

    /// Checks that the row table has the columns that say where a row comes from. Those of the schema were checked before.
    fn check_origin(&self) -> Result<(), SchemaError> {
        let table = &self.dataset.table;
        for Other { name, kind, .. } in origin_columns(self.dataset) {
            let message = match self.of(table).find(|column| column.name == name) {
                Some(column) if is_same_type(&column.r#type, kind) => continue,
                Some(column) => {
                    format!(
                        "the column {name} of {table} must have the type {kind}; it has {}",
                        column.r#type
                    )
                }
                None => format!("the table {table} needs the column {name} {kind}"),
            };
            return Err(SchemaError::Dataset { fault: self.fault(table, name, message) });
        }
        Ok(())
    }

    /// Checks that the table of `[latest]` has all columns of a row, and says where it was in Kafka.
    fn check_latest(&self) -> Result<(), SchemaError> {
        let Some(Latest { table, .. }) = &self.dataset.latest else { return Ok(()) };
        let columns = &self.dataset.columns;
        let wanted = columns.iter().map(|column| (column.name.as_str(), column_type(column)));
        let origin = origin_columns(self.dataset).map(|other| (other.name, other.kind.to_owned()));
        let is_there = |name: &str| self.of(table).any(|column| column.name == name);
        match wanted.chain(origin).find(|(name, _)| !is_there(name)) {
            None => Ok(()),
            Some((name, kind)) => {
                let message = format!(
                    "the table {table} of [latest] needs the column {name} {kind}; add it here and to the view that fills the table, and drop \
                     both so that they are created again"
                );
                Err(SchemaError::Dataset { fault: self.fault(table, "ENGINE", message) })
            }
        }
    }

    /// Checks that a table stores a block with the same token once.
    fn check_deduplication(&self, table: &str) -> Result<(), SchemaError> {
        if self.engine(table).is_some_and(|engine| engine.deduplicates != 0) {
            return Ok(());
        }
        let message = format!(
            "the table {table} would store a block twice that is sent again; add SETTINGS non_replicated_deduplication_window = 1000"
        );
        Err(SchemaError::Dataset { fault: self.fault(table, "ENGINE", message) })
    }

    fn aggregate(&self, statement: &Statement, view: &View) -> Result<AggregateTable, SchemaError> {
        self.check_deduplication(&view.target)?;
        let columns: Vec<TableColumn> = self.of(&view.target).map(TableColumn::from).collect();
        let returned: Vec<String> = self.of(&statement.name).map(|column| column.name.clone()).collect();
        let engine = self.engine(&view.target).map_or("", |engine| engine.engine.as_str());
        let made = AggregateTable::new(&statement.name, view, engine, &columns, &returned);
        let made = made.and_then(|made| {
            if self.rows_expire() { made.of_expiring_rows(&self.dataset.table) } else { Ok(made) }
        });
        made.map_err(|error| {
            let word = match &error {
                AggregateError::Column { column, .. } | AggregateError::Expires { column, .. } => {
                    column.as_str()
                }
                _ => "ENGINE",
            };
            SchemaError::Dataset { fault: self.fault(&view.target, word, error.to_string()) }
        })
    }

    /// Returns the fault at a word in the statement that creates a table.
    fn fault(&self, table: &str, word: &str, message: String) -> FileFault {
        let statement = self.dataset.tables.iter().find(|statement| statement.name == table);
        let Some(file) = statement.map(|statement| &statement.file) else {
            return FileFault::new(table, 1, message);
        };
        FileFault::at(&file.path, &file.text, file.text.find(word).unwrap_or(0), message)
    }
}

impl From<&Column> for TableColumn {
    fn from(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            kind: column.r#type.clone(),
            is_in_order: column.is_in_sorting_key != 0,
        }
    }
}
