//! The text of a field to the value of its column.

use crate::domain::columns::{Column, Kind};
use crate::domain::decimal_mark::{DecimalMark, parse_comma};
use crate::domain::value::{Value, ValueError};
use crate::domain::{money, timestamp};

/// Parses a field's text, which begins at `start` in the record's fields. `mark`: of amounts.
///
/// # Errors
/// The text is not a value of this column.
#[inline]
pub fn parse_field(
    column: &Column,
    text: &[u8],
    start: usize,
    mark: DecimalMark,
) -> Result<Value, ValueError> {
    match column.kind {
        Kind::Text { min_length, max_length } => parse_text(text, start, min_length, max_length),
        Kind::Decimal { precision, scale } => match text.trim_ascii() {
            text if money::is_null(text) => null(column),
            text => match mark {
                DecimalMark::Point => money::parse(text, precision, scale),
                DecimalMark::Comma => parse_comma(text, precision, scale),
            }
            .map(Value::Decimal),
        },
        Kind::Long { minimum } => match text.trim_ascii() {
            b"" => null(column),
            text => parse_long(text, minimum),
        },
        Kind::Timestamp => match text.trim_ascii() {
            b"" => null(column),
            text => timestamp::parse(text).map(Value::Timestamp),
        },
        // No file has such a field.
        Kind::Uuid => null(column),
    }
    // Whatever else is wrong with a field that holds undecodable bytes, that is why.
    .map_err(|error| if holds_replacement(text) { ValueError::NotDecodable } else { error })
}

fn null(column: &Column) -> Result<Value, ValueError> {
    if column.is_nullable() { Ok(Value::Null) } else { Err(ValueError::Missing) }
}

#[inline]
fn parse_long(text: &[u8], minimum: i64) -> Result<Value, ValueError> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ValueError::NotAnInteger);
    }
    let sign = if text.first() == Some(&b'-') { -1 } else { 1 };
    digits
        .iter()
        .try_fold(0_i64, |number, digit| number.checked_mul(10)?.checked_add(sign * i64::from(digit - b'0')))
        .filter(|number| *number >= minimum)
        .map(Value::Long)
        .ok_or(ValueError::IntegerOutOfRange)
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

/// U+FFFD, which the decoder puts where bytes are no character.
fn holds_replacement(text: &[u8]) -> bool {
    let replacement = "\u{fffd}".as_bytes();
    // Nearly no text has its first byte, and one byte is found faster than three.
    memchr::memchr(0xef, text).is_some() && text.windows(replacement.len()).any(|bytes| bytes == replacement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::columns::{Nullability, Source};

    fn parse(kind: Kind, text: &str) -> Result<Value, ValueError> {
        let column =
            Column { name: "c".to_owned(), kind, nullability: Nullability::Required, source: Source::Field };
        parse_field(&column, text.as_bytes(), 7, DecimalMark::Point)
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
    fn text_is_measured_in_characters_and_keeps_its_place() {
        let kind = Kind::Text { min_length: 1, max_length: 3 };
        assert_eq!(parse(kind, "日本語"), Ok(Value::Text { start: 7, end: 16 }));
        assert_eq!(parse(kind, "abcd"), Err(ValueError::TextTooLong));
        assert_eq!(parse(kind, ""), Err(ValueError::Missing));
        assert_eq!(parse(kind, "a\0"), Err(ValueError::ControlCharacter));
        assert_eq!(parse(kind, "\u{fffd}"), Err(ValueError::NotDecodable));
    }
}
