//! The embedded ClickHouse: the engine library behind ClickHouse's own HTTP interface.
//!
//! A request's way: [`http`] → [`guard`](roundhouse_listener::guard) (may this page ask?) → [`request`] (parameters) → [`admission`] (its turn) →
//! [`execute`], on its own thread with its own connection → [`ffi`] → the engine. The answer comes back through [`output`],
//! [`codec`] and [`response`]. Each request has a new connection, so no setting of one request reaches the next. Opening one
//! takes a millisecond, so one is opened ahead ([`engine`]). [`sessions`] are connections that are kept on demand.
//!
//! The sandbox restricts what the engine can do to the machine ([`needs`]). Reading a statement's text ([`statement`])
//! serves the interface, not its safety.
//!
//! Where it differs from a real server: there is one user, `default`, without a password. It has no grants for anything
//! outside of its tables, such as files, URLs, other databases and dictionaries (`engine.xml`). Another user, with a
//! password, is the server that the engine is embedded in. There is no `INSERT … SELECT … FROM input()`. The engine has query
//! ids of its own; [`processes`] translates. Further differences that clients notice: docs/CLICKHOUSE_CLIENTS.md.

mod admission;
mod blocks;
mod body;
mod codec;
mod configuration;
mod cors;
mod credentials;
mod engine;
mod exception;
mod execute;
mod external;
mod ffi;
mod form;
mod http;
mod library;
mod output;
mod processes;
mod progress;
mod quoting;
mod request;
mod response;
mod server;
mod sessions;
mod statement;
mod text;
mod used;

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::admission::Admission;
use self::configuration::Layout;
use self::engine::Engine;
use self::http::Service;
pub use self::library::LibraryError;
use self::sessions::Sessions;
use roundhouse_listener::guard::{Guard, Host};
use roundhouse_part::EmbeddedError;
use roundhouse_part::lifecycle::{Announcer, DirectoryLock, bind};
use roundhouse_part::private::LOCK_FILE;
use roundhouse_part::sandbox::{Connect, Needs, Peer};
use roundhouse_part::secret::Secret;

const PART: &str = "clickhouse";
/// The user of the server that the engine is embedded in.
pub const OWN_USER: &str = "roundhouse";

const LISTEN_OPTION: &str = "--embedded-clickhouse-listen / --listen";

/// The steps of a stop, in order: inserts finish, other statements are stopped, the engine closes.
const INSERTS_END: Duration = Duration::from_secs(4);
const STATEMENTS_END: Duration = Duration::from_secs(1);
const ENGINE_CLOSES: Duration = Duration::from_millis(2500);

/// What the dynamic linker, the engine and the name resolver read.
const LIBRARIES: [&str; 7] =
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/sys/kernel/mm"];
const RESOLVER: [&str; 8] = [
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/ssl",
    "/usr/share/ca-certificates",
];

/// Where it listens, where it keeps its data, and what it may do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// The engine library. None: the one next to the executable, or the one that was installed with it.
    pub library: Option<PathBuf>,
    /// Where ClickHouse may connect to.
    pub connect: Vec<Peer>,
    /// Names of this server besides localhost and its address.
    pub allowed_hosts: Vec<Host>,
    /// Origins of web pages that may read from it.
    pub cors_origins: Vec<String>,
    /// Maximum number of concurrent queries; further ones wait.
    pub connections: u16,
    /// The password of the user [`OWN_USER`]. None: there is no such user.
    pub own_key: Option<Secret>,
}

