//! Rows that are on their way from the topic into the tables, and must not be called missing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use crate::kafka::{BrokerError, Kafka};
use crate::loader::visibility::wait_until_loaded;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// How long a job waits for rows that are on their way.
const PATIENCE: Duration = Duration::from_secs(60);

/// First offset, and the one that comes next, by partition.
type Watermarks = BTreeMap<u16, (i64, i64)>;

type AskWatermarks = dyn Fn() -> BoxFuture<'static, Result<Watermarks, BrokerError>> + Send + Sync;

/// What comes into the tables through a topic.
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

/// What the loader has noted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Row, Deserialize)]
pub(super) struct LedgerState {
    entries: u64,
    unfinished: i64,
}

impl LedgerState {
    /// Whether nothing was loaded from an earlier state to this one.
    pub(super) fn is_quiet_since(self, earlier: Self) -> bool {
        self == earlier && self.unfinished == 0
    }
}

impl Arrivals {
    /// Looks at a topic of the broker.
    pub fn of_topic(kafka: Kafka, topic: &str) -> Self {
        let asked = topic.to_owned();
        Self::new(topic, PATIENCE, move || {
            let (kafka, topic) = (kafka.clone(), asked.clone());
            Box::pin(async move { kafka.watermarks(&topic).await })
        })
    }

    /// Asks `watermarks` how far the topic reaches, and waits no longer than `patience`.
    pub fn new(
        topic: &str,
        patience: Duration,
        watermarks: impl Fn() -> BoxFuture<'static, Result<Watermarks, BrokerError>> + Send + Sync + 'static,
    ) -> Self {
        Self { topic: topic.to_owned(), patience, watermarks: Arc::new(watermarks) }
    }

    /// Returns how far the topic reaches now; none if the broker does not say.
    pub(super) async fn so_far(&self) -> Option<BTreeMap<u16, i64>> {
        match (self.watermarks)().await {
            // A partition that holds nothing may never be noted in the ledger.
            Ok(marks) => {
                let filled = marks.into_iter().filter(|(_, (low, high))| low < high);
                Some(filled.map(|(partition, (_, high))| (partition, high)).collect())
            }
            Err(error) => {
                tracing::warn!(topic = self.topic, %error, "it is not known what is on its way");
                None
            }
        }
    }

    /// Waits until the topic is loaded up to what [`Arrivals::so_far`] returned. Returns whether it is.
    pub(super) async fn wait(
        &self,
        warehouse: &Warehouse,
        so_far: Option<&BTreeMap<u16, i64>>,
    ) -> Result<bool, WarehouseError> {
        match so_far {
            Some(next_offsets) => {
                wait_until_loaded(warehouse, &self.topic, next_offsets, self.patience).await
            }
            None => Ok(false),
        }
    }

    /// Returns what the loader has noted so far.
    pub(super) async fn ledger_state(&self, warehouse: &Warehouse) -> Result<LedgerState, WarehouseError> {
        let query = warehouse.query(include_str!("../../queries/reconcile/ledger_state.sql"));
        Ok(query.param("topic", &self.topic).fetch_one().await?)
    }
}
