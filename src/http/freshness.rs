//! How fresh the hourly aggregates are: which rows they include, and whether they have changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::ingest::upload::ledger::Ledger;
use crate::metrics::Lag;
use crate::warehouse::aggregates::{QueryLimits, Version, version};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::uploads::{Acknowledged, Loaded};
use roundhouse_part::lock::lock;

/// After this time the state is read again in the background; until then requests get the known one.
const REFRESHED_AFTER: Duration = Duration::from_secs(2);

/// After this time a request waits for the new state.
const TOLD_FOR: Duration = Duration::from_secs(3);

/// The state at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Uploads that were acknowledged before this are in the aggregates. Milliseconds since 1970.
    pub as_of: i64,
    pub version: Version,
}

/// Reads the state of the aggregates from time to time, so that a response can say how fresh it is without a query of its own.
#[derive(Debug)]
pub struct Freshness {
    warehouse: Warehouse,
    uploads: Arc<Ledger>,
    limits: QueryLimits,
    seen: Mutex<Option<(Instant, Fresh)>>,
    /// Held while the state is read.
    looking: tokio::sync::Mutex<()>,
}

impl Freshness {
    pub fn new(warehouse: Warehouse, uploads: Arc<Ledger>, limits: QueryLimits) -> Self {
        Self { warehouse, uploads, limits, seen: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    /// Returns a state that is at most three seconds old. A query that begins after this call includes everything in that state.
    ///
    /// # Errors
    /// ClickHouse does not respond.
    pub async fn recently(self: &Arc<Self>) -> Result<Fresh, WarehouseError> {
        match self.seen() {
            Some((at, fresh)) if at.elapsed() < REFRESHED_AFTER => Ok(fresh),
            Some((at, fresh)) if at.elapsed() < TOLD_FOR => {
                let refreshing = Arc::clone(self);
                tokio::spawn(async move {
                    if let Ok(_looking) = refreshing.looking.try_lock()
                        && let Err(error) = refreshing.look().await
                    {
                        tracing::debug!(%error, "cannot read how fresh the aggregates are");
                    }
                });
                Ok(fresh)
            }
            _ => {
                let _looking = self.looking.lock().await;
                match self.seen() {
                    // Another request has just read it.
                    Some((at, fresh)) if at.elapsed() < REFRESHED_AFTER => Ok(fresh),
                    _ => self.look().await,
                }
            }
        }
    }

    /// Returns the version of what is stored now.
    ///
    /// # Errors
    /// ClickHouse does not respond.
    pub async fn version_now(&self) -> Result<Version, WarehouseError> {
        version(&self.warehouse, self.limits).await
    }

    async fn look(&self) -> Result<Fresh, WarehouseError> {
        let now = chrono::Utc::now().timestamp_millis();
        // One after the other, to leave processors for requests.
        let version = self.version_now().await?;
        let lag = lag(&self.warehouse, &self.uploads).await?;
        // Rounded down: a fresher time than the true one would be wrong.
        let fresh = Fresh { as_of: now - (lag.seconds * 1000.0).ceil() as i64, version };
        *lock(&self.seen) = Some((Instant::now(), fresh));
        Ok(fresh)
    }

    fn seen(&self) -> Option<(Instant, Fresh)> {
        *lock(&self.seen)
    }
}

/// Returns how far the tables lag behind the last uploads.
///
/// # Errors
/// ClickHouse does not respond.
pub async fn lag(warehouse: &Warehouse, uploads: &Ledger) -> Result<Lag, WarehouseError> {
    let lags = lag_by_topic(warehouse, uploads).await?;
    let sum = |sum: Lag, lag: Lag| Lag {
        offsets: sum.offsets + lag.offsets,
        seconds: sum.seconds.max(lag.seconds),
    };
    Ok(lags.into_values().fold(Lag::default(), sum))
}

/// Returns how far the tables lag behind the last uploads, by the topic of their rows.
///
/// # Errors
/// ClickHouse does not respond.
pub async fn lag_by_topic(
    warehouse: &Warehouse,
    uploads: &Ledger,
) -> Result<BTreeMap<String, Lag>, WarehouseError> {
    let uploads = uploads.last_acknowledged().await?;
    let mut by_topic: BTreeMap<&str, Vec<&Acknowledged>> = BTreeMap::new();
    for upload in &uploads {
        by_topic.entry(&upload.topic).or_default().push(upload);
    }
    let mut lags = BTreeMap::new();
    for (topic, uploads) in by_topic {
        let loaded = Loaded::of_topic(warehouse, topic).await?;
        lags.insert(topic.to_owned(), lag_of(&uploads, &loaded));
    }
    Ok(lags)
}

fn lag_of(uploads: &[&Acknowledged], loaded: &Loaded) -> Lag {
    let now = chrono::Utc::now().timestamp_millis();
    let (mut seconds, mut missing) = (0.0_f64, BTreeMap::<u16, u64>::new());
    for upload in uploads.iter().filter(|upload| !loaded.has(&upload.offsets, upload.updated_at)) {
        seconds = seconds.max((now - upload.updated_at).max(0) as f64 / 1000.0);
        for (partition, offsets) in loaded.missing(&upload.offsets, upload.updated_at) {
            let most = missing.entry(partition).or_default();
            *most = (*most).max(offsets);
        }
    }
    Lag { offsets: missing.values().sum(), seconds }
}
