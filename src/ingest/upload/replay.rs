//! Retries rejected lines: each is validated again, by itself, with the rules of today; valid ones are produced as an
//! upload of their own.
//!
//! A round keeps the line number that it had in its file. Lines are marked as done after the broker has their rows. So an interrupted
//! replay is simply repeated, and each round still counts once.

use std::time::Instant;

use bytes::Bytes;
use clickhouse::query::RowCursor;
use futures_util::Stream;
use roaring::RoaringTreemap;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::corrected::{CorrectedReader, REJECT_LINE};
use super::error::{UploadError, UploadFailure};
use super::feed;
use super::job::{self, Finished};
use super::one_line::{Checked, LineReader};
use super::producers::Producer;
use super::producing::Producing;
use super::record::Record;
use super::tally::Tally;
use super::{LEDGER_PATIENCE, PIECES_IN_FLIGHT, UploadOptions, Uploader};
use crate::domain::columns::Source as ColumnSource;
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::TimeZone;
use crate::domain::value::Value;
use crate::ingest::column_names::{ColumnNames, Naming};
use crate::ingest::format::FileFormat;
use crate::ingest::header::Header;
use crate::ingest::records::shown;
use crate::ingest::row_ends::RowEnds;
use crate::ingest::rows::{Fault, ReadOptions, Reject, Row};
use crate::warehouse::client::{Warehouse, WarehouseError};
use crate::warehouse::later_headers::LaterHeaders;
use crate::warehouse::rejects::{self, RejectRow, Rejected};
use crate::warehouse::uploads::LedgerRow;

/// Number of lines, or pieces of a file, between two records of the progress.
const LINES_OF_A_NOTE: u64 = 100;

/// The result of a replay.
#[derive(Debug)]
pub struct Replayed {
    pub finished: Finished,
    /// Number of lines that are no longer open.
    pub lines: u64,
}

/// The result of the lines, with those that the broker has.
type Ended = Result<(Finished, Vec<u64>), UploadFailure>;

/// A message from the feeder.
enum Piece {
    /// A rejected line of the upload.
    Line { line: u64, raw: String },
    /// There are no more lines.
    LinesEnd,
    /// A file of corrected lines; or the reason why there are no more lines.
    File(feed::Piece),
}

impl From<feed::Piece> for Piece {
    fn from(piece: feed::Piece) -> Self {
        Self::File(piece)
    }
}

impl Uploader {
    /// Produces an upload's open rejects that are valid now, or with a `body` the corrected lines in it. Returns None if there is no body
    /// and no open reject: then there is no replay. Corrected lines name their reject in a column
    /// `reject_line`. `code`: only rejects that have a fault with this code; `read`: how to read the lines, where that is not as the
    /// upload was read. Its encoding does not count: rejected lines are stored in UTF-8, and that of a body is found.
    ///
    /// # Errors
    /// See [`UploadError`].
    pub async fn replay<S, E>(
        &self,
        warehouse: &Warehouse,
        upload: &LedgerRow,
        code: Option<&str>,
        read: ReadOptions,
        body: Option<S>,
    ) -> Result<Option<Replayed>, UploadFailure>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin + Send,
        E: std::fmt::Display,
    {
        let early = |error: UploadError| UploadFailure::early(error, 0);
        let mut source = body.map(|body| self.source(body));
        if let Some(source) = &mut source {
            source.head().await.map_err(early)?;
        }
        let mut lines = None;
        if source.is_none() {
            let rejected = Rejected { upload_id: upload.upload_id, code, replayed: false };
            let open = OpenLines::begin(warehouse, &rejected).await.map_err(|error| early(error.into()))?;
            let Some(open) = open else { return Ok(None) };
            lines = Some(open);
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
        let job = self.replay_job(replay_id, upload, open, read).map_err(early)?;
        let (pieces, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let job = self.spawn(slot, move || job.run(receiver));
        if let Some(source) = &mut source {
            source.feed(&pieces).await;
        } else if let Some(lines) = lines {
            lines.feed(&pieces).await;
        }
        drop(pieces);
        let (finished, lines) =
            job.await.unwrap_or_else(|error| Err(early(UploadError::Internal(error.to_string()))))?;
        let marked = rejects::mark_replayed(warehouse, upload.upload_id, replay_id, &lines).await;
        marked.map_err(|error| early(error.into()))?;
        if !self.ledger.is_safe(replay_id, LEDGER_PATIENCE).await {
            return Err(early(UploadError::NotSaved));
        }
        Ok(Some(Replayed { finished, lines: lines.len() as u64 }))
    }

    fn replay_job(
        &self,
        replay_id: Uuid,
        upload: &LedgerRow,
        open: RoaringTreemap,
        read: ReadOptions,
    ) -> Result<ReplayJob, UploadError> {
        let columns = self.dataset().columns.clone();
        let decimal = read.decimal.or(DecimalMark::of_name(&upload.decimal)).unwrap_or(DecimalMark::Point);
        let time_zone = read.time_zone.or_else(|| TimeZone::of_name(&upload.timezone));
        let names = ColumnNames::stored(&upload.columns);
        let is_json = upload.format == FileFormat::Json.name();
        let options = ReadOptions {
            format: if is_json { FileFormat::JsonRow } else { FileFormat::Csv },
            encoding: None,
            decimal: Some(decimal),
            columns: names.clone(),
            time_zone,
        };
        let row = LedgerRow {
            upload_id: replay_id,
            dataset: self.dataset().name.clone(),
            replay_of: Some(upload.upload_id),
            file_name: upload.file_name.clone(),
            encoding: upload.encoding.clone(),
            format: upload.format.clone(),
            delimiter: upload.delimiter.clone(),
            header: upload.header.clone(),
            later_headers: upload.later_headers.clone(),
            decimal: options.decimal_name().to_owned(),
            columns: upload.columns.clone(),
            has_delimited_rows: upload.has_delimited_rows,
            timezone: options.time_zone_name().to_owned(),
            schema_id: self.destination.schema_id,
            topic: self.topic().to_owned(),
            ..LedgerRow::default()
        };
        let delimiter = upload.delimiter.bytes().next().unwrap_or(b',');
        let naming = Naming { columns: &columns, names: &names };
        let header = match upload.header.as_str() {
            "" => None,
            line => Some(Header::stored(line, delimiter, naming)?),
        };
        let ends = if upload.has_delimited_rows { RowEnds::Delimited } else { RowEnds::Bare };
        let mut limits = self.row_limits(&UploadOptions::default());
        // These lines are rejects already.
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
            corrected: CorrectedReader::new(
                columns,
                names,
                is_json,
                read.encoding,
                self.limits.max_line_bytes,
            ),
            open,
            tally: Tally::new(limits),
            output: self.producing(Some(replay_id), false)?,
            record: Record::begin(row, Some(self.ledger.clone()), Instant::now()),
            bytes: 0,
            done: Vec::new(),
        })
    }
}

