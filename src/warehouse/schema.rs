//! Checks that the tables exist, for a user who may not create them.
//!
//! What must exist is taken from the statements in `queries/schema`: the names of tables, views, columns and projections, and the words of
//! what a later statement changes.

use std::collections::{HashMap, HashSet};

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::client::WarehouseError;

/// Something that a statement creates or changes.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Table,
    Column(&'a str),
    /// A column whose type contains these words.
    ColumnType(&'a str, &'a str),
    /// A definition that contains these words.
    Definition(&'a str),
}

#[derive(Row, Deserialize)]
struct Table {
    name: String,
    definition: String,
}

#[derive(Row, Deserialize)]
struct Column {
    table: String,
    name: String,
    r#type: String,
}

/// Returns what the statements would create but does not exist yet, such as `game_rounds.recounted`.
///
/// # Errors
/// ClickHouse does not answer, or rejects a query.
pub(super) async fn missing(client: &Client, statements: &[&str]) -> Result<Vec<String>, WarehouseError> {
    let tables =
        client.query_raw(include_str!("../../queries/start/tables.sql")).fetch_all::<Table>().await?;
    let columns =
        client.query_raw(include_str!("../../queries/start/columns.sql")).fetch_all::<Column>().await?;
    let tables: HashMap<&str, &str> =
        tables.iter().map(|table| (table.name.as_str(), table.definition.as_str())).collect();
    let columns: HashMap<(&str, &str), &str> = columns
        .iter()
        .map(|column| ((column.table.as_str(), column.name.as_str()), column.r#type.as_str()))
        .collect();
    let mut missing = Vec::new();
    for statement in statements {
        let Some((table, pieces)) = parse(statement) else { continue };
        let Some(definition) = tables.get(table) else {
            missing.push(table.to_owned());
            continue;
        };
        missing.extend(pieces.iter().filter_map(|piece| match *piece {
            Piece::Table => None,
            Piece::Column(name) => (!columns.contains_key(&(table, name))).then(|| format!("{table}.{name}")),
            Piece::ColumnType(name, kind) => {
                let is_there = columns.get(&(table, name)).is_some_and(|found| has_words(found, kind));
                (!is_there).then(|| format!("the type of {table}.{name}"))
            }
            Piece::Definition(text) => (!has_words(definition, text)).then(|| format!("a change of {table}")),
        }));
    }
    missing.dedup();
    Ok(missing)
}

/// Returns the table of a statement, and what the statement creates or changes in it.
fn parse(statement: &str) -> Option<(&str, Vec<Piece<'_>>)> {
    let start = statement.lines().take_while(|line| line.starts_with("--")).map(|line| line.len() + 1).sum();
    let statement = statement.get(start..)?;
    let created = ["CREATE TABLE IF NOT EXISTS ", "CREATE MATERIALIZED VIEW IF NOT EXISTS "];
    if let Some(rest) = created.iter().find_map(|start| statement.strip_prefix(start)) {
        let mut pieces = vec![Piece::Table];
        pieces.extend(columns(rest).map(Piece::Column));
        return Some((first_word(rest)?, pieces));
    }
    let rest = statement.strip_prefix("ALTER TABLE ")?;
    let table = first_word(rest)?;
    let changes = rest.get(table.len()..)?;
    if let Some((_, query)) = changes.split_once("MODIFY QUERY") {
        return Some((table, vec![Piece::Definition(query)]));
    }
    let added = after(changes, "ADD COLUMN IF NOT EXISTS ").filter_map(first_word).map(Piece::Column);
    let projections = after(changes, "ADD PROJECTION IF NOT EXISTS ").map(first_line).map(Piece::Definition);
    let modified = after(changes, "MODIFY COLUMN ").filter_map(|rest| {
        let name = first_word(rest)?;
        Some(Piece::ColumnType(name, first_line(rest.get(name.len()..)?)))
    });
    Some((table, added.chain(projections).chain(modified).collect()))
}

/// Returns the column names in a CREATE TABLE. Each column is on its own line.
fn columns(statement: &str) -> impl Iterator<Item = &str> {
    let lines =
        statement.lines().skip_while(|line| *line != "(").skip(1).take_while(|line| !line.starts_with(')'));
    let names =
        lines.filter(|line| line.starts_with("    ") && !line.starts_with("     ")).filter_map(first_word);
    names.filter(|name| !matches!(*name, "INDEX" | "PROJECTION" | "CONSTRAINT"))
}

/// Returns the text after each occurrence of a keyword.
fn after<'a>(text: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(keyword).filter_map(|(at, _)| text.get(at + keyword.len()..))
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
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
    use super::super::client::SCHEMA;
    use super::*;

    #[test]
    fn every_statement_of_the_schema_can_be_parsed() {
        for statement in SCHEMA {
            let (table, pieces) = parse(statement).unwrap_or_else(|| panic!("{statement}"));
            assert!(!table.is_empty());
            // A changed table setting affects speed only, so it is not checked.
            assert!(!pieces.is_empty() || statement.contains("MODIFY SETTING"), "{statement}");
        }
    }

    #[test]
    fn the_required_names_are_taken_from_the_statements() {
        let created = "-- Why.\nCREATE TABLE IF NOT EXISTS t\n(\n    a  UInt8,\n    b  String\n        CODEC(ZSTD),\n    INDEX i a TYPE minmax\n)\nENGINE = MergeTree\n";
        assert_eq!(parse(created), Some(("t", vec![Piece::Table, Piece::Column("a"), Piece::Column("b")])));
        let altered = "ALTER TABLE t\n    MODIFY COLUMN s Enum8('x' = 1),\n    ADD COLUMN IF NOT EXISTS c String AFTER a";
        let pieces = vec![Piece::Column("c"), Piece::ColumnType("s", " Enum8('x' = 1),")];
        assert_eq!(parse(altered), Some(("t", pieces)));
        assert!(has_words("SELECT a FROM db.t WHERE NOT b", "\nSELECT a\nFROM t\nWHERE NOT b"));
        assert!(!has_words("SELECT a FROM db.t", "SELECT a FROM t WHERE NOT b"));
    }
}
