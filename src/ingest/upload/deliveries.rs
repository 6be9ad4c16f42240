//! What the broker says about the records of one upload.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::UploadError;

/// How long a waiting sender sleeps at most before it looks again.
const WAIT: Duration = Duration::from_millis(50);

/// Reports for which a sender waits that found the queue full: to be woken for each costs more than to send.
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
    /// How many reports a sender waits for; none waits at zero.
    wake_at: u64,
}

impl From<KafkaError> for UploadError {
    fn from(error: KafkaError) -> Self {
        match error.rdkafka_error_code() {
            // Rows that are too large are found before they are sent.
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

    /// Why a record was not stored, once one was not.
    pub fn error(&self) -> Option<UploadError> {
        self.lock().error.clone().map(UploadError::from)
    }

    /// First and last offset, by partition.
    pub fn offsets(&self) -> BTreeMap<u16, (i64, i64)> {
        self.lock().offsets.clone()
    }

    /// Waits until the queue has room for many records again, or a moment.
    pub fn wait_for_room(&self) {
        let state = self.lock();
        let enough = state.reports() + ROOM;
        drop(self.sleep(state, enough));
    }

    /// Waits until `sent` records were reported on, or until the deadline. The producer's `message.timeout.ms` sees to it that all
    /// are. Returns whether they were.
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

    /// Sleeps until so many reports are there, or one of a failure, or a moment.
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
                // A batch that was stored long before it was sent again is acknowledged without its offset.
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands each report to the upload that its record belongs to.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryContext;

impl ClientContext for DeliveryContext {}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Arc<Deliveries>;

    fn delivery(&self, result: &DeliveryResult<'_>, deliveries: Arc<Deliveries>) {
        deliveries.report(result);
    }
}
