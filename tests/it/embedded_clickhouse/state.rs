//! Sessions, query ids and settings: their effect ends with the request, or lasts.

use std::time::Duration;

use reqwest::{Method, StatusCode};

use super::{ClickHouse, read, running};
use crate::harness::process::until;

#[tokio::test]
async fn a_request_does_not_affect_the_next_one() {
    let clickhouse = ClickHouse::start_with(&["--clickhouse-connections", "2"]);
    clickhouse.sql("CREATE DATABASE other").await;
    let seen = "SELECT getSetting('max_threads'), getSetting('max_block_size'), currentDatabase(), getSetting('readonly')";
    let settings = "SET max_threads = 3";
    let before = clickhouse.sql(seen).await;
    for _ in 0..10 {
        let parameters =
            [("max_threads", "7"), ("max_block_size", "77"), ("database", "other"), ("readonly", "2")];
        assert_eq!(clickhouse.post(&parameters, seen).await.text(), "7\t77\tother\t2\n");
        clickhouse.post(&[("max_threads", "7")], "SELECT * FROM nowhere").await.exception(60, 404);
        assert_eq!(clickhouse.sql(settings).await, "");
        assert_eq!(clickhouse.sql("USE other").await, "");
        assert_eq!(clickhouse.sql("CREATE TEMPORARY TABLE mine (a UInt8)").await, "");
        assert_eq!(clickhouse.get(&[("query", "SELECT 1")]).await.status, StatusCode::OK);
        assert_eq!(clickhouse.sql(seen).await, before);
    }
    // The spare connection is in the database that was used last.
    let other = ("database", "other");
    clickhouse.post(&[other], "SELECT 1").await;
    let session = clickhouse.post(&[("session_id", "new")], "SELECT currentDatabase()").await;
    assert_eq!(session.text(), "default\n");
    clickhouse.post(&[other], "DROP DATABASE other").await;
    clickhouse.post(&[other], "SELECT 1").await.exception(81, 404);
}

#[tokio::test]
async fn a_session_keeps_its_own_settings_and_not_those_of_requests() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE DATABASE other").await;
    let session = ("session_id", "one");
    let seen = "SELECT getSetting('max_threads'), getSetting('log_comment'), currentDatabase()";
    clickhouse.post(&[session], "SET max_threads = 3, log_comment = 'it''s \\\\ mine'").await;
    clickhouse.post(&[session], "CREATE TEMPORARY TABLE mine (a UInt8)").await;
    clickhouse.post(&[session, ("query", "INSERT INTO mine FORMAT CSV")], "7\n").await;
    assert_eq!(clickhouse.post(&[session], "SELECT a FROM mine").await.text(), "7\n");

    let changed = [session, ("max_threads", "5"), ("log_comment", "x"), ("database", "other")];
    assert_eq!(clickhouse.post(&changed, seen).await.text(), "5\tx\tother\n");
    clickhouse.post(&changed, "SELECT * FROM nowhere").await.exception(60, 404);
    clickhouse
        .post(&[session, ("max_threads", "5"), ("nonsense", "1")], "SELECT 1")
        .await
        .exception(115, 404);
    assert_eq!(clickhouse.post(&[session], seen).await.text(), "3\tit\\'s \\\\ mine\tdefault\n");
    clickhouse.post(&[session], "USE other").await;
    assert_eq!(clickhouse.post(&[session], "SELECT currentDatabase()").await.text(), "other\n");

    clickhouse.post(&[("session_id", "two")], "SELECT a FROM mine").await.exception(60, 404);
    clickhouse.post(&[("session_id", "none"), ("session_check", "1")], "SELECT 1").await.exception(372, 500);
    clickhouse.post(&[session, ("session_timeout", "9999")], "SELECT 1").await.exception(374, 500);
    clickhouse
        .post(&[session, ("readonly", "1")], "CREATE TABLE t (a UInt8) ENGINE = Memory")
        .await
        .exception(164, 500);
    assert_eq!(clickhouse.post(&[session], "CREATE TABLE t (a UInt8) ENGINE = Memory").await.text(), "");
    clickhouse.post(&[session, ("close_session", "1")], "SELECT 1").await;
    clickhouse.post(&[session, ("session_check", "1")], "SELECT 1").await.exception(372, 500);
}

