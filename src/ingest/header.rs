//! The header of a file: its delimiter, and which field is which column.

use crate::domain::columns::Column;

use super::FileError;
use super::column_names::{Naming, plain_name, trimmed};
use super::missing_columns::MissingColumns;
use super::records::{Fields, MAX_FIELDS, RecordReader};
use super::separator_line;

/// Delimiters that are tried; if several give the same number of columns, the first one counts.
pub(super) const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Characters of a line that is not a header that an error shows.
const SHOWN_CHARACTERS: usize = 120;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The record itself, without a byte order mark.
    pub line: String,
    pub delimiter: u8,
    /// For each column of the schema, the index of its field; none for a column that is not a field of a file.
    pub fields: Vec<Option<usize>>,
    /// How many fields have a name, or stand before one that has.
    pub width: usize,
    /// One more field without a name follows: the header ends in a delimiter.
    pub has_unnamed_end: bool,
    /// Names that are not names of columns.
    pub ignored: Vec<String>,
}

impl Header {
    /// Takes the header off a file's text; none if more text is needed. `encoding`: what the text was decoded from.
    ///
    /// # Errors
    /// It is not a header, or lacks a column, or names one twice, or is longer than a line may be.
    pub fn read(
        records: &mut RecordReader,
        last: bool,
        naming: Naming<'_>,
        encoding: &'static str,
    ) -> Result<Option<Self>, FileError> {
        let place = records.place();
        let Some(first) = records.first_line(last) else { return Ok(None) };
        let named = separator_line::delimiter(first);
        if named.is_some() {
            records.skip_line();
        }
        let header = match named {
            Some(delimiter) => Self::read_with(&[delimiter], records, last, naming, encoding),
            None => Self::read_with(&DELIMITERS, records, last, naming, encoding),
        };
        if matches!(header, Ok(None)) {
            records.return_to(place);
        }
        header
    }

    fn read_with(
        delimiters: &[u8],
        records: &mut RecordReader,
        last: bool,
        naming: Naming<'_>,
        encoding: &'static str,
    ) -> Result<Option<Self>, FileError> {
        let known = |fields: &Fields| names(fields).filter(|name| naming.column_of(name).is_some()).count();
        let mut best: Option<(usize, u8, Fields)> = None;
        let mut is_incomplete = false;
        let mut too_long = None;
        // With one delimiter a quoted field may go on for some lines, and with another there is no such field.
        for &delimiter in delimiters {
            match records.peek(delimiter, last) {
                Ok(Some(fields)) if fields.is_unclosed => {}
                Ok(Some(fields)) => {
                    let count = known(&fields);
                    // Without a known name, the delimiter is the one that gives most fields.
                    let rank =
                        |count: usize, fields: &Fields| (count, if count == 0 { fields.width } else { 0 });
                    if best.as_ref().is_none_or(|(most, _, best)| rank(count, &fields) > rank(*most, best)) {
                        best = Some((count, delimiter, fields));
                    }
                }
                Ok(None) => is_incomplete = true,
                Err(error) => too_long = Some(error),
            }
        }
        let best = best.filter(|(count, _, fields)| *count > 0 || are_names(fields));
        let header = best.map(|(_, delimiter, fields)| Self::of(delimiter, &fields, naming));
        match header {
            Some(Ok(header)) => {
                records.set_delimiter(header.delimiter);
                records.next(last)?;
                Ok(Some(header))
            }
            _ if is_incomplete && !last => Ok(None),
            Some(Err(error)) => Err(error),
            None => Err(too_long.unwrap_or_else(|| no_header(records.unread(), naming, encoding))),
        }
    }

    /// Reads a header that an earlier run has read.
    ///
    /// # Errors
    /// The columns have changed since.
    pub fn stored(line: &str, delimiter: u8, naming: Naming<'_>) -> Result<Self, FileError> {
        let mut records = RecordReader::new(delimiter, usize::MAX);
        records.buffer().extend_from_slice(line.as_bytes());
        let header = Self::read_with(&[delimiter], &mut records, true, naming, encoding_rs::UTF_8.name())?;
        header.ok_or_else(|| no_header(line.as_bytes(), naming, encoding_rs::UTF_8.name()))
    }

