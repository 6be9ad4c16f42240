//! Values of parameters as values of key columns.

use uuid::Uuid;

use crate::dataset::endpoint::value::Value as Given;
use crate::domain::columns::{Column, Kind};
use crate::domain::time_zone::Clock;
use crate::domain::value::Value;
use crate::domain::{date, money, timestamp};

/// Returns the value of a column that a parameter gives. Text is appended to `buffer`. None if no row can have the value.
pub(super) fn key_value(column: &Column, given: &Given, buffer: &mut Vec<u8>) -> Option<Value> {
    let text = match given {
        Given::Bare(text) | Given::Quoted(text) => text.as_str(),
        Given::Null | Given::Array(_) | Given::Tuple(_) => return None,
    };
    let bytes = text.as_bytes();
    match column.kind {
        Kind::Text { .. } => {
            let start = buffer.len();
            buffer.extend_from_slice(bytes);
            Some(Value::Text { start, end: buffer.len() })
        }
        Kind::Enum => {
            let position = column.symbols.iter().position(|symbol| symbol == text)?;
            u32::try_from(position).ok().map(Value::Enum)
        }
        Kind::Boolean => Some(Value::Boolean(text == "true")),
        Kind::Int => text.parse().ok().map(Value::Int),
        Kind::Long { .. } => text.parse().ok().map(Value::Long),
        Kind::Decimal { precision, scale } => money::parse(bytes, precision, scale).ok().map(Value::Decimal),
        Kind::Date => date::parse(bytes).ok().map(Value::Date),
        Kind::Timestamp => timestamp::parse(bytes).ok().map(Value::Timestamp),
        Kind::TimestampMicros => {
            timestamp::parse_local_micros(bytes, &mut Clock::default()).ok().map(Value::TimestampMicros)
        }
        Kind::Uuid | Kind::UuidText => Uuid::parse_str(text).ok().map(|uuid| Value::Uuid(uuid.as_u128())),
        // A key has none.
        Kind::Double => None,
    }
}
