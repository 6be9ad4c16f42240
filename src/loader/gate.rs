//! Prevents loading and the repair of hours from running at the same time.
//!
//! A new round is in `game_rounds` a moment before it is in the hourly aggregates. A repair that computed the missing amounts of
//! an hour in that moment would count the round twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Loaders of this process pass it from before they note chunks until those are done. A repair of hours holds it closed.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    lock: Arc<RwLock<()>>,
    restarts: Arc<AtomicU64>,
}

/// While this guard exists, this process may load.
pub(super) type Passed = OwnedRwLockReadGuard<()>;

/// While this guard exists, this process loads nothing.
pub(crate) type Held = OwnedRwLockWriteGuard<()>;

impl Gate {
    /// Waits until no repair of hours runs. None starts until the guard is dropped.
    pub(super) async fn wait_to_load(&self) -> Passed {
        Arc::clone(&self.lock).read_owned().await
    }

    /// Whether a repair waits until nothing is being loaded, or has the gate closed.
    pub(super) fn is_wanted(&self) -> bool {
        self.lock.try_read().is_err()
    }

    /// Waits until nothing is being loaded. Loading continues when the guard is dropped.
    pub(crate) async fn hold(&self) -> Held {
        Arc::clone(&self.lock).write_owned().await
    }

    /// Makes the loaders start again, so that they read again which rounds are stored.
    pub(crate) fn begin_again(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often loaders were asked to start again.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loader_sees_that_a_repair_waits_for_it() {
        let gate = Gate::default();
        let passed = gate.wait_to_load().await;
        assert!(!gate.is_wanted());
        let mut holding = Box::pin(gate.hold());
        assert!(futures_util::poll!(&mut holding).is_pending());
        assert!(gate.is_wanted());
        drop(passed);
        let held = holding.await;
        assert!(gate.is_wanted());
        drop(held);
        assert!(!gate.is_wanted());
    }
}
