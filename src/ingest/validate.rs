//! The text of a field to the value of its column.

use uuid::Uuid;

use crate::domain::columns::{Column, Kind};
use crate::domain::decimal_mark::{DecimalMark, parse_comma, parse_comma_double};
use crate::domain::time_zone::Clock;
use crate::domain::value::{Value, ValueError};
use crate::domain::{date, double, money, timestamp};

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
        Kind::Text { min_length, max_length } => {
            let is_null = text.is_empty() && min_length > 0 && column.is_nullable();
            if is_null { Ok(Value::Null) } else { parse_text(column, text, start, min_length, max_length) }
        }
        Kind::Decimal { precision, scale } => match text.trim_ascii() {
            text if money::is_null(text) => null(column),
            text => parse_amount(text, precision, scale, mark).map(Value::Decimal),
        },
        Kind::Long { minimum } => match text.trim_ascii() {
            b"" => null(column),
            text => parse_long(text, minimum).map(Value::Long),
        },
        Kind::Timestamp => match text.trim_ascii() {
            b"" => null(column),
            text => timestamp::parse_local(text, clock).map(Value::Timestamp),
        },
        _ => parse_other(column, text.trim_ascii(), mark, clock),
    }
    .and_then(|value| if column.bounds.is_open() { Ok(value) } else { within_bounds(column, value) })
    // Bytes that cannot be decoded are the cause of any other fault of the field.
    .map_err(|error| if holds_replacement(text) { ValueError::NotDecodable } else { error })
}

/// Parses a field of a type that is less frequent. `text`: without blanks around it.
fn parse_other(
    column: &Column,
    text: &[u8],
    mark: DecimalMark,
    clock: &mut Clock,
) -> Result<Value, ValueError> {
    match column.kind {
        _ if text.is_empty() => null(column),
        Kind::Double if money::is_null(text) => null(column),
        Kind::Double => parse_double(text, mark).map(Value::Double),
        Kind::Int => {
            let number = parse_long(text, i64::from(i32::MIN))?;
            i32::try_from(number).map(Value::Int).map_err(|_| ValueError::IntegerOutOfRange)
        }
        Kind::Boolean => parse_boolean(text).map(Value::Boolean),
        Kind::TimestampMicros => timestamp::parse_local_micros(text, clock).map(Value::TimestampMicros),
        Kind::Date => date::parse(text).map(Value::Date),
        Kind::Enum => parse_symbol(column, text).map(Value::Enum),
        Kind::Uuid | Kind::UuidText => parse_uuid(text).map(Value::Uuid),
        // These are parsed by the caller.
        Kind::Text { .. } | Kind::Decimal { .. } | Kind::Long { .. } | Kind::Timestamp => null(column),
    }
}

#[cold]
fn out_of_bounds(value: Value) -> ValueError {
    match value {
        Value::Int(_) | Value::Long(_) => ValueError::IntegerOutOfRange,
        Value::Timestamp(_) | Value::TimestampMicros(_) => ValueError::TimestampOutOfBounds,
        Value::Date(_) => ValueError::DateOutOfRange,
        _ => ValueError::OutOfBounds,
    }
}

/// Checks a value against the bounds of the schema.
pub(super) fn within_bounds(column: &Column, value: Value) -> Result<Value, ValueError> {
    if column.bounds.admit(value) { Ok(value) } else { Err(out_of_bounds(value)) }
}

fn parse_boolean(text: &[u8]) -> Result<bool, ValueError> {
    match text {
        b"1" => Ok(true),
        b"0" => Ok(false),
        _ if text.eq_ignore_ascii_case(b"true") => Ok(true),
        _ if text.eq_ignore_ascii_case(b"false") => Ok(false),
        _ => Err(ValueError::NotABoolean),
    }
}

fn parse_symbol(column: &Column, text: &[u8]) -> Result<u32, ValueError> {
    let position = column.symbols.iter().position(|symbol| symbol.as_bytes() == text);
    position.and_then(|at| u32::try_from(at).ok()).ok_or(ValueError::UnknownSymbol)
}

/// Parses 32 hexadecimal digits in five groups.
fn parse_uuid(text: &[u8]) -> Result<u128, ValueError> {
    // The crate also reads other forms, which are of other lengths.
    let uuid = Uuid::try_parse_ascii(text).ok().filter(|_| text.len() == uuid::fmt::Hyphenated::LENGTH);
    uuid.map(|uuid| uuid.as_u128()).ok_or(ValueError::NotAUuid)
}

