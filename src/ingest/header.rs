//! The first record of a file: its delimiter, and which field is which column.

use crate::domain::columns::{Column, Columns};

use super::FileError;
use super::records::{Fields, MAX_FIELDS, RecordReader};

/// Delimiters that are tried; where several give the same columns the first counts.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// How much of a header that is none is shown.
const SHOWN_CHARACTERS: usize = 120;

/// What the first record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The record itself, without a byte order mark.
    pub line: String,
    pub delimiter: u8,
    /// For each column of the schema, the index of its field; none for a column that is no field of a file.
    pub fields: Vec<Option<usize>>,
    /// How many fields a record has.
    pub width: usize,
    /// Names that are no columns of ours.
    pub ignored: Vec<String>,
}

impl Header {
    /// Takes the header off a file's text; none if more of it is needed. `encoding`: what the text was decoded from.
    ///
    /// # Errors
    /// It is no header, or lacks a column, or names one twice, or is longer than a line may be.
    pub fn read(
        records: &mut RecordReader,
        last: bool,
        columns: &Columns,
        encoding: &'static str,
    ) -> Result<Option<Self>, FileError> {
        let known = |fields: &Fields| names(fields).filter(|name| is_known(columns, name)).count();
        let mut best: Option<(usize, u8, Fields)> = None;
        let mut is_incomplete = false;
        let mut too_long = None;
        // A quoted field may go on for some lines with one delimiter, and be none with another.
        for delimiter in DELIMITERS {
            match records.peek(delimiter, last) {
                Ok(Some(fields)) if fields.is_unclosed => {}
                Ok(Some(fields)) => {
                    let count = known(&fields);
                    if count > best.as_ref().map_or(0, |(most, ..)| *most) {
                        best = Some((count, delimiter, fields));
                    }
                }
                Ok(None) => is_incomplete = true,
                Err(error) => too_long = Some(error),
            }
        }
        let header = best.map(|(_, delimiter, fields)| Self::of(delimiter, &fields, columns));
        match header {
            Some(Ok(header)) => {
                records.set_delimiter(header.delimiter);
                records.next(last)?;
                Ok(Some(header))
            }
            _ if is_incomplete && !last => Ok(None),
            Some(Err(error)) => Err(error),
            None => Err(too_long.unwrap_or_else(|| no_header(records.unread(), columns, encoding))),
        }
    }

    /// Reads a header that is there as a whole.
    ///
    /// # Errors
    /// As above.
    pub fn parse(text: &str, columns: &Columns) -> Result<Self, FileError> {
        let mut records = RecordReader::new(b',', usize::MAX);
        records.buffer().extend_from_slice(text.as_bytes());
        let header = Self::read(&mut records, true, columns, encoding_rs::UTF_8.name())?;
        header.ok_or_else(|| no_header(text.as_bytes(), columns, encoding_rs::UTF_8.name()))
    }

    /// Names count in any order and case, with blanks or a byte order mark around them.
    ///
    /// # Errors
    /// It lacks a column, or names one twice, or has too many.
    pub(super) fn of(delimiter: u8, fields: &Fields, columns: &Columns) -> Result<Self, FileError> {
        if fields.width > MAX_FIELDS {
            return Err(FileError::TooManyColumns { found: fields.width, limit: MAX_FIELDS });
        }
        let line = fields.raw.trim_start_matches('\u{feff}').to_owned();
        let names: Vec<String> = names(fields).collect();
        let known = |name: &String| is_known(columns, name);
        if let Some(name) = first_repeated(&names, known) {
            return Err(FileError::DuplicateColumn { name });
        }
        let place = |column: &Column| names.iter().position(|name| column.is_field() && *name == column.name);
        let fields: Vec<Option<usize>> = columns.iter().map(place).collect();
        let missing: Vec<String> = columns
            .fields()
            .filter(|column| !names.contains(&column.name))
            .map(|column| column.name.clone())
            .collect();
        if !missing.is_empty() {
            return Err(FileError::MissingColumns { missing, found: names });
        }
        let width = names.len();
        let ignored = names.into_iter().filter(|name| !known(name)).collect();
        Ok(Self { line, delimiter, fields, width, ignored })
    }

