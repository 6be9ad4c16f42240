//! A JSON value as it is written to the value of its column.

use std::borrow::Cow;

use crate::domain::columns::{Column, Kind};
use crate::domain::decimal_mark::DecimalMark;
use crate::domain::time_zone::Clock;
use crate::domain::value::{Value, ValueError};
use crate::domain::{money, timestamp};
use crate::ingest::validate::{null, parse_field, within_bounds};

/// Reads a column's value. `raw`: valid JSON. Text is added to `buffer`. `mark`: the decimal mark of amounts in strings; numbers have
/// points.
///
/// # Errors
/// It is not a value of this column.
#[inline]
pub(super) fn read(
    column: &Column,
    raw: &str,
    buffer: &mut Vec<u8>,
    mark: DecimalMark,
    clock: &mut Clock,
) -> Result<Value, ValueError> {
    match raw.as_bytes() {
        [b'"', inner @ .., b'"'] => {
            let text = unescaped(raw, inner)?;
            let start = buffer.len();
            let value = parse_field(column, &text, start, mark, clock)?;
            if let Value::Text { .. } = value {
                buffer.extend_from_slice(&text);
            }
            Ok(value)
        }
        [b'0'..=b'9' | b'-', ..] => read_number(column, raw.as_bytes(), clock),
        b"true" | b"false" if column.kind == Kind::Boolean => Ok(Value::Boolean(raw == "true")),
        b"null" => null(column),
        [b't' | b'f', ..] => Err(ValueError::WrongType { found: "a boolean" }),
        [b'[', ..] => Err(ValueError::WrongType { found: "an array" }),
        _ => Err(ValueError::WrongType { found: "an object" }),
    }
}

#[inline]
fn unescaped<'t>(raw: &str, inner: &'t [u8]) -> Result<Cow<'t, [u8]>, ValueError> {
    if memchr::memchr(b'\\', inner).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    // Half of a character is the only mistake that is left in valid JSON.
    let text: String = serde_json::from_str(raw).map_err(|_| ValueError::LoneSurrogate)?;
    Ok(Cow::Owned(text.into_bytes()))
}

#[inline]
fn read_number(column: &Column, text: &[u8], clock: &mut Clock) -> Result<Value, ValueError> {
    match column.kind {
        Kind::Long { .. } | Kind::Int | Kind::Double | Kind::Decimal { .. } => {
            parse_field(column, text, 0, DecimalMark::Point, clock)
        }
        Kind::Timestamp => {
            let millis = since_1970(text, 1)?;
            within_bounds(column, Value::Timestamp(millis))
        }
        Kind::TimestampMicros => {
            let micros = since_1970(text, 1000)?;
            within_bounds(column, Value::TimestampMicros(micros))
        }
        _ => Err(ValueError::WrongType { found: "a number" }),
    }
}

/// Reads a time as a number. `units`: of a millisecond.
fn since_1970(text: &[u8], units: i64) -> Result<i64, ValueError> {
    let number = money::parse(text, 18, 0).map_err(|error| match error {
        ValueError::DecimalOutOfRange => ValueError::TimestampOutOfRange,
        _ => ValueError::NotAnEpochTime,
    })?;
    let number = i64::try_from(number).map_err(|_| ValueError::TimestampOutOfRange)?;
    let is_in_range = timestamp::is_in_range(number.div_euclid(units));
    if is_in_range { Ok(number) } else { Err(ValueError::TimestampOutOfRange) }
}
