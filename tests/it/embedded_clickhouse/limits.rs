//! Large requests, damaged requests, and many of them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::{Method, StatusCode};

use super::{ClickHouse, read};
use crate::harness::process::PATIENCE;

/// Sends a request that closes the connection, and returns the whole answer. The connection must not be reset before that.
fn raw(clickhouse: &ClickHouse, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(clickhouse.part.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_and_statements_that_are_too_large_are_refused() {
    let clickhouse = ClickHouse::start();
    let long = "x".repeat(200_000);
    let answer = raw(
        &clickhouse,
        format!("GET /?query=SELECT+1&a={long} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let answer = raw(
        &clickhouse,
        format!("GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {long}\r\n\r\n").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let answer = raw(
        &clickhouse,
        format!("GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{many}\r\n").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(raw(&clickhouse, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));

    let reply = clickhouse.post(&[], format!("SELECT '{}'", "x".repeat(17 << 20))).await;
    reply.exception(229, 413);
    let reply = clickhouse.post(&[], format!("SELECT length('{}')", "x".repeat(200_000))).await;
    assert_eq!(reply.text(), "200000\n");
    let reply = clickhouse.post(&[], format!("SELECT length('{}')", "x".repeat(300_000))).await;
    reply.exception(62, 400);
    let more = [("max_query_size", "1000000")];
    let reply = clickhouse.post(&more, format!("SELECT length('{}')", "x".repeat(300_000))).await;
    assert_eq!(reply.text(), "300000\n");
    let form =
        reqwest::multipart::Form::new().text("query", format!("SELECT length('{}')", "x".repeat(3 << 20)));
    let more = [("max_query_size", "10000000")];
    assert_eq!(read(clickhouse.request(Method::POST, &more).multipart(form)).await.text(), "3145728\n");
    let form = reqwest::multipart::Form::new().text("query", "x".repeat(17 << 20));
    read(clickhouse.request(Method::POST, &[]).multipart(form)).await.exception(36, 400);
    assert_eq!(clickhouse.sql("SELECT 1").await, "1");
}

/// The largest number of forms in memory.
const MAX_FORMS: usize = 16;

#[tokio::test]
async fn a_form_waits_while_too_many_others_are_in_memory() {
    let clickhouse = ClickHouse::start();
    let form = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT 7\r\n--b--\r\n";
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    let begin = || {
        let mut socket = TcpStream::connect(clickhouse.part.address).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        socket
    };
    // The server begins to read the form when it has a place.
    let wait_for_place = |mut socket: &TcpStream| {
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut line = vec![0; go_on.len()];
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.read_exact(&mut line).unwrap();
        assert_eq!(line, go_on);
    };
    let finish = |mut socket: TcpStream| {
        socket.write_all(form.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("7\n"), "{answer}");
    };
    let mut begun: Vec<_> = (0..MAX_FORMS).map(|_| begin()).collect();
    begun.iter().for_each(wait_for_place);
    let waiting = begin();
    waiting.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let error = (&waiting).read(&mut [0]).expect_err("the form has no place yet");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert_eq!(clickhouse.sql("SELECT 1").await, "1");
    finish(begun.remove(0));
    wait_for_place(&waiting);
    finish(waiting);
}

#[tokio::test]
async fn damaged_compressed_blocks_are_refused() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt8) ENGINE = Memory").await;
    let blocks = [("query", "INSERT INTO t FORMAT CSV"), ("decompress", "1")];
    let mut huge = vec![0; 16];
    huge.push(0x82);
    huge.extend(u32::MAX.to_le_bytes());
    huge.extend(1_u32.to_le_bytes());
    clickhouse.post(&blocks, huge).await.exception(271, 500);
    clickhouse.post(&blocks, vec![7; 1000]).await.exception(271, 500);
    clickhouse.post(&blocks, vec![7; 10]).await.exception(33, 500);
    assert_eq!(clickhouse.sql("SELECT count() FROM t").await, "0");
    assert_eq!(clickhouse.post(&[("compress", "1")], "SELECT 1").await.status, StatusCode::OK);
}

#[tokio::test]
async fn memory_does_not_grow_with_results_and_uploads() {
    let clickhouse = ClickHouse::start();
    clickhouse.sql("CREATE TABLE t (a UInt64) ENGINE = Null").await;
    // Warm-up: the engine keeps some memory for its threads.
    clickhouse.post(&[], "SELECT number, repeat('x', 100) FROM numbers(1000000)").await;
    let before = resident_mib(clickhouse.part.pid());

    // A result of 400 MB that the client reads slowly.
    let query = "SELECT number, repeat('x', 100) FROM numbers(4000000) FORMAT RowBinary";
    let mut response = clickhouse.request(Method::POST, &[]).body(query).send().await.unwrap();
    let mut bytes = 0;
    let mut most = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        bytes += chunk.len();
        if bytes / (20 << 20) != (bytes - chunk.len()) / (20 << 20) {
            most = most.max(resident_mib(clickhouse.part.pid()));
        }
    }
    assert_eq!(bytes, 4_000_000 * 109);

    // An upload of 400 MB.
    let rows: Vec<u8> = (0..131_072_u64).flat_map(u64::to_le_bytes).collect();
    let parts = futures_util::stream::iter((0..400).map(move |_| Ok::<_, std::io::Error>(rows.clone())));
    let request = clickhouse.request(Method::POST, &[("query", "INSERT INTO t FORMAT RowBinary")]);
    let reply = read(request.body(reqwest::Body::wrap_stream(parts))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
    most = most.max(resident_mib(clickhouse.part.pid()));
    assert!(most < before + 200, "{before} MiB before, {most} MiB at most");
}

fn resident_mib(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
}
