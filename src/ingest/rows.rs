//! A file's bytes to its rows: decoded, split, mapped to columns and typed; each one accepted or rejected.

use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use uuid::Uuid;

use crate::counted::counted;
use crate::domain::columns::{Column, Columns, Source};
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::{Clock, TimeZone};
use crate::domain::value::{Value, ValueError};
use crate::warehouse::later_headers::LaterHeaders;

pub use super::reject::{Fault, Reject};

use super::FileError;
use super::column_names::{ColumnNames, Naming};
use super::cuts::{Shown, likely_cut};
use super::decode::{REPLACEMENT, SNIFF_BYTES, TextDecoder};
use super::filled::Filled;
use super::format::FileFormat;
use super::header::Header;
use super::json::{JsonReader, RowContext};
use super::later_headers::Headers;
use super::notation::{Held, HeldRows, Notation};
use super::offsets::LineOffsets;
use super::parts::{Step, Tail, may_end_in_noise, next_step, other_encoding};
use super::records::{Record, RecordReader, shown};
use super::row_ends::{RowEnds, Undecided};
use super::validate;

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

/// Looks whether a row comes from another file, in another encoding.
fn refuse_other_encoding(raw: &[u8], line: u64, text: &mut Text, bytes: &[u8]) -> Result<(), FileError> {
    let Some(found) = other_encoding(raw, text.decoder.unit()) else { return Ok(()) };
    let byte_offset = text.offsets.find(line, bytes);
    Err(FileError::EncodingChanged { line, byte_offset, before: text.decoder.name(), found })
}

/// What a record is whose fields are all valid.
enum Parsed {
    Row {
        /// One of its amounts could be another one.
        is_ambiguous: bool,
    },
    /// A row with these fields, or one with a value that was cut in two.
    Undecided,
}

/// Makes values of records.
struct RecordParser<'a> {
    naming: Naming<'a>,
    filled: &'a Filled,
    notation: &'a mut Notation,
    undecided: &'a mut Undecided,
    clock: &'a mut Clock,
    /// Of the last record.
    values: &'a mut Vec<Value>,
}

