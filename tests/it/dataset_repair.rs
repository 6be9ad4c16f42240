//! Repairs of a dataset other than bets: its rows, and aggregate tables with sums, maxima, states and rows that replace each other.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::broken_parts::{damage, part};
use crate::harness::process::{signal, until};
use crate::harness::server::Server;

const SCHEMA: &str = r#"{
  "type": "record", "name": "Payment", "namespace": "test", "key": "payment_id",
  "fields": [
    { "name": "merchant", "type": "string", "min_length": 1 },
    { "name": "payment_id", "type": "long", "minimum": 0 },
    { "name": "status", "type": { "type": "enum", "name": "Status", "symbols": ["open", "paid", "void"] } },
    { "name": "paid_on", "type": { "type": "int", "logicalType": "date" } },
    { "name": "amount", "type": { "type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2 } },
    { "name": "tip", "type": ["null", { "type": "bytes", "logicalType": "decimal", "precision": 18, "scale": 2 }], "default": null },
    { "name": "is_refund", "type": ["null", "boolean"], "default": null },
    { "name": "note", "type": ["null", "string"], "default": null, "path": "/more/note" },
    { "name": "at", "type": { "type": "long", "logicalType": "timestamp-micros" } },
    { "name": "upload_id", "type": ["null", { "type": "fixed", "name": "UploadId", "size": 16, "logicalType": "uuid" }], "default": null, "source": "upload_id" },
    { "name": "line", "type": ["null", "long"], "default": null, "source": "line", "minimum": 1 }
  ]
}"#;

const TABLES: [(&str, &str); 9] = [
    (
        "1_payments",
        "CREATE TABLE IF NOT EXISTS payments
(
    merchant        LowCardinality(String),
    payment_id      UInt64,
    status          LowCardinality(String),
    paid_on         Date32,
    amount          Decimal(18, 2),
    tip             Nullable(Decimal(18, 2)),
    is_refund       Nullable(Bool),
    note            Nullable(String),
    at              DateTime64(6, 'UTC'),
    upload_id       Nullable(UUID),
    line            Nullable(UInt64),
    kafka_epoch     UInt32,
    kafka_partition UInt16,
    kafka_offset    UInt64,
    recounted       Bool DEFAULT false
)
ENGINE = MergeTree
ORDER BY (merchant, payment_id)
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "2_days",
        "CREATE TABLE IF NOT EXISTS days
(
    merchant LowCardinality(String),
    day      Date32,
    payments SimpleAggregateFunction(sum, UInt64),
    total    SimpleAggregateFunction(sum, Decimal(38, 2)),
    largest  SimpleAggregateFunction(max, Decimal(18, 2)),
    last     AggregateFunction(argMax, String, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (merchant, day)
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "3_days_view",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS days_view TO days AS
SELECT merchant, paid_on AS day, count() AS payments, sum(amount) AS total, max(amount) AS largest,
    argMaxState(toString(status), payment_id) AS last
FROM payments
WHERE NOT recounted
GROUP BY merchant, day
",
    ),
    (
        "4_statuses",
        "CREATE TABLE IF NOT EXISTS statuses
(
    status  String,
    tips    SimpleAggregateFunction(sum, Decimal(38, 2)),
    refunds SimpleAggregateFunction(sum, Int64),
    notes   AggregateFunction(uniqExact, String)
)
ENGINE = AggregatingMergeTree
ORDER BY status
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "5_statuses_view",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS statuses_view TO statuses AS
SELECT toString(status) AS status, sum(ifNull(tip, 0)) AS tips, countIf(is_refund = true) AS refunds,
    uniqExactState(ifNull(note, '')) AS notes
FROM payments
WHERE NOT recounted
GROUP BY status
",
    ),
    (
        "6_merchants",
        "CREATE TABLE IF NOT EXISTS merchants
(
    merchant String,
    largest  SimpleAggregateFunction(max, Decimal(18, 2)),
    ids      AggregateFunction(uniqExact, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY merchant
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "7_merchants_view",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS merchants_view TO merchants AS
SELECT toString(merchant) AS merchant, max(amount) AS largest, uniqExactState(payment_id) AS ids
FROM payments
GROUP BY merchant
",
    ),
    (
        "8_last_payments",
        "CREATE TABLE IF NOT EXISTS last_payments
(
    merchant   String,
    payment_id UInt64,
    amount     Decimal(18, 2)
)
ENGINE = ReplacingMergeTree(payment_id)
ORDER BY merchant
SETTINGS non_replicated_deduplication_window = 1000
",
    ),
    (
        "9_last_payments_view",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS last_payments_view TO last_payments AS
SELECT toString(merchant) AS merchant, payment_id, amount
FROM payments
",
    ),
];

/// What each aggregate table holds, and what the rows make of it.
const AGGREGATES: [(&str, &str); 4] = [
    (
        "SELECT merchant, day, sum(payments), sum(total), max(largest), argMaxMerge(last) FROM days GROUP BY ALL \
         HAVING sum(payments) > 0 ORDER BY ALL",
        "SELECT merchant, paid_on, count(), sum(amount), max(amount), argMax(toString(status), payment_id) FROM payments GROUP BY ALL ORDER BY ALL",
    ),
    (
        "SELECT status, sum(tips), sum(refunds), uniqExactMerge(notes) FROM statuses GROUP BY ALL ORDER BY ALL",
        "SELECT status, sum(ifNull(tip, 0)), countIf(is_refund = true), uniqExact(ifNull(note, '')) FROM payments GROUP BY ALL ORDER BY ALL",
    ),
    (
        "SELECT merchant, max(largest), uniqExactMerge(ids) FROM merchants GROUP BY ALL ORDER BY ALL",
        "SELECT merchant, max(amount), uniqExact(payment_id) FROM payments GROUP BY ALL ORDER BY ALL",
    ),
    (
        "SELECT merchant, payment_id, amount FROM last_payments FINAL ORDER BY ALL",
        "SELECT merchant, max(payment_id), argMax(amount, payment_id) FROM payments GROUP BY ALL ORDER BY ALL",
    ),
];

const ROWS: &str = "SELECT merchant, payment_id, status, paid_on, amount, tip, is_refund, note, at FROM payments ORDER BY ALL";

/// Writes a directory with the dataset `payments`.
fn payments() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("schemas/payments.avsc", SCHEMA);
    write(
        "queries/payments/dataset.toml",
        "title = \"Payments\"\ntopic = \"payments\"\ntable = \"payments\"\n",
    );
    for (name, text) in TABLES {
        write(&format!("queries/payments/tables/{name}.sql"), text);
    }
    directory
}

fn options(directory: &Path) -> [&str; 6] {
    ["--dataset", "bets", "--dataset", "payments", "--datasets", directory.to_str().unwrap()]
}

/// A file of rows as JSON: texts that CSV could not tell from null, and a text with a quote.
fn file() -> String {
    rows(0..3000)
}

fn rows(numbers: Range<u64>) -> String {
    numbers.fold(String::new(), |file, number| {
        let third = usize::try_from(number % 3).unwrap();
        let status = ["open", "paid", "void"][third];
        let is_refund = [None, Some(true), Some(false)][third];
        let note = match number % 4 {
            0 => None,
            1 => Some(String::new()),
            2 => Some("NULL".to_owned()),
            _ => Some(format!("'{number}\\")),
        };
        let row = json!({
            "merchant": format!("shop '{}'", number % 4), "payment_id": number, "status": status,
            "paid_on": format!("2026-01-{:02}", 1 + number % 9), "amount": format!("{}.{:02}", number % 500, number % 100),
            "tip": (number % 5 == 0).then(|| format!("0.{:02}", number % 97)), "is_refund": is_refund, "more": { "note": note },
            "at": format!("2026-01-01T00:00:00.{number:06}Z"),
        });
        file + &row.to_string() + "\n"
    })
}

struct Bench {
    server: Server,
    _directory: TempDir,
    upload: String,
    /// The stored rows of the undamaged file.
    rows: String,
}

impl Bench {
    async fn new() -> Self {
        let directory = payments();
        let server = Server::start(&options(directory.path())).await;
        let mut bench = Self { server, _directory: directory, upload: String::new(), rows: String::new() };
        bench.upload = bench.upload(&file(), "").await;
        bench.rows = bench.server.clickhouse(ROWS).await;
        bench
    }

    async fn upload(&self, file: &str, query: &str) -> String {
        let url = self.server.url(&format!("/datasets/payments/rows?wait=visible&{query}"));
        let (file, rows) = (file.to_owned(), file.lines().count());
        let send =
            self.server.send(|http| http.post(url).header("content-type", "application/x-ndjson").body(file));
        let receipt = send.await.ok();
        assert_eq!(
            (&receipt["accepted"], &receipt["state"]),
            (&json!(rows), &json!("visible")),
            "{receipt:#}"
        );
        receipt["upload_id"].as_str().unwrap().to_owned()
    }

    async fn change(&self, sql: &str) {
        self.server.clickhouse(format!("{sql} SETTINGS mutations_sync = 1")).await;
    }

    async fn number(&self, sql: &str) -> u64 {
        self.server.clickhouse(sql).await.trim().parse().unwrap()
    }

    async fn reconcile(&self) -> Value {
        let url = self.server.url("/datasets/payments/reconcile");
        let send = self
            .server
            .send(|http| http.post(url).header("content-type", "application/x-ndjson").body(file()));
        let job = send.await;
        assert_eq!(job.status, 202, "{}", job.body);
        self.job(job.body["id"].as_str().unwrap(), "state").await
    }

    /// Waits until a job, or its repair, has ended.
    async fn job(&self, id: &str, state: &str) -> Value {
        until("the job has ended", async || {
            let job = self.server.get(&format!("/datasets/payments/reconcile/{id}")).await.ok();
            let is_over = |state: &Value| matches!(state.as_str(), Some("done" | "failed"));
            (is_over(&job["state"]) && (state == "state" || is_over(&job["repair"]["state"]))).then_some(job)
        })
        .await
    }

    async fn ask(&self, id: &str, query: &str) -> Value {
        let url = self.server.url(&format!("/datasets/payments/reconcile/{id}/repair?{query}"));
        let answer = self.server.send(|http| http.post(url)).await;
        assert!(matches!(answer.status, 200 | 202), "{}", answer.body);
        answer.body
    }

    /// Damages rows and aggregates in every way. Returns how many rows are missing, differ, are unexpected and are copies.
    async fn damage(&self) -> [u64; 4] {
        let deleted = self.number("SELECT count() FROM payments WHERE payment_id % 50 = 1").await;
        self.change("ALTER TABLE payments DELETE WHERE payment_id % 50 = 1").await;
        // Raised amounts do not reach the aggregates; another status and day neither.
        let changed = self.number("SELECT count() FROM payments WHERE payment_id % 50 = 2").await;
        self.change("ALTER TABLE payments UPDATE amount = 9000, status = 'void', paid_on = '2020-02-29', tip = NULL, note = 'x' WHERE payment_id % 50 = 2").await;
        let copies = self.number("SELECT count() FROM payments WHERE payment_id % 50 = 3").await;
        self.server.clickhouse("INSERT INTO payments SELECT * FROM payments WHERE payment_id % 50 = 3").await;
        // Rows that the file does not have, in their aggregates too: a day and a maximum that must vanish again.
        let foreign = format!(
            "INSERT INTO payments (merchant, payment_id, status, paid_on, amount, at, upload_id, line) SELECT merchant, payment_id + 1000000, \
             status, '2031-12-31', 7000, at, '{}', line FROM payments WHERE payment_id % 50 = 4",
            self.upload
        );
        self.server.clickhouse(foreign).await;
        let unexpected = self.number("SELECT count() FROM payments WHERE payment_id >= 1000000").await;
        // Sums of each table, and a maximum that no row has.
        self.server.clickhouse("INSERT INTO days SELECT merchant, day, 3, 0, 999999, last FROM days WHERE day = '2026-01-05' LIMIT 1 BY merchant").await;
        self.change("ALTER TABLE days DELETE WHERE day = '2026-01-07'").await;
        self.change("ALTER TABLE statuses DELETE WHERE status = 'paid'").await;
        [deleted, changed, unexpected, copies]
    }

    async fn assert_exact(&self) {
        assert_eq!(self.server.clickhouse(ROWS).await, self.rows);
        for (held, made) in AGGREGATES {
            assert_eq!(self.server.clickhouse(held).await, self.server.clickhouse(made).await, "{held}");
        }
        for sql in [
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'repair\\_%'",
            "SELECT * FROM reconcile_repair_keys",
            "SELECT command FROM system.mutations WHERE database = currentDatabase() AND NOT is_done",
        ] {
            assert_eq!(self.server.clickhouse(sql).await, "", "{sql}");
        }
    }
}

fn counts(report: &Value) -> [u64; 3] {
    ["missing", "different", "unexpected"].map(|name| report[name].as_u64().unwrap())
}

/// The rows of each aggregate table that differ, by its name.
fn differing(report: &Value) -> BTreeMap<String, u64> {
    let tables = report["aggregates"].as_array().unwrap().iter();
    tables
        .map(|table| (table["table"].as_str().unwrap().to_owned(), table["different"].as_u64().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_previewed_exactly_and_repaired() {
    let bench = Bench::new().await;
    assert_eq!(bench.reconcile().await["verdict"], "match");
    bench.assert_exact().await;
    let [missing, different, unexpected, copies] = bench.damage().await;
    let report = bench.reconcile().await;
    assert_eq!(counts(&report), [missing, different, unexpected], "{report:#}");
    let tables = differing(&report);
    assert!(tables["days"] > 10 && tables["statuses"] > 0, "{tables:?}");
    let id = report["id"].as_str().unwrap();

    let before = bench.server.clickhouse(ROWS).await;
    let sums = "SELECT toString(sum(payments)), toString(sum(total)) FROM days";
    let held = bench.server.clickhouse(sums).await;
    let preview = bench.ask(id, "preview=true&prefer=file&remove=unexpected").await["preview"].clone();
    assert_eq!(
        (&preview["produced"], &preview["overwritten"]),
        (&missing.into(), &different.into()),
        "{preview:#}"
    );
    assert_eq!(preview["removed"], json!(unexpected + copies), "{preview:#}");
    assert_eq!(bench.server.clickhouse(ROWS).await, before);
    assert_eq!(bench.server.clickhouse(sums).await, held);

    let job = bench.ask(id, "prefer=file&remove=unexpected").await;
    assert_eq!(job["links"]["self"], json!(format!("/datasets/payments/reconcile/{id}")), "{job:#}");
    let job = bench.job(id, "repair").await;
    let repair = &job["repair"];
    assert_eq!(repair["state"], "done", "{job:#}");
    assert_eq!((&job["verdict"], counts(&job)), (&json!("match"), [0; 3]), "{job:#}");
    for count in ["produced", "overwritten", "removed"] {
        assert_eq!(repair[count], preview[count], "{count}: {job:#}");
    }
    assert_eq!(repair["aggregates_rebuilt"], json!(tables.values().sum::<u64>()), "{job:#}");
    bench.assert_exact().await;
    // What the preview said of the sums is what the repair has done.
    let of = |name: &str| {
        preview["aggregates"].as_array().unwrap().iter().find(|table| table["table"] == name).unwrap().clone()
    };
    let (days, now) = (of("days"), bench.server.clickhouse(sums).await);
    let change = |side: &str| days["sums"][side]["payments"].as_i64().unwrap();
    let rows = |text: &str| text.split('\t').next().unwrap().parse::<i64>().unwrap();
    assert_eq!(rows(&now) - rows(&held), change("after") - change("before"), "{days:#}");
    for (name, table) in &tables {
        assert_eq!(of(name)["rebuilt"], json!(table), "{preview:#}");
    }
    assert_eq!(bench.reconcile().await["verdict"], "match");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_wishes_a_repair_leaves_what_differs_and_says_so() {
    let bench = Bench::new().await;
    let [missing, different, unexpected, copies] = bench.damage().await;
    let report = bench.reconcile().await;
    let id = report["id"].as_str().unwrap();
    let preview = bench.ask(id, "preview=true").await["preview"].clone();
    let unchanged = json!({ "contradictory": 0, "different": different, "unexpected": unexpected });
    assert_eq!((&preview["unchanged"], &preview["overwritten"]), (&unchanged, &json!(0)), "{preview:#}");
    bench.ask(id, "").await;
    let job = bench.job(id, "repair").await;
    assert_eq!(counts(&job), [0, different, unexpected], "{job:#}");
    let repair = &job["repair"];
    assert_eq!((&repair["produced"], &repair["removed"]), (&json!(missing), &json!(copies)), "{job:#}");
    let rebuilt: u64 = preview["aggregates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["rebuilt"].as_u64().unwrap())
        .sum();
    assert_eq!(repair["aggregates_rebuilt"], json!(rebuilt), "{job:#}\n{preview:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_parts_of_rows_and_of_all_aggregate_tables_are_rebuilt() {
    let mut bench = Bench::new().await;
    let tables = ["payments", "days", "statuses", "merchants", "last_payments"];
    for table in tables {
        bench.server.clickhouse(format!("SYSTEM STOP MERGES {table}")).await;
    }
    // Each upload leaves parts that are not merged.
    bench.upload(&rows(2000..5000), "").await;
    bench.rows = bench.server.clickhouse(ROWS).await;
    bench.assert_exact().await;
    let mut broken = Vec::new();
    for table in tables {
        broken.push(part(&bench.server, table).await);
    }
    damage(&mut bench.server, &broken).await;
    bench.server.restart().await;
    bench.server.until_ready().await;
    bench.assert_exact().await;
    assert_eq!(bench.server.clickhouse("SELECT count() FROM settled_parts").await, "5");
    assert_eq!(bench.reconcile().await["verdict"], "match");
}

/// Each step with a query that says whether a repair has reached it.
const STEPS: [&str; 4] = [
    "SELECT count() > 0 FROM reconcile_repair_keys",
    "SELECT count() > 0 FROM system.tables WHERE name LIKE 'repair\\_removals\\_%'",
    "SELECT count() > 0 FROM system.tables WHERE name LIKE 'repair\\_values\\_%'",
    "SELECT count() > 0 FROM system.tables WHERE name LIKE 'repair\\_values\\_%' AND comment LIKE '%aggregate%'",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_is_exact_after_a_kill_at_each_of_its_steps() {
    let mut bench = Bench::new().await;
    for (number, step) in STEPS.iter().enumerate() {
        bench.damage().await;
        let report = bench.reconcile().await;
        let id = report["id"].as_str().unwrap().to_owned();
        bench.ask(&id, "prefer=file&remove=unexpected").await;
        until("the repair has reached the step, or its end", async || {
            let is_there = bench.server.clickhouse(*step).await == "1";
            let path = format!("/datasets/payments/reconcile/{id}");
            (is_there || bench.server.get(&path).await.ok()["repair"]["state"] == "done").then_some(())
        })
        .await;
        if number % 2 == 0 {
            bench.server.kill();
            bench.server.restart().await;
        } else {
            assert!(signal(bench.server.part("clickhouse").unwrap(), "KILL"));
        }
        bench.server.until_ready().await;
        let job = bench.job(&id, "repair").await;
        assert_eq!((&job["repair"]["state"], &job["verdict"]), (&json!("done"), &json!("match")), "{job:#}");
        bench.assert_exact().await;
    }
}
