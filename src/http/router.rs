//! The index of the API.

use std::sync::Arc;

use axum::extract::Extension;
use axum::{Router, middleware};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::normalize_path::NormalizePath;
use tower_http::trace::TraceLayer;

use super::deadline::Deadline;
use super::home::{ServiceAddresses, Shown};
use super::openapi::files::Files;
use super::openapi::page::{self, Document};
use super::openapi::{self, Api};
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
    let keyed = Api::behind_key()
        .taking(Files::Several, upload::__path_upload_csv, upload::upload_csv)
        .route(uploads::__path_list, uploads::list)
        .route(uploads::__path_show, uploads::show)
        .route(rejects::__path_list, rejects::list)
        .route(rejects::__path_conflicts, rejects::conflicts)
        .taking(Files::AtMostOne, rejects::__path_replay, rejects::replay)
        .route(aggregates::__path_aggregates, aggregates::aggregates)
        .route(aggregates::__path_summary, aggregates::summary)
        .taking(Files::One, reconcile::__path_submit, reconcile::submit)
        .route(reconcile::__path_list, reconcile::list)
        .route(reconcile::__path_show, reconcile::show)
        .route(reconcile::__path_cancel, reconcile::cancel)
        .route(differences::__path_list, differences::list)
        .route(repair::__path_repair, repair::repair)
        .route(metrics::__path_metrics, metrics::metrics);
    let open = Api::open()
        .route(health::__path_healthz, health::healthz)
        .route(health::__path_readyz, health::readyz)
        .route(home::__path_home, home::home)
        .route(page::__path_description, page::description)
        .route(page::__path_page, page::page)
        .route(page::__path_file, page::file);
    let ((keyed, described_keyed), (open, described_open)) = (keyed.into_parts(), open.into_parts());
    let document = openapi::text([described_keyed, described_open], !keys.is_empty())?;
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
