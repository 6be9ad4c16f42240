//! The embedded ClickHouse: the engine library behind ClickHouse's own HTTP interface.
//!
//! A request's way: [`http`] → [`guard`](crate::guard) (whose page asks?) → [`request`] (parameters) → [`admission`] (its turn) →
//! [`execute`], on a thread of its own with a connection of its own → [`ffi`] → the engine; and back through
//! [`output`], [`codec`] and [`response`]. A new connection per request rules out that a setting of one request reaches the
//! next; it takes a millisecond, so that one is opened ahead ([`engine`]). [`sessions`] are connections kept on demand.
//!
//! Where it differs from the real server: one user, `default`, without a password; no files of the machine (`file()`,
//! the File engine, SQLite); no external tables in forms and no `INSERT … SELECT … FROM input()`; a query's id in
//! `system.processes` is the engine's, ours is in its settings (`query_cache_tag`).

mod admission;
mod blocks;
mod body;
mod codec;
mod cors;
mod credentials;
mod engine;
mod exception;
mod execute;
mod ffi;
mod form;
mod http;
mod library;
mod output;
mod request;
mod response;
mod server;
mod sessions;
mod statement;
mod text;
mod tokens;
mod used;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::admission::Admission;
use self::engine::Engine;
use self::http::Service;
use self::sessions::Sessions;
use crate::embedded::EmbeddedError;
use crate::embedded::part::{Announcer, DirectoryLock};
use crate::guard::Guard;
use crate::settings::ClickHouseOptions;

const LISTEN_OPTION: &str = "--embedded-clickhouse-listen / --listen";

/// The steps of a stop, in order: inserts may end, what still runs is stopped, the engine closes.
const INSERTS_END: Duration = Duration::from_secs(4);
const STATEMENTS_END: Duration = Duration::from_secs(1);
const ENGINE_CLOSES: Duration = Duration::from_millis(2500);

/// Serves until `stop`.
///
/// # Errors
/// The directory, the address or the library cannot be used.
pub async fn run(
    options: &ClickHouseOptions,
    announcer: &Announcer,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| EmbeddedError::listen(options.listen, LISTEN_OPTION, error))?;
    let address =
        listener.local_addr().map_err(|error| EmbeddedError::listen(options.listen, LISTEN_OPTION, error))?;
    let (engine, lock) = open(options).await?;
    let service = Arc::new(Service {
        engine: Arc::new(engine),
        sessions: Arc::new(Sessions::default()),
        admission: Admission::new(options.engine.clickhouse_connections),
        guard: Guard::new(address.ip(), &options.hosts.allowed_hosts)
            .reads_only_from(&options.engine.clickhouse_cors_origins),
        statements: TaskTracker::new(),
    });
    announcer.ready("clickhouse", address);
    server::accept(listener, Arc::clone(&service), stop).await;
    close(&service).await;
    drop(lock);
    Ok(())
}

/// Takes the directory and starts the engine on it; the engine has answered a query when this returns.
async fn open(options: &ClickHouseOptions) -> Result<(Engine, DirectoryLock), EmbeddedError> {
    // First, so that a library that is not there is said at once.
    let named = options.engine.clickhouse_library.clone();
    let api = blocking(move || library::load(named.as_deref())).await?;
    let lock = DirectoryLock::take(&options.data_dir).await?;
    let directory = options.data_dir.clone();
    let engine = blocking(move || Engine::open(api, &directory)).await?;
    Ok((engine, lock))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(EmbeddedError::Failed { part: "ClickHouse engine", reason: error.to_string() })
    })
}

/// Lets inserts end, stops everything else, and closes the engine, within some eight seconds.
async fn close(service: &Arc<Service>) {
    service.admission.close();
    service.statements.close();
    let engine = Arc::clone(&service.engine);
    let _ = spawn_blocking(move || engine.kill_reads()).await;
    if timeout(INSERTS_END, service.statements.wait()).await.is_err() {
        tracing::warn!("stopping what still runs");
        let engine = Arc::clone(&service.engine);
        let _ = spawn_blocking(move || engine.kill_all()).await;
        let _ = timeout(STATEMENTS_END, service.statements.wait()).await;
    }
    service.sessions.clear();
    let engine = Arc::clone(&service.engine);
    if timeout(ENGINE_CLOSES, spawn_blocking(move || engine.close())).await.is_err() {
        tracing::warn!("the engine did not close in time; what was acknowledged is stored");
    }
}
