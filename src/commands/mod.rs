//! The commands, one file each. Only they know how the parts of the program are put together.

mod aggregates;
mod check;
mod client;
mod connect;
mod data_directory;
mod datasets;
mod demo;
mod dlq;
mod embedded;
mod endpoints;
mod generate;
mod parts;
mod query;
mod ready_file;
mod reconcile;
mod rejects;
mod selection;
mod serve;
mod served;
mod services;
mod status;
mod table;
mod temporary;
mod upload;
mod uploads;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};

use crate::settings::{Cli, Command, DatasetsCommand, LogFormat, query_arguments, without_password};
use crate::telemetry;
use roundhouse_part::private;

/// Exit code of a wrong option or argument.
const EXIT_USAGE: u8 = 2;

/// Reads the command line and runs the command. An error is printed as one line on standard error.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(query_arguments(std::env::args_os().collect())) {
        Ok(cli) => cli,
        Err(error) => return usage(error),
    };
    if matches!(cli.command, Command::Embedded(_))
        && let Err(error) = embedded::take_streams()
    {
        return end(error);
    }
    // The other commands write files for the person at the terminal, with the usual permissions.
    let has_server = matches!(
        cli.command,
        Command::Serve(_)
            | Command::Demo(_)
            | Command::Embedded(_)
            | Command::Datasets(DatasetsCommand::Check(_))
    );
    if has_server {
        private::set_umask();
    }
    let (level, format) = cli.log();
    if let Err(error) = telemetry::start(format, level) {
        return fail(&error, EXIT_USAGE);
    }
    let log = log_arguments(level, format);
    // The runtime starts threads, and only threads that start later are in the sandbox.
    if let Command::Embedded(command) = &cli.command
        && let Err(error) = embedded::enter_sandbox(command)
    {
        return end(error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}"), 1),
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(options) => serve::run(*options, &log).await.map(|()| ExitCode::SUCCESS),
            Command::Demo(options) => demo::run(options, &log).await.map(|()| ExitCode::SUCCESS),
            Command::Embedded(command) => embedded::run(command).await.map(|()| ExitCode::SUCCESS),
            Command::Generate(arguments) => generate::run(arguments).map(|()| ExitCode::SUCCESS),
            Command::Dlq(command) => dlq::run(command).await.map(|()| ExitCode::SUCCESS),
            Command::Upload(options) => upload::run(options).await,
            Command::Reconcile(options) => reconcile::run(options).await,
            Command::Aggregates(options) => aggregates::run(options).await.map(|()| ExitCode::SUCCESS),
            Command::Query(options) => query::run(options).await.map(|()| ExitCode::SUCCESS),
            Command::Datasets(command) => datasets::run(command, &log).await,
            Command::Check(options) => check::run(options).await,
            Command::Uploads(options) => uploads::run(options).await.map(|()| ExitCode::SUCCESS),
            Command::Rejects(options) => rejects::rejects(options).await.map(|()| ExitCode::SUCCESS),
            Command::Conflicts(options) => rejects::conflicts(options).await.map(|()| ExitCode::SUCCESS),
            Command::Status(options) => status::run(options).await,
        }
    });
    // Blocking work that still runs (a query of the engine, a file read) must not delay the exit.
    runtime.shutdown_background();
    outcome.unwrap_or_else(end)
}

fn end(error: CommandError) -> ExitCode {
    match error {
        CommandError { message: Some(message), exit_code } => fail(&message, exit_code),
        CommandError { message: None, exit_code } => ExitCode::from(exit_code),
    }
}

/// Returns the log options for the processes that this one starts.
fn log_arguments(level: &str, format: LogFormat) -> Vec<OsString> {
    let format = format.to_possible_value().map(|value| value.get_name().to_owned());
    ["--log".to_owned(), level.to_owned(), "--log-format".to_owned(), format.unwrap_or_default()]
        .map(OsString::from)
        .into()
}

/// Why a command failed: one line for the user, which says what to do, and the exit code.
#[derive(Debug)]
pub struct CommandError {
    /// None if it was printed already, or sent to the supervisor.
    message: Option<String>,
    exit_code: u8,
}

impl CommandError {
    /// An option has an unusable value: exit code 2.
    fn usage(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), exit_code: EXIT_USAGE }
    }

    /// The work failed: exit code 1.
    fn failed(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), exit_code: 1 }
    }

    /// A client of a server could not do its work: exit code 2. (1 means that it did, and that the result is negative.)
    fn of_client(error: impl std::fmt::Display) -> Self {
        Self { message: Some(error.to_string()), exit_code: client::EXIT_FAILURE }
    }

    /// The work failed, and the cause was reported elsewhere: exit code 1.
    fn announced() -> Self {
        Self { message: None, exit_code: 1 }
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    table::print_error(without_password(message));
    ExitCode::from(code)
}

/// Prints help and version in full, and an error as one line.
fn usage(error: clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => {
            let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
            fail(&usage::line(error, &arguments.collect::<Vec<_>>()), EXIT_USAGE)
        }
    }
}
