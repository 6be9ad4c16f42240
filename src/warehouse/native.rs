//! Blocks of rows in ClickHouse's Native format: column after column, so ClickHouse copies them instead of parsing each value.
//!
//! Source: <https://clickhouse.com/docs/interfaces/formats/Native>. A block is its number of columns and rows, and for each column its name,
//! its type and its values. The values are encoded as in RowBinary ([`super::row_binary`]), except that those of a nullable column follow
//! a byte for each row, which says whether the row has none.
//!
//! ClickHouse converts the values of a column that has another type in its table. So each block sends the smallest type that has all of its
//! values: a block of game rounds needs less than half of the memory, and it is sent, read and sorted faster.

mod distinct;
mod pieces;

use bytes::Bytes;

use self::distinct::Distinct;
use self::pieces::Pieces;
use super::row_binary::{write_known_value, write_length, write_missing_value, write_text};
use crate::dataset::types::value_type;
use crate::domain::columns::{Column, Kind};
use crate::domain::value::Value;

/// The digits of a decimal that has eight bytes instead of sixteen.
const NARROW_PRECISION: u32 = 18;

/// Rows of one insert, by column.
#[derive(Clone, Debug, Default)]
pub struct Block {
    rows: u64,
    bytes: usize,
    columns: Vec<BlockColumn>,
    /// An encoded value. Reused, to avoid allocations.
    encoded: Vec<u8>,
}

/// A column that is not in the schema of the rows.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    pub name: &'static str,
    /// A ClickHouse type of a fixed width.
    pub kind: &'static str,
    pub width: usize,
    /// Whether the rows of a block have few different values.
    pub repeats: bool,
}

#[derive(Clone, Debug)]
struct BlockColumn {
    name: String,
    /// The ClickHouse type of its values.
    kind: String,
    /// For each row, whether it has no value. Nothing if all have, or if `values` says it.
    nulls: Pieces,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Plain(Pieces),
    /// Decimals of sixteen bytes that have fitted into eight so far.
    Narrow {
        scale: u32,
        values: Pieces,
    },
    Distinct(Distinct),
}

impl Values {
    fn of(column: &Column) -> Self {
        match column.kind {
            Kind::Decimal { precision, scale }
                if precision > NARROW_PRECISION && scale <= NARROW_PRECISION =>
            {
                Self::Narrow { scale, values: Pieces::default() }
            }
            kind @ (Kind::Text { .. } | Kind::Enum | Kind::Uuid | Kind::UuidText) => {
                let mut missing = Vec::new();
                write_missing_value(kind, &mut missing);
                Self::Distinct(Distinct::new(&missing))
            }
            _ => Self::Plain(Pieces::default()),
        }
    }

    #[inline]
    fn bytes(&self) -> usize {
        match self {
            Self::Plain(values) | Self::Narrow { values, .. } => values.bytes(),
            Self::Distinct(distinct) => distinct.bytes(),
        }
    }
}

impl BlockColumn {
    #[inline]
    fn bytes(&self) -> usize {
        self.nulls.bytes() + self.values.bytes()
    }

    /// Adds a value that is not missing. `encoded`: a buffer for it.
    #[inline]
    fn push_value(&mut self, column: &Column, value: Value, buffer: &[u8], encoded: &mut Vec<u8>) {
        match (&mut self.values, value) {
            (Values::Plain(values), _) => write_known_value(column, value, buffer, values.end()),
            (Values::Narrow { values, .. }, Value::Decimal(unscaled)) if i64::try_from(unscaled).is_ok() => {
                values.end().extend_from_slice(&(unscaled as i64).to_le_bytes());
            }
            _ => {
                encoded.clear();
                write_known_value(column, value, buffer, encoded);
                return self.push(encoded);
            }
        }
        self.mark_known();
    }

    /// Adds an encoded value.
    fn push(&mut self, value: &[u8]) {
        match &mut self.values {
            Values::Plain(values) => values.end().extend_from_slice(value),
            Values::Narrow { values, .. } => match narrow(value) {
                Some(value) => values.end().extend_from_slice(value),
                None => {
                    self.widen();
                    return self.push(value);
                }
            },
            Values::Distinct(distinct) => {
                if distinct.push(value) {
                    self.spread();
                }
                return;
            }
        }
        self.mark_known();
    }

    #[inline]
    fn mark_known(&mut self) {
        if !self.nulls.is_empty() {
            self.nulls.end().push(0);
        }
    }

