//! Rows in which a value was cut in two, because its comma is also the delimiter of the file: `1,50` becomes `1` and `50`.
//!
//! Such a row has too many fields. It is recognized if all its fields are valid once they are put together again.

use memchr::memmem;

use super::header::Header;
use super::records::Record;
use super::validate;
use crate::domain::columns::{Column, Columns, Kind};
use crate::domain::decimal_mark::{DecimalMark, has_comma_form, parse_comma};
use crate::domain::time_zone::Clock;
use crate::domain::timestamp;

/// The delimiter that cuts amounts.
const COMMA: u8 = b',';

/// Most digits after the decimal comma of an amount that was likely cut there.
const MAX_CUT_DIGITS: usize = 8;

/// Which fields a decimal comma that is also the delimiter has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CutFields {
    /// The two parts of the amount.
    Known,
    /// One or more amounts among these fields, from 1: they can be put together in several ways.
    Among { first: usize, last: usize },
    /// The two parts of the amount, or two fields: then the row ends in a delimiter.
    OrUncut,
}

/// An amount that shows a decimal comma.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) column: &'a Column,
    pub(super) value: String,
    /// None: the amount is in one field.
    pub(super) cut: Option<CutFields>,
}

/// Returns the amounts that a record with too many fields has if it likely is a row whose amounts were cut. An empty last field may be
/// what follows a delimiter at the end of the row.
pub(super) fn likely_cut<'a>(
    record: &Record<'_>,
    header: &Header,
    columns: &'a Columns,
) -> Option<Shown<'a>> {
    let cut = |width: usize| Cuts::of(record, width, header, columns, Rule::Likely)?.shown();
    let ends_empty = record.width.checked_sub(1).is_some_and(|last| text_of(record, last).is_empty());
    cut(record.width).or_else(|| ends_empty.then(|| cut(record.width - 1)).flatten())
}

/// Returns the value that was cut in two if a record with one field too many can be read in this way at all. If not, and all its fields
/// are valid as they stand, they are what they seem to be. `mark`: that of the amounts, if the sender named it.
pub(super) fn possible_cut<'a>(
    record: &Record<'_>,
    header: &Header,
    columns: &'a Columns,
    mark: Option<DecimalMark>,
) -> Option<Shown<'a>> {
    let cut = |rule: Rule| {
        let cuts = Cuts::of(record, record.width, header, columns, rule)?;
        let &(position, before) = cuts.possible().first()?;
        let column = (*cuts.columns.get(position)?)?;
        Some(Shown { column, value: cuts.joined(position, before)?, cut: Some(CutFields::OrUncut) })
    };
    let amount = if mark == Some(DecimalMark::Point) { None } else { cut(Rule::Amount) };
    amount.or_else(|| cut(Rule::Time(mark.unwrap_or(DecimalMark::Point))))
}

/// Which fields count as a value that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Amounts as programs and people write them.
    Likely,
    /// Every amount with a decimal comma. The other amounts of the row have a comma too, or no decimal mark.
    Amount,
    /// A time whose fraction begins with a comma. Amounts have this mark.
    Time(DecimalMark),
}

/// Ways to read a record with more fields than the header.
struct Cuts<'a, 'r> {
    record: Record<'r>,
    /// The columns by position; none for those that are ignored.
    columns: Vec<Option<&'a Column>>,
    /// How many values were cut.
    cuts: usize,
    rule: Rule,
}

impl<'a, 'r> Cuts<'a, 'r> {
    /// `width`: how many fields of the record count.
    fn of(
        record: &Record<'r>,
        width: usize,
        header: &Header,
        columns: &'a Columns,
        rule: Rule,
    ) -> Option<Self> {
        if header.delimiter != COMMA {
            return None;
        }
        let amounts = columns.fields().filter(|column| is_amount(column)).count();
        let cuts = width.checked_sub(header.width).filter(|cuts| (1..=amounts).contains(cuts))?;
        let mut by_position: Vec<Option<&Column>> = vec![None; header.width];
        for (column, field) in columns.iter().zip(&header.fields) {
            if let Some(place) = field.and_then(|field| by_position.get_mut(field)) {
                *place = Some(column);
            }
        }
        Some(Self { record: *record, columns: by_position, cuts, rule })
    }

    /// The positions at which a value may have been cut, each with the number of cuts before it.
    fn possible(&self) -> Vec<(usize, usize)> {
        let before = self.reached();
        let after = self.reaching();
        let is_possible = |&(position, cuts): &(usize, usize)| {
            is_set(&before, position, cuts)
                && is_set(&after, position + 1, cuts + 1)
                && self.joined(position, cuts).is_some()
        };
        let places =
            (0..self.columns.len()).flat_map(|position| (0..self.cuts).map(move |cuts| (position, cuts)));
        places.filter(is_possible).collect()
    }