impl RecordParser<'_> {
    /// The row of the last record.
    fn row<'b>(&'b self, line: u64, buffer: &'b [u8]) -> Row<'b> {
        Row { line, values: self.values, buffer }
    }

    /// Fills in a record's values; or says all that is wrong with it, except its byte offset.
    fn parse(&mut self, record: &Record<'_>, header: &Header, ends: RowEnds) -> Result<Parsed, Box<Reject>> {
        let Self { naming: Naming { columns, .. }, filled, notation, clock, values, .. } = self;
        if !ends.fits(record, header) || record.is_unclosed {
            return Err(Box::new(whole_line(record, header, columns, notation.mark())));
        }
        values.clear();
        let mut is_ambiguous = false;
        let mut reject: Option<Box<Reject>> = None;
        for (column, &field) in columns.iter().zip(&header.fields) {
            let value = match column.source {
                Source::Field => {
                    let (start, end) = field.and_then(|field| record.bounds(field)).unwrap_or_default();
                    let text = record.buffer.get(start..end).unwrap_or_default();
                    match validate::parse_field(column, text, start, notation.mark(), clock) {
                        Ok(value) => {
                            if let Value::Decimal(_) | Value::Double(_) = value {
                                is_ambiguous |= notation.is_ambiguous(text);
                            }
                            value
                        }
                        Err(error) => {
                            add_fault(&mut reject, record.line, column, error, text);
                            continue;
                        }
                    }
                }
                _ => match filled.value(column, record.line) {
                    Ok(value) => value,
                    Err(error) => {
                        add_fault(&mut reject, record.line, column, error, b"");
                        continue;
                    }
                },
            };
            values.push(value);
        }
        let is_doubtful = ends.is_doubtful(record, header, columns, notation.named());
        match reject {
            None if !is_doubtful => Ok(Parsed::Row { is_ambiguous }),
            None if ends == RowEnds::Unknown => Ok(Parsed::Undecided),
            Some(reject) if !is_doubtful => Err(reject),
            _ => Err(Box::new(whole_line(record, header, columns, notation.mark()))),
        }
    }

    /// Decides what a record is that is not a valid row. Returns the reject with its place, or none if the record is a header.
    ///
    /// # Errors
    /// It shows that the file must not be read any further.
    fn judge(
        &self,
        record: &Record<'_>,
        mut reject: Box<Reject>,
        headers: &mut Headers,
        text: &mut Text,
        bytes: &[u8],
    ) -> Result<Option<Box<Reject>>, FileError> {
        if let Some((_, header)) = headers.current() {
            let (ends, columns) = (headers.ends, self.naming.columns);
            let fits = ends.fits(record, header)
                && !ends.is_doubtful(record, header, columns, self.notation.named());
            self.notation.check(record, header, columns, fits)?;
        }
        if headers.see(record, self.naming)? {
            return Ok(None);
        }
        refuse_other_encoding(record.raw, record.line, text, bytes)?;
        reject.byte_offset = text.offsets.find(record.line, bytes);
        Ok(Some(reject))
    }

    /// Takes the rows that waited, now that a row has shown how rows end.
    #[cold]
    fn decide<S: RowSink>(
        &mut self,
        ends: RowEnds,
        headers: &Headers,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        if ends != RowEnds::Delimited {
            return self.refuse_undecided(headers, sink);
        }
        let rows = std::mem::take(self.undecided).rows;
        self.accept_held(&rows, headers, true, sink)
    }

    /// Refuses the rows that wait because they can be read in two ways.
    #[cold]
    fn refuse_undecided<S: RowSink>(
        &mut self,
        headers: &Headers,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        let Undecided { rows, byte_offsets } = std::mem::take(self.undecided);
        let mut byte_offsets = byte_offsets.into_iter();
        for_each_held(&rows, headers, |_, record, header| {
            self.refuse_row(record, header, byte_offsets.next().unwrap_or_default(), sink)
        })
    }

    /// Refuses the file because of a row that can be read in two ways. If the sender named the decimal mark, the row is rejected.
    fn refuse_row<S: RowSink>(
        &self,
        record: &Record<'_>,
        header: &Header,
        byte_offset: u64,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        let columns = self.naming.columns;
        if let Some(error) = self.notation.undecided(record, header, columns) {
            return Err(error.into());
        }
        let reject = Reject { byte_offset, ..whole_line(record, header, columns, self.notation.mark()) };
        sink.reject(reject, &String::from_utf8_lossy(record.raw)).map_err(RowsError::Sink)
    }

    /// Accepts rows that were held back. `may_hold`: those whose amounts could be others wait on.
    fn accept_held<S: RowSink>(
        &mut self,
        held: &HeldRows,
        headers: &Headers,
        may_hold: bool,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        for_each_held(held, headers, |row, record, header| {
            let ends = if record.width > header.width { RowEnds::Delimited } else { RowEnds::Bare };
            match self.parse(record, header, ends) {
                Ok(Parsed::Row { is_ambiguous: true })
                    if may_hold && self.notation.hold(row.line, row.header, record.raw) =>
                {
                    Ok(())
                }
                Ok(_) => sink.accept(self.row(row.line, record.buffer)).map_err(RowsError::Sink),
                // It was valid before, and still is.
                Err(_) => Ok(()),
            }
        })
    }
}

