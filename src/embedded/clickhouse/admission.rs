//! How many statements run, how many wait for their turn, and under which ids.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::exception::{Code, Exception};

/// Requests that wait for one of the connections; one more is refused.
const MAX_WAITING: usize = 256;

/// Lets so many statements run at a time.
#[derive(Debug)]
pub(super) struct Admission {
    connections: Arc<Semaphore>,
    waiting: AtomicUsize,
    ids: Arc<Mutex<HashSet<String>>>,
}

impl Admission {
    pub(super) fn new(connections: u16) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(usize::from(connections))),
            waiting: AtomicUsize::new(0),
            ids: Arc::default(),
        }
    }

    /// Waits for a connection to be free.
    ///
    /// # Errors
    /// Too many wait already, or the engine is stopping.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, Exception> {
        let _place = WaitingPlace::take(&self.waiting)?;
        let permit = Arc::clone(&self.connections).acquire_owned().await;
        permit.map_err(|_| Exception::new(Code::QueryWasCancelled, "The embedded ClickHouse is stopping"))
    }

    /// Takes an id for one statement.
    ///
    /// # Errors
    /// A statement with this id is running.
    pub(super) fn claim(&self, query_id: &str) -> Result<IdGuard, Exception> {
        if !lock(&self.ids).insert(query_id.to_owned()) {
            let reason = format_args!("Query with id = {query_id} is already running");
            return Err(Exception::new(Code::QueryWithSameIdIsAlreadyRunning, reason));
        }
        Ok(IdGuard { ids: Arc::clone(&self.ids), query_id: query_id.to_owned() })
    }

    /// Turns away whoever waits and comes.
    pub(super) fn close(&self) {
        self.connections.close();
    }
}

/// An id in use.
#[derive(Debug)]
pub(super) struct IdGuard {
    ids: Arc<Mutex<HashSet<String>>>,
    query_id: String,
}

impl Drop for IdGuard {
    fn drop(&mut self) {
        lock(&self.ids).remove(&self.query_id);
    }
}

fn lock(ids: &Mutex<HashSet<String>>) -> std::sync::MutexGuard<'_, HashSet<String>> {
    ids.lock().unwrap_or_else(PoisonError::into_inner)
}

struct WaitingPlace<'a>(&'a AtomicUsize);

impl<'a> WaitingPlace<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, Exception> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            return Ok(place);
        }
        let reason = format_args!("Too many simultaneous queries. Maximum: {MAX_WAITING} waiting");
        Err(Exception::new(Code::TooManySimultaneousQueries, reason))
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_free_again_after_its_statement() {
        let admission = Admission::new(2);
        let guard = admission.claim("a").unwrap();
        assert!(admission.claim("a").is_err());
        assert!(admission.claim("b").is_ok());
        drop(guard);
        assert!(admission.claim("a").is_ok());
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_refused() {
        let admission = Arc::new(Admission::new(2));
        let _running = (admission.enter().await.unwrap(), admission.enter().await.unwrap());
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let admission = Arc::clone(&admission);
                tokio::spawn(async move { admission.enter().await.map(drop) })
            })
            .collect();
        while admission.waiting.load(Ordering::Relaxed) < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.enter().await.unwrap_err().code(), 202);
        admission.close();
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap().unwrap_err().code(), 394);
        }
    }
}
