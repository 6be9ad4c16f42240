//! Rows that are still being loaded from the topic into the tables, and must not be reported as missing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use crate::kafka::{BrokerError, Kafka, Watermarks};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::uploads::Loaded;
use crate::warehouse::visibility::wait_until_loaded;

/// How long a job waits for rows that are being loaded.
const PATIENCE: Duration = Duration::from_secs(60);

type AskWatermarks = dyn Fn() -> BoxFuture<'static, Result<Watermarks, BrokerError>> + Send + Sync;

/// The rows that a topic brings into the tables.
#[derive(Clone)]
pub struct Arrivals {
    topic: String,
    patience: Duration,
    watermarks: Arc<AskWatermarks>,
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// How much the loader has noted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub(super) struct LedgerState {
    entries: u64,
    unfinished: i64,
}

impl LedgerState {
    /// Whether nothing was loaded between an earlier state and this one.
    pub(super) fn is_quiet_since(self, earlier: Self) -> bool {
        self == earlier && self.unfinished == 0
    }
}

impl Arrivals {
    /// Asks the broker about a topic.
    pub fn of_topic(kafka: Kafka, topic: &str) -> Self {
        let asked = topic.to_owned();
        Self::new(topic, PATIENCE, move || {
            let (kafka, topic) = (kafka.clone(), asked.clone());
            Box::pin(async move { kafka.watermarks(&topic).await })
        })
    }

    /// Asks `watermarks` for the topic's end offsets, and waits no longer than `patience`.
    pub fn new(
        topic: &str,
        patience: Duration,
        watermarks: impl Fn() -> BoxFuture<'static, Result<Watermarks, BrokerError>> + Send + Sync + 'static,
    ) -> Self {
        Self { topic: topic.to_owned(), patience, watermarks: Arc::new(watermarks) }
    }

    /// Returns the topic's end offsets, or none if the broker does not answer.
    pub(super) async fn so_far(&self) -> Option<BTreeMap<u16, i64>> {
        match (self.watermarks)().await {
            // The ledger may never mention an empty partition.
            Ok(marks) => {
                let filled = marks.into_iter().filter(|(_, (low, high))| low < high);
                Some(filled.map(|(partition, (_, high))| (partition, high)).collect())
            }
            Err(error) => {
                tracing::warn!(topic = self.topic, %error, "cannot read the topic's end offsets");
                None
            }
        }
    }

    /// Waits until the topic is loaded up to the offsets that [`Arrivals::so_far`] returned. Returns whether it is.
    pub(super) async fn wait(
        &self,
        warehouse: &Warehouse,
        so_far: Option<&BTreeMap<u16, i64>>,
    ) -> Result<bool, WarehouseError> {
        match so_far {
            Some(next_offsets) => {
                let is_loaded = |loaded: &Loaded| loaded.reaches(next_offsets);
                wait_until_loaded(warehouse, &self.topic, self.patience, is_loaded).await
            }
            None => Ok(false),
        }
    }

    /// Returns how much the loader has noted so far.
    pub(super) async fn ledger_state(&self, warehouse: &Warehouse) -> Result<LedgerState, WarehouseError> {
        let query = warehouse.query(include_str!("../../queries/engine/reconcile/ledger_state.sql"));
        Ok(query.param("topic", &self.topic).fetch_one().await?)
    }
}
