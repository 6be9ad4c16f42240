//! Limits the head of a request.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use roundhouse_listener::http1::is_head_too_large;

/// Refuses a request whose head is too large, though hyper accepted it.
pub async fn limit(request: Request, next: Next) -> Response {
    if is_head_too_large(&request) {
        return too_large().into_response();
    }
    next.run(request).await
}

/// The head of a request is too large, or has too many lines.
pub fn too_large() -> Problem {
    let detail =
        "the request has more than 100 headers, or its head is larger than 128 KiB; send fewer headers";
    Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", detail)
}
