//! What a server runs for each of its datasets: loaders, uploads, reconciliations.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::CommandError;
use super::connect::Clients;
use super::data_directory;
use super::parts;
use crate::dataset::{BETS, Dataset};
use crate::disk::Disk;
use crate::http::freshness::Freshness;
use crate::http::readiness::{LocalParts, Readiness};
use crate::http::state::{AppState, ReconcileState, Served};
use crate::ingest::body::Stop;
use crate::ingest::upload::ledger::Ledger;
use crate::ingest::upload::under_way::UnderWay;
use crate::ingest::upload::{Destination, Slots, Storage, Uploader};
use crate::kafka::health::TopicsHealth;
use crate::latest::values::LastValues;
use crate::loader::content::TopicKind;
use crate::loader::gate::Gate;
use crate::loader::kafka_engine::Consumption;
use crate::loader::lease::{Candidate, Tenure};
use crate::loader::needs::Loader;
use crate::loader::state::LoaderState;
use crate::metrics::Metrics;
use crate::reconcile::Reconciler;
use crate::reconcile::arrivals::Arrivals;
use crate::reconcile::repair::{Loads, Repairer};
use crate::settings::{Limits, LoaderKind, ServeOptions};
use crate::warehouse::limited::QueryLimits;
use crate::warehouse::lost_parts::LostParts;
use roundhouse_part::EmbeddedError;

/// How long `?wait=visible` waits.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(120);

/// The loaders by name, and what each is doing.
pub(super) type LoaderStates = Vec<(String, watch::Receiver<LoaderState>)>;

/// The loaders of a dataset: of its topic, and of its dead letter topic.
pub(super) struct Loading {
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) states: LoaderStates,
    /// How the topic of the rows is loaded.
    pub(super) loads: Loads,
    uploads: UnderWay,
}

impl Loading {
    pub(super) fn start(
        kind: LoaderKind,
        clients: &Clients,
        destination: &Destination,
        owner: Uuid,
        metrics: &Metrics,
        stop: &CancellationToken,
    ) -> Self {
        let dataset = &destination.dataset;
        let tenure = match kind {
            LoaderKind::Roundhouse | LoaderKind::ClickHouse => Tenure::default(),
            LoaderKind::None => Tenure::none(),
        };
        let loads = Loads {
            topic: dataset.topic.clone(),
            tenure,
            gate: Gate::default(),
            is_gated: kind == LoaderKind::Roundhouse,
        };
        let mut loading = Self { tasks: Vec::new(), states: Vec::new(), loads, uploads: UnderWay::default() };
        if kind == LoaderKind::None {
            return loading;
        }
        let process = Uuid::now_v7();
        let topics = [
            ("loader", &dataset.topic, TopicKind::Rows(dataset.clone()), loading.loads.tenure.clone()),
            ("dead_letter_loader", &dataset.dead_letter_topic, TopicKind::Rejects, Tenure::default()),
        ];
        for (name, topic, topic_kind, tenure) in topics {
            let loader = Loader {
                kafka: clients.kafka.clone(),
                registry: clients.registry.clone(),
                warehouse: clients.warehouse.clone(),
                topic: topic.clone(),
                kind: topic_kind,
                uploads: loading.uploads.clone(),
                gate: loading.loads.gate.clone(),
                candidate: Candidate {
                    warehouse: clients.warehouse.clone(),
                    topic: topic.clone(),
                    owner,
                    process,
                    tenure,
                },
                metrics: metrics.clone(),
            };
            let (sender, state) = watch::channel(LoaderState::Starting);
            loading.tasks.push(if kind == LoaderKind::ClickHouse {
                let consumption = Consumption { loader, registry_url: clients.registry_url.clone() };
                tokio::spawn(consumption.run(sender, stop.clone()))
            } else {
                tokio::spawn(loader.run(sender, stop.clone()))
            });
            loading.states.push((loader_name(dataset, name), state));
        }
        loading
    }
}

/// Returns the name of a loader in `/readyz` and `/metrics`.
fn loader_name(dataset: &Dataset, name: &str) -> String {
    match dataset.name.as_str() {
        BETS => name.to_owned(),
        dataset => format!("{dataset}_{name}"),
    }
}

/// What all datasets of a server share.
pub(super) struct Serving<'a> {
    options: &'a ServeOptions,
    clients: &'a Clients,
    owner: Uuid,
    stop: Stop,
    metrics: Metrics,
    pub(super) ledger: Arc<Ledger>,
    slots: Arc<Slots>,
    queries: Arc<Semaphore>,
    readiness: Arc<Readiness>,
    spool: PathBuf,
    /// The reconciler of the first dataset with a key.
    reconciler: OnceLock<Arc<Reconciler>>,
    /// The disk of the data directory.
    disk: Disk,
    /// The disk that uploads need.
    upload_disk: Disk,
}

