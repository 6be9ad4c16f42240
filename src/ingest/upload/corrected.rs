//! A file of corrected lines: as the rejects were downloaded, with a column that says which rejects they are.

use std::sync::Arc;

use crate::domain::columns::Columns;
use crate::ingest::FileError;
use crate::ingest::decode::{SNIFF_BYTES, TextDecoder};
use crate::ingest::header::Header;
use crate::ingest::records::RecordReader;

/// The column that says which reject a line is.
pub const REJECT_LINE: &str = "reject_line";

/// A line of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Corrected {
    /// It is the file's first line.
    pub header: Option<String>,
    /// Which reject it is; none where it does not say.
    pub reject_line: Option<u64>,
    /// Number of its line in the file, from 1.
    pub line: u64,
    pub raw: String,
}

/// Reads lines from bytes that arrive piece by piece. Memory is bounded by the line limit and the size of a piece.
pub struct CorrectedReader {
    columns: Arc<Columns>,
    max_line_bytes: usize,
    /// Bytes that were not decoded yet.
    held: Vec<u8>,
    decoder: Option<TextDecoder>,
    /// The decoder has seen the end.
    is_decoded: bool,
    /// Text that no record was made of yet: the header's.
    text: Vec<u8>,
    /// Behind the header: records, and which field is `reject_line`.
    rows: Option<(RecordReader, usize)>,
}

impl CorrectedReader {
    pub fn new(columns: Arc<Columns>, max_line_bytes: usize) -> Self {
        Self {
            columns,
            max_line_bytes,
            held: Vec::new(),
            decoder: None,
            is_decoded: false,
            text: Vec::new(),
            rows: None,
        }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Returns the next line, the header first; none if more bytes are needed, or, with `last`, if there is no more.
    ///
    /// # Errors
    /// It is no text, the header lacks a column, or a line is too long.
    pub fn next(&mut self, last: bool) -> Result<Option<Corrected>, FileError> {
        self.decode(last)?;
        match &mut self.rows {
            Some((records, reject_line)) => {
                let Some(record) = records.next(last)? else { return Ok(None) };
                let (start, end) = record.bounds(*reject_line).unwrap_or_default();
                let field = record.buffer.get(start..end).and_then(|text| std::str::from_utf8(text).ok());
                Ok(Some(Corrected {
                    header: None,
                    reject_line: field.and_then(|text| text.trim().parse().ok()),
                    line: record.line,
                    raw: String::from_utf8_lossy(record.raw).into_owned(),
                }))
            }
            None => self.read_header(last),
        }
    }

    fn decode(&mut self, last: bool) -> Result<(), FileError> {
        if self.decoder.is_none() {
            if self.held.len() < SNIFF_BYTES && !last {
                return Ok(());
            }
            self.decoder = Some(TextDecoder::for_file(&self.held, None)?);
        }
        if self.is_decoded || (self.held.is_empty() && !last) {
            return Ok(());
        }
        self.is_decoded = last;
        let held = std::mem::take(&mut self.held);
        if let Some(decoder) = &mut self.decoder {
            let text = match &mut self.rows {
                Some((records, _)) => records.buffer(),
                None => &mut self.text,
            };
            // Half a unit of UTF-16 waits for the other.
            let whole = if last { held.len() } else { held.len() / 2 * 2 };
            let (whole, half) = held.split_at(whole);
            decoder.decode(whole, last, text);
            self.held.extend_from_slice(half);
        }
        Ok(())
    }

    fn read_header(&mut self, last: bool) -> Result<Option<Corrected>, FileError> {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let end = match self.text.iter().position(is_end) {
            Some(end) => end,
            None if last => self.text.len(),
            None if self.text.len() > self.max_line_bytes => {
                return Err(FileError::LineTooLong { line: 1, limit: self.max_line_bytes });
            }
            None => return Ok(None),
        };
        let line = String::from_utf8_lossy(self.text.get(..end).unwrap_or_default()).into_owned();
        let header = Header::parse(&line, &self.columns)?;
        let names = split(&line, header.delimiter);
        let Some(reject_line) = names.iter().position(|name| name == REJECT_LINE) else {
            return Err(FileError::MissingColumns { missing: vec![REJECT_LINE.to_owned()], found: names });
        };
        let mut records = RecordReader::new(header.delimiter, self.max_line_bytes);
        records.buffer().append(&mut self.text);
        records.next(last)?;
        self.rows = Some((records, reject_line));
        Ok(Some(Corrected { header: Some(header.line), line: 1, ..Corrected::default() }))
    }
}

fn split(line: &str, delimiter: u8) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
    record.iter().map(|name| name.trim().to_lowercase()).collect()
}
