//! The records of a stored batch.

use std::io::{self, Read as _};

use crate::log::batch::{HEADER_BYTES, Header};
use crate::log::codec::Codec;
use crate::log::records::MAX_RECORDS_BYTES;

/// The decompressed records of a batch.
#[derive(Debug)]
pub(super) struct Records {
    bytes: Vec<u8>,
}

/// A record in its batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord<'a> {
    /// All of it, with its length.
    pub bytes: &'a [u8],
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl Records {
    /// Decompresses the records of a batch.
    pub fn of(header: &Header, batch: &[u8]) -> io::Result<Self> {
        let mut stored = batch.get(HEADER_BYTES..).unwrap_or_default();
        let mut bytes = Vec::new();
        if header.is_empty() {
            return Ok(Self { bytes });
        }
        let codec = Codec::of(header.attributes).map_err(io::Error::other)?;
        let reader = codec.reader(&mut stored, MAX_RECORDS_BYTES)?;
        reader.take(MAX_RECORDS_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_RECORDS_BYTES {
            Err(io::ErrorKind::FileTooLarge.into())
        } else {
            Ok(Self { bytes })
        }
    }

    /// How many bytes they have.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the records in their order. It ends after a malformed one.
    pub fn iter(&self) -> impl Iterator<Item = io::Result<RawRecord<'_>>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let parsed = parse(&mut rest);
            if parsed.is_none() {
                rest = &[];
            }
            Some(
                parsed.ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, "a stored record is malformed")
                }),
            )
        })
    }
}

/// Takes a record from the start of `rest`.
fn parse<'a>(rest: &mut &'a [u8]) -> Option<RawRecord<'a>> {
    let all = *rest;
    let length = usize::try_from(varint(rest)?).ok()?;
    let (mut fields, after) = rest.split_at_checked(length)?;
    *rest = after;
    let bytes = all.get(..all.len() - after.len())?;
    fields = fields.get(1..)?;
    let timestamp_delta = varint(&mut fields)?;
    let offset_delta = i32::try_from(varint(&mut fields)?).ok()?;
    let key = field(&mut fields)?;
    let value = field(&mut fields)?;
    Some(RawRecord { bytes, timestamp_delta, offset_delta, key, value })
}

/// Takes a length and that many bytes. A negative length means that there is no field.
fn field<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Ok(length) = usize::try_from(varint(bytes)?) else { return Some(None) };
    let (field, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Some(field))
}

/// Takes a zigzag number with seven bits per byte, lowest bits first.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}