    /// Whether rows are read the same by both.
    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        (&self.fields, self.width, &self.ignored) == (&other.fields, other.width, &other.ignored)
    }
}

fn names(fields: &Fields) -> impl Iterator<Item = String> {
    fields.texts.iter().map(|name| trimmed(name).to_lowercase())
}

/// A name without what may stand around it.
pub fn trimmed(name: &str) -> &str {
    name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}')
}

fn is_known(columns: &Columns, name: &str) -> bool {
    columns.fields().any(|column| column.name == name)
}

/// Says why a text does not begin with a header.
fn no_header(text: &[u8], columns: &Columns, encoding: &'static str) -> FileError {
    if text.is_empty() {
        let expected: Vec<&str> = columns.fields().map(|column| column.name.as_str()).collect();
        return FileError::Empty { expected: expected.join(", ") };
    }
    let line = text.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let is_no_text = |c: char| c == char::REPLACEMENT_CHARACTER || (c.is_control() && c != '\t');
    if line.contains(is_no_text) {
        return FileError::NotDecodable { encoding };
    }
    FileError::NotCsv { line: line.chars().take(SHOWN_CHARACTERS).collect() }
}

fn first_repeated(names: &[String], known: impl Fn(&String) -> bool) -> Option<String> {
    let repeated =
        |(at, name): &(usize, &String)| known(name) && names.iter().take(*at).any(|before| before == *name);
    names.iter().enumerate().find(repeated).map(|(_, name)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        Columns::parse(
            r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#,
        )
        .unwrap()
    }

    fn parse(text: &str, last: bool) -> Result<Option<Header>, FileError> {
        let mut records = RecordReader::new(b',', 100);
        records.buffer().extend_from_slice(text.as_bytes());
        Header::read(&mut records, last, &columns(), "UTF-8")
    }

    #[test]
    fn order_case_blanks_marks_and_delimiters_do_not_matter() {
        for (line, delimiter) in
            [("\u{feff}Name , extra,\"ID\"", b','), ("NAME;extra;id", b';'), ("name\textra\tid", b'\t')]
        {
            let expected = Header {
                line: line.trim_start_matches('\u{feff}').to_owned(),
                delimiter,
                fields: vec![Some(2), Some(0)],
                width: 3,
                ignored: vec!["extra".to_owned()],
            };
            assert_eq!(parse(line, true), Ok(Some(expected)));
            assert_eq!(parse(line, false), Ok(None));
        }
    }

    #[test]
    fn a_missing_or_repeated_column_is_named() {
        let missing = parse("id,nome\n", false).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the header lacks name: it has id, nome; rename or add what is missing, and send the file again"
        );
        let twice = parse("id,name,ID\n", false).unwrap_err();
        assert_eq!(twice, FileError::DuplicateColumn { name: "id".to_owned() });
    }

    #[test]
    fn what_is_no_header_is_told_apart() {
        assert_eq!(parse("%PDF-1.4", true), Err(FileError::NotCsv { line: "%PDF-1.4".to_owned() }));
        assert_eq!(parse("\0\u{1}x", true), Err(FileError::NotDecodable { encoding: "UTF-8" }));
        assert!(matches!(parse("\r\n", true), Err(FileError::Empty { .. })));
        assert_eq!(parse("\r\n", false), Ok(None));
        for open in ["id,\"name\n", "\"id,name\n", "id;\"name\n"] {
            assert_eq!(parse(open, false), Ok(None), "{open}");
            assert!(matches!(parse(open, true), Err(FileError::NotCsv { .. })), "{open}");
            let long = parse(&format!("{open}{}", "x\n".repeat(60)), false);
            assert!(matches!(long, Err(FileError::LineTooLong { line: 1, limit: 100 })), "{open}: {long:?}");
        }
    }
}
