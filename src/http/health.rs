//! Whether the process lives, and whether each part that it needs does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::openapi::problems;
use super::problem::Problem;
use super::state::AppState;
use crate::disk::Disk;
use crate::kafka::health::TopicsHealth;
use crate::loader::run::LoaderState;
use crate::registry::Registry;
use crate::settings::LoaderKind;
use crate::warehouse::client::{Warehouse, WarehouseError, in_time};
use crate::warehouse::lost_parts::LostParts;

/// How long a part may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long all questions about topics may take: they bound themselves, this bounds one that waits behind another.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(5);

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartHealth {
    pub ready: bool,
    /// Why it is not, or why it has nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of the disk: bytes that are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Of the disk: bytes that are kept in reserve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve_bytes: Option<u64>,
}

impl PartHealth {
    pub fn ready() -> Self {
        Self { ready: true, reason: None, free_bytes: None, reserve_bytes: None }
    }

    /// It is ready, with something to know about it.
    pub fn ready_since(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::ready() }
    }

    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self { ready: false, reason: Some(reason.into()), ..Self::ready() }
    }
}

/// Tells how parts are that this process runs.
pub type LocalParts = Box<dyn Fn() -> Vec<(String, PartHealth)> + Send + Sync>;

/// What readiness is made of.
pub struct Readiness {
    pub topics: TopicsHealth,
    pub registry: Registry,
    pub warehouse: Warehouse,
    /// Where the embedded parts keep everything.
    pub disk: Disk,
    /// Who moves the topic into ClickHouse.
    pub loader: LoaderKind,
    pub loaders: Vec<(&'static str, watch::Receiver<LoaderState>)>,
    /// Parts of tables that ClickHouse cannot read.
    pub lost_parts: watch::Receiver<LostParts>,
    pub local_parts: LocalParts,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("topics", &self.topics).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Asks each part.
    pub async fn check(&self) -> BTreeMap<String, PartHealth> {
        let (broker, registry, clickhouse) = tokio::join!(
            topics_health(&self.topics),
            probe("the registry does not answer", self.registry.ping()),
            clickhouse_health(&self.warehouse),
        );
        let mut parts: BTreeMap<String, PartHealth> = (self.local_parts)().into_iter().collect();
        for (name, state) in &self.loaders {
            parts.insert((*name).to_owned(), loader_health(&state.borrow()));
        }
        parts.insert("tables".to_owned(), tables_health(&self.lost_parts.borrow()));
        if let Some(health) = disk_health(&self.disk) {
            parts.insert("disk".to_owned(), health);
        }
        for (name, health) in [("broker", broker), ("registry", registry), ("clickhouse", clickhouse)] {
            // That it does not answer says more than that its process runs; that its process is gone says why.
            match parts.get(name) {
                Some(local) if !local.ready => {}
                _ => drop(parts.insert(name.to_owned(), health)),
            }
        }
        parts
    }

    /// Whether each loader loads.
    pub fn loading(&self) -> Vec<(&'static str, bool)> {
        let loads = |state: &watch::Receiver<LoaderState>| *state.borrow() == LoaderState::Running;
        self.loaders.iter().map(|(name, state)| (*name, loads(state))).collect()
    }
}

async fn topics_health(topics: &TopicsHealth) -> PartHealth {
    match tokio::time::timeout(TOPICS_TIMEOUT, topics.check()).await {
        Ok(Ok(())) => PartHealth::ready(),
        Ok(Err(reason)) => PartHealth::not_ready(reason),
        Err(_) => PartHealth::not_ready("the broker does not answer"),
    }
}

async fn probe<T, E: fmt::Display>(failure: &str, answer: impl Future<Output = Result<T, E>>) -> PartHealth {
    match tokio::time::timeout(PROBE_TIMEOUT, answer).await {
        Ok(Ok(_)) => PartHealth::ready(),
        Ok(Err(error)) => {
            tracing::debug!(%error, failure);
            PartHealth::not_ready(failure)
        }
        Err(_) => PartHealth::not_ready(format!("{failure} within {} seconds", PROBE_TIMEOUT.as_secs())),
    }
}

/// Tells a ClickHouse that does not answer from one that answers with an error.
async fn clickhouse_health(warehouse: &Warehouse) -> PartHealth {
    let Err(failure) = in_time(PROBE_TIMEOUT, warehouse.ping()).await else { return PartHealth::ready() };
    tracing::debug!(error = %failure, "ClickHouse is not ready");
    match &failure {
        WarehouseError::Exception(exception) => {
            let (what, code, name) = (failure.summary(), exception.code, &exception.name);
            PartHealth::not_ready(format!("{what}: error {code} {name}").trim_end())
        }
        _ => PartHealth::not_ready(failure.summary()),
    }
}

fn tables_health(lost: &LostParts) -> PartHealth {
    match (lost.is_known, lost.is_whole()) {
        (_, true) => PartHealth::ready(),
        (false, _) => PartHealth::not_ready("ClickHouse has not been asked for broken parts yet"),
        _ => PartHealth::not_ready(lost.reason()),
    }
}

/// None where nothing that uploads need is kept on this disk.
fn disk_health(disk: &Disk) -> Option<PartHealth> {
    let free = disk.free().ok().filter(|_| disk.reserve() > 0)?;
    let health =
        disk.check().map_or_else(|full| PartHealth::not_ready(full.to_string()), |()| PartHealth::ready());
    Some(PartHealth { free_bytes: Some(free), reserve_bytes: Some(disk.reserve()), ..health })
}

fn loader_health(state: &LoaderState) -> PartHealth {
    match state {
        LoaderState::Running => PartHealth::ready(),
        LoaderState::Standby { owner } => PartHealth::ready_since(format!(
            "standby: server {owner} loads the topic; this one takes over if it fails"
        )),
        LoaderState::Starting => PartHealth::not_ready("starting"),
        LoaderState::Waiting(reason) => {
            tracing::debug!(reason, "the loader waits");
            PartHealth::not_ready("interrupted; it tries again by itself")
        }
    }
}

/// That the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "ok")]
    status: &'static str,
}

/// How the parts are, all being ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    ready: bool,
    /// Who moves the topic into ClickHouse.
    loader: &'static str,
    parts: BTreeMap<String, PartHealth>,
}

/// Tells that the process lives
#[utoipa::path(
    get, path = "/healthz", tag = "operations",
    responses((status = 200, description = "It does", body = Alive))
)]
pub async fn healthz() -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Tells whether every part is ready
///
/// 503 where one is not; each part with its reason.
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
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "not every part is ready")
        .with("ready", false)
        .with("loader", loader)
        .with("parts", serde_json::to_value(parts).unwrap_or_default())
        .expected();
    Err(problem)
}