#[tokio::test]
async fn readonly_forbids_settings() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt8) ENGINE = Memory").await;
    let (first, second, session) = (("readonly", "1"), ("readonly", "2"), ("session_id", "s"));
    for with in [&[first][..], &[first, session]] {
        assert_eq!(clickhouse.post(with, "SELECT 1").await.text(), "1\n");
        let parameter = [with, &[("max_threads", "3")]].concat();
        let reply = clickhouse.post(&parameter, "SELECT 1").await;
        assert!(reply.exception(164, 500).contains("Cannot modify 'max_threads' setting in readonly mode"));
        for statement in
            ["SELECT 1 SETTINGS max_threads = 3", "SET max_threads = 3", "SELECT 1 SETTINGS readonly = 0"]
        {
            clickhouse.post(with, statement).await.exception(164, 500);
        }
    }
    for with in [&[second][..], &[second, session]] {
        let parameter = [with, &[("max_threads", "3")]].concat();
        assert_eq!(clickhouse.post(&parameter, "SELECT getSetting('max_threads')").await.text(), "3\n");
        assert_eq!(clickhouse.post(with, "SELECT 1 SETTINGS max_threads = 3").await.text(), "1\n");
        clickhouse.post(with, "SELECT 1 SETTINGS readonly = 0").await.exception(164, 500);
        clickhouse.post(with, "INSERT INTO t VALUES (1)").await.exception(164, 500);
    }
    // A level that is set in a session stays.
    let reply = clickhouse.post(&[session], "SET max_block_size = 77, readonly = 1").await;
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, ""));
    let seen = "SELECT getSetting('max_block_size')";
    assert_eq!(clickhouse.post(&[session], seen).await.text(), "77\n");
    for parameters in [&[session, ("max_threads", "3")][..], &[session, ("readonly", "0")]] {
        clickhouse.post(parameters, seen).await.exception(164, 500);
    }
    for statement in ["SET readonly = 0", "INSERT INTO t VALUES (1)", "SELECT 1 SETTINGS max_threads = 3"] {
        clickhouse.post(&[session], statement).await.exception(164, 500);
    }
    assert_eq!(clickhouse.sql("SELECT count() FROM t").await, "0");
}

#[tokio::test]
async fn a_session_and_a_query_id_are_used_by_one_request_at_a_time() {
    let clickhouse = ClickHouse::start();
    let parameters = [("session_id", "busy"), ("query_id", "slow")];
    let slow = clickhouse
        .request(Method::POST, &parameters)
        .body("SELECT sleepEachRow(1) FROM numbers(60) SETTINGS max_block_size = 1")
        .send();
    let slow = tokio::spawn(slow);
    clickhouse.eventually(&running("1"), "1").await;
    clickhouse.post(&[("session_id", "busy")], "SELECT 1").await.exception(373, 500);
    clickhouse.post(&[("query_id", "slow")], "SELECT 1").await.exception(216, 500);
    slow.abort();
    clickhouse.eventually(&running("1"), "0").await;
    // The query disappears from system.processes shortly before its session is free.
    let again = until("both can be used again", async || {
        let again = clickhouse.post(&parameters, "SELECT 1").await;
        (!again.text().contains("Code: 373.") && !again.text().contains("Code: 216.")).then_some(again)
    })
    .await;
    assert_eq!((again.status, again.text()), (StatusCode::OK, "1\n"));
}

#[tokio::test]
async fn a_query_is_cancelled_when_its_client_disconnects() {
    let clickhouse = ClickHouse::start();
    // One computes before it answers, one streams without end, and the answer of one is held back.
    let endless = [
        (vec![], "SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))"),
        (vec![], "SELECT number FROM numbers(100000000000)"),
        (vec![("wait_end_of_query", "1")], "SELECT count() FROM numbers(100000000000) GROUP BY number % 3"),
    ];
    for (parameters, query) in endless {
        let request = clickhouse.request(Method::POST, &parameters).body(query);
        let task = tokio::spawn(async move {
            let mut response = request.send().await.expect("response");
            while let Ok(Some(_)) = response.chunk().await {}
        });
        clickhouse.eventually(&running("1"), "1").await;
        task.abort();
        clickhouse.eventually(&running("1"), "0").await;
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_off_stores_nothing() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a").await;
    let (sender, frames) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let body = reqwest::Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(frames));
    let request = clickhouse.request(Method::POST, &[("query", "INSERT INTO t FORMAT TSV")]).body(body);
    let upload = tokio::spawn(request.send());
    for _ in 0..20 {
        sender.send(Ok(b"1\n".repeat(1000))).await.unwrap();
    }
    sender.send(Err(std::io::Error::other("broken off"))).await.unwrap();
    assert!(upload.await.unwrap().is_err());
    clickhouse.sql("INSERT INTO t VALUES (2)").await;
    clickhouse.eventually("SELECT count(), sum(a) FROM t", "1\t2").await;
}

#[tokio::test]
async fn long_queries_do_not_block_short_ones_or_ping() {
    let clickhouse = ClickHouse::start_with(&["--clickhouse-connections", "3"]);
    let slow = "SELECT sleepEachRow(1) FROM numbers(300) SETTINGS max_block_size = 1";
    let start = |id: usize| {
        tokio::spawn(clickhouse.request(Method::POST, &[("query_id", &id.to_string())]).body(slow).send())
    };
    let mut tasks = vec![start(0), start(1)];
    clickhouse.eventually(&running("1"), "2").await;
    assert_eq!(clickhouse.sql("SELECT 1").await, "1");
    tasks.push(start(2));
    let waiting = tokio::spawn(clickhouse.request(Method::POST, &[]).body("SELECT 2").send());
    let ping =
        clickhouse.http.get(format!("{}/ping", clickhouse.part.url())).timeout(Duration::from_secs(20));
    assert_eq!(read(ping).await.text(), "Ok.\n");
    for task in tasks {
        task.abort();
    }
    assert_eq!(waiting.await.unwrap().unwrap().text().await.unwrap(), "2\n");
}
