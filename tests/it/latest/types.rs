//! A dataset of files alone whose key and values have every type, and whose rows are read from the row table.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{answers_from_memory, ask, ask_clickhouse, send_events};
use crate::harness::process::until;
use crate::harness::server::Server;

const SCHEMA: &str = r#"{
  "type": "record", "name": "Quote", "namespace": "test",
  "fields": [
    { "name": "side", "type": { "type": "enum", "name": "Side", "symbols": ["SELL", "BUY", "HOLD"] } },
    { "name": "is_live", "type": "boolean" },
    { "name": "level", "type": "int" },
    { "name": "number", "type": "long", "minimum": 0 },
    { "name": "strike", "type": { "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2 } },
    { "name": "day", "type": { "type": "int", "logicalType": "date" } },
    { "name": "opened", "type": { "type": "long", "logicalType": "timestamp-millis" } },
    { "name": "order_id", "type": { "type": "string", "logicalType": "uuid" } },
    { "name": "select", "type": ["null", "string"], "default": null },
    { "name": "low", "type": ["null", "long"], "default": null },
    { "name": "at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
    { "name": "line", "type": ["null", "long"], "default": null, "source": "line", "minimum": 1 }
  ]
}"#;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS quotes
(
    side            LowCardinality(String),
    is_live         Bool,
    level           Int32,
    number          UInt64,
    strike          Decimal(9, 2),
    day             Date32,
    opened          DateTime64(3, 'UTC'),
    order_id        UUID,
    `select`        Nullable(String),
    low             Nullable(Int64),
    at              DateTime64(6, 'UTC'),
    line            Nullable(UInt64),
    kafka_epoch     UInt32,
    kafka_partition UInt16,
    kafka_offset    UInt64
)
ENGINE = MergeTree
ORDER BY (side, at)
SETTINGS non_replicated_deduplication_window = 1000
";

const KEY: [&str; 8] = ["side", "is_live", "level", "number", "strike", "day", "opened", "order_id"];

const ENDPOINT: &str = "-- The last quotes
-- param keys  Only these
-- param limit default=10000 Number of rows of a page
-- page: order_id desc, side, is_live desc, level, number desc, strike, day, opened
-- latest: keys
SELECT low, `select`, at, side, is_live, level, number, strike, day, opened, order_id, line
FROM quotes
WHERE (empty({keys:Array(Tuple(String, Bool, Int32, UInt64, Decimal(9, 2), Date32, DateTime64(3, 'UTC'), UUID))})
    OR (side, is_live, level, number, strike, day, opened, order_id)
        IN {keys:Array(Tuple(String, Bool, Int32, UInt64, Decimal(9, 2), Date32, DateTime64(3, 'UTC'), UUID))})
ORDER BY at DESC, kafka_epoch DESC, kafka_offset DESC, kafka_partition DESC
LIMIT 1 BY side, is_live, level, number, strike, day, opened, order_id
";

const ONE: &str = "-- The last quote of a level
-- param level required A level
-- answer: one
-- latest: level
SELECT at, level FROM quotes WHERE level = {level:Int32} ORDER BY at DESC LIMIT 1
";

fn write(directory: &TempDir, path: &str, text: &str) {
    let path = directory.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The dataset `quotes` with these columns in its key.
fn quotes(key: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let description = format!(
        "title = \"Quotes\"\ntopic = \"quotes\"\ntable = \"quotes\"\n[latest]\nkey = {key:?}\norder = [\"at\", \"low\"]\n"
    );
    write(&directory, "schemas/quotes.avsc", SCHEMA);
    write(&directory, "queries/quotes/dataset.toml", &description.replace(", \"low\"", ""));
    write(&directory, "queries/quotes/tables/1_quotes.sql", TABLE);
    directory
}

fn options(directory: &TempDir) -> [String; 4] {
    ["--dataset", "quotes", "--datasets", directory.path().to_str().unwrap()].map(str::to_owned)
}

/// Different keys, each with values of another size than the one before.
fn events() -> Vec<Value> {
    let uuids = ["00000000-0000-0000-ffff-000000000001", "ffffffff-0000-0000-0000-000000000002"];
    let texts = ["", "日本\u{2029}\"\\/", "NULL"];
    (0..400_usize)
        .map(|at| {
            let (side, level) = (["SELL", "BUY", "HOLD"][at % 3], [i32::MIN, -1, 0, i32::MAX][at % 4]);
            let (number, strike) = ([0, i64::MAX][at % 2], ["-0.01", "9999999.99", "0"][at / 3 % 3]);
            let day = ["1900-01-01", "2299-12-31", "1970-01-01"][at % 3];
            let opened = ["1970-01-01T00:00:00Z", "2105-12-31T23:59:59.999Z"][at / 2 % 2];
            let low = if at % 5 == 0 { Value::Null } else { json!([i64::MIN, i64::MAX, -1][at % 3]) };
            let text = if at % 7 == 0 { Value::Null } else { texts[at % 3].into() };
            json!({
                "side": side, "is_live": at % 2 == 0, "level": level, "number": number, "strike": strike, "day": day,
                "opened": opened, "order_id": uuids[at / 5 % 2], "select": text, "low": low,
                "at": format!("2026-11-28T00:00:{:02}.{:06}Z", at * 7 % 60, at % 3),
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_found_by_its_value_ordered_and_written_as_clickhouse_does() {
    let directory = quotes(&KEY);
    write(&directory, "queries/quotes/endpoints/latest.sql", ENDPOINT);
    let options = options(&directory);
    let mut server = Server::start(&options.each_ref().map(String::as_str)).await;
    let events = events();
    send_events(&server, "quotes", &events).await;
    let key = |event: &Value| -> Vec<Value> { KEY.iter().map(|name| event[name].clone()).collect() };
    let mut keys: Vec<Vec<Value>> = events.iter().map(key).collect();
    keys.push(key(&json!({
        "side": "none", "is_live": true, "level": 1, "number": u64::MAX, "strike": "1.00", "day": "2026-01-01",
        "opened": "2026-01-01", "order_id": "00000000-0000-0000-0000-000000000000",
    })));
    let question = json!({ "keys": keys });
    until_same(&server, &question, events.len()).await;

    // Text that no file has. The rows come from the row table now.
    server
        .clickhouse(
            "INSERT INTO quotes SELECT * REPLACE (concat(char(1, 8, 9, 10, 12, 13, 31, 127), '/\\\\') AS `select`, at + 60 AS at)
             FROM quotes WHERE level = -1",
        )
        .await;
    let rows = server.clickhouse("SELECT count() FROM quotes").await.parse().unwrap();
    server.restart().await;
    let answer = until_same(&server, &question, rows).await;
    assert!(answer.contains(r"\u0001\b\t\n\f\r\u001F"), "{answer}");
}

/// Waits until ClickHouse has this many rows, and memory answers with the same bytes as ClickHouse.
async fn until_same(server: &Server, question: &Value, rows: usize) -> String {
    until("ClickHouse has all rows", async || {
        (server.clickhouse("SELECT count() FROM quotes").await == rows.to_string()).then_some(())
    })
    .await;
    let expected = ask_clickhouse(server, "/datasets/quotes/latest", question).await;
    assert!(expected.len() > 1000, "{expected}");
    until("answers come from memory", async || answers_from_memory(server, "quotes").await).await;
    until("memory has all rows", async || {
        let found = ask(server, "/datasets/quotes/latest", question).await;
        (found.len() == expected.len()).then_some(())
    })
    .await;
    assert_eq!(ask(server, "/datasets/quotes/latest", question).await, expected);
    expected
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_is_an_object_and_a_key_without_row_is_not_found() {
    let directory = quotes(&["level"]);
    write(&directory, "queries/quotes/endpoints/one.sql", ONE);
    let options = options(&directory);
    let server = Server::start(&options.each_ref().map(String::as_str)).await;
    until("answers come from memory", async || answers_from_memory(&server, "quotes").await).await;
    let event = events().remove(2);
    send_events(&server, "quotes", &[event]).await;
    let found = until("the event is known", async || {
        let answer = server.get("/datasets/quotes/one?level=0").await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!(found, json!({ "at": "2026-11-28T00:00:14.000002Z", "level": 0 }));
    server.get("/datasets/quotes/one?level=7").await.problem(404, "no_row");
}
