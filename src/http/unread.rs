//! The part of a request's body that a handler did not read. It is read to its end, within limits, so that a client that is still sending
//! receives the response instead of a broken connection. A body that pauses for too long is given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::places::place_of;
use super::problem::Problem;
use crate::counted::counted;
use crate::ingest::pace::Pace;

/// Limits of reading on. Beyond them the connection is closed, as it would have been at once.
pub(super) const MAX_BYTES: usize = 1 << 30;
pub(super) const MAX_TIME: Duration = Duration::from_secs(5);

/// The code for clients that are too slow.
const TOO_SLOW: &str = "too_slow";

/// Extra time for an upload, which enforces the limit itself.
const GRACE: Duration = Duration::from_secs(5);

/// Reads the rest of a body before the response is sent. `idle`: how long a body may pause.
pub async fn read_on(State(idle): State<Duration>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let asks_first = request.headers().contains_key(header::EXPECT);
    let place = place_of(&request).unwrap_or_default();
    let pace = place.pace();
    let (parts, body) = request.into_parts();
    let (back, mut given_back) = oneshot::channel();
    let lent = Lent {
        pieces: Some(body.into_data_stream()),
        is_begun: false,
        back: Some(back),
        idle: idle + GRACE,
        waiting: None,
        gives_way: Box::pin(pace.until_it_gives_way()),
        pace: Arc::clone(&pace),
    };
    let response = next.run(Request::from_parts(parts, Body::from_stream(lent))).await;
    let problem = response.extensions().get::<Problem>();
    if let Some(problem) = problem.filter(|_| pace.gives_way()) {
        // Whatever error the handler made of the broken body.
        let detail =
            "upload stopped because all connections were in use and it was the slowest; send it again later";
        return problem.clone().instead(StatusCode::REQUEST_TIMEOUT, TOO_SLOW, detail).into_response();
    }
    let is_lost = problem.is_some_and(|problem| problem.code() == TOO_SLOW);
    if let Ok(rest) = given_back.try_recv()
        // A client that waits for 100 Continue, and did not get it, sends nothing (RFC 9110, section 10.1.1).
        && (rest.is_begun || !asks_first)
        && !is_lost
    {
        place.needs_no_more();
        drain(rest.pieces).await;
    }
    response
}

async fn drain(mut pieces: BodyDataStream) {
    let mut left = MAX_BYTES;
    let draining = async {
        while let Some(Ok(piece)) = pieces.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(MAX_TIME, draining).await;
}

/// A body that is given back if it is dropped before its end.
struct Lent {
    pieces: Option<BodyDataStream>,
    is_begun: bool,
    back: Option<oneshot::Sender<Rest>>,
    idle: Duration,
    /// Runs while nothing arrives.
    waiting: Option<Pin<Box<Sleep>>>,
    pace: Arc<Pace>,
    gives_way: Pin<Box<WaitForCancellationFutureOwned>>,
}

struct Rest {
    pieces: BodyDataStream,
    /// The client got 100 Continue, if it waited for that.
    is_begun: bool,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.is_begun = true;
        let Some(pieces) = &mut this.pieces else { return Poll::Ready(None) };
        this.pace.wait();
        let Poll::Ready(next) = pieces.poll_next_unpin(context) else {
            if this.gives_way.as_mut().poll(context).is_ready() {
                this.pieces = None;
                return Poll::Ready(Some(Err(axum::Error::new(
                    "the connection was needed for other clients",
                ))));
            }
            let idle = this.idle;
            let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
            ready!(waiting.as_mut().poll(context));
            this.pieces = None;
            let reason = format!("nothing arrived for {}", counted(idle.as_secs(), "second"));
            return Poll::Ready(Some(Err(axum::Error::new(reason))));
        };
        this.waiting = None;
        this.pace.came_next(next.as_ref());
        if !matches!(next, Some(Ok(_))) {
            this.pieces = None;
        }
        Poll::Ready(next)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(pieces), Some(back)) = (self.pieces.take(), self.back.take()) {
            let _ = back.send(Rest { pieces, is_begun: self.is_begun });
        }
    }
}
