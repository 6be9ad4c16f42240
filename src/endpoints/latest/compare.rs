//! The order of values in ClickHouse.

use std::cmp::Ordering;

use crate::domain::columns::Column;
use crate::domain::value::Value;

/// Compares two values of a column as ClickHouse sorts them. Each has its own buffer.
pub(super) fn compare(
    column: &Column,
    (one, one_buffer): (Value, &[u8]),
    (other, other_buffer): (Value, &[u8]),
) -> Ordering {
    match (one, other) {
        (Value::Text { .. }, Value::Text { .. }) => one.text(one_buffer).cmp(other.text(other_buffer)),
        // Enums are stored as text.
        (Value::Enum(one), Value::Enum(other)) => column.symbol(one).cmp(column.symbol(other)),
        (Value::Boolean(one), Value::Boolean(other)) => one.cmp(&other),
        // The second half of a UUID comes first: https://clickhouse.com/docs/sql-reference/data-types/uuid
        (Value::Uuid(one), Value::Uuid(other)) => one.rotate_left(64).cmp(&other.rotate_left(64)),
        _ => one.compare(other).unwrap_or(Ordering::Equal),
    }
}
