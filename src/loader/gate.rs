//! Keeps loading and the repair of hours apart.
//!
//! A round is in `game_rounds` a moment before it is in the hourly aggregates. Who works out what an hour lacks in that moment,
//! and adds it, counts the round twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Passed by loaders of this process, from before they note chunks until those are done, and held by a repair of hours.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    lock: Arc<RwLock<()>>,
    beginnings: Arc<AtomicU64>,
}

/// Nothing is loaded by this process while this is there.
pub(crate) type Held = OwnedRwLockWriteGuard<()>;

impl Gate {
    /// Waits until no hours are repaired; none are until the guard is dropped.
    pub(super) async fn load(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.lock).read_owned().await
    }

    /// Waits until nothing is loaded; nothing is until the guard is dropped.
    pub(crate) async fn hold(&self) -> Held {
        Arc::clone(&self.lock).write_owned().await
    }

    /// Has loaders begin again, with what is stored by then.
    pub(crate) fn begin_again(&self) {
        self.beginnings.fetch_add(1, Ordering::Relaxed);
    }

    /// How often loaders were asked to begin again.
    pub(super) fn beginnings(&self) -> u64 {
        self.beginnings.load(Ordering::Relaxed)
    }
}
