//! Inboxes: the only way into the tables that the loader writes. ClickHouse accepts rows from the holder of the lease only.
//!
//! An inbox is a table with the engine Null, and a view on it. Each row names the generation of its lease ([`super::lease`]). The view
//! runs when ClickHouse has received the whole block, and either passes it on or fails the insert. The block's deduplication token is
//! passed on too.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::LoaderError;
use crate::warehouse::client::{Warehouse, WarehouseError};

const CREATE: [&str; 2] = [
    include_str!("../../queries/engine/loader/create_inbox.sql"),
    include_str!("../../queries/engine/loader/create_inbox_view.sql"),
];

/// An inbox for some columns of a table. The rows end with the generation, as a UInt32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inbox {
    table: String,
    /// In backquotes.
    columns: String,
    name: String,
}

impl Inbox {
    /// `columns`: their names, separated by a comma and a space.
    pub(super) fn new(table: impl Into<String>, columns: &str) -> Self {
        let table = table.into();
        // Other columns get another inbox. An existing one is never changed: while it has no view, inserted rows would be lost.
        let digest = Sha256::digest(columns.as_bytes());
        let name =
            digest.iter().take(4).fold(format!("{table}_inbox_"), |name, byte| format!("{name}{byte:02x}"));
        // A name may be a keyword of SQL.
        let columns = columns.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Self { table, columns, name }
    }

    /// Returns the names of its table and its view.
    fn names(&self) -> [String; 2] {
        [self.name.clone(), format!("{}_view", self.name)]
    }

    async fn create(&self, warehouse: &Warehouse) -> Result<(), LoaderError> {
        for sql in CREATE {
            let sql = sql
                .replace("/* inbox */", &self.name)
                .replace("/* table */", &self.table)
                .replace("/* columns */", &self.columns);
            warehouse.query(&sql).execute().await.map_err(WarehouseError::from)?;
        }
        Ok(())
    }

    /// Returns the statement that inserts rows in RowBinary.
    pub(super) fn insert(&self) -> String {
        format!("INSERT INTO {} ({}, generation) FORMAT RowBinary", self.name, self.columns)
    }

    /// Returns the statement that inserts rows in the Native format.
    pub(super) fn insert_native(&self) -> String {
        format!("INSERT INTO {} ({}, generation) FORMAT Native", self.name, self.columns)
    }
}

/// Creates the inboxes that do not exist. If all exist, the ClickHouse user needs no CREATE privilege.
///
/// # Errors
/// ClickHouse does not answer, or rejects the statement.
pub(super) async fn create_missing(warehouse: &Warehouse, inboxes: &[Inbox]) -> Result<(), LoaderError> {
    let names: Vec<String> = inboxes.iter().flat_map(Inbox::names).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let existing = existing(warehouse, &names).await?;
    for inbox in inboxes.iter().filter(|inbox| inbox.names().iter().any(|name| !existing.contains(name))) {
        inbox.create(warehouse).await?;
    }
    Ok(())
}

/// Returns those of the given tables and views that exist.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn existing(warehouse: &Warehouse, names: &[&str]) -> Result<HashSet<String>, LoaderError> {
    let query =
        warehouse.query(include_str!("../../queries/engine/loader/existing.sql")).param("names", names);
    let names: Vec<String> = query.fetch_all().await.map_err(WarehouseError::from)?;
    Ok(names.into_iter().collect())
}
