//! The layers of every request: the guard, limits, and the media type of the answer.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::{MAX_BODY_BYTES, MAX_REQUESTS, REQUEST_TIMEOUT, RegistryError};
use roundhouse_listener::accept;
use roundhouse_listener::guard::Guard;
use roundhouse_listener::http1::is_head_too_large;

/// Adds the layers to the routes.
pub(super) fn protect(routes: Router, guard: Guard) -> Router {
    let slots = Arc::new(Semaphore::new(MAX_REQUESTS));
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(slots, limit))
        .layer(middleware::from_fn_with_state(Arc::new(guard), refuse_foreign))
        .layer(middleware::from_fn(limit_head))
        .layer(middleware::from_fn(name_media_type))
}

/// Limits the number of concurrent requests, and the time of each.
async fn limit(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let work = async {
        match slots.acquire().await {
            Ok(_slot) => next.run(request).await,
            Err(_) => RegistryError::Internal.into_response(),
        }
    };
    tokio::time::timeout(REQUEST_TIMEOUT, work)
        .await
        .unwrap_or_else(|_| RegistryError::TooSlow.into_response())
}

async fn limit_head(request: Request, next: Next) -> Response {
    match is_head_too_large(&request) {
        true => RegistryError::HeadTooLarge.into_response(),
        false => next.run(request).await,
    }
}

/// Refuses requests for other servers, and changes from a web page of another origin. The registry has no API keys.
async fn refuse_foreign(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(&request, false) {
        Ok(_) => next.run(request).await,
        Err(refusal) => RegistryError::Refused(refusal).into_response(),
    }
}

/// The registry's own media type.
const OWN_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Sets the media type: the registry's own, or plain JSON for clients that prefer it.
async fn name_media_type(request: Request, next: Next) -> Response {
    let find = |kind: &str| match kind {
        OWN_TYPE | "application/vnd.schemaregistry+json" => Some(OWN_TYPE),
        "application/json" => Some("application/json"),
        _ => None,
    };
    let media_type = accept::preferred(request.headers(), find).unwrap_or(OWN_TYPE);
    let mut response = next.run(request).await;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
