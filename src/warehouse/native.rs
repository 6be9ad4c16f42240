//! Blocks of rows in ClickHouse's Native format: column after column, so ClickHouse copies them instead of parsing each value.
//!
//! Source: <https://clickhouse.com/docs/interfaces/formats/Native>. A block is its number of columns and rows, and for each column its name,
//! its type and its values. The values are encoded as in RowBinary ([`super::row_binary`]), except that those of a nullable column follow
//! a byte for each row, which says whether the row has none.

use bytes::Bytes;

use super::row_binary::{sent_type, write_known_value, write_length, write_missing_value, write_text};
use crate::domain::columns::Column;
use crate::domain::value::Value;

/// Bytes of a column are kept in pieces of about this size. A growing vector would need up to twice its size. And memory of at least this
/// size is returned to the system when it is freed ([`crate::memory`]); until it is used, it costs nothing.
const PIECE_BYTES: usize = 512 << 10;

/// Rows of one insert, by column.
#[derive(Clone, Debug, Default)]
pub struct Block {
    rows: u64,
    bytes: usize,
    columns: Vec<BlockColumn>,
}

#[derive(Clone, Debug)]
struct BlockColumn {
    name: String,
    /// A ClickHouse type. If the table's column has another one, ClickHouse converts the values.
    kind: String,
    /// For each row, whether it has no value. Nothing for a column that is not nullable.
    nulls: Pieces,
    values: Pieces,
}

/// Bytes that are written at the end and never moved.
#[derive(Clone, Debug, Default)]
struct Pieces {
    full: Vec<Bytes>,
    last: Vec<u8>,
}

impl Pieces {
    /// Returns where the next value is written.
    fn end(&mut self) -> &mut Vec<u8> {
        if self.last.capacity() == 0 || self.last.len() >= PIECE_BYTES {
            // The last value may go beyond the size of a piece.
            let next = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 16);
            let piece = std::mem::replace(&mut self.last, next);
            self.full.extend((!piece.is_empty()).then(|| Bytes::from(piece)));
        }
        &mut self.last
    }

    fn into_all(self) -> impl Iterator<Item = Bytes> {
        let last = (!self.last.is_empty()).then(|| Bytes::from(self.last));
        self.full.into_iter().chain(last)
    }
}

