//! Retries rejected lines: each is validated again, by itself, with the rules of today; valid ones are produced as an
//! upload of their own.
//!
//! A round keeps the line number that it had in its file. Lines are marked as done after the broker has their rows. So an interrupted
//! replay is simply repeated, and each round still counts once.

use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use roaring::RoaringTreemap;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::corrected::CorrectedReader;
use super::error::{UploadError, UploadFailure};
use super::feed;
use super::job::Finished;
use super::one_line::{Checked, LineReader};
use super::producers::Producer;
use super::producing::Producing;
use super::record::Record;
use super::tally::Tally;
use super::{LEDGER_PATIENCE, PIECES_IN_FLIGHT, UploadOptions, Uploader};
use crate::domain::columns::Source as ColumnSource;
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::value::Value;
use crate::ingest::column_names::ColumnNames;
use crate::ingest::header::{Header, Naming};
use crate::ingest::row_ends::RowEnds;
use crate::ingest::rows::{ReadOptions, Reject, Row, shown};
use crate::warehouse::client::Warehouse;
use crate::warehouse::later_headers::LaterHeaders;
use crate::warehouse::rejects::{self, Rejected};
use crate::warehouse::uploads::LedgerRow;

/// Lines, or pieces of a file, between two notes of how far a replay has come.
const LINES_OF_A_NOTE: u64 = 100;

/// What came of a replay.
#[derive(Debug)]
pub struct Replayed {
    pub finished: Finished,
    /// Lines that are no longer open.
    pub lines: u64,
}

/// What came of the lines, with those that the broker has.
type Ended = Result<(Finished, Vec<u64>), UploadFailure>;

/// What the feeder hands over.
enum Piece {
    /// A rejected line of the upload.
    Line { line: u64, raw: String },
    /// All of them were handed over.
    LinesEnd,
    /// A file of corrected lines; or why there are no more lines.
    File(feed::Piece),
}

impl From<feed::Piece> for Piece {
    fn from(piece: feed::Piece) -> Self {
        Self::File(piece)
    }
}

