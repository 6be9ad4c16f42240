//! How fresh the hourly aggregates are: which rows are in them, and whether they have changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ingest::upload::ledger::Ledger;
use crate::metrics::Lag;
use crate::warehouse::aggregates::{QueryLimits, Version, version};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::uploads::{Acknowledged, Loaded};

/// What was seen so long ago is looked at again, while it is still told.
const REFRESHED_AFTER: Duration = Duration::from_secs(2);

/// What was seen so long ago is not told any more.
const TOLD_FOR: Duration = Duration::from_secs(3);

/// What was seen at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Uploads that were acknowledged before this are in the aggregates. Milliseconds since 1970.
    pub as_of: i64,
    pub version: Version,
}

/// Looks at the aggregates now and then: each answer tells how fresh it is, and need not ask for that alone.
#[derive(Debug)]
pub struct Freshness {
    warehouse: Warehouse,
    uploads: Arc<Ledger>,
    limits: QueryLimits,
    seen: Mutex<Option<(Instant, Fresh)>>,
    /// Held by who looks.
    looking: tokio::sync::Mutex<()>,
}

impl Freshness {
    pub fn new(warehouse: Warehouse, uploads: Arc<Ledger>, limits: QueryLimits) -> Self {
        Self { warehouse, uploads, limits, seen: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    /// Returns what was seen, at most three seconds ago: everything that it says is in an answer that is read after this.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn recently(self: &Arc<Self>) -> Result<Fresh, WarehouseError> {
        match self.seen() {
            Some((at, fresh)) if at.elapsed() < REFRESHED_AFTER => Ok(fresh),
            Some((at, fresh)) if at.elapsed() < TOLD_FOR => {
                let refreshing = Arc::clone(self);
                tokio::spawn(async move {
                    if let Ok(_looking) = refreshing.looking.try_lock()
                        && let Err(error) = refreshing.look().await
                    {
                        tracing::debug!(%error, "how fresh the aggregates are is not known");
                    }
                });
                Ok(fresh)
            }
            _ => {
                let _looking = self.looking.lock().await;
                match self.seen() {
                    // Somebody else has just looked.
                    Some((at, fresh)) if at.elapsed() < REFRESHED_AFTER => Ok(fresh),
                    _ => self.look().await,
                }
            }
        }
    }

    /// Returns the version of what is stored now.
    ///
    /// # Errors
    /// ClickHouse does not answer.
    pub async fn version_now(&self) -> Result<Version, WarehouseError> {
        version(&self.warehouse, self.limits).await
    }

    async fn look(&self) -> Result<Fresh, WarehouseError> {
        let now = chrono::Utc::now().timestamp_millis();
        // One after the other: requests that are being answered have the processors too.
        let version = self.version_now().await?;
        let lag = lag(&self.warehouse, &self.uploads).await?;
        // Earlier, rather than later, than it is.
        let fresh = Fresh { as_of: now - (lag.seconds * 1000.0).ceil() as i64, version };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), fresh));
        Ok(fresh)
    }

    fn seen(&self) -> Option<(Instant, Fresh)> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks how far the tables are behind the last uploads.
///
/// # Errors
/// ClickHouse does not answer.
pub async fn lag(warehouse: &Warehouse, uploads: &Ledger) -> Result<Lag, WarehouseError> {
    let uploads = uploads.last_acknowledged().await?;
    let mut lag = Lag::default();
    let mut by_topic: BTreeMap<&str, Vec<&Acknowledged>> = BTreeMap::new();
    for upload in &uploads {
        by_topic.entry(&upload.topic).or_default().push(upload);
    }
    let now = chrono::Utc::now().timestamp_millis();
    for (topic, uploads) in by_topic {
        let loaded = Loaded::of_topic(warehouse, topic).await?;
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
