//! What every request passes: limits, the check of its host, and the media type of its answer.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::{MAX_BODY_BYTES, MAX_REQUESTS, REQUEST_TIMEOUT, RegistryError};
use crate::embedded::host;
use crate::http1::is_head_too_large;

/// Puts the guards around the routes.
pub(super) fn protect(routes: Router) -> Router {
    let slots = Arc::new(Semaphore::new(MAX_REQUESTS));
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn_with_state(slots, limit))
        .layer(middleware::from_fn(refuse_foreign_hosts))
        .layer(middleware::from_fn(limit_head))
        .layer(middleware::from_fn(name_media_type))
}

/// Lets a number of requests be under way, each for a limited time.
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

async fn refuse_foreign_hosts(request: Request, next: Next) -> Response {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    match header.is_some_and(host::is_ours) {
        true => next.run(request).await,
        false => RegistryError::WrongHost.into_response(),
    }
}

/// Names the media type: the registry's own, or plain JSON for those who accept only that.
async fn name_media_type(request: Request, next: Next) -> Response {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
    let own = accept.contains("application/vnd.schemaregistry") || !accept.contains("application/json");
    let media_type = match own {
        true => "application/vnd.schemaregistry.v1+json",
        false => "application/json",
    };
    let mut response = next.run(request).await;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
