//! Reports one upload to the ledger, while it is under way and when it has ended.

use std::sync::Arc;
use std::time::Instant;

use super::error::UploadError;
use super::ledger::Ledger;
use super::producing::Producing;
use super::tally::Tally;
use crate::ingest::rows::RowReader;
use crate::warehouse::uploads::{LedgerRow, LedgerState};

/// Longest file name, in characters; the rest is cut off.
const MAX_FILE_NAME: usize = 255;

/// The row of one upload.
pub struct Record {
    pub row: LedgerRow,
    /// None: the upload is not recorded.
    ledger: Option<Arc<Ledger>>,
    started: Instant,
}

impl Record {
    /// Records that an upload begins; `started`: when its first byte arrived.
    pub fn begin(mut row: LedgerRow, ledger: Option<Arc<Ledger>>, started: Instant) -> Self {
        row.file_name = row.file_name.chars().take(MAX_FILE_NAME).collect();
        row.started_at = chrono::Utc::now().timestamp_millis();
        row.state = LedgerState::Receiving;
        let mut record = Self { row, ledger, started };
        record.note();
        record
    }

    /// Takes over what the reader knows of the file once its header is read.
    pub fn see_header(&mut self, reader: &RowReader) {
        if let Some(encoding) = reader.encoding()
            && self.row.encoding.is_empty()
        {
            encoding.clone_into(&mut self.row.encoding);
        }
        if let Some(format) = reader.format()
            && self.row.format.is_empty()
        {
            format.name().clone_into(&mut self.row.format);
        }
        if let Some(header) = reader.header()
            && self.row.delimiter.is_empty()
        {
            self.row.delimiter = char::from(header.delimiter).to_string();
            self.row.header.clone_from(&header.line);
        }
        self.row.has_delimited_rows = reader.has_delimited_rows();
        if let Some(later) = reader.later_headers()
            && *later != self.row.later_headers
        {
            self.row.later_headers.clone_from(later);
        }
    }

    /// Records the progress of the upload.
    pub fn see(&mut self, bytes: u64, tally: &Tally, output: Option<&Producing>) {
        self.row.bytes = bytes;
        self.see_all(tally, output);
        self.note();
    }

    /// Records how the upload ended.
    pub fn end(&mut self, sha256: Result<String, &UploadError>, tally: &Tally, output: Option<&Producing>) {
        self.see_all(tally, output);
        match sha256 {
            Ok(sha256) => {
                self.row.sha256 = sha256;
                self.row.state = LedgerState::Acknowledged;
            }
            Err(error) => {
                error.code().clone_into(&mut self.row.failure_code);
                self.row.reason = error.to_string();
                self.row.state = LedgerState::Failed;
            }
        }
        self.note();
    }

    fn see_all(&mut self, tally: &Tally, output: Option<&Producing>) {
        self.row.rows = tally.rows();
        self.row.accepted = tally.accepted;
        self.row.rejected = tally.rejected;
        let by_code = tally.by_code.iter().map(|(code, count)| ((*code).to_owned(), *count));
        self.row.rejects_by_code = by_code.collect();
        if let Some(output) = output {
            self.row.acknowledged = output.acknowledged();
            (self.row.offsets, self.row.dead_letter_offsets) = output.offsets();
        }
    }

    fn note(&mut self) {
        self.row.seconds = self.started.elapsed().as_secs_f64();
        if let Some(ledger) = &self.ledger {
            ledger.note(&mut self.row);
        }
    }
}