impl Uploader {
    /// Produces an upload's open rejects that are valid now, or with a `body` the corrected lines in it, which say in a column
    /// `reject_line` which rejects they are. `code`: only rejects with this one; `decimal`: the mark of their amounts, if it is not
    /// that of the upload.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn replay<S, E>(
        &self,
        warehouse: &Warehouse,
        upload: &LedgerRow,
        code: Option<&str>,
        decimal: Option<DecimalMark>,
        body: Option<S>,
    ) -> Result<Replayed, UploadFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let early = |error: UploadError| UploadFailure::early(error, 0);
        let mut source = body.map(|body| self.source(body));
        if let Some(source) = &mut source {
            source.head().await.map_err(early)?;
        }
        let slot = self.slot(source.as_ref().map(|source| source.pace().clone())).await.map_err(early)?;
        self.storage.disk.check().map_err(|full| early(full.into()))?;
        self.check_ledger()?;
        self.probe.check().await.map_err(early)?;
        let open = match &source {
            Some(_) => rejects::open_lines(warehouse, upload.upload_id, code).await,
            None => Ok(Vec::new()),
        };
        let open = open.map_err(|error| early(error.into()))?.into_iter().collect();
        let replay_id = Uuid::now_v7();
        let job = self.replay_job(replay_id, upload, open, decimal).map_err(early)?;
        let (pieces, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let job = self.spawn(slot, move || job.run(receiver));
        match &mut source {
            Some(source) => source.feed(&pieces).await,
            None => {
                let rejected = Rejected { upload_id: upload.upload_id, code, replayed: false };
                feed_lines(warehouse, &rejected, &pieces).await;
            }
        }
        drop(pieces);
        let (finished, lines) =
            job.await.unwrap_or_else(|error| Err(early(UploadError::Internal(error.to_string()))))?;
        let marked = rejects::mark_replayed(warehouse, upload.upload_id, replay_id, &lines).await;
        marked.map_err(|error| early(error.into()))?;
        if !self.ledger.is_safe(replay_id, LEDGER_PATIENCE).await {
            return Err(early(UploadError::NotSaved));
        }
        Ok(Replayed { finished, lines: lines.len() as u64 })
    }

    fn replay_job(
        &self,
        replay_id: Uuid,
        upload: &LedgerRow,
        open: RoaringTreemap,
        decimal: Option<DecimalMark>,
    ) -> Result<ReplayJob, UploadError> {
        let columns = self.destination.columns.clone();
        let decimal = decimal.or(DecimalMark::of_name(&upload.decimal)).unwrap_or(DecimalMark::Point);
        let row = LedgerRow {
            upload_id: replay_id,
            replay_of: Some(upload.upload_id),
            file_name: upload.file_name.clone(),
            encoding: upload.encoding.clone(),
            delimiter: upload.delimiter.clone(),
            header: upload.header.clone(),
            later_headers: upload.later_headers.clone(),
            decimal: decimal.name().to_owned(),
            columns: upload.columns.clone(),
            has_delimited_rows: upload.has_delimited_rows,
            schema_id: self.destination.schema_id,
            topic: self.destination.topic.clone(),
            ..LedgerRow::default()
        };
        let names = ColumnNames::stored(&upload.columns);
        let delimiter = upload.delimiter.bytes().next().unwrap_or(b',');
        let naming = Naming { columns: &columns, names: &names };
        let header = match upload.header.as_str() {
            "" => None,
            line => Some(Header::stored(line, delimiter, naming)?),
        };
        let ends = if upload.has_delimited_rows { RowEnds::Delimited } else { RowEnds::Bare };
        let options =
            ReadOptions { decimal: Some(decimal), columns: names.clone(), ..ReadOptions::default() };
        let mut limits = self.row_limits(&UploadOptions::default());
        // They are open rejects already.
        limits.rejects = u64::MAX;
        Ok(ReplayJob {
            line_column: columns.iter().position(|column| column.source == ColumnSource::Line),
            reader: LineReader::new(
                columns.clone(),
                header,
                ends,
                self.limits.max_line_bytes,
                replay_id,
                options,
            ),
            corrected: CorrectedReader::new(columns, names, self.limits.max_line_bytes),
            open,
            tally: Tally::new(limits),
            output: self.producing(replay_id, false)?,
            record: Record::begin(row, Some(self.ledger.clone()), Instant::now()),
            bytes: 0,
            done: Vec::new(),
        })
    }
}

/// The thread that works on a replay.
struct ReplayJob {
    reader: LineReader,
    corrected: CorrectedReader,
    /// Which lines a corrected one may be.
    open: RoaringTreemap,
    /// Index of the column that holds a row's line.
    line_column: Option<usize>,
    tally: Tally,
    output: Producing,
    record: Record,
    bytes: u64,
    /// Lines that were produced.
    done: Vec<u64>,
}

impl ReplayJob {
    /// Works until the lines end, and waits for all acknowledgements. Returns the lines that the broker has. Blocks.
    fn run(mut self, mut pieces: mpsc::Receiver<Piece>) -> (Ended, Option<Producer>) {
        let read = self.read(&mut pieces);
        drop(pieces);
        let delivered = self.output.finish(read.as_ref().err());
        let is_empty = matches!(delivered, Ok(true));
        let ended = read.and_then(|sha256| delivered.map(|_| sha256));
        self.record.end(ended.as_ref().map(Clone::clone), &self.tally, Some(&self.output));
        let row = self.record.row;
        let outcome = match ended {
            Ok(_) => Ok((Finished { row, rejects: self.tally.shown }, self.done)),
            Err(error) => Err(UploadFailure::ended(error, row, self.tally.shown)),
        };
        (outcome, is_empty.then(|| self.output.into_producer()))
    }

