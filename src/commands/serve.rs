//! `roundhouse serve`: starts the embedded parts, the loaders and the API in this order, and stops them in the reverse order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::CommandError;
use super::connect::Clients;
use super::data_directory::{self, DataDirectory};
use super::endpoints;
use super::parts;
use super::ready_file::ReadyFile;
use super::selection::select;
use super::served::{LoaderStates, Loading, Serving, query_limits};
use super::services::{Addresses, Services};
use super::table;
use crate::dataset::Dataset;
use crate::embedded::supervisor::Supervisor;
use crate::http::home::{ServiceAddresses, examples};
use crate::http::router::router;
use crate::http::serve::{ConnectionLimits, serve};
use crate::ingest::body::Stop;
use crate::ingest::upload::Destination;
use crate::latest::run;
use crate::latest::values::LastValues;
use crate::loader::state::LoaderState;
use crate::metrics::Metrics;
use crate::owner::owner;
use crate::reconcile;
use crate::reconcile::repair::{Watch, Watched};
use crate::settings::{ServeOptions, ServiceUrl};
use roundhouse_listener::guard::Guard;
use roundhouse_part::EmbeddedError;
use roundhouse_part::lifecycle::stop_on_signals;

/// How long loaders may take to finish what a crash interrupted, or to take the topic over (ClickHouse drops a consumer within a
/// minute). After that the API is served anyway.
const LOADERS_PATIENCE: Duration = Duration::from_secs(90);

/// How long running requests may take when the server stops, after the time for uploads (`--stop-grace-seconds`). Loaders and
/// reconciliations then get the same time.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// How long the whole stop may take after the time for uploads, including the embedded parts one after the other.
pub(super) const WHOLE_STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Serves until SIGINT or SIGTERM.
pub(super) async fn run(options: ServeOptions, log: &[std::ffi::OsString]) -> Result<(), CommandError> {
    let stop = CancellationToken::new();
    stop_on_signals(
        stop.clone(),
        WHOLE_STOP_PATIENCE + Duration::from_secs(options.limits.stop_grace_seconds),
    );
    let (ready_file, needs_key) = (options.ready_file.clone(), !options.api_keys.is_empty());
    let Some(mut server) = Server::start(options, log, &stop).await? else { return Ok(()) };
    print_addresses(&server.addresses, needs_key);
    let ready_file = ready_file.map(|path| ReadyFile::write(path, &server.addresses)).transpose()?;
    let ended = server.serve_until(&stop).await;
    // While the file exists, the server answers.
    drop(ready_file);
    server.stop().await;
    ended
}

/// A running server.
pub struct Server {
    pub addresses: Addresses,
    running: Running,
    supervisor: Supervisor,
    _directory: DataDirectory,
}

/// The tasks of this process.
struct Running {
    stop: Stop,
    /// How long uploads may go on when the server stops.
    stop_grace: Duration,
    serving: JoinHandle<()>,
    /// Cancelled when no request is running any more. The ledger of uploads then has the last ones.
    serving_ended: CancellationToken,
    workers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts everything, and returns once every part answers. If that fails, or if `stop` comes first (none), what this start created in
    /// the data directory is removed: no request was answered yet. `log`: log options for the embedded parts.
    pub async fn start(
        options: ServeOptions,
        log: &[std::ffi::OsString],
        stop: &CancellationToken,
    ) -> Result<Option<Self>, CommandError> {
        if !options.listen.ip().is_loopback() && options.api_keys.is_empty() {
            return Err(CommandError::usage(format!(
                "--listen {} is not a loopback address; give at least one --api-key, or listen on 127.0.0.1",
                options.listen
            )));
        }
        let services = Services::decide(&options.services, |name| std::env::var(name).ok())
            .map_err(CommandError::usage)?;
        Self::start_with(options, services, log, stop).await
    }

    /// [`Server::start`] with these services.
    pub(super) async fn start_with(
        options: ServeOptions,
        services: Services,
        log: &[std::ffi::OsString],
        stop: &CancellationToken,
    ) -> Result<Option<Self>, CommandError> {
        let datasets = select(&options, &services)?;
        let Some(directory) = stop.run_until_cancelled(DataDirectory::lock(&options.data_dir)).await else {
            return Ok(None);
        };
        let directory = directory.map_err(failed)?;
        match Self::start_parts(&options, services, datasets, log, stop).await {
            Ok(Some((addresses, running, supervisor))) => {
                Ok(Some(Self { addresses, running, supervisor, _directory: directory }))
            }
            other => {
                directory.remove_new();
                // Parts that were told to stop while they started have failed.
                if stop.is_cancelled() { Ok(None) } else { other.map(|_| None) }
            }
        }
    }

