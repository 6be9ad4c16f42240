//! Values to and from Avro's binary encoding in the Confluent wire format.
//!
//! Sources: <https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>; a zero byte and the schema id in four
//! bytes, big-endian, come first: <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>.
//! Both directions follow the columns directly. There is no `apache_avro::types::Value` for each field, which would take most of the
//! time of a row.

use thiserror::Error;
use uuid::Uuid;

use crate::domain::columns::{Column, Columns, Kind, Nullability};
use crate::domain::value::Value;

/// Bytes before the Avro datum: magic and schema id.
pub const PREFIX_BYTES: usize = 5;

const MAGIC: u8 = 0;

/// Why a message is not a row.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AvroError {
    #[error("the message does not begin with a zero byte and a schema id")]
    NoPrefix,
    #[error("the message ends too early")]
    TooShort,
    #[error("the message continues after its last field")]
    TooLong,
    #[error("a number with more bits than its type has")]
    Overflow,
    #[error("a union branch that the schema does not have")]
    UnknownBranch,
    #[error("text that is not UTF-8")]
    NotUtf8,
    #[error("a decimal of no bytes")]
    EmptyDecimal,
    #[error("a boolean that is neither 0 nor 1")]
    NotABoolean,
    #[error("an enum symbol that the schema does not have")]
    UnknownSymbol,
    #[error("text that is not a UUID")]
    NotAUuid,
}

/// Appends a message: the prefix, then each value in the order of the columns, read from `buffer` where it is text.
#[inline]
pub fn encode(schema_id: u32, columns: &Columns, values: &[Value], buffer: &[u8], out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&schema_id.to_be_bytes());
    encode_values(columns.iter().zip(values.iter().copied()), buffer, out);
}

/// Appends values without a prefix, read from `buffer` where they are text.
#[inline]
pub fn encode_values<'a>(
    values: impl Iterator<Item = (&'a Column, Value)>,
    buffer: &[u8],
    out: &mut Vec<u8>,
) {
    for (column, value) in values {
        encode_branch(column, value, out);
        match value {
            Value::Null => {}
            Value::Long(number) | Value::Timestamp(number) | Value::TimestampMicros(number) => {
                encode_long(number, out);
            }
            Value::Decimal(unscaled) => encode_decimal(unscaled, out),
            Value::Text { .. } => encode_bytes(value.text(buffer), out),
            Value::Int(number) | Value::Date(number) => encode_long(i64::from(number), out),
            Value::Boolean(is_true) => out.push(u8::from(is_true)),
            Value::Double(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Enum(position) => encode_long(i64::from(position), out),
            Value::Uuid(uuid) => encode_uuid(column.kind, uuid, out),
        }
    }
}

/// Returns the id of the schema that a message was written with.
///
/// # Errors
/// The message has no prefix.
pub fn schema_id(message: &[u8]) -> Result<u32, AvroError> {
    match message {
        [MAGIC, a, b, c, d, ..] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(AvroError::NoPrefix),
    }
}

/// Reads a message's values in the order of its writer's columns into `values`; text values are ranges of `message`.
///
/// # Errors
/// The message is not a datum of these columns.
pub fn decode(columns: &Columns, message: &[u8], values: &mut Vec<Value>) -> Result<(), AvroError> {
    values.clear();
    decode_values(columns.iter(), message, PREFIX_BYTES, values)
}

/// Appends the values from a position of a message to its end, which [`encode_values`] wrote.
///
/// # Errors
/// They are not values of these columns.
#[inline]
pub fn decode_values<'a>(
    columns: impl Iterator<Item = &'a Column>,
    message: &[u8],
    start: usize,
    values: &mut Vec<Value>,
) -> Result<(), AvroError> {
    let mut cursor = Cursor { message, at: start };
    for column in columns {
        values.push(decode_field(column, &mut cursor)?);
    }
    if cursor.at == message.len() { Ok(()) } else { Err(AvroError::TooLong) }
}

#[inline]
fn encode_branch(column: &Column, value: Value, out: &mut Vec<u8>) {
    let is_null = value == Value::Null;
    match column.nullability {
        Nullability::Required => {}
        Nullability::NullFirst => encode_long(i64::from(!is_null), out),
        Nullability::NullLast => encode_long(i64::from(is_null), out),
    }
}

/// Zigzag and base 128, low digits first.
#[inline]
fn encode_long(number: i64, out: &mut Vec<u8>) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The fewest big-endian two's-complement bytes.
#[inline]
fn encode_decimal(unscaled: i128, out: &mut Vec<u8>) {
    let bytes = unscaled.to_be_bytes();
    let sign_bits = if unscaled < 0 { unscaled.leading_ones() } else { unscaled.leading_zeros() };
    // One sign bit must stay.
    let superfluous = (sign_bits.saturating_sub(1) / 8) as usize;
    encode_bytes(bytes.get(superfluous..).unwrap_or_default(), out);
}

