//! Compares the reconciliation of a stored file with a hand-written comparison.
//!
//! By hand: a UTF-8 copy of the file is inserted unchanged into a table, amounts as text, and joined with the rounds; all fields are
//! compared. It does less: no hours, no list of differences, no invalid rows, and no limit on memory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Files;
use crate::harness::server::Server;
use crate::machine::{self, Stopwatch, Usage, seconds};
use crate::upload;

/// Time limit for a reconciliation.
const PATIENCE: Duration = Duration::from_secs(600);

const CREATE: &str = "CREATE TABLE by_hand (created_timestamp DateTime64(3, 'UTC'), game_instance_id UInt64, user_id String, \
     game_id UInt64, real_amount_bet String, bonus_amount_bet String, real_amount_win String, bonus_amount_win String, \
     game_name String, provider String) ENGINE = MergeTree ORDER BY game_instance_id";

const COMPARE: &str = "SELECT countIf(s.game_instance_id = 0 AND s.user_id = '') AS missing, \
     countIf(f.created_timestamp = s.created_timestamp AND f.user_id = s.user_id AND f.game_id = s.game_id \
     AND toDecimal128OrNull(f.real_amount_bet, 8) <=> s.real_amount_bet \
     AND toDecimal128OrNull(f.bonus_amount_bet, 8) <=> s.bonus_amount_bet \
     AND toDecimal128OrNull(f.real_amount_win, 8) <=> s.real_amount_win \
     AND toDecimal128OrNull(f.bonus_amount_win, 8) <=> s.bonus_amount_win \
     AND f.game_name = s.game_name AND f.provider = s.provider) AS matched \
     FROM by_hand AS f LEFT JOIN game_rounds AS s ON f.game_instance_id = s.game_instance_id";

/// Prints a line for each of the two ways.
pub async fn compare(files: &mut Files, rows: u64, rounds: u64) {
    println!("## Reconciling a file, {rows} rows\n");
    let server = Server::start(&[]).await;
    upload::upload(&server, &files.next(20_000)).await;
    let path = files.next(rows);
    upload::upload(&server, &path).await;
    let copy = utf8_copy(&path);
    let before = machine::peak_megabytes(&server);
    machine::forget_peaks(&server);
    println!("Peak memory of the upload before: server {:.0} MB\n", before["server"]);
    println!(
        "| what | s | rows/s | server, peak MB | ClickHouse, peak MB | CPU s (client, server, broker, ClickHouse) |"
    );
    println!("|---|---|---|---|---|---|");
    let show = |what: &str, usage: Usage| {
        let peak = machine::peak_megabytes(&server);
        println!(
            "| {what} | {:.2} | {:.0} | {:.0} | {:.0} | {} |",
            seconds(usage.wall),
            rows as f64 / seconds(usage.wall),
            peak["server"],
            peak["clickhouse"],
            usage.cpu()
        );
        machine::forget_peaks(&server);
    };
    for _ in 0..rounds {
        let stopwatch = Stopwatch::start(&server);
        let report = reconcile(&server, &path).await;
        let usage = stopwatch.read(&server);
        assert_eq!((&report["verdict"], &report["matched"]), (&"match".into(), &rows.into()), "{report:#}");
        let job = report["seconds"].as_f64().expect("seconds");
        show(&format!("POST /reconcile to its report (the job alone: {job:.2} s)"), usage);
        let stopwatch = Stopwatch::start(&server);
        let inserted = by_hand(&server, &copy, rows).await;
        let usage = stopwatch.read(&server);
        show(&format!("by hand, insert ({:.2} s) and join", seconds(inserted)), usage);
    }
    println!();
    for phase in ["reading", "comparing_rows", "comparing_hours"] {
        let (state, took) = cancelled(&server, &path, phase).await;
        println!("DELETE in phase {phase}: {state} after {:.2} s\n", seconds(took));
    }
}

/// Cancels a reconciliation in one of its phases. Returns its final state, and how long that took.
async fn cancelled(server: &Server, path: &Path, phase: &str) -> (String, Duration) {
    let url = begin(server, path).await;
    let started = Instant::now();
    loop {
        let job = server.get(&url).await.ok();
        if job["phase"] == phase {
            break;
        }
        assert!(job["verdict"].is_null() && started.elapsed() < PATIENCE, "{phase}: {job:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let started = Instant::now();
    let answer = server.send(|http| http.delete(server.url(&url))).await.ok();
    (answer["state"].as_str().unwrap_or_default().to_owned(), started.elapsed())
}

/// Sends a file. Returns the path of its job.
async fn begin(server: &Server, path: &Path) -> String {
    let job = server.send(|http| http.post(server.url("/reconcile")).body(upload::body(path))).await;
    assert_eq!(job.status, 202, "{:#}", job.body);
    job.headers["location"].to_str().expect("a path").to_owned()
}

/// Sends a file and waits for its report.
async fn reconcile(server: &Server, path: &Path) -> Value {
    let url = begin(server, path).await;
    let started = Instant::now();
    loop {
        let job = server.get(&url).await.ok();
        match job["state"].as_str() {
            Some("done") => return job,
            Some("queued" | "running") => assert!(started.elapsed() < PATIENCE, "{job:#}"),
            _ => panic!("{job:#}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns how long the insert took.
async fn by_hand(server: &Server, copy: &Path, rows: u64) -> Duration {
    let started = Instant::now();
    server.clickhouse(CREATE).await;
    let insert = "INSERT INTO by_hand FORMAT CSVWithNames";
    let url = format!("{}/?database=game_data", server.addresses.clickhouse_url);
    let sent = server.send(|http| http.post(url).query(&[("query", insert)]).body(upload::body(copy))).await;
    assert_eq!(sent.status, 200, "{:#}", sent.body);
    let inserted = started.elapsed();
    assert_eq!(server.clickhouse(COMPARE).await, format!("0\t{rows}"));
    server.clickhouse("DROP TABLE by_hand SYNC").await;
    inserted
}

fn utf8_copy(path: &Path) -> PathBuf {
    let bytes = std::fs::read(path).expect("the file");
    let (text, ..) = encoding_rs::UTF_16LE.decode(&bytes);
    let copy = path.with_extension("utf8.csv");
    std::fs::File::create(&copy).and_then(|mut file| file.write_all(text.as_bytes())).expect("a copy");
    copy
}