    async fn start_parts(
        options: &ServeOptions,
        services: Services,
        datasets: Vec<Dataset>,
        log: &[std::ffi::OsString],
        stop: &CancellationToken,
    ) -> Result<Option<(Addresses, Running, Supervisor)>, CommandError> {
        // Not earlier: the file may belong to a server that runs on this directory.
        if let Some(path) = &options.ready_file {
            ReadyFile::remove_old(path)?;
        }
        let listening = |error| failed(EmbeddedError::listen(options.listen, "--listen", error));
        let listener = TcpListener::bind(options.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let supervisor = parts::start(options, &services, log, stop).await.map_err(failed)?;
        let workers_stop = Stop::default();
        let stop_of_workers = workers_stop.clone();
        let starting =
            Self::start_on(options, services, datasets, &supervisor, (listener, address), stop_of_workers);
        // In this order: a start that is complete serves requests, so it ends like any running server.
        let started = tokio::select! {
            biased;
            started = starting => started.map(Some),
            () = stop.cancelled() => Ok(None),
        };
        match started {
            Ok(Some((addresses, running))) => Ok(Some((addresses, running, supervisor))),
            other => {
                workers_stop.begun.cancel();
                supervisor.stop().await;
                other.map(|_| None)
            }
        }
    }

    async fn start_on(
        options: &ServeOptions,
        services: Services,
        datasets: Vec<Dataset>,
        supervisor: &Supervisor,
        (listener, address): (TcpListener, SocketAddr),
        stop: Stop,
    ) -> Result<(Addresses, Running), CommandError> {
        let addresses = addresses(&services, supervisor, address)?;
        let (clients, destinations) = Clients::connect(&addresses, &services, datasets, options).await?;
        let kinds = destinations.iter().map(|destination| &*destination.dataset);
        let latest = last_values(&destinations, options.limits.max_latest_bytes);
        let limits = query_limits(&options.limits);
        let endpoints = endpoints::prepare(&clients.warehouse, kinds, &latest, limits).await?;
        let owner_file = options.data_dir.join(data_directory::OWNER);
        let owner =
            owner(&owner_file).map_err(|error| failed(EmbeddedError::directory(&owner_file, error)))?;
        let metrics = Metrics::default();
        let mut loading: Vec<Loading> = destinations
            .iter()
            .map(|destination| {
                Loading::start(options.services.loader, &clients, destination, owner, &metrics, &stop.begun)
            })
            .collect();
        for loading in &loading {
            until_begun(&loading.states).await;
        }
        let mut workers: Vec<JoinHandle<()>> =
            loading.iter_mut().flat_map(|loading| std::mem::take(&mut loading.tasks)).collect();
        for values in &latest {
            let following = run::run(Arc::clone(values), clients.followed(), stop.begun.clone());
            workers.push(tokio::spawn(following));
        }
        let watched = destinations.iter().zip(&loading).map(|(destination, loading)| {
            let state = loading.states.first().map(|(_, state)| state.clone());
            Watched::new(Arc::clone(&destination.dataset), loading.loads.clone(), state)
        });
        let watch = Watch::new(clients.warehouse.clone(), watched.collect());
        let lost_parts = watch.lost();
        workers.push(watch.start(stop.begun.clone()).await);
        let states = loading.iter().flat_map(|loading| loading.states.clone()).collect();
        let serving = Serving::new(
            options,
            &clients,
            &destinations,
            (states, lost_parts, latest),
            parts::local_parts(supervisor),
            (owner, metrics, stop.clone()),
        )?;
        let mut served = Vec::new();
        for (destination, loading) in destinations.into_iter().zip(loading) {
            served.push(serving.dataset(destination, loading)?);
        }
        let reconciling = || served.iter().filter_map(|served| served.reconciling.as_ref());
        let reconcilers = reconciling().map(|reconciling| reconciling.reconciler.clone()).collect();
        workers.push(reconcile::run(reconcilers, stop.begun.clone()));
        for reconciling in reconciling() {
            workers.push(reconciling.repairer.clone().run(stop.begun.clone()));
        }
        let serving_ended = CancellationToken::new();
        workers.push(serving.ledger.clone().run(serving_ended.clone()));
        let guard = Guard::new(address.ip(), &options.hosts.allowed_hosts);
        let shown = ServiceAddresses {
            kafka_brokers: addresses.kafka_brokers.clone(),
            schema_registry_url: addresses.schema_registry_url.to_string(),
            clickhouse_url: addresses.clickhouse_url.to_string(),
        };
        let Some(server) = served.first().map(|served| &served.app) else {
            return Err(CommandError::usage("--dataset names no dataset".to_owned()));
        };
        let app = router(&served, &endpoints, server, shown, guard, options.api_keys.clone())
            .map_err(|error| CommandError::failed(format!("cannot describe the API: {error}")))?;
        let serving =
            tokio::spawn(serve(listener, app, ConnectionLimits::of(&options.limits), stop.begun.clone()));
        let stop_grace = Duration::from_secs(options.limits.stop_grace_seconds);
        Ok((addresses, Running { stop, stop_grace, serving, serving_ended, workers }))
    }

    /// Waits until `stop`, or until serving fails.
    pub async fn serve_until(&mut self, stop: &CancellationToken) -> Result<(), CommandError> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            _ = &mut self.running.serving => Err(CommandError::failed("the API stopped serving")),
        }
    }

    /// Accepts no further requests, lets running ones end, then stops loaders and reconciliations, and then the embedded parts.
    pub async fn stop(self) {
        tracing::info!("stopping");
        let Running { stop, stop_grace, serving, serving_ended, workers } = self.running;
        stop.begun.cancel();
        // A task must not be awaited again after it has ended.
        if !serving.is_finished() {
            let serving = tokio::time::timeout(stop_grace + STOP_PATIENCE, serving);
            let grace_ends = async {
                tokio::time::sleep(stop_grace).await;
                stop.bodies_end.cancel();
                std::future::pending::<()>().await
            };
            tokio::select! {
                served = serving => if served.is_err() {
                    tracing::warn!("running requests were aborted");
                },
                () = grace_ends => {}
            }
        }
        serving_ended.cancel();
        if tokio::time::timeout(STOP_PATIENCE, join_all(workers)).await.is_err() {
            tracing::warn!("loaders or reconciliations were aborted; they continue at the next start");
        }
        self.supervisor.stop().await;
    }
}