    /// Names count in any order and case, with blanks or a byte order mark around them.
    ///
    /// # Errors
    /// It lacks a column, or names one twice, or has too many.
    pub(super) fn of(delimiter: u8, fields: &Fields, naming: Naming<'_>) -> Result<Self, FileError> {
        if fields.width > MAX_FIELDS {
            return Err(FileError::TooManyColumns { found: fields.width, limit: MAX_FIELDS });
        }
        let line = fields.raw.trim_start_matches('\u{feff}').to_owned();
        let mut names: Vec<String> = names(fields).collect();
        let has_unnamed_end = names.len() > 1 && names.last().is_some_and(String::is_empty);
        if has_unnamed_end {
            names.pop();
        }
        let found: Vec<Option<&Column>> = names.iter().map(|name| naming.column_of(name)).collect();
        if let Some(twice) = named_twice(&found, fields) {
            return Err(twice);
        }
        let place = |column: &Column| {
            let is_it = |found: &Option<&Column>| found.is_some_and(|found| found.name == column.name);
            found.iter().position(|found| column.is_field() && is_it(found))
        };
        let places: Vec<Option<usize>> = naming.columns.iter().map(place).collect();
        let is_missing = |(column, place): &(&Column, &Option<usize>)| column.is_field() && place.is_none();
        let missing: Vec<&Column> =
            naming.columns.iter().zip(&places).filter(is_missing).map(|(column, _)| column).collect();
        if !missing.is_empty() {
            let found = fields.texts.iter().take(names.len());
            return Err(FileError::MissingColumns(Box::new(MissingColumns::of(&missing, found, naming))));
        }
        let width = names.len();
        let ignored = names.into_iter().zip(&found).filter(|(_, column)| column.is_none());
        let ignored = ignored.map(|(name, _)| name).collect();
        Ok(Self { line, delimiter, fields: places, width, has_unnamed_end, ignored })
    }

    /// Whether rows are read the same by both.
    pub(super) fn has_columns_of(&self, other: &Self) -> bool {
        (&self.fields, self.width, self.has_unnamed_end, &self.ignored)
            == (&other.fields, other.width, other.has_unnamed_end, &other.ignored)
    }
}

fn names(fields: &Fields) -> impl Iterator<Item = String> {
    fields.texts.iter().map(|name| plain_name(name))
}

/// Whether fields, none of which is a known name, are names all the same: not a row, nor a page or a message.
fn are_names(fields: &Fields) -> bool {
    let mut texts = fields.texts.iter().map(|text| trimmed(text));
    fields.width > 1
        && texts.all(|text| {
            text.chars().all(|c| !c.is_control() && c != char::REPLACEMENT_CHARACTER)
                && text.chars().next().is_none_or(|first| first.is_alphabetic() || first == '_')
        })
}

/// Says why a text does not begin with a header.
fn no_header(text: &[u8], naming: Naming<'_>, encoding: &'static str) -> FileError {
    let expected = naming.expected();
    if text.is_empty() {
        return FileError::Empty { expected };
    }
    let line = text.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let is_not_text = |c: char| c == char::REPLACEMENT_CHARACTER || (c.is_control() && c != '\t');
    if line.contains(is_not_text) {
        return FileError::NotDecodable { encoding };
    }
    FileError::NotCsv { line: line.chars().take(SHOWN_CHARACTERS).collect(), expected }
}