    /// Adds a row without a value. `rows`: how many rows it has so far.
    fn push_missing(&mut self, rows: u64, kind: Kind) {
        match &mut self.values {
            Values::Plain(values) => write_missing_value(kind, values.end()),
            Values::Narrow { values, .. } => values.end().extend_from_slice(&[0; 8]),
            Values::Distinct(distinct) => return distinct.push_missing(),
        }
        if self.nulls.is_empty() {
            (0..rows).for_each(|_| self.nulls.end().push(0));
        }
        self.nulls.end().push(1);
    }

    /// Gives decimals their full width.
    #[cold]
    fn widen(&mut self) {
        let Values::Narrow { values, .. } = &self.values else { return };
        let mut wide = Pieces::default();
        for value in values.values(8) {
            let end = wide.end();
            end.extend_from_slice(value);
            end.resize(end.len() + 8, sign(value));
        }
        self.values = Values::Plain(wide);
    }

    /// Writes values that repeat too seldom one after the other.
    #[cold]
    fn spread(&mut self) {
        let values = std::mem::replace(&mut self.values, Values::Plain(Pieces::default()));
        if let Values::Distinct(distinct) = values {
            let (values, nulls) = distinct.into_plain();
            (self.values, self.nulls) = (Values::Plain(values), nulls);
        }
    }

    /// Returns the encoded column. `head`: what comes before it.
    fn into_pieces(self, mut head: Vec<u8>, pieces: &mut Vec<Bytes>) {
        write_text(self.name.as_bytes(), &mut head);
        let (kind, values) = match self.values {
            Values::Distinct(distinct) => return pieces.extend(distinct.into_pieces(&self.kind, head)),
            Values::Narrow { scale, values } => (format!("Decimal({NARROW_PRECISION}, {scale})"), values),
            Values::Plain(values) => (self.kind, values),
        };
        let kind = if self.nulls.is_empty() { kind } else { format!("Nullable({kind})") };
        write_text(kind.as_bytes(), &mut head);
        pieces.push(Bytes::from(head));
        pieces.extend(self.nulls.into_all().chain(values.into_all()));
    }
}

/// Returns the lower half of a decimal of sixteen bytes, if it has the same value.
fn narrow(value: &[u8]) -> Option<&[u8]> {
    let (low, high) = value.split_at_checked(8)?;
    high.iter().all(|byte| *byte == sign(low)).then_some(low)
}

/// Returns the byte that continues a little-endian number.
fn sign(number: &[u8]) -> u8 {
    if number.last().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 }
}

impl Block {
    /// A block of the columns of a schema, followed by others.
    pub fn new<'a>(columns: impl Iterator<Item = &'a Column>, others: &[Other]) -> Self {
        let column = |name: &str, kind: String, values| BlockColumn {
            name: name.to_owned(),
            kind,
            nulls: Pieces::default(),
            values,
        };
        let others = others.iter().map(|other| {
            let values = match other.repeats {
                true => Values::Distinct(Distinct::new(&vec![0; other.width])),
                false => Values::Plain(Pieces::default()),
            };
            column(other.name, other.kind.to_owned(), values)
        });
        let columns = columns.map(|found| column(&found.name, value_type(found.kind), Values::of(found)));
        Self { columns: columns.chain(others).collect(), ..Self::default() }
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
        let Some(found) = self.columns.get_mut(at) else { return };
        let before = found.bytes();
        match value {
            Value::Null => found.push_missing(self.rows, column.kind),
            value => found.push_value(column, value, buffer, &mut self.encoded),
        }
        self.bytes = (self.bytes + found.bytes()).saturating_sub(before);
    }

    /// Writes the next row's value of a column of the schema. `value`: as RowBinary has it.
    pub fn push_row_binary(&mut self, at: usize, column: &Column, value: &[u8]) {
        if !column.is_nullable() {
            return self.push_bytes(at, value);
        }
        match value.split_first() {
            Some((0, known)) => self.push_bytes(at, known),
            _ => self.push(at, column, Value::Null, &[]),
        }
    }

    /// Writes the next row's value of a column, encoded.
    pub fn push_bytes(&mut self, at: usize, value: &[u8]) {
        let Some(column) = self.columns.get_mut(at) else { return };
        let before = column.bytes();
        column.push(value);
        self.bytes = (self.bytes + column.bytes()).saturating_sub(before);
    }

    /// Ends a row, of which every column must have got its value.
    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Returns the encoded block in pieces; nothing if it has no row.
    pub fn into_pieces(self) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        if self.rows == 0 {
            return pieces;
        }
        let mut head = Vec::new();
        write_length(self.columns.len() as u64, &mut head);
        write_length(self.rows, &mut head);
        for column in self.columns {
            column.into_pieces(std::mem::take(&mut head), &mut pieces);
        }
        pieces
    }
}

#[cfg(test)]
pub(crate) mod tests;
