//! Accepts connections and serves HTTP/1.1 on them, within limits.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::http::Service;
use super::progress::{EarlyHead, EarlySocket};
use roundhouse_listener::http1::{HEAD_BUFFER_BYTES, converse};

/// Open connections. Further ones are closed at once.
const MAX_CONNECTIONS: usize = 1024;

/// Lines of a request's head.
const MAX_HEADERS: usize = 128;

/// Time for a request's head to arrive. An idle connection is closed after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How often expired sessions are closed.
const SESSION_INTERVAL: Duration = Duration::from_secs(5);

/// A pause after a failure to accept, usually because there are no free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop`. Running requests continue.
pub(super) async fn accept(listener: TcpListener, service: Arc<Service>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut sessions = tokio::time::interval(SESSION_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sessions.tick() => {
                let sessions = Arc::clone(&service.sessions);
                tokio::task::spawn_blocking(move || sessions.expire());
            }
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        tracing::warn!(MAX_CONNECTIONS, "too many connections");
                        continue;
                    };
                    let connection = serve(socket, Arc::clone(&service), stop.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn serve(socket: TcpStream, service: Arc<Service>, stop: CancellationToken) {
    let _ = socket.set_nodelay(true);
    let early = EarlyHead::default();
    let socket = EarlySocket::new(socket, early.clone());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(
            TokioIo::new(socket),
            service_fn(move |request| Arc::clone(&service).serve(request, early.clone())),
        );
    converse(connection, &stop).await;
}
