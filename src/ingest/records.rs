//! Text to CSV records, with the raw line and the line number of each.
//!
//! RFC 4180 as the `csv` crate and Python's `csv` read it: quoted fields may hold delimiters, doubled quotes and line ends; a quote
//! inside a field that did not begin with one is a character; lines end in CRLF, LF or CR; blank lines are skipped.
//! Three things are as spreadsheets and joined files need them: a line of delimiters alone is blank, so is a line that is only the mark
//! which DOS writes at the end of a file, and a byte order mark at the start of a record is not a part of it.
//! A line without quotes, as most are, is cut at its delimiters, and no byte of it is copied.

use memchr::{memchr, memchr_iter, memchr2, memchr2_iter};

use super::FileError;

/// Fields of a record that are kept; further ones are only counted.
pub const MAX_FIELDS: usize = 1024;

const QUOTE: u8 = b'"';

/// What DOS writes at the end of a file.
pub const END_OF_FILE: u8 = 0x1a;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Bytes of a line of which more is waited for before anything else is read.
const SHORT_LINE_BYTES: usize = 64;

/// Characters of a value or a line that a reject or an error shows.
const SHOWN_CHARACTERS: usize = 200;

/// A value, or a line, as far as a reject or an error shows it.
pub(super) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(SHOWN_CHARACTERS).collect()
}

/// Where a field is in [`Record::buffer`]: its start and its end.
pub type Bounds = (usize, usize);

/// One record: its unescaped fields, its first line's number, and the text it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// What the bounds are in.
    pub buffer: &'a [u8],
    bounds: &'a [Bounds],
    /// How many fields there are.
    pub width: usize,
    /// Number of the record's first line, from 1.
    pub line: u64,
    /// The text as it stands in the file, without the line end.
    pub raw: &'a [u8],
    /// The file ended in a quoted field.
    pub is_unclosed: bool,
}

impl<'a> Record<'a> {
    /// Where a field is; none if the record does not have it, or has too many fields.
    #[inline]
    pub fn bounds(&self, index: usize) -> Option<Bounds> {
        self.bounds.get(index).copied()
    }

    /// The text of a field; none as above.
    pub fn text(&self, index: usize) -> Option<&'a [u8]> {
        self.bounds(index).and_then(|(start, end)| self.buffer.get(start..end))
    }
}

/// The fields of a record as text of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The record as it stands in the file.
    pub raw: String,
    /// The first [`MAX_FIELDS`].
    pub texts: Vec<String>,
    /// How many there are.
    pub width: usize,
    pub is_unclosed: bool,
}

impl Fields {
    pub(super) fn of(record: &Record<'_>) -> Self {
        let owned = |text| String::from_utf8_lossy(text).into_owned();
        Self {
            raw: owned(record.raw),
            texts: (0..record.width).map_while(|at| record.text(at)).map(owned).collect(),
            width: record.width,
            is_unclosed: record.is_unclosed,
        }
    }
}

/// Reads records from text that arrives piece by piece. Memory is bounded by the line limit and the size of a piece.
#[derive(Debug)]
pub struct RecordReader {
    delimiter: u8,
    max_line_bytes: usize,
    text: Vec<u8>,
    /// Where the current record begins in `text`.
    start: usize,
    /// Bytes after `start` that have no line end.
    searched: usize,
    /// How far the current record is read, if it has quotes.
    quoted: Option<Place>,
    bounds: Vec<Bounds>,
    /// Fields of a record that has quotes, one after the other.
    unescaped: Vec<u8>,
    lines: LineCounter,
}

impl RecordReader {
    pub fn new(delimiter: u8, max_line_bytes: usize) -> Self {
        Self {
            delimiter,
            max_line_bytes,
            text: Vec::new(),
            start: 0,
            searched: 0,
            quoted: None,
            bounds: Vec::new(),
            unescaped: Vec::new(),
            lines: LineCounter::default(),
        }
    }

