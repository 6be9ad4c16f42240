//! The thread that reads the rows of a file and produces them.

use tokio::sync::mpsc;

use super::error::{UploadError, UploadFailure};
use super::feed::Piece;
use super::producers::Producer;
use super::producing::Producing;
use super::record::Record;
use super::tally::Tally;
use crate::ingest::rows::{Reject, Row, RowReader, RowSink, RowsError};
use crate::warehouse::uploads::LedgerRow;

/// A file that was read to its end: the broker has every row, or the file was only validated.
#[derive(Debug)]
pub struct Finished {
    pub row: LedgerRow,
    /// The first rejects.
    pub rejects: Vec<Reject>,
}

/// The upload of one file.
pub struct Job {
    reader: RowReader,
    sink: Sink,
    record: Record,
    bytes: u64,
}

/// Waits for all acknowledgements, also if reading stopped early, and records the result in the ledger. Returns the producer unless it may
/// still hold records. `read`: the digest of the file, or why reading stopped. Blocks.
pub(super) fn end(
    read: Result<String, UploadError>,
    tally: Tally,
    output: Option<Producing>,
    mut record: Record,
) -> (Result<Finished, UploadFailure>, Option<Producer>) {
    let delivered = output.as_ref().map_or(Ok(true), |output| output.finish(read.as_ref().err()));
    let is_empty = matches!(delivered, Ok(true));
    let ended = read.and_then(|sha256| delivered.map(|_| sha256));
    record.end(ended.as_ref().map(Clone::clone), &tally, output.as_ref());
    let row = record.row;
    let producer = output.filter(|_| is_empty).map(Producing::into_producer);
    let result = match ended {
        Ok(_) => Ok(Finished { row, rejects: tally.shown }),
        Err(error) => Err(UploadFailure::ended(error, row, tally.shown)),
    };
    (result, producer)
}

impl Job {
    /// `output`: produces the rows; none if the file is only validated.
    pub fn new(reader: RowReader, tally: Tally, output: Option<Producing>, record: Record) -> Self {
        Self { reader, sink: Sink { tally, output }, record, bytes: 0 }
    }

    /// Reads and produces until the file ends, and waits for all acknowledgements, also if reading stops early. Records the result in the
    /// ledger. Returns the producer unless it may still hold records. Blocks.
    pub fn run(
        mut self,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> (Result<Finished, UploadFailure>, Option<Producer>) {
        let read = self.read(&mut pieces);
        drop(pieces);
        let Sink { tally, output } = self.sink;
        end(read, tally, output, self.record)
    }

    /// Returns the digest of the file.
    fn read(&mut self, pieces: &mut mpsc::Receiver<Piece>) -> Result<String, UploadError> {
        while let Some(piece) = pieces.blocking_recv() {
            match piece {
                Piece::Bytes(bytes) => {
                    self.bytes += bytes.len() as u64;
                    if let Some(output) = &self.sink.output {
                        output.check_disk()?;
                    }
                    self.push(&bytes, false)?;
                }
                Piece::End { sha256 } => {
                    self.push(&[], true)?;
                    self.sink.tally.check_share()?;
                    return Ok(sha256);
                }
                Piece::Broken(error) => return Err(error),
            }
        }
        Err(UploadError::BrokenOff { reason: "the sender disconnected".to_owned() })
    }

    fn push(&mut self, bytes: &[u8], last: bool) -> Result<(), UploadError> {
        let pushed = self.reader.push(bytes, last, &mut self.sink);
        self.record.see_header(&self.reader);
        self.record.see(self.bytes, &self.sink.tally, self.sink.output.as_ref());
        pushed.map_err(|error| match error {
            RowsError::File(error) => UploadError::File(error),
            RowsError::Sink(error) => error,
        })
    }
}

/// Counts rows, and produces them unless the file is only validated.
struct Sink {
    tally: Tally,
    output: Option<Producing>,
}

impl RowSink for Sink {
    type Error = UploadError;

    fn accept(&mut self, row: Row<'_>) -> Result<(), UploadError> {
        self.tally.check_rows()?;
        if let Some(output) = &mut self.output {
            output.accept(row)?;
        }
        self.tally.accept()
    }

    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), UploadError> {
        self.tally.check_rows()?;
        if let Some(output) = &mut self.output {
            output.reject(&reject, raw)?;
        }
        self.tally.reject(reject)
    }
}
