//! Whether the rows of a file end in a delimiter.
//!
//! Some programs write a delimiter after the last field of every row, and not of the header, or the other way round. The empty field
//! that follows is not a value. The first valid row after a header decides, and rows that differ from it are rejected.
//!
//! In a file with commas between the fields the same text may be a row with an amount that its decimal comma has cut in two, and whose
//! last value is empty: `1,2,50,` is 2 and 50, or 2.50. Such a row decides nothing. It waits until another row does, which nearly always
//! comes soon: a row with a decimal point cannot be read in two ways. If none comes, the file is refused, because a wrong amount would
//! show nowhere.

use super::cuts;
use super::header::Header;
use super::notation::HeldRows;
use super::records::Record;
use crate::domain::columns::Columns;
use crate::domain::decimal_mark::DecimalMark;

/// How the rows after a header end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowEnds {
    /// No row has shown it yet.
    #[default]
    Unknown,
    /// In their last value.
    Bare,
    /// In a delimiter.
    Delimited,
}

impl RowEnds {
    /// Whether a record has the fields of the header, perhaps with an empty one after them.
    #[inline]
    pub fn fits(self, record: &Record<'_>, header: &Header) -> bool {
        (record.width == header.width && self != Self::Delimited) || self.fits_otherwise(record, header)
    }

    fn fits_otherwise(self, record: &Record<'_>, header: &Header) -> bool {
        let ends_empty =
            record.width.checked_sub(1).and_then(|last| record.text(last)).is_some_and(<[u8]>::is_empty);
        if record.width == header.width {
            // An empty last field would be the one after the delimiter, and another field is missing.
            return !ends_empty;
        }
        record.width == header.width + 1 && ends_empty && (header.has_unnamed_end || self != Self::Bare)
    }

    /// Whether the empty field at the end of a record that [`fits`](Self::fits) may be its last value, because a value before it was cut
    /// in two. `mark`: that of the amounts, if the sender named it.
    #[inline]
    pub fn is_doubtful(
        self,
        record: &Record<'_>,
        header: &Header,
        columns: &Columns,
        mark: Option<DecimalMark>,
    ) -> bool {
        record.width > header.width
            && self != Self::Delimited
            && cuts::possible_cut(record, header, columns, mark).is_some()
    }

    /// How rows end, after a valid one that is not doubtful.
    #[inline]
    #[must_use]
    pub fn after(self, record: &Record<'_>, header: &Header) -> Self {
        match self {
            Self::Unknown if record.width > header.width => Self::Delimited,
            Self::Unknown => Self::Bare,
            known => known,
        }
    }
}

/// Rows that wait until another row shows how rows end.
#[derive(Debug, Default)]
pub struct Undecided {
    pub rows: HeldRows,
    /// Where the line of each row begins in the file.
    pub byte_offsets: Vec<u64>,
}