/// The thread of a replay.
struct ReplayJob {
    reader: LineReader,
    corrected: CorrectedReader,
    /// The lines that may be corrected.
    open: RoaringTreemap,
    /// Index of the column that holds a row's line.
    line_column: Option<usize>,
    tally: Tally,
    output: Producing,
    record: Record,
    bytes: u64,
    /// Produced lines.
    done: Vec<u64>,
}

impl ReplayJob {
    /// Reads until the lines end, and waits for all acknowledgements. Returns the lines that the broker has. Blocks.
    fn run(mut self, mut pieces: mpsc::Receiver<Piece>) -> (Ended, Option<Producer>) {
        let read = self.read(&mut pieces);
        drop(pieces);
        let (ended, producer) = job::end(read, self.tally, Some(self.output), self.record);
        (ended.map(|finished| (finished, self.done)), producer)
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
        Err(UploadError::BrokenOff { reason: "the sender disconnected".to_owned() })
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

    /// Handles a line; `reject_line`: the open reject that it is; `shown_line`: its number in the file that is read now.
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
    let fault = Fault {
        column: REJECT_LINE.to_owned(),
        code: "no_open_reject",
        reason: "reject_line is not the line of an open reject of this upload; download its rejects again"
            .to_owned(),
        value: shown(raw.as_bytes()),
        pointer: None,
    };
    Reject::of(line, fault)
}

/// The open rejects of an upload; at least one.
struct OpenLines {
    first: RejectRow,
    others: RowCursor<RejectRow>,
}

impl OpenLines {
    /// Fetches the first one. None if there is none.
    async fn begin(warehouse: &Warehouse, rejected: &Rejected<'_>) -> Result<Option<Self>, WarehouseError> {
        let mut others = rejects::fetch(warehouse, rejected, u64::MAX)?;
        Ok(others.next().await?.map(|first| Self { first, others }))
    }

    async fn feed(mut self, pieces: &mpsc::Sender<Piece>) {
        let mut next = Ok(Some(self.first));
        loop {
            let (piece, is_last) = match next {
                Ok(Some(row)) => (Piece::Line { line: row.line, raw: row.raw }, false),
                Ok(None) => (Piece::LinesEnd, true),
                Err(error) => (feed::Piece::Broken(UploadError::Warehouse(error)).into(), true),
            };
            // If it cannot be sent, the thread has ended.
            if pieces.send(piece).await.is_err() || is_last {
                return;
            }
            next = self.others.next().await.map_err(WarehouseError::from);
        }
    }
}
