//! Parts of our tables that ClickHouse could not read at its start and has set aside: their rows are in no answer any more, and no
//! query says so.

use clickhouse::Row;
use serde::Deserialize;

use super::client::{Warehouse, WarehouseError};

const LOST: &str = include_str!("../../queries/lost_parts/lost_parts.sql");
const SHORT_CHUNKS: &str = include_str!("../../queries/lost_parts/short_chunks.sql");
const SETTLE: &str = include_str!("../../queries/lost_parts/settle.sql");

/// The tables whose parts can be rebuilt.
pub const ROUNDS: &str = "game_rounds";
pub const HOURS: &str = "hourly_aggregates";

/// The table that says how many rounds must be stored.
pub const CHUNKS: &str = "loader_chunks";

/// A part whose rows are gone.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct LostPart {
    pub table: String,
    pub table_uuid: String,
    /// As in `system.detached_parts`.
    pub name: String,
    /// On disk.
    pub bytes: u64,
}

/// Returns the parts that are lost, and not brought back since.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn lost_parts(warehouse: &Warehouse) -> Result<Vec<LostPart>, WarehouseError> {
    Ok(warehouse.query(LOST).fetch_all().await?)
}

impl LostPart {
    /// Notes that its rows are there again.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn settle(&self, warehouse: &Warehouse) -> Result<(), WarehouseError> {
        let query = warehouse.query(SETTLE).param("table", &self.table);
        Ok(query.param("table_uuid", &self.table_uuid).param("part", &self.name).execute().await?)
    }
}

/// A chunk of the loader's ledger of which rounds are not stored any more.
#[derive(Clone, Debug, Row, Deserialize)]
pub struct ShortChunk {
    pub topic: String,
    pub epoch: u32,
    pub partition: u16,
    pub first_offset: u64,
    pub last_offset: u64,
    /// Of its last message.
    pub fingerprint: u64,
    /// How many rounds.
    pub missing: u64,
}

/// Returns the chunks of all topics of rounds of which rounds are missing, in the order in which they were loaded. Reads the offsets of
/// all rounds.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn short_chunks(warehouse: &Warehouse) -> Result<Vec<ShortChunk>, WarehouseError> {
    Ok(warehouse.query(SHORT_CHUNKS).fetch_all().await?)
}

/// What is lost, as of the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostParts {
    /// ClickHouse has said so.
    pub is_known: bool,
    pub parts: Vec<LostPart>,
    /// Rounds that the ledger has and the table has not; none where that is not known.
    pub missing_rounds: Option<u64>,
}

/// How many parts a reason names.
const NAMED_PARTS: usize = 3;

impl LostParts {
    /// Whether nothing is lost, for all that is known.
    pub fn is_whole(&self) -> bool {
        self.is_known && self.parts.is_empty()
    }

    /// Whether the ledger says that no round is missing: it does not say it if parts of it are lost too.
    pub fn has_all_rounds(&self) -> bool {
        self.missing_rounds == Some(0) && self.parts.iter().all(|part| part.table != CHUNKS)
    }

    /// Whether hourly aggregates may lack rounds.
    pub fn affects_hours(&self) -> bool {
        self.parts.iter().any(|part| part.table == ROUNDS || part.table == HOURS)
    }

    /// Says what is lost.
    pub fn reason(&self) -> String {
        let named: Vec<String> = self
            .parts
            .iter()
            .take(NAMED_PARTS)
            .map(|LostPart { table, name, bytes, .. }| format!("{name} of {table} ({bytes} bytes)"))
            .collect();
        let more = match self.parts.len().saturating_sub(NAMED_PARTS) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let rounds = match self.missing_rounds {
            None | Some(0) => String::new(),
            Some(missing) => format!("; {missing} rounds are missing"),
        };
        format!(
            "ClickHouse cannot read parts of tables, and has set them aside: {}{more}{rounds}",
            named.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_table_part_size_and_what_is_missing() {
        let part = |name: &str| LostPart {
            table: HOURS.to_owned(),
            table_uuid: String::new(),
            name: name.to_owned(),
            bytes: 12,
        };
        let parts = ["a", "b", "c", "d"].map(part).to_vec();
        let lost = LostParts { is_known: true, parts, missing_rounds: Some(990) };
        assert_eq!(
            lost.reason(),
            "ClickHouse cannot read parts of tables, and has set them aside: a of hourly_aggregates (12 bytes), b of \
             hourly_aggregates (12 bytes), c of hourly_aggregates (12 bytes), and 1 more; 990 rounds are missing"
        );
    }
}
