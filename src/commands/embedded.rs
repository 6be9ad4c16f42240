//! `roundhouse embedded …`: one embedded part, alone or under the supervisor of `serve`.

use tokio_util::sync::CancellationToken;

use super::CommandError;
use crate::embedded::part::{self, Announcer};
use crate::embedded::{EmbeddedError, broker, clickhouse, registry, sandbox};
use crate::settings::{EmbeddedCommand, SupervisedOption};

/// Makes the part's directory, and puts the process into the part's sandbox. To be called before there are threads.
pub(super) fn enter_sandbox(command: &EmbeddedCommand) -> Result<(), CommandError> {
    let needs = match command {
        EmbeddedCommand::Broker(options) => broker::needs(options),
        EmbeddedCommand::Registry(options) => registry::needs(options),
        EmbeddedCommand::ClickHouse(options) => clickhouse::needs(options),
    };
    let needs = needs.map_err(|error| cannot_run(supervised(command), &error))?;
    sandbox::enter(&needs);
    Ok(())
}

pub(super) async fn run(command: EmbeddedCommand) -> Result<(), CommandError> {
    let supervised = supervised(&command);
    let announcer = Announcer::new(supervised);
    let stop = CancellationToken::new();
    part::stop_on_signals(stop.clone(), part::STOP_TIMEOUT);
    if supervised {
        part::stop_with_stdin(stop.clone());
    }
    let outcome = match command {
        EmbeddedCommand::Broker(options) => broker::run(&options, &announcer, stop).await,
        EmbeddedCommand::Registry(options) => registry::run(&options, &announcer, stop).await,
        EmbeddedCommand::ClickHouse(options) => clickhouse::run(&options, &announcer, stop).await,
    };
    outcome.map_err(|error| cannot_run(supervised, &error))
}

/// Says why a part cannot run: to the supervisor, which is the one to tell it, or to the person at the terminal.
fn cannot_run(supervised: bool, error: &EmbeddedError) -> CommandError {
    Announcer::new(supervised).failed(error);
    if supervised { CommandError::announced() } else { CommandError::failed(error.to_string()) }
}

fn supervised(command: &EmbeddedCommand) -> bool {
    let SupervisedOption { supervised } = match command {
        EmbeddedCommand::Broker(options) => options.supervised,
        EmbeddedCommand::Registry(options) => options.supervised,
        EmbeddedCommand::ClickHouse(options) => options.supervised,
    };
    supervised
}
