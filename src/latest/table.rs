//! Reads the rows that ClickHouse has.

use super::LatestError;
use super::layout::{Origin, RowBytes};
use super::values::LastValues;
use crate::domain::columns::Columns;
use crate::domain::value::Value;
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::row_binary::read_value;

const ROWS: &str = include_str!("../../queries/engine/latest/rows.sql");

/// Reads all rows of the table, and keeps the last one of each key.
pub(super) async fn read(warehouse: &Warehouse, values: &LastValues) -> Result<(), LatestError> {
    let dataset = &values.dataset;
    let table = dataset.latest.as_ref().map_or("", |latest| &latest.table);
    let sql = dataset.template().with("latest", table).fill(ROWS);
    let mut cursor = warehouse.query(&sql).fetch_bytes("RowBinary").map_err(WarehouseError::from)?;
    let (mut rest, mut reading) = (Vec::new(), Reading::default());
    while let Some(piece) = cursor.next().await.map_err(WarehouseError::from)? {
        rest.extend_from_slice(&piece);
        let mut at = 0;
        while let Some(origin) = reading.row(&dataset.columns, &rest, &mut at) {
            values.put(&reading.values, &rest, origin, &mut reading.row);
        }
        rest.drain(..at);
    }
    if rest.is_empty() { Ok(()) } else { Err(LatestError::Unreadable) }
}

/// One row of the answer. Reused from row to row.
#[derive(Debug, Default)]
struct Reading {
    values: Vec<Value>,
    row: RowBytes,
}

impl Reading {
    /// Reads the row at `at`, and moves `at` after it. None if it is not complete.
    fn row(&mut self, columns: &Columns, bytes: &[u8], at: &mut usize) -> Option<Origin> {
        let mut end = *at;
        self.values.clear();
        for column in columns.iter() {
            self.values.push(read_value(column, bytes, &mut end)?);
        }
        let (epoch, rest) = bytes.get(end..)?.split_first_chunk()?;
        let (partition, rest) = rest.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        let (epoch, partition) = (u32::from_le_bytes(*epoch), u16::from_le_bytes(*partition));
        *at = end + 14;
        Some(Origin { epoch, offset: u64::from_le_bytes(*offset), partition })
    }
}
