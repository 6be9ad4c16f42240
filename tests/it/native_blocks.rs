//! Blocks of rows in the smallest types that have their values, as ClickHouse reads them.

use roundhouse::domain::columns::Columns;
use roundhouse::domain::value::Value;
use roundhouse::warehouse::native::{Block, Other};

use crate::harness::server::Server;

const SCHEMA: &str = r#"{"type":"record","name":"R","key":"id","fields":[
    {"name":"id","type":"long","minimum":0},
    {"name":"tax","type":["null",{"type":"bytes","logicalType":"decimal","precision":28,"scale":2}]},
    {"name":"note","type":["null","string"]},
    {"name":"game","type":"string"},
    {"name":"upload","type":["null",{"type":"fixed","size":16,"name":"U","logicalType":"uuid"}],"source":"upload_id"}]}"#;

const OTHERS: [Other; 2] = [
    Other { name: "part", kind: "UInt16", width: 2, repeats: true },
    Other { name: "again", kind: "Bool", width: 1, repeats: true },
];

const TABLE: &str = "CREATE TABLE blocks (id UInt64, tax Nullable(Decimal(28, 2)), note Nullable(String), \
     game LowCardinality(String), upload Nullable(UUID), part UInt16, again Bool) ENGINE = MergeTree ORDER BY id";

/// A row of a block.
struct Row {
    tax: Option<i128>,
    note: Option<String>,
    game: String,
    upload: Option<u128>,
}

/// Returns the block, and what ClickHouse must return for its rows.
fn block(first: usize, rows: &[Row]) -> (Vec<u8>, String) {
    let columns = Columns::parse(SCHEMA).unwrap();
    let mut block = Block::new(columns.iter(), &OTHERS);
    let mut expected = Vec::new();
    for (id, row) in (first..).zip(rows) {
        let note = row.note.clone().unwrap_or_default();
        let buffer = format!("{note}{}", row.game);
        let values = [
            Value::Long(id as i64),
            row.tax.map_or(Value::Null, Value::Decimal),
            row.note.as_ref().map_or(Value::Null, |note| Value::Text { start: 0, end: note.len() }),
            Value::Text { start: note.len(), end: buffer.len() },
            row.upload.map_or(Value::Null, Value::Uuid),
        ];
        for (at, (column, value)) in columns.iter().zip(values).enumerate() {
            block.push(at, column, value, buffer.as_bytes());
        }
        block.push_bytes(5, &((id % 7) as u16).to_le_bytes());
        block.push_bytes(6, &[u8::from(id % 2 == 0)]);
        block.end_row();
        let tax = row.tax.map_or("NULL".to_owned(), |tax| tax.to_string());
        let note = row.note.clone().unwrap_or("NULL".to_owned());
        let upload = row.upload.map_or("NULL".to_owned(), |id| uuid::Uuid::from_u128(id).to_string());
        expected.push(format!("{id}|{tax}|{note}|{}|{upload}|{}|{}", row.game, id % 7, id % 2 == 0));
    }
    (block.into_pieces().concat(), expected.join("\n"))
}

#[tokio::test]
async fn clickhouse_reads_the_values_of_a_block_whatever_types_it_has() {
    let server = Server::start(&[]).await;
    server.clickhouse(TABLE).await;
    let row = |number: usize, different: usize| Row {
        tax: (!number.is_multiple_of(5)).then_some(number as i128 - 100),
        note: (!number.is_multiple_of(3)).then(|| format!("note {}", number % different)),
        game: format!("game {}", number % different),
        upload: (!number.is_multiple_of(4)).then_some(u128::MAX - (number % different) as u128),
    };
    let full =
        |number: usize| Row { tax: Some(i64::MIN.into()), note: Some(String::new()), ..row(number, 1) };
    let wide = |number: usize| Row { tax: Some(1 << (number % 90)), ..row(number, 5000) };
    let blocks: [Vec<Row>; 5] = [
        (0..100).map(|number| row(number, 10)).collect(),
        // Numbers of two bytes, and of four.
        (0..5000).map(|number| row(number, 300)).collect(),
        (0..75_000).map(|number| row(number, if number < 5000 { 100 } else { 70_000 })).collect(),
        // No value is missing, and texts that do not repeat.
        (0..3).map(full).collect(),
        (0..5000).map(wide).collect(),
    ];
    let mut first = 0;
    for rows in blocks {
        let (block, expected) = block(first, &rows);
        let url = format!(
            "{}/?database=game_data&query=INSERT%20INTO%20blocks%20FORMAT%20Native",
            server.addresses.clickhouse_url
        );
        let answer = reqwest::Client::new().post(url).body(block).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        let sql = format!(
            "SELECT concatWithSeparator('|', id, ifNull(toString(toInt128(tax * 100)), 'NULL'), ifNull(note, 'NULL'), game, \
             ifNull(toString(upload), 'NULL'), part, again) FROM blocks WHERE id >= {first} ORDER BY id FORMAT TSVRaw"
        );
        let found = server.clickhouse(sql).await;
        let difference = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
        assert_eq!(difference, None);
        assert_eq!(found.lines().count(), rows.len());
        first += rows.len();
    }
}
