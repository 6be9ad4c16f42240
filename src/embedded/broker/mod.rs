//! The embedded Kafka broker: one node, for a single machine. It keeps everything that it acknowledges.
//!
//! It has two parts. `nisshi` (formerly tansu, pinned because later versions need a newer compiler) keeps the [`catalogue`] of topics,
//! groups and committed offsets in a SlateDB database, coordinates groups and writes answers. The [`log`] of records is our own code, and
//! so is the parsing of requests, because nisshi 0.7.0-pre.2 with its own log
//!
//! - shows records to consumers before they are on disk, so that a crash can put other records at the same offsets;
//! - writes a file every few milliseconds under a low load (5,500 files for 24,000 records), and with every batch rewrites the map of all
//!   batches' timestamps, so that each batch costs more than the one before;
//! - fails a transaction, and the request with it, when two idempotent producers send at the same time;
//! - does not answer a fetch with an offset out of range, and answers a waiting fetch up to 250 ms late;
//! - keeps a deleted topic's committed offsets for the next topic with the same name;
//! - allocates as many bytes as a length from the network says, and accepts any partition count.
//!
//! Guarantees: a record is acknowledged and visible once it is on disk (`fdatasync`; one covers everything that arrived while the previous
//! one ran). The catalogue's files are synced too. Records are kept until they or their topic are deleted; there is no retention. The last
//! five batches per partition of every idempotent producer are remembered across restarts. Topics must be created explicitly; a metadata
//! request creates none. A batch has at most [`MAX_BATCH_BYTES`], or the topic's own limit. Compressed batches are stored unchanged after
//! their records were checked. Checksums are checked whenever records are read: damaged records are never served, and the broker announces
//! which ones they are.
//!
//! Not supported and refused: transactions, adding partitions to a topic, changing configurations, authentication (it listens on loopback
//! unless configured otherwise). The first member of a group waits half of its `session.timeout.ms` for others before it gets partitions;
//! use a short one (6 s).

mod api;
mod catalogue;
mod connection;
mod descriptors;
mod durable_files;
mod fetch;
mod groups;
mod log;
mod offsets;
mod produce;
mod requests;
mod topics;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::api::Broker;
use self::catalogue::Catalogue;
use self::descriptors::Descriptors;
use self::durable_files::DurableFiles;
use self::log::Log;
use super::EmbeddedError;
use super::part::{Announcer, DirectoryLock};
use super::sandbox::Needs;
use crate::settings::BrokerOptions;

/// The part's name, and the option for its address.
const PART: &str = "broker";
const LISTEN_OPTION: &str = "--embedded-kafka-listen";

const CLUSTER_ID: &str = "roundhouse";
const NODE_ID: i32 = 1;

/// Maximum bytes of one batch. A producer's `message.max.bytes` may be set up to this.
const MAX_BATCH_BYTES: usize = 32 << 20;

/// Maximum number of connections, if the process may have enough descriptors; further ones wait.
const MAX_CONNECTIONS: usize = 512;

/// How long an unused file of the log stays open.
const IDLE_FILE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a stop waits for unfinished answers.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Creates the part's directory, and returns what else the part needs.
///
/// # Errors
/// The directory cannot be used.
pub fn needs(options: &BrokerOptions) -> Result<Needs, EmbeddedError> {
    Needs::of_directory(PART, &options.data_dir, options.listen)
}

/// Runs the broker until `stop`.
///
/// # Errors
/// The address or the directory is in use or cannot be used, or the disk failed.
pub async fn run(
    options: &BrokerOptions,
    announcer: &Announcer,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    let _lock = DirectoryLock::take(&options.data_dir).await?;
    let in_use = |error| EmbeddedError::listen(options.listen, LISTEN_OPTION, error);
    let listener = TcpListener::bind(options.listen).await.map_err(in_use)?;
    let address = listener.local_addr().map_err(in_use)?;
    let disk_failure = CancellationToken::new();
    let descriptors = Descriptors::claim();
    let broker = open(&options.data_dir, address, descriptors.open_files, disk_failure.clone()).await?;
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(descriptors.connections));
    let accepting =
        tokio::spawn(accept(Arc::clone(&broker), listener, slots, connections.clone(), stop.clone()));
    announcer.ready(PART, address);
    let tending = [
        tokio::spawn(broker.catalogue.clone().keep_tidy()),
        tokio::spawn(close_idle_files(Arc::clone(&broker.log))),
        tokio::spawn(announce_damages(Arc::clone(&broker.log), *announcer)),
    ];
    tokio::select! {
        () = stop.cancelled() => {}
        () = disk_failure.cancelled() => return Err(failed("a sync of the disk failed; see the log")),
    }
    let _ = accepting.await;
    connections.close();
    let _ = tokio::time::timeout(STOP_PATIENCE, connections.wait()).await;
    tending.iter().for_each(JoinHandle::abort);
    broker.log.sync_all().map_err(|error| EmbeddedError::directory(&options.data_dir, error))?;
    broker.catalogue.close().await.map_err(failed)
}

async fn open(
    directory: &Path,
    address: SocketAddr,
    open_files: usize,
    disk_failure: CancellationToken,
) -> Result<Arc<Broker>, EmbeddedError> {
    let files = DurableFiles::new(directory).map_err(|error| EmbeddedError::directory(directory, error))?;
    let advertised = Url::parse(&format!("tcp://{address}")).map_err(|error| failed(error.to_string()))?;
    let catalogue = Catalogue::open(Arc::new(files), advertised).await.map_err(failed)?;
    let topics = catalogue.topics().await.map_err(failed)?;
    let log = directory.join("log");
    let log = tokio::task::spawn_blocking(move || Log::open(&log, &topics, open_files, disk_failure)).await;
    let log = log.map_err(|error| failed(error.to_string()))?;
    let log = log.map_err(|error| EmbeddedError::directory(directory, error))?;
    Broker::new(catalogue, Arc::new(log)).map(Arc::new).map_err(failed)
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
                let serving = connection::serve(Arc::clone(&broker), stream);
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
