//! `roundhouse generate`: writes a file of invented rows.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use super::{CommandError, table};
use crate::counted::counted;
use crate::generate::{self, GenerateError};
use crate::settings::{GenerateArguments, GenerateCommand};

/// Standard output, as a file.
const STDOUT: &str = "-";

pub(super) fn run(arguments: GenerateArguments) -> Result<(), CommandError> {
    let command = command(arguments)?;
    let rows = write(&command)?;
    if command.output() != Path::new(STDOUT) {
        table::print_note(format_args!("{} written to {}", counted(rows, "row"), command.output().display()));
    }
    Ok(())
}

pub(super) fn command(arguments: GenerateArguments) -> Result<GenerateCommand, CommandError> {
    arguments
        .command()
        .ok_or_else(|| CommandError::usage("nothing to generate; see roundhouse generate --help"))
}

/// Writes the file. Returns the number of rows.
pub(super) fn write(command: &GenerateCommand) -> Result<u64, CommandError> {
    generate::check(command).map_err(|error| CommandError::usage(error.to_string()))?;
    let path = command.output();
    let outcome = if path == Path::new(STDOUT) {
        generate::write(command, io::stdout().lock())
    } else {
        let file = File::create(path).map_err(GenerateError::from);
        file.and_then(|file| generate::write(command, BufWriter::with_capacity(1 << 20, file)))
    };
    outcome.map_err(|error| match error {
        GenerateError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => table::broken_pipe(),
        error => CommandError::failed(format!("cannot write {}: {error}", path.display())),
    })
}
