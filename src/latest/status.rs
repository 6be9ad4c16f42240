//! Whether the rows are up to date.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use roundhouse_part::lock::lock;

/// How long answers are given after the topic was last compared with what was read.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Status(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Whether everything was read that the topic had when reading began.
    is_caught_up: bool,
    /// When the topic was last looked at.
    looked_at: Option<Instant>,
    /// The last time at which nothing of the topic was missing.
    up_to_date_at: Option<Instant>,
    /// Messages that were not read yet when the topic was last looked at.
    lag: u64,
    /// Why the topic is not followed.
    failure: Option<String>,
}

impl Status {
    pub(super) fn is_ready(&self) -> bool {
        let known = self.lock();
        known.is_caught_up && known.looked_at.is_some_and(|at| at.elapsed() < PATIENCE)
    }

    /// Why ClickHouse answers. None if it does not.
    pub(super) fn reason(&self) -> Option<String> {
        if self.is_ready() {
            return None;
        }
        let known = self.lock();
        let reason = match (&known.failure, known.is_caught_up) {
            (Some(failure), _) => failure.as_str(),
            (None, false) => "the rows are being read",
            (None, true) => "the broker does not answer",
        };
        Some(reason.to_owned())
    }

    pub(super) fn lag(&self) -> u64 {
        self.lock().lag
    }

    /// How long ago nothing of the topic was missing.
    pub(super) fn age(&self) -> Option<Duration> {
        self.lock().up_to_date_at.map(|at| at.elapsed())
    }

    pub(super) fn begin(&self, is_new: bool) {
        let mut known = self.lock();
        known.is_caught_up &= !is_new;
    }

    pub(super) fn catch_up(&self, now: Instant) {
        let mut known = self.lock();
        known.is_caught_up = true;
        known.failure = None;
        known.looked_at = Some(now);
        known.up_to_date_at = known.up_to_date_at.max(Some(now));
    }

    pub(super) fn look(&self, now: Instant, lag: u64, up_to_date_at: Option<Instant>) {
        let mut known = self.lock();
        known.looked_at = Some(now);
        known.lag = lag;
        known.up_to_date_at = known.up_to_date_at.max(up_to_date_at);
    }

    /// Returns whether the reason is another one than before.
    pub(super) fn fail(&self, reason: String) -> bool {
        let mut known = self.lock();
        let is_new = known.failure.as_ref() != Some(&reason);
        known.failure = Some(reason);
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        lock(&self.0)
    }
}
