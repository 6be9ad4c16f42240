//! What the values of a field show about its type. Each value is read by the parsers of uploads, so a type that is chosen accepts the values.

use std::collections::{BTreeSet, HashSet};

use super::is_null_word;
use crate::domain::columns::{Column, Kind, Nullability};
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::money::MAX_PRECISION;
use crate::domain::time_zone::Clock;
use crate::domain::value::{Value, ValueError};
use crate::ingest::first_rows::Cell;

/// Most symbols of an enum, and most bytes of one.
const MAX_SYMBOLS: usize = 24;
const MAX_SYMBOL_BYTES: usize = 48;

/// Most digits after the point that a decimal gets.
const MAX_SCALE: u32 = 18;

/// Decimals that were seen: digits before and after the point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimals {
    pub(super) are_all: bool,
    pub(super) whole_digits: u32,
    pub(super) scale: u32,
}

/// What is known about the values of a field.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Values that are neither null nor empty.
    pub(super) values: u64,
    /// Null, an empty field, or no member.
    pub(super) nulls: u64,
    /// Empty texts in JSON.
    pub(super) empty_texts: u64,
    pub(super) are_booleans: bool,
    pub(super) are_longs: bool,
    pub(super) are_doubles: bool,
    pub(super) are_uuids: bool,
    pub(super) are_dates: bool,
    pub(super) are_times: bool,
    pub(super) are_texts: bool,
    /// Numbers in JSON.
    pub(super) numbers: u64,
    pub(super) longs: Option<(i64, i64)>,
    /// Whether no whole number occurs twice.
    pub(super) is_unique: bool,
    seen: HashSet<i64>,
    /// `NaN` or `NULL`: no number.
    pub(super) has_null_words: bool,
    /// Such as `007`: a number would lose the zeros.
    pub(super) has_leading_zeros: bool,
    pub(super) has_micros: bool,
    pub(super) times: Option<(i64, i64)>,
    pub(super) has_lines: bool,
    pub(super) point: Decimals,
    pub(super) comma: Decimals,
    /// None: there are too many, or one cannot be a symbol.
    pub(super) symbols: Option<BTreeSet<String>>,
}

impl Evidence {
    pub(super) fn new() -> Self {
        let decimals = Decimals { are_all: true, whole_digits: 1, scale: 0 };
        Self {
            values: 0,
            nulls: 0,
            empty_texts: 0,
            are_booleans: true,
            are_longs: true,
            are_doubles: true,
            are_uuids: true,
            are_dates: true,
            are_times: true,
            are_texts: true,
            numbers: 0,
            longs: None,
            is_unique: true,
            seen: HashSet::new(),
            has_null_words: false,
            has_leading_zeros: false,
            has_micros: false,
            times: None,
            has_lines: false,
            point: decimals,
            comma: decimals,
            symbols: Some(BTreeSet::new()),
        }
    }

    /// The decimals, with this mark.
    pub(super) fn decimals(&self, mark: DecimalMark) -> Decimals {
        if mark == DecimalMark::Comma { self.comma } else { self.point }
    }

    /// Looks at a value. None: the row has no such member.
    pub(super) fn see(&mut self, cell: Option<Cell<'_>>, clock: &mut Clock) {
        let Some(cell) = cell else {
            self.nulls += 1;
            return;
        };
        match cell {
            Cell::Field(text) if text.trim_ascii().is_empty() => return self.nulls += 1,
            Cell::Json("null") => return self.nulls += 1,
            Cell::Json("\"\"") => return self.empty_texts += 1,
            Cell::Json(raw) if raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => self.numbers += 1,
            Cell::Field(_) | Cell::Json(_) => {}
        }
        self.values += 1;
        self.has_leading_zeros |= has_leading_zeros(cell);
        self.has_null_words |= matches!(cell, Cell::Field(text) if is_null_word(text.trim_ascii()));
        self.see_numbers(cell, clock);
        self.see_times(cell, clock);
        let mut fits =
            |kind, alive: bool| alive && cell.read(&column(kind), DecimalMark::Point, clock).is_ok();
        self.are_booleans = fits(Kind::Boolean, self.are_booleans);
        self.are_uuids = fits(Kind::UuidText, self.are_uuids);
        self.see_text(cell, clock);
    }

    fn see_numbers(&mut self, cell: Cell<'_>, clock: &mut Clock) {
        let mut read = |kind, mark| cell.read(&column(kind), mark, clock);
        if self.are_longs {
            match read(Kind::Long { minimum: i64::MIN }, DecimalMark::Point) {
                Ok(Value::Long(number)) => {
                    self.longs = Some(widened(self.longs, number));
                    self.is_unique = self.is_unique && self.seen.insert(number);
                }
                _ => (self.are_longs, self.is_unique, self.seen) = (false, false, HashSet::new()),
            }
        }
        self.are_doubles = self.are_doubles && read(Kind::Double, DecimalMark::Point).is_ok();
        for (decimals, mark) in [(&mut self.point, DecimalMark::Point), (&mut self.comma, DecimalMark::Comma)]
        {
            decimals.see(written_scale(cell, mark), |kind| read(kind, mark));
        }
    }

