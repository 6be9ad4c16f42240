//! When transactions must have ended.

use std::collections::BTreeSet;
use std::sync::Mutex;

use roundhouse_part::lock::lock;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The deadlines of transactional ids, the earliest first. An id has at most one.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    all: Mutex<BTreeSet<(Instant, String)>>,
    /// Wakes [`Deadlines::wait`] when an earlier deadline appears.
    earlier: Notify,
}

impl Deadlines {
    /// Replaces the deadline of an id.
    pub fn replace(&self, id: &str, old: Option<Instant>, new: Option<Instant>) {
        if old == new {
            return;
        }
        let mut all = lock(&self.all);
        let first = all.first().map(|(first, _)| *first);
        if let Some(old) = old {
            all.remove(&(old, id.to_owned()));
        }
        if let Some(new) = new {
            all.insert((new, id.to_owned()));
            if first.is_none_or(|first| new < first) {
                self.earlier.notify_one();
            }
        }
    }

    /// Waits until a deadline has passed, and returns the ids that are due: for ever if there is none.
    pub async fn wait(&self) -> Vec<String> {
        loop {
            let next = lock(&self.all).first().map(|(next, _)| *next);
            let over = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => {}
                () = self.earlier.notified() => continue,
            }
            let due = self.due(Instant::now());
            if !due.is_empty() {
                return due;
            }
        }
    }

    fn due(&self, now: Instant) -> Vec<String> {
        let all = lock(&self.all);
        all.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, id)| id.clone()).collect()
    }
}
