//! Rows in JSON, and every type of a column: files and events of a dataset end in the same rows, and rejects can be corrected.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::process::until;
use crate::harness::server::{Answer, Server};

const SCHEMA: &str = r#"{
  "type": "record", "name": "Tick", "namespace": "test", "unknown_members": "reject",
  "fields": [
    { "name": "symbol", "type": "string", "min_length": 1, "max_length": 20, "pattern": "[A-Z]+", "aliases": ["s"] },
    { "name": "side", "type": { "type": "enum", "name": "Side", "symbols": ["BUY", "SELL"] } },
    { "name": "price", "type": { "type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 18 }, "minimum": 0, "path": "/data/p" },
    { "name": "share", "type": ["null", "double"], "default": null, "path": "/data/share" },
    { "name": "is_maker", "type": ["null", "boolean"], "default": null },
    { "name": "level", "type": ["null", "int"], "default": null, "maximum": 10 },
    { "name": "day", "type": ["null", { "type": "int", "logicalType": "date" }], "default": null },
    { "name": "at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
    { "name": "order_id", "type": ["null", { "type": "string", "logicalType": "uuid" }], "default": null },
    { "name": "received_at", "type": { "type": "long", "logicalType": "timestamp-millis" }, "source": "received_at" },
    { "name": "upload_id", "type": ["null", { "type": "fixed", "name": "UploadId", "size": 16, "logicalType": "uuid" }], "default": null, "source": "upload_id" },
    { "name": "line", "type": ["null", "long"], "default": null, "source": "line", "minimum": 1 }
  ]
}"#;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS ticks
(
    symbol          LowCardinality(String),
    side            LowCardinality(String),
    price           Decimal(38, 18),
    share           Nullable(Float64),
    is_maker        Nullable(Bool),
    level           Nullable(Int32),
    day             Nullable(Date32),
    at              DateTime64(6, 'UTC'),
    order_id        Nullable(UUID),
    received_at     DateTime64(3, 'UTC'),
    upload_id       Nullable(UUID),
    line            Nullable(UInt64),
    kafka_epoch     UInt32,
    kafka_partition UInt16,
    kafka_offset    UInt64
)
ENGINE = MergeTree
ORDER BY (symbol, at)
SETTINGS non_replicated_deduplication_window = 1000
";

const CSV: &str = "symbol,side,price,share,is_maker,level,day,at,order_id\n\
                   BTC,BUY,65012.310000000000000001,0.25,true,7,2024-11-28,2024-11-28T13:20:00.000001Z,8c4f2a70-5f0e-4a9e-9d0b-3f2f1f6f7d21\n\
                   ETH,SELL,12345678901234567890.5,,,,,2024-11-28T13:20:00Z,\n";

/// The same rows.
const OBJECTS: [&str; 2] = [
    r#"{"symbol":"BTC","side":"BUY","data":{"p":65012.310000000000000001,"share":2.5e-1},"is_maker":true,"level":7,"day":"2024-11-28","at":1732800000000001,"order_id":"8C4F2A70-5F0E-4A9E-9D0B-3F2F1F6F7D21"}"#,
    r#"{"at":"2024-11-28T13:20:00Z","s":"\u0045TH","side":"SELL","data":{"p":"12345678901234567890.5"},"level":null}"#,
];

const STORED: &str = "BTC\tBUY\t65012.310000000000000001\t0.25\ttrue\t7\t2024-11-28\t2024-11-28 13:20:00.000001\t8c4f2a70-5f0e-4a9e-9d0b-3f2f1f6f7d21\n\
                      ETH\tSELL\t12345678901234567890.5\t\\N\t\\N\t\\N\t\\N\t2024-11-28 13:20:00.000000\t\\N";

async fn start() -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("schemas/ticks.avsc", SCHEMA);
    write(
        "queries/ticks/dataset.toml",
        "title = \"Ticks\"\ntopic = \"ticks\"\ntable = \"ticks\"\npartition_by = [\"symbol\"]\n",
    );
    write("queries/ticks/tables/1_ticks.sql", TABLE);
    let datasets = directory.path().to_str().unwrap();
    let server = Server::start(&["--dataset", "bets", "--dataset", "ticks", "--datasets", datasets]).await;
    (server, directory)
}

async fn send(server: &Server, path: &str, kind: &str, body: impl Into<reqwest::Body>) -> Answer {
    server.send(|client| client.post(server.url(path)).header("content-type", kind).body(body)).await
}

async fn stored(server: &Server, condition: &str) -> String {
    let sql = format!(
        "SELECT symbol, side, price, share, is_maker, level, day, at, order_id FROM ticks WHERE {condition} ORDER BY symbol FORMAT TSV"
    );
    server.clickhouse(sql).await.trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_ndjson_and_an_array_are_the_same_rows_and_events_are_no_upload() {
    let (server, _directory) = start().await;
    let path = "/datasets/ticks/rows?wait=visible";
    for (kind, body) in [
        ("text/csv", CSV.to_owned()),
        ("application/x-ndjson", OBJECTS.join("\n")),
        ("application/json", format!("[\n{}\n]", OBJECTS.join(",\n"))),
        // The first character shows what it is.
        ("application/octet-stream", format!("\n{}\n", OBJECTS.join("\r\n"))),
    ] {
        let receipt = send(&server, path, kind, body.clone()).await.ok();
        assert_eq!(receipt["accepted"], 2, "{kind}: {receipt:#}");
        assert_eq!(receipt.get("format"), (kind != "text/csv").then_some(&json!("json")), "{receipt:#}");
        let id = receipt["upload_id"].as_str().unwrap();
        assert_eq!(stored(&server, &format!("upload_id = '{id}'")).await, STORED, "{kind}");
        let checks = format!(
            "SELECT countIf(received_at > now() - INTERVAL 1 HOUR), arraySort(groupArray(line)) FROM ticks WHERE upload_id = '{id}'"
        );
        let lines = if kind == "application/x-ndjson" { "[1,2]" } else { "[2,3]" };
        assert_eq!(server.clickhouse(checks).await, format!("2\t{lines}"), "{kind}");
        let again = send(&server, path, kind, body.clone()).await.ok();
        assert_eq!(
            (&again["state"], &again["upload_id"]),
            (&json!("duplicate"), &receipt["upload_id"]),
            "{again:#}"
        );
        let checked = send(&server, "/datasets/ticks/rows?validate_only=true", kind, body).await.ok();
        assert_eq!((&checked["accepted"], &checked["upload_id"]), (&json!(2), &Value::Null), "{checked:#}");
    }
    // JSON for the path of bets is no CSV, and CSV is no JSON.
    let refused = send(&server, "/uploadcsv", "application/json", OBJECTS[0]).await;
    refused.problem(400, "not_csv");
    let refused = send(&server, path, "application/x-ndjson", CSV).await;
    refused.problem(400, "not_json");

    let uploads = server.get("/datasets/ticks/uploads").await.ok()["items"].as_array().unwrap().len();
    let events = format!("[{}, {}, {{\"s\":\"DOGE\"}}]", OBJECTS[0], OBJECTS[1]);
    let taken = send(&server, "/datasets/ticks/events", "application/json", events).await.ok();
    assert_eq!((&taken["accepted"], &taken["rejected"]), (&json!(2), &json!(1)), "{taken:#}");
    let faults = taken["rejects"][0]["faults"].as_array().unwrap();
    let pointers: Vec<_> =
        faults.iter().map(|fault| (fault["pointer"].as_str(), fault["code"].as_str())).collect();
    let missing = |pointer| (Some(pointer), Some("missing_value"));
    assert_eq!(pointers, [missing("/side"), missing("/data/p"), missing("/at")], "{taken:#}");
    until("the events are stored", async || {
        (stored(&server, "upload_id IS NULL").await == STORED).then_some(())
    })
    .await;
    until("the rejected event is in the table of rejects", async || {
        let sql = "SELECT count() FROM rejects WHERE upload_id = '' AND raw = '{\"s\":\"DOGE\"}'";
        (server.clickhouse(sql).await == "1").then_some(())
    })
    .await;
    let after = server.get("/datasets/ticks/uploads").await.ok()["items"].as_array().unwrap().len();
    assert_eq!(after, uploads);
    send(&server, "/datasets/ticks/events", "application/json", "").await.problem(400, "not_json");
    let one = send(&server, "/datasets/ticks/events", "application/json", OBJECTS[1]).await.ok();
    assert_eq!((&one["accepted"], &one["rejects"]), (&json!(1), &json!([])), "{one:#}");
    for (body, status, code) in [
        ("oops".to_owned(), 400, "not_json"),
        (format!("[{}]", ["{}"; 50_001].join(",")), 413, "too_many_rows"),
        (format!("[{}]", " ".repeat(17 << 20)), 413, "file_too_large"),
    ] {
        let refused = send(&server, "/datasets/ticks/events", "application/json", body).await;
        refused.problem(status, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_object_names_its_faults_and_is_replayed_once_it_is_corrected() {
    let (server, _directory) = start().await;
    let good = OBJECTS[0];
    let wrong = good.replace("\"level\":7", "\"level\":11").replace("\"BUY\"", "\"HOLD\"");
    let unknown = good.replace("{\"symbol\"", "{\"sym\":1,\"symbol\"");
    let file = format!("[{good},\n{wrong},\n{unknown},\n{{\"symbol\":}},\n{good}]");
    let receipt = send(&server, "/datasets/ticks/rows?wait=visible", "application/json", file).await.ok();
    assert_eq!((&receipt["accepted"], &receipt["rejected"]), (&json!(2), &json!(3)), "{receipt:#}");
    let found: Vec<_> = receipt["rejects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| (reject["line"].as_u64(), reject["pointer"].as_str(), reject["code"].as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (Some(2), Some("/side"), Some("unknown_symbol")),
            (Some(3), Some("/sym"), Some("unknown_member")),
            (Some(4), Some(""), Some("invalid_json")),
        ]
    );
    let list = format!("{}?format=ndjson", receipt["links"]["rejects"].as_str().unwrap());
    let listed = server.get(&list).await.body.to_string();
    assert!(listed.contains("/level") && listed.contains("HOLD"), "{listed}");

    let id = receipt["upload_id"].as_str().unwrap();
    let path = format!("/datasets/ticks/uploads/{id}/replay?wait=visible");
    let named = |line: u64, row: &str| row.replacen('{', &format!("{{\"reject_line\":{line},"), 1);
    let corrected = [named(2, good), named(4, &wrong), named(17, good)].join("\n");
    let replay = send(&server, &path, "application/x-ndjson", corrected).await.ok();
    assert_eq!((&replay["replayed"], &replay["still_rejected"]), (&json!(1), &json!(2)), "{replay:#}");
    // What is left is read again, and is still not valid.
    let replay = server.send(|client| client.post(server.url(&path))).await.ok();
    assert_eq!((&replay["replayed"], &replay["still_rejected"]), (&json!(0), &json!(2)), "{replay:#}");
    assert_eq!(server.clickhouse("SELECT count(), uniqExact(price) FROM ticks").await, "3\t1");
}
