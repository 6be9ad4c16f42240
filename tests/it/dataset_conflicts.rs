//! Conflicts of a dataset other than bets: each field typed, as it was sent and as it is stored.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::command::{Said, client, run};
use crate::harness::server::Server;

const SCHEMA: &str = r#"{
  "type": "record", "name": "Ticket", "namespace": "test", "key": "number",
  "fields": [
    { "name": "state", "type": { "type": "enum", "name": "State", "symbols": ["sold", "used"] } },
    { "name": "number", "type": "long", "minimum": 0 },
    { "name": "day", "type": { "type": "int", "logicalType": "date" } },
    { "name": "price", "type": ["null", { "type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4 }], "default": null },
    { "name": "is_child", "type": ["null", "boolean"], "default": null },
    { "name": "seat", "type": { "type": "fixed", "name": "Seat", "size": 16, "logicalType": "uuid" } },
    { "name": "sold_at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
    { "name": "select", "type": ["null", "string"], "default": null },
    { "name": "weight", "type": "double" },
    { "name": "shift", "type": "long" },
    { "name": "upload", "type": ["null", { "type": "fixed", "name": "UploadId", "size": 16, "logicalType": "uuid" }], "default": null, "source": "upload_id" },
    { "name": "row", "type": ["null", "long"], "default": null, "source": "line", "minimum": 1 }
  ]
}"#;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS tickets
(
    state           LowCardinality(String),
    number          UInt64,
    day             Date32,
    price           Nullable(Decimal(18, 4)),
    is_child        Nullable(Bool),
    seat            UUID,
    sold_at         DateTime64(6, 'UTC'),
    `select`        Nullable(String),
    weight          Float64,
    shift           Int64,
    upload          Nullable(UUID),
    row             Nullable(UInt64),
    recounted       Bool,
    kafka_epoch     UInt32,
    kafka_partition UInt16,
    kafka_offset    UInt64
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 1000
";

const HEADER: &str = "state,number,day,price,is_child,seat,sold_at,select,weight,shift";
const SEAT: &str = "c3e6ac11-44f6-4c9a-a5d4-1a4bb2ba7a3b";

/// Writes a directory with the dataset `tickets`.
fn tickets() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("schemas/tickets.avsc", SCHEMA);
    write("queries/tickets/dataset.toml", "title = \"Tickets\"\ntopic = \"tickets\"\ntable = \"tickets\"\n");
    write("queries/tickets/tables/1_tickets.sql", TABLE);
    directory
}

fn options(directory: &Path) -> [&str; 6] {
    ["--dataset", "bets", "--dataset", "tickets", "--datasets", directory.to_str().unwrap()]
}

/// Uploads rows. Returns the id of the upload.
async fn upload(server: &Server, rows: &str) -> String {
    let file = format!("{HEADER}\n{rows}");
    let url = server.url("/datasets/tickets/rows?wait=visible");
    let send = server.send(|client| client.post(url).header("content-type", "text/csv").body(file));
    let receipt = send.await.ok();
    assert_eq!(receipt["rejected"], 0, "{receipt}");
    receipt["upload_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_of_a_dataset_have_the_types_of_their_columns() {
    let directory = tickets();
    let server = Server::start(&options(directory.path())).await;
    let row = |number: u64, rest: &str| format!("sold,{number},{rest}\n");
    let stored = format!("2026-01-31,12.5,true,{SEAT},2026-01-01T00:00:00.123456Z,=1+1,0.5,-3");
    let rows: String = (1..=3).map(|number| row(number, &stored)).collect();
    let first = upload(&server, &rows).await;
    // A null in place of each value that is empty in the file (a text is the empty text), and values in place of nulls are other rows; the last row comes again unchanged.
    let other = "1969-12-31,,,00000000-0000-0000-0000-000000000001,2026-01-01T00:00:00.123457Z,,0.75,4";
    let second =
        upload(&server, &[format!("used,1,{other}\n"), row(2, &stored), row(3, other)].concat()).await;
    let list = async |format: &str| {
        let answer = server.get(&format!("/datasets/tickets/uploads/{second}/conflicts?{format}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let ndjson = list("format=ndjson").await;
    let lines: Vec<Value> =
        ndjson.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = json!({
        "line": 2, "number": 1, "state": "used", "stored_state": "sold", "day": "1969-12-31", "stored_day": "2026-01-31",
        "price": null, "stored_price": "12.5", "is_child": null, "stored_is_child": true,
        "seat": "00000000-0000-0000-0000-000000000001", "stored_seat": SEAT,
        "sold_at": "2026-01-01T00:00:00.123457Z", "stored_sold_at": "2026-01-01T00:00:00.123456Z",
        "select": "", "stored_select": "=1+1", "weight": 0.75, "stored_weight": 0.5, "shift": 4, "stored_shift": -3,
        "stored_upload_id": first, "stored_line": 2,
    });
    assert_eq!(lines[0], expected);
    assert_eq!((lines.len(), &lines[1]["number"]), (2, &json!(3)), "{ndjson}");

    let csv = list("format=csv&escape_formulas=true").await;
    let csv = csv.as_str().unwrap();
    let header =
        "\"line\",\"number\",\"state\",\"stored_state\",\"day\",\"stored_day\",\"price\",\"stored_price\"";
    assert!(csv.starts_with(header), "{csv}");
    assert!(csv.contains("\"'=1+1\""), "{csv}");
    // A row that is stored as it was sent is no conflict any more.
    let mend = "ALTER TABLE tickets DELETE WHERE number = 3 SETTINGS mutations_sync = 1";
    server.clickhouse(mend).await;
    assert_eq!(list("format=ndjson").await["number"], 1);

    // Uploads of one dataset are not those of another, and a dataset without a key has no conflicts.
    assert_eq!(server.get(&format!("/uploads/{second}/conflicts")).await.status, 404);
    let command = client("conflicts", &server.url(""), "", &["--dataset", "tickets", &second]);
    let Said { code, stdout: text, stderr } = run(command).await;
    assert_eq!(code, Some(0), "{stderr}");
    for part in ["number: 1", "price: NULL in the file, 12.5 stored", first.as_str()] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
