//! The first rows of a file whose columns are not known, as texts: the encoding, the delimiter and the form are found as for an upload.

use super::FileError;
use super::decode::TextDecoder;
use super::format::FileFormat;
use super::header::DELIMITERS;
use super::json::{RowTexts, value_of as json_value};
use super::records::{Fields, Record, RecordReader};
use super::separator_line;
use super::validate::parse_field;
use crate::domain::columns::Column;
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::Clock;
use crate::domain::value::{Value, ValueError};

/// A value as the file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    /// A field of CSV.
    Field(&'a [u8]),
    /// A value in JSON.
    Json(&'a str),
}

impl Cell<'_> {
    /// Reads it as a value of a column, as an upload does.
    ///
    /// # Errors
    /// It is not a value of the column.
    pub fn read(self, column: &Column, mark: DecimalMark, clock: &mut Clock) -> Result<Value, ValueError> {
        match self {
            Self::Field(text) => parse_field(column, text, 0, mark, clock),
            Self::Json(raw) => json_value(column, raw, mark, clock),
        }
    }
}

/// A row.
#[derive(Debug)]
pub enum FirstRow<'a> {
    Record(Record<'a>),
    /// An object in JSON, if it is one.
    Object(&'a str),
}

/// Reads the first rows of a file.
#[derive(Debug)]
pub struct FirstRows {
    rows: Rows,
    /// No more follows after the bytes that were given.
    is_whole: bool,
    encoding: &'static str,
}

#[derive(Debug)]
enum Rows {
    Csv { records: RecordReader, header: Fields, delimiter: u8 },
    Json(RowTexts),
}

impl FirstRows {
    /// `head`: the first bytes of the file; `is_whole`: all of them.
    ///
    /// # Errors
    /// The bytes are not text, or have no row that is shorter than `max_line_bytes`.
    pub fn open(head: &[u8], is_whole: bool, max_line_bytes: usize) -> Result<Self, FileError> {
        let mut decoder = TextDecoder::for_file(head, None)?;
        let mut text = Vec::new();
        let whole_units = head.len() - head.len() % decoder.unit().width();
        decoder.decode(head.get(..whole_units).unwrap_or_default(), is_whole, &mut text);
        let format = FileFormat::Any.found_in(&text).unwrap_or_default();
        let rows = match format {
            FileFormat::Csv => csv(text, is_whole, max_line_bytes)?,
            _ => {
                let mut texts = RowTexts::new(format, max_line_bytes);
                *texts.buffer() = text;
                Rows::Json(texts)
            }
        };
        Ok(Self { rows, is_whole, encoding: decoder.name() })
    }

    pub fn encoding(&self) -> &'static str {
        self.encoding
    }

    /// The header of a CSV file, and its delimiter.
    pub fn header(&self) -> Option<(&Fields, u8)> {
        match &self.rows {
            Rows::Csv { header, delimiter, .. } => Some((header, *delimiter)),
            Rows::Json(_) => None,
        }
    }

    /// Returns the next row, and its text in the file. None at the end.
    ///
    /// # Errors
    /// A row is too long, or the text is not JSON.
    pub fn next_row(&mut self) -> Result<Option<(FirstRow<'_>, &[u8])>, FileError> {
        match &mut self.rows {
            Rows::Csv { records, .. } => {
                Ok(records.next(self.is_whole)?.map(|record| (FirstRow::Record(record), record.raw)))
            }
            Rows::Json(texts) => {
                let Some(row) = texts.next(self.is_whole)? else { return Ok(None) };
                let object = std::str::from_utf8(row.raw).unwrap_or_default();
                Ok(Some((FirstRow::Object(object), row.raw)))
            }
        }
    }
}

/// Takes the header off: the delimiter is the one that cuts it into most fields.
fn csv(text: Vec<u8>, is_whole: bool, max_line_bytes: usize) -> Result<Rows, FileError> {
    let mut records = RecordReader::new(b',', max_line_bytes);
    *records.buffer() = text;
    let named = records.first_line(is_whole).and_then(separator_line::delimiter);
    if named.is_some() {
        records.skip_line();
    }
    let (mut best, mut failure): (Option<(u8, Fields)>, _) = (None, None);
    for delimiter in named.map_or(DELIMITERS.to_vec(), |delimiter| vec![delimiter]) {
        match records.peek(delimiter, is_whole) {
            Ok(Some(fields)) if !fields.is_unclosed => {
                if best.as_ref().is_none_or(|(_, widest)| fields.width > widest.width) {
                    best = Some((delimiter, fields));
                }
            }
            Ok(_) => {}
            Err(error) => failure = Some(error),
        }
    }
    let Some((delimiter, header)) = best else {
        let expected = "names of the columns".to_owned();
        return Err(failure.unwrap_or(FileError::Empty { expected }));
    };
    records.set_delimiter(delimiter);
    records.next(is_whole)?;
    Ok(Rows::Csv { records, header, delimiter })
}
