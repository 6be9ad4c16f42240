//! Reads how many rows of datasets are stored, missing and rejected.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::described::Described;
use crate::http::freshness::lag_by_topic;
use crate::http::state::AppState;
use crate::metrics::Lag;
use crate::warehouse::client::WarehouseError;
use crate::warehouse::dataset_status::{TableSize, last_minute, rejects, sizes};
use crate::warehouse::uploads::Loaded;

/// How long the broker may take. Without its answer it is not known how many messages are missing.
const BROKER_PATIENCE: Duration = Duration::from_secs(3);

/// The numbers of datasets at one moment.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) tables: Vec<TableSize>,
    /// By topic.
    pub(super) last_minute: BTreeMap<String, u64>,
    /// Codes by topic.
    pub(super) rejects: BTreeMap<String, BTreeMap<String, u64>>,
    /// By topic.
    pub(super) lags: BTreeMap<String, Lag>,
    /// Messages that are not loaded yet, by topic. None for a topic that the broker does not describe.
    pub(super) behind: BTreeMap<String, u64>,
}

impl Measured {
    /// # Errors
    /// ClickHouse does not answer.
    pub(super) async fn read(state: &AppState, datasets: &[Described]) -> Result<Self, WarehouseError> {
        let (warehouse, limits) = (&state.warehouse, state.query_limits);
        let of_rows: Vec<&str> = datasets.iter().map(|one| one.dataset.topic.as_str()).collect();
        // A message of the topic of rows that cannot be decoded is a reject, too.
        let of_rejects = datasets.iter().flat_map(|one| [&one.dataset.topic, &one.dataset.dead_letter_topic]);
        let of_rejects: Vec<&str> = of_rejects.map(String::as_str).collect();
        let (tables, last_minute, rejects, lags, behind) = tokio::try_join!(
            sizes(warehouse, limits),
            last_minute(warehouse, &of_rows, limits),
            rejects(warehouse, &of_rejects, limits),
            lag_by_topic(warehouse, &state.uploader.ledger),
            behind(state, &of_rows),
        )?;
        Ok(Self { tables, last_minute, rejects, lags, behind })
    }
}

/// Compares the ends of topics with what is loaded.
async fn behind(state: &AppState, topics: &[&str]) -> Result<BTreeMap<String, u64>, WarehouseError> {
    let ends = join_all(topics.iter().map(|topic| async move {
        let marks = state.readiness.topics.watermarks(topic);
        let marks = tokio::time::timeout(BROKER_PATIENCE, marks).await.ok()?;
        marks.inspect_err(|error| tracing::debug!(%error, topic, "cannot read the topic's end offsets")).ok()
    }));
    let mut behind = BTreeMap::new();
    for (topic, marks) in topics.iter().zip(ends.await) {
        if let Some(marks) = marks {
            let loaded = Loaded::of_topic(&state.warehouse, topic).await?;
            behind.insert((*topic).to_owned(), loaded.behind(&marks));
        }
    }
    Ok(behind)
}
