//! `roundhouse datasets check`: checks the files of datasets, and runs their samples through a server in a temporary directory.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use roundhouse_part::lifecycle::stop_on_signals;
use tokio_util::sync::CancellationToken;

use super::sample;
use crate::commands::client::EXIT_INTERRUPTED;
use crate::commands::connect::Clients;
use crate::commands::serve::{Server, WHOLE_STOP_PATIENCE, addresses};
use crate::commands::served::query_limits;
use crate::commands::services::Services;
use crate::commands::temporary::serve_options;
use crate::commands::{CommandError, endpoints, parts, table};
use crate::counted::counted;
use crate::dataset::files::Origin;
use crate::dataset::{Dataset, check_together};
use crate::latest::values::LastValues;
use crate::settings::{DatasetsCheckOptions, LoaderKind, ServeOptions};

/// Exit code: a file has a fault, or a check has failed.
const EXIT_FAULT: u8 = 1;

pub(super) async fn run(options: DatasetsCheckOptions, log: &[OsString]) -> Result<ExitCode, CommandError> {
    let origin = options.directory.clone().map_or(Origin::Shipped, Origin::Directory);
    let names = origin.names().map_err(|error| CommandError::usage(error.to_string()))?;
    if names.is_empty() {
        return Err(CommandError::usage("the directory has no dataset; add one, see docs/DATASETS.md"));
    }
    let (datasets, mut faults) = read(&names, &origin);
    if faults.is_empty() {
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone(), WHOLE_STOP_PATIENCE);
        let directory = tempfile::Builder::new().prefix("roundhouse-datasets-").tempdir();
        let directory = directory.map_err(|error| CommandError::failed(error.to_string()))?;
        let serve = || {
            let mut serve = serve_options(&options.engine, directory.path())?;
            (serve.schema, serve.services.loader) = (None, LoaderKind::Roundhouse);
            serve.datasets.clone_from(&names);
            serve.dataset_directories = options.directory.iter().cloned().collect();
            Ok::<_, CommandError>(serve)
        };
        faults = in_clickhouse(&serve()?, &datasets, log, &stop).await?;
        if faults.is_empty() {
            faults = with_samples(serve()?, &datasets, &origin, log, &stop).await?;
        }
    }
    for fault in &faults {
        table::print_error(fault);
    }
    if faults.is_empty() {
        table::print(format_args!("{}, no faults\n", counted(datasets.len() as u64, "dataset")))?;
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(EXIT_FAULT))
}

/// Reads the files, as far as that needs no service. Also returns their faults.
fn read(names: &[String], origin: &Origin) -> (Vec<Dataset>, Vec<String>) {
    let (mut datasets, mut faults) = (Vec::new(), Vec::new());
    for name in names {
        match Dataset::read(name, std::slice::from_ref(origin)) {
            Ok(dataset) => {
                faults.extend(endpoints::faults(&dataset));
                datasets.push(dataset);
            }
            Err(error) => faults.push(error.to_string()),
        }
    }
    if faults.is_empty() {
        faults.extend(check_together(&datasets).err().map(|error| error.to_string()));
        faults.extend(endpoints::check(&datasets).err().and_then(|error| error.message));
    }
    (datasets, faults)
}

/// Creates the tables of each dataset, and asks ClickHouse about its endpoints and checks. Returns their faults.
async fn in_clickhouse(
    options: &ServeOptions,
    datasets: &[Dataset],
    log: &[OsString],
    stop: &CancellationToken,
) -> Result<Vec<String>, CommandError> {
    let services = Services::embedded();
    let failed = |error: &dyn std::fmt::Display| CommandError::failed(error.to_string());
    std::fs::create_dir_all(&options.data_dir).map_err(|error| failed(&error))?;
    let supervisor = parts::start(options, &services, log, stop).await.map_err(|error| failed(&error))?;
    let checked = async {
        let clients = Clients::new(&addresses(&services, &supervisor, options.listen)?, &services, options)?;
        let mut faults = Vec::new();
        for dataset in datasets {
            faults.extend(of_dataset(&clients, dataset, options).await);
        }
        Ok(faults)
    };
    let faults = tokio::select! {
        faults = checked => faults,
        () = stop.cancelled() => Err(interrupted()),
    };
    supervisor.stop().await;
    faults
}

async fn of_dataset(clients: &Clients, dataset: &Dataset, options: &ServeOptions) -> Vec<String> {
    let one = std::slice::from_ref(dataset);
    if let Err(error) = clients.warehouse.create_schema(one).await {
        return vec![error.to_string()];
    }
    let mut faults = Vec::new();
    let created = match clients.warehouse.learn_aggregates(one).await {
        Ok(learned) => clients.warehouse.create_differences(&learned).await,
        Err(error) => Err(error),
    };
    faults.extend(created.err().map(|error| error.to_string()));
    let limits = query_limits(&options.limits);
    let values = LastValues::new(&Arc::new(dataset.clone()), options.limits.max_latest_bytes).map(Arc::new);
    for endpoint in endpoints::read(dataset).unwrap_or_default() {
        let (warehouse, name) = (&clients.warehouse, &dataset.name);
        let prepared = crate::endpoints::prepare(warehouse, name, values.as_ref(), endpoint, limits).await;
        faults.extend(prepared.err().map(|error| error.to_string()));
    }
    faults
}

/// Serves the datasets, uploads their samples, and runs their checks. Returns the faults of both.
async fn with_samples(
    options: ServeOptions,
    datasets: &[Dataset],
    origin: &Origin,
    log: &[OsString],
    stop: &CancellationToken,
) -> Result<Vec<String>, CommandError> {
    let started = Server::start_with(options, Services::embedded(), log, stop).await?;
    let Some(server) = started else { return Err(interrupted()) };
    let faults = tokio::select! {
        faults = sample::run_all(&server.addresses.api, datasets, origin) => faults,
        () = stop.cancelled() => Err(interrupted()),
    };
    server.stop().await;
    faults
}

fn interrupted() -> CommandError {
    CommandError { message: Some("interrupted".to_owned()), exit_code: EXIT_INTERRUPTED }
}
