//! The limit of a request's head, at each of the three HTTP listeners, with pieces of any size.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::process::PATIENCE;
use crate::harness::server::Server;

/// Most bytes of a head.
const LIMIT: usize = 128 << 10;

/// Bytes that are sent at once: everything, or pieces. Which pieces arrive together differs between connections.
const PIECES: [usize; 4] = [usize::MAX, 70_000, 9_000, 1_400];

/// How often each head is sent. Before heads were counted, about 6 in 100 were accepted.
const TIMES: usize = 40;

/// Returns a request's head with so many bytes.
fn head(bytes: usize) -> Vec<u8> {
    let start = "GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: ";
    format!("{start}{}\r\n\r\n", "y".repeat(bytes - start.len() - 4)).into_bytes()
}

/// Sends a request in pieces. Returns the status of the response.
async fn status(address: &str, request: &[u8], piece: usize) -> u16 {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.set_nodelay(true).unwrap();
    let mut answer = String::new();
    let asking = async {
        for piece in request.chunks(piece) {
            connection.write_all(piece).await.unwrap();
        }
        connection.read_to_string(&mut answer).await.unwrap();
    };
    timeout(PATIENCE, asking).await.expect("an answer");
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|answer| answer.get(..3)).expect("a status");
    status.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused_in_pieces_of_any_size() {
    let server = Server::start(&[]).await;
    let listeners = [
        (&server.addresses.api, 404),
        (&server.addresses.schema_registry_url, 404),
        (&server.addresses.clickhouse_url, 200),
    ];
    for (url, accepted) in listeners {
        let address = url.strip_prefix("http://").unwrap();
        for piece in PIECES {
            for _ in 0..TIMES {
                assert_eq!(status(address, &head(200_000), piece).await, 431, "{url}, pieces of {piece}");
            }
            assert_eq!(status(address, &head(LIMIT + 1), piece).await, 431, "{url}, pieces of {piece}");
            assert_eq!(status(address, &head(LIMIT), piece).await, accepted, "{url}, pieces of {piece}");
        }
    }
}
