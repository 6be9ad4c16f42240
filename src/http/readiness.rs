//! Whether each part that the server needs is ready.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::disk::Disk;
use crate::kafka::health::TopicsHealth;
use crate::latest::values::{LastValues, Report};
use crate::loader::state::LoaderState;
use crate::metrics::LatestNow;
use crate::registry::Registry;
use crate::settings::LoaderKind;
use crate::warehouse::client::{Warehouse, WarehouseError, in_time};
use crate::warehouse::lost_parts::LostParts;

/// How long a part may take to respond.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long all checks of topics may take. Each has its own limit; this one is for a check that waits for another.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PartHealth {
    pub ready: bool,
    /// Why it is not ready, or why it is idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only of the disk: free bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// Only of the disk: bytes of the reserve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve_bytes: Option<u64>,
}

impl PartHealth {
    pub fn ready() -> Self {
        Self { ready: true, reason: None, free_bytes: None, reserve_bytes: None }
    }

    /// Ready, with a remark.
    pub fn ready_since(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::ready() }
    }

    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self { ready: false, reason: Some(reason.into()), ..Self::ready() }
    }
}

/// Returns the state of the parts that this process runs.
pub type LocalParts = Box<dyn Fn() -> Vec<(String, PartHealth)> + Send + Sync>;

/// Everything that readiness depends on.
pub struct Readiness {
    pub topics: TopicsHealth,
    pub registry: Registry,
    pub warehouse: Warehouse,
    /// The disk of the embedded parts.
    pub disk: Disk,
    /// What loads the topic into ClickHouse.
    pub loader: LoaderKind,
    pub loaders: Vec<(String, watch::Receiver<LoaderState>)>,
    /// Parts of tables that ClickHouse cannot read.
    pub lost_parts: watch::Receiver<LostParts>,
    /// The last values of datasets.
    pub latest: Vec<Arc<LastValues>>,
    pub local_parts: LocalParts,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("topics", &self.topics).finish_non_exhaustive()
    }
}

impl Readiness {
    /// Checks each part.
    pub async fn check(&self) -> BTreeMap<String, PartHealth> {
        let (broker, registry, clickhouse) = tokio::join!(
            topics_health(&self.topics),
            probe("the registry does not respond", self.registry.ping()),
            clickhouse_health(&self.warehouse),
        );
        let mut parts: BTreeMap<String, PartHealth> = (self.local_parts)().into_iter().collect();
        for (name, state) in &self.loaders {
            parts.insert(name.clone(), loader_health(&state.borrow()));
        }
        for values in &self.latest {
            parts.insert(format!("{}_latest", values.dataset.name), latest_health(&values.report()));
        }
        parts.insert("tables".to_owned(), tables_health(&self.lost_parts.borrow()));
        if let Some(health) = disk_health(&self.disk) {
            parts.insert("disk".to_owned(), health);
        }
        for (name, health) in [("broker", broker), ("registry", registry), ("clickhouse", clickhouse)] {
            // A part that does not respond counts more than its running process. A process that is gone is the cause.
            match parts.get(name) {
                Some(local) if !local.ready => {}
                _ => drop(parts.insert(name.to_owned(), health)),
            }
        }
        parts
    }

    /// The state of the last values of each dataset, for metrics.
    pub fn latest(&self) -> Vec<LatestNow> {
        let now = |values: &Arc<LastValues>| {
            let report = values.report();
            LatestNow {
                dataset: values.dataset.name.clone(),
                rows: report.size.rows,
                bytes: report.size.bytes,
                answers: report.reason.is_none(),
                lag: report.lag,
                age: report.age.map(|age| age.as_secs_f64()),
            }
        };
        self.latest.iter().map(now).collect()
    }

    /// Whether each loader is loading.
    pub fn loading(&self) -> Vec<(String, bool)> {
        let loads = |state: &watch::Receiver<LoaderState>| *state.borrow() == LoaderState::Running;
        self.loaders.iter().map(|(name, state)| (name.clone(), loads(state))).collect()
    }
}

async fn topics_health(topics: &TopicsHealth) -> PartHealth {
    match tokio::time::timeout(TOPICS_TIMEOUT, topics.check()).await {
        Ok(Ok(())) => PartHealth::ready(),
        Ok(Err(reason)) => PartHealth::not_ready(reason),
        Err(_) => PartHealth::not_ready("the broker does not respond"),
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

/// Distinguishes a ClickHouse that does not respond from one that responds with an error.
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

/// Without the last values the server answers, only more slowly.
fn latest_health(report: &Report) -> PartHealth {
    match (&report.reason, report.size.is_full) {
        (Some(reason), _) => PartHealth::ready_since(format!("ClickHouse answers: {reason}")),
        (None, true) => PartHealth::ready_since(
            "ClickHouse answers for keys that do not fit; raise --max-latest-bytes and restart",
        ),
        (None, false) => PartHealth::ready(),
    }
}

fn tables_health(lost: &LostParts) -> PartHealth {
    match (lost.is_known, lost.is_whole()) {
        (_, true) => PartHealth::ready(),
        (false, _) => PartHealth::not_ready("not checked for broken parts yet"),
        _ => PartHealth::not_ready(lost.reason()),
    }
}

/// None if uploads need no space on this disk.
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
            "standby: server {owner} loads the topic; this one takes over if that one fails"
        )),
        LoaderState::Starting => PartHealth::not_ready("starting"),
        LoaderState::Waiting(reason) => {
            tracing::debug!(reason, "the loader waits");
            PartHealth::not_ready("interrupted; it retries automatically")
        }
    }
}
