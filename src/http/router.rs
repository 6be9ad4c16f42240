//! The index of the API.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension};
use axum::{Router, middleware};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::normalize_path::NormalizePath;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::aggregates::answers::AggregatesPage;
use super::aggregates::summary::AggregatesSummary;
use super::deadline::{Deadline, answer_in_time};
use super::home::{ServiceAddresses, Shown};
use super::openapi::files::Files;
use super::openapi::page::{self, Document};
use super::openapi::{self, answering, taking};
use super::state::AppState;
use super::{
    admission, aggregates, auth, differences, head, health, home, metrics, problem, reconcile, rejects,
    repair, unread, upload, uploads,
};
use crate::settings::ApiKey;
use roundhouse_listener::guard::Guard;

/// What is worth compressing: Parquet is compressed already.
fn packable() -> impl Predicate {
    DefaultPredicate::new().and(NotForContentType::const_new("application/vnd.apache.parquet"))
}

/// Routes that need an API key, if the server has any. A handler that takes a file limits time and bytes itself.
fn keyed() -> OpenApiRouter<AppState> {
    let files = OpenApiRouter::default()
        .routes(taking(Files::Several, routes!(upload::upload_csv)))
        .routes(taking(Files::AtMostOne, routes!(rejects::replay)))
        .routes(taking(Files::One, routes!(reconcile::submit)))
        .layer(DefaultBodyLimit::disable());
    OpenApiRouter::default()
        .routes(routes!(uploads::list))
        .routes(routes!(uploads::show))
        .routes(routes!(rejects::list))
        .routes(routes!(rejects::conflicts))
        .routes(answering::<AggregatesPage>(routes!(aggregates::aggregates)))
        .routes(answering::<AggregatesSummary>(routes!(aggregates::summary::summary)))
        .routes(routes!(reconcile::list))
        .routes(routes!(reconcile::show, reconcile::cancel))
        .routes(routes!(differences::list))
        .routes(routes!(repair::repair))
        .routes(routes!(metrics::metrics))
        .layer(middleware::from_fn(answer_in_time))
        .merge(files)
}

/// Routes that need no API key.
fn open() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(home::home))
        .routes(routes!(page::description))
        .routes(routes!(page::page))
        .routes(routes!(page::file))
        .layer(middleware::from_fn(answer_in_time))
}

/// Builds the API and its description. Paths answer with and without a trailing slash.
///
/// # Errors
/// The description cannot be written as JSON.
pub fn router(
    state: AppState,
    services: ServiceAddresses,
    guard: Guard,
    keys: Vec<ApiKey>,
) -> serde_json::Result<NormalizePath<Router>> {
    // Anyone may ask for the page that shows them.
    let shown = Shown(keys.is_empty().then(|| services.into()));
    let keys: Arc<[ApiKey]> = keys.into();
    let ((open, described_open), (keyed, described_keyed)) =
        (open().split_for_parts(), keyed().split_for_parts());
    let document = openapi::text(described_keyed, described_open, !keys.is_empty())?;
    let guard = (Arc::new(guard), Arc::clone(&keys));
    let keyed = keyed.route_layer(middleware::from_fn_with_state(keys, auth::require_key));
    let deadline = Deadline::with_query(state.query_limits.timeout);
    let (counted, idle, stopping) = (state.metrics().clone(), state.upload_idle, state.stopping.clone());
    let router = keyed
        .merge(open)
        // Only if the client accepts it. Streamed bodies stay streamed.
        .layer(CompressionLayer::new().compress_when(packable()))
        .with_state(state)
        .layer(Extension(Document(document.into())))
        .layer(Extension(shown))
        .layer(Extension(deadline))
        .layer(middleware::from_fn_with_state(guard, auth::refuse_foreign))
        .layer(middleware::from_fn_with_state(counted, metrics::measure))
        .layer(middleware::from_fn_with_state(stopping, admission::admit))
        .layer(middleware::from_fn(head::limit))
        .layer(middleware::from_fn_with_state(idle, unread::read_on))
        .layer(middleware::from_fn(problem::render))
        // `render` logs a failure once, with its cause.
        .layer(TraceLayer::new_for_http().on_failure(()));
    Ok(NormalizePath::trim_trailing_slash(router))
}
