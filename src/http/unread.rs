//! What a handler leaves unread of a request: it is read on, within bounds, so that a sender who is still sending gets to see the
//! answer instead of a broken connection. And what never comes is not waited for.

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

use super::problem::Problem;
use super::serve::place_of;
use crate::ingest::pace::Pace;

/// What is read on. Past it the connection breaks off, as it would have at once.
pub(super) const MAX_BYTES: usize = 1 << 30;
pub(super) const MAX_TIME: Duration = Duration::from_secs(5);

/// The code of senders that are too slow to be waited for.
const TOO_SLOW: &str = "too_slow";

/// What an upload is given more, which says by itself how long it waits.
const GRACE: Duration = Duration::from_secs(5);

/// Reads on what the handlers leave, before their answer is sent. `idle`: how long nothing may come of a body that they wait for.
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
        // Whatever the handler makes of a body that breaks off.
        let detail =
            "upload stopped because all connections were in use and it was the slowest; send it again later";
        return problem.clone().instead(StatusCode::REQUEST_TIMEOUT, TOO_SLOW, detail).into_response();
    }
    let is_lost = problem.is_some_and(|problem| problem.code() == TOO_SLOW);
    if let Ok(rest) = given_back.try_recv()
        // Whoever asks first, and is not told to go on, sends nothing (RFC 9110, section 10.1.1).
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

/// A body, which comes back when it is dropped before its end.
struct Lent {
    pieces: Option<BodyDataStream>,
    is_begun: bool,
    back: Option<oneshot::Sender<Rest>>,
    idle: Duration,
    /// Since nothing comes.
    waiting: Option<Pin<Box<Sleep>>>,
    pace: Arc<Pace>,
    gives_way: Pin<Box<WaitForCancellationFutureOwned>>,
}

struct Rest {
    pieces: BodyDataStream,
    /// The sender was told to go on, if it asked.
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
                return Poll::Ready(Some(Err(axum::Error::new("the connection was needed for others"))));
            }
            let idle = this.idle;
            let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
            ready!(waiting.as_mut().poll(context));
            this.pieces = None;
            let reason = format!("nothing came for {} seconds", idle.as_secs());
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
