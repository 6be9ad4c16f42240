//! The first line of a file: its delimiter, and which field is which column.

use crate::domain::columns::{Column, Columns};

use super::FileError;

/// Delimiters that are tried; where several give the same columns the first counts.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// How much of a header that is none is shown.
const SHOWN_CHARACTERS: usize = 120;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The line itself, without a byte order mark.
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
    /// Reads the header line. Names count in any order and case, with blanks or a byte order mark around them.
    ///
    /// # Errors
    /// It is no header, or lacks a column, or names one twice.
    pub fn parse(line: &str, columns: &Columns) -> Result<Self, FileError> {
        let known = |name: &String| columns.fields().any(|column| column.name == *name);
        let (delimiter, names) = DELIMITERS
            .into_iter()
            .map(|delimiter| (delimiter, split(line, delimiter)))
            .rev()
            .max_by_key(|(_, names)| names.iter().filter(|name| known(name)).count())
            .filter(|(_, names)| names.iter().any(known))
            .ok_or_else(|| FileError::NotCsv { line: line.chars().take(SHOWN_CHARACTERS).collect() })?;
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
        let line = line.trim_start_matches('\u{feff}').to_owned();
        Ok(Self { line, delimiter, fields, width, ignored })
    }
}

fn split(line: &str, delimiter: u8) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
    record
        .iter()
        .map(|name| name.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').to_lowercase())
        .collect()
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

    #[test]
    fn order_case_blanks_marks_and_delimiters_do_not_matter() {
        for (line, delimiter) in
            [("\u{feff}Name , extra,\"ID\"", b','), ("NAME;extra;id", b';'), ("name\textra\tid", b'\t')]
        {
            let header = Header::parse(line, &columns()).unwrap();
            assert_eq!(
                header,
                Header {
                    line: line.trim_start_matches('\u{feff}').to_owned(),
                    delimiter,
                    fields: vec![Some(2), Some(0)],
                    width: 3,
                    ignored: vec!["extra".to_owned()]
                }
            );
        }
    }

    #[test]
    fn a_missing_or_repeated_column_is_named() {
        let missing = Header::parse("id,nome", &columns()).unwrap_err();
        assert_eq!(missing.to_string(), "the header lacks name: it has id, nome");
        let twice = Header::parse("id,name,ID", &columns()).unwrap_err();
        assert_eq!(twice, FileError::DuplicateColumn { name: "id".to_owned() });
        assert!(matches!(Header::parse("%PDF-1.4", &columns()), Err(FileError::NotCsv { .. })));
    }
}
