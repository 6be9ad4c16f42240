//! `GET /healthz` and `GET /readyz`: whether the process is alive, and whether each part that it needs is ready.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::problems;
use super::problem::Problem;
use super::readiness::PartHealth;
use super::state::AppState;

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// The state of the parts, when all are ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    ready: bool,
    /// What loads the topic into ClickHouse.
    loader: &'static str,
    parts: BTreeMap<String, PartHealth>,
}

/// Check that the process is alive
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "It is alive", body = Alive))
)]
pub async fn healthz() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Check that every part is ready
///
/// Returns 503 if one is not, with the state of each part and the reason.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, description = "Every part is ready", body = Ready), problems::Readiness)
)]
pub async fn readyz(State(state): State<AppState>) -> Result<Json<Ready>, Problem> {
    let parts = state.readiness.check().await;
    let ready = parts.values().all(|part| part.ready);
    let loader = state.readiness.loader.name();
    if ready {
        return Ok(Json(Ready { ready, loader, parts }));
    }
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_ready",
        "a part of the server is not ready; see parts",
    )
    .with("ready", false)
    .with("loader", loader)
    .with("parts", serde_json::to_value(parts).unwrap_or_default())
    .expected();
    Err(problem)
}