fn parse_double(text: &[u8], mark: DecimalMark) -> Result<f64, ValueError> {
    match mark {
        DecimalMark::Comma => parse_comma_double(text),
        DecimalMark::Point => double::parse(text).map_err(|error| with_comma(error, text)),
    }
}

pub(super) fn null(column: &Column) -> Result<Value, ValueError> {
    if column.is_nullable() { Ok(Value::Null) } else { Err(ValueError::Missing) }
}

#[inline]
fn parse_amount(text: &[u8], precision: u32, scale: u32, mark: DecimalMark) -> Result<i128, ValueError> {
    match mark {
        DecimalMark::Comma => parse_comma(text, precision, scale),
        DecimalMark::Point => money::parse(text, precision, scale).map_err(|error| with_comma(error, text)),
    }
}

/// Says that a text with a comma may be a number with a decimal comma.
fn with_comma(error: ValueError, text: &[u8]) -> ValueError {
    match error {
        ValueError::NotADecimal if text.contains(&b',') => ValueError::DecimalComma,
        error => error,
    }
}

#[inline]
fn parse_long(text: &[u8], minimum: i64) -> Result<i64, ValueError> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(if is_scientific(digits) { ValueError::DigitsLost } else { ValueError::NotAnInteger });
    }
    let sign = if text.first() == Some(&b'-') { -1 } else { 1 };
    digits
        .iter()
        .try_fold(0_i64, |number, digit| number.checked_mul(10)?.checked_add(sign * i64::from(digit - b'0')))
        .filter(|number| *number >= minimum)
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
pub(super) fn parse_text(
    column: &Column,
    text: &[u8],
    start: usize,
    min_length: usize,
    max_length: usize,
) -> Result<Value, ValueError> {
    // Without an early end, so that sixteen bytes are looked at together.
    let is_printable_ascii = text.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    let length = if is_printable_ascii { text.len() } else { count_characters(text, column.is_multiline)? };
    match length {
        0 if min_length > 0 => Err(ValueError::Missing),
        length if length < min_length => Err(ValueError::TextTooShort),
        length if length > max_length => Err(ValueError::TextTooLong),
        _ if column.pattern.as_ref().is_some_and(|pattern| !pattern.matches(text)) => {
            Err(ValueError::PatternMismatch)
        }
        _ => Ok(Value::Text { start, end: start + text.len() }),
    }
}

