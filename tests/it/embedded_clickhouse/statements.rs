//! Running statements: their ids, their text, and how they are stopped.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::task::JoinHandle;

use super::{ClickHouse, Reply, read, running};
use crate::harness::process::PATIENCE;

const OWN_KEY: &str = "key-of-the-server";

const SLOW: &str = "SELECT sleepEachRow(1) FROM numbers(600) SETTINGS max_block_size = 1";

/// A ClickHouse that believes that a server uses it.
fn embedded() -> ClickHouse {
    ClickHouse::start_with(&["--own-key", OWN_KEY])
}

fn as_server(request: RequestBuilder) -> RequestBuilder {
    request.header("X-ClickHouse-User", "roundhouse").header("X-ClickHouse-Key", OWN_KEY)
}

fn start(request: RequestBuilder) -> JoinHandle<Reply> {
    tokio::spawn(read(request))
}

impl ClickHouse {
    fn slow(&self, query_id: &str) -> RequestBuilder {
        self.request(Method::POST, &[("query_id", query_id)]).body(SLOW)
    }
}

#[tokio::test]
async fn a_query_is_listed_and_killed_by_the_id_of_its_client() {
    let clickhouse = ClickHouse::start();
    let query = start(clickhouse.slow("it's mine"));
    clickhouse.eventually(&running("query_id = 'it\\'s mine'"), "1").await;
    let seen = clickhouse
        .sql("SELECT query, user, initial_query_id, Settings['query_cache_tag'] FROM system.processes AS p WHERE p.query_id = 'it\\'s mine'")
        .await;
    assert_eq!(seen, format!("{SLOW}\tdefault\tit\\'s mine\t"));
    assert!(clickhouse.sql("SHOW PROCESSLIST FORMAT JSONEachRow").await.contains(SLOW));

    // An unknown id, or a condition that does not hold, kills nothing.
    for nothing in ["query_id = 'mine'", "query_id = 'it\\'s mine' AND user = 'nobody'"] {
        assert_eq!(clickhouse.sql(&format!("KILL QUERY WHERE {nothing} SYNC")).await, "");
    }
    assert_eq!(clickhouse.sql(&running("query_id = 'it\\'s mine'")).await, "1");
    let killed = clickhouse.sql("KILL QUERY WHERE query_id = 'it\\'s mine' SYNC FORMAT JSONEachRow").await;
    assert!(killed.contains("finished"), "{killed}");
    query.await.unwrap().exception(394, 500);
}

#[tokio::test]
async fn the_condition_of_a_kill_can_select_from_the_processes() {
    let clickhouse = ClickHouse::start();
    let conditions = [
        "query_id IN (SELECT query_id FROM system.processes WHERE query_id LIKE 'slow%')",
        "query_id IN (SELECT processes.query_id FROM `system`.processes WHERE processes.elapsed >= 0) AND query_id = 'slow'",
        "query_id = (SELECT any(p.query_id) FROM “system”.processes AS p WHERE p.query_id = 'slow')",
        "query_id IN (SELECT query_id FROM system.{t:Identifier} WHERE query_id = 'slow')",
        "query_id IN (SELECT query_id FROM processes WHERE query_id = 'slow')",
        "system.processes.query_id = 'slow' AND processes.elapsed >= 0",
    ];
    for condition in conditions {
        let query = start(clickhouse.slow("slow"));
        clickhouse.eventually(&running("query_id = 'slow'"), "1").await;
        let parameters = [("param_t", "processes"), ("database", "system")];
        let reply = clickhouse.post(&parameters, format!("KILL QUERY WHERE {condition} SYNC")).await;
        assert!(reply.text().contains("finished"), "{condition}: {}", reply.text());
        query.await.unwrap().exception(394, 500);
    }
}

#[tokio::test]
async fn statements_find_the_ids_of_clients_however_they_name_the_processes() {
    let clickhouse = ClickHouse::start();
    let in_system = [("query_id", "mine"), ("database", "system"), ("param_t", "processes")];
    for query in [
        "SELECT processes.query_id FROM system.processes",
        "SELECT system.processes.query_id FROM system.processes",
        "SELECT query_id FROM “system”.“processes”",
        "SELECT query_id FROM system.{t:Identifier}",
        "SELECT query_id FROM processes",
        "SELECT p.query_id FROM one JOIN processes AS p ON dummy = 0",
        "WITH processes AS (SELECT query_id FROM system.processes) SELECT processes.query_id FROM processes",
    ] {
        assert_eq!(clickhouse.post(&in_system, query).await.text(), "mine\n", "{query}");
    }
    let session = [("query_id", "mine"), ("session_id", "s")];
    clickhouse.post(&session, "USE system").await;
    assert_eq!(clickhouse.post(&session, "SELECT query_id FROM processes").await.text(), "mine\n");
    clickhouse.sql("CREATE TABLE processes (query_id String) ENGINE = Memory").await;
    assert_eq!(clickhouse.sql("SELECT count() FROM processes").await, "0");
}

