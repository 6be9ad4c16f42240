//! Requests that are refused before their body is read: the client still sees why.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::server::Server;

/// More than the buffers between client and server hold.
const BODY_BYTES: usize = 64 << 20;

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addresses.api.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn head(request_line: &str, more: &str) -> String {
    format!("{request_line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_BYTES}\r\n{more}\r\n")
}

const REFUSED: [(&str, &str, &str); 7] = [
    ("POST /uploadcsv?on_eror=abort", "", "HTTP/1.1 400 "),
    ("POST /uploadcsv", "Content-Encoding: br\r\n", "HTTP/1.1 415 "),
    ("POST /uploadcsv", "Content-Type: multipart/form-data\r\n", "HTTP/1.1 400 "),
    ("PUT /uploadcsv", "", "HTTP/1.1 405 "),
    ("POST /nowhere", "", "HTTP/1.1 404 "),
    ("POST /reconcile?upload_id=x", "", "HTTP/1.1 400 "),
    ("POST /reconcile", "X-API-Key: another-key-of-16\r\n", "HTTP/1.1 401 "),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_the_whole_body_gets_the_response() {
    let key = "a-key-of-16-characters";
    let server = Server::start(&["--api-key", key]).await;
    for (line, more, status) in REFUSED {
        let key = if more.contains("X-API-Key") { String::new() } else { format!("X-API-Key: {key}\r\n") };
        let mut stream = connect(&server);
        stream.write_all(head(line, &format!("{more}{key}")).as_bytes()).unwrap();
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..BODY_BYTES / piece.len() {
            stream.write_all(&piece).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(String::from_utf8_lossy(&answer), status, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_continue_gets_the_error_instead() {
    let server = Server::start(&["--api-key", "a-key-of-16-characters"]).await;
    for (line, more) in [
        ("POST /uploadcsv", ""),
        ("POST /nowhere", ""),
        ("POST /uploadcsv?on_eror=abort", "X-API-Key: a-key-of-16-characters\r\n"),
    ] {
        let mut stream = connect(&server);
        stream.write_all(head(line, &format!("Expect: 100-continue\r\n{more}")).as_bytes()).unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 4", "{line}");
    }
}
