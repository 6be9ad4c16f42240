//! `GET /metrics`, and the measurement of requests.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::freshness;
use super::openapi::problems;
use super::parameters::Query;
use super::problem::Problem;
use super::state::AppState;
use crate::metrics::{Metrics, Now, as_plain_text};
use crate::warehouse::client::in_time;
use roundhouse_listener::accept;

/// How long ClickHouse may take. Metrics that it does not return in time are left out.
const PATIENCE: Duration = Duration::from_secs(3);

/// The formats that Prometheus reads: <https://prometheus.io/docs/instrumenting/content_negotiation>.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics for Prometheus
///
/// OpenMetrics for a client that prefers it, as Prometheus does. Other clients, such as browsers, get the text format 0.0.4.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses(
        (status = 200, description = "The metrics", content((String = "text/plain"), (String = "application/openmetrics-text"))),
        problems::Parameters
    )
)]
pub async fn metrics(
    State(state): State<AppState>,
    _: Query<()>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let lag = in_time(PATIENCE, freshness::lag(&state.warehouse, &state.uploader.ledger)).await;
    let lag = lag.inspect_err(|error| tracing::debug!(%error, "cannot read the lag")).ok();
    let now = Now {
        uploads_under_way: state.uploader.under_way(),
        loading: state.readiness.loading(),
        latest: state.readiness.latest(),
        lag,
        lost_parts: state.readiness.lost_parts.borrow().parts.len(),
        disk_free: state.disk.free().ok(),
        disk_reserve: state.disk.reserve(),
    };
    let text = state.metrics().text(&now).map_err(|error| {
        Problem::unavailable("internal", "the metrics could not be written; try again", error)
    })?;
    let (content_type, text) = match prefers_open_metrics(&headers) {
        true => (OPEN_METRICS, text),
        false => (PLAIN, as_plain_text(&text)),
    };
    Ok(([(header::CONTENT_TYPE, content_type), (header::VARY, "Accept")], text).into_response())
}

fn prefers_open_metrics(headers: &HeaderMap) -> bool {
    let find = |kind: &str| match kind {
        "application/openmetrics-text" => Some(true),
        "text/plain" | "text/*" | "*/*" => Some(false),
        _ => None,
    };
    accept::preferred(headers, find).unwrap_or(false)
}

/// Measures a request by its route.
pub async fn measure(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let started = Instant::now();
    let response = next.run(request).await;
    // Unknown paths share one series: a client could send any number of them.
    let route = route.unwrap_or_else(|| "none".to_owned());
    metrics.see_request(method, &route, response.status().as_u16(), started.elapsed());
    response
}

fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
