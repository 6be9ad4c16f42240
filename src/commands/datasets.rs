//! `roundhouse datasets`: works on the files of datasets.

mod check;
mod list;
mod new;
mod sample;

use std::ffi::OsString;
use std::process::ExitCode;

use super::CommandError;
use crate::settings::DatasetsCommand;

pub(super) async fn run(command: DatasetsCommand, log: &[OsString]) -> Result<ExitCode, CommandError> {
    match command {
        DatasetsCommand::List(options) => list::run(&options).map(|()| ExitCode::SUCCESS),
        DatasetsCommand::Check(options) => check::run(options, log).await,
        DatasetsCommand::New(options) => new::run(&options).map(|()| ExitCode::SUCCESS),
    }
}
