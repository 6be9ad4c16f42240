//! `roundhouse generate`: writes a file of invented game rounds.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use super::{CommandError, table};
use crate::counted::counted;
use crate::generate::{self, GenerateError};
use crate::settings::GenerateOptions;

/// Standard output, as a file.
const STDOUT: &str = "-";

pub(super) fn run(options: &GenerateOptions) -> Result<(), CommandError> {
    write(options)?;
    if options.output != Path::new(STDOUT) {
        let rows = counted(options.rows, "row");
        table::print_note(format_args!("{rows} written to {}", options.output.display()));
    }
    Ok(())
}

/// Writes the file.
pub(super) fn write(options: &GenerateOptions) -> Result<(), CommandError> {
    generate::check(options).map_err(|error| CommandError::usage(error.to_string()))?;
    let path = options.output.as_path();
    let outcome = if path == Path::new(STDOUT) {
        generate::write_file(options, io::stdout().lock())
    } else {
        let file = File::create(path).map_err(GenerateError::from);
        file.and_then(|file| generate::write_file(options, BufWriter::with_capacity(1 << 20, file)))
    };
    outcome.map_err(|error| match error {
        GenerateError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => table::broken_pipe(),
        error => CommandError::failed(format!("cannot write {}: {error}", path.display())),
    })
}
