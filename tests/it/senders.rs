//! Slow clients, and clients that send without end: they delay no other client, and the server's memory does not grow.

use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::files::{HEADER, csv};
use crate::harness::process::{PATIENCE, until};
use crate::harness::server::{Answer, Server};

/// Connections of the server; the slow clients are many more.
const CONNECTIONS: usize = 20;
const SENDERS: usize = 150;

/// How much memory an endless form may use.
const GROWTH_KIB: u64 = 32 << 10;

/// Reads a response until the connection ends in any way. Returns the status and the body.
async fn answer(connection: &mut TcpStream) -> (u16, Value) {
    let mut answer = Vec::new();
    let reading = async { while connection.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {} };
    timeout(PATIENCE, reading).await.expect("an answer");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// Opens many connections that send this text and then nothing more.
async fn attack(server: &Server, text: &str) -> Vec<TcpStream> {
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let mut sender = server.connect().await;
        // It may already have been closed to make room for the next one.
        let _ = sender.write_all(text.as_bytes()).await;
        senders.push(sender);
    }
    senders
}

/// Sends a request on its own connection; none if that was closed.
async fn ask(server: &Server, path: &str) -> Option<Answer> {
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let response = timeout(PATIENCE, http.get(server.url(path)).send()).await.expect("an answer").ok()?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.ok()?;
    Some(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
}

/// Asserts that health and metrics respond at once, and that a file is accepted while the slow clients still hold on.
async fn assert_others_are_served(server: &Server) {
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = ask(server, path).await.expect("a connection that is not closed");
        assert_eq!(answer.status, 200, "{path}: {:#}", answer.body);
    }
    until_a_file_is_accepted(server, 0).await;
}

/// Sends a file until it is accepted.
async fn until_a_file_is_accepted(server: &Server, first_id: u64) {
    until("a file is accepted", async || {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let sending =
            http.post(server.url("/uploadcsv?force=true")).body(csv(first_id..first_id + 10)).send();
        let answer = timeout(PATIENCE, sending).await.expect("an answer").ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_delay_no_other_client() {
    let connections = CONNECTIONS.to_string();
    let server = Server::start(&["--max-connections", &connections, "--max-concurrent-uploads", "2"]).await;
    let post = "HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n";
    for text in [
        "GET /uploads HTTP/1.1\r\nHost: local".to_owned(),
        format!("POST /uploadcsv {post}\r\n{HEADER}"),
        format!("POST /reconcile {post}\r\n{HEADER}"),
        format!("POST /uploadcsv {post}Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nA: "),
    ] {
        let senders = attack(&server, &text).await;
        assert_others_are_served(&server).await;
        drop(senders);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_gives_its_slot_to_others_and_gets_an_error_that_says_so() {
    let server = Server::start(&["--max-concurrent-uploads", "2"]).await;
    let text = csv(0..20_000);
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut sender = server.open_upload(text.len()).await;
        sender.write_all(&text.as_bytes()[..text.len() / 2]).await.unwrap();
        slow.push(sender);
    }
    server.until_under_way(2).await;
    // Almost nothing of these has arrived, so they hold no slot.
    let _begun = attack(
        &server,
        &format!("POST /uploadcsv HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{}", &HEADER[..5]),
    )
    .await;
    for id in [100_000, 200_000] {
        until_a_file_is_accepted(&server, id).await;
    }
    // One of the two had to give way.
    let [first, second] = &mut slow[..] else { panic!("two") };
    let (status, problem) = tokio::select! {
        answer = answer(first) => answer,
        answer = answer(second) => answer,
    };
    assert_eq!((status, problem["code"].as_str()), (408, Some("too_slow")), "{problem:#}");
    assert!(problem["rows"].as_u64() > Some(5000), "{problem:#}");
    assert_eq!(problem["acknowledged"], problem["accepted"], "{problem:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_form_header_is_refused_and_not_kept_in_memory() {
    let server = Server::start(&[]).await;
    let before = server.high_water_kib();
    for path in ["/uploadcsv", "/reconcile"] {
        for start in ["", "--x\r\n", "--x\r\nContent-Disposition: form-data; name=\"", "--x\r\nA: b\r\n\r\n"]
        {
            let piece = bytes::Bytes::from(vec![b'y'; 1 << 16]);
            let pieces = std::iter::once(bytes::Bytes::from(start)).chain(std::iter::repeat_n(piece, 1000));
            let body = futures_util::stream::iter(pieces.map(Ok::<_, std::io::Error>));
            let sent = server.send(|http| {
                let request =
                    http.post(server.url(path)).header(CONTENT_TYPE, "multipart/form-data; boundary=x");
                request.body(reqwest::Body::wrap_stream(body))
            });
            let code = if start.is_empty() { "bad_form" } else { "form_too_large" };
            sent.await.problem(400, code);
        }
    }
    let grown = server.high_water_kib() - before;
    assert!(grown < GROWTH_KIB, "{grown} KiB more");
}
