//! Limits how many statements run and wait, and keeps query ids unique.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::exception::{Code, Exception};
use roundhouse_part::lock::lock;

/// Waiting requests, of the server and of others each. Further ones are refused.
const MAX_WAITING: usize = 256;

/// Forms in memory at a time, each until its statement has ended. Further ones wait and are not read.
const MAX_FORMS: usize = 16;

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The server that this engine is embedded in.
    Own,
    Other,
}

/// Limits how many statements run at a time.
#[derive(Debug)]
pub(super) struct Admission {
    connections: Arc<Semaphore>,
    /// The connections that clients other than the server may use.
    for_others: Arc<Semaphore>,
    own_waiting: AtomicUsize,
    others_waiting: AtomicUsize,
    forms: Arc<Semaphore>,
    ids: Arc<Mutex<HashSet<String>>>,
}

/// One of the connections, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _connection: OwnedSemaphorePermit,
    _of_others: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// `is_embedded`: a server uses this engine, so half of the connections are reserved for it.
    pub(super) fn new(connections: u16, is_embedded: bool) -> Self {
        let connections = usize::from(connections);
        let for_others = if is_embedded { (connections / 2).max(1) } else { connections };
        Self {
            connections: Arc::new(Semaphore::new(connections)),
            for_others: Arc::new(Semaphore::new(for_others)),
            own_waiting: AtomicUsize::new(0),
            others_waiting: AtomicUsize::new(0),
            forms: Arc::new(Semaphore::new(MAX_FORMS)),
            ids: Arc::default(),
        }
    }

    /// Waits until one more form may be in memory.
    ///
    /// # Errors
    /// The engine is stopping.
    pub(super) async fn enter_form(&self) -> Result<OwnedSemaphorePermit, Exception> {
        free(&self.forms).await
    }

    /// Waits for a free connection.
    ///
    /// # Errors
    /// Too many wait already, or the engine is stopping.
    pub(super) async fn enter(&self, asker: Asker) -> Result<Permit, Exception> {
        let is_other = asker == Asker::Other;
        let _place = WaitingPlace::take(if is_other { &self.others_waiting } else { &self.own_waiting })?;
        // In this order, so that others that wait for their share do not block the queue for connections.
        let of_others = if is_other { Some(free(&self.for_others).await?) } else { None };
        Ok(Permit { _connection: free(&self.connections).await?, _of_others: of_others })
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

    /// Refuses all requests that wait, and all later ones.
    pub(super) fn close(&self) {
        self.for_others.close();
        self.connections.close();
        self.forms.close();
    }
}

/// Waits for a free permit.
///
/// # Errors
/// The engine is stopping.
async fn free(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Exception> {
    let permit = Arc::clone(permits).acquire_owned().await;
    permit.map_err(|_| Exception::new(Code::QueryWasCancelled, "The embedded ClickHouse is stopping"))
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

struct WaitingPlace<'a>(&'a AtomicUsize);

impl<'a> WaitingPlace<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, Exception> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING {
            return Ok(place);
        }
        let reason = format_args!("Too many simultaneous queries; at most {MAX_WAITING} may wait");
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
        let admission = Admission::new(2, true);
        let guard = admission.claim("a").unwrap();
        assert!(admission.claim("a").is_err());
        assert!(admission.claim("b").is_ok());
        drop(guard);
        assert!(admission.claim("a").is_ok());
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_refused() {
        let admission = Arc::new(Admission::new(2, false));
        let _running = (admission.enter(Asker::Other).await.unwrap(), admission.enter(Asker::Other).await);
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let admission = Arc::clone(&admission);
                tokio::spawn(async move { admission.enter(Asker::Other).await.map(drop) })
            })
            .collect();
        while admission.others_waiting.load(Ordering::Relaxed) < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.enter(Asker::Other).await.unwrap_err().code(), 202);
        admission.close();
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap().unwrap_err().code(), 394);
        }
    }

    #[tokio::test]
    async fn others_leave_connections_to_the_server_however_many_they_are() {
        let admission = Arc::new(Admission::new(5, true));
        let held =
            [admission.enter(Asker::Other).await.unwrap(), admission.enter(Asker::Other).await.unwrap()];
        let others: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let admission = Arc::clone(&admission);
                tokio::spawn(async move { admission.enter(Asker::Other).await })
            })
            .collect();
        while admission.others_waiting.load(Ordering::Relaxed) < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        let mut own = Vec::new();
        for _ in 0..3 {
            own.push(admission.enter(Asker::Own).await.unwrap());
        }
        assert_eq!(admission.connections.available_permits(), 0);
        drop((own, held));
        // Each of them runs in the end.
        for other in others {
            other.await.unwrap().unwrap();
        }
    }
}
