//! Connects to the three services at the start. It waits for a service that is not up yet, and stops at once at an error that waiting
//! cannot fix.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CommandError;
use super::services::{Addresses, Services};
use crate::counted::counted;
use crate::dataset::Dataset;
use crate::ingest::upload::Destination;
use crate::kafka::{BrokerError, Kafka};
use crate::latest::begin;
use crate::registry::{Registry, RegistryError};
use crate::settings::{ServeOptions, ServiceUrl};
use crate::warehouse::SchemaError;
use crate::warehouse::client::{Warehouse, WarehouseError};

/// How long a service may take to become usable.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How often the log names a service that is still not usable, unless the reason changes.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Clients of the three services.
pub(super) struct Clients {
    pub(super) kafka: Kafka,
    pub(super) registry: Registry,
    pub(super) registry_url: ServiceUrl,
    pub(super) warehouse: Warehouse,
}

/// Why a service cannot be used yet.
trait StartError: fmt::Display {
    /// Whether waiting cannot help.
    fn is_permanent(&self) -> bool;

    /// Returns the cause and what to do, in one line.
    fn line(&self) -> String {
        self.to_string()
    }
}

impl StartError for BrokerError {
    fn is_permanent(&self) -> bool {
        self.is_permanent()
    }
}

impl StartError for RegistryError {
    fn is_permanent(&self) -> bool {
        self.is_permanent()
    }
}

impl StartError for WarehouseError {
    fn is_permanent(&self) -> bool {
        self.is_permanent()
    }

    fn line(&self) -> String {
        self.at_start()
    }
}

impl StartError for SchemaError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::Warehouse(error) => error.is_permanent(),
            Self::Missing { .. }
            | Self::OtherVersion { .. }
            | Self::Dataset { .. }
            | Self::Lacks { .. }
            | Self::Column { .. } => true,
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Warehouse(error) => error.line(),
            Self::Missing { .. }
            | Self::OtherVersion { .. }
            | Self::Dataset { .. }
            | Self::Lacks { .. }
            | Self::Column { .. } => self.to_string(),
        }
    }
}

impl Clients {
    /// Returns those that following a topic needs.
    pub(super) fn followed(&self) -> begin::Clients {
        let Self { kafka, registry, warehouse, .. } = self;
        begin::Clients { kafka: kafka.clone(), registry: registry.clone(), warehouse: warehouse.clone() }
    }

    /// # Errors
    /// The machine's certificates cannot be read.
    pub(super) fn new(
        addresses: &Addresses,
        services: &Services,
        options: &ServeOptions,
    ) -> Result<Self, CommandError> {
        Ok(Self {
            kafka: Kafka::new(&addresses.kafka_brokers),
            registry: Registry::new(&addresses.schema_registry_url)
                .map_err(|error| CommandError::failed(error.to_string()))?,
            registry_url: addresses.schema_registry_url.clone(),
            warehouse: Warehouse::new(
                addresses.clickhouse_url.url(),
                services.clickhouse_user.as_deref(),
                services.clickhouse_password.as_ref(),
                &services.database,
                Duration::from_secs(options.limits.query_timeout_seconds),
            )
            .map_err(|error| {
                CommandError::failed(format!("cannot read this machine's certificates: {error}"))
            })?,
        })
    }

    /// Waits until the services answer, creates missing topics and tables, and finds or registers the schemas. Also returns the
    /// datasets with the ids of their schemas.
    pub(super) async fn connect(
        addresses: &Addresses,
        services: &Services,
        datasets: Vec<Dataset>,
        options: &ServeOptions,
    ) -> Result<(Self, Vec<Destination>), CommandError> {
        let clients = Self::new(addresses, services, options)?;
        for topic in datasets.iter().flat_map(|dataset| [&dataset.topic, &dataset.dead_letter_topic]) {
            let ensure = || clients.kafka.ensure_topic(topic, options.services.kafka_partitions);
            patiently(format_args!("Kafka at {}", addresses.kafka_brokers), ensure).await?;
        }
        let what = format!("ClickHouse at {}", addresses.clickhouse_url);
        patiently(&what, || clients.warehouse.create_schema(&datasets)).await?;
        let registry = format!("the schema registry at {}", addresses.schema_registry_url);
        let mut destinations = Vec::new();
        let datasets = patiently(&what, || clients.warehouse.learn_aggregates(&datasets)).await?;
        patiently(&what, || clients.warehouse.create_differences(&datasets)).await?;
        for dataset in datasets {
            let subject = format!("{}-value", dataset.topic);
            let schema_id =
                patiently(&registry, || clients.registry.ensure(&subject, &dataset.schema)).await?;
            destinations.push(Destination { dataset: Arc::new(dataset), schema_id });
        }
        Ok((clients, destinations))
    }
}

/// Repeats an attempt until it succeeds, the error is permanent, or the time is over.
async fn patiently<T, E, F>(
    what: impl fmt::Display,
    mut attempt: impl FnMut() -> F,
) -> Result<T, CommandError>
where
    E: StartError,
    F: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    let mut logged: Option<(String, Instant)> = None;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let reason = error.line();
        if error.is_permanent() {
            return Err(CommandError::failed(format!("{what} cannot be used: {reason}")));
        }
        if started.elapsed() >= PATIENCE {
            let waited = counted(PATIENCE.as_secs(), "second");
            return Err(CommandError::failed(format!(
                "{what} cannot be used after {waited}: {reason}; start it, or correct its address"
            )));
        }
        if logged.as_ref().is_none_or(|(last, at)| *last != reason || at.elapsed() >= LOG_INTERVAL) {
            tracing::warn!(reason, "waiting for {what}");
            logged = Some((reason, Instant::now()));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}
