//! Takes the connections of the API, within limits, and speaks HTTP/1.1 on them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::normalize_path::NormalizePath;

use super::connection::Connection;
use crate::http1::{HEAD_BUFFER_BYTES, converse};

/// How many connections there may be, and for how long one may be idle.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// One more waits until another ends.
    pub connections: usize,
    /// Time for a request's head to arrive, and for a kept connection to be used again.
    pub head_time: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            // Half of the files that a process may usually have open.
            connections: 512,
            // Longer than proxies keep connections that they do not use.
            head_time: Duration::from_secs(75),
        }
    }
}

/// A pause after a failure to accept: out of file descriptors, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves until `stop`, and then until the requests under way have ended.
pub async fn serve(
    listener: TcpListener,
    app: NormalizePath<Router>,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let accept = async {
        // It is never closed.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            let accepted = loop {
                match listener.accept().await {
                    Ok((stream, _)) => break stream,
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            };
            let (app, stop) = (app.clone(), stop.clone());
            connections.spawn(async move {
                speak(accepted, app, limits.head_time, &stop).await;
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(accept).await;
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn speak(stream: TcpStream, app: NormalizePath<Router>, head_time: Duration, stop: &CancellationToken) {
    // An answer that is sent in several pieces must not wait for the acknowledgement of the first.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_buf_size(HEAD_BUFFER_BYTES)
        .serve_connection(TokioIo::new(Connection::new(stream)), TowerToHyperService::new(app));
    converse(connection, stop).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    /// Serves with these limits; returns how to connect, what stops it, and what ends when it has stopped.
    async fn start(
        limits: ConnectionLimits,
    ) -> (impl AsyncFn() -> TcpStream, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = NormalizePath::trim_trailing_slash(Router::new().route("/", get(|| async { "here" })));
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, app, limits, stop.clone()));
        (async move || TcpStream::connect(address).await.unwrap(), stop, serving)
    }

    async fn answer(connection: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") && connection.read_buf(&mut answer).await.unwrap() > 0 {}
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn one_connection_too_many_waits_for_the_end_of_another() {
        let limits = ConnectionLimits { connections: 2, head_time: Duration::from_secs(600) };
        let (connect, stop, serving) = start(limits).await;
        let mut connections = [connect().await, connect().await];
        for connection in &mut connections {
            connection.write_all(REQUEST).await.unwrap();
            assert!(answer(connection).await.starts_with("HTTP/1.1 200 "));
        }
        let mut third = connect().await;
        third.write_all(REQUEST).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(200), answer(&mut third)).await;
        assert!(waiting.is_err(), "{waiting:?}");
        drop(connections);
        assert!(answer(&mut third).await.starts_with("HTTP/1.1 200 "));
        // A connection that is kept and not used does not keep it from stopping.
        stop.cancel();
        serving.await.unwrap();
        assert_eq!(answer(&mut third).await, "");
    }

    #[tokio::test]
    async fn a_connection_ends_on_which_no_request_comes() {
        let limits = ConnectionLimits { connections: 9, head_time: Duration::from_millis(100) };
        let (connect, ..) = start(limits).await;
        for begun in [b"".as_slice(), b"GET / HTTP/1.1\r\nhost: lo", REQUEST] {
            let mut connection = connect().await;
            connection.write_all(begun).await.unwrap();
            let mut rest = String::new();
            connection.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest.contains("200 OK"), begun == REQUEST, "{rest}");
        }
    }
}