    /// Bytes that its buffers take.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity() + self.unescaped.capacity() + self.bounds.capacity() * size_of::<Bounds>()
    }

    /// The buffer to whose end new text is to be added.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        // What has been read is removed here, once for each piece, and not after each record.
        self.text.drain(..self.start);
        self.start = 0;
        &mut self.text
    }

    /// What was added and not read yet.
    pub fn unread(&self) -> &[u8] {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// Bytes that a line may have.
    pub fn max_line_bytes(&self) -> usize {
        self.max_line_bytes
    }

    /// Number of the line that [`unread`](Self::unread) begins with.
    pub fn line(&self) -> u64 {
        self.lines.next
    }

    /// Counts a line end that the text does not have: all of it was read, and what follows begins another line.
    pub fn end_line(&mut self) {
        self.lines.next += 1;
        self.lines.after_cr = false;
    }

    /// Where reading stands, until text is added.
    pub fn place(&self) -> ReadPlace {
        ReadPlace { start: self.start, lines: self.lines }
    }

    /// Reads from an earlier place again.
    pub fn return_to(&mut self, place: ReadPlace) {
        (self.start, self.lines) = (place.start, place.lines);
        self.searched = 0;
        self.quoted = None;
    }

    /// Returns the next line that is not blank, or what is there of a long one; none if it is short and more text is needed.
    pub fn first_line(&mut self, last: bool) -> Option<&[u8]> {
        self.skip_to_record();
        let rest = self.unread();
        let end = memchr2(b'\r', b'\n', rest);
        (end.is_some() || last || rest.len() > SHORT_LINE_BYTES)
            .then(|| rest.get(..end.unwrap_or(rest.len())).unwrap_or_default())
    }

    /// Skips the rest of the line.
    pub fn skip_line(&mut self) {
        let rest = self.text.get(self.start..).unwrap_or_default();
        let length = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        self.lines.count(rest.get(..length).unwrap_or_default());
        self.start += length;
    }

    /// Returns the fields of the next record as they would be with this delimiter, and stays before it.
    ///
    /// # Errors
    /// See [`next`](Self::next).
    pub fn peek(&mut self, delimiter: u8, last: bool) -> Result<Option<Fields>, FileError> {
        self.skip_to_record();
        let place = self.place();
        self.set_delimiter(delimiter);
        let peeked = self.next(last).map(|record| record.map(|record| Fields::of(&record)));
        self.return_to(place);
        peeked
    }

    /// Sets the delimiter of the records from here on.
    pub fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
        self.searched = 0;
        self.quoted = None;
    }

    /// Returns the next record; none if more text is needed, or, with `last`, if there is no more.
    ///
    /// # Errors
    /// The record is longer than the limit.
    pub fn next(&mut self, last: bool) -> Result<Option<Record<'_>>, FileError> {
        loop {
            if self.searched == 0 && self.quoted.is_none() {
                self.skip_to_record();
            }
            let rest = self.text.get(self.start..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            if self.quoted.is_some() {
                return self.next_quoted(last);
            }
            let unsearched = rest.get(self.searched..).unwrap_or_default();
            let line_end = memchr2(b'\r', b'\n', unsearched).map(|at| at + self.searched);
            let line = rest.get(..line_end.unwrap_or(rest.len())).unwrap_or_default();
            self.bounds.clear();
            if memchr(QUOTE, line).is_some() {
                self.unescaped.clear();
                return self.next_quoted(last);
            }
            let length = line.len();
            if line_end.is_none() && !last {
                self.searched = length;
                return self.check_length(length).map(|()| None);
            }
            let width = split(line, self.delimiter, &mut self.bounds);
            let is_blank = width == length + 1 || line == [END_OF_FILE];
            self.check_length(length)?;
            let end = End { raw: length, width, is_quoted: false, is_unclosed: false };
            if !is_blank {
                return Ok(Some(self.finish_record(end)));
            }
            self.finish_record(end);
        }
    }

    /// Goes on with a record that has quotes.
    fn next_quoted(&mut self, last: bool) -> Result<Option<Record<'_>>, FileError> {
        let rest = self.text.get(self.start..).unwrap_or_default();
        let mut quoted = Quoted {
            text: rest,
            delimiter: self.delimiter,
            bounds: &mut self.bounds,
            unescaped: &mut self.unescaped,
            place: self.quoted.take().unwrap_or_default(),
        };
        let end = quoted.split(last);
        let place = quoted.place;
        match end {
            Some(end) => {
                self.check_length(end.raw)?;
                Ok(Some(self.finish_record(end)))
            }
            None => {
                self.quoted = Some(place);
                self.check_length(place.at).map(|()| None)
            }
        }
    }

    fn finish_record(&mut self, end: End) -> Record<'_> {
        let raw_end = self.start + end.raw;
        let raw = self.text.get(self.start..raw_end).unwrap_or_default();
        let line = self.lines.next;
        if end.is_quoted {
            self.lines.count(raw);
        } else {
            // A record is never empty.
            self.lines.after_cr = false;
        }
        let ending = self.text.get(raw_end..(raw_end + 2).min(self.text.len())).unwrap_or_default();
        let (ending, ends_line, ends_in_cr) = match ending {
            [b'\r', b'\n'] => (2, true, false),
            [b'\r', ..] => (1, true, true),
            [b'\n', ..] => (1, !self.lines.after_cr, false),
            _ => (0, false, self.lines.after_cr),
        };
        self.lines.next += u64::from(ends_line);
        self.lines.after_cr = ends_in_cr;
        self.start = raw_end + ending;
        self.searched = 0;
        let buffer = if end.is_quoted { &self.unescaped } else { raw };
        Record { buffer, bounds: &self.bounds, width: end.width, line, raw, is_unclosed: end.is_unclosed }
    }

    /// Skips line ends and byte order marks.
    fn skip_to_record(&mut self) {
        loop {
            let rest = self.text.get(self.start..).unwrap_or_default();
            let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.lines.count(rest.get(..blank).unwrap_or_default());
            self.start += blank;
            if !rest.get(blank..).is_some_and(|rest| rest.starts_with(BYTE_ORDER_MARK)) {
                return;
            }
            self.lines.after_cr = false;
            self.start += BYTE_ORDER_MARK.len();
        }
    }

    fn check_length(&self, length: usize) -> Result<(), FileError> {
        if length > self.max_line_bytes {
            return Err(FileError::LineTooLong { line: self.lines.next, limit: self.max_line_bytes });
        }
        Ok(())
    }
}