impl Undecided {
    /// Adds a row; `header`: index of the header that names its fields. Returns false if there is no room for it.
    pub fn push(&mut self, record: &Record<'_>, header: usize, byte_offset: u64) -> bool {
        let has_room = self.rows.push(record.line, header, record.raw);
        if has_room {
            self.byte_offsets.push(byte_offset);
        }
        has_room
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::decimal_mark::DecimalMark;
    use crate::domain::value::Value;
    use crate::ingest::FileError;
    use crate::ingest::rows::{ReadOptions, Reject, Row, RowReader, RowSink, RowsError};

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},
        {"name":"bet","type":["null",{"type":"bytes","logicalType":"decimal","precision":28,"scale":9}]},
        {"name":"bonus","type":["null",{"type":"bytes","logicalType":"decimal","precision":28,"scale":9}]},
        {"name":"win","type":["null",{"type":"bytes","logicalType":"decimal","precision":28,"scale":9}]}]}"#;

    const ONE: i128 = 1_000_000_000;

    /// Id and amounts of each row; line and byte offset of each reject.
    #[derive(Debug, Default, PartialEq)]
    struct Kept {
        rows: Vec<(i64, [Option<i128>; 3])>,
        rejects: Vec<(u64, u64, &'static str)>,
    }

    impl RowSink for Kept {
        type Error = std::convert::Infallible;

        fn accept(&mut self, row: Row<'_>) -> Result<(), Self::Error> {
            let [Value::Long(id), amounts @ ..] = row.values else { panic!("{row:?}") };
            let amount = |at: usize| match amounts[at] {
                Value::Decimal(amount) => Some(amount),
                _ => None,
            };
            self.rows.push((*id, [amount(0), amount(1), amount(2)]));
            Ok(())
        }

        fn reject(&mut self, reject: Reject, _: &str) -> Result<(), Self::Error> {
            self.rejects.push((reject.line, reject.byte_offset, reject.first.code));
            Ok(())
        }
    }

    fn read(text: &str, decimal: Option<DecimalMark>) -> (Kept, Option<FileError>) {
        let columns = Arc::new(Columns::parse(SCHEMA).unwrap());
        let mut reader = RowReader::new(columns, ReadOptions { decimal, ..ReadOptions::default() }, 1 << 20);
        let mut kept = Kept::default();
        match reader.push(text.as_bytes(), true, &mut kept) {
            Ok(()) => (kept, None),
            Err(RowsError::File(error)) => (kept, Some(error)),
            Err(RowsError::Sink(never)) => match never {},
        }
    }

    fn row(id: i64, amounts: [i128; 3]) -> (i64, [Option<i128>; 3]) {
        (id, amounts.map(|tenths| Some(tenths * ONE / 10)))
    }

    #[test]
    fn rows_whose_last_columns_are_amounts_may_end_in_a_delimiter() {
        const POINT: Option<DecimalMark> = Some(DecimalMark::Point);
        const COMMA: Option<DecimalMark> = Some(DecimalMark::Comma);
        let whole = row(1, [20, 30, 40]);
        for (text, decimal, rows) in [
            ("id,bet,bonus,win\n1,2,3,4,\n", POINT, vec![whole]),
            ("id;bet;bonus;win\n1;2;3;4;\n", None, vec![whole]),
            ("id\tbet\tbonus\twin\t\n1\t2\t3\t4\t\n", None, vec![whole]),
            // A row with a decimal point shows it for the rows before it, which could be read in two ways.
            (
                "id,bet,bonus,win\n1,2,3,4,\n2,0.5,3,4,\n3,2,3,4,\n",
                None,
                vec![whole, row(2, [5, 30, 40]), row(3, [20, 30, 40])],
            ),
            ("id,bet,bonus,win,\n1,2,3,4,\n2,0.5,3,4,\n", None, vec![whole, row(2, [5, 30, 40])]),
            // An amount may have any value with both marks: it waits for the end.
            (
                "id,bet,bonus,win\n1,1.000,3,4,\n2,0.5,3,4,\n",
                None,
                vec![row(2, [5, 30, 40]), row(1, [10, 30, 40])],
            ),
            // Amounts that were cut have neither quotes nor blanks between their parts.
            ("id,bet,bonus,win\n\"1\",\"2\",\"3\",\"4\",\"\"\n", None, vec![whole]),
            ("id,bet,bonus,win\n1, 2, 3, 4,\n", None, vec![whole]),
            ("id,bet,bonus,win\n1,2,3,4,\n2,\"0,5\",3,\"4,0\",\n", COMMA, vec![whole, row(2, [5, 30, 40])]),
            // A row that is not valid decides nothing.
            ("id,bet,bonus,win\n1,2,3,4,\nx,2,3,4\n2,0.5,3,4,\n", None, vec![whole, row(2, [5, 30, 40])]),
        ] {
            let (kept, error) = read(text, decimal);
            assert_eq!((kept.rows, error), (rows, None), "{text:?}");
            let bad = text.lines().filter(|line| line.starts_with('x')).count();
            assert_eq!(kept.rejects.len(), bad, "{text:?}");
        }
    }

    #[test]
    fn a_row_that_can_be_read_in_two_ways_is_not_stored() {
        for text in [
            "id,bet,bonus,win\n1,2,50,4,\n",
            "id,bet,bonus,win,\n1,2,50,4,\n",
            "id,bet,bonus,win\n1,2,0,0,\n",
            "id,bet,bonus,win\n1,,5,4,\n",
            "id,bet,bonus,win\n1,5,,7,\n",
            "id,bet,bonus,win\n1,0,123456789012,4,\n",
            "id,bet,bonus,win\n1,1,5E-05,4,\n",
            // The first row would decide for the second one.
            "id,bet,bonus,win\n1,5,0,,\n2,3,50,,\n",
            // The last row shows that rows do not end in a delimiter.
            "id,bet,bonus,win\n1,2,50,4,\n2,3,4,5\n",
            "id,bet,bonus,win,\n1,2,50,4,\n2,3,4,5\n",
            // A header does not say how the rows before it end.
            "id,bet,bonus,win\n1,2,50,4,\nid,bet,bonus,win\n2,0.5,3,4,\n",
        ] {
            let (kept, error) = read(text, None);
            let Some(FileError::DecimalComma(found)) = error else { panic!("{text:?}: {kept:?} {error:?}") };
            assert_eq!((kept.rows, found.line), (vec![], 2), "{text:?}");
            assert!(found.to_string().contains("decimal=point"), "{found}");
            let (kept, error) = read(text, Some(DecimalMark::Comma));
            assert_eq!(
                (kept.rejects.first(), error),
                (Some(&(2, text.find('\n').unwrap() as u64 + 1, "wrong_number_of_fields")), None),
                "{text:?}"
            );
            assert!(kept.rows.iter().all(|(id, _)| *id != 1), "{text:?}: {kept:?}");
        }
        let (kept, error) = read("id,bet,bonus,win,\n1,2,3,4\n2,1,50,4,\n", None);
        assert_eq!(kept.rows, [row(1, [20, 30, 40])]);
        assert!(matches!(error, Some(FileError::DecimalComma(found)) if found.line == 3));
    }

    #[test]
    fn rows_that_wait_for_one_that_decides_have_bounds() {
        let rows = format!("{},1,2,3,4,\n", "x".repeat(100_000)).repeat(200);
        let file = format!("note,id,bet,bonus,win\n{rows}x,2,0.5,3,4,\n");
        let (kept, error) = read(&file, None);
        let found = matches!(&error, Some(FileError::DecimalComma(found)) if found.line == 2);
        assert!(found && kept.rows.is_empty(), "{} rows, {error:?}", kept.rows.len());
        let (kept, error) = read(&file, Some(DecimalMark::Comma));
        let mut lines: Vec<u64> = kept.rejects.iter().map(|(line, ..)| *line).collect();
        // The last rows still wait when the one after them is rejected.
        lines.sort_unstable();
        assert_eq!((kept.rows.len(), lines, error), (0, (2..203).collect(), None));
    }

    /// An amount as a file has it, and its value in billionths.
    fn amount(is_comma: bool) -> impl Strategy<Value = (String, i128)> {
        let mark = if is_comma { ',' } else { '.' };
        prop_oneof![
            3 => (0_u32..300).prop_map(|whole| (whole.to_string(), i128::from(whole) * ONE)),
            3 => (0_u32..30, 0_u32..100).prop_map(move |(whole, cents)| {
                (format!("{whole}{mark}{cents:02}"), i128::from(whole * 100 + cents) * ONE / 100)
            }),
            1 => (1_u32..10).prop_map(move |tenths| (format!("{mark}{tenths}"), i128::from(tenths) * ONE / 10)),
            1 => (0_u32..9).prop_map(move |whole| (format!("{whole}{mark}0"), i128::from(whole) * ONE)),
            1 => Just((format!("1{mark}5E-05"), 15 * ONE / 1_000_000)),
            1 => Just((format!("0{mark}000000007"), 7)),
            2 => prop_oneof![Just(""), Just("NULL")].prop_map(|text| (text.to_owned(), 0)),
        ]
    }

    type Amounts = [(String, i128); 3];

    fn amounts(is_comma: bool) -> impl Strategy<Value = Vec<Amounts>> {
        let row = [amount(is_comma), amount(is_comma), amount(is_comma)];
        prop::collection::vec(row, 1..8)
    }

    /// A file of these rows, with commas between the fields. Ids are the places of the rows.
    fn file(rows: &[Amounts], header_end: &str, row_end: &str) -> String {
        let line = |(id, [bet, bonus, win]): (usize, &Amounts)| {
            format!("{id},{},{},{}{row_end}\n", bet.0, bonus.0, win.0)
        };
        let lines: String = rows.iter().enumerate().map(line).collect();
        format!("id,bet,bonus,win{header_end}\n{lines}")
    }

    fn assert_right(kept: &Kept, rows: &[Amounts]) -> Result<(), TestCaseError> {
        for (id, found) in &kept.rows {
            let expected = &rows[usize::try_from(*id).unwrap()];
            let found: Vec<i128> = found.iter().map(|amount| amount.unwrap_or_default()).collect();
            prop_assert_eq!(
                &found,
                &expected.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
                "row {}",
                id
            );
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn an_amount_that_a_delimiter_cuts_is_never_stored_as_two(
            rows in amounts(true), header_end in prop_oneof![Just(""), Just(",")], row_end in prop_oneof![Just(""), Just(",")],
            decimal in prop_oneof![Just(None), Just(Some(DecimalMark::Comma))],
        ) {
            let text = file(&rows, header_end, row_end);
            assert_right(&read(&text, decimal).0, &rows)?;
        }

        #[test]
        fn a_file_with_decimal_points_is_read_whatever_its_header_and_rows_end_in(
            rows in amounts(false), header_end in prop_oneof![Just(""), Just(",")], row_end in prop_oneof![Just(""), Just(",")],
            decimal in prop_oneof![Just(None), Just(Some(DecimalMark::Point))],
        ) {
            let mut rows = rows;
            rows.push([1, 2, 3].map(|tenths| (format!("0.{tenths}"), tenths * ONE / 10)));
            let text = file(&rows, header_end, row_end);
            let (kept, error) = read(&text, decimal);
            prop_assert_eq!((kept.rows.len(), error), (rows.len(), None), "{}", text);
            assert_right(&kept, &rows)?;
        }
    }
}
