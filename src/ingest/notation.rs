//! Finds the decimal mark of a file's amounts.
//!
//! An amount such as `1.000` is 1 in a file with decimal points, and 1000 in one with decimal commas, which may show its first comma
//! a million rows later. A wrong amount must not be produced meanwhile. So, unless the sender names the mark, rows with such
//! amounts are held back, as text, until the file has ended: then they are read with decimal points. An amount that shows a
//! decimal comma stops the file, and held rows are never produced. All other rows are the same with either mark, or not valid
//! with a comma, and need not wait.
//!
//! Memory for held rows is bounded. If a file has more such rows (amounts with three decimals do occur), they are produced from then on. If
//! a decimal comma follows after all, the error says how many they were and what to do about them.

use std::fmt;

use super::FileError;
use super::cuts::{CutFields, Shown, is_amount, likely_cut, possible_cut, text_of};
use super::header::Header;
use super::records::Record;
use crate::counted::counted;
use crate::domain::columns::Columns;
use crate::domain::decimal_mark::{DecimalMark, is_ambiguous, shows_comma};

/// Most bytes of rows that are held back.
const MAX_HELD_BYTES: usize = 16 << 20;

/// Number of lines that an error names.
const MAX_LINES: usize = 20;

/// Number of characters of an amount that an error shows.
const SHOWN_CHARACTERS: usize = 40;

/// An amount with a decimal comma in a file whose sender did not name the mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecimalComma {
    pub line: u64,
    pub column: String,
    pub value: String,
    /// The comma is also the delimiter, and cuts the amount in two. None: it is not.
    pub cut: Option<CutFields>,
    /// Rows before it whose amounts could be read either way and were read with a decimal point, and the lines of the first ones.
    pub ambiguous_rows: u64,
    pub ambiguous_lines: Vec<u64>,
}

impl fmt::Display for DecimalComma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, value, cut, ambiguous_rows, ambiguous_lines } = self;
        match cut {
            Some(CutFields::Among { first, last }) => write!(
                f,
                "line {line}: fields {first} to {last}, from column {column} on, are {value:?}; the row has too many fields, because a \
                 decimal comma cuts an amount in two"
            )?,
            Some(CutFields::OrUncut) => write!(
                f,
                "line {line} can be read in two ways, and no row shows which is right: {value:?} is one value (column {column}) or two, \
                 with a delimiter at the end of the row"
            )?,
            _ => write!(
                f,
                "line {line}, column {column}: {value:?} has a decimal comma, so that 1.000 would be 1000"
            )?,
        }
        f.write_str(match cut {
            Some(CutFields::OrUncut) => {
                "; if the amounts have decimal points, send the file with decimal=point; if not, export \
                 it with another delimiter or with quoted amounts, and send it with decimal=comma"
            }
            Some(_) => {
                "; the comma also separates fields: export the file with another delimiter or with quoted amounts, and send it \
                 with decimal=comma; or, if this row only has a field too many, with decimal=point"
            }
            None => {
                "; send the file with decimal=comma, or with decimal=point to have such rows \
                 rejected"
            }
        })?;
        if *ambiguous_rows > 0 {
            let lines: Vec<String> = ambiguous_lines.iter().map(u64::to_string).collect();
            write!(
                f,
                "; rows with amounts such as 1.000 were read with a decimal point before this line: {} ({} {}{}); check them with reconcile \
                 and decimal=comma, and repair them with prefer=file",
                counted(*ambiguous_rows, "row"),
                if *ambiguous_rows == 1 { "line" } else { "lines" },
                lines.join(", "),
                if (lines.len() as u64) < *ambiguous_rows { ", …" } else { "" }
            )?;
        }
        Ok(())
    }
}

/// A held row.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub line: u64,
    /// Index of the header that names its fields.
    pub header: usize,
    /// End of its text in [`HeldRows::text`].
    end: usize,
}

/// Held rows, as in the file.
#[derive(Debug, Default)]
pub struct HeldRows {
    text: Vec<u8>,
    rows: Vec<Held>,
}

