//! Requests that the HTTP library cannot parse, so that no handler sees them.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::process::PATIENCE;
use crate::harness::server::Server;

/// Opens a connection on which a request has already been answered.
async fn connect_and_ask(server: &Server) -> TcpStream {
    let mut connection = server.connect().await;
    connection.write_all(&get("/healthz", "")).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
    }
    connection
}

/// Sends a request in pieces of this many bytes. Returns the head and the body of the answer.
async fn answer(mut connection: TcpStream, request: &[u8], piece: usize) -> (String, String) {
    let (mut reader, mut writer) = connection.split();
    let sending = async {
        for piece in request.chunks(piece) {
            writer.write_all(piece).await.unwrap();
        }
    };
    let mut answer = String::new();
    let (read, ()) = timeout(PATIENCE, async { tokio::join!(reader.read_to_string(&mut answer), sending) })
        .await
        .expect("an answer, after the whole request was read");
    read.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_return_a_problem_too_even_while_the_client_is_still_sending() {
    let server = Server::start(&[]).await;
    let too_long = |bytes: usize| format!("/aggregates?limit=1&player_id={}&sort=net", "x".repeat(bytes));
    // A client that expects https on this port.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    for (request, status, code, parameter, instance) in [
        (get(&too_long(70_000), ""), 400, "invalid_parameter", Some("player_id"), "/aggregates"),
        (get(&too_long(10 << 20), ""), 400, "invalid_parameter", Some("player_id"), "/aggregates"),
        (get(&format!("/{}", "y".repeat(70_000)), ""), 400, "bad_request", None, ""),
        (get(&format!("/{}", "y".repeat(10 << 20)), ""), 400, "bad_request", None, ""),
        (get("/aggregates?limit=1", &"A: b\r\n".repeat(200)), 431, "headers_too_large", None, "/aggregates"),
        (
            get("/uploads", &format!("A: {}\r\n", "z".repeat(10 << 20))),
            431,
            "headers_too_large",
            None,
            "/uploads",
        ),
        (hello, 400, "bad_request", None, ""),
        (get("/uploads", "no header\r\n"), 400, "bad_request", None, "/uploads"),
    ] {
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]);
        let small = request.len().div_ceil(100);
        for (connection, piece) in [
            (server.connect().await, 1 << 20),
            (server.connect().await, small),
            (connect_and_ask(&server).await, 10 * small),
        ] {
            let (head, body) = answer(connection, &request, piece).await;
            let (first, headers) = head.split_once("\r\n").unwrap();
            assert!(first.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {head}");
            assert!(headers.contains("content-type: application/problem+json"), "{shown}: {head}");
            assert!(headers.contains(&format!("content-length: {}", body.len())), "{shown}: {head}");
            assert!(headers.contains("connection: close") && headers.contains("date: "), "{shown}: {head}");
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem:#}");
            assert_eq!(problem["parameter"].as_str(), parameter, "{problem:#}");
            assert!(problem["instance"].as_str().unwrap().starts_with(instance), "{problem:#}");
        }
    }
    let (head, body) =
        answer(server.connect().await, &[b"HEAD".as_slice(), &get(&too_long(70_000), "")[3..]].concat(), 999)
            .await;
    assert!(head.starts_with("HTTP/1.1 400 ") && body.is_empty(), "{head} {body}");
    // Two requests in one piece, with empty lines between them, also as HTTP/1.0.
    let old = get("/healthz", "Connection: keep-alive\r\n");
    let old = String::from_utf8(old).unwrap().replace("HTTP/1.1", "HTTP/1.0").into_bytes();
    for (first, version) in [(get("/healthz", ""), "HTTP/1.1"), (old, "HTTP/1.0")] {
        let both = [&first, b"\r\n\r\n".as_slice(), &get("/uploads", &"A: b\r\n".repeat(200))].concat();
        let (head, rest) = answer(server.connect().await, &both, both.len()).await;
        assert!(head.starts_with(&format!("{version} 200 ")), "{head}");
        let (_, problem) = rest.split_once(&format!("{version} 431 ")).unwrap();
        assert!(problem.contains(r#""code":"headers_too_large""#), "{rest}");
    }
    server.get("/aggregates").await.ok();
}
