//! Reads the first rows of a file by a guessed schema, as an upload does.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use super::GuessError;
use super::fields::MAX_ROW_BYTES;
use crate::domain::columns::Columns;
use crate::domain::decimal_mark::DecimalMark;
use crate::ingest::format::FileFormat;
use crate::ingest::reject::Reject;
use crate::ingest::rows::{ReadOptions, Row, RowReader, RowSink, RowsError};

/// Reasons that are kept.
const MAX_REASONS: usize = 5;

/// What an upload would reject.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// The columns of the faults.
    pub(super) columns: BTreeSet<String>,
    pub(super) rejected: u64,
    pub(super) reasons: Vec<String>,
}

impl RowSink for Faults {
    type Error = Infallible;

    fn accept(&mut self, _: Row<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn reject(&mut self, reject: Reject, _: &str) -> Result<(), Infallible> {
        self.rejected += 1;
        for fault in &reject.faults {
            self.columns.insert(fault.column.clone());
            if self.reasons.len() < MAX_REASONS {
                let column = if fault.column.is_empty() { "the row" } else { &fault.column };
                self.reasons.push(format!("line {}: {column}: {}", reject.line, fault.reason));
            }
        }
        Ok(())
    }
}

/// Finds what an upload would reject of the first bytes of a file.
///
/// # Errors
/// The schema cannot be used, or the file cannot be read.
pub(super) fn faults(
    schema: &str,
    head: &[u8],
    is_whole: bool,
    mark: DecimalMark,
) -> Result<Faults, GuessError> {
    let columns = Arc::new(Columns::parse(schema)?);
    let decimal = (mark == DecimalMark::Comma).then_some(mark);
    let options = ReadOptions { format: FileFormat::Any, decimal, ..ReadOptions::default() };
    let mut faults = Faults::default();
    match RowReader::new(columns, options, MAX_ROW_BYTES).push(head, is_whole, &mut faults) {
        Ok(()) => Ok(faults),
        Err(RowsError::File(error)) => Err(error.into()),
        Err(RowsError::Sink(never)) => match never {},
    }
}
