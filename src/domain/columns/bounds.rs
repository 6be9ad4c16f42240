//! The attributes `minimum` and `maximum`.

use serde_json::Value as Json;

use super::Kind;
use crate::domain::time_zone::Clock;
use crate::domain::value::Value;
use crate::domain::{date, money, timestamp};

/// Reads a bound of a column. `raw`: the attribute as it is written, so that a decimal never becomes a binary float.
///
/// # Errors
/// Not a value of this type. The text says what to write.
pub(super) fn bound(kind: Kind, raw: &str) -> Result<Value, &'static str> {
    let text = match serde_json::from_str(raw) {
        Ok(Json::String(text)) => Some(text),
        _ => None,
    };
    let quoted = text.as_deref().map(str::as_bytes);
    match kind {
        Kind::Long { .. } => raw.parse().map(Value::Long).map_err(|_| "write a whole number of 64 bits"),
        Kind::Int => raw.parse().map(Value::Int).map_err(|_| "write a whole number of 32 bits"),
        Kind::Double => {
            let number = raw.parse().ok().filter(|number: &f64| number.is_finite());
            number.map(Value::Double).ok_or("write a number")
        }
        Kind::Decimal { precision, scale } => {
            money::parse(quoted.unwrap_or(raw.as_bytes()), precision, scale).map(Value::Decimal).map_err(|_| {
                "write a number or a text such as \"0.01\", with no more digits than the decimal's precision and scale allow"
            })
        }
        Kind::Timestamp => quoted
            .and_then(|text| timestamp::parse(text).ok())
            .map(Value::Timestamp)
            .ok_or("write a time from 1970 to 2105, such as \"2019-10-22T00:00:00Z\""),
        Kind::TimestampMicros => quoted
            .and_then(|text| timestamp::parse_local_micros(text, &mut Clock::default()).ok())
            .map(Value::TimestampMicros)
            .ok_or("write a time from 1970 to 2105, such as \"2019-10-22T00:00:00Z\""),
        Kind::Date => quoted
            .and_then(|text| date::parse(text).ok())
            .map(Value::Date)
            .ok_or("write a date from 1900 to 2299, such as \"2019-10-22\""),
        Kind::Boolean | Kind::Text { .. } | Kind::Enum | Kind::Uuid | Kind::UuidText => {
            Err("this type has no order; remove the attribute")
        }
    }
}
