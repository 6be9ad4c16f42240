//! `roundhouse embedded …`: one embedded part, alone or under the supervisor of `serve`.

use tokio_util::sync::CancellationToken;

use super::CommandError;
use crate::embedded::part::{self, Announcer};
use crate::embedded::{broker, clickhouse, registry};
use crate::settings::{EmbeddedCommand, SupervisedOption};

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
    outcome.map_err(|error| {
        announcer.failed(&error);
        // The supervisor has the reason now, and is the one to tell it.
        if supervised { CommandError::announced() } else { CommandError::failed(error.to_string()) }
    })
}

fn supervised(command: &EmbeddedCommand) -> bool {
    let SupervisedOption { supervised } = match command {
        EmbeddedCommand::Broker(options) => options.supervised,
        EmbeddedCommand::Registry(options) => options.supervised,
        EmbeddedCommand::ClickHouse(options) => options.supervised,
    };
    supervised
}
