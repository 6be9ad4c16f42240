//! One line by itself: what an unclosed quote swallows is at most the line that it stands in.

use std::sync::Arc;

use encoding_rs::UTF_8;
use uuid::Uuid;

use super::UploadError;
use crate::domain::columns::Columns;
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::value::Value;
use crate::ingest::FileError;
use crate::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError, shown};

/// What a line is.
pub enum Checked {
    /// `buffer`: what text values are ranges of.
    Valid { values: Vec<Value>, buffer: Vec<u8> },
    /// Its line is counted from the header.
    Rejected(Box<Reject>),
}

/// Reads lines of one file, each as if it were the only one.
pub struct LineReader {
    columns: Arc<Columns>,
    max_line_bytes: usize,
    upload_id: Uuid,
    options: ReadOptions,
    header: String,
    /// Header and line, reused.
    text: String,
}

impl LineReader {
    /// `header`: the file's first line; `decimal`: the mark of its amounts, which no line shows by itself.
    pub fn new(
        columns: Arc<Columns>,
        header: &str,
        max_line_bytes: usize,
        upload_id: Uuid,
        decimal: DecimalMark,
    ) -> Self {
        let options = ReadOptions { encoding: Some(UTF_8), decimal: Some(decimal) };
        Self { columns, max_line_bytes, upload_id, options, header: header.to_owned(), text: String::new() }
    }

    pub fn set_header(&mut self, header: &str) {
        header.clone_into(&mut self.header);
    }

    /// Reads a line.
    ///
    /// # Errors
    /// The header does not fit the columns.
    pub fn read(&mut self, raw: &str) -> Result<Checked, UploadError> {
        self.text.clear();
        self.text.push_str(&self.header);
        self.text.push('\n');
        self.text.push_str(raw);
        let mut reader = RowReader::new(self.columns.clone(), self.options, self.max_line_bytes)
            .for_upload(self.upload_id);
        let mut rows = Rows(Vec::new());
        match reader.push(self.text.as_bytes(), true, &mut rows) {
            Ok(()) => {}
            Err(RowsError::File(error @ FileError::LineTooLong { .. })) => {
                return Ok(Checked::Rejected(Box::new(whole_line(error.code(), error.to_string(), raw))));
            }
            Err(RowsError::File(error)) => return Err(error.into()),
            Err(RowsError::Sink(never)) => match never {},
        }
        match (rows.0.pop(), rows.0.is_empty()) {
            (Some(row), true) => Ok(row),
            _ => {
                let reason = "by itself this line is not one row".to_owned();
                Ok(Checked::Rejected(Box::new(whole_line("wrong_number_of_fields", reason, raw))))
            }
        }
    }
}

fn whole_line(code: &'static str, reason: String, raw: &str) -> Reject {
    Reject { line: 0, byte_offset: 0, column: String::new(), code, reason, value: shown(raw.as_bytes()) }
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

    #[test]
    fn a_line_is_read_by_itself() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;
        let columns = Arc::new(Columns::parse(schema).unwrap());
        let mut reader = LineReader::new(columns, "name;ID;x", 100, Uuid::nil(), DecimalMark::Point);
        let mut code = |raw: &str| match reader.read(raw).unwrap() {
            Checked::Valid { values, buffer } => {
                assert_eq!(values[0], Value::Long(7));
                String::from_utf8(values[1].text(&buffer).to_vec()).unwrap()
            }
            Checked::Rejected(reject) => reject.code.to_owned(),
        };
        assert_eq!(code("\"a;b\";7;"), "a;b");
        assert_eq!(code("\"a;7;"), "unclosed_quote");
        assert_eq!(code("a;b;"), "not_an_integer");
        assert_eq!(code("a;7;\nb;7;"), "wrong_number_of_fields");
        assert_eq!(code(""), "wrong_number_of_fields");
        assert_eq!(code(&"a".repeat(200)), "line_too_long");
    }
}