impl HeldRows {
    /// Returns the rows in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (Held, &[u8])> {
        let starts = std::iter::once(0).chain(self.rows.iter().map(|row| row.end));
        starts.zip(&self.rows).map(|(start, row)| (*row, self.text.get(start..row.end).unwrap_or_default()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row. Returns false if there is no room for it.
    pub(super) fn push(&mut self, line: u64, header: usize, raw: &[u8]) -> bool {
        let bytes = self.text.len() + raw.len() + (self.rows.len() + 1) * size_of::<Held>();
        if bytes > MAX_HELD_BYTES {
            return false;
        }
        self.text.extend_from_slice(raw);
        self.rows.push(Held { line, header, end: self.text.len() });
        true
    }
}

/// What is known about the decimal mark while a file is read.
#[derive(Debug, Default)]
pub struct Notation {
    /// None: the sender did not name it.
    mark: Option<DecimalMark>,
    /// An amount certainly has a decimal point.
    has_point: bool,
    held: HeldRows,
    /// No more rows are held back.
    is_full: bool,
    /// Rows with ambiguous amounts that were not held, and the first of their lines.
    let_through: u64,
    lines: Vec<u64>,
}

impl Notation {
    pub fn new(mark: Option<DecimalMark>) -> Self {
        Self { mark, ..Self::default() }
    }

    /// Returns the mark that the sender named.
    #[inline]
    pub fn named(&self) -> Option<DecimalMark> {
        self.mark
    }

    /// Returns the mark with which amounts are read.
    pub fn mark(&self) -> DecimalMark {
        self.mark.unwrap_or(DecimalMark::Point)
    }

    /// Checks the text of a valid amount. Returns whether it could be another amount.
    #[inline]
    pub fn is_ambiguous(&mut self, text: &[u8]) -> bool {
        if self.mark.is_some() {
            return false;
        }
        let text = text.trim_ascii();
        let is_ambiguous = is_ambiguous(text);
        if !self.has_point && !is_ambiguous {
            self.has_point = text.contains(&b'.');
        }
        is_ambiguous
    }

    /// Holds a row. Returns false if it must be produced now.
    pub fn hold(&mut self, line: u64, header: usize, raw: &[u8]) -> bool {
        self.is_full = self.is_full || !self.held.push(line, header, raw);
        if self.is_full {
            self.let_through(line);
        }
        !self.is_full
    }

    /// Returns all held rows at the end of the file, or when there are too many.
    pub fn release(&mut self, last: bool) -> Option<HeldRows> {
        if self.held.is_empty() || !(last || self.is_full) {
            return None;
        }
        let held = std::mem::take(&mut self.held);
        if !last {
            held.rows.iter().for_each(|row| self.let_through(row.line));
        }
        Some(held)
    }

    fn let_through(&mut self, line: u64) {
        self.let_through += 1;
        // Held rows come after rows that stand after them in the file.
        if self.lines.len() < MAX_LINES || self.lines.last() > Some(&line) {
            self.lines.push(line);
            self.lines.sort_unstable();
            self.lines.truncate(MAX_LINES);
        }
    }

    /// Looks at a record that is not a valid row; `fits`: it has the fields of the header.
    ///
    /// # Errors
    /// Its amounts have decimal commas, and the sender of the file has not said so.
    pub fn check(
        &self,
        record: &Record<'_>,
        header: &Header,
        columns: &Columns,
        fits: bool,
    ) -> Result<(), FileError> {
        if self.mark.is_some() || record.is_unclosed {
            return Ok(());
        }
        let shown = match fits {
            true => amount_with_comma(record, header, columns),
            // In a file with decimal points, a field too many does not come from a comma in an amount.
            false if self.has_point => None,
            false => likely_cut(record, header, columns),
        };
        shown.map_or(Ok(()), |shown| Err(self.refused(record.line, shown)))
    }

    /// Returns why a file is refused in which no row shows what the comma at the end of this one is: see [`super::row_ends`]. None: the
    /// sender named the mark.
    pub fn undecided(&self, record: &Record<'_>, header: &Header, columns: &Columns) -> Option<FileError> {
        let shown = self.mark.is_none().then(|| possible_cut(record, header, columns, None)).flatten();
        shown.map(|shown| self.refused(record.line, shown))
    }

    fn refused(&self, line: u64, Shown { column, value, cut }: Shown<'_>) -> FileError {
        FileError::DecimalComma(Box::new(DecimalComma {
            line,
            column: column.name.clone(),
            value: value.chars().take(SHOWN_CHARACTERS).collect(),
            cut,
            ambiguous_rows: self.let_through,
            ambiguous_lines: self.lines.clone(),
        }))
    }
}

fn amount_with_comma<'a>(record: &Record<'_>, header: &Header, columns: &'a Columns) -> Option<Shown<'a>> {
    let fields = columns.iter().zip(&header.fields).filter(|(column, _)| is_amount(column));
    fields.filter_map(|(column, field)| Some((column, text_of(record, (*field)?).trim_ascii()))).find_map(
        |(column, text)| {
            let value = String::from_utf8_lossy(text);
            shows_comma(text).then(|| Shown { column, value: value.into_owned(), cut: None })
        },
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::value::Value;
    use crate::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError};

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},
        {"name":"bet","type":{"type":"bytes","logicalType":"decimal","precision":28,"scale":3}},
        {"name":"win","type":{"type":"bytes","logicalType":"decimal","precision":28,"scale":3}}]}"#;

    /// Line and bet of each row, and the codes of those that are rejected.
    #[derive(Debug, Default)]
    struct Kept {
        rows: Vec<(u64, i128)>,
        rejected: Vec<&'static str>,
    }

    impl RowSink for Kept {
        type Error = std::convert::Infallible;

        fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error> {
            let [_, Value::Decimal(bet), _] = row.values else { panic!("{row:?}") };
            self.rows.push((row.line, *bet));
            Ok(())
        }

        fn reject(&mut self, reject: Reject, _: &str) -> Result<(), Self::Error> {
            self.rejected.push(reject.first.code);
            Ok(())
        }
    }

    fn read(text: &str, decimal: Option<DecimalMark>) -> (Kept, Option<DecimalComma>) {
        let columns = Arc::new(Columns::parse(SCHEMA).unwrap());
        let mut reader = RowReader::new(columns, ReadOptions { decimal, ..ReadOptions::default() }, 1 << 20);
        let mut kept = Kept::default();
        // In pieces, so that some are read long before others.
        for piece in text.as_bytes().chunks(100_000) {
            match reader.push(piece, false, &mut kept) {
                Ok(()) => {}
                Err(RowsError::File(FileError::DecimalComma(found))) => return (kept, Some(*found)),
                Err(error) => panic!("{error:?}"),
            }
        }
        match reader.push(&[], true, &mut kept) {
            Ok(()) => (kept, None),
            Err(RowsError::File(FileError::DecimalComma(found))) => (kept, Some(*found)),
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn an_amount_with_two_meanings_is_not_produced_before_the_file_has_shown_its_mark() {
        let rows = "id;bet;win\n1;1.000;0\n2;5;0\n3;0;-12.500\n";
        let (kept, found) = read(rows, None);
        assert_eq!((kept.rows, found), (vec![(3, 5000), (2, 1000), (4, 0)], None));
        // The comma comes one megabyte later.
        let late = format!("{rows}{}9;1;\"236,48\"\n10;1;1\n", "4;0.25;0\n".repeat(120_000));
        let (kept, found) = read(&late, None);
        assert!(kept.rows.len() > 100_000 && kept.rows.iter().all(|(line, _)| ![2, 4].contains(line)));
        let found = found.unwrap();
        assert_eq!((found.line, found.column.as_str(), found.value.as_str()), (120_005, "win", "236,48"));
        assert_eq!((found.ambiguous_rows, found.cut), (0, None));
    }

    #[test]
    fn a_mark_that_the_sender_names_counts_for_the_whole_file() {
        let rows = "id;bet;win\n1;1.000;0\n2;236,48;0\n3;12.34;0\n4;1.234.567,89;0\n";
        let (kept, found) = read(rows, Some(DecimalMark::Comma));
        assert_eq!((kept.rows, found), (vec![(2, 1_000_000), (3, 236_480), (5, 1_234_567_890)], None));
        assert_eq!(kept.rejected, ["not_a_decimal"]);
        let (kept, found) = read(rows, Some(DecimalMark::Point));
        assert_eq!((kept.rows, found), (vec![(2, 1000), (4, 12_340)], None));
        assert_eq!(kept.rejected, ["not_a_decimal"; 2]);
    }

    #[test]
    fn an_amount_in_a_row_with_another_fault_shows_the_mark_too() {
        for row in ["x;1;0,5", "1;1.000.000;0", "1;1.000,5;0"] {
            let found = read(&format!("id;bet;win\n1;0.5;0\n{row}\n"), None).1;
            assert_eq!(found.map(|found| found.line), Some(3), "{row}");
        }
        for row in ["1;1,000;0", "1;1,000.50;0", "1;12,5x;0", "0,5;1;1", "1;0,5"] {
            let (kept, found) = read(&format!("id;bet;win\n{row}\n"), None);
            assert_eq!((kept.rejected.len(), found), (1, None), "{row}");
        }
    }

    #[test]
    fn a_comma_that_cuts_amounts_in_two_is_recognized_unless_the_file_has_points() {
        let known = Some(CutFields::Known);
        for (row, column, value, cut) in [
            ("1,236,48,0", "bet", "236,48", known.clone()),
            ("1,7,1.000,5", "win", "1.000,5", known.clone()),
            ("1,236,48,0,50", "bet", "236,48", known.clone()),
            ("1,236,48,0,", "bet", "236,48", known),
            // 236,48 and 10, or 236 and 48,10.
            ("1,236,48,10", "bet", "236,48,10", Some(CutFields::Among { first: 2, last: 4 })),
        ] {
            let found = read(&format!("id,bet,win\n1,3,1.000\n{row}\n"), None).1.unwrap();
            assert_eq!((found.column.as_str(), found.value.as_str(), &found.cut), (column, value, &cut));
            let named = if cut == Some(CutFields::Known) {
                "line 3, column "
            } else {
                "line 3: fields 2 to 4, from column bet on, are"
            };
            assert!(found.to_string().starts_with(named), "{found}");
            let (kept, found) = read(&format!("id,bet,win\n1,3,1.5\n{row}\n"), None);
            assert_eq!((kept.rejected, found), (vec!["wrong_number_of_fields"], None), "{row}");
        }
        for row in ["1,2,3,x", "1,2,0,0", "1,2,3,4,5,6", "x,1,2,3", "1,2", "1,-,5,0"] {
            let (kept, found) = read(&format!("id,bet,win\n{row}\n"), None);
            assert_eq!((kept.rejected, found), (vec!["wrong_number_of_fields"], None), "{row}");
        }
    }

    #[test]
    fn rows_that_do_not_fit_into_memory_are_produced_and_counted_in_the_error() {
        let row = format!("1;1.000;0;{}\n", "x".repeat(1000));
        let count = MAX_HELD_BYTES / 1000 + 1000;
        let file = format!("id;bet;win;note\n{}", row.repeat(count));
        let (kept, found) = read(&file, None);
        assert_eq!((kept.rows.len(), found), (count, None));
        let (kept, found) = read(&format!("{file}1;0,5;0;\n"), None);
        let found = found.unwrap();
        assert_eq!((kept.rows.len(), found.ambiguous_rows), (count, count as u64));
        assert_eq!(found.ambiguous_lines, (2..22).collect::<Vec<u64>>());
        assert!(found.to_string().contains("rows with amounts such as 1.000 were read with a decimal point"));
    }
}
