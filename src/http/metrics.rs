//! `GET /metrics`, and the measuring of requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::openapi::problems;
use super::parameters::Parameters;
use super::problem::Problem;
use super::state::AppState;
use crate::metrics::{Lag, Metrics, Now};
use crate::warehouse::client::WarehouseError;
use crate::warehouse::uploads::{LedgerRow, LedgerState, Loaded};

/// Uploads, the last ones, of which it is looked whether they are visible.
const UPLOADS: usize = 200;

/// How long ClickHouse may take; what it does not say in time is left out.
const PATIENCE: Duration = Duration::from_secs(3);

/// The text format of OpenMetrics, which Prometheus reads.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted, for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"), problems::Parameters)
)]
pub async fn metrics(State(state): State<AppState>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.finish("none")?;
    let lag = match tokio::time::timeout(PATIENCE, lag(&state)).await {
        Ok(Ok(lag)) => Some(lag),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the lag is not known");
            None
        }
        Err(_) => None,
    };
    let now = Now { uploads_under_way: state.uploader.ledger.under_way(), lag };
    let text = state.metrics().text(&now).map_err(|error| {
        Problem::unavailable("internal", "the metrics could not be written: try again", error)
    })?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// Looks how far the tables are behind the last uploads.
async fn lag(state: &AppState) -> Result<Lag, WarehouseError> {
    let uploads = state.uploader.ledger.page(None, UPLOADS).await?;
    let mut lag = Lag::default();
    let mut by_topic: BTreeMap<&str, Vec<&LedgerRow>> = BTreeMap::new();
    for upload in uploads.iter().filter(|upload| upload.state == LedgerState::Acknowledged) {
        by_topic.entry(&upload.topic).or_default().push(upload);
    }
    let now = chrono::Utc::now().timestamp_millis();
    for (topic, uploads) in by_topic {
        let loaded = Loaded::of_topic(&state.warehouse, topic).await?;
        let behind = uploads.into_iter().filter(|upload| !loaded.has(&upload.offsets, upload.updated_at));
        let mut missing: BTreeMap<u16, u64> = BTreeMap::new();
        for upload in behind {
            lag.seconds = lag.seconds.max((now - upload.updated_at).max(0) as f64 / 1000.0);
            for (partition, offsets) in loaded.missing(&upload.offsets, upload.updated_at) {
                let most = missing.entry(partition).or_default();
                *most = (*most).max(offsets);
            }
        }
        lag.offsets += missing.values().sum::<u64>();
    }
    Ok(lag)
}

/// Measures a request by its route.
pub async fn measure(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let started = Instant::now();
    let response = next.run(request).await;
    // Paths that are none would be as many as someone likes.
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
