//! `[latest]` in `dataset.toml`: which rows a server keeps in memory.

use std::collections::HashSet;

use serde::Deserialize;
use toml::Spanned;

use super::Here;
use super::fault::FileFault;
use super::statement::Statement;
use crate::domain::columns::{Column, Columns, Kind, Source};

/// The last row of each key is kept. The last one has the highest values in the columns of `order`; of two with the same values, it is the
/// one with the higher epoch, offset and partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Indexes of the columns that identify what a row is about.
    pub key: Vec<usize>,
    /// Indexes of the columns that say which of two rows is later.
    pub order: Vec<usize>,
    /// The table from which the rows are read when the server starts.
    pub table: String,
}

/// The section as it is in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    key: Vec<Spanned<String>>,
    order: Vec<Spanned<String>>,
    /// Default: the table of the rows.
    table: Option<Spanned<String>>,
}

impl Latest {
    /// `tables`: the statements of the dataset, `rows`: the table of its rows.
    ///
    /// # Errors
    /// A column or the table does not exist or cannot be used so, or the dataset has a key.
    pub(super) fn read(
        section: &Spanned<Section>,
        here: &Here<'_>,
        tables: &[Statement],
        rows: &str,
    ) -> Result<Self, FileFault> {
        let at_section = |message: &str| here.fault_at(section.span().start, message.to_owned());
        if here.columns.key().is_some() {
            return Err(at_section(
                "a dataset with a key cannot have [latest]: a repair changes or removes its rows in ClickHouse, and the topic does not show \
                 that; remove the section, and use cache: 1s in the endpoint",
            ));
        }
        let Section { key, order, table } = section.get_ref();
        if key.is_empty() || order.is_empty() {
            return Err(at_section("key and order of [latest] need at least one column each; name them"));
        }
        let indexes = (here.columns(key)?, here.columns(order)?);
        let mut named = HashSet::new();
        for (name, index) in key.iter().chain(order).zip(indexes.0.iter().chain(&indexes.1)) {
            if !named.insert(index) {
                let message =
                    format!("the column {} is named twice in [latest]; name it once", name.get_ref());
                return Err(here.fault(name, message));
            }
        }
        check(here, key, &indexes.0, key_fault)?;
        check(here, order, &indexes.1, order_fault)?;
        let table = match table {
            None => rows.to_owned(),
            Some(table) if tables.iter().any(|one| one.view().is_none() && one.name == *table.get_ref()) => {
                table.get_ref().clone()
            }
            Some(table) => {
                let message = format!(
                    "no statement in the folder tables creates the table {:?}; add it, or name another one",
                    table.get_ref()
                );
                return Err(here.fault(table, message));
            }
        };
        Ok(Self { key: indexes.0, order: indexes.1, table })
    }

    /// Returns the indexes of the columns that are not in the key, in the order of the schema.
    pub fn rest(&self, columns: &Columns) -> Vec<usize> {
        (0..columns.len()).filter(|index| !self.key.contains(index)).collect()
    }
}

fn check(
    here: &Here<'_>,
    names: &[Spanned<String>],
    indexes: &[usize],
    fault: fn(&Column) -> Option<&'static str>,
) -> Result<(), FileFault> {
    let columns =
        names.iter().zip(indexes).filter_map(|(name, index)| Some((name, here.columns.get(*index)?)));
    for (name, column) in columns {
        if let Some(fault) = fault(column) {
            return Err(here.fault(name, format!("the column {} {fault}", column.name)));
        }
    }
    Ok(())
}

fn key_fault(column: &Column) -> Option<&'static str> {
    if column.is_nullable() {
        return Some("may be null, so it identifies nothing; use a required column in the key of [latest]");
    }
    match column.kind {
        Kind::Double => {
            Some("is a double, which has no exact equality; use another column in the key of [latest]")
        }
        _ if column.source != Source::Field => {
            Some("is filled in by the server and differs for each row; use a field in the key of [latest]")
        }
        _ => None,
    }
}

fn order_fault(column: &Column) -> Option<&'static str> {
    if column.is_nullable() {
        return Some(
            "may be null, which is neither earlier nor later; use a required column in the order of [latest]",
        );
    }
    match column.kind {
        Kind::Int
        | Kind::Long { .. }
        | Kind::Timestamp
        | Kind::TimestampMicros
        | Kind::Date
        | Kind::Decimal { .. } => None,
        _ => Some("has no order in time; use a number, a date or a time in the order of [latest]"),
    }
}
