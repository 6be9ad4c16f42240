//! Checks the encoding and the header of a file while it arrives, as an upload does.

use std::sync::Arc;

use crate::domain::columns::Columns;
use crate::ingest::FileError;
use crate::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError};

/// Reads a file's first bytes until its header is known.
#[derive(Debug)]
pub(super) struct Opening {
    /// None once the header is known.
    reader: Option<RowReader>,
}

impl Opening {
    pub(super) fn new(columns: Arc<Columns>, options: ReadOptions, max_line_bytes: usize) -> Self {
        Self { reader: Some(RowReader::new(columns, options, max_line_bytes)) }
    }

    /// Reads the next bytes. `last` says that no more will come.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn see(&mut self, bytes: &[u8], last: bool) -> Result<(), FileError> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        if let Err(RowsError::File(error)) = reader.push(bytes, last, &mut UntilRow) {
            return Err(error);
        }
        if reader.header().is_some() || reader.is_json() {
            self.reader = None;
        }
        Ok(())
    }
}

/// Stops at the first row. The lines before it are enough.
struct UntilRow;

impl RowSink for UntilRow {
    type Error = ();

    fn accept(&mut self, _: Row<'_>) -> Result<(), ()> {
        Err(())
    }

    fn reject(&mut self, _: Reject, _: &str) -> Result<(), ()> {
        Err(())
    }
}
