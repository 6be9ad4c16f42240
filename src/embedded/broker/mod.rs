//! The embedded Kafka broker.
mod api;
mod catalogue;
mod connection;
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
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::api::Broker;
use self::catalogue::Catalogue;
use self::durable_files::DurableFiles;
use self::log::Log;
use super::EmbeddedError;
use super::part::{Announcer, DirectoryLock};
use crate::settings::BrokerOptions;

/// The part's name, and that of the option that gives its address.
const PART: &str = "broker";
const LISTEN_OPTION: &str = "--embedded-kafka-listen";

const CLUSTER_ID: &str = "roundhouse";
const NODE_ID: i32 = 1;

/// Bytes of one batch: a producer's `message.max.bytes` may be set up to it.
const MAX_BATCH_BYTES: usize = 32 << 20;

/// Connections at the same time; further ones wait.
const MAX_CONNECTIONS: usize = 512;

/// How long a stop waits for answers that are under way.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Runs the broker until `stop`.
///
/// # Errors
/// The address or the directory is taken or cannot be used, or the disk failed.
pub async fn run(
    options: &BrokerOptions,
    announcer: &Announcer,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    let _lock = DirectoryLock::take(&options.data_dir)?;
    let in_use = |error| EmbeddedError::listen(options.listen, LISTEN_OPTION, error);
    let listener = TcpListener::bind(options.listen).await.map_err(in_use)?;
    let address = listener.local_addr().map_err(in_use)?;
    let disk_failure = CancellationToken::new();
    let broker = open(&options.data_dir, address, disk_failure.clone()).await?;
    let tidying = tokio::spawn(broker.catalogue.clone().keep_tidy());
    let connections = TaskTracker::new();
    let accepting = tokio::spawn(accept(Arc::clone(&broker), listener, connections.clone(), stop.clone()));
    announcer.ready(PART, address);
    tokio::select! {
        () = stop.cancelled() => {}
        () = disk_failure.cancelled() => return Err(failed("the disk failed a sync, see the log")),
    }
    let _ = accepting.await;
    connections.close();
    let _ = tokio::time::timeout(STOP_PATIENCE, connections.wait()).await;
    tidying.abort();
    broker.log.sync_all().map_err(|error| EmbeddedError::directory(&options.data_dir, error))?;
    broker.catalogue.close().await.map_err(failed)
}

async fn open(
    directory: &Path,
    address: SocketAddr,
    disk_failure: CancellationToken,
) -> Result<Arc<Broker>, EmbeddedError> {
    let files = DurableFiles::new(directory).map_err(|error| EmbeddedError::directory(directory, error))?;
    let advertised = Url::parse(&format!("tcp://{address}")).map_err(|error| failed(error.to_string()))?;
    let catalogue = Catalogue::open(Arc::new(files), advertised).await.map_err(failed)?;
    let topics = catalogue.topics().await.map_err(failed)?;
    let log = directory.join("log");
    let log = tokio::task::spawn_blocking(move || Log::open(&log, &topics, disk_failure)).await;
    let log = log.map_err(|error| failed(error.to_string()))?;
    let log = log.map_err(|error| EmbeddedError::directory(directory, error))?;
    Broker::new(catalogue, Arc::new(log)).map(Arc::new).map_err(failed)
}

/// Accepts connections until `stop`, which ends them too.
async fn accept(
    broker: Arc<Broker>,
    listener: TcpListener,
    connections: TaskTracker,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
                // Out of file handles, say: the others must not starve.
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
