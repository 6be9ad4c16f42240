//! The bytes of a kept row: its key, and its record.
//!
//! Both are the values of their columns in Avro's binary encoding. A record begins with the row's position, a fixed number of bytes: the
//! values of the order, then epoch, offset and partition. Each is written so that bytes compare like the values: the later of two rows
//! has the higher bytes. Positions of different messages are never equal.

use crate::dataset::latest::Latest;
use crate::domain::columns::{Column, Columns, Kind};
use crate::domain::value::Value;
use crate::wire::avro;

/// Bytes of epoch, offset and partition.
const ORIGIN_BYTES: usize = 14;

/// Where a row was in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub epoch: u32,
    pub offset: u64,
    pub partition: u16,
}

/// Where a row has the value of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Key(usize),
    Record(usize),
}

/// How rows of a dataset are kept.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The columns of the key and of the record, with their indexes in the schema.
    key: Vec<(usize, Column)>,
    record: Vec<(usize, Column)>,
    order: Vec<usize>,
    position_bytes: usize,
}

/// A row as bytes. Reused from row to row.
#[derive(Clone, Debug, Default)]
pub struct RowBytes {
    pub key: Vec<u8>,
    pub record: Vec<u8>,
}

/// The values of a row: text values are ranges of its key or its record.
#[derive(Debug, Default)]
pub struct RowValues {
    key: Vec<Value>,
    record: Vec<Value>,
}

impl RowValues {
    pub fn get(&self, place: Place) -> Value {
        let found = match place {
            Place::Key(at) => self.key.get(at),
            Place::Record(at) => self.record.get(at),
        };
        found.copied().unwrap_or(Value::Null)
    }
}

impl Layout {
    pub fn new(columns: &Columns, latest: &Latest) -> Self {
        let of = |indexes: &[usize]| -> Vec<(usize, Column)> {
            indexes.iter().filter_map(|&at| Some((at, columns.get(at)?.clone()))).collect()
        };
        let width = |at: &usize| match columns.get(*at).map(|column| column.kind) {
            Some(Kind::Decimal { .. }) => 16,
            _ => 8,
        };
        Self {
            key: of(&latest.key),
            record: of(&latest.rest(columns)),
            order: latest.order.clone(),
            position_bytes: latest.order.iter().map(width).sum::<usize>() + ORIGIN_BYTES,
        }
    }

    /// The columns of the key.
    pub fn key(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().map(|(_, column)| column)
    }

    /// Returns where rows have the value of a column, and the column.
    pub fn find(&self, name: &str) -> Option<(Place, &Column)> {
        let at = |columns: &[(usize, Column)]| columns.iter().position(|(_, column)| column.name == name);
        let key = at(&self.key).and_then(|at| Some((Place::Key(at), &self.key.get(at)?.1)));
        key.or_else(|| at(&self.record).and_then(|at| Some((Place::Record(at), &self.record.get(at)?.1))))
    }

    /// Bytes of a position, with which a record begins.
    pub fn position_bytes(&self) -> usize {
        self.position_bytes
    }

    /// Writes a row over the one in `row`. `values`: in the order of the schema.
    pub fn write(&self, values: &[Value], buffer: &[u8], origin: Origin, row: &mut RowBytes) {
        let value = |at: usize| values.get(at).copied().unwrap_or(Value::Null);
        row.key.clear();
        self.write_key(self.key.iter().map(|(at, _)| value(*at)), buffer, &mut row.key);
        row.record.clear();
        for at in &self.order {
            write_ordered(value(*at), &mut row.record);
        }
        row.record.extend(origin.epoch.to_be_bytes());
        row.record.extend(origin.offset.to_be_bytes());
        row.record.extend(origin.partition.to_be_bytes());
        let record = self.record.iter().map(|(at, column)| (column, value(*at)));
        avro::encode_values(record, buffer, &mut row.record);
    }