    /// Returns the digest of a file of corrected lines.
    fn read(&mut self, pieces: &mut mpsc::Receiver<Piece>) -> Result<String, UploadError> {
        let mut lines = 0_u64;
        while let Some(piece) = pieces.blocking_recv() {
            match piece {
                Piece::Line { line, raw } => {
                    self.bytes += raw.len() as u64;
                    let row = &self.record.row;
                    self.reader.set_stored_header(row.later_headers.header_of(line, &row.header))?;
                    self.take(Some(line), line, &raw)?;
                }
                Piece::LinesEnd => return Ok(String::new()),
                Piece::File(feed::Piece::Bytes(bytes)) => {
                    self.bytes += bytes.len() as u64;
                    self.corrected.push(&bytes);
                    self.take_corrected(false)?;
                }
                Piece::File(feed::Piece::End { sha256 }) => {
                    self.take_corrected(true)?;
                    return Ok(sha256);
                }
                Piece::File(feed::Piece::Broken(error)) => return Err(error),
            }
            lines += 1;
            if lines.is_multiple_of(LINES_OF_A_NOTE) {
                self.output.check_disk()?;
                self.record.see(self.bytes, &self.tally, Some(&self.output));
            }
        }
        Err(UploadError::BrokenOff { reason: "the sender went away".to_owned() })
    }

    fn take_corrected(&mut self, last: bool) -> Result<(), UploadError> {
        while let Some(corrected) = self.corrected.next(last)? {
            if let Some(header) = corrected.header {
                self.record.row.header.clone_from(&header.line);
                self.record.row.delimiter = char::from(header.delimiter).to_string();
                self.record.row.later_headers = LaterHeaders::default();
                self.reader.set_header(header);
                continue;
            }
            self.reader.set_ends(corrected.ends);
            let open = corrected.reject_line.filter(|line| self.open.contains(*line));
            self.take(open, corrected.line, &corrected.raw)?;
        }
        Ok(())
    }

    /// Takes a line; `reject_line`: which open reject it is; `shown_line`: its number where it is read now.
    fn take(&mut self, reject_line: Option<u64>, shown_line: u64, raw: &str) -> Result<(), UploadError> {
        self.tally.check_rows()?;
        let Some(line) = reject_line else {
            return self.tally.reject(no_open_reject(shown_line, raw));
        };
        match self.reader.read(raw)? {
            Checked::Valid { mut values, buffer } => {
                if let Some(at) = self.line_column
                    && let Some(value) = values.get_mut(at)
                {
                    *value = Value::Long(line.cast_signed());
                }
                self.output.accept(Row { line, values: &values, buffer: &buffer })?;
                self.open.remove(line);
                self.done.push(line);
                self.tally.accept()
            }
            Checked::Rejected(mut reject) => {
                reject.line = shown_line;
                reject.byte_offset = 0;
                self.tally.reject(*reject)
            }
        }
    }
}

fn no_open_reject(line: u64, raw: &str) -> Reject {
    Reject {
        line,
        byte_offset: 0,
        column: "reject_line".to_owned(),
        code: "no_open_reject",
        reason: "this is not the line of a reject of this upload that is still open".to_owned(),
        value: shown(raw.as_bytes()),
    }
}

async fn feed_lines(warehouse: &Warehouse, rejected: &Rejected<'_>, pieces: &mpsc::Sender<Piece>) {
    let mut cursor = match rejects::fetch(warehouse, rejected, u64::MAX) {
        Ok(cursor) => cursor,
        // The thread has ended if it does not take this.
        Err(error) => return drop(pieces.send(feed::Piece::Broken(error.into()).into()).await),
    };
    loop {
        let (piece, is_last) = match cursor.next().await {
            Ok(Some(row)) => (Piece::Line { line: row.line, raw: row.raw }, false),
            Ok(None) => (Piece::LinesEnd, true),
            Err(error) => (feed::Piece::Broken(UploadError::Warehouse(error.into())).into(), true),
        };
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}
