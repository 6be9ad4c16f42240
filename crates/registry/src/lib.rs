//! The embedded schema registry: Confluent's REST API for Avro, with one durable file.
//!
//! - [`http`], [`layers`], [`extract`], [`error`]: the API for clients.
//! - [`store`]: its operations on [`state`] (memory) and [`log`] (what the file contains).
//! - [`schema`], [`canonical`], [`compatibility`]: valid schemas, equal schemas, compatible schemas.
//!
//! Not supported: Protobuf and JSON Schema, references, data contracts, contexts (`:.context:subject`), and modes other than READWRITE, and so
//! ids that the client chooses. Requests for them are refused. `normalize` has no effect: schemas are always compared normalized.

mod canonical;
mod compatibility;
mod error;
mod extract;
mod http;
mod layers;
mod log;
mod schema;
mod state;
mod store;
mod subject;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::error::RegistryError;
use self::store::Store;
use roundhouse_listener::guard::{Guard, Host};
use roundhouse_part::EmbeddedError;
use roundhouse_part::lifecycle::{Announcer, DirectoryLock, bind};
use roundhouse_part::sandbox::Needs;

/// The part's name.
const PART: &str = "registry";
const LISTEN_OPTION: &str = "--embedded-registry-listen";

/// Maximum bytes of a request's body, and so of a schema.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Maximum bytes of a subject's name.
const MAX_SUBJECT_BYTES: usize = 1024;

/// Maximum bytes of the file, and so roughly of the data in memory.
const MAX_LOG_BYTES: u64 = 512 << 20;

/// Maximum number of concurrent requests; further ones wait.
const MAX_REQUESTS: usize = 64;

/// Time limit for a request from its first header to its answer, including the wait for a slot.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long running requests may still take when the registry is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the registry listens, and where it keeps its data.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Names of this server besides localhost and its address.
    pub allowed_hosts: Vec<Host>,
}

/// Creates the part's directory, and returns what else the part needs.
///
/// # Errors
/// The directory cannot be used.
pub fn needs(options: &Options) -> Result<Needs, EmbeddedError> {
    Needs::of_directory(PART, &options.data_dir, options.listen)
}

/// Serves the registry until `stop`.
///
/// # Errors
/// The directory or the address cannot be used, or the file is damaged.
pub async fn run(
    options: &Options,
    announcer: &Announcer,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    let _lock = tokio::select! {
        lock = DirectoryLock::take(&options.data_dir) => lock?,
        () = stop.cancelled() => return Ok(()),
    };
    let store = Arc::new(Store::open(&options.data_dir)?);
    let (listener, address) = bind(options.listen, LISTEN_OPTION).await?;
    let guard = Guard::new(address.ip(), &options.allowed_hosts);
    let server = axum::serve(listener, http::router(store, guard))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    announcer.ready(PART, address);
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        outcome = server => outcome.map_err(|error| EmbeddedError::listen(options.listen, LISTEN_OPTION, error)),
        () = drained => Ok(()),
    }
}