/// Waits until loading has started or failed. An upload's epoch is inferred from its time, so no upload may be accepted before the
/// loader has detected a recreated topic or taken it over.
async fn until_begun(states: &LoaderStates) {
    for (name, state) in states {
        let mut state = state.clone();
        let begun = state.wait_for(|state| *state != LoaderState::Starting);
        if tokio::time::timeout(LOADERS_PATIENCE, begun).await.is_err() {
            tracing::warn!("the {name} still recovers from the last run; new rows become visible after that");
        }
    }
}

/// Creates what keeps the last values of the datasets that have any. It is empty until the topics are followed.
fn last_values(destinations: &[Destination], limit: usize) -> Vec<Arc<LastValues>> {
    let of_one = |destination: &Destination| LastValues::new(&destination.dataset, limit).map(Arc::new);
    destinations.iter().filter_map(of_one).collect()
}

/// Returns the addresses of all services. `api`: that of the server itself.
///
/// # Errors
/// An embedded part does not run.
pub(super) fn addresses(
    services: &Services,
    supervisor: &Supervisor,
    api: SocketAddr,
) -> Result<Addresses, CommandError> {
    let embedded = |name: &str| {
        supervisor
            .address(name)
            .ok_or_else(|| CommandError::failed(format!("the embedded {name} has no address")))
    };
    let url = |given: &Option<ServiceUrl>, name: &str| match given {
        Some(url) => Ok(url.clone()),
        None => ServiceUrl::parse(&format!("http://{}", embedded(name)?)).map_err(CommandError::failed),
    };
    Ok(Addresses {
        api: format!("http://{api}"),
        kafka_brokers: match &services.kafka_brokers {
            Some(brokers) => brokers.clone(),
            None => embedded(parts::BROKER)?.to_string(),
        },
        schema_registry_url: url(&services.schema_registry_url, parts::REGISTRY)?,
        clickhouse_url: url(&services.clickhouse_url, parts::CLICKHOUSE)?,
    })
}

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::failed(error.to_string())
}

fn print_addresses(addresses: &Addresses, needs_key: bool) {
    let Addresses { api, kafka_brokers, schema_registry_url, clickhouse_url } = addresses;
    let examples =
        examples(api, needs_key).lines().fold(String::new(), |lines, line| lines + "  " + line + "\n");
    // A server that nobody listens to serves all the same.
    let _ = table::print(format_args!(
        "Roundhouse is ready\n  API              {api}\n  Documentation    {api}/docs\n  Kafka            {kafka_brokers}\n  \
         Schema Registry  {schema_registry_url}\n  ClickHouse       {clickhouse_url}\n\nTry\n{examples}"
    ));
}
