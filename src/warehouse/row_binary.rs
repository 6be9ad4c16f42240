//! Values in ClickHouse's RowBinary format: <https://clickhouse.com/docs/interfaces/formats/RowBinary>.

use crate::domain::columns::{Column, Kind};
use crate::domain::value::Value;

/// Appends a column's value. `buffer`: the bytes that text values refer to.
///
/// The bytes are those of [`sent_type`](crate::dataset::types::sent_type), which ClickHouse also reads into a column of
/// [`column_type`](crate::dataset::types::column_type).
pub fn write_value(column: &Column, value: Value, buffer: &[u8], out: &mut Vec<u8>) {
    if column.is_nullable() {
        out.push(u8::from(value == Value::Null));
    }
    write_known_value(column, value, buffer, out);
}

/// Appends a value as a column has it that is not nullable. Nothing for null.
#[inline]
pub fn write_known_value(column: &Column, value: Value, buffer: &[u8], out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Long(number) | Value::Timestamp(number) | Value::TimestampMicros(number) => {
            out.extend_from_slice(&number.to_le_bytes());
        }
        Value::Decimal(unscaled) => {
            let width = decimal_width(column.kind);
            out.extend_from_slice(unscaled.to_le_bytes().get(..width).unwrap_or_default());
        }
        Value::Text { .. } => write_text(value.text(buffer), out),
        Value::Int(number) | Value::Date(number) => out.extend_from_slice(&number.to_le_bytes()),
        Value::Boolean(is_true) => out.push(u8::from(is_true)),
        Value::Double(number) => out.extend_from_slice(&number.to_le_bytes()),
        Value::Enum(position) => write_text(column.symbol(position).as_bytes(), out),
        Value::Uuid(uuid) => write_uuid(uuid, out),
    }
}

/// Appends what stands for a missing value where every row has a value: zero, or an empty text.
pub fn write_missing_value(kind: Kind, out: &mut Vec<u8>) {
    out.extend_from_slice([0; 16].get(..fixed_width(kind)).unwrap_or_default());
}

/// Appends a UUID as two little-endian halves, the higher half first.
pub fn write_uuid(uuid: u128, out: &mut Vec<u8>) {
    out.extend_from_slice(&uuid.rotate_right(64).to_le_bytes());
}

/// Appends a String: its length in LEB128, then its bytes.
pub fn write_text(text: &[u8], out: &mut Vec<u8>) {
    write_length(text.len() as u64, out);
    out.extend_from_slice(text);
}

/// Appends a number in LEB128.
pub fn write_length(mut length: u64, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Returns the number of bytes of a column's value at the start of `bytes`, as [`write_value`] writes it. None if `bytes` ends before the
/// value does.
pub fn value_length(column: &Column, bytes: &[u8]) -> Option<usize> {
    let flag = usize::from(column.is_nullable());
    if flag == 1 && *bytes.first()? != 0 {
        return Some(flag);
    }
    let length = match column.kind {
        Kind::Text { .. } | Kind::Enum => text_length(bytes.get(flag..)?)?,
        kind => fixed_width(kind),
    };
    (flag + length <= bytes.len()).then_some(flag + length)
}

/// Returns the number of bytes of a String, including its length prefix.
fn text_length(bytes: &[u8]) -> Option<usize> {
    let (prefix, length) = length_prefix(bytes)?;
    length.checked_add(prefix)
}

/// Returns the number of bytes of a length prefix, and the length.
fn length_prefix(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Some((at + 1, length));
        }
    }
    None
}

/// Reads a column's value at the position `at` of `bytes`, as [`write_value`] writes it, and moves `at` after it. Text is a range of `bytes`.
/// None if `bytes` ends before the value does, or an enum's text is none of its symbols.
pub fn read_value(column: &Column, bytes: &[u8], at: &mut usize) -> Option<Value> {
    let end = *at + value_length(column, bytes.get(*at..)?)?;
    let mut start = *at + usize::from(column.is_nullable());
    *at = end;
    if start == end {
        return Some(Value::Null);
    }
    if matches!(column.kind, Kind::Text { .. } | Kind::Enum) {
        start += length_prefix(bytes.get(start..end)?)?.0;
    }
    let value = bytes.get(start..end)?;
    let number = || value.try_into().ok().map(i64::from_le_bytes);
    let small = || value.try_into().ok().map(i32::from_le_bytes);
    match column.kind {
        Kind::Boolean => Some(Value::Boolean(value != [0])),
        Kind::Int => small().map(Value::Int),
        Kind::Date => small().map(Value::Date),
        Kind::Long { .. } => number().map(Value::Long),
        Kind::Timestamp => number().map(Value::Timestamp),
        Kind::TimestampMicros => number().map(Value::TimestampMicros),
        Kind::Double => value.try_into().ok().map(f64::from_le_bytes).map(Value::Double),
        Kind::Decimal { .. } => Some(Value::Decimal(signed(value))),
        Kind::Text { .. } => Some(Value::Text { start, end }),
        Kind::Enum => {
            let position = column.symbols.iter().position(|symbol| symbol.as_bytes() == value)?;
            u32::try_from(position).ok().map(Value::Enum)
        }
        Kind::Uuid | Kind::UuidText => {
            let halves = value.try_into().ok().map(u128::from_le_bytes)?;
            Some(Value::Uuid(halves.rotate_right(64)))
        }
    }
}