/// A place in the text, with the number of its line.
#[derive(Clone, Copy, Debug)]
pub struct ReadPlace {
    start: usize,
    lines: LineCounter,
}

/// Where a record ends, and what was found in it.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Bytes of its text without the line end.
    raw: usize,
    width: usize,
    is_quoted: bool,
    is_unclosed: bool,
}

/// Cuts a line without quotes at its delimiters.
fn split(line: &[u8], delimiter: u8, bounds: &mut Vec<Bounds>) -> usize {
    let mut start = 0;
    let mut width = 0;
    for end in memchr_iter(delimiter, line) {
        push_bounds(bounds, &mut width, (start, end));
        start = end + 1;
    }
    push_bounds(bounds, &mut width, (start, line.len()));
    width
}

fn push_bounds(bounds: &mut Vec<Bounds>, width: &mut usize, field: Bounds) {
    if *width < MAX_FIELDS {
        bounds.push(field);
    }
    *width += 1;
}

/// How far a record that has quotes was read.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Bytes of the record's text that were read.
    at: usize,
    /// Fields that were read.
    width: usize,
    /// Where the field begins in the unescaped text.
    field_start: usize,
    state: FieldState,
}

#[derive(Clone, Copy, Debug, Default)]
enum FieldState {
    #[default]
    Start,
    /// After an opening quote.
    Quoted,
    /// After a quote in a quoted field: it closes the field, unless another follows.
    QuoteInQuoted,
    /// Outside of quotes: characters up to the delimiter mean themselves.
    Plain,
}

