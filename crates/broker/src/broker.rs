//! What the handlers of all requests share: the broker's parts, the header of a request, and its answer.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::catalogue::Catalogue;
use crate::coordinator::Coordinator;
use crate::log::Log;
use crate::store::Store;
use crate::transactions::Transactions;
use crate::wire::{Malformed, Writer};

/// The key of the request by which a client learns which requests are supported.
pub(crate) const API_VERSIONS: i16 = 18;

/// How many clients may search the log or delete records at the same time. Others wait.
pub(crate) const MAX_TURNS: usize = 8;

/// Maximum partitions of a request that searches the log or deletes records.
pub(crate) const MAX_PARTITIONS_IN_TURN: usize = 2_000;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Broker {
    pub catalogue: Arc<Catalogue>,
    pub log: Arc<Log>,
    pub store: Arc<Store>,
    pub groups: Coordinator,
    pub transactions: Transactions,
    /// Locked while a topic is created, changed or deleted.
    pub topic_changes: tokio::sync::Mutex<()>,
    /// Turns for work that may read or write many files.
    turns: Arc<Semaphore>,
    /// Unsupported requests that were logged: client id, key, version.
    pub refusals: Mutex<HashSet<(String, i16, i16)>>,
}

/// A connection's two ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The address at which the client has reached the broker. Metadata tells the client to connect to it.
    pub broker: SocketAddr,
    pub client: SocketAddr,
}

/// The header of a request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub key: i16,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: String,
    pub ends: Ends,
    /// Whether the request and its answer have tagged fields.
    pub flexible: bool,
}

impl Call {
    /// Begins the answer. `capacity`: about how many bytes will follow.
    pub fn answer(&self, capacity: usize) -> Writer {
        let mut answer = Writer::answer(self.correlation_id, capacity, self.flexible);
        // The header of this answer has no tagged fields, because the client may not have expected its version.
        if self.key != API_VERSIONS {
            answer.tags();
        }
        answer
    }

    /// Begins an answer whose first field is the time for which the client was throttled, from this version on.
    pub fn answer_since(&self, first: i16) -> Writer {
        let mut answer = self.answer(256);
        if self.version >= first {
            answer.i32(0);
        }
        answer
    }
}

/// The answer to a request.
pub(crate) enum Answer<'a> {
    Now(Bytes),
    /// Sent in this request's turn, once it is complete. Meanwhile the next request is handled.
    Later(BoxFuture<'static, Bytes>),
    /// Waits for other clients, or for a while. It is dropped if the client disconnects.
    Wait(BoxFuture<'a, Bytes>),
    /// No answer, because the client wants none (`acks=0`).
    None,
}

/// Why a connection is closed without an answer.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("malformed request")]
    Malformed,
    #[error("unsupported request: API key {0}, version {1}")]
    Unsupported(i16, i16),
}

impl From<Malformed> for Refusal {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl Broker {
    pub fn new(catalogue: Catalogue, log: Log, store: Store) -> Self {
        let (log, store) = (Arc::new(log), Arc::new(store));
        let offsets = Arc::clone(&store);
        let transactions = Transactions::new(Arc::clone(&log), Arc::clone(&store));
        Self {
            catalogue: Arc::new(catalogue),
            log,
            store,
            groups: Coordinator::new(Box::new(move |group| offsets.has_offsets(group))),
            transactions,
            topic_changes: tokio::sync::Mutex::default(),
            turns: Arc::new(Semaphore::new(MAX_TURNS)),
            refusals: Mutex::default(),
        }
    }

    /// Does work that may read or write many files, on a thread that may block. Only [`MAX_TURNS`] clients may do so at a time: the threads
    /// are those that sync the log.
    pub async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log) -> T + Send + 'static,
    ) -> Option<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        let log = Arc::clone(&self.log);
        let work = move || {
            let _turn = turn;
            work(&log)
        };
        tokio::task::spawn_blocking(work).await.ok()
    }
}
