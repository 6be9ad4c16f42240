//! Values in ClickHouse's RowBinary format: <https://clickhouse.com/docs/interfaces/formats/RowBinary>.

use crate::domain::columns::{Column, Kind};
use crate::domain::value::Value;

/// Appends a column's value; `buffer` is what text values are ranges of.
///
/// `long` goes into Int64, or UInt64 where the schema's minimum is not negative; a timestamp into DateTime64(3); a decimal
/// into Decimal(P, S), whose width depends on P; a uuid into UUID; a nullable column into Nullable of these.
pub fn write_value(column: &Column, value: Value, buffer: &[u8], out: &mut Vec<u8>) {
    if column.is_nullable() {
        out.push(u8::from(value == Value::Null));
    }
    match value {
        Value::Null => {}
        Value::Long(number) | Value::Timestamp(number) => out.extend_from_slice(&number.to_le_bytes()),
        Value::Decimal(unscaled) => {
            let width = decimal_width(column.kind);
            out.extend_from_slice(unscaled.to_le_bytes().get(..width).unwrap_or_default());
        }
        Value::Text { .. } => write_text(value.text(buffer), out),
        // Two halves, the higher first, each little-endian.
        Value::Uuid(uuid) => out.extend_from_slice(&uuid.rotate_right(64).to_le_bytes()),
    }
}

/// Appends a String: its length in LEB128, and its bytes.
pub fn write_text(text: &[u8], out: &mut Vec<u8>) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text);
}

/// Bytes of a Decimal: two's complement of a smaller width is the same low bytes.
fn decimal_width(kind: Kind) -> usize {
    match kind {
        Kind::Decimal { precision: 0..=9, .. } => 4,
        Kind::Decimal { precision: 10..=18, .. } => 8,
        _ => 16,
    }
}
