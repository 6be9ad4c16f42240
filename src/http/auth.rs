//! API keys: asked for on every path but health, if there are any.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::settings::ApiKey;

/// Lets a request pass that carries one of the keys as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
pub async fn require_key(State(keys): State<Arc<[ApiKey]>>, request: Request, next: Next) -> Response {
    if keys.is_empty() || carried_key(request.headers()).is_some_and(|key| is_one_of(key, &keys)) {
        return next.run(request).await;
    }
    let detail = "a valid API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn carried_key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.as_bytes());
    }
    let authorization = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = authorization.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
}

/// Compares with every key, so that the time taken tells neither which nor how much of it was right.
fn is_one_of(carried: &[u8], keys: &[ApiKey]) -> bool {
    let found = keys
        .iter()
        .fold(subtle::Choice::from(0), |found, key| found | key.expose().as_bytes().ct_eq(carried));
    found.into()
}