/// Reads a little-endian number in two's complement of at most 16 bytes.
fn signed(bytes: &[u8]) -> i128 {
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut padded = [if is_negative { 0xff } else { 0 }; 16];
    if let Some(low) = padded.get_mut(..bytes.len()) {
        low.copy_from_slice(bytes);
    }
    i128::from_le_bytes(padded)
}

/// Returns the number of bytes of a value; of a String, those of an empty one.
fn fixed_width(kind: Kind) -> usize {
    match kind {
        Kind::Long { .. } | Kind::Timestamp | Kind::TimestampMicros | Kind::Double => 8,
        Kind::Decimal { .. } => decimal_width(kind),
        Kind::Uuid | Kind::UuidText => 16,
        Kind::Int | Kind::Date => 4,
        Kind::Boolean | Kind::Text { .. } | Kind::Enum => 1,
    }
}

/// Returns the number of bytes of a Decimal. In two's complement, a smaller width is the low bytes of a larger one.
fn decimal_width(kind: Kind) -> usize {
    match kind {
        Kind::Decimal { precision: 0..=9, .. } => 4,
        Kind::Decimal { precision: 10..=18, .. } => 8,
        _ => 16,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::columns::Columns;

    /// The types that the schema of bets does not have.
    const OTHERS: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":"boolean"}, {"name":"b","type":["null","int"]}, {"name":"c","type":"double"},
        {"name":"d","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"e","type":["null",{"type":"int","logicalType":"date"}]},
        {"name":"f","type":["null",{"type":"enum","name":"E","symbols":["BUY","A_LONGER_SYMBOL"]}]},
        {"name":"g","type":{"type":"string","logicalType":"uuid"}}]}"#;

    fn value(column: &Column, number: i64, text: usize) -> Value {
        match column.kind {
            _ if column.is_nullable() && number % 3 == 0 => Value::Null,
            Kind::Long { .. } => Value::Long(number),
            Kind::Boolean => Value::Boolean(number % 2 == 0),
            Kind::Int => Value::Int(number as i32),
            Kind::Double => Value::Double(number as f64),
            Kind::TimestampMicros => Value::TimestampMicros(number),
            Kind::Date => Value::Date(number as i32),
            Kind::Enum => Value::Enum((number % 2).unsigned_abs() as u32),
            Kind::Timestamp => Value::Timestamp(number),
            Kind::Decimal { .. } => Value::Decimal(i128::from(number)),
            Kind::Text { .. } => Value::Text { start: 0, end: text },
            Kind::Uuid | Kind::UuidText => Value::Uuid(u128::from(number.unsigned_abs())),
        }
    }

    proptest! {
        #[test]
        fn the_length_of_a_value_is_the_number_of_bytes_written(number: i64, text in 0_usize..40_000) {
            let buffer = vec![b'x'; text];
            let (bets, others) = (include_str!("../../schemas/bets.avsc"), OTHERS);
            let (bets, others) = (Columns::parse(bets).unwrap(), Columns::parse(others).unwrap());
            for column in bets.iter().chain(others.iter()) {
                let mut bytes = Vec::new();
                write_value(column, value(column, number, text), &buffer, &mut bytes);
                for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                    prop_assert_eq!(value_length(column, &bytes[..cut.min(bytes.len() - 1)]), None);
                }
                let written = bytes.len();
                bytes.extend([0xff; 20]);
                prop_assert_eq!(value_length(column, &bytes), Some(written));
            }
        }

        #[test]
        fn a_value_is_read_as_it_was_written(number in -2_i64.pow(31)..2_i64.pow(31), text in 0_usize..300) {
            let buffer: Vec<u8> = (0..text).map(|at| b'a' + (at % 26) as u8).collect();
            let (bets, others) = (include_str!("../../schemas/bets.avsc"), OTHERS);
            let (bets, others) = (Columns::parse(bets).unwrap(), Columns::parse(others).unwrap());
            let columns: Vec<_> = bets.iter().chain(others.iter()).collect();
            let values: Vec<Value> = columns.iter().map(|column| value(column, number, text)).collect();
            let mut bytes = vec![0xff; 3];
            for (column, value) in columns.iter().zip(&values) {
                write_value(column, *value, &buffer, &mut bytes);
            }
            let mut at = 3;
            for (column, value) in columns.iter().zip(&values) {
                let read = read_value(column, &bytes, &mut at).unwrap();
                match value {
                    Value::Text { .. } => prop_assert_eq!(read.text(&bytes), &buffer[..]),
                    value => prop_assert_eq!(read, *value),
                }
            }
            prop_assert_eq!(at, bytes.len());
            prop_assert_eq!(read_value(columns[0], &bytes, &mut at), None);
        }
    }
}
