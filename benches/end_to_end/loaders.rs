//! Compares the loader with ClickHouse's own consumer: speed, memory, and the counts after the engine was killed.

use std::time::{Duration, Instant};

use crate::Files;
use crate::harness::server::Server;
use crate::machine::{self, seconds};
use crate::upload::{rounds, send};

const KILLS: u32 = 5;
const BETWEEN_KILLS: Duration = Duration::from_millis(900);

/// Time limit until all rounds are stored, and how long nothing may change before they are counted.
const PATIENCE: Duration = Duration::from_secs(180);
const QUIET: Duration = Duration::from_secs(5);

/// Prints a line for each loader.
pub async fn compare(files: &mut Files, rows: u64) {
    println!("## The loader and ClickHouse's own consumer, {rows} rows\n");
    println!(
        "| --loader | acknowledged in | all in the aggregates in | rows/s | server, peak MB | ClickHouse, peak MB | after \
         {KILLS} SIGKILLs of ClickHouse: rounds stored too often | counted too often |\n|---|---|---|---|---|---|---|---|"
    );
    for loader in ["roundhouse", "clickhouse"] {
        let server = Server::start(&["--loader", loader]).await;
        send(&server, &files.next(20_000)).await;
        until_quiet(&server).await;

        let before = rounds(&server).await;
        let path = files.next(rows);
        let started = Instant::now();
        send(&server, &path).await;
        let acknowledged = started.elapsed();
        while rounds(&server).await < before + rows {
            assert!(started.elapsed() < PATIENCE, "{loader} does not load all");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let visible = started.elapsed();
        let peak = machine::peak_megabytes(&server);
        let (stored, counted) = under_kills(&server, files, rows).await;
        println!(
            "| {loader} | {:.2} s | {:.2} s | {:.0} | {:.0} | {:.0} | {stored} | {counted} |",
            seconds(acknowledged),
            seconds(visible),
            rows as f64 / seconds(visible),
            peak["server"],
            peak["clickhouse"]
        );
    }
    println!();
}

/// Uploads another file while ClickHouse is killed. Returns how many rounds too many are stored, and in the aggregates.
async fn under_kills(server: &Server, files: &mut Files, rows: u64) -> (i64, i64) {
    let expected = 20_000 + 2 * rows;
    send(server, &files.next(rows)).await;
    for _ in 0..KILLS {
        tokio::time::sleep(BETWEEN_KILLS).await;
        server.kill_part("clickhouse").await;
        server.until_ready().await;
    }
    let started = Instant::now();
    while count(server, "SELECT uniqExact(game_instance_id) FROM game_rounds").await < expected {
        assert!(started.elapsed() < PATIENCE, "rounds are lost");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    until_quiet(server).await;
    let too_many = |found: u64| found.cast_signed() - expected.cast_signed();
    let stored = count(server, "SELECT count() FROM game_rounds").await;
    (too_many(stored), too_many(rounds(server).await))
}

async fn until_quiet(server: &Server) {
    let mut last = (0, Instant::now());
    while last.1.elapsed() < QUIET {
        let now = rounds(server).await;
        if now != last.0 {
            last = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn count(server: &Server, sql: &str) -> u64 {
    server.clickhouse(sql).await.parse().expect("a number")
}
