//! Headers after a file's first one, as in files that were joined.
//!
//! A header is never a valid row, since the key is a number. So only rows that are not valid are checked, and valid rows
//! cost nothing.

use super::FileError;
use super::column_names::{Naming, plain_name, trimmed};
use super::header::Header;
use super::records::{Fields, Record, shown};
use super::row_ends::RowEnds;
use super::separator_line;
use crate::domain::money;
use crate::warehouse::later_headers::{LaterHeaders, MAX_LINES};

/// Headers with other columns that one file may have, and the bytes that their lines may have together. They are kept, because
/// the columns of rejected rows are shown by them.
const MAX_CHANGES: usize = 100;
const MAX_CHANGED_BYTES: usize = 65_536;

/// Columns that a row must name to be a header. One name can be a value: there are games with any name.
const LEAST_NAMES: usize = 2;

/// Columns that are not text, all of which must hold words for a row to be a header with unknown names. In fewer of them words
/// may be a damaged row.
const LEAST_WORDS: usize = 3;

/// All headers of a file.
#[derive(Debug)]
pub struct Headers {
    /// In the order of the file; never empty.
    all: Vec<Header>,
    later: LaterHeaders,
    /// How the rows after the last header line end.
    pub ends: RowEnds,
    /// Whether the rows after an earlier header line had another end than in a delimiter.
    has_bare_rows: bool,
}

impl Headers {
    /// `ends`: as far as it is known.
    pub fn new(first: Header, ends: RowEnds) -> Self {
        Self { all: vec![first], later: LaterHeaders::default(), ends, has_bare_rows: false }
    }

    /// The header by which rows are read now, and its index.
    pub fn current(&self) -> Option<(usize, &Header)> {
        self.all.iter().enumerate().next_back()
    }

    pub fn get(&self, index: usize) -> Option<&Header> {
        self.all.get(index)
    }

    pub fn later(&self) -> &LaterHeaders {
        &self.later
    }

    /// Whether rows end in a delimiter in every part of the file. If not, a replay cannot know it of a single line.
    pub fn has_delimited_rows(&self) -> bool {
        !self.has_bare_rows && self.ends == RowEnds::Delimited
    }

    /// Takes in a record that is not a valid row, if it is a header. Returns whether it is one.
    ///
    /// # Errors
    /// It is, and lacks a column or names one twice, or names none, or the file has too many headers.
    pub fn see(&mut self, record: &Record<'_>, naming: Naming<'_>) -> Result<bool, FileError> {
        let Some((_, current)) = self.current() else { return Ok(false) };
        let line = record.line;
        let unusable = |reason: String| FileError::HeaderChanged { line, reason };
        if let Some(delimiter) = separator_line::delimiter(record.raw) {
            return match delimiter == current.delimiter {
                true => Ok(true),
                false => Err(unusable(format!(
                    "it says that the delimiter is {:?} from here on, and it was {:?} before; send the parts of the file by themselves",
                    char::from(delimiter),
                    char::from(current.delimiter)
                ))),
            };
        }
        if !is_header(record, naming) {
            return match is_unknown_header(record, current, naming) {
                true => Err(unusable(unknown_names(record, naming))),
                false => Ok(false),
            };
        }
        let header = Header::of(current.delimiter, &Fields::of(record), naming);
        let header = header.map_err(|error| unusable(glued(record).unwrap_or_else(|| error.to_string())))?;
        let is_repeated = header.has_columns_of(current);
        self.has_bare_rows |= self.ends != RowEnds::Delimited;
        if is_repeated {
            self.ends = RowEnds::Unknown;
            self.later.repeated += 1;
            if self.later.repeated_lines.len() < MAX_LINES {
                self.later.repeated_lines.push(line);
            }
            return Ok(true);
        }
        let bytes: usize = self.later.changes.values().map(String::len).sum();
        if self.later.changes.len() >= MAX_CHANGES || bytes + header.line.len() > MAX_CHANGED_BYTES {
            return Err(unusable(format!(
                "a file may have {MAX_CHANGES} such headers with {MAX_CHANGED_BYTES} bytes; split the file"
            )));
        }
        self.ends = RowEnds::Unknown;
        self.later.changes.insert(line, header.line.clone());
        self.all.push(header);
        Ok(true)
    }
}

