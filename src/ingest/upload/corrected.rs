//! A file of corrected lines: the downloaded rejects, with a column that names the reject of each line. If the upload was JSON, each line is
//! an object with such a member.

use std::sync::Arc;

use encoding_rs::Encoding;
use serde::Deserialize;

use crate::domain::columns::Columns;
use crate::ingest::FileError;
use crate::ingest::column_names::{ColumnNames, Naming, plain_name, trimmed};
use crate::ingest::decode::{SNIFF_BYTES, TextDecoder};
use crate::ingest::format::FileFormat;
use crate::ingest::header::Header;
use crate::ingest::json::RowTexts;
use crate::ingest::missing_columns::MissingColumns;
use crate::ingest::records::RecordReader;
use crate::ingest::row_ends::RowEnds;

pub use crate::ingest::json::REJECT_LINE;

/// A line of the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Corrected {
    /// It is the file's header.
    pub header: Option<Header>,
    /// Which reject it is; none if it does not say.
    pub reject_line: Option<u64>,
    /// Number of its line in the file, from 1.
    pub line: u64,
    pub raw: String,
    /// How the rows of the file end.
    pub ends: RowEnds,
}

impl Corrected {
    /// A row of a file of objects.
    fn object(line: u64, raw: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Named {
            reject_line: u64,
        }
        let named: Option<Named> = serde_json::from_slice(raw).ok();
        Self {
            reject_line: named.map(|named| named.reject_line),
            line,
            raw: String::from_utf8_lossy(raw).into_owned(),
            ..Self::default()
        }
    }
}

/// Reads lines from bytes that arrive piece by piece. Memory is bounded by the line limit and the size of a piece.
pub struct CorrectedReader {
    columns: Arc<Columns>,
    names: ColumnNames,
    /// The encoding that the sender named.
    encoding: Option<&'static Encoding>,
    /// Bytes that were not decoded yet.
    held: Vec<u8>,
    decoder: Option<TextDecoder>,
    /// The decoder has seen the end.
    is_decoded: bool,
    records: RecordReader,
    /// Reads objects. None: the file is CSV.
    objects: Option<RowTexts>,
    /// The header, and which of its fields is `reject_line`, once it is read.
    header: Option<(Header, usize)>,
    ends: RowEnds,
}