/// A record that has quotes. Reading continues when more of it arrives.
struct Quoted<'a> {
    text: &'a [u8],
    delimiter: u8,
    bounds: &'a mut Vec<Bounds>,
    unescaped: &'a mut Vec<u8>,
    place: Place,
}

impl Quoted<'_> {
    /// Unescapes the fields. None if the record may go on after the text.
    fn split(&mut self, last: bool) -> Option<End> {
        loop {
            let rest = self.text.get(self.place.at..).unwrap_or_default();
            let next = rest.first().copied();
            if next.is_none() && !last {
                return None;
            }
            match (self.place.state, next) {
                (FieldState::Start, Some(QUOTE)) => self.skip_to(1, FieldState::Quoted),
                (FieldState::QuoteInQuoted, Some(QUOTE)) => {
                    self.unescaped.push(QUOTE);
                    self.skip_to(1, FieldState::Quoted);
                }
                (FieldState::Start | FieldState::QuoteInQuoted, _) => self.skip_to(0, FieldState::Plain),
                (FieldState::Quoted, None) => {
                    self.end_field();
                    return Some(self.end(true));
                }
                (FieldState::Quoted, Some(_)) => {
                    let length = memchr(QUOTE, rest);
                    self.unescaped
                        .extend_from_slice(rest.get(..length.unwrap_or(rest.len())).unwrap_or_default());
                    match length {
                        Some(length) => self.skip_to(length + 1, FieldState::QuoteInQuoted),
                        None => self.skip_to(rest.len(), FieldState::Quoted),
                    }
                }
                (FieldState::Plain, _) => {
                    let length = memchr::memchr3(self.delimiter, b'\r', b'\n', rest);
                    self.unescaped
                        .extend_from_slice(rest.get(..length.unwrap_or(rest.len())).unwrap_or_default());
                    self.skip_to(length.unwrap_or(rest.len()), FieldState::Plain);
                    let end = self.text.get(self.place.at);
                    if end.is_none() && !last {
                        return None;
                    }
                    self.end_field();
                    if end != Some(&self.delimiter) {
                        return Some(self.end(false));
                    }
                    self.skip_to(1, FieldState::Start);
                }
            }
        }
    }

    fn skip_to(&mut self, bytes: usize, state: FieldState) {
        self.place.at += bytes;
        self.place.state = state;
    }

    fn end_field(&mut self) {
        push_bounds(self.bounds, &mut self.place.width, (self.place.field_start, self.unescaped.len()));
        self.place.field_start = self.unescaped.len();
    }

    fn end(&self, is_unclosed: bool) -> End {
        End { raw: self.place.at, width: self.place.width, is_quoted: true, is_unclosed }
    }
}

/// Counts lines that end in CRLF, LF or CR.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineCounter {
    /// Number of the line that comes next.
    pub(super) next: u64,
    /// The text so far ended in CR: a LF that follows belongs to it.
    pub(super) after_cr: bool,
}

impl Default for LineCounter {
    fn default() -> Self {
        Self { next: 1, after_cr: false }
    }
}