/// Whether a record that is not a valid row names columns: several, and one of them at least has values that are not text, so
/// that its name cannot be a value.
fn is_header(record: &Record<'_>, naming: Naming<'_>) -> bool {
    if record.is_unclosed {
        return false;
    }
    let mut known = 0;
    let mut is_telling = false;
    for text in (0..record.width).map_while(|at| record.text(at)) {
        let column = std::str::from_utf8(text).ok().and_then(|text| naming.column_of(&plain_name(text)));
        if let Some(column) = column {
            known += 1;
            is_telling |= !column.kind.has_words();
        }
    }
    known >= LEAST_NAMES && is_telling
}

/// Whether a record that is not a valid row can only be a header, though it names no columns: each time, id and amount is a word, and no
/// two of them are the same. A row with NULL or NaN, or with the same word everywhere, is a damaged row.
fn is_unknown_header(record: &Record<'_>, current: &Header, naming: Naming<'_>) -> bool {
    let mut words: Vec<String> = Vec::new();
    for (column, field) in naming.columns.iter().zip(&current.fields) {
        let Some(field) = field.filter(|_| !column.kind.has_words()) else { continue };
        let Some(text) = record.text(field).and_then(|text| std::str::from_utf8(text).ok()) else {
            return false;
        };
        let word = trimmed(text);
        let is_word = word.starts_with(char::is_alphabetic) && !money::is_null(word.as_bytes());
        let word = word.to_lowercase();
        if !is_word || words.contains(&word) {
            return false;
        }
        words.push(word);
    }
    words.len() >= LEAST_WORDS && !record.is_unclosed
}

/// Says that a header has unknown names.
fn unknown_names(record: &Record<'_>, naming: Naming<'_>) -> String {
    let (expected, found) = (naming.expected(), shown(record.raw));
    format!(
        "it has words where rows have numbers and times, and not the expected names ({expected}): {found:?}; give it the names of \
         the first header, or send the rows after it as a file of their own"
    )
}

