//! Headers after a file's first one, as in files that were joined.
//!
//! A header is never a valid row, since the key is a number. So it is looked for only among rows that are not valid, and valid rows
//! pay nothing for it.

use super::FileError;
use super::header::{Header, trimmed};
use super::records::{Fields, Record};
use crate::domain::columns::{Columns, Kind};
use crate::warehouse::later_headers::{LaterHeaders, MAX_LINES};

/// Headers with other columns that one file may have, and the bytes that their lines may have together: they are kept, since
/// rejected rows come apart into columns by them.
const MAX_CHANGES: usize = 100;
const MAX_CHANGED_BYTES: usize = 65_536;

/// Columns that a row must name to be a header. One name can be a value: there are games with any name.
const LEAST_NAMES: usize = 2;

/// All headers of a file.
#[derive(Debug)]
pub struct Headers {
    /// In the order of the file; never empty.
    all: Vec<Header>,
    later: LaterHeaders,
}

impl Headers {
    pub fn new(first: Header) -> Self {
        Self { all: vec![first], later: LaterHeaders::default() }
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

    /// Takes in a record that is not a valid row, if it is a header. Returns whether it is one.
    ///
    /// # Errors
    /// It is, and lacks a column or names one twice, or the file has too many of them.
    pub fn see(&mut self, record: &Record<'_>, columns: &Columns) -> Result<bool, FileError> {
        if !is_header(record, columns) {
            return Ok(false);
        }
        let line = record.line;
        let unusable = |reason: String| FileError::HeaderChanged { line, reason };
        let Some((_, current)) = self.current() else { return Ok(false) };
        let header = Header::of(current.delimiter, &Fields::of(record), columns);
        let header = header.map_err(|error| unusable(error.to_string()))?;
        if header.has_columns_of(current) {
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
        self.later.changes.insert(line, header.line.clone());
        self.all.push(header);
        Ok(true)
    }
}

/// Whether a record that is not a valid row names columns: several, and among them one whose values are not text, so that its name
/// is not a value.
fn is_header(record: &Record<'_>, columns: &Columns) -> bool {
    if record.is_unclosed {
        return false;
    }
    let mut known = 0;
    let mut is_telling = false;
    for text in (0..record.width).map_while(|at| record.text(at)) {
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let name = trimmed(text);
        if let Some(column) = columns.fields().find(|column| column.name.eq_ignore_ascii_case(name)) {
            known += 1;
            is_telling |= !matches!(column.kind, Kind::Text { .. });
        }
    }
    known >= LEAST_NAMES && is_telling
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
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
            [("id,name,win", "the header lacks bet"), ("id,bet,bet,name", "the header names bet twice")]
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
    fn a_row_whose_values_are_names_of_columns_is_no_header() {
        for row in ["x,name,1,2", "id,x,1,2", "1,name,name,2", ",,,", "name"] {
            let (kept, later) = read(&format!("id,name,bet,win\n{row}\n2,name,1,2\n")).unwrap();
            assert_eq!((kept.rejected, kept.rows.len(), later.is_empty()), (vec![2], 1, true), "{row}");
        }
    }
}