    fn see_times(&mut self, cell: Cell<'_>, clock: &mut Clock) {
        let mut read = |kind| cell.read(&column(kind), DecimalMark::Point, clock);
        if self.are_dates {
            match read(Kind::Date) {
                Ok(Value::Date(days)) => {
                    self.times = Some(widened(self.times, i64::from(days) * 86_400_000));
                }
                _ => self.are_dates = false,
            }
        }
        if self.are_times {
            match (read(Kind::Timestamp), read(Kind::TimestampMicros)) {
                (Ok(Value::Timestamp(millis)), micros) => {
                    self.times = Some(widened(self.times, millis));
                    // A number is always one of milliseconds here.
                    let is_finer = matches!(micros, Ok(Value::TimestampMicros(micros)) if micros % 1000 != 0);
                    self.has_micros |= is_finer && self.numbers == 0;
                }
                _ => self.are_times = false,
            }
        }
    }

    fn see_text(&mut self, cell: Cell<'_>, clock: &mut Clock) {
        let mut text = column(Kind::Text { min_length: 0, max_length: usize::MAX });
        let read = cell.read(&text, DecimalMark::Point, clock);
        match read {
            Ok(_) => {}
            Err(ValueError::WrongType { .. }) => self.are_texts = false,
            Err(ValueError::ControlCharacter) => {
                text.is_multiline = true;
                self.has_lines |= cell.read(&text, DecimalMark::Point, clock).is_ok();
            }
            // The row is rejected, whatever type the column has.
            Err(_) => {}
        }
        let Some(symbols) = &mut self.symbols else { return };
        match symbol(cell) {
            Some(symbol) if symbols.len() < MAX_SYMBOLS || symbols.contains(symbol) => {
                if !symbols.contains(symbol) {
                    symbols.insert(symbol.to_owned());
                }
            }
            _ => self.symbols = None,
        }
    }
}

impl Decimals {
    /// `written`: digits after the mark; `read`: reads the value as this type.
    fn see(&mut self, written: u32, mut read: impl FnMut(Kind) -> Result<Value, ValueError>) {
        self.scale = self.scale.max(written.min(MAX_SCALE));
        while self.are_all {
            match read(Kind::Decimal { precision: MAX_PRECISION, scale: self.scale }) {
                Ok(Value::Decimal(unscaled)) => {
                    let digits = unscaled.unsigned_abs().checked_ilog10().unwrap_or(0) + 1;
                    self.whole_digits = self.whole_digits.max(digits.saturating_sub(self.scale));
                    return;
                }
                Ok(_) => return,
                Err(ValueError::TooManyDigits) if self.scale < MAX_SCALE => self.scale += 1,
                Err(_) => self.are_all = false,
            }
        }
    }
}

/// Returns how many digits a number has after its mark, zeros at the end included: money is written with all of them. 0 for other texts.
fn written_scale(cell: Cell<'_>, mark: DecimalMark) -> u32 {
    let text = match cell {
        Cell::Field(text) => text.trim_ascii(),
        Cell::Json(raw) => raw.trim_matches('"').as_bytes(),
    };
    let mark = if mark == DecimalMark::Comma { b',' } else { b'.' };
    let fraction = text.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let whole =
        text.get(..text.len() - fraction).and_then(|rest| rest.strip_suffix(&[mark])).unwrap_or_default();
    let is_number =
        !whole.is_empty() && whole.iter().all(|byte| byte.is_ascii_digit() || b"+-.,".contains(byte));
    if is_number { u32::try_from(fraction).unwrap_or(0) } else { 0 }
}

/// A column that may be null.
fn column(kind: Kind) -> Column {
    Column { nullability: Nullability::NullFirst, ..Column::new("", kind) }
}

fn widened(range: Option<(i64, i64)>, value: i64) -> (i64, i64) {
    range.map_or((value, value), |(least, most)| (least.min(value), most.max(value)))
}

/// Returns the text of a value that could be a symbol of an enum.
fn symbol<'a>(cell: Cell<'a>) -> Option<&'a str> {
    let text = match cell {
        Cell::Field(text) => std::str::from_utf8(text.trim_ascii()).ok()?,
        Cell::Json(raw) => raw.strip_prefix('"')?.strip_suffix('"')?,
    };
    let is_symbol = text.len() <= MAX_SYMBOL_BYTES
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_symbol.then_some(text)
}

fn has_leading_zeros(cell: Cell<'_>) -> bool {
    let text = match cell {
        Cell::Field(text) => text.trim_ascii(),
        Cell::Json(raw) => raw.as_bytes().strip_prefix(b"\"").unwrap_or_default(),
    };
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    matches!(digits, [b'0', b'0'..=b'9', ..])
}
