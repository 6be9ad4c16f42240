//! Lost parts: parts of the tables that ClickHouse could not read when it started, and detached. Their rows are missing in all answers, and
//! no query reports it.

use clickhouse::Row;
use serde::Deserialize;

use super::client::{Warehouse, WarehouseError};
use crate::counted::counted;
use crate::dataset::Dataset;

const LOST: &str = include_str!("../../queries/engine/lost_parts/lost_parts.sql");
const SHORT_CHUNKS: &str = include_str!("../../queries/engine/lost_parts/short_chunks.sql");
const SETTLE: &str = include_str!("../../queries/engine/lost_parts/settle.sql");

/// The table that has the number of rows that must be stored.
pub const CHUNKS: &str = "loader_chunks";

/// A part whose rows are lost.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct LostPart {
    pub table: String,
    pub table_uuid: String,
    /// The name in `system.detached_parts`.
    pub name: String,
    /// Size on disk.
    pub bytes: u64,
}

/// Returns the lost parts that have not been restored since.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn lost_parts(warehouse: &Warehouse) -> Result<Vec<LostPart>, WarehouseError> {
    Ok(warehouse.query(LOST).fetch_all().await?)
}

impl LostPart {
    /// Records that the part's rows are restored.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn settle(&self, warehouse: &Warehouse) -> Result<(), WarehouseError> {
        let query = warehouse.query(SETTLE).param("table", &self.table);
        Ok(query.param("table_uuid", &self.table_uuid).param("part", &self.name).execute().await?)
    }
}

/// A chunk in the loader's ledger of which some rows are no longer stored.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct ShortChunk {
    pub topic: String,
    pub epoch: u32,
    pub partition: u16,
    pub first_offset: u64,
    pub last_offset: u64,
    /// Fingerprint of its last message.
    pub fingerprint: u64,
    /// Number of missing rows.
    pub missing: u64,
}

/// Returns the chunks of a dataset's topic with missing rows, in the order in which they were loaded. Reads the offsets of all stored rows. If
/// rows expire, chunks are left out that are no later than all of which rows are stored: theirs may have expired.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn short_chunks(
    warehouse: &Warehouse,
    dataset: &Dataset,
) -> Result<Vec<ShortChunk>, WarehouseError> {
    let query = warehouse.query(&dataset.sql(SHORT_CHUNKS)).param("topic", &dataset.topic);
    Ok(query.param("expires", dataset.rows_expire).fetch_all().await?)
}

/// Rows of a dataset that are in the ledger but not in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRows {
    /// The row table.
    pub table: String,
    /// How its rows are called.
    pub word: &'static str,
    /// How many there are. None if unknown.
    pub rows: Option<u64>,
}

/// What is lost, according to the last check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostParts {
    /// Whether ClickHouse has answered the check.
    pub is_known: bool,
    pub parts: Vec<LostPart>,
    /// For each dataset whose row table has lost parts.
    pub missing: Vec<MissingRows>,
}

/// How many parts the reason names.
const NAMED_PARTS: usize = 3;

impl LostParts {
    /// Whether it is known that nothing is lost.
    pub fn is_whole(&self) -> bool {
        self.is_known && self.parts.is_empty()
    }

    /// Whether the ledger confirms that no row is missing in a row table. It cannot confirm that if parts of the ledger itself are lost.
    pub fn has_all_rows(&self, table: &str) -> bool {
        let is_complete = |missing: &MissingRows| missing.table != table || missing.rows == Some(0);
        self.missing.iter().all(is_complete) && self.parts.iter().all(|part| part.table != CHUNKS)
    }

    /// Whether a table of a dataset has lost parts, so that its aggregates may be incomplete.
    pub fn affects(&self, dataset: &Dataset) -> bool {
        self.parts.iter().any(|part| dataset.has_table(&part.table))
    }

    /// Returns a text that names what is lost.
    pub fn reason(&self) -> String {
        let named: Vec<String> = self
            .parts
            .iter()
            .take(NAMED_PARTS)
            .map(|LostPart { table, name, bytes, .. }| {
                format!("{name} of {table} ({})", counted(*bytes, "byte"))
            })
            .collect();
        let more = match self.parts.len().saturating_sub(NAMED_PARTS) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let missing = self.missing.iter().filter_map(|missing| {
            let rows = missing.rows.filter(|rows| *rows > 0)?;
            Some(format!("{} of {}", counted(rows, missing.word), missing.table))
        });
        let missing: Vec<String> = missing.collect();
        let missing = match missing.is_empty() {
            true => String::new(),
            false => format!("; missing: {}", missing.join(", ")),
        };
        format!(
            "ClickHouse cannot read some parts of tables and has detached them: {}{more}{missing}",
            named.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_table_part_size_and_missing_rows() {
        let part = |name: &str| LostPart {
            table: "hourly_aggregates".to_owned(),
            table_uuid: String::new(),
            name: name.to_owned(),
            bytes: 12,
        };
        let parts = ["a", "b", "c", "d"].map(part).to_vec();
        let of = |table: &str, word, rows| MissingRows { table: table.to_owned(), word, rows };
        let missing = vec![
            of("game_rounds", "round", Some(990)),
            of("steps", "row", Some(0)),
            of("prices", "row", Some(1)),
        ];
        let lost = LostParts { is_known: true, parts, missing };
        assert_eq!(
            lost.reason(),
            "ClickHouse cannot read some parts of tables and has detached them: a of hourly_aggregates (12 bytes), b of \
             hourly_aggregates (12 bytes), c of hourly_aggregates (12 bytes), and 1 more; missing: 990 rounds of game_rounds, 1 row of prices"
        );
    }
}
