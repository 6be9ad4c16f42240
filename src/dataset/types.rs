//! The ClickHouse types of columns.

use crate::domain::columns::{Column, Kind};

/// Returns the ClickHouse type of a column in a table.
///
/// A `long` is Int64, or UInt64 if the schema's minimum is not negative; an `int` Int32; a timestamp DateTime64(3) or DateTime64(6); a date
/// Date32; a decimal Decimal(P, S); an enum LowCardinality(String), to which a symbol can be added; a nullable column Nullable of
/// these.
pub fn column_type(column: &Column) -> String {
    let kind = sent_type(column);
    if column.kind == Kind::Enum { format!("LowCardinality({kind})") } else { kind }
}

/// Returns the ClickHouse type of what is sent for a column. Where the column of a table has another one, ClickHouse converts
/// the values.
pub fn sent_type(column: &Column) -> String {
    let kind = value_type(column.kind);
    if column.is_nullable() { format!("Nullable({kind})") } else { kind }
}

/// Returns the ClickHouse type of values that are sent and not null.
pub fn value_type(kind: Kind) -> String {
    match kind {
        Kind::Long { minimum } if minimum >= 0 => "UInt64".to_owned(),
        Kind::Long { .. } => "Int64".to_owned(),
        Kind::Decimal { precision, scale } => format!("Decimal({precision}, {scale})"),
        Kind::Int => "Int32".to_owned(),
        Kind::Boolean => "Bool".to_owned(),
        Kind::Double => "Float64".to_owned(),
        Kind::Timestamp => "DateTime64(3, 'UTC')".to_owned(),
        Kind::TimestampMicros => "DateTime64(6, 'UTC')".to_owned(),
        Kind::Date => "Date32".to_owned(),
        Kind::Text { .. } | Kind::Enum => "String".to_owned(),
        Kind::Uuid | Kind::UuidText => "UUID".to_owned(),
    }
}

/// Whether values of two types have the same bytes in RowBinary.
pub fn is_same_type(found: &str, wanted: &str) -> bool {
    plain_type(found) == plain_type(wanted)
}

fn plain_type(kind: &str) -> &str {
    kind.strip_prefix("LowCardinality(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(kind)
}
