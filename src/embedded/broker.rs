//! The embedded Kafka broker: `nisshi-broker` on SlateDB over local files.
//!
//! Pinned to 0.7.0-pre.2: its predecessor loses records on a fetch from inside a batch, its successors want a newer rustc.
//! SlateDB flushes every 2 ms: an acknowledgement waits for a flush, and with the default of 100 ms, paced clients stall.
//! A file is handed to the kernel, not to the disk, before it is acknowledged: a process that is killed loses nothing, a
//! power cut may lose the last writes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nisshi_broker::coordinator::group::administrator::Controller;
use nisshi_broker::service::services;
use nisshi_storage::slate::Engine;
use nisshi_storage::{BrokerRegistrationRequest, Storage as _};

use rama::{Context, Service as _};
use slatedb::Db;
use slatedb::config::Settings;
use slatedb::object_store::local::LocalFileSystem;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;

use super::EmbeddedError;
use super::part::{Announcer, DirectoryLock};
use crate::settings::BrokerOptions;

const CLUSTER_ID: &str = "roundhouse";
const NODE_ID: i32 = 1;

/// How long an acknowledgement waits for others that go to the files with it.
const FLUSH_INTERVAL: Duration = Duration::from_millis(2);

/// How long a stop waits for answers that are under way.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Runs the broker until `stop`.
///
/// # Errors
/// The address or the directory is taken or cannot be used.
pub async fn run(
    options: &BrokerOptions,
    announcer: &Announcer,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    let _lock = DirectoryLock::take(&options.data_dir).await?;
    let listening = |error| EmbeddedError::listen(options.listen, "--embedded-kafka-listen", error);
    let listener = TcpListener::bind(options.listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let db = open(&options.data_dir).await?;
    let engine = engine(db.clone(), address).await?;
    let groups = Controller::with_storage(engine.clone()).map_err(failed)?;
    let connections = TaskTracker::new();
    announcer.ready("broker", address);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (engine, groups, stop) = (engine.clone(), groups.clone(), stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        () = serve(engine, groups, stream) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    let _ = tokio::time::timeout(STOP_PATIENCE, connections.wait()).await;
    db.close().await.map_err(failed)
}

async fn open(directory: &Path) -> Result<Arc<Db>, EmbeddedError> {
    let files = LocalFileSystem::new_with_prefix(directory).map_err(failed)?;
    let settings = Settings { flush_interval: Some(FLUSH_INTERVAL), ..Settings::default() };
    let db = Db::builder("log", Arc::new(files)).with_settings(settings).build().await;
    db.map(Arc::new).map_err(failed)
}

async fn engine(db: Arc<Db>, address: SocketAddr) -> Result<Engine, EmbeddedError> {
    let advertised = Url::parse(&format!("tcp://{address}")).map_err(failed)?;
    let engine = Engine::new(CLUSTER_ID, NODE_ID, advertised, db);
    let registration = BrokerRegistrationRequest {
        broker_id: NODE_ID,
        cluster_id: CLUSTER_ID.to_owned(),
        incarnation_id: Uuid::new_v4(),
        rack: None,
    };
    engine.register_broker(registration).await.map_err(failed)?;
    Ok(engine)
}

async fn serve(engine: Engine, groups: Controller<Engine>, stream: TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    match services(CLUSTER_ID, groups, engine, None) {
        Ok(service) => {
            if let Err(error) = service.serve(Context::default(), stream).await {
                tracing::debug!(%error, "a connection ended");
            }
        }
        Err(error) => tracing::error!(%error, "a connection cannot be served"),
    }
}

fn failed(error: impl std::fmt::Display) -> EmbeddedError {
    EmbeddedError::Failed { part: "broker", reason: error.to_string() }
}
