//! Requests that are refused before they reach a handler: while the server stops, and while all connections are in use. Health and
//! metrics are always answered.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::sync::CancellationToken;

use super::places::place_of;
use super::problem::Problem;

/// Refuses a request that cannot be served now.
pub async fn admit(State(stopping): State<CancellationToken>, request: Request, next: Next) -> Response {
    let is_spare = place_of(&request).is_some_and(|place| place.is_spare());
    let is_stopping = stopping.is_cancelled();
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_cheap = is_read && matches!(path, "/healthz" | "/metrics");
    let mut response = if is_stopping && !is_cheap {
        Problem::stopping().into_response()
    } else if is_spare && !(is_cheap || is_read && path == "/readyz") {
        overloaded().into_response()
    } else {
        next.run(request).await
    };
    if is_spare || is_stopping {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn overloaded() -> Problem {
    let detail = "all connections are in use; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).expected()
}
