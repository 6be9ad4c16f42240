//! Protection of the server: a ClickHouse that is down, hangs or is slow, clients that disconnect, and requests that ask for too much.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::part::Part;
use crate::harness::process::{signal, until_within};
use crate::harness::server::Server;

/// Time limit for an answer when queries have 5 seconds. Far less than ClickHouse would need.
const IN_TIME: Duration = Duration::from_secs(20);

/// Makes every query on the aggregates take minutes.
async fn slow_down(server: &Server) {
    server.clickhouse("RENAME TABLE hourly_aggregates TO kept").await;
    server
        .clickhouse(
            "CREATE VIEW hourly_aggregates AS SELECT kept.* \
             FROM (SELECT number FROM numbers(120) WHERE sleepEachRow(1) = 0 SETTINGS max_block_size = 1) AS slow CROSS JOIN kept",
        )
        .await;
    server.clickhouse("INSERT INTO kept VALUES (1571702400, 'p', 1, 'g', 'p', 1, 1, 0, 0, 0)").await;
}

async fn queries(server: &Server) -> u64 {
    let sql = "SELECT count() FROM system.processes WHERE query LIKE '%FROM hourly_aggregates%' AND query NOT LIKE '%processes%'";
    server.clickhouse(sql).await.parse().unwrap()
}

async fn until_none_runs(server: &Server) {
    until_within(Duration::from_secs(20), "no query runs", async || {
        (queries(server).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_clickhouse_causes_503_in_time_and_its_queries_are_stopped() {
    let server = Server::start(&["--query-timeout-seconds", "5"]).await;
    slow_down(&server).await;
    for path in ["/aggregates", "/aggregates/summary", "/aggregates?format=parquet"] {
        let started = Instant::now();
        let problem = server.get(path).await.problem(503, "clickhouse_unavailable");
        assert!(started.elapsed() < IN_TIME, "{path}: {:?} {problem:#}", started.elapsed());
        until_none_runs(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_stopped_when_its_client_disconnects() {
    let server = Server::start(&["--query-timeout-seconds", "100"]).await;
    slow_down(&server).await;
    for path in ["/aggregates", "/aggregates/summary"] {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let asking = tokio::spawn(client.get(server.url(path)).send());
        until_within(Duration::from_secs(60), "the query runs", async || {
            (queries(&server).await > 0).then_some(())
        })
        .await;
        asking.abort();
        drop(asking.await);
        until_none_runs(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clickhouse_that_hangs_or_is_down_causes_503_and_never_a_hanging_request() {
    let directory = TempDir::new().unwrap();
    let mut clickhouse = Part::start("clickhouse", directory.path(), &[]);
    let server =
        Server::start(&["--clickhouse-url", &clickhouse.url(), "--query-timeout-seconds", "5"]).await;
    server.get("/aggregates").await.ok();
    signal(clickhouse.pid(), "STOP");
    // By the second request, cached results have expired.
    for path in ["/aggregates", "/aggregates/summary", "/aggregates?sort=player_id"] {
        let started = Instant::now();
        let problem = server.get(path).await.problem(503, "clickhouse_unavailable");
        assert!(started.elapsed() < IN_TIME, "{:?} {problem:#}", started.elapsed());
    }
    signal(clickhouse.pid(), "CONT");
    clickhouse.kill();
    let started = Instant::now();
    let gone = server.get("/aggregates").await;
    assert_eq!(gone.headers["retry-after"], "5");
    gone.problem(503, "clickhouse_unavailable");
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    clickhouse.restart();
    until_within(Duration::from_secs(60), "it answers again", async || {
        (server.get("/aggregates").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_asks_for_too_much_is_refused_and_others_wait_for_a_slot() {
    let server = Server::start(&[
        "--max-query-rows",
        "50000",
        "--max-concurrent-queries",
        "1",
        "--query-timeout-seconds",
        "10",
    ])
    .await;
    server
        .clickhouse(
            "INSERT INTO hourly_aggregates SELECT toDateTime(1571702400 + 3600 * intDiv(number, 100), 'UTC'), toString(number % 100), 1, \
             'g', 'p', 1, 1, 0, 0, 0 FROM numbers(300000)",
        )
        .await;
    let problem = server.get("/aggregates/summary").await.problem(400, "query_too_large");
    assert_eq!(problem["limit_rows"], 50_000, "{problem:#}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("date_from") && !detail.contains("Code:"), "{detail}");
    server.get("/aggregates/summary?date_from=2019-10-22&date_to=2019-10-24").await.ok();
    // A page needs few rows, wherever it is.
    for query in ["", "?sort=-player_id", "?player_id=7", "?skip=1000"] {
        let answer = server.get(&format!("/aggregates{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {:#}", answer.body);
    }
    server.clickhouse("TRUNCATE TABLE hourly_aggregates").await;
    slow_down(&server).await;
    let asked = futures_util::future::join_all((0..3).map(|_| server.get("/aggregates"))).await;
    for answer in asked {
        answer.problem(503, "clickhouse_unavailable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_in_clickhouse_is_not_reported_as_an_unavailable_clickhouse() {
    let server = Server::start(&[]).await;
    server.until_ready().await;
    server.clickhouse("RENAME TABLE hourly_aggregates TO kept").await;
    for path in ["/aggregates", "/aggregates/summary", "/aggregates?format=csv"] {
        let answer = server.get(path).await;
        assert!(!answer.headers.contains_key("retry-after"), "{path}: a retry does not help");
        let problem = answer.problem(502, "clickhouse_failed");
        let detail = problem["detail"].as_str().unwrap();
        assert!(!detail.contains("hourly_aggregates") && !detail.contains("answer"), "{path}: {detail}");
    }
    let log = server.log();
    let causes = log.lines().filter(|line| line.contains("UNKNOWN_TABLE") && line.contains("path")).count();
    assert_eq!(causes, 3, "each request logs its cause once: {log}");
    server.clickhouse("RENAME TABLE kept TO hourly_aggregates").await;
    server.get("/aggregates").await.ok();

    // The database itself does not exist: ClickHouse answers with an error.
    server.clickhouse("RENAME DATABASE game_data TO kept").await;
    let reason = until_within(Duration::from_secs(60), "/readyz sees it", async || {
        let answer = server.get("/readyz").await;
        let part = &answer.body["parts"]["clickhouse"];
        (part["ready"] == false).then(|| part["reason"].as_str().unwrap_or_default().to_owned())
    })
    .await;
    assert_eq!(reason, "ClickHouse failed to run a query: error 81 UNKNOWN_DATABASE");
}
