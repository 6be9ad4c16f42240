//! `roundhouse embedded …`: one embedded part, alone or under the supervisor of `serve`.

use tokio_util::sync::CancellationToken;

use super::{CommandError, parts};
use crate::settings::{BrokerOptions, ClickHouseOptions, EmbeddedCommand, RegistryOptions, SupervisedOption};
use roundhouse_part::lifecycle::{self, Announcer};
use roundhouse_part::{EmbeddedError, private, sandbox, streams};
use {roundhouse_broker as broker, roundhouse_clickhouse as clickhouse, roundhouse_registry as registry};

/// Moves the standard streams out of reach of statements. It must be called before the process opens anything.
pub(super) fn take_streams() -> Result<(), CommandError> {
    streams::take()
        .map_err(|error| CommandError::failed(format!("cannot move the standard streams: {error}")))
}

/// Creates the part's directory, and enters the part's sandbox. It must be called before other threads start.
pub(super) fn enter_sandbox(command: &EmbeddedCommand) -> Result<(), CommandError> {
    let needs = match command {
        EmbeddedCommand::Broker(options) => broker::needs(&of_broker(options)),
        EmbeddedCommand::Registry(options) => registry::needs(&of_registry(options)),
        EmbeddedCommand::ClickHouse(options) => clickhouse::needs(&of_clickhouse(options)),
    };
    let needs = needs.map_err(|error| cannot_run(supervised(command), &error))?;
    sandbox::enter(&needs);
    Ok(())
}

pub(super) async fn run(command: EmbeddedCommand) -> Result<(), CommandError> {
    let supervised = supervised(&command);
    let announcer = Announcer::new(supervised);
    let stop = CancellationToken::new();
    lifecycle::stop_on_signals(stop.clone(), lifecycle::STOP_TIMEOUT);
    if supervised {
        lifecycle::stop_with_supervisor(stop.clone());
    }
    if !supervised {
        warn(&command);
    }
    let outcome = match command {
        EmbeddedCommand::Broker(options) => broker::run(&of_broker(&options), &announcer, stop).await,
        EmbeddedCommand::Registry(options) => registry::run(&of_registry(&options), &announcer, stop).await,
        EmbeddedCommand::ClickHouse(options) => {
            clickhouse::run(&of_clickhouse(&options), &announcer, stop).await
        }
    };
    outcome.map_err(|error| cannot_run(supervised, &error))
}

fn of_broker(options: &BrokerOptions) -> broker::Options {
    broker::Options { listen: options.listen, data_dir: options.data_dir.clone() }
}

fn of_registry(options: &RegistryOptions) -> registry::Options {
    registry::Options {
        listen: options.listen,
        data_dir: options.data_dir.clone(),
        allowed_hosts: options.hosts.allowed_hosts.clone(),
    }
}

fn of_clickhouse(options: &ClickHouseOptions) -> clickhouse::Options {
    clickhouse::Options {
        listen: options.listen,
        data_dir: options.data_dir.clone(),
        library: options.engine.clickhouse_library.clone(),
        connect: options.connect.clone(),
        allowed_hosts: options.hosts.allowed_hosts.clone(),
        cors_origins: options.engine.clickhouse_cors_origins.clone(),
        connections: options.engine.clickhouse_connections,
        own_key: options.own_key.clone(),
    }
}

/// Reports why a part cannot run: to the supervisor, which shows it, or to the person at the terminal.
fn cannot_run(supervised: bool, error: &EmbeddedError) -> CommandError {
    Announcer::new(supervised).failed(error);
    if supervised { CommandError::announced() } else { CommandError::failed(error.to_string()) }
}

/// Warns if others can reach the part, or use its directory. Under a supervisor, `serve` warns.
fn warn(command: &EmbeddedCommand) {
    let (part, listen, directory) = match command {
        EmbeddedCommand::Broker(options) => (parts::BROKER, options.listen, &options.data_dir),
        EmbeddedCommand::Registry(options) => (parts::REGISTRY, options.listen, &options.data_dir),
        EmbeddedCommand::ClickHouse(options) => (parts::CLICKHOUSE, options.listen, &options.data_dir),
    };
    parts::warn_if_public("--listen", part, listen);
    private::warn_if_open(directory);
}

fn supervised(command: &EmbeddedCommand) -> bool {
    let SupervisedOption { supervised } = match command {
        EmbeddedCommand::Broker(options) => options.supervised,
        EmbeddedCommand::Registry(options) => options.supervised,
        EmbeddedCommand::ClickHouse(options) => options.supervised,
    };
    supervised
}
