//! Who may use the API: the guard on every path, and API keys, if the server has any, on every path but health and documentation.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::settings::ApiKey;
use roundhouse_listener::guard::{Guard, Refusal};

/// What to do about a request of another origin.
const FOREIGN_PAGE: &str = "send an API key with it (Authorization: Bearer KEY, or X-API-Key: KEY), or if this is the server's own page \
                            behind a proxy, allow its name with --allowed-host";

/// Refuses requests for other servers, and changes that a web page of another origin sends without a key.
pub async fn refuse_foreign(
    State((guard, keys)): State<(Arc<Guard>, Arc<[ApiKey]>)>,
    request: Request,
    next: Next,
) -> Response {
    let has_key = carried_key(request.headers()).is_some_and(|key| is_one_of(key, &keys));
    match guard.check(&request, has_key) {
        Ok(_) => next.run(request).await,
        Err(refusal) => Problem::from(refusal).into_response(),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, cause) = (refusal.status(), refusal.to_string());
        match refusal {
            Refusal::NoHost => Self::new(status, "bad_request", cause),
            Refusal::Host(host) => Self::new(status, "wrong_host", cause).with("host", host.to_string()),
            Refusal::Page => Self::new(status, "cross_origin", format!("{cause}; {FOREIGN_PAGE}")),
        }
    }
}

/// Accepts a request that carries one of the keys as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
pub async fn require_key(State(keys): State<Arc<[ApiKey]>>, request: Request, next: Next) -> Response {
    if keys.is_empty() || carried_key(request.headers()).is_some_and(|key| is_one_of(key, &keys)) {
        return next.run(request).await;
    }
    let detail = "a valid API key is required; send Authorization: Bearer KEY, or X-API-Key: KEY";
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

/// Compares with every key in constant time, so that the time reveals neither which key matched nor how much of it.
fn is_one_of(carried: &[u8], keys: &[ApiKey]) -> bool {
    let found = keys
        .iter()
        .fold(subtle::Choice::from(0), |found, key| found | key.expose().as_bytes().ct_eq(carried));
    found.into()
}
