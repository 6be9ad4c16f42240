//! A file's bytes to its rows: decoded, split, mapped to columns and typed; each one accepted or rejected.

mod parser;

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use uuid::Uuid;

use crate::domain::columns::Columns;
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::{Clock, TimeZone};
use crate::domain::value::Value;
use crate::warehouse::later_headers::LaterHeaders;

pub use super::reject::{Fault, Reject};

use self::parser::{Parsed, RecordParser, refuse_other_encoding};
use super::FileError;
use super::column_names::{ColumnNames, Naming};
use super::decode::{SNIFF_BYTES, TextDecoder};
use super::filled::Filled;
use super::format::FileFormat;
use super::header::Header;
use super::json::{JsonReader, RowContext};
use super::later_headers::Headers;
use super::notation::Notation;
use super::offsets::LineOffsets;
use super::parts::{Step, Tail, may_end_in_noise, next_step};
use super::records::RecordReader;
use super::row_ends::{RowEnds, Undecided};

/// Least bytes that are read at once, except at the end. Smaller pieces are gathered, so that an unfinished line is not
/// read again for each of them. Enough to find the encoding.
const GATHERED_BYTES: usize = 4096;

const _: () = assert!(GATHERED_BYTES >= SNIFF_BYTES);

/// A valid row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Number of its line in the file, from 1.
    pub line: u64,
    /// One value per column of the schema.
    pub values: &'a [Value],
    /// The text whose ranges text values are.
    pub buffer: &'a [u8],
}

/// What the sender of a file says about reading it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    pub format: FileFormat,
    /// None: found from the bytes.
    pub encoding: Option<&'static Encoding>,
    /// The decimal mark of amounts. None: a point, and a file that shows a comma is refused.
    pub decimal: Option<DecimalMark>,
    /// Columns that the file calls by other names.
    pub columns: ColumnNames,
    /// The zone of times without one. None: UTC.
    pub time_zone: Option<TimeZone>,
}

impl ReadOptions {
    /// The decimal mark, as the ledger has it.
    pub fn decimal_name(&self) -> &'static str {
        self.decimal.map_or("", DecimalMark::name)
    }

    /// The time zone, as the ledger has it.
    pub fn time_zone_name(&self) -> &str {
        self.time_zone.as_ref().map_or("", TimeZone::name)
    }
}

/// Takes the rows of a file, one after the other. Rows that could be read in two ways come later than their place in the file: see
/// [`super::notation`] and [`super::row_ends`].
pub trait RowSink {
    type Error;

    /// Takes a valid row.
    fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error>;

    /// Takes a row that is not valid; `raw` is its whole text.
    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Self::Error>;
}

/// Why reading stopped: because of the file, or of the sink of its rows.
#[derive(Debug)]
pub enum RowsError<E> {
    File(FileError),
    Sink(E),
}

impl<E> From<FileError> for RowsError<E> {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Reads rows from bytes that arrive piece by piece. Memory is bounded by the line limit and the size of a piece.
#[derive(Debug)]
pub struct RowReader {
    columns: Arc<Columns>,
    options: ReadOptions,
    /// Bytes that wait for others: too few to be read, or possibly the start of a part in another encoding.
    gathered: Vec<u8>,
    text: Option<Text>,
    records: RecordReader,
    /// Reads the rows of a file that is JSON.
    json: Option<JsonReader>,
    headers: Option<Headers>,
    notation: Notation,
    undecided: Undecided,
    clock: Clock,
    filled: Filled,
    values: Vec<Value>,
}

/// The text of a file whose encoding is known.
#[derive(Debug)]
struct Text {
    /// The encoding of the file's first part.
    encoding: &'static str,
    /// Of the part that is being read.
    decoder: TextDecoder,
    offsets: LineOffsets,
    /// What the bytes so far end in.
    tail: Tail,
}

impl Text {
    fn new(decoder: TextDecoder) -> Self {
        Self {
            encoding: decoder.name(),
            offsets: LineOffsets::new(decoder.unit()),
            decoder,
            tail: Tail::START,
        }
    }