fn count_characters(text: &[u8], is_multiline: bool) -> Result<usize, ValueError> {
    let is_allowed = |byte: &u8| is_multiline && matches!(byte, b'\n' | b'\r' | b'\t');
    if text.iter().any(|byte| byte.is_ascii_control() && !is_allowed(byte)) {
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
    use crate::domain::columns::{Columns, Nullability};

    fn parse(kind: Kind, text: &str) -> Result<Value, ValueError> {
        parse_as(&Column::new("c", kind), text)
    }

    fn parse_as(column: &Column, text: &str) -> Result<Value, ValueError> {
        parse_field(column, text.as_bytes(), 7, DecimalMark::Point, &mut Clock::default())
    }

    /// The column of a field of a schema.
    fn column(field: &str) -> Column {
        let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"c",{field}}}]}}"#);
        Columns::parse(&schema).unwrap().get(0).unwrap().clone()
    }

    #[test]
    fn each_type_has_its_texts_and_its_codes() {
        for (kind, text, expected) in [
            (Kind::Boolean, " True ", Value::Boolean(true)),
            (Kind::Boolean, "0", Value::Boolean(false)),
            (Kind::Int, "-2147483648", Value::Int(i32::MIN)),
            (Kind::Double, " -1.5E3 ", Value::Double(-1500.0)),
            (Kind::TimestampMicros, "1970-01-01 00:00:00.000007", Value::TimestampMicros(7)),
            (Kind::Date, "1970-01-02", Value::Date(1)),
            (Kind::Uuid, "00000000-0000-0000-0000-00000000000A", Value::Uuid(10)),
            (Kind::UuidText, "00000000-0000-0000-0000-00000000000a", Value::Uuid(10)),
        ] {
            assert_eq!(parse(kind, text), Ok(expected), "{text}");
            assert_eq!(parse(kind, " "), Err(ValueError::Missing));
            let nullable = Column { nullability: Nullability::NullLast, ..Column::new("c", kind) };
            assert_eq!(parse_as(&nullable, ""), Ok(Value::Null));
        }
        for (kind, text, code) in [
            (Kind::Boolean, "yes", "not_a_boolean"),
            (Kind::Boolean, "01", "not_a_boolean"),
            (Kind::Int, "2147483648", "integer_out_of_range"),
            (Kind::Int, "-2147483649", "integer_out_of_range"),
            (Kind::Int, "1.0", "not_an_integer"),
            (Kind::Int, "1e5", "digits_lost"),
            (Kind::Double, "Infinity", "not_a_decimal"),
            (Kind::Double, "1,5", "not_a_decimal"),
            (Kind::Double, "1e309", "decimal_out_of_range"),
            (Kind::TimestampMicros, "2019-10-22", "not_a_timestamp"),
            (Kind::Date, "22.10.2019", "not_a_date"),
            (Kind::Date, "2300-01-01", "date_out_of_range"),
            (Kind::Uuid, "8c4f2a705f0e4a9e9d0b3f2f1f6f7d21", "not_a_uuid"),
            (Kind::UuidText, "{8c4f2a70-5f0e-4a9e-9d0b-3f2f1f6f7d21}", "not_a_uuid"),
            (Kind::Date, "\u{fffd}", "not_decodable"),
        ] {
            assert_eq!(parse(kind, text).unwrap_err().code(), code, "{text}");
        }
        let nullable = Column { nullability: Nullability::NullFirst, ..Column::new("c", Kind::Double) };
        assert_eq!(parse_as(&nullable, "NaN"), Ok(Value::Null));
        let comma = parse_field(&nullable, b"1.234,5", 0, DecimalMark::Comma, &mut Clock::default());
        assert_eq!(comma, Ok(Value::Double(1234.5)));
    }

    #[test]
    fn an_empty_text_is_null_where_the_schema_allows_null_and_no_empty_text() {
        let nullable = |min_length| Column {
            nullability: Nullability::NullFirst,
            ..Column::new("c", Kind::Text { min_length, max_length: 9 })
        };
        assert_eq!(parse_as(&nullable(1), ""), Ok(Value::Null));
        assert_eq!(parse_as(&nullable(0), ""), Ok(Value::Text { start: 7, end: 7 }));
    }

    #[test]
    fn a_multiline_text_may_have_line_ends_and_tabs_and_no_other_control_characters() {
        for (field, text, expected) in [
            (r#""type":"string","multiline":true"#, "a\tb\r\nc", Ok(Value::Text { start: 7, end: 13 })),
            (r#""type":"string","multiline":true"#, "a\0", Err(ValueError::ControlCharacter)),
            (r#""type":"string","multiline":false"#, "a\nb", Err(ValueError::ControlCharacter)),
            (r#""type":"string""#, "a\nb", Err(ValueError::ControlCharacter)),
        ] {
            assert_eq!(parse_as(&column(field), text), expected, "{field} {text:?}");
        }
    }

    #[test]
    fn the_bounds_the_symbols_and_the_pattern_of_the_schema_are_checked() {
        let decimal = r#""type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#;
        let date = r#""type":{"type":"int","logicalType":"date"}"#;
        let time = r#""type":{"type":"long","logicalType":"timestamp-millis"}"#;
        let symbols = r#""type":{"type":"enum","name":"E","symbols":["BUY","SELL"]}"#;
        for (field, valid, invalid, code) in [
            (format!(r#"{decimal},"minimum":0.01,"maximum":"99.5""#), "0.01", "0", "decimal_out_of_range"),
            (format!(r#"{decimal},"maximum":"99.5""#), "99.50", "99.51", "decimal_out_of_range"),
            (r#""type":"double","maximum":1"#.to_owned(), "1", "1.01", "decimal_out_of_range"),
            (r#""type":"long","minimum":1,"maximum":5"#.to_owned(), "5", "6", "integer_out_of_range"),
            (r#""type":"int","minimum":1"#.to_owned(), "1", "0", "integer_out_of_range"),
            (format!(r#"{date},"minimum":"2000-01-01""#), "2000-01-01", "1999-12-31", "date_out_of_range"),
            (
                format!(r#"{time},"maximum":"2020-01-01T00:00:00Z""#),
                "2020-01-01 00:00:00",
                "2020-01-01 00:00:01",
                "timestamp_out_of_range",
            ),
            (symbols.to_owned(), " SELL ", "sell", "unknown_symbol"),
            (r#""type":"string","pattern":"[A-Z]{3}""#.to_owned(), "EUR", "EURO", "pattern_mismatch"),
        ] {
            let column = column(&field);
            assert!(parse_as(&column, valid).is_ok(), "{field}");
            let error = parse_as(&column, invalid).unwrap_err();
            assert_eq!(error.code(), code, "{field}");
        }
        let explained = column(symbols).explain(ValueError::UnknownSymbol);
        assert!(explained.contains("BUY, SELL"), "{explained}");
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
