//! Values in JSON, as ClickHouse writes them for endpoints.

use std::io::Write;

use chrono::{DateTime, SecondsFormat};
use uuid::Uuid;

use crate::domain::columns::{Column, Kind};
use crate::domain::value::Value;
use crate::domain::{date, money};

/// Appends a value. `buffer`: the bytes that text refers to.
pub(super) fn write_json(column: &Column, value: Value, buffer: &[u8], out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = match value {
        Value::Null => out.write_all(b"null"),
        Value::Boolean(is_true) => write!(out, "{is_true}"),
        Value::Int(number) => write!(out, "{number}"),
        Value::Long(number) => write!(out, "{number}"),
        // No endpoint of last values has doubles.
        Value::Double(number) => write!(out, "{number}"),
        Value::Decimal(unscaled) => match column.kind {
            Kind::Decimal { scale, .. } => write!(out, "\"{}\"", money::format(unscaled, scale)),
            _ => Ok(()),
        },
        Value::Timestamp(millis) => {
            write_time(DateTime::from_timestamp_millis(millis), SecondsFormat::Millis, out)
        }
        Value::TimestampMicros(micros) => {
            write_time(DateTime::from_timestamp_micros(micros), SecondsFormat::Micros, out)
        }
        Value::Date(days) => write!(out, "\"{}\"", date::format(days)),
        Value::Text { .. } => {
            write_text(value.text(buffer), out);
            Ok(())
        }
        Value::Enum(position) => {
            write_text(column.symbol(position).as_bytes(), out);
            Ok(())
        }
        Value::Uuid(uuid) => write!(out, "\"{}\"", Uuid::from_u128(uuid)),
    };
}

fn write_time(
    time: Option<DateTime<chrono::Utc>>,
    precision: SecondsFormat,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    write!(out, "\"{}\"", time.map_or_else(String::new, |time| time.to_rfc3339_opts(precision, true)))
}

/// Appends a text in quotes. ClickHouse escapes control characters, and U+2028 and U+2029, which end a line in JavaScript.
pub(super) fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| is_special(*byte)) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        rest = write_special(special, out);
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether a byte is to be escaped, or may begin a character that is.
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0xe2
}

/// Appends the first character of a text, escaped if need be. Returns the text after it.
fn write_special<'t>(text: &'t [u8], out: &mut Vec<u8>) -> &'t [u8] {
    if let [0xe2, 0x80, last @ (0xa8 | 0xa9), rest @ ..] = text {
        out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
        return rest;
    }
    let Some((first, rest)) = text.split_first() else { return text };
    match first {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        control @ 0x00..0x20 => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "\\u{control:04X}");
        }
        other => out.push(*other),
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_json_that_reads_back() {
        let all: String = ('\0'..'\u{80}').chain("é\u{2028}x\u{2029}\u{2027}€\u{10ffff}".chars()).collect();
        let mut out = Vec::new();
        write_text(all.as_bytes(), &mut out);
        let written = String::from_utf8(out).unwrap();
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), all);
        assert!(
            written.contains(r"\u0001") && written.contains(r"\u001F") && written.contains(r"\u2028x\u2029")
        );
    }
}