impl LineCounter {
    /// Counts the line ends of text.
    pub(super) fn count(&mut self, bytes: &[u8]) {
        for at in memchr2_iter(b'\r', b'\n', bytes) {
            let is_cr = bytes.get(at) == Some(&b'\r');
            let after_cr = match at.checked_sub(1) {
                Some(before) => bytes.get(before) == Some(&b'\r'),
                None => self.after_cr,
            };
            if is_cr || !after_cr {
                self.next += 1;
            }
        }
        if let Some(&byte) = bytes.last() {
            self.after_cr = byte == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = (u64, Vec<String>, String, bool);

    fn read(text: &str, size: usize) -> Vec<Read> {
        let mut reader = RecordReader::new(b',', 10_000);
        let mut records = Vec::new();
        let mut pieces = text.as_bytes().chunks(size);
        loop {
            let piece = pieces.next();
            reader.buffer().extend(piece.unwrap_or_default());
            while let Some(record) = reader.next(piece.is_none()).unwrap() {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let field = |at| record.bounds(at).map(|(start, end)| text(&record.buffer[start..end]));
                let fields: Vec<String> = (0..).map_while(field).collect();
                assert_eq!(fields.len(), record.width);
                records.push((record.line, fields, text(record.raw), record.is_unclosed));
            }
            if piece.is_none() {
                return records;
            }
        }
    }

    fn row(line: u64, fields: &[&str], raw: &str) -> Read {
        (line, fields.iter().map(|field| (*field).to_owned()).collect(), raw.to_owned(), false)
    }

    #[test]
    fn records_know_their_line_and_their_text() {
        for end in ["\r\n", "\n", "\r"] {
            let text = format!("a,b{end}{end}1,\"x{end}y\"\"z\"{end}2,3");
            let expected = vec![
                row(1, &["a", "b"], "a,b"),
                row(3, &["1", &format!("x{end}y\"z")], &format!("1,\"x{end}y\"\"z\"")),
                row(5, &["2", "3"], "2,3"),
            ];
            for size in [1, 2, 5, 1000] {
                assert_eq!(read(&text, size), expected, "{end:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn lines_of_delimiters_alone_and_ends_of_files_of_dos_are_blank() {
        let text = ",\na,b\n,,,\r\n\u{1a}\n\u{feff}\u{feff}\n1,2\r\u{feff}\n\"\",\n\u{feff}\"3\",4\n,,";
        let expected = vec![
            row(2, &["a", "b"], "a,b"),
            row(6, &["1", "2"], "1,2"),
            row(8, &["", ""], "\"\","),
            row(9, &["3", "4"], "\"3\",4"),
        ];
        assert_eq!(read(text, text.len()), expected);
    }

    #[test]
    fn a_quote_that_is_not_closed_takes_the_rest_and_says_so() {
        let records = read("a,\"b\n1,2\n3,4", 3);
        assert_eq!(records.len(), 1);
        assert!(records[0].3);
        assert_eq!(records[0].1, ["a", "b\n1,2\n3,4"]);
        assert!(read("a,\"b\"\"\"", 1).iter().all(|record| !record.3));
    }

    #[test]
    fn a_line_over_the_limit_is_an_error_before_memory_grows() {
        for crumbs in ["\"x", "x,", "\"\"\""] {
            let mut reader = RecordReader::new(b',', 1000);
            let refused = (0..100).any(|_| {
                reader.buffer().extend_from_slice(crumbs.repeat(50).as_bytes());
                reader
                    .next(false)
                    .is_err_and(|error| error == FileError::LineTooLong { line: 1, limit: 1000 })
            });
            assert!(refused, "{crumbs}");
        }
    }

    #[test]
    fn more_fields_than_are_kept_are_counted() {
        for line in [format!("x{}", ",".repeat(5000)), format!("\"\"{}", ",".repeat(5000))] {
            let mut reader = RecordReader::new(b',', 10_000);
            reader.buffer().extend_from_slice(line.as_bytes());
            let record = reader.next(true).unwrap().unwrap();
            assert_eq!((record.width, record.bounds.len()), (5001, MAX_FIELDS));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_csv_crate(text in "[a\",\\r\\n é]{0,80}", size in 1_usize..10) {
            let is_blank = |record: &Vec<String>| record.iter().all(String::is_empty);
            let expected: Vec<Vec<String>> = csv::ReaderBuilder::new()
                .has_headers(false).flexible(true).from_reader(text.as_bytes())
                .records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).filter(|record| !is_blank(record)).collect();
            let found: Vec<Vec<String>> = read(&text, size).into_iter().map(|(_, fields, ..)| fields)
                .filter(|record| !is_blank(record)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