impl CorrectedReader {
    /// `names`: columns that the file calls by other names. `is_json`: its rows are objects. `encoding`: the one that the sender named.
    pub fn new(
        columns: Arc<Columns>,
        names: ColumnNames,
        is_json: bool,
        encoding: Option<&'static Encoding>,
        max_line_bytes: usize,
    ) -> Self {
        Self {
            columns,
            names,
            encoding,
            held: Vec::new(),
            decoder: None,
            is_decoded: false,
            // Until the header shows the real one.
            records: RecordReader::new(b',', max_line_bytes),
            objects: is_json.then(|| RowTexts::new(FileFormat::Json, max_line_bytes)),
            header: None,
            ends: RowEnds::Unknown,
        }
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Returns the next line, the header first. None: more bytes are needed, or, with `last`, there are no more lines.
    ///
    /// # Errors
    /// It is not text, the header lacks a column, or a line is too long.
    pub fn next(&mut self, last: bool) -> Result<Option<Corrected>, FileError> {
        let Some(encoding) = self.decode(last)? else { return Ok(None) };
        if let Some(objects) = &mut self.objects {
            return Ok(objects.next(last)?.map(|row| Corrected::object(row.number, row.raw)));
        }
        let Some((header, reject_line)) = &self.header else { return self.read_header(encoding, last) };
        let Some(record) = self.records.next(last)? else { return Ok(None) };
        if self.ends.fits(&record, header) && !self.ends.is_doubtful(&record, header, &self.columns, None) {
            self.ends = self.ends.after(&record, header);
        }
        let field = record.text(*reject_line).and_then(|text| std::str::from_utf8(text).ok());
        Ok(Some(Corrected {
            header: None,
            reject_line: field.and_then(|text| text.trim().parse().ok()),
            line: record.line,
            raw: String::from_utf8_lossy(record.raw).into_owned(),
            ends: self.ends,
        }))
    }

    /// Decodes the held bytes, and returns the encoding; none if it is not known yet.
    fn decode(&mut self, last: bool) -> Result<Option<&'static str>, FileError> {
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            None if self.held.len() < SNIFF_BYTES && !last => return Ok(None),
            none => none.insert(TextDecoder::for_file(&self.held, self.encoding)?),
        };
        if !self.is_decoded && (last || !self.held.is_empty()) {
            self.is_decoded = last;
            // Half a unit of UTF-16 waits for the other half.
            let whole = if last { self.held.len() } else { self.held.len() / 2 * 2 };
            let half = self.held.split_off(whole);
            let buffer = match &mut self.objects {
                Some(objects) => objects.buffer(),
                None => self.records.buffer(),
            };
            decoder.decode(&self.held, last, buffer);
            self.held = half;
        }
        Ok(Some(decoder.name()))
    }

    fn read_header(&mut self, encoding: &'static str, last: bool) -> Result<Option<Corrected>, FileError> {
        let naming = Naming { columns: &self.columns, names: &self.names };
        let Some(header) = Header::read(&mut self.records, last, naming, encoding)? else {
            return Ok(None);
        };
        let names = split(&header.line, header.delimiter);
        let Some(reject_line) = names.iter().position(|name| plain_name(name) == REJECT_LINE) else {
            return Err(FileError::MissingColumns(Box::new(MissingColumns::one(REJECT_LINE, names))));
        };
        self.header = Some((header.clone(), reject_line));
        Ok(Some(Corrected { header: Some(header), line: 1, ..Corrected::default() }))
    }
}

fn split(line: &str, delimiter: u8) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
    record.iter().map(|name| trimmed(name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_their_rejects_in_any_encoding_and_in_pieces_of_any_size() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"}]}"#;
        let columns = Arc::new(Columns::parse(schema).unwrap());
        let text = "id;Reject_Line ;é\n1; 7;\n\"2\n\";8;\n3;;x";
        let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [text.as_bytes(), &utf_16] {
            for size in [1, 3, 1000] {
                let mut reader =
                    CorrectedReader::new(columns.clone(), ColumnNames::default(), false, None, 1000);
                let mut found = Vec::new();
                for (piece, last) in bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
                    reader.push(piece);
                    while let Some(line) = reader.next(last).unwrap() {
                        found.push((line.header.is_some(), line.reject_line, line.line, line.raw));
                    }
                }
                let line = |reject_line, line, raw: &str| (false, reject_line, line, raw.to_owned());
                let expected =
                    [line(Some(7), 2, "1; 7;"), line(Some(8), 3, "\"2\n\";8;"), line(None, 5, "3;;x")];
                assert_eq!((found[0].0, &found[1..]), (true, &expected[..]));
            }
        }
    }

    #[test]
    fn objects_name_their_rejects() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"}]}"#;
        let columns = Arc::new(Columns::parse(schema).unwrap());
        let mut reader = CorrectedReader::new(columns, ColumnNames::default(), true, None, 1000);
        reader.push(b"{\"reject_line\":7,\"id\":1}\n{\"id\":2}\n{\"reject_line\":\n");
        let mut found = Vec::new();
        while let Some(row) = reader.next(true).unwrap() {
            found.push((row.reject_line, row.line, row.raw));
        }
        let row = |reject_line, line, raw: &str| (reject_line, line, raw.to_owned());
        let expected = [
            row(Some(7), 1, r#"{"reject_line":7,"id":1}"#),
            row(None, 2, r#"{"id":2}"#),
            row(None, 3, r#"{"reject_line":"#),
        ];
        assert_eq!(found, expected);
    }
}
