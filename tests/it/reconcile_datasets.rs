//! Reconciliation of a dataset that is described by files alone: a key of two columns, every type of a column, and two aggregate tables.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::command::{client, run};
use crate::harness::process::until;
use crate::harness::server::Server;

const SCHEMA: &str = r#"{
  "type": "record", "name": "Order", "namespace": "test", "key": ["shop", "number"],
  "fields": [
    { "name": "shop", "type": "string", "min_length": 1, "max_length": 40 },
    { "name": "number", "type": "long", "minimum": 0 },
    { "name": "ordered_at", "type": { "type": "long", "logicalType": "timestamp-millis" } },
    { "name": "paid_at", "type": ["null", { "type": "long", "logicalType": "timestamp-micros" }], "default": null },
    { "name": "due_on", "type": { "type": "int", "logicalType": "date" } },
    { "name": "method", "type": { "type": "enum", "name": "Method", "symbols": ["card", "cash"] } },
    { "name": "select", "type": ["null", "string"], "default": null },
    { "name": "amount", "type": { "type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 4 } },
    { "name": "refunded", "type": ["null", "boolean"], "default": null },
    { "name": "items", "type": ["null", "int"], "default": null },
    { "name": "weight", "type": "double" },
    { "name": "reference", "type": ["null", { "type": "string", "logicalType": "uuid" }], "default": null },
    { "name": "upload_id", "type": ["null", { "type": "fixed", "name": "UploadId", "size": 16, "logicalType": "uuid" }], "default": null, "source": "upload_id" },
    { "name": "file_line", "type": ["null", "long"], "default": null, "source": "line", "minimum": 1 }
  ]
}"#;

const TABLES: [(&str, &str); 5] = [
    (
        "1_orders",
        "CREATE TABLE IF NOT EXISTS orders
(
    shop            LowCardinality(String),
    number          UInt64,
    ordered_at      DateTime64(3, 'UTC'),
    paid_at         Nullable(DateTime64(6, 'UTC')),
    due_on          Date32,
    method          LowCardinality(String),
    `select`        Nullable(String),
    amount          Decimal(18, 4),
    refunded        Nullable(Bool),
    items           Nullable(Int32),
    weight          Float64,
    reference       Nullable(UUID),
    upload_id       Nullable(UUID),
    file_line       Nullable(UInt64),
    kafka_epoch     UInt32,
    kafka_partition UInt16,
    kafka_offset    UInt64,
    recounted       Bool DEFAULT false
)
ENGINE = MergeTree
ORDER BY (shop, number)
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "2_shop_days",
        "CREATE TABLE IF NOT EXISTS shop_days
(
    shop   LowCardinality(String),
    day    Date,
    orders SimpleAggregateFunction(sumWithOverflow, UInt32),
    amount SimpleAggregateFunction(sum, Decimal(38, 4)),
    last   SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (shop, day)
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "3_shop_days_view",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS shop_days_view TO shop_days AS
SELECT shop, toDate(ordered_at) AS day, count() AS orders, sum(amount) AS amount, max(number) AS last
FROM orders
WHERE NOT recounted
GROUP BY shop, day
",
    ),
    (
        "4_method_hours",
        "CREATE TABLE IF NOT EXISTS method_hours
(
    hour    DateTime('UTC'),
    method  LowCardinality(String),
    orders  SimpleAggregateFunction(sum, UInt64),
    refunds SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (hour, method)
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "5_method_hours_view",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS method_hours_view TO method_hours AS
SELECT toStartOfHour(ordered_at) AS hour, method, count() AS orders, countIf(ifNull(refunded, false)) AS refunds
FROM orders
WHERE NOT recounted
GROUP BY hour, method
",
    ),
];

const HEADER: &str =
    "shop,number,ordered_at,paid_at,due_on,method,select,amount,refunded,items,weight,reference\n";

/// Writes a directory with the dataset.
fn orders() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("schemas/orders.avsc", SCHEMA);
    write("queries/orders/dataset.toml", "title = \"Orders\"\ntopic = \"orders\"\ntable = \"orders\"\n");
    for (name, text) in TABLES {
        write(&format!("queries/orders/tables/{name}.sql"), text);
    }
    directory
}

async fn start(directory: &TempDir) -> Server {
    Server::start(&[
        "--dataset",
        "bets",
        "--dataset",
        "orders",
        "--datasets",
        directory.path().to_str().unwrap(),
    ])
    .await
}

/// A line with these values of the columns from `amount` on.
fn line(shop: &str, number: u64, rest: &str) -> String {
    format!("\"{shop}\",{number},2026-01-02T10:20:30.500Z,,2026-02-01,card,,{rest}\n")
}

const REST: &str = "1.5,true,3,0.5,8c4f2a70-5f0e-4a9e-9d0b-3f2f1f6f7d21";

async fn upload(server: &Server, file: String) -> String {
    let url = server.url("/datasets/orders/rows?wait=visible");
    let receipt = server.send(|http| http.post(url).header("content-type", "text/csv").body(file)).await.ok();
    assert_eq!(receipt["rejected"], 0, "{receipt}");
    receipt["upload_id"].as_str().unwrap().to_owned()
}

/// Reconciles a file and waits for the report.
async fn reconcile(server: &Server, file: String, kind: &'static str, query: &str) -> Value {
    let url = server.url(&format!("/datasets/orders/reconcile{query}"));
    let job = server.send(|http| http.post(url).header("content-type", kind).body(file)).await;
    assert_eq!(job.status, 202, "{}", job.body);
    let link = job.body["links"]["self"].as_str().unwrap().to_owned();
    ended(server, &link).await
}

async fn ended(server: &Server, link: &str) -> Value {
    until("the job has ended", async || {
        let job = server.get(link).await.ok();
        (!matches!(job["state"].as_str(), Some("queued" | "running"))).then_some(job)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_file_matches_in_every_format_and_belongs_to_its_dataset() {
    let directory = orders();
    let server = start(&directory).await;
    let mut file = HEADER.to_owned();
    for shop in ["a", "b \"\"?\"\" {x} 'é'", "\\t"] {
        file += &(0..20).map(|number| line(shop, number, REST)).collect::<String>();
    }
    upload(&server, file.clone()).await;
    let job = reconcile(&server, file, "text/csv", "").await;
    let counts = ["rows", "matched", "rejected"].map(|name| job[name].as_u64());
    assert_eq!((&job["verdict"], counts), (&json!("match"), [Some(60), Some(60), Some(0)]), "{job}");
    let compared = json!([
        { "table": "shop_days", "checked": 3, "different": 0, "shared": 0 },
        { "table": "method_hours", "checked": 1, "different": 0, "shared": 0 }
    ]);
    assert_eq!((&job["aggregates"], job.get("hours")), (&compared, None), "{job}");
    assert_eq!(job["uploads"].as_array().map(Vec::len), Some(1), "{job}");
    let objects = r#"[{"shop":"a","number":3,"ordered_at":"2026-01-02T10:20:30.5Z","due_on":"2026-02-01","method":"card","select":"","amount":"1.50","refunded":true,
        "items":3,"weight":5e-1,"reference":"8C4F2A70-5F0E-4A9E-9D0B-3F2F1F6F7D21"}]"#;
    let job = reconcile(&server, objects.to_owned(), "application/json", "").await;
    assert_eq!((&job["verdict"], &job["matched"]), (&json!("match"), &json!(1)), "{job}");
    assert_eq!(job["aggregates"][0]["shared"], 1, "{job}");
    let list = server.get("/datasets/orders/reconcile").await.ok();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "{list}");
    assert_eq!(server.get("/reconcile").await.ok()["items"], json!([]));
    // The id of one dataset is unknown in another.
    let link = format!("/reconcile/{}", job["id"].as_str().unwrap());
    let problem = server.get(&link).await.problem(404, "no_such_job");
    assert!(problem["detail"].as_str().unwrap().contains("GET /reconcile lists them"), "{problem}");
    server.send(|http| http.delete(server.url(&link))).await.problem(404, "no_such_job");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_difference_is_found_exactly_with_its_types() {
    let directory = orders();
    let server = start(&directory).await;
    let rows =
        |numbers: std::ops::Range<u64>| numbers.map(|number| line("a", number, REST)).collect::<String>();
    let base = rows(0..13) + &line("b", 1, REST) + &line("c", 1, REST) + &line("e", 1, REST);
    let id = upload(&server, format!("{HEADER}{base}{}", line("d", 9, REST))).await;
    let damages = [
        (0, "ordered_at = ordered_at + INTERVAL 1 MILLISECOND"),
        (1, "paid_at = '2026-01-03 00:00:00.000001'"),
        (2, "due_on = '2026-02-02'"),
        (3, "method = 'cash'"),
        (4, "`select` = NULL"),
        (5, "amount = amount + 0.0001"),
        (6, "refunded = NULL"),
        (7, "refunded = false"),
        (8, "items = NULL"),
        (9, "weight = 0.75"),
        (10, "reference = NULL"),
    ];
    for (number, change) in damages {
        let sql = format!(
            "ALTER TABLE orders UPDATE {change} WHERE shop = 'a' AND number = {number} SETTINGS mutations_sync = 2"
        );
        server.clickhouse(sql).await;
    }
    server
        .clickhouse("ALTER TABLE orders DELETE WHERE shop = 'a' AND number = 11 SETTINGS mutations_sync = 2")
        .await;
    server.clickhouse("INSERT INTO shop_days VALUES ('e', '2026-01-02', 4294967295, 0.25, 1)").await;
    server.clickhouse("INSERT INTO method_hours VALUES ('2026-01-02 10:00:00', 'card', 1, 2)").await;
    let more = line("b", 1, REST) + &line("c", 1, &REST.replace("1.5", "2")) + &line("f", 1, "-0.5,,,1e3,");
    let file = format!("{HEADER}{base}{more}");
    let job = reconcile(&server, file.clone(), "text/csv", &format!("?upload_id={id}")).await;
    let counts =
        ["matched", "different", "missing", "duplicate_in_file", "contradictory_in_file", "unexpected"];
    assert_eq!(counts.map(|name| job[name].as_u64().unwrap()), [3, 11, 2, 1, 2, 1], "{job}");
    // Of the missing order f the tables know nothing; the deleted one is still in them.
    let compared = json!([
        { "table": "shop_days", "checked": 5, "different": 2, "shared": 0 },
        { "table": "method_hours", "checked": 1, "different": 1, "shared": 1 }
    ]);
    assert_eq!((&job["verdict"], &job["aggregates"]), (&json!("mismatch"), &compared), "{job}");

    let link = job["links"]["differences"].as_str().unwrap();
    let list = server.get(&format!("{link}?format=ndjson")).await;
    let found: Vec<Value> =
        list.body.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reference = "8c4f2a70-5f0e-4a9e-9d0b-3f2f1f6f7d21";
    let values = [
        ("ordered_at", json!("2026-01-02T10:20:30.500Z"), json!("2026-01-02T10:20:30.501Z")),
        ("paid_at", Value::Null, json!("2026-01-03T00:00:00.000001Z")),
        ("due_on", json!("2026-02-01"), json!("2026-02-02")),
        ("method", json!("card"), json!("cash")),
        ("select", json!(""), Value::Null),
        ("amount", json!("1.5"), json!("1.5001")),
        ("refunded", json!("true"), Value::Null),
        ("refunded", json!("true"), json!("false")),
        ("items", json!("3"), Value::Null),
        ("weight", json!("0.5"), json!("0.75")),
        ("reference", json!(reference), Value::Null),
    ];
    let row = |amount: &str| {
        json!({ "ordered_at": "2026-01-02T10:20:30.500Z", "paid_at": null, "due_on": "2026-02-01", "method": "card", "select": "",
            "amount": amount, "refunded": "true", "items": "3", "weight": "0.5", "reference": reference })
    };
    let new = json!({ "ordered_at": "2026-01-02T10:20:30.500Z", "paid_at": null, "due_on": "2026-02-01", "method": "card", "select": "",
        "amount": "-0.5", "refunded": null, "items": null, "weight": "1000", "reference": null });
    let key = |shop: &str, number: u64| json!({ "shop": shop, "number": number });
    let different = (0..).zip(values).map(|(number, (name, file, stored))| {
        json!({ "kind": "different", "line": number + 2, "key": key("a", number), "fields": { name: { "file": file, "stored": stored } } })
    });
    let others = [
        json!({ "kind": "missing", "line": 13, "key": key("a", 11), "file": row("1.5") }),
        json!({ "kind": "missing", "line": 20, "key": key("f", 1), "file": new }),
        json!({ "kind": "duplicate_in_file", "line": 18, "key": key("b", 1), "file": row("1.5") }),
        json!({ "kind": "unexpected", "key": key("d", 9), "stored": row("1.5"), "upload_id": id, "upload_line": 18 }),
        json!({ "kind": "aggregate", "aggregate": { "table": "method_hours", "key": { "hour": "2026-01-02T10:00:00Z", "method": "card" },
            "expected": { "orders": 18, "refunds": 17 }, "aggregated": { "orders": 18, "refunds": 19 } } }),
        json!({ "kind": "aggregate", "aggregate": { "table": "shop_days", "key": { "shop": "e", "day": "2026-01-02" },
            "expected": { "orders": 1, "amount": "1.5" }, "aggregated": { "orders": 0, "amount": "1.75" } } }),
        json!({ "kind": "aggregate", "aggregate": { "table": "shop_days", "key": { "shop": "f", "day": "2026-01-02" },
            "expected": { "orders": 1, "amount": "-0.5" }, "aggregated": { "orders": 0, "amount": "0" } } }),
        json!({ "kind": "contradictory_in_file", "line": 16, "key": key("c", 1), "file": row("1.5"), "stored": row("1.5"), "upload_id": id, "upload_line": 16 }),
        json!({ "kind": "contradictory_in_file", "line": 19, "key": key("c", 1), "file": row("2"), "stored": row("1.5"), "upload_id": id, "upload_line": 16 }),
    ];
    let expected: Vec<Value> = different.chain(others).collect();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
    let only = server.get(&format!("{link}?format=ndjson&kind=aggregate")).await;
    assert_eq!(only.body.as_str().unwrap().lines().count(), 3, "{}", only.body);
    // Hours are differences of bets.
    let none = server.get(&format!("{link}?format=ndjson&kind=hour")).await;
    assert_eq!((none.status, none.body.as_str().unwrap_or_default()), (200, ""), "{}", none.body);

    let csv = server.get(&format!("{link}?format=csv")).await;
    let header = csv.body.as_str().unwrap().lines().next().unwrap();
    assert!(header.starts_with("kind,line,shop,number,differing,file_ordered_at,"), "{header}");
    let sums = "upload_id,upload_line,aggregate_table,shop_days_shop,shop_days_day,shop_days_expected_orders,shop_days_expected_amount,\
                shop_days_aggregated_orders,shop_days_aggregated_amount,method_hours_hour,method_hours_method,";
    assert!(header.contains(sums), "{header}");
    // The table has the types of the columns.
    let types = "SELECT toTypeName(file_refunded), toTypeName(stored_amount), toTypeName(file_due_on), toTypeName(shop_days_expected_orders) \
                 FROM orders_differences LIMIT 1";
    assert_eq!(
        server.clickhouse(types).await.trim(),
        "Nullable(Bool)\tNullable(Decimal(18, 4))\tNullable(Date32)\tNullable(Int64)"
    );
    the_command_shows_them(&server, &file, &id).await;
}

async fn the_command_shows_them(server: &Server, file: &str, upload: &str) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("orders.csv");
    fs::write(&path, file).unwrap();
    let arguments =
        ["--dataset", "orders", "--upload-id", upload, "--differences", "all", path.to_str().unwrap()];
    let said = run(client("reconcile", &server.addresses.api, "", &arguments)).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""), "{said:?}");
    for text in [
        "5 keys (of shop_days) checked: 3 matched, 2 different",
        "1 row stored by uploads of this file, but absent from it",
        "items: 3 in the file, NULL stored",
        "refunds: 17 by its rows, 19 aggregated",
    ] {
        assert!(said.stdout.contains(text), "{text}: {}", said.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_all_datasets_share_a_queue_and_start_again_after_a_kill() {
    let directory = orders();
    let options =
        ["--dataset", "bets", "--dataset", "orders", "--datasets", directory.path().to_str().unwrap()];
    let limits = ["--max-running-reconciliations", "1", "--max-waiting-reconciliations", "1"];
    let mut server = Server::start(&[&options[..], &limits[..]].concat()).await;
    let mut file = HEADER.to_owned();
    file += &(0..100_000).map(|number| line("a", number, REST)).collect::<String>();
    upload(&server, file.clone()).await;
    let post = async |path: &str, file: String| {
        let url = server.url(path);
        server.send(|http| http.post(url).header("content-type", "text/csv").body(file)).await
    };
    let running = post("/datasets/orders/reconcile", file).await.body;
    let link = running["links"]["self"].as_str().unwrap().to_owned();
    until("it runs", async || (server.get(&link).await.ok()["state"] != "queued").then_some(())).await;
    let bets = format!("{}\n", crate::harness::files::HEADER);
    let waiting = post("/reconcile", bets).await.body;
    // One waits, of whatever dataset.
    let refused = post("/datasets/orders/reconcile", format!("{HEADER}{}", line("a", 1, REST))).await;
    let is_full = refused.status == 429 || server.get(&link).await.ok()["state"] == "done";
    assert!(is_full, "{}", refused.body);
    server.kill();
    server.restart().await;
    for link in [link, waiting["links"]["self"].as_str().unwrap().to_owned()] {
        let job = ended(&server, &link).await;
        assert_eq!((&job["state"], &job["verdict"]), (&json!("done"), &json!("match")), "{job}");
    }
    let left = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND match(name, '^reconcile_[a-z]+_[0-9a-f]{32}')";
    until("no table is left", async || (server.clickhouse(left).await.trim() == "0").then_some(())).await;
}
