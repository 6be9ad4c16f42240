//! Limits the number of running uploads: each has a slot. An upload with a slow sender loses its slot when another one waits.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::UploadError;
use crate::ingest::pace::Pace;
use roundhouse_part::lock::lock;

/// Time that an upload waits for a slot. A slow sender is found earlier.
const PATIENCE: Duration = Duration::from_secs(10);

/// Number of uploads that may wait for a slot. Each holds a connection, and the bytes that have arrived.
const MAX_WAITING: usize = 16;

/// Interval at which the speeds are checked while an upload waits.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The slots of a server.
#[derive(Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    may_wait: Semaphore,
    limit: usize,
    /// Minimum speed, in bytes per second, while an upload waits.
    least: u64,
    held: Arc<Mutex<Vec<Arc<Pace>>>>,
}

/// A slot, held until it is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    /// None: the slot is never taken away.
    pace: Option<Arc<Pace>>,
    held: Arc<Mutex<Vec<Arc<Pace>>>>,
}

impl Slots {
    pub fn new(limit: usize, least: u64) -> Self {
        let may_wait = Semaphore::new(MAX_WAITING);
        Self { free: Arc::new(Semaphore::new(limit)), may_wait, limit, least, held: Arc::default() }
    }

    /// Returns the number of held slots.
    pub fn held(&self) -> usize {
        self.limit.saturating_sub(self.free.available_permits())
    }

    /// Waits for a slot. `pace`: the speed of the sender, for which it may lose the slot; none if it never loses it.
    ///
    /// # Errors
    /// No slot becomes free in time, or too many uploads wait.
    pub async fn take(&self, pace: Option<Arc<Pace>>) -> Result<Slot, UploadError> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.wait().await,
        };
        let permit = permit.ok_or(UploadError::TooMany { limit: self.limit })?;
        lock(&self.held).extend(pace.clone());
        Ok(Slot { _permit: permit, pace, held: Arc::clone(&self.held) })
    }

    /// Waits until a slot is free, and ends the slowest upload meanwhile. None: it takes too long.
    async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        let _waiting = self.may_wait.try_acquire().ok()?;
        let looking = async {
            // The first check is immediate: the speeds are known.
            let mut looks = tokio::time::interval(LOOK_INTERVAL);
            loop {
                looks.tick().await;
                self.have_the_slowest_give_way();
            }
        };
        tokio::select! {
            biased;
            taken = tokio::time::timeout(PATIENCE, Arc::clone(&self.free).acquire_owned()) => taken.ok()?.ok(),
            () = looking => None,
        }
    }

    /// Ends one upload at a time: its slot is free in a moment.
    fn have_the_slowest_give_way(&self) {
        let held = lock(&self.held);
        if held.iter().any(|pace| pace.gives_way()) {
            return;
        }
        let speeds = held.iter().filter_map(|pace| Some((pace.bytes_per_second()?, pace)));
        let slow = speeds.filter(|(speed, _)| *speed < self.least);
        if let Some((speed, slowest)) = slow.min_by_key(|(speed, _)| *speed) {
            tracing::info!(speed, "the slowest upload gives way to one that waits");
            slowest.give_way();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pace) = &self.pace {
            lock(&self.held).retain(|held| !Arc::ptr_eq(held, pace));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender from whom nothing comes, from now on.
    fn silent() -> Arc<Pace> {
        let pace = Arc::new(Pace::default());
        pace.wait();
        pace
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_gives_way_and_nobody_who_sends() {
        let slots = Slots::new(2, 1000);
        let (slow, fast) = (silent(), Arc::new(Pace::default()));
        let slow_slot = slots.take(Some(slow.clone())).await.unwrap();
        let fast_slot = slots.take(Some(fast.clone())).await.unwrap();
        assert_eq!(slots.held(), 2);
        let third = Arc::new(Pace::default());
        let (taken, ()) = tokio::join!(slots.take(Some(third)), async {
            slow.until_it_gives_way().await;
            drop(slow_slot);
        });
        let third_slot = taken.unwrap();
        assert!(!fast.gives_way());
        // Those who hold the slots now are not waited for: their rows are on their way to the broker.
        let refused = slots.take(None).await;
        assert!(matches!(refused, Err(UploadError::TooMany { limit: 2 })), "{refused:?}");
        drop((fast_slot, third_slot));
        assert_eq!(slots.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_to_lose_its_slot_keeps_it_and_zero_is_fast_enough() {
        for (least, pace) in [(1000, None), (0, Some(silent()))] {
            let slots = Slots::new(1, least);
            let _slot = slots.take(pace.clone()).await.unwrap();
            assert!(slots.take(None).await.is_err());
            assert!(!pace.is_some_and(|pace| pace.gives_way()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn not_more_wait_than_may() {
        let slots = Arc::new(Slots::new(1, 1000));
        let slot = slots.take(None).await.unwrap();
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let slots = Arc::clone(&slots);
                tokio::spawn(async move { slots.take(None).await.map(drop) })
            })
            .collect();
        while slots.may_wait.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let started = tokio::time::Instant::now();
        assert!(slots.take(None).await.is_err());
        assert_eq!(started.elapsed(), Duration::ZERO);
        drop(slot);
        for waiting in waiting {
            waiting.await.unwrap().unwrap();
        }
    }
}
