//! A file's bytes to its rows: decoded, split, mapped to columns and typed; each one accepted or rejected.

use std::sync::Arc;

use encoding_rs::Encoding;
use serde::Serialize;

use crate::domain::columns::Columns;
use crate::domain::value::Value;

use super::FileError;
use super::decode::TextDecoder;
use super::header::Header;
use super::records::{Record, RecordReader};
use super::validate;

/// Characters of a rejected value or line that an answer shows.
const SHOWN_CHARACTERS: usize = 200;

/// A valid row.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Number of its line in the file, from 1.
    pub line: u64,
    /// One value per column of the schema.
    pub values: &'a [Value],
    /// What text values are ranges of.
    pub buffer: &'a [u8],
}

/// Why a row is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// Number of its line in the file, from 1.
    pub line: u64,
    /// The column at fault; empty where it is the whole line.
    pub column: String,
    pub code: &'static str,
    pub reason: String,
    /// The field's text, or the line's, cut after 200 characters.
    pub value: String,
}

/// Takes the rows of a file, one after the other.
pub trait RowSink {
    type Error;

    /// Takes a valid row.
    fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error>;

    /// Takes a row that is not valid; `raw` is its whole text.
    fn reject(&mut self, reject: Reject, raw: &str) -> Result<(), Self::Error>;
}

/// Why reading stopped: the file, or whoever takes its rows.
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
    max_line_bytes: usize,
    decoder: TextDecoder,
    stage: Stage,
    values: Vec<Value>,
}

#[derive(Debug)]
enum Stage {
    /// The first line is not complete yet.
    Header(String),
    Rows {
        header: Header,
        records: Box<RecordReader>,
    },
}

impl RowReader {
    /// `encoding`: the file's, where its sender knows it.
    pub fn new(columns: Arc<Columns>, encoding: Option<&'static Encoding>, max_line_bytes: usize) -> Self {
        Self {
            columns,
            max_line_bytes,
            decoder: TextDecoder::new(encoding),
            stage: Stage::Header(String::new()),
            values: Vec::new(),
        }
    }

    /// The encoding's name, once it is known.
    pub fn encoding(&self) -> Option<&'static str> {
        self.decoder.encoding()
    }

    /// The header, once it is read.
    pub fn header(&self) -> Option<&Header> {
        match &self.stage {
            Stage::Header(_) => None,
            Stage::Rows { header, .. } => Some(header),
        }
    }

    /// Reads the rows in the next bytes; `last` says that no more will come.
    ///
    /// # Errors
    /// The file cannot be read on, or `sink` refuses.
    pub fn push<S: RowSink>(
        &mut self,
        bytes: &[u8],
        last: bool,
        sink: &mut S,
    ) -> Result<(), RowsError<S::Error>> {
        if let Stage::Header(text) = &mut self.stage {
            self.decoder.push(bytes, last, text)?;
            let Some((header, records)) = read_header(text, last, &self.columns, self.max_line_bytes)? else {
                return Ok(());
            };
            self.stage = Stage::Rows { header, records: Box::new(records) };
        } else if let Stage::Rows { records, .. } = &mut self.stage {
            self.decoder.push(bytes, last, records.buffer())?;
        }
        let Stage::Rows { header, records } = &mut self.stage else { return Ok(()) };
        while let Some(record) = records.next(last)? {
            take_record(&record, header, &self.columns, &mut self.values, sink).map_err(RowsError::Sink)?;
        }
        Ok(())
    }
}

/// Reads the header once its line is complete, and returns a reader that stands behind it.
fn read_header(
    text: &str,
    last: bool,
    columns: &Columns,
    max_line_bytes: usize,
) -> Result<Option<(Header, RecordReader)>, FileError> {
    let blank = text.len() - text.trim_start_matches(['\r', '\n']).len();
    let body = text.get(blank..).unwrap_or_default();
    let line = match body.find(['\r', '\n']) {
        Some(end) => body.get(..end).unwrap_or_default(),
        None if last && body.is_empty() => {
            let expected: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            return Err(FileError::Empty { expected: expected.join(", ") });
        }
        None if last => body,
        None if text.len() > max_line_bytes => {
            return Err(FileError::LineTooLong { line: 1, limit: max_line_bytes });
        }
        None => return Ok(None),
    };
    let header = Header::parse(line, columns)?;
    let mut records = RecordReader::new(header.delimiter, max_line_bytes);
    records.buffer().push_str(text);
    records.next(last)?;
    Ok(Some((header, records)))
}

fn take_record<S: RowSink>(
    record: &Record<'_>,
    header: &Header,
    columns: &Columns,
    values: &mut Vec<Value>,
    sink: &mut S,
) -> Result<(), S::Error> {
    match parse_record(record, header, columns, values) {
        Ok(()) => sink.accept(Row { line: record.line, values, buffer: record.fields }),
        Err(reject) => sink.reject(*reject, record.raw),
    }
}

fn parse_record(
    record: &Record<'_>,
    header: &Header,
    columns: &Columns,
    values: &mut Vec<Value>,
) -> Result<(), Box<Reject>> {
    if record.ends.len() != header.width {
        return Err(Box::new(Reject {
            line: record.line,
            column: String::new(),
            code: "wrong_number_of_fields",
            reason: format!("{} fields where the header has {}", record.ends.len(), header.width),
            value: shown(record.raw),
        }));
    }
    values.clear();
    for (column, &field) in columns.iter().zip(&header.fields) {
        let range = record.range(field).unwrap_or_default();
        let text = record.fields.get(range.clone()).unwrap_or_default();
        let value = validate::parse_field(column, text, range.start).map_err(|error| {
            Box::new(Reject {
                line: record.line,
                column: column.name.clone(),
                code: error.code(),
                reason: error.to_string(),
                value: shown(&String::from_utf8_lossy(text)),
            })
        })?;
        values.push(value);
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keeps what it is given, in words.
    #[derive(Default)]
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

    fn read(bytes: &[u8], size: usize) -> Result<Kept, FileError> {
        let columns = Columns::parse(
            r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#,
        )
        .unwrap();
        let mut reader = RowReader::new(Arc::new(columns), None, 10_000);
        let mut kept = Kept::default();
        for piece in bytes.chunks(size).map(|piece| (piece, false)).chain([(&[][..], true)]) {
            reader.push(piece.0, piece.1, &mut kept).map_err(|error| match error {
                RowsError::File(error) => error,
                RowsError::Sink(never) => match never {},
            })?;
        }
        Ok(kept)
    }

    #[test]
    fn a_bad_row_is_rejected_with_its_place_and_the_rest_goes_on() {
        let kept = read(b"name,id,x\na,1,\nb,one,\n\n\"c\n\",3\nd,4,", 1000).unwrap();
        assert_eq!(kept.rows, [(2, 1, "a".to_owned()), (7, 4, "d".to_owned())]);
        let rejects: Vec<_> =
            kept.rejects.iter().map(|(r, raw)| (r.line, r.column.as_str(), r.code, raw.as_str())).collect();
        assert_eq!(
            rejects,
            [(3, "id", "not_an_integer", "b,one,"), (5, "", "wrong_number_of_fields", "\"c\n\",3")]
        );
    }

    #[test]
    fn a_header_alone_is_a_file_of_no_rows_and_nothing_is_an_error() {
        assert!(read(b"id,name", 1000).unwrap().rows.is_empty());
        assert!(matches!(read(b"", 1000), Err(FileError::Empty { .. })));
        assert!(matches!(read(b"\r\n", 1000), Err(FileError::Empty { .. })));
    }

    proptest! {
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
