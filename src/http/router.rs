//! The index of the API.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension};
use axum::routing::any;
use axum::{Router, middleware};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use tower_http::normalize_path::NormalizePath;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::aggregates::answers::AggregatesPage;
use super::aggregates::summary::AggregatesSummary;
use super::datasets::Catalogue;
use super::deadline::{Deadline, answer_in_time};
use super::home::{ServiceAddresses, Shown};
use super::openapi::files::Files;
use super::openapi::page::{self, Document};
use super::openapi::{self, answering, taking};
use super::state::{AppState, ReconcileState, Served};
use super::{
    admission, aggregates, auth, datasets, differences, endpoints, events, head, health, home, metrics,
    problem, reconcile, rejects, repair, unread, upload, uploads,
};
use crate::dataset::BETS;
use crate::endpoints::Prepared;
use crate::settings::ApiKey;
use roundhouse_listener::guard::Guard;

/// What is worth compressing: Parquet is compressed already.
fn packable() -> impl Predicate {
    DefaultPredicate::new().and(NotForContentType::const_new("application/vnd.apache.parquet"))
}

/// A part of the API, with its description and the state of its dataset.
type Part = OpenApiRouter<()>;

/// The paths that belong to bets.
fn of_bets(bets: &Served) -> Part {
    let aggregates = OpenApiRouter::default()
        .routes(answering::<AggregatesPage, _>(routes!(aggregates::aggregates)))
        .routes(answering::<AggregatesSummary, _>(routes!(aggregates::summary::summary)))
        .layer(middleware::from_fn(answer_in_time));
    let files = files(routes!(upload::upload_csv), Files::Several);
    aggregates.merge(files).with_state(bets.app.clone()).merge(of_each(bets))
}

/// The paths below `/datasets/NAME`.
fn of_dataset(served: &Served) -> Part {
    let rows = files(routes!(upload::upload_rows), Files::Several);
    let events = OpenApiRouter::default().routes(routes!(events::take)).layer(DefaultBodyLimit::disable());
    let rows = rows.merge(events).with_state(served.app.clone());
    let name = &served.app.dataset().name;
    let part = openapi::named(name, of_each(served).merge(rows));
    let part = OpenApiRouter::default().nest(&format!("/datasets/{name}"), part);
    match name.as_str() {
        // The description has the paths without prefix, which do the same.
        BETS => part.split_for_parts().0.into(),
        _ => part,
    }
}

/// The paths that each dataset has. Their handlers know the dataset from their state.
fn of_each(served: &Served) -> Part {
    let uploads = OpenApiRouter::default()
        .routes(routes!(uploads::list))
        .routes(routes!(uploads::show))
        .routes(routes!(rejects::list))
        .layer(middleware::from_fn(answer_in_time))
        .merge(files(routes!(rejects::replay), Files::AtMostOne))
        .with_state(served.app.clone());
    let part = match served.app.dataset().has_key() {
        true => uploads.merge(conflicts(&served.app)),
        false => uploads,
    };
    match &served.reconciling {
        Some(reconciling) => part.merge(of_key(reconciling)),
        None => part.merge(without_key(&served.app)),
    }
}

/// Says why there are no reconciliations.
fn without_key(app: &AppState) -> Part {
    let paths = ["/reconcile", "/reconcile/{*rest}"];
    let part =
        paths.iter().fold(OpenApiRouter::default(), |part, path| part.route(path, any(reconcile::needs_key)));
    part.layer(middleware::from_fn(answer_in_time)).with_state(app.clone())
}

/// The list of conflicts, for datasets with a key.
fn conflicts(app: &AppState) -> Part {
    OpenApiRouter::default()
        .routes(routes!(rejects::conflicts))
        .layer(middleware::from_fn(answer_in_time))
        .with_state(app.clone())
}

/// The paths of datasets whose files can be reconciled.
fn of_key(reconciling: &ReconcileState) -> Part {
    let part = OpenApiRouter::default()
        .routes(routes!(reconcile::list))
        .routes(routes!(reconcile::show, reconcile::cancel))
        .routes(routes!(differences::list))
        .routes(routes!(repair::repair));
    part.layer(middleware::from_fn(answer_in_time))
        .merge(files(routes!(reconcile::submit), Files::One))
        .with_state(reconciling.clone())
}

/// A handler that takes files: it limits time and bytes itself.
fn files<S: Clone + Send + Sync + 'static>(route: UtoipaMethodRouter<S>, files: Files) -> OpenApiRouter<S> {
    OpenApiRouter::default().routes(taking(files, route)).layer(DefaultBodyLimit::disable())
}

/// The list of the datasets, and each of them.
fn of_catalogue(catalogue: Catalogue) -> Part {
    OpenApiRouter::default()
        .routes(routes!(datasets::list))
        .routes(routes!(datasets::show))
        .layer(middleware::from_fn(answer_in_time))
        .with_state(catalogue)
}

/// The other paths that need an API key, if the server has any.
fn of_server(server: &AppState) -> Part {
    OpenApiRouter::default()
        .routes(routes!(metrics::metrics))
        .layer(middleware::from_fn(answer_in_time))
        .with_state(server.clone())
}

/// Routes that need no API key.
fn open(server: &AppState) -> Part {
    OpenApiRouter::default()
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(home::home))
        .routes(routes!(page::description))
        .routes(routes!(page::page))
        .routes(routes!(page::file))
        .layer(middleware::from_fn(answer_in_time))
        .with_state(server.clone())
}

/// Builds the API of the datasets, and its description. `server`: the state of any of them, for what they share. Paths answer with and
/// without a trailing slash.
///
/// # Errors
/// The description cannot be written as JSON.
pub fn router(
    datasets: &[Served],
    endpoints: &[Arc<Prepared>],
    server: &AppState,
    services: ServiceAddresses,
    guard: Guard,
    keys: Vec<ApiKey>,
) -> serde_json::Result<NormalizePath<Router>> {
    // Anyone may ask for the page that shows them.
    let shown = Shown(keys.is_empty().then(|| services.into()));
    let keys: Arc<[ApiKey]> = keys.into();
    let bets = datasets.iter().filter(|served| served.app.dataset().name == BETS).map(of_bets);
    let names: Vec<&str> = datasets.iter().map(|served| served.app.dataset().name.as_str()).collect();
    let catalogue = of_catalogue(Catalogue::new(datasets, endpoints, server));
    let catalogue = openapi::naming(&names, catalogue);
    let others = bets.chain(datasets.iter().map(of_dataset));
    let keyed = others.fold(of_server(server).merge(catalogue), OpenApiRouter::merge);
    let ((open, described_open), (keyed, described_keyed)) =
        (open(server).split_for_parts(), keyed.split_for_parts());
    let endpoints = endpoints::routes(endpoints, server);
    let document = openapi::text(described_keyed, described_open, endpoints.paths, !keys.is_empty())?;
    let keyed = keyed.merge(endpoints.router.layer(middleware::from_fn(answer_in_time)));
    let guard = (Arc::new(guard), Arc::clone(&keys));
    let keyed = keyed.route_layer(middleware::from_fn_with_state(keys, auth::require_key));
    let deadline = Deadline::with_query(server.query_limits.timeout);
    let (counted, idle, stopping) = (server.metrics().clone(), server.upload_idle, server.stopping.clone());
    let router = keyed
        .merge(open)
        // Only if the client accepts it. Streamed bodies stay streamed.
        .layer(CompressionLayer::new().compress_when(packable()))
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
