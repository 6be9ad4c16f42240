//! The columns of ClickHouse's consumer and the rules for a valid round, as SQL text for `queries/engine/kafka_engine`.
//!
//! The rules are those of Roundhouse's loader ([`crate::domain::columns::Column::admits`], [`crate::wire::avro`]). Every column is read
//! as Nullable, with a type that can hold any value that Avro may contain. So the rules see the original value: as UInt64 a negative
//! number would already have become a large one, and a missing field the type's default.

use crate::dataset::types::{column_type, value_type};
use crate::domain::columns::{Column, Columns, Kind};
use crate::domain::value::Value;
use crate::domain::{date, money, timestamp};

/// The texts that replace the placeholders of a definition.
pub(super) struct Marks(Vec<(&'static str, String)>);

impl Marks {
    pub(super) fn of(columns: &Columns) -> Self {
        let list = |item: fn(&Column) -> String, separator: &str| {
            columns.iter().map(item).collect::<Vec<_>>().join(separator)
        };
        Self(vec![
            ("/* read columns */", list(read_column, ",\n    ")),
            ("/* stored columns */", list(stored_column, ",\n    ")),
            ("/* values */", list(value, ",\n    ")),
            ("/* rules */", list(rule, "\n        AND ")),
        ])
    }

    /// Replaces the placeholders of a definition.
    pub(super) fn fill(&self, definition: &str) -> String {
        self.0.iter().fold(definition.to_owned(), |text, (mark, columns)| text.replace(mark, columns))
    }
}

fn name(column: &Column) -> String {
    // Avro names consist of letters, digits and underscores, so they need no escaping.
    format!("`{}`", column.name)
}

fn read_column(column: &Column) -> String {
    let kind = match column.kind {
        Kind::Long { .. } => "Int64".to_owned(),
        // ClickHouse reads an Avro `fixed` of sixteen bytes into these, but not into a UUID.
        Kind::Uuid => "FixedString(16)".to_owned(),
        kind => value_type(kind),
    };
    format!("{} Nullable({kind})", name(column))
}

fn stored_column(column: &Column) -> String {
    format!("{} {}", name(column), column_type(column))
}

/// Returns the expression for what is stored of a column.
fn value(column: &Column) -> String {
    let name = name(column);
    let value = match column.kind {
        Kind::Long { minimum } if minimum >= 0 => format!("toUInt64(found.{name})"),
        Kind::Uuid => format!("toUUID(UUIDNumToString(found.{name}))"),
        _ => format!("found.{name}"),
    };
    let value = if column.is_nullable() { value } else { format!("assumeNotNull({value})") };
    format!("{value} AS {name}")
}

/// Returns the condition that a column's value must meet to be loaded.
fn rule(column: &Column) -> String {
    let name = format!("found.{}", name(column));
    let rule = match column.kind {
        Kind::Long { minimum } => format!("{name} >= {minimum}"),
        Kind::Timestamp | Kind::TimestampMicros => {
            let (first, last) = timestamp::RANGE.into_inner();
            format!("toUnixTimestamp64Milli({name}) BETWEEN {first} AND {last}")
        }
        Kind::Date => {
            let (first, last) = date::RANGE.into_inner();
            format!("toInt32({name}) BETWEEN {first} AND {last}")
        }
        // ClickHouse checks the number of bytes of a decimal, but not the number of digits.
        Kind::Decimal { precision, scale } => {
            let most = money::largest(precision);
            format!(
                "{name} BETWEEN {} AND {}",
                decimal(-most, precision, scale),
                decimal(most, precision, scale)
            )
        }
        Kind::Double => format!("isFinite({name})"),
        Kind::Text { .. } | Kind::Enum => format!("isValidUTF8({name})"),
        // Any value of the type is valid. The condition of a missing one is null.
        Kind::Boolean | Kind::Int | Kind::Uuid | Kind::UuidText => format!("{name} = {name}"),
    };
    let bounds = [(">=", column.bounds.minimum), ("<=", column.bounds.maximum)];
    let bounds = bounds.into_iter().filter_map(|(operator, bound)| {
        Some(format!(" AND {}", bounded(&name, operator, column.kind, bound?)?))
    });
    let rule = bounds.fold(rule, |rule, bound| rule + &bound);
    format!("ifNull({rule}, {})", column.is_nullable())
}

fn decimal(unscaled: i128, precision: u32, scale: u32) -> String {
    format!("CAST('{}', 'Decimal({precision}, {scale})')", money::format(unscaled, scale))
}

/// Returns the condition of a bound. None for a value that has no order.
fn bounded(name: &str, operator: &str, kind: Kind, bound: Value) -> Option<String> {
    Some(match (kind, bound) {
        (_, Value::Int(number)) => format!("{name} {operator} {number}"),
        (_, Value::Long(number)) => format!("{name} {operator} {number}"),
        (_, Value::Double(number)) => format!("{name} {operator} {number:?}"),
        (Kind::Decimal { precision, scale }, Value::Decimal(unscaled)) => {
            format!("{name} {operator} {}", decimal(unscaled, precision, scale))
        }
        (_, Value::Timestamp(millis)) => format!("toUnixTimestamp64Milli({name}) {operator} {millis}"),
        (_, Value::TimestampMicros(micros)) => format!("toUnixTimestamp64Micro({name}) {operator} {micros}"),
        (_, Value::Date(days)) => format!("toInt32({name}) {operator} {days}"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_another_schema_adds_is_read_checked_and_stored() {
        let schema = r#"{"type":"record","name":"R","key":"id","fields":[
            {"name":"id","type":"long","minimum":0},
            {"name":"tax","type":["null",{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}]}]}"#;
        let text = Marks::of(&Columns::parse(schema).unwrap());
        assert_eq!(
            text.fill("(/* read columns */)"),
            "(`id` Nullable(Int64),\n    `tax` Nullable(Decimal(5, 2)))"
        );
        assert_eq!(text.fill("/* stored columns */"), "`id` UInt64,\n    `tax` Nullable(Decimal(5, 2))");
        assert_eq!(
            text.fill("/* values */"),
            "assumeNotNull(toUInt64(found.`id`)) AS `id`,\n    found.`tax` AS `tax`"
        );
        assert_eq!(
            text.fill("/* rules */"),
            "ifNull(found.`id` >= 0, false)\n        AND ifNull(found.`tax` BETWEEN CAST('-999.99', 'Decimal(5, 2)') \
             AND CAST('999.99', 'Decimal(5, 2)'), true)"
        );
    }
}