/// Says that a header does not begin on a line of its own, if a byte order mark shows that it does not.
fn glued(record: &Record<'_>) -> Option<String> {
    let is_glued = (1..record.width)
        .map_while(|at| record.text(at))
        .any(|text| String::from_utf8_lossy(text).chars().skip(1).any(|c| c == '\u{feff}'));
    is_glued.then(|| {
        "a byte order mark in this line shows that another file begins there; add a line end before it, as the last row of the \
         file before has none"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::domain::columns::Columns;
    use crate::domain::value::Value;
    use crate::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError};

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"},
        {"name":"bet","type":{"type":"bytes","logicalType":"decimal","precision":28,"scale":2}},
        {"name":"win","type":{"type":"bytes","logicalType":"decimal","precision":28,"scale":2}}]}"#;

    /// Line, bet and win of each row, and the lines that are rejected.
    #[derive(Debug, Default)]
    struct Kept {
        rows: Vec<(u64, i128, i128)>,
        rejected: Vec<u64>,
    }

    impl RowSink for Kept {
        type Error = std::convert::Infallible;

        fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error> {
            let [_, _, Value::Decimal(bet), Value::Decimal(win)] = row.values else { panic!("{row:?}") };
            self.rows.push((row.line, *bet, *win));
            Ok(())
        }

        fn reject(&mut self, reject: Reject, _: &str) -> Result<(), Self::Error> {
            self.rejected.push(reject.line);
            Ok(())
        }
    }

    fn read(text: &str) -> Result<(Kept, LaterHeaders), FileError> {
        let columns = Arc::new(Columns::parse(SCHEMA).unwrap());
        let mut reader = RowReader::new(columns, ReadOptions::default(), 1 << 20);
        let mut kept = Kept::default();
        match reader.push(text.as_bytes(), true, &mut kept) {
            Ok(()) => Ok((kept, reader.later_headers().cloned().unwrap_or_default())),
            Err(RowsError::File(error)) => Err(error),
            Err(RowsError::Sink(never)) => match never {},
        }
    }

    #[test]
    fn a_header_again_is_skipped_and_counted_however_it_is_written() {
        let (kept, later) =
            read("id,name,bet,win\n1,a,1,2\nid,name,bet,win\n2,a,1,2\n\u{feff}ID,\"name\", Bet ,win\n3,a,x,2\n4,a,1,2\n").unwrap();
        assert_eq!(kept.rows, [(2, 100, 200), (4, 100, 200), (7, 100, 200)]);
        assert_eq!(kept.rejected, [6]);
        assert_eq!((later.repeated, later.repeated_lines, later.changes.len()), (2, vec![3, 5], 0));
    }

    #[test]
    fn rows_after_a_header_with_another_order_are_read_by_it() {
        let text = "id,name,bet,win\n1,a,1,2\nwin,note,bet,id,name\n2,x,1,2,a\n2,a,1,2\n9.12,x,1,3,b\nid,name,bet,win\n4,a,5,6\n";
        let (kept, later) = read(text).unwrap();
        assert_eq!(kept.rows, [(2, 100, 200), (4, 100, 200), (6, 100, 912), (8, 500, 600)]);
        assert_eq!(kept.rejected, [5]);
        let changes = [(3, "win,note,bet,id,name".to_owned()), (7, "id,name,bet,win".to_owned())];
        assert_eq!((later.repeated, later.changes), (0, BTreeMap::from(changes)));
    }

    #[test]
    fn a_row_that_is_held_back_is_read_by_the_header_before_it() {
        let text = "id,name,bet,win\n1,a,1.100,2\nid,name,win,bet\n2,a,1.100,2\n3,a,5,6\n";
        assert_eq!(read(text).unwrap().0.rows, [(5, 600, 500), (2, 110, 200), (4, 200, 110)]);
    }

    #[test]
    fn a_header_that_cannot_be_used_stops_the_file_and_names_its_line() {
        for (header, reason) in
            [("id,name,win", "the header lacks bet"), ("id,bet,bet,name", "the header has bet twice")]
        {
            let error = read(&format!("id,name,bet,win\n1,a,1,2\n{header}\n2,a,3\n")).unwrap_err();
            let expected = format!("line 3 is a second header, which cannot be used: {reason}");
            assert!(error.to_string().starts_with(&expected), "{error}");
            assert_eq!(error.code(), "header_changed");
        }
        let many: String = (0..102).map(|n| format!("id,name,bet,win,x{n}\n")).collect();
        let error = read(&format!("id,name,bet,win\n{many}")).unwrap_err();
        assert!(matches!(error, FileError::HeaderChanged { line: 102, .. }), "{error}");
        let long = format!("id,name,bet,win\nid,name,bet,win,{}\n", "x".repeat(MAX_CHANGED_BYTES));
        assert!(matches!(read(&long), Err(FileError::HeaderChanged { line: 2, .. })));
    }

    #[test]
    fn a_header_without_a_known_name_stops_the_file_and_a_damaged_row_does_not() {
        for row in ["Game,Bonus,Stake,No", "stake,x,WIN,Game name", "einsatz,1,id nr,Gewinn", "a,b,c,d,e"] {
            let error = read(&format!("id,name,bet,win\n1,a,1,2\n{row}\n2,a,1,2\n")).unwrap_err();
            assert_eq!(error.code(), "header_changed", "{row}");
            let message = error.to_string();
            assert!(message.starts_with("line 3 is a second header") && message.contains(row), "{message}");
            assert!(message.contains("(id, name, bet, win)"), "{message}");
        }
        for row in [
            "x,a,NULL,NaN",
            "x,a,y,NULL",
            "x,a,y,",
            "x,a,x,X",
            "x,a,y,-",
            "x,a,y,1",
            "x,a",
            "null,null,null,null",
            "a,b,#c,d",
        ] {
            let (kept, later) = read(&format!("id,name,bet,win\n1,a,1,2\n{row}\n2,a,1,2\n")).unwrap();
            assert_eq!((kept.rejected, kept.rows.len(), later.is_empty()), (vec![3], 2, true), "{row}");
        }
    }

    #[test]
    fn a_separator_line_in_the_middle_is_skipped_and_another_delimiter_stops_the_file() {
        let text =
            |line: &str| format!("sep=,\nid,name,bet,win\n1,a,1,2\n{line}\nid,name,bet,win\n2,a,1,2\n");
        let (kept, later) = read(&text("\"sep=,\"")).unwrap();
        assert_eq!((kept.rows.len(), kept.rejected.len(), later.repeated_lines), (2, 0, vec![5]));
        let error = read(&text("sep=;")).unwrap_err();
        assert!(matches!(error, FileError::HeaderChanged { line: 4, .. }), "{error}");
    }

    #[test]
    fn a_header_that_is_glued_to_the_last_row_of_the_file_before_is_named() {
        let error = read("id,name,bet,win\n1,a,1,2\u{feff}id,name,bet,win\n2,a,1,2\n").unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("line 2 ") && message.contains("add a line end before it"), "{message}");
    }

    #[test]
    fn a_row_whose_values_are_names_of_columns_is_a_damaged_row() {
        for row in ["x,name,1,2", "id,x,1,2", "1,name,name,2", "name"] {
            let (kept, later) = read(&format!("id,name,bet,win\n{row}\n2,name,1,2\n")).unwrap();
            assert_eq!((kept.rejected, kept.rows.len(), later.is_empty()), (vec![2], 1, true), "{row}");
        }
    }
}