impl<'a> Serving<'a> {
    /// # Errors
    /// The data directory cannot be used.
    pub(super) fn new(
        options: &'a ServeOptions,
        clients: &'a Clients,
        destinations: &[Destination],
        (loaders, lost_parts, latest): (LoaderStates, watch::Receiver<LostParts>, Vec<Arc<LastValues>>),
        local_parts: LocalParts,
        (owner, metrics, stop): (Uuid, Metrics, Stop),
    ) -> Result<Self, CommandError> {
        let spool = options.data_dir.join(data_directory::SPOOL);
        std::fs::create_dir_all(&spool).map_err(|error| failed(EmbeddedError::directory(&spool, error)))?;
        let disk = Disk::new(&options.data_dir, options.limits.disk_reserve_bytes);
        // Uploads need no space on this disk if neither the broker nor ClickHouse is embedded.
        let is_kept_here =
            local_parts().iter().any(|(name, _)| [parts::BROKER, parts::CLICKHOUSE].contains(&name.as_str()));
        let upload_disk = if is_kept_here { disk.clone() } else { Disk::new(&options.data_dir, 0) };
        let topics = destinations.iter().flat_map(|Destination { dataset, .. }| {
            [dataset.topic.clone(), dataset.dead_letter_topic.clone()]
        });
        let readiness = Readiness {
            topics: TopicsHealth::new(clients.kafka.clone(), topics),
            registry: clients.registry.clone(),
            warehouse: clients.warehouse.clone(),
            disk: upload_disk.clone(),
            loader: options.services.loader,
            loaders,
            lost_parts,
            latest,
            local_parts,
        };
        let journal = options.data_dir.join(data_directory::JOURNAL);
        let ledger = Ledger::open(clients.warehouse.for_requests(), owner, metrics.clone(), &journal)
            .map_err(|error| failed(EmbeddedError::directory(&journal, error)))?;
        let limits = &options.limits;
        Ok(Self {
            options,
            clients,
            owner,
            stop,
            metrics,
            ledger: Arc::new(ledger),
            slots: Arc::new(Slots::new(
                limits.max_concurrent_uploads,
                limits.upload_crowded_bytes_per_second,
            )),
            queries: Arc::new(Semaphore::new(limits.max_concurrent_queries.into())),
            readiness: Arc::new(readiness),
            spool,
            reconciler: OnceLock::new(),
            disk,
            upload_disk,
        })
    }

    /// Makes the state of a dataset's part of the API.
    ///
    /// # Errors
    /// The data directory cannot be used.
    pub(super) fn dataset(&self, destination: Destination, loading: Loading) -> Result<Served, CommandError> {
        let limits = &self.options.limits;
        let dataset = Arc::clone(&destination.dataset);
        let uploader = Uploader::new(
            &self.clients.kafka,
            self.clients.registry.clone(),
            Arc::clone(&self.ledger),
            destination,
            limits,
            (loading.uploads, Arc::clone(&self.slots), self.stop.clone()),
            Storage { spool: self.spool.clone(), disk: self.upload_disk.clone() },
        );
        let uploader = Arc::new(uploader);
        if dataset.name == BETS {
            let first = uploader.clone();
            tokio::spawn(async move { first.warm_up().await });
        }
        let query_limits = query_limits(limits);
        let warehouse = self.clients.warehouse.for_requests();
        let freshness = Freshness::new(warehouse.clone(), Arc::clone(&self.ledger), query_limits);
        let app = AppState {
            uploader: uploader.clone(),
            warehouse,
            disk: self.disk.clone(),
            readiness: self.readiness.clone(),
            freshness: Arc::new(freshness),
            queries: self.queries.clone(),
            query_limits,
            visible_timeout: VISIBLE_TIMEOUT,
            stopping: self.stop.begun.clone(),
            max_form_files: limits.max_form_files,
            upload_idle: Duration::from_secs(limits.upload_idle_seconds),
            max_upload_bytes: limits.max_upload_bytes,
        };
        let reconciling = match dataset.has_key() {
            true => Some(self.reconciling(&dataset, uploader, loading.loads, app.clone())?),
            false => None,
        };
        Ok(Served { app, reconciling })
    }

    fn reconciling(
        &self,
        dataset: &Arc<Dataset>,
        uploader: Arc<Uploader>,
        loads: Loads,
        app: AppState,
    ) -> Result<ReconcileState, CommandError> {
        let arrivals = Arrivals::of_topic(self.clients.kafka.clone(), &dataset.topic);
        let reconciler = match self.reconciler.get() {
            Some(first) => Arc::new(first.beside(Arc::clone(dataset), arrivals)),
            None => {
                let first = Arc::new(self.first_reconciler(dataset, arrivals)?);
                self.reconciler.get_or_init(|| first.clone());
                first
            }
        };
        let repairer = Repairer::new(self.clients.warehouse.clone(), reconciler.clone(), uploader, loads);
        Ok(ReconcileState { app, reconciler, repairer: Arc::new(repairer) })
    }

    /// Makes the reconciler that opens the spool directory. Those of other datasets share it.
    fn first_reconciler(
        &self,
        dataset: &Arc<Dataset>,
        arrivals: Arrivals,
    ) -> Result<Reconciler, CommandError> {
        let jobs = self.options.data_dir.join(data_directory::RECONCILE);
        let reconciler = Reconciler::new(
            self.owner,
            self.clients.warehouse.clone(),
            arrivals,
            Arc::clone(dataset),
            &self.options.limits,
            &jobs,
            self.upload_disk.clone(),
        );
        let reconciler = reconciler.map_err(|error| failed(EmbeddedError::directory(&jobs, error)))?;
        Ok(reconciler.counted_in(self.metrics.clone()).ending_with(self.stop.clone()))
    }
}

/// The limits of queries that requests run.
pub(super) fn query_limits(limits: &Limits) -> QueryLimits {
    QueryLimits { timeout: Duration::from_secs(limits.query_timeout_seconds), rows: limits.max_query_rows }
}

fn failed(error: impl std::fmt::Display) -> CommandError {
    CommandError::failed(error.to_string())
}
