//! Accepts the connections of the API, within limits, and serves HTTP/1.1 on them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_http::normalize_path::NormalizePath;

use super::connection::Connection;
use super::places::{self, Places, Taken};
use crate::settings::Limits;
use roundhouse_listener::http1::{HEAD_BUFFER_BYTES, converse};

/// The number of connections, and how long one may be idle.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// If there are more, idle and slow ones are closed.
    pub connections: usize,
    /// Time for a request's head to arrive, also on a connection that is kept open.
    pub head_time: Duration,
    /// Bytes per second of a client that is not slow.
    pub least: u64,
}

impl ConnectionLimits {
    pub fn of(limits: &Limits) -> Self {
        Self {
            connections: limits.max_connections.into(),
            // Longer than proxies keep idle connections.
            head_time: Duration::from_secs(75),
            least: limits.upload_crowded_bytes_per_second,
        }
    }
}

/// The pause after a failed accept; mostly there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How long the last responses may take when the server stops.
const LAST_ANSWERS_TIME: Duration = Duration::from_secs(2);

/// Serves until `stop`, and then until the running requests have ended. New requests get a response meanwhile: the handlers refuse
/// them.
pub async fn serve(
    listener: TcpListener,
    app: NormalizePath<Router>,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let places = Arc::new(Places::new(limits.connections, limits.least));
    let (connections, requests) = (TaskTracker::new(), TaskTracker::new());
    let accept = async {
        loop {
            let stream = accepted(&listener).await;
            let taken = places.take().await;
            let speaker = Speaker { app: app.clone(), stop: stop.clone(), requests: requests.clone() };
            connections.spawn(async move { speaker.speak(stream, taken, limits.head_time).await });
        }
    };
    let requests_end = async {
        stop.cancelled().await;
        requests.close();
        requests.wait().await;
    };
    tokio::select! {
        () = accept => {}
        () = requests_end => {}
    }
    drop(listener);
    places.end_unused();
    connections.close();
    if tokio::time::timeout(LAST_ANSWERS_TIME, connections.wait()).await.is_err() {
        places.end_waiting();
    }
    connections.wait().await;
}

async fn accepted(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection.
struct Speaker {
    app: NormalizePath<Router>,
    stop: CancellationToken,
    /// The requests that a stopping server waits for.
    requests: TaskTracker,
}

impl Speaker {
    async fn speak(self, stream: TcpStream, taken: Taken, head_time: Duration) {
        // A response in several pieces must not wait for the acknowledgement of the first.
        let _ = stream.set_nodelay(true);
        let place = Arc::clone(&taken.place);
        let handlers = TowerToHyperService::new(self.app);
        let service = service_fn(|mut request: Request<Incoming>| {
            let awaited = (!self.stop.is_cancelled()).then(|| self.requests.token());
            let under_way = UnderWay { _request: place.begin(), _awaited: awaited };
            request.extensions_mut().insert(Arc::clone(&place));
            let answering = handlers.call(request);
            async move {
                let answer: Result<Response, Infallible> = answering.await;
                answer.map(|answer| answer.map(|body| Body::new(Answer { body, _under_way: under_way })))
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_time)
            .max_buf_size(HEAD_BUFFER_BYTES)
            .serve_connection(TokioIo::new(Connection::new(stream, Arc::clone(&place))), service);
        // A request that arrives while the server stops gets a response, which says that the connection ends.
        let stop = if self.stop.is_cancelled() { CancellationToken::new() } else { self.stop.clone() };
        tokio::select! {
            () = converse(connection, &stop) => {}
            () = place.ends() => tracing::debug!("a connection was closed to make room"),
        }
    }
}

/// A request whose response is not complete yet.
struct UnderWay {
    _request: places::Request,
    _awaited: Option<TaskTrackerToken>,
}

/// The body of a response.
struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;
    use crate::http::places::place_of;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

    const LONG: Duration = Duration::from_secs(600);

    /// A request that is answered after a notification.
    const LATE: &[u8] = b"GET /late HTTP/1.1\r\nhost: localhost\r\n\r\n";
    static NOTICE: Notify = Notify::const_new();
    /// It has begun.
    static BEGUN: Notify = Notify::const_new();

    /// Serves with these limits. Returns how to connect, how to stop, and the task.
    async fn start(
        connections: usize,
        head_time: Duration,
    ) -> (impl AsyncFn() -> TcpStream, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_spare = async |request: Request| place_of(&request).unwrap().is_spare().to_string();
        let app = Router::new().route("/", get(is_spare)).route(
            "/late",
            get(async || {
                BEGUN.notify_one();
                NOTICE.notified().await;
                "late"
            }),
        );
        let stop = CancellationToken::new();
        let limits = ConnectionLimits { connections, head_time, least: 1000 };
        let serving =
            tokio::spawn(serve(listener, NormalizePath::trim_trailing_slash(app), limits, stop.clone()));
        (async move || TcpStream::connect(address).await.unwrap(), stop, serving)
    }

    async fn answer(connection: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(b"e") && connection.read_buf(&mut answer).await.unwrap_or_default() > 0 {}
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn one_connection_too_many_replaces_one_without_a_request() {
        let (connect, stop, serving) = start(2, LONG).await;
        let mut connections = [connect().await, connect().await];
        for connection in &mut connections {
            connection.write_all(REQUEST).await.unwrap();
            assert!(answer(connection).await.ends_with("false"));
        }
        let mut third = connect().await;
        third.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut third).await.ends_with("false"));
        assert_eq!(answer(&mut connections[0]).await, "");
        // Neither an idle connection nor one on which nothing arrived prevents the stop.
        let mut fourth = connect().await;
        stop.cancel();
        serving.await.unwrap();
        for connection in [&mut third, &mut fourth, &mut connections[1]] {
            assert_eq!(answer(connection).await, "");
        }
    }

    #[tokio::test]
    async fn when_all_are_busy_further_connections_are_spare_ones() {
        let (connect, stop, serving) = start(1, LONG).await;
        let mut busy = connect().await;
        busy.write_all(LATE).await.unwrap();
        BEGUN.notified().await;
        let mut other = connect().await;
        other.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut other).await.ends_with("true"));
        // While it stops, it waits for the running request and answers others.
        stop.cancel();
        let mut other = connect().await;
        other.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut other).await.starts_with("HTTP/1.1 200 "));
        assert!(!serving.is_finished());
        NOTICE.notify_one();
        assert!(answer(&mut busy).await.ends_with("late"));
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_without_a_request_ends() {
        let (connect, ..) = start(9, Duration::from_millis(100)).await;
        for begun in [b"".as_slice(), b"GET / HTTP/1.1\r\nhost: lo", REQUEST] {
            let mut connection = connect().await;
            connection.write_all(begun).await.unwrap();
            let mut rest = String::new();
            connection.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest.contains("200 OK"), begun == REQUEST, "{rest}");
        }
    }
}