    /// What the ways that make all fields valid have in common.
    fn shown(&self) -> Option<Shown<'a>> {
        let possible = self.possible();
        let &(position, cuts) = possible.first()?;
        let column = (*self.columns.get(position)?)?;
        if possible.len() == self.cuts {
            return Some(Shown { column, value: self.joined(position, cuts)?, cut: Some(CutFields::Known) });
        }
        let fields = possible.iter().map(|(position, cuts)| position + cuts);
        let (first, last) = (fields.clone().min()?, fields.max()? + 1);
        let texts = (first..=last).map(|at| String::from_utf8_lossy(text_of(&self.record, at)));
        let value = texts.collect::<Vec<_>>().join(",");
        Some(Shown { column, value, cut: Some(CutFields::Among { first: first + 1, last: last + 1 }) })
    }

    /// For each position, with how many cuts the fields before it can be valid.
    fn reached(&self) -> Vec<Vec<bool>> {
        let mut reached = vec![vec![false; self.cuts + 1]; self.columns.len() + 1];
        set(&mut reached, 0, 0);
        for position in 0..self.columns.len() {
            for cuts in 0..=self.cuts {
                if !is_set(&reached, position, cuts) {
                    continue;
                }
                if self.is_valid(position, cuts) {
                    set(&mut reached, position + 1, cuts);
                }
                if self.joined(position, cuts).is_some() {
                    set(&mut reached, position + 1, cuts + 1);
                }
            }
        }
        reached
    }

    /// For each position and number of cuts before it, whether the fields from there on can be valid.
    fn reaching(&self) -> Vec<Vec<bool>> {
        let mut reaching = vec![vec![false; self.cuts + 1]; self.columns.len() + 1];
        set(&mut reaching, self.columns.len(), self.cuts);
        for position in (0..self.columns.len()).rev() {
            for cuts in 0..=self.cuts {
                let is_uncut = is_set(&reaching, position + 1, cuts) && self.is_valid(position, cuts);
                let is_cut =
                    is_set(&reaching, position + 1, cuts + 1) && self.joined(position, cuts).is_some();
                if is_uncut || is_cut {
                    set(&mut reaching, position, cuts);
                }
            }
        }
        reaching
    }

    /// Whether the field of a position is valid, after so many cuts.
    fn is_valid(&self, position: usize, cuts: usize) -> bool {
        let column = self.columns.get(position).copied().flatten();
        let text = text_of(&self.record, position + cuts);
        let mark = match self.rule {
            Rule::Likely => DecimalMark::Point,
            Rule::Amount => DecimalMark::Comma,
            Rule::Time(mark) => mark,
        };
        column
            .is_none_or(|column| validate::parse_field(column, text, 0, mark, &mut Clock::default()).is_ok())
    }

    /// The value of a position, if it was cut after so many others.
    fn joined(&self, position: usize, cuts: usize) -> Option<String> {
        let column = self.columns.get(position).copied().flatten()?;
        let (whole, fraction) =
            (text_of(&self.record, position + cuts), text_of(&self.record, position + cuts + 1));
        let joined = [whole, &[COMMA], fraction].concat();
        let text = joined.trim_ascii();
        let is_value = match (self.rule, column.kind) {
            (Rule::Likely, Kind::Decimal { .. } | Kind::Double) => is_likely(whole, fraction, &joined),
            // The last field is empty: `4,` at the end of a row is 4 in both ways.
            (Rule::Amount, Kind::Decimal { .. } | Kind::Double) => {
                position + cuts + 2 < self.record.width && has_comma_form(text)
            }
            (Rule::Time(_), Kind::Timestamp | Kind::TimestampMicros) => timestamp::parse(text).is_ok(),
            _ => false,
        };
        // Between the parts of quoted fields there are quotes.
        let is_together = || memmem::find(self.record.raw, &joined).is_some();
        (is_value && is_together()).then(|| String::from_utf8_lossy(text).into_owned())
    }
}

fn is_set(table: &[Vec<bool>], row: usize, column: usize) -> bool {
    table.get(row).and_then(|row| row.get(column)).copied().unwrap_or_default()
}

fn set(table: &mut [Vec<bool>], row: usize, column: usize) {
    if let Some(place) = table.get_mut(row).and_then(|row| row.get_mut(column)) {
        *place = true;
    }
}

/// Whether two fields are likely the parts of this amount.
fn is_likely(whole: &[u8], fraction: &[u8], amount: &[u8]) -> bool {
    whole.iter().any(u8::is_ascii_digit)
        && (1..=MAX_CUT_DIGITS).contains(&fraction.len())
        && fraction.iter().all(u8::is_ascii_digit)
        // A field too many is likely to be a zero.
        && fraction != b"0"
        && parse_comma(amount, 38, MAX_CUT_DIGITS as u32).is_ok()
}

pub(super) fn is_amount(column: &Column) -> bool {
    matches!(column.kind, Kind::Decimal { .. } | Kind::Double)
}

pub(super) fn text_of<'a>(record: &Record<'a>, field: usize) -> &'a [u8] {
    record.text(field).unwrap_or_default()
}