impl Block {
    /// A block of the columns of a schema, followed by others with a name and a ClickHouse type each.
    pub fn new<'a>(columns: impl Iterator<Item = &'a Column>, others: &[(&str, &str)]) -> Self {
        let column = |name: &str, kind: String| {
            let (name, nulls, values) = (name.to_owned(), Pieces::default(), Pieces::default());
            BlockColumn { name, kind, nulls, values }
        };
        let others = others.iter().map(|(name, kind)| column(name, (*kind).to_owned()));
        let columns = columns.map(|found| column(&found.name, sent_type(found))).chain(others).collect();
        Self { rows: 0, bytes: 0, columns }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the size of the values in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the next row's value of a column of the schema. `at`: the column's position. `buffer`: the bytes that text values refer to.
    pub fn push(&mut self, at: usize, column: &Column, value: Value, buffer: &[u8]) {
        let Some(BlockColumn { nulls, values, .. }) = self.columns.get_mut(at) else { return };
        if column.is_nullable() {
            nulls.end().push(u8::from(value == Value::Null));
            self.bytes += 1;
        }
        let end = values.end();
        let before = end.len();
        match value {
            Value::Null => write_missing_value(column.kind, end),
            value => write_known_value(column, value, buffer, end),
        }
        self.bytes += end.len() - before;
    }

    /// Writes the next row's value of a column of the schema. `value`: as RowBinary has it.
    pub fn push_row_binary(&mut self, at: usize, column: &Column, value: &[u8]) {
        if !column.is_nullable() {
            return self.push_bytes(at, value);
        }
        match value.split_first() {
            Some((0, known)) => {
                self.push_null(at, false);
                self.push_bytes(at, known);
            }
            _ => self.push(at, column, Value::Null, &[]),
        }
    }

    /// Writes the next row's value of a column that is not nullable, encoded.
    pub fn push_bytes(&mut self, at: usize, value: &[u8]) {
        let Some(column) = self.columns.get_mut(at) else { return };
        column.values.end().extend_from_slice(value);
        self.bytes += value.len();
    }

    fn push_null(&mut self, at: usize, is_null: bool) {
        let Some(column) = self.columns.get_mut(at) else { return };
        column.nulls.end().push(u8::from(is_null));
        self.bytes += 1;
    }

    /// Ends a row, of which every column must have got its value.
    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Returns the encoded block in pieces; nothing if it has no row.
    pub fn into_pieces(self) -> Vec<Bytes> {
        if self.rows == 0 {
            return Vec::new();
        }
        let mut pieces = Vec::new();
        let mut head = Vec::new();
        write_length(self.columns.len() as u64, &mut head);
        write_length(self.rows, &mut head);
        for column in self.columns {
            write_text(column.name.as_bytes(), &mut head);
            write_text(column.kind.as_bytes(), &mut head);
            pieces.push(Bytes::from(std::mem::take(&mut head)));
            pieces.extend(column.nulls.into_all().chain(column.values.into_all()));
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::columns::Columns;
    use crate::warehouse::row_binary::write_value;

    const SCHEMA: &str = r#"{"type":"record","name":"R","key":"id","fields":[
        {"name":"id","type":"long","minimum":0},
        {"name":"tax","type":["null",{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}]},
        {"name":"note","type":["null","string"]}]}"#;

    #[test]
    fn a_block_has_the_bytes_of_the_documented_format() {
        let columns = Columns::parse(SCHEMA).unwrap();
        let mut block = Block::new(columns.iter(), &[("number", "UInt16")]);
        let rows = [
            [Value::Long(7), Value::Decimal(-1), Value::Text { start: 0, end: 2 }],
            [Value::Long(8), Value::Null, Value::Null],
        ];
        for (number, row) in (1_u16..).zip(rows) {
            for (at, (column, value)) in columns.iter().zip(row).enumerate() {
                block.push(at, column, value, b"ab");
            }
            block.push_bytes(3, &number.to_le_bytes());
            block.end_row();
        }
        assert_eq!((block.rows(), block.bytes()), (2, 2 * 8 + 2 + 2 * 4 + 2 + 3 + 1 + 2 * 2));
        let mut expected = vec![4, 2];
        expected.extend(b"\x02id\x06UInt64\x07\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0");
        expected.extend(b"\x03tax\x17Nullable(Decimal(5, 2))\0\x01\xff\xff\xff\xff\0\0\0\0");
        expected.extend(b"\x04note\x10Nullable(String)\0\x01\x02ab\0");
        expected.extend(b"\x06number\x06UInt16\x01\0\x02\0");
        assert_eq!(block.into_pieces().concat(), expected);
    }

    #[test]
    fn values_in_row_binary_give_the_same_block() {
        let columns = Columns::parse(SCHEMA).unwrap();
        let (mut typed, mut copied) = (Block::new(columns.iter(), &[]), Block::new(columns.iter(), &[]));
        // More than one piece of each column.
        for number in 0..40_000 {
            let is_known = number % 3 > 0;
            let tax = if is_known { Value::Decimal(number) } else { Value::Null };
            let note = if is_known { Value::Text { start: 0, end: 3 } } else { Value::Null };
            let row = [Value::Long(number as i64), tax, note];
            for (at, (column, value)) in columns.iter().zip(row).enumerate() {
                typed.push(at, column, value, b"abc");
                let mut bytes = Vec::new();
                write_value(column, value, b"abc", &mut bytes);
                copied.push_row_binary(at, column, &bytes);
            }
            typed.end_row();
            copied.end_row();
        }
        assert_eq!(typed.bytes(), copied.bytes());
        assert_eq!(typed.into_pieces(), copied.into_pieces());
    }
}