    /// Notes that the next part of the file begins.
    fn begin_part(&mut self, decoder: TextDecoder) {
        self.offsets.set_unit(decoder.unit());
        self.decoder = decoder;
        self.tail = Tail::START;
    }

    /// Notes that a piece was read. `unread`: text that was not read to its end, which begins in `line`.
    fn end_piece(&mut self, bytes: &[u8], unread: &[u8], line: u64) {
        self.offsets.end_piece(bytes, unread, line);
        self.tail = self.tail.after(bytes, self.decoder.unit());
    }
}

impl RowReader {
    /// `max_line_bytes`: of a line in UTF-8.
    pub fn new(columns: Arc<Columns>, options: ReadOptions, max_line_bytes: usize) -> Self {
        Self {
            notation: Notation::new(options.decimal),
            clock: Clock::of(options.time_zone.clone()),
            options,
            gathered: Vec::new(),
            text: None,
            records: RecordReader::new(b',', max_line_bytes),
            json: None,
            headers: None,
            undecided: Undecided::default(),
            filled: Filled::of(&columns),
            values: Vec::new(),
            columns,
        }
    }

    /// Reads UTF-8 rows of a file whose header is known; `ends`: how its rows end.
    #[must_use]
    pub fn after_header(mut self, header: Header, ends: RowEnds) -> Self {
        self.text = Some(Text::new(TextDecoder::new(UTF_8)));
        self.records.set_delimiter(header.delimiter);
        self.headers = Some(Headers::new(header, ends));
        self
    }

    /// Fills this id into the rows' columns for it.
    #[must_use]
    pub fn for_upload(mut self, id: Uuid) -> Self {
        self.filled.set_upload(id);
        self
    }

    /// The encoding's name, once it is known; of a joined file that of its first part.
    pub fn encoding(&self) -> Option<&'static str> {
        self.text.as_ref().map(|text| text.encoding)
    }

