//! Datasets other than bets: a server takes, loads and lists their rows like those of bets, and each dataset has only its own.

use std::path::Path;
use std::{fs, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::broken_parts::{damage, part};
use crate::harness::server::{Answer, Server, refusal};

const SCHEMA: &str = r#"{
  "type": "record", "name": "Reading", "namespace": "test",
  "fields": [
    { "name": "sensor", "type": "string", "min_length": 1, "max_length": 20 },
    { "name": "measured_at", "type": { "type": "long", "logicalType": "timestamp-millis" } },
    { "name": "degrees", "type": { "type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2 } },
    { "name": "upload_id", "type": ["null", { "type": "fixed", "name": "UploadId", "size": 16, "logicalType": "uuid" }], "default": null, "source": "upload_id" },
    { "name": "line", "type": ["null", "long"], "default": null, "source": "line", "minimum": 1 }
  ]
}"#;

const DESCRIPTION: &str = "title = \"Readings of thermometers\"\ntopic = \"readings\"\ntable = \"readings\"\npartition_by = [\"sensor\"]\n";

const TABLES: [(&str, &str); 3] = [
    (
        "1_readings",
        "CREATE TABLE IF NOT EXISTS readings
(
    sensor          LowCardinality(String),
    measured_at     DateTime64(3, 'UTC'),
    degrees         Decimal(9, 2),
    upload_id       Nullable(UUID),
    line            Nullable(UInt64),
    kafka_epoch     UInt32,
    kafka_partition UInt16,
    kafka_offset    UInt64
)
ENGINE = MergeTree
ORDER BY (sensor, measured_at)
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "2_extremes",
        "CREATE TABLE IF NOT EXISTS extremes
(
    sensor   String,
    lowest   SimpleAggregateFunction(min, Decimal(9, 2)),
    highest  SimpleAggregateFunction(max, Decimal(9, 2)),
    readings SimpleAggregateFunction(sum, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY sensor
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "3_extremes_view",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS extremes_view TO extremes AS
SELECT toString(sensor) AS sensor, min(degrees) AS lowest, max(degrees) AS highest, count() AS readings
FROM readings
GROUP BY sensor
",
    ),
];

/// Writes a directory with the dataset `readings`, which has no key.
fn readings() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("schemas/readings.avsc", SCHEMA);
    write("queries/readings/dataset.toml", DESCRIPTION);
    for (name, text) in TABLES {
        write(&format!("queries/readings/tables/{name}.sql"), text);
    }
    directory
}

fn options(directory: &Path) -> [&str; 6] {
    ["--dataset", "bets", "--dataset", "readings", "--datasets", directory.to_str().unwrap()]
}

const FILE: &str = "sensor,measured_at,degrees\nattic,2026-01-01T00:00:00Z,12.5\nattic,2026-01-01T00:00:00Z,12.5\n\
                    cellar,2026-01-01T00:00:00Z,-3.25\ncellar,2026-01-01T00:01:00Z,cold\n";

async fn send(server: &Server, path: &str, file: impl Into<reqwest::Body>) -> Answer {
    server.send(|client| client.post(server.url(path)).header("content-type", "text/csv").body(file)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_of_files_alone_takes_rows_and_has_only_its_own_uploads() {
    let directory = readings();
    let server = Server::start(&options(directory.path())).await;
    let receipt = send(&server, "/datasets/readings/rows?wait=visible", FILE).await.ok();
    assert_eq!((receipt["accepted"].as_u64(), receipt["rejected"].as_u64()), (Some(3), Some(1)), "{receipt}");
    let sums = server
        .clickhouse(
            "SELECT sensor, min(lowest), max(highest), sum(readings) FROM extremes GROUP BY 1 ORDER BY 1",
        )
        .await;
    // Without a key each row counts.
    assert_eq!(sums.trim(), "attic\t12.5\t12.5\t2\ncellar\t-3.25\t-3.25\t1");
    let link = receipt["links"]["rejects"].as_str().unwrap();
    assert!(link.starts_with("/datasets/readings/uploads/"), "{link}");
    let rejects = server.get(link).await;
    assert!(rejects.body.to_string().contains("cold"), "{}", rejects.body.to_string());
    let id = receipt["upload_id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/uploads/{id}")).await.status, 404);
    let count = async |path: &str| server.get(path).await.ok()["items"].as_array().map(Vec::len);
    assert_eq!(count("/uploads").await, Some(0));
    assert_eq!(count("/datasets/readings/uploads").await, Some(1));
    // The same bytes again get the first receipt, but are another file for another dataset.
    let again = send(&server, "/datasets/readings/rows", FILE).await.ok();
    assert_eq!(again["state"], "duplicate", "{again}");
    let elsewhere = send(&server, "/datasets/bets/rows", FILE).await;
    assert_eq!(elsewhere.status, 422, "{}", elsewhere.body);
    for path in ["/datasets/readings/reconcile", "/datasets/readings/reconcile/x/differences"] {
        let problem = server.get(path).await.problem(404, "no_such_path");
        assert!(problem["detail"].as_str().unwrap().contains("a reconciliation needs one"), "{problem}");
    }
    assert_eq!(server.get("/datasets/nothing/uploads").await.status, 404);
    let ready = server.get("/readyz").await.ok();
    for name in ["loader", "readings_loader", "readings_dead_letter_loader"] {
        assert_eq!(ready["parts"][name]["ready"], Value::Bool(true), "{ready}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_dataset_without_a_key_are_exact_after_every_kill() {
    let directory = readings();
    let mut server = Server::start(&options(directory.path())).await;
    let mut expected = 0;
    for round in 0..4_u64 {
        let mut file = "sensor,measured_at,degrees\n".to_owned();
        for row in 0..20_000_u64 {
            file += &format!("s{},2026-01-01T00:00:00Z,{}.25\n", row % 7, round * 1000 + row % 1000);
        }
        send(&server, "/datasets/readings/rows", file).await.ok();
        expected += 20_000;
        // Somewhere while the rows are loaded.
        tokio::time::sleep(Duration::from_millis(60 * round)).await;
        server.kill();
        server.restart().await;
    }
    let sums = "SELECT (SELECT count() FROM readings), (SELECT uniqExact(kafka_partition, kafka_offset) FROM readings), sum(readings) FROM extremes";
    let wanted = format!("{expected}\t{expected}\t{expected}");
    for _ in 0..300 {
        if server.clickhouse(sums).await.trim() == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("expected {wanted}, found {}", server.clickhouse(sums).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_parts_of_a_dataset_without_a_key_are_rebuilt_and_no_row_counts_twice() {
    let directory = readings();
    let mut server = Server::start(&options(directory.path())).await;
    for table in ["readings", "extremes"] {
        server.clickhouse(format!("SYSTEM STOP MERGES {table}")).await;
    }
    for file in 0..2_u64 {
        let rows = (0..500_u64).fold("sensor,measured_at,degrees\n".to_owned(), |rows, row| {
            rows + &format!("s{},2026-01-01T00:00:00Z,{}.25\n", row % 7, file * 1000 + row)
        });
        send(&server, "/datasets/readings/rows?wait=visible", rows).await.ok();
    }
    let rows = "SELECT sensor, measured_at, degrees, upload_id, line, kafka_partition, kafka_offset FROM readings ORDER BY ALL";
    let sums = "SELECT sensor, min(lowest), max(highest), sum(readings) FROM extremes GROUP BY 1 ORDER BY 1";
    let expected = [server.clickhouse(rows).await, server.clickhouse(sums).await];
    // The rows and the aggregates of one file; then only the rows of one, which the aggregates still count.
    for tables in [&["readings", "extremes"][..], &["readings"]] {
        let mut broken = Vec::new();
        for table in tables {
            broken.push(part(&server, table).await);
        }
        damage(&mut server, &broken).await;
        server.restart().await;
        server.until_ready().await;
        assert_eq!(server.clickhouse(rows).await, expected[0]);
        assert_eq!(server.clickhouse(sums).await, expected[1]);
    }
}

/// Writes a directory with the dataset `readings` whose rows have a key.
fn numbered_readings() -> TempDir {
    let directory = readings();
    let change = |path: &str, from: &str, to: &str| {
        let path = directory.path().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    change("schemas/readings.avsc", "\"name\": \"Reading\",", "\"name\": \"Reading\", \"key\": \"number\",");
    let number = "\"fields\": [ { \"name\": \"number\", \"type\": \"long\", \"minimum\": 0 },";
    change("schemas/readings.avsc", "\"fields\": [", number);
    change(
        "queries/readings/tables/1_readings.sql",
        "(\n    sensor",
        "(\n    number UInt64,\n    recounted Bool,\n    sensor",
    );
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_a_key_count_once_and_other_values_are_conflicts_also_after_kills() {
    let directory = numbered_readings();
    let mut server = Server::start(&options(directory.path())).await;
    let file = |degrees: u64| {
        (0..20_000_u64).fold("number,sensor,measured_at,degrees\n".to_owned(), |file, row| {
            // Every hundredth row has other values the second time.
            let degrees = if row % 100 == 0 { degrees } else { 1 };
            file + &format!("{row},s{},2026-01-01T00:00:00Z,{degrees}.25\n", row % 7)
        })
    };
    for degrees in [1, 2] {
        send(&server, "/datasets/readings/rows", file(degrees)).await.ok();
        tokio::time::sleep(Duration::from_millis(40 * degrees)).await;
        server.kill();
        server.restart().await;
    }
    let sums = "SELECT (SELECT count() FROM readings), (SELECT uniqExact(number) FROM readings), sum(readings), max(highest), \
                (SELECT count() FROM readings_conflicts FINAL) FROM extremes";
    let wanted = "20000\t20000\t20000\t1.25\t200";
    for _ in 0..300 {
        if server.clickhouse(sums).await.trim() == wanted {
            let uploads = server.get("/datasets/readings/uploads").await.ok();
            let id = uploads["items"][0]["upload_id"].as_str().unwrap();
            let upload = server.get(&format!("/datasets/readings/uploads/{id}")).await.ok();
            let counts = ["new", "duplicate", "conflict"].map(|name| upload[name].as_u64());
            assert_eq!(counts, [Some(0), Some(19_800), Some(200)], "{upload}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("expected {wanted}, found {}", server.clickhouse(sums).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_kept_exact_ends_the_start_with_its_file_and_line() {
    let cases = [
        (
            1,
            "SimpleAggregateFunction(sum, UInt64)",
            "SimpleAggregateFunction(sum, Float64)",
            "2_extremes.sql:6: the column readings of the table extremes has the type SimpleAggregateFunction(sum, Float64)",
        ),
        (1, "ORDER BY sensor", "ORDER sensor", "2_extremes.sql:9: ClickHouse failed: Code: 62"),
        (
            1,
            "SimpleAggregateFunction(sum, UInt64)",
            "UInt64",
            "2_extremes.sql:1: ClickHouse failed: Code: 36. DB::Exception: Column(s) readings of the AggregatingMergeTree table are neither",
        ),
        (
            1,
            "SETTINGS non_replicated_deduplication_window = 1000\n",
            "",
            "2_extremes.sql:8: the table extremes would store a block twice",
        ),
        (
            0,
            "    kafka_offset    UInt64\n",
            "    kafka_offset    UInt32\n",
            "1_readings.sql:10: the column kafka_offset of readings must have the type UInt64",
        ),
        (
            0,
            "ORDER BY (sensor, measured_at)\n",
            "ORDER BY (sensor, measured_at)\nTTL toDateTime(measured_at) + INTERVAL 1 DAY\n",
            "2_extremes.sql:6: the column readings of the table extremes is a sum of rows that expire",
        ),
    ];
    for (at, from, to, expected) in cases {
        let directory = readings();
        let (name, text) = TABLES[at];
        fs::write(
            directory.path().join(format!("queries/readings/tables/{name}.sql")),
            text.replace(from, to),
        )
        .unwrap();
        refusal(&directory.path().join("data"), &options(directory.path())).await.assert(1, expected);
    }
}
