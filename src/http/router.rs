//! The index of the API.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::normalize_path::NormalizePath;
use tower_http::trace::TraceLayer;

use super::state::AppState;
use super::{
    aggregates, auth, differences, health, metrics, problem, reconcile, rejects, repair, upload, uploads,
};
use crate::settings::ApiKey;

/// What gets smaller: Parquet is compressed in itself.
fn packable() -> impl Predicate {
    DefaultPredicate::new().and(NotForContentType::const_new("application/vnd.apache.parquet"))
}

/// Builds the API. Paths answer with and without a slash at their end.
pub fn router(state: AppState, keys: Vec<ApiKey>) -> NormalizePath<Router> {
    let keys: Arc<[ApiKey]> = keys.into();
    let api = Router::new()
        // The reader of the body counts its bytes.
        .route("/uploadcsv", post(upload::upload_csv).layer(DefaultBodyLimit::disable()))
        .route("/uploads", get(uploads::list))
        .route("/uploads/{id}", get(uploads::show))
        .route("/uploads/{id}/rejects", get(rejects::list))
        .route("/uploads/{id}/conflicts", get(rejects::conflicts))
        .route("/uploads/{id}/replay", post(rejects::replay).layer(DefaultBodyLimit::disable()))
        .route("/aggregates", get(aggregates::aggregates))
        .route("/aggregates/summary", get(aggregates::summary))
        .route("/reconcile", post(reconcile::submit).layer(DefaultBodyLimit::disable()).get(reconcile::list))
        .route("/reconcile/{id}", get(reconcile::show).delete(reconcile::cancel))
        .route("/reconcile/{id}/differences", get(differences::list))
        .route("/reconcile/{id}/repair", post(repair::repair))
        .route("/metrics", get(metrics::metrics))
        .route_layer(middleware::from_fn_with_state(keys, auth::require_key))
        // For who takes it; what is written as it comes is sent as it comes.
        .layer(CompressionLayer::new().compress_when(packable()));
    let counted = state.metrics().clone();
    let router = Router::new()
        .merge(api)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(state)
        .layer(middleware::from_fn_with_state(counted, metrics::measure))
        .layer(middleware::from_fn(problem::render))
        // A failure is logged once, with its cause, where its body is written.
        .layer(TraceLayer::new_for_http().on_failure(()));
    NormalizePath::trim_trailing_slash(router)
}