#[tokio::test]
async fn clients_cannot_kill_queries_of_the_server() {
    let clickhouse = embedded();
    let own = start(as_server(clickhouse.slow("of the server")));
    let other = start(clickhouse.slow("of another"));
    clickhouse.eventually(&running("1"), "2").await;
    assert_eq!(
        clickhouse.sql("SELECT user FROM system.processes WHERE query_id = 'of the server'").await,
        "roundhouse"
    );
    for condition in [
        "1",
        "1 OR 1",
        "query_id = 'of the server'",
        "query_id IN (SELECT query_id FROM system.processes)",
        "1) OR (1",
        "1 -- ) OR (1\n",
    ] {
        for way in ["ASYNC", "SYNC", ""] {
            clickhouse.post(&[], format!("KILL QUERY WHERE {condition} {way}")).await;
        }
    }
    other.await.unwrap().exception(394, 500);
    // A client cannot set the id of another one.
    for statement in [
        "SELECT 1 SETTINGS query_cache_tag = 'own/x'",
        "SET query_cache_tag = 'own/x'",
        "SELECT 1 SETTINGS use_uncompressed_cache, query_cache_tag = 'own/x'",
        "SET use_uncompressed_cache, query_cache_tag = 'own/x'",
    ] {
        clickhouse.post(&[], statement).await.exception(452, 500);
    }
    // A client cannot change the views.
    for view in ["processes_of_clients", "processes_with_engine_ids"] {
        for statement in [
            format!("DROP VIEW system.{view} SYNC"),
            format!("CREATE OR REPLACE VIEW system.{view} AS SELECT 1"),
            format!("RENAME TABLE system.{view} TO default.v"),
            format!("ALTER TABLE system.{view} MODIFY QUERY SELECT 1"),
        ] {
            let refused = clickhouse.post(&[], statement.clone()).await;
            assert!(refused.text().contains("ACCESS_DENIED"), "{statement}: {}", refused.text());
        }
    }
    let reply = clickhouse.post(&[("query_cache_tag", "own/x")], "SELECT user FROM system.processes").await;
    assert!(reply.text().contains("default\n"), "{}", reply.text());
    assert_eq!(clickhouse.sql(&running("query_id = 'of the server'")).await, "1");

    let kill = clickhouse.request(Method::POST, &[]).body("KILL QUERY WHERE query_id = 'of the server' SYNC");
    assert!(read(as_server(kill)).await.text().starts_with("finished"));
    own.await.unwrap().exception(394, 500);
}

#[tokio::test]
async fn the_definition_of_a_view_keeps_the_name_of_its_table() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE VIEW v AS SELECT query FROM system.processes").await;
    let definition = clickhouse.sql("SHOW CREATE TABLE v FORMAT TSVRaw").await;
    assert!(
        definition.contains("FROM system.processes") && !definition.contains("of_clients"),
        "{definition}"
    );
}

#[tokio::test]
async fn progress_is_sent_while_a_statement_runs() {
    let clickhouse = ClickHouse::start();
    let target = "/?send_progress_in_http_headers=1&wait_end_of_query=1&http_headers_progress_interval_ms=10";
    let ask = |query: &str, end: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: {end}\r\nContent-Length: {}\r\n\r\n{query}",
            query.len()
        )
    };
    let mut socket = TcpStream::connect(clickhouse.part.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let slow = "SELECT sum(sleepEachRow(0.05)) FROM numbers(60) SETTINGS max_block_size = 1";
    socket.write_all(ask(slow, "keep-alive").as_bytes()).unwrap();
    // The head begins while there is no result yet.
    let mut text = String::new();
    while text.matches("X-ClickHouse-Progress: ").count() < 2 || !text.ends_with("\r\n") {
        let mut part = [0; 4096];
        let read = socket.read(&mut part).unwrap();
        text.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    let first = text.lines().find_map(|line| line.strip_prefix("X-ClickHouse-Progress: ")).unwrap();
    let progress: serde_json::Value = serde_json::from_str(first).unwrap();
    assert!(progress["read_rows"].is_string() && progress["elapsed_ns"].is_string(), "{progress}");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\nX-ClickHouse-Progress: "), "{text}");
    assert!(!text.contains("x-clickhouse-summary"), "{text}");
    // The rest of the answer, and another answer on the same connection.
    socket.write_all(ask("SELECT 7", "close").as_bytes()).unwrap();
    socket.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{text}");
    let (first, second) = text.split_once("\r\n\r\n0\n").expect("a first answer");
    assert!(first.contains("x-clickhouse-summary"), "{text}");
    assert!(second.ends_with("\r\n\r\n7\n"), "{text}");

    // A later failure is reported by its code. HTTP clients accept such heads.
    let parameters = [("send_progress_in_http_headers", "1"), ("http_headers_progress_interval_ms", "10")];
    let reply = clickhouse
        .post(
            &parameters,
            "SELECT throwIf(sleepEachRow(0.5) = 0) FROM numbers(2) SETTINGS max_block_size = 1",
        )
        .await;
    assert_eq!(reply.header("x-clickhouse-exception-code"), "395", "{}", reply.text());
    assert!(reply.headers.contains_key("x-clickhouse-progress"));
    assert_eq!(reply.status, StatusCode::OK);
}