    /// Bytes that its buffers take.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let json = self.json.as_ref().map_or(0, JsonReader::capacity);
        self.gathered.capacity() + self.records.capacity() + json
    }

    /// Says whether the file is JSON, as far as it is known.
    pub fn is_json(&self) -> bool {
        self.json.is_some()
    }

    /// How the file's rows are written, once it is known.
    pub fn format(&self) -> Option<FileFormat> {
        match (&self.json, &self.headers) {
            (Some(_), _) => Some(FileFormat::Json),
            (None, Some(_)) => Some(FileFormat::Csv),
            (None, None) => None,
        }
    }

    /// The first header of a CSV file, once it is read.
    pub fn header(&self) -> Option<&Header> {
        self.headers.as_ref().and_then(|headers| headers.get(0))
    }

    /// The headers after it.
    pub fn later_headers(&self) -> Option<&LaterHeaders> {
        self.headers.as_ref().map(Headers::later)
    }

    /// Whether rows end in a delimiter that the header does not have.
    pub fn has_delimited_rows(&self) -> bool {
        self.headers.as_ref().is_some_and(Headers::has_delimited_rows)
    }

    /// Reads the rows in the next bytes; `last` says that no more will come.
    ///
    /// # Errors
    /// The file cannot be read any further, or `sink` refuses a row.
    pub fn push<S: RowSink>(
        &mut self,
        bytes: &[u8],
        last: bool,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        self.filled.set_time();
        let mut bytes = bytes;
        while last || !self.gathered.is_empty() || bytes.len() < GATHERED_BYTES {
            let room = GATHERED_BYTES.saturating_sub(self.gathered.len()).min(bytes.len());
            let (more, rest) = bytes.split_at(room);
            self.gathered.extend_from_slice(more);
            bytes = rest;
            let is_end = last && bytes.is_empty();
            if self.gathered.len() < GATHERED_BYTES && !is_end {
                return Ok(());
            }
            self.read_gathered(is_end, sink)?;
            if is_end {
                return Ok(());
            }
        }
        let read = self.read(bytes, false, sink)?;
        self.gathered.extend_from_slice(bytes.get(read..).unwrap_or_default());
        Ok(())
    }

    fn read_gathered<S: RowSink>(&mut self, last: bool, sink: &mut S) -> Result<(), RowsError<S::Error>> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let read = self.read(&gathered, last, sink)?;
        gathered.drain(..read);
        self.gathered = gathered;
        Ok(())
    }

    /// Reads a piece, and returns how many of its bytes were read: the others must come again, with more.
    fn read<S: RowSink>(
        &mut self,
        bytes: &[u8],
        last: bool,
        sink: &mut S,
    ) -> Result<usize, RowsError<S::Error>> {
        let mut rest = bytes;
        loop {
            let text = match &mut self.text {
                Some(text) => text,
                none => none.insert(Text::new(TextDecoder::for_file(rest, self.options.encoding)?)),
            };
            let Step { length, next } = next_step(rest, &text.decoder, text.tail, last);
            let (piece, after) = rest.split_at(length);
            rest = after;
            self.read_piece(piece, next.is_some(), last && next.is_none(), sink)?;
            match (next, &mut self.text) {
                (Some(decoder), Some(text)) => {
                    if !text.tail.is_line_start() {
                        let line = match &mut self.json {
                            Some(json) => {
                                json.end_line();
                                json.line()
                            }
                            None => {
                                self.records.end_line();
                                self.records.line()
                            }
                        };
                        text.offsets.begin_line(line);
                    }
                    text.begin_part(decoder);
                }
                _ => return Ok(bytes.len() - rest.len()),
            }
        }
    }

    /// Reads a piece of whole units of one part of the file; `part_ends`, `last`: nothing more of the part, or of the file, follows.
    fn read_piece<S: RowSink>(
        &mut self,
        bytes: &[u8],
        part_ends: bool,
        last: bool,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        let Some(text) = &mut self.text else { return Ok(()) };
        let buffer = match &mut self.json {
            Some(json) => json.text(),
            None => self.records.buffer(),
        };
        text.decoder.decode(bytes, last || part_ends, buffer);
        let is_known = self.find_format(last);
        if !is_known || self.json.is_some() {
            return self.read_objects(bytes, part_ends, last, sink);
        }
        let Some(text) = &mut self.text else { return Ok(()) };
        if self.headers.is_none() {
            let naming = Naming { columns: &self.columns, names: &self.options.columns };
            let ends =
                last || (part_ends && self.records.first_line(true).is_some_and(|line| !line.is_empty()));
            let header = Header::read(&mut self.records, ends, naming, text.decoder.name())?;
            self.headers = header.map(|header| Headers::new(header, RowEnds::Unknown));
        }
        self.read_records(bytes, part_ends, last, sink)?;
        if let Some(text) = &mut self.text {
            text.end_piece(bytes, self.records.unread(), self.records.line());
        }
        Ok(())
    }

    /// Finds out whether the file is JSON. Returns whether it is known.
    fn find_format(&mut self, last: bool) -> bool {
        if self.json.is_some() || self.headers.is_some() || self.options.format == FileFormat::Csv {
            return true;
        }
        match self.options.format.found_in(self.records.unread()) {
            Some(FileFormat::Csv) => self.options.format = FileFormat::Csv,
            None if last => self.options.format = FileFormat::Csv,
            None => return false,
            Some(found) => {
                let naming = Naming { columns: &self.columns, names: &self.options.columns };
                let mut json = JsonReader::new(naming, found, self.records.max_line_bytes());
                *json.text() = std::mem::take(self.records.buffer());
                self.json = Some(json);
            }
        }
        true
    }

    /// Reads the JSON objects that were decoded; `bytes`, `part_ends`, `last`: see [`read_piece`](Self::read_piece).
    fn read_objects<S: RowSink>(
        &mut self,
        bytes: &[u8],
        part_ends: bool,
        last: bool,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        let Some(text) = &mut self.text else { return Ok(()) };
        let Some(json) = &mut self.json else {
            text.end_piece(bytes, self.records.unread(), self.records.line());
            return Ok(());
        };
        let mut context = RowContext {
            columns: &self.columns,
            filled: &self.filled,
            mark: self.notation.mark(),
            clock: &mut self.clock,
            values: &mut self.values,
        };
        while let Some(row) = json.next(&mut context, last || part_ends)? {
            match row.reject {
                None => sink.accept(Row { line: row.number, values: context.values, buffer: row.buffer }),
                Some(mut reject) => {
                    reject.byte_offset = text.offsets.find(row.line, bytes);
                    sink.reject(*reject, &String::from_utf8_lossy(row.raw))
                }
            }
            .map_err(RowsError::Sink)?;
        }
        text.end_piece(bytes, json.unread(), json.line());
        Ok(())
    }

    /// Reads the records that were decoded, if the header is known; `bytes`: the piece that they end in; `part_ends`, `last`: see
    /// [`read_piece`](Self::read_piece).
    fn read_records<S: RowSink>(
        &mut self,
        bytes: &[u8],
        part_ends: bool,
        last: bool,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        let (Some(text), Some(headers)) = (&mut self.text, &mut self.headers) else { return Ok(()) };
        let mut parser = RecordParser {
            naming: Naming { columns: &self.columns, names: &self.options.columns },
            filled: &self.filled,
            notation: &mut self.notation,
            undecided: &mut self.undecided,
            clock: &mut self.clock,
            values: &mut self.values,
        };
        while let Some((index, header)) = headers.current() {
            let record = match self.records.next(last || part_ends) {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(error) => {
                    let begin =
                        self.records.unread().get(..self.records.max_line_bytes()).unwrap_or_default();
                    refuse_other_encoding(begin, self.records.line(), text, bytes)?;
                    return Err(error.into());
                }
            };
            match parser.parse(&record, header, headers.ends) {
                Ok(Parsed::Row { is_ambiguous }) => {
                    if may_end_in_noise(record.raw, text.decoder.unit()) {
                        refuse_other_encoding(record.raw, record.line, text, bytes)?;
                    }
                    let ends = headers.ends.after(&record, header);
                    if !parser.undecided.is_empty() {
                        parser.decide(ends, headers, sink)?;
                        // The values are those of the rows that waited.
                        let _ = parser.parse(&record, header, ends);
                    }
                    headers.ends = ends;
                    match is_ambiguous && parser.notation.hold(record.line, index, record.raw) {
                        true => Ok(()),
                        false => sink.accept(parser.row(record.line, record.buffer)),
                    }
                }
                Ok(Parsed::Undecided) => {
                    let byte_offset = text.offsets.find(record.line, bytes);
                    if !parser.undecided.push(&record, index, byte_offset) {
                        parser.refuse_undecided(headers, sink)?;
                        parser.refuse_row(&record, header, byte_offset, sink)?;
                    }
                    Ok(())
                }
                Err(reject) => match parser.judge(&record, reject, headers, text, bytes)? {
                    Some(reject) => sink.reject(*reject, &String::from_utf8_lossy(record.raw)),
                    // Another header does not say how the rows before it end.
                    None => {
                        parser.refuse_undecided(headers, sink)?;
                        Ok(())
                    }
                },
            }
            .map_err(RowsError::Sink)?;
        }
        if last {
            parser.refuse_undecided(headers, sink)?;
        }
        match parser.notation.release(last) {
            Some(held) => parser.accept_held(&held, headers, false, sink),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
