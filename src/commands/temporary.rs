//! A server for the length of a command, in a temporary directory and on free ports.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;

use super::{CommandError, usage};
use crate::settings::{Cli, Command, EngineOptions, ServeOptions};

/// Reads a command line of this program.
///
/// # Errors
/// It is not one.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, CommandError> {
    let cli = Cli::try_parse_from(arguments);
    Ok(cli.map_err(|error| CommandError::usage(usage::line(error, &[])))?.command)
}

/// Returns the options of `serve` with free ports and its own directory.
///
/// # Errors
/// An option cannot be used.
pub(super) fn serve_options(engine: &EngineOptions, directory: &Path) -> Result<ServeOptions, CommandError> {
    let any = "127.0.0.1:0";
    let arguments = [
        ("--listen", any),
        ("--embedded-kafka-listen", any),
        ("--embedded-registry-listen", any),
        ("--embedded-clickhouse-listen", any),
    ];
    let arguments = arguments.into_iter().flat_map(|(option, value)| [option, value]);
    let arguments = ["roundhouse", "serve"].into_iter().chain(arguments).map(OsString::from);
    match parse(arguments)? {
        Command::Serve(mut serve) => {
            // The environment may have these for another server.
            (serve.api_keys, serve.ready_file) = (Vec::new(), None);
            serve.data_dir = directory.to_owned();
            serve.engine = engine.clone();
            Ok(*serve)
        }
        _ => Err(CommandError::failed("the command cannot build the options of its server")),
    }
}
