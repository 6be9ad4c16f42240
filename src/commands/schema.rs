//! The columns of a row: the built-in ones, or those of `--schema`. Checks that the tables have them.

use std::path::Path;

use clickhouse::Row;
use serde::Deserialize;

use super::CommandError;
use crate::domain::columns::Columns;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::row_binary::column_type;

/// The schema without `--schema`.
const BETS_SCHEMA: &str = include_str!("../../schemas/bets.avsc");

/// Tables that hold rows.
const TABLES: [&str; 2] = ["game_rounds", "conflicts"];

/// An Avro schema of rows.
pub(super) struct RowSchema {
    /// The text that is registered.
    pub text: String,
    pub columns: Columns,
    /// The columns that queries and tables name.
    pub built_in: Columns,
}

#[derive(Row, Deserialize)]
struct TableColumn {
    name: String,
    r#type: String,
}

impl RowSchema {
    /// Reads the file, or returns the built-in schema.
    ///
    /// # Errors
    /// The file cannot be read, is not a schema of rows, or lacks a built-in column.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, CommandError> {
        let wrong = |error: &dyn std::fmt::Display| match path {
            Some(path) => CommandError::usage(format!("--schema {}: {error}", path.display())),
            None => CommandError::failed(error.to_string()),
        };
        let text = match path {
            Some(path) => std::fs::read_to_string(path).map_err(|error| wrong(&error))?,
            None => BETS_SCHEMA.to_owned(),
        };
        let columns = Columns::parse(&text).map_err(|error| wrong(&error))?;
        let built_in = Columns::parse(BETS_SCHEMA).map_err(|error| wrong(&error))?;
        columns.single_key().map_err(|error| wrong(&error))?;
        check(&columns, &built_in).map_err(|error| wrong(&error))?;
        Ok(Self { text, columns, built_in })
    }

    /// Returns the statements that the tables need before they can hold these rows. None if they can.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn missing_in_tables(
        &self,
        warehouse: &Warehouse,
        database: &str,
    ) -> Result<Option<String>, WarehouseError> {
        let mut statements = Vec::new();
        for table in TABLES {
            let query = warehouse.query(include_str!("../../queries/engine/start/table_columns.sql"));
            let found: Vec<TableColumn> = query.param("table", table).fetch_all().await?;
            for column in self.columns.iter() {
                let kind = column_type(column);
                match found.iter().find(|there| there.name == column.name) {
                    None => statements
                        .push(format!("ALTER TABLE {database}.{table} ADD COLUMN {} {kind}", column.name)),
                    Some(there) if table == "game_rounds" && !is_same_type(&there.r#type, &kind) => {
                        statements.push(format!(
                            "ALTER TABLE {database}.{table} MODIFY COLUMN {} {kind} (it is {})",
                            column.name, there.r#type
                        ))
                    }
                    Some(_) => {}
                }
            }
        }
        Ok((!statements.is_empty()).then(|| {
            format!(
                "the tables lack columns of the schema; run these statements first: {}",
                statements.join("; ")
            )
        }))
    }
}

fn check(columns: &Columns, built_in: &Columns) -> Result<(), String> {
    for column in built_in.iter() {
        match columns.iter().find(|found| found.name == column.name) {
            None => return Err(format!("it lacks the built-in column {}", column.name)),
            Some(found) if column_type(found) != column_type(column) => {
                return Err(format!("the built-in column {} has another type", column.name));
            }
            Some(_) => {}
        }
    }
    let required =
        columns.iter().find(|column| !column.is_nullable() && built_in.position(&column.name).is_none());
    match required {
        Some(column) => {
            Err(format!("the column {} must be nullable, because stored rounds do not have it", column.name))
        }
        None => Ok(()),
    }
}

/// Whether values of two types have the same bytes.
fn is_same_type(found: &str, wanted: &str) -> bool {
    let plain = found.strip_prefix("LowCardinality(").and_then(|rest| rest.strip_suffix(')'));
    plain.unwrap_or(found) == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl Fn(&str) -> String) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), change(BETS_SCHEMA)).unwrap();
        match RowSchema::read(Some(file.path())) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.message.unwrap_or_default(),
        }
    }

    #[test]
    fn a_schema_that_queries_cannot_use_is_refused() {
        assert_eq!(refusal(str::to_owned), "accepted");
        assert!(refusal(|_| "{}".to_owned()).contains("not an Avro schema"));
        assert!(
            refusal(|text| text.replace("bonus_amount_win", "x"))
                .contains("lacks the built-in column bonus_amount_win")
        );
        assert!(refusal(|text| text.replace("\"scale\": 8", "\"scale\": 6")).contains("has another type"));
        let required = r#""fields": [ { "name": "channel", "type": "string" },"#;
        assert!(
            refusal(|text| text.replace("\"fields\": [", required))
                .contains("the column channel must be nullable")
        );
    }
}
