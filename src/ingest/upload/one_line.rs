//! One line by itself: an unclosed quote takes no more than its own line.

use std::sync::Arc;

use uuid::Uuid;

use super::UploadError;
use crate::domain::columns::Columns;
use crate::domain::value::Value;
use crate::ingest::FileError;
use crate::ingest::column_names::Naming;
use crate::ingest::format::FileFormat;
use crate::ingest::header::Header;
use crate::ingest::row_ends::RowEnds;
use crate::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError};

/// The result of reading a line.
pub enum Checked {
    /// Text values are ranges of `buffer`.
    Valid { values: Vec<Value>, buffer: Vec<u8> },
    /// Lines are counted from the header.
    Rejected(Box<Reject>),
}

/// Reads lines of one file, each as if it were the only one.
pub struct LineReader {
    columns: Arc<Columns>,
    max_line_bytes: usize,
    upload_id: Uuid,
    options: ReadOptions,
    /// None: the upload ended before its header.
    header: Option<Header>,
    ends: RowEnds,
}

impl LineReader {
    /// `header`: by which lines are read; `options`: with the mark of the amounts, which no line shows by itself.
    pub fn new(
        columns: Arc<Columns>,
        header: Option<Header>,
        ends: RowEnds,
        max_line_bytes: usize,
        upload_id: Uuid,
        options: ReadOptions,
    ) -> Self {
        Self { columns, max_line_bytes, upload_id, options, header, ends }
    }

    /// Reads lines from here on by another header, if it is another one: the one that an upload has stored as `line`.
    ///
    /// # Errors
    /// The columns have changed since.
    pub fn set_stored_header(&mut self, line: &str) -> Result<(), FileError> {
        if let Some(header) = self.header.as_mut().filter(|header| header.line != line) {
            let naming = Naming { columns: &self.columns, names: &self.options.columns };
            *header = Header::stored(line, header.delimiter, naming)?;
        }
        Ok(())
    }

    /// Reads lines from here on by another header.
    pub fn set_header(&mut self, header: Header) {
        self.header = Some(header);
    }

    /// Sets how lines from here on end.
    pub fn set_ends(&mut self, ends: RowEnds) {
        self.ends = ends;
    }

    /// Reads a line. One that stops a file, such as a header with unknown names, is a reject here.
    ///
    /// # Errors
    /// The line needs something that is not known of its file.
    pub fn read(&mut self, raw: &str) -> Result<Checked, UploadError> {
        let mut reader = RowReader::new(self.columns.clone(), self.options.clone(), self.max_line_bytes)
            .for_upload(self.upload_id);
        let is_json = self.options.format == FileFormat::JsonRow;
        match self.header.clone() {
            _ if is_json => {}
            Some(header) => reader = reader.after_header(header, self.ends),
            None => {
                let reason = "the upload ended before its header was read".to_owned();
                return Ok(rejected("wrong_number_of_fields", reason, raw));
            }
        }
        let mut rows = Rows(Vec::new());
        match reader.push(raw.as_bytes(), true, &mut rows) {
            Ok(()) => {}
            Err(RowsError::File(
                error @ (FileError::LineTooLong { .. }
                | FileError::HeaderChanged { .. }
                | FileError::EncodingChanged { .. }),
            )) => {
                return Ok(rejected(error.code(), error.to_string(), raw));
            }
            Err(RowsError::File(error)) => return Err(error.into()),
            Err(RowsError::Sink(never)) => match never {},
        }
        match (rows.0.pop(), rows.0.is_empty()) {
            (Some(row), true) => Ok(row),
            _ => {
                let code = if is_json { "invalid_json" } else { "wrong_number_of_fields" };
                Ok(rejected(code, "by itself this line is not one row".to_owned(), raw))
            }
        }
    }
}

fn rejected(code: &'static str, reason: String, raw: &str) -> Checked {
    Checked::Rejected(Box::new(Reject::of_line(0, code, reason, raw.as_bytes())))
}

/// The rows that were read.
struct Rows(Vec<Checked>);

impl RowSink for Rows {
    type Error = std::convert::Infallible;

    fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error> {
        self.0.push(Checked::Valid { values: row.values.to_vec(), buffer: row.buffer.to_vec() });
        Ok(())
    }

    fn reject(&mut self, reject: Reject, _: &str) -> Result<(), Self::Error> {
        self.0.push(Checked::Rejected(Box::new(reject)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decimal_mark::DecimalMark;

    #[test]
    fn a_line_is_read_by_itself() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;
        let columns = Arc::new(Columns::parse(schema).unwrap());
        let options = ReadOptions { decimal: Some(DecimalMark::Point), ..ReadOptions::default() };
        let naming = Naming { columns: &columns, names: &options.columns };
        let header = Header::stored("name;ID;x", b';', naming).unwrap();
        let mut reader =
            LineReader::new(columns.clone(), Some(header), RowEnds::Bare, 100, Uuid::nil(), options.clone());
        let mut code = |raw: &str| match reader.read(raw).unwrap() {
            Checked::Valid { values, buffer } => {
                assert_eq!(values[0], Value::Long(7));
                String::from_utf8(values[1].text(&buffer).to_vec()).unwrap()
            }
            Checked::Rejected(reject) => reject.first.code.to_owned(),
        };
        assert_eq!(code("\"a;b\";7;"), "a;b");
        assert_eq!(code("\"a;7;"), "unclosed_quote");
        assert_eq!(code("a;b;"), "not_an_integer");
        assert_eq!(code("a;7;\nb;7;"), "wrong_number_of_fields");
        assert_eq!(code(""), "wrong_number_of_fields");
        assert_eq!(code("PK\u{3}\u{4};x;"), "not_an_integer");
        assert_eq!(code("a;7;;"), "wrong_number_of_fields");
        assert_eq!(code(&"a".repeat(200)), "line_too_long");
    }

    #[test]
    fn a_row_of_json_is_read_by_itself_and_may_name_its_reject() {
        let schema = r#"{"type":"record","name":"R","unknown_members":"reject","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;
        let columns = Arc::new(Columns::parse(schema).unwrap());
        let options = ReadOptions { format: FileFormat::JsonRow, ..ReadOptions::default() };
        let mut reader = LineReader::new(columns, None, RowEnds::Bare, 100, Uuid::nil(), options);
        let mut code = |raw: &str| match reader.read(raw).unwrap() {
            Checked::Valid { values, buffer } => {
                assert_eq!(values[0], Value::Long(7));
                String::from_utf8(values[1].text(&buffer).to_vec()).unwrap()
            }
            Checked::Rejected(reject) => reject.first.code.to_owned(),
        };
        assert_eq!(code("{\n \"id\": 7,\n \"name\": \"a\"\n}"), "a");
        assert_eq!(code(r#"{"reject_line":3,"id":7,"name":"b"}"#), "b");
        assert_eq!(code(r#"{"id":7,"name":"b","x":1}"#), "unknown_member");
        assert_eq!(code(r#"{"id":7,"name":"b"} {"id":7,"name":"c"}"#), "invalid_json");
        assert_eq!(code(r#"{"id":7"#), "invalid_json");
        assert_eq!(code(""), "invalid_json");
        assert_eq!(code("oops"), "invalid_json");
        assert_eq!(code(&format!("{{\"id\":7,\"name\":\"{}\"}}", "a".repeat(200))), "line_too_long");
    }
}
