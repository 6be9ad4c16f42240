//! Every type of a schema: what is sent in Native and in RowBinary is what the engine stores.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use roundhouse::dataset::types::column_type;
use roundhouse::domain::columns::{Column, Columns, Kind};
use roundhouse::domain::value::Value;
use roundhouse::domain::{date, money};
use roundhouse::warehouse::native::Block;
use roundhouse::warehouse::row_binary::write_value;

use super::ClickHouse;

/// The types, by name; each is in the schema required and nullable.
const TYPES: [(&str, &str); 15] = [
    ("flag", r#""boolean""#),
    ("small", r#""int""#),
    ("large", r#""long""#),
    ("share", r#""double""#),
    ("price", r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#),
    ("amount", r#"{"type":"bytes","logicalType":"decimal","precision":18,"scale":18}"#),
    ("value", r#"{"type":"bytes","logicalType":"decimal","precision":38,"scale":0}"#),
    ("exact", r#"{"type":"bytes","logicalType":"decimal","precision":38,"scale":38}"#),
    ("millis", r#"{"type":"long","logicalType":"timestamp-millis"}"#),
    ("micros", r#"{"type":"long","logicalType":"timestamp-micros"}"#),
    ("day", r#"{"type":"int","logicalType":"date"}"#),
    ("note", r#""string""#),
    ("side", r#"{"type":"enum","name":"Side","symbols":["BUY","SELL","NONE"]}"#),
    ("order_id", r#"{"type":"string","logicalType":"uuid"}"#),
    ("trade_id", r#"{"type":"fixed","name":"Trade","size":16,"logicalType":"uuid"}"#),
];

const TEXT: &str = "Café 'n\t日本";

fn schema() -> Columns {
    let required = TYPES.map(|(name, kind)| format!(r#"{{"name":"{name}","type":{kind}}}"#));
    let nullable = TYPES.map(|(name, kind)| {
        // A type with a name is defined once.
        let kind = kind
            .replace(r#""name":"Side""#, r#""name":"Side2""#)
            .replace(r#""name":"Trade""#, r#""name":"Trade2""#);
        format!(r#"{{"name":"{name}_or_null","type":["null",{kind}]}}"#)
    });
    let count = r#"{"name":"count","type":"long","minimum":0}"#.to_owned();
    let fields: Vec<String> = required.into_iter().chain(nullable).chain([count]).collect();
    Columns::parse(&format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(","))).unwrap()
}

/// A value of the column: in the first rows the least and the largest ones, then random ones.
fn value(column: &Column, row: usize, dice: &mut StdRng) -> Value {
    let seconds = 4_291_747_199_i64;
    let pick = |least: i64, most: i64, dice: &mut StdRng| match row {
        0 => least,
        1 => most,
        _ => dice.random_range(least..=most),
    };
    if column.is_nullable() && (row == 2 || (row > 2 && dice.random_ratio(1, 4))) {
        return Value::Null;
    }
    match column.kind {
        Kind::Boolean => Value::Boolean(pick(0, 1, dice) == 1),
        Kind::Int => Value::Int(pick(i32::MIN.into(), i32::MAX.into(), dice) as i32),
        Kind::Long { minimum } => Value::Long(pick(minimum, i64::MAX, dice)),
        Kind::Double => match row {
            0 => Value::Double(f64::MIN),
            1 => Value::Double(f64::MIN_POSITIVE),
            3 => Value::Double(-0.0),
            _ => Value::Double(dice.random_range(-1e300..1e300)),
        },
        Kind::Decimal { precision, .. } => {
            let most = money::largest(precision);
            Value::Decimal(match row {
                0 => -most,
                1 => most,
                _ => dice.random_range(-most..=most),
            })
        }
        Kind::Timestamp => Value::Timestamp(pick(0, seconds * 1000 + 999, dice)),
        Kind::TimestampMicros => Value::TimestampMicros(pick(0, seconds * 1_000_000 + 999_999, dice)),
        Kind::Date => {
            Value::Date(pick((*date::RANGE.start()).into(), (*date::RANGE.end()).into(), dice) as i32)
        }
        Kind::Text { .. } => Value::Text { start: 0, end: if row == 0 { 0 } else { TEXT.len() } },
        Kind::Enum => Value::Enum(pick(0, 2, dice) as u32),
        Kind::Uuid | Kind::UuidText => Value::Uuid(match row {
            0 => 0,
            1 => u128::MAX,
            _ => dice.random(),
        }),
    }
}

/// A value as [`shown`] has it.
fn written(column: &Column, value: Value) -> String {
    match (column.kind, value) {
        (_, Value::Null) => "none".to_owned(),
        (_, Value::Boolean(is_true)) => is_true.to_string(),
        (_, Value::Int(number)) => number.to_string(),
        (_, Value::Long(number) | Value::Timestamp(number) | Value::TimestampMicros(number)) => {
            number.to_string()
        }
        (_, Value::Double(number)) => number.to_bits().to_string(),
        (Kind::Decimal { scale, .. }, Value::Decimal(unscaled)) => money::format(unscaled, scale),
        (_, Value::Date(days)) => date::format(days),
        (_, Value::Text { start, end }) => TEXT[start..end].replace('\'', "\\'").replace('\t', "\\t"),
        (_, Value::Enum(at)) => column.symbol(at).to_owned(),
        (_, Value::Uuid(uuid)) => uuid::Uuid::from_u128(uuid).to_string(),
        other => panic!("{other:?}"),
    }
}

/// An expression for what the engine has stored.
fn shown(column: &Column) -> String {
    let name = &column.name;
    let text = match column.kind {
        Kind::Double => format!("toString(reinterpretAsUInt64({name}))"),
        Kind::Timestamp => format!("toString(toUnixTimestamp64Milli({name}))"),
        Kind::TimestampMicros => format!("toString(toUnixTimestamp64Micro({name}))"),
        _ => format!("toString({name})"),
    };
    format!("if(isNull({name}), 'none', assumeNotNull({text}))")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_stored_as_it_was_sent_with_its_extremes_and_nulls() {
    let clickhouse = ClickHouse::start();
    let columns = schema();
    let mut dice = StdRng::seed_from_u64(7);
    let rows: Vec<Vec<Value>> =
        (0..500).map(|row| columns.iter().map(|column| value(column, row, &mut dice)).collect()).collect();
    let (mut block, mut row_binary) = (Block::new(columns.iter(), &[]), Vec::new());
    for row in &rows {
        for (at, (column, value)) in columns.iter().zip(row).enumerate() {
            block.push(at, column, *value, TEXT.as_bytes());
            write_value(column, *value, TEXT.as_bytes(), &mut row_binary);
        }
        block.end_row();
    }
    let native = block.into_pieces().concat();
    // A table with the types of the schema, and one whose author prefers other types for enums.
    let own = |column: &Column| match (column.kind, column.is_nullable()) {
        (Kind::Enum, false) => "Enum8('SELL' = 1, 'BUY' = 2, 'NONE' = 3)".to_owned(),
        (Kind::Enum, true) => "Nullable(Enum16('NONE' = -1, 'BUY' = 2, 'SELL' = 300))".to_owned(),
        _ => column_type(column),
    };
    let types: [&dyn Fn(&Column) -> String; 2] = [&column_type, &own];
    for (table, kind) in ["by_schema", "by_hand"].into_iter().zip(types) {
        let list: Vec<String> =
            columns.iter().map(|column| format!("{} {}", column.name, kind(column))).collect();
        clickhouse
            .sql(&format!("CREATE TABLE {table} ({}) ENGINE = MergeTree ORDER BY tuple()", list.join(", ")))
            .await;
        for (format, bytes) in [("Native", &native), ("RowBinary", &row_binary)] {
            // RowBinary has no types: it is read as the table has them.
            if table == "by_hand" && format == "RowBinary" {
                continue;
            }
            let insert = format!("INSERT INTO {table} FORMAT {format}");
            let reply = clickhouse.post(&[("query", &insert)], bytes.clone()).await;
            assert!(reply.status.is_success(), "{table} {format}: {}", reply.text());
            let list: Vec<String> = columns.iter().map(shown).collect();
            let stored = clickhouse.sql(&format!("SELECT {} FROM {table} FORMAT TSV", list.join(", "))).await;
            for (row, line) in rows.iter().zip(stored.lines()) {
                for ((column, value), found) in columns.iter().zip(row).zip(line.split('\t')) {
                    assert_eq!(found, written(column, *value), "{table} {format} {}", column.name);
                }
            }
            assert_eq!(stored.lines().count(), rows.len(), "{table} {format}");
            clickhouse.sql(&format!("TRUNCATE TABLE {table}")).await;
        }
    }
}
