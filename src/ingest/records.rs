//! Text to CSV records, with the raw line and the line number of each.
//!
//! RFC 4180 as `csv-core` reads it: quoted fields may hold delimiters, doubled quotes and line ends; lines end in CRLF, LF
//! or CR; blank lines are passed over.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::FileError;

/// The most fields a record may have: beyond it the rest is not told apart.
const MAX_FIELDS: usize = 1024;

/// One record: its unescaped fields, its first line's number, and the text it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// All fields, unescaped, one behind the other.
    pub fields: &'a [u8],
    /// Where each field ends in `fields`.
    pub ends: &'a [usize],
    /// Number of the record's first line, from 1.
    pub line: u64,
    /// The text as it stands in the file, without the line end.
    pub raw: &'a str,
}

impl Record<'_> {
    /// The range of a field in `fields`.
    pub fn range(&self, index: usize) -> Option<std::ops::Range<usize>> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        Some(start..end)
    }
}

/// Reads records from text that arrives piece by piece. Memory is bounded by the line limit.
#[derive(Debug)]
pub struct RecordReader {
    core: Reader,
    text: String,
    /// Where the current record begins in `text`, and how far it has been read.
    start: usize,
    position: usize,
    fields: Vec<u8>,
    fields_length: usize,
    ends: Vec<usize>,
    ends_length: usize,
    lines: LineCounter,
    max_line_bytes: usize,
}

impl RecordReader {
    pub fn new(delimiter: u8, max_line_bytes: usize) -> Self {
        Self {
            core: ReaderBuilder::new().delimiter(delimiter).build(),
            text: String::new(),
            start: 0,
            position: 0,
            fields: vec![0; 1024],
            fields_length: 0,
            ends: vec![0; 32],
            ends_length: 0,
            lines: LineCounter::default(),
            max_line_bytes,
        }
    }

    /// The buffer to whose end new text is to be added.
    pub fn buffer(&mut self) -> &mut String {
        // What has been read is let go of here, once a piece, so that no record pays for it.
        if self.start > 0 {
            self.text.drain(..self.start);
            self.position -= self.start;
            self.start = 0;
        }
        &mut self.text
    }

    /// Returns the next record; none if more text is needed, or, with `last`, if there is no more.
    ///
    /// # Errors
    /// The record is longer than the limit.
    pub fn next(&mut self, last: bool) -> Result<Option<Record<'_>>, FileError> {
        loop {
            let input = self.text.as_bytes().get(self.position..).unwrap_or_default();
            if input.is_empty() && !last {
                return self.check_length().map(|()| None);
            }
            let (result, read, written, ended) = self.core.read_record(
                input,
                self.fields.get_mut(self.fields_length..).unwrap_or_default(),
                self.ends.get_mut(self.ends_length..).unwrap_or_default(),
            );
            self.position += read;
            self.fields_length += written;
            self.ends_length += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => {
                    self.check_length()?;
                    self.fields.resize(self.fields.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < MAX_FIELDS => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    return Err(FileError::LineTooLong { line: self.lines.next, limit: self.max_line_bytes });
                }
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => {
                    self.check_length()?;
                    return Ok(Some(self.finish_record()));
                }
            }
        }
    }

    fn finish_record(&mut self) -> Record<'_> {
        let raw = self.text.get(self.start..self.position).unwrap_or_default();
        let line = self.lines.pass(raw);
        self.start = self.position;
        let fields = self.fields.get(..self.fields_length).unwrap_or_default();
        let ends = self.ends.get(..self.ends_length).unwrap_or_default();
        self.fields_length = 0;
        self.ends_length = 0;
        Record { fields, ends, line, raw: raw.trim_matches(['\r', '\n']) }
    }

    fn check_length(&self) -> Result<(), FileError> {
        if self.position - self.start > self.max_line_bytes {
            return Err(FileError::LineTooLong { line: self.lines.next, limit: self.max_line_bytes });
        }
        Ok(())
    }
}

/// Counts lines that end in CRLF, LF or CR.
#[derive(Debug)]
struct LineCounter {
    /// Number of the line that comes next.
    next: u64,
    /// The text so far ended in CR: a LF that follows belongs to it.
    after_cr: bool,
}

impl Default for LineCounter {
    fn default() -> Self {
        Self { next: 1, after_cr: false }
    }
}

impl LineCounter {
    /// Passes over a record's text, and returns the number of its first line that is not blank.
    fn pass(&mut self, raw: &str) -> u64 {
        let bytes = raw.as_bytes();
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (blank, rest) = bytes.split_at(blank);
        self.count(blank);
        let first = self.next;
        self.count(rest);
        first
    }

    fn count(&mut self, bytes: &[u8]) {
        for at in memchr::memchr2_iter(b'\r', b'\n', bytes) {
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

    fn read(text: &str, size: usize) -> Vec<(u64, Vec<String>, String)> {
        let mut reader = RecordReader::new(b',', 10_000);
        let mut records = Vec::new();
        let pieces: Vec<char> = text.chars().collect();
        let mut pieces = pieces.chunks(size);
        loop {
            let piece = pieces.next();
            reader.buffer().extend(piece.unwrap_or_default());
            while let Some(record) = reader.next(piece.is_none()).unwrap() {
                let fields = (0..record.ends.len())
                    .map(|at| String::from_utf8(record.fields[record.range(at).unwrap()].to_vec()).unwrap());
                records.push((record.line, fields.collect(), record.raw.to_owned()));
            }
            if piece.is_none() {
                return records;
            }
        }
    }

    #[test]
    fn records_know_their_line_and_their_text() {
        for end in ["\r\n", "\n", "\r"] {
            let text = format!("a,b{end}{end}1,\"x{end}y\"\"z\"{end}2,3");
            let expected = vec![
                (1, vec!["a".to_owned(), "b".to_owned()], "a,b".to_owned()),
                (3, vec!["1".to_owned(), format!("x{end}y\"z")], format!("1,\"x{end}y\"\"z\"")),
                (5, vec!["2".to_owned(), "3".to_owned()], "2,3".to_owned()),
            ];
            for size in [1, 2, 5, 1000] {
                assert_eq!(read(&text, size), expected, "{end:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_line_over_the_limit_is_an_error_before_memory_grows() {
        let mut reader = RecordReader::new(b',', 1000);
        for _ in 0..100 {
            reader.buffer().push_str(&"\"x".repeat(50));
            if let Err(error) = reader.next(false) {
                assert_eq!(error, FileError::LineTooLong { line: 1, limit: 1000 });
                return;
            }
        }
        panic!("no error");
    }

    proptest! {
        #[test]
        fn agrees_with_the_csv_crate(text in "[a\",\\r\\n é]{0,80}", size in 1_usize..10) {
            let expected: Vec<Vec<String>> = csv::ReaderBuilder::new()
                .has_headers(false).flexible(true).from_reader(text.as_bytes())
                .records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect();
            let found: Vec<Vec<String>> = read(&text, size).into_iter().map(|(_, fields, _)| fields).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