fn encode_uuid(kind: Kind, uuid: u128, out: &mut Vec<u8>) {
    match kind {
        Kind::UuidText => {
            let mut text = Uuid::encode_buffer();
            let text = Uuid::from_u128(uuid).as_hyphenated().encode_lower(&mut text);
            encode_bytes(text.as_bytes(), out);
        }
        _ => out.extend_from_slice(&uuid.to_be_bytes()),
    }
}

#[inline]
fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(bytes);
}

fn decode_field(column: &Column, cursor: &mut Cursor<'_>) -> Result<Value, AvroError> {
    let null_branch = match column.nullability {
        Nullability::Required => None,
        Nullability::NullFirst => Some(0),
        Nullability::NullLast => Some(1),
    };
    if let Some(null_branch) = null_branch {
        match cursor.long()? {
            branch if branch == null_branch => return Ok(Value::Null),
            0 | 1 => {}
            _ => return Err(AvroError::UnknownBranch),
        }
    }
    match column.kind {
        Kind::Long { .. } => cursor.long().map(Value::Long),
        Kind::Int => cursor.int().map(Value::Int),
        Kind::Boolean => cursor.boolean().map(Value::Boolean),
        Kind::Double => cursor.array().map(f64::from_le_bytes).map(Value::Double),
        Kind::Timestamp => cursor.long().map(Value::Timestamp),
        Kind::TimestampMicros => cursor.long().map(Value::TimestampMicros),
        Kind::Date => cursor.int().map(Value::Date),
        Kind::Decimal { .. } => cursor.decimal().map(Value::Decimal),
        Kind::Text { .. } => cursor.text(),
        Kind::Enum => {
            let position = u32::try_from(cursor.long()?).ok();
            let known = position.filter(|position| (*position as usize) < column.symbols.len());
            known.map(Value::Enum).ok_or(AvroError::UnknownSymbol)
        }
        Kind::Uuid => cursor.array().map(u128::from_be_bytes).map(Value::Uuid),
        Kind::UuidText => {
            let uuid = Uuid::try_parse_ascii(cursor.bytes()?).map_err(|_| AvroError::NotAUuid)?;
            Ok(Value::Uuid(uuid.as_u128()))
        }
    }
}

struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn long(&mut self) -> Result<i64, AvroError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.message.get(self.at).ok_or(AvroError::TooShort)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return Err(AvroError::Overflow);
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err(AvroError::Overflow)
    }

    fn range(&mut self) -> Result<(usize, usize), AvroError> {
        let length = usize::try_from(self.long()?).map_err(|_| AvroError::TooShort)?;
        let start = self.at;
        let end =
            start.checked_add(length).filter(|end| *end <= self.message.len()).ok_or(AvroError::TooShort)?;
        self.at = end;
        Ok((start, end))
    }

    fn bytes(&mut self) -> Result<&'a [u8], AvroError> {
        let (start, end) = self.range()?;
        self.message.get(start..end).ok_or(AvroError::TooShort)
    }

    fn decimal(&mut self) -> Result<i128, AvroError> {
        let bytes = self.bytes()?;
        // Java's decoder and ClickHouse's refuse it as well.
        if bytes.is_empty() {
            return Err(AvroError::EmptyDecimal);
        }
        let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        let mut padded = [if negative { 0xff } else { 0 }; 16];
        let start = padded.len().checked_sub(bytes.len()).ok_or(AvroError::Overflow)?;
        padded.get_mut(start..).ok_or(AvroError::Overflow)?.copy_from_slice(bytes);
        Ok(i128::from_be_bytes(padded))
    }

    fn int(&mut self) -> Result<i32, AvroError> {
        i32::try_from(self.long()?).map_err(|_| AvroError::Overflow)
    }

    fn boolean(&mut self) -> Result<bool, AvroError> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(AvroError::NotABoolean),
        }
    }

    /// Reads a number of bytes that the type determines.
    fn array<const N: usize>(&mut self) -> Result<[u8; N], AvroError> {
        let (bytes, _) =
            self.message.get(self.at..).and_then(<[u8]>::split_first_chunk).ok_or(AvroError::TooShort)?;
        self.at += N;
        Ok(*bytes)
    }

    fn text(&mut self) -> Result<Value, AvroError> {
        let (start, end) = self.range()?;
        let text = self.message.get(start..end).ok_or(AvroError::TooShort)?;
        std::str::from_utf8(text).map_err(|_| AvroError::NotUtf8)?;
        Ok(Value::Text { start, end })
    }
}

#[cfg(test)]
mod tests;
