//! The embedded Kafka broker: one node, for a single machine. It keeps everything that it acknowledges.
//!
//! The [`catalogue`] says which topics there are, and the [`log`] keeps their records. The [`store`] keeps what consumer groups have committed
//! and the states of transactions. The [`coordinator`] knows the members of groups, and [`transactions`] which producer may write what. The
//! requests are in one module per subject; [`api`] dispatches them, and [`wire`] reads and writes the types of the protocol.
//!
//! Guarantees: a record is acknowledged and visible once it is on disk (`fdatasync`; one covers everything that arrived while the previous
//! one ran). So are topics, committed offsets and the steps of a transaction. Records are kept until they or their topic are deleted, or a
//! setting of the topic says otherwise. The last five batches per partition of every idempotent producer are remembered across restarts.
//! Topics must be created explicitly; a metadata request creates none. A batch has at most [`MAX_BATCH_BYTES`], or the topic's own limit.
//! Offsets that a group has committed are forgotten a week after it had its last member and commit.
//! Compressed batches are stored unchanged after their records were checked. Checksums are checked whenever records are read: damaged
//! records are never served, and the broker announces which ones they are. Members of groups are not stored: after a restart they join again.
//!
//! Not supported: batches in the format before Kafka 0.11, the group protocol of KIP-848, authentication and access control lists (the
//! broker listens on loopback unless configured otherwise).

mod admin;
mod api;
mod broker;
mod catalogue;
mod cluster;
mod configs;
mod connection;
mod coordinator;
mod descriptors;
mod error_code;
mod fetch;
mod groups;
mod list_offsets;
mod log;
mod offsets;
mod produce;
mod store;
mod topics;
mod transaction_requests;
mod transactions;
mod wire;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::broker::Broker;
use self::catalogue::Catalogue;
use self::connection::Limits;
use self::descriptors::Descriptors;
use self::log::Log;
use self::store::Store;
use roundhouse_part::EmbeddedError;
use roundhouse_part::lifecycle::{Announcer, DirectoryLock, bind};
use roundhouse_part::sandbox::Needs;

/// The part's name, and the option for its address.
const PART: &str = "broker";
const LISTEN_OPTION: &str = "--embedded-kafka-listen";

const CLUSTER_ID: &str = "roundhouse";
const NODE_ID: i32 = 1;

/// Maximum bytes of one batch. A producer's `message.max.bytes` may be set up to this.
const MAX_BATCH_BYTES: usize = 32 << 20;

/// Number of partitions of a new topic if the request does not give one.
const DEFAULT_PARTITIONS: u32 = 1;

/// Maximum number of connections, if the process may have enough descriptors; further ones wait.
const MAX_CONNECTIONS: usize = 512;

/// How long an unused file of the log stays open.
const IDLE_FILE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a stop waits for unfinished answers.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Where the broker listens, and where it keeps its data.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
}

/// Creates the part's directory, and returns what else the part needs.
///
/// # Errors
/// The directory cannot be used.
pub fn needs(options: &Options) -> Result<Needs, EmbeddedError> {
    Needs::of_directory(PART, &options.data_dir, options.listen)
}

/// Runs the broker until `stop`.
///
/// # Errors
/// The address or the directory is in use or cannot be used, or the disk failed.
pub async fn run(
    options: &Options,
    announcer: &Announcer,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    let _lock = DirectoryLock::take(&options.data_dir).await?;
    let (listener, address) = bind(options.listen, LISTEN_OPTION).await?;
    let disk_failure = CancellationToken::new();
    let descriptors = Descriptors::claim();
    let broker = open(&options.data_dir, descriptors.open_files, disk_failure.clone()).await?;
    broker.transactions.recover().await;
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(descriptors.connections));
    let accepting =
        tokio::spawn(accept(Arc::clone(&broker), listener, slots, connections.clone(), stop.clone()));
    announcer.ready(PART, address);
    let mut tending = tend(&broker, *announcer);
    tokio::select! {
        () = stop.cancelled() => {}
        () = disk_failure.cancelled() => return Err(failed("the disk failed; see the log")),
        _ = tending.join_next() => return Err(failed("a task ended unexpectedly; see the log")),
    }
    let _ = accepting.await;
    connections.close();
    let _ = tokio::time::timeout(STOP_PATIENCE, connections.wait()).await;
    tending.abort_all();
    broker.log.sync_all().map_err(|error| EmbeddedError::directory(&options.data_dir, error))?;
    // The store has nothing to write: what it has acknowledged is on disk.
    Ok(())
}

async fn open(
    directory: &Path,
    open_files: usize,
    disk_failure: CancellationToken,
) -> Result<Arc<Broker>, EmbeddedError> {
    let directory = directory.to_owned();
    let open = move || {
        let failed = |error| EmbeddedError::directory(&directory, error);
        let catalogue = Catalogue::open(&directory).map_err(failed)?;
        let failure = disk_failure.clone();
        let log =
            Log::open(&directory.join("log"), &catalogue.topics(), open_files, failure).map_err(failed)?;
        let topics: HashSet<_> = catalogue.topics().into_iter().map(|topic| topic.id).collect();
        let store = Store::open(&directory, |topic| topics.contains(&topic), disk_failure)?;
        Ok(Arc::new(Broker::new(catalogue, log, store)))
    };
    tokio::task::spawn_blocking(open).await.map_err(|error| failed(error.to_string()))?
}

/// Starts what runs as long as the broker does.
fn tend(broker: &Arc<Broker>, announcer: Announcer) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let [groups, transactions, offsets] = [(); 3].map(|()| Arc::clone(broker));
    tasks.spawn(async move { groups.groups.keep_time().await });
    tasks.spawn(async move { transactions.transactions.keep_time().await });
    tasks.spawn(async move { offsets::keep_fresh(&offsets).await });
    tasks.spawn(close_idle_files(Arc::clone(&broker.log)));
    tasks.spawn(Arc::clone(&broker.log).keep_clean());
    tasks.spawn(announce_damages(Arc::clone(&broker.log), announcer));
    tasks
}

/// Regularly closes files that are no longer used.
async fn close_idle_files(log: Arc<Log>) {
    loop {
        tokio::time::sleep(IDLE_FILE_TIMEOUT / 2).await;
        log.files().close_idle(IDLE_FILE_TIMEOUT);
    }
}

/// Announces the damages of the log whenever they change.
async fn announce_damages(log: Arc<Log>, announcer: Announcer) {
    let mut damages = log.damages().watch();
    // Also announce what was found at the start.
    damages.mark_changed();
    while damages.changed().await.is_ok() {
        announcer.impaired(log.damages().reasons());
    }
}

/// Accepts connections until `stop`, which also ends them.
async fn accept(
    broker: Arc<Broker>,
    listener: TcpListener,
    slots: Arc<Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept_one(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let serving = connection::serve(Arc::clone(&broker), stream, Limits::default());
                let stop = stop.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        served = serving => if let Err(error) = served {
                            tracing::debug!(%error, "connection ended");
                        }
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // For example, no file descriptors are left. Wait, so that the open connections can continue.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn accept_one(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

fn failed(reason: impl Into<String>) -> EmbeddedError {
    EmbeddedError::Failed { part: PART, reason: reason.into() }
}

#[cfg(test)]
mod tests;