/// Creates the part's directory and returns what else the part needs.
///
/// The engine writes in `data` only. It cannot change its configuration or `config.d`.
///
/// # Errors
/// The directory cannot be used, or the library does not exist.
pub fn needs(options: &Options) -> Result<Needs, EmbeddedError> {
    // First, so that nothing is created if there is none.
    let library = library::find(options.library.as_deref())?;
    let failed = |error| EmbeddedError::directory(&options.data_dir, error);
    let layout = Layout::new(&options.data_dir).map_err(failed)?;
    layout.create(&options.connect).map_err(failed)?;
    let lock = layout.directory().join(LOCK_FILE);
    OpenOptions::new().create(true).append(true).open(&lock).map_err(failed)?;
    let connect = Connect::to(&options.connect);
    let mut read: Vec<PathBuf> = LIBRARIES.map(PathBuf::from).into();
    read.extend(directories_of_libraries());
    if connect.names {
        read.extend(RESOLVER.map(PathBuf::from));
    }
    read.push(layout.directory().to_owned());
    read.push(library);
    Ok(Needs {
        part: PART,
        read,
        own: vec![layout.data(), layout.answers()],
        write: vec![lock],
        listen: options.listen.port(),
        connect,
    })
}

/// The directories of this process's libraries, which differ between systems. The engine's libraries are in the same ones.
fn directories_of_libraries() -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let files = maps
        .lines()
        .filter_map(|line| line.split_once('/').map(|(_, path)| PathBuf::from(format!("/{path}"))));
    let libraries = files.filter(|file| file.to_string_lossy().contains(".so"));
    let mut directories: Vec<PathBuf> =
        libraries.filter_map(|file| file.parent().map(std::path::Path::to_owned)).collect();
    directories.dedup();
    directories
}

/// Serves until `stop`. [`needs`] has created the directory.
///
/// # Errors
/// The directory, the address or the library cannot be used.
pub async fn run(
    options: &Options,
    announcer: &Announcer,
    stop: CancellationToken,
) -> Result<(), EmbeddedError> {
    let (listener, address) = bind(options.listen, LISTEN_OPTION).await?;
    let layout =
        Layout::new(&options.data_dir).map_err(|error| EmbeddedError::directory(&options.data_dir, error))?;
    let (engine, lock) = open(options, &layout).await?;
    let service = Arc::new(Service {
        engine: Arc::new(engine),
        sessions: Arc::new(Sessions::default()),
        admission: Admission::new(options.connections, options.own_key.is_some()),
        own_key: options.own_key.clone(),
        answers: layout.answers(),
        guard: Guard::new(address.ip(), &options.allowed_hosts).reads_only_from(&options.cors_origins),
        statements: TaskTracker::new(),
    });
    announcer.ready(PART, address);
    server::accept(listener, Arc::clone(&service), stop).await;
    close(&service).await;
    drop(lock);
    Ok(())
}

/// Locks the directory and starts the engine on it. The engine has answered a query when this returns.
async fn open(options: &Options, layout: &Layout) -> Result<(Engine, DirectoryLock), EmbeddedError> {
    // First, so that a missing library is reported at once.
    let named = options.library.clone();
    let api = blocking(move || Ok(library::load(named.as_deref())?)).await?;
    let lock = DirectoryLock::take(&options.data_dir).await?;
    let layout = layout.clone();
    let engine = blocking(move || Engine::open(api, &layout)).await?;
    Ok((engine, lock))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(EmbeddedError::Failed { part: "ClickHouse engine", reason: error.to_string() })
    })
}

/// Waits for inserts, stops everything else and closes the engine, within about eight seconds.
async fn close(service: &Arc<Service>) {
    service.admission.close();
    service.statements.close();
    let engine = Arc::clone(&service.engine);
    let _ = spawn_blocking(move || engine.kill_reads()).await;
    if timeout(INSERTS_END, service.statements.wait()).await.is_err() {
        tracing::warn!("stopping statements that are still running");
        let engine = Arc::clone(&service.engine);
        let _ = spawn_blocking(move || engine.kill_all()).await;
        let _ = timeout(STATEMENTS_END, service.statements.wait()).await;
    }
    service.sessions.clear();
    let engine = Arc::clone(&service.engine);
    if timeout(ENGINE_CLOSES, spawn_blocking(move || engine.close())).await.is_err() {
        tracing::warn!("the engine did not close in time; all acknowledged data is stored");
    }
}
