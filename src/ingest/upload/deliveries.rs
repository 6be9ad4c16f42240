//! Delivery reports of the records of one upload.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::UploadError;
use roundhouse_part::lock::lock;

/// Longest sleep of a waiting thread before it checks again.
const WAIT: Duration = Duration::from_millis(50);

/// Number of reports to wait for when the queue was full: waking for each one costs more than sending.
const ROOM: u64 = 10_000;

/// Delivery reports of one upload's records to one topic.
#[derive(Debug, Default)]
pub struct Deliveries {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    acknowledged: u64,
    failed: u64,
    error: Option<KafkaError>,
    offsets: BTreeMap<u16, (i64, i64)>,
    /// Number of reports that a thread waits for; 0: none waits.
    wake_at: u64,
}

impl From<KafkaError> for UploadError {
    fn from(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            // Too large rows are found before they are sent.
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Self::LimitLowered,
            Some(RDKafkaErrorCode::KafkaStorageError) => Self::ServiceDiskFull { service: "the broker" },
            _ => Self::Broker { reason: error.to_string() },
        }
    }
}

impl State {
    fn reports(&self) -> u64 {
        self.acknowledged + self.failed
    }
}

impl Deliveries {
    pub fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    /// Returns why a record was not stored, if one was not.
    pub fn error(&self) -> Option<UploadError> {
        self.lock().error.clone().map(UploadError::from)
    }

    /// Returns the first and last offset by partition.
    pub fn offsets(&self) -> BTreeMap<u16, (i64, i64)> {
        self.lock().offsets.clone()
    }

    /// Waits until the queue has room for many records, or for a short time.
    pub fn wait_for_room(&self) {
        let state = self.lock();
        let enough = state.reports() + ROOM;
        drop(self.sleep(state, enough));
    }

    /// Waits for the reports of `sent` records, or until the deadline. With the producer's `message.timeout.ms` all of them come. Returns
    /// whether they came.
    pub fn wait_for(&self, sent: u64, deadline: Option<Instant>) -> bool {
        let mut state = self.lock();
        while state.reports() < sent {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            state = self.sleep(state, sent);
        }
        true
    }

    /// Sleeps until this number of reports has come, or a failure, or for a short time.
    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>, reports: u64) -> MutexGuard<'a, State> {
        state.wake_at = reports;
        let (mut state, _) = self.changed.wait_timeout(state, WAIT).unwrap_or_else(PoisonError::into_inner);
        state.wake_at = 0;
        state
    }

    fn report(&self, result: &DeliveryResult<'_>) {
        let mut state = self.lock();
        match result {
            Ok(message) => {
                state.acknowledged += 1;
                // A batch that is sent again long after it was stored is acknowledged without its offset.
                if let (Ok(partition), offset @ 0..) = (u16::try_from(message.partition()), message.offset())
                {
                    let range = state.offsets.entry(partition).or_insert((offset, offset));
                    *range = (range.0.min(offset), range.1.max(offset));
                }
            }
            Err((error, _)) => {
                state.failed += 1;
                state.error.get_or_insert_with(|| error.clone());
            }
        }
        let wakes = state.wake_at > 0 && (state.reports() >= state.wake_at || result.is_err());
        drop(state);
        if wakes {
            self.changed.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Passes each report to the upload of its record.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryContext;

impl ClientContext for DeliveryContext {}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Arc<Deliveries>;

    fn delivery(&self, result: &DeliveryResult<'_>, deliveries: Arc<Deliveries>) {
        deliveries.report(result);
    }
}