/// Reads held rows again, each with the header that names its fields.
fn for_each_held<E>(
    held: &HeldRows,
    headers: &Headers,
    mut take: impl FnMut(Held, &Record<'_>, &Header) -> Result<(), RowsError<E>>,
) -> Result<(), RowsError<E>> {
    let mut records = RecordReader::new(b',', usize::MAX);
    for (row, raw) in held.iter() {
        let Some(header) = headers.get(row.header) else { continue };
        records.set_delimiter(header.delimiter);
        records.buffer().extend_from_slice(raw);
        if let Some(mut record) = records.next(true)? {
            record.line = row.line;
            take(row, &record, header)?;
        }
    }
    Ok(())
}

/// Adds a fault of a field to its row.
#[cold]
fn add_fault(reject: &mut Option<Box<Reject>>, line: u64, column: &Column, error: ValueError, text: &[u8]) {
    let fault = Fault {
        column: column.name.clone(),
        code: error.code(),
        reason: column.explain(error),
        value: shown(text),
        pointer: None,
    };
    match reject {
        Some(reject) => reject.faults.push(fault),
        None => *reject = Some(Box::new(Reject::of(line, fault))),
    }
}

/// Says why a record does not have the header's fields.
fn whole_line(record: &Record<'_>, header: &Header, columns: &Columns, mark: DecimalMark) -> Reject {
    let (code, reason) = if record.is_unclosed {
        let reason = "a quote is opened here and not closed before the file ends, so the rest of the file is in this row; close it";
        ("unclosed_quote", reason.to_owned())
    } else if record.raw.windows(REPLACEMENT.len()).any(|bytes| bytes == REPLACEMENT) {
        (ValueError::NotDecodable.code(), ValueError::NotDecodable.to_string())
    } else {
        let mut reason =
            format!("the row has {}, the header {}", counted(record.width as u64, "field"), header.width);
        if header.delimiter == b',' && record.width > header.width {
            reason += &cause_of_width(record, header, columns, mark);
        }
        ("wrong_number_of_fields", reason)
    };
    Reject::of_line(record.line, code, reason, record.raw)
}

/// Says how decimal commas may have given a record too many fields.
fn cause_of_width(record: &Record<'_>, header: &Header, columns: &Columns, mark: DecimalMark) -> String {
    if mark == DecimalMark::Comma {
        return "; a decimal comma separates fields, too: write such amounts in quotes".to_owned();
    }
    let in_words = |Shown { column, value, .. }: Shown<'_>| {
        format!(
            "; perhaps {value} has a decimal comma (column {}): write such amounts in quotes, and send the file with decimal=comma",
            column.name
        )
    };
    likely_cut(record, header, columns).map(in_words).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;

    /// Keeps rows and rejects.
    #[derive(Debug, Default, PartialEq)]
    struct Kept {
        rows: Vec<(u64, i64, String)>,
        rejects: Vec<(Reject, String)>,
    }

    impl RowSink for Kept {
        type Error = std::convert::Infallible;

        fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error> {
            let Value::Long(id) = row.values[0] else { panic!("not a number") };
            let name = String::from_utf8(row.values[1].text(row.buffer).to_vec()).unwrap();
            self.rows.push((row.line, id, name));
            Ok(())
        }

        fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Self::Error> {
            self.rejects.push((reject, raw.to_owned()));
            Ok(())
        }
    }

    fn reader(encoding: Option<&'static Encoding>) -> RowReader {
        let options = ReadOptions { encoding, ..ReadOptions::default() };
        RowReader::new(Arc::new(Columns::parse(SCHEMA).unwrap()), options, 10_000)
    }

    fn told<T>(outcome: Result<T, RowsError<std::convert::Infallible>>) -> Result<T, FileError> {
        outcome.map_err(|error| match error {
            RowsError::File(error) => error,
            RowsError::Sink(never) => match never {},
        })
    }

    fn push(mut reader: RowReader, bytes: &[u8], size: usize) -> Result<Kept, FileError> {
        let mut kept = Kept::default();
        for (piece, last) in bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
            told(reader.push(piece, last, &mut kept))?;
        }
        Ok(kept)
    }

    /// As [`push`], but small pieces are not gathered.
    fn push_at_once(mut reader: RowReader, bytes: &[u8], size: usize) -> Result<Kept, FileError> {
        let mut kept = Kept::default();
        reader.text = Some(Text::new(TextDecoder::for_file(bytes, reader.options.encoding)?));
        let mut held = Vec::new();
        for (piece, last) in bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
            held.extend_from_slice(piece);
            let read = told(reader.read(&held, last, &mut kept))?;
            held.drain(..read);
        }
        Ok(kept)
    }

    fn read_as(encoding: Option<&'static Encoding>, bytes: &[u8], size: usize) -> Result<Kept, FileError> {
        let pushed = push(reader(encoding), bytes, size);
        assert_eq!(pushed, push_at_once(reader(encoding), bytes, size));
        pushed
    }

    fn read(bytes: &[u8], size: usize) -> Result<Kept, FileError> {
        read_as(None, bytes, size)
    }

    #[test]
    fn a_bad_row_is_rejected_with_its_place_and_the_rest_goes_on() {
        let kept = read(b"name,id,x\na,1,\nb,one,\n\n\"c\n\",3\nd,4,", 1000).unwrap();
        assert_eq!(kept.rows, [(2, 1, "a".to_owned()), (7, 4, "d".to_owned())]);
        let rejects: Vec<_> = kept
            .rejects
            .iter()
            .map(|(r, raw)| (r.line, r.byte_offset, r.first.column.as_str(), r.first.code, raw.as_str()))
            .collect();
        assert_eq!(
            rejects,
            [(3, 15, "id", "not_an_integer", "b,one,"), (5, 23, "", "wrong_number_of_fields", "\"c\n\",3")]
        );
    }

    #[test]
    fn a_header_alone_is_a_file_without_rows_and_an_empty_file_is_an_error() {
        assert!(read(b"id,name", 1000).unwrap().rows.is_empty());
        assert!(matches!(read(b"", 1000), Err(FileError::Empty { .. })));
        assert!(matches!(read(b"\r\n", 1000), Err(FileError::Empty { .. })));
    }

    #[test]
    fn an_unclosed_quote_and_half_a_unit_are_rejects() {
        let kept = read(b"id,name\n1,a\n2,\"b\n3,c\n", 5).unwrap();
        assert_eq!(kept.rows.len(), 1);
        let (reject, raw) = &kept.rejects[0];
        assert_eq!((reject.line, reject.byte_offset, reject.first.code), (3, 12, "unclosed_quote"));
        assert_eq!(raw, "2,\"b\n3,c\n");

        let mut bytes: Vec<u8> = "id,name\n1,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.push(0x41);
        let kept = read(&bytes, 7).unwrap();
        let (reject, raw) = &kept.rejects[0];
        assert_eq!(
            (reject.line, reject.byte_offset, reject.first.code, raw.as_str()),
            (3, 24, "not_decodable", "\u{fffd}")
        );
    }

    #[test]
    fn an_odd_last_byte_is_a_reject_in_any_pieces_and_an_empty_piece_changes_nothing() {
        let text = format!("id,name\n{}", "1,a\n".repeat(1000));
        let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.push(0x41);
        for size in [3, 999, 1000, 100_000] {
            let kept = read(&bytes, size).unwrap();
            assert_eq!(kept.rows.len(), 1000, "{size}");
            let rejects: Vec<_> =
                kept.rejects.iter().map(|(r, _)| (r.line, r.byte_offset, r.first.code)).collect();
            assert_eq!(rejects, [(1002, bytes.len() as u64 - 1, "not_decodable")], "{size}");
        }
        let mut reader = reader(None);
        let mut kept = Kept::default();
        for piece in [&bytes[..2001], &[], &bytes[2001..8000], &[], &bytes[8000..8016]] {
            reader.push(piece, false, &mut kept).unwrap();
        }
        reader.push(&[], true, &mut kept).unwrap();
        assert_eq!((kept.rows.len(), kept.rejects.len()), (1000, 0));
    }

    #[test]
    fn one_empty_field_at_the_end_of_rows_or_header_does_not_count() {
        let row = |line, id, name: &str| (line, id, name.to_owned());
        for (text, rows, rejects) in [
            ("id,name\n1,a,\n2,b,\n", vec![row(2, 1, "a"), row(3, 2, "b")], vec![]),
            (
                "id,name\n1,a,\n2,,\n3,\n4,d\n5,e,x\n6,f,,\n",
                vec![row(2, 1, "a"), row(3, 2, ""), row(5, 4, "d")],
                vec![4, 6, 7],
            ),
            ("id,name\n1,a\n2,b,\n3,\n", vec![row(2, 1, "a"), row(4, 3, "")], vec![3]),
            ("id,name\nx,a,\n1,a,\n", vec![row(3, 1, "a")], vec![2]),
            (
                "id,name,\n1,a\n2,b,\n3,\n4,d,x\n5,e,,\n",
                vec![row(2, 1, "a"), row(3, 2, "b"), row(4, 3, "")],
                vec![5, 6],
            ),
            ("id,name,\n1,a,\n2,b\n3,\n", vec![row(2, 1, "a"), row(3, 2, "b")], vec![4]),
            ("id,name,,\n1,a,,\n2,b,x,y\n3,c\n", vec![row(2, 1, "a")], vec![3, 4]),
            ("id,name\n1,\"a\",\"\"\n", vec![row(2, 1, "a")], vec![]),
            (
                "id,name\n1,a\nid,name\n2,b,\nid,name,\n3,c\n",
                vec![row(2, 1, "a"), row(4, 2, "b"), row(6, 3, "c")],
                vec![],
            ),
        ] {
            let kept = read(text.as_bytes(), 5).unwrap();
            let lines: Vec<u64> = kept.rejects.iter().map(|(reject, _)| reject.line).collect();
            assert_eq!((kept.rows, lines), (rows, rejects), "{text:?}");
        }
    }

    #[test]
    fn a_replay_expects_a_delimiter_at_the_end_only_if_each_part_of_the_file_had_it() {
        for (text, expected) in [
            ("id,name\n1,a,\n", true),
            ("id,name\n1,a,\nid,name\n2,b,\n", true),
            ("id,name\n1,a\nid,name\n2,b,\n", false),
            ("id,name\n1,a,\nid,name\n2,b\n", false),
            ("id,name\n1,a\n", false),
        ] {
            let mut reader = reader(None);
            told(reader.push(text.as_bytes(), true, &mut Kept::default())).unwrap();
            assert_eq!(reader.has_delimited_rows(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_separator_line_blank_rows_and_the_end_of_a_file_of_dos_keep_lines_and_offsets() {
        let text = "sep=|\r\n|\r\nid|name\r\n|\r\n1|a\r\nx|b\r\n||||\r\n2|c\u{1a}";
        for (mark, unit) in [
            ("", None),
            ("\u{feff}", Some(u16::to_le_bytes as fn(u16) -> [u8; 2])),
            ("", Some(u16::to_be_bytes)),
        ] {
            let text = format!("{mark}{text}");
            let bytes = |text: &str| match unit {
                Some(unit) => text.encode_utf16().flat_map(unit).collect(),
                None => text.as_bytes().to_vec(),
            };
            let offset = bytes(text.split('x').next().unwrap()).len() as u64;
            for end in ["", "\r\n", "\r\n\u{1a}", "\u{1a}\u{1a}"] {
                // With a line end after it, the character is not the end of the file but a part of the name.
                let text = if end.starts_with('\r') { text.replace('\u{1a}', "") } else { text.clone() };
                let kept = read(&bytes(&format!("{text}{end}")), 3).unwrap();
                assert_eq!(kept.rows, [(5, 1, "a".to_owned()), (8, 2, "c".to_owned())], "{end:?}");
                let rejects: Vec<_> = kept.rejects.iter().map(|(r, _)| (r.line, r.byte_offset)).collect();
                assert_eq!(rejects, [(6, offset)], "{end:?}");
            }
        }
    }

    #[test]
    fn columns_with_other_names_are_found_in_every_header_of_the_file() {
        let columns = Arc::new(Columns::parse(SCHEMA).unwrap());
        let names = ColumnNames::parse("id:Player,name:id", &columns).unwrap();
        let options = ReadOptions { columns: names, ..ReadOptions::default() };
        let reader = RowReader::new(columns, options, 1000);
        let kept = push(reader, b"name,PLAYER,id\nx,1,a\nid,player\nb,2\n", 5).unwrap();
        assert_eq!(kept.rows, [(2, 1, "a".to_owned()), (4, 2, "b".to_owned())]);
        assert_eq!(kept.rejects, []);
    }

    #[test]
    fn a_header_is_a_record_like_any_other() {
        for (text, line) in [
            ("\n\"a\nb\",\"id\",\"name\"\nx,1,a\n", 4),
            ("\"a\r\nb;c\";\"id\";name\r\nx;1;a\r\n", 3),
            ("id,name,\"a\"\"b\"\n1,a,x", 2),
            ("id,name,\"x;\"\"y\"\n1,a,x", 2),
        ] {
            for size in [1, 7, 1000] {
                let kept = read(text.as_bytes(), size).unwrap();
                assert_eq!(kept.rows, [(line, 1, "a".to_owned())], "{text:?} by {size}");
            }
        }
        let open = read(b"id,\"name\n1,a\n2,b\n", 5);
        assert!(matches!(open, Err(FileError::NotCsv { .. })), "a quote is not closed");
    }

    #[test]
    fn a_header_with_too_many_columns_is_refused() {
        let columns =
            |count: usize| format!("{}id,name\n{}1,a\n", "x,".repeat(count - 2), "x,".repeat(count - 2));
        assert_eq!(read(columns(1024).as_bytes(), 1000).unwrap().rows.len(), 1);
        assert!(read(columns(1025).as_bytes(), 1000).is_err());
    }

    /// Processor time of reading a row of so many lines, byte by byte.
    fn time_of_crumbs(lines: usize) -> std::time::Duration {
        let file = format!("id,name\n1,\"{}\"\n", "x\n".repeat(lines));
        let columns = Columns::parse(SCHEMA).unwrap();
        let mut reader = RowReader::new(Arc::new(columns), ReadOptions::default(), 1 << 20);
        let mut kept = Kept::default();
        let started = thread_time();
        for piece in file.as_bytes().chunks(1) {
            reader.push(piece, false, &mut kept).unwrap();
        }
        reader.push(&[], true, &mut kept).unwrap();
        assert_eq!(kept.rejects.len(), 1);
        thread_time() - started
    }

    /// Processor time of this thread: other processes do not count.
    fn thread_time() -> std::time::Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a timespec of this function.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
        std::time::Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
    }

    #[test]
    fn the_cost_of_small_pieces_does_not_grow_with_the_square_of_the_line() {
        let time = time_of_crumbs(200_000);
        // It takes a quarter of a second without optimization. Reading the whole line again for each byte takes more than ten.
        assert!(time.as_secs() < 5, "{time:?}");
    }

    #[test]
    fn a_line_end_across_two_pieces_is_one_line_end_even_with_an_empty_piece_between() {
        let header = "id,name\n";
        let filler = "y".repeat(GATHERED_BYTES - header.len() - 1);
        let file = format!("{header}{filler}\r\nx\n");
        // With pieces of one byte, nothing follows the bytes that are read together.
        for size in [1, GATHERED_BYTES, file.len()] {
            let kept = read(file.as_bytes(), size).unwrap();
            let rejects: Vec<_> = kept.rejects.iter().map(|(r, _)| (r.line, r.byte_offset)).collect();
            assert_eq!(rejects, [(2, 8), (3, GATHERED_BYTES as u64 + 1)], "{size}");
        }
    }

    proptest! {
        #[test]
        fn a_byte_offset_is_where_the_line_begins_in_any_encoding(
            lines in proptest::collection::vec("([a-zé日🎲]{1,6}|\"[a-z\\r\\n]{0,6}\")", 1..20),
            ends in proptest::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r"), Just("\n\n"), Just("\r\n\r")], 20),
            encoding in 0..4_usize, size in 1_usize..40,
        ) {
            let encoder: fn(&str) -> Vec<u8> = [
                |text: &str| text.as_bytes().to_vec(),
                |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
                |text: &str| encoding_rs::SHIFT_JIS.encode(text).0.into_owned(),
            ][encoding];
            let label = [encoding_rs::UTF_8, encoding_rs::UTF_16LE, encoding_rs::UTF_16BE, encoding_rs::SHIFT_JIS][encoding];
            // Every row lacks its id.
            let mut file = encoder("name,id\n");
            let mut starts = Vec::new();
            for (line, end) in lines.iter().zip(&ends) {
                starts.push(file.len() as u64);
                file.extend(encoder(&format!("{line},{end}")));
            }
            let kept = read_as(Some(label), &file, size).unwrap();
            let found: Vec<u64> = kept.rejects.iter().map(|(reject, _)| reject.byte_offset).collect();
            prop_assert_eq!(found, starts);
        }

        #[test]
        fn the_size_of_the_pieces_does_not_matter(
            rows in proptest::collection::vec((any::<i64>(), "[a-zé\"';]{0,12}"), 0..20), size in 1_usize..40,
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["id", "name"]).unwrap();
            for (id, name) in &rows {
                writer.write_record([&id.to_string(), name]).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            let utf_16: Vec<u8> =
                String::from_utf8(bytes).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect();
            let kept = read(&utf_16, size).unwrap();
            let expected: Vec<_> = rows.iter().zip(2_u64..).map(|((id, name), line)| (line, *id, name.clone())).collect();
            prop_assert_eq!(kept.rows, expected);
        }

        #[test]
        fn any_bytes_are_rows_rejects_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut file = b"id,name\n".to_vec();
            file.extend(bytes);
            let _ = read(&file, 64);
        }
    }
}
