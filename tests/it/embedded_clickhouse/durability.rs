//! Kills, stops, repeated inserts, and starts that fail.

use std::net::{SocketAddr, TcpListener};

use reqwest::{Method, StatusCode};

use super::ClickHouse;
use crate::harness::part::Part;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn rows(range: std::ops::Range<u64>) -> Vec<u8> {
    range.flat_map(|n| [n.to_le_bytes(), (n % 10).to_le_bytes()].concat()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_survive_a_kill() {
    let mut clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a").await;
    let insert = [("query", "INSERT INTO t FORMAT RowBinary")];
    let mut stored = 0;
    for round in 0..3_u64 {
        for part in 0..4 {
            let from = round * 100_000 + part * 20_000;
            let reply = clickhouse.post(&insert, rows(from..from + 20_000)).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
            stored += 20_000;
        }
        // An insert that was running when the process died is stored as a whole or not at all.
        let (sender, frames) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
        let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(frames));
        let under_way = tokio::spawn(clickhouse.request(Method::POST, &insert).body(body).send());
        // The channel has room for the second part when the first one has been sent.
        sender.send(Ok(rows(0..10_000))).await.unwrap();
        sender.send(Ok(rows(10_000..20_000))).await.unwrap();
        clickhouse.part.kill();
        drop(sender);
        assert!(under_way.await.unwrap().is_err());
        clickhouse.part.restart();
        assert_eq!(
            clickhouse.sql("SELECT count(), uniqExact(a) FROM t").await,
            format!("{stored}\t{stored}")
        );
    }
}

#[tokio::test]
async fn a_chunk_with_its_token_is_one_block_and_counts_once() {
    let mut clickhouse = ClickHouse::start();
    let window = "SETTINGS non_replicated_deduplication_window = 1000";
    clickhouse
        .sql(&format!("CREATE TABLE rounds (id UInt64, game UInt64) ENGINE = MergeTree ORDER BY id {window}"))
        .await;
    clickhouse
        .sql(&format!(
            "CREATE TABLE hours (game UInt64, rounds SimpleAggregateFunction(sum, UInt64)) \
             ENGINE = AggregatingMergeTree ORDER BY game {window}"
        ))
        .await;
    clickhouse
        .sql("CREATE MATERIALIZED VIEW view TO hours AS SELECT game, count() AS rounds FROM rounds GROUP BY game")
        .await;
    let insert = |token: &'static str| {
        [
            ("query", "INSERT INTO rounds FORMAT RowBinary"),
            ("insert_deduplication_token", token),
            ("insert_deduplicate", "1"),
            ("deduplicate_blocks_in_dependent_materialized_views", "1"),
        ]
    };
    let counts = "SELECT (SELECT count() FROM rounds), (SELECT sum(rounds) FROM hours)";
    for attempt in 0..4 {
        let reply = clickhouse.post(&insert("topic:0:0-199999"), rows(0..200_000)).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        assert_eq!(clickhouse.sql(counts).await, "200000\t200000", "attempt {attempt}");
        assert_eq!(
            clickhouse
                .sql("SELECT count(), sum(rows) FROM system.parts WHERE table = 'rounds' AND active")
                .await,
            "1\t200000"
        );
        if attempt == 1 {
            clickhouse.part.restart();
        }
    }
    // The token applies to one request only: the same rows with another token, or without one, are new.
    clickhouse.post(&insert("topic:0:200000-399999"), rows(0..200_000)).await;
    assert_eq!(clickhouse.sql(counts).await, "400000\t400000");
    clickhouse.post(&[("query", "INSERT INTO rounds FORMAT RowBinary")], rows(0..5)).await;
    assert_eq!(clickhouse.sql(counts).await, "400005\t400005");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_inserts_and_loses_nothing() {
    let mut clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a").await;
    clickhouse.post(&[("query", "INSERT INTO t FORMAT RowBinary")], rows(0..1000)).await;
    let endless = clickhouse
        .request(Method::POST, &[])
        .body("SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))");
    let endless = tokio::spawn(endless.send());
    clickhouse.eventually(&super::running("1"), "1").await;
    let (sender, frames) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(frames));
    let insert = clickhouse.request(Method::POST, &[("query", "INSERT INTO t FORMAT RowBinary")]).body(body);
    let insert = tokio::spawn(insert.send());
    sender.send(Ok(rows(1000..2000))).await.unwrap();
    sender.send(Ok(rows(2000..3000))).await.unwrap();
    let ended = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| clickhouse.part.stop());
        drop(sender);
        stopping.join().unwrap()
    });
    assert!(ended.success(), "{ended}");
    let inserted = insert.await.unwrap();
    assert!(endless.await.unwrap().is_ok_and(|reply| reply.status() == StatusCode::INTERNAL_SERVER_ERROR));
    clickhouse.part.restart();
    let expected = if inserted.is_ok_and(|reply| reply.status() == StatusCode::OK) { "3000" } else { "1000" };
    assert_eq!(clickhouse.sql("SELECT count() FROM t").await, expected);
}

#[test]
fn a_failed_start_prints_its_reason_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind(ANY_PORT).unwrap();
    let taken = listener.local_addr().unwrap();
    let reason = Part::refusal("clickhouse", directory.path(), taken, &[]);
    assert!(reason.contains(&format!("{taken} is in use")) && reason.contains("--listen"), "{reason}");

    let missing = directory.path().join("libchdb.so");
    let library = ["--clickhouse-library", missing.to_str().unwrap()];
    let reason = Part::refusal("clickhouse", directory.path(), ANY_PORT, &library);
    assert!(reason.contains("libchdb.so does not exist; correct --clickhouse-library"), "{reason}");

    std::fs::write(&missing, "not a library").unwrap();
    let reason = Part::refusal("clickhouse", directory.path(), ANY_PORT, &library);
    assert!(reason.contains("is not a usable ClickHouse engine library"), "{reason}");
    assert_eq!(reason.lines().count(), 1, "{reason}");
}
