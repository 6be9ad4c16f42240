//! The way into the tables that the loader writes: only the holder of the lease gets through.
//!
//! An inbox is a table with the engine Null and a view. Each row that is sent names its generation ([`super::lease`]). The view runs
//! when ClickHouse has the whole block, and either passes it on or fails the insert. Tokens of blocks are handed on with them.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::LoaderError;
use crate::warehouse::client::{Warehouse, WarehouseError};

const CREATE: [&str; 2] = [
    include_str!("../../queries/loader/create_inbox.sql"),
    include_str!("../../queries/loader/create_inbox_view.sql"),
];

/// Some columns of a table, as the loader sends them. The generation comes after them, as a UInt32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inbox {
    table: &'static str,
    columns: String,
    name: String,
}

impl Inbox {
    /// `columns`: their names, separated by commas.
    pub(super) fn new(table: &'static str, columns: impl Into<String>) -> Self {
        let columns = columns.into();
        // Other columns need another inbox. One is never changed: for a moment it would have no view, and what is sent then be lost.
        let digest = Sha256::digest(columns.as_bytes());
        let name =
            digest.iter().take(4).fold(format!("{table}_inbox_"), |name, byte| format!("{name}{byte:02x}"));
        Self { table, columns, name }
    }

    /// Its table and its view.
    fn names(&self) -> [String; 2] {
        [self.name.clone(), format!("{}_view", self.name)]
    }

    async fn create(&self, warehouse: &Warehouse) -> Result<(), LoaderError> {
        for sql in CREATE {
            let sql = sql
                .replace("/* inbox */", &self.name)
                .replace("/* table */", self.table)
                .replace("/* columns */", &self.columns);
            warehouse.query(&sql).execute().await.map_err(WarehouseError::from)?;
        }
        Ok(())
    }

    /// The statement that inserts rows in RowBinary.
    pub(super) fn insert(&self) -> String {
        format!("INSERT INTO {} ({}, generation) FORMAT RowBinary", self.name, self.columns)
    }
}

/// Creates the inboxes that do not exist. Where all exist, this user need not be allowed to create any.
///
/// # Errors
/// ClickHouse does not answer, or refuses.
pub(super) async fn create_missing(warehouse: &Warehouse, inboxes: &[Inbox]) -> Result<(), LoaderError> {
    let names: Vec<String> = inboxes.iter().flat_map(Inbox::names).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let existing = existing(warehouse, &names).await?;
    for inbox in inboxes.iter().filter(|inbox| inbox.names().iter().any(|name| !existing.contains(name))) {
        inbox.create(warehouse).await?;
    }
    Ok(())
}

/// Returns which of some tables and views exist.
///
/// # Errors
/// ClickHouse does not answer.
pub(super) async fn existing(warehouse: &Warehouse, names: &[&str]) -> Result<HashSet<String>, LoaderError> {
    let query = warehouse.query(include_str!("../../queries/loader/existing.sql")).param("names", names);
    let names: Vec<String> = query.fetch_all().await.map_err(WarehouseError::from)?;
    Ok(names.into_iter().collect())
}
