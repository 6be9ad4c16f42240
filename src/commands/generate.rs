//! `roundhouse generate`: writes a file of invented game rounds.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use super::{CommandError, table};
use crate::generate::{self, GenerateError};
use crate::settings::GenerateOptions;

pub(super) fn run(options: &GenerateOptions) -> Result<(), CommandError> {
    generate::check(options).map_err(|error| CommandError::usage(error.to_string()))?;
    let path = options.output.as_path();
    let outcome = if path == Path::new("-") {
        generate::write_file(options, io::stdout().lock())
    } else {
        let file = File::create(path).map_err(GenerateError::from);
        file.and_then(|file| generate::write_file(options, BufWriter::with_capacity(1 << 20, file)))
    };
    outcome.map_err(|error| match error {
        GenerateError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => table::broken_pipe(),
        error => CommandError::failed(format!("cannot write {}: {error}", path.display())),
    })?;
    tracing::info!(rows = options.rows, file = %path.display(), "written");
    Ok(())
}
