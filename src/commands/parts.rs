//! The embedded parts of a server: one for each service without a URL.

use std::ffi::OsString;
use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use super::services::Services;
use crate::embedded::supervisor::{PartSpec, PartStatus, Program, Supervisor};
use crate::http::readiness::{LocalParts, PartHealth};
use crate::settings::{EngineOptions, HostOptions, LoaderKind, ServeOptions};
use roundhouse_part::EmbeddedError;

pub const BROKER: &str = "broker";
pub const REGISTRY: &str = "registry";
pub const CLICKHOUSE: &str = "clickhouse";

/// The variable with the password by which the embedded ClickHouse identifies its server.
const CLICKHOUSE_KEY: &str = "ROUNDHOUSE_CLICKHOUSE_OWN_KEY";

/// Warns that a part asks for no key, if it listens where other machines may reach it.
pub fn warn_if_public(option: &str, part: &str, listen: SocketAddr) {
    if !listen.ip().is_loopback() {
        tracing::warn!(
            "{option} {listen} is not a loopback address; everybody who can reach it can read and change the data of the embedded \
             {part}, which asks for no key"
        );
    }
}

/// Starts the parts that are needed. `log`: their log options. `stop` ends the start with an error.
pub async fn start(
    options: &ServeOptions,
    services: &Services,
    log: &[OsString],
    stop: &CancellationToken,
) -> Result<Supervisor, EmbeddedError> {
    let executable = std::env::current_exe().map_err(|error| EmbeddedError::Failed {
        part: "server",
        reason: format!("it cannot find its own binary: {error}"),
    })?;
    let program = Program::new(executable, log.to_vec()).starting_until(stop.clone());
    let listen = &options.embedded;
    let spec = |needed: bool, name, option, listen: SocketAddr, arguments| {
        needed.then(|| {
            warn_if_public(option, name, listen);
            PartSpec { name, arguments, secret: None, listen, data_dir: options.data_dir.join(name) }
        })
    };
    let broker = spec(
        services.kafka_brokers.is_none(),
        BROKER,
        "--embedded-kafka-listen",
        listen.embedded_kafka_listen,
        Vec::new(),
    );
    let registry = spec(
        services.schema_registry_url.is_none(),
        REGISTRY,
        "--embedded-registry-listen",
        listen.embedded_registry_listen,
        host_arguments(&options.hosts),
    );
    let mut clickhouse = spec(
        services.clickhouse_url.is_none(),
        CLICKHOUSE,
        "--embedded-clickhouse-listen",
        listen.embedded_clickhouse_listen,
        [engine_arguments(&options.engine), host_arguments(&options.hosts)].concat(),
    );
    if let Some(clickhouse) = &mut clickhouse {
        clickhouse.secret = services.clickhouse_password.clone().map(|key| (CLICKHOUSE_KEY, key));
    }
    let others = broker.into_iter().chain(registry);
    match clickhouse {
        Some(mut clickhouse) if options.services.loader == LoaderKind::ClickHouse => {
            let supervisor = Supervisor::start(program.clone(), others.collect()).await?;
            clickhouse.arguments.extend(["--connect".into(), peers(services, &supervisor).into()]);
            supervisor.and(program, vec![clickhouse]).await
        }
        clickhouse => Supervisor::start(program, others.chain(clickhouse).collect()).await,
    }
}

/// Returns the addresses that ClickHouse connects to when it reads the topic itself. Brokers of a cluster advertise their own.
fn peers(services: &Services, supervisor: &Supervisor) -> String {
    let embedded = |name: &str| supervisor.address(name).map(|address| address.to_string());
    let registry = match &services.schema_registry_url {
        Some(url) => {
            let url = url.url();
            url.host_str().zip(url.port_or_known_default()).map(|(host, port)| format!("{host}:{port}"))
        }
        None => embedded(REGISTRY),
    };
    let brokers = match &services.kafka_brokers {
        Some(_) => Some("any".to_owned()),
        None => embedded(BROKER),
    };
    brokers.into_iter().chain(registry).collect::<Vec<_>>().join(",")
}

/// Returns a function that reports the state of the parts, for `/readyz`.
pub fn local_parts(supervisor: &Supervisor) -> LocalParts {
    let states = supervisor.watch();
    Box::new(move || {
        let health = |status| match status {
            PartStatus::Ready { .. } => PartHealth::ready(),
            PartStatus::Impaired { reasons, .. } => PartHealth::not_ready(reasons.join("; ")),
            PartStatus::Starting => PartHealth::not_ready("starting"),
            PartStatus::Restarting { reason, .. } => {
                PartHealth::not_ready(format!("it stopped and is being restarted: {reason}"))
            }
            PartStatus::Stopped => PartHealth::not_ready("stopped"),
        };
        states.current().into_iter().map(|part| (part.name.to_owned(), health(part.status))).collect()
    })
}

fn host_arguments(hosts: &HostOptions) -> Vec<OsString> {
    let arguments = hosts.allowed_hosts.iter().map(|host| ["--allowed-host".into(), host.to_string().into()]);
    arguments.flatten().collect()
}

fn engine_arguments(engine: &EngineOptions) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![
        "--clickhouse-connections".into(),
        engine.clickhouse_connections.to_string().into(),
        "--clickhouse-cors-origins".into(),
        engine.clickhouse_cors_origins.join(",").into(),
    ];
    if let Some(library) = &engine.clickhouse_library {
        arguments.extend(["--clickhouse-library".into(), library.clone().into_os_string()]);
    }
    arguments
}
