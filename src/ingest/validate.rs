//! The text of a field to the value of its column.

use crate::domain::columns::{Column, Kind};
use crate::domain::decimal_mark::{DecimalMark, parse_comma};
use crate::domain::time_zone::Clock;
use crate::domain::value::{Value, ValueError};
use crate::domain::{money, timestamp};

/// Digits after the E of a number that a spreadsheet has written.
const MAX_EXPONENT_DIGITS: usize = 3;

/// Parses a field's text, which begins at `start` in the record's fields. `mark`: the decimal mark of amounts; `clock`: that of times
/// without a zone.
///
/// # Errors
/// The text is not a value of this column.
#[inline]
pub fn parse_field(
    column: &Column,
    text: &[u8],
    start: usize,
    mark: DecimalMark,
    clock: &mut Clock,
) -> Result<Value, ValueError> {
    match column.kind {
        Kind::Text { min_length, max_length } => parse_text(text, start, min_length, max_length),
        Kind::Decimal { precision, scale } => match text.trim_ascii() {
            text if money::is_null(text) => null(column),
            text => parse_amount(text, precision, scale, mark).map(Value::Decimal),
        },
        Kind::Long { minimum } => match text.trim_ascii() {
            b"" => null(column),
            text => parse_long(text, minimum),
        },
        Kind::Timestamp => match text.trim_ascii() {
            b"" => null(column),
            text => timestamp::parse_local(text, clock).map(Value::Timestamp),
        },
        // No file has such a field.
        Kind::Uuid => null(column),
    }
    // Bytes that cannot be decoded are the cause of any other fault of the field.
    .map_err(|error| if holds_replacement(text) { ValueError::NotDecodable } else { error })
}

fn null(column: &Column) -> Result<Value, ValueError> {
    if column.is_nullable() { Ok(Value::Null) } else { Err(ValueError::Missing) }
}

#[inline]
fn parse_amount(text: &[u8], precision: u32, scale: u32, mark: DecimalMark) -> Result<i128, ValueError> {
    match mark {
        DecimalMark::Comma => parse_comma(text, precision, scale),
        DecimalMark::Point => money::parse(text, precision, scale).map_err(|error| match error {
            ValueError::NotADecimal if text.contains(&b',') => ValueError::DecimalComma,
            error => error,
        }),
    }
}

#[inline]
fn parse_long(text: &[u8], minimum: i64) -> Result<Value, ValueError> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(if is_scientific(digits) { ValueError::DigitsLost } else { ValueError::NotAnInteger });
    }
    let sign = if text.first() == Some(&b'-') { -1 } else { 1 };
    digits
        .iter()
        .try_fold(0_i64, |number, digit| number.checked_mul(10)?.checked_add(sign * i64::from(digit - b'0')))
        .filter(|number| *number >= minimum)
        .map(Value::Long)
        .ok_or(ValueError::IntegerOutOfRange)
}

/// Says whether a number without a sign is written as spreadsheets write long ones: `1.23457E+18`, with a comma in some languages.
fn is_scientific(text: &[u8]) -> bool {
    let are_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let mut halves = text.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let (Some(mantissa), Some(exponent)) = (halves.next(), halves.next()) else { return false };
    let exponent = exponent.strip_prefix(b"+").unwrap_or(exponent);
    exponent.len() <= MAX_EXPONENT_DIGITS
        && are_digits(exponent)
        && mantissa.splitn(2, |byte| matches!(byte, b'.' | b',')).all(are_digits)
}

#[inline]
fn parse_text(text: &[u8], start: usize, min_length: usize, max_length: usize) -> Result<Value, ValueError> {
    // Without an early end, so that sixteen bytes are looked at together.
    let is_printable_ascii = text.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    let length = if is_printable_ascii { text.len() } else { count_characters(text)? };
    match length {
        0 if min_length > 0 => Err(ValueError::Missing),
        length if length < min_length => Err(ValueError::TextTooShort),
        length if length > max_length => Err(ValueError::TextTooLong),
        _ => Ok(Value::Text { start, end: start + text.len() }),
    }
}

fn count_characters(text: &[u8]) -> Result<usize, ValueError> {
    if text.iter().any(|byte| byte.is_ascii_control()) {
        return Err(ValueError::ControlCharacter);
    }
    if holds_replacement(text) {
        return Err(ValueError::NotDecodable);
    }
    // Continuation bytes do not begin a character.
    Ok(text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count())
}

/// Says whether the text has U+FFFD, which the decoder puts in place of bytes that are not a character.
fn holds_replacement(text: &[u8]) -> bool {
    let replacement = "\u{fffd}".as_bytes();
    // Few texts have its first byte, and one byte is found faster than three.
    memchr::memchr(0xef, text).is_some() && text.windows(replacement.len()).any(|bytes| bytes == replacement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::columns::{Nullability, Source};

    fn parse(kind: Kind, text: &str) -> Result<Value, ValueError> {
        let column =
            Column { name: "c".to_owned(), kind, nullability: Nullability::Required, source: Source::Field };
        parse_field(&column, text.as_bytes(), 7, DecimalMark::Point, &mut Clock::default())
    }

    #[test]
    fn whole_numbers_keep_their_bounds() {
        let kind = Kind::Long { minimum: 0 };
        assert_eq!(parse(kind, " 20000 "), Ok(Value::Long(20_000)));
        assert_eq!(parse(kind, "9223372036854775807"), Ok(Value::Long(i64::MAX)));
        assert_eq!(parse(kind, "9223372036854775808"), Err(ValueError::IntegerOutOfRange));
        assert_eq!(parse(kind, "-1"), Err(ValueError::IntegerOutOfRange));
        assert_eq!(parse(kind, "1.0"), Err(ValueError::NotAnInteger));
        assert_eq!(parse(kind, ""), Err(ValueError::Missing));
    }

    #[test]
    fn a_number_whose_digits_a_spreadsheet_has_dropped_is_told_from_other_texts() {
        let kind = Kind::Long { minimum: 0 };
        for lost in ["1.23457E+18", "1,23457E+18", "1E+12", "-1.2e18", "1e3"] {
            assert_eq!(parse(kind, lost), Err(ValueError::DigitsLost), "{lost}");
        }
        for other in ["1E-05", "E+18", "1.E+18", "1.2.3E+18", "0xE1", "1E", "1E+", "1E+18x", "1E+1000"] {
            assert_eq!(parse(kind, other), Err(ValueError::NotAnInteger), "{other}");
        }
    }

    #[test]
    fn an_amount_with_a_comma_names_the_decimal_mark() {
        let kind = Kind::Decimal { precision: 28, scale: 8 };
        for comma in ["12,5", "1,000", "1,000.50", "-0,5"] {
            let error = parse(kind, comma).unwrap_err();
            assert!(error.to_string().contains("decimal=comma"), "{comma}: {error}");
            assert_eq!(error.code(), "not_a_decimal");
        }
        assert_eq!(parse(kind, "12x"), Err(ValueError::NotADecimal));
    }

    #[test]
    fn text_is_measured_in_characters_and_keeps_its_range() {
        let kind = Kind::Text { min_length: 1, max_length: 3 };
        assert_eq!(parse(kind, "日本語"), Ok(Value::Text { start: 7, end: 16 }));
        assert_eq!(parse(kind, "abcd"), Err(ValueError::TextTooLong));
        assert_eq!(parse(kind, ""), Err(ValueError::Missing));
        assert_eq!(parse(kind, "a\0"), Err(ValueError::ControlCharacter));
        assert_eq!(parse(kind, "\u{fffd}"), Err(ValueError::NotDecodable));
    }
}