    /// Appends a key. `values`: those of its columns.
    pub fn write_key(&self, values: impl Iterator<Item = Value>, buffer: &[u8], key: &mut Vec<u8>) {
        avro::encode_values(self.key().zip(values), buffer, key);
    }

    /// Reads the values of a row. None if the bytes are not a row of this layout.
    pub fn read(&self, key: &[u8], record: &[u8], values: &mut RowValues) -> Option<()> {
        values.key.clear();
        values.record.clear();
        avro::decode_values(self.key(), key, 0, &mut values.key).ok()?;
        let columns = self.record.iter().map(|(_, column)| column);
        avro::decode_values(columns, record, self.position_bytes, &mut values.record).ok()
    }
}

/// Appends a value of the order, so that bytes compare like values: big-endian, with the sign inverted.
fn write_ordered(value: Value, out: &mut Vec<u8>) {
    let number = match value {
        Value::Decimal(unscaled) => {
            out.extend((unscaled.cast_unsigned() ^ (1 << 127)).to_be_bytes());
            return;
        }
        Value::Int(number) | Value::Date(number) => i64::from(number),
        Value::Long(number) | Value::Timestamp(number) | Value::TimestampMicros(number) => number,
        // The order has only required numbers and times.
        _ => 0,
    };
    out.extend((number.cast_unsigned() ^ (1 << 63)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"size","type":{"type":"bytes","logicalType":"decimal","precision":38,"scale":4}},
        {"name":"name","type":"string"},
        {"name":"day","type":{"type":"int","logicalType":"date"}},
        {"name":"note","type":["null","string"]},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#;

    fn layout() -> Layout {
        let columns = Columns::parse(SCHEMA).unwrap();
        let latest = Latest { key: vec![1], order: vec![2, 0, 4], table: String::new() };
        Layout::new(&columns, &latest)
    }

    fn values(day: i32, size: i128, at: i64) -> [Value; 5] {
        let name = Value::Text { start: 0, end: 1 };
        [Value::Decimal(size), name, Value::Date(day), Value::Text { start: 1, end: 3 }, Value::Timestamp(at)]
    }

    proptest! {
        #[test]
        fn bytes_of_positions_compare_like_their_values(
            one in (-3_i32..3, -3_i128..3, -3_i64..3, 0_u32..3, 0_u64..3, 0_u16..3),
            other in (-3_i32..3, -3_i128..3, -3_i64..3, 0_u32..3, 0_u64..3, 0_u16..3),
            scale in prop::sample::select(vec![1_i64, 255, 1 << 40]),
        ) {
            let layout = layout();
            let position = |(day, size, at, epoch, offset, partition): (i32, i128, i64, u32, u64, u16)| {
                let mut row = RowBytes::default();
                let (size, at) = (size * (i128::from(scale) << 60), at * scale);
                layout.write(&values(day, size, at), b"nab", Origin { epoch, offset, partition }, &mut row);
                row.record[..layout.position_bytes()].to_vec()
            };
            prop_assert_eq!(position(one).cmp(&position(other)), one.cmp(&other));
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let layout = layout();
        let (mut row, mut read) = (RowBytes::default(), RowValues::default());
        let origin = Origin { epoch: 1, offset: 2, partition: 3 };
        layout.write(&values(-7, 12_345, 1), b"nab", origin, &mut row);
        layout.read(&row.key, &row.record, &mut read).unwrap();
        let text = |name: &str| {
            let (place, _) = layout.find(name).unwrap();
            let bytes = if matches!(place, Place::Key(_)) { &row.key } else { &row.record };
            read.get(place).text(bytes).to_vec()
        };
        assert_eq!((text("name"), text("note")), (b"n".to_vec(), b"ab".to_vec()));
        let value = |name: &str| read.get(layout.find(name).unwrap().0);
        assert_eq!((value("size"), value("day")), (Value::Decimal(12_345), Value::Date(-7)));
        assert!(layout.find("other").is_none());
        assert!(layout.read(&row.key, &row.record[..20], &mut read).is_none());
    }
}