/// Finds the first field that is the same column as one before it.
fn named_twice(found: &[Option<&Column>], fields: &Fields) -> Option<FileError> {
    let first =
        |column: &Column| found.iter().position(|other| other.is_some_and(|other| other.name == column.name));
    found.iter().enumerate().find_map(|(second, column)| {
        let column = (*column)?;
        let first = first(column).filter(|first| *first < second)?;
        let name = |at: usize| fields.texts.get(at).map(|text| trimmed(text).to_owned()).unwrap_or_default();
        Some(FileError::DuplicateColumn {
            name: column.name.clone(),
            found: [(first + 1, name(first)), (second + 1, name(second))],
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::columns::Columns;
    use crate::ingest::column_names::ColumnNames;

    fn columns() -> Columns {
        Columns::parse(
            r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#,
        )
        .unwrap()
    }

    fn parse(text: &str, last: bool) -> Result<Option<Header>, FileError> {
        let mut records = RecordReader::new(b',', 100);
        records.buffer().extend_from_slice(text.as_bytes());
        let (columns, names) = (columns(), ColumnNames::default());
        Header::read(&mut records, last, Naming { columns: &columns, names: &names }, "UTF-8")
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
                has_unnamed_end: false,
                ignored: vec!["extra".to_owned()],
            };
            assert_eq!(parse(line, true), Ok(Some(expected)));
            assert_eq!(parse(line, false), Ok(None));
        }
    }

    #[test]
    fn a_missing_or_repeated_column_is_named() {
        let missing = parse("ID, Nome ,\u{feff}Extra\n", false).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "the header lacks name; found: ID, Nome, Extra; rename the fields in the header, add what is missing, or say which field is \
             which column with columns=COLUMN:NAME,…"
        );
        let twice = parse("id,name,\"ID\"\n", false).unwrap_err();
        assert_eq!(
            twice.to_string(),
            "the header has id twice: field 1 (\"id\") and field 3 (\"ID\"); rename or remove one of them"
        );
    }

    #[test]
    fn names_that_are_all_others_are_shown_with_the_expected_ones() {
        for line in ["Player,Vendor\n", "Player ID;;Vendor\n", "_a\tИгра\n"] {
            let error = parse(line, false).unwrap_err();
            assert_eq!(error.code(), "missing_columns", "{line}");
            let expected = "the header has none of the expected names; expected: id, name; found: ";
            assert!(error.to_string().starts_with(expected), "{error}");
        }
        for line in ["1,a\n", "{\"id\":1,\"name\":2}\n", "<p>a,b</p>\n", "hello\n"] {
            let error = parse(line, false).unwrap_err();
            assert_eq!(error.code(), "not_csv", "{line}");
            assert!(
                error.to_string().contains("id, name")
                    && error.to_string().contains(&format!("{:?}", line.trim()))
            );
        }
    }

    #[test]
    fn a_character_in_a_name_that_cannot_be_seen_is_named() {
        for (line, part) in [
            ("\0id,name\n", "found: \\u{0}id, name; field 1 is id with a NUL byte (U+0000); remove it"),
            ("id,na\u{200b}me\n", "field 2 is name with a character that cannot be seen (U+200B); remove it"),
        ] {
            let error = parse(line, false).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn the_delimiter_of_a_separator_line_counts() {
        for (text, delimiter) in [
            ("sep=;\nid;name\n", b';'),
            ("\u{feff}sep=|\r\n\r\nid|name\r\n", b'|'),
            ("\"sep=\t\"\rid\tname\r", b'\t'),
        ] {
            let header = parse(text, false).unwrap().unwrap();
            assert_eq!((header.delimiter, header.line.len()), (delimiter, 7), "{text:?}");
            for end in 1..text.len() - 1 {
                assert_eq!(
                    text.get(..end).map(|part| parse(part, false)),
                    text.get(..end).map(|_| Ok(None)),
                    "{text:?} {end}"
                );
            }
        }
        assert_eq!(parse("sep=;\nid,name\n", false).unwrap_err().code(), "not_csv");
        assert!(matches!(parse("sep=;\n", true), Err(FileError::Empty { .. })));
    }

    #[test]
    fn other_names_for_columns_count_in_any_case_and_are_named_where_they_are_missing() {
        let columns = columns();
        let names = ColumnNames::parse("id:\"Player, ID\",name:Game", &columns).unwrap();
        let naming = Naming { columns: &columns, names: &names };
        let header = Header::stored("game;ID;\"PLAYER, id\";name", b';', naming).unwrap();
        assert_eq!(
            (header.fields, header.ignored),
            (vec![Some(2), Some(0)], vec!["id".to_owned(), "name".to_owned()])
        );
        let error = Header::stored("id,name,game", b',', naming).unwrap_err();
        let expected = "the header lacks \"Player, ID\" (for id, as columns= says); found: id, name, game; ";
        assert!(error.to_string().starts_with(expected), "{error}");
        for line in ["", "1,a,2"] {
            let error = Header::stored(line, b',', naming).unwrap_err().to_string();
            assert!(error.contains("a header with the columns \"Player, ID\", Game"), "{error}");
        }
    }

    #[test]
    fn text_that_is_not_a_header_is_an_error() {
        assert_eq!(
            parse("%PDF-1.4", true),
            Err(FileError::NotCsv { line: "%PDF-1.4".to_owned(), expected: "id, name".to_owned() })
        );
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
